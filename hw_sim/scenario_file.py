"""Scenario files: the record of one, and the strict loader that reads it (schema `thecal.scenario/1`, TOML).

A file holds an implant, a patient, dated events and expectations. Everything with a unit is text that carries it ("500 ug/mL");
a quantity of an expectation carries its unit in its name and its bounds are plain numbers. What the loader does not know, it
refuses: one sentence with the file, the event's number, the key, the value and the bound (ScenarioError, exit status 2).

Events stand in the order of time; several at one instant happen in the order of the file. Times count from the implant at
"0 d": only a trial may, and must, come before it. The therapy itself (drugs, limits, fills) is checked in
scenario_therapy.py, which asks the host; what a key may hold stands in scenario_values.py. Here the host's unit reader is handed in (R2).
"""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import story, toml_table
from .environment import Environment
from .params import ParamError, PatientParams, PlantParams
from .scenario_expect import QUANTITIES
from .scenario_surroundings import RandomFault, check_bind, check_heal, environment, random_faults
from .scenario_values import EXPECT, FIELD_ACTION, IMPLANT, KINDS, ORACLE, PATIENT, TOP, ScenarioError, check_fault, quantity, read_table

SCHEMA = "thecal.scenario/1"
FOLDER = Path(__file__).parent / "scenarios"
DAY_S = 86_400
LONGEST_S = 10 * 366 * DAY_S        # ten years: the battery's life (clinical.md 1.1)
SAMPLES_A_RUN = 720
SHORTEST_SAMPLE_S, DEFAULT_SAMPLE_S = 60, 3600
MARKS = ("R", "M-H", "M-M", "M-L", "C", "D", "J")       # reference/regimens.md; D derived, J judgement


@dataclass(frozen=True)
class Event:
    """One dated event; `values` are as written, `read` are the quantities in base units (ng, ng/day, ng/mL, nL, nL/day, s)."""

    number: int
    at_s: int
    kind: str
    values: dict[str, Any]
    read: dict[str, Any]

    @property
    def text(self) -> str:
        """The values in one line, as written."""
        return ", ".join("%s %s" % (key, value) for key, value in self.values.items() if isinstance(value, (str, int, float)))


@dataclass(frozen=True)
class Expectation:
    """One bound on a quantity of scenario_expect.QUANTITIES: low <= value <= high, a missing end is open; `key` names its value in the story."""

    name: str
    quantity: str
    low: float | None
    high: float | None
    options: dict[str, Any]
    key: str = ""


@dataclass(frozen=True)
class Scenario:
    """A loaded scenario. Times in seconds from the implant; `start_pump_s` is the pump's local time then. `folder` is the file's own, `field_action` see story.py.

    By event number: `orders` holds what the host made of an event (a prescription, a fill), `refusals` what it said of one that was meant
    to be refused; see scenario_therapy.py.
    """

    file: str
    name: str
    title: str
    source: str
    confidence: str
    duration_s: int
    start_pump_s: int
    seed: int
    sample_s: int
    implant: dict[str, Any]
    patient: dict[str, Any]
    oracle: dict[str, Any]
    events: tuple[Event, ...]
    expectations: tuple[Expectation, ...]
    folder: Path = FOLDER
    line: str | None = None
    environment: Environment = field(default_factory=Environment)
    random_faults: tuple[RandomFault, ...] = ()
    orders: dict[int, Any] = field(default_factory=dict)
    refusals: dict[int, str] = field(default_factory=dict)
    field_action: dict[str, str] = field(default_factory=dict)


def find(given: str, folder: Path = FOLDER) -> Path:
    """The file behind a path or the name of one of ours. Raises ScenarioError listing the names there are."""
    path = Path(given)
    if path.suffix == ".toml":
        if path.is_file():
            return path
        raise ScenarioError("scenario file %s does not exist" % given)
    ours = folder / (given + ".toml")
    if path.name == given and ours.is_file():
        return ours
    names = ", ".join(sorted(found.stem for found in folder.glob("*.toml")))
    raise ScenarioError("no scenario is called %r; give a .toml file or one of: %s" % (given, names))


