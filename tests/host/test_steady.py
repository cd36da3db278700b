"""Ages that a set clock cannot move."""

import pytest
from fake_pump import event

from thecal.host import steady
from thecal.host.records import read_events
from thecal.protocol import catalogue as cat


def log(*rows):
    return read_events(b"".join(event(seq, *row) for seq, row in enumerate(rows)), 0)


@pytest.mark.parametrize("moves, moved", [
    ([], 0),
    ([(50_000, cat.E_SET_CLOCK, 0, 50_000, 71_600)], -21_600),
    ([(90_000, cat.E_SET_CLOCK, 0, 90_000, 71_600), (99_000, cat.E_CLOCK_JUMP, 0, 400)], 18_800),
])
def test_an_age_leaves_out_what_the_clock_was_moved_by(moves, moved):
    events = log((5, cat.E_SET_CLOCK, 0, 60_000, 5), (60_000, cat.E_PROGRAM, 1, 300_000, 300_000), *moves)
    assert steady.moved_s(events, 1) == moved, "what was set before it is no matter"
    assert steady.age_s(events, events[1], 100_000 + moved) == 40_000
    assert steady.age_s(events, events[1], 10_000) == 0 or moved < -10_000, "never below 0"
