"""Session files: on disk line by line, with everything that the same trace hash needs."""

import json

import pytest

from thecal.hw_sim.control import Control
from thecal.hw_sim.runner import STORE_BYTES
from thecal.hw_sim.session import SCHEMA, Session, packed_store, read_header, replay, unpacked_store


def test_a_memory_goes_into_the_header_and_comes_out_whole():
    memory = bytearray(STORE_BYTES)
    memory[:3000] = bytes(range(250)) * 12
    text = packed_store(memory)
    assert len(text) < 4000 and unpacked_store(text) == bytes(memory)
    assert packed_store(None) is None and unpacked_store(None) is None


@pytest.mark.parametrize("text, words", [("!", "cannot be read"), ("AAAA", "cannot be read"), (7, "cannot be read"), (packed_store(b"ab"), "has 2 bytes")])
def test_a_memory_that_is_none_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        unpacked_store(text)


def test_each_line_is_on_disk_when_it_is_told(new_world, tmp_path):
    path = tmp_path / "session.jsonl"
    world = new_world()
    session = Session(path, {"seed": 1})
    session.heard(17, b"\x01\xff")
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"schema": SCHEMA, "seed": 1}, {"t_us": 17, "hex": "01ff"}]
    world.run_until(1_000_000)
    session.close(world)
    assert json.loads(path.read_text().splitlines()[-1]) == {"end_us": 1_000_000, "trace_hash": world.recorder.trace_hash}


def test_a_session_of_a_used_pump_replays_from_the_memory_in_its_header(new_world, tmp_path):
    store, path = tmp_path / "fram.bin", tmp_path / "session.jsonl"
    used = new_world(ready=True, store_path=store)
    used.run_until(3_600_000_000)
    used.close()
    before = store.read_bytes()
    live = new_world(store_path=store)
    session = Session(path, {"store": packed_store(before)})
    live.run_until(5_000_000)
    live.inject(b"\x01\x02\x00")
    session.heard(live.now_us, b"\x01\x02\x00")
    live.run_until(60_000_000)
    session.close(live)
    live.close()
    assert store.read_bytes() != before, "the file itself has moved on"
    again = tmp_path / "again.bin"
    again.write_bytes(unpacked_store(read_header(path)["store"]))
    recorded, found = replay(new_world(store_path=again), path)
    assert recorded == found
    blank, other = replay(new_world(), path)
    assert blank == recorded != other


@pytest.mark.req("TH-PLANT-07")
def test_commands_are_recorded_with_their_instant_and_replayed(new_world, tmp_path):
    path = tmp_path / "session.jsonl"
    live = new_world()
    session = Session(path, {})
    control = Control(live, lambda text: session.commanded(live.now_us, text))
    for at_us, command in ((5_000_000, "fault temperature_offset_c 2.5"), (900_000_000, "truth"), (1_800_000_000, "env field 0.005")):
        live.run_until(at_us)
        assert control.answer(command).startswith("ok")
    live.run_until(3_600_000_000)
    session.close(live)
    again, plain = new_world(), new_world()
    recorded, found = replay(again, path)
    plain.run_until(3_600_000_000)
    assert recorded == found == live.recorder.trace_hash != plain.recorder.trace_hash
    assert again.faults() == live.faults() and set(again.fired) == {"temperature_offset_c", "field_t"}


@pytest.mark.parametrize("text", ["", "nonsense\n", '{"schema": "else"}\n', "[1]\n"])
def test_a_file_that_is_no_session(tmp_path, text):
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match="x.jsonl is not a recorded session"):
        read_header(path)
