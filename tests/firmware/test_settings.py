"""Records that survive: two slots, power lost at any write, torn writes, flipped bits. Old or new, never neither."""

import random

import pytest
from bare_pump import BenchStore
from thecal.firmware import settings as se
from thecal.firmware import slots as sl
from thecal.firmware.infusion import Infusion
from thecal.firmware.ledger import Ledger
from thecal.firmware.ports import PowerCut
from thecal.firmware.settings import Settings
from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc16

STORE_BYTES = 256 * 1024
SLOTS = {"state": (se.STATE_AT, se.STATE_SLOT), "intent": (se.INTENT_AT, se.INTENT_SLOT)}
NOT_STORED = ("repaired", "rings", "missing_s")


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
    public = {name: value for name, value in vars(settings).items() if not name.startswith("_") and name not in NOT_STORED}
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
        settings.commissioned = settings.save_commission(bytes([turn]) * 43, 43)
        settings.program_slot = settings.save_program(bytes([turn]) * 300, 300, 1000 + turn)
        settings.prescriptions += 1
        settings.fill_slot = settings.save_record(cat.REFILL, bytes([turn]) * 43, 43)
        settings.save_copy(bytes([turn]) * 12, settings.program_slot)
        settings.save_state(1000 + turn)
        ledger.pulse()
        settings.save_intent(1500 + turn)
    return store


def blocks(settings):
    """What the state points to."""
    return settings.load_commission(), settings.load_program(), settings.load_record(cat.REFILL), settings.load_copy()


def test_the_map_of_the_store_has_no_overlaps():
    from thecal.firmware import event_log, history, keys
    pairs = ((se.STATE_AT, se.STATE_SLOT), (se.COMMISSION_AT, se.COMMISSION_SLOT), (se.INTENT_AT, se.INTENT_SLOT), (keys.KEYS_AT, keys.KEYS_SLOT),
             (se.PROGRAM_AT, se.PROGRAM_SLOT), (se.COPY_AT, se.COPY_SLOT), (se.FILL_AT, se.RECORD_SLOT), (se.IMPLANT_AT, se.RECORD_SLOT),
             (se.TRIAL_AT, se.RECORD_SLOT))
    spans = [(at, at + 2 * slot) for at, slot in pairs]
    spans += [(se.SCRATCH_AT, se.SCRATCH_AT + 64), (event_log.EVENTS_AT, event_log.EVENTS_AT + event_log.EVENTS * 20),
              (event_log.FAULTS_AT, event_log.FAULTS_AT + event_log.FAULTS * 20), (event_log.DAYS_AT, event_log.DAYS_AT + event_log.DAYS * 24),
              (se.PAST_AT, se.PAST_AT + se.PAST * cat.PRESCRIPTION_BYTES), (history.HISTORY_AT, history.HISTORY_AT + history.RECORDS * 16)]
    spans.sort()
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:]))
    assert spans[-1][1] <= 256 * 1024


@pytest.mark.req("TH-STORE-08")
def test_a_blank_store_is_a_new_pump_and_nothing_is_damaged():
    for blank in (0x00, 0xFF):
        settings, ledger, whole = loaded(BenchStore(bytearray([blank]) * STORE_BYTES))
        assert whole and settings.repaired == [] and settings.boot_count == 0 and settings.program_slot == se.NO_PROGRAM
        assert settings.load_commission() is None and settings.load_program() is None and ledger.pulses == 0


def test_everything_saved_is_found_again():
    store = BenchStore(bytearray(STORE_BYTES))
    settings, ledger, _ = loaded(store)
    chance = random.Random(4)
    for name, value in vars(settings).items():
        if not name.startswith("_") and isinstance(value, int):
            setattr(settings, name, chance.randrange(1 << 30))
    settings._infusion.extra, settings._infusion.extra_left_nl, settings._infusion.extra_rate_nl_day = 3, 3_999_999, 24_000_000
    settings.level_offset_ul = -60_001
    settings.order_digest, settings.program_digest = b"orderdig", b"programd"
    settings.bolus_state[:] = chance.randbytes(se.BOLUS_STATE_BYTES)
    settings.missing[:] = chance.randbytes(7)
    ledger.missed_ul[:] = [(1 << 30) - 1, 2, 3, 4, 5, 6]
    ledger.missed_nl[:] = [999, 8, 7, 6, 5, 4]
    ledger.refill(60_000_000)
    for _ in range(3):
        ledger.pulse()
    settings._infusion.demand.run(999_999, 50)
    settings.save_intent(77_777)
    settings._infusion.acc_nl = settings._infusion.demand.run(999_999, 33)
    settings.save_state(88_888)
    again, books, whole = loaded(store)
    assert whole and again.repaired == []
    for name in vars(settings):
        if not name.startswith("_") and name not in NOT_STORED:
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


