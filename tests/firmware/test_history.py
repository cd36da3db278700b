"""The delivery history: a record a five minutes and at each change, the head found again, nothing lost at a reset, the last 24 h for the caps."""

import pytest
from bare_pump import BenchStore
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.firmware import alarms as al
from thecal.firmware import history as hi
from thecal.firmware.history import CLOCK_MOVED, RECORDS, History
from thecal.firmware.ledger import Ledger
from thecal.firmware.modes import PRIMING
from thecal.firmware.ports import PowerCut
from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc16
from thecal.protocol.fields import unpack

DAY_S = 86400


class Pump:
    """As much of the App as the history looks at."""

    class Part:
        sensed_ul = 18_000
        action = al.CONT

    def __init__(self, store=None, now_s=1_000_000 * 60):
        self.store = BenchStore(bytearray(256 * 1024)) if store is None else store
        self.now_s = now_s
        self.mode = 2
        self.delivering = True
        self.ledger = Ledger()
        self.contents = self.Part()
        self.alarms = self.Part()
        self.raised = []
        self.history = History(self.store)

    def effective_rate(self):
        return 480_000 if self.delivering else 0

    def alarm(self, row, on, a):
        self.raised.append((row, on, a))

    def run(self, seconds, pulse_every_s=180, wake_s=60):
        for _ in range(0, seconds, wake_s):
            self.now_s += wake_s
            if self.delivering and self.now_s % pulse_every_s == 0:
                self.ledger.pulses += 1
            self.history.tick(self)


def pull(history):
    data, at = b"", history.first_byte()
    while at < history.end_byte():
        piece = bytes(history.read(at, min(199, history.end_byte() - at)))
        assert piece
        data += piece
        at += len(piece)
    return [record(data[at:at + cat.HISTORY_BYTES]) for at in range(0, len(data), cat.HISTORY_BYTES)]


def record(data):
    values = [0] * len(cat.HISTORY_FIELDS)
    assert unpack(cat.HISTORY_FIELDS, data, 0, len(data), values) == cat.HISTORY_BYTES
    assert values[-1] == crc16(data, 0, cat.HISTORY_BYTES - 2), "on the wire the CRC is the plain one, in every pass"
    return tuple(values[:-1])


def again(pump, floor=0, pulses=0):
    made = History(pump.store)
    made.restore(floor, pulses, pump.ledger.pulse_nl)
    return made


@pytest.mark.req("TH-STORE-06")
def test_a_record_each_five_minutes_while_delivering_and_one_at_each_change():
    pump = Pump()
    pump.run(3600)
    rows = pull(pump.history)
    assert [row[0] % 300 for row in rows[1:]] == [0] * 12 and rows[0][0] == 60_000_060
    assert sum(row[1] for row in rows) == pump.ledger.pulses * 1000 == 20_000
    assert {row[2:] for row in rows} == {(18_000, 2, 0, 480)}
    pump.mode, pump.delivering = 3, False
    pump.run(7200)
    assert len(pull(pump.history)) == len(rows) + 1 and pull(pump.history)[-1][3:] == (3, 0, 0)
    pump.mode, pump.delivering = 2, True
    pump.run(60)
    pump.alarms = Pump.Part()
    pump.alarms.action = al.NOBOLUS
    pump.run(60)
    assert [row[3:5] for row in pull(pump.history)[-2:]] == [(2, 0), (2, al.NOBOLUS)]


def test_a_sparse_wake_writes_one_record_for_all_it_slept_over():
    pump = Pump()
    pump.run(3600 * 4, wake_s=1200)
    assert len(pull(pump.history)) == 12


@pytest.mark.slow
@pytest.mark.req("TH-STORE-06")
@given(st.integers(1, 3 * RECORDS + 5), st.integers(0, 400), st.integers(0, 300))
@settings(max_examples=25, deadline=None)
def test_head_and_volumes_are_found_again_from_a_floor_that_is_hours_old(count, behind, volume):
    pump = Pump()
    history = pump.history
    history.head = first = max(0, count - RECORDS - 3)
    floor, pulses = max(first, count - behind), 0
    for number in range(first, count):
        if number == floor:
            pulses = pump.ledger.pulses
        pump.now_s += 300
        pump.ledger.pulses += volume
        history._write(pump, pump.mode)
    if floor == count:
        pulses = pump.ledger.pulses
    found = again(pump, floor, pulses)
    assert (found.head, found.pulses) == (count, pump.ledger.pulses) and found.torn_at == -1
    assert pull(found) == pull(history)


