"""The second hand (R11): judges motion by the encoder alone, shares no ledger with the controller, and may drop enable.

It is told of every order (that is the lease), looks at the rotor when the lease is over, and at every wake in between.
Rotation is taken modulo one turn, so a lease must be shorter than half a turn: asserted where the pulse size is set.
"""

from .limits import CLOCK_FOLLOW_S, CLOCK_JUMP_S, EDGE_COUNTS, STALL_PULSES, STALL_S

QUIET, MOVED, LOST, UNORDERED = range(4)


class Supervisor:
    """Counts of one revolution in `counts_per_rev`; time in milliseconds since the last look, given by the caller."""

    def __init__(self, motor):
        self._motor = motor
        self._counts = 4096
        self._steps = 4096
        self._angle = -1            # where the rotor stood when it was last seen at rest; -1: not seen yet
        self._expected = 0          # counts that the open lease should turn
        self._lease_ms = 0          # what is left of it
        self._open = False
        self.seen = 0               # counts turned by the last lease that was judged
        self.expected = 0
        self.lost_in_a_row = 0
        self._lost_ms = 0           # since the first of them
        self._drift_s = 0
        self._followed_s = 0

    def commission(self, counts_per_rev, steps_per_rev, longest_pulse_steps):
        """Take the encoder's constants; they come from the commissioning record, not from the controller."""
        assert longest_pulse_steps * 2 < steps_per_rev
        self._counts = counts_per_rev
        self._steps = steps_per_rev
        self._angle = -1

    def lease(self, steps, hold_ms):
        """The controller is about to order `steps`; motion is allowed for `hold_ms`."""
        self._expected = steps * self._counts // self._steps
        self._lease_ms = hold_ms
        self._open = True

    @property
    def busy(self):
        """True while a lease runs."""
        return self._open

    def look(self, angle, elapsed_ms):
        """One look at the rotor, `elapsed_ms` after the last: MOVED or LOST when a lease was judged, else QUIET or UNORDERED.

        UNORDERED: the rotor turned by more than the encoder's noise while no lease was open. Enable is dropped at once.
        """
        if self.lost_in_a_row:
            self._lost_ms += elapsed_ms
        if self._angle < 0:
            self._angle = angle
        turned = angle - self._angle
        if turned > self._counts // 2:
            turned -= self._counts
        elif turned < -(self._counts // 2):
            turned += self._counts
        if self._open:
            self._lease_ms -= elapsed_ms
            if self._lease_ms > 0:
                return QUIET
            return self._judge(angle, turned)
        if turned > EDGE_COUNTS or turned < -EDGE_COUNTS:
            self._motor.drop_enable()
            self._angle = angle
            self.seen = turned
            return UNORDERED
        return QUIET

    def _judge(self, angle, turned):
        self._open = False
        self._angle = angle
        self.seen = turned
        self.expected = self._expected
        if turned > self._expected + EDGE_COUNTS:
            self._motor.drop_enable()
            return UNORDERED
        if turned * 2 >= self._expected:
            self.lost_in_a_row = 0
            self._lost_ms = 0
            return MOVED
        if self.lost_in_a_row == 0:
            self._lost_ms = 0
        self.lost_in_a_row += 1
        return LOST

    @property
    def stalled(self):
        """Row 7: three pulses in a row without motion, or the first of them 30 minutes ago."""
        return self.lost_in_a_row >= STALL_PULSES or (self.lost_in_a_row > 0 and self._lost_ms >= STALL_S * 1000)

    def clock_jump_s(self, rtc_s, ticked_s):
        """Seconds by which the RTC moved against the tick beyond a crystal's drift, once they are a jump; else 0.

        Drift is followed as fast as crystals drift and no faster, so that many small jumps add up to a large one.
        """
        off = rtc_s - ticked_s - self._drift_s
        if off == 0:
            return 0
        budget = 1 + (ticked_s - self._followed_s) // CLOCK_FOLLOW_S
        jumped = off > CLOCK_JUMP_S or off < -CLOCK_JUMP_S
        if jumped or -budget <= off <= budget:
            self._drift_s += off
            self._followed_s = ticked_s
        return off if jumped else 0

    def clock_set(self, rtc_s, ticked_s):
        """The clock was set by order: start comparing from here."""
        self._drift_s = rtc_s - ticked_s
        self._followed_s = ticked_s
