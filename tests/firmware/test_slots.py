"""Two slots by turns, sealed blocks of any length: old or new whatever byte the power went at, and a flipped bit is never believed."""

import random

import pytest
from bare_pump import BenchStore
from thecal.firmware import slots as sl
from thecal.firmware.ports import PowerCut
from thecal.firmware.slots import Slots, blank, load_block, save_block
from thecal.protocol.crc import crc16


def packed(slots, turn):
    slots.seq += 1
    slots.buffer[0] = sl.VERSION
    slots.buffer[1:5] = slots.seq.to_bytes(4, "little")
    slots.buffer[5:9] = bytes([turn]) * 4
    return slots


def test_slots_write_into_the_older_one_by_turns():
    store = BenchStore(bytearray(4096))
    slots = Slots(store, 0x100, 0x40, 9)
    assert not slots.load() and slots.damaged == 0
    for turn in range(6):
        packed(slots, turn).save()
        at = 0x100 + 0x40 * (turn % 2)
        assert store.data[at + 5] == turn and crc16(store.data, at, at + 9) == int.from_bytes(store.data[at + 9:at + 11], "little")
        again = Slots(store, 0x100, 0x40, 9)
        assert again.load() and again.seq == turn + 1 and again.buffer[5] == turn


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_power_lost_behind_any_number_of_bytes_leaves_the_old_or_the_new_record(turns):
    for length in range(12):
        store = BenchStore(bytearray(4096))
        slots = Slots(store, 0x100, 0x40, 9)
        for turn in range(turns):
            packed(slots, turn + 1).save()
        packed(slots, 77)
        slots.save()
        at, new = 0x100 + 0x40 * slots.slot, bytes(slots.buffer)
        before = BenchStore(bytearray(4096))
        fresh = Slots(before, 0x100, 0x40, 9)
        for turn in range(turns):
            packed(fresh, turn + 1).save()
        before.data[at:at + length] = new[:length]
        again = Slots(before, 0x100, 0x40, 9)
        found = again.load()
        assert (again.buffer[5] if found else 0) == (77 if length == 11 else turns)
        assert again.damaged in (0, 1 << (at != 0x100)), "only the slot that was written can be torn"


def test_both_slots_damaged_is_no_record_and_says_which():
    store = BenchStore(bytearray(4096))
    slots = Slots(store, 0, 0x40, 9)
    for turn in (1, 2):
        packed(slots, turn).save()
    store.data[3] ^= 1
    again = Slots(store, 0, 0x40, 9)
    assert again.load() and again.damaged == 0b01
    store.data[0x44] ^= 1
    assert not again.load() and again.damaged == 0b11


def test_blank_is_what_was_never_written():
    assert blank(bytes(20)) and blank(b"\xff" * 20)
    assert not blank(b"\0" * 19 + b"\1") and not blank(b"\1" * 20)


@pytest.mark.parametrize("length", [1, 104, 768])
def test_a_block_is_read_back_and_any_damage_is_seen(length):
    store = BenchStore(bytearray(4096))
    assert load_block(store, 0x400, 0x400) == (-2, b"")
    block = random.Random(length).randbytes(length)
    save_block(store, 0x400, 5, block + b"more", length)
    assert load_block(store, 0x400, 0x400) == (5, block)
    for byte in (*range(min(length, 20) + sl.HEAD), length + sl.HEAD, length + sl.HEAD + 1):
        for bit in range(8):
            store.data[0x400 + byte] ^= 1 << bit
            assert load_block(store, 0x400, 0x400) == (-1, b""), (byte, bit)
            store.data[0x400 + byte] ^= 1 << bit


@pytest.mark.parametrize("torn", [1, 2, 3])
def test_a_torn_block_over_nothing_is_damaged_and_over_another_never_a_mixture(torn):
    for before in (b"", b"old" * 20, b"elder" * 30):
        store = BenchStore(bytearray(4096))
        if before:
            save_block(store, 0, 1, before, len(before))
        store.cut_next(torn)
        with pytest.raises(PowerCut):
            save_block(store, 0, 2, b"new" * 25, 75)
        seq, found = load_block(store, 0, 0x100)
        assert seq == -1 or (seq, found) == (1, before)
