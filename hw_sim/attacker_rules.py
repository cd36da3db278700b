"""The rules of an attacker as text: ACTION[=SHARE][,option=...], see attacker.py for what there is. Drawn from his seed.

A rule is called for each frame with what goes on so far, a list of (as if sent by, bytes), and gives back what goes on instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocol import catalogue, frame as framing
from .attacker_frames import Heard, mended, stuff
from .capture import SENDERS
from .impairment import time_us

if TYPE_CHECKING:
    from .attacker import Attacker

MOST_FLOOD_PER_S = 5000     # a line of 115200 carries 1,645 of the shortest frames a second
FLOODS = ("status", "garbage", "forged", "again", "past")
MOST_BEHIND = 1000
MOST_HELD_US = 3_600_000_000    # longer than any session or stage lives
Out = list[tuple[str, bytes]]
Rule = Callable[[Heard, Out, "Attacker"], Out]


class RuleError(ValueError):
    """A rule that cannot be; one sentence with the rule, the value and the bound."""


class TextRule:
    """A rule made from its text; see the module. Raises RuleError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.action, share, options = _parts(text)
        if self.action not in _ACTIONS:
            raise RuleError("rule %r: action is %r, known are %s" % (text, self.action, ", ".join([*_ACTIONS, "flood"])))
        self.share = _number(text, share or "1", 1.0)
        self.message = _message(text, options.get("of"))
        self.sender = options.get("from")
        if self.sender not in (None, *SENDERS):
            raise RuleError("rule %r: from is %r, it must be host or pump" % (text, self.sender))
        if options.get("mend", "yes") not in ("yes", "no"):
            raise RuleError("rule %r: mend is %r, it must be yes or no" % (text, options["mend"]))
        self.mend = options.get("mend", "yes") == "yes"
        self.for_us = _time_us(text, options["for"]) if "for" in options else 0
        self.behind = _behind(text, options["behind"]) if "behind" in options else int(not self.for_us)

    def __call__(self, heard: Heard, out: Out, attacker: Attacker) -> Out:
        if self.message not in (-1, heard.message) or self.sender not in (None, heard.sender) or attacker.draw.random() >= self.share:
            return out
        changed = _ACTIONS[self.action](self, heard, out, attacker)
        if changed != out:
            attacker.count(self.action)
        return changed


