"""Records beside the program, and what a screening trial says of a first program."""

import pytest

from thecal.firmware.blocks import Block
from thecal.host import blocks, drug_library
from thecal.host.errors import RequestInvalid
from thecal.host.life import Contents, ImplantRecord, TrialDose, TrialRecord, trial_findings
from thecal.host.limits import START, overridden
from thecal.host.prescription import Prescription
from thecal.protocol import catalogue as cat

LIBRARY = drug_library.load()
SCREEN = [{"dose": "50 ug", "response": "none"}, {"dose": "75 ug", "after": "24 h", "response": "yes", "effect": "6 h", "watched": "8 h", "score": 3}]


def trial(doses=SCREEN, drug="baclofen", concentration="50 ug/mL", indicated=True):
    return TrialRecord.of(drug, concentration, doses, indicated, LIBRARY)


def program(dose, drug="baclofen", concentration="500 ug/mL", **more):
    return Prescription.simple(drug, concentration=concentration, dose=dose, library=LIBRARY, **more)


def taken(kind, values):
    data = blocks.pack(kind, {"order_id": 1, **values})
    block = Block()
    assert block.take(kind, data, len(data), 6000) == 0, (block.reason, block.field)
    return data


@pytest.mark.req("TH-LIFE-01")
def test_the_records_read_back_as_they_were_written():
    record = ImplantRecord("AB", "spasticity", 63_504_000, "T10", False, "conditional")
    assert ImplantRecord.read(taken(cat.IMPLANT_RECORD, record.values())) == record and ImplantRecord.read(b"") is None
    made = trial()
    assert TrialRecord.read(taken(cat.TRIAL_RECORD, made.values()), LIBRARY) == made and TrialRecord.read(b"", LIBRARY) is None
    ten = trial([{"kind": "infusion", "dose": "2.4 ug/day", "watched": "3 d", "adverse": True}] * 9 + [
        {"kind": "infusion", "dose": "3.6 ug/day", "watched": "72 h", "response": "yes"}], "ziconotide", "25 ug/mL")
    assert TrialRecord.read(taken(cat.TRIAL_RECORD, ten.values()), LIBRARY) == ten
    assert Contents.read(b"", LIBRARY) is None


def test_the_records_in_words():
    assert trial().lines() == ["50 ug bolus: response none", "75 ug bolus: response yes for 6 h, pain score 3", "a pump is indicated"]
    assert trial(SCREEN[:1], indicated=False).lines()[-1] == "a pump is NOT indicated"
    assert ImplantRecord("AB", "", 63_504_000).to_dict()["implanted"] == "2026-01-05 00:00:00" and trial().to_dict()["doses"][1]["dose_ng"] == 75_000


@pytest.mark.parametrize("make, words", [
    (lambda: ImplantRecord("ABCDEFGHI", "", 0).values(), "patient 'ABCDEFGHI' has 9 characters; allowed are 0 .. 8"),
    (lambda: ImplantRecord("AB", "a" * 17, 0).values(), "has 17 characters; allowed are 0 .. 16"), (lambda: ImplantRecord("Ä", "", 0).values(), "plain printable ascii"),
    (lambda: ImplantRecord("AB", "", 0, "T10", True, "maybe").values(), "MRI class 'maybe' is none of: unknown, safe, conditional, unsafe"),
    (lambda: trial([]), "a trial of 0 doses; allowed are 1 .. 10"), (lambda: trial([SCREEN[1]] * 12), "a trial of 12 doses"),
    (lambda: trial(SCREEN[:1]), "no dose of the trial had a response: no pump is indicated"),
    (lambda: trial([{"dose": "101 ug"}]), "bolus of baclofen 101 ug is above the hard limit of 100 ug (setting trial)"),
    (lambda: trial([{"kind": "infusion", "dose": "7.3 ug/day"}], "ziconotide", "25 ug/mL"), "above the hard limit of 7.2 ug/day (setting trial)"),
    (lambda: trial([{"dose": "50 ug", "pulse": 80}]), "unknown key 'pulse'"), (lambda: trial([{"dose": "50 ug", "response": "well"}]), "response 'well' is none of"),
    (lambda: trial([{"dose": "50 ug", "score": 11, "response": "yes"}]), "score is 11; allowed are 0 .. 10"),
    (lambda: trial([{"response": "yes"}]), "trial dose lacks 'dose'"), (lambda: trial([{"dose": "0 ug", "response": "yes"}]), "'0 ug' is no dose"),
    (lambda: trial([{"dose": "50 ug", "score": "x", "response": "yes"}]), "score 'x' is not a whole number 0 .. 10"),
    (lambda: trial(concentration="0 ug/mL"), "concentration '0 ug/mL' of a trial holds no drug"),
    (lambda: trial([{"kind": "infusion", "dose": "50 ug/day", "response": "yes"}]), "the infusion of 50 ug/day has no length"),
    (lambda: trial([SCREEN[0], {"dose": "75 ug", "response": "yes"}]), "how long after the one before it was 75 ug given? Say it as 'after'; 1 d of baclofen is the least"),
    (lambda: trial([SCREEN[0], {"dose": "75 ug", "after": "23 h 59 min", "response": "yes"}]), "75 ug of baclofen 23 h 59 min after the one before it; the least is 1 d"),
    (lambda: trial([SCREEN[0], {"dose": "75 ug", "after": "a day", "response": "yes"}]), "after 'a day' is not a duration"),
    (lambda: trial([{"dose": "50 ug", "watched": "256 h"}]), "watched 256 h is longer than the 255 h that the pump's record holds"),
    (lambda: trial([{"dose": "50 ug", "response": "yes", "effect": "11 d"}]), "effect 11 d is longer than the 255 h"),
    (lambda: TrialDose("bolus", 1, 256, "yes"), "hours is 256; allowed are 0 .. 255"),
    (lambda: TrialDose("bolus", -1, 0, "yes"), "dose is -1; allowed are 0 .. 4294967295"), (lambda: TrialDose("drip", 1, 0, "yes"), "kind 'drip' is none of"),
])
def test_refusals_name_the_bound(make, words):
    with pytest.raises(RequestInvalid) as caught:
        make()
    assert words in str(caught.value)


