"""Commands that change therapy: side by side, --yes without a terminal, nothing sent on a no."""

import json

import pytest
from fake_pump import FakePump

from thecal.host import Implant, Prescription, cli, cli_therapy
from thecal.host.blocks import read_program, unpack
from thecal.host.followup import FollowUp
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


@pytest.mark.req("TH-PROG-06")
@pytest.mark.parametrize("args", [
    [*PROGRAM, "--dose", "180 ug/day"], [*REFILL, "--concentration", "500 ug/mL"], ["stop"], ["resume"], ["prime"],
    ["pause"], ["bolus", "30 ug", "--over", "10 min"],
])
def test_without_a_terminal_yes_is_needed_before_a_byte_is_sent(capsys, args):
    def never(url, timeout_s, **who):
        raise AssertionError("the port was opened")
    assert cli.run(args, Session("toy://", open_pump=never)) == 2
    assert "add --yes" in capsys.readouterr().err


@pytest.mark.req("TH-PROG-06")
def test_a_program_side_by_side(therapy, capsys):
    assert run(therapy, *PROGRAM, "--dose", "180 ug/day", "--editor", "AB", "--yes") == 0
    said = capsys.readouterr()
    line = next(row for row in said.err.splitlines() if row.startswith("baclofen a day"))
    assert "150 ug/day" in line and "180 ug/day (+20 %)" in line and "digest" in said.err
    assert said.out.startswith("running baclofen 180 ug/day at 2026-01-07 09:00:00, digest ")
    assert read_program(therapy.program).editor == "AB"


def test_a_program_as_json(therapy, capsys):
    assert run(therapy, *PROGRAM, "--dose", "200 ug/day", "--override", "trial result", "--yes", "--json") == 0
    said = capsys.readouterr()
    row = json.loads(said.out)
    assert row["schema"] == "thecal.program/1" and row["ok"] and row["program"]["drugs"][0]["daily_dose"] == "200 ug/day"
    assert row["warnings"][0].startswith("the catheter is on record as EMPTY") and "33.3 %" in row["warnings"][1] and "WARNING: step of baclofen" in said.err
    assert (row["program"]["overrides"], row["program"]["override_why"]) == (2, "trial result")


@pytest.mark.req("TH-PROG-05")
def test_a_soft_limit_asks_twice(therapy, capsys, monkeypatch):
    before, asked = len(therapy.orders), []
    high = [*PROGRAM, "--dose", "200 ug/day"]
    assert run(therapy, *high, "--yes") == 1
    assert "is 33.3 %, above the usual 30 %; to do it all the same give a reason to override" in capsys.readouterr().err and len(therapy.orders) == before
    monkeypatch.setattr(cli_therapy, "may_ask", lambda yes: None)
    monkeypatch.setattr(cli_therapy.click, "prompt", lambda question, **options: asked.append(question) or "clinical judgement")
    monkeypatch.setattr(cli_therapy.click, "confirm", lambda question, **options: asked.append(question) or True)
    assert run(therapy, *high) == 0
    assert asked == ["Override, because of", "Commit the pending program?"] and "SOFT LIMIT: step of baclofen" in capsys.readouterr().err
    assert (read_program(therapy.program).guard.overrides, read_program(therapy.program).guard.why) == (2, "clinical judgement")


