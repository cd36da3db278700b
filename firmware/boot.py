"""Boot: find the newest whole state, say what was repaired, book the time without power as missed, resume nothing."""

from ..protocol import catalogue as cat
from . import alarms as al
from .ledger import MISSED_RESET, MISSED_STOP
from .limits import MAX_GAP_S
from .settings import NO_PROGRAM


def boot(app):
    """Bring a fresh App to where its store says it was. Runs before the first step; may allocate.

    The gap is booked before anything is written anew: power may fail again at any of these writes, and the next boot must find
    the same gap from the same last second.
    """
    settings = app.settings
    app.now_s = app.ports.clock.now_s()
    whole = settings.load()
    app.events.load()
    known = settings.boot_count > 0
    settings.boot_count += 1
    app.alarms.restore(settings.active, settings.latched, settings.first_alarm)
    app.log(cat.E_BOOT, app.reset_cause, settings.boot_count, app.ledger.pulses)
    if not app.keys.load():
        settings.repaired += 1          # both key slots torn: the pump is on its shelf key again, and says so
    if settings.repaired:
        app.log(cat.E_REPAIRED, settings.repaired)
    lost = _load_records(app, whole)
    if known:
        _book_gap(app, app.now_s - settings.time_s)
    if lost:
        app.alarm(al.RECORDS, True, lost)
    if settings.prime_cut_nl:
        app.bolus_cut(settings.prime_cut_nl)
    app.supervisor.clock_set(app.now_s, 0)
    if not known:
        app.open_day()
    app.follow(app.now_s)
    app.save_state()


def _load_records(app, whole):
    """Commissioning and program; 0, or a bit for each that should be there and is not: an alarm, never a silent new pump."""
    settings, lost = app.settings, 0 if whole else 4
    if settings.commissioned or not whole:
        block = settings.load_commission()
        if block is None:
            lost |= 1
        else:
            app.commission(block)
    if settings.program_slot != NO_PROGRAM:
        block = settings.load_program()
        if block is None:
            lost |= 2
        else:
            app.load_program(block)
    return lost


def _book_gap(app, gap_s):
    """The time since the last record passed without delivery: missed, never made up.

    A senseless gap is a clock fault. An RTC that lost its power (it reads less than the last stored second) goes on from there.
    """
    settings = app.settings
    if gap_s < 0 or gap_s > MAX_GAP_S:
        if gap_s < 0:
            app.now_s -= gap_s
            app.ports.clock.set_s(app.now_s)
        app.alarm(al.CLOCK_LOST, True, gap_s)
        return
    if not app.program_block or gap_s == 0:
        return
    cause = MISSED_STOP if settings.stopped else MISSED_RESET
    at, total = app.now_s - gap_s, 0
    while at < app.now_s:
        until = min(app.schedule.next_change_s(at), app.now_s)
        total += app.infusion.miss(cause, app.schedule.rate_at(at), until - at)
        at = until
    app.log(cat.E_GAP, cause, gap_s, total)
