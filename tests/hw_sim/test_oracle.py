"""The oracle against hand sums, published figures (regimens.md) and a second, slice-by-slice reckoning."""
import ast
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thecal.hw_sim import oracle as module
from thecal.hw_sim.oracle import DAY_US, WEEK_S, Oracle, week

HOUR_US = DAY_US // 24
SLICE_S = 1800
SLICES = 4 * 48


@pytest.mark.req("TH-RATE-07")
def test_it_knows_nobody():
    tree = ast.parse(Path(module.__file__).read_text())
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert froms <= {"__future__", "bisect", "dataclasses", "fractions", "typing", "oracle_extras", "oracle_program", None} and not names


@pytest.mark.parametrize("rate", [6_000, 999_999, Fraction(1, 3), "0.1", 0.1])
def test_a_year_at_one_rate_is_exact(rate):
    oracle = Oracle()
    oracle.program(0, rate)
    exact = Fraction(str(rate)) if isinstance(rate, float) else Fraction(rate)
    assert oracle.demanded_nl(365 * DAY_US) == 365 * exact
    assert oracle.demanded_nl(1) == exact / DAY_US
    assert oracle.missed_nl(365 * DAY_US) == {}


def test_night_flex_of_b2_gives_400_ug_each_day_at_any_starting_hour():
    day = [(0, 300_000), (2 * 3600, 240_000), (6 * 3600, 165_000), (22 * 3600, 300_000)]
    for start_s in (0, 9 * 3600, 5 * 86400 + 12345):
        oracle = Oracle(start_s)
        oracle.fill(0, 20_000_000, {"baclofen": 2000})
        oracle.program(0, week(day))
        assert oracle.demanded_nl(7 * DAY_US) == 7 * 200_000
        assert oracle.head_dose_ng(DAY_US) == {"baclofen": 400_000}


def test_weekdays_have_their_own_steps_and_hours_missed_are_not_made_up():
    plain, physio = [(0, 200_000)], [(0, 200_000), (9 * 3600, 120_000), (11 * 3600, 200_000)]
    oracle = Oracle(0)  # a Monday
    oracle.program(0, week(plain, {0: physio, 3: physio}))
    less = Fraction(80_000 * 2, 24)
    assert oracle.demanded_nl(DAY_US) == 200_000 - less
    assert oracle.demanded_nl(3 * DAY_US) == 600_000 - less
    assert oracle.demanded_nl(7 * DAY_US) == 1_400_000 - 2 * less
    assert oracle.rate_nl_day(9 * HOUR_US - 1) == 200_000 and oracle.rate_nl_day(9 * HOUR_US) == 120_000
    assert oracle.rate_nl_day(3 * DAY_US + 10 * HOUR_US) == 120_000


def test_a_clock_set_six_zones_east_moves_the_steps_and_no_dose():
    oracle = Oracle(0)
    oracle.program(0, week([(0, 100_000), (22 * 3600, 300_000)]))
    oracle.clock_set(12 * HOUR_US, 18 * 3600)
    assert oracle.rate_nl_day(15 * HOUR_US) == 100_000 and oracle.rate_nl_day(16 * HOUR_US) == 300_000
    assert oracle.demanded_nl(18 * HOUR_US) == Fraction(100_000 * 16 + 300_000 * 2, 24)


def test_stop_and_outage_are_missed_once_under_the_cause_that_began_first():
    oracle = Oracle()
    oracle.program(0, 240_000)
    oracle.stopped(10 * HOUR_US)
    oracle.stopped(11 * HOUR_US)
    oracle.resumed(14 * HOUR_US)
    oracle.outage(12 * HOUR_US, 16 * HOUR_US, "power")
    assert oracle.missed_nl(DAY_US) == {"stop": 40_000, "power": 20_000}
    assert oracle.demanded_nl(DAY_US) == 180_000
    assert oracle.gaps(DAY_US) == 2 and oracle.rate_nl_day(15 * HOUR_US) == 0


def test_prime_runs_until_its_volume_in_place_of_the_program():
    oracle = Oracle()
    oracle.prime(0, 375_000, 800_000)          # regimens.md B1: the bridge lasts 11.25 h
    oracle.program(0, 200_000)
    end = 45 * HOUR_US // 4
    assert oracle.rate_nl_day(end - 1) == 800_000 and oracle.rate_nl_day(end) == 200_000
    assert oracle.demanded_nl(end) == 375_000
    assert oracle.demanded_nl(end + HOUR_US) == 375_000 + Fraction(200_000, 24)


