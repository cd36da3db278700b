"""Limits: the traps of regimens.md, each met by the rule it was written for."""

from dataclasses import replace
from fractions import Fraction

import pytest

from thecal.host import drug_library, units
from thecal.host.bolus import PatientBolus
from thecal.host.errors import RequestInvalid
from thecal.host.limits import BOLUS, DAILY, SOFT_LIMITS, START, STEP, Baseline, Finding, check, check_bolus, check_daily, check_start, has_ceiling, overridden
from thecal.host.prescription import Ingredient, Prescription, Step

LIBRARY = drug_library.load()
DAY = 86_400


def program(dose, drug="baclofen", concentration="500 ug/mL", **more):
    return Prescription.simple(drug, concentration=concentration, dose=dose, library=LIBRARY, **more)


def after(dose, drug="baclofen", since_s=7 * DAY, day=100):
    return Baseline({drug: units.dose_rate_ng_day(dose)}, since_s, day)


def test_b1_meets_no_limit():
    doses = [150, 150, 180, 210, 250, 300, 345, 400]
    assert check(program("150 ug/day")) == []
    for now, then in zip(doses, doses[1:]):
        assert check(program("%d ug/day" % then), after("%d ug/day" % now, since_s=DAY - 60)) == []


@pytest.mark.req("TH-PROG-05", "TH-PROG-18")
@pytest.mark.parametrize("pending, baseline, words", [
    (program("2001 ug/day"), after("1900 ug/day"), "daily dose of baclofen 2001 ug/day is above the hard limit of 2000 ug/day"),
    (program("201 ug/day"), None, "starting dose of baclofen 201 ug/day is above the hard limit of 200 ug/day"),
    (program("1200 ug/day", setting="child"), after("1100 ug/day"), "(setting child)"),
    (program("21 mg/day", "morphine", "10 mg/mL"), after("20 mg/day", "morphine"), "hard limit of 20 mg/day"),
    (program("9.6 ug/day", "ziconotide", "25 ug/mL"), None, "starting dose of ziconotide 9.6 ug/day"),                              # Z3
    (program("9.6 ug/day", "ziconotide", "25 ug/mL"), after("2.4 ug/day", "ziconotide"), "step of ziconotide from 2.4 ug/day"),     # Z3
    (program("168 ug/day", "ziconotide", "25 ug/mL"), after("166 ug/day", "ziconotide"), "hard limit of 19.2 ug/day"),              # Z3
    (program("2.4 ug/h", "ziconotide", "25 ug/mL"), None, "57.6 ug/day"),                                                          # Z4
    (program("4.8 ug/day", "ziconotide", "25 ug/mL"), after("2.4 ug/day", "ziconotide", since_s=DAY), "a rise needs 2 d"),
    (program("19.2 ug/day", "ziconotide", "25 ug/mL"), after("16.8 ug/day", "ziconotide", day=16), "before day 21 of therapy; this is day 16"),  # Z2
])
def test_hard_limits_refuse(pending, baseline, words):
    with pytest.raises(RequestInvalid) as caught:
        check(pending, baseline)
    assert words in str(caught.value)


@pytest.mark.req("TH-PROG-05")
@pytest.mark.parametrize("pending, baseline, words", [
    (program("1100 ug/day"), after("1000 ug/day"), "above the usual limit of 1000 ug/day"),
    (program("200 ug/day"), after("150 ug/day"), "step of baclofen from 150 ug/day to 200 ug/day is 33.3 %, above the usual 30 %"),
    (program("100 ug/day"), after("400 ug/day"), "-75 %"),
    (program("180 ug/day"), after("150 ug/day", since_s=3600), "last change of baclofen was 1 h ago; usual is 1 d between rises"),
    (program("0.6 mg/day", "morphine", "2 mg/mL"), None, "starting dose of morphine 0.6 mg/day is above the usual limit"),
    (program("19.2 ug/day", "ziconotide", "25 ug/mL"), Baseline({"ziconotide": Fraction(16_800)}), "the day of therapy is not known"),
    (program("50 ug/day", "morphine", "1 mg/mL"), None, "one pulse of 1 uL is more than 1 %"),
    (program("100.0001 ug/day", concentration="2000 ug/mL"), None, "rounded to whole nL/day (0.05 mL/day): baclofen 100 ug/day is delivered"),
])
def test_soft_limits_warn(pending, baseline, words):
    assert any(words in line for line in check(pending, baseline)), check(pending, baseline)


