"""The serial line in virtual time: ten bits a byte, rings that overrun, and what a bad line does to arrivals."""

import pytest

from thecal.hw_sim.impairment import Impairment
from thecal.hw_sim.line import RING_BYTES, SerialLine

BYTE_US = 87        # 10 bits at 115200, rounded up


def test_bytes_arrive_one_by_one_and_wake_the_pump_when_the_line_falls_idle():
    line = SerialLine()
    line.host_write(b"abcd", 1000)
    assert line.take_for_pump(1000 + BYTE_US) == b"a"
    assert line.wake_us() == 1000 + 4 * BYTE_US + line.idle_us
    assert line.take_for_pump(line.wake_us()) == b"bcd" and line.wake_us() is None
    line.pump_write(b"xyz", 5000)
    assert line.next_for_host_us(1) == 5000 + BYTE_US and line.waiting_for_host(5000 + 2 * BYTE_US) == 2
    assert line.take_for_host(6000, 2) == b"xy" and line.take_for_host(6000, 2) == b"z" and line.next_for_host_us(1) is None


def test_a_write_follows_what_is_still_being_sent():
    line = SerialLine()
    line.host_write(b"ab", 0)
    line.host_write(b"cd", 0)
    assert line.take_for_pump(2 * BYTE_US) == b"ab"
    assert line.take_for_pump(5 * BYTE_US) == b"cd"


def test_a_ring_that_nobody_empties_overruns_and_says_so():
    line = SerialLine()
    line.host_write(bytes(range(256)) * 3, 0)
    assert line.wake_us() == -(-RING_BYTES * 3 // 4 * 10_000_000 // 115200)
    assert len(line.take_for_pump(1_000_000)) == RING_BYTES
    assert line.counters() == {"spec": None, "bytes_to_pump": 768, "bytes_to_host": 0, "overruns": 768 - RING_BYTES, "unsent": 0}


@pytest.mark.parametrize("baud", [299, 4_000_001])
def test_a_baud_rate_out_of_bounds(baud):
    with pytest.raises(ValueError, match="baud is %d" % baud):
        SerialLine(baud)


def test_a_cut_empties_the_line():
    line = SerialLine()
    line.host_write(b"a", 0)
    line.pump_write(b"b", 0)
    line.cut()
    assert line.wake_us() is None and line.next_for_host_us(1) is None


def test_what_is_lost_takes_its_time_and_wakes_nobody():
    heard = []
    line = SerialLine(tap=lambda *row: heard.append(row))
    line.impair(Impairment.parse("host.loss=1"))
    line.host_write(b"ab\0", 0)
    assert line.wake_us() is None and heard == [(0, "host", b"", b"ab\0")]
    line.impair(None)
    line.host_write(b"c", 0)
    assert line.take_for_pump(3 * BYTE_US) == b"" and line.take_for_pump(4 * BYTE_US) == b"c"


def test_a_late_write_wakes_for_itself():
    """Two writes 10 ms apart, both 20 ms late: the pump is woken twice, as it would be without the delay."""
    line = SerialLine()
    line.impair(Impairment.parse("delay=20ms"))
    line.host_write(b"a\0", 0)
    line.host_write(b"b\0", 10_000)
    assert line.wake_us() == 20_000 + 2 * BYTE_US + line.idle_us
    assert line.take_for_pump(line.wake_us()) == b"a\0"
    assert line.wake_us() == 30_000 + 2 * BYTE_US + line.idle_us
    line.pump_write(b"r", 0)
    assert line.next_for_host_us(1) == 20_000 + BYTE_US


def test_somebody_in_the_middle_gets_everything_and_decides():
    line = SerialLine()
    line.middle = lambda sender, data, t_us: [(sender, data.upper()), ("pump", b"!")] if sender == "host" else []
    line.host_write(b"ab", 0)
    line.pump_write(b"gone", 0)
    assert line.take_for_pump(1000) == b"AB" and line.take_for_host(1000, 99) == b"!"


def test_the_counts_of_a_bad_line_are_told_by_sender():
    line = SerialLine()
    line.impair(Impairment.parse("pump.dup=1"))
    line.pump_write(b"r\0", 0)
    found = line.counters()
    assert found["spec"] == "pump.dup=1" and found["pump"]["doubled"] == 1 and found["host"]["frames"] == 0 and found["bytes_to_host"] == 4
