"""Orders on the real firmware and on the scripted pump: soft limits and their bits, bridges as part of a program, primes, boluses, records."""

from dataclasses import replace

import pytest
from real_pump import RealPump

from thecal.host import Fill, Implant, Prescription, TrialRecord, orders, present, units
from thecal.host.blocks import unpack
from thecal.host.errors import PumpRefused, RequestInvalid
from thecal.host.limits import NO_BRIDGE, OVERRIDE_REASONS, START, STEP, Finding, overridden
from thecal.host.prescription import Bridge
from thecal.host.programmer import Programmer
from thecal.protocol import catalogue as cat

WEAK = Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day")
STRONG = Prescription.simple("baclofen", concentration="2000 ug/mL", dose="150 ug/day")
MORE = Prescription.simple("baclofen", concentration="500 ug/mL", dose="200 ug/day")


def events(pump, code):
    return [event for event in pump.log() if event.code == code]


# ---------------------------------------------------------------------------------------------------- soft limits
@pytest.mark.req("TH-PROG-05", "TH-PROG-16")
def test_a_soft_limit_without_a_reason_is_refused_in_one_sentence(bedside):
    bedside.program(WEAK)
    bedside.wait(days=2)
    with pytest.raises(RequestInvalid, match="^step of baclofen from 150 ug/day to 200 ug/day is 33.3 %, above the usual 30 %; to do it all the same give a reason to override$"):
        bedside.program(MORE)
    with pytest.raises(RequestInvalid, match="reason 'boredom' is none of: clinical judgement, dose reached before, palliative care, trial result, emergency"):
        bedside.program(MORE, override="boredom")
    assert bedside.program_running().dose_text() == WEAK.dose_text()


@pytest.mark.req("TH-PROG-16", "TH-PROG-13")
def test_with_a_reason_the_bits_go_on_the_wire_and_the_pump_logs_who_and_why(bedside):
    bedside.program(replace(WEAK, editor="AB"))
    bedside.wait(days=2)
    done = bedside.program(replace(MORE, editor="AB"), override="dose reached before")
    assert (done.program.guard.overrides, done.program.guard.why) == (STEP, "dose reached before")
    assert bedside.program_running().guard == done.program.guard
    assert events(bedside, cat.E_OVERRIDE)[-1].text == "step: dose reached before" and bedside.program_running().editor == "AB"


def test_a_reason_where_nothing_is_overridden_leaves_no_bit(pump, fake):
    pump.program(WEAK, override="emergency")
    assert unpack(cat.PROGRAM, fake.program)["overrides"] == 0 and unpack(cat.PROGRAM, fake.program)["override_why"] == 0


@pytest.mark.req("TH-RATE-04")
def test_the_pump_itself_holds_to_the_step_that_the_host_forgot(bedside):
    bedside.program(WEAK)
    bedside.wait(days=2)
    found = orders.check
    try:
        orders.check = lambda *_, **__: []
        with pytest.raises(PumpRefused, match="a larger or earlier rise than the program's step limit"):
            bedside.program(MORE)
    finally:
        orders.check = found


def test_reasons_and_rows():
    assert orders.override_reason("emergency") == "emergency" and OVERRIDE_REASONS[0] == "none"
    with pytest.raises(RequestInvalid, match="reason 'none' is none of"):
        orders.override_reason("none")
    assert [orders.row_number(name) for name in (0, 19, "low reservoir", "motor stall")] == [0, 19, 19, 7]
    for wrong in (-1, 30, "stall"):
        with pytest.raises(RequestInvalid, match="is neither 0 .all., a row .1 .. 29. nor a name of the table"):
            orders.row_number(wrong)
    assert orders.overriding(MORE, [Finding("to be read only")], None).guard.overrides == 0


# ---------------------------------------------------------------------------------------------------- the first program
@pytest.mark.req("TH-LIFE-01")
def test_the_trial_is_told_at_the_first_program_only(bedside):
    assert "no screening trial is on record" in bedside.examine(WEAK)[1]
    bedside.record_trial(TrialRecord.of("baclofen", "50 ug/mL", [{"dose": "75 ug", "response": "yes", "effect": "6 h"}], True))
    more = Prescription.simple("baclofen", concentration="500 ug/mL", dose="180 ug/day")
    assert overridden(bedside.examine(WEAK)[1]) == 0 and overridden(bedside.examine(more)[1]) == START
    with pytest.raises(RequestInvalid, match="the usual start is 150 ug/day, this program starts with 180 ug/day, which is more; to do it all the same"):
        bedside.program(more)
    assert any("the usual start is 150 ug/day" in line for line in bedside.program(WEAK).warnings)
    bedside.wait(days=1)
    assert bedside.examine(more) == (bedside.program_running(), [])


