"""Frames made from outside: there and back through COBS, and past the pump's own decoder once they are mended."""

import random

import pytest

from thecal.hw_sim.attacker_frames import Heard, made, mended, stuff, unstuff
from thecal.protocol import catalogue as cat
from thecal.protocol.frame import FRAME, MIN_BODY, Decoder


def decoded(raw):
    decoder = Decoder(cat.schema_crc())
    return [decoder.feed(byte) for byte in raw][-1] == FRAME, decoder


def test_cobs_there_and_back():
    draw = random.Random(1)
    for _ in range(500):
        body = bytes(draw.choice((0, 0, 1, 255, draw.randrange(256))) for _ in range(draw.randrange(MIN_BODY, 250)))
        assert unstuff(stuff(body)) == body and 0 not in stuff(body)[:-1]


@pytest.mark.parametrize("raw", [b"\0", b"\x05\x01\0", b"\x02\x01\x00", b""])
def test_what_is_no_frame_has_no_body(raw):
    assert unstuff(raw) == b""


def test_made_and_mended_frames_pass_the_decoder_of_the_pump():
    for message_id in (cat.HELLO, cat.STATUS, cat.COMMIT):
        good, decoder = decoded(made(message_id, bytes(8), request_id=9, seq=3))
        assert good and (decoder.message_id, decoder.request_id, decoder.seq, decoder.length) == (message_id, 9, 3, 8)
    body = bytearray(unstuff(made(cat.COMMIT, bytes(8))))
    body[7] ^= 1
    assert not decoded(stuff(bytes(body)))[0] and decoded(mended(bytes(body[:-4]), cat.schema_crc()))[0]
    with pytest.raises(ValueError, match="0x5f is not in the catalogue"):
        made(0x5F)


def test_what_was_heard_tells_its_message():
    raw = made(cat.ALARMS)
    assert Heard(0, "host", raw, unstuff(raw)).message == cat.ALARMS and Heard(0, "host", b"\0", b"").message == -1
