"""`thecal-sim bench speed`: wall time of simulated therapy against the bars of DESIGN 11. Prints figures; tests do not time.

Each row is measured in this one run on this one machine; the bare exchange (a firmware that does nothing) stands beside them,
because a noisy machine moves all of them together.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .player import play
from .runner import pin_to_one_core
from .scenario import load_scenario, new_world
from .world import World

SYNTHETIC = Path(__file__).parent / "synthetic"
HALF_YEAR, FASTEST = "bench-180d", "bench-24ml"     # scenario files
DENSE_S = 600       # virtual seconds of the 100 Hz rows: 60,000 exchanges


def _bar(name: str, value: float, unit: str, bar: float, ok: bool, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": round(value, 4), "unit": unit, "bar": bar, "ok": ok, **more}


def _play(name: str, runtime: str) -> dict[str, Any]:
    scenario = load_scenario(name)
    result = play(scenario, new_world(scenario, runtime=runtime))
    if result["verdict"] != "pass":
        wrong = [row["name"] for row in result["expectations"] if row["ok"] is False]
        raise RuntimeError(f"the benchmark's own run of {name} on {runtime} failed: {', '.join(wrong)}")
    return result


def _costs(result: dict[str, Any]) -> dict[str, Any]:
    return {"wakes": result["wakes"], "us_per_wake": round(result["wall_s"] / result["wakes"] * 1e6, 1), "pulses": result["pulses"],
            "trace_hash": result["trace_hash"], "child_peak_kib": result["child_peak_kib"]}


def _dense(name: str) -> dict[str, float]:
    """A firmware that is due every 10 ms, over the tether: {times real time, us per wake}."""
    with World.build(runtime="micropython", firmware_dir=SYNTHETIC / name) as world:
        world.run_until(1_000_000)
        wakes, start = world.wakes, time.monotonic()
        world.run_until((1 + DENSE_S) * 1_000_000)
        wall_s = time.monotonic() - start
        return {"factor": DENSE_S / wall_s, "us_per_wake": wall_s / (world.wakes - wakes) * 1e6}


def speed(say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Run every row; `say` hears what is under way. Returns the bench object of DESIGN 13 (schema thecal.bench/1)."""
    say("a bare exchange over the tether")
    bare = _dense("bare")
    say("180 days at 0.5 mL/day on real MicroPython")
    tethered = _play(HALF_YEAR, "micropython")
    say("the same in-process")
    inside = _play(HALF_YEAR, "inprocess")
    say("18 hours at 24 mL/day on real MicroPython")
    fast = _play(FASTEST, "micropython")
    say("a 100 Hz loop on real MicroPython")
    dense = _dense("loop100hz")
    factor = fast["virtual_s"] / fast["wall_s"]
    bars = [
        _bar("180 days at 0.5 mL/day, MicroPython tethered", tethered["wall_s"], "s", 10, tethered["wall_s"] <= 10, target=5, **_costs(tethered)),
        _bar("180 days at 0.5 mL/day, in-process", inside["wall_s"], "s", 6, inside["wall_s"] <= 6, target=2, **_costs(inside)),
        _bar("24 mL/day, MicroPython tethered", factor, "x real time", 30_000, factor >= 30_000, **_costs(fast)),
        _bar("synthetic 100 Hz, MicroPython tethered", dense["factor"], "x real time", 300, dense["factor"] >= 300,
             us_per_wake=round(dense["us_per_wake"], 1)),
        _bar("one trace hash on both runtimes", int(tethered["trace_hash"] == inside["trace_hash"]), "", 1,
             tethered["trace_hash"] == inside["trace_hash"]),
    ]
    return {"schema": "thecal.bench/1", "bench": "speed", "bars": bars, "bare_exchange_us": round(bare["us_per_wake"], 1),
            "pinned": pin_to_one_core(0), "host_peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "python": sys.version.split()[0]}