@pytest.mark.slow
@pytest.mark.parametrize("torn", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("count", [0, 1, 5, RECORDS - 1, RECORDS, RECORDS + 1, RECORDS + 700])
def test_power_lost_inside_an_append_loses_that_record_alone_and_none_of_its_volume(count, torn):
    pump = Pump()
    for _ in range(count):
        pump.now_s += 300
        pump.ledger.pulses += 2
        pump.history._write(pump, pump.mode)
    floor, pulses = max(0, count - 3), max(0, count - 3) * 2
    pump.ledger.pulses += 7
    pump.store.cut_next(torn)
    with pytest.raises(PowerCut):
        pump.history._write(pump, pump.mode)
    pump.store.heal()
    found = again(pump, floor, pulses)
    assert found.head in (count, count + 1) and (found.head == count or torn >= 3)
    assert found.pulses == count * 2 + (7 if found.head > count else 0)
    assert found.torn_at in (-1, hi.HISTORY_AT + count % RECORDS * 16)
    pump.history = found
    pump.now_s += 10
    found._write(pump, pump.mode)
    assert found.pulses == pump.ledger.pulses and pull(found)[-1][0] == pump.now_s
    since = pull(found)[floor - found.head:]
    assert sum(row[1] for row in since) == (pump.ledger.pulses - pulses) * 1000


def test_a_damaged_record_in_the_middle_hides_neither_head_nor_the_rest():
    pump = Pump()
    pump.run(DAY_S)
    head = pump.history.head
    for slot in (0, 1, 2, head // 2, head // 2 + 1, head - 2):
        pump.store.data[hi.HISTORY_AT + slot * 16 + 5] ^= 0x20
        assert again(pump).head == head
    assert again(pump, head).head == head


@pytest.mark.req("TH-STORE-04")
def test_the_head_never_goes_back_behind_the_floor():
    pump = Pump()
    pump.run(3600)
    head = pump.history.head
    for number in range(head):
        pump.store.data[hi.HISTORY_AT + number * 16] ^= 1
    assert again(pump, head).head == head


def test_a_store_that_refuses_raises_its_alarm_and_the_next_record_carries_the_volume():
    pump = Pump()
    pump.run(600)
    pump.store.fail = True
    pump.run(600)
    assert pump.raised and set(pump.raised) == {(al.STORE, True, 3)}
    pump.store.fail = False
    pump.run(600)
    assert sum(row[1] for row in pull(pump.history)) == pump.ledger.pulses * 1000


class TestRecent:
    """What the caps rebuild their window from: never a nanolitre less, never older than it is."""

    def seen(self, pump, history=None, window_s=DAY_S):
        history = history or pump.history
        rows = list(history.recent(pump.now_s, pump.ledger, window_s))
        return rows, history.whole

    def test_a_new_pump_has_delivered_nothing(self):
        pump = Pump()
        assert self.seen(pump) == ([(0, 0)], True)

    def test_the_last_day_and_no_more(self):
        pump = Pump()
        pump.run(3 * DAY_S)
        rows, whole = self.seen(pump)
        assert whole and sum(volume for _, volume in rows) == 480_000
        assert [age for age, _ in rows] == sorted(age for age, _ in rows) and rows[-1][0] == DAY_S - 300

    def test_pulses_behind_the_newest_record_count_as_of_now(self):
        pump = Pump()
        pump.run(3600)
        pump.ledger.pulses += 5
        assert self.seen(pump)[0][0] == (0, 5000)

    @pytest.mark.req("TH-CAP-05")
    def test_an_outage_ages_what_was_before_it(self):
        pump = Pump()
        pump.run(3600)
        pump.history = again(pump)
        pump.now_s += 8 * 3600
        assert self.seen(pump)[0][1][0] == 8 * 3600
        pump.run(3600)
        assert sum(volume for age, volume in self.seen(pump)[0] if age < 2 * 3600) == 20_000

    @pytest.mark.req("TH-CAP-04")
    @pytest.mark.parametrize("jump_s", [-7200, 7200, 40 * DAY_S])
    def test_a_clock_that_is_set_makes_nothing_older(self, jump_s):
        pump = Pump()
        pump.run(DAY_S)
        pump.history.clock_moves(pump)
        pump.now_s += jump_s
        pump.run(3600)
        rows, whole = self.seen(pump)
        assert whole and 480_000 <= sum(volume for _, volume in rows) <= 500_000
        assert [row[3] for row in pull(pump.history)[-15:]].count(2 | CLOCK_MOVED) == 1
        ages = [age for age, _ in rows]
        assert ages == sorted(ages) and ages[-1] < DAY_S

    def test_a_prime_reaches_no_patient_and_is_left_out(self):
        pump = Pump()
        pump.run(3600)
        pump.mode = PRIMING
        pump.run(1200, pulse_every_s=60)
        pump.mode = 2
        pump.run(3600)
        rows, whole = self.seen(pump)
        assert whole and pump.ledger.pulses == 20 + 20 + 20
        assert 40_000 <= sum(volume for _, volume in rows) <= 41_000, "the pulse at the border counts"
        pump.mode = PRIMING
        pump.run(1200, pulse_every_s=60)
        pump.history = again(pump)
        assert sum(volume for _, volume in self.seen(pump)[0]) <= 42_000, "one that a reset cut too"

    def test_a_damaged_record_is_said(self):
        pump = Pump()
        pump.run(DAY_S)
        pump.store.data[hi.HISTORY_AT + (pump.history.head - 20) * 16 + 3] ^= 4
        assert not self.seen(pump)[1]
        assert self.seen(pump, window_s=3600)[1], "it lies further back than that"

    def test_a_ring_that_went_round_within_the_window_is_said(self):
        pump = Pump()
        for _ in range(RECORDS + 1):
            pump.now_s += 1
            pump.history._write(pump, pump.mode)
        assert not self.seen(pump)[1]
