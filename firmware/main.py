"""The entry: chooses a board by sys.platform and runs it. The only place that does (R2)."""

import sys

from .boards.heap import gather


def main():
    """Run the pump of this platform for ever (until the simulator quits, on a tether)."""
    if sys.platform == "rp2":
        from .boards.pico import run
    elif sys.platform == "esp32":
        from .boards.esp32 import run
    else:
        gather()        # of 64 bits each object is twice as large; a board has room, and each collection would cost it 20 ms of its first second
        from .boards.tether import run
    run()
