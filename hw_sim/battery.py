"""Primary cell: energy used, and the voltage that is left of it.

The voltage stays on a gently falling plateau and drops over a knee where the nominal capacity ends, so a voltage says
little about the remaining life until late: end-of-life estimates have to count energy.

A film in the cell is a resistance in series with all loads, above the healthy cell's own (which is in the voltage of the record). The
standing load and the controller that is awake lose little over it; the motor's current, twenty times theirs, much more: the terminal
voltage sags with the buffer beside the driver, R (1 - exp(-t / R C)), and may reach the driver's or the controller's lower limit within
the train. Resistive films like this one last (HSA Singapore, 2017-05-25: resistive film within the battery; low battery reset, premature
replacement and end-of-service indications). A passivated fresh cell recovers under load in seconds to hours (Eichinger, Li/SOCl2 films, NATO
CS 2; clinical.md 6.4 tells of no recovery): that is not modelled, the film goes when the fault is healed.
"""
from __future__ import annotations

import math

from .params import BatteryParams, MotorParams


class Battery:
    """The cell and what draws on it. Nothing is integrated: the energy is a sum of counters, so any jump is exact."""

    __slots__ = ("cell", "film_ohm", "_awake_ma", "_motor_ma", "_idle_mj_us", "_start_mj", "_step_mj", "_byte_mj", "_decoded_mj", "_wake_mj", "_leaked_mj", "_leak_mj_us", "_leak_us")

    def __init__(self, cell: BatteryParams, motor: MotorParams):
        self.cell = cell
        self.film_ohm = 0.0
        self._awake_ma = (cell.awake_uw + cell.idle_uw) / cell.full_mv                              # 1 uW / 1 mV is 1 mA
        self._motor_ma = motor.step_energy_mj * motor.steps_per_s * 1000 / cell.full_mv             # 1 mW / 1 V is 1 mA
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

    def awake_drop_mv(self) -> float:
        """What a film takes off the terminal voltage while the controller is awake and the motor is not driven."""
        return self.film_ohm * self._awake_ma

    def sag_mv(self, driven_us: int) -> float:
        """What it takes off beyond that when the motor has been driven for so long; 0 for a motor that is not driven."""
        if driven_us <= 0 or not self.film_ohm:
            return 0.0
        return self.film_ohm * self._motor_ma * -math.expm1(-driven_us / self._buffer_us())

    def sags_in_us(self, room_mv: float) -> float:
        """After how long a drive the sag has used up `room_mv`; endless where it never does."""
        share = room_mv / (self.film_ohm * self._motor_ma) if self.film_ohm else math.inf
        if share >= 1:
            return math.inf
        return -math.log1p(-share) * self._buffer_us() if share > 0 else 0.0

    def _buffer_us(self) -> float:
        return self.film_ohm * self.cell.buffer_uf      # 1 ohm x 1 uF is 1 us

    def listening_mj(self, wakes: int, received: int, sent: int) -> float:
        """Energy of the controller's wakes, for therapy or for the line, and of the bytes that came and went."""
        return self._wake_mj * wakes + (self._byte_mj + self._decoded_mj) * received + self._byte_mj * sent


def voltage_mv(cell: BatteryParams, energy_mj: float) -> float:
    """Cell voltage after `energy_mj` was drawn; never below 0."""
    depth = energy_mj / cell.capacity_mj
    # The bound keeps exp() finite; a cell that deep is flat whatever its knee.
    knee = cell.knee_mv * math.exp(min((depth - 1) / cell.knee_width, 50.0))
    return max(0.0, cell.full_mv - cell.plateau_slope_mv * depth - knee)
