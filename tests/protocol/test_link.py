"""The link: two ends over a seeded line that loses, doubles and damages, on a virtual clock. At most once, retries, gaps, window 1."""

import random
from collections import deque

import pytest
from thecal.protocol import catalogue as cat
from thecal.protocol import link
from thecal.protocol.fields import pack, unpack
from thecal.protocol.frame import HEADER, MAX_FRAME, encode

SCHEMA = cat.schema_crc()


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
        self.responder = link.Responder(schema, self.serve, self.write)

    def write(self, buffer, length):
        self.wire.put(bytes(buffer[:length]), self.now_ms)

    def serve(self, decoder):
        request = bytes(decoder.body[HEADER:HEADER + decoder.length])
        key = (decoder.message_id, request)
        self.executed[key] = self.executed.get(key, 0) + 1
        if decoder.message_id == cat.HELLO:
            values = (1, SCHEMA, 7, 1, 220)
        elif decoder.message_id == cat.COMMIT:
            values = (request, 0, bytes(8), self.executed[key])
        elif decoder.message_id == cat.FILE_READ:
            found = [0, 0, 0]
            unpack(cat.message(cat.FILE_READ)[5], request, 0, len(request), found)
            values = (found[0], found[1], bytes((found[1] + index) % 251 for index in range(found[2])))
        else:
            values = (decoder.message_id, cat.R_UNKNOWN_MESSAGE, 0, 0)
            return cat.REFUSED, pack(cat.message(cat.REFUSED)[5], values, self.responder.payload)
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
        self.host = link.Requester(SCHEMA)

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
    host = link.Requester(SCHEMA)
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
    host = link.Requester(SCHEMA)
    host.submit(cat.FILE_READ, bytes(6), 0)
    with pytest.raises(ValueError, match="window 1"):
        host.submit(cat.COMMIT, digest(1), 0)
    host = link.Requester(SCHEMA)
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
    talk.pump.responder.payload[:30] = bytes(30)
    talk.pump.responder.push(cat.LIVE_FRAME, 26)
    events = [event for _ in range(20) for event in talk.tick()]
    assert [event[0] for event in events] == [link.OUT_PUSH, link.OUT_REPLY] and events[1][1] == request


def test_a_pump_with_another_schema_still_answers_hello_and_nothing_else():
    talk = Talk()
    talk.host = link.Requester(SCHEMA ^ 0x1234)
    payload = bytearray(5)
    pack(cat.message(cat.HELLO)[5], (1, SCHEMA ^ 0x1234), payload)
    kind, _, _, reply = talk.ask(cat.HELLO, payload)
    found = [0] * 5
    unpack(cat.message(cat.HELLO | cat.REPLY_BIT)[5], reply, 0, len(reply), found)
    assert kind == link.OUT_REPLY and found[:2] == [1, SCHEMA]
    assert talk.ask(cat.COMMIT, digest(1))[0] == link.OUT_TIMEOUT
    assert (cat.COMMIT, digest(1)) not in talk.pump.executed


def test_a_hello_starts_the_request_ids_anew():
    talk = Talk()
    assert talk.ask(cat.COMMIT, digest(1))[0] == link.OUT_REPLY
    second = link.Requester(SCHEMA)     # another programmer: its first request id is 1 again
    talk.host = second
    talk.ask(cat.HELLO, bytes(5))
    assert talk.ask(cat.COMMIT, digest(2))[3][:8] == digest(2)


def test_the_pump_takes_no_reply_and_no_echo_for_a_request():
    talk = Talk()
    out = bytearray(MAX_FRAME)
    for message_id in (cat.COMMIT | cat.REPLY_BIT, cat.REFUSED, cat.HELLO | cat.REPLY_BIT):
        size = encode(out, cat.message(message_id)[3], message_id, 0, 1, bytes(8), 8, SCHEMA)
        for byte in out[:size]:
            talk.pump.responder.feed(byte)
    assert not talk.pump.executed and not talk.back.sent


def test_a_reply_of_another_kind_under_a_waiting_id_is_stray():
    host = link.Requester(SCHEMA)
    request = host.submit(cat.STATUS, b"", 0)
    out = bytearray(MAX_FRAME)
    size = encode(out, 1, cat.FILE_INFO | cat.REPLY_BIT, 0, request, bytes(9), 9, SCHEMA)
    assert host.feed(out[:size], 10) == [] and host.stray == 1 and host.outstanding == 1


def test_what_cannot_be_sent_is_said():
    host = link.Requester(SCHEMA)
    with pytest.raises(ValueError, match="0x60 is not in the catalogue"):
        host.submit(0x60, b"", 0)
    with pytest.raises(ValueError, match="stage: a payload of 221 bytes"):
        host.submit(cat.STAGE, bytes(221), 0)
    assert host.outstanding == 0 and not host.outbox
