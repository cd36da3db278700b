"""`thecal-sim faults`: the ledger of every declared hazard, and `thecal-sim minimise`: the least that still fails. See cli.py for exit status."""
from __future__ import annotations

import ast
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import ledger, ledger_expect, ledger_page, ledger_seeds, minimise, schedules
from . import observer as observers
from .cli_options import exec_words, firmware_options, source_option
from .faults import NEEDS, HazardsError, Row, load
from .ledger import Bench
from .runner import FirmwareError, RuntimeMissing
from .scenario import ScenarioError, load_scenario, units
from .scenario_text import text_of
from .staging import StagingError

FAILED, USAGE = 1, 2
MARKS = {True: "ok", False: "FAILED", None: "n/a"}
DECLARED = (HazardsError, ScenarioError, observers.ObserverError, ledger_expect.ExpectError, minimise.MinimiseError, RuntimeMissing, StagingError,
            OSError)


def bench_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whose firmware runs, on what, and how it is judged."""
    for option in (
        click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Of noise, patient and what is drawn."),
        click.option("--lacks", multiple=True, type=click.Choice(NEEDS), help="What this firmware has not: such rows read n/a (a pump.py may hold "
                     "LACKS = (...) itself). May be given again."),
        click.option("--observer", metavar="MODULE:FUNCTION", help="Judge by signs of your own (hw_sim/observer.py)."),
    ):
        command = option(command)
    return firmware_options(source_option(command))


def bench_of(runtime: str, firmware_dir: Path | None, exec_cmd: str | None, source_dir: Path | None, observer: str | None, lacks: tuple[str, ...],
             seed: int) -> Bench:
    """The bench that the options describe. Raises ScenarioError for a command that cannot be split, for options that exclude each other."""
    chosen = [name for name, given in (("--firmware", firmware_dir), ("--exec", exec_cmd), ("--thecal-firmware", source_dir)) if given]
    if len(chosen) > 1:
        raise ScenarioError("%s exclude each other: one firmware runs" % " and ".join(chosen))
    words = exec_words(exec_cmd)
    observers.named(observer)
    own = declared_lacks(firmware_dir) if firmware_dir else ()
    return Bench(runtime, firmware_dir, tuple(words) if words else None, source_dir, observer, seed, tuple(dict.fromkeys((*lacks, *own))))


def declared_lacks(folder: Path) -> tuple[str, ...]:
    """LACKS of a foreign pump.py, read without running it. Raises ScenarioError for a name that means nothing here."""
    path = folder / "pump.py"
    if not path.is_file():
        return ()
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        found = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)
                 and [getattr(target, "id", None) for target in node.targets] == ["LACKS"]]
    except (SyntaxError, ValueError) as error:
        raise ScenarioError("%s: LACKS cannot be read: %s" % (path, error)) from error
    names = tuple(found[-1]) if found else ()
    for name in names:
        if name not in NEEDS:
            raise ScenarioError("%s: LACKS holds %r, it must be among %s" % (path, name, ", ".join(NEEDS)))
    return names


def declared(command: Callable[..., Any]) -> Callable[..., Any]:
    """As in cli.py: a declared failure is one sentence and its exit status."""
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except FirmwareError as error:
            _leave(error.sentence, FAILED)
        except DECLARED as error:
            _leave(str(error), USAGE)
    guarded.__doc__, guarded.__name__ = command.__doc__, command.__name__
    guarded.__click_params__ = getattr(command, "__click_params__", [])     # type: ignore[attr-defined]
    return guarded


def _leave(sentence: str, status: int) -> None:
    click.echo("thecal-sim: " + sentence, err=True)
    click.get_current_context().exit(status)


# ------------------------------------------------------------------------------------------------ the ledger

@click.command()
@bench_options
@click.option("--only", "patterns", metavar="PATTERN", multiple=True,
              help="Rows whose id holds this, or matches it with * and ?. May be given again.")
@click.option("--seeds", metavar="N", type=click.IntRange(1, 1000), default=1, show_default=True,
              help="Play each row with N seeds from --seed on: share noticed, median and worst delay, worst error.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes  [default: one for each core].")
@click.option("--expect", "expect_path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Hold the rows against FILE  [default: the committed expectation, on our own firmware with seed 1].")
@click.option("--write-expected", is_flag=True, help="Write what was found into that file instead of comparing; with --seeds into that of the shares.")
@click.option("--random", "schedules_n", metavar="N", type=click.IntRange(1, 100_000), help="Instead: N random schedules of faults from --seed on, judged by "
              "oracle, detection and delivery; the first that fails is minimised and printed as a scenario.")
@click.option("--mean", "mean_faults", type=click.IntRange(1, 100), default=5, show_default=True, help="Faults of a random schedule in the mean.")
@click.option("--hazards", "hazards_path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="A list of hazards of your own.")
@click.option("--out", "out_dir", metavar="DIR", type=click.Path(file_okay=False, path_type=Path),
              help="Write ledger.json, index.html and each row's scenario here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@declared
def faults(runtime: str, firmware_dir: Path | None, exec_cmd: str | None, source_dir: Path | None, observer: str | None, lacks: tuple[str, ...],
           seed: int, patterns: tuple[str, ...], seeds: int, jobs: int | None, expect_path: Path | None, write_expected: bool, schedules_n: int | None,
           mean_faults: int, hazards_path: Path | None, out_dir: Path | None, as_json: bool) -> None:
    """Play every declared hazard beside a healthy twin: what is caught, how fast, at what dose error. 1 when a row fails."""
    bench = bench_of(runtime, firmware_dir, exec_cmd, source_dir, observer, lacks, seed)
    rows = [row for row in (load(units, hazards_path) if hazards_path else load(units)) if chosen(row.id, patterns)]
    if not rows:
        raise HazardsError("no row matches %s" % ", ".join(patterns))
    if out_dir:
        out_dir.mkdir(parents=True, exist_ok=True)
    if schedules_n is not None:
        return at_random(rows, bench, schedules_n, mean_faults, out_dir)
    started = time.monotonic()
    with bar("hazards") as told:
        kept = out_dir / "scenarios" if out_dir else None
        lines = (ledger.run_rows(rows, bench, jobs=jobs, told=told, keep_dir=kept) if seeds == 1
                 else ledger_seeds.over_seeds(rows, bench, seeds, jobs=jobs, told=told, keep_dir=kept))
    found: dict[str, Any] = {
        "schema": ledger.SCHEMA, "ok": all(line["ok"] is not False for line in lines), "runtime": ledger_runtime(bench), "seed": seed, "seeds": seeds,
        "wall_s": round(time.monotonic() - started, 1), "rows": lines, "differences": [],
        "repeat": repeat(bench, patterns) + (" --seeds %d" % seeds if seeds > 1 else "")}
    if ours(bench) and seeds == 1 and hazards_path is None:
        kept_seeds = ledger_seeds.read()
        for line in lines:
            line["over_seeds"] = ledger_seeds.share(kept_seeds[line["id"]]) if line["id"] in kept_seeds else None
    if write_expected and seeds > 1:
        ledger_seeds.write(lines, expect_path or ledger_seeds.DATA)
    elif write_expected:
        ledger_expect.write(lines, expect_path or ledger_expect.DATA)
    elif expect_path or (ours(bench) and seeds == 1 and hazards_path is None):
        found["differences"] = ledger_expect.differences(lines, ledger_expect.read(expect_path or ledger_expect.DATA), whole=not patterns)
        found["ok"] = found["ok"] and not found["differences"]
    if out_dir:
        (out_dir / "ledger.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        (out_dir / "index.html").write_text(ledger_page.html(found), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show(found, out_dir)
    if not found["ok"]:
        click.get_current_context().exit(FAILED)
    return None


def at_random(rows: list[Row], bench: Bench, schedules_n: int, mean_faults: int, out_dir: Path | None) -> None:
    """Play random schedules until one fails; minimise that and print it."""
    therapies, hazards = minimise.therapies(rows), load(units)
    healthy_nl: dict[str, float] = {}
    for number in range(schedules_n):
        therapy = therapies[number % len(therapies)]
        table = schedules.random_schedule(therapy, bench.seed + number, mean_faults, hazards)
        with tempfile.TemporaryDirectory(prefix="thecal-random-") as folder:
            if therapy.id not in healthy_nl:
                healthy_nl[therapy.id] = minimise.delivered_nl(schedules.healthy(table), reference(bench) or bench, Path(folder))
            table = schedules.bounded(table, healthy_nl[therapy.id], hazards)
            judged = schedules.judged_names(table, hazards)
            failed = [name for name in minimise.failing(table, bench, Path(folder)) if name in judged]
        found = "; ".join(failed) or "ok"
        click.echo("schedule %d of %d, seed %d, %s: %s" % (number + 1, schedules_n, table["seed"], table["title"], found), err=True)
        if failed:
            small, wanted, sure = minimise.minimised(table, bench, judged=judged, reference=reference(bench), told=_told)
            keep(small, wanted, sure, table, bench, (out_dir or Path(".")) / ("%s.toml" % table["name"]) if out_dir else None)
            click.get_current_context().exit(FAILED)
    click.echo("%d schedules, none fails" % schedules_n)


def reference(bench: Bench) -> Bench | None:
    """Our own firmware beside a changed copy of it."""
    return replace(bench, source_dir=None) if bench.source_dir else None


def keep(small: dict[str, Any], wanted: str, sure: str, table: dict[str, Any], bench: Bench, path: Path | None) -> None:
    """The minimised scenario, on stdout or in its file, with what it fails and how to run it."""
    name = path.stem if path else "minimised"
    words = shlex.split(repeat(replace(bench, seed=small["seed"]), (), "run"))
    line = shlex.join([*words[:2], str(path or name + ".toml"), *words[2:]])
    text = text_of({**small, "name": name}, "%d of %d events of %s are left; it fails: %s\n%s\nrepeat: %s" % (
        len(small["event"]), len(table["event"]), table["name"], wanted, sure, line))
    if path:
        path.write_text(text, encoding="utf-8")
        click.echo("%s: %d of %d events are left; it fails: %s" % (path, len(small["event"]), len(table["event"]), wanted))
        click.echo(sure)
        click.echo("repeat: " + line)
    else:
        click.echo(text, nl=False)


def _told(runs: int, left: int) -> None:
    if sys.stderr.isatty():
        click.echo("minimising: run %d, %d events" % (runs, left), err=True)


@click.command("minimise")
@click.argument("scenario", metavar="SCENARIO.toml", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@bench_options
@click.option("--out", "out_path", metavar="FILE.toml", type=click.Path(dir_okay=False, path_type=Path), help="Write it here  [default: stdout].")
@declared
def minimise_command(scenario: Path, runtime: str, firmware_dir: Path | None, exec_cmd: str | None, source_dir: Path | None, observer: str | None,
                     lacks: tuple[str, ...], seed: int, out_path: Path | None) -> None:
    """Leave out of a scenario that fails all that it does not need to fail the same way."""
    if out_path is not None and out_path.suffix != ".toml":
        raise ScenarioError("--out is %s, it must be a .toml file" % out_path)
    bench = bench_of(runtime, firmware_dir, exec_cmd, source_dir, observer, lacks, seed)
    table = {"seed": 1, **minimise.read_table(scenario)}
    if click.get_current_context().get_parameter_source("seed") is ParameterSource.COMMANDLINE:
        table["seed"] = seed
    load_scenario(scenario)
    small, wanted, sure = minimise.minimised(table, bench, reference=reference(bench), told=_told)
    keep(small, wanted, sure, table, bench, out_path)


def chosen(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a row's id is meant by any of the patterns; without one all are."""
    return not patterns or any(pattern in name or fnmatch(name, pattern) for pattern in patterns)


