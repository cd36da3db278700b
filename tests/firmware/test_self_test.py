"""The self-tests' tools: a changed record, a store that refuses or forgets, a heap that runs out. The whole round: test_sensing.py."""

import gc

import pytest
from thecal.firmware import self_test as st


class App:
    commission_block = bytes(range(40))
    program_block = bytes(range(100, 200))


class Store:
    def __init__(self, refuses=False, flips=-1):
        self.data = bytearray(0x4000)
        self.refuses, self.flips = refuses, flips

    def write(self, address, buffer, length):
        if self.refuses:
            raise OSError(5)
        self.data[address:address + length] = buffer[:length]
        if self.flips >= 0:
            self.data[address + self.flips] ^= 1

    def read(self, address, buffer, length):
        buffer[:length] = self.data[address:address + length]


@pytest.mark.req("TH-SUP-07", "TH-STORE-03")
def test_every_bit_of_both_records_is_under_the_crc():
    app = App()
    whole = st.records_crc(app)
    for name in ("commission_block", "program_block"):
        block = getattr(App, name)
        for bit in range(8 * len(block)):
            hurt = bytearray(block)
            hurt[bit // 8] ^= 1 << bit % 8
            setattr(app, name, bytes(hurt))
            assert st.records_crc(app) != whole
        setattr(app, name, block)
    assert st.records_crc(app) == whole


@pytest.mark.parametrize("pattern", [0, 1, 127, 250, 255])
def test_a_store_that_works(pattern):
    store = Store()
    assert st.store_works(store, bytearray(st.SCRATCH_BYTES), pattern)
    touched = [at for at, byte in enumerate(store.data) if byte]
    assert all(0x2800 <= at < 0x2800 + st.SCRATCH_BYTES for at in touched), "the scratch and nothing else"


@pytest.mark.req("TH-SUP-07")
@pytest.mark.parametrize("pattern", [0, 1, 255])
def test_a_store_that_refuses_forgets_or_ignores(pattern):
    scratch = bytearray(st.SCRATCH_BYTES)
    assert not st.store_works(Store(refuses=True), scratch, pattern)
    for flips in range(st.SCRATCH_BYTES):
        assert not st.store_works(Store(flips=flips), scratch, pattern)
    store = Store()
    assert st.store_works(store, scratch, pattern)
    store.write = lambda address, buffer, length: None
    assert not st.store_works(store, scratch, (pattern + 1) % 256)


@pytest.mark.req("TH-SUP-07")
def test_the_heap_is_judged_behind_a_collection_and_not_at_all_without_one(monkeypatch):
    assert st.heap_suffices()
    free = [100, st.LEAST_FREE_BYTES]
    monkeypatch.setattr(gc, "mem_free", lambda: free[0], raising=False)
    monkeypatch.setattr(gc, "collect", lambda: free.pop(0))
    assert st.heap_suffices(), "it was garbage"
    free[:] = [100, 100]
    assert not st.heap_suffices()


def test_tidying_collects_where_the_heap_is_the_boards_and_nowhere_else(monkeypatch):
    collected = []
    monkeypatch.setattr(st.gc, "collect", lambda: collected.append(1))
    st.tidy()
    assert collected == []
    monkeypatch.setattr(st.gc, "mem_free", lambda: 0, raising=False)
    st.tidy()
    assert collected == [1]
