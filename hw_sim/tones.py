"""Whether a pump is heard: while an alarm stands whose row has a tone, that tone must sound within its cadence, and again and again.

When an alarm stood is read off the line, at every look and by the dates of the pump's log in between; the tones are the world's own record of
the buzzer. So a pump that says its alarms and is mute is found, whatever its own books say. Cadence and kind are those of the host's table
(alarms.md 2): two-tone every 10 min, single every hour, once. Where the power is away nothing stands. A tone asked for by an alarm test counts
like any other, since nobody outside can tell it apart.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SECOND_US = 1_000_000
STANDS, BEGINS, ENDS, DARK = "stands", "begins", "ends", "dark"
SINGLE, TWO_TONE = 1, 2
# The word of the host's table: (kind at least, longest silence in seconds, whether it comes again)
CADENCE: Mapping[str, tuple[int, int, bool]] = {"two-tone": (TWO_TONE, 600, True), "single": (SINGLE, 3600, True), "once": (SINGLE, 3600, False)}
LATE_S = 5      # whole seconds of the pump's time at both ends of a silence, its date of the alarm's beginning, and the boot's look at the clock
Mark = tuple[int, str, frozenset[int]]
Span = tuple[int, int]


def spans(marks: Iterable[Mark], end_us: int) -> dict[int, list[Span]]:
    """From when to when each row stood, in us; `marks` is (when, STANDS of just these rows, BEGINS, ENDS of these, or DARK), in any order.

    STANDS closes a row that is no longer named at the mark before it, since nobody saw when it ended.
    """
    since: dict[int, int] = {}
    found: dict[int, list[Span]] = {}
    last_us = 0

    def close(row: int, t_us: int) -> None:
        found.setdefault(row, []).append((since.pop(row), t_us))

    for t_us, kind, rows in sorted(marks, key=lambda mark: (mark[0], (DARK, ENDS, BEGINS, STANDS).index(mark[1]))):
        if kind in (DARK, ENDS):
            for row in [row for row in since if kind == DARK or row in rows]:
                close(row, t_us)
        else:
            if kind == STANDS:
                for row in [row for row in since if row not in rows]:
                    close(row, max(since[row], last_us))
            for row in rows:
                since.setdefault(row, t_us)
        last_us = t_us
    for row in list(since):
        close(row, end_us)
    return found


def silences(stood: Mapping[int, Sequence[Span]], tones: Sequence[tuple[int, int]], table: Mapping[int, Any]) -> list[str]:
    """One sentence for each row that was not heard as its `table` entry's `tone` says; `tones` are (when, kind) in the order of time."""
    said = []
    for row, pieces in sorted(stood.items()):
        cadence = CADENCE.get(table[row].tone) if row in table else None
        if cadence is None:
            continue
        kind, longest_s, again = cadence
        silent_s = max(_silence_s([t_us for t_us, heard in tones if heard >= kind], piece, again) for piece in pieces)
        if silent_s > longest_s + LATE_S:
            said.append("alarm %d stood %.0f s without its tone (%s, within %d s)" % (row, silent_s, table[row].tone, longest_s))
    return said


def _silence_s(heard_us: Sequence[int], span: Span, again: bool) -> float:
    """The longest silence within a span; of a tone that comes once, how long it took."""
    first_us, last_us = span
    inside = [t_us for t_us in heard_us if first_us - LATE_S * SECOND_US <= t_us <= last_us]
    marks = [first_us, *inside, last_us] if again else [first_us, *(inside[:1] or [last_us])]
    return max(after - before for before, after in zip(marks, marks[1:])) / SECOND_US
