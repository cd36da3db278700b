"""The therapy checks that only the host can make, the setup that sim:// and serve open, and the clinician at work."""

from dataclasses import replace
from pathlib import Path

import pytest

from thecal.host.errors import PumpRefused
from thecal.host.programmer import Programmer
from thecal.hw_sim.bedside import SECOND_US, oracle_for
from thecal.hw_sim.scenario import Clinician, apply_setup, implant_record, load_scenario, new_world, world_for
from thecal.hw_sim.scenario_file import DAY_S, FOLDER, ScenarioError, parts

FOREIGN = Path(__file__).parent / "foreign"
STALL = (FOLDER / "stall.toml").read_text(encoding="utf-8").replace('name = "stall"', 'name = "case"', 1)
PROGRAM = '\n[[event]]\nat = "2 d"\nkind = "program"\nmode = "simple"\ndose = "%s"\n'


def loaded(tmp_path, text):
    path = tmp_path / "case.toml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path)


def with_events(text):
    return STALL.replace("[[expect]]", text + "\n[[expect]]", 1)


def without(kind):
    """The good file less its first event of a kind."""
    head, *events = STALL.partition("[[expect]]")[0].split("[[event]]")
    keep = [event for event in events if 'kind = "%s"' % kind not in event]
    return "[[event]]".join([head, *keep]) + "[[expect]]" + STALL.partition("[[expect]]")[2]


