"""The commands that change therapy: each shows current and pending side by side and asks before anything is committed.

Without a terminal to ask on they need `--yes`, and say so before a byte is sent.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Iterable

import click

from . import present, report, units
from .blocks import STOP_REASONS
from .errors import RequestInvalid, UsageProblem
from .fill import Fill
from .implant import Implant
from .prescription import Prescription
from .outcome import OrderResult, Review
from .programmer import PRIME_RATE, UNCONFIRMED, Programmer
from .review import RefillReview
from .terminal import Session, emit_json, json_option, show_table

BRIDGE_NOTE = ("two orders, the slower rate first: if the line is lost in between the patient gets too little, not too much; "
               "give this command again as soon as it is back")

def therapy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--yes` and `--json`."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(json_option(command))


def drug_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a fill or a program says about drugs."""
    command = click.option("--setting", help="Care setting of the limits: non-cancer, cancer, child ...")(command)
    command = click.option("--also", nargs=2, multiple=True, metavar="DRUG CONC", help="Another drug of the same fill and its concentration.")(command)
    command = click.option("--concentration", required=True, help="e.g. '500 ug/mL'.")(command)
    return click.option("--drug", required=True, help="First drug: the one that is dosed.")(command)


def may_ask(yes: bool) -> None:
    """Raises UsageProblem when nobody can be asked and nobody said yes."""
    if not yes and not sys.stdin.isatty():
        raise UsageProblem("this changes therapy: add --yes when there is no terminal to ask on")


def agree(yes: bool, question: str) -> bool:
    """Ask on stderr unless `yes`."""
    return yes or click.confirm(question, default=False, err=True)


def side_by_side(title: str, rows: Iterable[present.Row], warnings: Iterable[str] = ()) -> None:
    """current | pending on stderr, warnings below."""
    show_table(("", "current", "pending"), list(rows), stderr=True, title=title)
    for warning in warnings:
        click.echo("WARNING: %s" % warning, err=True)


def told(schema: str, done: OrderResult, as_json: bool, sentence: str) -> None:
    """What was committed: JSON or one line on stdout."""
    if as_json:
        emit_json(schema, {"ok": True, **done.to_dict()})
    else:
        click.echo("%s%s at %s, digest %s" % (sentence, " (the pump had done it before)" if done.again else "", units.pump_time_text(done.time_s), done.digest))


def confirm_rows(yes: bool, title: str, rows: Iterable[present.Row], question: str, warnings: Iterable[str] = ()) -> None:
    """Show and ask. Raises RequestInvalid when the answer is no."""
    side_by_side(title, rows, warnings)
    if not agree(yes, question):
        raise RequestInvalid(UNCONFIRMED)


@click.command()
@drug_options
@click.option("--dose", help="Simple continuous: e.g. '150 ug/day' or '6.25 ug/h'.")
@click.option("--step", "steps", nargs=2, multiple=True, metavar="FROM DOSE", help="Flex: e.g. --step 22:00 '25 ug/h'; up to 13 a day.")
@click.option("--on", "days", nargs=3, multiple=True, metavar="DAY FROM DOSE", help="Flex: a step of one weekday's own list, e.g. --on mon 09:00 '10 ug/h'.")
@click.option("--minimum", is_flag=True, help="The minimum rate of 0.006 mL/day.")
@click.option("--fallback", help="Fallback rate, e.g. '0.15 mL/day'  [default: by the library].")
@click.option("--editor", default="", help="Who programs (initials).")
@click.option("--bridge", is_flag=True, help="The fill has another concentration: first give the old drug in the catheter at its old rate.")
@therapy_options
@click.pass_obj
def program(session: Session, yes: bool, as_json: bool, bridge: bool, **order: Any) -> None:
    """Replace the running program."""
    may_ask(yes)
    pending = prescribe(**order)

    def confirm(review: Review) -> bool:
        side_by_side("program, digest %s" % review.digest, present.program_rows(review.current, review.pending), review.warnings)
        return agree(yes, "Commit the pending program?")

    with session.pump() as pump:
        done = bridged(pump, pending, yes) if bridge else pump.program(pending, confirm)
    told("thecal.program/1", done, as_json, "running %s" % pending.dose_text())


