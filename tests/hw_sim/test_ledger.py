"""The ledger: rows as played, how a row is judged, and that neither workers nor runtime change it."""

from dataclasses import replace

import pytest

from thecal.hw_sim.faults import load
from thecal.hw_sim.ledger import Bench, Played, judged, loaded, not_applicable, run_rows, scenario_of, twin_key, witnessed
from thecal.hw_sim.observer import MOST_WAKES, WITHOUT_END, Course, Sign
from thecal.hw_sim.scenario import units

ROWS = {row.id: row for row in load(units)}
S, DAY_US = 1_000_000, 86_400_000_000
STALL = ROWS["rotor-stall@c05"]
INSIDE = Bench(runtime="inprocess")
# One row of every mechanism: motor, head, line behind it, sensor, power, store, clock, field, people, link.
SLICE = ["rotor-stall@c2", "driver-stuck-on@c2", "septum-leak@c01", "catheter-leak@c2", "level-offset@c01", "power-cut@c01", "torn-write@c01",
         "clock-jump@c01", "telemetry-in-alarm@c2", "pocket-fill@c2", "line-noise@c01"]


def played(signs=(), doses=None, fired=None, **changes):
    """A run of two days, a pulse of 1 uL every half hour, fault at one day; `doses` changes what is given from an instant on."""
    course = Course()
    for number in range(96):
        t_us = number * 1800 * S
        course.t_us.append(t_us)
        course.steps.append(number * 117)
        course.dose_nl.append(number * 1000.0 + (doses(t_us) if doses else 0.0))
    made = Played(course=course, signs=list(signs), prints=[], nl_per_step=35_000 / 4096, pulse_steps=117, fallback_nl_day=24_000.0,
                  deaf=False, failure="", refused=[], books=[], fired_us={"rotor_stall": DAY_US + S} if fired is None else fired, end_us=2 * DAY_US, alarms=[])
    return replace(made, **changes)


def line(row=STALL, **changes):
    return judged(row, played(**changes), played(fired={}), INSIDE)


SEEN = [Sign(DAY_US + 600 * S, "alarm 7")]


def test_a_good_row():
    found = line(signs=SEEN)
    assert (found["ok"], found["why"], found["fired"], found["by"], found["detect_s"], found["final_state"]) == (True, [], True, "alarm 7", 599.0, "program")


@pytest.mark.parametrize("changes, why", [
    ({"signs": SEEN, "fired": {}}, "it never fired"),
    ({"signs": []}, "nothing noticed it"),
    ({"signs": [Sign(DAY_US + 600 * S, "alarm 19")]}, "nothing noticed it"),
    ({"signs": [Sign(DAY_US - 600 * S, "alarm 7")]}, "nothing noticed it"),
    ({"signs": [Sign(DAY_US + 3600 * S, "alarm 7")]}, "noticed after 3599 s, the bound is 1800 s"),
    ({"signs": SEEN, "doses": lambda t_us: 2500.0 * (t_us > DAY_US)}, "2500 nL too much, 2000 are allowed"),
    ({"signs": SEEN, "failure": "it crashed\nTraceback"}, "the firmware failed: it crashed"),
    ({"signs": SEEN, "refused": ["event 3 (program): no"]}, "event 3 (program): no"),
    ({"signs": SEEN, "books": [{"name": "demanded", "ok": False}]}, "the books: demanded"),
    ({"signs": [*SEEN, Sign(DAY_US + 900 * S, "alarm 19")]}, "false alarms: alarm 19"),
    ({"signs": SEEN, "standing": [(DAY_US + 600 * S, "begins", frozenset((7,)))]}, "alarm 7 stood 85800 s without its tone (two-tone, within 600 s)"),
])
def test_what_fails_a_row_is_said(changes, why):
    found = line(**changes)
    assert found["ok"] is False and why in found["why"]


WILD = WITHOUT_END % MOST_WAKES


@pytest.mark.req("TH-ALM-01")
@pytest.mark.parametrize("fired_s, failure, sign_s, why", [
    ((0, 600), WILD, 600, []), ((0, 600), "", 600, ["its flow was cut, and is declared uncuttable"]), ((0, 600), "it crashed", 600, ["the firmware failed: it crashed",
     "its flow was cut, and is declared uncuttable"]), ((0, 600), WILD, 300, ["nothing noticed it"]), ((0,), WILD, 600, ["it never fired"])])
def test_two_faults_that_make_an_uncuttable_flow_count_from_the_second(fired_s, failure, sign_s, why):
    row = ROWS["switch-then-driver@c05"]
    fired = {name: DAY_US + at_s * S for name, at_s in zip(("enable_stuck", "driver_stuck_on"), fired_s)}
    found = judged(row, played(signs=[Sign(DAY_US + sign_s * S, "enable dropped")], fired=fired, failure=failure, doses=lambda t_us: 1e6 * (t_us > DAY_US)),
                   played(fired={}), INSIDE)
    assert [text for text in found["why"] if "in the end" not in text and "noticed after" not in text] == why and "uncuttable" in found["declared"]


