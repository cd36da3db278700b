"""The commands around the therapy: making and implanting the pump, its clock, its alarms, and what it keeps on record."""

from __future__ import annotations

from typing import Any

import click

from . import present, report, units
from .cli_therapy import agree, confirm_rows, may_ask, told, therapy_options
from .errors import UsageProblem
from .implant import Implant
from .life import MRI_CLASSES, RESPONSES, ImplantRecord, TrialRecord
from .terminal import Session, bar, emit_json, json_option, show_table


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
        seen = pump.look()
        rows = [("pump clock", units.pump_time_text(seen.status.time_s), units.pump_time_text(target))]
        confirm_rows(yes, "clock", rows, "Set the pump's clock?", pump.examine_clock(target, seen))
        done = pump.set_clock(target, seen)
    told("thecal.clock/1", done, as_json, "clock set")


@click.command("implant")
@click.option("--patient", help="Initials; writes the record (without it, the record is shown).")
@click.option("--indication", default="", help="e.g. spasticity.")
@click.option("--tip", "tip_level", default="", help="Level of the catheter tip, e.g. T10.")
@click.option("--no-port", is_flag=True, help="The pump has no catheter access port.")
@click.option("--mri", type=click.Choice(MRI_CLASSES), default=MRI_CLASSES[0], show_default=True)
@therapy_options
@click.pass_obj
def implant_command(session: Session, patient: str | None, indication: str, tip_level: str, no_port: bool, mri: str, yes: bool, as_json: bool) -> None:
    """Whose pump this is and how it lies: show the record, or write it."""
    with session.pump() as pump:
        if patient is None:
            known = pump.implant_record()
            return emit_json("thecal.implant/1", {"record": known.to_dict() if known else None}) if as_json else show_table(
                ("", ""), [(name, str(value)) for name, value in known.to_dict().items()] if known else [("record", "none")])
        may_ask(yes)
        new = ImplantRecord(patient, indication, pump.status().time_s, tip_level, not no_port, mri)
        old = pump.implant_record()
        before = old.to_dict() if old else {}
        rows = [(name, str(before.get(name, present.NONE)), str(value)) for name, value in new.to_dict().items()]
        confirm_rows(yes, "implant record", rows, "Write this record?")
        done = pump.record_implant(new)
    return told("thecal.implant/1", done, as_json, "implant record written")


@click.command()
@click.option("--drug", help="Writes the record (without it, the record is shown).")
@click.option("--concentration", help="e.g. '50 ug/mL'.")
@click.option("--bolus", "boluses", nargs=3, multiple=True, metavar="DOSE RESPONSE EFFECT", help="A single dose, e.g. --bolus '75 ug' yes '6 h'; responses: %s." % ", ".join(RESPONSES))
@click.option("--apart", metavar="DURATION", help="The shortest time between two of the single doses, e.g. '24 h'.")
@click.option("--infusion", "infusions", nargs=3, multiple=True, metavar="DOSE RESPONSE DAYS", help="A short continuous trial, e.g. --infusion '2.4 ug/day' yes '3 d'.")
@click.option("--indicated/--not-indicated", default=True, help="Whether the trial succeeded.")
@therapy_options
@click.pass_obj
def trial(session: Session, drug: str | None, concentration: str | None, boluses: Any, apart: str | None, infusions: Any, indicated: bool, yes: bool,
          as_json: bool) -> None:
    """The screening trial behind this implant: show the record, or write it."""
    with session.pump() as pump:
        if drug is None:
            known = pump.trial_record()
            if as_json:
                return emit_json("thecal.trial/1", {"record": known.to_dict() if known else None})
            return show_table(("trial", ""), [(known.ingredient.name, line) for line in known.lines()] if known else [("record", "none")])
        may_ask(yes)
        if concentration is None:
            raise UsageProblem("a trial record needs --concentration")
        if apart is None and len(boluses) > 1:
            raise UsageProblem("%d single doses need --apart: the shortest time between two of them" % len(boluses))
        doses = [{"dose": dose, "response": response, "effect": effect, **({"after": apart} if number else {})}
                 for number, (dose, response, effect) in enumerate(boluses)]
        doses += [{"kind": "infusion", "dose": dose, "response": response, "watched": days} for dose, response, days in infusions]
        new = TrialRecord.of(drug, concentration, doses, indicated)
        confirm_rows(yes, "trial of %s" % drug, [("", present.NONE, line) for line in new.lines()], "Write this record?")
        done = pump.record_trial(new)
    return told("thecal.trial/1", done, as_json, "trial record written")


