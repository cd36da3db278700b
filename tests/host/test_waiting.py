"""Waiting: at any pace, never early, late by at most a poll; a clock that stands still is said."""

from types import SimpleNamespace

import pytest
from fake_pump import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from thecal.host.errors import RequestInvalid, Timeout
from thecal.host.waiting import LONGEST_SLEEP_S, SHORTEST_SLEEP_S, wait


def asker(clock, pace, start=1000, poll_s=0.001):
    """A pump whose clock runs `pace` times as fast as the host's; asking costs `poll_s`."""
    begin = clock.now_s()

    def ask():
        clock.now += poll_s
        return SimpleNamespace(time_s=start + int((clock.now_s() - begin) * pace))
    return ask


@given(st.sampled_from([0.5, 1.0, 60.0, 20_000.0]), st.integers(0, 100))
def test_a_live_pump_is_followed_at_its_pace(pace, span):
    clock = FakeClock(virtual=False)
    status = wait(asker(clock, pace), clock, span, 5.0)
    assert status.time_s >= 1000 + span
    assert status.time_s - 1000 - span <= max(2, 1 + 1.1 * pace * (LONGEST_SLEEP_S + 0.002))
    assert all(SHORTEST_SLEEP_S <= sleep <= LONGEST_SLEEP_S for sleep in clock.sleeps)


def test_the_end_of_a_fast_wait_is_met_closely():
    clock = FakeClock(virtual=False)
    status = wait(asker(clock, 60.0), clock, 3600, 5.0)
    assert status.time_s - 4600 <= 2, "the sleeps shrink towards the end"
    assert len(clock.sleeps) < 90


def test_progress_ends_at_the_whole():
    clock, seen = FakeClock(virtual=False), []
    wait(asker(clock, 60.0), clock, 600, 5.0, lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1] == (600, 600)


def test_a_clock_that_stands_still():
    clock = FakeClock(virtual=False)
    with pytest.raises(Timeout, match="stood still"):
        wait(asker(clock, 0.0), clock, 10, 5.0)
    assert 5.0 < clock.now_s() - 100.0 < 8.0


def test_virtual_time_is_one_sleep():
    clock = FakeClock()
    assert wait(asker(clock, 1.0, poll_s=0), clock, 86_400, 5.0).time_s == 87_400
    assert clock.sleeps == [86_400]


def test_no_time_at_all_and_less():
    clock = FakeClock()
    assert wait(asker(clock, 1.0, poll_s=0), clock, 0, 5.0).time_s == 1000 and clock.sleeps == []
    with pytest.raises(RequestInvalid, match="-5 s"):
        wait(asker(clock, 1.0), clock, -5, 5.0)
