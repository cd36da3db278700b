"""Demand to pulses: the exact integral of the rate, one pulse when a whole one is due, nothing ever caught up (R6).

On top of the program runs at most one *extra* of a given volume: a prime or a bridge takes the program's place, a bolus is
added to it. An extra is demanded in whole nL by a remainder of its own, so that it ends at its exact volume and what is left
of it is exact at any instant, also behind a reset.
"""

from .ledger import MISSED_LATE
from .limits import DAY_S, HOLD_MARGIN_MS, MAX_CHUNK_S, MAX_PULSE_NL, SMALL

NONE, PRIME, BRIDGE, BOLUS, PATIENT_BOLUS = range(5)     # cat.EXTRAS; from BOLUS on they are added to the program


class Integrator:
    """Integral of a rate in nL/day over whole seconds, exact for ever: the remainder is in 1/86400 nL and is kept."""

    def __init__(self):
        self.rem = 0
        self._rate = 0
        self._q = 0
        self._r = 0

    def run(self, rate_nl_day, seconds):
        """nL that came due in `seconds` at `rate_nl_day` (0..24,000,000); any number of seconds from 0."""
        if rate_nl_day != self._rate:
            self._rate = rate_nl_day
            self._q = rate_nl_day // DAY_S
            self._r = rate_nl_day % DAY_S
        total, rem = 0, self.rem
        while seconds > 0:
            chunk = seconds if seconds < MAX_CHUNK_S else MAX_CHUNK_S
            rem += self._r * chunk
            total += self._q * chunk + rem // DAY_S
            rem %= DAY_S
            seconds -= chunk
        self.rem = rem
        return total


class Infusion:
    """Holds the demand that is not yet ordered and turns it into pulses of the ledger's size.

    acc_nl + demand.rem / 86400 is demanded minus nominally ordered: 0 <= acc_nl < one pulse after every step.
    """

    def __init__(self, ledger):
        self.ledger = ledger
        self.demand = Integrator()
        self.missing = Integrator()     # rounds what is booked as missed, apart from what is delivered
        self.acc_nl = 0
        self.extra = NONE
        self.extra_left_nl = 0
        self.extra_rate_nl_day = 0      # a bridge's may change under way: an alarm slows it, a program restates it
        self._extra = Integrator()
        self._step_hz = 1000

    def commission(self, step_hz):
        """Motor steps per second."""
        self._step_hz = step_hz

    def hold_ms(self, steps):
        """How long the enable one-shot is armed for `steps`."""
        return (steps * 1000 + self._step_hz - 1) // self._step_hz + HOLD_MARGIN_MS

    def run(self, rate_nl_day, seconds):
        """Demand `seconds` of `rate_nl_day` and of what runs beside it or in its place; `extra` is NONE when that has ended.

        What is over two pulses means that this step came late: one pulse stays due, the rest is booked as missed.
        """
        if self.extra:
            seconds = self._run_extra(rate_nl_day, seconds)
        acc_nl, pulse_nl = self.acc_nl + self.demand.run(rate_nl_day, seconds), self.ledger.pulse_nl
        if acc_nl >= 2 * pulse_nl:
            self.ledger.miss(MISSED_LATE, acc_nl - pulse_nl)
            acc_nl = pulse_nl
        self.acc_nl = acc_nl

    def _run_extra(self, rate_nl_day, seconds):
        """Demand the extra and what runs beside it; returns the seconds that are left behind its end."""
        while seconds > 0 and self.extra:
            part = self.extra_due_s()
            if part > seconds:
                part = seconds
            volume_nl = self._extra.run(self.extra_rate_nl_day, part)
            if volume_nl > self.extra_left_nl:
                volume_nl = self.extra_left_nl
            self.extra_left_nl -= volume_nl
            if self.extra >= BOLUS:
                volume_nl += self.demand.run(rate_nl_day, part)
            self.acc_nl += volume_nl
            seconds -= part
            if self.extra_left_nl == 0:
                self.extra = NONE
        return seconds

    def miss(self, cause, rate_nl_day, seconds):
        """Book `seconds` of `rate_nl_day` as missed; returns the nL."""
        volume_nl = self.missing.run(rate_nl_day, seconds)
        self.ledger.miss(cause, volume_nl)
        return volume_nl

    def pulse_due(self):
        """True when a whole pulse is demanded."""
        return self.acc_nl >= self.ledger.pulse_nl

    def take_pulse(self):
        """Move one pulse from demand to the ledger; returns its steps."""
        self.acc_nl -= self.ledger.pulse_nl
        return self.ledger.pulse()

    def due_s(self, rate_nl_day):
        """Whole seconds from now until the next pulse is demanded at this rate and the extra's, never late; -1 for never.

        Two demands with a remainder each may ask for one more second at the end: it is waited for then.
        """
        need = (self.ledger.pulse_nl - self.acc_nl) * DAY_S
        rem, extra_rate = self.demand.rem, self.extra_rate_nl_day
        if self.extra >= BOLUS:
            need -= rem + self._extra.rem
            if need <= 0:       # one nL is missing, and one of the two makes it first
                extra_s = (DAY_S - self._extra.rem + extra_rate - 1) // extra_rate
                basal_s = (DAY_S - rem + rate_nl_day - 1) // rate_nl_day if rate_nl_day else extra_s
                return extra_s if extra_s < basal_s else basal_s
            rate_nl_day += extra_rate
        elif self.extra:
            need -= self._extra.rem
            rate_nl_day = extra_rate
        else:
            need -= rem
        if rate_nl_day <= 0:
            return -1
        return (need + rate_nl_day - 1) // rate_nl_day if need > 0 else 1

    def extra_due_s(self):
        """Whole seconds until the extra has demanded all its volume, or a part of them while it is far from its end; at least 1."""
        rate, left = self.extra_rate_nl_day, self.extra_left_nl
        if rate == 0:
            return SMALL - 1
        if left > MAX_PULSE_NL:     # whole seconds are enough, and the product stays small
            seconds = (left - MAX_PULSE_NL) // (rate // DAY_S + 1)
            if seconds > 0:
                return seconds
            left = MAX_PULSE_NL
        return (left * DAY_S - self._extra.rem + rate - 1) // rate

    def bridge_left_nl(self):
        """What a bridge, under way or interrupted, has left of the old drug; 0 when there is none."""
        return self.extra_left_nl if self.extra == BRIDGE else 0

    def start_extra(self, kind, volume_nl, rate_nl_day):
        """From now on deliver `volume_nl` (> 0) at `rate_nl_day`: in the program's place (prime, bridge) or added to it."""
        self.extra = kind
        self.extra_left_nl = volume_nl
        self.extra_rate_nl_day = rate_nl_day
        self._extra.rem = 0

    def cut_extra(self):
        """End the extra; returns what was left. A prime or bolus is never resumed (alarms.md row 23)."""
        left = self.extra_left_nl
        self.extra = NONE
        self.extra_left_nl = 0
        return left
