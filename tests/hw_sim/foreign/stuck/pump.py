"""A firmware whose step never returns and reads nothing: only the simulator's wall clock can end it."""


class Stuck:
    """Loops on nothing."""

    def step(self):
        """For ever."""
        while True:
            continue


def build(ports):
    """What the simulator asks a firmware for."""
    return Stuck()
