"""Figures have named axes, gaps where nothing was found, and a page that loads nothing."""

import json
import re

from thecal.hw_sim import bench_plots as plots


def test_a_line_has_gaps_where_there_is_no_figure():
    drawn = plots.line("a", [1, 2, 3], [1.0, None, float("inf")], plots.BLUE, unit="h")
    assert drawn["y"] == [1.0, None, None] and drawn["mode"] == "lines" and "h<extra>a" in drawn["hovertemplate"]
    assert plots.line("a", [1], [2.0], plots.BLUE, dash="", marker="x")["mode"] == "markers"
    assert plots.line("a", [1], [2.0], plots.BLUE, text=["two"])["text"] == ["two"]


def test_an_axis_says_quantity_and_bounds():
    assert plots.axis("hours", (1, 10), log=True, low=1, high=100)["range"] == [0.0, 2.0]
    assert plots.axis("hours", low=1, high=100)["range"] == [1, 100] and plots.axis("hours")["title"]["text"] == "hours"


def test_a_family_is_one_colour_and_may_be_one_entry_of_the_legend():
    members = [(", mean", [1.0, 2.0], {"marker": "circle"}), (", least", [0.5, None], {"dash": "dot"})]
    each = plots.family("a", [1, 2], members, plots.BLUE, unit="h")
    assert [one["name"] for one in each] == ["a, mean", "a, least"] and all(one["showlegend"] for one in each)
    both = plots.family("a", [1, 2], members, plots.BLUE, unit="h", one_entry=True)
    assert [one["showlegend"] for one in both] == [True, False] and {one["legendgroup"] for one in both} == {"a"}
    assert {one["line"]["color"] for one in both} == {plots.BLUE} and both[1]["line"]["dash"] == "dot"


def test_the_axis_of_rates_has_the_rates_that_were_measured():
    axis = plots.rate_axis((500_000, 50_000, 24_000_000, 500_000))
    assert axis["tickvals"] == [0.05, 0.5, 24.0] and axis["type"] == "log" and "mL/day" in axis["title"]["text"]


def test_a_page_holds_bars_figures_and_tables_and_nothing_from_elsewhere(tmp_path):
    made = plots.figure("f", "Title", "Note", plots.axis("x, h"), plots.axis("y, %", (1, 10), log=True), [plots.line("a<b", [1], [2.0], plots.BLUE)],
                        level=(5.0, "bar"))
    assert made["traces"][-1]["name"] == "bar" and made["layout"]["shapes"][0]["y0"] == 5.0
    bars = [{"name": "met", "value": 1.0, "unit": "h", "bar": 2, "ok": True}, {"name": "<missed>", "value": None, "unit": "h", "bar": 2, "ok": False,
                                                                               "note": "why"},
            {"name": "n/a", "value": 3.0, "unit": "h", "bar": 2, "ok": None}]
    found = {"bench": "x", "bars": bars, "repeat": "thecal-sim bench x", "wall_s": {"all": 1.0}}
    text = plots.write(found, tmp_path / "out", "A title", "A lead", [made], [("Rows", "what", "<table></table>")]).read_text(encoding="utf-8")
    assert "&lt;missed&gt;" in text and "MISSED" in text and "Repeat: thecal-sim bench x. all 1 s" in text and 'id="figure-f"' in text
    drawn = json.loads(re.search(r'id="figures">(.*?)</script>', text, re.S).group(1))
    assert drawn[0]["layout"]["xaxis"]["title"]["text"] == "x, h" and "default-src 'none'" in text
