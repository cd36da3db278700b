"""The days and the clock: totals of the day that ended, and how long ago things were when the clock is moved."""

from ..protocol import catalogue as cat
from . import alarms as al
from .ledger import CAUSES, MISSED_STALL
from .limits import DAY_S


def open_day(app):
    """The day's beginning is kept in the state record: a reset loses nothing from its row."""
    settings = app.settings
    settings.last_day = app.now_s // DAY_S
    settings.day_pulses = app.ledger.pulses
    settings.day_missed_nl = _missed_nl(app.ledger, 0, CAUSES)
    settings.day_lost_nl = _missed_nl(app.ledger, MISSED_STALL, MISSED_STALL + 1)


def _missed_nl(ledger, cause, until):
    total = 0
    for cause in range(cause, until):
        total += ledger.missed_ul[cause] % 500000 * 1000 + ledger.missed_nl[cause]
    return total


def close_day(app):
    """Write the day that ended into the ring. After a clock jump the partial day stands under its old number.

    A pulse that did not turn is ordered and missed: the day's demand is without it, so that demand and missed are what was due.
    """
    settings, ledger = app.settings, app.ledger
    pulses = ledger.pulses - settings.day_pulses
    missed_nl = max(0, _missed_nl(ledger, 0, CAUSES) - settings.day_missed_nl)
    lost_nl = max(0, _missed_nl(ledger, MISSED_STALL, MISSED_STALL + 1) - settings.day_lost_nl)
    try:
        app.days.write(settings.last_day, pulses, max(0, pulses * ledger.pulse_nl - lost_nl), missed_nl, app.contents.sensed_ul, app.alarms.active)
    except OSError:
        app.alarm(al.STORE, True, 2)
    open_day(app)
    app.save_state()


def clock_jumped(app, by_s):
    """The RTC moved against the tick by `by_s` (row 12)."""
    app.history.clock_moves(app)
    shift(app, by_s)
    app.log(cat.E_CLOCK_JUMP, 0, by_s, 0, True)
    app.alarm(al.CLOCK_LOST, True, by_s)        # the caller stores the state, also when the row stands already: a reset would book this jump as an outage


def shift(app, by_s):
    """The clock was moved by `by_s`: how long things still last is no matter of the clock. How long ago they were is told in steady seconds."""
    settings = app.settings
    if settings.paused_until_s:
        settings.paused_until_s = max(1, settings.paused_until_s + by_s)
    if settings.reduction:
        settings.reduction_until_s = max(1, settings.reduction_until_s + by_s)
