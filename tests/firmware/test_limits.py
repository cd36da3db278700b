"""Hard limits: the products the code relies on stay below 2**30 (asserts are not in the flashed bytecode), and the numbers of alarms.md."""

import pytest
from thecal.firmware import limits as li
from thecal.firmware import ports
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import MAX_SMALL

MOST = {name: (low, high) for _, _, rows in cat.BLOCKS for name, _, _, low, high in rows}


@pytest.mark.req("TH-RULE-06")
def test_every_worst_intermediate_product_is_a_small_integer_on_32_bits():
    assert li.SMALL == MAX_SMALL + 1
    chunk_fraction = (li.DAY_S - 1) * li.MAX_CHUNK_S + li.DAY_S - 1                     # Integrator.run
    chunk_volume = li.MAX_RATE_NL_DAY // li.DAY_S * li.MAX_CHUNK_S + chunk_fraction // li.DAY_S
    pulse_due = 2 * MOST["pulse_nl"][1] * li.DAY_S + li.MAX_RATE_NL_DAY                 # Infusion.due_s, a pulse late
    prime_end = MOST["pulse_nl"][1] * li.DAY_S + MOST["rate_nl_day"][1]                 # Infusion.prime_due_s
    pulse_steps = MOST["steps_per_rev"][1] * MOST["pulse_nl"][1]                        # Ledger.commission
    daily_minutes = (li.MAX_RATE_NL_DAY // 1440 + 1) * 1440                             # Schedule.daily_nl
    expected_counts = 65535 * MOST["counts_per_rev"][1]                                 # Supervisor.lease, 65535 steps at most
    tick_seconds = ports.MAX_DELAY_MS * 2 + 999
    for product in (chunk_fraction, chunk_volume, pulse_due, prime_end, pulse_steps, daily_minutes, expected_counts, tick_seconds):
        assert product <= MAX_SMALL


@pytest.mark.req("TH-RATE-05")
def test_the_catalogue_allows_what_the_head_can_do_and_no_more():
    assert MOST["pulse_nl"][1] == li.MAX_PULSE_NL
    assert MOST["rate_nl_day"] == (li.FLOOR_RATE_NL_DAY, li.MAX_RATE_NL_DAY)
    assert MOST["fallback_nl_day"][1] == li.MAX_RATE_NL_DAY
    assert MOST["minimum_rate_nl_day"][1] <= li.FLOOR_RATE_NL_DAY


def test_times_are_those_of_the_reference():
    assert (li.DAY_S, li.WEEK_S) == (24 * 3600, 7 * 24 * 3600)
    assert li.CHECK_S <= 300 and li.IDLE_CHECK_S * 1000 <= ports.MAX_DELAY_MS          # DESIGN R7
    assert (li.STALL_PULSES, li.STALL_S, li.CLOCK_JUMP_S) == (3, 1800, 300)            # alarms.md rows 7, 12
    assert (li.LOW_DAYS, li.LOW_UL, li.STOPPED_LONG_S) == (7, 2000, 6 * 3600)          # rows 19, 16
    assert (li.TONE_CRITICAL_S, li.TONE_NOTICE_S) == (600, 3600)
    assert 0 < li.HOLD_MARGIN_MS < ports.MAX_HOLD_MS


def test_the_encoder_threshold_is_well_below_half_of_the_smallest_pulse_of_the_reference_head():
    """A pulse of 1 uL at 35 uL a turn is 117 counts of 4096; noise must not look like motion, nor half a pulse like noise."""
    assert li.EDGE_COUNTS * 4 < 1000 * 4096 // 35000 // 2
