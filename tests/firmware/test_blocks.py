"""Therapy blocks and the stage: every bound from both sides, canonical bytes, digests. See also tests/dual/scripts/blocks.py."""

import hashlib

import pytest
from bare_pump import COMMISSION, DRUG, block_bytes, flex_program, named, simple_program
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.firmware.blocks import Block, Stage, digest_of
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import MAX_SMALL

SIMPLE = simple_program(500_000)
FLEX = flex_program([[(0, 96_000), (360, 150_000)], [(0, 48_000)]], [0, 0, 0, 0, 0, 1, 1])


def taken(kind, values, **changes):
    """(reason, name of the field at fault, value) of a block with changes, at a minimum rate of 6000."""
    data = block_bytes(kind, {"order_id": 7, **values, **changes})
    block = Block()
    assert block.take(kind, data, len(data), 6000) == block.reason
    return block.reason, cat.block(kind)[block.field][0] if block.reason else "", block.value


@pytest.mark.parametrize(("kind", "values"), [
    (cat.COMMISSION, COMMISSION), (cat.PROGRAM, SIMPLE), (cat.PROGRAM, FLEX), (cat.STOP, {"reason": 255}), (cat.RESUME, {}),
    (cat.REFILL, {**DRUG, "withdrawn_ul": 0, "volume_ul": 0}), (cat.PRIME, {"volume_nl": 1000, "rate_nl_day": 48_000}), (cat.SET_CLOCK, {"time_s": 0})])
def test_a_good_block_is_canonical_and_its_digest_covers_kind_and_bytes(kind, values):
    data = block_bytes(kind, {"order_id": 1, **values})
    block = Block()
    assert block.take(kind, data + b"what follows in the stage", len(data), 6000) == 0
    assert block.canonical == data and block.kind == kind and block.values["order_id"] == 1
    assert block.digest == hashlib.sha256(bytes([kind]) + data).digest()[:8] == digest_of(kind, data, len(data))
    other = Block()
    assert other.take(kind, block_bytes(kind, {"order_id": 2, **values}), len(data), 6000) == 0
    assert other.digest != block.digest, "two equal orders are still two orders"


@pytest.mark.parametrize(("rate_nl_day", "reason"), [
    (0, cat.R_LIMIT), (5999, cat.R_LIMIT), (6000, 0), (6001, cat.R_LIMIT), (47_999, cat.R_LIMIT), (48_000, 0), (24_000_000, 0),
    (24_000_001, cat.R_LIMIT), (0xFFFFFFFF, cat.R_LIMIT)])
def test_a_rate_is_the_minimum_or_what_the_head_can_do(rate_nl_day, reason):
    found = taken(cat.PROGRAM, flex_program([[(0, 50_000), (1, rate_nl_day)]], bytes(7)))
    assert found == ((reason, "steps", min(rate_nl_day, MAX_SMALL)) if reason else (0, "", 0))
    if 0 < rate_nl_day <= 24_000_000:
        assert taken(cat.PROGRAM, SIMPLE, fallback_nl_day=rate_nl_day)[0] == reason
    assert taken(cat.PROGRAM, SIMPLE, fallback_nl_day=0)[0] == 0, "no fallback: stop"


@pytest.mark.parametrize(("minutes", "good"), [
    ([0], True), ([0, 1439], True), ([0, 1440], False), ([1], False), ([0, 5, 5], False), ([0, 6, 5], False), ([0, 65535], False),
    (list(range(13)), True)])
def test_steps_rise_from_midnight(minutes, good):
    assert (taken(cat.PROGRAM, flex_program([[(minute, 60_000) for minute in minutes]], bytes(7)))[0] == 0) == good


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


@pytest.mark.parametrize(("changes", "field"), [
    ({"concentration_1_ng_ml": 0}, "concentration_1_ng_ml"), ({"drug_1": named(b"")}, "drug_1"), ({"drug_2": named(b"morphine")}, "drug_2"),
    ({"concentration_3_ng_ml": 1}, "drug_3")])
def test_a_drug_has_a_name_and_a_concentration_or_neither(changes, field):
    assert taken(cat.PROGRAM, SIMPLE, **changes)[:2] == (cat.R_BAD_BLOCK, field)


def test_two_drugs_are_welcome():
    assert taken(cat.PROGRAM, SIMPLE, drug_2=named(b"morphine"), concentration_2_ng_ml=1)[0] == 0


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


@pytest.mark.parametrize(("kind", "values"), [(cat.COMMISSION, COMMISSION), (cat.PROGRAM, FLEX), (cat.REFILL, {**DRUG, "withdrawn_ul": 1, "volume_ul": 2})])
def test_a_block_cut_anywhere_or_with_a_byte_too_many_is_refused(kind, values):
    data = block_bytes(kind, {"order_id": 7, **values})
    for length in range(len(data)):
        assert Block().take(kind, data, length, 6000) in (cat.R_BAD_FIELD, cat.R_BAD_LENGTH), length
    assert Block().take(kind, data + b"\0", len(data) + 1, 6000) == cat.R_BAD_LENGTH


def test_an_unknown_kind_and_an_order_without_a_number_are_refused():
    assert Block().take(0, b"", 0, 6000) == Block().take(8, b"", 0, 6000) == cat.R_BAD_FIELD
    assert Block().take(cat.RESUME, bytes(4), 4, 6000) == cat.R_BAD_FIELD


@given(st.integers(1, 7), st.binary(max_size=700))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_refused_or_taken_to_the_byte(kind, data):
    block = Block()
    if block.take(kind, data, len(data), 6000) == 0:
        assert block.canonical == data
    else:
        assert 0 <= block.field <= len(cat.block(kind)) and -MAX_SMALL <= block.value <= MAX_SMALL


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
