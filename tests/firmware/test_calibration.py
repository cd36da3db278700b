"""Refills of the whole pump: the rise that judges them, and the calibration that learns from them (firmware/contents.py, firmware/trim.py).

A head that is off, a syringe, a bellows and a level sensor that drifts; the orders are a clinician's.
"""

import pytest
from bare_pump import COMMISSION, DRUG, events, named
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sick_pump import DAY, HOUR, Sick, active, running
from thecal.firmware import alarms as al
from thecal.firmware import loading
from thecal.firmware.trim import MOST, SLEW
from thecal.protocol import catalogue as cat

FAST = 1_000_000        # nL a day: a fill of 12 mL lasts twelve days


def held_ul(bench):
    """What the bellows really holds when the sensor does not drift."""
    return bench.level_ul - bench.moved_steps * 35 / 4096 - bench.lost_ul


def refilled(bench, volume_ul=12_000, drift_ul=0, pocket_ul=0, drawn_ul=None, settle=True):
    """Empty the bellows, fill it (less what misses the septum), then tell the pump: the liquid moves minutes before the order."""
    drawn = held_ul(bench) - drift_ul - 1400
    bench.level_ul += volume_ul - pocket_ul - drawn
    bench.run_s(400)
    bench.must(cat.REFILL, {"withdrawn_ul": max(0, round(drawn if drawn_ul is None else drawn_ul)), "volume_ul": volume_ul, "expires_s": 0,
                            "lot": named(b"lot 2"), "next_s": 0, "rinse": 0, **DRUG})
    if settle:
        bench.run_s(2 * HOUR)


def turned_ul(bench):
    """Out of the head, in truth."""
    return bench.moved_steps * 35 / 4096 + bench.lost_ul


def ordered_and_demanded(bench):
    status = bench.status()
    steps = status["ordered_revs"] * status["steps_per_rev"] + status["ordered_steps"]
    return steps * status["nl_per_rev"] / status["steps_per_rev"], status["demanded_ul"] * 1000 + status["demanded_nl"]


def causes(bench):
    return [row[0] for row in events(bench, cat.E_CALIBRATION)]


def learning(gain_percent, rate=FAST):
    bench = running(rate, pulse_nl=3000)
    bench.gain_percent = gain_percent
    bench.must(cat.CALIBRATION, {"on": 1})
    return bench


# ---------------------------------------------------------------------------------------------------- the rise
@pytest.mark.slow
@pytest.mark.req("TH-ALM-37", "TH-ALM-18")
@pytest.mark.parametrize("drift_ul_day", [-20, 20])
def test_row_18_months_of_drift_are_no_pocket_fill_and_hide_none(drift_ul_day):
    bench, drift_ul = running(100_000, 50_000), 0
    for _ in range(70):
        bench.run_s(DAY)
        bench.level_ul += drift_ul_day
        drift_ul += drift_ul_day
    refilled(bench, drift_ul=drift_ul)
    assert active(bench) == [] and abs(drift_ul) > 1000
    assert bench.app.settings.level_offset_ul == pytest.approx(drift_ul, abs=12), "and the drift is taken out"
    assert bench.app.contents.sensed_ul == pytest.approx(held_ul(bench) - drift_ul, abs=15)
    bench.run_s(DAY)
    refilled(bench, drift_ul=drift_ul, pocket_ul=1300)
    assert active(bench) == [al.OVERFULL] and bench.app.alarms.is_shifted(al.OVERFULL)
    refilled(bench, drift_ul=drift_ul)
    assert active(bench) == [], "what was really injected behind it is right again"


@pytest.mark.req("TH-ALM-37")
def test_row_18_a_wrong_figure_is_seen_and_the_right_one_ends_it():
    bench = running()
    bench.run_s(DAY)
    refilled(bench, drawn_ul=9000)
    assert active(bench) == [al.OVERFULL]
    refilled(bench)
    assert active(bench) == []


