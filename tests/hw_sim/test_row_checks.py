"""The twin must be healthy, nothing rings that should not, what rings is heard, and what a firmware lacks is not asked of it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from thecal.hw_sim.faults import load
from thecal.hw_sim.observer import Sign
from thecal.hw_sim.row_checks import alarms_of, false_alarms, twin_faults, unheard, unseen
from thecal.hw_sim.scenario import ALARM_ROWS, units
from thecal.hw_sim.tones import BEGINS, TWO_TONE

ROWS = {row.id: row for row in load(units)}
STALL = ROWS["rotor-stall@c05"]
S, HOUR_US = 1_000_000, 3_600_000_000


def run(*names, **changes):
    signs = [Sign((index + 1) * HOUR_US, name) for index, name in enumerate(names)]
    made = {"signs": signs, "failure": "", "refused": [], "books": [], "deaf": False, "end_us": 9 * HOUR_US, "tones": [], "standing": []}
    return SimpleNamespace(**(made | changes))


def test_the_alarms_of_a_run_are_named_once_by_number():
    assert alarms_of(run("alarm 10", "tone", "alarm 7", "alarm 10")) == ["alarm 7", "alarm 10"]
    assert alarms_of(run("alarm 10", "alarm 7"), until_us=HOUR_US) == ["alarm 10"]


@pytest.mark.req("TH-RULE-12")
@pytest.mark.parametrize("twin, said", [
    (run(), []), (run(failure="it crashed\nTraceback"), ["the healthy twin failed: it crashed"]),
    (run(refused=["event 3 (program): no"]), ["the healthy twin: event 3 (program): no"]),
    (run(books=[{"name": "demanded", "ok": False}]), ["the healthy twin's books: demanded"]),
    (run("alarm 1", "alarm 2"), ["false alarms: the healthy twin raises alarm 1, alarm 2"]),
    (run(deaf=True, signs=[Sign(HOUR_US, "tone")]), ["false alarms: the healthy twin sounds a tone"]),
    (run(signs=[Sign(10 * HOUR_US, "alarm 1")]), []),      # a longer row's twin, later than this row
])
def test_a_twin_that_is_not_healthy_fails_the_row(twin, said):
    assert twin_faults(STALL, run(), twin) == said


def test_a_therapy_may_ring_by_itself_and_a_fault_what_follows_from_it():
    assert twin_faults(ROWS["rotor-stall@c2"], run(), run("alarm 19")) == [] == false_alarms(ROWS["rotor-stall@c2"], run("alarm 7", "alarm 19"))
    assert false_alarms(STALL, run("alarm 7", "alarm 10")) == []
    assert false_alarms(STALL, run("alarm 7", "alarm 19", "alarm 4")) == ["false alarms: alarm 4, alarm 19"]


@pytest.mark.req("TH-ALM-07")
def test_a_mute_pump_is_found_and_one_that_has_no_buzzer_is_not_asked():
    mute = run(standing=[(HOUR_US, BEGINS, frozenset((7,)))])
    assert unheard(STALL, mute, ALARM_ROWS, ()) == ["alarm 7 stood 28800 s without its tone (two-tone, within 600 s)"]
    assert unheard(STALL, mute, ALARM_ROWS, ("tone",)) == []
    loud = run(standing=mute.standing, tones=[(t_s * S, TWO_TONE) for t_s in range(3600, 9 * 3600, 600)])
    assert unheard(STALL, loud, ALARM_ROWS, ()) == []
    silenced = replace(STALL, events=(*STALL.events, (7200, {"kind": "silence", "hours": 2})))
    assert unheard(silenced, mute, ALARM_ROWS, ()) == []


@pytest.mark.parametrize("row, lacks, missing", [
    ("rotor-stall@c05", ("tone",), []), ("rotor-stall@c05", ("telemetry",), []), ("rotor-stall@c05", ("telemetry", "tone"), ["telemetry", "tone"]),
    ("fever@c05", ("telemetry",), ["telemetry"]),               # row 22 has no tone
    ("runaway@c05", ("telemetry", "tone"), []),                 # a dropped enable is seen
    ("power-cut@c05", ("telemetry", "tone"), []), ("torn-write@c05", ("telemetry",), ["telemetry"]), ("catheter-leak@c05", ("telemetry", "tone"), []),
])
def test_what_no_way_is_left_to_see_is_not_applicable(row, lacks, missing):
    assert unseen(ROWS[row], ALARM_ROWS, lacks) == missing
