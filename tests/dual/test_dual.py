"""The same script on CPython, MicroPython unix (64-bit) and MicroPython WebAssembly (32-bit): the outputs agree line by line."""

import pytest
import runtimes

LONG = ("whole_pump.py", "caps.py", "codec.py", "blocks.py")     # seconds each on the 32-bit one
NAMES = sorted(path.name for path in runtimes.SCRIPTS.glob("*.py") if not path.name.startswith("heap"))
DUAL = [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in NAMES]


def compare(there, here):
    for number, (line, expected) in enumerate(zip(there, here), 1):
        assert line == expected, f"line {number}"
    assert len(there) == len(here)


@pytest.mark.parametrize("script", DUAL)
def test_the_script_says_something_on_cpython(script):
    assert len(runtimes.on_cpython(script)) >= 3


@pytest.mark.req("TH-RULE-03")
@pytest.mark.micropython
@pytest.mark.parametrize("script", DUAL)
def test_64_bit_agrees(script):
    compare(runtimes.on_unix(script), runtimes.on_cpython(script))


@pytest.mark.req("TH-RULE-03")
@pytest.mark.wasm
@pytest.mark.parametrize("script", DUAL)
def test_32_bit_agrees(script, wasm):
    compare(runtimes.on_wasm(script, wasm), runtimes.on_cpython(script))
