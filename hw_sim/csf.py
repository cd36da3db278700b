"""Spinal fluid of one drug: lumbar and cisternal compartment and an effect site, solved exactly for any time step.

    VL dCL/dt = R - CLL CL - q (CL - CC)        lumbar and thoracic
    VC dCC/dt = q (CL - CC) - CLC CC            cervical, cisternal, cranial
    dCe/dt    = ke0 (CL - Ce)                   effect site, takes no mass

The linear system is kept in its modes, which decay independently: a step is three exponentials whatever its length. Doses enter as impulses at their instants or evenly over a time. What was cleared is
integrated from the modes, not taken as the difference, so that the mass balance is a real check.
"""
from __future__ import annotations

import math
import random
from typing import NamedTuple

from .params import CsfParams, DrugParams, PatientParams

S_PER_H = 3600.0
RESONANCE = 1e-5    # two equal rates have no separate modes: a rate known to some 10 % is moved by this share instead

ADULT_ML, ADULT_KG, ADULT_BULK_ML_H = 150.0, 70.0, 20.0     # the body that the drug files are for (patient-adult.toml)
ALLOMETRIC = 0.75   # clearances go with this power of the weight (standard allometry)
KNOWN_INTERVALS = 32    # pulses come at few different intervals: their exponentials are kept

State = tuple[float, float, float, float]   # amplitudes of fast, slow and effect mode (ng/mL), cleared mass (ng)
Decay = tuple[float, float, float, float, float]    # shares lost of fast and slow, share kept of effect, mass cleared per unit of fast and slow
EMPTY: State = (0.0, 0.0, 0.0, 0.0)


class Levels(NamedTuple):
    """Concentrations in ng/mL."""

    lumbar: float
    cisternal: float
    effect: float


class Pair(NamedTuple):
    """Two compartments with exchange, solved: rates (per unit time of the clearances), weights and shapes of the two modes."""

    rates: tuple[float, float]
    weights: tuple[float, float]    # ng/mL of the first compartment per ng put into it
    shapes: tuple[float, float]     # second compartment as ratio to the first in the same mode


class CsfModes(NamedTuple):
    """The solved system; rates in 1/s, weights in ng/mL per ng, shapes as ratio to the lumbar part of the same mode."""

    rates: tuple[float, float, float]
    weights: tuple[float, float, float]
    cisternal: tuple[float, float]
    effect: tuple[float, float]
    clearance: tuple[float, float]      # mL/s of all clearance per unit of lumbar amplitude
    volumes: tuple[float, float]        # mL, lumbar and cisternal


def for_patient(drug: DrugParams, patient: PatientParams) -> CsfParams:
    """The drug's kinetics in this patient: typical ones for the body's size, times log-normal factors exp(sigma N).

    Volumes go with the total fluid, the lumbar clearance with weight^0.75, the cisternal one with bulk absorption, below
    which it never falls: that much fluid leaves whatever is dissolved in it. Each volume (one body, all drugs) and each
    clearance (every drug its own) draws an independent factor; the effect site's rate is only known to an order.
    """
    typical = drug.csf
    body = random.Random("patient:%d:volumes" % patient.seed)
    kinetics = random.Random("patient:%d:%s" % (patient.seed, drug.name))

    def factor(source: random.Random) -> float:
        return math.exp(patient.sigma * source.gauss(0, 1))

    fluid = patient.csf_ml / ADULT_ML
    size = (patient.weight_kg / ADULT_KG) ** ALLOMETRIC
    bulk = patient.bulk_absorption_ml_h / ADULT_BULK_ML_H
    if patient.sigma == 0 and fluid == size == bulk == 1:
        return typical
    return CsfParams(
        lumbar_ml=typical.lumbar_ml * fluid * factor(body), cisternal_ml=typical.cisternal_ml * fluid * factor(body),
        lumbar_clearance_ml_h=typical.lumbar_clearance_ml_h * size * factor(kinetics),
        exchange_ml_h=typical.exchange_ml_h * factor(kinetics),
        cisternal_clearance_ml_h=max(patient.bulk_absorption_ml_h, typical.cisternal_clearance_ml_h * bulk * factor(kinetics)),
        effect_rate_1_h=typical.effect_rate_1_h)


