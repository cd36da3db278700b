"""The scenario's clinician (and patient): an ordinary host Programmer over the world's line, and the oracle told of what was ordered.

`apply_setup` plays the day of the implant, `Clinician` carries out events one by one.
"""
from __future__ import annotations

import hashlib
from functools import partial
from collections.abc import Callable
from typing import Any

from ..protocol import catalogue
from .bedside import FATE, SECOND_US, Bedside, oracle_for
from .declared import Declared
from .line_events import failing_host
from .oracle import Oracle, week
from .oracle_program import steps_of
from .scenario import (
    ALARM_ROWS, DAY_S, MINIMUM_NL_DAY, NL_PER_UL, PRIME_RATE, SAFE_STOP, Baseline, Event, Key, Keystore, LogEvent, Prescription, Programmer, Scenario,
    ScenarioError, Status, ThecalError, Timeout, implant_record, units)
from .scenario_surroundings import drawn
from .scenario_therapy import fill_of, reached
from .world import World

NG_ML_PER_NG_UL = 1000
HELLOS = 5                  # on a bad line: one with 30 % loss swallows all tries of the two first questions in one run of 20
SETUP_END_S = DAY_S         # sim:// and serve begin when the day of the implant has been played as far as its events go


def apply_setup(scenario: Scenario, world: World) -> list[str]:
    """Play the events of the implant's day (commission, clock, fill, prime, first program) and schedule fate's later ones.

    What the clinician does on later days is left to the user. Trials are not played, nor what is meant to be refused. A pump whose store is
    commissioned already keeps what it has, only the plant is filled. Returns notes. Raises ScenarioError when the pump refuses.
    """
    clinician = Clinician(scenario, world, oracle_for(scenario.start_pump_s, world.plant.params))
    clinician.let_chance()
    status = clinician.status()
    kept = status.mode != "shelf" if status is not None else clinician.strange
    if kept:
        clinician.mute("the pump's store is commissioned already")
    for event in scenario.events:
        at_us = event.at_s * SECOND_US
        if event.kind in FATE:
            clinician.bedside.schedule(event, max(at_us, world.now_us))
        elif event.kind != "trial" and event.at_s < SETUP_END_S and "refused" not in event.values:
            world.run_until(max(at_us, world.now_us))
            clinician.do(event)
    if clinician.refused and not kept:
        raise ScenarioError("%s: %s" % (scenario.file, clinician.refused[0]))
    return clinician.notes


