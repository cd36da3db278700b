"""What a refill, a prime or a bridge would do, from what the pump has on record: the hazards of a changed concentration."""

from dataclasses import replace

import pytest
from fake_pump import FakePump, event

from thecal.host import review, units
from thecal.host.errors import RequestInvalid
from thecal.host.fill import Fill
from thecal.host.implant import Implant
from thecal.host.prescription import Bridge, Prescription
from thecal.host.records import Status, read_events
from thecal.protocol import catalogue as cat

OLD = Prescription.simple("baclofen", concentration="500 ug/mL", dose="400 ug/day")
NEW = Prescription.simple("baclofen", concentration="2000 ug/mL", dose="400 ug/day")
START_S = 63_536_400


def status(**fields):
    return Status.of({**FakePump().status(), **fields})


def log(*rows):
    return read_events(b"".join(event(seq, *row) for seq, row in enumerate(rows)), 0)


def warned(program, fill, events=(), **fields):
    return review.refill_warnings(status(**fields), program, fill, Implant(), events)


def test_a_refill_of_the_same_says_nothing():
    assert warned(OLD, Fill("18.6 mL", "baclofen", "500 ug/mL", withdrawn="2 mL"), reservoir_computed_nl=3_400_000) == []


@pytest.mark.req("TH-LIFE-07")
def test_another_concentration_names_old_and_new_dose_mixing_bridge_and_odd_volume():
    events = log((5, cat.E_REFILL, 0, 18_600))
    said = warned(OLD, Fill("18.6 mL", "baclofen", "2000 ug/mL", withdrawn="5 mL"), events, reservoir_computed_nl=3_400_000, catheter=1)
    assert said[0] == ("ANOTHER CONCENTRATION: the running program gives 400 ug/day baclofen of 500 ug/mL; "
                       "with this fill the same rate gives 1600 ug/day baclofen of 2000 ug/mL")
    assert "1600 ug/day is above the usual limit of 1000 ug/day" in said[1]
    assert "1895 ug/mL of baclofen" in said[2] and "0.375 mL of old drug at 0.8 mL/day: 11.25 h" in said[3]
    assert "3 mL more withdrawn than expected" in said[4]


def test_a_fill_above_the_hard_limit_at_the_running_rate_is_refused_while_it_is_given():
    fast = Prescription.simple("baclofen", concentration="500 ug/mL", dose="900 ug/day")
    fill = Fill("18.6 mL", "baclofen", "2000 ug/mL")
    for mode in (2, 4):
        with pytest.raises(RequestInvalid, match=r"900 ug/day baclofen of 500 ug/mL; with this fill the same rate gives 3600 ug/day .* hard limit of 2000 ug/day"):
            warned(fast, fill, mode=mode)
    assert any("hard limit of 2000 ug/day" in line for line in warned(fast, fill, mode=3)), "stopped: the clinician gets out of it"


def test_another_drug_is_loud_and_held_to_its_starting_dose():
    weak = Prescription.simple("baclofen", concentration="500 ug/mL", dose="30 ug/day")
    said = warned(weak, Fill("18.6 mL", "morphine", "1 mg/mL"))
    assert said[0].startswith("ANOTHER DRUG: the running program gives 30 ug/day baclofen of 500 ug/mL, this fill holds none of it")
    assert "withdrawal" in said[0] and said[1].startswith("ANOTHER DRUG:") and "0.06 mg/day morphine of 1 mg/mL" in said[1]
    with pytest.raises(RequestInvalid, match="ANOTHER DRUG: .*400 ug/day baclofen.*morphine of 25 mg/mL.*hard limit"):
        warned(OLD, Fill("18.6 mL", "morphine", "25 mg/mL", setting="cancer"))


def test_delivered_since_the_last_refill():
    now = status(reservoir_computed_nl=15_000_000)
    assert review.delivered_since_refill_nl(now, log((5, cat.E_REFILL, 0, 18_600)), Implant()) == 3_600_000
    assert review.delivered_since_refill_nl(now, log((5, cat.E_REFILL, 0, 18_600), (9, cat.E_REFILL, 0, 18_600)), Implant()) == 5_000_000
    assert review.delivered_since_refill_nl(now, [], Implant()) is None


def test_a_bridge_only_where_something_changes_and_runs():
    assert review.bridge_for(None, OLD.ingredients, 375_000) is None and review.bridge_for(OLD, OLD.ingredients, 375_000) is None
    assert review.bridge_for(OLD, NEW.ingredients, 375_000) == Bridge(375_000, 800_000)
    still = replace(OLD, patterns=((replace(OLD.patterns[0][0], rate_nl_day=0),),))
    assert review.bridge_for(still, NEW.ingredients, 375_000) is None


# ---------------------------------------------------------------------------------------------------- primes
@pytest.mark.parametrize("program, dose", [(None, "not known"), (OLD, "baclofen 187.5 ug")])
def test_the_dose_of_a_prime(program, dose):
    seen = review.prime_review(status(), program, Implant(), "both", 375_000)
    assert seen.text(program).startswith(dose) and not seen.filled and seen.warnings == []


