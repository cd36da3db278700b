"""Inner names made short: what runs gives the same as before, no two things in one place get one name, and what others see keeps its name."""

import ast
import builtins
import io
import tokenize

import pytest

from thecal.hw_sim import staging
from thecal.hw_sim.naming import IN_ROM, Namer, _read

BASE = '''"""Words that mention _hidden and first_part."""
from . import user as us

LIMIT_OF = (3, 4)
_HIDDEN = (1, 2)


class Base:
    """A base that a neighbour builds on."""

    def __init__(self, first_part):
        self._first = first_part
        self.open = _HIDDEN[0]

    def _sum(self, second_part=5):
        return self._first + second_part

    def total(self):
        return self._sum() + us.LOUD[0]
'''
USER = '''from .base import Base

LOUD = b"\\x07"
ALSO = (1, 2)


class User(Base):
    def __init__(self, amount):
        super().__init__(amount)
        self._own = 70
        self._named = 9

    def _more(self, other, named=1):
        return other._own + self._own + named + len(ALSO)

    def all(self, other):
        self.open += 1
        return self._more(other, named=2) + self.total(), getattr(self, "_named"), f"{ALSO}"


def answer(amount):
    return User(amount).all(User(1))
'''
MODULES = {"thecal.firmware.base": BASE, "thecal.firmware.user": USER}


@pytest.fixture
def namer():
    return Namer(MODULES, "from thecal.firmware.user import answer")


def run(texts, tmp_path, monkeypatch):
    """What `answer` of these sources gives."""
    import importlib
    import sys
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "named"
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text("")
    for name, text in texts.items():
        (folder / f"{name.rpartition('.')[2]}.py").write_text(text)
    importlib.invalidate_caches()
    try:
        return importlib.import_module("named.user").answer(5)
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "named"]:
            del sys.modules[name]


def test_what_runs_gives_the_same(namer, tmp_path, monkeypatch):
    expected = run(MODULES, tmp_path, monkeypatch)
    other = tmp_path / "short"
    other.mkdir()
    assert run({name: namer.shortened(text) for name, text in MODULES.items()}, other, monkeypatch) == expected == (144 + 17, 9, "(1, 2)")


def test_inner_names_are_short_and_others_stay(namer):
    assert {*namer.short} == {
        "_HIDDEN", "_first", "_sum", "_own", "_more", "first_part", "second_part", "amount", "other", "LIMIT_OF", "User", "self"}
    assert all(short.startswith("_") and len(short) == 2 for short in namer.short.values())


def test_a_text_a_keyword_an_f_string_and_what_python_knows_keep_theirs(namer):
    for name in ("_named", "named", "ALSO", "open", "all", "getattr", "len", "__init__", "answer", "base", "user"):
        assert name not in namer.short and name not in namer.unique


def test_what_others_use_is_short_one_for_one(namer):
    assert {*namer.unique} == {"Base", "LOUD", "total"} and not {*namer.unique} & {*namer.short}
    assert {*namer.unique.values()} == {*IN_ROM[:3]}


def test_behind_the_words_of_the_rom_come_short_names():
    names = ["name_%d" % at for at in range(len(IN_ROM) + 2)]
    own = Namer({"thecal.firmware.a": "class Line:\n" + "".join("    def %s(self): pass\n" % name for name in names)}).unique
    assert {*own} == {*names} and {*own.values()} - {*IN_ROM} == {"a_", "b_"}


def test_what_hardware_may_know_keeps_its_letters():
    modules = {"thecal.firmware.a": "class Line:\n    def irqs(self): pass\n    def other(self): pass\n",
               "thecal.firmware.b": "import machine\n\n\ndef start(pin):\n    pin.irqs()\n"}
    assert {*Namer(modules).unique} == {"other"}
    assert {*Namer(modules | {"thecal.firmware.b": modules["thecal.firmware.b"].replace("machine", "struct")}).unique} == {"irqs", "other"}


def test_an_object_with_a_base_elsewhere_has_no_name_twice(namer):
    attributes = [namer.short[name] for name in ("_first", "_sum", "_own", "_more")]
    assert len({*attributes}) == 4


def test_names_of_two_modules_share():
    namer = Namer({"thecal.firmware.a": "def first_one(): pass\n_HERE = []\n", "thecal.firmware.b": "def second_one(): pass\n_THERE = []\n"})
    assert {*namer.short.values()} == {"_a", "_b"} and len(namer.short) == 4


