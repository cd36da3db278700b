"""The link: two ends of a session over a seeded line that loses, doubles and damages, on a virtual clock. At most once, retries, gaps, window 1."""

import random
from collections import deque

import pytest
from ends import SCHEMA, decoded, forged, framed, opened, sessions
from thecal.protocol import catalogue as cat
from thecal.protocol import link
from thecal.protocol.fields import pack, unpack
from thecal.protocol.frame import HEADER
from thecal.protocol.session import FORGED, OPENED


class Wire:
    """One direction: whole writes arrive `delay_ms` later, in order; each may be lost, doubled or damaged."""

    def __init__(self, chance, loss=0.0, double=0.0, damage=0.0, delay_ms=20):
        self.chance, self.loss, self.double, self.damage, self.delay_ms = chance, loss, double, damage, delay_ms
        self.queue = deque()
        self.sent = 0

    def put(self, data, now_ms):
        self.sent += 1
        copies = 0 if self.chance.random() < self.loss else 2 if self.chance.random() < self.double else 1
        for _ in range(copies):
            hurt = bytearray(data)
            if self.chance.random() < self.damage:
                hurt[self.chance.randrange(len(hurt))] ^= 1 << self.chance.randrange(8)
            self.queue.append((now_ms + self.delay_ms, bytes(hurt)))

    def take(self, now_ms):
        data = b""
        while self.queue and self.queue[0][0] <= now_ms:
            data += self.queue.popleft()[1]
        return data


class Pump:
    """The pump's end with a server that only counts what it executed: COMMIT by its digest, FILE_READ by its offset."""

    def __init__(self, wire, schema=SCHEMA):
        self.wire, self.now_ms = wire, 0
        self.executed = {}
        self.forged = 0
        self.responder = link.Responder(schema, self.serve, self.write)

    def write(self, buffer, length):
        self.wire.put(bytes(buffer[:length]), self.now_ms)

    def serve(self, decoder, outcome):
        if outcome == FORGED:
            self.forged += 1
            return cat.REFUSED, pack(cat.message(cat.REFUSED)[5], (decoder.message_id, cat.R_SESSION, 0, 0), self.responder.payload)
        request = bytes(decoder.body[HEADER:HEADER + decoder.length])
        key = (decoder.message_id, request)
        self.executed[key] = self.executed.get(key, 0) + 1
        if decoder.message_id == cat.HELLO:
            values = (cat.PROTOCOL_VERSION, SCHEMA, 7, 1, 220, 0)
        elif decoder.message_id == cat.COMMIT:
            values = (request, 0, bytes(8), self.executed[key])
        elif decoder.message_id == cat.FILE_READ:
            found = [0, 0, 0]
            unpack(cat.message(cat.FILE_READ)[5], request, 0, len(request), found)
            values = (found[0], found[1], bytes((found[1] + index) % 251 for index in range(found[2])))
        else:
            values = (decoder.message_id, cat.R_UNKNOWN_MESSAGE, 0, 0)
            return cat.REFUSED_SEALED, pack(cat.message(cat.REFUSED_SEALED)[5], values, self.responder.payload)
        reply = decoder.message_id | cat.REPLY_BIT
        return reply, pack(cat.message(reply)[5], values, self.responder.payload)


