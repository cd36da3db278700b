"""Schedules that are drawn: they follow from the seed, load, cover every fault, and hold what their faults are declared to show."""

import pytest

from thecal.hw_sim.faults import load
from thecal.hw_sim.ledger import BOOKS, loaded
from thecal.hw_sim.plant_faults import FAULTS
from thecal.hw_sim.scenario import units
from thecal.hw_sim.schedules import OVER, OWN, bounded, detections, healthy, judged_names, name_of, random_schedule
from thecal.hw_sim.world_faults import WORLD_FAULTS

LIST = load(units)
ROWS = {row.id: row for row in LIST}
C05 = ROWS["rotor-stall@c05"].therapy
DAY_S = 86_400
STALL = {"kind": "fault", "name": "rotor_stall", "for": "3600 s"}


def test_drawn_schedules_follow_from_the_seed_and_can_be_played(tmp_path):
    assert random_schedule(C05, 4, 5) == random_schedule(C05, 4, 5) != random_schedule(C05, 5, 5)
    for seed in range(60):
        loaded(random_schedule(C05, seed, 5, LIST), tmp_path)


def test_every_fault_is_drawn_with_values_of_its_own():
    drawn, values = set(), {}
    for seed in range(600):
        table = random_schedule(C05, seed, 8)
        drawn |= {"line"} if "line" in table else set()
        for event in table["event"][4:]:
            drawn.add(name_of(event))
            values.setdefault(name_of(event), set()).add(event.get("value"))
        assert not {"driver_stuck_on", "enable_stuck"} <= {name_of(event) for event in table["event"]}
    assert drawn == {*FAULTS, *WORLD_FAULTS}
    assert all(len(values[name]) > 5 for name, kind in FAULTS.items() if not isinstance(kind.default, bool) and name != "gear_bind")


@pytest.mark.req("TH-RULE-12")
@pytest.mark.parametrize("chosen, judged", [
    ([(DAY_S, STALL)], [7]), ([(DAY_S, {**STALL, "for": "600 s"})], []),                                    # over before it must be noticed
    ([(DAY_S, STALL), (DAY_S + 600, {"kind": "power_cut", "for": "600 s"})], []),                           # not alone
    ([(DAY_S, {"kind": "power_cut", "for": "600 s"}), (2 * DAY_S, STALL)], [7]), ([(DAY_S, STALL), (2 * DAY_S, STALL)], [7]),
    ([(DAY_S, {"kind": "fault", "name": "free_flow", "value": 1e-3, "for": "600 s"}), (2 * DAY_S, STALL)], []),     # it may be stopped since
    ([(DAY_S, {"kind": "fault", "name": "temperature_c", "value": 41.0, "for": "86400 s"})], [22]),
    ([(DAY_S, {"kind": "fault", "name": "temperature_c", "value": 39.0, "for": "86400 s"})], []),           # less than is declared
])
def test_what_a_fault_that_stands_alone_must_show(chosen, judged):
    assert [entry["code"] for entry in detections(chosen, C05, LIST)] == judged


def test_books_count_but_for_faults_that_are_declared_unbooked():
    def table(*events):
        return {"event": [{"kind": "implant"}, *events], "duration": "5 d"}
    assert set(BOOKS) <= set(judged_names(table(STALL), LIST))
    for unbooked in ({"kind": "fault", "name": "lost_steps", "value": 0.2}, {"kind": "fault", "name": "nobody's"}):
        assert set(BOOKS) & set(judged_names(table(STALL, unbooked), LIST)) == set(OWN)


def test_delivery_is_bounded_where_no_fault_is_declared_to_give_more():
    table = {"event": [{"kind": "implant"}, {"at": "1 d", **STALL}], "duration": "5 d"}
    expect, = bounded(table, 2_000_000.0, LIST)["expect"]
    assert expect["name"] == OVER and expect["max"] == 2010.75 and OVER in judged_names(bounded(table, 0.0, LIST), LIST)
    wild = {**table, "event": [*table["event"], {"kind": "fault", "name": "head_gain", "value": 2.0}]}
    assert bounded(wild, 0.0, LIST) == wild
    assert [event["kind"] for event in healthy(wild)["event"]] == ["implant"]
