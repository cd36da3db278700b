"""Commands around the therapy: constants, clock, records, alarms; each shown before it is written, nothing sent on a no."""

import json

import pytest
from fake_pump import span

from thecal.host import Implant, Prescription, cli, cli_life, cli_therapy
from thecal.host.blocks import unpack
from thecal.host.programmer import Programmer
from thecal.host.terminal import Session
from thecal.protocol import catalogue as cat


@pytest.fixture
def therapy(fake):
    pump = Programmer(fake)
    pump.commission(Implant())
    pump.program(Prescription.flex("baclofen", concentration="2000 ug/mL", steps=[{"from": "06:00", "dose": "5 ug/h"}, {"from": "22:00", "dose": "10 ug/h"}]))
    return fake


def run(fake, *args):
    return cli.run(args, Session("toy://", open_pump=lambda url, timeout_s, **who: Programmer(fake, timeout_s=timeout_s, **who)))


WRITING = [["commission", "--serial", "5"], ["clock"], ["implant", "--patient", "AB"],
           ["trial", "--drug", "baclofen", "--concentration", "50 ug/mL", "--bolus", "75 ug", "yes", "6 h"], ["catheter", "empty"]]


@pytest.mark.parametrize("args", WRITING)
def test_a_no_sends_nothing(therapy, capsys, monkeypatch, args):
    before = len(therapy.orders)
    assert run(therapy, *args) == 2 and "add --yes" in capsys.readouterr().err
    monkeypatch.setattr(cli_life, "may_ask", lambda yes: None)
    monkeypatch.setattr(cli_therapy.click, "confirm", lambda question, **options: False)
    assert run(therapy, *args) == 1
    assert "not confirmed" in capsys.readouterr().err and len(therapy.orders) == before


def test_commissioning(therapy, capsys):
    assert run(therapy, "commission", "--serial", "5", "--contact", "0" * 33, "--yes") == 1
    assert "has 33 characters; allowed are 0 .. 32" in capsys.readouterr().err
    assert run(therapy, "commission", "--serial", "5", "--catheter", "60 cm", "--contact", "clinic +00 000 0000", "--yes") == 0
    assert "331000" in capsys.readouterr().err and unpack(cat.COMMISSION, therapy.orders[-1][1])["dead_volume_nl"] == 331_000


def test_the_clock_and_the_steps_that_it_moves(therapy, capsys):
    assert run(therapy, "clock", "--to", "2026-01-05 15:00", "--yes") == 0
    said = capsys.readouterr()
    assert "WARNING: the program's steps move: they come 6 h earlier" in said.err and "2026-01-05 15:00:00" in said.out
    assert "(22:00) comes in 7 h; by the old clock the next one was 22:00 in 13 h" in said.err
    assert run(therapy, "clock", "--to", "now", "--yes") == 1
    assert "--to 'now' is not a date" in capsys.readouterr().err
    assert run(therapy, "clock", "--yes", "--json") == 0 and json.loads(capsys.readouterr().out)["warnings"]


def test_the_implant_record(therapy, capsys):
    assert run(therapy, "implant") == 0 and "none" in capsys.readouterr().out
    assert run(therapy, "implant", "--patient", "AB", "--indication", "spasticity", "--tip", "T10", "--no-port", "--mri", "conditional", "--yes") == 0
    capsys.readouterr()
    assert run(therapy, "implant", "--json") == 0
    known = json.loads(capsys.readouterr().out)["record"]
    assert (known["patient"], known["tip_level"], known["access_port"], known["mri"]) == ("AB", "T10", False, "conditional")
    assert run(therapy, "implant", "--patient", "ABCDEFGHI", "--yes") == 1
    assert "patient 'ABCDEFGHI' has 9 characters; allowed are 0 .. 8" in capsys.readouterr().err


