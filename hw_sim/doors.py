"""Where a live host comes in: a TCP port on this machine and/or a pseudo-terminal with a stable link. Bytes only, no pump.

One host at a time on each, as on a serial line; what nobody takes is dropped and counted, never waited for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
from collections.abc import Callable
from pathlib import Path


class Doors:
    """`heard(data)` gets what a host writes, `left()` is told when a TCP host goes away. Raises OSError for a port or link that is taken."""

    def __init__(self, heard: Callable[[bytes], None], left: Callable[[], None], *, tcp: int | None = None, pty: Path | None = None) -> None:
        self._heard = heard
        self._left = left
        self._poll = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None
        self._master = self._slave = -1
        self._link: Path | None = None
        self.dropped = 0            # bytes that nobody took off the pty or the socket
        try:
            if tcp is not None:
                self._listen(tcp)
            if pty is not None:
                self._open_pty(pty)
        except OSError:
            self.close()
            raise

    def _listen(self, port: int) -> None:
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise OSError(error.errno, f"TCP port {port} on 127.0.0.1 cannot be opened: {os.strerror(error.errno or 0)}") from error
        self._listener.listen(1)
        self._listener.setblocking(False)
        self._poll.register(self._listener, selectors.EVENT_READ, self._accept)

    @property
    def tcp_port(self) -> int | None:
        """The TCP port, also when 0 was asked for."""
        return self._listener.getsockname()[1] if self._listener else None

    def _open_pty(self, link: Path) -> None:
        import tty
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)             # before anyone writes: a fresh pty is cooked and echoing
        os.set_blocking(self._master, False)
        if link.is_symlink():
            link.unlink()                   # left by a server that was killed
        elif link.exists():
            raise OSError(errno.EEXIST, f"{link} exists and is not a link")
        try:
            link.symlink_to(os.ttyname(self._slave))
        except OSError as error:
            raise OSError(error.errno, f"link {link} to the pseudo-terminal cannot be made: {os.strerror(error.errno or 0)}") from error
        self._link = link
        self._poll.register(self._master, selectors.EVENT_READ, self._from_pty)

    def _accept(self) -> None:
        assert self._listener is not None
        client, _ = self._listener.accept()
        if self._client is not None:
            client.close()                  # one host at a time, as on a serial line
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        self._poll.register(client, selectors.EVENT_READ, self._from_tcp)

    def _from_tcp(self) -> None:
        assert self._client is not None
        try:
            data = self._client.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._poll.unregister(self._client)
            self._client.close()
            self._client = None
            self._left()
            return
        self._heard(data)

    def _from_pty(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._heard(os.read(self._master, 4096))

    def poll(self, wait_s: float) -> None:
        """Hear what hosts have to say, waiting at most `wait_s` (0: not at all) for it."""
        for key, _ in self._poll.select(wait_s):
            key.data()

    def send(self, data: bytes) -> None:
        """Bytes to every host that is there."""
        if self._client is not None:
            try:
                self.dropped += len(data) - self._client.send(data)
            except OSError:
                self.dropped += len(data)
        if self._master >= 0:
            try:
                self.dropped += len(data) - os.write(self._master, data)
            except BlockingIOError:
                self.dropped += len(data)

    def close(self) -> None:
        """Close every way in and take the link away."""
        for thing in (self._client, self._listener):
            if thing is not None:
                thing.close()
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._poll.close()