def test_a_prime_right_behind_a_refill_is_no_offset():
    bench = Sick()
    bench.prime(375_000, 24_000_000)
    bench.run_s(2 * HOUR)
    assert abs(bench.app.settings.level_offset_ul) <= 12 and events(bench, cat.E_TARE)


@pytest.mark.req("TH-ALM-38", "TH-ALM-08")
def test_a_sudden_loss_of_all_is_an_empty_reservoir_within_two_hours():
    bench = running()
    bench.level_ul -= round(held_ul(bench)) - 1600       # the sensor is 200 uL off
    bench.run_s(2 * HOUR)
    jitter = 0
    for _ in range(24):
        jitter = 40 - jitter
        bench.level_ul += jitter - 20       # it lives
        bench.run_s(300)
    assert active(bench) == [al.EMPTY_SENSED, al.LEVEL_SENSOR] and bench.app.effective_rate() == 0
    refilled(bench)
    assert al.EMPTY_SENSED not in active(bench)


@pytest.mark.req("TH-ALM-38", "TH-ALM-21")
@pytest.mark.parametrize("counts", [0, 140, 150, 900, 65_535])
def test_a_sensor_that_fails_at_once_stops_nothing_wherever_it_stands(counts):
    bench = running()
    bench.level_counts = counts
    bench.run_s(2 * DAY)
    assert active(bench) == [al.LEVEL_SENSOR] and bench.app.effective_rate() == 500_000


# ---------------------------------------------------------------------------------------------------- learning
@pytest.mark.slow
@pytest.mark.req("TH-CAL-01", "TH-CAL-04", "TH-CAL-07")
@pytest.mark.parametrize("gain_percent", [97, 103])
def test_a_head_that_is_three_per_cent_off_is_learned_in_three_refills(gain_percent):
    bench = learning(gain_percent)
    for _ in range(4):
        bench.run_s(11 * DAY)
        assert active(bench) in ([], [al.LOW])
        ordered_nl, demanded_nl = ordered_and_demanded(bench)
        assert abs(demanded_nl - ordered_nl) < 3000
        refilled(bench, 13_000)
    assert bench.app.trim.part == bench.status()["trim"] == pytest.approx(gain_percent * 10 - 1000, abs=6) and set(causes(bench)) == {1, 2}
    before_ul, demanded_nl = turned_ul(bench), ordered_and_demanded(bench)[1]
    bench.run_s(5 * DAY)
    assert (turned_ul(bench) - before_ul) * 1000 == pytest.approx(ordered_and_demanded(bench)[1] - demanded_nl, rel=0.01)
    part = bench.app.trim.part
    bench.reboot(60)
    assert bench.app.trim.part == bench.status()["trim"] == part and bench.status()["calibration"] == 1
    bench.run_s(DAY)
    assert active(bench) in ([], [al.LOW])


@pytest.mark.slow
@pytest.mark.req("TH-CAL-04")
def test_without_the_order_nothing_is_learned():
    bench = running(FAST)
    bench.gain_percent = 103
    bench.run_s(11 * DAY)
    refilled(bench)
    assert bench.app.trim.part == 0 and causes(bench) == [] and bench.status()["calibration"] == 0


@pytest.mark.req("TH-CAL-05")
@pytest.mark.parametrize("row", [al.OVER, al.UNDER, al.LEVEL_SENSOR])
def test_a_row_that_doubts_the_volume_returns_it_to_the_factorys(row):
    bench = learning(100)
    loading.trim(bench.app, 30, loading.LEARNED)
    if row == al.LEVEL_SENSOR:
        bench.level_counts = 65_535
    else:
        bench.gain_percent = 200 if row == al.OVER else 40
    bench.run_s(2 * DAY)
    assert row in active(bench) and bench.app.trim.part == bench.app.settings.trim == 0 and causes(bench)[-1] == loading.FACTORY
    bench.reboot(60)
    assert bench.app.trim.part == 0


