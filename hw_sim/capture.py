"""Captures: what went over a serial line, as JSON lines that an editor can read. Writer and reader.

    {"schema": "thecal.capture/1", "note": "..."}                        first line, optional
    {"t_us": 1234, "dir": "host", "hex": "042001..."}                    one write: virtual or elapsed microseconds, who sent it, the bytes
    {"t_us": 2345, "dir": "pump", "hex": "", "sent": "0421..."}          `sent`: what was sent, where a bad line or an attacker changed it

`wire.jsonl` of a run is a capture. So is a session that `thecal-sim serve --record` wrote: its rows have no `dir` (the host's bytes).
A row need not be a whole frame: whoever reads one cuts it at 0x00. Times never fall.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SCHEMA = "thecal.capture/1"
SENDERS = ("host", "pump")


class CaptureError(ValueError):
    """A file that is no capture; one sentence with file, line and what is wrong there."""


@dataclass(frozen=True)
class Row:
    """One write: `t_us`, `sender` ("host" or "pump"), what arrived and what was sent (the same on a good line)."""

    t_us: int
    sender: str
    data: bytes
    sent: bytes


def line(t_us: int, sender: str, data: bytes, sent: bytes | None = None) -> str:
    """A row as text, its newline included."""
    row: dict[str, int | str] = {"t_us": t_us, "dir": sender, "hex": bytes(data).hex()}
    if sent is not None and sent != data:
        row["sent"] = bytes(sent).hex()
    return json.dumps(row, separators=(",", ":")) + "\n"


class Writer:
    """Writes a capture to `path`, each row at once, so that an interrupted one is whole. Raises OSError where it cannot."""

    def __init__(self, path: Path, note: str = "") -> None:
        self._file: IO[str] = open(path, "w", encoding="utf-8", buffering=1)
        self._file.write(json.dumps({"schema": SCHEMA, "note": note}) + "\n")

    def add(self, t_us: int, sender: str, data: bytes, sent: bytes | None = None) -> None:
        """One write."""
        self._file.write(line(t_us, sender, data, sent))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> Iterator[Row]:
    """The rows of a capture, a `wire.jsonl` or a recorded session. Raises CaptureError; OSError for a file that cannot be read."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, text in enumerate(file, 1):
            try:
                row = json.loads(text)
                if "hex" not in row and ("schema" in row or "end_us" in row):
                    continue                    # head of a capture, head and end of a session
                data = bytes.fromhex(row["hex"])
                found = Row(int(row["t_us"]), row.get("dir", "host"), data, bytes.fromhex(row["sent"]) if "sent" in row else data)
            except (ValueError, TypeError, KeyError) as error:
                raise CaptureError("%s is no capture: line %d cannot be read (%s)" % (path, number, error)) from error
            if found.sender not in SENDERS:
                raise CaptureError("%s is no capture: line %d has dir %r, it must be host or pump" % (path, number, found.sender))
            yield found
