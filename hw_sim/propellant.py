"""Vapour pressure of the two-phase propellant behind a bellows: the same whatever the volume, P = 101.3 kPa exp(dH/R (1/Tb - 1/T))."""
from __future__ import annotations

import math

GAS_KJ_MOL_K = 8.314462618e-3   # molar gas constant (SI, exact by definition to the digits given)
ICE_POINT_K = 273.15
ATMOSPHERE_KPA = 101.3          # the boiling point is stated at this pressure


def vapour_kpa(boiling_point_k: float, vaporisation_kj_mol: float, temperature_c: float) -> float:
    """Absolute vapour pressure (kPa) of the propellant at `temperature_c` (Clausius-Clapeyron, constant heat)."""
    inverse = 1 / boiling_point_k - 1 / (ICE_POINT_K + temperature_c)
    return ATMOSPHERE_KPA * math.exp(vaporisation_kj_mol / GAS_KJ_MOL_K * inverse)