def test_a_sign_that_the_healthy_twin_shows_too_is_not_the_faults():
    assert judged(STALL, played(signs=SEEN), played(signs=SEEN, fired={}), INSIDE)["detected"] is False


def test_a_row_beside_a_sick_twin_is_not_ok():
    sick = played(fired={}, failure="it crashed", signs=[Sign(S, "alarm 1")], books=[{"name": "demanded", "ok": False}])
    found = judged(STALL, played(signs=SEEN), sick, INSIDE)
    assert found["why"] == ["the healthy twin failed: it crashed", "the healthy twin's books: demanded", "false alarms: the healthy twin raises alarm 1"]


def test_what_was_raised_and_heard_stands_in_the_line():
    found = line(signs=SEEN, tones=[(DAY_US - S, 1), (DAY_US + 601 * S, 2)])
    assert (found["raised"], found["heard_s"], found["outcome"]) == (["alarm 7"], 600.0, "detected")


def test_a_power_cut_is_survived_where_a_pump_says_nothing():
    cut = ROWS["power-cut@c05"]
    resumed = [Sign(DAY_US + 7300 * S, "delivery resumed")]
    found = judged(cut, played(signs=resumed, deaf=True, fired={"power_cut": DAY_US}), played(fired={}, deaf=True), INSIDE)
    assert found["ok"] and (found["by"], found["outcome"]) == ("delivery resumed", "survived")
    assert judged(cut, played(signs=resumed, fired={"power_cut": DAY_US}), played(fired={}), INSIDE)["why"] == ["nothing noticed it"]
    assert judged(STALL, played(signs=resumed, deaf=True), played(fired={}, deaf=True), INSIDE)["why"] == ["nothing noticed it"]


def test_a_pump_without_telemetry_is_judged_by_its_tone():
    assert line(signs=[Sign(DAY_US + 60 * S, "tone")])["detected"] is False
    assert line(signs=[Sign(DAY_US + 60 * S, "tone")], deaf=True)["by"] == "tone"


@pytest.mark.parametrize("orders, state", [(0, "stopped"), (24, "fallback"), (48, "program"), (36, "77 % of the program")])
def test_the_final_state_is_read_off_the_orders(orders, state):
    run = played(signs=SEEN)
    run.course.steps = [min(steps, (48 + orders) * 117) for steps in run.course.steps]
    assert judged(STALL, run, played(fired={}), INSIDE)["final_state"] == state


def test_the_error_is_that_of_the_moment_of_detection():
    found = line(signs=SEEN, doses=lambda t_us: -1000.0 * max(0, (t_us - DAY_US) // (1800 * S)))
    assert found["dose_error_nl"] == 0.0 and found["over_nl"] == 0.0 and found["final_error_nl"] == -47_000.0


def test_what_a_firmware_declares_to_lack_is_not_applicable():
    row, = run_rows([STALL], replace(INSIDE, lacks=("encoder",)))
    assert row == not_applicable(STALL, ["encoder"]) and row["ok"] is None and "lacks encoder" in row["why"][0]


def test_rows_of_one_therapy_share_their_twin():
    assert twin_key(STALL) == twin_key(ROWS["driver-stuck-on@c05"]) != twin_key(ROWS["pocket-fill@c05"])


def test_a_rows_scenario_states_its_own_bound(tmp_path):
    expect, = loaded(scenario_of(STALL), tmp_path).expectations
    assert (expect.quantity, expect.options["code"], expect.high) == ("alarm_after_min", 7, 60)


@pytest.mark.slow
@pytest.mark.req("TH-RULE-12", "TH-RULE-13", "TH-SUP-03")
def test_a_slice_of_every_mechanism_fires_and_is_caught(tmp_path):
    rows = [ROWS[name] for name in SLICE]
    told = []
    found = run_rows(rows, INSIDE, told=lambda done, total, name: told.append((done, total)), keep_dir=tmp_path)
    assert [row["id"] for row in found] == SLICE
    assert [(row["id"], row["why"]) for row in found if not row["ok"]] == []
    assert all(row["fired"] for row in found) and told[-1][0] == told[-1][1]
    assert len(list(tmp_path.glob("*.toml"))) == len(SLICE)


@pytest.mark.slow
@pytest.mark.micropython
@pytest.mark.req("TH-RULE-09")
def test_neither_workers_nor_runtime_change_a_row():
    rows = [ROWS[name] for name in ("rotor-stall@c01", "clock-jump@c01", "level-offset@c01")]
    assert run_rows(rows, INSIDE, jobs=1) == run_rows(rows, INSIDE, jobs=3) == run_rows(rows, Bench(), jobs=2)


def test_a_run_is_seen_as_it_was(tmp_path):
    run = witnessed(loaded(scenario_of(ROWS["clock-jump@c01"]), tmp_path), INSIDE)
    assert run.fired_us["clock_jump"] >= DAY_US and not run.deaf and not run.failure and not run.refused
    assert "alarm 12" in {sign.name for sign in run.signs} and run.course.dose_nl == sorted(run.course.dose_nl)
