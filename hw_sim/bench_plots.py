"""The benches' page: figures with named axes, the bars as a table, all in one file that opens offline (report_page.py)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from .report import number, table
from .report_figures import BLUE, GREEN, GREY, INK, ORANGE, PINK, RED, SKY, Figure
from .report_page import page

COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, INK, RED, GREY)
FIGURE_PX = 430
LEGEND_PX, LEGEND_ROW_PX, PER_ROW = 26, 20, 4
MARKS = {True: "ok", False: "MISSED", None: "–"}


def line(name: str, x: Sequence[float], y: Sequence[float | None], colour: str, *, dash: str = "solid", width: float = 2.0, marker: str = "",
         unit: str = "", group: str = "", shape: str = "linear", legend: bool = True, text: Sequence[str] | None = None) -> Figure:
    """One trace; `marker` a plotly symbol or '' for none, `dash` '' for markers alone; None in `y` is a gap."""
    mode = "+".join((["lines"] if dash else []) + (["markers"] if marker else []))
    trace: Figure = {"type": "scatter", "mode": mode, "name": name, "x": list(x), "showlegend": legend, "legendgroup": group or name,
                     "y": [None if value is None or not math.isfinite(value) else float("%.6g" % value) for value in y],
                     "line": {"color": colour, "width": width, "dash": dash or "solid", "shape": shape},
                     "hovertemplate": "%%{y:,.4~g} %s<extra>%s</extra>" % (unit, escape(name))}
    if marker:
        trace["marker"] = {"color": colour, "symbol": marker, "size": 9}
    if text is not None:
        trace["text"] = list(text)
        trace["hovertemplate"] = "%%{text}<extra>%s</extra>" % escape(name)
    return trace


def family(name: str, x: Sequence[float], members: Iterable[tuple[str, Sequence[float | None], Mapping[str, Any]]], colour: str, *, unit: str,
           one_entry: bool = False) -> list[Figure]:
    """Curves of one colour that belong together: each (what is added to `name`, its values, options of `line`). `one_entry`: the legend has only the first."""
    return [line(name + more, x, values, colour, unit=unit, group=name if one_entry else "", legend=not (one_entry and at), **style)
            for at, (more, values, style) in enumerate(members)]


def rate_axis(rates_nl_day: Iterable[int]) -> Figure:
    """The axis of the programmed rates that were measured, in mL/day."""
    rates = sorted({rate / 1e6 for rate in rates_nl_day})
    return axis("programmed rate, mL/day (logarithmic)", rates, log=True, low=0.9 * rates[0], high=1.17 * rates[-1])


def axis(title: str, ticks: Sequence[float] | None = None, *, log: bool = False, low: float | None = None, high: float | None = None) -> Figure:
    """An axis with its quantity and unit; a logarithmic one wants its `ticks`; `low` and `high` bound what is seen."""
    made: Figure = {"title": {"text": title, "standoff": 8}, "type": "log" if log else "linear"}
    if ticks is not None:
        made.update(tickmode="array", tickvals=list(ticks), ticktext=["%g" % tick for tick in ticks])
    if low is not None and high is not None:
        made["range"] = [math.log10(low), math.log10(high)] if log else [low, high]
    return made


def figure(name: str, title: str, note: str, x_axis: Figure, y_axis: Figure, traces: Iterable[Figure], *, height: int = FIGURE_PX,
           level: tuple[float, str] | None = None) -> Figure:
    """One figure; `level` draws a horizontal line, with its name (a bar) in the legend, where it hides no point."""
    drawn = list(traces)
    if level is not None and level[1]:
        drawn.append({"type": "scatter", "mode": "lines", "name": level[1], "x": [None], "y": [None], "line": {"color": RED, "width": 1.5, "dash": "dash"}})
    rows = math.ceil(sum(1 for trace in drawn if trace.get("showlegend", True)) / PER_ROW)
    layout: Figure = {"xaxis": x_axis, "yaxis": y_axis, "margin": {"l": 80, "r": 24, "t": LEGEND_PX + LEGEND_ROW_PX * rows, "b": 56}, "shapes": []}
    if level is not None:
        at = level[0]
        layout["shapes"].append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": at, "y1": at,
                                 "line": {"color": RED, "width": 1.5, "dash": "dash"}})
    return {"id": name, "title": title, "note": note, "traces": drawn, "layout": layout, "sync": False, "height": height}


def bar_rows(bars: Sequence[dict[str, Any]]) -> str:
    """The bars as an HTML table."""
    rows = [(MARKS[row["ok"]], escape(row["name"]), number(row["value"]), number(row["bar"]), escape(row["unit"]), escape(row.get("note",
        ""))) for row in bars]
    return table(("", "what", "found", "bar", "unit", ""), rows, numeric=(2, 3), classes=["no" if row["ok"] is False else "ok" for row in bars])


def write(found: dict[str, Any], out_dir: Path, title: str, lead: str, figures: Sequence[Figure], tables: Sequence[tuple[str, str,
    str]] = ()) -> Path:
    """`out_dir`/bench-NAME.html: bars, figures, then `tables` (heading, note, HTML). Raises OSError where it cannot be written."""
    cards = ['<header><div class="kind">thecal: measured on the simulated pump</div><h1>%s</h1><p class="note">%s</p></header>' % (escape(title),
        escape(lead)),
             '<section class="card"><h2>Bars</h2>%s</section>' % bar_rows(found["bars"])]
    cards += ['<section class="card"><h2>%s</h2><p class="note">%s</p><div id="figure-%s"></div></section>' % (
        escape(each["title"]), escape(each["note"]), each["id"]) for each in figures]
    cards += ['<section class="card"><h2>%s</h2><p class="note">%s</p>%s</section>' % (escape(heading), escape(note), html) for heading, note,
              html in tables]
    cards.append('<p class="foot">%s</p>' % escape("Repeat: %s. %s" % (found["repeat"], "; ".join(
        "%s %.0f s" % (name, seconds) for name, seconds in found["wall_s"].items()))))
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / ("bench-%s.html" % found["bench"])
    path.write_text(page(title + " · thecal", "\n".join(cards), list(figures), get_plotlyjs()), encoding="utf-8")
    return path
