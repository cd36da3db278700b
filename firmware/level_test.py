"""The level test: does the reservoir empty as the rotor turned? The one hand that sees an over-infusing head (R11, alarms.md 4).

Each reading is corrected by all that was ordered up to it at the *factory* stroke volume, so that it stays where it is while the
head is sound; hourly means of that are compared. What is missing beyond the orders is summed with the weight that the hypothesis
"30 % too much" has in that hour (a likelihood ratio, a CUSUM): the test follows any schedule, and its threshold is one number.
A second sum looks for 150 uL a day whatever was ordered. The sensor's own random walk, 50 uL per root day, sets what can be found how
fast; tests/firmware/test_level_test.py has the figures. At and below BLIND_NL_DAY, of the mean of some 16 hours (by the hour it would
flicker with the pulses, and the readings' noise would no longer cancel), an over-infusing head is declared undetectable but for what
the second sum finds, 3x in five days; and up to 0.1 mL a day 1.3x drowns in the walk: seven weeks, and the refill may be first (no test
of this sensor does it in less than thirty days). A sensor that is commissioned with a walk of 15 uL at most has a class of its own:
five days, in the mean. The false alarms are a sound head's: one that gives 3 % more at 0.5 mL a day has four times as many
(hw_sim/anomalies.toml AN-14 says what a tolerance would cost).

A third sum tells a dead encoder from a stall: what was ordered and not seen to turn has left the reservoir, or has not. It is a
sequential test from the stall's first hour on: noise late in a long stall has all that stood before it against it. An encoder that saw a
pulse turn is not dead: the sum is of what was lost since. Pulses lost now and then are row 10's. (An encoder that misses pulses now and
then which did turn reads the same: boluses are refused and nothing is made up, the dose is whole.) Of stalls of five days one in 90 is
taken for a dead encoder at worst; of pumps that lose 80 % of their pulses one in 200 in ten days, with half of them none (the tests).
"""

from .limits import SMALL

QUIET, OVER, UNDER, SENSOR, FREE, ENCODER = range(6)     # the cause of E_LEVEL_TEST

BLIND_NL_DAY = 50000    # alarms.md 4: the excess drowns in the drift; the refill finds it
HOUR_S = 3600
READINGS = 16           # of an hour at least
STEADY_UL = 15          # per root day: a sensor that walks no more is of the second class
# A class: the least excess that its second sum looks for, in 0.1 uL an hour, beyond which no 30 % are looked for either (a larger one would be
# judged by the readings' noise); that sum's threshold; that of the sums of 30 %, and by how much it rises with the excess looked for.
# Thresholds are in (0.1 uL) x uL: walk variance of an hour x nats, from the simulation in the test. The second sum's is two nats above the
# other: a slow program has no false alarms but its. The slope: a slow program's chance excursion takes longer. A steady sensor's are nearly
# all for its readings' noise, 16 uL at either end of an excursion.
CLASSES = ((63, 13000, 9600, 20), (12, 1480, 1340, 0))      # 150 uL a day in a variance of 104 uL^2; 29 in 9.4
LESS_URGENT = 7         # under-infusion may take longer, by a seventh of the threshold: its false alarms are a quarter of the others
DEAD_MOST, DOUBT = 7000, 30000      # and 0.8 hours' worth more for the readings' noise; as sure as DOUBT that it is a stall, no surer
SOUND = 3               # % of what is ordered beyond the rate at which 30 % are that excess may be a sound head's, by its make or by the height:
                        # at 24 mL a day 1 % would be the 150 uL that the sums look for
GAIN = 4                # what a head delivers beyond the order is at most four times the order: more is no head, it is a free flow
FREE_UL = 450           # an hour
JUMP_UL, FALL_UL = 400, 250     # from reading to reading, six sigma: a flow when the next one falls on, else the sensor jumped
STEP_UL = 120           # what one hour may add to a sum: no single outlier is an alarm
X_MOST_UL = 2000
BOOK_MOST_NL = 500000000


