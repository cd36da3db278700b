"""Pressures around the pump head, and what flows or goes without a rotor: past open rollers, through a septum, in a kinked line, to the walls.

`Flows` stands between the plant's contents (plant_hands.py) and its motion (plant.py). A head is calibrated at 37 C and sea level; what
heat, height, overfilling, a lost propellant or a gap at its rollers make of its volume is a share of it, 1 and not computed while nothing
of this is so. What stands around the tip (`tip_kpa`: raised CSF pressure, the column of a test bench) acts on the head through the open line at
once; by how much the line itself swells with it (0.5 uL a kPa, once) is not followed. The closed forms of what flows are in standing.py.
"""
from __future__ import annotations

import math

from .catheter import Pieces
from .environment import STANDARD_KPA, Environment
from .head import CALIBRATED_AMBIENT_KPA, CALIBRATED_C, Head
from .params import PatientParams, PlantParams
from .plant_faults import PlantFaults
from .plant_hands import Hands
from .propellant import vapour_kpa
from .standing import bore_ul_kpa_s, kinked_ul, open_ul

PIECE_UL = 250.0        # of a long motion whose pressure depends on what it leaves: the head's share is taken at the middle of each
PRESSED_BY = ("temperature_c", "ambient_kpa", "propellant_lost", "roller_gap")
S_PER_DAY = 86_400


