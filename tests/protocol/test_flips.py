"""Every prefix, every 1-bit and every 2-bit flip of a frame of every command kind, through the real decoder: only declared outcomes.

Flips strike the bytes on the line (COBS codes and the closing 0x00 too: frames split and merge), the body before COBS, and the body with
its CRC made right behind them, as somebody would who knows the line but no key. Of the first two the decoder must refuse every one, by
name; of the third the session's channel must. Nothing is sampled. CI takes the smallest payload of each command;
THECAL_FLIPS=all takes the usual ones as well (tests/README.md).
"""

import itertools
import os
import time
from collections import Counter

import pytest
from commands import commands
from commands import command as framed_command
from plainwire import closed, cobs, uncobs
from thecal.protocol import catalogue as cat
from thecal.protocol.frame import BAD, CRC_BYTES, FRAME, MIN_BODY, NEED, TAG_BYTES, Decoder, trailer_bytes
from thecal.protocol.session import FORGED, OPENED

SCHEMA = cat.schema_crc()
ALL = os.environ.get("THECAL_FLIPS") == "all"
COMMANDS = commands()
CHOSEN = [pytest.param(row, values, id=name) for name, row, values in COMMANDS if ALL or name.endswith("smallest")]
CHECKS = ("frames", "bad_cobs", "bad_length", "bad_version", "bad_class", "bad_crc")
# What of a decoder decides how it takes the next byte: its small private state, whatever it is called.
STATE = [name for name, value in vars(Decoder(0)).items() if name.startswith("_") and isinstance(value, int)]
IDLE = [vars(Decoder(0))[name] for name in STATE]


class Judge:
    """A decoder with a clock of its own: feeds hurt frames, counts what came of them by name, and what the channel says of the rest."""

    def __init__(self, row, values):
        self.line, self.channel = framed_command(row, values)
        self.row = row
        self.body = uncobs(self.line)
        self.decoder = Decoder(SCHEMA)
        self.found = Counter()
        self.flips = 0

    def state(self):
        """All of the decoder but its buffer, and the buffer."""
        return {name: value for name, value in vars(self.decoder).items() if isinstance(value, int)}, bytes(self.decoder.body)

    def restore(self, state):
        vars(self.decoder).update(state[0])
        self.decoder.body[:] = state[1]

    def counted(self):
        decoder = self.decoder
        return (decoder.frames, decoder.bad_cobs, decoder.bad_length, decoder.bad_version, decoder.bad_class, decoder.bad_crc)

    def settle(self, before, hurt):
        """The hurt frame and the 0x00 behind it are in: note what rose since `before`. `hurt()` says which flip it was."""
        self.flips += 1
        now = self.counted()
        rose = tuple(name for name, one, other in zip(CHECKS, before, now) for _ in range(other - one))
        self.found[rose] += 1
        assert [getattr(self.decoder, name) for name in STATE] == IDLE, ("not in step at its end", hurt())
        assert rose, ("taken for nothing", hurt())
        if "frames" in rose:
            self.frame(hurt)

    def frame(self, hurt):
        """A frame came of a hurt one: content must be what was sent, or sealed and no use without the key."""
        decoder = self.decoder
        if bytes(decoder.body[:MIN_BODY + decoder.length + trailer_bytes(decoder.message_class)]) == self.body:
            self.found["unchanged"] += 1
            return
        assert TAG_BYTES[decoder.message_class], ("a changed frame passed", hurt())
        assert self.channel.open(decoder.body, decoder.length, decoder.message_class) == FORGED, hurt()
        self.found["forged"] += 1


def on_the_line(judge):
    """Every one and two flips of the line bytes. The decoder's state in front of the second flip is kept, so only what is behind is fed again."""
    line, feed, masks = judge.line, judge.decoder.feed, [1 << bit for bit in range(8)]
    pairs = masks + [one | other for one, other in itertools.combinations(masks, 2)]

    def rest(at, mask, before, hurt):
        feed(line[at] ^ mask)
        for byte in line[at + 1:]:
            feed(byte)
        feed(0)
        judge.settle(before, hurt)

    for first in range(len(line)):
        begun = judge.state()
        before = judge.counted()
        for mask in pairs:
            rest(first, mask, before, lambda: (first, mask))
            judge.restore(begun)
        for one in masks:
            feed(line[first] ^ one)
            for second in range(first + 1, len(line)):
                between = judge.state()
                for other in masks:
                    rest(second, other, before, lambda: (first, one, second, other))
                    judge.restore(between)
                feed(line[second])
            judge.restore(begun)
        feed(line[first])


def flipped_bodies(content):
    """Each one and two bits flipped in place; (bits, bytes)."""
    hurt = bytearray(content)
    bits = range(8 * len(content))
    for one in bits:
        hurt[one >> 3] ^= 1 << (one & 7)
        yield (one,), hurt
        for other in range(one + 1, len(bits)):
            hurt[other >> 3] ^= 1 << (other & 7)
            yield (one, other), hurt
            hurt[other >> 3] ^= 1 << (other & 7)
        hurt[one >> 3] ^= 1 << (one & 7)


def of_the_body(judge):
    """Every one and two flips of header, payload, counter, tag and CRC, in COBS that fits."""
    feed = judge.decoder.feed
    for bits, hurt in flipped_bodies(judge.body):
        before = judge.counted()
        for byte in cobs(hurt):
            feed(byte)
        judge.settle(before, lambda: bits)


