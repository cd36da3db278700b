"""The level test alone on its sensor model: how often it is wrong, how late it is right, and what the best conceivable test would do.

The detector is the real firmware class (firmware/level_test.py). The sensor is DESIGN 8's: white noise of 50 uL, a quantum of 10 uL, a random
walk of 50 uL per root day, which nobody can tell from drug that leaves. Hourly means are drawn by their exact joint distribution and not
reading by reading: of n readings over a walk of variance s2 an hour, its end and its mean are normal with variances s2 and s2 (n+1)(2n+1)/6n2 and
covariance s2 (n+1)/2n; the readings' noise of a mean is (sigma2 + quantum2/12)/n. `by_readings` draws the readings themselves, to compare.

The optimum: the differences of such means are a moving average of order one, x_k = e_k + theta e_k-1 with independent normal e_k, exactly. A shift d
of x, from a known instant on, shows in e_k as m_0 = d, m_j = d - theta m_j-1; `Ideal` is Page's CUSUM of that exact log-likelihood ratio in floats,
for a shift that it is told (the firmware is not), its threshold set to the firmware's own false-alarm rate on the same pumps.
Below it lies Lorden's bound for a change of drift in a walk: what no test whatever beats, even of readings without noise.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..firmware.level_test import BLIND_NL_DAY, FREE, HOUR_S, OVER, QUIET, READINGS, LevelTest
from ..firmware.limits import CHECK_S

__all__ = ["BLIND_NL_DAY", "BLIND_TEXT", "DEFAULT", "STEADIER"]
DAY_S, DAY_H, YEAR_H = 86_400, 24, 8766
PULSE_NL = 1000
USABLE_NL = 18_600_000              # of the 20 mL reservoir
REFILL_H = 180 * DAY_H              # at the latest: what most drugs live in a pump (clinical.md 1.1)
FALSE_A_YEAR = 0.1                  # the bar of DESIGN 11: one in ten pump-years
LEAST_NATS = 2.0                    # no threshold of interest lies below: lower peaks are not kept
BLIND_TEXT = "declared undetectable at and below 0.05 mL/day: the excess equals the sensor's drift; the refill finds it (alarms.md 4)"


class Sensor(NamedTuple):
    """A level sensor: white noise (uL), quantum (uL), random walk (uL per root day)."""

    sigma_ul: float
    quantum_ul: float
    drift_ul_sqrt_day: float


DEFAULT = Sensor(50.0, 10.0, 50.0)      # DESIGN 8, params/sensors-reference.toml
STEADIER = Sensor(50.0, 10.0, 15.0)     # what alarms.md 4 takes for its bounds, drift of 15 uL a day: params/sensors-low-drift.toml


class Means(NamedTuple):
    """How the firmware sees a rate: seconds between its sensor rounds, readings of a mean, seconds of a mean."""

    reading_s: float
    readings: int
    seconds: int


def fitted(sensor: Sensor) -> LevelTest:
    """The firmware's test as a pump with this sensor is commissioned: of the class of its walk."""
    test = LevelTest()
    test.commission(math.ceil(sensor.drift_ul_sqrt_day))
    return test


def means_at(rate_nl_day: float) -> Means:
    """Rounds ride on the pulses, at the first wake 150 s behind the last, at the latest after 300 s (firmware/sensing.py); a mean
    is an hour and 16 readings at least."""
    between_s = PULSE_NL / rate_nl_day * DAY_S if rate_nl_day else math.inf
    if between_s > CHECK_S:
        reading_s = between_s / math.ceil(between_s / CHECK_S) if between_s < math.inf else float(CHECK_S)
    else:
        reading_s = math.ceil(CHECK_S / 2 / between_s) * between_s
    readings = max(READINGS, math.ceil(HOUR_S / reading_s))
    return Means(reading_s, readings, round(readings * reading_s))


def least_delay_h(excess_ul_day: float, sensor: Sensor, a_year: float = FALSE_A_YEAR) -> float:
    """Lorden's bound, hours: mean delay, at the worst onset, of the best test of `excess_ul_day` in the sensor's walk with `a_year` false alarms."""
    if excess_ul_day <= 0:
        return math.inf
    twice = 2 * sensor.drift_ul_sqrt_day ** 2 / excess_ul_day ** 2      # days to learn one nat
    return max(0.0, twice * (math.log(YEAR_H / DAY_H / a_year / twice) - 1)) * DAY_H if twice * a_year < YEAR_H / DAY_H else math.inf


# ------------------------------------------------------------------------------------------------ what the firmware is shown

