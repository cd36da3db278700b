"""Writes integer constants out as literals before the firmware is compiled, as a C preprocessor would.

MicroPython keeps every module constant in a dict and its name in a pool for as long as the pump runs: 25 bytes a name, and the
pool doubles when it is full. The firmware has hundreds, so it would not fit its heap with them. Sources stay as they are, with a
name for every number; in the built tree uses of a constant are its value and the definition is gone. A constant is a name in
capitals that a module of protocol/ or firmware/ assigns once, to an integer that can be told without running anything. Lines stay
where they are, so a traceback names the source's line. A use that cannot be replaced keeps its definition.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CAPITALS = re.compile(r"_?[A-Z][A-Z0-9_]*")
OPERATORS = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b, ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b, ast.LShift: lambda a, b: a << b, ast.RShift: lambda a, b: a >> b, ast.BitOr: lambda a, b: a | b,
    ast.BitAnd: lambda a, b: a & b, ast.BitXor: lambda a, b: a ^ b,
}  # fmt: skip
ON_CPYTHON = 'sys.implementation.name == "cpython"'  # what is built runs on MicroPython

Names = dict[str, int]  # constants by name
Span = tuple[int, int, int, int]


@dataclass
class Module:
    """One source: its own constants, those it takes from others, the modules it knows by a name, and what it must keep."""

    name: str
    text: str
    constants: Names = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)  # local name -> module
    taken: dict[str, tuple[str, str]] = field(default_factory=dict)  # local name -> (module, constant)
    edits: list[tuple[Span, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.text)
        self.assigned: dict[str, int] = {}
        for node in ast.walk(self.tree):
            found = node.id if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)) else None
            found = node.arg if isinstance(node, ast.arg) else found
            if found:
                self.assigned[found] = self.assigned.get(found, 0) + 1


class Folder:
    """The constants of a set of modules, and every text without them. `modules`: full name ("thecal.firmware.limits") -> source."""

    def __init__(self, modules: Mapping[str, str]):
        self._modules = {name: Module(name, text) for name, text in modules.items()}
        for name in self._modules:
            self._read(name, set())
        self._needed: set[tuple[str, str]] = set()
        for module in self._modules.values():
            self._needed |= {constant for _, constant in self._find_uses(module)}

    def folded(self, name: str) -> str:
        """The text of one of the modules, with its definitions gone."""
        module = self._modules[name]
        edits = list(module.edits)
        for node in module.tree.body:
            targets = _targets(node)
            if targets and all(self._folds(name, target) for target in targets):
                edits.append((_span(node), ""))
        return _edited(module.text, edits + self._imports(module))

    def script(self, text: str) -> str:
        """The text of a script that runs on the built tree and uses its constants.

        Raises ValueError where one is used in a way that cannot be replaced: the built tree may not have it.
        """
        module = Module("", text)
        self._bind(module)
        for line, (owner, name) in self._find_uses(module):
            if self._folds(owner, name):
                raise ValueError(f"line {line}: {owner}.{name} is gone from the built tree and cannot be replaced here: "
                                 "give it an expression of its own")
        return _edited(text, module.edits + self._imports(module))

    def _folds(self, module: str, name: str) -> bool:
        return name in self._modules[module].constants and (module, name) not in self._needed

    def _read(self, name: str, under_way: set[str]) -> None:
        """Evaluate the constants of a module behind those of the modules that it imports."""
        module = self._modules[name]
        if name in under_way or module.aliases or module.taken or module.constants:
            return
        self._bind(module)
        for other in {*module.aliases.values(), *(owner for owner, _ in module.taken.values())}:
            self._read(other, under_way | {name})
        for node in module.tree.body:
            targets = _targets(node)
            if not targets or not isinstance(node, ast.Assign):
                continue
            values = self._values(module, node.value, len(targets))
            for target, value in zip(targets, values or (), strict=False):
                if CAPITALS.fullmatch(target) and module.assigned[target] == 1:
                    module.constants[target] = value

    def _bind(self, module: Module) -> None:
        """What the imports at the top of a module mean, as far as they are of the set."""
        package = module.name.split(".")[:-1]
        for node in module.tree.body:
            if not isinstance(node, ast.ImportFrom):
                continue
            base = package[:len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                local = alias.asname or alias.name
                if f"{source}.{alias.name}" in self._modules:
                    module.aliases[local] = f"{source}.{alias.name}"
                elif source in self._modules:
                    module.taken[local] = (source, alias.name)

    def _values(self, module: Module, node: ast.expr, count: int) -> list[int] | None:
        """The `count` integers of the right side of an assignment, or None."""
        if count > 1 and isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
            bounds = [self._value(module, part) for part in node.args]
            return None if None in bounds else list(range(*bounds))  # type: ignore[arg-type]
        parts = node.elts if count > 1 and isinstance(node, ast.Tuple) else [node] * (count == 1)
        values = [self._value(module, part) for part in parts]
        return None if None in values or len(values) != count else values  # type: ignore[return-value]

    def _value(self, module: Module, node: ast.expr) -> int | None:
        if isinstance(node, ast.Constant):
            return node.value if type(node.value) is int else None
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            value = self._value(module, node.operand)
            return None if value is None else -value
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            left, right = self._value(module, node.left), self._value(module, node.right)
            return None if left is None or right is None else OPERATORS[type(node.op)](left, right)
        if isinstance(node, ast.Compare) and ast.unparse(node).replace("'", '"') == ON_CPYTHON:
            return 0
        found = self._constant(module, node)
        return self._modules[found[0]].constants.get(found[1]) if found else module.constants.get(node.id) if isinstance(node, ast.Name) else None

    def _constant(self, module: Module, node: ast.AST) -> tuple[str, str] | None:
        """(module, constant) that a name or an attribute means."""
        if isinstance(node, ast.Name):
            if node.id in module.constants and module.name:
                return module.name, node.id
            found = module.taken.get(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.aliases:
            found = module.aliases[node.value.id], node.attr
        else:
            return None
        return found if found and found[1] in self._modules[found[0]].constants else None

    def _find_uses(self, module: Module) -> list[tuple[int, tuple[str, str]]]:
        """Note the edits that replace uses; returns (line, (module, constant)) of those that cannot be replaced.

        Such are names that this module assigns to as well, those inside an f-string (whose places Python 3.11 does not tell), and all
        of a module that is handed on as a value: who knows what is asked of it there.
        """
        stuck: list[tuple[int, tuple[str, str]]] = []
        bases = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
        inside = {id(node) for text in ast.walk(module.tree) if isinstance(text, ast.JoinedStr) for node in ast.walk(text)}
        for node in ast.walk(module.tree):
            if not isinstance(node, (ast.Name, ast.Attribute)) or not isinstance(node.ctx, ast.Load):
                continue
            if isinstance(node, ast.Name) and node.id in module.aliases and id(node) not in bases:
                owner = module.aliases[node.id]
                stuck += [(node.lineno, (owner, name)) for name in self._modules[owner].constants]
            found = self._constant(module, node)
            if found is None:
                continue
            local = node.id if isinstance(node, ast.Name) else node.value.id  # type: ignore[attr-defined]
            if id(node) in inside or module.assigned.get(local, 0) > (found[0] == module.name):
                stuck.append((node.lineno, found))
                continue
            value = self._modules[found[0]].constants[found[1]]
            module.edits.append((_span(node), str(value) if value >= 0 else f"({value})"))
        return stuck

    def _imports(self, module: Module) -> list[tuple[Span, str]]:
        """Imports without the constants that nobody needs any more."""
        edits: list[tuple[Span, str]] = []
        for node in module.tree.body:
            if not isinstance(node, ast.ImportFrom):
                continue
            kept = [alias for alias in node.names if not self._dropped(module, alias.asname or alias.name)]
            if len(kept) == len(node.names):
                continue
            text = ", ".join(alias.name + (f" as {alias.asname}" if alias.asname else "") for alias in kept)
            edits.append((_span(node), f"from {'.' * node.level}{node.module or ''} import {text}" if kept else ""))
        return edits

    def _dropped(self, module: Module, local: str) -> bool:
        if local in module.taken:
            owner, name = module.taken[local]
            return self._folds(owner, name)
        if local in module.aliases:  # a module of which only constants were used
            uses = [node for node in ast.walk(module.tree) if isinstance(node, ast.Name) and node.id == local]
            bases = [node for node in ast.walk(module.tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
                     and node.value.id == local]
            return bool(uses) and len(bases) == len(uses) and all(self._constant(module, node) for node in bases)
        return False


def _targets(node: ast.stmt) -> list[str]:
    """The plain names that a statement of a module assigns to."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return []
    target = node.targets[0]
    parts = target.elts if isinstance(target, ast.Tuple) else [target]
    names = [part.id for part in parts if isinstance(part, ast.Name)]
    return names if len(names) == len(parts) else []


def _span(node: ast.expr | ast.stmt) -> Span:
    return node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or 0


def _edited(text: str, edits: Iterable[tuple[Span, str]]) -> str:
    """The text with each span replaced; lines keep their numbers. An edit inside a longer one is left out."""
    lines = text.encode().split(b"\n")
    outer: list[tuple[Span, str]] = []
    for edit in sorted(edits, key=lambda edit: (edit[0][:2], tuple(-at for at in edit[0][2:]))):
        if not outer or edit[0][:2] >= outer[-1][0][2:]:
            outer.append(edit)
    for (first, start, last, end), new in reversed(outer):
        rest = lines[last - 1][end:]
        lines[first - 1] = lines[first - 1][:start] + new.encode() + (rest if first == last else b"")
        for line in range(first, last):
            lines[line] = b""
        if last > first:
            lines[last - 1] = rest.lstrip() if rest.strip().startswith(b"#") or not rest.strip() else rest
    return b"\n".join(lines).decode()
