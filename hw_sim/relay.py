"""The attacker between live endpoints: a door for the host on one side (TCP, pty), any pyserial URL on the other.

Bytes are passed on frame by frame as they come; half a frame that nothing follows for 50 ms goes on as it is, so that a line which is
no telemetry works too. Without rules it is a wire with a tap.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import serial

from .attacker import Attacker
from .doors import Doors

BAUD = 115200
QUIET_S = 0.05              # longer than any pause within a frame at 115200, shorter than any retry
PIECE_BYTES = 4096
LOOK_S = 0.002              # how long a look at the doors may wait while the far side is polled: 23 characters


class FarSideGone(ConnectionError):
    """The port behind the attacker cannot be opened, or went away."""


class Relay:
    """One attacker on one live line. `tcp_port` says where hosts come in. Raises FarSideGone, OSError for a door that is taken."""

    def __init__(self, attacker: Attacker, to: str, *, tcp: int | None = None, pty: Path | None = None,
                 now: Callable[[], float] = time.monotonic) -> None:
        self._attacker = attacker
        self._to = to
        self._now = now
        self._start = now()
        try:
            self._far = serial.serial_for_url(to, baudrate=BAUD, timeout=0, write_timeout=5.0)
        except (serial.SerialException, ValueError, OSError) as error:
            raise FarSideGone("--to %s cannot be opened: %s" % (to, error)) from error
        try:
            self._doors = Doors(self._from_host, self._forget, tcp=tcp, pty=pty)
        except OSError:
            self._far.close()
            raise
        if to.startswith("socket://"):
            # Else two frames in a row wait for each other's acknowledgement, 40 ms a time: longer than a retry should need.
            with socket.fromfd(self._far.fileno(), socket.AF_INET, socket.SOCK_STREAM) as far:
                far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard_s = {"host": self._start, "pump": self._start}
        self._flooded = [0] * len(attacker.floods)
        attacker.join(self)

    @property
    def tcp_port(self) -> int | None:
        """The TCP port, also when 0 was asked for."""
        return self._doors.tcp_port

    def _t_us(self) -> int:
        return round((self._now() - self._start) * 1e6)

    def _forget(self) -> None:
        """The host went away: half a frame of its is nobody's."""
        self._attacker.release("host")

    def _from_host(self, data: bytes) -> None:
        self._hear("host", data)

    def _hear(self, sender: str, data: bytes) -> None:
        self._heard_s[sender] = self._now()
        for as_sender, piece in self._attacker.hear(sender, data, self._t_us()):
            self.put(as_sender, piece, 0)

    def put(self, sender: str, data: bytes, now_us: int) -> None:
        """Bytes as if `sender` had sent them; they go at once, `now_us` is for lines that live in virtual time."""
        if sender == "pump":
            self._doors.send(data)
            return
        try:
            self._far.write(data)
        except (serial.SerialException, OSError) as error:
            raise FarSideGone("%s went away: %s" % (self._to, error)) from error

    def run(self, seconds: float | None = None, stop: Callable[[], bool] | None = None) -> None:
        """Relay for `seconds`, until `stop()` says so, or for ever. Raises FarSideGone."""
        end_s = self._now() + seconds if seconds is not None else None
        while not (end_s is not None and self._now() >= end_s or stop and stop()):
            self._doors.poll(LOOK_S)
            try:
                data = self._far.read(PIECE_BYTES)      # what is there: the timeout is 0; socket:// never says that more than 1 is waiting
            except (serial.SerialException, OSError) as error:
                raise FarSideGone("%s went away: %s" % (self._to, error)) from error
            if data:
                self._hear("pump", data)
            self._let_go()
            self._attacker.let_go(self._t_us())
            self._flood()

    def _let_go(self) -> None:
        """Pass on what was held for the end of a frame that does not come."""
        for sender, heard_s in self._heard_s.items():
            if self._now() - heard_s > QUIET_S:
                rest = self._attacker.release(sender)
                if rest:
                    self.put(sender, rest, 0)

    def _flood(self) -> None:
        for index, (per_s, what) in enumerate(self._attacker.floods):
            while self._flooded[index] < (self._now() - self._start) * per_s:
                self._flooded[index] += 1
                self._attacker.send("host", self._attacker.flooding(what), self._t_us())

    def close(self) -> None:
        """Close both sides."""
        self._doors.close()
        self._far.close()
