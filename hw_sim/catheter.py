"""Fluid path from the head to the tip: parcels of liquid that are pushed in, spread along the bore, and leave at the tip.

Liquid does not give way, so a change of *rate* shows at the tip at once and a change of *concentration* only after the
dead volume. While all content is alike it is one parcel and a push costs O(1). Otherwise the content lies in cells of at
most CELL_UL that move with the flow (no numerical diffusion from advection) and spread once per BATCH_UL of flow by what
dispersion.py makes of it. Numerical error of a front's width: about CELL_UL^2 / 12 of added variance, 1 % at 0.5 mL/day
(tests/hw_sim/test_catheter.py). The internal tubing is taken as more catheter of the same bore.

Faults are parameters. A kink stores what the head pushes: `stored_ul` over the compliance is the line pressure above CSF,
an outlet of conductance G lets it ooze on (tau = C / G, exact for any dt), a head that fills it slips by the pressure of
the way (`mean_kpa`, exact too), and healing releases it at once. An open line
empties within R C = 0.15 s and is taken as doing so at once. A leak is an outlet at a place along the catheter: of the open
line it takes its share, beside a kink behind it all that the kink holds back. A disconnected catheter is a leak of the
whole flow at the pump: what lies behind it stands still. A bubble adds V / P of compliance (Boyle's law at small
pressures: at 100 kPa above ambient the true gas would yield half as much), and ambient pressure swells or shrinks it.
What leaves elsewhere than at the tip is in `lost`. What flows back through the tip or a leak is what had just left it.
"""
from __future__ import annotations

import math

from .dispersion import Shear, diffused
from .environment import STANDARD_KPA
from .params import CatheterParams
from .reservoir import Conc

CELL_UL = 1.0       # widest cell: 0.45 cm of the reference bore, against a front of 1.2 cm at 0.5 mL/day
BATCH_UL = 4.0      # flow between two dispersion steps: about 1 % of the dead volume
SPECK_UL = 1e-6     # less than this is mixed into its neighbour whatever it holds: no cell is too thin to compute with
LINEAR = 1e-6       # of an exponent: below it a straight line is exact to the last digit but four
ALIKE = 1e-6        # spread below which content counts as one parcel, relative to the drug's highest inflow

Pieces = list[tuple[float, Conc]]       # volume (uL) and concentrations that left at the tip, in order


