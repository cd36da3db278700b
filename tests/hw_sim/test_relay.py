"""The attacker on live lines: TCP to TCP and pty to TCP, with and without rules, half frames, floods, and a far side that goes away."""

import os
import socket
import threading
import time

import pytest

from thecal.hw_sim.attacker import Attacker
from thecal.hw_sim.attacker_frames import made
from thecal.hw_sim.relay import FarSideGone, Relay
from thecal.protocol import catalogue as cat

HELLO = made(cat.HELLO, bytes((cat.PROTOCOL_VERSION, 0, 0, 0, 0)))


@pytest.fixture
def pump():
    """A listening socket in the place of a pump."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


class Running:
    """A relay in its own thread."""

    def __init__(self, pump, rules=(), **ways):
        self.attacker = Attacker(rules, seed=1)
        self.relay = Relay(self.attacker, "socket://127.0.0.1:%d" % pump.getsockname()[1], **ways)
        self.far, _ = pump.accept()
        self.far.settimeout(10)
        self.failure = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            self.relay.run(stop=self._over.is_set)
        except FarSideGone as gone:
            self.failure = gone

    def host(self):
        line = socket.create_connection(("127.0.0.1", self.relay.tcp_port), timeout=10)
        line.settimeout(10)
        return line

    def stop(self):
        self._over.set()
        self._thread.join(10)
        self.relay.close()
        self.far.close()


def take(line, count):
    data = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        assert more, data
        data += more
    return data


def test_a_wire_with_a_tap(pump):
    running = Running(pump, tcp=0)
    with running.host() as host:
        host.sendall(HELLO * 2)
        assert take(running.far, 2 * len(HELLO)) == HELLO * 2
        running.far.sendall(b"\x02\x01\x00")
        assert take(host, 3) == b"\x02\x01\x00"
        host.sendall(b"no frame")                           # goes on when nothing follows
        assert take(running.far, 8) == b"no frame"
    running.stop()
    assert running.attacker.counts["heard"] == 3 and running.failure is None


def test_rules_work_on_a_live_line(pump):
    running = Running(pump, ["reflect,of=hello", "drop,of=hello"], tcp=0)
    with running.host() as host:
        host.sendall(HELLO + made(cat.ALARMS))
        assert take(running.far, len(made(cat.ALARMS))) == made(cat.ALARMS)
        assert take(host, len(HELLO)) == HELLO
        running.attacker.send("pump", b"\x03ab\x00", 0)
        assert take(host, 4) == b"\x03ab\x00"
    running.stop()


def test_frames_change_their_order_on_a_live_line_both_ways(pump):
    """Behind a later frame, or when their time has come although nothing follows."""
    alarms, identity = made(cat.ALARMS), made(cat.IDENTITY)
    running = Running(pump, ["reorder,of=hello,from=host", "reorder,of=alarms,from=host,for=300ms", "reorder,of=identity,from=pump"], tcp=0)
    with running.host() as host:
        begun = time.monotonic()
        host.sendall(alarms + HELLO + identity)
        assert take(running.far, len(identity + HELLO)) == identity + HELLO and time.monotonic() - begun < 0.3
        assert take(running.far, len(alarms)) == alarms and time.monotonic() - begun >= 0.3
        running.far.sendall(identity + alarms)
        assert take(host, len(alarms + identity)) == alarms + identity
    running.stop()
    assert running.attacker.counts["reorder"] == running.attacker.counts["let_go"] == 3 and running.failure is None


def test_a_pty_is_a_door_too(pump, tmp_path):
    running = Running(pump, pty=tmp_path / "pump0")
    host = os.open(tmp_path / "pump0", os.O_RDWR | os.O_NOCTTY)
    os.write(host, HELLO)
    assert take(running.far, len(HELLO)) == HELLO
    os.close(host)
    running.stop()
    assert not (tmp_path / "pump0").is_symlink()


def test_a_flood_has_its_rate(pump):
    running = Running(pump, ["flood=200/s,with=garbage"], tcp=0)
    time.sleep(0.5)
    running.stop()
    assert 50 <= running.attacker.counts["flood_frames"] <= 400       # the machine may stall: catching up is the rate, too


def test_a_far_side_that_goes_away(pump):
    running = Running(pump, tcp=0)
    running.far.close()
    end = time.monotonic() + 10
    while running.failure is None and time.monotonic() < end:
        time.sleep(0.01)
    assert "went away" in str(running.failure)
    running.stop()


def test_what_cannot_be_opened(pump, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(FarSideGone, match="cannot be opened"):
            Relay(Attacker(), "socket://127.0.0.1:%d" % closed.getsockname()[1], tcp=0)
        closed.listen(1)
        with pytest.raises(OSError, match="TCP port"):
            Relay(Attacker(), "socket://127.0.0.1:%d" % pump.getsockname()[1], tcp=closed.getsockname()[1])
    with pytest.raises(FarSideGone, match="cannot be opened"):
        Relay(Attacker(), "nothing://x", tcp=0)
