"""Delta debugging, on lists and on scenarios, and schedules that are drawn."""

import itertools

import pytest

from thecal.hw_sim import minimise
from thecal.hw_sim.faults import load
from thecal.hw_sim.ledger import Bench, loaded, scenario_of
from thecal.hw_sim.minimise import MinimiseError, ddmin, minimised, random_schedule
from thecal.hw_sim.scenario import units

ROWS = {row.id: row for row in load(units)}
INSIDE = Bench(runtime="inprocess")


@pytest.mark.parametrize("needed", [(), (0,), (9,), (3, 4), (0, 9), (1, 5, 7), tuple(range(10))])
def test_ddmin_finds_what_is_needed(needed):
    asked = []

    def fails(items):
        asked.append(len(items))
        return set(needed) <= set(items)

    assert ddmin(list(range(10)), fails) == list(needed) and len(asked) < 100


def test_ddmin_leaves_nothing_that_can_go_alone():
    """A failure that needs two of three in any pair: one pair is left."""
    def fails(items):
        return any(set(pair) <= set(items) for pair in itertools.combinations((2, 5, 8), 2))
    left = ddmin(list(range(10)), fails)
    assert len(left) == 2 and set(left) < {2, 5, 8}


@pytest.mark.slow
def test_a_scenario_that_passes_is_not_minimised():
    table = scenario_of(ROWS["clock-jump@c01"])
    with pytest.raises(MinimiseError, match="clock-jump-c01 passes: there is nothing to minimise"):
        minimised(table, INSIDE)


def test_a_failing_scenario_comes_down_to_its_cause(monkeypatch):
    """The player is replaced by a rule: it fails where a power cut follows a stall, however much else happens."""
    def failing(table, bench, folder):
        kinds = [event.get("name", event["kind"]) for event in table["event"]]
        bad = "rotor_stall" in kinds and "power_cut" in kinds[kinds.index("rotor_stall"):]
        return ["the books"] if bad else []

    monkeypatch.setattr(minimise, "failing", failing)
    table = scenario_of(ROWS["rotor-stall@c05"])
    table["event"] += [{"at": "2 d", "kind": kind, "for": "1 h"} for kind in ("scan", "power_cut", "reed_held", "power_cut")]
    small, wanted = minimised(table, INSIDE)
    assert wanted == "the books" and [event["kind"] for event in small["event"]] == ["implant", "fault", "power_cut"]


def test_an_event_that_a_failing_expectation_counts_from_stays(monkeypatch):
    monkeypatch.setattr(minimise, "failing", lambda table, bench, folder: ["alarm 7 within 30 min"])
    small, _ = minimised(scenario_of(ROWS["rotor-stall@c05"]), INSIDE)
    assert [event["kind"] for event in small["event"]] == ["implant", "fault"] and len(small["expect"]) == 1


@pytest.mark.slow
def test_what_fails_on_our_own_firmware_too_is_not_the_copys():
    row = scenario_of(ROWS["rotor-stall@c05"])
    row["expect"][0]["max"] = 0.5
    with pytest.raises(MinimiseError, match="fails on our own firmware too"):
        minimised(row, INSIDE, reference=INSIDE)


@pytest.mark.slow
def test_drawn_schedules_follow_from_the_seed_and_can_be_played(tmp_path):
    therapy = ROWS["rotor-stall@c05"].therapy
    assert random_schedule(therapy, 4, 5) == random_schedule(therapy, 4, 5) != random_schedule(therapy, 5, 5)
    for seed in range(30):
        loaded(random_schedule(therapy, seed, 5), tmp_path)
