"""`thecal-sim attack` and `thecal-sim bench link`: what the command line has about the serial line. See cli.py for exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from . import bench_link, capture, relay
from .attacker import Attacker

FAILED, USAGE, NO_CONNECTION, INTERRUPTED = 1, 2, 3, 130


@click.command()
@click.option("--listen", metavar="PORT", type=click.IntRange(0, 65535), help="Hosts come in at 127.0.0.1:PORT (0: any that is free).")
@click.option("--pty", metavar="LINK", type=click.Path(path_type=Path), help="Hosts come in at a pseudo-terminal; LINK names it.")
@click.option("--to", metavar="URL", required=True, help="The real port: socket://host:port, /dev/ttyACM0, a pty.")
@click.option("--rule", "rules", metavar="RULE", multiple=True, help="ACTION[=SHARE][,of=MESSAGE][,from=host|pump][,mend=no], e.g. replay=0.5,of=commit; "
              "drop, duplicate, replay, splice, reflect, truncate, corrupt, reorder=0.3,behind=2 (or for=200ms), flood=200/s (hw_sim/attacker.py). "
              "May be given again.")
@click.option("--capture", "capture_path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write what passes, for `thecal decode`.")
@click.option("--load", "load_path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A capture whose frames he knows already.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Of everything that is drawn.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="End after so many seconds  [default: at Ctrl-C].")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as one JSON object.")
def attack(listen: int | None, pty: Path | None, to: str, rules: tuple[str, ...], capture_path: Path | None, load_path: Path | None, seed: int,
           seconds: float | None, as_json: bool) -> None:
    """Sit between a host and a pump on a live line: record it, and do to it what the rules say."""
    context = click.get_current_context()
    if listen is None and pty is None:
        raise click.UsageError("nowhere to listen: give --listen PORT, --pty LINK or both")
    saved = None
    try:
        known = list(capture.read(load_path)) if load_path else []
        attacker = Attacker(rules, seed=seed)
        saved = capture.Writer(capture_path, "between a host and %s" % to) if capture_path else None
        attacker.capture = saved
        attacker.load(known)
        line = relay.Relay(attacker, to, tcp=listen, pty=pty)
    except (ValueError, OSError) as error:
        if saved:
            saved.close()
        click.echo("thecal-sim: %s" % (error if isinstance(error, ValueError) else error.strerror or error), err=True)
        context.exit(USAGE if isinstance(error, ValueError) else NO_CONNECTION)
    ways = (["socket://127.0.0.1:%s" % line.tcp_port] if listen is not None else []) + ([str(pty)] if pty else [])
    click.echo("between %s and %s; Ctrl-C ends" % (" and ".join(ways), to), err=True)
    status = 0
    try:
        line.run(seconds)
    except KeyboardInterrupt:
        status = INTERRUPTED
    except relay.FarSideGone as error:
        click.echo("thecal-sim: %s" % error, err=True)
        status = NO_CONNECTION
    finally:
        line.close()
        if saved:
            saved.close()
    if as_json:
        click.echo(json.dumps({"schema": "thecal.attack/1", "to": to, "rules": list(rules), "seed": seed, "counts": attacker.counts}, indent=2))
    else:
        click.echo(", ".join("%s %d" % (name.replace("_", " "), count) for name, count in attacker.counts.items()))
    context.exit(status)


def keep_or_print(found: dict[str, Any], as_json: bool, out_dir: Path | None) -> bool:
    """Write a bench object to its file in `out_dir`, print it as JSON if asked; False when a table is still to be shown."""
    text = json.dumps(found, indent=2)
    if out_dir:
        out_dir.mkdir(parents=True, exist_ok=True)
        (out_dir / ("bench-%s.json" % found["bench"])).write_text(text + "\n", encoding="utf-8")
    if as_json:
        click.echo(text)
    return as_json


@click.command("link")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--out", "out_dir", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write bench-link.json here.")
def bench_link_command(as_json: bool, out_dir: Path | None) -> None:
    """The telemetry link: download rate, round trips, frames a second that the pump decodes."""
    found = bench_link.link(lambda text: click.echo(text + " ...", err=True))
    if not keep_or_print(found, as_json, out_dir):
        _show(found)
    if not all(row["ok"] for row in found["bars"] if row["ok"] is not None):
        click.get_current_context().exit(FAILED)


def _show(found: dict[str, Any]) -> None:
    table = Table("", "bar", "found", "bar", "unit", box=None, pad_edge=False)
    marks = {True: "ok", False: "MISSED", None: "n/a"}
    for row in found["bars"]:
        table.add_row(marks[row["ok"]], row["name"], "" if row["value"] is None else "%.6g" % row["value"], "%g" % row["bar"], row["unit"])
    for row in found["figures"]:
        table.add_row("", row["name"], "" if row["value"] is None else "%.6g" % row["value"], "", row["unit"])
    Console(width=160, highlight=False).print(table)
    for note in found["notes"]:
        click.echo(note)


def add_to(cli: click.Group, bench: click.Group) -> None:
    """Hang both commands into their groups."""
    cli.add_command(attack)
    bench.add_command(bench_link_command)
