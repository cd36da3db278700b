"""Bellows reservoir: volume, drugs, and the propellant behind it.

Liquid is mixed ideally at every fill, C = (V_fill C_new + V_res C_old) / (V_fill + V_res); what cannot be withdrawn
(the residual) stays and dilutes or enriches the next fill. The head starves at the residual. A two-phase propellant keeps
its vapour pressure whatever the volume (propellant.py). Overfilled, the bellows' stop adds to it. Without
propellant nothing pushes but ambient pressure, less what the bellows' own spring takes.
"""
from __future__ import annotations

import math

from .params import ReservoirParams
from .propellant import ATMOSPHERE_KPA, vapour_kpa

Conc = tuple[float, ...]        # ng/uL of each drug, in the plant's order of appearance


def mixed(volume_a_ul: float, conc_a: Conc, volume_b_ul: float, conc_b: Conc) -> Conc:
    """Concentrations after ideal mixing of two volumes (their sum must be above 0)."""
    total = volume_a_ul + volume_b_ul
    return tuple((volume_a_ul * a + volume_b_ul * b) / total for a, b in zip(conc_a, conc_b))


class Reservoir:
    """Contents of the bellows; `conc` keeps its identity while nothing is mixed in (the catheter's fast path)."""

    __slots__ = ("params", "volume_ul", "conc", "propellant_lost", "_warm_c", "_vapour_kpa")

    def __init__(self, params: ReservoirParams):
        self.params = params
        self.volume_ul = params.initial_ul
        self.conc: Conc = ()
        self.propellant_lost = False
        self._warm_c = math.nan
        self._vapour_kpa = math.nan

    def add_drug(self) -> None:
        """One more drug exists from now on; none of it is here yet."""
        self.conc += (0.0,)

    def available_ul(self) -> float:
        """What the head can still draw."""
        return max(0.0, self.volume_ul - self.params.residual_ul)

    def fill(self, volume_ul: float, conc: Conc, overfill: bool = False) -> None:
        """Add `volume_ul` (> 0) and mix. Above the capacity only with `overfill`, and never above the overfill limit.

        Raises ValueError, and then nothing has changed.
        """
        if not 0 < volume_ul < math.inf:
            raise ValueError("fill of %g uL: the volume must be above 0" % volume_ul)
        limit = self.params.overfill_limit_ul if overfill else self.params.capacity_ul
        after = self.volume_ul + volume_ul
        if after > limit * (1 + 1e-12):
            raise ValueError("fill of %g uL would make %g uL, the reservoir %s %g uL"
                             % (volume_ul, after, "bursts above" if overfill else "holds", limit))
        self.conc = mixed(volume_ul, conc, self.volume_ul, self.conc)
        self.volume_ul = after

    def withdraw(self, volume_ul: float = math.inf) -> float:
        """Take `volume_ul` (> 0), or all down to the residual, as a syringe would; returns the volume taken (uL, 0 if there is no more)."""
        taken = min(volume_ul, self.available_ul())
        self.volume_ul -= taken
        return taken

    def put_back(self, volume_ul: float, conc: Conc) -> None:
        """A reverse flow of the head brings `volume_ul` (> 0) back and mixes it in."""
        if any(abs(new - old) > 1e-12 * old for new, old in zip(conc, self.conc)):
            self.conc = mixed(volume_ul, conc, self.volume_ul, self.conc)
        self.volume_ul += volume_ul

    def pressure_kpa(self, temperature_c: float, ambient_kpa: float = ATMOSPHERE_KPA, volume_ul: float | None = None) -> float:
        """Absolute pressure at the head's inlet: propellant, plus the bellows' stop if overfilled; low when starved.

        `ambient_kpa` matters only to a reservoir without propellant. `volume_ul`: as if it held that, not what it holds.
        """
        if volume_ul is None:
            volume_ul = self.volume_ul
        if temperature_c != self._warm_c:
            self._warm_c = temperature_c
            self._vapour_kpa = vapour_kpa(self.params.boiling_point_k, self.params.vaporisation_kj_mol, temperature_c)
        if volume_ul <= self.params.residual_ul:
            return self.params.starved_kpa
        over_ul = volume_ul - self.params.capacity_ul
        if self.propellant_lost:
            slope_kpa_ml = self.params.bellows_kpa_ml if over_ul < 0 else self.params.overfill_stiffness_kpa_ml
            return max(self.params.starved_kpa, ambient_kpa + slope_kpa_ml * over_ul / 1000)
        if over_ul <= 0:
            return self._vapour_kpa
        return self._vapour_kpa + self.params.overfill_stiffness_kpa_ml * over_ul / 1000
