"""Patient boluses: M3 in numbers, every argument refused one beyond its bound, the wrong hours and minutes of the field."""

import pytest

from thecal.host import drug_library, units
from thecal.host.bolus import LEAST_NL, MOST_NL, PatientBolus, volume_of
from thecal.host.errors import RequestInvalid
from thecal.host.limits import DAILY, STEP, Baseline, check, overridden
from thecal.host.prescription import Prescription, ingredients_of

LIBRARY = drug_library.load()
MORPHINE = ingredients_of("morphine", "10 mg/mL", None, LIBRARY)
BASAL = Prescription.simple("morphine", concentration="10 mg/mL", dose="4 mg/day", setting="tolerant", library=LIBRARY)
RUNNING = Baseline.of(BASAL, 7 * 86_400)


def bolus(dose="0.2 mg", over="10 min", lockout="3 h", per_day=4, items=MORPHINE, **more):
    return PatientBolus.of(items, dose, over, lockout, per_day, **more)


def test_m3():
    made = bolus()
    assert (made.volume_nl, made.seconds, made.lockout_min, made.per_day) == (20_000, 600, 180, 4)
    assert made.rate_nl_day == 2_880_000 and made.most_a_day == 4
    assert made.text(MORPHINE[0]) == "morphine 0.2 mg over 10 min, lockout 3 h, 4 in 24 h"
    program = BASAL.with_bolus("0.2 mg", "10 min", "3 h", 4)
    assert program.worst_daily_nl() == 480_000 and program.ingredients[0].dose_ng(program.worst_daily_nl()) == 4_800_000, "worst case 4.8 mg/day"
    assert check(program, RUNNING) == []


@pytest.mark.parametrize("made, most", [
    (bolus(per_day=48), 8),                                        # (10 min + 3 h) fits seven times behind the first
    (bolus(per_day=48, lockout="1 min", over="1 min"), 48),
    (bolus(per_day=10, interval="6 h", per_interval=2), 8),
    (bolus(per_day=10, interval="5 h", per_interval=1), 5),       # five windows of 5 h touch a day
])
def test_how_many_a_day_can_hold(made, most):
    assert made.most_a_day == most


def test_the_rate_is_rounded_up_as_the_pump_does():
    assert bolus(dose="0.2 mg", over="7 min").rate_nl_day == -(-20_000 * 86_400 // 420)


@pytest.mark.req("TH-BAD-03")
@pytest.mark.parametrize("more, words", [
    ({"dose": "0.001 mg"}, "bolus of 0.001 mg is 0.1 uL at 10 mg/mL; the pump gives 0.2 uL .. 1000 uL"), ({"dose": "10.1 mg"}, "is 1010 uL"),
    ({"dose": "0.2"}, "no unit"), ({"dose": "0 mg"}, "is 0 uL"),
    ({"over": "29 s"}, "bolus over '29 s' is outside 30 s .. 18 h 12 min"), ({"over": "65536 s", "lockout": "2 d"}, "is outside 30 s .. 18 h 12 min"),
    ({"lockout": "0 min"}, "must be whole minutes, 1 min .. 7 d"), ({"lockout": "7 d 00:01"}, "must be whole minutes, 1 min .. 7 d"),
    ({"lockout": "90 s"}, "must be whole minutes"), ({"lockout": "9 min"}, "bolus over 10 min is longer than its lockout of 9 min"),
    ({"per_day": 0}, "0 boluses in 24 h; allowed are 1 .. 48"), ({"per_day": 49}, "49 boluses in 24 h; allowed are 1 .. 48"),
    ({"interval": "6 h"}, "given together"), ({"per_interval": 2}, "given together"), ({"interval": "25 h", "per_interval": 2}, "whole hours up to 24"),
    ({"interval": "90 min", "per_interval": 2}, "whole hours up to 24"), ({"interval": "6 h", "per_interval": 256}, "(256, 1 .. 255)"),
])
def test_refusals_name_the_bound(more, words):
    with pytest.raises(RequestInvalid) as caught:
        bolus(**more)
    assert words in str(caught.value)


@pytest.mark.parametrize("dose, over, lockout, per_day", [
    ("0.002 mg", "30 s", "1 min", 1), ("10 mg", "65535 s", "7 d", 48), ("0.2 mg", "3 h", "3 h", 4)])
def test_the_bounds_themselves_are_taken(dose, over, lockout, per_day):
    assert LEAST_NL <= bolus(dose, over, lockout, per_day).volume_nl <= MOST_NL


@pytest.mark.parametrize("drug, concentration, also, words", [
    ("baclofen", "2000 ug/mL", None, "grants no patient bolus of baclofen"), ("ziconotide", "25 ug/mL", None, "allows no bolus of ziconotide: it is given as a continuous infusion only"),
    ("morphine", "10 mg/mL", {"ziconotide": "25 ug/mL"}, "allows no bolus of ziconotide"),
    ("clonidine", "500 ug/mL", None, "grants no patient bolus of clonidine alone")])
def test_drugs_that_no_patient_may_ask_for(drug, concentration, also, words):
    with pytest.raises(RequestInvalid, match=words):
        bolus(dose="5 ug", items=ingredients_of(drug, concentration, also, LIBRARY))
    assert bolus(dose="0.2 mg", items=ingredients_of("morphine", "10 mg/mL", {"clonidine": "500 ug/mL"}, LIBRARY))


def test_a_bolus_faster_than_the_head():
    with pytest.raises(RequestInvalid, match="basal and bolus together run at 29.2 mL/day; the head gives 24 mL/day"):
        BASAL.with_bolus("2 mg", "10 min", "3 h", 1)


@pytest.mark.req("TH-PROG-17")
def test_minutes_typed_where_hours_are_meant_trip_the_soft_limit():
    """2004: 20 min in the field of 20 h. The day with all boluses is on the confirm screen, and must be overridden by name."""
    meant, typed = BASAL.with_bolus("0.3 mg", "10 min", "20 h", 40), BASAL.with_bolus("0.3 mg", "10 min", "20 min", 40)
    assert overridden(check(meant, RUNNING)) == 0 and meant.worst_daily_nl() == 460_000
    found = check(typed, RUNNING)
    assert overridden(found) == DAILY | STEP, "with a usual count the step alone would: six a day are 45 % more"
    assert overridden(check(BASAL.with_bolus("0.3 mg", "10 min", "20 min", 6), RUNNING)) == STEP
    assert any("day with all patient boluses of morphine 16 mg/day is above the usual limit of 15 mg/day" in line for line in found)
    with pytest.raises(RequestInvalid, match="day with all patient boluses of morphine 23.2 mg/day is above the hard limit of 20 mg/day"):
        check(BASAL.with_bolus("0.4 mg", "10 min", "20 min", 48), RUNNING)


def test_a_large_bolus_is_unusual():
    assert any("patient bolus of morphine 1 mg is 25 % of the daily dose, above the usual 20 %" in line for line in check(
        BASAL.with_bolus("1 mg", "10 min", "6 h", 4), RUNNING))


def test_a_dose_as_a_volume():
    assert volume_of(MORPHINE[0], "0.2 mg", "bolus", 1, 10**6) == 20_000 and bolus().describe()["rate_nl_day"] == 2_880_000
    with pytest.raises(RequestInvalid) as caught:
        volume_of(MORPHINE[0], "0.2 mg", "bolus", 1, 19_999)
    assert caught.value.field == "bolus" and units.show(19_999, units.VOLUME, "uL") in str(caught.value)
