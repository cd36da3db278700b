"""The plant: motor, head, reservoir, line, spinal fluid, battery and sensors of one pump in one patient, on virtual time.

Nothing here runs on a fixed step. `advance()` applies what the motor turned since the last call: head volume out of the
reservoir, through the line, and what leaves at the tip as a dose into the spinal fluid at the middle of that motion. The
fluid itself is only stepped when a dose arrives, exactly; `truth()` and `sense()` look without changing it. Faults change
parameters and inputs of the bodies, never an equation and never a status flag (R13).

Units: volume uL, mass ng, concentration ng/uL (the same number as ug/mL) in pump and line and ng/mL in the body, pressure
kPa, temperature C, time in integer virtual microseconds from the start of the run.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .battery import Battery, voltage_mv
from .catheter import Catheter, Pieces
from .csf import Csf, for_patient
from .head import Head
from .motor import Motor
from .oral import Oral
from .params import PatientParams, PlantParams
from .plasma import Plasma
from .plasma import modes as plasma_modes
from .reservoir import Conc, Reservoir
from .sensors import Sensed, Sensors

# A dose that took less than this is an impulse at its middle: the error is (rate x duration)^2 / 24, 1e-8 at 4/h.
IMPULSE_US = 1_000_000


class FaultKind(NamedTuple):
    """A knob of the plant. `default` is what a bare set() gives; a switch has no range."""

    default: float | bool
    unit: str = ""
    low: float = 0.0
    high: float = 0.0


FAULTS: dict[str, FaultKind] = {
    "rotor_stall": FaultKind(True),             # commanded steps are spent, the rotor stands (jam, MRI field)
    "driver_stuck_on": FaultKind(True),         # trains do not end by themselves
    "enable_stuck": FaultKind(True),            # the switch no longer opens
    "head_gain": FaultKind(1.3, "", 0.0, 5.0),  # volume per turn against nominal: over-infusing head, worn tube
    "kink": FaultKind(0.0, "uL/(kPa s)", 0.0, 10.0),    # conductance left in the catheter, 0 is closed
    "catheter_leak": FaultKind(0.5, "", 0.0, 1.0),      # share of the flow that leaves before the tip, into tissue
    "disconnect": FaultKind(True),              # the catheter is off the pump: all of it goes into tissue
    "migration": FaultKind(0.0, "", 0.0, 1.0),  # share of what leaves at the tip that still reaches the spinal fluid
    "bubble_ul": FaultKind(50.0, "uL", 0.0, 1000.0),    # gas in the line, at 101.3 kPa
    "level_stuck": FaultKind(True),
    "level_offset_ul": FaultKind(1000.0, "uL", -50_000.0, 50_000.0),
    "encoder_stuck": FaultKind(True),
    "battery_drop_mv": FaultKind(500.0, "mV", 0.0, 5000.0),     # film or leak: the terminal voltage falls
    "temperature_c": FaultKind(40.0, "C", 20.0, 45.0),          # of the body around pump and sensor
}


class PlantFaults(Mapping[str, Any]):
    """The faults now present, name to value. `set` and `clear` act at the plant's present instant."""

    def __init__(self, changed: Callable[[], None]):
        self._active: dict[str, float | bool] = {}
        self._changed = changed

    def set(self, name: str, value: float | bool | None = None) -> None:
        """Bring a fault about, or change its value; None takes the kind's default. Raises ValueError for what is not in FAULTS."""
        kind = _kind(name)
        if value is None:
            value = kind.default
        if isinstance(kind.default, bool) != isinstance(value, bool):
            raise ValueError("fault %s takes %s, not %r" % (name, "no value" if kind.default is True else "a number", value))
        if not isinstance(value, bool) and not kind.low <= value <= kind.high:
            raise ValueError("fault %s of %g %s: it must lie between %g and %g" % (name, value, kind.unit, kind.low, kind.high))
        if value is False:
            self.clear(name)
            return
        self._active[name] = value
        self._changed()

    def clear(self, name: str) -> None:
        """Heal a fault; healing what is not broken does nothing."""
        _kind(name)
        if self._active.pop(name, None) is not None:
            self._changed()

    def __getitem__(self, name: str) -> float | bool:
        return self._active[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._active)

    def __len__(self) -> int:
        return len(self._active)


