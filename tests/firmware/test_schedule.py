"""The calendar: rates by weekday and minute against a second, slower reading of the same week. See also tests/dual/scripts/weeks.py."""

import struct
from fractions import Fraction

import pytest
from bare_pump import MONDAY_S, Bench, flex_program
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.firmware import alarms as al
from thecal.firmware.schedule import Schedule
from thecal.protocol import catalogue as cat
from thecal.protocol.session import SERVICE

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


# ---------------------------------------------------------------------------------------------------- a clock that goes back
HOUR_S = 3600
PERIODIC = [[(0, 6000), (6 * 60, 2_334_000), (6 * 60 + 30, 6000), (18 * 60, 2_334_000), (18 * 60 + 30, 6000)]]
DAY_NL = (6000 * 23 + 2_334_000) // 24


def periodic(start_s=6 * HOUR_S + 45 * 60):
    """A pump with two boluses a day, behind the first of the second day."""
    bench = Bench()
    bench.must(cat.PROGRAM, flex_program(PERIODIC, bytes(7)))
    bench.run_s(DAY_S + start_s)
    bench.wake()
    return bench


def given_nl(bench, seconds):
    before = bench.demanded()[0]
    bench.run_s(seconds)
    bench.wake()
    return bench.demanded()[0] - before


def set_by(bench, by_s):
    bench.must(cat.SET_CLOCK, {"time_s": bench.app.now_s + by_s})


def test_a_schedule_knows_what_it_has_given():
    schedule = loaded([[(0, 96_000), (360, 240_000)]], bytes(7))
    noon = MONDAY_S + 12 * HOUR_S
    assert schedule.clock_moves(noon, 0, False) < 0 and schedule.clock_moves(noon + 600, 600, False) == schedule.clock_moves(noon + 600, 601, False) == 0
    assert schedule.clock_moves(noon - HOUR_S, 660, False) == HOUR_S + 660
    assert schedule.given_s == noon + 660 and schedule.rate_at(noon + 659) == 204_000 and schedule.rate_at(noon + 660) == 240_000
    assert schedule.next_change_s(noon) == noon + 660 and schedule.next_change_s(noon + 660) == MONDAY_S + DAY_S
    assert schedule.next_change_s(noon - 8 * HOUR_S) == MONDAY_S + 6 * HOUR_S, "midnight and steps still end a stretch"
    schedule.clock_moves(noon - 2 * HOUR_S, 660, True)
    assert schedule.given_s == noon + 660, "under row 12 a flat rate was given and no step"
    schedule.clock_moves(noon + 90 * DAY_S, 660, False)
    assert schedule.given_s == noon + 660
    schedule.clock_moves(noon, 660, False)
    assert schedule.given_s == noon + DAY_S, "behind a day at the flat rate the steps are due again, whatever year the clock had shown"


