"""The report's figures: from a run's samples and events to plain plotly dictionaries, thinned for the screen.

Every builder looks for its columns and returns None where they are absent, so a run that recorded little still has a
report. Columns no builder knows are shown in a figure of their own. Times on the axes are days (hours for runs under
three days) since t = 0; volumes mL or uL, doses ug or mg per day, concentrations as recorded.
"""
from __future__ import annotations

import math
from array import array
from typing import Any, Mapping, Sequence

Figure = dict[str, Any]
DAY_S = 86_400.0
# Points over all figures: keeps a report with many drugs small; a trace never has more than POINTS_PER_TRACE.
POINT_BUDGET = 50_000
EVENT_BUDGET = 2_000
POINTS_PER_TRACE = 2_000
MAX_EVENT_LANES = 14
MAX_LANE_LETTERS = 24
PANEL_GAP_PX = 34
CLOSE_UP_S = 4 * DAY_S
DRUG_PREFIXES = ("oral_plasma_", "oral_csf_", "oral_ng_", "reservoir_conc_", "tip_conc_", "tip_ng_", "cisternal_", "lumbar_", "effect_", "plasma_", "astray_ng_")
# Colours that stay apart for colour-blind readers (Okabe and Ito), darkened where a thin line needs it.
INK, BLUE, ORANGE, GREEN, RED, SKY, PINK, GREY = (
    "#1b2430", "#0067a8", "#d55e00", "#00875f", "#b3261e", "#56b4e9", "#b0578d", "#8a94a3")
LANE_COLOURS = {"alarm": RED, "fault": ORANGE, "clinician": BLUE, "pump": GREEN, "plant": GREY}


class Samples:
    """The columns of samples.csv as arrays of float (NaN where a cell is empty); `seen` are those a figure used."""

    def __init__(self, columns: Mapping[str, Sequence[float]]) -> None:
        self.columns = {name: array("d", values) for name, values in columns.items()}
        self.t_s = self.columns.get("t_s", array("d"))
        self.seen = {"t_s"}
        self.in_hours = not self.t_s or self.t_s[-1] - self.t_s[0] < 3 * DAY_S
        self.drugs = sorted({name[len(prefix):] for name in self.columns
                             for prefix in DRUG_PREFIXES if name.startswith(prefix) and len(name) > len(prefix)})

    def get(self, name: str, scale: float = 1.0) -> list[float] | None:
        """The column times `scale`, or None where it is absent or holds no number."""
        values = self.columns.get(name)
        if values is None:
            return None
        self.seen.add(name)
        return [value * scale for value in values] if any(value == value for value in values) else None

    def difference(self, name: str, other: str, scale: float = 1.0, other_scale: float = 1.0) -> list[float] | None:
        """`name` minus `other`, each in its scale, or None where one is absent."""
        first, second = self.get(name, scale), self.get(other, other_scale)
        return [a - b for a, b in zip(first, second)] if first and second else None

    def axis(self, t_s: float) -> float:
        """A time as it stands on the axes: days, or hours in a short run."""
        return round(t_s / 3600.0, 5) if self.in_hours else round(t_s / DAY_S, 5)


