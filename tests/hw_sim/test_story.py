"""A field action's paragraph: filled with the run's figures, and refused where it would tell one that nothing measures."""

import pytest

from thecal.host import units
from thecal.hw_sim.scenario_file import FOLDER, ScenarioError, read
from thecal.hw_sim.story import NOTHING, tell

TABLE = '[field_action]\nwhen = "2008"\nreal = "it stood"\nours = "{said:.0f} min, {said:.1f/60} h"\n\n[[expect]]'
GOOD = ((FOLDER / "stall.toml").read_text(encoding="utf-8").replace('name = "stall"', 'name = "case"', 1)
        .replace("[[expect]]", TABLE, 1).replace("max = 30", 'max = 30\nas = "said"', 1))


def loaded(tmp_path, text):
    path = tmp_path / "case.toml"
    path.write_text(text, encoding="utf-8")
    return read(path, units)


def test_the_figures_of_the_run_stand_in_the_paragraph(tmp_path):
    scenario = loaded(tmp_path, GOOD)
    name = scenario.expectations[0].name
    assert tell(scenario, [{"name": name, "value": 90.0}]) == {"when": "2008", "real": "it stood", "ours": "90 min, 1.5 h"}


def test_what_was_not_found_is_a_dash(tmp_path):
    scenario = loaded(tmp_path, GOOD)
    assert tell(scenario, [{"name": scenario.expectations[0].name, "value": None}])["ours"] == "%s min, %s h" % (NOTHING, NOTHING)


def test_a_scenario_without_a_field_action_has_no_story(tmp_path):
    scenario = loaded(tmp_path, GOOD.replace(TABLE, "[[expect]]").replace('as = "said"\n', ""))
    assert tell(scenario, []) == {}


@pytest.mark.parametrize("old, new, sentence", [
    ("{said:.0f} min", "{sad:.0f} min", "case.toml: [field_action]: ours tells {sad}, which no expectation has as its 'as' (there are: said)"),
    ("{said:.0f} min, {said:.1f/60} h", "nothing", "case.toml: [field_action]: ours does not tell {said}"),
    ("{said:.0f}", "{said:.0z}", "case.toml: [field_action]: ours cannot be filled in: "),
    ("{said:.0f}", "{}", "ours cannot be filled in: Format string contains positional"),
    ('as = "said"', 'as = "said it"', "case.toml: as is 'said it', it must be a plain name such as 'detect_min'"),
    ('name = "the alarm ends', 'as = "said"\nname = "the alarm ends', "case.toml: as is 'said' for 2 expectations, it must be for one"),
    (TABLE, "[[expect]]", "case.toml: as is 'said', but there is no [field_action] to tell it"),
    ('real = "it stood"\n', "", "case.toml: [field_action]: key 'real' is missing"),
])
def test_a_story_that_cannot_be_told_is_refused(tmp_path, old, new, sentence):
    assert old in GOOD
    with pytest.raises(ScenarioError) as refused:
        loaded(tmp_path, GOOD.replace(old, new, 1))
    assert sentence in str(refused.value)
