"""The evidence folder's index: one page that opens offline and says first what is missing, in the look of the run report."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from . import report_page
from .evidence import LEDGER_ROWS, MANIFEST, SUMS, Part
from .evidence_sources import BENCH, LEDGER, PHYSICS, RUN
from .report import number

LOST = "–"


def index(found: dict[str, Any], parts: Sequence[Part]) -> str:
    """The whole page of a manifest (evidence.json) and the parts behind it."""
    open_parts = [part for part in parts if not part.there or part.ok is False]
    by_name = {part.name: part for part in parts}
    body = [_head(found, parts, open_parts), _tiles(parts)]
    head = ("state", "part", "what is in it", "made by, or taken from", "file")
    if open_parts:
        body.append(_card("Not there, or not holding", "What was asked for and could not be had, and what was had and does not hold.", head, map(_part, open_parts)))
    whole = [part for part in parts if not part.name.startswith("run ")]
    body.append(_card("All parts", "The scenario runs stand below.", head, map(_part, whole)))
    body += [_skipped(by_name.get("tests")), _runs([part for part in parts if part.there and _schema(part) == RUN]), _ledger(by_name.get("ledger")), _physics(by_name.get("physics"))]
    body += [_bench(part) for part in parts if part.there and _schema(part) == BENCH]
    body += [_anomalies(by_name["anomalies"]), _versions(by_name["versions"]), _check(found)]
    return report_page.page("thecal: evidence", "\n".join(filter(None, body)), [], "")


def _schema(part: Part) -> Any:
    return part.data.get("schema") if isinstance(part.data, dict) else None


def _head(found: dict[str, Any], parts: Sequence[Part], open_parts: Sequence[Part]) -> str:
    missing = sum(not part.there for part in open_parts)
    told = "%d of %d parts are there and hold" % (len(parts) - len(open_parts), len(parts))
    told += "; %d are not there, %d do not hold" % (missing, len(open_parts) - missing) if open_parts else ""
    return ('<header><div class="kind">thecal: an intrathecal pump you can flash, simulate and program</div><h1>Evidence</h1></header>'
            '<div class="card verdict%s"><span class="word">%s</span><p>%s.<br>Made %s%s.</p></div>' % (
                "" if found["ok"] else " fail", "COMPLETE" if found["ok"] else "OPEN", escape(told), escape(found["made"]),
                ", quick: from what earlier runs had left" if found["quick"] else ""))


def _held(rows: Sequence[dict[str, Any]]) -> str:
    """How many hold of those that can hold or fail."""
    return "%d of %d" % (sum(row["ok"] is True for row in rows), sum(row["ok"] is not None for row in rows))


def _tiles(parts: Sequence[Part]) -> str:
    """The figures that a reader looks for first; a part that is not there has none."""
    data = {part.name: part.data for part in parts if part.there}
    runs = [part for part in parts if part.name.startswith("run ")]
    source = data["versions"]["sources"]
    tiles = [("commit", (source["commit"] or LOST)[:8], {True: "the tree is clean", False: "the tree is CHANGED", None: "not known whether clean"}[source["clean"]])]
    matrix, tests = data.get("requirements"), data.get("tests")
    tiles.append(("requirements proved", "%d of %d" % (matrix["proved"], matrix["requirements"]) if matrix else LOST, "by a test that passed"))
    tiles.append(("tests passed", "%d of %d" % (tests["passed"], tests["tests"]) if tests else LOST, "%d skipped" % len(tests["skipped"]) if tests else "none was run"))
    for name, label in (("ledger", "hazards in the ledger"), ("physics", "physics checks")):
        rows = data[name]["rows"] if name in data else None
        tiles.append((label, _held(rows) if rows else LOST, "as declared" if rows else "not there"))
    tiles.append(("scenario runs passed", "%d of %d" % (sum(part.ok is True for part in runs), len(runs)) if runs else LOST, "each with its trace"))
    bars = [row for name, each in data.items() if name.startswith("bench ") for row in each["bars"]]
    tiles.append(("bars met", _held(bars) if bars else LOST, "of the benches"))
    tiles.append(("known anomalies", str(len(data["anomalies"])) if "anomalies" in data else LOST, "and gaps, below"))
    return '<div class="tiles">%s</div>' % "".join(
        '<div class="tile"><div class="label">%s</div><div class="value">%s</div><div class="more">%s</div></div>' % tuple(map(escape, tile)) for tile in tiles)


def _card(title: str, note: str, head: Iterable[str], lines: Iterable[str]) -> str:
    return '<section class="card"><h2>%s</h2><p class="note">%s</p><div class="scroll"><table><tr>%s</tr>\n%s\n</table></div></section>' % (
        escape(title), escape(note), "".join("<th>%s</th>" % escape(name) for name in head), "\n".join(lines))


def _line(ok: bool | None, words: Iterable[Any], mark: str = "") -> str:
    """A row whose first cell is its judgement; a cell is text to escape, a number, or ready HTML in a tuple."""
    cells = "".join("<td>%s</td>" % (word[0] if isinstance(word, tuple) else number(word)) for word in words)
    return '<tr class="%s"><td class="t mark">%s</td>%s</tr>' % ({True: "ok", False: "no", None: ""}[ok], escape(mark or {True: "ok", False: "NO", None: "n/a"}[ok]), cells)


def _files(names: Iterable[str]) -> tuple[str]:
    """Links, the pages first; the ledger's scenarios have theirs in its rows."""
    shown = [name for name in names if not name.startswith(LEDGER_ROWS)]
    return ("<br>".join('<a href="%s">%s</a>' % (escape(name), escape(name)) for name in sorted(shown, key=lambda name: not name.endswith(".html"))),)


