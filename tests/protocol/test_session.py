"""Sessions: every handshake that may and may not succeed, counters, replay and repeat, forgery bit by bit, no downgrade."""

import random

import pytest
from bare_pump import Bench
from ends import BOOT_COUNT, DEVICE_NONCE, HOST_NONCE, KEY, SCHEMA, SERIAL, decoded, forged, framed, handshakes, opened, sessions
from thecal.protocol import catalogue as cat
from thecal.protocol import session as ss
from thecal.protocol.handshake import HostHandshake
from thecal.protocol.frame import BAD, CLASS_ROUTINE, CLASS_THERAPY, COUNTER_BYTES, FRAME, HEADER, TAG_BYTES, Decoder

ROLES = [ss.CLINICIAN, ss.SERVICE, ss.PATIENT]
TAGGED = [CLASS_ROUTINE, CLASS_THERAPY]
MESSAGE = {CLASS_ROUTINE: cat.FILE_READ, CLASS_THERAPY: cat.STAGE}


# ---------------------------------------------------------------------------------------------------- handshakes
@pytest.mark.req("TH-LINK-03")
@pytest.mark.parametrize("role", ROLES)
def test_two_ends_with_one_key_understand_each_other_both_ways(role):
    host, pump = sessions(role)
    assert host.role == pump.role == role
    for message_id in (cat.STATUS, cat.STAGE, cat.COMMIT):
        for sender, receiver in ((host, pump), (pump, host)):
            assert opened(receiver.receiving, framed(sender.sending, message_id, b"text" * 9)) == (ss.OPENED, b"text" * 9)


@pytest.mark.req("TH-LINK-03")
@pytest.mark.parametrize("role", ROLES)
def test_a_host_with_another_key_gets_no_session(role):
    _, pump = handshakes(role)
    liar, _ = handshakes(role, host_key=b"x" * 32)
    said = ss.transcript(SCHEMA, role, SERIAL, BOOT_COUNT, HOST_NONCE, DEVICE_NONCE)
    assert pump.confirm(ss.proof(b"x" * 32, b"host", said)) is None
    assert not liar.answer(DEVICE_NONCE, BOOT_COUNT, SERIAL, pump.proof)
    assert pump.confirm(ss.proof(KEY, b"host", said)) is not None, "a wrong guess does not spoil the handshake of the right host"


@pytest.mark.req("TH-LINK-03")
def test_a_reflected_proof_proves_nothing():
    host, pump = handshakes()
    assert pump.confirm(pump.proof) is None
    host.answer(DEVICE_NONCE, BOOT_COUNT, SERIAL, pump.proof)
    assert host.confirm != pump.proof
    again, _ = handshakes()
    assert not again.answer(DEVICE_NONCE, BOOT_COUNT, SERIAL, host.confirm)


