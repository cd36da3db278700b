"""The ledger: every declared hazard, played in its therapies beside a healthy twin: fired, noticed by what, how soon, at what dose error.

A row is a scenario (`scenario_of`), made from its therapy and its events and played by the ordinary Player on any runtime. What it is held
against is a run of the same seed without the fault, played once for each therapy. Only what can be seen from outside decides whether a
fault was noticed (observer.py), so anyone's firmware is judged. The dose error is what reached the patient less what reached the
twin's, in nL of the prescribed solution: at the instant of detection, at its worst, and in the end.

Rows run in a pool of processes and come back by their place in the list: the same output for any number of workers.
"""
from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import observer as observers
from .faults import PULSES_OVER, SURVIVED, Row, Therapy
from .observer import ALARM, MOST_WAKES, RESUMED, SAID, WITHOUT_END, Course, Sign, Witness
from .oracle_rows import AGREES, DEMANDED, HEADS, ORDERED, PREFIX
from .player import play
from .row_checks import alarms_of, false_alarms, twin_faults, unheard, unseen
from .runner import keep_to
from .scenario import ALARM_ROWS, DAY_S, MINIMUM_NL_DAY, Scenario, load_scenario, new_world
from .scenario_text import text_of, when
from .tones import Mark
from .world_faults import WORLD_FAULTS

SCHEMA = "thecal.ledger/1"
SECOND_US = 1_000_000
STATE_S = 86_400            # the final state is read off the orders of the last day, or of what follows the detection
SHORTEST_STATE_S = 6 * 3600
STATE_REL, STATE_PULSES = 0.05, 3
START = "2026-01-05 09:00"
IMPLANT = {"head": "reference", "reservoir": "reference-20ml", "catheter": "80 cm", "serial": 1900}
FIRST_PULSE_MIN = 30        # of a file's own bound, which counts from the fault: until it meets a pulse, 29 min at 0.05 mL/day
SAME_US = 3600 * SECOND_US      # a sign that the twin shows within an hour is not the fault's
ACCEPTED = "every event was accepted"
BOOKS = (AGREES, DEMANDED, ORDERED, PREFIX + HEADS[1])


@dataclass(frozen=True)
class Bench:
    """Whose firmware runs on what, and who observes it. `lacks`: what that firmware declares it has not (faults.NEEDS)."""

    runtime: str = "micropython"
    firmware_dir: Path | None = None
    exec_cmd: tuple[str, ...] | None = None
    source_dir: Path | None = None
    observer: str | None = None
    seed: int = 1
    lacks: tuple[str, ...] = ()

    def options(self) -> dict[str, Any]:
        """As World.build takes them."""
        return {"runtime": self.runtime, "firmware_dir": self.firmware_dir, "exec_cmd": list(self.exec_cmd) if self.exec_cmd else None,
                "seed": self.seed, "source_dir": self.source_dir}


@dataclass
class Played:
    """One run as it was seen. `prints` is a checksum of all that the pump was told and said, at every sample."""

    course: Course
    signs: list[Sign]
    prints: list[tuple[int, int]]
    nl_per_step: float
    pulse_steps: int
    fallback_nl_day: float | None
    deaf: bool
    failure: str
    refused: list[str]
    books: list[dict[str, Any]]
    fired_us: dict[str, int]
    end_us: int
    alarms: list[int]
    tones: list[tuple[int, int]] = field(default_factory=list)
    standing: list[Mark] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------ scenarios

def scenario_of(row: Row, seed: int = 1, *, healthy: bool = False) -> dict[str, Any]:
    """The scenario of a row, or of its healthy twin, as scenario_text.text_of writes it."""
    therapy = row.therapy
    chosen = row.healthy if healthy else row.events
    events = [(0, {"kind": "implant"}), *therapy.events]
    events += sorted(((therapy.fault_at_s + at_s, event) for at_s, event in (*row.both, *chosen)), key=lambda event: event[0])
    name = "%s-%s%s" % (row.hazard.replace(".", "-"), therapy.id, "-healthy" if healthy else "")
    made = scenario(name, "%s, %s" % (row.text, therapy.text), row.source, therapy, events, therapy.fault_at_s + row.run_s, seed,
                    "" if healthy else row.line)
    if not healthy and row.within_s is not None and len(row.by) == 1 and row.by[0].startswith(ALARM):
        made["expect"] = [{"name": "%s within %s" % (row.by[0], row.within), "quantity": "alarm_after_min", "code": int(row.by[0].split()[1]),
                           "from": when(therapy.fault_at_s), "max": row.within_s / 60 + FIRST_PULSE_MIN}]
    return made


