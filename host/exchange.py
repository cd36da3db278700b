"""Questions and answers with the pump: one catalogue message out, its reply in, retried by protocol/link.py on the port's clock.

Knows messages, fields and refusals and nothing of therapy. The frame check on this side is crcmod, on the pump's side binascii:
two implementations that must agree (DESIGN 6).
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Sequence

import crcmod.predefined

from ..protocol import catalogue, fields, link
from . import records
from .blocks import refused_field
from .errors import ProtocolProblem, PumpRefused, RequestInvalid, Timeout
from .transport import Line

Take = Callable[[int, dict[str, Any]], "int | None"]
_crc = crcmod.predefined.mkPredefinedCrcFun("crc-32")
WINDOW = 4  # bulk reads in flight: a read and its 215-byte answer take 20 ms at 115200, the turnaround less
CHUNK = {catalogue.FILE_DAYS: 192}  # whole records per read where 200 bytes are not
CHUNK_BYTES = 200
KEPT_PUSHES = 1000


def host_crc(data: Any, seed: int = 0) -> int:
    """CRC-32 (IEEE) by crcmod, continued from `seed`: the host's half of the two implementations."""
    return _crc(bytes(data), seed)


class Exchange:
    """One conversation. `timeout_s` bounds each command on the line's clock.

    Every method may raise NoConnection (the port went away), Timeout (nobody answers), ProtocolProblem (another schema or version, an
    answer that cannot be one) and PumpRefused.
    """

    def __init__(self, line: Line, timeout_s: float = 5.0):
        self.line = line
        self.timeout_s = timeout_s
        self.schema_crc = catalogue.schema_crc()
        self.pushes: deque[dict[str, Any]] = deque(maxlen=KEPT_PUSHES)
        self._link = link.Requester(self.schema_crc, host_crc)
        self._greeting: dict[str, Any] | None = None

    @property
    def push_gaps(self) -> int:
        """Pushed frames that never arrived."""
        return self._link.push_gaps

    @property
    def retries(self) -> int:
        """Requests that had to be repeated."""
        return self._link.retries

    def _now_ms(self) -> int:
        return int(self.line.clock.now_s() * 1000)

    def greet(self) -> dict[str, Any]:
        """Say hello and compare schemas; the pump forgets what it kept for an earlier host. Returns the hello reply's fields."""
        self._link = link.Requester(self.schema_crc, host_crc)
        self.line.forget_input()
        self._greeting = None
        reply = self._one(catalogue.HELLO, (catalogue.PROTOCOL_VERSION, self.schema_crc))
        if (reply["version"], reply["schema_crc"]) != (catalogue.PROTOCOL_VERSION, self.schema_crc):
            raise ProtocolProblem(
                "the pump on %s speaks protocol %d schema %08x, this programmer protocol %d schema %08x: use the programmer of the pump's version" % (
                    self.line.name, reply["version"], reply["schema_crc"], catalogue.PROTOCOL_VERSION, self.schema_crc))
        self._greeting = reply
        return reply

    def ask(self, message_id: int, *values: Any, refused_rows: Sequence[Any] | None = None) -> dict[str, Any]:
        """One request; returns its reply's fields by name. `refused_rows`: whose field index a refusal means, if not the request's own."""
        if self._greeting is None:
            self.greet()
        return self._one(message_id, values, refused_rows)

    def _one(self, message_id: int, values: Sequence[Any], refused_rows: Sequence[Any] | None = None) -> dict[str, Any]:
        replies: list[dict[str, Any]] = []
        request = self._submit(message_id, values)
        self._run({request}, lambda _, reply: replies.append(reply), refused_rows)
        return replies[0]

    def _submit(self, message_id: int, values: Sequence[Any]) -> int:
        row = catalogue.message(message_id)
        out = bytearray(255)
        end = fields.pack(row[5], values, out)
        if end < 0:
            field = row[5][-1 - end]
            raise RequestInvalid(refused_field(row[1], field, values[-1 - end]), field[fields.NAME])
        return self._link.submit(message_id, out[:end], self._now_ms())

    def _run(self, waiting: set[int], take: Take, refused_rows: Sequence[Any] | None = None) -> None:
        """Drive the line until every request in `waiting` is answered; `take(request, reply)` may return a further request to wait for."""
        try:
            self._until_answered(waiting, take, refused_rows)
        finally:
            if waiting:     # left early: what is still in flight must not meet the next command
                self._greeting = None

    def _until_answered(self, waiting: set[int], take: Take, refused_rows: Sequence[Any] | None) -> None:
        deadline = self.line.clock.now_s() + self.timeout_s
        while waiting:
            now_ms = self._now_ms()
            self._link.poll(now_ms)
            self._drain()
            left_s = deadline - self.line.clock.now_s()
            due_ms = self._link.next_due_ms(now_ms)
            if left_s <= 0 or due_ms is None:
                raise self._silence()
            data = self.line.receive(min(left_s, max(due_ms, 1) / 1000))
            for kind, request, message_id, payload in self._link.feed(data, self._now_ms()):
                if kind == link.OUT_PUSH:
                    self.pushes.append(records.decode(message_id, payload))
                elif request in waiting:
                    waiting.discard(request)
                    if kind == link.OUT_REFUSED:
                        raise self._refusal(message_id, payload, refused_rows)
                    deadline = self.line.clock.now_s() + self.timeout_s
                    further = take(request, records.decode(message_id | catalogue.REPLY_BIT, payload))
                    if further is not None:
                        waiting.add(further)

    def _drain(self) -> None:
        if self._link.outbox:
            data = bytes(self._link.outbox)
            del self._link.outbox[:]
            self.line.send(data)

    def _silence(self) -> Exception:
        """What to say when the time is up."""
        decoder, name = self._link.decoder, self.line.name
        if decoder.bad_version:
            return ProtocolProblem("what answers on %s uses another frame version than %d" % (name, catalogue.PROTOCOL_VERSION))
        bad = decoder.bad_cobs + decoder.bad_length + decoder.bad_class + decoder.bad_crc
        noise = ", %d damaged frames came" % bad if bad else ""
        noise += ", %d frames came that answer nothing (an echoing line?)" % self._link.stray if self._link.stray else ""
        return Timeout("the pump on %s did not answer within %g s%s" % (name, self.timeout_s, noise))

    def _refusal(self, message_id: int, payload: bytes, refused_rows: Sequence[Any] | None) -> PumpRefused:
        said = records.decode(catalogue.REFUSED, payload)
        row = catalogue.message(message_id)
        rows = row[5] if refused_rows is None else refused_rows
        reason = records.reason_text(said["reason"])
        sentence = "the pump refused %s: %s" % (row[1], reason)
        field = None
        if said["reason"] in (catalogue.R_BAD_FIELD, catalogue.R_LIMIT, catalogue.R_BAD_BLOCK, catalogue.R_BAD_LENGTH) and said["field"] < len(rows):
            field = rows[said["field"]][fields.NAME]
            sentence += " (%s, value %d)" % (field, said["value"])
        elif said["reason"] == catalogue.R_STATE and 0 <= said["value"] < len(catalogue.MODES):
            sentence += ": it is %s" % catalogue.MODES[said["value"]]
        return PumpRefused(sentence, said["reason"], field)

    def file_span(self, file: int) -> tuple[int, int]:
        """First and end offset (bytes) of a file of the pump."""
        reply = self.ask(catalogue.FILE_INFO, file)
        return reply["first"], reply["end"]

    def pull(self, file: int, start: int, end: int, progress: Callable[[int, int], None] | None = None) -> bytes:
        """Bytes start..end of a file, several reads in flight; the pump may answer with fewer bytes than asked (at its ring's wrap).

        `progress(done, total)` is called with byte counts. Raises ProtocolProblem when an answer is not what was asked.
        """
        if self._greeting is None:
            self.greet()
        chunk = CHUNK.get(file, CHUNK_BYTES)
        todo = deque((at, min(chunk, end - at)) for at in range(start, end, chunk))
        asked: dict[int, tuple[int, int]] = {}
        data = bytearray(end - start)
        done = 0

        def more() -> int | None:
            if not todo:
                return None
            at, length = todo.popleft()
            request = self._submit(catalogue.FILE_READ, (file, at, length))
            asked[request] = (at, length)
            return request

        def take(request: int, reply: dict[str, Any]) -> int | None:
            nonlocal done
            at, length = asked.pop(request)
            got = reply["data"]
            if reply["offset"] != at or not 0 < len(got) <= length:
                raise ProtocolProblem("asked for %d bytes of file %d at %d, the pump sent %d of %d" % (length, file, at, len(got), reply["offset"]))
            data[at - start: at - start + len(got)] = got
            done += len(got)
            if len(got) < length:
                todo.appendleft((at + len(got), length - len(got)))
            if progress:
                progress(done, end - start)
            return more()

        first = {request for request in (more() for _ in range(WINDOW)) if request is not None}
        self._run(first, take)
        return bytes(data)

    def listen(self, timeout_s: float) -> dict[str, Any]:
        """The next pushed frame's fields. Raises Timeout after `timeout_s` without one."""
        if self._greeting is None:
            self.greet()
        deadline = self.line.clock.now_s() + timeout_s
        while not self.pushes:
            left_s = deadline - self.line.clock.now_s()
            if left_s <= 0:
                raise Timeout("the pump on %s sent no telemetry for %g s" % (self.line.name, timeout_s))
            for kind, _, message_id, payload in self._link.feed(self.line.receive(left_s), self._now_ms()):
                if kind == link.OUT_PUSH:
                    self.pushes.append(records.decode(message_id, payload))
        return self.pushes.popleft()
