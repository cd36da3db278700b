"""Records that survive: two slots, power lost at any write, torn writes, flipped bits. Old or new, never neither."""

import random

import pytest
from bare_pump import BenchStore
from thecal.firmware import settings as se
from thecal.firmware.infusion import Infusion
from thecal.firmware.ledger import Ledger
from thecal.firmware.ports import PowerCut
from thecal.firmware.settings import Settings, Slots
from thecal.protocol.crc import crc16

STORE_BYTES = 68 * 1024
SLOTS = {"state": (se.STATE_AT, se.STATE_SLOT), "intent": (se.INTENT_AT, se.INTENT_SLOT), "commission": (se.COMMISSION_AT, se.COMMISSION_SLOT)}


def fresh(store):
    ledger = Ledger()
    ledger.commission(1000, 35000, 4096)
    made = Settings(store, ledger, Infusion(ledger))
    return made, ledger


def loaded(store):
    settings, ledger = fresh(store)
    whole = settings.load()
    return settings, ledger, whole


def seen(store):
    """Everything a boot finds, as comparable values."""
    settings, ledger, whole = loaded(store)
    public = {name: value for name, value in vars(settings).items() if not name.startswith("_") and name != "repaired"}
    books = {name: value for name, value in vars(ledger).items() if isinstance(value, (int, list))}
    return whole, public, books, settings._infusion.acc_nl, settings._infusion.demand.rem


def busy_store(turns=3):
    """A store with some history in every record."""
    store = BenchStore(bytearray(STORE_BYTES))
    settings, ledger, _ = loaded(store)
    for turn in range(turns):
        settings.boot_count += 1
        settings.order_digest = bytes([turn + 1]) * 8
        settings.fallback_nl_day = 100_000 + turn
        ledger.refill(1_000_000 * turn)
        ledger.miss(turn, 1234)
        settings.save_state(1000 + turn)
        ledger.pulse()
        settings.save_intent(1500 + turn)
        settings.save_commission(bytes([turn]) * 43, 43)
    return store


def test_the_map_of_the_store_has_no_overlaps():
    spans = sorted([(at, at + 2 * slot) for at, slot in SLOTS.values()] + [(se.PROGRAM_AT, se.PROGRAM_AT + 2 * se.PROGRAM_SLOT)])
    from thecal.firmware import event_log
    spans += [(event_log.EVENTS_AT, event_log.EVENTS_AT + event_log.EVENTS * 20), (event_log.DAYS_AT, event_log.DAYS_AT + event_log.DAYS * 24)]
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:]))
    assert spans[-1][1] <= 256 * 1024


def test_a_blank_store_is_a_new_pump_and_nothing_is_damaged():
    for blank in (0x00, 0xFF):
        settings, ledger, whole = loaded(BenchStore(bytearray([blank]) * STORE_BYTES))
        assert whole and settings.repaired == 0 and settings.boot_count == 0 and settings.program_slot == se.NO_PROGRAM
        assert settings.load_commission() is None and settings.load_program() is None and ledger.pulses == 0


def test_everything_saved_is_found_again():
    store = BenchStore(bytearray(STORE_BYTES))
    settings, ledger, _ = loaded(store)
    chance = random.Random(4)
    for name in ("boot_count", "program_slot", "stopped", "stopped_at_s", "commissioned", "last_kind", "active", "latched", "last_day", "fallback_nl_day",
                 "first_alarm"):
        setattr(settings, name, chance.randrange(2) if name in ("stopped", "commissioned", "program_slot") else chance.randrange(1, 28))
    settings.level_offset_ul = -321
    settings.order_digest, settings.program_digest = b"orderdig", b"programd"
    ledger.missed_ul[:] = [(1 << 30) - 1, 2, 3, 4, 5, 6]
    ledger.missed_nl[:] = [999, 8, 7, 6, 5, 4]
    ledger.refill(60_000_000)
    for _ in range(3):
        ledger.pulse()
    settings._infusion.run(999_999, 50)
    settings.save_intent(77_777)
    settings._infusion.run(999_999, 33)
    settings.save_state(88_888)
    again, books, whole = loaded(store)
    assert whole and again.repaired == 0
    for name in vars(settings):
        if not name.startswith("_"):
            assert getattr(again, name) == getattr(settings, name), name
    for name in ("pulses", "pulsed_ul", "pulsed_nl", "revs", "steps", "steps_rem", "missed_ul", "missed_nl", "base_nl", "base_pulses", "lost_pulses"):
        assert getattr(books, name) == getattr(ledger, name), name
    assert again.time_s == 88_888
    assert (again._infusion.acc_nl, again._infusion.demand.rem) == (settings._infusion.acc_nl, settings._infusion.demand.rem)