def ours(bench: Bench) -> bool:
    """Whether the committed expectation is of this bench."""
    return not (bench.firmware_dir or bench.exec_cmd or bench.source_dir or bench.observer) and bench.seed == 1


def ledger_runtime(bench: Bench) -> str:
    """What ran, in words."""
    if bench.exec_cmd:
        return "exec"
    return bench.runtime + (", firmware of %s" % (bench.firmware_dir or bench.source_dir) if bench.firmware_dir or bench.source_dir else "")


def repeat(bench: Bench, patterns: tuple[str, ...], command: str = "faults") -> str:
    """The command line that does it again."""
    words = ["thecal-sim", command, "--runtime", bench.runtime, "--seed", str(bench.seed)]
    words += [word for pattern in patterns for word in ("--only", pattern)] + [word for name in bench.lacks for word in ("--lacks", name)]
    for option, value in (("--firmware", bench.firmware_dir), ("--exec", shlex.join(bench.exec_cmd) if bench.exec_cmd else None),
                          ("--thecal-firmware", bench.source_dir), ("--observer", bench.observer)):
        words += [option, str(value)] if value else []
    return shlex.join(words)


def show(found: dict[str, Any], out_dir: Path | None) -> None:
    """The ledger for people, on stdout."""
    if found["seeds"] > 1:
        _print(_seeds_grid(found["rows"]))
    else:
        _print(_grid(found["rows"]))
    for row in found["rows"]:
        if row["ok"] is False:
            click.echo("%s: %s" % (row["id"], "; ".join(row["why"])))
        elif row.get("seeds", {}).get("missed"):
            click.echo("%s, by chance: %s" % (row["id"], "; ".join("seed %d: %s" % (entry["seed"], ", ".join(entry["why"])) for entry in row["seeds"]["missed"])))
    for text in found["differences"]:
        click.echo("not as expected: " + text)
    click.echo("%s; on %s, %.0f s" % (ledger_page.summary(found), found["runtime"], found["wall_s"]))
    click.echo("repeat: " + found["repeat"])
    if out_dir:
        click.echo("page: %s" % (out_dir / "index.html"))
    click.echo("Simulated; not a medical device.")


