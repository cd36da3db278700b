"""Somebody on the line who hears every frame and sends what he likes: record, drop, replay, splice, reflect, truncate, corrupt, flood.

    attacker = Attacker(["replay=0.5,of=commit", "corrupt=0.1,from=host"], seed=7)
    attacker.attach(world)                      # the virtual line of a World; relay.py puts the same object between live endpoints
    attacker.send("host", frame, world.now_us)  # anything at all, as if the host had sent it

A rule is text or any function `rule(frame, out, attacker) -> out`, called for each frame with what goes on so far, a list of (as if sent by,
bytes); what the last rule returns is put on the line. The text is ACTION[=SHARE][,of=MESSAGE][,from=host|pump][,mend=no]: SHARE is the
probability 0..1 (1 unless given) for each frame of that message and sender.

    drop       the frame is gone                        duplicate  it comes twice
    replay     an older frame of the same kind follows  reflect    it goes back to its sender too
    splice     the head of it on the tail of an older   truncate   it ends early
    corrupt    one to three of its bits are flipped     flood      flood=200/s,with=status|garbage|forged|again: see `flood`

Splice, truncate and corrupt mend length byte and CRC unless `mend=no`: who can forge a frame can compute its CRC-32. What an attacker does
not have is a key. Everything is drawn from the seed; times are the line's microseconds.
"""

from __future__ import annotations

import binascii
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ..protocol import catalogue, frame as framing
from .capture import SENDERS, Row

HELD_BYTES = 256            # a run without 0x00 that is longer is passed on as it is: no frame
REMEMBERED = 1000           # frames kept for replays and splices
MOST_FLOOD_PER_S = 5000     # a line of 115200 carries 1,645 of the shortest frames a second
FLOODS = ("status", "garbage", "forged", "again")
Out = list[tuple[str, bytes]]


class RuleError(ValueError):
    """A rule that cannot be; one sentence with the rule, the value and the bound."""


class Line(Protocol):
    """Where an attacker sits: a World's SerialLine, or the live relay."""

    def put(self, sender: str, data: bytes, now_us: int) -> None: ...


@dataclass(frozen=True)
class Heard:
    """One frame as it came, its 0x00 included; `body` is what COBS held (header to CRC), empty where it was no whole frame."""

    t_us: int
    sender: str
    raw: bytes
    body: bytes

    @property
    def message(self) -> int:
        """Message id, -1 for what is no frame."""
        return self.body[1] if self.body else -1


Rule = Callable[[Heard, Out, "Attacker"], Out]


# ------------------------------------------------------------------------------------------------ frames, as an outsider makes them

def unstuff(raw: bytes) -> bytes:
    """The body of a COBS frame (its 0x00 at the end); empty where it is none or too short for a header and a CRC."""
    body = bytearray()
    at, end = 0, len(raw) - 1
    while at < end:
        code = raw[at]
        if code == 0 or at + code > end:
            return b""
        body += raw[at + 1:at + code]
        at += code
        if at < end and code < 255:
            body.append(0)
    return bytes(body) if len(body) >= framing.MIN_BODY else b""


def stuff(body: bytes) -> bytes:
    """COBS and the closing 0x00 around at most 254 bytes."""
    raw = bytearray()
    for part in body.split(b"\0"):
        raw.append(len(part) + 1)
        raw += part
    return bytes(raw) + b"\0"


def mended(content: bytes, schema_crc: int) -> bytes:
    """A frame around header, payload and trailer, with the length byte and the CRC that fit them."""
    body = bytearray(content)
    message_class = body[0] & 0x1F
    trailer = framing.trailer_bytes(message_class) if message_class < len(framing.TAG_BYTES) else 0
    body[2] = max(0, len(body) - framing.HEADER - trailer) & 0xFF
    crc = binascii.crc32(body, 0 if message_class == framing.CLASS_OPEN else schema_crc)
    return stuff(bytes(body) + crc.to_bytes(4, "little"))


