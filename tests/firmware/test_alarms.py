"""The alarm rows against alarms.md: the most restrictive action wins, alarms latch and deliveries do not, silence has limits, the first cause is kept."""

import itertools
import random

import pytest
from thecal.firmware import alarms as al
from thecal.firmware.alarms import Alarms

ROWS = range(1, 30)
# The table of alarms.md section 2, typed from it, and row 29, ours: number: (priority, tone, delivery, what it gives way to, ends).
C, N, S = al.CRITICAL, al.NOTICE, al.SILENT
REFERENCE = {
    1: (1, C, al.STOP, al.FALLBACK, al.SESSION), 2: (1, C, al.STOP, None, al.SESSION), 3: (1, C, al.MIN, al.FALLBACK, al.SESSION),
    4: (1, C, al.NOBOLUS, al.FALLBACK, al.SESSION), 5: (1, C, al.FALLBACK, None, al.SESSION), 6: (1, C, al.FALLBACK, None, al.SESSION),
    7: (2, C, al.NOBOLUS, None, al.AUTO), 8: (2, C, al.STOP, None, al.REFILLED), 9: (2, C, al.NOBOLUS, None, al.REFILLED),
    10: (2, C, al.NOBOLUS, None, al.SESSION), 11: (2, C, al.STOP, None, al.AUTO), 12: (2, C, al.FLAT, None, al.CLOCK_SET),
    13: (2, C, al.FALLBACK, None, al.SESSION), 14: (2, C, al.FLAT, None, al.SESSION),
    15: (2, C, al.CONT, al.STOP, al.REPLACED),
    16: (2, C, al.STOP, None, al.RESUMED), 17: (2, C, al.FALLBACK, al.STOP, al.SESSION_OR_DAY), 18: (2, C, al.STOP, al.FALLBACK, al.CORRECTED),
    19: (3, N, al.CONT, None, al.REFILLED), 20: (3, N, al.CONT, None, al.REPLACED), 21: (3, N, al.CONT, None, al.SESSION),
    22: (4, S, al.CONT, None, al.AUTO), 23: (3, al.ONCE, al.NOBOLUS, None, al.AUTO), 24: (3, N, al.CONT, None, al.AUTO),
    25: (3, N, al.CONT, None, al.REFILLED), 26: (4, S, al.CONT, None, al.VISITED), 27: (4, S, al.NOBOLUS, None, al.AUTO), 28: (4, S, al.CONT, None, al.AUTO),
    29: (2, C, al.NOBOLUS, None, al.REFILLED),
}
NAMED = {
    al.MOTION: 1, al.FREE_FLOW: 2, al.RECORDS: 3, al.CAP: 4, al.OVER: 5, al.ENCODER: 6, al.STALL: 7, al.EMPTY_SENSED: 8, al.EMPTY_COMPUTED: 9,
    al.UNDER: 10, al.CLOCK_LOST: 12, al.WATCHDOG: 13, al.STORE: 14, al.BATTERY: 15, al.STOPPED_LONG: 16, al.EMERGENCY: 17, al.OVERFULL: 18, al.LOW: 19,
    al.ERI: 20, al.LEVEL_SENSOR: 21, al.AMBIENT: 22, al.BOLUS_CUT: 23, al.PAUSE_LONG: 24, al.EXPIRED: 25, al.REFUSED: 26, al.FIELD: 27, al.LINK: 28,
    al.DRUGS: 29,
}


@pytest.mark.req("TH-ALM-30")
@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_that_of_the_reference(row):
    priority, tone, action, then, ends = REFERENCE[row]
    assert (al.priority(row), al.tone_of(row), al.action_of(row), al.ends(row)) == (priority, tone, action, ends)
    assert al.action_of(row, True) == (action if then is None else then)


@pytest.mark.req("TH-ALM-30", "TH-ALM-11")
def test_names_are_the_numbers_and_actions_are_ordered_from_harmless_to_most_restrictive():
    assert NAMED == {number: number for number in ROWS if number != 11}
    assert (al.CONT, al.NOBOLUS, al.FLAT, al.FALLBACK, al.MIN, al.STOP) == tuple(range(6))


def loudness(row):
    tone = REFERENCE[row][1]
    return N if tone == al.ONCE else tone


