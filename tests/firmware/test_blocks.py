"""Therapy blocks and the stage: every bound from both sides, canonical bytes, digests. See also tests/dual/scripts/blocks.py."""

import hashlib

import pytest
from bare_pump import A_BOLUS, COMMISSION, DRUG, block_bytes, flex_program, named, simple_program
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.firmware.blocks import Block, Stage, digest_of
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import MAX_SMALL

SIMPLE = simple_program(500_000)
REFILL = {**DRUG, "withdrawn_ul": 1, "volume_ul": 2, "expires_s": 0, "lot": named(b"lot"), "next_s": 0, "rinse": 0}
PRIME = {"what": 1, "volume_nl": 1000, "rate_nl_day": 48_000}
BOLUS = {"volume_nl": 200, "seconds": 30}
IMPLANT = {"implanted_s": 0, "patient": b"AB" + bytes(6), "indication": named(b"spasticity"), "tip_level": b"T10" + bytes(5), "access_port": 1,
           "mri": named(b"conditional")}
TRIAL = {"drug": named(b"baclofen"), "concentration_ng_ml": 50_000, "indicated": 1, "doses": b"\1\x50\xc3\0\0\0\1" + bytes(3)}
FLEX = flex_program([[(0, 96_000), (360, 150_000)], [(0, 48_000)]], [0, 0, 0, 0, 0, 1, 1])


def taken(kind, values, **changes):
    """(reason, name of the field at fault, value) of a block with changes, at a minimum rate of 6000."""
    data = block_bytes(kind, {"order_id": 7, **values, **changes})
    block = Block()
    assert block.take(kind, data, len(data), 6000) == block.reason
    return block.reason, cat.block(kind)[block.field][0] if block.reason else "", block.value


@pytest.mark.parametrize(("kind", "values"), [
    (cat.COMMISSION, COMMISSION), (cat.PROGRAM, SIMPLE), (cat.PROGRAM, FLEX), (cat.STOP, {"reason": 255}), (cat.RESUME, {}),
    (cat.REFILL, {**REFILL, "volume_ul": 0}), (cat.PRIME, PRIME), (cat.SET_CLOCK, {"time_s": 0}), (cat.BOLUS, BOLUS), (cat.PATIENT_BOLUS, {}),
    (cat.PAUSE, {"minutes": 1440}), (cat.CATHETER, {"state": 1}), (cat.IMPLANT_RECORD, IMPLANT), (cat.TRIAL_RECORD, TRIAL), (cat.SILENCE, {"row": 29, "hours": 24}),
    (cat.ACKNOWLEDGE, {"row": 0}), (cat.ALARM_TEST, {"tone": 2}), (cat.VISIT, {"alarm_heard": 2, "report": bytes(8)}), (cat.CALIBRATION, {"on": 1})])
def test_a_good_block_is_canonical_and_its_digest_covers_kind_and_bytes(kind, values):
    data = block_bytes(kind, {"order_id": 1, **values})
    block = Block()
    assert block.take(kind, data + b"what follows in the stage", len(data), 6000) == 0
    assert block.canonical == data and block.kind == kind and block.values["order_id"] == 1
    assert block.digest == hashlib.sha256(bytes([kind]) + data).digest()[:8] == digest_of(kind, data, len(data))
    other = Block()
    assert other.take(kind, block_bytes(kind, {"order_id": 2, **values}), len(data), 6000) == 0
    assert other.digest != block.digest, "two equal orders are still two orders"


@pytest.mark.req("TH-RATE-05")
@pytest.mark.parametrize(("rate_nl_day", "reason"), [
    (0, cat.R_LIMIT), (5999, cat.R_LIMIT), (6000, 0), (6001, cat.R_LIMIT), (47_999, cat.R_LIMIT), (48_000, 0), (24_000_000, 0),
    (24_000_001, cat.R_LIMIT), (0xFFFFFFFF, cat.R_LIMIT)])
def test_a_rate_is_the_minimum_or_what_the_head_can_do(rate_nl_day, reason):
    found = taken(cat.PROGRAM, flex_program([[(0, 50_000), (1, rate_nl_day)]], bytes(7)))
    assert found == ((reason, "steps", min(rate_nl_day, MAX_SMALL)) if reason else (0, "", 0))
    if 0 < rate_nl_day <= 24_000_000:
        assert taken(cat.PROGRAM, simple_program(24_000_000), fallback_nl_day=rate_nl_day)[0] == reason
    assert taken(cat.PROGRAM, SIMPLE, fallback_nl_day=0)[0] == 0, "no fallback: stop"


