"""The host's end: retries and their timer, window 1, several reads outstanding, gaps, and what is believed of what comes back."""

from collections import deque

import pytest
from ends import SCHEMA, decoded, forged, framed, opened, sessions
from talk import Talk, digest, lone_host, sent
from thecal.protocol import catalogue as cat
from thecal.protocol import requester
from thecal.protocol.fields import pack, unpack
from thecal.protocol.frame import HEADER
from thecal.protocol.session import OPENED


def test_a_clean_line_needs_no_retry_and_the_timer_learns_it():
    talk = Talk()
    assert talk.host.rto_ms == requester.FIRST_RTO_MS
    for number in range(300):       # request ids wrap at 255, sequence numbers at 256
        assert talk.ask(cat.COMMIT, digest(number))[0] == requester.OUT_REPLY
    assert (talk.host.retries, talk.host.timeouts, talk.host.stray, talk.pump.responder.repeats) == (0, 0, 0, 0)
    assert requester.MIN_RTO_MS <= talk.host.rto_ms <= 200


def test_a_doubled_reply_is_stray_and_answers_nothing_else():
    talk = Talk(double=1.0)
    for number in range(300):
        kind, _, message_id, payload = talk.ask(cat.COMMIT, digest(number))
        assert (kind, message_id, payload[:8]) == (requester.OUT_REPLY, cat.COMMIT, digest(number))
    assert max(talk.pump.executed.values()) == 1 and talk.host.stray >= 300


def test_a_dead_line_is_given_up_after_its_tries_with_growing_waits():
    talk = Talk(loss=1.0)
    request = talk.host.submit(cat.STATUS, b"", 0)
    sent = []
    for now_ms in range(0, 60_000):
        if talk.host.outbox:
            sent.append(now_ms)
            talk.host.outbox.clear()
        came = talk.host.poll(now_ms)
        if came:
            assert came == [(requester.OUT_TIMEOUT, request, cat.STATUS, b"")]
            break
    sent = [sent[0], *(now_ms - 1 for now_ms in sent[1:])]      # seen one round after they were queued
    waits = [later - now for now, later in zip(sent, sent[1:])]
    assert len(sent) == requester.TRIES and talk.host.outstanding == 0 and talk.host.timeouts == 1
    assert set(waits) == {requester.FIRST_RTO_MS}, "the first wait is as long as doubling goes"
    assert talk.host.next_due_ms(0) is None


@pytest.mark.parametrize("rto_ms, due_ms", [
    (96, [96, 192, 384, 768, 1000, 1000, 1000, 1000]), (600, [600] + [1000] * 7), (3000, [3000] * 8)])
def test_waits_double_up_to_a_second_and_are_never_below_the_round_trip(rto_ms, due_ms):
    host, _ = lone_host()
    host.rto_ms = rto_ms
    host.submit(cat.STATUS, b"", 0)
    now_ms, waits = 0, []
    while host.outstanding:
        waits.append(host.next_due_ms(now_ms))
        now_ms += waits[-1]
        host.poll(now_ms)
    assert waits == due_ms and len(due_ms) == requester.TRIES


def test_eight_tries_fit_the_programmers_deadline_once_the_line_is_known():
    host, _ = lone_host()
    host.rto_ms = host._floor_ms
    host.submit(cat.STATUS, b"", 0)
    for now_ms in range(5000):
        host.poll(now_ms)
    assert host.retries == requester.TRIES - 1 and host.outstanding


def test_next_due_says_when_poll_has_something_to_do():
    host, _ = lone_host()
    host.submit(cat.STATUS, b"", 100)
    host.outbox.clear()
    due = 100 + host.next_due_ms(100)
    assert host.poll(due - 1) == [] and not host.outbox
    assert host.next_due_ms(due - 1) == 1
    host.poll(due)
    assert host.outbox and host.retries == 1


def test_a_repeated_request_teaches_the_timer_nothing():
    talk = Talk(delay_ms=700)       # the round trip is longer than the first timer: every request is sent twice
    assert talk.ask(cat.COMMIT, digest(1))[0] == requester.OUT_REPLY
    assert talk.host.retries == 1 and talk.host.rto_ms == requester.FIRST_RTO_MS
    assert talk.pump.executed[cat.COMMIT, digest(1)] == 1


def test_commands_have_window_1_in_both_orders():
    host, _ = lone_host()
    host.submit(cat.FILE_READ, bytes(6), 0)
    with pytest.raises(ValueError, match="window 1"):
        host.submit(cat.COMMIT, digest(1), 0)
    host, _ = lone_host()
    host.submit(cat.COMMIT, digest(1), 0)
    # A read behind a command would take the pump's one kept reply away, and the repeated command would run again.
    for message_id in (cat.FILE_READ, cat.STATUS, cat.STAGE, cat.HELLO):
        with pytest.raises(ValueError, match="window 1"):
            host.submit(message_id, bytes(6), 0)


