"""Captures: what is written is read again, a run's wire.jsonl and a recorded session are captures too, and anything else is one sentence."""

import json

import pytest

from thecal.hw_sim import capture
from thecal.hw_sim.recorder import Recorder


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    writer = capture.Writer(path, "a note")
    writer.add(1, "host", b"\x01\x00")
    writer.add(2, "pump", b"", b"\x02\x00")
    assert len(path.read_text().splitlines()) == 3          # each row at once: an interrupted capture is whole
    writer.close()
    assert json.loads(path.read_text().splitlines()[0]) == {"schema": "thecal.capture/1", "note": "a note"}
    assert list(capture.read(path)) == [capture.Row(1, "host", b"\x01\x00", b"\x01\x00"), capture.Row(2, "pump", b"", b"\x02\x00")]


def test_the_recorders_wire_is_a_capture(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.uart(5, "host", b"\xff\x00")
        recorder.uart(6, "pump", b"\x01", b"\x02")
    assert list(capture.read(tmp_path / "wire.jsonl")) == [capture.Row(5, "host", b"\xff\x00", b"\xff\x00"), capture.Row(6, "pump", b"\x01", b"\x02")]


def test_a_recorded_session_is_the_hosts_half(tmp_path):
    path = tmp_path / "session.jsonl"
    path.write_text('{"schema": "thecal.session/1", "scenario": "none"}\n{"t_us": 7, "hex": "0100"}\n{"end_us": 9, "trace_hash": "ab"}\n')
    assert list(capture.read(path)) == [capture.Row(7, "host", b"\x01\x00", b"\x01\x00")]


@pytest.mark.parametrize(("text", "what"), [
    ("no json", "line 1 cannot be read"), ('{"t_us": 1, "dir": "host", "hex": "0"}', "line 1 cannot be read"), ('{"t_us": 1, "dir": "host"}', "line 1 cannot"),
    ('{"schema": "thecal.capture/1"}\n{"t_us": 1, "dir": "rx", "hex": "00"}', "line 2 has dir 'rx', it must be host or pump"), ("[]", "line 1 cannot"),
    ('{"t_us": null, "hex": "00"}', "line 1 cannot")])
def test_what_is_no_capture(tmp_path, text, what):
    path = tmp_path / "x"
    path.write_text(text)
    with pytest.raises(capture.CaptureError, match=what) as refused:
        list(capture.read(path))
    assert str(path) in str(refused.value)
