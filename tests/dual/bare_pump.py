"""A pump on a bench: the real App over the latched ports, a rotor and a bellows of integers, and a virtual tick. No plant, no world.

Common dialect of both Pythons: CPython tests, the dual scripts and the heap tests drive the same bench. Nothing in here
shares arithmetic with the firmware: motion is counted in motor steps, time in milliseconds.
"""

import struct

from thecal.firmware.app import App
from thecal.firmware.boards.latched import MAGIC, NEVER_CUT, NO_CLOCK, REPLY, REPLY_BYTES, REQUEST, REQUEST_BYTES, STEP, Latch, bundle, \
    lose_power, torn_length
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import pack, unpack
from thecal.protocol.crc import crc32
from thecal.protocol.frame import FRAME, HEADER, MAX_FRAME, TAG_BYTES, Decoder, encode
from thecal.protocol.handshake import HostHandshake
from thecal.protocol.session import CLINICIAN, OPENED, PATIENT, shelf_key

STORE_BYTES = 256 * 1024
TICK_PERIOD = 1 << 29
MONDAY_S = 735 * 86400      # Monday 2026-01-05 00:00, pump seconds
SCHEMA = cat.schema_crc()

COMMISSION = {
    "serial": 1001, "nl_per_rev": 35000, "steps_per_rev": 4096, "counts_per_rev": 4096, "step_hz": 1000, "pulse_nl": 1000,
    "level_nl_per_count": 10000, "level_drift_ul": 50, "capacity_ul": 20000, "residual_ul": 1400, "tubing_nl": 199000, "dead_volume_nl": 375000,
    "minimum_rate_nl_day": 6000, "battery_empty_mv": 2400, "battery_eri_mv": 2600, "temperature_zero_counts": 0,
    "temperature_counts_per_c": 100, "catheter_mm": 800,
    "contact": b"clinic +00 000 0000" + bytes(cat.CONTACT_BYTES - 19),
}


def named(text):
    """A name as the wire carries it."""
    return text + bytes(cat.DRUG_NAME_BYTES - len(text))


DRUG = {
    "drug_1": named(b"baclofen"), "concentration_1_ng_ml": 500000, "drug_2": named(b""), "concentration_2_ng_ml": 0,
    "drug_3": named(b""), "concentration_3_ng_ml": 0,
}
CAPS = {
    "cap_hour_1_ng": 1000000000, "cap_day_1_ng": 1000000000, "cap_hour_2_ng": 0, "cap_day_2_ng": 0, "cap_hour_3_ng": 0, "cap_day_3_ng": 0,
}
NO_BOLUS = {"bolus_nl": 0, "bolus_s": 0, "lockout_min": 0, "interval_h": 0, "per_interval": 0, "per_day": 0, "released": 0}
A_BOLUS = {"bolus_nl": 20000, "bolus_s": 600, "lockout_min": 180, "interval_h": 0, "per_interval": 0, "per_day": 4, "released": 1}


class BenchStore:
    """Byte-addressed memory. `fail`: writes raise OSError; the latch may cut the power at a chosen write."""

    def __init__(self, data):
        self.data = data
        self.view = memoryview(data)
        self.latch = Latch()
        self.fail = False
        self.writes = 0

    def cut_next(self, torn):
        """Lose the power at the next write."""
        self.latch.cut_after = self.latch.writes
        self.latch.torn = torn

    def heal(self):
        self.latch.cut_after = NEVER_CUT

    def read(self, address, buffer, length):
        for index in range(length):
            buffer[index] = self.data[address + index]

    def write(self, address, buffer, length):
        if self.fail:
            raise OSError(5)
        cut = self.latch.count_write()
        self.writes += 1
        if cut:
            length = torn_length(self.latch, length)
        for index in range(length):
            self.data[address + index] = buffer[index]
        if cut:
            lose_power()


def simple_program(rate_nl_day, fallback_nl_day=0, safe_state=0):
    """Values of a PROGRAM block: one rate for ever."""
    return flex_program([[(0, rate_nl_day)]], bytes(7), fallback_nl_day, safe_state, cat.SIMPLE)


def flex_program(patterns, weekdays, fallback_nl_day=0, safe_state=0, mode=cat.FLEX):
    """Values of a PROGRAM block: `patterns` of (minute, rate nL/day), and the pattern of each weekday."""
    steps = b""
    for pattern in patterns:
        steps += bytes([len(pattern)])
        for minute, rate_nl_day in pattern:
            steps += struct.pack("<HI", minute, rate_nl_day)
    values = {"mode": mode, "fallback_nl_day": fallback_nl_day, "safe_state": safe_state, "abrupt_stop": 0, "editor": named(b"bench"),
              "setting": named(b"non-cancer"), "library_crc": 0, "overrides": 0, "override_why": 0, "step_pct": 0, "step_interval_h": 0,
              "bridge_nl": 0, "bridge_rate_nl_day": 0, "weekdays": bytes(weekdays), "patterns": len(patterns), "steps": steps}
    for more in (DRUG, CAPS, NO_BOLUS):
        values.update(more)
    return values


