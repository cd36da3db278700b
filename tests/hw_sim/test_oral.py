"""The oral route: half-life, bioavailability, CSF in proportion, exact for any step."""
import math
from dataclasses import replace

import pytest
from thecal.hw_sim.oral import Oral, modes, stepped
from thecal.hw_sim.params import PlantParams

BACLOFEN = PlantParams.load().drugs["baclofen"].oral
HOUR_US = 3_600_000_000


@pytest.mark.req("TH-LIFE-18")
def test_baclofen_tablet_rises_first_and_falls_with_the_published_half_life():
    body = Oral(BACLOFEN)
    body.swallow(0, 20.0)
    assert body.levels(0) == pytest.approx((0.0, 0.0), abs=1e-9)
    plasma = [body.levels(h * HOUR_US // 10)[0] for h in range(0, 240)]
    assert 1.0 <= plasma.index(max(plasma)) / 10 <= 2.5
    half_life_h = 6 * math.log(2) / math.log(body.levels(12 * HOUR_US)[0] / body.levels(18 * HOUR_US)[0])
    assert 3 < half_life_h < 4


def test_area_under_plasma_is_bioavailable_dose_over_clearance_and_csf_in_proportion():
    body = Oral(BACLOFEN)
    body.swallow(0, 20.0)
    step_h = 1 / 60
    looks = [body.levels(round((i + 0.5) * step_h * HOUR_US)) for i in range(72 * 60)]
    clearance_ml_h = BACLOFEN.volume_l * 1000 * math.log(2) / BACLOFEN.half_life_h
    plasma_area = sum(plasma for plasma, _ in looks) * step_h
    assert plasma_area == pytest.approx(BACLOFEN.bioavailability * 20e6 / clearance_ml_h, rel=1e-3)
    assert sum(csf for _, csf in looks) * step_h / plasma_area == pytest.approx(BACLOFEN.csf_ratio, rel=1e-3)


def test_doses_add_up_and_one_jump_equals_many():
    one, two, both = Oral(BACLOFEN), Oral(BACLOFEN), Oral(BACLOFEN)
    one.swallow(0, 10.0)
    two.swallow(6 * HOUR_US, 15.0)
    both.swallow(0, 10.0)
    both.swallow(6 * HOUR_US, 15.0)
    expected = [a + b for a, b in zip(one.levels(9 * HOUR_US), two.levels(9 * HOUR_US))]
    assert both.levels(9 * HOUR_US) == pytest.approx(expected, rel=1e-12)
    solved = modes(BACLOFEN)
    state = start = (1e6, 2e5, 3.0)
    for _ in range(50):
        state = stepped(solved, state, 700.0)
    assert state == pytest.approx(stepped(solved, start, 35000.0), rel=1e-12)


def test_equal_rates_do_not_divide_by_zero():
    leave = math.log(2) / BACLOFEN.half_life_h
    body = Oral(replace(BACLOFEN, absorption_1_h=leave, csf_rate_1_h=leave))
    body.swallow(0, 20.0)
    near = Oral(replace(BACLOFEN, absorption_1_h=leave * 1.002, csf_rate_1_h=leave * 0.998))
    near.swallow(0, 20.0)
    assert body.levels(5 * HOUR_US) == pytest.approx(near.levels(5 * HOUR_US), rel=0.01)
