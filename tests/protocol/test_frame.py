"""The codec quartet (whole, byte by byte, garbage around, bits flipped) with the pump's CRC on one side and the host's on the other.

Tagged classes are sealed by a channel; a frame of theirs is judged twice, by the decoder and then by the channel at the other end.
"""

import itertools
import random

import crcmod.predefined
import pytest
from ends import sessions
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.protocol import frame as fr
from thecal.protocol.crc import crc32
from thecal.protocol.frame import BAD, FRAME, HEADER, MAX_FRAME, MAX_PAYLOAD, NEED, TAG_BYTES, Decoder, encode
from thecal.protocol.session import FORGED, OPENED, REPEATED

SEED = 0xC0FFEE42
_crcmod32 = crcmod.predefined.mkPredefinedCrcFun("crc-32")


def host_crc(data, seed=0):
    return _crcmod32(bytes(data), seed)


SIDES = [pytest.param(crc32, host_crc, id="pump to host"), pytest.param(host_crc, crc32, id="host to pump")]
CLASSES = [fr.CLASS_OPEN, fr.CLASS_PLAIN, fr.CLASS_ROUTINE, fr.CLASS_THERAPY]


def framed(payload, message_class=fr.CLASS_PLAIN, message_id=0x10, seq=3, request_id=9, seed=SEED, crc=crc32, channel=None):
    """One frame; a tagged one is the first of a session unless `channel` says otherwise."""
    out = bytearray(b"\xAA" * MAX_FRAME)
    if channel is None and TAG_BYTES[message_class]:
        channel = sessions()[0].sending
    size = encode(out, message_class, message_id, seq, request_id, payload, len(payload), seed, crc, channel)
    assert size > 0 and out[size:] == b"\xAA" * (MAX_FRAME - size), "no frame, or wrote behind it"
    return bytes(out[:size])


def decoded(stream, seed=SEED, crc=crc32):
    """Every event of a stream: (message_class, id, seq, request id, payload in clear), "bad" or "forged"; and the decoder.

    Each tagged frame is opened by a channel of its own, as the first of its session.
    """
    decoder = Decoder(seed, crc)
    events = []
    for byte in stream:
        result = decoder.feed(byte)
        if result == FRAME:
            outcome = OPENED
            if TAG_BYTES[decoder.message_class]:
                outcome = sessions()[1].receiving.open(decoder.body, decoder.length, decoder.message_class)
            events.append("forged" if outcome == FORGED else
                          (decoder.message_class, decoder.message_id, decoder.seq, decoder.request_id, decoder.payload()))
        elif result == BAD:
            events.append("bad")
        else:
            assert result == NEED
    return events, decoder


def counted(decoder):
    return decoder.bad_cobs + decoder.bad_length + decoder.bad_version + decoder.bad_class + decoder.bad_crc


def cobs(body):
    """Consistent overhead byte stuffing from its paper, for bodies below 254 bytes."""
    out = bytearray()
    for part in bytes(body).split(b"\0"):
        out.append(len(part) + 1)
        out += part
    return bytes(out) + b"\0"


@pytest.mark.slow
@pytest.mark.parametrize(("sender", "receiver"), SIDES)
@pytest.mark.parametrize("message_class", CLASSES)
def test_every_length_whole(message_class, sender, receiver):
    chance = random.Random(message_class)
    for length in range(MAX_PAYLOAD + 1):
        for payload in (chance.randbytes(length), bytes(length), b"\xff" * length, bytes(chance.randrange(2) for _ in range(length))):
            data = framed(payload, message_class, length, length, 255 - length, crc=sender)
            assert data.count(0) == 1 and data[-1] == 0
            assert len(data) == fr.MIN_BODY + length + fr.trailer_bytes(message_class) + 2 <= MAX_FRAME
            assert decoded(data, crc=receiver)[0] == [(message_class, length, length, 255 - length, payload)]


def test_the_wire_is_cobs_over_the_documented_body():
    payload = bytes([0, 1, 0, 0, 255, 7])
    body = bytes([fr.VERSION << 5 | fr.CLASS_PLAIN, 0x15, 6, 0, 200]) + payload
    body += _crcmod32(body, SEED).to_bytes(4, "little")
    assert framed(payload, fr.CLASS_PLAIN, 0x15, 0, 200) == cobs(body)
    body = bytes([fr.VERSION << 5, 1, 0, 2, 3])
    assert framed(b"", fr.CLASS_OPEN, 1, 2, 3) == cobs(body + _crcmod32(body).to_bytes(4, "little"))


def test_a_tagged_frame_carries_the_counter_of_its_channel_and_the_length_of_its_class():
    channel = sessions()[0].sending
    for number, (message_class, tag) in enumerate([(fr.CLASS_ROUTINE, 8), (fr.CLASS_THERAPY, 16), (fr.CLASS_ROUTINE, 8)], 1):
        decoder = Decoder(SEED)
        data = framed(b"abc", message_class, channel=channel)
        assert [decoder.feed(byte) for byte in data][-1] == FRAME and len(data) == HEADER + 3 + 4 + tag + 4 + 2
        assert decoder.payload() != b"abc" and decoder.body[HEADER + 3:HEADER + 7] == bytes([number, 0, 0, 0])


