"""Limits: the traps of regimens.md, each met by the rule it was written for."""

from fractions import Fraction

import pytest

from thecal.host import drug_library, units
from thecal.host.errors import RequestInvalid
from thecal.host.limits import Baseline, check, check_bolus, has_ceiling
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


def test_z2_the_ceiling_may_be_reached_on_day_24():
    said = check(program("19.2 ug/day", "ziconotide", "25 ug/mL"), after("16.8 ug/day", "ziconotide", since_s=3 * DAY, day=24))
    assert all("before day" not in line for line in said)
    assert has_ceiling(program("2.4 ug/day", "ziconotide", "25 ug/mL")) and not has_ceiling(program("150 ug/day"))


def test_a_fall_of_a_harmless_drug_is_no_matter():
    assert check(program("0.5 mg/day", "morphine", "2 mg/mL"), after("2 mg/day", "morphine", since_s=60)) == []


def test_x1_the_first_limit_of_either_drug_stops_the_change():
    mix = {"also": {"bupivacaine": "20 mg/mL"}}
    running = Baseline.of(program("3 mg/day", "morphine", "10 mg/mL", **mix))
    assert any("bupivacaine 16 mg/day" in line for line in check(program("8 mg/day", "morphine", "10 mg/mL", **mix), running))
    with pytest.raises(RequestInvalid, match="bupivacaine 22 mg/day is above the hard limit of 20 mg/day"):
        check(program("11 mg/day", "morphine", "10 mg/mL", **mix), running)


def test_a_drug_outside_the_library_is_said_to_be_unchecked():
    pending = Prescription("simple", (Ingredient("novel", 10**6, None),), ((Step(0, 300_000),),), (0,) * 7, 0, "stop")
    assert check(pending) == ["novel is not in the library: its doses are not checked"]


def test_boluses_of_the_screening_trial():
    baclofen = LIBRARY["baclofen"]
    assert check_bolus(baclofen, units.dose_ng("75 ug"), "trial") == []
    assert "usual limit of 75 ug" in check_bolus(baclofen, units.dose_ng("100 ug"), "trial")[0]
    with pytest.raises(RequestInvalid, match="101 ug is above the hard limit of 100 ug"):
        check_bolus(baclofen, units.dose_ng("101 ug"), "trial")
    with pytest.raises(RequestInvalid, match="no bolus of ziconotide"):
        check_bolus(LIBRARY["ziconotide"], Fraction(1))
