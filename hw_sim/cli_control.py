"""`thecal-sim fault`: one command to the control port of a live pump (`thecal-sim serve --control PORT`). See control.py for commands."""
from __future__ import annotations

import click

from . import control_door

FAILED, NO_CONNECTION = 1, 3
WORLD_COMMANDS = ("env", "heal", "power_cut", "clock_jump", "reed_held", "magnet", "store_flip", "store_dead", "torn_write", "ram_flip", "withdraw", "fill",
                  "catheter", "truth", "faults", "help")


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--control", "port", metavar="PORT", required=True, type=click.IntRange(1, 65535), help="The server's control port on 127.0.0.1.")
@click.argument("words", metavar="NAME [VALUE] | COMMAND ...", nargs=-1, required=True)
def fault(port: int, words: tuple[str, ...]) -> None:
    """Break or look at a live pump: `head_gain 1.3` sets a fault, `heal head_gain` mends it; env, power_cut, withdraw, fill, truth, faults, help ..."""
    command = " ".join(words if words[0] in ("fault", *WORLD_COMMANDS) else ("fault", *words))
    try:
        answer = control_door.ask(port, command)
    except OSError as error:
        click.echo("thecal-sim: no pump answers on control port %d: %s" % (port, error.strerror or error), err=True)
        click.get_current_context().exit(NO_CONNECTION)
    refused = answer.startswith("refused: ")
    click.echo(answer.removeprefix("refused: "), err=refused)
    if refused:
        click.get_current_context().exit(FAILED)


def add_to(cli: click.Group) -> None:
    """Hang the command into its group."""
    cli.add_command(fault)
