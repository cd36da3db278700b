"""`thecal-sim evidence` as a user meets it: the folder, its checksums, its status, and what it refuses in one sentence."""

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from evidence_pieces import LEDGER, PHYSICS, RUN, bench, junit, left

from thecal.hw_sim import evidence as room
from thecal.hw_sim import versions
from thecal.hw_sim.cli import cli


def call(*words):
    return CliRunner().invoke(cli, ["evidence", *map(str, words)], standalone_mode=False, catch_exceptions=False)


def status(result):
    return result.return_value or 0


@pytest.mark.req("TH-EVID-02")
def test_quick_takes_what_is_there_and_says_what_is_not(tmp_path):
    folder = left(tmp_path / "old", RUN, LEDGER, bench("link"))
    result = call("--out", tmp_path / "new" / "folder", "--quick", "--from", folder, "--scenario", "stall", "--junit", junit(tmp_path / "j.xml", failed=1), "--json")
    found = json.loads(result.stdout)
    assert status(result) == 1 and found["schema"] == "thecal.evidence/1" and not found["ok"] and found["repeat"].startswith("thecal-sim evidence --out ")
    states = {part["name"]: part["state"] for part in found["parts"]}
    assert states["ledger"] == "ok" and states["physics"] == "NOT THERE" and states["tests"] == "NOT OK" and found["parts"][1]["told"].endswith("; NOT: t::f0") and states["run stall inprocess"] == "ok"
    out = tmp_path / "new" / "folder"
    assert json.loads((out / "evidence.json").read_text()) == found and "Not there, or not holding" in (out / "index.html").read_text()
    assert "1 of 10: " in result.stderr
    named = {line.split("  ")[1] for line in (out / "SHA256SUMS").read_text().splitlines()}
    assert named == {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} - {"SHA256SUMS"} and "runs/stall.inprocess.json" in named


def test_all_there_is_status_0(tmp_path, monkeypatch):
    folder = left(tmp_path / "old", RUN, {**RUN, "runtime": "micropython"}, LEDGER, PHYSICS, *(bench(name) for name in (*room.BENCHES, *room.TIMED)))
    clean = {**versions.versions(), "micropython": "1.28", "sources": {"sha256": "5" * 64, "commit": "c" * 40, "committed_s": 0, "clean": True, "changed": [], "why": ""}}
    monkeypatch.setattr(room.versions, "versions", lambda: clean)
    ids = sorted(room.requirements.load().ids)
    (tmp_path / "o.json").write_text(json.dumps({"schema": room.requirements.RESULTS_SCHEMA, "whole": True, "ran": 1,
                                                 "tests": [{"id": "t", "requirements": ids, "outcome": "passed"}]}))
    words = ["--quick", "--from", folder, "--scenario", "stall", "--junit", junit(tmp_path / "j.xml"), "--results", tmp_path / "o.json"]
    result = call("--out", tmp_path / "new", *words)
    assert status(result) == 0 and "COMPLETE: " in result.stdout and "2 scenario runs passed" in result.stdout, result.stdout
    again = call("--out", tmp_path / "new", *words)
    assert status(again) == 2 and again.stderr == "thecal-sim: --out %s is not empty: evidence of two runs must not mix; name a new folder\n" % (tmp_path / "new")


def test_what_cannot_be_asked_for_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    for words, told in (
            (["--from", tmp_path], "is for --quick: without it everything is made anew"), (["--tests", "t", "--quick"], "--tests t with --quick: nothing would be run"),
            (["--scenario", "nonesuch"], "no scenario is called 'nonesuch'"), (["--scenario", "stall", "--scenario", "stall"], "--scenario stall stands twice"),
            (["--quick", "--junit", tmp_path / "file"], "is no JUnit file")):
        result = call("--out", tmp_path / "new", *words)
        assert status(result) == 2 and told in result.stderr and result.stderr.count("\n") == 1 and result.stdout == "", result.stderr
        assert not (tmp_path / "new").exists()
    with pytest.raises(click.MissingParameter):
        call("--quick")
    result = call("--out", tmp_path / "file" / "below", "--quick")
    assert status(result) == 2 and "cannot be written: Not a directory" in result.stderr


def test_it_knows_its_own_commands(tmp_path):
    from thecal.hw_sim.cli_evidence import _commands
    found = _commands(click.Context(cli.commands["evidence"], parent=click.Context(cli)))
    assert {"run", "requirements", "bench", "bench speed", "bench link"} <= found


@pytest.mark.slow
@pytest.mark.micropython
@pytest.mark.req("TH-EVID-02")
def test_a_real_run_on_both_runtimes_with_tests_of_its_own(tmp_path, monkeypatch):
    """In a process of its own; the benches and the ledger, which take minutes, are left out of what this thecal-sim can do."""
    (tmp_path / "test_mine.py").write_text("@__import__('pytest').mark.thecal(runtime='inprocess')\ndef test_a(pump): assert pump.status().mode == 'running'\n")
    script = ("from thecal.hw_sim import cli_evidence\nfrom thecal.hw_sim.cli import main\n"
              "cli_evidence._commands = lambda context: frozenset({'run'})\nmain()")
    done = subprocess.run([sys.executable, "-c", script, "evidence", "--out", "new", "--scenario", "stall", "--tests", "test_mine.py", "--json"],
                          cwd=tmp_path, capture_output=True, text=True, timeout=240)
    parts = {part["name"]: part for part in json.loads(done.stdout)["parts"]}
    assert done.returncode == 1 and parts["traces"]["state"] == "ok" and parts["tests"]["told"].startswith("1 tests: 1 passed"), done.stderr
    assert parts["run stall micropython"]["state"] == "ok" and parts["ledger"]["told"] == "this thecal-sim has no command 'faults'"
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path / "new").returncode == 0
