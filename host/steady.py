"""How long ago something was, on a measure that nobody can set: the log's times, with every move of the pump's clock behind it taken out.

The pump itself counts lockouts, windows and steps by its steady tick; the log has the time of day, which travels with the patient.
"""

from __future__ import annotations

from typing import Sequence

from ..protocol import catalogue
from .records import Event


def moved_s(events: Sequence[Event], seq: int) -> int:
    """Seconds by which the clock was set or jumped ahead (below 0: back) behind event `seq`, as far as `events` tell."""
    later = [event for event in events if event.seq > seq]
    return sum(event.a - event.b for event in later if event.code == catalogue.E_SET_CLOCK) + sum(
        event.a for event in later if event.code == catalogue.E_CLOCK_JUMP)


def age_s(events: Sequence[Event], event: Event, now_s: int) -> int:
    """Seconds from `event` to pump time `now_s`, never below 0; `events` must reach from it to now."""
    return max(0, now_s - event.time_s - moved_s(events, event.seq))
