"""Requests on a line: each sent, repeated by protocol/requester.py on the port's clock, and its reply or refusal read by the catalogue.

The frame check on this side is crcmod, on the pump's side binascii: two implementations that must agree (DESIGN 6). What a session is
and when one is needed is exchange.py's; here is only what a refusal can be believed to mean.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Callable, Iterator, Sequence

import crcmod.predefined

from ..protocol import catalogue, fields, requester
from ..protocol.frame import TAG_BYTES, VERSION
from ..protocol.session import ROLES, Session
from . import records
from .blocks import refused_field
from .errors import ProtocolProblem, PumpRefused, RequestInvalid, SessionLost, ThecalError, Timeout
from .transport import Line

Take = Callable[[int, dict[str, Any]], "int | None"]
_crc = crcmod.predefined.mkPredefinedCrcFun("crc-32")
KEPT_PUSHES = 1000
_FIELD_REASONS = (catalogue.R_BAD_FIELD, catalogue.R_LIMIT, catalogue.R_BAD_BLOCK, catalogue.R_BAD_LENGTH)
_ROLE_FLAGS = ((catalogue.F_CLINICIAN, "clinician"), (catalogue.F_SERVICE, "service"), (catalogue.F_PATIENT, "patient"))


def host_crc(data: Any, seed: int = 0) -> int:
    """CRC-32 (IEEE) by crcmod, continued from `seed`: the host's half of the two implementations."""
    return _crc(bytes(data), seed)


@dataclass(frozen=True)
class LineCounts:
    """Since the port was opened: requests repeated, frames that came damaged, frames that answer nothing, pushed frames that never came."""

    retries: int
    damaged: int
    stray: int
    push_gaps: int

    def to_dict(self) -> dict[str, int]:
        return asdict(self)

    def text(self) -> str:
        """What was not as it should be, in words; empty for a clean line."""
        said = ((self.retries, "requests repeated"), (self.damaged, "frames damaged"), (self.stray, "frames that answer nothing"),
                (self.push_gaps, "pushed frames lost"))
        return ", ".join("%d %s" % row for row in said if row[0])


