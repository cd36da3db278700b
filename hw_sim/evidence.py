"""The evidence folder: what is claimed of this pump, with what proves it, in one folder that says of itself what is missing.

Every piece that was asked for is a part, and a part is a row: there or not, holding or not, made by which command or taken from which file. What
could not be had stays a row with its reason. Nothing is judged here that was not judged by the command that made it.
"""
from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import anomalies, evidence_sources, field_actions, requirements, versions
from .anomalies import AnomaliesError
from .evidence_sources import EvidenceError
from .field_actions import FieldActionsError
from .requirements import RequirementsError
from .scenario_file import FOLDER
from .world import RUNTIMES

SCHEMA = "thecal.evidence/1"
SUMS, INDEX, MANIFEST = "SHA256SUMS", "index.html", "evidence.json"
BENCHES = ("detection", "latency", "calibration", "trumpet")     # in virtual time: beside all else, the longest first
TIMED = ("speed", "link")                               # these go by the wall clock: alone, and last
BENCH_PREFIX = "bench-"                                 # scenarios of the benches: what they show is in the benches' bars
OUTCOMES, JUNIT = Path("build") / "requirements.json", Path("build") / "junit.xml"       # where a whole run of our tests leaves them
PAGED = ("faults", "bench")                             # commands that write a page with --out
SCENARIOS, LEDGER_ROWS = "scenarios", "ledger-rows"     # where the ledger leaves a scenario a row, and where they go here
Say = Callable[[str], None]
Wanted = tuple[str, tuple[str, ...]]                    # a part's name and the words of the command that makes it


@dataclass(frozen=True)
class Plan:
    """What goes in. `quick`: nothing is run, what earlier runs left under `taken` is used. `commands`: those this thecal-sim has.

    `tests` are run; without them `junit` is taken, which a run of our tests leaves at JUNIT.
    """

    out: Path
    commands: frozenset[str]
    quick: bool = False
    taken: tuple[Path, ...] = ()
    jobs: int = 1
    scenarios: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = RUNTIMES
    junit: Path | None = None
    tests: tuple[str, ...] = ()
    outcomes: Path = OUTCOMES


@dataclass
class Part:
    """A row. `ok` None: nothing in it can hold or fail. `origin`: the command that made it, or the file and its date."""

    name: str
    there: bool
    ok: bool | None
    told: str
    origin: str = ""
    files: list[str] = field(default_factory=list)
    data: Any = None

    @property
    def state(self) -> str:
        """'ok', 'NOT OK', 'NOT THERE' or 'said'."""
        if not self.there:
            return "NOT THERE"
        return {True: "ok", False: "NOT OK", None: "said"}[self.ok]

    def row(self) -> dict[str, Any]:
        """As it stands in evidence.json."""
        return {"name": self.name, "state": self.state, "there": self.there, "ok": self.ok, "told": self.told, "origin": self.origin, "files": self.files}


