"""`thecal visit`: from interrogation to signature on the real firmware; parts left out, soft limits asked twice, nothing on a no."""

import json

import pytest

from thecal.host import cli, cli_therapy, cli_visit
from thecal.host.programmer import Programmer
from thecal.host.terminal import Session
from thecal.protocol import catalogue as cat


def run(port, *args):
    return cli.run(args, Session("bench://", open_pump=lambda url, timeout_s, **who: Programmer(port, timeout_s=timeout_s, **who)))


FIRST = ["visit", "--volume", "18.6 mL", "--lot", "L1", "--drug", "baclofen", "--concentration", "500 ug/mL", "--dose", "150 ug/day", "--prime", "both",
         "--sign", "Dr X", "--yes"]
NEXT = ["visit", "--sign", "Dr X", "--yes"]


@pytest.fixture
def first(real, capsys):
    """Commissioned; nothing filled yet."""
    assert run(real, "commission", "--serial", "1001", "--yes") == 0
    assert run(real, "implant", "--patient", "AB", "--indication", "spasticity", "--yes") == 0
    real.inject(18_600)
    capsys.readouterr()
    return real


@pytest.fixture
def treated(first, capsys):
    assert run(first, *FIRST) == 0
    assert run(first, "wait", "14 d") == 0
    capsys.readouterr()
    return first


def test_a_first_visit(first, capsys):
    assert run(first, *FIRST, "--alarm-test", "heard", "--score", "pain 0-10", "4", "--side-effects", "none", "--oral", "baclofen 40 mg/day -> 5 mg/day",
               "--next", "2026-02-02 10:00") == 0
    said = capsys.readouterr()
    for words in ("interrogation", "idle: no program committed yet", "low reservoir", "no screening trial is on record", "program, digest ", "75 ug/day baclofen"):
        assert words in said.err, words
    for words in ("VISIT of pump 1001 at 2026-01-05", "patient          AB, spasticity", "pain 0-10        4", "side effects     none",
                  "by mouth         baclofen 40 mg/day -> 5 mg/day",
                  "weaning          oral baclofen falls by 87.5 %, above the usual 25-50 % a step: withdrawal", "alarm test       heard", "next visit       2026-02-02 10:00:00",
                  "state            priming, 0.375 mL left", "by Dr X: ____"):
        assert words in said.out, words
    assert first.bench.tones >= 1


def test_a_follow_up_with_a_dose_only_takes_the_drugs_that_run(treated, capsys):
    assert run(treated, *NEXT, "--dose", "180 ug/day", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "thecal.visit/1" and report["changes"] == [
        {"drug": "baclofen", "before": "150 ug/day", "after": "180 ug/day", "change_pct": 20.0}]
    assert report["alarm_heard"] is None and report["after"]["program"]["editor"] == "Dr X" and len(report["digest"]) == 16
    assert [order["kind"] for order in report["done"]] == ["program"]


def test_a_visit_that_only_looks(treated, capsys):
    assert run(treated, *NEXT) == 0
    assert "withdrawn        nothing was withdrawn" in capsys.readouterr().out
    assert [event.text for event in Programmer(treated).log() if event.code == cat.E_VISIT] == 2 * ["alarm test not done"]


def test_a_refill_of_another_concentration_with_its_bridge(treated, capsys):
    out = treated.withdraw()
    treated.inject(18_600)
    assert run(treated, *NEXT, "--volume", "18.6 mL", "--withdrawn", out, "--drug", "baclofen", "--concentration", "2000 ug/mL", "--dose", "150 ug/day",
               "--rinses", "2", "--rinse-volume", "2 mL") == 0
    said = capsys.readouterr()
    assert "expected: within the pump's accuracy" in said.err and "rinsed 2 times with 2 mL: baclofen at the pump 1982.2 ug/mL" in said.err
    assert said.err.count("ANOTHER CONCENTRATION") == 1, "said once"
    assert "bridge           0.375 mL of old drug at 0.3 mL/day: 1 d 06:00, until 2026-01-20 06:00:00" in said.out
    assert Programmer(treated).status().mode == "bridging"


def test_a_soft_limit_asks_twice(treated, capsys, monkeypatch):
    assert run(treated, *NEXT, "--dose", "200 ug/day") == 1
    assert "is 33.3 %, above the usual 30 %; to do it all the same give a reason to override" in capsys.readouterr().err
    asked = []
    monkeypatch.setattr(cli_visit, "may_ask", lambda yes: None)
    monkeypatch.setattr(cli_therapy.click, "prompt", lambda question, **options: asked.append(question) or "clinical judgement")
    monkeypatch.setattr(cli_therapy.click, "confirm", lambda question, **options: asked.append(question) or True)
    assert run(treated, "visit", "--sign", "Dr X", "--dose", "200 ug/day") == 0
    assert asked == ["Override, because of", "Commit the pending program?", "Sound the alarm?", "Was it heard?", "Sign the report?"]
    assert "overridden       step: by Dr X, clinical judgement" in capsys.readouterr().out


def test_a_no_at_the_program_signs_nothing(treated, capsys, monkeypatch):
    monkeypatch.setattr(cli_visit, "may_ask", lambda yes: None)
    monkeypatch.setattr(cli_therapy.click, "confirm", lambda question, **options: False)
    assert run(treated, "visit", "--sign", "Dr X", "--dose", "180 ug/day") == 1
    assert "not confirmed" in capsys.readouterr().err and Programmer(treated).program_running().dose_text() == "baclofen 150 ug/day"


def test_who_signs_is_asked(treated, capsys, monkeypatch):
    monkeypatch.setattr(cli_visit, "may_ask", lambda yes: None)
    monkeypatch.setattr(cli_visit.click, "prompt", lambda question, **options: "Dr Y")
    monkeypatch.setattr(cli_therapy.click, "confirm", lambda question, **options: question == "Sign the report?")
    assert run(treated, "visit") == 0
    assert "by Dr Y: ____" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("args, status, words", [
    (["visit", "--yes"], 2, "a visit is signed: give --sign NAME"), (["visit", "--sign", "X"], 2, "add --yes"),
    ([*NEXT, "--withdrawn", "5 mL"], 2, "--withdrawn 5 mL without --volume"), ([*NEXT, "--drug", "baclofen"], 2, "give --drug and --concentration together"),
    ([*NEXT, "--fallback", "0.1 mL/day"], 2, "--fallback: for a program, which needs --dose"), ([*NEXT, "--next", "soon"], 1, "--next 'soon' is not a date"),
    ([*NEXT, "--dose", "150 ug/day", "--minimum"], 2, "give exactly one of --dose"), ([*NEXT, "--dose", "2001 ug/day"], 1, "above the hard limit of 2000 ug/day"),
    ([*NEXT, "--volume", "19 mL"], 1, "more than the reservoir takes"), ([*NEXT, "--prime", "both"], 1, "on record as drug-filled"),
])
def test_bad_input_is_one_sentence(treated, capsys, args, status, words):
    before = len(Programmer(treated).log())
    assert run(treated, *args) == status
    said = capsys.readouterr()
    assert words in said.err and said.out == ""
    assert {event.code for event in Programmer(treated).log()[before:]} <= {cat.E_SESSION}


def test_nothing_runs_and_no_drug_is_named(first, capsys):
    assert run(first, *NEXT, "--volume", "18.6 mL") == 2
    assert "no program runs: name the drug with --drug and --concentration" in capsys.readouterr().err