def mended(judge):
    """Every one and two flips of all but the CRC, which is made right again: the decoder passes most of them, the channel none."""
    feed, decoder, channel = judge.decoder.feed, judge.decoder, judge.channel
    for bits, hurt in flipped_bodies(judge.body[:-CRC_BYTES]):
        frames = decoder.frames
        for byte in closed(bytes(hurt), hurt[0] & 0x1F, SCHEMA):
            feed(byte)
        judge.flips += 1
        if decoder.frames == frames:
            judge.found["refused by the decoder"] += 1
        elif TAG_BYTES[decoder.message_class]:
            assert channel.open(decoder.body, decoder.length, decoder.message_class) == FORGED, bits
            judge.found["forged"] += 1
        else:       # its class says that it is not sealed: then it is not this message, and telemetry refuses it by its class
            row = cat.message(decoder.message_id)
            assert row is None or row[3] != decoder.message_class, bits
            judge.found["class of no such message"] += 1


def pairs_of(size):
    return 8 * size + 8 * size * (8 * size - 1) // 2


@pytest.mark.req("TH-LINK-09")
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("strike", [on_the_line, of_the_body], ids=lambda strike: strike.__name__)
@pytest.mark.parametrize(("row", "values"), CHOSEN)
def test_every_one_and_two_flipped_bits_are_refused_by_name(row, values, strike, record_property):
    judge = Judge(row, values)
    begun = time.perf_counter()
    strike(judge)
    record_property("outcomes", str(dict(judge.found)))
    print("%s %s: %d flips of %d bytes in %.1f s: %s" % (
        row[1], strike.__name__, judge.flips, len(judge.line), time.perf_counter() - begun, told(judge.found)))
    assert judge.flips == pairs_of(len(judge.line if strike is on_the_line else judge.body)), "nothing is sampled"
    assert not judge.found["forged"] and not judge.found["unchanged"], "CRC-32 sees one and two bits at this length"
    if strike is of_the_body:
        assert all(len(rose) == 1 for rose in judge.found if judge.found[rose]), "one frame, one outcome"
    assert [judge.decoder.feed(byte) for byte in judge.line][-1] == FRAME
    if TAG_BYTES[row[3]]:
        assert judge.channel.open(judge.decoder.body, judge.decoder.length, judge.decoder.message_class) == OPENED


@pytest.mark.req("TH-LINK-02")
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("row", "values"), [chosen for chosen in CHOSEN if TAG_BYTES[chosen.values[0][3]]])
def test_every_one_and_two_flipped_bits_behind_a_right_crc_are_forgeries(row, values):
    judge = Judge(row, values)
    begun = time.perf_counter()
    mended(judge)
    print("%s mended: %d flips in %.1f s: %s" % (row[1], judge.flips, time.perf_counter() - begun, told(judge.found)))
    assert judge.flips == pairs_of(len(judge.body) - CRC_BYTES) == sum(judge.found.values())
    assert judge.found["forged"] > judge.flips // 2
    judge.decoder = Decoder(SCHEMA)
    assert [judge.decoder.feed(byte) for byte in judge.line][-1] == FRAME
    assert judge.channel.open(judge.decoder.body, judge.decoder.length, judge.decoder.message_class) == OPENED, "and the right one still opens"


def told(found):
    return ", ".join("%s %d" % (" + ".join(name) if isinstance(name, tuple) else name, count) for name, count in found.most_common())


def test_a_check_that_misses_would_be_seen():
    """With 8 bits of its CRC only, the decoder lets one pair of flips in 256 through, and the sweep says so."""
    _, row, values = next(one for one in COMMANDS if one[1][0] == cat.ALARMS)
    judge = Judge(row, values)
    real = judge.decoder._crc
    judge.decoder._crc = lambda data, seed: real(data, seed) & 0xFF
    judge.body = judge.body[:-CRC_BYTES] + bytes([judge.body[-CRC_BYTES], 0, 0, 0])
    with pytest.raises(AssertionError, match="a changed frame passed"):
        of_the_body(judge)


@pytest.mark.parametrize(("row", "values"), [pytest.param(row, values, id=name) for name, row, values in COMMANDS])
def test_every_prefix_is_nothing_until_its_end_and_harms_nobody_behind_it(row, values):
    line, _ = framed_command(row, values)
    for end in range(len(line)):
        decoder = Decoder(SCHEMA)
        assert {decoder.feed(byte) for byte in line[:end]} <= {NEED}, "an unfinished frame is nothing"
        assert vars(decoder)["_fill"] <= end
        outcome = decoder.feed(0)
        assert outcome == (NEED if end == 0 else FRAME if end == len(line) - 1 else BAD)
        assert sum(getattr(decoder, name) for name in CHECKS) == (end > 0), "counted once"
        assert [decoder.feed(byte) for byte in line][-1] == FRAME and decoder.body[:len(uncobs(line))] == uncobs(line)
        if 0 < end < len(line) - 1:
            torn = Decoder(SCHEMA)      # without a 0x00 between them the torso costs the frame behind it, and no more
            assert [outcome for byte in line[:end] + line if (outcome := torn.feed(byte)) != NEED] == [BAD]
            assert [torn.feed(byte) for byte in line][-1] == FRAME
