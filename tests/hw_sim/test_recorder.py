"""The recorder's files hold what was told, in order, whatever the buffering; the hash depends on the bytes alone."""
import csv
import json
import re

import pytest
from vcd.reader import TokenKind, tokenize

from thecal.hw_sim import recorder as module
from thecal.hw_sim.recorder import PIN_LOOKAHEAD_US, Recorder


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def vcd_changes(path):
    """[(t_us, name, value)] of a VCD file, read by the rules of the format and not through pyvcd."""
    text = path.read_text()
    names = {ident: name for ident, name in re.findall(r"\$var \w+ \d+ (\S+) (\S+) \$end", text)}
    now, found = None, []
    for line in text.split("$enddefinitions $end")[1].split("\n"):
        if line.startswith("#"):
            now = int(line[1:])
        elif line.startswith("b"):
            value, ident = line[1:].split()
            found.append((now, names[ident], int(value, 2)))
        elif line and line[0] in "01":
            found.append((now, names[line[1:]], int(line[0])))
    return found


def test_every_pulse_is_in_the_file_in_order_across_many_buffers(tmp_path):
    with Recorder(tmp_path) as recorder:
        for i in range(10_000):
            recorder.pulse(i * 172_800_000, 117 + i % 2, 500_000)
    got = rows(tmp_path / "pulses.csv")
    assert got[0] == ["t_us", "steps", "hold_us"]
    assert [int(row[0]) for row in got[1:]] == [i * 172_800_000 for i in range(10_000)]
    assert recorder.pulses == 10_000 and recorder.steps == sum(int(row[1]) for row in got[1:]) == 1_175_000


def test_memory_stays_a_buffer(tmp_path):
    with Recorder(tmp_path) as recorder:
        for i in range(3 * module.FLUSH_ROWS):
            recorder.pulse(i, 1, 1)
            recorder.pins(i * 1000, i % 2, i, 0)
            recorder.exchange(b"x" * 64, b"y" * 64)
            assert len(recorder._pulse_rows) < module.FLUSH_ROWS and len(recorder._pin_rows) < module.FLUSH_ROWS + 600
            assert len(recorder._exchanges) < module.FLUSH_BYTES + 200


def test_pins_become_a_vcd_in_time_order_with_the_drop_told_ahead(tmp_path):
    with Recorder(tmp_path) as recorder:
        for i in range(5000):
            recorder.pins(i * 1_000_000, 1, 117, 0)
            recorder.pins(i * 1_000_000 + 117_000, 0, 0, 0)
        recorder.pins(5_000_000_000 + 400_000, 0, 0, 1)   # told 400 ms ahead of what follows
        recorder.alarm(5_000_000_000 + 100_000, 7)
        recorder.alarm(5_000_000_000 + 900_000, 0)
    changes = vcd_changes(tmp_path / "pins.vcd")
    times = [t_us for t_us, _, _ in changes]
    assert times == sorted(times)
    assert sum(1 for _, name, value in changes if name == "enable" and value) == 5000
    assert (117_000, "enable", 0) in changes and (117_000, "pulse", 0) in changes and (0, "pulse", 117) in changes
    assert [c for c in changes if c[1] == "alarm" and c[0]] == [(5_000_100_000, "alarm", 7), (5_000_900_000, "alarm", 0)]
    assert changes[-2] == (5_000_400_000, "tone", 1)


