"""The line as it is, for people: every frame of a capture or of a live link by name, its fields with units, damage with its reason.

A `Listener` only hears. Frames of a session are sealed: it shows who spoke, in which class, with which counter; told the key of the role
it follows the handshake and shows what they say, and says of a frame that is forged or old that it is.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..protocol import catalogue, fields, frame, session
from ..protocol.crc import crc32
from ..protocol.texts import unit_in
from . import units
from .blocks import block_name
from .errors import RequestInvalid
from .records import reason_text

SENDERS = ("host", "pump")
CLASSES = ("open", "plain", "routine", "therapy")
FILES = ("events", "days", "program", "staged", "history", "faults", "fill", "implant", "trial", "prescriptions")
SHOWN_BYTES = 24            # of a byte string on a line for people; --json has them all
COLUMNS = 150
INDENT = " " * 18
FRAME_SCHEMA = "thecal.frame/1"
CAPTURE_SCHEMA = "thecal.capture/1"
_PAIR = catalogue.message(catalogue.PAIR)
_PAIR_HEAD = bytes((frame.VERSION << 5 | _PAIR[3], catalogue.PAIR, fields.size(_PAIR[5])))
KeyOf = Callable[[int, int], "bytes | None"]   # (pump serial, role) -> key, None where there is none


@dataclass(frozen=True)
class Seen:
    """One frame. `trouble` says what is wrong with it, empty for a good one; `fields` are (name, value, value with unit as text)."""

    t_us: int
    sender: str
    raw: bytes
    name: str
    message_class: str = ""
    seq: int = 0
    request: int = 0
    counter: int | None = None
    sealed: bytes = b""
    fields: list[tuple[str, Any, str]] = field(default_factory=list)
    trouble: str = ""

    @property
    def hides_key(self) -> bool:
        """True when the bytes hold a key, or are damaged and may: pairing is the one message that carries one in clear."""
        return self.name == _PAIR[1] or (not self.message_class and _may_be_pair(self.raw))

    def to_dict(self) -> dict[str, Any]:
        plain = {name: value.hex() if isinstance(value, (bytes, bytearray)) else value for name, value, _ in self.fields}
        return {"t_us": self.t_us, "dir": self.sender, "message": self.name, "class": self.message_class, "seq": self.seq, "request": self.request,
                "counter": self.counter, "sealed": self.sealed.hex() or None, "fields": plain, "trouble": self.trouble or None,
                "hex": None if self.hides_key else self.raw.hex()}

    def text(self) -> str:
        """The frame on as many lines as its fields need."""
        head = "%14s  %s  %-21s" % ("%.6f s" % (self.t_us / 1e6), "host ->" if self.sender == "host" else "<- pump", self.name)
        if self.message_class:
            head += " %-7s seq %3d  req %3d" % (self.message_class, self.seq, self.request)
        said = ["%s %s" % (name, text) for name, _, text in self.fields]
        said += ["counter %d" % self.counter] if self.counter is not None else []
        said += ["%d bytes sealed" % len(self.sealed)] if self.sealed else []
        said += ["!! " + self.trouble] if self.trouble else []
        line = "; ".join(said)
        if len(head) + 2 + len(line) <= COLUMNS:
            return (head + "  " + line).rstrip()
        return "\n".join([head.rstrip(), *textwrap.wrap(line, COLUMNS, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)])


class _Side:
    """One sender: what is there of its frame, and a decoder for it."""

    def __init__(self, schema_crc: int) -> None:
        self.decoder = frame.Decoder(schema_crc)
        self.raw = bytearray()


class Listener:
    """Hears both senders. `keys` gives the key of a role, None where it has none; without it sessions stay sealed."""

    def __init__(self, keys: KeyOf | None = None, schema_crc: int | None = None) -> None:
        self.schema_crc = catalogue.schema_crc() if schema_crc is None else schema_crc
        self._sides = {sender: _Side(self.schema_crc) for sender in SENDERS}
        self._ear = _Ear(self.schema_crc, keys) if keys else None
        self.good = self.bad = 0

    def hear(self, t_us: int, sender: str, data: bytes) -> Iterator[Seen]:
        """Bytes of `sender` ("host" or "pump"); yields each frame that they end."""
        side = self._sides[sender]
        for byte in data:
            side.raw.append(byte)
            outcome = side.decoder.feed(byte)
            if outcome == frame.NEED:
                if byte == 0:
                    side.raw.clear()        # a wake-up preamble
                continue
            raw = bytes(side.raw)
            side.raw.clear()
            seen = self._frame(t_us, sender, raw, side.decoder) if outcome == frame.FRAME else Seen(
                t_us, sender, raw, "?", trouble="%d bytes: %s" % (len(raw), why_bad(raw, self.schema_crc)))
            self.good += not seen.trouble
            self.bad += bool(seen.trouble)
            yield seen

    def rest(self, t_us: int) -> Iterator[Seen]:
        """What is left of frames that never ended."""
        for sender, side in self._sides.items():
            if side.raw:
                yield Seen(t_us, sender, bytes(side.raw), "?", trouble="%d bytes without an end" % len(side.raw))

    def _frame(self, t_us: int, sender: str, raw: bytes, decoder: frame.Decoder) -> Seen:
        row = catalogue.message(decoder.message_id)
        head: dict[str, Any] = {"t_us": t_us, "sender": sender, "raw": raw, "message_class": CLASSES[decoder.message_class], "seq": decoder.seq, "request": decoder.request_id,
                "name": row[1] if row else "0x%02x" % decoder.message_id}
        trouble = "" if row is None or row[3] == decoder.message_class else "this message has class %s" % CLASSES[row[3]]
        if row is not None and (row[2] == catalogue.REQUEST) != (sender == "host"):
            trouble = "the %s never sends this" % sender
        payload = decoder.payload()
        if frame.TAG_BYTES[decoder.message_class]:
            at = frame.HEADER + decoder.length
            head["counter"] = int.from_bytes(decoder.body[at:at + frame.COUNTER_BYTES], "little")
            opened, said = self._ear.open(sender, decoder) if self._ear else (None, "")
            if opened is None:
                return Seen(**head, sealed=payload, trouble=trouble or said)
            payload, trouble = opened, trouble or said
        if row is None:
            return Seen(**head, fields=[("payload", payload, _bytes_text(payload))] if payload else [], trouble="no message of the catalogue has this id")
        values: list[Any] = [None] * len(row[5])
        end = fields.unpack(row[5], payload, 0, len(payload), values)
        if end < 0:
            index = -end - 1
            read = fields_text(row[5], values[:index], decoder.message_id)
            what = row[5][index][fields.NAME] + " is out of range or missing" if index < len(row[5]) else "there is more than its fields"
            return Seen(**head, fields=read, trouble=trouble or what)
        if self._ear:
            self._ear.note(decoder.message_id, values)
        return Seen(**head, fields=fields_text(row[5], values, decoder.message_id), trouble=trouble)


def _may_be_pair(raw: bytes) -> bool:
    """Whether two of the three bytes that begin a pairing stand in their place anywhere: then most of a key may follow them."""
    return any(sum(map(int.__eq__, raw[at:at + len(_PAIR_HEAD)], _PAIR_HEAD)) >= 2 for at in range(len(raw)))


def why_bad(raw: bytes, schema_crc: int) -> str:
    """Why bytes that end in 0x00 are no frame: in the order in which a decoder finds out."""
    body = bytearray()
    at, end = 0, len(raw) - 1
    while at < end:
        code = raw[at]
        if at + code > end:
            return "COBS: byte %d promises %d bytes, %d are left" % (at, code - 1, end - at - 1)
        body += raw[at + 1:at + code] + (b"\0" if at + code < end and code < 255 else b"")
        at += code
    if not frame.MIN_BODY <= len(body) <= frame.MAX_BODY:
        return "a frame has %d..%d bytes, here are %d" % (frame.MIN_BODY, frame.MAX_BODY, len(body))
    if body[0] >> 5 != frame.VERSION:
        return "frame version %d, not %d" % (body[0] >> 5, frame.VERSION)
    message_class = body[0] & 0x1F
    if message_class >= len(CLASSES):
        return "class %d is not known" % message_class
    length = len(body) - frame.MIN_BODY - frame.trailer_bytes(message_class)
    if length != body[2]:
        return "the length byte says %d, %d payload bytes are there" % (body[2], max(0, length))
    crc = int.from_bytes(body[-frame.CRC_BYTES:], "little")
    due = crc32(bytes(body[:-frame.CRC_BYTES]), 0 if message_class == frame.CLASS_OPEN else schema_crc)
    row = catalogue.message(body[1])
    return "CRC is %08x, %08x is due (it claims to be %s); damaged, or of another schema" % (crc, due, row[1] if row else "0x%02x" % body[1])


def fields_text(rows: Any, values: list[Any], message_id: int = 0) -> list[tuple[str, Any, str]]:
    """Name, value and value with its unit (of a key: neither) for the first `len(values)` fields of a catalogue row."""
    shown = [(row[fields.NAME], value, value_text(row, value, message_id)) for row, value in zip(rows, values)]
    return [(name, text if name == "key" else value, text) for name, value, text in shown]


def value_text(row: Any, value: Any, message_id: int = 0) -> str:
    """One field's value as a person reads it."""
    name, unit = row[fields.NAME], row[fields.UNIT]
    if isinstance(value, (bytes, bytearray)):
        if name == "key":
            return "%d bytes, hidden" % len(value)
        if unit == "utf-8" or unit.startswith("ascii"):
            return repr(bytes(value).rstrip(b"\0").decode("utf-8", "replace"))
        return _bytes_text(bytes(value))
    named = _NAMED.get(name)
    if named is not None and named(value):
        return "%d (%s)" % (value, named(value))
    if name == "kind" and message_id:
        return "%d (%s)" % (value, block_name(value))
    if name == "schema_crc":
        return "0x%08x" % value
    if name == "time_s":
        return "%d s (%s)" % (value, units.pump_time_text(value))
    if unit in ("bits", "bit of each role"):
        return "0x%x" % value
    unit = unit_in(name) if " " in unit else unit       # of a note, what fits behind a figure
    return "%d %s" % (value, unit) if unit else str(value)


