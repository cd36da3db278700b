"""The surroundings and the random faults of a scenario file: read, drawn by the seed, and refused in one sentence."""
from types import SimpleNamespace

import pytest
from thecal.host import units
from thecal.hw_sim.scenario_surroundings import check_bind, check_heal, drawn, environment, random_faults
from thecal.hw_sim.scenario_values import ScenarioError

DAY_S = 86_400
FEVER = [{"at": "0 d", "temperature": "37 C"}, {"at": "1 d", "temperature": "37 C", "ambient": "101.3 kPa"},
         {"at": "1 d 06:00", "temperature": "39 C", "shape": "ramp", "note": "fever"}, {"at": "2 d", "ambient": "756 hPa"}]


def test_a_table_is_read_with_its_units():
    table = environment(FEVER, "case.toml", 5 * DAY_S, units)
    assert table.at("temperature_c", 27 * 3600 * 10**6) == pytest.approx(38.0)
    assert table.at("ambient_kpa", 3 * DAY_S * 10**6) == pytest.approx(75.6)
    assert not table.has("field_t")


@pytest.mark.parametrize("entries, sentence", [
    ([{"at": "1 d"}], "environment 1: no quantity: give temperature, ambient, field"),
    ([{"temperature": "37 C"}], "environment 1: key 'at' is missing"),
    ([{"at": "1 d", "humidity": "1"}], "environment 1: key 'humidity' is not known"),
    ([{"at": "1 d", "temperature": "39"}], "temperature is '39', it must be a number and its unit"),
    ([{"at": "1 d", "temperature": "99 C"}], "temperature_c of 99 C: it must lie between 20 and 45"),
    ([{"at": "1 d", "field": "1 T", "shape": "curve"}], "shape is 'curve', it must be one of step, ramp"),
    ([{"at": "1 d", "field": "1 T", "shape": "ramp"}], "a ramp needs a row of field_t before it"),
    ([{"at": "2 d", "field": "1 T"}, {"at": "1 d", "field": "0 T"}], "rows stand in the order of time"),
    ([{"at": "9 d", "field": "1 T"}], "at is '9 d', at or after the end"),
])
def test_gaps_disorder_and_what_is_out_of_range_are_refused(entries, sentence):
    with pytest.raises(ScenarioError) as refused:
        environment(entries, "case.toml", 5 * DAY_S, units)
    assert sentence in str(refused.value) and str(refused.value).startswith("case.toml: ") and "\n" not in str(refused.value)


@pytest.mark.req("TH-PLANT-07")
def test_what_is_drawn_follows_from_the_seed_and_has_the_stated_rate():
    faults = random_faults([{"name": "rotor_stall", "rate": 12, "for": ["5 min", "3 h"]}, {"name": "power_cut", "rate": 2, "for": ["1 s", "1 min"]},
                            {"name": "head_gain", "rate": 1, "for": ["1 d", "2 d"], "value": 1.2}], "case.toml", units)
    ten_years_s = 3652 * DAY_S
    found = drawn(faults, 1, ten_years_s)
    assert found == drawn(faults, 1, ten_years_s) and found != drawn(faults, 2, ten_years_s)
    assert [fault.at_s for fault in found] == sorted(fault.at_s for fault in found)
    counts = [sum(len([fault for fault in drawn(faults, seed, ten_years_s) if fault.name == name]) for seed in range(20))
              for name in ("rotor_stall", "power_cut")]
    assert counts == [pytest.approx(2400, rel=0.08), pytest.approx(400, rel=0.2)]
    stalls = [fault for fault in found if fault.name == "rotor_stall"]
    assert all(300 <= fault.for_s <= 10_800 and fault.at_s < ten_years_s for fault in stalls)
    assert all(before.at_s + before.for_s <= after.at_s for before, after in zip(stalls, stalls[1:]))
    assert {fault.value for fault in found if fault.name == "head_gain"} <= {1.2}


@pytest.mark.parametrize("entry, sentence", [
    ({"name": "gremlin", "rate": 1, "for": ["1 s", "1 h"]}, "name is 'gremlin', it must be one of rotor_stall,"),
    ({"name": "rotor_stall", "rate": 0, "for": ["1 s", "1 h"]}, "rate is 0, it must lie above 0"),
    ({"name": "rotor_stall", "rate": 1, "for": ["2 h", "1 h"]}, "no longer than the longest"),
    ({"name": "rotor_stall", "rate": 1, "for": ["1 s", "1 h"], "value": 2}, "fault rotor_stall takes none"),
    ({"name": "power_cut", "rate": 1, "for": ["1 s", "1 h"], "value": 2}, "fault power_cut takes none"),
    ({"name": "head_gain", "rate": 1, "for": ["1 s", "1 h"], "value": 9}, "fault head_gain must lie between 0 and 5"),
])
def test_random_faults_that_cannot_be_are_refused(entry, sentence):
    with pytest.raises(ScenarioError, match="^case.toml: random fault 1: ") as refused:
        random_faults([entry], "case.toml", units)
    assert sentence in str(refused.value)


def test_chance_may_have_broken_what_is_healed_and_a_scan_holds_the_rotor():
    def event(number, kind, **values):
        return SimpleNamespace(number=number, kind=kind, values=values)
    chance = random_faults([{"name": "kink", "rate": 1, "for": ["1 h", "2 h"]}], "case.toml", units)
    check_heal("case.toml", [event(1, "heal", name="kink")], chance)
    check_heal("case.toml", [event(1, "scan"), event(2, "heal", name="field_t"), event(3, "fault", name="kink"), event(4, "heal", name="kink")], ())
    with pytest.raises(ScenarioError, match=r"case.toml: event 1 \(heal\): name is 'kink', which no event before it has broken"):
        check_heal("case.toml", [event(1, "heal", name="kink"), event(2, "fault", name="kink")], ())


def test_a_gear_that_binds_by_chance_needs_a_field_too():
    chance = random_faults([{"name": "gear_bind", "rate": 1, "for": ["1 h", "2 h"]}], "case.toml", units)
    with pytest.raises(ScenarioError, match="^case.toml: random fault 1: gear_bind acts behind a magnetic field, and the scenario has none"):
        check_bind("case.toml", (), environment([], "case.toml", DAY_S, units), chance)
    check_bind("case.toml", (), environment([{"at": "1 h", "field": "1 T"}], "case.toml", DAY_S, units), chance)
