"""Refills: mixing, bridges, refused floors, dates; the derived figures of regimens.md and alarms.md."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thecal.host import drug_library
from thecal.host.errors import RequestInvalid
from thecal.host.fill import Fill, bridge, discrepancy, empty_date, low_reservoir_date, mixed_ng_ml, seconds_until_used
from thecal.host.prescription import Prescription, Step

DAY = 86_400
LIBRARY = drug_library.load()


@pytest.mark.req("TH-LIFE-07")
@pytest.mark.parametrize("old, new, mixed", [(500, 2000, 1895), (2000, 500, 605), (20_000, 2000, 3260)])
def test_residual_mixing_of_alarms_section_3(old, new, mixed):
    assert mixed_ng_ml(18_600_000, new * 1000, old * 1000) == mixed * 1000


@pytest.mark.req("TH-LIFE-07")
def test_rinsing():
    once = mixed_ng_ml(18_600_000, 2_000_000, 500_000, rinses=1, rinse_nl=1_400_000)
    assert once == 2_000_000 - Fraction(1_500_000 * 7, 200)
    assert mixed_ng_ml(18_600_000, 2_000_000, 500_000, rinses=3, rinse_nl=2_000_000) > once
    assert mixed_ng_ml(18_600_000, 2_000_000, 500_000, rinses=0, rinse_nl=2_000_000) == 1_895_000


@pytest.mark.parametrize("args, rate, hours", [
    (("0.375 mL", "500 ug/mL", "400 ug/day"), 800_000, Fraction(45, 4)),    # B1: 11.25 h
    (("0.375 mL", "1 mg/mL", "150 ug/day"), 150_000, 60),                   # M1: 60 h
])
def test_bridges_of_regimens(args, rate, hours):
    made = bridge(*args)
    assert (made.volume_nl, made.rate_nl_day, made.duration_s) == (375_000, rate, hours * 3600)


def test_bridge_at_the_old_rate_and_its_refusals():
    assert bridge("0.375 mL", "500 ug/mL", old_rate="0.8 mL/day").duration_s == 40_500
    assert bridge("0.375 mL", "500 ug/mL", "400 ug/day").text() == "0.375 mL of old drug at 0.8 mL/day: 11.25 h"
    for kwargs, words in (({}, "either"), ({"dose": "1 ug/day", "old_rate": "1 mL/day"}, "either"), ({"dose": "1 ug/day"}, "outside 0.048")):
        with pytest.raises(RequestInvalid, match=words):
            bridge("0.375 mL", "500 ug/mL", **kwargs)
    with pytest.raises(RequestInvalid, match="above 0"):
        bridge("0.375 mL", "0 ug/mL", "1 ug/day")


def test_a_fill_in_whole_microlitres():
    made = Fill("20 mL", "baclofen", "500 ug/mL", withdrawn="1.4 mL", library=LIBRARY)
    assert (made.volume_ul, made.withdrawn_ul) == (20_000, 1400)
    assert made.check() == []
    for volume, words in (("0 mL", "more than 0"), ("61 mL", "0 .. 60 mL"), ("1.001 uL", "whole number of uL"), ("20", "no unit")):
        with pytest.raises(RequestInvalid, match=words):
            Fill(volume, "baclofen", "500 ug/mL", library=LIBRARY)


@pytest.mark.req("TH-PROG-10")
@pytest.mark.parametrize("drug, concentration", [("sufentanil", "5000 ug/mL"), ("fentanyl", "10 mg/mL"), ("hydromorphone", "15 mg/mL"),
    ("hydromorphone", "10 mg/mL"), ("morphine", "20 mg/mL"), ("morphine", "25 mg/mL")])
def test_a_floor_above_the_starting_dose_is_refused(drug, concentration):
    made = Fill("20 mL", drug, concentration, library=LIBRARY)
    with pytest.raises(RequestInvalid, match="above the starting dose"):
        made.check()
    with pytest.raises(RequestInvalid, match="and the patient's"):
        made.check({drug: Fraction(1)})


@pytest.mark.req("TH-PROG-10")
@pytest.mark.parametrize("drug, concentration, setting", [
    ("morphine", "10 mg/mL", None),             # M3: 0.48 of 0.5 mg
    ("morphine", "20 mg/mL", "tolerant"), ("morphine", "25 mg/mL", "cancer"), ("hydromorphone", "10 mg/mL", "cancer"),
    ("hydromorphone", "2 mg/mL", None), ("bupivacaine", "20 mg/mL", None)])
def test_a_setting_that_starts_higher_takes_a_stronger_fill(drug, concentration, setting):
    assert not any("starting dose" in line for line in Fill("20 mL", drug, concentration, setting=setting, library=LIBRARY).check())


@pytest.mark.req("TH-LIFE-26")
def test_the_life_is_that_of_the_concentration_and_of_the_drugs_first_fill():
    def lives(concentration, before=(), **more):
        made = Fill("18 mL", "ziconotide", concentration, library=LIBRARY, **more)
        return made.use_before_s(1000, before) - 1000, made.next_due_s(1000, before)

    assert lives("25 ug/mL") == (14 * DAY, 14 * DAY) == lives("25 ug/mL", ("morphine",)), "a first fill in a used pump too"
    assert lives("25 ug/mL", ("ziconotide",)) == (84 * DAY, 84 * DAY) and lives("20 ug/mL", ("ziconotide",)) == (40 * DAY, 40 * DAY)
    assert lives("25 ug/mL", rinse=True) == (-1000, 0), "a rinse is no fill and starts no life"
    mixed = Fill("18 mL", "morphine", "20 mg/mL", also={"ziconotide": "25 ug/mL"}, library=LIBRARY)
    assert mixed.next_due_s(0, ("morphine",)) == 14 * DAY and mixed.next_due_s(0, ("morphine", "ziconotide")) == 84 * DAY
    dated = Fill("18 mL", "baclofen", "500 ug/mL", next_refill="2026-02-01 09:00", library=LIBRARY)
    assert dated.next_due_s(dated.next_refill_s - 5 * DAY) == 5 * DAY and dated.next_due_s(dated.next_refill_s - 300 * DAY) == 180 * DAY


def test_a_floor_fits_a_patient_who_has_the_dose_already():
    made = Fill("20 mL", "ziconotide", "100 ug/mL", library=LIBRARY)
    with pytest.raises(RequestInvalid, match="4.8 ug/day"):
        made.check()
    assert "fit only for the dose reached" in made.check({"ziconotide": Fraction(6960)})[0]


def test_concentrations_and_mixtures():
    with pytest.raises(RequestInvalid, match="hard limit of 25 mg/mL"):
        Fill("20 mL", "morphine", "26 mg/mL", library=LIBRARY).check()
    assert "usual limit of 20 mg/mL" in Fill("20 mL", "morphine", "25 mg/mL", setting="cancer", library=LIBRARY).check()[0]
    assert "not a listed concentration" in Fill("20 mL", "baclofen", "700 ug/mL", library=LIBRARY).check()[0]
    with pytest.raises(RequestInvalid, match="must not be mixed"):
        Fill("20 mL", "baclofen", "500 ug/mL", also={"morphine": "1 mg/mL"}, library=LIBRARY).check()
    warned = Fill("20 mL", "morphine", "2 mg/mL", also={"ziconotide": "25 ug/mL"}, library=LIBRARY).check()
    assert any("label advises against" in line for line in warned)


@pytest.mark.req("TH-LIFE-08")
def test_b1_lasts_93_days():
    program = Prescription.simple("baclofen", concentration="2000 ug/mL", dose="400 ug/day", library=LIBRARY)
    start = 63_536_400
    assert empty_date(program, 20_000_000, start) - start == 93 * 86_400
    assert low_reservoir_date(program, 20_000_000, start) - start == 83 * 86_400    # 2 mL are more than 7 days of 0.2
    fast = Prescription.simple("baclofen", concentration="500 ug/mL", dose="400 ug/day", library=LIBRARY)
    assert low_reservoir_date(fast, 20_000_000, start) - start == Fraction(18_600_000 - 7 * 800_000, 800_000) * 86_400
    assert low_reservoir_date(fast, 1_000_000, start) == start


FLEX = Prescription.flex(
    "baclofen", concentration="2000 ug/mL", library=LIBRARY, steps=[{"from": "06:00", "dose": "13.75 ug/h"}, {"from": "22:00", "dose": "25 ug/h"}],
    weekdays={"sun": [{"from": "00:00", "dose": "minimum"}]})


@pytest.mark.slow
@pytest.mark.req("TH-LIFE-08")
@settings(deadline=None)     # a loaded machine is no reason
@given(st.integers(0, 20_000_000), st.integers(0, 2 * 604_800))
def test_the_date_is_when_the_volume_is_gone(volume, start):
    at = seconds_until_used(FLEX, volume, start)

    def used(seconds):
        """By brute force, minute by minute and then second by second."""
        total, now = Fraction(0), start
        weeks, rest = divmod(seconds, 604_800)
        total += weeks * FLEX.weekly_nl()
        end = now + rest
        while now < end:
            step = min(60 - now % 60, end - now)
            total += Fraction(FLEX.rate_at(now) * step, 86_400)
            now += step
        return total
    assert used(at) >= volume
    assert at == 0 or used(at - 1) < volume


def test_a_program_that_gives_nothing_has_no_date():
    nothing = Prescription("simple", (), ((Step(0, 0),),), (0,) * 7, 0, "stop")
    with pytest.raises(RequestInvalid, match="delivers nothing"):
        seconds_until_used(nothing, 1, 0)


@pytest.mark.req("TH-LIFE-06")
@pytest.mark.parametrize("expected, withdrawn, delivered, words", [
    (3_000_000, 2_500_000, 10_000_000, None),
    (3_000_000, 1_400_000, 10_000_000, "1.6 mL less withdrawn than expected: over-infusion"),
    (3_000_000, 4_700_000, 10_000_000, "1.7 mL more withdrawn than expected: under-delivery"),
    (15_000_000, 2_000_000, 3_000_000, "theft"),
    (3_000_000, 2_100_000, None, None),
    (3_000_000, 1_800_000, None, "1.2 mL less withdrawn than expected: the log no longer reaches back to the last refill, so it is not known"),
    (3_000_000, 4_200_000, None, "1.2 mL more withdrawn than expected: the log no longer reaches back"),
])
def test_refill_discrepancy_of_alarms_section_4(expected, withdrawn, delivered, words):
    said = discrepancy(expected, withdrawn, delivered)
    assert said is None if words is None else words in said
