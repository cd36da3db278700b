"""R8: app.step() allocates nothing, on both word sizes, through pulses, rounds, schedule changes, day rolls, alarms and the tick's wrap.

Under micropython.heap_lock and with gc.mem_alloc equal before and after every step. And the sizes of DESIGN 11, printed.
"""

import re

import pytest
import runtimes
from thecal.hw_sim import staging

KIB = 1024
HEAP_BAR_BYTES = 96 * KIB       # DESIGN 11: 32-bit, after a collection
STAGE = re.compile(r"(?P<stage>[a-z ]+) wakes (?P<wakes>\d+) orders (?P<orders>\d+) wrapped (?P<wrapped>\d+) allocated (?P<allocated>\d+)")
STAGES = {"flex": 1000, "second day": 1000, "stopped": 40, "prime": 200, "bolus": 200, "patient bolus": 100, "pause": 40, "bridge": 200, "fastest": 400, "slowest": 200, "stall": 100, "healed": 100,
          "refilled": 200, "sensor stuck": 200, "sensor at full scale": 60, "clock jump": 100, "motion": 30}


def check(lines):
    complaints = [line for line in lines if "allocates" in line or "grew" in line or "Error" in line]
    assert not complaints, "\n".join(lines)
    found = {match["stage"]: match for match in map(STAGE.fullmatch, lines) if match}
    assert {stage: int(match["wakes"]) for stage, match in found.items()} == STAGES
    assert all(match["allocated"] == "0" for match in found.values())
    assert found["flex"]["wrapped"] == "1" and int(found["flex"]["orders"]) > 500
    # Each stage met what it was made for.
    assert [line for line in lines if line.startswith("alarms")] == [
        "alarms []", "alarms []", "alarms [24]", "alarms [7, 19]", "alarms [19]", "alarms [21]", "alarms [12, 21]", "alarms [1, 12, 21] drops 1"]
    assert "request True None True" in lines and "mode 2" in lines


@pytest.mark.slow
@pytest.mark.req("TH-RULE-08")
@pytest.mark.micropython
def test_a_step_allocates_nothing_on_64_bit():
    check(runtimes.on_unix("heap_step.py", heap="512K"))       # gc.mem_alloc walks the whole heap


@pytest.mark.slow
@pytest.mark.req("TH-RULE-08")
@pytest.mark.wasm
def test_a_step_allocates_nothing_on_32_bit(wasm):
    check(runtimes.on_wasm("heap_step.py", wasm))


@pytest.mark.slow
@pytest.mark.req("TH-RULE-08")
@pytest.mark.wasm
def test_a_booted_pump_fits_its_heap_on_32_bit(wasm, record_property):
    line = runtimes.on_wasm("heap_boot.py", wasm)[-1]
    booted_bytes = int(re.match(r"booted (\d+)", line)[1])
    record_property("heap_bytes", booted_bytes)
    print(f"heap of a booted pump, 32-bit, after a collection: {booted_bytes} B (bar {HEAP_BAR_BYTES} B)")
    assert booted_bytes <= HEAP_BAR_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("board", sorted(staging.BOARDS))
def test_the_bytecode_fits(board, record_property):
    size = staging.mpy_bytes(staging.stage(boards=board))
    record_property("mpy_bytes", size)
    print(f".mpy of {board}: {size} B (bar {staging.MPY_BUDGET_BYTES} B)")
    assert size <= staging.MPY_BUDGET_BYTES


@pytest.mark.slow
@pytest.mark.req("TH-RULE-08")
@pytest.mark.micropython
def test_a_pump_that_runs_meets_no_new_name():
    known = [re.search(r"n_qstr=(\d+)", line) for line in runtimes.on_unix("heap_names.py")]
    before, behind = (int(match[1]) for match in known if match)
    assert before == behind
