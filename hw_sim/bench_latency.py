"""`thecal-sim bench latency`: how long the whole system takes to notice each main fault, against the programmed rate.

The real firmware runs on the plant, the fault begins at a drawn instant of the pump's first or second day, and the clock stops at the first
critical tone: from outside, as for anyone's firmware. The wire is asked afterwards which row it was. alarms.md 4 gives the bounds; what
it declares undetectable, and what no test of this sensor can do (detection.least_delay_h), is marked so and is no failure.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from . import bench_plots as plots
from .bench_rig import DAY_S, HOUR_S, SECOND_US, Rig, ml_day
from .detection import BLIND_NL_DAY, BLIND_TEXT, DEFAULT, least_delay_h
from .report import number, table

RATES_NL_DAY = (50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 6_000_000, 24_000_000)
SETTLE_S, SPREAD_S = 26 * HOUR_S, 6 * HOUR_S        # behind the refill and its taring; the fault falls anywhere in the hours after
FAST_NL_DAY, FAST_SETTLE_S = 2_000_000, 8 * HOUR_S  # from here on a reservoir does not last for days
SEEDS, SURE_SEEDS = 3, 20
STALL_S, STALL_PULSES = 1800, 3                     # alarms.md 4
PULSE_NL = 1000
ELECTRICAL_PULSES = 2                               # issue 5: over-delivery of electrical and software faults


def stall_bound_h(rate_nl_day: int) -> float:
    """alarms.md 4: three pulse intervals or 30 min, the longer."""
    return max(STALL_PULSES * PULSE_NL / rate_nl_day * 24, STALL_S / HOUR_S)


class Case(NamedTuple):
    """One fault. `bound_h(rate)` of alarms.md 4 or None; `least_h(rate)` what no test can beat; `declared(rate)` why it may stay unfound, or ''."""

    name: str
    faults: Mapping[str, float | None]
    kind: str                                       # the figure it is drawn in
    days: float                                     # watched for so long
    bound_h: Callable[[int], float | None] = lambda rate_nl_day: None
    least_h: Callable[[int], float | None] = lambda rate_nl_day: None
    declared: Callable[[int], str] = lambda rate_nl_day: ""


def over(gain: float, bounds_h: Mapping[int, float]) -> Case:
    """A head that delivers `gain` times the order."""
    def declared(rate_nl_day: int) -> str:
        return BLIND_TEXT if rate_nl_day <= BLIND_NL_DAY and gain < 3 else ""

    return Case("over-infusion %g×" % gain, {"head_gain": gain}, "over", 60, bounds_h.get,
                lambda rate_nl_day: least_delay_h(rate_nl_day * (gain - 1) / 1000, DEFAULT), declared)


def under(gain: float) -> Case:
    """A head that delivers less; its false alarms are a quarter of the others', so it takes longer."""
    return Case("under-infusion %g×" % gain, {"head_gain": gain}, "under", 60, lambda rate_nl_day: None,
                lambda rate_nl_day: least_delay_h(rate_nl_day * (1 - gain) / 1000, DEFAULT),
                lambda rate_nl_day: BLIND_TEXT if rate_nl_day <= BLIND_NL_DAY else "")


CASES = (
    over(1.1, {}), over(1.3, {500_000: 48.0, 100_000: 120.0}), over(1.5, {}), over(2.0, {}), over(3.0, {500_000: 8.0}),
    under(0.7), under(0.5), under(0.0),
    Case("half of all pulses lost", {"intermittent_stall": 0.5}, "motion", 10),
    Case("free flow 0.26 mL/day", {"free_flow": 1e-4}, "flow", 10), Case("free flow 2.6 mL/day", {"free_flow": 1e-3}, "flow", 10),
    Case("free flow 26 mL/day", {"free_flow": 1e-2}, "flow", 5), Case("septum leak 0.5 mL/day", {"septum_leak": 500.0}, "flow", 10),
    Case("rotor stall", {"rotor_stall": None}, "motion", 3, stall_bound_h),
    Case("encoder stuck", {"encoder_stuck": None}, "motion", 3, stall_bound_h),
    Case("encoder dead", {"encoder_dead": None}, "motion", 3, stall_bound_h),
    Case("field of 1.5 T", {"field_t": 1.5}, "motion", 3, stall_bound_h),
    Case("driver stuck on (one-shot cuts)", {"driver_stuck_on": None}, "motion", 3),
    Case("runaway: driver, switch stuck", {"driver_stuck_on": None, "enable_stuck": None}, "motion", 0.02),
    Case("catheter closed", {"kink": 0.0}, "motion", 20),
)


