"""Floods at line rate: therapy keeps its timing to the tick, nothing overruns, and what the battery pays is bounded and told.

An hour of each kind of flood on the virtual clock is THECAL_FLOOD_S=3600 (tests/README.md); CI takes a minute of each.
"""

import os

import pytest

from thecal.hw_sim.attacker import Attacker
from thecal.hw_sim.attacker_rules import FLOODS
from thecal.hw_sim.line import WAKE_BYTES
from thecal.hw_sim.params import PlantParams
from thecal.hw_sim.recorder import Recorder
from thecal.hw_sim.scenario import Programmer, load_scenario, world_for

FLOOD_S = int(os.environ.get("THECAL_FLOOD_S", "60"))
AFTER_S = 60            # watched behind the flood
SCENARIO = "bench-24ml"     # the heaviest therapy: a pulse every 3.6 s
TICK_US = 1000          # the pump counts milliseconds: a wake by a byte moves where in one of them a second is seen to end, and nothing else
CELL = PlantParams.load().battery
DAY_S = 86_400


class Pulses(Recorder):
    """Keeps the instant and steps of every motor order."""

    def __init__(self):
        super().__init__(None)
        self.rows = []

    def pulse(self, t_us, steps, hold_us):
        self.rows.append((t_us, steps, hold_us))
        super().pulse(t_us, steps, hold_us)


def flooded(flood, seconds=FLOOD_S):
    """A pump in a clinician's session; `flood(world, attacker)` for `seconds`: its pulses, and what line and battery say of that time."""
    recorder = Pulses()
    with world_for(load_scenario(SCENARIO), runtime="inprocess", recorder=recorder) as world:
        attacker = Attacker(seed=2).attach(world)
        Programmer(world.port()).status()
        world.run_until(60_000_000 + world.now_us)
        line = world.line
        wasted_mj = Programmer(world.port()).status().wasted_mj
        start_us, before, wakes, received, sent = world.now_us, world.truth(), world.wakes, line.bytes_to_pump, line.bytes_to_host
        flood(world, attacker)
        for second in range(1, seconds + AFTER_S + 1):
            world.run_until(start_us + second * 1_000_000)
            line.take_for_host(world.now_us, 1 << 20)       # nobody listens
        after = world.truth()
        own_mj = world.runner.app.settings.wasted_mj - wasted_mj        # a status now would be refused: the flood has locked the pump
        return {"pulses": [(t_us - start_us, *rest) for t_us, *rest in recorder.rows if t_us >= start_us],
                "mj": after["battery_mj"] - before["battery_mj"], "listening_mj": after["listening_mj"] - before["listening_mj"], "own_mj": own_mj,
                "wakes": world.wakes - wakes, "received": line.bytes_to_pump - received, "sent": line.bytes_to_host - sent,
                "baud": line.baud, "unsent": line.unsent, "overruns": line.overruns,
                "frames": attacker.counts.get("flood_frames", 0)}


@pytest.fixture(scope="module")
def quiet():
    return flooded(lambda world, attacker: None)


def most_mj(seconds, baud, therapy_wakes):
    """What the line can cost at the very most: full in both directions, and a wake for each of the shortest bursts that end in an idle line.

    A byte is 10 bits, an idle line 3.5 characters of silence behind it.
    """
    bytes_s, bursts_s = baud / 10, baud / 10 / 4.5
    return seconds * (bytes_s * (2 * CELL.telemetry_byte_mj + CELL.received_byte_mj) + bursts_s * CELL.wake_mj) + therapy_wakes * CELL.wake_mj


def judge(quiet, found, seconds, told):
    """Therapy as if nothing were; the cost is what was counted, within its bound. Prints it."""
    assert len(quiet["pulses"]) > 10 and len(found["pulses"]) == len(quiet["pulses"])
    assert [row[1:] for row in found["pulses"]] == [row[1:] for row in quiet["pulses"]]
    moved_us = max(abs(one[0] - other[0]) for one, other in zip(quiet["pulses"], found["pulses"]))
    assert moved_us < TICK_US and not found["overruns"]
    cost_mj = found["mj"] - quiet["mj"]
    counted_mj = ((found["wakes"] - quiet["wakes"]) * CELL.wake_mj + found["received"] * (CELL.telemetry_byte_mj + CELL.received_byte_mj)
                  + found["sent"] * CELL.telemetry_byte_mj)
    assert cost_mj == pytest.approx(counted_mj, rel=1e-6) == pytest.approx(found["listening_mj"] - quiet["listening_mj"], rel=1e-6)
    bound_mj = most_mj(seconds, found["baud"], quiet["wakes"])
    assert cost_mj < bound_mj
    assert found["own_mj"] > 0.98 * (cost_mj - (found["wakes"] - quiet["wakes"]) * CELL.wake_mj) - 1, "the pump's own account is no less"
    print("%s for %d s: %d frames, %d bytes in, %d out and %d more that found no room, %d wakes; %d pulses, moved by at most %d us" % (
        told, seconds, found["frames"], found["received"], found["sent"], found["unsent"], found["wakes"], len(found["pulses"]), moved_us))
    print("    %.0f mJ (%.2f mW, at most %.0f mJ; the pump says %d), %.4f %% of the cell, which lasts %.0f days of it" % (
        cost_mj, cost_mj / seconds, bound_mj, found["own_mj"], 100 * cost_mj / CELL.capacity_mj, CELL.capacity_mj / (cost_mj / seconds * DAY_S)))


@pytest.mark.req("TH-LINK-08")
@pytest.mark.slow
@pytest.mark.timeout(300 + FLOOD_S)
@pytest.mark.parametrize("what", FLOODS)
def test_therapy_keeps_its_timing_in_a_flood_at_line_rate_and_the_battery_cost_is_bounded(what, quiet, record_property):
    def flood(world, attacker):
        size = sum(len(attacker.flooding(what)) for _ in range(500)) / 500
        attacker.counts["flood_frames"] = 0
        attacker.flood(world, 0.99 * world.line.baud / 10 / size, what=what, seconds=FLOOD_S)

    found = flooded(flood)
    judge(quiet, found, FLOOD_S, "flood of " + what)
    record_property("flood_mj_per_s", (found["mj"] - quiet["mj"]) / FLOOD_S)
    rate = found["received"] * 10 / found["baud"] / FLOOD_S
    assert 0.95 < rate < 1.01, "it is at line rate"
    assert found["sent"] * 10 / found["baud"] < FLOOD_S + 1, "and the answers are, at most"
    assert found["wakes"] < quiet["wakes"] + 1.5 * found["received"] / WAKE_BYTES, "a full line wakes the pump by its ring, not by every frame"


@pytest.mark.slow
def test_a_drip_wakes_the_pump_most_and_costs_less_than_a_full_line(quiet, record_property):
    """One byte in every idle gap: the most wakes a line can give."""
    seconds = 20

    def drip(world, attacker):
        gap_us = round(4.6 * 10 * 1_000_000 / world.line.baud)
        end_us = world.now_us + seconds * 1_000_000

        def one():
            attacker.send("host", b"\x01", world.now_us)
            if world.now_us + gap_us < end_us:
                world.at(world.now_us + gap_us, one)

        world.at(world.now_us, one)

    found, calm = flooded(drip, seconds), flooded(lambda world, attacker: None, seconds)
    judge(calm, found, seconds, "a drip of bytes")
    record_property("drip_mj_per_s", (found["mj"] - calm["mj"]) / seconds)
    assert found["wakes"] > 0.95 * found["received"] > 45_000
