"""The conversation with one pump: who is there, a session where one is needed, questions and answers, files, telemetry.

Knows messages and sessions, and nothing of therapy. A session that is lost in the middle of a command is opened anew once; lost again,
the command ends with SessionLost: two programmers do not fight over a pump.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any, Callable, Sequence

from ..protocol import catalogue
from ..protocol.frame import TAG_BYTES
from ..protocol.handshake import HostHandshake
from ..protocol.session import CLINICIAN, MAX_COUNTER, NONCE_BYTES, ROLES, shelf_key
from .errors import KeyProblem, ProtocolProblem, PumpRefused, SessionLost, ThecalError, WrongPump
from .keystore import ROLE_NAMES, Key, Keystore
from .transport import Line
from .wire import LineCounts, Wire

WINDOW = 4  # bulk reads in flight: a read and its 215-byte answer take 20 ms at 115200, the turnaround less
CHUNK = {catalogue.FILE_DAYS: 192}  # whole records per read where 200 bytes are not
CHUNK_BYTES = 200
HANDSHAKES = 3  # a wrong proof may be an old one that somebody replays; a pump that lacks the key never gives the right one
RENEW_AT = MAX_COUNTER // 2  # frames sent in one session: far from the last counter, whatever one command still needs
GOODBYE_S = 1.0  # patience for the answer to a goodbye: a pump that misses it closes the session by itself


def roles_in(bits: int) -> list[str]:
    """Names of the roles whose bit (role - 1) is set, as the hello's `paired` has them."""
    return [name for number, name in enumerate(ROLES[1:]) if bits >> number & 1]


