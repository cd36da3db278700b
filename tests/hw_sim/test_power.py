"""Power of a simulated pump: a flat cell, and one that gives way under the motor alone; nobody scripts the reset."""
import pytest

from thecal.hw_sim.power import BOOT_US
from thecal.hw_sim.recorder import Recorder

S, DAY_US = 1_000_000, 86_400_000_000


class Boots(Recorder):
    """When the plant browned out and booted."""

    def __init__(self):
        super().__init__(None)
        self.browned_us, self.booted_us = [], []

    def event(self, t_us, source, name, detail=""):
        if source == "plant":
            {"brown-out": self.browned_us, "power on": self.booted_us}[name].append(t_us)
        super().event(t_us, source, name, detail)


def test_a_flat_cell_leaves_the_pump_dark_until_the_drop_is_gone(new_world):
    world = new_world(ready=True)
    world.fault("battery_drop_mv", 2500.0)
    world.run_until(world.now_us + 3600 * S)
    wakes, turned = world.wakes, world.truth()["rotor_steps"]
    assert not world.powered and world.dark_us is not None
    world.run_until(world.now_us + 86_400 * S)
    assert world.wakes == wakes and world.truth()["rotor_steps"] == turned
    world.power_cut(5)
    world.run_until(world.now_us + 60 * S)
    assert not world.powered
    world.heal("battery_drop_mv")
    world.run_until(world.now_us + 3600 * S)
    assert world.powered and world.dark_us is None and world.wakes > wakes and world.truth()["rotor_steps"] > turned


@pytest.mark.req("TH-RULE-13", "TH-PLANT-09")
@pytest.mark.parametrize("ohm", [100.0, 400.0])
def test_a_film_resets_the_pump_at_its_next_pulse_and_in_its_midst(new_world, ohm):
    seen = Boots()
    world = new_world(ready=True, recorder=seen)
    world.run_until(world.now_us + DAY_US)
    resets = []
    world.reset_for = lambda from_us, to_us: resets.append((from_us, to_us))
    steps, pulses, since_us = world.truth()["rotor_steps"], world.pulses, world.now_us
    world.fault("battery_film_ohm", ohm)
    world.run_until(since_us + 3600 * S)
    made = world.pulses - pulses
    assert 20 <= made == len(seen.browned_us) == len(seen.booted_us) - 1      # one boot when it was built
    assert all(back_us - from_us == BOOT_US for from_us, back_us in zip(seen.browned_us, seen.booted_us[1:]))
    assert resets == [(from_us, from_us + BOOT_US) for from_us in seen.browned_us]
    assert world.powered and world.fired["battery_film_ohm"] <= seen.browned_us[0]
    assert 0 < world.truth()["rotor_steps"] - steps < 10 * made             # a few of 117 in each
    world.heal("battery_film_ohm")
    steps, pulses = world.truth()["rotor_steps"], world.pulses
    world.run_until(world.now_us + 3600 * S)
    assert len(seen.browned_us) == made and world.truth()["rotor_steps"] - steps == pytest.approx(117 * (world.pulses - pulses), rel=0.01)


def test_a_film_that_carries_the_motor_resets_nothing(new_world):
    seen = Boots()
    world = new_world(ready=True, recorder=seen)
    world.fault("battery_film_ohm", 60.0)
    steps = world.truth()["rotor_steps"]
    world.run_until(world.now_us + 7200 * S)
    assert not seen.browned_us and world.truth()["rotor_steps"] - steps > 40 * 117


def test_behind_a_film_a_switch_that_no_longer_opens_keeps_the_pump_dark(new_world):
    world = new_world(ready=True)
    world.fault("driver_stuck_on")
    world.fault("enable_stuck")
    world.plant.order(117, 200_000)
    world.fault("battery_film_ohm", 200.0)
    world.run_until(world.now_us + 10 * S)
    assert not world.powered and world.dark_us is not None
    world.heal("battery_film_ohm")
    assert world.powered and world.dark_us is None
