"""Dispersion along a bore: the memory's two ends, what lies between them, and the step between cells."""
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.hw_sim.dispersion import Shear, diffused, spread_m2_s

D_M2_S, RADIUS_M = 5e-10, 2.646e-4      # the reference catheter
AREA_M2 = math.pi * RADIUS_M ** 2
MEMORY_S = RADIUS_M ** 2 / D_M2_S / 16


def test_steady_flow_is_taylor_and_aris_however_it_is_cut():
    """Long after the start; the start itself is seen less the displacement's own memory."""
    flow_ul_s, total_s = 0.01, 4000.0
    sheared = spread_m2_s(D_M2_S, RADIUS_M, flow_ul_s * 1e-9 / AREA_M2) - D_M2_S
    wanted_ul2 = 2 * sheared * (total_s - MEMORY_S) * (AREA_M2 * 1e9) ** 2
    for parts in (1, 40, 4000):
        shear = Shear(D_M2_S, RADIUS_M)
        for i in range(parts):
            shear.flow(round(i * total_s / parts * 1e6), round((i + 1) * total_s / parts * 1e6), flow_ul_s * total_s / parts)
        assert shear.variance_ul2 == pytest.approx(wanted_ul2, rel=1e-5)


def test_strokes_far_apart_spread_a_third_of_their_square_and_close_ones_as_one():
    apart, close = Shear(D_M2_S, RADIUS_M), Shear(D_M2_S, RADIUS_M)
    for i in range(10):
        apart.flow(i * 10**9, i * 10**9, 2.0)
        close.flow(i, i, 2.0)
    assert apart.variance_ul2 == pytest.approx(10 * 4 / 3)
    assert close.variance_ul2 == pytest.approx(400 / 3, rel=1e-4)


def test_strokes_at_any_spacing_follow_the_closed_form_of_one_memory():
    """Of strokes s every T: s^2 / 3 coth(T / 2 memory) each."""
    for every_s in (1.0, 8.8, 40.0):
        shear = Shear(D_M2_S, RADIUS_M)
        for i in range(3000):
            if i == 1000:
                shear.variance_ul2 = 0.0
            shear.flow(round(i * every_s * 1e6), round(i * every_s * 1e6), 1.0)
        assert shear.variance_ul2 / 2000 == pytest.approx(1 / 3 / math.tanh(every_s / 2 / MEMORY_S), rel=1e-4)


def test_a_displacement_taken_back_at_once_spreads_nothing():
    shear = Shear(D_M2_S, RADIUS_M)
    shear.flow(1000, 1000, 3.0)
    shear.flow(1000, 1000, -3.0)
    assert shear.variance_ul2 == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**8), st.floats(-50, 50)), max_size=30))
def test_the_spread_is_never_negative(flows):
    shear, at_us = Shear(D_M2_S, RADIUS_M), 0
    for wait_us, long_us, volume_ul in flows:
        shear.flow(at_us + wait_us, at_us + wait_us + long_us, volume_ul)
        at_us += wait_us + long_us
        assert shear.variance_ul2 > -1e-4 * (1 + sum(v * v for _, _, v in flows))


def test_without_diffusion_the_shear_is_never_forgotten():
    shear = Shear(0.0, RADIUS_M)
    shear.flow(0, 10**6, 3.0)
    shear.flow(10**12, 10**12 + 10**6, 3.0)
    assert shear.variance_ul2 == pytest.approx(12.0)


def test_diffusion_keeps_mass_and_grows_variance_by_exactly_2_d_t():
    widths = [0.5 + (i % 3) * 0.25 for i in range(400)]
    spike = [0.0] * 400
    spike[200] = 100.0
    centres = [sum(widths[:i]) + widths[i] / 2 for i in range(400)]

    def moments(column):
        mass = sum(w * c for w, c in zip(widths, column))
        mean = sum(w * c * x for w, c, x in zip(widths, column, centres)) / mass
        return mass, sum(w * c * (x - mean) ** 2 for w, c, x in zip(widths, column, centres)) / mass

    before = moments(spike)
    (after,) = diffused(widths, [spike], [40.0] * 399)
    assert moments(after)[0] == pytest.approx(before[0], rel=1e-13)
    assert moments(after)[1] == pytest.approx(before[1] + 80.0, rel=2e-3)
    assert min(after) >= 0


def test_one_long_step_of_diffusion_is_stable():
    (after,) = diffused([1.0] * 50, [[100.0] * 25 + [0.0] * 25], [1e9] * 49)
    assert after == pytest.approx([50.0] * 50, rel=1e-5)
