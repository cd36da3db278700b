"""The report of one run: a single HTML file that opens offline, made from samples.csv, events.csv and the result.

It says first what it is not (a medical device), then the verdict with the runtime it was reached on, the figures of the
run, what was expected and what was found, and how to repeat it. Everything a scenario may leave out may be missing.
"""
from __future__ import annotations

import csv
import math
from html import escape
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

from plotly.offline import get_plotlyjs

from .report_figures import DAY_S, Samples, build, close_up_window
from .report_page import page

RUNTIMES = {"micropython": "real MicroPython", "inprocess": "in-process CPython"}
MAX_EVENT_ROWS = 500
FILES = (("samples.csv", "truth and firmware figures at the sampling cadence"), ("events.csv", "all events"),
         ("pulses.csv", "every motor order"), ("pins.vcd", "pins, for a wave viewer"), ("wire.jsonl", "bytes on the serial line"))


def write(result: Mapping[str, Any], out_dir: Path | str) -> Path:
    """Write `out_dir`/report.html for the run whose files are there and return its path.

    `result` is the run's object (schema thecal.run/1); an optional `days` (`Oracle.day_table`) adds the expected dose.
    Raises OSError where the folder cannot be written, ValueError for a line of samples.csv that is not numbers.
    """
    folder = Path(out_dir)
    samples, events = read_samples(folder / "samples.csv"), read_events(folder / "events.csv")
    alarms, days = list(result.get("alarms") or []), list(result.get("days") or [])
    end_s = max([float(result.get("virtual_s") or 0.0), *samples.t_s[-1:], 1.0])
    figures = build(samples, events, alarms, days, end_s)
    body = "\n".join(filter(None, [
        _head(result), _verdict(result), _story(result), _tiles(result), _checks(result, alarms),
        *_figure_cards(figures, _comparison(samples)), _day_table(days),
        _event_table(events), _about(result, folder)]))
    title = str(result.get("title") or result.get("scenario") or "run")
    path = folder / "report.html"
    path.write_text(page(f"{title} · thecal run report", body, figures, get_plotlyjs() if figures else ""), encoding="utf-8")
    return path


def read_samples(path: Path) -> Samples:
    """samples.csv as columns of float; an empty cell, a missing tail or a missing file gives NaN or nothing."""
    if not path.exists():
        return Samples({})
    with open(path, newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        names = next(lines, [])
        columns: list[list[float]] = [[] for _ in names]
        for line in lines:
            if not line or not line[0]:
                continue  # a line cut short by an interruption has no time: it cannot be placed
            try:
                values = [float(cell) if cell else math.nan for cell in line]
            except ValueError as error:
                raise ValueError(f"{path.name} line {lines.line_num}: {error}") from error
            for i, column in enumerate(columns):
                column.append(values[i] if i < len(values) else math.nan)
    return Samples(dict(zip(names, columns)))


def read_events(path: Path) -> list[dict[str, str]]:
    """events.csv as a list of {t_s, source, name, detail}; lines without these are left out."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [{key: row[key] or "" for key in ("t_s", "source", "name", "detail")}
                for row in csv.DictReader(file) if row.get("t_s") and None not in (row.get("source"), row.get("name"), row.get("detail"))]


def number(value: Any) -> str:
    """A figure for people: thousands apart, no digits that mean nothing; anything else as text, escaped."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return escape("–" if value is None else str(value))
    if isinstance(value, int) or (value == int(value) if math.isfinite(value) and abs(value) < 1e15 else False):
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def moment(t_s: Any) -> str:
    """Virtual seconds as "day 93, 04:12:30", counted from t = 0 (trials lie on negative days)."""
    if t_s is None or t_s == "":
        return "–"
    days, rest = divmod(round(float(t_s)), int(DAY_S))
    return f"day {days}, {rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


def span(seconds: float) -> str:
    """A duration in the unit that fits it."""
    for size, unit in ((2 * DAY_S, "d"), (7200.0, "h"), (120.0, "min")):
        if seconds >= size:
            return f"{seconds / {'d': DAY_S, 'h': 3600.0, 'min': 60.0}[unit]:.4g} {unit}"
    return f"{seconds:.3g} s"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Sequence[int] = (), classes: Sequence[str] = ()) -> str:
    """An HTML table of cells already escaped; columns in `numeric` stand right; `classes` go with the rows."""
    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f'<{tag}{" class=n" if i in numeric else ""}>{cell}</{tag}>' for i, cell in enumerate(row))
    lines = [f'<tr class="{classes[i] if i < len(classes) else ""}">{cells("td", row)}</tr>' for i, row in enumerate(rows)]
    return f'<div class="scroll"><table><thead><tr>{cells("th", heads)}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _card(title: str, content: str, note: str = "") -> str:
    about = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<section class="card"><h2>{escape(title)}</h2>{about}{content}</section>'


