"""What is in the reservoir, by the sensor and by the book, and for how long it lasts.

The level sensor is noisy (50 uL) and drifts (50 uL per root day, DESIGN 8). What is filtered is sensor minus book: pumping moves both, so
that the filter lags behind no flow. A reading far from it is none of these: hands, a leak or a fault; the filter follows when a third
says the same, and what it was before is kept for a while, since the order of a refill comes minutes after the liquid.

A fill is judged by the *rise* across it (alarms.md 4): months of drift stand in both levels and cancel. Sensor minus book must have moved
by what the syringe drew less than the book had expected, within 1 mL; then the drift is taken out (tare), and the move is what the head
delivered beyond the orders since the fill before (firmware/trim.py). Where the rise is not known - the first fill, nothing said to be
drawn, a fill behind one that differed - the sensor itself is held against the book.
"""

from . import alarms as al
from .limits import LEVEL_SHIFT, LOW_DAYS, LOW_UL, OFFSET_MOST_UL, TARE_MOST_UL, TARE_ROUNDS

FILL_ROUNDS = 4             # within 10 min of a fill the level must have risen by what was injected (alarms.md 4) ...
LARGE_UL = 30000            # ... within 1 mL, or 2 mL in a reservoir as large as this
FAR = 400 << LEVEL_SHIFT    # eight sigma of the sensor
REST_UL = 500               # above the residual a bellows at its stop may read for its drift ...
WALK_UL2 = 10000            # ... which has a variance of a quarter of this in a day (DESIGN 8): two sigma since the fill
FAR_LOOKS = 3               # as many in a row are no outliers

NOT_YET, KEPT, TARED, DIFFERS = range(4)


