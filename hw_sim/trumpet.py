"""The arithmetic of start-up and trumpet curves and of the bolus test, as IEC 60601-2-24 presents them (clinical.md 5). Pure.

That standard is for external pumps; for an implant it is a convention of presentation (ISO 14708-4 asks for declared accuracy and
leaves the way open). Weights become volumes here: a simulator needs no balance, and W / d is the volume at the tip.

    Q_i     = 60 (V_i - V_i-1) / S                        flow in sample interval i, from the volume at its ends
    E_i     = 100 (Q_i - r) / r                           its error, %
    Ep(max) = the highest over all windows of P = w S minutes of the mean of their w errors; Ep(min) the lowest.
              Windows overlap: one begins at every sample, (T2 - P) / S + 1 of them in T2
    A       = 100 (Q_mean - r) / r                        mean error over the whole of T2
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

SAMPLE_S = 900                                          # S of ambulatory pumps, 15 min: below it a slow rate shows single strokes
WINDOWS_MIN = (15, 60, 150, 330, 570, 930, 1440)        # P of ambulatory pumps, and a day added (clinical.md 5)
SLOW_NL_DAY, SLOW_WINDOWS_MIN = 100_000, (360, 570, 930, 1440)     # at 0.048 mL a day only windows of six hours and more (clinical.md 5)
BOLUSES = 25                                            # in a row
HOUR_S, DAY_S = 3600, 86_400
MIN_S = 60
UL_PER_NL = 1e-3


class Window(NamedTuple):
    """One point of the trumpet: P in minutes, Ep(max), Ep(min) and the quantisation floor (half-width) in %."""

    minutes: int
    highest_pct: float
    lowest_pct: float
    floor_pct: float


class BolusError(NamedTuple):
    """A bolus test: % of the programmed volume."""

    mean_pct: float
    highest_pct: float
    lowest_pct: float


def flows_ul_h(volumes_ul: Sequence[float], sample_s: int = SAMPLE_S) -> list[float]:
    """Q_i of each interval between `volumes_ul`, the running total at the tip every `sample_s`."""
    return [(after - before) * HOUR_S / sample_s for before, after in zip(volumes_ul, volumes_ul[1:])]


def errors_pct(flows: Sequence[float], rate_ul_h: float) -> list[float]:
    """E_i of each flow (uL/h) against the programmed rate. Raises ValueError for a rate that is not above 0."""
    if rate_ul_h <= 0:
        raise ValueError("a rate of %g uL/h has no error in %%: it must be above 0" % rate_ul_h)
    return [100 * (flow - rate_ul_h) / rate_ul_h for flow in flows]


def windows_for(rate_nl_day: int) -> tuple[int, ...]:
    """The observation windows (min) that make sense at a rate."""
    return SLOW_WINDOWS_MIN if rate_nl_day < SLOW_NL_DAY else WINDOWS_MIN


def extremes_pct(errors: Sequence[float], width: int) -> tuple[float, float]:
    """Ep(max) and Ep(min) of all overlapping windows of `width` (>= 1) samples. Raises ValueError when not one window fits."""
    if not 1 <= width <= len(errors):
        raise ValueError("a window of %d samples does not fit into %d" % (width, len(errors)))
    running = [0.0]
    for error in errors:
        running.append(running[-1] + error)
    means = [(running[i + width] - running[i]) / width for i in range(len(errors) - width + 1)]
    return max(means), min(means)


def floor_pct(stroke_nl: float, rate_nl_day: float, minutes: float) -> float:
    """100 V_stroke / (r P): what a pump that moves whole strokes cannot get below in a window, however exact it is."""
    return 100 * stroke_nl / (rate_nl_day * minutes * MIN_S / DAY_S)


def trumpet(errors: Sequence[float], rate_nl_day: int, stroke_nl: float, sample_s: int = SAMPLE_S) -> list[Window]:
    """The trumpet curve of T2's `errors` over the windows of this rate, those longer than T2 left out."""
    points = []
    for minutes in windows_for(rate_nl_day):
        width = minutes * MIN_S // sample_s
        if width <= len(errors):
            points.append(Window(minutes, *extremes_pct(errors, width), floor_pct(stroke_nl, rate_nl_day, minutes)))
    return points


def mean_error_pct(volumes_ul: Sequence[float], rate_nl_day: float, sample_s: int = SAMPLE_S) -> float:
    """A over the whole of `volumes_ul`."""
    due_ul = rate_nl_day * UL_PER_NL * (len(volumes_ul) - 1) * sample_s / DAY_S
    return 100 * (volumes_ul[-1] - volumes_ul[0] - due_ul) / due_ul


def bolus_error_pct(given_ul: Sequence[float], due_ul: float) -> BolusError:
    """Mean, highest and lowest error of boluses that should have been `due_ul` each."""
    errors = [100 * (given - due_ul) / due_ul for given in given_ul]
    return BolusError(math.fsum(errors) / len(errors), max(errors), min(errors))
