"""What befalls the line of a scenario: somebody who sits on it for hours, and a host that dies or stalls in the middle of an order.

An attack is one or more rules of an Attacker (attacker.py), from its event on for as long as it says; he may listen first, before his floods
begin. A host dies by being heard no more: from the pump's first answer on, or from the one that took what it had staged, nothing that it
sends arrives, and what was ordered so must not be done. A host stalls by its commit coming late. Both are events of the wire alone (R13): who is at its ends is told nothing.
Each has fired with the first frame that is lost, late, changed or somebody else's.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..protocol import catalogue
from .attacker import Attacker
from .attacker_frames import Heard
from .attacker_rules import Out
from .world import World

SECOND_US = 1_000_000
# A host that dies is heard no more behind the pump's answer to this message; None: to any.
PHASES = {"session": None, "stage": catalogue.STAGE | catalogue.REPLY_BIT}
AFTERWARDS_US = 5 * SECOND_US       # behind the last frame of a stalled host the line is free again


class Meddler(Attacker):
    """An attacker whose first deed is told to `fired(t_us)`."""

    def __init__(self, rules: Any, fired: Callable[[int], None], seed: int = 1) -> None:
        super().__init__(rules, seed=seed)
        self._fired = fired

    def send(self, sender: str, data: bytes, t_us: int) -> None:
        """As of Attacker."""
        self._fired(t_us)
        super().send(sender, data, t_us)

    def _note(self, heard: Heard, out: Out) -> None:
        if out != [(heard.sender, heard.raw)]:
            self._fired(heard.t_us)
        super()._note(heard, out)


def attack(world: World, rules: list[str], for_s: int, listens_s: int = 0) -> None:
    """Somebody who does all of `rules` sits on the world's line for `for_s` (above 0) and floods it when `listens_s` are over.

    Drawn from the world's seed. Raises RuleError for a rule that cannot be.
    """
    attacker = Meddler(rules, lambda t_us: world.log_of_faults.fire("attack", t_us), world.seed)
    world.happens("attack", "; ".join(rules), "; ".join(rules), at_once=False)
    floods, attacker.floods = attacker.floods, []
    attacker.attach(world)

    def begin() -> None:
        for per_s, what in floods:
            attacker.flood(world, per_s, what=what)

    world.at(world.now_us + listens_s * SECOND_US, begin)
    world.at(world.now_us + for_s * SECOND_US, lambda: _leave(world, attacker, "attack"))


def _leave(world: World, attacker: Attacker, name: str) -> None:
    if world.line.middle == attacker.hear:
        world.line.middle = None
        world.log_of_faults.end(name, world.now_us)


@contextmanager
def failing_host(world: World, values: Mapping[str, Any], read: Mapping[str, Any]) -> Iterator[None]:
    """While an event with `dies` (of PHASES) or `stalls` (seconds) is carried out its host fails so; without either nothing happens."""
    if "dies" in values:
        attacker = _dying(world, PHASES[values["dies"]], values["dies"])
        try:
            yield
        finally:
            _leave(world, attacker, "host_dies")
    elif "stalls" in values:
        _stalling(world, read["stalls"])
        yield
    else:
        yield


def _dying(world: World, last: int | None, phase: str) -> Attacker:
    dead = False

    def rule(heard: Heard, out: Out, attacker: Attacker) -> Out:
        nonlocal dead
        if dead and heard.sender == "host":
            return []
        dead = dead or (heard.sender == "pump" and last in (None, heard.message))
        return out

    world.happens("host_dies", phase, "behind %s" % phase, at_once=False)
    return Meddler([rule], lambda t_us: world.log_of_faults.fire("host_dies", t_us)).attach(world)


def _stalling(world: World, for_s: int) -> None:
    """Commits that the host sends from now on come `for_s` late; then the line is free."""
    def rule(heard: Heard, out: Out, attacker: Attacker) -> Out:
        if heard.sender != "host" or heard.message != catalogue.COMMIT:
            return out
        attacker.hold("host", heard.raw, heard.t_us, for_us=for_s * SECOND_US)
        return []

    world.happens("host_stalls", for_s, "%d s before its commit" % for_s, at_once=False)
    attacker = Meddler([rule], lambda t_us: world.log_of_faults.fire("host_stalls", t_us)).attach(world)
    world.at(world.now_us + 2 * for_s * SECOND_US + AFTERWARDS_US, lambda: _leave(world, attacker, "host_stalls"))
