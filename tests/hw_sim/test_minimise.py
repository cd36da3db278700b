"""Delta debugging, on lists and on scenarios, and schedules that are drawn."""

import itertools

import pytest

from thecal.hw_sim import minimise
from thecal.hw_sim.faults import load
from thecal.hw_sim.ledger import Bench, scenario_of
from thecal.hw_sim.minimise import FEWEST, MinimiseError, ddmin, delivered_nl, failing, fewest, minimised
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
    small, wanted, sure = minimised(table, INSIDE)
    assert wanted == "the books" and sure == FEWEST and [event["kind"] for event in small["event"]] == ["implant", "fault", "power_cut"]


def test_an_event_that_a_failing_expectation_counts_from_stays(monkeypatch):
    monkeypatch.setattr(minimise, "failing", lambda table, bench, folder: ["alarm 7 within 30 min"])
    small, _, _ = minimised(scenario_of(ROWS["rotor-stall@c05"]), INSIDE)
    assert [event["kind"] for event in small["event"]] == ["implant", "fault"] and len(small["expect"]) == 1


@pytest.mark.slow
def test_what_fails_on_our_own_firmware_too_is_not_the_copys():
    row = scenario_of(ROWS["rotor-stall@c05"])
    row["expect"][0]["max"] = 0.5
    with pytest.raises(MinimiseError, match="fails on our own firmware too"):
        minimised(row, INSIDE, reference=INSIDE)


@pytest.mark.parametrize("most_runs, found, sure", [(60, [1, 2], True), (3, [5, 6, 7], False)])
def test_fewer_others_are_found_than_those_that_cannot_go_alone(most_runs, found, sure):
    """ddmin comes down to three where two others do; how sure the answer is, is said."""
    def fails(items):
        return {1, 2} <= set(items) or {5, 6, 7} <= set(items)

    left = ddmin(list(range(10)), fails)
    assert left == [5, 6, 7]
    assert fewest(list(range(10)), left, fails, most_runs) == (found, sure)


def test_fewest_of_what_nothing_smaller_fails_is_itself():
    assert fewest([1, 2, 3], [2, 3], lambda items: {2, 3} <= set(items)) == ([2, 3], True)


def test_a_scenario_that_is_none_does_not_fail_and_delivery_is_told(tmp_path):
    table = scenario_of(ROWS["clock-jump@c01"], healthy=True)
    assert failing({**table, "event": table["event"][:1]}, INSIDE, tmp_path) == []
    assert delivered_nl(table, INSIDE, tmp_path) == pytest.approx(375_000 + 100_000 * 47 / 24, rel=0.1)