def scenario(name: str, title: str, source: str, therapy: Therapy, events: Iterable[tuple[int, Any]], duration_s: int, seed: int,
             line: str = "") -> dict[str, Any]:
    """A scenario file's table of events (second from the implant, event) on `therapy`, with a bad `line` (impairment.py)."""
    return {**({"line": line} if line else {}), "schema": "thecal.scenario/1", "name": name, "title": title, "source": source,
            "confidence": "C: constructed", "duration": when(duration_s), "start": START, "seed": seed, "sample": therapy.sample,
            "implant": {**IMPLANT, "reservoir": therapy.reservoir, "sensors": therapy.sensors}, "patient": dict(therapy.patient),
            "event": [{"at": when(at_s), **event} for at_s, event in events]}


def loaded(table: dict[str, Any], folder: Path) -> Scenario:
    """The table through a file, as a user's would go. Raises ScenarioError for one that the loader or the host refuses."""
    path = folder / ("%s.toml" % table["name"])
    path.write_text(text_of(table), encoding="utf-8")
    return load_scenario(path)


def witnessed(made: Scenario, bench: Bench) -> Played:
    """Play a scenario and keep what was seen."""
    fill = next(made.orders[event.number] for event in made.events if event.kind == "fill")
    first = fill.ingredients[0]
    witness = Witness(observers.named(bench.observer)(), made.sample_s)
    world = new_world(made, recorder=witness, **bench.options())
    witness.watch(world.plant, first.name, 1e6 / float(first.concentration_ng_ml))
    result = play(made, world)
    if result["failure"]:       # what it has given until then
        witness.sample(world.now_us, {})
    instants = {event.number: event.at_s * SECOND_US for event in made.events}
    refused = [line["value"] for line in result["expectations"] if line["name"] == ACCEPTED]
    for t_us, sentence in observers.signs_of_visits([*result["notes"], *refused], instants):
        witness.see(t_us, SAID, sentence)
    head, motor = world.plant.params.head, world.plant.params.motor
    programs = [made.orders[event.number] for event in made.events if event.kind == "program" and made.orders[event.number] is not None]
    return Played(
        course=witness.course, signs=sorted(witness.signs, key=lambda sign: sign.t_us), prints=witness.prints,
        nl_per_step=head.volume_per_rev_ul * 1000 / motor.steps_per_rev, pulse_steps=witness.longest_steps,
        fallback_nl_day=float(programs[-1].fallback_nl_day) if programs else None, deaf=result["firmware"]["version"] is None,
        failure=result["failure"], refused=refused,
        books=[line for line in result["expectations"] if line["name"] in BOOKS],
        fired_us=world.fired, end_us=world.now_us,
        alarms=sorted({alarm["code"] for alarm in result["alarms"] if alarm["cleared_s"] is None}), tones=witness.tones, standing=witness.standing)


# ------------------------------------------------------------------------------------------------ judgement

def judged(row: Row, run: Played, twin: Played, bench: Bench) -> dict[str, Any]:
    """A line of the ledger. `ok` needs all: it fired, was noticed by what was declared within the bound or is declared undetectable, gave
    no more than allowed, ended in the declared state, and the pump's books agree with the oracle. `why` says what failed."""
    fault_us = row.therapy.fault_at_s * SECOND_US
    fired_us, counted_us = _fired_us(row, run, twin, fault_us)
    sign = _noticed(row, run, twin, counted_us if row.uncuttable else fault_us, bench)
    detect_s = None if sign is None else max(0.0, (sign.t_us - counted_us) / SECOND_US)
    errors = [(t_us, dose - twin.course.dose_at(t_us)) for t_us, dose in zip(run.course.t_us, run.course.dose_nl) if t_us >= fault_us]
    over_nl = max((error for _, error in errors), default=0.0)
    until = [error for t_us, error in errors if sign is None or t_us <= sign.t_us] or [0.0]
    worst_nl = max(until, key=lambda error: abs(error))
    pulse_nl = run.pulse_steps * run.nl_per_step
    allowed_nl = PULSES_OVER * pulse_nl if row.over_ul is None else row.over_ul * 1000
    runs_wild = bool(row.uncuttable) and run.failure == WITHOUT_END % MOST_WAKES
    final = _final(run, twin, max(sign.t_us if sign else fault_us, run.end_us - STATE_S * SECOND_US), row.final)
    books = [line["name"] for line in run.books if line["ok"] is False and not row.unbooked]
    refused = [text for text in run.refused if not any(by.startswith(SAID) and by[len(SAID) + 1:] in text for by in row.by)]
    why = [text for text, wrong in (
        ("the firmware failed: %s" % run.failure.splitlines()[0] if run.failure else "", bool(run.failure) and not runs_wild),
        ("its flow was cut, and is declared uncuttable", bool(row.uncuttable) and not runs_wild),
        ("it never fired", fired_us is None),
        ("nothing noticed it", sign is None and not row.undetectable),
        ("noticed after %.0f s, the bound is %s s" % (detect_s or 0, row.within_s),
         detect_s is not None and row.within_s is not None and detect_s > row.within_s),
        ("%.0f nL too much, %.0f are allowed" % (over_nl, allowed_nl), over_nl > allowed_nl and not row.uncuttable),
        ("in the end %s, declared %s" % (" or ".join(final), row.final), bool(final) and row.final != "any" and row.final not in final),
        ("; ".join(refused), bool(refused)),
        ("the books: %s" % ", ".join(books), bool(books))) if wrong]
    why += [*unheard(row, run, ALARM_ROWS, bench.lacks), *false_alarms(row, run), *twin_faults(row, run, twin)]
    return {**_head(row), "fired": fired_us is not None, "fired_s": None if fired_us is None else (fired_us - fault_us) / SECOND_US,
            "detected": sign is not None, "by": sign.name if sign else None, "detect_s": detect_s, "bound_s": row.within_s,
            "dose_error_nl": round(worst_nl, 1), "over_nl": round(over_nl, 1), "allowed_over_nl": round(allowed_nl, 1),
            "final_error_nl": round(errors[-1][1], 1) if errors else 0.0,
            "final_state": final[0] if final else "any", "alarms": run.alarms,
            "raised": alarms_of(run), "heard_s": next(((t_us - counted_us) / SECOND_US for t_us, _ in run.tones if t_us >= counted_us), None),
            "outcome": row.outcome if sign is not None and sign.name == RESUMED else "detected" if sign is not None else "",
            "ok": not why, "why": why}


