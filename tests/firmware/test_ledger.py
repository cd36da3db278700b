"""The ledger: steps exact to less than one step for ever, pairs that carry, contents from pulses alone."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.firmware import ledger as lg
from thecal.firmware.ledger import Ledger

HEADS = st.tuples(st.integers(200, 4000), st.integers(5000, 60000), st.integers(200, 4096))


@pytest.mark.req("TH-RATE-01")
@given(HEADS, st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_ordered_is_never_less_than_demanded_and_ahead_by_less_than_a_step(head, pulses):
    pulse_nl, nl_per_rev, steps_per_rev = head
    ledger = Ledger()
    ledger.commission(pulse_nl, nl_per_rev, steps_per_rev)
    steps = 0
    for count in range(1, pulses + 1):
        turned = ledger.pulse()
        assert 0 <= turned <= ledger.longest_pulse_steps()
        steps += turned
        ahead_nl = Fraction(steps * nl_per_rev, steps_per_rev) - count * pulse_nl
        assert 0 <= ahead_nl < Fraction(nl_per_rev, steps_per_rev)
    assert (ledger.pulses, ledger.pulsed_ul * 1000 + ledger.pulsed_nl) == (pulses, pulses * pulse_nl)
    assert 0 <= ledger.pulsed_nl < 1000 and 0 <= ledger.steps < steps_per_rev
    assert ledger.revs * steps_per_rev + ledger.steps == steps


@pytest.mark.req("TH-RULE-06")
def test_a_naive_pulse_would_lose_22_ul_in_180_days_and_this_one_loses_nothing():
    ledger = Ledger()
    ledger.commission(1000, 35000, 4096)
    steps = sum(ledger.pulse() for _ in range(90_000))
    assert Fraction(117 * 90_000 * 35000, 4096) < 90_000_000 - 21_900
    assert 0 <= Fraction(steps * 35000, 4096) - 90_000_000 < 9


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60_000_000)), max_size=60))
def test_missed_pairs_carry_by_cause(entries):
    ledger = Ledger()
    for cause, volume_nl in entries:
        ledger.miss(cause, volume_nl)
    for cause in range(lg.CAUSES):
        assert ledger.missed_ul[cause] * 1000 + ledger.missed_nl[cause] == sum(nl for which, nl in entries if which == cause)
        assert 0 <= ledger.missed_nl[cause] < 1000


def test_contents_follow_pulses_lost_ones_excepted_and_start_anew_at_a_refill():
    ledger = Ledger()
    ledger.commission(1000, 35000, 4096)
    assert ledger.reservoir_nl() == 0
    for _ in range(7):
        ledger.pulse()
    assert ledger.reservoir_nl() == -7000
    ledger.refill(20_000_000)
    for _ in range(10):
        ledger.pulse()
    ledger.lose_pulse()
    assert ledger.reservoir_nl() == 20_000_000 - 9000
    assert ledger.missed_nl[lg.MISSED_STALL] + 1000 * ledger.missed_ul[lg.MISSED_STALL] == 1000
    ledger.refill(5_000_000)
    assert ledger.reservoir_nl() == 5_000_000 and ledger.lost_pulses == 0
    assert ledger.missed_ul[lg.MISSED_STALL] == 1, "what was missed stays missed for life"


@pytest.mark.parametrize("pulse_nl", [200, 1000, 4000])
def test_contents_that_nobody_refilled_stay_a_small_integer(pulse_nl):
    ledger = Ledger()
    ledger.commission(pulse_nl, 35000, 4096)
    ledger.refill(60_000_000)
    ledger.pulses = (1 << 30) - 1
    assert -60_000_000 <= ledger.reservoir_nl() - 60_000_000 + 60_000_000 <= 60_000_000


def test_a_new_head_starts_its_step_remainder_anew_and_keeps_the_totals():
    ledger = Ledger()
    ledger.commission(1000, 35000, 4096)
    for _ in range(100):
        ledger.pulse()
    ledger.commission(500, 17500, 3200)
    assert ledger.pulses == 100 and ledger.steps_rem == 17499
    before = ledger.revs * 3200 + ledger.steps
    assert sum(ledger.pulse() for _ in range(35)) == 35 * 500 * 3200 // 17500 + 0
    assert before >= 0