class Catheter:
    """The line's content. Either `_alike` holds its one concentration, or `_widths` and `_columns` its cells, tip first."""

    __slots__ = ("dead_ul", "stored_ul", "outlet_ul_kpa_s", "kinked", "leak_share", "lost", "compliance_ul_kpa", "_params", "_bubble_ul",
                 "_ambient_kpa", "_leak_ul", "_shear", "_area_ul2_m2", "_alike", "_widths", "_columns", "_highest", "_moved_ul", "_spread_us")

    def __init__(self, params: CatheterParams):
        self.dead_ul = params.dead_ul
        self.stored_ul = 0.0            # swollen beyond the dead volume, behind a kink
        self.kinked = False
        self.outlet_ul_kpa_s = 0.0      # conductance of all ways out of a kinked line, 0 when fully closed
        self.leak_share = 0.0           # of what leaves the line
        self.lost: Pieces = []          # what left elsewhere than at the tip, in order, until the plant takes it
        self._params = params
        self.compliance_ul_kpa = params.compliance_ul_kpa
        self._bubble_ul = 0.0           # gas, at STANDARD_KPA
        self._ambient_kpa = STANDARD_KPA
        self._leak_ul = 0.0             # volume between the leak and the tip
        area_m2 = params.bore_ul_cm * 1e-7      # 1 uL/cm is 1e-9 m3 per 1e-2 m
        self._shear = Shear(params.diffusion_m2_s, math.sqrt(area_m2 / math.pi))
        self._area_ul2_m2 = (area_m2 * 1e9) ** 2
        self._alike: Conc | None = ()
        self._widths: list[float] = []
        self._columns: list[list[float]] = []
        self._highest: list[float] = []     # highest inflow so far, per drug: the scale of ALIKE
        self._moved_ul = 0.0                # flow since the last dispersion step ...
        self._spread_us = 0                 # ... which was at this instant

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

    def add_drug(self) -> None:
        """One more drug exists from now on; none of it is here yet."""
        if self._alike is not None:
            self._alike += (0.0,)
        self._columns.append([0.0] * len(self._widths))
        self._highest.append(0.0)

    @property
    def back_kpa(self) -> float:
        """Line pressure above CSF that the head works against."""
        return self.stored_ul / self.compliance_ul_kpa

    @property
    def tip_conc(self) -> Conc:
        """Concentrations (ng/uL) of the liquid at the tip."""
        return self._alike if self._alike is not None else tuple(column[0] for column in self._columns)

    def mass_ng(self) -> Conc:
        """Drug in the line."""
        if self._alike is not None:
            volume = self.dead_ul + self.stored_ul
            return tuple(conc * volume for conc in self._alike)
        return tuple(math.fsum(w * c for w, c in zip(self._widths, column)) for column in self._columns)

    def push(self, since_us: int, t_us: int, in_ul: float, conc: Conc, out_ul: float) -> Pieces:
        """Bring `in_ul` >= 0 in at the head evenly from `since_us` to `t_us` and let `out_ul` out; returns what left at the tip.

        Unless the line swells behind a kink, both are equal; a negative `out_ul` sucks liquid in at the tip.
        """
        alike = self._alike
        if alike is conc and alike is not None:
            return self._leave_alike(out_ul, alike) if self.leak_share else [(out_ul, alike)]
        if alike is not None:
            taken = self._push_alike(alike, in_ul, conc, out_ul)
            if taken is not None:
                return taken
            self._open_cells(t_us, alike, self.dead_ul + self.stored_ul - in_ul + out_ul)     # what is stored is booked behind the exchange
        self._append(in_ul, conc)
        pieces = self._leave(out_ul)
        self._shear.flow(since_us, t_us, in_ul)
        self._moved_ul += in_ul
        if self._moved_ul >= BATCH_UL:
            self._spread(t_us)
            self._collapse(conc, pieces)
        return pieces

    def release(self, since_us: int, t_us: int, out_ul: float) -> Pieces:
        """Let `out_ul` out at the tip while nothing comes in (the line relaxes); a negative volume is sucked in there."""
        if self._alike is not None:
            return self._leave_alike(out_ul, self._alike)
        self._shear.flow(since_us, t_us, out_ul)
        return self._leave(out_ul)

    def pull(self, since_us: int, t_us: int, back_ul: float, out_ul: float) -> tuple[Conc, Pieces]:
        """The head takes `back_ul` > 0 back; returns what it took, and what left at the tip (`out_ul` <= 0: was sucked in)."""
        pieces = self.release(since_us, t_us, out_ul)
        if self._alike is not None:
            return self._alike, pieces
        taken = [0.0] * len(self._columns)
        left = back_ul
        while left > 0:
            part = min(left, self._widths[-1])
            for i, column in enumerate(self._columns):
                taken[i] += part * column[-1]
            left -= part
            self._widths[-1] -= part
            if self._widths[-1] <= 0:
                self._widths.pop()
                for column in self._columns:
                    column.pop()
        return tuple(mass / back_ul for mass in taken), pieces

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

    def replace(self, t_us: int, volume_ul: float, conc: Conc) -> Pieces:
        """The `volume_ul` next to the tip is exchanged by hand for liquid of `conc`; returns what was there."""
        if self._alike is not None:
            self._open_cells(t_us, self._alike, self.dead_ul + self.stored_ul)
        self._highest = [max(known, new) for known, new in zip(self._highest, conc)]
        taken: Pieces = []
        left = volume_ul
        for at, width in enumerate(self._widths):
            part = min(width, left)
            if part < width - SPECK_UL and part > 0:        # the last cell is cut in two
                self._widths[at:at + 1] = [part, width - part]
                for column in self._columns:
                    column.insert(at, column[at])
            taken.append((part, tuple(column[at] for column in self._columns)))
            for column, new in zip(self._columns, conc):
                column[at] = new
            left -= part
            if left <= SPECK_UL:
                break
        return taken

    def port_push(self, t_us: int, at_ul: float, in_ul: float, conc: Conc) -> Pieces:
        """A needle brings `in_ul` > 0 in at `at_ul` before the tip; returns what left there: the content between first, then the injected."""
        if self._alike is not None:
            self._open_cells(t_us, self._alike, self.dead_ul + self.stored_ul)
        self._highest = [max(known, new) for known, new in zip(self._highest, conc)]
        self._cut(at_ul)
        nearer, at = 0.0, 0
        while at < len(self._widths) and nearer < at_ul - SPECK_UL:
            nearer += self._widths[at]
            at += 1
        left, cells = in_ul, 0
        while left > 0 and cells * CELL_UL < at_ul + CELL_UL:       # a queue no longer than the catheter: the first of it leaves as one piece
            part = left if left <= CELL_UL + SPECK_UL or (cells + 1) * CELL_UL >= at_ul + CELL_UL else CELL_UL
            self._widths.insert(at, part)
            for column, new in zip(self._columns, conc):
                column.insert(at, new)
            left -= part
            cells += 1
        self._shear.flow(t_us, t_us, in_ul)
        return self._leave(in_ul)

    def _cut(self, at_ul: float) -> None:
        """Cut the cell that reaches over `at_ul` before the tip in two."""
        passed = 0.0
        for at, width in enumerate(self._widths):
            if passed + width > at_ul + SPECK_UL:
                if at_ul - passed > SPECK_UL:
                    self._widths[at:at + 1] = [at_ul - passed, passed + width - at_ul]
                    for column in self._columns:
                        column.insert(at, column[at])
                return
            passed += width

    def _push_alike(self, alike: Conc, in_ul: float, conc: Conc, out_ul: float) -> Pieces | None:
        """Take a barely different inflow as alike; None if it differs by more than ALIKE.

        The line then holds the inflow's concentrations and the tiny difference leaves with this outflow: mass is exact.
        It must be an outflow that can carry it: none of its concentrations may become negative.
        """
        nearly = True
        for i, new in enumerate(conc):
            if new > self._highest[i]:
                self._highest[i] = new
            nearly = nearly and abs(new - alike[i]) <= ALIKE * self._highest[i]
        if not nearly or out_ul <= 0:
            return None
        volume = self.dead_ul + self.stored_ul      # behind the exchange: the plant has booked what is stored
        before = volume - in_ul + out_ul
        leaving = tuple((before * old + in_ul * new - volume * new) / out_ul for old, new in zip(alike, conc))
        if leaving and min(leaving) < 0:
            return None
        self._alike = conc
        return self._leave_alike(out_ul, leaving)

    def _leave_alike(self, out_ul: float, conc: Conc) -> Pieces:
        """Divide `out_ul` of one parcel between leak and tip."""
        if self.leak_share and out_ul:
            self.lost.append((out_ul * self.leak_share, conc))
            out_ul *= 1 - self.leak_share
        return [(out_ul, conc)]

    def _open_cells(self, t_us: int, alike: Conc, volume: float) -> None:
        count = max(1, math.ceil(volume / CELL_UL))
        self._widths = [volume / count] * count
        self._columns = [[conc] * count for conc in alike]
        self._alike = None
        self._moved_ul = 0.0
        self._shear.variance_ul2 = 0.0
        self._spread_us = t_us

    def _append(self, in_ul: float, conc: Conc) -> None:
        """Grow the cell at the head while it is alike within 1 % and not full, then open new ones."""
        left = in_ul
        last = self._widths[-1] if self._widths else CELL_UL
        room = CELL_UL - last
        alike = min(last, in_ul) < SPECK_UL or all(
            abs(new - column[-1]) <= 0.01 * highest for new, column, highest in zip(conc, self._columns, self._highest))
        if room > 0 and alike:
            part = min(left, room)
            share = part / (self._widths[-1] + part)
            for new, column in zip(conc, self._columns):
                column[-1] += (new - column[-1]) * share
            self._widths[-1] += part
            left -= part
        while left > 0:
            part = min(left, CELL_UL) if left > CELL_UL + SPECK_UL else left
            self._widths.append(part)
            for new, column in zip(conc, self._columns):
                column.append(new)
            left -= part

    def _place(self) -> int:
        """The first cell that lies beyond the leak as seen from the tip, by its middle."""
        passed_ul = 0.0
        for at, width in enumerate(self._widths):
            if passed_ul + width / 2 >= self._leak_ul:
                return at
            passed_ul += width
        return len(self._widths) - 1

    def _take(self, at: int, out_ul: float) -> Pieces:
        """Take `out_ul` out of cell `at` and those behind it towards the head; a negative volume swells the cell with its own liquid."""
        if out_ul <= 0:
            self._widths[at] -= out_ul
            return [(out_ul, tuple(column[at] for column in self._columns))]
        pieces: Pieces = []
        end, left = at, out_ul
        while end < len(self._widths) and self._widths[end] <= left:
            pieces.append((self._widths[end], tuple(column[end] for column in self._columns)))
            left -= self._widths[end]
            end += 1
        del self._widths[at:end]
        for column in self._columns:
            del column[at:end]
        if left > 0:
            pieces.append((left, tuple(column[at] for column in self._columns)))
            self._widths[at] -= left
        return pieces

    def _leave(self, out_ul: float) -> Pieces:
        """Take `out_ul` off at the tip, a leak's share of it before."""
        if not self.leak_share or not out_ul:
            return self._take(0, out_ul)
        pieces: Pieces = []
        parts = max(1, math.ceil(out_ul / CELL_UL))     # in turns, or a long push would leave all of its first liquid behind
        lost_ul = out_ul / parts * self.leak_share
        for _ in range(parts):
            at = self._place()
            self.lost += self._take(at, lost_ul)
            if self.leak_share < 1 and 0 < at < len(self._widths) and self._widths[at - 1] + self._widths[at] < CELL_UL:
                self._join(at)      # or the rest of each push would be a cell of its own on its way to the tip
            pieces += self._take(0, out_ul / parts - lost_ul)
        return pieces

    def _join(self, at: int) -> None:
        """Mix a cell into the next one towards the tip."""
        width = self._widths.pop(at)
        self._widths[at - 1] += width
        for column in self._columns:
            conc = column.pop(at)
            column[at - 1] += (conc - column[at - 1]) * width / self._widths[at - 1]

    def _spread(self, t_us: int) -> None:
        """Disperse for the time since the last step, by that time's shear; behind a leak by what is left of the flow."""
        dt_s = (t_us - self._spread_us) * 1e-6
        if dt_s <= 0:
            return
        still_ul2 = self._params.diffusion_m2_s * dt_s * self._area_ul2_m2
        sheared_ul2 = min(self._shear.variance_ul2 / 2, self.dead_ul * self.dead_ul)        # a whole line is no more than mixed
        spreads = [still_ul2 + sheared_ul2] * (len(self._widths) - 1)
        if self.leak_share:
            at, flowing = self._place(), 1 - self.leak_share
            spreads[:at] = [still_ul2 + sheared_ul2 * flowing * flowing] * at
            if at and not flowing:
                spreads[at - 1] = 0.0
        self._columns = diffused(self._widths, self._columns, spreads)
        self._shear.variance_ul2 = 0.0
        self._moved_ul = 0.0
        self._spread_us = t_us

    def _collapse(self, conc: Conc, pieces: Pieces) -> None:
        """Become one parcel of the inflow's `conc` when all cells are alike; what is left over leaves with the present outflow."""
        for new, column, highest in zip(conc, self._columns, self._highest):
            if max(column) - new > ALIKE * highest or new - min(column) > ALIKE * highest:
                return
        at = max(range(len(pieces)), key=lambda i: pieces[i][0])
        out_ul, leaving = pieces[at]
        if out_ul <= 0:
            return
        volume = self.dead_ul + self.stored_ul
        carried = tuple(old + (mass - new * volume) / out_ul for old, mass, new in zip(leaving, self.mass_ng(), conc))
        if min(carried) < 0:
            return
        pieces[at] = out_ul, carried
        self._alike = conc
        self._widths = []
        self._columns = [[] for _ in self._columns]
