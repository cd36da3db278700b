"""The real firmware behind a pyserial-like port: the bench of tests/dual on a virtual clock, with a bellows that a syringe can reach.

No plant, no world: what a workflow does to a pump is seen here in seconds of nobody's time; the scenarios have the physiology.
"""

import random
import sys
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "dual"))

from bare_pump import Bench  # noqa: E402  (the line above makes it importable)

BURST = 64      # bytes that the line brings at a time, as a FIFO would


class BenchClock:
    """The bench's own time: sleeping lets the firmware run."""

    virtual = True

    def __init__(self, bench):
        self._bench = bench
        self.passed_ms = 0

    def now_s(self):
        return self.passed_ms / 1000

    def sleep(self, seconds):
        ms = max(1, round(seconds * 1000))
        self.passed_ms += ms
        while ms > 0:
            part = min(ms, 86_400_000)
            self._bench.run(part)
            ms -= part


class RealPump:
    """Port and hands on one pump: `bench` has its faults (stalled, magnet, level_counts ...). New from the factory unless told otherwise."""

    port = "bench"

    def __init__(self, ready=False, **commission):
        self.bench = Bench(ready=ready, **commission)
        self.clock = BenchClock(self.bench)
        self.timeout = None
        self.closed = False
        self._out = deque()
        self._nonces = random.Random(3)
        received = self.bench.received
        self.bench.received = lambda: self._out.extend(self.bench.latch.tx[:self.bench.latch.tx_length]) or (received() if self.bench.session else [])

    # ------------------------------------------------------------------------------------------------ the port
    @property
    def in_waiting(self):
        return len(self._out)

    def write(self, data):
        for at in range(0, len(data), BURST):
            self.bench.wake(bytes(data[at:at + BURST]))
            if self.bench.latch.tx_length:
                self.bench.received()

    def read(self, size):
        if not self._out:
            self.clock.sleep(self.timeout)
        return bytes(self._out.popleft() for _ in range(min(size, len(self._out))))

    def close(self):
        self.closed = True

    def chance(self, count):
        """The host's nonces and keys, the same in each run."""
        return self._nonces.randbytes(count)

    # ------------------------------------------------------------------------------------------------ the syringe
    @property
    def held_ul(self):
        """What the bellows holds."""
        return self.bench.level_ul - self.bench.moved_steps * 35 // 4096

    def withdraw(self):
        """Empty the bellows to its residual; what came out, mL as text."""
        out_ul = self.held_ul - 1400
        self.bench.level_ul -= out_ul
        return "%.3f mL" % (out_ul / 1000)

    def inject(self, volume_ul):
        """Fill the bellows, which is dry before its first fill."""
        self.bench.level_ul += volume_ul
