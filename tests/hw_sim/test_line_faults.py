"""The line's faults through the whole plant: where the drug goes, what the blood shows, and when each has fired."""
import pytest
from thecal.hw_sim.params import PatientParams, PlantParams
from thecal.hw_sim.physics import DAY_US, HOUR_US, infuse, new_plant
from thecal.hw_sim.plant import Plant

S = 1_000_000


def primed(**kinds):
    plant = new_plant("baclofen", 2000.0, **kinds)
    infuse(plant, 24_000, 2 * HOUR_US)
    return plant


@pytest.mark.req("TH-PLANT-03")
@pytest.mark.parametrize("name, value, reaches", [("catheter_leak", 0.3, 0.7), ("disconnect", None, 0.0), ("migration", 0.4, 0.4)])
def test_what_does_not_reach_the_fluid_is_in_the_blood(name, value, reaches):
    """Settled: the lumbar level falls to the share that arrives, and the blood has the whole dose either way."""
    levels = {}
    for fault in (None, name):
        plant = primed()
        if fault:
            plant.faults.set(fault, value)
            assert fault not in plant.faults.log.fired
        before = plant.truth()
        infuse(plant, 240, 6 * DAY_US)      # 480 ug/day
        levels[fault] = truth = plant.truth()
        assert truth["mass_error"] < 1e-9
    assert plant.faults.log.fired[name] < before["t_us"] + 2 * S
    passed_ul = truth["head_ul"] - before["head_ul"]
    assert truth["delivered_ul"] - before["delivered_ul"] == pytest.approx(passed_ul * reaches, rel=1e-9, abs=1e-9)
    assert truth["strayed_ul"] == pytest.approx(passed_ul * (1 - reaches)) and truth["strayed_ng"]["baclofen"] == pytest.approx(truth["strayed_ul"] * 2000)
    assert truth["lumbar_ng_per_ml"]["baclofen"] == pytest.approx(levels[None]["lumbar_ng_per_ml"]["baclofen"] * reaches, rel=0.03, abs=1.0)
    for found in levels.values():
        assert found["plasma_ng_per_ml"]["baclofen"] == pytest.approx(480_000 / 24 / 11_100, rel=0.05)


def test_a_healthy_line_strays_nothing():
    plant = primed()
    infuse(plant, 500, DAY_US)
    truth = plant.truth()
    assert truth["strayed_ul"] == 0 and truth["strayed_ng"] == {"baclofen": 0.0} and not plant.faults.log.fired


@pytest.mark.req("TH-PLANT-03")
def test_a_pocket_fill_floods_the_blood_within_hours():
    """36 mg of baclofen under the skin, 75 times a day's dose: taken up at 1/h it peaks above 400 ng/mL, where a tablet of 20 mg gives some 200."""
    plant = new_plant("baclofen", 2000.0)
    plant.fill(18_000.0, {"baclofen": 2000.0}, into="pocket")
    peak = 0.0
    for hour in range(1, 49):
        plant.advance(hour * HOUR_US)
        peak = max(peak, plant.truth()["plasma_ng_per_ml"]["baclofen"])
        assert plant.mass_error() < 1e-11
    assert 400 < peak < 1000 and plant.truth()["plasma_ng_per_ml"]["baclofen"] < peak / 50


def test_a_bubble_alone_changes_nothing_until_something_presses():
    """It makes a kink slower to show and its bolus larger; in a cabin it pushes drug out, and sucks fluid in on the ground."""
    plants = [primed(), primed()]
    plants[1].faults.set("bubble_ul", 50.0)
    for plant in plants:
        infuse(plant, 500, 6 * HOUR_US)
    well, ill = (plant.truth() for plant in plants)
    assert ill == well and "bubble_ul" not in plants[1].faults.log.fired
    for plant in plants:
        plant.faults.set("kink")
        infuse(plant, 500, 2 * HOUR_US)
    well, ill = (plant.truth() for plant in plants)
    assert ill["line_kpa"] - 1.2 == pytest.approx((well["line_kpa"] - 1.2) * 0.5 / (0.5 + 50 / 101.3), rel=0.05)
    assert "bubble_ul" in plants[1].faults.log.fired
    plant = primed()
    plant.faults.set("bubble_ul", 50.0)
    before_ul = plant.truth()["delivered_ul"]
    plant.faults.set("ambient_kpa", 75.6)
    pushed_ul = plant.truth()["delivered_ul"] - before_ul
    assert pushed_ul == pytest.approx(50 * (101.3 / 75.6 - 1)) and plant.faults.log.fired["bubble_ul"] == plant.t_us
    plant.faults.clear("ambient_kpa")
    assert plant.truth()["delivered_ul"] == pytest.approx(before_ul) and plant.mass_error() < 1e-12


def test_a_leak_before_a_kink_hides_it():
    """No pressure, no stall: the therapy is lost without a word, where the kink alone swells the line and stalls the rotor."""
    kpa = {}
    for faults in (("kink",), ("kink", "catheter_leak")):
        plant = primed()
        for name in faults:
            plant.faults.set(name)
        infuse(plant, 500, 12 * HOUR_US)
        kpa[faults] = plant.truth()["line_kpa"] - 1.2
    assert kpa[("kink",)] > 140 and kpa[("kink", "catheter_leak")] < 0.01
    assert plant.truth()["strayed_ul"] == pytest.approx(250, rel=0.05) and plant.truth()["lost_steps"] == 0


def test_healing_a_leak_brings_the_therapy_back():
    plant = primed()
    plant.faults.set("disconnect")
    infuse(plant, 500, 6 * HOUR_US)
    strayed_ul = plant.truth()["strayed_ul"]
    plant.faults.clear("disconnect")
    before_ul = plant.truth()["delivered_ul"]
    infuse(plant, 500, 6 * HOUR_US)
    assert plant.truth()["strayed_ul"] == strayed_ul and plant.truth()["delivered_ul"] - before_ul == pytest.approx(125, rel=0.05)


@pytest.mark.parametrize("model, weight", [("child", 25.0), ("elderly", 70.0)])
def test_another_patient_has_another_body(model, weight):
    plant = Plant(PlantParams.load(), PatientParams.load(model))
    plant.fill(18_000.0, {"morphine": 1000.0}, into="pocket")
    plant.advance(2 * HOUR_US)
    adult = Plant(PlantParams.load(), PatientParams.load())
    adult.fill(18_000.0, {"morphine": 1000.0}, into="pocket")
    adult.advance(2 * HOUR_US)
    ratio = plant.truth()["plasma_ng_per_ml"]["morphine"] / adult.truth()["plasma_ng_per_ml"]["morphine"]
    assert ratio == pytest.approx(70 / weight, rel=0.3)
