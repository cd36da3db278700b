"""Plays a scenario in a world: events at their instants, samples in between, and at the end the run's result with its verdict.

Time runs from one stop to the next: an event, a sample, midnight of a treatment day, an instant an expectation asks for, a look
at the catheter tip while a new concentration is on its way. At one instant truth is looked at first, then the pump is asked,
then events happen in the order of the file. The verdict is "pass" only when every expectation holds and the oracle agrees.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..protocol import catalogue
from . import scenario_expect, story
from .bedside import DAY_S, HOUR_S, SECOND_US, oracle_for, trial
from .clinician import Clinician, alarm_of
from .oracle_rows import OracleRows, expectation, unjudged
from .runner import FirmwareError
from .scenario_expect import PATIENT_BOLUS, Observed
from .scenario_file import Event, Scenario, parts
from .scenario_therapy import drugs_of
from .world import Pacer, World

SCHEMA = "thecal.run/1"
FRONT_SHARE = 50            # looks at the tip for each dead volume while a front is on its way: 2 % of it, then interpolated
FRONT_MIN_S, FRONT_MAX_S = 60, 6 * HOUR_S
KEPT_EVENTS, KEPT_NOTES = 500, 100      # events of the clinician, the faults and the alarms; all others stand in events.csv


class _Front:
    """A new concentration on its way to the tip: how much the head pushes until the tip is half-way between old and new."""

    def __init__(self, truth: Mapping[str, Any], drug: str, head_ul: float) -> None:
        self.drug = drug
        self.start_ul = head_ul
        self.old = truth["tip_ng_per_ul"][drug]
        self.new = truth["reservoir_ng_per_ul"][drug]
        self._before = (0.0, 0.0)

    def look(self, truth: Mapping[str, Any]) -> float | None:
        """The volume (uL) once the front has arrived, else None."""
        pushed = truth["head_ul"] - self.start_ul
        share = (truth["tip_ng_per_ul"][self.drug] - self.old) / (self.new - self.old)
        last_ul, last_share = self._before
        self._before = (pushed, share)
        if share < 0.5:
            return None
        return last_ul + (pushed - last_ul) * (0.5 - last_share) / (share - last_share) if share > last_share else pushed


class Player:
    """One run. `progress(done_s, total_s)` is called at every stop, seconds from the implant."""

    def __init__(self, scenario: Scenario, world: World, speed: float | None, progress: Callable[[int, int], None] | None) -> None:
        self.scenario = scenario
        self.world = world
        self.recorder = world.recorder
        self.params, self.patient = parts(scenario)
        self.oracle = oracle_for(scenario.start_pump_s, self.params)
        self.observed = Observed()
        self.drugs = drugs_of(scenario, scenario.orders)
        self.events: list[dict[str, Any]] = []
        self.interrupted = self.failure = ""
        self.clinician: Clinician | None = None
        self.status: Any = None
        self._asked = {wanted.options["at"] for wanted in scenario.expectations if "at" in wanted.options}     # instants at which the pump is asked too
        self._offset_s = scenario.start_pump_s         # the pump's time less ours
        self._looked_us = 0                            # when the pump was asked last
        self._bridge_s: int | None = None              # when the bridge under way began
        self._pacer = Pacer(world, speed)
        self._progress = progress
        self._front: _Front | None = None
        self._front_us = 0
        self.held = OracleRows(scenario, world, self.oracle, self.params, self.observed)
        self._started = time.monotonic()

    # ------------------------------------------------------------------------------------------------ the run

    def run(self) -> None:
        """Play to the end, to Ctrl-C, or to the firmware's failure; which of them stands in `interrupted` and `failure`."""
        try:
            self._trials()
            self.clinician = Clinician(self.scenario, self.world, self.oracle)
            self.clinician.let_chance()
            self._play(self.clinician)
        except KeyboardInterrupt:
            self.interrupted = "interrupted at day %.2f of %g" % (self.world.now_us / SECOND_US / DAY_S, self.scenario.duration_s / DAY_S)
        except FirmwareError as error:
            self.failure = str(error)
            self._tell(self.world.now_us, "pump", "firmware failed", error.sentence)

    def _trials(self) -> None:
        events = [event for event in self.scenario.events if event.kind == "trial"]
        last_us = -10 ** 18

        def seen(t_s: float, truth: Mapping[str, Any]) -> None:
            nonlocal last_us
            if t_s * SECOND_US - last_us >= self.scenario.sample_s * SECOND_US:
                last_us = round(t_s * SECOND_US)
                self.recorder.sample(last_us, self._row(truth, None))

        for event, peak in trial(events, self.params, self.patient, self.scenario.seed, seen):
            values = event.values
            given = values["dose"] if "dose" in values else "%s for %s" % (values["rate"], values["for"])
            detail = "%s %s, response %s, lumbar peak %.0f ng/mL" % (values["drug"], given, values["response"], peak)
            self._tell(event.at_s * SECOND_US, "clinician", "trial", detail)

    def _play(self, clinician: Clinician) -> None:
        end_s = self.scenario.duration_s
        pending = [event for event in self.scenario.events if event.kind != "trial"]
        marks = sorted({*scenario_expect.instants(self.scenario.expectations), *range(0, end_s + 1, DAY_S), end_s})
        sample_s = 0
        while True:
            stops = [sample_s, *marks[:1], *(event.at_s for event in pending[:1])]
            stop_us = min(min(stops), end_s) * SECOND_US
            if self._front and self._front_us < stop_us:
                self._go(self._front_us)
                self._look_at_front()
                continue
            self._go(stop_us)
            stop_s = stop_us // SECOND_US
            truth = self.world.plant.truth()
            self._look(truth)
            while marks and marks[0] <= stop_s:
                self._mark(marks.pop(0), truth)
            if sample_s <= stop_s:
                self._sample(stop_us, truth)
                sample_s += self.scenario.sample_s
            if stop_s >= end_s:
                break
            while pending and pending[0].at_s <= stop_s:
                self._do(pending.pop(0))
        if end_s % self.scenario.sample_s:
            self._sample(self.world.now_us, truth)

    def _go(self, t_us: int) -> None:
        """Advance to `t_us`, unless commands have taken time beyond it."""
        if t_us > self.world.now_us:
            self._pacer.run_until(t_us)
        if self._progress:
            self._progress(min(self.world.now_us // SECOND_US, self.scenario.duration_s), self.scenario.duration_s)

    def _do(self, event: Event) -> None:
        assert self.clinician is not None
        if event.kind in ("set_clock", "clock_jump"):
            self._news(self.clinician.status())     # dated by the clock as it was
        before = self.world.plant.truth()
        self._tell(self.world.now_us, "", event.kind, event.text)
        self.clinician.do(event)
        if event.kind == "refill":
            self._follow(before)
        self._news(self.clinician.status())

    def _follow(self, before: Mapping[str, Any]) -> None:
        """Watch the front of a refill that changed the first drug's concentration by more than a mixing residual's 10 %."""
        drug, after = self.drugs[0], self.world.plant.truth()
        old, new = (truth["reservoir_ng_per_ul"].get(drug, 0.0) for truth in (before, after))
        if old and abs(new / old - 1) > 0.1:
            self._front = _Front(after, drug, after["head_ul"])
            self._front_us = self.world.now_us

    def _look_at_front(self) -> None:
        assert self._front is not None
        found_ul = self._front.look(self.world.plant.truth())
        if found_ul is not None:
            self.observed.lags_ul.append(found_ul)
            self._tell(self.world.now_us, "plant", "front at the tip", "%.1f uL after the refill" % found_ul)
            self._front = None
            return
        rate = float(self.oracle.rate_nl_day(self.world.now_us)) / DAY_S / 1000
        wait_s = self.params.catheter.dead_ul / FRONT_SHARE / rate if rate else FRONT_MAX_S
        self._front_us = self.world.now_us + round(min(max(wait_s, FRONT_MIN_S), FRONT_MAX_S)) * SECOND_US

    # ------------------------------------------------------------------------------------------------ looking

    def _mark(self, t_s: int, truth: Mapping[str, Any]) -> None:
        self.observed.marks[t_s] = truth
        if self.clinician is not None and t_s in self._asked:
            self.observed.told[t_s] = self.clinician.status()
        if t_s % DAY_S == 0 and self.drugs:
            for drug in self.drugs:
                self.observed.days_of.setdefault(drug, []).append(truth["tip_ng"].get(drug, 0.0))
            self.observed.days = self.observed.days_of[self.drugs[0]]

    def _look(self, truth: Mapping[str, Any]) -> None:
        self.observed.truth = truth
        self.observed.mass_error = max(self.observed.mass_error, truth["mass_error"])

    def _sample(self, t_us: int, truth: Mapping[str, Any]) -> None:
        assert self.clinician is not None
        status, asked_us = self.clinician.status(), self.world.now_us
        self._note(t_us / SECOND_US, truth)
        self.recorder.sample(t_us, self._row(truth, status))
        if status is not None:
            self.recorder.told(asked_us, status)
            self._news(status)          # what an alarm has made of the rate since, the oracle must know first
            self.status = self.observed.status = status
            self.held.compare(status, asked_us, self.clinician.bedside)

    def _note(self, t_s: float, truth: Mapping[str, Any]) -> None:
        """Keep what expectations measure."""
        if not self.drugs:
            return
        drug = self.drugs[0]
        tip, lumbar, cisternal, oral, plasma = (truth[key].get(drug, 0.0) for key in (
            "tip_ng", "lumbar_ng_per_ml", "cisternal_ng_per_ml", "oral_csf_ng_per_ml", "plasma_ng_per_ml"))
        for name, value in zip(scenario_expect.COLUMNS, (t_s, tip, truth["delivered_ul"], lumbar, cisternal, oral, self._swallowed(drug), plasma)):
            self.observed.columns[name].append(value)

    def _swallowed(self, drug: str) -> float:
        return self.clinician.bedside.swallowed_ng.get(drug, 0.0) if self.clinician else 0.0

    def _row(self, truth: Mapping[str, Any], status: Any) -> dict[str, Any]:
        """A line of samples.csv: truth, and what the pump says (empty where it says nothing)."""
        told = status is not None
        row: dict[str, Any] = {
            "delivered_ul": truth["delivered_ul"], "reservoir_true_ul": truth["reservoir_ul"], "astray_ul": truth["pocket_ul"] + truth["strayed_ul"],
            "demanded_nl": status.demanded_nl if told else None, "ordered_nl": float(status.ordered_nl) if told else None,
            "missed_nl": status.missed_total_nl if told else None, "rate_nl_day": status.rate_nl_day if told else None,
            "reservoir_sensed_ul": status.reservoir_sensed_nl / 1000 if told else None,
            "reservoir_computed_ul": status.reservoir_computed_nl / 1000 if told else None,
            "battery_mv": status.battery_mv if told else None, "temperature_c": truth["temperature_c"]}
        for drug in self.drugs:
            for column, key in (("tip_ng", "tip_ng"), ("tip_conc", "tip_ng_per_ul"), ("reservoir_conc", "reservoir_ng_per_ul"),
                                *((place, place + "_ng_per_ml") for place in ("lumbar", "cisternal", "effect", "plasma"))):
                row["%s_%s" % (column, drug)] = truth[key].get(drug, 0.0)
            row["astray_ng_" + drug] = truth["pocket_ng"].get(drug, 0.0) + truth["strayed_ng"].get(drug, 0.0)
            if any(event.kind == "oral" and event.values["drug"] == drug for event in self.scenario.events):
                row["oral_ng_" + drug] = self._swallowed(drug)
                row["oral_csf_" + drug] = truth["oral_csf_ng_per_ml"].get(drug, 0.0)
                row["oral_plasma_" + drug] = truth["oral_plasma_ng_per_ml"].get(drug, 0.0)
        return row

    def _news(self, status: Any) -> None:
        """Fetch what is new in the pump's log: alarms, boluses and bridges are kept, all of it is counted and goes to events.csv."""
        assert self.clinician is not None
        if status is not None and abs(status.time_s - self.world.now_us // SECOND_US - self._offset_s) > 1:     # its clock was set, or has jumped
            self._offset_s = status.time_s - self.world.now_us // SECOND_US
        for event in self.clinician.news(status):
            t_s = event.time_s - self._offset_s
            self.recorder.event(t_s * SECOND_US, "pump", event.name, event.text)
            alarm = alarm_of(event)
            if alarm:
                self._alarm(alarm, event.code == catalogue.E_ALARM, t_s)
                self.clinician.declared.alarm(event.cause, event.code == catalogue.E_ALARM, t_s * SECOND_US)
            self._count(event, t_s)
        for row in self._acknowledged(status):
            self.clinician.declared.alarm(row, False, self.world.now_us)
        if status is not None:
            self.clinician.declared.told(self.world.now_us, status.rate_nl_day, self._looked_us)
            self._looked_us = self.world.now_us

    def _acknowledged(self, status: Any) -> list[int]:
        """Rows that a session has ended: the pump logs no end of those, they are active no more."""
        ended = []
        for known in self.observed.alarms if status is not None else ():
            if known["cleared_s"] is None and known["code"] not in {alarm.row for alarm in status.alarms}:
                known["cleared_s"] = self.world.now_us // SECOND_US
                ended.append(known["code"])
        return ended

    def _count(self, event: Any, t_s: int) -> None:
        seen, patients = self.observed, event.cause == catalogue.EXTRAS.index("patient bolus")
        name = PATIENT_BOLUS if event.code == catalogue.E_BOLUS and patients else event.name
        seen.logged[name] = seen.logged.get(name, 0) + 1
        if event.code == catalogue.E_BOLUS_END and patients:
            seen.boluses_nl.append(event.a)
        elif event.code == catalogue.E_BRIDGE and self._bridge_s is None:
            self._bridge_s = t_s
        elif event.code == catalogue.E_BRIDGE_END and self._bridge_s is not None:
            seen.bridges_h.append((t_s - self._bridge_s) / HOUR_S)
            self._bridge_s = None

    def _alarm(self, alarm: dict[str, Any], on: bool, t_s: int) -> None:
        standing = [known for known in self.observed.alarms if known["code"] == alarm["code"] and known["cleared_s"] is None]
        if on:
            self.observed.alarms.append({**alarm, "raised_s": t_s, "cleared_s": None})
        elif standing:
            standing[-1]["cleared_s"] = t_s
        self.recorder.alarm(self.world.now_us, alarm["code"] if on else 0)
        self._keep(t_s * SECOND_US, "pump", "alarm" if on else "alarm ended", "%d %s" % (alarm["code"], alarm["name"]))

    def _tell(self, t_us: int, source: str, name: str, detail: str) -> None:
        """An event for the result, and with a `source` for events.csv too (the clinician writes his own there)."""
        if source:
            self.recorder.event(t_us, source, name, detail)
        self._keep(t_us, source or "clinician", name, detail)

    def _keep(self, t_us: int, source: str, name: str, detail: str) -> None:
        if len(self.events) < KEPT_EVENTS:
            self.events.append({"t_s": t_us / SECOND_US, "source": source, "name": name, "detail": detail})

    # ------------------------------------------------------------------------------------------------ the result

    def result(self, repeat: str, out: Path | None) -> dict[str, Any]:
        """The run's object (DESIGN 13), with the oracle's day table for the report."""
        scenario, world, clinician = self.scenario, self.world, self.clinician
        rows = self._rows()
        notes = [*filter(None, (self.interrupted, self.failure)), *(clinician.notes if clinician else [])]
        good = not any(row["ok"] is False for row in rows) and not self.interrupted and not self.failure
        status, truth = self.status, world.plant.truth()
        return {
            "schema": SCHEMA, "verdict": "pass" if good else "fail", "trace_hash": world.recorder.trace_hash,
            "runtime": world.runner.name, "seed": scenario.seed, "scenario": scenario.name, "title": scenario.title,
            "source": scenario.source, "confidence": scenario.confidence,
            "virtual_s": world.now_us / SECOND_US, "wall_s": round(time.monotonic() - self._started, 3),
            "wakes": world.wakes, "pulses": world.pulses,
            "demanded_nl": status.demanded_nl if status else None,
            "ordered_nl": round(float(status.ordered_nl) if status else self.held.motor_nl(), 3),
            "delivered_nl": round(truth["delivered_ul"] * 1000, 3), "missed_nl": status.missed_total_nl if status else None,
            "missed_by_cause_nl": dict(status.missed_nl) if status else None,
            "alarms": self.observed.alarms, "faults": world.faults(), "expectations": rows,
            "unjudged": unjudged(rows), "events": self.events, "repeat": repeat,
            "out": str(out) if out else None, "firmware": clinician.firmware if clinician else {"runtime": world.runner.name, "version": None},
            "drugs": self.drugs, "notes": notes[:KEPT_NOTES],
            "story": story.tell(scenario, rows), "days": self.oracle.day_table(min(world.now_us, scenario.duration_s * SECOND_US)) if status else [],
            "line": world.line.counters(), "child_peak_kib": world.runner.peak_kib()}

    def _rows(self) -> list[dict[str, Any]]:
        """What the scenario expects, what the oracle says, and what was refused."""
        clinician, ended = self.clinician, not self.interrupted and not self.failure
        deaf = clinician is None or clinician.deaf
        self.observed.faults = self.world.faults()
        if clinician:
            clinician.bedside.finish()
            self.observed.denied, self.observed.notes = len(clinician.denied), clinician.notes
            self.observed.prescribed = [(at_s, float(program.mean_daily_nl() * program.ingredients[0].concentration_ng_ml / 10**6))
                                        for at_s, program in clinician.prescribed]
        rows = scenario_expect.rows(self.scenario.expectations, self.observed, ended=ended, deaf=deaf)
        for words, seen in clinician.bedside.injected if clinician else []:
            if seen.fired_us is None:
                rows.append(expectation("%s has fired" % words, False, "it changed nothing", "fired"))
        if self.scenario.line is not None and "line" not in self.world.fired:
            rows.append(expectation("the bad line has fired", False, "it changed nothing", "fired"))
        if self.failure:
            rows.append(expectation("the firmware ran to the end", False, self.failure.splitlines()[0], "no failure"))
        for refused in clinician.refused if clinician else []:
            rows.append(expectation("every event was accepted", False, refused, "accepted"))
        return rows + self.held.rows(clinician, self.status, deaf=deaf, ended=ended)


def play(scenario: Scenario, world: World, *, speed: float | None = None, progress: Callable[[int, int], None] | None = None,
         repeat: str = "", out: Path | None = None) -> dict[str, Any]:
    """Play `scenario` in a fresh `world` (scenario.new_world) and return the run's result; the recorder is closed then.

    `speed` is virtual seconds a wall second, None for as fast as it goes. Ctrl-C and a failing firmware end the run with a
    result that says so ("fail"; sentences in `interrupted` and `failure`, else empty). Raises ValueError only for a world that was used before.
    """
    if world.now_us:
        raise ValueError("the world is at %d us: a scenario needs a fresh one" % world.now_us)
    player = Player(scenario, world, speed, progress)
    player.run()
    result = player.result(repeat, out)
    world.close()
    return {**result, "store": world.store_use(), "interrupted": player.interrupted, "failure": player.failure}
