"""Flows that no rotor makes, exactly for any span of time: past open rollers, and out of a leaking septum.

Reservoir and tip are two pressures, rollers and catheter two conductances in a row: a flow that stands as long as the pressures do. Above
its capacity the bellows presses the more the fuller it is, so there the flow decays exponentially. Behind a kink the line fills towards the
reservoir's pressure while it oozes on at the tip, a first-order system in the stored volume. All of it in closed form. What is kept
constant over a span is the propellant's own pressure (its mean): with a temperature that runs, the error is of second order in the span.

Units: conductance uL/(kPa s), pressure kPa, volume uL, time s.
"""
from __future__ import annotations

import math

WATER_PA_S = 0.7e-3     # viscosity at 37 C


def bore_ul_kpa_s(bore_ul_cm: float, length_cm: float) -> float:
    """Poiseuille conductance of a catheter: pi r^4 / (8 eta L), 3.4 uL/(kPa s) for the reference one."""
    area_m2 = bore_ul_cm * 1e-7
    return area_m2 * area_m2 / (8 * math.pi * WATER_PA_S * length_cm * 1e-2) * 1e12


def open_ul(conductance: float, drive_kpa: float, stiffness_kpa_ul: float, over_ul: float, dt_s: float) -> float:
    """Volume through an open line in `dt_s`. `drive_kpa` is what is left when the reservoir is not overfilled, by `over_ul` (>= 0) it is more.

    Nothing flows back: a negative drive gives 0 once the excess is gone (the fluid that a negative pressure would draw in is not followed).
    """
    gone = 0.0
    if over_ul > 0 and stiffness_kpa_ul > 0:
        rate = conductance * stiffness_kpa_ul
        rest_ul = -drive_kpa / stiffness_kpa_ul     # the excess at which nothing drives any more
        if over_ul <= rest_ul:
            return 0.0
        span_s = math.log((over_ul - rest_ul) / -rest_ul) / rate if rest_ul < 0 else math.inf      # until the excess is gone
        if dt_s < span_s:
            return (over_ul - rest_ul) * -math.expm1(-rate * dt_s)
        gone, dt_s = over_ul, dt_s - span_s
    return gone + max(0.0, conductance * drive_kpa * dt_s)


def kinked_ul(conductance: float, drive_kpa: float, leak: float, compliance_ul_kpa: float, stored_ul: float, dt_s: float) -> tuple[float, float]:
    """(volume that came in from the reservoir, what the line stores then) behind a kink of conductance `leak`, through rollers of `conductance` > 0.

    What came in is negative where the line was under more pressure than the reservoir: it goes back.
    """
    rate = (conductance + leak) / compliance_ul_kpa
    rest_ul = compliance_ul_kpa * conductance * drive_kpa / (conductance + leak)
    gone = -math.expm1(-rate * dt_s)
    after_ul = stored_ul + (rest_ul - stored_ul) * gone
    mean_ul_s = rest_ul * dt_s + (stored_ul - rest_ul) * gone / rate        # the stored volume, integrated
    return conductance * (drive_kpa * dt_s - mean_ul_s / compliance_ul_kpa), after_ul
