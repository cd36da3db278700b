"""The pump on the bench: filled, programmed, refilled, listened to."""

import pytest

from thecal.hw_sim.bench_rig import DAY_S, HOUR_S, Rig, ml_day


def test_it_delivers_what_it_is_programmed_for_and_says_nothing():
    with Rig(2_000_000) as rig:
        assert not rig.run(DAY_S)
        assert rig.now_s == DAY_S and rig.delivered_ul() == pytest.approx(2000, abs=2) and abs(rig.beyond_ul()) < 2
        assert rig.ears.heard == [] and rig.rows() == [] and rig.critical_since(0) is None


@pytest.mark.slow
def test_it_is_refilled_before_it_is_empty():
    with Rig(24_000_000) as rig:
        assert rig.fill_lasts_s == pytest.approx(0.8 * 38.6 / 24 * DAY_S)
        rig.run(2 * DAY_S)
        assert rig.delivered_ul() == pytest.approx(48_000, abs=2)
        assert rig.rows() == [19], "a reservoir is no week of 24 mL a day"


def test_a_critical_tone_ends_the_run_and_is_heard_once_it_sounds():
    with Rig(500_000) as rig:
        rig.run(HOUR_S)
        since_us = rig.world.now_us
        rig.world.fault("rotor_stall")
        assert rig.run(DAY_S, stop=lambda: rig.critical_since(since_us) is not None) and rig.now_s < 3 * HOUR_S
        heard = rig.critical_since(since_us)
        assert heard.t_us > since_us and (heard.name, heard.detail) == ("tone", "two-tone") and 7 in rig.rows()
        assert -6 < heard.beyond_ul < -2, "three pulses were ordered and none was turned"


def test_a_rate_in_words():
    assert (ml_day(50_000), ml_day(24_000_000)) == ("0.05 mL/day", "24 mL/day")
