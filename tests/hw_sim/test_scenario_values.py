"""Keys and values of scenario files: each kind has a reader, each plain kind says what it wants."""

import pytest

from thecal.host import units
from thecal.hw_sim.scenario_values import BOLUS_KEYS, EXPECT, IMPLANT, KINDS, ORACLE, PATIENT, PLAIN, TOP, ScenarioError, quantity, read_table

READERS = {"dose", "rate", "concentration", "volume", "flow", "length", "duration", "moment", "shift", "bolus", "doses", "temperature", "pressure",
           "field", "span"}


def test_every_kind_is_read_by_a_known_reader():
    """A spelling mistake in the tables of keys would surface only when a file uses the key."""
    for where, keys in {**KINDS, "bolus": BOLUS_KEYS, "top": TOP, "implant": IMPLANT, "patient": PATIENT, "oracle": ORACLE, "expect": EXPECT}.items():
        for key, reader in keys.items():
            assert reader.rstrip("!") in READERS | set(PLAIN), (where, key)


def test_what_only_fate_does_cannot_be_refused():
    fate = {kind for kind, keys in KINDS.items() if "refused" not in keys}
    assert fate == {"trial", "visit", "aspirate", "oral", "fault", "heal", "scan", "power_cut", "clock_jump", "reed_held",
                    "port_injection", "torn_write", "store_flip", "store_dead", "ram_flip", "attack"}


@pytest.mark.parametrize(("kind", "good", "bad", "wanted"), [
    ("switch", True, 1, "true or false"), ("day", 0, -1, "a whole number between 0 and 3660"), ("score", 10, 11, "a whole number between 0 and 10"),
    ("part", "tubing", "pump", "one of tubing, catheter, both"), ("state", "empty", "dry", "one of empty, filled"), ("action", "stop", "more", "one of fallback, stop"),
    ("mode", "periodic", "burst", "one of simple, flex, periodic, minimum"), ("times", ["06:00"], "06:00", "a list of times of day"),
    ("rules", ["duplicate"], "duplicate", "a list of rules of an attacker such as"), ("rules", ["drop"], ["steal"], "a list of rules of an attacker .rule 'steal'"),
    ("phase", "stage", "commit", "one of session, stage"), ("record", "copy", "stack", "one of commissioning, program, copy"),
    ("outcome", "granted", "given", "one of granted, refused"), ("mixture", {"morphine": "1 mg/mL"}, {}, "a table of drugs")])
def test_plain_kinds(kind, good, bad, wanted):
    assert quantity("here", "key", kind, good, units) == good
    with pytest.raises(ScenarioError, match=r"^here: key is .*, it must be " + wanted):
        quantity("here", "key", kind, bad, units)


def test_quantities_are_read_with_their_units():
    assert quantity("here", "dose", "dose", "50 ug", units) == 50_000
    assert quantity("here", "shift", "shift", "-6 h", units) == -6 * 3600
    with pytest.raises(ScenarioError, match="here: dose is 50, it must be text with a unit such as '50 ug'"):
        quantity("here", "dose", "dose", 50, units)
    with pytest.raises(ScenarioError, match="here: dose '50' has no unit"):
        quantity("here", "dose", "dose", "50", units)


def test_a_patient_bolus_and_doses_are_tables_of_their_own():
    read = quantity("here", "bolus", "bolus", {"dose": "0.2 mg", "over": "10 min", "lockout": "3 h", "per_day": 4, "released": True}, units)
    assert read == {"dose": 200_000, "over": 600, "lockout": 10_800, "per_day": 4, "released": True}
    assert quantity("here", "also", "doses", {"bupivacaine": "6 mg/day"}, units) == {"bupivacaine": 6_000_000}
    with pytest.raises(ScenarioError, match="here: bolus: key 'dose' is missing"):
        quantity("here", "bolus", "bolus", {"over": "10 min"}, units)
    with pytest.raises(ScenarioError, match="it must be a table of drugs"):
        quantity("here", "also", "doses", "6 mg/day", units)


@pytest.mark.parametrize(("kind", "text", "value"), [
    ("temperature", "39.2 C", 39.2), ("pressure", "75.6 kPa", 75.6), ("pressure", "750 hPa", 75.0), ("field", "1.5 T", 1.5), ("field", "3 mT", 0.003)])
def test_physical_quantities_carry_their_unit(kind, text, value):
    assert quantity("here", "key", kind, text, units) == pytest.approx(value)
    for bad in (39, "39", "39 F", "C", "nan C", "39 C C", ""):
        with pytest.raises(ScenarioError, match="here: key is .*, it must be a number and its unit"):
            quantity("here", "key", kind, bad, units)


def test_a_span_is_two_durations():
    assert quantity("here", "for", "span", ["5 min", "3 h"], units) == (300, 10_800)
    for bad, said in (("5 min", "shortest and the longest"), (["3 h", "5 min"], "no longer than"), (["0 s", "1 h"], "above 0"), (["1 h"], "shortest and")):
        with pytest.raises(ScenarioError, match=said):
            quantity("here", "for", "span", bad, units)


def test_a_table_is_checked_key_by_key():
    assert read_table({"drug": "x"}, {"drug": "text!", "value": "number"}, "here", units) == {"drug": "x"}
    with pytest.raises(ScenarioError, match="here is 5, it must be a table"):
        read_table(5, {}, "here", units)
