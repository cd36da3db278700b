"""The world: one clock, one trace hash whatever the pacing and the runtime, power, faults that reach the firmware through sensors alone."""

import random

import pytest

from thecal.firmware import alarms as al
from thecal.hw_sim.runner import FirmwareError
from thecal.hw_sim.world import BOOT_US, Pacer, World, WorldClosed
from thecal.protocol import catalogue as cat
from thecal.protocol.frame import FRAME, MAX_FRAME, Decoder, encode

S, HOUR_US = 1_000_000, 3_600_000_000


def frame(message_id, payload=b"", number=1):
    out = bytearray(MAX_FRAME)
    row = cat.message(message_id)
    return bytes(out[:encode(out, row[3], message_id, number, number, payload, len(payload), cat.schema_crc())])


def frames(data):
    decoder, found = Decoder(cat.schema_crc()), []
    for byte in data:
        if decoder.feed(byte) == FRAME:
            found.append((decoder.message_id, decoder.payload()))
    return found


def ask(world, message_id, payload=b""):
    """Straight over the line, a second later: (reply id, payload) or None. Each time another request id, or it would be a repeat."""
    world.inject(frame(message_id, payload, 1 + world.wakes % 255))
    world.run_until(world.now_us + S)
    found = frames(world.line.take_for_host(world.now_us, 4096))
    return found[-1] if found else None


def active(world):
    _, payload = ask(world, cat.ALARMS)
    bits = int.from_bytes(payload[:4], "little")
    return [row for row in range(1, 29) if bits >> (row - 1) & 1]


def eventful(world):
    """Two hours with everything that touches the trace: talk, faults, power, clock."""
    world.at(world.now_us + 300 * S, lambda: world.inject(frame(cat.STATUS)))
    world.at(world.now_us + 700 * S, lambda: world.fault("rotor_stall"))
    world.at(world.now_us + 2000 * S, lambda: world.heal("rotor_stall"))
    world.at(world.now_us + 3000 * S, lambda: world.power_cut(100.5))
    world.at(world.now_us + 4000 * S, lambda: world.clock_jump(400))
    world.at(world.now_us + 5000 * S, lambda: world.inject(b"noise" + frame(cat.HELLO, bytes(5), 9)))
    world.at(world.now_us + 5600 * S, lambda: world.fault("level_offset_ul", 300.0))
    return world.now_us + 2 * HOUR_US


# ---------------------------------------------------------------------------------------------------- one clock, one hash
@pytest.mark.req("TH-RULE-09")
def test_the_same_seed_gives_the_same_trace_and_another_a_different_one(new_world):
    hashes = []
    for seed in (1, 1, 2):
        world = new_world(seed=seed, ready=True)
        world.run_until(eventful(world))
        hashes.append(world.recorder.trace_hash)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.req("TH-RULE-09")
@pytest.mark.micropython
def test_both_runtimes_give_one_trace(new_world):
    worlds = [new_world(runtime, ready=True, tick0_ms=(1 << 29) - 1_000_000) for runtime in ("inprocess", "micropython")]
    for world in worlds:
        world.run_until(eventful(world))
    assert worlds[0].recorder.trace_hash == worlds[1].recorder.trace_hash
    one, two = worlds
    assert (one.runner.name, two.runner.name) == ("inprocess", "micropython")
    for name in ("wakes", "pulses", "ordered_steps", "writes", "now_us"):
        assert getattr(one, name) == getattr(two, name) > 0


def test_however_the_time_is_cut_the_trace_is_the_same(new_world):
    whole = new_world(ready=True)
    whole.run_until(eventful(whole))
    chance = random.Random(3)
    cut = new_world(ready=True)
    end_us = eventful(cut)
    while cut.now_us < end_us:
        cut.run_until(min(end_us, cut.now_us + chance.choice((0, 1, 999, 10**5, 10**8))))
    assert cut.recorder.trace_hash == whole.recorder.trace_hash