class Talk:
    """Both ends and the clock between them."""

    def __init__(self, seed=1, **weather):
        chance = random.Random(seed)
        self.now_ms = 0
        self.there = Wire(chance, **weather)
        self.back = Wire(chance, **weather)
        self.pump = Pump(self.back)
        self.connect()

    def connect(self, **said):
        """A new host with a new session, as behind a handshake."""
        self.host = link.Requester(SCHEMA)
        self.host.session, session = sessions(**said)
        self.pump.responder.open(session)

    def tick(self, ms=5):
        self.now_ms += ms
        self.pump.now_ms = self.now_ms
        for byte in self.there.take(self.now_ms):
            self.pump.responder.feed(byte)
        came = self.host.feed(self.back.take(self.now_ms), self.now_ms)
        came += self.host.poll(self.now_ms)
        self.flush()
        return came

    def flush(self):
        """One write a frame, as a port would do."""
        while self.host.outbox:
            end = self.host.outbox.index(0) + 1
            self.there.put(bytes(self.host.outbox[:end]), self.now_ms)
            del self.host.outbox[:end]

    def ask(self, message_id, payload=b""):
        """The one event that ends a request."""
        request = self.host.submit(message_id, payload, self.now_ms)
        self.flush()
        for _ in range(20_000):
            for event in self.tick():
                if event[1] == request:
                    return event
        raise AssertionError("neither reply nor timeout")


def digest(number):
    return number.to_bytes(8, "little")


def lone_host():
    """A host in a session whose pump is out of reach, and that pump's session."""
    host = link.Requester(SCHEMA)
    host.session, pump = sessions()
    return host, pump


@pytest.mark.parametrize("seed", range(4))
def test_at_most_once_over_a_line_that_loses_a_third_and_doubles_a_third(seed):
    talk = Talk(seed, loss=0.3, double=0.3, damage=0.1)
    kinds = [talk.ask(cat.COMMIT, digest(number))[0] for number in range(300)]
    assert max(talk.pump.executed.values()) == 1
    for number, kind in enumerate(kinds):
        if kind == link.OUT_REPLY:
            assert talk.pump.executed[cat.COMMIT, digest(number)] == 1
    assert kinds.count(link.OUT_REPLY) > 250 and kinds.count(link.OUT_TIMEOUT) == talk.host.timeouts
    assert talk.host.retries > 50 and talk.pump.responder.repeats > 20 and talk.host.outstanding == 0


def test_a_clean_line_needs_no_retry_and_the_timer_learns_it():
    talk = Talk()
    assert talk.host.rto_ms == link.FIRST_RTO_MS
    for number in range(300):       # request ids wrap at 255, sequence numbers at 256
        assert talk.ask(cat.COMMIT, digest(number))[0] == link.OUT_REPLY
    assert (talk.host.retries, talk.host.timeouts, talk.host.stray, talk.pump.responder.repeats) == (0, 0, 0, 0)
    assert link.MIN_RTO_MS <= talk.host.rto_ms <= 200


def test_a_doubled_reply_is_stray_and_answers_nothing_else():
    talk = Talk(double=1.0)
    for number in range(300):
        kind, _, message_id, payload = talk.ask(cat.COMMIT, digest(number))
        assert (kind, message_id, payload[:8]) == (link.OUT_REPLY, cat.COMMIT, digest(number))
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
            assert came == [(link.OUT_TIMEOUT, request, cat.STATUS, b"")]
            break
    sent = [sent[0], *(now_ms - 1 for now_ms in sent[1:])]      # seen one round after they were queued
    waits = [later - now for now, later in zip(sent, sent[1:])]
    assert len(sent) == link.TRIES and talk.host.outstanding == 0 and talk.host.timeouts == 1
    assert all(later == min(2 * now, link.MAX_RTO_MS) for now, later in zip(waits, waits[1:])), waits
    assert talk.host.next_due_ms(0) is None


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
    assert talk.ask(cat.COMMIT, digest(1))[0] == link.OUT_REPLY
    assert talk.host.retries == 1 and talk.host.rto_ms == link.FIRST_RTO_MS
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
            if kind == link.OUT_TIMEOUT:
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
    assert (kind, message_id, payload[:2]) == (link.OUT_REFUSED, cat.STATUS, bytes([cat.STATUS, cat.R_UNKNOWN_MESSAGE]))


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
            assert host.feed(frame, 0) == [(link.OUT_PUSH, 0, cat.LIVE_FRAME, bytes(payload[:length]))]
    assert host.push_gaps == len(lost) and host.stray == 0


