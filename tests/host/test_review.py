"""What a refill, a prime or a bridge would do, from what the pump has on record: the hazards of a changed concentration."""

from dataclasses import replace
from fractions import Fraction

import pytest
from fake_pump import FakePump, event

from thecal.host import review
from thecal.host.errors import RequestInvalid
from thecal.host.fill import Bridge, Fill
from thecal.host.implant import Implant
from thecal.host.prescription import Prescription
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


def test_another_concentration_names_old_and_new_dose_mixing_bridge_and_odd_volume():
    events = log((5, cat.E_REFILL, 0, 18_600))
    said = warned(OLD, Fill("18.6 mL", "baclofen", "2000 ug/mL", withdrawn="5 mL"), events, reservoir_computed_nl=3_400_000)
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


FILLED = {"ordered_revs": 11}    # 11 x 35 uL: more than the dead volume of 375 uL


@pytest.mark.parametrize("program, fields, volume, rate, dose, words", [
    (None, {}, 375_000, 24_000_000, "not known", ()),
    (OLD, {}, 375_000, 24_000_000, "baclofen 187.5 ug", ("gives the patient 187.5 ug of baclofen in 22.5 min", "no bolus")),
    (OLD, FILLED, 375_000, 800_000, "baclofen 187.5 ug", ()),
])
def test_the_dose_of_a_prime(program, fields, volume, rate, dose, words):
    seen = review.prime_review(status(**fields), program, Implant(), volume, rate)
    assert seen.text(program).startswith(dose) and seen.filled == bool(fields)
    assert len(seen.warnings) == bool(words) and all(word in seen.warnings[0] for word in words)


def test_a_prime_into_a_filled_catheter_is_held_to_the_bolus_and_daily_limits():
    with pytest.raises(RequestInvalid, match="on record as filled; a prime of 0.375 mL .* 187.5 ug of baclofen in 22.5 min"):
        review.prime_review(status(**FILLED), OLD, Implant(), 375_000, 24_000_000)
    trial = replace(OLD, setting="trial")
    with pytest.raises(RequestInvalid, match="bolus of baclofen 187.5 ug is above the hard limit of 100 ug"):
        review.prime_review(status(**FILLED), trial, Implant(), 375_000, 24_000_000)
    small = review.prime_review(status(**FILLED), replace(trial, patterns=((replace(OLD.patterns[0][0], rate_nl_day=48_000),),)), Implant(), 100_000, 24_000_000)
    assert "the pump refuses a prime above its dead volume of 0.375 mL or above the running rate of 0.048 mL/day" in small.warnings[0]


def test_a_bridge_only_where_something_changes_and_runs():
    assert review.bridge_for(None, OLD.ingredients, 375_000) is None and review.bridge_for(OLD, OLD.ingredients, 375_000) is None
    assert review.bridge_for(OLD, NEW.ingredients, 375_000) == Bridge(375_000, 800_000, Fraction(40_500))
    still = replace(OLD, patterns=((replace(OLD.patterns[0][0], rate_nl_day=0),),))
    assert review.bridge_for(still, NEW.ingredients, 375_000) is None


PROGRAM_OLD, REFILL = (0, cat.E_PROGRAM, 1, 800_000, 800_000), (90, cat.E_REFILL, 0, 18_600)
PROGRAM_NEW = (100, cat.E_PROGRAM, 1, 200_000, 200_000)


def test_the_bridge_that_a_lost_line_owes():
    events = log(PROGRAM_OLD, REFILL, PROGRAM_NEW)
    assert review.bridge_owed(events, NEW, 375_000, 100).volume_nl == 375_000
    late = review.bridge_owed(events, NEW, 375_000, 100 + 86_400)
    assert (late.volume_nl, late.rate_nl_day) == (175_000, 800_000), "the new rate has pushed 0.2 mL of the old drug"
    assert review.bridge_owed(events, NEW, 375_000, 100 + 2 * 86_400) is None
    for others in (events[1:], log(PROGRAM_OLD, PROGRAM_NEW), log(PROGRAM_OLD, REFILL, PROGRAM_NEW, (101, cat.E_PRIME, 0, 375_000, 800_000)),
                   log(PROGRAM_NEW, REFILL, PROGRAM_NEW)):
        assert review.bridge_owed(others, NEW, 375_000, 100) is None


def test_a_bridge_given_is_not_given_twice_unless_it_was_cut():
    span = Bridge(375_000, 800_000, Fraction(40_500))
    prime = (101, cat.E_PRIME, 0, 375_000, 800_000)
    assert review.bridge_given(log(REFILL, prime), span)
    assert not review.bridge_given(log(prime, REFILL), span) and not review.bridge_given([], span)
    assert not review.bridge_given(log(REFILL, prime, (102, cat.E_BOLUS_CUT, 0, 100_000)), span)


def test_a_fill_younger_than_the_program_is_said():
    old, fill = log(PROGRAM_OLD, REFILL)
    assert "2024-01-01 00:01:30" in review.contents_note([fill], [old])
    assert review.contents_note([fill], log(PROGRAM_OLD, REFILL, PROGRAM_NEW)[2:]) is None and review.contents_note([], [old]) is None