class WallClock:
    """A wall that moves only when somebody sleeps, or stalls at random."""

    def __init__(self, seed=None):
        self.now_s, self.slept = 1000.0, 0
        self._chance = random.Random(seed) if seed is not None else None

    def now(self):
        if self._chance:
            self.now_s += self._chance.choice((0.0, 0.0, 0.0001, 0.3, 7.0))
        return self.now_s

    def sleep(self, seconds):
        assert seconds > 0
        self.now_s += seconds
        self.slept += 1


@pytest.mark.req("TH-RULE-09")
@pytest.mark.parametrize("speed", [1.0, 60.0, 20_000.0])
def test_paced_the_trace_is_the_same_and_virtual_time_keeps_to_the_wall(new_world, speed):
    whole = new_world(ready=True)
    whole.run_until(eventful(whole))
    paced, wall = new_world(ready=True), WallClock()
    start_us = paced.now_us
    end_us = eventful(paced)
    Pacer(paced, speed, wall.now, wall.sleep).run_until(end_us)
    assert paced.recorder.trace_hash == whole.recorder.trace_hash
    assert wall.slept > 0 and abs((wall.now_s - 1000.0) * speed * 1e6 - (end_us - start_us)) <= 0.003 * speed * 1e6


def test_with_the_host_stalled_at_random_the_trace_is_the_same(new_world):
    whole = new_world(ready=True)
    whole.run_until(eventful(whole))
    for seed in (1, 2):
        paced, wall = new_world(ready=True), WallClock(seed)
        end_us = eventful(paced)
        pacer = Pacer(paced, 500.0, wall.now, wall.sleep)
        while paced.now_us < end_us:
            pacer.run_until(min(end_us, paced.now_us + 10**8))
        assert paced.recorder.trace_hash == whole.recorder.trace_hash


@pytest.mark.slow
def test_a_pacer_changes_its_speed_from_here_on(new_world):
    world, wall = new_world(ready=True), WallClock()
    pacer = Pacer(world, 10.0, wall.now, wall.sleep)
    start_us = world.now_us
    pacer.run_until(start_us + 100 * S)
    wall.now_s += 5
    pacer.change(1.0)
    assert pacer.speed == 1.0 and pacer.target_us() == world.now_us
    wall.now_s += 2
    assert pacer.target_us() == world.now_us + 2 * S
    pacer.change(None)
    pacer.run_until(world.now_us + 10**12)
    with pytest.raises(ValueError, match="speed is 0"):
        Pacer(world, 0)


def test_dated_events_run_in_their_order_before_the_firmware(new_world):
    world = new_world()
    ran = []
    world.at(5 * S, lambda: ran.append(("first", world.now_us, world.wakes)))
    world.at(5 * S, lambda: ran.append(("second", world.now_us, world.wakes)))
    world.at(2 * S, lambda: world.at(3 * S, lambda: ran.append(("nested", world.now_us, world.wakes))))
    world.run_until(10 * S)
    assert [entry[:2] for entry in ran] == [("nested", 3 * S), ("first", 5 * S), ("second", 5 * S)]
    assert ran[1][2] == ran[2][2] and world.now_us == 10 * S
    with pytest.raises(ValueError, match="cannot run until 9000000 us: it is 10000000 us"):
        world.run_until(9 * S)


# ---------------------------------------------------------------------------------------------------- the line
@pytest.mark.req("TH-RULE-10")
def test_an_answer_costs_the_virtual_time_of_its_bits(new_world):
    world = new_world()
    world.run_until(S)
    question = frame(cat.HELLO, bytes(5))
    world.inject(question)
    world.run_until_host_bytes(10 * S, 20)
    least_us = (len(question) + 20) * 10 * S // 115_200
    assert world.now_us - S >= least_us
    assert world.now_us - S <= least_us + world.line.idle_us + 5000


