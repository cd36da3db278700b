"""`thecal-sim faults`: the ledger of every declared hazard, and `thecal-sim minimise`: the least that still fails. See cli.py for exit status."""
from __future__ import annotations

import ast
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import ledger, ledger_expect, ledger_page, minimise
from . import observer as observers
from .faults import NEEDS, HazardsError, load
from .ledger import Bench
from .runner import FirmwareError, RuntimeMissing
from .scenario import ScenarioError, load_scenario, units
from .staging import StagingError
from .world import RUNTIMES

FAILED, USAGE = 1, 2
MARKS = {True: "ok", False: "FAILED", None: "n/a"}
DECLARED = (HazardsError, ScenarioError, observers.ObserverError, ledger_expect.ExpectError, minimise.MinimiseError, RuntimeMissing, StagingError, OSError)


def bench_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whose firmware runs, on what, and how it is judged."""
    for option in (
        click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Of noise, patient and what is drawn."),
        click.option("--lacks", multiple=True, type=click.Choice(NEEDS), help="What this firmware has not: such rows read n/a (a pump.py may hold "
                     "LACKS = (...) itself). May be given again."),
        click.option("--observer", metavar="MODULE:FUNCTION", help="Judge by signs of your own (hw_sim/observer.py)."),
        click.option("--thecal-firmware", "source_dir", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
                     help="Run thecal's own firmware from the sources in DIR, which holds firmware/ and protocol/: a changed copy."),
        click.option("--exec", "exec_cmd", metavar="CMD", help="Run CMD over the tether instead (hw_sim/TETHER.md)."),
        click.option("--firmware", "firmware_dir", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
                     help="Run the pump.py of DIR, which defines build(ports)."),
        click.option("--runtime", type=click.Choice(RUNTIMES), default=RUNTIMES[0], show_default=True, help="What the firmware runs on."),
    ):
        command = option(command)
    return command


def bench_of(runtime: str, firmware_dir: Path | None, exec_cmd: str | None, source_dir: Path | None, observer: str | None, lacks: tuple[str, ...],
             seed: int) -> Bench:
    """The bench that the options describe. Raises ScenarioError for a command that cannot be split, for options that exclude each other."""
    chosen = [name for name, given in (("--firmware", firmware_dir), ("--exec", exec_cmd), ("--thecal-firmware", source_dir)) if given]
    if len(chosen) > 1:
        raise ScenarioError("%s exclude each other: one firmware runs" % " and ".join(chosen))
    try:
        words = tuple(shlex.split(exec_cmd)) if exec_cmd is not None else None
    except ValueError as error:
        raise ScenarioError("--exec %r cannot be split into words: %s" % (exec_cmd, error)) from error
    if words == ():
        raise ScenarioError("--exec is empty: give a command that speaks the tether (hw_sim/TETHER.md)")
    observers.named(observer)
    own = declared_lacks(firmware_dir) if firmware_dir else ()
    return Bench(runtime, firmware_dir, words, source_dir, observer, seed, tuple(dict.fromkeys((*lacks, *own))))


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