class Flows(Hands):
    """A plant's contents under pressure. A subclass calls `_faults_of_flows` whenever a fault was set or healed."""

    __slots__ = ("faults", "environment", "_head", "_line_us", "_pressed", "_gauge_kpa", "_gap_per_kpa", "_standing", "_standing_us", "_free",
                 "_septum_ul_s", "_free_ul", "_adsorbed_s", "_tip_kpa")

    def __init__(self, params: PlantParams, patient: PatientParams, environment: Environment | None):
        super().__init__(params, patient)
        self.environment = environment or Environment()
        self._head = Head(params.head, params.motor.steps_per_rev)
        self._line_us = 0                       # instant up to which a kinked line has relaxed
        self._free_ul = 0.0                     # past open rollers
        self._pressed = False                   # the pressure at the head's inlet may not be that of its calibration
        self._gap_per_kpa = 0.0
        self._tip_kpa = 0.0                     # pressure around the tip above CSF at rest, at which the head was calibrated
        self._gauge_kpa = vapour_kpa(params.reservoir.boiling_point_k, params.reservoir.vaporisation_kj_mol, CALIBRATED_C) - CALIBRATED_AMBIENT_KPA
        self._standing = False                  # a flow that no rotor makes is open
        self._standing_us = 0                   # instant up to which it has flowed
        self._free = self._septum_ul_s = self._adsorbed_s = 0.0
        self.faults = PlantFaults(self._faults_changed, lambda: self.t_us)
        self._contents_changed()

    def _faults_changed(self) -> None:
        self._faults_of_flows()

    def _faults_of_flows(self) -> None:
        """Derive what presses and what stands open from the faults present; up to now all has flowed."""
        present = self.faults
        self._reservoir.propellant_lost = "propellant_lost" in present
        self._gap_per_kpa = present.get("roller_gap", 0.0)
        self._tip_kpa = present.get("tip_kpa", 0.0)
        self._free = present.get("free_flow", 0.0)
        self._septum_ul_s = present.get("septum_leak", 0.0) / S_PER_DAY
        self._adsorbed_s = present.get("adsorption", 0.0) / S_PER_DAY
        if not self._standing:
            self._standing_us = self.t_us
        self._standing = self._free > 0 or self._septum_ul_s > 0 or self._adsorbed_s > 0
        self._contents_changed()

    def _contents_changed(self) -> None:
        """Whether pressures must be looked at: they stay at what the head was calibrated at in most lives."""
        table = self.environment
        self._pressed = (
            any(name in self.faults for name in PRESSED_BY) or table.has("temperature_c") or table.has("ambient_kpa")
            or self.patient.temperature_c != CALIBRATED_C or self._reservoir.volume_ul > self.params.reservoir.capacity_ul)

    # ---- pressures

    def temperature_c(self, t_us: int) -> float:
        """Of the body around pump and sensor: a fault's, else the environment's, else the patient's."""
        value = self.faults.get("temperature_c")
        if value is None and self.environment:
            value = self.environment.at("temperature_c", t_us)
        return self.patient.temperature_c if value is None else float(value)

    def _differs(self, name: str, t_us: int) -> bool:
        """Whether a fault that presses makes any difference: one of a surrounding may have the value that would be there without it."""
        if name not in ("temperature_c", "ambient_kpa"):
            return True
        without = self.environment.at(name, t_us)
        if without is None:
            without = self.patient.temperature_c if name == "temperature_c" else STANDARD_KPA
        return bool(self.faults.get(name, without) != without)

    def ambient_kpa(self, t_us: int) -> float:
        """Absolute pressure around the patient."""
        value = self.faults.get("ambient_kpa")
        if value is None and self.environment:
            value = self.environment.at("ambient_kpa", t_us)
        return STANDARD_KPA if value is None else float(value)

    def _share(self, volume_ul: float, back_kpa: float, t_us: int) -> float:
        """What the head moves with `volume_ul` left in the reservoir, against what it would at its calibration."""
        reservoir, ambient_kpa = self._reservoir, self.ambient_kpa(t_us)
        inlet_kpa = reservoir.pressure_kpa(self.temperature_c(t_us), ambient_kpa, volume_ul)
        gauge_kpa = inlet_kpa - ambient_kpa
        eased = self.params.head.inlet_per_kpa * (gauge_kpa - self._gauge_kpa)
        eased += self._gap_per_kpa * (gauge_kpa - self.patient.csf_kpa - back_kpa)
        return max(0.0, self._head.fill_share(inlet_kpa) * (1 + eased))

    def _drawn_ul(self, volume_ul: float, back_kpa: float, t_us: int) -> float:
        """What the head really moves of `volume_ul`. In pieces, for the pressure may fall as the reservoir empties; not much more than there is.

        What a leaving roller gives back (a volume below 0) shrinks and grows like the rest, so that a turn is the same however it is cut.
        """
        held_ul, left_ul = self._reservoir.volume_ul, volume_ul
        available_ul = self._reservoir.available_ul()
        drawn_ul = 0.0
        if volume_ul < 0:
            drawn_ul, left_ul = volume_ul * self._share(held_ul, back_kpa, t_us), 0.0
        while left_ul > 0 and drawn_ul < available_ul:
            part_ul = min(left_ul, PIECE_UL)
            share = self._share(held_ul - drawn_ul, back_kpa, t_us)
            if not share:
                break
            drawn_ul += part_ul * self._share(held_ul - drawn_ul - part_ul * share / 2, back_kpa, t_us)
            left_ul -= part_ul
        if drawn_ul != volume_ul:
            for name in PRESSED_BY:
                if self._differs(name, t_us):
                    self.faults.fire(name, t_us)
        return drawn_ul

    # ---- the line's faults

    def _faults_of_the_line(self) -> None:
        """Give the line its faults and the pressure around it, at this instant: of a ramp, a bubble feels what it has become by its end."""
        present, line, ambient_kpa = self.faults, self._line, self.ambient_kpa(self.t_us)
        self._stray_share = 1 - present.get("migration", 1.0)
        grown_ul = line.set_faults(present.get("kink"), present.get("catheter_leak", 0.0), "disconnect" in present, present.get("bubble_ul", 0.0),
                                   ambient_kpa)
        if grown_ul:
            present.fire("bubble_ul", self.t_us)
        self._relax(self.t_us)

    def _stray(self, pieces: Pieces, start_us: int, end_us: int) -> Pieces:
        if self._line.lost:
            self.faults.fire("disconnect" if "disconnect" in self.faults else "catheter_leak", end_us)
        if self._stray_share and any(volume for volume, _ in pieces):
            self.faults.fire("migration", end_us)
        return super()._stray(pieces, start_us, end_us)

    # ---- flows that no rotor makes

    def _relax(self, t_us: int) -> None:
        """Let a kinked line ooze up to `t_us`, or a healed one empty what it had stored."""
        line = self._line
        if self._free and line.kinked:
            self._flow(t_us)
        elif line.stored_ul and t_us >= self._line_us:
            out = line.outflow_ul(0.0, (t_us - self._line_us) * 1e-6)
            if out:
                since_us = self._line_us if line.kinked else t_us
                self._deliver(line.release(since_us, t_us, out), since_us, line.oozing_us(since_us, t_us))
        self._line_us = max(t_us, self._line_us)

    def _flow(self, t_us: int) -> None:
        """Bring what stands open up to `t_us`: the septum's leak into the pocket, free flow through the line."""
        since_us = self._standing_us
        if t_us <= since_us:
            return
        self._standing_us = t_us
        reservoir, dt_s = self._reservoir, (t_us - since_us) * 1e-6
        if self._septum_ul_s:
            leaked_ul = min(self._septum_ul_s * dt_s, reservoir.available_ul())
            reservoir.volume_ul -= leaked_ul
            self._leaked(leaked_ul, reservoir.conc, since_us)
            if leaked_ul:
                self.faults.fire("septum_leak", t_us)
        if self._adsorbed_s:
            self._adsorb(t_us, dt_s)
        if self._free:
            self._flow_free(since_us, t_us, dt_s)

    def _adsorb(self, t_us: int, dt_s: float) -> None:
        """The walls of the bellows take up a share of the dissolved drug in each second: exact for any span, however it is cut."""
        reservoir, lost = self._reservoir, -math.expm1(-self._adsorbed_s * dt_s)
        for i, conc in enumerate(reservoir.conc):
            self._walls_ng[i] += conc * lost * reservoir.volume_ul
            if conc:
                self.faults.fire("adsorption", t_us)
        reservoir.conc = tuple(conc * (1 - lost) for conc in reservoir.conc)

    def _flow_free(self, since_us: int, t_us: int, dt_s: float) -> None:
        """Reservoir, open rollers, line, tip."""
        reservoir, line = self._reservoir, self._line
        over_ul = max(0.0, reservoir.volume_ul - reservoir.params.capacity_ul)
        drive_kpa = self._mean_drive_kpa(since_us, t_us)
        if reservoir.available_ul() <= 0.0:
            drive_kpa = max(0.0, drive_kpa)     # a bellows at its stop resists the head that draws on it; by itself it sucks nothing back
        if line.kinked:
            drive_kpa += over_ul * reservoir.params.overfill_stiffness_kpa_ml / 1000
            before_ul = line.stored_ul
            moved_ul, after_ul = kinked_ul(self._free, drive_kpa, line.outlet_ul_kpa_s, line.compliance_ul_kpa, before_ul, dt_s)
            available_ul = reservoir.available_ul()
            if moved_ul > available_ul:     # the reservoir runs dry on the way, and the line empties behind it
                dry_s, moved_ul = self._dry_s(drive_kpa, available_ul, dt_s), available_ul
                after_ul = kinked_ul(self._free, drive_kpa, line.outlet_ul_kpa_s, line.compliance_ul_kpa, before_ul, dry_s)[1]
                after_ul *= math.exp((dry_s - dt_s) * line.outlet_ul_kpa_s / line.compliance_ul_kpa)
            out_ul = before_ul + moved_ul - after_ul
            line.stored_ul = after_ul
            self._line_us = t_us
        else:
            bore = bore_ul_kpa_s(self.params.catheter.bore_ul_cm, self.params.catheter.length_cm)
            both = self._free * bore / (self._free + bore)
            stiffness_kpa_ul = reservoir.params.overfill_stiffness_kpa_ml / 1000
            moved_ul = out_ul = min(open_ul(both, drive_kpa, stiffness_kpa_ul, over_ul, dt_s), reservoir.available_ul())
        if moved_ul >= 0:
            pieces = line.push(since_us, t_us, moved_ul, reservoir.conc, out_ul)
            reservoir.volume_ul -= moved_ul
        else:
            taken, pieces = line.pull(since_us, t_us, -moved_ul, out_ul)
            reservoir.put_back(-moved_ul, taken)
        self._free_ul += moved_ul
        if moved_ul:
            self.faults.fire("free_flow", t_us)
            self.faults.fire("tip_kpa", t_us)
        self._deliver(pieces, since_us, t_us)

    def _dry_s(self, drive_kpa: float, available_ul: float, dt_s: float) -> float:
        """When free flow into a kinked line has taken `available_ul`, which it has by `dt_s` (bisection: it moves ever on)."""
        line, early_s, late_s = self._line, 0.0, dt_s
        while late_s - early_s > 1e-9 * dt_s:
            middle_s = (early_s + late_s) / 2
            moved_ul, _ = kinked_ul(self._free, drive_kpa, line.outlet_ul_kpa_s, line.compliance_ul_kpa, line.stored_ul, middle_s)
            early_s, late_s = (middle_s, late_s) if moved_ul < available_ul else (early_s, middle_s)
        return late_s

    def _mean_drive_kpa(self, since_us: int, t_us: int) -> float:
        """What pushes from a reservoir that is not overfilled to the tip, its mean over a span without a bend (Simpson's rule)."""
        reservoir, total = self._reservoir, 0.0
        volume_ul = min(reservoir.volume_ul, reservoir.params.capacity_ul)
        for at_us, weight in ((since_us, 1), ((since_us + t_us) >> 1, 4), (t_us, 1)):
            ambient_kpa = self.ambient_kpa(at_us)
            total += weight * (reservoir.pressure_kpa(self.temperature_c(at_us), ambient_kpa, volume_ul) - ambient_kpa)
        return total / 6 - self.patient.csf_kpa - self._tip_kpa

