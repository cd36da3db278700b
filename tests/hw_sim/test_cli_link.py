"""`thecal-sim attack`, `bench link` and `--line` as a user meets them; one live chain: pump, attacker, programmer, and the capture decoded."""

import json
import signal
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from thecal.hw_sim import bench_link
from thecal.hw_sim.cli import cli

pytestmark = pytest.mark.slow      # whole runs in processes of their own: for `make test`, not for daily work

SIM = [sys.executable, "-c", "from thecal.hw_sim.cli import main; main()"]
HOST = [sys.executable, "-m", "thecal"]


def call(*words):
    return CliRunner().invoke(cli, [str(word) for word in words], standalone_mode=False, catch_exceptions=False)


def status(result):
    return result.return_value or 0


def started(*words):
    """A child, and the TCP port that its greeting names first."""
    child = subprocess.Popen([*SIM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    greeting = child.stderr.readline()
    assert "127.0.0.1:" in greeting, greeting + child.stderr.read()
    return child, greeting.partition("127.0.0.1:")[2].split()[0].rstrip(";")


def test_an_attacker_between_a_live_pump_and_its_programmer(tmp_path):
    capture = tmp_path / "c.jsonl"
    pump, port = started("serve", "--tcp", "0", "--runtime", "inprocess", "--scenario", "baclofen", "--line", "pump.dup=0.5")
    attacker, door = started("attack", "--listen", "0", "--to", "socket://127.0.0.1:" + port, "--rule", "duplicate,from=host",
                             "--capture", str(capture), "--json")
    try:
        told = subprocess.run([*HOST, "--port", "socket://127.0.0.1:" + door, "status", "--json"], capture_output=True, text=True, timeout=60)
        assert told.returncode == 0 and json.loads(told.stdout)["status"]["mode"] == "running", told.stderr
    finally:
        for child in (attacker, pump):
            child.send_signal(signal.SIGINT)
        said, errors = attacker.communicate(timeout=30)
        _, pump_errors = pump.communicate(timeout=30)
    assert attacker.returncode == pump.returncode == 130, errors
    found = json.loads(said)
    assert found["schema"] == "thecal.attack/1" and found["counts"]["heard"] > 8 and found["counts"]["duplicate"] > 4
    line = pump_errors.strip().splitlines()[-1]
    assert line.startswith("line: to the pump ") and "from the pump" in line and "doubled" in line
    shown = subprocess.run([*HOST, "decode", str(capture)], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0 and "identity_reply" in shown.stdout and "status_reply" in shown.stdout and "frames, " in shown.stderr


def test_a_reordered_line_is_told_of_and_recorded(tmp_path):
    """Half of all that either side says comes late, behind the next or after 80 ms; the programmer gets its answer all the same."""
    capture = tmp_path / "c.jsonl"
    pump, port = started("serve", "--tcp", "0", "--runtime", "inprocess", "--scenario", "baclofen")
    attacker, door = started("attack", "--listen", "0", "--to", "socket://127.0.0.1:" + port, "--rule", "reorder=0.5,behind=1,for=80ms",
                             "--capture", str(capture), "--json")
    try:
        told = subprocess.run([*HOST, "--port", "socket://127.0.0.1:" + door, "status", "--json"], capture_output=True, text=True, timeout=60)
    finally:
        for child in (attacker, pump):
            child.send_signal(signal.SIGINT)
        said, errors = attacker.communicate(timeout=30)
        pump.communicate(timeout=30)
    assert told.returncode == 0 and json.loads(told.stdout)["status"]["mode"] == "running", told.stderr
    counts = json.loads(said)["counts"]
    assert counts["reorder"] > 4 and counts["let_go"] <= counts["reorder"] <= counts["let_go"] + 3, errors
    rows = [json.loads(line) for line in capture.read_text().splitlines()[1:]]
    held, late = [row["sent"] for row in rows if not row["hex"]], [row["hex"] for row in rows if row.get("sent") == ""]
    assert len(held) == counts["reorder"] and len(late) == counts["let_go"] and set(late) <= set(held)


@pytest.mark.parametrize(("words", "code", "sentence"), [
    (["--listen", "0", "--to", "socket://127.0.0.1:1"], 3, "thecal-sim: --to socket://127.0.0.1:1 cannot be opened"),
    (["--listen", "0", "--to", "x", "--rule", "dance"], 2, "thecal-sim: rule 'dance': action is 'dance', known are"),
    (["--listen", "0", "--to", "x", "--capture", "no/such/folder"], 3, "thecal-sim: No such file or directory")])
def test_what_cannot_be_attacked(words, code, sentence):
    result = call("attack", *words)
    assert status(result) == code and result.stderr.startswith(sentence) and result.stderr.count("\n") == 1


def test_a_capture_that_is_none_and_a_door_that_is_missing(tmp_path):
    (tmp_path / "x").write_text("nothing")
    result = call("attack", "--listen", "0", "--to", "x", "--load", tmp_path / "x")
    assert status(result) == 2 and "is no capture: line 1 cannot be read" in result.stderr
    done = subprocess.run([*SIM, "attack", "--to", "x"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "nowhere to listen" in done.stderr


def test_an_attack_has_an_end():
    with socket.create_server(("127.0.0.1", 0)) as pump:
        result = call("attack", "--listen", "0", "--to", "socket://127.0.0.1:%d" % pump.getsockname()[1], "--rule", "flood=100/s,with=garbage", "--seconds", "0.2")
    assert status(result) == 0 and result.stdout.startswith("heard 0, sent ") and "flood frames" in result.stdout


@pytest.mark.parametrize("words", [["run", "baclofen", "--runtime", "inprocess"], ["serve", "--tcp", "0", "--runtime", "inprocess", "--scenario", "none"]])
def test_a_line_that_cannot_be_is_status_2(words):
    result = call(*words, "--line", "loss=2")
    assert status(result) == 2 and result.stderr == "thecal-sim: line: loss is 2, it must lie between 0 and 1\n"


def test_a_run_over_a_bad_line_says_what_it_did_and_repeats():
    words = ["run", "stall", "--runtime", "inprocess", "--line", "dup=0.5,delay=5ms,ber=1e-6"]
    found, again = (json.loads(call(*words, "--json").stdout) for _ in range(2))
    assert found["trace_hash"] == again["trace_hash"] and found["line"] == again["line"]
    assert found["line"]["spec"] == "dup=0.5,delay=5ms,ber=1e-6" and found["line"]["host"]["doubled"] > 10 and found["line"]["pump"]["delayed"] > 10
    assert found["repeat"].endswith("--seed 1 --line dup=0.5,delay=5ms,ber=1e-6")
    plain = json.loads(call(*words[:4], "--json").stdout)
    assert plain["line"]["spec"] is None and plain["trace_hash"] != found["trace_hash"]
    assert "line: to the pump " in call(*words).stdout


@pytest.mark.micropython
def test_a_bad_line_gives_one_hash_on_both_runtimes():
    words = ["run", "stall", "--line", "loss=0.05,replay=0.1,burst=0.02,ber=1e-5,delay=3ms,jitter=2ms", "--json"]
    real, inside = (json.loads(call(*words, "--runtime", runtime).stdout) for runtime in ("micropython", "inprocess"))
    assert real["trace_hash"] == inside["trace_hash"] and real["line"] == inside["line"] and real["line"]["host"]["lost"] > 0


def test_a_recorded_session_over_a_bad_line_replays(tmp_path):
    session = tmp_path / "s.jsonl"
    pump, port = started("serve", "--speed", "20", "--tcp", "0", "--runtime", "inprocess", "--scenario", "none", "--line", "loss=0.5,dup=0.5", "--record", str(session),
                         "--seconds", "40")
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as line:
        for number in range(1, 20):
            line.sendall(bytes((3, number, 1, 0)))
        assert pump.wait(timeout=60) == 0, pump.stderr.read()
    replayed = call("replay", session, "--json")
    assert status(replayed) == 0 and json.loads(replayed.stdout)["ok"]


def test_bench_link_prints_bars_and_fails_with_them(monkeypatch, tmp_path):
    good = {"name": "log download", "value": 0.9, "unit": "1", "bar": 0.85, "ok": True}
    found = {"schema": "thecal.bench/1", "bench": "link", "bars": [good, {**good, "name": "slow", "ok": False}],
             "figures": [{"name": "a status", "value": 15.4, "unit": "ms"}], "notes": ["32-bit: n/a, no Node"], "python": "3"}
    monkeypatch.setattr(bench_link, "link", lambda say: found)
    result = call("bench", "link", "--out", tmp_path / "bench")
    assert status(result) == 1 and "MISSED" in result.stdout and "a status" in result.stdout and "n/a, no Node" in result.stdout
    assert json.loads((tmp_path / "bench" / "bench-link.json").read_text()) == found
    assert json.loads(call("bench", "link", "--json").stdout) == found
    found["bars"].pop()
    assert status(call("bench", "link")) == 0
