"""The store in files: the same bytes as memory, whole pages only, one clear refusal."""

import errno
import os
import random

import pytest

from thecal.firmware.boards import flash_store
from thecal.firmware.boards.flash_store import PAGE_BYTES, STORE_BYTES, FlashStore


def test_reads_back_what_memory_would(tmp_path):
    chance = random.Random(5)
    memory, folder = bytearray(STORE_BYTES), str(tmp_path / "store")
    store = FlashStore(folder)
    for _ in range(400):
        length = chance.choice((0, 1, 54, 300, 5000))
        address = min(chance.choice((0, PAGE_BYTES - 20, chance.randrange(STORE_BYTES), STORE_BYTES)), STORE_BYTES - length)
        if chance.random() < 0.5:
            data = bytearray(chance.randbytes(length + 3))      # a buffer may be longer than what is written of it
            store.write(address, data, length)
            memory[address:address + length] = data[:length]
        else:
            data = bytearray(length + 3)
            store.read(address, data, length)
            assert data[:length] == memory[address:address + length] and data[length:] == bytes(3)
        if chance.random() < 0.1:
            store = FlashStore(folder)      # a reboot
    assert all(os.path.getsize(os.path.join(folder, name)) == PAGE_BYTES for name in os.listdir(folder))


def test_wears_only_what_changes(tmp_path):
    store = FlashStore(str(tmp_path / "store"))
    store.write(10, bytearray(8), 8)
    assert store.writes == 0 and os.listdir(tmp_path / "store") == []
    for _ in range(3):
        store.write(PAGE_BYTES - 2, bytearray(b"abcd"), 4)
    assert store.writes == 2


@pytest.mark.parametrize("address, length", [(-1, 1), (STORE_BYTES, 1), (STORE_BYTES - 1, 2), (0, -1)])
def test_a_range_outside_is_refused(tmp_path, address, length):
    store = FlashStore(str(tmp_path / "store"))
    for method in (store.read, store.write):
        with pytest.raises(ValueError, match="outside 0..262144"):
            method(address, bytearray(4), length)


def test_a_file_system_without_room_is_no_store(tmp_path, monkeypatch):
    monkeypatch.setattr(flash_store.os, "statvfs", lambda _: (PAGE_BYTES, PAGE_BYTES, 352, 63, 63))
    with pytest.raises(OSError) as failure:
        FlashStore(str(tmp_path / "store"))
    assert failure.value.errno == errno.ENOSPC
    with pytest.raises(FileNotFoundError):
        FlashStore(str(tmp_path / "no" / "store"))


def test_a_failed_write_leaves_the_page_of_the_flash(tmp_path, monkeypatch):
    store = FlashStore(str(tmp_path / "store"))
    store.write(0, bytearray(b"old"), 3)
    path = store._path
    monkeypatch.setattr(store, "_path", lambda number: str(tmp_path / "gone" / "00"))
    with pytest.raises(OSError):
        store.write(0, bytearray(b"new"), 3)
    monkeypatch.setattr(store, "_path", path)
    found = bytearray(3)
    store.read(0, found, 3)
    assert found == b"old"


def test_a_short_page_is_an_error(tmp_path):
    store = FlashStore(str(tmp_path / "store"))
    (tmp_path / "store" / "00").write_bytes(b"short")
    with pytest.raises(OSError) as failure:
        store.read(0, bytearray(1), 1)
    assert failure.value.errno == errno.EIO
