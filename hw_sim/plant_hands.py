"""The plant's contents and the hands on them: syringes at the two ports, lumbar punctures, tablets, and where each drug's mass is.

`Hands` holds the bodies that contain drug and the books of every nanogram; plant.py puts time, motion and sensors on top. Each act
happens at the plant's present instant (`t_us`). Units as in plant.py: uL, ng, ng/uL (the same number as ug/mL), ng/mL in the body.
"""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from .catheter import Catheter, Pieces
from .csf import Csf, for_patient
from .oral import Oral
from .params import PatientParams, PlantParams
from .plasma import Plasma
from .plasma import modes as plasma_modes
from .reservoir import Conc, Reservoir

# A dose that took less than this is an impulse at its middle: the error is (rate x duration)^2 / 24, 1e-8 at 4/h.
IMPULSE_US = 1_000_000


class Hands:
    """Everything of a plant that holds drug. `t_us` is the instant it has been advanced to."""

    __slots__ = ("params", "patient", "t_us", "_reservoir", "_line", "_index", "_csf", "_plasma", "_oral", "_delivered_ul", "_pocket_ul", "_port_ul", "_filled_ng",
                 "_injected_ng", "_withdrawn_ng", "_tip_ng", "_pocket_ng", "_stray_share", "_strayed_ul", "_strayed_ng", "_walls_ng")

    def __init__(self, params: PlantParams, patient: PatientParams):
        self.params = params
        self.patient = patient
        self.t_us = 0
        self._reservoir = Reservoir(params.reservoir)
        self._line = Catheter(params.catheter)
        self._index: dict[str, int] = {}        # drugs in their order of appearance: the order of every Conc
        self._csf: list[Csf] = []
        self._plasma: list[Plasma] = []
        self._oral: dict[str, Oral] = {}
        self._delivered_ul = 0.0
        self._pocket_ul = 0.0                   # under the skin beside the pump: missed ports, a leaking septum
        self._port_ul = 0.0                     # through the access port
        self._filled_ng: list[float] = []
        self._injected_ng: list[float] = []
        self._withdrawn_ng: list[float] = []
        self._tip_ng: list[float] = []
        self._pocket_ng: list[float] = []
        self._stray_share = 0.0                 # of what leaves at the tip: it is no longer in the spinal fluid
        self._strayed_ul = 0.0                  # left the line, did not reach the fluid
        self._strayed_ng: list[float] = []
        self._walls_ng: list[float] = []        # taken up by the bellows

    # ---- the reservoir's port

    def fill(self, volume_ul: float, conc: Mapping[str, float], overfill: bool = False, into: str = "reservoir") -> None:
        """Inject `volume_ul` through the septum; `conc` is ng/uL per drug (none: water or saline). `into` "pocket": the needle missed it.

        Raises ValueError for a drug without parameters, a negative concentration, or a volume above the capacity (above
        the overfill limit with `overfill`, a hazard); no liquid has moved then.
        """
        mixture = self._mixture(conc, "fill")
        if into == "pocket":
            if not 0 < volume_ul < math.inf:
                raise ValueError("fill of %g uL: the volume must be above 0" % volume_ul)
            self._leaked(volume_ul, mixture)
        else:
            self._reservoir.fill(volume_ul, mixture, overfill)
        for i, value in enumerate(mixture):
            self._filled_ng[i] += value * volume_ul
        self._contents_changed()

    def withdraw(self, volume_ul: float = math.inf) -> float:
        """Take `volume_ul` (> 0) out of the reservoir with a syringe, or all down to its residual; returns the volume (uL)."""
        volume = self._reservoir.withdraw(volume_ul)
        for i, conc in enumerate(self._reservoir.conc):
            self._withdrawn_ng[i] += conc * volume
        self._contents_changed()
        return volume

    def _contents_changed(self) -> None:
        """The reservoir holds another volume than the pump made: a subclass looks at what follows from it."""

    def _leaked(self, volume_ul: float, conc: Conc, since_us: int | None = None) -> None:
        """Liquid comes into the pocket now, or evenly since then; the blood takes its drugs up from there. Call it before time goes on."""
        self._pocket_ul += volume_ul
        for i, value in enumerate(conc):
            self._pocket_ng[i] += value * volume_ul
            self._plasma[i].leak(self.t_us if since_us is None else since_us, self.t_us, value * volume_ul)

    # ---- the catheter's access port

    def port_injection(self, volume_ul: float, conc: Mapping[str, float]) -> None:
        """Inject through the access port, straight into the catheter: its content leaves at the tip first. Raises ValueError as `fill`."""
        if not 0 < volume_ul < math.inf:
            raise ValueError("port injection of %g uL: the volume must be above 0" % volume_ul)
        mixture = self._mixture(conc, "port injection")
        for i, value in enumerate(mixture):
            self._filled_ng[i] += value * volume_ul
        pieces = self._line.port_push(self.t_us, self.params.catheter.dead_ul - self.params.catheter.tubing_ul, volume_ul, mixture)
        self._port_ul += volume_ul
        self._deliver(pieces, self.t_us, self.t_us)

    def catheter(self, conc: Mapping[str, float]) -> None:
        """The catheter (not the tubing before it) holds this from now on (ng/uL per drug; none: it was aspirated). Raises ValueError as `fill`."""
        mixture = self._mixture(conc, "catheter")
        volume_ul = self.params.catheter.dead_ul - self.params.catheter.tubing_ul
        for part_ul, was in self._line.replace(self.t_us, volume_ul, mixture):
            for i, value in enumerate(was):
                self._withdrawn_ng[i] += part_ul * value
                self._filled_ng[i] += part_ul * mixture[i]

    # ---- the body

    def inject(self, drug: str, dose_ng: float, since_us: int | None = None) -> None:
        """Lumbar puncture or catheter (trial): `dose_ng` straight into the lumbar fluid now, or evenly since `since_us`. Raises ValueError."""
        if not 0 <= dose_ng < float("inf"):
            raise ValueError("injection of %g ng %s: the dose must be 0 or more" % (dose_ng, drug))
        i = self._drug(drug)
        self._injected_ng[i] += dose_ng
        self._infuse(i, self.t_us if since_us is None else min(since_us, self.t_us), self.t_us, dose_ng)

    def oral(self, drug: str, dose_mg: float) -> None:
        """A tablet of `dose_mg` now, into compartments of its own, for comparison only. Raises ValueError."""
        oral_params = self._drug_params(drug).oral
        if oral_params is None:
            raise ValueError("%s has no oral route in its parameter file" % drug)
        if not 0 <= dose_mg < float("inf"):
            raise ValueError("tablet of %g mg %s: the dose must be 0 or more" % (dose_mg, drug))
        if drug not in self._oral:
            self._oral[drug] = Oral(oral_params, self.t_us)
        self._oral[drug].swallow(self.t_us, dose_mg)

    def _deliver(self, pieces: Pieces, start_us: int, end_us: int) -> None:
        """Bring what left at the tip between two instants into the lumbar fluid, and what strayed into the tissue."""
        if self._stray_share or self._line.lost:
            pieces = self._stray(pieces, start_us, end_us)
        if end_us - start_us <= IMPULSE_US:
            middle_us = (start_us + end_us) >> 1
            tip_ng = self._tip_ng
            for volume, conc in pieces:
                self._delivered_ul += volume
                i = 0
                for csf in self._csf:
                    dose_ng = volume * conc[i]
                    if dose_ng:
                        tip_ng[i] += dose_ng
                        csf.dose(middle_us, dose_ng)
                    i += 1
            return
        for begin_us, until_us, volume, conc in _in_turn(pieces, start_us, end_us):
            self._delivered_ul += volume
            for i in range(len(self._csf)):
                dose_ng = volume * conc[i]
                self._tip_ng[i] += dose_ng
                self._infuse(i, begin_us, until_us, dose_ng)

    def _stray(self, pieces: Pieces, start_us: int, end_us: int) -> Pieces:
        """Bring into the tissue what left at a leak, and of `pieces` what a migrated tip does not put into the fluid; returns the rest."""
        share = self._stray_share
        ways = [self._line.lost, [(volume * share, conc) for volume, conc in pieces if share]]
        astray = ways[0] + ways[1]
        self._line.lost = []
        for i, plasma in enumerate(self._plasma):
            dose_ng = math.fsum(volume * conc[i] for volume, conc in astray)
            self._strayed_ng[i] += dose_ng
            if end_us - start_us <= IMPULSE_US:
                plasma.leak(start_us, end_us, dose_ng)
                continue
            for way in ways:
                for begin_us, until_us, volume, conc in _in_turn(way, start_us, end_us):
                    plasma.leak(begin_us, until_us, volume * conc[i])
        self._strayed_ul += math.fsum(volume for volume, _ in astray)
        return [(volume * (1 - share), conc) for volume, conc in pieces]

    def _infuse(self, drug: int, start_us: int, end_us: int, dose_ng: float) -> None:
        """`dose_ng` into the lumbar fluid, evenly between two instants (at once if they are equal)."""
        if end_us > start_us:
            self._csf[drug].infuse(start_us, end_us, dose_ng)
        else:
            self._csf[drug].dose(end_us, dose_ng)

    # ---- drugs and their books

    def _mixture(self, conc: Mapping[str, float], what: str) -> Conc:
        """Concentrations in the plant's order; drugs that are new are made known. Raises ValueError, and then none is."""
        for drug, value in conc.items():
            self._drug_params(drug)
            if not 0 <= value < float("inf"):
                raise ValueError("%s with %s at %g ng/uL: it must be 0 or more" % (what, drug, value))
        for drug in conc:
            self._drug(drug)
        return tuple(float(conc.get(drug, 0.0)) for drug in self._index)

    def _drug_params(self, drug: str) -> Any:
        if drug not in self.params.drugs:
            raise ValueError("no parameters for drug '%s' (known: %s)" % (drug, ", ".join(self.params.drugs)))
        return self.params.drugs[drug]

    def _drug(self, drug: str) -> int:
        """Index of a drug; on its first appearance every body learns of it."""
        if drug not in self._index:
            drug_params = self._drug_params(drug)
            csf = Csf(for_patient(drug_params, self.patient), self.t_us)
            self._index[drug] = len(self._index)
            self._csf.append(csf)
            solved = plasma_modes(drug_params.plasma, csf.solved, self.patient.weight_kg)
            csf.follow(solved.own_rates, solved.jumps)
            self._plasma.append(Plasma(solved, self.t_us))
            self._reservoir.add_drug()
            self._line.add_drug()
            for ledger in (self._filled_ng, self._injected_ng, self._withdrawn_ng, self._tip_ng, self._pocket_ng, self._strayed_ng, self._walls_ng):
                ledger.append(0.0)
        return self._index[drug]

    def mass_error(self) -> float:
        """Largest relative gap, over the drugs, between what came in and all places where it is now or went to."""
        worst = 0.0
        line_ng: Conc = self._line.mass_ng()
        for i, csf in enumerate(self._csf):
            came_ng = self._filled_ng[i] + self._injected_ng[i]
            found_ng = (self._reservoir.conc[i] * self._reservoir.volume_ul + line_ng[i] + sum(csf.mass_ng(self.t_us))
                        + sum(self._plasma[i].mass_ng(self.t_us)) + self._withdrawn_ng[i] + self._walls_ng[i])
            if came_ng:
                worst = max(worst, abs(found_ng - came_ng) / came_ng)
        return worst


def _in_turn(pieces: Pieces, start_us: int, end_us: int) -> Iterator[tuple[int, int, float, Conc]]:
    """(from, to, volume, concentrations) of what leaves one behind the other, evenly by volume, between two instants."""
    total, gone, begin_us = sum(volume for volume, _ in pieces), 0.0, start_us
    for volume, conc in pieces:
        gone += volume
        until_us = start_us + round((end_us - start_us) * gone / total) if total else end_us
        yield begin_us, until_us, volume, conc
        begin_us = until_us
