"""A firmware that waits inside a step for the level to change: time stands still in a step, so it never does."""


class Spins:
    """Busy-waits on a port."""

    def __init__(self, ports):
        self.level = ports.level

    def step(self):
        """Never gets an answer that differs."""
        before = self.level.read()
        while self.level.read() == before:
            continue
        return 1000


def build(ports):
    """What the simulator asks a firmware for."""
    return Spins(ports)
