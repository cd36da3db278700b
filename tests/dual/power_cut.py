"""The power-cut sweep: every operation, power lost at each of its store writes, with none, part or all of that write stored.

`OPERATIONS` is a table of name -> Operation. `sweep(operation)` prepares a bench once, forks it for each cut (rebuilds it where
there is no fork), lets the power go, boots, and judges what the boot found: the state before or behind the operation, the books
beside what the rotor turned, nothing resumed, counters that only rise, records that are whole, and the answer to a retry.
"""

import os
import pickle
import traceback

from bare_pump import A_BOLUS, COMMISSION, DRUG, STORE_BYTES, Bench, BenchStore, block_bytes, flex_program, named, simple_program
from thecal.firmware import alarms as al
from thecal.firmware import event_log, history
from thecal.firmware import settings as se
from thecal.firmware.infusion import BRIDGE, NONE
from thecal.firmware.ports import PowerCut
from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc16
from thecal.protocol.session import CLINICIAN, NONCE_BYTES, PATIENT, PROOF_BYTES

LEFT = ("nothing", "half", "the first byte", "all but the last byte", "all")     # of the write that loses power, by its torn class
OUTAGE_S = 30
ORDER_ID = 4000
PULSE_NL = COMMISSION["pulse_nl"]
LONGEST_PULSE_STEPS = 4096 * PULSE_NL // 35000 + 1