def test_a_drug_filled_catheter_is_never_primed():
    for what in ("catheter", "both"):
        with pytest.raises(RequestInvalid, match="on record as drug-filled: priming it would give the patient baclofen .* at once; record an aspiration"):
            review.prime_review(status(catheter=1), OLD, Implant(), what, review.part_nl(Implant(), what))
    assert review.prime_review(status(catheter=1), OLD, Implant(), "tubing", 199_000).filled, "a new pump on an old catheter"
    for what, most in (("tubing", 199_000), ("catheter", 176_000), ("both", 375_000)):
        assert review.prime_review(status(), OLD, Implant(), what, most + 1000).volume_nl == most + 1000, "a pulse more is within the pump's own step"
        with pytest.raises(RequestInvalid, match="is more than .* holds: %g mL" % (most / 1e6)):
            review.prime_review(status(), OLD, Implant(), what, most + 1001)
    with pytest.raises(RequestInvalid, match="part 'port' is none of: tubing, catheter, both"):
        review.part_nl(Implant(), "port")


@pytest.mark.parametrize("fields, due, empty", [
    ({}, "both", {"tubing": 199_000, "catheter": 176_000, "both": 375_000}),
    ({"pulses": 100}, "both", {"tubing": 99_000, "catheter": 176_000, "both": 275_000}),
    ({"pulses": 250}, "catheter", {"catheter": 125_000, "both": 125_000}),
    ({"pulses": 9000}, "catheter", {"catheter": 176_000, "both": 176_000}),     # it was aspirated: the tubing before it was not
    ({"pulses": 0, "catheter": 1}, None, {"tubing": 199_000}),                  # a new pump on an old catheter
])
def test_what_is_empty_of_the_line(fields, due, empty):
    assert review.prime_due(status(**fields), Implant()) == due
    for what, volume in empty.items():
        assert review.empty_nl(status(**fields), Implant(), what) == volume
    if "tubing" not in empty:
        with pytest.raises(RequestInvalid, match="the tubing holds drug already"):
            review.empty_nl(status(**fields), Implant(), "tubing")


@pytest.mark.req("TH-LIFE-32")
def test_an_empty_catheter_is_said():
    assert review.dry_line(status(), OLD, Implant()) == [
        "the catheter is on record as EMPTY: no drug reaches the patient before 0.375 mL have filled it (11.25 h at the program's rate); prime it (both) first"]
    assert "before 0.176 mL have filled it; prime it (catheter) first" in review.dry_line(status(pulses=9000), None, Implant())[0], "it was aspirated"
    assert review.dry_line(status(catheter=1), OLD, Implant()) == [] == review.dry_line(status(extra=1), OLD, Implant())
    assert review.dry_line(status(), OLD, None) == [], "on the shelf"


# ---------------------------------------------------------------------------------------------------- fills that do not fit
def test_a_fill_above_the_capacity_and_an_expired_label():
    review.check_fits(Fill("18.6 mL", "baclofen", "500 ug/mL"), Implant(), START_S, first=False)
    review.check_fits(Fill("20 mL", "baclofen", "500 ug/mL"), Implant(), START_S, first=True)
    with pytest.raises(RequestInvalid, match="a fill of 18.601 mL is more than the reservoir takes: 18.6 mL over its residual"):
        review.check_fits(Fill("18.601 mL", "baclofen", "500 ug/mL"), Implant(), START_S, first=False)
    with pytest.raises(RequestInvalid, match="the drug expired on 2026-01-01 by its label; the pump's clock says 2026-01-05 09:00:00"):
        review.check_fits(Fill("10 mL", "baclofen", "500 ug/mL", expiry="2026-01-01"), Implant(), START_S, first=False)


# ---------------------------------------------------------------------------------------------------- single boluses
M4 = Prescription.simple("morphine", concentration="10 mg/mL", dose="4 mg/day", setting="tolerant")


def test_a_single_bolus_and_its_day():
    seen = review.single_bolus(M4, "0.2 mg", "10 min")
    assert (seen.volume_nl, seen.seconds, seen.day, seen.warnings) == (20_000, 600, "morphine 4.2 mg/day", [])
    assert review.single_bolus(M4.with_bolus("0.2 mg", "10 min", "3 h", 4), "0.2 mg", "10 min").day == "morphine 5 mg/day", "with all that the patient may take"
    own, day = review.single_bolus(M4, "12 mg", "2 h").warnings
    assert "above the usual limit of 15 mg/day" in day and own.bit and day.bit
    assert own == "single bolus of morphine 12 mg is above the usual 20 % of the daily dose, 0.8 mg"