# ---------------------------------------------------------------------------------------------------- bridges
@pytest.fixture
def refilled(real, bedside):
    """On 150 ug/day of 500 ug/mL for two days, then filled with 2000 ug/mL."""
    bedside.program(WEAK)
    bedside.wait(days=2)
    out = real.withdraw()
    real.inject(18_600)
    bedside.refill(Fill("18.6 mL", "baclofen", "2000 ug/mL", withdrawn=out))
    return bedside


@pytest.mark.req("TH-LIFE-03")
def test_b1_the_bridge_is_part_of_the_program_and_switches_by_itself(refilled):
    due = refilled.bridge_due(STRONG)
    assert due == Bridge(375_000, 300_000) and due.duration_s == 30 * 3600
    with pytest.raises(RequestInvalid, match="a bridge is due, 0.375 mL of old drug at 0.3 mL/day: 1 d 06:00: without it the old drug in tubing and catheter"):
        refilled.program(STRONG)
    done = refilled.bridge(STRONG)
    status = refilled.status()
    assert done.program.bridge == due and (status.mode, status.rate_nl_day, status.bridge_left_nl) == ("bridging", 300_000, 375_000)
    assert refilled.drugs_at_head() == WEAK.ingredients
    refilled.wait(hours=31)
    status = refilled.status()
    assert (status.mode, status.rate_nl_day, status.bridge_left_nl) == ("running", 75_000, 0) and refilled.bridge_due(STRONG) is None
    with pytest.raises(RequestInvalid, match="no bridge is due"):
        refilled.bridge(STRONG)
    assert len(events(refilled, cat.E_BRIDGE)) == len(events(refilled, cat.E_BRIDGE_END)) == 1


@pytest.mark.req("TH-LIFE-34")
@pytest.mark.parametrize("hours", [10, 29, 30, 48])
def test_a_bridge_that_is_committed_late_is_as_long_as_the_line_holds_old_drug(refilled, hours):
    """300 uL a day go on pushing the fill's drug into the line: 10 h leave 250 of 375 uL to be bridged, 30 h nothing."""
    refilled.wait(hours=hours)
    due = refilled.bridge_due(STRONG)
    left_nl = max(0, 375_000 - hours * 12_500)
    if left_nl == 0:
        assert due is None and refilled.program(STRONG).program.bridge is None and refilled.status().mode == "running"
        return
    assert due is not None and abs(due.volume_nl - left_nl) <= 1000
    with pytest.raises(PumpRefused, match="a bridge is under way and is not restated, or there is nothing to bridge"):
        refilled.program(STRONG.with_bridge(Bridge(375_000, 300_000)))
    refilled.bridge(STRONG)
    assert refilled.status().bridge_left_nl == due.volume_nl


@pytest.mark.req("TH-LIFE-34")
def test_the_tubings_old_drug_is_bridged_behind_an_emptied_catheter(refilled):
    refilled.record_catheter(filled=False)
    assert refilled.bridge_due(STRONG) == Bridge(375_000, 300_000), "it fills the catheter first"
    refilled.prime("catheter")
    with pytest.raises(PumpRefused, match="a bolus, prime or bridge is running"):
        refilled.bridge(STRONG)
    refilled.wait(minutes=12)
    due = refilled.bridge_due(STRONG)
    assert due is not None and 196_000 <= due.volume_nl <= 199_000
    refilled.bridge(STRONG)