class Wire:
    """The host's end of one line. `clean` is False when a command was left early: what is in flight must not meet the next one.

    All methods may raise NoConnection, Timeout (none came within `patience_s` of the line's clock), ProtocolProblem and PumpRefused; for a
    request of a session also SessionLost: a refusal that is not sealed is never taken to mean that a sealed request was not
    executed. It may be forged, or come from a pump that was reset behind the execution.
    """

    def __init__(self, line: Line, schema_crc: int):
        self.line = line
        self.clean = False
        self.sent_s = line.clock.now_s()        # when the last byte was sent
        self.pushes: deque[dict[str, Any]] = deque(maxlen=KEPT_PUSHES)
        self._link = requester.Requester(schema_crc, host_crc)

    @property
    def session(self) -> Session | None:
        """The open session, whose seal tagged requests carry."""
        return self._link.session

    @session.setter
    def session(self, session: Session | None) -> None:
        self._link.session = session

    @property
    def push_gaps(self) -> int:
        """Pushed frames that never arrived."""
        return self._link.push_gaps

    def counts(self) -> LineCounts:
        """What the line has done so far."""
        version, damaged, stray = self._noise()
        return LineCounts(self._link.retries, version + damaged, stray, self._link.push_gaps)

    def _now_ms(self) -> int:
        return int(self.line.clock.now_s() * 1000)

    def begin(self) -> None:
        """Begin anew: forget what is in flight, what has arrived, and the session."""
        self._link.forget()
        del self._link.outbox[:]
        self._link.session = None
        self.line.forget_input()
        self.clean = True

    def one(self, message_id: int, values: Sequence[Any], patience_s: float, refused_rows: Sequence[Any] | None = None) -> dict[str, Any]:
        """One request and its reply's fields by name. `refused_rows`: whose field index a refusal means, if not the request's own."""
        replies: list[dict[str, Any]] = []
        request = self.submit(message_id, values)
        self.run({request}, lambda _, reply: replies.append(reply), patience_s, refused_rows)
        return replies[0]

    def submit(self, message_id: int, values: Sequence[Any]) -> int:
        """Queue a request; its request id. Raises RequestInvalid for a value out of its field's bounds, before anything is sent."""
        row = catalogue.message(message_id)
        out = bytearray(255)
        end = fields.pack(row[5], values, out)
        if end < 0:
            field = row[5][-1 - end]
            raise RequestInvalid(refused_field(row[1], field, values[-1 - end]), field[fields.NAME])
        return self._link.submit(message_id, out[:end], self._now_ms())

    def run(self, waiting: set[int], take: Take, patience_s: float, refused_rows: Sequence[Any] | None = None) -> None:
        """Drive the line until every request in `waiting` is answered; `take(request, reply)` may return a further request to wait for."""
        try:
            self._until_answered(waiting, take, refused_rows, patience_s)
        finally:
            if waiting:
                self.clean = False

    def _until_answered(self, waiting: set[int], take: Take, refused_rows: Sequence[Any] | None, patience_s: float) -> None:
        deadline = self.line.clock.now_s() + patience_s
        before = self._noise()
        while waiting:
            now_ms = self._now_ms()
            self._link.poll(now_ms)
            self._drain()
            left_s = deadline - self.line.clock.now_s()
            due_ms = self._link.next_due_ms(now_ms)
            if left_s <= 0 or due_ms is None:
                raise self._silence(patience_s, before)
            for kind, request, message_id, payload, sealed in self._heard(min(left_s, max(due_ms, 1) / 1000)):
                if request in waiting:
                    waiting.discard(request)
                    if kind == requester.OUT_REFUSED:
                        raise self._refusal(message_id, payload, refused_rows, sealed)
                    deadline = self.line.clock.now_s() + patience_s
                    further = take(request, records.decode(message_id | catalogue.REPLY_BIT, payload))
                    if further is not None:
                        waiting.add(further)

    def _heard(self, wait_s: float) -> Iterator[tuple[int, int, int, bytes, bool]]:
        """What came within `wait_s`: (OUT_*, request id, message id, payload, whether its frame was sealed). Pushed frames are put aside."""
        data = self.line.receive(wait_s)
        start = 0
        while start < len(data):    # one frame at a time, so that the decoder still stands on the frame that an event is about
            end = data.find(0, start) + 1 or len(data)
            for kind, request, message_id, payload in self._link.feed(data[start:end], self._now_ms()):
                if kind == requester.OUT_PUSH:
                    self.pushes.append(records.decode(message_id, payload))
                else:
                    yield kind, request, message_id, payload, TAG_BYTES[self._link.decoder.message_class] > 0
            start = end

    def listen(self, wait_s: float) -> dict[str, Any] | None:
        """The next pushed frame's fields, or None when none came within `wait_s`."""
        deadline = self.line.clock.now_s() + wait_s
        while not self.pushes:
            left_s = deadline - self.line.clock.now_s()
            if left_s <= 0:
                return None
            for _ in self._heard(left_s):
                pass    # a late answer to a request that was given up
        return self.pushes.popleft()

    def _drain(self) -> None:
        if self._link.outbox:
            data = bytes(self._link.outbox)
            del self._link.outbox[:]
            self.line.send(data)
            self.sent_s = self.line.clock.now_s()

    def _noise(self) -> tuple[int, int, int]:
        """Frames so far: of another version, damaged, answering nothing."""
        decoder = self._link.decoder
        return decoder.bad_version, decoder.bad_cobs + decoder.bad_length + decoder.bad_class + decoder.bad_crc, self._link.stray

    def _silence(self, patience_s: float, before: tuple[int, int, int]) -> Exception:
        """What to say when the time is up."""
        version, bad, stray = (now - then for now, then in zip(self._noise(), before))
        if version:
            return ProtocolProblem("what answers on %s uses another frame version than %d" % (self.line.name, VERSION))
        noise = ", %d damaged frames came" % bad if bad else ""
        noise += ", %d frames came that answer nothing (an echoing line?)" % stray if stray else ""
        return Timeout("the pump on %s did not answer within %g s%s" % (self.line.name, patience_s, noise))

    def _refusal(self, message_id: int, payload: bytes, refused_rows: Sequence[Any] | None, sealed: bool) -> ThecalError:
        """What a refusal means. One that is not sealed, of a request that was, only says that the session is gone."""
        said = records.decode(catalogue.REFUSED, payload)
        row = catalogue.message(message_id)
        if TAG_BYTES[row[3]] and not sealed:
            self._link.session = None
            return SessionLost("the pump on %s has ended the session" % self.line.name)
        rows = row[5] if refused_rows is None else refused_rows
        reason, value, field = said["reason"], said["value"], None
        sentence = "the pump refused %s: %s" % (row[1], records.reason_text(reason))
        judged = message_id in (catalogue.CHECK, catalogue.COMMIT) and reason == catalogue.R_LIMIT and said["field"] == 0    # no field: the whole order
        if reason in _FIELD_REASONS and said["field"] < len(rows) and not judged:
            field = rows[said["field"]][fields.NAME]
            sentence += " (%s, value %d)" % (field, value)
        elif reason == catalogue.R_STATE:
            sentence += _state_text(message_id, value)
        elif reason == catalogue.R_ROLE:
            able = [name for flag, name in _ROLE_FLAGS if row[4] & flag]
            sentence += ": this is a %s session, it takes one of: %s" % (ROLES[value] if value < len(ROLES) else "another", ", ".join(able))
        elif reason == catalogue.R_LOCKED:
            sentence += ", for another %d s; therapy goes on meanwhile, and pairing with the magnet at the pump ends it" % value
        elif reason == catalogue.R_MAGNET:
            sentence += ": hold it there and try again"
        return PumpRefused(sentence, reason, field)


def _state_text(message_id: int, value: int) -> str:
    """The state that a refusal names: the pump's mode, or for an emergency reduction the one in force."""
    if message_id == catalogue.REDUCE:
        return ": it is stopped already, and falling back would raise the rate" if value else ": there is no program to reduce"
    return ": it is %s" % catalogue.MODES[value] if 0 <= value < len(catalogue.MODES) else ""
