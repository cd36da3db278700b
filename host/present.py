"""Plain lines and side-by-side rows for people: what is delivered, what is pending, what a refill does to it. Makes text, prints nothing."""

from __future__ import annotations

from fractions import Fraction

from . import units
from .fill import Fill
from .implant import Implant
from .prescription import NL_PER_ML, SAFE_STOP, WEEKDAYS, Ingredient, Prescription, show_flow
from .records import Identity, Status

Row = tuple[str, str, str]
NONE = "-"
EMERGENCY_ROW = 17      # alarms.md section 2
KINDS = {"simple": "simple continuous", "flex": "flex", "periodic": "periodic bolus", "minimum": "minimum rate"}


def state_text(status: Status, program: Prescription | None) -> str:
    """The pump's state in words: 'delivering 150 ug/day baclofen, simple continuous'; an emergency reduction stands in front."""
    if any(alarm.row == EMERGENCY_ROW for alarm in status.alarms) and status.mode == "running":
        return "REDUCED in an emergency: %s" % _state(status, program)
    return _state(status, program)


def _state(status: Status, program: Prescription | None) -> str:
    if status.mode in ("running", "bridging") and status.rate_nl_day == 0:
        return "delivers NOTHING: %s" % ("; ".join("%s (%s)" % (alarm.name, alarm.action) for alarm in status.alarms) or "the program's rate is 0")
    if status.mode == "running" and program is not None:
        doses = " + ".join("%s %s" % (item.show_dose(item.dose_ng(status.rate_nl_day)), item.name) for item in program.ingredients)
        return "delivering %s (%s now), %s%s" % (doses, show_flow(status.rate_nl_day), KINDS[program.mode], _given_text(status))
    left = units.show(status.extra_left_nl, units.VOLUME, "mL", places=6)
    words = {
        "shelf": "on the shelf: not commissioned",
        "idle": "idle: no program committed yet",
        "running": "delivering %s of an unknown program" % show_flow(status.rate_nl_day),
        "stopped": "STOPPED by order",
        "priming": "priming, %s left" % left,
        "bridging": "bridging: %s of the old drug left at %s" % (left, show_flow(status.rate_nl_day)),
        "bolus": "%s on top of the program, %s left (%s now)" % (status.extra, left, show_flow(status.rate_nl_day)),
        "paused": "PAUSED until %s, then the program again" % units.pump_time_text(status.paused_until_s),
    }
    return words[status.mode]


def _given_text(status: Status) -> str:
    """Why a flex or periodic program runs evenly just now."""
    if not status.given_until_s:
        return ""
    return ": evenly until %s, since the clock went back over steps that were given already" % units.pump_time_text(status.given_until_s)


def access_text(role: str, on_shelf_key: bool, identity: Identity, status: Status) -> str:
    """Who speaks, who is paired, and what wrong keys have done."""
    text = "%s, %s" % (role, "on the public shelf key: anybody may do the same" if on_shelf_key else "own key")
    text += "; paired: %s" % (", ".join(identity.paired) or "none")
    if status.forgeries:
        text += "; %d wrong keys or tags since boot" % status.forgeries
    if status.locked_s:
        text += "; THERAPY LOCKED for %d s" % status.locked_s
    if status.wasted_mj:
        text += "; traffic without a key has cost %s J" % units.decimal_text(Fraction(status.wasted_mj, 1000), 3)
    return text


def calibration_text(status: Status) -> str:
    """What a revolution is taken for, and whether that may change."""
    percent = units.decimal_text(Fraction(abs(status.trim), 10), 1)
    text = "%s%s %% of the factory's volume" % ("-" if status.trim < 0 else "+", percent) if status.trim else "the factory's"
    return text + (", learning at refills" if status.calibration else "")


