"""What survives a power cut: the store's map, records in two slots with version and CRC-16, the intent before each pulse.

    0x0000  state record, slots A and B      orders, missed totals, alarms, which program slot runs: *the pointer, written last*
    0x0400  commissioning record, A and B    head and sensor constants
    0x0C00  keys of the roles, A and B        firmware/keys.py
    0x0800  intent record, A and B           written before every pulse: counted as delivered on boot
    0x1000  program block, slots A and B     canonical bytes
    0x4000  event ring, 0xE000 daily totals  firmware/event_log.py

A record is written whole into the slot that does not hold the newest; a torn write fails its CRC and the older record
stands. One state record makes every order atomic: it carries the order's digest together with its effect.
"""

import struct

from ..protocol.catalogue import DIGEST_BYTES, MAX_BLOCK
from ..protocol.crc import crc16
from ..protocol.fields import MAX_SMALL
from .ledger import CAUSES

VERSION = 1
NO_PROGRAM = 255

STATE_AT, COMMISSION_AT, INTENT_AT, PROGRAM_AT = 0x0000, 0x0400, 0x0800, 0x1000
STATE_SLOT, COMMISSION_SLOT, INTENT_SLOT, PROGRAM_SLOT = 0x0100, 0x0100, 0x0040, 0x0400

_STATE = "<BIIIBBBB8s8sIIIIIIIBHhIIIIIIHHHHHHIHIIIIBBIII"
_INTENT = "<BIIIIHHIIHII"
COMMISSION_BYTES = 72       # at most, of a canonical block
assert struct.calcsize(_STATE) + 2 <= STATE_SLOT
assert struct.calcsize(_INTENT) + 2 <= INTENT_SLOT
assert MAX_BLOCK + 5 <= PROGRAM_SLOT
assert CAUSES == 6      # the six pairs in _STATE


class Slots:
    """One record kept in two slots. `seq` rises by one a write; the newest whole slot counts.

    `buffer` holds the record: byte 0 the version, bytes 1..4 the sequence, then the caller's bytes, CRC-16 last.
    """

    def __init__(self, store, address, slot_bytes, size):
        self._store = store
        self._address = address
        self._slot_bytes = slot_bytes
        self._size = size
        self.buffer = bytearray(size + 2)
        self.seq = 0
        self.slot = 1               # the slot that holds the newest; the other is written next
        self.damaged = 0            # slots that held something torn at the last load

    def load(self, only=-1):
        """Fill `buffer` with the newest whole record, or with that of slot `only`; False if there is none."""
        best, best_seq = -1, -1
        self.damaged = 0
        for slot in (0, 1) if only < 0 else (only,):
            self._store.read(self._address + slot * self._slot_bytes, self.buffer, self._size + 2)
            if self._whole():
                seq = struct.unpack_from("<I", self.buffer, 1)[0]
                if seq > best_seq:
                    best, best_seq = slot, seq
            elif not self._blank():
                self.damaged += 1
        if best < 0:
            return False
        self._store.read(self._address + best * self._slot_bytes, self.buffer, self._size + 2)
        self.slot, self.seq = best, best_seq
        return True

    def _whole(self):
        size, buffer = self._size, self.buffer
        crc = crc16(buffer, 0, size)
        return buffer[0] == VERSION and buffer[size] == crc & 0xFF and buffer[size + 1] == crc >> 8

    def _blank(self):
        first = self.buffer[0]
        return first in (0, 0xFF) and all(byte == first for byte in self.buffer)

    def save(self):
        """Seal `buffer` (the caller has packed it with the next `seq`) and write it to the older slot."""
        size, buffer = self._size, self.buffer
        crc = crc16(buffer, 0, size)
        buffer[size] = crc & 0xFF
        buffer[size + 1] = crc >> 8
        slot = 1 - self.slot
        self._store.write(self._address + slot * self._slot_bytes, buffer, size + 2)
        self.slot = slot


