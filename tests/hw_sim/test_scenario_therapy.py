"""What the host says of a scenario's events before anything is played: one sentence for everything that cannot be, and what was meant to be refused."""

from dataclasses import replace

import pytest
from stall_case import REFILL, STALL, loaded, with_events

from thecal.hw_sim.scenario import load_scenario, parts, units
from thecal.hw_sim.scenario_file import FOLDER, ScenarioError, read
from thecal.hw_sim.scenario_therapy import Therapy, drugs_of, fill_of, prescription

PROGRAM = '\n[[event]]\nat = "2 d"\nkind = "program"\nmode = "simple"\ndose = "%s"\n'
TRIAL = '[[event]]\nat = "-%d d"\nkind = "trial"\ndrug = "baclofen"\nconcentration = "50 ug/mL"\ndose = "%s"\nresponse = "%s"\n\n'


def with_trials(*trials):
    """The good file behind trials of (days before, dose, response)."""
    return STALL.replace("[[event]]", "".join(TRIAL % trial for trial in trials) + "[[event]]", 1)


def without(kind):
    """The good file less its first event of a kind."""
    head, *events = STALL.partition("[[expect]]")[0].split("[[event]]")
    keep = [event for event in events if 'kind = "%s"' % kind not in event]
    return "[[event]]".join([head, *keep]) + "[[expect]]" + STALL.partition("[[expect]]")[2]