@pytest.mark.req("TH-ALM-31", "TH-ALM-32")
@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_several_alarms_the_most_restrictive_acts_and_the_loudest_sounds(count):
    combinations = list(itertools.permutations(ROWS, count))
    for rows in random.Random(1).sample(combinations, min(2000, len(combinations))):
        alarms = Alarms()
        for row in rows:
            assert alarms.set(row, True) and not alarms.set(row, True)
            assert alarms.is_active(row)
        assert alarms.action == max(REFERENCE[row][2] for row in rows)
        assert alarms.tone == max(map(loudness, rows)) and alarms.urgent == any(REFERENCE[row][0] <= 2 for row in rows)
        assert alarms.first == rows[0]
        stand = [row for row in rows if REFERENCE[row][4] == al.SESSION]
        for row in rows:
            assert alarms.set(row, False) == (row not in stand) and not alarms.set(row, False)
        bits = sum(1 << row - 1 for row in rows)
        assert alarms.active == sum(1 << row - 1 for row in stand), "what a session ends stands without its cause"
        assert alarms.action == max([REFERENCE[row][2] for row in stand] + [al.CONT])
        assert alarms.latched == bits and alarms.first == rows[0], "the alarm latches, the delivery does not"
        assert alarms.acknowledge(0) == bits
        assert (alarms.active, alarms.latched, alarms.first, alarms.action, alarms.tone, alarms.urgent) == (0, 0, 0, al.CONT, S, False)


@pytest.mark.req("TH-ALM-34", "TH-ALM-32")
@pytest.mark.parametrize("row", ROWS)
def test_a_session_ends_only_what_a_session_may_and_only_behind_its_cause(row):
    alarms, bit = Alarms(), 1 << row - 1
    alarms.set(row, True)
    assert alarms.acknowledge(row) == alarms.acknowledge(0) == 0 and alarms.active == bit, "the cause stands"
    assert alarms.acknowledge(row % 29 + 1) == 0
    alarms.set(row, False)
    assert alarms.active == (bit if REFERENCE[row][4] == al.SESSION else 0) and alarms.latched == bit
    assert alarms.acknowledge(row) == bit and alarms.active == alarms.latched == alarms.first == 0
    assert alarms.acknowledge(row) == 0


@pytest.mark.req("TH-ALM-35", "TH-RULE-11")
def test_the_first_cause_is_kept_until_it_is_seen_and_then_the_most_severe_that_stands():
    alarms = Alarms()
    for row in (19, 7, 5):
        alarms.set(row, True)
    alarms.set(7, False)
    assert alarms.first == 19
    alarms.set(19, False)
    assert alarms.acknowledge(19) and alarms.first == 5 and alarms.acknowledge(7) and alarms.latched == 1 << 4


@pytest.mark.parametrize("row", [1, 3, 4, 15, 17, 18, 20])
def test_a_row_shifts_to_its_second_action_and_back(row):
    _, tone, action, then, _ = REFERENCE[row]
    for first in (True, False):         # shifted before it is raised, or behind
        alarms = Alarms()
        if first and row != al.MOTION:
            assert alarms.shift(row, True)
            alarms.set(row, True)
        else:
            alarms.set(row, True)
            assert alarms.action == action and alarms.shift(row, True)
        assert alarms.action == (action if then is None else then) and alarms.tone == C and alarms.is_shifted(row)
        assert not alarms.shift(row, True) and alarms.shift(row, False)
        assert (alarms.action, alarms.tone) == (action, tone)


def test_motion_that_comes_back_is_a_stop_again():
    alarms = Alarms()
    alarms.set(al.MOTION, True)
    alarms.shift(al.MOTION, True)
    alarms.set(al.MOTION, False)
    assert alarms.action == al.FALLBACK and alarms.set(al.MOTION, True), "it recurs: news"
    assert alarms.action == al.STOP


@pytest.mark.req("TH-ALM-33")
@pytest.mark.parametrize("row", [row for row in ROWS if REFERENCE[row][1] in (C, N)])
def test_silence_is_for_a_time_and_ends_when_the_cause_recurs(row):
    alarms = Alarms()
    alarms.set(row, True)
    loud = alarms.tone
    alarms.silence(row, 1000, 1)
    alarms.watch(4199)
    assert alarms.tone == S and alarms.is_active(row)
    alarms.watch(4600)
    assert alarms.tone == loud
    alarms.silence(0, 5000, 1)
    alarms.set(row, False)
    assert alarms.set(row, True) and alarms.tone == loud
    alarms.silence(row % 29 + 1, 9000, 1)
    assert alarms.tone == loud, "another row's silence"


