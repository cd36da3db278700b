"""How MicroPython's heap is laid down: often collected while the pump is built, when it is full from then on.

What lives for ever would else lie scattered among what loading left behind, and no piece of half a kilobyte would be free in 45 KB.
"""

import gc
import sys

GATHER = 4096       # bytes between two collections while the pump is built; it allocates little when it runs
HOST = sys.implementation.name == "cpython"


def gather():
    """Before the first module of the pump is loaded."""
    if not HOST:
        gc.threshold(GATHER)


def settled():
    """The pump is built."""
    if not HOST:
        gc.collect()
        gc.threshold(-1)
