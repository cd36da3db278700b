"""`thecal-sim bench trumpet`: start-up and trumpet curves and the bolus test of the real firmware on the plant (formulas: trumpet.py).

Each run begins with the program's first second. T1, the start-up, is the first day; T2, the trumpet's period, two days behind it (four
below 0.1 mL/day). The volume is read at the catheter's tip every 15 min, so a line that swells against back-pressure is in it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import bench_plots as plots
from . import trumpet as curves
from .bench_rig import DAY_S, NL_PER_UL, SECOND_US, Rig, ml_day
from .report import number, table
from .trumpet import BOLUSES, SAMPLE_S, BolusError, Window

RATES_NL_DAY = (50_000, 500_000, 2_000_000, 24_000_000)
START_S = DAY_S
PERIOD_S, SLOW_PERIOD_S = 2 * DAY_S, 4 * DAY_S
CALIBRATED_NL_DAY, MOST_PCT = 500_000, 1.0      # issue 5, shows 4: |mean error| over 24 h
FIELD_PCT = 14.5                                # published accuracy of implanted pumps (ECRI 2014, clinical.md 1.1)
BACK_KPA = 13.3                                 # 100 mmHg, the test condition of clinical.md 5
BASAL_NL_DAY = 48_000                           # under the boluses: the slowest, whose own pulses disturb them least
# Settings of the bolus block (protocol/catalogue.py): its least volume in its least time, a usual one, its most at 80 % of the head's rate.
BOLUS_NG_DAY = 240                              # so dilute (5 ug/mL) that four boluses of 5 mL a day are within the drug's limits
BOLUS_SETTINGS = ((200, 30), (10_000, 600), (5_000_000, 22_500))


class Condition(NamedTuple):
    """What is done to the pump: `faults` of the plant by name, as functions of the rate (nL/day) where they depend on it."""

    name: str
    faults: Mapping[str, float | Callable[[int], float]]


def partial_kink(rate_nl_day: int) -> float:
    """uL/(kPa s) that hold the line at BACK_KPA above CSF at this rate: back-pressure as a narrow catheter makes it."""
    return rate_nl_day / NL_PER_UL / DAY_S / BACK_KPA


REFERENCE = Condition("reference: 37 °C, sea level, no back-pressure", {})
CONDITIONS = (
    REFERENCE,
    Condition("back-pressure +13.3 kPa", {"kink": partial_kink}),
    Condition("-13.3 kPa at the tip", {"tip_kpa": -BACK_KPA}),
    Condition("35 °C", {"temperature_c": 35.0}),
    Condition("41 °C", {"temperature_c": 41.0}),
    Condition("70 kPa (3000 m)", {"ambient_kpa": 70.0}),
    Condition("110 kPa (0.9 m of water)", {"ambient_kpa": 110.0}),
)


class Curve(NamedTuple):
    """One pump's test: flows of the start-up in uL/h, the trumpet, A over T2 and over its first day, %."""

    rate_nl_day: int
    condition: str
    flows_ul_h: list[float]
    windows: list[Window]
    mean_pct: float
    day_pct: float
    stroke_nl: int
    wall_s: float


