"""Constants written out: the right value at every use, nothing else changed, and what cannot be replaced keeps its name."""

import ast

import pytest

from thecal.hw_sim import staging
from thecal.hw_sim.folding import Folder

LIMITS = '''"""Words that mention DAY_S."""
from . import far

DAY_S = 86400
WEEK_S = 7 * DAY_S      # why
BELOW = -1
FIRST, SECOND = 3, 1 << 4
RED, GREEN, \\
    BLUE = range(FIRST, 6)
FROM_FAR = far.AWAY + 1
HUGE = 1 << 30
LIST = (1, 2)
lower = 5


def week(days=DAY_S):
    return days * WEEK_S + GREEN + len(LIST) + FROM_FAR
'''
USER = '''from .limits import BELOW, DAY_S, HUGE, LIST, week
from . import far, limits as li
from ..protocol import words


def use(value):
    return (value - BELOW, li.BLUE, li.week(),
            far.AWAY, HUGE, LIST, words.TEXT, "DAY_S")  # DAY_S

def line():
    raise ValueError
'''
MODULES = {"thecal.firmware.limits": LIMITS, "thecal.firmware.far": "AWAY = 8\n", "thecal.firmware.user": USER,
           "thecal.protocol.words": 'TEXT = "text"\n'}


def runs(modules, text=""):
    """What `use` and `week` of these sources give when they are run as modules."""
    import sys
    import types
    kept = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "folded"}
    try:
        for package in ("folded", "folded.firmware", "folded.protocol"):
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = []
        for name in ("thecal.firmware.far", "thecal.protocol.words", "thecal.firmware.limits", "thecal.firmware.user"):
            name = name.replace("thecal", "folded")
            module = sys.modules[name] = types.ModuleType(name)
            module.__package__ = name.rpartition(".")[0]
            exec(compile(modules[name.replace("folded", "thecal")], name, "exec"), vars(module))
            setattr(sys.modules[module.__package__], name.rpartition(".")[2], module)
        return sys.modules["folded.firmware.user"].use(5), sys.modules["folded.firmware.limits"].week()
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "folded"]:
            del sys.modules[name]
        sys.modules.update(kept)


@pytest.fixture
def folder():
    return Folder(MODULES)


def test_what_runs_gives_the_same_and_has_no_constants(folder):
    folded = {name: folder.folded(name) for name in MODULES}
    assert runs(folded) == runs(MODULES)
    names = {node.id for text in folded.values() for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    assert not names & {"DAY_S", "WEEK_S", "BELOW", "FIRST", "SECOND", "RED", "GREEN", "BLUE", "FROM_FAR", "AWAY"}
    assert {"LIST", "lower"} <= names and "HUGE" not in names, "what is no integer in capitals stays"


def test_text_in_full(folder):
    assert folder.folded("thecal.firmware.far") == "\n"
    assert folder.folded("thecal.firmware.user") == '''from .limits import LIST, week
from . import limits as li
from ..protocol import words


def use(value):
    return (value - (-1), 5, li.week(),
            8, 1073741824, LIST, words.TEXT, "DAY_S")  # DAY_S

def line():
    raise ValueError
'''


@pytest.mark.parametrize("name", MODULES)
def test_every_line_stays_where_it_is(folder, name):
    text = folder.folded(name)
    assert text.count("\n") == MODULES[name].count("\n")

    def places(source):
        return [(node.name, node.lineno, node.end_lineno) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]

    assert places(text) == places(MODULES[name])


@pytest.mark.parametrize(("reason", "user"), [
    ("it is assigned to here as well", "from .far import AWAY\n\ndef f():\n    AWAY = 2\n    return AWAY\n"),
    ("it is a parameter", "from .far import AWAY\n\ndef f(AWAY):\n    return AWAY\n"),
    ("the module is handed on", "from . import far\n\ndef f(name):\n    return getattr(far, name)\n"),
    ("it stands in an f-string", "from .far import AWAY\n\ndef f():\n    return f'{AWAY}'\n"),
])
def test_what_cannot_be_replaced_keeps_its_definition_and_its_import(reason, user):
    folder = Folder({"thecal.firmware.far": "AWAY = 8\nNEAR = 1\n", "thecal.firmware.user": user})
    assert "AWAY = 8" in folder.folded("thecal.firmware.far"), reason
    assert folder.folded("thecal.firmware.user") == user


@pytest.mark.parametrize("source", ["A = 1\nA = 2\n", "A = 1\nA += 1\n", "a = 1\n", "A = 1.5\n", "A = True\n", 'A = "1"\n', "A = f()\n", "A = B\n", "A, B = 1\n",
                                    "A: int = 1\n", "for A in (1, 2):\n    pass\n", "A = 1 / 1\n"])
def test_what_is_no_constant(source):
    assert Folder({"thecal.firmware.one": source}).folded("thecal.firmware.one") == source


def test_what_only_cpython_needs_is_not_built():
    text = 'import sys\nHOST = sys.implementation.name == "cpython"\nif HOST:\n    from .far import AWAY\n'
    assert Folder({"thecal.firmware.one": text}).folded("thecal.firmware.one") == "import sys\n\nif 0:\n    from .far import AWAY\n"


def test_modules_that_import_each_other_are_read():
    folder = Folder({"thecal.firmware.a": "from .b import TWO\nONE = 1\nTHREE = TWO + ONE\n", "thecal.firmware.b": "from .a import ONE\nTWO = 2\n"})
    assert folder.script("from thecal.firmware.a import ONE\nfrom thecal.firmware.b import TWO\nprint(ONE, TWO)\n") == "\n\nprint(1, 2)\n"


def test_a_script_gets_the_values_too(folder):
    script = "from thecal.firmware import limits as li\nfrom thecal.firmware.limits import DAY_S, week\n\nprint(DAY_S, li.BELOW, week())\n"
    assert folder.script(script) == "\nfrom thecal.firmware.limits import week\n\nprint(86400, (-1), week())\n"
    with pytest.raises(ValueError, match="line 2: thecal.firmware.limits.DAY_S is gone from the built tree"):
        folder.script("from thecal.firmware import limits\nfor name in ('DAY_S',): print(getattr(limits, name))\n")


def test_bytes_and_not_letters_are_counted():
    folder = Folder({"thecal.firmware.far": "AWAY = 8\n"})
    assert folder.script('from thecal.firmware.far import AWAY\nprint("\u00e4\u00f6", AWAY, AWAY)\n') == '\nprint("\u00e4\u00f6", 8, 8)\n'


@pytest.mark.slow
def test_the_firmware_keeps_no_constant_by_name():
    """All of protocol/ and firmware/: integers in capitals are gone, and every module still compiles."""
    sources = {staging._module(name): path.read_text(encoding="utf-8") for name, path in staging._sources(("pico", "esp32", "tether"), staging.ROOMS_DIR)}
    folder = Folder(sources)
    assert not folder._needed
    for name in sources:
        compile(folder.folded(name), name, "exec")
    assert sum(len(module.constants) for module in folder._modules.values()) > 300
