"""The entry chooses the board by sys.platform, and only when it is called."""

import sys
import types

import pytest
from thecal.firmware import main as entry


@pytest.mark.parametrize(("platform", "board"), [("rp2", "pico"), ("esp32", "esp32"), ("linux", "tether"), ("darwin", "tether"), ("webassembly", "tether")])
def test_the_platform_decides(monkeypatch, platform, board):
    ran = []
    for name in ("pico", "esp32", "tether"):
        fake = types.ModuleType(f"thecal.firmware.boards.{name}")
        fake.run = lambda name=name: ran.append(name)
        monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setattr(sys, "platform", platform)
    entry.main()
    assert ran == [board]
