"""Bugs planted in a copy of the firmware: each is caught by ledger or oracle, and minimised to a scenario that our own firmware passes.

    cp -r firmware protocol /tmp/copy/      and change a line of it
    thecal-sim faults --thecal-firmware /tmp/copy --only rotor-stall --out /tmp/found
    thecal-sim minimise /tmp/found/scenarios/rotor-stall-c01.toml --thecal-firmware /tmp/copy --out small.toml
    thecal-sim run small.toml --thecal-firmware /tmp/copy
"""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from thecal.hw_sim.cli import cli

ROOT = Path(__file__).resolve().parents[2]
STALLED = 90      # a seed whose schedule has a stall of its own
BUGS = {
    # the sign of the step that the remainder adds to a pulse now and then: 0.5 nL a pulse too little, for ever
    "sign": ("firmware/ledger.py", "steps += 1", "steps -= 1"),
    # the lockout counts from the start of a bolus
    "lockout": ("firmware/bolus.py", "put(self._settings.bolus_state, 0, 4, at_s + 1)",
                "put(self._settings.bolus_state, 0, 4, at_s - self.seconds + 1)"),
    # nobody looks for a stall below 0.2 mL a day
    "stall": ("firmware/supervisor.py", "return self.lost_in_a_row >= STALL_PULSES or (self.lost_in_a_row > 0 and",
              "return self._rate >= 200000 and (self.lost_in_a_row > 0 and"),
    # nobody looks for a stall at all
    "no stall": ("firmware/supervisor.py", "return self.lost_in_a_row >= STALL_PULSES or", "return False and"),
    # the buzzer is never told
    "mute": ("firmware/app.py", "self.ports.tone.sound(self.alarms.tone)", "pass"),
    # the low reservoir rings whatever is in it
    "false alarm": ("firmware/sensing.py", "if contents.low(daily_nl) or contents.sensed_ul <= contents.residual_ul + REST_UL:\n            self._scarce(daily_nl, faulty)",
                    "self._app.alarm(al.LOW, True, contents.sensed_ul, contents.usable_nl())"),
    # a record is believed whatever its CRC says
    "crc": ("firmware/slots.py", "return buffer[0] == VERSION and buffer[size] == crc & 0xFF and buffer[size + 1] == crc >> 8", "return buffer[0] == VERSION"),
}


@pytest.fixture
def copy(tmp_path):
    """`copy(bug)`: a folder with our firmware and protocol, one line of it changed."""
    def make(bug):
        folder, (name, right, wrong) = tmp_path / "copy", BUGS[bug]
        for room in ("firmware", "protocol"):
            shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
        text = (folder / name).read_text(encoding="utf-8")
        assert text.count(right) == 1, "the line of this bug is no longer there"
        (folder / name).write_text(text.replace(right, wrong), encoding="utf-8")
        return folder

    return make


def ran(*words):
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)


def minimised(scenario, folder, out):
    """The file that is left, run on the copy and on our own firmware; its events."""
    small = out / "small.toml"
    done = ran("minimise", scenario, "--thecal-firmware", folder, "--runtime", "inprocess", "--out", small)
    assert done.exit_code == 0, done.output
    assert ran("run", small, "--thecal-firmware", folder, "--runtime", "inprocess", "--quiet").exit_code == 1
    ours = json.loads(ran("run", small, "--runtime", "inprocess", "--quiet", "--json").stdout)
    table = tomllib.loads(small.read_text(encoding="utf-8"))
    wanted = {entry["name"] for entry in table.get("expect", [])}
    assert not [row for row in ours["expectations"] if row["name"] in wanted and row["ok"] is False]
    return [event["kind"] for event in table["event"]]


@pytest.mark.slow
@pytest.mark.req("TH-RULE-12")
@pytest.mark.parametrize("bug, row, why, left", [
    ("lockout", "request-in-lockout@bolus", "should have been refused", ["implant", "fill", "program", "request", "request"]),
    ("stall", "rotor-stall@c01", "nothing noticed it", ["implant", "fill", "program", "fault"]),
])
def test_the_ledger_catches_it(bug, row, why, left, copy, tmp_path):
    folder = copy(bug)
    done = ran("faults", "--only", row, "--thecal-firmware", folder, "--runtime", "inprocess", "--jobs", 1, "--json", "--out", tmp_path / "found")
    assert done.exit_code == 1
    line, = json.loads(done.stdout)["rows"]
    assert line["ok"] is False and any(why in text for text in line["why"])
    scenario, = (tmp_path / "found" / "scenarios").glob("*.toml")
    assert minimised(scenario, folder, tmp_path) == left


@pytest.mark.slow
@pytest.mark.req("TH-RATE-07")
def test_the_oracle_catches_it_in_a_random_schedule(copy, tmp_path):
    folder = copy("sign")
    done = ran("faults", "--random", 2, "--seed", 100, "--only", "rotor-stall@c2", "--thecal-firmware", folder, "--runtime", "inprocess",
               "--out", tmp_path)
    assert done.exit_code == 1 and "it fails: ordered within one pulse of demanded" in done.output
    scenario, = tmp_path.glob("random-*.toml")
    kinds = [event["kind"] for event in tomllib.loads(scenario.read_text(encoding="utf-8"))["event"]]
    assert kinds == ["implant", "fill", "program"]      # it needs no fault at all
    assert ran("run", scenario, "--thecal-firmware", folder, "--runtime", "inprocess", "--quiet").exit_code == 1


@pytest.mark.slow
@pytest.mark.req("TH-RULE-12")
@pytest.mark.parametrize("bug, row, why", [
    ("mute", "rotor-stall@c05", "alarm 7 stood"), ("mute", "level-stuck@c05", "alarm 21 stood"),
    ("false alarm", "reed-held@c05", "false alarms: alarm 19"), ("false alarm", "clock-jump@c01", "false alarms: the healthy twin raises alarm 19"),
    ("crc", "torn-write@c05", "the bound is"), ("crc", "store-flip@c05", "nothing noticed it"),
])
def test_the_ledger_hears_and_believes_nothing(bug, row, why, copy):
    """What was once taken for ok: a mute pump, one that rings without a cause, one whose own boot was taken for the repair."""
    done = ran("faults", "--only", row, "--thecal-firmware", copy(bug), "--runtime", "inprocess", "--jobs", 1, "--json")
    line, = json.loads(done.stdout)["rows"]
    assert done.exit_code == 1 and line["ok"] is False and any(why in text for text in line["why"]), line


@pytest.mark.slow
@pytest.mark.req("TH-ALM-07")
def test_a_random_schedule_finds_what_is_not_detected(copy, tmp_path):
    """Of the schedules that draw a stall which stands alone long enough this one is the first."""
    done = ran("faults", "--random", 1, "--seed", STALLED, "--only", "rotor-stall@c05", "--thecal-firmware", copy("no stall"), "--runtime", "inprocess",
               "--out", tmp_path)
    assert done.exit_code == 1 and "it fails: alarm 7 of rotor_stall" in done.output, done.output
    scenario, = tmp_path.glob("random-*.toml")
    kinds = [event["kind"] for event in tomllib.loads(scenario.read_text(encoding="utf-8"))["event"]]
    assert kinds == ["implant", "fill", "program", "fault"] and "the fewest" in done.output
