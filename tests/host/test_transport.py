"""Ports: every way a line fails is one sentence with the right exit status."""

import errno
import os
import sys

import pytest
import serial
from fake_pump import FakeClock

from thecal.host import transport
from thecal.host.errors import NoConnection, UsageProblem


class Entry:
    """An entry point that loads what a test says."""

    name, value = "toy", "toy.room:open_toy"

    def __init__(self, loaded):
        self.loaded = loaded

    def load(self):
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


def test_a_default_port_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("THECAL_PORT", raising=False)
    with pytest.raises(UsageProblem, match="--port URL or set THECAL_PORT"):
        transport.default_url(None)
    monkeypatch.setenv("THECAL_PORT", "sim://")
    assert transport.default_url(None) == "sim://" and transport.default_url("loop://") == "loop://"


def test_a_port_that_does_not_exist(tmp_path):
    with pytest.raises(NoConnection, match="does not exist"):
        transport.open_port(str(tmp_path / "nothing"))


def test_nobody_listens():
    with pytest.raises(NoConnection, match="nobody listens there"):
        transport.open_port("socket://127.0.0.1:1")


def test_a_protocol_nobody_knows():
    with pytest.raises(NoConnection, match="protocol not known; known are device paths and socket://, rfc2217://"):
        transport.open_port("gopher://x")


@pytest.mark.skipif(sys.platform == "win32", reason="no ptys")
def test_a_port_that_is_busy():
    master, slave = os.openpty()
    try:
        first = transport.open_port(os.ttyname(slave))
        with pytest.raises(NoConnection, match="is busy: another program has it open"):
            transport.open_port(os.ttyname(slave))
        first.close()
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("error, words", [
    (serial.SerialException(errno.EACCES, "x"), "no permission"),
    (serial.SerialException(errno.EBUSY, "x"), "busy"),
    (serial.SerialException("odd"), "cannot be opened: odd"),
])
def test_other_reasons(monkeypatch, error, words):
    monkeypatch.setattr(transport.serial, "serial_for_url", lambda *_, **__: (_ for _ in ()).throw(error))
    with pytest.raises(NoConnection, match=words):
        transport.open_port("/dev/x")


def test_rooms_announce_schemes(monkeypatch):
    def failing(url):
        raise serial.SerialException("%s: unknown option 'x'" % url)

    monkeypatch.setattr(transport, "schemes", lambda: {"toy": Entry(lambda url: "opened " + url)})
    assert transport.open_port("toy://a") == "opened toy://a"
    monkeypatch.setattr(transport, "schemes", lambda: {"toy": Entry(failing)})
    with pytest.raises(NoConnection, match="^port toy://a: unknown option 'x'$"):
        transport.open_port("toy://a")
    monkeypatch.setattr(transport, "schemes", lambda: {"toy": Entry(ImportError("no module"))})
    with pytest.raises(NoConnection, match="the transport 'toy' .* cannot be loaded: no module"):
        transport.open_port("toy://a")


def test_a_transport_that_says_the_url_names_no_such_thing_is_a_usage_problem(monkeypatch):
    def strange(url):
        raise ValueError("%s: store x has 4 bytes" % url)

    monkeypatch.setattr(transport, "schemes", lambda: {"toy": Entry(strange)})
    with pytest.raises(UsageProblem, match="^port toy://a: store x has 4 bytes$") as refused:
        transport.open_port("toy://a")
    assert refused.value.exit_status == 2


def test_a_socket_closed_before_any_byte_came_is_busy_or_nobody_and_later_it_has_gone_away():
    port = Port(serial.SerialException("socket disconnected"))
    line = transport.Line(port, FakeClock(), "socket://127.0.0.1:7777")
    with pytest.raises(NoConnection, match="closed before a byte came: it is busy, another programmer has the pump, or nobody"):
        line.receive(1.0)
    port.error = None
    line.receive(1.0)
    port.error = serial.SerialException("socket disconnected")
    with pytest.raises(NoConnection, match="went away in the middle of a command"):
        line.receive(1.0)


def test_the_simulators_scheme_is_installed():
    assert "sim" in transport.schemes()


class Port:
    """Records its timeouts; raises what it is told to."""

    port = "/dev/x"

    def __init__(self, error=None):
        self.error, self.timeouts, self.in_waiting, self.closed = error, [], 0, False

    timeout = property(lambda self: self.timeouts[-1], lambda self, value: self.timeouts.append(value))

    def read(self, size):
        if self.error:
            raise self.error
        return b"x" * size

    def write(self, data):
        if self.error:
            raise self.error

    reset_input_buffer = close = lambda self: self.write(b"")


def test_wall_clock_reads_are_sliced_and_virtual_ones_are_not():
    wall, virtual = Port(), Port()
    line = transport.Line(wall, FakeClock(virtual=False))
    assert line.receive(5.0) == line.receive(9.0) == b"x"
    assert wall.timeouts == [transport.SLICE_S], "set once: setting it again reconfigures a real port"
    transport.Line(virtual, FakeClock()).receive(5.0)
    assert virtual.timeouts == [5.0]
    assert transport.Line(Port()).clock.virtual is False


@pytest.mark.parametrize("error", [serial.SerialException("device disconnected"), OSError(errno.EIO, "gone"), OSError(errno.ENXIO, "")])
def test_a_port_that_goes_away(error):
    line = transport.Line(Port(error), FakeClock())
    for use in (lambda: line.receive(1.0), lambda: line.send(b"x"), line.forget_input):
        with pytest.raises(NoConnection, match="port /dev/x went away in the middle of a command"):
            use()


def test_the_wall_clock_goes_on():
    clock = transport.WallClock()
    before = clock.now_s()
    clock.sleep(0)
    assert clock.now_s() >= before


@pytest.mark.parametrize("url", ["socket://127.0.0.1", "socket://127.0.0.1:", "socket://host:seven", "socket://h:70000", "rfc2217://h"])
def test_a_socket_without_a_port_says_so(url):
    with pytest.raises(UsageProblem, match="^port %s names no TCP port" % url):
        transport.open_port(url)
