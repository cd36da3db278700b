"""`thecal-sim bench calibration`: what the learning calibration is worth over pumps' lives, and what a failed witness can do with it.

Two hundred heads by refills with the real `Trim` (lifetime.py), and a few of them as whole pumps: real firmware, plant with that head,
refills by the ordinary Programmer, the trim read off the wire.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..firmware.trim import MOST
from . import bench_plots as plots
from .bench_rig import DAY_S, NL_PER_UL, Rig
from .lifetime import LESS_LEFT, MORE_LEFT, YEARS, Head, Life, bands, head_of, life, moved, quantile
from .params import PlantParams
from .report import table

PUMPS = 200
WAYS = (("factory figure", False, ""), ("learning", True, ""), ("learning, sensor fails", True, "sensor"), ("learning, syringe is misread", True,
    "syringe"), ("learning, " + MORE_LEFT, True, MORE_LEFT), ("learning, " + LESS_LEFT, True, LESS_LEFT))
ALONE = slice(2, 4)         # of these: one witness fails, which must be no worse than not to learn
LEAST_GAIN = 0.5            # J: a calibration that does not halve the error is not worth a clinician's attention
ADDED_PCT, TAKEN_PCT = 100 * MOST / (1000 - MOST), 100 * MOST / (1000 + MOST)       # what a trim at either bound does to delivery
WHOLE = (Head(1.04, 0.0, 500.0), Head(0.96, 0.0, 500.0), Head(1.01, 0.1, 500.0))      # as whole pumps, at 0.5 mL/day
LIED_TO = Head(1.0, 0.0, 500.0)             # an exact one: all that its delivery moves is what the lie did
WHOLE_FILLS, LIED_FILLS = 7, 5              # three refills bring a trim to its bound
LIE_PART = 0.06             # of a fill: as much as holds a trim at its bound
PULSE_PCT = 0.0067                          # a pulse of 1 uL in the 14.9 mL of a fill: that is no trim's


def figures_of(lives: Sequence[Life]) -> dict[str, float]:
    """All fills of all pumps, %: mean and 95 % quantile of |error|, the largest; and the mean of |error| of what each got in its life."""
    errors = [100 * abs(error) for one in lives for error in one.errors]
    return {"mean_pct": math.fsum(errors) / len(errors), "late_pct": quantile(errors, 0.95), "most_pct": max(errors),
            "life_mean_pct": math.fsum(100 * abs(one.mean) for one in lives) / len(lives), "fills": len(errors)}


def whole(head: Head, learns: bool, fills: int = WHOLE_FILLS, runtime: str = "inprocess", failed: str = "") -> dict[str, Any]:
    """One pump on the real firmware over so many fills: error of each fill's volume at the tip (%), and the trim behind it (thousandths).

    `failed`, MORE_LEFT or LESS_LEFT: at each refill the sensor's zero moves while the reservoir is empty, and the clinic misreads its syringe by the
    same. (A sensor that drifts as far between two refills is found by the level test: row 5, and the trim is the factory's.)
    """
    params = PlantParams.load("reference")
    params = replace(params, head=replace(params.head, volume_per_rev_ul=params.head.volume_per_rev_ul * head.factory, wear_share=head.wear))
    errors, trims = [], []
    with Rig(round(head.rate_ul_day * NL_PER_UL), params=params, runtime=runtime) as rig:
        lie_ul = round({MORE_LEFT: 1, LESS_LEFT: -1}.get(failed, 0) * LIE_PART * head.rate_ul_day * rig.fill_lasts_s / DAY_S)
        if learns:
            rig.pump.calibration(True)
        for fill in range(1, fills + 1):
            begin_s, before_ul = rig.now_s, rig.delivered_ul()
            rig.run(begin_s + rig.fill_lasts_s, refill=False)
            errors.append(100 * ((rig.delivered_ul() - before_ul) / (head.rate_ul_day * (rig.now_s - begin_s) / DAY_S) - 1))
            if lie_ul:
                rig.world.fault("level_offset_ul", fill * lie_ul)
            rig.fill(-lie_ul)
            rig.run(rig.now_s + DAY_S / 12, refill=False)       # until the level has settled and was compared
            trims.append(rig.pump.status().trim)
        return {**head._asdict(), "learns": learns, "failed": failed, "errors_pct": errors, "trims": trims, "alarms": rig.rows()}


def calibration(say: Callable[[str], None] = lambda text: None, *, pumps: int = PUMPS, runtime: str = "inprocess",
                heads: Sequence[Head] = WHOLE, lies: Sequence[str] = (MORE_LEFT, LESS_LEFT)) -> dict[str, Any]:
    """Run it all; the bench object of DESIGN 13 (schema thecal.bench/1)."""
    ways: list[dict[str, Any]] = []
    wall_s: dict[str, float] = {}
    bare: list[Life] = []
    for name, learns, failed in WAYS:
        say("%d pumps over %g years: %s" % (pumps, YEARS, name))
        began = time.monotonic()
        lives = [life(head_of(seed), seed, learns, failed=failed) for seed in range(1, pumps + 1)]
        wall_s[name] = round(time.monotonic() - began, 1)
        bare = bare or lives
        least, most = moved(bare, lives)
        ways.append({"name": name, **figures_of(lives), "trim_most": max(abs(trim) for one in lives for trim in one.trims),
                     "least_moved_pct": 100 * least, "most_moved_pct": 100 * most,
                     "bands": [band._asdict() for band in bands(lives)], "life_means_pct": [100 * one.mean for one in lives]})
    began = time.monotonic()
    tried = []
    for head, failed, fills in [(head, "", WHOLE_FILLS) for head in heads] + [(LIED_TO, lie, LIED_FILLS) for lie in lies]:
        say("a whole pump with a head of %g, worn by %g in the end%s" % (head.factory, head.wear, ", " + failed if failed else ""))
        tried.append(whole(head, True, fills, runtime, failed))
    wall_s["whole pumps"] = round(time.monotonic() - began, 1)
    return {"schema": "thecal.bench/1", "bench": "calibration", "bars": _bars(ways, tried), "runtime": runtime, "wall_s": wall_s, "ways": ways,
            "whole": tried,
            "python": sys.version.split()[0], "repeat": "thecal-sim bench calibration --pumps %d --runtime %s" % (pumps, runtime)}


def _bars(ways: Sequence[dict[str, Any]], tried: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    bare, learned = ways[0], ways[1]
    share = learned["mean_pct"] / bare["mean_pct"]
    bars = [_row("mean |error| of a fill with learning, share of that without", share, "1", LEAST_GAIN,
                 "%.2f %% for %.2f %%; 95 %% of fills within %.1f %% for %.1f %%" % (
        learned["mean_pct"], bare["mean_pct"], learned["late_pct"], bare["late_pct"]))]
    for way in ways[ALONE]:
        bars.append(_row("%s: mean |error|" % way["name"], way["mean_pct"], "%", bare["mean_pct"], "no worse than without learning"))
    for text, key, sign, bound in (("adds to", "most_moved_pct", 1, ADDED_PCT), ("takes from", "least_moved_pct", -1, TAKEN_PCT)):
        worst = max(ways, key=lambda way: sign * way[key])
        bars.append(_row("the most that any way of learning %s a fill, beside the same pump without" % text, sign * worst[key], "%", bound,
                         "%s; a trim at its bound of %d thousandths and no more" % (worst["name"], MOST)))
    for pump in tried:
        name, trims = "whole pump, head %g, wear %g" % (pump["factory"], pump["wear"]), " ".join("%+d" % trim for trim in pump["trims"])
        if pump["failed"]:
            added = pump["failed"] == LESS_LEFT
            least, most = min(pump["errors_pct"]), max(pump["errors_pct"])
            bars.append(_row("%s, %s: the most that it %s a fill" % (name, pump["failed"], "adds to" if added else "takes from"),
                             most if added else -least, "%", (ADDED_PCT if added else TAKEN_PCT) + PULSE_PCT,
                             "fills %s %%; trims %s; alarms %s" % (
                                 " ".join("%+.2f" % error for error in pump["errors_pct"]), trims, pump["alarms"] or "none")))
        else:
            bars.append(_row("%s: |error| of its last fill" % name, abs(pump["errors_pct"][-1]), "%", 2.0,
                             "first fill %+.2f %%; trims %s" % (pump["errors_pct"][0], trims)))
    return bars


def _row(name: str, value: float, unit: str, bar: float, note: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 4), "unit": unit, "bar": round(bar, 4), "ok": round(value, 4) <= round(bar, 4), "note": note}


# ------------------------------------------------------------------------------------------------ the page

def figures(found: dict[str, Any]) -> list[plots.Figure]:
    """|error| over the years, the lives' mean errors, the whole pumps."""
    over = []
    for colour, way in zip(plots.COLOURS, found["ways"]):
        years = [band["year"] for band in way["bands"]]
        over += plots.family(way["name"], years, [(", median", [band["median_pct"] for band in way["bands"]], {}),
                                                  (", 95 % within", [band["late_pct"] for band in way["bands"]], {"dash": "dot", "width": 1.4})],
                             colour, unit="%", one_entry=True)
    edges = [-16 + i for i in range(33)]
    lots = []
    for colour, way in zip(plots.COLOURS, found["ways"][:2]):
        counts = [sum(1 for mean in way["life_means_pct"] if edge - 0.5 <= mean < edge + 0.5) for edge in edges]
        lots.append(plots.line(way["name"], edges, counts, colour, unit="pumps", shape="hvh"))
    pumps = [plots.line("head %g%s" % (pump["factory"], ", " + (pump["failed"] or "wear %g" % pump["wear"]) if pump["failed"] or pump["wear"] else ""),
                        range(1, len(pump["errors_pct"]) + 1), pump["errors_pct"], colour, marker="circle", unit="%")
             for colour, pump in zip(plots.COLOURS, found["whole"])]
    return [
        plots.figure("years", "Error of a fill over the life of 200 pumps",
                     "Solid: half of all fills are within it; dotted: 95 % are. A head further off than 5 % keeps the rest: "
                     "the trim is bounded there. \"Both say\" is a sensor and a clinic that agree on the same lie at every refill, the largest that "
                     "is believed.",
                     plots.axis("years since the implant", range(0, 8), low=0, high=7), plots.axis("|error| of the volume, %", low=0, high=20), over),
        plots.figure("lot", "Error of all that a patient got", "200 pumps by the mean error of their life, in bins of 1 %.",
                     plots.axis("delivered over prescribed less one, %", range(-16, 17, 4), low=-16, high=16), plots.axis("pumps in a bin"), lots,
                     height=340),
        plots.figure("whole", "The real firmware, fill by fill", "Heads that are 4 % over, 4 % under, and worn; and an exact one, whose sensor and "
                     "clinic lie alike, either way; lifted four times the sensor reads beyond its scale, row 21, and the trim is the factory's again. "
                     "Every fill is 14.9 mL at 0.5 mL/day. The trim moves at most 2 % a refill.",
                     plots.axis("fill", range(1, WHOLE_FILLS + 1)), plots.axis("error of the volume at the tip, %"), pumps, height=340, level=(0.0,
                         ""))]


def write(found: dict[str, Any], out_dir: Path) -> Path:
    """The page. Raises OSError."""
    rows = [(way["name"], *("%.2f" % way[key] for key in ("mean_pct", "late_pct", "most_pct", "life_mean_pct")), "%+.2f" % way["least_moved_pct"],
             "%+.2f" % way["most_moved_pct"], str(way["trim_most"]), str(way["fills"])) for way in found["ways"]]
    return plots.write(
        found, out_dir, "The learning calibration over pumps' lives",
        "Heads of one production lot (3 % sd), worn by up to 10 %; the firmware's Trim, told by level and syringe at every refill.",
        figures(found), [("All pumps", "|error| of the volume of a fill in %; the mean of a life is that of all a patient got. Moved: what "
                          "the way made of a fill beside the same pump without learning, in %, the least and the most.",
                          table(("way", "mean", "95 % within", "largest", "mean of a life", "least moved", "most moved", "largest trim, 1/1000",
                                 "fills"), rows, numeric=range(1, 9)))])
