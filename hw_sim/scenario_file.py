"""Scenario files: the record of one, and the strict loader that reads it (schema `thecal.scenario/1`, TOML).

A file holds an implant, a patient, dated events and expectations. Everything with a unit is text that carries it ("500 ug/mL");
a quantity of an expectation carries its unit in its name and its bounds are plain numbers. What the loader does not know, it
refuses: one sentence with the file, the event's number, the key, the value and the bound (ScenarioError, exit status 2).

Events stand in the order of time; several at one instant happen in the order of the file. Times count from the implant at
"0 d": only a trial may, and must, come before it. The therapy itself (drugs, limits, fills) is checked in scenario.py,
which may ask the host; here the host's unit reader is handed in (R2).
"""
from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..protocol.catalogue import CONTACT_BYTES, MISSED_CAUSES
from .params import ParamError, PatientParams, PlantParams
from .plant import FAULTS
from .scenario_expect import QUANTITIES

SCHEMA = "thecal.scenario/1"
FOLDER = Path(__file__).parent / "scenarios"
DAY_S = 86_400
LONGEST_S = 10 * 366 * DAY_S        # ten years: the battery's life (clinical.md 1.1)
SAMPLES_A_RUN = 720
SHORTEST_SAMPLE_S, DEFAULT_SAMPLE_S = 60, 3600
MARKS = ("R", "M-H", "M-M", "M-L", "C", "D", "J")       # reference/regimens.md; D derived, J judgement
MAX_SEED = 2**31 - 1

# What a key holds: a kind of quantity of the host's unit reader, or one of the plain types below. "!" marks what must be there.
_DRUGGED = {"drug": "text!", "concentration": "concentration!", "also": "mixture"}
KINDS: dict[str, dict[str, str]] = {
    "trial": {"drug": "text!", "dose": "dose!", "response": "response!", "note": "text"},
    "implant": {"note": "text"},
    "fill": {**_DRUGGED, "volume": "volume!", "rinses": "count", "rinse_volume": "volume", "note": "text"},
    "refill": {**_DRUGGED, "volume": "volume!", "rinses": "count", "rinse_volume": "volume", "note": "text"},
    "prime": {"volume": "volume!", "rate": "flow", "note": "text"},
    "program": {"mode": "mode!", "dose": "rate", "steps": "steps", "weekdays": "weekdays", "setting": "text", "note": "text"},
    "bridge": {"dose": "rate!", "setting": "text", "note": "text"},
    "stop": {"reason": "text!", "note": "text"},
    "resume": {"note": "text"},
    "visit": {"note": "text!"},
    "set_clock": {"shift": "shift!", "note": "text"},
    "oral": {"drug": "text!", "dose": "dose!", "every": "duration", "until": "duration", "note": "text"},
    "fault": {"name": "fault!", "value": "number", "for": "duration", "note": "text"},
    "heal": {"name": "fault!", "note": "text"},
    "power_cut": {"for": "duration!", "note": "text"},
    "clock_jump": {"by": "shift!", "note": "text"},
}
_TOP = {"schema": "text!", "name": "text!", "title": "text!", "source": "text!", "confidence": "text!", "duration": "duration!",
        "start": "moment!", "seed": "seed", "sample": "duration", "implant": "table!", "patient": "table", "oracle": "table",
        "event": "tables!", "expect": "tables"}
_IMPLANT = {"head": "text!", "reservoir": "text!", "catheter": "length!", "serial": "count!", "contact": "contact"}
_PATIENT = {"model": "text", "sigma": "number", "seed": "seed", "drug": "text", "dose": "rate"}
_ORACLE = {"delivered_pct": "number", "dose_pct": "number", "front_pct": "number"}
_EXPECT = {"name": "text!", "quantity": "quantity!", "min": "number", "max": "number"}
_RESPONSES, _MODES = ("none", "partial", "yes"), ("simple", "flex")
_EXAMPLES = {"dose": "50 ug", "rate": "150 ug/day", "concentration": "500 ug/mL", "volume": "0.375 mL", "flow": "0.8 mL/day",
             "length": "80 cm", "duration": "3 d 01:00", "shift": "6 h", "moment": "2026-01-05 09:00"}


