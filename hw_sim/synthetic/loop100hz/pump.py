"""A synthetic 100 Hz control loop: an integer PI controller that keeps the rotor turning at a set speed, one order a step.

For `thecal-sim bench speed` only: it shows what a dense control loop costs over the tether. It knows no therapy.
"""

SET_COUNTS = 5          # encoder counts a step that the rotor should turn
KP, KI, SCALE = 24, 2, 64
MOST_STEPS = 10         # 10 ms at 1000 steps/s


class Loop:
    """Reads the encoder, orders steps."""

    def __init__(self, ports):
        self._encoder = ports.encoder
        self._motor = ports.motor
        self._level = ports.level
        self._angle = ports.encoder.angle()
        self._sum = 0
        self.level = 0

    def step(self):
        """One control period."""
        angle = self._encoder.angle()
        error = SET_COUNTS - (angle - self._angle & 4095)
        self._angle = angle
        self._sum += error
        self.level = self._level.read()
        steps = (KP * error + KI * self._sum) // SCALE + SET_COUNTS
        if steps > 0:
            self._motor.order(steps if steps < MOST_STEPS else MOST_STEPS, 10)
        return 10


def build(ports):
    """The pump."""
    return Loop(ports)
