"""What the board's converters see of the plant: integers with quantum, noise, drift and temperature error.

One seeded random source per sensor, drawn at every call whatever the faults, so that equal call sequences give equal
values and a fault on one sensor does not disturb another. The level's noise is normal; that of pressure, temperature and
battery is uniform with the stated sigma (converter dither, and cheap on the pulse path). A count times its quantum
(params/sensors-*.toml) is the physical value: level 10 uL, inlet pressure 10 Pa absolute, temperature 0.01 C, battery
1 mV, encoder 1/4096 turn.
"""
from __future__ import annotations

import math
import random
from typing import NamedTuple

from .params import SensorParams

MAX_COUNT = 65535       # converters are 16 bits wide and saturate
US_PER_DAY = 86_400_000_000
WIDTH_PER_SIGMA = math.sqrt(12)     # full width of a uniform noise of sigma 1


class Sensed(NamedTuple):
    """One snapshot, as integers."""

    encoder_angle: int      # 0..4095, one rotor turn
    level_raw: int          # 10 uL a count
    inlet_raw: int          # 10 Pa a count, absolute
    temperature_raw: int    # 0.01 C a count
    battery_mv: int


class Sensors:
    """All sensors of one pump. `level_stuck` and `encoder_stuck` freeze the last value; `level_offset_ul` shifts the true one."""

    __slots__ = ("params", "level_stuck", "encoder_stuck", "level_offset_ul", "_steps_per_rev", "_t_us", "_drift_ul",
                 "_last_level", "_last_angle", "_angle", "_level", "_walk", "_inlet", "_temperature", "_battery",
                 "_noise_kpa", "_noise_c", "_noise_mv")

    def __init__(self, params: SensorParams, steps_per_rev: int, seed: int):
        def source(name: str) -> random.Random:
            return random.Random("sensor:%d:%s" % (seed, name))     # a text seed is hashed alike on every platform

        self.params = params
        self._noise_kpa, self._noise_c, self._noise_mv = (
            WIDTH_PER_SIGMA * sigma for sigma in (params.inlet_sigma_kpa, params.temperature_sigma_c, params.battery_sigma_mv))
        self.level_stuck = False
        self.encoder_stuck = False
        self.level_offset_ul = 0.0
        self._steps_per_rev = steps_per_rev
        self._t_us = 0
        self._drift_ul = 0.0
        self._last_level = 0
        self._last_angle = 0
        self._angle = source("encoder").random
        self._level = source("level").gauss
        self._walk = source("level drift").gauss
        self._inlet = source("inlet").random
        self._temperature = source("temperature").random
        self._battery = source("battery").random

    def read(self, t_us: int, rotor: int, level_ul: float, inlet_kpa: float, temperature_c: float, cell_mv: float) -> Sensed:
        """One snapshot at `t_us` of the true values (rotor in steps, the rest in the unit of its name)."""
        p = self.params
        jitter = p.encoder_jitter
        angle = (rotor * p.encoder_counts // self._steps_per_rev + int(self._angle() * (2 * jitter + 1)) - jitter) % p.encoder_counts
        if self.encoder_stuck:
            angle = self._last_angle
        self._last_angle = angle
        if t_us > self._t_us:
            self._drift_ul += self._walk(0.0, p.level_drift_ul_sqrt_day * math.sqrt((t_us - self._t_us) / US_PER_DAY))
            self._t_us = t_us
        seen_ul = ((level_ul + self.level_offset_ul) * (1 + p.level_per_k * (temperature_c - p.level_reference_c))
                   + self._drift_ul + self._level(0.0, p.level_sigma_ul))
        level = self._last_level if self.level_stuck else _count(seen_ul / p.level_quantum_ul)
        self._last_level = level
        return Sensed(angle, level,
                      _count((inlet_kpa + (self._inlet() - 0.5) * self._noise_kpa) / p.inlet_quantum_kpa),
                      _count((temperature_c + (self._temperature() - 0.5) * self._noise_c) / p.temperature_quantum_c),
                      _count(cell_mv + (self._battery() - 0.5) * self._noise_mv))


def _count(value: float) -> int:
    count = round(value)
    if 0 <= count <= MAX_COUNT:
        return count
    return 0 if count < 0 else MAX_COUNT
