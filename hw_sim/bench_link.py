"""`thecal-sim bench link`: how fast the line brings a log down, a command round, and frames through the pump's decoder.

Download and round trips are measured on the virtual clock: they are the same on every machine, and the pump's thinking costs nothing
there. What it costs is the other half: the real decoder, timed under real MicroPython (64-bit, and 32-bit where Node is) on this
machine, a board being some 30 to 100 times slower.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..firmware.boards.latched import NEVER_CUT, Latch
from ..firmware.event_log import DAYS, EVENTS, DayLog, EventLog
from ..protocol import catalogue as cat
from .attacker_frames import made
from .fram import MemoryStore
from .runner import RuntimeMissing, micropython_command
from .bedside import DAY_S
from .scenario import Programmer, load_scenario, world_for
from .staging import fold_script, stage

SCENARIO = "baclofen"
RUNTIME = "micropython"
STORE_BYTES = 170_000       # a full store of DESIGN 7; what today's firmware keeps comes down as often as it takes
LINE_SHARE, STORE_S = 0.85, 18.0    # DESIGN 11
ROUNDS = 50
FRAMES = 2000               # that each decoder run takes
NODE_PACKAGE = "@micropython/micropython-webassembly-pyscript/micropython.mjs"


def _bar(name: str, value: float | None, unit: str, bar: float, ok: bool | None, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": None if value is None else round(value, 4), "unit": unit, "bar": bar, "ok": ok, **more}


# ------------------------------------------------------------------------------------------------ the line, on the virtual clock

def fill_logs(path: Path, last_day: int) -> None:
    """Fill the event ring of a pump's memory behind what is there, and its days up to `last_day` (days since the epoch)."""
    store = MemoryStore(bytearray(path.read_bytes()))
    store.latch = Latch()
    store.latch.cut_after = NEVER_CUT
    events = EventLog(store)
    events.load(0)
    for index in range(EVENTS):
        events.append(index, cat.E_TARE, 0, index, -index)
    days = DayLog(store)
    for day in range(last_day - DAYS, last_day):
        days.write(day, 200, 200_000, 0, 20_000, 0)
    path.write_bytes(store.data)


