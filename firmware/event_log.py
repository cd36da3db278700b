"""Rings in the store: events, faults (alarms of priority 1 and 2 and errors: the same record), daily totals; each record with its CRC-16.

A ring's head is found at boot by what stands in its records, so nothing else has to be written for it. Appending allocates
nothing. What is older than the ring is overwritten: the host pulls by absolute offset and sees what is gone.
"""

import struct

from ..protocol.catalogue import DAY_BYTES, EVENT_BYTES
from ..protocol.crc import crc16, crc16_whole
from ..protocol.fields import MAX_SMALL, put
from .slots import blank

EVENTS_AT, EVENTS = 0x4000, 2450
FAULTS_AT, FAULTS = 0x10000, 1200
DAYS_AT, DAYS = 0x16000, 400
_EVENT = "<IIBBii"
_DAY = "<HIIIII"
_LOOK = 8           # records in a row that may be damaged without hiding the head
assert EVENTS_AT + EVENTS * EVENT_BYTES <= FAULTS_AT
assert FAULTS_AT + FAULTS * EVENT_BYTES <= DAYS_AT
assert struct.calcsize(_EVENT) + 2 == EVENT_BYTES
assert struct.calcsize(_DAY) + 2 == DAY_BYTES


class Ring:
    """`count` records of `size` bytes at `address`. `head` is the sequence number that the next record gets; it never goes back.

    Record n stands in slot n % count in pass n // count; a subclass says which pass a slot belongs to.
    """

    def __init__(self, store, address, count, size):
        self._store = store
        self._address = address
        self._count = count
        self._size = size
        self._buffer = bytearray(size)
        self._body = memoryview(self._buffer)[:size - 2]
        self.head = 0
        self.torn_at = -1       # address of the record that lost its power, found at the last load

    def load(self, floor):
        """Find the head, at least `floor` (what the state record knew): the slots below it belong to one pass, those above to the one before."""
        base, low = -1, 0
        while base < 0 and low < _LOOK:
            base = self._pass_at(low)
            low += 1
        if base < 0:                # nothing at the beginning: blank, or its first record was torn when a pass began
            base = self._pass_at(self._count - 1)
            low = self._count
        high = self._count
        while high - low > 0:       # slot low - 1 is of this pass, slot `high` and what follows it are not
            at = (low + high) // 2
            last = min(at + _LOOK, high)
            while at < last and self._pass_at(at) < 0:
                at += 1
            if at < last and self._pass_at(at) == base:
                low = at + 1
            else:
                high = (low + high) // 2
        self.head = max(floor, base * self._count + low if base >= 0 else 0)
        self._find_torn()

    def _find_torn(self):
        """A slot at the head that holds neither nothing nor a record of the pass before has lost its power."""
        slot = self.head % self._count
        self.torn_at = -1
        if self._pass_at(slot) < 0 and not blank(self._buffer):
            self.torn_at = self._address + slot * self._size

    def _pass_at(self, slot):
        """The pass that the record in `slot` was written in, or -1; the record is in `_buffer`."""
        buffer = self._buffer
        self._store.read(self._address + slot * self._size, buffer, self._size)
        size = self._size - 2
        seal = crc16_whole(self._body) ^ (buffer[size] | buffer[size + 1] << 8)
        number = struct.unpack_from("<I", buffer, 0)[0]
        return number // self._count if seal == 0 and number % self._count == slot else -1

    def _append(self, seal):
        """Seal `_buffer` and write it as the next record."""
        buffer, size = self._buffer, self._size - 2
        put(buffer, size, 2, seal ^ crc16_whole(self._body))
        self._store.write(self._address + self.head % self._count * self._size, buffer, size + 2)
        self.head = (self.head + 1) & MAX_SMALL        # not % 2**30: that number is no small integer on 32 bits

    def first_byte(self):
        """Absolute offset of the oldest record still there."""
        return max(0, self.head - self._count) * self._size

    def end_byte(self):
        """Absolute offset behind the newest record."""
        return self.head * self._size

    def read(self, offset, length):
        """Bytes from absolute `offset` (allocates: telemetry only). The caller has checked the range; stops at the wrap."""
        return _ring_read(self._store, self._address, self._count * self._size, offset, length)


class EventLog(Ring):
    """A ring of events: of all, or of faults alone."""

    def __init__(self, store, address=EVENTS_AT, count=EVENTS):
        super().__init__(store, address, count, EVENT_BYTES)

    def append(self, time_s, code, cause=0, a=0, b=0):
        """Write one event; the arguments are clipped to +-2**30. Raises OSError when the store cannot."""
        struct.pack_into(_EVENT, self._buffer, 0, self.head, time_s, code, cause & 0xFF, _clip(a), _clip(b))
        self._append(0)


class DayLog:
    """The ring of daily totals: day d stands in slot d % 400."""

    def __init__(self, store):
        self._store = store
        self._buffer = bytearray(DAY_BYTES)

    def write(self, day, pulses, demanded_nl, missed_nl, sensed_ul, alarms):
        """Close `day` (days since the epoch)."""
        buffer, size = self._buffer, DAY_BYTES - 2
        struct.pack_into(_DAY, buffer, 0, day, pulses, demanded_nl, missed_nl, sensed_ul, alarms)
        put(buffer, size, 2, crc16(buffer, 0, size))
        self._store.write(DAYS_AT + day % DAYS * DAY_BYTES, buffer, DAY_BYTES)

    def first_byte(self, last_day):
        """Absolute offset of the oldest day the ring can hold."""
        return max(0, last_day - DAYS) * DAY_BYTES

    def read(self, offset, length):
        """Bytes from absolute `offset`, day * 24."""
        return _ring_read(self._store, DAYS_AT, DAYS * DAY_BYTES, offset, length)


def _clip(value):
    return max(-MAX_SMALL, min(MAX_SMALL, value))


def _ring_read(store, address, ring_bytes, offset, length):
    at = offset % ring_bytes
    if length > ring_bytes - at:
        length = ring_bytes - at
    data = bytearray(length)
    store.read(address + at, data, length)
    return data