class ScenarioError(ValueError):
    """A scenario file cannot be used; the message names the file, the event, the key, the value and the bound."""

    exit_status = 2


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
    """One bound on a quantity of scenario_expect.QUANTITIES: low <= value <= high, a missing end is open."""

    name: str
    quantity: str
    low: float | None
    high: float | None
    options: dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """A loaded scenario. Times in seconds from the implant; `start_pump_s` is the pump's local time then.

    `orders` holds, by event number, what the host made of an event (a prescription, a fill, a bridge); see scenario.py.
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
    orders: dict[int, Any] = field(default_factory=dict)


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
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError("%s is not TOML: %s" % (where, error)) from error
    except OSError as error:
        raise ScenarioError("%s cannot be read: %s" % (where, error.strerror)) from error
    top = _values(table, _TOP, where, units)
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
    known = _values(patient, _PATIENT, where + ": [patient]", units)
    if ("drug" in patient) != ("dose" in patient):
        raise ScenarioError("%s: [patient] needs drug and dose together: the therapy reached before this implant" % where)
    return Scenario(
        file=where, name=table["name"], title=table["title"], source=table["source"], confidence=table["confidence"],
        duration_s=duration_s, start_pump_s=top["start"], seed=table.get("seed", 1), sample_s=sample_s,
        implant={**table["implant"], **_values(table["implant"], _IMPLANT, where + ": [implant]", units)},
        patient={**patient, **known}, oracle=_values(table.get("oracle", {}), _ORACLE, where + ": [oracle]", units),
        events=_events(table["event"], duration_s, where, units),
        expectations=tuple(_expectation(entry, "%s: expectation %d" % (where, number), units)
                           for number, entry in enumerate(table.get("expect", []), 1)))


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
    try:
        params = PlantParams.load("reference", head=implant["head"], reservoir=implant["reservoir"], catheter_cm=implant["catheter"] / 10)
        return params, PatientParams.load(patient.get("model", "adult"), sigma=patient.get("sigma"), seed=patient.get("seed", 0))
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
    at_s = _quantity(here, "at", "when", entry["at"], units)
    values = {key: value for key, value in entry.items() if key not in ("kind", "at")}
    known = _values(values, KINDS[kind], here, units)
    if kind == "program" and (values["mode"] == "simple") != ("dose" in values):
        raise ScenarioError("%s: mode 'simple' needs 'dose' (and 'flex' has none)" % here)
    if kind == "program" and (values["mode"] == "flex") != ("steps" in values):
        raise ScenarioError("%s: mode 'flex' needs 'steps' (and 'simple' has none)" % here)
    for first, second in (("rinses", "rinse_volume"), ("every", "until")):
        if (first in values) != (second in values):
            raise ScenarioError("%s: keys %r and %r need each other" % (here, first, second))
    if kind == "fault":
        _check_fault(here, values)
    if known.get("every") == 0 or known.get("for") == 0:
        raise ScenarioError("%s: a duration is %r, it must be above 0" % (here, values.get("every", values.get("for"))))
    return Event(number, at_s, kind, values, known)


def _check_fault(here: str, values: dict[str, Any]) -> None:
    fault, value = FAULTS[values["name"]], values.get("value")
    if value is not None and isinstance(fault.default, bool):
        raise ScenarioError("%s: value is %r, but fault %s takes none" % (here, value, values["name"]))
    if value is not None and not fault.low <= value <= fault.high:
        raise ScenarioError("%s: value is %r, fault %s must lie between %g and %g %s" % (
            here, value, values["name"], fault.low, fault.high, fault.unit))


def _expectation(entry: dict[str, Any], here: str, units: Any) -> Expectation:
    options = QUANTITIES[entry["quantity"]].options if entry.get("quantity") in QUANTITIES else {}
    known = _values(entry, {**_EXPECT, **options}, here, units)
    if "min" not in entry and "max" not in entry:
        raise ScenarioError("%s (%s): a bound is missing: give min, max or both" % (here, entry["name"]))
    if "min" in entry and "max" in entry and entry["min"] > entry["max"]:
        raise ScenarioError("%s (%s): min is %r, it must not be above max %r" % (here, entry["name"], entry["min"], entry["max"]))
    return Expectation(entry["name"], entry["quantity"], entry.get("min"), entry.get("max"), {key: known[key] for key in options if key in known})


# ------------------------------------------------------------------------------------------------ one table, one value

def _values(table: Any, keys: Mapping[str, str], here: str, units: Any) -> dict[str, Any]:
    """Check a table against its keys; the quantities and plain values in it, read."""
    if not isinstance(table, dict):
        raise ScenarioError("%s is %r, it must be a table" % (here, table))
    for key in table:
        if key not in keys:
            raise ScenarioError("%s: key %r is not known (known: %s)" % (here, key, ", ".join(keys)))
    for key, kind in keys.items():
        if kind.endswith("!") and key not in table:
            raise ScenarioError("%s: key %r is missing" % (here, key))
    return {key: _quantity(here, key, keys[key].rstrip("!"), value, units) for key, value in table.items()}


def _quantity(here: str, key: str, kind: str, value: Any, units: Any) -> Any:
    check = _PLAIN.get(kind)
    if check is not None:
        wanted = check(value)
        if wanted:
            raise ScenarioError("%s: %s is %r, it must be %s" % (here, key, value, wanted))
        return value
    readers = {"dose": units.dose_ng, "rate": units.dose_rate_ng_day, "concentration": units.concentration_ng_ml, "volume": units.volume_nl,
               "flow": units.flow_nl_day, "length": units.length_mm, "duration": units.duration_s, "moment": units.pump_time_s}
    if not isinstance(value, str):
        raise ScenarioError("%s: %s is %r, it must be text with a unit such as '%s'" % (here, key, value, _EXAMPLES.get(kind, "3 d 01:00")))
    try:
        if kind in ("when", "shift"):
            return units.duration_s(value, key, negative=True)
        return readers[kind](value, key)
    except units.RequestInvalid as error:
        raise ScenarioError("%s: %s" % (here, error)) from error


def _one_of(names: Any) -> Any:
    return lambda value: None if isinstance(value, str) and value in names else "one of %s" % ", ".join(names)


def _is_number(value: Any) -> str | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
    return None if good else "a finite number"


def _is_count(low: int, high: int) -> Any:
    def check(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if good else "a whole number between %d and %d" % (low, high)
    return check


def _is_steps(value: Any) -> str | None:
    good = isinstance(value, list) and value and all(
        isinstance(step, dict) and set(step) == {"from", "dose"} and all(isinstance(part, str) for part in step.values()) for step in value)
    return None if good else 'a list of steps {from = "22:00", dose = "25 ug/h"}'


def _is_weekdays(value: Any) -> str | None:
    good = isinstance(value, dict) and value and not any(_is_steps(steps) for steps in value.values())
    return None if good else 'a table of days such as mon = [{from = "22:00", dose = "25 ug/h"}]'


def _is_texts(value: Any) -> str | None:
    good = isinstance(value, dict) and value and all(isinstance(text, str) for text in value.values())
    return None if good else 'a table of drugs such as {bupivacaine = "20 mg/mL"}'


_PLAIN: dict[str, Any] = {
    "text": lambda value: None if isinstance(value, str) and value.strip() else "text",
    "contact": lambda value: None if isinstance(value, str) and value.isascii() and value.isprintable() and 0 < len(value) <= CONTACT_BYTES
    else "plain ascii text of 1 .. %d characters" % CONTACT_BYTES,
    "number": _is_number, "count": _is_count(1, 2**30 - 1), "seed": _is_count(0, MAX_SEED), "response": _one_of(_RESPONSES),
    "mode": _one_of(_MODES), "fault": _one_of(FAULTS), "quantity": _one_of(QUANTITIES),
    "cause": _one_of(MISSED_CAUSES), "edge": _one_of(("raised", "cleared")), "steps": _is_steps, "weekdays": _is_weekdays,
    "mixture": _is_texts, "table": lambda value: None if isinstance(value, dict) else "a table",
    "tables": lambda value: None if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value) else "a list of tables",
}