def made(message_id: int, payload: bytes = b"", request_id: int = 1, seq: int = 0, trailer: bytes | None = None) -> bytes:
    """A whole frame of a catalogue message as anyone can make it; a tagged class gets `trailer`, or a counter and tag of zeros.

    Raises ValueError for an id that is not in the catalogue.
    """
    row = catalogue.message(message_id)
    if row is None:
        raise ValueError("message id 0x%02x is not in the catalogue" % message_id)
    head = bytes((framing.VERSION << 5 | row[3], message_id, 0, seq & 0xFF, request_id & 0xFF))
    return mended(head + payload + (bytes(framing.trailer_bytes(row[3])) if trailer is None else trailer), catalogue.schema_crc())


# ------------------------------------------------------------------------------------------------ the attacker

class Attacker:
    """See the module. `capture.add(t_us, sender, arriving, sent)`, where given, gets everything; `counts` says what was done."""

    def __init__(self, rules: Iterable[str | Rule] = (), *, seed: int = 1, capture: Any = None) -> None:
        self.rules: list[Rule] = []
        self.frames: deque[Heard] = deque(maxlen=REMEMBERED)
        self.counts: dict[str, int] = {"heard": 0, "sent": 0, "not_frames": 0}
        self.draw = random.Random("attacker/%d" % seed)
        self.schema_crc = catalogue.schema_crc()
        self.floods: list[tuple[float, str]] = []       # of the rules: (frames a second, what with)
        self._held: dict[str, bytearray] = {sender: bytearray() for sender in SENDERS}
        self.capture = capture
        self._line: Line | None = None
        for one in rules:
            self.add(one)

    def add(self, rule: str | Rule) -> None:
        """One more rule, behind those that are there. Raises RuleError."""
        if not isinstance(rule, str):
            self.rules.append(rule)
        elif rule.partition("=")[0].strip() == "flood":
            self.floods.append(_flood_rule(rule))
        else:
            self.rules.append(TextRule(rule))

    def attach(self, world: Any) -> Attacker:
        """Sit on the line of a World; floods of the rules begin at once. `world.line.middle = None` sends him home."""
        world.line.middle = self.hear
        self._line = world.line
        for per_s, what in self.floods:
            self.flood(world, per_s, what=what)
        return self

    def join(self, line: Line) -> None:
        """Use `line` for what is sent out of turn (relay.py)."""
        self._line = line

    def load(self, rows: Iterable[Row]) -> None:
        """Remember the frames of a capture: material for replays and splices across sessions and reboots."""
        for row in rows:
            for raw in _cut(self._held[row.sender], row.sent):
                self.frames.append(Heard(row.t_us, row.sender, raw, unstuff(raw)))
        for held in self._held.values():
            held.clear()

    def hear(self, sender: str, data: bytes, t_us: int) -> Out:
        """Bytes that `sender` has written; returns what goes on the line instead. Half a frame is held until its end comes."""
        going: Out = []
        for raw in _cut(self._held[sender], data):
            heard = Heard(t_us, sender, raw, unstuff(raw))
            self.counts["heard"] += 1
            self.counts["not_frames"] += not heard.body and len(raw) > 1     # a bare 0x00 is a wake-up, PROTOCOL.md
            out: Out = [(sender, raw)]
            for rule in self.rules:
                out = rule(heard, out, self)
            self.frames.append(heard)
            self._note(heard, out)
            going += out
        return going

    def release(self, sender: str) -> bytes:
        """What is held of an unfinished frame, to be passed on because nothing followed."""
        data = bytes(self._held[sender])
        self._held[sender].clear()
        return data

    def _note(self, heard: Heard, out: Out) -> None:
        if self.capture is not None:
            own = b"".join(data for sender, data in out if sender == heard.sender)
            self.capture.add(heard.t_us, heard.sender, own, heard.raw)
            for sender, data in out:
                if sender != heard.sender:
                    self.capture.add(heard.t_us, sender, data, b"")

    def count(self, what: str) -> None:
        """One more of `what`."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def past(self, sender: str, message: int) -> list[Heard]:
        """Remembered frames of this sender and message id (-1: any)."""
        return [heard for heard in self.frames if heard.sender == sender and heard.body and message in (-1, heard.message)]

    def send(self, sender: str, data: bytes, t_us: int) -> None:
        """Put bytes on the line as if `sender` had sent them. Raises RuntimeError before `attach`."""
        if self._line is None:
            raise RuntimeError("the attacker is on no line yet: attach him to a world or run a relay")
        self.counts["sent"] += 1
        if self.capture is not None:
            self.capture.add(t_us, sender, data, b"")
        self._line.put(sender, data, t_us)

    # ---- floods
    def flood(self, world: Any, per_s: float, *, what: str = "status", seconds: float | None = None, sender: str = "host") -> None:
        """Send `per_s` frames a second (above 0, at most 5000) from now on, for `seconds` of virtual time or as long as he sits on the line.

        `what`: status (a well-formed question: it makes the pump answer), garbage (random bytes), forged (a commit with a tag made
        up), again (the last frame heard of `sender`). Raises RuleError.
        """
        _check_flood(per_s, what)
        end_us = world.now_us + round(seconds * 1e6) if seconds is not None else None
        start_us, sent = world.now_us, 0

        def one() -> None:
            nonlocal sent
            if world.line.middle != self.hear or end_us is not None and world.now_us >= end_us:
                return
            self.send(sender, self.flooding(what, sender), world.now_us)
            sent += 1
            world.at(start_us + round(sent * 1e6 / per_s), one)

        world.at(start_us, one)

    def flooding(self, what: str, sender: str = "host") -> bytes:
        """One frame of a flood."""
        self.count("flood_frames")
        if what == "garbage":
            return self.draw.randbytes(self.draw.randrange(8, 64)) + b"\0"
        if what == "status":
            return made(catalogue.STATUS, request_id=self.draw.randrange(1, 256))
        last = self.past(sender, -1)
        if what == "again" and last:
            return last[-1].raw
        trailer = self.draw.randbytes(framing.trailer_bytes(catalogue.message(catalogue.COMMIT)[3]))
        return made(catalogue.COMMIT, self.draw.randbytes(catalogue.DIGEST_BYTES), self.draw.randrange(1, 256), trailer=trailer)


def _cut(held: bytearray, data: bytes) -> Iterator[bytes]:
    """Whole frames of a stream; `held` keeps the rest."""
    held += data
    while held:
        end = held.find(0) + 1
        if not end and len(held) < HELD_BYTES:
            return
        end = min(end or HELD_BYTES, HELD_BYTES)
        yield bytes(held[:end])
        del held[:end]


# ------------------------------------------------------------------------------------------------ rules as text

class TextRule:
    """A rule made from its text; see the module. Raises RuleError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.action, share, options = _parts(text, ("of", "from", "mend"))
        if self.action not in _ACTIONS:
            raise RuleError("rule %r: action is %r, known are %s" % (text, self.action, ", ".join([*_ACTIONS, "flood"])))
        self.share = _number(text, share or "1", 1.0)
        self.message = _message(text, options.get("of"))
        self.sender = options.get("from")
        if self.sender not in (None, *SENDERS):
            raise RuleError("rule %r: from is %r, it must be host or pump" % (text, self.sender))
        if options.get("mend", "yes") not in ("yes", "no"):
            raise RuleError("rule %r: mend is %r, it must be yes or no" % (text, options["mend"]))
        self.mend = options.get("mend", "yes") == "yes"

    def __call__(self, heard: Heard, out: Out, attacker: Attacker) -> Out:
        if self.message not in (-1, heard.message) or self.sender not in (None, heard.sender) or attacker.draw.random() >= self.share:
            return out
        changed = _ACTIONS[self.action](self, heard, out, attacker)
        if changed != out:
            attacker.count(self.action)
        return changed


