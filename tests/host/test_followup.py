"""The visit on the real firmware: first fill, follow-up, refill with another concentration, what came out against the book, one signed report."""

import hashlib
import json

import pytest

from thecal.host import Fill, FollowUp, Implant, ImplantRecord, Prescription, followup
from thecal.host.errors import RequestInvalid
from thecal.host.limits import STEP, overridden
from thecal.host.prescription import Bridge
from thecal.host.programmer import Programmer
from thecal.host.wean import OralDose
from thecal.protocol import catalogue as cat

FILL = {"drug": "baclofen", "concentration": "500 ug/mL"}


def program(dose, concentration="500 ug/mL"):
    return Prescription.simple("baclofen", concentration=concentration, dose=dose, editor="Dr X")


@pytest.fixture
def implanted(real):
    """Commissioned and on record; nothing filled."""
    pump = Programmer(real)
    pump.commission(Implant())
    pump.record_implant(ImplantRecord("AB", "spasticity", pump.status().time_s, "T10", True, "conditional"))
    return pump


@pytest.fixture
def treated(implanted, real):
    """The first visit: filled, primed, 150 ug/day; two weeks ago."""
    visit = FollowUp(implanted, "Dr X")
    real.inject(18_600)
    visit.plan(Fill("18.6 mL", "baclofen", "500 ug/mL", lot="L1"), program("150 ug/day"), prime="both")
    visit.carry_out()
    visit.sign()
    implanted.wait(days=14)
    return implanted


@pytest.mark.req("TH-LIFE-19")
def test_a_first_visit_fills_primes_and_programs(implanted, real):
    visit = FollowUp(implanted, "Dr X", {"pain 0-10": "4"})
    visit.interrogate()
    real.inject(18_600)
    plan = visit.plan(Fill("18.6 mL", "baclofen", "500 ug/mL", lot="L1", expiry="2026-12-31"), program("150 ug/day"))
    rows = dict(plan.rows())
    assert rows["prime"] == "NOT PLANNED, and the catheter is on record as empty: both, 0.375 mL at 24 mL/day: 22.5 min"
    assert rows["refill"] == "18.6 mL of baclofen 500 ug/mL, lot L1, label expires 2026-12-31; unrinsed: baclofen at the pump 500 ug/mL"
    assert "the catheter is on record as EMPTY: no drug reaches the patient before 0.375 mL have filled it" in plan.warnings[0]
    plan = visit.plan(Fill("18.6 mL", "baclofen", "500 ug/mL", lot="L1", expiry="2026-12-31"), program("150 ug/day"), prime="both")
    assert dict(plan.rows())["prime"] == "both, 0.375 mL at 24 mL/day: 22.5 min" and plan.bridge is None and plan.found == ["no screening trial is on record"]
    assert plan.dates.empty_s - plan.time_s == (18_600_000 - 1_400_000 - 375_000) / 300_000 * 86_400, "the prime is drug too"
    assert implanted.status().mode == "idle", "nothing is sent before it is carried out"
    assert [order.kind for order in visit.carry_out()] == ["refill", "prime", "program"] and implanted.status().mode == "priming"
    report = visit.sign()
    assert report["changes"] == [{"drug": "baclofen", "before": None, "after": "150 ug/day", "change_pct": None}] and report["scores"] == {"pain 0-10": "4"}
    assert report["before"]["program"] is None and report["after"]["program"]["editor"] == "Dr X"


@pytest.mark.req("TH-LIFE-11", "TH-LIFE-19")
def test_the_report_is_signed_by_its_digest_on_the_pumps_record(treated):
    visit = FollowUp(treated, "Dr X", {"Ashworth": "2"}, next_visit_s=treated.status().time_s + 30 * 86_400,
                     oral=[OralDose.of("baclofen 40 mg/day -> 30 mg/day")])
    visit.interrogate()
    visit.plan(program=program("180 ug/day"))
    visit.carry_out()
    assert visit.alarm_check(lambda: True)
    report = visit.sign()
    unsigned = {name: value for name, value in report.items() if name not in ("digest", "program_digest")}
    assert report["digest"] == hashlib.sha256(json.dumps(unsigned, sort_keys=True, default=str).encode()).hexdigest()[:16]
    visits = [event for event in treated.log() if event.code == cat.E_VISIT]
    assert visits[-1].text == "alarm test heard" and report["program_digest"] == treated.status().running_digest
    text = followup.as_text(report)
    for words in ("patient          AB, spasticity", "withdrawn        nothing was withdrawn", "dose             baclofen: 150 ug/day -> 180 ug/day (+20 %)",
                  "alarm test       heard", "Ashworth         2", "by mouth         baclofen 40 mg/day -> 30 mg/day", "next visit       2026-02-18",
                  "delivered        4.57 mL of 4.57 mL prescribed in 14 closed days (100 %), primes and boluses included, 0 mL missed", "report %s, program %s, by Dr X" % (report["digest"], report["program_digest"])):
        assert words in text, (words, text)