@pytest.mark.req("TH-PROG-14")
@pytest.mark.parametrize(("minutes", "good"), [
    ([0], True), ([0, 1439], True), ([0, 1440], False), ([1], False), ([0, 5, 5], False), ([0, 6, 5], False), ([0, 65535], False),
    (list(range(13)), True)])
def test_steps_rise_from_midnight(minutes, good):
    assert (taken(cat.PROGRAM, flex_program([[(minute, 60_000) for minute in minutes]], bytes(7)))[0] == 0) == good


@pytest.mark.req("TH-PROG-14")
def test_shapes_of_a_program():
    assert taken(cat.PROGRAM, SIMPLE, steps=b"\0" + bytes(6)) == (cat.R_BAD_LENGTH, "steps", 0)
    assert taken(cat.PROGRAM, flex_program([[(minute, 60_000) for minute in range(14)]], bytes(7)))[:2] == (cat.R_BAD_LENGTH, "steps")
    assert taken(cat.PROGRAM, SIMPLE, steps=SIMPLE["steps"] + b"x")[:2] == (cat.R_BAD_LENGTH, "steps")
    assert taken(cat.PROGRAM, SIMPLE, steps=SIMPLE["steps"][:6] + b"\2")[0] != 0
    assert taken(cat.PROGRAM, SIMPLE, patterns=2)[:2] == (cat.R_BAD_LENGTH, "steps")
    assert taken(cat.PROGRAM, FLEX, patterns=1)[:2] == (cat.R_BAD_BLOCK, "weekdays")
    assert taken(cat.PROGRAM, SIMPLE, weekdays=b"\0\0\0\1\0\0\0") == (cat.R_BAD_BLOCK, "weekdays", 1)
    assert taken(cat.PROGRAM, FLEX, mode=cat.SIMPLE)[:2] == (cat.R_BAD_BLOCK, "mode")
    assert taken(cat.PROGRAM, SIMPLE, mode=cat.FLEX)[0] == 0
    whole = flex_program([[(110 * step, 60_000 + step) for step in range(13)]] * 7, range(7))
    assert taken(cat.PROGRAM, whole)[0] == 0, "seven days of thirteen steps fit"


@pytest.mark.req("TH-PROG-02")
@pytest.mark.parametrize(("changes", "field"), [
    ({"concentration_1_ng_ml": 0}, "concentration_1_ng_ml"), ({"drug_1": named(b"")}, "drug_1"), ({"drug_2": named(b"morphine")}, "drug_2"),
    ({"concentration_3_ng_ml": 1}, "drug_3")])
def test_a_drug_has_a_name_and_a_concentration_or_neither(changes, field):
    assert taken(cat.PROGRAM, SIMPLE, **changes)[:2] == (cat.R_BAD_BLOCK, field)


def test_two_drugs_are_welcome():
    more = {"drug_2": named(b"morphine"), "concentration_2_ng_ml": 1}
    assert taken(cat.PROGRAM, SIMPLE, **more, cap_hour_2_ng=1, cap_day_2_ng=1)[0] == 0
    assert taken(cat.PROGRAM, SIMPLE, **more)[:2] == (cat.R_BAD_BLOCK, "cap_hour_2_ng")
    assert taken(cat.PROGRAM, SIMPLE, **{**more, "drug_2": SIMPLE["drug_1"]}, cap_hour_2_ng=1, cap_day_2_ng=1)[:2] == (cat.R_BAD_BLOCK, "drug_2"), "a drug twice"


BOLUSES = {**simple_program(500_000), **A_BOLUS}


