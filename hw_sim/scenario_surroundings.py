"""What a scenario says beside the therapy: the table of its surroundings, and faults that are drawn.

    [[environment]]                     a value of one quantity or more that holds from `at` on, or is reached then by a ramp
    at = "3 d"                          that began at the row before; rows stand in the order of time
    temperature = "39 C"                ambient = "75.6 kPa", field = "1.5 T"
    shape = "ramp"                      "step" unless given

    [[random_fault]]                    a fault that comes by chance, so often in the mean, for a time drawn evenly between two
    name = "rotor_stall"                a fault of the plant, or power_cut, reed_held
    rate = 12                           a year
    for = ["5 min", "3 h"]

What is drawn follows from the run's seed alone: equal seeds, equal faults. Refusals are one sentence (ScenarioError).
"""
from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, NamedTuple

from .environment import Environment, Row
from .plant_faults import FAULTS
from .scenario_values import ScenarioError, check_fault, read_table

ROW = {"at": "duration!", "temperature": "temperature", "ambient": "pressure", "field": "field", "shape": "shape", "note": "text"}
RANDOM = {"name": "drawn!", "rate": "number!", "for": "span!", "value": "number", "note": "text"}
QUANTITY_OF = {"temperature": "temperature_c", "ambient": "ambient_kpa", "field": "field_t"}
YEAR_S = 365.25 * 86_400
MOST_A_YEAR = 100_000.0     # one in five minutes: more is no fault that comes and goes
SECOND_US = 1_000_000
NO_FIELD = "%s: gear_bind acts behind a magnetic field, and the scenario has none: no scan, no field_t, no field in its environment"


class RandomFault(NamedTuple):
    """A fault that comes `per_year` times in the mean, each time for `shortest_s` to `longest_s`."""

    name: str
    value: float | None
    per_year: float
    shortest_s: int
    longest_s: int


class Drawn(NamedTuple):
    """One of them, drawn."""

    at_s: int
    name: str
    value: float | None
    for_s: int


def environment(entries: Iterable[Any], where: str, duration_s: int, units: Any) -> Environment:
    """The table of [[environment]] entries. Raises ScenarioError."""
    rows = []
    for number, entry in enumerate(entries, 1):
        here = "%s: environment %d" % (where, number)
        known = read_table(entry, ROW, here, units)
        given = [key for key in QUANTITY_OF if key in known]
        if not given:
            raise ScenarioError("%s: no quantity: give %s" % (here, ", ".join(QUANTITY_OF)))
        if known["at"] >= duration_s:
            raise ScenarioError("%s: at is %r, at or after the end: duration is %s" % (here, entry["at"], units.duration_text(duration_s)))
        rows += [Row(known["at"] * SECOND_US, QUANTITY_OF[key], known[key], known.get("shape") == "ramp") for key in given]
    try:
        return Environment(rows)
    except ValueError as error:
        raise ScenarioError("%s: %s" % (where, error)) from error


def check_bind(where: str, events: Iterable[Any], table: Environment, chances: Iterable[RandomFault]) -> None:
    """A gear binds behind a field: without one in the scenario the fault has no part to act on. Raises ScenarioError."""
    events, chances = list(events), list(chances)
    fields = table.has("field_t") or any(event.kind == "scan" or event.values.get("name") == "field_t" for event in events) or any(
        fault.name == "field_t" for fault in chances)
    for event in events:
        if event.kind == "fault" and event.values["name"] == "gear_bind" and not fields:
            raise ScenarioError(NO_FIELD % ("%s: event %d (fault)" % (where, event.number)))
    for number, fault in enumerate(chances, 1):
        if fault.name == "gear_bind" and not fields:
            raise ScenarioError(NO_FIELD % ("%s: random fault %d" % (where, number)))


def check_heal(where: str, events: Iterable[Any], chances: Iterable[RandomFault]) -> None:
    """What is healed was broken: by an event before, or it may have been by chance. Raises ScenarioError."""
    broken = {fault.name for fault in chances}
    for event in events:
        if event.kind == "fault":
            broken.add(event.values["name"])
        elif event.kind == "scan":
            broken |= {"field_t", "gear_bind"}
        elif event.kind == "heal" and event.values["name"] not in broken:
            raise ScenarioError("%s: event %d (heal): name is %r, which no event before it has broken" % (where, event.number, event.values["name"]))


def random_faults(entries: Iterable[Any], where: str, units: Any) -> tuple[RandomFault, ...]:
    """The [[random_fault]] entries. Raises ScenarioError."""
    found = []
    for number, entry in enumerate(entries, 1):
        here = "%s: random fault %d" % (where, number)
        known = read_table(entry, RANDOM, here, units)
        if not 0 < known["rate"] <= MOST_A_YEAR:
            raise ScenarioError("%s: rate is %r, it must lie above 0 and at most %g a year" % (here, entry["rate"], MOST_A_YEAR))
        if known["name"] in FAULTS:
            check_fault(here, known["name"], known.get("value"))
        elif "value" in known:
            raise ScenarioError("%s: value is %r, but fault %s takes none" % (here, entry["value"], known["name"]))
        found.append(RandomFault(known["name"], known.get("value"), float(known["rate"]), *known["for"]))
    return tuple(found)


def drawn(faults: Iterable[RandomFault], seed: int, duration_s: int) -> list[Drawn]:
    """What comes of them in a run of that seed, in the order of time; a fault does not come again while it lasts."""
    found = []
    for number, fault in enumerate(faults):
        source = random.Random("random fault:%d:%d:%s" % (seed, number, fault.name))
        at_s = 0.0
        while True:
            at_s += source.expovariate(fault.per_year / YEAR_S)
            if at_s >= duration_s:
                break
            lasts_s = source.randint(fault.shortest_s, fault.longest_s)
            found.append(Drawn(int(at_s), fault.name, fault.value, lasts_s))
            at_s += lasts_s
    return sorted(found)
