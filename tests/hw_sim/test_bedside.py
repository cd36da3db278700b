"""Hands and fate: what they do to the plant, and what the oracle is told of it."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from thecal.hw_sim.bedside import DAY_S, SECOND_US, Bedside, oracle_for, trial
from thecal.hw_sim.params import PatientParams, PlantParams
from thecal.hw_sim.plant import Plant
from thecal.hw_sim.recorder import Recorder
from thecal.hw_sim.scenario_surroundings import Drawn
from thecal.hw_sim.world import World

PARAMS = PlantParams.load("reference")


class Silent:
    """A firmware that sleeps an hour at a time, at the tether's level."""

    name = "silent"

    def boot(self):
        pass

    def exchange(self, request):
        return request[:2] + bytes((1, 0)) + request[4:8] + (3_600_000).to_bytes(4, "little") + bytes(6) + b"\xff\xff\xff\xff" + bytes(6)

    def peak_kib(self):
        return None

    def flip(self, address, bit):
        self.flipped = address, bit

    def close(self):
        pass


@pytest.fixture
def bedside():
    world = World(Plant(PARAMS, PatientParams.load(), seed=1), Silent(), Recorder(None))
    return Bedside(world, oracle_for(0, PARAMS))


def event(kind, at_s=0, **read):
    return SimpleNamespace(kind=kind, at_s=at_s, read=read, values=read, text="", number=1)


def test_the_oracle_knows_the_parts():
    oracle = oracle_for(5, PARAMS)
    assert oracle.dead_nl == 375_000
    oracle.fill(0, 2_000_000, {"baclofen": 500})
    oracle.fill(1, 0, {})
    assert oracle.expected_tip(2).reservoir_nl == 1_400_000


def test_a_fill_is_told_to_plant_and_oracle(bedside):
    bedside.fill(20_000_000, {"baclofen": 500.0})
    assert bedside.world.plant.truth()["reservoir_ul"] == 20_000
    assert bedside.oracle.expected_tip(0).reservoir_nl == 20_000_000
    assert bedside.withdraw() == 18_600
    bedside.fill(18_600_000, {"baclofen": 2000.0})
    mixed = bedside.world.plant.truth()["reservoir_ng_per_ul"]["baclofen"]
    assert mixed == pytest.approx(1895)
    assert bedside.oracle.expected_tip(0).reservoir_conc_ng_ul == {"baclofen": Fraction(1895)}


def test_a_rinse_leaves_its_residual(bedside):
    bedside.fill(18_600_000, {"ziconotide": 25.0}, rinses=3, rinse_nl=2_000_000)
    assert bedside.world.plant.truth()["reservoir_ul"] == pytest.approx(20_000)
    assert bedside.oracle.expected_tip(0).reservoir_nl == 20_000_000


@pytest.mark.req("TH-LIFE-18")
def test_tablets_go_on_until_they_end(bedside):
    bedside.act(event("oral", drug="baclofen", dose=20_000_000, every=6 * 3600, until=DAY_S))
    bedside.world.run_until(2 * DAY_S * SECOND_US)
    assert bedside.swallowed_ng == {"baclofen": 80e6}
    assert bedside.world.plant.truth()["oral_plasma_ng_per_ml"]["baclofen"] > 0
    bedside.act(event("oral", drug="baclofen", dose=5_000_000))
    assert bedside.swallowed_ng == {"baclofen": 85e6}


@pytest.mark.req("TH-RULE-13")
def test_a_stall_heals_and_the_oracle_hears_of_it_then(bedside):
    bedside.oracle.program(0, 240_000)
    bedside.act(event("fault", name="rotor_stall", **{"for": 3600}))
    assert "rotor_stall" in bedside.world.plant.faults and bedside.stalled and bedside.oracle.gaps(10**12) == 0
    bedside.world.run_until(2 * 3600 * SECOND_US)
    assert "rotor_stall" not in bedside.world.plant.faults and not bedside.stalled
    assert bedside.oracle.missed_nl(2 * 3600 * SECOND_US) == {"stall": 10_000}