def test_a_follow_up_without_a_refill_keeps_what_is_in(treated):
    visit = FollowUp(treated, "Dr X")
    plan = visit.plan(program=program("180 ug/day"))
    assert plan.fill is None and plan.mixed_ng_ml == {} and plan.prime_due is None and dict(plan.rows())["program"] == "baclofen 180 ug/day"
    only = visit.plan()
    assert dict(only.rows())["program"] == "unchanged" and visit.carry_out() == []
    assert FollowUp(treated, "Dr Y").sign()["plan"] == {}, "a visit that only looks is signed too"


@pytest.mark.req("TH-LIFE-06")
def test_withdrawn_against_expected_in_words(treated, real):
    visit = FollowUp(treated, "Dr X")
    out = real.withdraw()
    assert visit.withdrawn(out) == "%s withdrawn, %s expected: within the pump's accuracy of 1 mL or 15 %% of what was delivered" % (2 * (out.replace("0 mL", " mL"),))
    assert "theft" in visit.withdrawn("5 mL") and "less withdrawn than expected" in visit.difference
    assert "more withdrawn than expected: under-delivery, occlusion or stall" in visit.withdrawn("16 mL")
    with pytest.raises(RequestInvalid, match="no unit"):
        visit.withdrawn("5")


@pytest.mark.req("TH-LIFE-07")
def test_another_concentration_is_rinsed_mixed_and_bridged(treated, real):
    visit = FollowUp(treated, "Dr X")
    out = real.withdraw()
    real.inject(18_600)
    fill = Fill("18.6 mL", "baclofen", "2000 ug/mL", withdrawn=out, rinses=2, rinse_volume="2 mL")
    plan = visit.plan(fill, program("150 ug/day", "2000 ug/mL"))
    assert plan.bridge == Bridge(375_000, 300_000) and not any("a bridge is due" in line for line in plan.warnings)
    rows = dict(plan.rows())
    assert rows["bridge"] == "0.375 mL of old drug at 0.3 mL/day: 1 d 06:00, until 2026-01-20 06:00:00"
    assert "rinsed 2 times with 2 mL: baclofen at the pump 1982.2 ug/mL" in rows["refill"]
    visit.carry_out()
    assert treated.status().mode == "bridging" and "now              150 ug/day baclofen of 500 ug/mL at 0.3 mL/day" in followup.as_text(visit.sign())
    treated.wait(hours=31)
    assert treated.status().rate_nl_day == 75_000


def test_a_stopped_pump_takes_no_prime_and_the_plan_says_so(treated, real):
    treated.stop("emergency")
    treated.record_catheter(False)
    visit, fill = FollowUp(treated, "Dr X"), Fill("18.6 mL", "baclofen", "500 ug/mL", withdrawn=real.withdraw())
    with pytest.raises(RequestInvalid, match="the pump is stopped and takes no prime: carry the rest of this visit out without it, then resume and prime the catheter at once"):
        visit.plan(fill, program("150 ug/day"), prime="catheter")
    assert treated.contents().withdrawn_ul == 0 and visit.done == [], "nothing was sent"
    treated.resume()
    visit.plan(fill, program("150 ug/day"), prime="catheter")
    treated.stop()      # by somebody else meanwhile
    with pytest.raises(RequestInvalid, match="not in this mode: it is stopped; ATTENTION: THE REFILL IS DONE, THE PRIME AND THE PROGRAM ARE NOT"):
        visit.carry_out()
    assert [order.kind for order in visit.done] == ["refill"]


