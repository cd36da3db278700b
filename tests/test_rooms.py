"""The house rules of DESIGN.md, read off the source: who imports whom (R2), the dialect wall (R3), no hidden state (R4),
integers in the firmware, sizes, mirrored tests, units last, and nothing of one machine in any file."""

import ast
import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {"protocol": set(), "firmware": {"protocol"}, "host": {"protocol"}, "hw_sim": {"protocol", "firmware"}}
DIALECT = {"array", "binascii", "gc", "hashlib", "struct", "sys"}
BOARD_DIALECT = DIALECT | {"errno", "esp32", "io", "machine", "micropython", "os", "rp2", "select", "time", "uctypes", "vfs"}
IN_ROOT = {
    "Makefile", "README.md", "pyproject.toml", ".ci", "LICENSE", "requirements.lock", ".gitignore", ".editorconfig", "typings", "tests",
    *MAY_IMPORT,
}  # fmt: skip
MODULE_LINES, FUNCTION_LINES = 400, 70
BODIES = ("plant", "motor", "head", "reservoir", "catheter", "dispersion", "csf", "plasma", "battery", "sensors", "bedside", "impairment", "plant_faults",
          "plant_flows", "plant_hands", "environment", "standing")
# Tokens that mean a unit wherever they stand in a name ("s", "h" and "day" also mean other things), and what may follow one:
# a denominator, the other half of a conversion, the second unit of a pair, or a bound.
UNITS = {"ul", "nl", "ml", "ng", "ug", "mg", "us", "ms", "pa", "kpa", "mv", "mj", "hz", "khz"}
AFTER_UNIT = UNITS | {"per", "sqrt", "cm", "to", "day", "h", "s", "min", "max", "step", "steps", "rev", "k"}


