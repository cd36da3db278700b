"""The patient's bolus: each reason in its order, lockouts and counts exact to the second, through clocks that are set and resets."""

import bare_pump
import pytest
from bolus_bench import BOLUS, DAY_S, M3, MONDAY_S, Bench, program
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.firmware import alarms as al
from thecal.firmware import bolus as bo
from thecal.firmware.settings import BOLUS_STATE_BYTES
from thecal.protocol import catalogue as cat

HOUR_S = 3600
ROOM = {"hour_nl": 900_000, "day_nl": 4_000_000}


def bench(uptime_s=0, **rules):
    made = Bench(uptime_s=uptime_s)
    made.load(program(**{**ROOM, **M3, **rules}))
    return made


@pytest.mark.req("TH-BOL-03")
def test_the_four_requests_of_m3():
    """regimens.md M3: at 0, 1, 3.0 and 3.17 h only the first and the last are granted, because the lockout runs from the end at 0:10."""
    pump = bench()
    answers = []
    for at_s in (0, HOUR_S, 3 * HOUR_S, 317 * HOUR_S // 100):
        pump.run(at_s - pump.uptime_s)
        answers.append(pump.request())
    assert answers == [0, cat.R_LOCKOUT, cat.R_LOCKOUT, 0]
    assert (pump.bolus.granted_day(), pump.bolus.refused_day()) == (2, 2)
    assert pump.bolus.most_daily_nl == 80_000


@pytest.mark.parametrize("set_s", [0, -7200, 7200])
@pytest.mark.parametrize("outage_s", [0, 1, 4000])
def test_m3_in_the_whole_firmware_through_clocks_that_are_set_and_resets(set_s, outage_s):
    pump = bare_pump.Bench()
    values = bare_pump.simple_program(400_000)
    values.update(bare_pump.A_BOLUS)
    pump.must(cat.PROGRAM, values)
    answers = []
    begun_s = pump.rtc_s
    for at_s in (0, HOUR_S, 3 * HOUR_S, 317 * HOUR_S // 100):
        pump.run_s(at_s - (pump.rtc_s - begun_s))
        answers.append(pump.request().get("reason", 0))
        if at_s == HOUR_S and set_s:
            pump.must(cat.SET_CLOCK, {"time_s": pump.app.now_s + set_s})
        if at_s == HOUR_S and outage_s:
            pump.reboot(outage_s)
    assert answers == [0, cat.R_LOCKOUT, cat.R_LOCKOUT, 0]


@pytest.mark.req("TH-BOL-06")
def test_of_two_requests_at_one_instant_the_second_is_busy():
    pump = bench()
    assert (pump.request(), pump.request()) == (0, cat.R_BUSY)


@pytest.mark.req("TH-BOL-02")
def test_the_reasons_come_in_their_order():
    pump = bench(released=0, interval_h=4, per_interval=1)
    assert pump.request() == 0
    pump.cut()
    pump.infusion.extra = BOLUS
    pump.alarms.urgent = True
    pump.contents.usable_nl = lambda: 800_000 - 1
    pump.settings.changed_s = pump.settings.steady_s + 1
    pump.caps.load(program(hour_nl=1, day_nl=1))
    found = []

    def ask():
        found.append(pump.bolus.refusal(pump))

    pump.bolus.load(program(**ROOM))
    ask()                                   # no bolus in the program
    pump.bolus.load(program(**ROOM, **{**M3, "interval_h": 4, "per_interval": 1, "released": 0}))
    ask()
    pump.infusion.extra = 0
    ask()
    pump.alarms.urgent = False
    pump.alarms.rows = (al.FIELD,)
    ask()
    pump.alarms.rows = (al.BOLUS_CUT, al.LOW)       # row 23 lasts as long as the lockout, which speaks for itself; row 19 lets pass
    ask()
    pump.contents.usable_nl = lambda: 800_000       # 48 h of 0.4 mL/day
    ask()
    pump.settings.changed_s, pump.settings.filled_s = pump.settings.steady_s - DAY_S + 1, pump.settings.steady_s - DAY_S + 2
    ask()
    pump.settings.filled_s -= 1
    ask()
    pump.settings.steady_s += 3 * HOUR_S
    ask()                                   # the interval of 4 h
    pump.settings.steady_s += HOUR_S
    ask()
    pump.caps.load(program(**ROOM))
    ask()
    assert found == [
        cat.R_NOT_ALLOWED, cat.R_BUSY, cat.R_ALARM, cat.R_ALARM, cat.R_RESERVE, cat.R_FRESH, cat.R_FRESH, cat.R_LOCKOUT, cat.R_COUNT,
        cat.R_CAP, 0]


@pytest.mark.req("TH-BOL-06")
@pytest.mark.parametrize("kind", range(1, 5))
def test_nothing_beside_a_running_extra(kind):
    pump = bench()
    pump.infusion.extra = kind
    assert pump.request() == cat.R_BUSY


@pytest.mark.req("TH-BOL-09")
def test_the_reserve_follows_the_schedule_ahead_and_only_a_fill_on_record():
    day, night = 240_000, 480_000
    pump = Bench(now_s=MONDAY_S + 12 * HOUR_S)
    pump.load(program([[(0, night), (720, day)], [(0, day)]], bytes([0, 0, 1, 1, 1, 1, 1]), **ROOM, **M3))
    ahead_nl = (day + night + day) // 2 + day // 2       # half of Monday, Tuesday, half of Wednesday
    pump.contents.usable_nl = lambda: ahead_nl
    assert pump.bolus.refusal(pump) == 0
    pump.contents.usable_nl = lambda: ahead_nl - 1
    assert pump.bolus.refusal(pump) == cat.R_RESERVE
    pump.ledger.base_nl = 0
    assert pump.bolus.refusal(pump) == 0


@pytest.mark.req("TH-BOL-10")
def test_fresh_is_24_h_from_a_fill_or_a_change_of_dose_unless_released():
    for name in ("filled_s", "changed_s"):
        pump = bench(released=0)
        setattr(pump.settings, name, pump.settings.steady_s + 1)
        pump.now_s += 3 * DAY_S             # the clock is no matter
        assert pump.bolus.refusal(pump) == cat.R_FRESH
        pump.settings.steady_s += DAY_S - 1
        assert pump.bolus.refusal(pump) == cat.R_FRESH
        pump.settings.steady_s += 1
        assert pump.bolus.refusal(pump) == 0
        setattr(pump.settings, name, pump.settings.steady_s + 1)
        pump.bolus.load(program(**ROOM, **M3))
        assert pump.bolus.refusal(pump) == 0


@pytest.mark.req("TH-BOL-03")
@pytest.mark.parametrize("ran_s", [1, 120, 599])
def test_the_lockout_runs_from_the_end_also_of_one_cut_short(ran_s):
    pump = bench()
    pump.request()
    pump.run(ran_s, 1)
    pump.cut()
    assert pump.bolus.lockout_s() == 3 * HOUR_S
    pump.run(3 * HOUR_S - 1)
    assert pump.request() == cat.R_LOCKOUT and pump.bolus.lockout_s() == 1
    pump.run(1)
    assert pump.request() == 0


@pytest.mark.req("TH-BOL-04")
def test_counts_roll_from_the_start_of_each():
    pump = bench(lockout_min=10, interval_h=2, per_interval=2)
    starts = []
    for _ in range(3000):
        if pump.bolus.refusal(pump) == 0:
            starts.append(pump.uptime_s)
            pump.request()
        pump.run(60)
    two_h = 2 * HOUR_S
    assert starts[:9] == [0, 1200, two_h, two_h + 1200, DAY_S, DAY_S + 1200, DAY_S + two_h, DAY_S + two_h + 1200, 2 * DAY_S]


@pytest.mark.req("TH-BOL-07", "TH-LIFE-10")
@pytest.mark.parametrize("moved_s", [-DAY_S, -3 * HOUR_S, -299, 299, 3 * HOUR_S, 40 * DAY_S])
def test_a_clock_that_is_moved_moves_no_lockout_and_no_count(moved_s):
    pump = bench(per_day=1, lockout_min=60)
    pump.request()
    pump.run(1800)
    left_s = pump.bolus.lockout_s()
    pump.now_s += moved_s
    assert pump.bolus.lockout_s() == left_s == 2400 and pump.bolus.refusal(pump) == cat.R_LOCKOUT
    pump.run(2400)
    assert pump.bolus.refusal(pump) == cat.R_DAY
    pump.run(DAY_S - 4200 - 60)
    assert pump.bolus.refusal(pump) == cat.R_DAY
    pump.run(60)
    assert pump.bolus.refusal(pump) == 0


def reset(pump, outage_s):
    """The state record as it stood, a new PatientBolus over it, and the outage lived through."""
    pump.settings.bolus_state = bytearray(bytes(pump.settings.bolus_state))
    pump.settings.steady_s += outage_s
    pump.now_s += outage_s
    pump.bolus = bo.PatientBolus(pump.settings)
    pump.bolus.load(program(**ROOM, **M3))


@pytest.mark.req("TH-BOL-07")
def test_windows_survive_a_reset():
    pump = bench()
    pump.request()
    pump.run(700)
    reset(pump, 0)
    assert pump.bolus.lockout_s() == 3 * HOUR_S - 100 and pump.bolus.granted_day() == 1
    reset(pump, HOUR_S)
    assert pump.bolus.lockout_s() == 2 * HOUR_S - 100
    reset(pump, DAY_S)
    assert (pump.bolus.lockout_s(), pump.bolus.granted_day()) == (0, 0)


def test_a_reset_in_a_bolus_finds_its_planned_end_until_boot_says_the_true_one():
    pump = bench()
    pump.request()
    pump.run(120)
    pump.infusion.extra = 0
    reset(pump, 0)
    assert pump.bolus.lockout_s() == 3 * HOUR_S + 480
    pump.bolus.ended(pump.settings.steady_s)
    assert pump.bolus.lockout_s() == 3 * HOUR_S


@pytest.mark.req("TH-BOL-07")
def test_a_lost_state_is_assumed_used_up():
    pump = bench()
    assert pump.bolus.refusal(pump) == 0
    pump.run(5 * HOUR_S)
    pump.bolus.assume_used()
    assert (pump.bolus.granted_day(), pump.bolus.lockout_s()) == (48, 3 * HOUR_S)
    pump.run(3 * HOUR_S)
    assert pump.bolus.refusal(pump) == cat.R_DAY
    pump.run(21 * HOUR_S - 60)
    assert pump.bolus.refusal(pump) == cat.R_DAY
    pump.run(60)
    assert pump.bolus.refusal(pump) == 0 and pump.bolus.refused_day() == 0


@pytest.mark.req("TH-BOL-05", "TH-ALM-26")
def test_three_refusals_in_24_h_are_row_26():
    pump = bench()
    pump.alarms.urgent = True
    counts = []
    for wait_s in (0, 60, 60, DAY_S - 61, 61):
        pump.settings.steady_s += wait_s
        counts.append(pump.bolus.denied())
    assert counts == [1, 2, 3, 3, 2]
    assert [count >= bo.REFUSED_MANY for count in counts] == [False, False, True, True, False]
    for _ in range(40):
        pump.bolus.denied()
    assert pump.bolus.refused_day() == 16


@pytest.mark.req("TH-BOL-11")
def test_a_clinicians_bolus_locks_out_and_is_not_counted():
    pump = bench()
    pump.start(BOLUS, 10_000, 2_000_000)
    pump.run(900)
    assert pump.infusion.extra == 0 and 0 < pump.bolus.lockout_s() <= 3 * HOUR_S
    assert pump.bolus.refusal(pump) == cat.R_LOCKOUT and pump.bolus.granted_day() == 0


def test_the_state_fits_its_record():
    assert bo.STATE_BYTES <= BOLUS_STATE_BYTES
    assert bo.GRANTED_GAPS + 47 * 3 == bo.REFUSED_GAPS and bo.REFUSED_GAPS + 15 * 3 == bo.STATE_BYTES


RULES = st.fixed_dictionaries({
    "bolus_nl": st.integers(200, 100_000), "bolus_s": st.integers(30, 7200), "lockout_min": st.integers(0, 300), "per_day": st.integers(1, 48),
    "interval_h": st.integers(0, 24), "per_interval": st.integers(1, 10)})


def rules_of(found):
    return {**found, "per_interval": min(found["per_interval"], found["per_day"]) if found["interval_h"] else 0,
            "lockout_min": max(found["lockout_min"], -(-found["bolus_s"] // 60))}


@pytest.mark.slow
@pytest.mark.req("TH-BOL-02", "TH-BOL-04")
@given(RULES, st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 7200)), max_size=120), st.integers(0, 1 << 29))
@settings(max_examples=150, deadline=None)
def test_any_requests_against_the_rules_as_they_are_written(found, waits, uptime_s):
    """An exact reference over the list of all grants: no ring, no gaps. Boluses are cut at any second."""
    rules = rules_of(found)
    pump = bench(uptime_s=uptime_s, **rules)
    grants, ended_s = [], None
    for wait_s, cut_s in waits:
        pump.settings.steady_s += wait_s
        now_s = pump.settings.steady_s
        expected = 0
        if ended_s is not None and now_s < ended_s + rules["lockout_min"] * 60:
            expected = cat.R_LOCKOUT
        elif rules["interval_h"] and sum(now_s - start < rules["interval_h"] * HOUR_S for start in grants) >= rules["per_interval"]:
            expected = cat.R_COUNT
        elif sum(now_s - start < DAY_S for start in grants) >= rules["per_day"]:
            expected = cat.R_DAY
        pump.caps.grant_refusal = lambda *_: 0
        assert pump.bolus.granted_day() == sum(now_s - start < DAY_S for start in grants)
        assert pump.bolus.refusal(pump) == expected
        if expected == 0:
            pump.bolus.granted()
            grants.append(now_s)
            pump.settings.steady_s += min(cut_s, rules["bolus_s"])
            ended_s = pump.settings.steady_s
            pump.bolus.ended(ended_s)


@given(RULES, st.lists(st.integers(0, 20_000), max_size=60))
@settings(max_examples=100, deadline=None)
def test_starts_are_when_a_patient_who_asks_each_second_is_granted(found, waits):
    """`starts` says it all in advance: each of its seconds is the first that the rules grant behind the one before."""
    rules = rules_of(found)
    pump = bench(**rules)
    pump.caps.grant_refusal = lambda *_: 0
    for wait_s in waits:
        pump.settings.steady_s += wait_s
        if pump.bolus.refusal(pump) == 0:
            pump.bolus.granted()
    begin_s = pump.settings.steady_s
    rate = -(-rules["bolus_nl"] * DAY_S // rules["bolus_s"])
    took_s = -(-rules["bolus_nl"] * DAY_S // rate)
    starts = pump.bolus.starts(program(**rules), DAY_S + 300, 0, True)
    for start_s in starts:
        if start_s:
            pump.settings.steady_s = begin_s + start_s - 1
            if pump.settings.steady_s > begin_s:
                assert pump.bolus.refusal(pump) in (cat.R_LOCKOUT, cat.R_COUNT, cat.R_DAY)
        pump.settings.steady_s = begin_s + start_s
        assert pump.bolus.refusal(pump) == 0
        pump.bolus.granted()
        pump.bolus.ended(begin_s + start_s + took_s)
    pump.settings.steady_s = begin_s + DAY_S + 299
    assert pump.bolus.refusal(pump) in (cat.R_LOCKOUT, cat.R_COUNT, cat.R_DAY) or (starts and starts[-1] == DAY_S + 299)


def test_a_program_without_boluses_has_no_starts():
    pump = bench()
    assert pump.bolus.starts(program(), DAY_S, 0, True) == []
