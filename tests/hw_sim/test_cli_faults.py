"""`thecal-sim faults` and `minimise`: output, exit status, what is written, and what is refused."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from thecal.hw_sim import ledger_seeds
from thecal.hw_sim.cli import cli
from thecal.hw_sim.cli_faults import chosen, declared_lacks, repeat
from thecal.hw_sim.ledger import Bench
from thecal.hw_sim.scenario import ScenarioError

STEADY = Path(__file__).parent / "foreign" / "steady"
# DESIGN 13: scripts rely on these.
CONTRACT = {"hazard", "fault", "requirement", "declared", "fired", "detected", "detect_s", "dose_error_nl", "final_state", "ok"}
ROW = ["--runtime", "inprocess", "--jobs", "1", "--only", "clock-jump@c01"]


def ran(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.mark.slow
def test_a_row_its_files_and_an_expectation(tmp_path):
    expected = tmp_path / "expected.json"
    done = ran("faults", *ROW, "--json", "--out", tmp_path / "out", "--expect", expected, "--write-expected")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    row, = found["rows"]
    assert found["schema"] == "thecal.ledger/1" and found["ok"] and row["ok"] and row["by"] == "alarm 12" and CONTRACT <= set(row)
    assert row["over_seeds"] == "8 of 8", "as committed"
    assert json.loads((tmp_path / "out" / "ledger.json").read_text()) == found
    assert "Ledger of hazards" in (tmp_path / "out" / "index.html").read_text()
    scenario = tmp_path / "out" / "scenarios" / "clock-jump-c01.toml"
    assert ran("run", scenario, "--runtime", "inprocess", "--quiet").exit_code == 0
    assert ran("minimise", scenario, "--runtime", "inprocess").exit_code == 2
    expected.write_text(expected.read_text().replace('"alarm 12"', '"alarm 7"'))
    again = ran("faults", *ROW, "--expect", expected)
    assert again.exit_code == 1 and "not as expected: clock-jump@c01: by is alarm 12, expected alarm 7" in again.output


@pytest.mark.slow
def test_a_foreign_firmware_is_judged_and_what_it_lacks_is_not_applicable():
    words = ["--runtime", "inprocess", "--jobs", 1, "--firmware", STEADY, "--lacks", "level", "--json", "--only"]
    row, = json.loads(ran("faults", *words, "theft@c01").stdout)["rows"]
    assert row["ok"] is None and "lacks level" in row["why"][0]
    done = ran("faults", *words, "rotor-stall@c01")
    row, = json.loads(done.stdout)["rows"]
    assert done.exit_code == 1 and row["fired"] and not row["detected"] and row["why"] == ["nothing noticed it"]


def test_what_a_foreign_firmware_declares_it_has_not_is_not_held_against_it():
    words = ["--runtime", "inprocess", "--jobs", 1, "--firmware", STEADY, "--json", "--lacks", "telemetry", "--lacks", "tone", "--lacks", "probe"]
    rows = json.loads(ran("faults", *words, "--only", "runaway@c05", "--only", "rotor-stall@c05", "--only", "power-cut@c05").stdout)["rows"]
    found = {row["id"]: (row["ok"], row["outcome"], row["why"]) for row in rows}
    assert found == {"power-cut@c05": (True, "survived", []),
                     "rotor-stall@c05": (None, "", ["n/a: this firmware declares that it lacks telemetry, tone"]),
                     "runaway@c05": (None, "", ["n/a: this firmware declares that it lacks probe"])}


def test_lacks_of_a_foreign_pump_is_read_and_not_run(tmp_path):
    (tmp_path / "pump.py").write_text('LACKS = ("level", "clock")\nraise SystemExit\n')
    assert declared_lacks(tmp_path) == ("level", "clock")
    (tmp_path / "pump.py").write_text('LACKS = ("luck",)\n')
    with pytest.raises(ScenarioError, match="LACKS holds 'luck', it must be among"):
        declared_lacks(tmp_path)
    assert declared_lacks(tmp_path / "none") == ()


@pytest.mark.slow
@pytest.mark.parametrize("words, said", [
    (["--only", "no-such-row"], "no row matches no-such-row"),
    (["--observer", "nothing"], "--observer 'nothing' must be module:function"),
    (["--exec", "a", "--firmware", "."], "--firmware and --exec exclude each other"),
    (["--exec", "'"], "cannot be split into words"),
    (["--hazards", "none.toml"], "none.toml cannot be read"),
    (["--only", "clock-jump@c01", "--runtime", "inprocess", "--expect", "none.json", "--jobs", "1"], "none.json cannot be read"),
])
def test_what_is_refused(words, said):
    done = ran("faults", *words)
    assert done.exit_code == 2 and said in done.output, done.output


@pytest.mark.slow
def test_a_random_schedule_that_passes():
    done = ran("faults", "--random", 1, "--seed", 3, "--mean", 1, "--only", "rotor-stall@c01", "--runtime", "inprocess")
    assert done.exit_code == 0 and "1 schedules, none fails" in done.output


def test_patterns_and_the_way_to_repeat():
    assert [chosen("rotor-stall@c05", patterns) for patterns in ((), ("@c05",), ("rotor*",), ("b",))] == [True, True, True, False]
    assert repeat(Bench(seed=4, lacks=("level",)), ("x",)) == "thecal-sim faults --runtime micropython --seed 4 --only x --lacks level"


@pytest.mark.slow
@pytest.mark.micropython
@pytest.mark.req("TH-RULE-12", "TH-RULE-13", "TH-SUP-03", "TH-SUP-06", "TH-ALM-05", "TH-ALM-07")
@pytest.mark.timeout(1800)
def test_the_whole_ledger_on_real_micropython():
    """Every row fires and is ok, and nothing differs from the committed expectation. Two minutes on two free cores."""
    done = ran("faults", "--json")
    found = json.loads(done.stdout)
    assert [(row["id"], row["why"]) for row in found["rows"] if not row["ok"] or not row["fired"]] == []
    assert found["differences"] == [] and done.exit_code == 0


def test_several_seeds_are_told_and_not_held_against_one(tmp_path):
    shares = tmp_path / "shares.json"
    done = ran("faults", *ROW, "--seeds", 2, "--out", tmp_path, "--expect", shares, "--write-expected")
    assert done.exit_code == 0, done.output
    assert {name: row["count"] for name, row in ledger_seeds.read(shares).items()} == {"clock-jump@c01": 2}
    assert "2/2" in done.stdout and "--seeds 2" in done.stdout and "not as expected" not in done.stdout
    found = json.loads((tmp_path / "ledger.json").read_text())
    assert found["seeds"] == 2 and found["rows"][0]["seeds"]["noticed"] == 2 and "Over 2 seeds" in (tmp_path / "index.html").read_text()
