"""The synthetic firmwares of the speed bench run as any foreign firmware does, and do what their docstrings say."""

from pathlib import Path

import pytest

from thecal.hw_sim import bench
from thecal.hw_sim.world import World


@pytest.mark.parametrize("runtime", ["inprocess", pytest.param("micropython", marks=pytest.mark.micropython)])
def test_the_dense_loop_holds_its_speed(runtime):
    with World.build(runtime=runtime, firmware_dir=bench.SYNTHETIC / "loop100hz") as world:
        world.run_until(2_000_000)
        settled = world.plant.truth()["rotor_steps"]
        world.run_until(12_000_000)
        assert world.wakes == 1201
        # 5 counts of 4096 each 10 ms, and a count is a step: 5000 in 10 s, the encoder's noise averaged out by the integral
        assert world.plant.truth()["rotor_steps"] - settled == pytest.approx(5000, abs=25)


def test_the_bare_firmware_orders_nothing():
    with World.build(runtime="inprocess", firmware_dir=bench.SYNTHETIC / "bare") as world:
        world.run_until(1_000_000)
        assert (world.wakes, world.pulses) == (101, 0)


def test_every_synthetic_firmware_is_shipped():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    assert "synthetic/*/pump.py" in text