def not_applicable(row: Row, lacking: Iterable[str]) -> dict[str, Any]:
    """The line of a row that needs what this firmware declares it lacks."""
    return {**_head(row), "fired": None, "fired_s": None, "detected": None, "by": None, "detect_s": None, "bound_s": row.within_s,
            "dose_error_nl": None, "over_nl": None, "allowed_over_nl": None, "final_error_nl": None, "final_state": None, "alarms": [],
            "raised": [], "heard_s": None, "outcome": "", "ok": None,
            "why": ["n/a: this firmware declares that it lacks %s" % ", ".join(lacking)]}


def _head(row: Row) -> dict[str, Any]:
    return {"id": row.id, "hazard": row.text, "fault": _words(row), "requirement": list(row.requirement), "therapy": row.therapy.text,
            "kind": row.kind, "declared": row.declared}


def _words(row: Row) -> str:
    """What was done, in one line."""
    done = [" ".join("%s" % value for key, value in event.items() if key not in ("drug", "concentration", "note")) for _, event in row.events]
    return "; ".join(done + (["line " + row.line] if row.line else []))


def _fired_us(row: Row, run: Played, twin: Played, fault_us: int) -> tuple[int | None, int]:
    """When the fault changed plant or wire (None: never), and from when its detection counts.

    The world tells of its own faults to the microsecond. Of others the first look is found at which the pump had been told, or had said,
    something else than its twin, or had given another dose; these count from the event itself.
    """
    names = faults_of(row)
    if names:
        fired = [run.fired_us[name] for name in names if name in run.fired_us]
        if len(fired) < len(names):
            return None, fault_us
        return min(fired), max(fault_us, max(fired) if row.uncuttable else min(fired))      # it takes all of them to make a flow that nobody cuts
    healthy = dict(twin.prints)
    told = [t_us for t_us, print_ in run.prints if healthy.get(t_us, print_) != print_]
    pulse_nl = run.pulse_steps * run.nl_per_step
    given = [t_us for t_us, dose in zip(run.course.t_us, run.course.dose_nl) if abs(dose - twin.course.dose_at(t_us)) > pulse_nl]
    return min((*told[:1], *given[:1]), default=None), fault_us


def faults_of(row: Row) -> set[str]:
    """The names under which the world tells that this row's faults have fired; none for what people do at a visit."""
    names = {event.get("name", event["kind"]) for _, event in row.events if event["kind"] in ("fault", *WORLD_FAULTS)}
    names |= {"field_t" for _, event in row.events if event["kind"] == "scan"} | ({"line"} if row.line else set())
    names |= {"host_" + key for _, event in row.events for key in ("dies", "stalls") if key in event}
    return names


def _noticed(row: Row, run: Played, twin: Played, fault_us: int, bench: Bench) -> Sign | None:
    """The first sign since the fault that the twin does not show and that may count."""
    for sign in run.signs:
        shown = any(other.name == sign.name and abs(other.t_us - sign.t_us) <= SAME_US for other in twin.signs)
        if sign.t_us >= fault_us and not shown and _counts(row, sign.name, run.deaf or bench.observer is not None):
            return sign
    return None