BAD = {
    "unknown drug": (STALL.replace('drug = "baclofen"\nvolume', 'drug = "bacclofen"\nvolume'), "event 2 (fill): drug 'bacclofen' is not in the library; it has: baclofen"),
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
    "a trial that failed": (with_trials((1, "75 ug", "none")), "event 2 (implant): no dose of the trial had a response: no pump is indicated"),
    "a trial of two drugs": (with_trials((2, "75 ug", "yes")).replace("[[event]]", '[[event]]\nat = "-3 d"\nkind = "trial"\ndrug = "morphine"\nconcentration = "1 mg/mL"\ndose = "0.1 mg"\nresponse = "none"\n\n[[event]]', 1),
                             "event 2 (trial): it is of baclofen 50 ug/mL and the trial before it of morphine 1 mg/mL: a trial has one drug"),
    "a trial infusion above its limit": (STALL.replace("[[event]]", '[[event]]\nat = "-1 d"\nkind = "trial"\ndrug = "baclofen"\nconcentration = "50 ug/mL"\nrate = "150 ug/day"\nfor = "12 h"\nresponse = "yes"\n\n[[event]]', 1),
                                         "event 1 (trial): daily dose of baclofen 150 ug/day is above the hard limit of 100 ug/day"),
    "a soft limit without a reason": (with_events(PROGRAM % "600 ug/day"), "event 6 (program): step of baclofen from 400 ug/day to 600 ug/day is 50 %, above the usual 30 %; to do it all the same give a reason"),
    "a reason that is none": (with_events(PROGRAM % "600 ug/day" + 'override = "because"\n'), "event 6 (program): reason 'because' is none of: clinical judgement"),
    "another concentration without its bridge": (with_events(REFILL % ("2 d", "baclofen", "1000 ug/mL") + PROGRAM.replace("2 d", "2 d 01:00") % "400 ug/day"),
                                                 "event 7 (program): a bridge is due, 0.375 mL of old drug at 0.2 mL/day: 1 d 21:00"),
    "a refusal of something else": (with_events(PROGRAM % "2500 ug/day" + 'refused = "lockout"\n'), "event 6 (program): daily dose of baclofen 2500 ug/day is above the hard limit"),
    "a bolus of nothing": (without("program").replace("[[expect]]", '[[event]]\nat = "2 d"\nkind = "bolus"\ndose = "50 ug"\nover = "10 min"\n\n[[expect]]', 1), "(bolus): no program runs"),
    "a patient bolus that the library forbids": (STALL.replace('mode = "simple"', 'mode = "simple"\nbolus = {dose = "10 ug", over = "10 min", lockout = "3 h", per_day = 4}', 1),
                                                 "event 4 (program): the library grants no patient bolus of baclofen"),
    "drug in an empty catheter": (with_events('[[event]]\nat = "2 d"\nkind = "catheter"\nstate = "empty"\ndrug = "baclofen"\nconcentration = "500 ug/mL"\n'), "an empty catheter holds none"),
    "an expectation of another drug": (STALL.replace("[[expect]]", '[[expect]]\nname = "x"\nquantity = "daily_dose_ug"\ndrug = "morphine"\nmin = 1\n\n[[expect]]', 1),
                                       "case.toml: expectation 1 (x): drug is 'morphine', the scenario's are: baclofen"),
    "an expectation behind the end": (STALL.replace("[[expect]]", '[[expect]]\nname = "x"\nquantity = "rate_ul_day"\nat = "4 d"\nmin = 1\n\n[[expect]]', 1),
                                      "case.toml: expectation 1 (x): at is 4 d, after the end (3 d)"),
    "bridge without a change": (with_events('[[event]]\nat = "2 d"\nkind = "bridge"\ndose = "400 ug/day"\n'), "event 6 (bridge): the fill has the drugs and concentrations of the program that runs"),
    "bridge without a program": (without("program").replace("[[expect]]", '[[event]]\nat = "2 d"\nkind = "bridge"\ndose = "400 ug/day"\n\n[[expect]]', 1),
                                 "(bridge): a bridge carries on the program that runs"),
    "trial doses on one day": (with_trials((2, "50 ug", "none"), (2, "75 ug", "yes")),
                               "event 2 (trial): trial dose: 75 ug of baclofen 0 s after the one before it; the least is 1 d"),
    "trial dose": (with_trials((1, "150 ug", "none")),
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


def test_a_drug_without_kinetics_is_named(tmp_path):
    path = tmp_path / "case.toml"
    path.write_text(STALL, encoding="utf-8")
    scenario = read(path, units)
    params, _ = parts(scenario)
    others = {name: drug for name, drug in params.drugs.items() if name != "baclofen"}
    with pytest.raises(ScenarioError, match="event 2 .fill.: drug is 'baclofen', its kinetics are not in params .known: bupivacaine"):
        Therapy(scenario, replace(params, drugs=others)).orders()


@pytest.mark.req("TH-PROG-18")
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
    program = next(order for number, order in scenario.orders.items() if kinds[number] == "bridge")
    bridge = program.bridge
    assert (bridge.volume_nl, bridge.rate_nl_day, bridge.duration_s) == (375_000, 800_000, 40_500)      # 11.25 h
    assert program.patterns[0][0].rate_nl_day == 200_000
    rates = [order.patterns[0][0].rate_nl_day for number, order in scenario.orders.items() if kinds[number] == "program"]
    assert rates == [300_000, 360_000, 420_000, 500_000, 600_000, 690_000, 800_000]


def test_a_refill_is_judged_beside_the_program_that_runs(tmp_path):
    with pytest.raises(ScenarioError, match=r"event 7 \(refill\): ANOTHER CONCENTRATION: the running program gives 900 ug/day baclofen of 500 ug/mL; "
                       "with this fill the same rate gives 3600 ug/day"):
        loaded(tmp_path, with_events(PROGRAM % "900 ug/day" + 'override = "palliative care"\n' + REFILL % ("2 d 01:00", "baclofen", "2000 ug/mL")).replace(
            'volume = "20 mL"\nconcentration = "2000 ug/mL"', 'volume = "20 mL"\nconcentration = "500 ug/mL"'))


def test_what_was_meant_to_be_refused_is_kept_with_its_sentence_and_changes_nothing(tmp_path):
    scenario = loaded(tmp_path, with_events(
        PROGRAM % "2500 ug/day" + 'refused = "above the hard limit of 2000 ug/day"\n' + PROGRAM.replace("2 d", "2 d 01:00") % "500 ug/day"))
    assert list(scenario.refusals) == [6] and scenario.refusals[6].startswith("daily dose of baclofen 2500 ug/day") and scenario.orders[6] is None
    assert scenario.orders[7].patterns[0][0].rate_nl_day == 250_000     # a quarter more than the 400 that still run


def test_what_the_host_lets_pass_is_left_to_the_pump_and_does_not_count(tmp_path):
    """A step of 25 % that the pump is to refuse: the next one starts from what ran before it."""
    text = with_events(PROGRAM % "500 ug/day" + 'refused = "whatever the pump says"\n' + PROGRAM.replace("2 d", "2 d 01:00") % "500 ug/day")
    scenario = loaded(tmp_path, text)
    assert scenario.refusals == {} and scenario.orders[6].patterns == scenario.orders[7].patterns


def test_the_implant_has_its_records(tmp_path):
    scenario = loaded(tmp_path, with_trials((3, "50 ug", "none"), (2, "75 ug", "yes")).replace(
        'kind = "implant"', 'kind = "implant"\npatient = "A.B."\nindication = "spasticity"\nmri = "conditional"', 1))
    record, trial = scenario.orders[3]
    assert (record.patient, record.indication, record.mri, record.implanted_s) == ("A.B.", "spasticity", "conditional", scenario.start_pump_s)
    assert [dose.response for dose in trial.doses] == ["none", "yes"] and [dose.dose_ng for dose in trial.doses] == [50_000, 75_000] and trial.indicated
    assert load_scenario("stall").orders[1][1] is None


def test_programs_of_each_mode():
    fill = fill_of({"volume": "20 mL", "drug": "morphine", "concentration": "10 mg/mL"})
    bolus = {"dose": "0.2 mg", "over": "10 min", "lockout": "3 h", "per_day": 4}
    simple = prescription({"mode": "simple", "dose": "4 mg/day", "bolus": bolus}, fill)
    assert (simple.mode, simple.patient_bolus.volume_nl, simple.patient_bolus.lockout_min) == ("simple", 20_000, 180)
    periodic = prescription({"mode": "periodic", "dose": "4 mg/day", "times": ["06:00"], "over": "30 min"}, fill)
    assert (periodic.mode, len(periodic.patterns[0])) == ("periodic", 3)
    assert prescription({"mode": "minimum"}, fill).patterns[0][0].rate_nl_day == 6_000
    assert len(prescription({"mode": "flex", "steps": [{"from": "06:00", "dose": "4 mg/day"}, {"from": "22:00", "dose": "5 mg/day"}]}, fill).patterns[0]) == 3


def test_a_bridge_may_be_restated(tmp_path):
    """A second bridge to the same fill stands for what is left of the first: at play the host asks the pump how much that is."""
    scenario = load_scenario("drug-change")
    spans = [scenario.orders[event.number].bridge for event in scenario.events if event.kind == "bridge"]
    assert spans[0] == spans[1] and spans[0].volume_nl == 375_000


def test_every_drug_is_known_the_pumps_first():
    scenario = load_scenario("mixture-x2")
    assert drugs_of(scenario, scenario.orders) == ["morphine", "ziconotide"]
    assert drugs_of(load_scenario("oral-vs-pump"), load_scenario("oral-vs-pump").orders) == ["baclofen"]
