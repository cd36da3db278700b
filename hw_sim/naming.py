"""Gives a built pump's names one to three letters before it is compiled, the inner ones shared between modules.

MicroPython keeps every name of the program in a pool for as long as the pump runs: 7 bytes and its letters each, in pools that double
when they are full (620 names, 1260, 2540). A third of the firmware's names are nobody's business outside their module: attributes
and methods with a leading underscore, functions, classes and globals that no other module takes, parameters that no call names. In the
built tree these are `_a`, `_b`... and modules share them: some 400 names are 40. Sources stay as they are and lines stay where they
are: a traceback names the module, and the line where it is kept (staging.py).

Why this is safe: a name has one short name in the whole tree, so all that mean one thing go on to mean one thing; two names get the
same short name only if no module has both, so no object, no class with its bases and no function can hold both. A name is not shared
where that cannot be told from the sources: when a module uses it that does not define it (so does a public attribute), when it is
imported, is the whole of a text, stands in an f-string, is passed as a keyword, or set on another object than `self`.

Such a name gets one of its own, a word that MicroPython has in its ROM or `a_`, `b_`... `aa_`: one for one in the whole tree and in a script that
runs on it. It keeps its letters only where somebody else may know it: the whole of a text, in an f-string, a keyword, part of a module's path, taken
by the entry, not defined in the tree, or a name that MicroPython has too (NOT_OURS: what it has in common with CPython, and all that a module uses
which imports a board's hardware).
"""

import array
import ast
import binascii
import builtins
import datetime
import functools
import gc
import hashlib
import io
import itertools
import json
import keyword
import os
import string
import struct
import sys
import time
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

NOT_OURS = {name for thing in (
    builtins, array, binascii, functools, gc, hashlib, io, json, os, struct, sys, time, array.array, bytes, bytearray, memoryview, str, int, float, list,
    tuple, dict, set, slice, StopIteration, OSError, io.FileIO, hashlib.sha256(), datetime.datetime, datetime.timedelta) for name in dir(thing)}
COMMON = {"array", "binascii", "gc", "hashlib", "io", "micropython", "struct", "sys", "ubinascii"}     # modules whose names NOT_OURS holds, or none of ours
# Words that every MicroPython has in its ROM and that the tree has no use for: a name that is written so costs the heap nothing at all.
IN_ROM = ("isalpha", "isdigit", "islower", "isspace", "isupper", "rindex", "rsplit", "rpartition", "partition", "splitlines", "center", "lstrip", "startswith",
          "endswith", "difference", "difference_update", "discard", "intersection", "intersection_update", "isdisjoint", "issubset", "issuperset",
          "symmetric_difference", "symmetric_difference_update", "union", "popitem", "fromkeys", "setdefault", "throw", "setter", "deleter",
          "acos", "asin", "atan", "atan2", "copysign", "degrees", "fabs", "fmod", "frexp", "isfinite", "isinf", "isnan", "ldexp", "modf", "radians", "sqrt",
          "trunc")
ATTRIBUTE, VARIABLE = 0, 1     # an attribute and a variable of one name never meet, two of a kind may


@dataclass
class _Module:
    """The names of one source by what they are used as."""

    attributes: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)            # parameters, functions, classes, globals: a pump keeps their names
    own: set[str] = field(default_factory=set)             # assigned, defined or imported here
    outer: set[str] = field(default_factory=set)           # known outside, or written where they cannot be replaced
    classes: set[str] = field(default_factory=set)
    bases: set[str] = field(default_factory=set)           # of these classes
    told: set[str] = field(default_factory=set)            # in texts, f-strings, as keywords, in paths of modules: known to others by their letters
    hardware: bool = False                                 # imports what only a board has