@pytest.mark.parametrize("doses, usual", [
    (SCREEN, 150_000),                                                                           # twice 75 ug
    ([{"dose": "75 ug", "response": "yes", "effect": "9 h"}], 75_000),                           # once: it lasted over 8 h
    ([{"dose": "75 ug", "response": "yes", "effect": "8 h 30 min"}], 75_000),
    ([{"dose": "75 ug", "response": "yes", "effect": "8 h"}, {"dose": "100 ug", "after": "1 d", "response": "yes", "effect": "6 h"}], 150_000),
    ([{"dose": "50 ug", "response": "partial"}], None),
    ([{"kind": "infusion", "dose": "60 ug/day", "response": "yes", "watched": "3 d"}], 60_000),
])
def test_the_usual_start_behind_a_trial(doses, usual):
    assert trial(doses).usual_start_ng_day() == usual


@pytest.mark.req("TH-LIFE-01")
def test_three_weeks_of_a_trial_are_kept_as_the_most_that_the_record_holds():
    made = trial([{"kind": "infusion", "dose": "6.96 ug/day", "watched": "21 d", "response": "yes"}], "ziconotide", "25 ug/mL")
    assert made.doses[0].hours == 255 and made.lines()[0] == "6.96 ug infusion for 255 h or longer: response yes"
    assert TrialRecord.read(taken(cat.TRIAL_RECORD, made.values()), LIBRARY) == made


@pytest.mark.req("TH-LIFE-01")
def test_a_start_that_follows_from_a_dose_with_adverse_effects_says_so():
    found = trial_findings(trial([{**SCREEN[1], "adverse": True}]), program("150 ug/day"))
    assert found[1].startswith("the 75 ug bolus that the usual start follows from had adverse effects: weigh a lower start") and len(trial_findings(trial(), program("150 ug/day"))) == 1


def test_a_drug_without_the_rule_starts_by_its_own_limits():
    made = trial([{"dose": "0.15 mg", "response": "yes"}], "morphine", "1 mg/mL")
    assert made.usual_start_ng_day() is None
    assert "found no dose to start with: 0.15 mg bolus: response yes" in trial_findings(made, program("0.2 mg/day", "morphine", "1 mg/mL"))[0]


@pytest.mark.req("TH-LIFE-01")
def test_the_first_program_beside_the_trial():
    assert trial_findings(None, program("150 ug/day")) == ["no screening trial is on record"]
    same, more = trial_findings(trial(), program("150 ug/day")), trial_findings(trial(), program("180 ug/day"))
    assert "75 ug bolus: response yes for 6 h" in same[0] and "the usual start is 150 ug/day, this program starts with 150 ug/day" in same[0]
    assert overridden(same) == 0 and overridden(more) == START and more[0].endswith("starts with 180 ug/day, which is more")
    assert overridden(trial_findings(trial(SCREEN[:1], indicated=False), program("100 ug/day"))) == START
    assert "which this program does not give" in trial_findings(trial(), program("0.2 mg/day", "morphine", "1 mg/mL"))[0]
