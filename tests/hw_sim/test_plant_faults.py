"""Every fault of the plant: it is refused where it makes no sense, changes truth or what is sensed, and proves it by having fired."""
import pytest
from thecal.hw_sim.params import PatientParams, PlantParams
from thecal.hw_sim.plant import Plant
from thecal.hw_sim.plant_faults import FAULTS, FaultLog

PARAMS, ADULT = PlantParams.load("reference"), PatientParams.load("adult")
S, HOUR_US = 1_000_000, 3_600_000_000
HOLD_US = 500_000


def live(plant, hours=2.0, steps=117, every_s=120):
    """Two hours of 1 uL pulses with a look by the sensors before each, as a pump does it, and its self-test of the open switch; all readings."""
    seen = []
    for _ in range(int(hours * 3600 / every_s)):
        plant.advance(plant.t_us + every_s * S)
        seen.append(plant.sense())
        plant.order(steps, HOLD_US)
    plant.advance(plant.t_us + S)
    plant.order(13, 0)
    plant.advance(plant.t_us + S)
    return seen


def new_plant(seed=1):
    plant = Plant(PARAMS, ADULT, seed=seed)
    plant.fill(20_000.0, {"baclofen": 500.0})
    plant.advance(S)
    plant.sense()
    return plant


@pytest.mark.req("TH-RULE-13")
@pytest.mark.parametrize("name", sorted(FAULTS))
def test_each_fault_fires_in_a_minimal_life_and_changes_plant_or_readings(name):
    well, ill = new_plant(), new_plant()
    if name == "gear_bind":     # it needs a field to bind in
        for plant in (well, ill):
            plant.faults.set("field_t")
        ill.faults.set(name, 3.0)
        for plant in (well, ill):
            plant.advance(plant.t_us + 600 * S)
            plant.faults.clear("field_t")
    else:
        if name == "bubble_ul":     # it needs a line that swells
            for plant in (well, ill):
                plant.faults.set("kink")
        ill.faults.set(name)
    assert name not in ill.faults.log.fired
    seen = []
    for plant in (well, ill):
        readings = live(plant)
        seen.append((readings, plant.truth() | {"mass_error": 0.0}))
    assert seen[0] != seen[1]
    assert 0 < ill.faults.log.fired[name] <= 2.5 * HOUR_US
    assert ill.mass_error() < 1e-9
    ill.faults.clear(name)
    last = ill.faults.log.occurrences[-1]
    assert (last.name, last.cleared_us) == (name, ill.t_us) and name not in ill.faults


@pytest.mark.req("TH-PLANT-04")
def test_a_stall_that_meets_no_pulse_has_not_fired():
    plant = new_plant()
    plant.faults.set("rotor_stall")
    plant.advance(HOUR_US)
    plant.faults.clear("rotor_stall")
    live(plant, 0.1)
    assert plant.faults.log.fired == {} and plant.truth()["lost_steps"] == 0
    assert [(seen.name, seen.fired_us) for seen in plant.faults.log.occurrences] == [("rotor_stall", None)]


def test_the_log_keeps_the_first_instant_of_each_setting():
    log = FaultLog()
    log.fire("kink", 5)             # not set: nothing
    log.begin("kink", 0.0, 10)
    log.fire("kink", 20)
    log.fire("kink", 30)
    log.begin("kink", 0.1, 40)      # another value is another fault
    log.end("kink", 50)
    log.fire("kink", 60)
    assert [(seen.set_us, seen.fired_us, seen.cleared_us) for seen in log.occurrences] == [(10, 20, 40), (40, None, 50)]
    assert log.fired == {"kink": 20}
