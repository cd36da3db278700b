"""Fluid path from the head to the tip: parcels of liquid that are pushed in, spread along the bore, and leave at the tip.

Liquid does not give way, so a change of *rate* shows at the tip at once and a change of *concentration* only after the
dead volume. While all content is alike it is one parcel and a push costs O(1). Otherwise the content lies in cells of at
most CELL_UL that move with the flow (no numerical diffusion from advection) and spread once per BATCH_UL of flow by what
dispersion.py makes of it. Numerical error of a front's width: about CELL_UL^2 / 12 of added variance, 1 % at 0.5 mL/day
(tests/hw_sim/test_catheter.py). The internal tubing is taken as more catheter of the same bore.

What a push longer than the content brings beyond it passes straight through and leaves as one piece: a push costs what its cells cost,
whatever its length. How much comes in and goes out, and under what pressure, is swelling.py. A leak takes its share at its place: what
leaves elsewhere than at the tip is in `lost`. What flows back through the tip or a leak is what had just left it.
"""
from __future__ import annotations

import math

from .dispersion import Shear, diffused
from .params import CatheterParams
from .reservoir import Conc
from .swelling import Swelling

CELL_UL = 1.0       # widest cell: 0.45 cm of the reference bore, against a front of 1.2 cm at 0.5 mL/day
BATCH_UL = 4.0      # flow between two dispersion steps: about 1 % of the dead volume
SPECK_UL = 1e-6     # less than this is mixed into its neighbour whatever it holds: no cell is too thin to compute with
ALIKE = 1e-6        # spread below which content counts as one parcel, relative to the drug's highest inflow
ROUGHLY = 0.01      # likewise, within which what comes in is mixed into the cell at the head
NEARLY = 1e-3       # likewise, within which what leaves one behind the other in a long push is one piece

Pieces = list[tuple[float, Conc]]       # volume (uL) and concentrations that left at the tip, in order


class Catheter(Swelling):
    """The line's content. Either `_alike` holds its one concentration, or `_widths` and `_columns` its cells, tip first."""

    __slots__ = ("lost", "_shear", "_area_ul2_m2", "_alike", "_widths", "_columns", "_highest", "_moved_ul", "_spread_us")

    def __init__(self, params: CatheterParams):
        super().__init__(params)
        self.lost: Pieces = []          # what left elsewhere than at the tip, in order, until the plant takes it
        area_m2 = params.bore_ul_cm * 1e-7      # 1 uL/cm is 1e-9 m3 per 1e-2 m
        self._shear = Shear(params.diffusion_m2_s, math.sqrt(area_m2 / math.pi))
        self._area_ul2_m2 = (area_m2 * 1e9) ** 2
        self._alike: Conc | None = ()
        self._widths: list[float] = []
        self._columns: list[list[float]] = []
        self._highest: list[float] = []     # highest inflow so far, per drug: the scale of ALIKE
        self._moved_ul = 0.0                # flow since the last dispersion step ...
        self._spread_us = 0                 # ... which was at this instant

    def add_drug(self) -> None:
        """One more drug exists from now on; none of it is here yet."""
        if self._alike is not None:
            self._alike += (0.0,)
        self._columns.append([0.0] * len(self._widths))
        self._highest.append(0.0)

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
        if in_ul > BATCH_UL:
            pieces = self._push_far(in_ul, conc, out_ul)
        else:
            self._append(in_ul, conc)
            pieces = self._leave(out_ul)
        self._shear.flow(since_us, t_us, in_ul)
        if self._alike is not None:
            return pieces
        self._moved_ul += in_ul
        if self._moved_ul >= BATCH_UL:
            self._spread(t_us)
            self._collapse(conc, pieces)
        return pieces

    def _push_far(self, in_ul: float, conc: Conc, out_ul: float) -> Pieces:
        """A push of any length, by no more than the cells there are: what follows the last of them leaves as one piece.

        Behind a leak everything becomes the inflow first, in turns; from then on the leak loses that alone, and the open rest runs on by what is left.
        """
        pieces: Pieces = []
        if self.leak_share:
            first_ul = min(out_ul, math.fsum(self._widths) - self._leak_ul + CELL_UL)
            self._append(in_ul - out_ul + first_ul, conc)
            pieces = self._leave(first_ul, BATCH_UL)
            rest_ul = out_ul - first_ul
            self.lost.append((rest_ul * self.leak_share, conc))
            self.lost = self._merged(self.lost)
            in_ul = out_ul = rest_ul * (1 - self.leak_share)
        content_ul = math.fsum(self._widths)
        if out_ul >= content_ul:
            pieces += list(zip(self._widths, zip(*self._columns))) + [(out_ul - content_ul, conc)]
            self._become(conc)
        else:
            self._append(in_ul, conc)
            pieces += self._take(0, out_ul)
        return self._merged(pieces)

    def _merged(self, pieces: Pieces) -> Pieces:
        """The same with neighbours that are alike within NEARLY (of each drug's highest inflow) as one piece of their mean."""
        rooms, merged, first = [NEARLY * highest for highest in self._highest], pieces[:1], pieces[0][1]
        for volume_ul, conc in pieces[1:]:
            before_ul, mean = merged[-1]
            if min(volume_ul, before_ul) > 0 and all(abs(new - old) <= room for new, old, room in zip(conc, first, rooms)):
                share = volume_ul / (before_ul + volume_ul)
                merged[-1] = before_ul + volume_ul, tuple(old + (new - old) * share for old, new in zip(mean, conc))
            else:
                merged.append((volume_ul, conc))
                first = conc
        return merged

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
            abs(new - column[-1]) <= ROUGHLY * highest for new, column, highest in zip(conc, self._columns, self._highest))
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

    def _leave(self, out_ul: float, turn_ul: float = CELL_UL) -> Pieces:
        """Take `out_ul` off at the tip, a leak's share of it before, in turns of `turn_ul` at most."""
        if not self.leak_share or not out_ul:
            return self._take(0, out_ul)
        pieces: Pieces = []
        parts = max(1, math.ceil(out_ul / turn_ul))     # in turns, or a long push would leave all of its first liquid behind
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
        self._become(conc)

    def _become(self, conc: Conc) -> None:
        """All content is one parcel."""
        self._alike = conc
        self._widths = []
        self._columns = [[] for _ in self._columns]
