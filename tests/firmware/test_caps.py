"""Caps against exact references: every rolling window in fractions, by brute force. Never above one, and a bucket below one never refused."""

from fractions import Fraction
from itertools import accumulate
from math import ceil

import bare_pump
import pytest
from bolus_bench import BOLUS, BRIDGE, DAY_S, M3, MONDAY_S, NO_DRUG, Bare, Bench, drugs_of, named, program
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thecal.firmware import caps as cp
from thecal.firmware.limits import SMALL
from thecal.protocol import catalogue as cat
from thecal.protocol.catalogue import R_CAP

HOUR_S, WEEK_S, BUCKET_S = 3600, 7 * DAY_S, cp.BUCKET_S
ANY = {"hour_nl": 107_000_000, "day_nl": 107_000_000}     # caps that nothing reaches


# ---------------------------------------------------------------------------------------------------- what a cap is
@pytest.mark.req("TH-CAP-01")
def test_a_cap_is_a_mass_at_a_concentration_and_the_first_drug_met_counts():
    values = program(hour_nl=0, day_nl=0)
    assert list(cp.caps_of(values)) == [SMALL - 1, SMALL - 1]
    values.update({"concentration_1_ng_ml": 25_000, "cap_hour_1_ng": 800, "cap_day_1_ng": 19_200})     # ziconotide 25 ug/mL, 19.2 ug/day
    assert list(cp.caps_of(values)) == [32_000, 768_000]
    values.update({"concentration_2_ng_ml": 3_000_000, "cap_hour_2_ng": 100_000, "cap_day_2_ng": 1_000_000})
    assert list(cp.caps_of(values)) == [32_000, 333_333]            # rounded down
    values.update({"concentration_3_ng_ml": 100_000_000, "cap_hour_3_ng": 1, "cap_day_3_ng": SMALL - 1})
    assert list(cp.caps_of(values)) == [0, 333_333]                 # a cap below one nL is no missing cap
    assert list(cp.caps_of(program(concentration_ng_ml=1_000_000, cap_day_1_ng=SMALL - 1))) == [SMALL - 1, SMALL - 1]


@pytest.mark.parametrize(("old", "new", "share"), [
    ((500,), (2000,), Fraction(1, 4)), ((2000,), (500,), Fraction(4)), ((500,), (500,), Fraction(1)), ((1895, 7), (2000, 7), Fraction(1)),
    ((10, 20), (10, 10), Fraction(2)), ((100_000_000,), (1,), Fraction(65535)), ((), (500,), Fraction(1)), ((0, 7), (0, 14), Fraction(1, 2))])
def test_the_share_holds_no_less_of_any_drug(old, new, share):
    names = (b"a", b"b")

    def mixed(parts):
        row = []
        for name, part in zip(names, parts):
            row += [named(name) if part else NO_DRUG, part]
        return tuple(row)

    found = cp.share_of(mixed(old), mixed(new))
    assert Fraction(found >> 12, found & 4095) == share


def test_other_drugs_leave_nothing_behind():
    assert cp.share_of((named(b"a"), 5), (named(b"b"), 5)) >> 12 == 0


@given(st.integers(1, 100_000_000), st.integers(1, 100_000_000), st.integers(0, 24_000_000))
def test_a_share_is_rounded_up_and_stays_small(old, new, volume_nl):
    share = cp.share_of((named(b"a"), old), (named(b"a"), new))
    most, least = share >> 12, share & 4095
    assert 0 < most <= 65535 and 0 < least <= 4095 and share < SMALL
    exact = Fraction(volume_nl * old, new)
    found = cp._shared(volume_nl, share)
    assert found <= SMALL - 1
    if Fraction(old, new) <= 65535 and exact < SMALL // 2:
        assert exact <= found
    if Fraction(1, 50) < Fraction(old, new) < 50:
        assert found <= exact * Fraction(102, 100) + 1


