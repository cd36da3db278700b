"""A fill beside the program that runs, on the real firmware: what host and pump refuse, say and name (findings of a review)."""

import pytest
from thecal.host import Fill, Prescription, review
from thecal.host.errors import PumpRefused, RequestInvalid
from thecal.host.followup import FollowUp
from thecal.host.programmer import Programmer

WEAK, STRONG = "500 ug/mL", "2000 ug/mL"


def baclofen(dose, concentration=WEAK, **more):
    return Prescription.simple("baclofen", concentration=concentration, dose=dose, **more)


def rows(pump):
    return [alarm.row for alarm in pump.status().alarms]


@pytest.fixture
def treated(bedside):
    """150 ug/day of 500 ug/mL."""
    bedside.program(baclofen("150 ug/day"))
    bedside.wait(minutes=30)
    return bedside


def strong(real):
    """What the syringe does for a fill of 17 mL."""
    out = real.withdraw()
    real.inject(17_000)
    return Fill("17 mL", "baclofen", STRONG, withdrawn=out)


@pytest.mark.req("TH-LIFE-25", "TH-LIFE-05")
@pytest.mark.parametrize("mode", ["running", "paused"])
def test_a_fill_above_a_hard_limit_is_refused_also_in_a_pause(bedside, mode):
    bedside.program(baclofen("200 ug/day"), override="dose reached before")
    for dose in ("260 ug/day", "330 ug/day", "420 ug/day", "540 ug/day"):
        bedside.wait(days=2)
        bedside.program(baclofen(dose), override="dose reached before")
    if mode == "paused":
        bedside.pause(60)
    with pytest.raises(RequestInvalid, match="with this fill the same rate gives baclofen|with this fill the same rate gives 2160 ug/day"):
        bedside.examine_refill(Fill("17 mL", "baclofen", STRONG, withdrawn="12 mL"))
    bedside.stop()
    assert any("refuses to resume" in line for line in bedside.examine_refill(Fill("17 mL", "baclofen", STRONG, withdrawn="12 mL")).warnings)


@pytest.mark.req("TH-ALM-29", "TH-LIFE-25")
def test_stop_fill_program_resume_is_the_way(treated, real):
    treated.stop()
    treated.refill(strong(real))
    with pytest.raises(PumpRefused, match="not the drugs that the pump was filled with"):
        treated.resume()
    treated.wait(minutes=45)
    assert 29 in rows(treated)
    program = baclofen("150 ug/day", STRONG)
    treated.bridge(program)
    treated.resume()
    assert treated.status().mode == "bridging" and 29 not in rows(treated)


@pytest.mark.req("TH-LIFE-27")
@pytest.mark.parametrize("no", [False, True])
def test_a_visit_that_ends_behind_its_fill_says_what_the_pump_gives_now(treated, real, no):
    visit = FollowUp(treated, "AB")
    visit.plan(strong(real), baclofen("150 ug/day", STRONG))
    with pytest.raises(RequestInvalid) as caught:
        visit.carry_out(True, no if no is False else (lambda review: False))
    said = str(caught.value)
    assert "THE REFILL IS DONE AND THE PROGRAM IS NOT: the pump runs the old program (baclofen 150 ug/day) on the new drug, which gives baclofen 600 ug/day" in said
    treated.wait(minutes=45)
    assert 29 in rows(treated)


@pytest.mark.req("TH-PROG-25")
def test_alarms_are_the_first_of_what_is_said_of_a_program(treated, real):
    treated.refill(strong(real))
    treated.wait(minutes=45)
    found = treated.examine(baclofen("150 ug/day", STRONG))[1]
    assert found[0].startswith("ALARM 29 fill does not match the program (priority 2): program without boluses") and found[0].bit == 0
    treated.program(baclofen("150 ug/day", STRONG), override="clinical judgement")
    assert review.standing(treated.status()) == []


@pytest.mark.req("TH-LIFE-15", "TH-LIFE-25")
def test_the_emergency_card_says_what_is_in_the_reservoir(treated, real):
    treated.refill(strong(real))
    real.bench.magnet = True
    card = treated.card()
    words = dict(card.rows())
    assert words["drug"] == "baclofen 2000 ug/mL, 600 ug/day" and "PROGRAM IS WRITTEN FOR ANOTHER FILL" in words["ATTENTION"] and card.to_dict()["other"]


@pytest.mark.req("TH-PROG-23")
def test_without_a_fill_nothing_is_programmed_or_primed(real):
    from thecal.host import Implant
    pump = Programmer(real, timeout_s=5.0)
    pump.commission(Implant())
    for order in (lambda: pump.program(baclofen("150 ug/day")), lambda: pump.prime("both")):
        with pytest.raises(RequestInvalid, match="no fill is on record: the reservoir holds nothing by the pump's book"):
            order()


@pytest.mark.req("TH-PROG-24")
def test_ziconotide_is_given_no_bolus_of_any_kind(real):
    words = "the library allows no bolus of ziconotide: it is given as a continuous infusion only"
    program = Prescription.simple("ziconotide", concentration="25 ug/mL", dose="2.4 ug/day")
    with pytest.raises(RequestInvalid, match=words):
        review.single_bolus(program, "0.5 ug", "10 min")
    with pytest.raises(RequestInvalid, match=words):
        Prescription.periodic("ziconotide", concentration="25 ug/mL", dose="2.4 ug/day", times=["00:00", "08:00", "16:00"], over="30 min")
    with pytest.raises(RequestInvalid, match=words):
        program.with_bolus("0.5 ug", "10 min", "3 h", 1)


@pytest.mark.req("TH-CAP-01")
def test_a_cap_that_refuses_is_named_with_its_drug_and_window(treated):
    refusal, program = PumpRefused("above a hard cap", 17), baclofen("150 ug/day")
    status = treated.status()
    said = str(review.cap_named(refusal, status, program, 4_000_000, program))
    assert said.startswith("above a hard cap: ") and "of baclofen were delivered in the last 24 h, the cap is 2020.5 ug in 24 h" in said
    other = PumpRefused("something else", 7)
    assert review.cap_named(other, status, program, 0, program) is other


@pytest.mark.req("TH-LIFE-26")
def test_the_next_refill_is_on_record_and_must_lie_ahead(treated, real):
    out = real.withdraw()
    real.inject(17_000)
    with pytest.raises(RequestInvalid, match="the next refill on 2020-01-01 09:00:00 is not ahead|next refill '2020"):
        treated.refill(Fill("17 mL", "baclofen", WEAK, withdrawn=out, next_refill="2020-01-01 09:00"))
    treated.refill(Fill("17 mL", "baclofen", WEAK, withdrawn=out, next_refill="2026-02-01 09:00"))
    assert 0 < treated.contents().next_s < 28 * 86_400 and treated.contents().rinse == 0
