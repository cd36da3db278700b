"""What the board's converters see of the plant: integers with quantum, noise, drift and temperature error.

One seeded random source per sensor, drawn at every call whatever the faults, so that equal call sequences give equal
values and a fault on one sensor does not disturb another; faults that are noise have sources of their own. A faulty sensor
shows something else than the healthy one would: that instant is told, as the fault's proof. The level's noise is normal; that of pressure, temperature and
battery is uniform with the stated sigma (converter dither, and cheap on the pulse path). A count times its quantum
(params/sensors-*.toml) is the physical value: level 10 uL, inlet pressure 10 Pa absolute, temperature 0.01 C, battery
1 mV, encoder 1/4096 turn.
"""
from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

from .params import SensorParams

# What a sensor's fault shows in: the place in Sensed.
STUCK = {"level_stuck": 1, "inlet_stuck": 2, "temperature_stuck": 3}
SENSOR_FAULTS = {"encoder_noise": 0, "encoder_stuck": 0, "encoder_dead": 0, "level_offset_ul": 1, "level_drift_ul_day": 1, "level_noise_ul": 1,
                 "inlet_offset_kpa": 2, "temperature_offset_c": 3, "battery_drop_mv": 4, **STUCK}
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
    """All sensors of one pump. `stuck` ones freeze the last value shown; see `set_faults`."""

    __slots__ = ("params", "_faults", "_fire", "_drifting_us", "_steps_per_rev", "_t_us", "_drift_ul", "_last", "_angle", "_level", "_walk", "_inlet",
                 "_temperature", "_battery", "_noise_kpa", "_noise_c", "_noise_mv", "_level_fault", "_angle_fault")

    def __init__(self, params: SensorParams, steps_per_rev: int, seed: int):
        def source(name: str) -> random.Random:
            return random.Random("sensor:%d:%s" % (seed, name))     # a text seed is hashed alike on every platform

        self.params = params
        self._noise_kpa, self._noise_c, self._noise_mv = (
            WIDTH_PER_SIGMA * sigma for sigma in (params.inlet_sigma_kpa, params.temperature_sigma_c, params.battery_sigma_mv))
        self._faults: Mapping[str, float] = {}
        self._fire: Callable[[str, int], None] = lambda name, t_us: None
        self._drifting_us = 0
        self._steps_per_rev = steps_per_rev
        self._t_us = 0
        self._drift_ul = 0.0
        self._last = Sensed(0, 0, 0, 0, 0)
        self._angle_fault, self._level_fault = source("encoder fault").gauss, source("level fault").gauss
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
        if t_us > self._t_us:
            self._drift_ul += self._walk(0.0, p.level_drift_ul_sqrt_day * math.sqrt((t_us - self._t_us) / US_PER_DAY))
            self._t_us = t_us
        per_k = 1 + p.level_per_k * (temperature_c - p.level_reference_c)
        seen_ul = level_ul * per_k + self._drift_ul + self._level(0.0, p.level_sigma_ul)
        seen_kpa = inlet_kpa + (self._inlet() - 0.5) * self._noise_kpa
        seen_c = temperature_c + (self._temperature() - 0.5) * self._noise_c
        seen_mv = cell_mv + (self._battery() - 0.5) * self._noise_mv
        if self._faults:
            return self._bent(t_us, angle, seen_ul, per_k, seen_kpa, seen_c, seen_mv)
        seen = self._last = Sensed(angle, _count(seen_ul / p.level_quantum_ul), _count(seen_kpa / p.inlet_quantum_kpa),
                                   _count(seen_c / p.temperature_quantum_c), _count(seen_mv))
        return seen

    def _counts(self, angle: int, seen_ul: float, seen_kpa: float, seen_c: float, seen_mv: float) -> Sensed:
        p = self.params
        return Sensed(angle, _count(seen_ul / p.level_quantum_ul), _count(seen_kpa / p.inlet_quantum_kpa),
                      _count(seen_c / p.temperature_quantum_c), _count(seen_mv))

    def set_faults(self, t_us: int, present: Mapping[str, float], fire: Callable[[str, int], None]) -> None:
        """The faults of plant_faults.FAULTS that are sensors', from `t_us` on; `fire(name, t_us)` is told whenever one changes what is shown."""
        found = {name: present[name] for name in SENSOR_FAULTS if name in present}
        if "level_drift_ul_day" in found and found["level_drift_ul_day"] != self._faults.get("level_drift_ul_day"):
            self._drifting_us = t_us
        self._faults, self._fire = found, fire

    def _bent(self, t_us: int, angle: int, seen_ul: float, per_k: float, seen_kpa: float, seen_c: float, seen_mv: float) -> Sensed:
        """A snapshot of sensors with faults. Each is told only when the count differs from the one without it."""
        faults, p, last = self._faults, self.params, self._last
        healthy = self._counts(angle, seen_ul, seen_kpa, seen_c, seen_mv)
        if "encoder_noise" in faults:
            angle = (angle + round(self._angle_fault(0.0, faults["encoder_noise"]))) % p.encoder_counts
        seen_ul += faults.get("level_offset_ul", 0.0) * per_k
        seen_ul += faults.get("level_drift_ul_day", 0.0) * (t_us - self._drifting_us) / US_PER_DAY
        if "level_noise_ul" in faults:
            seen_ul += self._level_fault(0.0, faults["level_noise_ul"])
        angle = 0 if "encoder_dead" in faults else last.encoder_angle if "encoder_stuck" in faults else angle
        shown = self._counts(angle, seen_ul, seen_kpa + faults.get("inlet_offset_kpa", 0.0), seen_c + faults.get("temperature_offset_c", 0.0),
                             seen_mv - faults.get("battery_drop_mv", 0.0))
        for name, at in STUCK.items():
            if name in faults:
                shown = shown._replace(**{Sensed._fields[at]: last[at]})
        for name, at in SENSOR_FAULTS.items():
            if name in faults and shown[at] != healthy[at]:
                self._fire(name, t_us)
        self._last = shown
        return shown


def _count(value: float) -> int:
    count = round(value)
    if 0 <= count <= MAX_COUNT:
        return count
    return 0 if count < 0 else MAX_COUNT
