"""Records that survive a power cut: written whole into the slot that does not count, sealed with version and CRC-16.

`Slots` keeps one record of fixed size, the newest of two slots counts by its sequence number. The functions keep canonical
blocks of any length in two slots of which the state record names the one in use: written beside it, then flipped.
"""

import struct

from ..protocol.crc import crc16, crc16_whole

VERSION = 2
NONE = 255          # of a slot number: no such record
HEAD = 7            # bytes of a block before its own: version, sequence, length

# What E_REPAIRED names.
STATE, INTENT, COMMISSION, PROGRAM, KEYS, COPY, FILL, IMPLANT, TRIAL, EVENTS, FAULTS, HISTORY = range(1, 13)


class Slots:
    """One record kept in two slots. `seq` rises by one a write; the newest whole slot counts.

    `buffer` holds the record: byte 0 the version, bytes 1..4 the sequence, then the caller's bytes, CRC-16 last.
    """

    def __init__(self, store, address, slot_bytes, size):
        self._store = store
        self.address = address
        self.slot_bytes = slot_bytes
        self._size = size
        self.buffer = bytearray(size + 2)
        self._body = memoryview(self.buffer)[:size]
        self.seq = 0
        self.slot = 1               # the slot that holds the newest; the other is written next
        self.damaged = 0            # bit of each slot that held something torn at the last load

    def load(self):
        """Fill `buffer` with the newest whole record; False if there is none."""
        best, best_seq = -1, -1
        self.damaged = 0
        for slot in (0, 1):
            self._store.read(self.address + slot * self.slot_bytes, self.buffer, self._size + 2)
            if self._whole():
                seq = struct.unpack_from("<I", self.buffer, 1)[0]
                if seq > best_seq:
                    best, best_seq = slot, seq
            elif not blank(self.buffer):
                self.damaged |= 1 << slot
        if best < 0:
            return False
        self._store.read(self.address + best * self.slot_bytes, self.buffer, self._size + 2)
        self.slot, self.seq = best, best_seq
        return True

    def _whole(self):
        size, buffer = self._size, self.buffer
        crc = crc16_whole(self._body)
        return buffer[0] == VERSION and buffer[size] == crc & 0xFF and buffer[size + 1] == crc >> 8

    def save(self):
        """Seal `buffer` (the caller has packed it with the next `seq`) and write it to the older slot. Allocates nothing."""
        size, buffer = self._size, self.buffer
        crc = crc16_whole(self._body)
        buffer[size] = crc & 0xFF
        buffer[size + 1] = crc >> 8
        slot = 1 - self.slot
        self._store.write(self.address + slot * self.slot_bytes, buffer, size + 2)
        self.slot = slot


def blank(buffer):
    """True for a stretch of the store that was never written."""
    first = buffer[0]
    return first in (0, 0xFF) and all(byte == first for byte in buffer)


def save_block(store, address, seq, block, length):
    """Write block[:length] as a sealed record at `address`: version, sequence, length, bytes, CRC-16. Raises OSError when the store cannot."""
    buffer = bytearray(length + HEAD + 2)
    struct.pack_into("<BIH", buffer, 0, VERSION, seq, length)
    buffer[HEAD:HEAD + length] = memoryview(block)[:length]
    struct.pack_into("<H", buffer, length + HEAD, crc16(buffer, 0, length + HEAD))
    store.write(address, buffer, length + HEAD + 2)


def load_block(store, address, slot_bytes):
    """(sequence, bytes) of the record at `address`; the sequence is -1 when it is not whole, -2 when nothing was ever written."""
    buffer = bytearray(slot_bytes)
    store.read(address, buffer, slot_bytes)
    version, seq, length = struct.unpack_from("<BIH", buffer, 0)
    if version == VERSION and length + HEAD + 2 <= slot_bytes and struct.unpack_from("<H", buffer, length + HEAD)[0] == crc16(buffer, 0, length + HEAD):
        return seq, bytes(memoryview(buffer)[HEAD:HEAD + length])
    return -2 if blank(buffer) else -1, b""
