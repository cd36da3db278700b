"""The simulated FRAM: what a cut write leaves, and wear by lines, counted however late."""

from array import array

import pytest
from thecal.firmware.boards.latched import Latch
from thecal.firmware.ports import PowerCut
from thecal.hw_sim import fram
from thecal.hw_sim.fram import LINES, STORE_BYTES, MemoryStore, count_wear


@pytest.fixture
def store():
    store = MemoryStore(bytearray(STORE_BYTES))
    store.latch = Latch()
    return store


def test_what_is_written_is_read(store):
    store.write(70, bytearray(b"abcdef"), 4)
    buffer = bytearray(6)
    store.read(69, buffer, 6)
    assert bytes(buffer) == b"\0abcd\0"


@pytest.mark.parametrize(("torn", "left"), [(0, 0), (1, 5), (2, 1), (3, 9), (4, 10)])
def test_a_cut_write_leaves_its_class_and_counts_what_it_left(store, torn, left):
    store.latch.cut_after, store.latch.torn = 1, torn
    store.write(0, bytearray(b"x" * 10), 10)
    with pytest.raises(PowerCut):
        store.write(60, bytearray(b"y" * 10), 10)
    assert bytes(store.data[60:70]) == b"y" * left + bytes(10 - left)
    wear = store.wear()
    assert wear[LINES] == 10 + left and wear[0] == 1 + (left > 0) and wear[1] == (left > 4)


@pytest.mark.req("TH-STORE-10")
def test_wear_is_that_of_each_line_a_write_touches(store, monkeypatch):
    monkeypatch.setattr(fram, "TRAIL", 3)
    for address, length in ((0, 64), (63, 2), (64, 1), (128, 200), (STORE_BYTES - 1, 1), (0, 0), (0, 1)):
        store.write(address, bytearray(length), length)
    wear = store.wear()
    assert {line: wear[line] for line in range(LINES) if wear[line]} == {0: 3, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1, LINES - 1: 1}
    assert wear[LINES] == 269 and store.wear() == wear, "asked twice, counted once"


def test_a_trail_is_empty_behind_its_count():
    wear, trail = array("I", bytes(4 * (LINES + 1))), array("I", [64 << 12 | 10])
    count_wear(wear, trail)
    assert (wear[1], wear[LINES], len(trail)) == (1, 10, 0)
