"""Recorded live sessions: every host byte with its virtual instant, and what is needed to have the same pump again.

A file of JSON lines. The first is a header: schema, what was served (scenario, runtime, seed, firmware, exec) and `store`, the pump's
memory as it was before (deflate, base64; None for a new pump). Then {t_us, hex} for each burst, {t_us, command} for each command of
control.py, and {end_us, trace_hash}. Each line is on disk when the burst is on the line: a server that is killed leaves everything but the end.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from functools import partial
from pathlib import Path
from typing import Any

from .control import Control
from .runner import STORE_BYTES
from .world import World

SCHEMA = "thecal.session/1"


def packed_store(content: bytes | bytearray | None) -> str | None:
    """A memory for the header: a pump's 256 KiB are mostly blank, a few KiB are left."""
    return None if content is None else base64.b64encode(zlib.compress(bytes(content), 9)).decode("ascii")


def unpacked_store(text: str | None) -> bytes | None:
    """The memory of a header. Raises ValueError when it is not one."""
    if text is None:
        return None
    try:
        content = zlib.decompress(base64.b64decode(text, validate=True))
    except (binascii.Error, zlib.error, TypeError) as error:
        raise ValueError(f"its store cannot be read: {error}") from error
    if len(content) != STORE_BYTES:
        raise ValueError(f"its store has {len(content)} bytes: a pump's memory has exactly {STORE_BYTES}")
    return content


class Session:
    """A session file being written. Raises OSError when the file cannot be."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self._file = open(path, "w", encoding="utf-8", buffering=1)     # a line is written when it is told
        self._tell({"schema": SCHEMA, **header})

    def _tell(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")

    def heard(self, t_us: int, data: bytes) -> None:
        """Host bytes that went onto the line at `t_us`."""
        self._tell({"t_us": t_us, "hex": data.hex()})

    def commanded(self, t_us: int, text: str) -> None:
        """A command that was carried out at `t_us`."""
        self._tell({"t_us": t_us, "command": text})

    def close(self, world: World) -> None:
        """The end: virtual time and trace hash."""
        self._tell({"end_us": world.now_us, "trace_hash": world.recorder.trace_hash})
        self._file.close()


def read_header(path: Path) -> dict[str, Any]:
    """The first line of a session. Raises ValueError for a file that is none."""
    with open(path, encoding="utf-8") as file:
        line = file.readline()
    try:
        header = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path} is not a recorded session: {error}") from error
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        raise ValueError(f"{path} is not a recorded session: its first line has no schema {SCHEMA!r}")
    return header


def _repeat(control: Control, command: str) -> None:
    control.answer(command)


def replay(world: World, path: Path) -> tuple[str, str]:
    """Run a recorded session again; returns (its trace hash, ours). Raises ValueError for a file that is not a whole session."""
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except ValueError as error:
        raise ValueError(f"{path} is not a recorded session: {error}") from error
    if not rows or rows[0].get("schema") != SCHEMA or "trace_hash" not in rows[-1]:
        raise ValueError(f"{path} is not a whole recorded session: it needs its first and its last line")
    control = Control(world)
    for row in rows[1:-1]:
        if "command" in row:
            world.at(row["t_us"], partial(_repeat, control, row["command"]))
        else:
            world.at(row["t_us"], partial(world.inject, bytes.fromhex(row["hex"])))
    world.run_until(rows[-1]["end_us"])
    return rows[-1]["trace_hash"], world.recorder.trace_hash
