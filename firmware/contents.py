"""What is in the reservoir, by the sensor and by the book, and for how long it lasts.

The level sensor is noisy (50 uL) and drifts (50 uL per root day, DESIGN 8): it is filtered, and after each refill, the one time
when the contents are known, the drift since the last refill is taken out, within a bound that no pocket fill can hide in.
"""

from . import alarms as al
from .limits import EMPTY_MARGIN_UL, LEVEL_SHIFT, LOW_DAYS, LOW_UL, OFFSET_MOST_UL, TARE_MOST_UL, TARE_ROUNDS

FILL_ROUNDS = 4             # within 10 min of a fill the level must have risen by what was injected (alarms.md 4) ...
LARGE_UL = 30000            # ... within 1 mL, or 2 mL in a reservoir as large as this

NOT_YET, KEPT, TARED, DIFFERS = range(4)


class Contents:
    """`look(raw)` once a sensor round; `sensed_ul` is the filtered level."""

    def __init__(self, ledger, settings):
        self._ledger = ledger
        self._settings = settings       # holds level_offset_ul: what the sensor reads above the contents
        self._nl_per_count = 0
        self._level = -1                # filtered counts << LEVEL_SHIFT; -1: take the next reading whole
        self._tare_rounds = 0           # rounds until the sensor is compared with the book after a refill
        self.capacity_ul = 0
        self.residual_ul = 0
        self.sensed_ul = 0
        self.reading_ul = 0             # the last reading, unfiltered and without the offset
        self.off_ul = 0                 # sensed minus computed when they were last compared

    def commission(self, nl_per_count, capacity_ul, residual_ul):
        """Take the sensor's and the bellows' constants."""
        self._nl_per_count = nl_per_count
        self.capacity_ul = capacity_ul
        self.residual_ul = residual_ul
        self._level = -1

    @property
    def fresh(self):
        """True until the first look."""
        return self._level < 0

    def refilled(self):
        """The contents changed under the filter: start it anew, and compare it with the book when it has settled."""
        self._level = -1
        self._tare_rounds = TARE_ROUNDS

    def look(self, raw):
        """Take a reading; TARED, KEPT or DIFFERS when it was compared with the book after a refill, else NOT_YET.

        DIFFERS, 10 min after it: what was injected is not in the reservoir, or more than was told (pocket fill, overfill).
        """
        level = raw << LEVEL_SHIFT
        self._level = level if self._level < 0 else self._level + ((level - self._level) >> LEVEL_SHIFT)
        self.reading_ul = self._ul(raw, 0)
        sensed_ul = self._ul(self._level >> LEVEL_SHIFT, self._level & (1 << LEVEL_SHIFT) - 1) - self._settings.level_offset_ul
        self.sensed_ul = sensed_ul if sensed_ul > 0 else 0
        if self._tare_rounds == 0:
            return NOT_YET
        self._tare_rounds -= 1
        self.off_ul = self.sensed_ul - self._ledger.reservoir_nl() // 1000
        if self._tare_rounds == TARE_ROUNDS - FILL_ROUNDS:
            limit_ul = 2 * TARE_MOST_UL if self.capacity_ul >= LARGE_UL else TARE_MOST_UL
            if self.off_ul > limit_ul or self.off_ul < -limit_ul:
                return DIFFERS
        if self._tare_rounds:
            return NOT_YET
        offset_ul = self._settings.level_offset_ul + self.off_ul
        if not -TARE_MOST_UL <= self.off_ul <= TARE_MOST_UL or not -OFFSET_MOST_UL <= offset_ul <= OFFSET_MOST_UL:
            return KEPT
        self._settings.level_offset_ul = offset_ul
        self.sensed_ul -= self.off_ul       # in this round too: a full reservoir's drift is no overfill
        return TARED

    def _ul(self, counts, rest):
        """uL and nL of a count apart, so that a sensor stuck at full scale costs a 32-bit heap nothing either."""
        part_nl = counts * (self._nl_per_count % 1000) + (rest * self._nl_per_count >> LEVEL_SHIFT)
        return counts * (self._nl_per_count // 1000) + part_nl // 1000

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

        `faulty`: the level sensor is (row 21); the book alone stops nothing.
        """
        if self._ledger.base_nl == 0 or daily_nl == 0:
            return 0
        if self.sensed_ul <= self.residual_ul and not faulty:
            return al.EMPTY_SENSED
        if (faulty or self.sensed_ul > self.residual_ul + EMPTY_MARGIN_UL) and self.usable_nl() <= 0:
            return al.EMPTY_COMPUTED
        return 0

    def low(self, daily_nl):
        """Row 19: below seven days of the heaviest day, or below 2 mL."""
        if self._ledger.base_nl == 0 or daily_nl == 0:
            return False
        usable_nl = self.usable_nl()
        return usable_nl < LOW_UL * 1000 or usable_nl < LOW_DAYS * daily_nl
