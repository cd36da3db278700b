"""Caps: mass per drug from the library, and the CRC that says which library it was."""

from dataclasses import replace
from fractions import Fraction

import pytest
from thecal.host import drug_library
from thecal.host.caps import NOT_CAPPED, Cap, caps_of, library_crc
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
    newer = replace(items[0], drug=replace(items[0].drug, version=2))
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
