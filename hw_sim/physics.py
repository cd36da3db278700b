"""What the plant must reproduce of published and derived figures: each measured on the model, beside its reference, tolerance and source.

`checks()` needs no firmware and takes seconds; `thecal-sim physics` prints it, the evidence folder keeps it, tests hold it. A
row is in order when value and reference differ by no more than the tolerance, which is that of the source (its spread, its
rounding) or the bound that the model states for itself. Drugs are in physics_drugs.py.
"""
from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from .catheter import Catheter
from .params import PatientParams, PlantParams
from .plant import Plant
from .plant_faults import FAULTS
from .propellant import vapour_kpa

S, MIN_US, HOUR_US, DAY_US = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
S_PER_DAY = 86_400
HOLD_US = 500_000
STROKE_STEPS = 117      # 1.0 uL of the reference head: its dose is a pulse of this size
NOTES = "clinical.md 4 "


class Row(NamedTuple):
    """One check; `tolerance` is absolute, in `unit`."""

    name: str
    value: float
    reference: float
    tolerance: float
    unit: str
    source: str

    @property
    def ok(self) -> bool:
        """Whether the model is as near to the reference as it must be."""
        return abs(self.value - self.reference) <= self.tolerance

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict() | {"ok": self.ok}


def checks() -> list[dict[str, Any]]:
    """Every row {name, value, reference, tolerance, unit, source, ok}, in the order of the plant from the reservoir to the blood."""
    from .physics_drugs import drugs
    groups: tuple[Callable[[], Iterator[Row]], ...] = (propellants, bore, occlusions, fronts, transport, drugs, exactness)
    return [row.as_dict() for group in groups for row in group()]


def new_plant(drug: str = "baclofen", conc_ng_ul: float = 500.0, **kinds: Any) -> Plant:
    """The reference pump in the adult, full of `drug`; `kinds` go to Plant."""
    plant = Plant(PlantParams.load(), PatientParams.load(), **kinds)
    plant.fill(20_000.0, {drug: conc_ng_ul})
    return plant


def infuse(plant: Plant, rate_ul_day: float, duration_us: int, look: Callable[[], bool] | None = None, steps: int = STROKE_STEPS) -> None:
    """Even strokes at `rate_ul_day` for `duration_us`; `look()` runs before each and ends it by saying True."""
    every_us = steps / plant.params.motor.steps_per_rev * plant.params.head.volume_per_rev_ul / rate_ul_day * DAY_US
    start_us = plant.t_us
    for i in range(int(duration_us / every_us)):
        plant.advance(start_us + round(i * every_us))
        if look and look():
            return
        plant.order(steps, HOLD_US)
    plant.advance(start_us + duration_us)


# ------------------------------------------------------------------------------------------------ the reservoir

PROPELLANTS = (     # boiling point (K), heat (kJ/mol), absolute pressure (kPa) at 37, 38, 39 C
    ("C5F12", 302.4, 26.5, (132.0, 136.0, 141.0), 1.0), ("R-113", 320.7, 27.3, (71.5, 74.0, 76.5), 0.3),
    ("R-11", 296.9, 25.0, (156.0, 161.0, 166.0), 1.0))
HEIGHTS = ((0, 101.3, 30.0), (1500, 84.6, 47.0), (2400, 75.6, 56.0), (3000, 70.1, 62.0))     # m, ambient (kPa), gauge (kPa): 132 less ambient


def propellants() -> Iterator[Row]:
    """Vapour pressures of the table, and the gauge pressure that a plant full of the reference propellant has at each height."""
    for name, boiling_k, heat, table, rounding in PROPELLANTS:
        for warm_c, pressure_kpa in zip((37, 38, 39), table):
            yield Row("%s at %d C, absolute" % (name, warm_c), vapour_kpa(boiling_k, heat, warm_c), pressure_kpa, rounding, "kPa",
                      NOTES + "propellant table, rounded")
    warm = [vapour_kpa(302.4, 26.5, warm_c) for warm_c in (37, 38)]
    yield Row("C5F12, rise of absolute pressure from 37 to 38 C", 100 * (warm[1] / warm[0] - 1), 3.3, 0.15, "%/K", NOTES + "sensitivity")
    yield Row("C5F12, rise of gauge pressure from 37 to 38 C", 100 * (warm[1] - warm[0]) / (warm[0] - 101.3), 14.0, 1.0, "%/K", NOTES + "sensitivity")
    plant = new_plant()
    for height_m, ambient_kpa, gauge_kpa in HEIGHTS:
        plant.faults.set("ambient_kpa", ambient_kpa)
        over_kpa = plant.truth()["reservoir_gauge_kpa"]
        yield Row("reservoir over ambient at %d m" % height_m, over_kpa, gauge_kpa, 1.0, "kPa", NOTES + "ambient pressures")


