"""The second hand (R11): judges motion by the encoder alone, shares no ledger with the controller, and may drop enable.

It is told of every order (that is the lease), looks at the rotor when the lease is over, and at every wake in between.
Rotation is taken modulo one turn, so a lease must be shorter than half a turn: asserted where the pulse size is set.

What turned it holds against the *committed* program, which it reads from the block itself: an allowance grows with the program's
rate, never above one pulse, and every turn uses it up. So no window of any length, 1 h and 24 h among them, holds more than program
and granted boluses and MARGIN pulses. What was due and did not turn is summed over 24 h, a reset or not. Fallback rate, minimum rate
and safe state it keeps in a copy of its own with a CRC-16, in RAM and in the store.
"""

import struct
from array import array

from ..protocol.crc import crc16
from ..protocol.fields import get
from .limits import CLOCK_FOLLOW_S, CLOCK_JUMP_S, DAY_S, EDGE_COUNTS, MISSING_BYTES, SMALL, STALL_PULSES, STALL_S

QUIET, MOVED, LOST, UNORDERED = range(4)

MARGIN = 3              # pulses that no window may be over, or under: one in flight, one of rounding, one of noise
PART_S, PARTS = 14400, 6        # of the 24 h in which what was lost is summed
TICK_S = 64             # of the part under way, in the store
STILL_MS = 600000       # alarms.md row 1: proved still for 10 min
TRIM_MOST = 50          # thousandths: by more no calibration is off (firmware/trim.py); a larger one that it is told is none
_COPY = "<IIB"
assert MISSING_BYTES == PARTS + 1 and PART_S // TICK_S < 256


