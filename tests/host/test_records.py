"""Records: status, events and days from wire bytes, with holes told and never hidden."""

from fractions import Fraction

import pytest
from fake_pump import FakePump, day, event

from thecal.host import records
from thecal.host.errors import ProtocolProblem
from thecal.protocol import catalogue as cat


def test_status_puts_pairs_together():
    raw = FakePump().status()
    raw.update(demanded_ul=12, demanded_nl=345, ordered_revs=10, ordered_steps=2048, missed_stop_ul=1, missed_stop_nl=2, missed_late_nl=3,
               reservoir_computed_nl=-5, reservoir_sensed_ul=18_000, alarms=1 << 18, latched=1 << 18 | 1 << 6, low_reservoir_days=5, reset_cause=3)
    status = records.Status.of(raw)
    assert status.demanded_nl == 12_345
    assert status.ordered_nl == Fraction(350_000 + 17_500)
    assert status.missed_nl["stop"] == 1002 and status.missed_total_nl == 1005
    assert [alarm.row for alarm in status.alarms] == [19] and [alarm.row for alarm in status.latched] == [7, 19]
    assert (status.mode, status.reset_cause, status.low_reservoir_days) == ("running", "watchdog", 5)
    row = status.to_dict()
    assert row["ordered_nl"] == 367_500 and row["alarms"][0]["code"] == 19 and row["time"].startswith("2026-01-05 09:00")


def test_unknown_figures_are_said_to_be_unknown():
    raw = FakePump().status()
    raw.update(reset_cause=9, steps_per_rev=0)
    status = records.Status.of(raw)
    assert (status.low_reservoir_days, status.reset_cause, status.ordered_nl) == (None, "cause 9", 0)


@pytest.mark.parametrize("code, cause, a, b, words", [
    (cat.E_BOOT, 3, 4, 0, "boot 4 after watchdog"),
    (cat.E_BOOT, 77, 4, 0, "cause 77"),
    (cat.E_COMMISSION, 0, 1001, 35_000, "serial 1001"),
    (cat.E_PROGRAM, 2, 200_000, 165_000, "flex, 0.2 mL a day, 0.165 mL/day first"),
    (cat.E_PROGRAM, 9, 0, 0, "mode 9"),
    (cat.E_REFILL, 0, 18_600, 1400, "18.6 mL in, 1.4 mL out"),
    (cat.E_PRIME, 0, 375_000, 24_000_000, "0.375 mL at 24 mL/day"),
    (cat.E_PRIME_END, 0, 0, 0, "0 mL left"),
    (cat.E_SET_CLOCK, 0, 86_400, -5, "to 2024-01-02 00:00:00"),
    (cat.E_GAP, 1, 3600, 12_500, "reset for 1 h, 0.0125 mL missed"),
    (cat.E_GAP, 99, 3600, 1, "cause 99 for 1 h"),
    (cat.E_PULSE_LOST, 0, 3, 17, "3 since this was told last; of the last one 17 counts seen"),
    (cat.E_ALARM_END, 7, 12, 0, "12 more pulses lost"),
    (cat.E_ALARM, 7, 0, 0, "7 motor stall"),
    (cat.E_ALARM, 99, 0, 0, "unknown alarm"),
    (cat.E_CLOCK_JUMP, 0, -600, 0, "-600 s"),
    (cat.E_REFUSED, cat.R_STATE, cat.PRIME, 0, "prime: not in this mode"),
    (cat.E_REFUSED, 99, 20, 0, "order 20: reason 99"),
    (cat.E_BOLUS_CUT, 0, 1000, 0, "0.001 mL left"),
    (cat.E_STOP, 2, 0, 0, "adverse effect"),
    (cat.E_STOP, 77, 0, 0, "reason 77"),
    (cat.E_TARE, 0, -480, 30, "sensed -480 uL against computed, offset +30 uL"),
    (cat.E_LEVEL_TEST, 1, 300, 44, "over-infusion: 300 uL in 44 h"),
    (cat.E_LEVEL_TEST, 4, 900, 1, "free flow: 900 uL in 1 h"),
    (cat.E_LEVEL_TEST, 9, 1, 1, "finding 9"),
    (cat.E_CALIBRATION, 2, 13, 0, "learned at a refill: +13 in a thousand, +0 before"),
    (cat.E_CALIBRATION, 3, 0, -7, "back to the factory's: +0 in a thousand, -7 before"),
    (cat.E_CALIBRATION, 9, 0, 0, "cause 9"),
    (cat.E_SESSION, 2, 0, 0, "service"),
    (cat.E_SESSION, 9, 0, 0, "role 9"),
    (cat.E_LOCKED, 0, 8, 120, "8 wrong keys so far, locked for 2 min"),
    (cat.E_PAIR, 1, 0, 0, "clinician"),
    (cat.E_REDUCE, 1, 86_400, 0, "fallback rate until 2024-01-02 00:00"),
    (cat.E_REDUCE, 2, 86_400, 0, "stop until 2024-01-02 00:00"),
    (cat.E_REDUCE, 0, 86_400, 0, "ended"),
    (cat.E_REDUCE, 7, 0, 0, "action 7 until"),
    (200, 1, 2, 3, "cause 1, a 2, b 3"),
])
def test_events_in_words(code, cause, a, b, words):
    found = records.Event(5, 100, code, cause, a, b)
    assert words in found.text
    assert found.to_dict()["name"] == found.name


def test_every_code_of_the_catalogue_has_a_name():
    for code, name, _ in cat.EVENTS:
        assert records.Event(0, 0, code, 0, 0, 0).name == name


def test_a_damaged_event_is_a_hole_that_is_seen():
    data = event(7, 10, cat.E_BOOT) + bytes(20) + event(9, 12, cat.E_STOP) + event(4, 1, cat.E_STOP)
    assert [(e.seq, e.code) for e in records.read_events(data, 7)] == [(7, cat.E_BOOT), (8, 0), (9, cat.E_STOP), (10, 0)]
    flipped = bytearray(event(7, 10, cat.E_BOOT))
    flipped[5] ^= 1
    assert records.read_events(bytes(flipped), 7)[0].name == "damaged record"


def test_days_never_closed_are_left_out():
    data = day(5, 100, 100_000, 50, 18_000, 1 << 18) + bytes(24) + day(3, 1)
    found = records.read_days(data, 5)
    assert len(found) == 1
    assert (found[0].day, found[0].pulses, found[0].missed_nl, found[0].sensed_nl) == (5, 100, 50, 18_000_000)
    assert found[0].to_dict()["date"] == "2024-01-06" and found[0].to_dict()["alarms"][0]["code"] == 19


def test_a_payload_that_breaks_its_row_is_a_protocol_problem():
    with pytest.raises(ProtocolProblem, match="status_reply cannot be read"):
        records.decode(cat.STATUS | cat.REPLY_BIT, b"\xff" * 200)
    with pytest.raises(ProtocolProblem, match="its length"):
        records.decode(cat.DISCARD | cat.REPLY_BIT, b"x")


def test_a_live_frame():
    live = records.Live.of({"time_s": 60, "mode": 3, "rate_nl_day": 0, "pulses": 5, "reservoir_computed_nl": 1, "reservoir_sensed_ul": 2, "alarms": 0})
    assert live.to_dict()["mode"] == "stopped" and live.reservoir_sensed_nl == 2000


def test_what_a_day_ordered_is_not_called_demanded():
    made = records.read_days(day(735, 10, demanded_nl=10_000), 735)[0]
    assert made.ordered_nl == made.to_dict()["ordered_nl"] == 10_000 and "demanded_nl" not in made.to_dict()
