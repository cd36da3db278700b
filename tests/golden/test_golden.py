"""Golden vectors: reproduced by their generator to the byte, and passed on CPython with both CRCs, MicroPython 64-bit and 32-bit."""

import json
import sys
from pathlib import Path

import crcmod.predefined
import pytest
import runtimes
from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc32

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

import make  # noqa: E402
import play  # noqa: E402

VECTORS = {path.name: json.loads(path.read_text(encoding="utf-8"))["rows"] for path in sorted(HERE.glob("*.json"))}
_crcmod32 = crcmod.predefined.mkPredefinedCrcFun("crc-32")


@pytest.mark.parametrize("name", make.FILES)
def test_the_committed_file_is_what_the_generator_makes(name):
    assert (HERE / name).read_text(encoding="utf-8") == make.contents(name), "run 'python tests/golden/make.py' and look at what changed"


def test_every_file_is_played_and_is_of_this_schema():
    assert set(VECTORS) == set(make.FILES)
    for name in VECTORS:
        head = json.loads((HERE / name).read_text(encoding="utf-8"))
        assert (head["schema"], head["schema_crc"]) == ("thecal.golden/1", cat.schema_crc())


def host_crc(data, seed=0):
    return _crcmod32(bytes(data), seed)


@pytest.mark.parametrize("crc", [pytest.param(crc32, id="binascii"), pytest.param(host_crc, id="crcmod")])
def test_cpython_passes_all_of_them(crc):
    lines = play.play(VECTORS, crc)
    assert len(lines) == sum(len(rows) for rows in VECTORS.values())


def test_the_vectors_cover_all_classes_counters_roles_and_the_usual_orders():
    frames = VECTORS["frames.json"]
    assert {row["class"] for row in frames if "class" in row} == {0, 1, 2, 3}
    assert {row["bad"] for row in frames if "bad" in row} == {"bad_cobs", "bad_length", "bad_version", "bad_class", "bad_crc"}
    assert {row["role"] for row in VECTORS["handshakes.json"]} == {1, 2, 3}
    assert {row["direction"] for row in VECTORS["sealed.json"]} == {"to pump", "to host"}
    assert {row["kind"] for row in VECTORS["blocks.json"]} == {row[0] for row in cat.BLOCKS}


def test_a_wrong_vector_is_found():
    """The player must be able to fail."""
    for name, rows in VECTORS.items():
        hurt = dict(VECTORS)
        key = {"frames.json": "line", "handshakes.json": "host_proof", "sealed.json": "line", "blocks.json": "digest"}[name]
        text = rows[0][key]
        hurt[name] = [{**rows[0], key: text[:10] + ("0" if text[10] != "0" else "1") + text[11:]}, *rows[1:]]
        with pytest.raises(AssertionError):
            play.play(hurt, crc32)


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Vectors and player as one file: a MicroPython need not read JSON, nor anything but its script."""
    path = tmp_path_factory.mktemp("golden") / "golden.py"
    path.write_text("VECTORS = %r\n%s" % (VECTORS, (HERE / "play.py").read_text(encoding="utf-8")), encoding="utf-8")
    return str(path)


@pytest.mark.micropython
def test_64_bit_micropython_passes_all_of_them(script):
    assert runtimes.on_unix(script) == play.play(VECTORS, crc32)


@pytest.mark.wasm
def test_32_bit_micropython_passes_all_of_them(script, wasm):
    assert runtimes.on_wasm(script, wasm) == play.play(VECTORS, crc32)
