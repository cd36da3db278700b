"""The detection bench on a small campaign: rows, bars, intervals, the page, and a whole pump that has nothing to say."""

import pytest

from thecal.hw_sim import bench_detection as bench
from thecal.hw_sim.bench_detection import poisson_95, system_year
from thecal.hw_sim.detection import DEFAULT


def test_the_interval_of_a_count():
    """Exact: 0 -> 0 .. 3.69, 4 -> 1.09 .. 10.24, 20 -> 12.2 .. 30.9."""
    for count, low, high in ((0, 0.0, 3.69), (4, 1.09, 10.24), (20, 12.22, 30.89)):
        assert poisson_95(count) == (pytest.approx(low, abs=0.15), pytest.approx(high, abs=0.15))


@pytest.mark.slow
def test_a_sound_pump_says_nothing_for_weeks():
    year = system_year(500_000, 1, days=40, sensors="low-drift")
    assert year["false_alarms"] == 0 and year["rows"] == [] and year["tones"] == 0 and year["wakes"] > 40 * 400
    assert year["years"] == pytest.approx(40 / 365.25)


@pytest.mark.slow
def test_the_object_and_its_page(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "RATES_NL_DAY", (100_000, 500_000, 2_000_000))
    monkeypatch.setattr(bench, "GAINS", (1.3, 3.0))
    said = []
    found = bench.detection(said.append, pumps=2, onsets=6, seeds=0)
    assert (found["schema"], found["bench"], found["system"]) == ("thecal.bench/1", "detection", []) and len(said) == 2 + 2 * 4
    names = [row["name"] for row in found["bars"]]
    assert names[0] == "level test: false alarms, all rates; default sensor, walk 50 µL/√day" and "1.3× at 0.5 mL/day, mean delay; default sensor, walk 50 µL/√day" in names
    impossible = [row for row in found["bars"] if row["name"].startswith("1.3× at 0.1")]
    assert [row["ok"] for row in impossible] == [None, True] and "no test of this sensor can" in impossible[0]["note"]
    assert impossible[1]["note"].startswith("of 60; median ") and " of 100 within 120 h" in impossible[1]["note"], "ten times the onsets where a mean is held against a bar"
    text = bench.write(found, tmp_path).read_text(encoding="utf-8")
    for part in ("figure-gain-50", "figure-gain-15", "figure-rate", "figure-false", "Lorden", "false alarms a pump-year", "hours until found"):
        assert part in text


def test_a_campaign_counts_what_was_found():
    rows = bench.campaign(1, 5, (500_000,), (3.0,), DEFAULT)
    assert rows[0]["pump_years"] == bench.SURE_YEARS, "the worst rate is played longer"
    assert rows[0]["low_a_year"] <= rows[0]["false_a_year"] <= rows[0]["high_a_year"]
    cell = rows[0]["delays"][0]
    assert (cell["onsets"], cell["found"], cell["within_asked"]) == (50, 50, 1.0) and cell["median_h"] <= cell["late_h"] < 12 and cell["mean_h"] < 12 and cell["excess_ul"] == pytest.approx(1000 * cell["mean_h"] / 24)