def test_pins_that_reach_back_beyond_the_lookahead_are_refused(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.pins(10_000_000, 1, 5, 0)
    recorder.pins(10_000_000 + PIN_LOOKAHEAD_US, 0, 0, 0)
    recorder.flush()
    recorder.pins(9_000_000, 1, 5, 0)
    with pytest.raises(ValueError, match="pins at 9 s were told after pins at 10 s"):
        recorder.close()
    assert all(file.closed for file in recorder._files.values())


def test_samples_fix_their_columns_and_give_the_cadence(tmp_path):
    recorder = Recorder(tmp_path, sample_s=300)
    assert recorder.next_sample_us == 0
    recorder.sample(0, {"rate_nl_day": 300_000, "tip_ng_baclofen": 0.1 + 0.2})
    assert recorder.next_sample_us == 300_000_000
    recorder.sample(450_000_001, {"tip_ng_baclofen": None, "rate_nl_day": 1})
    assert recorder.next_sample_us == 600_000_000
    recorder.sample(600_000_000, {"rate_nl_day": 2})
    with pytest.raises(ValueError, match="sample at 900 s brings column 'new'"):
        recorder.sample(900_000_000, {"rate_nl_day": 2, "new": 1})
    recorder.close()
    assert rows(tmp_path / "samples.csv") == [
        ["t_s", "rate_nl_day", "tip_ng_baclofen"], ["0", "300000", "0.3"], ["450.000001", "1", ""], ["600", "2", ""]]


@pytest.mark.parametrize("t_us, text", [(0, "0"), (1, "0.000001"), (-259_200_000_000, "-259200"), (1_500_000, "1.5"),
                                        (-1_500_000, "-1.5"), (31_536_000_000_001, "31536000.000001")])
def test_seconds_are_exact(t_us, text):
    assert module._seconds(t_us) == text


def test_events_survive_commas_quotes_and_newlines(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.event(-259_200_000_000, "clinician", "trial", 'baclofen "50 ug", no\nresponse')
        recorder.event(5, "fault", "kink", {"b": 1, "a": 2})
        with pytest.raises(ValueError, match="event source is 'ghost'"):
            recorder.event(6, "ghost", "x")
    assert rows(tmp_path / "events.csv")[1:] == [
        ["-259200", "clinician", "trial", 'baclofen "50 ug", no\nresponse'], ["0.000005", "fault", "kink", '{"a": 2, "b": 1}']]


def test_wire_bytes_are_json_lines(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.uart(7, "rx", bytearray(b"\x00\xff"))
    assert json.loads((tmp_path / "wire.jsonl").read_text()) == {"t_us": 7, "dir": "rx", "hex": "00ff"}


def hash_of(exchanges):
    recorder = Recorder(None)
    for inputs, reply in exchanges:
        recorder.exchange(inputs, reply)
    return recorder.trace_hash


def test_hash_needs_no_folder_and_tells_exchanges_apart(monkeypatch):
    trace = [(bytes([i % 251]) * (i % 40), b"reply%d" % i) for i in range(3000)]
    whole = hash_of(trace)
    assert len(whole) == 32 and whole == hash_of(trace)
    monkeypatch.setattr(module, "FLUSH_BYTES", 1)
    assert hash_of(trace) == whole, "the hash must not depend on the buffer size"
    assert hash_of([(b"ab", b"c")]) != hash_of([(b"a", b"bc")]) != hash_of([(b"", b"abc")])
    assert hash_of(trace[:-1]) != whole


def test_hash_may_be_read_midway():
    recorder = Recorder(None)
    recorder.exchange(b"a", b"b")
    first = recorder.trace_hash
    recorder.exchange(b"c", b"d")
    assert first == hash_of([(b"a", b"b")]) and recorder.trace_hash == hash_of([(b"a", b"b"), (b"c", b"d")])


def test_an_interrupted_run_leaves_its_files(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with Recorder(tmp_path) as recorder:
            recorder.sample(0, {"rate_nl_day": 1})
            recorder.pulse(1, 117, 500_000)
            recorder.pins(1, 1, 117, 0)
            recorder.event(2, "pump", "boot")
            raise KeyboardInterrupt
    recorder.close()
    assert len(rows(tmp_path / "samples.csv")) == len(rows(tmp_path / "pulses.csv")) == len(rows(tmp_path / "events.csv")) == 2
    assert (1, "pulse", 117) in vcd_changes(tmp_path / "pins.vcd")


def test_equal_runs_give_equal_files(tmp_path):
    for name in ("a", "b"):
        with Recorder(tmp_path / name) as recorder:
            recorder.pins(5, 1, 117, 0)
            recorder.sample(0, {"x": 1.5})
    for name in ("pins.vcd", "samples.csv", "pulses.csv", "events.csv", "wire.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_without_vcd_there_is_no_pin_file(tmp_path):
    with Recorder(tmp_path, vcd=False) as recorder:
        recorder.pins(5, 1, 117, 0)
        recorder.alarm(6, 1)
    assert not (tmp_path / "pins.vcd").exists()


def test_cadence_must_be_positive():
    with pytest.raises(ValueError, match="sample_s is 0"):
        Recorder(None, sample_s=0)


def test_pin_levels_may_be_bools(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.pins(5, True, 117, True)
        recorder.pins(9, False, 0, False)
    assert vcd_changes(tmp_path / "pins.vcd")[-6:] == [
        (5, "enable", 1), (5, "pulse", 117), (5, "tone", 1), (9, "enable", 0), (9, "pulse", 0), (9, "tone", 0)]
    with open(tmp_path / "pins.vcd", "rb") as file:  # pyvcd's reader, as a second opinion on the format
        assert sum(token.kind is TokenKind.CHANGE_TIME for token in tokenize(file)) == 3