def _kind(name: str) -> FaultKind:
    if name not in FAULTS:
        raise ValueError("no fault of the plant is called '%s' (known: %s)" % (name, ", ".join(FAULTS)))
    return FAULTS[name]


class Plant:
    """One pump in one patient. `t_us` is the instant everything has been advanced to."""

    __slots__ = ("params", "patient", "faults", "t_us", "_motor", "_head", "_reservoir", "_line", "_battery", "_sensors", "_index", "_csf", "_plasma",
                 "_oral", "_rotor", "_stalled", "_temperature_c", "_drop_mv", "_line_us", "_wakes", "_received", "_sent", "_lost_steps",
                 "_head_ul", "_delivered_ul", "_filled_ng", "_injected_ng", "_withdrawn_ng", "_tip_ng", "_stray_share", "_strayed_ul",
                 "_strayed_ng")

    def __init__(self, params: PlantParams, patient: PatientParams, seed: int = 1):
        self.params = params
        self.patient = patient
        self.t_us = 0
        self._motor = Motor(params.motor)
        self._head = Head(params.head, params.motor.steps_per_rev)
        self._reservoir = Reservoir(params.reservoir)
        self._line = Catheter(params.catheter)
        self._battery = Battery(params.battery, params.motor)
        self._sensors = Sensors(params.sensors, params.motor.steps_per_rev, seed)
        self._index: dict[str, int] = {}        # drugs in their order of appearance: the order of every Conc
        self._csf: list[Csf] = []
        self._plasma: list[Plasma] = []
        self._oral: dict[str, Oral] = {}
        self._rotor = 0                         # steps turned since the start
        self._stalled = False
        self._temperature_c = patient.temperature_c
        self._drop_mv = 0.0
        self._line_us = 0                       # instant up to which a kinked line has relaxed
        self._wakes = 0
        self._received = 0                      # telemetry bytes, whatever they say
        self._sent = 0
        self._lost_steps = 0                    # put out by the driver, not turned by the rotor
        self._head_ul = 0.0
        self._delivered_ul = 0.0
        self._filled_ng: list[float] = []
        self._injected_ng: list[float] = []
        self._withdrawn_ng: list[float] = []
        self._tip_ng: list[float] = []
        self._stray_share = 0.0                 # of what leaves at the tip: a tip that is no longer in the spinal fluid
        self._strayed_ul = 0.0                  # left the line, did not reach the fluid
        self._strayed_ng: list[float] = []
        self.faults = PlantFaults(self._faults_changed)

    # ---- time and motion

    def advance(self, t_us: int) -> None:
        """Bring the plant to `t_us`; costs the same for a millisecond and a month. Raises ValueError if that lies in the past."""
        if t_us < self.t_us:
            raise ValueError("the plant is at %d us and cannot go back to %d us" % (self.t_us, t_us))
        steps = self._motor.turn(t_us)
        if steps:
            self._moved(steps)
        if self._line.kinked:
            self._relax(t_us)
        self.t_us = t_us

    def order(self, steps: int, hold_us: int) -> None:
        """Turn `steps` (1..65535) from now on while enable is held for `hold_us` (1..500,000). Raises ValueError out of range."""
        self._motor.order(self.t_us, steps, hold_us)

    def drop_enable(self) -> None:
        """Open the enable switch now; steps not yet made are lost."""
        self._motor.drop_enable(self.t_us)

    def next_edge_us(self) -> int | None:
        """When the encoder next moves although enable is commanded off; None if it will not."""
        edge_us = self._motor.next_edge_us(self.t_us)
        if edge_us is None or self._stalled or self._line.room_ul(self.params.head.stall_kpa) <= 0:
            return None
        return edge_us

    def _moved(self, steps: int) -> None:
        """Apply `steps` that the motor has put out."""
        start_us, end_us = self._motor.span_us(steps)
        line, reservoir, rotor = self._line, self._reservoir, self._rotor
        if self._stalled:
            self._lost_steps += steps
            return
        back_kpa = 0.0
        if line.kinked:
            self._relax(start_us)
            back_kpa = line.back_kpa
            turned = self._head.steps_within(rotor, steps, back_kpa, line.room_ul(self.params.head.stall_kpa))
            self._lost_steps += steps - turned
            steps = turned
        self._rotor = rotor + steps
        volume = self._head.volume_ul(rotor, steps, back_kpa)
        if volume >= 0:
            available = reservoir.available_ul()
            if volume > available:
                volume = available
            out = line.outflow_ul(volume, (end_us - start_us) * 1e-6)
            pieces = line.push(start_us, end_us, volume, reservoir.conc, out)
            reservoir.volume_ul -= volume
        else:
            out = line.outflow_ul(volume, (end_us - start_us) * 1e-6)
            taken, pieces = line.pull(start_us, end_us, -volume, out)
            reservoir.put_back(-volume, taken)
        if line.kinked:
            self._line_us = end_us
        self._head_ul += volume
        self._deliver(pieces, start_us, end_us)

    def _relax(self, t_us: int) -> None:
        """Let a kinked line ooze up to `t_us`, or a healed one empty what it had stored."""
        line = self._line
        if line.stored_ul and t_us >= self._line_us:
            out = line.outflow_ul(0.0, (t_us - self._line_us) * 1e-6)
            if out:
                since_us = self._line_us if line.kinked else t_us
                self._deliver(line.release(since_us, t_us, out), since_us, t_us)
        self._line_us = max(t_us, self._line_us)

    def _deliver(self, pieces: Pieces, start_us: int, end_us: int) -> None:
        """Bring what left at the tip between two instants into the lumbar fluid, and what strayed into the tissue."""
        if self._line.lost or self._stray_share:
            pieces = self._stray(pieces, start_us, end_us)
        if end_us - start_us <= IMPULSE_US:
            middle_us = (start_us + end_us) >> 1
            tip_ng, plasma = self._tip_ng, self._plasma
            for volume, conc in pieces:
                self._delivered_ul += volume
                i = 0
                for csf in self._csf:
                    dose_ng = volume * conc[i]
                    if dose_ng:
                        tip_ng[i] += dose_ng
                        csf.dose(middle_us, dose_ng)
                        plasma[i].follow(middle_us, middle_us, dose_ng)
                    i += 1
            return
        total = sum(volume for volume, _ in pieces)
        gone = 0.0
        begin_us = start_us
        for volume, conc in pieces:
            self._delivered_ul += volume
            gone += volume
            until_us = start_us + round((end_us - start_us) * gone / total) if total else end_us
            for i in range(len(self._csf)):
                dose_ng = volume * conc[i]
                self._tip_ng[i] += dose_ng
                self._infuse(i, begin_us, until_us, dose_ng)
            begin_us = until_us

    def _stray(self, pieces: Pieces, start_us: int, end_us: int) -> Pieces:
        """Bring into the tissue what left at a leak, and of `pieces` what a migrated tip does not put into the fluid; returns the rest."""
        share = self._stray_share
        astray = self._line.lost + [(volume * share, conc) for volume, conc in pieces if share]
        self._line.lost = []
        for i, plasma in enumerate(self._plasma):
            dose_ng = math.fsum(volume * conc[i] for volume, conc in astray)
            self._strayed_ng[i] += dose_ng
            plasma.leak(start_us, end_us, dose_ng)
        self._strayed_ul += math.fsum(volume for volume, _ in astray)
        return [(volume * (1 - share), conc) for volume, conc in pieces]

    def _infuse(self, drug: int, start_us: int, end_us: int, dose_ng: float) -> None:
        """`dose_ng` into the lumbar fluid, evenly between two instants (at once if they are equal)."""
        if end_us > start_us:
            self._csf[drug].infuse(start_us, end_us, dose_ng)
        else:
            self._csf[drug].dose(end_us, dose_ng)
        self._plasma[drug].follow(start_us, end_us, dose_ng)

    # ---- hands of the clinic

    def fill(self, volume_ul: float, conc: Mapping[str, float], overfill: bool = False) -> None:
        """Inject `volume_ul` through the septum; `conc` is ng/uL per drug (none: water or saline).

        Raises ValueError for a drug without parameters, a negative concentration, or a volume above the capacity (above
        the overfill limit with `overfill`, a hazard); no liquid has moved then.
        """
        for drug, value in conc.items():
            self._drug_params(drug)
            if not 0 <= value < float("inf"):
                raise ValueError("fill with %s at %g ng/uL: it must be 0 or more" % (drug, value))
        for drug in conc:
            self._drug(drug)
        mixture = tuple(float(conc.get(drug, 0.0)) for drug in self._index)
        self._reservoir.fill(volume_ul, mixture, overfill)
        for i, value in enumerate(mixture):
            self._filled_ng[i] += value * volume_ul

    def withdraw(self, volume_ul: float = math.inf) -> float:
        """Take `volume_ul` (> 0) out of the reservoir with a syringe, or all down to its residual; returns the volume (uL)."""
        volume = self._reservoir.withdraw(volume_ul)
        for i, conc in enumerate(self._reservoir.conc):
            self._withdrawn_ng[i] += conc * volume
        return volume

    def catheter(self, conc: Mapping[str, float]) -> None:
        """The catheter (not the tubing before it) holds this from now on (ng/uL per drug; none: it was aspirated). Raises ValueError as `fill`."""
        for drug in conc:
            self._drug_params(drug)
            self._drug(drug)
        volume_ul = self.params.catheter.dead_ul - self.params.catheter.tubing_ul
        mixture = tuple(float(conc.get(drug, 0.0)) for drug in self._index)
        for part_ul, was in self._line.replace(self.t_us, volume_ul, mixture):
            for i, value in enumerate(was):
                self._withdrawn_ng[i] += part_ul * value
                self._filled_ng[i] += part_ul * mixture[i]

    def inject(self, drug: str, dose_ng: float, since_us: int | None = None) -> None:
        """Lumbar puncture or catheter (trial): `dose_ng` straight into the lumbar fluid now, or evenly since `since_us`. Raises ValueError."""
        if not 0 <= dose_ng < float("inf"):
            raise ValueError("injection of %g ng %s: the dose must be 0 or more" % (dose_ng, drug))
        i = self._drug(drug)
        self._injected_ng[i] += dose_ng
        self._infuse(i, self.t_us if since_us is None else min(since_us, self.t_us), self.t_us, dose_ng)

    def oral(self, drug: str, dose_mg: float) -> None:
        """A tablet of `dose_mg` now, into compartments of its own, for comparison only. Raises ValueError."""
        oral_params = self._drug_params(drug).oral
        if oral_params is None:
            raise ValueError("%s has no oral route in its parameter file" % drug)
        if not 0 <= dose_mg < float("inf"):
            raise ValueError("tablet of %g mg %s: the dose must be 0 or more" % (dose_mg, drug))
        if drug not in self._oral:
            self._oral[drug] = Oral(oral_params, self.t_us)
        self._oral[drug].swallow(self.t_us, dose_mg)

    def woken(self, received: int = 0, sent: int = 0) -> None:
        """Charge the battery for a wake of the controller, in which it took `received` bytes off the line and put `sent` on it."""
        self._wakes += 1
        self._received += received
        self._sent += sent

    def _drug_params(self, drug: str) -> Any:
        if drug not in self.params.drugs:
            raise ValueError("no parameters for drug '%s' (known: %s)" % (drug, ", ".join(self.params.drugs)))
        return self.params.drugs[drug]

    def _drug(self, drug: str) -> int:
        """Index of a drug; on its first appearance every body learns of it."""
        if drug not in self._index:
            drug_params = self._drug_params(drug)
            csf = Csf(for_patient(drug_params, self.patient), self.t_us)
            self._index[drug] = len(self._index)
            self._csf.append(csf)
            self._plasma.append(Plasma(plasma_modes(drug_params.plasma, csf.solved, self.patient.weight_kg), self.t_us))
            self._reservoir.add_drug()
            self._line.add_drug()
            for ledger in (self._filled_ng, self._injected_ng, self._withdrawn_ng, self._tip_ng, self._strayed_ng):
                ledger.append(0.0)
        return self._index[drug]

    # ---- faults

    def _faults_changed(self) -> None:
        """Derive every faulty input from the faults present; what healed goes back to its parameter."""
        present = self.faults
        self._motor.set_faults(self.t_us, "driver_stuck_on" in present, "enable_stuck" in present)
        self._stalled = "rotor_stall" in present
        self._head.gain = present.get("head_gain", 1.0)
        self._sensors.level_stuck = "level_stuck" in present
        self._sensors.level_offset_ul = present.get("level_offset_ul", 0.0)
        self._sensors.encoder_stuck = "encoder_stuck" in present
        self._drop_mv = present.get("battery_drop_mv", 0.0)
        self._temperature_c = present.get("temperature_c", self.patient.temperature_c)
        self._stray_share = 1 - present.get("migration", 1.0)
        self._line.set_faults(present.get("kink"), present.get("catheter_leak", 0.0), "disconnect" in present, present.get("bubble_ul", 0.0))
        self._relax(self.t_us)

    # ---- looking

    def sense(self) -> Sensed:
        """What the board's converters see now. Equal call sequences give equal values."""
        reservoir, warm_c = self._reservoir, self._temperature_c
        return self._sensors.read(self.t_us, self._rotor, reservoir.volume_ul, reservoir.pressure_kpa(warm_c), warm_c,
                                  voltage_mv(self._battery.cell, self._used_mj()) - self._drop_mv)

    def _used_mj(self) -> float:
        motor = self._motor
        return self._battery.used_mj(self.t_us, motor.pulses, motor.commanded, self._wakes, self._received, self._sent)

    def truth(self) -> dict[str, Any]:
        """What is really so, at `t_us`. Looking changes nothing; dictionaries inside are per drug."""
        names = list(self._index)
        now = [csf.levels(self.t_us) for csf in self._csf]
        oral = {drug: body.levels(self.t_us) for drug, body in self._oral.items()}
        return {
            "t_us": self.t_us,
            "delivered_ul": self._delivered_ul, "strayed_ul": self._strayed_ul, "head_ul": self._head_ul,
            "reservoir_ul": self._reservoir.volume_ul,
            "reservoir_kpa": self._reservoir.pressure_kpa(self._temperature_c),
            "overfilled_ul": max(0.0, self._reservoir.volume_ul - self.params.reservoir.capacity_ul),
            "line_ul": self._line.dead_ul + self._line.stored_ul, "line_stored_ul": self._line.stored_ul, "line_kpa": self.patient.csf_kpa + self._line.back_kpa,
            "rotor_steps": self._rotor, "commanded_steps": self._motor.commanded, "lost_steps": self._lost_steps,
            "battery_mj": self._used_mj(),
            "listening_mj": self._battery.listening_mj(self._wakes, self._received, self._sent), "temperature_c": self._temperature_c,
            "mass_error": self.mass_error(),
            "reservoir_ng_per_ul": dict(zip(names, self._reservoir.conc)),
            "tip_ng_per_ul": dict(zip(names, self._line.tip_conc)),
            "tip_ng": dict(zip(names, self._tip_ng)),
            "strayed_ng": dict(zip(names, self._strayed_ng)),
            "lumbar_ng_per_ml": {drug: level.lumbar for drug, level in zip(names, now)},
            "cisternal_ng_per_ml": {drug: level.cisternal for drug, level in zip(names, now)},
            "effect_ng_per_ml": {drug: level.effect for drug, level in zip(names, now)},
            "plasma_ng_per_ml": {drug: body.level(self.t_us, csf.amplitudes(self.t_us))
                                 for drug, body, csf in zip(names, self._plasma, self._csf)},
            "oral_plasma_ng_per_ml": {drug: plasma for drug, (plasma, _) in oral.items()},
            "oral_csf_ng_per_ml": {drug: csf for drug, (_, csf) in oral.items()},
        }

    def mass_error(self) -> float:
        """Largest relative gap, over the drugs, between what came in and all places where it is now or went to."""
        worst = 0.0
        line_ng: Conc = self._line.mass_ng()
        for i, csf in enumerate(self._csf):
            came_ng = self._filled_ng[i] + self._injected_ng[i]
            found_ng = (self._reservoir.conc[i] * self._reservoir.volume_ul + line_ng[i] + sum(csf.mass_ng(self.t_us))
                        + sum(self._plasma[i].mass_ng(self.t_us)) + self._withdrawn_ng[i])
            if came_ng:
                worst = max(worst, abs(found_ng - came_ng) / came_ng)
        return worst
