"""`thecal-sim requirements` as a user meets it: the matrix, its files, its exit status."""

import json

import click
import pytest
from click.testing import CliRunner

from thecal.hw_sim import requirements as rq
from thecal.hw_sim.cli import cli
from thecal.hw_sim.cli_requirements import page, summary


def call(*words):
    return CliRunner().invoke(cli, ["requirements", *map(str, words)], standalone_mode=False, catch_exceptions=False)


def status(result):
    return result.return_value or 0


@pytest.fixture
def outcomes(tmp_path):
    """`outcomes(leave_out=..., whole=...)`: a file in which every requirement but those has a test that passed."""
    def make(leave_out=(), whole=True):
        tests = [{"id": "t.py::" + name, "requirements": [name], "outcome": "passed"} for name in sorted(rq.load().ids - set(leave_out))]
        path = tmp_path / "outcomes.json"
        path.write_text(json.dumps({"schema": rq.RESULTS_SCHEMA, "whole": whole, "ran": len(tests), "tests": tests}), encoding="utf-8")
        return path
    return make


def test_all_proved_is_status_0_and_what_does_not_apply_is_told_with_its_reason(outcomes):
    result = call("--results", outcomes())
    assert status(result) == 0 and result.stderr == ""
    count = len(rq.load().rows)
    assert result.stdout.count("passed  TH-") == count and "%d of %d requirements are proved by a passing test" % (count, count) in result.stdout
    assert "TH-CAP-03" in result.stdout and "firmware/caps.py" in result.stdout and "REQ 29-39" in result.stdout
    below = result.stdout.partition("does not apply\n")[2]
    assert "air-in-line alarm" in below and "no implant has an air sensor" in below


@pytest.mark.slow
def test_one_without_a_test_is_status_1(outcomes):
    result = call("--results", outcomes(leave_out=["TH-CAP-03"]))
    assert status(result) == 1 and "NO TEST  TH-CAP-03" in result.stdout
    result = call("--results", outcomes(leave_out=["TH-CAP-03"], whole=False))
    assert status(result) == 1 and "NOT RUN  TH-CAP-03" in result.stdout and "is of a part of the tests" in result.stderr


def test_without_a_run_the_list_is_shown_and_nothing_is_proved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call()
    assert status(result) == 1 and "no outcomes at build/requirements.json: `make test` leaves them there" in result.stderr
    assert "NOT RUN  TH-MODE-01" in result.stdout


def test_the_run_of_this_folder_is_taken_by_itself(outcomes, tmp_path, monkeypatch):
    (tmp_path / "build").mkdir()
    outcomes().rename(tmp_path / "build" / "requirements.json")
    monkeypatch.chdir(tmp_path)
    assert status(call()) == 0


def test_json_and_the_files_are_one_object(outcomes, tmp_path):
    result = call("--results", outcomes(), "--json", "--out", tmp_path / "evidence")
    found = json.loads(result.stdout)
    assert found["schema"] == "thecal.requirements-matrix/1" and found["ok"] and found["rows"][0]["tests"] == ["t.py::TH-MODE-01"]
    assert json.loads((tmp_path / "evidence" / "requirements.json").read_text(encoding="utf-8")) == found
    html = (tmp_path / "evidence" / "requirements.html").read_text(encoding="utf-8")
    assert html.count('<td class="t mark">passed</td><td class="t">TH-CAP-03</td>') == 1 and "t.py::TH-CAP-03<" in html and "PROVED" in html and "Not a medical device" in html and "no implant has an air sensor" in html


def test_the_page_puts_what_is_open_on_top_and_escapes():
    found = rq.matrix(rq.load(), None)
    found["rows"][0]["text"] = "a <b> c"
    html = page(found)
    assert "Not proved" in html and html.count("a &lt;b&gt; c") == 2 and "<b>" not in html and "OPEN" in html
    assert summary(found).startswith("0 of %d requirements" % len(found["rows"]))


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_file_that_is_none_is_status_2(tmp_path, text):
    path = tmp_path / "o.json"
    path.write_text(text, encoding="utf-8")
    result = call("--results", path)
    assert status(result) == 2 and result.stderr.startswith("thecal-sim: ") and result.stdout == ""
    with pytest.raises(click.BadParameter, match="does not exist"):
        call("--results", tmp_path / "none.json")
