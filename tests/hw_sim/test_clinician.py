"""The clinician at work: setup, orders and what the oracle hears of them, refusals that are meant and those that are not, the patient's own requests."""

from dataclasses import replace
from pathlib import Path

import pytest
from stall_case import REFILL, loaded, with_events

from thecal.host.errors import PumpRefused, Timeout
from thecal.host.programmer import Programmer
from thecal.hw_sim.bedside import SECOND_US, oracle_for
from thecal.hw_sim.clinician import HELLOS, Clinician, alarm_of, apply_setup
from thecal.hw_sim.scenario import load_scenario, new_world, world_for
from thecal.hw_sim.scenario_file import DAY_S, FOLDER, ScenarioError

FOREIGN = Path(__file__).parent / "foreign"


def clinician_of(scenario, world):
    return Clinician(scenario, world, oracle_for(scenario.start_pump_s, world.plant.params))


@pytest.fixture
def at_work(tmp_path):
    """`at_work(rows)`: a clinician over a running pump, and the events of (at, kind, further lines) to be done."""
    made = []

    def make(*rows, base="baclofen", days=1):
        text = (FOLDER / (base + ".toml")).read_text(encoding="utf-8").replace('name = "%s"' % base, 'name = "case"', 1)
        text = text.replace("[[expect]]", "".join('[[event]]\nat = "%s"\nkind = "%s"\n%s\n\n' % row for row in rows) + "[[expect]]", 1)
        scenario = loaded(tmp_path, text)
        first = len(scenario.events) - len(rows)
        world = world_for(replace(scenario, events=scenario.events[:first]), runtime="inprocess")
        made.append(world)
        clinician = clinician_of(scenario, world)
        clinician.prescribed = [(0, scenario.orders[number]) for number in range(1, first + 1) if scenario.events[number - 1].kind == "program"]
        world.run_until(days * DAY_S * SECOND_US)
        return clinician, scenario.events[first:]

    yield make
    for world in made:
        world.close()


def test_a_pump_that_refuses_its_setup_is_an_error(monkeypatch):
    def refuse(self, implant):
        raise PumpRefused("the pump refused commit: not in this mode", 7)
    monkeypatch.setattr(Programmer, "commission", refuse)
    with pytest.raises(ScenarioError, match=r"baclofen.toml: event 1 \(implant\): the pump refused commit"):
        world_for(load_scenario("baclofen"), runtime="inprocess")


def test_a_deaf_firmware_gets_its_fill_and_nothing_else():
    scenario = load_scenario("baclofen")
    with new_world(scenario, runtime="inprocess", firmware_dir=FOREIGN / "steady") as world:
        notes = apply_setup(scenario, world)
        assert world.plant.truth()["reservoir_ul"] > 19_990
        assert notes[0].startswith("this firmware does not answer telemetry") and "event 4 (program): the pump was not told" in notes[-1]


@pytest.mark.parametrize(("line", "asked"), [(None, 1), ("loss=0.01", HELLOS)])
def test_only_a_bad_line_is_asked_again_before_a_firmware_counts_as_deaf(monkeypatch, line, asked):
    """Found by the ledger's third seed of line-noise: one swallowed greeting, and nothing was ever programmed."""
    calls, hears = [], Programmer.identity

    def swallowed(self):
        calls.append(self)
        if len(calls) < asked or asked == 1:
            raise Timeout("no answer")
        return hears(self)
    monkeypatch.setattr(Programmer, "identity", swallowed)
    scenario = load_scenario("baclofen")
    with new_world(scenario, runtime="inprocess", line=line) as world:
        clinician = Clinician(scenario, world, oracle_for(scenario.start_pump_s, world.plant.params))
        assert len(calls) == asked and clinician.deaf is (asked == 1)


def test_a_refusal_in_the_middle_is_kept_and_the_day_goes_on():
    scenario = load_scenario("baclofen")
    with new_world(scenario, runtime="inprocess") as world:
        clinician = Clinician(scenario, world, oracle_for(scenario.start_pump_s, world.plant.params))
        clinician.do(scenario.events[3])                    # a program before the implant
        assert clinician.refused[0].startswith("event 4 (program): no fill is on record") and clinician.oracle.demanded_nl(10**9) == 0
        clinician.do(scenario.events[0])
        assert len(clinician.refused) == 1 and clinician.status().mode == "idle" and clinician.prescribed == []