def test_a_stop_ends_a_prime_and_an_outage_takes_its_share():
    stopped, cut = Oracle(), Oracle()
    for oracle in (stopped, cut):
        oracle.prime(0, 240_000, 240_000)
    stopped.stopped(6 * HOUR_US)
    stopped.resumed(7 * HOUR_US)
    cut.outage(6 * HOUR_US, 7 * HOUR_US, "power")
    assert stopped.demanded_nl(2 * DAY_US) == 60_000 and stopped.missed_nl(2 * DAY_US) == {}
    assert cut.demanded_nl(2 * DAY_US) == 230_000 and cut.missed_nl(2 * DAY_US) == {"power": 10_000}


def test_refill_mixes_with_the_residual_as_published():
    oracle = Oracle(residual_nl=1_400_000, dead_nl=375_000)
    oracle.fill(0, 20_000_000, {"baclofen": 500})
    oracle.program(0, 400_000)
    oracle.fill(40 * DAY_US, 18_600_000, {"baclofen": 2000})
    tip = oracle.expected_tip(40 * DAY_US)
    assert tip.reservoir_conc_ng_ul == {"baclofen": 1895} and tip.reservoir_nl == 20_000_000  # regimens.md B1
    assert tip.conc_ng_ul == {"baclofen": 500}


def test_without_a_bridge_a_quarter_of_the_dose_lasts_45_hours():
    oracle = Oracle(residual_nl=0, dead_nl=375_000)      # regimens.md B1x
    oracle.fill(0, 20_000_000, {"baclofen": 500})
    oracle.program(0, 800_000)
    oracle.fill(10 * DAY_US, 20_000_000, {"baclofen": 2000})
    oracle.program(10 * DAY_US, 200_000)
    assert oracle.expected_tip(10 * DAY_US + 45 * HOUR_US - 1).conc_ng_ul == {"baclofen": 500}
    assert oracle.expected_tip(10 * DAY_US + 45 * HOUR_US).conc_ng_ul == {"baclofen": 2000}
    before = oracle.expected_tip(10 * DAY_US).dose_ng["baclofen"]
    assert oracle.expected_tip(10 * DAY_US + 45 * HOUR_US).dose_ng["baclofen"] - before == Fraction(375_000 * 500, 1000)


def test_drug_free_dead_volume_holds_the_first_dose_back():
    oracle = Oracle(dead_nl=300_000)
    oracle.fill(0, 20_000_000, {"morphine": "1000", "bupivacaine": 20_000})
    oracle.program(0, 300_000)
    assert oracle.expected_tip(DAY_US - 1).dose_ng == {"morphine": 0, "bupivacaine": 0}
    assert oracle.expected_tip(2 * DAY_US).dose_ng == {"morphine": 300_000, "bupivacaine": 6_000_000}
    assert oracle.head_dose_ng(DAY_US)["morphine"] == 300_000


def test_a_rinse_is_one_more_fill_and_a_sip_withdrawn_leaves_the_rest():
    oracle = Oracle(residual_nl=1_400_000, reservoir_nl=1_400_000)
    for _ in range(3):
        oracle.fill(0, 2_000_000, {"ziconotide": 25})
    left = Fraction(14, 34) ** 3
    assert oracle.expected_tip(0).reservoir_conc_ng_ul["ziconotide"] == 25 * (1 - left)
    oracle.fill(0, 0, {}, withdrawn_nl=1_000_000)
    assert oracle.expected_tip(0).reservoir_nl == 2_400_000


def test_mass_that_left_is_mass_at_tip_plus_mass_in_the_dead_volume():
    oracle = Oracle(dead_nl=375_000, residual_nl=1_400_000)
    oracle.fill(0, 18_000_000, {"baclofen": 500})
    oracle.program(0, 350_000)
    oracle.fill(30 * DAY_US, 18_000_000, {"baclofen": 2000})
    now = 30 * DAY_US + DAY_US // 2     # half a day at 350,000: the front stands inside the catheter
    inside = 175_000 * oracle.expected_tip(now).reservoir_conc_ng_ul["baclofen"] + 200_000 * 500
    assert oracle.head_dose_ng(now)["baclofen"] - oracle.expected_tip(now).dose_ng["baclofen"] == inside / 1000


