"""`thecal script`: the guided scripts of the first start, an overdose, a withdrawal, an MRI scan and a replacement, step by step. Exit status 1 when one does not end well."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import click

from . import replacement, scripts, units, watch_start
from .cli_therapy import BOLUS_OVERRIDE, FILL_OPTIONS, agree, may_ask, therapy_options, with_options
from .errors import UsageProblem
from .fill import Fill
from .programmer import Programmer
from .scripts import Script, Step
from .terminal import Session, bar, emit_json

group = click.Group("script", help="Guided scripts: each step in words, the pump's part done. Take one up again with --from.")


def script_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where to begin, and whether to list only."""
    return with_options(
        click.option("--list", "only_list", is_flag=True, help="Show the steps; do nothing."),
        click.option("--from", "first", type=click.IntRange(min=1), default=1, show_default=True, help="Take the script up at this step."),
        click.option("--missed-before", metavar="VOLUME", help="What was missed before the script began, as it said when it was left."), therapy_options)(command)


@group.command()
@script_options
@click.pass_obj
def start(session: Session, missed_before: str | None, **how: Any) -> None:
    """Behind the first start of therapy: see that drug flows, then watch for as long as the library asks."""
    _run(session, lambda pump: watch_start.start(pump, _volume_nl(missed_before)), **how)


@group.command()
@click.option("--aspirated", metavar="VOLUME", help="What came out of the reservoir, e.g. '12.3 mL'.")
@click.option("--catheter-aspirated", is_flag=True, help="The access port was aspirated: the catheter is empty.")
@script_options
@click.pass_obj
def overdose(session: Session, aspirated: str | None, catheter_aspirated: bool, missed_before: str | None, **how: Any) -> None:
    """Stop, empty the reservoir and the catheter, watch that nothing moves."""
    _run(session, lambda pump: scripts.overdose(pump, aspirated, catheter_aspirated, _volume_nl(missed_before)), **how)


@group.command()
@click.option("--bolus", nargs=2, metavar="DOSE OVER", help="A rescue bolus, e.g. --bolus '50 ug' '10 min'.")
@BOLUS_OVERRIDE
@script_options
@click.pass_obj
def withdrawal(session: Session, bolus: tuple[str, str] | None, override: str | None, missed_before: str | None, **how: Any) -> None:
    """Restore delivery, rescue, then look at pump, reservoir and catheter."""
    _run(session, lambda pump: scripts.withdrawal(pump, bolus, _volume_nl(missed_before), override), **how)


@group.command()
@click.option("--scan", metavar="DURATION", help="How long the scan takes, waited on the pump's clock, e.g. '45 min'.")
@script_options
@click.pass_obj
def mri(session: Session, scan: str | None, missed_before: str | None, **how: Any) -> None:
    """Interrogate, scan, interrogate; again after 20 min, 2 h and 24 h while the rotor does not turn."""
    _run(session, lambda pump: scripts.mri(pump, scan, _volume_nl(missed_before)), **how)


@group.command("replacement")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="At the old pump: where to keep its records.")
@click.option("--aspirated", metavar="VOLUME", help="At the old pump: what came out of its reservoir.")
@click.option("--old", type=click.Path(dir_okay=False, path_type=Path), help="At the new pump: the records of the old one.")
@click.option("--serial", type=click.IntRange(min=1), help="Of the new pump.")
@click.option("--volume", help="What was filled into the new pump: the drugs of the old one.")
@with_options(*FILL_OPTIONS)
@script_options
@click.pass_obj
def replace_pump(session: Session, save: Path | None, aspirated: str | None, old: Path | None, serial: int | None, volume: str | None,
                 missed_before: str | None, only_list: bool, first: int, yes: bool, as_json: bool, **fill: Any) -> None:
    """First at the old pump with --save FILE, then at the new one with --old FILE."""
    how: dict[str, Any] = {"only_list": only_list, "first": first, "yes": yes, "as_json": as_json}
    if (save is None) == (old is None):
        raise UsageProblem("give --save FILE at the old pump or --old FILE at the new one")
    if save is not None:
        kept = save
        return _run(session, lambda pump: replacement.take_out(pump, kept, aspirated, _volume_nl(missed_before)), **how)
    if old is None or serial is None or volume is None:
        raise UsageProblem("the new pump needs --serial and --volume")
    carried = replacement.read_old(old)
    first_drug, *others = carried.program.ingredients
    filled = Fill(volume, first_drug.name, "%d ng/mL" % first_drug.concentration_ng_ml, setting=carried.program.setting,
                  also={item.name: "%d ng/mL" % item.concentration_ng_ml for item in others}, **fill)
    return _run(session, lambda pump: replacement.put_in(pump, carried, serial, filled), **how)


def _volume_nl(text: str | None) -> int | None:
    return units.volume_nl(text, "--missed-before") if text is not None else None


def _run(session: Session, make: Callable[[Programmer], Script], only_list: bool, first: int, yes: bool, as_json: bool) -> None:
    """Make the script at the pump and go through it; words on stderr, what came of it on stdout."""
    if not only_list:
        may_ask(yes)
    with session.pump() as pump, bar("waiting for the pump") as progress:
        script = make(pump)
        if only_list:
            return _show(script, as_json)
        script.progress = progress
        count = len(script.steps)

        def go(number: int, step: Step) -> bool:
            click.echo("%d/%d  %s" % (number, count, step.words), err=True)
            return agree(yes, "Go on?")

        done = script.run(go, lambda number, said: None if as_json or not said else click.echo("%d  %s" % (number, said)), first)
    if as_json:
        emit_json(done.pop("schema"), done)
    if not script.ok:
        click.echo("thecal: %s" % script.why, err=True)
        click.get_current_context().exit(1)


def _show(script: Script, as_json: bool) -> None:
    if as_json:
        return emit_json(scripts.SCHEMA, {"script": script.name, "steps": [{"step": number, "words": step.words} for number, step in enumerate(script.steps, 1)]})
    for number, step in enumerate(script.steps, 1):
        click.echo("%d  %s" % (number, step.words))


def add_to(cli: click.Group) -> None:
    """Put the scripts into the `thecal` group."""
    cli.add_command(group)
