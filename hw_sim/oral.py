"""The oral route of one drug, for comparison with the pump: gut, plasma, and the CSF level that plasma would give.

    dG/dt = -ka G                               gut (ng)
    dP/dt = ka G - ke P                         plasma (ng), ke = ln 2 / half-life
    dC/dt = k (ratio P/V - C)                   CSF level (ng/mL), takes no mass

A chain of first-order steps, solved exactly by its modes for any time step. It has compartments of its own: what the pump
delivers is not in it, so that both routes can be drawn beside each other.
"""
from __future__ import annotations

import math
from typing import NamedTuple

from .csf import RESONANCE, S_PER_H
from .params import OralParams

NG_PER_MG = 1e6
ML_PER_L = 1e3

State = tuple[float, float, float]      # gut (ng), plasma mode (ng), CSF mode (ng/mL)


class OralModes(NamedTuple):
    """The solved chain; rates in 1/s."""

    rates: tuple[float, float, float]   # absorption, elimination, CSF
    plasma_per_gut: float               # plasma that moves in step with the gut
    csf_per_plasma: float               # ng/mL that move in step with the plasma mode (per ng)
    csf_per_gut: float
    volume_ml: float
    bioavailability: float


def modes(params: OralParams) -> OralModes:
    """Solve the chain; equal rates are moved apart by a share far below what is known of them."""
    absorb = params.absorption_1_h
    leave = math.log(2) / params.half_life_h
    follow = params.csf_rate_1_h
    if abs(absorb - leave) < RESONANCE * leave:
        absorb = leave * (1 + RESONANCE)
    for rate in sorted((absorb, leave)):
        if abs(follow - rate) < RESONANCE * rate:
            follow = rate * (1 + 3 * RESONANCE)
    volume_ml = params.volume_l * ML_PER_L
    per_gut = absorb / (leave - absorb)
    gain = follow * params.csf_ratio / volume_ml
    return OralModes(rates=(absorb / S_PER_H, leave / S_PER_H, follow / S_PER_H), plasma_per_gut=per_gut,
                     csf_per_plasma=gain / (follow - leave), csf_per_gut=gain * per_gut / (follow - absorb),
                     volume_ml=volume_ml, bioavailability=params.bioavailability)


def stepped(solved: OralModes, state: State, dt_s: float, dose_ng: float = 0.0) -> State:
    """The state `dt_s` later, with `dose_ng` swallowed at its end."""
    gut, plasma, csf = (part * math.exp(-rate * dt_s) for part, rate in zip(state, solved.rates))
    taken = dose_ng * solved.bioavailability
    moved = -solved.plasma_per_gut * taken      # plasma and CSF themselves do not jump: their modes take the opposite
    return gut + taken, plasma + moved, csf - solved.csf_per_plasma * moved - solved.csf_per_gut * taken


class Oral:
    """One drug by mouth on the virtual clock."""

    __slots__ = ("solved", "_state", "_t_us")

    def __init__(self, params: OralParams, t_us: int = 0):
        self.solved = modes(params)
        self._state: State = (0.0, 0.0, 0.0)
        self._t_us = t_us

    def swallow(self, t_us: int, dose_mg: float) -> None:
        """A tablet of `dose_mg` at `t_us`."""
        self._state = stepped(self.solved, self._state, (t_us - self._t_us) * 1e-6, dose_mg * NG_PER_MG)
        self._t_us = t_us

    def levels(self, t_us: int) -> tuple[float, float]:
        """Plasma and CSF concentration (ng/mL) at `t_us`."""
        gut, plasma, csf = stepped(self.solved, self._state, (t_us - self._t_us) * 1e-6)
        return ((plasma + self.solved.plasma_per_gut * gut) / self.solved.volume_ml,
                csf + self.solved.csf_per_plasma * plasma + self.solved.csf_per_gut * gut)