@pytest.mark.parametrize("seed", range(3))
def test_several_reads_outstanding_all_arrive_whole(seed):
    talk = Talk(seed, loss=0.15, double=0.15, damage=0.05)
    wanted, got, pending = deque(range(0, 4000, 100)), {}, {}
    for _ in range(100_000):
        while wanted and talk.host.outstanding < 4:
            offset = wanted.popleft()
            payload = bytearray(6)
            pack(cat.message(cat.FILE_READ)[5], (0, offset, 100), payload)
            pending[talk.host.submit(cat.FILE_READ, payload, talk.now_ms)] = offset
            talk.flush()
        for kind, request, _, payload in talk.tick():
            if kind == requester.OUT_TIMEOUT:
                wanted.append(pending[request])
            else:
                assert payload[1:5] == pending[request].to_bytes(4, "little")
                got[pending[request]] = payload[5:]
        if not wanted and not talk.host.outstanding:
            break
    assert b"".join(got[offset] for offset in sorted(got)) == bytes(index % 251 for index in range(4000))


def test_a_refusal_ends_the_request_and_names_it():
    talk = Talk()
    kind, _, message_id, payload = talk.ask(cat.STATUS)
    assert (kind, message_id, payload[:2]) == (requester.OUT_REFUSED, cat.STATUS, bytes([cat.STATUS, cat.R_UNKNOWN_MESSAGE]))


def test_gaps_in_the_pushed_telemetry_are_counted():
    talk = Talk()
    responder, host = talk.pump.responder, talk.host
    payload = bytearray(60)
    length = pack(cat.message(cat.LIVE_FRAME)[5], (5, 2, 500000, 9, -1, 10, 0), payload)
    frames = []
    for _ in range(600):            # the push sequence wraps twice
        responder.payload[:length] = payload[:length]
        responder.push(cat.LIVE_FRAME, length)
        frames.append(talk.back.queue.pop()[1])
    lost = set(range(3, 9)) | {255, 256, 511, 598}
    for number, frame in enumerate(frames):
        if number not in lost:
            assert host.feed(frame, 0) == [(requester.OUT_PUSH, 0, cat.LIVE_FRAME, bytes(payload[:length]))]
    assert host.push_gaps == len(lost) and host.stray == 0


def test_a_push_between_request_and_reply_disturbs_neither():
    talk = Talk()
    request = talk.host.submit(cat.COMMIT, digest(5), 0)
    talk.flush()
    length = pack(cat.message(cat.LIVE_FRAME)[5], (5, 2, 500000, 9, -1, 10, 0), talk.pump.responder.payload)
    talk.pump.responder.push(cat.LIVE_FRAME, length)
    events = [event for _ in range(20) for event in talk.tick()]
    assert [event[0] for event in events] == [requester.OUT_PUSH, requester.OUT_REPLY] and events[1][1] == request


@pytest.mark.req("TH-LINK-10")
def test_a_pump_with_another_schema_still_answers_hello_and_nothing_else():
    talk = Talk()
    session = talk.host.session
    talk.host = requester.Requester(SCHEMA ^ 0x1234)
    talk.host.session = session
    payload = bytearray(5)
    pack(cat.message(cat.HELLO)[5], (cat.PROTOCOL_VERSION, SCHEMA ^ 0x1234), payload)
    kind, _, _, reply = talk.ask(cat.HELLO, payload)
    found = [0] * 6
    unpack(cat.message(cat.HELLO | cat.REPLY_BIT)[5], reply, 0, len(reply), found)
    assert kind == requester.OUT_REPLY and found[:2] == [cat.PROTOCOL_VERSION, SCHEMA]
    assert talk.ask(cat.COMMIT, digest(1))[0] == requester.OUT_TIMEOUT
    assert (cat.COMMIT, digest(1)) not in talk.pump.executed


def test_a_reply_of_another_kind_under_a_waiting_id_is_stray():
    host, pump = lone_host()
    request = host.submit(cat.STATUS, b"", 0)
    line = framed(pump.sending, cat.FILE_INFO | cat.REPLY_BIT, bytes(9), request_id=request)
    assert host.feed(line, 10) == [] and host.stray == 1 and host.outstanding == 1


def test_what_cannot_be_sent_is_said():
    host, _ = lone_host()
    with pytest.raises(ValueError, match="0x60 is not in the catalogue"):
        host.submit(0x60, b"", 0)
    with pytest.raises(ValueError, match="stage: needs an open session and a payload of at most 220 bytes; it has 221"):
        host.submit(cat.STAGE, bytes(221), 0)
    host.session = None
    with pytest.raises(ValueError, match="status: needs an open session"):
        host.submit(cat.STATUS, b"", 0)
    assert host.outstanding == 0 and not host.outbox


# ---------------------------------------------------------------------------------------------------- repeats under seal
def tries_of(message_id, payload):
    """All the frames by which a host asks a dead line, and the pump's session."""
    host, pump = lone_host()
    host.submit(message_id, payload, 0)
    lines, now_ms = sent(host), 0
    while host.outstanding:
        now_ms += host.next_due_ms(now_ms)
        host.poll(now_ms)
        lines += sent(host)
    assert len(lines) == requester.TRIES
    return lines, pump


