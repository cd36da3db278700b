"""A signed report is held against itself, the pump's record and the program that runs; what cannot be read is refused in one sentence."""

import json

import pytest

from thecal.host import Fill, FollowUp, Implant, Prescription, followup, report, units, verify
from thecal.host.errors import RequestInvalid
from thecal.host.programmer import Programmer
from thecal.protocol import catalogue as cat


def program(dose):
    return Prescription.simple("baclofen", concentration="500 ug/mL", dose=dose, editor="Dr X")


@pytest.fixture
def pump(real):
    made = Programmer(real)
    made.commission(Implant())
    real.inject(18_600)
    made.refill(Fill("18.6 mL", "baclofen", "500 ug/mL"))
    made.prime("both")
    made.wait(minutes=30)
    return made


@pytest.fixture
def signed(pump):
    """A visit that programmed 150 ug/day, signed, as it is filed."""
    visit = FollowUp(pump, "Dr X", {"pain 0-10": "4", "remark": "Ärger"})
    visit.plan(program=program("150 ug/day"))
    visit.carry_out()
    return visit.sign()


@pytest.fixture
def saved(tmp_path):
    """`saved(data)`: read back from a file."""
    def save(data, **layout):
        path = tmp_path / "report.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data, **layout), encoding="utf-8")
        return verify.read(path)
    return save


def told(checks):
    return {check.name: check.ok for check in checks}


@pytest.mark.req("TH-LIFE-20")
def test_what_was_signed_is_found_whole_and_on_the_pumps_record(pump, signed, saved):
    for layout in ({}, {"indent": 3, "sort_keys": True, "ensure_ascii": False}):
        found = saved(signed, **layout)
        assert told(verify.contents(found)) == {"contents": True, "program named": True}
    checks = verify.against(found, pump)
    assert told(checks) == {"pump": True, "on record": True, "running program": True}
    event = [event for event in pump.log() if event.code == cat.E_VISIT][-1]
    assert checks[1].told.endswith("event %d of the pump's log" % event.seq) and (event.a, event.b) == verify.marks(signed["digest"])
    assert verify.to_dict(found, checks, True)["ok"] and verify.to_dict(found, checks, True)["schema"] == "thecal.verify/1"


@pytest.mark.slow
@pytest.mark.req("TH-LIFE-20")
def test_every_change_of_a_value_is_seen(signed, saved):
    """Each leaf of the report in turn, the signature's two among them."""
    def leaves(node, way=()):
        if isinstance(node, (dict, list)):
            for key, part in node.items() if isinstance(node, dict) else enumerate(node):
                yield from leaves(part, (*way, key))
        else:
            yield way, node
    count = 0
    for way, value in leaves(signed):
        if way in (("schema",), ("after", "identity", "serial"), ("after", "status", "time"), ("after", "status", "time_s")):
            continue        # without these it is no report any more, or their type is looked at first
        changed = json.loads(json.dumps(signed))
        node = changed
        for key in way[:-1]:
            node = node[key]
        node[way[-1]] = "%016x" % (int(value, 16) ^ 1) if way in (("digest",), ("program_digest",)) else [value]
        assert False in told(verify.contents(saved(changed))).values(), way
        count += 1
    assert count > 300


@pytest.mark.req("TH-LIFE-20")
def test_a_forger_who_reckons_the_digest_anew_is_not_on_the_pumps_record(pump, signed, saved):
    forged = {**signed, "editor": "Dr Y"}
    forged["digest"] = followup.digest_of(forged).hex()
    found = saved(forged)
    assert told(verify.contents(found)) == {"contents": True, "program named": True}
    check = verify.against(found, pump)[1]
    assert (check.name, check.ok) == ("on record", False) and check.told == "NOT THERE: none of the 1 visits in the pump's log was signed with %s" % forged["digest"]


@pytest.mark.req("TH-LIFE-20")
def test_a_pump_that_was_programmed_since_is_told_with_both_digests(pump, signed, saved):
    pump.wait(days=2)
    pump.program(program("165 ug/day"), confirm=True)
    checks = verify.against(saved(signed), pump)
    assert told(checks) == {"pump": True, "on record": True, "running program": False}
    told_s = [event for event in pump.log() if event.code == cat.E_PROGRAM][-1].time_s
    assert checks[2].told == "CHANGED: the pump runs %s, since %s; the report is for %s" % (
        pump.status().running_digest, units.pump_time_text(told_s), signed["program_digest"])
    assert not verify.to_dict(saved(signed), checks, True)["ok"]


@pytest.mark.req("TH-LIFE-20")
def test_another_pump_is_asked_nothing_more(pump, signed, saved):
    signed["after"]["identity"]["serial"] = 7
    checks = verify.against(saved(signed), pump)
    assert [check.ok for check in checks] == [False] and checks[0].told == "ANOTHER PUMP: the report is of pump 7, this is pump %d" % pump.identity().serial


def test_a_visit_older_than_the_pumps_log_is_not_known_and_that_is_no_yes(pump, signed, saved, monkeypatch):
    found, events = saved(signed), pump.log()
    later = [event for event in events if event.code != cat.E_VISIT]
    later = [type(event)(event.seq + 5000, event.time_s + 10**6, event.code, event.cause, event.a, event.b) for event in later]
    monkeypatch.setattr(pump, "log", lambda progress=None: later)
    checks = verify.against(found, pump)
    assert checks[1].ok is None and checks[1].told.startswith("NOT KNOWN: the pump's log begins at ") and not verify.to_dict(found, checks, True)["ok"]


def test_an_unsigned_report_can_be_held_against_its_pump_only(pump, signed, saved):
    found = saved(report.collect(pump))
    assert found.digest is None and told(verify.against(found, pump)) == {"pump": True, "running program": True}
    with pytest.raises(RequestInvalid, match="carries no signature of its own .* give --port URL"):
        verify.contents(found)


@pytest.mark.parametrize(("text", "words"), [
    ("{", "cannot be read as a report: Expecting"), ("[]", "its schema is None"), ("[" * 100_000, "cannot be read as a report"),
    ('{"schema": "thecal.visit/1", "schema": "thecal.visit/1"}', "the key 'schema' stands twice"), ('{"schema": "thecal.run/1"}', "its schema is 'thecal.run/1', not"),
    ('{"schema": "thecal.visit/1"}', "'after' is missing"), ('{"schema": "thecal.visit/1", "after": 3}', "'after' is no dict"),
    ('{"schema": "thecal.report/1", "status": {}, "identity": {"serial": true}}', "'serial' is no int"),
    ('{"schema": "thecal.report/1", "status": {"time": "t", "time_s": 1, "running_digest": "xyz"}, "identity": {"serial": 1}}', "running_digest is 'xyz', which is not a digest of 16"),
])
def test_what_is_no_report_is_one_sentence(saved, text, words):
    with pytest.raises(RequestInvalid) as caught:
        saved(text)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(RequestInvalid, match="No such file"):
        verify.read(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RequestInvalid, match="cannot be read as a report"):
        verify.read(tmp_path / "bytes.json")