@pytest.mark.req("TH-LIFE-04")
def test_a_bridge_under_way_is_restated_by_what_is_left(refilled):
    refilled.bridge(STRONG)
    refilled.wait(hours=10)
    less = Prescription.simple("baclofen", concentration="2000 ug/mL", dose="140 ug/day")
    left = refilled.status().bridge_left_nl
    assert left == 250_000 and refilled.bridge_due(less) == Bridge(250_000, 300_000)
    with pytest.raises(RequestInvalid, match="a bridge is under way, 0.25 mL of old drug at 0.3 mL/day: 20 h: a program must restate it"):
        refilled.program(less, override="emergency")
    with pytest.raises(RequestInvalid, match="a bridge is under way: until it ends only a program of baclofen 2000 ug/mL may follow"):
        refilled.program(MORE.with_bridge(Bridge(250_000, 300_000)))
    refilled.bridge(less)
    assert refilled.status().bridge_left_nl == 250_000 and refilled.program_running().dose_text() == "baclofen 140 ug/day"
    refilled.wait(hours=21)
    assert (refilled.status().mode, refilled.status().rate_nl_day) == ("running", 70_000)


def test_a_stop_in_a_bridge_keeps_what_is_left(refilled):
    refilled.bridge(STRONG)
    refilled.wait(hours=10)
    refilled.stop()
    refilled.wait(hours=5)
    refilled.resume()
    assert abs(refilled.status().bridge_left_nl - 250_000) <= 1000
    assert refilled.wait(hours=19).mode == "bridging" and refilled.wait(hours=2).mode == "running"


@pytest.mark.req("TH-LIFE-04")
def test_b1x_without_the_bridge_only_by_name(refilled):
    assert refilled.program(STRONG, override="clinical judgement").program.guard.overrides == NO_BRIDGE
    assert refilled.status().mode == "running" and events(refilled, cat.E_OVERRIDE)[-1].text == "no bridge: clinical judgement"


def test_a_bridge_that_is_not_due_is_refused_before_the_pump_does(bedside):
    bedside.program(WEAK)
    with pytest.raises(RequestInvalid, match="no bridge is due"):
        bedside.program(WEAK.with_bridge(Bridge(375_000, 300_000)))


@pytest.mark.req("TH-PROG-07")
def test_a_program_of_another_drug_than_the_fill_is_the_pumps_refusal(bedside):
    with pytest.raises(PumpRefused, match="not the drugs that the pump was filled with"):
        bedside.program(STRONG)


# ---------------------------------------------------------------------------------------------------- primes and records
@pytest.mark.req("TH-LIFE-02")
def test_a_drug_filled_catheter_is_primed_only_behind_a_recorded_aspiration(bedside):
    with pytest.raises(RequestInvalid, match="on record as drug-filled: priming it would give the patient not known"):
        bedside.prime("both")
    with pytest.raises(RequestInvalid, match="the tubing holds drug already"):
        bedside.prime("tubing")
    bedside.record_catheter(filled=False)
    bedside.prime()
    assert bedside.status().extra_left_nl == 176_000, "the tubing before it was not emptied"
    assert bedside.wait(minutes=20).catheter_filled


@pytest.mark.req("TH-LIFE-16")
def test_a_new_pump_on_an_old_catheter_primes_its_tubing(real):
    pump = Programmer(real)
    pump.commission(Implant())
    pump.record_catheter(filled=True)
    real.inject(18_600)
    pump.refill(Fill("18.6 mL", "baclofen", "500 ug/mL"))
    with pytest.raises(RequestInvalid, match="drug-filled"):
        pump.prime("both")
    pump.prime("tubing")
    assert pump.status().extra_left_nl == 199_000


def test_emptying_is_on_record_and_leaves_the_residual(real, bedside):
    bedside.program(WEAK)
    bedside.stop("emergency")
    real.withdraw()
    bedside.empty("16.825 mL")
    assert bedside.status().reservoir_computed_nl == 1_400_000 and bedside.contents().withdrawn_ul == 16_825
    assert bedside.contents().ingredients == WEAK.ingredients
    for wrong, words in (("61 mL", "0 .. 60 mL"), ("1.001 uL", "whole number of uL"), ("3", "no unit")):
        with pytest.raises(RequestInvalid, match=words):
            bedside.empty(wrong)
    fresh = Programmer(RealPump())
    fresh.commission(Implant())
    with pytest.raises(RequestInvalid, match="no fill is on record"):
        fresh.empty("1 mL")


# ---------------------------------------------------------------------------------------------------- boluses
M3 = Prescription.simple("morphine", concentration="10 mg/mL", dose="4 mg/day", setting="tolerant").with_bolus("0.2 mg", "10 min", "3 h", 4, released=True)


