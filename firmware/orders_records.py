"""Orders that change records and not what is delivered now: commission, refill, catheter, implant and trial records, and the
orders of a visit (silence, acknowledge, alarm test, signature). Rare ones, see orders.rare.
"""

from ..protocol import catalogue as cat
from ..protocol.fields import MAX_SMALL
from . import alarms as al
from . import loading
from .blocks import drugs_of, values_of
from .caps import bridged, caps_of
from .infusion import BRIDGE
from .orders import beyond, store
from .ports import MAX_HOLD_MS


def refusal(app, block, values):
    """0, or the R_* reason why a block of these kinds may not be executed now."""
    if block.kind == cat.REFILL:
        return _refill_refusal(app, block, values)
    return _calibration_refusal(app, block, values) if block.kind == cat.CALIBRATION else 0


def execute(app, block, values):
    """Store and perform it; returns 0 or R_STORE with nothing changed."""
    perform = _refill if block.kind == cat.REFILL else _EXECUTE[max(0, block.kind - cat.PAUSE)]
    return perform(app, block, values)


def _seen(app, row):
    """A clinician has seen `row` (0: all); returns the bits that were cleared. An answered bolus is no alarm any more, nor are windows below the caps."""
    caps = app.caps
    if row == 0 or row == al.BOLUS_CUT:
        app.alarm(al.BOLUS_CUT, False)
    if caps.delivered_hour_nl <= caps.hour_nl and caps.delivered_day_nl <= caps.day_nl:
        app.alarm(al.CAP, False)
    return app.alarms.acknowledge(row)


def _commission(app, block, values):
    """Head, sensor and line constants."""
    try:
        slot = app.settings.save_commission(block.canonical, len(block.canonical))
    except OSError:
        return cat.R_STORE
    reason = store(app, block, {"commissioned": slot, "calibration": 0, "trim": 0})     # another head has learned nothing
    if reason == 0:
        loading.commission(app, block.canonical)
        supervisor, settings = app.supervisor, app.settings
        supervisor.take(supervisor.keep(settings.fallback_nl_day, app.minimum_rate_nl_day, settings.safe_state))
        app.log(cat.E_COMMISSION, 0, values["serial"], values["nl_per_rev"])
    return reason


def residual_ul(app):
    """What stays in the bellows when it is emptied; nothing before the first fill."""
    return app.contents.residual_ul if app.ledger.base_nl else 0


def _refill_refusal(app, block, values):
    """A fill that fits the bellows, of drug within its life; while a bridge waits for its end, of the drug it bridges to.

    And none that a program which goes on, or comes back by itself, would give above a cap: a stopped one waits for its program.
    """
    if values["volume_ul"] > app.contents.capacity_ul - residual_ul(app):
        return beyond(block, "volume_ul")
    if 0 < values["expires_s"] <= app.now_s:
        return beyond(block, "expires_s")
    if app.infusion.bridge_left_nl() and app.fill_drugs and app.fill_drugs != drugs_of(values):
        return cat.R_BRIDGE
    if app.program_block and not app.settings.stopped \
            and app.worst_daily_nl() > caps_of(values_of(cat.PROGRAM, app.program_block), drugs_of(values))[1]:
        return cat.R_CAP
    return 0


def _refill(app, block, values):
    """New contents, on record with drug, concentration, lot and expiry."""
    ledger = app.ledger
    before, left_nl = (ledger.base_nl, ledger.base_pulses, ledger.lost_pulses), ledger.reservoir_nl()
    try:
        slot = app.settings.save_record(block.kind, block.canonical, len(block.canonical))
    except OSError:
        return cat.R_STORE
    ledger.refill((values["volume_ul"] + residual_ul(app)) * 1000)
    reason = store(app, block, {"filled_s": app.settings.steady_s + 1, "fill_slot": slot})
    if reason:
        ledger.base_nl, ledger.base_pulses, ledger.lost_pulses = before
        return reason
    loading.fill(app, block.canonical)
    app.sensing.refilled(values["withdrawn_ul"], before[0], left_nl)
    app.log(cat.E_REFILL, 0, values["volume_ul"], values["withdrawn_ul"])
    return 0


