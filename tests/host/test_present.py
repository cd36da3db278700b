"""Side by side: what a clinician sees before signing."""

import pytest
from fake_pump import FakePump

from thecal.host import present
from thecal.host.alarms import TABLE
from thecal.host.fill import Fill
from thecal.host.implant import Implant
from thecal.host.prescription import Bridge, Prescription
from thecal.host.records import Identity, Status

OLD = Prescription.simple("baclofen", concentration="500 ug/mL", dose="400 ug/day")
NEW = Prescription.simple("baclofen", concentration="2000 ug/mL", dose="440 ug/day")
EMERGENCY = TABLE[17]
FLEX = Prescription.flex("baclofen", concentration="2000 ug/mL", weekdays={"sat": [{"from": "00:00", "dose": "minimum"}]}, steps=[
    {"from": "00:00", "dose": "20 ug/h"}, {"from": "06:00", "dose": "13.75 ug/h"}])


def status(**fields):
    return Status.of({**FakePump().status(), **fields})


def cells(rows):
    return {name: (left, right) for name, left, right in rows}


@pytest.mark.req("TH-LIFE-12")
@pytest.mark.parametrize("mode, program, words", [
    (2, OLD, "delivering 400 ug/day baclofen (0.8 mL/day now), simple continuous"),
    (2, FLEX, "flex"),
    (2, None, "of an unknown program"),
    (0, None, "on the shelf"),
    (1, None, "idle"),
    (3, OLD, "STOPPED by order"),
    (4, OLD, "priming, 0.1 mL left"),
    (5, OLD, "bridging: 0.1 mL of the old drug left at 0.8 mL/day"),
    (6, OLD, "patient bolus on top of the program, 0.1 mL left (0.8 mL/day now)"),
    (7, OLD, "PAUSED until 2024-01-01 01:00:00, then the program again"),
])
def test_the_state_in_words(mode, program, words):
    assert words in present.state_text(status(mode=mode, rate_nl_day=800_000, extra=4, extra_left_nl=100_000, paused_until_s=3600), program)


def test_a_pump_that_gives_nothing_is_not_said_to_deliver():
    assert present.state_text(status(mode=2, alarms=1 << 7), OLD) == "delivers NOTHING: reservoir empty (stopped)"


@pytest.mark.req("TH-PROG-06")
def test_a_program_side_by_side_shows_each_drugs_derived_dose():
    rows = cells(present.program_rows(OLD, NEW))
    assert rows["baclofen in the pump"] == ("500 ug/mL", "2000 ug/mL")
    assert rows["baclofen a day"] == ("400 ug/day", "440 ug/day (+10 %)")
    assert rows["volume a day"] == ("0.8 mL", "0.22 mL")
    assert rows["fallback rate"] == ("0.4 mL/day = 200 ug/day baclofen", "0.11 mL/day = 220 ug/day baclofen")
    assert rows["safe state"] == ("minimum rate", "minimum rate")


def test_a_first_program_and_another_drug():
    first = cells(present.program_rows(None, OLD))
    assert first["baclofen a day"] == ("-", "400 ug/day") and first["mode"] == ("-", "simple continuous")
    strong = Prescription.simple("morphine", concentration="20 mg/mL", dose="1 mg/day")
    change = cells(present.program_rows(OLD, strong))
    assert change["baclofen a day"] == ("400 ug/day", "-") and change["morphine a day"] == ("-", "1 mg/day")
    assert change["fallback rate"][1] == "0 (stop)" and change["safe state"][1].startswith("stop:")


def test_the_week_in_words():
    assert present.schedule_lines(OLD) == ["every day: 00:00 0.8 mL/day (400 ug/day)"]
    assert present.schedule_lines(FLEX) == [
        "mon+tue+wed+thu+fri+sun: 00:00 0.24 mL/day (480 ug/day), 06:00 0.165 mL/day (330 ug/day)", "sat: 00:00 0.006 mL/day (12 ug/day)"]


def test_a_patient_bolus_a_bridge_and_the_caps_are_signed_too():
    basal = Prescription.simple("morphine", concentration="10 mg/mL", dose="4 mg/day", setting="tolerant")
    rows = cells(present.program_rows(basal, basal.with_bolus("0.2 mg", "10 min", "3 h", 4).with_bridge(Bridge(375_000, 400_000))))
    assert rows["patient bolus"] == ("-", "morphine 0.2 mg over 10 min, lockout 3 h, 4 in 24 h")
    assert rows["a day with all boluses"] == ("morphine 4 mg/day", "morphine 4.8 mg/day")
    assert rows["bridge"] == ("-", "0.375 mL of old drug at 0.4 mL/day: 22.5 h")
    assert rows["caps in 1 h and 24 h"][1] == "morphine 2.535 mg, 20.21 mg"


def test_a_refill_with_another_concentration():
    fill = Fill("18.6 mL", "baclofen", "2000 ug/mL", withdrawn="4 mL")
    now = status(reservoir_computed_nl=3_400_000)
    rows = cells(present.refill_rows(now, OLD, fill, Implant()))
    assert rows["baclofen"] == ("500 ug/mL", "2000 ug/mL (1895 ug/mL mixed with the residual)")
    assert rows["baclofen a day at the running rate"] == ("400 ug/day", "1600 ug/day")
    assert rows["in the reservoir"] == ("3.4 mL computed", "20 mL")


def test_a_first_fill_has_no_before():
    fill = Fill("18.6 mL", "baclofen", "500 ug/mL", withdrawn="2 mL")
    first = cells(present.refill_rows(status(), None, fill, Implant()))
    assert first["baclofen"] == ("-", "500 ug/mL") and first["in the reservoir"][1] == "18.6 mL"


def test_the_reservoir():
    assert present.reservoir_text(status(reservoir_computed_nl=18_000_000, reservoir_sensed_ul=17_950)) == \
        "18 mL computed, 17.95 mL sensed, difference -0.05 mL"


@pytest.mark.req("TH-LIFE-12")
def test_an_emergency_reduction_stands_in_front_of_the_state(fake):
    raw = {**fake.status(), "rate_nl_day": 0, "alarms": 1 << 16}
    assert present.state_text(Status.of(raw), None) == \
        "REDUCED in an emergency: delivers NOTHING: %s (%s)" % (EMERGENCY.name, EMERGENCY.action)


def test_access_in_words(fake):
    raw = fake.status()
    known = Identity(1001, "0.1", "fake", 3, ["clinician", "patient"])
    assert present.access_text("clinician", False, known, Status.of(raw)) == "clinician, own key; paired: clinician, patient"
    locked = Status.of({**raw, "forgeries": 9, "locked_s": 60})
    assert present.access_text("patient", True, Identity(1, "0.1", "fake", 3, []), locked) == (
        "patient, on the public shelf key: anybody may do the same; paired: none; 9 wrong keys or tags since boot; THERAPY LOCKED for 60 s")
    flooded = Status.of({**raw, "wasted_mj": 12_345})
    assert present.access_text("clinician", False, known, flooded).endswith("; traffic without a key has cost 12.345 J")
