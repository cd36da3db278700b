"""A scenario written down: the text of a file that scenario_file.py reads and `thecal-sim run` plays, from plain tables.

The ledger makes a scenario of each of its rows and the minimiser of what is left of a schedule; both can then be run, sent and kept like
any other. What a table holds goes through unread: the loader checks the file.
"""
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

DAY_S, HOUR_S = 86_400, 3600


def text_of(scenario: Mapping[str, Any], comment: str = "") -> str:
    """The TOML of `scenario` (keys as in the file: `event` and `expect` are lists of tables), behind a comment of any number of lines.

    Raises TypeError for a value that TOML does not have.
    """
    lines = ["# " + line if line else "#" for line in comment.splitlines()]
    lines += ["%s = %s" % (key, _value(value)) for key, value in scenario.items() if not isinstance(value, (dict, list))]
    for key, value in scenario.items():
        if isinstance(value, dict):
            lines += ["", "[%s]" % key, *_pairs(value)]
    for key, value in scenario.items():
        if isinstance(value, list):
            for table in value:
                lines += ["", "[[%s]]" % key, *_pairs(table)]
    return "\n".join(lines) + "\n"


def when(at_s: int) -> str:
    """Seconds from the implant as an event's `at`: '1 d 06:00', '-2 d', '1 d 06:00:09'."""
    sign, days, rest = ("-" if at_s < 0 else ""), *divmod(abs(at_s), DAY_S)
    if not rest:
        return "%s%d d" % (sign, days)
    clock = "%02d:%02d" % (rest // HOUR_S, rest // 60 % 60) + (":%02d" % (rest % 60) if rest % 60 else "")
    return "%s%d d %s" % (sign, days, clock)


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return ["%s = %s" % (key, _value(value)) for key, value in table.items()]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)        # a TOML basic string is a JSON string
    if isinstance(value, list):
        return "[%s]" % ", ".join(map(_value, value))
    if isinstance(value, dict):
        return "{ %s }" % ", ".join("%s = %s" % (key, _value(part)) for key, part in value.items())
    raise TypeError("a scenario holds no %s: %r" % (type(value).__name__, value))