class Exchange:
    """One conversation. `timeout_s` bounds each command on the line's clock; `role` is that of its session (1..3).

    Every method may raise NoConnection (the port went away), Timeout (nobody answers), ProtocolProblem (another schema or version, an
    answer that cannot be one), PumpRefused, WrongPump, and where it needs a session KeyProblem and SessionLost. `notice` is called with a
    sentence, each at most once, for what a user should know and nothing fails of.
    """

    def __init__(self, line: Line, timeout_s: float = 5.0, *, role: int = CLINICIAN, keys: Keystore | None = None,
                 notice: Callable[[str], None] | None = None):
        self.line = line
        self.role = role
        self.keys = Keystore.memory() if keys is None else keys
        # A simulated port brings its own chance, so that a scenario's clinician says the same bytes twice (R9).
        self.chance: Callable[[int], bytes] = getattr(line.port, "chance", None) or os.urandom
        self.timeout_s = timeout_s
        self.schema_crc = catalogue.schema_crc()
        self.sessions = 0           # opened so far
        self.idle_s = 0             # of pump time without a word, behind which the pump closes the session
        self.on_shelf_key = False   # the session in use is open to anybody
        self._wire = Wire(line, self.schema_crc)
        self._greeting: dict[str, Any] | None = None
        self._serials: list[int] = []       # of the one pump spoken to; a second one only while it is being commissioned
        self._notice = notice
        self._noticed: set[str] = set()

    @property
    def push_gaps(self) -> int:
        """Pushed frames that never arrived."""
        return self._wire.push_gaps

    @property
    def sent_s(self) -> float:
        """When the last byte was sent, on the line's clock."""
        return self._wire.sent_s

    def line_counts(self) -> LineCounts:
        """What the line has done so far."""
        return self._wire.counts()

    def tell(self, sentence: str) -> None:
        """Let the user know, once."""
        if self._notice is not None and sentence not in self._noticed:
            self._noticed.add(sentence)
            self._notice(sentence)

    # ---------------------------------------------------------------------------------------------- who is there
    def greet(self) -> dict[str, Any]:
        """Begin anew: drop what is in flight and the session, and say hello."""
        self._wire.begin()
        self._greeting = None
        return self.hello()

    def hello(self) -> dict[str, Any]:
        """Ask who is there and compare schemas and serials; a session stands if the pump was not reset. Returns the reply's fields."""
        reply = self._one(catalogue.HELLO, (catalogue.PROTOCOL_VERSION, self.schema_crc))
        if (reply["version"], reply["schema_crc"]) != (catalogue.PROTOCOL_VERSION, self.schema_crc):
            raise ProtocolProblem(
                "the pump on %s speaks protocol %d schema %08x, this programmer protocol %d schema %08x: use the programmer of the pump's version" % (
                    self.line.name, reply["version"], reply["schema_crc"], catalogue.PROTOCOL_VERSION, self.schema_crc))
        self._same_pump(reply["serial"])
        if self._greeting is not None and self._greeting["boot_count"] != reply["boot_count"]:
            self._wire.session = None
        self._greeting = reply
        return reply

    def _same_pump(self, serial: int) -> None:
        if not self._serials:
            self._serials = [serial]
        elif serial not in self._serials:
            self._greeting = None
            raise WrongPump("pump %d answers on %s, where pump %d was before: nothing was sent to it; open it anew if that is meant" % (
                serial, self.line.name, self._serials[0]))

    def serial(self) -> int:
        """The pump's serial."""
        return self._greeted()["serial"]

    def _greeted(self) -> dict[str, Any]:
        """The hello's fields, asked for anew where a command was left early."""
        return self._greeting if self._greeting is not None and self._wire.clean else self.greet()

    def expect_serial(self, serial: int) -> None:
        """The pump is about to get this serial: from now on it may answer with it."""
        if serial not in self._serials:
            self._serials.append(serial)

    def serial_became(self, serial: int) -> None:
        """The pump has got this serial: it answers with no other, and its keys are kept under it."""
        for old in self._serials:
            self.keys.rename(old, serial)
        self._serials = [serial]
        if self._greeting is not None:
            self._greeting["serial"] = serial

    # ---------------------------------------------------------------------------------------------- questions
    def ask(self, message_id: int, *values: Any, refused_rows: Sequence[Any] | None = None) -> dict[str, Any]:
        """One request; returns its reply's fields by name. `refused_rows`: whose field index a refusal means, if not the request's own."""
        row = catalogue.message(message_id)
        if not TAG_BYTES[row[3]]:
            self.serial()
            return self._one(message_id, values, refused_rows)
        self._need_session()
        try:
            return self._one(message_id, values, refused_rows)
        except SessionLost:
            self._reopen()
        try:
            return self._one(message_id, values, refused_rows)
        except SessionLost as error:
            raise self._taken(row[1]) from error

    def _reopen(self) -> None:
        """Prove the key again: the pump was reset, closed an idle session, or another programmer took over. Raises SessionLost if it may not."""
        before = self._greeting
        try:
            self._need_session(anew=True)
        except PumpRefused as refusal:
            raise SessionLost("the session ended in the middle of a command and cannot be opened anew: %s" % refusal) from refusal
        after = self._greeting
        if before is not None and after is not None and before["boot_count"] != after["boot_count"]:
            self.tell("pump %d was reset meanwhile; its session was opened anew" % after["serial"])
        elif not self.line.clock.virtual:       # virtual time jumps over the idle limit: there it says nothing
            self.tell("pump %d had ended the session (idle, or another programmer took over); it was opened anew" % self.serial())

    def _taken(self, what: str) -> SessionLost:
        return SessionLost("pump %d ended this programmer's session twice within one command (%s): another programmer is talking to it; "
                           "close one of the two" % (self._serials[0], what))

    def _need_session(self, anew: bool = False) -> None:
        """Open a session unless one is open. Raises KeyProblem when the pump does not know our key, or we not its."""
        session = self._wire.session
        if session is not None and self._wire.clean and not anew and session.sending.counter < RENEW_AT:
            return
        greeting = self.greet() if anew else self._greeted()
        keys = self._candidates(greeting)
        for _ in range(HANDSHAKES):
            proved = False
            for key in keys:
                handshake = self._challenge(self.role, key)
                if handshake is not None:
                    proved = True
                    if self._confirm(handshake):
                        self._opened(greeting, key)
                        return
        if proved:
            raise SessionLost("pump %d knows our %s key, but its session goes to somebody else each time: another programmer is talking to it; "
                              "close one of the two" % (greeting["serial"], ROLES[self.role]))
        raise self._wrong_key(greeting)

    @property
    def _as_role(self) -> str:
        """What the command line needs to speak in this role."""
        return "" if ROLES[self.role] == ROLE_NAMES[0] else "--role %s " % ROLES[self.role]

    def _candidates(self, greeting: dict[str, Any]) -> list[Any]:
        """Keys to try. The public shelf key only where none of ours was ever proved: else a forged hello could talk us into it.

        Behind a first pairing that nobody heard the pump may still be on its shelf key, so that one is tried last.
        """
        found = [key for serial in self._serials for key in self.keys.candidates(serial, self.role)]
        paired = greeting["paired"] >> (self.role - 1) & 1
        if found:
            proved = any(self.keys.ever_proved(serial, self.role) for serial in self._serials)
            return found if paired or proved else [*found, shelf_key(greeting["serial"], self.role)]
        if paired:
            raise KeyProblem("pump %d is paired and there is no %s key for it in %s: use the programmer that has it, or pair with the magnet at "
                             "the pump (thecal %spair)" % (greeting["serial"], ROLES[self.role], self.keys.where, self._as_role))
        return [shelf_key(greeting["serial"], self.role)]

    def _wrong_key(self, greeting: dict[str, Any]) -> KeyProblem:
        if greeting["paired"] >> (self.role - 1) & 1:
            return KeyProblem("pump %d on %s does not have our %s key (from %s): pair this programmer with the magnet at the pump (thecal %spair)" % (
                greeting["serial"], self.line.name, ROLES[self.role], self.keys.where, self._as_role))
        return KeyProblem("pump %d on %s says that it was never paired, and there is a %s key for it in %s: it was replaced or set back, or "
                          "something pretends to be it; if you know why, %s" % (
                              greeting["serial"], self.line.name, ROLES[self.role], self.keys.where, self.keys.way_out(greeting["serial"])))

    def _challenge(self, role: int, key: bytes) -> HostHandshake | None:
        """Ask the pump to prove that it knows `key`; the handshake to go on with, or None. Changes nothing at the pump."""
        handshake = HostHandshake(self.schema_crc, role, key, self.chance(NONCE_BYTES))
        said = self._one(catalogue.SESSION_OPEN, handshake.open_values())
        if not handshake.answer(said["device_nonce"], said["boot_count"], said["serial"], said["proof"]):
            return None
        self._same_pump(said["serial"])
        return handshake

    def proves(self, role: int, key: bytes) -> bool:
        """Whether the pump knows `key` as that of `role`; an open session stays as it is."""
        return any(self._challenge(role, key) is not None for _ in range(HANDSHAKES))

    def _confirm(self, handshake: HostHandshake) -> bool:
        """Prove our own side; False when the pump has another handshake in mind by now."""
        self._wire.session = handshake.session
        try:
            self.idle_s = self._one(catalogue.SESSION_CONFIRM, (handshake.confirm,))["idle_s"]
            return True
        except PumpRefused as refusal:
            self._wire.session = None
            if refusal.code != catalogue.R_SESSION:
                raise
            return False
        except BaseException:
            self._wire.session = None
            raise

    def _opened(self, greeting: dict[str, Any], key: bytes) -> None:
        self.sessions += 1
        self.on_shelf_key = not isinstance(key, Key)
        if not self.on_shelf_key:
            self.keys.settle(greeting["serial"], self.role, key)
        elif self.keys.lasting:
            self.tell("pump %d is still on its public shelf key: thecal %spair" % (greeting["serial"], self._as_role))

    def drop_session(self) -> None:
        """The pump has ended our session: prove the key before the next sealed word."""
        self._wire.session = None

    def close_session(self) -> None:
        """Tell the pump that nobody will speak any more; without a session nothing is said. A pump that does not hear it closes by itself."""
        if self._wire.session is None or not self._wire.clean:
            return
        try:
            self._wire.one(catalogue.SESSION_CLOSE, (), min(GOODBYE_S, self.timeout_s))
        except ThecalError as error:
            if not isinstance(error, SessionLost):      # then the pump knows of no session of ours: its goodbye was lost
                self.tell("the pump did not hear that the session is over: %s" % error)
        self._wire.session = None

    def _one(self, message_id: int, values: Sequence[Any], refused_rows: Sequence[Any] | None = None) -> dict[str, Any]:
        return self._wire.one(message_id, values, self.timeout_s, refused_rows)

    # ---------------------------------------------------------------------------------------------- files and telemetry
    def file_span(self, file: int) -> tuple[int, int]:
        """First and end offset (bytes) of a file of the pump."""
        reply = self.ask(catalogue.FILE_INFO, file)
        return reply["first"], reply["end"]

    def pull(self, file: int, start: int, end: int, progress: Callable[[int, int], None] | None = None) -> bytes:
        """Bytes start..end of a file, several reads in flight; the pump may answer with fewer bytes than asked (at its ring's wrap).

        `progress(done, total)` is called with byte counts. Raises ProtocolProblem when an answer is not what was asked.
        A session that is lost in between is opened anew and the pull begun again, once; the staged file is gone then (R_NOT_STAGED).
        """
        self._need_session()
        try:
            return self._pull(file, start, end, progress)
        except SessionLost:
            self._reopen()
        if file == catalogue.FILE_STAGED:
            raise PumpRefused("the session ended, and what was staged with it", catalogue.R_NOT_STAGED)
        try:
            return self._pull(file, start, end, progress)
        except SessionLost as error:
            raise self._taken("file_read") from error

    def _pull(self, file: int, start: int, end: int, progress: Callable[[int, int], None] | None) -> bytes:
        chunk = CHUNK.get(file, CHUNK_BYTES)
        todo = deque((at, min(chunk, end - at)) for at in range(start, end, chunk))
        asked: dict[int, tuple[int, int]] = {}
        data = bytearray(end - start)
        done = 0

        def more() -> int | None:
            if not todo:
                return None
            at, length = todo.popleft()
            request = self._wire.submit(catalogue.FILE_READ, (file, at, length))
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
        self._wire.run(first, take, self.timeout_s)
        return bytes(data)

    def listen(self, wait_s: float) -> dict[str, Any] | None:
        """The next pushed frame's fields, or None when none came within `wait_s`."""
        self._need_session()
        return self._wire.listen(wait_s)
