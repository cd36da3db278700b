"""A firmware that fails after an hour: its traceback must be shown, not lost."""


class Raises:
    """Counts its wakes, then divides by zero."""

    def __init__(self):
        self.left = 60

    def step(self):
        """Due every minute, sixty times."""
        self.left -= 1
        return 60000 // self.left


def build(ports):
    """What the simulator asks a firmware for."""
    return Raises()