def download(runtime: str) -> dict[str, float]:
    """Pull the event log and the days of a full pump until STORE_BYTES have come: bytes, virtual seconds, share of the line rate."""
    with tempfile.TemporaryDirectory(prefix="thecal-") as folder:
        path = Path(folder) / "fram.bin"
        scenario = load_scenario(SCENARIO)
        world_for(scenario, runtime="inprocess", store_path=path).close()
        fill_logs(path, scenario.start_pump_s // DAY_S)
        with world_for(scenario, runtime=runtime, store_path=path) as world:
            pump = Programmer(world.port())
            pump.status()               # the session stands
            start_us, came, got = world.now_us, world.line.bytes_to_host, 0
            while got < STORE_BYTES:
                got += len(pump.log()) * cat.EVENT_BYTES + len(pump.history()) * cat.DAY_BYTES
            virtual_s = (world.now_us - start_us) / 1e6
            return {"bytes": got, "virtual_s": virtual_s, "share": got * 10 / world.line.baud / virtual_s,
                    "busy": (world.line.bytes_to_host - came) * 10 / world.line.baud / virtual_s}


def round_trips() -> dict[str, float]:
    """Virtual milliseconds of a status, and of a whole order (stage, check, read back, commit), mean of ROUNDS."""
    with world_for(load_scenario(SCENARIO), runtime="inprocess") as world:
        pump = Programmer(world.port())
        pump.status()
        start_us = world.now_us
        for _ in range(ROUNDS):
            pump.status()
        status_ms = (world.now_us - start_us) / 1000 / ROUNDS
        start_us = world.now_us
        for _ in range(ROUNDS):
            pump.set_clock(world.board.rtc_s(world.now_us))
        return {"status_ms": status_ms, "order_ms": (world.now_us - start_us) / 1000 / ROUNDS - status_ms}


# ------------------------------------------------------------------------------------------------ the decoder, on MicroPython

# Runs under MicroPython: the time of `count` frames through the pump's own decoder, byte by byte, best of three.
PROBE = """
import sys, time
from thecal.protocol.frame import FRAME, Decoder
try:
    ticks, diff = time.ticks_us, time.ticks_diff
except AttributeError:
    ticks, diff = time.ticks_ms, time.ticks_diff
def run(raw, count, schema):
    decoder = Decoder(schema)
    feed = decoder.feed
    best = 1 << 29
    for _ in range(3):
        start = ticks()
        for _ in range(count):
            for byte in raw:
                outcome = feed(byte)
            assert outcome == FRAME
        best = min(best, diff(ticks(), start))
    return best
"""
TAG_PROBE = """
from thecal.protocol.session import Session
from thecal.protocol.frame import HEADER, MAX_BODY
def tags(length, count):
    session = Session(1, bytes(32), b"bench", True)
    twin = Session(1, bytes(32), b"bench", False)
    body = bytearray(MAX_BODY)
    body[2] = length
    best = 1 << 29
    for _ in range(3):
        start = ticks()
        for _ in range(count):
            session.sending.seal(body, 0, length, 3)
            assert twin.receiving.open(body, length, 3) == 0
        best = min(best, diff(ticks(), start))
    return best
"""


def _script() -> str:
    short, long = made(cat.STATUS), made(cat.STAGE, bytes(200))
    schema = cat.schema_crc()
    return PROBE + TAG_PROBE + "print([%s])\n" % ", ".join(
        ["run(%r, %d, %d)" % (raw, FRAMES, schema) for raw in (short, long)] + ["tags(%d, %d)" % (length, FRAMES // 10) for length in (8, 200)])


def _figures(name: str, printed: str) -> list[dict[str, Any]]:
    """Rows of one runtime from what the probe printed: microseconds for FRAMES short and long frames, and FRAMES / 10 tags of both sizes."""
    short_us, long_us, tag_us, long_tag_us = json.loads(printed.strip().splitlines()[-1])
    rows = []
    for kind, raw, took_us in (("status", made(cat.STATUS), short_us), ("200-byte stage", made(cat.STAGE, bytes(200)), long_us)):
        per_s, due = FRAMES / took_us * 1e6, 11520 / len(raw)
        rows.append(_bar("%s frames decoded, %s" % (kind, name), per_s, "1/s", round(due, 1), per_s >= due, us_per_byte=round(took_us / FRAMES / len(raw), 3)))
    for size, took_us in (("8", tag_us), ("200", long_tag_us)):
        rows.append({"name": "seal and open %s bytes, %s" % (size, name), "value": round(took_us / (FRAMES / 10), 1), "unit": "us"})
    return rows


def on_micropython() -> list[dict[str, Any]]:
    """Decoder and tags on the 64-bit unix port. Raises RuntimeMissing."""
    command = micropython_command()
    with tempfile.TemporaryDirectory(prefix="thecal-") as folder:
        script = Path(folder) / "probe.py"
        script.write_text(fold_script(_script()), encoding="utf-8")
        done = subprocess.run([*command, "-X", "heapsize=192K", str(script)], capture_output=True, text=True, timeout=120,
                              env={**os.environ, "MICROPYPATH": str(stage(boards="tether") / "lib")}, check=False)
    if done.returncode:
        raise RuntimeError("the decoder's probe failed under MicroPython: " + (done.stdout + done.stderr).strip())
    return _figures("MicroPython 64-bit", done.stdout)


NODE_PROBE = """
import { pathToFileURL } from "node:url";
import fs from "node:fs";
import path from "node:path";
const [module, tree, script] = process.argv.slice(2);
const { loadMicroPython } = await import(pathToFileURL(module));
const mp = await loadMicroPython({ heapsize: 192 * 1024, stdout: (line) => console.log(line), linebuffer: true });
const copy = (from, to) => {
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const source = path.join(from, entry.name), target = to + "/" + entry.name;
    if (entry.isDirectory()) { mp.FS.mkdir(target); copy(source, target); }
    else mp.FS.writeFile(target, fs.readFileSync(source));
  }
};
mp.FS.mkdir("/tree");
copy(path.join(tree, "lib"), "/tree");
mp.runPython("import sys\\nsys.path.insert(0, '/tree')\\n" + fs.readFileSync(script, "utf-8"));
"""


def wasm_module() -> tuple[str, Path]:
    """Node, and the module of the 32-bit MicroPython in $NODE_MODULES or build/node. Raises RuntimeMissing."""
    node = shutil.which("node")
    if node is None:
        raise RuntimeMissing("Node is missing: the 32-bit MicroPython runs under it")
    module = Path(os.environ.get("NODE_MODULES") or "build/node/node_modules").resolve() / NODE_PACKAGE
    if not module.is_file():
        raise RuntimeMissing("the 32-bit MicroPython is missing: run 'make node', or set NODE_MODULES")
    return node, module


def on_wasm() -> list[dict[str, Any]]:
    """The same on the 32-bit port under Node. Raises RuntimeMissing."""
    node, module = wasm_module()
    with tempfile.TemporaryDirectory(prefix="thecal-") as folder:
        script, runner = Path(folder) / "probe.py", Path(folder) / "probe.mjs"
        script.write_text(fold_script(_script()), encoding="utf-8")
        runner.write_text(NODE_PROBE, encoding="utf-8")
        done = subprocess.run([node, str(runner), str(module), str(stage(boards="tether")), str(script)], capture_output=True, text=True,
                              timeout=120, check=False)
    if done.returncode:
        raise RuntimeError("the decoder's probe failed under the 32-bit MicroPython: " + (done.stdout + done.stderr).strip())
    return _figures("MicroPython 32-bit", done.stdout)


# ------------------------------------------------------------------------------------------------ all of it

def link(say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Run every row; `say` hears what is under way. Returns the bench object of DESIGN 13 (schema thecal.bench/1)."""
    say("the log of a full pump at 115200 baud")
    pulled = download(RUNTIME)
    say("round trips")
    trips = round_trips()
    store_s = STORE_BYTES / pulled["bytes"] * pulled["virtual_s"]
    bars = [
        _bar("log download, share of the line rate", pulled["share"], "1", LINE_SHARE, pulled["share"] >= LINE_SHARE, bytes=pulled["bytes"],
             virtual_s=round(pulled["virtual_s"], 3), line_busy=round(pulled["busy"], 4)),
        _bar("a full store of 170 KB", store_s, "s", STORE_S, store_s <= STORE_S)]
    figures = [{"name": "status, there and back (virtual)", "value": round(trips["status_ms"], 3), "unit": "ms"},
               {"name": "an order: stage, check, read back, commit (virtual)", "value": round(trips["order_ms"], 3), "unit": "ms"}]
    notes = []
    for name, measure in (("the decoder on MicroPython, 64-bit", on_micropython), ("the decoder on MicroPython, 32-bit", on_wasm)):
        say(name)
        try:
            for row in measure():
                (bars if "bar" in row else figures).append(row)
        except RuntimeMissing as missing:
            notes.append("%s: n/a, %s" % (name, missing))
    return {"schema": "thecal.bench/1", "bench": "link", "bars": bars, "figures": figures, "notes": notes, "python": sys.version.split()[0]}