class Namer:
    """Short names for the inner names of a set of modules. `modules`: full name -> source; `entry`: the script that starts them."""

    def __init__(self, modules: Mapping[str, str], entry: str = ""):
        found = {name: _read(ast.parse(text)) for name, text in modules.items()}
        kin = [(module, other) for module in found.values() for other in found.values() if module.bases & other.classes and module is not other]
        for module, other in kin * len(kin):    # with a base of another module an object has the attributes of both; and so has that one's base
            for mine, theirs in ((module.attributes, other.attributes), (module.own, other.own)):
                mine |= theirs
                theirs |= mine
        taken = {used for module in found.values() for used in module.attributes | module.variables | module.outer}
        stuck = {name for module in found.values() for name in module.outer} | {*dir(builtins)} | _read(ast.parse(entry)).outer
        for module in found.values():
            stuck |= {name for name in module.attributes | module.variables if name not in module.own or not _long(name)}
            stuck |= {name for name in module.attributes if not _private(name)}
        kept = {name for module in found.values() for name in module.kept}
        inner = {name for name in taken if _private(name) or name in kept} - stuck
        self._modules = {*modules}
        self.short = _shared(inner, list(found.values()), taken)
        told = {part for name in modules for part in name.split(".")} | _read(ast.parse(entry)).outer | NOT_OURS
        told = told.union(*(module.told for module in found.values()), *(module.attributes | (module.variables - module.own) for module in found.values() if module.hardware))
        ours = {name for module in found.values() for name in module.own if name in module.attributes or name in module.kept}
        self.unique = _numbered(ours - told - {*self.short}, list(found.values()), taken)

    def shortened(self, text: str) -> str:
        """A source of the set with its names short."""
        return _replaced(text, {token.start: new for token in _names(text) if (new := self.short.get(token.string) or self.unique.get(token.string))})

    def script(self, text: str) -> str:
        """The text of a script that runs on the built tree: what it imports from a module or looks up in one, and the private attributes
        of other objects that it looks into, by their short names. It passes no parameter by an inner name: who does gets a TypeError there.
        Names that are short one for one are so throughout, its own of the same letters too.
        """
        tree = ast.parse(text)
        own = _read(tree).own
        lines = text.split("\n")
        new: dict[tuple[int, int], str] = {}
        known: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if node.module in self._modules and alias.name in self.short:
                        short = self.short[alias.name]
                        new[alias.lineno, _column(lines, alias.lineno, alias.col_offset)] = short if alias.asname else f"{short} as {alias.name}"
                    if f"{node.module}.{alias.name}" in self._modules:
                        known.add(alias.asname or alias.name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in self.short and node.end_lineno and node.end_col_offset:
                module = isinstance(node.value, ast.Name) and node.value.id in known
                if module or (_private(node.attr) and node.attr not in own):
                    new[node.end_lineno, _column(lines, node.end_lineno, node.end_col_offset) - len(node.attr)] = self.short[node.attr]
        unique = {token.start: self.unique[token.string] for token in _names(text) if token.string in self.unique}
        return _replaced(text, unique | new)


def _column(lines: list[str], line: int, offset: int) -> int:
    """Characters for ast's bytes."""
    return len(lines[line - 1].encode()[:offset].decode())


def _replaced(text: str, new: Mapping[tuple[int, int], str]) -> str:
    """`text` with other names at the places (line, column) of `new`."""
    rows = text.split("\n")
    for token in reversed(_names(text)):
        (line, start), (_, end) = token.start, token.end
        if token.start in new:
            rows[line - 1] = rows[line - 1][:start] + new[token.start] + rows[line - 1][end:]
    return "\n".join(rows)


def _names(text: str) -> list[tokenize.TokenInfo]:
    return [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.NAME]


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _long(name: str) -> bool:
    return len(name) > 2


def _read(tree: ast.Module) -> _Module:
    found = _Module()
    found.hardware = bool(_imported(tree) - COMMON)
    inside = {id(node) for text in ast.walk(tree) if isinstance(text, ast.JoinedStr) for node in ast.walk(text)}
    in_class = {id(node) for kind in ast.walk(tree) if isinstance(kind, ast.ClassDef) for node in kind.body}
    in_class |= {id(part) for kind in ast.walk(tree) if isinstance(kind, ast.ClassDef) for node in kind.body if isinstance(node, ast.Assign)
                 for target in node.targets for part in ast.walk(target)}
    top = {id(part) for node in tree.body for part in ([node] if isinstance(node, ast.FunctionDef | ast.ClassDef) else ast.walk(node))}
    for node in ast.walk(tree):
        name = ""
        if isinstance(node, ast.Attribute):
            name = node.attr
            found.attributes.add(name)
            if isinstance(node.ctx, ast.Store):
                (found.own if isinstance(node.value, ast.Name) and node.value.id == "self" else found.outer).add(name)
        elif isinstance(node, ast.Name):
            name = node.id
            found.variables.add(name)
            if isinstance(node.ctx, ast.Store):
                found.own.add(name)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = node.name
            found.variables.add(name)
            found.own.add(name)
        elif isinstance(node, ast.arg):
            found.variables.add(node.arg)
            found.kept.add(node.arg)
            found.own.add(node.arg)
        elif isinstance(node, ast.keyword):
            found.outer.add(node.arg or "")
            found.told.add(node.arg or "")
        elif isinstance(node, ast.alias):
            found.outer |= {*node.name.split(".")}
            if node.asname:
                found.variables.add(node.asname)
                found.own.add(node.asname)
                found.kept.add(node.asname)
        elif isinstance(node, ast.ImportFrom):
            found.outer |= {*(node.module or "").split(".")}
            found.told |= {*(node.module or "").split(".")}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.outer.add(node.value)
            found.told.add(node.value)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.outer.add(node.name)
        if name and id(node) in inside:
            found.told.add(name)
        if isinstance(node, ast.ClassDef):
            found.classes.add(node.name)
            found.bases |= {ast.unparse(base).split(".")[-1] for base in node.bases}
        if id(node) in in_class:
            found.attributes.add(name)
        if name and (id(node) in inside or (not _private(name) and id(node) in in_class)):
            found.outer.add(name)
        if name and id(node) in top:
            found.kept.add(name)
    return found


def _imported(tree: ast.Module) -> set[str]:
    """Modules from outside that a source imports."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}


def _numbered(names: set[str], modules: list[_Module], taken: set[str]) -> dict[str, str]:
    """A name each, of its own: a word of the ROM while there are some, then a short one. The most used choose first."""
    uses = {name: sum((name in module.attributes) + (name in module.variables) for module in modules) for name in names}
    ends = itertools.chain(IN_ROM, (name[1:] + "_" for name in _letters()))
    shorts = (name for name in ends if name not in taken)
    return {name: next(shorts) for name in sorted(names, key=lambda name: (-uses[name], name)) if len(name) > 3}


def _shared(inner: set[str], modules: list[_Module], taken: set[str]) -> dict[str, str]:
    """A short name each; the same one for two names that no module has both of as the same kind. The most used choose first."""
    groups: dict[str, set[tuple[int, int]]] = {
        name: {(at, kind) for at, module in enumerate(modules) for kind, names in ((ATTRIBUTE, module.attributes), (VARIABLE, module.variables))
               if name in names}
        for name in inner}
    shorts = [name for name in itertools.islice(_letters(), len(inner) + len(taken)) if name not in taken]
    used: dict[str, set[tuple[int, int]]] = {}
    chosen: dict[str, str] = {}
    for name in sorted(inner, key=lambda name: (-len(groups[name]), name)):
        short = next(short for short in shorts if not used.get(short, set()) & groups[name])
        used.setdefault(short, set()).update(groups[name])
        chosen[name] = short
    return chosen


def _letters() -> Iterator[str]:
    """_a, _b ... _z, _aa, _ab ..."""
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            name = "_" + "".join(letters)
            if not keyword.iskeyword(name):
                yield name