def test_stop_resume_clock_and_visit(tmp_path):
    events = "".join('\n[[event]]\nat = "%s"\nkind = "%s"\n%s\n' % row for row in (
        ("2 d", "stop", 'reason = "not given"'), ("2 d 06:00", "resume", ""), ("2 d 07:00", "set_clock", 'shift = "-6 h"'), ("2 d 08:00", "visit", 'note = "alarms"')))
    scenario = loaded(tmp_path, with_events(events))
    with world_for(replace(scenario, events=scenario.events[:4]), runtime="inprocess") as world:
        clinician = Clinician(scenario, world, oracle_for(scenario.start_pump_s, world.plant.params))
        before = clinician.status()
        for event in scenario.events[5:]:
            clinician.do(event)
        after = clinician.status()
        assert clinician.refused == [] and after.mode == "running"
        assert after.time_s - before.time_s == pytest.approx(-6 * 3600, abs=5)
        assert clinician.oracle.gaps(world.now_us) == 1


def test_news_asks_only_for_what_is_new():
    scenario = load_scenario("baclofen")
    with world_for(scenario, runtime="inprocess") as world:
        clinician = Clinician(scenario, world, oracle_for(scenario.start_pump_s, world.plant.params))
        status = clinician.status()
        names = [event.name for event in clinician.news(status)]
        assert names[0] == "boot" and "program committed" in names and clinician.news(status) == [] and clinician.news(None) == []


def test_an_odd_withdrawn_volume_is_measured_by_what_was_delivered_since_the_refill(tmp_path):
    """11.4 mL were filled into a reservoir of 20: 15 % of the 0.6 mL delivered is the bound (1 mL at least), not of what the bellows could hold."""
    scenario = loaded(tmp_path, with_events(REFILL % ("2 d", "baclofen", "2000 ug/mL")).replace('volume = "20 mL"', 'volume = "11.4 mL"'))
    for extra_ul, odd in ((0.0, False), (1200.0, True)):
        with world_for(replace(scenario, events=scenario.events[:4]), runtime="inprocess") as world:
            clinician = Clinician(scenario, world, oracle_for(scenario.start_pump_s, world.plant.params))
            world.run_until(DAY_S * SECOND_US)
            world.plant.fill(extra_ul + 0.001, {"baclofen": 2000.0})
            clinician.do(scenario.events[5])
            assert clinician.refused == [] and any("more withdrawn than expected" in note for note in clinician.notes) == odd, clinician.notes


def test_what_is_refused_as_meant_is_no_failure_and_what_is_not_refused_is_one(at_work):
    clinician, events = at_work(
        ("1 d", "resume", 'refused = "not in this mode"'), ("1 d", "resume", 'refused = "lockout"'), ("1 d", "pause", 'for = "30 min"\nrefused = "never"'),
        ("1 d", "program", 'mode = "simple"\ndose = "3 mg/day"\nrefused = "above the hard limit of 2000 ug/day"'))
    before = clinician.status().running_digest
    for event in events:
        clinician.do(event)
    assert [sentence.partition(":")[0] for _, sentence in clinician.denied] == ["the pump refused check", "daily dose of baclofen 3000 ug/day is above the hard limit of 2000 ug/day (setting non-cancer)"]
    assert len(clinician.refused) == 2 and "event 6 (resume): the pump refused check" in clinician.refused[0]
    assert clinician.refused[1] == "event 7 (pause): it was accepted and should have been refused: never"
    assert clinician.status().running_digest == before
    assert sum("refused, as it should be" in note for note in clinician.notes) == 2


def test_boluses_pauses_and_primes_are_told_to_the_oracle_as_prescribed(at_work):
    clinician, events = at_work(("1 d", "bolus", 'dose = "40 ug"\nover = "20 min"'), ("1 d", "pause", 'for = "60 min"'))
    now_us, oracle = clinician.world.now_us, clinician.oracle
    clinician.do(events[0])
    assert oracle.demanded_nl(now_us + DAY_S * SECOND_US) == 20_000     # this oracle knows no program: the bolus alone
    clinician.do(events[1])
    assert clinician.refused == [] and oracle.stands(clinician.world.now_us) and not oracle.stands(clinician.world.now_us + 3601 * SECOND_US)
    assert oracle.demanded_nl(now_us + DAY_S * SECOND_US) < 200       # cut by the pause, seconds after its start


