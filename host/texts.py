"""Text on the wire: plain printable ascii, padded with zeros to its field. One encoder for names, lots, contacts and records, and the reader of what comes back."""

from __future__ import annotations

from .errors import RequestInvalid


def wire_text(text: str, field: str, size: int) -> bytes:
    """`text` in `size` bytes. Raises RequestInvalid naming field, text and bound: nothing is cut, or the record would name another lot or person."""
    if not (text.isascii() and text.isprintable()):
        raise RequestInvalid("%s %r must be plain printable ascii of 0 .. %d characters" % (field, text, size), field)
    if len(text) > size:
        raise RequestInvalid("%s %r has %d characters; allowed are 0 .. %d" % (field, text, len(text), size), field)
    return text.encode("ascii").ljust(size, b"\0")


def read_text(raw: bytes) -> str:
    """Zero-padded text off the wire; what is not printable ascii becomes "?": some of it comes unsealed, and goes to a terminal."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in bytes(raw).rstrip(b"\0"))