@pytest.mark.req("TH-CAL-05")
def test_another_commissioning_and_the_order_off_return_it_to_the_factorys():
    bench = learning(100)
    loading.trim(bench.app, -30, loading.LEARNED)
    bench.must(cat.CALIBRATION, {"on": 1})
    assert bench.app.trim.part == -30, "said again, it stays"
    bench.must(cat.CALIBRATION, {"on": 0})
    assert bench.app.trim.part == 0 and causes(bench)[-1] == loading.OFF
    bench = learning(100)
    loading.trim(bench.app, -30, loading.LEARNED)
    bench.stop()
    bench.must(cat.COMMISSION, COMMISSION)
    assert (bench.app.trim.part, bench.status()["trim"], bench.status()["calibration"]) == (0, 0, 0)


def test_a_pulse_that_could_outlast_the_enable_switch_is_not_calibrated():
    bench = Sick(pulse_nl=4000)
    assert bench.order(cat.CALIBRATION, {"on": 1})["reason"] == cat.R_LIMIT
    bench.must(cat.CALIBRATION, {"on": 0})


def found_h(part):
    """Hours until a head of 1.3 is found."""
    bench = running()
    loading.trim(bench.app, part, loading.LEARNED)
    bench.gain_percent = 130
    hours = 0
    while al.OVER not in active(bench):
        bench.run_s(HOUR)
        hours += 1
        assert active(bench) in ([], [al.OVER]) and hours < 80
    assert bench.app.trim.part == 0
    return hours


@pytest.mark.req("TH-CAL-06")
def test_an_over_infusing_head_is_found_as_fast_with_a_trim_as_without():
    """By the motor's own turns at the factory's volume: 5 % fewer or more of them are 5 % of the time."""
    without = found_h(0)
    for part in (-MOST, MOST):
        assert abs(found_h(part) - without) <= 0.1 * without


@pytest.mark.slow
@pytest.mark.req("TH-CAL-02", "TH-CAL-07")
@pytest.mark.parametrize("part", [-MOST, -7, 13, MOST])
def test_a_trim_within_its_bound_is_no_matter_of_the_supervisors(part):
    """Weeks at its bound: no alarm, no pulse lost, and ordered stays with demanded; only the motor's steps are others."""
    bench = running()
    loading.trim(bench.app, part, loading.LEARNED)
    bench.gain_percent = 100 + part / 10
    steps, pulses = bench.steps, bench.app.ledger.pulses
    bench.run_s(14 * DAY)
    assert active(bench) == [] and bench.drops == 0
    assert bench.steps - steps == pytest.approx((bench.app.ledger.pulses - pulses) * 4096 / 35 * 1000 / (1000 + part), abs=3)


@pytest.mark.req("TH-CAL-02", "TH-SUP-01")
def test_the_supervisor_counts_a_turn_by_a_trim_within_the_bound_and_by_no_other():
    bench = running()
    bench.app.trim.set(-MOST)
    bench.app.supervisor.trim(-MOST - 1)        # the controller would have it believe more
    bench.run_s(5 * DAY)
    assert al.CAP in active(bench) or al.MOTION in active(bench)


@pytest.mark.slow
@pytest.mark.req("TH-CAL-03", "TH-CAL-02")
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(-5000, 5000), st.integers(-300, 300)), min_size=2, max_size=3))
def test_a_sensor_that_says_what_it_likes_moves_delivery_no_further_than_the_syringe_saw(lies):
    """A sound head. Before each refill the sensor jumps or drifts by any amount; the syringe is off by a little."""
    bench = learning(100, 2_000_000)
    for lie_ul, slip_ul in lies:
        before = bench.app.trim.part
        bench.run_s(5 * DAY)
        bench.level_ul += lie_ul
        bench.run_s(HOUR)
        refilled(bench, 12_000, drift_ul=0, drawn_ul=max(1, held_ul(bench) - 1400 - lie_ul + slip_ul))
        bench.must(cat.ACKNOWLEDGE, {"row": 0})
        assert abs(bench.app.trim.part - before) <= min(SLEW, 1000 * abs(slip_ul) // 16_000 + 1) or bench.app.trim.part == 0
        assert abs(bench.app.trim.part) <= MOST