@pytest.mark.req("TH-STORE-01")
@pytest.mark.parametrize("torn", range(4))
@pytest.mark.parametrize("save", ["state", "intent", "commission", "program", "record", "copy"])
def test_power_lost_at_the_write_leaves_the_old_record(save, torn):
    for turns in (0, 1, 2, 3):
        store = busy_store(turns)
        before = seen(store)
        settings, ledger, _ = loaded(store)
        old = blocks(settings)
        settings.boot_count = 77
        ledger.pulse()
        store.cut_next(torn)
        with pytest.raises(PowerCut):
            {"state": lambda: settings.save_state(9), "intent": lambda: settings.save_intent(9),
             "commission": lambda: settings.save_commission(b"new" * 14, 42), "program": lambda: settings.save_program(b"x" * 600, 600, 9),
             "record": lambda: settings.save_record(cat.REFILL, b"new" * 14, 42), "copy": lambda: settings.save_copy(b"new" * 14, 1 if settings.program_slot == 0 else 0)}[save]()
        store.heal()
        if turns or not torn:
            assert seen(store) == before
            assert blocks(loaded(store)[0]) == old


@pytest.mark.req("TH-STORE-03")
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
        assert getattr(again, "_" + name).seq == older and len(again.repaired) == 1, byte
        store.data[at + byte] ^= 0x10
    again, _, _ = loaded(store)
    assert again.repaired == []


@pytest.mark.req("TH-STORE-08")
def test_a_state_record_lost_in_both_slots_is_no_new_pump():
    store = busy_store()
    for slot in (0, 1):
        store.data[se.STATE_AT + slot * se.STATE_SLOT + 9] ^= 1
    settings, _, whole = loaded(store)
    assert not whole and len(settings.repaired) == 2


@pytest.mark.parametrize("length", [1, 104, 647, 700])
def test_a_program_is_read_back_to_the_byte_and_written_beside_the_running_one(length):
    store = BenchStore(bytearray(STORE_BYTES))
    settings, _, _ = loaded(store)
    chance = random.Random(length)
    programs = [chance.randbytes(length) for _ in range(4)]
    for turn, program in enumerate(programs):
        slot = settings.save_program(program, length, turn)
        assert slot != settings.program_slot
        if turn:
            assert settings.load_program() == programs[turn - 1], "until the flip the old one runs"
        settings.program_slot = slot
        assert settings.load_program() == program
    at = se.PROGRAM_AT + settings.program_slot * se.PROGRAM_SLOT
    for byte in list(range(min(length + 9, 40))) + [length + 8]:
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


