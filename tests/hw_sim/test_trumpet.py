"""Start-up, trumpet and bolus arithmetic against series made by hand."""

import pytest

from thecal.hw_sim import trumpet
from thecal.hw_sim.trumpet import (
    MIN_S, SAMPLE_S, SLOW_WINDOWS_MIN, WINDOWS_MIN, bolus_error_pct, errors_pct, extremes_pct, floor_pct, flows_ul_h, mean_error_pct, windows_for)

RATE_NL_DAY = 480_000           # 5 uL in each quarter of an hour
RATE_UL_H = 20.0


def test_a_constant_flow_has_no_error_in_any_window():
    volumes = [5.0 * i for i in range(193)]
    errors = errors_pct(flows_ul_h(volumes), RATE_UL_H)
    assert errors == [0.0] * 192
    assert [(window.highest_pct, window.lowest_pct) for window in trumpet.trumpet(errors, RATE_NL_DAY, 1000)] == [(0.0, 0.0)] * len(WINDOWS_MIN)
    assert mean_error_pct(volumes, RATE_NL_DAY) == 0.0


def test_a_flow_that_is_two_per_cent_high_is_so_in_every_window():
    errors = errors_pct(flows_ul_h([5.1 * i for i in range(193)]), RATE_UL_H)
    for window in trumpet.trumpet(errors, RATE_NL_DAY, 1000):
        assert window.highest_pct == pytest.approx(2.0) and window.lowest_pct == pytest.approx(2.0)


def test_whole_strokes_reach_the_quantisation_floor_and_no_further():
    """A stroke of 12 uL whenever it is due: no window is off by more than one stroke, and the longest come as near as chance lets them."""
    volumes = [12.0 * (5 * i // 12) for i in range(12 * 40 + 1)]
    errors = errors_pct(flows_ul_h(volumes), RATE_UL_H)
    for window in trumpet.trumpet(errors, RATE_NL_DAY, 12_000):
        assert window.floor_pct == pytest.approx(100 * 12 / (RATE_UL_H * window.minutes / 60))
        assert -window.floor_pct <= window.lowest_pct <= 0 <= window.highest_pct <= window.floor_pct
    highest, lowest = extremes_pct(errors, 1)
    assert (highest, lowest) == (pytest.approx(140.0), -100.0)       # 12 uL instead of 5, and none


def test_one_stroke_in_a_window_that_is_due_half_of_one_errs_by_the_floor():
    """One stroke exactly in each window of its own interval: the windows of that length are right, half of it errs by one half each way."""
    volumes = [float(i // 2) for i in range(41)]            # a stroke of 1 uL every second sample
    errors = errors_pct(flows_ul_h(volumes), 2.0)           # 1 uL in 30 min
    assert extremes_pct(errors, 2) == (0.0, 0.0)
    assert extremes_pct(errors, 1) == (100.0, -100.0)
    assert floor_pct(1000, 48_000, 30) == pytest.approx(100.0)


def test_windows_overlap_and_begin_at_every_sample():
    """Blocks of two would see 0, the windows that overlap them see the pair that stands across."""
    errors = [-10.0, 10.0, 10.0, -10.0]
    assert extremes_pct(errors, 2) == (10.0, 0.0)
    assert extremes_pct(errors, 4) == (0.0, 0.0)


def test_the_published_windows():
    """The ambulatory ones in S = 15 min: 1, 4, 10, 22, 38, 62 samples (clinical.md 5), and the day that is added."""
    assert [minutes * MIN_S // SAMPLE_S for minutes in WINDOWS_MIN] == [1, 4, 10, 22, 38, 62, 96]
    assert windows_for(500_000) == WINDOWS_MIN and windows_for(50_000) == SLOW_WINDOWS_MIN and min(SLOW_WINDOWS_MIN) >= 360


def test_what_has_no_error():
    with pytest.raises(ValueError, match="must be above 0"):
        errors_pct([1.0], 0.0)
    for width in (0, 5):
        with pytest.raises(ValueError, match="a window of %d samples does not fit into 4" % width):
            extremes_pct([0.0] * 4, width)


def test_boluses():
    found = bolus_error_pct([10.0, 11.0, 8.0], 10.0)
    assert found == (pytest.approx(-10 / 3), pytest.approx(10.0), pytest.approx(-20.0))
