"""The evidence folder's parts: what was asked for is a row, there or not; old files and missing commands are told; checksums of every file."""

import hashlib
import json
import os
import time

import pytest
from evidence_pieces import LEDGER, PHYSICS, RUN, bench, junit, left

from thecal.hw_sim import evidence, evidence_sources, requirements
from thecal.hw_sim.cli import cli
from thecal.hw_sim.evidence import Part, Plan

BENCHES = (*evidence.BENCHES, *evidence.TIMED)
ALL = frozenset({"faults", "physics", "run", *("bench " + name for name in BENCHES)})


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """`plan(...)`: a quick one of one scenario, everything left under out/."""
    monkeypatch.setattr(evidence, "JUNIT", tmp_path / "build" / "junit.xml")        # not that of this very tree

    def make(**changes):
        (tmp_path / "folder").mkdir(exist_ok=True)
        return Plan(**{"out": tmp_path / "folder", "commands": ALL, "quick": True, "taken": (tmp_path / "out",), "scenarios": ("stall",),
                       "outcomes": tmp_path / "none.json", **changes})
    return make


def everything(folder):
    pieces = [RUN, {**RUN, "runtime": "micropython"}, LEDGER, PHYSICS, *(bench(name) for name in BENCHES)]
    return left(folder, *pieces)


def by_name(parts):
    return {part.name: part for part in parts}


@pytest.mark.req("TH-EVID-02")
def test_nothing_that_was_asked_for_is_silently_absent(plan, tmp_path):
    parts = by_name(evidence.gather(plan(), lambda text: None))
    for name in ("ledger", "physics", "bench speed", "bench link", "bench trumpet", "bench latency", "run stall micropython", "run stall inprocess"):
        assert not parts[name].there and parts[name].told == "--quick, and there is none in %s" % (tmp_path / "out") and parts[name].state == "NOT THERE"
    assert parts["tests"].told.startswith("no test was run") and parts["traces"].told == "no scenario ran on micropython and inprocess"
    assert parts["requirements"].ok is False and "no outcomes at" in parts["requirements"].origin
    assert not evidence.manifest(plan(), list(parts.values()), "again", 0)["ok"]


@pytest.mark.req("TH-EVID-02")
def test_what_was_left_is_taken_with_its_file_and_date(plan, tmp_path):
    everything(tmp_path / "out")
    outcomes = tmp_path / "outcomes.json"
    tests = [{"id": "t", "requirements": sorted(requirements.load().ids), "outcome": "passed"}]
    outcomes.write_text(json.dumps({"schema": requirements.RESULTS_SCHEMA, "whole": True, "ran": 1, "tests": tests}))
    chosen = plan(junit=junit(tmp_path / "j.xml"), outcomes=outcomes)
    said = []
    parts = by_name(evidence.gather(chosen, said.append))
    assert all(part.there and part.ok is not False for name, part in parts.items() if name != "versions"), [part.row() for part in parts.values()]
    assert parts["ledger"].files == ["ledger.json"] and json.loads((chosen.out / "ledger.json").read_text()) == LEDGER
    assert parts["run stall inprocess"].files == ["runs/stall.inprocess.json"] and "piece0.json of 20" in parts["run stall inprocess"].origin
    assert parts["traces"].told == "1 of 1 scenarios have one trace on micropython and inprocess"
    assert parts["tests"].told == "4 tests: 3 passed, 0 failed, 1 skipped in 2 s" and (chosen.out / "junit.xml").is_file()
    assert len(said) == 10 and said[-1].startswith("10 of 10: bench link: ok") and parts["anomalies"].state == "said"


@pytest.mark.req("TH-EVID-04")
def test_field_actions_are_a_part_with_a_page_where_one_was_asked_for(plan, monkeypatch):
    assert "field actions" not in by_name(evidence.gather(plan(), lambda text: None))
    chosen = plan(scenarios=("field-valve",))
    part = by_name(evidence.gather(chosen, lambda text: None))["field actions"]
    assert part.there and part.ok is False and part.told.startswith("0 of 17 field-action scenarios pass; 4 actions are declared")
    assert part.files == ["field-actions.html", "field-actions.json"] and all((chosen.out / name).is_file() for name in part.files)
    monkeypatch.setattr(evidence.field_actions, "load", lambda: (_ for _ in ()).throw(evidence.FieldActionsError("field_actions.toml: no")))
    assert by_name(evidence.gather(chosen, lambda text: None))["field actions"].told == "field_actions.toml: no"


@pytest.mark.req("TH-EVID-02")
def test_a_file_older_than_the_commit_proves_nothing_of_it(plan, tmp_path):
    folder = everything(tmp_path / "out")
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    part = by_name(evidence.gather(plan(), lambda text: None))["ledger"]
    assert part.there and part.ok is False and part.told.startswith("OLDER THAN THE COMMIT: ") and part.origin.endswith("of 2001-09-09 01:46:40 UTC")


@pytest.mark.req("TH-EVID-02")
def test_a_ledger_of_some_hazards_is_not_the_ledger(plan, tmp_path):
    left(tmp_path / "out", {**LEDGER, "repeat": "thecal-sim faults --only mri@"})
    part = by_name(evidence.gather(plan(), lambda text: None))["ledger"]
    assert part.there and part.ok is False and part.told.startswith("ONLY WITH --only: ")


