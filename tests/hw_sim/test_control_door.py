"""The control port: lines in, lines out, from several visitors and a terminal; a port that is taken is said."""
import io
import os
import socket
import threading

import pytest
from thecal.hw_sim.control_door import LONGEST_BYTES, ControlDoor, ask


@pytest.fixture
def door():
    made = ControlDoor(lambda text: "ok " + text.strip().upper(), port=0)
    yield made
    made.close()


def served(door, work):
    """Run `work()` in a thread while the door is polled."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    while thread.is_alive():
        door.poll()
        thread.join(0.005)
    return found[0]


def test_each_line_gets_its_answer_and_visitors_come_and_go(door):
    assert served(door, lambda: ask(door.port, "truth")) == "ok TRUTH"
    assert served(door, lambda: ask(door.port, "faults")) == "ok FAULTS"


def test_lines_in_pieces_and_lines_without_end(door):
    def talk():
        with socket.create_connection(("127.0.0.1", door.port), timeout=10) as line:
            line.sendall(b"fau")
            line.sendall(b"lts\nhelp\n")
            answer = b""
            while answer.count(b"\n") < 2:
                answer += line.recv(4096)
            line.sendall(b"x" * (LONGEST_BYTES + 100))
            try:
                return answer, line.recv(4096)
            except ConnectionResetError:
                return answer, b""

    assert served(door, talk) == (b"ok FAULTS\nok HELP\n", b"")


def test_a_taken_port_is_said_and_nobody_there_is_an_error(door):
    with pytest.raises(OSError, match=r"TCP port %d on 127\.0\.0\.1 cannot be opened" % door.port):
        ControlDoor(str, port=door.port)
    port = door.port
    door.close()
    with pytest.raises(OSError):
        ask(port, "truth")


def test_typed_lines_are_answered_on_stdout_until_the_terminal_goes(capsys):
    read, write = os.pipe()
    with os.fdopen(read, encoding="utf-8") as terminal:
        door = ControlDoor(lambda text: "ok " + text.strip(), terminal=terminal)
        os.write(write, b"truth\n")
        door.poll()
        os.close(write)
        door.poll()
        door.poll()
        door.close()
    assert capsys.readouterr().out == "ok truth\n" and door.port is None


def test_nothing_typed_is_no_command(capsys):
    read, write = os.pipe()
    os.write(write, b"\n")
    with io.open(read, encoding="utf-8") as terminal:
        door = ControlDoor(lambda text: "ok", terminal=terminal)
        door.poll()
        door.close()
    os.close(write)
    assert capsys.readouterr().out == ""
