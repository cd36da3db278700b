"""The accuracy bench on short runs: the calibrated pump's bar, back-pressure seen, boluses counted, a page with every figure."""

import pytest

from thecal.hw_sim import bench_trumpet as bench
from thecal.hw_sim.bench_trumpet import CONDITIONS, REFERENCE, boluses, measure, partial_kink
from thecal.hw_sim.plant_faults import FAULTS


@pytest.mark.req("TH-RATE-08")
def test_a_calibrated_pump_is_within_one_per_cent_a_day_and_its_windows_within_stroke_and_recoil():
    curve = measure(500_000)
    assert abs(curve.day_pct) <= 1.0 and abs(curve.mean_pct) <= 1.0
    assert [window.minutes for window in curve.windows] == [15, 60, 150, 330, 570, 930, 1440] and curve.stroke_nl == 1000
    for window in curve.windows:
        bound = 1.8 * window.floor_pct + 0.2        # a stroke, and a roller that gives 0.8 uL back
        assert -bound <= window.lowest_pct <= window.highest_pct <= bound
    assert len(curve.flows_ul_h) == 96 and sum(curve.flows_ul_h) / 4 == pytest.approx(500, abs=2)


@pytest.mark.slow
def test_back_pressure_costs_what_the_head_loses():
    """1 permille a kPa: 13.3 kPa make 1.3 %, less the pulses at the start."""
    curve = measure(2_000_000, CONDITIONS[1], period_s=86_400)
    assert -1.4 < curve.mean_pct < -1.1 and partial_kink(2_000_000) == pytest.approx(2000 / 86_400 / 13.3)
    assert curve.flows_ul_h[0] < 0.9 * 2000 / 24, "the line swells first"


@pytest.mark.slow
def test_suction_at_the_tip_gives_what_the_head_no_longer_loses():
    """The head's own slip, 1 permille a kPa: 13.3 kPa below CSF are 1.33 % more than without, at any rate."""
    suction = next(condition for condition in CONDITIONS if condition.name.startswith("-13.3"))
    for rate_nl_day in (500_000, 2_000_000):
        plain, pulled = (measure(rate_nl_day, condition, period_s=86_400).mean_pct for condition in (REFERENCE, suction))
        assert pulled - plain == pytest.approx(100 * 0.001 * 13.3, abs=0.2 if rate_nl_day == 500_000 else 0.05)


def test_every_condition_is_a_fault_that_the_plant_has():
    for condition in CONDITIONS:
        for name, value in condition.faults.items():
            kind = FAULTS[name]
            for rate_nl_day in bench.RATES_NL_DAY:
                assert kind.low <= (value(rate_nl_day) if callable(value) else value) <= kind.high


def test_boluses_in_a_row():
    errors, given = boluses(10_000, 600, count=5)
    assert len(given) == 5 and abs(errors.mean_pct) < 100 * 2 / 50 and errors.lowest_pct > -20 and errors.highest_pct < 20


@pytest.mark.slow
def test_the_object_and_its_page(tmp_path):
    said = []
    found = bench.trumpet(said.append, rates=(500_000,), conditions=(REFERENCE,), settings=((10_000, 600),))
    assert (found["schema"], found["bench"]) == ("thecal.bench/1", "trumpet") and len(said) == 2
    assert len(found["bars"]) == 3 and all(set(row) >= {"name", "value", "unit", "bar", "ok"} and row["ok"] for row in found["bars"])
    text = bench.write(found, tmp_path).read_text(encoding="utf-8")
    for part in ("figure-start-500000", "figure-trumpet-500000", "quantisation floor", "flow, µL/h", "observation window, min",
                 "Not a medical device"):
        assert part in text
