"""The fault budget of this pump, and the hazards that are declared from it (hazards.toml), which `thecal-sim faults` plays.

**What the system survives**: therapy goes on as prescribed, or what is lost is booked as missed and never made up. A power cut of any length
and at any store write, whole or torn; a store that dies, a flipped bit in it; a clock that jumps or is set to another zone; a field
that holds the rotor, a gear that stays bound behind it, a reed switch closed by a phone; fever, flight and dive; a temperature or pressure
sensor that is wrong; an interrupted bridge; every injury to the line (noise, loss, duplicates, flood, replay, forgery for hours; millions of
frames in the campaigns of tests/README.md), a host that dies or stalls, the wrong pump, a session that stays open through an alarm. A forger can
lock the line, and with it the patient's bolus: never the program.

**What it detects, by which hand, how soon.** The *encoder*, at every pulse: a stall or full occlusion in 3 pulses or 30 min (behind the 84 uL
that a closed line takes up), half the pulses or three tenths of the steps lost within 10 to 24 h, motion without an order at the first edge, cut in 2
pulses. The *probe* of the enable switch, at power-on, daily and at each pulse's end: a switch that no longer opens. The *level*, by the hour: an
over-infusing head (1.3: 48 h and 300 uL at 0.5 mL/day, 1.3 at 0.1 mL/day with a steady sensor 5 days, both in the mean; 3: 8 h), one that wears
out in days (10 days), a leak of the septum, free flow, theft, a fill that went into the pocket; and a dead encoder, told from a stall by it. The *level against itself*: stuck, noisy, jumped. The *two clocks*:
a jump above 5 min. The *self-test*, daily: a bit that turned over in the commissioning block, in the program, in the supervisor's copy, which is
taken anew from the store; the *supervisor*, within half an hour of the step that it changes, one in the schedule that is run. The *cell's
voltage*: a sudden drop and end of life; behind a film the *encoder* sees the train that its sag does not turn. The *store's* own writes. The
*host's* arithmetic, at the refill: what was withdrawn against what was expected; a
fill that the reservoir cannot take; the dose per day before anything is sent. Each of these has a bound in time and in volume where it is
declared.

**What nothing detects**, and why; these rows run all the same, and say what the patient gets. *Behind the head there is no sensor*: a leak, a
catheter that came off, a tip that migrated, a partial occlusion through which the rollers push on, a bubble, an injection into the access port.
*No CRC stands over what changes at every request*: a bit in the times of the last boluses. *No sensor measures a concentration*: a compounding
error, a wrong label believed, adsorption to the walls. *Below the level's own walk*: 1.3 times too much at 0.1 mL/day and less with the default
sensor (30 uL a day; the refill finds it), a head 10 % off, slipping rollers, a set tube, 13 kPa at the tip, all inside the published accuracy of 14.5 %.
*Nobody looks*: lost propellant while the bellows is full; the inlet sensor shows it, and this firmware reads that for its own health only (AN-18).
*Nobody knows*: the time zone that a clinician meant.

**What it does not survive**: two independent faults of the motor's path. A switch that no longer opens is found at the first pulse and stops
delivery, a driver that sticks on likewise; both together, whichever comes first, turn the rotor without an order, say so within 10 ms and cannot
be cut by anyone. Free flow cannot be stopped either: the pump says so, and the reservoir has to be emptied.

A declared hazard says what is done to plant or wire, in which therapies, what must notice it, how soon, how much too much may be delivered until
then, and the final state. Electrical and software faults: 2 pulses, no exceptions but those that are declared with their reason.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import toml_table
from .requirements import RequirementsError
from .requirements import load as load_requirements
from .scenario_values import KINDS as EVENT_KINDS
from .scenario_values import ScenarioError, quantity, read_table

DATA = Path(__file__).with_name("hazards.toml")
SCHEMA = "thecal.hazards/1"
KINDS = ("electrical", "software", "mechanical", "fluid", "sensor", "environment", "use", "link")
# What a firmware may declare that it lacks; a row that needs it then reads n/a.
NEEDS = ("telemetry", "encoder", "level", "inlet", "temperature", "battery", "store", "ram", "clock", "magnet", "probe", "tone")
FINALS = ("program", "fallback", "minimum", "stopped", "any")
SURVIVED = "survived"
OUTCOMES = ("", SURVIVED)
PULSES_OVER = 2             # DESIGN 11: flow without a valid order
FAULT_AT = "1 d"            # a healthy day first: the level test has its hours, and the bolus of a first day is past
TAIL_S = 86_400             # after the bound: what the pump does in the end is judged over it
LONGEST_S = 60 * 86_400

_TOP = {"schema": "text!", "therapy": "tables!", "hazard": "tables!"}
_THERAPY = {"id": "text!", "text": "text!", "sample": "duration", "fault_at": "duration", "patient": "table!", "event": "tables!",
            "reservoir": "text", "sensors": "text", "alarms": "names"}
_ROW = {"within": "duration", "over_ul": "number", "by": "names", "also": "names", "final": "text", "undetectable": "text", "uncuttable": "text",
        "run": "duration"}
_HAZARD = {"id": "text!", "hazard": "text!", "kind": "text!", "requirement": "names!", "source": "text!", "needs": "names", "event": "tables!",
           "healthy": "tables", "both": "tables", "line": "text", "unbooked": "text", "outcome": "text",
           "in": "tables!", **_ROW}
_IN = {"therapy": "text!", **_ROW}


class HazardsError(ValueError):
    """The list of hazards cannot be used; the message names file, entry, key, value and what was wanted."""

    exit_status = 2


@dataclass(frozen=True)
class Therapy:
    """What a healthy pump does. `events` as in a scenario file but for `at`, whole seconds from the implant; a fault comes at `fault_at_s`.

    `alarms`: what may ring in it without any fault.
    """

    id: str
    text: str
    sample: str
    sample_s: int
    fault_at_s: int
    reservoir: str
    sensors: str
    patient: Mapping[str, Any]
    events: tuple[tuple[int, Mapping[str, Any]], ...]
    alarms: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One hazard in one therapy. Times in seconds from the fault; `over_ul` None for PULSES_OVER pulses.

    `events`, `healthy` and `both` are (second from the fault, event). `unbooked`: why the pump's books may differ from the
    oracle's. `by` notices it, `also` may ring as its consequence: any other alarm than these and the therapy's own is a false one.
    `outcome` "survived": a pump without telemetry is judged by delivery that resumes. `within_s` None and `undetectable` text where nothing
    can notice it. `uncuttable`: why no hand of the pump can end the flow; the run ends then when it has shown, and how much was given is not
    judged. `run_s` is how long it is played after the fault.
    """

    hazard: str
    text: str
    kind: str
    requirement: tuple[str, ...]
    source: str
    needs: tuple[str, ...]
    therapy: Therapy
    events: tuple[tuple[int, Mapping[str, Any]], ...]
    healthy: tuple[tuple[int, Mapping[str, Any]], ...]
    both: tuple[tuple[int, Mapping[str, Any]], ...]
    line: str
    unbooked: str
    within_s: int | None
    within: str
    over_ul: float | None
    by: tuple[str, ...]
    also: tuple[str, ...]
    outcome: str
    final: str
    undetectable: str
    uncuttable: str
    run_s: int

    @property
    def id(self) -> str:
        """'rotor-stall@c05'."""
        return "%s@%s" % (self.hazard, self.therapy.id)

    @property
    def declared(self) -> str:
        """The bound in words, or why there is none."""
        if self.undetectable:
            return "undetectable: " + self.undetectable
        return "by %s within %s" % (" or ".join(self.by), self.within) + ("; uncuttable: " + self.uncuttable if self.uncuttable else "")


