"""Spinal fluid of one drug: lumbar and cisternal compartment and an effect site, solved exactly for any time step.

    VL dCL/dt = R - CLL CL - q (CL - CC)        lumbar and thoracic
    VC dCC/dt = q (CL - CC) - CLC CC            cervical, cisternal, cranial
    dCe/dt    = ke0 (CL - Ce)                   effect site, takes no mass

The linear system is kept in its modes, which decay independently: a step is three exponentials whatever its length, and
holds for a negative time as well. Doses enter as impulses at their instants or evenly over a time. What was cleared is
integrated from the modes, not taken as the difference, so that the mass balance is a real check.
"""
from __future__ import annotations

import math
import random
from typing import NamedTuple

from .params import CsfParams, DrugParams, PatientParams

S_PER_H = 3600.0
RESONANCE = 1e-5    # two equal rates have no separate modes: a rate known to some 10 % is moved by this share instead

State = tuple[float, float, float, float]   # amplitudes of fast, slow and effect mode (ng/mL), cleared mass (ng)
EMPTY: State = (0.0, 0.0, 0.0, 0.0)


class Levels(NamedTuple):
    """Concentrations in ng/mL."""

    lumbar: float
    cisternal: float
    effect: float


class CsfModes(NamedTuple):
    """The solved system; rates in 1/s, weights in ng/mL per ng, shapes as ratio to the lumbar part of the same mode."""

    rates: tuple[float, float, float]
    weights: tuple[float, float, float]
    cisternal: tuple[float, float]
    effect: tuple[float, float]
    clearance: tuple[float, float]      # mL/s of all clearance per unit of lumbar amplitude
    volumes: tuple[float, float]        # mL, lumbar and cisternal


def for_patient(drug: DrugParams, patient: PatientParams) -> CsfParams:
    """The drug's kinetics in this patient: log-normal factors exp(sigma N) on volumes (one body) and clearances (per drug).

    The cisternal clearance never falls below bulk absorption: that much fluid leaves whatever is dissolved in it.
    """
    typical = drug.csf
    if patient.sigma == 0:
        return typical
    body = random.Random("patient:%d:volumes" % patient.seed)
    kinetics = random.Random("patient:%d:%s" % (patient.seed, drug.name))

    def factor(source: random.Random) -> float:
        return math.exp(patient.sigma * source.gauss(0, 1))

    return CsfParams(
        lumbar_ml=typical.lumbar_ml * factor(body), cisternal_ml=typical.cisternal_ml * factor(body),
        lumbar_clearance_ml_h=typical.lumbar_clearance_ml_h * factor(kinetics),
        exchange_ml_h=typical.exchange_ml_h * factor(kinetics),
        cisternal_clearance_ml_h=max(patient.bulk_absorption_ml_h, typical.cisternal_clearance_ml_h * factor(kinetics)),
        effect_rate_1_h=typical.effect_rate_1_h)


def modes(params: CsfParams) -> CsfModes:
    """Eigenvalues and eigenvectors in closed form. Both are real and distinct because the exchange is above 0."""
    vl, vc = params.lumbar_ml, params.cisternal_ml
    a = (params.lumbar_clearance_ml_h + params.exchange_ml_h) / vl
    b = params.exchange_ml_h / vl
    c = params.exchange_ml_h / vc
    d = (params.cisternal_clearance_ml_h + params.exchange_ml_h) / vc
    root = math.sqrt((a - d) ** 2 + 4 * b * c)
    fast = (a + d + root) / 2
    slow = (a * d - b * c) / fast       # from the product: the difference (a + d - root) / 2 would cancel
    effect = params.effect_rate_1_h
    for rate in (fast, slow):
        if abs(effect - rate) < RESONANCE * rate:
            effect = rate * (1 + RESONANCE)
    cisternal = ((a - fast) / b, (a - slow) / b)
    weight = ((a - slow) / (fast - slow) / vl, (fast - a) / (fast - slow) / vl)
    shape = (effect / (effect - fast), effect / (effect - slow))
    return CsfModes(
        rates=(fast / S_PER_H, slow / S_PER_H, effect / S_PER_H),
        weights=(weight[0], weight[1], -(shape[0] * weight[0] + shape[1] * weight[1])),
        cisternal=cisternal, effect=shape,
        clearance=((params.lumbar_clearance_ml_h + params.cisternal_clearance_ml_h * cisternal[0]) / S_PER_H,
                   (params.lumbar_clearance_ml_h + params.cisternal_clearance_ml_h * cisternal[1]) / S_PER_H),
        volumes=(vl, vc))


