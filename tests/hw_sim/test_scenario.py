"""The way to host: scenarios loaded, worlds made for them, and worlds whose setup is done."""

import pytest

from thecal.host.programmer import Programmer
from thecal.hw_sim.bedside import SECOND_US
from thecal.hw_sim.params import PARAMS_DIR
from thecal.hw_sim.scenario import ScenarioError, implant_record, load_scenario, new_world, world_for
from thecal.hw_sim.scenario_file import DAY_S, FOLDER, find, parts

pytestmark = pytest.mark.thecal(scenario="baclofen", runtime="inprocess")      # of those that take `pump` and `world`


@pytest.mark.req("TH-SUP-12")
def test_a_pump_may_have_other_sensors_and_its_record_says_how_far_they_walk(tmp_path):
    text = find("baclofen").read_text(encoding="utf-8")
    for name, drift_ul in (("low-drift", 15), ("reference", 50)):
        path = tmp_path / "baclofen.toml"
        path.write_text(text.replace('head = "reference"', 'head = "reference"\nsensors = "%s"' % name), encoding="utf-8")
        made = load_scenario(path)
        assert implant_record(made, parts(made)[0]).level_drift_ul == drift_ul == parts(made)[0].sensors.level_drift_ul_sqrt_day
    path.write_text(text.replace('head = "reference"', 'head = "reference"\nsensors = "gold"'), encoding="utf-8")
    with pytest.raises(ScenarioError, match="no sensors is called 'gold' .known: low-drift, reference"):
        load_scenario(path)


def test_the_implant_record_is_made_from_the_parts():
    implant = implant_record(load_scenario("baclofen"), parts(load_scenario("baclofen"))[0])
    assert (implant.nl_per_rev, implant.steps_per_rev, implant.dead_volume_nl, implant.capacity_ul, implant.residual_ul) == (35_000, 4096, 375_000, 20_000, 1_400)
    assert implant.contact == "clinic +00 000 0000", "as the file says"


def test_the_setup_leaves_a_running_pump(pump, world):
    assert 1800 <= world.now_us / SECOND_US < 1810
    status = pump.status()
    assert (status.mode, status.rate_nl_day) == ("running", 200_000)
    assert 0 <= status.time_s - (735 * DAY_S + 9 * 3600 + 1800) < 10
    assert world.plant.truth()["reservoir_ul"] == pytest.approx(19_625, abs=2)


def test_the_setup_leaves_trials_and_later_days_out_but_fate_happens():
    with world_for(load_scenario("baclofen-b1"), runtime="inprocess") as world:
        assert Programmer(world.port()).status().rate_nl_day == 300_000
        assert world.now_us < DAY_S * SECOND_US
    with world_for(load_scenario("stall"), runtime="inprocess") as world:
        world.run_until((DAY_S + 60) * SECOND_US)
        assert "rotor_stall" in world.plant.faults
        world.run_until((DAY_S + 8 * 3600 + 60) * SECOND_US)
        assert not world.plant.faults


@pytest.mark.thecal(scenario=None, seed=3)
def test_without_a_scenario_a_pump_on_the_shelf(pump):
    assert pump.status().mode == "shelf"


def test_a_kept_store_is_not_set_up_again(tmp_path):
    store = tmp_path / "pump.fram"
    with world_for(load_scenario("baclofen"), runtime="inprocess", store_path=store) as world:
        Programmer(world.port()).stop()
    with world_for(load_scenario("baclofen"), runtime="inprocess", store_path=store) as world:
        pump = Programmer(world.port())
        assert pump.status().mode == "stopped" and pump.identity().boot_count == 2
        assert world.plant.truth()["reservoir_ul"] == 20_000


def test_a_new_world_has_done_nothing():
    scenario = load_scenario("baclofen")
    with new_world(scenario, runtime="inprocess") as world:
        assert world.now_us == 0 and world.board.rtc_offset_s == scenario.start_pump_s
        assert Programmer(world.port()).status().mode == "shelf"


def test_the_temperature_sensor_is_commissioned_as_it_is_built(pump):
    status = pump.wait(hours=1)
    assert abs(status.temperature_c - 37.0) < 0.3 and status.alarms == []


@pytest.fixture
def written(tmp_path):
    """`written(extra, {parameter file: (old, new)})`: the scenario `stall` with one event more, and parts of its own."""
    def write(event="", parts_of=()):
        text = (FOLDER / "stall.toml").read_text(encoding="utf-8")
        if parts_of:
            (tmp_path / "mine").mkdir()
            text = text.replace('head = "reference"', 'params = "mine"\nhead = "reference"')
        for name, old, new in parts_of:
            body = (PARAMS_DIR / name).read_text(encoding="utf-8")
            assert old in body
            (tmp_path / "mine" / name).write_text(body.replace(old, new), encoding="utf-8")
        path = tmp_path / "stall.toml"
        path.write_text(text.replace("[[expect]]", event + "\n[[expect]]", 1), encoding="utf-8")
        return path
    return write


@pytest.mark.parametrize(("event", "parts_of", "sentence"), [
    ("", [("sensors-reference.toml", "{value = 4096,", "{value = 16,")],
     "[implant]: no pump can be commissioned with these parts: commission: counts_per_rev is 16 count/rev; allowed are 200 .. 4096"),
    ("", [("catheter-reference.toml", "{value = 199.0,", "{value = 2e3,")], "commission: tubing_nl is 2000000 nL; allowed are 0 .. 1000000"),
    ("", [("catheter-reference.toml", "{value = 199.0,", "{value = 2e4,")], "catheter: from head to tip it holds 20176 uL, it must be less than the reservoir does"),
    ("", [("reservoir-reference-20ml.toml", "capacity_ul = {value = 20000.0,", "capacity_ul = {value = -5.0,")],
     "[implant] or [patient]: reservoir-reference-20ml.toml: capacity_ul is -5 uL, it must be above 0"),
    ("", [("head-reference.toml", ', unit = "uL/rev"', "")], "head-reference.toml: volume_per_rev_ul has no unit"),
    ('[[event]]\nat = "2 d"\nkind = "aspirate"\nvolume = "21 mL"', (), "event 6 (aspirate): volume is '21 mL', the reservoir holds 20 mL"),
    ('[[event]]\nat = "2 d"\nkind = "heal"\nname = "kink"', (), "event 6 (heal): name is 'kink', which no event before it has broken"),
])
def test_parts_and_events_that_cannot_be_are_one_sentence(written, event, parts_of, sentence):
    with pytest.raises(ScenarioError) as refused:
        load_scenario(written(event, parts_of))
    assert str(refused.value).startswith("stall.toml: ") and sentence in str(refused.value) and "\n" not in str(refused.value)


def test_parts_of_ones_own_and_what_was_broken_and_heals_are_taken(written):
    made = load_scenario(written('[[event]]\nat = "2 d"\nkind = "heal"\nname = "rotor_stall"', [("catheter-reference.toml", "{value = 199.0,", "{value = 150.0,")]))
    assert parts(made)[0].catheter.tubing_ul == 150.0 and made.events[-1].kind == "heal"