@pytest.mark.parametrize(("changes", "reason", "field"), [
    ({"cap_hour_1_ng": 0}, cat.R_BAD_BLOCK, "cap_hour_1_ng"), ({"cap_day_1_ng": 0}, cat.R_BAD_BLOCK, "cap_hour_1_ng"),
    ({"cap_hour_1_ng": 2, "cap_day_1_ng": 1}, cat.R_BAD_BLOCK, "cap_hour_1_ng"), ({"cap_day_3_ng": 1}, cat.R_BAD_BLOCK, "cap_day_3_ng"),
    ({"cap_hour_3_ng": 1, "cap_day_3_ng": 1}, cat.R_BAD_BLOCK, "cap_hour_3_ng"), ({"cap_hour_1_ng": 1, "cap_day_1_ng": 1}, 0, ""),
    ({"bolus_nl": 0}, cat.R_BAD_BLOCK, "bolus_s"), ({"bolus_nl": 199}, cat.R_LIMIT, "bolus_nl"), ({"bolus_nl": 200}, 0, ""),
    ({"bolus_s": 29}, cat.R_LIMIT, "bolus_s"), ({"bolus_s": 30, "bolus_nl": 8000}, 0, ""),
    ({"bolus_s": 600, "lockout_min": 10}, 0, ""), ({"bolus_s": 601, "lockout_min": 10}, cat.R_BAD_BLOCK, "lockout_min"), ({"lockout_min": 0}, cat.R_BAD_BLOCK, "lockout_min"),
    ({"per_day": 0}, cat.R_BAD_BLOCK, "per_day"), ({"interval_h": 4}, cat.R_BAD_BLOCK, "per_interval"), ({"per_interval": 4}, cat.R_BAD_BLOCK, "per_interval"),
    ({"interval_h": 4, "per_interval": 4}, 0, ""), ({"interval_h": 4, "per_interval": 5}, cat.R_BAD_BLOCK, "per_day"),
    ({"bolus_nl": 163_194}, 0, ""), ({"bolus_nl": 163_195}, cat.R_LIMIT, "bolus_nl"),       # 23.5 mL/day in 600 s beside 0.5 mL/day
    ({"overrides": 1}, cat.R_BAD_BLOCK, "override_why"), ({"override_why": 1}, cat.R_BAD_BLOCK, "override_why"), ({"overrides": 3, "override_why": 1}, 0, ""),
    ({"bridge_nl": 1000}, cat.R_BAD_BLOCK, "bridge_rate_nl_day"), ({"bridge_rate_nl_day": 48_000}, cat.R_BAD_BLOCK, "bridge_rate_nl_day"),
    ({"bridge_nl": 1000, "bridge_rate_nl_day": 47_999}, cat.R_LIMIT, "bridge_rate_nl_day"), ({"bridge_nl": 1000, "bridge_rate_nl_day": 6000}, 0, ""),
    ({"fallback_nl_day": 500_001}, cat.R_BAD_BLOCK, "fallback_nl_day"), ({"fallback_nl_day": 500_000}, 0, ""), ({"abrupt_stop": 1}, cat.R_BAD_BLOCK, "fallback_nl_day"),
    ({"abrupt_stop": 1, "fallback_nl_day": 250_000}, 0, ""), ({"safe_state": 1, "fallback_nl_day": 6000}, cat.R_BAD_BLOCK, "safe_state"),
    ({"safe_state": 1, "fallback_nl_day": 0}, 0, ""), ({"safe_state": 1, "fallback_nl_day": 250_000}, 0, "")])
def test_a_program_that_contradicts_itself_is_refused_by_the_field(changes, reason, field):
    assert taken(cat.PROGRAM, BOLUSES, **changes)[:2] == (reason, field)


def test_modes_and_their_shapes():
    day = [(30 * step, 48_000 + 1000 * (step % 2)) for step in range(25)]
    assert taken(cat.PROGRAM, flex_program([day], bytes(7), mode=cat.PERIODIC))[0] == 0, "twelve boluses are 25 steps"
    assert taken(cat.PROGRAM, flex_program([day + [(1439, 48_000)]], bytes(7), mode=cat.PERIODIC))[:2] == (cat.R_BAD_LENGTH, "steps")
    assert taken(cat.PROGRAM, flex_program([day], bytes(7)))[:2] == (cat.R_BAD_LENGTH, "steps"), "flex has thirteen"
    assert taken(cat.PROGRAM, simple_program(6000), mode=cat.MINIMUM)[0] == 0
    assert taken(cat.PROGRAM, simple_program(48_000), mode=cat.MINIMUM) == (cat.R_BAD_BLOCK, "mode", cat.MINIMUM)
    assert taken(cat.PROGRAM, SIMPLE, mode=cat.PERIODIC)[:2] == (cat.R_BAD_BLOCK, "mode"), "a bolus needs a step of its own"
    assert taken(cat.PROGRAM, flex_program([day[:2]], bytes(7), mode=cat.MINIMUM))[:2] == (cat.R_BAD_BLOCK, "mode")


@pytest.mark.parametrize(("volume_nl", "seconds", "reason"), [
    (199, 60, cat.R_BAD_FIELD), (200, 29, cat.R_BAD_FIELD), (200, 30, 0), (8333, 30, 0), (8334, 30, cat.R_LIMIT), (5_000_000, 18_000, 0), (5_000_001, 86_400, cat.R_BAD_FIELD)])