def measure(rate_nl_day: int, condition: Condition = REFERENCE, *, runtime: str = "inprocess", seed: int = 1,
            period_s: int | None = None) -> Curve:
    """Run one pump through T1 and T2. Raises what Rig raises."""
    began = time.monotonic()
    if period_s is None:
        period_s = SLOW_PERIOD_S if rate_nl_day < curves.SLOW_NL_DAY else PERIOD_S
    with Rig(rate_nl_day, runtime=runtime, seed=seed) as rig:
        for name, value in condition.faults.items():
            rig.world.fault(name, value(rate_nl_day) if callable(value) else value)
        stroke_nl = rig.pump.status().pulse_nl
        volumes = []
        for at_s in range(0, START_S + period_s + 1, SAMPLE_S):
            if at_s > rig.now_s:        # reading the stroke took the line a moment
                rig.run(at_s)
            volumes.append(rig.delivered_ul())
    first = START_S // SAMPLE_S
    behind = volumes[first:]
    errors = curves.errors_pct(curves.flows_ul_h(behind), rate_nl_day / NL_PER_UL / 24)
    return Curve(rate_nl_day, condition.name, curves.flows_ul_h(volumes[:first + 1]), curves.trumpet(errors, rate_nl_day, stroke_nl),
                 curves.mean_error_pct(behind, rate_nl_day), curves.mean_error_pct(behind[:DAY_S // SAMPLE_S + 1], rate_nl_day), stroke_nl,
                 round(time.monotonic() - began, 2))


def boluses(volume_nl: int, over_s: int, *, runtime: str = "inprocess", count: int = BOLUSES) -> tuple[BolusError, list[float]]:
    """`count` clinician's boluses in a row on the slowest basal rate: their errors, and what each gave beyond the basal rate (uL)."""
    given = []
    with Rig(BASAL_NL_DAY, runtime=runtime, dose_ng_day=BOLUS_NG_DAY) as rig:
        dose = "%.9f ug" % (volume_nl * rig.concentration_ng_ml / 1e9)
        span_s = over_s + 120           # the line's own time, and the last stroke
        for _ in range(count):
            usable_nl = rig.pump.status().reservoir_computed_nl - rig.params.reservoir.residual_ul * NL_PER_UL
            if usable_nl < 2 * volume_nl:
                rig.fill()
            before_ul, start_us = rig.delivered_ul(), rig.world.now_us
            rig.pump.bolus(dose, "%d s" % over_s, override="clinical judgement")
            rig.world.run_until(start_us + span_s * SECOND_US)
            given.append(rig.delivered_ul() - before_ul - BASAL_NL_DAY * span_s / DAY_S / NL_PER_UL)
    return curves.bolus_error_pct(given, volume_nl / NL_PER_UL), given


# ------------------------------------------------------------------------------------------------ the bench

def trumpet(say: Callable[[str], None] = lambda text: None, *, runtime: str = "inprocess", rates: Sequence[int] = RATES_NL_DAY,
            conditions: Sequence[Condition] = CONDITIONS, settings: Sequence[tuple[int, int]] = BOLUS_SETTINGS) -> dict[str, Any]:
    """Run every rate in every condition and every bolus setting; the bench object of DESIGN 13 (schema thecal.bench/1)."""
    found, wall_s = [], {}
    for condition in conditions:
        say(condition.name)
        began = time.monotonic()
        found += [measure(rate_nl_day, condition, runtime=runtime) for rate_nl_day in rates]
        wall_s[condition.name] = round(time.monotonic() - began, 1)
    began = time.monotonic()
    given = []
    for volume_nl, over_s in settings:
        say("%d boluses of %g uL over %d s" % (BOLUSES, volume_nl / NL_PER_UL, over_s))
        errors, each_ul = boluses(volume_nl, over_s, runtime=runtime)
        stroke_nl = found[0].stroke_nl
        given.append({"volume_nl": volume_nl, "over_s": over_s, **errors._asdict(), "stroke_pct": 100 * stroke_nl / volume_nl,
                      "given_ul": [round(one, 4) for one in each_ul]})
    wall_s["boluses"] = round(time.monotonic() - began, 1)
    return {"schema": "thecal.bench/1", "bench": "trumpet", "bars": _bars(found, given), "runtime": runtime, "wall_s": wall_s,
            "sample_s": SAMPLE_S, "curves": [{**curve._asdict(), "windows": [window._asdict() for window in curve.windows]} for curve in found],
            "boluses": given, "python": sys.version.split()[0], "repeat": "thecal-sim bench trumpet --runtime %s" % runtime}


def _bars(found: Sequence[Curve], given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    bars = []
    for curve in found:
        if curve.rate_nl_day == CALIBRATED_NL_DAY and curve.condition == REFERENCE.name:
            day = next(window for window in curve.windows if window.minutes * 60 == DAY_S)
            worst = max(abs(day.highest_pct), abs(day.lowest_pct), abs(curve.day_pct))
            bars.append(_row("mean error over 24 h at 0.5 mL/day, calibrated, the worst of all days that begin at a sample", worst, MOST_PCT,
                             "one stroke in a day is %.2f %%" % day.floor_pct))
    worst_curve = max(found, key=lambda curve: abs(curve.mean_pct))
    bars.append(_row("mean error over T2, the worst of all rates and conditions", abs(worst_curve.mean_pct), FIELD_PCT,
                     "%+.2f %% at %s, %s" % (worst_curve.mean_pct, ml_day(worst_curve.rate_nl_day), worst_curve.condition)))
    for row in given:       # a stroke and a roller's recoil at either end of the row of boluses, over all that they give
        bound = 2 * row["stroke_pct"] / len(row["given_ul"])
        bars.append(_row("%d boluses of %g uL in a row, mean error" % (len(row["given_ul"]), row["volume_nl"] / NL_PER_UL), abs(row["mean_pct"]),
                         bound,
                         "one by one %+.3g .. %+.3g %%; a stroke is %.3g %% of it" % (row["lowest_pct"], row["highest_pct"], row["stroke_pct"])))
    return bars


def _row(name: str, value: float, bar: float, note: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 5), "unit": "%", "bar": round(bar, 5), "ok": value <= bar, "note": note}


# ------------------------------------------------------------------------------------------------ the page

STARTS = (REFERENCE.name, CONDITIONS[1].name)       # the others' start-up is the reference's within one and a half per cent
DASHES = ("solid",) * 4 + ("dash", "solid", "dash")      # of the conditions: those that do nearly the same are told apart where they lie on one another


def figures(found: Mapping[str, Any]) -> list[plots.Figure]:
    """For every rate the start-up curve and the trumpet."""
    made = []
    conditions = list(dict.fromkeys(curve["condition"] for curve in found["curves"]))
    for rate_nl_day in dict.fromkeys(curve["rate_nl_day"] for curve in found["curves"]):
        mine = [curve for curve in found["curves"] if curve["rate_nl_day"] == rate_nl_day]
        rate_ul_h = rate_nl_day / NL_PER_UL / 24
        hours = [i * found["sample_s"] / 3600 for i in range(len(mine[0]["flows_ul_h"]) + 1)]
        start = [plots.line(curve["condition"], hours, [*curve["flows_ul_h"], curve["flows_ul_h"][-1]],
                            plots.COLOURS[conditions.index(curve["condition"]) % len(plots.COLOURS)], width=1.2, unit="µL/h", shape="hv")
                 for curve in mine if curve["condition"] in STARTS]
        made.append(plots.figure(
            "start-%d" % rate_nl_day, "Start-up at %s" % ml_day(rate_nl_day),
            "Flow at the catheter tip in each 15 min from the program's first second. A stroke moves "
            "%.3g µL: %.3g strokes fall into an interval." % (mine[0]["stroke_nl"] / NL_PER_UL, rate_ul_h / 4 / mine[0]["stroke_nl"] * NL_PER_UL),
            plots.axis("hours since the program began", range(0, 25, 2), low=0, high=24), plots.axis("flow, µL/h"), start, height=330,
            level=(rate_ul_h, "programmed: %.4g µL/h" % rate_ul_h)))
        traces = []
        for curve in mine:
            at, points = conditions.index(curve["condition"]), curve["windows"]
            style = {"marker": "circle", "dash": DASHES[at % len(DASHES)]}
            traces += plots.family(curve["condition"], [point["minutes"] for point in points], [
                ("", [point[edge] for point in points], style) for edge in ("highest_pct", "lowest_pct")],
                plots.COLOURS[at % len(plots.COLOURS)], unit="%", one_entry=True)
        floor = mine[0]["windows"]
        traces += plots.family("quantisation floor, ± one stroke", [point["minutes"] for point in floor], [
            ("", [sign * point["floor_pct"] for point in floor], {"dash": "dot"}) for sign in (1, -1)], plots.GREY, unit="%", one_entry=True)
        made.append(plots.figure(
            "trumpet-%d" % rate_nl_day, "Trumpet curve at %s" % ml_day(rate_nl_day),
            "Highest and lowest error of all overlapping windows of each length in T2. Beyond the floor "
            "goes the rollers' pulsation (0.8 µL at each of four a turn). Conditions that make no difference lie on one another.",
            plots.axis("observation window, min (logarithmic)", curves.windows_for(rate_nl_day), log=True,
                       low=curves.windows_for(rate_nl_day)[0] * 0.88, high=1640),
            plots.axis("error of the flow, %"), traces,
            level=(0.0, "")))
    return made


def write(found: dict[str, Any], out_dir: Path) -> Path:
    """The page. Raises OSError."""
    minutes_of = sorted({window["minutes"] for curve in found["curves"] for window in curve["windows"]})
    rows = [(ml_day(curve["rate_nl_day"]).replace(" ", "\N{NO-BREAK SPACE}"), curve["condition"], "%+.3f" % curve["mean_pct"],
             *("%+.2f / %+.2f" % (window["highest_pct"], window["lowest_pct"]) if window else "–" for window in (
                 next((one for one in curve["windows"] if one["minutes"] == minutes), None) for minutes in minutes_of)), "%.1f" % curve["wall_s"])
            for curve in found["curves"]]
    given = [(number(row["volume_nl"] / NL_PER_UL), number(row["over_s"]), "%+.4g" % row["mean_pct"], "%+.4g" % row["highest_pct"],
              "%+.4g" % row["lowest_pct"],
              "%.3g" % row["stroke_pct"]) for row in found["boluses"]]
    return plots.write(
        found, out_dir, "Accuracy: start-up, trumpet, boluses", "The real firmware on the simulated head, volume taken at the catheter tip every "
        "15 min; formulas and windows of "
        "IEC 60601-2-24, which is for external pumps and a convention here.", figures(found), [
            ("Windows", "Highest / lowest error in %, by the window's minutes; A is the mean error over all of T2.",
             table(("rate", "condition", "A, %", *("%d min" % minutes for minutes in minutes_of), "wall s"), rows,
                   numeric=range(2, 4 + len(minutes_of)))),
            ("Boluses, 25 in a row", "% of the programmed volume, the basal rate's share taken off.",
             table(("µL", "over, s", "mean", "highest", "lowest", "one stroke"), given, numeric=range(6)))])
