"""Runs one script of tests/dual/scripts on CPython, on MicroPython unix (64-bit) and on MicroPython WebAssembly (32-bit).

Both MicroPythons import the tree that `make flash` copies, so what is compared is what runs on a board. That tree has no names for
integer constants any more (hw_sim/folding.py), so scripts and their helpers are folded like it.
"""

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from thecal.hw_sim import staging
from thecal.hw_sim.runner import micropython_command

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE / "scripts"
CHILD_S = 120       # a child gets its own deadline


def _run(command: list[str], **environment: str) -> list[str]:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=CHILD_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout.splitlines()


@functools.cache
def on_cpython(script: str) -> list[str]:
    """The lines of `script` on this Python."""
    return _run([sys.executable, str(SCRIPTS / script)], PYTHONPATH=str(HERE), PYTHONHASHSEED="0")


@contextlib.contextmanager
def _folded(script: str) -> Iterator[tuple[Path, Path]]:
    """A folder with `script` and its helpers as they run on the staged tree, and the script in it."""
    with tempfile.TemporaryDirectory(prefix="thecal-dual-") as name:
        folder = Path(name)
        for path in (*HERE.glob("*.py"), SCRIPTS / script):
            if path.stem not in ("runtimes", "test_dual"):
                (folder / path.name).write_text(staging.fold_script(path.read_text(encoding="utf-8")), encoding="utf-8")
        yield folder, folder / Path(script).name


def on_unix(script: str, *, heap: str = "2M") -> list[str]:
    """The lines on MicroPython unix, from the flashed tree."""
    tree = staging.stage(boards="tether")
    with _folded(script) as (folder, path):
        return _run([*micropython_command(), "-X", f"heapsize={heap}", str(path)], MICROPYPATH=f"{tree / 'lib'}:{folder}")


def on_wasm(script: str, runtime: Path) -> list[str]:
    """The lines on MicroPython WebAssembly under Node, from the flashed tree. `runtime` is its micropython.mjs."""
    tree = staging.stage(boards="tether")
    with _folded(script) as (folder, path):
        return _run(["node", str(HERE / "wasm.mjs"), str(runtime), str(path), str(tree / "lib"), str(folder)])