@pytest.mark.req("TH-LIFE-28")
def test_a_clock_that_is_set_back_gives_no_bolus_twice():
    """regimens.md B2: the clock is wrong, not the dose."""
    bench = periodic()
    set_by(bench, -HOUR_S)
    assert bench.status()["rate_nl_day"] == DAY_NL and bench.status()["given_until_s"] == bench.app.now_s + HOUR_S
    assert abs(given_nl(bench, HOUR_S) - DAY_NL // 24) <= 30
    said = bench.status()
    assert said["rate_nl_day"] == 6000 and said["given_until_s"] <= said["time_s"] and bench.app.alarms.latched == 0
    assert abs(given_nl(bench, DAY_S) - DAY_NL) <= 1000, "and each bolus comes once a day again"
    assert bench.missed_nl() == 0 and bench.app.alarms.latched == 0


@pytest.mark.req("TH-LIFE-28")
def test_a_clock_that_is_set_back_again_and_again_gives_the_days_dose():
    """Twenty times by 31 min behind the bolus were twenty boluses: 869 uL in 10 h."""
    bench = periodic(6 * HOUR_S + 31 * 60)
    most = 0
    for _ in range(20):
        set_by(bench, -1860)
        most += given_nl(bench, 1861)
    assert most <= DAY_NL * 20 * 1861 // DAY_S + 2000 and bench.app.alarms.latched == 0


@pytest.mark.req("TH-LIFE-28")
@pytest.mark.parametrize("how", ["reset", "power lost behind the order", "rtc"])
def test_what_was_given_outlasts_a_reset_and_a_step_that_is_followed_is_one_too(how):
    bench = periodic(6 * HOUR_S + 28 * 60)
    if how == "rtc":
        bench.rtc_s -= 290
        bench.run_s(10)
    else:
        set_by(bench, -1500)
        if how == "reset":
            bench.run_s(60)
        bench.reboot(2)
    bench.wake()
    assert bench.app.rate == DAY_NL and not bench.app.alarms.active
    bench.reboot(2)
    assert bench.app.rate == DAY_NL and bench.app.schedule.given_s > bench.app.now_s
    given_s = bench.app.schedule.given_s
    bench.run_s(given_s - bench.app.now_s + 2)
    bench.wake()
    assert bench.app.rate == (2_334_000 if given_s % DAY_S < 6 * HOUR_S + 1800 else 6000)


@pytest.mark.req("TH-LIFE-28")
def test_a_new_program_begins_with_its_own_steps_and_a_refused_one_does_not():
    bench = periodic()
    set_by(bench, -1800)
    bench.store.fail = True
    bench.order(cat.PROGRAM, flex_program(PERIODIC, bytes(7)))
    bench.store.fail = False
    bench.run_s(1)
    assert bench.app.rate == DAY_NL
    bench.must(cat.ACKNOWLEDGE, {"row": 0})     # row 14 ends by being seen
    bench.must(cat.PROGRAM, flex_program(PERIODIC, bytes(7), 48_000))
    assert bench.app.rate == 2_334_000 and bench.app.settings.given_s == 0
    bench.reboot()
    assert bench.app.rate == 2_334_000


@pytest.mark.req("TH-LIFE-28", "TH-ALM-12")
def test_the_clock_that_ends_row_12_takes_up_the_steps_that_were_not_given():
    """A jump ahead was flat by row 12; a jump back is flat until its hours are over, whoever confirms the wrong time."""
    bench = periodic()
    bench.rtc_s += 7200
    bench.run_s(600)
    assert bench.app.alarms.is_active(al.CLOCK_LOST)
    set_by(bench, -7200)
    assert not bench.app.alarms.active and bench.app.rate == 6000
    bench = periodic()
    bench.rtc_s -= 2400
    bench.run_s(600)
    set_by(bench, 0)
    assert not bench.app.alarms.active and bench.app.rate == DAY_NL


@pytest.mark.req("TH-LIFE-28", "TH-CAP-03")
def test_a_grant_looks_ahead_at_the_flat_rate():
    """What will run until the clock is where it was is what counts against a cap."""
    bench = periodic()
    values = flex_program([[(0, 2_000_000), (6 * 60, 6000)]], bytes(7))
    values["cap_hour_1_ng"], values["cap_day_1_ng"] = 100_000 // 2, 2_000_000 // 2
    bench.must(cat.PROGRAM, values)
    bench.run_s(2 * HOUR_S)
    bench.wake()
    assert bench.app.caps.grant_refusal(bench.app, 90_000, 600) == 0
    set_by(bench, -2 * HOUR_S)
    assert bench.app.rate == (2_000_000 + 3 * 6000) // 4
    assert bench.app.caps.grant_refusal(bench.app, 90_000, 600) == cat.R_CAP and bench.app.caps.grant_refusal(bench.app, 75_000, 600) == 0


@pytest.mark.req("TH-LINK-04")
def test_the_service_sets_no_clock_while_a_program_delivers():
    bench = periodic()
    bench.session, bench.role = None, SERVICE
    order = {"time_s": bench.app.now_s - 1860}
    assert bench.order(cat.SET_CLOCK, order)["reason"] == cat.R_STATE
    bench.session, bench.role = None, 1
    bench.pause(10)
    bench.session, bench.role = None, SERVICE
    assert bench.order(cat.SET_CLOCK, order)["reason"] == cat.R_STATE
    bench.session, bench.role = None, 1
    bench.stop()
    bench.session, bench.role = None, SERVICE
    bench.must(cat.SET_CLOCK, order)
    bench.session, bench.role = None, 1
    bench.resume()
    assert bench.app.rate == DAY_NL, "and what was given counts all the same"
