"""The ledger over several seeds: what chance does to a row, so that one seed hides none of it.

Noise of the sensors, the walk of the level and what a fault draws follow from the seed. Each row is played with each seed beside a twin of
the same seed; here the lines of one row are put together: how many seeds noticed it, how many were ok, the median and the worst delay, the
worst dose error. A bound on the delay of a test of a noisy sensor is one of its median (TH-SUP-06): a row is ok when at least half of its seeds
are and none fails by anything but chance. What a seed missed is listed either way. What came of each row when it was last played so is committed
beside the expectation (ledger_seeds.json), and stands in the ledger of one seed as a share.
"""
from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .faults import Row
from .ledger import Bench, run_rows
from .ledger_expect import ExpectError

# The beginnings and ends of those reasons that chance alone can give: late or not at all, too much until then, not yet in the state that follows.
CHANCE = ("nothing noticed it", "noticed after ", "in the end ")
TOO_MUCH = " are allowed"
DATA = Path(__file__).with_name("ledger_seeds.json")
SCHEMA = "thecal.ledger-seeds/1"
KEPT = ("count", "ok", "noticed", "median_s", "worst_s")


def over_seeds(rows: Sequence[Row], bench: Bench, count: int, *, jobs: int | None = None, told: Callable[[int, int, str], None] | None = None,
               keep_dir: Path | None = None) -> list[dict[str, Any]]:
    """`run_rows` with `count` (at least 1) seeds from the bench's on, one line for each row with `seeds` in it (see `together`).

    Scenario files stay in a folder of `keep_dir` for each seed. Raises as run_rows.
    """
    runs = []
    for number in range(count):
        seeded = replace(bench, seed=bench.seed + number)

        def progress(done: int, total: int, name: str, before: int = number) -> None:
            if told:
                told(before * total + done, count * total, "seed %d: %s" % (bench.seed + before, name))

        runs.append(run_rows(rows, seeded, jobs=jobs, told=progress, keep_dir=keep_dir / ("seed-%d" % seeded.seed) if keep_dir else None))
    return [together(lines, bench.seed) for lines in zip(*runs)]


def together(lines: Sequence[Mapping[str, Any]], first: int) -> dict[str, Any]:
    """One line of the lines of one row, whose seeds count from `first`: the first seed's, judged anew, with `seeds`.

    `seeds`: count, ok and noticed (how many), median_s and worst_s of the delay (None where no seed noticed it), worst_error_nl until it was
    noticed, worst_over_nl, and missed: the seeds that were not ok and why.
    """
    if lines[0]["ok"] is None:
        return dict(lines[0])
    delays = [line["detect_s"] for line in lines if line["detected"]]
    missed = [{"seed": first + number, "why": line["why"]} for number, line in enumerate(lines) if not line["ok"]]
    broken = ["seed %d: %s" % (entry["seed"], text) for entry in missed for text in entry["why"] if not by_chance(text)]
    if not broken and 2 * len(missed) > len(lines):
        broken = ["seed %d: %s" % (entry["seed"], text) for entry in missed for text in entry["why"]]
    return {**lines[0], "ok": not broken, "why": broken, "fired": all(line["fired"] for line in lines), "seeds": {
        "count": len(lines), "ok": len(lines) - len(missed), "noticed": len(delays),
        "median_s": statistics.median(delays) if delays else None, "worst_s": max(delays, default=None),
        "worst_error_nl": max((line["dose_error_nl"] for line in lines), key=abs), "worst_over_nl": max(line["over_nl"] for line in lines),
        "missed": missed}}


def by_chance(why: str) -> bool:
    """Whether this reason of a line's failure may be chance."""
    return why.startswith(CHANCE) or why.endswith(TOO_MUCH)


def write(rows: Sequence[Mapping[str, Any]], path: Path = DATA) -> None:
    """Keep what these rows came to over their seeds; of others, what was kept stays. Raises ExpectError, and OSError where it cannot be written."""
    kept = read(path) if path.is_file() else {}
    kept.update({row["id"]: {key: row["seeds"][key] for key in KEPT} for row in rows if "seeds" in row})
    lines = ",\n".join("  %s: %s" % (json.dumps(name), json.dumps(entry)) for name, entry in kept.items())
    path.write_text('{"schema": "%s", "rows": {\n%s\n}}\n' % (SCHEMA, lines), encoding="utf-8")


def read(path: Path = DATA) -> dict[str, dict[str, Any]]:
    """What was kept, by row id. Raises ExpectError."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExpectError("%s cannot be read: %s" % (path, error.strerror)) from error
    except ValueError as error:
        raise ExpectError("%s is not JSON: %s" % (path, error)) from error
    rows = table.get("rows") if isinstance(table, dict) else None
    if not isinstance(rows, dict) or table.get("schema") != SCHEMA or not all(
            isinstance(row, dict) and set(row) == set(KEPT) for row in rows.values()):
        raise ExpectError("%s must be of schema %s with rows of %s" % (path, SCHEMA, ", ".join(KEPT)))
    return rows


def share(row: Mapping[str, Any]) -> str:
    """'7 of 8' of a row that `read` gave."""
    return "%d of %d" % (row["ok"], row["count"])
