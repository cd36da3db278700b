"""Rows of the verdict that nobody wrote down: judged on behind an alarm that the oracle cannot follow, and what is not judged is named."""

from pathlib import Path

import pytest

from thecal.hw_sim.oracle_rows import AGREES, DEMANDED, HEADS, ORDERED, PREFIX, expectation, unjudged
from thecal.hw_sim.player import play
from thecal.hw_sim.scenario import load_scenario, new_world

SCENARIO = """schema = "thecal.scenario/1"
name = "unjudged"
title = "a pump whose head lets through what it should not"
source = "constructed"
confidence = "C: constructed"
duration = "3 d"
start = "2026-01-05 09:00"
seed = 1
%s
[implant]
head = "reference"
reservoir = "reference-20ml"
catheter = "80 cm"
serial = 1
[patient]
model = "adult"
drug = "baclofen"
dose = "400 ug/day"
[[event]]
at = "0 d"
kind = "implant"
[[event]]
at = "0 d"
kind = "fill"
drug = "baclofen"
volume = "20 mL"
concentration = "2000 ug/mL"
[[event]]
at = "0 d"
kind = "prime"
[[event]]
at = "1 h"
kind = "program"
mode = "simple"
dose = "400 ug/day"
%s
"""
FREE_FLOW = '[[event]]\nat = "1 d"\nkind = "fault"\nname = "free_flow"\nvalue = 1e-3\n'


def played(folder, top="", events=""):
    path = folder / "unjudged.toml"
    path.write_text(SCENARIO % (top, events), encoding="utf-8")
    made = load_scenario(path)
    return play(made, new_world(made, runtime="inprocess"))


def found(result):
    return {row["name"]: row for row in result["expectations"]}


@pytest.mark.req("TH-RATE-07")
def test_free_flow_is_no_longer_a_pass_because_the_pump_says_so(tmp_path):
    """Row 2 stops the pump; what goes through the tip meanwhile is not what was ordered."""
    result = played(tmp_path, events=FREE_FLOW)
    rows = found(result)
    assert 2 in {alarm["code"] for alarm in result["alarms"]} and result["verdict"] == "fail" and result["unjudged"] == []
    assert rows[PREFIX + HEADS[0]]["ok"] is False and rows[DEMANDED]["ok"] and rows[ORDERED]["ok"] and rows[PREFIX + HEADS[1]]["ok"]


@pytest.mark.parametrize("top, verdict", [("", "fail"), ('[oracle]\nunjudged = "row 11 tries a pulse an hour"', "pass")])
def test_what_is_not_judged_is_named_and_must_be_allowed(top, verdict, tmp_path, monkeypatch):
    monkeypatch.setattr("thecal.hw_sim.declared.UNJUDGED", (22, 11))      # no pump here has the sensor of row 11: fever stands for it
    fever = '[[event]]\nat = "1 d"\nkind = "fault"\nname = "temperature_c"\nvalue = 40.0\n'
    result = played(tmp_path, top, fever)
    rows = found(result)
    assert result["verdict"] == verdict and result["unjudged"][0] == DEMANDED and len(result["unjudged"]) == 5
    assert rows[AGREES]["ok"] is (None if top else False) and "unjudged: " in rows[AGREES]["bound"]
    assert rows[ORDERED]["ok"] and rows[PREFIX + HEADS[0]]["ok"] and rows[PREFIX + HEADS[1]]["ok"] and DEMANDED not in rows


def test_a_run_that_is_judged_leaves_nothing_out(tmp_path):
    result = played(tmp_path)
    assert result["verdict"] == "pass" and result["unjudged"] == [] and AGREES not in found(result)


def test_a_pump_that_cannot_be_asked_is_held_to_its_motor():
    folder = Path(__file__).parent / "foreign" / "steady"
    made = load_scenario("baclofen")
    result = play(made, new_world(made, runtime="inprocess", firmware_dir=folder))
    rows = found(result)
    assert rows[PREFIX + HEADS[0]]["ok"] and rows[PREFIX + HEADS[1]]["ok"] and ORDERED in result["unjudged"] and result["verdict"] == "pass"


def test_names_of_what_is_not_judged():
    assert unjudged([expectation("x", False, 1, "<= 0")]) == []
    assert unjudged([expectation(AGREES, None, None, "unjudged: a, b")]) == ["a", "b"]
    assert DEMANDED in unjudged([expectation(AGREES, None, None, "telemetry")])