@click.command()
@click.argument("state", type=click.Choice(("filled", "empty")))
@therapy_options
@click.pass_obj
def catheter(session: Session, state: str, yes: bool, as_json: bool) -> None:
    """Put on record that the catheter is drug-filled (left in place at a replacement) or empty (revised or aspirated)."""
    may_ask(yes)
    with session.pump() as pump:
        now = "drug-filled" if pump.status().catheter_filled else "empty"
        confirm_rows(yes, "catheter", [("on record", now, "drug-filled" if state == "filled" else "empty: it may be primed")], "Write this?")
        done = pump.record_catheter(state == "filled")
    told("thecal.catheter/1", done, as_json, "catheter on record as %s" % state)


@click.command()
@click.argument("alarm", default="0")
@click.option("--hours", type=click.IntRange(1, 24), default=24, show_default=True)
@json_option
@click.pass_obj
def silence(session: Session, alarm: str, hours: int, as_json: bool) -> None:
    """Silence ALARM (row or name; 0: all) for some hours; it comes back when its cause recurs."""
    with session.pump() as pump:
        told("thecal.silence/1", pump.silence(_row(alarm), hours), as_json, "silenced for %d h" % hours)


@click.command()
@click.argument("alarm", default="0")
@json_option
@click.pass_obj
def acknowledge(session: Session, alarm: str, as_json: bool) -> None:
    """Acknowledge ALARM (row or name; 0: all); one whose cause stands stays."""
    with session.pump() as pump:
        told("thecal.acknowledge/1", pump.acknowledge(_row(alarm)), as_json, "acknowledged")


def _row(alarm: str) -> int | str:
    return int(alarm) if alarm.isdecimal() else alarm


@click.command()
@click.option("--on/--off", "on", default=None, help="Let it learn at refills, or back to the factory's volume.")
@therapy_options
@click.pass_obj
def calibrate(session: Session, on: bool | None, yes: bool, as_json: bool) -> None:
    """The learning calibration: what the pump takes a revolution of its head for. Without an option it is only shown."""
    if on is not None:
        may_ask(yes)
    with session.pump() as pump:
        before = pump.status()
        if on is None:
            row = {"calibration": before.calibration, "trim": before.trim}
            return emit_json("thecal.calibrate/1", row) if as_json else show_table(("", ""), [("calibration", present.calibration_text(before))])
        pending = "learning at refills, within 5 %" if on else "the factory's"
        confirm_rows(yes, "calibration", [("stroke volume", present.calibration_text(before), pending)], "Order this?")
        done = pump.calibration(on)
    return told("thecal.calibrate/1", done, as_json, "the calibration may learn" if on else "the calibration is the factory's")


@click.command("alarm-test")
@click.option("--notice", is_flag=True, help="The single tone instead of the two-tone.")
@therapy_options
@click.pass_obj
def alarm_test(session: Session, notice: bool, yes: bool, as_json: bool) -> None:
    """Sound an alarm once, and ask whether it was heard."""
    with session.pump() as pump:
        done = pump.alarm_test(not notice)
    heard = None if yes else agree(False, "Was it heard?")
    if as_json:
        return emit_json("thecal.alarm-test/1", {"ok": True, **done.to_dict(), "heard": heard})
    return told("thecal.alarm-test/1", done, False, "sounded%s" % ("" if heard is None else ", heard" if heard else ", NOT heard"))


@click.command()
@json_option
@click.pass_obj
def delivery(session: Session, as_json: bool) -> None:
    """What was delivered in each five minutes of the last 15 days."""
    with session.pump() as pump, bar("reading the delivery history") as progress:
        spans = [span.to_dict() for span in pump.delivery(progress)]
    if as_json:
        return emit_json("thecal.delivery/1", {"spans": spans})
    return show_table(("until", "nL", "mode", "nL/day"), [(span["time"], span["delivered_nl"], span["mode"], span["rate_nl_day"]) for span in spans])


def add_to(group: click.Group) -> None:
    """Put these commands into the `thecal` group."""
    for command in (commission, clock, implant_command, trial, catheter, silence, acknowledge, alarm_test, calibrate, delivery):
        group.add_command(command)
