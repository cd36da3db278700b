"""The watch behind the first start: as long as the library asks, by the hour; what must be true before, and what ends it badly."""

import pytest

from thecal.host import Prescription, scripts
from thecal.host.watch_start import WATCH_S, start, watch_s

HOUR_S = 3600
BACLOFEN = Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day")


def through(script, first=1):
    told = {}
    done = script.run(lambda number, step: True, lambda number, said: told.update({number: said}), first)
    return done, told


@pytest.mark.req("TH-LIFE-31")
def test_baclofen_is_watched_for_8_h_by_the_hour(bedside):
    bedside.program(BACLOFEN)
    script, looks = start(bedside), []
    wait = script.wait
    script.wait = lambda seconds: (looks.append(seconds), wait(seconds))[1]
    before_s = bedside.status().time_s
    done, told = through(script)
    assert done["ok"], done["why"]
    assert looks == [HOUR_S] * 8 and bedside.status().time_s - before_s >= 8 * HOUR_S
    assert told[2].startswith("it sounded") and told[4] == "8 h without an urgent alarm; the rotor turns" and told[6] == "baclofen: a rise after 1 d"
    assert done["schema"] == scripts.SCHEMA and done["script"] == "start" and told[5].startswith("baclofen 150 ug/day now")


@pytest.mark.req("TH-LIFE-31")
def test_a_therapy_that_does_not_reach_the_patient_is_no_start(bedside):
    assert not (done := through(start(bedside))[0])["ok"]
    assert "no program runs" in done["why"]
    bedside.program(BACLOFEN)
    bedside.record_catheter(filled=False)
    bedside.pause(30)
    script = start(bedside)
    told = script.steps[0].act()
    assert not script.ok and "the pump is paused at 0 mL/day" in told and "the catheter is on record as empty: prime it first" in told


@pytest.mark.req("TH-LIFE-31")
def test_an_urgent_alarm_or_a_stop_ends_the_watch(bedside, real):
    bedside.program(BACLOFEN)
    script = start(bedside)
    wait = script.wait
    script.wait = lambda seconds: (bedside.stop(), wait(seconds))[1]
    assert script.steps[3].act() == "the pump is stopped after 1 h: look at the patient first" == script.why
    bedside.resume()
    script = start(bedside)
    script.wait = lambda seconds: (real.bench.__setattr__("angle", 2000), bedside.wait(seconds=seconds))[1]
    assert "ALARM 1 motion without an order" in script.steps[3].act() and not script.ok


def test_a_drug_without_a_figure_is_watched_for_a_day(bedside):
    assert watch_s(bedside) == WATCH_S == 24 * HOUR_S
