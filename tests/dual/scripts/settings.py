"""Records in two slots: what a fresh boot finds after good writes, torn ones and flipped bits; the bytes themselves."""

from bare_pump import BenchStore
from thecal.firmware.event_log import DayLog, EventLog
from thecal.firmware.infusion import Infusion
from thecal.firmware.ledger import Ledger
from thecal.firmware.ports import PowerCut
from thecal.firmware.settings import Settings
from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc32


def fresh(store):
    ledger = Ledger()
    ledger.commission(1000, 35000, 4096)
    infusion = Infusion(ledger)
    return Settings(store, ledger, infusion), ledger, infusion


def show(title, store):
    settings, ledger, infusion = fresh(store)
    settings.load()
    print(title, settings.time_s, settings.boot_count, settings.program_slot, settings.stopped, settings.commissioned, settings.last_kind,
          list(settings.order_digest), settings.latched, settings.fallback_nl_day, settings.first_alarm, settings.last_day,
          settings.extra, settings.extra_left_nl, settings.paused_until_s, settings.catheter, list(settings.bolus_state[:4]), "damaged", settings.repaired)
    print("  ledger", ledger.pulses, ledger.pulsed_ul, ledger.pulsed_nl, ledger.revs, ledger.steps, ledger.steps_rem, ledger.base_nl,
          ledger.base_pulses, ledger.lost_pulses, ledger.missed_ul, ledger.missed_nl, infusion.demand.rem, infusion.acc_nl)


store = BenchStore(bytearray(256 * 1024))
show("blank", store)
settings, ledger, infusion = fresh(store)
settings.load()
for turn in range(5):
    settings.boot_count += 1
    settings.stopped = turn & 1
    settings.order_digest = bytes([turn]) * 8
    settings.latched = (1 << 27) + turn
    settings.fallback_nl_day = 24000000 - turn
    infusion.run(999999, 1000 + turn)
    ledger.refill(20000000)
    ledger.pulse()
    ledger.miss(turn, 123456789)
    settings.save_state(1000 * turn + 1)
    settings.paused_until_s, settings.catheter, settings.bolus_state[turn] = 1000 * turn, turn & 1, turn
    infusion.extra, infusion.extra_left_nl, infusion.extra_rate_nl_day = turn, 1000 * turn, 48000
    settings.save_intent(1000 * turn + 2)
    infusion.extra = infusion.extra_left_nl = 0
    show("turn %d" % turn, store)
print("bytes", crc32(store.data))

for torn in (False, True):
    for save in ("state", "intent"):
        cut = BenchStore(bytearray(store.data))
        settings, ledger, infusion = fresh(cut)
        settings.load()
        settings.boot_count = 99
        ledger.pulse()
        cut.cut_next(torn)
        try:
            settings.save_state(5555) if save == "state" else settings.save_intent(5555)
            print("not cut")
        except PowerCut:
            cut.heal()
            show("cut %s %s" % (save, torn), cut)

for address in (0x0000, 0x0100, 0x0805, 0x0845):
    hurt = BenchStore(bytearray(store.data))
    hurt.data[address + 7] ^= 4
    show("flip %d" % address, hurt)

settings, ledger, infusion = fresh(store)
settings.load()
settings.commissioned = settings.save_commission(bytes(range(43)), 43)
slot = settings.save_program(bytes(range(256)) + bytes(range(200)), 456, 777)
settings.program_slot = slot
settings.save_state(9999)
settings, ledger, infusion = fresh(store)
settings.load()
print("commission", list(settings.load_commission()), "program", slot, crc32(settings.load_program()))
print("other slot", settings.save_program(b"x" * 700, 700, 888), crc32(store.data))

for kind, name in ((cat.REFILL, "fill_slot"), (cat.IMPLANT_RECORD, "implant_slot"), (cat.TRIAL_RECORD, "trial_slot")):
    setattr(settings, name, settings.save_record(kind, bytes(range(kind, 60 + kind)), 60))
    print("record", kind, getattr(settings, name), list(settings.load_record(kind)), settings.save_record(kind, b"other", 5))
settings.save_copy(b"copy", settings.program_slot)
print("copy", list(settings.load_copy()), crc32(settings.past_program(settings.first_prescription(), 200)))

events, days = EventLog(store), DayLog(store)
events.load(0)
for count in range(2900):
    events.append(count * 31, count % 17 + 1, count & 0xFF, (1 << 30) + 5 - count, -(1 << 30) - 5 + count)
    if count in (0, 1, 2448, 2449, 2450, 2451, 2899):
        again = EventLog(store)
        again.load(0)
        print("head", count, events.head, again.head, again.first_byte(), again.end_byte(), list(again.read(again.end_byte() - 20, 20)))
for day in (734, 735, 736, 1135):
    days.write(day, 500, 499999, 12, 18000, 1 << 18)
    print("day", day, list(days.read(day * 24, 24)), days.first_byte(day))
print("bytes", crc32(store.data))