@functools.cache
def tracked() -> list[Path]:
    """Every file that is, or would be, committed; without git, every file of the folders above."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    files = [path for name in IN_ROOT for path in (ROOT / name).glob("**/*" if (ROOT / name).is_dir() else "")]
    return [path for path in files if path.is_file() and "__pycache__" not in path.parts]


def modules(*rooms: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in (rooms or MAY_IMPORT)]


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.relative_to(ROOT).as_posix())


@functools.cache        # six rules read each file: it is parsed once
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(tree_of(path)))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def is_board(path: Path) -> bool:
    return path.relative_to(ROOT).as_posix() == "firmware/main.py" or path.relative_to(ROOT).parts[:2] == ("firmware", "boards")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield (module or room, is ours): `from ..protocol.frame import X` in a room is ("protocol", True)."""
    depth = len(path.relative_to(ROOT).parts) - 1
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found = [(alias.name, 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [(f"{node.module}.{alias.name}" if node.module else alias.name, node.level) for alias in node.names]
        else:
            continue
        for name, level in found:
            parts = name.split(".")
            if level and level <= depth:
                yield room_of(path), True
            elif level:
                assert level == depth + 1, f"{path}: an import reaches above the package"
                yield parts[0], True
            elif parts[0] == "thecal":
                yield parts[1] if len(parts) > 1 else "thecal", True
            else:
                yield parts[0], False


@pytest.mark.req("TH-RULE-02")
@each(modules())
def test_a_room_knows_only_whom_it_may(path):
    room = room_of(path)
    allowed = MAY_IMPORT[room] | {room} | ({"host"} if path == ROOT / "hw_sim" / "scenario.py" else set())
    if path.parent == ROOT / "host" / "thecal":  # the package's own front door
        allowed |= {"host"}
    known = {name for name, ours in imports(path) if ours and name in MAY_IMPORT}
    assert known <= allowed, f"R2: {room} may not import {', '.join(sorted(known - allowed))}"


@pytest.mark.req("TH-RULE-03")
@each(modules("protocol", "firmware"))
def test_the_dialect_wall(path):
    allowed = BOARD_DIALECT if is_board(path) else DIALECT
    outside = {name for name, ours in imports(path) if not ours} - allowed
    assert not outside, f"R3: imports {', '.join(sorted(outside))}, which another runtime lacks or only a board may know"
    for node in nodes_of(path):
        line = getattr(node, "lineno", 0)
        assert not isinstance(node, (ast.Match, ast.TryStar, ast.AsyncFunctionDef)), f"line {line}: not in the common dialect"
        if isinstance(node, ast.arguments):
            assert not node.posonlyargs, "positional-only parameters are not in the common dialect"
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("bit_length", "removeprefix", "removesuffix"), f"line {line}: MicroPython has no .{node.attr}"
            assert not (isinstance(node.value, ast.Name) and (node.value.id, node.attr) == ("struct", "error")), f"line {line}: struct.error"


@pytest.mark.req("TH-RULE-06")
@each(modules("protocol", "firmware"))
def test_only_integers_behind_the_wall(path):
    for node in nodes_of(path):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant):
            assert not isinstance(node.value, (float, complex)), f"R6: line {line}: a float"
        if isinstance(node, (ast.BinOp, ast.AugAssign)):
            assert not isinstance(node.op, ast.Div), f"R6: line {line}: true division"
        if isinstance(node, ast.Name):
            assert node.id != "float", f"R6: line {line}: float()"


@pytest.mark.req("TH-SUP-01", "TH-RULE-11")
def test_the_second_hand_shares_nothing_with_the_first():
    """R11: what judges the controller knows limits and protocol alone, and nobody else in the firmware's core may drop enable."""
    for name in ("supervisor.py", "level_test.py"):
        own = {node.module for node in nodes_of(ROOT / "firmware" / name) if isinstance(node, ast.ImportFrom) and node.level}
        assert own <= {"limits", "protocol.crc", "protocol.fields"}, f"{name} knows {', '.join(sorted(own))}"
    for path in modules("firmware"):
        called = [node for node in nodes_of(path) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
        assert is_board(path) or path.name == "supervisor.py" or not any(node.func.attr == "drop_enable" for node in called), f"{path.name} drops enable"


@pytest.mark.req("TH-RULE-13")
@each([path for path in modules("hw_sim") if path.stem in BODIES])
def test_a_fault_knows_no_firmware(path):
    """R13: bodies, sensors and what hurts the line, where faults act, cannot reach a status flag."""
    assert "firmware" not in {name for name, ours in imports(path) if ours}


def is_wiring(call: ast.Call) -> bool:
    """A command group being given its commands: the one effect at import that click is built on."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in ("add_command", "add_to")


@pytest.mark.req("TH-RULE-04")
@each(modules())
def test_no_hidden_state(path):
    for node in nodes_of(path):
        assert not isinstance(node, ast.Global), f"R4: line {node.lineno}: global {', '.join(node.names)}"
    for node in tree_of(path).body:  # decorators and assignments may call; a call for its effect may not stand here
        called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and not is_wiring(node.value)
        assert not called, f"line {node.lineno}: the import of this module does something"
        assert not isinstance(node, (ast.For, ast.While, ast.With)), f"line {node.lineno}: the import of this module runs a loop or a context"


@each(modules())
def test_shape_of_a_module(path):
    text = path.read_text(encoding="utf-8")
    if text.strip():
        assert ast.get_docstring(tree_of(path)), "opens with no line that says what it is for"
    assert text.count("\n") <= MODULE_LINES, f"{text.count(chr(10))} lines: does it hold more than one idea?"
    for node in nodes_of(path):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES, f"{node.name}() has {lines} lines"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: bare except"
            assert not all(isinstance(part, ast.Pass) for part in node.body), f"line {node.lineno}: an exception is swallowed without a word"


@each([path for path in modules() if path.name not in ("__init__.py", "__main__.py")])
def test_every_module_has_its_test(path):
    """Boards are tested where they can run: tests/board, and the tether through the runner."""
    inside = path.relative_to(ROOT)
    name = f"test_{path.name}"
    places = [ROOT / "tests" / inside.parent / name, ROOT / "tests" / inside.parts[0] / name]
    if inside.parts[:2] == ("firmware", "boards"):
        places += [ROOT / "tests" / "board" / name, ROOT / "tests" / "dual" / name, ROOT / "tests" / "hw_sim" / "test_runner.py"]
    assert any(place.is_file() for place in places), f"has no tests/{inside.parts[0]}/{name}"


@functools.cache
def names(path: Path) -> list[tuple[str, int]]:
    return list(_names(path))


def _names(path: Path) -> Iterator[tuple[str, int]]:
    for node in nodes_of(path):
        if isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def misplaced_unit(name: str) -> str | None:
    """The unit in a name that stands before something which is no unit; `volume_ul` and `ng_per_ul` are right."""
    parts = [part for part in name.lower().split("_") if part]
    for part, after in zip(parts, parts[1:], strict=False):
        if part in UNITS and after not in AFTER_UNIT and not after.isdigit():
            return part
    return None


@pytest.mark.parametrize(
    ("name", "unit"),
    [("volume_ul", None), ("rate_nl_day", None), ("ng_per_ul_max", None), ("UL_PER_REV", None), ("ul_volume", "ul"), ("max_ms_wait", "ms")],
)
def test_the_unit_reader(name, unit):
    assert misplaced_unit(name) == unit


@each(modules())
def test_units_last(path):
    wrong = [f"line {line}: {name}" for name, line in names(path) if misplaced_unit(name)]
    assert not wrong, "the unit goes last: " + "; ".join(wrong)


@each(modules("protocol", "firmware"))
def test_quantities_carry_their_unit(path):
    bare = [f"line {line}: {name}" for name, line in names(path) if name.lower().split("_")[-1] in ("volume", "dose", "mass")]
    assert not bare, "a quantity without its unit: " + "; ".join(bare)


def test_the_root_holds_what_the_design_says():
    found = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert found <= IN_ROOT, f"in the root: {', '.join(sorted(found - IN_ROOT))}"
    assert {"Makefile", "README.md", "pyproject.toml", ".ci", "LICENSE", "requirements.lock", *MAY_IMPORT} <= found


# In pieces, so that this file passes its own test.
_MACHINE = re.compile(r"(?<![\w.])/(?:%s)/" % "|".join(["work", "farm", "root", r"home/\w+", r"Users/\w+"]))
_REGISTRY = re.compile("|".join(["pypi" + r"\.org", "python" + "hosted", "registry" + r"\.npmjs", "index" + "-url", "find" + "-links", "file:" + "//"]))


def test_nothing_of_one_machine_or_registry():
    found = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8").splitlines(), 1):
            if _MACHINE.search(line) or _REGISTRY.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found, "\n".join(found)


IMPORT_ALL = """
import importlib, json, sys, threading
seen = []
def hook(event, args):
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if writes or event in ("subprocess.Popen", "socket.connect", "socket.bind", "os.mkdir", "os.remove", "os.rename", "os.fork"):
        seen.append([event, repr(args)[:200]])
sys.addaudithook(hook)
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
assert not seen, seen
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.mark.req("TH-RULE-04")
def test_importing_does_nothing():
    """Every module that CPython can import: no output, no thread, no child, no file or socket opened for writing."""
    wanted = []
    for path in modules():
        inside = path.relative_to(ROOT).with_suffix("")
        if inside.parts[:2] == ("host", "thecal"):
            inside = inside.relative_to("host/thecal")
        elif {name for name, ours in imports(path) if not ours} & (BOARD_DIALECT - DIALECT - {"errno", "io", "os", "select", "time"}):
            continue
        wanted.append(".".join(("thecal", *inside.parts)).removesuffix(".__init__").removesuffix(".thecal"))
    command = [sys.executable, "-B", "-c", IMPORT_ALL, json.dumps(wanted)]
    done = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
