"""A bad serial line: seeded injuries to the bytes of each direction, the same ones for the same seed and the same bytes.

Written as `loss=0.3,replay=0.5,ber=1e-6,delay=20ms`; a key may name the sender whose bytes it hurts, `host.loss=0.3` or
`pump.ber=1e-4`, else both are hurt. A frame is what ends with 0x00 (the delimiter of PROTOCOL.md), or 256 bytes of anything else.

    loss=P      each frame is lost with probability P                                   0..1
    dup=P       each frame comes twice                                                  0..1
    replay=P    behind each frame one of the last 16 of its direction comes again       0..1
    burst=P     noise hits each frame: up to 16 bytes of it, and beyond its end, are random     0..1
    drop=P      each byte is lost                                                       0..1
    ber=P       each bit is flipped                                                     0..0.5
    delay=T     everything comes later by T (us, ms, s)                                 0..10 s
    jitter=T    and by up to T more, drawn for each write; the order is kept            0..10 s
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, fields

SENDERS = ("host", "pump")
FRAME_BYTES = 256           # a run without 0x00 that is longer is cut here: no frame is
REMEMBERED = 16             # frames that a replay draws from
BURST_BYTES = 16            # of random noise: 1.4 ms at 115200, a motor or a phone nearby
BURST_WITHIN = 64           # bytes from the frame's begin in which a burst starts
MOST_DELAY_US = 10_000_000  # sim:// gives an answer up after 10 s
COUNTED = ("frames", "lost", "doubled", "replayed", "bursts", "dropped_bytes", "flipped_bits", "delayed")
_TIMES = {"us": 1, "ms": 1000, "s": 1_000_000}
_NEVER = 1 << 62


class LineError(ValueError):
    """A `--line` that cannot be; the text is one sentence that names key, value and bound."""


@dataclass(frozen=True)
class Injuries:
    """Of one direction. Probabilities 0..1 (ber 0..0.5), times in microseconds 0..10,000,000."""

    loss: float = 0.0
    dup: float = 0.0
    replay: float = 0.0
    burst: float = 0.0
    drop: float = 0.0
    ber: float = 0.0
    delay: int = 0
    jitter: int = 0


KEYS = tuple(field.name for field in fields(Injuries))


class _Hits:
    """Which of a stream of units are hit, each with probability `chance`: gaps are drawn, not units, so a rare hit is cheap."""

    def __init__(self, chance: float, draw: random.Random) -> None:
        self._draw = draw
        self._chance = chance
        self._scale = math.log1p(-chance) if 0 < chance < 1 else 0.0
        self._next = self._gap()

    def _gap(self) -> int:
        if not self._chance:
            return _NEVER
        return int(math.log(1.0 - self._draw.random()) / self._scale) if self._scale else 0

    def within(self, count: int) -> list[int]:
        """Indexes of the hits among the next `count` units."""
        found = []
        while self._next < count:
            found.append(self._next)
            self._next += 1 + self._gap()
        self._next -= count
        return found


class Injurer:
    """Hurts the bytes of one direction; `counts` says what was done."""

    def __init__(self, injuries: Injuries, draw: random.Random) -> None:
        self._injuries = injuries
        self._draw = draw
        self._bits = _Hits(injuries.ber, draw)
        self._drops = _Hits(injuries.drop, draw)
        self._frame = bytearray()       # of the frame under way, as it was sent
        self._lost = False
        self._noise_at = _NEVER         # first byte of this frame that a burst hits
        self._past: deque[bytes] = deque(maxlen=REMEMBERED)
        self.counts = dict.fromkeys(COUNTED, 0)

    @property
    def late(self) -> bool:
        """Whether writes may arrive later."""
        return self._injuries.delay > 0 or self._injuries.jitter > 0

    def _chance(self, probability: float) -> bool:
        return probability > 0 and self._draw.random() < probability

    def carry(self, data: bytes, after_quiet: bool) -> bytes:
        """What arrives of `data`. `after_quiet`: the line had been idle, so a frame that never ended is over."""
        if after_quiet:
            self._frame.clear()
        came = bytearray()
        at = 0
        while at < len(data):
            end = data.find(0, at) + 1 or len(data)
            end = min(end, at + FRAME_BYTES - len(self._frame))
            came += self._piece(data[at:end])
            at = end
        return self._wear(came)

    def _piece(self, piece: bytes) -> bytearray:
        """A piece of one frame; its fate is drawn at its first byte."""
        begin = len(self._frame)
        if not begin:
            self.counts["frames"] += 1
            self._lost = self._chance(self._injuries.loss)
            self.counts["lost"] += self._lost
            self._noise_at = self._draw.randrange(BURST_WITHIN) if self._chance(self._injuries.burst) else _NEVER
            self.counts["bursts"] += self._noise_at < _NEVER
        self._frame += piece
        came = bytearray() if self._lost else bytearray(piece)
        for index in range(max(0, self._noise_at - begin), min(len(came), self._noise_at - begin + BURST_BYTES)):
            came[index] = self._draw.randrange(256)
        if piece[-1] == 0 or len(self._frame) >= FRAME_BYTES:
            came += self._end()
        return came

    def _end(self) -> bytearray:
        """What follows the frame that has just ended: the rest of a burst, its double, an older frame."""
        frame = bytes(self._frame)
        self._frame.clear()
        self._past.append(frame)
        extra = bytearray()
        if self._noise_at < _NEVER:
            extra += self._draw.randbytes(min(BURST_BYTES, max(0, self._noise_at + BURST_BYTES - len(frame))))
        if self._chance(self._injuries.dup):
            self.counts["doubled"] += 1
            extra += frame
        if self._chance(self._injuries.replay):
            self.counts["replayed"] += 1
            extra += self._draw.choice(self._past)
        return extra

    def _wear(self, came: bytearray) -> bytes:
        """Single bytes and bits, also of what was repeated."""
        hit = self._drops.within(len(came))
        for index in reversed(hit):
            del came[index]
        self.counts["dropped_bytes"] += len(hit)
        for bit in self._bits.within(8 * len(came)):
            came[bit >> 3] ^= 1 << (bit & 7)
            self.counts["flipped_bits"] += 1
        return bytes(came)

    def delay_us(self) -> int:
        """How much later the next write arrives."""
        late_us = self._injuries.delay
        if self._injuries.jitter:
            late_us += self._draw.randrange(self._injuries.jitter + 1)
        self.counts["delayed"] += late_us > 0
        return late_us


class Impairment:
    """Both directions of a bad line. `by_sender["host"]` hurts what the host sends."""

    def __init__(self, text: str, host: Injuries, pump: Injuries, seed: int) -> None:
        self.text = text
        self.by_sender = {sender: Injurer(injuries, random.Random("line/%s/%d" % (sender, seed)))
                          for sender, injuries in zip(SENDERS, (host, pump))}

    @classmethod
    def parse(cls, text: str, seed: int = 1) -> Impairment:
        """From the text of `--line`. Raises LineError: an unknown key, a key given twice, a value out of bounds or without its unit."""
        found: dict[str, dict[str, float]] = {sender: {} for sender in SENDERS}
        for part in text.split(","):
            name, mark, value = (word.strip() for word in part.partition("="))
            sender, dot, key = name.rpartition(".")
            if key not in KEYS or dot and sender not in SENDERS:
                raise LineError("line: key is %r, known are %s, each alone or behind host. or pump." % (name, ", ".join(KEYS)))
            if not mark:
                raise LineError("line: %s has no value: write %s" % (name, _example(key)))
            number = _time_us(name, value) if key in ("delay", "jitter") else _probability(name, key, value)
            for one in (sender,) if dot else SENDERS:
                if key in found[one]:
                    raise LineError("line: %s is given twice for what the %s sends" % (key, one))
                found[one][key] = number
        host, pump = (Injuries(**found[sender]) for sender in SENDERS)      # type: ignore[arg-type]
        return cls(text, host, pump, seed)

    @property
    def late(self) -> bool:
        """Whether bytes come later than they were sent."""
        return any(injurer.late for injurer in self.by_sender.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """What was done to the frames of each sender so far."""
        return {sender: dict(injurer.counts) for sender, injurer in self.by_sender.items()}


def _example(key: str) -> str:
    return key + ("=20ms" if key in ("delay", "jitter") else "=0.1")


def _probability(name: str, key: str, value: str) -> float:
    most = 0.5 if key == "ber" else 1.0
    try:
        number = float(value)
    except ValueError:
        raise LineError("line: %s is %r, it must be a number between 0 and %g" % (name, value, most)) from None
    if not 0 <= number <= most:
        raise LineError("line: %s is %s, it must lie between 0 and %g" % (name, value, most))
    return number


def time_us(value: str) -> float:
    """A time with its unit (us, ms, s) in microseconds. Raises ValueError for anything else."""
    digits = value.rstrip("usm")
    unit = value[len(digits):]
    if unit not in _TIMES:
        raise ValueError("%r has no unit of time" % value)
    return float(digits) * _TIMES[unit]


def _time_us(name: str, value: str) -> int:
    try:
        number = time_us(value)
    except ValueError:
        raise LineError("line: %s is %r, it must be a time with its unit, us, ms or s: %s=20ms" % (name, value, name)) from None
    if not 0 <= number <= MOST_DELAY_US:
        raise LineError("line: %s is %s, it must lie between 0 s and 10 s" % (name, value))
    return round(number)