def test_a_periodic_program_and_a_patient_bolus(fake, capsys):
    Programmer(fake).commission(Implant())
    assert run(fake, "program", "--drug", "baclofen", "--concentration", "2000 ug/mL", "--dose", "180 ug/day", "--at", "00:00", "--at", "12:00",
               "--over", "30 min", "--yes") == 0
    assert read_program(fake.program).patterns[0][0].rate_nl_day == 6000 + 42_000 * 48
    fake.program = b""
    assert run(fake, "program", "--drug", "morphine", "--concentration", "10 mg/mL", "--dose", "4 mg/day", "--setting", "tolerant", "--bolus", "0.2 mg",
               "10 min", "3 h", "4", "--interval", "6 h", "2", "--released", "--yes") == 0
    assert "morphine 0.2 mg over 10 min, lockout 3 h, 2 in 6 h, 4 in 24 h, from the first day on" in capsys.readouterr().err
    for args, words in (
            (["--dose", "4 mg/day", "--at", "00:00"], "needs --dose, --at and --over together"), (["--minimum", "--released"], "give --bolus"),
            (["--dose", "4 mg/day", "--bolus", "0.2 mg", "10 min", "3 h", "x"], "'x' is no whole number of boluses")):
        assert run(fake, "program", "--drug", "morphine", "--concentration", "10 mg/mL", *args, "--yes") == 2
        assert words in capsys.readouterr().err


def test_a_single_bolus_shows_its_day_and_a_patient_asks_without_a_dose(therapy, capsys):
    assert run(therapy, "bolus", "30 ug", "--over", "10 min", "--yes") == 0
    said = capsys.readouterr()
    assert "a day with it" in said.err and "baclofen 180 ug/day" in said.err and "bolus of 30 ug over 10 min" in said.out
    high, orders = ["bolus", "900 ug", "--over", "6 h", "--yes"], len(therapy.orders)
    assert run(therapy, *high) == 1 and len(therapy.orders) == orders
    assert "above the usual limit of 1000 ug/day (setting non-cancer); to do it all the same give a reason to override" in capsys.readouterr().err
    assert run(therapy, *high, "--override", "emergency") == 0
    assert "WARNING: daily dose of baclofen 1050 ug/day is above the usual limit of 1000 ug/day" in capsys.readouterr().err
    assert run(therapy, "--role", "patient", "bolus", "--override", "emergency") == 2
    assert run(therapy, "--role", "patient", "bolus", "--json") == 0 and therapy.orders[-1][0] == cat.PATIENT_BOLUS
    assert json.loads(capsys.readouterr().out)["schema"] == "thecal.bolus/1"
    assert run(therapy, "--role", "patient", "bolus", "30 ug") == 2 and run(therapy, "bolus", "--yes") == 2


def test_a_pause(therapy, capsys):
    assert run(therapy, "pause", "--minutes", "30", "--yes") == 0
    said = capsys.readouterr().err
    assert "PAUSED for 30 min" in said and "WARNING: stopping baclofen abruptly is dangerous: withdrawal" in said and unpack(cat.PAUSE, therapy.orders[-1][1])["minutes"] == 30
    assert run(therapy, "pause", "--minutes", "1441", "--yes") == 2


def test_flex_with_a_weekday_of_its_own(therapy, capsys):
    assert run(therapy, "program", "--drug", "baclofen", "--concentration", "500 ug/mL", "--step", "06:00", "6 ug/h", "--step", "22:00", "8 ug/h",
               "--on", "mon", "00:00", "6 ug/h", "--yes") == 0
    assert read_program(therapy.program).weekdays == (1, 0, 0, 0, 0, 0, 0)
    assert "tue+wed+thu+fri+sat+sun: 00:00 0.384 mL/day" in " ".join(capsys.readouterr().err.split())


def test_a_program_behind_a_bridge(therapy, capsys):
    strong = ["program", "--drug", "baclofen", "--concentration", "2000 ug/mL", "--dose", "150 ug/day", "--yes"]
    assert run(therapy, *strong, "--bridge") == 1, "nothing is in the catheter yet"
    therapy.status_fields |= {"catheter": 1, "reservoir_computed_nl": 20_000_000}
    assert run(therapy, *strong) == 1
    assert "a bridge is due, 0.375 mL of old drug at 0.3 mL/day: 1 d 06:00: without it the old drug" in capsys.readouterr().err
    assert run(therapy, *strong, "--bridge") == 0
    said = capsys.readouterr().err
    assert "0.375 mL of old drug at 0.3 mL/day: 1 d 06:00" in said and "2000 ug/mL" in said
    assert (read_program(therapy.program).bridge.volume_nl, read_program(therapy.program).bridge.rate_nl_day) == (375_000, 300_000)
    assert run(therapy, *strong, "--bridge") == 1
    assert "no bridge is due" in capsys.readouterr().err