def test_the_newer_of_both_records_tells_the_time_and_what_is_under_way_even_when_the_clock_was_set_back():
    store = BenchStore(bytearray(STORE_BYTES))
    settings, ledger, _ = loaded(store)
    ledger.pulse()
    settings._infusion.acc_nl = 1
    settings.save_intent(9000)
    settings._infusion.acc_nl = 2
    settings.save_state(5000)           # an order: the clock was set back
    again, _, _ = loaded(store)
    assert (again.time_s, again._infusion.acc_nl) == (5000, 2)
    ledger.pulse()
    settings._infusion.acc_nl = 3
    settings.save_intent(5100)
    again, books, _ = loaded(store)
    assert (again.time_s, again._infusion.acc_nl, books.pulses) == (5100, 3, 2)


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("save", ["state", "intent", "commission", "program"])
def test_power_lost_at_the_write_leaves_the_old_record(save, torn):
    for turns in (0, 1, 2, 3):
        store = busy_store(turns)
        before = seen(store)
        settings, ledger, _ = loaded(store)
        old_commission = settings.load_commission()
        settings.boot_count = 77
        ledger.pulse()
        store.cut_next(torn)
        with pytest.raises(PowerCut):
            {"state": lambda: settings.save_state(9), "intent": lambda: settings.save_intent(9),
             "commission": lambda: settings.save_commission(b"new" * 14, 42), "program": lambda: settings.save_program(b"x" * 600, 600)}[save]()
        store.heal()
        if turns or not torn:
            assert seen(store) == before
            assert loaded(store)[0].load_commission() == old_commission


@pytest.mark.parametrize("name", ["state", "intent"])
def test_a_flipped_bit_anywhere_in_the_newest_slot_falls_back_to_the_older_and_is_counted(name):
    store = busy_store()
    settings, _, _ = loaded(store)
    slots = getattr(settings, "_" + name)
    at = SLOTS[name][0] + slots.slot * SLOTS[name][1]
    older = slots.seq - 1
    for byte in range(len(slots.buffer)):
        store.data[at + byte] ^= 0x10
        again, _, _ = loaded(store)
        assert getattr(again, "_" + name).seq == older and again.repaired == 1, byte
        store.data[at + byte] ^= 0x10
    again, _, _ = loaded(store)
    assert again.repaired == 0


def test_a_state_record_lost_in_both_slots_is_no_new_pump():
    store = busy_store()
    for slot in (0, 1):
        store.data[se.STATE_AT + slot * se.STATE_SLOT + 9] ^= 1
    settings, _, whole = loaded(store)
    assert not whole and settings.repaired == 2


@pytest.mark.parametrize("length", [1, 104, 647, 700])
def test_a_program_is_read_back_to_the_byte_and_written_beside_the_running_one(length):
    store = BenchStore(bytearray(STORE_BYTES))
    settings, _, _ = loaded(store)
    chance = random.Random(length)
    programs = [chance.randbytes(length) for _ in range(4)]
    for turn, program in enumerate(programs):
        slot = settings.save_program(program, length)
        assert slot != settings.program_slot
        if turn:
            assert settings.load_program() == programs[turn - 1], "until the flip the old one runs"
        settings.program_slot = slot
        assert settings.load_program() == program
    at = se.PROGRAM_AT + settings.program_slot * se.PROGRAM_SLOT
    for byte in list(range(min(length + 5, 40))) + [length + 4]:
        store.data[at + byte] ^= 0x80
        assert settings.load_program() is None, byte
        store.data[at + byte] ^= 0x80
    assert settings.load_program() == programs[-1]


def test_a_store_that_cannot_write_raises_and_the_newest_record_stands():
    store = busy_store()
    settings, _, _ = loaded(store)
    before = seen(store)
    store.fail = True
    for save in (lambda: settings.save_state(1), lambda: settings.save_intent(1), lambda: settings.save_commission(b"x", 1)):
        with pytest.raises(OSError):
            save()
    store.fail = False
    assert seen(store) == before
    settings.save_state(4321)
    assert loaded(store)[0].time_s == 4321


def test_slots_write_into_the_older_one_by_turns():
    store = BenchStore(bytearray(STORE_BYTES))
    slots = Slots(store, 0x100, 0x40, 9)
    assert not slots.load() and slots.damaged == 0
    for turn in range(6):
        slots.seq += 1
        slots.buffer[0] = se.VERSION
        slots.buffer[1:5] = slots.seq.to_bytes(4, "little")
        slots.buffer[5:9] = bytes([turn]) * 4
        slots.save()
        at = 0x100 + 0x40 * (turn % 2)
        assert store.data[at + 5] == turn and crc16(store.data, at, at + 9) == int.from_bytes(store.data[at + 9:at + 11], "little")
        again = Slots(store, 0x100, 0x40, 9)
        assert again.load() and again.seq == turn + 1 and again.buffer[5] == turn
