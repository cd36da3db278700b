"""What of the ESP32 board can be judged without one: its pulse trains, what it keeps through a reset, that it comes up and serves.

The chip's modules are recorded stand-ins; tests/board/README.md says what that leaves open.
"""

import importlib
import sys
import types

import pytest

MACHINE = ("ADC", "I2C", "PWM", "RTC", "SPI", "UART", "WDT", "Pin", "Timer")


class Part:
    """Any part of the chip: takes every call, reads high, and writes down what it was asked."""

    ATTN_11DB = IN = OUT = PULL_UP = 0
    log: list[tuple] = []

    def __init__(self, *_, pin=None, **__):
        self.pin = pin

    def __call__(self, _level):
        return None

    def value(self):
        return 1

    def any(self):
        return 0

    def read_u16(self):
        return 32768

    def readinto(self, buffer):
        buffer[:] = b"\xff" * len(buffer)

    def __getattr__(self, name):
        return lambda *arguments, **_: self.log.append((name, *arguments))


class Rtc(Part):
    kept = b""
    fields = (2000, 1, 1, 5, 0, 0, 0, 0)

    def datetime(self, fields=None):
        if fields is not None:
            Rtc.fields = fields
        return Rtc.fields

    def memory(self, data=None):
        if data is not None:
            Rtc.kept = data
        return Rtc.kept


@pytest.fixture
def esp32(monkeypatch, fake_time, tmp_path):
    """The board's module over stand-ins; the file system is a temporary folder."""
    machine = types.ModuleType("machine")
    for name in MACHINE:
        setattr(machine, name, Rtc if name == "RTC" else Part)
    machine.WDT_RESET, machine.PWRON_RESET, machine.HARD_RESET = 3, 1, 2
    machine.reset_cause, machine.reset = lambda: 1, lambda: Part.log.append(("reset",))
    chip = types.ModuleType("esp32")
    chip.RMT = Part
    monkeypatch.setattr(Part, "log", [])
    monkeypatch.setattr(Rtc, "kept", b"")
    monkeypatch.setitem(sys.modules, "machine", machine)
    monkeypatch.setitem(sys.modules, "esp32", chip)
    monkeypatch.delitem(sys.modules, "thecal.firmware.boards.esp32", raising=False)
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module("thecal.firmware.boards.esp32")
    sys.modules.pop("thecal.firmware.boards.esp32", None)


@pytest.mark.req("TH-SUP-02", "TH-MODE-07")
@pytest.mark.parametrize("steps, hold_ms, moved", [(117, 147, 117), (1, 1, 1), (468, 500, 468), (65535, 500, 500)])
def test_a_train_has_its_steps_and_enable_ends_by_itself(esp32, steps, hold_ms, moved):
    motor = esp32.RmtMotor()
    motor.order(steps, hold_ms)
    motor.apply()
    (_, hold, levels), (_, train, first) = [entry for entry in Part.log if entry[0] == "write_pulses"]
    assert sum(hold) * 1000 == hold_ms * esp32.RMT_HZ and len(hold) <= 5 and max(hold) <= 32767 and set(levels) == {True}
    assert len(train) == 2 * moved and set(train) == {esp32.RMT_HZ // 2000} and first is False


def test_drop_enable_takes_the_pin_back_before_it_ends_the_channels(esp32):
    motor = esp32.RmtMotor()
    motor.order(10, 40)
    motor.apply()
    Part.log.clear()
    motor.drop_enable()
    assert [entry[0] for entry in Part.log] == ["init", "init", "deinit", "deinit"]
    motor.drop_enable()
    assert [entry[0] for entry in Part.log].count("deinit") == 2


def test_the_second_is_kept_and_a_wish_is_told_from_a_bite(esp32, monkeypatch):
    kept = esp32.RtcMemory(Rtc())
    assert (kept.time_s(), kept.software) == (0, False)
    kept.save(63_000_000)
    again = esp32.RtcMemory(Rtc())
    assert (again.time_s(), again.software) == (63_000_000, False)
    again.asked_for(63_000_001)
    wished = esp32.RtcMemory(Rtc())
    assert (wished.time_s(), wished.software) == (63_000_001, True)
    monkeypatch.setattr(esp32.machine, "reset_cause", lambda: 2)
    assert esp32._reset_cause(wished) == 4 and esp32._reset_cause(again) == 0
    monkeypatch.setattr(esp32.machine, "reset_cause", lambda: 3)
    assert esp32._reset_cause(wished) == 3
    Rtc.kept = b"kept03c14dXXkep"
    assert esp32.RtcMemory(Rtc()).time_s() == 0


def test_the_board_comes_up_and_serves(esp32, capsys):
    board = esp32.Board(bench=True)
    assert board.ports.runtime.endswith("bench encoder") and "bench encoder" in capsys.readouterr().out
    board.begin()
    board.ports.motor.order(117, 147)
    board.end(1000)
    board.begin()
    assert board.ports.encoder.angle() == 117 and board.ports.magnet.present() == 0
    assert ("feed",) in Part.log
    board.release()
    board.restart()
    assert Part.log[-1] == ("reset",) and Rtc.kept[:4] == b"soft"
