"""Requests on a line: two checksums that agree, what a refusal can be believed to mean, what was left behind."""

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thecal.host.errors import PumpRefused, RequestInvalid, Timeout
from thecal.host.transport import Line
from thecal.host.wire import Wire, host_crc
from thecal.protocol import catalogue as cat


@pytest.fixture
def wire(fake):
    wire = Wire(Line(fake, fake.clock), cat.schema_crc())
    wire.begin()
    return wire


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_crcmod_and_binascii_are_each_others_oracle(data, seed):
    assert host_crc(memoryview(data), seed) == binascii.crc32(data, seed)


def test_an_open_request_needs_no_session(wire, fake):
    assert wire.one(cat.IDENTITY, (), 1.0)["serial"] == 1001 and wire.session is None
    assert wire.sent_s == fake.clock.now_s()


@pytest.mark.parametrize("message, values, reason, value, words", [
    (cat.PAIR, (1, b"k" * 32), cat.R_MAGNET, 0, "the pump refused pair: needs the magnet at the pump: hold it there and try again"),
    (cat.SESSION_OPEN, (1, b"n" * 16), cat.R_LOCKED, 58, "locked after wrong keys, for another 58 s; therapy goes on meanwhile"),
    (cat.REDUCE, (1,), cat.R_STATE, 2, "it is stopped already, and falling back would raise the rate"),
    (cat.REDUCE, (1,), cat.R_STATE, 0, "there is no program to reduce"),
    (cat.ALARMS, (), cat.R_STATE, 99, "not in this mode$"),
    (cat.HELLO, (2, 0), 77, 0, "the pump refused hello: reason 77$"),
])
def test_refusals_are_clear_sentences(wire, fake, message, values, reason, value, words):
    fake.refuse[message] = (reason, 0, value)
    with pytest.raises(PumpRefused, match=words) as caught:
        wire.one(message, values, 1.0)
    assert caught.value.code == reason


def test_what_is_left_early_is_known_and_begin_clears_it(wire, fake):
    fake.mute = True
    with pytest.raises(Timeout):
        wire.one(cat.IDENTITY, (), 1.0)
    assert not wire.clean
    fake.mute = False
    wire.begin()
    assert wire.clean and wire.one(cat.IDENTITY, (), 1.0)["serial"] == 1001


@pytest.mark.req("TH-BAD-02")
def test_a_value_out_of_bounds_is_never_sent(wire, fake):
    with pytest.raises(RequestInvalid, match="reduce: action is 3; allowed are 1 .. 2"):
        wire.one(cat.REDUCE, (3,), 1.0)
    assert fake.served == []


def test_what_the_line_did_is_counted_and_said(wire, fake):
    assert wire.counts().to_dict() == {"retries": 0, "damaged": 0, "stray": 0, "push_gaps": 0} and wire.counts().text() == ""
    fake.lose_reply = cat.HELLO
    wire.one(cat.HELLO, (cat.PROTOCOL_VERSION, cat.schema_crc()), 5)
    wire.one(cat.IDENTITY, (), 5)
    fake._out.extend(b"\5noise\0" * 2)
    wire.one(cat.ALARMS, (), 5)
    counts = wire.counts()
    assert (counts.retries, counts.damaged) == (1, 2) and counts.text() == "1 requests repeated, 2 frames damaged"


def test_listening_ends_with_none(wire, fake):
    before = fake.clock.now_s()
    assert wire.listen(3) is None and fake.clock.now_s() - before == pytest.approx(3)
    assert wire.push_gaps == 0 and wire.counts().text() == ""
