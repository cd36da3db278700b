"""The speed bench prints whole rows; how fast the machine is today is not for a test to judge."""

import pytest

from thecal.hw_sim import bench

pytestmark = pytest.mark.slow      # whole runs in processes of their own: for `make test`, not for daily work


@pytest.fixture
def quick(monkeypatch):
    """The same rows over little virtual time."""
    monkeypatch.setattr(bench, "DENSE_S", 2)
    monkeypatch.setattr(bench, "HALF_YEAR", "bench-24ml")


@pytest.mark.micropython
def test_rows_have_figure_bar_and_verdict(quick):
    said = []
    found = bench.speed(said.append)
    assert found["schema"] == "thecal.bench/1"
    assert len(said) == 5
    by_name = {row["name"]: row for row in found["bars"]}
    assert set(by_name) == {
        "180 days at 0.5 mL/day, MicroPython tethered", "180 days at 0.5 mL/day, in-process", "24 mL/day, MicroPython tethered",
        "synthetic 100 Hz, MicroPython tethered", "one trace hash on both runtimes"}
    for row in by_name.values():
        assert {"name", "value", "unit", "bar", "ok"} <= set(row)
    slow = by_name["180 days at 0.5 mL/day, MicroPython tethered"]
    assert slow["ok"] is (slow["value"] <= slow["bar"])
    assert slow["us_per_wake"] > 0 and slow["wakes"] > 17_000
    assert by_name["one trace hash on both runtimes"]["ok"] is True
    assert found["bare_exchange_us"] > 0


def test_a_benchmark_run_that_went_wrong_is_no_figure(monkeypatch):
    monkeypatch.setattr(bench, "play", lambda scenario, world: world.close() or {
        "verdict": "fail", "expectations": [{"name": "demanded as prescribed", "ok": False}]})
    with pytest.raises(RuntimeError, match="demanded as prescribed"):
        bench._play("bench-24ml", "inprocess")
