"""The least that still fails: delta debugging of a scenario's events, and random schedules of faults to find one that fails.

`minimised` takes a scenario that fails and removes what it can: whole halves of its events first, then ever smaller parts, until
no single event can go without the failure going too (ddmin), then smaller sets by size, as far as a stated number of runs goes. It must fail *the same way*: what failed first must fail still. An event at the instant
that a failing expectation counts from stays, else "no alarm within 30 min of the stall" would fail best without the stall; and a changed copy of our
firmware is held against ours, which must not fail so, else it would fail best without a program. What the
loader or the host refuses does not fail; it is no scenario. What comes out is a scenario file that `thecal-sim run` plays.
"""
from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from . import toml_table
from .faults import Row, Therapy
from .ledger import Bench, loaded
from .observer import Witness, from_outside
from .player import play
from .scenario import ScenarioError, new_world, units

Item = TypeVar("Item")
FIXED = ("implant",)        # without it there is no pump to ask
FEWEST = "the fewest: every smaller set of its events was tried"
ONE_LESS = "none of them can go alone; whether fewer others fail was not found in %d runs"
MOST_RUNS = 60              # of the search for a smaller set than the one from which nothing can go alone


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


def fewest(items: Sequence[Item], found: list[Item], fails: Callable[[list[Item]], bool], most_runs: int = MOST_RUNS) -> tuple[list[Item], bool]:
    """The smallest failing sublist of `items`, tried by size below that of `found`, and whether `most_runs` were enough to be sure of it."""
    runs = 0
    for size in range(len(found)):
        for some in itertools.combinations(items, size):
            if runs == most_runs:
                return found, False
            runs += 1
            if fails(list(some)):
                return list(some), True
    return found, True


def failing(table: dict[str, Any], bench: Bench, folder: Path) -> list[str]:
    """Names of what a scenario fails with its own seed, in the order of the result; empty where it passes or is no scenario."""
    try:
        made = loaded(table, folder)
    except ScenarioError:
        return []
    result = play(made, new_world(made, recorder=Witness(from_outside, made.sample_s), **{**bench.options(), "seed": made.seed}))
    return [row["name"] for row in result["expectations"] if row["ok"] is False]


def minimised(table: dict[str, Any], bench: Bench, *, judged: Sequence[str] | None = None, reference: Bench | None = None,
              told: Callable[[int, int], None] | None = None, most_runs: int = MOST_RUNS) -> tuple[dict[str, Any], str, str]:
    """A scenario that fails with the fewest events, the name of what it fails, and in words how sure that is. `judged`: only these names count.

    From a set of events of which none can go alone smaller ones are looked for, smallest first, in at most `most_runs` runs.

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

        free = [item for item in events if item not in fixed]
        left = ddmin(free, fails)
        least, sure = fewest(free, left, fails, most_runs)
        return with_only(least), wanted, FEWEST if sure else ONE_LESS % most_runs


def read_table(path: Path) -> dict[str, Any]:
    """The tables of a scenario file, unread. Raises ScenarioError."""
    return toml_table.read(path, ScenarioError)


def therapies(rows: Sequence[Row]) -> list[Therapy]:
    """Each therapy of the rows, once."""
    return list({row.therapy.id: row.therapy for row in rows}.values())


def delivered_nl(table: dict[str, Any], bench: Bench, folder: Path) -> float:
    """What a scenario gives through the tip in all. Raises ScenarioError."""
    made = loaded(table, folder)
    delivered: float = play(made, new_world(made, **{**bench.options(), "seed": made.seed}))["delivered_nl"]
    return delivered
