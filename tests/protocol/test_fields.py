"""Fields: own range checks at every end, the same index everywhere, and unpack(pack(x)) == x both ways. See also tests/dual/scripts/fields.py."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import BYTES, HIGH, I32, KIND, LOW, MAX_SMALL, TAIL, U8, U16, U32, get, pack, put, size, unpack, width

EVERY = [(row[1], row[5]) for row in cat.MESSAGES] + [("block " + name, rows) for _, name, rows in cat.BLOCKS] \
    + [("event", cat.EVENT_FIELDS), ("day", cat.DAY_FIELDS)]
WITH_FIELDS = [pytest.param(rows, id=name) for name, rows in EVERY if rows]


def least(field):
    return bytes(field[LOW]) if field[KIND] in (BYTES, TAIL) else field[LOW]


def values_of(rows):
    """A strategy for the values of all fields."""
    def one(field):
        if field[KIND] in (BYTES, TAIL):
            return st.binary(min_size=field[LOW], max_size=min(field[HIGH], field[LOW] + 40))
        return st.integers(field[LOW], field[HIGH])
    return st.tuples(*(one(field) for field in rows))


@pytest.mark.req("TH-BAD-02")
@pytest.mark.parametrize("rows", WITH_FIELDS)
def test_one_beyond_each_end_is_refused_at_its_own_index_both_ways(rows):
    for index, field in enumerate(rows):
        text = field[KIND] in (BYTES, TAIL)
        good = [bytes(field[LOW]), b"\xff" * field[HIGH]] if text else [field[LOW], field[HIGH]]
        bad = [bytes(field[HIGH] + 1)] + ([bytes(field[LOW] - 1)] if field[LOW] else []) if text else [field[LOW] - 1, field[HIGH] + 1]
        for value in good:
            values = [least(other) for other in rows]
            values[index] = value
            out = bytearray(1000)
            end = pack(rows, values, out)
            back = [None] * len(rows)
            assert end >= size(rows) and unpack(rows, out, 0, end, back) == end and back == values, field
        for value in bad:
            values = [least(other) for other in rows]
            values[index] = value
            assert pack(rows, values, bytearray(1000)) == -1 - index, (field, value)


@pytest.mark.parametrize("rows", WITH_FIELDS)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_what_is_packed_is_unpacked(rows, data):
    values = data.draw(values_of(rows))
    at = data.draw(st.integers(0, 5))
    out = bytearray(1000)
    end = pack(rows, values, out, at)
    assert end >= at + size(rows)
    back = [None] * len(rows)
    assert unpack(rows, out, at, end, back) == end
    assert back == list(values)


@pytest.mark.parametrize("rows", WITH_FIELDS)
@given(data=st.binary(max_size=300))
@settings(max_examples=25, deadline=None)
def test_any_bytes_are_refused_or_read_canonically(rows, data):
    """Whatever the line brings: no exception, and what is accepted packs into the very same bytes."""
    back = [None] * len(rows)
    end = unpack(rows, data, 0, len(data), back)
    if end < 0:
        assert 0 <= -1 - end <= len(rows)
    else:
        out = bytearray(1000)
        assert end == len(data) and pack(rows, back, out) == end and bytes(out[:end]) == data


@pytest.mark.parametrize("rows", WITH_FIELDS)
def test_a_buffer_that_is_too_short_is_refused_at_the_field_that_lacks_it(rows):
    values = [least(field) for field in rows]
    whole = bytearray(1000)
    end = pack(rows, values, whole)
    starts = [sum(width(field) for field in rows[:index]) for index in range(len(rows))]
    for cut in range(end):
        hurt = next(index for index in range(len(rows)) if starts[index] + width(rows[index]) > cut)
        assert unpack(rows, whole, 0, cut, [None] * len(rows)) == -1 - hurt
        assert pack(rows, values, bytearray(cut)) == -1 - hurt
    if rows[-1][KIND] != TAIL:
        assert unpack(rows, bytes(whole[:end]) + b"\0", 0, end + 1, [None] * len(rows)) == -1 - len(rows)


@pytest.mark.parametrize(("kind", "value"), [
    (U8, 0), (U8, 255), (U16, 65535), (U32, 0xFFFFFFFF), (U32, 1 << 30), (I32, -1), (I32, -(1 << 31)), (I32, (1 << 31) - 1)])
def test_integers_are_little_endian_and_keep_their_sign(kind, value):
    buffer = bytearray(b"\xAA" * 8)
    end = put(buffer, 2, kind, value)
    length = 4 if kind == I32 else kind
    assert end == 2 + length and bytes(buffer[2:end]) == value.to_bytes(length, "little", signed=kind == I32)
    assert buffer[:2] == b"\xAA\xAA" and buffer[end:] == b"\xAA" * (8 - end)
    assert get(buffer, 2, kind) == value


def test_max_small_is_the_largest_31_bit_small_integer():
    assert MAX_SMALL == 0x3FFFFFFF