def _of(names: Any) -> Callable[[int], str]:
    return lambda value: names[value] if 0 <= value < len(names) else ""


def _message_name(value: int) -> str:
    row = catalogue.message(value)
    return row[1] if row else ""


_NAMED: dict[str, Callable[[int], str]] = {
    "mode": _of(catalogue.MODES), "extra": _of(catalogue.EXTRAS), "file": _of(FILES), "role": _of(session.ROLES), "reason": reason_text,
    "message": _message_name}


def _bytes_text(value: bytes) -> str:
    shown = value[:SHOWN_BYTES].hex()
    return "%d bytes %s%s" % (len(value), shown, "..." if len(value) > SHOWN_BYTES else "") if value else "0 bytes"


class _Ear:
    """Follows handshakes with the keys it was given and opens what both sides seal after them."""

    def __init__(self, schema_crc: int, keys: KeyOf) -> None:
        self._schema_crc = schema_crc
        self._keys = keys
        self._asked: tuple[int, bytes] | None = None
        self._offered: tuple[int, bytes, bytes] | None = None       # role, key, transcript of a handshake that is not confirmed
        self._session: session.Session | None = None
        self._last: dict[str, tuple[int, bytes]] = {}

    def note(self, message_id: int, values: list[Any]) -> None:
        """The fields of a message: those of a handshake make the session's keys, once the host has proved its own."""
        if message_id == catalogue.SESSION_OPEN:
            self._asked = values[0], values[1]
        elif message_id == catalogue.SESSION_OPEN | catalogue.REPLY_BIT and self._asked is not None:
            role, host_nonce = self._asked
            device_nonce, boot_count, serial, _ = values
            key = self._keys(serial, role)
            said = session.transcript(self._schema_crc, role, serial, boot_count, host_nonce, device_nonce)
            self._offered = (role, key, said) if key is not None else None
        elif message_id == catalogue.SESSION_CONFIRM:
            offered, self._session = self._offered, None
            if offered is not None and session.proof(offered[1], b"host", offered[2]) == bytes(values[0]):
                self._session = session.Session(*offered, True)
            self._last.clear()

    def open(self, sender: str, decoder: frame.Decoder) -> tuple[bytes | None, str]:
        """(payload or None, what is wrong)."""
        if self._session is None:
            return None, ""
        channel = self._session.sending if sender == "host" else self._session.receiving
        body = bytearray(decoder.body)
        outcome = channel.open(body, decoder.length, decoder.message_class)
        if outcome == session.OPENED:
            self._last[sender] = channel.counter, bytes(body[frame.HEADER:frame.HEADER + decoder.length])
            return self._last[sender][1], ""
        if outcome == session.REPEATED and sender in self._last:
            return self._last[sender][1], ""
        return None, "its counter is old: replayed" if outcome == session.REPLAYED else "its tag does not fit: forged, or of another session"