def _head(result: Mapping[str, Any]) -> str:
    title = escape(str(result.get("title") or result.get("scenario") or "Run"))
    source = " · ".join(escape(str(result[key])) for key in ("scenario", "source", "confidence") if result.get(key))
    return f'<header><div class="kind">thecal: simulated run of an intrathecal pump</div><h1>{title}</h1><p class="note">{source}</p></header>'


def _runtime(result: Mapping[str, Any]) -> str:
    name = str(result.get("runtime") or "unknown runtime")
    version = (result.get("firmware") or {}).get("version")
    return RUNTIMES.get(name, name) + (f", firmware {version}" if version else "")


def _verdict(result: Mapping[str, Any]) -> str:
    stated = result.get("expectations") or []
    rows = [row for row in stated if row.get("ok") is not None]
    met = sum(1 for row in rows if row.get("ok"))
    passed = result.get("verdict") == "pass"
    word = str(result.get("verdict") or "no verdict").upper()
    failed = ", ".join(str(row.get("name")) for row in rows if not row.get("ok"))
    found = f"{met} of {len(rows)} expectations met" + (f"; not met: {failed}" if failed else "") + "." if rows else "No expectation was judged."
    if len(stated) > len(rows):
        found += f" {len(stated) - len(rows)} not applicable."
    return (f'<section class="card verdict {"pass" if passed else "fail"}"><div class="word">{escape(word)}</div>'
            f'<div><p><strong>on {escape(_runtime(result))}</strong></p><p>{escape(found)}</p></div></section>')


def _story(result: Mapping[str, Any]) -> str:
    told = result.get("story")
    if not told:
        return ""
    rows = "".join(f"<dt>{label}</dt><dd>{escape(told[key])}</dd>" for label, key in (("the real device", "real"), ("here", "ours")))
    return _card(f"Field action, {told['when']}", f"<dl>{rows}</dl>")


def _tiles(result: Mapping[str, Any]) -> str:
    def millilitres(key: str) -> str:
        return f"{float(result[key]) / 1e6:,.4g} mL"
    tiles: list[tuple[str, str, str]] = []
    if result.get("virtual_s") is not None:
        wall = result.get("wall_s")
        tiles.append(("simulated time", span(float(result["virtual_s"])), f"in {span(float(wall))} of wall time" if wall else ""))
    for key, label in (("demanded_nl", "demanded"), ("ordered_nl", "ordered"), ("delivered_nl", "delivered at the tip"), ("missed_nl", "missed")):
        if isinstance(result.get(key), (int, float)):
            against = result.get("ordered_nl")
            share = f"{100 * (float(result[key]) / float(against) - 1):+.2f} % of ordered" if key == "delivered_nl" and against else ""
            if key == "ordered_nl" and isinstance(result.get("demanded_nl"), (int, float)):
                share = f"{(float(result['demanded_nl']) - float(result[key])) / 1000:.3g} µL less than demanded"
            tiles.append((label, millilitres(key), share))
    if result.get("pulses") is not None:
        wakes = result.get("wakes")
        tiles.append(("pulses", number(result["pulses"]), f"{number(wakes)} wakes" if wakes is not None else ""))
    tiles.append(("alarms", number(len(result.get("alarms") or [])), ""))
    return '<div class="tiles">' + "".join(
        f'<div class="tile"><div class="label">{escape(label)}</div><div class="value">{value}</div><div class="more">{escape(more)}</div></div>'
        for label, value, more in tiles) + "</div>"


def _checks(result: Mapping[str, Any], alarms: Sequence[Mapping[str, Any]]) -> str:
    marks = {True: ("ok", "✓ met"), False: ("no", "✗ not met"), None: ("", "n/a")}  # n/a: what this firmware does not tell
    expectations = sorted(result.get("expectations") or [], key=lambda row: (False, True, None).index(row.get("ok")))
    checked = table(["", "expectation", "found", "bound", ""], [
        [f'<span class="mark">{marks[row.get("ok")][1]}</span>', escape(str(row.get("name"))),
         number(row.get("value")), f'<span class="wrap">{number(row.get("bound")).replace("= ", "=&nbsp;")}</span>', escape(str(row.get("unit") or ""))] for row in expectations],
        numeric=(2, 3), classes=[marks[row.get("ok")][0] for row in expectations])
    raised = table(["alarm", "code", "raised", "cleared"], [
        [escape(str(alarm.get("name") or "")), number(alarm.get("code")), moment(alarm.get("raised_s")),
         "standing" if alarm.get("cleared_s") is None else moment(alarm["cleared_s"])] for alarm in alarms])
    return ('<div class="pair">' + _card(
        "Expected and found", checked if expectations else "<p>This run states no expectation.</p>",
        "Where the independent oracle judges, the figure found is the distance from what it prescribes." if expectations else "")
            + _card("Alarms", raised if alarms else "<p>No alarm was raised.</p>") + "</div>")