def test_a_bolus_above_what_is_usual_wants_its_reason(at_work):
    high = 'dose = "200 ug"\nover = "2 h"\n'
    with pytest.raises(ScenarioError, match=r"event 5 \(bolus\): single bolus of baclofen 200 ug is above the usual .*give a reason to override"):
        at_work(("1 d", "bolus", high))
    clinician, events = at_work(("1 d", "bolus", high + 'override = "palliative care"'))
    clinician.do(events[0])
    assert clinician.refused == [] and any("soft limits overridden: palliative care" in note for note in clinician.notes)


def test_the_patient_asks_with_a_key_of_its_own(at_work):
    clinician, events = at_work(("1 d", "request", ""))
    assert clinician.prescribed[-1][1].patient_bolus is None
    clinician.do(events[0])
    assert clinician.refused == ["event 5 (request): the pump refused check: the program grants no patient bolus"]
    assert clinician.status().boluses_refused == 1 and clinician.oracle.demanded_nl(10**15) == 0      # and the clinician's session is open again


def test_somebody_without_a_key_needs_the_magnet(at_work):
    clinician, events = at_work(("1 d", "emergency", 'action = "stop"'), ("1 d", "resume", ""))
    clinician.do(events[0])
    assert clinician.refused == [] and clinician.declared.stop_only and not clinician.world.board.magnet
    assert [alarm.row for alarm in clinician.status().alarms] == [17]
    assert any("card: drug baclofen 2000 ug/mL, 400 ug/day" in note for note in clinician.notes)
    clinician.do(events[1])
    assert clinician.refused == [] and clinician.status().alarms == []


def test_the_catheter_is_recorded_and_filled_by_hand(at_work):
    clinician, events = at_work(("1 d", "catheter", 'state = "empty"'), ("1 d", "catheter", 'state = "filled"\ndrug = "baclofen"\nconcentration = "500 ug/mL"'))
    clinician.do(events[0])
    assert not clinician.status().catheter_filled and clinician.world.plant.truth()["tip_ng_per_ul"] == {"baclofen": 0.0}
    clinician.do(events[1])
    assert clinician.status().catheter_filled and clinician.world.plant.truth()["tip_ng_per_ul"] == {"baclofen": 500.0}
    assert clinician.world.plant.mass_error() < 1e-12 and clinician.refused == []


def test_a_signed_visit_tests_the_alarm(at_work):
    clinician, events = at_work(("1 d", "visit", 'note = "half a year"\nheard = true'), ("1 d", "silence", "hours = 4"), ("1 d", "acknowledge", ""), ("1 d", "alarm_test", "critical = false"))
    for event in events:
        clinician.do(event)
    assert clinician.refused == []
    names = [event.name for event in clinician.news(clinician.status())]
    assert names.count("alarm test") == 2 and {"visit signed", "alarm silenced", "alarm acknowledged"} <= set(names)


def test_a_label_that_lies_is_believed_by_the_pump(at_work):
    clinician, events = at_work(("1 d", "refill", 'drug = "baclofen"\nvolume = "18.6 mL"\nconcentration = "2000 ug/mL"\nmeasured = "1000 ug/mL"'))
    clinician.do(events[0])
    assert clinician.refused == [] and clinician.world.plant.truth()["reservoir_ng_per_ul"]["baclofen"] == pytest.approx(1070)
    assert clinician.pump.contents().ingredients[0].concentration_ng_ml == 2_000_000


def test_only_alarms_are_alarms(at_work):
    clinician, events = at_work(("1 d", "emergency", 'action = "fallback"'))
    clinician.do(events[0])
    found = [alarm_of(event) for event in clinician.news(clinician.status())]
    assert [alarm for alarm in found if alarm] == [{"code": 17, "name": "emergency suspend", "priority": 2}] and None in found


@pytest.mark.req("TH-LINK-11")
def test_a_programmer_of_another_pump_changes_nothing_and_is_told_why(at_work):
    clinician, (wrong,) = at_work(("2 d", "wrong_pump", 'refused = "key for it in"'))
    clinician.do(wrong)
    assert clinician.refused == [] and "says that it was never paired, and there is a clinician key" in clinician.denied[0][1]
    assert clinician.status().rate_nl_day > 0


@pytest.mark.req("TH-LINK-09")
def test_an_order_whose_host_dies_is_told_as_not_done(at_work):
    clinician, (order,) = at_work(("2 d", "program", 'mode = "simple"\ndose = "440 ug/day"\ndies = "stage"\nrefused = "did not answer"'))
    before = clinician.status().running_digest
    clinician.do(order)
    assert clinician.refused == [] and "did not answer within 5 s" in clinician.denied[0][1] and clinician.status().running_digest == before
    assert clinician.world.fired["host_dies"]
