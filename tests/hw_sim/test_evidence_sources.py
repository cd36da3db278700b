"""Pieces of evidence: known by their schema, judged by their rows, refused in one sentence when they are none."""

import copy
import json
import os

import pytest
from evidence_pieces import LEDGER, PHYSICS, RUN, bench, junit, left

from thecal.hw_sim import evidence_sources as es


def test_each_is_called_by_what_it_is():
    assert [es.key_of(each) for each in (RUN, LEDGER, PHYSICS, bench("link"))] == ["run stall inprocess", "ledger", "physics", "bench link"]


@pytest.mark.req("TH-EVID-02")
def test_a_piece_holds_when_its_rows_do():
    assert es.judged(RUN) == (True, "pass, seed 1, trace %s; 1 of 2 hold, 1 n/a" % ("0" * 32))
    assert es.judged(LEDGER) == (True, "2 of 3 hold, 1 n/a; 2 fired, 1 detected, 1 declared undetectable")
    rows = [{**row, "over_seeds": share} for row, share in zip(LEDGER["rows"], ("7 of 8", "8 of 8", None), strict=True)]
    assert es.judged({**LEDGER, "rows": rows})[1].endswith("1 declared undetectable; 1 of 2 were ok with every seed when last played with several")
    assert es.judged(bench("link", ok=False)) == (False, "0 of 1 hold; NOT: speed of link")
    failed = copy.deepcopy(LEDGER)
    failed["rows"][0]["ok"] = False
    assert es.judged(failed)[0] is False and es.judged(failed)[1].endswith("; NOT: stall-basal")
    assert es.judged({**LEDGER, "differences": ["stall-basal: later"]}) == (False, es.judged(LEDGER)[1] + "; NOT AS COMMITTED: stall-basal: later")
    assert es.judged({**RUN, "verdict": "fail"})[0] is False, "a firmware that failed has met every expectation so far"
    assert es.judged({**PHYSICS, "rows": []})[0] is False, "nothing proves nothing"


@pytest.mark.parametrize(("text", "words"), [
    ("", "X printed no JSON"), ("[" * 100_000, "X printed no JSON"), ("3", "its schema is None"), ('{"schema": "thecal.status/1"}', "its schema is 'thecal.status/1'"),
    ('{"schema": "thecal.ledger/1"}', "X is damaged: each of its rows"), ('{"schema": "thecal.ledger/1", "rows": [{"ok": "yes"}]}', "each of its rows has an ok"),
    ('{"schema": "thecal.physics/1", "rows": [3]}', "each of its rows"), ('{"schema": "thecal.bench/1", "bars": []}', "it has no bench"),
    (json.dumps({**RUN, "trace_hash": None}), "it has no trace_hash"), ('{"schema": "thecal.ledger/1", "rows": [{"id": "a"}]}', "each of its rows has an ok")])
def test_what_is_no_piece_is_one_sentence(text, words):
    with pytest.raises(es.EvidenceError) as caught:
        es.parsed(text, "X")
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_command_that_prints_nothing_is_told_by_its_last_sentence():
    with pytest.raises(es.EvidenceError, match="thecal-sim run nonesuch --json: status 2, thecal-sim: no scenario is called 'nonesuch'"):
        es.child(("run", "nonesuch", "--json"))


def test_of_what_was_left_the_newest_counts(tmp_path):
    old, new = left(tmp_path / "a", RUN, bench("link")), left(tmp_path / "b" / "c", {**RUN, "seed": 2})
    os.utime(old / "piece0.json", (1e9, 1e9))
    (tmp_path / "b" / "not.json").write_text("{")
    (tmp_path / "b" / "bytes.json").write_bytes(b"\xff")
    found = es.existing([tmp_path, tmp_path / "b"])
    assert set(found) == {"run stall inprocess", "bench link"} and found["run stall inprocess"][0] == new / "piece0.json"
    assert es.existing([]) == {}


@pytest.mark.req("TH-EVID-02")
def test_what_is_of_a_part_or_another_firmware_is_known_and_comes_second(tmp_path):
    part = {**LEDGER, "repeat": "thecal-sim faults --seed 1 --only mri@ --lacks tone"}
    assert es.narrowed(part) == ["--lacks", "--only"] and es.narrowed({**RUN, "repeat": "thecal-sim run stall --firmware=x"}) == ["--firmware"] and es.narrowed(RUN) == []
    folder = left(tmp_path, part, LEDGER, part)
    for number, name in enumerate(("piece0.json", "piece1.json", "piece2.json")):
        os.utime(folder / name, (1e9 + number, 1e9 + number))
    assert es.existing([folder])["ledger"][0].name == "piece1.json"
    (folder / "piece1.json").unlink()
    assert es.existing([folder])["ledger"][0].name == "piece2.json"


def test_a_junit_file_is_counted(tmp_path):
    found = es.junit(junit(tmp_path / "j.xml", failed=2))
    assert found == {"tests": 6, "passed": 3, "failed": ["t::f0", "t::f1"], "skipped": [{"name": "t::s", "why": "no node"}],
                     "time_s": 1.5, "sources": None}
    assert es.junit(junit(tmp_path / "k.xml", sources="a" * 64))["sources"] == "a" * 64
    for text in ("", "<a/>", "<testsuites/>"):
        (tmp_path / "j.xml").write_text(text)
        with pytest.raises(es.EvidenceError, match="j.xml is no JUnit file"):
            es.junit(tmp_path / "j.xml")


@pytest.mark.slow
def test_tests_are_run_and_one_that_cannot_be_is_told(tmp_path):
    (tmp_path / "test_mine.py").write_text("def test_a(): pass\ndef test_b(): assert 0\n")
    said = []
    es.run_tests([str(tmp_path / "test_mine.py"), "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", os.devnull], tmp_path / "j.xml", said.append)
    assert es.junit(tmp_path / "j.xml")["failed"] == ["test_mine::test_b"] and said[0].startswith("pytest ")
    with pytest.raises(es.EvidenceError, match="pytest --nonesuch: status 4, .*nonesuch"):
        es.run_tests(["--nonesuch"], tmp_path / "none.xml", said.append)
