"""A live world by hand: one-line commands that look at truth, hold a syringe, break things and mend them, each with one line of answer.

    fault NAME [VALUE]      a fault of the plant (plant_faults.FAULTS), its default where no value is given
    heal NAME               of the plant's, reed_held, store_dead
    env temperature|ambient|field VALUE     C, kPa, T: stronger than the scenario's table; `env temperature off` gives it back
    power_cut SECONDS       clock_jump SECONDS      reed_held       magnet on|off
    store_flip ADDRESS BIT  store_dead              torn_write K [nothing|half|...]     ram_flip RECORD BIT
    withdraw [UL]           a syringe takes so much out of the reservoir, or all above its residual: the answer is what came out
    fill UL [DRUG UG_ML].. into the reservoir, no drug: saline          catheter [DRUG UG_ML]..  what lies in it, no drug: aspirated
    truth [KEY]             what is really so, as JSON
    faults                  what was set, what has fired, as JSON
    help

An answer begins with "ok" or "refused: ". `thecal-sim serve --control` listens on a TCP port of this machine (endpoints.py), a terminal's
stdin does without. Commands act at the world's present instant, are recorded with it, and replayed (session.py).
"""
from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

from .plant import Plant
from .scenario_surroundings import QUANTITY_OF
from .world import World


class Control:
    """Answers commands for one world; `heard(text)` is told of each that was carried out."""

    def __init__(self, world: World, heard: Callable[[str], None] = lambda text: None) -> None:
        self._world = world
        self._heard = heard
        self._commands: dict[str, tuple[Callable[[Sequence[str]], str], int, int]] = {      # with the fewest and most words behind it
            "fault": (self._fault, 1, 2), "heal": (self._heal, 1, 1), "env": (self._env, 2, 2), "power_cut": (self._power_cut, 1, 1),
            "clock_jump": (self._clock_jump, 1, 1), "reed_held": (self._reed_held, 0, 0), "magnet": (self._magnet, 1, 1),
            "store_flip": (self._store_flip, 2, 2), "store_dead": (self._store_dead, 0, 0), "torn_write": (self._torn_write, 1, 2),
            "ram_flip": (self._ram_flip, 2, 2), "withdraw": (self._withdraw, 0, 1), "fill": (self._fill, 1, 7), "catheter": (self._catheter, 0, 6),
            "truth": (self._truth, 0, 1), "faults": (self._faults, 0, 0), "help": (self._help, 0, 0)}

    def answer(self, text: str) -> str:
        """Carry one command out; the line to show for it. Nothing is raised for what cannot be understood: the answer says so."""
        words = text.split()
        if not words:
            return "refused: no command; say help"
        if words[0] not in self._commands:
            return "refused: no command is called %r (known: %s)" % (words[0], ", ".join(self._commands))
        command, least, most = self._commands[words[0]]
        if not least <= len(words) - 1 <= most:
            return "refused: %s takes %s" % (words[0], "%d words" % least if least == most else "%d to %d words" % (least, most))
        try:
            told = command(words[1:])
        except (ValueError, OverflowError) as error:
            return "refused: %s" % error
        self._heard(text.strip())       # looks too: they cut the plant's motion where they look
        return ("ok " + told).rstrip()

    def _fault(self, words: Sequence[str]) -> str:
        self._world.fault(words[0], _number(words[1]) if len(words) > 1 else None)
        return "%s at %.6f s" % (" ".join(words), self._world.now_us / 1e6)

    def _heal(self, words: Sequence[str]) -> str:
        self._world.heal(words[0])
        return ""

    def _env(self, words: Sequence[str]) -> str:
        if words[0] not in QUANTITY_OF:
            raise ValueError("env: %r is none of %s" % (words[0], ", ".join(QUANTITY_OF)))
        if words[1] == "off":
            self._world.heal(QUANTITY_OF[words[0]])
        else:
            self._world.fault(QUANTITY_OF[words[0]], _number(words[1]))
        return ""

    def _power_cut(self, words: Sequence[str]) -> str:
        self._world.power_cut(_number(words[0]))
        return ""

    def _clock_jump(self, words: Sequence[str]) -> str:
        self._world.clock_jump(_whole(words[0]))
        return ""

    def _reed_held(self, _: Sequence[str]) -> str:
        self._world.reed_held()
        return ""

    def _magnet(self, words: Sequence[str]) -> str:
        if words[0] not in ("on", "off"):
            raise ValueError("magnet: %r is neither on nor off" % words[0])
        self._world.magnet(words[0] == "on")
        return ""

    def _store_flip(self, words: Sequence[str]) -> str:
        self._world.store_flip(_whole(words[0]), _whole(words[1]))
        return ""

    def _store_dead(self, _: Sequence[str]) -> str:
        self._world.store_dead()
        return ""

    def _torn_write(self, words: Sequence[str]) -> str:
        self._world.cut_at_write(_whole(words[0]), *words[1:])
        return ""

    def _ram_flip(self, words: Sequence[str]) -> str:
        self._world.ram_flip(words[0], _whole(words[1]))
        return ""

    def _plant(self) -> Plant:
        """The plant, brought to the present."""
        self._world.plant.advance(self._world.now_us)
        return self._world.plant

    def _withdraw(self, words: Sequence[str]) -> str:
        volume_ul = _number(words[0]) if words else math.inf
        if not volume_ul > 0:
            raise ValueError("withdraw: %s uL, it must be more than 0" % words[0])
        return "%.1f uL" % self._plant().withdraw(volume_ul)

    def _fill(self, words: Sequence[str]) -> str:
        volume_ul = _number(words[0])
        if not 0 < volume_ul < math.inf:
            raise ValueError("fill: %s uL, it must be more than 0 and finite" % words[0])
        self._plant().fill(volume_ul, _content(words[1:]))
        return ""

    def _catheter(self, words: Sequence[str]) -> str:
        self._plant().catheter(_content(words))
        return ""

    def _truth(self, words: Sequence[str]) -> str:
        truth = self._world.truth()
        if words and words[0] not in truth:
            raise ValueError("truth: %r is none of %s" % (words[0], ", ".join(truth)))
        return json.dumps(truth[words[0]] if words else truth)

    def _faults(self, _: Sequence[str]) -> str:
        return json.dumps(self._world.faults())

    def _help(self, _: Sequence[str]) -> str:
        return ", ".join(self._commands)


def _content(words: Sequence[str]) -> dict[str, float]:
    """Drugs and their ug/mL, which are the plant's ng/uL."""
    if len(words) % 2:
        raise ValueError("%s stands without its ug/mL: write DRUG UG_ML for each" % words[-1])
    return {drug: _number(value) for drug, value in zip(words[::2], words[1::2])}


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError("%r is not a number" % word) from None


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError("%r is not a whole number" % word) from None