def covariances_ul2(sensor: Sensor, means: Means) -> tuple[float, float]:
    """Variance of x, the difference of two means that follow each other, and its covariance with the next; uL^2."""
    n = means.readings
    walk = sensor.drift_ul_sqrt_day ** 2 * means.seconds / DAY_S
    noise = (sensor.sigma_ul ** 2 + sensor.quantum_ul ** 2 / 12) / n
    inside = walk * (n + 1) * (2 * n + 1) / (6 * n * n)
    shared = walk * (n + 1) / (2 * n)
    return walk + 2 * inside - 2 * shared + 2 * noise, shared - inside - noise


def differences(sensor: Sensor, means: Means, chance: random.Random) -> Iterator[float]:
    """x of a sound pump, for ever: how much less a mean is than the one before, beyond what was ordered (uL). Exact in law."""
    n = means.readings
    walk = sensor.drift_ul_sqrt_day ** 2 * means.seconds / DAY_S
    noise = math.sqrt((sensor.sigma_ul ** 2 + sensor.quantum_ul ** 2 / 12) / n)
    end, share = math.sqrt(walk), (n + 1) / (2 * n)         # the walk's mean, given its end: share of the end, and a rest
    rest = math.sqrt(max(0.0, walk * ((n + 1) * (2 * n + 1) / (6 * n * n) - share * share)) + noise * noise)
    gauss = chance.gauss
    before, start = gauss(0, noise), 0.0                    # the walk is counted from the start of the present mean
    while True:
        moved = gauss(0, end)
        now = share * moved + gauss(0, rest)
        yield before - now - start
        before, start = now, moved                          # the next mean starts where this one's walk ended


def by_readings(sensor: Sensor, means: Means, chance: random.Random, excess_ul_day: float = 0.0) -> Iterator[tuple[int, float]]:
    """Readings of a level that is corrected by what was ordered: (uL as the converter says it, s since the last), for ever."""
    level, step = 18_000.0, sensor.drift_ul_sqrt_day * math.sqrt(means.reading_s / DAY_S)
    while True:
        level += chance.gauss(0, step) - excess_ul_day * means.reading_s / DAY_S
        yield round((level + chance.gauss(0, sensor.sigma_ul)) / sensor.quantum_ul) * round(sensor.quantum_ul), means.reading_s


class Ideal:
    """CUSUM of the exact log-likelihood ratio of a known shift `d_ul` of every x. `look(x)` returns the sum, in nats; it begins anew at 0."""

    def __init__(self, sensor: Sensor, means: Means, d_ul: float) -> None:
        variance, covariance = covariances_ul2(sensor, means)
        ratio = covariance / variance
        self.theta = (1 - math.sqrt(1 - 4 * ratio * ratio)) / (2 * ratio) if ratio else 0.0
        self.variance = variance / (1 + self.theta ** 2)    # of an innovation
        self.d_ul = d_ul
        self.sum = 0.0
        self._e = self._m = 0.0

    def look(self, x_ul: float) -> float:
        """Take one x (uL)."""
        e = self._e = x_ul - self.theta * self._e
        if self.sum <= 0.0:
            self.sum = self._m = 0.0
        m = self._m = self.d_ul - self.theta * self._m
        self.sum += (m * e - m * m / 2) / self.variance
        return self.sum


# ------------------------------------------------------------------------------------------------ campaigns

class Orders:
    """Whole pulses of a rate, mean by mean (nL)."""

    def __init__(self, rate_nl_day: float, means: Means) -> None:
        self._due_nl, self._step_nl = 0.0, rate_nl_day * means.seconds / DAY_S

    def next(self) -> int:
        """What was ordered during the next mean."""
        self._due_nl += self._step_nl
        ordered_nl = int(self._due_nl) // PULSE_NL * PULSE_NL
        self._due_nl -= ordered_nl
        return ordered_nl


def refill_h(rate_nl_day: float) -> float:
    """Hours from one refill of the 20 mL reservoir to the next."""
    return min(REFILL_H, USABLE_NL / rate_nl_day * DAY_H) if rate_nl_day else REFILL_H


class Quiet(NamedTuple):
    """Sound pumps at one rate: findings of the firmware by kind, and for each shift the peaks of the ideal sum, highest first."""

    years: float
    findings: dict[int, int]
    peaks: dict[float, list[float]]

    @property
    def false_a_year(self) -> float:
        """All kinds together."""
        return sum(self.findings.values()) / self.years

    def threshold(self, gain: float) -> float:
        """The ideal test's, in nats, at which it raises as many false alarms for too much as the firmware did (one at least)."""
        wrong = max(1, self.findings.get(OVER, 0) + self.findings.get(FREE, 0))
        peaks = self.peaks[gain]
        return peaks[wrong - 1] if len(peaks) >= wrong else LEAST_NATS


