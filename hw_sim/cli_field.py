"""`thecal-sim field-actions`: the recalls of implanted pumps, played or declared, each with its paragraph. See cli.py for exit status."""
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from . import field_actions as room
from . import report
from .player import play
from .recorder import Recorder
from .runner import RuntimeMissing
from .scenario import load_scenario, new_world
from .world import RUNTIMES

FAILED, USAGE = 1, 2


@click.command("field-actions")
@click.option("--runtime", type=click.Choice(RUNTIMES), default=RUNTIMES[0], show_default=True, help="What the firmware runs on.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Of noise and patient in all of them; each scenario's own unless given.")
@click.option("--only", multiple=True, metavar="SCENARIO", help="Play only this one (may be repeated); the others are left out.")
@click.option("--out", "out_dir", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write index.html and a report for each here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def field_actions(runtime: str, seed: int | None, only: tuple[str, ...], out_dir: Path | None, as_json: bool) -> None:
    """Play every recall we know of: what the real device did and what this one does, in figures; what is not played says why. 1 when one fails."""
    try:
        actions = _chosen(room.load(), only)
        runs = {name: _played(name, runtime, seed, out_dir / name if out_dir else None) for action in actions for name in action.scenarios}
    except (room.FieldActionsError, RuntimeMissing, OSError) as error:
        click.echo("thecal-sim: %s" % error, err=True)
        click.get_current_context().exit(USAGE)
    rows = room.rows(actions, runs)
    repeat = "thecal-sim field-actions --runtime %s%s%s" % (runtime, "" if seed is None else " --seed %d" % seed, "".join(" --only " + name for name in only))
    good = not any(row["ok"] is False for row in rows)
    if out_dir:
        (out_dir / "index.html").write_text(room.html(rows, repeat, links=True), encoding="utf-8")
    if as_json:
        click.echo(json.dumps({"schema": room.RESULT_SCHEMA, "ok": good, "repeat": repeat, "rows": rows}, indent=2))
    else:
        _show(rows)
    if not good:
        click.get_current_context().exit(FAILED)


def _chosen(actions: list[room.Action], only: tuple[str, ...]) -> list[room.Action]:
    """The actions with the scenarios that were named; all where none was. Raises FieldActionsError."""
    known = [name for action in actions for name in action.scenarios]
    for name in only:
        if name not in known:
            raise room.FieldActionsError("--only %s: it must be one of %s" % (name, ", ".join(known)))
    if not only:
        return actions
    kept = [replace(action, scenarios=tuple(name for name in action.scenarios if name in only)) for action in actions]
    return [action for action in kept if action.scenarios]


def _played(name: str, runtime: str, seed: int | None, out_dir: Path | None) -> dict[str, Any]:
    """One run, and its report where there is a folder for it."""
    click.echo(name + " ...", err=True)
    scenario = load_scenario(name)
    scenario = scenario if seed is None else replace(scenario, seed=seed)
    repeat = "thecal-sim run %s --runtime %s --seed %d" % (name, runtime, scenario.seed)
    result = play(scenario, new_world(scenario, runtime=runtime, recorder=Recorder(out_dir, sample_s=scenario.sample_s)), repeat=repeat, out=out_dir)
    if out_dir:
        report.write(result, out_dir)
    return result


def _show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        click.echo("%s  %s: %s%s" % (row["verdict"].upper(), row["when"], row["what"], " (%s, seed %s)" % (row["scenario"], row.get("seed")) if row["scenario"] else ""))
        for label, text in (("the real device", row.get("real")), ("here", row.get("ours")), ("not played", row["declared"]), ("NOT MET", "; ".join(row.get("not_met", ())))):
            if text:
                click.echo("  %s: %s" % (label, text))
        click.echo("")
    click.echo(room.summary(rows))


def add_to(cli: click.Group) -> None:
    """Register the command."""
    cli.add_command(field_actions)