class CutStore(BenchStore):
    """Loses power at its `cut_at`-th write from `arm` on, of which `torn` is stored."""

    def __init__(self):
        super().__init__(bytearray(STORE_BYTES))
        self.cut_at = -1
        self.torn = 0

    def arm(self, cut_at, torn):
        self.writes, self.cut_at, self.torn = 0, cut_at, torn

    def read(self, address, buffer, length):
        buffer[:length] = self.data[address:address + length]

    def write(self, address, buffer, length):
        cut = self.writes == self.cut_at
        self.writes += 1
        if cut:
            length = (0, length // 2, 1, length - 1, length)[self.torn]
        self.data[address:address + length] = buffer[:length]
        if cut:
            self.cut_at = -1
            raise PowerCut("power lost at a store write")


class CutBench(Bench):
    """Knows how long it has lived, whatever its clocks are set to."""

    lived_ms = 0

    def _pass(self, ms):
        self.lived_ms += ms
        super()._pass(ms)


class Operation:
    """`prepare(bench)` brings a commissioned and filled bench before it, `act(bench)` does it. An order has a `kind` and can be tried again."""

    def __init__(self, prepare, act=None, kind=0, values=None, role=CLINICIAN, most_bolus_nl=0, settle_s=0, rate_nl_day=500_000, alarms=(), hurt=False,
                 outage_s=OUTAGE_S):
        self._prepare, self._act = prepare, act
        self.rate_nl_day = rate_nl_day          # the most that the program runs at
        self.alarms = alarms                    # that the operation brings with it
        self.hurt = hurt                        # the store was damaged before
        self.outage_s = outage_s
        self.kind, self.values, self.role = kind, values, role
        self.most_bolus_nl = most_bolus_nl      # the bolus, prime or bridge that may come on top of the program, once
        self.settle_s = settle_s                # time until it would have ended
        self.digest = self.block = b""

    def ready(self):
        """A bench right before the operation."""
        bench = CutBench(ready=False)
        bench.store = CutStore()
        bench.reboot()
        bench.must(cat.COMMISSION, COMMISSION)
        if self._prepare is not dry:
            bench.refill(18_600)
            bench.run_s(600)
        self._prepare(bench)
        if self.kind:
            values = self.values(bench) if callable(self.values) else self.values
            self.block = block_bytes(self.kind, {"order_id": ORDER_ID, **values})
            self.stage(bench)
        bench.began_ms, bench.began_s, bench.began_steps = bench.lived_ms, bench.app.now_s, bench.moved_steps
        return bench

    def stage(self, bench):
        """Stage and check the order in a session of its role."""
        bench.open_session(self.role)
        refused = bench.stage(self.kind, self.block)
        assert refused is None, refused
        checked = bench.ask(cat.CHECK)[1]
        assert "reason" not in checked, (self.kind, checked)
        self.digest = checked["digest"]

    def act(self, bench):
        """The operation itself; PowerCut comes out of it where the store was armed."""
        if self.kind:
            bench.ask(cat.COMMIT, (self.digest,))
        else:
            self._act(bench)

    def writes(self, bench):
        """Store writes of the operation when nothing happens to it."""
        bench.store.arm(-1, 0)
        self.act(bench)
        return bench.store.writes


def lose_power(bench, operation, cut_at, torn):
    """Do the operation and cut it; True when the cut came. What was ordered before the cut may have turned the rotor or not."""
    bench.store.arm(cut_at, torn)
    try:
        operation.act(bench)
    except PowerCut:
        latch = bench.latch
        if latch.steps and (cut_at + torn) % 2:
            bench.steps += latch.steps
            bench.moved_steps += latch.steps
            bench.angle = bench.moved_steps * 4096 // bench.steps_per_rev % 4096
        return True
    finally:
        bench.store.arm(-1, 0)
    return False


def effect(bench):
    """What an operation may change, as a boot finds it."""
    app = bench.app
    settings, ledger = app.settings, app.ledger
    found = {name: getattr(settings, name) for name in (
        "stopped", "stopped_at_s", "commissioned", "order_digest", "last_kind", "program_digest", "fallback_nl_day", "safe_state", "abrupt_stop", "filled_s",
        "paused_until_s", "catheter", "reduction", "rise_s", "changed_s", "prescriptions", "old_cap_hour_nl", "old_cap_day_nl")}
    found.update(program=app.program_block, commission=app.commission_block, base_nl=ledger.base_nl, keys=[app.keys.key(role, 1) for role in (1, 2, 3)],
                 fill=settings.load_record(cat.REFILL), implant=settings.load_record(cat.IMPLANT_RECORD), trial=settings.load_record(cat.TRIAL_RECORD),
                 clock=(app.now_s - bench.began_s - (bench.lived_ms - bench.began_ms) // 1000 + 900) // 1800, bridging=app.infusion.extra == BRIDGE, granted=app.bolus.granted_day(),
                 past=past_programs(settings))
    return found


def past_programs(settings):
    """Every program that the store still shows, as a host pulls them."""
    found = []
    for offset in range(settings.first_prescription(), settings.prescriptions * cat.PRESCRIPTION_BYTES, cat.PRESCRIPTION_BYTES):
        data = settings.past_program(offset, cat.PRESCRIPTION_BYTES)
        length = int.from_bytes(data[4:6], "little")
        assert length <= cat.MAX_BLOCK and int.from_bytes(data[length + 6:length + 8], "little") == crc16(data, 0, length + 6), "a past program is damaged"
        found.append(bytes(data[:length + 6]))
    return found


def counters(app):
    """What only ever rises."""
    settings = app.settings
    return {"pulses": app.ledger.pulses, "boots": settings.boot_count, "events": app.events.head, "faults": app.faults.head,
            "history": app.history.head, "programs": settings.prescriptions}


def differences(found, wanted):
    return sorted(name for name in wanted if found[name] != wanted[name])


def judge(bench, operation, before, old, new, cut):
    """Sentences about what is wrong after the boot behind a cut; the bench is tried further (retry, a second boot)."""
    wrong, app = [], bench.app
    found = effect(bench)
    is_new = found == new
    if not is_new and found != old:
        wrong.append("neither the old state nor the new: old but for %s, new but for %s" % (differences(found, old), differences(found, new)))
    wrong += standing(bench, operation, before, cut)
    if operation.kind:
        wrong += retry(bench, operation, found, new)
    if operation.settle_s:
        bench.run_s(operation.settle_s)
    wrong += volume(bench, operation)
    known = counters(bench.app)
    bench.reboot(OUTAGE_S)
    if bench.app.settings.repaired:
        wrong.append("repaired again at the next boot: %s" % bench.app.settings.repaired)
    wrong += fallen(bench.app, known)
    return wrong, is_new


def fallen(app, known):
    return ["%s went back from %d to %d" % (name, known[name], value) for name, value in counters(app).items() if value < known[name]]


def standing(bench, operation, before, cut):
    """Books, extras, alarms, counters and records right behind the boot."""
    wrong, app = fallen(bench.app, before), bench.app
    ordered = app.ledger.revs * bench.steps_per_rev + app.ledger.steps
    if not 0 <= ordered - bench.moved_steps <= LONGEST_PULSE_STEPS * (1 + app.ledger.lost_pulses):
        wrong.append("the books say %d steps, the rotor turned %d" % (ordered, bench.moved_steps))
    if app.infusion.extra not in (NONE, BRIDGE):
        wrong.append("a %s goes on behind the reset" % cat.EXTRAS[app.infusion.extra])
    for row in (al.RECORDS, al.STORE, al.CLOCK_LOST):
        if app.alarms.is_active(row) and row not in operation.alarms:
            wrong.append("alarm %d stands" % row)
    if app.settings.repaired and not cut and not operation.hurt:
        wrong.append("%s was repaired though no write was torn" % app.settings.repaired)
    said = [row for row in events(app) if row[2] == cat.E_REPAIRED]
    for record, address in app.settings.repaired:
        if not any(row[3] == record and row[4] == address for row in said[-8:]):
            wrong.append("repaired %d at %#x and did not say so" % (record, address))
    if app.history.head <= history.RECORDS:
        wrong += held(app)
    return wrong


def held(app):
    """The history accounts for every pulse: what its records hold, and what the next one will."""
    nl = (app.ledger.pulses - app.history.pulses) * PULSE_NL
    for offset in range(0, app.history.end_byte(), cat.HISTORY_BYTES):
        data = bytes(app.history.read(offset, cat.HISTORY_BYTES))
        if int.from_bytes(data[-2:], "little") != crc16(data, 0, cat.HISTORY_BYTES - 2):
            return ["record %d of the history is damaged" % (offset // cat.HISTORY_BYTES)]
        nl += int.from_bytes(data[4:8], "little")
    return [] if nl == app.ledger.pulses * PULSE_NL else ["the history holds %d nL, %d pulses were ordered" % (nl, app.ledger.pulses)]


def events(app):
    """The last events, each whole and in sequence."""
    log, rows = app.events, []
    first = max(log.first_byte(), log.end_byte() - 40 * cat.EVENT_BYTES)
    for offset in range(first, log.end_byte(), cat.EVENT_BYTES):
        data = bytes(log.read(offset, cat.EVENT_BYTES))
        assert int.from_bytes(data[-2:], "little") == crc16(data, 0, cat.EVENT_BYTES - 2), "event %d is damaged" % (offset // cat.EVENT_BYTES)
        assert int.from_bytes(data[:4], "little") == offset // cat.EVENT_BYTES
        rows.append((0, 0, data[8], data[9], int.from_bytes(data[10:14], "little", signed=True)))
    return rows


def retry(bench, operation, found, new):
    """The host never got its answer and asks again: answered from the store, or not executed and executed now, once."""
    bench.open_session(operation.role)
    reply = bench.ask(cat.COMMIT, (operation.digest,))[1]
    if found["order_digest"] == operation.digest:
        return [] if reply.get("again") == 1 else ["executed before the power went, but a retry is told %s" % reply]
    if reply.get("reason") != cat.R_NOT_STAGED:
        return ["not executed, but a retry is told %s" % reply]
    operation.stage(bench)
    reply = bench.ask(cat.COMMIT, (operation.digest,))[1]
    if reply.get("again") != 0:
        return ["the second try is told %s" % reply]
    now = effect(bench)
    same = ("stopped", "program_digest", "order_digest", "commission", "program", "catheter", "fallback_nl_day", "prescriptions", "base_nl")
    return ["behind the second try %s is not as ordered" % name for name in same if now[name] != new[name]]


def volume(bench, operation):
    """What the rotor delivered since the operation began: the program's share of the time and one bolus at the most, and one pulse."""
    seconds = (bench.lived_ms - bench.began_ms) // 1000
    most_nl = seconds * operation.rate_nl_day // 86400 + operation.most_bolus_nl + 2 * PULSE_NL
    delivered_nl = (bench.moved_steps - bench.began_steps) * 35000 // 4096
    return ["delivered %d nL, at most %d were due" % (delivered_nl, most_nl)] if delivered_nl > most_nl else []


def one(operation, bench, cut_at, torn, before, old, new, boot_cut=-1):
    """One cut, and with `boot_cut` another one in the boot behind it: (sentences about what is wrong, the state was the new one); None without the latter."""
    try:
        if not lose_power(bench, operation, cut_at, torn):
            return ["write %d was never reached" % cut_at], False
        try:
            bench.store.arm(boot_cut, torn)
            bench.reboot(operation.outage_s)
            if boot_cut >= 0:
                return None         # this boot writes less
        except PowerCut:
            bench.store.arm(-1, 0)
            bench.reboot(OUTAGE_S)
        return judge(bench, operation, before, old, new, torn in (1, 2, 3))
    except Exception as error:      # of the firmware under test: it is the finding, whatever it is
        return ["".join(traceback.format_exception(error))[-1500:]], False


def forked(call):
    """call() in a child that is a copy of this process: its result."""
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(write_fd, "wb") as out:
                pickle.dump(call(), out)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as back:
        data = back.read()
    assert os.waitpid(child, 0)[1] == 0, "the child failed: see its traceback"
    return pickle.loads(data)


def sweep(operation, fork=hasattr(os, "fork"), classes=range(len(LEFT)), boots=False):
    """Every cut of one operation: (number of cuts, found new, list of (write, torn class, boot write, sentence)). `boots`: the boot behind each cut is cut too."""
    bench = operation.ready()

    def fresh(call):
        return forked(lambda: call(bench)) if fork else call(operation.ready())

    def reference(do):
        def run(bench):
            if do:
                operation.act(bench)
            bench.reboot(operation.outage_s)
            start = bench.store.writes
            bench.reboot(OUTAGE_S)
            return effect(bench), bench.store.writes - start
        return fresh(run)

    writes, before = fresh(operation.writes), fresh(lambda bench: counters(bench.app))
    (old, _), (new, boot_writes) = reference(False), reference(True)
    cuts = news = 0
    wrong = []
    for cut_at in range(writes):
        for torn in classes:
            for boot_cut in range(-1, boot_writes + 2 if boots else 0):
                result = fresh(lambda bench, at=cut_at, torn=torn, boot=boot_cut: one(operation, bench, at, torn, before, old, new, boot))
                if result is None:
                    break
                said, is_new = result
                cuts += 1
                news += is_new
                wrong += [(cut_at, torn, boot_cut, sentence) for sentence in said]
    return cuts, news, wrong


# ---------------------------------------------------------------------------------------------------- the operations
def flow(**more):
    """A program with patient boluses."""
    return {**simple_program(500_000, 240_000), **A_BOLUS, **more}


def dry(bench):
    """Commissioned, never filled."""


def idle(bench):
    """Commissioned and filled."""


def running(bench):
    bench.must(cat.PROGRAM, flow())
    bench.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
    bench.run_s(1000)


def stopped(bench):
    running(bench)
    bench.stop()
    bench.run_s(200)


def bolus(bench):
    running(bench)
    bench.bolus(50_000, 3600)
    bench.run_s(600)


def patient_bolus(bench):
    running(bench)
    assert bench.request()["again"] == 0
    bench.run_s(300)


def priming(bench):
    bench.prime(375_000, 24_000_000)
    bench.run_s(100)


def bridging(bench, bridge_nl=20_000):
    running(bench)
    bench.bridge(250_000, bridge_nl, 500_000)
    bench.run_s(1800)


def paused(bench):
    running(bench)
    bench.pause(60)
    bench.run_s(600)


def then(prepare, *more):
    """`prepare` and what follows it."""
    def both(bench):
        prepare(bench)
        for each in more:
            each(bench)
    return both


def run(seconds):
    return lambda bench: bench.run_s(seconds)


def stalled(bench):
    bench.stalled = True


def healed(bench):
    bench.stalled = False


def magnet(bench):
    bench.magnet = True


def wrong_keys(bench):
    for number in range(8):
        bench.ask(cat.SESSION_OPEN, (CLINICIAN, bytes(NONCE_BYTES - 1) + bytes((number,))))
        bench.ask(cat.SESSION_CONFIRM, (bytes(PROOF_BYTES),))


def boot(bench):
    bench.reboot(OUTAGE_S)


def clock_back(bench):
    bench.rtc_s -= 7200
    bench.reboot(OUTAGE_S)


def new_concentration(bench):
    bench.refill(17_000, {**DRUG, "concentration_1_ng_ml": 1_000_000})


def bridged_program(bench):
    drug = {"concentration_1_ng_ml": bench.app.fill_drugs[1]}
    left_nl = bench.app.infusion.bridge_left_nl()
    return flow(**drug, bridge_nl=left_nl or 20_000, bridge_rate_nl_day=480_000, overrides=1, override_why=1)


def full_ring(ring, size, short=2):
    """Fill a ring of the app to `short` records before its end."""
    def fill(bench):
        log = getattr(bench.app, ring)
        while log.head < size - short:
            if ring == "history":
                log._write(bench.app, bench.app.mode)
            else:
                log.append(bench.app.now_s, cat.E_TARE)
        bench.app.save_state()
    return fill


def many_programs(bench):
    for number in range(se.PAST):
        bench.must(cat.PROGRAM, flow(fallback_nl_day=100_000 + 1000 * number))


def damage(address, length=1):
    def hurt(bench):
        for at in range(address, address + length):
            bench.store.data[at] ^= 0x55
    return hurt


def damage_older_state(bench):
    slots = bench.app.settings._state
    damage(slots.address + (1 - slots.slot) * slots.slot_bytes + 30)(bench)


def damage_spare_program(bench):
    bench.must(cat.PROGRAM, flow())
    damage(se.PROGRAM_AT + (1 - bench.app.settings.program_slot) * se.PROGRAM_SLOT + 30)(bench)


def blank_store(bench):
    bench.store.data[:] = bytes(STORE_BYTES)
    bench.level_ul = bench.moved_steps = bench.steps = bench.angle = 0


TRIAL = {"drug": named(b"baclofen"), "concentration_ng_ml": 50_000, "indicated": 1, "doses": bytes((1, 80, 195, 0, 0, 4, 3, 8, 0, 2))}
IMPLANT = {"implanted_s": 63_000_000, "patient": b"A.B.".ljust(8, b"\0"), "indication": named(b"spasticity"), "tip_level": b"T10".ljust(8, b"\0"), "access_port": 1,
           "mri": named(b"1.5 T")}
REFILL = {**DRUG, "withdrawn_ul": 1000, "volume_ul": 10_000, "expires_s": 0, "lot": named(b"lot 2"), "next_s": 0, "rinse": 0}
TEN_MIN = dict(settle_s=1200)

OPERATIONS = {
    "commission": Operation(idle, kind=cat.COMMISSION, values={**COMMISSION, "catheter_mm": 555}),
    "commission anew": Operation(then(idle, lambda bench: bench.must(cat.COMMISSION, {**COMMISSION, "catheter_mm": 444})), kind=cat.COMMISSION,
                                 values={**COMMISSION, "catheter_mm": 555}),
    "first program": Operation(idle, kind=cat.PROGRAM, values=flow()),
    "program": Operation(running, kind=cat.PROGRAM, values=simple_program(700_000, 48_000), rate_nl_day=700_000),
    "flex program": Operation(running, kind=cat.PROGRAM, values=flex_program([[(0, 96_000), (600, 150_000)]], bytes(7))),
    "program that starts a bridge": Operation(then(running, new_concentration), kind=cat.PROGRAM, values=bridged_program, most_bolus_nl=20_000, settle_s=5000),
    "program that restates a bridge": Operation(bridging, kind=cat.PROGRAM, values=bridged_program, most_bolus_nl=20_000, settle_s=5000),
    "18th program": Operation(then(running, many_programs), kind=cat.PROGRAM, values=flow(fallback_nl_day=99_000)),
    "refill": Operation(running, kind=cat.REFILL, values=REFILL),
    "first refill": Operation(dry, kind=cat.REFILL, values=REFILL),
    "stop": Operation(running, kind=cat.STOP, values={"reason": 9}),
    "stop of a bolus": Operation(bolus, kind=cat.STOP, values={"reason": 9}, most_bolus_nl=50_000, settle_s=4000),
    "stop of a patient bolus": Operation(patient_bolus, kind=cat.STOP, values={"reason": 9}, most_bolus_nl=20_000, **TEN_MIN),
    "stop of a bridge": Operation(bridging, kind=cat.STOP, values={"reason": 9}, most_bolus_nl=20_000, settle_s=4000),
    "resume": Operation(stopped, kind=cat.RESUME, values={}),
    "resume of a bridge": Operation(then(bridging, lambda bench: bench.stop()), kind=cat.RESUME, values={}, most_bolus_nl=20_000, settle_s=4000),
    "prime": Operation(idle, kind=cat.PRIME, values={"what": cat.PRIME_BOTH, "volume_nl": 50_000, "rate_nl_day": 24_000_000}, most_bolus_nl=50_000, rate_nl_day=0,
                       settle_s=400),
    "set clock forward": Operation(running, kind=cat.SET_CLOCK, values=lambda bench: {"time_s": bench.rtc_s + 7200}),
    "set clock back": Operation(running, kind=cat.SET_CLOCK, values=lambda bench: {"time_s": bench.rtc_s - 7200}),
    "set clock forward before a long outage": Operation(running, kind=cat.SET_CLOCK, values=lambda bench: {"time_s": bench.rtc_s + 7200}, outage_s=3 * 3600),
    "set clock back before a long outage": Operation(running, kind=cat.SET_CLOCK, values=lambda bench: {"time_s": bench.rtc_s - 7200}, outage_s=3 * 3600),
    "bolus": Operation(running, kind=cat.BOLUS, values={"volume_nl": 50_000, "seconds": 600}, most_bolus_nl=50_000, **TEN_MIN),
    "patient bolus": Operation(running, kind=cat.PATIENT_BOLUS, values={}, role=PATIENT, most_bolus_nl=20_000, **TEN_MIN),
    "patient bolus refused": Operation(then(patient_bolus, run(600)), lambda bench: bench.request(77)),
    "pause": Operation(running, kind=cat.PAUSE, values={"minutes": 60}),
    "pause of a bolus": Operation(bolus, kind=cat.PAUSE, values={"minutes": 60}, most_bolus_nl=50_000, settle_s=4000),
    "resume from a pause": Operation(paused, kind=cat.RESUME, values={}),
    "catheter emptied": Operation(running, kind=cat.CATHETER, values={"state": cat.CATHETER_EMPTY}),
    "catheter emptied under a bridge": Operation(then(bridging, lambda bench: bench.stop()), kind=cat.CATHETER, values={"state": cat.CATHETER_EMPTY}, most_bolus_nl=20_000),
    "implant record": Operation(running, kind=cat.IMPLANT_RECORD, values=IMPLANT),
    "trial record": Operation(idle, kind=cat.TRIAL_RECORD, values=TRIAL),
    "silence": Operation(then(running, lambda bench: bench.app.alarm(al.LOW, True)), kind=cat.SILENCE, values={"row": 0, "hours": 2}),
    "acknowledge": Operation(then(patient_bolus, boot), kind=cat.ACKNOWLEDGE, values={"row": 0}, most_bolus_nl=20_000),
    "alarm test": Operation(running, kind=cat.ALARM_TEST, values={"tone": 1}),
    "visit": Operation(running, kind=cat.VISIT, values={"alarm_heard": 1, "report": b"12345678"}),
    "calibration on": Operation(running, kind=cat.CALIBRATION, values={"on": 1}),
    "pulses": Operation(running, run(350)),
    "pulses of a bridge": Operation(bridging, run(350)),
    "bolus ends": Operation(then(bolus, run(2900)), run(200), most_bolus_nl=50_000, settle_s=4000),
    "patient bolus ends": Operation(then(patient_bolus, run(200)), run(150), most_bolus_nl=20_000, **TEN_MIN),
    "prime ends": Operation(then(priming, run(1200)), run(80), most_bolus_nl=200_000, rate_nl_day=0, settle_s=2000),
    "bridge ends": Operation(then(bridging, run(1500)), run(300)),
    "pause ends": Operation(then(paused, run(2950)), run(100)),
    "stall latches": Operation(then(running, stalled), run(800)),
    "stall ends": Operation(then(running, stalled, run(800), healed), run(400)),
    "stall cuts a bolus": Operation(then(bolus, stalled), run(200), most_bolus_nl=50_000, settle_s=4000),
    "pairing": Operation(then(running, magnet), lambda bench: bench.ask(cat.PAIR, (CLINICIAN, b"k" * 32))),
    "pairing anew": Operation(then(running, magnet, lambda bench: bench.ask(cat.PAIR, (PATIENT, b"o" * 32))), lambda bench: bench.ask(cat.PAIR, (PATIENT, b"k" * 32))),
    "wrong keys lock": Operation(running, wrong_keys),
    "emergency fallback": Operation(then(running, magnet), lambda bench: bench.ask(cat.REDUCE, (cat.REDUCE_FALLBACK,))),
    "emergency stop": Operation(then(running, magnet), lambda bench: bench.ask(cat.REDUCE, (cat.REDUCE_STOP,))),
    "emergency ends": Operation(then(running, magnet, lambda bench: bench.ask(cat.REDUCE, (cat.REDUCE_STOP,)), run(86_300)), run(400)),
    "midnight": Operation(then(running, run(86_400 - 1600 - 200)), run(250)),
    "events roll over": Operation(then(running, full_ring("events", event_log.EVENTS)), kind=cat.BOLUS, values={"volume_nl": 50_000, "seconds": 600},
                                  most_bolus_nl=50_000, **TEN_MIN),
    "faults roll over": Operation(then(running, stalled, full_ring("faults", event_log.FAULTS)), run(800)),
    "history rolls over": Operation(then(running, full_ring("history", history.RECORDS)), run(1000)),
    "boot": Operation(running, boot),
    "boot in a bolus": Operation(bolus, boot, most_bolus_nl=50_000, settle_s=4000),
    "boot in a patient bolus": Operation(patient_bolus, boot, most_bolus_nl=20_000, **TEN_MIN),
    "boot in a prime": Operation(priming, boot, most_bolus_nl=10_000, rate_nl_day=0, settle_s=2000),
    "boot in a bridge": Operation(bridging, boot, settle_s=4000),
    "boot when stopped": Operation(stopped, boot),
    "boot when paused": Operation(paused, boot),
    "boot with the clock behind": Operation(patient_bolus, clock_back, most_bolus_nl=20_000, alarms=(al.CLOCK_LOST,), **TEN_MIN),
    "boot with a damaged state slot": Operation(then(running, damage_older_state), boot, hurt=True),
    "boot with a torn program slot": Operation(then(running, damage_spare_program), boot, hurt=True),
    "first boot": Operation(then(idle, blank_store, boot, blank_store), boot),
}
