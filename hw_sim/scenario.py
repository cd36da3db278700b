"""The scenario's clinician: an ordinary host Programmer over the world's line, and the therapy checks that only the host can make.

The one module of hw_sim that may import host (R2). `load_scenario` reads and checks a file, `world_for` makes a world whose setup
is done (what sim:// and serve open), `Clinician` carries out events one by one.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..host import units
from ..host.alarms import TABLE as ALARM_ROWS
from ..host.errors import ThecalError, Timeout
from ..host.fill import Bridge, Fill, bridge
from ..host.implant import Implant
from ..host.limits import Baseline, check, check_bolus
from ..host.drug_library import find as find_drug
from ..host.prescription import Prescription
from ..host.outcome import OrderResult
from ..host.programmer import PRIME_RATE, Programmer
from ..host.records import Event as LogEvent, Status
from ..host.review import against_program
from ..protocol import catalogue
from . import scenario_file
from .bedside import FATE, SECOND_US, Bedside, oracle_for
from .impairment import Impairment
from .oracle import Oracle, week
from .params import PlantParams
from .recorder import Recorder
from .scenario_file import DAY_S, Event, Scenario, ScenarioError, label, parts
from .world import World

NL_PER_UL = 1000
NG_ML_PER_NG_UL = 1000
SETUP_END_S = DAY_S         # sim:// and serve begin when the day of the implant has been played as far as its events go
__all__ = ["Clinician", "Programmer", "Scenario", "ScenarioError", "ThecalError", "apply_setup", "load_scenario", "new_world", "world_for"]


def load_scenario(given: str | Path) -> Scenario:
    """The checked scenario behind a name or a .toml file; its `orders` hold what the host made of each event.

    Raises ScenarioError: one sentence with file, event, key, value and bound.
    """
    scenario = scenario_file.read(scenario_file.find(str(given)), units)
    params, _ = parts(scenario)
    return replace(scenario, orders=_Therapy(scenario, params).orders())


def implant_record(scenario: Scenario, params: PlantParams) -> Implant:
    """The commissioning record as the factory and the surgeon would write it: from the parameters of these very parts."""
    return Implant(
        serial=scenario.implant["serial"], catheter_mm=scenario.implant["catheter"],
        nl_per_rev=round(params.head.volume_per_rev_ul * NL_PER_UL), steps_per_rev=params.motor.steps_per_rev,
        counts_per_rev=params.sensors.encoder_counts, step_hz=params.motor.steps_per_s,
        level_nl_per_count=round(params.sensors.level_quantum_ul * NL_PER_UL), capacity_ul=round(params.reservoir.capacity_ul),
        residual_ul=round(params.reservoir.residual_ul), tubing_nl=round(params.catheter.tubing_ul * NL_PER_UL),
        catheter_nl_per_mm=round(params.catheter.bore_ul_cm * NL_PER_UL / 10), contact=scenario.implant.get("contact", ""))


class _Therapy:
    """Walks the events as the patient would and asks the host about each: drugs, limits, volumes, what must come before what."""

    def __init__(self, scenario: Scenario, params: PlantParams) -> None:
        self.scenario = scenario
        self.params = params
        self.implant = implant_record(scenario, params)
        self.fill: Fill | None = None
        self.running: Prescription | None = None
        self.changed_s = self.begun_s = 0
        self.here = ""

    def orders(self) -> dict[int, Any]:
        """What each event becomes, by its number. Raises ScenarioError."""
        implants = [event for event in self.scenario.events if event.kind == "implant"]
        if len(implants) != 1 or implants[0].at_s != 0:
            raise ScenarioError("%s: there are %d events of kind 'implant', there must be one, at '0 d'" % (self.scenario.file, len(implants)))
        made: dict[int, Any] = {}
        for event in self.scenario.events:
            self.here = label(self.scenario.file, event)
            if event.number < implants[0].number and event.kind not in ("trial", *FATE):
                raise ScenarioError("%s: it stands before the implant, event %d" % (self.here, implants[0].number))
            try:
                self._known(event.read.get("drug"))
                handler = getattr(self, "_" + event.kind, None)
                made[event.number] = handler(event) if handler else None
            except ThecalError as error:
                raise ScenarioError("%s: %s" % (self.here, error)) from error
        return made

    def _known(self, drug: str | None) -> None:
        if drug is not None:
            find_drug(drug)
            if drug not in self.params.drugs:
                raise ScenarioError("%s: drug is %r, its kinetics are not in params (known: %s)" % (self.here, drug, ", ".join(self.params.drugs)))

    def _trial(self, event: Event) -> None:
        check_bolus(find_drug(event.read["drug"]), event.read["dose"], "trial")

    def _oral(self, event: Event) -> None:
        if self.params.drugs[event.read["drug"]].oral is None:
            raise ScenarioError("%s: drug is %r, it has no oral route in params" % (self.here, event.read["drug"]))
        if "until" in event.read and not event.at_s < event.read["until"] <= self.scenario.duration_s:
            raise ScenarioError("%s: until is %r, it must lie after 'at' and not after the end (%s)" % (
                self.here, event.values["until"], units.duration_text(self.scenario.duration_s)))

    def _fill(self, event: Event) -> Fill:
        if self.fill is not None:
            raise ScenarioError("%s: the pump has been filled before: this is a refill" % self.here)
        return self._filled(event, self.implant.residual_ul if event.read.get("rinses") else round(self.params.reservoir.initial_ul))

    def _refill(self, event: Event) -> Fill:
        if self.fill is None:
            raise ScenarioError("%s: nothing was filled before: the first is a fill" % self.here)
        return self._filled(event, self.implant.residual_ul)

    def _filled(self, event: Event, left_ul: int) -> Fill:
        values = event.values
        fill = Fill(values["volume"], values["drug"], values["concentration"], also=values.get("also"))
        for item in fill.ingredients:
            self._known(item.name)
        fill.check(self._doses())
        if self.running:
            against_program(self.running, fill)
        for key, volume_ul in (("volume", fill.volume_ul), ("rinse_volume", event.read.get("rinse_volume", 0) / NL_PER_UL)):
            if left_ul + volume_ul > self.implant.capacity_ul:
                raise ScenarioError("%s: %s is %r, onto %g mL left in the reservoir it must not exceed %g mL" % (
                    self.here, key, values[key], left_ul / 1000, (self.implant.capacity_ul - left_ul) / 1000))
        self.fill = fill
        return fill

    def _doses(self) -> dict[str, Fraction]:
        """ng/day that the patient has now: of the program, or reached before this implant."""
        if self.running:
            return self.running.daily_dose_ng()
        patient = self.scenario.patient
        return {patient["drug"]: patient["dose"]} if "drug" in patient else {}

    def _needs_fill(self) -> Fill:
        if self.fill is None:
            raise ScenarioError("%s: there is no drug in the pump: a fill must come before" % self.here)
        return self.fill

    def _program(self, event: Event) -> Prescription:
        return self._prescribed(event, prescription(event.values, self._needs_fill()))

    def _prescribed(self, event: Event, program: Prescription) -> Prescription:
        since_s = event.at_s - self.changed_s if self.running else None
        check(program, Baseline(self._doses(), since_s, (event.at_s - self.begun_s) // DAY_S if self.running else 0))
        if self.running is None:
            self.begun_s = event.at_s
        self.running, self.changed_s = program, event.at_s
        return program

    def _bridge(self, event: Event) -> tuple[Bridge, Prescription]:
        """The old program goes on through the dead volume, then the new dose at the fill's concentration."""
        fill, old = self._needs_fill(), self.running
        if old is None or old.mode != "simple":
            raise ScenarioError("%s: a bridge carries on a simple program: there must be one" % self.here)
        first = old.ingredients[0]
        if fill.ingredients[0].concentration_ng_ml == first.concentration_ng_ml:
            raise ScenarioError("%s: the fill has the concentration of the program that runs, %s: nothing to bridge" % (self.here, first.show_concentration()))
        dead = units.show(self.implant.dead_volume_nl, units.VOLUME, "mL", places=6)
        flow = units.show(old.patterns[0][0].rate_nl_day, units.FLOW, "mL/day", places=6)
        span = bridge(dead, first.show_concentration(), old_rate=flow)
        return span, self._prescribed(event, prescription({"mode": "simple", **event.values}, fill))


