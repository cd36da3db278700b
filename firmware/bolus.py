"""The patient's own bolus: who may have one now, and why not (alarms.md 3). The lockout runs from the end of the last bolus.

Times are `settings.steady_s`: the seconds that this pump has lived through, by its steady tick and across resets by the length of
the outage. Setting the clock does not move it, so no lockout is ever shortened or lengthened by it. All that must survive a reset
lives in `settings.bolus_state`, which the state record carries:

     0  end of the last bolus + 1, u32; 0: there was none
     4  start of the last granted bolus + 1, u32; 0: none     12  47 gaps between the starts before it, u24, newest first
     8  the last refused request + 1, u32; 0: none           153  15 gaps between the refusals before it

A gap of a day or more reads a day: nothing behind it counts. 48 boluses in 24 h is the catalogue's most, so every count is exact;
refusals are counted up to 16. A blank state is that of a new pump; a lost one must be assumed used.
"""

from ..protocol import catalogue as cat
from ..protocol.fields import get, put
from . import alarms as al
from .blocks import bolus_rate_nl_day
from .caps import basal
from .limits import DAY_S

STATE_BYTES = 198
GRANTED, GRANTED_GAPS, REFUSED, REFUSED_GAPS = 4, 12, 8, 153
REFUSED_MANY = 3        # row 26: as many refusals in 24 h are a sign


class PatientBolus:
    """`settings` holds steady_s, bolus_state, filled_s and changed_s. `volume_nl` is 0 while the program grants no bolus."""

    def __init__(self, settings):
        self._settings = settings
        self.volume_nl = 0
        self.seconds = 0
        self.most_daily_nl = 0      # all the boluses that a day can hold, for the low-reservoir date
        self._lockout_s = 0
        self._interval_s = 0
        self._per_interval = 0
        self._per_day = 0
        self._released = 0

    def load(self, values):
        """The rules of a program block, for requests from now on; what was granted before counts under them."""
        self.volume_nl = values["bolus_nl"]
        self.seconds = values["bolus_s"]
        self._lockout_s = values["lockout_min"] * 60
        self._interval_s = values["interval_h"] * 3600
        self._per_interval = values["per_interval"]
        self._per_day = values["per_day"]
        self._released = values["released"]
        self.most_daily_nl = len(self.starts(values, DAY_S, 0, False)) * self.volume_nl

    # ------------------------------------------------------------------------------------------------ requests
    def refusal(self, app):
        """0, or the first R_* reason against a request now, in the order of alarms.md 3."""
        settings, now_s = self._settings, app.now_s
        if self.volume_nl == 0:
            return cat.R_NOT_ALLOWED
        if app.infusion.extra:
            return cat.R_BUSY
        if app.alarms.urgent or app.alarms.is_active(al.FIELD):     # row 23 forbids too, but for as long as the lockout
            return cat.R_ALARM
        if app.misfit():
            return cat.R_DRUG
        if app.ledger.base_nl and app.contents.usable_nl() * DAY_S < basal(app.schedule, now_s, now_s + 2 * DAY_S):
            return cat.R_RESERVE
        fresh_s = max(settings.filled_s, settings.changed_s)
        if not self._released and fresh_s and settings.steady_s + 1 - fresh_s < DAY_S:
            return cat.R_FRESH
        if self.lockout_s():
            return cat.R_LOCKOUT
        if self._per_interval and self._count(GRANTED, self._interval_s) >= self._per_interval:
            return cat.R_COUNT
        if self.granted_day() >= self._per_day:
            return cat.R_DAY
        return app.caps.grant_refusal(app, self.volume_nl, self.seconds)

    def granted(self):
        """A bolus starts now. Until it ends its planned end is the one on record: a reset finds no shorter lockout."""
        self._add(GRANTED)
        put(self._settings.bolus_state, 0, 4, self._settings.steady_s + self.seconds + 1)

    def ended(self, at_s):
        """A bolus has ended at steady second `at_s`, whole or cut short: the lockout runs from here."""
        put(self._settings.bolus_state, 0, 4, at_s + 1)

    def denied(self):
        """A request was refused; returns how many in the last 24 h (REFUSED_MANY: row 26)."""
        self._add(REFUSED)
        return self.refused_day()

    def assume_used(self):
        """The state was lost: lockout, interval and 24 h are assumed to be used up, as of now."""
        state = self._settings.bolus_state
        for at in range(GRANTED_GAPS, REFUSED_GAPS):
            state[at] = 0
        put(state, GRANTED, 4, self._settings.steady_s + 1)
        self.ended(self._settings.steady_s)

    # ------------------------------------------------------------------------------------------------ counts
    def lockout_s(self):
        """Seconds until the lockout is over; 0 without one."""
        ended_s = get(self._settings.bolus_state, 0, 4)
        return max(0, ended_s - 1 + self._lockout_s - self._settings.steady_s) if ended_s else 0

    def granted_day(self):
        """Boluses that started in the last 24 h."""
        return self._count(GRANTED, DAY_S)

    def refused_day(self):
        """Requests that were refused in the last 24 h, up to 16."""
        return self._count(REFUSED, DAY_S)

    def _count(self, newest, window_s):
        state = self._settings.bolus_state
        at, end = (GRANTED_GAPS, REFUSED_GAPS) if newest == GRANTED else (REFUSED_GAPS, STATE_BYTES)
        age_s, found = self._settings.steady_s + 1 - get(state, newest, 4), 0
        if age_s > self._settings.steady_s:
            return 0
        while age_s < window_s:
            found += 1
            if at == end:
                break
            age_s += get(state, at, 3)
            at += 3
        return found

    def _add(self, newest):
        state, steady_s = self._settings.bolus_state, self._settings.steady_s
        first, end = (GRANTED_GAPS, REFUSED_GAPS) if newest == GRANTED else (REFUSED_GAPS, STATE_BYTES)
        before = get(state, newest, 4)
        for at in range(end - 1, first + 2, -1):
            state[at] = state[at - 3]
        put(state, first, 3, min(DAY_S, steady_s + 1 - before) if before else DAY_S)
        put(state, newest, 4, steady_s + 1)

    def starts(self, values, horizon_s, first_s, known):
        """Seconds from now at which a patient who asks for all gets each bolus of a program before `horizon_s`, the first at `first_s`.

        `known`: behind what was granted before; else with nothing granted yet. No other sequence has its n-th bolus earlier.
        """
        taken: list = []
        state = self._settings.bolus_state
        per_day, per_interval = values["per_day"], values["per_interval"]
        if values["bolus_nl"] == 0:
            return taken
        rate = bolus_rate_nl_day(values["bolus_nl"], values["bolus_s"])
        turn_s = (values["bolus_nl"] * DAY_S + rate - 1) // rate + values["lockout_min"] * 60
        if known:
            at_s = get(state, GRANTED, 4) - 1 - self._settings.steady_s
            for back in range(self.granted_day()):
                taken.insert(0, at_s)
                at_s -= get(state, GRANTED_GAPS + 3 * back, 3)
            ended_s = get(state, 0, 4)
            if ended_s:
                first_s = max(first_s, ended_s - 1 + values["lockout_min"] * 60 - self._settings.steady_s)
        before = len(taken)
        while per_day:
            if len(taken) >= per_day:
                first_s = max(first_s, taken[-per_day] + DAY_S)
            if 0 < per_interval <= len(taken):
                first_s = max(first_s, taken[-per_interval] + values["interval_h"] * 3600)
            if first_s >= horizon_s:
                break
            taken.append(first_s)
            first_s += turn_s
        return taken[before:]
