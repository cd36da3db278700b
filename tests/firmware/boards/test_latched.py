"""Ports over one exchange: inputs frozen for a step, outputs collected once, the tick's wrap, polls counted, bounds named."""

import struct

import pytest
from thecal.firmware.boards import latched as la
from thecal.firmware.ports import MAX_POLLS, PowerCut, TooManyPolls


def request(counter=1, kind=la.STEP, flags=0, now_s=100, tick_ms=5, angle=11, level=22, inlet=33, temperature=44, battery_mv=55, cause=2,
            cut=la.NEVER_CUT, rx=b"", magic=la.MAGIC):
    return struct.pack(la.REQUEST, magic, kind, flags, counter, now_s, tick_ms, angle, level, inlet, temperature, battery_mv, cause, 0, cut, len(rx))


@pytest.fixture
def latch():
    return la.Latch()


@pytest.fixture
def ports(latch):
    latch.begin(request(flags=la.FLAG_MAGNET), b"hello")
    return la.bundle(latch, "the store", "the runtime")


def ended(latch, delay_ms=1000, kind=la.DONE):
    reply = bytearray(la.REPLY_BYTES)
    latch.end(reply, kind, delay_ms)
    names = ("magic", "kind", "flags", "counter", "delay_ms", "steps", "hold_ms", "tone", "spare", "clock_s", "writes", "polls", "length")
    return dict(zip(names, struct.unpack(la.REPLY, reply), strict=True))


def test_the_messages_have_the_documented_lengths():
    assert struct.calcsize(la.REQUEST) == la.REQUEST_BYTES == 32
    assert struct.calcsize(la.REPLY) == la.REPLY_BYTES == 28


@pytest.mark.req("TH-RULE-07")
def test_inputs_arrive_at_their_ports_and_stand_still(ports):
    for _ in range(3):
        assert (ports.clock.now_s(), ports.encoder.angle(), ports.level.read(), ports.inlet_pressure.read(), ports.temperature.read(),
                ports.battery.read(), ports.magnet.present(), ports.system.reset_cause()) == (100, 11, 22, 33, 44, 55, 1, 2)
    assert ports.store == "the store" and ports.runtime == "the runtime"


def test_received_bytes_are_taken_once(ports):
    taken = []
    while ports.uart.any():
        taken.append(ports.uart.read_byte())
    assert bytes(taken) == b"hello" and ports.uart.read_byte() == -1 and ports.uart.any() == 0


@pytest.mark.parametrize(("ticks", "elapsed"), [
    ([5, 5], 0), ([5, 1005], 1000), ([la.TICK_PERIOD - 1, 0], 1), ([la.TICK_PERIOD - 500, 700], 1200), ([0, la.TICK_PERIOD - 1], la.TICK_PERIOD - 1)])
def test_elapsed_time_goes_through_the_wrap_of_the_tick(latch, ticks, elapsed):
    clock = la.bundle(latch, None, "").clock
    for counter, tick_ms in enumerate(ticks, 1):
        latch.begin(request(counter, tick_ms=tick_ms), b"")
        if counter == 1:
            assert clock.elapsed_ms() == 0, "a boot has no past"
    assert clock.elapsed_ms() == elapsed


def test_a_lost_or_doubled_exchange_is_loud(latch):
    latch.begin(request(1), b"")
    for counter in (1, 3, 0):
        with pytest.raises(ValueError, match=f"step {counter} follows step 1"):
            latch.begin(request(counter), b"")
    with pytest.raises(ValueError, match="magic 0x1234"):
        latch.begin(request(2, magic=0x1234), b"")
    latch.begin(request(2), b"")


def test_outputs_are_collected_and_gone_at_the_next_step(latch, ports):
    ports.motor.order(117, 147)
    ports.motor.drop_enable()
    ports.tone.sound(2)
    ports.clock.set_s(9999)
    ports.uart.write(b"abcdef", 3)
    ports.uart.write(bytearray(b"xyz"), 2)
    reply = ended(latch, 4321)
    assert (reply["kind"], reply["flags"], reply["counter"], reply["delay_ms"]) == (la.DONE, la.FLAG_DROP_ENABLE, 1, 4321)
    assert (reply["steps"], reply["hold_ms"], reply["tone"], reply["clock_s"], reply["length"]) == (117, 147, 2, 9999, 5)
    assert bytes(latch.tx[:5]) == b"abcxy" and ports.clock.now_s() == 9999
    latch.begin(request(2), b"")
    reply = ended(latch)
    assert (reply["flags"], reply["steps"], reply["hold_ms"], reply["tone"], reply["clock_s"], reply["length"]) == (0, 0, 0, 0, la.NO_CLOCK, 0)


