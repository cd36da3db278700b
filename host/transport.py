"""Open any port URL, and turn everything a line can do wrong into one sentence with the right exit status.

Device paths, `socket://`, `rfc2217://` and the like go to pyserial. A scheme that another room announces under the entry point group
`thecal.transports` is opened by that room: its function takes the URL and returns a port object (`read(n)`, `write(b)`, `in_waiting`,
`timeout`, `close()`). A port that lives on a clock of its own carries it as `port.clock`; all others live on the wall's.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, Protocol
from urllib.parse import urlsplit

import serial

from .errors import NoConnection, UsageProblem

BAUD = 115_200  # the pump's default line rate (simulation.md 4.4)
SLICE_S = 0.02  # longest a read on the wall clock sleeps: well under the shortest retry time of 96 ms
GROUP = "thecal.transports"
ENVIRONMENT = "THECAL_PORT"


class Clock(Protocol):
    """Time as a port lives it: `virtual` clocks stand still unless somebody sleeps or reads on them."""

    virtual: bool

    def now_s(self) -> float:
        """Seconds since some fixed instant."""
        raise NotImplementedError

    def sleep(self, seconds: float) -> None:
        """Let seconds pass."""
        raise NotImplementedError


class WallClock:
    """The steady clock of this computer."""

    virtual = False

    def now_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def default_url(given: str | None) -> str:
    """The port to use: the one given, else $THECAL_PORT. Raises UsageProblem when there is neither."""
    url = given or os.environ.get(ENVIRONMENT)
    if not url:
        raise UsageProblem("no port given: use --port URL or set %s (for example socket://127.0.0.1:7777, /dev/ttyACM0, sim://)" % ENVIRONMENT)
    return url


def schemes() -> dict[str, metadata.EntryPoint]:
    """The URL schemes that installed rooms offer, by name."""
    return {entry.name: entry for entry in metadata.entry_points(group=GROUP)}


def open_port(url: str) -> Any:
    """The open port behind a URL or device path.

    Raises NoConnection for a port that does not exist, is busy, may not be opened or is not answered, and for an unknown protocol;
    UsageProblem where a transport says (by ValueError) that what the URL names is no such thing.
    """
    scheme, mark, _ = url.partition("://")
    entry = schemes().get(scheme) if mark else None
    if entry is not None:
        opener = _load(entry, url)
        try:
            return opener(url)
        except ValueError as error:
            raise UsageProblem("port %s" % error) from error
        except (serial.SerialException, OSError) as error:
            text = str(error)
            raise NoConnection("port " + (text if text.startswith(url) else "%s cannot be opened: %s" % (url, text))) from error
    if scheme in ("socket", "rfc2217") and not _has_port(url):
        raise UsageProblem("port %s names no TCP port: write %s://HOST:PORT, such as socket://127.0.0.1:7777" % (url, scheme))
    try:
        return serial.serial_for_url(url, baudrate=BAUD, timeout=SLICE_S, write_timeout=5.0, exclusive=True)
    except (serial.SerialException, ValueError, OSError) as error:
        raise NoConnection(_why_not(url, error)) from error


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port is not None
    except ValueError:      # not a number, or beyond 65535
        return False


def _load(entry: metadata.EntryPoint, url: str) -> Any:
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise NoConnection("port %s: the transport %r (%s) cannot be loaded: %s" % (url, entry.name, entry.value, error)) from error


def _why_not(url: str, error: Exception) -> str:
    """One sentence for a failed open; pyserial keeps the system's reason in errno, or in its text only."""
    number = getattr(error, "errno", None)
    text = str(error)
    if isinstance(error, ValueError) and "://" in url:
        known = ", ".join(["socket://", "rfc2217://"] + sorted("%s://" % name for name in schemes()))
        return "port %s: protocol not known; known are device paths and %s" % (url, known)
    if number == errno.ENOENT or "FileNotFoundError" in text:
        return "port %s does not exist" % url
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text:
        return "port %s is busy: another program has it open" % url
    if number in (errno.EACCES, errno.EPERM) or "PermissionError" in text:
        return "port %s: no permission to open it" % url
    if "refused" in text:
        return "port %s: nobody listens there" % url
    return "port %s cannot be opened: %s" % (url, text)


class Line:
    """Bytes to and from an open port on its clock; a port that goes away is a NoConnection, whatever pyserial calls it."""

    def __init__(self, port: Any, clock: Clock | None = None, name: str | None = None):
        self.port = port
        self.clock: Clock = clock or getattr(port, "clock", None) or WallClock()
        self.name = name or str(getattr(port, "port", None) or getattr(port, "name", None) or "given")
        self._wait_s: float | None = None
        self._heard = False

    def tap(self, wrap: Callable[[Any], Any]) -> None:
        """From now on speak through `wrap(port)`: raw.py listens so."""
        self.port = wrap(self.port)

    def send(self, data: bytes) -> None:
        """Write all of `data`. Raises NoConnection when the port goes away."""
        try:
            self.port.write(data)
        except (serial.SerialException, OSError, ValueError) as error:
            raise self._gone(error) from error

    def receive(self, wait_s: float) -> bytes:
        """What is there, waiting at most `wait_s` (on the port's clock; a wall-clock port may return earlier with nothing)."""
        wait_s = max(0.0, wait_s if self.clock.virtual else min(wait_s, SLICE_S))
        try:
            if wait_s != self._wait_s:
                self.port.timeout = self._wait_s = wait_s
            data = bytes(self.port.read(max(1, self.port.in_waiting)))
        except (serial.SerialException, OSError, ValueError) as error:
            raise self._gone(error) from error
        self._heard = self._heard or bool(data)
        return data

    def forget_input(self) -> None:
        """Drop what is waiting, as far as the port can."""
        drop = getattr(self.port, "reset_input_buffer", None)
        if drop is not None:
            try:
                drop()
            except (serial.SerialException, OSError, ValueError) as error:
                raise self._gone(error) from error

    def _gone(self, error: Exception) -> NoConnection:
        if not self._heard and self.name.startswith("socket://"):
            return NoConnection("port %s was closed before a byte came: it is busy, another programmer has the pump, or nobody is behind it" % self.name)
        return NoConnection("port %s went away in the middle of a command: %s" % (self.name, str(error) or type(error).__name__))

    def close(self) -> None:
        """Close the port; one that is gone already is closed."""
        self.port.close()
