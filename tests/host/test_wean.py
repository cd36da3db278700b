"""Tablets beside the pump: one drug at a time, in steps of 25-50 %."""

import pytest

from thecal.host.errors import RequestInvalid
from thecal.host.wean import OralDose, check

pytestmark = pytest.mark.req("TH-LIFE-18")


def said(*texts):
    return check([OralDose.of(text) for text in texts])


def test_usual_steps_are_not_spoken_of():
    assert said("baclofen 80 mg/day -> 60 mg/day", "tizanidine 8 mg/day") == [] == said("baclofen 80 mg/day -> 40 mg/day")
    assert OralDose.of("baclofen 80 mg/day -> 60 mg/day").fall_pct == 25 and OralDose.of(" extended-release oxycodone 40 mg/day ").drug == "extended-release oxycodone"


def test_too_much_too_little_and_two_at_once():
    assert said("baclofen 80 mg/day -> 30 mg/day") == ["oral baclofen falls by 62.5 %, above the usual 25-50 % a step: withdrawal"]
    assert said("baclofen 80 mg/day -> 0 mg/day") == ["oral baclofen falls by 100 %, above the usual 25-50 % a step: withdrawal"]
    assert said("baclofen 80 mg/day -> 70 mg/day") == ["oral baclofen falls by 12.5 %, below the usual 25-50 % a step"]
    assert said("baclofen 80 mg/day -> 60 mg/day", "tizanidine 8 mg/day -> 6 mg/day") == [
        "baclofen and tizanidine are weaned at the same time: one drug at a time, or nobody knows which of them is missed"]
    assert said("morphine 60 mg/day -> 90 mg/day") == ["oral morphine rises beside the pump"]


@pytest.mark.parametrize("texts, words", [
    (["one less a week"], "oral drug 'one less a week' is not spelled as 'baclofen 80 mg/day -> 60 mg/day'"),
    (["baclofen 80 mg"], "is not spelled as"), (["baclofen 0 mg/day -> 20 mg/day"], "a dose of 0 before the visit has no step"),
    (["baclofen 80 mg/day", "baclofen 80 mg/day -> 60 mg/day"], "oral drug baclofen is given twice"), (["baclofen 80 l/day"], "80 l/day"),
])
def test_refusals_name_what_is_wrong(texts, words):
    with pytest.raises(RequestInvalid) as caught:
        said(*texts)
    assert words in str(caught.value)
