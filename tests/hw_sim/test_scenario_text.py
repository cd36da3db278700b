"""Scenarios written down: what is written is read again as it was."""

import tomllib

import pytest

from thecal.hw_sim.scenario import units
from thecal.hw_sim.scenario_text import text_of, when

TABLE = {"schema": "thecal.scenario/1", "name": "a \"quoted\" µ", "seed": 3, "implant": {"head": "reference", "on": True},
         "event": [{"at": "0 d", "kind": "program", "steps": [{"from": "00:00", "dose": "1 ug/h"}], "bolus": {"dose": "1 ug", "per_day": 4}}],
         "expect": [{"name": "x", "max": 1e-9}]}


def test_it_is_read_as_it_was_written():
    text = text_of(TABLE, "two lines\n\nof comment")
    assert tomllib.loads(text) == TABLE
    assert text.startswith("# two lines\n#\n# of comment\n")


def test_a_value_that_toml_does_not_have():
    with pytest.raises(TypeError, match="a scenario holds no NoneType"):
        text_of({"name": None, "event": []})


@pytest.mark.parametrize("seconds", [0, 59, 3600, 86_400, 86_400 * 3 + 3661, -86_400, -3 * 86_400 - 60])
def test_instants_are_read_again(seconds):
    assert units.duration_s(when(seconds), "at", negative=True) == seconds
