"""Frames as an outsider sees and makes them: COBS, length byte and CRC-32 are anyone's, a tag is not.

Nothing here knows a key, and nothing shares code with the codec that it is used against.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

from ..protocol import catalogue, frame as framing


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


def made(message_id: int, payload: bytes = b"", request_id: int = 1, seq: int = 0, trailer: bytes | None = None,
         schema_crc: int | None = None) -> bytes:
    """A whole frame of a catalogue message as anyone can make it; a tagged class gets `trailer`, or a counter and tag of zeros.

    `schema_crc`: the catalogue's, computed where it is not given, which takes longer than all the rest. Raises ValueError for an id that is not in the catalogue.
    """
    row = catalogue.message(message_id)
    if row is None:
        raise ValueError("message id 0x%02x is not in the catalogue" % message_id)
    head = bytes((framing.VERSION << 5 | row[3], message_id, 0, seq & 0xFF, request_id & 0xFF))
    content = head + payload + (bytes(framing.trailer_bytes(row[3])) if trailer is None else trailer)
    return mended(content, catalogue.schema_crc() if schema_crc is None else schema_crc)
