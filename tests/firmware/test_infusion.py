"""Demand: exact in fractions for any rate in any chunks, pulses never more than one behind, extras of their exact volume."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.firmware.infusion import BOLUS, BRIDGE, PATIENT_BOLUS, PRIME, Infusion, Integrator
from thecal.firmware.ledger import MISSED_LATE, MISSED_STOP, Ledger
from thecal.firmware.ports import MAX_HOLD_MS

DAY_S = 86400
RATE = st.integers(0, 24_000_000)


def new(pulse_nl=1000):
    ledger = Ledger()
    ledger.commission(pulse_nl, 35000, 4096)
    return Infusion(ledger), ledger


@pytest.mark.req("TH-RULE-06")
@pytest.mark.parametrize("rate_nl_day", [1, 6000, 48000, 500000, 999999, 24_000_000])
def test_a_year_in_odd_chunks_is_exact(rate_nl_day):
    demand, total_nl, passed_s, chunk_s = Integrator(), 0, 0, 1
    while passed_s < 366 * DAY_S:
        chunk_s = chunk_s * 75 % 65537
        part_s = min(chunk_s, 366 * DAY_S - passed_s)
        total_nl += demand.run(rate_nl_day, part_s)
        passed_s += part_s
        assert total_nl + Fraction(demand.rem, DAY_S) == Fraction(rate_nl_day * passed_s, DAY_S)
    assert (total_nl, demand.rem) == (366 * rate_nl_day, 0)


@pytest.mark.req("TH-RULE-06")
@given(st.lists(st.tuples(RATE, st.integers(0, 200_000)), max_size=40))
def test_any_rates_through_one_remainder(pieces):
    demand, total_nl, due = Integrator(), 0, 0
    for rate_nl_day, seconds in pieces:
        total_nl += demand.run(rate_nl_day, seconds)
        due += rate_nl_day * seconds
        assert 0 <= demand.rem < DAY_S
    assert total_nl * DAY_S + demand.rem == due


@pytest.mark.slow
@given(st.integers(1, 24_000_000), st.integers(200, 4000), st.integers(0, 86399), st.data())
@settings(max_examples=200)
def test_due_says_the_first_second_at_which_a_pulse_is_due(rate_nl_day, pulse_nl, rem, data):
    infusion, _ = new(pulse_nl)
    infusion.acc_nl = data.draw(st.integers(0, pulse_nl - 1))
    infusion.demand.rem = rem
    seconds = infusion.due_s(rate_nl_day)
    assert seconds >= 1
    infusion.acc_nl += infusion.demand.run(rate_nl_day, seconds - 1)
    assert not infusion.pulse_due()
    infusion.acc_nl += infusion.demand.run(rate_nl_day, 1)
    assert infusion.pulse_due()


def test_never_due_at_rate_zero():
    assert new()[0].due_s(0) == -1


def run_awake(infusion, rate_nl_day, seconds):
    """As the app does: awake for each pulse and for the end of an extra."""
    while seconds > 0:
        due = infusion.due_s(rate_nl_day)
        part_s = min(seconds, 900, due if due > 0 else 900, infusion.extra_due_s() if infusion.extra else 900)
        infusion.run(rate_nl_day, part_s)
        seconds -= part_s
        while infusion.pulse_due():
            infusion.take_pulse()


def demanded(infusion):
    ledger = infusion.ledger
    return ledger.pulsed_ul * 1000 + ledger.pulsed_nl + infusion.acc_nl + Fraction(infusion.demand.rem, DAY_S)


@pytest.mark.req("TH-LIFE-03")
@given(st.sampled_from([PRIME, BRIDGE]), st.integers(1, 1_000_000), st.integers(6000, 24_000_000), RATE, st.lists(st.integers(1, 900), min_size=1, max_size=400))
@settings(max_examples=100, deadline=None)
def test_a_prime_or_bridge_delivers_its_exact_volume_and_then_the_program_again(kind, volume_nl, extra_rate, rate_nl_day, steps_s):
    """Woken at any seconds. What one late step cannot deliver is missed, and with it nothing is lost from the books."""
    infusion, ledger = new()
    infusion.start_extra(kind, volume_nl, extra_rate)
    passed_s = 0
    for seconds in steps_s:
        run_awake(infusion, rate_nl_day, seconds)
        passed_s += seconds
    extra_s = -(-volume_nl * DAY_S // extra_rate)
    if infusion.extra:
        assert passed_s < extra_s
        assert demanded(infusion) == volume_nl - infusion.extra_left_nl == extra_rate * passed_s // DAY_S
    else:
        # The last second of it is its own: at most one second of the program is not asked for.
        assert passed_s >= extra_s and infusion.extra_left_nl == 0
        assert demanded(infusion) == volume_nl + Fraction(rate_nl_day * (passed_s - extra_s), DAY_S)
    assert ledger.missed_ul[MISSED_LATE] == ledger.missed_nl[MISSED_LATE] == 0


@pytest.mark.req("TH-BOL-01")
@given(st.sampled_from([BOLUS, PATIENT_BOLUS]), st.integers(200, 1_000_000), st.integers(30, 86_400), RATE, st.lists(st.integers(1, 900), min_size=1, max_size=400))
@settings(max_examples=150, deadline=None)
def test_a_bolus_is_added_to_the_program_exactly(kind, volume_nl, bolus_s, rate_nl_day, steps_s):
    bolus_rate = -(-volume_nl * DAY_S // bolus_s)
    if bolus_rate + rate_nl_day > 24_000_000:
        return
    infusion, ledger = new()
    infusion.start_extra(kind, volume_nl, bolus_rate)
    passed_s = 0
    for seconds in steps_s:
        run_awake(infusion, rate_nl_day, seconds)
        passed_s += seconds
        extra_nl = min(volume_nl, bolus_rate * passed_s // DAY_S)
        assert demanded(infusion) == extra_nl + Fraction(rate_nl_day * passed_s, DAY_S)
        assert infusion.extra_left_nl == volume_nl - extra_nl and (infusion.extra == 0) == (extra_nl == volume_nl)
    assert (infusion.extra == 0) == (passed_s * bolus_rate >= volume_nl * DAY_S) and (passed_s < bolus_s or infusion.extra == 0), "over in its time"
    assert ledger.missed_ul[MISSED_LATE] == ledger.missed_nl[MISSED_LATE] == 0


@given(st.integers(200, 1_000_000), st.integers(48_000, 12_000_000), st.one_of(st.just(0), st.integers(6000, 12_000_000)), st.integers(0, 86399), st.integers(0, 86399), st.integers(0, 999))
@settings(max_examples=200)
def test_with_a_bolus_due_is_never_late_and_at_most_one_nl_early(volume_nl, bolus_rate, rate_nl_day, rem, extra_rem, acc_nl):
    infusion, _ = new()
    infusion.start_extra(BOLUS, volume_nl + 4000, bolus_rate)
    infusion.demand.rem, infusion._extra.rem, infusion.acc_nl = rem, extra_rem, acc_nl
    seconds = infusion.due_s(rate_nl_day)
    assert seconds >= 1
    infusion.run(rate_nl_day, seconds - 1)
    assert not infusion.pulse_due()
    infusion.run(rate_nl_day, 1)
    if not infusion.pulse_due():        # two remainders: one nL is missing, and its second is known
        seconds = infusion.due_s(rate_nl_day)
        infusion.run(rate_nl_day, seconds - 1)
        assert not infusion.pulse_due()
        infusion.run(rate_nl_day, 1)
        assert infusion.pulse_due()


@given(st.integers(1, 1_000_000), st.integers(48_000, 24_000_000), st.integers(0, 86399))
def test_extra_due_never_oversleeps_the_end_of_an_extra(volume_nl, rate_nl_day, rem):
    infusion, _ = new()
    infusion.start_extra(PRIME, volume_nl, rate_nl_day)
    infusion._extra.rem = rem
    seconds = infusion.extra_due_s()
    assert seconds >= 1
    assert Integrator().run(rate_nl_day, seconds - 1) <= volume_nl


@pytest.mark.req("TH-LIFE-03")
def test_a_bridge_that_an_alarm_brings_to_rest_waits_and_delivers_the_rest_later():
    infusion, ledger = new()
    infusion.start_extra(BRIDGE, 2000, 480_000)
    run_awake(infusion, 1_000_000, 180)
    infusion.extra_rate_nl_day = 0
    run_awake(infusion, 1_000_000, 7200)
    assert infusion.bridge_left_nl() == 1000 == demanded(infusion) and infusion.due_s(1_000_000) == -1
    infusion.extra_rate_nl_day = 240_000
    run_awake(infusion, 0, 400)
    assert infusion.bridge_left_nl() == 0 and demanded(infusion) == 2000


@pytest.mark.req("TH-RATE-02")
def test_a_step_that_comes_late_keeps_one_pulse_and_books_the_rest():
    infusion, ledger = new()
    infusion.run(24_000_000, 36)           # 10,000 nL at once
    assert infusion.acc_nl == 1000 and ledger.missed_ul[MISSED_LATE] == 9 and infusion.pulse_due()
    infusion.take_pulse()
    assert not infusion.pulse_due()
    infusion.run(24_000_000, 7)            # 1,944 nL: one pulse and a part of the next, nothing is missed
    assert infusion.acc_nl == 1944 and ledger.missed_ul[MISSED_LATE] == 9


@pytest.mark.req("TH-BOL-08")
@pytest.mark.parametrize("kind", [PRIME, BRIDGE, BOLUS, PATIENT_BOLUS])
def test_a_cut_extra_is_never_resumed(kind):
    infusion, ledger = new()
    infusion.start_extra(kind, 10_000, 24_000_000)
    infusion.run(0, 1)
    assert infusion.cut_extra() == 10_000 - 277 and infusion.extra == infusion.extra_left_nl == infusion.bridge_left_nl() == 0
    assert infusion.cut_extra() == 0
    infusion.run(0, 3600)
    assert infusion.acc_nl == 277


def test_missed_time_has_a_remainder_of_its_own():
    infusion, ledger = new()
    infusion.run(999_999, 1)
    before = infusion.acc_nl, infusion.demand.rem
    for _ in range(DAY_S):
        infusion.miss(MISSED_STOP, 999_999, 1)
    assert ledger.missed_ul[MISSED_STOP] * 1000 + ledger.missed_nl[MISSED_STOP] == 999_999
    assert (infusion.acc_nl, infusion.demand.rem) == before


@pytest.mark.req("TH-SUP-02", "TH-MODE-07")
@given(st.integers(1, 468))
def test_the_one_shot_outlives_the_train_and_stays_in_its_hardware_bound(steps):
    infusion, _ = new()
    assert steps < infusion.hold_ms(steps) <= MAX_HOLD_MS
    infusion.commission(200)
    assert infusion.hold_ms(steps) >= steps * 5