def _drop(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    return [piece for piece in out if piece != (heard.sender, heard.raw)]


def _duplicate(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    return [*out, (heard.sender, heard.raw)]


def _reorder(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    """The first copy that is still there goes later; behind `duplicate` one goes now and one later."""
    held = next((piece for piece in out if piece[0] == heard.sender), None)
    if held is None or not heard.body:
        return out
    attacker.hold(held[0], held[1], heard.t_us, behind=rule.behind, for_us=rule.for_us)
    at = out.index(held)
    return out[:at] + out[at + 1:]


def _reflect(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    return [*out, (SENDERS[heard.sender == "host"], heard.raw)]


def _replay(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    old = attacker.past(heard.sender, rule.message)
    return [*out, (heard.sender, attacker.draw.choice(old).raw)] if old else out


def _splice(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    old = attacker.past(heard.sender, -1)
    if not old or not heard.body:
        return out
    tail = attacker.draw.choice(old).body
    cut = attacker.draw.randrange(1, min(len(heard.body), len(tail)) - framing.CRC_BYTES + 1)
    return _instead(rule, heard, out, attacker, heard.body[:cut] + tail[cut:-framing.CRC_BYTES])


def _truncate(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    """Mended, the payload ends early and what stood behind it still does; else the frame does, wherever."""
    if len(heard.body) <= framing.MIN_BODY:
        return out
    content = heard.body[:-framing.CRC_BYTES]
    cut = attacker.draw.randrange(framing.HEADER, len(content))
    rest = content[framing.HEADER + heard.body[2]:] if rule.mend else b""
    return _instead(rule, heard, out, attacker, content[:min(cut, len(content) - len(rest) - 1)] + rest)


def _corrupt(rule: TextRule, heard: Heard, out: Out, attacker: Attacker) -> Out:
    if not heard.body:
        return out
    content = bytearray(heard.body[:-framing.CRC_BYTES])
    for bit in attacker.draw.sample(range(8 * len(content)), attacker.draw.randrange(1, 4)):
        content[bit >> 3] ^= 1 << (bit & 7)
    return _instead(rule, heard, out, attacker, bytes(content))


def _instead(rule: TextRule, heard: Heard, out: Out, attacker: Attacker, content: bytes) -> Out:
    """The frame is replaced by one around `content`: mended, or with the CRC it had."""
    raw = mended(content, attacker.schema_crc) if rule.mend else stuff(content + heard.body[-framing.CRC_BYTES:])
    return [(sender, raw if (sender, data) == (heard.sender, heard.raw) else data) for sender, data in out]


_ACTIONS: dict[str, Callable[[TextRule, Heard, Out, Attacker], Out]] = {
    "drop": _drop, "duplicate": _duplicate, "replay": _replay, "reorder": _reorder, "reflect": _reflect, "splice": _splice, "truncate": _truncate,
    "corrupt": _corrupt}
_OPTIONS = {"flood": ("with",), "reorder": ("of", "from", "behind", "for")}


def _parts(text: str) -> tuple[str, str, dict[str, str]]:
    """(action, its amount or "", options) of a rule's text."""
    (action, _, amount), *rest = ([word.strip() for word in part.partition("=")] for part in text.split(","))
    known = _OPTIONS.get(action, ("of", "from", "mend"))
    options: dict[str, str] = {}
    for name, mark, value in rest:
        if name not in known or not mark:
            raise RuleError("rule %r: %r is no option of %s, known are %s" % (text, name, action, ", ".join(one + "=..." for one in known)))
        options[name] = value
    return action, amount, options


def _number(text: str, value: str, most: float) -> float:
    try:
        number = float(value)
    except ValueError:
        raise RuleError("rule %r: %r must be a number between 0 and %g" % (text, value, most)) from None
    if not 0 <= number <= most:
        raise RuleError("rule %r: %s must lie between 0 and %g" % (text, value, most))
    return number


def _behind(text: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= MOST_BEHIND):
        raise RuleError("rule %r: behind is %r, it must be a whole number of frames, 1 to %d" % (text, value, MOST_BEHIND))
    return int(value)


def _time_us(text: str, value: str) -> int:
    try:
        found_us = time_us(value)
    except ValueError:
        raise RuleError("rule %r: for is %r, it must be a time with its unit, us, ms or s: for=200ms" % (text, value)) from None
    if not 1 <= found_us <= MOST_HELD_US:
        raise RuleError("rule %r: for is %s, it must lie between 1 us and %d s" % (text, value, MOST_HELD_US // 1_000_000))
    return round(found_us)


def _message(text: str, name: str | None) -> int:
    if name is None:
        return -1
    for row in catalogue.MESSAGES:
        if row[1] == name:
            return int(row[0])
    raise RuleError("rule %r: of is %r, no message of the catalogue has this name" % (text, name))


def flood_rule(text: str) -> tuple[float, str]:
    """(frames a second, what with) of the text of a flood. Raises RuleError."""
    _, amount, options = _parts(text)
    if not amount.endswith("/s"):
        raise RuleError("rule %r: a flood needs its rate, for example flood=200/s" % text)
    per_s, what = _number(text, amount[:-2], MOST_FLOOD_PER_S), options.get("with", "status")
    check_flood(per_s, what)
    return per_s, what


def check_flood(per_s: float, what: str) -> None:
    """Raises RuleError for a flood that cannot be."""
    if not 0 < per_s <= MOST_FLOOD_PER_S:
        raise RuleError("a flood of %g frames/s: it must be above 0 and at most %d" % (per_s, MOST_FLOOD_PER_S))
    if what not in FLOODS:
        raise RuleError("a flood with %r: known are %s" % (what, ", ".join(FLOODS)))