class Clinician:
    """Carries out events: hands on the plant (bedside.py), then the Programmer over the world's line, then the oracle is told.

    `refused` collects what was refused and should not have been, or the other way round; `denied` (t_s, sentence) what was refused as it
    was meant to be; `notes` what a reader should know; `prescribed` (event's s, program) in force.
    """

    def __init__(self, scenario: Scenario, world: World, oracle: Oracle) -> None:
        self.scenario = scenario
        self.world = world
        self.oracle = oracle
        self.bedside = Bedside(world, oracle)
        self.implant = implant_record(scenario, world.plant.params)
        self.pump = Programmer(world.port(), name="the scenario's line")
        self.declared = Declared(oracle, MINIMUM_NL_DAY)
        self.notes: list[str] = []
        self.refused: list[str] = []
        self.denied: list[tuple[int, str]] = []
        self.prescribed: list[tuple[int, Prescription]] = []
        self.firmware: dict[str, Any] = {"runtime": world.runner.name, "version": None}
        self._patient: Programmer | None = None
        self._muted, self.strange = "", False       # strange: somebody has paired this pump, there is no key for it here
        self._seen_event = 0
        self._introduce()

    def _introduce(self) -> None:
        """Ask who answers: on a bad line several times, for what is lost there is not what the firmware lacks."""
        for left in reversed(range(HELLOS if self.world.line.counters()["spec"] else 1)):
            try:
                identity = self.pump.identity()
                self.strange = bool(identity.paired)
                self.firmware = {"runtime": identity.runtime, "version": identity.firmware_version}
                return
            except Timeout:
                if not left:
                    self.mute("this firmware does not answer telemetry")

    def let_chance(self) -> None:
        """Have the scenario's random faults, as its seed draws them, happen of their own accord."""
        for fault in drawn(self.scenario.random_faults, self.scenario.seed, self.scenario.duration_s):
            if fault.at_s * SECOND_US >= self.world.now_us:
                self.world.at(fault.at_s * SECOND_US, partial(self.bedside.chance, fault))

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

    # ---- events
    def do(self, event: Event) -> None:
        """Carry out one event at the present instant."""
        self.world.recorder.event(self.world.now_us, "clinician", event.kind, event.text)
        if event.kind in FATE:
            self.bedside.act(event)
            return
        wanted = event.values.get("refused")
        if event.number in self.scenario.refusals:
            self._denied(event, self.scenario.refusals[event.number])
            return
        before = self._running_digest() if wanted else None
        try:
            with failing_host(self.world, event.values, event.read):
                getattr(self, "_" + event.kind)(event)
        except ThecalError as error:
            if wanted is not None and wanted in str(error):
                self._denied(event, str(error))
                if self._running_digest() != before:
                    self.refused.append("event %d (%s): it was refused and changed the program" % (event.number, event.kind))
            else:
                self.refused.append("event %d (%s): %s" % (event.number, event.kind, error))
            return
        if wanted is not None and not self.deaf:
            self.refused.append("event %d (%s): it was accepted and should have been refused: %s" % (event.number, event.kind, wanted))

    def _denied(self, event: Event, sentence: str) -> None:
        self.denied.append((self.world.now_us // SECOND_US, sentence))
        self.notes.append("event %d (%s): refused, as it should be: %s" % (event.number, event.kind, sentence))

    def _running_digest(self) -> str | None:
        status = self.status()
        return status.running_digest if status else None

    def _silent(self, event: Event) -> bool:
        """True, and noted, when the pump cannot be told of this event."""
        if self.deaf:
            self.notes.append("event %d (%s): the pump was not told: %s" % (event.number, event.kind, self._muted))
        return self.deaf

    def _warn(self, event: Event, warnings: list[str]) -> None:
        self.notes += ["event %d (%s): %s" % (event.number, event.kind, warning) for warning in warnings]

    def _implant(self, event: Event) -> None:
        if not self._silent(event):
            record, trial = self.scenario.orders[event.number]
            self.pump.commission(self.implant)
            self.pump.set_clock(self.scenario.start_pump_s + self.world.now_us // SECOND_US)
            self.pump.record_implant(record)
            if trial is not None:
                self.pump.record_trial(trial)

    def _fill(self, event: Event, withdrawn_ul: int = 0) -> None:
        made = self.scenario.orders[event.number] or fill_of(event.values)
        content = {item.name: item.concentration_ng_ml / NG_ML_PER_NG_UL for item in made.ingredients}
        if "measured" in event.read:                            # the label says otherwise, and so the pump is told
            content[event.values["drug"]] = float(event.read["measured"]) / NG_ML_PER_NG_UL
        self.bedside.fill(made.volume_ul * NL_PER_UL, content, rinses=event.read.get("rinses", 0), rinse_nl=event.read.get("rinse_volume", 0),
                          overfill=event.read.get("overfill", False), into=event.read.get("into", "reservoir"))
        if not self._silent(event):
            values = event.values
            if event.read.get("overfill"):      # nobody writes down more than a reservoir holds
                values = {**values, "volume": "%d uL" % min(made.volume_ul, self.implant.capacity_ul)}
            if event.kind == "fill" and "rinse_volume" in values:   # the pump learns that the bellows is dry no longer
                self.pump.refill(fill_of(values, values["rinse_volume"]))
                withdrawn_ul = max(0, event.read["rinse_volume"] // NL_PER_UL - self.implant.residual_ul)
            self._warn(event, self.pump.refill(fill_of(values, withdrawn_ul=withdrawn_ul)).warnings)

    def _refill(self, event: Event) -> None:
        if "refused" in event.values and not self.deaf:
            self.pump.examine_refill(fill_of(event.values))     # the host says no before a syringe is touched
        self._fill(event, round(self.bedside.withdraw()))       # the host compares it with the pump's book

    def _prime(self, event: Event) -> None:
        if not self._silent(event):
            volume_nl, rate = self.scenario.orders[event.number], event.values.get("rate", PRIME_RATE)
            self._warn(event, self.pump.prime(event.values.get("what", "both"), "%d nL" % volume_nl, rate).warnings)
            self.oracle.prime(self.world.now_us, volume_nl, units.flow_nl_day(rate))

    def _catheter(self, event: Event) -> None:
        if "drug" in event.values:
            self.bedside.catheter({event.values["drug"]: float(event.read["concentration"]) / NG_ML_PER_NG_UL})
        elif event.values["state"] == "empty":
            self.bedside.catheter({})
        if not self._silent(event):
            self.pump.record_catheter(event.values["state"] == "filled")

    # ---- programs
    def _program(self, event: Event) -> None:
        self._programmed(event, self.pump.program)

    def _bridge(self, event: Event) -> None:
        """Old drug by volume, the new program behind it, in one order; how much is left of the old drug the host asks the pump."""
        self._programmed(event, self.pump.bridge)

    def _programmed(self, event: Event, order: Callable[..., Any]) -> None:
        if self._silent(event):
            return
        program: Prescription = self.scenario.orders[event.number]
        baseline = None if self.prescribed or not reached(self.scenario) else Baseline(reached(self.scenario))
        done = order(program.with_bridge(None), baseline=baseline, override=event.values.get("override"))
        self._warn(event, done.warnings)
        if done.program.bridge is not None:
            self._warn(event, [done.program.bridge.text()])
        self._running(event.at_s, done.program)

    def _running(self, at_s: int, program: Prescription) -> None:
        """A program was committed at this instant: the oracle is told."""
        now_us = self.world.now_us
        self.prescribed.append((at_s, program))
        days = [[(step.from_s, step.rate_nl_day) for step in program.pattern_of(day)] for day in range(7)]
        steps = week(days[0], dict(enumerate(days)))
        self.oracle.program(now_us, steps)
        if program.bridge is not None:
            self.oracle.bridge(now_us, program.bridge.volume_nl, program.bridge.rate_nl_day)
        self.declared.programmed(now_us, steps_of(steps), program.fallback_nl_day, program.safe_state == SAFE_STOP)

    # ---- boluses
    def _bolus(self, event: Event) -> None:
        if not self._silent(event):
            self._warn(event, self.pump.bolus(event.values["dose"], event.values["over"], override=event.values.get("override")).warnings)
            volume_nl, seconds = self.scenario.orders[event.number]
            self.oracle.bolus(self.world.now_us, volume_nl, seconds)

    def _request(self, event: Event) -> None:
        """The patient asks, with the patient's own key; what is granted then is what the prescription says."""
        if self._silent(event):
            return
        if self._patient is None:
            self._patient = Programmer(self.world.port(), name="the patient's line", role="patient")
        self._patient.request_bolus()
        granted = self.prescribed[-1][1].patient_bolus if self.prescribed else None
        if granted is None:
            self.refused.append("event %d (request): it was granted and the program has no patient bolus" % event.number)
        else:
            self.oracle.bolus(self.world.now_us, granted.volume_nl, granted.seconds)

    # ---- delivery
    def _stop(self, event: Event) -> None:
        if not self._silent(event):
            self.pump.stop(event.values["reason"])
            self.oracle.stopped(self.world.now_us)

    def _wrong_pump(self, event: Event) -> None:
        """A programmer that has the key of another pump for this one orders a stop that is meant for that."""
        if not self._silent(event):
            key = Key(hashlib.sha256(b"of another pump").digest())
            Programmer(self.world.port(), name="another pump's line", keys=Keystore(only=key)).stop("clinician order")
            self.oracle.stopped(self.world.now_us)

    def _resume(self, event: Event) -> None:
        if not self._silent(event):
            self._warn(event, self.pump.resume().warnings)
            if self.oracle.stands(self.world.now_us):
                self.oracle.resumed(self.world.now_us)

    def _pause(self, event: Event) -> None:
        if not self._silent(event):
            self.pump.pause(event.read["for"] // 60)
            self.oracle.paused(self.world.now_us, event.read["for"])

    def _emergency(self, event: Event) -> None:
        """Somebody without a key, with a magnet: the card is read, then delivery reduced."""
        if not self._silent(event):
            self.world.magnet(True)
            self.declared.stop_only = event.values["action"] == "stop"
            try:
                card = self.pump.card()
                self.notes += ["event %d (emergency): card: %s" % (event.number, "; ".join("%s %s" % row for row in card.rows()[:2]))]
                self.pump.reduce(event.values["action"])
            finally:
                self.world.magnet(False)

    # ---- visits
    def _visit(self, event: Event) -> None:
        """A look at the alarms; with `heard`, an alarm test and a signature too."""
        if self._silent(event):
            return
        standing = self.pump.alarms()
        self.notes += ["event %d (visit): alarm %d %s: %s" % (event.number, alarm.row, alarm.name, alarm.action) for alarm in standing]
        if "heard" in event.values:
            self.pump.alarm_test()
            self.pump.sign_visit(hashlib.sha256(event.text.encode()).digest()[:catalogue.DIGEST_BYTES], event.values["heard"])

    def _set_clock(self, event: Event) -> None:
        if not self._silent(event):
            pump_s = self.pump.status().time_s + event.read["shift"]
            self.pump.set_clock(pump_s)
            self.oracle.clock_set(self.world.now_us, pump_s)

    def _acknowledge(self, event: Event) -> None:
        if not self._silent(event):
            self.pump.acknowledge(event.values.get("alarm", 0))

    def _silence(self, event: Event) -> None:
        if not self._silent(event):
            self.pump.silence(event.values.get("alarm", 0), event.values["hours"])

    def _calibration(self, event: Event) -> None:
        if not self._silent(event):
            self.pump.calibration(event.values["on"])

    def _alarm_test(self, event: Event) -> None:
        if not self._silent(event):
            self.pump.alarm_test(event.values.get("critical", True))

    # ---- the pump's own log
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
