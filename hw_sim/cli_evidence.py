"""`thecal-sim evidence`: everything that is claimed and what proves it, in one folder with checksums and an index page. See cli.py for exit status."""
from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path

import click

from . import evidence as room
from . import evidence_page, evidence_sources
from .scenario import ScenarioError, load_scenario
from .world import RUNTIMES

FAILED, USAGE = 1, 2
TAKEN = Path("out")     # where runs and benches of the Makefile leave theirs


@click.command()
@click.option("--out", "out_dir", metavar="DIR", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new or empty folder.")
@click.option("--quick", is_flag=True, help="Run nothing: take what earlier runs have left.")
@click.option("--from", "taken", metavar="DIR", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="With --quick: look here and below for the JSON of runs, benches, ledger, physics; the newest of each counts. May be given again  [default: %s]." % TAKEN)
@click.option("--scenario", "scenarios", metavar="FILE|NAME", multiple=True, help="Run this one; may be given again  [default: all that we ship].")
@click.option("--runtime", "runtimes", type=click.Choice(RUNTIMES), multiple=True, help="Run them on this; may be given again  [default: both].")
@click.option("--tests", metavar="PATH", multiple=True, help="Run pytest over these, or hand it any other word; may be given again  [default: none is run, see --junit].")
@click.option("--junit", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Take this JUnit file instead  [default: %s, which a whole `make test` leaves; of other sources it proves nothing]." % room.JUNIT)
@click.option("--results", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Outcomes of a test run  [default: %s]." % room.OUTCOMES)
@click.option("--jobs", type=click.IntRange(1, 64), default=lambda: os.cpu_count() or 1, show_default="one a core", help="Commands that run side by side; the ledger and what is timed run alone.")
@click.option("--json", "as_json", is_flag=True, help="Print evidence.json.")
def evidence(out_dir: Path, quick: bool, taken: tuple[Path, ...], scenarios: tuple[str, ...], runtimes: tuple[str, ...], tests: tuple[str, ...],
             junit: Path | None, results: Path | None, jobs: int, as_json: bool) -> None:
    """Requirements, tests, fault ledger, physics, benches, scenario runs, versions and known anomalies, in DIR; 1 when one is missing or does not hold."""
    context = click.get_current_context()
    wrong = _wrong(out_dir, quick, taken, scenarios, tests, junit)
    if wrong:
        click.echo("thecal-sim: " + wrong, err=True)
        context.exit(USAGE)
    repeat = _repeat(out_dir, quick, taken, scenarios, runtimes, tests, junit, results)
    plan = room.Plan(out_dir, _commands(context), quick, taken or ((TAKEN,) if TAKEN.is_dir() else ()), jobs, scenarios or room.shipped(),
                     runtimes or RUNTIMES, junit, tests, results or room.OUTCOMES)
    began_s = time.time()
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        parts = room.gather(plan, lambda text: click.echo(text, err=True))
        found = room.manifest(plan, parts, repeat, began_s)
        (out_dir / room.MANIFEST).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        (out_dir / room.INDEX).write_text(evidence_page.index(found, parts), encoding="utf-8")
        count = room.seal(out_dir)
    except OSError as error:
        click.echo("thecal-sim: --out %s cannot be written: %s" % (out_dir, error.strerror or error), err=True)
        context.exit(USAGE)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        for part in parts:
            if part.state != "ok" or not part.name.startswith("run "):
                click.echo("%-9s  %-32s %s" % (part.state, part.name, part.told))
        passed = [part for part in parts if part.name.startswith("run ") and part.state == "ok"]
        click.echo("%s: %d parts, %d scenario runs passed, %d files in %.0f s: %s" % (
            "COMPLETE" if found["ok"] else "OPEN", len(parts), len(passed), count, time.time() - began_s, out_dir / room.INDEX))
    if not found["ok"]:
        context.exit(FAILED)


def _wrong(out_dir: Path, quick: bool, taken: tuple[Path, ...], scenarios: tuple[str, ...], tests: tuple[str, ...], junit: Path | None) -> str | None:
    """One sentence that says why this cannot be asked for, or None."""
    if out_dir.exists() and any(out_dir.iterdir()):
        return "--out %s is not empty: evidence of two runs must not mix; name a new folder" % out_dir
    if taken and not quick:
        return "--from %s is for --quick: without it everything is made anew" % taken[0]
    if tests and (junit or quick):
        return "--tests %s with %s: nothing would be run" % (tests[0], "--junit" if junit else "--quick")
    twice = [name for name in scenarios if scenarios.count(name) > 1]
    if twice:
        return "--scenario %s stands twice" % twice[0]
    try:
        for name in scenarios:
            load_scenario(name)
        if junit:
            evidence_sources.junit(junit)
    except (ScenarioError, evidence_sources.EvidenceError) as error:
        return str(error)
    return None


def _commands(context: click.Context) -> frozenset[str]:
    """What this thecal-sim can do, by the words that call it."""
    group = context.parent.command if context.parent else None
    names: set[str] = set()
    for name, command in group.commands.items() if isinstance(group, click.Group) else ():
        names.add(name)
        if isinstance(command, click.Group):
            names.update("%s %s" % (name, inner) for inner in command.commands)
    return frozenset(names)


def _repeat(out_dir: Path, quick: bool, taken: tuple[Path, ...], scenarios: tuple[str, ...], runtimes: tuple[str, ...], tests: tuple[str, ...],
            junit: Path | None, results: Path | None) -> str:
    words = ["thecal-sim", "evidence", "--out", str(out_dir)] + (["--quick"] if quick else [])
    for name, values in (("--from", taken), ("--scenario", scenarios), ("--runtime", runtimes), ("--tests", tests), ("--junit", (junit,) if junit else ()),
                         ("--results", (results,) if results else ())):
        words += [word for value in values for word in (name, str(value))]
    return shlex.join(words)


def add_to(cli: click.Group) -> None:
    """Hang the command into its group."""
    cli.add_command(evidence)