def shipped() -> tuple[str, ...]:
    """The scenarios that come with thecal, those of the benches left out."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml") if not path.stem.startswith(BENCH_PREFIX)))


def gather(plan: Plan, say: Say) -> list[Part]:
    """Make or take every part and write its files into `plan.out`, which is there and empty. Raises OSError where that cannot be written."""
    made = versions.versions()
    parts = [_versions(plan, made)]
    source = made["sources"]
    committed_s = source["committed_s"]
    parts.append(_tests(plan, say, source))
    parts.append(_requirements(plan, source))
    found = evidence_sources.existing(plan.taken) if plan.quick else {}
    first, last = _wanted(plan)
    done: dict[str, Part] = {}
    with ThreadPoolExecutor(plan.jobs) as pool:
        under_way = {pool.submit(_piece, plan, name, words, found, committed_s): name for name, words in first}
        for number, future in enumerate(as_completed(under_way), 1):
            part = done[under_way[future]] = future.result()
            say("%d of %d: %s: %s" % (number, len(first) + len(last), part.name, part.state))
    for number, (name, words) in enumerate(last, len(first) + 1):
        part = done[name] = _piece(plan, name, words, found, committed_s)
        say("%d of %d: %s: %s" % (number, len(first) + len(last), part.name, part.state))
    parts += [done[name] for name, _ in (*last, *first)]
    return [*parts, *_traces(parts, plan), *_field_actions(parts, plan), _anomalies(plan)]


def _wanted(plan: Plan) -> tuple[list[Wanted], list[Wanted]]:
    """(name, words of the command): first those that may run side by side; then the ledger, which takes all jobs itself, and what is timed."""
    pieces: list[Wanted] = [("bench %s" % name, ("bench", name, "--json")) for name in BENCHES]
    pieces += [("physics", ("physics", "--json"))]
    pieces += [("run %s %s" % (Path(scenario).name.removesuffix(".toml"), runtime), ("run", scenario, "--runtime", runtime, "--json", "--quiet"))
               for scenario in plan.scenarios for runtime in plan.runtimes]
    alone: list[Wanted] = [("ledger", ("faults", "--jobs", str(plan.jobs), "--json"))]
    return pieces, alone + [("bench %s" % name, ("bench", name, "--json")) for name in TIMED]


def _piece(plan: Plan, name: str, words: tuple[str, ...], found: dict[str, tuple[Path, dict[str, Any]]], committed_s: int | None) -> Part:
    """One object of a command, with the page that goes with it: taken, made, or a row that says why not."""
    command = " ".join(words[:2] if words[0] == "bench" else words[:1])
    try:
        if plan.quick:
            if name not in found:
                raise EvidenceError("--quick, and there is none in %s" % (", ".join(map(str, plan.taken)) or "no folder"))
            path, data = found[name]
            ok, told = evidence_sources.judged(data)
            ok, told, origin = _dated(path, ok, told, committed_s)
            narrowed = evidence_sources.narrowed(data)
            ok, told = ok and not narrowed, ("ONLY WITH %s: " % ", ".join(narrowed) if narrowed else "") + told
            pages = _pages(plan, name, path.parent)
        elif command not in plan.commands:
            raise EvidenceError("this thecal-sim has no command %r" % command)
        else:
            with tempfile.TemporaryDirectory(prefix="thecal-evidence-") as beside:
                data = evidence_sources.child(words, Path(beside) if words[0] in PAGED else None)
                pages = _pages(plan, name, Path(beside))
            ok, told = evidence_sources.judged(data)
            origin = "thecal-sim " + " ".join(words)
    except EvidenceError as error:
        return Part(name, False, False, str(error))
    file = "%s.json" % name.replace(" ", "-")
    if name.startswith("run "):
        file = "runs/%s.json" % ".".join(name.split(" ")[1:])
    return Part(name, True, ok, told, origin, [*pages, _write(plan.out / file, json.dumps(data, indent=1) + "\n", plan.out)], data)


def _pages(plan: Plan, name: str, folder: Path) -> list[str]:
    """Copy the page that a command has left in `folder`, and the ledger's scenarios, one a row; the names of the copies."""
    file = "%s.html" % name.replace(" ", "-")
    wanted = {} if name.startswith("run ") else {file: folder / ("index.html" if name == "ledger" else file)}
    if name == "ledger":
        wanted |= {"%s/%s" % (LEDGER_ROWS, path.name): path for path in sorted((folder / SCENARIOS).glob("*.toml"))}
    there = {copy: path for copy, path in wanted.items() if path.is_file()}
    for copy, path in there.items():
        (plan.out / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, plan.out / copy)
    return list(there)


def _dated(path: Path, ok: bool, told: str, committed_s: int | None) -> tuple[bool, str, str]:
    """What was taken from a file that is older than the sources' commit proves nothing of them."""
    made_s = path.stat().st_mtime
    origin = "%s of %s" % (path, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(made_s)))
    if committed_s is not None and made_s < committed_s:
        return False, "OLDER THAN THE COMMIT: " + told, origin
    return ok, told, origin


