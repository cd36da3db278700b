"""Years of pumps, refill by refill: how far delivery is off the prescription, with and without the learning calibration.

The real `Trim` (firmware/trim.py) is told at each refill what the level's rise and the syringe say; the head is one of a production lot,
worn as the plant's head wears (clinical.md 4: 0..10 % over life, approached over revolutions). Between two refills the error stands, so a
fill is one step and 200 pumps of seven years take a second. Failures of one witness are tried too: its word alone must move nothing far.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from ..firmware.trim import Trim
from .detection import DEFAULT, Sensor

YEARS = 7.0                 # battery life of implanted pumps: 5-7 years, hard stop at 7 (clinical.md 1.1)
YEAR_DAYS = 365.25
FACTORY_SIGMA = 0.03        # J: sd of a head's volume about its factory figure; +/-14.5 % is what is published of whole pumps (ECRI 2014)
WEAR_MOST = 0.10            # share lost in the end, drawn evenly up to this (clinical.md 4)
WEAR_REV, UL_PER_REV = 20_000.0, 35.0       # params/head-reference.toml
RATES_UL_DAY = (200.0, 1500.0)              # drawn evenly in the logarithm
FILL_UL, FILL_DAYS = 16_500.0, 90.0         # refilled when so much is gone, at the latest after this
SYRINGE_SIGMA_UL = 150.0    # J: reading a 20 mL syringe of 1 mL marks in each of two pulls
LEFT_SIGMA_UL = 100.0       # J: old drug that a syringe left in the bellows, which sensor and syringe both take for delivered or not
ROUND_READINGS = 16         # in the mean that the firmware keeps of its level before and behind a fill (firmware/contents.py)
WILD_UL = 20_000.0          # what a failed witness may say
WORST_PART = 0.09           # of the fill: just below what Trim takes for no calibration
MORE_LEFT, LESS_LEFT = "both say more left", "both say less left"      # at every refill: the trim then takes from delivery, and adds to it


class Head(NamedTuple):
    """One pump of the lot: volume of a turn over the factory's figure when new, share lost to wear in the end, rate."""

    factory: float
    wear: float
    rate_ul_day: float

    def gain(self, pumped_ul: float) -> float:
        """Volume over the factory's figure when so much has been pumped."""
        return self.factory * (1 - self.wear * -math.expm1(-pumped_ul / UL_PER_REV / WEAR_REV))


class Life(NamedTuple):
    """One pump: time of each fill (years, at its middle), error of the volume in it (share), and the trim in force (thousandths)."""

    years: list[float]
    errors: list[float]
    trims: list[int]

    @property
    def mean(self) -> float:
        """Error of all that was delivered in its life."""
        return math.fsum(self.errors) / len(self.errors)


def head_of(seed: int) -> Head:
    """The pump of that seed."""
    chance = random.Random("head %d" % seed)
    low, high = RATES_UL_DAY
    return Head(1 + chance.gauss(0, FACTORY_SIGMA), chance.uniform(0, WEAR_MOST), low * (high / low) ** chance.random())


def life(head: Head, seed: int, learns: bool, *, sensor: Sensor = DEFAULT, failed: str = "", years: float = YEARS) -> Life:
    """Play a pump's refills. `failed`: 'sensor' or 'syringe' says anything at all from the first year on; MORE_LEFT, LESS_LEFT: both, the worst
    together."""
    chance, trim, lived = random.Random("life %d" % seed), Trim(), Life([], [], [])
    sensor_sigma_ul = math.sqrt(2 * (sensor.sigma_ul ** 2 + sensor.quantum_ul ** 2 / 12) / ROUND_READINGS)
    ordered_ul = min(FILL_UL, head.rate_ul_day * FILL_DAYS)
    fill_years = ordered_ul / head.rate_ul_day / YEAR_DAYS
    pumped_ul = at = before_ul = 0.0
    while at + fill_years <= years:
        turned_ul = ordered_ul * 1000 / (1000 + trim.part)
        error = turned_ul * head.gain(pumped_ul + turned_ul / 2) / ordered_ul - 1
        pumped_ul += turned_ul
        lived.years.append(at + fill_years / 2)
        lived.errors.append(error)
        lived.trims.append(trim.part)
        at += fill_years
        after_ul = chance.gauss(0, LEFT_SIGMA_UL)
        excess_ul = error * ordered_ul + after_ul - before_ul
        before_ul = after_ul
        seen_ul = excess_ul + chance.gauss(0, sensor_sigma_ul)
        told_ul = excess_ul + chance.gauss(0, SYRINGE_SIGMA_UL)
        if failed in (MORE_LEFT, LESS_LEFT):
            seen_ul = told_ul = ordered_ul * (WORST_PART if failed == MORE_LEFT else -WORST_PART)
        elif failed and at >= 1.0:
            wild_ul = chance.uniform(-WILD_UL, WILD_UL) * chance.choice((0.01, 0.1, 1.0))
            seen_ul, told_ul = (wild_ul, told_ul) if failed == "sensor" else (seen_ul, wild_ul)
        if learns:
            trim.learn(round(seen_ul), round(told_ul), round(ordered_ul))
    return lived


def moved(bare: Sequence[Life], other: Sequence[Life]) -> tuple[float, float]:
    """What a way of learning made of delivery, fill by fill beside the same pumps without it: the least and the most, shares (0: nothing)."""
    shares = [(1 + with_it) / (1 + without) - 1 for one, two in zip(bare, other, strict=True)
              for without, with_it in zip(one.errors, two.errors, strict=True)]
    return min(shares), max(shares)


class Band(NamedTuple):
    """|error| of all pumps in a span of time, %: median, 95 % of fills below, and the largest."""

    year: float
    median_pct: float
    late_pct: float
    most_pct: float


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0..1) of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def bands(lives: Sequence[Life], step_years: float = 0.5, years: float = YEARS) -> list[Band]:
    """|error| over time."""
    found = []
    for at in range(round(years / step_years)):
        low, high = at * step_years, (at + 1) * step_years
        errors = [100 * abs(error) for one in lives for year, error in zip(one.years, one.errors) if low <= year < high]
        if errors:
            found.append(Band((low + high) / 2, quantile(errors, 0.5), quantile(errors, 0.95), max(errors)))
    return found
