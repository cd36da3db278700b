"""The calibration bench: figures of lives, one whole pump that learns on the real firmware, the page."""

import pytest

from thecal.hw_sim import bench_calibration as bench
from thecal.hw_sim.lifetime import Head, Life


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


def test_the_object_and_its_page(tmp_path):
    found = bench.calibration(pumps=20, heads=())
    assert (found["schema"], found["bench"]) == ("thecal.bench/1", "calibration") and len(found["ways"]) == 5 and all(row["ok"] for row in found["bars"])
    text = bench.write(found, tmp_path).read_text(encoding="utf-8")
    for part in ("figure-years", "figure-lot", "years since the implant", "delivered over prescribed"):
        assert part in text