def _catheter(app, block, values):
    """What lies in the catheter now. The tubing before it stays as it is: a bridge over drug that lies there goes on, as it were through the
    empty catheter; one over no more than the catheter held has nothing left to bridge.
    """
    state, infusion, ledger = values["state"], app.infusion, app.ledger
    changes = {"catheter": state}
    left_nl = 0
    if state == cat.CATHETER_EMPTY:
        changes["line_pulses"] = ledger.pulses - min(app.line_nl(), app.tubing_nl) // ledger.pulse_nl
        if infusion.bridge_left_nl() <= app.dead_volume_nl - app.tubing_nl:
            left_nl = infusion.bridge_left_nl()
        if left_nl:
            infusion.cut_extra()
            bridged(app.settings, changes)
    reason = store(app, block, changes)
    if reason:
        if left_nl:
            infusion.start_extra(BRIDGE, left_nl, app.bridge_rate_nl_day)
        return reason
    if left_nl:
        app.caps.release_old()
        app.supervisor.allow(0)
        app.log(cat.E_BRIDGE_END, 0, left_nl)
    app.log(cat.E_CATHETER, state)
    return 0


def _record(app, block, values):
    """The implant's or the trial's record: kept and shown, never judged by the pump."""
    try:
        slot = app.settings.save_record(block.kind, block.canonical, len(block.canonical))
    except OSError:
        return cat.R_STORE
    reason = store(app, block, {"implant_slot" if block.kind == cat.IMPLANT_RECORD else "trial_slot": slot})
    if reason == 0:
        app.log(cat.E_RECORD, block.kind)
    return reason


def _silence(app, block, values):
    """No tone of this row for some hours; a cause that comes back sounds again."""
    reason = store(app, block, {})
    if reason == 0:
        app.alarms.silence(values["row"], app.uptime_s, values["hours"])
        app.log(cat.E_SILENCE, values["row"], values["hours"])
    return reason


def _acknowledged(app, block, values):
    """The clinician has seen it: what has passed is latched no more."""
    reason = store(app, block, {})
    if reason == 0:
        app.log(cat.E_ACKNOWLEDGE, values["row"], _seen(app, values["row"]))
        app.save_state()
    return reason


def _alarm_test(app, block, values):
    """Sound a tone now, for the patient to hear."""
    reason = store(app, block, {})
    if reason == 0:
        app.ports.tone.sound(values["tone"])
        app.log(cat.E_ALARM_TEST, values["tone"])
    return reason


def _visit(app, block, values):
    """The report of a visit is signed: what was refused to the patient has been looked at (row 26). Its digest stays in the log, 30 bits an argument."""
    reason = store(app, block, {})
    if reason == 0:
        app.alarm(al.REFUSED, False)
        block = block.canonical         # ends with the report's digest
        app.log(cat.E_VISIT, values["alarm_heard"], int.from_bytes(block[-8:-4], "little") & MAX_SMALL, int.from_bytes(block[-4:], "little") & MAX_SMALL)
    return reason


def _calibration_refusal(app, block, values):
    """A head whose pulse with a trim of 5 % would be half a turn, or longer than the enable one-shot, stays as commissioned."""
    steps = app.ledger.longest_pulse_steps() * 20 // 19 + 1
    if values["on"] and (2 * steps >= app.steps_per_rev or app.infusion.hold_ms(steps) > MAX_HOLD_MS):
        return beyond(block, "on")
    return 0


def _calibration(app, block, values):
    """Let the calibration learn at refills, or no longer: then it is the factory's at once."""
    trim = app.settings.trim if values["on"] else 0
    reason = store(app, block, {"calibration": values["on"], "trim": trim})
    if reason == 0:
        loading.trim(app, trim, values["on"])
    return reason


# COMMISSION, then by block kind from CATHETER on.
_EXECUTE = _commission, _catheter, _record, _record, _silence, _acknowledged, _alarm_test, _visit, _calibration
assert len(_EXECUTE) == 1 + cat.LAST_KIND - cat.PAUSE
