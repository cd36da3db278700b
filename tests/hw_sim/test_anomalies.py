"""The list of known anomalies: ours is whole and honest about its requirements, and a bad one is refused in one sentence."""

import pytest

from thecal.hw_sim import anomalies, requirements

ROW = {"id": "AN-01", "what": "It is so.", "why": "Because.", "effect": "None.", "since": "0.1.0", "requirement": ["TH-ALM-11"]}


def written(path, rows, head='schema = "thecal.anomalies/1"'):
    text = head + "\n"
    for row in rows:
        text += "[[anomaly]]\n" + "".join("%s = %s\n" % (key, repr(value).replace("'", '"')) for key, value in row.items())
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.req("TH-EVID-03")
def test_ours_is_whole():
    rows = anomalies.load(requirements.load())
    assert len(rows) >= 11 and [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    said = " ".join(row["what"] + row["why"] + row["effect"] for row in rows)
    for words in ("row 11", "row 13", "step_pct", "protocol 2", "sudden loss", "0.1 mL/day", "No real board", "wasted_mj", "double fault"):
        assert words in said, words


@pytest.mark.req("TH-EVID-03")
@pytest.mark.parametrize(("change", "words"), [
    ({"id": "A1"}, "an id is AN-nn, not 'A1'"), ({"what": "no stop"}, "what is not a sentence"), ({"since": "issue 4"}, "since is a version"),
    ({"requirement": []}, "requirement is no list of ids"), ({"requirement": ["TH-NONE-01"]}, "'TH-NONE-01' is no requirement"), ({"more": 1}, "key 'more' is none of"),
])
def test_a_bad_row_is_one_sentence(tmp_path, change, words):
    path = written(tmp_path / "a.toml", [{**ROW, **change}])
    with pytest.raises(anomalies.AnomaliesError) as caught:
        anomalies.load(requirements.load(), path)
    assert str(caught.value).startswith("a.toml: anomaly 1") and words in str(caught.value)


def test_a_bad_file_is_one_sentence(tmp_path):
    ids = requirements.load()
    with pytest.raises(anomalies.AnomaliesError, match="id AN-01 stands twice"):
        anomalies.load(ids, written(tmp_path / "a.toml", [ROW, ROW]))
    with pytest.raises(anomalies.AnomaliesError, match=r"has no 'effect'"):
        anomalies.load(ids, written(tmp_path / "a.toml", [{key: value for key, value in ROW.items() if key != "effect"}]))
    with pytest.raises(anomalies.AnomaliesError, match="it must have schema"):
        anomalies.load(ids, written(tmp_path / "a.toml", [ROW], head=""))
    with pytest.raises(anomalies.AnomaliesError, match="a.toml is not TOML"):
        anomalies.load(ids, written(tmp_path / "a.toml", [], head="="))
    assert anomalies.load(ids, written(tmp_path / "a.toml", [ROW])) == [ROW]
