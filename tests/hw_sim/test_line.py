"""The serial line: ten bits a byte both ways, back to back, in order; idle and fullness wake the pump; overrun is lost and counted."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thecal.hw_sim.impairment import Impairment
from thecal.firmware.boards.latched import TX_BYTES
from thecal.hw_sim.line import QUEUE_BYTES, RING_BYTES, WAKE_BYTES, SerialLine

WRITES = st.lists(st.tuples(st.integers(0, 30_000), st.binary(min_size=1, max_size=60)), min_size=1, max_size=20)


def byte_us(line, count=1):
    return count * 10_000_000 / line.baud


@pytest.mark.req("TH-RULE-10")
@pytest.mark.parametrize("baud", [9600, 115_200, 1_000_000])
def test_a_byte_takes_ten_bits_either_way(baud):
    for write, take in (("host_write", "take_for_pump"), ("pump_write", "take_for_host")):
        line = SerialLine(baud)
        getattr(line, write)(b"abc", 1000)

        def taken(now_us, line=line, take=take):
            return line.take_for_pump(now_us) if take == "take_for_pump" else line.take_for_host(now_us, 99)

        assert taken(1000 + int(byte_us(line)) - 1) == b""
        assert taken(1000 + int(byte_us(line)) + 1) == b"a"
        assert taken(1000 + int(byte_us(line, 3)) + 3) == b"bc"


@given(WRITES, st.lists(st.integers(0, 5000), min_size=1, max_size=60), st.sampled_from([9600, 57_600, 115_200]))
@settings(max_examples=60)
def test_however_it_is_read_the_bytes_come_in_order_and_never_early(writes, looks, baud):
    for to_pump in (True, False):
        line = SerialLine(baud)
        sent, arrives, now_us, free_us = b"", [], 0, 0.0
        for gap_us, data in writes:
            now_us += gap_us
            (line.host_write if to_pump else line.pump_write)(data, now_us)
            for index in range(len(data)):
                free_us = max(free_us, now_us) + byte_us(line)
                arrives.append(free_us)
            sent += data
        came, at_us = b"", 0
        for look_us in looks + [10_000_000]:
            at_us += look_us
            came += line.take_for_pump(at_us) if to_pump else line.take_for_host(at_us, 7 + look_us % 50)
            assert len(came) <= len(arrives)
            # A cut burst starts again on a whole microsecond: each look may cost one.
            assert all(arrive <= at_us for arrive in arrives[:len(came)])
        while not to_pump and len(came) < len(sent):
            came += line.take_for_host(at_us, 50)
        assert came == sent and line.overruns == 0


def test_the_pump_wakes_three_and_a_half_characters_behind_the_burst():
    line = SerialLine()
    line.host_write(b"x" * 20, 0)
    end_us = line._after_us(20)
    assert line.wake_us() == end_us + line.idle_us and abs(line.idle_us - byte_us(line, 3.5)) <= 1
    line.host_write(b"y", line.wake_us() - 1)
    assert line.wake_us() > end_us + line.idle_us + 80, "the burst goes on"
    assert line.take_for_pump(line.wake_us()) == b"x" * 20 + b"y"
    assert line.wake_us() is None


def test_a_long_burst_wakes_the_pump_before_its_ring_is_full():
    line = SerialLine()
    line.host_write(bytes(2000), 0)
    taken, wakes = 0, 0
    while line.wake_us() is not None:
        data = line.take_for_pump(line.wake_us())
        assert WAKE_BYTES - 1 <= len(data) <= RING_BYTES or taken + len(data) == 2000
        taken += len(data)
        wakes += 1
    assert taken == 2000 and line.overruns == 0 and wakes == 6


def test_a_pump_that_sleeps_through_it_loses_what_its_ring_cannot_hold():
    line = SerialLine()
    data = random.Random(1).randbytes(1500)
    line.host_write(data, 0)
    assert line.take_for_pump(10_000_000) == data[:RING_BYTES]
    assert line.overruns == 1500 - RING_BYTES


def test_what_waits_for_the_host_and_when_more_will():
    line = SerialLine()
    assert line.next_for_host_us(1) is None and line.waiting_for_host(0) == 0
    line.pump_write(b"0123456789", 0)
    assert line.waiting_for_host(line._after_us(4)) == 4
    assert line.next_for_host_us(4) == line._after_us(4) and line.next_for_host_us(99) == line._after_us(10)
    assert line.take_for_host(line._after_us(4), 2) == b"01"
    assert line.waiting_for_host(line._after_us(4)) == 2
    for size in range(1, 9):
        assert line.waiting_for_host(line.next_for_host_us(size)) >= size, "when it says so, they are there"
    assert line.take_for_host(10**9, 99) == b"23456789" and line.next_for_host_us(1) is None


def test_counters_and_tap_see_every_byte_with_its_instant():
    heard = []
    line = SerialLine(tap=lambda t_us, direction, data, sent: heard.append((t_us, direction, data)))
    line.host_write(b"", 5)
    line.host_write(b"ab", 5)
    line.pump_write(b"cde", 9)
    assert heard == [(5, "host", b"ab"), (9, "pump", b"cde")] and (line.bytes_to_pump, line.bytes_to_host) == (2, 3)


def test_a_power_cut_empties_the_line():
    line = SerialLine()
    line.host_write(b"abc", 0)
    line.pump_write(b"def", 0)
    line.cut()
    assert line.take_for_pump(10**6) == b"" and line.take_for_host(10**6, 9) == b"" and line.wake_us() is None


@pytest.mark.parametrize("baud", [0, -1, 299, 4_000_001])
def test_a_baud_rate_out_of_range_is_refused_by_value(baud):
    with pytest.raises(ValueError, match=f"baud is {baud}"):
        SerialLine(baud)


def test_a_frame_that_finds_no_room_behind_those_that_wait_is_not_sent():
    """The boards queue 1280 bytes; whole frames go or stay, and room comes back as the line takes them."""
    assert QUEUE_BYTES == TX_BYTES == 1280
    line, frame = SerialLine(), b"x" * 99 + b"\0"
    assert line.pump_write(frame * 8, 0) == 800 and line.pump_write(frame * 5, 0) == 400 and line.pump_write(frame, 0) == 0
    assert line.unsent == line.counters()["unsent"] == 200 and line.bytes_to_host == 1200
    assert line.pump_write(b"y" * 81, 0) == 0 and line.pump_write(b"y" * 80, 0) == 80       # less than the room that is left goes without a 0x00
    assert line.pump_write(frame * 2, 10_000) == 100        # 115 bytes went in 10 ms
    line.cut()
    assert line.pump_write(frame * 20, 10_000) == 1200


def test_a_slow_line_is_no_full_queue():
    """What a bad line delays waits on the way, not in the pump."""
    line = SerialLine()
    line.impair(Impairment.parse("delay=5s"))
    assert [line.pump_write(b"x" * 99 + b"\0", 20_000 * number) for number in range(50)] == [100] * 50 and line.unsent == 0
