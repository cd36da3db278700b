"""Which parts fit together: what each number of a parameter file allows by itself and all of them together do not.

Each flaw is one sentence: the thing, its value, the bound and where that comes from. params.py refuses the parts with the first of them.
"""
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from .environment import KINDS
from .propellant import ATMOSPHERE_KPA, vapour_kpa

if TYPE_CHECKING:
    from .params import BatteryParams, CatheterParams, HeadParams, MotorParams, ReservoirParams, SensorParams

BODY_C, FEVER_C = 37.0, KINDS["temperature_c"].high     # at which a head is calibrated, and the highest that a body may have
MAX_COUNT = 65535               # converters are 16 bits wide
EMPTIES_S = 3.0                 # an open line is taken as emptying at once: at 24 mL/day a pulse of 1 uL comes every 3.6 s


class Parts(NamedTuple):
    """What a pump is built of, and the names of the files that may be swapped."""

    motor: MotorParams
    head: HeadParams
    vessel: ReservoirParams
    catheter: CatheterParams
    battery: BatteryParams
    sensors: SensorParams
    head_name: str
    vessel_name: str
    sensors_name: str


def flaws(parts: Parts) -> Iterator[str]:
    """One sentence for each way in which these parts cannot be, or cannot be together."""
    if 1_000_000 % parts.motor.steps_per_s:
        yield "motor: steps_per_s is %d, a step must take whole microseconds: it must divide 1,000,000" % parts.motor.steps_per_s
    yield from ("head %s: %s" % (parts.head_name, text) for text in _of_head(parts.head))
    yield from ("reservoir %s: %s" % (parts.vessel_name, text) for text in _of_vessel(parts.vessel))
    yield from ("battery: %s" % text for text in _of_battery(parts.battery))
    yield from ("sensors %s: %s" % (parts.sensors_name, text) for text in _of_sensors(parts.sensors))
    yield from _of_flow(parts)


def _of_head(head: HeadParams) -> Iterator[str]:
    pitch_ul = head.volume_per_rev_ul / head.rollers
    if head.recoil_angle_deg > 360 / head.rollers:
        yield "recoil_angle_deg is %g, it must not exceed the pitch of %d rollers, %g deg" % (head.recoil_angle_deg, head.rollers, 360 / head.rollers)
    if head.recoil_ul >= pitch_ul:
        yield "recoil_ul is %g, it must be below what a pitch of the rollers moves, %g uL" % (head.recoil_ul, pitch_ul)
    if abs(head.tube_set_ul) >= pitch_ul:
        yield "tube_set_ul is %g, it must be smaller than what a pitch of the rollers moves, %g uL" % (head.tube_set_ul, pitch_ul)
    if head.no_fill_kpa >= head.full_fill_kpa:
        yield "no_fill_kpa is %g, it must be below full_fill_kpa, %g" % (head.no_fill_kpa, head.full_fill_kpa)
    if head.slip_per_kpa * head.stall_kpa >= 1:
        yield "slip_per_kpa is %g, it must be below 1 over stall_kpa, %.4g: nothing would be moved before the rotor stalls" % (
            head.slip_per_kpa, 1 / head.stall_kpa)


def _of_vessel(vessel: ReservoirParams) -> Iterator[str]:
    if not vessel.residual_ul < vessel.capacity_ul <= vessel.overfill_limit_ul:
        yield "residual_ul %g, capacity_ul %g and overfill_limit_ul %g must rise in this order" % (
            vessel.residual_ul, vessel.capacity_ul, vessel.overfill_limit_ul)
    if vessel.initial_ul > vessel.capacity_ul:
        yield "initial_ul is %g, it must not exceed capacity_ul, %g" % (vessel.initial_ul, vessel.capacity_ul)
    spring_kpa = vessel.bellows_kpa_ml * (vessel.capacity_ul - vessel.residual_ul) / 1000
    if spring_kpa > ATMOSPHERE_KPA:
        yield "bellows_kpa_ml is %g, over the whole stroke that makes %.4g kPa: it must not exceed the %g of the atmosphere that pushes against it" % (
            vessel.bellows_kpa_ml, spring_kpa, ATMOSPHERE_KPA)


