"""One row over several seeds: shares, median and worst, and what chance may do to a row and what it may not."""

import pytest

from thecal.hw_sim.faults import load
from thecal.hw_sim.ledger import Bench, not_applicable, run_rows
from thecal.hw_sim.ledger_expect import ExpectError
from thecal.hw_sim.ledger_seeds import SCHEMA, by_chance, over_seeds, read, share, together, write
from thecal.hw_sim.scenario import units

ROWS = {row.id: row for row in load(units)}


def line(delay_s=100.0, *why, error_nl=-10.0, over_nl=5.0):
    return {"id": "a@c05", "ok": not why, "why": list(why), "fired": True, "detected": delay_s is not None, "detect_s": delay_s,
            "dose_error_nl": error_nl, "over_nl": over_nl}


@pytest.mark.req("TH-RULE-12")
def test_the_figures_of_all_seeds_stand_beside_the_firsts():
    found = together([line(100.0), line(300.0, error_nl=-50.0), line(200.0, over_nl=9.0), line(None, "nothing noticed it")], 7)
    assert found["ok"] and found["why"] == [] and found["detect_s"] == 100.0
    assert found["seeds"] == {"count": 4, "ok": 3, "noticed": 3, "median_s": 200.0, "worst_s": 300.0, "worst_error_nl": -50.0, "worst_over_nl": 9.0,
                              "missed": [{"seed": 10, "why": ["nothing noticed it"]}]}


@pytest.mark.parametrize("whys, ok", [
    ([(), ("nothing noticed it",)], True), ([("noticed after 9 s, the bound is 5 s",), ("7 nL too much, 5 are allowed",), ()], False),
    ([(), (), ("it never fired",)], False), ([(), (), ("the firmware failed: x",)], False), ([(), (), ("the books: demanded",)], False),
    ([(), ("in the end stopped, declared program",)], True)])
def test_half_of_the_seeds_may_miss_by_chance_and_none_by_anything_else(whys, ok):
    found = together([line(1.0, *why) for why in whys], 1)
    assert found["ok"] is ok and bool(found["why"]) is not ok
    assert len(found["seeds"]["missed"]) == sum(bool(why) for why in whys)
    if not ok:
        assert all(text.startswith("seed ") for text in found["why"])


def test_a_row_that_no_seed_noticed_has_no_delay_and_one_that_does_not_apply_no_seeds():
    found = together([line(None), line(None)], 1)
    assert found["seeds"]["median_s"] is found["seeds"]["worst_s"] is None and found["seeds"]["noticed"] == 0
    away = not_applicable(ROWS["theft@c01"], ["level"])
    assert together([away, away], 1) == away


@pytest.mark.parametrize("why, chance", [("nothing noticed it", True), ("9 nL too much, 5 are allowed", True), ("it never fired", False)])
def test_what_may_be_chance(why, chance):
    assert by_chance(why) is chance


def test_two_seeds_of_a_row_are_two_runs_of_it(tmp_path):
    row, told = ROWS["level-offset@c2"], []
    bench = Bench(runtime="inprocess", seed=3)
    found, = over_seeds([row], bench, 2, jobs=1, told=lambda done, total, name: told.append((done, total, name)), keep_dir=tmp_path)
    single, = run_rows([row], Bench(runtime="inprocess", seed=4), jobs=1)
    assert found["seeds"]["count"] == 2 and found["seeds"]["worst_s"] == max(found["detect_s"], single["detect_s"])
    assert told[0][1] == 4 and told[-1][0] == 4 and told[-1][2].startswith("seed 4: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed-3", "seed-4"]


def test_what_rows_came_to_is_kept_and_others_stay(tmp_path):
    path = tmp_path / "seeds.json"
    first, second = together([line(1.0), line(3.0)], 1), {**together([line(1.0), line(None, "nothing noticed it")], 1), "id": "b@c05"}
    write([first, not_applicable(ROWS["theft@c01"], ["level"])], path)
    write([second], path)
    assert read(path) == {"a@c05": {"count": 2, "ok": 2, "noticed": 2, "median_s": 2.0, "worst_s": 3.0},
                          "b@c05": {"count": 2, "ok": 1, "noticed": 1, "median_s": 1.0, "worst_s": 1.0}}
    assert [share(row) for row in read(path).values()] == ["2 of 2", "1 of 2"]


@pytest.mark.parametrize("text, said", [("{", "is not JSON"), ('{"schema": "x", "rows": {}}', "must be of schema"),
                                        ('{"schema": "%s", "rows": {"a": {}}}' % SCHEMA, "with rows of count")])
def test_a_bad_file_of_shares_is_refused(tmp_path, text, said):
    path = tmp_path / "seeds.json"
    path.write_text(text)
    with pytest.raises(ExpectError, match=said):
        read(path)
    with pytest.raises(ExpectError, match="cannot be read"):
        read(tmp_path / "none.json")


def test_what_is_committed_is_of_declared_rows_and_none_misses_more_than_half():
    found = read()
    assert {*found} <= {*ROWS} and len(found) >= len(ROWS) - 10
    assert all(row["count"] >= 8 and 2 * row["ok"] >= row["count"] for row in found.values())
