"""What a committed block does. Each order is checked against the mode table, stored with its digest, then takes effect.

The state record carries digest and effect together, so a power cut leaves the order wholly done or wholly not done, and a
retry after it is answered from the store (DESIGN 6: at most once, even across a reset). Here: who may order what in which
mode, `store`, by which every order becomes atomic, and the orders that start and end delivery; the program's and the records' have
modules of their own, which are loaded for an order and forgotten.
"""

from ..protocol import catalogue as cat
from ..protocol.session import CLINICIAN, PATIENT, SERVICE
from . import alarms as al
from . import emergency, loading, modes
from .blocks import bolus_rate_nl_day
from .daybook import shift
from .infusion import BOLUS, BRIDGE, NONE, PATIENT_BOLUS, PRIME
from .limits import MAX_RATE_NL_DAY

SERVICE_KINDS = (cat.COMMISSION, cat.SET_CLOCK, cat.ALARM_TEST)     # what the service role may order, the clock only while nothing is delivered


def refusal(app, block):
    """0, or the R_* reason why `block` cannot be executed in this mode and state, or by the role of this session."""
    kind, role = block.kind, app.telemetry.access.role
    if (role == SERVICE and kind not in SERVICE_KINDS) or (role == PATIENT and kind != cat.PATIENT_BOLUS) \
            or (role == CLINICIAN and kind == cat.PATIENT_BOLUS):
        return cat.R_ROLE
    mode = app.mode
    if mode == modes.SHELF and modes.leads_to(mode, kind) == modes.REFUSE:
        return cat.R_NOT_COMMISSIONED
    if kind == cat.RESUME:
        if app.settings.stopped and app.misfit():
            return cat.R_DRUG           # a program for this fill comes first
        if app.settings.reduction:
            return 0                    # it ends an emergency reduction, whatever the mode
    reason = 0
    if role == SERVICE and kind == cat.SET_CLOCK and mode > modes.IDLE and mode != modes.STOPPED:
        return cat.R_STATE              # it moves the steps of the day
    if modes.leads_to(mode, kind) == modes.REFUSE:
        reason = cat.R_BUSY if modes.PRIMING <= mode <= modes.BOLUS else cat.R_STATE
    if kind == cat.PATIENT_BOLUS and reason != cat.R_STATE:
        return app.bolus.refusal(app) or reason     # in the order of its own reasons
    if reason:
        return reason
    if kind == cat.PROGRAM or kind == cat.REFILL or kind == cat.CALIBRATION:
        return rare(kind).refusal(app, block, block.values)
    if kind == cat.PRIME:
        return _prime_refusal(app, block, block.values)
    if kind == cat.BOLUS:
        return _bolus_refusal(app, block, block.values)
    return 0


def _prime_refusal(app, block, values):
    """A prime fills an empty line once, part by part (alarms.md 3: a drug-filled catheter is never primed).

    A catheter left in place at a replacement is full while the new pump's tubing is dry: that alone may still be primed.
    """
    line_nl, filled = app.line_nl(), app.catheter_filled()
    tubing_left_nl = max(0, app.tubing_nl - line_nl)
    if filled and (values["what"] != cat.PRIME_TUBING or tubing_left_nl == 0):
        return cat.R_CATHETER
    if app.alarms.action >= al.NOBOLUS:
        return cat.R_ALARM
    if values["volume_nl"] > app.contents.usable_nl():
        return cat.R_RESERVE            # nor anything from a pump without a fill
    if values["what"] == cat.PRIME_TUBING:
        most_nl = tubing_left_nl
    else:
        most_nl = max(0, app.dead_volume_nl - line_nl)
        if values["what"] == cat.PRIME_CATHETER:
            most_nl = min(most_nl, app.dead_volume_nl - app.tubing_nl)
    return beyond(block, "volume_nl") if values["volume_nl"] > most_nl + app.ledger.pulse_nl else 0


def _bolus_refusal(app, block, values):
    """The clinician's single bolus: of the drug the program means, below caps and the head's most, from contents that are there."""
    volume_nl, seconds = values["volume_nl"], values["seconds"]
    if app.alarms.action >= al.NOBOLUS:
        return cat.R_ALARM
    if app.misfit():
        return cat.R_DRUG
    if app.schedule.most_rate_nl_day + bolus_rate_nl_day(volume_nl, seconds) > MAX_RATE_NL_DAY:
        return beyond(block, "volume_nl")
    if volume_nl > app.contents.usable_nl():
        return cat.R_RESERVE
    return app.caps.grant_refusal(app, volume_nl, seconds)


def execute(app, block):
    """Store and perform a block that `refusal` let pass; returns 0 or R_STORE with nothing changed."""
    perform = _EXECUTE[block.kind - 1] if block.kind <= cat.PAUSE else None
    return perform(app, block, block.values) if perform else rare(block.kind).execute(app, block, block.values)


def rare(kind):
    """The module of an order that is no everyday one. Between two such orders its 4 KB of heap are free.

    The pump asks for both once at boot, too: names that MicroPython has not met yet make it seek room for all of them in one piece. And it
    is loaded behind a collection: in the gaps that a week has left it would leave no piece for what it reads.
    """
    loading.collect()
    if kind == cat.PROGRAM:
        from . import orders_program
        loading.forget("orders_program")
        return orders_program
    from . import orders_records
    loading.forget("orders_records")
    return orders_records


