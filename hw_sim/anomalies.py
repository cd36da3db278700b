"""Known anomalies and gaps, from anomalies.toml: what evidence must say of itself. Whoever reads a bad file gets one sentence (AnomaliesError)."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from . import toml_table
from .requirements import Requirements

DATA = Path(__file__).parent / "anomalies.toml"
SCHEMA = "thecal.anomalies/1"
SENTENCES = ("what", "why", "effect")
KEYS = ("id", *SENTENCES, "since", "requirement")
_ID = re.compile(r"AN-\d\d")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


class AnomaliesError(ValueError):
    """The list cannot be used; the message names file, entry and value."""


def load(requirements: Requirements, path: Path = DATA) -> list[dict[str, Any]]:
    """The rows, in the order of the file: id, what, why, effect, since, requirement (ids of `requirements`, at least one).

    Raises AnomaliesError: unreadable, unknown or missing keys, an id that is none or stands twice, no sentence, a requirement that is none.
    """
    data = toml_table.read(path, AnomaliesError)
    rows = data.get("anomaly")
    if data.get("schema") != SCHEMA or set(data) != {"schema", "anomaly"} or not isinstance(rows, list):
        raise AnomaliesError("%s: it must have schema = %r and [[anomaly]] tables, and nothing else" % (path.name, SCHEMA))
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        where = "%s: anomaly %d" % (path.name, number)
        _checked(where + (" (%s)" % row["id"] if isinstance(row.get("id"), str) else ""), row, requirements.ids)
        if row["id"] in seen:
            raise AnomaliesError("%s: id %s stands twice" % (where, row["id"]))
        seen.add(row["id"])
    return rows


def _checked(where: str, row: dict[str, Any], ids: set[str]) -> None:
    for key in KEYS:
        if key not in row:
            raise AnomaliesError("%s has no %r" % (where, key))
    for key in row:
        if key not in KEYS:
            raise AnomaliesError("%s: key %r is none of %s" % (where, key, ", ".join(KEYS)))
    if not isinstance(row["id"], str) or not _ID.fullmatch(row["id"]):
        raise AnomaliesError("%s: an id is AN-nn, not %r" % (where, row["id"]))
    for key in SENTENCES:
        text = row[key]
        if not isinstance(text, str) or not text.endswith(".") or text != " ".join(text.split()):
            raise AnomaliesError("%s: %s is not a sentence on one line that ends with a full stop: %r" % (where, key, str(text)[:60]))
    if not isinstance(row["since"], str) or not _VERSION.fullmatch(row["since"]):
        raise AnomaliesError("%s: since is a version such as 0.1.0, not %r" % (where, row["since"]))
    wanted = row["requirement"]
    if not isinstance(wanted, list) or not wanted:
        raise AnomaliesError("%s: requirement is no list of ids" % where)
    for name in wanted:
        if name not in ids:
            raise AnomaliesError("%s: %r is no requirement" % (where, name))
