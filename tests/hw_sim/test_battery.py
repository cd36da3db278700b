"""Energy as a sum of counters, life of the order of the published one, a voltage with a plateau and a knee."""
import math

import pytest
from thecal.hw_sim.battery import Battery, voltage_mv
from thecal.hw_sim.params import PlantParams

PARAMS = PlantParams.load()
DAY_US = 86_400_000_000


@pytest.fixture
def battery():
    return Battery(PARAMS.battery, PARAMS.motor)


def test_idle_pulses_steps_wakes_and_bytes_each_draw(battery):
    assert battery.used_mj(0, 0, 0, 0, 0, 0) == 0
    assert battery.used_mj(DAY_US, 0, 0, 0, 0, 0) == pytest.approx(50e-6 * 86400 * 1000)
    assert battery.used_mj(0, 3, 351, 0, 0, 0) == pytest.approx(3 * 0.5 + 351 * 0.074)
    assert battery.used_mj(0, 0, 0, 1000, 0, 0) == pytest.approx(0.9)
    assert battery.used_mj(0, 0, 0, 0, 1000, 0) == pytest.approx(0.87 + 0.12)
    assert battery.used_mj(0, 0, 0, 0, 0, 1000) == pytest.approx(0.87)
    assert battery.used_mj(DAY_US, 3, 351, 7, 8, 9) - battery.used_mj(DAY_US, 3, 351, 0, 0, 0) == pytest.approx(battery.listening_mj(7, 8, 9))


def test_a_leak_draws_beside_the_rest_and_stays_drawn(battery):
    battery.leak(DAY_US, 200.0)
    assert battery.used_mj(2 * DAY_US, 0, 0, 0, 0, 0) == pytest.approx((2 * 50e-6 + 200e-6) * 86400 * 1000)
    battery.leak(2 * DAY_US, 100.0)
    battery.leak(4 * DAY_US, 0.0)
    assert battery.leaked_mj(9 * DAY_US) == pytest.approx(400e-6 * 86400 * 1000)
    assert battery.used_mj(9 * DAY_US, 0, 0, 0, 0, 0) == pytest.approx((9 * 50e-6 + 400e-6) * 86400 * 1000)


def test_the_controller_can_be_as_busy_as_the_battery_pays_for():
    """The constructed costs are those of one 3 mW controller: at line rate, and with a byte in each idle gap, it is awake for less than all the time."""
    cell, byte_s, active_mw = PARAMS.battery, 10 / 115200, 3.0
    decoding_s, step_s = cell.received_byte_mj / active_mw, cell.wake_mj / active_mw
    assert decoding_s / byte_s + step_s / (384 * byte_s) < 1
    assert (decoding_s + step_s) / (4.5 * byte_s) < 1


def test_life_at_half_a_millilitre_a_day_is_five_to_seven_years(battery):
    per_day = battery.used_mj(DAY_US, 500, 58514, 800, 1000, 1000)
    assert 5 < PARAMS.battery.capacity_mj / per_day / 365.25 < 7


def test_voltage_stays_on_its_plateau_then_falls():
    cell = PARAMS.battery
    volts = [voltage_mv(cell, cell.capacity_mj * depth) for depth in (0.0, 0.5, 0.8, 0.95, 1.0, 1.1, 3.0)]
    assert volts == sorted(volts, reverse=True)
    assert volts[0] == pytest.approx(3600)
    assert volts[0] - volts[2] < 90
    assert 2500 < volts[4] < 2700
    assert volts[-1] == 0


@pytest.mark.req("TH-RULE-13", "TH-PLANT-09")
def test_a_film_lowers_the_voltage_by_its_load(battery):
    """Ohm's law: 3 mW and the standing load of the controller, 74 mW of the motor, at 3.6 V; the buffer of 47 uF delays it by R C."""
    assert battery.awake_drop_mv() == battery.sag_mv(10**6) == 0 and battery.sags_in_us(1.0) == math.inf
    battery.film_ohm = 100.0
    assert battery.awake_drop_mv() == pytest.approx(100 * 3.05e-3 / 3.6 * 1000)
    deepest = 100 * 74e-3 / 3.6 * 1000
    assert battery.sag_mv(0) == 0 and battery.sag_mv(4700) == pytest.approx(deepest * (1 - math.exp(-1))) and battery.sag_mv(10**6) == pytest.approx(deepest)
    assert battery.sag_mv(10**6) > 20 * battery.awake_drop_mv()
    for room_mv in (10.0, 1000.0, 0.99 * deepest):
        assert battery.sag_mv(battery.sags_in_us(room_mv)) == pytest.approx(room_mv)
    assert battery.sags_in_us(deepest + 1) == math.inf and battery.sags_in_us(-1.0) == 0
