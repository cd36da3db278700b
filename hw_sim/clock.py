"""Virtual time: integer microseconds and a queue of dated callbacks. No wall clock anywhere near it."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class VirtualClock:
    """`now_us` only ever rises. Callbacks of one instant run in the order in which they were added."""

    def __init__(self) -> None:
        self.now_us = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._added = 0

    def at(self, t_us: int, callback: Callable[[], None]) -> None:
        """Run `callback()` at virtual `t_us`. Raises ValueError for an instant that has passed."""
        if t_us < self.now_us:
            raise ValueError(f"an event at {t_us} us is in the past: it is {self.now_us} us")
        heapq.heappush(self._queue, (t_us, self._added, callback))
        self._added += 1

    def next_us(self) -> int | None:
        """Instant of the earliest callback, or None."""
        return self._queue[0][0] if self._queue else None

    def run_due(self) -> None:
        """Run every callback that is due at `now_us`, also those that callbacks add for this very instant."""
        while self._queue and self._queue[0][0] <= self.now_us:
            heapq.heappop(self._queue)[2]()