# ------------------------------------------------------------------------------------------------ the bore

def bore() -> Iterator[Row]:
    """Poiseuille: why an open line needs no pressure of its own in the model."""
    params = PlantParams.load().catheter
    resistance = params.resistance_kpa_s_ul * 1e12
    yield Row("resistance of 80 cm of 0.53 mm bore", resistance, 2.9e11, 0.05e11, "Pa s/m3", NOTES + "Poiseuille")
    yield Row("pressure along it at 24 mL/day", resistance * 24e-6 / S_PER_DAY, 80.0, 2.0, "Pa", NOTES + "Poiseuille")
    yield Row("R C of the open line (below 1 s)", params.resistance_kpa_s_ul * params.compliance_ul_kpa, 0.5, 0.5, "s", NOTES + "RC below 1 s")
    line = Catheter(params)
    yield Row("dead volume", line.dead_ul, 375.0, 0.5, "uL", "clinical.md 3 transport delay: 0.199 mL + 80 cm x 0.0022")


def occlusions() -> Iterator[Row]:
    """Build-up behind a closed line, what it lets go, how a partial one oozes, what a bubble does."""
    params = PlantParams.load().catheter
    for rate_ul_day, minutes in ((100, 720.0), (500, 144.0), (2000, 36.0), (24_000, 3.0)):
        line = Catheter(params)
        line.set_faults(kink_ul_kpa_s=0.0)
        passed_s, stroke_ul = 0.0, 0.05
        while line.back_kpa < 100 - 1e-9:
            line.outflow_ul(stroke_ul, stroke_ul / rate_ul_day * S_PER_DAY)
            passed_s += stroke_ul / rate_ul_day * S_PER_DAY
        yield Row("closed line at %g mL/day, time to 100 kPa" % (rate_ul_day / 1000), passed_s / 60, minutes, minutes / 200, "min",
                  NOTES + "occlusion build-up at 0.5 uL/kPa")
    line.set_faults()
    yield Row("bolus when it opens at 100 kPa", line.outflow_ul(0.0, 0.0), 50.0, 0.1, "uL", NOTES + "stored bolus C P")
    yield from _closed_plant()
    for conductance in (0.0005, 0.01):
        line = Catheter(params)
        line.set_faults(kink_ul_kpa_s=conductance)
        line.stored_ul = 20.0
        line.outflow_ul(0.0, 100.0)
        yield Row("partial occlusion of %g uL/(kPa s), time constant C / G" % conductance, 100.0 / math.log(20.0 / line.stored_ul),
                  0.5 / conductance, 1e-6, "s", NOTES + "tau = C / G")
    line = Catheter(params)
    line.set_faults(kink_ul_kpa_s=0.0, bubble_ul=50.0)
    line.outflow_ul(1.0, 0.0)
    yield Row("50 uL of gas, added compliance", 1.0 / line.back_kpa - params.compliance_ul_kpa, 0.5, 0.01, "uL/kPa", NOTES + "bubble")


def _closed_plant() -> Iterator[Row]:
    """The same through the whole plant, where the head slips the more the higher the pressure."""
    plant = new_plant()
    infuse(plant, 24_000, HOUR_US)
    plant.faults.set("kink")
    start_us = plant.t_us
    infuse(plant, 500, 12 * HOUR_US, look=lambda: bool(plant.truth()["line_kpa"] - plant.patient.csf_kpa >= 100))
    slipping = math.log(1 / (1 - 100 * plant.params.head.slip_per_kpa)) / (100 * plant.params.head.slip_per_kpa)
    yield Row("whole plant, closed at 0.5 mL/day, time to 100 kPa with the head's slip", (plant.t_us - start_us) / MIN_US, 144 * slipping, 9.0, "min",
              NOTES + "build-up, times ln(1 / (1 - s P)) / (s P) at s = 0.1 %/kPa; one roller's dips are 1.5 strokes of 3 min either way")
    held = plant.truth()
    plant.faults.clear("kink")
    yield Row("whole plant, bolus when it opens less what was stored", plant.truth()["delivered_ul"] - held["delivered_ul"] - held["line_stored_ul"],
              0.0, 1e-9, "uL", NOTES + "stored bolus C P")


