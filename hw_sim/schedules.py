"""Random schedules of faults on a therapy, drawn by seed alone, and what they are held to beside the oracle.

Every fault of the plant (plant_faults.FAULTS) and of the world around it (world_faults.WORLD_FAULTS) may be drawn; values and durations are
drawn per run, evenly in the logarithm where a range allows it. A schedule is a scenario that `thecal-sim run` plays, so what it is held to are
expectations in it: a fault that the list of hazards declares detectable, drawn at least as hard as there and while nothing else is wrong, must
ring within that row's bound; and no more may be delivered than the therapy gives without a fault, where no drawn fault is declared to deliver
more. Whether the books agree the oracle says, but for faults that are declared `unbooked`.
"""
from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .faults import PULSES_OVER, Row, Therapy
from .ledger import ACCEPTED, BOOKS, FIRST_PULSE_MIN, scenario
from .line_events import PHASES
from .observer import ALARM
from .oracle_rows import HEADS, ORDERED, PREFIX
from .plant_faults import FAULTS
from .scenario_text import DAY_S, HOUR_S, when
from .world_faults import MOST_BITS, RAM_RECORDS, TORN, WORLD_FAULTS

OWN = (ORDERED, PREFIX + HEADS[1])       # of the books: what needs no oracle is judged under any fault
RAN = "the firmware ran to the end"
OVER = "no more than the therapy gives without a fault"
SPAN_S, SETTLE_S = 3 * DAY_S, DAY_S
SHORTEST_S, LONGEST_S = 5 * 60, DAY_S
LEAST_SHARE = 0.1           # of a knob's default: what is weaker than a tenth of it does nothing
HARD_SHARE = 0.5            # of the faults that a row bounds: drawn at least as hard as there
LEVEL_CODES = (2, 5, 10, 21)        # the level test forgets nothing: judged for the first fault of a schedule only
PITCH_UL, PULSE_UL = 8.75, 1.0      # a roller's pitch and the longest pulse: the row and its twin may stand at other angles of the head
RECORD_BITS = 160           # of the shortest record that RAM faults turn bits of; what a pump has not it says


def drawn_event(draw: random.Random, name: str, therapy: Therapy) -> dict[str, Any]:
    """One event of this fault with its value and its duration drawn."""
    lasts = "%d s" % round(SHORTEST_S * (LONGEST_S / SHORTEST_S) ** draw.random())
    if name == "gear_bind":     # it acts behind a field
        return {"kind": "scan", "for": "%d min" % draw.randint(20, 120), "bind": "%d h" % draw.randint(2, 24)}
    if name in FAULTS:
        kind = FAULTS[name]
        if isinstance(kind.default, bool):
            return {"kind": "fault", "name": name, "for": lasts}
        low, high = kind.low, kind.high
        if low < 0 or draw.random() < 0.25:        # either sign; or an end of the range, where the hardest is
            value = draw.choice((low, high)) if low >= 0 else draw.uniform(low, high)
        else:
            first = max(low, abs(kind.default or high) * LEAST_SHARE)
            value = first * (high / first) ** draw.random()
        return {"kind": "fault", "name": name, "value": min(max(float("%.4g" % value), low), high), "for": lasts}
    program: dict[str, Any] = next(dict(event) for _, event in therapy.events if event["kind"] == "program")
    made: dict[str, Callable[[], dict[str, Any]]] = {
        **dict.fromkeys(("power_cut", "reed_held", "store_dead"), lambda: {"kind": name, "for": lasts}),
        "clock_jump": lambda: {"kind": name, "by": "%d min" % draw.choice((draw.randint(-720, -1), draw.randint(1, 720)))},
        "store_flip": lambda: {"kind": name, "address": draw.randrange(4096), "bit": draw.randrange(8)},
        "torn_write": lambda: {"kind": name, "write": draw.randint(1, 50), "left": draw.choice(TORN)},
        "ram_flip": lambda: {"kind": name, "record": draw.choice(RAM_RECORDS), "bit": draw.randrange(min(MOST_BITS, RECORD_BITS))},
        "attack": lambda: {"kind": name, "rules": ["flood=%d/s,with=%s" % (draw.randint(1, 5), draw.choice(("status", "garbage", "forged")))],
                           "for": "%d min" % draw.randint(5, 120)},
        "host_dies": lambda: {**program, "dies": draw.choice([phase for phase in PHASES if phase in ("session", "stage")]), "refused": "answer"},
        "host_stalls": lambda: {**program, "stalls": "310 s", "refused": "answer"},
    }
    return made[name]()


