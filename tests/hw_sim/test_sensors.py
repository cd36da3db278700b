"""Noise, drift, quantum and temperature error as stated; seeds; faults freeze one sensor and leave the others alone."""
import math
import statistics

import pytest
from thecal.hw_sim.params import PlantParams
from thecal.hw_sim.sensors import Sensors

PARAMS = PlantParams.load().sensors
DAY_US = 86_400_000_000


def read(sensors, t_us=0, rotor=1000, level_ul=10000.0, inlet_kpa=132.0, temperature_c=37.0, cell_mv=3500.0):
    return sensors.read(t_us, rotor, level_ul, inlet_kpa, temperature_c, cell_mv)


def test_level_noise_is_50_ul_white_on_a_10_ul_quantum():
    sensors = Sensors(PARAMS, 4096, 1)
    levels = [read(sensors).level_raw * 10 for _ in range(4000)]
    assert statistics.mean(levels) == pytest.approx(10000, abs=4)
    assert statistics.stdev(levels) == pytest.approx(50, rel=0.05)
    assert abs(statistics.correlation(levels[1:], levels[:-1])) < 0.06


def test_drift_is_a_random_walk_of_50_ul_a_root_day_whatever_the_cadence():
    for steps in (1, 9):
        ends = []
        for seed in range(300):
            sensors = Sensors(PARAMS, 4096, seed)
            for i in range(1, steps + 1):
                look = read(sensors, t_us=9 * DAY_US * i // steps)
            ends.append(look.level_raw * 10 - 10000)
        assert statistics.stdev(ends) == pytest.approx(math.hypot(150, 50), rel=0.13)


def test_level_reads_a_fifth_of_a_percent_more_per_kelvin_and_takes_an_offset():
    sensors = Sensors(PARAMS, 4096, 2)
    warm = statistics.mean(read(sensors, temperature_c=39.0).level_raw * 10 for _ in range(1000))
    assert warm == pytest.approx(10040, abs=6)
    sensors.set_faults(0, {"level_offset_ul": -500.0}, lambda name, t_us: None)
    assert statistics.mean(read(sensors).level_raw * 10 for _ in range(1000)) == pytest.approx(9500, abs=6)


def test_other_sensors_show_their_value_in_counts_with_the_stated_sigma():
    sensors = Sensors(PARAMS, 4096, 3)
    looks = [read(sensors) for _ in range(3000)]
    for name, value, sigma in (("inlet_raw", 13200, 10), ("temperature_raw", 3700, 2), ("battery_mv", 3500, 2)):
        counts = [getattr(look, name) for look in looks]
        assert statistics.mean(counts) == pytest.approx(value, abs=sigma / 10)
        assert statistics.stdev(counts) == pytest.approx(sigma, rel=0.08)
    assert {look.encoder_angle for look in looks} == {999, 1000, 1001}


def test_encoder_wraps_at_one_turn_in_both_directions():
    sensors = Sensors(PARAMS, 4096, 3)
    assert {read(sensors, rotor=3 * 4096).encoder_angle for _ in range(200)} == {4095, 0, 1}


def test_equal_call_sequences_are_equal_and_another_seed_differs():
    looks = [[read(Sensors(PARAMS, 4096, seed), t_us=t) for t in range(0, 50 * DAY_US, DAY_US)] for seed in (5, 5, 6)]
    assert looks[0] == looks[1] != looks[2]


def test_a_stuck_sensor_freezes_and_disturbs_no_other():
    healthy, faulty = Sensors(PARAMS, 4096, 7), Sensors(PARAMS, 4096, 7)
    first = read(faulty)
    assert first == read(healthy)
    faulty.set_faults(0, {"level_stuck": True, "encoder_stuck": True}, lambda name, t_us: None)
    for i in range(1, 20):
        sick = read(faulty, t_us=i, rotor=1000 + 40 * i, level_ul=10000.0 - 100 * i)
        well = read(healthy, t_us=i, rotor=1000 + 40 * i, level_ul=10000.0 - 100 * i)
        assert (sick.level_raw, sick.encoder_angle) == (first.level_raw, first.encoder_angle)
        assert sick[2:] == well[2:]
    faulty.set_faults(0, {}, lambda name, t_us: None)
    assert read(faulty, t_us=20) == read(healthy, t_us=20)


def test_converters_saturate_instead_of_wrapping():
    sensors = Sensors(PARAMS, 4096, 8)
    assert read(sensors, level_ul=-5000.0, inlet_kpa=1e6)[1:3] == (0, 65535)