def test_a_tagged_frame_without_a_channel_or_a_counter_is_no_frame():
    out, spent = bytearray(MAX_FRAME), sessions()[0].sending
    spent.counter = (1 << 30) - 1
    for message_class in (fr.CLASS_ROUTINE, fr.CLASS_THERAPY):
        assert encode(out, message_class, 0x10, 0, 1, b"", 0, SEED) == 0
        assert encode(out, message_class, 0x10, 0, 1, b"", 0, SEED, crc32, spent) == 0
    assert encode(out, fr.CLASS_PLAIN, 0x60, 0, 1, b"", 0, SEED, crc32, spent) > 0


def test_lengths_and_classes_out_of_range_are_refused_without_a_frame():
    out = bytearray(MAX_FRAME)
    for length, message_class in ((221, 1), (-1, 1), (0, 4), (0, -1), (0, 31)):
        assert encode(out, message_class, 1, 0, 0, bytes(221), length, SEED) == 0


def test_seq_and_request_id_wrap_at_a_byte():
    assert decoded(framed(b"x", seq=256 + 5, request_id=512 + 6))[0] == [(1, 0x10, 5, 6, b"x")]


@pytest.mark.req("TH-LINK-10")
@pytest.mark.parametrize("seed", [0, 1, SEED ^ 1, 0xFFFFFFFF])
def test_only_open_frames_pass_under_another_schema(seed):
    assert decoded(framed(b"abc", fr.CLASS_OPEN), seed)[0] == [(0, 0x10, 3, 9, b"abc")]
    for message_class in CLASSES[1:]:
        events, decoder = decoded(framed(b"abc", message_class), seed)
        assert events == ["bad"] and decoder.bad_crc == 1


@given(st.lists(st.tuples(st.binary(max_size=220), st.sampled_from(CLASSES), st.binary(max_size=600)), max_size=6))
@settings(max_examples=60)
def test_in_garbage_every_frame_behind_a_zero_is_found(parts):
    stream, expected = b"", []
    for payload, message_class, garbage in parts:
        stream += garbage + b"\0" + framed(payload, message_class)
        expected.append((message_class, 0x10, 3, 9, payload))
    events, decoder = decoded(stream)
    assert [event for event in events if event != "bad"] == expected
    assert decoder.frames == len(expected)
    assert counted(decoder) == events.count("bad")


@pytest.mark.req("TH-LINK-09")
@given(st.binary(max_size=2000))
@settings(max_examples=200)
def test_noise_is_counted_and_never_raised_nor_taken(noise):
    events, decoder = decoded(noise + b"\0")
    assert set(events) <= {"bad"}
    assert counted(decoder) == len(events) <= noise.count(0) + 1