KINDS = {cat.REFILL: "fill_slot", cat.IMPLANT_RECORD: "implant_slot", cat.TRIAL_RECORD: "trial_slot"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_is_written_beside_the_one_in_use_and_flipped_by_the_state(kind):
    store = BenchStore(bytearray(STORE_BYTES))
    settings, _, _ = loaded(store)
    assert settings.load_record(kind) is None
    for turn in range(4):
        slot = settings.save_record(kind, bytes([turn]) * 120, 100 + turn)
        assert settings.load_record(kind) == (bytes([turn - 1]) * (99 + turn) if turn else None)
        setattr(settings, KINDS[kind], slot)
        settings.save_state(turn)
        assert loaded(store)[0].load_record(kind) == bytes([turn]) * (100 + turn)
    assert [loaded(store)[0].load_record(other) for other in KINDS if other != kind] == [None, None]


def test_a_slot_that_an_order_left_torn_is_blanked_and_said_once():
    store = busy_store()
    settings, _, _ = loaded(store)
    kept = blocks(settings)
    store.cut_next(1)
    with pytest.raises(PowerCut):
        settings.save_record(cat.REFILL, b"n" * 80, 80)
    store.heal()
    settings, _, _ = loaded(store)
    assert blocks(settings) == kept
    assert settings.repaired == [(sl.FILL, se.FILL_AT + (1 - settings.fill_slot) * se.RECORD_SLOT)]
    again, _, _ = loaded(store)
    assert blocks(again) == kept and again.repaired == settings.repaired, "until it has been said"
    settings.mend()
    settings, _, _ = loaded(store)
    assert blocks(settings) == kept and settings.repaired == []


def test_a_damaged_slot_in_use_is_said_and_left_as_it_is():
    store = busy_store()
    settings, _, _ = loaded(store)
    at = se.PROGRAM_AT + settings.program_slot * se.PROGRAM_SLOT
    store.data[at + 50] ^= 1
    image = bytes(store.data)
    for _ in range(2):
        settings, _, _ = loaded(store)
        assert settings.load_program() is None and settings.repaired == [(sl.PROGRAM, at)]
        settings.mend()
    assert store.data == image


def test_the_first_state_record_torn_is_a_new_pump_and_any_other_a_lost_one():
    for torn in (1, 2, 3):
        store = BenchStore(bytearray(STORE_BYTES))
        settings, _, _ = loaded(store)
        store.cut_next(torn)
        with pytest.raises(PowerCut):
            settings.save_state(9)
        store.heal()
        settings, _, whole = loaded(store)
        assert whole and settings.repaired == [(sl.STATE, 0)]
        settings.save_commission(b"new" * 14, 42)
        assert not loaded(store)[2]


@pytest.mark.req("TH-STORE-07")
def test_the_last_sixteen_programs_are_kept_and_an_order_that_lost_its_power_takes_none_of_them():
    store = BenchStore(bytearray(STORE_BYTES))
    settings, _, _ = loaded(store)
    assert settings.first_prescription() == 0

    def past():
        end = settings.prescriptions * cat.PRESCRIPTION_BYTES
        found = []
        for offset in range(settings.first_prescription(), end, cat.PRESCRIPTION_BYTES):
            data = settings.past_program(offset, 700) + settings.past_program(offset + 700, 700)
            assert len(data) == cat.PRESCRIPTION_BYTES
            length = int.from_bytes(data[4:6], "little")
            assert int.from_bytes(data[length + 6:length + 8], "little") == crc16(data, 0, length + 6)
            found.append((int.from_bytes(data[:4], "little"), bytes(data[6:6 + length])))
        return found

    for number in range(40):
        before = past()
        if number % 3 == 0:
            store.cut_next(1)
            with pytest.raises(PowerCut):
                settings.save_program(b"never" * 99, 495, 7)
            store.heal()
            assert past() == before
        settings.program_slot = settings.save_program(bytes([number]) * (100 + number), 100 + number, 5000 + number)
        assert past() == before, "until the state record flips"
        settings.prescriptions += 1
        assert past() == [(5000 + n, bytes([n]) * (100 + n)) for n in range(max(0, number - 15), number + 1)]


def test_a_lost_state_record_still_finds_the_newest_head_constants():
    for turns in (1, 2, 3):
        store = busy_store(turns)
        store.data[:2 * se.STATE_SLOT] = bytes(2 * se.STATE_SLOT)
        settings, _, whole = loaded(store)
        assert not whole and settings.commissioned == 0
        assert settings.load_commission() == bytes([turns - 1]) * 43
        slot = settings.save_commission(b"next" * 10, 40) - 1
        assert slot != settings.commissioned - 1, "never over the only one"


@pytest.mark.req("TH-STORE-04")
def test_the_heads_of_the_rings_go_into_the_state_record():
    class Ring:
        head, pulses = 0, 0

    store = BenchStore(bytearray(STORE_BYTES))
    settings, _, _ = loaded(store)
    settings.rings = events, faults, history = Ring(), Ring(), Ring()
    events.head, faults.head, history.head, history.pulses = 7, 5, 9, 11
    settings.save_state(1)
    again, _, _ = loaded(store)
    assert (again.event_head, again.fault_head, again.history_head, again.history_pulses) == (7, 5, 9, 11)
