"""What each alarm's declared rule makes of the rate, by hand from alarms.md sections 1 and 2."""

import pytest

from thecal.hw_sim.declared import ACTIONS, CONT, FALLBACK, FLAT, MIN, NOBOLUS, NOTICED_S, SHIFTS, STOP, UNJUDGED, Declared
from thecal.hw_sim.oracle import DAY_US, SECOND_US, Oracle, week
from thecal.hw_sim.oracle_program import steps_of

HOUR_US = 3600 * SECOND_US
NIGHTS = week([(0, 480_000), (43_200, 240_000)])      # 360,000 nL a day


def declared(safe_stop=False):
    oracle = Oracle()
    oracle.program(0, NIGHTS)
    made = Declared(oracle, 6_000)
    made.programmed(0, steps_of(NIGHTS), 180_000, safe_stop)
    return made, oracle


@pytest.mark.parametrize(("row", "rate"), [
    (12, 360_000), (14, 360_000), (13, 180_000), (5, 180_000), (6, 180_000), (3, 6_000), (17, 180_000), (8, 0), (7, 480_000), (9, 480_000), (10, 480_000),
    (23, 480_000), (27, 480_000), (19, 480_000), (16, 480_000), (28, 480_000)])
def test_the_rate_under_one_alarm_and_behind_it(row, rate):
    made, oracle = declared()
    made.alarm(row, True, HOUR_US)
    assert oracle.rate_nl_day(HOUR_US) == rate and oracle.rate_nl_day(HOUR_US - 1) == 480_000
    made.alarm(row, False, 2 * HOUR_US)
    assert oracle.rate_nl_day(2 * HOUR_US) == 480_000 and made.judging


def test_the_minimum_rate_is_a_stop_where_it_is_still_a_dose():
    made, oracle = declared(safe_stop=True)
    made.alarm(3, True, HOUR_US)
    assert oracle.rate_nl_day(HOUR_US) == 0 and oracle.stands(HOUR_US, "fault")


@pytest.mark.req("TH-RATE-07")
def test_the_most_restrictive_wins_and_the_rest_comes_back():
    made, oracle = declared()
    for hour, row, on, rate in ((1, 12, True, 360_000), (2, 7, True, 360_000), (3, 13, True, 180_000), (4, 8, True, 0), (5, 13, False, 0), (6, 8, False, 360_000),
                                (7, 12, False, 480_000), (8, 7, False, 480_000)):
        made.alarm(row, on, hour * HOUR_US)
        assert oracle.rate_nl_day(hour * HOUR_US) == rate, (hour, row)
    assert oracle.missed_nl(DAY_US) == {"fault": 2 * 480_000 // 24}      # 4 to 6 h, at what the program would have given


def test_a_bolus_ends_under_an_alarm_that_forbids_it():
    made, oracle = declared()
    oracle.bolus(HOUR_US, 60_000, 3600)
    made.alarm(19, True, HOUR_US + 900 * SECOND_US)
    made.alarm(7, True, HOUR_US + 1800 * SECOND_US)
    assert oracle.demanded_nl(3 * HOUR_US) == 3 * 20_000 + 30_000


def test_without_a_key_nobody_raises_anything():
    made, oracle = declared()
    made.programmed(0, steps_of(NIGHTS), 300_000, False)
    made.alarm(17, True, HOUR_US)
    assert oracle.rate_nl_day(HOUR_US) == 300_000 and oracle.rate_nl_day(13 * HOUR_US) == 240_000
    made.alarm(17, False, 14 * HOUR_US)
    made.stop_only = True
    made.alarm(17, True, 15 * HOUR_US)
    assert oracle.rate_nl_day(15 * HOUR_US) == 0


def test_a_program_committed_under_an_alarm_is_held_to_its_own_fallback():
    made, oracle = declared()
    made.alarm(13, True, HOUR_US)
    oracle.program(2 * HOUR_US, 96_000)
    made.programmed(2 * HOUR_US, steps_of(96_000), 48_000, False)
    assert oracle.rate_nl_day(2 * HOUR_US) == 48_000


def test_a_row_that_tries_by_itself_is_not_judged():
    made, oracle = declared()
    made.alarm(11, True, HOUR_US)
    assert not made.judging and oracle.rate_nl_day(HOUR_US) == 480_000


@pytest.mark.req("TH-RATE-07")
@pytest.mark.parametrize("row, first, second", [(1, 0, 180_000), (3, 6_000, 180_000), (4, 480_000, 180_000), (15, 480_000, 0), (18, 0, 180_000)])
def test_a_row_that_changes_by_itself_is_followed_by_the_rate_that_the_pump_says(row, first, second):
    made, oracle = declared()
    made.alarm(row, True, HOUR_US)
    made.told(2 * HOUR_US, first, HOUR_US)
    assert oracle.rate_nl_day(2 * HOUR_US) == first and made.judging
    made.told(3 * HOUR_US, second, 2 * HOUR_US)
    assert oracle.rate_nl_day(2 * HOUR_US) == first and oracle.rate_nl_day(3 * HOUR_US) == second
    # it may have changed right behind the look before
    assert oracle.slack_nl(4 * HOUR_US) >= abs(second - first) // 24
    made.alarm(row, False, 5 * HOUR_US)
    assert oracle.rate_nl_day(5 * HOUR_US) == 480_000


def test_a_rate_that_no_declared_action_gives_is_not_followed():
    made, oracle = declared()
    made.alarm(1, True, HOUR_US)
    made.told(2 * HOUR_US, 480_000, HOUR_US)
    assert oracle.rate_nl_day(2 * HOUR_US) == 0


def test_no_row_is_both_and_each_action_is_one():
    assert not set(UNJUDGED) & {*ACTIONS, *SHIFTS} and not set(ACTIONS) & set(SHIFTS)
    assert set(ACTIONS.values()) == {NOBOLUS, FLAT, FALLBACK, STOP} and {action for pair in SHIFTS.values() for action in pair} == {CONT, NOBOLUS, FALLBACK, MIN, STOP}


def test_what_the_pump_may_notice_late_is_slack():
    made, oracle = declared()
    made.alarm(12, True, HOUR_US)
    assert oracle.slack_nl(2 * HOUR_US) >= (480_000 - 360_000) * NOTICED_S / 86_400