@pytest.fixture
def morphine(real):
    pump = Programmer(real)
    pump.commission(Implant())
    real.inject(18_600)
    pump.refill(Fill("18.6 mL", "morphine", "10 mg/mL", setting="tolerant"))
    pump.record_catheter(filled=True)
    pump.program(M3)
    return pump


@pytest.mark.req("TH-BOL-02", "TH-BOL-03")
def test_m3_the_four_requests(real, morphine):
    """At 0, 1, 3.0 and 3.17 h: the first and the last are granted, the lockout runs from the END of the bolus at 0:10."""
    patient = Programmer(real, role="patient")
    answers = []
    for hours in (0, 1, 2, 0.17):
        patient.wait(hours=hours)
        try:
            answers.append(patient.request_bolus().kind)
        except PumpRefused as refused:
            answers.append(refused.code)
    assert answers == ["patient_bolus", cat.R_LOCKOUT, cat.R_LOCKOUT, "patient_bolus"]
    status = morphine.status()
    assert (status.boluses_granted, status.boluses_refused, status.mode, status.extra) == (2, 2, "bolus", "patient bolus")


def test_a_single_bolus_is_asked_with_its_day(morphine):
    seen = []
    with pytest.raises(RequestInvalid, match="not confirmed"):
        morphine.bolus("0.2 mg", "10 min", confirm=lambda review: seen.append(review))
    assert seen[0].day == "morphine 5 mg/day" and morphine.status().mode == "running"
    morphine.bolus("0.2 mg", "10 min")
    assert (morphine.status().mode, morphine.status().extra_left_nl) == ("bolus", 20_000)
    fresh = Programmer(RealPump())
    with pytest.raises(RequestInvalid, match="no program runs: there is no drug"):
        fresh.bolus("0.2 mg", "10 min")


@pytest.mark.req("TH-BOL-13")
def test_a_single_bolus_has_its_soft_limit_and_those_before_it_count(morphine):
    with pytest.raises(RequestInvalid, match="single bolus of morphine 4 mg is above the usual 20 % of the daily dose, .* give a reason to override"):
        morphine.bolus("4 mg", "2 h")
    assert morphine.bolus("0.6 mg", "30 min").warnings == []
    morphine.wait(hours=1)
    with pytest.raises(RequestInvalid, match="single bolus of morphine 0.6 mg makes 1.2 mg with the 0.6 mg given beyond the basal in the last 24 h"):
        morphine.bolus("0.6 mg", "30 min")
    assert morphine.bolus("0.6 mg", "30 min", override="palliative care").warnings[-1] == "soft limits overridden: palliative care"


@pytest.mark.req("TH-PROG-18")
@pytest.mark.parametrize("hours", [-6, 30])
def test_travel_moves_neither_the_last_change_nor_the_day_of_therapy(real, hours):
    pump = Programmer(real)
    pump.commission(Implant())
    pump.set_clock(63_536_400)
    real.inject(18_600)
    pump.refill(Fill("18.6 mL", "ziconotide", "25 ug/mL"))
    pump.record_catheter(filled=True)
    zero = Prescription.simple("ziconotide", concentration="25 ug/mL", dose="2.4 ug/day")
    pump.program(zero)
    pump.wait(hours=27)
    pump.set_clock(pump.status().time_s + hours * 3600)
    with pytest.raises(RequestInvalid, match="last change of ziconotide was 1 d 03:00 ago; a rise needs 2 d"):
        pump.program(Prescription.simple("ziconotide", concentration="25 ug/mL", dose="3.6 ug/day"))
    pump.wait(hours=24)
    assert pump._therapy_day(pump.status()) == 2


def test_a_shelf_pump_is_not_said_to_hold_drug(real):
    with pytest.raises(RequestInvalid, match="^the pump is on the shelf: commission it first$"):
        Programmer(real).examine_prime("both")


def test_what_a_resume_acknowledges_is_named(morphine):
    morphine.stop()
    morphine.wait(hours=30)
    assert [alarm.row for alarm in morphine.status().alarms] == [16]
    morphine.resume()
    assert events(morphine, cat.E_ACKNOWLEDGE)[-1].text == "16 stopped for long"
    morphine.acknowledge()
    assert events(morphine, cat.E_ACKNOWLEDGE)[-1].text == "nothing was to be cleared"


