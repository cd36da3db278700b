"""The ledger's page: verdict, what failed, both figures, every row, nothing unescaped."""

from thecal.hw_sim.ledger_page import html, summary

ROW = {"id": "a@c05", "hazard": "a <b>stall</b>", "fault": "rotor_stall", "requirement": ["TH-ALM-07"], "therapy": "0.5 mL/day", "kind": "mechanical",
       "declared": "by alarm 7 within 30 min", "fired": True, "fired_s": 1.0, "detected": True, "by": "alarm 7", "detect_s": 518.9, "bound_s": 1800,
       "dose_error_nl": -2182.3, "over_nl": 0.0, "allowed_over_nl": 2000.0, "final_error_nl": -500_000.0, "final_state": "program", "alarms": [7],
       "ok": True, "why": []}
BLIND = {**ROW, "id": "b@c05", "declared": "undetectable: no sensor is there", "detected": False, "by": None, "detect_s": None, "bound_s": None,
         "over_nl": 2500.0}
LATE = {**ROW, "id": "c@c05", "detect_s": 9999.0, "ok": False, "why": ["noticed after 9999 s"]}
AWAY = {**ROW, "id": "d@c05", **dict.fromkeys(("fired", "detected", "by", "detect_s", "dose_error_nl", "over_nl", "allowed_over_nl", "final_error_nl",
                                                "final_state", "ok")), "why": ["n/a: lacks level"]}


def found(*rows, differences=()):
    return {"ok": all(row["ok"] is not False for row in rows), "runtime": "micropython", "seed": 1, "rows": list(rows),
            "differences": list(differences), "repeat": "thecal-sim faults --seed 1", "wall_s": 1.0}


def test_the_sentence():
    assert summary(found(ROW, BLIND, LATE, AWAY)) == "2 of 3 rows ok: 3 fired, 2 noticed, 1 declared undetectable, 1 n/a"


def test_the_page():
    text = html(found(ROW, BLIND, LATE, AWAY, differences=["a@c05: by is x"]))
    for part in ("FAIL", "Not as expected", "noticed after 9999 s", "undetectable: no sensor is there", "figure-delays", "figure-errors",
                 "a &lt;b&gt;stall&lt;/b&gt;", "n/a: lacks level", "thecal-sim faults --seed 1", "Not a medical device"):
        assert part in text, part
    assert "<b>stall" not in text.replace("\\u003c", "")


def test_a_page_of_rows_that_do_not_apply_needs_no_figure():
    text = html(found(AWAY))
    assert "PASS" in text and "figure-delays" not in text


def test_seeds_have_a_table_of_their_own():
    seeds = {"count": 8, "ok": 7, "noticed": 7, "median_s": 500.0, "worst_s": 700.0, "worst_error_nl": -2000.0, "worst_over_nl": 10.0,
             "missed": [{"seed": 3, "why": ["nothing <i>noticed</i> it"]}]}
    text = html({**found({**ROW, "seeds": seeds}, AWAY), "seeds": 8})
    assert "Over 8 seeds" in text and "7/8" in text and "seed 3: nothing &lt;i&gt;noticed" in text
    assert "Over 8 seeds" not in html(found(ROW)) and "7 of 8" in html(found({**ROW, "over_seeds": "7 of 8"}))
