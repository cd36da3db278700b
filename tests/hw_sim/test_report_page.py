"""The page fetches nothing, holds plotly once, and cannot be broken by what it shows."""
import json
import re

from thecal.hw_sim.report_page import BANNER, SCRIPT, page


def test_skeleton_has_the_banner_first_and_no_way_out():
    text = page("a < b", "<p>body</p>", [], "")
    assert text.startswith("<!DOCTYPE html>") and "<title>a &lt; b</title>" in text
    assert BANNER.startswith("Not a medical device") and text.index(BANNER) < text.index("<p>body</p>")
    assert "default-src 'none'" in text and "<script" not in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)


def test_figures_survive_hostile_text():
    evil = {"id": "x", "traces": [{"name": "</script><script>alert(1)</script>"}]}
    text = page("t", "b", [evil], "var Plotly;")
    data = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.S).group(1)
    assert "<" not in data and json.loads(data) == [evil]
    assert text.count("<script") == 3 and text.count("var Plotly;") == 1


def test_the_tool_bar_has_no_button_that_uploads():
    assert "modeBarButtons:buttons" in SCRIPT and "[['toImage'], ['zoom2d', 'pan2d', 'resetScale2d']]" in SCRIPT
    assert "plotlyServerURL:''" in SCRIPT
