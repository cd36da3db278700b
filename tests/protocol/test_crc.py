"""Checksums: published check values, the table against the definition, and the pump's CRC-32 against the host's crcmod."""

import binascii
import random

import crcmod.predefined
import pytest
from hypothesis import given
from hypothesis import strategies as st
from thecal.protocol.crc import crc16, crc16_whole, crc32

crcmod32 = crcmod.predefined.mkPredefinedCrcFun("crc-32")
crcmod16 = crcmod.predefined.mkPredefinedCrcFun("crc-ccitt-false")


def bitwise_16(data, crc=0xFFFF):
    """CRC-16/CCITT-FALSE from its definition, a bit at a time."""
    for byte in data:
        for bit in range(7, -1, -1):
            top = crc >> 15
            crc = (crc << 1 & 0xFFFF) | (byte >> bit & 1)
            if top:
                crc ^= 0x1021
    return crc


def test_published_check_values():
    assert crc16(b"123456789", 0, 9) == 0x29B1
    assert crc32(b"123456789") == 0xCBF43926
    assert crc16(b"", 0, 0) == 0xFFFF and crc32(b"") == 0


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_crc16_of_a_span_is_that_of_the_slice(data, one, other):
    start, end = sorted((min(one, len(data)), min(other, len(data))))
    assert crc16(data, start, end) == crcmod16(data[start:end])
    assert 0 <= crc16(data, start, end) <= 0xFFFF


@given(st.binary(min_size=1, max_size=300), st.integers(0, 0xFFFF))
def test_crc16_of_a_whole_buffer_is_that_of_a_span(data, crc):
    assert crc16_whole(data, crc) == crc16_whole(memoryview(data), crc) == crc16(data + b"behind", 0, len(data), crc)


@given(st.binary(max_size=60))
def test_crc16_agrees_with_the_definition(data):
    """The register form with the message fed in at the bottom, 16 zero bits behind it and the preset that makes 0xFFFF."""
    assert bitwise_16(data + b"\0\0", 0x84CF) == crc16(data, 0, len(data))


@pytest.mark.req("TH-LINK-09")
@given(st.binary(max_size=300), st.integers(0, 0xFFFFFFFF), st.integers(0, 300))
def test_two_implementations_of_crc32_agree_also_when_continued(data, seed, cut):
    whole = crc32(data, seed)
    assert whole == crcmod32(data, seed) == binascii.crc32(data, seed) & 0xFFFFFFFF
    assert crc32(data[cut:], crc32(data[:cut], seed)) == whole
    assert crcmod32(data[cut:], crc32(data[:cut], seed)) == whole


@given(st.binary(max_size=100), st.integers(0, 100))
def test_crc16_continues(data, cut):
    cut = min(cut, len(data))
    assert crc16(data, cut, len(data), crc16(data, 0, cut)) == crc16(data, 0, len(data))


@pytest.mark.req("TH-STORE-03")
@pytest.mark.parametrize("size", [20, 24, 43, 118])
def test_every_flip_of_one_and_sampled_flips_of_two_and_three_bits_show_in_the_crc16_of_a_record(size):
    chance = random.Random(size)
    record = bytearray(chance.randbytes(size))
    good = crc16(record, 0, size)
    cases = [{bit} for bit in range(8 * size)] + [set(chance.sample(range(8 * size), 2 + turn % 2)) for turn in range(4000)]
    for bits in cases:
        hurt = bytearray(record)
        for bit in bits:
            hurt[bit // 8] ^= 1 << bit % 8
        assert crc16(hurt, 0, size) != good, bits
