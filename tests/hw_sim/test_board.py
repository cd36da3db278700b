"""The board: one snapshot a wake, byte for byte as TETHER.md says; replies out of step are loud; orders, bytes and the RTC are done."""

import struct

import pytest

from thecal.firmware.boards import latched as la
from thecal.hw_sim.board import Board
from thecal.hw_sim.line import SerialLine
from thecal.hw_sim.params import PatientParams, PlantParams
from thecal.hw_sim.plant import Plant

EPOCH_S = 63_536_400
NOISE = 3       # counts of the 12-bit encoder between two looks


@pytest.fixture
def plant():
    made = Plant(PlantParams.load("reference"), PatientParams.load("adult"), seed=1)
    made.fill(18_000.0, {"baclofen": 500.0})
    return made


@pytest.fixture
def board(plant):
    return Board(plant, SerialLine(), EPOCH_S, tick0_ms=la.TICK_PERIOD - 1000)


def at(board, t_us):
    board.plant.advance(t_us)
    data = board.request(t_us)
    names = ("magic", "kind", "flags", "counter", "now_s", "tick_ms", "angle", "level", "inlet", "temperature", "battery_mv", "cause", "spare",
             "cut", "length")
    values = dict(zip(names, struct.unpack(la.REQUEST, data[:la.REQUEST_BYTES]), strict=True))
    assert len(data) == la.REQUEST_BYTES + values["length"]
    return values, data[la.REQUEST_BYTES:]


def reply(counter=1, kind=la.DONE, flags=0, delay_ms=1000, steps=0, hold_ms=0, tone=0, clock_s=la.NO_CLOCK, writes=0, polls=0, tx=b"", magic=la.MAGIC):
    return struct.pack(la.REPLY, magic, kind, flags, counter, delay_ms, steps, hold_ms, tone, 0, clock_s, writes, polls, len(tx)) + tx


def test_a_snapshot_holds_time_tick_and_every_sensor(board):
    board.boot(0, 2)
    values, rx = at(board, 2_500_000)
    assert (values["magic"], values["kind"], values["flags"], values["counter"], values["cause"]) == (la.MAGIC, la.STEP, 0, 1, 2)
    assert values["now_s"] == EPOCH_S + 2
    assert values["tick_ms"] == 1500, "the tick wrapped at 2**29"
    assert 0 <= values["angle"] < 4096 and abs(values["level"] * 10 - 18_000) < 400 and values["battery_mv"] > 2500
    assert values["cut"] == la.NEVER_CUT and rx == b""


def test_the_tick_starts_anew_at_a_boot_and_the_rtc_goes_on(board):
    board.boot(0, 1)
    at(board, 5_000_000)
    board.boot(7_250_000, 2)
    values, _ = at(board, 9_250_000)
    assert (values["counter"], values["now_s"], values["tick_ms"]) == (1, EPOCH_S + 9, 1000)


def test_an_order_reaches_the_plant_for_its_hold_alone(board):
    board.boot(0, 1)
    before, _ = at(board, 0)
    done = board.apply(reply(steps=117, hold_ms=147), 0)
    assert (done.steps, done.hold_ms, done.delay_ms, done.drop_enable) == (117, 147, 1000, False)
    after, _ = at(board, 1_000_000)
    assert abs((after["angle"] - before["angle"]) % 4096 - 117) <= NOISE
    board.apply(reply(2, steps=117, hold_ms=50), 1_000_000)
    later, _ = at(board, 2_000_000)
    assert (later["angle"] - after["angle"]) % 4096 in range(45, 52), "steps beyond the one-shot are lost"


def test_enable_dropped_stops_the_train(board):
    board.boot(0, 1)
    before, _ = at(board, 0)
    board.apply(reply(steps=400, hold_ms=450), 0)
    at(board, 100_000)
    assert board.apply(reply(2, flags=la.FLAG_DROP_ENABLE), 100_000).drop_enable
    after, _ = at(board, 1_000_000)
    assert (after["angle"] - before["angle"]) % 4096 in range(95, 106)


def test_bytes_go_to_the_line_and_come_from_it(board):
    board.boot(0, 1)
    board.line.host_write(b"hello", 0)
    values, rx = at(board, 1_000_000)
    assert rx == b"hello" and values["length"] == 5
    assert board.apply(reply(tx=b"world"), 1_000_000).tx == b"world"
    assert board.line.take_for_host(2_000_000, 99) == b"world"


def test_the_clock_is_set_from_the_reply_and_by_a_fault(board):
    board.boot(0, 1)
    at(board, 1_700_000)
    board.apply(reply(clock_s=5000), 1_700_000)
    assert at(board, 2_100_000)[0]["now_s"] in (5000, 5001)
    board.set_rtc(9, 3_000_000)
    assert board.rtc_s(5_000_000) == 11


@pytest.mark.parametrize("kind", [la.FAILED, la.POWER_LOST])
def test_of_a_step_that_failed_nothing_is_done(board, kind):
    board.boot(0, 1)
    before, _ = at(board, 0)
    board.apply(reply(kind=kind, steps=100, hold_ms=150, clock_s=7, tx=b"trace"), 0)
    after, _ = at(board, 1_000_000)
    assert abs(after["angle"] - before["angle"]) <= NOISE and after["now_s"] == EPOCH_S + 1 and board.line.next_for_host_us(1) is None


@pytest.mark.parametrize("bad", [{"counter": 2}, {"counter": 0}, {"magic": 0x1234}])
def test_a_reply_out_of_step_is_loud(board, bad):
    board.boot(0, 1)
    at(board, 0)
    with pytest.raises(ValueError, match="tether: reply with magic"):
        board.apply(reply(**bad), 0)


def test_the_write_to_cut_counts_down_over_exchanges(board):
    board.boot(0, 1)
    board.cut_after, board.torn, board.magnet = 5, True, True
    values, _ = at(board, 0)
    assert values["cut"] == 5 and values["flags"] == la.FLAG_MAGNET | la.FLAG_TORN
    board.apply(reply(writes=3), 0)
    assert at(board, 1)[0]["cut"] == 2
    board.apply(reply(2, writes=9), 1)
    assert at(board, 2)[0]["cut"] == 0