def test_a_bolus_is_no_faster_than_the_head(volume_nl, seconds, reason):
    data = bytes([7, 0, 0, 0]) + volume_nl.to_bytes(4, "little") + seconds.to_bytes(4, "little")
    assert Block().take(cat.BOLUS, data, len(data), 6000) == reason


def dose(kind=1, dose_ng=50_000, response=0):
    return bytes([kind]) + dose_ng.to_bytes(4, "little") + bytes([0, response, 0, 0, 0])


@pytest.mark.parametrize(("changes", "reason", "field"), [
    ({"doses": dose() + dose(2, 75_000, 1)}, 0, ""), ({"doses": dose()}, cat.R_BAD_BLOCK, "indicated"), ({"doses": dose(), "indicated": 0}, 0, ""),
    ({"doses": dose(0)}, cat.R_BAD_BLOCK, "doses"), ({"doses": dose(3)}, cat.R_BAD_BLOCK, "doses"), ({"doses": dose(dose_ng=0)}, cat.R_BAD_BLOCK, "doses"),
    ({"doses": dose() + b"x"}, cat.R_BAD_LENGTH, "doses"), ({"drug": named(b"")}, cat.R_BAD_BLOCK, "drug")])
def test_a_trial_that_succeeded_has_an_answer(changes, reason, field):
    assert taken(cat.TRIAL_RECORD, TRIAL, **changes)[:2] == (reason, field)


@pytest.mark.parametrize(("changes", "field"), [
    ({"tubing_nl": 375_001}, "tubing_nl"), ({"battery_eri_mv": 2399}, "battery_eri_mv"), ({"tubing_nl": 375_000, "battery_eri_mv": 2400}, "")])
def test_line_and_battery_of_a_head_agree(changes, field):
    assert taken(cat.COMMISSION, COMMISSION, **changes)[:2] == (cat.R_BAD_BLOCK if field else 0, field)


def test_a_fill_has_its_drug_and_an_emptied_reservoir_none():
    bare = {name: named(b"") if name.startswith("drug") else 0 for name in DRUG}
    assert taken(cat.REFILL, {**REFILL, **bare})[:2] == (cat.R_BAD_BLOCK, "concentration_1_ng_ml")
    assert taken(cat.REFILL, {**REFILL, **bare, "volume_ul": 0})[0] == 0
    assert taken(cat.REFILL, REFILL, concentration_1_ng_ml=0)[:2] == (cat.R_BAD_BLOCK, "concentration_1_ng_ml")


@pytest.mark.parametrize("kind", range(1, cat.LAST_KIND + 1))
def test_every_number_is_bound_from_both_sides(kind):
    """min - 1 and max + 1 of each field, on the wire: refused by name, and nothing else of the block is looked at."""
    values = {cat.COMMISSION: COMMISSION, cat.PROGRAM: BOLUSES, cat.REFILL: REFILL, cat.PRIME: PRIME, cat.BOLUS: BOLUS, cat.IMPLANT_RECORD: IMPLANT,
              cat.TRIAL_RECORD: TRIAL}.get(kind, {row[0]: row[3] if row[1] < 10 else bytes(row[3]) for row in cat.block(kind)})
    good = block_bytes(kind, {**values, "order_id": 7})
    at = 0
    for index, row in enumerate(cat.block(kind)):
        if row[1] in (10, 11):
            at += row[3]
            continue
        size = abs(row[1])
        for bad in (row[3] - 1, row[4] + 1):
            if 0 <= bad < 1 << 8 * size:
                data = good[:at] + bad.to_bytes(size, "little") + good[at + size:]
                block = Block()
                assert block.take(kind, data, len(data), 6000) == cat.R_BAD_FIELD and block.field == index, row
        at += size


@pytest.mark.parametrize(("changes", "field"), [
    ({"pulse_nl": 4000, "nl_per_rev": 5000}, "pulse_nl"),       # over half a turn: the encoder counts modulo one
    ({"pulse_nl": 4000, "nl_per_rev": 35_000}, "pulse_nl"),     # 469 steps and 30 ms are longer than the one-shot ... if it is 500
    ({"residual_ul": 5000, "capacity_ul": 5000}, "residual_ul"), ({"step_hz": 999}, "step_hz"), ({"step_hz": 1001}, "step_hz")])
