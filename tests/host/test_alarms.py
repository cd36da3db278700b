"""The alarm rows in words, against the firmware's own table (the only place where both are known)."""

from thecal.firmware import alarms as firmware_alarms
from thecal.host import alarms


def test_all_28_rows_are_there():
    assert sorted(alarms.TABLE) == list(range(1, 29))
    assert all(1 <= alarm.priority <= 4 and alarm.action and alarm.ends for alarm in alarms.TABLE.values())


def test_the_firmwares_rows_mean_the_same_here():
    for row, name, priority, *_ in firmware_alarms.TABLE:
        assert (alarms.TABLE[row].name, alarms.TABLE[row].priority) == (name, priority)


def test_bits_are_sorted_by_urgency_and_never_dropped():
    assert [alarm.row for alarm in alarms.of_bits(1 << 18 | 1 << 6 | 1 << 0)] == [1, 7, 19]
    assert alarms.of_bits(0) == []
    assert alarms.of_bits(1 << 29)[0].name == "unknown alarm 30"
    assert alarms.of_bits(1)[0].to_dict() == {
        "code": 1, "name": "motion without an order", "priority": 1, "action": "stopped", "ends": "session"}


def test_an_emergency_reduction_is_row_17():
    row = alarms.TABLE[firmware_alarms.EMERGENCY]
    assert (row.row, row.name, row.priority, row.action, row.ends) == (17, "emergency suspend", 2, "fallback rate or stopped", "session or 24 h")
