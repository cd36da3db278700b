"""The requirements of requirements.toml, and the matrix that holds them against the tests that carry their marker.

The file lists what this pump shall do, one testable sentence each, with the hazard it meets, the published ids it covers
(clinical.md 6) and the files that do it; a second table lists what of the published does not apply to an implant, and why. The tests
say `@pytest.mark.req("TH-CAP-03")`, a run of the whole suite leaves its outcomes in build/requirements.json (tests/traceability.py), and
`matrix` puts both together. Whoever reads a bad file gets one sentence (RequirementsError).
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import toml_table

DATA = Path(__file__).parent / "requirements.toml"
ROOMS = Path(__file__).parent.parent            # in the repository and where it is installed alike: rooms stand side by side
SCHEMA, RESULTS_SCHEMA, MATRIX_SCHEMA = "thecal.requirements/1", "thecal.test-outcomes/1", "thecal.requirements-matrix/1"
OUTCOMES = ("passed", "failed", "skipped")
PASSED, FAILED, SKIPPED, NO_TEST, NOT_RUN = "passed", "FAILED", "SKIPPED", "NO TEST", "NOT RUN"
_OWN_ID = re.compile(r"TH-[A-Z]+-\d\d")
_RANGE = re.compile(r"(?P<head>.*?)(?P<open>\(?)(?P<first>\d+)(?P<close>\)?)-\(?(?P<last>\d+)\)?")
_KEYS: Mapping[str, type] = {"documents": dict, "hazards": dict, "requirement": list, "not_applicable": list}
_REQUIREMENT_KEYS: Mapping[str, type] = {"id": str, "text": str, "hazard": str, "published": list, "code": list}
_NOT_APPLICABLE_KEYS: Mapping[str, type] = {"published": list, "reason": str}


class RequirementsError(ValueError):
    """The list or the outcomes cannot be used; the message names file, entry and value."""


@dataclass(frozen=True)
class Requirement:
    """One sentence that a test can prove. `hazard` is a key of the list's hazards, `published` may hold ranges, `code` are paths beside the
    rooms, `note` says how it differs from the published."""

    id: str
    text: str
    hazard: str
    published: tuple[str, ...]
    code: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class NotApplicable:
    """Published ids that mean nothing for this pump, and why."""

    published: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Requirements:
    """The whole list. `documents` tells the first word of a published id whose it is."""

    documents: dict[str, str]
    hazards: dict[str, str]
    rows: tuple[Requirement, ...]
    not_applicable: tuple[NotApplicable, ...]

    @property
    def ids(self) -> set[str]:
        """All own ids."""
        return {row.id for row in self.rows}

    def published(self) -> dict[str, tuple[list[str], str]]:
        """Each published id that the list names: the own ids that cover it, or the reason why it does not apply."""
        found: dict[str, tuple[list[str], str]] = {}
        for row in self.rows:
            for name in expanded(row.published):
                found.setdefault(name, ([], ""))[0].append(row.id)
        for entry in self.not_applicable:
            for name in expanded(entry.published):
                found[name] = ([], entry.reason)
        return found


def expanded(names: Iterable[str]) -> list[str]:
    """Ids one by one: "REQ 29-31" are REQ 29, REQ 30, REQ 31; "R7.4.0(1)-(3)" likewise. What is no range stays."""
    found = []
    for name in names:
        match = _RANGE.fullmatch(name)
        if match is None:
            found.append(name)
            continue
        first, last = int(match["first"]), int(match["last"])
        if first >= last:
            raise RequirementsError("the range %r of published ids does not rise" % name)
        found += ["%s%s%d%s" % (match["head"], match["open"], number, match["close"]) for number in range(first, last + 1)]
    return found


def load(path: Path = DATA) -> Requirements:
    """Read and check the whole list. Raises RequirementsError: unknown or missing keys, ids that are no ids or stand twice, a hazard or a
    document that is not declared, a published id that is covered and said not to apply. Whether the code is there says `check_code`."""
    data = toml_table.read(path, RequirementsError)
    try:
        return _checked(data)
    except RequirementsError as error:
        raise RequirementsError("%s: %s" % (path.name, error)) from error


def _checked(data: dict[str, Any]) -> Requirements:
    if data.pop("schema", None) != SCHEMA:
        raise RequirementsError("schema is not %r" % SCHEMA)
    _keys("the file", data, _KEYS)
    rows = []
    for number, entry in enumerate(data["requirement"], 1):
        rows.append(_requirement("requirement %d" % number, entry, data))
    not_applicable = []
    for number, entry in enumerate(data["not_applicable"], 1):
        where = "not_applicable %d" % number
        _keys(where, entry, _NOT_APPLICABLE_KEYS)
        _sentence(where, "reason", entry["reason"])
        not_applicable.append(NotApplicable(_published(where, entry["published"], data["documents"]), entry["reason"]))
    ids = [row.id for row in rows]
    for name in ids:
        if ids.count(name) > 1:
            raise RequirementsError("id %s stands twice" % name)
    covered = {name: row.id for row in rows for name in expanded(row.published)}
    said = [name for entry in not_applicable for name in expanded(entry.published)]
    for name in said:
        if name in covered:
            raise RequirementsError("published id %r is covered by %s and said not to apply" % (name, covered[name]))
        if said.count(name) > 1:
            raise RequirementsError("published id %r is said not to apply twice" % name)
    return Requirements(data["documents"], data["hazards"], tuple(rows), tuple(not_applicable))


def _requirement(where: str, entry: dict[str, Any], data: dict[str, Any]) -> Requirement:
    where += " (%s)" % entry["id"] if isinstance(entry.get("id"), str) else ""
    _keys(where, entry, _REQUIREMENT_KEYS, {"note": str})
    if not _OWN_ID.fullmatch(entry["id"]):
        raise RequirementsError("%s: an id is TH-AREA-nn, not %r" % (where, entry["id"]))
    _sentence(where, "text", entry["text"])
    if entry["hazard"] not in data["hazards"]:
        raise RequirementsError("%s: hazard %r is none of %s" % (where, entry["hazard"], ", ".join(data["hazards"])))
    if not entry["code"]:
        raise RequirementsError("%s: no file of code is named" % where)
    if not all(isinstance(name, str) for name in entry["code"]):
        raise RequirementsError("%s: code is no list of paths" % where)
    return Requirement(entry["id"], entry["text"], entry["hazard"], _published(where, entry["published"], data["documents"]), tuple(entry["code"]),
                       entry.get("note", ""))


def _keys(where: str, entry: Any, needed: Mapping[str, type], more: Mapping[str, type] | None = None) -> None:
    allowed = {**needed, **(more or {})}
    if not isinstance(entry, dict):
        raise RequirementsError("%s is no table" % where)
    for key in needed:
        if key not in entry:
            raise RequirementsError("%s has no %r" % (where, key))
    for key, value in entry.items():
        if key not in allowed:
            raise RequirementsError("%s: key %r is none of %s" % (where, key, ", ".join(allowed)))
        if not isinstance(value, allowed[key]):
            raise RequirementsError("%s: %r is no %s" % (where, key, allowed[key].__name__))


def _sentence(where: str, key: str, text: str) -> None:
    if not text or not text.endswith(".") or text != " ".join(text.split()):
        raise RequirementsError("%s: %r is not one sentence that ends with a full stop: %r" % (where, key, text[:60]))


def _published(where: str, names: list[Any], documents: dict[str, str]) -> tuple[str, ...]:
    for name in names:
        word = re.match(r"[A-Za-z]*", name) if isinstance(name, str) else None
        if word is None or word.group() not in documents:
            raise RequirementsError("%s: published id %r begins with none of %s" % (where, name, ", ".join(documents)))
    found = expanded(names)
    if len(set(found)) < len(found):
        raise RequirementsError("%s: a published id stands twice" % where)
    return tuple(names)


def check_code(requirements: Requirements) -> None:
    """Raises RequirementsError for a requirement whose place in the code is not there (any more)."""
    for row in requirements.rows:
        for name in row.code:
            if not (ROOMS / name).is_file():
                raise RequirementsError("%s: code %r is no file" % (row.id, name))


# ------------------------------------------------------------------------------------------------ outcomes and matrix

def read_outcomes(path: Path) -> dict[str, Any]:
    """What a test run left: {"whole": bool, "sources": digest or None, "tests": [{"id", "requirements", "outcome"}]}. Raises RequirementsError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequirementsError("%s cannot be read: %s" % (path, error)) from error
    if not isinstance(found, dict) or found.get("schema") != RESULTS_SCHEMA:
        raise RequirementsError("%s is no file of test outcomes: its schema is not %r" % (path, RESULTS_SCHEMA))
    tests = found.get("tests")
    good = isinstance(found.get("whole"), bool) and isinstance(tests, list) and all(
        isinstance(test, dict) and isinstance(test.get("id"), str) and isinstance(test.get("requirements"), list) and test.get("outcome") in OUTCOMES
        for test in tests)
    if not good:
        raise RequirementsError("%s is damaged: each test has an id, its requirements and an outcome of %s" % (path, ", ".join(OUTCOMES)))
    return found


