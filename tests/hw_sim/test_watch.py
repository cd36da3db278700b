"""A firmware that takes the wall's time is bounded whatever it does, and a Ctrl-C is told from a `raise KeyboardInterrupt`."""

import struct
import subprocess
import sys
import threading
import time

import pytest

from thecal.firmware.boards import latched as la
from thecal.hw_sim import watch as module
from thecal.hw_sim.runner import FirmwareError, InProcess
from thecal.hw_sim.watch import StepStuck, Watch, raised_by_code

LIMIT_S = 0.15
STEP_1 = struct.pack(la.REQUEST, la.MAGIC, la.STEP, 0, 1, 63_504_001, 1000, 7, 1800, 0, 0, 3000, 1, 0, la.NEVER_CUT, 0)


def caught(action):
    try:
        action()
    except BaseException as error:      # noqa: B036  whatever comes out is what is looked at
        return error
    raise AssertionError("nothing was raised")


def test_whose_exception_it_was():
    def raises():
        raise KeyboardInterrupt

    def deep():
        try:
            raises()
        except KeyboardInterrupt:
            raise

    assert raised_by_code(caught(raises)) and raised_by_code(caught(deep)) and raised_by_code(caught(lambda: sys.exit(3))) is False
    assert not raised_by_code(caught(lambda: time.sleep(-1))) and not raised_by_code(KeyboardInterrupt())


@pytest.mark.slow
def test_measures_are_taken_one_by_one_until_the_stretch_ends():
    taken = []
    watch = Watch([lambda: taken.append(1), lambda: taken.append(2), lambda: taken.append(3)], LIMIT_S)
    with watch.stretch():
        deadline = time.monotonic() + 30
        while len(taken) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
    time.sleep(3 * LIMIT_S)
    watch.stop()
    assert taken == [1, 2] and watch.fired


def test_many_short_stretches_are_not_one_long_one():
    taken = []
    watch = Watch([lambda: taken.append(1)], LIMIT_S)
    until = time.monotonic() + 5 * LIMIT_S
    while time.monotonic() < until:
        with watch.stretch():
            time.sleep(0.001)
    watch.stop()
    assert taken == []


HANGS = {"spins": "while True: pass", "sleeps": "import time; time.sleep(3000)"}


@pytest.mark.slow
@pytest.mark.parametrize("how", HANGS)
@pytest.mark.parametrize("when", ["import", "build", "step"])
def test_a_firmware_that_hangs_is_ended_wherever_it_hangs(firmware, monkeypatch, how, when):
    monkeypatch.setattr(module.os, "_exit", lambda status: None)       # on a machine that stands still the last road would take pytest with it
    folder = firmware(HANGS[how] if when == "step" else "return 1000", HANGS[how] if when == "build" else "pass")
    if when == "import":
        (folder / "pump.py").write_text(HANGS[how] + "\n")
    runner = None
    began = time.monotonic()
    with pytest.raises(FirmwareError, match=f"{when if when != 'build' else 'step'}.* did not return within 0.15 s"):
        runner = InProcess(None, folder, stuck_s=LIMIT_S)
        runner.boot()
        runner.exchange(STEP_1)
    assert time.monotonic() - began < 30
    if runner is not None:
        runner.close()


LAST_ROAD = """
import threading, sys
from pathlib import Path
sys.path.insert(0, %r)
from test_watch import STEP_1
from thecal.hw_sim.runner import InProcess

def host():
    runner = InProcess(None, Path(%r), stuck_s=0.1, flush=lambda: print("flushed", flush=True))
    runner.boot()
    runner.exchange(STEP_1)

host_thread = threading.Thread(target=host)
host_thread.start()
host_thread.join()
"""


@pytest.mark.slow
def test_a_c_call_that_nothing_wakes_ends_the_process_after_a_flush(firmware, request):
    folder = firmware("import time; time.sleep(3000)")
    done = subprocess.run([sys.executable, "-c", LAST_ROAD % (str(request.path.parent), str(folder))], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stdout == "flushed\n"
    assert done.stderr == "thecal-sim: the firmware did not return and cannot be interrupted: leaving\n"


def test_stuck_is_no_exception_that_a_firmware_catches_by_habit():
    assert not issubclass(StepStuck, Exception) and threading.active_count() < 100