class Contents:
    """`look(raw)` once a sensor round; `sensed_ul` is the filtered level."""

    def __init__(self, ledger, settings):
        self._ledger = ledger
        self._settings = settings       # holds level_offset_ul: what the sensor reads above the contents
        self._nl_per_count = 0
        self._off = 0                   # sensor minus book, filtered, in 1 / 2**LEVEL_SHIFT uL
        self._looks = 0                 # in it: a mean of the first, later of some 16; 0: take the next reading whole
        self._far = 0                   # readings in a row that were FAR from it
        self.held = 0                   # rounds since then, downwards: a leap may still prove to be the sensor's
        self._before = None             # `_off` before that; None: not known
        self._sure = False              # the rise across the fill can be told
        self._differs = self._again = False     # what was injected was not in there: at this fill, at the one before
        self._tare_rounds = 0           # rounds until the sensor is compared with the book after a refill
        self.fell = False               # the level came down at once, and no fill since
        self.first = False              # the first fill is not proved to be in there: a bellows that never held anything reads nothing
        self.capacity_ul = 0
        self.residual_ul = 0
        self.sensed_ul = 0
        self.reading_ul = 0             # the last reading, unfiltered and without the offset
        self.off_ul = 0                 # sensed minus computed when they were last compared
        self.told_ul = 0                # at the last refill, of what left it since the one before beyond the orders: by the syringe ...
        self.seen_ul = 0                # ... and by the level's rise; both 0 when it could not be told
        self.drawn_ul = 0               # ... and what was ordered in that time

    def commission(self, nl_per_count, capacity_ul, residual_ul):
        """Take the sensor's and the bellows' constants."""
        self._nl_per_count = nl_per_count
        self.capacity_ul = capacity_ul
        self.residual_ul = residual_ul
        self._looks = 0
        self._before, self._sure = None, False

    @property
    def fresh(self):
        """True until the first look."""
        return self._looks == 0

    def refilled(self, withdrawn_ul, base_nl, left_nl):
        """The contents changed: start the filter anew, and judge the fill when it has settled.

        `base_nl` was in there after the refill before (0: this is the first) and `left_nl` now, by the book; the syringe drew `withdrawn_ul`.
        Two orders of one visit (a rinse and its fill) are one rise.
        """
        if not self._tare_rounds:
            self.told_ul, self.drawn_ul = 0, (base_nl - left_nl) // 1000
            self._sure, self._again, self._differs = self._before is not None, self._differs, False
        self.told_ul += left_nl // 1000 - self.residual_ul - withdrawn_ul
        if not withdrawn_ul or not base_nl:
            self._sure = False
        self.first = not base_nl
        self._tare_rounds = TARE_ROUNDS
        self._looks = self._far = self.held = 0
        self.fell = False

    def look(self, raw):
        """Take a reading; TARED, KEPT or DIFFERS when it was compared with the book after a refill, else NOT_YET.

        DIFFERS, 10 min after it: what was injected is not in the reservoir, or more than was told (pocket fill, overfill).
        """
        self.reading_ul = raw * (self._nl_per_count // 1000) + raw * (self._nl_per_count % 1000) // 1000
        book_nl = self._ledger.reservoir_nl()
        off = (self.reading_ul << LEVEL_SHIFT) - book_nl * 2 // 125
        gap = off - self._off
        if self._looks and -FAR <= gap <= FAR:
            self._far = 0
            self._looks = min(1 << LEVEL_SHIFT, self._looks + 1)
            self._off += gap // self._looks
        elif self._looks and self._far < FAR_LOOKS - 1:
            self._far += 1
            self.held = TARE_ROUNDS
        else:
            self.fell = self._looks > 0 and gap < 0
            self._off, self._looks, self._far = off, 1, 0
        off_ul = (self._off >> LEVEL_SHIFT) - self._settings.level_offset_ul
        self.sensed_ul = max(0, book_nl // 1000 + off_ul)
        if self._tare_rounds:
            return self._compare(off_ul)
        if self.held:
            self.held -= 1
        else:
            self._before = self._off
        return NOT_YET

    def _compare(self, off_ul):
        self._tare_rounds -= 1
        if self._tare_rounds and self._tare_rounds != TARE_ROUNDS - FILL_ROUNDS:
            return NOT_YET
        self.off_ul = off_ul
        limit_ul = 2 * TARE_MOST_UL if self.capacity_ul >= LARGE_UL else TARE_MOST_UL
        seen_ul = (self._off - self._before) >> LEVEL_SHIFT if self._sure else 0
        rose = self._sure and -limit_ul <= seen_ul - self.told_ul <= limit_ul
        near = -limit_ul <= off_ul <= limit_ul and (self._again or not self._sure)
        if self._tare_rounds:
            if rose or near:
                return NOT_YET
            self._differs, self._before = True, self._off       # what is done about it is another rise
            return DIFFERS
        self.seen_ul = seen_ul
        self.first = self.first and self._differs
        if not rose or self._again or self._differs:
            self.seen_ul = self.told_ul = 0
        drifted = rose and -TARE_MOST_UL <= seen_ul <= TARE_MOST_UL
        offset_ul = self._settings.level_offset_ul + off_ul
        if self._differs or not (drifted or -TARE_MOST_UL <= off_ul <= TARE_MOST_UL) or not -OFFSET_MOST_UL <= offset_ul <= OFFSET_MOST_UL:
            return KEPT
        self._settings.level_offset_ul = offset_ul
        self.sensed_ul -= off_ul            # in this round too: a full reservoir's drift is no overfill
        return TARED

    @property
    def settling(self):
        """True until the sensor was compared with the book after a refill."""
        return self._tare_rounds > 0

    def usable_nl(self):
        """Computed contents above the residual; negative when the book says empty."""
        return self._ledger.reservoir_nl() - self.residual_ul * 1000

    def days_left(self, daily_nl):
        """Whole days that the usable contents last at `daily_nl`; 65535 for a rate of 0."""
        if daily_nl == 0:
            return 65535
        usable_nl = self.usable_nl()
        return min(65535, usable_nl // daily_nl) if usable_nl > 0 else 0

    def alarm(self, daily_nl, faulty=False):
        """The row of alarms.md that the contents call for (8 or 9), or 0. A pump that was never filled calls for none.

        `faulty`: the level sensor is (row 21); the book alone stops nothing. A bellows at its stop reads its residual but for the drift: near
        it, it is empty when the book says so too, when the level came down at once and has stood there for an hour, or when the last fill
        is not in it.
        """
        if self._ledger.base_nl == 0 or daily_nl == 0 or (self.fell and self.held):
            return 0
        above_ul, spent = self.sensed_ul - self.residual_ul, self.usable_nl() <= 0
        hours = (self._settings.steady_s - self._settings.filled_s) // 3600
        if not faulty and (above_ul <= 0 or (above_ul <= REST_UL and (self.fell or self._differs or (spent and above_ul * above_ul * 24 <= WALK_UL2 * hours)))):
            return al.EMPTY_SENSED
        return al.EMPTY_COMPUTED if spent else 0

    def low(self, daily_nl):
        """Row 19: below seven days of the heaviest day, or below 2 mL."""
        if self._ledger.base_nl == 0 or daily_nl == 0:
            return False
        usable_nl = self.usable_nl()
        return usable_nl < LOW_UL * 1000 or usable_nl < LOW_DAYS * daily_nl
