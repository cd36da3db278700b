"""The commands that change therapy: each shows current and pending side by side and asks before anything is committed.

Without a terminal to ask on they need `--yes`, and say so before a byte is sent.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Iterable, Sequence

import click

from . import present, units
from .blocks import STOP_REASONS
from .errors import RequestInvalid, UsageProblem
from .fill import Fill
from .limits import OVERRIDE_REASONS, Finding, overridden
from .orders import PRIME_RATE, UNCONFIRMED, reason_for
from .outcome import OrderResult, Review
from .prescription import Prescription
from .readings import Seen
from .review import PARTS, BolusReview, RefillReview, dry_line, standing, stop_warnings
from .terminal import Session, emit_json, json_option, show_table


def therapy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--yes` and `--json`."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(json_option(command))


Option = Callable[[Callable[..., Any]], Callable[..., Any]]
DRUG_OPTIONS: tuple[Option, ...] = (        # what a fill or a program says about drugs, behind --drug and --concentration
    click.option("--also", nargs=2, multiple=True, metavar="DRUG CONC", help="Another drug of the same fill and its concentration."),
    click.option("--setting", help="Care setting of the limits: non-cancer, cancer, child ..."),
)
DOSE_OPTIONS: tuple[Option, ...] = (        # what only a program says
    click.option("--dose", help="Simple continuous: e.g. '150 ug/day' or '6.25 ug/h'; with --at the daily dose of a periodic program."),
    click.option("--step", "steps", nargs=2, multiple=True, metavar="FROM DOSE", help="Flex: e.g. --step 22:00 '25 ug/h'; up to 13 a day."),
    click.option("--on", "days", nargs=3, multiple=True, metavar="DAY FROM DOSE", help="Flex: a step of one weekday's own list, e.g. --on mon 09:00 '10 ug/h'."),
    click.option("--at", "times", multiple=True, metavar="TIME", help="Periodic: the time of a bolus; up to 12 a day, equal, on the minimum rate."),
    click.option("--over", metavar="DURATION", help="Periodic: how long each bolus takes, e.g. '30 min'."),
    click.option("--minimum", is_flag=True, help="The minimum rate of 0.006 mL/day."),
    click.option("--bolus", "bolus", nargs=4, metavar="DOSE OVER LOCKOUT N", help="Patient bolus: e.g. --bolus '0.2 mg' '10 min' '3 h' 4, N in 24 h."),
    click.option("--interval", nargs=2, metavar="HOURS N", help="Patient bolus: and at most N in so long, e.g. --interval '6 h' 2."),
    click.option("--released", is_flag=True, help="Patient bolus: also in the first 24 h after a fill or a change of dose."),
    click.option("--fallback", help="Fallback rate, e.g. '0.15 mL/day'  [default: by the library]."),
    click.option("--override", type=click.Choice(OVERRIDE_REASONS[1:]), help="Why soft limits are overridden; the pump logs it."),
)
BOLUS_OVERRIDE = click.option("--override", type=click.Choice(OVERRIDE_REASONS[1:]), help="Why soft limits of a single bolus are overridden.")
FILL_OPTIONS: tuple[Option, ...] = (        # what only a fill says
    click.option("--lot", default="", help="Of the drug."),
    click.option("--expiry", metavar="'YYYY-MM-DD HH:MM'", help="On the label."),
    click.option("--rinses", type=click.IntRange(0, 10), default=0, help="Times that the reservoir was rinsed with the new drug before."),
    click.option("--rinse-volume", default="0 mL", help="Of each rinse, e.g. '2 mL'."),
    click.option("--rinse", is_flag=True, help="This is itself a rinse: the drug's life in the pump begins with the fill that follows."),
    click.option("--next-refill", metavar="'YYYY-MM-DD HH:MM'", help="The appointment of the next refill: the pump reminds when it has passed."),
)


def with_options(*options: Option) -> Option:
    """Give a command several options, shown in this order."""
    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command
    return add


def drug_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--drug and --concentration, which must be given, and the rest about drugs."""
    return with_options(click.option("--drug", required=True, help="First drug: the one that is dosed."),
                        click.option("--concentration", required=True, help="e.g. '500 ug/mL'."), *DRUG_OPTIONS)(command)


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
@with_options(*DOSE_OPTIONS)
@click.option("--editor", default="", help="Who programs (initials).")
@click.option("--bridge", is_flag=True, help="The fill has another concentration: first give the old drug in the catheter at its old rate.")
@therapy_options
@click.pass_obj
def program(session: Session, yes: bool, as_json: bool, bridge: bool, override: str | None, **order: Any) -> None:
    """Replace the running program. A soft limit asks twice, or wants --override."""
    may_ask(yes)
    pending = prescribe(**order)
    with session.pump() as pump:
        give = pump.bridge if bridge else pump.program
        done = give(pending, signed_by(yes), override=override or (lambda found: second_question(yes, found)))
    told("thecal.program/1", done, as_json, "running %s" % pending.dose_text())


