"""What survives a power cut: the store's map, the state record, the intent before each pulse, and the blocks that the state points to.

    0x00000  state, slots A and B           orders, totals, alarms, which slots are in use: *the pointer, written last*
    0x00400  commissioning block, A and B   head and sensor constants
    0x00800  intent, A and B                written before every pulse: counted as delivered on boot
    0x00C00  keys of the roles, A and B     firmware/keys.py
    0x01000  program block, A and B         canonical bytes
    0x01800  supervisor's copy, A and B     fallback and safe state of the program in the same slot
    0x01C00  fill, implant, trial, A and B  canonical bytes
    0x02800  scratch of the self-test
    0x04000  events                         firmware/event_log.py
    0x10000  faults
    0x16000  days
    0x19C00  past programs, 17 slots        the last 16, and the one being written
    0x1E000  delivery history               firmware/history.py, ends at 0x2EE00

A record is written whole into the slot that does not count; a torn write fails its CRC and the older record stands. One state
record makes every order atomic: it carries the order's digest together with its effect.
"""

import struct

from ..protocol import catalogue as cat
from ..protocol.fields import MAX_SMALL
from . import slots as sl
from .limits import MISSING_BYTES

NO_PROGRAM = sl.NONE

STATE_AT, COMMISSION_AT, INTENT_AT, PROGRAM_AT, COPY_AT = 0x0000, 0x0400, 0x0800, 0x1000, 0x1800
FILL_AT, IMPLANT_AT, TRIAL_AT, SCRATCH_AT, PAST_AT = 0x1C00, 0x1E00, 0x2000, 0x2800, 0x19C00
STATE_SLOT, COMMISSION_SLOT, INTENT_SLOT, PROGRAM_SLOT, COPY_SLOT, RECORD_SLOT = 0x0200, 0x0100, 0x0040, 0x0400, 0x0040, 0x0100
PAST = 17                       # one is always being written: 16 are whole at any instant
BOLUS_STATE_BYTES = 200         # firmware/bolus.py packs itself into it

_HEAD = "<BII8s8s%ds%ds" % (BOLUS_STATE_BYTES, MISSING_BYTES)
# The rest is four bytes each, in groups. A field more is a number more in its group's format, and its name in both places below.
_ORDERS, _TIMES, _BOOKS = "<21i", "<30i", "<18i"
_ORDERS_AT = struct.calcsize(_HEAD)
_TIMES_AT = _ORDERS_AT + struct.calcsize(_ORDERS)
_BOOKS_AT = _TIMES_AT + struct.calcsize(_TIMES)
_STATE_BYTES = _BOOKS_AT + struct.calcsize(_BOOKS)
_INTENT = "<BIIIIHHIIHIBIII"
assert _STATE_BYTES + 2 <= STATE_SLOT
assert struct.calcsize(_INTENT) + 2 <= INTENT_SLOT
assert cat.MAX_BLOCK + sl.HEAD + 2 <= PROGRAM_SLOT
assert cat.MAX_BLOCK + 8 <= cat.PRESCRIPTION_BYTES


