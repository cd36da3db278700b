"""Prescriptions: regimens.md in numbers, rounding that shows, refusals that name the bound."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thecal.host import drug_library
from thecal.host.errors import RequestInvalid
from thecal.host.prescription import Prescription, Step, default_safety, ingredients_of, rate_for

LIBRARY = drug_library.load()
B2 = [{"from": "02:00", "dose": "20 ug/h"}, {"from": "06:00", "dose": "13.75 ug/h"}, {"from": "22:00", "dose": "25 ug/h"}]


def simple(drug="baclofen", concentration="500 ug/mL", dose="150 ug/day", **more):
    return Prescription.simple(drug, concentration=concentration, dose=dose, library=LIBRARY, **more)


@pytest.mark.parametrize("drug, concentration, dose, rate", [
    ("baclofen", "500 ug/mL", "150 ug/day", 300_000),   # B1
    ("baclofen", "500 ug/mL", "300 ug/day", 600_000),
    ("baclofen", "500 ug/mL", "345 ug/day", 690_000),
    ("baclofen", "2000 ug/mL", "400 ug/day", 200_000),
    ("ziconotide", "25 ug/mL", "0.1 ug/h", 96_000),     # Z1
    ("ziconotide", "25 ug/mL", "6.96 ug/day", 278_400),
    ("morphine", "1 mg/mL", "50 ug/day", 50_000),       # M1
    ("morphine", "10 mg/mL", "2 mg/day", 200_000),      # M2
])
def test_dose_to_rate(drug, concentration, dose, rate):
    program = simple(drug, concentration, dose)
    assert program.patterns == ((Step(0, rate),),)
    assert program.rounding_ng_day() == 0
    assert program.rate_at(63_536_400) == rate


def test_rounding_is_seen():
    program = simple(concentration="2000 ug/mL", dose="100.0001 ug/day")
    assert program.patterns[0][0].rate_nl_day == 50_000
    assert program.rounding_ng_day() == Fraction(-1, 10)
    assert program.daily_dose_ng() == {"baclofen": 100_000}
    assert program.dose_text() == "baclofen 100 ug/day"


def test_b2_flex():
    program = Prescription.flex("baclofen", concentration="2000 ug/mL", steps=B2, library=LIBRARY)
    assert program.patterns[0] == (Step(0, 300_000), Step(7200, 240_000), Step(21_600, 165_000), Step(79_200, 300_000))
    assert program.daily_dose_ng(0) == {"baclofen": 400_000}
    assert program.weekly_nl() == 7 * 200_000
    assert program.rate_at(23 * 3600) == program.rate_at(3600) == 300_000


def test_weekday_variant():
    own = [{"from": "00:00", "dose": "20 ug/h"}, {"from": "09:00", "dose": "10 ug/h"}, {"from": "11:00", "dose": "20 ug/h"}]
    program = Prescription.flex("baclofen", concentration="2000 ug/mL", steps=B2, weekdays={"mon": own, "thu": own}, library=LIBRARY)
    assert program.weekdays == (1, 0, 0, 1, 0, 0, 0)
    assert len(program.patterns) == 2
    assert program.daily_dose_ng(0) == {"baclofen": 460_000}
    assert program.daily_dose_ng() == {"baclofen": 460_000}
    assert program.rate_at(10 * 3600) == 120_000 and program.rate_at(86_400 + 10 * 3600) == 165_000
    assert program.mean_daily_nl() == Fraction(2 * 230_000 + 5 * 200_000, 7)


def test_minimum_rate():
    program = Prescription.minimum_rate("baclofen", concentration="2000 ug/mL", library=LIBRARY)
    assert program.daily_dose_ng() == {"baclofen": 12_000}
    assert program.fallback_nl_day == 6000
    flex = Prescription.flex("baclofen", concentration="2000 ug/mL", library=LIBRARY, steps=[
        {"from": "00:00", "dose": "minimum"}, {"from": "12:00", "dose": "10 ug/h"}])
    assert flex.patterns[0][0].rate_nl_day == 6000


@pytest.mark.req("TH-PROG-09")
@pytest.mark.parametrize("program, fallback, safe", [
    (simple(), 150_000, "minimum"),                                             # 50 %: baclofen is dangerous to stop
    (simple(concentration="2000 ug/mL", dose="100 ug/day"), 48_000, "minimum"),  # half is below the floor: the floor
    (simple("morphine", "1 mg/mL", "0.2 mg/day"), 6000, "minimum"),             # 6 ug of a 100 ug start
    (simple("morphine", "20 mg/mL", "1 mg/day"), 0, "stop"),                    # 120 ug: alarms.md 1
    (simple("fentanyl", "10 mg/mL", "500 ug/day"), 0, "stop"),                  # 60 ug
    (simple("ziconotide", "100 ug/mL", "6 ug/day"), 0, "stop"),                 # 0.6 ug
    (simple("morphine", "1 mg/mL", "0.2 mg/day", also={"clonidine": "500 ug/mL"}), 100_000, "minimum"),
])
def test_fallback_and_safe_state_of_alarms_section_1(program, fallback, safe):
    assert (program.fallback_nl_day, program.safe_state) == (fallback, safe)


def test_a_drug_nobody_knows_is_safest_stopped():
    from thecal.host.prescription import Ingredient
    assert default_safety([Ingredient("novel", 1000, None)], Fraction(100_000)) == (0, "stop")


def test_own_fallback():
    assert simple(fallback="0.1 mL/day").fallback_nl_day == 100_000
    assert simple("morphine", "1 mg/mL", "0.3 mg/day", fallback="0 mL/day").fallback_nl_day == 0
    for text, words in (("0.4 mL/day", "highest rate"), ("0 mL/day", "would stop baclofen abruptly, which is dangerous; it needs at least 0.006 mL/day"), ("0.02 mL/day", "0.048"), ("0.1 mL", "unit of volume")):
        with pytest.raises(RequestInvalid, match=words):
            simple(fallback=text)


@pytest.mark.req("TH-PROG-11")
def test_x1_one_knob_moves_both():
    program = simple("morphine", "10 mg/mL", "5 mg/day", also={"bupivacaine": "20 mg/mL"})
    assert program.dose_text() == "morphine 5 mg/day + bupivacaine 10 mg/day"


@pytest.mark.req("TH-BAD-03")
@pytest.mark.parametrize("make, words", [
    (lambda: simple(dose="150"), "no unit"),
    (lambda: simple(dose="20 ug/day"), "0.04 mL/day; the pump delivers 0.048 mL/day .. 24 mL/day"),
    (lambda: simple(dose="20 mg/day"), "40 mL/day"),
    (lambda: simple(concentration="0 ug/mL"), "above 0"),
    (lambda: simple(concentration="0.0000001 ug/mL"), "whole number of ng/mL"),
    (lambda: simple("aspirin"), "'aspirin' is not in the library"),
    (lambda: simple(also={"baclofen": "1 mg/mL"}), "named twice"),
    (lambda: simple(also={"morphine": "1 mg/mL", "clonidine": "1 mg/mL", "fentanyl": "1 mg/mL"}), "at most 3"),
    (lambda: simple(setting="dog"), "setting 'dog'"),
    (lambda: Prescription.flex("baclofen", concentration="500 ug/mL", steps=[]), "at least one step"),
    (lambda: Prescription.flex("baclofen", concentration="500 ug/mL", steps=[{"from": "00:00"}]), "is not a step"),
    (lambda: Prescription.flex("baclofen", concentration="500 ug/mL", steps=[{"from": "00:00:30", "dose": "5 ug/h"}]), "whole minute"),
    (lambda: Prescription.flex("baclofen", concentration="500 ug/mL", steps=B2, weekdays={"monday": B2}), "weekday 'monday' is none of: mon"),
    (lambda: Prescription.flex("baclofen", concentration="2000 ug/mL", steps=B2[::-1]), "does not come after"),
    (lambda: Prescription.flex("baclofen", concentration="500 ug/mL", steps=[
        {"from": "%02d:00" % hour, "dose": "%d ug/h" % (hour + 5)} for hour in range(1, 14)]), "14 steps a day"),
])
def test_refusals_name_the_bound(make, words):
    with pytest.raises(RequestInvalid) as caught:
        make()
    assert words in str(caught.value)


@given(st.integers(48_000, 24_000_000), st.integers(1, 10**8))
def test_a_dose_made_from_a_rate_gives_that_rate(rate, strength):
    item = ingredients_of("baclofen", "%d ng/mL" % strength, None, LIBRARY)[0]
    assert rate_for(item.dose_ng(rate), item) == rate


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 1439), st.integers(48_000, 24_000_000)), min_size=1, max_size=12, unique_by=lambda step: step[0]))
def test_a_flex_day_is_the_sum_of_its_seconds(steps):
    steps = sorted(steps)
    program = Prescription.flex("baclofen", concentration="1000 ug/mL", library=LIBRARY, steps=[
        {"from": "%02d:%02d" % divmod(minute, 60), "dose": "%d ng/day" % rate} for minute, rate in steps])
    minutes = [program.rate_at(minute * 60) for minute in range(1440)]
    assert program.daily_nl(3) == Fraction(sum(minutes), 1440)
    assert minutes[0] == (steps[0] if steps[0][0] == 0 else steps[-1])[1]


# ---------------------------------------------------------------------------------------------------- periodic programs
FOUR = ["00:00", "06:00", "12:00", "18:00"]


def periodic(dose="400 ug/day", times=FOUR, over="30 min", **more):
    return Prescription.periodic("baclofen", concentration="2000 ug/mL", dose=dose, times=times, over=over, library=LIBRARY, **more)


def test_b3_the_minimum_rate_is_taken_off_the_boluses():
    program = periodic()
    assert len(program.patterns[0]) == 8 and program.patterns[0][1] == Step(1800, 6000)
    each_nl = Fraction(program.patterns[0][0].rate_nl_day - 6000, 48)
    assert program.ingredients[0].dose_ng(each_nl) == 97_000, "(400 - 12) / 4 = 97 ug, not 100"
    assert each_nl == 48_500 and program.daily_dose_ng() == {"baclofen": 400_000} and program.mode == "periodic"


def test_a_first_bolus_later_than_midnight_and_a_basal_dose():
    program = periodic(times=["08:00", "20:00"], basal="100 ug/day")
    assert [step.from_s for step in program.patterns[0]] == [0, 8 * 3600, 8 * 3600 + 1800, 20 * 3600, 20 * 3600 + 1800]
    assert program.patterns[0][0].rate_nl_day == 50_000 and program.daily_dose_ng() == {"baclofen": 400_000}
    assert len(periodic(times=["%02d:00" % (2 * hour) for hour in range(12)]).patterns[0]) == 24
    assert len(periodic(times=["%02d:30" % (2 * hour) for hour in range(12)]).patterns[0]) == 25, "what the pump's block can hold"
    assert len(periodic(times=["00:00"], over="24 h").patterns[0]) == 1, "a bolus that fills its day"


@pytest.mark.parametrize("more, words", [
    ({"times": []}, "0 boluses a day over 30 min; allowed are 1 .. 12"), ({"times": ["%02d:00" % hour for hour in range(13)]}, "13 boluses a day"),
    ({"times": ["00:00:30"]}, "at and over whole minutes"), ({"over": "90 s"}, "at and over whole minutes"), ({"over": "0 min"}, "at and over whole minutes"),
    ({"times": ["00:00", "00:20"]}, "boluses over 30 min meet each other or pass midnight"), ({"times": ["23:45"]}, "pass midnight"),
    ({"times": ["12:00", "06:00"]}, "meet each other"), ({"dose": "12 ug/day"}, "dose 12 ug/day is below what the basal rate of 0.006 mL/day gives"),
    ({"over": "1 min", "times": ["00:00"]}, "runs at 279.366 mL/day; the head gives 24 mL/day"), ({"over": "30"}, "not a duration"),
    ({"basal": "10 ug/day"}, "the pump delivers 0.048 mL/day"),
])
def test_periodic_refusals(more, words):
    with pytest.raises(RequestInvalid) as caught:
        periodic(**more)
    assert words in str(caught.value)


def test_the_next_step_of_a_week():
    program = Prescription.flex("baclofen", concentration="2000 ug/mL", steps=B2, weekdays={"tue": [{"from": "00:00", "dose": "10 ug/h"}]}, library=LIBRARY)
    assert program.next_step_s(12 * 3600) == 22 * 3600 and program.next_step_s(22 * 3600) == 86_400, "Tuesday's own rate begins at midnight"
    assert program.next_step_s(86_400) == 2 * 86_400 and program.next_step_s(2 * 86_400 + 22 * 3600) == 3 * 86_400 + 2 * 3600, "the night runs through midnight"
    assert simple().next_step_s(5) == 5 + 7 * 86_400, "one rate has no step"