def schedule_lines(program: Prescription) -> list[str]:
    """The week in words: one line per pattern, its days in front, each step with its rate and the first drug's dose per hour."""
    lines = []
    for number, pattern in enumerate(program.patterns):
        days = [WEEKDAYS[day] for day in range(7) if program.weekdays[day] == number]
        steps = ", ".join("%02d:%02d %s" % (*divmod(step.from_s // 60, 60), _step_text(program.ingredients[0], step.rate_nl_day)) for step in pattern)
        lines.append("%s: %s" % ("every day" if len(days) == 7 else "+".join(days), steps))
    return lines


def _step_text(item: Ingredient, rate_nl_day: int) -> str:
    return "%s (%s)" % (show_flow(rate_nl_day), item.show_dose(item.dose_ng(rate_nl_day)))


def program_rows(current: Prescription | None, pending: Prescription) -> list[Row]:
    """(what, current, pending) with the daily dose of each drug computed back from whole nL/day and its change in percent."""
    rows = [("mode", KINDS[current.mode] if current else NONE, KINDS[pending.mode])]
    before = {item.name: item for item in current.ingredients} if current else {}
    after = {item.name: item for item in pending.ingredients}
    old_doses, new_doses = current.daily_dose_ng() if current else {}, pending.daily_dose_ng()
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        rows.append(("%s in the pump" % name, old.show_concentration() if old else NONE, new.show_concentration() if new else NONE))
        rows.append((
            "%s a day" % name,
            old.show_dose(old_doses[name]) if old else NONE,
            (new.show_dose(new_doses[name]) + _change(old_doses.get(name), new_doses[name])) if new else NONE,
        ))
    rows.append(("volume a day", _daily(current), _daily(pending)))
    rows.append(("schedule", "; ".join(schedule_lines(current)) if current else NONE, "; ".join(schedule_lines(pending))))
    rows.append(("patient bolus", _bolus(current), _bolus(pending)))
    if pending.patient_bolus or (current and current.patient_bolus):
        rows.append(("a day with all boluses", _worst_day(current), _worst_day(pending)))
    rows.append(("bridge", NONE, pending.bridge.text() if pending.bridge else NONE))
    rows.append(("caps in 1 h and 24 h", _caps(current), _caps(pending)))
    rows.append(("fallback rate", _fallback(current), _fallback(pending)))
    rows.append(("safe state", _safe(current), _safe(pending)))
    return rows


def _bolus(program: Prescription | None) -> str:
    return program.patient_bolus.text(program.ingredients[0]) if program and program.patient_bolus else NONE


def _worst_day(program: Prescription | None) -> str:
    if program is None:
        return NONE
    volume = program.worst_daily_nl()
    return " + ".join("%s %s" % (item.name, item.show_dose(item.dose_ng(volume))) for item in program.ingredients)


def _caps(program: Prescription | None) -> str:
    if program is None:
        return NONE
    return " + ".join("%s %s, %s" % (
        item.name, item.show_amount(cap.hour_ng), item.show_amount(cap.day_ng)) for item, cap in zip(program.ingredients, program.guard.caps))


def _change(old: Fraction | None, new: Fraction) -> str:
    return " (%s%s %%)" % ("+" if new >= old else "", units.decimal_text((new - old) * 100 / old, 1)) if old else ""


def _daily(program: Prescription | None) -> str:
    return units.show(program.max_daily_nl(), units.VOLUME, "mL", places=6) if program else NONE


def _fallback(program: Prescription | None) -> str:
    if program is None:
        return NONE
    if program.fallback_nl_day == 0:
        return "0 (stop)"
    doses = " + ".join("%s %s" % (item.show_dose(item.dose_ng(program.fallback_nl_day)), item.name) for item in program.ingredients)
    return "%s = %s" % (show_flow(program.fallback_nl_day), doses)


def _safe(program: Prescription | None) -> str:
    if program is None:
        return NONE
    return "stop: the minimum rate would still be a dose" if program.safe_state == SAFE_STOP else "minimum rate"


def refill_rows(status: Status, program: Prescription | None, fill: Fill, implant: Implant) -> list[Row]:
    """(what, before, after) of a refill: volumes, concentrations with mixing over the residual, and what the running rate gives then."""
    old = {item.name: item for item in program.ingredients} if program else {}
    residual_nl = implant.residual_ul * 1000
    rows: list[Row] = [
        ("in the reservoir", units.show(status.reservoir_computed_nl, units.VOLUME, "mL", places=3) + " computed",
         units.show(fill.volume_ul * 1000 + (residual_nl if program else 0), units.VOLUME, "mL", places=3)),
        ("withdrawn", NONE, units.show(fill.withdrawn_ul * 1000, units.VOLUME, "mL", places=3)),
    ]
    if fill.rinses:
        rows.append(("residual", NONE, fill.rinsed_text()))
    for item in fill.ingredients:
        before = old.get(item.name)
        shown = item.show_concentration()
        if before is not None and before.concentration_ng_ml != item.concentration_ng_ml:
            mixed = fill.mixed_ng_ml(item, before.concentration_ng_ml, residual_nl)
            shown += " (%s mixed with the residual)" % units.show(mixed, units.CONCENTRATION, item.drug.concentration_unit if item.drug else None, places=2)
        rows.append((item.name, before.show_concentration() if before else NONE, shown))
        if program is not None:
            now = before.show_dose(before.dose_ng(program.max_daily_nl())) if before else NONE
            rows.append(("%s a day at the running rate" % item.name, now, item.show_dose(item.dose_ng(program.max_daily_nl()))))
    return rows


def reservoir_text(status: Status) -> str:
    """Computed, sensed and their difference in mL."""
    computed, sensed = Fraction(status.reservoir_computed_nl, NL_PER_ML), Fraction(status.reservoir_sensed_nl, NL_PER_ML)
    return "%s mL computed, %s mL sensed, difference %s mL" % (
        units.decimal_text(computed, 3), units.decimal_text(sensed, 3), units.decimal_text(sensed - computed, 3))
