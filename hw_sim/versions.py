"""What a piece of evidence was made with: versions of thecal, both runtimes, tools and every Python package, and the state of the sources."""
from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from ..protocol import catalogue
from .runner import RuntimeMissing, micropython_command

ROOMS = Path(__file__).parent.parent
SCHEMA = "thecal.versions/1"
SOURCES = ("protocol", "firmware", "host", "hw_sim", "tests", "Makefile", "pyproject.toml", "requirements.lock")    # what a result hangs on
ANSWER_S = 30.0         # git and MicroPython answer within this or are told as missing


def _asked(words: list[str]) -> tuple[str | None, str]:
    """(what a tool says, "") or (None, why it says nothing)."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return None, "%s does not run: %s" % (words[0], getattr(error, "strerror", None) or error)
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["status %d" % done.returncode])[-1]
    return done.stdout.rstrip("\n"), ""


def digest(rooms: Path = ROOMS) -> str:
    """SHA-256 over every file of SOURCES in `rooms`, with its name: the same for the same sources, committed or not. Raises OSError."""
    files = [path for name in SOURCES for path in ([rooms / name] if (rooms / name).is_file() else (rooms / name).rglob("*"))
             if path.is_file() and not {"__pycache__", ".hypothesis"} & set(path.parts)]
    lines = sorted("%s  %s\n" % (hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(rooms).as_posix()) for path in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sources(rooms: Path = ROOMS) -> dict[str, Any]:
    """Their `digest`, commit, when that was made (s since 1970), whether the tree is clean and what in it is not; `why` where that is not known."""
    sha256 = digest(rooms)
    git = ["git", "-C", str(rooms)]
    commit, why = _asked([*git, "log", "-1", "--format=%H %ct"])
    if commit is None:
        return {"sha256": sha256, "commit": None, "committed_s": None, "clean": None, "changed": [], "why": why}
    name, _, instant = commit.partition(" ")
    changed, why = _asked([*git, "status", "--porcelain", "--", str(rooms)])
    if changed is None:
        return {"sha256": sha256, "commit": name, "committed_s": int(instant), "clean": None, "changed": [], "why": why}
    return {"sha256": sha256, "commit": name, "committed_s": int(instant), "clean": not changed, "changed": [line[3:] for line in changed.splitlines()], "why": ""}


def micropython() -> tuple[str | None, str]:
    """(version of the MicroPython that runs the firmware, "") or (None, why there is none)."""
    try:
        command = micropython_command()
    except RuntimeMissing as missing:
        return None, str(missing)
    return _asked([command[0], "-c", "import sys; print('%d.%d.%d, ' % sys.implementation[1][:3] + sys.version.split('MicroPython ')[-1])"])


def packages() -> dict[str, str]:
    """Every Python package of this environment and its version, by name."""
    found = {str(each.metadata["Name"]): each.version for each in metadata.distributions() if each.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def versions() -> dict[str, Any]:
    """All of it as plain data (schema thecal.versions/1)."""
    port, missing = micropython()
    return {"schema": SCHEMA, "thecal": metadata.version("thecal"), "protocol": catalogue.PROTOCOL_VERSION,
            "schema_crc": "0x%08x" % catalogue.schema_crc(), "python": sys.version.split()[0], "implementation": platform.python_implementation(),
            "platform": platform.platform(), "micropython": port, "micropython_missing": missing, "sources": sources(), "packages": packages()}
