"""Both ends of the link with a seeded line between them that loses, doubles and damages, on a virtual clock."""

import random
from collections import deque

from ends import SCHEMA, sessions
from thecal.protocol import catalogue as cat
from thecal.protocol import requester, responder
from thecal.protocol.fields import pack, unpack
from thecal.protocol.frame import HEADER
from thecal.protocol.session import FORGED


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
        self.responder = responder.Responder(schema, self.serve, self.write)

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
        self.host = requester.Requester(SCHEMA)
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
    host = requester.Requester(SCHEMA)
    host.session, pump = sessions()
    return host, pump


def sent(host):
    """The frames that wait in the outbox, and empties it."""
    lines = [line + b"\0" for line in bytes(host.outbox).split(b"\0")[:-1]]
    host.outbox.clear()
    return lines
