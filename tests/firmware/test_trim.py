"""The learning calibration by itself: how far it moves, on whose word, how exactly the steps follow, and over a pump's life."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.firmware.trim import LEAST_UL, MOST, SENSELESS, SLEW, Trim

UL = st.integers(-60_000, 60_000)


@pytest.mark.req("TH-CAL-02", "TH-CAL-03")
@given(st.lists(st.tuples(UL, UL, st.integers(0, 60_000)), max_size=60))
def test_whatever_it_is_told_it_moves_slowly_and_stays_within_its_bound(refills):
    trim = Trim()
    for seen_ul, told_ul, ordered_ul in refills:
        before = trim.part
        assert trim.learn(seen_ul, told_ul, ordered_ul) == trim.part
        assert -MOST <= trim.part <= MOST and abs(trim.part - before) <= SLEW


@pytest.mark.req("TH-CAL-03")
@given(st.integers(-MOST, MOST), UL, st.integers(-200, 200), st.integers(0, 60_000), st.booleans())
def test_neither_sensor_nor_syringe_moves_it_without_the_other(part, wrong_ul, right_ul, ordered_ul, sensor_fails):
    """One of the two may say what it likes: the other's word is as far as the trim goes."""
    trim = Trim()
    trim.set(part)
    trim.learn(*((wrong_ul, right_ul) if sensor_fails else (right_ul, wrong_ul)), ordered_ul)
    assert abs(trim.part - part) <= (1000 * abs(right_ul) + ordered_ul) // (2 * max(1, ordered_ul))
    trim.set(part)
    trim.learn(wrong_ul, -wrong_ul, ordered_ul)
    assert trim.part == part, "they contradict each other"


@pytest.mark.parametrize(("seen_ul", "told_ul", "ordered_ul", "part"), [
    (480, 480, 16_000, 15), (-480, -480, 16_000, -15), (480, 320, 16_000, 10), (0, 480, 16_000, 0), (16, 16, 16_000, 1), (-16, -16, 16_000, 0),
    (1600, 1600, 16_000, SLEW), (1601, 1600, 16_000, 0), (-1600, -1601, 16_000, 0), (240, 240, LEAST_UL, 15), (240, 240, LEAST_UL - 1, 0), (0, 0, 0, 0)])
def test_a_refill_teaches_half_of_what_it_shows(seen_ul, told_ul, ordered_ul, part):
    assert Trim().learn(seen_ul, told_ul, ordered_ul) == part
    assert 1600 * 1000 == SENSELESS * 16_000


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(-MOST, MOST), st.lists(st.integers(0, 3300), min_size=1, max_size=50)), min_size=1, max_size=10))
def test_the_steps_are_the_trimmed_ones_within_one_for_each_change(stretches):
    trim, exact, turned = Trim(), 0.0, 0
    for count, (part, pulses) in enumerate(stretches, 1):
        trim.set(part)
        for steps in pulses:
            exact += steps * 1000 / (1000 + part)
            turned += trim.steps(steps)
            assert abs(turned - exact) <= 1 + 0.11 * count


def test_at_the_factorys_figure_a_step_is_a_step():
    trim = Trim()
    assert [trim.steps(steps) for steps in (0, 1, 117, 118, 32767)] == [0, 1, 117, 118, 32767]


@pytest.mark.req("TH-CAL-02")
@given(st.integers(-(1 << 30) + 1, (1 << 30) - 1), st.integers(100, 3300))
def test_a_trim_that_was_stored_or_told_wrong_is_held_where_it_acts(part, steps):
    trim = Trim()
    trim.set(part)
    assert abs(sum(trim.steps(steps) for _ in range(100)) - 100 * steps) <= 100 * steps * MOST / (1000 - MOST) + 1


def life(seed, learns, syringe_ul=100.0, left_ul=100.0):
    """|share that a day is off| of a pump's later fills: seven years at 0.5 mL a day, head 3 % off (sd), worn by up to 10 % in the end."""
    chance, trim, off, before_ul = random.Random(seed), Trim(), [], 0.0
    factory, worn, fills, ordered_ul = 1 + chance.gauss(0, 0.03), chance.uniform(0, 0.1), 77, 16_500
    for fill in range(fills):
        error = factory * (1 - worn * fill / fills) * 1000 / (1000 + trim.part) - 1
        off.append(abs(error))
        after_ul = chance.gauss(0, left_ul)         # of the old drug the syringe left in the bellows, and seen by both
        excess_ul = error * ordered_ul + after_ul - before_ul
        before_ul = after_ul
        if learns:
            trim.learn(round(excess_ul + chance.gauss(0, 20)), round(excess_ul + chance.gauss(0, syringe_ul)), ordered_ul)
    return off[4:]


@pytest.mark.slow
@pytest.mark.req("TH-CAL-01")
@settings(deadline=None)
@given(st.integers(0, 1000))
def test_over_a_life_the_error_falls_to_a_third(start):
    bare, learned = (sorted(off for seed in range(start, start + 60) for off in life(seed, learns)) for learns in (False, True))
    mean = [sum(found) / len(found) for found in (bare, learned)]
    assert mean[1] < mean[0] * 0.45 and learned[len(learned) // 2] < 0.01 and learned[len(learned) * 95 // 100] < bare[len(bare) * 95 // 100] * 0.7, mean
