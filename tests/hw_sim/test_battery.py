"""Energy as a sum of counters, life of the order of the published one, a voltage with a plateau and a knee."""
import pytest
from thecal.hw_sim.battery import Battery, voltage_mv
from thecal.hw_sim.params import PlantParams

PARAMS = PlantParams.load()
DAY_US = 86_400_000_000


@pytest.fixture
def battery():
    return Battery(PARAMS.battery, PARAMS.motor)


def test_idle_pulses_steps_and_bytes_each_draw(battery):
    assert battery.used_mj(0, 0, 0, 0) == 0
    assert battery.used_mj(DAY_US, 0, 0, 0) == pytest.approx(50e-6 * 86400 * 1000)
    assert battery.used_mj(0, 3, 351, 0) == pytest.approx(3 * 0.5 + 351 * 0.074)
    assert battery.used_mj(0, 0, 0, 1000) == pytest.approx(0.87)


def test_life_at_half_a_millilitre_a_day_is_five_to_seven_years(battery):
    per_day = battery.used_mj(DAY_US, 500, 58514, 2000)
    assert 5 < PARAMS.battery.capacity_mj / per_day / 365.25 < 7


def test_voltage_stays_on_its_plateau_then_falls():
    cell = PARAMS.battery
    volts = [voltage_mv(cell, cell.capacity_mj * depth) for depth in (0.0, 0.5, 0.8, 0.95, 1.0, 1.1, 3.0)]
    assert volts == sorted(volts, reverse=True)
    assert volts[0] == pytest.approx(3600)
    assert volts[0] - volts[2] < 90
    assert 2500 < volts[4] < 2700
    assert volts[-1] == 0
