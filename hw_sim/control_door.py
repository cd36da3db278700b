"""Where commands for a live world come in (control.py): a TCP port of this machine, and the terminal that the server runs in.

Lines in, lines out, never waited for: the server looks in between two pieces of virtual time. Any number of visitors.
"""
from __future__ import annotations

import contextlib
import os
import selectors
import socket
from collections.abc import Callable
from typing import TextIO

LONGEST_BYTES = 1024        # of a command: more than that without an end of line is none
ANSWER_S = 10.0             # `thecal-sim fault` waits so long for its answer


class ControlDoor:
    """Takes lines at 127.0.0.1:`port` (None: nowhere, 0: any port that is free) and from `terminal`. Raises OSError for a port that is taken."""

    def __init__(self, answer: Callable[[str], str], *, port: int | None = None, terminal: TextIO | None = None) -> None:
        self._answer = answer
        self._poll = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._waiting: dict[socket.socket, bytes] = {}
        self._terminal = terminal
        if port is not None:
            self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self._listener.bind(("127.0.0.1", port))
            except OSError as error:
                self.close()
                raise OSError(error.errno, f"TCP port {port} on 127.0.0.1 cannot be opened: {os.strerror(error.errno or 0)}") from error
            self._listener.listen(4)
            self._listener.setblocking(False)
            self._poll.register(self._listener, selectors.EVENT_READ, self._accept)
        if terminal is not None:
            self._poll.register(terminal, selectors.EVENT_READ, self._typed)

    @property
    def port(self) -> int | None:
        """The TCP port, also when 0 was asked for."""
        return self._listener.getsockname()[1] if self._listener else None

    def poll(self) -> None:
        """Answer whatever has come in; does not wait."""
        for key, _ in self._poll.select(0):
            key.data()

    def _accept(self) -> None:
        assert self._listener is not None
        visitor, _ = self._listener.accept()
        visitor.setblocking(False)
        self._waiting[visitor] = b""
        self._poll.register(visitor, selectors.EVENT_READ, lambda: self._heard(visitor))

    def _heard(self, visitor: socket.socket) -> None:
        try:
            data = visitor.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, rest = (self._waiting[visitor] + data).split(b"\n")
        if not data or len(rest) > LONGEST_BYTES:
            self._leave(visitor)
            return
        self._waiting[visitor] = rest
        for line in lines:
            with contextlib.suppress(OSError):      # a visitor who does not wait for his answer goes without
                visitor.sendall(self._answer(line.decode("utf-8", "replace")).encode() + b"\n")

    def _leave(self, visitor: socket.socket) -> None:
        self._poll.unregister(visitor)
        del self._waiting[visitor]
        visitor.close()

    def _typed(self) -> None:
        assert self._terminal is not None
        if self._terminal.isatty() and os.tcgetpgrp(self._terminal.fileno()) != os.getpgrp():
            return                                  # in the background: what is typed is the shell's, and a read would stop us
        line = self._terminal.readline()
        if not line:                                # the terminal has gone: no more from there
            self._poll.unregister(self._terminal)
        elif line.strip():
            print(self._answer(line), flush=True)

    def close(self) -> None:
        """Close every way in."""
        for visitor in list(self._waiting):
            self._leave(visitor)
        if self._listener is not None:
            self._listener.close()
        self._poll.close()


def ask(port: int, command: str) -> str:
    """Send one command to a server's control port; its answer. Raises OSError where nobody answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as line:
        line.sendall(command.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            data = line.recv(65536)
            if not data:
                raise OSError("control port %d closed without an answer" % port)
            answer += data
    return answer.decode("utf-8", "replace").rstrip("\n")