def signed_by(yes: bool, told: Sequence[str] = ()) -> Callable[[Review], bool]:
    """Shows current and pending side by side with the warnings that were not `told` already, and asks."""
    def confirm(review: Review) -> bool:
        rest = [warning for warning in review.warnings if warning not in told]
        side_by_side("program, digest %s" % review.digest, present.program_rows(review.current, review.pending), rest)
        return agree(yes, "Commit the pending program?")
    return confirm


def second_question(yes: bool, found: list[Finding]) -> str | None:
    """The reason for overriding the soft limits met, asked on the terminal; None where none is met. Raises RequestInvalid with nobody to ask."""
    if not overridden(found):
        return None
    if yes:
        reason_for(found, None)
    for finding in found:
        if finding.bit:
            click.echo("SOFT LIMIT: %s" % finding, err=True)
    return str(click.prompt("Override, because of", type=click.Choice(OVERRIDE_REASONS[1:]), err=True))


def prescribe(
    drug: str, concentration: str, also: Iterable[tuple[str, str]], setting: str | None, dose: str | None, steps: Iterable[tuple[str, str]],
    days: Iterable[tuple[str, str, str]], times: Sequence[str], over: str | None, minimum: bool, bolus: tuple[str, str, str, str] | None,
    interval: tuple[str, str] | None, released: bool, fallback: str | None, editor: str,
) -> Prescription:
    """The prescription that the options of `program` spell. Raises UsageProblem unless exactly one of dose, steps, minimum is given."""
    steps, days = list(steps), list(days)
    if (dose is not None) + bool(steps or days) + minimum != 1:
        raise UsageProblem("give exactly one of --dose, --step (with --on) and --minimum")
    if bool(times) != bool(over) or (times and dose is None):
        raise UsageProblem("a periodic program needs --dose, --at and --over together")
    if (interval or released) and not bolus:
        raise UsageProblem("--interval and --released are for a patient bolus: give --bolus")
    common: dict[str, Any] = {"concentration": concentration, "also": dict(also), "setting": setting, "fallback": fallback, "editor": editor}
    made = _mode(drug, dose, steps, days, times, over, common)
    if not bolus:
        return made
    span, count = interval or (None, None)
    return made.with_bolus(bolus[0], bolus[1], bolus[2], _number(bolus[3]), interval=span, per_interval=_number(count) if count else None, released=released)


def _mode(drug: str, dose: str | None, steps: list[tuple[str, str]], days: list[tuple[str, str, str]], times: Sequence[str], over: str | None,
          common: dict[str, Any]) -> Prescription:
    if times and dose is not None and over is not None:
        return Prescription.periodic(drug, dose=dose, times=times, over=over, **common)
    if dose is not None:
        return Prescription.simple(drug, dose=dose, **common)
    if not steps and not days:
        return Prescription.minimum_rate(drug, **common)
    weekdays: dict[str, list[dict[str, str]]] = {}
    for day, start, amount in days:
        weekdays.setdefault(day, []).append({"from": start, "dose": amount})
    return Prescription.flex(drug, steps=[{"from": start, "dose": amount} for start, amount in steps], weekdays=weekdays, **common)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise UsageProblem("%r is no whole number of boluses" % text)
    return int(text)


@click.command()
@click.option("--volume", required=True, help="What went in, e.g. '18.6 mL'.")
@click.option("--withdrawn", default="0 mL", show_default=True, help="What the syringe took out before.")
@with_options(*FILL_OPTIONS)
@drug_options
@therapy_options
@click.pass_obj
def refill(session: Session, volume: str, also: Any, yes: bool, as_json: bool, **given: Any) -> None:
    """Record a refill: another drug or dose at the running rate, mixing, a bridge that is due and an odd withdrawn volume are shown."""
    may_ask(yes)
    fill = Fill(volume, also=dict(also), **given)
    with session.pump() as pump:
        done = pump.refill(fill, filled_by(yes, fill))
    told("thecal.refill/1", done, as_json, "refilled with %s" % volume)


def filled_by(yes: bool, fill: Fill, told: Sequence[str] | None = None) -> Callable[[RefillReview], bool]:
    """Shows what the fill does to the running program, with its warnings unless a plan `told` them, and asks."""
    def confirm(seen: RefillReview) -> bool:
        side_by_side("refill", present.refill_rows(seen.status, seen.running, fill, seen.implant), seen.warnings if told is None else ())
        return agree(yes, "Record this refill?")
    return confirm


def _delivery_rows(seen: Seen, pending: str) -> list[present.Row]:
    return [("delivery", present.state_text(seen.status, seen.running), pending)]


