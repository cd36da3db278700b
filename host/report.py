"""The visit report: everything alarms.md section 5 asks for that the pump has on record, as one dictionary and as text to sign."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ..protocol import catalogue
from . import forecast, present, screen, units
from .implant import Implant
from .life import Contents
from .orders import EVENT_TAIL
from .outcome import describe
from .prescription import Prescription, same_drugs, show_flow
from .programmer import Programmer, Progress
from .readings import Seen
from .records import Day, Event, Status, reason_text
from .review import delivered_since_refill_nl, dry_line, named

SCHEMA = "thecal.report/1"
NOTICE = "thecal is a simulator: not a medical device, not clinical advice."
RECENT = 40  # events printed in the text; the JSON has them all
ACCURACY_PCT = 14.5  # published accuracy of delivered volume, +/- (ECRI 2014, alarms.md 4)


def collect(pump: Programmer, host_s: int | None = None, since: int | None = None, progress: Progress | None = None, recent: bool = False) -> dict[str, Any]:
    """One visit's data. `host_s`: this computer's clock in pump seconds, to compare; `since`: first event number of the visit's list
    (default: the last signed visit); `recent`: read only the end of the log, and no daily totals. Raises what Programmer's reading methods raise."""
    identity, seen = pump.identity(), pump.look()
    status, implant, program = seen.status, seen.implant, seen.running
    contents, record, trial = pump.contents(), pump.implant_record(), pump.trial_record()
    events = pump.log(max(0, status.next_event - EVENT_TAIL) if recent else 0, progress)
    programs = [event for event in events if event.code == catalogue.E_PROGRAM]
    refills = [event for event in events if event.code == catalogue.E_REFILL]
    visits = [event for event in events if event.code == catalogue.E_VISIT]
    first = since if since is not None else (visits[-1].seq if visits else 0)
    reservoir = forecast.reservoir(status, implant, program, contents) if implant else None
    battery = forecast.battery(status, record, program, events)
    return {
        "schema": SCHEMA,
        "notice": NOTICE,
        "identity": identity.to_dict(),
        "state": present.state_text(status, program),
        "alarms": [{**alarm.to_dict(), **_raised(events, alarm.row)} for alarm in status.alarms],
        "latched": [alarm.to_dict() for alarm in status.latched],
        "status": status.to_dict(),
        "program": describe(program),
        "now": _now(pump, seen),
        "schedule": present.schedule_lines(program) if program else [],
        "chart": screen.day_chart(program, status.time_s // units.DAY_S % 7) if program else [],
        "extra": _extra(status, program),
        "catheter_note": "; ".join(dry_line(status, program, implant)) or None,
        "program_since": units.pump_time_text(programs[-1].time_s) if programs else None,
        "reservoir": reservoir.to_dict() if reservoir else None,
        "battery": {**battery.to_dict(), "text": battery.text()} if battery else None,
        "contents": contents.to_dict() if contents else None,
        "next_refill": units.pump_time_text(refills[-1].time_s + contents.next_s) if contents and contents.next_s and refills else None,
        "contents_note": _contents_note(contents, program),
        "implant_record": record.to_dict() if record else None,
        "trial": {**trial.to_dict(), "lines": trial.lines()} if trial else None,
        "boluses": _boluses([event for event in events if event.seq >= first]),
        "overrides": [event.to_dict() for event in events if event.code == catalogue.E_OVERRIDE and event.seq >= first],
        "last_visit": visits[-1].to_dict() if visits else None,
        "last_refill": refills[-1].to_dict() if refills else None,
        "delivered_since_refill_nl": delivered_since_refill_nl(status, events, implant) if implant else None,
        "delivered": None if recent else _delivered(pump.history(), visits[-1] if visits else None),
        "clock_difference_s": None if host_s is None else status.time_s - host_s,
        "implant": implant_dict(implant),
        "events": [event.to_dict() for event in events if event.seq >= first],
        "event_count": status.next_event - first if visits or since is not None or not events or events[0].seq == 0 else None,
        "oldest_event": events[0].seq if events else None,
    }


def implant_dict(implant: Implant | None) -> dict[str, Any] | None:
    """The implant record as plain data, dead volume included."""
    return None if implant is None else {**implant.__dict__, "dead_volume_nl": implant.dead_volume_nl}


def _raised(events: list[Event], row: int) -> dict[str, str | None]:
    """When a standing alarm was raised (None: before the events read here), and what the pump said of it beyond its name."""
    raised = [event for event in events if event.code == catalogue.E_ALARM and event.cause == row]
    return {"since": units.pump_time_text(raised[-1].time_s) if raised else None, "why": raised[-1].text.partition(": ")[2] if raised else ""}


def _now(pump: Programmer, seen: Seen) -> str:
    """What the head gives now, in dose and flow: of the old drug while a bridge runs; a prime fills the line and gives no dose."""
    status = seen.status
    flow, held = show_flow(status.rate_nl_day), pump.drugs_at_head(seen)
    if held is None or status.mode == "priming":
        return flow
    return "%s at %s" % (" + ".join("%s %s of %s" % (item.show_dose(item.dose_ng(status.rate_nl_day)), item.name, item.show_concentration()) for item in held), flow)


def _extra(status: Status, program: Prescription | None) -> dict[str, Any] | None:
    """The prime, bridge or bolus under way: what is left of it, and when it ends; an end that nobody knows (stopped, stalled) is None."""
    kind, left_nl = status.extra, status.extra_left_nl
    if kind == "none":
        return None
    basal = program.rate_at(status.time_s) if program and kind in ("bolus", "patient bolus") else 0
    rate = status.rate_nl_day - basal
    left_s = round(Fraction(left_nl * units.DAY_S, rate)) if rate > 0 else None
    return {"kind": kind, "left_nl": left_nl, "left_s": left_s, "ends": None if left_s is None else units.pump_time_text(status.time_s + left_s)}


def _contents_note(contents: Contents | None, program: Prescription | None) -> str | None:
    """That the program's drugs are not those of the last fill: its doses then hold only up to the catheter's tip."""
    if contents is None or program is None:
        return None
    if same_drugs(contents.ingredients, program.ingredients):
        return None
    return "the last fill is %s, the program is written for %s: program the new fill behind a bridge" % (contents.text(), named(program.ingredients))


def _boluses(events: list[Event]) -> dict[str, Any]:
    """What the patient asked for since the last visit: granted, and refused by reason and by hour of the day."""
    granted = [event for event in events if event.code == catalogue.E_BOLUS and catalogue.EXTRAS[event.cause] == "patient bolus"]
    refused = [event for event in events if event.code == catalogue.E_DENIED]
    reasons = {reason_text(cause): sum(event.cause == cause for event in refused) for cause in sorted({event.cause for event in refused})}
    hours = {"%02d" % hour: count for hour in range(24) if (count := sum(event.time_s % units.DAY_S // 3600 == hour for event in [*granted, *refused]))}
    return {"granted": len(granted), "refused": len(refused), "refused_by_reason": reasons, "asked_by_hour": hours}


def _delivered(days: list[Day], visit: Event | None) -> dict[str, Any] | None:
    """Prescribed and delivered volume of the closed days since the last visit (without one: of all on record); None before a day is closed.

    A pulse that did not turn the rotor is missed, and not in what its day ordered.
    """
    counted = {day.day: day for day in days if visit is None or day.day >= visit.time_s // units.DAY_S}
    if not counted:
        return None
    ordered, missed = sum(day.ordered_nl for day in counted.values()), sum(day.missed_nl for day in counted.values())
    return {"days": len(counted), "prescribed_nl": ordered + missed, "delivered_nl": ordered, "missed_nl": missed, "accuracy_pct": ACCURACY_PCT}


def delivered_text(delivered: dict[str, Any] | None) -> str:
    """'4.2 mL of 4.2 mL prescribed in 14 closed days (100 %), ...', with the uncertainty of a head that nobody weighs."""
    if delivered is None:
        return "no day is closed yet"
    share = units.decimal_text(Fraction(delivered["delivered_nl"] * 100, delivered["prescribed_nl"]), 1) if delivered["prescribed_nl"] else "-"
    return "%s of %s prescribed in %d closed days (%s %%), primes and boluses included, %s missed; the head's published accuracy is +/- %g %%" % (
        screen.ml(delivered["delivered_nl"]), screen.ml(delivered["prescribed_nl"]), delivered["days"], share, screen.ml(delivered["missed_nl"]),
        delivered["accuracy_pct"])


def as_text(visit: dict[str, Any]) -> str:
    """The report for the file: the interrogation screen, ledger, trial at a first programming, events, overrides, signature."""
    status, identity = visit["status"], visit["identity"]
    lines = ["VISIT REPORT   pump %d, firmware %s on %s" % (identity["serial"], identity["firmware_version"], identity["runtime"]), NOTICE, ""]
    rows = [*screen.rows(visit),
            ("delivered", delivered_text(visit["delivered"])),
            ("demanded", screen.ml(status["demanded_nl"])),
            ("ordered", "%s in %d pulses" % (screen.ml(round(status["ordered_nl"])), status["pulses"])),
            ("missed", screen.ml(status["missed_total_nl"]) + _causes(status["missed_nl"]))]
    if visit["trial"]:
        rows += [("trial", "%s: %s" % (visit["trial"]["drug"], line)) for line in visit["trial"]["lines"]]
    lines += ["%-16s %s" % row for row in rows]
    lines += ["", "events"]
    told = [event for event in visit["events"] if not _routine(event)]
    shown = told[-RECENT:]
    if len(shown) < len(visit["events"]):
        lines.append("  (%d earlier ones and %d of routine (whose orders, passed self-tests) are in the JSON)" % (
            len(told) - len(shown), len(visit["events"]) - len(told)))
    lines += ["  %6d  %s  %s  %s" % (event["seq"], event["time"], event["name"], event["text"]) for event in shown]
    if visit["overrides"]:
        lines += ["", "soft limits overridden"] + ["  %s  %s" % (event["time"], event["text"]) for event in visit["overrides"]]
    if visit["program"]:
        lines += ["", "signed for program %s: ______________________" % status["running_digest"]]
    return "\n".join(line.rstrip() for line in lines)


def _routine(event: dict[str, Any]) -> bool:
    """Whose orders follow and self-tests that passed are kept and counted, and not printed one by one."""
    return event["code"] == catalogue.E_SESSION or (event["code"] == catalogue.E_SELF_TEST and event["cause"] == 0)


def _causes(missed_nl: dict[str, int]) -> str:
    parts = ["%s %s" % (cause, screen.ml(volume)) for cause, volume in missed_nl.items() if volume]
    return " (%s)" % ", ".join(parts) if parts else ""