def _print(grid: Table) -> None:
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 170, highlight=False, markup=False).print(grid)


def _seeds_grid(rows: list[dict[str, Any]]) -> Table:
    """What each row came to over all seeds."""
    grid = Table("", "row", "ok", "noticed", "median s", "worst s", "bound s", "worst error uL", "worst over uL", box=None, pad_edge=False)
    for row in rows:
        seeds = row.get("seeds")
        cells = [] if seeds is None else [
            "%d/%d" % (seeds["ok"], seeds["count"]), "%d/%d" % (seeds["noticed"], seeds["count"]),
            *("" if value is None else "%.6g" % value for value in (seeds["median_s"], seeds["worst_s"], row["bound_s"])),
            *("%.1f" % (seeds[key] / 1000) for key in ("worst_error_nl", "worst_over_nl"))]
        grid.add_row(MARKS[row["ok"]], row["id"], *cells)
    return grid


def _grid(rows: list[dict[str, Any]]) -> Table:
    """Each row of one seed."""
    grid = Table("", "row", "noticed by", "after s", "bound s", "error uL", "worst over uL", "final uL", "final state", box=None, pad_edge=False)
    for row in rows:
        figures = ("" if row[key] is None else "%.6g" % row[key] for key in ("detect_s", "bound_s"))
        errors = ("" if row[key] is None else "%.1f" % (row[key] / 1000) for key in ("dose_error_nl", "over_nl", "final_error_nl"))
        by = row["by"] or ("undetectable" if row["declared"].startswith("undetectable") else "")
        grid.add_row(MARKS[row["ok"]], row["id"], by, *figures, *errors, row["final_state"] or "")
    return grid


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int, str], None] | None]:
    """A progress bar on stderr, drawn on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(file=sys.stderr, highlight=False), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total, name: progress.update(task, completed=done, total=total, description=name)


def add_to(cli: click.Group) -> None:
    """Hang the commands into their group."""
    cli.add_command(faults)
    cli.add_command(minimise_command)