@pytest.mark.req("TH-PROG-04")
@pytest.mark.parametrize("late_s, taken", [(250, True), (400, False), (4000, False)])
def test_a_yes_behind_the_stages_life_is_refused_the_same_way_whatever_was_lost(morphine, real, late_s, taken):
    wanted, before = Prescription.simple("morphine", concentration="10 mg/mL", dose="3.8 mg/day", setting="tolerant"), morphine.status().running_digest
    if taken:
        assert morphine.program(wanted, confirm=lambda review: real.clock.sleep(late_s) or True).kind == "program"
        return
    with pytest.raises(RequestInvalid, match="the confirmation came after the pump had dropped what it was for: nothing was changed; look again"):
        morphine.program(wanted, confirm=lambda review: real.clock.sleep(late_s) or True)
    assert morphine.status().running_digest == before


@pytest.mark.req("TH-PROG-04")
def test_a_yes_to_a_screen_that_another_programmer_made_stale_is_refused(morphine, real):
    def dose(text):
        return Prescription.simple("morphine", concentration="10 mg/mL", dose=text, setting="tolerant")

    def other(review):
        Programmer(real).program(dose("3.6 mg/day"))
        return True

    seen = morphine.look()
    for order in (lambda: morphine.program(dose("3.8 mg/day"), confirm=other), lambda: morphine.program(dose("3.8 mg/day"), seen=seen),
                  lambda: morphine.bolus("0.2 mg", "10 min", seen=seen)):
        with pytest.raises(RequestInvalid, match="the pump was given another program after it was looked at: nothing was changed; look again"):
            order()
    assert morphine.program_running().dose_text() == "morphine 3.6 mg/day"


@pytest.mark.req("TH-LIFE-33")
def test_a_fill_into_a_full_reservoir_is_refused_and_a_wrong_record_put_right(morphine, real):
    kept = morphine.contents()
    with pytest.raises(RequestInvalid, match="a fill of 18.6 mL does not fit by the book: 18.6 mL were computed .* nothing was withdrawn; .*give as withdrawn 17.2 mL and as volume what really went in less the residual of 1.4 mL"):
        morphine.refill(Fill("18.6 mL", "morphine", "10 mg/mL", setting="tolerant"))
    assert morphine.contents() == kept
    put_right = morphine.refill(Fill("16.6 mL", "morphine", "10 mg/mL", setting="tolerant", withdrawn="17.2 mL"))
    assert put_right.warnings == [] and morphine.contents().volume_ul == 16_600 and morphine.status().reservoir_computed_nl == 18_000_000, "18 mL went in"
    morphine.wait(days=10)
    few = morphine.refill(Fill("3 mL", "morphine", "10 mg/mL", setting="tolerant")).warnings
    assert few[0].startswith("nothing was withdrawn where 12.6 mL were expected: over-infusion, leak, pocket fill last time or theft")


@pytest.mark.req("TH-LIFE-32")
def test_an_empty_catheter_is_said_at_program_and_resume(morphine):
    empty = "the catheter is on record as EMPTY: no drug reaches the patient before 0.176 mL have filled it"
    assert morphine.stop() and morphine.resume().warnings == []
    morphine.wait(hours=24)
    morphine.stop()
    morphine.record_catheter(filled=False)
    assert morphine.resume().warnings[0].startswith(empty) and morphine.examine(M3)[1][0].startswith(empty)
    morphine.prime("catheter")
    assert not any(line.startswith(empty) for line in morphine.examine(M3)[1]), "it is being filled"


@pytest.mark.req("TH-MODE-06")
def test_a_pause_ends_by_itself_and_every_argument_has_its_bound(morphine):
    morphine.pause(30)
    assert morphine.status().mode == "paused" and morphine.wait(minutes=31).mode == "running"
    for call, words in ((lambda: morphine.pause(0), "pause: minutes is 0 min; allowed are 1 .. 1440"), (lambda: morphine.pause(1441), "minutes is 1441"),
                        (lambda: morphine.silence(19, 0), "hours is 0 h; allowed are 1 .. 24"), (lambda: morphine.silence(19, 25), "hours is 25"),
                        (lambda: morphine.set_clock(2**30), "set_clock: time_s is"), (lambda: morphine.prime("tubing", rate="0.047 mL/day"), "rate_nl_day is 47000")):
        with pytest.raises(RequestInvalid, match=words):
            call()