class Settings:
    """Every stored record of the pump but rings and keys. Fields are public; `save_*` writes them, `load` restores them."""

    def __init__(self, store, ledger, infusion):
        self._store = store
        self._ledger = ledger
        self._infusion = infusion
        self._state = sl.Slots(store, STATE_AT, STATE_SLOT, _STATE_BYTES)
        self._intent = sl.Slots(store, INTENT_AT, INTENT_SLOT, struct.calcsize(_INTENT))
        self.rings: tuple = ()                 # (events, faults, history): their heads go into the state record
        self.repaired = []              # (record of slots.py, address) of what was found damaged at boot
        self._torn = []                 # (address, bytes) of it that nothing points to
        self.time_s = 0                 # pump time of the last write of any record ...
        self.steady_s = 0               # ... and the seconds this pump has lived by then; no clock that is set moves them
        self.watchdog_1_s = self.watchdog_2_s = 0       # steady second + 1 of the last two watchdog resets; 0: none
        self.eri_s = 0                  # likewise of ERI (alarms.md row 20)
        self.boot_count = 0
        self.program_slot = NO_PROGRAM
        self.stopped = 0
        self.stopped_at_s = 0           # steady second of the stop, or of the pause
        self.commissioned = 0           # 1 + the slot of the commissioning record in use; 0: none
        self.last_kind = 0
        self.order_digest = bytes(cat.DIGEST_BYTES)     # of the last executed order, whatever its kind
        self.program_digest = bytes(cat.DIGEST_BYTES)   # of the running program
        self.active = 0                 # alarms, see firmware/alarms.py
        self.latched = 0
        self.last_day = 0               # the day under way, and what had been ordered and missed at its beginning
        self.day_pulses = 0
        self.day_missed_nl = 0
        self.day_lost_nl = 0            # ... and of that by pulses that did not turn
        self.fallback_nl_day = 0
        self.safe_state = 0             # of the running program: what MIN means for this fill (alarms.md 1)
        self.abrupt_stop = 0
        self.first_alarm = 0
        self.level_offset_ul = 0        # what the level sensor reads above the contents, found at the last refill
        self.reduction = 0              # an emergency reduction under way: 1 fallback, 2 stop
        self.reduction_until_s = 0
        self.filled_s = 0               # steady second + 1 of the last refill
        self.extra = 0                  # cat.EXTRAS: what ran beside the program when this was written ...
        self.extra_left_nl = 0          # ... and what it had left, at which rate
        self.extra_rate_nl_day = 0
        self.cut_kind = 0               # extra that was cut short and is not acknowledged yet
        self.paused_until_s = 0
        self.catheter = 0               # 0 empty, 1 drug-filled
        self.line_pulses = 0            # pulse count at which the line was empty
        self.old_cap_hour_nl = 0        # caps of the concentration in the head while a bridge runs; 0: none
        self.old_cap_day_nl = 0
        self.clock_offset_s = 0         # pump time minus what the RTC shows: setting the clock is an order like any other, in one record
        self.switched_s = 0             # firmware/caps.py: when the head changed to another concentration ...
        self.old_share = 0              # ... and what a nanolitre of before counts since then
        self.bridge_share = 0           # ... and will behind the bridge that runs
        self.rise_s = 0                 # steady second + 1 of the last rise of a dose
        self.changed_s = 0              # ... of the last change of dose or drug
        self.given_s = 0                # of firmware/schedule.py
        self.fill_slot = self.implant_slot = self.trial_slot = sl.NONE
        self.prescriptions = 0          # programs committed since the pump was made
        self.event_head = 0             # the rings' heads when this was written: they never go back behind them
        self.fault_head = 0
        self.history_head = 0
        self.history_pulses = 0         # pulses in the history up to that head
        self.bolus_state = bytearray(BOLUS_STATE_BYTES)
        self.missing = bytearray(MISSING_BYTES)     # the supervisor's window of lost pulses ...
        self.missing_s = 0              # ... as of this steady second, at boot
        self.calibration = 0            # 1: it may learn (firmware/trim.py) ...
        self.trim = 0                   # ... and has learned so many thousandths
        self.wasted_mj = 0              # what the link cost without a proof, since the pump was made (firmware/access.py)

    def load(self):
        """Restore state and intent; False when there must have been a state record and neither slot holds one whole.

        A blank state beside another record is a lost state too, not a new pump: therapy must not end in silence.
        """
        self.repaired, self._torn = [], []
        found = self._state.load()
        if found:
            self._unpack_state()
        self.note(sl.STATE, self._state)
        pulsed = self._intent.load()
        if pulsed:
            self._unpack_intent()
        self.note(sl.INTENT, self._intent)
        self._scan()
        # One slot torn and the other blank is the very first write of all; unless there is another record.
        return found or not (self._state.damaged == 3 or pulsed or self._newest_commission() >= 0)

    def note(self, record, slots):
        """Remember the damaged slots of a record that was just loaded."""
        for slot in (0, 1):
            if slots.damaged >> slot & 1:
                self._damaged(record, slots.address + slot * slots.slot_bytes, slots.slot_bytes)

    def _damaged(self, record, address, slot_bytes):
        self.repaired.append((record, address))
        self._torn.append((address, slot_bytes))

    def _scan(self):
        """Note every damaged block. In a slot that nothing points to it is what an order left that lost its power."""
        for record, address, slot_bytes, slot in (
                (sl.COMMISSION, COMMISSION_AT, COMMISSION_SLOT, self.commissioned - 1), (sl.PROGRAM, PROGRAM_AT, PROGRAM_SLOT, self.program_slot),
                (sl.COPY, COPY_AT, COPY_SLOT, self.program_slot), (sl.FILL, FILL_AT, RECORD_SLOT, self.fill_slot),
                (sl.IMPLANT, IMPLANT_AT, RECORD_SLOT, self.implant_slot), (sl.TRIAL, TRIAL_AT, RECORD_SLOT, self.trial_slot)):
            for each in (0, 1):
                at = address + each * slot_bytes
                if sl.load_block(self._store, at, slot_bytes)[0] == -1:
                    if each == slot:
                        self.repaired.append((record, at))
                    else:
                        self._damaged(record, at, slot_bytes)

    def mend(self):
        """Blank what a lost power left torn: for boot, when it has said so. Said before, power may fail here too and it is said again."""
        for address, slot_bytes in self._torn:
            self._store.write(address, bytearray(slot_bytes), slot_bytes)
        self._torn = []

    def save_state(self, time_s):
        """Write the state record; raises OSError when the store cannot."""
        slots, ledger, infusion = self._state, self._ledger, self._infusion
        buffer, ul, nl = slots.buffer, ledger.missed_ul, ledger.missed_nl
        self.extra, self.extra_left_nl, self.extra_rate_nl_day = infusion.extra, infusion.extra_left_nl, infusion.extra_rate_nl_day
        if self.rings:
            events, faults, history = self.rings
            self.event_head, self.fault_head = events.head, faults.head
            self.history_head, self.history_pulses = history.head, history.pulses
        slots.seq = (slots.seq + 1) & MAX_SMALL
        self.time_s = time_s
        struct.pack_into(_HEAD, buffer, 0, sl.VERSION, slots.seq, time_s, self.order_digest, self.program_digest, self.bolus_state,
                         self.missing)
        struct.pack_into(
            _ORDERS, buffer, _ORDERS_AT, self.boot_count, self.program_slot, self.stopped, self.commissioned, self.last_kind, self.active,
            self.latched, self.fallback_nl_day, self.first_alarm, self.last_day, self.safe_state, self.abrupt_stop, self.reduction, self.extra,
            self.cut_kind, self.catheter, self.fill_slot, self.implant_slot, self.trial_slot, self.prescriptions, self.calibration)
        struct.pack_into(
            _TIMES, buffer, _TIMES_AT, self.stopped_at_s, self.level_offset_ul, self.day_pulses, self.day_missed_nl, self.reduction_until_s,
            self.filled_s, self.extra_left_nl, self.extra_rate_nl_day, self.paused_until_s, self.line_pulses, self.old_cap_hour_nl,
            self.old_cap_day_nl, self.rise_s, self.changed_s, self.event_head, self.fault_head, self.history_head, self.history_pulses,
            self.steady_s, self.switched_s, self.old_share, self.clock_offset_s, self.watchdog_1_s, self.watchdog_2_s, self.eri_s,
            self.wasted_mj, self.trim, self.day_lost_nl, self.bridge_share, self.given_s)
        struct.pack_into(
            _BOOKS, buffer, _BOOKS_AT, ledger.base_nl, ledger.base_pulses, ledger.lost_pulses, ledger.pulses, ul[0], ul[1], ul[2], ul[3], ul[4],
            ul[5], nl[0], nl[1], nl[2], nl[3], nl[4], nl[5], infusion.acc_nl, infusion.demand.rem)
        slots.save()

    def _unpack_state(self):
        ledger, infusion, buffer = self._ledger, self._infusion, self._state.buffer
        _, _, self.time_s, self.order_digest, self.program_digest, self.bolus_state[:], self.missing[:] = struct.unpack_from(_HEAD, buffer, 0)
        (self.boot_count, self.program_slot, self.stopped, self.commissioned, self.last_kind, self.active,
         self.latched, self.fallback_nl_day, self.first_alarm, self.last_day, self.safe_state, self.abrupt_stop, self.reduction, self.extra,
         self.cut_kind, self.catheter, self.fill_slot, self.implant_slot, self.trial_slot,
         self.prescriptions, self.calibration) = struct.unpack_from(_ORDERS, buffer, _ORDERS_AT)
        (self.stopped_at_s, self.level_offset_ul, self.day_pulses, self.day_missed_nl, self.reduction_until_s,
         self.filled_s, self.extra_left_nl, self.extra_rate_nl_day, self.paused_until_s, self.line_pulses, self.old_cap_hour_nl,
         self.old_cap_day_nl, self.rise_s, self.changed_s, self.event_head, self.fault_head, self.history_head, self.history_pulses,
         self.steady_s, self.switched_s, self.old_share, self.clock_offset_s, self.watchdog_1_s, self.watchdog_2_s,
         self.eri_s, self.wasted_mj, self.trim, self.day_lost_nl, self.bridge_share, self.given_s) = struct.unpack_from(_TIMES, buffer, _TIMES_AT)
        self.missing_s = self.steady_s
        row = struct.unpack_from(_BOOKS, buffer, _BOOKS_AT)
        ledger.base_nl, ledger.base_pulses, ledger.lost_pulses, ledger.pulses = row[:4]
        ledger.missed_ul[:] = row[4:10]
        ledger.missed_nl[:] = row[10:16]
        infusion.acc_nl, infusion.demand.rem = row[16:]

    def save_intent(self, time_s):
        """Write the pulse that is about to start: on boot it counts as delivered. Allocates nothing."""
        slots, ledger, infusion = self._intent, self._ledger, self._infusion
        slots.seq = (slots.seq + 1) & MAX_SMALL
        self.time_s = time_s
        struct.pack_into(
            _INTENT, slots.buffer, 0, sl.VERSION, slots.seq, time_s, ledger.pulses, ledger.pulsed_ul, ledger.pulsed_nl, ledger.steps,
            ledger.revs, infusion.demand.rem, ledger.steps_rem, infusion.acc_nl, infusion.extra, infusion.extra_left_nl,
            infusion.extra_rate_nl_day, self.steady_s)
        slots.save()

    def _unpack_intent(self):
        row = struct.unpack_from(_INTENT, self._intent.buffer, 0)
        ledger, infusion = self._ledger, self._infusion
        if row[3] > ledger.pulses:      # newer than the state record, whatever the clock was set to in between
            self.time_s, infusion.demand.rem, infusion.acc_nl = row[2], row[8], row[10]
            self.extra, self.extra_left_nl, self.extra_rate_nl_day, self.steady_s = row[11:]
        ledger.pulses, ledger.pulsed_ul, ledger.pulsed_nl, ledger.steps, ledger.revs = row[3:8]
        ledger.steps_rem = row[9]

    # ------------------------------------------------------------------------------------------------ blocks
    def _save(self, address, slot_bytes, slot, block, length):
        """Write beside the slot in use; its sequence is that of the state record which will point to it."""
        assert length + sl.HEAD + 2 <= slot_bytes
        sl.save_block(self._store, address + slot * slot_bytes, (self._state.seq + 1) & MAX_SMALL, block, length)
        return slot

    def _load(self, address, slot_bytes, slot):
        """The block in `slot` (sl.NONE: nothing), or None."""
        if not 0 <= slot <= 1:
            return None
        seq, block = sl.load_block(self._store, address + slot * slot_bytes, slot_bytes)
        return block if seq >= 0 else None

    def save_commission(self, block, length):
        """Write the canonical commissioning block beside the one in use; `commissioned` = what this returns, and `save_state`, flip to it."""
        return 1 + self._save(COMMISSION_AT, COMMISSION_SLOT, 1 if self.commissioned == 1 else 0, block, length)

    def load_commission(self):
        """The commissioning block in use (the newest, when the state record was lost), or None when its slot is damaged."""
        slot = self.commissioned - 1
        if slot < 0:
            slot = self._newest_commission()
        block = self._load(COMMISSION_AT, COMMISSION_SLOT, slot)
        self.commissioned = 0 if block is None else slot + 1
        return block

    def _newest_commission(self):
        """Its slot, or -1. Sequences go on behind the one found here: this is for a state record that was lost."""
        best = -1
        for slot in (0, 1):
            seq = sl.load_block(self._store, COMMISSION_AT + slot * COMMISSION_SLOT, COMMISSION_SLOT)[0]
            if seq >= self._state.seq:
                best, self._state.seq = slot, seq
        return best

    def save_program(self, block, length, time_s):
        """Write a canonical program block into the slot that does not run, and into the ring of past programs; returns the slot.

        `program_slot` = that slot, `prescriptions` + 1 and `save_state` flip to it.
        """
        slot = self._save(PROGRAM_AT, PROGRAM_SLOT, 1 if self.program_slot == 0 else 0, block, length)
        buffer = bytearray(length + 8)
        struct.pack_into("<IH", buffer, 0, time_s, length)
        buffer[6:6 + length] = memoryview(block)[:length]
        struct.pack_into("<H", buffer, length + 6, sl.crc16(buffer, 0, length + 6))
        self._store.write(PAST_AT + self.prescriptions % PAST * cat.PRESCRIPTION_BYTES, buffer, length + 8)
        return slot

    def load_program(self):
        """The canonical bytes of the running program, or None when there is none or its slot is damaged."""
        return self._load(PROGRAM_AT, PROGRAM_SLOT, self.program_slot)

    def first_prescription(self):
        """Absolute offset of the oldest program that is still there."""
        return max(0, self.prescriptions - PAST + 1) * cat.PRESCRIPTION_BYTES

    def past_program(self, offset, length):
        """Bytes from absolute `offset` of the past programs; stops at the end of a slot. The caller has checked the range."""
        number, at = offset // cat.PRESCRIPTION_BYTES, offset % cat.PRESCRIPTION_BYTES
        data = bytearray(min(length, cat.PRESCRIPTION_BYTES - at))
        self._store.read(PAST_AT + number % PAST * cat.PRESCRIPTION_BYTES + at, data, len(data))
        return data

    def save_copy(self, data, slot):
        """Write the supervisor's copy for the program in `slot`: the state's pointer flips both."""
        self._save(COPY_AT, COPY_SLOT, slot, data, len(data))

    def load_copy(self):
        """The supervisor's copy of the running program, or None."""
        return self._load(COPY_AT, COPY_SLOT, self.program_slot)

    def save_record(self, kind, block, length):
        """Write a fill, implant or trial record (cat.REFILL, IMPLANT_RECORD, TRIAL_RECORD) beside the one in use; returns its slot.

        `fill_slot`, `implant_slot` or `trial_slot` = that slot, and `save_state`, flip to it.
        """
        address, slot = self._record(kind)
        return self._save(address, RECORD_SLOT, 1 if slot == 0 else 0, block, length)

    def load_record(self, kind):
        """The canonical bytes of the record in use, or None when there is none or its slot is damaged."""
        address, slot = self._record(kind)
        return self._load(address, RECORD_SLOT, slot)

    def _record(self, kind):
        if kind == cat.REFILL:
            return FILL_AT, self.fill_slot
        if kind == cat.IMPLANT_RECORD:
            return IMPLANT_AT, self.implant_slot
        assert kind == cat.TRIAL_RECORD
        return TRIAL_AT, self.trial_slot