def _counts(row: Row, name: str, bare: bool) -> bool:
    """Whether a sign of this name notices this row; of a pump without telemetry (`bare`) any tone does, or what the user's observer says."""
    if name == RESUMED:
        return name in row.by or (bare and row.outcome == SURVIVED)
    if bare or name in row.by:
        return True
    return any(by.startswith(SAID) and name.startswith(SAID) and by[len(SAID) + 1:] in name for by in row.by)


def _final(run: Played, twin: Played, since_us: int, declared: str) -> list[str]:
    """What the pump does by its orders from `since_us` to the end, in one word.

    Several words where they cannot be told apart, the `declared` one first; none where the time is too short.
    """
    span_us = run.end_us - since_us
    if span_us < SHORTEST_STATE_S * SECOND_US:
        return []
    def ordered_nl(played: Played) -> float:
        return (played.course.steps_at(run.end_us) - played.course.steps_at(since_us)) * played.nl_per_step
    found, days, pulse_nl = ordered_nl(run), span_us / SECOND_US / DAY_S, run.pulse_steps * run.nl_per_step
    wanted = {"program": ordered_nl(twin), "fallback": (run.fallback_nl_day or 0.0) * days, "minimum": MINIMUM_NL_DAY * days, "stopped": 0.0}
    near = [name for name, volume in sorted(wanted.items(), key=lambda item: item[0] != declared) if abs(found - volume) <= max(STATE_REL * volume, STATE_PULSES * pulse_nl)]
    return near or ["%.0f %% of the program" % (100 * found / wanted["program"])] if wanted["program"] else near


# ------------------------------------------------------------------------------------------------ running

def run_rows(rows: Sequence[Row], bench: Bench, *, jobs: int | None = None, told: Callable[[int, int, str], None] | None = None,
             keep_dir: Path | None = None) -> list[dict[str, Any]]:
    """Play every row and its twin in `jobs` processes (all cores unless told) and judge them; lines in the order of `rows`.

    `told(done, total, name)` as each run ends; scenario files of the rows stay in `keep_dir`. Raises ScenarioError, RuntimeMissing,
    StagingError, ObserverError as World and loader do.
    """
    lacking = {row.id: [need for need in row.needs if need in bench.lacks] or ([] if bench.observer else unseen(row, ALARM_ROWS, bench.lacks))
               for row in rows}
    played = [row for row in rows if not lacking[row.id]]
    longest: dict[Any, Row] = {}
    for row in played:
        key = twin_key(row)
        if key not in longest or row.run_s > longest[key].run_s:
            longest[key] = row
    twins = list(longest.values())
    place = {twin_key(row): index for index, row in enumerate(twins)}
    total = len(twins) + len(played)
    lines: dict[str, dict[str, Any]] = {row.id: not_applicable(row, lacking[row.id]) for row in rows if lacking[row.id]}
    with tempfile.TemporaryDirectory(prefix="thecal-ledger-") as given:
        folder, done = Path(given), 0
        if keep_dir is not None:
            keep_dir.mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("spawn")
        cores = context.Value("i", 0)
        with ProcessPoolExecutor(jobs or os.cpu_count() or 1, context, _settle, (cores,)) as pool:
            waiting: dict[Any, Any] = {pool.submit(_twin, row, bench, folder, index): row for index, row in enumerate(twins)}
            for future in as_completed(waiting):
                future.result()
                done += 1
                if told:
                    told(done, total, "healthy twin " + waiting[future].therapy.id)
            waiting = {pool.submit(_line, row, bench, folder, place[twin_key(row)], keep_dir): row for row in played}
            for future in as_completed(waiting):
                lines[waiting[future].id] = future.result()
                done += 1
                if told:
                    told(done, total, waiting[future].id)
    return [lines[row.id] for row in rows]


def twin_key(row: Row) -> Any:
    """Rows with the same key have the same healthy twin."""
    return (row.therapy.id, repr(row.both), repr(row.healthy))


def _settle(cores: Any) -> None:
    """Each worker and its pumps keep to a core of their own."""
    with cores.get_lock():
        index = cores.value
        cores.value += 1
    keep_to(index)


def _twin(row: Row, bench: Bench, folder: Path, index: int) -> None:
    made = loaded(scenario_of(row, bench.seed, healthy=True), folder)
    twin = witnessed(made, bench)
    with open(folder / ("twin-%d" % index), "wb") as file:
        pickle.dump(twin, file)


def _line(row: Row, bench: Bench, folder: Path, index: int, keep_dir: Path | None) -> dict[str, Any]:
    made = loaded(scenario_of(row, bench.seed), keep_dir or folder)
    run = witnessed(made, bench)
    with open(folder / ("twin-%d" % index), "rb") as file:
        twin: Played = pickle.load(file)
    return judged(row, run, twin, bench)
