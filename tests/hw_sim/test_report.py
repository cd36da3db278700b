"""The report of a recorded run: everything it was told stands in it, and nothing it was not told is needed."""
import html
import json
import re
import shutil
import subprocess

import pytest

from thecal.hw_sim.oracle import DAY_US, Oracle
from thecal.hw_sim.recorder import Recorder
from thecal.hw_sim.report import moment, number, read_events, read_samples, span, write

RESULT = {
    "schema": "thecal.run/1", "verdict": "fail", "runtime": "micropython", "trace_hash": "9f3c2b7d", "seed": 7, "scenario": "b1",
    "title": "Baclofen <six> months", "confidence": "C: constructed", "virtual_s": 864_000, "wall_s": 0.5, "wakes": 9000, "pulses": 3000,
    "demanded_nl": 3_000_000, "ordered_nl": 2_999_500, "delivered_nl": 2_940_000, "missed_nl": 25_000,
    "alarms": [{"code": 12, "name": "motor stall", "raised_s": 172_800, "cleared_s": 176_400}, {"code": 7, "name": "battery", "raised_s": 9, "cleared_s": None}],
    "expectations": [{"name": "met one", "ok": True, "value": 1, "bound": 2}, {"name": "missed one", "ok": False, "value": 61.25, "bound": 30, "unit": "%"}],
    "repeat": "thecal-sim run b1.toml --seed 7", "firmware": {"runtime": "MicroPython 1.28", "version": "0.1.0"}, "notes": ["a & b"]}


@pytest.fixture
def run_dir(tmp_path):
    with Recorder(tmp_path, sample_s=3600) as recorder:
        recorder.event(0, "clinician", "fill", "20 mL <b>baclofen</b>")
        for hour in range(241):
            recorder.sample(hour * 3_600_000_000, {
                "rate_nl_day": 300_000, "demanded_nl": 12_500 * hour, "ordered_nl": 12_500 * hour, "delivered_ul": 12.25 * hour,
                "tip_ng_baclofen": 6125.0 * hour, "lumbar_baclofen": 400.0, "oral_csf_baclofen": 20.0 + hour % 6, "oral_ng_baclofen": 80e6 / 24 * hour})
    return tmp_path


def text_of(page):
    """What a reader sees outside the scripts."""
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)))


def test_everything_stands_in_one_self_contained_file(run_dir):
    path = write(RESULT, run_dir)
    page, seen = path.read_text(), text_of(path.read_text())
    assert path == run_dir / "report.html" and path.stat().st_size < 6_000_000
    assert page.count("plotly.js v") == 1 and "<script src" not in page and "<link" not in page
    for told in ("Not a medical device", "Baclofen <six> months", "FAIL", "on real MicroPython, firmware 0.1.0", "1 of 2 expectations met; not met: missed one",
                 "61.25", "motor stall", "day 2, 00:00:00", "standing", "thecal-sim run b1.toml --seed 7", "9f3c2b7d", "a & b", "-1.98 % of ordered",
                 "10 d", "20 mL <b>baclofen</b>", "samples.csv"):
        assert told in re.sub(r"\s+", " ", seen), told
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.S).group(1))
    assert {figure["id"] for figure in figures} >= {"timeline", "volume", "dose", "concentration", "oral-baclofen"}
    assert all(f'id="figure-{figure["id"]}"' in page for figure in figures)


def test_what_failed_stands_on_top(run_dir):
    seen = text_of(write(RESULT, run_dir).read_text())
    assert seen.index("✗ not met") < seen.index("✓ met")


def test_what_a_firmware_does_not_tell_is_neither_met_nor_failed(run_dir):
    rows = [{"name": "a", "ok": True, "value": 1, "bound": 1}, {"name": "b", "ok": None, "value": None, "bound": 2}]
    seen = re.sub(r"\s+", " ", text_of(write({**RESULT, "expectations": rows}, run_dir).read_text()))
    assert "1 of 1 expectations met. 1 not applicable." in seen and "n/a b – 2" in seen and "not met" not in seen