# ------------------------------------------------------------------------------------------------ captures

def read_capture(path: Path) -> Iterator[tuple[int, str, bytes, bytes]]:
    """(t_us, sender, bytes that arrived, bytes that were sent) of each row of a capture (hw_sim/capture.py says what one is).

    Raises RequestInvalid: one sentence with file, line and what is wrong there.
    """
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise RequestInvalid("%s cannot be read: %s" % (path, error.strerror)) from error
    for number, text in enumerate(lines, 1):
        try:
            row = json.loads(text)
            if "hex" not in row and ("schema" in row or "end_us" in row):
                continue
            data = bytes.fromhex(row["hex"])
            t_us, sender, sent = int(row["t_us"]), row.get("dir", "host"), bytes.fromhex(row.get("sent", row["hex"]))
        except (ValueError, TypeError, KeyError) as error:
            raise RequestInvalid("%s is no capture: line %d cannot be read (%s)" % (path, number, error)) from error
        if sender not in SENDERS:
            raise RequestInvalid("%s is no capture: line %d has dir %r, it must be host or pump" % (path, number, sender))
        yield t_us, sender, data, sent


def decode(path: Path, keys: KeyOf | None = None, as_sent: bool = False) -> Iterator[Seen]:
    """The frames of a capture as they arrived, or as they were sent. Raises RequestInvalid as `read_capture`."""
    listener, t_us = Listener(keys), 0
    for t_us, sender, data, sent in read_capture(path):
        if not data and sent and not as_sent:
            yield Seen(t_us, sender, sent, "-", trouble="%d bytes were sent and lost" % len(sent))
        yield from listener.hear(t_us, sender, sent if as_sent else data)
    yield from listener.rest(t_us)