def test_a_head_that_cannot_be_driven_or_watched_is_refused(changes, field):
    reason, name, value = taken(cat.COMMISSION, COMMISSION, **changes)
    longest_steps = 4096 * changes.get("pulse_nl", 1000) // changes.get("nl_per_rev", 35_000) + 1
    if field == "pulse_nl" and longest_steps + 31 <= 500 and longest_steps < 2048:
        assert reason == 0
    else:
        assert reason in (cat.R_LIMIT, cat.R_BAD_BLOCK) and name == field


@pytest.mark.req("TH-PROG-02")
@pytest.mark.parametrize(("kind", "values"), [(cat.COMMISSION, COMMISSION), (cat.PROGRAM, FLEX), (cat.REFILL, REFILL), (cat.PRIME, PRIME), (cat.BOLUS, BOLUS),
                                             (cat.IMPLANT_RECORD, IMPLANT), (cat.VISIT, {"alarm_heard": 0, "report": bytes(8)})])
def test_a_block_cut_anywhere_or_with_a_byte_too_many_is_refused(kind, values):
    data = block_bytes(kind, {"order_id": 7, **values})
    for length in range(len(data)):
        assert Block().take(kind, data, length, 6000) in (cat.R_BAD_FIELD, cat.R_BAD_LENGTH), length
    assert Block().take(kind, data + b"\0", len(data) + 1, 6000) == cat.R_BAD_LENGTH


def test_an_unknown_kind_and_an_order_without_a_number_are_refused():
    assert Block().take(0, b"", 0, 6000) == Block().take(cat.LAST_KIND + 1, b"", 0, 6000) == cat.R_BAD_FIELD
    assert Block().take(cat.RESUME, bytes(4), 4, 6000) == cat.R_BAD_FIELD


@pytest.mark.req("TH-PROG-02")
@given(st.integers(1, cat.LAST_KIND), st.binary(max_size=768))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_refused_or_taken_to_the_byte(kind, data):
    block = Block()
    if block.take(kind, data, len(data), 6000) == 0:
        assert block.canonical == data
    else:
        assert 0 <= block.field <= len(cat.block(kind)) and -MAX_SMALL <= block.value <= MAX_SMALL


@pytest.mark.req("TH-PROG-02")
def test_a_refused_block_leaves_nothing_of_the_one_before():
    block = Block()
    good = block_bytes(cat.STOP, {"order_id": 7, "reason": 1})
    assert block.take(cat.STOP, good, len(good), 6000) == 0
    assert block.take(cat.STOP, good, 3, 6000) != 0
    assert block.take(cat.STOP, good, len(good), 6000) == 0 and (block.reason, block.field, block.value) == (0, 0, 0)


class TestStage:
    def test_chunks_follow_each_other_and_may_be_repeated(self):
        stage = Stage()
        assert stage.put(2, 10, 0, b"abcd", 5) == 0 and stage.received == 4
        assert stage.put(2, 10, 4, b"efgh", 6) == 0 and stage.put(2, 10, 4, b"efgh", 6) == 0 and stage.received == 8
        assert stage.put(2, 10, 8, b"ij", 6) == 0 and stage.received == 10
        assert bytes(stage.buffer[:10]) == b"abcdefghij" and stage.opened_s == 5

    def test_holes_other_totals_other_kinds_and_overruns_are_refused_and_change_nothing(self):
        stage = Stage()
        assert stage.put(2, 10, 4, b"efgh", 5) == cat.R_BAD_LENGTH
        stage.put(2, 10, 0, b"abcd", 5)
        for kind, total, offset, data in ((2, 10, 5, b"x"), (3, 10, 4, b"x"), (2, 11, 4, b"x"), (2, 10, 4, b"efghijk")):
            assert stage.put(kind, total, offset, data, 5) == cat.R_BAD_LENGTH
            assert stage.received == 4 and bytes(stage.buffer[:5]) == b"abcd\0"

    def test_offset_zero_starts_anew(self):
        stage = Stage()
        stage.put(2, 10, 0, b"abcdefghij", 5)
        stage.checked = True
        assert stage.put(4, 5, 0, b"xy", 9) == 0
        assert (stage.kind, stage.total, stage.received, stage.checked, stage.opened_s) == (4, 5, 2, False, 9)

    def test_a_change_behind_the_check_takes_the_check_back(self):
        stage = Stage()
        stage.put(2, 4, 0, b"abcd", 5)
        stage.checked = True
        stage.put(2, 4, 2, b"XX", 5)
        assert not stage.checked

    def test_a_first_chunk_longer_than_the_total_stages_nothing(self):
        stage = Stage()
        assert stage.put(2, 3, 0, b"abcd", 5) == cat.R_BAD_LENGTH and stage.received == 0
