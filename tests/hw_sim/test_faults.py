"""The declared hazards: what R12 lists is there, every row can be made into a scenario, and a bad list is refused in one sentence."""

from pathlib import Path

import pytest

from thecal.hw_sim.faults import DATA, HazardsError, load
from thecal.hw_sim.ledger import loaded, scenario_of
from thecal.hw_sim.plant_faults import FAULTS
from thecal.hw_sim.scenario import units
from thecal.hw_sim.world_faults import RAM_RECORDS, WORLD_FAULTS

ROWS = load(units)
# DESIGN R12, its order but for memory and line; every fault is played.
R12 = ["rotor-stall", "intermittent-stall", "lost-steps", "runaway", "driver-stuck-on", "free-flow", "encoder-stuck", "encoder-dead", "encoder-noise",
       "over-infusion-1.1", "over-infusion-1.3", "over-infusion-3", "head-wear", "tube-set", "occlusion", "partial-occlusion", "catheter-leak",
       "disconnect", "migration", "reservoir-empty-early", "overfill", "pocket-fill", "wrong-port", "septum-leak", "theft", "compounding-error",
       "adsorption", "wrong-concentration", "interrupted-bridge", "level-stuck", "level-drift", "level-offset", "inlet-offset", "fever", "flight",
       "battery-film", "battery-film-reset", "battery-drop", "battery-leak", "power-cut", "torn-write", "store-flip", "clock-jump", "time-zone", "mri", "mri-gear-bind", "reed-held",
       "telemetry-in-alarm", "line-noise", "ram-commissioning", "ram-program", "ram-copy", "ram-schedule", "ram-state", "ram-boluses", "forged-commands",
       "replayed-commits", "replayed-commands", "duplicated-commands", "changed-commands", "flood", "flood-garbage", "host-dies-in-session",
       "host-dies-in-stage", "host-stalls", "wrong-pump", "switch-then-driver", "driver-then-switch"]


@pytest.mark.req("TH-RULE-12")
def test_every_fault_of_the_rule_is_declared():
    assert [name for name in R12 if name not in {row.hazard for row in ROWS}] == []


@pytest.mark.req("TH-RULE-12")
def test_every_record_of_a_pump_has_its_row():
    assert {event["record"] for row in ROWS for _, event in row.events if event["kind"] == "ram_flip"} == set(RAM_RECORDS)


@pytest.mark.req("TH-RULE-12")
def test_what_nothing_notices_says_why_and_all_else_has_a_bound():
    for row in ROWS:
        assert bool(row.undetectable) != (row.within_s is not None), row.id
        assert len(row.undetectable) > 30 or row.by, row.id


@pytest.mark.req("TH-RULE-13")
def test_a_hazard_acts_on_plant_wire_or_people_only():
    failing = [event for row in ROWS for _, event in row.events if {"dies", "stalls"} & set(event)]
    assert {event["kind"] for event in failing} == {"program"}, "a host that fails does so on the wire"
    acts = {"fault", "scan", "wrong_pump", "aspirate", "refill", "port_injection", "set_clock", "request", "visit", "stop", "resume", *WORLD_FAULTS}
    for row in ROWS:
        assert {event["kind"] for _, event in row.events if event not in failing} <= acts, row.id
        assert {event["name"] for _, event in row.events if event["kind"] == "fault"} <= set(FAULTS), row.id


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_and_its_twin_are_scenarios(row, tmp_path):
    for healthy in (False, True):
        made = loaded(scenario_of(row, healthy=healthy), tmp_path)
        assert made.duration_s > row.therapy.fault_at_s


def test_a_list_of_ones_own_may_have_a_line_that_is_bad_all_through(tmp_path):
    """None of ours has: what it swallows of the therapy's own orders would be no finding of the row (line-noise begins with its fault)."""
    path = tmp_path / "mine.toml"
    path.write_text(DATA.read_text(encoding="utf-8").replace('id = "wrong-pump"\n', 'id = "wrong-pump"\nline = "loss=0.01"\n', 1), encoding="utf-8")
    row = next(row for row in load(units, path) if row.hazard == "wrong-pump")
    assert loaded(scenario_of(row), tmp_path).line == "loss=0.01" and loaded(scenario_of(row, healthy=True), tmp_path).line is None


@pytest.mark.parametrize("right, wrong, said", [
    ('schema = "thecal.hazards/1"', 'schema = "thecal.hazards/2"', "schema is 'thecal.hazards/2', it must be 'thecal.hazards/1'"),
    ('kind = "electrical"', 'kind = "magic"', "hazard driver-stuck-on: kind is 'magic', it must be one of electrical"),
    ('"TH-ALM-07", "TH-RATE-02"', '"TH-NONE-99"', "hazard rotor-stall: requirement 'TH-NONE-99' is not in requirements.toml"),
    ('therapy = "c005", within = "90 min"', 'therapy = "c9", within = "90 min"', "therapy is 'c9', it must be one of c005"),
    ('therapy = "c005", within = "90 min"', 'therapy = "c005"', "rotor-stall in c005: it needs either 'within', the bound, or 'undetectable'"),
    ('within = "90 min"', 'within = "soon"', "within 'soon' is not a duration"),
    ('within = "90 min"', 'within = "90 min", over_ul = -1', "over_ul is -1, it must be 0 or more"),
    ('within = "90 min"', 'within = "90 min", run = "1 h"', "is played for 1 h after the fault"),
    ('by = ["alarm 7"]\n# row 10', '# row 10', "rotor-stall in c005: key 'by' is missing: what notices it"),
    ('by = ["alarm 7"]', 'by = "alarm 7"', "by is 'alarm 7', it must be a list of names"),
    ('final = "program"', 'final = "asleep"', "final is 'asleep', it must be one of program"),
    ('needs = ["encoder"]', 'needs = ["luck"]', "needs is 'luck', it must be one of telemetry"),
    ('[[hazard]]', '[[hazard]]\ncolour = "red"', "key 'colour' is not known"),
    ('kind = "fault", name = "rotor_stall"', 'kind = "wish"', "event 1: kind is 'wish', it must be one of"),
    ('{ at = "0 h", kind = "fault", name = "rotor_stall" }', '{ kind = "fault", name = "rotor_stall" }', "event 1: key 'at' is missing"),
    ('id = "c01"', 'id = "c005"', "therapy 'c005' stands there twice"),
    ('[[therapy]]', '[[therapy', "is not TOML"),
])
def test_a_bad_list_is_refused(right, wrong, said, tmp_path):
    text = DATA.read_text(encoding="utf-8")
    assert right in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(HazardsError) as caught:
        load(units, path)
    assert said in str(caught.value) and "\n" not in str(caught.value).split(" is not TOML")[0]


def test_a_list_that_is_not_there():
    with pytest.raises(HazardsError, match="none.toml cannot be read"):
        load(units, Path("none.toml"))
