"""A fill that is not what the program says: refused, held to the stronger concentration, said after half an hour, and never resumed into."""

import pytest
from bare_pump import A_BOLUS, COMMISSION, DRUG, Bench, named, simple_program
from thecal.firmware import alarms as al
from thecal.firmware import modes, orders_program
from thecal.protocol import catalogue as cat

STRONG = {**DRUG, "concentration_1_ng_ml": 2_000_000}
WEAK = {**DRUG, "concentration_1_ng_ml": 125_000}
DAY_NL = 1_200_000              # of 500 ug/mL: 600 ug/day


def row(bench):
    return bench.app.alarms.is_active(al.DRUGS)


def running(rate_nl_day=DAY_NL, **changes):
    bench = Bench()
    bench.must(cat.PROGRAM, {**simple_program(rate_nl_day, rate_nl_day // 2), **changes})
    return bench


def fill(bench, drug):
    """The reason why not, or 0."""
    values = {"withdrawn_ul": 0, "volume_ul": 15_000, "expires_s": 0, "lot": named(b"x"), "next_s": 0, "rinse": 0, **drug}
    reason = bench.order(cat.REFILL, values).get("reason", 0)
    if reason == 0:
        bench.level_ul = 1_400 + 15_000 + bench.moved_steps * 35 // 4096
    return reason


CAPPED = {"cap_hour_1_ng": 253_000, "cap_day_1_ng": 1_010_000}       # 2.02 mL of 500 ug/mL a day, 505 uL of 2000


@pytest.mark.req("TH-ALM-29")
@pytest.mark.parametrize("drug", [STRONG, WEAK, {**DRUG, "drug_1": named(b"morphine")}])
def test_row_29_comes_half_an_hour_behind_the_fill_and_goes_with_a_program_for_it(drug):
    bench = running()
    bench.refill(15_000, drug)
    bench.run_s(1_700)
    assert not row(bench), "time to program in the same visit"
    bench.run_s(500)
    assert row(bench) and bench.app.alarms.action == al.NOBOLUS and bench.app.alarms.tone == al.CRITICAL
    assert bench.order(cat.BOLUS, {"volume_nl": 10_000, "seconds": 600})["reason"] == cat.R_ALARM
    bench.reboot()
    assert row(bench), "also behind a reset"
    bench.must(cat.PROGRAM, {**simple_program(DAY_NL // 4, DAY_NL // 8), **drug})
    assert not row(bench) and not bench.status()["latched"] >> al.DRUGS - 1 & 1
    bench.run_s(4_000)
    assert not row(bench)


@pytest.mark.req("TH-ALM-29")
def test_row_29_goes_with_the_right_fill_too_and_stands_while_stopped():
    bench = running()
    bench.stop()
    bench.refill(15_000, STRONG)
    bench.run_s(2_400)
    assert row(bench)
    bench.refill(15_000)
    assert not row(bench)


@pytest.mark.req("TH-LIFE-25")
def test_a_paused_pump_takes_no_fill_that_its_program_would_give_above_a_cap():
    bench = running(**CAPPED)
    assert fill(bench, STRONG) == cat.R_CAP, "running"
    bench.pause(60)
    assert fill(bench, STRONG) == cat.R_CAP, "the pause ends by itself"
    assert bench.app.fill_drugs[1] == 500_000
    bench.stop()
    assert fill(bench, STRONG) == 0, "stop, fill, program is the way"


@pytest.mark.req("TH-LIFE-25")
def test_a_stopped_pump_resumes_no_program_for_another_fill():
    bench = running(**CAPPED)
    bench.stop()
    assert fill(bench, STRONG) == 0
    assert bench.order(cat.RESUME, {})["reason"] == cat.R_DRUG and bench.app.mode == modes.STOPPED
    bench.must(cat.PROGRAM, {**simple_program(DAY_NL // 4, DAY_NL // 8), **STRONG})
    bench.resume()
    assert bench.app.mode == modes.RUNNING


@pytest.mark.req("TH-LIFE-25")
def test_without_a_program_or_for_the_same_fill_a_stopped_pump_resumes():
    bench = running()
    bench.stop()
    bench.refill(15_000)
    bench.resume()
    assert bench.app.mode == modes.RUNNING


@pytest.mark.req("TH-CAP-01", "TH-LIFE-25")
def test_the_caps_are_those_of_the_stronger_fill_and_row_4_acts_on_them():
    bench = running(**CAPPED)
    before_nl = bench.status()["cap_day_nl"]
    bench.stop()
    assert fill(bench, STRONG) == 0
    assert bench.status()["cap_day_nl"] == before_nl // 4
    bench.reboot()
    assert bench.status()["cap_day_nl"] == before_nl // 4, "also behind a reset"
    bench.app.settings.stopped = 0          # a defect: nothing that may be ordered brings this about
    bench.run_s(26 * 3600)
    assert bench.app.alarms.is_active(al.CAP) and bench.app.alarms.action == al.FALLBACK
    bench.must(cat.PROGRAM, {**simple_program(DAY_NL // 4, DAY_NL // 8), **STRONG, **CAPPED, "overrides": orders_program.NO_BRIDGE, "override_why": 1})
    assert bench.status()["cap_day_nl"] == CAPPED["cap_day_1_ng"] // 2, "the program's own"


@pytest.mark.req("TH-CAP-01")
def test_a_weaker_fill_widens_no_cap():
    bench = running(**CAPPED)
    before_nl = bench.status()["cap_day_nl"]
    bench.refill(15_000, WEAK)
    assert bench.status()["cap_day_nl"] == before_nl


@pytest.mark.req("TH-CAP-06", "TH-LIFE-25")
def test_a_bridge_behind_a_stronger_fill_runs_under_the_caps_of_what_is_in_the_line():
    bench = running(**CAPPED)
    bench.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
    before_nl = bench.status()["cap_day_nl"]
    bench.stop()
    assert fill(bench, STRONG) == 0
    bench.must(cat.PROGRAM, {**simple_program(DAY_NL // 4, DAY_NL // 8), **STRONG, **CAPPED, "bridge_nl": 375_000, "bridge_rate_nl_day": DAY_NL})
    bench.resume()
    assert bench.app.mode == modes.BRIDGING and bench.status()["cap_day_nl"] == before_nl
    bench.run_s(12 * 3600)
    assert bench.app.mode == modes.RUNNING and bench.status()["cap_day_nl"] == before_nl // 4 and not bench.app.alarms.active


@pytest.mark.req("TH-BOL-02", "TH-LIFE-25")
def test_the_patient_is_refused_what_the_clinician_is():
    bench = running(96_000, **{**A_BOLUS, "bolus_nl": 1_000})
    bench.refill(15_000, STRONG)
    assert bench.order(cat.BOLUS, {"volume_nl": 10_000, "seconds": 600})["reason"] == cat.R_DRUG
    assert bench.request()["reason"] == cat.R_DRUG


@pytest.mark.req("TH-PROG-23")
def test_a_pump_that_was_never_filled_primes_nothing():
    bench = Bench(ready=False)
    bench.must(cat.COMMISSION, COMMISSION)
    assert bench.order(cat.PRIME, {"what": cat.PRIME_BOTH, "volume_nl": 375_000, "rate_nl_day": 24_000_000})["reason"] == cat.R_RESERVE
    bench.refill(10_000)
    bench.prime(375_000, 24_000_000)


@pytest.mark.req("TH-LIFE-15")
def test_the_emergency_card_names_what_the_reservoir_holds():
    bench = running()
    bench.magnet = True
    assert bench.ask(cat.CARD)[1]["other"] == 0
    bench.refill(15_000, STRONG)
    card = bench.ask(cat.CARD)[1]
    assert (card["drug_1"], card["concentration_1_ng_ml"], card["other"]) == (named(b"baclofen"), 2_000_000, 1)


@pytest.mark.req("TH-ALM-25")
def test_row_25_comes_when_the_next_refill_is_due_whatever_the_clock_is_set_to():
    bench = running()
    values = {"withdrawn_ul": 0, "volume_ul": 15_000, "expires_s": 0, "lot": named(b"x"), "next_s": 48 * 3600, "rinse": 0, **DRUG}
    bench.must(cat.REFILL, values)
    bench.must(cat.SET_CLOCK, {"time_s": bench.rtc_s - 20 * 86_400})
    bench.run_s(47 * 3600)
    assert not bench.app.alarms.is_active(al.EXPIRED)
    bench.run_s(3600 + 600)
    assert bench.app.alarms.is_active(al.EXPIRED), "a clock that was set back makes no drug younger"