# ---------------------------------------------------------------------------------------------------- the window
@pytest.mark.slow
@given(st.lists(st.tuples(st.one_of(st.integers(0, 900), st.integers(0, 200_000)), st.integers(0, 83_000)), max_size=80), st.integers(0, 1 << 29))
@settings(max_examples=200, deadline=None)
def test_the_window_holds_every_bucket_that_an_hour_or_a_day_touches(events, uptime_s):
    caps, noted = cp.Caps(), []
    caps.tick(uptime_s)
    for wait_s, volume_nl in events:
        uptime_s += wait_s
        caps.tick(uptime_s)
        caps.note(volume_nl, 0)
        noted.append((uptime_s // BUCKET_S, volume_nl))
        bucket = uptime_s // BUCKET_S
        assert caps.delivered_hour_nl == sum(nl for at, nl in noted if at >= bucket - 12)
        assert caps.delivered_day_nl == sum(nl for at, nl in noted if at >= bucket - 288)


@pytest.mark.req("TH-CAP-04")
def test_a_jump_of_hours_clears_the_right_buckets():
    caps = cp.Caps()
    for hour in range(24):
        caps.tick(hour * HOUR_S)
        caps.note(1000, 0)
    caps.tick(31 * HOUR_S)
    assert (caps.delivered_hour_nl, caps.delivered_day_nl) == (0, 17_000)       # those of 7..23 h
    caps.tick(47 * HOUR_S + 299)
    assert caps.delivered_day_nl == 1000
    caps.tick(47 * HOUR_S + 300)
    assert caps.delivered_day_nl == 0


def test_a_prime_reaches_no_patient():
    caps = cp.Caps()
    caps.note(1000, 1)
    assert caps.delivered_day_nl == 0


# ---------------------------------------------------------------------------------------------------- grant, against every exact window
RATE = st.integers(6000, 2_000_000)
DAY = st.lists(st.tuples(st.integers(1, 1439), RATE), max_size=5, unique_by=lambda step: step[0]).flatmap(
    lambda steps: RATE.map(lambda rate: [(0, rate), *sorted(steps)]))
WEEK = st.tuples(st.lists(DAY, min_size=1, max_size=3), st.lists(st.integers(0, 2), min_size=7, max_size=7)).map(
    lambda week: (week[0], bytes(day % len(week[0]) for day in week[1])))


def due_by(minutes, patterns, weekdays, from_s):
    """Prefix sums of what a program is due in each minute from `from_s`, in 1/86400 nL: read off the patterns, not the firmware's schedule."""
    rows = []
    for minute in range(minutes):
        at = from_s // 60 + minute
        pattern = patterns[weekdays[at // 1440 % 7]]
        rows.append([rate for start, rate in pattern if start <= at % 1440][-1] * 60)
    return [0, *accumulate(rows)]


@pytest.mark.slow
@pytest.mark.req("TH-CAP-03")
@given(WEEK, st.lists(st.integers(0, 3000), min_size=1, max_size=40), st.integers(0, 20_000), st.integers(0, 5 * 1440),
       st.integers(1000, 400_000), st.integers(1, 200), st.sampled_from([HOUR_S, DAY_S]), st.integers(0, 999))
@settings(max_examples=150, deadline=None)
def test_grants_nothing_above_an_exact_window_and_refuses_nothing_a_bucket_below(
        week, volumes, start_minute, history, volume_nl, minutes, window_s, acc_nl):
    """Minute by minute: what was delivered, the schedule ahead, the bolus as it runs; all windows that hold a part of the bolus."""
    patterns, weekdays = week
    pump = Bench(now_s=MONDAY_S, uptime_s=start_minute * 60)
    delivered = [volumes[index * 7 % len(volumes)] * (index % 11 < 4) for index in range(history)]
    for volume in delivered:
        pump.uptime_s += 60
        pump.caps.note(volume, 0)           # within the minute that ends here
        pump.caps.tick(pump.uptime_s)
    pump.load(program(patterns, weekdays, **ANY))
    pump.infusion.acc_nl = acc_nl
    window = window_s // 60
    flow = due_by(minutes + window, patterns, weekdays, MONDAY_S)
    rate = -(-volume_nl * DAY_S // (minutes * 60))
    bolus = [min(volume_nl * DAY_S, rate * 60 * minute) for minute in range(minutes + window + 1)]
    past = [0, *accumulate(delivered)]
    exact = 0
    for start in range(1 - window, minutes):        # minutes from now at which a window begins that touches the bolus
        begin, end = max(0, start), start + window
        inside = past[-1] - past[min(history, max(0, history + start))] if start < 0 else 0
        exact = max(exact, Fraction(inside * DAY_S + flow[end] - flow[begin] + bolus[end] - bolus[begin], DAY_S))
    five = BUCKET_S // 60
    buckets = [sum(delivered[at:at + five]) for at in range(history)]
    bucket = max(buckets + [Fraction((max(rate_ for pattern in patterns for _, rate_ in pattern) + rate) * BUCKET_S, DAY_S)])

    def refused(cap_nl):
        pump.caps.hour_nl, pump.caps.day_nl = (cap_nl, SMALL - 1) if window_s == HOUR_S else (SMALL - 1, cap_nl)
        return pump.caps.grant_refusal(pump, volume_nl, minutes * 60)

    assert refused(ceil(exact) - 1) == R_CAP
    assert refused(ceil(exact + bucket + acc_nl + 1)) == 0


@pytest.mark.req("TH-CAP-03")
def test_a_rule_that_only_looks_back_would_grant():
    """Known trap: delivered in the last 24 h plus the bolus is below the cap, but the night's rate runs into the same window."""
    day_nl, night_nl = 100_000, 900_000
    pump = Bench(now_s=MONDAY_S + 8 * HOUR_S)
    pump.load(program([[(0, night_nl), (480, day_nl), (1200, night_nl)]], **{**ANY, "day_nl": 650_000}))
    pump.run(11 * HOUR_S)           # 19 h: the night is an hour ahead
    bolus_nl = 200_000
    assert pump.caps.delivered_day_nl + bolus_nl < 300_000 < pump.caps.day_nl       # looking back there is room for twice as much
    assert pump.caps.grant_refusal(pump, bolus_nl, 600) == R_CAP
    assert pump.caps.grant_refusal(pump, 80_000, 600) == 0
    # It is right: with the bolus given all the same, a window does exceed.
    pump.start(BOLUS, bolus_nl, bolus_nl * 144)
    pump.run(14 * HOUR_S)
    assert pump.most(DAY_S) > 650_000 * DAY_S


@pytest.mark.req("TH-CAP-03")
def test_what_still_runs_counts_as_well():
    pump = Bench()
    pump.load(program(**{**ANY, "hour_nl": 100_000}))
    pump.start(BOLUS, 60_000, 60_000 * 48)
    assert pump.caps.grant_refusal(pump, 30_000, 600) == R_CAP
    pump.cut()
    assert pump.caps.grant_refusal(pump, 30_000, 600) == 0


# ---------------------------------------------------------------------------------------------------- commit
@pytest.mark.slow
@pytest.mark.req("TH-CAP-02")
@given(WEEK, st.integers(1, 26 * 60))
@settings(max_examples=60, deadline=None)
def test_the_worst_window_of_a_week_is_that_of_every_minute(week, minutes):
    patterns, weekdays = week
    pump = Bench()
    flow = due_by(7 * 1440 + minutes, patterns, weekdays, 0)
    assert cp.worst(pump.schedule_of(program(patterns, weekdays)), minutes * 60) == max(flow[at + minutes] - flow[at] for at in range(7 * 1440 + 1))


def test_a_program_may_run_at_its_cap_be_raised_to_it_and_be_committed_again():
    """Z2: 19.2 ug/day of ziconotide at 25 ug/mL is 0.768 mL/day, and so is its hard limit."""
    pump = Bench()
    at_cap = program([[(0, 768_000)]], hour_nl=32_000, day_nl=768_000)
    assert pump.commit(program([[(0, 672_000)]], hour_nl=32_000, day_nl=768_000)) == 0
    pump.run(30 * HOUR_S + 137)
    assert pump.commit(at_cap) == 0
    pump.run(50 * HOUR_S + 61)
    assert pump.commit(at_cap) == 0
    pump.run(30 * HOUR_S)
    assert pump.refusal(program([[(0, 768_001)]], hour_nl=40_000, day_nl=768_000)) == R_CAP
    assert pump.refusal(program([[(0, 768_000)]], hour_nl=31_999, day_nl=768_000)) == R_CAP
    assert pump.exceeded == 0


@pytest.mark.req("TH-CAP-02")
def test_the_fallback_must_fit_too():
    pump = Bench()
    assert pump.refusal(program(fallback_nl_day=400_000, hour_nl=100_000, day_nl=400_000)) == 0
    assert pump.refusal(program(fallback_nl_day=400_001, hour_nl=100_000, day_nl=400_000)) == R_CAP


@pytest.mark.req("TH-CAP-02")
def test_all_patient_boluses_count_at_commit():
    """M3: 0.4 mL/day and 4 x 20 uL; a bucket and two pulses of room, no more."""
    pump = Bench()
    worst_nl = 400_000 + 80_000
    bucket_nl = 10_000 + ceil(Fraction(400_000 * BUCKET_S, DAY_S))      # five minutes: half a bolus and the basal rate
    assert pump.refusal(program(hour_nl=300_000, day_nl=worst_nl - 1, **M3)) == R_CAP
    assert pump.refusal(program(hour_nl=300_000, day_nl=worst_nl + bucket_nl + 2000, **M3)) == 0
    assert pump.refusal(program(hour_nl=300_000, day_nl=worst_nl + bucket_nl + 2000, **{**M3, "per_day": 5})) == R_CAP
    hour_nl = ceil(Fraction(400_000, 24)) + 20_000
    assert pump.refusal(program(hour_nl=hour_nl - 2, day_nl=900_000, **M3)) == R_CAP
    assert pump.refusal(program(hour_nl=hour_nl + bucket_nl - 10_000 + 2000, day_nl=900_000, **M3)) == 0


@pytest.mark.req("TH-CAP-02")
def test_what_the_old_program_delivered_counts_until_it_has_aged():
    pump = Bench()
    caps = {"hour_nl": 200_000, "day_nl": 1_000_000}
    assert pump.commit(program([[(0, 900_000), (720, 48_000)]], **caps)) == 0
    pump.run(12 * HOUR_S)               # 450 uL in the first half of Monday
    steep = program([[(0, 48_000), (720, 1_500_000)]], **caps)      # 774 uL a day by itself
    assert Bench().refusal(steep) == 0
    assert pump.refusal(steep) == R_CAP             # 450 + 750 before midnight
    pump.run(24 * HOUR_S)
    assert pump.refusal(steep) == R_CAP             # the second morning's 450 as well
    pump.load(program([[(0, 48_000)]], **caps))
    pump.run(24 * HOUR_S)
    assert pump.commit(steep) == 0


def test_granted_boluses_are_not_counted_twice_behind_a_commit():
    """The counts live on through a commit, so the same program fits again when all its boluses have just been given."""
    pump = Bench()
    values = program(hour_nl=300_000, day_nl=400_000 + 80_000 + 10_000 + 1400 + 2000, **M3)
    assert pump.commit(values) == 0
    for _ in range(60):
        pump.request()
        pump.run(900)
    assert pump.bolus.granted_day() == 4
    assert pump.commit(values) == 0
    pump.bolus.assume_used()
    assert pump.refusal(values) == 0


def test_a_lower_rate_is_the_way_out_of_a_full_window():
    """What lies behind cannot be undone: lowering is not refused for it, anything else is; row 4 has been said."""
    pump = Bench()
    assert pump.commit(program([[(0, 900_000)]], hour_nl=200_000, day_nl=900_000)) == 0
    pump.run(DAY_S)
    caps = {"hour_nl": 100_000, "day_nl": 600_000}
    assert pump.refusal(program([[(0, 600_000)]], **{**caps, "day_nl": 500_000})) == R_CAP         # above its own cap
    assert pump.refusal(program([[(0, 300_000)]], **caps, **M3)) == R_CAP                          # boluses are no way out
    pump.delivering = False
    assert pump.refusal(program([[(0, 300_000)]], **caps)) == R_CAP                                # stopped: anything is more
    pump.delivering = True
    assert pump.commit(program([[(0, 600_000)]], **caps)) == 0
    pump.run(3 * DAY_S)
    assert pump.exceeded == 0 and pump.caps.delivered_day_nl <= 603_000


# ---------------------------------------------------------------------------------------------------- a patient's normal life
RULES = st.fixed_dictionaries({
    "bolus_nl": st.integers(2000, 60_000), "bolus_s": st.integers(1, 90).map(lambda minutes: minutes * 60), "lockout_min": st.integers(5, 300),
    "per_day": st.integers(1, 16), "interval_h": st.integers(0, 12), "per_interval": st.integers(1, 4)})


def program_of(week, found, **caps):
    patterns, weekdays = week
    rules = {**found, "lockout_min": max(found["lockout_min"], found["bolus_s"] // 60), "released": 1,
             "per_interval": min(found["per_interval"], found["per_day"]) if found["interval_h"] else 0}
    return program(patterns, weekdays, **{**ANY, **caps}, **rules)


def least_caps(pump, week, rules):
    """The lowest caps, by bisection, at which this program is accepted as things stand; None when there are none."""
    found = {}
    for name in ("hour_nl", "day_nl"):
        low, high = 0, ANY[name]
        if pump.refusal(program_of(week, rules, **{**found, name: high})):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if pump.refusal(program_of(week, rules, **{**found, name: middle})) else (low, middle)
        found[name] = high
    return found


def live(pump, wishes, hours):
    """The patient asks in every minute in which the rules let him, apart from `wishes`: (minutes to wait, minute of the cut)."""
    minutes, turn, wait, cut, refused = hours * 60, 0, 0, -1, []
    for _ in range(minutes):
        if pump.infusion.extra == 0 and wait <= 0:
            reason = pump.bolus.refusal(pump) if pump.bolus.lockout_s() == 0 else 0
            refused += [reason] if reason == R_CAP else []
            if reason == 0 and pump.bolus.lockout_s() == 0:
                assert pump.request() == 0
                wait, cut = wishes[turn % len(wishes)]
                turn += 1
        elif pump.infusion.extra and cut == 0:
            pump.cut()
        wait, cut = wait - 1, cut - 1
        pump.run(60)
    return refused


@pytest.mark.slow
@pytest.mark.req("TH-CAP-07")
@given(WEEK, WEEK, RULES, RULES, st.lists(st.tuples(st.integers(0, 400), st.integers(-1, 60)), min_size=1, max_size=6), st.integers(0, 30),
       st.integers(0, 7 * 1440), st.sampled_from([200, 1000, 4000]))
@example(   # two remainders below a nL were the nL too many
    ([[(0, 95_350), (245, 24_210), (295, 40_879), (377, 2_000_000)]], bytes(7)), ([[(0, 13_161), (217, 801_267)]], bytes(7)),
    {"bolus_nl": 17_318, "bolus_s": 3720, "lockout_min": 299, "per_day": 9, "interval_h": 3, "per_interval": 3},
    {"bolus_nl": 3283, "bolus_s": 1200, "lockout_min": 249, "per_day": 4, "interval_h": 8, "per_interval": 1},
    [(356, 30), (294, 58), (64, 56), (296, 19), (314, 20)], 3, 887, 200)
@settings(max_examples=20, deadline=None)
def test_no_patient_is_refused_by_a_cap_in_a_normal_life(before, week, old_rules, rules, wishes, hours, minute, pulse_nl):
    """Any old program, then any new one at the very lowest caps that are accepted: no bolus is ever refused for a cap, none exceeds one."""
    pump = Bench(pulse_nl, now_s=MONDAY_S + minute * 60, uptime_s=minute * 13 % 997 * 60)
    if hours:
        pump.load(program_of(before, old_rules))
        live(pump, wishes, hours)
    while pump.infusion.extra:          # no program is committed beside a bolus (firmware/modes.py)
        pump.run(60)
    caps = least_caps(pump, week, rules)
    assert caps is not None
    assert pump.commit(program_of(week, rules, **caps)) == 0
    committed_s = pump.uptime_s
    assert live(pump, wishes, 30) == [] and live(pump, [(0, -1)], 30) == []
    assert pump.exceeded == 0
    for window_s, cap_nl in ((HOUR_S, caps["hour_nl"]), (DAY_S, caps["day_nl"])):
        assert pump.most(window_s, committed_s) <= cap_nl * DAY_S


@pytest.mark.slow
@given(WEEK, WEEK, st.integers(1, 30), st.integers(0, 7 * 1440))
@settings(max_examples=20, deadline=None)
def test_without_boluses_the_lowest_cap_is_that_of_the_fullest_window(before, week, hours, minute):
    """At a bucket's beginning straddling windows are exact: the lowest cap is that of the worst window, to 2 pulses and 5 min of rise."""
    pump = Bench(now_s=MONDAY_S + minute * 60)
    pump.load(program(*before, **ANY))
    pump.run(hours * HOUR_S)
    pump.delivering = False                 # no way out by falling
    rules = {"bolus_nl": 0, "bolus_s": 0, "lockout_min": 0, "per_day": 0, "interval_h": 0, "per_interval": 0}
    caps = least_caps(pump, week, rules)
    pump.delivering = True
    pump.load(program(*week, **caps))
    committed_s = pump.uptime_s
    pump.run(8 * DAY_S)
    assert pump.exceeded == 0
    rise = max(rate for pattern in week[0] for _, rate in pattern) * BUCKET_S
    for window_s, cap_nl in ((HOUR_S, caps["hour_nl"]), (DAY_S, caps["day_nl"])):
        own, most = cp.worst(pump.schedule, window_s), pump.most(window_s, committed_s + BUCKET_S)
        assert own <= cap_nl * DAY_S and most <= (cap_nl + 2000) * DAY_S + rise
        assert cap_nl <= max(ceil(Fraction(own, DAY_S)), ceil(Fraction(pump.most(window_s, committed_s), DAY_S)))


# ---------------------------------------------------------------------------------------------------- another drug in the head
def bridged(old_ng_ml, new_ng_ml, old_rate, new_rate, bridge_nl, **caps):
    """B1: the same dose from another concentration, the catheter's content first. Returns the pump and the new program's values."""
    pump = Bench()
    cap_day_ng = caps.pop("day_ng")
    old = program([[(0, old_rate)]], concentration_ng_ml=old_ng_ml, cap_hour_1_ng=cap_day_ng // 4, cap_day_1_ng=cap_day_ng)
    new = program([[(0, new_rate)]], concentration_ng_ml=new_ng_ml, cap_hour_1_ng=cap_day_ng // 4, cap_day_1_ng=cap_day_ng,
                  bridge_nl=bridge_nl, bridge_rate_nl_day=old_rate)
    assert pump.commit(old) == 0
    pump.run(30 * HOUR_S)
    return pump, old, new


def cross(pump, old, new):
    """Commit over a bridge and let it run out."""
    reason = pump.refusal(new)
    if reason == 0:
        share = cp.share_of(drugs_of(old), drugs_of(new))
        hour_nl, day_nl = pump.caps.hour_nl, pump.caps.day_nl
        pump.load(new)
        pump.caps.hold_old(hour_nl, day_nl, share)
        pump.start(BRIDGE, new["bridge_nl"], new["bridge_rate_nl_day"])
    return reason


@pytest.mark.req("TH-CAP-06")
@pytest.mark.parametrize(("old_ng_ml", "new_ng_ml", "old_rate", "new_rate"), [
    (500_000, 2_000_000, 800_000, 200_000), (2_000_000, 500_000, 200_000, 800_000)])
def test_a_bridge_runs_under_the_old_caps_and_its_mass_is_counted_on(old_ng_ml, new_ng_ml, old_rate, new_rate):
    """B1 at 400 ug/day, up to a cap of 403 ug: neither 0.8 mL of the thin drug nor 0.2 mL of the strong one is more than the other."""
    pump, old, new = bridged(old_ng_ml, new_ng_ml, old_rate, new_rate, 375_000, day_ng=406_000)
    assert cross(pump, old, new) == 0
    assert (pump.caps.hour_nl, pump.caps.day_nl) == tuple(cp.caps_of(old))
    pump.run(HOUR_S)
    assert pump.refusal({**new, "bridge_nl": pump.infusion.extra_left_nl}) == 0          # restated
    pump.run(60 * HOUR_S)
    assert pump.infusion.extra == 0 and pump.exceeded == 0
    assert (pump.caps.hour_nl, pump.caps.day_nl) == tuple(cp.caps_of(new))
    dose_ng = pump.caps.delivered_day_nl * new_ng_ml // 1_000_000
    assert 390_000 < dose_ng < 408_000
    assert pump.commit({**new, "bridge_nl": 0, "bridge_rate_nl_day": 0}) == 0


@pytest.mark.req("TH-CAP-06")
def test_behind_a_bridge_the_old_drug_is_mass_not_volume():
    """2000 -> 500 ug/mL: at the end 24 h hold 0.2 mL of the strong drug: 0.8 mL of the weak one."""
    pump, old, new = bridged(2_000_000, 500_000, 200_000, 800_000, 100_000, day_ng=406_000)
    cross(pump, old, new)
    pump.run(11 * HOUR_S + 58 * 60)
    before_nl = pump.caps.delivered_day_nl
    pump.run(3 * 60)
    assert pump.infusion.extra == 0
    assert 4 * before_nl <= pump.caps.delivered_day_nl <= 4 * before_nl + 12_000
    assert pump.caps.grant_refusal(pump, 40_000, 600) == R_CAP


@pytest.mark.req("TH-CAP-06")
def test_a_bridge_that_is_too_fast_is_refused_by_the_old_caps_and_a_sum_by_the_new():
    pump, _, new = bridged(500_000, 2_000_000, 800_000, 200_000, 375_000, day_ng=470_000)
    assert pump.refusal(new) == 0
    assert pump.refusal({**new, "bridge_rate_nl_day": 1_400_000}) == R_CAP          # 375 uL in 6.4 h behind 586 uL in the 17.6 h before: 480 ug
    assert pump.refusal({**new, "bridge_rate_nl_day": 1_400_000, "cap_day_1_ng": 900_000}) == R_CAP       # of the old program's own cap
    faster = {**new, "bridge_rate_nl_day": 900_000}
    assert pump.refusal(faster) == 0
    assert pump.refusal({**faster, "cap_day_1_ng": 415_000}) == R_CAP               # the new program's cap is lower than that


def test_a_slower_bridge_is_a_way_out_too():
    pump, _, new = bridged(500_000, 2_000_000, 800_000, 200_000, 375_000, day_ng=470_000)
    pump.caps.day_nl = 500_000
    assert pump.refusal({**new, "bridge_rate_nl_day": 480_000, "steps": program([[(0, 120_000)]])["steps"]}) == 0
    assert pump.refusal({**new, "bridge_rate_nl_day": 801_000}) == R_CAP


def test_without_a_bridge_the_change_is_counted_at_once():
    pump, old, new = bridged(2_000_000, 500_000, 200_000, 800_000, 0, day_ng=406_000)
    new = {**new, "bridge_nl": 0, "bridge_rate_nl_day": 0}
    assert pump.refusal(new) == 0
    assert pump.refusal({**new, "steps": program([[(0, 820_000)]])["steps"]}) == R_CAP
    before_nl = pump.caps.delivered_day_nl
    pump.load(new, cp.share_of(drugs_of(old), drugs_of(new)))
    assert pump.caps.delivered_day_nl == 4 * before_nl


# ---------------------------------------------------------------------------------------------------- row 4
@pytest.mark.req("TH-ALM-04")
def test_a_defect_is_seen_before_the_pulse_that_exceeds():
    pump = Bench()
    pump.load(program([[(0, 480_000)]], hour_nl=60_000, day_nl=500_000))
    pump.start(BOLUS, 70_000, 70_000 * 48)          # no check of any kind let it in
    pump.run(25 * 60)
    assert pump.exceeded == cp.BOLUSES and pump.caps.delivered_hour_nl <= 70_000
    runaway = Bench()
    runaway.load(program([[(0, 480_000)]], hour_nl=30_000, day_nl=500_000))
    runaway.schedule = runaway.schedule_of(program([[(0, 1_000_000)]]))     # more than was ever checked
    runaway.run(HOUR_S)
    assert runaway.exceeded == cp.BASAL
    slow = Bench()
    slow.load(program([[(0, 480_000)]], hour_nl=30_000, day_nl=400_000))
    slow.run(19 * HOUR_S)
    assert slow.exceeded == 0
    slow.run(2 * HOUR_S)
    assert slow.exceeded == cp.BASAL


@pytest.mark.req("TH-ALM-04", "TH-CAP-03")
@pytest.mark.parametrize("outage_s", [0, 1])
def test_a_fall_that_was_let_into_a_window_above_its_cap_is_no_defect(outage_s):
    """The hour before the fall held more than the new cap, though not yet at the commit: the way out must not end in a fallback (row 4)."""
    pump = bare_pump.Bench()
    pump.program(48_000)
    pump.run_s(2 * HOUR_S)
    pump.program(4_000_000)
    pump.run_s(400)
    lower = {**bare_pump.simple_program(600_000, 6000), "cap_hour_1_ng": 13_000, "cap_day_1_ng": 400_000}      # 26 uL, 800 uL
    assert pump.app.caps.delivered_hour_nl < 26_000
    pump.must(cat.PROGRAM, lower)
    if outage_s:
        pump.reboot(outage_s)
    pump.run_s(2400)
    assert pump.app.caps.delivered_hour_nl > 30_000 and not pump.app.alarms.is_active(4) and pump.app.rate == 600_000


FAST_NL_DAY, FAST_S = 1_000_001, 6 * HOUR_S


def tight_flex(start_s=0):
    """A whole pump that runs 250 uL to 06:00 and 36 uL behind it, under caps that hold no more than that and a pulse."""
    pump = bare_pump.Bench(epoch_s=MONDAY_S + start_s)
    values = bare_pump.flex_program([[(0, FAST_NL_DAY), (FAST_S // 60, 48_000)]], bytes(7), 6000)
    strength = values["concentration_1_ng_ml"]
    values["cap_hour_1_ng"], values["cap_day_1_ng"] = (FAST_NL_DAY // 24 + 1000) * strength // 10**6, (FAST_NL_DAY // 4 + 37_000) * strength // 10**6
    pump.must(cat.PROGRAM, values)
    return pump


def row_4(pump):
    return pump.app.alarms.is_active(4)


@pytest.mark.req("TH-ALM-04", "TH-ALM-12")
@pytest.mark.parametrize("how", ["step", "drift", "set", "before a reset", "two"])
def test_a_tolerated_clock_that_goes_back_gives_no_step_twice(how):
    """Row 12 is silent for up to 5 min: five minutes more of the fast step would be 3 uL of the day's 287; at the day's flat rate they are one."""
    pump = tight_flex()
    pump.run_s(27 * HOUR_S)
    if how == "drift":
        for _ in range(145):
            pump.rtc_s -= 1
            pump.run_s(60)
        pump.rtc_s -= 145
    elif how != "set":
        pump.rtc_s -= 299
        pump.run_s(HOUR_S)
    if how in ("set", "two", "before a reset"):
        pump.wake()
        pump.must(cat.SET_CLOCK, {"time_s": pump.app.now_s - 290})
    if how == "before a reset":
        pump.reboot(2)
    while pump.app.now_s % DAY_S < FAST_S + 60:
        pump.run_s(60)
    day_s = pump.app.now_s
    assert pump.app.caps.delivered_day_nl <= pump.app.caps.day_nl + (2000 if how in ("two", "before a reset") else 1000)
    while pump.app.now_s < day_s + DAY_S:
        assert pump.app.alarms.latched == 0 and pump.app.rate == pump.app.program_rate
        pump.run_s(600)


@pytest.mark.req("TH-ALM-04", "TH-ALM-12")
@pytest.mark.parametrize("how", ["step", "set", "before a reset"])
def test_a_step_that_a_tolerated_clock_brings_nearer_is_no_defect(how):
    """290 s of the next day's fast step come within 24 h of the last one's: the window is over its cap by 3 uL."""
    pump = tight_flex()
    pump.run_s(22 * HOUR_S)
    pump.wake()
    if how == "set":
        pump.must(cat.SET_CLOCK, {"time_s": pump.app.now_s + 290})
    else:
        pump.rtc_s += 290
        pump.run_s(1000)
    if how == "before a reset":
        pump.reboot(2)
    over_nl = 0
    for _ in range(100):
        pump.run_s(300)
        over_nl = max(over_nl, pump.app.caps.delivered_day_nl - pump.app.caps.day_nl)
    assert over_nl > 2000 and pump.app.alarms.latched == 0


@pytest.mark.req("TH-ALM-04")
@pytest.mark.parametrize("back_h", [2, 5])
def test_hours_that_are_ordered_to_come_again_are_stopped_at_the_cap(back_h):
    """Also at the flat rate a clock set back by hours may bring more than a cap without room: row 4 comes as ever, and the fallback stays through resets."""
    pump = tight_flex()
    pump.run_s(30 * HOUR_S)
    pump.wake()
    pump.must(cat.SET_CLOCK, {"time_s": pump.app.now_s - back_h * HOUR_S})
    pump.run_s((back_h + 1) * HOUR_S)
    assert row_4(pump) and pump.app.rate == 6000 and pump.app.caps.delivered_day_nl <= pump.app.caps.day_nl + 1000 + 12 * 300
    held_nl = pump.app.caps.delivered_day_nl
    for _ in range(3):
        pump.reboot(2)
        pump.run_s(HOUR_S)
    assert row_4(pump) and pump.app.rate == 6000 and pump.app.caps.delivered_day_nl <= held_nl
    pump.run_s(20 * HOUR_S)
    pump.must(cat.ACKNOWLEDGE, {"row": 4})
    assert not row_4(pump) and pump.app.rate in (48_000, FAST_NL_DAY)


@pytest.mark.req("TH-ALM-40", "TH-ALM-34")
def test_row_4_ends_by_being_seen_once_the_windows_are_under_the_caps():
    """No reset is needed for it; while a window is over its cap it stays, and neither a resume nor a program takes it away unseen."""
    pump = tight_flex()
    pump.run_s(30 * HOUR_S)
    pump.must(cat.SET_CLOCK, {"time_s": pump.app.now_s - 5 * HOUR_S})
    while not row_4(pump):
        pump.run_s(60)
    pump.must(cat.ACKNOWLEDGE, {"row": 4})
    assert row_4(pump) and pump.app.rate == 6000, "the day's window is over its cap"
    pump.run_s(24 * HOUR_S)
    assert row_4(pump), "nobody has seen it"
    pump.pause(1)
    pump.resume()
    pump.must(cat.PROGRAM, bare_pump.simple_program(48_000))
    assert row_4(pump)
    pump.must(cat.ACKNOWLEDGE, {"row": 0})
    assert not row_4(pump) and pump.app.rate == pump.app.program_rate
    pump.run_s(HOUR_S)
    assert pump.app.alarms.latched == 0


@pytest.mark.req("TH-ALM-04", "TH-CAP-03")
def test_a_clock_that_moves_lets_no_bolus_in_and_no_more_than_ten_minutes_a_day():
    pump = Bench()
    pump.load(program([[(0, 864_000)]], hour_nl=60_000, day_nl=900_000))
    pump.run(HOUR_S)
    room_nl = max(nl for nl in range(1000, 30_000, 500) if pump.caps.grant_refusal(pump, nl, 600) == 0)
    for back_s in (290, -290) * 5:
        pump.caps.clock(back_s, 864_000)
    assert max(nl for nl in range(1000, 30_000, 500) if pump.caps.grant_refusal(pump, nl, 600) == 0) == room_nl
    pump.schedule = pump.schedule_of(program([[(0, 2_000_000)]]))       # more than was ever checked
    while not pump.exceeded:
        pump.run(60)
    over_nl = 600 * 11
    assert 60_000 + over_nl <= pump.caps.delivered_hour_nl <= 60_000 + over_nl + 300 * 24 + 2000
    pump.caps.clock(3600, 2_000_000)                # what was ordered by the hour is no excuse
    assert pump.caps.exceeded(1000, 2_000_000) == cp.BASAL


@pytest.mark.parametrize("step_s", [1, 7, 60])
def test_at_the_cap_nothing_is_exceeded(step_s):
    pump = Bench(pulse_nl=4000)
    assert pump.commit(program([[(0, 2_400_000)]], hour_nl=100_000, day_nl=2_400_000)) == 0
    pump.run(30 * HOUR_S if step_s > 1 else 3 * HOUR_S, step_s)
    assert pump.exceeded == 0


# ---------------------------------------------------------------------------------------------------- behind a reset
def records_of(pump, now_s, tick_s=300, late_s=0):
    """(age, nl) newest first, as history.recent gives them: a record each `tick_s`, written `late_s` after it."""
    rows, start = [], now_s
    volumes = {}
    for end_s, nl in pump.pulsed:
        at = -(-(end_s - late_s) // tick_s) * tick_s + late_s
        volumes[at] = volumes.get(at, 0) + nl
    for at in sorted(volumes, reverse=True):
        rows.append((max(0, start - at), volumes[at]))
    return rows


def restored(pump, records, whole=True, outage_s=0, uptime_s=0):
    """A booted pump over the same state."""
    fresh = Bench(now_s=pump.now_s + outage_s, uptime_s=uptime_s)
    fresh.settings = pump.settings
    fresh.settings.steady_s += outage_s
    aged = [(age_s + outage_s, nl) for age_s, nl in records]
    fresh.history = Bare(whole=whole, recent=lambda now_s, ledger, window_s: iter([row for row in aged if row[0] < window_s]))
    return fresh


@pytest.mark.req("TH-CAP-05")
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), min_size=1, max_size=60), st.integers(0, 299), st.integers(0, 90_000),
       st.integers(0, 299))
@settings(max_examples=100, deadline=None)
def test_the_window_is_rebuilt_no_younger_less_and_at_most_two_buckets_more(pulses, late_s, outage_s, uptime_s):
    pump = Bench()
    pump.load(program(**ANY))
    pump.pulsed = []
    for wait_min, count in pulses:
        pump.uptime_s += wait_min * 60
        pump.caps.tick(pump.uptime_s)
        for _ in range(count):
            pump.caps.note(1000, 0)
        pump.pulsed.append((pump.uptime_s, count * 1000))
    now_s = pump.uptime_s
    fresh = restored(pump, records_of(pump, now_s, late_s=late_s), outage_s=outage_s, uptime_s=uptime_s)
    fresh.load(program(**ANY))
    fresh.caps.restore(fresh)
    for window_s, found in ((HOUR_S, fresh.caps.delivered_hour_nl), (DAY_S, fresh.caps.delivered_day_nl)):
        ages = [(now_s + outage_s - end_s, nl) for end_s, nl in pump.pulsed]
        assert sum(nl for age, nl in ages if age <= window_s) <= found
        assert found <= sum(nl for age, nl in ages if age <= window_s + 3 * BUCKET_S)


@pytest.mark.req("TH-CAP-05")
def test_a_window_that_cannot_be_rebuilt_is_full_for_grants_and_no_obstacle_for_programs():
    pump = Bench()
    values = program(hour_nl=100_000, day_nl=500_000)
    fresh = restored(pump, [(0, 1000)], whole=False)
    fresh.load(values)
    fresh.caps.restore(fresh)
    assert 490_000 < fresh.caps.delivered_day_nl <= 500_000
    assert fresh.caps.grant_refusal(fresh, 1000, 600) == R_CAP
    assert fresh.commit(values) == 0                    # a program must be possible, and this one is within what was
    fresh.run(DAY_S)
    assert fresh.caps.grant_refusal(fresh, 1000, 600) == R_CAP and fresh.exceeded == 0
    fresh.run(BUCKET_S)
    assert fresh.caps.grant_refusal(fresh, 1000, 600) == 0


def test_a_restored_window_above_the_caps_was_said_before_the_reset():
    """Row 4 outlasts a reset by itself; it is not raised anew for the same excess. Boluses are refused until that has aged."""
    fresh = restored(Bench(), [(HOUR_S, 700_000)])
    fresh.load(program([[(0, 240_000)]], hour_nl=100_000, day_nl=500_000))
    fresh.caps.restore(fresh)
    fresh.run(22 * HOUR_S)
    assert fresh.exceeded == 0 and fresh.caps.grant_refusal(fresh, 1000, 600) == R_CAP
    fresh.run(2 * HOUR_S)
    assert fresh.caps.grant_refusal(fresh, 1000, 600) == 0


def test_a_restored_window_counts_the_old_drug_as_the_new_one():
    pump = Bench(uptime_s=100 * HOUR_S)
    pump.settings.old_share, pump.settings.switched_s = 4 << 12 | 1, pump.settings.steady_s - 2 * HOUR_S
    fresh = restored(pump, [(HOUR_S, 1000), (3 * HOUR_S, 1000), (30 * HOUR_S, 1000)])
    fresh.load(program(**ANY))
    fresh.caps.restore(fresh)
    assert fresh.caps.delivered_day_nl == 1000 + 4000
    for share, held_nl in ((0, 2000), (4 << 12 | 1, 5000)):
        pump.settings.old_share = share
        bridging = restored(pump, [(HOUR_S, 1000), (3 * HOUR_S, 1000)])
        bridging.load(program(**ANY))
        bridging.caps.hold_old(1, 1, 1 << 12 | 4)
        bridging.caps.restore(bridging)
        assert bridging.caps.delivered_day_nl == held_nl        # all of it is the drug that is in the head, or became it by the change before


@pytest.mark.req("TH-CAP-05", "TH-CAP-01")
@pytest.mark.parametrize("reset", ["never", "bridging", "behind"])
@pytest.mark.parametrize("first, second", [(500_000, 2_000_000), (2_000_000, 500_000)])
def test_a_drug_that_was_changed_and_changed_back_within_a_day_counts_in_full(first, second, reset):
    """What was given first is the same drug again: with a reset no window forgets it, or takes it for a quarter."""
    pump = bare_pump.Bench()
    pump.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})

    def run(strength, bridge):
        drug = dict(bare_pump.DRUG, concentration_1_ng_ml=strength)
        pump.refill(17_000, drug)
        values = {**bare_pump.simple_program(480_000, 6000), **drug}
        if bridge:
            values.update(bridge_nl=2000, bridge_rate_nl_day=400_000, overrides=1, override_why=1)     # less than is due
        pump.must(cat.PROGRAM, values)

    run(first, False)
    pump.run_s(3 * HOUR_S)
    run(second, True)
    pump.run_s(2 * HOUR_S)
    run(first, True)
    if reset == "bridging":
        pump.reboot(1)
    pump.run_s(HOUR_S)
    if reset == "behind":
        pump.reboot(1)
    held_nl, exact_nl = pump.app.caps.delivered_day_nl, 3 * 20_000 + 2 * 20_000 * second // first + 20_000
    assert exact_nl - 4000 <= held_nl
    assert reset != "never" or held_nl <= exact_nl + 4 * 4000


def test_behind_two_changes_within_a_day_the_larger_account_holds():
    """2000 -> 500 -> 2000 ug/mL: a nL of the first counts one, not a quarter, and one of the second is not told from it."""
    record = Bench(uptime_s=100 * HOUR_S).settings
    record.old_share, record.switched_s = 4 << 12 | 1, record.steady_s - 2 * HOUR_S
    assert cp.behind(record, 1 << 12 | 4) == cp.ONE
    assert cp.behind(record, 2 << 12 | 1) == 8 << 12 | 1
    record.old_share = 1 << 12 | 4
    assert cp.behind(record, 2 << 12 | 1) == 2 << 12 | 1
    record.old_share, record.switched_s = 4 << 12 | 1, record.steady_s - 25 * HOUR_S
    assert cp.behind(record, 1 << 12 | 4) == 1 << 12 | 4     # a day is over: nothing of the first is in a window
    record.old_share = 0
    assert cp.behind(record, 1 << 12 | 4) == 1 << 12 | 4


def test_at_the_cap_nothing_is_exceeded_behind_a_reset():
    pump = Bench()
    values = program([[(0, 2_400_000)]], hour_nl=100_000, day_nl=2_400_000)
    assert pump.commit(values) == 0
    pump.run(30 * HOUR_S)
    pump.pulsed = [(end_s, 5000) for end_s in range(pump.uptime_s - 30 * HOUR_S, pump.uptime_s, 180)]
    for late_s, uptime_s in ((0, 0), (299, 0), (150, 120)):
        fresh = restored(pump, records_of(pump, pump.uptime_s, late_s=late_s), uptime_s=uptime_s)
        fresh.load(values)
        fresh.caps.restore(fresh)
        fresh.run(26 * HOUR_S)
        assert fresh.exceeded == 0




def test_the_whole_firmware_counts_what_reaches_the_patient_and_nothing_else_also_behind_a_reset():
    pump = bare_pump.Bench()
    pump.program(480_000)
    pump.prime(375_000, 24_000_000)
    pump.run_s(1350)
    assert pump.app.infusion.extra == 0 and pump.app.ledger.pulses == 375
    pump.run_s(HOUR_S)
    before_nl = pump.app.caps.delivered_day_nl
    assert 0 <= before_nl - (pump.app.ledger.pulses - 375) * 1000 <= 1000       # the prime's last pulse is ordered when it has ended
    pump.reboot(600)
    assert pump.app.caps.delivered_day_nl == (pump.app.ledger.pulses - 375) * 1000
    pump.run_s(DAY_S)
    assert abs(pump.app.caps.delivered_day_nl - 480_000) <= 3000 and not pump.app.alarms.is_active(4)


def test_row_4_in_the_whole_firmware():
    """Only a defect gets there: the caps are halved behind the firmware's back."""
    pump = bare_pump.Bench()
    pump.program(480_000, 240_000)
    pump.run_s(2 * HOUR_S)
    assert not pump.app.alarms.is_active(4)
    pump.app.caps.hour_nl = 10_000
    pump.run_s(600)
    assert pump.app.alarms.is_active(4) and pump.app.rate == 240_000
