"""One order from block to commit: STAGE, CHECK, read-back compared byte for byte, the clinician's yes, COMMIT(digest).

The digest is recomputed here, so pump and host agree on the bytes by two roads. What was staged lives for minutes of the pump's time (DESIGN 6), and a yes
counts for what was shown: behind that life, or behind another program, the clinician must look again.
"""

from __future__ import annotations

import hashlib
from typing import Any, Callable

from ..protocol import catalogue
from ..protocol.session import PATIENT
from . import blocks
from .errors import KeyProblem, NoConnection, ProtocolProblem, PumpRefused, RequestInvalid, SessionLost, Timeout, WrongPump
from .exchange import Exchange
from .outcome import OrderResult
from .records import Status

TOO_LATE = "the confirmation came after the pump had dropped what it was for: nothing was changed; look again"
CHANGED = "the pump was given another program after it was looked at: nothing was changed; look again"
STAGE_CHUNK = 200  # bytes of a block per STAGE message (catalogue)
RESTAGE = (catalogue.R_NOT_STAGED, catalogue.R_BAD_LENGTH)  # what a pump says that was reset in the middle of a stage


def give(exchange: Exchange, kind: int, block: bytes, agreed: Callable[[bytes], bool] | None = None, before: Status | None = None) -> OrderResult:
    """Stage, check, read back, compare, ask, commit.

    A pump that lost the stage in between (a reset, another session) is staged anew with the same bytes, once, where it runs the program that it ran at
    `before` (its status before the order; without one it is not) and the stage's life is not over. Raises RequestInvalid where nobody agreed, and where they did
    too late or to what was changed meanwhile.
    """
    digest, life_s = _staged_digest(exchange, kind, block)
    if agreed is not None and not agreed(digest):
        exchange.ask(catalogue.DISCARD)
        raise RequestInvalid("the change was not confirmed; the pump keeps its program")
    try:
        said = _commit(exchange, kind, digest)
    except PumpRefused as refusal:
        if refusal.code == catalogue.R_EXPIRED:
            raise RequestInvalid(TOO_LATE) from refusal
        if refusal.code != catalogue.R_NOT_STAGED:
            raise
        _still_meant(exchange, before, life_s)
        _staged_digest(exchange, kind, block)
        said = _commit(exchange, kind, digest)
    if bytes(said["digest"]) != digest:
        raise ProtocolProblem("the pump committed another digest than the one it was told")
    return OrderResult(blocks.block_name(kind), digest.hex(), bool(said["again"]), bytes(said["running_digest"]).hex(), said["time_s"])


def _still_meant(exchange: Exchange, before: Status | None, life_s: int) -> None:
    """Raises RequestInvalid unless the pump is within the stage's life and runs the program that it ran before the order. It counts by its clock: one that
    was set meanwhile is one more reason to look again."""
    now = exchange.ask(catalogue.STATUS)
    if before is None or not 0 <= now["time_s"] - before.time_s <= life_s:
        raise RequestInvalid(TOO_LATE)
    if bytes(now["running_digest"]).hex() != before.running_digest:
        raise RequestInvalid(CHANGED)


def _commit(exchange: Exchange, kind: int, digest: bytes) -> dict[str, Any]:
    """COMMIT. A sealed refusal is the pump's own no; behind anything else the order may have been executed, and the error says so."""
    try:
        return exchange.ask(catalogue.COMMIT, digest)
    except (KeyProblem, NoConnection, ProtocolProblem, SessionLost, Timeout, WrongPump) as error:
        raise type(error)("%s; whether the pump executed the %s order is not known: look at its status and log before giving it again" % (
            error, blocks.block_name(kind))) from error


def _staged_digest(exchange: Exchange, kind: int, block: bytes) -> tuple[bytes, int]:
    """Stage and check a block; its digest and the seconds that it lives, once the pump's canonical bytes and its digest are both found to be ours."""
    for last_try in (False, True):
        try:
            said = _stage(exchange, kind, block)
            if exchange.role == PATIENT:        # may read no file: the digest below, over the same bytes, has to do
                canonical = block
            else:
                canonical = exchange.pull(catalogue.FILE_STAGED, *exchange.file_span(catalogue.FILE_STAGED))
        except PumpRefused as refusal:
            if last_try or refusal.code not in RESTAGE:
                raise
            continue
        if canonical:
            break
    if said["kind"] != kind or canonical != block:
        if exchange.role != PATIENT:
            exchange.ask(catalogue.DISCARD)
        raise ProtocolProblem("the pump's read-back of the %s block is not what was staged; nothing was committed" % blocks.block_name(kind))
    digest = hashlib.sha256(bytes((kind,)) + block).digest()[: catalogue.DIGEST_BYTES]
    if bytes(said["digest"]) != digest:
        raise ProtocolProblem("the pump's digest of the %s block is not ours; nothing was committed" % blocks.block_name(kind))
    return digest, said["expires_s"]


def _stage(exchange: Exchange, kind: int, block: bytes) -> dict[str, Any]:
    for at in range(0, len(block), STAGE_CHUNK):
        exchange.ask(catalogue.STAGE, kind, len(block), at, block[at: at + STAGE_CHUNK])
    return exchange.ask(catalogue.CHECK, refused_rows=catalogue.block(kind))
