"""The index page: what is missing stands on top, every part has its row, text is escaped, nothing is loaded."""

import re

from evidence_pieces import LEDGER, PHYSICS, RUN, bench

from thecal.hw_sim import anomalies, evidence_page, requirements
from thecal.hw_sim.evidence import Part
from thecal.hw_sim.evidence_page import index

SOURCES = {"sha256": "5" * 64, "commit": "c" * 40, "committed_s": 0, "clean": False, "changed": ["a.py"], "why": ""}
VERSIONS = {"thecal": "0.1.0", "protocol": 3, "schema_crc": "0x1", "python": "3.11.7", "implementation": "CPython", "platform": "Linux",
            "micropython": None, "micropython_missing": "no <wheel>", "sources": SOURCES, "packages": {"click": "8", "rich": "13"}}
FOUND = {"ok": False, "made": "2026-11-23T08:00:00Z", "quick": True, "repeat": "thecal-sim evidence --out 'a <b>'"}


def parts():
    return [Part("versions", True, False, "CHANGED", "", ["versions.json"], VERSIONS), Part("tests", False, False, "no test was run"),
            Part("requirements", True, True, "all", "", ["requirements.json", "requirements.html"], {"proved": 3, "requirements": 4}),
            Part("ledger", True, True, "2 of 3", "thecal-sim faults --json", ["ledger.json", "ledger-rows/stall-basal.toml"], LEDGER), Part("physics", True, True, "1 of 1", "", [], PHYSICS),
            Part("run stall inprocess", True, True, "pass", "", ["runs/stall.inprocess.json"], RUN), Part("bench link", True, True, "1 of 1", "", [], bench("link")),
            Part("anomalies", True, None, "12", "", [], anomalies.load(requirements.load()))]


def test_the_page_says_first_what_is_missing():
    html = index(FOUND, parts())
    assert html.index("OPEN") < html.index("Not there, or not holding") < html.index("All parts") and "1 are not there, 1 do not hold" in html
    assert "Not a medical device" in html and "quick: from what earlier runs had left" in html
    for words in ("rotor stall", "undetectable: no sensor behind the head", "Poiseuille", "speed of link", "AN-01", "protocol 2", "pass", "0" * 32,
                  '<a href="requirements.html">', '<a href="ledger-rows/stall-basal.toml">stall-basal</a>', '<a href="SHA256SUMS">', "5" * 64, "sha256sum -c SHA256SUMS", "click 8, rich 13", "the tree is CHANGED", "3 of 4"):
        assert words in html, words
    assert html.index('href="requirements.html"') < html.index('href="requirements.json"')


def test_each_skipped_test_is_there_with_its_reason():
    data = {"tests": 3, "passed": 2, "failed": [], "skipped": [{"name": "t::s", "why": "no <node>"}], "time_s": 1.0, "sources": None}
    html = index(FOUND, [part if part.name != "tests" else Part("tests", True, True, "3 tests", "", ["junit.xml"], data) for part in parts()])
    assert "Tests that were skipped" in html and "<td>t::s</td><td>no &lt;node&gt;</td>" in html and "1 skipped" in html
    assert html.count("ledger-rows/") == 1, "the scenarios of the ledger stand in its rows only"


def test_it_is_one_file_and_escapes():
    html = index(FOUND, parts())
    assert "<b>" not in html and "a &lt;b&gt;" in html and "<script" not in html and not re.search(r"(src|href)=\"(https?:|//)", html)


def test_all_there_is_complete_and_what_is_not_there_has_no_table():
    whole = [part for part in parts() if part.ok is not False]
    whole.insert(0, Part("versions", True, True, "", "", [], {**VERSIONS, "sources": {**SOURCES, "clean": True, "changed": []}}))
    html = index({**FOUND, "ok": True, "quick": False}, whole)
    assert "COMPLETE" in html and "Not there" not in html and "the tree is clean" in html
    few = [parts()[0], parts()[1], parts()[-1]]
    html = index(FOUND, few)
    assert "Fault ledger" not in html and "Scenario runs" not in html and "none was run" in html


def test_a_row_that_does_not_apply_is_not_met():
    assert evidence_page._held(LEDGER["rows"]) == "2 of 2" and len(LEDGER["rows"]) == 3