def test_day_table_sums_to_the_totals():
    oracle = Oracle(9 * 3600, dead_nl=375_000)
    oracle.fill(0, 20_000_000, {"baclofen": 500})
    oracle.program(0, 300_000)
    oracle.outage(DAY_US, DAY_US + HOUR_US, "stall")
    table = oracle.day_table(5 * DAY_US // 2)
    assert [row["day"] for row in table] == [0, 1, 2]
    assert sum(row["demanded_nl"] for row in table) == float(oracle.demanded_nl(5 * DAY_US // 2))
    assert table[1]["missed_nl"] == {"stall": 12_500.0} and table[0]["missed_nl"] == {}
    assert table[0]["head_ng"] == {"baclofen": 150_000.0} and table[0]["tip_ng"] == {"baclofen": 0.0}


@pytest.mark.parametrize("tell, message", [
    (lambda o: o.program(0, [(5, 1)]), r"steps start at seconds \[5\]"),
    (lambda o: o.program(0, [(0, 1), (WEEK_S, 1)]), "stay below 604800"),
    (lambda o: o.program(0, -1), "rate_nl_day is -1"),
    (lambda o: o.prime(0, 1000, 0), "never ends"),
    (lambda o: o.resumed(5), "nothing was stopped"),
    (lambda o: o.outage(5, 4, "power"), "outage 'power' ends at 4 us"),
    (lambda o: week([(60, 1)]), "first step must be at second 0"),
    (lambda o: week([(0, 1), (86400, 1)]), "a day ends at second 86400"),
    (lambda o: week([(0, 1)], {7: [(0, 1)]}), "weekday is 7"),
])
def test_bad_input_gets_one_sentence(tell, message):
    with pytest.raises(ValueError, match=message):
        tell(Oracle())


# --- a second reckoning: everything falls on slices of half an hour, each slice decided on its own ------------------

rates = st.integers(0, 1_000_000)
instants = st.integers(0, SLICES - 1)


@st.composite
def timelines(draw):
    steps = draw(st.lists(st.tuples(st.integers(1, WEEK_S // SLICE_S - 1), rates), max_size=6, unique_by=lambda s: s[0]))
    flex = [(0, draw(rates)), *sorted((start * SLICE_S, rate) for start, rate in steps)]
    programs = sorted(draw(st.lists(st.tuples(instants, st.one_of(rates, st.just(flex))), max_size=4)), key=lambda p: p[0])
    stops = sorted(draw(st.sets(instants, max_size=4)))
    outages = draw(st.lists(st.tuples(instants, st.integers(0, 20)), max_size=3, unique_by=lambda o: o[0]))
    primes = draw(st.lists(st.tuples(instants, st.integers(1, 30), st.integers(1, 10_000_000)), max_size=2, unique_by=lambda p: p[0]))
    return draw(st.integers(0, WEEK_S // SLICE_S)) * SLICE_S, programs, stops, outages, primes


def reckon(start_s, programs, stops, outages, primes):
    """Demanded and missed volume (nL times 48) slice by slice, from the rules in the oracle's first lines."""
    windows = [(a, b, "stop") for a, b in zip(stops[::2], [*stops[1::2], SLICES + 1][:len(stops[::2])])]
    windows += [(a, a + length, f"outage {a}") for a, length in outages]
    demanded, missed = 0, {}
    for now in range(SLICES):
        rate = 0
        for start, segments in programs:
            if start <= now:
                in_week = (start_s + now * SLICE_S) % WEEK_S
                rate = segments if isinstance(segments, int) else [r for s, r in segments if s <= in_week][-1]
        for start, length, prime_rate in sorted(primes):
            cut = [s for s in stops[::2] if start <= s <= now] + [p for p, _, _ in primes if start < p <= now]
            if start <= now < start + length and not cut:
                rate = prime_rate
        reasons = [(a, cause) for a, b, cause in windows if a <= now < b]
        if reasons:
            cause = min(reasons, key=lambda reason: reason[0])[1]
            missed[cause] = missed.get(cause, 0) + rate
        else:
            demanded += rate
    return demanded, {cause: volume for cause, volume in missed.items() if volume}


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(timelines())
def test_any_timeline_agrees_with_the_slices(timeline):
    start_s, programs, stops, outages, primes = timeline
    oracle = Oracle(start_s)
    unit_us = SLICE_S * 1_000_000
    for start, segments in programs:
        oracle.program(start * unit_us, segments)
    for i, at in enumerate(stops):
        (oracle.resumed if i % 2 else oracle.stopped)(at * unit_us)
    for start, length in outages:
        oracle.outage(start * unit_us, (start + length) * unit_us, f"outage {start}")
    for start, length, rate in primes:
        oracle.prime(start * unit_us, Fraction(rate * length, 48), rate)
    demanded, missed = reckon(*timeline)
    end = SLICES * unit_us
    middle = end // 2 + 1
    assert oracle.demanded_nl(middle) <= oracle.demanded_nl(end) == Fraction(demanded, 48)
    assert oracle.missed_nl(end) == {cause: Fraction(volume, 48) for cause, volume in missed.items()}
    assert oracle.slack_nl(end) >= 0


def test_a_catheter_filled_by_hand_goes_through_the_tip_first():
    """0.176 mL of 2000 ng/uL behind 0.199 mL of the new drug: what was in the catheter before is gone, the dose at the head is not touched."""
    oracle = Oracle(dead_nl=375_000, tubing_nl=199_000, residual_nl=1_400_000)
    oracle.fill(0, 20_000_000, {"new": 500})
    oracle.program(0, 1_000_000)
    when = DAY_US * 199 // 1000                     # the tubing is full
    oracle.catheter(when, {"old": 2000})
    assert oracle.expected_tip(when - 1).conc_ng_ul == {} and oracle.expected_tip(when).conc_ng_ul == {"old": 2000}
    end = oracle.expected_tip(DAY_US)
    assert end.dose_ng == {"old": 352_000, "new": 500 * (1_000_000 - 375_000) // 1000} and end.conc_ng_ul == {"new": 500}
    assert oracle.head_dose_ng(DAY_US) == {"new": 500_000} and oracle.peak_conc_ng_ul(DAY_US) == {"old": 2000, "new": 500}
    assert set(oracle.day_table(DAY_US)[0]["tip_ng"]) == {"old", "new"}


def test_an_aspirated_catheter_leaves_a_hole_of_its_own_volume():
    oracle = Oracle(dead_nl=375_000, tubing_nl=199_000)
    oracle.fill(0, 20_000_000, {"x": 500})
    oracle.program(0, 1_000_000)
    oracle.catheter(DAY_US, {})
    assert oracle.expected_tip(DAY_US).conc_ng_ul == {}
    assert oracle.expected_tip(2 * DAY_US).dose_ng["x"] == 500 * (2_000_000 - 375_000 - 176_000) // 1000


def test_held_puts_its_rate_in_the_programs_place_and_gives_it_back():
    oracle = Oracle()
    oracle.program(0, 240_000)
    oracle.held(HOUR_US, 120_000)
    oracle.bolus(2 * HOUR_US, 5_000, 3600)
    oracle.program(3 * HOUR_US, 480_000)
    oracle.held(4 * HOUR_US, None, 300)
    assert [oracle.rate_nl_day(hour * HOUR_US) for hour in range(5)] == [240_000, 120_000, 240_000, 120_000, 480_000]
    assert oracle.demanded_nl(5 * HOUR_US) == 10_000 + 3 * 5_000 + 5_000 + 20_000
    assert oracle.slack_nl(5 * HOUR_US) > (480_000 - 120_000) * 300 / 86_400


def test_an_order_to_stop_goes_before_an_alarm_and_each_ends_by_itself():
    oracle = Oracle()
    oracle.program(0, 240_000)
    oracle.stopped(HOUR_US, "fault")
    oracle.stopped(2 * HOUR_US)
    assert oracle.stands(2 * HOUR_US) and oracle.stands(2 * HOUR_US, "fault") and not oracle.stands(HOUR_US)
    oracle.resumed(3 * HOUR_US)
    oracle.resumed(5 * HOUR_US, "fault")
    assert oracle.missed_nl(DAY_US) == {"stop": 10_000, "fault": 30_000} and oracle.rate_nl_day(5 * HOUR_US) == 240_000


def test_a_pause_can_be_ended_early():
    oracle = Oracle()
    oracle.program(0, 240_000)
    oracle.paused(HOUR_US, 3600)
    oracle.resumed(HOUR_US + HOUR_US // 2)
    assert oracle.missed_nl(DAY_US) == {"stop": 5_000}
