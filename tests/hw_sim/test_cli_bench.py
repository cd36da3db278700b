"""`thecal-sim bench trumpet | latency | detection | calibration` as a user meets them: object, table, page, exit status."""

import json

import pytest
from click.testing import CliRunner

from thecal.hw_sim import bench_calibration, bench_trumpet
from thecal.hw_sim.cli import cli


def call(*words):
    return CliRunner().invoke(cli, ["bench", *words], standalone_mode=False, catch_exceptions=False)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(bench_calibration, "WHOLE", ())
    whole = bench_calibration.calibration
    monkeypatch.setattr(bench_calibration, "calibration", lambda say, **options: whole(say, heads=(), **options))


def test_an_object_on_stdout_and_a_page_in_the_folder(quick, tmp_path):
    result = call("calibration", "--pumps", "10", "--json", "--out", str(tmp_path))
    found = json.loads(result.stdout)
    assert (result.return_value or 0) == 0 and found["schema"] == "thecal.bench/1" and found["repeat"].startswith("thecal-sim bench calibration "
        "--pumps 10")
    assert {path.name for path in tmp_path.iterdir()} == {"bench-calibration.json", "bench-calibration.html"}
    assert "10 pumps over 7 years" in result.stderr


def test_a_table_and_a_bar_that_is_missed(quick, monkeypatch):
    monkeypatch.setattr(bench_calibration, "LEAST_GAIN", 0.0)
    result = call("calibration", "--pumps", "5")
    assert result.return_value == 1 and "MISSED" in result.stdout and "ok" in result.stdout


@pytest.mark.parametrize("name", ["trumpet", "latency", "detection", "calibration"])
def test_every_bench_has_its_help(name):
    result = CliRunner().invoke(cli, ["bench", name, "--help"])
    assert result.exit_code == 0 and "--json" in result.stdout and "--out" in result.stdout and "--runtime" in result.stdout


def test_the_runtime_is_handed_on(monkeypatch):
    heard = []
    monkeypatch.setattr(bench_trumpet, "trumpet", lambda say, runtime: heard.append(runtime) or {"bench": "trumpet", "bars": [], "wall_s": {}})
    assert (call("trumpet", "--runtime", "micropython").return_value or 0) == 0 and heard == ["micropython"]
