"""Waiting on the pump's clock: virtual time is slept through in one go, a live pump is polled at its own pace.

A live simulator may run at 60 times or 20,000 times the wall's speed, and drops to 1x while a stage is open: pace is therefore
measured between polls and never assumed.
"""

from __future__ import annotations

from typing import Callable

from .errors import RequestInvalid, Timeout
from .records import Status
from .transport import Clock

LONGEST_SLEEP_S = 1.0
SHORTEST_SLEEP_S = 0.01
NEAR_END = 0.9  # of the estimated rest: a wait may end late by a poll, never early


def wait(ask: Callable[[], Status], clock: Clock, span_s: int, timeout_s: float, progress: Callable[[int, int], None] | None = None) -> Status:
    """Return the first status whose `time_s` is at least `span_s` pump seconds after the first one asked.

    `progress(done, span)` is called with pump seconds. Raises RequestInvalid for a negative span and Timeout when the pump's clock
    stands still for `timeout_s` (at least two seconds) of the wall's.
    """
    if span_s < 0:
        raise RequestInvalid("a wait of %d s: it must be 0 or more" % span_s)
    status = ask()
    start_s = status.time_s
    end_s = start_s + span_s
    pace = _Pace(clock, start_s, max(timeout_s, 2.0))
    while status.time_s < end_s:
        clock.sleep(end_s - status.time_s if clock.virtual else pace.sleep_s(end_s - status.time_s))
        status = ask()
        pace.see(status.time_s)
        if progress:
            progress(min(status.time_s - start_s, span_s), span_s)
    return status


class _Pace:
    """Pump seconds per second of the host's clock, from the last poll to this one."""

    def __init__(self, clock: Clock, pump_s: int, still_s: float):
        self._clock = clock
        self._still_s = still_s
        self._moved_at = clock.now_s()
        self._pump_s = pump_s
        self._rate = 1.0

    def see(self, pump_s: int) -> None:
        now = self._clock.now_s()
        if pump_s != self._pump_s:
            self._rate = max(0.001, (pump_s - self._pump_s) / max(1e-6, now - self._moved_at))
            self._pump_s, self._moved_at = pump_s, now
        elif now - self._moved_at > self._still_s and not self._clock.virtual:
            raise Timeout("the pump's clock has stood still for %g s" % (now - self._moved_at))

    def sleep_s(self, left_s: int) -> float:
        return min(LONGEST_SLEEP_S, max(SHORTEST_SLEEP_S, NEAR_END * left_s / self._rate))
