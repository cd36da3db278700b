"""The story of a field action: a recall played as a scenario, told in one paragraph with the figures of this run.

A scenario may hold a table [field_action]: `when`, `real` (what the real device did, with its source) and `ours`, a text in which
`{key}` stands for the value found for the expectation that carries `as = "key"`, `{key:.1f}` for the same with a format, `{key:.1f/60}` for a sixtieth of it (minutes told in hours).
So the paragraph cannot say a figure that no bound holds.
"""
from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from typing import Any

from .scenario_values import ScenarioError

NOTHING = "-"       # a value that was not found


def check(scenario: Any) -> None:
    """Every placeholder of `ours` is an expectation's key, each key stands once and is told. Raises ScenarioError."""
    where = scenario.file + ": [field_action]"
    keys = [wanted.key for wanted in scenario.expectations if wanted.key]
    for key in keys:
        if not key.isidentifier():
            raise ScenarioError("%s: as is %r, it must be a plain name such as 'detect_min'" % (scenario.file, key))
        if keys.count(key) > 1:
            raise ScenarioError("%s: as is %r for %d expectations, it must be for one" % (scenario.file, key, keys.count(key)))
    if not scenario.field_action:
        if keys:
            raise ScenarioError("%s: as is %r, but there is no [field_action] to tell it" % (scenario.file, keys[0]))
        return
    try:
        told = {name for _, name, _, _ in string.Formatter().parse(scenario.field_action["ours"]) if name is not None}
        _text(scenario.field_action["ours"], dict.fromkeys(told & set(keys), 1.0))
    except KeyError as error:
        raise ScenarioError("%s: ours tells {%s}, which no expectation has as its 'as' (there are: %s)" % (where, error.args[0], ", ".join(keys))) from error
    except (ValueError, IndexError) as error:
        raise ScenarioError("%s: ours cannot be filled in: %s" % (where, error)) from error
    for key in keys:
        if key not in told:
            raise ScenarioError("%s: ours does not tell {%s}" % (where, key))


def tell(scenario: Any, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """{when, real, ours} with the values of this run's rows filled in; {} for a scenario that is no field action."""
    if not scenario.field_action:
        return {}
    found = {row["name"]: row["value"] for row in rows}
    values = {wanted.key: found.get(wanted.name) for wanted in scenario.expectations if wanted.key}
    return {**scenario.field_action, "ours": _text(scenario.field_action["ours"], values)}


class _Figure(float):
    def __format__(self, spec: str) -> str:
        form, _, share = spec.partition("/")
        return format(float(self) / (float(share) if share else 1.0), form)


class _Missing:
    def __format__(self, _: str) -> str:
        return NOTHING


def _text(template: str, values: Mapping[str, Any]) -> str:
    return template.format_map({key: _Missing() if value is None else _Figure(value) for key, value in values.items()})
