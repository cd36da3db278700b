"""`thecal-sim physics`: the plant's physics against published and derived figures. See cli.py for exit status."""
from __future__ import annotations

import json
import sys

import click
from rich.console import Console
from rich.table import Table

from . import physics as room

FAILED = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def physics(as_json: bool) -> None:
    """Each figure of the plant measured on the model, beside its reference, tolerance and source; 1 when one is off."""
    rows = room.checks()
    wrong = sum(not row["ok"] for row in rows)
    if as_json:
        click.echo(json.dumps({"schema": "thecal.physics/1", "ok": not wrong, "rows": rows}, indent=2))
    else:
        table = Table("", "measured on the model", "value", "reference", "+/-", "unit", "source", box=None, pad_edge=False)
        for row in rows:
            table.add_row("ok" if row["ok"] else "OFF", row["name"], *("%.5g" % row[key] for key in ("value", "reference", "tolerance")), row["unit"], row["source"])
        Console(file=sys.stdout, width=None if sys.stdout.isatty() else 230, highlight=False).print(table)
        click.echo("%d of %d figures as published or derived" % (len(rows) - wrong, len(rows)))
    if wrong:
        click.get_current_context().exit(FAILED)


def add_to(cli: click.Group) -> None:
    """Register the command."""
    cli.add_command(physics)
