"""The player: a whole run's result, its files, what interrupts it, and firmwares that fail."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from thecal.hw_sim.environment import Environment, Row
from thecal.hw_sim.player import KEPT_EVENTS, Player, _Front, play
from thecal.hw_sim.plant import Plant
from thecal.hw_sim.recorder import Recorder
from thecal.hw_sim.runner import InProcess
from thecal.hw_sim.scenario import load_scenario, new_world
from thecal.hw_sim.scenario_file import DAY_S, Event, Expectation, parts
from thecal.hw_sim.scenario_surroundings import RandomFault
from thecal.hw_sim.world import World

FOREIGN = Path(__file__).parent / "foreign"
# DESIGN 13: scripts and comparisons rely on these.
CONTRACT = {"schema", "verdict", "trace_hash", "runtime", "virtual_s", "wall_s", "wakes", "pulses", "demanded_nl", "ordered_nl", "delivered_nl",
            "missed_nl", "alarms", "expectations", "repeat"}


def short(name, days=3, **changes):
    """A scenario cut after `days`, its expectations left out."""
    scenario = load_scenario(name)
    events = tuple(event for event in scenario.events if event.at_s < days * DAY_S)
    return replace(scenario, duration_s=days * DAY_S, events=events, expectations=(), **changes)


def run(scenario, *, out=None, runtime="inprocess", firmware_dir=None, **options):
    recorder = Recorder(out, sample_s=scenario.sample_s)
    return play(scenario, new_world(scenario, runtime=runtime, recorder=recorder, firmware_dir=firmware_dir), out=out, **options)


def rows(result):
    return {row["name"]: row for row in result["expectations"]}


def test_a_run(tmp_path):
    result = run(short("baclofen-b1", 4, sample_s=3600), out=tmp_path, repeat="again")
    assert CONTRACT <= set(result) and json.dumps(result)
    assert (result["schema"], result["verdict"], result["runtime"], result["repeat"]) == ("thecal.run/1", "pass", "inprocess", "again")
    assert result["virtual_s"] == pytest.approx(4 * DAY_S, abs=5)
    # 0.375 prime, 23/24 + 1 day at 0.3, 0.36, then 23 h at 0.42 and the hours between, as the program events stand at 01:00
    demanded = 375_000 + 300_000 * (2 * 24) // 24 + 360_000 * 24 // 24 + 420_000 * 23 // 24
    assert result["demanded_nl"] == pytest.approx(demanded, abs=30)
    assert abs(result["demanded_nl"] - result["ordered_nl"]) < 1000
    assert result["delivered_nl"] == pytest.approx(result["ordered_nl"], abs=2000)
    assert result["missed_nl"] == 0 and result["alarms"] == []
    assert rows(result)["demanded as the oracle at every sample"]["value"] < 5
    assert result["firmware"]["version"] == "0.1" and result["drugs"] == ["baclofen"]
    assert [day["day"] for day in result["days"]] == [0, 1, 2, 3]


def test_the_files_of_a_run(tmp_path):
    run(short("baclofen-b1", 2), out=tmp_path)
    with open(tmp_path / "samples.csv", newline="") as file:
        samples = list(csv.DictReader(file))
    times = [float(row["t_s"]) for row in samples]
    assert times == sorted(times) and times[0] == -3 * DAY_S and times[-1] == 2 * DAY_S
    trial = [float(row["lumbar_baclofen"]) for row in samples if float(row["t_s"]) < 0]
    assert max(trial) == pytest.approx(1136, rel=0.01)          # 75 ug in 66 mL
    assert samples[-1]["demanded_nl"] and not samples[0]["demanded_nl"]
    assert float(samples[-1]["reservoir_true_ul"]) == pytest.approx(float(samples[-1]["reservoir_computed_ul"]), abs=3)
    events = list(csv.DictReader(open(tmp_path / "events.csv", newline="")))
    assert {"pump", "clinician", "plant"} <= {row["source"] for row in events}
    assert [row["name"] for row in events if row["source"] == "clinician"] == ["trial", "trial", "implant", "fill", "prime", "program"]
    assert "program committed" in {row["name"] for row in events if row["source"] == "pump"}
    assert (tmp_path / "pins.vcd").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.req("TH-RULE-09")
def test_one_hash_for_one_seed_and_another_for_another():
    scenario = short("baclofen", 1)
    first, again, other = (run(case)["trace_hash"] for case in (scenario, scenario, replace(scenario, seed=2)))
    assert first == again != other


@pytest.mark.slow
@pytest.mark.req("TH-RULE-09")
def test_pace_does_not_change_the_trace():
    scenario = short("baclofen", 1)
    assert run(scenario, speed=200_000)["trace_hash"] == run(scenario)["trace_hash"]


def test_an_expectation_that_fails_fails_the_run():
    scenario = replace(short("baclofen", 1), expectations=(Expectation("too much", "mass_error", 1.0, None, {}),))
    result = run(scenario)
    assert result["verdict"] == "fail" and rows(result)["too much"]["ok"] is False


def test_a_refused_event_fails_the_run():
    scenario = short("baclofen", 1)
    resume = replace(load_scenario("stall").events[4], kind="resume", at_s=3600, number=9)
    result = run(replace(scenario, events=(*scenario.events, resume)))
    assert result["verdict"] == "fail"
    assert "event 9 (resume): the pump refused" in rows(result)["every event was accepted"]["value"]


def test_a_power_cut_is_an_outage_not_a_failure():
    scenario = short("baclofen", 2)
    cut = replace(load_scenario("stall").events[4], kind="power_cut", at_s=DAY_S, number=9, read={"for": 2 * 3600}, values={"for": "2 h"})
    result = run(replace(scenario, events=(*scenario.events, cut)))
    assert result["verdict"] == "pass", [row for row in result["expectations"] if row["ok"] is False]
    assert result["missed_by_cause_nl"]["reset"] == pytest.approx(200_000 / 12, abs=2000)


@pytest.mark.slow
def test_a_flow_that_differs_from_the_order_is_seen_by_the_oracle():
    """A head that gives 1.3 times its volume: the firmware's books are right, the plant's are not."""
    scenario = short("baclofen", 2)
    gain = replace(load_scenario("stall").events[4], at_s=3600, number=9, read={"name": "head_gain", "value": 1.3}, values={"name": "head_gain"})
    faulty = replace(scenario, events=(*scenario.events, gain))
    assert rows(run(faulty))["oracle: delivered through the tip as ordered"]["ok"] is False
    assert run(replace(faulty, oracle={"delivered_pct": 35.0, "dose_pct": 35.0}))["verdict"] == "pass"


def test_the_front_of_a_new_concentration_is_interpolated():
    def truth(head_ul, tip):
        return {"head_ul": head_ul, "tip_ng_per_ul": {"x": tip}, "reservoir_ng_per_ul": {"x": 2000.0}}
    front = _Front(truth(100.0, 500.0), "x", 100.0)
    assert front.look(truth(460.0, 650.0)) is None              # 10 % of the way
    assert front.look(truth(480.0, 1850.0)) == pytest.approx(370.0)     # 90 %: half of it in the middle


def test_control_c_ends_cleanly_with_what_was_recorded(tmp_path):
    def stop(done_s, total_s):
        if done_s >= DAY_S:
            raise KeyboardInterrupt
    result = run(short("baclofen", 3), out=tmp_path, progress=stop)
    assert result["verdict"] == "fail" and result["interrupted"].startswith("interrupted at day 1.0")
    assert result["notes"][0] == result["interrupted"]
    assert result["demanded_nl"] > 0
    assert len((tmp_path / "samples.csv").read_text().splitlines()) > 20
    assert (tmp_path / "pins.vcd").read_text().rstrip()[-1] != ""


def test_a_world_that_was_used_is_refused():
    scenario = short("baclofen", 1)
    with new_world(scenario, runtime="inprocess") as world:
        world.run_until(5)
        with pytest.raises(ValueError, match="needs a fresh one"):
            play(scenario, world)


def test_the_result_stays_small():
    scenario = short("baclofen", 1)
    with new_world(scenario, runtime="inprocess") as world:
        player = Player(scenario, world, None, None)
        for number in range(KEPT_EVENTS + 10):
            player._keep(number, "pump", "x", "")
        assert len(player.events) == KEPT_EVENTS


# ------------------------------------------------------------------------------------------------ other people's firmware

@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["inprocess", pytest.param("micropython", marks=pytest.mark.micropython)])
def test_thirty_lines_of_foreign_firmware_run_with_the_same_plant(runtime, tmp_path):
    source = FOREIGN / "steady" / "pump.py"
    assert len([line for line in source.read_text().splitlines() if line.strip()]) <= 30
    result = run(load_scenario("baclofen"), out=tmp_path, runtime=runtime, firmware_dir=source.parent)
    assert result["verdict"] == "pass" and result["demanded_nl"] is None
    assert result["ordered_nl"] == pytest.approx(6_000_000, abs=1000) and result["delivered_nl"] == pytest.approx(6_000_000, abs=3000)
    found = rows(result)
    assert found["no alarm"]["ok"] is None and found["400 ug on the last day"]["ok"] is True and found["the oracle agrees"]["ok"] is None
    assert any("the pump was not told" in note for note in result["notes"])


@pytest.mark.parametrize("runtime", ["inprocess", pytest.param("micropython", marks=pytest.mark.micropython)])
@pytest.mark.parametrize(("name", "sentence"), [("raises", "ZeroDivisionError"), ("spins", "over 10000 reads of inputs in one step")])
def test_a_firmware_that_fails_ends_the_run_with_its_traceback(runtime, name, sentence):
    result = run(load_scenario("baclofen"), runtime=runtime, firmware_dir=FOREIGN / name)
    assert result["verdict"] == "fail"
    assert sentence in result["failure"].splitlines()[0] and "the firmware raised" in result["failure"].splitlines()[0]
    assert "pump.py" in result["failure"] and "Traceback" in result["failure"]
    assert rows(result)["the firmware ran to the end"]["ok"] is False


def test_a_firmware_that_never_returns_is_ended():
    scenario = load_scenario("baclofen")
    params, patient = parts(scenario)
    runner = InProcess(firmware_dir=FOREIGN / "stuck", stuck_s=0.2)
    result = play(scenario, World(Plant(params, patient, seed=1), runner, Recorder(None), epoch_s=scenario.start_pump_s))
    assert result["verdict"] == "fail" and result["failure"].startswith("the firmware's step 1 did not return within 0.2 s")


def with_faults(days, *entries, **changes):
    """The short baclofen scenario with faults at day 1, as events 90, 91, ..."""
    scenario = short("baclofen-b1", days)
    events = tuple(Event(90 + i, DAY_S, kind, values, values) for i, (kind, values) in enumerate(entries))
    return replace(scenario, events=tuple(sorted((*scenario.events, *events), key=lambda event: event.at_s)), **changes)


@pytest.mark.req("TH-RULE-13", "TH-PLANT-04")
def test_a_fault_that_changes_nothing_fails_the_run_and_says_so():
    result = run(with_faults(2, ("fault", {"name": "rotor_stall", "for": 2}), ("reed_held", {"for": 600})))
    fired = rows(result)["event 90 (fault rotor_stall) has fired"]
    assert result["verdict"] == "fail" and fired["ok"] is False and fired["value"] == "it changed nothing"
    assert not any("reed_held" in name for name in rows(result))
    stall, reed = result["faults"]
    assert (stall["name"], stall["fired_s"], reed["name"]) == ("rotor_stall", None, "reed_held")
    assert stall["set_s"] == pytest.approx(DAY_S, abs=2) and stall["cleared_s"] == pytest.approx(stall["set_s"] + 2) and reed["fired_s"] is not None


@pytest.mark.slow
def test_drawn_faults_need_not_fire_and_follow_from_the_seed():
    chances = (RandomFault("rotor_stall", None, 2000.0, 60, 7200), RandomFault("power_cut", None, 200.0, 1, 60), RandomFault("reed_held", None, 500.0, 60, 600))
    results = [run(replace(short("baclofen-b1", 3), random_faults=chances, seed=seed)) for seed in (5, 5, 6)]
    assert results[0]["faults"] == results[1]["faults"] != results[2]["faults"] and len(results[0]["faults"]) > 5
    assert results[0]["trace_hash"] == results[1]["trace_hash"]
    assert not any("has fired" in row["name"] for result in results for row in result["expectations"])
    assert all(result["verdict"] == "pass" for result in results), [row for row in results[0]["expectations"] if row["ok"] is False]


@pytest.mark.slow
def test_a_bad_line_of_the_scenario_must_hurt_something():
    good, hurt = run(short("baclofen-b1", 1, line="loss=0")), run(short("baclofen-b1", 1, line="pump.ber=1e-5,delay=1ms"))
    assert rows(good)["the bad line has fired"]["ok"] is False and good["verdict"] == "fail"
    assert "the bad line has fired" not in rows(hurt) and hurt["faults"][0]["fired_s"] is not None and hurt["line"]["spec"] == "pump.ber=1e-5,delay=1ms"


def test_a_field_in_the_surroundings_is_an_outage_for_the_oracle():
    field = Environment([Row(DAY_S * 10**6, "field_t", 1.5), Row((DAY_S + 7200) * 10**6, "field_t", 0.0)])
    result = run(short("baclofen-b1", 2, environment=field))
    assert result["verdict"] == "pass" and result["faults"] == []
    assert result["missed_by_cause_nl"]["stall"] == pytest.approx(2 / 24 * 300_000, rel=0.05)