class Settings:
    """Every stored record of the pump but the rings. Fields are public; `save_*` writes them, `load` restores them."""

    def __init__(self, store, ledger, infusion):
        self._store = store
        self._ledger = ledger
        self._infusion = infusion
        self._state = Slots(store, STATE_AT, STATE_SLOT, struct.calcsize(_STATE))
        self._intent = Slots(store, INTENT_AT, INTENT_SLOT, struct.calcsize(_INTENT))
        self._commission = Slots(store, COMMISSION_AT, COMMISSION_SLOT, 5 + 2 + COMMISSION_BYTES)
        self.time_s = 0                 # pump time of the last write of any record
        self.boot_count = 0
        self.program_slot = NO_PROGRAM
        self.stopped = 0
        self.stopped_at_s = 0           # pump time of the stop
        self.commissioned = 0           # 1 + the slot of the commissioning record in use; 0: none
        self.last_kind = 0
        self.order_digest = bytes(DIGEST_BYTES)     # of the last executed order, whatever its kind
        self.program_digest = bytes(DIGEST_BYTES)   # of the running program
        self.active = 0                 # alarms, see firmware/alarms.py
        self.latched = 0
        self.last_day = 0               # the day under way, and what had been ordered and missed at its beginning
        self.day_pulses = 0
        self.day_missed_nl = 0
        self.fallback_nl_day = 0
        self.safe_state = 0             # of the running program: what MIN means for this fill (alarms.md 1)
        self.first_alarm = 0
        self.level_offset_ul = 0        # what the level sensor reads above the contents, found at the last refill
        self.prime_cut_nl = 0           # volume a prime or bridge had left when the power went
        self.reduction = 0              # an emergency reduction under way: 1 fallback, 2 stop
        self.reduction_until_s = 0
        self.filled_s = 0               # pump time of the last refill
        self.wasted_mj = 0              # what the link cost without a proof, since the pump was made (firmware/access.py)
        self.repaired = 0               # damaged slots found at boot

    def load(self):
        """Restore all records; False when there must have been a state record and neither slot holds one whole.

        A blank state beside another record is a lost state too, not a new pump: therapy must not end in silence.
        """
        self.repaired = 0
        found = self._state.load()
        if found:
            self._unpack_state()
        self.repaired += self._state.damaged
        pulsed = self._intent.load()
        if pulsed:
            self._unpack_intent()
        self.repaired += self._intent.damaged
        return found or not (self._state.damaged or pulsed or self._commission.load())

    def save_state(self, time_s):
        """Write the state record; raises OSError when the store cannot."""
        slots, ledger = self._state, self._ledger
        ul, nl = ledger.missed_ul, ledger.missed_nl
        slots.seq = (slots.seq + 1) & MAX_SMALL
        self.time_s = time_s
        struct.pack_into(
            _STATE, slots.buffer, 0, VERSION, slots.seq, time_s, self.boot_count, self.program_slot, self.stopped,
            self.commissioned, self.last_kind, self.order_digest, self.program_digest, ledger.base_nl, ledger.base_pulses,
            ledger.lost_pulses, self.active, self.latched, self.fallback_nl_day, self.stopped_at_s, self.first_alarm,
            self.last_day, self.level_offset_ul, ul[0], ul[1], ul[2], ul[3], ul[4], ul[5], nl[0], nl[1], nl[2], nl[3], nl[4], nl[5],
            ledger.pulses, self._infusion.acc_nl, self._infusion.demand.rem, self.day_pulses, self.day_missed_nl,
            self._infusion.prime_left_nl, self.safe_state, self.reduction, self.reduction_until_s, self.filled_s,
            self.wasted_mj)
        slots.save()

    def _unpack_state(self):
        row = struct.unpack_from(_STATE, self._state.buffer, 0)
        (_, _, self.time_s, self.boot_count, self.program_slot, self.stopped, self.commissioned, self.last_kind,
         self.order_digest, self.program_digest) = row[:10]
        ledger = self._ledger
        (ledger.base_nl, ledger.base_pulses, ledger.lost_pulses, self.active, self.latched, self.fallback_nl_day,
         self.stopped_at_s, self.first_alarm, self.last_day, self.level_offset_ul) = row[10:20]
        ledger.missed_ul[:] = row[20:26]
        ledger.missed_nl[:] = row[26:32]
        (ledger.pulses, self._infusion.acc_nl, self._infusion.demand.rem, self.day_pulses, self.day_missed_nl, self.prime_cut_nl,
         self.safe_state, self.reduction, self.reduction_until_s, self.filled_s, self.wasted_mj) = row[32:]

    def save_intent(self, time_s):
        """Write the pulse that is about to start: on boot it counts as delivered. Allocates nothing."""
        slots, ledger, infusion = self._intent, self._ledger, self._infusion
        slots.seq = (slots.seq + 1) & MAX_SMALL
        self.time_s = time_s
        struct.pack_into(
            _INTENT, slots.buffer, 0, VERSION, slots.seq, time_s, ledger.pulses, ledger.pulsed_ul, ledger.pulsed_nl,
            ledger.steps, ledger.revs, infusion.demand.rem, ledger.steps_rem, infusion.acc_nl, infusion.prime_left_nl)
        slots.save()

    def _unpack_intent(self):
        row = struct.unpack_from(_INTENT, self._intent.buffer, 0)
        ledger, infusion = self._ledger, self._infusion
        if row[3] > ledger.pulses:      # newer than the state record, whatever the clock was set to in between
            self.time_s, infusion.demand.rem, infusion.acc_nl, self.prime_cut_nl = row[2], row[8], row[10], row[11]
        ledger.pulses, ledger.pulsed_ul, ledger.pulsed_nl, ledger.steps, ledger.revs = row[3:8]
        ledger.steps_rem = row[9]

    def save_commission(self, block, length):
        """Write the canonical commissioning block (at most COMMISSION_BYTES) beside the one in use; `commissioned` and `save_state` flip to it."""
        slots = self._commission
        if self.commissioned:
            slots.slot = self.commissioned - 1
        slots.seq = (slots.seq + 1) & MAX_SMALL
        struct.pack_into("<BIH", slots.buffer, 0, VERSION, slots.seq, length)
        slots.buffer[7:7 + length] = memoryview(block)[:length]
        slots.save()
        return slots.slot + 1

    def load_commission(self):
        """The commissioning block in use (the newest, when the state record was lost), or None when its slot is damaged."""
        if not self._commission.load(self.commissioned - 1):
            self.commissioned = 0
            return None
        self.commissioned = self._commission.slot + 1
        length = struct.unpack_from("<H", self._commission.buffer, 5)[0]
        return bytes(memoryview(self._commission.buffer)[7:7 + length])

    def save_program(self, block, length):
        """Write a canonical program block into the slot that does not run and return the slot; `save_state` flips to it."""
        slot = 1 if self.program_slot == 0 else 0
        buffer = bytearray(length + 5)
        struct.pack_into("<BH", buffer, 0, VERSION, length)
        buffer[3:3 + length] = memoryview(block)[:length]
        struct.pack_into("<H", buffer, length + 3, crc16(buffer, 0, length + 3))
        self._store.write(PROGRAM_AT + slot * PROGRAM_SLOT, buffer, length + 5)
        return slot

    def load_program(self):
        """The canonical bytes of the running program, or None when there is none or its slot is damaged."""
        if self.program_slot == NO_PROGRAM:
            return None
        address = PROGRAM_AT + self.program_slot * PROGRAM_SLOT
        head = bytearray(3)
        self._store.read(address, head, 3)
        version, length = struct.unpack_from("<BH", head, 0)
        if version != VERSION or length > MAX_BLOCK:
            return None
        buffer = bytearray(length + 5)
        self._store.read(address, buffer, length + 5)
        if struct.unpack_from("<H", buffer, length + 3)[0] != crc16(buffer, 0, length + 3):
            return None
        return bytes(memoryview(buffer)[3:3 + length])