class LevelTest:
    """`look()` once a sensor round; `restart()` behind a refill. Allocates nothing."""

    def __init__(self):
        self._hourly_nl = 0         # ordered in an hour, over some 16: pulses of 1 uL are too few in one to tell a slow program's rate
        self._class = CLASSES[0]
        self._judged = False
        self.restart()

    def commission(self, drift_ul):
        """Take the class of a sensor that walks `drift_ul` per root day at most."""
        self._class = CLASSES[drift_ul <= STEADY_UL]

    def restart(self):
        """The contents changed: begin anew."""
        self._book_nl = 0           # ordered since the restart
        self._before = self._mean = -1      # the reading before, and the mean of the hour before
        self._suspect = False
        self._over = self._leak = self._under = self._dead = 0
        self.excess_ul = self._since_nl = self.since_s = 0      # since both sums of too much were last nothing
        self._next()

    def _next(self):
        self._sum = self._n = self._s = self._hour_nl = self._lost_nl = 0
        self._seen_nl = 0           # of what was lost, before a pulse that was seen to turn

    def look(self, level_ul, ordered_nl, lost_nl, seconds):
        """One reading, and what was ordered since the last, of it `lost_nl` that the encoder did not see turn. QUIET, or what was found."""
        self._book_nl += ordered_nl
        if self._book_nl > BOOK_MOST_NL:
            self.restart()
        self._hour_nl += ordered_nl
        self._lost_nl += lost_nl
        if lost_nl < ordered_nl:
            self._seen_nl = self._lost_nl
        self._s += seconds
        level_ul += self._book_nl // 1000
        fall = self._before - level_ul - GAIN * ordered_nl // 1000 if self._before >= 0 else 0
        rise = level_ul - self._before if self._before >= 0 else 0
        self._before = level_ul
        if self._suspect:
            self._suspect = False
            if fall > FALL_UL:
                return FREE
            rise = SMALL
        if rise > JUMP_UL:
            self.restart()
            return SENSOR
        self._suspect = fall > JUMP_UL
        self._sum += level_ul
        self._n += 1
        if self._suspect or self._s < HOUR_S or self._n < READINGS:
            return QUIET
        mean, found = self._sum // self._n, QUIET
        if self._mean >= 0:
            found = self.hour(self._mean - mean, self._hour_nl, self._lost_nl, self._s)
        self._mean = mean
        self._next()
        return found

    def hour(self, x_ul, ordered_nl, lost_nl, seconds):
        """Judge one mean against the last: `x_ul` went beyond what was ordered in these `seconds`. QUIET, or what was found."""
        x_ul = max(-X_MOST_UL, x_ul)
        if x_ul > FREE_UL + GAIN * ordered_nl // 1000:
            return FREE
        if self._over == 0 and self._leak == 0:
            self.excess_ul = self._since_nl = self.since_s = 0
        self.excess_ul += x_ul
        self._since_nl += ordered_nl
        self.since_s += seconds
        if lost_nl < ordered_nl:
            self._dead = 0
        lost = (lost_nl - self._seen_nl) // 100
        if lost:
            self._dead = max(-DOUBT, self._dead + lost * (20 * x_ul + lost) // 20)
        least, leak_most, most, slope = self._class
        # in 1/20 uL, as x and lack: half of a hypothesis in 0.1 uL
        sound = max(0, ordered_nl - least * 1000 // 3 * seconds // HOUR_S) * SOUND // 5000
        x, lack = 20 * min(STEP_UL, x_ul) - sound, 20 * min(STEP_UL, -x_ul - lost_nl // 1000) - sound
        self._leak = max(0, self._leak + least * (x - least * seconds // HOUR_S) // 20)
        weight = 0
        self._hourly_nl += (ordered_nl // seconds * HOUR_S + ordered_nl % seconds * HOUR_S // seconds - self._hourly_nl) >> 4
        # once judged, down to 5 % less: at the limit itself it would flicker all the same
        if self._hourly_nl > BLIND_NL_DAY // (25 if self._judged else 24):
            self._judged = True
            # 30 %, in 0.1 uL an hour; of a steady sensor by the smoothed rate: two pulses or three weigh its readings' noise too differently
            weight = min(least, ordered_nl * 3 // 1000 * HOUR_S // seconds if slope else self._hourly_nl * 3 // 1000)
            expected = weight * seconds // HOUR_S
            self._over = max(0, self._over + weight * (x - expected) // 20)
            self._under = max(0, self._under + weight * (lack - expected) // 20)
        else:
            self._judged = False
            self._over = self._under = 0
        if self._dead > DEAD_MOST + lost * lost // 25:
            self._dead = 0
            return ENCODER
        most += slope * weight
        if self._over > most or self._leak > leak_most:
            self._over = self._leak = 0
            return FREE if self.excess_ul > GAIN * self._since_nl // 1000 else OVER
        if self._under > most + most // LESS_URGENT:
            self._under = 0
            return UNDER
        return QUIET