@pytest.mark.req("TH-LINK-03")
@pytest.mark.parametrize("bit", range(128))
def test_every_bit_of_both_proofs_counts(bit):
    host, pump = handshakes()
    wrong = bytearray(pump.proof)
    wrong[bit // 8] ^= 1 << bit % 8
    assert not host.answer(DEVICE_NONCE, BOOT_COUNT, SERIAL, bytes(wrong))
    assert host.answer(DEVICE_NONCE, BOOT_COUNT, SERIAL, pump.proof)
    wrong = bytearray(host.confirm)
    wrong[bit // 8] ^= 1 << bit % 8
    assert pump.confirm(bytes(wrong)) is None


OTHERS = [("role", 2), ("schema", SCHEMA ^ 1), ("serial", 1002), ("boot_count", 4), ("host_nonce", b"H" * 16), ("device_nonce", b"D" * 16)]


@pytest.mark.parametrize(("name", "value"), OTHERS)
def test_whatever_the_two_disagree_about_the_proof_is_wrong(name, value):
    """A lie told to one side about any part of the transcript: cross-session, wrong pump, replayed answer, another schema, another role."""
    host, _ = handshakes()
    _, pump = handshakes(**{name: value})
    assert not host.answer(DEVICE_NONCE, BOOT_COUNT, SERIAL, pump.proof)
    honest, _ = handshakes()
    _, same = handshakes()
    assert honest.answer(DEVICE_NONCE, BOOT_COUNT, SERIAL, same.proof)
    assert pump.confirm(honest.confirm) is None


@pytest.mark.req("TH-LINK-03")
@pytest.mark.parametrize(("name", "value"), [other for other in OTHERS if other[0] != "schema"] + [("key", b"k" * 32)])
def test_frames_of_one_session_mean_nothing_in_another(name, value):
    host, pump = sessions()
    other_host, other_pump = sessions(**{name: value})
    line = framed(host.sending, cat.COMMIT, bytes(8))
    assert opened(other_pump.receiving, line)[0] == ss.FORGED
    assert opened(other_host.receiving, framed(pump.sending, cat.STATUS))[0] == ss.FORGED
    assert opened(pump.receiving, line)[0] == ss.OPENED


def test_all_keys_of_all_sessions_differ():
    keys = set()
    for said in ({}, {"role": 2}, {"role": 3}, {"host_nonce": b"H" * 16}, {"device_nonce": b"D" * 16}, {"serial": 2}, {"boot_count": 9}):
        host, _ = sessions(**said)
        for channel in (host.sending, host.receiving):
            keys |= {channel._key, channel._mac._inner}
    assert len(keys) == 7 * 4


@pytest.mark.req("TH-LINK-03")
def test_shelf_keys_differ_by_pump_and_role():
    keys = {ss.shelf_key(serial, role) for serial in (0, 1, 1001, (1 << 30) - 1) for role in ROLES}
    assert len(keys) == 12 and {len(key) for key in keys} == {ss.KEY_BYTES}


# ---------------------------------------------------------------------------------------------------- counters
@pytest.mark.req("TH-LINK-02")
@pytest.mark.parametrize("message_class", TAGGED)
def test_directions_are_not_interchangeable(message_class):
    host, pump = sessions()
    line = framed(host.sending, MESSAGE[message_class], b"abc")
    assert opened(host.receiving, line)[0] == ss.FORGED, "reflected to its sender"
    assert opened(pump.sending, line)[0] == ss.FORGED
    assert opened(pump.receiving, line) == (ss.OPENED, b"abc")


def test_counters_rise_from_one_and_gaps_are_allowed():
    host, pump = sessions()
    lines = [framed(host.sending, cat.STATUS, bytes([number])) for number in range(10)]
    counters = [int.from_bytes(decoded(line).body[HEADER + 1:HEADER + 1 + COUNTER_BYTES], "little") for line in lines]
    assert counters == list(range(1, 11))
    for number in (0, 1, 4, 9):
        assert opened(pump.receiving, lines[number]) == (ss.OPENED, bytes([number]))


@pytest.mark.req("TH-LINK-02", "TH-LINK-01")
def test_the_last_frame_again_is_a_repeat_and_an_older_one_a_replay_for_ever():
    host, pump = sessions()
    lines = [framed(host.sending, cat.COMMIT, bytes([number] * 8)) for number in range(6)]
    for number in (0, 2, 5):
        assert opened(pump.receiving, lines[number])[0] == ss.OPENED
        assert opened(pump.receiving, lines[number])[0] == ss.REPEATED
        for older in range(number):
            assert opened(pump.receiving, lines[older])[0] == ss.REPLAYED
        assert opened(pump.receiving, lines[number])[0] == ss.REPEATED
    outcome, payload = opened(pump.receiving, lines[5])
    assert outcome == ss.REPEATED and payload != bytes([5] * 8), "a repeat is not decrypted again"


def test_a_frame_is_sealed_differently_every_time():
    host, pump = sessions()
    lines = [framed(host.sending, cat.STAGE, b"the same text", request_id=7) for _ in range(50)]
    assert len(set(lines)) == 50 and all(b"the same" not in line for line in lines)
    assert [opened(pump.receiving, line) for line in lines] == [(ss.OPENED, b"the same text")] * 50


def test_a_channel_without_counters_left_seals_nothing():
    host, pump = sessions()
    host.sending.counter = ss.MAX_COUNTER - 1
    assert opened(pump.receiving, framed(host.sending, cat.STATUS, b"last"))[0] == ss.OPENED
    buffer = bytearray(b"\x11" * 60)
    assert not host.sending.seal(buffer, 0, 4, CLASS_ROUTINE) and buffer == b"\x11" * 60
    assert host.sending.counter == ss.MAX_COUNTER


@pytest.mark.req("TH-LINK-03")
def test_a_reset_forgets_the_session_and_its_recorded_frames_are_worth_nothing():
    host, _ = sessions(boot_count=3)
    recorded = [framed(host.sending, cat.COMMIT, bytes(8)) for _ in range(20)]
    _, reborn = sessions(boot_count=4, device_nonce=b"D" * 16)
    assert {opened(reborn.receiving, line)[0] for line in recorded} == {ss.FORGED}


# ---------------------------------------------------------------------------------------------------- forgery
@pytest.mark.req("TH-LINK-02")
@pytest.mark.parametrize("message_class", TAGGED)
@pytest.mark.parametrize("length", [0, 1, 6, 40])
def test_every_bit_of_header_text_counter_and_tag_is_covered(message_class, length):
    host, pump = sessions()
    line = framed(host.sending, MESSAGE[message_class], bytes(length), seq=5, request_id=6)
    size = HEADER + length + COUNTER_BYTES + TAG_BYTES[message_class]
    counter = pump.receiving.counter
    for bit in range(8 * size):
        if bit // 8 in (0, 2):
            continue            # version, class and length are the decoder's: below
        outcome, _ = opened(pump.receiving, forged(line, lambda body, bit=bit: flip(body, bit)))
        assert outcome == ss.FORGED, bit
        assert pump.receiving.counter == counter, "a forgery moves no counter"
    assert opened(pump.receiving, line)[0] == ss.OPENED


def flip(body, bit):
    body[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("message_class", TAGGED)
def test_version_class_and_length_cannot_be_changed_either(message_class):
    host, pump = sessions()
    line = framed(host.sending, MESSAGE[message_class], bytes(12))
    for at in (0, 2):
        for value in range(256):
            def change(body, at=at, value=value):
                body[at] = value

            hurt = forged(line, change)
            if hurt == line:
                continue
            decoder = Decoder(SCHEMA)
            result = [decoder.feed(byte) for byte in hurt][-1]
            if result == FRAME:         # a class and length that fit the size: then the tag must not
                assert TAG_BYTES[decoder.message_class] == 0 or pump.receiving.open(
                    decoder.body, decoder.length, decoder.message_class) == ss.FORGED
            else:
                assert result == BAD


@pytest.mark.req("TH-LINK-02")
def test_a_therapy_frame_cannot_be_passed_off_under_the_shorter_tag():
    """Downgrade: class 2 with the first 8 of the 16 tag bytes. The class is under the tag."""
    host, pump = sessions()
    line = framed(host.sending, cat.COMMIT, bytes(8))

    def downgrade(body):
        body[0] = body[0] & ~0x1F | CLASS_ROUTINE
        del body[-8:]

    assert opened(pump.receiving, forged(line, downgrade))[0] == ss.FORGED


@pytest.mark.req("TH-LINK-02")
@pytest.mark.parametrize("message_class", TAGGED)
def test_random_tags_never_pass(message_class):
    chance = random.Random(message_class)
    host, pump = sessions()
    line = framed(host.sending, MESSAGE[message_class], bytes(6))
    for _ in range(2000):
        def guess(body):
            body[-TAG_BYTES[message_class]:] = chance.randbytes(TAG_BYTES[message_class])

        assert opened(pump.receiving, forged(line, guess))[0] == ss.FORGED


@pytest.mark.req("TH-LINK-02")
def test_text_of_one_frame_under_the_counter_of_another_is_forged():
    host, pump = sessions()
    one, other = (framed(host.sending, cat.COMMIT, bytes([number] * 8)) for number in (1, 2))

    def splice(body):
        body[HEADER:HEADER + 8] = decoded(other).body[HEADER:HEADER + 8]

    assert opened(pump.receiving, forged(one, splice))[0] == ss.FORGED


def test_the_real_pump_never_seals_twice_under_one_key_and_counter(monkeypatch):
    """Resets, sessions opened anew, repeats, pushes; entropy as poor as can be (always zeros) and a host that never changes its nonce."""
    used = []
    seal = ss.Channel.seal

    def watched(channel, *frame):
        sealed = seal(channel, *frame)
        used.append((bytes(channel._key), channel.counter))
        return sealed

    class Zeros:
        def fill(self, buffer):
            buffer[:] = bytes(len(buffer))

    bench = Bench()
    monkeypatch.setattr(ss.Channel, "seal", watched)
    for _ in range(4):
        bench.app.ports.entropy = Zeros()
        for role in ROLES + [ss.CLINICIAN]:
            host = HostHandshake(SCHEMA, role, ss.shelf_key(1001, role), HOST_NONCE)
            said = answer_of(bench, framed(None, cat.SESSION_OPEN, bytes([role]) + HOST_NONCE))
            assert host.answer(said[:16], int.from_bytes(said[16:20], "little"), 1001, said[24:])
            for line in [framed(None, cat.SESSION_CONFIRM, host.confirm)] * 2 + [framed(host.session.sending, cat.STATUS)] * 3:
                answer_of(bench, line)
        bench.reboot()
    assert len(used) == len(set(used)) == 4 * 4 * (2 + 1 + 3)


def answer_of(bench, line):
    """Payload of the pump's one answer, as it stands on the line."""
    bench.wake(line)
    return decoded(bytes(bench.latch.tx[:bench.latch.tx_length])).payload()