def test_a_stall_to_the_end_is_an_outage_too(bedside):
    bedside.oracle.program(0, 240_000)
    bedside.act(event("fault", name="rotor_stall"))
    bedside.world.run_until(3600 * SECOND_US)
    bedside.finish()
    assert bedside.oracle.missed_nl(3600 * SECOND_US) == {"stall": 10_000}


@pytest.mark.req("TH-RULE-13")
def test_other_faults_have_values_and_heal_on_their_event(bedside):
    bedside.act(event("fault", name="head_gain", value=1.5))
    assert bedside.world.plant.faults["head_gain"] == 1.5
    bedside.act(event("heal", name="head_gain"))
    assert not bedside.world.plant.faults and bedside.oracle.gaps(10**12) == 0


def test_power_and_clock(bedside):
    bedside.oracle.program(0, 240_000)
    bedside.act(event("power_cut", **{"for": 3600}))
    assert not bedside.world.powered
    bedside.world.run_until(3601 * SECOND_US)
    assert bedside.world.powered and bedside.oracle.missed_nl(3601 * SECOND_US) == {"reset": 10_000}
    before = bedside.world.board.rtc_s(bedside.world.now_us)
    bedside.act(event("clock_jump", by=-600))
    assert bedside.world.board.rtc_s(bedside.world.now_us) == before - 600


def test_what_is_aspirated_is_gone_for_plant_and_oracle(bedside):
    bedside.fill(20_000_000, {"baclofen": 500.0})
    bedside.act(event("aspirate", volume=13_000_000))
    assert bedside.world.plant.truth()["reservoir_ul"] == 7_000
    assert bedside.oracle.expected_tip(0).reservoir_nl == 7_000_000 and bedside.oracle.expected_tip(0).reservoir_conc_ng_ul == {"baclofen": 500}
    bedside.act(event("aspirate", volume=13_000_000))
    assert bedside.world.plant.truth()["reservoir_ul"] == 1_400 and bedside.oracle.expected_tip(0).reservoir_nl == 1_400_000


def test_a_scanner_holds_the_rotor_and_closes_the_reed(bedside):
    bedside.oracle.program(0, 240_000)
    bedside.act(event("scan", **{"for": 3600}))
    assert bedside.stalled and bedside.world.plant.reed_closed and bedside.world.plant.truth()["field_t"] == 1.5
    bedside.world.run_until(3601 * SECOND_US)
    assert not bedside.stalled and not bedside.world.plant.reed_closed
    assert bedside.oracle.missed_nl(3601 * SECOND_US) == {"stall": 10_000}


def test_a_kink_is_remembered(bedside):
    bedside.act(event("fault", name="kink", **{"for": 60}))
    bedside.world.run_until(61 * SECOND_US)
    assert bedside.occluded and not bedside.world.plant.faults


def test_an_old_catheter_is_connected_and_one_is_aspirated(bedside):
    bedside.catheter({"baclofen": 2000.0})
    assert bedside.world.plant.truth()["tip_ng_per_ul"] == {"baclofen": 2000.0} and bedside.oracle.expected_tip(0).conc_ng_ul == {"baclofen": 2000}
    bedside.catheter({})
    assert bedside.world.plant.truth()["tip_ng_per_ul"] == {"baclofen": 0.0} and bedside.oracle.expected_tip(0).conc_ng_ul == {}
    assert bedside.world.plant.mass_error() < 1e-12


def test_fate_can_be_scheduled(bedside):
    bedside.schedule(event("fault", name="level_stuck"), 5 * SECOND_US)
    assert not bedside.world.plant.faults
    bedside.world.run_until(6 * SECOND_US)
    assert "level_stuck" in bedside.world.plant.faults


