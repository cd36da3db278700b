"""The link bench prints whole rows. Download and round trips are virtual time, so their figures are the same everywhere and are judged here."""

import pytest

from thecal.firmware.event_log import DAYS, EVENTS
from thecal.hw_sim import bench_link
from thecal.hw_sim.runner import RuntimeMissing
from thecal.protocol.catalogue import DAY_BYTES, EVENT_BYTES

pytestmark = pytest.mark.slow      # whole runs in processes of their own: for `make test`, not for daily work


def test_a_full_log_comes_down_at_85_percent_of_the_line(monkeypatch):
    monkeypatch.setattr(bench_link, "STORE_BYTES", 50_000)
    found = bench_link.download("inprocess")
    assert found["bytes"] == EVENTS * EVENT_BYTES + DAYS * DAY_BYTES
    assert 0.85 <= found["share"] < found["busy"] <= 1
    assert 170_000 / found["bytes"] * found["virtual_s"] <= 18


def test_round_trips_are_those_of_the_line(monkeypatch):
    monkeypatch.setattr(bench_link, "ROUNDS", 5)
    found = bench_link.round_trips()
    assert 5 < found["status_ms"] < 25 < found["order_ms"] < 100


@pytest.mark.micropython
def test_every_row_is_whole(monkeypatch, wasm_or_none):
    monkeypatch.setattr(bench_link, "FRAMES", 100)
    monkeypatch.setattr(bench_link, "STORE_BYTES", 50_000)
    monkeypatch.setattr(bench_link, "ROUNDS", 2)
    said = []
    found = bench_link.link(said.append)
    assert (found["schema"], found["bench"], len(said)) == ("thecal.bench/1", "link", 4)
    names = [row["name"] for row in found["bars"]]
    assert names[:4] == ["log download, share of the line rate", "a full store of 170 KB", "status frames decoded, MicroPython 64-bit",
                         "200-byte stage frames decoded, MicroPython 64-bit"]
    assert len(names) == (6 if wasm_or_none else 4) and len(found["notes"]) == (0 if wasm_or_none else 1)
    for row in found["bars"]:
        assert {"name", "value", "unit", "bar", "ok"} <= set(row) and row["value"] > 0
    assert [row["name"] for row in found["figures"][:3]] == [
        "status, there and back (virtual)", "an order: stage, check, read back, commit (virtual)", "seal and open 8 bytes, MicroPython 64-bit"]


@pytest.fixture
def wasm_or_none():
    try:
        bench_link.wasm_module()
    except RuntimeMissing:
        return None
    return True


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("NODE_MODULES", str(tmp_path))
    with pytest.raises(RuntimeMissing, match="make node"):
        bench_link.wasm_module()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeMissing, match="Node is missing"):
        bench_link.wasm_module()
