"""The plant: motor, head, reservoir, line, spinal fluid, battery and sensors of one pump in one patient, on virtual time.

Nothing here runs on a fixed step. `advance()` applies what the motor turned since the last call: head volume out of the
reservoir, through the line, and what leaves at the tip as a dose into the spinal fluid at the middle of that motion. The
fluid itself is only stepped when a dose arrives, exactly; `truth()` and `sense()` look without changing it. Flows that no
rotor makes (standing.py) are closed forms of the time since the last look. The surroundings (environment.py) bend or step at
known instants: `advance()` stops at each, so that a jump of months and a walk give the same. Faults (plant_faults.py) change
parameters and inputs of the bodies, never an equation and never a status flag (R13). What holds drug, and the hands of the
clinic on it, is plant_hands.py.

Units: volume uL, mass ng, concentration ng/uL (the same number as ug/mL) in pump and line and ng/mL in the body, pressure
kPa, temperature C, field T, time in integer virtual microseconds from the start of the run.
"""
from __future__ import annotations

import math
import random
from typing import Any

from .battery import Battery, voltage_mv
from .environment import Environment
from .motor import ENDLESS, Motor
from .params import PatientParams, PlantParams
from .plant_flows import Flows
from .sensors import Sensed, Sensors

BIND_H = (2.0, 24.0)    # how long a gear stays bound behind a field, drawn evenly (clinical.md 1.5: reports of 2..24 h)
HOUR_US = 3_600_000_000
FATIGUE_SHARE = 0.3     # of the volume that a tube which fatigues loses in the end: what the level test is made to find (alarms.md 4)


