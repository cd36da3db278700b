"""Volume as a function of angle: exact over a revolution, dips with a brief reverse flow, slip and gain as factors."""
import math
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


def test_wear_approaches_its_end_over_revolutions_however_the_way_is_cut(head):
    head.wear(0.1, 1000, PARAMS.wear_rev)
    assert head.worn(1000, 1) == pytest.approx(1.0, abs=1e-8)
    assert head.worn(1000 + 10**9 * REV, REV) == pytest.approx(0.9)
    over = round(PARAMS.wear_rev) * REV
    assert head.worn(1000 + over, 1) == pytest.approx(1 - 0.1 * (1 - math.exp(-1)), rel=1e-6)
    whole = head.volume_ul(1000, over, 0.0)
    parts = sum(head.volume_ul(1000 + i * (over // 100), over // 100, 0.0) for i in range(100))
    assert over % 100 == 0 and parts == pytest.approx(whole, rel=1e-12)
    head.wear(0.3, 1000, 50.0)
    assert head.worn(1000 + 50 * REV, 1) == pytest.approx(1 - 0.3 * (1 - math.exp(-1)), rel=1e-4), "a pace of the fault's own"
    head.wear(0.0, 5000, PARAMS.wear_rev)
    assert head.volume_ul(0, REV, 0.0) == pytest.approx(35.0)


def test_a_set_tube_gives_a_lobe_at_each_roller_pass_until_it_has_recovered(head):
    head.set_tube(100, 0.4)
    turn = head.volume_ul(100, REV, 0.0)
    assert turn == pytest.approx(35.0 + 4 * 0.4)
    assert sum(head.volume_ul(100 + i, 1, 0.0) for i in range(REV)) == pytest.approx(turn, abs=1e-9)
    turns = round(PARAMS.tube_set_rev)
    assert head.volume_ul(100, (turns + 50) * REV, 0.0) == pytest.approx(35.0 * (turns + 50) + 4 * 0.4 * turns)
    assert head.lobes_ul(100 + (turns - 1) * REV, REV) == pytest.approx(1.6)
    assert head.volume_ul(100 + (turns + 1) * REV, REV, 0.0) == 35.0
    assert head.lobes_ul(100, REV) == 0.0           # it is forgotten


def test_the_tube_fills_by_the_pressure_at_the_inlet(head):
    assert [head.fill_share(kpa) for kpa in (132.0, 71.5, 60.0, 40.0, 20.0, 5.0)] == [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]


def test_a_worn_head_that_cannot_turn_moves_nothing():
    """Behind a closed kink at the stall pressure not one step of a train is made."""
    head = Head(replace(PARAMS, wear_share=0.1), REV)
    assert head.volume_ul(40_960, 0, 150.0) == 0.0
    assert head.worn(40_960, 0) == pytest.approx(head.worn(40_960, 1), rel=1e-6) and head.worn(40_960, 0) < 1
