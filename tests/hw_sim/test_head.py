"""Volume as a function of angle: exact over a revolution, dips with a brief reverse flow, slip and gain as factors."""
from dataclasses import replace

import pytest
from thecal.hw_sim.head import Head, cumulative_ul
from thecal.hw_sim.params import PlantParams

REV = 4096
PARAMS = PlantParams.load().head


@pytest.fixture
def head():
    return Head(PARAMS, REV)


def test_any_pulses_of_a_whole_revolution_sum_to_its_volume(head):
    for pulse in (1, 7, 117, 1000):
        total, rotor = 0.0, 391
        while rotor < 391 + REV:
            steps = min(pulse, 391 + REV - rotor)
            total += head.volume_ul(rotor, steps, 0.0)
            rotor += steps
        assert total == pytest.approx(35.0, abs=1e-11)
    assert head.volume_ul(17, 10 * REV, 0.0) == pytest.approx(350.0, abs=1e-9)


def test_each_roller_leaves_one_dip_with_reverse_flow(head):
    flow = [head.volume_ul(step, 1, 0.0) for step in range(REV)]
    starts = sum(1 for i in range(REV) if flow[i] < 0 <= flow[i - 1])
    assert starts == PARAMS.rollers
    assert sum(f for f in flow if f < 0) > -PARAMS.rollers * PARAMS.recoil_ul
    assert min(head.volume_ul(step, 117, 0.0) for step in range(REV)) > 0     # a 1 uL pulse always moves forward


def test_a_head_without_recoil_is_even():
    even = cumulative_ul(replace(PARAMS, recoil_ul=0.0), REV)
    assert all(even[i] == pytest.approx(35.0 * i / REV) for i in range(REV))


def test_gain_and_slip_are_factors(head):
    plain = head.volume_ul(100, 500, 0.0)
    assert head.volume_ul(100, 500, 10.0) == pytest.approx(plain * 0.99)
    head.gain = 1.3
    assert head.volume_ul(100, 500, 0.0) == pytest.approx(1.3 * plain)


def test_steps_within_a_room(head):
    assert head.steps_within(0, 117, 0.0, 5.0) == 117
    fits = head.steps_within(0, 30_000, 0.0, 20.0)
    assert head.volume_ul(0, fits, 0.0) <= 20.0 < head.volume_ul(0, fits + 1, 0.0)
    assert head.steps_within(0, 117, 0.0, 0.0) == 0


def test_a_recoil_longer_than_the_pitch_is_refused():
    with pytest.raises(ValueError, match="must not exceed the roller pitch of 90"):
        cumulative_ul(replace(PARAMS, recoil_angle_deg=91.0), REV)
