"""`thecal verify`: hold a saved report against its signature and, with a port, against the pump's record and the program it runs."""

from __future__ import annotations

from pathlib import Path

import click

from . import verify as room
from .terminal import Session, bar, emit_json, json_option, notice, show_table

FAILED = 1
MARKS = {True: "ok", False: "NO", None: "?"}


@click.command()
@click.argument("report", metavar="REPORT.json", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--port", "url", metavar="URL", help="Ask this pump too  [default: none is asked, unless --port stands before the command].")
@json_option
@click.pass_obj
def verify(session: Session, report: Path, url: str | None, as_json: bool) -> None:
    """Is this the report that was signed, and does the pump still run what it was signed for?

    REPORT.json is what `thecal visit --json` or `thecal report --json` printed. Status 1: it was changed, or the pump is another one, has no record
    of it or runs another program by now. Without a port only damage is found: a digest has no key, the proof that somebody signed is on the pump.
    """
    signed = room.read(report)
    session.url = url or session.url
    checks = room.contents(signed) if signed.digest is not None or session.url is None else []
    if session.url is not None:
        with session.pump() as pump, bar("reading the log") as progress:
            checks += room.against(signed, pump, progress)
    found = room.to_dict(signed, checks, session.url is not None)
    if as_json:
        emit_json(room.SCHEMA, {name: value for name, value in found.items() if name != "schema"})
    else:
        click.echo("report of pump %d at %s" % (signed.serial, signed.time))
        show_table(("", "", ""), [(MARKS[check.ok], check.name, check.told) for check in checks])
    if session.url is None:
        notice("no pump was asked: this says that the file is whole, not that somebody signed it")
    if not found["ok"]:
        click.get_current_context().exit(FAILED)


def add_to(group: click.Group) -> None:
    """Put the command into the `thecal` group."""
    group.add_command(verify)
