"""Closed forms against small steps of the same equations, and against the published conductance."""
import pytest
from thecal.hw_sim.standing import bore_ul_kpa_s, kinked_ul, open_ul


def stepped_open(conductance, drive_kpa, stiffness, over_ul, dt_s, steps=200_000):
    moved = 0.0
    for _ in range(steps):
        moved += max(0.0, conductance * (drive_kpa + stiffness * max(0.0, over_ul - moved))) * dt_s / steps
    return moved


def test_the_reference_catheter_conducts_as_published():
    """2.9e11 Pa s/m3 (clinical.md 4), so 24 mL/day cost 80 Pa."""
    conductance = bore_ul_kpa_s(2.2, 80.0)
    assert 1 / (conductance * 1e-12) == pytest.approx(2.9e11, rel=0.02)
    assert 24_000 / 86_400 / conductance * 1000 == pytest.approx(80, rel=0.02)


@pytest.mark.parametrize("drive_kpa, over_ul", [(30.0, 0.0), (30.0, 1500.0), (-20.0, 1500.0), (0.0, 1500.0), (-80.0, 1500.0), (-5.0, 0.0)])
def test_open_flow_is_the_limit_of_small_steps(drive_kpa, over_ul):
    found = open_ul(1e-3, drive_kpa, 0.03, over_ul, 40_000.0)
    assert found == pytest.approx(stepped_open(1e-3, drive_kpa, 0.03, over_ul, 40_000.0), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("leak, stored_ul", [(0.0, 0.0), (1e-4, 0.0), (0.0, 40.0), (1e-4, 40.0)])
def test_kinked_flow_is_the_limit_of_small_steps(leak, stored_ul):
    moved, stored, dt_s, steps = 0.0, stored_ul, 3000.0, 100_000
    for _ in range(steps):
        kpa = stored / 0.5
        moved += 1e-3 * (30.0 - kpa) * dt_s / steps
        stored += (1e-3 * (30.0 - kpa) - leak * kpa) * dt_s / steps
    assert kinked_ul(1e-3, 30.0, leak, 0.5, stored_ul, dt_s) == pytest.approx((moved, stored), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("pieces", [2, 7, 100])
def test_any_cut_gives_the_same(pieces):
    """1e-12 relative: only rounding depends on how often one looks."""
    moved, left = 0.0, 1800.0
    for _ in range(pieces):
        part = open_ul(2e-3, 25.0, 0.03, left, 50_000.0 / pieces)
        moved, left = moved + part, max(0.0, left - part)
    assert moved == pytest.approx(open_ul(2e-3, 25.0, 0.03, 1800.0, 50_000.0), rel=1e-12)
    came, stored = 0.0, 10.0
    for _ in range(pieces):
        part, stored = kinked_ul(2e-3, 25.0, 1e-4, 0.5, stored, 5000.0 / pieces)
        came += part
    assert (came, stored) == pytest.approx(kinked_ul(2e-3, 25.0, 1e-4, 0.5, 10.0, 5000.0), rel=1e-12)
