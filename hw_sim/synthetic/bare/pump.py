"""A firmware that does nothing, a hundred times a second: what one exchange costs without a firmware."""


class Bare:
    """Due again in 10 ms, for ever."""

    def step(self):
        """Nothing."""
        return 10


def build(ports):
    """The pump."""
    return Bare()
