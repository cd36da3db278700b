"""The line: plug flow with Taylor-Aris spread, exact mass, kink as storage, one parcel when all is alike."""
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.hw_sim.catheter import Catheter
from thecal.hw_sim.dispersion import spread_m2_s
from thecal.hw_sim.params import PlantParams

PARAMS = PlantParams.load().catheter
US_PER_DAY = 86_400_000_000


def line_with(drugs, params=PARAMS):
    line = Catheter(params)
    for _ in range(drugs):
        line.add_drug()
    return line


def breakthrough(rate_ul_day, pulse_ul, strokes=False, length_cm=80.0):
    """Mean volume (uL) and width (cm) of the front that leaves a bare catheter, from moments of its outflow.

    The flow is steady, cut into pushes of `pulse_ul`, or comes in strokes of 0.1 s.
    """
    line = line_with(1, replace(PARAMS, tubing_ul=0.0, length_cm=length_cm))
    conc = (500.0,)
    t_us, volume, mean, square = 0, 0.0, 0.0, 0.0
    while volume < 4 * line.dead_ul:
        before_us, t_us = t_us, t_us + round(pulse_ul / rate_ul_day * US_PER_DAY)
        for part, (tip,) in line.push(t_us - 100_000 if strokes else before_us, t_us, pulse_ul, conc, pulse_ul):
            old = 1 - tip / 500
            mean += part * old
            square += ((volume + part) ** 2 - volume ** 2) * old
            volume += part
    return mean, math.sqrt(square - mean * mean) / PARAMS.bore_ul_cm


@pytest.mark.parametrize("rate_ul_day, published_cm", [(500, 1.2), (24000, 7.7)])
def test_front_spread_is_the_published_one_within_a_percent_of_theory(rate_ul_day, published_cm):
    """What 80 cm add to a front that is on its way, and the front behind its first 80 cm: entering costs one memory of the shear."""
    (mean, short_cm), (_, long_cm) = (breakthrough(rate_ul_day, 1.0, length_cm=length) for length in (80.0, 160.0))
    area_m2 = PARAMS.bore_ul_cm * 1e-7
    radius_m = math.sqrt(area_m2 / math.pi)
    speed = rate_ul_day * 1e-9 / 86400 / area_m2
    spread = spread_m2_s(5e-10, radius_m, speed)
    theory_cm = 100 * math.sqrt(2 * spread * 0.80 / speed)
    added_cm = math.sqrt(long_cm ** 2 - short_cm ** 2)
    assert added_cm == pytest.approx(theory_cm, rel=0.01)       # measured within 0.1 % at both
    assert added_cm == pytest.approx(published_cm, abs=0.1)
    entered_cm = 100 * math.sqrt(2 * (spread * 0.80 / speed - (spread - 5e-10) * radius_m ** 2 / 5e-10 / 16))
    assert short_cm == pytest.approx(entered_cm, rel=0.01)
    assert mean == pytest.approx(176.0, rel=1e-6)               # mass: the front's mean is the volume of the line


@pytest.mark.parametrize("pulse_ul", [0.05, 0.3, 4.0])
def test_spread_hardly_depends_on_the_size_of_pushes(pulse_ul):
    assert breakthrough(500, pulse_ul)[1] == pytest.approx(breakthrough(500, 1.0)[1], rel=0.03)


@pytest.mark.parametrize("stroke_ul", [0.3, 1.0, 3.0])
def test_strokes_far_apart_smear_a_third_of_each_ones_squared_length(stroke_ul):
    _, sigma_cm = breakthrough(500, stroke_ul, strokes=True)
    steady_cm = math.sqrt(2 * 5e-10 * 1e4 * 176 / 500 * 86400)      # what molecular diffusion adds meanwhile
    expected_cm = math.sqrt(80 * stroke_ul / PARAMS.bore_ul_cm / 3 + steady_cm ** 2)
    assert sigma_cm == pytest.approx(expected_cm, rel=0.03)


