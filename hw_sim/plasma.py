"""Blood level of one drug: what left the line elsewhere than at the tip, and what the spinal fluid gives off.

    dD/dt    = L - ka D                             tissue around a leak, a pocket fill (ng)
    V1 dC1/dt = ka D + F - CL C1 - Q (C1 - C2)      plasma and what follows it at once; F is cleared by the CSF
    V2 dC2/dt = Q (C1 - C2)                         periphery

Linear, kept in its modes and exact for any step, as csf.py. It is held as two sums. What leaked has mass: it is in tissue,
plasma or periphery, or was eliminated, and that is integrated, not taken as the difference. What comes from the CSF is
booked as cleared there; here it only shows its level, as the effect site does: part of it moves in step with the CSF's
modes, the rest are two modes that csf.py keeps (`Csf.follow`). Tablets have plasma of their own (oral.py).

The typical adult scaled by weight: volumes with it, rates of flow with weight^0.75. No drug comes back into the CSF.
"""
from __future__ import annotations

import math
from typing import NamedTuple

from .csf import ADULT_KG, ALLOMETRIC, RESONANCE, S_PER_H, CsfModes, pair
from .params import PlasmaParams

ML_PER_L = 1e3

Leaked = tuple[float, float, float, float]  # in tissue (ng), the plasma's own fast and slow part (ng/mL), eliminated (ng)

NOTHING: Leaked = (0.0, 0.0, 0.0, 0.0)


class PlasmaModes(NamedTuple):
    """The solved system; rates in 1/s, volumes in mL, weights in ng/mL per ng."""

    rates: tuple[float, float, float]       # tissue, fast, slow
    weights: tuple[float, float]            # ng/mL per ng put into the plasma
    shapes: tuple[float, float]             # periphery per plasma in each mode
    per_tissue: tuple[float, float]         # part of each mode that moves in step with the tissue (ng/mL per ng)
    volumes: tuple[float, float]
    clearance_ml_s: float
    own_rates: tuple[float, float]          # fast and slow as the CSF's share uses them
    from_csf: tuple[tuple[float, float], tuple[float, float]]   # plasma per lumbar amplitude (ng/mL): [mode of the plasma][mode of the CSF]
    jumps: tuple[float, float]              # own amplitudes per ng put into the lumbar fluid


def modes(params: PlasmaParams, csf: CsfModes, weight_kg: float = ADULT_KG) -> PlasmaModes:
    """Solve the system for a body of `weight_kg` whose spinal fluid is `csf`; equal rates are moved apart by RESONANCE."""
    share = weight_kg / ADULT_KG
    flow = ML_PER_L * share ** ALLOMETRIC
    central, periphery = params.central_l * ML_PER_L * share, params.peripheral_l * ML_PER_L * share
    clearance = params.clearance_l_h * flow
    solved = pair(central, periphery, clearance, params.exchange_l_h * flow)
    fast, slow = (rate / S_PER_H for rate in solved.rates)
    tissue = params.tissue_rate_1_h / S_PER_H
    for rate in (fast, slow):
        if abs(tissue - rate) < RESONANCE * rate:
            tissue = rate * (1 + RESONANCE)
    per_tissue = tuple(weight * tissue / (rate - tissue) for weight, rate in zip(solved.weights, (fast, slow)))
    followers, jumps = [], []
    own = []
    for weight, rate in zip(solved.weights, (fast, slow)):
        for driven in csf.rates[:2]:
            if abs(rate - driven) < RESONANCE * driven:
                rate = driven * (1 + RESONANCE)
        own.append(rate)
        parts = [weight * out / (rate - driven) for driven, out in zip(csf.rates, csf.clearance)]
        followers.append((parts[0], parts[1]))
        jumps.append(-(parts[0] * csf.weights[0] + parts[1] * csf.weights[1]))
    return PlasmaModes((tissue, fast, slow), solved.weights, solved.shapes, (per_tissue[0], per_tissue[1]), (central, periphery),
                       clearance / S_PER_H, (own[0], own[1]), (followers[0], followers[1]), (jumps[0], jumps[1]))


