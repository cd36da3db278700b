"""The calendar: rates by weekday and minute against a second, slower reading of the same week. See also tests/dual/scripts/weeks.py."""

import struct
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.firmware.schedule import Schedule

DAY_S = 86400
RATE = st.integers(0, 24_000_000)
PATTERN = st.tuples(RATE, st.lists(st.tuples(st.integers(1, 1439), RATE), max_size=12, unique_by=lambda step: step[0])).map(
    lambda drawn: [(0, drawn[0]), *sorted(drawn[1])])
WEEK = st.lists(PATTERN, min_size=1, max_size=7).flatmap(
    lambda patterns: st.tuples(st.just(patterns), st.lists(st.integers(0, len(patterns) - 1), min_size=7, max_size=7)))


def loaded(patterns, weekdays):
    steps = b"".join(bytes([len(pattern)]) + b"".join(struct.pack("<HI", *step) for step in pattern) for pattern in patterns)
    schedule = Schedule()
    schedule.load(bytes(weekdays), len(patterns), steps)
    return schedule


def rate_then(patterns, weekdays, at_s):
    """By walking the day from its start: 2024-01-01, day 0, was a Monday."""
    pattern = patterns[weekdays[at_s // DAY_S % 7]]
    return [rate for minute, rate in pattern if minute * 60 <= at_s % DAY_S][-1]


@pytest.mark.slow
@pytest.mark.req("TH-RATE-03")
@given(WEEK, st.lists(st.integers(0, (1 << 30) - 1), min_size=1, max_size=20))
@settings(max_examples=80)
def test_the_rate_at_any_second_and_the_second_at_which_it_may_change(week, instants):
    patterns, weekdays = week
    schedule = loaded(patterns, weekdays)
    for at_s in instants:
        until_s = schedule.next_change_s(at_s)
        assert at_s < until_s <= at_s - at_s % DAY_S + DAY_S
        assert schedule.rate_at(at_s) == rate_then(patterns, weekdays, at_s) == schedule.rate_at(until_s - 1)
        assert schedule.next_change_s(until_s - 1) == until_s
        later = until_s % DAY_S
        assert later == 0 or later // 60 in [minute for minute, _ in patterns[weekdays[at_s // DAY_S % 7]]]


@pytest.mark.slow
@given(WEEK)
@settings(max_examples=80)
def test_the_daily_volume_is_that_of_its_steps_rounded_down(week):
    patterns, weekdays = week
    schedule = loaded(patterns, weekdays)
    days = []
    for day in range(7):
        pattern = patterns[weekdays[day]]
        ends = [minute for minute, _ in pattern[1:]] + [1440]
        exact = sum(Fraction(rate * (end - minute), 1440) for (minute, rate), end in zip(pattern, ends))
        days.append(int(exact))
        assert schedule.daily_nl(day) == int(exact)
    assert schedule.most_daily_nl == max(days)


@pytest.mark.req("TH-RATE-03")
def test_every_boundary_of_a_flex_night_to_the_second():
    schedule = loaded([[(0, 96000), (360, 150000), (1320, 96001)], [(0, 48000)]], [0, 0, 0, 0, 0, 1, 1])
    monday = 735 * DAY_S
    assert [schedule.rate_at(monday + second) for second in (0, 359 * 60 + 59, 360 * 60, 1320 * 60 - 1, 1320 * 60, DAY_S - 1)] == [
        96000, 96000, 150000, 150000, 96001, 96001]
    saturday = monday + 5 * DAY_S
    assert [schedule.rate_at(saturday + second) for second in (-1, 0, 2 * DAY_S - 1, 2 * DAY_S)] == [96001, 48000, 48000, 96000]


def test_an_empty_schedule_asks_for_nothing():
    assert Schedule().rate_at(123456) == 0 and Schedule().most_daily_nl == 0


def test_a_periodic_day_has_25_steps_and_the_fastest_of_the_week_is_known():
    day = [(30 * step, 6000 if step % 2 == 0 else 2_334_000) for step in range(25)]
    schedule = loaded([day, [(0, 48_000)]], [0, 1, 1, 1, 1, 1, 1])
    assert [schedule.rate_at(1800 * step + 1) for step in range(25)] == [rate for _, rate in day]
    assert schedule.most_rate_nl_day == 2_334_000 and schedule.most_daily_nl == schedule.daily_nl(0) == (6000 * 36 + 2_334_000 * 12) // 48
    schedule.load(bytes(7), 1, bytes([1]) + struct.pack("<HI", 0, 6000))
    assert schedule.most_rate_nl_day == schedule.most_daily_nl == 6000, "of the one before nothing is left"