def matrix(requirements: Requirements, outcomes: dict[str, Any] | None) -> dict[str, Any]:
    """The whole matrix as plain data (schema thecal.requirements-matrix/1). `outcomes` None: nothing was run.

    A requirement is proved by at least one test that passed and none that failed; skipped is not passed. `ok`: all are.
    """
    tests = outcomes["tests"] if outcomes else []
    whole = bool(outcomes and outcomes["whole"])
    carried: dict[str, list[dict[str, Any]]] = {row.id: [] for row in requirements.rows}
    for test in tests:
        for name in test["requirements"]:
            if name not in carried:
                raise RequirementsError("test %s carries %r, which is no requirement" % (test["id"], name))
            carried[name].append(test)
    rows = []
    for row in requirements.rows:
        counts = {outcome: sum(test["outcome"] == outcome for test in carried[row.id]) for outcome in OUTCOMES}
        rows.append({"id": row.id, "text": row.text, "note": row.note, "hazard": requirements.hazards[row.hazard], "published": list(row.published),
                     "code": list(row.code), **counts, "state": _state(counts, whole), "tests": [test["id"] for test in carried[row.id]]})
    published = [{"id": name, "requirements": own, "not_applicable": reason} for name, (own, reason) in requirements.published().items()]
    return {"schema": MATRIX_SCHEMA, "ok": all(row["state"] == PASSED for row in rows), "whole": whole, "requirements": len(rows),
            "proved": sum(row["state"] == PASSED for row in rows), "rows": rows, "published": published,
            "not_applicable": [{"published": list(entry.published), "reason": entry.reason} for entry in requirements.not_applicable],
            "documents": requirements.documents}


def _state(counts: dict[str, int], whole: bool) -> str:
    if counts["failed"]:
        return FAILED
    if counts["passed"]:
        return PASSED
    if counts["skipped"]:
        return SKIPPED
    return NO_TEST if whole else NOT_RUN
