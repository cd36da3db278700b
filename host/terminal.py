"""What every command shares: the session (port, patience), tables, JSON and progress bars. stdout is data, stderr is talk."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Callable, Iterator, Sequence

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from . import transport, units
from .programmer import Programmer

GROUP = "thecal.commands"
PIPED_COLUMNS = 160     # a table that is not on a terminal is not folded to a guess of its width


def announced_commands() -> dict[str, Any]:
    """Commands of other installed rooms by name, as entry points that are not loaded yet."""
    return {entry.name: entry for entry in metadata.entry_points(group=GROUP)}


@dataclass
class Session:
    """What every command shares: the port, the patience, the role, how a pump is opened (tests hand in their own)."""

    url: str | None = None
    timeout_s: float = 5.0
    open_pump: Callable[..., Programmer] = Programmer.open
    plugins: Callable[[], dict[str, Any]] = announced_commands
    role: str = "clinician"

    def pump(self) -> Programmer:
        """An open programmer on the chosen port; close it (it is a context manager). What it notices goes to stderr."""
        return self.open_pump(transport.default_url(self.url), self.timeout_s, role=self.role, notice=notice)


def host_time_s(pump: Programmer) -> int | None:
    """This computer's clock in pump seconds, to compare with the pump's; None where the pump's time is not the world's."""
    return None if pump.clock.virtual else units.host_pump_time_s()


def notice(sentence: str) -> None:
    """Something to know that nothing fails of."""
    click.echo("thecal: %s" % sentence, err=True)


def console(stderr: bool = True) -> Console:
    """A rich console: colour only on a terminal, never with NO_COLOR or TERM=dumb (rich's own rule); wide when it is piped."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPED_COLUMNS, highlight=False)


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr (drawn on a terminal only); call what it yields with (done, total)."""
    terminal = console()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def emit_json(schema: str, data: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps({"schema": schema, **data}, indent=2))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], stderr: bool = False, title: str | None = None) -> None:
    """A plain table on stdout (or stderr)."""
    table = Table(*columns, box=None, title=title, title_justify="left", pad_edge=False)
    for row in rows:
        table.add_row(*(str(cell).replace("[", "\\[") for cell in row))
    console(stderr).print(table)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json` for a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)