def bridged(pump: Programmer, pending: Prescription, yes: bool) -> OrderResult:
    """Ask, then bridge and commit, in the order that errs towards too little (Programmer.bridge); after a lost line say it again.

    Raises RequestInvalid when no bridge is due.
    """
    current, warnings = pump.examine(pending)
    span = pump.bridge_due(pending)
    if span is None:
        raise RequestInvalid("no bridge is due: the program's drugs and concentrations are those that run")
    rows = [*present.program_rows(current, pending), ("bridge", present.NONE, span.text())]
    confirm_rows(yes, "program behind a bridge", rows, "Bridge and commit the pending program?", [*warnings, BRIDGE_NOTE])
    return pump.bridge(span, pending)


def prescribe(
    drug: str, concentration: str, also: Iterable[tuple[str, str]], setting: str | None, dose: str | None, steps: Iterable[tuple[str, str]],
    days: Iterable[tuple[str, str, str]], minimum: bool, fallback: str | None, editor: str,
) -> Prescription:
    """The prescription that the options of `program` spell. Raises UsageProblem unless exactly one of dose, steps, minimum is given."""
    steps, days = list(steps), list(days)
    if (dose is not None) + bool(steps or days) + minimum != 1:
        raise UsageProblem("give exactly one of --dose, --step (with --on) and --minimum")
    common: dict[str, Any] = {"concentration": concentration, "also": dict(also), "setting": setting, "fallback": fallback, "editor": editor}
    if minimum:
        return Prescription.minimum_rate(drug, **common)
    if dose is not None:
        return Prescription.simple(drug, dose=dose, **common)
    weekdays: dict[str, list[dict[str, str]]] = {}
    for day, start, amount in days:
        weekdays.setdefault(day, []).append({"from": start, "dose": amount})
    return Prescription.flex(drug, steps=[{"from": start, "dose": amount} for start, amount in steps], weekdays=weekdays, **common)


@click.command()
@click.option("--volume", required=True, help="What went in, e.g. '18.6 mL'.")
@click.option("--withdrawn", default="0 mL", show_default=True, help="What the syringe took out before.")
@drug_options
@therapy_options
@click.pass_obj
def refill(session: Session, volume: str, withdrawn: str, drug: str, concentration: str, also: Any, setting: str | None, yes: bool, as_json: bool) -> None:
    """Record a refill: another drug or dose at the running rate, mixing, a bridge that is due and an odd withdrawn volume are shown."""
    may_ask(yes)
    fill = Fill(volume, drug, concentration, withdrawn=withdrawn, also=dict(also), setting=setting)

    def confirm(seen: RefillReview) -> bool:
        side_by_side("refill", present.refill_rows(seen.status, seen.running, fill, seen.implant), seen.warnings)
        return agree(yes, "Record this refill?")

    with session.pump() as pump:
        done = pump.refill(fill, confirm)
    told("thecal.refill/1", done, as_json, "refilled with %s" % volume)


def _delivery_rows(pump: Programmer, pending: str) -> list[present.Row]:
    now, running = pump.status(), pump.program_running()
    return [("delivery", present.state_text(now, running), pending)]


@click.command()
@click.option("--reason", type=click.Choice(STOP_REASONS), default=STOP_REASONS[0], show_default=True)
@therapy_options
@click.pass_obj
def stop(session: Session, reason: str, yes: bool, as_json: bool) -> None:
    """Stop delivery. What is missed meanwhile is never made up."""
    may_ask(yes)
    with session.pump() as pump:
        running = pump.program_running()
        dangerous = [item.name for item in running.ingredients if item.drug and item.drug.abrupt_stop_dangerous] if running else []
        warnings = ["stopping %s abruptly is dangerous: withdrawal" % name for name in dangerous]
        confirm_rows(yes, "stop", _delivery_rows(pump, "STOPPED, 0 mL/day"), "Stop the pump?", warnings)
        done = pump.stop(reason)
    told("thecal.stop/1", done, as_json, "stopped")