def test_waiting_for_bytes_that_never_come_ends_at_the_deadline(new_world):
    world = new_world()
    world.run_until_host_bytes(90 * S, 1)
    assert world.now_us == 90 * S


# ---------------------------------------------------------------------------------------------------- power
def test_a_power_cut_stops_the_motion_and_the_talk_and_the_pump_boots_with_its_cause(new_world):
    world = new_world(ready=True)
    world.inject(frame(cat.STATUS))
    world.power_cut(10)
    wakes, pulses = world.wakes, world.pulses
    world.run_until(world.now_us + 9 * S)
    assert world.wakes == wakes and world.pulses == pulses and world.line.next_for_host_us(1) is None
    world.run_until(world.now_us + 2 * S)
    _, payload = ask(world, cat.HELLO, bytes(5))
    assert int.from_bytes(payload[9:13], "little") == 2, "boot count"
    with pytest.raises(ValueError, match="must last more than 0 s"):
        world.power_cut(0)


def test_bytes_sent_to_a_pump_without_power_go_nowhere(new_world):
    world = new_world(ready=True)
    world.power_cut(10)
    world.run_until(world.now_us + 5 * S)
    world.inject(frame(cat.HELLO, bytes(5)))
    world.run_until(world.now_us + 20 * S)
    assert world.line.next_for_host_us(1) is None and world.board.line.take_for_host(world.now_us, 99) == b""


def test_of_cuts_that_overlap_the_longest_counts_and_there_is_one_boot(new_world):
    world = new_world(ready=True)
    start_us = world.now_us
    world.power_cut(100)
    world.run_until(start_us + 10 * S)
    world.power_cut(5)
    world.run_until(start_us + 99 * S)
    assert not world.powered
    world.run_until(start_us + 102 * S)
    _, payload = ask(world, cat.HELLO, bytes(5))
    assert int.from_bytes(payload[9:13], "little") == 2
    assert start_us + 104 * S > world.now_us


@pytest.mark.req("TH-STORE-02")
@pytest.mark.parametrize("torn", [False, True])
def test_power_lost_at_a_store_write_is_a_cut_of_a_second_and_the_books_close(new_world, torn):
    for write in range(4):
        world = new_world(ready=True)
        world.run_until(world.now_us + 1000 * S)
        world.board.cut_after, world.board.torn = write, torn
        world.run_until(world.now_us + HOUR_US)
        app = world.runner.app
        assert app.settings.boot_count == 2 and not app.alarms.active
        ledger = app.ledger
        assert 0 <= ledger.revs * 4096 + ledger.steps - world.ordered_steps <= 118, "at most the pulse in flight is in doubt"


def test_the_store_says_what_it_was_used_for(new_world, firmware):
    folder = firmware("self.ports.store.write(640, bytearray(10), 10)\nreturn 1000")
    world = new_world(firmware_dir=folder)
    world.run_until(10 * S)
    world.close()
    used = world.store_use()
    assert used == {"writes": world.wakes, "bytes": 10 * world.wakes, "worst_line_at": 640, "worst_line_writes": world.wakes} and world.wakes > 9


