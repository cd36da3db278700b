"""Heard or not: when an alarm stood, and whether its tone sounded in its cadence meanwhile."""

from types import SimpleNamespace

import pytest

from thecal.hw_sim.scenario import ALARM_ROWS
from thecal.hw_sim.tones import BEGINS, CADENCE, DARK, ENDS, LATE_S, SINGLE, STANDS, TWO_TONE, silences, spans

S = 1_000_000


def rows(*numbers):
    return frozenset(numbers)


def every(period_s, from_s, to_s, kind=TWO_TONE):
    return [(t_s * S, kind) for t_s in range(from_s, to_s, period_s)]


@pytest.mark.parametrize("marks, stood", [
    ([(100 * S, BEGINS, rows(7)), (400 * S, ENDS, rows(7))], [(100, 400)]),
    ([(100 * S, BEGINS, rows(7))], [(100, 9000)]),
    ([(3600 * S, STANDS, rows(7)), (7200 * S, STANDS, rows(7))], [(3600, 9000)]),
    # nobody saw when it ended: it is believed until the look before
    ([(3600 * S, STANDS, rows(7)), (7200 * S, STANDS, rows(7)), (8000 * S, STANDS, rows())], [(3600, 7200)]),
    # without power nothing stands, and what stands behind it is said again
    ([(100 * S, BEGINS, rows(7)), (500 * S, DARK, rows()), (900 * S, DARK, rows()), (3600 * S, STANDS, rows(7))], [(100, 500), (3600, 9000)]),
    # told out of order: the log is read at the look behind it
    ([(3600 * S, STANDS, rows(7)), (100 * S, BEGINS, rows(7)), (2000 * S, ENDS, rows(7)), (3000 * S, BEGINS, rows(7))], [(100, 2000), (3000, 9000)]),
    ([(100 * S, ENDS, rows(7))], []),
])
def test_when_an_alarm_stood(marks, stood):
    assert [(first // S, last // S) for first, last in spans(marks, 9000 * S).get(7, [])] == stood


@pytest.mark.req("TH-ALM-07", "TH-RULE-12")
@pytest.mark.parametrize("row, tones, heard", [
    (7, every(600, 100, 9000), True), (7, [], False), (7, every(600, 100, 8000), False), (7, every(600, 800, 9000), False),
    (7, every(700, 100, 9000), False), (7, every(600, 100, 9000, SINGLE), False), (7, every(600 + LATE_S, 100, 9000), True),
    (19, every(3600, 100, 9000, SINGLE), True), (19, every(600, 100, 9000), True), (19, every(3600, 100, 3000, SINGLE), False), (19, [], False),
    (23, [(100 * S, SINGLE)], True), (23, [], False), (22, [], True), (28, [], True), (99, [], True),
])
def test_a_tone_must_be_heard_in_its_cadence(row, tones, heard):
    said = silences({row: [(100 * S, 9000 * S)]}, tones, ALARM_ROWS)
    assert (not said) == heard and all(text.startswith("alarm %d stood " % row) for text in said)


def test_an_alarm_that_is_over_before_its_cadence_may_be_short():
    assert silences({7: [(100 * S, 650 * S)]}, [], ALARM_ROWS) == []


def test_every_tone_of_the_hosts_table_has_a_cadence():
    assert {alarm.tone for alarm in ALARM_ROWS.values()} == {*CADENCE, "none"}
    assert silences({1: [(0, 9000 * S)]}, [], {1: SimpleNamespace(tone="none")}) == []
