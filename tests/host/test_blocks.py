"""Blocks: what the host packs, the firmware takes; what the pump keeps, the host reads back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thecal.firmware.blocks import Block
from thecal.host import blocks, drug_library, units
from thecal.host.errors import ProtocolProblem, RequestInvalid
from thecal.host.fill import Fill
from thecal.host.implant import Implant
from thecal.host.prescription import Bridge, Prescription
from thecal.host.texts import read_text, wire_text
from thecal.protocol import catalogue as cat
from thecal.protocol import fields
from thecal.protocol.crc import crc16

LIBRARY = drug_library.load()
SIMPLE = Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day", editor="AB", library=LIBRARY)
FLEX = Prescription.flex("morphine", concentration="10 mg/mL", also={"bupivacaine": "20 mg/mL"}, library=LIBRARY, steps=[
    {"from": "06:00", "dose": "0.1 mg/h"}, {"from": "22:00", "dose": "0.2 mg/h"}], weekdays={"sat": [{"from": "00:00", "dose": "minimum"}]})


def accepted(kind, data):
    block = Block()
    assert block.take(kind, data, len(data), 6000) == 0, (block.reason, block.field, block.value)
    return block.canonical


M3 = Prescription.simple("morphine", concentration="10 mg/mL", dose="4 mg/day", setting="tolerant", library=LIBRARY).with_bolus(
    "0.2 mg", "10 min", "3 h", 4, interval="6 h", per_interval=2, released=True)
B3 = Prescription.periodic("baclofen", concentration="2000 ug/mL", dose="400 ug/day", times=["00:00", "06:00", "12:00", "18:00"], over="30 min", library=LIBRARY)
OVERRIDING = replace(SIMPLE.with_bridge(Bridge(375_000, 800_000)), guard=replace(SIMPLE.guard, overrides=6, why="trial result"))


@pytest.mark.parametrize("program", [
    SIMPLE, FLEX, M3, B3, OVERRIDING, Prescription.minimum_rate("hydromorphone", concentration="10 mg/mL", library=LIBRARY)])
def test_a_program_is_the_firmwares_canonical_form_and_reads_back(program):
    data = blocks.program_block(program, 7)
    assert accepted(cat.PROGRAM, data) == data
    back = blocks.read_program(data, LIBRARY)
    for name in ("mode", "ingredients", "patterns", "weekdays", "fallback_nl_day", "safe_state", "editor", "setting", "patient_bolus", "bridge", "guard"):
        assert getattr(back, name) == getattr(program, name)


def test_a_name_longer_than_the_wire_comes_back_whole():
    program = Prescription.minimum_rate("hydromorphone", concentration="10 mg/mL", library=LIBRARY)
    assert blocks.read_program(blocks.program_block(program, 1), LIBRARY).ingredients[0].name == "hydromorphone"
    assert len({wire_text(name, "drug", cat.DRUG_NAME_BYTES) for name in LIBRARY}) == len(LIBRARY), "two names on the wire must stay different"


def test_two_equal_orders_differ_in_their_order_id_only():
    first, second = blocks.program_block(SIMPLE, 1), blocks.program_block(SIMPLE, 2)
    assert first[4:] == second[4:] and first != second


def test_refill_commission_and_the_rest():
    fill = Fill("18.6 mL", "morphine", "10 mg/mL", withdrawn="2 mL", lot="A1", next_refill="2026-02-01 09:00", also={"bupivacaine": "20 mg/mL"}, library=LIBRARY)
    now_s = units.pump_time_s("2026-01-05 09:00", "now")
    data = blocks.refill_block(fill, 3, now_s, ("morphine",))
    assert accepted(cat.REFILL, data) == data
    values = blocks.unpack(cat.REFILL, data)
    assert (values["volume_ul"], values["withdrawn_ul"], values["expires_s"], read_text(values["lot"])) == (18_600, 2000, now_s + 90 * 86_400, "A1")
    assert (values["next_s"], values["rinse"]) == (27 * 86_400, 0), "the appointment comes before the drug's end"
    emptied = blocks.unpack(cat.REFILL, accepted(cat.REFILL, blocks.emptied_block(fill.ingredients, 12_300, 4)))
    assert (emptied["volume_ul"], emptied["withdrawn_ul"]) == (0, 12_300) and blocks.read_drugs(emptied, LIBRARY) == fill.ingredients
    assert blocks.read_drugs(values, LIBRARY) == fill.ingredients
    implant = Implant.reference(42, "61.5 cm", "40 mL", contact="clinic +00 000 0000")
    data = blocks.commission_block(implant, 4)
    assert accepted(cat.COMMISSION, data) == data
    assert blocks.read_implant(data) == implant
    assert blocks.read_implant(b"") is None and blocks.read_program(b"") is None


def test_the_ring_of_past_programs():
    def slot(time_s, program):
        data = blocks.program_block(program, 1)
        body = time_s.to_bytes(4, "little") + len(data).to_bytes(2, "little") + data
        return (body + crc16(body, 0, len(body)).to_bytes(2, "little")).ljust(cat.PRESCRIPTION_BYTES, b"\xff")
    damaged = bytearray(slot(3, SIMPLE))
    damaged[40] ^= 1
    found = blocks.read_prescriptions(slot(9, M3) + bytes(damaged) + slot(5, SIMPLE) + b"\xff" * cat.PRESCRIPTION_BYTES, LIBRARY)
    assert [(time_s, program.mode, program.ingredients) for time_s, program in found] == [(5, "simple", SIMPLE.ingredients), (9, "simple", M3.ingredients)]


def test_a_drug_unknown_here_keeps_its_name_and_has_no_entry():
    back = blocks.read_program(blocks.program_block(SIMPLE, 1), {})
    assert (back.ingredients[0].name, back.ingredients[0].drug) == ("baclofen", None)
    assert back.dose_text() == "baclofen 150 ug/day"


def test_the_host_refuses_by_field_value_and_bound_before_the_pump_does():
    with pytest.raises(RequestInvalid, match=r"prime: volume_nl is 1 nL; allowed are 1000 .. 2000000") as caught:
        blocks.pack(cat.PRIME, {"order_id": 1, "what": 3, "volume_nl": 1, "rate_nl_day": 48_000})
    assert caught.value.field == "volume_nl"
    with pytest.raises(RequestInvalid, match="stop reason 'boredom' is none of: not given, clinician order"):
        blocks.stop_reason("boredom")
    assert blocks.stop_reason("mri") == 3
    with pytest.raises(RequestInvalid, match=r"contact '0{33}' has 33 characters; allowed are 0 .. 32"):
        blocks.commission_block(Implant(contact="0" * 33), 1)
    with pytest.raises(RequestInvalid, match=r"level_drift_ul is 51 uL a root day; allowed are 1 .. 50"):
        blocks.commission_block(Implant(level_drift_ul=51), 1)
    for contact in ("Zürich 1", "two\nlines"):
        with pytest.raises(RequestInvalid, match="must be plain printable ascii"):
            blocks.commission_block(Implant(contact=contact), 1)
    assert blocks.read_implant(blocks.commission_block(Implant(), 1)).contact == ""


@pytest.mark.parametrize("row, kind", [(row, kind) for kind, _, rows in cat.BLOCKS for row in rows if row[1] in (1, 2, 4, -4)],
                         ids=lambda value: value[0] if isinstance(value, tuple) else str(value))
def test_every_field_of_every_block_is_refused_one_beyond_its_bounds(row, kind):
    values = {other[0]: bytes(other[3]) if other[1] in (fields.BYTES, fields.TAIL) else other[3] for other in cat.block(kind)}
    for inside in (row[3], row[4]):
        blocks.pack(kind, {**values, row[0]: inside})
    for beyond in (row[3] - 1, row[4] + 1):
        with pytest.raises(RequestInvalid, match="%s: %s is %d.*allowed are %d .. %d" % (blocks.block_name(kind), row[0], beyond, row[3], row[4])):
            blocks.pack(kind, {**values, row[0]: beyond})


@given(st.binary(max_size=200), st.integers(0, 199))
def test_any_bytes_for_a_program_are_read_or_refused(noise, cut):
    good = blocks.program_block(FLEX, 1)
    for data in (noise, good[: cut % len(good)], good[:90] + noise):
        try:
            back = blocks.read_program(data, LIBRARY)
        except ProtocolProblem:
            continue
        assert back is None or back.patterns