def test_a_push_between_request_and_reply_disturbs_neither():
    talk = Talk()
    request = talk.host.submit(cat.COMMIT, digest(5), 0)
    talk.flush()
    length = pack(cat.message(cat.LIVE_FRAME)[5], (5, 2, 500000, 9, -1, 10, 0), talk.pump.responder.payload)
    talk.pump.responder.push(cat.LIVE_FRAME, length)
    events = [event for _ in range(20) for event in talk.tick()]
    assert [event[0] for event in events] == [link.OUT_PUSH, link.OUT_REPLY] and events[1][1] == request


def test_a_pump_with_another_schema_still_answers_hello_and_nothing_else():
    talk = Talk()
    session = talk.host.session
    talk.host = link.Requester(SCHEMA ^ 0x1234)
    talk.host.session = session
    payload = bytearray(5)
    pack(cat.message(cat.HELLO)[5], (cat.PROTOCOL_VERSION, SCHEMA ^ 0x1234), payload)
    kind, _, _, reply = talk.ask(cat.HELLO, payload)
    found = [0] * 6
    unpack(cat.message(cat.HELLO | cat.REPLY_BIT)[5], reply, 0, len(reply), found)
    assert kind == link.OUT_REPLY and found[:2] == [cat.PROTOCOL_VERSION, SCHEMA]
    assert talk.ask(cat.COMMIT, digest(1))[0] == link.OUT_TIMEOUT
    assert (cat.COMMIT, digest(1)) not in talk.pump.executed


def test_a_new_session_starts_the_request_ids_anew_and_a_hello_does_not():
    talk = Talk()
    assert talk.ask(cat.COMMIT, digest(1))[0] == link.OUT_REPLY
    talk.ask(cat.HELLO, bytes(5))
    talk.host._next_id = 1              # a host that uses an id again without a new session gets the old answer, and no execution
    assert talk.ask(cat.COMMIT, digest(2))[3][:8] == digest(1)
    assert (cat.COMMIT, digest(2)) not in talk.pump.executed
    talk.connect(device_nonce=b"D" * 16)        # another programmer: its first request id is 1 again
    assert talk.ask(cat.COMMIT, digest(3))[3][:8] == digest(3)


def test_the_pump_takes_no_reply_and_no_echo_for_a_request():
    talk = Talk()
    for message_id in (cat.COMMIT | cat.REPLY_BIT, cat.REFUSED, cat.REFUSED_SEALED, cat.HELLO | cat.REPLY_BIT):
        for byte in framed(talk.host.session.sending, message_id, bytes(8)):
            talk.pump.responder.feed(byte)
    assert not talk.pump.executed and not talk.back.sent and not talk.pump.forged


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
def sent(host):
    """The frames that wait in the outbox, and empties it."""
    lines = [line + b"\0" for line in bytes(host.outbox).split(b"\0")[:-1]]
    host.outbox.clear()
    return lines


def tries_of(message_id, payload):
    """All the frames by which a host asks a dead line, and the pump's session."""
    host, pump = lone_host()
    host.submit(message_id, payload, 0)
    lines, now_ms = sent(host), 0
    while host.outstanding:
        now_ms += host.next_due_ms(now_ms)
        host.poll(now_ms)
        lines += sent(host)
    assert len(lines) == link.TRIES
    return lines, pump


def test_a_therapy_command_is_repeated_to_the_byte():
    lines, _ = tries_of(cat.COMMIT, digest(1))
    assert len(set(lines)) == 1


def test_an_open_request_is_repeated_to_the_byte():
    lines, _ = tries_of(cat.HELLO, bytes(5))
    assert len(set(lines)) == 1


def test_a_routine_request_is_sealed_anew_and_any_one_of_its_frames_will_do():
    lines, pump = tries_of(cat.FILE_READ, bytes(6))
    assert len(set(lines)) == link.TRIES
    assert {decoded(line).request_id for line in lines} == {1}
    assert all(opened(pump.receiving, line) == (OPENED, bytes(6)) for line in lines)


