"""Roller pump head: the volume that the rotor's turning moves.

The volume is a cumulative function of the rotor's angle, tabulated per microstep: it climbs evenly within one roller
pitch, and each roller that leaves the tube gives `recoil_ul` back over `recoil_angle_deg` (smooth), which is a dip and,
where it is steeper than the climb, a brief reverse flow. A pulse's volume is a difference of this function, so a whole
revolution is exact whatever pulses it was made of. Slip, wear and the gain fault are factors on that difference: wear is
1 - a (1 - exp(-rev/rev0)), its mean over the motion. A tube that was set by a long stop adds a lobe at each roller pass for
some revolutions, a difference of a cumulative function again. So none of them depends on how a motion is cut, but for a
product of factors that change within one motion: wear moves by 1e-7 a pulse.
"""
from __future__ import annotations

import math

from .params import HeadParams

CALIBRATED_C, CALIBRATED_AMBIENT_KPA = 37.0, 101.3      # at which a revolution is the volume of the record
NEVER = 1 << 62


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

    __slots__ = ("gain", "params", "_table", "_steps_per_rev", "_per_rev_ul", "_slip_per_kpa", "worn_share", "wear_rev", "_aged", "_worn_from", "_set_from",
                 "_set_ul", "_pass_steps", "_lobe_steps")

    def __init__(self, params: HeadParams, steps_per_rev: int):
        self.gain = 1.0
        self.params = params
        self._aged = params.wear_share > 0      # wear or a set tube are to be looked at
        self.worn_share, self._worn_from = 0.0, 0      # of the fault, from this rotor position on
        self.wear_rev: float = params.wear_rev          # ... and in how many revolutions
        self._set_ul, self._set_from = 0.0, NEVER
        self._pass_steps = steps_per_rev / params.rollers
        self._lobe_steps = params.recoil_angle_deg / 360 * steps_per_rev
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
        if self._aged:
            self._recover(rotor)
            moved = moved * self.worn(rotor, steps) + self.lobes_ul(rotor, steps)
        return moved * self.gain * (1 - self._slip_per_kpa * back_kpa)

    def worn(self, rotor: int, steps: int) -> float:
        """What wear leaves of the volume, 1 for a new head: the mean over `steps` (0 or more) from `rotor`."""
        left = 1.0
        for share, since, rev in ((self.params.wear_share, 0, self.params.wear_rev), (self.worn_share, self._worn_from, self.wear_rev)):
            if share:
                begin = (rotor - since) / self._steps_per_rev / rev
                span = steps / self._steps_per_rev / rev
                left *= 1 - share * (1 + math.exp(-begin) * (math.expm1(-span) / span if steps else -1))
        return left

    def wear(self, share: float, rotor: int, wear_rev: float) -> None:
        """Wear that begins at `rotor` and takes `share` (0..0.5) in the end, all but 1/e of it in `wear_rev`; 0 is a head as new."""
        self.worn_share, self._worn_from, self.wear_rev = share, rotor, wear_rev
        self._look_for_age()

    def set_tube(self, rotor: int, lobe_ul: float) -> None:
        """A roller has stood at `rotor` too long: `lobe_ul` more (or less) at every pass over that spot for `tube_set_rev`."""
        self._set_ul, self._set_from = lobe_ul, rotor
        self._look_for_age()

    def lobes_ul(self, rotor: int, steps: int) -> float:
        """What the set spot adds to `steps` from `rotor`."""
        if self._set_from == NEVER:
            return 0.0
        begin = rotor - self._set_from
        return self._set_ul * (self._passes(begin + steps) - self._passes(begin))

    def _recover(self, rotor: int) -> None:
        """Forget a set spot that is even again at `rotor`."""
        if rotor - self._set_from >= self.params.tube_set_rev * self._steps_per_rev:
            self._set_from = NEVER
            self._look_for_age()

    def _passes(self, since: int) -> float:
        """Roller passes, parts of the present one too, within `since` steps from where the spot was set; no more when it has recovered."""
        passed, inside = divmod(min(since, self.params.tube_set_rev * self._steps_per_rev), self._pass_steps)
        return passed + min(1.0, max(0.0, 1 - (self._pass_steps - inside) / self._lobe_steps))

    def _look_for_age(self) -> None:
        self._aged = self.params.wear_share > 0 or self.worn_share > 0 or self._set_from != NEVER

    def fill_share(self, inlet_kpa: float) -> float:
        """How far the tube fills between two rollers at `inlet_kpa` absolute: 1, or less where the reservoir pushes too little."""
        p = self.params
        return min(1.0, max(0.0, (inlet_kpa - p.no_fill_kpa) / (p.full_fill_kpa - p.no_fill_kpa)))

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
