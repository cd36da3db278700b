"""The options that say whose firmware runs and on what, for every command of `thecal-sim` that runs one."""
from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .scenario import ScenarioError
from .world import RUNTIMES


def firmware_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--runtime, --firmware and --exec, as `runtime`, `firmware_dir` and `exec_cmd`."""
    for option in (
        click.option("--exec", "exec_cmd", metavar="CMD", help="Run CMD over the tether instead (hw_sim/TETHER.md)."),
        click.option("--firmware", "firmware_dir", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
                     help="Run the pump.py of DIR, which defines build(ports)."),
        click.option("--runtime", type=click.Choice(RUNTIMES), default=RUNTIMES[0], show_default=True, help="What the firmware runs on."),
    ):
        command = option(command)
    return command


def source_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--thecal-firmware, as `source_dir`."""
    return click.option("--thecal-firmware", "source_dir", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
                        help="Run thecal's own firmware from the sources in DIR, which holds firmware/ and protocol/: a changed copy.")(command)


def exec_words(exec_cmd: str | None) -> list[str] | None:
    """The words of --exec, None where it was not given. Raises ScenarioError for one that cannot be split, or is empty."""
    if exec_cmd is None:
        return None
    try:
        words = shlex.split(exec_cmd)
    except ValueError as error:
        raise ScenarioError("--exec %r cannot be split into words: %s" % (exec_cmd, error)) from error
    if not words:
        raise ScenarioError("--exec is empty: give a command that speaks the tether (hw_sim/TETHER.md)")
    return words
