"""What a committed block does. Each order is checked against the mode table, stored with its digest, then takes effect.

The state record carries digest and effect together, so a power cut leaves the order wholly done or wholly not done, and a
retry after it is answered from the store (DESIGN 6: at most once, even across a reset).
"""

from ..protocol import catalogue as cat
from ..protocol.session import SERVICE
from . import alarms as al
from . import emergency, modes

EVENT_OF_KIND = {
    cat.COMMISSION: modes.EV_COMMISSION, cat.PROGRAM: modes.EV_PROGRAM, cat.REFILL: modes.EV_REFILL,
    cat.STOP: modes.EV_STOP, cat.RESUME: modes.EV_RESUME, cat.PRIME: modes.EV_PRIME, cat.SET_CLOCK: modes.EV_SET_CLOCK,
}


SERVICE_KINDS = (cat.COMMISSION, cat.SET_CLOCK)     # what the service role may order: nothing that a patient feels


def refusal(app, block):
    """0, or the R_* reason why `block` cannot be executed in this mode and state, or by the role of this session."""
    if app.telemetry.access.role == SERVICE and block.kind not in SERVICE_KINDS:
        return cat.R_ROLE
    if not app.settings.commissioned and block.kind not in (cat.COMMISSION, cat.SET_CLOCK):
        return cat.R_NOT_COMMISSIONED
    if block.kind == cat.RESUME and app.settings.reduction:
        return 0                        # it ends an emergency reduction, whatever the mode
    if modes.leads_to(app.mode, EVENT_OF_KIND[block.kind]) == modes.REFUSE:
        return cat.R_STATE
    values = block.values
    if block.kind == cat.REFILL and values["volume_ul"] > app.contents.capacity_ul - _residual_ul(app):
        return cat.R_LIMIT
    if block.kind == cat.PRIME:
        return _prime_refusal(app, values)
    return 0


def _prime_refusal(app, values):
    """A prime fills an empty line once; behind it only a bridge passes (alarms.md 3: a drug-filled catheter is never primed).

    A bridge pushes at most the dead volume, no faster than the running program or the one before it: the patient gets no
    more of what lies in the catheter than was ordered already.
    """
    if app.alarms.action >= al.NOBOLUS:
        return cat.R_STATE
    ledger = app.ledger
    ordered_nl = ledger.pulsed_ul * 1000 + ledger.pulsed_nl if ledger.pulsed_ul < 1000000 else app.dead_volume_nl
    if ordered_nl < app.dead_volume_nl:
        return cat.R_LIMIT if values["volume_nl"] > app.dead_volume_nl - ordered_nl + ledger.pulse_nl else 0
    fastest = max(app.program_rate, app.rate_before)
    if values["volume_nl"] > app.dead_volume_nl or values["rate_nl_day"] > fastest:
        return cat.R_LIMIT
    return 0


def _residual_ul(app):
    """What stays in the bellows when it is emptied; nothing before the first fill."""
    return app.contents.residual_ul if app.ledger.base_nl else 0


def execute(app, block):
    """Store and perform a block that `refusal` let pass; returns 0 or R_STORE with nothing changed."""
    return _EXECUTE[block.kind](app, block, block.values)


def _store(app, block):
    """Write the state record with this order's digest. On failure the old digest is back and R_STORE returned."""
    settings = app.settings
    before = settings.last_kind, settings.order_digest
    settings.last_kind, settings.order_digest = block.kind, block.digest
    if app.save_state():
        return 0
    settings.last_kind, settings.order_digest = before
    return cat.R_STORE


def _commission(app, block, values):
    settings = app.settings
    before = settings.commissioned
    try:
        slot = settings.save_commission(block.canonical, len(block.canonical))
    except OSError:
        return cat.R_STORE
    settings.commissioned = slot
    reason = _store(app, block)
    if reason:
        settings.commissioned = before
        return reason
    app.commission(block.canonical)
    app.log(cat.E_COMMISSION, 0, values["serial"], values["nl_per_rev"])
    return 0


