"""Demand to pulses: the exact integral of the rate, one pulse when a whole one is due, nothing ever caught up (R6)."""

from .ledger import MISSED_LATE
from .limits import DAY_S, HOLD_MARGIN_MS, MAX_CHUNK_S


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
        total = 0
        while seconds > 0:
            chunk = seconds if seconds < MAX_CHUNK_S else MAX_CHUNK_S
            fraction = self._r * chunk + self.rem
            total += self._q * chunk + fraction // DAY_S
            self.rem = fraction % DAY_S
            seconds -= chunk
        return total


class Infusion:
    """Holds the demand that is not yet ordered and turns it into pulses of the ledger's size.

    acc_nl + integrator.rem / 86400 is demanded minus nominally ordered: 0 <= acc_nl < one pulse after every step.
    """

    def __init__(self, ledger):
        self.ledger = ledger
        self.demand = Integrator()
        self.missing = Integrator()     # rounds what is booked as missed, apart from what is delivered
        self.acc_nl = 0
        self.prime_left_nl = 0
        self.prime_rate_nl_day = 0
        self._step_hz = 1000

    def commission(self, step_hz):
        """Motor steps per second."""
        self._step_hz = step_hz

    def hold_ms(self, steps):
        """How long the enable one-shot is armed for `steps`."""
        return (steps * 1000 + self._step_hz - 1) // self._step_hz + HOLD_MARGIN_MS

    def run(self, rate_nl_day, seconds):
        """Demand `seconds` of `rate_nl_day`. A running prime takes the rate's place and ends at its exact volume.

        What is over two pulses means that this step came late: one pulse stays due, the rest is booked as missed.
        """
        while seconds > 0 and self.prime_left_nl > 0:
            part = self.prime_due_s()
            if part > seconds:
                part = seconds
            volume_nl = self.demand.run(self.prime_rate_nl_day, part)
            if volume_nl > self.prime_left_nl:
                volume_nl = self.prime_left_nl
            self.prime_left_nl -= volume_nl
            self.acc_nl += volume_nl
            seconds -= part
        self.acc_nl += self.demand.run(rate_nl_day, seconds)
        pulse = self.ledger.pulse_nl
        if self.acc_nl >= 2 * pulse:
            self.ledger.miss(MISSED_LATE, self.acc_nl - pulse)
            self.acc_nl = pulse

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
        """Whole seconds from now until the next pulse is demanded at this rate (or the prime's); -1 for never."""
        rate = self.prime_rate_nl_day if self.prime_left_nl > 0 else rate_nl_day
        if rate <= 0:
            return -1
        need = (self.ledger.pulse_nl - self.acc_nl) * DAY_S - self.demand.rem
        return (need + rate - 1) // rate

    def prime_due_s(self):
        """Whole seconds until the running prime has demanded all its volume; at least 1."""
        left = self.prime_left_nl
        if left > 4000:         # far from the end: whole seconds are enough, and the product stays small
            seconds = (left - 4000) // (self.prime_rate_nl_day // DAY_S + 1)
            if seconds > 0:
                return seconds
            left = 4000
        return (left * DAY_S - self.demand.rem + self.prime_rate_nl_day - 1) // self.prime_rate_nl_day

    def start_prime(self, volume_nl, rate_nl_day):
        """From now on deliver `volume_nl` at `rate_nl_day`, then the program again."""
        self.prime_left_nl = volume_nl
        self.prime_rate_nl_day = rate_nl_day

    def cut_prime(self):
        """End a running prime; returns what was left. It is never resumed (alarms.md row 23)."""
        left = self.prime_left_nl
        self.prime_left_nl = 0
        return left