@click.command()
@therapy_options
@click.pass_obj
def resume(session: Session, yes: bool, as_json: bool) -> None:
    """Take the committed program up again."""
    may_ask(yes)
    with session.pump() as pump:
        running = pump.program_running()
        pending = "delivering " + running.dose_text() if running else "no program"
        confirm_rows(yes, "resume", _delivery_rows(pump, pending), "Resume delivery?")
        done = pump.resume()
    told("thecal.resume/1", done, as_json, "resumed")


@click.command()
@click.argument("volume")
@click.option("--rate", default=PRIME_RATE, show_default=True)
@therapy_options
@click.pass_obj
def prime(session: Session, volume: str, rate: str, yes: bool, as_json: bool) -> None:
    """Fill tubing and catheter with VOLUME ('0.375 mL'), once: the pump refuses it when the catheter is on record as filled."""
    may_ask(yes)
    amount = present.show_flow(units.flow_nl_day(rate, "--rate"))
    with session.pump() as pump:
        seen = pump.examine_prime(volume, rate)
        rows = [*_delivery_rows(pump, "priming %s at %s" % (volume, amount)),
                ("if the catheter is drug-filled, the patient gets", present.NONE, seen.text(pump.program_running())),
                ("the catheter", "on record as %s" % ("filled" if seen.filled else "not filled"), present.NONE)]
        confirm_rows(yes, "prime", rows, "Prime?", seen.warnings)
        done = pump.prime(volume, rate)
    told("thecal.prime/1", done, as_json, "priming %s" % volume)


@click.command()
@click.option("--serial", type=click.IntRange(min=1), required=True)
@click.option("--catheter", default="80 cm", show_default=True, help="Length left after trimming.")
@click.option("--reservoir", default="20 mL", show_default=True)
@click.option("--residual", default="1.4 mL", show_default=True, help="Unusable rest.")
@click.option("--contact", default="", help="The clinic's telephone for the emergency card, e.g. 'clinic +00 000 0000'; at most 32 characters.")
@therapy_options
@click.pass_obj
def commission(session: Session, serial: int, catheter: str, reservoir: str, residual: str, contact: str, yes: bool, as_json: bool) -> None:
    """Write the implant record of the reference pump."""
    may_ask(yes)
    new = Implant.reference(serial, catheter, reservoir, residual, contact)
    with session.pump() as pump:
        old = report.implant_dict(pump.implant()) or {}
        rows = [(name, str(old.get(name, present.NONE)), str(value)) for name, value in (report.implant_dict(new) or {}).items()]
        confirm_rows(yes, "implant record", rows, "Write this implant record?")
        done = pump.commission(new)
    told("thecal.commission/1", done, as_json, "commissioned")


@click.command()
@click.option("--to", "moment", help="'YYYY-MM-DD HH:MM'  [default: this computer's local time].")
@therapy_options
@click.pass_obj
def clock(session: Session, moment: str | None, yes: bool, as_json: bool) -> None:
    """Set the pump's clock: it decides when flex steps change."""
    may_ask(yes)
    with session.pump() as pump:
        target = units.pump_time_s(moment, "--to") if moment else units.host_pump_time_s()
        rows = [("pump clock", units.pump_time_text(pump.status().time_s), units.pump_time_text(target))]
        confirm_rows(yes, "clock", rows, "Set the pump's clock?")
        done = pump.set_clock(target)
    told("thecal.clock/1", done, as_json, "clock set")


def add_to(group: click.Group) -> None:
    """Put these commands into the `thecal` group."""
    for command in (program, refill, stop, resume, prime, commission, clock):
        group.add_command(command)
