"""Somebody else's firmware: 0.2 mL/day for ever, a pulse of 1 uL every 432 s, and not a word on the line.

thecal-sim run baclofen --firmware tests/hw_sim/foreign/steady
"""

PULSE_S = 432           # 86,400 s / 200 pulses a day
STEPS, REST = 117, 32   # 1 uL = 4096 steps / 35 uL = 117 steps and 1/35; here 117 and 32/1120


class Steady:
    """One pulse after the other, whatever happens."""

    def __init__(self, ports):
        self.clock = ports.clock
        self.motor = ports.motor
        self.wait_ms = 0
        self.rest = 0

    def step(self):
        """Called when due, and for bytes and edges too: only time makes a pulse."""
        self.wait_ms -= self.clock.elapsed_ms()
        if self.wait_ms <= 0:
            self.wait_ms += PULSE_S * 1000
            self.rest += REST
            self.motor.order(STEPS + self.rest // 1120, 150)
            self.rest %= 1120
        return self.wait_ms


def build(ports):
    """What the simulator asks a firmware for."""
    return Steady(ports)