@pytest.mark.req("TH-LINK-09")
@pytest.mark.parametrize("message_class", CLASSES)
@pytest.mark.parametrize("length", [0, 1, 32, 220])
def test_every_single_bit_flipped_is_refused_and_the_next_frame_survives(message_class, length):
    chance = random.Random(length)
    data, after = framed(bytes(chance.randrange(3) for _ in range(length)), message_class), framed(b"next", fr.CLASS_PLAIN)
    whole = (message_class, 0x10, 3, 9)
    for bit in range(8 * len(data)):
        hurt = bytearray(data)
        hurt[bit // 8] ^= 1 << bit % 8
        events, decoder = decoded(bytes(hurt) + after + after)
        assert not any(event[:4] == whole and event[4] != b"next" for event in events if event != "bad"), bit
        assert events[-1] == (1, 0x10, 3, 9, b"next")
        assert len([event for event in events if event != "bad"]) == (2 if hurt[-1] == 0 else 1)
        assert 1 <= events.count("bad") == counted(decoder)


@pytest.mark.slow
@pytest.mark.req("TH-LINK-09")
def test_sampled_pairs_of_flipped_bits_are_refused():
    chance = random.Random(2)
    data = framed(chance.randbytes(40))
    for _ in range(20_000):
        one, two = chance.sample(range(8 * len(data)), 2)
        hurt = bytearray(data)
        hurt[one // 8] ^= 1 << one % 8
        hurt[two // 8] ^= 1 << two % 8
        assert not any(event != "bad" for event in decoded(bytes(hurt) + b"\0")[0]), (one, two)


@pytest.mark.req("TH-LINK-09")
@pytest.mark.parametrize("change", ["drop", "double", "cut"])
def test_every_byte_dropped_doubled_or_cut_off(change):
    data, after = framed(bytes(range(30))), framed(b"next")
    for at in range(len(data) - 1):
        hurt = {"drop": data[:at] + data[at + 1:], "double": data[:at] + data[at:at + 1] + data[at:], "cut": data[:at] + b"\0"}[change]
        events, _ = decoded(hurt + after)
        assert [event for event in events if event != "bad"] == [(1, 0x10, 3, 9, b"next")], at


def test_what_is_wrong_is_counted_by_name():
    def body(first=fr.VERSION << 5 | 1, length=0, rest=b""):
        data = bytes([first, 0x10, length, 0, 0]) + rest
        return cobs(data + crc32(data, SEED).to_bytes(4, "little"))

    for stream, name in (
        (body((fr.VERSION + 1) << 5 | 1), "bad_version"), (body(fr.VERSION << 5 | 4), "bad_class"), (body(length=1), "bad_length"),
        (body(length=221, rest=bytes(221)), "bad_length"), (body(rest=b"x"), "bad_length"), (b"\5\1\1\0", "bad_length"),
        (b"\x20" + bytes([1] * 9) + b"\0", "bad_cobs"), (b"\1" * (fr.MAX_BODY + 2) + b"\0", "bad_length"),
        (cobs(bytes(12)), "bad_version"), (framed(b"")[:-2] + b"\x01\0", "bad_crc"),
    ):
        events, decoder = decoded(stream)
        assert events == ["bad"] and counted(decoder) == 1 and getattr(decoder, name) == 1, (stream, name, vars(decoder))
    assert decoded(body())[0] == [(1, 0x10, 0, 0, b"")]


def test_zeros_between_frames_are_a_wake_up_and_no_error():
    events, decoder = decoded(b"\0" * 100 + framed(b"a") + b"\0\0\0" + framed(b"b"))
    assert [event[4] for event in events] == [b"a", b"b"] and counted(decoder) == 0


def test_an_overlong_frame_is_dropped_and_the_decoder_stays_in_its_buffer():
    decoder = Decoder(SEED)
    for byte in b"\xff" * 5000:
        assert decoder.feed(byte) == NEED
    assert decoder.feed(0) == BAD and decoder.bad_length == 1
    assert [decoder.feed(byte) for byte in framed(b"x")][-1] == FRAME


# ---------------------------------------------------------------------------------------------------- sealed commands, hurt
def judged(data):
    """What the pump's end makes of a frame that came hurt, with the whole frame behind it: (outcome, ...) of each."""
    decoder, channel = Decoder(SEED), sessions()[1].receiving
    found = []
    for byte in data:
        result = decoder.feed(byte)
        if result == FRAME and TAG_BYTES[decoder.message_class]:
            found.append(channel.open(decoder.body, decoder.length, decoder.message_class))
        elif result != NEED:
            found.append("bad" if result == BAD else "untagged")
    assert decoder._fill <= fr.MAX_BODY == len(decoder.body)
    return found


@pytest.mark.parametrize("message_class", [fr.CLASS_ROUTINE, fr.CLASS_THERAPY])
@pytest.mark.parametrize("length", [0, 8, 101])
def test_every_prefix_of_a_sealed_command(message_class, length):
    data = framed(bytes(range(length)), message_class)
    for end in range(len(data)):
        assert judged(data[:end]) == [], "an unfinished frame is nothing"
        first = [] if end == 0 else [OPENED] if end == len(data) - 1 else ["bad"]       # nothing, all but its zero, or a torso
        assert judged(data[:end] + b"\0" + data) == [*first, REPEATED if OPENED in first else OPENED], end
        assert judged(data[end:] + data)[-1] == (OPENED if end else REPEATED)


@pytest.mark.parametrize("message_class", [fr.CLASS_ROUTINE, fr.CLASS_THERAPY])
@pytest.mark.parametrize("length", [0, 8, 101])
def test_every_flipped_bit_of_a_sealed_command(message_class, length):
    data = framed(bytes(length), message_class)
    for bit in range(8 * len(data)):
        found = judged(flipped(data, bit) + b"\0" + data)
        assert found[-1] == OPENED and found.count(OPENED) == 1 and set(found[:-1]) <= {"bad", FORGED}, (bit, found)


@pytest.mark.slow
@pytest.mark.parametrize("message_class", [fr.CLASS_ROUTINE, fr.CLASS_THERAPY])
def test_pairs_of_flipped_bits_of_a_sealed_command(message_class):
    """All neighbours within a byte's reach, and a sample of the rest."""
    chance = random.Random(message_class)
    data = framed(bytes(range(8)), message_class)
    bits = range(8 * len(data))
    pairs = [(one, other) for one in bits for other in range(one + 1, min(one + 9, len(bits)))]
    pairs += chance.sample(list(itertools.combinations(bits, 2)), 4000)
    for one, other in pairs:
        found = judged(flipped(data, one, other) + b"\0" + data)
        assert found[-1] == OPENED and found.count(OPENED) == 1 and set(found[:-1]) <= {"bad", FORGED}, (one, other, found)


def flipped(data, *bits):
    hurt = bytearray(data)
    for bit in bits:
        hurt[bit // 8] ^= 1 << bit % 8
    return bytes(hurt)
