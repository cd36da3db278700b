"""The committed expectation of the ledger: what noticed each row, its final state and how long it took, so that a regression is seen.

Delays may shift with a change of the plant's noise or of a pulse's phase: they are held within a tolerance. Doses are held within two of the
longest pulses, since the row and its twin may each be a pulse further on at the instant that is looked at, or within a tenth, which is less than
what a delay at its own tolerance would make of an over-infusing head. What noticed, what rang and what came of it are held exactly. `write` makes the file anew from a run, and the difference is for a person to read before it is committed.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("ledger_expected.json")
SCHEMA = "thecal.ledger-expected/1"
DELAY_REL, DELAY_S = 0.25, 1800         # a change of phase or of noise, not of the mechanism
DOSE_NL, DOSE_REL = 2000, 0.10
DOSES = ("dose_error_nl", "over_nl", "final_error_nl")
KEPT = ("fired", "detected", "by", "detect_s", *DOSES, "raised", "final_state", "ok")


class ExpectError(ValueError):
    """The expectation cannot be used; the message names file and entry."""

    exit_status = 2


def write(rows: Iterable[Mapping[str, Any]], path: Path = DATA) -> None:
    """Keep what these rows came to. Raises OSError where the file cannot be written."""
    found = {row["id"]: {key: row[key] for key in KEPT} for row in rows if row["ok"] is not None}
    lines = ",\n".join("  %s: %s" % (json.dumps(name), json.dumps(entry)) for name, entry in found.items())
    path.write_text('{"schema": "%s", "rows": {\n%s\n}}\n' % (SCHEMA, lines), encoding="utf-8")


def read(path: Path = DATA) -> dict[str, dict[str, Any]]:
    """By row id. Raises ExpectError."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExpectError("%s cannot be read: %s" % (path, error.strerror)) from error
    except ValueError as error:
        raise ExpectError("%s is not JSON: %s" % (path, error)) from error
    rows = table.get("rows") if isinstance(table, dict) else None
    if not isinstance(rows, dict) or table.get("schema") != SCHEMA:
        raise ExpectError("%s: schema is %r, it must be %r with rows" % (path, table.get("schema") if isinstance(table, dict) else None, SCHEMA))
    for name, entry in rows.items():
        if not isinstance(entry, dict) or set(entry) != set(KEPT):
            raise ExpectError("%s: row %s must hold %s" % (path, name, ", ".join(KEPT)))
    return rows


def differences(rows: Iterable[Mapping[str, Any]], expected: Mapping[str, Mapping[str, Any]], *, whole: bool) -> list[str]:
    """One sentence for each way in which the rows differ from what is expected. `whole`: rows that are missing are a difference too."""
    found, seen = [], set()
    for row in rows:
        seen.add(row["id"])
        if row["ok"] is None:
            continue
        known = expected.get(row["id"])
        if known is None:
            found.append("%s is new: nothing is expected of it" % row["id"])
            continue
        found += ["%s: %s is %s, expected %s" % (row["id"], key, row[key], known[key])
                  for key in KEPT if key not in ("detect_s", *DOSES) and row[key] != known[key]]
        for key in DOSES:
            room_nl = max(DOSE_NL, DOSE_REL * abs(known[key]))
            if not abs(row[key] - known[key]) <= room_nl:
                found.append("%s: %s is %.0f, expected %.0f within %.0f" % (row["id"], key, row[key], known[key], room_nl))
        if row["detect_s"] is not None and known["detect_s"] is not None:
            room_s = max(DELAY_S, DELAY_REL * known["detect_s"])
            if abs(row["detect_s"] - known["detect_s"]) > room_s:
                found.append("%s: noticed after %.0f s, expected %.0f within %.0f" % (row["id"], row["detect_s"], known["detect_s"], room_s))
    return found + (["%s is expected and did not run" % name for name in expected if name not in seen] if whole else [])
