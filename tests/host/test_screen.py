"""The interrogation screen: every item of alarms.md section 5, in its order, and a schedule that is drawn."""

import json

import pytest
from bare_pump import MONDAY_S, STORE_BYTES
from fake_pump import event
from older_store import older_store
from real_pump import RealPump

from thecal.host import Fill, ImplantRecord, Implant, Prescription, cli, report, screen
from thecal.host.programmer import Programmer
from thecal.host.terminal import Session
from thecal.protocol import catalogue as cat

FLEX = Prescription.flex("baclofen", concentration="2000 ug/mL", weekdays={"sat": [{"from": "00:00", "dose": "minimum"}]}, steps=[
    {"from": "00:00", "dose": "20 ug/h"}, {"from": "06:00", "dose": "10 ug/h"}, {"from": "18:30", "dose": "minimum"}])


def test_a_day_is_drawn_by_the_hour():
    assert screen.day_chart(FLEX, 0) == [
        "0.24 mL/day |######                  |",
        "            |######                  |",
        "            |###################     |",      # from 18:00 half an hour at 0.12: a mean of 0.063
        "            |########################|",
        "              00    06    12    18    24"[1:],
    ]
    assert screen.day_chart(FLEX, 5)[0].endswith("|%s|" % (24 * " ")), "a day of its own, on the week's scale"


def test_a_program_that_gives_nothing_is_not_drawn():
    from thecal.host.prescription import Step
    assert screen.day_chart(Prescription("simple", (), ((Step(0, 0),),), (0,) * 7, 0, "stop"), 0) == []


@pytest.fixture
def seen(pump, fake):
    pump.commission(Implant())
    pump.record_implant(ImplantRecord("AB", "spasticity", fake.time_s, "T10", True, "conditional"))
    pump.refill(Fill("18.6 mL", "morphine", "10 mg/mL", lot="L1"))
    program = Prescription.simple("morphine", concentration="10 mg/mL", dose="4 mg/day", setting="tolerant", editor="Dr X").with_bolus("0.2 mg", "10 min", "3 h", 4)
    pump.program(program)
    fake.events.append(event(len(fake.events), fake.time_s, cat.E_ALARM, 19))
    fake.events.append(event(len(fake.events), fake.time_s, cat.E_DENIED, cat.R_LOCKOUT, 1))
    fake.status_fields = {"alarms": 1 << 18, "rate_nl_day": 400_000, "reservoir_computed_nl": 4_000_000, "reservoir_sensed_ul": 4100, "mode": 6, "extra": 4,
                          "extra_left_nl": 10_000}
    fake.status_fields["rate_nl_day"] = 400_000 + 2_880_000
    return report.collect(pump, host_s=fake.time_s - 60)


@pytest.mark.req("TH-LIFE-12")
def test_every_item_in_its_order(seen):
    rows = screen.rows(seen)
    assert [name for name, _ in rows if name] == [
        "ALARM", "state", "CATHETER", "drug", "now", "contents", "schedule", "patient bolus", "reservoir", "low reservoir", "drug expires", "battery", "patient boluses",
        "asked by hour", "events", "fallback", "pump clock", "patient", "implant", "program"]
    told = dict(rows)
    for name, words in {
            "ALARM": "19 low reservoir (priority 3) since 2026-01-05 09:00:00: ", "drug": "morphine 10 mg/mL, 4 mg/day", "now": "at 3.28 mL/day",
            "patient bolus": "0.01 mL to give: 5 min left, until 2026-01-05 09:05:00", "reservoir": "4 mL computed, 4.1 mL sensed, difference 0.1 mL",
            "low reservoir": "with all boluses", "battery": "3600 mV, 80 months to replacement (64 .. 81)", "patient boluses": "0 granted, 1 REFUSED since the last visit: 1 the lockout",
            "asked by hour": "09 h 1", "events": "4 since the pump was made", "fallback": "safe state minimum", "pump clock": ", 1 min ahead of this computer",
            "patient": "AB, spasticity; implanted 2026-01-05 09:00:00, tip T10, access port yes, MRI conditional", "implant": "dead volume 0.375 mL",
            "program": "editor Dr X", "CATHETER": "on record as EMPTY: no drug reaches the patient before 0.375 mL have filled it"}.items():
        assert words in told[name], (name, told[name])


def test_what_nobody_knows_is_said(pump):
    told = dict(screen.rows(report.collect(pump)))
    assert told["alarms"] == "none active" and told["low reservoir"] == "no date: nothing is programmed"
    assert "the implant is not on record" in told["battery"] and "program" not in told and "patient" not in told
    assert screen.clock_text(None) == "" and screen.clock_text(-60) == ", 1 min behind this computer" and screen.ml(375_000) == "0.375 mL"


@pytest.mark.req("TH-STORE-11")
def test_a_pump_flashed_over_an_older_firmwares_store_says_so(capsys):
    """At `thecal status`, in its log and as JSON: neither a new pump nor a damaged one."""
    real = RealPump(store=older_store(STORE_BYTES, MONDAY_S))
    session = Session("toy://", open_pump=lambda url, timeout_s, **who: Programmer(real, timeout_s=timeout_s, **who))
    sentence = ("the store was written by firmware with records of version 1, which this one does not read; nothing of it runs: "
                "commission, fill and program anew")
    assert cli.run(["status"], session) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "ALARM 3 " in said and sentence in said and "shelf" in said
    assert cli.run(["log"], session) == 0 and sentence in " ".join(capsys.readouterr().out.split())
    assert cli.run(["status", "--json"], session) == 0
    assert json.loads(capsys.readouterr().out)["alarms"][0]["why"] == sentence
    assert cli.run(["resume", "--yes"], session) == 1 and "not commissioned" in capsys.readouterr().err
