"""The committed expectation: kept, read, and what differs from it said."""

import pytest

from thecal.hw_sim.faults import load
from thecal.hw_sim.ledger_expect import ExpectError, differences, read, write
from thecal.hw_sim.scenario import units

ROW = {"id": "a@c05", "fired": True, "detected": True, "by": "alarm 7", "detect_s": 1000.0, "dose_error_nl": -1200.0,
       "over_nl": 0.0, "final_error_nl": -84_000.0, "raised": ["alarm 7"], "final_state": "program", "ok": True}
BLIND = {**ROW, "id": "b@c05", "detected": False, "by": None, "detect_s": None}


def test_what_is_written_is_read_and_agrees(tmp_path):
    path = tmp_path / "expected.json"
    write([ROW, BLIND, {**ROW, "id": "lacks@c05", "ok": None}], path)
    assert set(read(path)) == {"a@c05", "b@c05"}
    assert differences([ROW, BLIND], read(path), whole=True) == []


@pytest.mark.parametrize("change, said", [
    ({"by": "alarm 10"}, "a@c05: by is alarm 10, expected alarm 7"), ({"ok": False}, "a@c05: ok is False, expected True"),
    ({"detect_s": 2801.0}, "a@c05: noticed after 2801 s, expected 1000 within 1800"), ({"id": "c@c05"}, "c@c05 is new: nothing is expected of it"),
    ({"over_nl": 2001.0}, "a@c05: over_nl is 2001, expected 0 within 2000"),
    ({"dose_error_nl": -9e9}, "a@c05: dose_error_nl is -9000000000, expected -1200 within 2000"),
    ({"final_error_nl": -93_000.0}, "a@c05: final_error_nl is -93000, expected -84000 within 8400"),
    ({"raised": ["alarm 7", "alarm 19"]}, "a@c05: raised is ['alarm 7', 'alarm 19'], expected ['alarm 7']"),
])
def test_what_differs_is_said(change, said, tmp_path):
    path = tmp_path / "expected.json"
    write([ROW], path)
    assert differences([{**ROW, **change}], read(path), whole=False) == [said]


def test_a_small_shift_is_none_and_a_row_that_is_gone_is_one(tmp_path):
    path = tmp_path / "expected.json"
    write([ROW, BLIND], path)
    assert differences([{**ROW, "detect_s": 2700.0, "over_nl": 1900.0, "final_error_nl": -76_000.0}], read(path), whole=False) == []
    assert differences([ROW], read(path), whole=True) == ["b@c05 is expected and did not run"]


@pytest.mark.parametrize("text, said", [("{", "is not JSON"), ("[]", "schema is None"), ('{"schema": "x"}', "schema is 'x'"),
                                        ('{"schema": "thecal.ledger-expected/1", "rows": {"a": {}}}', "row a must hold")])
def test_a_bad_file_is_refused(text, said, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ExpectError, match=said):
        read(path)
    with pytest.raises(ExpectError, match="cannot be read"):
        read(tmp_path / "none.json")


def test_the_committed_expectation_is_of_these_rows_and_all_are_ok():
    expected = read()
    assert set(expected) == {row.id for row in load(units)}
    assert [name for name, entry in expected.items() if not (entry["ok"] and entry["fired"])] == []