def thin(x: Sequence[float], y: Sequence[float], limit: int) -> tuple[list[float], list[float | None]]:
    """At most `limit` (>= 4) points of a trace that keep its first, its last and the lowest and highest of each stretch.

    NaN becomes None, which plotly draws as a gap.
    """
    if len(x) > limit:
        stretches = limit // 2 - 1
        keep = {0, len(x) - 1}
        for i in range(stretches):
            stretch = [j for j in range(i * len(x) // stretches, (i + 1) * len(x) // stretches) if y[j] == y[j]]
            if stretch:
                keep.update((min(stretch, key=y.__getitem__), max(stretch, key=y.__getitem__)))
            else:
                keep.add(i * len(x) // stretches)
        chosen = sorted(keep)
        x, y = [x[j] for j in chosen], [y[j] for j in chosen]
    return list(x), [float(format(value, ".6g")) if math.isfinite(value) else None for value in y]


def trailing_rate(t_s: Sequence[float], total: Sequence[float], window_s: float) -> list[float]:
    """Growth of a running total per day over the last `window_s` before each sample (less at the start); NaN first."""
    rates, first = [], 0
    for i, now in enumerate(t_s):
        while first < i - 1 and t_s[first + 1] <= now - window_s:
            first += 1
        span = now - t_s[first]
        rates.append((total[i] - total[first]) / span * DAY_S if span > 0 else math.nan)
    return rates


def _line(samples: Samples, name: str, values: Sequence[float] | None, colour: str, *, panel: int = 1, unit: str = "",
          shape: str = "linear", width: float = 1.8, dash: str = "solid", opacity: float = 1.0) -> Figure | None:
    """One trace on the time axis (or None without values); thinned later, when the number of traces is known."""
    if values is None:
        return None
    return {"type": "scatter", "mode": "lines", "name": name, "x": [samples.axis(t_s) for t_s in samples.t_s], "y": values,
            "yaxis": "y" if panel == 1 else f"y{panel}", "opacity": opacity,
            "line": {"color": colour, "shape": shape, "width": width, "dash": dash},
            "hovertemplate": f"%{{y:,.5~g}} {unit}<extra>{name}</extra>"}


def _figure(name: str, title: str, note: str, panels: Sequence[tuple[str, int]], traces: Sequence[Figure | None], *,
            sync: bool = True, from_zero: bool = True) -> Figure | None:
    """A figure of stacked `panels` ((heading, height in px), top first) over one time axis; None where no trace has data.

    Panels without a trace are left out; `from_zero` keeps zero in sight. Of traces whose names end alike after " · "
    (one for each drug) only the first stands in the legend, and switches all. Headings stand above their panel, not along its axis: long ones stay readable.
    """
    drawn = [trace for trace in traces if trace is not None]
    if not drawn:
        return None
    named: set[str] = set()
    for trace in drawn:
        short = trace["name"].split(" · ")[-1]
        trace.update(name=short, legendgroup=short, showlegend=short not in named)
        named.add(short)
    axes = ["y" if i == 1 else f"y{i}" for i in range(1, len(panels) + 1)]
    used = [(axis, *panel) for axis, panel in zip(axes, panels) if any(trace["yaxis"] == axis for trace in drawn)]
    inner = sum(height for _, _, height in used) + PANEL_GAP_PX * (len(used) - 1)
    top_px = 20 + 20 * math.ceil(len(named) / 8) + 18 * bool(used[0][1])
    layout: Figure = {"xaxis": {"anchor": "free", "position": 0}, "annotations": [], "margin": {"l": 172, "r": 18, "t": top_px, "b": 46}}
    top = float(inner)
    for axis, heading, height in used:
        layout["yaxis" + axis[1:]] = {"domain": [round(max(0.0, top - height) / inner, 5), round(top / inner, 5)],
                                      "rangemode": "tozero" if from_zero else "normal"}
        layout["annotations"].append({"text": f"<b>{heading}</b>", "showarrow": False, "xref": "paper", "yref": "paper", "x": 0,
                                      "xanchor": "left", "y": round(top / inner, 5), "yanchor": "bottom", "bgcolor": "rgba(255,255,255,0.85)",
                                      "font": {"size": 12.5, "color": "#5b6675"}})
        top -= height + PANEL_GAP_PX
    return {"id": name, "title": title, "note": note, "traces": drawn, "layout": layout, "sync": sync,
            "height": inner + top_px + 46}


def volume(samples: Samples) -> Figure | None:
    """Demanded, ordered, delivered and missed volume, and what lies between them."""
    return _figure(
        "volume", "Volume: demanded, ordered, delivered",
        "Demanded is what the program asks for while delivery is permitted; ordered is what the motor was told to turn; "
        "delivered left the catheter tip in the plant. The lower panels show the differences.",
        [("volume, mL", 220), ("demanded − ordered, µL: stays below one pulse", 90), ("ordered − delivered, µL: slip of the head", 110), ("missed, µL", 90)],
        [_line(samples, "demanded", samples.get("demanded_nl", 1e-6), BLUE, unit="mL", width=4, opacity=0.45),
         _line(samples, "ordered", samples.get("ordered_nl", 1e-6), ORANGE, unit="mL"),
         _line(samples, "delivered", samples.get("delivered_ul", 1e-3), GREEN, unit="mL", dash="dash"),
         _line(samples, "demanded − ordered", samples.difference("demanded_nl", "ordered_nl", 1e-3, 1e-3), BLUE,
               panel=2, unit="µL", width=0.8),
         _line(samples, "ordered − delivered", samples.difference("ordered_nl", "delivered_ul", 1e-3), GREEN, panel=3, unit="µL"),
         _line(samples, "missed", samples.get("missed_nl", 1e-3), RED, panel=4, unit="µL", shape="hv")])


def reservoir(samples: Samples) -> Figure | None:
    """What is in the reservoir: in truth, as the level sensor reads it, as the firmware computes it."""
    return _figure(
        "reservoir", "Reservoir: true, sensed, computed",
        "The firmware knows only the sensor's reading and its own computation. Below: how far each is from the truth.",
        [("volume, mL", 220), ("difference from the truth, µL", 140)],
        [_line(samples, "sensed", samples.get("reservoir_sensed_ul", 1e-3), SKY, unit="mL", width=1.2),
         _line(samples, "true", samples.get("reservoir_true_ul", 1e-3), INK, unit="mL"),
         _line(samples, "computed", samples.get("reservoir_computed_ul", 1e-3), ORANGE, unit="mL", dash="dash"),
         _line(samples, "sensed − true", samples.difference("reservoir_sensed_ul", "reservoir_true_ul"), SKY, panel=2, unit="µL", width=1),
         _line(samples, "computed − true", samples.difference("reservoir_computed_ul", "reservoir_true_ul"), ORANGE, panel=2, unit="µL")])


def _dose_unit(values: Sequence[float]) -> tuple[float, str]:
    """(factor, unit) that makes doses in ng/day easy to read."""
    peak = max((value for value in values if value == value), default=0.0)
    return (1e-6, "mg/day") if peak >= 2e6 else (1e-3, "µg/day")


def dose(samples: Samples, days: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Pump rate, and for each drug the dose that left the catheter tip; `days` are the oracle's rows, if any."""
    traces = [_line(samples, "rate", samples.get("rate_nl_day", 1e-6), INK, unit="mL/day", shape="hv")]
    panels = [("rate, mL/day", 120)]
    dosed = [(drug, samples.get(f"tip_ng_{drug}")) for drug in samples.drugs]
    sampled = samples.get("dose_ng_day")
    if sampled and not any(total for _, total in dosed):
        factor, unit = _dose_unit(sampled)
        panels.append((f"dose, {unit}", 180))
        traces.append(_line(samples, "dose at the tip", [v * factor for v in sampled], BLUE, panel=2, unit=unit))
    for drug, total in dosed:
        if total is None:
            continue
        day = trailing_rate(samples.t_s, total, DAY_S)
        factor, unit = _dose_unit(day)
        panels.append((f"{drug}, {unit}", 180))
        panel = len(panels)
        traces.append(_line(samples, f"{drug} · hour by hour", [v * factor for v in trailing_rate(samples.t_s, total, 3600.0)],
                            SKY, panel=panel, unit=unit, width=1, opacity=0.6))
        expected = [row["tip_ng"].get(drug, 0.0) * factor for row in days]
        if expected:
            ends = [samples.axis((row["day"] + 1) * DAY_S) for row in days]
            # The oracle's last row may be a part of a day, whose sum is no daily dose.
            traces.append({"type": "scatter", "mode": "lines", "name": f"{drug} · expected of the day", "x": ends[:-1], "y": expected[:-1],
                           "yaxis": f"y{panel}", "line": {"color": ORANGE, "width": 4}, "opacity": 0.45,
                           "hovertemplate": f"%{{y:,.5~g}} {unit}<extra>{drug}, expected</extra>"})
        traces.append(_line(samples, f"{drug} · last 24 h", [v * factor for v in day], BLUE, panel=panel, unit=unit))
    return _figure("dose", "Rate and dose at the catheter tip",
                   "The rate is the pump's; the dose is drug leaving the tip in truth, over the last hour and the last 24 hours. "
                   "A new rate acts at once, a new concentration only after the catheter's dead volume.", panels, traces)


def concentration(samples: Samples) -> Figure | None:
    """Drug in the spinal fluid: lumbar, cisternal and at the effect site; and what of it, and of what leaked, is in the blood."""
    traces: list[Figure | None] = []
    panels: list[tuple[str, int]] = []
    for drug in samples.drugs:
        panels.append((f"{drug}, ng/mL", 220))
        for place, colour, width in (("lumbar", BLUE, 1.2), ("cisternal", PINK, 1.2), ("effect", GREEN, 2.2)):
            traces.append(_line(samples, f"{drug} · {place}",
                                samples.get(f"{place}_{drug}"), colour, panel=len(panels), unit="ng/mL", width=width))
        blood = samples.get(f"plasma_{drug}")
        if blood is not None:
            panels.append((f"{drug} in plasma, ng/mL", 110))
            traces.append(_line(samples, f"{drug} · plasma", blood, RED, panel=len(panels), unit="ng/mL", width=1.2))
    traces.append(_astray(samples, panels))
    return _figure("concentration", "Concentration in the spinal fluid and in the blood",
                   "Two compartments (lumbar, around the tip, and cisternal) and the effect site, which follows slowly; below, the blood, into "
                   "which the fluid clears, and into which goes what went astray: into the pocket, or out at a leak.", panels, traces)


def _astray(samples: Samples, panels: list[tuple[str, int]]) -> Figure | None:
    """The volume that went elsewhere than into the spinal fluid, in a panel of its own where there is any."""
    for drug in samples.drugs:
        samples.seen.add(f"astray_ng_{drug}")       # the mass is for samples.csv and expectations: its curve is the volume's
    volume_ul = samples.get("astray_ul")
    if volume_ul is None or not any(value > 0 for value in volume_ul):
        return None
    panels.append(("astray: in the pocket, or out of the line before the tip, µL", 110))
    return _line(samples, "astray", volume_ul, ORANGE, panel=len(panels), unit="µL", shape="hv")


def supply(samples: Samples) -> Figure | None:
    """Concentration in the reservoir and at the tip: refills, mixing and the catheter's delay."""
    traces: list[Figure | None] = []
    panels: list[tuple[str, int]] = []
    for drug in samples.drugs:
        panels.append((f"{drug}, µg/mL", 170))
        for column, name, colour, dash in ((f"reservoir_conc_{drug}", "in the reservoir", INK, "dot"), (f"tip_conc_{drug}", "at the tip", BLUE, "solid")):
            traces.append(_line(samples, f"{drug} · {name}", samples.get(column), colour,
                                panel=len(panels), unit="µg/mL", dash=dash))
    return _figure("supply", "Drug on its way: reservoir and catheter tip",
                   "After a refill with another concentration the tip follows one dead volume later.", panels, traces)


def oral(samples: Samples) -> list[Figure | None]:
    """The oral route beside the pump: level in the spinal fluid over the run, and a close-up of its last days."""
    figures: list[Figure | None] = []
    for drug in samples.drugs:
        by_mouth, pumped = samples.get(f"oral_csf_{drug}"), samples.get(f"lumbar_{drug}")
        samples.seen.add(f"oral_ng_{drug}")  # the mass swallowed stands in the report's table, not in a figure
        if by_mouth is None or not any(value > 0 for value in by_mouth):
            continue
        panels = [("spinal fluid, ng/mL (logarithmic)", 200), ("plasma, ng/mL (logarithmic)", 110)]
        whole = _figure(f"oral-{drug}", f"Tablets and pump: {drug}",
                        "The level tablets give in spinal fluid and plasma, beside the level the pump gives around its catheter.", panels,
                        [_line(samples, "tablets", by_mouth, ORANGE, unit="ng/mL", width=1.2),
                         _line(samples, "pump (lumbar)", pumped, BLUE, unit="ng/mL", width=2.2),
                         _line(samples, "tablets, in plasma", samples.get(f"oral_plasma_{drug}"), GREY, panel=2, unit="ng/mL", width=1.2)])
        if whole:
            for axis in ("y", "y2"):
                peak = max((v for trace in whole["traces"] if trace["yaxis"] == axis for v in trace["y"] if v == v), default=0.0)
                if peak > 0:
                    decade = math.log10(peak)
                    whole["layout"]["yaxis" + axis[1:]].update(type="log", exponentformat="none", dtick=1, range=[decade - 4, decade + 0.3])
        figures += [whole, _close_up(samples, drug, by_mouth, pumped)]
    return figures


def _close_up(samples: Samples, drug: str, by_mouth: Sequence[float], pumped: Sequence[float] | None) -> Figure | None:
    """How steady each route is: levels over the last days with tablets, in per cent of their own mean."""
    first, last = close_up_window(samples, by_mouth)
    traces = []
    for name, values, colour in (("tablets", by_mouth, ORANGE), ("pump (lumbar)", pumped, BLUE)):
        level = [value for value in (values or [])[first:last] if value == value]
        mean = sum(level) / len(level) if level else 0.0
        if values and mean > 0:
            traces.append(_line(samples, name, [100 * value / mean for value in values], colour, unit="% of its mean", width=2.2))
    figure = _figure(f"oral-{drug}-close", f"Steadiness: {drug} by tablet and by pump",
                     "Level in the spinal fluid over the last days with tablets, each in per cent of its own mean.",
                     [("per cent of own mean", 220)], traces, sync=False)
    if figure:
        for trace in figure["traces"]:
            trace["x"], trace["y"] = trace["x"][first:last], trace["y"][first:last]
    return figure


def close_up_window(samples: Samples, by_mouth: Sequence[float]) -> tuple[int, int]:
    """First and last + 1 index of the last CLOSE_UP_S with tablets: up to the last rise to half of the usual peak or more."""
    levels = sorted(value for value in by_mouth if value == value)
    usual = levels[int(0.9 * (len(levels) - 1))] or levels[-1]
    last = max((i for i in range(1, len(by_mouth)) if by_mouth[i] >= usual / 2 and by_mouth[i] > by_mouth[i - 1]), default=len(by_mouth) - 1)
    first = next(i for i, t_s in enumerate(samples.t_s) if t_s >= samples.t_s[last] - CLOSE_UP_S)
    return first, last + 1


def board(samples: Samples) -> Figure | None:
    """Battery and temperature."""
    return _figure("board", "Battery and temperature", "As the board's sensors see them.", [("battery, mV", 110), ("temperature, °C", 110)],
                   [_line(samples, "battery", samples.get("battery_mv"), GREEN, unit="mV"),
                    _line(samples, "temperature", samples.get("temperature_c"), ORANGE, panel=2, unit="°C")], from_zero=False)


def others(samples: Samples) -> Figure | None:
    """Columns no other figure knows; all but the first wait in the legend."""
    names = [name for name in samples.columns if name not in samples.seen]
    colours = (BLUE, ORANGE, GREEN, PINK, SKY, GREY, INK)
    traces = [_line(samples, name, samples.get(name), colours[i % len(colours)]) for i, name in enumerate(names)]
    drawn = [trace for trace in traces if trace is not None]
    for trace in drawn[1:]:
        trace["visible"] = "legendonly"
    return _figure("others", "Other recorded columns", "As recorded; click a name to show it.", [("as recorded", 220)], drawn, from_zero=False)


def _lane(name: str) -> str:
    """A name that the left margin has room for."""
    return name if len(name) <= MAX_LANE_LETTERS else name[:MAX_LANE_LETTERS - 1].rstrip() + "…"


def timeline(samples: Samples, events: Sequence[Mapping[str, str]], alarms: Sequence[Mapping[str, Any]], end_s: float) -> Figure | None:
    """Events in lanes by source and name, alarms as bars from raised to cleared, on the time axis of all figures."""
    lanes: dict[str, list[Mapping[str, str]]] = {}
    for event in events:
        lanes.setdefault(_lane(f"{event['source']} · {event['name']}"), []).append(event)
    if len(lanes) > MAX_EVENT_LANES:
        lanes = {}
        for event in events:
            lanes.setdefault(event["source"], []).append(event)
    order = list(LANE_COLOURS)
    names = sorted(lanes, key=lambda lane: (order.index(lane.split(" ")[0]) if lane.split(" ")[0] in order else len(order), lane))
    traces: list[Figure | None] = []
    alarm_lanes = []
    for alarm in alarms:
        lane = _lane(f"alarm · {alarm.get('name') or alarm.get('code')}")
        if lane not in alarm_lanes:
            alarm_lanes.append(lane)
        cleared = alarm.get("cleared_s")
        span = [samples.axis(alarm["raised_s"]), samples.axis(end_s if cleared is None else cleared)]
        traces.append({"type": "scatter", "mode": "lines+markers", "name": lane, "x": span, "y": [lane, lane], "yaxis": "y",
                       "line": {"color": RED, "width": 9}, "marker": {"color": RED, "size": 9, "symbol": "square"},
                       "hovertemplate": f"{lane} (code {alarm.get('code')}): {'standing' if cleared is None else 'cleared'}<extra></extra>"})
    for lane in names:
        # Every so many of a crowded lane, so that it stays crowded to its end.
        shown = lanes[lane][::math.ceil(len(lanes[lane]) * len(lanes) / EVENT_BUDGET)]
        traces.append({"type": "scatter", "mode": "markers", "name": lane, "x": [samples.axis(float(event["t_s"])) for event in shown],
                       "y": [lane] * len(shown), "yaxis": "y",
                       "customdata": [f"{event['name']} {event['detail']}"[:140] for event in shown],
                       "marker": {"color": LANE_COLOURS.get(lane.split(" ")[0], INK), "size": 9, "symbol": "diamond", "opacity": 0.85},
                       "hovertemplate": "%{customdata}<extra></extra>"})
    figure = _figure("timeline", "Events and alarms", "Zoom here or in any figure below: all move together; a double click shows the whole run. "
                     "Dotted lines in the other figures mark fills.", [("", 26 * len(names + alarm_lanes))], traces)
    if figure:
        figure["layout"]["yaxis"].update(type="category", categoryorder="array", categoryarray=(alarm_lanes + names)[::-1],
                                         range=[-0.6, len(names + alarm_lanes) - 0.4], fixedrange=True)
        figure["layout"].update(showlegend=False, margin={**figure["layout"]["margin"], "t": 10})
        figure["height"] = 26 * len(names + alarm_lanes) + 56
    return figure


def _alarmed(alarms: Sequence[Mapping[str, Any]], end_s: float) -> list[tuple[float, float]]:
    """Spans in which any alarm stood: one that is raised again while it stands is no darker."""
    spans: list[tuple[float, float]] = []
    for first_s, last_s in sorted((alarm["raised_s"], end_s if alarm.get("cleared_s") is None else alarm["cleared_s"]) for alarm in alarms):
        if spans and first_s <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(last_s, spans[-1][1])
        else:
            spans.append((first_s, last_s))
    return spans


def build(samples: Samples, events: Sequence[Mapping[str, str]], alarms: Sequence[Mapping[str, Any]],
          days: Sequence[Mapping[str, Any]], end_s: float) -> list[Figure]:
    """All figures that have data, thinned to the budget, on one time range, with fills and alarms marked in each."""
    found = [timeline(samples, events, alarms, end_s), volume(samples), dose(samples, days), concentration(samples), *oral(samples),
             supply(samples), reservoir(samples), board(samples), others(samples)]
    figures = [figure for figure in found if figure]
    limit = min(POINTS_PER_TRACE, POINT_BUDGET // max(1, sum(len(figure["traces"]) for figure in figures)))
    early = min([float(event["t_s"]) for event in events] + [0.0])
    # Trials lie before the implant; they share the axis unless they would squeeze the run into a corner.
    start_s = early if -early <= 0.1 * end_s else 0.0
    margin = 0.01 * (end_s - start_s)
    span = [samples.axis(start_s - margin), samples.axis(end_s + margin)]
    fills = [samples.axis(float(event["t_s"])) for event in events if event["name"] in ("fill", "refill")][:50]
    shapes = [{"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "layer": "below",
               "line": {"color": "#8a94a3", "width": 1.2, "dash": "dot"}} for x in fills]
    shapes += [{"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "fillcolor": RED, "opacity": 0.07,
                "line": {"width": 0}, "x0": samples.axis(first_s), "x1": samples.axis(last_s)} for first_s, last_s in _alarmed(alarms, end_s)[:50]]
    for figure in figures:
        figure["layout"]["xaxis"]["title"] = {
            "text": "hours since the start" if samples.in_hours else "days since the start", "font": {"size": 12.5}}
        if figure["sync"]:
            figure["layout"]["xaxis"]["range"] = span
            figure["layout"]["shapes"] = shapes
        for trace in figure["traces"]:
            if trace["mode"] == "lines":
                trace["x"], trace["y"] = thin(trace["x"], trace["y"], limit)
    return figures
