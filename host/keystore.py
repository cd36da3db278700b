"""The keys of pumps, one per serial and role: in a file that only its owner can read, or one key in the environment.

$THECAL_KEYS names the file (default ~/.config/thecal/keys.json); $THECAL_KEY is one key in hexadecimal and takes the file's place. A key is
never an argument, never printed, never part of an error's sentence. While a pairing is not yet proved the old key stays beside the new
one, so that a lost acknowledgement locks nobody out.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

try:
    import fcntl
except ImportError:     # Windows: no advisory locks and no mode bits either; the folder's own rights have to do
    fcntl = None  # type: ignore[assignment]

from ..protocol.session import KEY_BYTES, ROLES, shelf_key
from .errors import KeyProblem, RequestInvalid, UsageProblem

FILE_VARIABLE, KEY_VARIABLE = "THECAL_KEYS", "THECAL_KEY"
DEFAULT_FILE = "~/.config/thecal/keys.json"
SCHEMA = "thecal.keys/1"
ROLE_NAMES = ROLES[1:]
OTHERS_READ_OR_WRITE = 0o077
OTHERS_WRITE = 0o022


class Key(bytes):
    """The 32 bytes of a role, which show themselves to nobody who prints them."""

    def __repr__(self) -> str:
        return "<key>"

    __str__ = __repr__


def role_number(role: str) -> int:
    """The wire's number of a role's name. Raises UsageProblem listing the roles there are."""
    if role not in ROLE_NAMES:
        raise UsageProblem("role %r is none of: %s" % (role, ", ".join(ROLE_NAMES)))
    return ROLES.index(role)


def environment_has_keys() -> bool:
    """True when $THECAL_KEY or $THECAL_KEYS is set."""
    return bool(os.environ.get(KEY_VARIABLE) or os.environ.get(FILE_VARIABLE))


@dataclass
class _Entry:
    """What is kept for one pump and role. `pending`: keys that were sent and that the pump has not yet proved to know, oldest first."""

    key: Key | None = None
    pending: tuple[Key, ...] = ()


Table = dict[tuple[int, int], _Entry]       # by (serial, role)


class Keystore:
    """Keys by pump serial and role number. Every method may raise KeyProblem for a file that is readable by others, damaged or not writable.

    The file is read when a key is needed and not before: what needs no key (the emergency card) works with a broken one.
    """

    def __init__(self, path: Path | None = None, only: Key | None = None):
        """`path`: the file, None for this process alone. `only`: the one key, for every pump and role."""
        self._path = path.expanduser() if path is not None else None
        self._only = only
        self._kept: Table = {}

    @classmethod
    def memory(cls) -> Keystore:
        """Keys that end with this process: for simulated pumps, which do too."""
        return cls()

    @classmethod
    def from_environment(cls) -> Keystore:
        """$THECAL_KEY, else the file $THECAL_KEYS, else the default file. Raises KeyProblem when $THECAL_KEY is not a key."""
        given = os.environ.get(KEY_VARIABLE)
        if given:
            return cls(only=_key(given, "environment variable %s" % KEY_VARIABLE))
        return cls(Path(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE))

    def __repr__(self) -> str:
        return "<Keystore in %s>" % self.where

    @property
    def where(self) -> str:
        """Where the keys are, for people."""
        if self._only is not None:
            return "environment variable %s" % KEY_VARIABLE
        return str(self._path) if self._path is not None else "the memory of this process"

    @property
    def lasting(self) -> bool:
        """False when the keys end with this process."""
        return self._only is not None or self._path is not None

    # ---------------------------------------------------------------------------------------------- keys
    def candidates(self, serial: int, role: int) -> list[Key]:
        """The keys that the pump may have: the one that it proved last, then those whose pairing was never acknowledged."""
        if self._only is not None:
            return [self._only]
        entry = self._read().get((serial, role), _Entry())
        return ([entry.key] if entry.key is not None else []) + list(entry.pending)

    def ever_proved(self, serial: int, role: int) -> bool:
        """Whether a pump has ever proved to know a key of ours for this role: from then on the public shelf key is never tried."""
        return self._only is not None or self._read().get((serial, role), _Entry()).key is not None

    def listening_key(self, serial: int, role: int) -> bytes:
        """What to read along with (raw.py): our key, and without one the public one of a pump that was never paired."""
        return next(iter(self.candidates(serial, role)), shelf_key(serial, role))

    def way_out(self, serial: int) -> str:
        """What to do with a key that is not the pump's."""
        return "unset %s" % KEY_VARIABLE if self._only is not None else "'thecal keys forget %d'" % serial

    def expect(self, serial: int, role: int, key: bytes) -> None:
        """Keep `key` beside the present one, before it is sent. Raises UsageProblem where the environment would hide it."""
        if self._only is not None:
            raise UsageProblem("%s is set and would hide the new key: unset it and pair again" % KEY_VARIABLE)
        with self._changing() as table:
            table.setdefault((serial, role), _Entry()).pending += (Key(key),)

    def settle(self, serial: int, role: int, key: bytes) -> None:
        """The pump has proved that it knows `key`: it is the one, and nothing is pending any more."""
        if self._only is not None or self._read().get((serial, role)) == _Entry(Key(key)):
            return
        with self._changing() as table:
            table[serial, role] = _Entry(Key(key))

    def drop_pending(self, serial: int, role: int, key: bytes) -> None:
        """The pump did not take this new key. Another that is pending stays: the pump may have that one."""
        with self._changing() as table:
            entry = table.pop((serial, role), _Entry())
            entry.pending = tuple(other for other in entry.pending if other != key)
            if entry != _Entry():
                table[serial, role] = entry

    def rename(self, old: int, new: int) -> None:
        """The pump has got another serial: its keys go with it."""
        if self._only is not None or old == new or not any(serial == old for serial, _ in self._read()):
            return
        with self._changing() as table:
            for role in range(1, len(ROLES)):
                entry = table.pop((old, role), None)
                if entry is not None:
                    table[new, role] = entry

    def forget(self, serial: int) -> list[str]:
        """Drop all keys of a pump; the roles that had one. Raises RequestInvalid when there was none."""
        with self._changing() as table:
            roles = sorted(role for number, role in table if number == serial)
            for role in roles:
                del table[serial, role]
        if not roles:
            raise RequestInvalid("no key for pump %d in %s" % (serial, self.where), "serial")
        return [ROLES[role] for role in roles]

    def listing(self) -> list[tuple[int, str, bool]]:
        """(serial, role, whether a pairing was never acknowledged), sorted; no key among it."""
        return [(serial, ROLES[role], bool(entry.pending)) for (serial, role), entry in sorted(self._read().items(), key=lambda item: item[0])]

    # ---------------------------------------------------------------------------------------------- the file
    def _read(self) -> Table:
        if self._path is None:
            return self._kept
        try:
            descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))    # a pipe in its place must not hold us up
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise KeyProblem("keys file %s cannot be read: %s" % (self._path, error.strerror)) from error
        try:
            self._check(os.fstat(descriptor))
            with os.fdopen(os.dup(descriptor), "rb") as file:
                text = file.read()
        finally:
            os.close(descriptor)
        return _parse(text, self._path)

    def _check(self, found: os.stat_result) -> None:
        """Raise KeyProblem for a file that others can read, own or put another in the place of."""
        assert self._path is not None
        if not stat.S_ISREG(found.st_mode):
            raise KeyProblem("keys file %s is not a file" % self._path)
        if os.name == "nt":
            return
        if found.st_uid != os.getuid():
            raise KeyProblem("keys file %s belongs to another user (uid %d)" % (self._path, found.st_uid))
        if found.st_mode & OTHERS_READ_OR_WRITE:
            raise KeyProblem("keys file %s is open to others (mode %03o): chmod 600 it, and pair anew if somebody may have read it" % (
                self._path, stat.S_IMODE(found.st_mode)))
        folder = self._path.resolve().parent
        mode = folder.stat().st_mode
        if mode & OTHERS_WRITE and not mode & stat.S_ISVTX:
            raise KeyProblem("others can replace the keys file: folder %s has mode %03o; chmod 700 it" % (folder, stat.S_IMODE(mode)))

    @contextmanager
    def _changing(self) -> Iterator[Table]:
        """The table, written back at the end; another programmer on this computer waits meanwhile."""
        if self._only is not None:
            raise UsageProblem("%s is set: unset it to change the keys that are kept" % KEY_VARIABLE)
        if self._path is None:
            yield self._kept
            return
        real = self._path.resolve()     # what stands behind a link is replaced, not the link
        try:
            real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(real.parent):
                table = self._read()
                yield table
                _write(real, table)
        except OSError as error:
            raise KeyProblem("keys file %s cannot be written: %s" % (self._path, error.strerror)) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, table: Table) -> None:
    """Whole or not at all: a new file of mode 0600 takes the old one's place. Raises OSError."""
    pumps: dict[str, dict[str, dict[str, Any]]] = {}
    for (serial, role), entry in sorted(table.items(), key=lambda item: item[0]):
        kept: dict[str, Any] = {} if entry.key is None else {"key": bytes(entry.key).hex()}
        if entry.pending:
            kept["pending"] = [bytes(key).hex() for key in entry.pending]
        pumps.setdefault(str(serial), {})[ROLES[role]] = kept
    new = path.with_name("%s.%d.new" % (path.name, os.getpid()))
    new.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            json.dump({"schema": SCHEMA, "pumps": pumps}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def _parse(text: bytes, path: Path) -> Table:
    """The table in a file's bytes. Raises KeyProblem naming what is wrong, never what is in it."""
    try:
        read = json.loads(text)
    except ValueError:
        raise KeyProblem(_damaged(path, "it is not JSON")) from None     # the decoder's own error carries the whole text
    if not isinstance(read, dict) or read.get("schema") != SCHEMA or not isinstance(read.get("pumps"), dict):
        raise KeyProblem(_damaged(path, "it is not of schema %s" % SCHEMA))
    table: Table = {}
    for serial, roles in read["pumps"].items():
        if not (serial.isascii() and serial.isdigit()) or not isinstance(roles, dict):
            raise KeyProblem(_damaged(path, "a pump's entry is not one"))
        for role, kept in roles.items():
            where = "the %s entry of pump %s" % (role if role in ROLE_NAMES else "odd", serial)
            if role not in ROLE_NAMES or not isinstance(kept, dict) or not kept or set(kept) - {"key", "pending"}:
                raise KeyProblem(_damaged(path, "%s is not one" % where))
            said, pending = _damaged(path, where), kept.get("pending", [])
            table[int(serial), ROLES.index(role)] = _Entry(
                _key(kept["key"], said) if "key" in kept else None,
                tuple(_key(one, said) for one in (pending if isinstance(pending, list) else [pending])))    # older files hold a single one
    return table


def _damaged(path: Path, why: str) -> str:
    return "keys file %s is damaged (restore it, or remove it and pair again): %s" % (path, why)


def _key(text: Any, where: str) -> Key:
    """A key from its hexadecimal digits. Raises KeyProblem without showing them."""
    digits = text.strip() if isinstance(text, str) else ""
    if len(digits) != 2 * KEY_BYTES or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
        raise KeyProblem("%s: a key is %d hexadecimal digits, this is not one" % (where, 2 * KEY_BYTES))
    return Key(bytes.fromhex(digits))