def prescription(values: dict[str, Any], fill: Fill) -> Prescription:
    """The program of an event's values for what is in the pump. Raises RequestInvalid."""
    first, *others = fill.ingredients
    options = {"also": {item.name: item.show_concentration() for item in others}, "setting": values.get("setting")}
    strength = first.show_concentration()
    if values["mode"] == "simple":
        return Prescription.simple(first.name, concentration=strength, dose=values["dose"], **options)
    return Prescription.flex(first.name, concentration=strength, steps=values["steps"], weekdays=values.get("weekdays"), **options)


def new_world(scenario: Scenario, *, runtime: str, seed: int | None = None, **options: Any) -> World:
    """A world at t = 0 of the scenario: the pump on the shelf, nothing done. `options` as of World.build."""
    params, patient = parts(scenario)
    return World.build(runtime=runtime, seed=scenario.seed if seed is None else seed, params=params, patient=patient,
                       epoch_s=scenario.start_pump_s, **options)


def world_for(scenario: Scenario | None, *, runtime: str = "micropython", seed: int | None = None, firmware_dir: Path | None = None,
              exec_cmd: list[str] | None = None, store_path: Path | None = None, recorder: Recorder | None = None, line: str | None = None) -> World:
    """A world whose setup has been played (`apply_setup`) over a good line; from then on it is as bad as `line` says (impairment.py).

    Without a scenario a pump on the shelf. Raises RuntimeMissing, FirmwareError, LineError, ScenarioError where the pump refuses the setup.
    """
    options: dict[str, Any] = dict(runtime=runtime, firmware_dir=firmware_dir, exec_cmd=exec_cmd, store_path=store_path, recorder=recorder)
    drawn = seed if seed is not None else scenario.seed if scenario else 1
    impairment = Impairment.parse(line, drawn) if line is not None else None
    world = World.build(seed=drawn, **options) if scenario is None else new_world(scenario, seed=seed, **options)
    try:
        if scenario is not None:
            apply_setup(scenario, world)
        world.line.impair(impairment)
    except BaseException:
        world.close()
        raise
    return world


