"""Every scenario we ship, played: verdict, one trace hash on both runtimes, and the arithmetic in its comments."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from thecal.host.fill import LOW_NL, RESIDUAL_NL, low_reservoir_date, mixed_ng_ml
from thecal.hw_sim.player import play
from thecal.hw_sim.recorder import Recorder
from thecal.hw_sim.scenario import load_scenario, new_world
from thecal.hw_sim.scenario_file import DAY_S, FOLDER

pytestmark = pytest.mark.slow      # whole runs in processes of their own: for `make test`, not for daily work

NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
LONG = {"baclofen-b1", "baclofen-b1x", "morphine-m1", "ziconotide-z1", "bench-180d", "bench-24ml"}
REGIMENS = ("baclofen-b1", "baclofen-b1x", "baclofen-b2", "ziconotide-z1", "morphine-m1", "oral-vs-pump", "baclofen", "stall")


def marked(names, slow=LONG):
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in names]


def played(name, runtime, out=None):
    scenario = load_scenario(name)
    return play(scenario, new_world(scenario, runtime=runtime, recorder=Recorder(out, sample_s=scenario.sample_s)), out=out)


def wrong(result):
    return [row for row in result["expectations"] if row["ok"] is not True]


def test_what_the_brief_names_is_there():
    assert set(REGIMENS) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_source_and_confidence_stand_in_each_file(name):
    scenario = load_scenario(name)
    assert len(scenario.source) > 20 and scenario.confidence
    text = (FOLDER / (name + ".toml")).read_text(encoding="utf-8")
    assert text.startswith("# ")


@pytest.mark.parametrize("name", marked(NAMES))
def test_a_scenario_passes(name):
    result = played(name, "inprocess")
    assert wrong(result) == [] and result["verdict"] == "pass"
    assert json.dumps(result)


@pytest.mark.micropython
@pytest.mark.parametrize("name", marked(REGIMENS, set(REGIMENS) - {"stall"}))
def test_both_runtimes_give_one_trace(name):
    real, inside = (played(name, runtime) for runtime in ("micropython", "inprocess"))
    assert real["verdict"] == "pass", wrong(real)
    assert (real["trace_hash"], real["wakes"], real["demanded_nl"]) == (inside["trace_hash"], inside["wakes"], inside["demanded_nl"])


@pytest.mark.slow
def test_without_the_bridge_the_dose_falls_to_a_quarter():
    """B1x against B1: the one shows withdrawal, the other never does (its expectation says so)."""
    found = {row["name"]: row["value"] for row in played("baclofen-b1x", "inprocess")["expectations"]}
    assert found["withdrawal: 30 % of the dose or less for about 45 h"] == pytest.approx(45, abs=2)


def orders(name, kind):
    scenario = load_scenario(name)
    return [(event.at_s, scenario.orders[event.number]) for event in scenario.events if event.kind == kind]


def test_b1_is_refilled_before_its_low_reservoir_alarm():
    """The sums at the head of baclofen-b1.toml, by the host's own date of the alarm (7 days or 2 mL, alarms.md row 19)."""
    programs = orders("baclofen-b1", "program")
    refills = [at_s for at_s, _ in orders("baclofen-b1", "refill")]
    bridge, bridged = orders("baclofen-b1", "bridge")[0][1]
    assert refills == [24 * DAY_S, 40 * DAY_S, 120 * DAY_S]
    assert (bridge.volume_nl, bridge.duration_s) == (375_000, Fraction(45, 4) * 3600)
    volume_nl, at_s = 20_000_000 - 375_000, 3600
    for (begin_s, program), (end_s, _) in zip(programs, programs[1:] + [(refills[1], None)]):
        if begin_s <= refills[0] < end_s:       # the refill stands in the middle of 345 ug/day
            volume_nl -= program.rate_at(0) * (refills[0] - begin_s) // DAY_S
            assert low_reservoir_date(program, volume_nl, refills[0]) > refills[0]
            assert volume_nl - RESIDUAL_NL == pytest.approx(5.0e6, rel=0.02)
            volume_nl, begin_s = 20_000_000, refills[0]
        volume_nl -= program.rate_at(0) * (end_s - begin_s) // DAY_S
        at_s = end_s
        assert low_reservoir_date(program, volume_nl, at_s) > at_s
    assert volume_nl - RESIDUAL_NL == pytest.approx(5.9e6, rel=0.02)
    volume_nl = 20_000_000 - 375_000
    assert low_reservoir_date(bridged, volume_nl, round(refills[1] + bridge.duration_s)) > refills[2]
    left_nl = volume_nl - RESIDUAL_NL - 200_000 * (refills[2] - refills[1] - bridge.duration_s) / DAY_S
    assert left_nl > LOW_NL and left_nl == pytest.approx(2.3e6, rel=0.02)
    assert mixed_ng_ml(18_600_000, 2_000_000, 500_000) == 1_895_000


def test_the_bridge_of_m1_lasts_60_h():
    bridge, program = orders("morphine-m1", "bridge")[0][1]
    assert bridge.duration_s == 60 * 3600 and program.rate_at(0) == 75_000


def test_b2_sums_to_400_ug_and_less_on_physiotherapy_days():
    program = orders("baclofen-b2", "program")[0][1]
    doses = [float(program.daily_dose_ng(day)["baclofen"]) / 1000 for day in range(7)]
    assert doses == [392.5, 400, 400, 392.5, 400, 400, 400]


@pytest.mark.slow
def test_the_report_of_b1_is_one_file(tmp_path):
    from thecal.hw_sim import report
    result = played("baclofen-b1", "inprocess", tmp_path)
    page = report.write(result, tmp_path).read_text(encoding="utf-8")
    assert "Not a medical device" in page and "PASS" in page and "Baclofen B1" in page and "http-equiv" in page
    assert Path(tmp_path / "samples.csv").stat().st_size > 50_000
