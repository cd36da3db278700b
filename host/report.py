"""The visit report: everything alarms.md section 5 asks for that the pump has on record, as one dictionary and as text to sign."""

from __future__ import annotations

from typing import Any, Callable

from ..protocol import catalogue
from . import present, units
from .fill import empty_date, low_reservoir_date
from .implant import Implant
from .prescription import Prescription
from .outcome import describe
from .programmer import Programmer, Progress
from .records import Event, Status
from .review import contents_note, delivered_since_refill_nl

SCHEMA = "thecal.report/1"
NOTICE = "thecal is a simulator: not a medical device, not clinical advice."
# Until a firmware detects row 6 of alarms.md: see host/alarms.py.
STALL_NOTE = "                 missed by stall is what the encoder did not see: a dead encoder books delivered drug as missed; compare the withdrawn volume"
RECENT = 40  # events printed in the text; the JSON has them all


def collect(pump: Programmer, host_s: int | None = None, since: int | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """One visit's data. `host_s`: this computer's clock in pump seconds, to compare; `since`: first event number of the visit's list
    (default: the last committed program). Raises what Programmer's reading methods raise."""
    identity, status, implant, program = pump.identity(), pump.status(), pump.implant(), pump.program_running()
    events = pump.log(progress=progress)
    programs = [event for event in events if event.code == catalogue.E_PROGRAM]
    refills = [event for event in events if event.code == catalogue.E_REFILL]
    first = since if since is not None else (programs[-1].seq if programs else 0)
    return {
        "schema": SCHEMA,
        "notice": NOTICE,
        "identity": identity.to_dict(),
        "state": present.state_text(status, program),
        "alarms": [{**alarm.to_dict(), "since": _since(events, alarm.row)} for alarm in status.alarms],
        "latched": [alarm.to_dict() for alarm in status.latched],
        "status": status.to_dict(),
        "program": describe(program),
        "schedule": present.schedule_lines(program) if program else [],
        "program_since": units.pump_time_text(programs[-1].time_s) if programs else None,
        "low_reservoir_date": _date(low_reservoir_date, status, implant, program),
        "empty_date": _date(empty_date, status, implant, program),
        "drug_expiry_date": _expiry(refills, program),
        "contents_note": contents_note(refills, programs),
        "last_refill": refills[-1].to_dict() if refills else None,
        "delivered_since_refill_nl": delivered_since_refill_nl(status, events, implant) if implant else None,
        "clock_difference_s": None if host_s is None else status.time_s - host_s,
        "implant": implant_dict(implant),
        "events": [event.to_dict() for event in events if event.seq >= first],
        "oldest_event": events[0].seq if events else None,
    }


def implant_dict(implant: Implant | None) -> dict[str, Any] | None:
    """The implant record as plain data, dead volume included."""
    return None if implant is None else {**implant.__dict__, "dead_volume_nl": implant.dead_volume_nl}


def _since(events: list[Event], row: int) -> str | None:
    raised = [event for event in events if event.code == catalogue.E_ALARM and event.cause == row]
    return units.pump_time_text(raised[-1].time_s) if raised else None


def _date(of: Callable[..., int], status: Status, implant: Implant | None, program: Prescription | None) -> str | None:
    if implant is None or program is None or program.weekly_nl() == 0:
        return None
    return units.pump_time_text(of(program, status.reservoir_computed_nl, status.time_s, residual_nl=implant.residual_ul * 1000))


def _expiry(refills: list[Event], program: Prescription | None) -> str | None:
    """The shortest in-pump life of the fill's drugs, from the last refill; the first fill on record has its own."""
    lives = [item.drug for item in program.ingredients if item.drug is not None] if program else []
    if not refills or not lives:
        return None
    life = min(drug.first_fill_life_s if len(refills) == 1 else drug.in_pump_life_s for drug in lives)
    return units.pump_time_text(refills[-1].time_s + life)[:10]


def as_text(visit: dict[str, Any]) -> str:
    """The report for the file: alarms first, then state, drugs, schedule, reservoir, ledger, implant, events, signature."""
    status, program, identity = visit["status"], visit["program"], visit["identity"]
    lines = [
        "VISIT REPORT   pump %d, firmware %s on %s" % (identity["serial"], identity["firmware_version"], identity["runtime"]),
        NOTICE, "",
        *_alarm_lines(visit),
        "state            %s" % visit["state"],
        "pump clock       %s%s" % (status["time"], _clock_text(visit["clock_difference_s"])),
    ]
    if program:
        for drug in program["drugs"]:
            lines.append("drug             %s %s, %s" % (drug["name"], drug["concentration"], drug["daily_dose"]))
        if visit["contents_note"]:
            lines.append("contents         %s" % visit["contents_note"])
        lines += ["schedule         %s" % line for line in visit["schedule"]]
        lines.append("fallback         %s, safe state %s" % (units.show(program["fallback_nl_day"], units.FLOW, "mL/day", places=6), program["safe_state"]))
        lines.append("program          %s since %s, editor %s" % (status["running_digest"], visit["program_since"], program["editor"] or "not given"))
    lines += [
        "reservoir        %s computed, %s sensed" % (_ml(status["reservoir_computed_nl"]), _ml(status["reservoir_sensed_nl"])),
        "low reservoir    %s" % ("%s, used up %s" % (visit["low_reservoir_date"], visit["empty_date"]) if program else "no date: nothing is programmed"),
        "drug expires     %s" % (visit["drug_expiry_date"] or "not known"),
        "battery          %d mV" % status["battery_mv"],
        "demanded         %s" % _ml(status["demanded_nl"]),
        "ordered          %s in %d pulses" % (_ml(round(status["ordered_nl"])), status["pulses"]),
        "missed           %s%s" % (_ml(status["missed_total_nl"]), _causes(status["missed_nl"])),
        *([STALL_NOTE] if status["missed_nl"].get("stall") else []),
    ]
    if visit["implant"]:
        implant = visit["implant"]
        lines.append("implant          serial %d, reservoir %d mL, catheter %d mm, dead volume %s, %d nL a revolution" % (
            implant["serial"], implant["capacity_ul"] // 1000, implant["catheter_mm"], _ml(implant["dead_volume_nl"]), implant["nl_per_rev"]))
    lines += ["", "events"]
    shown = visit["events"][-RECENT:]
    if len(shown) < len(visit["events"]):
        lines.append("  (%d earlier ones are in the JSON)" % (len(visit["events"]) - len(shown)))
    lines += ["  %6d  %s  %s  %s" % (event["seq"], event["time"], event["name"], event["text"]) for event in shown]
    if program:
        lines += ["", "signed for program %s: ______________________" % status["running_digest"]]
    return "\n".join(line.rstrip() for line in lines)


def _alarm_lines(visit: dict[str, Any]) -> list[str]:
    if not visit["alarms"]:
        return ["alarms           none active"]
    return ["ALARM            %d %s (priority %d) since %s: %s" % (
        alarm["code"], alarm["name"], alarm["priority"], alarm["since"] or "before the log", alarm["action"]) for alarm in visit["alarms"]]


def _clock_text(difference_s: int | None) -> str:
    if difference_s is None:
        return ""
    return ", %s %s this computer" % (units.duration_text(abs(difference_s)), "ahead of" if difference_s > 0 else "behind")


def _ml(volume_nl: int) -> str:
    return units.show(volume_nl, units.VOLUME, "mL", places=3)


def _causes(missed_nl: dict[str, int]) -> str:
    parts = ["%s %s" % (cause, _ml(volume)) for cause, volume in missed_nl.items() if volume]
    return " (%s)" % ", ".join(parts) if parts else ""