def test_minimum_rate(therapy):
    assert run(therapy, *PROGRAM, "--minimum", "--yes") == 1, "a fall of baclofen by 98 %"
    assert run(therapy, *PROGRAM, "--minimum", "--yes", "--override", "emergency") == 0
    assert read_program(therapy.program).patterns[0][0].rate_nl_day == 6000


@pytest.mark.req("TH-BAD-03")
@pytest.mark.parametrize("args, status, words", [
    (PROGRAM, 2, "exactly one of --dose"),
    ([*PROGRAM, "--dose", "1 ug/day", "--minimum"], 2, "exactly one of --dose"),
    ([*PROGRAM, "--dose", "150"], 1, "no unit"),
    ([*PROGRAM, "--dose", "2100 ug/day"], 1, "hard limit of 2000 ug/day"),
    ([*PROGRAM, "--dose", "150 ug/day", "--also", "morphine", "1"], 1, "concentration of morphine '1' has no unit"),
    ([*REFILL, "--concentration", "5000 ug/mL"], 1, "hard limit of 2000 ug/mL"),
    (["stop", "--reason", "boredom"], 2, "boredom"),
    (["prime", "--volume", "2 mL"], 1, "prime of 2 mL is more than tubing and catheter holds: 0.375 mL"),
    (["prime", "port"], 2, "'port' is not one of"),
    ([*REFILL, "--concentration", "500 ug/mL", "--rinses", "3"], 1, "3 rinses (allowed are 0 .. 10) of 0 mL: a rinse needs its volume"),
    ([*REFILL, "--concentration", "500 ug/mL", "--rinses", "11"], 2, "0<=x<=10"),
])
def test_refusals_send_nothing(therapy, capsys, args, status, words):
    before = len(therapy.orders)
    assert run(therapy, *args, "--yes") == status
    assert words in capsys.readouterr().err and len(therapy.orders) == before


@pytest.mark.req("TH-PROG-06")
@pytest.mark.parametrize("args", [
    [*PROGRAM, "--dose", "180 ug/day"], [*REFILL, "--concentration", "500 ug/mL"], ["stop"], ["resume"], ["prime"],
    ["pause"], ["bolus", "30 ug", "--over", "10 min"],
])
def test_a_no_sends_nothing(therapy, capsys, monkeypatch, args):
    before = len(therapy.orders)
    monkeypatch.setattr(cli_therapy, "may_ask", lambda yes: None)
    monkeypatch.setattr(cli_therapy.click, "confirm", lambda question, **options: options["err"] is not True)
    assert run(therapy, *args) == 1
    assert "not confirmed" in capsys.readouterr().err and len(therapy.orders) == before


@pytest.mark.req("TH-LIFE-07")
def test_a_refill_tells_of_mixing_bridge_and_odd_volume(therapy, capsys):
    assert run(therapy, *REFILL, "--concentration", "500 ug/mL", "--yes") == 0
    therapy.status_fields |= {"reservoir_computed_nl": 4_000_000, "catheter": 1}
    assert run(therapy, *REFILL, "--concentration", "2000 ug/mL", "--withdrawn", "0.1 mL", "--yes") == 0
    said = capsys.readouterr()
    for words in ("1895 ug/mL mixed with the residual", "ANOTHER CONCENTRATION: the running program gives 150 ug/day", "600 ug/day", "a bridge is due, 0.375 mL of old drug at 0.3 mL/day: 1 d 06:00",
                  "2.5 mL less withdrawn than expected"):
        assert words in said.err, words
    assert "refilled with 18.6 mL" in said.out and [kind for kind, _ in therapy.orders[-2:]] == [cat.REFILL, cat.REFILL]