def test_a_software_reset_boots_again_and_a_cut_in_between_wins(new_world, firmware):
    folder = firmware("if self.ports.system.reset_cause() == 1:\n    self.ports.system.reset()\nreturn 1000")
    world = new_world(firmware_dir=folder)
    world.run_until(BOOT_US - 1)
    assert not world.powered and world.wakes == 1
    world.run_until(5 * S)
    assert world.powered and world.board.reset_cause == 4 and world.wakes > 3
    world = new_world(firmware_dir=folder)
    world.run_until(BOOT_US // 2)
    world.power_cut(60)
    world.run_until(59 * S)
    assert not world.powered and world.wakes == 1, "no boot without power"
    world.run_until(62 * S)
    assert world.powered and world.board.reset_cause == 2


def test_a_store_file_carries_a_pump_from_one_world_to_the_next(new_world, tmp_path):
    path = tmp_path / "fram.bin"
    world = new_world(ready=True, store_path=path)
    world.run_until(world.now_us + HOUR_US)
    pulses = world.pulses
    world.close()
    again = new_world(store_path=path, epoch_s=63_536_400 + 4000)
    again.run_until(10 * S)
    app = again.runner.app
    assert app.ledger.pulses == pulses >= 20 and app.rate == 500_000 and app.settings.boot_count == 2


# ---------------------------------------------------------------------------------------------------- faults reach it through sensors
@pytest.mark.req("TH-ALM-07", "TH-LIFE-15")
def test_a_stalled_rotor_is_found_retried_and_healed(new_world):
    world = new_world(ready=True)
    world.run_until(world.now_us + 600 * S)
    world.fault("rotor_stall")
    world.run_until(world.now_us + 1200 * S)
    delivered = world.truth()["delivered_ul"]
    pulses = world.pulses
    assert active(world) == [al.STALL]
    world.run_until(world.now_us + HOUR_US)
    assert world.pulses - pulses in (20, 21, 22) and world.truth()["delivered_ul"] - delivered < 0.5
    world.heal("rotor_stall")
    pulses = world.pulses
    world.run_until(world.now_us + HOUR_US)
    assert active(world) == [] and world.pulses - pulses <= 22, "nothing is made up"


@pytest.mark.req("TH-SUP-03")
def test_a_driver_that_sticks_on_is_cut_within_two_pulses_and_tried_once(new_world):
    """Row 1: STOP; behind the proof that the rotor stands and the switch cuts the fallback is tried, and when that turns too far, STOP for good."""
    world = new_world(ready=True)
    world.run_until(world.now_us + 600 * S)
    before = world.truth()["rotor_steps"]
    world.fault("driver_stuck_on")
    world.run_until(world.now_us + 300 * S)
    assert 118 < world.truth()["rotor_steps"] - before <= 2 * 118
    assert al.MOTION in active(world) and world.runner.app.effective_rate() == 0
    pulses, stopped = world.pulses, world.truth()["rotor_steps"]
    world.run_until(world.now_us + HOUR_US)
    assert world.pulses == pulses + 1 and world.truth()["rotor_steps"] - stopped <= 2 * 118
    world.run_until(world.now_us + 24 * HOUR_US)
    assert world.pulses == pulses + 1 and al.MOTION in active(world) and world.runner.app.effective_rate() == 0, "STOP"


@pytest.mark.req("TH-SUP-10")
def test_a_clock_that_jumps_is_found_by_the_other_clock(new_world):
    world = new_world(ready=True)
    world.clock_jump(-7200)
    world.run_until(world.now_us + 600 * S)
    assert active(world) == [al.CLOCK_LOST] and world.runner.app.rate == 500_000


def test_a_level_that_drops_at_once_is_told_and_starves_nobody(new_world):
    """15 mL in a moment leave through no head: a faulty sensor or a theft (row 21). The book goes on, and so does the patient's drug."""
    world = new_world(ready=True)
    world.run_until(world.now_us + 3 * HOUR_US)
    world.fault("level_offset_ul", -15_000.0)
    delivered = world.truth()["delivered_ul"]
    world.run_until(world.now_us + 4 * HOUR_US)
    assert active(world) == [al.LEVEL_SENSOR]
    assert world.truth()["delivered_ul"] - delivered == pytest.approx(500 / 6, abs=1.1)


def test_a_level_that_drops_at_once_to_the_stop_is_an_empty_reservoir(new_world):
    """A live sensor that rests where an empty bellows does is believed within two hours: running dry wears the head (row 8)."""
    world = new_world(ready=True)
    world.run_until(world.now_us + 3 * HOUR_US)
    world.plant.withdraw()
    world.run_until(world.now_us + 2 * HOUR_US)
    assert active(world) == [al.EMPTY_SENSED, al.LEVEL_SENSOR] and not world.runner.app.delivering


# ---------------------------------------------------------------------------------------------------- therapy and ends
@pytest.mark.req("TH-RATE-06")
def test_the_pump_moves_what_it_says_and_the_plant_delivers_it(new_world):
    world = new_world(ready=True)
    start = world.truth()
    start_us = world.now_us
    world.run_until(start_us + 24 * HOUR_US)
    app, truth = world.runner.app, world.truth()
    demanded_nl = app.ledger.pulsed_ul * 1000 + app.ledger.pulsed_nl + app.infusion.acc_nl
    assert abs(demanded_nl - 500_000) <= 1000 and world.pulses in (499, 500, 501)
    assert truth["rotor_steps"] - start["rotor_steps"] == pytest.approx(world.ordered_steps, abs=1)
    assert abs(start["reservoir_ul"] - truth["reservoir_ul"] - 500) < 20
    assert abs(truth["mass_error"]) < 1e-9


@pytest.mark.req("TH-RULE-04")
def test_two_worlds_share_nothing(new_world):
    one, two = new_world(ready=True), new_world()
    one.run_until(one.now_us + HOUR_US)
    assert two.now_us == 0 and two.pulses == 0 and two.truth()["reservoir_ul"] != one.truth()["reservoir_ul"]


def test_a_closed_world_and_one_whose_firmware_failed_say_so(new_world, firmware):
    world = new_world()
    world.close()
    world.close()
    with pytest.raises(WorldClosed, match="closed"):
        world.run_until(10 * S)
    failed = new_world(firmware_dir=firmware("raise KeyError('valve')"))
    with pytest.raises(FirmwareError, match="valve"):
        failed.run_until(10 * S)
    with pytest.raises(WorldClosed, match="failed before"):
        failed.run_until(20 * S)


def test_an_unknown_runtime_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="runtime is 'jython': choose one of micropython, inprocess"):
        World.build(runtime="jython")


