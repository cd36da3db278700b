"""What befalls a world: each fault changes the plant, the memory or the wire, and has fired only when it did; on both runtimes for the store."""
import pytest
from thecal.hw_sim.impairment import Impairment
from thecal.hw_sim.world_faults import TORN, WORLD_FAULTS

S = 1_000_000


def row(world, name):
    return [fault for fault in world.faults() if fault["name"] == name][-1]


@pytest.mark.req("TH-RULE-13")
def test_a_held_reed_fires_when_the_pump_has_looked(new_world):
    world = new_world(ready=True)
    world.reed_held()
    assert "reed_held" not in world.fired and not world.board.magnet
    world.run_until(world.now_us + 600 * S)
    assert row(world, "reed_held")["fired_s"] <= row(world, "reed_held")["set_s"] + 300
    world.heal("reed_held")
    assert row(world, "reed_held")["cleared_s"] == world.now_us / S and not world.board.reed_held


@pytest.mark.req("TH-RULE-13")
@pytest.mark.parametrize("runtime", ["inprocess", "micropython"])
def test_a_flipped_bit_is_in_the_store_and_a_dead_store_is_said(new_world, runtime):
    world = new_world(runtime=runtime, ready=True)
    before = world.runner.store()
    world.store_flip(200_000, 5)
    after = world.runner.store()
    assert [at for at in range(len(before)) if before[at] != after[at]] == [200_000] and before[200_000] ^ after[200_000] == 32
    assert world.fired["store_flip"] == world.now_us
    world.store_dead()
    assert "store_dead" not in world.fired
    world.run_until(world.now_us + 3600 * S)
    assert "store_dead" in world.fired
    from thecal.host.programmer import Programmer
    assert 14 in {alarm.row for alarm in Programmer(world.port()).status().alarms}
    stored = world.runner.store()
    world.run_until(world.now_us + 3600 * S)
    assert world.runner.store() == stored
    world.heal("store_dead")
    world.run_until(world.now_us + 3600 * S)
    assert world.runner.store() != stored and row(world, "store_dead")["cleared_s"] is not None


@pytest.mark.req("TH-RULE-13", "TH-RULE-09", "TH-SUP-07")
@pytest.mark.micropython
def test_a_flipped_bit_of_memory_is_the_same_event_on_both_runtimes(new_world):
    """The same trace behind it, and the self-test finds it within a day."""
    traces = set()
    for runtime in ("inprocess", "micropython"):
        world = new_world(runtime=runtime, ready=True)
        world.run_until(world.now_us + 600 * S)
        world.ram_flip("program", 100)
        assert world.fired["ram_flip"] == world.now_us
        world.run_until(world.now_us + 26 * 3600 * S)
        from thecal.host.programmer import Programmer
        assert 3 in {alarm.row for alarm in Programmer(world.port()).status().alarms}
        traces.add(world.recorder.trace_hash)
    assert len(traces) == 1


def test_a_bit_that_the_pump_has_not_does_not_fire_nor_one_without_power(new_world):
    world = new_world(ready=True)
    world.ram_flip("copy", 88)
    assert "ram_flip" not in world.fired
    world.power_cut(5)
    world.ram_flip("copy", 8)
    assert "ram_flip" not in world.fired
    world.run_until(world.now_us + 60 * S)
    before_us = world.wakes
    world.ram_flip("copy", 8)
    assert row(world, "ram_flip")["fired_s"] == world.now_us / S and world.wakes == before_us
    world.run_until(world.now_us + 600 * S)


@pytest.mark.parametrize("left", TORN)
def test_power_is_lost_at_the_write_that_was_chosen(new_world, left):
    world = new_world(ready=True)
    wrote = world.writes
    world.cut_at_write(3, left)
    world.run_until(world.now_us + 1800 * S)
    seen = row(world, "torn_write")
    assert seen["fired_s"] is not None and seen["cleared_s"] == pytest.approx(seen["fired_s"] + 1, abs=0.5)
    assert world.powered and world.writes > wrote + 3 and world.board.torn == 0


def test_power_and_clock_fire_at_once_and_are_over(new_world):
    world = new_world(ready=True)
    now_s = world.now_us / S
    world.power_cut(5)
    world.clock_jump(3600)
    world.run_until(world.now_us + 60 * S)
    assert (row(world, "power_cut")["fired_s"], row(world, "power_cut")["cleared_s"]) == (now_s, now_s + 5)
    assert row(world, "clock_jump")["value"] == 3600 and world.fired["clock_jump"] == now_s * S


@pytest.mark.parametrize("spec, fires", [("loss=0.5", True), ("delay=5ms", True), ("loss=0", False)])
def test_a_bad_line_fires_with_the_first_byte_that_it_hurts(new_world, spec, fires):
    world = new_world()
    world.impair(Impairment.parse(spec, 1))
    for _ in range(20):
        world.inject(b"\x01\x02\x03\x00")
        world.run_until(world.now_us + S)
    assert ("line" in world.fired) is fires and row(world, "line")["value"] == spec
    world.impair(None)
    assert row(world, "line")["cleared_s"] is not None


def test_a_stall_of_the_plant_is_in_the_same_log(new_world):
    world = new_world(ready=True)
    world.fault("rotor_stall")
    assert world.faults()[-1]["fired_s"] is None
    world.run_until(world.now_us + 1800 * S)
    world.heal("rotor_stall")
    assert 0 < world.fired["rotor_stall"] and world.faults()[-1]["cleared_s"] == world.now_us / S
    assert "rotor_stall" not in WORLD_FAULTS


def test_what_cannot_be_is_refused(new_world):
    world = new_world()
    for act, sentence in ((lambda: world.store_flip(-1, 0), "store flip at -1, bit 0"), (lambda: world.store_flip(0, 8), "the bit between 0 and 7"),
                          (lambda: world.ram_flip("stack", 0), "the record must be one of commissioning"), (lambda: world.ram_flip("copy", -1), "the bit lie between 0 and"),
                          (lambda: world.cut_at_write(0), "write must lie between 1 and"), (lambda: world.cut_at_write(1, "most"), "be one of nothing"),
                          (lambda: world.heal("clock_jump"), "cannot be healed"), (lambda: world.fault("power_cut"), "no fault of the plant")):
        with pytest.raises(ValueError, match=sentence):
            act()
    assert world.faults() == []