def _drop(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    return [piece for piece in out if piece != (heard.sender, heard.raw)]


def _duplicate(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    return [*out, (heard.sender, heard.raw)]


def _reflect(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    return [*out, (SENDERS[heard.sender == "host"], heard.raw)]


def _replay(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    old = attacker.past(heard.sender, rule.message)
    return [*out, (heard.sender, attacker.draw.choice(old).raw)] if old else out


def _splice(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    old = attacker.past(heard.sender, -1)
    if not old or not heard.body:
        return out
    tail = attacker.draw.choice(old).body
    cut = attacker.draw.randrange(1, min(len(heard.body), len(tail)) - framing.CRC_BYTES + 1)
    return _instead(rule, heard, out, attacker, heard.body[:cut] + tail[cut:-framing.CRC_BYTES])


def _truncate(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    """Mended, the payload ends early and what stood behind it still does; else the frame does, wherever."""
    if len(heard.body) <= framing.MIN_BODY:
        return out
    content = heard.body[:-framing.CRC_BYTES]
    cut = attacker.draw.randrange(framing.HEADER, len(content))
    rest = content[framing.HEADER + heard.body[2]:] if rule.mend else b""
    return _instead(rule, heard, out, attacker, content[:min(cut, len(content) - len(rest) - 1)] + rest)


def _corrupt(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    if not heard.body:
        return out
    content = bytearray(heard.body[:-framing.CRC_BYTES])
    for bit in attacker.draw.sample(range(8 * len(content)), attacker.draw.randrange(1, 4)):
        content[bit >> 3] ^= 1 << (bit & 7)
    return _instead(rule, heard, out, attacker, bytes(content))


def _instead(rule: TextRule, heard: Heard, out: Out, attacker: Attacker, content: bytes) -> Out:
    """The frame is replaced by one around `content`: mended, or with the CRC it had."""
    raw = mended(content, attacker.schema_crc) if rule.mend else stuff(content + heard.body[-framing.CRC_BYTES:])
    return [(sender, raw if (sender, data) == (heard.sender, heard.raw) else data) for sender, data in out]


_ACTIONS: dict[str, Callable[[TextRule, Heard, Out, Attacker], Out]] = {
    "drop": _drop, "duplicate": _duplicate, "replay": _replay, "reflect": _reflect, "splice": _splice, "truncate": _truncate, "corrupt": _corrupt}


def _parts(text: str, known: tuple[str, ...]) -> tuple[str, str, dict[str, str]]:
    """(action, its amount or "", options) of a rule's text."""
    (action, _, amount), *rest = ([word.strip() for word in part.partition("=")] for part in text.split(","))
    options: dict[str, str] = {}
    for name, mark, value in rest:
        if name not in known or not mark:
            raise RuleError("rule %r: %r is no option of %s, known are %s" % (text, name, action, ", ".join(one + "=..." for one in known)))
        options[name] = value
    return action, amount, options


def _number(text: str, value: str, most: float) -> float:
    try:
        number = float(value)
    except ValueError:
        raise RuleError("rule %r: %r must be a number between 0 and %g" % (text, value, most)) from None
    if not 0 <= number <= most:
        raise RuleError("rule %r: %s must lie between 0 and %g" % (text, value, most))
    return number


def _message(text: str, name: str | None) -> int:
    if name is None:
        return -1
    for row in catalogue.MESSAGES:
        if row[1] == name:
            return int(row[0])
    raise RuleError("rule %r: of is %r, no message of the catalogue has this name" % (text, name))


def _flood_rule(text: str) -> tuple[float, str]:
    _, amount, options = _parts(text, ("with",))
    if not amount.endswith("/s"):
        raise RuleError("rule %r: a flood needs its rate, for example flood=200/s" % text)
    per_s, what = _number(text, amount[:-2], MOST_FLOOD_PER_S), options.get("with", "status")
    _check_flood(per_s, what)
    return per_s, what


def _check_flood(per_s: float, what: str) -> None:
    if not 0 < per_s <= MOST_FLOOD_PER_S:
        raise RuleError("a flood of %g frames/s: it must be above 0 and at most %d" % (per_s, MOST_FLOOD_PER_S))
    if what not in FLOODS:
        raise RuleError("a flood with %r: known are %s" % (what, ", ".join(FLOODS)))
