"""How a drug's front spreads along a bore: shear of the flow, forgotten as it diffuses across, and diffusion between cells.

Poiseuille flow carries the middle ahead of the wall: a displacement x spreads its content by a variance of x^2 / 3, unless
the drug has meanwhile diffused across the bore. The memory of recent displacement M fades at 16 D / a^2 (8.8 s in the
reference bore): dM = dx - M dt / memory, dV = 2/3 M dx. One memory in place of the endless row of radial modes, exact at
both ends: steady flow gives Taylor-Aris, D_eff = D (1 + (a u / D)^2 / 48), strokes far apart a third of each one's squared
length (at 0.5 mL/day and 1 uL strokes a front of 3.5 cm where steady flow gives 1.2 cm), and a displacement that is taken
back at once spreads nothing. Between the ends the slowest radial mode alone would fade at 14.7 D / a^2.
"""
from __future__ import annotations

import math

SHEAR = 1 / 3           # variance of a displacement over the round bore, per squared mean displacement
FADING = 16             # D / a^2 of the memory: with SHEAR it makes 1 / 48 of Taylor and Aris
STROKE = 1e-4           # of the memory's time: what is shorter is a stroke, to within half of this


def spread_m2_s(diffusion_m2_s: float, radius_m: float, speed_m_s: float) -> float:
    """Taylor-Aris effective axial diffusion of a steady laminar flow."""
    peclet = radius_m * speed_m_s / diffusion_m2_s if diffusion_m2_s else 0.0
    return diffusion_m2_s * (1 + peclet * peclet / 48)


class Shear:
    """The memory of one bore; volumes (uL) stand for displacements."""

    __slots__ = ("variance_ul2", "_recent_ul", "_per_s", "_t_us")

    def __init__(self, diffusion_m2_s: float, radius_m: float):
        self.variance_ul2 = 0.0         # spread since it was last taken to 0
        self._recent_ul = 0.0
        self._per_s = FADING * diffusion_m2_s / (radius_m * radius_m)
        self._t_us = 0

    def flow(self, start_us: int, end_us: int, volume_ul: float) -> None:
        """`volume_ul` has passed, evenly from `start_us` to `end_us` (at once if they are equal); back if it is below 0."""
        recent = self._recent_ul * math.exp(-self._per_s * max(0, start_us - self._t_us) * 1e-6)
        fades = self._per_s * (end_us - start_us) * 1e-6
        if fades < STROKE:
            self.variance_ul2 += SHEAR * volume_ul * (2 * recent + volume_ul)
            self._recent_ul = recent + volume_ul
        else:
            kept = -math.expm1(-fades) / fades
            self.variance_ul2 += 2 * SHEAR * volume_ul * (recent * kept + volume_ul * (1 - kept) / fades)
            self._recent_ul = recent * math.exp(-fades) + volume_ul * kept
        self._t_us = end_us


def diffused(widths: list[float], columns: list[list[float]], spreads_ul2: list[float]) -> list[list[float]]:
    """One backward Euler step of diffusion between cells, closed at both ends: mass-conserving, stable for any time.

    `widths` in uL, one column of cell concentrations per drug, `spreads_ul2` = D_eff t in volume coordinates (uL^2) for
    each border between two cells; the variance it adds is 2 D_eff t exactly.
    """
    count = len(widths)
    across = [2 * spread / (here + there) for spread, here, there in zip(spreads_ul2, widths, widths[1:])]
    across.append(0.0)
    ratios, pivots = [], []
    ratio = before = 0.0
    for width, after in zip(widths, across):
        pivot = 1 / (width + before + after - before * ratio)
        ratio = after * pivot
        pivots.append(pivot)
        ratios.append(ratio)
        before = after
    spread = []
    for column in columns:
        value = before = 0.0
        forward = []
        for width, conc, after, pivot in zip(widths, column, across, pivots):
            value = (width * conc + before * value) * pivot
            forward.append(value)
            before = after
        for i in range(count - 2, -1, -1):
            forward[i] += ratios[i] * forward[i + 1]
        spread.append(forward)
    return spread
