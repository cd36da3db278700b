"""The visit report: what section 5 of alarms.md asks for, as data and as text."""

import json

import pytest
from fake_pump import event

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


def test_the_data(visited, fake):
    visit = report.collect(visited, host_s=fake.time_s - 90)
    assert visit["schema"] == "thecal.report/1" and json.dumps(visit)
    assert visit["state"] == "delivering 150 ug/day baclofen (0.3 mL/day now), simple continuous"
    assert visit["alarms"][0]["name"] == "low reservoir" and visit["alarms"][0]["since"]
    assert visit["clock_difference_s"] == 90
    assert visit["delivered_since_refill_nl"] == 3_600_000, "the first fill found no residual"
    assert visit["low_reservoir_date"] == "2026-02-12 17:00:00", "13.6 mL usable less 2.1 mL (7 days) at 0.3 mL/day: 38 d 8 h"
    assert visit["empty_date"] == "2026-02-19 17:00:00"
    assert visit["drug_expiry_date"] == "2026-07-04"
    assert visit["implant"]["dead_volume_nl"] == 375_000
    assert [e["name"] for e in visit["events"]] == ["program committed", "alarm"]
    assert len(report.collect(visited, since=0)["events"]) == 3


def test_the_text(visited, fake):
    text = report.as_text(report.collect(visited, host_s=fake.time_s + 60))
    for words in ("not a medical device", "ALARM            19 low reservoir (priority 3) since 2026-01-05", "program unchanged",
                  "drug             baclofen 500 ug/mL, 150 ug/day", "fallback         0.15 mL/day, safe state minimum", "editor AB",
                  "15 mL computed, 15.01 mL sensed", "missed           0.003 mL (stop 0.003 mL)", "1 min behind this computer",
                  "dead volume 0.375 mL", "signed for program " + fake.running_digest.hex()):
        assert words in text, words


def test_what_the_pump_cannot_know_is_said(visited, fake):
    assert report.collect(visited)["contents_note"] is None
    assert report.STALL_NOTE not in report.as_text(report.collect(visited))
    visited.refill(Fill("18.6 mL", "baclofen", "500 ug/mL"))
    fake.status_fields["missed_stall_ul"] = 60
    text = report.as_text(report.collect(visited))
    assert "after the program was committed: doses hold only if that fill is what the program names" in text
    assert "a dead encoder books delivered drug as missed" in text


def test_later_refills_find_a_residual(visited):
    visited.refill(Fill("18.6 mL", "baclofen", "500 ug/mL"))
    assert report.collect(visited)["delivered_since_refill_nl"] == 5_000_000


def test_many_events_are_cut_in_the_text_only(visited, fake):
    fake.events += [event(len(fake.events) + n, 5, cat.E_BOOT, 1, n) for n in range(60)]
    visit = report.collect(visited)
    assert len(visit["events"]) == 62 and "(22 earlier ones are in the JSON)" in report.as_text(visit)


def test_a_pump_on_the_shelf(pump, fake):
    fake.mode = 0
    text = report.as_text(report.collect(pump))
    assert "on the shelf" in text and "none active" in text and "no date: nothing is programmed" in text
