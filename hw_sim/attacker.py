"""Somebody on the line who hears every frame and sends what he likes: record, drop, replay, reorder, splice, reflect, truncate, corrupt, flood.

    attacker = Attacker(["replay=0.5,of=commit", "corrupt=0.1,from=host"], seed=7)
    attacker.attach(world)                      # the virtual line of a World; relay.py puts the same object between live endpoints
    attacker.send("host", frame, world.now_us)  # anything at all, as if the host had sent it

A rule is text or any function `rule(frame, out, attacker) -> out`, called for each frame with what goes on so far, a list of (as if sent by,
bytes); what the last rule returns is put on the line. The text is ACTION[=SHARE][,of=MESSAGE][,from=host|pump][,mend=no]: SHARE is the
probability 0..1 (1 unless given) for each frame of that message and sender.

    drop       the frame is gone                        duplicate  it comes twice
    replay     an older frame of the same kind follows  reflect    it goes back to its sender too
    splice     the head of it on the tail of an older   truncate   it ends early
    corrupt    one to three of its bits are flipped     flood      flood=200/s,with=status|garbage|forged|again|past: see `flood`
    reorder    it goes later: behind the next frame of its sender, behind=N of them, or after for=T (us, ms, s); of both the first

Splice, truncate and corrupt mend length byte and CRC unless `mend=no`: who can forge a frame can compute its CRC-32. What an attacker does
not have is a key. Everything is drawn from the seed; times are the line's microseconds.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ..protocol import catalogue, frame as framing
from .attacker_frames import Heard, made, unstuff
from .attacker_rules import Out, Rule, TextRule, check_flood, flood_rule
from .capture import SENDERS, Row

HELD_BYTES = 256            # a run without 0x00 that is longer is passed on as it is: no frame
REMEMBERED = 1000           # frames kept for replays and splices


class Line(Protocol):
    """Where an attacker sits: a World's SerialLine, or the live relay."""

    def put(self, sender: str, data: bytes, now_us: int) -> None: ...


@dataclass(eq=False)
class Late:
    """A frame that is held back: `behind` more frames of its sender to come (0 or less: does not count), when it is due (None: never)."""

    sender: str
    data: bytes
    behind: int
    due_us: int | None


class Attacker:
    """See the module. `capture.add(t_us, sender, arriving, sent)`, where given, gets everything; `counts` says what was done."""

    def __init__(self, rules: Iterable[str | Rule] = (), *, seed: int = 1, capture: Any = None) -> None:
        self.rules: list[Rule] = []
        self.frames: deque[Heard] = deque(maxlen=REMEMBERED)
        self.counts: dict[str, int] = {"heard": 0, "sent": 0, "not_frames": 0}
        self.draw = random.Random("attacker/%d" % seed)
        self.schema_crc = catalogue.schema_crc()
        self.floods: list[tuple[float, str]] = []       # of the rules: (frames a second, what with)
        self.late: list[Late] = []                      # frames held back, in the order in which they were heard
        self._wake: Callable[[int], None] | None = None     # asks for `let_go` at an instant; None: whoever owns the line looks for himself
        # Of each sender; the answers to a flood push it out of `frames`.
        self._latest: dict[str, deque[bytes]] = {sender: deque(maxlen=REMEMBERED) for sender in SENDERS}
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
            self.floods.append(flood_rule(rule))
        else:
            self.rules.append(TextRule(rule))

    def attach(self, world: Any) -> Attacker:
        """Sit on the line of a World; floods of the rules begin at once. `world.line.middle = None` sends him home."""
        def due(t_us: int) -> None:
            if world.line.middle == self.hear:
                self.let_go(t_us)

        world.line.middle = self.hear
        self._line = world.line
        self._wake = lambda t_us: world.at(t_us, lambda: due(t_us))
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
                self._keep(Heard(row.t_us, row.sender, raw, unstuff(raw)))
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
            waiting = [late for late in self.late if late.sender == sender] if heard.body else []
            for rule in self.rules:
                out = rule(heard, out, self)
            self._keep(heard)
            self._note(heard, out)
            going += out + self._passed(waiting, t_us)
        return going

    # ---- frames that go later
    def hold(self, sender: str, data: bytes, t_us: int, *, behind: int = 0, for_us: int = 0) -> None:
        """Keep a frame heard at `t_us` back until `behind` more frames of its sender came by or `for_us` microseconds passed.

        Whichever comes first; 0 is never. What is still held when he leaves the line is gone.
        """
        self.late.append(Late(sender, data, behind, t_us + for_us if for_us else None))
        if for_us and self._wake is not None:
            self._wake(t_us + for_us)

    def let_go(self, t_us: int) -> None:
        """Send the held frames whose time has come; relay.py calls this as time passes, a World when it is due."""
        for late in [late for late in self.late if late.due_us is not None and late.due_us <= t_us]:
            self.late.remove(late)
            self.count("let_go")
            self.send(late.sender, late.data, t_us)

    def _passed(self, waiting: list[Late], t_us: int) -> Out:
        """One more frame went by those that wait: the ones that go behind it."""
        going: Out = []
        for late in waiting:
            late.behind -= 1
            if late.behind == 0:
                self.late.remove(late)
                self.count("let_go")
                going.append((late.sender, late.data))
                if self.capture is not None:
                    self.capture.add(t_us, late.sender, late.data, b"")
        return going

    def release(self, sender: str) -> bytes:
        """What is held of an unfinished frame, to be passed on because nothing followed."""
        data = bytes(self._held[sender])
        self._held[sender].clear()
        return data

    def _keep(self, heard: Heard) -> None:
        self.frames.append(heard)
        if heard.body:
            self._latest[heard.sender].append(heard.raw)

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
        up), again (the last frame heard of `sender`), past (any of its frames heard so far). Raises RuleError.
        """
        check_flood(per_s, what)
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
            return made(catalogue.STATUS, request_id=self.draw.randrange(1, 256), schema_crc=self.schema_crc)
        if what in ("again", "past") and self._latest[sender]:
            return self._latest[sender][-1] if what == "again" else self.draw.choice(self._latest[sender])
        trailer = self.draw.randbytes(framing.trailer_bytes(catalogue.message(catalogue.COMMIT)[3]))
        digest = self.draw.randbytes(catalogue.DIGEST_BYTES)
        return made(catalogue.COMMIT, digest, self.draw.randrange(1, 256), trailer=trailer, schema_crc=self.schema_crc)


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