def stepped(solved: CsfModes, state: State, dt_s: float, dose_ng: float = 0.0) -> State:
    """The state `dt_s` later, with an impulse of `dose_ng` into the lumbar compartment at its end."""
    fast, slow, effect, cleared = state
    (rate_fast, rate_slow, rate_effect), (w_fast, w_slow, w_effect), _, _, (out_fast, out_slow), _ = solved
    gone_fast = -math.expm1(-rate_fast * dt_s) * fast
    gone_slow = -math.expm1(-rate_slow * dt_s) * slow
    return (fast - gone_fast + w_fast * dose_ng,
            slow - gone_slow + w_slow * dose_ng,
            effect * math.exp(-rate_effect * dt_s) + w_effect * dose_ng,
            cleared + out_fast * gone_fast / rate_fast + out_slow * gone_slow / rate_slow)


def infused(solved: CsfModes, state: State, dt_s: float, dose_ng: float) -> State:
    """The state `dt_s` (> 0) later, with `dose_ng` having come in evenly all the while."""
    inflow = dose_ng / dt_s
    after = []
    for amplitude, rate, weight in zip(state, solved.rates, solved.weights):
        rest = inflow * weight / rate       # the level this mode would settle at
        after.append(amplitude + (rest - amplitude) * -math.expm1(-rate * dt_s))
    cleared = state[3]
    for i in (0, 1):
        cleared += solved.clearance[i] * (state[i] - after[i] + inflow * solved.weights[i] * dt_s) / solved.rates[i]
    return after[0], after[1], after[2], cleared


def levels(solved: CsfModes, state: State) -> Levels:
    """Concentrations of a state."""
    fast, slow, effect, _ = state
    return Levels(fast + slow, solved.cisternal[0] * fast + solved.cisternal[1] * slow,
                  effect + solved.effect[0] * fast + solved.effect[1] * slow)


class Csf:
    """One drug's spinal fluid on the virtual clock. Stepped only when a dose arrives; looking at it changes nothing."""

    __slots__ = ("solved", "_state", "_t_us")

    def __init__(self, params: CsfParams, t_us: int = 0):
        self.solved = modes(params)
        self._state = EMPTY
        self._t_us = t_us

    def dose(self, t_us: int, dose_ng: float) -> None:
        """An impulse into the lumbar fluid at `t_us`."""
        self._state = stepped(self.solved, self._state, (t_us - self._t_us) * 1e-6, dose_ng)
        self._t_us = t_us

    def infuse(self, start_us: int, end_us: int, dose_ng: float) -> None:
        """`dose_ng` evenly from `start_us` to `end_us` (later than it)."""
        self.dose(start_us, 0.0)
        self._state = infused(self.solved, self._state, (end_us - start_us) * 1e-6, dose_ng)
        self._t_us = end_us

    def _at(self, t_us: int) -> State:
        return stepped(self.solved, self._state, (t_us - self._t_us) * 1e-6)

    def levels(self, t_us: int) -> Levels:
        """Concentrations at `t_us` if nothing more arrives until then."""
        return levels(self.solved, self._at(t_us))

    def mass_ng(self, t_us: int) -> tuple[float, float]:
        """Mass in the fluid, and mass cleared from it since the start, at `t_us`."""
        state = self._at(t_us)
        now = levels(self.solved, state)
        return self.solved.volumes[0] * now.lumbar + self.solved.volumes[1] * now.cisternal, state[3]
