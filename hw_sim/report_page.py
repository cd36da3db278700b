"""The report's paper: style, the script that draws and links the figures, and the skeleton that holds them.

The page loads nothing: plotly.js stands in it once, the content policy forbids any request, and without a script the
tables are still there.
"""
from __future__ import annotations

import json
from html import escape
from typing import Any

BANNER = "Not a medical device. Simulated data; not for clinical use."

STYLE = """
:root { --ink:#1b2430; --soft:#5b6675; --line:#dfe4ea; --paper:#ffffff; --back:#f3f5f8; --good:#00714f; --bad:#b3261e; --blue:#0067a8; }
* { box-sizing:border-box; }
body { margin:0; background:var(--back); color:var(--ink); font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif; }
.banner { background:#ffe9a8; color:#4a3800; text-align:center; padding:7px 16px; font-weight:600; border-bottom:1px solid #e4c558; }
main { max-width:1240px; margin:0 auto; padding:26px 24px 60px; }
header .kind { color:var(--soft); letter-spacing:.04em; font-size:13px; }
h1 { font-size:28px; line-height:1.2; margin:4px 0 6px; }
h2 { font-size:18px; margin:0 0 2px; }
.note { color:var(--soft); margin:0 0 8px; font-size:13.5px; max-width:95ch; }
.card { background:var(--paper); border:1px solid var(--line); border-radius:10px; padding:18px 20px; margin-top:16px; }
.verdict { display:flex; gap:20px; align-items:center; border-left:8px solid var(--good); }
.verdict.fail { border-left-color:var(--bad); }
.verdict .word { font-size:34px; font-weight:750; letter-spacing:.03em; color:var(--good); line-height:1; }
.verdict.fail .word { color:var(--bad); }
.verdict p { margin:0; }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(150px,1fr)); gap:12px; margin-top:16px; }
.tile { background:var(--paper); border:1px solid var(--line); border-radius:10px; padding:12px 14px; }
.tile .label { color:var(--soft); font-size:12.5px; } .tile .value { font-size:21px; font-weight:650; font-variant-numeric:tabular-nums; }
.tile .more { color:var(--soft); font-size:12.5px; }
.pair { display:grid; grid-template-columns:3fr 2fr; gap:16px; align-items:start; } @media (max-width:900px) { .pair { grid-template-columns:1fr; } }
.scroll { overflow-x:auto; }
table { border-collapse:collapse; width:100%; font-size:14px; } th { text-align:left; color:var(--soft); font-weight:600; font-size:12.5px; }
th,td { padding:6px 10px 6px 0; border-bottom:1px solid var(--line); vertical-align:top; } tr:last-child td { border-bottom:0; }
td.n,th.n { text-align:right; font-variant-numeric:tabular-nums; white-space:nowrap; } td.n .wrap { white-space:normal; } td.t { white-space:nowrap; font-variant-numeric:tabular-nums; }
.mark { font-weight:700; white-space:nowrap; } .ok .mark { color:var(--good); } .no .mark { color:var(--bad); } tr.no { background:#fdf1f0; }
code,pre { font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; }
pre { background:#1b2430; color:#eef2f6; border-radius:8px; padding:12px 14px; margin:6px 0 0; white-space:pre-wrap; overflow-wrap:anywhere; }
details summary { cursor:pointer; font-weight:600; } details[open] summary { margin-bottom:8px; }
dl { display:grid; grid-template-columns:max-content 1fr; gap:3px 18px; margin:0; font-size:14px; } dt { color:var(--soft); } dd { margin:0; overflow-wrap:anywhere; }
.foot { color:var(--soft); font-size:13px; margin-top:26px; }
@media print { body { background:#fff; } .card,.tile { break-inside:avoid; } }
"""

# All figures have one left margin (report_figures), so that one instant stands at one place all down the page.
SCRIPT = """
(function () {
  const figures = JSON.parse(document.getElementById('figures').textContent);
  const axis = {gridcolor:'#eceff3', linecolor:'#c5ccd5', zerolinecolor:'#d5dae1', ticks:'outside', tickcolor:'#c5ccd5', automargin:false, exponentformat:'none', separatethousands:true};
  // Named one by one: plotly's own set has a button that uploads the chart's data.
  const buttons = [['toImage'], ['zoom2d', 'pan2d', 'resetScale2d']];
  const linked = [];
  let moving = false;
  for (const figure of figures) {
    const box = document.getElementById('figure-' + figure.id);
    const layout = Object.assign({}, figure.layout, {height:figure.height, autosize:true, hovermode:figure.id === 'timeline' ? 'closest' : 'x unified', hoversubplots:'axis',
      paper_bgcolor:'rgba(0,0,0,0)', plot_bgcolor:'#ffffff',
      font:{family:'system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif', size:12.5, color:'#1b2430'}, dragmode:'zoom',
      modebar:{bgcolor:'rgba(0,0,0,0)', color:'#b6bfca', activecolor:'#0067a8'}, hoverlabel:{bgcolor:'#ffffff', bordercolor:'#dfe4ea'},
      legend:{orientation:'h', x:0, xanchor:'left', yref:'container', y:1, yanchor:'top', font:{size:12.5}}});
    for (const key of Object.keys(layout))
      if (/^[xy]axis/.test(key)) layout[key] = Object.assign({}, axis, layout[key]);
    Plotly.newPlot(box, figure.traces, layout, {responsive:true, displaylogo:false, displayModeBar:'hover', modeBarButtons:buttons, plotlyServerURL:''});
    if (!figure.sync) continue;
    linked.push(box);
    const whole = figure.layout.xaxis.range.slice();
    box.on('plotly_relayout', function (change) {
      if (moving) return;
      let range = null;
      if (change['xaxis.autorange']) range = whole;
      else if (change['xaxis.range[0]'] !== undefined) range = [change['xaxis.range[0]'], change['xaxis.range[1]']];
      else if (change['xaxis.range']) range = change['xaxis.range'];
      if (!range) return;
      moving = true;
      Promise.all(linked.map(other => Plotly.relayout(other, {'xaxis.range':range.slice()}))).finally(function () { moving = false; });
    });
  }
})();
"""


def page(title: str, body: str, figures: list[dict[str, Any]], plotly_js: str) -> str:
    """The whole HTML text. `body` is HTML already escaped; `figures` are drawn into elements `figure-<id>`."""
    data = json.dumps(figures, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    scripts = f'<script>{plotly_js}</script>\n<script type="application/json" id="figures">{data}</script>\n<script>{SCRIPT}</script>\n' if figures else ""
    policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n'
            f'<body>\n<div class="banner" role="note">{BANNER}</div>\n<main>\n{body}\n</main>\n{scripts}</body>\n</html>\n')