def test_fill_and_program_must_be_of_one_drug(treated):
    visit = FollowUp(treated, "Dr X")
    with pytest.raises(RequestInvalid, match="the program is written for baclofen 2000 ug/mL, the pump holds baclofen 500 ug/mL"):
        visit.plan(program=program("150 ug/day", "2000 ug/mL"))
    with pytest.raises(RequestInvalid, match="the program is written for baclofen 500 ug/mL, the pump holds baclofen 2000 ug/mL"):
        visit.plan(Fill("18.6 mL", "baclofen", "2000 ug/mL", withdrawn="12.6 mL"), program("150 ug/day"))
    assert any("a program for it must follow in this visit" in line for line in visit.plan(Fill("18.6 mL", "baclofen", "2000 ug/mL", withdrawn="12.6 mL")).warnings)


@pytest.mark.req("TH-PROG-16")
def test_a_soft_limit_is_overridden_with_who_and_why_in_the_report(treated):
    visit = FollowUp(treated, "Dr X")
    assert overridden(visit.plan(program=program("200 ug/day")).found) == STEP
    with pytest.raises(RequestInvalid, match="give a reason to override"):
        visit.carry_out()
    visit.carry_out(override="clinical judgement")
    assert visit.sign()["overridden"] == ["step: by Dr X, clinical judgement"]


@pytest.mark.req("TH-LIFE-19")
def test_nothing_is_carried_out_without_a_plan_or_a_yes(treated, pump):
    with pytest.raises(RequestInvalid, match="nothing is planned in this visit"):
        FollowUp(treated, "Dr X").carry_out()
    with pytest.raises(RequestInvalid, match="the pump is on the shelf: commission it first"):
        FollowUp(pump, "Dr X").plan()
    visit = FollowUp(treated, "Dr X")
    visit.plan(program=program("180 ug/day"))
    with pytest.raises(RequestInvalid, match="not confirmed"):
        visit.carry_out(confirm_program=lambda review: False)
    assert treated.program_running().dose_text() == "baclofen 150 ug/day" and visit.done == []


def test_a_drug_that_is_given_no_more_is_a_change_too():
    rows = followup._changes({"drugs": [{"name": "morphine", "daily_dose": "4 mg/day", "daily_dose_ng": [4e6]}]},
                             {"drugs": [{"name": "baclofen", "daily_dose": "150 ug/day", "daily_dose_ng": [150e3]}]})
    assert [(row["drug"], row["before"], row["after"], row["change_pct"]) for row in rows] == [
        ("morphine", "4 mg/day", None, None), ("baclofen", None, "150 ug/day", None)]


@pytest.mark.req("TH-LIFE-34")
def test_a_catheter_that_was_revised_is_primed_and_what_the_tubing_gives_it_is_bridged(treated, real):
    """Ten times as strong was in the tubing: its 199 uL come at the old rate, behind the prime that pushes them into the catheter."""
    treated.record_catheter(filled=False)
    visit = FollowUp(treated, "Dr X")
    out = real.withdraw()
    real.inject(18_600)
    plan = visit.plan(Fill("18.6 mL", "baclofen", "2000 ug/mL", withdrawn=out), program("150 ug/day", "2000 ug/mL"), prime="catheter")
    assert plan.bridge is not None and abs(plan.bridge.volume_nl - 199_000) <= 1000 and plan.bridge.rate_nl_day == 300_000
    assert not [line for line in plan.warnings if "a bridge is due" in line], "it is planned"
    assert [order.kind for order in visit.carry_out()] == ["refill", "prime", "program"]
    status = treated.status()
    assert status.mode == "bridging" and 196_000 <= status.bridge_left_nl <= 199_000 and status.rate_nl_day == 300_000
    treated.wait(hours=16.5)
    assert (treated.status().mode, treated.status().rate_nl_day) == ("running", 75_000)


@pytest.mark.req("TH-LIFE-34")
def test_a_visit_a_day_behind_a_fill_bridges_nothing_any_more(treated, real):
    out = real.withdraw()
    real.inject(18_600)
    treated.refill(Fill("18.6 mL", "baclofen", "2000 ug/mL", withdrawn=out))
    treated.wait(hours=31)
    visit = FollowUp(treated, "Dr X")
    assert visit.plan(program=program("150 ug/day", "2000 ug/mL")).bridge is None
    visit.carry_out()
    assert (treated.status().mode, treated.status().rate_nl_day) == ("running", 75_000)