def _of_battery(cell: BatteryParams) -> Iterator[str]:
    if cell.brown_out_mv >= cell.full_mv:
        yield "brown_out_mv is %g, it must be below full_mv, %g: no controller would ever run" % (cell.brown_out_mv, cell.full_mv)
    if cell.plateau_slope_mv + cell.knee_mv > cell.full_mv:
        yield "plateau_slope_mv %g and knee_mv %g are together %g, they must not exceed full_mv, %g" % (
            cell.plateau_slope_mv, cell.knee_mv, cell.plateau_slope_mv + cell.knee_mv, cell.full_mv)


def _of_sensors(sensors: SensorParams) -> Iterator[str]:
    if 2 * sensors.encoder_jitter + 1 >= sensors.encoder_counts:
        yield "encoder_jitter is %d, either way it must stay within a turn of encoder_counts, %d" % (sensors.encoder_jitter, sensors.encoder_counts)
    per_c = 1 / sensors.temperature_quantum_c
    if round(per_c) < 1 or abs(per_c - round(per_c)) > 1e-6 * per_c:
        yield "temperature_quantum_c is %g, a degree must be whole counts: the pump is told of them" % sensors.temperature_quantum_c
    if MAX_COUNT * sensors.temperature_quantum_c < FEVER_C:
        yield "temperature_quantum_c is %g, 16 bits of it must reach %g C" % (sensors.temperature_quantum_c, FEVER_C)


def _of_flow(parts: Parts) -> Iterator[str]:
    """What one part asks of another."""
    motor, head, vessel, line = parts.motor, parts.head, parts.vessel, parts.catheter
    usable_ul, warm_kpa = vessel.capacity_ul - vessel.residual_ul, vapour_kpa(vessel.boiling_point_k, vessel.vaporisation_kj_mol, BODY_C)
    if motor.driver_min_mv >= parts.battery.full_mv:
        yield "motor: driver_min_mv is %g, it must be below the battery's full_mv, %g: no train would ever start" % (
            motor.driver_min_mv, parts.battery.full_mv)
    if head.volume_per_rev_ul > usable_ul:
        yield "head %s: volume_per_rev_ul is %g, it must not exceed what the reservoir holds above its residual, %g uL" % (
            parts.head_name, head.volume_per_rev_ul, usable_ul)
    if vessel.starved_kpa >= head.full_fill_kpa:
        yield "reservoir %s: starved_kpa is %g, it must be below the head's full_fill_kpa, %g: an empty reservoir would fill the tube" % (
            parts.vessel_name, vessel.starved_kpa, head.full_fill_kpa)
    if warm_kpa < head.full_fill_kpa:
        yield "reservoir %s: its propellant gives %.4g kPa at %g C, it must reach the head's full_fill_kpa, %g" % (
            parts.vessel_name, warm_kpa, BODY_C, head.full_fill_kpa)
    if warm_kpa - ATMOSPHERE_KPA >= head.stall_kpa:
        yield "reservoir %s: its propellant gives %.4g kPa above the atmosphere at %g C, it must stay below the head's stall_kpa, %g" % (
            parts.vessel_name, warm_kpa - ATMOSPHERE_KPA, BODY_C, head.stall_kpa)
    if line.dead_ul >= usable_ul:
        yield "catheter: from head to tip it holds %g uL, it must be less than the reservoir does above its residual, %g uL" % (line.dead_ul, usable_ul)
    if line.resistance_kpa_s_ul * line.compliance_ul_kpa > EMPTIES_S:
        yield "catheter: bore_ul_cm is %g, with its length, viscosity and compliance an open line empties in %.3g s: it must within %g" % (
            line.bore_ul_cm, line.resistance_kpa_s_ul * line.compliance_ul_kpa, EMPTIES_S)
    hot_kpa = vapour_kpa(vessel.boiling_point_k, vessel.vaporisation_kj_mol, FEVER_C)
    overfull_kpa = vessel.overfill_stiffness_kpa_ml * (vessel.overfill_limit_ul - vessel.capacity_ul) / 1000
    for name, quantum, highest, unit in (
            ("level_quantum_ul", parts.sensors.level_quantum_ul, vessel.overfill_limit_ul, "uL of an overfilled reservoir"),
            ("inlet_quantum_kpa", parts.sensors.inlet_quantum_kpa, hot_kpa + overfull_kpa, "kPa of an overfilled one in fever")):
        if MAX_COUNT * quantum < highest or not math.isfinite(highest):
            yield "sensors %s: %s is %g, 16 bits of it must reach the %.5g %s" % (parts.sensors_name, name, quantum, highest, unit)
