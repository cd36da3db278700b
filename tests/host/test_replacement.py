"""A pump is replaced: the old one gives its records away, the new one takes them over on the old, drug-filled catheter."""

import json

import pytest
from real_pump import RealPump

from thecal.host import Fill, ImplantRecord, Prescription, TrialRecord, replacement
from thecal.host.errors import RequestInvalid
from thecal.host.programmer import Programmer

PROGRAM = Prescription.simple("baclofen", concentration="500 ug/mL", dose="400 ug/day", editor="Dr X")
FILL = Fill("18.6 mL", "baclofen", "500 ug/mL")


@pytest.fixture
def old(bedside):
    bedside.record_implant(ImplantRecord("AB", "spasticity", bedside.status().time_s, "T10", True, "conditional"))
    bedside.record_trial(TrialRecord.of("baclofen", "50 ug/mL", [{"dose": "75 ug", "response": "yes", "effect": "6 h"}], True))
    bedside.program(Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day"))
    bedside.wait(days=30)
    bedside.program(PROGRAM, override="dose reached before")
    bedside.wait(days=2)
    return bedside


def through(script):
    told = {}
    return script.run(lambda number, step: True, lambda number, said: told.update({number: said})), told


def test_from_one_pump_to_the_next(old, real, tmp_path):
    keep = tmp_path / "old.json"
    done, told = through(replacement.take_out(old, keep, real.withdraw()))
    assert done["ok"] and old.status().mode == "stopped" and "aspirated" in told[4] and "--old %s" % keep in done["steps"][4]["words"]
    assert [event.text for event in old.log() if event.name == "stopped"] == ["replacement"]
    carried = replacement.read_old(keep)
    new_port = RealPump()
    new_port.inject(18_600)
    new = Programmer(new_port)
    done, told = through(replacement.put_in(new, carried, 2002, FILL))
    assert done["ok"], done["why"]
    status = new.status()
    assert (status.mode, status.rate_nl_day, status.catheter_filled, new.identity().serial) == ("running", 800_000, True, 2002)
    assert new.program_running().dose_text() == "baclofen 400 ug/day" and new.program_running().editor == "Dr X"
    assert new.implant_record().patient == "AB" and new.implant_record().implanted_s == new_port.bench.rtc_s - 40 * 60 and new.trial_record() == old.trial_record()
    assert new.program_running().guard.why == "none", "the dose goes on: no start, no step, nothing to override"
    assert [event.text for event in new.log() if event.name == "prime started"] == ["0.199 mL at 24 mL/day"], "the tubing only"
    with pytest.raises(RequestInvalid, match="drug-filled"):
        new.prime("catheter")


def test_the_old_catheter_holds_the_old_drug(old, tmp_path):
    through(replacement.take_out(old, tmp_path / "old.json"))
    carried = replacement.read_old(tmp_path / "old.json")
    with pytest.raises(RequestInvalid, match="the old catheter holds baclofen 500 ug/mL, the fill is baclofen 2000 ug/mL: fill the same now"):
        replacement.put_in(Programmer(RealPump()), carried, 2002, Fill("18.6 mL", "baclofen", "2000 ug/mL"))


def test_not_while_a_bridge_runs(pump, fake, tmp_path):
    fake.status_fields["bridge_left_nl"] = 1000
    with pytest.raises(RequestInvalid, match="a bridge is under way: replace the pump when it has ended"):
        replacement.take_out(pump, tmp_path / "old.json")


def test_records_that_are_none(pump, tmp_path):
    path = tmp_path / "old.json"
    for text, words in (("{", "is no record of a pump to be replaced"), ("{}", "schema None, not 'thecal.replacement/1'"), ("[]", "is no record"),
                        (json.dumps({"schema": replacement.SCHEMA}), "is no record of a pump to be replaced: 'commission'"),
                        (json.dumps({"schema": replacement.SCHEMA, **dict.fromkeys(("commission", "program", "implant", "trial", "fill"), "")}), "the old pump had no program"),
                        (json.dumps({"schema": replacement.SCHEMA, **dict.fromkeys(("commission", "program", "implant", "trial", "fill"), "zz")}), "is no record")):
        path.write_text(text)
        with pytest.raises(RequestInvalid, match=words):
            replacement.read_old(path)
    with pytest.raises(RequestInvalid, match="cannot be read: No such file"):
        replacement.read_old(tmp_path / "none.json")
    with pytest.raises(RequestInvalid, match="cannot be written: No such file"):
        through(replacement.take_out(pump, tmp_path / "no folder" / "old.json"))
