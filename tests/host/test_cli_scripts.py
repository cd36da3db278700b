"""`thecal script`: lists, goes through, leaves and takes up again; exit status 1 when a script does not end well."""

import json

import pytest
from real_pump import RealPump

from thecal.host import Prescription, cli, cli_scripts, cli_therapy
from thecal.host.programmer import Programmer
from thecal.host.terminal import Session


def run(port, *args):
    return cli.run(["script", *args], Session("bench://", open_pump=lambda url, timeout_s, **who: Programmer(port, timeout_s=timeout_s, **who)))


@pytest.fixture
def treated(real, bedside):
    bedside.program(Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day"))
    bedside.wait(days=1)
    return real


def test_a_list_does_nothing(treated, capsys):
    assert run(treated, "overdose", "--list") == 0
    assert "3  Stop the pump." in capsys.readouterr().out and Programmer(treated).status().mode == "running"
    assert run(treated, "mri", "--list", "--json") == 0
    assert [step["step"] for step in json.loads(capsys.readouterr().out)["steps"]] == list(range(1, 8))


def test_an_mri_in_words_and_as_json(treated, capsys):
    assert run(treated, "mri", "--scan", "45 min", "--yes") == 0
    said = capsys.readouterr()
    assert "4/7  Again 20 min after the scan" in said.err and "4  the rotor turns" in said.out and "Go on?" not in said.err
    treated.bench.stalled = True
    assert run(treated, "mri", "--scan", "45 min", "--yes", "--json") == 1
    said = capsys.readouterr()
    row = json.loads(said.out)
    assert row["schema"] == "thecal.script/1" and not row["ok"] and row["missed_nl"] > 300_000 and "the rotor has not turned for 24 h" in said.err


def test_without_a_terminal_yes_is_needed(treated, capsys):
    assert run(treated, "overdose") == 2
    assert "add --yes" in capsys.readouterr().err


def test_a_no_leaves_the_script_where_it_is(treated, capsys, monkeypatch):
    answers = iter([True, True, False])
    monkeypatch.setattr(cli_scripts, "may_ask", lambda yes: None)
    monkeypatch.setattr(cli_therapy.click, "confirm", lambda question, **options: next(answers))
    assert run(treated, "overdose") == 1
    assert "ended before step 3 of 7: take it up with --from 3 --missed-before '0 nL'" in capsys.readouterr().err and Programmer(treated).status().mode == "running"
    monkeypatch.undo()
    assert run(treated, "overdose", "--from", "3", "--missed-before", "0 nL", "--aspirated", treated.withdraw(), "--catheter-aspirated", "--yes") == 0
    assert "3  stopped at" in capsys.readouterr().out
    assert run(treated, "overdose", "--from", "9", "--yes") == 1 and "the script overdose has 1 .. 7" in capsys.readouterr().err


def test_a_withdrawal_with_a_rescue_bolus(treated, capsys):
    assert run(treated, "withdrawal", "--bolus", "50 ug", "10 min", "--yes") == 0
    assert "4  50 ug over 10 min" in capsys.readouterr().out
    high = ["withdrawal", "--bolus", "80 ug", "10 min", "--from", "4", "--yes"]
    assert run(treated, *high) == 1 and "makes 130 ug with the 50 ug given beyond the basal in the last 24 h: above the usual" in capsys.readouterr().err
    treated.clock.sleep(3600)
    assert run(treated, *high, "--override", "emergency") == 0 and "soft limits overridden: emergency" in capsys.readouterr().out


def test_a_replacement_on_two_ports(treated, capsys, tmp_path):
    keep = str(tmp_path / "old.json")
    for args, words in (([], "give --save FILE at the old pump or --old FILE at the new one"), (["--save", keep, "--old", keep], "give --save FILE"),
                        (["--old", keep], "the new pump needs --serial and --volume")):
        assert run(treated, "replacement", *args, "--yes") == 2
        assert words in capsys.readouterr().err
    assert run(treated, "replacement", "--save", keep, "--aspirated", treated.withdraw(), "--yes") == 0
    new = RealPump()
    new.inject(18_600)
    capsys.readouterr()
    assert run(new, "replacement", "--old", keep, "--serial", "2002", "--volume", "18.6 mL", "--lot", "L9", "--yes", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["ok"] and row["status"]["mode"] == "running" and Programmer(new).contents().lot == "L9"
