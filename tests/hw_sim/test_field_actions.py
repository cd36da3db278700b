"""The list of field actions: ours is whole, a bad one is refused in one sentence, and the page tells every row."""

import pytest

from thecal.hw_sim import field_actions
from thecal.hw_sim.scenario import load_scenario

RUN = {"verdict": "pass", "title": "Field action: it stood <there>", "seed": 3, "runtime": "inprocess", "trace_hash": "abc", "expectations": [{"name": "said", "ok": True}],
       "story": {"when": "2008", "real": "it stood", "ours": "said after 14 min & kept"}}
HEAD = 'schema = "thecal.field-actions/1"\n'
ENTRY = '[[action]]\nwhen = "2008"\nwhat = "it stood"\nsource = "clinical.md 6.4"\n'


def loaded(tmp_path, text, names=("field-one",)):
    for name in names:
        (tmp_path / (name + ".toml")).write_text("", encoding="utf-8")
    path = tmp_path / "list.toml"
    path.write_text(text, encoding="utf-8")
    return field_actions.load(path, tmp_path)


@pytest.mark.req("TH-EVID-04")
def test_ours_is_whole_and_each_scenario_tells_its_story():
    actions = field_actions.load()
    names = [name for action in actions for name in action.scenarios]
    assert len(actions) >= 19 and len(names) >= 17
    for name in names:
        scenario = load_scenario(name)
        assert set(scenario.field_action) == {"when", "real", "ours"} and any(wanted.key for wanted in scenario.expectations), name
    text = " ".join(action.when + action.what + action.source for action in actions)
    for words in ("2004", "2008-08", "2011-02", "2011-07", "FA535", "2012-11", "2013-06", "2014-03", "2019-10", "Prometra", "TGA", "bridge bolus"):
        assert words in text, words


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "list.toml: it must have schema = 'thecal.field-actions/1'"), (HEAD + ENTRY, "list.toml: action 1 (it stood): it needs either 'scenario'"),
    (HEAD + ENTRY + 'scenario = ["field-two"]\n', "list.toml: scenario 'field-two' is none of ours: field-one"),
    (HEAD + ENTRY + 'scenario = ["field-one", "field-one"]\n', "list.toml: scenario 'field-one' stands there twice"),
    (HEAD + ENTRY + 'scenario = []\n', "scenario is [], it must be a list of names"), (HEAD + ENTRY + 'declared = "no"\n', "declared is 'no', it must be a sentence"),
    (HEAD + ENTRY + 'declared = "No."\n', "list.toml: scenario 'field-one' stands under no action"),
    (HEAD + ENTRY + 'scenario = ["field-one"]\nmore = 1\n', "list.toml: action 1: key 'more' is none of"),
    (HEAD + ENTRY.replace('"2008"', "2008"), "list.toml: action 1: when is 2008, it must be text"),
])
def test_a_bad_list_is_one_sentence(tmp_path, text, sentence):
    with pytest.raises(field_actions.FieldActionsError) as refused:
        loaded(tmp_path, text)
    assert sentence in str(refused.value)


def test_rows_say_what_was_played_declared_or_missing(tmp_path):
    actions = loaded(tmp_path, HEAD + ENTRY + 'scenario = ["field-one", "field-two"]\n' + ENTRY + 'declared = "No such part."\n', ("field-one", "field-two"))
    one, two, none = field_actions.rows(actions, {"field-one": RUN})
    assert one["ok"] is True and one["ours"].startswith("said after") and one["not_met"] == [] and one["trace_hash"] == "abc"
    assert two["ok"] is False and two["verdict"] == "not played" and (none["ok"], none["scenario"], none["declared"]) == (None, None, "No such part.")
    assert field_actions.summary([one, two, none]) == "1 of 2 field-action scenarios pass; 1 actions are declared as not played"


def test_the_page_tells_each_row_and_escapes_what_it_tells(tmp_path):
    actions = loaded(tmp_path, HEAD + ENTRY + 'scenario = ["field-one"]\n' + ENTRY + 'declared = "No such part."\n')
    rows = field_actions.rows(actions, {"field-one": {**RUN, "verdict": "fail", "expectations": [{"name": "said", "ok": False}]}})
    page = field_actions.html(rows, "thecal-sim field-actions", links=True)
    assert "it stood &lt;there&gt;" in page and "14 min &amp; kept" in page and 'href="field-one/report.html"' in page and "No such part." in page
    assert "FAIL" in page and "NOT MET" in page and "Not a medical device" in page
    assert "href" not in field_actions.html(rows, "again", links=False)