def _part(part: Part) -> str:
    return _line(part.ok if part.there else False, (part.name, part.told, part.origin, _files(part.files)), part.state)


def _skipped(part: Part | None) -> str:
    """Tests that did not run prove nothing, so each stands here with its reason."""
    if part is None or not part.there or not part.data["skipped"]:
        return ""
    return _card("Tests that were skipped", "A skipped test proves no requirement.", ("test", "why"), (
        "<tr><td>%s</td><td>%s</td></tr>" % (escape(case["name"]), escape(case["why"])) for case in part.data["skipped"]))


def _runs(parts: Sequence[Part]) -> str:
    lines = []
    for part in parts:
        run = part.data
        wrong = "; ".join(str(row.get("name")) for row in run["expectations"] if row["ok"] is False)
        lines.append(_line(part.ok, (run["scenario"], run["runtime"], run.get("seed"), run.get("virtual_s", 0) / 86_400, run.get("pulses"),
                                     ("<code>%s</code>" % escape(run["trace_hash"]),), wrong, _files(part.files)), run["verdict"]))
    head = ("verdict", "scenario", "runtime", "seed", "days", "pulses", "trace", "not met", "file")
    return _card("Scenario runs", "One scenario and one seed give one trace on every runtime. Each file ends with the line that repeats its run; with --out DIR "
                 "that line writes its report, samples, pulses, pins and bytes.", head, lines) if lines else ""


def _ledger(part: Part | None) -> str:
    if part is None or not part.there or _schema(part) != LEDGER:
        return ""
    keys = ("hazard", "fault", "requirement", "therapy", "declared", "fired", "detected", "by", "detect_s", "bound_s", "dose_error_nl", "final_state", "over_seeds")
    lines = [_line(row["ok"], [_scenario(part, row), *(_plain(row.get(key)) for key in keys)]) for row in part.data["rows"]]
    return _card("Fault ledger", "Every declared hazard: whether its fault fired, what noticed it and when (s), and what it cost (nL); with how many seeds it was ok when last played with several.", ("", "row", *keys), lines)


def _scenario(part: Part, row: dict[str, Any]) -> Any:
    """The row's id, and its scenario where it was kept."""
    name = str(row.get("id", ""))
    file = "%s/%s.toml" % (LEDGER_ROWS, name.replace(".", "-").replace("@", "-"))
    return ('<a href="%s">%s</a>' % (escape(file), escape(name)),) if file in part.files else name


def _physics(part: Part | None) -> str:
    if part is None or not part.there or _schema(part) != PHYSICS:
        return ""
    keys = ("name", "value", "reference", "tolerance", "unit", "source")
    lines = [_line(row["ok"], [_plain(row.get(key)) for key in keys]) for row in part.data["rows"]]
    return _card("Physics", "The plant against closed forms and published figures.", ("", *keys), lines)


def _bench(part: Part) -> str:
    lines = [_line(row["ok"], [_plain(row.get(key)) for key in ("name", "value", "bar", "unit")]) for row in part.data["bars"]]
    return _card("Bench: %s" % part.data["bench"], part.origin, ("", "bar", "found", "bar is", "unit"), lines)


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _anomalies(part: Part) -> str:
    if not part.there:
        return ""
    lines = ["<tr>%s</tr>" % "".join('<td class="t">%s</td>' % escape(row[key]) if key in ("id", "since") else "<td>%s</td>" % escape(_plain(row[key]))
                                     for key in ("id", "what", "why", "effect", "since", "requirement")) for row in part.data]
    return _card("Known anomalies and gaps", "No test fails of these; whoever relies on the evidence must know them.",
                 ("id", "what", "why", "effect", "since", "limits"), lines)


def _versions(part: Part) -> str:
    data = part.data
    rows = [(name, data[name]) for name in ("thecal", "protocol", "schema_crc", "python", "implementation", "platform", "micropython")]
    source = data["sources"]
    rows += [("sources, SHA-256", source["sha256"]), ("commit", source["commit"] or source["why"]), ("tree", {True: "clean", False: "CHANGED", None: "not known"}[source["clean"]])]
    rows += [("changed", ", ".join(source["changed"][:40]))] if source["changed"] else []
    listed = ", ".join("%s %s" % item for item in data["packages"].items())
    return '<section class="card"><h2>Versions</h2><dl>%s</dl><details><summary>%d Python packages</summary>%s</details></section>' % (
        "".join("<dt>%s</dt><dd>%s</dd>" % (escape(name), escape(str(value or LOST))) for name, value in rows), len(data["packages"]), escape(listed))


def _check(found: dict[str, Any]) -> str:
    return ('<section class="card"><h2>Check and repeat</h2><p class="note"><a href="%s">%s</a> has the SHA-256 of every other file of this folder, this page '
            'included; <a href="%s">%s</a> is this page for programs.</p><pre>sha256sum -c %s\n%s</pre></section>' % (SUMS, SUMS, MANIFEST, MANIFEST, SUMS, escape(found["repeat"])))