def read(path: Path, units: Any) -> Scenario:
    """The scenario in a file, each value checked by itself and the events' order by time. `units` is the host's unit reader.

    Raises ScenarioError, and only that.
    """
    where = path.name
    table = toml_table.read(path, ScenarioError)
    top = read_table(table, TOP, where, units)
    if table["schema"] != SCHEMA:
        raise ScenarioError("%s: schema is %r, it must be %r" % (where, table["schema"], SCHEMA))
    if table["name"] != path.stem:
        raise ScenarioError("%s: name is %r, it must be the file's own: %r" % (where, table["name"], path.stem))
    if table["confidence"].split(":")[0].split(",")[0].strip() not in MARKS:
        raise ScenarioError("%s: confidence is %r, it must begin with one of %s" % (where, table["confidence"], ", ".join(MARKS)))
    duration_s = _within(where, "duration", table["duration"], top["duration"], 3600, LONGEST_S)
    sample_s = max(DEFAULT_SAMPLE_S, duration_s // SAMPLES_A_RUN)
    if "sample" in top:
        sample_s = _within(where, "sample", table["sample"], top["sample"], SHORTEST_SAMPLE_S, duration_s)
    patient = table.get("patient", {})
    known = read_table(patient, PATIENT, where + ": [patient]", units)
    if ("drug" in patient) != ("dose" in patient):
        raise ScenarioError("%s: [patient] needs drug and dose together: the therapy reached before this implant" % where)
    events = _events(table["event"], duration_s, where, units)
    surroundings = environment(table.get("environment", []), where, duration_s, units)
    chances = random_faults(table.get("random_fault", []), where, units)
    check_bind(where, events, surroundings, chances)
    check_heal(where, events, chances)
    scenario = Scenario(
        file=where, name=table["name"], title=table["title"], source=table["source"], confidence=table["confidence"],
        duration_s=duration_s, start_pump_s=top["start"], seed=table.get("seed", 1), sample_s=sample_s,
        implant={**table["implant"], **read_table(table["implant"], IMPLANT, where + ": [implant]", units)},
        patient={**patient, **known}, oracle=read_table(table.get("oracle", {}), ORACLE, where + ": [oracle]", units),
        events=events,
        expectations=tuple(_expectation(entry, "%s: expectation %d" % (where, number), units)
                           for number, entry in enumerate(table.get("expect", []), 1)),
        folder=path.resolve().parent, line=table.get("line"), environment=surroundings, random_faults=chances,
        field_action=read_table(table["field_action"], FIELD_ACTION, where + ": [field_action]", units) if "field_action" in table else {})
    story.check(scenario)
    return scenario


def _within(where: str, key: str, text: Any, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ScenarioError("%s: %s is %r, it must lie between %d s and %d s" % (where, key, text, low, high))
    return value


def _events(entries: list[dict[str, Any]], duration_s: int, where: str, units: Any) -> tuple[Event, ...]:
    events: list[Event] = []
    for number, entry in enumerate(entries, 1):
        event = _event(number, entry, where, units)
        here = label(where, event)
        if event.at_s < 0 and event.kind != "trial":
            raise ScenarioError("%s: at is %r, before the implant at '0 d': only a trial may be" % (here, entry["at"]))
        if event.kind == "trial" and event.at_s >= 0:
            raise ScenarioError("%s: at is %r, a trial comes before the implant: below '0 d'" % (here, entry["at"]))
        if event.at_s >= duration_s:
            raise ScenarioError("%s: at is %r, at or after the end: duration is %s" % (here, entry["at"], units.duration_text(duration_s)))
        if events and event.at_s < events[-1].at_s:
            raise ScenarioError("%s: at is %r, in the past of event %d at %r: events stand in the order of time"
                                  % (here, entry["at"], events[-1].number, entries[number - 2]["at"]))
        events.append(event)
    return tuple(events)


def parts(scenario: Scenario) -> tuple[PlantParams, PatientParams]:
    """The plant's and the patient's parameters. Raises ScenarioError for one that has no file."""
    implant, patient = scenario.implant, scenario.patient
    beside = None
    if "params" in implant:
        beside = scenario.folder / implant["params"]
        if not beside.is_dir():
            raise ScenarioError("%s: [implant]: params is %r, there is no such folder beside the scenario" % (scenario.file, implant["params"]))
    try:
        params = PlantParams.load("reference", head=implant["head"], reservoir=implant["reservoir"], sensors=implant.get("sensors"),
                                  catheter_cm=implant["catheter"] / 10, beside=beside)
        return params, PatientParams.load(patient.get("model", "adult"), sigma=patient.get("sigma"), seed=patient.get("seed", 0),
                                          beside=beside)
    except ParamError as error:
        raise ScenarioError("%s: [implant] or [patient]: %s" % (scenario.file, error)) from error


def label(where: str, event: Event) -> str:
    """'baclofen-b1.toml: event 4 (program)', as every refusal begins."""
    return "%s: event %d (%s)" % (where, event.number, event.kind)


def _event(number: int, entry: dict[str, Any], where: str, units: Any) -> Event:
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ScenarioError("%s: event %d: kind is %r, it must be one of %s" % (where, number, kind, ", ".join(KINDS)))
    here = "%s: event %d (%s)" % (where, number, kind)
    if "at" not in entry:
        raise ScenarioError("%s: key 'at' is missing: when it happens, such as '3 d 01:00'" % here)
    at_s = quantity(here, "at", "when", entry["at"], units)
    values = {key: value for key, value in entry.items() if key not in ("kind", "at")}
    known = read_table(values, KINDS[kind], here, units)
    if kind in ("program", "bridge"):
        _check_program(here, values)
    if kind == "trial":
        _check_trial(here, values)
    pairs = (("drug", "concentration"),) if kind in ("catheter", "port_injection") else (("rinses", "rinse_volume"), ("every", "until"))
    for first, second in pairs:
        if (first in values) != (second in values):
            raise ScenarioError("%s: keys %r and %r need each other" % (here, first, second))
    if kind == "fault":
        check_fault(here, values["name"], values.get("value"))
    for key in ("every", "for", "over", "bind"):
        if known.get(key) == 0:
            raise ScenarioError("%s: a duration is %r, it must be above 0" % (here, values[key]))
    if kind == "pause" and known["for"] % 60:
        raise ScenarioError("%s: for is %r, it must be whole minutes" % (here, values["for"]))
    return Event(number, at_s, kind, values, known)


def _check_program(here: str, values: dict[str, Any]) -> None:
    """A mode and the keys that it needs, and no others' (a bridge is simple unless it says otherwise)."""
    mode = values.get("mode", "simple")
    needed = {"simple": {"dose"}, "flex": {"steps"}, "periodic": {"dose", "times", "over"}, "minimum": set()}
    for key in ("dose", "steps", "times", "over"):
        if (key in needed[mode]) != (key in values):
            owners = " and ".join("'%s'" % name for name, keys in needed.items() if key in keys)
            raise ScenarioError("%s: mode '%s' %s '%s' (%s only)" % (here, mode, "has no" if key in values else "needs", key, owners))
    if "weekdays" in values and mode != "flex" or "basal" in values and mode != "periodic":
        raise ScenarioError("%s: mode '%s' has no 'weekdays' ('flex' only) and no 'basal' ('periodic' only)" % (here, mode))


def _check_trial(here: str, values: dict[str, Any]) -> None:
    """A single dose, or a rate for some hours."""
    if ("dose" in values) == ("rate" in values) or ("rate" in values) != ("for" in values):
        raise ScenarioError("%s: it needs either 'dose' (a single one) or 'rate' and 'for' (an infusion)" % here)


def _expectation(entry: dict[str, Any], here: str, units: Any) -> Expectation:
    options = QUANTITIES[entry["quantity"]].options if entry.get("quantity") in QUANTITIES else {}
    known = read_table(entry, {**EXPECT, **options}, here, units)
    if "min" not in entry and "max" not in entry:
        raise ScenarioError("%s (%s): a bound is missing: give min, max or both" % (here, entry["name"]))
    if "min" in entry and "max" in entry and entry["min"] > entry["max"]:
        raise ScenarioError("%s (%s): min is %r, it must not be above max %r" % (here, entry["name"], entry["min"], entry["max"]))
    return Expectation(entry["name"], entry["quantity"], entry.get("min"), entry.get("max"), {key: known[key] for key in options if key in known}, entry.get("as", ""))
