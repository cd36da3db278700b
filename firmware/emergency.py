"""Emergency without a key (alarms.md 6): with the magnet at the pump anyone may see the card, and reduce. Never raise.

An emergency room has no key, and without this it could neither see nor stop an overdose. A reduction is loud (row 17), logged,
stands through a reset, and ends by itself after 24 h or by a clinician's resume or program.
"""

from ..protocol import catalogue as cat
from . import alarms as al
from .limits import DAY_S


def card(app):
    """Values of card_reply: what somebody who has never seen this patient must know."""
    drugs = app.fill_drugs or app.program_drugs or (bytes(cat.DRUG_NAME_BYTES), 0) * cat.MAX_DRUGS
    return drugs + (
        app.schedule.daily_nl(app.now_s // DAY_S % 7), app.effective_rate(), app.mode, app.ledger.reservoir_nl(),
        app.settings.filled_s and max(0, app.now_s - app.settings.steady_s + app.settings.filled_s - 1), app.low_reservoir_days(), app.now_s, app.alarms.active,
        int(app.misfit()),
        app.commission_block[-cat.CONTACT_BYTES:] or bytes(cat.CONTACT_BYTES))      # the block's last field


def reduce(app, action):
    """Start or deepen a reduction; 0 or a R_* reason. One that would raise the rate (fallback behind a stop) is refused."""
    settings = app.settings
    if not app.program_block:
        return cat.R_STATE
    if settings.reduction > action:
        return cat.R_STATE
    before = settings.reduction, settings.reduction_until_s
    settings.reduction, settings.reduction_until_s = action, app.now_s + DAY_S
    if not app.save_state():
        settings.reduction, settings.reduction_until_s = before
        return cat.R_STORE
    app.log(cat.E_REDUCE, action, settings.reduction_until_s)
    app.alarms.shift(al.EMERGENCY, action == cat.REDUCE_STOP)
    app.alarm(al.EMERGENCY, True, action)
    app.follow(app.now_s)
    return 0


def end(app):
    """Back to the program: by a clinician's order, or because the day is over. The caller stores the state."""
    if app.settings.reduction:
        app.settings.reduction = 0
        app.log(cat.E_REDUCE, 0, app.now_s)
        app.alarm(al.EMERGENCY, False)
