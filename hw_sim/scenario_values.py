"""The keys that a scenario file may hold, and one value of it checked and read: which kind each key is, what is said of a wrong one.

A key holds a quantity (text with its unit, read by the host's unit reader, which is handed in: R2) or one of the plain kinds below.
Refusals are one sentence with place, key, value and what was wanted (ScenarioError).
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..protocol.catalogue import CONTACT_BYTES, MISSED_CAUSES
from .attacker import Attacker
from .attacker_rules import RuleError
from .fram import STORE_BYTES
from .impairment import Impairment, LineError
from .line_events import PHASES
from .plant_faults import FAULTS
from .scenario_expect import EDGES, OUTCOMES, QUANTITIES
from .world_faults import MOST_BITS, RAM_RECORDS, TORN

MAX_SEED = 2**31 - 1
RESPONSES, MODES = ("none", "partial", "yes"), ("simple", "flex", "periodic", "minimum")
EXAMPLES = {"dose": "50 ug", "rate": "150 ug/day", "concentration": "500 ug/mL", "volume": "0.375 mL", "flow": "0.8 mL/day",
            "length": "80 cm", "temperature": "39 C", "pressure": "75.6 kPa", "field": "1.5 T", "duration": "3 d 01:00", "shift": "6 h", "moment": "2026-01-05 09:00"}

PHYSICAL = {"temperature": {"C": 1.0}, "pressure": {"kPa": 1.0, "hPa": 0.1}, "field": {"T": 1.0, "mT": 1e-3}}

# "!" marks what must be there. `note` and `refused` (the text with which this must be refused) may stand with any event of a clinician.
_FATE = {"note": "text"}
_OURS = {**_FATE, "refused": "text"}
_FAILING = {"dies": "phase", "stalls": "duration"}      # the host dies behind this, its commit comes so late: line_events.py
_DRUGGED = {"drug": "text!", "concentration": "concentration!", "also": "mixture"}
_FILL = {**_DRUGGED, "volume": "volume!", "rinses": "count", "rinse_volume": "volume", "setting": "text", "lot": "text",
         "measured": "concentration", "into": "into", "overfill": "switch", **_OURS}
# measured: what the syringe really holds of the first drug, a compounding error; into: where the needle really was; overfill: forced in above the capacity
_PROGRAM = {"dose": "rate", "steps": "steps", "weekdays": "weekdays", "times": "times", "over": "duration", "basal": "rate", "setting": "text",
            "fallback": "flow", "bolus": "bolus", "override": "text", **_FAILING, **_OURS}
KINDS: dict[str, dict[str, str]] = {
    "trial": {"drug": "text!", "concentration": "concentration!", "dose": "dose", "rate": "rate", "for": "duration", "response": "response!",
              "effect": "duration", "adverse": "switch", "score": "score", **_FATE},
    "implant": {"patient": "text", "indication": "text", "tip_level": "text", "mri": "text", **_OURS},
    "fill": _FILL,
    "refill": _FILL,
    "prime": {"what": "part", "volume": "volume", "rate": "flow", **_OURS},
    "program": {"mode": "mode!", **_PROGRAM},
    "bridge": {"mode": "mode", **_PROGRAM},
    "bolus": {"dose": "dose!", "over": "duration!", "override": "text", **_FAILING, **_OURS},
    "request": _OURS,
    "stop": {"reason": "text!", **_OURS},
    "resume": _OURS,
    "pause": {"for": "duration!", **_OURS},
    "visit": {"note": "text!", "heard": "switch"},
    "set_clock": {"shift": "shift!", **_OURS},
    "acknowledge": {"alarm": "count", **_OURS},
    "silence": {"alarm": "count", "hours": "count!", **_OURS},
    "alarm_test": {"critical": "switch", **_OURS},
    "calibration": {"on": "switch!", **_OURS},
    "catheter": {"state": "state!", "drug": "text", "concentration": "concentration", **_OURS},
    "emergency": {"action": "action!", **_OURS},
    "aspirate": {"volume": "volume!", **_FATE},
    "oral": {"drug": "text!", "dose": "dose!", "every": "duration", "until": "duration", **_FATE},
    "fault": {"name": "fault!", "value": "number", "for": "duration", **_FATE},
    "heal": {"name": "fault!", **_FATE},
    "scan": {"for": "duration!", "field": "field", "bind": "duration", **_FATE},
    "reed_held": {"for": "duration!", **_FATE},
    "port_injection": {"volume": "volume!", "drug": "text", "concentration": "concentration", "also": "mixture", **_FATE},
    "torn_write": {"write": "count!", "left": "torn", **_FATE},
    "store_flip": {"address": "address!", "bit": "bit!", **_FATE},
    "store_dead": {"for": "duration", **_FATE},
    "ram_flip": {"record": "record!", "bit": "ram_bit!", **_FATE},
    "attack": {"rules": "rules!", "for": "duration!", "listens": "duration", **_FATE},
    "wrong_pump": _OURS,
    "power_cut": {"for": "duration!", **_FATE},
    "clock_jump": {"by": "shift!", **_FATE},
}
BOLUS_KEYS = {"dose": "dose!", "over": "duration!", "lockout": "duration!", "per_day": "count!", "interval": "duration", "per_interval": "count",
              "released": "switch"}
TOP = {"schema": "text!", "name": "text!", "title": "text!", "source": "text!", "confidence": "text!", "duration": "duration!",
       "start": "moment!", "seed": "seed", "sample": "duration", "implant": "table!", "patient": "table", "oracle": "table",
       "line": "line", "environment": "tables", "random_fault": "tables", "event": "tables!", "expect": "tables",
       "field_action": "table"}
FIELD_ACTION = {"when": "text!", "real": "text!", "ours": "text!"}       # a recall as a scenario: what the real device did, what ours does (story.py)
IMPLANT = {"params": "text", "head": "text!", "reservoir": "text!", "sensors": "text", "catheter": "length!", "serial": "count!", "contact": "contact"}
PATIENT = {"model": "text", "sigma": "number", "seed": "seed", "drug": "text", "dose": "rate", "also": "doses"}
# unjudged: why the oracle may fall silent behind an alarm whose action it cannot follow; without it such a run fails
ORACLE = {"unjudged": "text", "delivered_pct": "number", "dose_pct": "number", "front_pct": "number"}
EXPECT = {"name": "text!", "quantity": "quantity!", "min": "number", "max": "number", "as": "text"}


class ScenarioError(ValueError):
    """A scenario file cannot be used; the message names the file, the event, the key, the value and the bound."""

    exit_status = 2


def read_table(table: Any, keys: Mapping[str, str], here: str, units: Any) -> dict[str, Any]:
    """Check a table against its keys; the quantities and plain values in it, read. Raises ScenarioError."""
    if not isinstance(table, dict):
        raise ScenarioError("%s is %r, it must be a table" % (here, table))
    for key in table:
        if key not in keys:
            raise ScenarioError("%s: key %r is not known (known: %s)" % (here, key, ", ".join(keys)))
    for key, kind in keys.items():
        if kind.endswith("!") and key not in table:
            raise ScenarioError("%s: key %r is missing" % (here, key))
    return {key: quantity(here, key, keys[key].rstrip("!"), value, units) for key, value in table.items()}


def quantity(here: str, key: str, kind: str, value: Any, units: Any) -> Any:
    """One value, read by its kind. Raises ScenarioError."""
    if kind == "bolus":
        return read_table(value, BOLUS_KEYS, "%s: bolus" % here, units)
    if kind == "doses":
        return _doses(here, key, value, units)
    if kind in PHYSICAL:
        return _physical(here, key, kind, value)
    if kind == "span":
        return _span(here, key, value, units)
    check = PLAIN.get(kind)
    if check is not None:
        wanted = check(value)
        if wanted:
            raise ScenarioError("%s: %s is %r, it must be %s" % (here, key, value, wanted))
        return value
    readers = {"dose": units.dose_ng, "rate": units.dose_rate_ng_day, "concentration": units.concentration_ng_ml, "volume": units.volume_nl,
               "flow": units.flow_nl_day, "length": units.length_mm, "duration": units.duration_s, "moment": units.pump_time_s}
    if not isinstance(value, str):
        raise ScenarioError("%s: %s is %r, it must be text with a unit such as '%s'" % (here, key, value, EXAMPLES.get(kind, "3 d 01:00")))
    try:
        if kind in ("when", "shift"):
            return units.duration_s(value, key, negative=True)
        return readers[kind](value, key)
    except units.RequestInvalid as error:
        raise ScenarioError("%s: %s" % (here, error)) from error


def _physical(here: str, key: str, kind: str, value: Any) -> float:
    """A number with one of the units of its kind, as text."""
    parts = value.split() if isinstance(value, str) else []
    try:
        number = float(parts[0]) * PHYSICAL[kind][parts[1]] if len(parts) == 2 else math.nan
    except (KeyError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ScenarioError("%s: %s is %r, it must be a number and its unit (%s) such as '%s'" % (
            here, key, value, ", ".join(PHYSICAL[kind]), EXAMPLES[kind]))
    return number


def _span(here: str, key: str, value: Any, units: Any) -> tuple[int, int]:
    """Shortest and longest duration (s)."""
    if not (isinstance(value, list) and len(value) == 2):
        raise ScenarioError("%s: %s is %r, it must be the shortest and the longest duration such as [\"5 min\", \"3 h\"]" % (here, key, value))
    shortest_s, longest_s = (quantity(here, key, "duration", text, units) for text in value)
    if not 0 < shortest_s <= longest_s:
        raise ScenarioError("%s: %s is %r, the shortest must be above 0 and no longer than the longest" % (here, key, value))
    return shortest_s, longest_s


def check_fault(here: str, name: str, value: float | None) -> None:
    """A fault of the plant with a value, or none. Raises ScenarioError for one that it does not take, or out of range."""
    fault = FAULTS[name]
    if value is not None and isinstance(fault.default, bool):
        raise ScenarioError("%s: value is %r, but fault %s takes none" % (here, value, name))
    if value is not None and not fault.low <= value <= fault.high:
        bounds = ("%g and %g %s" % (fault.low, fault.high, fault.unit)).strip()
        raise ScenarioError("%s: value is %r, fault %s must lie between %s" % (here, value, name, bounds))


def _is_line(value: Any) -> str | None:
    try:
        Impairment.parse(value if isinstance(value, str) else "")
    except LineError as error:
        return "a bad line as of --line (%s)" % error
    return None


def _is_rules(value: Any) -> str | None:
    good = isinstance(value, list) and value and all(isinstance(text, str) for text in value)
    try:
        Attacker(value if good else ())
    except RuleError as error:
        return "a list of rules of an attacker (%s)" % error
    return None if good else 'a list of rules of an attacker such as ["flood=1/s,with=forged"]'


def _doses(here: str, key: str, value: Any, units: Any) -> dict[str, Any]:
    wanted = _is_texts(value)
    if wanted:
        raise ScenarioError("%s: %s is %r, it must be a table of drugs such as {bupivacaine = \"6 mg/day\"}" % (here, key, value))
    return {drug: quantity(here, "%s of %s" % (key, drug), "rate", text, units) for drug, text in value.items()}


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


def _is_times(value: Any) -> str | None:
    good = isinstance(value, list) and value and all(isinstance(text, str) for text in value)
    return None if good else 'a list of times of day such as ["00:00", "06:00"]'


def _is_texts(value: Any) -> str | None:
    good = isinstance(value, dict) and value and all(isinstance(text, str) for text in value.values())
    return None if good else 'a table of drugs such as {bupivacaine = "20 mg/mL"}'


PLAIN: dict[str, Any] = {
    "text": lambda value: None if isinstance(value, str) and value.strip() else "text",
    "contact": lambda value: None if isinstance(value, str) and value.isascii() and value.isprintable() and 0 < len(value) <= CONTACT_BYTES
    else "plain ascii text of 1 .. %d characters" % CONTACT_BYTES,
    "switch": lambda value: None if isinstance(value, bool) else "true or false",
    "number": _is_number, "count": _is_count(1, 2**30 - 1), "day": _is_count(0, 3660), "seed": _is_count(0, MAX_SEED), "score": _is_count(0, 10),
    "response": _one_of(RESPONSES), "mode": _one_of(MODES), "part": _one_of(("tubing", "catheter", "both")),
    "state": _one_of(("empty", "filled")), "action": _one_of(("fallback", "stop")), "fault": _one_of(FAULTS), "quantity": _one_of(QUANTITIES),
    "drawn": _one_of((*FAULTS, "power_cut", "reed_held")), "line": _is_line, "shape": _one_of(("step", "ramp")), "torn": _one_of(TORN),
    "into": _one_of(("reservoir", "pocket")), "address": _is_count(0, STORE_BYTES - 1), "bit": _is_count(0, 7),
    "phase": _one_of(PHASES), "rules": _is_rules, "record": _one_of(RAM_RECORDS), "ram_bit": _is_count(0, MOST_BITS - 1),
    "cause": _one_of(MISSED_CAUSES), "edge": _one_of(EDGES), "outcome": _one_of(OUTCOMES), "steps": _is_steps,
    "weekdays": _is_weekdays, "times": _is_times, "mixture": _is_texts, "table": lambda value: None if isinstance(value, dict) else "a table",
    "tables": lambda value: None if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value) else "a list of tables",
}