@pytest.mark.req("TH-PROG-18")
@pytest.mark.parametrize("dose", ["16.81 ug/day", "17 ug/day", "19.19 ug/day", "19.2 ug/day"])
def test_the_ceiling_binds_above_the_last_step_below_it(dose):
    found = program(dose, "ziconotide", "25 ug/mL")
    with pytest.raises(RequestInvalid, match="is above 16.8 ug/day, which must not be passed before day 21 of therapy; this is day 16"):
        check(found, after("16.8 ug/day", "ziconotide", day=16))
    assert not any("day 21" in line for line in check(found, after("16.8 ug/day", "ziconotide", day=21)))
    assert not any("day 21" in line for line in check(program("16.8 ug/day", "ziconotide", "25 ug/mL"), after("14.4 ug/day", "ziconotide", day=16)))


def test_z2_the_ceiling_may_be_reached_on_day_24():
    said = check(program("19.2 ug/day", "ziconotide", "25 ug/mL"), after("16.8 ug/day", "ziconotide", since_s=3 * DAY, day=24))
    assert all("before day" not in line for line in said)
    assert has_ceiling(program("2.4 ug/day", "ziconotide", "25 ug/mL")) and not has_ceiling(program("150 ug/day"))


def test_a_fall_of_a_harmless_drug_is_no_matter():
    assert check(program("0.5 mg/day", "morphine", "2 mg/mL"), after("2 mg/day", "morphine", since_s=60)) == []


@pytest.mark.req("TH-PROG-11")
def test_x1_the_first_limit_of_either_drug_stops_the_change():
    mix = {"also": {"bupivacaine": "20 mg/mL"}}
    running = Baseline.of(program("3 mg/day", "morphine", "10 mg/mL", **mix))
    assert any("bupivacaine 16 mg/day" in line for line in check(program("8 mg/day", "morphine", "10 mg/mL", **mix), running))
    with pytest.raises(RequestInvalid, match="bupivacaine 22 mg/day is above the hard limit of 20 mg/day"):
        check(program("11 mg/day", "morphine", "10 mg/mL", **mix), running)


def test_a_drug_outside_the_library_is_said_to_be_unchecked():
    pending = Prescription("simple", (Ingredient("novel", 10**6, None),), ((Step(0, 300_000),),), (0,) * 7, 0, "stop")
    assert check(pending) == ["novel is not in the library: its doses are not checked"]


@pytest.mark.req("TH-LIFE-01")
def test_boluses_of_the_screening_trial():
    baclofen = LIBRARY["baclofen"]
    assert check_bolus(baclofen, units.dose_ng("75 ug"), "trial") == []
    assert "usual limit of 75 ug" in check_bolus(baclofen, units.dose_ng("100 ug"), "trial")[0]
    with pytest.raises(RequestInvalid, match="101 ug is above the hard limit of 100 ug"):
        check_bolus(baclofen, units.dose_ng("101 ug"), "trial")
    with pytest.raises(RequestInvalid, match="no bolus of ziconotide"):
        check_bolus(LIBRARY["ziconotide"], Fraction(1))


# ---------------------------------------------------------------------------------------------------- regimens, by their sentence
def test_z1_goes_up_by_half_steps_and_meets_no_limit():
    doses = ["2.4 ug/day", "3.6 ug/day", "4.8 ug/day", "6.0 ug/day", "6.96 ug/day"]
    assert overridden(check(program(doses[0], "ziconotide", "25 ug/mL"))) == 0
    for now, then in zip(doses, doses[1:]):
        assert overridden(check(program(then, "ziconotide", "25 ug/mL"), after(now, "ziconotide", since_s=3 * DAY, day=14))) == 0


@pytest.mark.parametrize("dose, now, since_s, day, sentence", [
    ("19.2 ug/day", "16.8 ug/day", 56 * 3600, 16, "ziconotide 19.2 ug/day is above 16.8 ug/day, which must not be passed before day 21 of therapy; this is day 16"),                   # Z2
    ("9.6 ug/day", None, 0, 0, "starting dose of ziconotide 9.6 ug/day is above the hard limit of 2.4 ug/day (setting non-cancer)"),                          # Z3
    ("168 ug/day", "16.8 ug/day", 3 * DAY, 30, "daily dose of ziconotide 168 ug/day is above the hard limit of 19.2 ug/day (setting non-cancer)"),            # Z3
    ("2.4 ug/h", None, 0, 0, "daily dose of ziconotide 57.6 ug/day is above the hard limit of 19.2 ug/day (setting non-cancer)"),                             # Z4
])
def test_z2_z3_z4_are_refused_in_one_sentence(dose, now, since_s, day, sentence):
    with pytest.raises(RequestInvalid) as caught:
        check(program(dose, "ziconotide", "25 ug/mL"), after(now, "ziconotide", since_s, day) if now else None)
    assert str(caught.value) == sentence