def stepped(solved: PlasmaModes, state: Leaked, dt_s: float, dose_ng: float = 0.0) -> Leaked:
    """The state of what leaked `dt_s` later, with `dose_ng` put into the tissue at its end."""
    tissue, fast, slow, eliminated = state
    gone = [-math.expm1(-rate * dt_s) for rate in solved.rates]
    lost = [amplitude * share for amplitude, share in zip(state, gone)]
    level_s = (lost[1] / solved.rates[1] + lost[2] / solved.rates[2] + sum(solved.per_tissue) * lost[0] / solved.rates[0])
    kept = [math.exp(-rate * dt_s) for rate in solved.rates]    # not as amplitude less loss: that would be all rounding after days
    return (tissue * kept[0] + dose_ng, fast * kept[1] - solved.per_tissue[0] * dose_ng, slow * kept[2] - solved.per_tissue[1] * dose_ng,
            eliminated + solved.clearance_ml_s * level_s)


def spread(solved: PlasmaModes, state: Leaked, dt_s: float, dose_ng: float) -> Leaked:
    """The state `dt_s` (> 0) later, with `dose_ng` having come into the tissue evenly all the while."""
    inflow = dose_ng / dt_s
    entry = (1.0, -solved.per_tissue[0], -solved.per_tissue[1])
    after = []
    level_ng_s = 0.0
    for amplitude, rate, share, weight in zip(state, solved.rates, entry, (sum(solved.per_tissue), 1.0, 1.0)):
        rest = inflow * share / rate
        gone = (rest - amplitude) * -math.expm1(-rate * dt_s)
        after.append(amplitude + gone)
        level_ng_s += weight * (inflow * share * dt_s - gone) / rate
    return after[0], after[1], after[2], state[3] + solved.clearance_ml_s * level_ng_s


class Plasma:
    """One drug's blood level on the virtual clock. Looking at it changes nothing."""

    __slots__ = ("solved", "_leaked", "_leaked_us")

    def __init__(self, solved: PlasmaModes, t_us: int = 0):
        self.solved = solved
        self._leaked = NOTHING
        self._leaked_us = t_us

    def leak(self, start_us: int, end_us: int, dose_ng: float) -> None:
        """`dose_ng` into the tissue, evenly from `start_us` to `end_us` (at once if they are equal)."""
        alone = spread(self.solved, NOTHING, (end_us - start_us) * 1e-6, dose_ng) if end_us > start_us else stepped(self.solved, NOTHING, 0.0, dose_ng)
        now_us = max(end_us, self._leaked_us)       # of spans that overlap the later may come first: the sum of all is the whole
        before = stepped(self.solved, self._leaked, (now_us - self._leaked_us) * 1e-6)
        after = stepped(self.solved, alone, (now_us - end_us) * 1e-6)
        self._leaked = (before[0] + after[0], before[1] + after[1], before[2] + after[2], before[3] + after[3])
        self._leaked_us = now_us

    def level(self, t_us: int, driven: tuple[tuple[float, float], tuple[float, float]]) -> float:
        """Plasma concentration (ng/mL) at `t_us`; `driven` is what Csf.amplitudes() says then of a fluid that follows `solved`."""
        solved, (lumbar, own) = self.solved, driven
        level = sum(own) + sum(part * amplitude for parts in solved.from_csf for part, amplitude in zip(parts, lumbar))
        tissue, fast, slow, _ = stepped(solved, self._leaked, (t_us - self._leaked_us) * 1e-6)
        return level + fast + slow + sum(solved.per_tissue) * tissue

    def mass_ng(self, t_us: int) -> tuple[float, float]:
        """Of what leaked: mass in tissue, plasma and periphery, and mass eliminated since the start, at `t_us`."""
        solved = self.solved
        tissue, fast, slow, eliminated = stepped(solved, self._leaked, (t_us - self._leaked_us) * 1e-6)
        parts = [own + per * tissue for own, per in zip((fast, slow), solved.per_tissue)]
        held = tissue + solved.volumes[0] * sum(parts) + solved.volumes[1] * sum(shape * part for shape, part in zip(solved.shapes, parts))
        return held, eliminated