def test_the_trial_record(therapy, capsys):
    assert run(therapy, "trial", "--json") == 0 and json.loads(capsys.readouterr().out)["record"] is None
    assert run(therapy, "trial", "--drug", "baclofen", "--concentration", "50 ug/mL", "--bolus", "50 ug", "none", "0 h", "--bolus", "75 ug", "yes", "6 h",
               "--apart", "24 h", "--yes") == 0
    capsys.readouterr()
    assert run(therapy, "trial") == 0
    assert "75 ug bolus: response yes for 6 h" in capsys.readouterr().out
    assert run(therapy, "trial", "--drug", "ziconotide", "--concentration", "25 ug/mL", "--infusion", "2.4 ug/day", "yes", "3 d", "--yes") == 0
    two = ["--drug", "baclofen", "--concentration", "50 ug/mL", "--bolus", "50 ug", "none", "0 h", "--bolus", "75 ug", "yes", "6 h"]
    for args, status, words in (
            (["--drug", "baclofen"], 2, "needs --concentration"),
            ([*two, "--apart", "23 h"], 1, "75 ug of baclofen 23 h after the one before it; the least is 1 d"), (two, 2, "2 single doses need --apart"),
            (["--drug", "baclofen", "--concentration", "50 ug/mL", "--bolus", "101 ug", "yes", "6 h"], 1, "above the hard limit of 100 ug")):
        assert run(therapy, "trial", *args, "--yes") == status
        assert words in capsys.readouterr().err


def test_the_catheter_record(therapy, capsys):
    assert run(therapy, "catheter", "filled", "--yes") == 0 and therapy.status_fields["catheter"] == 1
    assert run(therapy, "catheter", "empty", "--yes") == 0 and therapy.status_fields["catheter"] == 0
    assert "empty: it may be primed" in capsys.readouterr().err


def test_alarms_are_silenced_and_acknowledged_by_row_or_name(therapy, capsys):
    assert run(therapy, "silence", "low reservoir", "--hours", "12") == 0
    assert unpack(cat.SILENCE, therapy.orders[-1][1])["row"] == 19 and "silenced for 12 h" in capsys.readouterr().out
    assert run(therapy, "acknowledge") == 0 and unpack(cat.ACKNOWLEDGE, therapy.orders[-1][1])["row"] == 0
    assert run(therapy, "acknowledge", "30") == 1
    assert "alarm 30 is neither 0 (all), a row (1 .. 29) nor a name" in capsys.readouterr().err
    assert run(therapy, "silence", "--hours", "25") == 2 and run(therapy, "silence", "--hours", "0") == 2


def test_the_alarm_test_asks_whether_it_was_heard(therapy, capsys, monkeypatch):
    assert run(therapy, "alarm-test", "--yes", "--json") == 0 and json.loads(capsys.readouterr().out)["heard"] is None
    monkeypatch.setattr(cli_therapy.click, "confirm", lambda question, **options: False)
    assert run(therapy, "alarm-test", "--notice") == 0
    assert "sounded, NOT heard" in capsys.readouterr().out and unpack(cat.ALARM_TEST, therapy.orders[-1][1])["tone"] == 1


@pytest.mark.req("TH-CAL-04")
def test_the_calibration_is_shown_ordered_and_shown_before_it_is_ordered(therapy, capsys):
    orders = len(therapy.orders)
    assert run(therapy, "calibrate") == 0 and "the factory's" in capsys.readouterr().out and len(therapy.orders) == orders
    assert run(therapy, "calibrate", "--on", "--yes") == 0 and "may learn" in capsys.readouterr().out
    assert unpack(cat.CALIBRATION, therapy.orders[-1][1])["on"] == 1
    therapy.status_fields["trim"] = -13
    assert run(therapy, "calibrate", "--json") == 0 and json.loads(capsys.readouterr().out) == {"schema": "thecal.calibrate/1", "calibration": True, "trim": -13}
    assert run(therapy, "status") == 0 and "-1.3 % of the factory's volume, learning at refills" in capsys.readouterr().out
    assert run(therapy, "calibrate", "--off", "--yes", "--json") == 0 and json.loads(capsys.readouterr().out)["ok"]
    assert unpack(cat.CALIBRATION, therapy.orders[-1][1])["on"] == 0 and run(therapy, "calibrate", "--off") == 2


def test_the_delivery_history(therapy, capsys):
    therapy.files[cat.FILE_HISTORY] = span(63_536_400, 1042) + bytes(cat.HISTORY_BYTES)
    assert run(therapy, "delivery") == 0 and "1042" in capsys.readouterr().out
    assert run(therapy, "delivery", "--json") == 0
    spans = json.loads(capsys.readouterr().out)["spans"]
    assert len(spans) == 1 and spans[0]["mode"] == "running" and spans[0]["rate_nl_day"] == 300_000
