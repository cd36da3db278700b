"""The latency bench: what is timed, what is declared, what is a bar; a few faults on the real firmware."""

import pytest

from thecal.hw_sim import bench_latency as bench
from thecal.hw_sim.bench_latency import CASES, SURE_SEEDS, Found, bars, cell, once, runs_of, stall_bound_h
from thecal.hw_sim.plant_faults import FAULTS

BY_NAME = {case.name: case for case in CASES}


def test_the_bound_of_a_stall():
    """alarms.md 4: three pulse intervals or 30 min, the longer."""
    assert stall_bound_h(50_000) == pytest.approx(1.44) and stall_bound_h(500_000) == stall_bound_h(24_000_000) == 0.5


def test_every_case_is_a_fault_that_the_plant_has():
    for case in CASES:
        for name, value in case.faults.items():
            assert name in FAULTS and (value is None or FAULTS[name].low <= value <= FAULTS[name].high)
        assert case.kind in bench.TITLES


def test_a_stall_is_heard_within_its_bound_and_a_sound_head_is_not():
    found = once(BY_NAME["rotor stall"], 500_000, 1)
    assert 0 < found.hours <= 0.5 and 7 in found.rows and not found.false_alarm and -6 < found.beyond_ul < -1


def test_three_times_too_much_at_half_a_millilitre():
    found = once(BY_NAME["over-infusion 3×"], 500_000, 2)
    assert found.hours <= 8 and 5 in found.rows and found.beyond_ul == pytest.approx(1000 * found.hours / 24, rel=0.1)


def test_a_cell_tells_found_from_declared_from_impossible():
    case = BY_NAME["over-infusion 1.3×"]
    met = cell(case, 500_000, [Found(40.0, (5,), 250.0, False), Found(50.0, (5, 19), 300.0, False), Found(42.0, (5,), 260.0, True)])
    assert (met["median_h"], met["worst_h"], met["ok"], met["by_rows"], met["false_alarms"]) == (42.0, 50.0, True, [5], 1)
    assert cell(case, 500_000, [Found(60.0, (5,), 300.0, False)])["ok"] is False
    assert cell(case, 500_000, [Found(None, (), 0.0, False)])["ok"] is False
    blind = cell(case, 50_000, [Found(None, (), 0.0, False)])
    assert blind["ok"] is None and blind["median_h"] is None and blind["declared"].startswith("declared undetectable")
    beyond = cell(case, 100_000, [Found(900.0, (5,), 1100.0, False)])
    assert beyond["ok"] is None and beyond["declared"].startswith("no test of this sensor can: 7")


def test_a_drawn_delay_with_a_bound_is_run_more_often():
    case = BY_NAME["over-infusion 1.3×"]
    assert runs_of(case, 500_000, 3) == SURE_SEEDS and runs_of(case, 100_000, 3) == runs_of(case, 1_000_000, 3) == runs_of(BY_NAME["rotor stall"],
        500_000, 3) == 3
    assert runs_of(case, 500_000, 1) == 1, "one is for a quick look"


def test_bars():
    rows = [cell(BY_NAME["rotor stall"], rate, [Found(hours, (7,), -3.0, False)]) for rate, hours in ((50_000, 1.4), (500_000, 0.6))]
    rows.append(cell(BY_NAME[bench.ELECTRICAL[0]], 500_000, [Found(0.1, (1,), 0.4, False)]))
    rows.append(cell(BY_NAME["over-infusion 3×"], 500_000, [Found(5.0, (5,), 200.0, True)]))
    found = {row["name"]: (row["value"], row["ok"]) for row in bars(rows)}
    assert found["rotor stall: latest, share of 3 pulse intervals or 30 min"] == (1.2, False)
    assert found["over-infusion 3× at 0.5 mL/day, median"] == (5.0, True)
    assert found[bench.ELECTRICAL[0] + ": most delivered beyond the order when it was said"] == (0.4, True)
    assert found["critical alarms before their fault"] == (1, False)


@pytest.mark.slow
def test_the_object_and_its_page(tmp_path):
    cases = (BY_NAME["rotor stall"], BY_NAME["over-infusion 3×"])
    found = bench.latency(seeds=1, rates=(500_000,), cases=cases)
    assert (found["schema"], found["bench"]) == ("thecal.bench/1", "latency") and len(found["cells"]) == 2 and all(row["ok"] for row in found["bars"])
    text = bench.write(found, tmp_path).read_text(encoding="utf-8")
    for part in ("figure-over", "figure-motion", "asked by alarms.md 4", "programmed rate, mL/day", "hours (logarithmic)"):
        assert part in text
