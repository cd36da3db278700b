"""thecal-sim as a user meets it: exit status, one sentence on stderr, one JSON object on stdout, a clean end."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from thecal.hw_sim import bench as bench_room
from thecal.hw_sim import cli as module
from thecal.hw_sim.cli import cli
from thecal.hw_sim.scenario_file import FOLDER

pytestmark = pytest.mark.slow      # whole runs in processes of their own: for `make test`, not for daily work

FOREIGN = Path(__file__).parent / "foreign"
SIM = [sys.executable, "-c", "from thecal.hw_sim.cli import main; main()"]


@pytest.fixture
def short(tmp_path):
    """The bench pump for four days: long enough for an unprimed catheter to fill."""
    text = (FOLDER / "baclofen.toml").read_text(encoding="utf-8").replace('name = "baclofen"', 'name = "short"', 1).replace('"30 d"', '"4 d"')
    path = tmp_path / "short.toml"
    path.write_text(text, encoding="utf-8")
    return path


def call(*words):
    return CliRunner().invoke(cli, [str(word) for word in words], standalone_mode=False, catch_exceptions=False)


def status(result):
    return result.return_value or 0


def test_run_prints_verdict_figures_and_how_to_repeat(short, tmp_path):
    result = call("run", short, "--runtime", "inprocess", "--out", tmp_path / "out")
    assert status(result) == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "PASS on inprocess, firmware 0.1: Baclofen 400 ug/day: a filled and programmed pump"
    assert any(line.startswith("ok   no alarm") or line.startswith("ok  no alarm") for line in lines)
    assert "repeat: thecal-sim run %s --runtime inprocess --seed 1" % short in lines
    assert lines[-1] == "Simulated; not a medical device."
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Not a medical device" in page and "PASS" in page
    repeat = next(line for line in lines if line.startswith("repeat: ")).removeprefix("repeat: thecal-sim ")
    trace = next(line for line in lines if "trace " in line).rpartition(" ")[2]
    assert trace in call(*shlex.split(repeat)).stdout


def test_json_is_one_object_with_the_contract(short):
    result = call("run", short, "--runtime", "inprocess", "--json", "--seed", "7")
    found = json.loads(result.stdout)
    assert (found["schema"], found["verdict"], found["seed"], found["runtime"]) == ("thecal.run/1", "pass", 7, "inprocess")
    assert {"trace_hash", "virtual_s", "wall_s", "wakes", "pulses", "demanded_nl", "ordered_nl", "delivered_nl", "missed_nl", "alarms",
            "expectations", "repeat"} <= set(found)
    assert found["repeat"].endswith("--seed 7") and set(found["expectations"][0]) >= {"name", "ok", "value", "bound"}


@pytest.mark.micropython
def test_the_default_runtime_is_real_micropython_and_both_give_one_hash(short):
    real, inside = (json.loads(call("run", short, "--json", *more).stdout) for more in ((), ("--runtime", "inprocess")))
    assert real["runtime"] == "micropython"
    assert real["trace_hash"] == inside["trace_hash"]


def test_a_failed_expectation_is_status_1(short):
    short.write_text(short.read_text() + '\n[[expect]]\nname = "impossible"\nquantity = "mass_error"\nmin = 1\n')
    result = call("run", short, "--runtime", "inprocess")
    assert status(result) == 1
    assert result.stdout.startswith("FAIL on inprocess") and "NOT MET  impossible" in result.stdout


@pytest.mark.parametrize(("words", "sentence"), [
    (["run", "no-such"], "thecal-sim: no scenario is called 'no-such'; give a .toml file or one of: baclofen, baclofen-b1"),
    (["run", "gone.toml"], "thecal-sim: scenario file gone.toml does not exist"),
    (["run", "stall", "--runtime", "inprocess", "--exec", "'"], "thecal-sim: --exec \"'\" cannot be split into words"),
    (["run", "stall", "--exec", ""], "thecal-sim: --exec is empty"),
    (["run", "stall", "--exec", "no-such-program-here"], "thecal-sim: no-such-program-here cannot be started"),
    (["serve", "--tcp", "0", "--scenario", "no-such"], "thecal-sim: no scenario is called 'no-such'"),
])
def test_bad_usage_is_status_2_and_one_sentence(words, sentence):
    result = call(*words)
    assert status(result) == 2
    assert result.stderr.startswith(sentence) and result.stderr.count("\n") == 1 and result.stdout == ""


@pytest.mark.parametrize("words", [["run"], ["run", "stall", "--runtime", "pdp11"], ["run", "stall", "--firmware", "no-such-folder"],
                                   ["run", "stall", "--speed", "0"], ["serve"], ["serve", "--tcp", "70000"], ["replay", "no-such-file"], ["dance"]])
def test_click_refuses_the_rest_with_status_2(words):
    done = subprocess.run([*SIM, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "Error: " in done.stderr and done.stdout == ""


def test_a_bad_file_is_status_2(short):
    short.write_text(short.read_text().replace('"400 ug/day"\n\n[[expect]]', '"4000 ug/day"\n\n[[expect]]'))
    result = call("run", short)
    assert status(result) == 2 and "event 4 (program): daily dose of baclofen 4000 ug/day is above the hard limit" in result.stderr


def test_an_out_folder_that_cannot_be(short, tmp_path):
    (tmp_path / "file").write_text("")
    result = call("run", short, "--runtime", "inprocess", "--out", tmp_path / "file" / "x")
    assert status(result) == 2 and "cannot be written" in result.stderr


def test_missing_micropython_is_said_and_nothing_falls_back(short, monkeypatch):
    monkeypatch.setenv("MICROPYTHON", "no-such-micropython")
    result = call("run", short)
    assert status(result) == 2
    assert result.stderr == "thecal-sim: MICROPYTHON=no-such-micropython is not a program; unset it or point it at a MicroPython unix binary\n"


def test_a_crashing_runtime_shows_what_it_said(short):
    result = call("run", short, "--exec", "%s -c 'print(\"I am no firmware\")'" % sys.executable)
    assert status(result) == 1
    assert "ended with status 0" in result.stderr and "I am no firmware" in result.stderr and result.stdout.startswith("FAIL on exec")


def test_a_foreign_firmware_runs_and_a_failing_one_is_status_1(short):
    fine = call("run", short, "--runtime", "inprocess", "--firmware", FOREIGN / "steady")
    assert status(fine) == 0 and "n/a" in fine.stdout
    failed = call("run", short, "--runtime", "inprocess", "--firmware", FOREIGN / "raises")
    assert status(failed) == 1 and "ZeroDivisionError" in failed.stderr and "Traceback" in failed.stderr
    none = call("run", short, "--runtime", "inprocess", "--firmware", FOREIGN)
    assert status(none) == 1 and "has no pump.py" in none.stderr


def test_a_command_and_its_options_are_helped():
    for words in (["--help"], ["run", "--help"], ["serve", "--help"], ["replay", "--help"], ["bench", "speed", "--help"]):
        done = subprocess.run([*SIM, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "Usage: thecal-sim" in done.stdout


def test_control_c_ends_with_130_and_what_was_recorded(short, tmp_path):
    out = tmp_path / "out"
    child = subprocess.Popen([*SIM, "run", str(short), "--runtime", "inprocess", "--speed", "5000", "--json", "--out", str(out)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "samples.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2)
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=60)
    assert child.returncode == 130, stderr
    found = json.loads(stdout)
    assert found["verdict"] == "fail" and 0 < found["virtual_s"] < 4 * 86400
    assert stderr.startswith("thecal-sim: interrupted at day ") and stderr.count("\n") == 1
    assert (out / "report.html").exists() and len((out / "samples.csv").read_text().splitlines()) >= 2


# ------------------------------------------------------------------------------------------------ serve, replay, bench

def test_serve_record_and_replay(tmp_path):
    session, link = tmp_path / "session.jsonl", tmp_path / "pump0"
    child = subprocess.Popen([*SIM, "serve", "--speed", "20", "--tcp", "0", "--pty", str(link), "--runtime", "inprocess", "--scenario", "baclofen",
                              "--record", str(session), "--seconds", "60"], stderr=subprocess.PIPE, text=True)
    greeting = child.stderr.readline()
    assert "at 20x on socket://127.0.0.1:" in greeting and str(link) in greeting
    port = int(greeting.partition("127.0.0.1:")[2].split()[0])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"\x01\x02\x03\x00")       # noise is counted, not answered
        assert child.wait(timeout=60) == 0, child.stderr.read()
    assert not link.is_symlink()
    replayed = call("replay", session, "--json")
    found = json.loads(replayed.stdout)
    assert status(replayed) == 0 and found["ok"] and found["trace_hash"] == found["recorded"] and found["schema"] == "thecal.replay/1"
    lines = session.read_text().splitlines()
    session.write_text("\n".join([*lines[:-1], lines[-1].replace(found["recorded"], "0" * 32)]))
    changed = call("replay", session)
    assert status(changed) == 1 and changed.stdout.startswith("DIFFERENT")
    session.write_text(lines[0] + "\n")
    broken = call("replay", session)
    assert status(broken) == 2 and "is not a whole recorded session" in broken.stderr
    session.write_text("no json")
    assert status(call("replay", session)) == 2


def test_a_busy_port_is_status_3():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        result = call("serve", "--runtime", "inprocess", "--scenario", "none", "--tcp", taken.getsockname()[1], "--seconds", "1")
    assert status(result) == 3 and "cannot be opened: Address already in use" in result.stderr


def test_control_c_ends_serve_and_takes_its_link_away(tmp_path):
    link = tmp_path / "pump0"
    child = subprocess.Popen([*SIM, "serve", "--pty", str(link), "--runtime", "inprocess", "--scenario", "none"], stderr=subprocess.PIPE, text=True)
    assert "a pump on the shelf at 1x on %s" % link in child.stderr.readline()
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(timeout=30) == 130 and not link.is_symlink()


def test_bench_speed_prints_bars_and_fails_with_them(monkeypatch, tmp_path):
    good = {"name": "fast", "value": 1.5, "unit": "s", "bar": 10, "ok": True, "wakes": 3, "us_per_wake": 2.0, "child_peak_kib": 100}
    found = {"schema": "thecal.bench/1", "bench": "speed", "bars": [good, {**good, "name": "slow", "ok": False}], "bare_exchange_us": 6.0,
             "pinned": True, "host_peak_kib": 1, "python": "3"}
    monkeypatch.setattr(bench_room, "speed", lambda say: found)
    result = call("bench", "speed", "--out", tmp_path / "bench")
    assert status(result) == 1 and "MISSED" in result.stdout and "bare exchange 6.0 us" in result.stdout
    assert json.loads((tmp_path / "bench" / "bench-speed.json").read_text()) == found
    assert json.loads(call("bench", "speed", "--json").stdout) == found


def test_progress_is_drawn_on_a_terminal_only(monkeypatch):
    with module._bar("title", quiet=False) as progress:
        assert progress is None                 # no terminal under pytest
    monkeypatch.setattr(module, "_console", lambda stream: module.Console(file=stream, force_terminal=True, width=80))
    with module._bar("title", quiet=False) as progress:
        assert progress is not None
        progress(5, 10)
    with module._bar("title", quiet=True) as progress:
        assert progress is None


def test_sigterm_ends_serve_and_run_as_control_c_does(tmp_path, short):
    link, session, folders = tmp_path / "pump0", tmp_path / "session.jsonl", tmp_path / "tmp"
    folders.mkdir()
    child = subprocess.Popen([*SIM, "serve", "--pty", str(link), "--runtime", "inprocess", "--scenario", "none", "--record", str(session)],
                             stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folders)})
    assert "a pump on the shelf" in child.stderr.readline()
    child.terminate()
    assert child.wait(timeout=30) == 130 and not link.is_symlink() and list(folders.iterdir()) == []
    assert "trace_hash" in session.read_text().splitlines()[-1]
    out = tmp_path / "out"
    child = subprocess.Popen([*SIM, "run", str(short), "--runtime", "inprocess", "--speed", "5000", "--out", str(out)],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "pins.vcd").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    child.terminate()
    assert child.wait(timeout=60) == 130 and "interrupted" in child.stderr.read() and (out / "report.html").exists()


@pytest.mark.parametrize("runtime", ["inprocess", "micropython"])
def test_a_store_that_is_no_memory_is_status_2_and_untouched(tmp_path, runtime):
    store = tmp_path / "letter.txt"
    store.write_text("dear patient")
    result = call("serve", "--tcp", "0", "--runtime", runtime, "--scenario", "none", "--store", store, "--seconds", "1")
    assert status(result) == 2 and result.stderr == "thecal-sim: store %s has 12 bytes: a pump's memory has exactly 262144; it was left as it is\n" % store
    assert store.read_text() == "dear patient"


def test_a_session_on_a_used_store_replays_after_the_store_has_moved_on(tmp_path):
    store, session = tmp_path / "fram.bin", tmp_path / "session.jsonl"
    served = ["serve", "--tcp", "0", "--speed", "2000", "--runtime", "inprocess", "--scenario", "baclofen", "--store", store, "--seconds", "200"]
    assert status(call(*served)) == 0
    assert status(call(*served, "--record", session)) == 0
    replayed = call("replay", session, "--json")
    assert status(replayed) == 0, replayed.stdout + replayed.stderr


def test_a_firmware_that_exits_is_status_1(short, tmp_path):
    for name, text in (("importing", "import sys\nsys.exit(0)\n"), ("stepping", "class Pump:\n    def __init__(self, ports): pass\n    def step(self): "
                       "raise KeyboardInterrupt\n\nbuild = Pump\n")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "pump.py").write_text(text)
        result = call("run", short, "--runtime", "inprocess", "--firmware", folder)
        assert status(result) == 1 and ("SystemExit" in result.stderr or "KeyboardInterrupt" in result.stderr), result.stderr
