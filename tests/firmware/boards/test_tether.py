"""The MicroPython end of the tether, taken apart on CPython: pipes in pieces, the store file, failures in the reply. Whole: tests/hw_sim/test_runner.py."""

import os
import struct
import sys
import traceback

import pytest
from thecal.firmware.boards import latched as la
from thecal.firmware.boards import tether as te
from thecal.firmware.ports import PowerCut

PUMP = """
class Pump:
    def __init__(self, ports):
        self.ports = ports

    def step(self):
        {body}
        return 1000

def build(ports):
    return Pump(ports)
"""


class Ends:
    """The simulator's ends of both pipes, and a Tether on the others."""

    def __init__(self, tmp_path, body, monkeypatch):
        folder = tmp_path / "firmware"
        folder.mkdir()
        (folder / "pump.py").write_text(PUMP.format(body=body))
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.delitem(sys.modules, "pump", raising=False)
        monkeypatch.setattr(sys, "print_exception", lambda error, out: out.write("".join(traceback.format_exception(error))), raising=False)
        self.store = tmp_path / "fram.bin"
        self.store.write_bytes(bytes(1024))
        to_child, self.write_fd = os.pipe()
        self.read_fd, from_child = os.pipe()
        self.files = [open(to_child, "rb", buffering=0), open(from_child, "wb", buffering=0)]
        self.tether = te.Tether(*self.files, str(self.store), str(folder))
        self.counter = 0

    def send(self, rx=b"", cut=la.NEVER_CUT, flags=0, kind=la.STEP):
        self.counter += 1
        head = struct.pack(la.REQUEST, la.MAGIC, kind, flags, self.counter, 100, self.counter, 0, 0, 0, 0, 3000, 1, 0, cut, len(rx))
        os.write(self.write_fd, head + rx)

    def reply(self):
        head = os.read(self.read_fd, la.REPLY_BYTES)
        values = struct.unpack(la.REPLY, head)
        text = b""
        while len(text) < values[-1]:
            text += os.read(self.read_fd, values[-1] - len(text))
        return values[1], values, text

    def close(self):
        for file in self.files:
            file.close()
        for fd in (self.read_fd, self.write_fd):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def ends(tmp_path, monkeypatch):
    made = []

    def make(body):
        made.append(Ends(tmp_path, body, monkeypatch))
        return made[-1]

    yield make
    for end in made:
        end.close()


def test_bytes_go_round_and_the_simulator_says_when_it_is_over(ends):
    end = ends("""data = bytearray()
        while self.ports.uart.any():
            data.append(self.ports.uart.read_byte())
        self.ports.uart.write(data[::-1], len(data))""")
    for rx in (b"", b"abc", bytes(range(256)) * 2):
        end.send(rx)
        assert end.tether.exchange()
        kind, values, text = end.reply()
        assert kind == la.DONE and values[3] == end.counter and values[4] == 1000 and text == rx[::-1]
    end.send(kind=la.QUIT)
    assert not end.tether.exchange()


@pytest.mark.req("TH-RULE-13")
def test_a_bit_of_memory_is_turned_over_between_two_steps(ends):
    """A pump that hands over what it has; its step says how much time has passed since the last exchange, and what the memory holds."""
    end = ends("return 1 + self.ports.clock.elapsed_ms() + 1000 * self.record[0]")
    source = end.store.parent / "firmware" / "pump.py"
    source.write_text(source.read_text() + "\nPump.record = bytearray(2)\nPump.ram_records = lambda self: [self.record]\n")
    end.send()
    end.send(kind=la.FLIP)          # record 0, bit 0
    end.send()
    os.close(end.write_fd)
    end.write_fd = -1
    end.tether.serve()
    kinds = [end.reply()[:2] for _ in range(3)]
    assert [kind for kind, _ in kinds] == [la.DONE, la.FLIPPED, la.DONE]
    assert [values[3] for _, values in kinds] == [1, 2, 3] and kinds[0][1][4] == 1 and kinds[2][1][4] == 1002


