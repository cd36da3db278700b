"""The interrogation screen: what alarms.md section 5 asks to be seen of a pump, in its order, as (what, text) rows made from one report's data.

`thecal status`, the report and the visit print the same rows. Makes text, prints nothing.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from . import units
from .prescription import NL_PER_ML, Prescription, show_flow

HOURS = 24
CHART_LINES = 4


def rows(seen: dict[str, Any]) -> list[tuple[str, str]]:
    """All rows of one interrogation (report.collect's dictionary)."""
    return [*_alarms(seen), ("state", seen["state"]), *([("CATHETER", seen["catheter_note"])] if seen["catheter_note"] else []), *_drugs(seen), *_running(seen), *_reservoir(seen), *_boluses(seen), *_signed(seen),
            ("pump clock", seen["status"]["time"] + clock_text(seen["clock_difference_s"])), *_implant(seen), *_program(seen)]


def day_chart(program: Prescription, weekday: int) -> list[str]:
    """A day of a schedule, drawn: one column an hour (its mean rate), `CHART_LINES` lines high up to the week's highest hour, the hours below."""
    hourly = [_hour_nl(program, weekday, hour) for hour in range(HOURS)]
    most = max(_hour_nl(program, day, hour) for day in range(7) for hour in range(HOURS))
    if most == 0:
        return []
    top = show_flow(most * HOURS)
    lines = ["%*s |%s|" % (len(top), top if line == CHART_LINES else "", "".join("#" if nl * CHART_LINES > most * (line - 1) else " " for nl in hourly))
             for line in range(CHART_LINES, 0, -1)]
    return [*lines, "%*s  00    06    12    18    24" % (len(top), "")]


def _hour_nl(program: Prescription, weekday: int, hour: int) -> Fraction:
    """The volume of one hour: rates change at whole minutes."""
    start = (weekday * HOURS + hour) * 3600
    return sum((Fraction(program.rate_at(start + minute * 60), HOURS * 60) for minute in range(60)), Fraction(0))


def ml(volume_nl: Fraction | int) -> str:
    """'17.5 mL', to the microlitre."""
    return units.show(volume_nl, units.VOLUME, "mL", places=3)


def clock_text(difference_s: int | None) -> str:
    """', 1 min behind this computer'; nothing where there is nothing to compare with."""
    if difference_s is None:
        return ""
    return ", %s %s this computer" % (units.duration_text(abs(difference_s)), "ahead of" if difference_s > 0 else "behind")


def _alarms(seen: dict[str, Any]) -> list[tuple[str, str]]:
    return [("ALARM", "%d %s (priority %d) since %s: %s%s" % (
        alarm["code"], alarm["name"], alarm["priority"], alarm["since"] or "longer than the log read here", alarm["action"],
        "; " + alarm["why"] if alarm["why"] else "")) for alarm in seen["alarms"]] or [
            ("alarms", "none active")]


def _drugs(seen: dict[str, Any]) -> list[tuple[str, str]]:
    program = seen["program"]
    told = [("drug", "%s %s, %s" % (drug["name"], drug["concentration"], drug["daily_dose"])) for drug in program["drugs"]] if program else []
    told.append(("now", seen["now"]))
    if seen["contents_note"]:
        told.append(("contents", seen["contents_note"]))
    elif seen["contents"]:
        told.append(("contents", "%s, lot %s" % (ml(seen["contents"]["volume_ul"] * 1000), seen["contents"]["lot"] or "not given")))
    return [*told, *(("schedule", line) for line in seen["schedule"]), *(("", line) for line in seen["chart"])]


def _running(seen: dict[str, Any]) -> list[tuple[str, str]]:
    extra = seen["extra"]
    if extra is None:
        return []
    ends = "%s left, until %s" % (units.duration_text(extra["left_s"]), extra["ends"]) if extra["left_s"] is not None else "waits"
    return [(extra["kind"], "%s to give: %s" % (ml(extra["left_nl"]), ends))]


def _reservoir(seen: dict[str, Any]) -> list[tuple[str, str]]:
    status, dates, battery = seen["status"], seen["reservoir"], seen["battery"]
    computed, sensed = status["reservoir_computed_nl"], status["reservoir_sensed_nl"]
    told = [("reservoir", "%s computed, %s sensed, difference %s mL" % (ml(computed), ml(sensed), units.decimal_text(Fraction(sensed - computed, NL_PER_ML), 3)))]
    if dates is None:
        told.append(("low reservoir", "no date: nothing is programmed"))
    else:
        told += [("low reservoir", "%s with all boluses, %s without; used up %s" % (dates["low"], dates["low_without_boluses"], dates["empty"])),
                 ("drug expires", "%s; next refill by %s%s" % (
                     dates["expires"] or "not known", dates["refill_by"], "; the pump reminds on %s" % seen["next_refill"] if seen["next_refill"] else ""))]
    left = ", " + battery["text"] if battery else ", no forecast: the implant is not on record"
    return [*told, ("battery", "%d mV%s" % (status["battery_mv"], left))]


def _boluses(seen: dict[str, Any]) -> list[tuple[str, str]]:
    """Patient boluses since the last visit; three refused in a day are a sign of pain, withdrawal or an occlusion (alarms.md row 26)."""
    asked = seen["boluses"]
    if not (seen["program"] and seen["program"]["patient_bolus"]) and not asked["granted"] and not asked["refused"]:
        return []
    reasons = ", ".join("%d %s" % (count, reason) for reason, count in asked["refused_by_reason"].items())
    hours = ", ".join("%s h %d" % (hour, count) for hour, count in asked["asked_by_hour"].items())
    told = "%d granted, %d %s since the last visit%s" % (
        asked["granted"], asked["refused"], "REFUSED" if asked["refused"] else "refused", ": " + reasons if reasons else "")
    return [("patient boluses", told), *([("asked by hour", hours)] if hours else [])]


def _signed(seen: dict[str, Any]) -> list[tuple[str, str]]:
    program = seen["program"]
    if program is None:
        return []
    count, visit = seen["event_count"], seen["last_visit"]
    events = "not counted: the last visit stands further back in the log" if count is None else "%d since %s" % (
        count, "the visit of %s" % visit["time"] if visit else "the pump was made (no visit was signed)")
    return [("events", events),
            ("fallback", "%s, safe state %s" % (show_flow(program["fallback_nl_day"]), program["safe_state"]))]


def _implant(seen: dict[str, Any]) -> list[tuple[str, str]]:
    implant, who = seen["implant"], seen["implant_record"]
    if implant is None:
        return []
    told = [("implant", "serial %d, reservoir %d mL, catheter %d mm, dead volume %s, %d nL a revolution" % (
        implant["serial"], implant["capacity_ul"] // 1000, implant["catheter_mm"], ml(implant["dead_volume_nl"]), implant["nl_per_rev"]))]
    if who is None:
        return [("patient", "not on record"), *told]
    return [("patient", "%s, %s; implanted %s, tip %s, access port %s, MRI %s" % (
        who["patient"], who["indication"] or "indication not given", who["implanted"], who["tip_level"] or "not given",
        "yes" if who["access_port"] else "no", who["mri"])), *told]


def _program(seen: dict[str, Any]) -> list[tuple[str, str]]:
    program = seen["program"]
    if program is None:
        return []
    why = "; soft limits overridden: %s" % program["override_why"] if program["overrides"] else ""
    return [("program", "%s since %s, editor %s%s" % (
        seen["status"]["running_digest"], seen["program_since"] or "longer than the log read here", program["editor"] or "not given", why))]