def load(units: Any, path: Path = DATA) -> list[Row]:
    """Every row of the list, in its order; `units` is the host's unit reader (R2). Raises HazardsError, and only that."""
    table = toml_table.read(path, HazardsError)
    try:
        _read(table, _TOP, path.name, units)
        if table["schema"] != SCHEMA:
            raise HazardsError("%s: schema is %r, it must be %r" % (path.name, table["schema"], SCHEMA))
        therapies = _unique("therapy", [_therapy(entry, path.name, units) for entry in table["therapy"]], path.name)
        known = {requirement.id for requirement in load_requirements().rows}
        rows = [row for entry in table["hazard"] for row in _hazard(entry, therapies, known, path.name, units)]
    except (ScenarioError, RequirementsError) as error:
        raise HazardsError(str(error)) from error
    _unique("row", rows, path.name)
    return rows


def _unique(what: str, entries: Iterable[Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in entries:
        if entry.id in found:
            raise HazardsError("%s: %s %r stands there twice" % (where, what, entry.id))
        found[entry.id] = entry
    return found


def _read(table: Mapping[str, Any], keys: Mapping[str, str], here: str, units: Any) -> dict[str, Any]:
    """As read_table, with lists of names beside its kinds."""
    for key, kind in keys.items():
        if kind.rstrip("!") == "names" and key in table:
            names = table[key]
            if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
                raise HazardsError("%s: %s is %r, it must be a list of names" % (here, key, names))
    plain = {key: kind for key, kind in keys.items() if kind.rstrip("!") != "names"}
    missing = [key for key, kind in keys.items() if kind == "names!" and key not in table]
    if missing:
        raise HazardsError("%s: key %r is missing" % (here, missing[0]))
    return read_table({key: value for key, value in table.items() if key in plain or key not in keys}, plain, here, units)


def _lasts_s(event: Mapping[str, Any], here: str, units: Any) -> int:
    """Seconds for which an event goes on: its `for`, and behind a scan the gear that stays bound."""
    return sum(quantity(here, key, "duration", event[key], units) for key in ("for", "bind") if key in event)


def _among(here: str, key: str, value: str, names: Iterable[str]) -> str:
    if value not in names:
        raise HazardsError("%s: %s is %r, it must be one of %s" % (here, key, value, ", ".join(names)))
    return value


def _therapy(entry: Mapping[str, Any], where: str, units: Any) -> Therapy:
    here = "%s: therapy %s" % (where, entry.get("id", "without an id"))
    known = _read(entry, _THERAPY, here, units)
    sample = entry.get("sample", "1 h")
    return Therapy(entry["id"], entry["text"], sample, quantity(here, "sample", "duration", sample, units),
                   known.get("fault_at", quantity(here, "fault_at", "duration", FAULT_AT, units)), entry.get("reservoir", "reference-20ml"),
                   entry.get("sensors", "reference"), entry["patient"], _events(entry["event"], here, units), tuple(entry.get("alarms", ())))


def _events(entries: list[dict[str, Any]], here: str, units: Any) -> tuple[tuple[int, Mapping[str, Any]], ...]:
    """Events with their second; what else they hold the scenario's own loader checks, when a row is made into one."""
    found = []
    for number, entry in enumerate(entries, 1):
        there = "%s: event %d" % (here, number)
        if "at" not in entry:
            raise HazardsError("%s: key 'at' is missing: when it happens, such as '2 h'" % there)
        _among(there, "kind", entry.get("kind", ""), EVENT_KINDS)
        found.append((quantity(there, "at", "duration", entry["at"], units), {key: value for key, value in entry.items() if key != "at"}))
    return tuple(sorted(found, key=lambda event: event[0]))


def _hazard(entry: Mapping[str, Any], therapies: Mapping[str, Therapy], known: set[str], where: str, units: Any) -> list[Row]:
    here = "%s: hazard %s" % (where, entry.get("id", "without an id"))
    _read(entry, _HAZARD, here, units)
    _among(here, "kind", entry["kind"], KINDS)
    for name in entry["requirement"]:
        if name not in known:
            raise HazardsError("%s: requirement %r is not in requirements.toml" % (here, name))
    for need in entry.get("needs", ()):
        _among(here, "needs", need, NEEDS)
    events = {key: _events(entry.get(key, []), "%s: %s" % (here, key), units) for key in ("event", "healthy", "both")}
    return [_row(entry, place, therapies, events, "%s in %s" % (here, place.get("therapy")), units) for place in entry["in"]]


def _row(entry: Mapping[str, Any], place: Mapping[str, Any], therapies: Mapping[str, Therapy], events: Mapping[str, Any], here: str,
         units: Any) -> Row:
    _read(place, _IN, here, units)
    therapy = therapies[_among(here, "therapy", place["therapy"], therapies)]
    merged = {**entry, **place}
    for key, other in (("within", "undetectable"), ("undetectable", "within")):
        if key in place and other not in place:     # a place's own word replaces the hazard's
            merged.pop(other, None)
    undetectable = merged.get("undetectable", "")
    if bool(undetectable) == ("within" in merged):
        raise HazardsError("%s: it needs either 'within', the bound, or 'undetectable', the reason" % here)
    if not undetectable and not merged.get("by"):
        raise HazardsError("%s: key 'by' is missing: what notices it" % here)
    final = _among(here, "final", merged.get("final", "any"), FINALS)
    within_s = None if undetectable else quantity(here, "within", "duration", merged["within"], units)
    last_s = max(at_s + _lasts_s(event, here, units) for at_s, event in (*events["event"], *events["both"]))
    run_s = quantity(here, "run", "duration", merged["run"], units) if "run" in merged else last_s + (within_s or 0) + TAIL_S
    if not last_s < run_s <= LONGEST_S or within_s is not None and within_s > run_s:
        raise HazardsError("%s: it is played for %s after the fault, that must reach beyond its events and its bound, and not above %s" % (
            here, units.duration_text(run_s), units.duration_text(LONGEST_S)))
    over_ul = merged.get("over_ul")
    if over_ul is not None and over_ul < 0:
        raise HazardsError("%s: over_ul is %r, it must be 0 or more" % (here, over_ul))
    return Row(hazard=entry["id"], text=entry["hazard"], kind=entry["kind"], requirement=tuple(entry["requirement"]), source=entry["source"],
               needs=tuple(entry.get("needs", ())), therapy=therapy, events=events["event"], healthy=events["healthy"], both=events["both"],
               line=entry.get("line", ""), unbooked=entry.get("unbooked", ""), within_s=within_s, within=merged.get("within", ""),
               over_ul=over_ul, by=tuple(merged.get("by", ())), also=tuple(merged.get("also", ())),
               outcome=_among(here, "outcome", merged.get("outcome", ""), OUTCOMES), final=final, undetectable=undetectable,
               uncuttable=merged.get("uncuttable", ""), run_s=run_s)