def test_a_therapy_command_is_repeated_to_the_byte():
    lines, _ = tries_of(cat.COMMIT, digest(1))
    assert len(set(lines)) == 1


def test_an_open_request_is_repeated_to_the_byte():
    lines, _ = tries_of(cat.HELLO, bytes(5))
    assert len(set(lines)) == 1


def test_a_routine_request_is_sealed_anew_and_any_one_of_its_frames_will_do():
    lines, pump = tries_of(cat.FILE_READ, bytes(6))
    assert len(set(lines)) == requester.TRIES
    assert {decoded(line).request_id for line in lines} == {1}
    assert all(opened(pump.receiving, line) == (OPENED, bytes(6)) for line in lines)


@pytest.mark.parametrize("reason", [reason for reason, _ in cat.REASONS])
def test_of_an_unsealed_refusal_only_no_session_and_locked_are_believed(reason):
    host, _ = lone_host()
    request = host.submit(cat.COMMIT, digest(1), 0)
    payload = bytearray(7)
    pack(cat.message(cat.REFUSED)[5], (cat.COMMIT, reason, 0, 0), payload)
    came = host.feed(framed(None, cat.REFUSED, payload, request_id=request), 5)
    believed = reason in (cat.R_SESSION, cat.R_LOCKED)
    assert [event[0] for event in came] == ([requester.OUT_REFUSED] if believed else [])
    assert host.stray == (0 if believed else 1) and host.outstanding == (0 if believed else 1)


def test_a_sealed_refusal_is_the_pumps_word_and_an_open_request_may_be_refused_in_clear():
    host, pump = lone_host()
    payload = bytearray(7)
    pack(cat.message(cat.REFUSED)[5], (cat.COMMIT, cat.R_STATE, 0, 3), payload)
    request = host.submit(cat.COMMIT, digest(1), 0)
    assert host.feed(framed(pump.sending, cat.REFUSED_SEALED, payload, request_id=request), 5)[0][0] == requester.OUT_REFUSED
    request = host.submit(cat.PAIR, bytes(33), 10)
    pack(cat.message(cat.REFUSED)[5], (cat.PAIR, cat.R_MAGNET, 0, 3), payload)
    assert host.feed(framed(None, cat.REFUSED, payload, request_id=request), 15)[0][0] == requester.OUT_REFUSED


def test_a_refusal_of_another_message_with_the_same_request_id_is_stray():
    """Two hosts on one line count their requests apart: what the pump says of the other's old frame refuses nothing of ours."""
    host, pump = lone_host()
    payload = bytearray(7)
    pack(cat.message(cat.REFUSED)[5], (cat.COMMIT, cat.R_SESSION, 0, 0), payload)
    for message, body in ((cat.HELLO, bytes(5)), (cat.STATUS, b"")):
        request, stray = host.submit(message, body, 0), host.stray
        assert host.feed(framed(None, cat.REFUSED, payload, request_id=request), 5) == []
        assert host.feed(framed(pump.sending, cat.REFUSED_SEALED, payload, request_id=request), 5) == []
        assert host.stray == stray + 2 and host.outstanding


@pytest.mark.req("TH-LINK-02")
def test_replies_that_are_forged_replayed_reflected_or_of_another_session_are_stray():
    host, pump = lone_host()
    _, other = sessions(device_nonce=b"D" * 16)
    first = host.submit(cat.STATUS, b"", 0)
    body = bytes(128)
    genuine = framed(pump.sending, cat.STATUS | cat.REPLY_BIT, body, request_id=first)

    def wrong(body):
        body[9] ^= 0x80

    for line in (forged(genuine, wrong), framed(other.sending, cat.STATUS | cat.REPLY_BIT, body, request_id=first), sent(host)[0]):
        assert host.feed(line, 1) == []
    assert host.stray == 3 and host.outstanding == 1
    assert host.feed(genuine, 2)[0][:2] == (requester.OUT_REPLY, first)
    host._next_id = first
    assert host.submit(cat.STATUS, b"", 3) == first
    assert host.feed(genuine, 4) == [] and host.stray == 4 and host.outstanding == 1, "the same reply again, under the same id"


def test_a_host_without_a_session_believes_no_sealed_frame():
    host, pump = lone_host()
    host.session = None
    assert host.feed(framed(pump.sending, cat.LIVE_FRAME, bytes(25), request_id=0), 0) == [] and host.stray == 1


def test_what_was_outstanding_can_be_forgotten_with_its_session():
    host, _ = lone_host()
    host.submit(cat.COMMIT, digest(1), 0)
    host.forget()
    assert host.outstanding == 0 and host.next_due_ms(0) is None and host.poll(100_000) == []
    host.submit(cat.COMMIT, digest(2), 0)