@pytest.mark.req("TH-BOL-13")
def test_a_single_bolus_counts_with_those_before_it():
    assert review.single_bolus(M4, "0.8 mg", "1 h").warnings == [] and len(review.single_bolus(M4, "0.81 mg", "1 h").warnings) == 1
    day_nl = 400_000 + 1389 + 1000      # the pump's 24 h may be 5 min longer, and end with a pulse
    assert review.beyond_basal_nl(M4, status(delivered_day_nl=day_nl, pulse_nl=1000)) == 0
    assert review.beyond_basal_nl(M4, status(delivered_day_nl=day_nl + 60_000, pulse_nl=1000)) == 60_000
    seen = review.single_bolus(M4, "0.4 mg", "20 min", 60_000)
    assert seen.day.startswith("morphine 5 mg/day")
    assert seen.warnings == ["single bolus of morphine 0.4 mg makes 1 mg with the 0.6 mg given beyond the basal in the last 24 h: above the usual 20 % of the daily dose, 0.8 mg"]
    asked = M4.with_bolus("0.2 mg", "10 min", "3 h", 4)
    assert review.beyond_basal_nl(asked, status(delivered_day_nl=day_nl + 60_000, pulse_nl=1000, boluses_granted=3)) == 0, "the program counts the patient's own"
    with pytest.raises(RequestInvalid, match="daily dose of morphine 20.2 mg/day is above the hard limit of 20 mg/day"):
        review.single_bolus(M4, "0.2 mg", "10 min", 1_600_000)
    events = log((5, cat.E_BOLUS, 3, 70_000, 600), (90_000, cat.E_BOLUS, 3, 80_000, 600), (90_300, cat.E_BOLUS_CUT, 3, 30_000), (95_000, cat.E_BOLUS, 4, 20_000, 600),
                 (95_200, cat.E_BOLUS_CUT, 4, 10_000), (96_000, cat.E_BOLUS, 3, 40_000, 600), (74_400, cat.E_SET_CLOCK, 0, 74_400, 96_000))
    assert review.boluses_nl(events, 75_000) == 90_000, "one is a day old, one was cut, one the patient's own; the clock went back meanwhile"
    low = Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day")
    assert review.single_bolus(low, "75 ug", "10 min").warnings == []
    assert review.single_bolus(low, "76 ug", "10 min").warnings == ["single bolus of baclofen 76 ug is above the usual single dose of a trial, 75 ug"]


@pytest.mark.parametrize("dose, over, words", [
    ("17 mg", "2 h", "daily dose of morphine 21 mg/day is above the hard limit of 20 mg/day"),
    ("0.2 mg", "29 s", "outside 30 s .. 24 h"), ("0.2 mg", "1 d 00:01", "outside 30 s .. 24 h"), ("0.2", "10 min", "no unit"),
    ("0.001 mg", "10 min", "the pump gives 0.2 uL .. 5000 uL"), ("0.2 mg", "10", "not a duration"),
    ("2.5 mg", "30 s", "basal and bolus together run at 720.4 mL/day; the head gives 24 mL/day"),
])
def test_a_single_bolus_that_is_refused(dose, over, words):
    with pytest.raises(RequestInvalid) as caught:
        review.single_bolus(M4, dose, over)
    assert words in str(caught.value)


# ---------------------------------------------------------------------------------------------------- the clock
B2 = Prescription.flex("baclofen", concentration="2000 ug/mL", steps=[
    {"from": "02:00", "dose": "20 ug/h"}, {"from": "06:00", "dose": "13.75 ug/h"}, {"from": "22:00", "dose": "25 ug/h"}])
NOON_S = START_S + 3 * 3600


def test_six_zones_east_move_the_steps_and_not_the_dose():
    said = review.clock_warnings(B2, NOON_S, NOON_S + 6 * 3600)
    assert said == ["the program's steps move: they come 6 h earlier than by the old clock",
                    "the next step (22:00) comes in 4 h; by the old clock the next one was 22:00 in 10 h",
                    "what lies between is leapt over: 0.041 mL is not given, and what comes next is so much nearer to what was given last"]
    assert "is not given of the first day" in review.clock_warnings(B2, NOON_S, NOON_S + 30 * 3600)[2]


@pytest.mark.req("TH-LIFE-28")
def test_a_clock_set_back_gives_no_step_twice_and_that_is_said_before():
    back = review.clock_warnings(B2, NOON_S, NOON_S - 9 * 3600)
    assert "9 h later" in back[0] and back[2] == "no step is given twice: until the pump's clock shows %s the day's dose runs evenly" % units.pump_time_text(NOON_S)
    assert back[1].startswith("the next step (22:00) comes in 19 h") and back[3] == "the rate changes at once, from 0.165 mL/day to 0.2 mL/day"
    assert units.pump_time_text(NOON_S - 8 * 86_400) in review.clock_warnings(B2, NOON_S, NOON_S - 9 * 86_400)[2], "for a day at most"
    lost = review.clock_warnings(B2, NOON_S, NOON_S - 9 * 3600, lost=True)
    assert lost[2:] == ["the rate changes at once, from 0.165 mL/day to 0.24 mL/day"], "under row 12 none of the steps was given"


def test_one_rate_all_week_has_nothing_to_move():
    assert review.clock_warnings(OLD, NOON_S, 0) == [] and review.clock_warnings(None, NOON_S, 0) == [] and review.clock_warnings(B2, NOON_S, NOON_S) == []