# ---------------------------------------------------------------------------------------------------- pins, and what is left behind
def test_an_order_inside_the_hold_of_the_one_before_keeps_enable_on(new_world, firmware, tmp_path):
    from thecal.hw_sim.recorder import Recorder
    folder = firmware("self.ports.motor.order(10, 400)\nself.n = getattr(self, 'n', 0) + 1\nreturn 100 if self.n < 3 else 10_000")
    recorder = Recorder(tmp_path / "out")
    world = new_world(firmware_dir=folder, recorder=recorder)
    world.run_until(5_000_000)
    world.close()
    changes, at_us = [], 0
    lines = (tmp_path / "out" / "pins.vcd").read_text().partition("$enddefinitions")[2].splitlines()
    ident = (tmp_path / "out" / "pins.vcd").read_text().partition(" enable")[0].split()[-1]
    for line in lines:
        if line.startswith("#"):
            at_us = int(line[1:])
        elif line in ("0" + ident, "1" + ident) and at_us:
            changes.append((at_us, int(line[0])))
    assert changes[-1] == (600_000, 0), "orders at 0, 100 and 200 ms, each held 400 ms: enable falls once, 400 ms after the last"
    assert [level for _, level in changes].count(0) == 1


@pytest.mark.parametrize("runtime", ["inprocess", pytest.param("micropython", marks=pytest.mark.micropython)])
def test_a_store_of_another_size_makes_no_world(runtime, tmp_path):
    from thecal.hw_sim.runner import StoreInvalid
    path = tmp_path / "fram.bin"
    path.write_bytes(b"mine")
    with pytest.raises(StoreInvalid, match="has 4 bytes"):
        World.build(runtime=runtime, store_path=path)
    assert path.read_bytes() == b"mine"


def test_a_command_that_cannot_be_started_leaves_no_folder(monkeypatch, tmp_path):
    from thecal.hw_sim import runner
    monkeypatch.setattr(runner.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(runner.RuntimeMissing):
        World.build(exec_cmd=["no-such-program"])
    assert list(tmp_path.iterdir()) == []