def block_bytes(kind, values):
    """A block as the host would stage it. Values are packed as they are: a test may want a bad one."""
    rows = cat.block(kind)
    out = bytearray(cat.MAX_BLOCK)
    end = pack(rows, [values[row[0]] for row in rows], out)
    assert end > 0, ("field", rows[-1 - end][0] if end < 0 else end)
    return bytes(out[:end])


class Bench:
    """`run(ms)` lets time pass, `ask` speaks frames, `order` stages, checks and commits. Faults: see the attributes."""

    def __init__(self, epoch_s=MONDAY_S, tick0_ms=0, store=None, ready=True, **commission):
        self.store = BenchStore(bytearray(STORE_BYTES) if store is None else store)
        self.rtc_s = epoch_s            # what the RTC shows at a whole second
        self.rtc_ms = 0                 # ... and the milliseconds since
        self.tick0_ms = tick0_ms
        self.tick_ms = tick0_ms
        self.angle = 0
        self.steps = 0                  # ordered since the bench began
        self.moved_steps = 0            # what the rotor really turned
        self.orders = 0
        self.longest_hold_ms = 0
        self.drops = 0
        self.tones = 0
        self.battery_mv = 3000
        self.inlet_counts = 13200
        self.temperature_counts = 3700
        self.level_ul = 0               # in the bellows when nothing has moved
        self.level_counts = -1          # >= 0: what the sensor is stuck at
        self.stalled = False            # the rotor does not turn
        self.reset_cause = 1
        self.cut_after = NEVER_CUT
        self.torn = False
        self.magnet = False
        self.wakes = 0
        self.pushed = []
        self.session = None
        self.role = CLINICIAN           # whose key the next session is opened with
        self._nonces = 0
        self.steps_per_rev = 4096
        self._request = bytearray(REQUEST_BYTES)
        self._reply = bytearray(REPLY_BYTES)
        self._frame = bytearray(MAX_FRAME)
        self._payload = bytearray(256)
        self._no_rx = b""
        self._next_id = 0
        self._order_id = 0
        self._boot()
        if ready:
            values = dict(COMMISSION)
            values.update(commission)
            self.steps_per_rev = values["steps_per_rev"]
            self.must(cat.COMMISSION, values)
            self.refill(18600)

    # ------------------------------------------------------------------------------------------------ time
    def _boot(self):
        self.latch = Latch()
        self.store.latch = self.latch
        self.tick_ms = self.tick0_ms
        self.counter = 0
        self.app = None
        self.due_ms = 0                 # until the firmware wants its next step
        self.since_ms = 0               # since its last
        self.decoder = Decoder(SCHEMA)
        self.run(0)

    def reboot(self, outage_s=1, cause=2):
        """Power off now, on again `outage_s` later, on the same store."""
        self._pass(outage_s * 1000)
        self.reset_cause = cause
        self._boot()

    def _pass(self, ms):
        self.rtc_ms += ms
        self.rtc_s += self.rtc_ms // 1000
        self.rtc_ms %= 1000
        self.tick_ms = (self.tick_ms + ms) & (TICK_PERIOD - 1)

    def level(self):
        if self.level_counts >= 0:
            return self.level_counts
        left_ul = self.level_ul - self.moved_steps * 35 // 4096
        return left_ul // 10 if left_ul > 0 else 0

    def begin(self, rx):
        """Latch the inputs of this instant."""
        self.counter += 1
        struct.pack_into(REQUEST, self._request, 0, MAGIC, STEP, 2 * self.torn | (1 if self.magnet else 0), self.counter, self.rtc_s, self.tick_ms,
                         self.angle, self.level(), self.inlet_counts, self.temperature_counts, self.battery_mv, self.reset_cause, 0, self.cut_after, len(rx))
        self.latch.begin(self._request, rx)

    def end(self, delay_ms):
        """Do what the step asked for."""
        latch = self.latch
        latch.end(self._reply, 1, delay_ms)
        if latch.steps and latch.hold_ms:       # a train without a hold is the self-test of the open switch
            self.orders += 1
            self.steps += latch.steps
            self.longest_hold_ms = max(self.longest_hold_ms, latch.hold_ms)
            if not self.stalled:
                self.moved_steps += latch.steps
                self.angle = self.moved_steps * 4096 // self.steps_per_rev % 4096
        if latch.drop:
            self.drops += 1
        if latch.tone:
            self.tones += 1
        if latch.clock_set_s >= 0:
            self.rtc_s = latch.clock_set_s
            self.rtc_ms = 0
        self.wakes += 1
        self.due_ms = delay_ms
        self.since_ms = 0

    def wake(self, rx=None):
        """One step of the firmware now."""
        self.begin(self._no_rx if rx is None else rx)
        if self.app is None:
            self.app = App(bundle(self.latch, self.store, "bench"))
        self.end(self.app.step())

    def run(self, ms):
        """Let `ms` pass; the firmware is stepped whenever it asked to be."""
        left = ms
        while self.due_ms - self.since_ms <= left:
            wait = self.due_ms - self.since_ms
            left -= wait
            self._pass(wait)
            self.wake()
            if self.latch.tx_length:
                self.received()
        self._pass(left)
        self.since_ms += left

    def run_s(self, seconds):
        """Let whole seconds pass (a year of milliseconds is no small integer)."""
        while seconds > 0:
            part = seconds if seconds < 86400 else 86400
            self.run(part * 1000)
            seconds -= part

    # ------------------------------------------------------------------------------------------------ the line
    def send(self, message_id, payload, request_id=None, message_class=None, schema=SCHEMA):
        """Put one frame in front of the pump and step it; returns the frames that came back: (class, id, request id, payload)."""
        if request_id is None:
            self._next_id = self._next_id % 255 + 1
            request_id = self._next_id
        row = cat.message(message_id)
        if message_class is None:
            message_class = row[3]
        tagged = TAG_BYTES[message_class] > 0
        if tagged and self.session is None and message_class == row[3]:
            self.open_session(self.role)
        size = encode(self._frame, message_class, message_id, 0, request_id, payload, len(payload), schema, crc32,
                      self.session.sending if tagged else None)
        return self.send_raw(bytes(self._frame[:size]))

    def open_session(self, role, key=None):
        """Prove the key of `role` (default: the shelf's); the reply to the confirmation, as ask() gives it."""
        self.session = None
        hello = self.ask(cat.HELLO, (cat.PROTOCOL_VERSION, SCHEMA))[1]
        self._nonces += 1
        nonce = bytes(12) + self._nonces.to_bytes(4, "little")
        shake = HostHandshake(SCHEMA, role, shelf_key(hello["serial"], role) if key is None else key, nonce)
        reply, said = self.ask(cat.SESSION_OPEN, shake.open_values())
        if reply == cat.REFUSED or not shake.answer(said["device_nonce"], said["boot_count"], said["serial"], said["proof"]):
            return reply, said
        self.session = shake.session
        reply, said = self.ask(cat.SESSION_CONFIRM, (shake.confirm,))
        if reply == cat.REFUSED:
            self.session = None
        return reply, said

    def send_raw(self, data):
        """Bytes as they are."""
        self.wake(data)
        return self.received()

    def received(self):
        """Frames in the transmit queue of the last step; telemetry pushes go to `pushed`."""
        came = []
        for index in range(self.latch.tx_length):
            if self.decoder.feed(self.latch.tx[index]) == FRAME and self.genuine():
                frame = (self.decoder.message_class, self.decoder.message_id, self.decoder.request_id, self.decoder.payload())
                if cat.message(frame[1])[2] == cat.PUSH:
                    self.pushed.append(frame)
                else:
                    came.append(frame)
        return came

    def genuine(self):
        """Open a sealed frame; what cannot be opened is nothing."""
        decoder = self.decoder
        if not TAG_BYTES[decoder.message_class]:
            return True
        return self.session is not None and self.session.receiving.open(decoder.body, decoder.length, decoder.message_class) == OPENED

    def ask(self, message_id, values=(), request_id=None):
        """Ask and return (reply id, {field: value}) of the one reply."""
        end = pack(cat.message(message_id)[5], values, self._payload)
        assert end >= 0, ("field", -1 - end)
        came = self.send(message_id, bytes(self._payload[:end]), request_id)
        assert len(came) == 1, came
        reply, said = came[0][1], read(came[0][1], came[0][3])
        if reply == cat.REFUSED and said["reason"] == cat.R_SESSION and cat.message(message_id)[3] and self.session is not None:
            self.session = None         # the pump was reset, or has waited for too long: prove the key again
            return self.ask(message_id, values, request_id)
        return cat.REFUSED if reply == cat.REFUSED_SEALED else reply, said

    def stage(self, kind, data):
        """STAGE in chunks; returns None or the refusal."""
        for at in range(0, len(data), 200):
            reply, values = self.ask(cat.STAGE, (kind, len(data), at, data[at:at + 200]))
            if reply == cat.REFUSED:
                return values
        return None

    def order(self, kind, values, order_id=None):
        """Stage, check, commit; returns the commit's reply values, or the refusal's (it has "reason")."""
        if order_id is None:
            self._order_id += 1
            order_id = self._order_id
        values = dict(values)
        values["order_id"] = order_id
        refused = self.stage(kind, block_bytes(kind, values))
        if refused:
            return refused
        reply, checked = self.ask(cat.CHECK)
        if reply == cat.REFUSED:
            return checked
        return self.ask(cat.COMMIT, (checked["digest"],))[1]

    def must(self, kind, values):
        """An order that is not refused."""
        reply = self.order(kind, values)
        assert "reason" not in reply, (kind, reply)
        return reply

    def refill(self, volume_ul, drug=None):
        """Empty to the residual and fill, in the bellows and by order."""
        values = {"withdrawn_ul": 0, "volume_ul": volume_ul, "expires_s": 0, "lot": named(b"lot 1"), "next_s": 0, "rinse": 0}
        values.update(DRUG if drug is None else drug)
        left_ul = 1400 if self.app.ledger.base_nl else 0        # a bellows is dry before its first fill
        reply = self.must(cat.REFILL, values)
        self.level_ul = left_ul + volume_ul + self.moved_steps * 35 // 4096
        return reply

    def program(self, rate_nl_day, fallback_nl_day=0):
        """Run one rate for ever."""
        return self.must(cat.PROGRAM, simple_program(rate_nl_day, fallback_nl_day))

    def flex(self, patterns, weekdays):
        """Run day patterns."""
        return self.must(cat.PROGRAM, flex_program(patterns, weekdays))

    def stop(self):
        return self.must(cat.STOP, {"reason": 1})

    def resume(self):
        return self.must(cat.RESUME, {})

    def prime(self, volume_nl, rate_nl_day, what=cat.PRIME_BOTH):
        return self.must(cat.PRIME, {"what": what, "volume_nl": volume_nl, "rate_nl_day": rate_nl_day})

    def bridge(self, rate_nl_day, bridge_nl, bridge_rate_nl_day, drug=None, more=None):
        """Fill with a drug of another concentration and run it behind a bridge, which need not be the whole that is due."""
        drug = dict(DRUG, concentration_1_ng_ml=self.app.program_drugs[1] * 2) if drug is None else drug
        self.refill(17000, drug)
        values = simple_program(rate_nl_day)
        values.update(drug)
        values.update({"bridge_nl": bridge_nl, "bridge_rate_nl_day": bridge_rate_nl_day, "overrides": 1, "override_why": 1})
        values.update(more or {})
        return self.must(cat.PROGRAM, values)

    def bolus(self, volume_nl, seconds):
        return self.must(cat.BOLUS, {"volume_nl": volume_nl, "seconds": seconds})

    def pause(self, minutes):
        return self.must(cat.PAUSE, {"minutes": minutes})

    def request(self, order_id=None):
        """The patient asks for a bolus, in a session of the patient's; the reply's or the refusal's values."""
        self.session, self.role = None, PATIENT
        reply = self.order(cat.PATIENT_BOLUS, {}, order_id)
        self.session, self.role = None, CLINICIAN
        return reply

    def status(self):
        """The status reply's fields."""
        return self.ask(cat.STATUS)[1]

    # ------------------------------------------------------------------------------------------------ the books
    def demanded(self):
        """(nL, 1/86400 nL) demanded since the pump was made."""
        ledger, infusion = self.app.ledger, self.app.infusion
        return ledger.pulsed_ul * 1000 + ledger.pulsed_nl + infusion.acc_nl, infusion.demand.rem

    def missed_nl(self):
        """nL booked as missed, all causes."""
        ledger = self.app.ledger
        return sum(ledger.missed_ul) * 1000 + sum(ledger.missed_nl)


def read(message_id, payload):
    """{field: value} of a payload."""
    rows = cat.message(message_id)[5]
    values = [0] * len(rows)
    end = unpack(rows, payload, 0, len(payload), values)
    assert end >= 0, (message_id, -1 - end)
    return {rows[index][0]: values[index] for index in range(len(rows))}


def events(bench, code=None):
    """(code, cause, a, b) of every event on record; of one code only: (cause, a, b)."""
    log, found, rows = bench.app.events, [], cat.record("event")
    for at in range(log.first_byte(), log.end_byte(), cat.EVENT_BYTES):
        values = [0] * len(rows)
        assert unpack(rows, log.read(at, cat.EVENT_BYTES), 0, cat.EVENT_BYTES, values) > 0
        if code is None:
            found.append(tuple(values[2:6]))
        elif values[2] == code:
            found.append(tuple(values[3:6]))
    return found