ELECTRICAL = ("driver stuck on (one-shot cuts)",)


class Found(NamedTuple):
    """One run: hours to the first critical tone (None: not within the watch), the rows that stood then, what went beyond the order at
    the tip (uL), and whether a critical tone was heard before the fault."""

    hours: float | None
    rows: tuple[int, ...]
    beyond_ul: float
    false_alarm: bool


def once(case: Case, rate_nl_day: int, seed: int, runtime: str = "inprocess") -> Found:
    """One pump, one fault. Raises what Rig raises."""
    onset_s = (FAST_SETTLE_S if rate_nl_day >= FAST_NL_DAY else SETTLE_S) + random.Random("onset %s %d %d" % (case.name, rate_nl_day,
        seed)).randrange(SPREAD_S)
    with Rig(rate_nl_day, runtime=runtime, seed=seed) as rig:
        rig.run(onset_s)
        false_alarm = rig.critical_since(0) is not None
        since_us, before_ul = rig.world.now_us, rig.beyond_ul()
        for name, value in case.faults.items():
            rig.world.fault(name, value)
        rig.run(onset_s + case.days * DAY_S, stop=lambda: rig.critical_since(since_us) is not None)
        heard = rig.critical_since(since_us)
        if heard is None:
            return Found(None, (), rig.beyond_ul() - before_ul, false_alarm)
        runs_wild = "enable_stuck" in case.faults       # such a pump cannot be asked: it wakes at every step, and time stands still
        return Found((heard.t_us - since_us) / SECOND_US / HOUR_S, () if runs_wild else tuple(rig.rows()), heard.beyond_ul - before_ul, false_alarm)


def runs_of(case: Case, rate_nl_day: int, seeds: int) -> int:
    """More runs where a drawn delay is held against a bound: a median of three would be held by luck."""
    bound_h, least_h = case.bound_h(rate_nl_day), case.least_h(rate_nl_day)
    return max(seeds, SURE_SEEDS) if seeds > 1 and bound_h is not None and least_h is not None and least_h <= bound_h else seeds


def cell(case: Case, rate_nl_day: int, found: Sequence[Found]) -> dict[str, Any]:
    """All runs of one fault at one rate as a row of figures; delays in hours, None where not one run found it."""
    delays = sorted(run.hours for run in found if run.hours is not None)
    rows = sorted({row for run in found for row in run.rows if row != 19})
    bound_h, least_h = case.bound_h(rate_nl_day), case.least_h(rate_nl_day)
    middle = median(delays) if delays and len(delays) == len(found) else None
    impossible = bound_h is not None and least_h is not None and least_h > bound_h
    declared = case.declared(rate_nl_day)
    ok = None
    if bound_h is not None and not impossible:
        ok = middle is not None and middle <= bound_h
    elif bound_h is None and case.kind in ("motion", "flow"):
        ok = middle is not None
    return {"fault": case.name, "kind": case.kind, "rate_nl_day": rate_nl_day, "runs": len(found), "found": len(delays), "median_h": middle,
            "worst_h": delays[-1] if middle is not None else None, "by_rows": rows, "bound_h": bound_h, "least_h": least_h,
            "watched_h": case.days * 24, "beyond_ul": median(run.beyond_ul for run in found),
            "declared": declared or (impossible and "no test of this sensor can: %.0f h at best" % (least_h or 0.0)) or "",
            "false_alarms": sum(run.false_alarm for run in found), "ok": ok}


