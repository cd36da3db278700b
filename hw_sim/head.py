"""Roller pump head: the volume that the rotor's turning moves.

The volume is a cumulative function of the rotor's angle, tabulated per microstep: it climbs evenly within one roller
pitch, and each roller that leaves the tube gives `recoil_ul` back over `recoil_angle_deg` (smooth), which is a dip and,
where it is steeper than the climb, a brief reverse flow. A pulse's volume is a difference of this function, so a whole
revolution is exact whatever pulses it was made of. Slip and the gain fault are factors on that difference.
"""
from __future__ import annotations

from .params import HeadParams


def cumulative_ul(params: HeadParams, steps_per_rev: int) -> list[float]:
    """Volume moved from angle 0 to each microstep of one revolution (uL), without slip."""
    pitch = steps_per_rev / params.rollers
    leaving = params.recoil_angle_deg / 360 * steps_per_rev
    if leaving > pitch:
        raise ValueError("head recoil_angle_deg is %g, it must not exceed the roller pitch of %g"
                         % (params.recoil_angle_deg, 360 / params.rollers))
    per_pitch = params.volume_per_rev_ul / params.rollers
    table = []
    for step in range(steps_per_rev):
        passed, inside = divmod(step, pitch)
        into = max(0.0, (inside - (pitch - leaving)) / leaving)
        given_back = params.recoil_ul * into * into * (3 - 2 * into)
        table.append(passed * per_pitch + (per_pitch + params.recoil_ul) * inside / pitch - given_back)
    return table


class Head:
    """The head on its rotor. `gain` is 1 in a healthy head (over-infusing heads: 1.1..3)."""

    __slots__ = ("gain", "_table", "_steps_per_rev", "_per_rev_ul", "_slip_per_kpa")

    def __init__(self, params: HeadParams, steps_per_rev: int):
        self.gain = 1.0
        self._table = cumulative_ul(params, steps_per_rev)
        self._steps_per_rev = steps_per_rev
        self._per_rev_ul = params.volume_per_rev_ul
        self._slip_per_kpa = params.slip_per_kpa

    def volume_ul(self, rotor: int, steps: int, back_kpa: float) -> float:
        """Volume moved by `steps` from rotor position `rotor` against `back_kpa` (gauge to CSF); may be < 0 for a few steps."""
        start = rotor % self._steps_per_rev
        end = start + steps
        table = self._table
        if end < self._steps_per_rev:
            moved = table[end] - table[start]
        else:
            turns, end = divmod(end, self._steps_per_rev)
            moved = turns * self._per_rev_ul + table[end] - table[start]
        return moved * self.gain * (1 - self._slip_per_kpa * back_kpa)

    def steps_within(self, rotor: int, steps: int, back_kpa: float, room_ul: float) -> int:
        """The most of `steps` whose volume still fits into `room_ul` (bisection; blind to dips inside one pitch)."""
        if self.volume_ul(rotor, steps, back_kpa) <= room_ul:
            return steps
        low, high = 0, steps
        while high - low > 1:
            middle = (low + high) // 2
            if self.volume_ul(rotor, middle, back_kpa) <= room_ul:
                low = middle
            else:
                high = middle
        return low