def test_a_closed_pipe_ends_it_quietly(ends):
    end = ends("self.ports.tone.sound(0)")
    os.close(end.write_fd)
    end.write_fd = -1
    end.tether.serve()


@pytest.mark.parametrize(("body", "said"), [
    ("raise RuntimeError('the valve is open')", "RuntimeError: the valve is open"), ("return 0", "step() returned 0"),
    ("while self.ports.uart.read_byte() < 0: continue", "time stands still"), ("self.ports.motor.order(0, 1)", "motor.order(0, 1)"),
    pytest.param("raise RuntimeError('\\u20ac' * 5000)", "\u20ac" * 100, id="long")])
def test_a_failing_step_is_reported_with_its_traceback_and_ends_the_process(ends, body, said):
    end = ends(body)
    end.send()
    end.tether.serve()
    kind, _, text = end.reply()
    assert kind == la.FAILED and said in text.decode("utf-8", "replace") and len(text) <= la.TX_BYTES


def test_a_pump_that_cannot_be_built_is_reported_too(ends):
    end = ends("pass")
    (end.store.parent / "firmware" / "pump.py").write_text("def build(ports):\n    raise OSError('no such head')\n")
    end.send()
    end.tether.serve()
    assert "no such head" in end.reply()[2].decode()


@pytest.mark.parametrize(("flags", "stored"), [(0, bytes(10)), (la.FLAG_TORN, b"wr" + bytes(8))])
def test_the_power_goes_at_the_chosen_write(ends, flags, stored):
    end = ends("""self.ports.store.write(0, b"first", 5)
        self.ports.store.write(5, b"write", 5)""")
    end.send(cut=1, flags=flags)
    end.tether.serve()
    kind, values, text = end.reply()
    assert kind == la.POWER_LOST and text == b""
    assert end.store.read_bytes()[:15] == b"first" + stored


def test_the_store_file_keeps_what_was_written_and_its_size(tmp_path):
    path = tmp_path / "fram.bin"
    path.write_bytes(bytes(64))
    store = te.FileStore(str(path), la.Latch())
    store.write(10, bytearray(b"abcdef"), 4)
    buffer = bytearray(b"........")
    store.read(9, buffer, 6)
    assert bytes(buffer) == b"\0abcd\0.."
    assert path.read_bytes() == bytes(10) + b"abcd" + bytes(50)
    latch = la.Latch()
    latch.cut_after = 0
    with pytest.raises(PowerCut):
        te.FileStore(str(path), latch).write(0, b"zz", 2)
    assert path.read_bytes()[:2] == b"\0\0"


def test_the_store_leaves_a_trail_of_its_writes(tmp_path):
    path = tmp_path / "fram.bin"
    path.write_bytes(bytes(1024))
    store = te.FileStore(str(path), la.Latch())
    for number in range(te.TRAIL + 3):
        store.write(number, bytearray(100), 64)
    trail = tmp_path / "fram.bin.wear"
    assert trail.stat().st_size == 4 * te.TRAIL
    store.flush()
    assert struct.unpack("<%dI" % (te.TRAIL + 3), trail.read_bytes()) == tuple(number << 12 | 64 for number in range(te.TRAIL + 3))


def test_read_exactly_gathers_pieces_and_says_when_there_are_no_more():
    class Pieces:
        def __init__(self, *parts):
            self.parts = list(parts)

        def readinto(self, view):
            if not self.parts:
                return 0
            part = self.parts.pop(0)
            view[:len(part)] = part
            return len(part)

    buffer = bytearray(10)
    assert te.read_exactly(Pieces(b"abc", b"d", b"efgh"), buffer, 8) and bytes(buffer) == b"abcdefgh\0\0"
    assert not te.read_exactly(Pieces(b"abc"), buffer, 8)
