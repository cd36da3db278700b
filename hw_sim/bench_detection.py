"""`thecal-sim bench detection`: the level test against the optimum on its sensor model, and false alarms of the whole system over years.

The first half is detection.py's campaign, the second the real firmware on the plant with no fault at all: every alarm of any row there is a
false one. What was found stands beside what alarms.md 4 asks, and beside what no test of this sensor can beat.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..protocol import catalogue
from . import bench_plots as plots
from .bench_rig import DAY_S, RESERVOIR, Rig, ml_day
from .detection import (
    DAY_H, DEFAULT, FALSE_A_YEAR, STEADIER, YEAR_H, Delays, Quiet, Sensor, delays, late_h, least_delay_h, mean_h, quiet_years, within)
from .params import PlantParams
from .report import number, table
from .scenario import ALARM_ROWS

RATES_NL_DAY = (50_000, 62_500, 100_000, 250_000, 500_000, 1_000_000, 2_000_000, 24_000_000)
GAINS = (1.1, 1.3, 2.0, 3.0)
PUMP_YEARS = 200                # a rate, each a pump and a seed of its own
ONSETS = 200                    # a rate and gain
SYSTEM, SYSTEM_SEEDS = (("reference", (50_000, 100_000, 250_000, 500_000)), ("low-drift", (100_000, 500_000))), 5      # params/sensors-*; a year each
ASKED_H = {(1.3, 500_000): 48.0, (3.0, 500_000): 8.0, (1.3, 100_000): 120.0}     # alarms.md 4
ASKED_GAIN = 1.3
SURE_ONSETS = 10                # times as many where a mean is held against a bar: 200 leave it uncertain by 2 h of 48
SURE_YEARS = 5                  # times as many at a sensor's worst rate: 200 leave 0.07 a year uncertain by half of it
SENSORS = (("default sensor, walk 50 µL/√day", DEFAULT), ("steady sensor, walk 15 µL/√day", STEADIER))
SENSOR_RATES_NL_DAY = ((100_000, 500_000, 2_000_000), (62_500, 100_000, 500_000))       # drawn by size of the fault
LOW = 19                        # the low-reservoir row: no false alarm but the truth, at rates that a reservoir does not feed for a week


def poisson_95(count: int) -> tuple[float, float]:
    """95 % interval of a Poisson mean behind `count` events (Wilson and Hilferty's cube-root form of the chi-square)."""
    def quantile(degrees: int, z: float) -> float:
        return degrees * (1 - 2 / (9 * degrees) + z * math.sqrt(2 / (9 * degrees))) ** 3 / 2 if degrees else 0.0
    return max(0.0, quantile(2 * count, -1.96)), quantile(2 * count + 2, 1.96)


def campaign(pumps: int, onsets: int, rates: Sequence[int], gains: Sequence[float], sensor: Sensor,
             say: Callable[[str], None] = lambda text: None) -> list[dict[str, Any]]:
    """Every rate: false alarms, and for every gain the delays of the firmware and of the ideal test at the same false-alarm rate."""
    rows: list[dict[str, Any]] = []
    for rate_nl_day in rates:
        say("%d pump-years and %d onsets a gain at %s" % (pumps, onsets, ml_day(rate_nl_day)))
        quiet = quiet_years(rate_nl_day, pumps, sensor, gains)
        rows.append({"rate_nl_day": rate_nl_day, **_false_alarms(sum(quiet.findings.values()), quiet.years),
                     "delays": [_delay(rate_nl_day, gain, delays(rate_nl_day, gain, onsets * (SURE_ONSETS if (gain, rate_nl_day) in ASKED_H else 1),
                                                                 quiet.threshold(gain), sensor), quiet, sensor) for gain in gains]})
    worst = max(rows, key=lambda row: row["false_a_year"])
    say("%d pump-years more at %s, where the false alarms were most" % ((SURE_YEARS - 1) * pumps, ml_day(worst["rate_nl_day"])))
    more = quiet_years(worst["rate_nl_day"], (SURE_YEARS - 1) * pumps, sensor, first=pumps + 1)
    worst.update(_false_alarms(worst["false_alarms"] + sum(more.findings.values()), worst["pump_years"] + more.years))
    return rows


def _false_alarms(count: int, years: float) -> dict[str, Any]:
    low, high = poisson_95(count)
    return {"pump_years": round(years, 1), "false_alarms": count, "false_a_year": count / years, "low_a_year": low / years,
            "high_a_year": high / years}


def _delay(rate_nl_day: int, gain: float, found: Delays, quiet: Quiet, sensor: Sensor) -> dict[str, Any]:
    excess_ul_day = rate_nl_day * (gain - 1) / 1000
    mean = mean_h(found.firmware_h)
    return {"gain": gain, "onsets": len(found.firmware_h), "found": sum(hour is not None for hour in found.firmware_h), "mean_h": mean,
            "median_h": late_h(found.firmware_h, 0.5), "late_h": late_h(found.firmware_h),
            "within_asked": within(found.firmware_h, ASKED_H[gain, rate_nl_day]) if (gain, rate_nl_day) in ASKED_H else None,
            "ideal_h": mean_h(found.ideal_h), "threshold_nats": quiet.threshold(gain),
            "lorden_h": least_delay_h(excess_ul_day, sensor), "excess_ul": None if mean is None else excess_ul_day * mean / DAY_H}


def system_year(rate_nl_day: int, seed: int, days: float = YEAR_H / DAY_H, runtime: str = "inprocess", sensors: str = "reference") -> dict[str, Any]:
    """One pump with these sensors and without a fault: the rows of its log, and tones heard."""
    began = time.monotonic()
    params = PlantParams.load("reference", reservoir=RESERVOIR, sensors=sensors)
    with Rig(rate_nl_day, seed=seed, runtime=runtime, params=params) as rig:
        next_event, rows = 0, []
        for until in (*range(30, int(days), 30), days):     # the log is a ring: read it before it comes round
            rig.run(until * DAY_S)
            news = rig.pump.log(next_event)
            rows += [event.cause for event in news if event.code == catalogue.E_ALARM and event.cause != LOW]
            next_event = news[-1].seq + 1 if news else next_event
        return {"sensors": sensors, "rate_nl_day": rate_nl_day, "seed": seed, "years": days * DAY_H / YEAR_H, "false_alarms": len(rows), "rows": rows,
                "tones": len(rig.ears.heard), "wakes": rig.world.wakes, "wall_s": round(time.monotonic() - began, 1)}


def _bars(sensors: Sequence[Sequence[dict[str, Any]]], system: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    bars = []
    for (name, _), rows in zip(SENSORS, sensors):
        total, years = sum(row["false_alarms"] for row in rows), sum(row["pump_years"] for row in rows)
        bars.append(_row("level test: false alarms, all rates; %s" % name, total / years, "1/year", FALSE_A_YEAR, total / years < FALSE_A_YEAR,
                         "%d in %.0f seeded pump-years" % (total, years)))
        worst = max(rows, key=lambda row: row["false_a_year"])
        bars.append(_row("level test: false alarms at its worst rate, %s; %s" % (ml_day(worst["rate_nl_day"]), name), worst["false_a_year"], "1/year",
                         FALSE_A_YEAR, worst["false_a_year"] < FALSE_A_YEAR, "%d in %.0f pump-years: 95 %% within %.3f .. %.3f" % (
                             worst["false_alarms"], worst["pump_years"], worst["low_a_year"], worst["high_a_year"])))
    for (gain, rate_nl_day), asked_h in ASKED_H.items():
        for (name, _), found in zip(SENSORS, sensors):
            cell = next((cell for row in found if row["rate_nl_day"] == rate_nl_day for cell in row["delays"] if cell["gain"] == gain), None)
            if cell is None:
                continue
            possible = cell["lorden_h"] <= asked_h
            ok = cell["mean_h"] is not None and cell["mean_h"] <= asked_h if possible else None
            told = "of %d; median %s h, %.0f of 100 within %g h, 95 within %s h; ideal %s h, Lorden %.1f h" % (
                cell["onsets"], _text(cell["median_h"]), 100 * cell["within_asked"], asked_h, _text(cell["late_h"]), _text(cell["ideal_h"]),
                cell["lorden_h"])
            bars.append(_row("%g× at %s, mean delay; %s" % (gain, ml_day(rate_nl_day), name), cell["mean_h"], "h", asked_h, ok,
                             told + ("" if possible else ": no test of this sensor can meet it")))
    if system:
        total, years = sum(row["false_alarms"] for row in system), sum(row["years"] for row in system)
        bars.append(_row("whole system, no fault: alarms of any row", total / years, "1/year", FALSE_A_YEAR, total / years < FALSE_A_YEAR,
                         "%d in %.1f pump-years; 95 %% within %.3f .. %.3f" % (total, years, *(edge / years for edge in poisson_95(total)))))
    return bars


def _text(hours: float | None) -> str:
    return "more than a fill" if hours is None else "%.1f" % hours


def _row(name: str, value: float | None, unit: str, bar: float, ok: bool | None, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": None if value is None else round(value, 4), "unit": unit, "bar": bar, "ok": ok, "note": note}


def detection(say: Callable[[str], None] = lambda text: None, *, pumps: int = PUMP_YEARS, onsets: int = ONSETS, seeds: int = SYSTEM_SEEDS,
              runtime: str = "inprocess") -> dict[str, Any]:
    """Run it all; returns the bench object of DESIGN 13 (schema thecal.bench/1). `seeds` 0 leaves the whole system out."""
    wall_s: dict[str, float] = {}
    found = []
    for name, sensor in SENSORS:
        say("the level test alone, %s" % name)
        began = time.monotonic()
        found.append(campaign(pumps, onsets, RATES_NL_DAY, GAINS, sensor, say))
        wall_s[name] = round(time.monotonic() - began, 1)
    system = []
    began = time.monotonic()
    for sensors, rate_nl_day in ((sensors, rate_nl_day) for sensors, rates in SYSTEM for rate_nl_day in rates if seeds):
        say("the whole system, sensors %s: %d years at %s" % (sensors, seeds, ml_day(rate_nl_day)))
        system += [system_year(rate_nl_day, seed, runtime=runtime, sensors=sensors) for seed in range(1, seeds + 1)]
    wall_s["whole system on %s" % runtime] = round(time.monotonic() - began, 1)
    return {"schema": "thecal.bench/1", "bench": "detection", "bars": _bars(found, system), "runtime": runtime, "wall_s": wall_s,
            "sensors": [{"name": name, **sensor._asdict(), "rates": rows} for (name, sensor), rows in zip(SENSORS, found)], "system": system,
            "python": sys.version.split()[0], "repeat": "thecal-sim bench detection --pumps %d --onsets %d --seeds %d --runtime %s" % (pumps, onsets,
                seeds, runtime)}


# ------------------------------------------------------------------------------------------------ the page

LATE = ", 95 % within"
HOUR_TICKS = (0.1, 0.3, 1, 3, 8, 24, 48, 120, 240, 720, 2160, 4320)


def figures(found: dict[str, Any]) -> list[plots.Figure]:
    """Delay against gain, delay against rate, false alarms against rate."""
    hours = plots.axis("hours until found (logarithmic)", HOUR_TICKS, log=True, low=0.8, high=5000)
    rate_axis = plots.rate_axis(row["rate_nl_day"] for row in found["sensors"][0]["rates"])
    return [*(_by_gain(sensor, rates, hours) for sensor, rates in zip(found["sensors"], SENSOR_RATES_NL_DAY)),
            _by_rate(found, rate_axis, hours), _false(found, rate_axis)]


def _by_gain(sensor: dict[str, Any], rates_nl_day: Sequence[int], hours: plots.Figure) -> plots.Figure:
    rows, by_gain = sensor["rates"], []
    for colour, rate_nl_day in zip(plots.COLOURS, rates_nl_day):
        cells = [cell for row in rows if row["rate_nl_day"] == rate_nl_day for cell in row["delays"]]
        gains, name = [cell["gain"] for cell in cells], ml_day(rate_nl_day)
        by_gain += [*plots.family(name, gains, [one for one in _delays_of(cells) if one[0] != LATE], colour, unit="h"),
                    plots.line(name + ", asked", *_asked(rate=rate_nl_day), colour, dash="", marker="x", unit="h", legend=False)]
    return plots.figure(
        "gain-%g" % sensor["drift_ul_sqrt_day"], "Over-infusion: delay against size of the fault; " + sensor["name"],
        "The ideal test is told the size and has the firmware's own false-alarm rate; below the dotted line no test can be, were its readings "
        "free of noise. A missing point: fewer than nine in ten were found before the refill. Crosses: what alarms.md 4 asks "
        "at the rate of their colour, read at the mean.",
        plots.axis("volume delivered over volume ordered", GAINS), hours, by_gain, height=520)


def _by_rate(found: dict[str, Any], rate_axis: plots.Figure, hours: plots.Figure) -> plots.Figure:
    by_rate = []
    for colour, sensor in zip((plots.BLUE, plots.ORANGE), found["sensors"]):
        name, rates = "walk %g" % sensor["drift_ul_sqrt_day"], [row["rate_nl_day"] / 1e6 for row in sensor["rates"]]
        cells = [next(cell for cell in row["delays"] if cell["gain"] == ASKED_GAIN) for row in sensor["rates"]]
        by_rate += plots.family(name, rates, _delays_of(cells), colour, unit="h")
    by_rate.append(plots.line("asked by alarms.md 4", *_asked(gain=ASKED_GAIN), plots.RED, dash="", marker="x", unit="h"))
    return plots.figure("rate", "A head that gives 1.3 times too much: delay against rate",
                        "Each sensor with its own class of thresholds. With 50 µL/√day the 5 days asked at 0.1 mL/day lie below what any test can "
                        "do; with 15 they do not.", rate_axis, hours, by_rate, height=520)


def _false(found: dict[str, Any], rate_axis: plots.Figure) -> plots.Figure:
    traces, highest = [], 0.2
    for colour, sensor, aside in zip((plots.BLUE, plots.ORANGE), found["sensors"], (1.0, 1.03)):    # drawn beside, not upon, each other
        rows = sensor["rates"]
        trace = plots.line("walk %g" % sensor["drift_ul_sqrt_day"], [row["rate_nl_day"] / 1e6 * aside for row in rows],
                           [row["false_a_year"] for row in rows], colour, dash="", marker="circle")
        trace["error_y"] = {"type": "data", "symmetric": False, "array": [row["high_a_year"] - row["false_a_year"] for row in rows],
                            "arrayminus": [row["false_a_year"] - row["low_a_year"] for row in rows], "color": colour}
        traces.append(trace)
        highest = max(highest, *(1.1 * row["high_a_year"] for row in rows))
    return plots.figure("false", "False alarms of the level test on sound pumps",
                        "Every finding counts, too much, too little or a flow; whiskers are the 95 % interval.",
                        rate_axis, plots.axis("false alarms a pump-year", low=0, high=highest), traces,
                        level=(FALSE_A_YEAR, "bar: one in ten pump-years"))


def _delays_of(cells: Sequence[dict[str, Any]]) -> list[tuple[str, list[float | None], dict[str, Any]]]:
    """What is drawn of each cell, as plots.family takes it."""
    return [(", firmware (mean)", [cell["mean_h"] for cell in cells], {"marker": "circle"}),
            (LATE, [cell["late_h"] for cell in cells], {"width": 1.0}),
            (", ideal CUSUM", [cell["ideal_h"] for cell in cells], {"dash": "dash"}),
            (", Lorden's bound", [cell["lorden_h"] or None for cell in cells], {"dash": "dot", "width": 1.5})]


def _asked(rate: int | None = None, gain: float | None = None) -> tuple[list[float], list[float]]:
    points = [(at if rate else flow / 1e6, hours) for (at, flow), hours in ASKED_H.items() if flow == rate or at == gain]
    return [x for x, _ in points], [y for _, y in points]


def write(found: dict[str, Any], out_dir: Path) -> Path:
    """The page. Raises OSError."""
    years = [row["pump_years"] for sensor in found["sensors"] for row in sensor["rates"]]
    rows = [(str(sensor["drift_ul_sqrt_day"]), ml_day(row["rate_nl_day"]), "%d" % row["false_alarms"], "%g×" % cell["gain"],
             "%d of %d" % (cell["found"], cell["onsets"]), _text(cell["mean_h"]), _text(cell["median_h"]), _text(cell["late_h"]),
             _text(cell["ideal_h"]), number(cell["lorden_h"]), number(cell["excess_ul"]))
            for sensor in found["sensors"] for row in sensor["rates"] for cell in row["delays"]]
    named = {row: ALARM_ROWS[row].name for year in found["system"] for row in year["rows"] if row in ALARM_ROWS}
    system = [(year["sensors"], ml_day(year["rate_nl_day"]), str(year["seed"]), "%.2f" % year["years"], str(year["false_alarms"]),
               ", ".join("%d %s" % (row, named.get(row, "")) for row in year["rows"]) or "none", str(year["wakes"]),
               "%.1f" % year["wall_s"]) for year in found["system"]]
    return plots.write(
        found, out_dir, "Detection by the level test", "The firmware's own test on the sensor model of DESIGN 8, the best conceivable test of the "
        "same readings, and the "
        "whole system without a fault.", figures(found), [
            ("Delays", "Hours; the sensor is named by its walk in µL per root day, the excess is what went into the patient beyond the order until "
             "it was found in the mean, in µL. False alarms: in %.0f pump-years, at a sensor's worst rate in %.0f." % (
                 min(years), max(years)),
             table(("sensor", "rate", "false alarms", "gain", "found", "mean", "median", "95 % within", "ideal", "Lorden", "excess"), rows,
                   numeric=range(4, 11))),
            ("The whole system without a fault", "The real firmware on the plant; every alarm of its log counts.",
             table(("sensors", "rate", "seed", "years", "alarms", "rows", "wakes", "wall s"), system, numeric=(2, 3, 4, 6, 7)))])
