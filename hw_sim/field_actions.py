"""The field actions of implanted pumps, from field_actions.toml: each played as scenarios of ours or declared as not played; and the page of their stories.

Every field-*.toml among our scenarios stands in the list, and each name in the list is such a scenario. Whoever reads a bad list gets one sentence
(FieldActionsError).
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from . import toml_table
from .report import table
from .report_page import page
from .scenario_file import FOLDER

DATA = Path(__file__).parent / "field_actions.toml"
SCHEMA, RESULT_SCHEMA = "thecal.field-actions/1", "thecal.field/1"
PREFIX = "field-"
TEXTS = ("when", "what", "source")
PLAYED, DECLARED = "scenario", "declared"


class FieldActionsError(ValueError):
    """The list cannot be used; the message names file, entry and value."""

    exit_status = 2


@dataclass(frozen=True)
class Action:
    """One field action: the scenarios that play it, or the sentence that says why none does."""

    when: str
    what: str
    source: str
    scenarios: tuple[str, ...]
    declared: str


def load(path: Path = DATA, folder: Path = FOLDER) -> list[Action]:
    """The list in its order. Raises FieldActionsError: unreadable, a key missing or unknown, a scenario that is none, stands twice or not at all."""
    data = toml_table.read(path, FieldActionsError)
    if data.get("schema") != SCHEMA or set(data) != {"schema", "action"} or not isinstance(data["action"], list):
        raise FieldActionsError("%s: it must have schema = %r and [[action]] tables, and nothing else" % (path.name, SCHEMA))
    found = [_action("%s: action %d" % (path.name, number), entry) for number, entry in enumerate(data["action"], 1)]
    ours, named = sorted(path.stem for path in folder.glob(PREFIX + "*.toml")), [name for action in found for name in action.scenarios]
    for name in named:
        if name not in ours or named.count(name) > 1:
            raise FieldActionsError("%s: scenario %r %s" % (path.name, name, "stands there twice" if name in ours else "is none of ours: %s" % ", ".join(ours)))
    for name in ours:
        if name not in named:
            raise FieldActionsError("%s: scenario %r stands under no action" % (path.name, name))
    return found


def _action(where: str, entry: Mapping[str, Any]) -> Action:
    for key in TEXTS:
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise FieldActionsError("%s: %s is %r, it must be text" % (where, key, entry.get(key)))
    for key in entry:
        if key not in (*TEXTS, PLAYED, DECLARED):
            raise FieldActionsError("%s: key %r is none of %s" % (where, key, ", ".join((*TEXTS, PLAYED, DECLARED))))
    if (PLAYED in entry) == (DECLARED in entry):
        raise FieldActionsError("%s (%s): it needs either %r, a list of names, or %r, the reason" % (where, entry["what"], PLAYED, DECLARED))
    scenarios, reason = entry.get(PLAYED, []), entry.get(DECLARED, "")
    if not isinstance(scenarios, list) or (PLAYED in entry) != bool(scenarios) or not all(isinstance(name, str) for name in scenarios):
        raise FieldActionsError("%s (%s): %s is %r, it must be a list of names" % (where, entry["what"], PLAYED, scenarios))
    if not isinstance(reason, str) or reason and not reason.endswith("."):
        raise FieldActionsError("%s (%s): %s is %r, it must be a sentence" % (where, entry["what"], DECLARED, reason))
    return Action(entry["when"], entry["what"], entry["source"], tuple(scenarios), reason)


def rows(actions: Iterable[Action], runs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each scenario of each action and for each that is declared, from runs (thecal.run/1) by scenario name.

    `ok` is None for what is declared; a scenario without a run is not ok and says so.
    """
    found = []
    for action in actions:
        base = {"when": action.when, "what": action.what, "source": action.source, "declared": action.declared}
        if action.declared:
            found.append({**base, "scenario": None, "ok": None, "verdict": "declared"})
        found += [{**base, "scenario": name, **_of(runs.get(name))} for name in action.scenarios]
    return found


def _of(run: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a run says: verdict, seed, trace, both sides of its story and what was not met."""
    if run is None:
        return {"ok": False, "verdict": "not played", "not_met": []}
    story = run.get("story") or {}
    return {"ok": run["verdict"] == "pass", "verdict": run["verdict"], "title": run.get("title"), "seed": run.get("seed"), "runtime": run.get("runtime"),
            "trace_hash": run["trace_hash"], "real": story.get("real"), "ours": story.get("ours"),
            "not_met": [row["name"] for row in run["expectations"] if row["ok"] is False]}


def summary(found: Sequence[Mapping[str, Any]]) -> str:
    """The list in one sentence."""
    played = [row for row in found if row["scenario"]]
    return "%d of %d field-action scenarios pass; %d actions are declared as not played" % (
        sum(row["ok"] is True for row in played), len(played), len(found) - len(played))


def html(found: Sequence[Mapping[str, Any]], repeat: str, links: bool) -> str:
    """The page: every action, its verdict, and one paragraph with the figures of the run. `links`: a scenario's report stands in the folder of its name."""
    good = not any(row["ok"] is False for row in found)
    parts = ['<header><div class="kind">thecal: what became of the recalls</div><h1>Field actions</h1></header>',
             '<section class="card verdict %s"><div class="word">%s</div><div><p>%s.</p></div></section>' % (
                 "pass" if good else "fail", "PASS" if good else "FAIL", escape(summary(found)))]
    marks = {True: "✓ pass", False: "✗ fail", None: "declared"}
    lines = [['<span class="mark">%s</span>' % marks[row["ok"]], escape(row["when"]), escape(row["what"]), _name(row, links)] for row in found]
    parts.append('<section class="card"><h2>All of them</h2>%s</section>' % table(
        ("", "when", "what", "scenario"), lines, classes=[{True: "ok", False: "no", None: ""}[row["ok"]] for row in found]))
    parts += [_story(row, links) for row in found]
    parts.append('<section class="card"><h2>Repeat</h2><pre>%s</pre></section>' % escape(repeat))
    return page("thecal: field actions", "\n".join(parts), [], "")


def _name(row: Mapping[str, Any], links: bool) -> str:
    name = escape(row["scenario"] or "–")
    return '<a href="%s/report.html">%s</a>' % (name, name) if links and row["scenario"] else name


def _story(row: Mapping[str, Any], links: bool) -> str:
    told = [("the real device", row.get("real")), ("here", row.get("ours")), ("not played", row["declared"]), ("NOT MET", "; ".join(row.get("not_met", ())))]
    pairs = "".join("<dt>%s</dt><dd>%s</dd>" % (label, escape(text)) for label, text in told if text)
    title = row.get("title") or row["what"]
    run = "%s, seed %s, trace %s" % (_name(row, links), row["seed"], row["trace_hash"]) if row.get("trace_hash") else _name(row, links)
    return '<section class="card"><h2>%s: %s</h2><p class="note">%s · %s · %s</p><dl>%s</dl></section>' % (
        escape(row["when"]), escape(title.removeprefix("Field action: ")), escape(row["verdict"].upper()), run, escape(row["source"]), pairs)