def test_alike_content_is_one_parcel_and_leaves_unchanged():
    line, conc = line_with(1), (500.0,)
    t_us = 0
    for _ in range(1000):
        t_us += 100_000_000
        line.push(t_us, t_us, 1.0, conc, 1.0)
    assert line.tip_conc is conc                    # collapsed: the O(1) path
    assert line.push(t_us, t_us + 1, 50.0, conc, 50.0) == [(50.0, conc)]
    assert line.mass_ng()[0] == pytest.approx(375 * 500, rel=1e-12)


def test_a_push_larger_than_the_line_lets_the_new_liquid_out_behind_the_old():
    line = line_with(1)
    pieces = line.push(0, 1_000_000, 1000.0, (7.0,), 1000.0)
    assert sum(volume for volume, _ in pieces) == pytest.approx(1000.0)
    assert sum(volume * conc[0] for volume, conc in pieces) == pytest.approx(7.0 * 625)
    assert line.mass_ng()[0] == pytest.approx(7.0 * 375)


def test_a_kink_stores_and_healing_releases():
    line, conc = line_with(1), (500.0,)
    line.set_faults(kink_ul_kpa_s=0.0)
    for i in range(50):
        assert line.outflow_ul(1.0, 0.1) == 0
        line.push(i * 60_000_000, i * 60_000_000, 1.0, conc, 0.0)
    assert line.back_kpa == pytest.approx(100.0)            # 50 uL over 0.5 uL/kPa
    assert line.room_ul(150.0) == pytest.approx(25.0)
    line.set_faults()
    out = line.outflow_ul(0.0, 0.0)
    line.release(0, 0, out)
    assert out == pytest.approx(50.0) and line.back_kpa == 0 and line.room_ul(150.0) == math.inf
    assert line.mass_ng()[0] == pytest.approx(25000.0)      # what was stored was the old liquid at the tip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-0.5, 30), st.sampled_from([(0.0, 500.0), (2000.0, 0.0), (10.0, 10.0)])), max_size=60))
def test_mass_and_volume_close_for_any_flow_back_and_forth(flows):
    line = line_with(2)
    came, left = [0.0, 0.0], [0.0, 0.0]
    for i, (volume, conc) in enumerate(flows):
        at_us = (i + 1) * 60_000_000
        if volume >= 0:
            pieces = line.push(at_us, at_us, volume, conc, volume)
            came = [c + volume * v for c, v in zip(came, conc)]
        else:
            taken, pieces = line.pull(at_us, at_us, -volume, volume)
            came = [c + volume * v for c, v in zip(came, taken)]
        assert sum(part for part, _ in pieces) == pytest.approx(volume, abs=1e-9)
        left = [x + sum(part * conc[i] for part, conc in pieces) for i, x in enumerate(left)]
    for c, x, inside in zip(came, left, line.mass_ng()):
        assert c - x == pytest.approx(inside, rel=1e-10, abs=1e-7)


@pytest.mark.parametrize("alike", [True, False])
def test_hands_exchange_what_lies_next_to_the_tip_to_the_drop(alike):
    line = line_with(1)
    if alike:
        line.push(0, 1_000_000, 400.0, (500.0,), 400.0)
    else:
        for at in range(1, 60):
            line.push(at * 1_000_000 - 400_000, at * 1_000_000, 3.3, (500.0,), 3.3)
    before, volume = line.mass_ng()[0], 176.4
    taken = line.replace(60_000_000, volume, (2000.0,))
    assert sum(part for part, _ in taken) == pytest.approx(volume)
    gone = sum(part * conc[0] for part, conc in taken)
    assert line.mass_ng()[0] == pytest.approx(before - gone + volume * 2000.0)
    assert line.tip_conc == (2000.0,)
    pieces = line.push(60_000_000, 61_000_000, 200.0, (500.0,), 200.0)
    assert sum(part * conc[0] for part, conc in pieces) == pytest.approx(volume * 2000.0 + (200.0 - volume) * (500.0 if alike else pieces[-1][1][0]), rel=0.02)


# ---- faults of the line

def settled(conc=500.0, **faults):
    """A line full of `conc` ng/uL, with these faults."""
    line = line_with(1)
    line.push(0, 1_000_000, 1e6, (conc,), 1e6)
    line.replace(2_000_000, line.dead_ul, (conc,))
    line.set_faults(**faults)
    return line