# ------------------------------------------------------------------------------------------------ fronts and delays

def front_cm(rate_ul_day: float, push_ul: float, length_cm: float, strokes: bool = False) -> float:
    """Width (standard deviation) of the front that leaves a bare catheter, from the moments of its outflow.

    Flow is steady and cut into pushes of `push_ul`, or comes in strokes of 0.1 s.
    """
    params = replace(PlantParams.load().catheter, tubing_ul=0.0, length_cm=length_cm)
    line, conc = Catheter(params), (500.0,)
    line.add_drug()
    t_us, volume, mean, square = 0, 0.0, 0.0, 0.0
    while volume < 3 * line.dead_ul:
        before_us, t_us = t_us, t_us + round(push_ul / rate_ul_day * DAY_US)
        for part, (tip,) in line.push(t_us - S // 10 if strokes else before_us, t_us, push_ul, conc, push_ul):
            old = 1 - tip / conc[0]
            mean += part * old
            square += ((volume + part) ** 2 - volume ** 2) * old
            volume += part
    return math.sqrt(square - mean * mean) / params.bore_ul_cm


def fronts() -> Iterator[Row]:
    """Taylor-Aris: what 80 cm add to the width of a front that is on its way; and strokes, which are no steady flow."""
    for rate_ul_day, width_cm, tolerance in ((500, 1.2, 0.05), (24_000, 7.7, 0.1)):
        short, long = (front_cm(rate_ul_day, 1.0, length) for length in (80.0, 160.0))
        added_cm = math.sqrt(long * long - short * short)
        yield Row("front added by 80 cm of steady flow at %g mL/day" % (rate_ul_day / 1000), added_cm, width_cm, tolerance, "cm",
                  NOTES + "Taylor-Aris mixing")
    bore_ul_cm = PlantParams.load().catheter.bore_ul_cm
    still_cm2 = 2 * 5e-10 * 1e4 * 80 * bore_ul_cm / 500 * S_PER_DAY
    expected_cm = math.sqrt(80 / bore_ul_cm / 3 + still_cm2)
    yield Row("front behind 80 cm of 1 uL strokes at 0.5 mL/day", front_cm(500, 1.0, 80.0, strokes=True), expected_cm, 0.1, "cm",
              "strokes far apart smear a third of their squared length each, and diffusion (dispersion.py)")


def transport() -> Iterator[Row]:
    """A rate acts at once, a concentration after the dead volume: through the whole plant."""
    for rate_ul_day, hours, what in ((250, 36.0, "clinical.md 3 transport delay"), (500, 18.0, "clinical.md 3 transport delay"),
                                     (2000, 4.5, "clinical.md 3 transport delay"), (800, 11.25, "regimens.md B1 bridge of 0.375 mL")):
        plant = new_plant()
        infuse(plant, 24_000, HOUR_US)
        plant.withdraw()
        plant.fill(18_600.0, {"baclofen": 2000.0})
        start_us, middle = plant.t_us, (500 + plant.truth()["reservoir_ng_per_ul"]["baclofen"]) / 2
        infuse(plant, rate_ul_day, 2 * DAY_US, look=lambda: bool(plant.truth()["tip_ng_per_ul"]["baclofen"] > middle))
        yield Row("new concentration at the tip at %g mL/day" % (rate_ul_day / 1000), (plant.t_us - start_us) / HOUR_US, hours, hours / 75, "h", what)
    plant = new_plant()
    infuse(plant, 24_000, HOUR_US)
    doses = []
    for rate_ul_day in (300, 600):
        before_ng = plant.truth()["tip_ng"]["baclofen"]
        infuse(plant, rate_ul_day, 14 * HOUR_US)    # whole roller pitches at both rates
        doses.append(plant.truth()["tip_ng"]["baclofen"] - before_ng)
    yield Row("dose at the tip, 0.6 against 0.3 mL/day in the hours behind the change", doses[1] / doses[0], 2.0, 0.02, "1",
              "clinical.md 3: a rate change acts at once")


# ------------------------------------------------------------------------------------------------ exactness

# Largest relative change of any level, volume and mass when the plant is looked at twice as often, and in the middle of each stroke.
# Everything is a closed form of the time but this: a stroke seen in halves is two doses at their middles, (k dt)^2 / 24 of a rate k; what
# oozes between two looks reaches the fluid as an even dose of the same volume and mean instant, though it was ever less, and a stroke against
# the pressure that it makes is taken as even, though the rollers make it uneven (2e-7 of what the line holds): 3e-7 in all at tau = 500 s.
HALVING: tuple[tuple[str, float | bool | None, float], ...] = (
    ("", None, 1e-8), ("kink", 0.0, 1e-8), ("kink", 0.001, 1e-6), ("catheter_leak", 0.3, 1e-8), ("disconnect", True, 1e-8), ("migration", 0.4, 1e-8))
LIVES = 12
QUANTITIES = ("delivered_ul", "strayed_ul", "reservoir_ul", "line_stored_ul", "lumbar_ng_per_ml", "cisternal_ng_per_ml", "effect_ng_per_ml",
              "plasma_ng_per_ml", "tip_ng", "strayed_ng")


def halved(fault: str, value: float | bool | None = None, every_us: int = 120 * S) -> float:
    """Largest relative change over QUANTITIES, 6 h of 0.36 mL/day with `fault` behind a change of concentration, when `every_us` is halved.

    And each stroke is looked at when it is half done.
    """
    ends = []
    for interval_us in (every_us, every_us // 2):
        plant = new_plant()
        infuse(plant, 24_000, HOUR_US)
        plant.withdraw()
        plant.fill(18_600.0, {"baclofen": 2000.0, "morphine": 1000.0})
        if fault:
            plant.faults.set(fault, value)
        start_us, stroke_us = plant.t_us, 240 * S
        for at_us in range(0, 6 * HOUR_US, interval_us):
            plant.advance(start_us + at_us)
            if at_us % stroke_us == 0:
                plant.order(STROKE_STEPS, HOLD_US)
                if interval_us < every_us:
                    plant.advance(plant.t_us + S // 20)
        plant.advance(start_us + 6 * HOUR_US)
        ends.append(plant.truth())
    worst = 0.0
    for key in QUANTITIES:
        pairs = zip(*(end[key].values() if isinstance(end[key], dict) else (end[key],) for end in ends))
        worst = max([worst] + [abs(one - two) / max(abs(one), 1e-6) for one, two in pairs])
    return worst


def tossed(seed: int, acts: int = 150) -> float:
    """Largest relative error of mass, over the drugs, in a random life with every fault of the plant."""
    chance = random.Random("physics:%d" % seed)
    plant, worst = new_plant(), 0.0
    for _ in range(acts):
        kind = chance.choice(("stroke", "stroke", "stroke", "wait", "fault", "heal", "fill", "inject"))
        if kind == "stroke":
            plant.order(chance.randint(1, 500), HOLD_US)
            plant.advance(plant.t_us + chance.randint(1, HOUR_US))
        elif kind == "wait":
            plant.advance(plant.t_us + chance.randint(0, 3 * DAY_US))
        elif kind in ("fault", "heal"):
            (plant.faults.set if kind == "fault" else plant.faults.clear)(chance.choice(sorted(FAULTS)))
        elif kind == "inject":
            plant.inject(chance.choice(("baclofen", "ziconotide")), chance.uniform(1, 1e5))
        elif plant.truth()["reservoir_ul"] < 19_000:
            plant.fill(1000.0, {chance.choice(("morphine", "clonidine")): chance.uniform(1, 3000)})
        worst = max(worst, plant.mass_error())
    return worst


def exactness() -> Iterator[Row]:
    """Steps and mass."""
    for fault, value, bound in HALVING:
        named = fault if isinstance(value, bool) or value is None else "%s of %g" % (fault, value)
        yield Row("halved time step, %s: largest relative change" % (named or "no fault"), halved(fault, value), 0.0, bound, "1",
                  "the model's own bound (physics.py, HALVING)")
    worst = max(tossed(seed) for seed in range(LIVES))
    yield Row("mass of every drug in %d random lives with all faults, largest relative error" % LIVES, worst, 0.0, 1e-9, "1",
              "DESIGN 9: mass closes to 1e-9")
