"""The loader: what a good file becomes, and one clear sentence for everything that a bad one can hold."""

import re

import pytest

from thecal.host import units
from thecal.hw_sim.params import PARAMS_DIR
from thecal.hw_sim.scenario_file import FOLDER, ScenarioError, find, parts, read

GOOD = (FOLDER / "stall.toml").read_text(encoding="utf-8").replace('name = "stall"', 'name = "case"', 1)


def loaded(tmp_path, text):
    path = tmp_path / "case.toml"
    path.write_text(text, encoding="utf-8")
    return read(path, units)


def changed(old, new):
    assert old in GOOD, old
    return GOOD.replace(old, new, 1)


def with_event(lines):
    """The good file with one more event before its expectations."""
    return changed("[[expect]]", "[[event]]\n" + lines + "\n\n[[expect]]")


def test_a_good_file(tmp_path):
    scenario = loaded(tmp_path, GOOD)
    assert (scenario.duration_s, scenario.sample_s, scenario.seed) == (3 * 86400, 3600, 1)
    assert scenario.start_pump_s == 735 * 86400 + 9 * 3600
    assert [event.kind for event in scenario.events] == ["implant", "fill", "prime", "program", "fault"]
    assert [event.at_s for event in scenario.events] == [0, 0, 0, 1800, 86400]
    assert scenario.events[1].read["volume"] == 20_000_000 and scenario.events[1].values["volume"] == "20 mL"
    assert scenario.events[4].read["for"] == 8 * 3600 and scenario.events[4].text == "name rotor_stall, for 8 h"
    assert scenario.implant["catheter"] == 800
    assert scenario.expectations[0].options == {"code": 7, "from": 86400} and scenario.expectations[0].high == 30


def test_the_default_cadence_gives_720_samples_and_at_least_an_hour(tmp_path):
    assert loaded(tmp_path, changed('duration = "3 d"', 'duration = "180 d"')).sample_s == 6 * 3600
    assert loaded(tmp_path, changed('duration = "3 d"', 'duration = "3 d"\nsample = "10 min"')).sample_s == 600


def test_two_events_at_one_instant_keep_the_order_of_the_file(tmp_path):
    text = with_event('at = "1 d"\nkind = "visit"\nnote = "first"\n\n[[event]]\nat = "1 d"\nkind = "visit"\nnote = "second"')
    events = loaded(tmp_path, text).events
    assert [(event.at_s, event.values.get("note")) for event in events[-2:]] == [(86400, "first"), (86400, "second")]


def test_surroundings_a_bad_line_and_drawn_faults_are_read(tmp_path):
    scenario = loaded(tmp_path, changed("seed = 1", 'seed = 1\nline = "loss=0.1"') + """
[[environment]]
at = "1 d"
temperature = "39 C"

[[random_fault]]
name = "reed_held"
rate = 5
for = ["1 min", "1 h"]
""")
    assert scenario.line == "loss=0.1" and scenario.environment.at("temperature_c", 86400 * 10**6) == 39.0
    assert scenario.random_faults[0].longest_s == 3600
    plain = loaded(tmp_path, GOOD)
    assert plain.line is None and not plain.environment and plain.random_faults == ()


@pytest.mark.req("TH-PLANT-06")
def test_a_users_parameter_folder_lies_beside_the_scenario(tmp_path):
    text = changed('head = "reference"', 'params = "mine"\nhead = "mine"')
    with pytest.raises(ScenarioError, match=r"\[implant\]: params is 'mine', there is no such folder beside the scenario"):
        parts(loaded(tmp_path, text))
    (tmp_path / "mine").mkdir()
    head = (PARAMS_DIR / "head-reference.toml").read_text(encoding="utf-8").replace('name = "reference"', 'name = "mine"')
    (tmp_path / "mine" / "head-mine.toml").write_text(head.replace("value = 35.0", "value = 30.0"), encoding="utf-8")
    params, _ = parts(loaded(tmp_path, text))
    assert params.head.volume_per_rev_ul == 30.0 and params.reservoir.capacity_ul == 20_000
    (tmp_path / "mine" / "head-mine.toml").write_text(head.replace("value = 8.0", "value = 100.0"), encoding="utf-8")
    with pytest.raises(ScenarioError, match="head mine: recoil_angle_deg is 100, it must not exceed the pitch of 4 rollers, 90 deg"):
        parts(loaded(tmp_path, text))