def lost_of(line):
    lost, line.lost = line.lost, []
    return sum(part for part, _ in lost), sum(part * conc[0] for part, conc in lost)


@pytest.mark.slow
@pytest.mark.req("TH-PLANT-03")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_leak_takes_its_share_at_its_place_and_slows_what_goes_on(share):
    """New drug reaches the leak after the volume before it, and the tip after what lies behind, at the rate that is left."""
    line = settled(leak=share)
    before_ul, behind_ul = PARAMS.tubing_ul + PARAMS.catheter_ul * PARAMS.leak_at, PARAMS.catheter_ul * (1 - PARAMS.leak_at)
    at_us, pushed, seen = 0, 0.0, {}
    came, lost_ng = 0.0, 0.0
    while "tip" not in seen:
        at_us += 60_000_000
        pieces = line.push(at_us, at_us, 1.0, (2000.0,), 1.0)
        pushed += 1.0
        part_ul, part_ng = lost_of(line)
        assert part_ul == pytest.approx(share) and sum(part for part, _ in pieces) == pytest.approx(1 - share)
        came += sum(part * conc[0] for part, conc in pieces)
        lost_ng += part_ng
        if part_ng / part_ul > 1250:
            seen.setdefault("leak", pushed)
        if pieces[-1][1][0] > 1250:
            seen["tip"] = pushed
    assert seen["leak"] == pytest.approx(before_ul, abs=6)
    assert seen["tip"] == pytest.approx(before_ul + behind_ul / (1 - share), rel=0.04)
    assert line.mass_ng()[0] == pytest.approx(375 * 500 + pushed * 2000 - came - lost_ng, rel=1e-10)
    assert len(line._widths) < 4 * 375      # thin rests are joined on their way


@pytest.mark.slow
def test_a_long_push_leaves_through_leak_and_tip_in_turns():
    line = settled(leak=0.5)
    line.push(0, 1, 600.0, (2000.0,), 600.0)
    assert lost_of(line)[0] == pytest.approx(300.0)
    assert line.tip_conc[0] == pytest.approx(2000.0, rel=0.01)


@pytest.mark.slow
def test_a_disconnected_catheter_stands_still_and_all_goes_at_the_pump():
    line = settled(disconnected=True)
    before = line.tip_conc
    for i in range(1, 500):
        pieces = line.push(i * 60_000_000, i * 60_000_000, 1.0, (2000.0,), 1.0)
        assert sum(part for part, _ in pieces) == 0
    volume, mass = lost_of(line)
    assert volume == pytest.approx(499.0) and mass == pytest.approx(199 * 500 + 300 * 2000, rel=1e-3)
    assert line.tip_conc == pytest.approx(before)
    behind, conc = 0.0, line._columns[0]
    for at, width in enumerate(line._widths):
        if behind + width < PARAMS.catheter_ul - 1:
            assert conc[at] == pytest.approx(500.0), "the new drug has not crept into the standing catheter"
        behind += width


def test_an_alike_line_divides_without_cells_and_takes_back_what_had_left():
    line = line_with(1)
    conc = (500.0,)
    line.push(0, 1, 1e4, conc, 1e4)
    for i in range(1, 400):
        line.push(i * 10**8, i * 10**8, 1.0, conc, 1.0)
    assert line.tip_conc is conc
    line.set_faults(leak=0.25)
    assert line.push(10**11, 10**11, 2.0, conc, 2.0) == [(1.5, conc)] and lost_of(line) == (0.5, 250.0)
    taken, pieces = line.pull(10**11, 10**11, 0.4, -0.4)
    assert taken == conc and pieces == [(pytest.approx(-0.3), conc)] and lost_of(line)[0] == pytest.approx(-0.1)


@pytest.mark.slow
def test_a_leak_before_a_kink_takes_all_that_the_kink_holds_back_and_no_pressure_rises():
    line = settled(kink_ul_kpa_s=0.0, leak=0.3)
    out = line.outflow_ul(50.0, 3600.0)
    assert out == pytest.approx(50.0, rel=1e-3) and line.back_kpa < 0.02      # 14 nL/s through 2 uL/(kPa s)
    line.push(0, 3_600_000_000, 50.0, (500.0,), out)
    assert lost_of(line)[0] == pytest.approx(out)
    line.set_faults(kink_ul_kpa_s=0.0, disconnected=True)
    assert not line.kinked and line.outflow_ul(1.0, 1.0) == pytest.approx(1.0, abs=0.1)