def pair(volume: float, other: float, clearance: float, exchange: float, other_clearance: float = 0.0) -> Pair:
    """Eigenvalues and eigenvectors in closed form. Both are real and distinct because the exchange is above 0."""
    a = (clearance + exchange) / volume
    b = exchange / volume
    c = exchange / other
    d = (other_clearance + exchange) / other
    root = math.sqrt((a - d) ** 2 + 4 * b * c)
    fast = (a + d + root) / 2
    slow = (a * d - b * c) / fast       # from the product: the difference (a + d - root) / 2 would cancel
    return Pair((fast, slow), ((a - slow) / (fast - slow) / volume, (fast - a) / (fast - slow) / volume), ((a - fast) / b, (a - slow) / b))


def modes(params: CsfParams) -> CsfModes:
    """Solve the system of the module's head."""
    vl, vc = params.lumbar_ml, params.cisternal_ml
    (fast, slow), weight, cisternal = pair(vl, vc, params.lumbar_clearance_ml_h, params.exchange_ml_h, params.cisternal_clearance_ml_h)
    effect = params.effect_rate_1_h
    for rate in (fast, slow):
        if abs(effect - rate) < RESONANCE * rate:
            effect = rate * (1 + RESONANCE)
    shape = (effect / (effect - fast), effect / (effect - slow))
    return CsfModes(
        rates=(fast / S_PER_H, slow / S_PER_H, effect / S_PER_H),
        weights=(weight[0], weight[1], -(shape[0] * weight[0] + shape[1] * weight[1])),
        cisternal=cisternal, effect=shape,
        clearance=((params.lumbar_clearance_ml_h + params.cisternal_clearance_ml_h * cisternal[0]) / S_PER_H,
                   (params.lumbar_clearance_ml_h + params.cisternal_clearance_ml_h * cisternal[1]) / S_PER_H),
        volumes=(vl, vc))


def decay(solved: CsfModes, dt_s: float) -> Decay:
    """What each mode loses or keeps over `dt_s`."""
    fast, slow, effect = solved.rates
    gone_fast, gone_slow = -math.expm1(-fast * dt_s), -math.expm1(-slow * dt_s)
    return gone_fast, gone_slow, math.exp(-effect * dt_s), solved.clearance[0] / fast * gone_fast, solved.clearance[1] / slow * gone_slow


def _moved(solved: CsfModes, state: State, over: Decay, dose_ng: float) -> State:
    fast, slow, effect, cleared = state
    gone_fast, gone_slow, kept, out_fast, out_slow = over
    w_fast, w_slow, w_effect = solved[1]
    return (fast - gone_fast * fast + w_fast * dose_ng, slow - gone_slow * slow + w_slow * dose_ng,
            effect * kept + w_effect * dose_ng, cleared + out_fast * fast + out_slow * slow)