BAD = {
    "a line that is none": (changed("seed = 1", 'seed = 1\nline = "noise=1"'), "line is 'noise=1', it must be a bad line as of --line (line: key is 'noise'"),
    "a bound gear without a field": (changed('name = "rotor_stall"', 'name = "gear_bind"'), "event 5 (fault): gear_bind acts behind a magnetic field"),
    "a torn write of no kind": (with_event('at = "2 d"\nkind = "torn_write"\nwrite = 3\nleft = "most"'), "left is 'most', it must be one of nothing, half"),
    "a bit that no byte has": (with_event('at = "2 d"\nkind = "store_flip"\naddress = 5\nbit = 8'), "bit is 8, it must be a whole number between 0 and 7"),
    "a fill into nowhere": (changed('volume = "20 mL"', 'volume = "20 mL"\ninto = "vein"'), "into is 'vein', it must be one of reservoir, pocket"),
    "a field without its unit": (with_event('at = "2 d"\nkind = "scan"\nfor = "1 h"\nfield = "1.5"'), "field is '1.5', it must be a number and its unit (T, mT)"),
    "a port injection of no strength": (with_event('at = "2 d"\nkind = "port_injection"\nvolume = "1 mL"\ndrug = "baclofen"'),
                                        "keys 'drug' and 'concentration' need each other"),
    "unknown key on top": (changed("seed = 1", "seed = 1\nsead = 2"), "case.toml: key 'sead' is not known (known: schema, name"),
    "unknown key in an event": (changed('dose = "400 ug/day"\n\n[[event]]\nat = "1 d"', 'dose = "400 ug/day"\ndoze = 1\n\n[[event]]\nat = "1 d"'),
                                "event 4 (program): key 'doze' is not known (known: mode, dose,"),
    "unknown key in the implant": (changed("serial = 1007", "serial = 1007\ncolour = 1"), "[implant]: key 'colour' is not known"),
    "unknown key in an expectation": (changed('cause = "stall"', 'cause = "stall"\nper = 1'), "expectation 6: key 'per' is not known"),
    "contact too long": (changed("clinic +00 000 0000", "0" * 33), "it must be plain ascii text of 1 .. 32 characters"),
    "contact of no ascii": (changed("clinic +00 000 0000", "Zürich"), "[implant]: contact is 'Zürich', it must be plain ascii text"),
    "missing key": (changed('concentration = "2000 ug/mL"\n', ""), "event 2 (fill): key 'concentration' is missing"),
    "missing title": (re.sub(r"^title.*\n", "", GOOD, flags=re.MULTILINE), "case.toml: key 'title' is missing"),
    "missing time": (with_event('kind = "visit"\nnote = "when?"'), "event 6 (visit): key 'at' is missing"),
    "wrong schema": (changed("thecal.scenario/1", "thecal.scenario/9"), "schema is 'thecal.scenario/9', it must be 'thecal.scenario/1'"),
    "another name": (changed('name = "case"', 'name = "other"'), "name is 'other', it must be the file's own: 'case'"),
    "no confidence": (changed("C: constructed", "sure"), "confidence is 'sure', it must begin with one of R, M-H"),
    "number for text": (changed('title = "Rotor', 'title = 5\n# "Rotor'), "title is 5, it must be text"),
    "dose without unit": (changed('dose = "400 ug/day"\n\n[[event]]\nat = "1 d"', 'dose = "400"\n\n[[event]]\nat = "1 d"'),
                          "event 4 (program): dose '400' has no unit; accepted units"),
    "dose as a number": (changed('dose = "400 ug/day"\n\n[[event]]\nat = "1 d"', 'dose = 400\n\n[[event]]\nat = "1 d"'),
                         "event 4 (program): dose is 400, it must be text with a unit such as '150 ug/day'"),
    "unit of another kind": (changed('volume = "20 mL"', 'volume = "20 mg"'), "event 2 (fill): volume '20 mg': mg is a unit of dose"),
    "duration without unit": (changed('duration = "3 d"', 'duration = "3"'), "case.toml: duration '3' is not a duration; write units d, h"),
    "duration too long": (changed('duration = "3 d"', 'duration = "9999 d"'), "duration is '9999 d', it must lie between 3600 s and"),
    "cadence too short": (changed('duration = "3 d"', 'duration = "3 d"\nsample = "1 s"'), "sample is '1 s', it must lie between 60 s and"),
    "seed out of range": (changed("seed = 1", "seed = -1"), "seed is -1, it must be a whole number between 0 and 2147483647"),
    "seed a truth value": (changed("seed = 1", "seed = true"), "seed is True, it must be a whole number"),
    "start out of the calendar": (changed('start = "2026-01-05 09:00"', 'start = "1999-01-01"'), "start '1999-01-01' is outside the pump's calendar"),
    "unknown kind": (with_event('at = "2 d"\nkind = "dance"'), "event 6: kind is 'dance', it must be one of trial, implant"),
    "unknown fault": (changed('name = "rotor_stall"', 'name = "gremlin"'), "event 5 (fault): name is 'gremlin', it must be one of rotor_stall"),
    "value of a switch": (changed('name = "rotor_stall"', 'name = "rotor_stall"\nvalue = 2'), "value is 2, but fault rotor_stall takes none"),
    "value of a fault out of range": (changed('name = "rotor_stall"', 'name = "head_gain"\nvalue = 9.0'), "value is 9.0, fault head_gain must lie between 0 and 5"),
    "order of time": (with_event('at = "12 h"\nkind = "visit"\nnote = "late"'), "event 6 (visit): at is '12 h', in the past of event 5 at '1 d'"),
    "before the implant": (changed('at = "0 d"\nkind = "fill"', 'at = "-1 d"\nkind = "fill"'), "event 2 (fill): at is '-1 d', before the implant at '0 d': only a trial"),
    "trial too late": (with_event('at = "2 d"\nkind = "trial"\ndrug = "baclofen"\nconcentration = "50 ug/mL"\ndose = "50 ug"\nresponse = "none"'),
                       "event 6 (trial): at is '2 d', a trial comes before the implant"),
    "after the end": (with_event('at = "3 d"\nkind = "visit"\nnote = "gone"'), "event 6 (visit): at is '3 d', at or after the end: duration is 3 d"),
    "simple without dose": (changed('dose = "400 ug/day"\n\n[[event]]\nat = "1 d"', '\n[[event]]\nat = "1 d"'), "event 4 (program): mode 'simple' needs 'dose' ('simple' and 'periodic' only)"),
    "flex without steps": (changed('mode = "simple"\ndose = "400 ug/day"', 'mode = "flex"'), "event 4 (program): mode 'flex' needs 'steps'"),
    "periodic without times": (changed('mode = "simple"', 'mode = "periodic"'), "event 4 (program): mode 'periodic' needs 'times'"),
    "minimum with a dose": (changed('mode = "simple"', 'mode = "minimum"'), "event 4 (program): mode 'minimum' has no 'dose'"),
    "basal of a simple program": (changed('mode = "simple"', 'mode = "simple"\nbasal = "50 ug/day"'), "has no 'weekdays' ('flex' only) and no 'basal' ('periodic' only)"),
    "trial of nothing": (with_event('at = "2 d"\nkind = "trial"\ndrug = "baclofen"\nconcentration = "50 ug/mL"\nresponse = "none"'),
                         "event 6 (trial): it needs either 'dose' (a single one) or 'rate' and 'for' (an infusion)"),
    "a bolus without lockout": (changed('mode = "simple"', 'mode = "simple"\nbolus = {dose = "10 ug", over = "10 min", per_day = 4}'), "bolus: key 'lockout' is missing"),
    "a bolus with another key": (changed('mode = "simple"', 'mode = "simple"\nbolus = {dose = "10 ug", over = "10 min", lockout = "1 h", per_day = 4, often = 1}'), "bolus: key 'often' is not known"),
    "a pause of seconds": (with_event('at = "2 d"\nkind = "pause"\nfor = "90 s"'), "event 6 (pause): for is '90 s', it must be whole minutes"),
    "a catheter's drug without strength": (with_event('at = "2 d"\nkind = "catheter"\nstate = "filled"\ndrug = "baclofen"'), "keys 'drug' and 'concentration' need each other"),
    "steps of a wrong shape": (changed('mode = "simple"\ndose = "400 ug/day"', 'mode = "flex"\nsteps = [{from = "22:00"}]'), "steps is [{'from': '22:00'}], it must be a list of steps"),
    "every without until": (with_event('at = "2 d"\nkind = "oral"\ndrug = "baclofen"\ndose = "20 mg"\nevery = "6 h"'), "keys 'every' and 'until' need each other"),
    "no time at all": (changed('for = "8 h"', 'for = "0 h"'), "event 5 (fault): a duration is '0 h', it must be above 0"),
    "therapy by half": (changed('dose = "400 ug/day"\n\n[[event]]\nat = "0 d"\nkind = "implant"', '\n[[event]]\nat = "0 d"\nkind = "implant"'),
                        "[patient] needs drug and dose together"),
    "a patient's other drugs": (changed('model = "adult"', 'model = "adult"\nalso = {morphine = "2 mg"}'), "also of morphine '2 mg': mg is a unit of dose"),
    "unknown quantity": (changed('quantity = "mass_error"', 'quantity = "happiness"'), "expectation 8: quantity is 'happiness', it must be one of daily_dose_step_pct"),
    "missing bound": (changed('quantity = "mass_error"\nmax = 1e-9', 'quantity = "mass_error"'), "expectation 8 (drug mass closes): a bound is missing: give min, max or both"),
    "bounds the wrong way": (changed("min = 65.6\nmax = 67.8", "min = 67.8\nmax = 65.6"), "min is 67.8, it must not be above max 65.6"),
    "bound with a unit": (changed("max = 1e-9", 'max = "30 %"'), "expectation 8: max is '30 %', it must be a finite number"),
    "bound not finite": (changed("max = 1e-9", "max = inf"), "expectation 8: max is inf, it must be a finite number"),
    "missing option": (changed('code = 7\nfrom = "1 d"\n', 'code = 7\n'), "expectation 1: key 'from' is missing"),
    "no events": (re.sub(r"\[\[event\]\](?s:.*?)(?=\[\[expect)", "", GOOD), "case.toml: key 'event' is missing"),
    "events no tables": (re.sub(r"\[\[event\]\](?s:.*?)(?=\[\[expect)", "", GOOD).replace("seed = 1", "seed = 1\nevent = [1]"), "event is [1], it must be a list of tables"),
    "not TOML": ("schema = ", "case.toml is not TOML: "),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(tmp_path, case):
    text, sentence = BAD[case]
    with pytest.raises(ScenarioError) as caught:
        loaded(tmp_path, text)
    message = str(caught.value)
    assert sentence in message and message.startswith("case.toml") and "\n" not in message
    assert caught.value.exit_status == 2


def test_not_utf8(tmp_path):
    path = tmp_path / "case.toml"
    path.write_bytes(b"title = '\xff'")
    with pytest.raises(ScenarioError, match="case.toml is not TOML"):
        read(path, units)


def test_finding_a_file(tmp_path):
    assert find("stall") == FOLDER / "stall.toml"
    assert find(str(FOLDER / "stall.toml")) == FOLDER / "stall.toml"
    with pytest.raises(ScenarioError, match=r"no scenario is called 'stal'; give a .toml file or one of: .*stall"):
        find("stal")
    with pytest.raises(ScenarioError, match="does not exist"):
        find(str(tmp_path / "none.toml"))
