"""`thecal visit`: a refill or follow-up from interrogation to signature, in one go; every part of it may be left out."""

from __future__ import annotations

import json
from typing import Any, Iterable, Sequence

import click

from . import followup, screen, units
from .cli_therapy import (DOSE_OPTIONS, DRUG_OPTIONS, FILL_OPTIONS, agree, confirm_rows, filled_by, may_ask, prescribe, second_question, signed_by,
                          therapy_options, with_options)
from .errors import UsageProblem
from .fill import Fill
from .followup import FollowUp, Plan
from .prescription import Ingredient, Prescription
from .programmer import Programmer
from .review import PARTS
from .terminal import Session, bar, host_time_s, show_table
from .wean import OralDose

ASK, HEARD, NOT_HEARD, SKIP = "ask", "heard", "not-heard", "skip"
DOSES = ("dose", "steps", "days", "times", "over", "minimum", "bolus", "interval", "released", "fallback")


@click.command()
@click.option("--withdrawn", help="What the syringe took out, e.g. '2.1 mL'.")
@click.option("--volume", help="What went in, e.g. '18.6 mL'  [default: no refill].")
@with_options(*FILL_OPTIONS)
@click.option("--drug", help="First drug of the fill and the program  [default: the running program's].")
@click.option("--concentration", help="Its concentration on the label, e.g. '500 ug/mL'  [default: the running program's].")
@with_options(*DRUG_OPTIONS, *DOSE_OPTIONS)
@click.option("--prime", type=click.Choice(PARTS), help="Prime this part between refill and program.")
@click.option("--alarm-test", "alarm_test", type=click.Choice((ASK, HEARD, NOT_HEARD, SKIP)), default=ASK, show_default=True,
              help="Sound the alarm: ask whether it was heard, or note it so; with --yes nobody can be asked: skip.")
@click.option("--score", "scores", nargs=2, multiple=True, metavar="NAME VALUE", help="e.g. --score 'pain 0-10' 4, --score Ashworth 2, --score 'spasms a day' 3.")
@click.option("--side-effects", help="In words.")
@click.option("--oral", multiple=True, metavar="'DRUG DOSE -> DOSE'",
              help="A drug by mouth and its new dose, e.g. 'baclofen 80 mg/day -> 60 mg/day': one drug at a time, in steps of 25-50 %.")
@click.option("--next", "next_visit", metavar="'YYYY-MM-DD HH:MM'", help="The next appointment.")
@click.option("--sign", "signer", metavar="NAME", help="Who signs: also the program's editor.")
@therapy_options
@click.pass_obj
def visit(session: Session, withdrawn: str | None, volume: str | None, prime: str | None, alarm_test: str, scores: Iterable[tuple[str, str]],
          side_effects: str | None, oral: Sequence[str], next_visit: str | None, signer: str | None, override: str | None, yes: bool, as_json: bool,
          **given: Any) -> None:
    """A refill or follow-up: interrogate, compare, plan, carry out, test the alarm, sign one report.

    Without --volume nothing is filled, without a dose the program stays. A bridge is given where one is due, a prime that is due is said.
    """
    may_ask(yes)
    if signer is None and yes:
        raise UsageProblem("a visit is signed: give --sign NAME")
    if withdrawn is not None and volume is None:
        raise UsageProblem("--withdrawn %s without --volume: what came out must be replaced; a reservoir that stays empty is `thecal script`'s" % withdrawn)
    signer = signer or str(click.prompt("Who signs this visit", err=True))
    remarks = {**dict(scores), **({"side effects": side_effects} if side_effects else {})}
    with session.pump() as pump, bar("reading the pump") as progress:
        made = FollowUp(pump, signer, remarks, next_visit_s=units.pump_time_s(next_visit, "--next") if next_visit else None,
                        oral=[OralDose.of(text) for text in oral])
        seen = made.interrogate(host_time_s(pump), progress)
        show_table(("interrogation", ""), screen.rows(seen), stderr=True)
        fill, program = _asked(pump, volume, withdrawn, signer, given)
        if withdrawn is not None:
            click.echo("reservoir: %s" % made.withdrawn(withdrawn), err=True)
        _plan_and_do(made, made.plan(fill, program, prime), yes, override)
        _test_alarm(made, alarm_test, yes)
        confirm_rows(yes, "sign", [("report", "-", "of this visit, by %s" % signer)], "Sign the report?")
        report = made.sign(host_time_s(pump))
    click.echo(json.dumps(report, indent=2, default=str) if as_json else followup.as_text(report))


def _asked(pump: Programmer, volume: str | None, withdrawn: str | None, signer: str, given: dict[str, Any]) -> tuple[Fill | None, Prescription | None]:
    """The fill and the program that the options spell; drugs that are not named are those of the running program."""
    doses = {name: given.pop(name) for name in DOSES}
    drugs, also, setting = _drugs(pump, given.pop("drug"), given.pop("concentration"), given.pop("also"), given.pop("setting"))
    fill = Fill(volume, *drugs, withdrawn=withdrawn or "0 mL", also=dict(also), setting=setting, **given) if volume is not None else None
    wanted = doses["dose"] is not None or doses["steps"] or doses["days"] or doses["minimum"]
    if not wanted:
        idle = [name for name in ("times", "over", "bolus", "interval", "released", "fallback") if doses[name]]
        if idle:
            raise UsageProblem("%s: for a program, which needs --dose, --step or --minimum" % ", ".join("--" + name for name in idle))
        return fill, None
    return fill, prescribe(*drugs, also=also, setting=setting, editor=signer, **doses)


def _drugs(pump: Programmer, drug: str | None, concentration: str | None, also: Sequence[tuple[str, str]],
           setting: str | None) -> tuple[tuple[str, str], Sequence[tuple[str, str]], str | None]:
    """((first drug, concentration), others, setting): as named, else the running program's. Raises UsageProblem where nothing runs."""
    if (drug is None) != (concentration is None):
        raise UsageProblem("give --drug and --concentration together")
    running = pump.program_running()
    if drug is not None and concentration is not None:
        return (drug, concentration), also, setting if setting or running is None else running.setting
    if running is None:
        raise UsageProblem("no program runs: name the drug with --drug and --concentration")
    named = [_as_typed(item) for item in running.ingredients]
    return named[0], also or named[1:], setting or running.setting


def _as_typed(item: Ingredient) -> tuple[str, str]:
    return item.name, "%d ng/mL" % item.concentration_ng_ml


def _plan_and_do(made: FollowUp, plan: Plan, yes: bool, override: str | None) -> None:
    """Show the plan with all that is to be said of it, and carry it out; soft limits ask twice."""
    show_table(("plan", ""), plan.rows(), stderr=True)
    for warning in plan.warnings:
        click.echo("WARNING: %s" % warning, err=True)
    if plan.fill is None and plan.program is None and plan.prime is None:
        return
    why = override or (second_question(yes, plan.found) if plan.program else None)
    made.carry_out(filled_by(yes, plan.fill, plan.warnings) if plan.fill else True, signed_by(yes, plan.warnings), why)


def _test_alarm(made: FollowUp, wanted: str, yes: bool) -> None:
    if wanted == SKIP or (wanted == ASK and (yes or not agree(False, "Sound the alarm?"))):
        return
    made.alarm_check(lambda: wanted == HEARD if wanted != ASK else agree(False, "Was it heard?"))


def add_to(group: click.Group) -> None:
    """Put the visit into the `thecal` group."""
    group.add_command(visit)