@pytest.mark.parametrize("message_id", [cat.COMMIT, cat.STATUS])
def test_a_repeat_gets_the_kept_reply_sealed_anew_and_executes_nothing(message_id):
    talk = Talk()
    request = talk.host.submit(message_id, digest(1), 0)
    line = sent(talk.host)[0]
    if message_id == cat.STATUS:
        again = framed(talk.host.session.sending, message_id, digest(1), request_id=request)
        assert again != line
    else:
        again = line
    replies = []
    for data in (line, again, again):
        for byte in data:
            talk.pump.responder.feed(byte)
        replies.append(talk.back.queue.pop()[1])
    assert len(set(replies)) == 3 and talk.pump.responder.repeats == 2 and max(talk.pump.executed.values()) == 1
    clear = [opened(talk.host.session.receiving, reply) for reply in replies]
    assert clear[0] == clear[1] == clear[2] and clear[0][0] == OPENED


def test_an_older_frame_is_a_replay_counted_and_not_answered():
    talk = Talk()
    lines = []
    for number in range(3):
        talk.host.submit(cat.COMMIT, digest(number), 0)
        lines += sent(talk.host)
        for byte in lines[-1]:
            talk.pump.responder.feed(byte)
        talk.host.feed(talk.back.queue.pop()[1], 0)
    for line in lines[:2] * 5:
        for byte in line:
            talk.pump.responder.feed(byte)
    assert talk.pump.responder.replays == 10 and not talk.back.queue and max(talk.pump.executed.values()) == 1


def test_a_frame_under_no_session_or_a_wrong_tag_is_handed_over_as_forged_and_answered_in_clear():
    talk = Talk()
    line = framed(talk.host.session.sending, cat.COMMIT, digest(1), request_id=4)

    def wrong(body):
        body[-1] ^= 1

    for data, session in ((forged(line, wrong), talk.pump.responder.session), (line, None)):
        talk.pump.responder.session = session
        for byte in data:
            talk.pump.responder.feed(byte)
        answer = decoded(talk.back.queue.pop()[1])
        assert (answer.message_class, answer.message_id, answer.request_id) == (0, cat.REFUSED, 4)
    assert talk.pump.forged == 2 and not talk.pump.executed


@pytest.mark.parametrize("reason", [reason for reason, _ in cat.REASONS])
def test_of_an_unsealed_refusal_only_no_session_and_locked_are_believed(reason):
    host, _ = lone_host()
    request = host.submit(cat.COMMIT, digest(1), 0)
    payload = bytearray(7)
    pack(cat.message(cat.REFUSED)[5], (cat.COMMIT, reason, 0, 0), payload)
    came = host.feed(framed(None, cat.REFUSED, payload, request_id=request), 5)
    believed = reason in (cat.R_SESSION, cat.R_LOCKED)
    assert [event[0] for event in came] == ([link.OUT_REFUSED] if believed else [])
    assert host.stray == (0 if believed else 1) and host.outstanding == (0 if believed else 1)


def test_a_sealed_refusal_is_the_pumps_word_and_an_open_request_may_be_refused_in_clear():
    host, pump = lone_host()
    payload = bytearray(7)
    pack(cat.message(cat.REFUSED)[5], (cat.COMMIT, cat.R_STATE, 0, 3), payload)
    request = host.submit(cat.COMMIT, digest(1), 0)
    assert host.feed(framed(pump.sending, cat.REFUSED_SEALED, payload, request_id=request), 5)[0][0] == link.OUT_REFUSED
    request = host.submit(cat.PAIR, bytes(33), 10)
    assert host.feed(framed(None, cat.REFUSED, payload, request_id=request), 15)[0][0] == link.OUT_REFUSED


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
    assert host.feed(genuine, 2)[0][:2] == (link.OUT_REPLY, first)
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