# ------------------------------------------------------------------------------------------------ the bench

def latency(say: Callable[[str], None] = lambda text: None, *, runtime: str = "inprocess", seeds: int = SEEDS, rates: Sequence[int] = RATES_NL_DAY,
            cases: Sequence[Case] = CASES) -> dict[str, Any]:
    """Every fault at every rate, `seeds` times; the bench object of DESIGN 13 (schema thecal.bench/1)."""
    rows, wall_s = [], {}
    for case in cases:
        say(case.name)
        began = time.monotonic()
        rows += [cell(case, rate_nl_day, [once(case, rate_nl_day, seed, runtime) for seed in range(1, runs_of(case, rate_nl_day, seeds) + 1)])
                 for rate_nl_day in rates]
        wall_s[case.name] = round(time.monotonic() - began, 1)
    return {"schema": "thecal.bench/1", "bench": "latency", "bars": bars(rows), "runtime": runtime, "wall_s": wall_s, "cells": rows,
            "python": sys.version.split()[0], "repeat": "thecal-sim bench latency --seeds %d --runtime %s" % (seeds, runtime)}


def bars(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is asked of these rows: the stated bounds, the electrical faults' over-delivery, no alarm before its fault."""
    made = []
    for name in dict.fromkeys(row["fault"] for row in rows):
        mine = [row for row in rows if row["fault"] == name]
        bounded = [row for row in mine if row["bound_h"] is not None]
        if bounded and bounded[0]["kind"] == "motion":
            worst = max(bounded, key=lambda row: math.inf if row["worst_h"] is None else row["worst_h"] / row["bound_h"])
            made.append(_row("%s: latest, share of 3 pulse intervals or 30 min" % name, worst["worst_h"] and worst["worst_h"] / worst["bound_h"],
                             "1", 1.0,
                             worst["worst_h"] is not None and worst["worst_h"] <= worst["bound_h"], "at %s" % ml_day(worst["rate_nl_day"])))
        else:
            made += [_row("%s at %s, median" % (name, ml_day(row["rate_nl_day"])), row["median_h"], "h", row["bound_h"], row["ok"],
                          row["declared"] or "worst %s h of %d, by row %s" % (_text(row["worst_h"]), row["runs"], row["by_rows"])) for row in bounded]
        if name in ELECTRICAL:
            most = max(mine, key=lambda row: row["beyond_ul"])
            made.append(_row("%s: most delivered beyond the order when it was said" % name, most["beyond_ul"] * 1000 / PULSE_NL, "pulses",
                             ELECTRICAL_PULSES,
                             most["beyond_ul"] * 1000 <= ELECTRICAL_PULSES * PULSE_NL, "at %s" % ml_day(most["rate_nl_day"])))
    early = sum(row["false_alarms"] for row in rows)
    made.append(_row("critical alarms before their fault", early, "", 0, early == 0, "in %d runs" % sum(row["runs"] for row in rows)))
    return made


def _text(hours: float | None) -> str:
    return "not found" if hours is None else "%.3g" % hours


def _row(name: str, value: float | None, unit: str, bar: float, ok: bool | None, note: str) -> dict[str, Any]:
    return {"name": name, "value": None if value is None else round(value, 4), "unit": unit, "bar": bar, "ok": ok, "note": note}


# ------------------------------------------------------------------------------------------------ the page

TITLES = {"over": ("Over-infusion", "Median of all runs; dotted: Lorden's bound for the sensor's walk, which no test's mean beats at one false alarm "
                   "in ten pump-years (a median, of few runs, may lie below it). Crosses: asked by alarms.md 4. "
                   "Open triangles: not found by every run within the watch; what is declared undetectable is so at and below 0.05 mL/day."),
          "under": ("Under-infusion by the head", "As above; its false alarms are kept at a quarter of the others', so it may take longer."),
          "flow": ("Flow past the rollers, leak", "No bound is stated. The conductances are for the 31 kPa that the reservoir pushes with; a "
                   "septum leak is drug in the pocket, none at the tip."),
          "motion": ("Motor, encoder, switch, catheter", "Median of all runs. The dashed line is the bound of alarms.md 4 for a stall: three pulse "
                     "intervals or 30 min, the longer.")}
HOUR_TICKS = {"over": (1, 3, 8, 24, 48, 120, 360, 1440), "under": (1, 3, 8, 24, 48, 120, 360, 1440), "flow": (0.1, 0.3, 1, 3, 8, 24, 48, 120, 360),
              "motion": (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10, 100)}


def figures(found: Mapping[str, Any]) -> list[plots.Figure]:
    """One figure for each kind of fault: delay against rate."""
    made = []
    for kind, (title, note) in TITLES.items():
        mine = [row for row in found["cells"] if row["kind"] == kind]
        traces: list[plots.Figure] = []
        for colour, name in zip(plots.COLOURS, dict.fromkeys(row["fault"] for row in mine)):
            rows = [row for row in mine if row["fault"] == name]
            rates = [row["rate_nl_day"] / 1e6 for row in rows]
            traces.append(plots.line(name, rates, [row["median_h"] for row in rows], colour, marker="circle", unit="h"))
            if kind != "motion":
                traces.append(plots.line(name + ": bound", rates, [row["least_h"] or None for row in rows], colour, dash="dot", width=1.2, unit="h",
                                         legend=False))
            missing = [row for row in rows if row["median_h"] is None]
            traces.append(plots.line(name + ": not found", [row["rate_nl_day"] / 1e6 for row in missing], [row["watched_h"] for row in missing],
                                     colour, dash="",
                                     marker="triangle-up-open", legend=False, text=["%d of %d found in %g days" % (row["found"], row["runs"],
                                         row["watched_h"] / 24) for row in missing]))
        asked = [row for row in mine if row["bound_h"] is not None and kind != "motion"]
        if asked:
            traces.append(plots.line("asked by alarms.md 4", [row["rate_nl_day"] / 1e6 for row in asked], [row["bound_h"] for row in asked],
                                     plots.INK, dash="", marker="x", unit="h"))
        if kind == "motion" and mine:
            rates = sorted({row["rate_nl_day"] for row in mine})
            traces.append(plots.line("bound of a stall", [rate / 1e6 for rate in rates], [stall_bound_h(rate) for rate in rates], plots.INK,
                                     dash="dash", unit="h"))
        ticks = HOUR_TICKS[kind]
        made.append(plots.figure(kind, title + ": time to the first critical tone", note, plots.rate_axis(row["rate_nl_day"] for row in found["cells"]),
                                 plots.axis("hours (logarithmic)", ticks, log=True, low=ticks[0] * 0.6, high=ticks[-1] * 1.6), traces, height=500))
    return made


def write(found: dict[str, Any], out_dir: Path) -> Path:
    """The page. Raises OSError."""
    rows = [(row["fault"], ml_day(row["rate_nl_day"]), "%d of %d" % (row["found"], row["runs"]), _text(row["median_h"]), _text(row["worst_h"]),
             number(row["bound_h"]),
             ", ".join(str(one) for one in row["by_rows"]), number(round(row["beyond_ul"], 2)), row["declared"]) for row in found["cells"]]
    return plots.write(
        found, out_dir, "Latency: from the fault to the tone", "The real firmware on the plant; each fault begins somewhere in the pump's second "
        "day, on its first evening from 2 mL/day on.", figures(found), [
            ("All cells", "Hours; the excess is what left the tip beyond the order until the tone, µL, median.",
             table(("fault", "rate", "found", "median", "worst", "bound", "rows", "excess", "declared"), rows, numeric=(3, 4, 5, 7)))])
