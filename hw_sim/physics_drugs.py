"""The drugs' rows of physics.py: published half-lives, clearances, levels and gradients, in spinal fluid and in blood, for every drug of the library.

Half-lives are slopes fitted to a bolus' level over a stated time, as they are published; clearances are rate over settled level.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .csf import Csf
from .params import DrugParams, PlantParams
from .physics import DAY_US, HOUR_US, S_PER_DAY, Row, infuse, new_plant
from .plasma import Plasma, modes

STILL = ((0.0, 0.0), (0.0, 0.0))    # a spinal fluid without drug
SETTLED_H = 2000
ML_PER_L = 1000.0


class Published(NamedTuple):
    """A figure with its spread."""

    value: float
    spread: float
    source: str


class Kinetics(NamedTuple):
    """What is published of one drug. Half-lives in h over (from, to) h behind a bolus; clearances in mL/h (fluid) and L/h (blood)."""

    half_life: Published
    over_h: tuple[float, float]
    clearance: Published
    blood_half_life: Published
    blood_clearance: Published


NOTES = "clinical.md 3 "
ASSUMED = NOTES + "table, assumption (M-L)"
TABLE = {
    "baclofen": Kinetics(Published(1.51, 0.03, NOTES + "label"), (0, 4), Published(30, 1, NOTES + "label"),
                         Published(3.5, 0.5, "regimens.md 5: 3-4 h"), Published(11.1, 1.1, "about 185 mL/min, memory (M-M)")),
    "morphine": Kinetics(Published(3.09, 0.175, NOTES + "Nordberg 1984: 175-196 min terminal"), (18, 30),
                         Published(13, 1, NOTES + "Nordberg 1984: 12-14 mL/h"),
                         Published(2.5, 0.5, "2-3 h, memory (M-H)"), Published(63, 10, "about 15 mL/kg/min, memory (M-M)")),
    "hydromorphone": Kinetics(Published(2.5, 0.5, ASSUMED), (0, 6), Published(15, 0.5, ASSUMED + ": lower end of 15-20"),
                              Published(2.3, 0.3, "label, memory (M-M)"), Published(117.6, 23.5, "label, memory (M-M): 1.96 L/min +/- 20 %")),
    "ziconotide": Kinetics(Published(4.6, 0.9, NOTES + "Prialt label Table 2"), (6, 18),
                           Published(22.8, 2.3, NOTES + "Prialt label Table 2: 0.38 mL/min"),
                           Published(1.3, 0.3, "Prialt label Table 2"), Published(16.2, 2.6, "Prialt label Table 2: 270 +/- 44 mL/min")),
    "bupivacaine": Kinetics(Published(2.25, 0.75, ASSUMED), (0, 6), Published(30, 10, ASSUMED),
                            Published(2.7, 0.3, "memory (M-M)"), Published(35, 5, "0.58 L/min, memory (M-M)")),
    "fentanyl": Kinetics(Published(0.75, 0.25, ASSUMED), (0, 4), Published(90, 30, ASSUMED),
                         Published(3.75, 2.25, "1.5-6 h across studies (Clin Pharmacokinet review)"),
                         Published(57, 33, "0.4-1.5 L/min across studies (same)")),
    "sufentanil": Kinetics(Published(0.5, 0.25, "as fentanyl or faster, assumption (M-L)"), (0, 4), Published(113, 20, "27 uL/kg/min, memory (M-L)"),
                           Published(2.73, 0.37, "Bovill 1984: 164 +/- 22 min"), Published(56.1, 3.0, "Bovill 1984: 935 +/- 50 mL/min")),
    "clonidine": Kinetics(Published(1.3, 0.5, "Duraclon label: over 6 h"), (0.5, 6),
                          Published(31, 5, "fitted to the label's half-life, share assumed"),
                          Published(9.0, 2.0, "Duraclon label"), Published(13.1, 5.5, "Duraclon label: 219 +/- 92 mL/min")),
}


def half_life_h(level: Callable[[int], float], over_h: tuple[float, float], looks: int = 48) -> float:
    """Half-life of `level(t_us)` by least squares on its logarithm over a span."""
    begin, end = over_h
    hours = [begin + (end - begin) * i / looks for i in range(looks + 1)]
    logs = [math.log(level(round(h * HOUR_US))) for h in hours]
    mean_h, mean_l = sum(hours) / len(hours), sum(logs) / len(logs)
    slope = sum((h - mean_h) * (x - mean_l) for h, x in zip(hours, logs)) / sum((h - mean_h) ** 2 for h in hours)
    return -math.log(2) / slope


def in_fluid(drug: DrugParams, table: Kinetics) -> Iterator[Row]:
    """Bolus and drip into the lumbar fluid."""
    bolus, drip = Csf(drug.csf), Csf(drug.csf)
    bolus.dose(0, 1e5)
    drip.infuse(0, SETTLED_H * HOUR_US, SETTLED_H * 1000.0)
    found_h = half_life_h(lambda t_us: bolus.levels(t_us).lumbar, table.over_h)
    yield Row("%s, half-life in spinal fluid over %g-%g h" % (drug.name, *table.over_h), found_h,
              table.half_life.value, table.half_life.spread, "h", table.half_life.source)
    settled = drip.levels(SETTLED_H * HOUR_US)
    yield Row("%s, clearance of the lumbar fluid" % drug.name, 1000.0 / settled.lumbar, table.clearance.value, table.clearance.spread, "mL/h",
              table.clearance.source)


def in_blood(drug: DrugParams, table: Kinetics) -> Iterator[Row]:
    """A bolus into the tissue, seen when it has been taken up, and a leak."""
    solved = modes(drug.plasma, Csf(drug.csf).solved)
    bolus, leak = Plasma(solved), Plasma(solved)
    bolus.leak(0, 0, 1e6)
    leak.leak(0, SETTLED_H * HOUR_US, SETTLED_H * 1000.0)
    late_h = 20 / (min(solved.rates) * 3600)
    yield Row("%s, terminal half-life in blood" % drug.name, half_life_h(lambda t_us: bolus.level(t_us, STILL), (late_h, 2 * late_h)),
              table.blood_half_life.value, table.blood_half_life.spread, "h", table.blood_half_life.source)
    yield Row("%s, clearance of the blood" % drug.name, 1000.0 / leak.level(SETTLED_H * HOUR_US, STILL) / ML_PER_L, table.blood_clearance.value,
              table.blood_clearance.spread, "L/h", table.blood_clearance.source)


def levels() -> Iterator[Row]:
    """The label's baclofen level and gradient, through the whole plant: head, line, spinal fluid."""
    plant = new_plant()
    infuse(plant, 24_000, HOUR_US)
    infuse(plant, 192, 4 * DAY_US)          # 96 ug/day
    half_us = round(16 / plant.params.motor.steps_per_rev * plant.params.head.volume_per_rev_ul / 192 * S_PER_DAY * 1e6 / 2)
    lumbar, cisternal = [], []
    for _ in range(2 * 256):        # two whole turns in fine strokes: over the second the rollers' dips average out
        plant.order(16, 500_000)
        plant.advance(plant.t_us + half_us)
        truth = plant.truth()
        lumbar.append(truth["lumbar_ng_per_ml"]["baclofen"])
        cisternal.append(truth["cisternal_ng_per_ml"]["baclofen"])
        plant.advance(plant.t_us + half_us)
    level, behind = sum(lumbar[256:]) / 256, sum(cisternal[256:]) / 256
    yield Row("baclofen, settled lumbar level at 96 ug/day", level, 133.0, 1.0, "ng/mL", NOTES + "label: rate over 30 mL/h")
    yield Row("baclofen, lumbar to cisternal", level / behind, 4.0, 0.1, "1", NOTES + "label: about 4:1")
    yield Row("baclofen, settled blood level at 96 ug/day", plant.truth()["plasma_ng_per_ml"]["baclofen"], 96_000 / 24 / 11_100, 0.02, "ng/mL",
              "what the spinal fluid clears, over the blood's clearance: far below the 5 ng/mL that assays see (label, memory)")
    shown = plant.params.drugs["ziconotide"].csf
    yield Row("ziconotide, volume of the spinal fluid", shown.lumbar_ml + shown.cisternal_ml, 155.0, 1.0, "mL", NOTES + "Prialt label Table 2")


def drugs() -> Iterator[Row]:
    """Every drug that has parameters; one that is not in TABLE has nothing to be held against, which is an error (KeyError)."""
    for name, drug in PlantParams.load().drugs.items():
        yield from in_fluid(drug, TABLE[name])
        yield from in_blood(drug, TABLE[name])
    yield from levels()
