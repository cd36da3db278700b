"""What a line stores behind a kink and what a leak takes: how much comes in and goes out, and the pressure that the head works against.

Faults are parameters. A kink stores what the head pushes: `stored_ul` over the compliance is the line pressure above that around the tip,
an outlet of conductance G lets it ooze on (tau = C / G, exact for any dt), a head that fills it slips by the pressure of
the way (`mean_kpa`, exact too), and healing releases it at once. An open line
empties within R C = 0.15 s and is taken as doing so at once. A leak is an outlet at a place along the catheter: of the open
line it takes its share, beside a kink behind it all that the kink holds back. A disconnected catheter is a leak of the
whole flow at the pump: what lies behind it stands still. A bubble adds V / P of compliance (Boyle's law at small
pressures: at 100 kPa above ambient the true gas would yield half as much), and ambient pressure swells or shrinks it.
Which liquid it is that goes out is catheter.py.
"""
from __future__ import annotations

import math

from .environment import STANDARD_KPA
from .params import CatheterParams

LINEAR = 1e-6       # of an exponent: below it a straight line is exact to the last digit but four


class Swelling:
    """The line as a vessel. `dead_ul`: its volume at rest, `stored_ul`: what it holds beyond that, `leak_share`: of what leaves, lost before the tip."""

    __slots__ = ("dead_ul", "stored_ul", "outlet_ul_kpa_s", "kinked", "leak_share", "compliance_ul_kpa", "_params", "_bubble_ul", "_ambient_kpa",
                 "_leak_ul")

    def __init__(self, params: CatheterParams):
        self.dead_ul = params.dead_ul
        self.stored_ul = 0.0            # swollen beyond the dead volume, behind a kink
        self.kinked = False
        self.outlet_ul_kpa_s = 0.0      # conductance of all ways out of a kinked line, 0 when fully closed
        self.leak_share = 0.0           # of what leaves the line
        self._params = params
        self.compliance_ul_kpa = params.compliance_ul_kpa
        self._bubble_ul = 0.0           # gas, at STANDARD_KPA
        self._ambient_kpa = STANDARD_KPA
        self._leak_ul = 0.0             # volume between the leak and the tip

    def set_faults(self, kink_ul_kpa_s: float | None = None, leak: float = 0.0, disconnected: bool = False, bubble_ul: float = 0.0,
                   ambient_kpa: float = STANDARD_KPA) -> float:
        """The line's faults from now on: conductance left in a kink (None: no kink), share 0..1 that leaks, gas (uL at STANDARD_KPA).

        What the line has stored stays in it; call outflow_ul() up to now before, and after it if the line has opened.
        Returns by how much the gas has grown with another ambient pressure (uL).
        """
        params = self._params
        leak = 1.0 if disconnected else leak
        self._leak_ul = params.catheter_ul * (1.0 if disconnected else 1 - params.leak_at)
        self.leak_share = leak
        self.outlet_ul_kpa_s = kink_ul_kpa_s or 0.0
        before_kink = disconnected or params.leak_at < params.kink_at
        self.kinked = kink_ul_kpa_s is not None and not (leak == 1.0 and before_kink)
        if self.kinked and leak and before_kink:        # two ways out side by side: the leak's, as it is against the open rest, and the kink's
            beyond = params.resistance_kpa_s_ul * (1 - params.leak_at)
            through_ul_kpa_s = leak / (1 - leak) / beyond
            self.outlet_ul_kpa_s += through_ul_kpa_s
            self.leak_share = through_ul_kpa_s / self.outlet_ul_kpa_s
        grown_ul = self._bubble_ul * STANDARD_KPA * (1 / ambient_kpa - 1 / self._ambient_kpa)
        self.dead_ul -= grown_ul        # the gas takes the liquid's room ...
        self.stored_ul += grown_ul      # ... and presses on it
        self._bubble_ul, self._ambient_kpa = bubble_ul, ambient_kpa
        self.compliance_ul_kpa = params.compliance_ul_kpa + bubble_ul * STANDARD_KPA / (ambient_kpa * ambient_kpa)
        return grown_ul

    @property
    def back_kpa(self) -> float:
        """Line pressure above CSF that the head works against."""
        return self.stored_ul / self.compliance_ul_kpa

    def outflow_ul(self, in_ul: float, dt_s: float) -> float:
        """Outflow at the tip while `in_ul` comes in evenly over `dt_s`; the rest swells or relaxes the line (`stored_ul`).

        Exact for any dt: stored' = in/dt - stored/tau with tau = compliance / outlet.
        """
        if not self.kinked:
            out, self.stored_ul = in_ul + self.stored_ul, 0.0
            return out
        before = self.stored_ul
        after = before + in_ul
        if self.outlet_ul_kpa_s and dt_s > 0:
            decades = dt_s * self.outlet_ul_kpa_s / self.compliance_ul_kpa
            gone = -math.expm1(-decades)
            after = before * (1 - gone) + in_ul / decades * gone
        self.stored_ul = after
        return before + in_ul - after

    def mean_kpa(self, in_ul: float, dt_s: float, slip_per_kpa: float) -> float:
        """Mean `back_kpa` over `dt_s` in which a head brings `in_ul` (as it would against none, evenly) and slips by `slip_per_kpa`.

        Exact: stored' = in/dt (1 - slip stored/C) - G stored/C, so that a motion slips the same however it is cut.
        """
        before, share = self.stored_ul, (slip_per_kpa * in_ul + self.outlet_ul_kpa_s * dt_s) / self.compliance_ul_kpa
        if abs(share) < LINEAR:
            return (before + (in_ul - before * share) / 2) / self.compliance_ul_kpa
        return (in_ul / share + (before - in_ul / share) * -math.expm1(-share) / share) / self.compliance_ul_kpa

    def oozing_us(self, since_us: int, t_us: int) -> int:
        """End of the span from `since_us` over which an even outflow has the same mean instant as what oozes until `t_us`, ever less."""
        decades = (t_us - since_us) * 1e-6 * self.outlet_ul_kpa_s / self.compliance_ul_kpa
        if decades < LINEAR:
            return t_us
        return since_us + round(2 * (t_us - since_us) * (1 / decades + math.exp(-decades) / math.expm1(-decades)))

    def room_ul(self, limit_kpa: float) -> float:
        """What the head can still push before the line reaches `limit_kpa` above CSF; endless in an open line."""
        return self.compliance_ul_kpa * limit_kpa - self.stored_ul if self.kinked else math.inf