def test_a_short_name_is_not_one_that_is_there():
    assert Namer({"thecal.firmware.a": "_a = []\n_long_one = []\n"}).short == {"_long_one": "_b"}
    assert Namer({"thecal.firmware.a": "class Line:\n    def fabs(self): pass\n    def other(self): pass\n"}).unique["other"] in {*IN_ROM} - {"fabs"}
    used = "".join("    def %s(self): pass\n" % word for word in IN_ROM)
    assert Namer({"thecal.firmware.a": "class Line:\n    def a_(self): pass\n    def other(self): pass\n" + used}).unique["other"] not in {*IN_ROM, "a_"}


def test_what_is_not_defined_where_it_is_used_stays():
    namer = Namer({
        "thecal.firmware.a": "class Holder:\n    def __init__(self):\n        self._inside = 1\n",
        "thecal.firmware.b": "def look(holder):\n    return holder._inside\n",
        "thecal.firmware.c": "def set_up(it):\n    it._given = 1\n"})
    assert "_inside" not in namer.short and "_given" not in namer.short


def test_a_parameter_that_is_a_builtin_elsewhere_stays():
    namer = Namer({"thecal.firmware.a": "def scale(round):\n    return round\n", "thecal.firmware.b": "def whole(value):\n    return round(value)\n"})
    assert {*namer.short} == {"scale", "whole", "value"}


def test_the_entry_keeps_what_it_imports():
    assert Namer({"thecal.firmware.main": "def main(): pass\n"}, "from thecal.firmware.main import main\nmain()\n").short == {}


def test_comments_texts_and_line_numbers_stay(namer):
    for text in MODULES.values():
        short = namer.shortened(text)
        assert [text for text in short.split("\n") if text.startswith("#") or '"""' in text] == [row for row in text.split("\n") if '"""' in row]
        assert short.count("\n") == text.count("\n")


def test_a_script_finds_what_it_imports_and_looks_into(namer):
    script = ('from thecal.firmware import base\nfrom thecal.firmware.user import LOUD, User\nfrom thecal.firmware.base import LIMIT_OF as reply\n'
              'print("\u00e4", User(1)._own, base.LIMIT_OF, LOUD, reply)\n')
    short, loud = namer.short, namer.unique["LOUD"]
    assert namer.script(script) == (
        f'from thecal.firmware import base\nfrom thecal.firmware.user import {loud}, {short["User"]} as User\n'
        f'from thecal.firmware.base import {short["LIMIT_OF"]} as reply\n'
        f'print("\u00e4", User(1).{short["_own"]}, base.{short["LIMIT_OF"]}, {loud}, reply)\n')


def test_what_a_script_defines_itself_stays(namer):
    script = "class Bench:\n    def __init__(self, amount):\n        self._own = amount\n\nprint(Bench(1)._own)\n"
    assert namer.script(script) == script


@pytest.mark.slow
@pytest.mark.parametrize("board", sorted(staging.BOARDS))
def test_the_firmware_has_no_two_things_under_one_name(board):
    """Each module of the tree has as many names of each kind as before, and no name that it did not define means a builtin."""
    sources = tuple((name, path.read_text(encoding="utf-8")) for name, path in staging._sources((board,), staging.ROOMS_DIR))
    folder, namer, built = staging._written_out(sources)
    assert len({*namer.short.values()}) < 60 < 300 < len(namer.short)
    assert not {*namer.short, *namer.unique} & {*dir(builtins)} and len({*namer.unique.values()}) == len(namer.unique) > 250
    for name, text in built.items():
        folded = folder.folded(staging._module(name))
        before, after = _read(ast.parse(folded)), _read(ast.parse(text))
        assert len(after.attributes) == len(before.attributes) and len(after.variables) == len(before.variables), name
        assert _other_tokens(text) == _other_tokens(folded), name


def test_the_same_sources_give_the_same_names():
    assert Namer(MODULES).short == Namer(dict(reversed(MODULES.items()))).short


def _other_tokens(text):
    """All but names, with the lines they are on."""
    return [(token.type, token.string, token.start[0]) for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type not in (tokenize.NAME, tokenize.NEWLINE, tokenize.NL) or token.string in dir(builtins)]
