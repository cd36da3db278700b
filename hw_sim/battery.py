"""Primary cell: energy used, and the voltage that is left of it.

The voltage stays on a gently falling plateau and drops over a knee where the nominal capacity ends, so a voltage says
little about the remaining life until late: end-of-life estimates have to count energy.
"""
from __future__ import annotations

import math

from .params import BatteryParams, MotorParams


class Battery:
    """The cell and what draws on it. Nothing is integrated: the energy is a sum of counters, so any jump is exact."""

    __slots__ = ("cell", "_idle_mj_us", "_start_mj", "_step_mj", "_byte_mj", "_decoded_mj", "_wake_mj", "_leaked_mj", "_leak_mj_us", "_leak_us")

    def __init__(self, cell: BatteryParams, motor: MotorParams):
        self.cell = cell
        self._idle_mj_us = cell.idle_uw * 1e-9      # 1 uW for 1 us is 1e-9 mJ
        self._start_mj = motor.start_energy_mj
        self._step_mj = motor.step_energy_mj
        self._byte_mj = cell.telemetry_byte_mj
        self._decoded_mj = cell.received_byte_mj
        self._wake_mj = cell.wake_mj
        self._leaked_mj = self._leak_mj_us = 0.0        # a load that nobody ordered: drawn up to _leak_us, and since
        self._leak_us = 0

    def used_mj(self, t_us: int, pulses: int, steps: int, wakes: int, received: int, sent: int) -> float:
        """Energy drawn since the start: standing load, motor trains and their steps (turned or stalled), and `listening_mj`."""
        used_mj = self._idle_mj_us * t_us + self._start_mj * pulses + self._step_mj * steps + self.listening_mj(wakes, received, sent)
        if self._leak_mj_us or self._leaked_mj:
            used_mj += self.leaked_mj(t_us)
        return used_mj

    def leaked_mj(self, t_us: int) -> float:
        """What the load that nobody ordered has drawn by `t_us`."""
        return self._leaked_mj + self._leak_mj_us * (t_us - self._leak_us)

    def leak(self, t_us: int, load_uw: float) -> None:
        """From `t_us` on `load_uw` (>= 0) flows beside the pump's own."""
        self._leaked_mj = self.leaked_mj(t_us)
        self._leak_mj_us, self._leak_us = load_uw * 1e-9, t_us

    def listening_mj(self, wakes: int, received: int, sent: int) -> float:
        """Energy of the controller's wakes, for therapy or for the line, and of the bytes that came and went."""
        return self._wake_mj * wakes + (self._byte_mj + self._decoded_mj) * received + self._byte_mj * sent


def voltage_mv(cell: BatteryParams, energy_mj: float) -> float:
    """Cell voltage after `energy_mj` was drawn; never below 0."""
    depth = energy_mj / cell.capacity_mj
    # The bound keeps exp() finite; a cell that deep is flat whatever its knee.
    knee = cell.knee_mv * math.exp(min((depth - 1) / cell.knee_width, 50.0))
    return max(0.0, cell.full_mv - cell.plateau_slope_mv * depth - knee)
