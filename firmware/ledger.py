"""The ledger: what was demanded, ordered and missed since the pump was made, and what the reservoir should hold.

Lifetime totals are (uL, nL) pairs. *Ordered* means motor steps: pulses of a nominal volume become steps through the head's
calibrated volume per revolution by a second remainder, so that neither remainder ever rounds anything away (DESIGN R6).
"""

from .limits import SMALL

MISSED_STOP, MISSED_RESET, MISSED_STALL, MISSED_FAULT, MISSED_CLOCK, MISSED_LATE = range(6)
CAUSES = 6


class Ledger:
    """Plain integers; `settings.py` stores and restores them. A pulse moves every total at once."""

    def __init__(self):
        self.pulses = 0             # ordered since the pump was made
        self.pulsed_ul = 0          # their nominal volume
        self.pulsed_nl = 0
        self.revs = 0               # ordered motion: whole revolutions ...
        self.steps = 0              # ... and steps
        self.steps_rem = 0          # in 1/nl_per_rev of a step
        self.missed_ul = [0] * CAUSES
        self.missed_nl = [0] * CAUSES
        self.base_nl = 0            # reservoir volume at the last refill ...
        self.base_pulses = 0        # ... and the pulse count then
        self.lost_pulses = 0        # ordered since the refill but not turned
        self.pulse_nl = 1000
        self._steps_q = 0
        self._steps_r = 0
        self._nl_per_rev = 1
        self._steps_per_rev = 1

    def commission(self, pulse_nl, nl_per_rev, steps_per_rev):
        """Take the head's constants. A new head starts its step remainder anew."""
        assert steps_per_rev * pulse_nl < SMALL
        self.pulse_nl = pulse_nl
        self._nl_per_rev = nl_per_rev
        self._steps_per_rev = steps_per_rev
        self._steps_q = steps_per_rev * pulse_nl // nl_per_rev
        self._steps_r = steps_per_rev * pulse_nl % nl_per_rev
        # Rounded up once, for ever: ordered volume is then never less than the pulses' nominal volume, and above it by
        # less than one step, so |demanded - ordered| stays below a pulse.
        self.steps_rem = nl_per_rev - 1

    def pulse(self):
        """Book one pulse and return its steps."""
        steps, rem, pulsed_nl = self._steps_q, self.steps_rem + self._steps_r, self.pulsed_nl + self.pulse_nl
        if rem >= self._nl_per_rev:
            rem -= self._nl_per_rev
            steps += 1
        self.steps_rem = rem
        rem = self.steps + steps
        if rem >= self._steps_per_rev:
            rem -= self._steps_per_rev
            self.revs += 1
        self.steps = rem
        self.pulses += 1
        self.pulsed_ul += pulsed_nl // 1000
        self.pulsed_nl = pulsed_nl % 1000
        return steps

    def longest_pulse_steps(self):
        """Most steps a pulse can have."""
        return self._steps_q + 1

    def lose_pulse(self):
        """The last pulse did not turn the rotor: its drug is still in the reservoir and will not be made up."""
        self.lost_pulses += 1
        self.miss(MISSED_STALL, self.pulse_nl)

    def find_pulses(self, count):
        """The last `count` pulses booked as lost turned after all: it was the encoder that stood (alarms.md row 6)."""
        count = min(count, self.lost_pulses)
        self.lost_pulses -= count
        nl = self.missed_nl[MISSED_STALL] - count * self.pulse_nl
        self.missed_ul[MISSED_STALL] += nl // 1000
        self.missed_nl[MISSED_STALL] = nl % 1000

    def miss(self, cause, volume_nl):
        """Book volume that was due and will never be delivered."""
        total = self.missed_nl[cause] + volume_nl
        self.missed_ul[cause] += total // 1000
        self.missed_nl[cause] = total % 1000

    def refill(self, volume_nl):
        """The reservoir now holds `volume_nl` (0..60,000,000)."""
        self.base_nl = volume_nl
        self.base_pulses = self.pulses
        self.lost_pulses = 0

    def reservoir_nl(self):
        """Computed contents; negative when more was ordered than was filled."""
        used = self.pulses - self.base_pulses - self.lost_pulses
        if used > 60000000 // self.pulse_nl:    # never refilled by the book: keep the product small
            used = 60000000 // self.pulse_nl
        return self.base_nl - used * self.pulse_nl
