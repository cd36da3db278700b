"""The alarm rows in words, against the firmware's own bytes and the table in the docs (the only place where all are known)."""

from pathlib import Path

import pytest
from thecal.firmware import alarms as firmware_alarms
from thecal.host import alarms
from thecal.host.protocol_tables import tables

ACTIONS = ("CONT", "NOBOLUS", "FLAT", "FALLBACK", "MIN", "STOP")
TONES = (alarms.NONE, alarms.ONE, alarms.TWO, alarms.ONCE)
ENDS = ("by itself", "session", "refill", "clock set", "replacement", "resume", "corrected", "visit", "session or 24 h")


@pytest.mark.req("TH-ALM-30")
def test_all_28_rows_of_the_reference_and_ours_are_there():
    assert sorted(alarms.TABLE) == list(range(1, 30))
    assert all(1 <= alarm.priority <= 4 and alarm.action and alarm.ends and alarm.sensed for alarm in alarms.TABLE.values())


@pytest.mark.req("TH-ALM-30")
@pytest.mark.parametrize("row", range(1, 30))
def test_the_firmwares_row_is_this_one(row):
    alarm = alarms.TABLE[row]
    first, then = firmware_alarms.action_of(row), firmware_alarms.action_of(row, True)
    assert (firmware_alarms.priority(row), TONES[firmware_alarms.tone_of(row)], ENDS[firmware_alarms.ends(row)]) == (alarm.priority, alarm.tone, alarm.ends)
    assert (ACTIONS[first], ACTIONS[then]) == (alarm.delivery, alarm.then or alarm.delivery)


@pytest.mark.req("TH-ALM-30", "TH-ALM-11")
def test_the_docs_show_every_row_as_it_is_here():
    page = (Path(__file__).resolve().parents[2] / "protocol" / "PROTOCOL.md").read_text(encoding="utf-8")
    assert tables()["alarms"] in page, "stale: make docs"
    for alarm in alarms.TABLE.values():
        lines = [line for line in tables()["alarms"].splitlines() if line.startswith(f"| {alarm.row} |")]
        assert len(lines) == 1
        for word in (alarm.name, str(alarm.priority), alarm.tone, alarm.delivery, alarm.action, alarm.ends, alarm.sensed):
            assert word in lines[0]


def test_bits_are_sorted_by_urgency_and_never_dropped():
    assert [alarm.row for alarm in alarms.of_bits(1 << 18 | 1 << 6 | 1 << 0)] == [1, 7, 19]
    assert alarms.of_bits(0) == []
    assert alarms.of_bits(1 << 29)[0].name == "unknown alarm 30"
    assert alarms.of_bits(1 << 4)[0].to_dict() == {"code": 5, "name": "over-infusion", "priority": 1, "action": "fallback rate", "ends": "session"}


def test_an_emergency_reduction_is_row_17():
    row = alarms.TABLE[firmware_alarms.EMERGENCY]
    assert (row.row, row.name, row.priority, row.action, row.ends) == (17, "emergency suspend", 2, "fallback rate or stopped", "session or 24 h")
