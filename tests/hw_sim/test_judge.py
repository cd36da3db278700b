"""The oracle's judgement of a run: each figure beside its bound, each planted error in its own row."""

from fractions import Fraction

import pytest
from thecal.hw_sim.judge import FAULTY_REL, Bounds, judge
from thecal.hw_sim.oracle import DAY_US, Oracle

HOUR_US = DAY_US // 24

# --- judging --------------------------------------------------------------------------------------------------------

def told():
    oracle = Oracle(dead_nl=375_000, residual_nl=1_400_000)
    oracle.fill(0, 20_000_000, {"baclofen": 500})
    oracle.program(0, 300_000)
    oracle.outage(10 * DAY_US, 10 * DAY_US + 2 * HOUR_US, "power")
    return oracle


GOOD_RUN = {"demanded_nl": 5_975_000, "ordered_nl": 5_974_200, "missed_nl": {"power": 25_000}}
GOOD_TRUTH = {"delivered_ul": 5968.0, "reservoir_ul": 14_027.0, "tip_ng": {"baclofen": 2_780_000.0}, "mass_error": 1e-12}


def judged(run=(), truth=()):
    rows = judge(told(), {**GOOD_RUN, **dict(run)}, {**GOOD_TRUTH, **dict(truth)}, 20 * DAY_US, Bounds(pulse_nl=1000))
    return {row["name"]: row for row in rows}


def test_what_strayed_has_left_the_pump_as_ordered():
    rows = judged(truth={"delivered_ul": 4968.0, "strayed_ul": 1000.0, "tip_ng": {"baclofen": 2_280_000.0}, "strayed_ng": {"baclofen": 500_000.0}})
    assert all(row["ok"] for row in rows.values()), rows
    assert rows["delivered through the tip as ordered"]["value"] == pytest.approx(6200.0)
    rows = judged(truth={"delivered_ul": 4968.0, "tip_ng": {"baclofen": 2_280_000.0}})
    assert not rows["delivered through the tip as ordered"]["ok"] and not rows["baclofen through the tip"]["ok"]


@pytest.mark.req("TH-RATE-07")
def test_a_good_run_passes_every_row_with_its_distance_and_bound():
    rows = judged()
    assert all(row["ok"] for row in rows.values()), rows
    assert rows["ordered within one pulse of demanded"] == {
        "name": "ordered within one pulse of demanded", "ok": True, "value": 800.0, "bound": 1000.0, "unit": "nL"}
    assert set(rows) == {"demanded as prescribed", "ordered within one pulse of demanded", "missed through power", "drug mass closes",
                         "delivered through the tip as ordered", "reservoir holds what it should", "baclofen through the tip"}


@pytest.mark.req("TH-RATE-07")
@pytest.mark.parametrize("run, truth, failing", [
    ({"demanded_nl": 5_978_000}, {}, {"demanded as prescribed", "ordered within one pulse of demanded"}),
    ({"ordered_nl": 5_974_000}, {}, {"ordered within one pulse of demanded"}),
    ({"demanded_nl": 6_000_000, "ordered_nl": 6_000_000}, {"delivered_ul": 5_998.0}, {"demanded as prescribed"}),   # caught up after the cut
    ({"missed_nl": {}}, {}, {"missed through power"}),
    ({"missed_nl": 0}, {}, {"missed as prescribed"}),
    ({"missed_nl": {"power": 25_000, "stall": 9_000}}, {}, {"missed through stall"}),
    ({}, {"delivered_ul": 7_700.0}, {"delivered through the tip as ordered"}),               # head gain 1.3
    ({}, {"delivered_ul": 5_974.2 * 1.005}, {"delivered through the tip as ordered"}),       # half a percent is no healthy head
    ({}, {"reservoir_ul": 12_000.0}, {"reservoir holds what it should"}),
    ({}, {"tip_ng": {"baclofen": 11_200_000.0}}, {"baclofen through the tip"}),              # 2000 for 500 ug/mL
    ({}, {"tip_ng": {}}, {"baclofen through the tip"}),
    ({}, {"mass_error": 2e-9}, {"drug mass closes"}),
])
def test_each_error_fails_its_row_and_no_other(run, truth, failing):
    assert {name for name, row in judged(run, truth).items() if not row["ok"]} == failing


def test_what_the_truth_lacks_is_not_judged():
    rows = judge(told(), GOOD_RUN, {}, 20 * DAY_US, Bounds(pulse_nl=1000))
    assert {row["name"] for row in rows} == {"demanded as prescribed", "ordered within one pulse of demanded", "missed through power"}


def test_a_roller_pitch_and_a_declared_fault_widen_the_bounds():
    def delivered(**options):
        rows = judge(told(), GOOD_RUN, {**GOOD_TRUTH, "delivered_ul": 5_974.2 + 12}, 20 * DAY_US, Bounds(pulse_nl=1000, **options))
        return next(row for row in rows if row["name"] == "delivered through the tip as ordered")
    assert not delivered()["ok"] and delivered(pitch_nl=8_750)["ok"] and delivered(delivered_rel=FAULTY_REL)["ok"]
    assert delivered(pitch_nl=8_750)["bound"] == pytest.approx(5_974.2 + 1000 + 8_750)