class Plant(Flows):
    """One pump in one patient, in its surroundings. `reed_closed`: a magnetic field holds the reed switch. `flat`: no controller runs on this cell.

    `sag_us`: when the train under way will have pulled the terminal voltage below what the controller runs on, ENDLESS if it will not.
    """

    __slots__ = ("reed_closed", "flat", "_motor", "_battery", "_sensors", "_rotor", "_stalled", "_cell_mv", "_wakes", "_received", "_sent", "_lost_steps",
                 "_head_ul", "_chance", "_stops_us", "_stop_us", "_bound_us", "_held", "_losing", "_lost_rest", "_train_lost", "_moved_us",
                 "_set_after_us", "_set_tube_ul", "_aging", "sag_us", "_weak_us", "_low_mv")

    def __init__(self, params: PlantParams, patient: PatientParams, seed: int = 1, environment: Environment | None = None):
        super().__init__(params, patient, environment)
        self._motor = Motor(params.motor)
        self._battery = Battery(params.battery, params.motor)
        self._sensors = Sensors(params.sensors, params.motor.steps_per_rev, seed)
        self._chance = {name: random.Random("fault:%d:%s" % (seed, name)) for name in ("intermittent_stall", "gear_bind")}
        self._rotor = 0                         # steps turned since the start
        self._wakes = 0
        self._received = 0                      # telemetry bytes, whatever they say
        self._sent = 0
        self._lost_steps = 0                    # put out by the driver, not turned by the rotor
        self._head_ul = 0.0
        self._cell_mv = params.battery.full_mv  # terminal voltage at the last look, film and all
        self._low_mv = max(params.motor.driver_min_mv, params.battery.brown_out_mv)     # above it the cell carries whatever is on it
        self.sag_us = ENDLESS
        self._weak_us: float = ENDLESS          # from then on the driver has too little voltage to turn the rotor under its own load
        self.flat = False
        self._stalled = False                   # the rotor stands, whatever is ordered
        self._held = self.reed_closed = False   # by a magnetic field
        self._bound_us = 0                      # a gear bound by a field lets go then
        self._losing = False                    # something may take steps of a train, or whole trains, or make more than was ordered
        self._lost_rest = 0.0
        self._train_lost = False
        self._aging: tuple[str, ...] = ()       # faults present that show in the volume of a turn
        self._set_tube_ul: float | None = None  # of the fault
        self._set_after_us = round(params.head.tube_set_after_h * HOUR_US)
        self._moved_us = 0                      # when the rotor last turned: at the factory, to begin with
        self._stop_us = ENDLESS                 # where advance() must stop on its way: a bend of the surroundings, a gear that lets go
        self._stops_us = self.environment.stops_us((params.motor.field_stall_t, params.sensors.reed_t))[::-1]
        if self.environment:
            self._surroundings_changed()

    # ---- time and motion

    def advance(self, t_us: int) -> None:
        """Bring the plant to `t_us`; costs the same for a millisecond and a month. Raises ValueError if that lies in the past."""
        if t_us < self.t_us:
            raise ValueError("the plant is at %d us and cannot go back to %d us" % (self.t_us, t_us))
        if self._stop_us <= t_us:
            self._pass_stops(t_us)
        steps = self._motor.turn(t_us)
        if steps:
            self._moved(steps)
        if self._line.kinked:
            self._relax(t_us)
        if self._standing:
            self._flow(t_us)
        self.t_us = t_us

    def _pass_stops(self, t_us: int) -> None:
        while self._stop_us <= t_us:
            at_us, self._stop_us = self._stop_us, ENDLESS
            self.advance(at_us)
            self._surroundings_changed()

    def order(self, steps: int, hold_us: int) -> None:
        """Turn `steps` (1..65535) from now on while enable is held for `hold_us` (1..500,000). Raises ValueError out of range."""
        self._motor.order(self.t_us, steps, hold_us)
        if self._losing:
            self._train_lost = self._chance["intermittent_stall"].random() < self.faults.get("intermittent_stall", 0.0)
            self._load_the_cell()

    def drop_enable(self) -> None:
        """Open the enable switch now; steps not yet made are lost."""
        self._motor.drop_enable(self.t_us)
        if self._losing:
            self._load_the_cell()

    def next_edge_us(self) -> int | None:
        """When the encoder next moves although enable is commanded off; None if it will not."""
        edge_us = self._motor.next_edge_us(self.t_us)
        if edge_us is None or self._line.room_ul(self.params.head.stall_kpa - self._tip_kpa) <= 0:
            return None
        if self._stalled:       # a field or a bound gear may let go of a rotor that runs wild
            return None if self._stop_us == ENDLESS or "rotor_stall" in self.faults else self._motor.next_edge_us(max(self.t_us, self._stop_us))
        return edge_us

    def _moved(self, steps: int) -> None:
        """Apply `steps` that the motor has put out."""
        start_us, end_us = self._motor.span_us(steps)
        line, reservoir, rotor = self._line, self._reservoir, self._rotor
        if self._losing or self._stalled:
            steps = self._turned(steps, end_us)
            if not steps:
                return
        if self._standing:
            self._flow(start_us)
        if start_us - self._moved_us > self._set_after_us:
            self._head.set_tube(rotor, self.params.head.tube_set_ul if self._set_tube_ul is None else self._set_tube_ul)
        self._moved_us = end_us
        back_kpa = self._tip_kpa
        if line.kinked:
            self._relax(start_us)
            back_kpa += line.back_kpa
            turned = self._head.steps_within(rotor, steps, back_kpa, line.room_ul(self._stall_kpa(end_us)))
            self._lost_steps += steps - turned
            steps = turned
            unopposed_ul = self._head.volume_ul(rotor, steps, self._tip_kpa)
            slip_per_kpa = self.params.head.slip_per_kpa        # against what is left behind the slip by the tip's pressure
            slip_per_kpa /= 1 - slip_per_kpa * self._tip_kpa
            back_kpa = self._tip_kpa + line.mean_kpa(unopposed_ul, (end_us - start_us) * 1e-6, slip_per_kpa)
        self._rotor = rotor + steps
        volume = self._head.volume_ul(rotor, steps, back_kpa)
        if self._aging and steps:
            self._prove(rotor, steps, end_us)
        if self._pressed:
            volume = self._drawn_ul(volume, back_kpa, (start_us + end_us) >> 1)
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
            if out != volume:
                self.faults.fire("kink", end_us)
                self.faults.fire("bubble_ul", end_us)
        self._head_ul += volume
        self._deliver(pieces, start_us, end_us)

    def _turned(self, steps: int, end_us: int) -> int:
        """How many of `steps` the rotor makes: none while it is held or unpowered, the trains and shares that a bad gear leaves otherwise."""
        faults, turned = self.faults, steps
        if self._motor.driver_stuck_on or self._motor.enable_stuck:
            for name in self._motor.unordered(steps):
                faults.fire(name, end_us)
        if self._stalled:
            turned = 0
            faults.fire("rotor_stall", end_us)
            if self._held:
                faults.fire("field_t", end_us)
            elif end_us <= self._bound_us:
                faults.fire("gear_bind", end_us)
        elif self._cell_mv < self.params.motor.driver_min_mv:
            turned = 0
            faults.fire("battery_drop_mv", end_us)
            faults.fire("battery_film_ohm", end_us)
        elif self._train_lost:
            turned = 0
            faults.fire("intermittent_stall", end_us)
        else:
            if self._weak_us < end_us:
                turned = max(0, steps - math.ceil((end_us - self._weak_us) / self._motor.step_us))
                faults.fire("battery_film_ohm", end_us)
            if "lost_steps" in faults:
                self._lost_rest += turned * faults["lost_steps"]
                lost = int(self._lost_rest)
                self._lost_rest -= lost
                turned -= lost
                if lost:
                    faults.fire("lost_steps", end_us)
        self._lost_steps += steps - turned
        return turned

    def _stall_kpa(self, t_us: int) -> float:
        """Pressure behind a kink, above that around the tip, at which the torque that a field leaves no longer turns the rotor."""
        return self.params.head.stall_kpa * self._motor.torque_left(self.field_t(t_us)) - self._tip_kpa

    def _prove(self, rotor: int, steps: int, end_us: int) -> None:
        """Tell the faults of the head that made this motion's volume another one."""
        head = self._head
        for name in self._aging:
            if name == "head_gain" and head.gain != 1 or name in ("head_wear", "tube_fatigue") and head.worn(rotor, steps) != 1 \
                    or name == "tube_set" and head.lobes_ul(rotor, steps) or name == "tip_kpa" and head.params.slip_per_kpa * self._tip_kpa:
                self.faults.fire(name, end_us)

    # ---- faults and surroundings

    @property
    def bound_until_us(self) -> int:
        """When a gear that a field has bound lets go; in the past if none is bound."""
        return self._bound_us

    def field_t(self, t_us: int) -> float:
        """Static magnetic field at the pump."""
        value = self.faults.get("field_t")
        if value is None and self.environment:
            value = self.environment.at("field_t", t_us)
        return 0.0 if value is None else float(value)

    def reed_seen(self) -> None:
        """The board has read the reed switch that a field holds closed: all that a field too weak to stall does."""
        if not self._held:
            self.faults.fire("field_t", self.t_us)

    def _faults_changed(self) -> None:
        """Derive every faulty input from the faults present; what healed goes back to its parameter."""
        present = self.faults
        self._motor.set_faults(self.t_us, "driver_stuck_on" in present, "enable_stuck" in present)
        self._train_lost = self._train_lost and "intermittent_stall" in present
        self._head.gain = present.get("head_gain", 1.0)
        worn = (present.get("head_wear", FATIGUE_SHARE if "tube_fatigue" in present else 0.0), present.get("tube_fatigue", self.params.head.wear_rev))
        if worn != (self._head.worn_share, self._head.wear_rev):
            self._head.wear(worn[0], self._rotor, worn[1])
        if present.get("tube_set") != self._set_tube_ul:
            self._set_tube_ul = present.get("tube_set")
            self._head.set_tube(self._rotor, self._set_tube_ul or 0.0)
        self._aging = tuple(name for name in ("head_gain", "head_wear", "tube_fatigue", "tube_set", "tip_kpa") if name in present)
        self._battery.leak(self.t_us, present.get("battery_leak_uw", 0.0))
        self._battery.film_ohm = present.get("battery_film_ohm", 0.0)
        self._sensors.set_faults(self.t_us, present, present.fire)
        self._faults_of_flows()
        self._look_at_the_cell()
        self._load_the_cell()
        self._surroundings_changed()

    def _surroundings_changed(self) -> None:
        """Look at the field now, at what it does to motor and reed, and for the next instant at which something bends."""
        now_us, field_t, present = self.t_us, self.field_t(self.t_us), self.faults
        self._faults_of_the_line()
        held = self._motor.torque_left(field_t) <= 0
        if "gear_bind" not in present:
            self._bound_us = 0
        elif self._held and not held:
            hours = present["gear_bind"] or self._chance["gear_bind"].uniform(*BIND_H)
            self._bound_us = now_us + round(hours * HOUR_US)
        self._held = held
        self.reed_closed = field_t >= self.params.sensors.reed_t
        self._stalled = held or now_us < self._bound_us or "rotor_stall" in present
        stops_us = self._stops_us
        while stops_us and stops_us[-1] <= now_us:
            stops_us.pop()
        self._stop_us = stops_us[-1] if stops_us else ENDLESS
        if now_us < self._bound_us < self._stop_us:
            self._stop_us = self._bound_us

    # ---- looking

    def sense(self) -> Sensed:
        """What the board's converters see now. Equal call sequences give equal values."""
        reservoir, now_us = self._reservoir, self.t_us
        if self._pressed:
            warm_c = self.temperature_c(now_us)
            inlet_kpa = reservoir.pressure_kpa(warm_c, self.ambient_kpa(now_us))
            if self._differs("temperature_c", now_us):
                self.faults.fire("temperature_c", now_us)
        else:
            warm_c = self.patient.temperature_c
            inlet_kpa = reservoir.pressure_kpa(warm_c)
        cell_mv = voltage_mv(self._battery.cell, self._used_mj())
        if self.faults or cell_mv < self._low_mv:
            self._look_at_the_cell()
            if self._battery.film_ohm:
                cell_mv = self._through_the_film(cell_mv)
        return self._sensors.read(now_us, self._rotor, reservoir.volume_ul, inlet_kpa, warm_c, cell_mv)

    def _look_at_the_cell(self) -> None:
        """Whether the driver still starts a train, and whether anything else may keep the rotor from making what was ordered."""
        present = self.faults
        self._cell_mv = voltage_mv(self._battery.cell, self._used_mj()) - present.get("battery_drop_mv", 0.0) - self._battery.awake_drop_mv()
        if "battery_leak_uw" in present and self._battery.leaked_mj(self.t_us):
            present.fire("battery_leak_uw", self.t_us)
        self.flat = self._cell_mv < self._battery.cell.brown_out_mv
        self._losing = self._cell_mv < self.params.motor.driver_min_mv or any(
            name in present for name in ("intermittent_stall", "lost_steps", "driver_stuck_on", "enable_stuck", "battery_film_ohm"))

    def _load_the_cell(self) -> None:
        """When the train under way, if there is one, will have pulled the cell below what driver and controller need."""
        self.sag_us = self._weak_us = ENDLESS
        if not self._battery.film_ohm:
            return
        self._look_at_the_cell()
        since_us, end_us = self._motor.driven_us(self.t_us)
        self._weak_us = since_us + self._battery.sags_in_us(self._cell_mv - self.params.motor.driver_min_mv)
        sag_us = since_us + self._battery.sags_in_us(self._cell_mv - self._battery.cell.brown_out_mv)
        if sag_us < end_us:
            self.sag_us = max(self.t_us, math.ceil(sag_us))

    def _through_the_film(self, cell_mv: float) -> float:
        """What a converter sees of a cell of `cell_mv`: the controller is awake, and the motor may be driven."""
        now_us, film = self.t_us, self._battery
        seen_mv = cell_mv - film.awake_drop_mv() - film.sag_mv(now_us - self._motor.driven_us(now_us)[0])
        if round(seen_mv) != round(cell_mv):
            self.faults.fire("battery_film_ohm", now_us)
        return max(0.0, seen_mv)

    def _used_mj(self) -> float:
        motor = self._motor
        return self._battery.used_mj(self.t_us, motor.pulses, motor.commanded, self._wakes, self._received, self._sent)

    def woken(self, received: int = 0, sent: int = 0) -> None:
        """Charge the battery for a wake of the controller, in which it took `received` bytes off the line and put `sent` on it."""
        self._wakes += 1
        self._received += received
        self._sent += sent

    def tip_dose_ng(self, drug: str) -> float:
        """How much of a drug has left at the tip so far; 0 for one that was never here. As in truth(), without the rest of it."""
        return self._tip_ng[self._index[drug]] if drug in self._index else 0.0

    def truth(self) -> dict[str, Any]:
        """What is really so, at `t_us`. Looking changes nothing; dictionaries inside are per drug."""
        names, now_us = list(self._index), self.t_us
        now = [csf.levels(now_us) for csf in self._csf]
        oral = {drug: body.levels(now_us) for drug, body in self._oral.items()}
        reservoir, warm_c, ambient_kpa = self._reservoir, self.temperature_c(now_us), self.ambient_kpa(now_us)
        inlet_kpa = reservoir.pressure_kpa(warm_c, ambient_kpa)
        return {
            "t_us": now_us,
            "delivered_ul": self._delivered_ul, "head_ul": self._head_ul, "free_ul": self._free_ul, "port_ul": self._port_ul,
            "pocket_ul": self._pocket_ul, "strayed_ul": self._strayed_ul,
            "reservoir_ul": reservoir.volume_ul, "reservoir_kpa": inlet_kpa, "reservoir_gauge_kpa": inlet_kpa - ambient_kpa,
            "overfilled_ul": max(0.0, reservoir.volume_ul - self.params.reservoir.capacity_ul),
            "line_ul": self._line.dead_ul + self._line.stored_ul, "line_stored_ul": self._line.stored_ul,
            "line_kpa": self.patient.csf_kpa + self._tip_kpa + self._line.back_kpa,
            "rotor_steps": self._rotor, "commanded_steps": self._motor.commanded, "lost_steps": self._lost_steps, "stalled": self._stalled,
            "battery_mj": self._used_mj(),
            "listening_mj": self._battery.listening_mj(self._wakes, self._received, self._sent),
            "temperature_c": warm_c, "ambient_kpa": ambient_kpa, "field_t": self.field_t(now_us),
            "mass_error": self.mass_error(),
            "reservoir_ng_per_ul": dict(zip(names, reservoir.conc)),
            "tip_ng_per_ul": dict(zip(names, self._line.tip_conc)),
            "tip_ng": dict(zip(names, self._tip_ng)), "pocket_ng": dict(zip(names, self._pocket_ng)),
            "strayed_ng": dict(zip(names, self._strayed_ng)), "walls_ng": dict(zip(names, self._walls_ng)),
            "lumbar_ng_per_ml": {drug: level.lumbar for drug, level in zip(names, now)},
            "cisternal_ng_per_ml": {drug: level.cisternal for drug, level in zip(names, now)},
            "effect_ng_per_ml": {drug: level.effect for drug, level in zip(names, now)},
            "plasma_ng_per_ml": {drug: blood.level(now_us, csf.amplitudes(now_us)) for drug, blood, csf in zip(names, self._plasma, self._csf)},
            "oral_plasma_ng_per_ml": {drug: plasma for drug, (plasma, _) in oral.items()},
            "oral_csf_ng_per_ml": {drug: csf for drug, (_, csf) in oral.items()},
        }
