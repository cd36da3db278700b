"""Small pieces of evidence as our commands print them, for the tests of the evidence folder."""

import json

RUN = {"schema": "thecal.run/1", "verdict": "pass", "trace_hash": "0" * 32, "runtime": "inprocess", "seed": 1, "scenario": "stall", "virtual_s": 86400.0,
       "pulses": 200, "expectations": [{"name": "no alarm", "ok": True}, {"name": "a <b>", "ok": None}]}
LEDGER = {"schema": "thecal.ledger/1", "rows": [
    {"id": "stall-basal", "hazard": "rotor stall", "fault": "rotor_stall", "requirement": ["TH-ALM-07"], "therapy": "basal", "declared": "within 1800 s by alarm 7",
     "fired": True, "detected": True, "by": "alarm 7", "detect_s": 1790.5, "bound_s": 1800, "dose_error_nl": -12.5, "final_state": "fallback", "ok": True},
    {"id": "leak-basal", "hazard": "leak", "declared": "undetectable: no sensor behind the head", "fired": True, "detected": False, "ok": True},
    {"id": "n/a", "hazard": "tone", "declared": "within 1 s", "fired": None, "detected": None, "ok": None}]}
PHYSICS = {"schema": "thecal.physics/1", "rows": [
    {"name": "Poiseuille", "value": 1.001, "reference": 1.0, "tolerance": 0.01, "unit": "kPa s/uL", "source": "closed form", "ok": True}]}


def bench(name, ok=True):
    return {"schema": "thecal.bench/1", "bench": name, "bars": [{"name": "speed of " + name, "value": 3.0, "unit": "s", "bar": 10, "ok": ok}]}


def left(folder, *pieces):
    """Write them as earlier runs leave theirs: one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, piece in enumerate(pieces):
        (folder / ("piece%d.json" % number)).write_text(json.dumps(piece), encoding="utf-8")
    return folder


def junit(path, failed=0, passed=3, skipped=1, sources=None):
    cases = '<testcase classname="t" name="p"/>' * passed + '<testcase classname="t" name="s"><skipped message="no node"/></testcase>' * skipped
    named = '<properties><property name="thecal.sources" value="%s"/></properties>' % sources if sources else ""
    cases += "".join('<testcase classname="t" name="f%d"><failure>no</failure></testcase>' % number for number in range(failed))
    path.write_text('<testsuites><testsuite name="pytest" time="1.5">%s%s</testsuite></testsuites>' % (named, cases), encoding="utf-8")
    return path