@pytest.mark.req("TH-MODE-08", "TH-SUP-02")
@pytest.mark.parametrize(("steps", "hold_ms"), [(0, 100), (-1, 100), (65_536, 100), (117, 501), (117, -1)])
def test_an_order_out_of_bounds_is_refused_by_value(ports, steps, hold_ms):
    with pytest.raises(ValueError, match=rf"motor.order\({steps}, {hold_ms}\)"):
        ports.motor.order(steps, hold_ms)


@pytest.mark.req("TH-SUP-02")
def test_one_order_a_step(latch, ports):
    ports.motor.order(1, 1)
    with pytest.raises(ValueError, match="one order a step"):
        ports.motor.order(1, 1)
    latch.begin(request(2), b"")
    ports.motor.order(65_535, 500)


@pytest.mark.req("TH-RULE-07")
@pytest.mark.parametrize("delay_ms", [0, -1, 3_600_001])
def test_a_delay_out_of_bounds_is_named(latch, ports, delay_ms):
    with pytest.raises(ValueError, match=f"step\\(\\) returned {delay_ms}"):
        ended(latch, delay_ms)


@pytest.mark.req("TH-RULE-07")
@pytest.mark.parametrize("read", [
    lambda ports: ports.clock.now_s(), lambda ports: ports.clock.elapsed_ms(), lambda ports: ports.encoder.angle(), lambda ports: ports.level.read(),
    lambda ports: ports.battery.read(), lambda ports: ports.uart.any(), lambda ports: ports.magnet.present()])
def test_a_busy_wait_on_any_input_is_a_named_error(latch, ports, read):
    for _ in range(MAX_POLLS):
        read(ports)
    with pytest.raises(TooManyPolls, match="time stands still"):
        read(ports)
    assert ended(latch)["polls"] == MAX_POLLS + 1
    latch.begin(request(2), b"")
    read(ports)


@pytest.mark.req("TH-RULE-07")
def test_a_wait_for_a_byte_that_never_comes_is_a_named_error_too(ports):
    with pytest.raises(TooManyPolls):
        while ports.uart.read_byte() != 0x42:
            continue


def test_a_full_transmit_queue_drops_and_counts(latch, ports):
    for _ in range(la.TX_BYTES // 100 + 5):
        ports.uart.write(bytes(100), 100)
    assert latch.tx_dropped == 500 and ended(latch)["length"] == la.TX_BYTES // 100 * 100
    assert len(latch.tx) == la.TX_BYTES


def test_a_reset_is_asked_for_behind_the_step(latch, ports):
    ports.system.reset()
    assert ended(latch)["kind"] == la.RESET_WANTED
    assert ended(latch, kind=la.POWER_LOST)["kind"] == la.POWER_LOST


def test_the_write_that_loses_power(latch):
    latch.begin(request(cut=2), b"")
    assert [latch.count_write() for _ in range(4)] == [False, False, True, False]
    assert ended(latch)["writes"] == 4
    assert la.torn_length(latch, 43) == 0
    latch.begin(request(2, flags=la.FLAG_TORN), b"")
    assert la.torn_length(latch, 43) == 21 and not latch.count_write()
    with pytest.raises(PowerCut):
        la.lose_power()


def test_what_is_stored_of_the_write_that_loses_power(latch):
    stored = []
    for torn in range(5):
        latch.begin(request(torn + 1, flags=la.FLAG_TORN * torn), b"")
        stored.append([la.torn_length(latch, length) for length in (43, 2, 1)])
    assert stored == [[0, 0, 0], [21, 1, 0], [1, 1, 1], [42, 1, 0], [43, 2, 1]]


def test_entropy_is_the_same_for_the_same_step_and_differs_between_steps(latch, ports):
    def draw():
        buffer = bytearray(16)
        ports.entropy.fill(buffer)
        return bytes(buffer)

    first = draw()
    assert draw() == first
    latch.begin(request(2), b"")
    assert draw() != first and len(set(draw())) > 4


@pytest.mark.req("TH-RULE-04")
def test_two_latches_share_nothing():
    one, two = la.Latch(), la.Latch()
    one.begin(request(now_s=1), b"")
    two.begin(request(now_s=2), b"")
    la.bundle(one, None, "").motor.order(5, 5)
    assert two.steps == 0 and la.bundle(two, None, "").clock.now_s() == 2
