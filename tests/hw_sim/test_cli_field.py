"""`thecal-sim field-actions` as a user meets it: paragraphs, JSON, a page with the reports, and 1 when one fails."""

import json

import pytest
from click.testing import CliRunner
from thecal.hw_sim import cli_field
from thecal.hw_sim.cli import cli


def call(*words):
    return CliRunner().invoke(cli, ["field-actions", *words], standalone_mode=False, catch_exceptions=False)


QUICK = ("--only", "field-valve", "--runtime", "inprocess")


@pytest.mark.req("TH-EVID-04")
def test_one_is_played_and_told_with_its_report(tmp_path):
    result = call(*QUICK, "--out", str(tmp_path))
    assert (result.return_value or 0) == 0 and "PASS  undated (Prometra II)" in result.output and "1 of 1 field-action scenarios pass" in result.output
    assert "the real device: the flow-activated valve closes" in result.output and "  here: no valve is in this pump" in result.output
    assert 'href="field-valve/report.html"' in (tmp_path / "index.html").read_text(encoding="utf-8") and (tmp_path / "field-valve" / "report.html").is_file()


def test_json_is_one_object_and_names_the_seed():
    result = call(*QUICK, "--seed", "4", "--json")
    found = json.loads(result.stdout)
    assert found["schema"] == "thecal.field/1" and found["ok"] is True and found["repeat"].endswith("--seed 4 --only field-valve")
    assert [(row["scenario"], row["seed"], row["verdict"]) for row in found["rows"]] == [("field-valve", 4, "pass")]


def test_what_fails_is_status_1_and_says_what(monkeypatch):
    run = {"verdict": "fail", "trace_hash": "abc", "seed": 1, "expectations": [{"name": "the stall is said", "ok": False}], "story": {}}
    monkeypatch.setattr(cli_field, "_played", lambda name, runtime, seed, out: run)
    result = call("--only", "field-valve")
    assert result.return_value == 1 and "NOT MET: the stall is said" in result.output


def test_an_unknown_name_is_one_sentence_and_status_2():
    result = call("--only", "field-none")
    assert result.return_value == 2 and "thecal-sim: --only field-none: it must be one of field-hours, " in result.output


def test_without_only_the_declared_ones_are_told_too(monkeypatch):
    run = {"verdict": "pass", "trace_hash": "abc", "seed": 1, "expectations": [], "story": {}}
    monkeypatch.setattr(cli_field, "_played", lambda name, runtime, seed, out: run)
    result = call()
    assert (result.return_value or 0) == 0 and "DECLARED  none found: a recall of bridge bolus software" in result.output and "17 of 17" in result.output