def test_a_leak_behind_a_kink_does_not_relieve_it():
    line = line_with(1, replace(PARAMS, leak_at=0.9))
    line.set_faults(kink_ul_kpa_s=0.0, leak=0.5)
    assert line.outflow_ul(10.0, 3600.0) == 0 and line.back_kpa == pytest.approx(20.0)
    line.set_faults(kink_ul_kpa_s=0.001, leak=0.5)
    out = line.outflow_ul(0.0, 500.0)
    line.release(0, 500_000_000, out)
    assert lost_of(line)[0] == pytest.approx(out / 2)


@pytest.mark.slow
def test_a_bubble_yields_and_grows_at_height():
    line = settled(kink_ul_kpa_s=0.0, bubble_ul=100.0)
    line.outflow_ul(10.0, 1.0)
    assert line.back_kpa == pytest.approx(10 / (0.5 + 100 / 101.3))
    before, mass = line.dead_ul + line.stored_ul, line.mass_ng()[0]
    grown = line.set_faults(kink_ul_kpa_s=None, bubble_ul=100.0, ambient_kpa=75.6)
    assert grown == pytest.approx(100 * (101.3 / 75.6 - 1)) and line.dead_ul + line.stored_ul == pytest.approx(before)
    out = line.outflow_ul(0.0, 0.0)
    assert out == pytest.approx(10 + grown) and sum(p * c[0] for p, c in line.release(0, 0, out)) == pytest.approx(out * 500)
    assert line.set_faults(bubble_ul=100.0) == pytest.approx(-grown)
    sucked = line.outflow_ul(0.0, 0.0)
    line.release(0, 0, sucked)
    assert sucked == pytest.approx(-grown) and line.dead_ul == pytest.approx(375.0)
    assert line.mass_ng()[0] == pytest.approx(mass + 5000 - (10 + grown) * 500 - sucked * 500 - 5000)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-0.5, 30), st.sampled_from([(0.0, 500.0), (2000.0, 0.0), (10.0, 10.0)]), st.sampled_from([0.0, 0.2, 0.95, 1.0])),
                max_size=60))
def test_mass_and_volume_close_for_any_flow_through_any_leak(flows):
    line = line_with(2)
    came, left = [0.0, 0.0], [0.0, 0.0]
    for i, (volume, conc, share) in enumerate(flows):
        at_us = (i + 1) * 60_000_000
        line.set_faults(leak=share, disconnected=share == 1.0)
        if volume >= 0:
            pieces = line.push(at_us, at_us, volume, conc, volume)
            came = [c + volume * v for c, v in zip(came, conc)]
        else:
            taken, pieces = line.pull(at_us, at_us, -volume, volume)
            came = [c + volume * v for c, v in zip(came, taken)]
        pieces = pieces + line.lost
        line.lost = []
        assert sum(part for part, _ in pieces) == pytest.approx(volume, abs=1e-9)
        left = [x + sum(part * conc[i] for part, conc in pieces) for i, x in enumerate(left)]
        assert line._alike is not None or min(line._widths) > 0
    for c, x, inside in zip(came, left, line.mass_ng()):
        assert c - x == pytest.approx(inside, rel=1e-9, abs=1e-7)        # DESIGN 9; sums of pieces that left at two places round more


def test_another_drug_that_comes_into_a_line_of_one_behind_a_closed_kink_is_counted_once():
    """What the line has stored is booked before its cells are opened: the mass that comes in is what the head brought."""
    line = line_with(1)
    line.push(0, 1, 2 * line.dead_ul, (10.0,), 2 * line.dead_ul)
    line.set_faults(kink_ul_kpa_s=0.0)
    before_ng, = line.mass_ng()
    out_ul = line.outflow_ul(3.0, 1.0)
    assert out_ul == 0
    line.push(1, 2, 3.0, (4.0,), out_ul)
    assert line.mass_ng()[0] == pytest.approx(before_ng + 12.0, rel=1e-12)