@click.command()
@click.option("--reason", type=click.Choice(STOP_REASONS), default=STOP_REASONS[0], show_default=True)
@therapy_options
@click.pass_obj
def stop(session: Session, reason: str, yes: bool, as_json: bool) -> None:
    """Stop delivery. What is missed meanwhile is never made up."""
    may_ask(yes)
    with session.pump() as pump:
        seen = pump.look()
        confirm_rows(yes, "stop", _delivery_rows(seen, "STOPPED, 0 mL/day"), "Stop the pump?", [*standing(seen.status), *stop_warnings(seen.running)])
        done = pump.stop(reason)
    told("thecal.stop/1", done, as_json, "stopped")


@click.command()
@therapy_options
@click.pass_obj
def resume(session: Session, yes: bool, as_json: bool) -> None:
    """Take the committed program up again."""
    may_ask(yes)
    with session.pump() as pump:
        seen = pump.look()
        pending = "delivering " + seen.running.dose_text() if seen.running else "no program"
        confirm_rows(yes, "resume", _delivery_rows(seen, pending), "Resume delivery?", [*standing(seen.status), *dry_line(seen.status, seen.running, seen.implant)])
        done = pump.resume(seen)
    told("thecal.resume/1", done, as_json, "resumed")


@click.command()
@click.argument("what", type=click.Choice(PARTS), default="both")
@click.option("--volume", help="e.g. '0.375 mL'  [default: what the part holds].")
@click.option("--rate", default=PRIME_RATE, show_default=True)
@therapy_options
@click.pass_obj
def prime(session: Session, what: str, volume: str | None, rate: str, yes: bool, as_json: bool) -> None:
    """Fill the tubing, the catheter or both with drug. Refused when the catheter is on record as drug-filled."""
    may_ask(yes)
    amount = present.show_flow(units.flow_nl_day(rate, "--rate"))
    with session.pump() as pump:
        seen = pump.look()
        found = pump.examine_prime(what, volume, seen)
        rows = [*_delivery_rows(seen, "priming %s at %s" % (what, amount)),
                ("if the catheter is drug-filled, the patient gets", present.NONE, found.text(seen.running)),
                ("the catheter", "on record as %s" % ("drug-filled" if found.filled else "empty"), present.NONE)]
        confirm_rows(yes, "prime", rows, "Prime?", [*standing(seen.status), *found.warnings])
        done = pump.prime(what, volume, rate, seen)
    told("thecal.prime/1", done, as_json, "priming %s" % what)


@click.command()
@click.argument("dose", required=False)
@click.option("--over", metavar="DURATION", help="How long it takes, e.g. '10 min'.")
@BOLUS_OVERRIDE
@therapy_options
@click.pass_obj
def bolus(session: Session, dose: str | None, over: str | None, override: str | None, yes: bool, as_json: bool) -> None:
    """A single bolus of DOSE on top of the program: a soft limit asks twice, or wants --override. With `--role patient` and no DOSE, the patient's request."""
    if session.role == "patient":
        if dose or over or override:
            raise UsageProblem("a patient asks for the bolus that the program grants: no dose, no duration")
        with session.pump() as pump:
            done = pump.request_bolus()
        return told("thecal.bolus/1", done, as_json, "bolus granted")
    if dose is None or over is None:
        raise UsageProblem("a single bolus needs DOSE and --over; a patient's request needs --role patient")
    may_ask(yes)
    with session.pump() as pump:
        seen = pump.look()

        def confirm(found: BolusReview) -> bool:
            rows = [*_delivery_rows(seen, "%s over %s on top of it" % (dose, over)), ("a day with it", present.NONE, found.day)]
            side_by_side("single bolus", rows, [*standing(seen.status), *found.warnings])
            return agree(yes, "Give this bolus?")

        done = pump.bolus(dose, over, confirm, seen, override or (lambda found: second_question(yes, found)))
    return told("thecal.bolus/1", done, as_json, "bolus of %s over %s" % (dose, over))


@click.command()
@click.option("--minutes", type=click.IntRange(1, 1440), default=60, show_default=True)
@therapy_options
@click.pass_obj
def pause(session: Session, minutes: int, yes: bool, as_json: bool) -> None:
    """Deliver nothing for some minutes, then the program again by itself. What is missed is never made up."""
    may_ask(yes)
    with session.pump() as pump:
        seen = pump.look()
        warnings = [*standing(seen.status), *pump.examine_pause(minutes, seen)]
        confirm_rows(yes, "pause", _delivery_rows(seen, "PAUSED for %d min" % minutes), "Pause the pump?", warnings)
        done = pump.pause(minutes, seen)
    told("thecal.pause/1", done, as_json, "paused for %d min" % minutes)


def add_to(group: click.Group) -> None:
    """Put these commands into the `thecal` group."""
    for command in (program, refill, stop, resume, pause, prime, bolus):
        group.add_command(command)
