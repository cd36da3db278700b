"""The rings: the head found again after any number of events, torn writes, clipping, and reads by absolute offset."""

import pytest
from bare_pump import BenchStore
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.firmware import event_log as el
from thecal.firmware.event_log import DayLog, EventLog
from thecal.firmware.ports import PowerCut
from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc16
from thecal.protocol.fields import MAX_SMALL, unpack


def blank():
    return BenchStore(bytearray(256 * 1024))


def records(data, rows, size):
    found = []
    for at in range(0, len(data), size):
        values = [0] * len(rows)
        assert unpack(rows, data, at, at + size, values) == at + size
        assert values[-1] == crc16(data, at, at + size - 2)
        found.append(tuple(values[:-1]))
    return found


def pull(log):
    """All events, as the host pulls them: by offset, in pieces, across the wrap of the ring."""
    data, at = b"", log.first_byte()
    while at < log.end_byte():
        piece = log.read(at, min(200, log.end_byte() - at))
        assert piece
        data += piece
        at += len(piece)
    return records(data, cat.EVENT_FIELDS, cat.EVENT_BYTES)


@pytest.mark.slow
@pytest.mark.req("TH-STORE-05")
@given(st.integers(0, 3 * el.EVENTS + 5))
@settings(max_examples=25, deadline=None)
def test_the_head_is_found_again_after_any_number_of_events(count):
    store = blank()
    log = EventLog(store)
    log.load(0)
    log.head = max(0, count - el.EVENTS - 3)        # as if the ring had gone round before
    for number in range(log.head, count):
        log.append(number * 7, 1 + number % 17, number & 0xFF, number, -number)
    again = EventLog(store)
    again.load(0)
    assert again.head == count
    kept = pull(again)
    assert kept == [(number, number * 7, 1 + number % 17, number & 0xFF, number, -number)
                    for number in range(max(0, count - el.EVENTS), count)]


@pytest.mark.req("TH-STORE-05")
@pytest.mark.parametrize("count", [0, 1, 5, el.EVENTS - 1, el.EVENTS, el.EVENTS + 1, el.EVENTS + 700])
@pytest.mark.parametrize("torn", range(5))
def test_power_lost_inside_an_append_loses_that_event_alone(count, torn):
    store = blank()
    log = EventLog(store)
    for number in range(count):
        log.append(number, 1)
    store.cut_next(torn)
    with pytest.raises(PowerCut):
        log.append(99, 2)
    store.heal()
    again = EventLog(store)
    again.load(0)
    assert again.head == (count + 1 if torn == 4 else count)
    slot_at = el.EVENTS_AT + count % el.EVENTS * cat.EVENT_BYTES
    assert again.torn_at in ((-1, slot_at) if torn in (2, 3) else (slot_at if torn == 1 else -1,))
    again.append(100, 3)
    assert pull(again)[-1][:3] == (again.head - 1, 100, 3)


@pytest.mark.req("TH-STORE-05")
@pytest.mark.parametrize("count", [el.EVENTS - 300, 2 * el.EVENTS + 800])
def test_damaged_records_hide_neither_the_head_nor_the_rest(count):
    store = blank()
    log = EventLog(store)
    log.head = max(0, count - el.EVENTS)
    for number in range(log.head, count):
        log.append(number, 1)
    for slots in ((0,), (0, 1, 2, 3, 4, 5, 6), (count % el.EVENTS // 2,), (count % el.EVENTS - 3, count % el.EVENTS - 2)):
        for slot in slots:
            store.data[el.EVENTS_AT + slot * 20 + 9] ^= 1
        again = EventLog(store)
        again.load(0)
        assert again.head == count, slots
        for slot in slots:
            store.data[el.EVENTS_AT + slot * 20 + 9] ^= 1


@pytest.mark.req("TH-STORE-04")
def test_the_head_never_goes_back_behind_what_the_state_record_knew():
    store = blank()
    log = EventLog(store)
    for number in range(20):
        log.append(number, 1)
    for slot in range(20):
        store.data[el.EVENTS_AT + slot * 20] ^= 0xFF
    again = EventLog(store)
    again.load(19)
    assert again.head == 19


@pytest.mark.req("TH-STORE-05")
def test_faults_have_a_ring_of_their_own():
    store = blank()
    events, faults = EventLog(store), EventLog(store, el.FAULTS_AT, el.FAULTS)
    for number in range(el.FAULTS + 100):
        faults.append(number, 1)
    events.append(1, 2)
    again = EventLog(store, el.FAULTS_AT, el.FAULTS)
    again.load(0)
    assert again.head == el.FAULTS + 100 and again.first_byte() == 100 * 20
    again = EventLog(store)
    again.load(0)
    assert again.head == 1


def test_arguments_are_clipped_to_what_the_wire_can_carry():
    log = EventLog(blank())
    for value in (MAX_SMALL, MAX_SMALL + 1, 1 << 40, -MAX_SMALL, -MAX_SMALL - 1, -(1 << 40)):
        log.append(1, 2, 300, value, 0)
    assert [row[4] for row in pull(log)] == [MAX_SMALL] * 3 + [-MAX_SMALL] * 3
    assert pull(log)[0][3] == 300 & 0xFF


def test_a_full_store_raises_and_the_log_goes_on_where_it_was():
    store = blank()
    log = EventLog(store)
    log.append(1, 1)
    store.fail = True
    with pytest.raises(OSError):
        log.append(2, 2)
    store.fail = False
    log.append(3, 3)
    assert [row[:3] for row in pull(log)] == [(0, 1, 1), (1, 3, 3)]


def test_a_read_stops_at_the_wrap_of_the_ring():
    log = EventLog(blank())
    for number in range(el.EVENTS + 10):
        log.append(number, 1)
    offset = el.EVENTS * 20 - 40
    assert len(log.read(offset, 200)) == 40
    assert records(log.read(offset + 40, 200), cat.EVENT_FIELDS, 20)[0][0] == el.EVENTS


@pytest.mark.req("TH-LIFE-14")
@given(st.lists(st.integers(0, 2000), min_size=1, max_size=30, unique=True))
@settings(max_examples=25, deadline=None)
def test_days_stand_in_their_slot_until_400_days_later(days):
    store = blank()
    log = DayLog(store)
    for day in sorted(days):
        log.write(day, day * 3, 24_000_000 - day, day, 18_000, MAX_SMALL)
    last = max(days) + 1
    first = log.first_byte(last)
    assert first == max(0, last - el.DAYS) * cat.DAY_BYTES
    found = {}
    for at in range(first, last * cat.DAY_BYTES, cat.DAY_BYTES):
        data = log.read(at, cat.DAY_BYTES)
        if any(data):
            row = records(data, cat.DAY_FIELDS, cat.DAY_BYTES)[0]
            found[row[0]] = row
    for day in days:
        if day >= last - el.DAYS:
            assert found[day] == (day, day * 3, 24_000_000 - day, day, 18_000, MAX_SMALL)
