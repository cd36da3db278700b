"""Caps: mass per drug from the library, and the CRC that says which library it was."""

from dataclasses import replace
from fractions import Fraction

import pytest
from thecal.host import drug_library
from thecal.host.caps import NOT_CAPPED, Cap, boluses_nl, caps_of, check, library_crc, worst_nl
from thecal.host.errors import RequestInvalid
from thecal.host.prescription import Ingredient, Prescription, ingredients_of

LIBRARY = drug_library.load()


def test_the_hard_limit_with_room_for_one_pulse_and_three_buckets():
    items = ingredients_of("morphine", "10 mg/mL", {"bupivacaine": "20 mg/mL"}, LIBRARY)
    morphine, bupivacaine = caps_of(items, None, 1000)
    assert morphine == Cap(2_535_000, 20_210_000), "20 mg x 1.01 + 10 ug; an eighth of it in an hour"
    assert bupivacaine == Cap(2_545_000, 20_220_000)
    assert caps_of(items[:1], "cancer", 1000)[0].day_ng == 25_260_000, "the setting's own limit"
    assert caps_of(ingredients_of("ziconotide", "25 ug/mL", None, LIBRARY), None, 1000)[0] == Cap(995, 19_417), "rounded up to whole ng"


def test_a_drug_that_nobody_knows_here_is_not_capped_by_us():
    assert caps_of((Ingredient("novel", 10**6, None),), None, 1000) == (Cap(NOT_CAPPED, NOT_CAPPED),)


@pytest.mark.req("TH-PROG-13", "TH-PROG-12")
def test_the_crc_is_that_of_drug_concentration_setting_and_file():
    items = ingredients_of("morphine", "10 mg/mL", None, LIBRARY)
    crc = library_crc(items, None)
    assert crc == library_crc(ingredients_of("morphine", "10 mg/mL", None, drug_library.load()), None) == library_crc(items, "non-cancer")
    newer = replace(items[0], drug=replace(items[0].drug, version=items[0].drug.version + 1))
    others = [library_crc(ingredients_of("morphine", "20 mg/mL", None, LIBRARY), None), library_crc(items, "cancer"), library_crc((newer,), None)]
    assert len({crc, *others}) == 4 and 0 <= crc < 2**32


@pytest.mark.req("TH-PROG-13")
def test_a_program_carries_caps_steps_and_the_library_it_was_checked_with():
    mix = Prescription.simple("morphine", concentration="10 mg/mL", dose="1 mg/day", also={"clonidine": "500 ug/mL"}, library=LIBRARY)
    assert mix.guard.caps == caps_of(mix.ingredients, None, 1000) and mix.guard.library_crc == library_crc(mix.ingredients, None)
    assert (mix.guard.step_pct, mix.guard.step_interval_h, mix.guard.abrupt_stop) == (30, 23, True)
    zic = Prescription.simple("ziconotide", concentration="25 ug/mL", dose="2.4 ug/day", library=LIBRARY)
    assert (zic.guard.step_pct, zic.guard.step_interval_h, zic.guard.abrupt_stop) == (0, 47, False), "48 h less the grace of a visit"
    assert Fraction(zic.guard.caps[0].day_ng) > LIBRARY["ziconotide"].setting().dose_hard


def flex(day, **weekdays):
    def steps(row):
        return [{"from": at, "dose": dose} for at, dose in row]
    return Prescription.flex("morphine", concentration="10 mg/mL", steps=steps(day), library=LIBRARY,
                             weekdays={name: steps(row) for name, row in weekdays.items()})


@pytest.mark.req("TH-CAP-03")
def test_the_fullest_window_crosses_midnight_and_the_end_of_the_week():
    week = flex([("00:00", "0.04 mg/h")], sun=[("00:00", "0.04 mg/h"), ("12:00", "1.2 mg/h")], mon=[("00:00", "1.2 mg/h"), ("12:00", "0.04 mg/h")])
    assert worst_nl(week, 86_400) == 24 * 120_000 and week.max_daily_nl() == 12 * 124_000
    assert worst_nl(week, 3600) == 120_000 and worst_nl(week, 7 * 86_400) == week.weekly_nl()
    with pytest.raises(RequestInvalid, match=r"^the fullest 24 h of this program hold 28.8 mg of morphine; the cap is 20.21 mg$"):
        check(week, 1000)       # no calendar day is above 20 mg: by the day's doses alone it passed


@pytest.mark.req("TH-CAP-03")
def test_an_hour_is_held_to_its_own_cap_and_boluses_count():
    with pytest.raises(RequestInvalid, match=r"^the fullest hour of this program holds 3 mg of morphine; the cap is 2.535 mg$"):
        check(flex([("00:00", "0.1 mg/h"), ("06:00", "3 mg/h"), ("07:00", "0.1 mg/h")]), 1000)
    calm = flex([("00:00", "0.1 mg/h")])
    check(calm, 1000)
    check(calm.with_bolus("0.2 mg", "10 min", "3 h", 4), 1000)
    with pytest.raises(RequestInvalid, match="the fullest hour of this program, all patient boluses granted, holds"):
        check(calm.with_bolus("0.6 mg", "5 min", "5 min", 6), 1000)


def test_boluses_come_as_early_as_lockout_and_counts_allow():
    asked = flex([("00:00", "0.1 mg/h")]).with_bolus("0.2 mg", "10 min", "20 min", 5, interval="2 h", per_interval=3).patient_bolus
    assert boluses_nl(asked, 600) == 20_000 and boluses_nl(asked, 300) == pytest.approx(10_000)
    assert boluses_nl(asked, 3600) == 40_000 and boluses_nl(asked, 7200) == 60_000      # 0, 30 and 60 min, then the interval
    assert boluses_nl(asked, 86_400) == 100_000