def _figure_cards(figures: Sequence[Mapping[str, Any]], comparison: str) -> list[str]:
    """A card for each figure; the comparison's table follows the last figure about tablets."""
    cards = [_figure_card(figure) for figure in figures]
    about_tablets = [i for i, figure in enumerate(figures) if figure["id"].startswith("oral-")]
    cards.insert(about_tablets[-1] + 1 if about_tablets else len(cards), comparison)
    return cards


def _figure_card(figure: Mapping[str, Any]) -> str:
    box = f'<div id="figure-{escape(figure["id"])}" style="height:{figure["height"]}px"></div>'
    return _card(figure["title"], box + "<noscript><p>Figures need a script-enabled viewer; the tables do not.</p></noscript>", figure["note"])


def _comparison(samples: Samples) -> str:
    """Tablets against pump over the last days with tablets: daily dose, level, and how far it swings."""
    rows = []
    for drug in samples.drugs:
        tablets, pump = samples.get(f"oral_csf_{drug}"), samples.get(f"lumbar_{drug}")
        if tablets is None or pump is None or not any(value > 0 for value in tablets):
            continue
        first, last = close_up_window(samples, tablets)
        days = (samples.t_s[last - 1] - samples.t_s[first]) / DAY_S
        for name, values, total in (("tablets", tablets, samples.get(f"oral_ng_{drug}")), ("pump", pump, samples.get(f"tip_ng_{drug}"))):
            level = [value for value in values[first:last] if value > 0]
            if not level:
                continue
            daily = f"{number((total[last - 1] - total[first]) / days / 1e6)} mg" if total and days > 0 else "–"
            rows.append([escape(drug), name, daily, number(sum(level) / len(level)), number(max(level)), number(min(level)),
                         number(max(level) / min(level))])
    if not rows:
        return ""
    return _card("Tablets and pump in figures", table(["drug", "route", "dose per day", "mean, ng/mL", "peak, ng/mL", "trough, ng/mL", "peak : trough"],
                 rows, numeric=(2, 3, 4, 5, 6)), "Level in the spinal fluid (pump: lumbar) over the last days with tablets, those of the close-up above.")


def _day_table(days: Sequence[Mapping[str, Any]]) -> str:
    if not days:
        return ""
    drugs = sorted(days[0]["tip_ng"])
    rows = [[number(row["day"]), number(row["demanded_nl"] / 1000), *(number(row["tip_ng"][drug] / 1000) for drug in drugs),
             escape(", ".join(f"{cause} {number(volume / 1000)}" for cause, volume in row["missed_nl"].items()))] for row in days]
    inner = table(["day", "volume, µL", *(f"{escape(drug)} at the tip, µg" for drug in drugs), "missed, µL"], rows, numeric=range(1, 2 + len(drugs)))
    return (f'<section class="card"><details><summary>Prescribed day by day ({len(days)} days, by the oracle)</summary>{inner}</details></section>')


def _event_table(events: Sequence[Mapping[str, str]]) -> str:
    if not events:
        return ""
    rows = [[moment(event["t_s"]), escape(event["source"]), escape(event["name"]), escape(event["detail"])] for event in events[:MAX_EVENT_ROWS]]
    rest = f'<p class="note">{len(events) - MAX_EVENT_ROWS} more in events.csv.</p>' if len(events) > MAX_EVENT_ROWS else ""
    return (f'<section class="card"><details><summary>All events ({len(events)})</summary>'
            f'{table(["when", "source", "event", "detail"], rows)}{rest}</details></section>')


def _about(result: Mapping[str, Any], folder: Path) -> str:
    def text(value: Any) -> str:
        if isinstance(value, Mapping):
            return "; ".join(f"{key}: {text(part)}" for key, part in value.items())
        return ", ".join(text(part) for part in value) if isinstance(value, (list, tuple)) else str(value)
    facts = [(label, text(result[key])) for key, label in (
        ("scenario", "scenario"), ("seed", "seed"), ("runtime", "runtime"), ("firmware", "firmware"), ("drugs", "drugs"),
        ("trace_hash", "trace hash"), ("notes", "notes")) if result.get(key) not in (None, "", [], {})]
    listed = "".join(f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>" for label, value in facts)
    files = "".join(f'<dt><a href="{name}">{name}</a></dt><dd>{escape(about)}</dd>' for name, about in FILES if (folder / name).exists())
    repeat = f'<p class="note">The same line gives the same trace hash.</p><pre>{escape(str(result["repeat"]))}</pre>' if result.get("repeat") else ""
    return (_card("Repeat this run", repeat) if repeat else "") + _card("About this run", f"<dl>{listed}{files}</dl>")