def test_trials_have_a_plant_of_their_own():
    """Peaks of a bolus are dose over the lumbar volume of 66 mL: 50 ug -> 758, 75 ug -> 1136 ng/mL (clinical.md 3)."""
    doses = [event("trial", -3 * DAY_S, drug="baclofen", dose=50_000), event("trial", -2 * DAY_S, drug="baclofen", dose=75_000)]
    seen = []
    peaks = [peak for _, peak in trial(doses, PARAMS, PatientParams.load(), 1, lambda t_s, truth: seen.append((t_s, truth)))]
    assert peaks == pytest.approx([757.6, 1136.4], rel=0.01)
    assert seen[0][0] == -3 * DAY_S and seen[-1][0] < -DAY_S + 1 and len(seen) == 48
    infusion = [event("trial", -2 * DAY_S, drug="morphine", rate=200_000, **{"for": 36 * 3600})]
    seen.clear()
    (_, peak), = trial(infusion, PARAMS, PatientParams.load(), 1, lambda t_s, truth: seen.append((t_s, truth)))
    assert len(seen) == 36 and peak == seen[-1][1]["lumbar_ng_per_ml"]["morphine"] and seen[-1][1]["mass_error"] < 1e-12
    assert list(trial([], PARAMS, PatientParams.load(), 1, lambda *_: None)) == []


def test_a_fill_into_the_pocket_or_above_the_capacity_is_a_fault_that_fired(bedside):
    bedside.fill(18_000_000, {"baclofen": 500.0}, into="pocket")
    assert bedside.world.truth()["pocket_ul"] == 18_000.0 and bedside.oracle.expected_tip(0).reservoir_nl == 0
    with pytest.raises(ValueError, match="the reservoir holds 20000"):
        bedside.fill(21_000_000, {"baclofen": 500.0})
    bedside.fill(21_000_000, {"baclofen": 500.0}, overfill=True)
    assert [(fault["name"], fault["value"]) for fault in bedside.world.faults()] == [("pocket_fill", 18.0), ("overfill", pytest.approx(1000.0))]
    assert bedside.oracle.expected_tip(0).reservoir_nl == 21_000_000


def test_the_wrong_port_pushes_the_catheters_content(bedside):
    bedside.catheter({"baclofen": 2000.0})
    bedside.act(event("port_injection", volume=176_000))
    assert bedside.world.truth()["tip_ng"]["baclofen"] == pytest.approx(352_000, rel=1e-6) and "port_injection" in bedside.world.fired


def test_a_scan_may_bind_the_gear_and_the_outage_lasts_as_long(bedside):
    bedside.oracle.program(0, 240_000)
    bedside.act(event("scan", **{"for": 3600, "bind": 7200, "field": 3.0}))
    bedside.world.run_until(3601 * SECOND_US)
    assert bedside.stalled and not bedside.world.plant.reed_closed
    bedside.world.run_until(10_801 * SECOND_US)
    assert not bedside.stalled and bedside.oracle.missed_nl(10_801 * SECOND_US) == {"stall": 30_000}
    assert [words for words, _ in bedside.injected] == ["event 1 (scan gear_bind)", "event 1 (scan field_t)"]


def test_store_reed_and_chance_act_through_the_world(bedside):
    for kind, values, name in (("store_flip", {"address": 7, "bit": 1}, "store_flip"), ("store_dead", {"for": 60}, "store_dead"),
                               ("torn_write", {"write": 2, "left": "half"}, "torn_write"),
                               ("ram_flip", {"record": "copy", "bit": 3}, "ram_flip"), ("reed_held", {"for": 60}, "reed_held")):
        bedside.act(event(kind, **values))
        assert bedside.world.faults()[-1]["name"] == name and bedside.injected[-1][1].name == name
    for drawn in (Drawn(0, "power_cut", None, 5), Drawn(0, "reed_held", None, 30), Drawn(0, "head_gain", 1.2, 30)):
        bedside.chance(drawn)
    assert len(bedside.injected) == 5 and bedside.world.plant.faults["head_gain"] == 1.2
    bedside.world.run_until(61 * SECOND_US)
    assert not bedside.world.plant.faults and not bedside.world.board.reed_held and bedside.world.powered
