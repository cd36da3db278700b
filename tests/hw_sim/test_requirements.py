"""The list of requirements is whole and well-formed, every published id is accounted for, and the matrix says what the outcomes say."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from thecal.hw_sim import requirements as rq
from thecal.hw_sim import versions

# What the published lists hold that clinical.md 6.1-6.3 restates, kept here so that nothing is left out by leaving it out of the list.
REQ = [1, 3, 6, 7, 9, 12, 14, *range(16, 21), 23, 26, 27, *range(29, 40), 46, *range(51, 68), *range(77, 82), 85, 86]
HID = ["1.1", "1.2", "1.3", "1.4", "1.5", "1.7", "1.8", "1.9", "1.13", "1.14", "1.21", "1.24", "1.25", "4.13", "5.6", "5.11", "6.6", "8.1", "8.6",
       "8.7", "8.8", "8.10", "8.14"]
OPEN_PCA = ["R5.2.0(2)", "R5.2.0(3)", "R5.2.0(4)", "R5.2.0(5)", "R5.3.0", *("R6.4.0(%d)" % n for n in range(2, 8)), "R6.4.1", "R6.5.0(18)",
            *("R6.6.0(%d)" % n for n in range(1, 9)), "R6.8.0(10)", "R7.1.0(1)", "R7.2.0(1)", "R7.2.0(2)", "R7.2.0(6)", "R7.2.0(7)",
            *("R7.4.0(%d)" % n for n in range(1, 8)), "R8.x", "EC8", "EC20", "EC23", "EC24"]
FDA = ["Table 2 delivery error", "Table 2 incorrect therapy", "Table 2 contamination", "Table 2 traumatic injury", "Table 3 operational",
       "Table 4 environmental", "Table 5 electrical", "Table 6 hardware", "Table 7 software", "Table 8 mechanical", "Table 9 biological and chemical",
       "Table 10 use", "bolus after an occlusion", "corrupted bolus history", "uneven bolus", "motor not as intended", "pump out of calibration",
       "watchdog failure", "attempted memory write failed", "critical value integrity", "lost signal", "false alarm", "failure to alarm",
       "alarm priority wrong", "wrong library loaded", "corrupted infusion commands", "user enters wrong concentration",
       "user believes infusion runs but it does not"]
WITHOUT_ID = ["keep-vein-open rate", "air-in-line alarm", "door alarm", "mains supply and 10 min of battery", "max-dose rule that looks back"]
PUBLISHED = {*("REQ %d" % n for n in REQ), *("REQ 25(%d)" % n for n in range(1, 6)), "CONST-15", "CONST-16", *("HID " + n for n in HID), *OPEN_PCA,
             *("FDA " + name for name in FDA), *("PCA " + name for name in WITHOUT_ID)}

GOOD = '''schema = "thecal.requirements/1"
[documents]
REQ = "a list"
[hazards]
over = "too much"
[[requirement]]
id = "TH-CAP-01"
text = "A cap holds."
hazard = "over"
published = ["REQ 1", "REQ 3-5"]
code = ["hw_sim/requirements.py"]
[[requirement]]
id = "TH-CAP-02"
text = "Another holds."
hazard = "over"
published = []
code = ["hw_sim/requirements.py"]
note = "stricter"
[[not_applicable]]
published = ["REQ 2"]
reason = "There is no door."
'''


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "list.toml"
        path.write_text(text, encoding="utf-8")
        return path
    return write


@pytest.fixture(scope="module")
def ours():
    return rq.load()


def test_every_published_id_is_covered_or_said_not_to_apply(ours):
    found = ours.published()
    assert set(found) == PUBLISHED
    assert all(bool(own) != bool(reason) for own, reason in found.values())


def test_what_has_no_meaning_for_an_implant_is_said_so_with_a_reason(ours):
    said = {name for entry in ours.not_applicable for name in entry.published}
    assert {"PCA " + name for name in WITHOUT_ID[:4]} < said
    assert all(len(entry.reason) > 40 for entry in ours.not_applicable)


def test_each_of_the_29_alarm_rows_and_13_rules_has_its_requirement(ours):
    for number in range(1, 30):
        (row,) = [row for row in ours.rows if row.id == "TH-ALM-%02d" % number]
        assert row.text.startswith("Row %d" % number)
    for number in range(1, 14):
        (row,) = [row for row in ours.rows if row.id == "TH-RULE-%02d" % number]
        assert row.text.startswith("R%d: " % number)


def test_the_code_of_each_is_there(ours):
    rq.check_code(ours)


def test_no_requirement_is_said_twice(ours):
    texts = [row.text for row in ours.rows]
    assert len(set(texts)) == len(texts)
    assert all(" / " not in row.text and not re.search(r"\b(may be|should|as appropriate|if possible)\b", row.text) for row in ours.rows)


def test_ranges_are_taken_apart():
    assert rq.expanded(["REQ 9-11", "CONST-15", "R7.4.0(1)-(3)", "HID 1.1", "REQ 25(4)-(5)", "R8.x"]) == [
        "REQ 9", "REQ 10", "REQ 11", "CONST-15", "R7.4.0(1)", "R7.4.0(2)", "R7.4.0(3)", "HID 1.1", "REQ 25(4)", "REQ 25(5)", "R8.x"]
    with pytest.raises(rq.RequirementsError, match="does not rise"):
        rq.expanded(["REQ 11-9"])


def test_a_good_list(written):
    found = rq.load(written(GOOD))
    assert [row.id for row in found.rows] == ["TH-CAP-01", "TH-CAP-02"] and found.rows[1].note == "stricter"
    assert found.published() == {"REQ 1": (["TH-CAP-01"], ""), "REQ 3": (["TH-CAP-01"], ""), "REQ 4": (["TH-CAP-01"], ""),
                                 "REQ 5": (["TH-CAP-01"], ""), "REQ 2": ([], "There is no door.")}


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ('schema = "thecal.requirements/1"', "", "schema is not"),
    ("[documents]", "[[documents]]", "'documents' is no dict"),
    ("[hazards]", "[hazard]", "has no 'hazards'"),
    ("TH-CAP-01", "TH-CAP-1", "an id is TH-AREA-nn, not 'TH-CAP-1'"),
    ("TH-CAP-02", "TH-CAP-01", "id TH-CAP-01 stands twice"),
    ("A cap holds.", "A cap holds", "requirement 1 (TH-CAP-01): 'text' is not one sentence"),
    ('"A cap holds."', '""', "'text' is not one sentence"),
    ('"A cap holds."', "3", "'text' is no str"),
    ('hazard = "over"', 'hazard = "under"', "hazard 'under' is none of over"),
    ('hazard = "over"', "", "has no 'hazard'"),
    ('note = "stricter"', 'why = "stricter"', "key 'why' is none of"),
    ('"REQ 3-5"', '"REQ 5-3"', "does not rise"),
    ('"REQ 3-5"', '"REQ 1-2"', "a published id stands twice"),
    ('"REQ 3-5"', '"HID 1.1"', "published id 'HID 1.1' begins with none of REQ"),
    ('"REQ 3-5"', "7", "published id 7 begins"),
    ('"REQ 3-5"', '"REQ 2-3"', "published id 'REQ 2' is covered by TH-CAP-01 and said not to apply"),
    ('"REQ 2"', '"REQ 2", "REQ 2"', "stands twice"),
    ('code = ["hw_sim/requirements.py"]', "code = []", "no file of code is named"),
    ('code = ["hw_sim/requirements.py"]', "code = [1]", "code is no list of paths"),
    ("There is no door.", "There is no door", "'reason' is not one sentence"),
    ("[[not_applicable]]", "[not_applicable]", "'not_applicable' is no list"),
    ("[documents]", "[documents", "list.toml is not TOML"),
])
def test_a_wrong_list_is_one_sentence(written, old, new, sentence):
    with pytest.raises(rq.RequirementsError) as caught:
        rq.load(written(GOOD.replace(old, new, 1)))
    assert sentence in str(caught.value) and "list.toml" in str(caught.value) and "\n" not in str(caught.value).split(":", 1)[0]


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(rq.RequirementsError, match="none.toml cannot be read"):
        rq.load(tmp_path / "none.toml")


def test_code_that_has_moved_is_named(written):
    with pytest.raises(rq.RequirementsError, match="TH-CAP-01: code 'hw_sim/gone.py' is no file"):
        rq.check_code(rq.load(written(GOOD.replace("hw_sim/requirements.py", "hw_sim/gone.py", 1))))


# ------------------------------------------------------------------------------------------------ outcomes and matrix

def outcomes(*tests, whole=True):
    return {"schema": rq.RESULTS_SCHEMA, "whole": whole, "tests": [
        {"id": "t.py::%d" % number, "requirements": list(names), "outcome": outcome} for number, (outcome, *names) in enumerate(tests)]}


@pytest.mark.parametrize(("tests", "whole", "states", "ok"), [
    ([("passed", "TH-CAP-01"), ("passed", "TH-CAP-01", "TH-CAP-02")], True, ["passed", "passed"], True),
    ([("passed", "TH-CAP-01", "TH-CAP-02"), ("failed", "TH-CAP-02")], True, ["passed", "FAILED"], False),
    ([("passed", "TH-CAP-01", "TH-CAP-02"), ("skipped", "TH-CAP-02")], True, ["passed", "passed"], True),
    ([("passed", "TH-CAP-01"), ("skipped", "TH-CAP-02")], True, ["passed", "SKIPPED"], False),
    ([("passed", "TH-CAP-01")], True, ["passed", "NO TEST"], False),
    ([("passed", "TH-CAP-01")], False, ["passed", "NOT RUN"], False),
    ([], True, ["NO TEST", "NO TEST"], False),
])
def test_a_requirement_is_proved_by_a_test_that_passed_and_none_that_failed(written, tests, whole, states, ok):
    found = rq.matrix(rq.load(written(GOOD)), outcomes(*tests, whole=whole))
    assert [row["state"] for row in found["rows"]] == states and found["ok"] is ok and found["whole"] is whole
    assert found["proved"] == states.count("passed") and found["requirements"] == 2
    assert [len(row["tests"]) for row in found["rows"]] == [sum("TH-CAP-%02d" % n in names for _, *names in tests) for n in (1, 2)]


def test_without_outcomes_nothing_is_proved(written):
    found = rq.matrix(rq.load(written(GOOD)), None)
    assert not found["ok"] and {row["state"] for row in found["rows"]} == {"NOT RUN"}
    assert [(row["id"], row["requirements"], row["not_applicable"]) for row in found["published"]][-1] == ("REQ 2", [], "There is no door.")


def test_an_id_that_has_gone_is_an_error(written):
    with pytest.raises(rq.RequirementsError, match="t.py::0 carries 'TH-CAP-09', which is no requirement"):
        rq.matrix(rq.load(written(GOOD)), outcomes(("passed", "TH-CAP-09")))


def test_outcomes_are_read_or_refused(tmp_path):
    path = tmp_path / "o.json"
    good = outcomes(("passed", "TH-CAP-01"))
    path.write_text(json.dumps(good), encoding="utf-8")
    assert rq.read_outcomes(path) == good
    for text, sentence in [("{", "cannot be read"), ("[]", "no file of test outcomes"), (json.dumps({**good, "schema": "x"}), "no file of test outcomes"),
                           (json.dumps({**good, "whole": 1}), "damaged"), (json.dumps({**good, "tests": {}}), "damaged"),
                           (json.dumps({**good, "tests": [{"id": "a", "requirements": [], "outcome": "odd"}]}), "damaged")]:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(rq.RequirementsError, match=sentence):
            rq.read_outcomes(path)


# ------------------------------------------------------------------------------------------------ the plugin

LIST = GOOD.replace("hw_sim/requirements.py", "x.py")
CONFTEST = """
import sys
from pathlib import Path
sys.path.append({tests!r})
from traceability import Traceability
from thecal.hw_sim import requirements

