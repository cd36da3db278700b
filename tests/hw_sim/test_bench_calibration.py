"""The calibration bench: figures of lives, one whole pump that learns on the real firmware, the page."""

import pytest

from thecal.hw_sim import bench_calibration as bench
from thecal.hw_sim.lifetime import LESS_LEFT, MORE_LEFT, Head, Life


def test_figures_of_lives():
    lives = [Life([0.5, 1.5], [0.01, -0.03], [0, 5]), Life([0.5, 1.5], [0.02, 0.02], [0, 0])]
    found = bench.figures_of(lives)
    assert found["mean_pct"] == pytest.approx(2.0) and found["most_pct"] == pytest.approx(3.0) and found["life_mean_pct"] == pytest.approx(1.5) and found["fills"] == 4


@pytest.mark.slow
@pytest.mark.req("TH-CAL-01")
def test_a_whole_pump_learns_at_its_refills():
    found = bench.whole(Head(1.04, 0.0, 500.0), True, fills=3)
    assert found["errors_pct"][0] == pytest.approx(4.0, abs=0.1) and abs(found["errors_pct"][2]) < 1.5
    assert 15 <= found["trims"][0] <= 20 and found["trims"][2] > 30 and {*found["alarms"]} <= {19}      # low before a refill


@pytest.mark.slow
@pytest.mark.req("TH-CAL-02")
@pytest.mark.parametrize("lie, trims, last_pct", [(MORE_LEFT, [20, 39, 50], -4.762), (LESS_LEFT, [-20, -40, -49], 5.2)])
def test_a_whole_pump_that_both_witnesses_lie_to_stays_within_the_bound(lie, trims, last_pct):
    """Real firmware: the sensor's zero moves at each refill and the clinic misreads by the same; an exact head delivers 5 % amiss then, either way."""
    found = bench.whole(bench.LIED_TO, True, 4, failed=lie)
    assert found["errors_pct"][0] == pytest.approx(0, abs=0.01) and found["errors_pct"][3] == pytest.approx(last_pct, abs=0.2)
    assert all(near == pytest.approx(trim, abs=2) and abs(trim) <= 50 for near, trim in zip(trims, found["trims"], strict=False))
    assert all(-bench.TAKEN_PCT - bench.PULSE_PCT <= error <= bench.ADDED_PCT + bench.PULSE_PCT for error in found["errors_pct"])
    assert {*found["alarms"]} <= {19, 21}, "no hand but the bound stands against two witnesses that agree; four lies lift the sensor beyond its scale"


def test_the_object_and_its_page(tmp_path):
    found = bench.calibration(pumps=20, heads=(), lies=())
    assert (found["schema"], found["bench"]) == ("thecal.bench/1", "calibration") and len(found["ways"]) == 6 and all(row["ok"] for row in found["bars"])
    added, taken = (row for row in found["bars"] if "any way of learning" in row["name"])
    assert added["value"] == pytest.approx(5.263, abs=2e-3) and added["note"].startswith("learning, " + LESS_LEFT), "measured, and of the side that it is on"
    assert taken["value"] == pytest.approx(4.762, abs=2e-3) and taken["note"].startswith("learning, " + MORE_LEFT)
    text = bench.write(found, tmp_path).read_text(encoding="utf-8")
    for part in ("figure-years", "figure-lot", "years since the implant", "delivered over prescribed"):
        assert part in text
