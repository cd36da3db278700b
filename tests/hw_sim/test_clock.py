"""Virtual time: only rises, dated callbacks in the order of their dates and, at one instant, of being added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thecal.hw_sim.clock import VirtualClock


@given(st.lists(st.integers(0, 20), max_size=60))
def test_callbacks_run_by_date_and_then_by_the_order_they_were_added(dates):
    clock, ran = VirtualClock(), []
    for number, t_us in enumerate(dates):
        clock.at(t_us, lambda number=number: ran.append(number))
    while clock.next_us() is not None:
        clock.now_us = clock.next_us()
        clock.run_due()
    assert ran == sorted(range(len(dates)), key=lambda number: (dates[number], number))


def test_only_what_is_due_runs():
    clock, ran = VirtualClock(), []
    for t_us in (5, 10, 11):
        clock.at(t_us, lambda t_us=t_us: ran.append(t_us))
    clock.now_us = 10
    clock.run_due()
    assert ran == [5, 10] and clock.next_us() == 11


def test_a_callback_may_add_another_for_this_very_instant_or_later():
    clock, ran = VirtualClock(), []

    def first():
        ran.append("first")
        clock.at(clock.now_us, lambda: ran.append("same instant"))
        clock.at(clock.now_us + 1, lambda: ran.append("later"))

    clock.at(7, first)
    clock.at(7, lambda: ran.append("second"))
    clock.now_us = 7
    clock.run_due()
    assert ran == ["first", "second", "same instant"] and clock.next_us() == 8


def test_the_past_is_refused_with_both_instants():
    clock = VirtualClock()
    clock.now_us = 100
    clock.at(100, lambda: None)
    with pytest.raises(ValueError, match="99 us is in the past: it is 100 us"):
        clock.at(99, lambda: None)


def test_nothing_is_due_when_nothing_was_added():
    clock = VirtualClock()
    assert clock.next_us() is None
    clock.run_due()