def test_z4_a_24th_of_the_dose_is_below_what_the_pump_delivers():
    with pytest.raises(RequestInvalid, match="0.1 ug/day of ziconotide at 25 ug/mL is 0.004 mL/day; the pump delivers 0.048 mL/day"):
        program("0.1 ug/day", "ziconotide", "25 ug/mL")


def test_x1_the_first_limit_met_stops_the_one_knob():
    mix = {"also": {"bupivacaine": "20 mg/mL"}}
    three, five = (program(dose, "morphine", "10 mg/mL", setting=None, **mix) for dose in ("3 mg/day", "5 mg/day"))
    assert three.dose_text() == "morphine 3 mg/day + bupivacaine 6 mg/day" and five.dose_text() == "morphine 5 mg/day + bupivacaine 10 mg/day"
    found = check(five, Baseline.of(three, 7 * DAY))
    assert overridden(found) == STEP and "step of morphine from 3 mg/day to 5 mg/day is 66.7 %" in found[0]
    eight = program("8 mg/day", "morphine", "10 mg/mL", **mix)
    assert [str(line) for line in check(eight, Baseline.of(eight, 7 * DAY))] == [
        "daily dose of bupivacaine 16 mg/day is above the usual limit of 15 mg/day (setting non-cancer)"], "morphine is well below its own 15"


def test_soft_limits_have_their_bit_and_plain_sentences_none():
    start = program("0.6 mg/day", "morphine", "2 mg/mL")
    assert overridden(check(start)) == START and overridden(check(program("50 ug/day", "morphine", "1 mg/mL"))) == 0
    assert overridden(check(program("1100 ug/day"), after("1000 ug/day"))) == DAILY
    assert overridden([Finding.soft(1, "a"), Finding("b"), Finding.soft(4, "c")]) == 5 and Finding("b") == "b"
    assert len(SOFT_LIMITS) <= 16, "the wire has sixteen bits"
    with pytest.raises(RequestInvalid, match="starting dose of morphine 1.1 mg/day is above the hard limit of 1 mg/day"):
        check_start(LIBRARY["morphine"], units.dose_rate_ng_day("1.1 mg/day"))
    assert overridden(check_daily(LIBRARY["morphine"], units.dose_rate_ng_day("16 mg/day"))) == DAILY


@pytest.mark.req("TH-PROG-11")
def test_more_by_patient_boluses_is_a_step_of_its_own():
    def asks(dose, per_day, lockout="3 h"):
        made = program("4 mg/day", "morphine", "10 mg/mL", setting="tolerant")
        return replace(made, patient_bolus=PatientBolus.of(made.ingredients, dose, "10 min", lockout, per_day))

    running = Baseline.of(asks("0.2 mg", 4), 7 * DAY)
    more = check(asks("0.7 mg", 12), running)
    assert overridden(more) == STEP and "step of the day with all patient boluses, of morphine from 4.8 mg/day to 9.6 mg/day is 100 %, above the usual 30 %" in more
    assert overridden(check(asks("0.4 mg", 4), running)) == 0, "from 4.8 to 5.6 is 17 %"
    assert overridden(check(asks("0.4 mg", 4), replace(running, since_change_s=3600))) == STEP, "an hour behind the last change"
    assert overridden(check(asks("0.1 mg", 4), replace(running, since_change_s=3600))) == 0, "a fall"


@pytest.mark.req("TH-PROG-17")
def test_a_lockout_typed_in_minutes_for_hours_is_said_even_where_the_day_stays_below_its_limits():
    def locked(lockout):
        made = program("4 mg/day", "morphine", "10 mg/mL", setting="tolerant")
        return replace(made, patient_bolus=PatientBolus.of(made.ingredients, "0.3 mg", "10 min", lockout, 6))

    found = check(locked("20 min"), Baseline.of(locked("20 h"), 7 * DAY))
    assert overridden(found) == BOLUS and "lockout of 20 min is shorter than the 20 h that the patient has now" in found
    assert overridden(check(locked("20 h"), Baseline.of(locked("20 min"), 7 * DAY))) == 0