def apply_setup(scenario: Scenario, world: World) -> list[str]:
    """Play the events of the implant's day (commission, clock, fill, prime, first program) and schedule fate's later ones.

    What the clinician does on later days is left to the user. Trials are not played. A pump whose store is commissioned
    already keeps what it has, only the plant is filled. Returns notes. Raises ScenarioError when the pump refuses.
    """
    clinician = Clinician(scenario, world, oracle_for(scenario.start_pump_s, world.plant.params))
    status = clinician.status()
    kept = status.mode != "shelf" if status is not None else clinician.strange
    if kept:
        clinician.mute("the pump's store is commissioned already")
    for event in scenario.events:
        at_us = event.at_s * SECOND_US
        if event.kind in FATE:
            clinician.bedside.schedule(event, max(at_us, world.now_us))
        elif event.kind != "trial" and event.at_s < SETUP_END_S:
            world.run_until(max(at_us, world.now_us))
            clinician.do(event)
    if clinician.refused and not kept:
        raise ScenarioError("%s: %s" % (scenario.file, clinician.refused[0]))
    return clinician.notes


class Clinician:
    """Carries out events: hands on the plant (bedside.py), then the Programmer over the world's line, then the oracle is told.

    `refused` collects what the pump (or the host) refused, `notes` what a reader should know, `fills` (t_us) of new strengths.
    """

    def __init__(self, scenario: Scenario, world: World, oracle: Oracle) -> None:
        self.scenario = scenario
        self.world = world
        self.oracle = oracle
        self.bedside = Bedside(world, oracle)
        self.implant = implant_record(scenario, world.plant.params)
        self.pump = Programmer(world.port(), name="the scenario's line")
        self.notes: list[str] = []
        self.refused: list[str] = []
        self.prescribed: list[tuple[int, Prescription]] = []
        self.firmware: dict[str, Any] = {"runtime": world.runner.name, "version": None}
        self._bridges: list[range] = []     # the log's sequence numbers of each bridge and its program
        self._muted, self.strange = "", False       # strange: somebody has paired this pump, there is no key for it here
        self._seen_event = 0
        try:
            identity = self.pump.identity()
            self.strange = bool(identity.paired)
            self.firmware = {"runtime": identity.runtime, "version": identity.firmware_version}
        except Timeout:
            self.mute("this firmware does not answer telemetry")

    @property
    def deaf(self) -> bool:
        """True when the pump is not talked to."""
        return bool(self._muted)

    def mute(self, reason: str) -> None:
        """Talk to the pump no more; what would have been said goes into the notes."""
        self._muted = reason
        self.notes.append("%s: what needs telemetry is left out, the plant and its figures remain" % reason)

    def status(self) -> Status | None:
        """One look at the pump, None where it cannot answer (no telemetry, no power)."""
        return None if self.deaf or not self.world.powered else self._heard(self.pump.status)

    def _heard(self, question: Callable[[], Any]) -> Any:
        """The pump's answer, None and a note where none comes: the line may be bad, and a look is not an order."""
        try:
            return question()
        except ThecalError as error:
            self.notes.append("at %s: %s" % (units.duration_text(self.world.now_us // SECOND_US), error))
            return None

    def do(self, event: Event) -> None:
        """Carry out one event at the present instant."""
        self.world.recorder.event(self.world.now_us, "clinician", event.kind, event.text)
        if event.kind in FATE:
            self.bedside.act(event)
            return
        try:
            getattr(self, "_" + event.kind)(event)
        except ThecalError as error:
            self.refused.append("event %d (%s): %s" % (event.number, event.kind, error))

    def _silent(self, event: Event) -> bool:
        """True, and noted, when the pump cannot be told of this event."""
        if self.deaf:
            self.notes.append("event %d (%s): the pump was not told: %s" % (event.number, event.kind, self._muted))
        return self.deaf

    def _implant(self, event: Event) -> None:
        if not self._silent(event):
            self.pump.commission(self.implant)
            self.pump.set_clock(self.scenario.start_pump_s + self.world.now_us // SECOND_US)

    def _fill(self, event: Event, withdrawn_ul: int = 0) -> None:
        made: Fill = self.scenario.orders[event.number]
        content = {item.name: item.concentration_ng_ml / NG_ML_PER_NG_UL for item in made.ingredients}
        self.bedside.fill(made.volume_ul * NL_PER_UL, content, rinses=event.read.get("rinses", 0), rinse_nl=event.read.get("rinse_volume", 0))
        if not self._silent(event):
            values = event.values
            if event.kind == "fill" and "rinse_volume" in values:   # the pump learns that the bellows is dry no longer
                self.pump.refill(Fill(values["rinse_volume"], values["drug"], values["concentration"], also=values.get("also")))
                withdrawn_ul = max(0, event.read["rinse_volume"] // NL_PER_UL - self.implant.residual_ul)
            told = Fill(values["volume"], values["drug"], values["concentration"], also=values.get("also"), withdrawn="%d uL" % withdrawn_ul)
            self._warn(event, self.pump.refill(told).warnings)

    def _refill(self, event: Event) -> None:
        self._fill(event, round(self.bedside.withdraw()))       # the host compares it with the pump's book

    def _prime(self, event: Event) -> None:
        if not self._silent(event):
            volume, rate = event.values["volume"], event.values.get("rate", PRIME_RATE)
            self._warn(event, self.pump.prime(volume, rate).warnings)
            self.oracle.prime(self.world.now_us, units.volume_nl(volume), units.flow_nl_day(rate))

    def _program(self, event: Event) -> None:
        self._programmed(event, self.scenario.orders[event.number])

    def _programmed(self, event: Event, program: Prescription) -> None:
        if self._silent(event):
            return
        patient, baseline = self.scenario.patient, None
        if not self.prescribed and "drug" in patient:
            baseline = Baseline({patient["drug"]: patient["dose"]})
        self._running(event, program, self.pump.program(program, baseline=baseline))

    def _running(self, event: Event, program: Prescription, done: OrderResult) -> None:
        """A program was committed at this instant: the oracle is told."""
        self._warn(event, done.warnings)
        self.prescribed.append((event.at_s, program))
        days = [[(step.from_s, step.rate_nl_day) for step in program.pattern_of(day)] for day in range(7)]
        self.oracle.program(self.world.now_us, week(days[0], dict(enumerate(days))))

    def _bridge(self, event: Event) -> None:
        """Old drug by volume and in the pump's own hands, the new program behind it; which of the two orders goes first the host decides."""
        span, program = self.scenario.orders[event.number]
        if self._silent(event):
            return

        def told(done: OrderResult) -> None:
            if done.kind == "prime":
                return self.oracle.prime(self.world.now_us, span.volume_nl, span.rate_nl_day)
            return self._running(event, program, done)

        first = self.pump.status().next_event
        self.pump.bridge(span, program, told=told)
        self._bridges.append(range(first, self.pump.status().next_event))
        self.notes.append("event %d (bridge): %s" % (event.number, span.text()))

    def _stop(self, event: Event) -> None:
        if not self._silent(event):
            self.pump.stop(event.values["reason"])
            self.oracle.stopped(self.world.now_us)

    def _resume(self, event: Event) -> None:
        if not self._silent(event):
            self.pump.resume()
            self.oracle.resumed(self.world.now_us)

    def _visit(self, event: Event) -> None:
        if not self._silent(event):
            self.pump.alarms()

    def _set_clock(self, event: Event) -> None:
        if not self._silent(event):
            pump_s = self.pump.status().time_s + event.read["shift"]
            self.pump.set_clock(pump_s)
            self.oracle.clock_set(self.world.now_us, pump_s)

    def _warn(self, event: Event, warnings: list[str]) -> None:
        self.notes += ["event %d (%s): %s" % (event.number, event.kind, warning) for warning in warnings]

    # ---- the pump's own log
    def bridging(self, seq: int) -> bool:
        """Whether the prime that the log tells under this number is a bridge."""
        return any(seq in span for span in self._bridges)

    def news(self, status: Status | None) -> list[LogEvent]:
        """Events of the pump's log that were not seen before; asks only when `status` says that there are some."""
        if status is None or status.next_event == self._seen_event:
            return []
        found = self._heard(lambda: self.pump.log(self._seen_event))
        if found is not None:
            self._seen_event = status.next_event
        return [event for event in found or () if event.seq < status.next_event]


def alarm_of(event: LogEvent) -> dict[str, Any] | None:
    """{code, name, priority} of an alarm event of the log, None for others."""
    if event.code not in (catalogue.E_ALARM, catalogue.E_ALARM_END):
        return None
    row = ALARM_ROWS.get(event.cause)
    return {"code": event.cause, "name": row.name if row else "unknown alarm", "priority": row.priority if row else 1}