BAD = {
    "unknown drug": (STALL.replace('drug = "baclofen"\nvolume', 'drug = "bacclofen"\nvolume'), "event 2 (fill): drug 'bacclofen' is not in the library; it has: baclofen"),
    "no kinetics": (STALL.replace('drug = "baclofen"\nvolume', 'drug = "sufentanil"\nvolume'), "event 2 (fill): drug is 'sufentanil', its kinetics are not in params"),
    "above the hard limit": (with_events(PROGRAM % "2500 ug/day"), "event 6 (program): daily dose of baclofen 2500 ug/day is above the hard limit of 2000 ug/day"),
    "first dose too high": (STALL.replace('drug = "baclofen"\ndose = "400 ug/day"\n', "", 1),
                            "event 4 (program): starting dose of baclofen 400 ug/day is above the hard limit of 200 ug/day"),
    "rate below the floor": (with_events(PROGRAM % "50 ug/day"), "the pump delivers 0.048 mL/day .. 24 mL/day"),
    "concentration above the limit": (STALL.replace("2000 ug/mL", "3000 ug/mL"), "event 2 (fill): baclofen at 3000 ug/mL is above the hard limit of 2000 ug/mL"),
    "mixture": (STALL.replace('volume = "20 mL"', 'volume = "20 mL"\nalso = {morphine = "1 mg/mL"}'), "event 2 (fill): baclofen must not be mixed with morphine"),
    "more than fits": (STALL.replace('volume = "20 mL"', 'volume = "20.5 mL"'), "volume is '20.5 mL', onto 0 mL left in the reservoir it must not exceed 20 mL"),
    "refill onto the residual": (with_events('[[event]]\nat = "2 d"\nkind = "refill"\ndrug = "baclofen"\nvolume = "20 mL"\nconcentration = "500 ug/mL"\n'),
                                 "event 6 (refill): volume is '20 mL', onto 1.4 mL left in the reservoir it must not exceed 18.6 mL"),
    "second first fill": (with_events('[[event]]\nat = "2 d"\nkind = "fill"\ndrug = "baclofen"\nvolume = "1 mL"\nconcentration = "500 ug/mL"\n'), "event 6 (fill): the pump has been filled before"),
    "program of an empty pump": (without("fill"), "(program): there is no drug in the pump: a fill must come before"),
    "no implant": (without("implant"), "there are 0 events of kind 'implant', there must be one, at '0 d'"),
    "bridge without a change": (with_events('[[event]]\nat = "2 d"\nkind = "bridge"\ndose = "400 ug/day"\n'), "event 6 (bridge): the fill has the concentration of the program that runs"),
    "bridge without a program": (without("program").replace("[[expect]]", '[[event]]\nat = "2 d"\nkind = "bridge"\ndose = "400 ug/day"\n\n[[expect]]', 1),
                                 "(bridge): a bridge carries on a simple program"),
    "trial dose": (STALL.replace("[[event]]", '[[event]]\nat = "-1 d"\nkind = "trial"\ndrug = "baclofen"\ndose = "150 ug"\nresponse = "none"\n\n[[event]]', 1),
                   "event 1 (trial): bolus of baclofen 150 ug is above the hard limit of 100 ug"),
    "no oral route": (with_events('[[event]]\nat = "2 d"\nkind = "oral"\ndrug = "ziconotide"\ndose = "1 mg"\n'), "event 6 (oral): drug is 'ziconotide', it has no oral route"),
    "tablets beyond the end": (with_events('[[event]]\nat = "2 d"\nkind = "oral"\ndrug = "baclofen"\ndose = "5 mg"\nevery = "6 h"\nuntil = "9 d"\n'), "until is '9 d', it must lie after 'at' and not after the end"),
    "unknown part": (STALL.replace('reservoir = "reference-20ml"', 'reservoir = "bucket"'), "[implant] or [patient]: no reservoir is called 'bucket'"),
    "unknown patient": (STALL.replace('model = "adult"', 'model = "horse"'), "[implant] or [patient]: no patient is called 'horse'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_therapy_is_one_sentence(tmp_path, case):
    text, sentence = BAD[case]
    assert text != STALL
    with pytest.raises(ScenarioError) as caught:
        loaded(tmp_path, text)
    message = str(caught.value)
    assert sentence in message and message.startswith("case.toml: ") and "\n" not in message


def test_ziconotide_limits_bind_over_time(tmp_path):
    """Three steps a week would reach 19.2 ug/day on day 16: refused before day 21, as are steps within 48 h (regimens.md Z2)."""
    text = (FOLDER / "ziconotide-z1.toml").read_text(encoding="utf-8").replace('name = "ziconotide-z1"', 'name = "case"', 1)
    with pytest.raises(ScenarioError, match=r"event 6 \(program\): last change of ziconotide was 4 d ago|step of ziconotide from 3.6"):
        loaded(tmp_path, text.replace('dose = "4.8 ug/day"', 'dose = "6.1 ug/day"'))
    with pytest.raises(ScenarioError, match="last change of ziconotide was 1 d ago; a rise needs 2 d"):
        loaded(tmp_path, text.replace('at = "3 d 01:00"', 'at = "1 d 01:00"'))
    with pytest.raises(ScenarioError, match="starting dose of ziconotide 9.6 ug/day is above the hard limit of 2.4 ug/day"):
        loaded(tmp_path, text.replace('dose = "2.4 ug/day"', 'dose = "9.6 ug/day"'))     # Z3: the fast schedule


def test_orders_are_what_the_host_made():
    scenario = load_scenario("baclofen-b1")
    kinds = {event.number: event.kind for event in scenario.events}
    bridge, program = next(order for number, order in scenario.orders.items() if kinds[number] == "bridge")
    assert (bridge.volume_nl, bridge.rate_nl_day, bridge.duration_s) == (375_000, 800_000, 40_500)      # 11.25 h
    assert program.patterns[0][0].rate_nl_day == 200_000
    rates = [order.patterns[0][0].rate_nl_day for number, order in scenario.orders.items() if kinds[number] == "program"]
    assert rates == [300_000, 360_000, 420_000, 500_000, 600_000, 690_000, 800_000]


def test_the_implant_record_is_made_from_the_parts():
    implant = implant_record(load_scenario("baclofen"), parts(load_scenario("baclofen"))[0])
    assert (implant.nl_per_rev, implant.steps_per_rev, implant.dead_volume_nl, implant.capacity_ul, implant.residual_ul) == (35_000, 4096, 375_000, 20_000, 1_400)
    assert implant.contact == "clinic +00 000 0000", "as the file says"


def test_the_setup_leaves_a_running_pump():
    with world_for(load_scenario("baclofen"), runtime="inprocess") as world:
        assert 1800 <= world.now_us / SECOND_US < 1810
        status = Programmer(world.port()).status()
        assert (status.mode, status.rate_nl_day) == ("running", 200_000)
        assert 0 <= status.time_s - (735 * DAY_S + 9 * 3600 + 1800) < 10
        assert world.plant.truth()["reservoir_ul"] == pytest.approx(19_625, abs=2)


def test_the_setup_leaves_trials_and_later_days_out_but_fate_happens():
    with world_for(load_scenario("baclofen-b1"), runtime="inprocess") as world:
        assert Programmer(world.port()).status().rate_nl_day == 300_000
        assert world.now_us < DAY_S * SECOND_US
    with world_for(load_scenario("stall"), runtime="inprocess") as world:
        world.run_until((DAY_S + 60) * SECOND_US)
        assert "rotor_stall" in world.plant.faults
        world.run_until((DAY_S + 8 * 3600 + 60) * SECOND_US)
        assert not world.plant.faults


def test_without_a_scenario_a_pump_on_the_shelf():
    with world_for(None, runtime="inprocess", seed=3) as world:
        assert Programmer(world.port()).status().mode == "shelf"


def test_a_kept_store_is_not_set_up_again(tmp_path):
    store = tmp_path / "pump.fram"
    with world_for(load_scenario("baclofen"), runtime="inprocess", store_path=store) as world:
        Programmer(world.port()).stop()
    with world_for(load_scenario("baclofen"), runtime="inprocess", store_path=store) as world:
        pump = Programmer(world.port())
        assert pump.status().mode == "stopped" and pump.identity().boot_count == 2
        assert world.plant.truth()["reservoir_ul"] == 20_000


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


def test_a_refusal_in_the_middle_is_kept_and_the_day_goes_on():
    scenario = load_scenario("baclofen")
    with new_world(scenario, runtime="inprocess") as world:
        clinician = Clinician(scenario, world, oracle_for(scenario.start_pump_s, world.plant.params))
        clinician.do(scenario.events[2])                    # prime before the implant
        assert clinician.refused[0].startswith("event 3 (prime): the pump refused") and clinician.oracle.demanded_nl(10**9) == 0
        clinician.do(scenario.events[0])
        assert len(clinician.refused) == 1 and clinician.status().mode == "idle"


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


REFILL = '[[event]]\nat = "%s"\nkind = "refill"\ndrug = "%s"\nvolume = "10 mL"\nconcentration = "%s"\n'


def test_a_refill_is_judged_beside_the_program_that_runs(tmp_path):
    with pytest.raises(ScenarioError, match=r"event 7 \(refill\): ANOTHER CONCENTRATION: the running program gives 900 ug/day baclofen of 500 ug/mL; "
                       "with this fill the same rate gives 3600 ug/day"):
        loaded(tmp_path, with_events(PROGRAM % "900 ug/day" + REFILL % ("2 d 01:00", "baclofen", "2000 ug/mL")).replace(
            'volume = "20 mL"\nconcentration = "2000 ug/mL"', 'volume = "20 mL"\nconcentration = "500 ug/mL"'))


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


def test_the_slower_of_bridge_and_program_is_ordered_first():
    scenario = load_scenario("baclofen-b1")
    number = next(event.number for event in scenario.events if event.kind == "bridge")
    span, program = scenario.orders[number]
    assert program.mean_daily_nl() < span.rate_nl_day, "B1 goes to a stronger fill: its new, slower program stands before the bridge begins"
