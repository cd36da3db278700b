"""Pairing: a new key for a role of a pump, taken only with the magnet at it, kept only when the pump has proved that it has it.

The key travels in the clear and the acknowledgement could be forged or lost, so neither decides: afterwards the pump is asked to prove
which key it knows, and only then the old one goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..protocol import catalogue
from ..protocol.session import KEY_BYTES, ROLES
from .errors import KeyProblem, NoConnection, ProtocolProblem, PumpRefused, ThecalError, Timeout
from .exchange import Exchange, roles_in
from .keystore import Key


@dataclass(frozen=True)
class Pairing:
    """A pairing that is done: `paired` are the roles that have a key of their own now, `kept_in` says where ours is. No key in it."""

    serial: int
    role: str
    paired: list[str]
    kept_in: str

    def to_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


def pair(exchange: Exchange, role: int) -> Pairing:
    """Draw a key for `role` (1..3), give it to the pump and keep it.

    Raises PumpRefused (without the magnet), KeyProblem (keys cannot be kept, or the pump took none), and what an Exchange raises; the old
    key stays then, and where it is not known which of the two the pump has, both are tried at the next session.
    """
    serial = exchange.greet()["serial"]
    key = Key(exchange.chance(KEY_BYTES))
    exchange.keys.expect(serial, role, key)
    trouble: ThecalError | None = None
    try:
        exchange.ask(catalogue.PAIR, role, key)
    except (PumpRefused, Timeout) as error:     # the pump may have it all the same: the acknowledgement was lost, the refusal forged
        trouble = error
    try:
        taken = exchange.proves(role, key)
    except (NoConnection, ProtocolProblem, PumpRefused, Timeout) as error:
        raise type(error)(*_unknown(error, serial, role)) from (trouble or error)
    if not taken:
        if isinstance(trouble, Timeout):    # nobody heard it yet, and the line may still bring one of its copies
            raise Timeout(*_unknown(trouble, serial, role)) from trouble
        exchange.keys.drop_pending(serial, role, key)
        raise trouble or KeyProblem("pump %d acknowledged a new %s key and does not know it: pair again" % (serial, ROLES[role]))
    exchange.keys.settle(serial, role, key)
    if role == exchange.role:
        exchange.drop_session()
    return Pairing(serial, ROLES[role], roles_in(exchange.hello()["paired"]), exchange.keys.where)


def _unknown(error: ThecalError, serial: int, role: int) -> tuple[Any, ...]:
    """The arguments of the same error, told that the outcome is open."""
    sentence = "%s; whether pump %d took the new %s key is not known, both are kept and tried at the next session" % (error, serial, ROLES[role])
    return (sentence, error.code, error.field) if isinstance(error, PumpRefused) else (sentence,)
