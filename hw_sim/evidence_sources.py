"""What evidence is made of: the objects that our commands print, made by a child or taken from a file, each known by its schema and judged by its rows."""
from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

LEDGER, PHYSICS, BENCH, RUN = "thecal.ledger/1", "thecal.physics/1", "thecal.bench/1", "thecal.run/1"
ROWS = {LEDGER: "rows", PHYSICS: "rows", BENCH: "bars", RUN: "expectations"}       # where the judgements of each stand
LARGEST_BYTES = 50_000_000
# Options of the commands with which what they print is of another firmware, another line, or of a part.
NARROWING = {"--firmware", "--exec", "--thecal-firmware", "--line", "--only", "--hazards", "--observer", "--lacks"}
SOURCES = "thecal.sources"       # the JUnit property in which our tests name what they are of (tests/conftest.py)
SIM = (sys.executable, "-c", "from thecal.hw_sim.cli import main; main()")


class EvidenceError(Exception):
    """A piece of evidence that cannot be had or read; one sentence."""


def parsed(text: str, where: str) -> dict[str, Any]:
    """The object of one of our commands. Raises EvidenceError: no JSON, another schema, rows that are none."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EvidenceError("%s printed no JSON: %s" % (where, error)) from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema not in ROWS:
        raise EvidenceError("%s is no evidence: its schema is %r" % (where, schema))
    rows = data.get(ROWS[schema])
    if not isinstance(rows, list) or not all(isinstance(row, dict) and any(row.get("ok", "") is said for said in (True, False, None)) for row in rows):
        raise EvidenceError("%s is damaged: each of its %s has an ok that is true, false or null" % (where, ROWS[schema]))
    for name in ("trace_hash", "runtime", "scenario", "verdict") if schema == RUN else ("bench",) if schema == BENCH else ():
        if not isinstance(data.get(name), str):
            raise EvidenceError("%s is damaged: it has no %s" % (where, name))
    return data


def key_of(data: dict[str, Any]) -> str:
    """What a piece of evidence is called: 'ledger', 'physics', 'bench speed', 'run stall micropython'."""
    schema = data["schema"]
    if schema == RUN:
        return "run %s %s" % (data["scenario"], data["runtime"])
    return "bench %s" % data["bench"] if schema == BENCH else {LEDGER: "ledger", PHYSICS: "physics"}[schema]


def judged(data: dict[str, Any]) -> tuple[bool, str]:
    """(whether all of it holds, in words). A row without a judgement (n/a) holds nothing up; an object without rows proves nothing."""
    rows = data[ROWS[data["schema"]]]
    wrong = [_name(row) for row in rows if row["ok"] is False]
    spared = sum(row["ok"] is None for row in rows)
    told = "%d of %d hold%s" % (len(rows) - len(wrong) - spared, len(rows), ", %d n/a" % spared if spared else "")
    if data["schema"] == LEDGER:
        told += "; %d fired, %d detected, %d declared undetectable" % (
            sum(row.get("fired") is True for row in rows), sum(row.get("detected") is True for row in rows),
            sum(str(row.get("declared", "")).startswith("undetectable") for row in rows))
        shares = [str(row["over_seeds"]).split(" of ") for row in rows if row.get("over_seeds")]
        told += "; %d of %d were ok with every seed when last played with several" % (sum(ok == count for ok, count in shares), len(shares)) if shares else ""
    if data["schema"] == RUN:
        told = "%s, seed %s, trace %s; %s" % (data["verdict"], data.get("seed"), data["trace_hash"], told)
    told += "; NOT: " + ", ".join(wrong) if wrong else ""
    apart = data.get("differences") or []       # of the ledger, from the committed one: a hazard that is caught later than before still holds
    told += "; NOT AS COMMITTED: " + ", ".join(map(str, apart)) if apart else ""
    return bool(rows) and not wrong and not apart and data.get("verdict", "pass") == "pass", told


def _name(row: dict[str, Any]) -> str:
    return str(row.get("name") or row.get("id") or row.get("hazard") or "?")


def child(words: Sequence[str], out: Path | None = None) -> dict[str, Any]:
    """What `thecal-sim WORDS` prints, made in a process of its own; its page goes to `out`. Raises EvidenceError with its last sentence when it prints none."""
    done = subprocess.run([*SIM, *words, *(("--out", str(out)) if out else ())], capture_output=True, text=True, check=False)
    where = "thecal-sim " + " ".join(words)
    if not done.stdout.strip():
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise EvidenceError("%s: status %d, %s" % (where, done.returncode, said[-1].strip() if said else "and nothing was said"))
    return parsed(done.stdout, where)


def narrowed(data: dict[str, Any]) -> list[str]:
    """The options of NARROWING with which a piece was made, by its own line that repeats it."""
    words = str(data.get("repeat") or "").split()
    return sorted({word.partition("=")[0] for word in words} & NARROWING)


def existing(folders: Iterable[Path]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """The newest file of each piece of evidence in these folders and below, by `key_of`; a whole one before a narrowed one.

    A file of another kind is passed over.
    """
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path in sorted({path for folder in folders for path in folder.rglob("*.json")}, key=lambda path: path.stat().st_mtime):
        if path.stat().st_size > LARGEST_BYTES:
            continue
        try:
            data = parsed(path.read_text(encoding="utf-8"), str(path))
        except (EvidenceError, OSError, UnicodeDecodeError):
            continue        # not ours: whoever misses it is told by its row
        before = found.get(key_of(data))
        if before is None or narrowed(before[1]) or not narrowed(data):
            found[key_of(data)] = (path, data)
    return found


# ------------------------------------------------------------------------------------------------ tests

def junit(path: Path) -> dict[str, Any]:
    """The counts of a JUnit file, what failed, what was skipped and why, and the digest of the sources that it names (or None). Raises EvidenceError for one that is none."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise EvidenceError("%s is no JUnit file: %s" % (path, getattr(error, "strerror", None) or error)) from error
    suites = [root] if root.tag == "testsuite" else root.findall("testsuite")
    if not suites:
        raise EvidenceError("%s is no JUnit file: it has no testsuite" % path)
    cases = [case for suite in suites for case in suite.iter("testcase")]
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [{"name": _case(case), "why": str(reason.get("message") or "no reason is given")} for case in cases
               if (reason := case.find("skipped")) is not None]
    named = [each.get("value") for suite in suites for each in suite.iter("property") if each.get("name") == SOURCES]
    return {"tests": len(cases), "passed": len(cases) - len(bad) - len(skipped), "failed": [_case(case) for case in bad], "skipped": skipped,
            "time_s": round(sum(float(suite.get("time") or 0) for suite in suites), 1), "sources": named[0] if named else None}


def _case(case: ElementTree.Element) -> str:
    return "%s::%s" % (case.get("classname", ""), case.get("name", ""))


def run_tests(tests: Sequence[str], out: Path, say: Callable[[str], None]) -> None:
    """pytest over `tests`; its JUnit file goes to `out`. Raises EvidenceError when it writes none (its status is judged by what it writes)."""
    words = [sys.executable, "-m", "pytest", "-q", "--junitxml=%s" % out, *tests]
    say("pytest %s" % " ".join(tests))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if not out.is_file():
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        said = [line for line in said if "error" in line.lower()] or said
        raise EvidenceError("pytest %s: status %d, %s" % (" ".join(tests), done.returncode, said[-1].strip() if said else "and nothing was said"))
