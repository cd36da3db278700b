"""Is this saved report the one that was signed? Against its own digest, the pump's record of visits, and the program that the pump runs.

A visit's digest has no key: whoever changes a report can reckon it anew. That somebody signed it is on the pump's record alone, so without a
pump this finds damage and slips, and says no more.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..protocol import catalogue
from . import followup, report, units
from .errors import RequestInvalid
from .programmer import Programmer, Progress
from .records import Event

SCHEMA = "thecal.verify/1"
MARK = (1 << 30) - 1    # of each half of a visit's digest the log keeps so many bits (PROTOCOL.md, Visits)
_DIGEST = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Check:
    """One question to the report: `ok` None where it could not be answered, which is no yes."""

    name: str
    ok: bool | None
    told: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Signed:
    """What a report says of itself. `digest` is None for one that `thecal report` wrote: it names its program and has no signature."""

    data: dict[str, Any]
    serial: int
    time: str
    time_s: int
    program: str
    digest: str | None


def read(path: Path) -> Signed:
    """The report in a file. Raises RequestInvalid: it cannot be read, is no JSON object of `thecal visit` or `thecal report`, or lacks a part."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:
        raise RequestInvalid("%s cannot be read as a report: %s" % (path, getattr(error, "strerror", None) or error)) from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema not in (followup.SCHEMA, report.SCHEMA):
        raise RequestInvalid("%s is no report: its schema is %r, not %r (thecal visit --json) or %r (thecal report --json)" % (
            path, schema, followup.SCHEMA, report.SCHEMA))
    visit = schema == followup.SCHEMA
    look = _part(path, data, "after", dict) if visit else data
    status, identity = _part(path, look, "status", dict), _part(path, look, "identity", dict)
    return Signed(
        data, _part(path, identity, "serial", int), _part(path, status, "time", str), _part(path, status, "time_s", int),
        _digest(path, data, "program_digest") if visit else _digest(path, status, "running_digest"), _digest(path, data, "digest") if visit else None)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key that stands twice is read one way here and another way elsewhere."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, _ in pairs if [key for key, _ in pairs].count(name) > 1)
        raise ValueError("the key %r stands twice" % twice)
    return found


def _part(path: Path, data: dict[str, Any], name: str, kind: type) -> Any:
    value = data.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise RequestInvalid("%s is no whole report: %r is %s" % (path, name, "missing" if name not in data else "no %s" % kind.__name__))
    return value


def _digest(path: Path, data: dict[str, Any], name: str) -> str:
    value = _part(path, data, name, str)
    if not _DIGEST.fullmatch(value):
        raise RequestInvalid("%s: %s is %r, which is not a digest of 16 hexadecimal digits" % (path, name, value[:40]))
    return str(value)


def contents(signed: Signed) -> list[Check]:
    """What the file says of itself. Raises RequestInvalid for a report without a signature: it can only be held against its pump."""
    if signed.digest is None:
        raise RequestInvalid("the report carries no signature of its own (`thecal visit` signs): give --port URL to hold its program against the pump's")
    found = followup.digest_of(signed.data).hex()
    runs = signed.data["after"]["status"].get("running_digest")
    return [
        Check("contents", found == signed.digest, "as signed, digest %s" % found if found == signed.digest
              else "CHANGED: they give the digest %s, the report was signed as %s" % (found, signed.digest)),
        Check("program named", runs == signed.program, "signed for program %s" % signed.program if runs == signed.program
              else "CHANGED: signed for program %s, the report is about %s" % (signed.program, runs))]


def against(signed: Signed, pump: Programmer, progress: Progress | None = None) -> list[Check]:
    """The same report against the pump: whose it is, whether its digest is on record, what runs now. Raises what reading a pump raises."""
    serial = pump.identity().serial
    if serial != signed.serial:
        return [Check("pump", False, "ANOTHER PUMP: the report is of pump %d, this is pump %d" % (signed.serial, serial))]
    events, status = pump.log(progress=progress), pump.status()
    checks = [Check("pump", True, "serial %d" % serial)]
    if signed.digest is not None:
        checks.append(_on_record(signed, signed.digest, events))
    same = status.running_digest == signed.program
    programs = [event for event in events if event.code == catalogue.E_PROGRAM]
    since = "since %s" % units.pump_time_text(programs[-1].time_s) if programs else "for longer than its log"
    told = "runs %s, %s" % (status.running_digest, since)
    return [*checks, Check("running program", same, told if same else "CHANGED: the pump %s; the report is for %s" % (told, signed.program))]


def marks(digest: str) -> tuple[int, int]:
    """The two arguments that a signed visit leaves in the pump's log."""
    data = bytes.fromhex(digest)
    return int.from_bytes(data[:4], "little") & MARK, int.from_bytes(data[4:], "little") & MARK


def _on_record(signed: Signed, digest: str, events: list[Event]) -> Check:
    visits = [event for event in events if event.code == catalogue.E_VISIT]
    for event in visits:
        if (event.a, event.b) == marks(digest):
            return Check("on record", True, "visit signed at %s, event %d of the pump's log" % (units.pump_time_text(event.time_s), event.seq))
    if events and events[0].seq > 0 and events[0].time_s > signed.time_s:
        return Check("on record", None, "NOT KNOWN: the pump's log begins at %s, after this visit" % units.pump_time_text(events[0].time_s))
    return Check("on record", False, "NOT THERE: none of the %d visits in the pump's log was signed with %s" % (len(visits), digest))


def to_dict(signed: Signed, checks: list[Check], asked: bool) -> dict[str, Any]:
    """The object of `thecal verify --json`; `asked`: a pump was. `ok` is false as well where a question had no answer."""
    return {"schema": SCHEMA, "ok": all(check.ok for check in checks), "report": signed.data["schema"], "pump_asked": asked, "serial": signed.serial,
            "time": signed.time, "digest": signed.digest, "program_digest": signed.program, "checks": [check.to_dict() for check in checks]}