def store(app, block, changes):
    """Set `changes` ({attribute of Settings: value}) and write them in one record with this order's digest: 0, or R_STORE and nothing changed."""
    settings, before = app.settings, {}
    changes["last_kind"], changes["order_digest"] = block.kind, block.digest
    for name in changes:
        before[name] = getattr(settings, name)
        setattr(settings, name, changes[name])
    if app.save_state():
        return 0
    for name in before:
        setattr(settings, name, before[name])
    return cat.R_STORE


_ANSWERED = bytes((al.RECORDS, al.STOPPED_LONG, al.EMERGENCY, al.PAUSE_LONG, al.DRUGS))


def acknowledge(app):
    """What a program or a resume itself has answered is acknowledged, if its cause is gone; all else waits to be seen."""
    cleared = 0
    for row in _ANSWERED:
        cleared |= app.alarms.acknowledge(row)
    if cleared:
        app.log(cat.E_ACKNOWLEDGE, 0, cleared)
        app.save_state()


def beyond(block, name):
    """R_LIMIT for a checked block whose field `name` is beyond what this pump or its state allows: the refusal names it, as the block's own do."""
    rows, block.field = cat.block(block.kind), 0
    while rows[block.field][0] != name:
        block.field += 1
    block.value = block.values[name]
    return cat.R_LIMIT


def _stop(app, block, values):
    reason = _cut_and_store(app, block, {"stopped": 1, "paused_until_s": 0})
    if reason == 0:
        app.log(cat.E_STOP, values["reason"])
    return reason


def _pause(app, block, values):
    until_s = app.now_s + values["minutes"] * 60
    reason = _cut_and_store(app, block, {"paused_until_s": until_s})
    if reason == 0:
        app.log(cat.E_PAUSE, 0, until_s)
    return reason


def _cut_and_store(app, block, changes):
    """A stop or pause ends a prime or bolus for good, by the order that is on record; a bridge waits."""
    infusion = app.infusion
    kind, left_nl = infusion.extra, infusion.extra_left_nl
    cut = kind != NONE and kind != BRIDGE
    if cut:
        infusion.cut_extra()
    if not app.settings.paused_until_s:
        changes["stopped_at_s"] = app.settings.steady_s     # a stop behind a pause goes on with its time
    reason = store(app, block, changes)
    if cut and reason:
        infusion.extra, infusion.extra_left_nl = kind, left_nl
    elif cut:
        app.log(cat.E_BOLUS_CUT, kind, left_nl)
        app.supervisor.allow(0)
        if kind >= BOLUS:
            app.bolus.ended(app.settings.steady_s)
            app.save_state()
    return reason


def _resume(app, block, values):
    paused_until_s = app.settings.paused_until_s
    reason = store(app, block, {"stopped": 0, "paused_until_s": 0})
    if reason:
        return reason
    app.alarm(al.STOPPED_LONG, False)
    emergency.end(app)
    acknowledge(app)
    if paused_until_s:
        app.log(cat.E_PAUSE_END)
    else:
        app.log(cat.E_RESUME)
    return 0


def _prime(app, block, values):
    app.prime_fills = values["what"] != cat.PRIME_TUBING
    return _start(app, block, PRIME, values["volume_nl"], values["rate_nl_day"])


def _bolus(app, block, values):
    return _start(app, block, BOLUS, values["volume_nl"], bolus_rate_nl_day(values["volume_nl"], values["seconds"]))


def _patient_bolus(app, block, values):
    bolus = app.bolus
    return _start(app, block, PATIENT_BOLUS, bolus.volume_nl, bolus_rate_nl_day(bolus.volume_nl, bolus.seconds))


def _start(app, block, kind, volume_nl, rate_nl_day):
    """On record before any motion: a retry after a reset finds the digest, and that it was cut."""
    bolus_state = app.settings.bolus_state
    before = bytes(bolus_state)
    app.infusion.start_extra(kind, volume_nl, rate_nl_day)
    if kind == PATIENT_BOLUS:
        app.bolus.granted()
    reason = store(app, block, {"cut_kind": 0})
    if reason:
        app.infusion.cut_extra()
        bolus_state[:] = before
        return reason
    app.extra_nl = volume_nl
    app.supervisor.allow(volume_nl, kind < BOLUS)
    app.alarm(al.BOLUS_CUT, False)
    if kind == PRIME:
        app.log(cat.E_PRIME, 0, volume_nl, rate_nl_day)
    else:
        app.log(cat.E_BOLUS, kind, volume_nl, volume_nl * 86400 // rate_nl_day)
    return 0


def _set_clock(app, block, values):
    app.history.clock_moves(app)
    schedule, old_s, app.now_s = app.schedule, app.now_s, values["time_s"]
    back_s = schedule.clock_moves(app.now_s, app.uptime_s, app.alarms.is_active(al.CLOCK_LOST))
    shift(app, app.now_s - old_s)
    reason = store(app, block, {"clock_offset_s": app.settings.clock_offset_s + app.now_s - old_s, "given_s": schedule.given_s})
    if reason:
        shift(app, old_s - app.now_s)
        app.now_s = old_s
        schedule.clock_moves(old_s, app.uptime_s, True)
        schedule.given_s = app.settings.given_s
        return reason
    app.caps.clock(back_s, schedule.most_rate_nl_day)
    app.supervisor.clock_set(app.now_s, app.uptime_s)
    app.alarm(al.CLOCK_LOST, False)
    app.log(cat.E_SET_CLOCK, 0, app.now_s, old_s)
    return 0


# By block kind, from COMMISSION = 1 to PAUSE; those of the rare ones are in their modules.
_EXECUTE = None, None, None, _stop, _resume, _prime, _set_clock, _bolus, _patient_bolus, _pause
assert len(_EXECUTE) == cat.PAUSE
