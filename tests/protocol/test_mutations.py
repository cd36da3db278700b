"""Any mutation of what a host sends, in one long stream: no exception, nothing grows, and a byte costs a bounded number of operations.

The stream is never put in step on purpose: a mutation meets the decoder as the one before has left it. THECAL_MUTATIONS=1000000 makes it
long (tests/README.md). Work is counted in operations of the decoder, not in seconds.
"""

import os
import random
import sys
from collections import Counter

import pytest
from bare_pump import SCHEMA, Bench
from commands import command, commands
from plainwire import uncobs
from thecal.protocol.crc import crc32
from thecal.protocol.frame import BAD, FRAME, MAX_BODY, MIN_BODY, NEED, Decoder, trailer_bytes

COUNT = int(os.environ.get("THECAL_MUTATIONS", "20000"))
SEED = 20261123
LONGEST = 600           # bytes of one mutation: more than two of the longest frames
CORPUS = [command(row, values)[0] for _, row, values in commands()]
GROWTH_BLOCKS = 200     # of the interpreter's own memory; one object kept a frame would be thousands


class Counting(Decoder):
    """The real decoder, its inner operations counted."""

    def __init__(self):
        self.puts = self.checked = self.checks = 0
        super().__init__(SCHEMA, self._counted)

    def _counted(self, data, seed):
        self.checks += 1
        self.checked += len(data)
        return crc32(data, seed)

    def _put(self, byte):
        self.puts += 1
        super()._put(byte)


class Mutator:
    """Draws from the frames of all commands; every kind of damage is a method."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.kinds = (self.bits, self.bytes, self.zeros, self.insert, self.delete, self.splice, self.repeat, self.noise, self.whole)

    def draw(self):
        """(name of the damage, bytes)."""
        kind = self.chance.choice(self.kinds)
        return kind.__name__, bytes(kind(bytearray(self.chance.choice(CORPUS))))[:LONGEST]

    def at(self, data):
        return self.chance.randrange(len(data))

    def bits(self, data):
        for _ in range(self.chance.randint(1, 6)):
            data[self.at(data)] ^= 1 << self.chance.randrange(8)
        return data

    def bytes(self, data):
        for _ in range(self.chance.randint(1, 6)):
            data[self.at(data)] = self.chance.choice((0, 1, 254, 255, self.chance.randrange(256)))
        return data

    def zeros(self, data):
        at = self.at(data)
        data[at:at + self.chance.randint(1, 8)] = bytes(self.chance.randint(0, 20))
        return data

    def insert(self, data):
        at = self.at(data)
        data[at:at] = self.chance.randbytes(self.chance.randint(1, 300))
        return data

    def delete(self, data):
        at = self.at(data)
        del data[at:at + self.chance.randint(1, 40)]
        return data

    def splice(self, data):
        other = self.chance.choice(CORPUS)
        return data[:self.at(data)] + other[self.at(other):]

    def repeat(self, data):
        at = self.at(data)
        return data[:at] + data[at:at + self.chance.randint(1, 60)] * self.chance.randint(2, 12)

    def noise(self, data):
        return self.chance.randbytes(self.chance.randint(0, 300))

    def whole(self, data):
        return data


@pytest.mark.slow
@pytest.mark.req("TH-LINK-09", "TH-BAD-01")
@pytest.mark.timeout(300 + COUNT // 1000)
def test_no_mutation_raises_grows_or_takes_longer_than_its_bytes():
    decoder, mutator = Counting(), Mutator(SEED)
    genuine = {uncobs(line) for line in CORPUS}
    shape = {name: type(value) for name, value in vars(decoder).items()}
    kinds, outcomes = Counter(), Counter()
    fed = zeros = changed = blocks = most_growth = 0
    feed = decoder.feed
    for number in range(COUNT):
        kind, data = mutator.draw()
        kinds[kind] += 1
        fed += len(data)
        zeros += data.count(0)
        for byte in data:
            outcome = feed(byte)
            if outcome != NEED:
                outcomes[outcome] += 1
                if outcome == FRAME:
                    size = MIN_BODY + decoder.length + trailer_bytes(decoder.message_class)
                    changed += bytes(decoder.body[:size]) not in genuine
        if number % 1000 == 999:
            assert {name: type(value) for name, value in vars(decoder).items()} == shape and len(decoder.body) == MAX_BODY
            assert decoder._fill <= MAX_BODY
            now = sys.getallocatedblocks()
            most_growth = max(most_growth, now - blocks) if blocks else 0
            blocks = blocks or now
    print("%d mutations, %d bytes: %s; %d frames (%d of them changed), %d bad; %.2f stores and %.2f checked bytes a byte; "
          "%d blocks of memory at most" % (
        COUNT, fed, dict(kinds), outcomes[FRAME], changed, outcomes[BAD], decoder.puts / fed, decoder.checked / fed, most_growth))
    assert set(outcomes) == {FRAME, BAD} and len(kinds) == len(mutator.kinds)
    bad = decoder.bad_cobs + decoder.bad_length + decoder.bad_version + decoder.bad_class + decoder.bad_crc
    assert (decoder.frames, bad) == (outcomes[FRAME], outcomes[BAD]), "each is counted by one name"
    assert changed == 0, "a mutation that the CRC does not see: one in 2^32"
    # A byte is stored at most once, a COBS code at most one zero; a check reads what was stored, once, at a 0x00.
    assert decoder.puts <= fed and decoder.checks <= outcomes[FRAME] + outcomes[BAD] <= zeros and decoder.checked <= decoder.puts
    assert most_growth < GROWTH_BLOCKS


def sprinkled(chance, lines):
    """Garbage before, between and after, each piece closed by a 0x00; (stream, which of the lines)."""
    stream, sent = b"", []
    for line in chance.sample(lines, 12):
        stream += chance.randbytes(chance.choice((0, 1, 40, 400))) + b"\0" + line
        sent.append(line)
    return stream + chance.randbytes(chance.randrange(300)), sent


@pytest.mark.parametrize("seed", range(8))
def test_garbage_before_between_and_after_byte_by_byte_and_whole(seed):
    """Decoder and pump: the pump is given the same stream a byte a step, in pieces, and at once; it answers the same to all of them."""
    chance = random.Random(seed)
    stream, sent = sprinkled(chance, CORPUS)
    decoder = Decoder(SCHEMA)
    bodies = [uncobs(line) for line in sent]
    found = [bytes(decoder.body[:len(bodies[decoder.frames - 1])]) for byte in stream if decoder.feed(byte) == FRAME]
    assert found == bodies
    answers = []
    for most in (1, 97, len(stream)):
        bench, came, at = Bench(ready=False), b"", 0
        pieces = random.Random(most)
        while at < len(stream):
            piece = stream[at:at + pieces.randint(1, most)] if most < len(stream) else stream
            bench.wake(piece)
            came += bytes(bench.latch.tx[:bench.latch.tx_length])
            at += len(piece)
        telemetry = bench.app.telemetry
        answers.append((telemetry._responder.decoder.frames, telemetry.frames_bad(), len(came.split(b"\0"))))
    assert answers[0] == answers[1] == answers[2] and answers[0][0] == len(sent)