def _program(app, block, values):
    settings = app.settings
    before = settings.program_slot, settings.program_digest, settings.fallback_nl_day, settings.safe_state
    try:
        slot = settings.save_program(block.canonical, len(block.canonical))
    except OSError:
        return cat.R_STORE
    settings.program_slot, settings.program_digest = slot, block.digest
    settings.fallback_nl_day, settings.safe_state = values["fallback_nl_day"], values["safe_state"]
    reason = _store(app, block)
    if reason:
        settings.program_slot, settings.program_digest, settings.fallback_nl_day, settings.safe_state = before
        return reason
    app.rate_before = app.program_rate
    app.load_program(block.canonical)
    app.alarm(al.RECORDS, False)
    emergency.end(app)
    _acknowledge(app)
    app.follow(app.now_s)       # the event tells the new rate
    app.log(cat.E_PROGRAM, values["mode"], app.schedule.daily_nl(app.now_s // 86400 % 7), app.program_rate)
    return 0


def _acknowledge(app):
    """What a clinician has just looked at is acknowledged: only standing causes stay latched."""
    app.alarm(al.BOLUS_CUT, False)
    app.alarms.latched = app.alarms.active
    if not app.alarms.active:
        app.alarms.first = 0


def _refill(app, block, values):
    ledger = app.ledger
    before = ledger.base_nl, ledger.base_pulses, ledger.lost_pulses
    filled_s = app.settings.filled_s
    app.settings.filled_s = app.now_s
    ledger.refill((values["volume_ul"] + _residual_ul(app)) * 1000)
    reason = _store(app, block)
    if reason:
        ledger.base_nl, ledger.base_pulses, ledger.lost_pulses = before
        app.settings.filled_s = filled_s
        return reason
    app.refilled()
    app.log(cat.E_REFILL, 0, values["volume_ul"], values["withdrawn_ul"])
    return 0


def _stop(app, block, values):
    app.settings.stopped, app.settings.stopped_at_s = 1, app.now_s
    reason = _store(app, block)
    if reason:
        app.settings.stopped = 0
        return reason
    left_nl = app.infusion.cut_prime()
    if left_nl:
        app.log(cat.E_BOLUS_CUT, 0, left_nl)
    app.log(cat.E_STOP, values["reason"])
    return 0


def _resume(app, block, values):
    app.settings.stopped = 0
    reason = _store(app, block)
    if reason:
        app.settings.stopped = 1
        return reason
    app.alarm(al.STOPPED_LONG, False)
    app.alarm(al.MOTION, False)
    emergency.end(app)
    _acknowledge(app)
    app.log(cat.E_RESUME)
    return 0


def _prime(app, block, values):
    app.infusion.start_prime(values["volume_nl"], values["rate_nl_day"])
    reason = _store(app, block)         # before any motion: a retry after a reset finds the digest, and that it was cut
    if reason:
        app.infusion.cut_prime()
        return reason
    app.alarm(al.BOLUS_CUT, False)
    app.log(cat.E_PRIME, 0, values["volume_nl"], values["rate_nl_day"])
    return 0


def _set_clock(app, block, values):
    old_s, app.now_s = app.now_s, values["time_s"]
    reason = _store(app, block)
    if reason:
        app.now_s = old_s
        return reason
    app.ports.clock.set_s(app.now_s)
    app.settings.stopped_at_s = max(0, app.settings.stopped_at_s + app.now_s - old_s)    # how long it has been stopped is no matter of the clock
    app.supervisor.clock_set(app.now_s, app.uptime_s)
    app.alarm(al.CLOCK_LOST, False)
    app.log(cat.E_SET_CLOCK, 0, app.now_s, old_s)
    return 0


_EXECUTE = {
    cat.COMMISSION: _commission, cat.PROGRAM: _program, cat.REFILL: _refill, cat.STOP: _stop, cat.RESUME: _resume,
    cat.PRIME: _prime, cat.SET_CLOCK: _set_clock,
}