@pytest.mark.req("TH-EVID-02")
def test_tests_that_ran_before_are_taken_when_they_are_of_these_sources(plan, tmp_path):
    made = plan()
    ours = evidence.versions.digest()
    evidence.JUNIT.parent.mkdir()
    junit(evidence.JUNIT, sources=ours)
    outcomes = {"schema": requirements.RESULTS_SCHEMA, "whole": True, "ran": 1, "sources": ours,
                "tests": [{"id": "t", "requirements": sorted(requirements.load().ids), "outcome": "passed"}]}
    made.outcomes.write_text(json.dumps(outcomes))
    for path in (evidence.JUNIT, made.outcomes):
        os.utime(path, (1e9, 1e9))      # its date is nothing where the sources themselves are named
    parts = by_name(evidence.gather(made, lambda text: None))
    assert parts["tests"].ok and parts["tests"].origin.endswith("UTC, of these very sources") and (made.out / "junit.xml").is_file()
    assert parts["requirements"].ok and "of these very sources" in parts["requirements"].origin
    junit(evidence.JUNIT, sources="f" * 64)
    made.outcomes.write_text(json.dumps({**outcomes, "sources": None}))
    parts = by_name(evidence.gather(made, lambda text: None))
    assert parts["tests"].ok is False and parts["tests"].told.startswith("OF OTHER SOURCES (%s): 4 tests" % ("f" * 40))
    assert parts["requirements"].ok is False and parts["requirements"].told.startswith("OF OTHER SOURCES (changed while the tests ran): ")


def test_the_page_of_a_command_and_the_scenarios_of_the_ledger_come_along(plan, tmp_path):
    folder = left(tmp_path / "out", LEDGER)
    (folder / "index.html").write_text("the ledger")
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "stall-basal.toml").write_text("a row")
    left(tmp_path / "out" / "benches", bench("link"))
    (tmp_path / "out" / "benches" / "bench-link.html").write_text("the bench")
    made = plan()
    parts = by_name(evidence.gather(made, lambda text: None))
    assert parts["ledger"].files == ["ledger.html", "ledger-rows/stall-basal.toml", "ledger.json"] and (made.out / "ledger.html").read_text() == "the ledger"
    assert parts["bench link"].files == ["bench-link.html", "bench-link.json"] and (made.out / "ledger-rows" / "stall-basal.toml").is_file()


def test_two_traces_of_one_scenario_are_told(plan, tmp_path):
    left(tmp_path / "out", RUN, {**RUN, "runtime": "micropython", "trace_hash": "1" * 32})
    part = by_name(evidence.gather(plan(), lambda text: None))["traces"]
    assert part.ok is False and part.told.endswith("; NOT: stall")


@pytest.mark.req("TH-EVID-02")
def test_a_command_that_is_not_there_or_fails_is_a_row(plan, monkeypatch):
    made = {("physics", "--json"): PHYSICS}
    calls = []

    def child(words, out=None):
        calls.append(words)
        if words in made:
            return made[words]
        raise evidence_sources.EvidenceError("thecal-sim %s: status 1, no" % words[0])
    monkeypatch.setattr(evidence_sources, "child", child)
    parts = by_name(evidence.gather(plan(quick=False, commands=frozenset({"physics", "run", "bench speed"}), runtimes=("inprocess",)), lambda text: None))
    assert parts["ledger"].told == "this thecal-sim has no command 'faults'" and parts["bench link"].told == "this thecal-sim has no command 'bench link'"
    assert parts["physics"].state == "ok" and parts["physics"].origin == "thecal-sim physics --json"
    assert parts["run stall inprocess"].told == "thecal-sim run: status 1, no" and "traces" not in parts
    assert calls[-1] == ("bench", "speed", "--json"), "what is timed runs last, alone"


def test_a_bad_list_of_anomalies_or_outcomes_is_a_row_too(plan, monkeypatch, tmp_path):
    (tmp_path / "bad.json").write_text("{")
    monkeypatch.setattr(evidence.anomalies, "load", lambda wanted: (_ for _ in ()).throw(evidence.AnomaliesError("anomalies.toml: no")))
    parts = by_name(evidence.gather(plan(outcomes=tmp_path / "bad.json"), lambda text: None))
    assert parts["anomalies"].told == "anomalies.toml: no" and not parts["requirements"].there and "bad.json cannot be read" in parts["requirements"].told


def test_every_bench_that_we_have_is_a_part():
    group = cli.commands["bench"]
    assert {*BENCHES} == {*group.commands} and not {*evidence.BENCHES} & {*evidence.TIMED}


def test_shipped_scenarios_are_those_that_we_ship():
    assert {"stall", "baclofen-b1", "ziconotide-z4"} <= set(evidence.shipped()) and not any(name.startswith("bench-") for name in evidence.shipped())


def test_the_checksums_are_of_every_other_file(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.json").write_text("a")
    (tmp_path / "b").write_bytes(b"\0")
    for _ in range(2):
        assert evidence.seal(tmp_path) == 2
    assert (tmp_path / "SHA256SUMS").read_text() == "%s  b\n%s  runs/a.json\n" % (hashlib.sha256(b"\0").hexdigest(), hashlib.sha256(b"a").hexdigest())


def test_states_and_the_manifest(plan):
    parts = [Part("a", True, True, ""), Part("b", True, None, "")]
    assert evidence.manifest(plan(), parts, "again", time.time())["ok"]
    parts += [Part("c", True, False, ""), Part("d", False, False, "")]
    found = evidence.manifest(plan(), parts, "again", 0)
    assert [part["state"] for part in found["parts"]] == ["ok", "said", "NOT OK", "NOT THERE"] and not found["ok"] and found["made"] == "1970-01-01T00:00:00Z"