def pytest_configure(config):
    here = Path(__file__).parent
    config.pluginmanager.register(Traceability(here, here / "build", requirements.load(here / "list.toml")))
    config.addinivalue_line("markers", "req(id, ...): x")
"""
BOTH = "import pytest\n@pytest.mark.req('TH-CAP-01', 'TH-CAP-02')\ndef test_a():\n    pass\n"


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """`suite({"test_a.py": text}, *options, ci=...)`: a pytest run of its own; (exit status, what it printed, outcomes or None)."""
    (tmp_path / "list.toml").write_text(LIST, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(CONFTEST.format(tests=str(Path(__file__).parents[1])), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")

    def run(files, *options, ci=False):
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        monkeypatch.setenv("CI", "true") if ci else monkeypatch.delenv("CI", raising=False)
        done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options], cwd=tmp_path, capture_output=True, text=True,
                              timeout=120)
        left = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "build").glob("*")}
        return done.returncode, done.stdout + done.stderr, left
    return run


@pytest.mark.slow
def test_a_whole_run_leaves_its_outcomes_and_passes_in_ci(suite):
    status, said, left = suite({"test_a.py": BOTH, "test_b.py": "def test_b():\n    pass\n"}, ci=True)
    assert status == 0 and "requirements: 2 of 2 proved by a passing test" in said
    assert left == {"requirements.json": {"schema": rq.RESULTS_SCHEMA, "whole": True, "ran": 2, "sources": versions.digest(), "tests": [
        {"id": "test_a.py::test_a", "requirements": ["TH-CAP-01", "TH-CAP-02"], "outcome": "passed"}]}}


@pytest.mark.slow
@pytest.mark.parametrize(("text", "state"), [
    ("def test_c():\n    pass\n", "NO TEST"),
    ("@pytest.mark.req('TH-CAP-02')\ndef test_c():\n    pytest.skip('no tool')\n", "SKIPPED"),
    ("@pytest.mark.req('TH-CAP-02')\n@pytest.mark.xfail\ndef test_c():\n    assert 0\n", "SKIPPED"),
])
def test_ci_fails_when_a_requirement_has_no_passing_test_and_elsewhere_it_is_said(suite, text, state):
    files = {"test_a.py": BOTH.replace(", 'TH-CAP-02'", "") + text}
    for ci in (True, False):
        status, said, left = suite(files, ci=ci)
        assert status == (1 if ci else 0) and "requirements: 1 of 2 proved by a passing test; not proved: TH-CAP-02 (%s)" % state in said
        assert left["requirements.json"]["whole"] is True


@pytest.mark.slow
def test_a_failure_in_setup_or_teardown_proves_nothing(suite):
    text = "import pytest\n@pytest.fixture\ndef up():\n    assert 0\n@pytest.fixture\ndef down():\n    yield\n    assert 0\n" \
        "@pytest.mark.req('TH-CAP-01')\ndef test_a(up):\n    pass\n@pytest.mark.req('TH-CAP-02')\ndef test_b(down):\n    pass\n"
    status, _, left = suite({"test_a.py": text})
    assert status == 1 and [test["outcome"] for test in left["requirements.json"]["tests"]] == ["failed", "failed"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [("test_a.py",), ("-k", "test_a"), ("-x",)])
def test_a_part_is_no_proof_and_touches_no_whole_one(suite, options):
    failing = "def test_b():\n    assert 0\ndef test_c():\n    pass\n"
    status, said, left = suite({"test_a.py": BOTH, "test_b.py": failing}, *options, ci=True)
    assert status == (1 if options == ("-x",) else 0) and "requirements:" not in said
    assert list(left) == ["requirements-part.json"] and left["requirements-part.json"]["whole"] is False


@pytest.mark.slow
@pytest.mark.parametrize("mark", ["'TH-CAP-03'", "", "7", "'TH-CAP-01', why=1"])
def test_an_id_that_is_none_is_an_error_at_collection(suite, mark):
    status, said, left = suite({"test_a.py": BOTH.replace("'TH-CAP-01', 'TH-CAP-02'", mark)})
    assert status == 4 and "not in hw_sim/requirements.toml: test_a.py::test_a carries" in said and not left


@pytest.mark.slow
def test_a_class_and_a_case_carry_their_marks_too(suite):
    text = "import pytest\n@pytest.mark.req('TH-CAP-01')\nclass TestIt:\n    @pytest.mark.parametrize('n', [1, pytest.param(2, marks=pytest.mark.req('TH-CAP-02'))])\n" \
        "    def test_a(self, n):\n        pass\n"
    _, _, left = suite({"test_a.py": text})
    assert [test["requirements"] for test in left["requirements.json"]["tests"]] == [["TH-CAP-01"], ["TH-CAP-01", "TH-CAP-02"]]


def test_a_run_names_its_sources_and_leaves_junit_beside_its_outcomes(tmp_path, monkeypatch):
    from traceability import Traceability
    config = SimpleNamespace(option=SimpleNamespace(xmlpath=None))
    plugin = Traceability(tmp_path, tmp_path, rq.load())
    plugin.keep_junit(config)
    draft = Path(config.option.xmlpath)
    for whole, name in ((False, "junit-part.xml"), (True, "junit.xml")):
        draft.write_text("<testsuites/>")
        plugin.outcomes, plugin.whole = {"t": "passed"}, whole
        plugin.pytest_unconfigure()
        assert (tmp_path / name).is_file() and not draft.exists()
    draft.write_text("<testsuites/>")
    plugin.outcomes = {}
    plugin.pytest_unconfigure()
    assert not draft.exists()
    named = SimpleNamespace(option=SimpleNamespace(xmlpath="mine.xml"))
    Traceability(tmp_path, tmp_path, rq.load()).keep_junit(named)
    assert named.option.xmlpath == "mine.xml"
    assert plugin.sources == versions.digest()
    monkeypatch.setattr(plugin, "began", "other")
    assert plugin.sources is None


@pytest.mark.slow
def test_listing_tests_leaves_nothing(suite):
    assert suite({"test_a.py": BOTH}, "--collect-only", ci=True)[0::2] == (0, {})
