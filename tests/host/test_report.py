"""The visit report: what section 5 of alarms.md asks for, as data and as text."""

import json

import pytest
from fake_pump import day, event

from thecal.host import Fill, Implant, Prescription, report
from thecal.protocol import catalogue as cat


@pytest.fixture
def visited(pump, fake):
    pump.commission(Implant())
    pump.refill(Fill("18.6 mL", "baclofen", "500 ug/mL"))
    pump.program(Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day", editor="AB"))
    fake.events.append(event(len(fake.events), fake.time_s, cat.E_ALARM, 19, 0, 0))
    fake.status_fields = {"alarms": 1 << 18, "latched": 1 << 18, "rate_nl_day": 300_000, "reservoir_computed_nl": 15_000_000,
                          "reservoir_sensed_ul": 15_010, "ordered_revs": 100, "missed_stop_ul": 3, "pulses": 3500}
    return pump


@pytest.mark.req("TH-LIFE-11")
def test_the_data(visited, fake):
    visit = report.collect(visited, host_s=fake.time_s - 90)
    assert visit["schema"] == "thecal.report/1" and json.dumps(visit)
    assert visit["state"] == "delivering 150 ug/day baclofen (0.3 mL/day now), simple continuous"
    assert visit["alarms"][0]["name"] == "low reservoir" and visit["alarms"][0]["since"]
    assert visit["clock_difference_s"] == 90
    assert visit["delivered_since_refill_nl"] == 3_600_000, "the first fill found no residual"
    assert visit["reservoir"]["low"] == "2026-02-12 17:00:00", "13.6 mL usable less 2.1 mL (7 days) at 0.3 mL/day: 38 d 8 h"
    assert visit["reservoir"]["empty"] == "2026-02-19 17:00:00" and visit["reservoir"]["low_without_boluses"] == visit["reservoir"]["low"]
    assert visit["reservoir"]["expires"] == "2026-07-04" and visit["contents"]["drugs"][0]["name"] == "baclofen"
    assert visit["implant"]["dead_volume_nl"] == 375_000
    assert [e["name"] for e in visit["events"]] == ["refill", "program committed", "alarm"] and visit["event_count"] == 3
    assert len(report.collect(visited, since=1)["events"]) == 2


@pytest.mark.req("TH-LIFE-11")
def test_the_text(visited, fake):
    text = report.as_text(report.collect(visited, host_s=fake.time_s + 60))
    for words in ("not a medical device", "ALARM            19 low reservoir (priority 3) since 2026-01-05", "program unchanged",
                  "drug             baclofen 500 ug/mL, 150 ug/day", "fallback         0.15 mL/day, safe state minimum", "editor AB",
                  "15 mL computed, 15.01 mL sensed", "missed           0.003 mL (stop 0.003 mL)", "1 min behind this computer",
                  "dead volume 0.375 mL", "signed for program " + fake.running_digest.hex()):
        assert words in text, words


def test_what_the_pump_cannot_know_is_said(visited, fake):
    assert report.collect(visited)["contents_note"] is None
    visited.refill(Fill("18.6 mL", "baclofen", "2000 ug/mL", lot="B7", withdrawn="13.6 mL"))
    text = report.as_text(report.collect(visited))
    assert "contents         the last fill is baclofen 2000 ug/mL, 18.6 mL, lot B7, the program is written for baclofen 500 ug/mL" in text


def test_later_refills_find_a_residual(visited):
    visited.refill(Fill("18.6 mL", "baclofen", "500 ug/mL", withdrawn="13.6 mL"))
    assert report.collect(visited)["delivered_since_refill_nl"] == 5_000_000


def test_many_events_are_cut_in_the_text_only(visited, fake):
    fake.events += [event(len(fake.events) + n, 5, cat.E_BOOT, 1, n) for n in range(60)]
    visit = report.collect(visited)
    assert len(visit["events"]) == 63 and "(23 earlier ones and 0 of routine (whose orders, passed self-tests) are in the JSON)" in report.as_text(visit)
    fake.events.append(event(len(fake.events), 5, cat.E_SELF_TEST))
    fake.events.append(event(len(fake.events), 5, cat.E_SELF_TEST, 2, 7, 8))
    text = report.as_text(report.collect(visited))
    assert "(24 earlier ones and 1 of routine" in text and "test 2 failed (7, 8)" in text


def test_a_pump_on_the_shelf(pump, fake):
    fake.mode = 0
    text = report.as_text(report.collect(pump))
    assert "on the shelf" in text and "none active" in text and "no date: nothing is programmed" in text


def test_delivered_against_prescribed_since_the_last_visit(visited, fake):
    fake.status_fields.pop("alarms")
    assert report.delivered_text(report.collect(visited)["delivered"]) == "no day is closed yet"
    visited.sign_visit(b"12345678")
    signed = len(fake.events) - 1
    today = fake.time_s // 86_400
    fake.first_day, fake.days = today - 1, [day(today - 1, 900, 900_000), day(today, 300, 0, 300_000), day(today + 1, 300, 300_000)]
    lost = [event(len(fake.events) + n, (today + 1) * 86_400 - 60, cat.E_PULSE_LOST, 0, 3, 117) for n in range(300)]
    fake.events += lost
    seen = report.collect(visited)
    assert seen["delivered"] == {"days": 2, "prescribed_nl": 600_000, "delivered_nl": 300_000, "missed_nl": 300_000, "accuracy_pct": 14.5}
    assert report.delivered_text(seen["delivered"]).startswith("0.3 mL of 0.6 mL prescribed in 2 closed days (50 %)")
    assert seen["event_count"] == 301 and seen["events"][0]["seq"] == signed
    assert report.collect(visited, recent=True)["event_count"] is None, "the visit stands further back than the end of the log"


def test_what_runs_ends_and_what_the_head_gives_then(visited, fake):
    fake.status_fields.update(mode=6, extra=3, extra_left_nl=10_000, rate_nl_day=300_000 + 2_880_000)
    assert report.collect(visited)["extra"] == {"kind": "bolus", "left_nl": 10_000, "left_s": 300, "ends": "2026-01-05 09:05:00"}
    fake.status_fields.update(mode=3, extra=2, extra_left_nl=10_000, rate_nl_day=0)
    stopped = report.collect(visited)
    assert stopped["extra"]["ends"] is None and "bridge           0.01 mL to give: waits" in report.as_text(stopped)
    fake.status_fields.update(mode=4, extra=1, rate_nl_day=24_000_000)
    assert report.collect(visited)["now"] == "24 mL/day", "a prime fills the line and gives no dose"


def test_requests_of_the_patient_by_reason_and_hour(visited, fake):
    start = fake.time_s - fake.time_s % 86_400
    for at, code, cause in ((3600, cat.E_BOLUS, 4), (7200, cat.E_DENIED, cat.R_LOCKOUT), (7300, cat.E_DENIED, cat.R_COUNT), (9000, cat.E_BOLUS, 3)):
        fake.events.append(event(len(fake.events), start + at, code, cause, 1))
    seen = report.collect(visited)
    assert seen["boluses"] == {"granted": 1, "refused": 2, "asked_by_hour": {"01": 1, "02": 2}, "refused_by_reason": {
        "the lockout since the last bolus is not over": 1, "the number of boluses in this interval is used up": 1}}
    assert "1 granted, 2 REFUSED since the last visit: 1 the lockout" in report.as_text(seen) and "01 h 1, 02 h 2" in report.as_text(seen)
