"""The least that still fails: delta debugging of a scenario's events, and random schedules of faults to find one that fails.

`minimised` takes a scenario that fails and removes what it can: whole halves of its events first, then ever smaller parts (ddmin), until
no single event can go without the failure going too. It must fail *the same way*: what failed first must fail still. An event at the instant
that a failing expectation counts from stays, else "no alarm within 30 min of the stall" would fail best without the stall; and a changed copy of our
firmware is held against ours, which must not fail so, else it would fail best without a program. What the
loader or the host refuses does not fail; it is no scenario. What comes out is a scenario file that `thecal-sim run` plays.

`random_schedule` draws faults on a therapy, so many in the mean, by seed alone; the oracle judges (`failing`).
"""
from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from . import toml_table
from .faults import Row, Therapy
from .ledger import ACCEPTED, BOOKS, Bench, loaded, scenario
from .player import play
from .scenario import ScenarioError, new_world, units
from .scenario_text import DAY_S, HOUR_S

Item = TypeVar("Item")
FIXED = ("implant",)        # without it there is no pump to ask
RAN = "the firmware ran to the end"
# What a random schedule is judged by: a fault of the plant may move what is delivered, nothing may move the books or bring the firmware down.
JUDGED = (*BOOKS, RAN, ACCEPTED)
SPAN_S, SETTLE_S = 3 * DAY_S, DAY_S
# kind, what else the event says, shortest and longest duration (s) where it has one
DRAWN: tuple[tuple[str, dict[str, Any], int, int], ...] = (
    ("fault", {"name": "rotor_stall"}, 5 * 60, 6 * HOUR_S), ("scan", {}, 20 * 60, 2 * HOUR_S), ("power_cut", {}, 10, 3 * HOUR_S),
    ("reed_held", {}, 60, 12 * HOUR_S), ("clock_jump", {"by": "2 h"}, 0, 0), ("clock_jump", {"by": "-40 min"}, 0, 0),
    ("fault", {"name": "level_offset_ul", "value": 800.0}, HOUR_S, 12 * HOUR_S), ("fault", {"name": "temperature_c", "value": 40.0}, HOUR_S, DAY_S),
    ("fault", {"name": "ambient_kpa", "value": 75.6}, HOUR_S, 12 * HOUR_S), ("fault", {"name": "encoder_noise", "value": 2.0}, HOUR_S, 6 * HOUR_S),
    ("fault", {"name": "head_gain", "value": 1.1}, HOUR_S, 12 * HOUR_S), ("fault", {"name": "battery_drop_mv", "value": 300.0}, HOUR_S, 12 * HOUR_S),
)


class MinimiseError(ValueError):
    """There is nothing to minimise; the message says why."""

    exit_status = 2


def ddmin(items: Sequence[Item], fails: Callable[[list[Item]], bool]) -> list[Item]:
    """The items of a failing list that are needed: no single one of them can be left out. `fails` is not asked of the whole list."""
    left, parts = list(items), 2
    while left:
        size = -(-len(left) // parts)
        chunks = [left[start:start + size] for start in range(0, len(left), size)]
        for index, chunk in enumerate(chunks):
            rest = [item for other in (*chunks[:index], *chunks[index + 1:]) for item in other]
            if fails(rest):
                left, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(2 * parts, len(left))
    return left


def failing(table: dict[str, Any], bench: Bench, folder: Path) -> list[str]:
    """Names of what a scenario fails with its own seed, in the order of the result; empty where it passes or is no scenario."""
    try:
        made = loaded(table, folder)
    except ScenarioError:
        return []
    result = play(made, new_world(made, **{**bench.options(), "seed": made.seed}))
    return [row["name"] for row in result["expectations"] if row["ok"] is False]


def minimised(table: dict[str, Any], bench: Bench, *, judged: Sequence[str] | None = None, reference: Bench | None = None,
              told: Callable[[int, int], None] | None = None) -> tuple[dict[str, Any], str]:
    """A scenario that fails with the fewest events, and the name of what it fails. `judged`: only these names count.

    `reference`: a pump that does not fail so, and must not on what is left: a changed copy is minimised against our own firmware.

    `told(runs, events left)` after each run. Raises MinimiseError for one that passes.
    """
    runs = 0
    with tempfile.TemporaryDirectory(prefix="thecal-minimise-") as given:
        folder = Path(given)

        def failures(candidate: dict[str, Any]) -> list[str]:
            nonlocal runs
            runs += 1
            found = [name for name in failing(candidate, bench, folder) if judged is None or name in judged]
            if told:
                told(runs, len(candidate["event"]))
            return found

        first = failures(table)
        spared = failing(table, reference, folder) if reference and first else []
        if not [name for name in first if name not in spared]:
            raise MinimiseError("%s passes%s: there is nothing to minimise" % (table["name"], ", or fails on our own firmware too" if first else ""))
        wanted = next(name for name in first if name not in spared)
        expects = [entry for entry in table.get("expect", []) if entry["name"] == wanted]
        instants = {units.duration_s(entry[key], key) for entry in expects for key in ("from", "at", "to") if key in entry}
        lean = {key: value for key, value in table.items() if key != "expect"} | ({"expect": expects} if expects else {})
        events = list(enumerate(table["event"]))
        fixed = [item for item in events if item[1]["kind"] in FIXED or units.duration_s(item[1]["at"], "at", negative=True) in instants]

        def with_only(kept: list[Any]) -> dict[str, Any]:
            return {**lean, "event": [event for _, event in sorted([*fixed, *kept], key=lambda item: item[0])]}

        def fails(some: list[Any]) -> bool:
            candidate = with_only(some)
            return wanted in failures(candidate) and not (reference and wanted in failing(candidate, reference, folder))

        return with_only(ddmin([item for item in events if item not in fixed], fails)), wanted


def random_schedule(therapy: Therapy, seed: int, faults: int) -> dict[str, Any]:
    """A scenario of `faults` faults in the mean (at least one) on `therapy`, drawn over three days behind its first."""
    draw = random.Random("schedule %d of %s" % (seed, therapy.id))
    count = max(1, min(2 * faults, round(draw.expovariate(1 / faults))))
    events: list[tuple[int, Any]] = [(0, {"kind": "implant"}), *therapy.events]
    until_s: dict[str, int] = {}        # one fault of a kind at a time: the end of the first would heal the second
    for at_s in sorted(therapy.fault_at_s + draw.randrange(SPAN_S // 60) * 60 for _ in range(count)):
        kind, values, shortest_s, longest_s = DRAWN[draw.randrange(len(DRAWN))]
        lasts_s = draw.randint(shortest_s, longest_s)
        name = values.get("name", kind)
        if at_s >= until_s.get(name, 0):
            events.append((at_s, {"kind": kind, **values, **({"for": "%d s" % lasts_s} if longest_s else {})}))
            until_s[name] = at_s + lasts_s
    return scenario("random-%d" % seed, "%d faults drawn on %s" % (count, therapy.text), "drawn by thecal-sim faults --random, seed %d" % seed,
                    therapy, sorted(events, key=lambda event: event[0]), therapy.fault_at_s + SPAN_S + SETTLE_S, seed)


def read_table(path: Path) -> dict[str, Any]:
    """The tables of a scenario file, unread. Raises ScenarioError."""
    return toml_table.read(path, ScenarioError)


def therapies(rows: Sequence[Row]) -> list[Therapy]:
    """Each therapy of the rows, once."""
    return list({row.therapy.id: row.therapy for row in rows}.values())