def test_alarm_test_and_visit(morphine):
    morphine.alarm_test()
    morphine.sign_visit(b"12345678", True)
    assert [found[-1].text for found in (events(morphine, cat.E_ALARM_TEST), events(morphine, cat.E_VISIT))] == ["two-tone", "alarm test heard"]
    morphine.silence(0, 12)
    morphine.acknowledge("low reservoir")
    assert events(morphine, cat.E_SILENCE)[-1].text == "all for 12 h" and events(morphine, cat.E_ACKNOWLEDGE)[-1].text == "19 low reservoir"


@pytest.mark.req("TH-CAL-04")
def test_the_calibration_is_off_until_it_is_ordered_and_is_told(morphine):
    assert (morphine.status().calibration, morphine.status().trim) == (False, 0)
    morphine.calibration(True)
    assert morphine.status().calibration and events(morphine, cat.E_CALIBRATION)[-1].text == "on: +0 in a thousand, +0 before"
    morphine.calibration(False)
    assert not morphine.status().calibration and events(morphine, cat.E_CALIBRATION)[-1].text.startswith("off")


def test_setting_the_clock_tells_which_steps_move(bedside):
    flex = Prescription.flex("baclofen", concentration="500 ug/mL", steps=[{"from": "06:00", "dose": "5 ug/h"}, {"from": "22:00", "dose": "7 ug/h"}])
    bedside.program(flex)
    now = bedside.status().time_s
    assert "6 h earlier" in bedside.set_clock(now + 6 * 3600).warnings[0] and bedside.status().time_s == now + 6 * 3600


@pytest.mark.req("TH-LIFE-28")
def test_setting_the_clock_back_says_that_no_step_comes_twice_and_the_status_until_when(bedside):
    flex = Prescription.flex("baclofen", concentration="500 ug/mL", steps=[{"from": "06:00", "dose": "5 ug/h"}, {"from": "22:00", "dose": "7 ug/h"}])
    bedside.program(flex)
    now = bedside.status().time_s
    said = bedside.set_clock(now - 3600).warnings
    assert said[2] == "no step is given twice: until the pump's clock shows %s the day's dose runs evenly" % units.pump_time_text(now)
    assert bedside.status().given_until_s == now
    assert "evenly until %s, since the clock went back" % units.pump_time_text(now) in present.state_text(bedside.status(), flex)
    assert bedside.wait(minutes=61).given_until_s == 0


@pytest.mark.req("TH-ALM-40")
def test_row_4_that_stays_says_why(morphine):
    app = morphine.port.bench.app
    app.alarm(4, True)
    app.caps.delivered_day_nl += 10_000_000
    assert morphine.acknowledge(4).warnings[0].startswith("row 4 stays: the last hour holds ") and morphine.acknowledge(5).warnings == []
    app.caps.delivered_day_nl -= 10_000_000
    assert morphine.acknowledge().warnings == [] and not morphine.status().alarms


@pytest.mark.req("TH-ALM-16")
def test_a_pause_warns_of_the_withdrawal_as_a_stop_does_and_is_none_where_it_is_an_alarm(bedside):
    bedside.program(Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day"))
    assert bedside.examine_pause(60) == ["stopping baclofen abruptly is dangerous: withdrawal"]
    with pytest.raises(RequestInvalid, match="a pause of 6.02 h is longer than the 6 h after which no delivery is an alarm: stopping baclofen abruptly"):
        bedside.pause(361)
    assert bedside.pause(360).warnings and bedside.status().mode == "paused"


def test_a_refill_that_does_not_fit(bedside):
    with pytest.raises(RequestInvalid, match="a fill of 19 mL is more than the reservoir takes: 18.6 mL over its residual"):
        bedside.refill(Fill("19 mL", "baclofen", "500 ug/mL"))
    with pytest.raises(RequestInvalid, match="the drug expired on 2025-12-31"):
        bedside.refill(Fill("10 mL", "baclofen", "500 ug/mL", expiry="2025-12-31"))
