"""Boot: find the newest whole state, say what was repaired, book the time without power as missed, resume no bolus and no prime.

A bridge goes on by the volume it has left: what lies in the line has not become another drug meanwhile.
"""

from ..protocol import catalogue as cat
from . import alarms as al
from . import loading
from .daybook import open_day
from .infusion import BRIDGE
from .ledger import MISSED_FAULT, MISSED_RESET, MISSED_STOP
from .limits import CHECK_S, DAY_S, MAX_GAP_S, PULSE_S
from .settings import NO_PROGRAM, STATE_AT
from .slots import EVENTS, FAULTS, HISTORY, KEYS, VERSION


def boot(app):
    """Bring a fresh App to where its store says it was. Runs before the first step; may allocate.

    The gap is booked and the extra is settled before anything is written anew: power may fail again at any of these writes, and
    the next boot must find the same gap from the same last second, and the same cut.
    """
    settings = app.settings
    whole, first, other = settings.load(), bytearray(1), 0
    app.ports.store.read(STATE_AT, first, 1)
    if settings.boot_count == 0 and first[0] not in (0, VERSION, 0xFF):     # another firmware's records: this pump is not new, and the alarm says whose they are
        whole, other = False, first[0]
    app.now_s = app.ports.clock.now_s() + settings.clock_offset_s
    kind, left_nl, rate = settings.extra, settings.extra_left_nl, settings.extra_rate_nl_day
    app.events.load(settings.event_head)
    app.faults.load(settings.fault_head)
    known = settings.boot_count > 0
    settings.boot_count += 1
    app.alarms.restore(settings.active, settings.latched, settings.first_alarm)
    app.log(cat.E_BOOT, app.reset_cause, settings.boot_count, app.ledger.pulses)
    app.keys.load()                                     # with both slots damaged the pump is on its shelf key again, and says so
    settings.note(KEYS, app.keys.slots)
    lost = _load_records(app, whole)
    app.history.restore(settings.history_head, settings.history_pulses, app.ledger.pulse_nl)
    for record, ring in ((EVENTS, app.events), (FAULTS, app.faults), (HISTORY, app.history)):
        if ring.torn_at >= 0:
            settings.repaired.append((record, ring.torn_at))
    if kind == BRIDGE and left_nl:
        if app.bridge_rate_nl_day == 0:                 # its program is lost: at what it ran last
            app.bridge_rate_nl_day = settings.extra_rate_nl_day
        app.infusion.start_extra(BRIDGE, left_nl, app.bridge_rate_nl_day)
        app.supervisor.allow(left_nl, True)
    elif kind:
        settings.cut_kind = kind
    # How long a bolus can have run behind the last record: a pulse, or its end, makes one. Its lockout is never the shorter for a reset.
    stored_s, silent_s = settings.steady_s, max(CHECK_S, min(left_nl, app.ledger.pulse_nl) * DAY_S // max(1, rate) + 2)
    kept = app.supervisor.take(settings.load_copy())
    if not kept:                                        # without its copy the supervisor goes by what the controller knows
        app.supervisor.take(app.supervisor.keep(settings.fallback_nl_day, app.minimum_rate_nl_day, settings.safe_state))
    if known:
        _book_gap(app, app.now_s - settings.time_s)
    app.caps.restore(app)
    if not whole:
        app.bolus.assume_used()
        app.caps.assume_full()
    for record, address in settings.repaired:
        app.log(cat.E_REPAIRED, record, address, 0, True)
    try:
        settings.mend()
    except OSError:
        app.alarm(al.STORE, True, 4)
    if lost:
        app.alarms.shift(al.RECORDS, kept)
        app.alarm(al.RECORDS, True, lost, other)
    if kind and kind != BRIDGE:
        app.bolus_cut(kind, left_nl, min(stored_s + silent_s, settings.steady_s))
    elif settings.cut_kind:
        app.alarm(al.BOLUS_CUT, True)
    app.supervisor.clock_set(app.now_s, 0)
    app.schedule.clock_moves(app.now_s, 0, True)
    if not known:
        open_day(app)
    app.sensing.booted()
    app.turn(app.now_s)         # a pause may be over by now
    app.save_state()


def _load_records(app, whole):
    """Commissioning, program and fill; 0, or a bit for each that should be there and is not: an alarm, never a silent new pump.

    A fill that is lost is said as a repair: nothing that is delivered hangs on it.
    """
    settings, lost = app.settings, 0 if whole else 4
    if settings.commissioned or not whole:
        block = settings.load_commission()
        if block is None:
            lost |= 1
        else:
            loading.commission(app, block)
    if settings.program_slot != NO_PROGRAM:
        block = settings.load_program()
        if block is None:
            lost |= 2
        else:
            loading.program(app, block)
    if settings.fill_slot != NO_PROGRAM:
        block = settings.load_record(cat.REFILL)
        if block is not None:
            loading.fill(app, block)
    return lost


def _book_gap(app, gap_s):
    """The time since the last record passed without delivery: missed, never made up. A bridge is due at its own rate.

    What would have been demanded is missed, no more: under a fallback that is the fallback, and not the program. What an alarm
    or an order had stopped is missed by that.

    A senseless gap is a clock fault. An RTC that lost its power (it reads less than the last stored second) goes on from there.
    """
    settings = app.settings
    lost = gap_s < 0 or gap_s > MAX_GAP_S
    pulsed_s = settings.steady_s - settings.missing_s       # of the newest intent behind the state record
    app.supervisor.restore(settings.missing, pulsed_s + (0 if lost else gap_s), pulsed_s > 0 and 0 <= gap_s <= PULSE_S)
    if lost:
        if gap_s < 0:
            app.now_s -= gap_s
            settings.clock_offset_s -= gap_s
        app.alarm(al.CLOCK_LOST, True, gap_s)
        return
    settings.steady_s += gap_s
    if not app.program_block or gap_s == 0:
        return
    at, total, cause = app.now_s - gap_s, 0, MISSED_RESET
    paused_s, reduction, reduced_s = settings.paused_until_s, settings.reduction, settings.reduction_until_s
    idle = app.alarms.is_active(al.STOPPED_LONG)
    while at < app.now_s:
        until = min(app.schedule.next_change_s(at), app.now_s)
        if at < paused_s:
            until = min(until, paused_s)
        else:
            settings.paused_until_s = 0
            if not settings.stopped:
                app.alarms.set(al.STOPPED_LONG, False)
        if reduction and at < reduced_s:
            until = min(until, reduced_s)
        elif reduction:
            settings.reduction = 0
            app.alarms.set(al.EMERGENCY, False)
        app.follow(at)
        cause, rate = MISSED_RESET, app.effective_rate()
        if not app.delivering:
            cause, rate = MISSED_STOP if settings.stopped or settings.paused_until_s else MISSED_FAULT, app.due_rate()
        total += app.infusion.miss(cause, rate, until - at)
        at = until
    settings.paused_until_s, settings.reduction = paused_s, reduction       # what is over by now ends aloud, when the gap is on record
    if reduction:
        app.alarms.set(al.EMERGENCY, True)
    if idle:
        app.alarms.set(al.STOPPED_LONG, True)
    app.log(cat.E_GAP, cause, gap_s, total)
