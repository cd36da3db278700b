"""TCP and pseudo-terminal doors: bytes both ways, one host at a time, nothing left behind."""

import os
import socket
import time

import pytest

from thecal.hw_sim.doors import Doors


@pytest.fixture
def heard():
    return bytearray()


def until(doors, condition, limit_s=10):
    end = time.monotonic() + limit_s
    while not condition() and time.monotonic() < end:
        doors.poll(0.01)
    assert condition()


def test_tcp_both_ways_and_a_second_host_is_turned_away(heard):
    left = []
    doors = Doors(heard.extend, lambda: left.append(1), tcp=0)
    with socket.create_connection(("127.0.0.1", doors.tcp_port), timeout=10) as host:
        host.sendall(b"question")
        until(doors, lambda: heard == b"question")
        doors.send(b"answer")
        assert host.recv(100) == b"answer"
        with socket.create_connection(("127.0.0.1", doors.tcp_port), timeout=10) as second:
            doors.poll(1)
            assert second.recv(100) == b""
    until(doors, lambda: bool(left))
    doors.send(b"to nobody")
    assert doors.dropped == 0
    doors.close()


def test_a_pty_both_ways_and_its_link(heard, tmp_path):
    link = tmp_path / "pump0"
    link.symlink_to(tmp_path / "stale")
    doors = Doors(heard.extend, lambda: None, pty=link)
    host = os.open(link, os.O_RDWR | os.O_NOCTTY)
    os.write(host, b"\x00\x03\x11\x13\r\n")
    until(doors, lambda: heard == b"\x00\x03\x11\x13\r\n")      # raw: nothing is eaten or translated
    doors.send(b"\n\x04")
    assert os.read(host, 100) == b"\n\x04"
    os.close(host)
    doors.close()
    assert not link.is_symlink()


def test_what_nobody_takes_is_dropped_and_counted(heard, tmp_path):
    doors = Doors(heard.extend, lambda: None, pty=tmp_path / "pump0")
    for _ in range(100):
        doors.send(bytes(4096))
    assert doors.dropped > 0
    doors.close()


def test_doors_that_are_taken(heard, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        with pytest.raises(OSError, match="cannot be opened"):
            Doors(heard.extend, lambda: None, tcp=taken.getsockname()[1])
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="exists and is not a link"):
        Doors(heard.extend, lambda: None, tcp=0, pty=tmp_path / "file")
    with pytest.raises(OSError, match="link .*nowhere/pump0 to the pseudo-terminal cannot be made: No such file or directory"):
        Doors(heard.extend, lambda: None, pty=tmp_path / "nowhere" / "pump0")
    assert (tmp_path / "file").exists()
