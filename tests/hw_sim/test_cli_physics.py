"""`thecal-sim physics` as a user meets it: a table, JSON, and 1 when a figure is off."""
import json

import pytest
from click.testing import CliRunner
from thecal.hw_sim import physics
from thecal.hw_sim.cli import cli


def call(*words):
    return CliRunner().invoke(cli, ["physics", *words], standalone_mode=False, catch_exceptions=False)


@pytest.fixture
def few(monkeypatch):
    """Only some rows, one of them off if asked for."""
    def make(off):
        rows = [row.as_dict() for row in physics.bore()]
        rows += [physics.Row("a made-up figure", 2.0, 1.0, 0.5, "uL", "nowhere").as_dict()] if off else []
        monkeypatch.setattr(physics, "checks", lambda: rows)
    return make


def test_the_table_is_printed_with_its_sources(few):
    few(off=False)
    result = call()
    assert (result.return_value or 0) == 0 and "4 of 4 figures as published or derived" in result.output
    assert "resistance of 80 cm of 0.53 mm bore" in result.output and "clinical.md 4 Poiseuille" in result.output


def test_a_figure_that_is_off_is_shown_and_is_status_1(few):
    few(off=True)
    result = call()
    assert result.return_value == 1 and "OFF" in result.output and "4 of 5" in result.output


def test_json_is_one_object(few):
    few(off=True)
    found = json.loads(call("--json").output)
    assert found["schema"] == "thecal.physics/1" and found["ok"] is False and len(found["rows"]) == 5
    assert found["rows"][-1]["value"] == 2.0
