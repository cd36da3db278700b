"""A prescribed week: exact numbers, steps of days, and what is no week."""

from fractions import Fraction

import pytest

from thecal.hw_sim.oracle_program import DAY_S, WEEK_S, Program, exact, steps_of, week


def test_numbers_are_what_they_print_as():
    assert (exact(0.1, "x"), exact("1/3", "x"), exact(5, "x")) == (Fraction(1, 10), Fraction(1, 3), Fraction(5))
    with pytest.raises(ValueError, match="x is -1: it must be 0 or more"):
        exact(-1, "x")


def test_a_week_of_one_day_and_of_others():
    steps = week([(0, 100), (3600, 200)], {6: [(0, 50)]})
    assert len(steps) == 13 and steps[:2] == [(0, 100), (3600, 200)] and steps[-1] == (6 * DAY_S, 50)
    for days, sentence in (({7: [(0, 1)]}, "weekday is 7"), ({1: [(60, 1)]}, "weekday 1 begins at 60"), ({1: [(0, 1), (DAY_S, 2)]}, "has a step at second 86400")):
        with pytest.raises(ValueError, match=sentence):
            week([(0, 1)], days)


def test_steps_rise_from_zero_within_a_week():
    assert steps_of(240_000) == Program((0,), (Fraction(240_000),))
    assert steps_of([(0, "1/2"), (60, 3)]).rates_nl_day == (Fraction(1, 2), 3)
    for steps in ([], [(1, 5)], [(0, 1), (0, 2)], [(0, 1), (WEEK_S, 2)]):
        with pytest.raises(ValueError, match="they must rise from 0"):
            steps_of(steps)
