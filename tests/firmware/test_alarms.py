"""The alarm rows against alarms.md: the most restrictive action wins, alarms latch, the first cause is kept, auto rows end."""

import itertools

import pytest
from thecal.firmware import alarms as al
from thecal.firmware.alarms import Alarms

ROWS = {row[0]: row for row in al.TABLE}
# number: (priority, tone, delivery action, ends), from the table of alarms.md
REFERENCE = {
    1: (1, al.CRITICAL, al.STOP, al.SESSION), 3: (1, al.CRITICAL, al.MIN, al.SESSION), 7: (2, al.CRITICAL, al.NOBOLUS, al.AUTO),
    8: (2, al.CRITICAL, al.STOP, al.REFILLED), 9: (2, al.CRITICAL, al.NOBOLUS, al.REFILLED), 12: (2, al.CRITICAL, al.FLAT, al.SESSION),
    14: (2, al.CRITICAL, al.FLAT, al.SESSION), 15: (2, al.CRITICAL, al.CONT, al.SESSION), 16: (2, al.CRITICAL, al.CONT, al.AUTO),
    17: (2, al.CRITICAL, al.FALLBACK, al.SESSION), 19: (3, al.NOTICE, al.CONT, al.REFILLED), 23: (3, al.NOTICE, al.CONT, al.SESSION),
}


def test_every_row_is_that_of_the_reference():
    assert {number: row[2:] for number, row in ROWS.items()} == REFERENCE
    assert [row[0] for row in al.TABLE] == sorted(ROWS) and len(ROWS) == len(al.TABLE)
    assert all(1 <= number <= 28 for number in ROWS)


def test_actions_are_ordered_from_harmless_to_most_restrictive():
    assert (al.CONT, al.NOBOLUS, al.FLAT, al.FALLBACK, al.MIN, al.STOP) == tuple(range(6))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_several_alarms_the_most_restrictive_acts_and_the_loudest_sounds(count):
    for rows in itertools.permutations(ROWS, count):
        alarms = Alarms()
        for row in rows:
            assert alarms.set(row, True) and not alarms.set(row, True)
            assert alarms.is_active(row)
        assert alarms.action == max(ROWS[row][4] for row in rows)
        assert alarms.tone == max(ROWS[row][3] for row in rows)
        assert alarms.first == rows[0]
        for row in rows:
            assert alarms.set(row, False) and not alarms.set(row, False)
        assert (alarms.active, alarms.action, alarms.tone) == (0, al.CONT, al.SILENT)
        assert alarms.latched == sum(1 << row - 1 for row in rows), "the alarm latches, the delivery does not"
        assert alarms.first == rows[0]


def test_after_a_reset_what_a_session_or_a_refill_ends_still_acts_and_the_rest_is_found_anew():
    for row, (_, _, action, ends) in REFERENCE.items():
        before = Alarms()
        before.set(row, True)
        after = Alarms()
        after.restore(before.active, before.latched, before.first)
        assert after.latched == before.latched and after.first == row
        stands = ends != al.AUTO and row != al.STORE
        assert after.is_active(row) == stands
        assert after.action == (action if stands else al.CONT)


def test_the_tone_repeats_as_alarms_md_says():
    alarms = Alarms()
    assert alarms.tone_period_s() == 0
    alarms.set(al.LOW, True)
    assert alarms.tone_period_s() == 3600
    alarms.set(al.STALL, True)
    assert alarms.tone_period_s() == 600