def quiet_years(rate_nl_day: int, pumps: int, sensor: Sensor = DEFAULT, gains: Sequence[float] = (), *, hours: int = YEAR_H, first: int = 1) -> Quiet:
    """`pumps` seeded pumps (`first`, ...) without a fault for `hours` each, emptied and refilled: every finding is a false alarm."""
    means = means_at(rate_nl_day)
    each, until_refill = means.seconds / HOUR_S, refill_h(rate_nl_day)
    findings: dict[int, int] = {}
    peaks: dict[float, list[float]] = {gain: [] for gain in gains}
    for seed in range(first, first + pumps):
        chance = random.Random("quiet %d %d" % (rate_nl_day, seed))
        stream, orders, level_test = differences(sensor, means, chance), Orders(rate_nl_day, means), fitted(sensor)
        ideals = [(Ideal(sensor, means, rate_nl_day * (gain - 1) / 1000 * each / DAY_H), peaks[gain]) for gain in gains]
        tops = [0.0] * len(ideals)
        since_h = 0.0
        for _ in range(round(hours / each)):
            x_ul = next(stream)
            found = level_test.hour(round(x_ul), orders.next(), 0, means.seconds)
            if found != QUIET:
                findings[found] = findings.get(found, 0) + 1
            for i, (ideal, kept) in enumerate(ideals):
                now = ideal.look(x_ul)
                if now > tops[i]:
                    tops[i] = now
                elif now <= 0.0 and tops[i] > 0.0:
                    if tops[i] > LEAST_NATS:
                        kept.append(tops[i])
                    tops[i] = 0.0
            since_h += each
            if since_h >= until_refill:
                since_h = 0.0
                level_test.restart()
    for kept in peaks.values():
        kept.sort(reverse=True)
    return Quiet(pumps * hours / YEAR_H, findings, peaks)


class Delays(NamedTuple):
    """Onsets of one fault at one rate: hours until the firmware and until the ideal test found it (None: not before the refill)."""

    firmware_h: list[float | None]
    ideal_h: list[float | None]


def delays(rate_nl_day: int, gain: float, onsets: int, threshold: float, sensor: Sensor = DEFAULT) -> Delays:
    """`onsets` heads that begin to deliver `gain` times the order, each on the second or third day behind a refill, anywhere within a mean."""
    means = means_at(rate_nl_day)
    each = means.seconds / HOUR_S
    excess_ul = rate_nl_day * (gain - 1) / 1000 * each / DAY_H
    most = max(2, round(refill_h(rate_nl_day) / each))
    found: Delays = Delays([], [])
    for seed in range(1, onsets + 1):
        chance = random.Random("onset %d %g %d" % (rate_nl_day, gain, seed))
        stream, orders, level_test = differences(sensor, means, chance), Orders(rate_nl_day, means), fitted(sensor)
        ideal = Ideal(sensor, means, excess_ul)
        for _ in range(round(chance.uniform(24, 72) / each)):
            x_ul = next(stream)
            if level_test.hour(round(x_ul), orders.next(), 0, means.seconds) != QUIET:
                level_test.restart()
            if ideal.look(x_ul) > threshold:
                ideal.sum = 0.0
        ours: float | None = None
        best: float | None = None
        after = 1 - chance.random()                         # how much of the first mean is behind the onset
        for passed in range(most):
            x_ul = next(stream) + excess_ul * (after * after / 2 if passed == 0 else after + 0.5 - after * after / 2 if passed == 1 else 1)
            if ours is None and level_test.hour(round(x_ul), orders.next(), 0, means.seconds) in (OVER, FREE):
                ours = (passed + after) * each
            if best is None and ideal.look(x_ul) > threshold:
                best = (passed + after) * each
            if ours is not None and best is not None:
                break
        found.firmware_h.append(ours)
        found.ideal_h.append(best)
    return found


def mean_h(hours: Sequence[float | None]) -> float | None:
    """The mean delay, None unless nine in ten were found (a mean of the lucky ones would flatter)."""
    known = [hour for hour in hours if hour is not None]
    return math.fsum(known) / len(known) if len(known) >= 0.9 * len(hours) and known else None


def within(hours: Sequence[float | None], bound_h: float) -> float:
    """The share that was found within `bound_h`."""
    return sum(hour is not None and hour <= bound_h for hour in hours) / len(hours)


def late_h(hours: Sequence[float | None], share: float = 0.95) -> float | None:
    """Within how many hours `share` of all were found, None if fewer were."""
    ordered = sorted(math.inf if hour is None else hour for hour in hours)
    at = ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
    return at if at < math.inf else None