class TapPort:
    """A port that tells `heard(t_us, sender, data)` what passes; everything else is the port's own. Times count from the first byte."""

    def __init__(self, port: Any, heard: Callable[[int, str, bytes], None], now_s: Callable[[], float]) -> None:
        self._port = port
        self._heard = heard
        self._now_s = now_s
        self._start_s = now_s()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._port, name, value)

    def _t_us(self) -> int:
        return round((self._now_s() - self._start_s) * 1e6)

    def read(self, size: int = 1) -> bytes:
        """As the port's."""
        data: bytes = self._port.read(size)
        if data:
            self._heard(self._t_us(), "pump", bytes(data))
        return data

    def write(self, data: bytes) -> int:
        """As the port's."""
        self._heard(self._t_us(), "host", bytes(data))
        count: int = self._port.write(data)
        return count


class Saver:
    """Writes what a tap hears to a capture; with no path it writes nothing. Raises RequestInvalid where it cannot be written."""

    def __init__(self, path: Path | None) -> None:
        self._file: IO[str] | None = None
        if path is not None:
            try:
                self._file = open(path, "w", encoding="utf-8", buffering=1)
            except OSError as error:
                raise RequestInvalid("%s cannot be written: %s" % (path, error.strerror)) from error
            self._file.write(json.dumps({"schema": CAPTURE_SCHEMA, "note": "a live line"}) + "\n")

    def add(self, t_us: int, sender: str, data: bytes) -> None:
        """One write."""
        if self._file is not None:
            self._file.write(json.dumps({"t_us": t_us, "dir": sender, "hex": data.hex()}, separators=(",", ":")) + "\n")

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