class Supervisor:
    """Counts of one revolution in `counts_per_rev`; time in milliseconds since the last look, given by the caller."""

    def __init__(self, motor):
        self._motor = motor
        self._counts = 4096
        self._steps = 4096
        self._longest = 0           # steps of a pulse at most ...
        self._spare = 0             # ... and beyond that with a trim
        self._nl_per_rev = 0        # the factory's ...
        self._trimmed_nl = 0        # ... and what a turn counts for against the program
        self._pulse_nl = 0
        self._angle = -1            # where the rotor stood when it was last seen at rest; -1: not seen yet
        self._expected = 0          # counts that the open lease should turn; 0: it is the self-test's, and nothing may
        self._lease_ms = 0          # what is left of it
        self.busy = False           # a lease runs
        self.proved = True          # nothing turned in the last of these
        self.open_loop = False      # row 6: the encoder is dead, a pulse counts as turned
        self.agrees = 0             # pulses in a row that such an encoder saw turn all the same
        self.seen = 0               # counts turned by the last lease that was judged
        self.expected = 0
        self.lost_in_a_row = 0
        self._lost_ms = 0           # since the first of them
        self._still_ms = 0          # without a lease and without motion
        self._drift_s = 0
        self._followed_s = 0
        self.ordered_counts = 0     # of all leases, and of these not seen to turn, since sensing took them last
        self.lost_counts = 0
        # the committed program, as this hand reads it
        self._block = b""
        self._weekdays = 0          # where these begin in the block
        self._most_daily_nl = 0
        self._rate = self._rate_from_s = self._rate_to_s = 0    # of the schedule's step found last
        self._copy = bytearray(struct.calcsize(_COPY) + 2)
        self.fallback_nl_day = 0
        self.minimum_nl_day = 0
        self.safe_state = 1
        # what may turn, and what did
        self._rem = 0
        self._allowance_nl = 0
        self._extra_nl = 0
        self._instead = False
        self._turned_rem = 0
        self._missing = array("i", [0] * PARTS)
        self._part = 0
        self._part_s = 0

    def commission(self, counts_per_rev, steps_per_rev, longest_pulse_steps, nl_per_rev=35000):
        """Take the encoder's and the head's constants; they come from the commissioning record, not from the controller."""
        assert longest_pulse_steps * 2 < steps_per_rev
        self._counts = counts_per_rev
        self._steps = steps_per_rev
        self._longest = longest_pulse_steps
        self._spare = 0
        self._nl_per_rev = self._trimmed_nl = nl_per_rev
        self._pulse_nl = longest_pulse_steps * nl_per_rev // steps_per_rev
        self._angle = -1

    def trim(self, part):
        """Behind `commission`: a turn counts for `part` thousandths more than the factory's volume, if that is within the bound."""
        if not -TRIM_MOST <= part <= TRIM_MOST:
            part = 0
        self._trimmed_nl = self._nl_per_rev * (1000 + part) // 1000     # down: the count must not run away from the pulses
        self._spare = self._longest // 19 + 1 if part < 0 else 0        # a pulse of 5 % less a turn has 1/0.95 of the steps

    # ------------------------------------------------------------------------------------------------ motion
    def lease(self, steps, hold_ms):
        """The controller is about to order `steps`; motion is allowed for `hold_ms`. False: it may not, and enable was dropped."""
        if self.busy or steps > self._longest + self._spare:
            self._motor.drop_enable()
            return False
        self._expected = steps * self._counts // self._steps
        self._lease_ms = hold_ms
        self.busy = True
        return True

    def probe(self):
        """The self-test of the switch: a short train while it is open. Nothing may turn; `proved` says so when this lease is over."""
        steps = (EDGE_COUNTS + 4) * self._steps // self._counts + 1
        self._expected = 0
        self._lease_ms = steps + 50
        self.busy = True            # a lease of nothing
        self.proved = False
        self._motor.order(steps, 0)

    def look(self, angle, elapsed_ms):
        """One look at the rotor, `elapsed_ms` after the last: MOVED or LOST when a lease was judged, else QUIET or UNORDERED.

        UNORDERED: the rotor turned by more than the encoder's noise while no lease was open. Enable is dropped at once.
        """
        if self.lost_in_a_row:
            self._lost_ms += elapsed_ms
        if self._angle < 0:
            self._angle = angle
        turned = angle - self._angle
        if turned > self._counts // 2:
            turned -= self._counts
        elif turned < -(self._counts // 2):
            turned += self._counts
        if self.busy:
            if self._still_ms:
                self._still_ms = 0
            if self._lease_ms > elapsed_ms:
                self._lease_ms -= elapsed_ms
                return QUIET
            return self._judge(angle, turned)
        if turned > EDGE_COUNTS or turned < -EDGE_COUNTS:
            return self._unordered(angle, turned)
        if self._still_ms < STILL_MS:
            self._still_ms += elapsed_ms
        return QUIET

    def _unordered(self, angle, turned):
        self._motor.drop_enable()
        self._still_ms = 0
        self._angle = angle
        self.seen = turned
        if turned > 0:
            self.ordered_counts += turned       # it left the reservoir: the level test must not take it for a leak
        return UNORDERED

    def _judge(self, angle, turned):
        self.busy = False
        if self._expected == 0:     # the self-test's
            if turned > EDGE_COUNTS or turned < -EDGE_COUNTS:
                return self._unordered(angle, turned)
            self.proved = True
            return QUIET
        self._angle = angle
        self.seen = turned
        self.expected = expected = self._expected
        if turned > expected + EDGE_COUNTS:
            return self._unordered(angle, turned)
        self.ordered_counts += expected
        if turned * 2 >= expected or self.open_loop:
            if self.open_loop:
                self.agrees = self.agrees + 1 if turned * 2 >= expected else 0
                turned = expected
            elif self.agrees:
                self.agrees = 0
            self._turned(turned)
            if self.lost_in_a_row:
                self.lost_in_a_row = 0
            return MOVED
        if self.agrees:
            self.agrees = 0
        if turned > 0:
            self._turned(turned)
        self.lost_counts += expected
        if self.lost_in_a_row == 0:
            self._lost_ms = 0
        self.lost_in_a_row += 1
        return LOST

    @property
    def stalled(self):
        """Row 7: three pulses in a row without motion, or the first of them 30 minutes ago."""
        return self.lost_in_a_row >= STALL_PULSES or (self.lost_in_a_row > 0 and self._lost_ms >= STALL_S * 1000)

    @property
    def still(self):
        """The rotor has stood for 10 min, without a lease."""
        return self._still_ms >= STILL_MS

    def volume_nl(self, counts):
        """What `counts` (at most some turns) move at the factory stroke volume."""
        return counts // self._counts * self._nl_per_rev + counts % self._counts * self._nl_per_rev // self._counts

    # ------------------------------------------------------------------------------------------------ the committed program
    def load(self, block, weekdays_at):
        """Read rates from a committed block from now on: `weekdays` begin at byte `weekdays_at`, then the patterns (catalogue). Allocates."""
        self._block, self._weekdays = block, weekdays_at
        self._allowance_nl = 0
        self._most_daily_nl = self._rate_to_s = 0
        for weekday in range(7):
            at = self._day_at(weekday)
            most = at + 1 + 6 * block[at]
            total = 0
            for step in range(at + 1, most, 6):
                end = get(block, step + 6, 2) if step + 6 < most else 1440
                total += (end - get(block, step, 2)) * get(block, step + 2, 4)
            self._most_daily_nl = max(self._most_daily_nl, total // 1440 + 1)
        for part in range(PARTS):
            self._missing[part] = 0

    def _day_at(self, weekday):
        """Where the weekday's pattern begins in the block."""
        block, at = self._block, self._weekdays
        skip = block[at + weekday]
        at += 8
        while skip:
            at += 1 + 6 * block[at]
            skip -= 1
        return at

    def _rate_at(self, at_s):
        """The committed program's rate at a pump time; looked up anew only behind the step that was found last."""
        block, at = self._block, self._day_at(at_s // DAY_S % 7)
        second = at_s % DAY_S
        self._rate_from_s, self._rate_to_s, self._rate = at_s, at_s - second + DAY_S, 0
        for step in range(at + 1, at + 1 + 6 * block[at], 6):
            start_s = get(block, step, 2) * 60
            if start_s <= second:
                self._rate = get(block, step + 2, 4)
            elif at_s - second + start_s < self._rate_to_s:
                self._rate_to_s = at_s - second + start_s
        return self._rate

    def keep(self, fallback_nl_day, minimum_nl_day, safe_state):
        """The copy of a program that is about to be committed, as bytes for the store."""
        return struct.pack(_COPY, fallback_nl_day, minimum_nl_day, safe_state)

    def take(self, data):
        """Hold this copy from now on (None: there is none). True when it is whole; without one, the safe state is a stop."""
        size = len(self._copy) - 2
        if data is None or len(data) != size:
            for index in range(size + 2):
                self._copy[index] = 0
            self.fallback_nl_day = self.minimum_nl_day = 0
            self.safe_state = 1
            return False
        self._copy[:size] = data
        self.fallback_nl_day, self.minimum_nl_day, self.safe_state = struct.unpack(_COPY, data)
        struct.pack_into("<H", self._copy, size, crc16(self._copy, 0, size))
        return True

    def copy_whole(self):
        """True while the copy in RAM has its CRC and says what this hand goes by. Allocates nothing."""
        copy = self._copy
        return (get(copy, 9, 2) == crc16(copy, 0, 9) and get(copy, 0, 4) == self.fallback_nl_day and get(copy, 4, 4) == self.minimum_nl_day
                and copy[8] == self.safe_state)

    def allow(self, volume_nl, instead=False):
        """An extra of this volume was granted, beside the program or instead of it; 0: it has ended."""
        self._extra_nl = volume_nl
        self._instead = instead

    def permit(self, seconds, at_s, action):
        """Drug was due for `seconds` from pump time `at_s` on, under an alarm action (alarms.py)."""
        if self._instead or (not self._block and action < 3):
            return
        if action < 2:
            rate = self._rate
            if not self._rate_from_s <= at_s < self._rate_to_s:
                rate = self._rate_at(at_s)
        elif action == 2:
            rate = self._most_daily_nl
        else:
            rate = self.fallback_nl_day if action == 3 else self.minimum_nl_day
        due_nl = self._integral(rate, seconds)
        allowed_nl = self._allowance_nl + due_nl
        self._allowance_nl = allowed_nl if allowed_nl < self._pulse_nl else self._pulse_nl
        if action < 2:
            self._missing[self._part] += due_nl
        seconds += self._part_s
        while seconds >= PART_S:
            seconds -= PART_S
            self._part = (self._part + 1) % PARTS
            self._missing[self._part] = 0
        self._part_s = seconds

    def _integral(self, rate, seconds):
        """nL in `seconds` at `rate`, exact for ever. Own arithmetic: chunks as long as small integers allow."""
        total, most, rem = 0, (SMALL - DAY_S) // (rate + 1), self._rem
        while seconds > 0:
            part = seconds if seconds < most else most
            rem += rate * part
            total += rem // DAY_S
            rem %= DAY_S
            seconds -= part
        self._rem = rem
        return total

    def _turned(self, counts):
        """Book a turn against what may turn."""
        per_rev = self._counts
        volume_nl = self._turned_rem + counts % per_rev * self._trimmed_nl
        self._turned_rem = volume_nl % per_rev
        volume_nl = counts // per_rev * self._trimmed_nl + volume_nl // per_rev
        self._missing[self._part] -= volume_nl
        self._allowance_nl -= volume_nl
        if self._allowance_nl < 0 and self._extra_nl:
            part = min(self._extra_nl, -self._allowance_nl)
            self._extra_nl -= part
            self._allowance_nl += part
            self._missing[self._part] += part

    def over(self):
        """nL beyond program and extras, once they are more than MARGIN pulses; then the count begins anew. Else 0."""
        over_nl = -self._allowance_nl
        if over_nl <= MARGIN * self._pulse_nl or not self._block:
            return 0
        self._allowance_nl = 0
        return over_nl

    def short(self):
        """nL of the last 24 h that were due and did not turn, once they are a fifth of a day's; then the count begins anew. Else 0."""
        total = sum(self._missing)
        if self._most_daily_nl == 0 or total <= self._most_missing_nl():
            return 0
        for part in range(PARTS):
            self._missing[part] = 0
        return total

    def _most_missing_nl(self):
        return self._most_daily_nl // 5 + MARGIN * self._pulse_nl

    def save(self, out):
        """The six parts of these 24 h for the store, oldest first, each to a 127th of what `short` lets pass, and the time of the last: MISSING_BYTES."""
        unit = self._most_missing_nl() // 127 + 1
        for part in range(PARTS):
            out[part] = max(-128, min(127, (self._missing[(self._part + 1 + part) % PARTS] + unit // 2) // unit)) & 255
        out[PARTS] = self._part_s // TICK_S

    def restore(self, kept, age_s, cut):
        """What `save` gave, `age_s` (0..2**30 - 1) later, behind `load` of the program it was of.

        `cut`: the reset came in a pulse. Nobody saw it turn: it is never repeated, and it is missing here, or a cell that gives way under
        each pulse would be silent. It counts for no less than what `save` tells apart.
        """
        unit, age_s, self._part = self._most_missing_nl() // 127 + 1, age_s + kept[PARTS] * TICK_S, PARTS - 1
        self._part_s, gone = age_s % PART_S, age_s // PART_S
        for part in range(PARTS - gone):
            self._missing[part] = ((kept[part + gone] ^ 128) - 128) * unit
        if cut:
            self._missing[PARTS - 1] += max(unit, self._pulse_nl)

    # ------------------------------------------------------------------------------------------------ time
    def clock_jump_s(self, rtc_s, ticked_s):
        """Seconds by which the RTC moved against the tick beyond a crystal's drift, once they are a jump; else 0.

        Drift is followed as fast as crystals drift and no faster, so that many small jumps add up to a large one.
        """
        off = rtc_s - ticked_s - self._drift_s
        if off == 0:
            return 0
        budget = 1 + (ticked_s - self._followed_s) // CLOCK_FOLLOW_S
        jumped = off > CLOCK_JUMP_S or off < -CLOCK_JUMP_S
        if jumped or -budget <= off <= budget:
            self._drift_s += off
            self._followed_s = ticked_s
        return off if jumped else 0

    def clock_set(self, rtc_s, ticked_s):
        """The clock was set by order: start comparing from here."""
        self._drift_s = rtc_s - ticked_s
        self._followed_s = ticked_s