def hard_event(draw: random.Random, row: Row) -> dict[str, Any]:
    """A row's own fault, as hard as there or up to half harder, for longer than the row's bound: one whose detection is judged if it stands alone."""
    event = dict(row.events[0][1])
    if isinstance(event.get("value"), float) and name_of(event) != "kink":
        kind, normal = FAULTS[event["name"]], _normal(event["name"])
        event["value"] = min(max(float("%.4g" % (normal + (event["value"] - normal) * draw.uniform(1.0, 1.5))), kind.low), kind.high)
        if abs(event["value"] - normal) < abs(row.events[0][1]["value"] - normal):      # rounded to the weaker side
            event["value"] = row.events[0][1]["value"]
    return {**event, "for": "%d s" % ((row.within_s or 0) + FIRST_PULSE_MIN * 60 + draw.randint(60, HOUR_S))}


def random_schedule(therapy: Therapy, seed: int, faults: int, rows: Sequence[Row] = ()) -> dict[str, Any]:
    """A scenario of `faults` faults in the mean (at least one) on `therapy`, drawn over three days behind its first.

    `rows`: the declared hazards, by which detection is judged. A driver that sticks on beside a switch that sticks is not drawn: that no
    pump survives (hazards.toml has it as a row of its own).
    """
    draw = random.Random("schedule %d of %s" % (seed, therapy.id))
    count = max(1, min(2 * faults, round(draw.expovariate(1 / faults))))
    names = [name for name in (*FAULTS, *WORLD_FAULTS) if name != "line"]
    chosen: list[tuple[int, dict[str, Any]]] = []
    drawn: set[str] = set()
    for at_s in sorted(therapy.fault_at_s + draw.randrange(SPAN_S // 60) * 60 for _ in range(count)):
        name = draw.choice(names)
        together = {"driver_stuck_on", "enable_stuck"}
        if name not in drawn and not (name in together and drawn & together):
            hard = [row for row in rows if row.therapy.id == therapy.id and _bounds(row) and name_of(row.events[0][1]) == name]
            chosen.append((at_s, hard_event(draw, draw.choice(hard)) if hard and draw.random() < HARD_SHARE else drawn_event(draw, name, therapy)))
        drawn.add(name)
    line = "loss=%.2f,dup=%.2f" % (draw.uniform(0, 0.1), draw.uniform(0, 0.1)) if draw.random() < 1 / len(names) else ""
    events: list[tuple[int, Any]] = sorted([(0, {"kind": "implant"}), *therapy.events, *chosen], key=lambda event: event[0])
    made = scenario("random-%d" % seed, "%d faults drawn on %s" % (len(chosen), therapy.text), "drawn by thecal-sim faults --random, seed %d" % seed,
                    therapy, events, therapy.fault_at_s + SPAN_S + SETTLE_S, seed, line)
    expects = detections(chosen, therapy, rows)
    return {**made, **({"expect": expects} if expects else {})}


def name_of(event: Mapping[str, Any]) -> str:
    """Under which name the world logs this event's fault."""
    if event["kind"] == "scan":
        return "gear_bind" if "bind" in event else "field_t"
    return str(event.get("name") or ("host_dies" if "dies" in event else "host_stalls" if "stalls" in event else event["kind"]))


def is_fault(event: Mapping[str, Any]) -> bool:
    """Whether an event is none of a therapy's own."""
    return event["kind"] in ("fault", "scan", *WORLD_FAULTS) or bool({"dies", "stalls"} & set(event))


def detections(chosen: Sequence[tuple[int, Mapping[str, Any]]], therapy: Therapy, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """An expectation for each drawn fault that a row of this therapy bounds, is as hard and as long as there, and stands alone meanwhile."""
    found = []
    for index, (at_s, event) in enumerate(chosen):
        row = next((row for row in rows if row.therapy.id == therapy.id and _like(row, event)), None)
        if row is None or row.within_s is None:
            continue
        code, until_s = int(row.by[0].split()[1]), at_s + row.within_s + FIRST_PULSE_MIN * 60
        lasting = [at_s + _lasts_s(event) >= until_s, until_s <= therapy.fault_at_s + SPAN_S + SETTLE_S]
        alone = all(other_s > until_s for other_s, _ in chosen[index + 1:]) and all(
            other_s + _lasts_s(other) < at_s and _harmless(name_of(other), code, rows) for other_s, other in chosen[:index])
        if all(lasting) and alone and not (index and code in LEVEL_CODES):
            found.append({"name": "%s of %s at %s within %s" % (row.by[0], name_of(event), when(at_s), row.within), "quantity": "alarm_after_min",
                          "code": code, "from": when(at_s), "max": row.within_s / 60 + FIRST_PULSE_MIN})
    return found


def _lasts_s(event: Mapping[str, Any]) -> int:
    word = str(event.get("for", "")).split()
    if not word:
        return SPAN_S + SETTLE_S        # what has no end goes on
    return int(word[0]) * {"s": 1, "min": 60, "h": HOUR_S}[word[1]]


def _bounds(row: Row) -> bool:
    """Whether a row is of one fault that comes at its beginning and is noticed by one alarm."""
    alone = len(row.events) == 1 and not (row.healthy or row.both or row.line or row.events[0][0])
    by_one = len(row.by) == 1 and row.by[0].startswith(ALARM) and not row.undetectable
    return alone and by_one and row.events[0][1]["kind"] in ("fault", "store_dead")


def _normal(name: str) -> float:
    """The value of a knob at which nothing is wrong."""
    return {"head_gain": 1.0, "temperature_c": 37.0, "ambient_kpa": 101.3}.get(name, 0.0)


def _like(row: Row, event: Mapping[str, Any]) -> bool:
    """Whether a row bounds this event: of the same fault, and no harder than this one."""
    if not _bounds(row) or name_of(row.events[0][1]) != name_of(event):
        return False
    known = row.events[0][1]
    value, least = event.get("value"), known.get("value")
    if name_of(event) == "kink":
        return value == (least or 0.0)      # a conductance: 0 is closed
    if value is None or least is None:
        return value == least
    normal = _normal(name_of(event))
    return bool((value - normal) * (least - normal) > 0 and abs(value - normal) >= abs(least - normal))


def _harmless(name: str, code: int, rows: Iterable[Row]) -> bool:
    """Whether a fault that is over leaves the pump as it was: every row of it goes on with the program and does not ring this alarm."""
    of_it = [row for row in rows if any(name_of(event) == name for _, event in row.events)]
    return bool(of_it) and all(row.final == "program" and "alarm %d" % code not in (*row.by, *row.also) for row in of_it)


def judged_names(table: Mapping[str, Any], rows: Iterable[Row]) -> tuple[str, ...]:
    """The rows of a verdict that count for this schedule: all but the oracle's books where a fault is declared unbooked, or is no row's."""
    rows = list(rows)
    drawn = {name_of(event) for event in table["event"] if is_fault(event)}
    declared = {name: [row for row in rows if any(name_of(event) == name for _, event in row.events)] for name in drawn}
    unbooked = any(not of_it or any(row.unbooked for row in of_it) for of_it in declared.values())
    expects = [entry["name"] for entry in table.get("expect", [])]
    return (*(name for name in BOOKS if not unbooked or name in OWN), RAN, ACCEPTED, *expects)


def bounded(table: dict[str, Any], delivered_nl: float, rows: Iterable[Row]) -> dict[str, Any]:
    """The schedule with its bound on delivery: what the therapy gives without a fault (`delivered_nl`), two pulses and a roller's pitch.

    A schedule with a fault that some row lets deliver more (`over_ul`), or that no row has, is not bounded.
    """
    drawn = {name_of(event) for event in table["event"] if is_fault(event)}
    rows = list(rows)
    known = {name_of(event) for row in rows for _, event in row.events}
    more = {name_of(event) for row in rows if row.over_ul is not None for _, event in row.events}
    if drawn - known or drawn & more:
        return table
    most_ul = round(delivered_nl / 1000 + PULSES_OVER * PULSE_UL + PITCH_UL, 3)
    bound = {"name": OVER, "quantity": "delivered_ul", "from": "0 h", "to": table["duration"], "max": most_ul}
    return {**table, "expect": [*table.get("expect", []), bound]}


def healthy(table: dict[str, Any]) -> dict[str, Any]:
    """The schedule without its faults."""
    kept = [event for event in table["event"] if not is_fault(event)]
    return {key: value for key, value in {**table, "event": kept}.items() if key not in ("expect", "line")}