@pytest.mark.req("TH-ALM-33")
@pytest.mark.parametrize("from_s", [0, 599, 150_000, 154_000, 7 * 86_400])
def test_each_silence_is_of_its_rows_and_for_its_hours_and_the_last_one_for_a_row_holds(from_s):
    alarms = Alarms()
    alarms.set(al.STALL, True)
    alarms.silence(0, from_s, 1)
    alarms.set(al.LOW, True)
    assert alarms.tone == N, "of all means of what is active"
    alarms.silence(al.LOW, from_s, 24)
    quiet = {al.STALL: [], al.LOW: []}
    for at_s in range(from_s, from_s + 40 * 3600, 300):
        if at_s == from_s + 12 * 3600:
            alarms.silence(al.STALL, at_s, 24)      # and a renewal adds
        alarms.watch(at_s)
        for row, seconds in quiet.items():
            seconds += [at_s - from_s] if alarms._quiet >> row - 1 & 1 else []
        assert (alarms.tone == C) == (from_s + quiet[al.STALL][-1] != at_s)
    assert 24 * 3600 - 900 <= quiet[al.LOW][-1] < 24 * 3600, "never longer than ordered, and ten minutes shorter at most"
    heard = [second for second in quiet[al.STALL] if second < 12 * 3600]
    assert 3600 - 900 <= heard[-1] < 3600 and 36 * 3600 - 900 <= quiet[al.STALL][-1] < 36 * 3600


def test_row_23_sounds_once_and_not_again_behind_a_silence():
    alarms = Alarms()
    alarms.set(al.BOLUS_CUT, True)
    assert alarms.tone == N
    alarms.sounded()
    assert alarms.tone == S and alarms.action == al.NOBOLUS
    alarms.silence(0, 100, 1)
    alarms.watch(3700)
    assert alarms.tone == S
    alarms.set(al.BOLUS_CUT, False)
    alarms.set(al.BOLUS_CUT, True)
    assert alarms.tone == N
    alarms.set(al.LOW, True)
    alarms.sounded()
    assert alarms.tone == N, "only row 23 is through"


@pytest.mark.req("TH-ALM-35")
@pytest.mark.parametrize("row", ROWS)
def test_after_a_reset_what_does_not_end_by_itself_still_acts_and_the_rest_is_found_anew(row):
    ends = REFERENCE[row][4]
    before = Alarms()
    before.set(row, True)
    after = Alarms()
    after.restore(before.active, before.latched, before.first)
    assert after.latched == before.latched and after.first == row
    stands = ends != al.AUTO and row != al.STORE
    assert after.is_active(row) == stands
    assert after.action == (REFERENCE[row][2] if stands else al.CONT)
    assert after.acknowledge(row) == (1 << row - 1 if ends in (al.SESSION, al.AUTO) else 0), "only a session's end is left to a session"
    if ends not in (al.SESSION, al.AUTO):
        assert after.set(row, False) and not after.active


@pytest.mark.req("TH-ALM-35", "TH-ALM-04")
@pytest.mark.parametrize("basal", [False, True])
def test_after_a_reset_row_4_acts_as_before(basal):
    """The bit above the rows' says that the basal alone was too much: it is held at the fallback, reset or not, until a session."""
    after = Alarms()
    after.restore(1 << al.CAP - 1 | basal << al.ROWS, 1 << al.CAP - 1, al.CAP)
    assert after.active == 1 << al.CAP - 1 and after.action == (al.FALLBACK if basal else al.NOBOLUS)
    assert after.acknowledge(al.CAP) and after.action == al.CONT and not after.is_shifted(al.CAP)


@pytest.mark.req("TH-ALM-33")
def test_the_tone_repeats_as_alarms_md_says():
    alarms = Alarms()
    assert alarms.tone_period_s() == 0
    alarms.set(al.LOW, True)
    assert alarms.tone_period_s() == 3600
    alarms.set(al.STALL, True)
    assert alarms.tone_period_s() == 600