@pytest.mark.parametrize("order", ["stop", "pause", "resume"])
def test_the_alarms_that_stand_are_shown_before_delivery_is_stopped_or_taken_up(therapy, capsys, order):
    """alarms.md: active alarms first, on every screen that asks for a signature."""
    therapy.status_fields |= {"alarms": 1 << 4, "latched": 1 << 4}
    assert run(therapy, order, "--yes") == 0
    assert "ALARM 5" in capsys.readouterr().err


def test_stop_warns_and_resume_takes_up(therapy, capsys):
    assert run(therapy, "stop", "--reason", "mri", "--yes") == 0
    assert "stopping baclofen abruptly is dangerous" in capsys.readouterr().err and therapy.mode == 3
    assert run(therapy, "resume", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "thecal.resume/1" and therapy.mode == 2


def test_a_prime_and_its_dose(therapy, capsys):
    assert run(therapy, "prime", "--yes") == 0
    said = capsys.readouterr().err
    assert "priming both at 24 mL/day" in said and "baclofen 187.5 ug" in said and "on record as empty" in said
    therapy.status_fields["catheter"] = 1
    assert run(therapy, "prime", "--yes") == 1
    assert "the catheter is on record as drug-filled" in capsys.readouterr().err
    assert run(therapy, "prime", "tubing", "--yes") == 0 and unpack(cat.PRIME, therapy.orders[-1][1])["volume_nl"] == 199_000


def test_a_rinsed_refill_shows_what_is_left_of_the_old_drug(therapy, capsys):
    assert run(therapy, *REFILL, "--concentration", "2000 ug/mL", "--rinses", "2", "--rinse-volume", "2 mL", "--lot", "B7", "--yes") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "2000 ug/mL (1982.2 ug/mL mixed with the residual)" in said and "rinsed 2 times with 2 mL" in said
    assert unpack(cat.REFILL, therapy.orders[-1][1])["lot"].rstrip(b"\0") == b"B7"


def test_an_order_the_pump_had_done_before_is_said(therapy, capsys):
    fake = FakePump(therapy.clock)
    done = Programmer(fake).stop()
    cli_therapy.told("thecal.stop/1", done.__class__("stop", "00", True, "00", 5), False, "stopped")
    assert "the pump had done it before" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------- what it costs on the wire
@pytest.mark.parametrize(("args", "files", "statuses"), [
    ([*PROGRAM, "--dose", "180 ug/day"], 4, 2),                         # program, last fill, end of the log, read-back
    (["prime", "tubing"], 3, 2),                                        # program, last fill, read-back
    (["bolus", "30 ug", "--over", "10 min"], 3, 2),                     # program, end of the log (boluses before it), read-back
        (["stop"], 2, 2), (["resume"], 2, 2), (["pause"], 2, 2), (["clock"], 2, 2),
    ([*REFILL, "--concentration", "500 ug/mL"], 3, 2),                  # program, last fill, read-back
], ids=lambda value: value[0] if isinstance(value, list) else str(value))
def test_an_order_reads_each_thing_once(therapy, args, files, statuses):
    """Of the pump's state one look, whatever is judged by it; a second status goes into the order's number."""
    therapy.served.clear()
    assert run(therapy, *args, "--yes") == 0
    assert therapy.served.count(cat.STATUS) == statuses and therapy.served.count(cat.IMPLANT) == 1 and therapy.served.count(cat.FILE_INFO) == files
    assert therapy.served.count(cat.COMMIT) == 1


def test_a_visit_plans_by_one_look(therapy):
    pump = Programmer(therapy)
    therapy.served.clear()
    FollowUp(pump, "Dr X").plan(program=Prescription.simple("baclofen", concentration="500 ug/mL", dose="180 ug/day"))
    counts = [therapy.served.count(message) for message in (cat.STATUS, cat.IMPLANT, cat.FILE_INFO)]
    assert counts == [1, 1, 4], "one look; of files the program, the fill, the end of the log and the implant record"
