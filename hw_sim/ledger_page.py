"""The ledger as one HTML page that opens offline: verdict, what failed, delay against bound and dose error as plots, and every row."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from plotly.offline import get_plotlyjs

from .report import number, span, table
from .report_figures import BLUE, GREEN, GREY, ORANGE, RED
from .report_page import page

ROW_PX, FRAME_PX = 17, 110
LEAST_S = 1.0               # of a logarithmic axis: what was noticed at once stands here
LEAST_NL = 10.0
NOT_SHOWN = "Figures need a script-enabled viewer; the tables do not."


def html(found: Mapping[str, Any]) -> str:
    """The whole page of a ledger object (schema thecal.ledger/1)."""
    rows = found["rows"]
    figures = [figure for figure in (_delays(rows), _errors(rows)) if figure is not None]
    failed = [row for row in rows if row["ok"] is False]
    kind = "thecal: what is caught, how fast, at what dose error"
    parts = ['<header><div class="kind">%s</div><h1>Ledger of hazards</h1></header>' % kind, _verdict(found)]
    if failed:
        parts.append(_card("Failed", _rows(failed), ""))
    if found["differences"]:
        parts.append(_card("Not as expected", "<ul>%s</ul>" % "".join("<li>%s</li>" % escape(text) for text in found["differences"]),
                           "Against the committed expectation; a change that is meant is committed with --write-expected."))
    parts += [_card(figure["title"], '<div id="figure-%s" style="height:%dpx"></div><noscript><p>%s</p></noscript>' % (
        figure["id"], figure["height"], NOT_SHOWN), figure["note"]) for figure in figures]
    if found.get("seeds", 1) > 1:
        parts.append(_card("Over %d seeds" % found["seeds"], _over_seeds(rows), "A row is ok when at least half of its seeds are and none fails by "
                           "anything but chance; the seeds that missed are listed either way. All else on this page is the first seed's."))
    parts.append(_card("All rows", _rows(rows), "Detection is judged from outside: enable dropped, tone, alarm or log on the wire, a sentence "
                       "of the host. Delays count from the instant at which the fault first changed the plant or the wire. Seeds: how many were "
                       "ok when the row was last played with several; here each bound is held by one."))
    parts.append(_card("Repeat", "<pre>%s</pre>" % escape(found["repeat"]), "The same line gives the same rows, whatever the number of workers."))
    return page("thecal: ledger of hazards", "\n".join(parts), figures, get_plotlyjs() if figures else "")


def summary(found: Mapping[str, Any]) -> str:
    """The ledger in one sentence."""
    rows = found["rows"]
    judged = [row for row in rows if row["ok"] is not None]
    seen = sum(1 for row in judged if row["detected"])
    blind = sum(1 for row in judged if not row["detected"] and row["declared"].startswith("undetectable"))
    away = len(rows) - len(judged)
    return "%d of %d rows ok: %d fired, %d noticed, %d declared undetectable%s" % (
        sum(1 for row in judged if row["ok"]), len(judged), sum(1 for row in judged if row["fired"]), seen, blind, ", %d n/a" % away if away else "")


def _verdict(found: Mapping[str, Any]) -> str:
    good = found["ok"]
    return '<section class="card verdict %s"><div class="word">%s</div><div><p><strong>on %s, seed %d</strong></p><p>%s.</p></div></section>' % (
        "pass" if good else "fail", "PASS" if good else "FAIL", escape(found["runtime"]), found["seed"], escape(summary(found)))


def _card(title: str, content: str, note: str) -> str:
    about = '<p class="note">%s</p>' % escape(note) if note else ""
    return '<section class="card"><h2>%s</h2>%s%s</section>' % (escape(title), about, content)


def _rows(rows: Iterable[Mapping[str, Any]]) -> str:
    marks = {True: ("ok", "✓ ok"), False: ("no", "✗ failed"), None: ("", "n/a")}
    lines = list(rows)
    heads = ["", "hazard", "therapy", "noticed by", "after", "bound", "error then, µL", "worst over, µL", "in the end, µL", "final state", "seeds", "requirement"]
    return table(heads, [
        ['<span class="mark">%s</span>' % marks[row["ok"]][1],
         escape(row["hazard"]) + ('<br><span class="note">%s</span>' % escape("; ".join(row["why"])) if row["why"] else "")
         + ('<br><span class="note">%s</span>' % escape(row["declared"]) if row["declared"].startswith("undetectable") else ""),
         escape(row["therapy"]), escape(str(row["by"] or "–")), "–" if row["detect_s"] is None else span(row["detect_s"]),
         "–" if row["bound_s"] is None else span(row["bound_s"]), *(_ul(row[key]) for key in ("dose_error_nl", "over_nl", "final_error_nl")),
         escape(str(row["final_state"] or "–")), escape(row.get("over_seeds") or "–"), "<br>".join(map(escape, row["requirement"]))] for row in lines],
        numeric=(4, 5, 6, 7, 8), classes=[marks[row["ok"]][0] for row in lines])


def _over_seeds(rows: Iterable[Mapping[str, Any]]) -> str:
    lines = [(row, row["seeds"]) for row in rows if "seeds" in row]
    heads = ["row", "ok", "noticed", "median", "worst", "bound", "worst error, µL", "worst over, µL"]
    return table(heads, [
        [escape(row["id"]) + "".join('<br><span class="note">seed %d: %s</span>' % (entry["seed"], escape("; ".join(entry["why"]))) for entry in seeds["missed"]),
         "%d/%d" % (seeds["ok"], seeds["count"]), "%d/%d" % (seeds["noticed"], seeds["count"]),
         *("–" if value is None else span(value) for value in (seeds["median_s"], seeds["worst_s"], row["bound_s"])),
         _ul(seeds["worst_error_nl"]), _ul(seeds["worst_over_nl"])] for row, seeds in lines],
        numeric=(1, 2, 3, 4, 5, 6, 7), classes=["ok" if row["ok"] else "no" for row, _ in lines])


def _ul(value_nl: float | None) -> str:
    return "–" if value_nl is None else number(round(value_nl / 1000, 1))


def _layout(rows: Sequence[Mapping[str, Any]], title: str) -> dict[str, Any]:
    return {"margin": {"l": 250, "r": 20, "t": 40, "b": 50}, "xaxis": {"type": "log", "title": {"text": title}, "side": "bottom"},
            "yaxis": {"range": [len(rows) - 0.3, -0.7], "tickmode": "linear", "tickfont": {"size": 11}, "type": "category"}, "showlegend": True}


def _points(name: str, x: list[float | None], y: list[str], colour: str, symbol: str, text: list[str]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": y, "text": text,
            "hovertemplate": "%{y}: %{text}<extra>" + name + "</extra>", "marker": {"color": colour, "symbol": symbol, "size": 9, "line": {"width": 2, "color": colour}}}


def _delays(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Delay and bound of every row that has a bound, one line each."""
    bound = [row for row in rows if row["bound_s"] is not None and row["ok"] is not None]
    if not bound:
        return None
    names = [row["id"] for row in bound]
    late = [row["detect_s"] is None or row["detect_s"] > row["bound_s"] for row in bound]
    traces = [_points("bound", [max(LEAST_S, row["bound_s"]) for row in bound], names, GREY, "line-ns-open", [span(row["bound_s"]) for row in bound])]
    for label, wanted, colour in (("within it", False, GREEN), ("late", True, RED)):
        chosen = [row for row, is_late in zip(bound, late) if is_late == wanted and row["detect_s"] is not None]
        if chosen:
            traces.append(_points(label, [max(LEAST_S, row["detect_s"]) for row in chosen], [row["id"] for row in chosen], colour, "circle",
                                  [span(row["detect_s"]) for row in chosen]))
    return {"id": "delays", "title": "How soon it is noticed", "height": FRAME_PX + ROW_PX * len(bound), "traces": traces, "sync": False,
            "note": "Each row's delay (dot) against its declared bound (bar), logarithmic; what took less than a second stands at one.",
            "layout": _layout(bound, "seconds since the fault fired")}


def _errors(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the patient got beyond the twin, or less, until it was noticed; and what is allowed."""
    told = [row for row in rows if row["ok"] is not None]
    if not told:
        return None
    traces = [_points("most that is allowed", [max(LEAST_NL, row["allowed_over_nl"]) / 1000 for row in told], [row["id"] for row in told], GREY,
                      "line-ns-open", [_ul(row["allowed_over_nl"]) + " µL" for row in told])]
    for label, key, sign, colour, symbol in (("worst too much", "over_nl", 1, ORANGE, "circle"),
                                             ("too little when noticed", "dose_error_nl", -1, BLUE, "circle-open")):
        chosen = [row for row in told if row[key] * sign > 0]
        traces.append(_points(label, [max(LEAST_NL, row[key] * sign) / 1000 for row in chosen], [row["id"] for row in chosen], colour, symbol,
                              [_ul(row[key]) + " µL" for row in chosen]))
    return {"id": "errors", "title": "At what dose error", "height": FRAME_PX + ROW_PX * len(told), "traces": traces, "sync": False,
            "note": "Delivered through the catheter tip less the healthy twin's, as µL of the prescribed solution, logarithmic.",
            "layout": _layout(told, "µL of the prescribed solution")}