def test_tablets_and_pump_in_figures(run_dir):
    seen = re.sub(r"\s+", " ", text_of(write(RESULT, run_dir).read_text()))
    assert "baclofen tablets 80 mg" in seen and "baclofen pump 0.147 mg 400 400 400 1" in seen


def test_the_oracles_days_are_a_table(run_dir):
    oracle = Oracle()
    oracle.fill(0, 20_000_000, {"baclofen": 500})
    oracle.program(0, 300_000)
    oracle.outage(DAY_US, DAY_US + DAY_US // 12, "stall")
    seen = re.sub(r"\s+", " ", text_of(write({**RESULT, "days": oracle.day_table(10 * DAY_US)}, run_dir).read_text()))
    assert "10 days, by the oracle" in seen and "1 275 137.5 stall 25" in seen


@pytest.mark.parametrize("result", [{}, {"verdict": "pass"}, {"alarms": None, "expectations": None, "virtual_s": None, "firmware": None},
                                    {"runtime": "renode", "drugs": {"baclofen": {"hard": 2000}}, "missed_nl": {"stall": 3}}])
def test_a_bare_result_and_an_empty_folder_still_make_a_report(tmp_path, result):
    seen = text_of(write(result, tmp_path).read_text())
    assert "Not a medical device" in seen and "No alarm was raised" in seen


def test_a_run_cut_short_can_be_read(tmp_path):
    (tmp_path / "samples.csv").write_text("t_s,rate_nl_day,lumbar_x\n0,300000,1\n3600,3000\n7200,,5\n")
    (tmp_path / "events.csv").write_text("t_s,source,name,detail\n0,pump,boot,\n5,pu")
    samples = read_samples(tmp_path / "samples.csv")
    assert list(samples.t_s) == [0, 3600, 7200] and samples.columns["rate_nl_day"][1] == 3000
    assert read_events(tmp_path / "events.csv") == [{"t_s": "0", "source": "pump", "name": "boot", "detail": ""}]
    write({}, tmp_path)


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "samples.csv").write_text("t_s,rate_nl_day\n0,1\n60,many\n")
    with pytest.raises(ValueError, match="samples.csv line 3: could not convert string to float: 'many'"):
        read_samples(tmp_path / "samples.csv")


@pytest.mark.parametrize("value, text", [(1234567, "1,234,567"), (0.12345, "0.1235"), (61.25, "61.25"), (12345.6, "12,346"), (3e-13, "3e-13"),
                                         (float("nan"), "nan"), (float("inf"), "inf"), (None, "–"), (True, "True"), ("<x>", "&lt;x&gt;"), (5.0, "5")])
def test_numbers_read_well(value, text):
    assert number(value) == text


def test_moments_and_spans():
    assert moment(93 * 86_400 + 4 * 3600 + 12 * 60 + 30) == "day 93, 04:12:30" and moment("-259200") == "day -3, 00:00:00" and moment(None) == "–"
    assert [span(s) for s in (3.42, 300, 10_800, 15_552_000)] == ["3.42 s", "5 min", "3 h", "180 d"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium to draw the page")
def test_a_browser_draws_every_figure_offline(run_dir, tmp_path):
    path = write(RESULT, run_dir)
    probe = tmp_path / "probe.html"
    count = ("<script>setTimeout(function () { document.title = 'drawn ' + document.querySelectorAll('.js-plotly-plot .subplot').length; }, 3000);"
             "</script></body>")
    probe.write_text(path.read_text().replace("</body>", count))
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=15000", "--enable-logging=stderr", "--dump-dom", probe.as_uri()],
        capture_output=True, text=True, timeout=120)
    drawn = re.search(r"<title>drawn (\d+)</title>", done.stdout)
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', path.read_text(), re.S).group(1))
    panels = sum(1 for figure in figures for key in figure["layout"] if key.startswith("yaxis"))
    assert drawn and int(drawn.group(1)) == panels and "CONSOLE" not in done.stderr