def stepped(solved: CsfModes, state: State, dt_s: float, dose_ng: float = 0.0) -> State:
    """The state `dt_s` later, with an impulse of `dose_ng` into the lumbar compartment at its end."""
    return _moved(solved, state, decay(solved, dt_s), dose_ng)


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
    """One drug's spinal fluid on the virtual clock. Stepped only when a dose arrives; looking at it changes nothing.

    `blood` are the rates (1/s) of two modes that follow the fluid without taking mass from it, and their amplitudes per ng
    that comes into the lumbar fluid (plasma.py): they are kept here because they move with the same doses.
    """

    __slots__ = ("solved", "_state", "_t_us", "_known", "_blood", "_blood_rates", "_jumps")

    def __init__(self, params: CsfParams, t_us: int = 0):
        self.solved = modes(params)
        self._state = EMPTY
        self._t_us = t_us
        self._known: dict[int, tuple[Decay, float, float]] = {}
        self._blood = self._blood_rates = self._jumps = (0.0, 0.0)

    def follow(self, rates: tuple[float, float], jumps: tuple[float, float]) -> None:
        """Keep the blood's two modes from now on; nothing has come into the fluid yet."""
        self._blood_rates, self._jumps = rates, jumps

    def dose(self, t_us: int, dose_ng: float) -> None:
        """An impulse into the lumbar fluid at `t_us`."""
        dt_us = t_us - self._t_us
        if dt_us < 0:
            self._late(dose_ng, stepped(self.solved, EMPTY, 0.0, dose_ng), t_us, self._jumps)
            return
        known = self._known.get(dt_us)
        if known is None:
            known = self._decay(dt_us)
        self._t_us = t_us
        over, kept_fast, kept_slow = known
        self._state = _moved(self.solved, self._state, over, dose_ng)
        (fast, slow), (jump_fast, jump_slow) = self._blood, self._jumps
        self._blood = fast * kept_fast + jump_fast * dose_ng, slow * kept_slow + jump_slow * dose_ng

    def _decay(self, dt_us: int) -> tuple[Decay, float, float]:
        if len(self._known) >= KNOWN_INTERVALS:
            self._known.clear()
        dt_s = dt_us * 1e-6
        fast, slow = self._blood_rates
        self._known[dt_us] = found = decay(self.solved, dt_s), math.exp(-fast * dt_s), math.exp(-slow * dt_s)
        return found

    def infuse(self, start_us: int, end_us: int, dose_ng: float) -> None:
        """`dose_ng` evenly from `start_us` to `end_us` (later than it)."""
        dt_s = (end_us - start_us) * 1e-6
        shares = [jump * -math.expm1(-rate * dt_s) / (rate * dt_s) if rate else 0.0 for jump, rate in zip(self._jumps, self._blood_rates)]
        alone = infused(self.solved, EMPTY, dt_s, dose_ng)
        if end_us > self._t_us:
            self.dose(end_us, 0.0)
        self._late(dose_ng, alone, end_us, (shares[0], shares[1]))

    def _late(self, dose_ng: float, alone: State, t_us: int, blood: tuple[float, float]) -> None:
        """Add what `dose_ng` alone had made of an empty fluid and blood by `t_us`, not after now: the sum of both is the whole.

        What comes late is not reached by going back: a state of days ago cannot be had from what has decayed since.
        """
        waited_s = (self._t_us - t_us) * 1e-6
        added = stepped(self.solved, alone, waited_s)
        self._state = (self._state[0] + added[0], self._state[1] + added[1], self._state[2] + added[2], self._state[3] + added[3])
        fast, slow = (own + dose_ng * share * math.exp(-rate * waited_s) for own, share, rate in zip(self._blood, blood, self._blood_rates))
        self._blood = fast, slow

    def _at(self, t_us: int) -> State:
        return stepped(self.solved, self._state, (t_us - self._t_us) * 1e-6)

    def levels(self, t_us: int) -> Levels:
        """Concentrations at `t_us` if nothing more arrives until then."""
        return levels(self.solved, self._at(t_us))

    def amplitudes(self, t_us: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """At `t_us`, what drives the blood: fast and slow lumbar amplitude (ng/mL), and the two modes of its own."""
        dt_s = (t_us - self._t_us) * 1e-6
        fast, slow = (own * math.exp(-rate * dt_s) for own, rate in zip(self._blood, self._blood_rates))
        return self._at(t_us)[:2], (fast, slow)

    def mass_ng(self, t_us: int) -> tuple[float, float]:
        """Mass in the fluid, and mass cleared from it since the start, at `t_us`."""
        state = self._at(t_us)
        now = levels(self.solved, state)
        return self.solved.volumes[0] * now.lumbar + self.solved.volumes[1] * now.cisternal, state[3]
