"""Commands that change therapy: side by side, --yes without a terminal, nothing sent on a no."""

import json

import pytest
from fake_pump import FakePump

from thecal.host import Implant, Prescription, cli, cli_therapy
from thecal.host.blocks import read_program
from thecal.host.programmer import Programmer
from thecal.host.terminal import Session
from thecal.protocol import catalogue as cat

PROGRAM = ["program", "--drug", "baclofen", "--concentration", "500 ug/mL"]
REFILL = ["refill", "--volume", "18.6 mL", "--drug", "baclofen"]


@pytest.fixture
def therapy(fake):
    pump = Programmer(fake)
    pump.commission(Implant())
    pump.program(Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day"))
    fake.status_fields = {"rate_nl_day": 300_000}
    fake.clock.sleep(2 * 86_400)
    return fake


def run(fake, *args):
    return cli.run(args, Session("toy://", open_pump=lambda url, timeout_s, **who: Programmer(fake, timeout_s=timeout_s, **who)))


@pytest.mark.parametrize("args", [
    [*PROGRAM, "--dose", "180 ug/day"], [*REFILL, "--concentration", "500 ug/mL"], ["stop"], ["resume"], ["prime", "0.375 mL"],
    ["commission", "--serial", "5"], ["clock"],
])
def test_without_a_terminal_yes_is_needed_before_a_byte_is_sent(capsys, args):
    def never(url, timeout_s, **who):
        raise AssertionError("the port was opened")
    assert cli.run(args, Session("toy://", open_pump=never)) == 2
    assert "add --yes" in capsys.readouterr().err


def test_a_program_side_by_side(therapy, capsys):
    assert run(therapy, *PROGRAM, "--dose", "180 ug/day", "--editor", "AB", "--yes") == 0
    said = capsys.readouterr()
    line = next(row for row in said.err.splitlines() if row.startswith("baclofen a day"))
    assert "150 ug/day" in line and "180 ug/day (+20 %)" in line and "digest" in said.err
    assert said.out.startswith("running baclofen 180 ug/day at 2026-01-07 09:00:00, digest ")
    assert read_program(therapy.program).editor == "AB"


def test_a_program_as_json(therapy, capsys):
    assert run(therapy, *PROGRAM, "--dose", "200 ug/day", "--yes", "--json") == 0
    said = capsys.readouterr()
    row = json.loads(said.out)
    assert row["schema"] == "thecal.program/1" and row["ok"] and row["program"]["drugs"][0]["daily_dose"] == "200 ug/day"
    assert "33.3 %" in row["warnings"][0] and "WARNING: step of baclofen" in said.err


def test_flex_with_a_weekday_of_its_own(therapy, capsys):
    assert run(therapy, "program", "--drug", "baclofen", "--concentration", "500 ug/mL", "--step", "06:00", "6 ug/h", "--step", "22:00", "8 ug/h",
               "--on", "mon", "00:00", "6 ug/h", "--yes") == 0
    assert read_program(therapy.program).weekdays == (1, 0, 0, 0, 0, 0, 0)
    assert "tue+wed+thu+fri+sat+sun: 00:00 0.384 mL/day" in " ".join(capsys.readouterr().err.split())


def test_a_program_behind_a_bridge(therapy, capsys):
    strong = ["program", "--drug", "baclofen", "--concentration", "2000 ug/mL", "--dose", "150 ug/day", "--bridge", "--yes"]
    assert run(therapy, *strong) == 0
    said = capsys.readouterr().err
    assert "0.375 mL of old drug at 0.3 mL/day: 1 d 06:00" in said and "2000 ug/mL" in said
    assert "too little, not too much" in said and [kind for kind, _ in therapy.orders[-2:]] == [cat.PROGRAM, cat.PRIME]
    assert therapy.orders[-1][1][4:] == (375_000).to_bytes(4, "little") + (300_000).to_bytes(4, "little")
    assert run(therapy, *strong) == 1
    assert "no bridge is due" in capsys.readouterr().err


def test_minimum_rate(therapy):
    assert run(therapy, *PROGRAM, "--minimum", "--yes") == 0
    assert read_program(therapy.program).patterns[0][0].rate_nl_day == 6000


@pytest.mark.parametrize("args, status, words", [
    (PROGRAM, 2, "exactly one of --dose"),
    ([*PROGRAM, "--dose", "1 ug/day", "--minimum"], 2, "exactly one of --dose"),
    ([*PROGRAM, "--dose", "150"], 1, "no unit"),
    ([*PROGRAM, "--dose", "2100 ug/day"], 1, "hard limit of 2000 ug/day"),
    ([*PROGRAM, "--dose", "150 ug/day", "--also", "morphine", "1"], 1, "concentration of morphine '1' has no unit"),
    ([*REFILL, "--concentration", "5000 ug/mL"], 1, "hard limit of 2000 ug/mL"),
    (["stop", "--reason", "boredom"], 2, "boredom"),
    (["prime", "2 mL"], 1, "volume_nl is 2000000 nL"),
    (["clock", "--to", "now"], 1, "--to 'now' is not a date"),
])
def test_refusals_send_nothing(therapy, capsys, args, status, words):
    before = len(therapy.orders)
    assert run(therapy, *args, "--yes") == status
    assert words in capsys.readouterr().err and len(therapy.orders) == before


@pytest.mark.parametrize("args", [
    [*PROGRAM, "--dose", "180 ug/day"], [*REFILL, "--concentration", "500 ug/mL"], ["stop"], ["resume"], ["prime", "0.375 mL"],
    ["commission", "--serial", "5"], ["clock"],
])
def test_a_no_sends_nothing(therapy, capsys, monkeypatch, args):
    before = len(therapy.orders)
    monkeypatch.setattr(cli_therapy, "may_ask", lambda yes: None)
    monkeypatch.setattr(cli_therapy.click, "confirm", lambda question, **options: options["err"] is not True)
    assert run(therapy, *args) == 1
    assert "not confirmed" in capsys.readouterr().err and len(therapy.orders) == before


def test_a_refill_tells_of_mixing_bridge_and_odd_volume(therapy, capsys):
    assert run(therapy, *REFILL, "--concentration", "500 ug/mL", "--yes") == 0
    therapy.status_fields["reservoir_computed_nl"] = 4_000_000
    assert run(therapy, *REFILL, "--concentration", "2000 ug/mL", "--withdrawn", "0.1 mL", "--yes") == 0
    said = capsys.readouterr()
    for words in ("1895 ug/mL mixed with the residual", "ANOTHER CONCENTRATION: the running program gives 150 ug/day", "600 ug/day", "a bridge is due, 0.375 mL of old drug at 0.3 mL/day: 1 d 06:00",
                  "2.5 mL less withdrawn than expected"):
        assert words in said.err, words
    assert "refilled with 18.6 mL" in said.out and [kind for kind, _ in therapy.orders[-2:]] == [cat.REFILL, cat.REFILL]


def test_stop_warns_and_resume_takes_up(therapy, capsys):
    assert run(therapy, "stop", "--reason", "mri", "--yes") == 0
    assert "stopping baclofen abruptly is dangerous" in capsys.readouterr().err and therapy.mode == 3
    assert run(therapy, "resume", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "thecal.resume/1" and therapy.mode == 2


def test_prime_commission_and_clock(therapy, capsys):
    assert run(therapy, "prime", "0.375 mL", "--yes") == 0
    said = capsys.readouterr().err
    assert "priming 0.375 mL at 24 mL/day" in said and "baclofen 187.5 ug" in said and "on record as not filled" in said
    therapy.status_fields["ordered_revs"] = 11
    assert run(therapy, "prime", "0.375 mL", "--yes") == 1
    assert "the catheter is on record as filled" in capsys.readouterr().err
    therapy.status_fields["ordered_revs"] = 0
    assert run(therapy, "commission", "--serial", "5", "--catheter", "60 cm", "--yes") == 0
    assert "331000" in capsys.readouterr().err
    assert run(therapy, "commission", "--serial", "5", "--contact", "clinic +00 000 0000", "--yes") == 0
    assert "clinic +00 000 0000" in capsys.readouterr().err
    assert run(therapy, "commission", "--serial", "5", "--contact", "0" * 33, "--yes") == 1
    assert "has 33 characters; allowed are 0 .. 32" in capsys.readouterr().err
    assert run(therapy, "clock", "--to", "2026-03-01 12:00", "--yes") == 0
    assert "2026-03-01 12:00:00" in capsys.readouterr().out and therapy.time_s == 68_299_200
    assert run(therapy, "clock", "--yes") == 0


def test_an_order_the_pump_had_done_before_is_said(therapy, capsys):
    fake = FakePump(therapy.clock)
    done = Programmer(fake).stop()
    cli_therapy.told("thecal.stop/1", done.__class__("stop", "00", True, "00", 5), False, "stopped")
    assert "the pump had done it before" in capsys.readouterr().out