def _write(path: Path, text: str, out: Path) -> str:
    """Write a file of the folder; its name in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path.relative_to(out).as_posix()


def _versions(plan: Plan, made: dict[str, Any]) -> Part:
    source = made["sources"]
    state = {True: "clean", False: "CHANGED since: %d files" % len(source["changed"]), None: "not known whether it is clean: %s" % source["why"]}[source["clean"]]
    told = "thecal %s, Python %s, MicroPython %s, commit %s, %s" % (
        made["thecal"], made["python"], made["micropython"] or "NOT THERE: " + made["micropython_missing"], source["commit"] or "NOT KNOWN", state)
    ok = None if source["clean"] is None else source["clean"] and made["micropython"] is not None
    return Part("versions", True, ok, told, "", [_write(plan.out / "versions.json", json.dumps(made, indent=1) + "\n", plan.out)], made)


def _tests(plan: Plan, say: Say, source: dict[str, Any]) -> Part:
    """The tests that were named, or the JUnit file of a run before, or a row that says that there is neither."""
    target = plan.out / "junit.xml"
    junit = plan.junit or (JUNIT if JUNIT.is_file() else None)
    try:
        if plan.tests:
            evidence_sources.run_tests(plan.tests, target, say)
        elif junit is None:
            raise EvidenceError("no test was run: `make test` leaves %s, --tests runs some, --junit names a file of theirs" % JUNIT)
        else:
            evidence_sources.junit(junit)       # what is none is not copied
            shutil.copyfile(junit, target)
        found = evidence_sources.junit(target)
    except EvidenceError as error:
        return Part("tests", False, False, str(error))
    told = "%d tests: %d passed, %d failed, %d skipped in %.0f s" % (
        found["tests"], found["passed"], len(found["failed"]), len(found["skipped"]), found["time_s"])
    told += "; NOT: " + ", ".join(found["failed"]) if found["failed"] else ""
    ok, origin = found["tests"] > 0 and not found["failed"], "pytest " + " ".join(plan.tests)
    if not plan.tests and junit is not None:
        ok, told, origin = _of_these(junit, ok, told, found["sources"], source)
    return Part("tests", True, ok, told, origin, ["junit.xml"], found)


def _of_these(path: Path, ok: bool, told: str, named: str | None, source: dict[str, Any]) -> tuple[bool, str, str]:
    """Results of a run before prove something of these sources if they name their digest; those that name none go by their date."""
    ok, told, origin = _dated(path, ok, told, source["committed_s"] if named is None else None)
    if named is not None and named != source["sha256"]:
        return False, "OF OTHER SOURCES (%s): %s" % (named[:40], told), origin
    return ok, told, origin + (", of these very sources" if named else ", which names no sources")


def _requirements(plan: Plan, source: dict[str, Any]) -> Part:
    """The matrix from the last run of the whole suite; without one every row is 'NOT RUN', which proves nothing."""
    from .cli_requirements import page, summary
    try:
        wanted = requirements.load()
        requirements.check_code(wanted)
        outcomes = requirements.read_outcomes(plan.outcomes) if plan.outcomes.is_file() else None
        found = requirements.matrix(wanted, outcomes)
    except RequirementsError as error:
        return Part("requirements", False, False, str(error))
    ok, told, origin = found["ok"], summary(found), "no outcomes at %s: `make test` leaves them there" % plan.outcomes
    if outcomes is not None:
        told += "" if found["whole"] else ", FROM A PART OF THE TESTS"
        if "sources" in outcomes:
            ok, told, origin = _of_these(plan.outcomes, ok, told, outcomes["sources"] or "changed while the tests ran", source)
        else:
            ok, told, origin = _of_these(plan.outcomes, ok, told, None, source)
    files = [_write(plan.out / "requirements.json", json.dumps(found, indent=1) + "\n", plan.out), _write(plan.out / "requirements.html", page(found), plan.out)]
    return Part("requirements", True, ok, told, origin, files, found)


def _traces(parts: Iterable[Part], plan: Plan) -> list[Part]:
    """R9: of every scenario that ran on more than one runtime the traces are one."""
    traces: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for part in parts:
        if part.there and part.name.startswith("run "):
            name = part.data["scenario"]
            traces.setdefault(name, set()).add(part.data["trace_hash"])
            counts[name] = counts.get(name, 0) + 1
    both = [name for name, count in counts.items() if count == len(plan.runtimes)]
    if len(plan.runtimes) < 2 or not plan.scenarios:
        return []
    if not both:
        return [Part("traces", False, False, "no scenario ran on %s" % " and ".join(plan.runtimes))]
    apart = [name for name in both if len(traces[name]) > 1]
    told = "%d of %d scenarios have one trace on %s%s" % (
        len(both) - len(apart), len(plan.scenarios), " and ".join(plan.runtimes), "; NOT: " + ", ".join(apart) if apart else "")
    return [Part("traces", True, not apart and len(both) == len(plan.scenarios), told, "the runs above")]


def _field_actions(parts: Iterable[Part], plan: Plan) -> list[Part]:
    """Every field action with its verdict and story, from the runs; nothing where none of them was asked for."""
    if not any(Path(name).name.startswith(field_actions.PREFIX) for name in plan.scenarios):
        return []
    runs = {part.data["scenario"]: part.data for part in parts if part.there and part.name.startswith("run ")}
    try:
        rows = field_actions.rows(field_actions.load(), runs)
    except FieldActionsError as error:
        return [Part("field actions", False, False, str(error))]
    ok = not any(row["ok"] is False for row in rows)
    data = {"schema": field_actions.RESULT_SCHEMA, "ok": ok, "rows": rows}
    files = [_write(plan.out / "field-actions.html", field_actions.html(rows, "thecal-sim field-actions --out DIR", links=False), plan.out),
             _write(plan.out / "field-actions.json", json.dumps(data, indent=1) + "\n", plan.out)]
    return [Part("field actions", True, ok, field_actions.summary(rows), "the runs above", files, data)]


def _anomalies(plan: Plan) -> Part:
    try:
        rows = anomalies.load(requirements.load())
    except (AnomaliesError, RequirementsError) as error:
        return Part("anomalies", False, False, str(error))
    file = _write(plan.out / "anomalies.json", json.dumps({"schema": anomalies.SCHEMA, "rows": rows}, indent=1) + "\n", plan.out)
    return Part("anomalies", True, None, "%d known anomalies and gaps" % len(rows), "hw_sim/anomalies.toml", [file], rows)


# ------------------------------------------------------------------------------------------------ the folder

def manifest(plan: Plan, parts: list[Part], repeat: str, made_s: float) -> dict[str, Any]:
    """The object of evidence.json and of --json. `ok`: every part is there and holds."""
    return {"schema": SCHEMA, "ok": all(part.there and part.ok is not False for part in parts), "quick": plan.quick,
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made_s)), "repeat": repeat, "parts": [part.row() for part in parts]}


def seal(out: Path) -> int:
    """Write SHA256SUMS over every other file of the folder, as `sha256sum -c` reads it; how many there are."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path != out / SUMS)
    lines = ["%s  %s\n" % (hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(out).as_posix()) for path in files]
    (out / SUMS).write_text("".join(lines), encoding="utf-8")
    return len(files)
