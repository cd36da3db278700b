"""A scripted pump made of protocol/ alone, behind a pyserial-like port on a clock that tests own. Nothing here reads the wall's clock."""

import hashlib
import random
from collections import deque

from thecal.host.blocks import pack, read_program, unpack
from thecal.protocol import catalogue as cat
from thecal.protocol import fields, responder as pump_end
from thecal.protocol.crc import crc16
from thecal.protocol.frame import HEADER, TAG_BYTES
from thecal.protocol.session import FORGED, OPENED, PumpHandshake, shelf_key

IDLE_S = 600


class FakeClock:
    """A clock that stands still unless somebody sleeps; `pace` pump seconds pass per second of it."""

    def __init__(self, virtual=True, pace=1.0):
        self.virtual = virtual
        self.pace = pace
        self.now = 100.0
        self.sleeps = []

    def now_s(self):
        return self.now

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds


def event(seq, time_s, code, cause=0, a=0, b=0):
    """One event record as the pump keeps it."""
    out = bytearray(cat.EVENT_BYTES)
    fields.pack(cat.EVENT_FIELDS, [seq, time_s, code, cause, a, b, 0], out)
    return seal(out)


def day(number, pulses, demanded_nl=0, missed_nl=0, sensed_ul=0, alarms=0):
    """One daily record as the pump keeps it."""
    out = bytearray(cat.DAY_BYTES)
    fields.pack(cat.DAY_FIELDS, [number, pulses, demanded_nl, missed_nl, sensed_ul, alarms, 0], out)
    return seal(out)


def span(time_s, delivered_nl, mode=2, rate_ul_day=300, sensed_ul=18_000, action=0):
    """One record of the delivery history as the pump keeps it."""
    out = bytearray(cat.HISTORY_BYTES)
    fields.pack(cat.HISTORY_FIELDS, [time_s, delivered_nl, sensed_ul, mode, action, rate_ul_day, 0], out)
    return seal(out)


def seal(out):
    crc = crc16(out, 0, len(out) - 2)
    out[-2:] = crc.to_bytes(2, "little")
    return bytes(out)


A_FILL = pack(cat.REFILL, {
    "order_id": 1, "withdrawn_ul": 0, "volume_ul": 18_600, "drug_1": b"baclofen".ljust(16, b"\0"), "concentration_1_ng_ml": 500_000, "drug_2": bytes(16),
    "concentration_2_ng_ml": 0, "drug_3": bytes(16), "concentration_3_ng_ml": 0, "expires_s": 0, "lot": bytes(16), "next_s": 0, "rinse": 0})


class FakePump:
    """Pump and port in one. Knobs: `mute`, `loss` (share of frames lost each way), `refuse` {message: (reason, field, value)},
    `readback` (bytes -> bytes), `digest` (bytes -> bytes), `reset_after` (message id after which RAM is lost, once), `reset_before_reply` (the
    same, and the reply with it), `forge` {message: reason} (executed, but an unsealed refusal is what arrives, once), `lose_reply` (message id,
    once), `on_served` (called with the message id), `gone` (raise on I/O), `magnet`, `keys` {role: key}, `locked_s`, `claims_paired` (a forged hello),
    `lose_line_at` (block kind whose STAGE takes the line away)."""

    def __init__(self, clock=None, schema_crc=None, start_s=63_536_400):
        self.clock = clock or FakeClock()
        self.start_s, self._t0 = start_s, self.clock.now_s()
        self.schema_crc = cat.schema_crc() if schema_crc is None else schema_crc
        self.timeout = None
        self.port = "fake"
        self.closed = False
        self.mute = False
        self.loss, self._dice = 0.0, random.Random(1)
        self.refuse, self.reset_after, self.reset_before_reply, self.forge, self.lose_reply = {}, None, None, {}, None
        self.on_served = lambda message_id: None
        self.serial, self.boot_count, self.keys, self.magnet, self.claims_paired = 1001, 2, {}, False, None
        self.forgeries, self.locked_s, self.reduction, self.served = 0, 0, 0, []
        self.contact = b"clinic +00 000 0000".ljust(cat.CONTACT_BYTES, b"\0")
        self._nonce = random.Random(2)
        self.readback = self.digest_of_staged = lambda data: data
        self.gone, self._closing = None, False
        self.lose_line_at = None
        self.status_fields = {}
        self.events, self.first_event, self.days, self.first_day = [], 0, [], 0
        self.program, self.implant = b"", b""
        self.files = {cat.FILE_FILL: A_FILL}     # number -> bytes: fill, implant and trial records, prescriptions, history, faults
        self.orders, self.last_digest, self.running_digest = [], b"\0" * 8, b"\0" * 8
        self.mode, self.time_offset_s, self.live_s, self.pushed = 2, 0, 0, 0
        self._out = deque()
        self.boot()

    def boot(self):
        """Power on: RAM is empty."""
        self.boot_stage()
        self.boot_count += 1
        self.live_s, self._handshake, self._asked, self._proved, self._heard_s = 0, None, None, None, self.clock.now_s()
        responder = self._responder = pump_end.Responder(
            self.schema_crc, self._serve, lambda buffer, length: self._write(buffer, length) if self._responder is responder else None)

    # ------------------------------------------------------------------------------------------------ the port
    @property
    def in_waiting(self):
        return len(self._out)

    def write(self, data):
        if self.gone:
            raise self.gone
        if self._dice.random() >= self.loss and not self.mute:
            if (self.clock.now_s() - self._heard_s) * self.clock.pace >= IDLE_S and self._responder.session is not None:
                self.end_session()
            for byte in data:
                self._responder.feed(byte)
                if self._closing:
                    self._closing = False
                    self.end_session()

    def read(self, size):
        if self.gone:
            raise self.gone
        if not self._out:
            due_s = (self._live_due - self.time_s) / self.clock.pace if self.live_s else self.timeout
            self.clock.now += min(self.timeout, max(0.0, due_s))
            self._push_due()
        return bytes(self._out.popleft() for _ in range(min(size, len(self._out))))

    def close(self):
        self.closed = True

    def chance(self, count):
        """The host's nonces and keys, the same in each run."""
        return self._nonce.randbytes(count)

    def _write(self, buffer, length):
        if self.lose_reply is not None and self.served and self.served[-1] == self.lose_reply:
            self.lose_reply = None
        elif self._dice.random() >= self.loss:
            self._out.extend(bytes(memoryview(buffer)[:length]))

    # ------------------------------------------------------------------------------------------------ the pump
    @property
    def time_s(self):
        return int(self.start_s + self.time_offset_s + (self.clock.now_s() - self._t0) * self.clock.pace)

    def status(self):
        """Every status field, zero unless a test set it."""
        values = {row[0]: b"\0" * 8 if row[1] == fields.BYTES else row[3] if row[3] > 0 else 0 for row in cat.message(cat.STATUS | cat.REPLY_BIT)[5]}
        values.update(time_s=self.time_s, mode=self.mode, steps_per_rev=4096, nl_per_rev=35000, pulse_nl=1000, running_digest=self.running_digest,
                      next_event=self.first_event + len(self.events), low_reservoir_days=65535, battery_mv=3600)
        values.update(forgeries=self.forgeries, locked_s=self.locked_s, boot_count=self.boot_count)
        values.update(self.status_fields)
        return values

    def _file(self, number):
        if number == cat.FILE_EVENTS:
            return self.first_event * cat.EVENT_BYTES, b"".join(self.events)
        if number == cat.FILE_DAYS:
            return self.first_day * cat.DAY_BYTES, b"".join(self.days)
        if number in (cat.FILE_PROGRAM, cat.FILE_STAGED):
            return 0, self.program if number == cat.FILE_PROGRAM else self.checked
        return 0, self.files.get(number, b"")

    @property
    def role(self):
        """Of the open session, 0 for none."""
        return self._responder.session.role if self._responder.session is not None else 0

    @property
    def paired(self):
        return sum(1 << (role - 1) for role in self.keys)

    def key(self, role):
        return self.keys.get(role) or shelf_key(self.serial, role)

    def _serve(self, decoder, outcome):
        message_id = decoder.message_id
        row = cat.message(message_id)
        self._sealed = TAG_BYTES[row[3]] > 0 and outcome == OPENED
        self.served.append(message_id)
        if outcome == FORGED:
            self.forgeries += self.role > 0
            return self._refused(message_id, cat.R_LOCKED if self.locked_s else cat.R_SESSION, 0, self.locked_s)
        self._heard_s = self.clock.now_s()
        values = [0] * len(row[5])
        assert fields.unpack(row[5], decoder.body, HEADER, HEADER + decoder.length, values) >= 0
        if message_id == cat.STAGE and values[0] == self.lose_line_at:
            self.gone = OSError("unplugged")
        answer = self._answer(message_id, row, values)
        self.on_served(message_id)
        if message_id in self.forge:
            self._sealed = False
            answer = self._refused(message_id, self.forge.pop(message_id))
        if message_id in (self.reset_after, self.reset_before_reply):
            responder, lost = self._responder, message_id == self.reset_before_reply
            self.reset_after = self.reset_before_reply = None
            self.boot()
            if not lost:
                responder._write = self._write
        return answer

    def _answer(self, message_id, row, values):
        flags = row[4]
        if message_id in self.refuse:
            return self._refused(message_id, *self.refuse[message_id])
        if flags & cat.F_MAGNET and not self.magnet:
            return self._refused(message_id, cat.R_MAGNET)
        if flags & cat.F_ALL and not flags & cat.F_CLINICIAN << (self.role - 1):
            return self._refused(message_id, cat.R_ROLE, 0, self.role)
        if flags & cat.F_THERAPY and self.locked_s:
            return self._refused(message_id, cat.R_LOCKED, 0, self.locked_s)
        return getattr(self, "_on_" + row[1])(*values)

    def _reply(self, message_id, *values):
        end = fields.pack(cat.message(message_id)[5], values, self._responder.payload)
        assert end >= 0, (message_id, values)
        return message_id, end

    def _refused(self, message_id, reason, field=0, value=0):
        return self._reply(cat.REFUSED_SEALED if self._sealed else cat.REFUSED, message_id, reason, field, value)

    def _on_hello(self, version, schema_crc):
        paired = self.paired if self.claims_paired is None else self.claims_paired
        return self._reply(cat.HELLO | cat.REPLY_BIT, cat.PROTOCOL_VERSION, self.schema_crc, self.serial, self.boot_count, 220, paired)

    def _on_session_open(self, role, host_nonce):
        if self.locked_s:
            return self._refused(cat.SESSION_OPEN, cat.R_LOCKED, 0, self.locked_s)
        if self._asked != (role, host_nonce):
            self._asked, self._device_nonce = (role, host_nonce), self._nonce.randbytes(16)
            self._handshake = PumpHandshake(self.schema_crc, role, self.key(role), self.serial, self.boot_count, host_nonce, self._device_nonce)
        return self._reply(cat.SESSION_OPEN | cat.REPLY_BIT, self._device_nonce, self.boot_count, self.serial, self._handshake.proof)

    def _on_session_confirm(self, proof):
        if proof != self._proved or self._responder.session is None:
            session = self._handshake.confirm(proof) if self._handshake is not None else None
            if session is None:
                self.forgeries += self._handshake is not None
                return self._refused(cat.SESSION_CONFIRM, cat.R_SESSION)
            self._handshake = self._asked = None
            self.boot_stage()
            self._proved = proof
            self._responder.open(session)
        return self._reply(cat.SESSION_CONFIRM | cat.REPLY_BIT, self.role, IDLE_S)

    def end_session(self):
        """As an idle close, or another host's session, does."""
        self._proved, self.live_s = None, 0
        self._responder.open(None)
        self.boot_stage()

    def _on_session_close(self):
        self._closing = True
        return self._reply(cat.SESSION_CLOSE | cat.REPLY_BIT)

    def _on_pair(self, role, key):
        self.keys[role] = bytes(key)
        if role == self.role:
            self.end_session()
        self._handshake = self._asked = None
        self.locked_s = 0
        return self._reply(cat.PAIR | cat.REPLY_BIT, role, self.paired)

    def _on_card(self):
        drugs = (b"baclofen".ljust(16, b"\0"), 500_000, b"\0" * 16, 0, b"\0" * 16, 0) if self.program else (b"\0" * 16, 0) * 3
        return self._reply(cat.CARD | cat.REPLY_BIT, *drugs, 300_000, 300_000, self.mode, 17_500_000, self.start_s if self.program else 0,
                           50 if self.program else 65_535, self.time_s, self.status_fields.get("alarms", 0), 0, self.contact)

    def _on_reduce(self, action):
        if not self.program or self.reduction > action:
            return self._refused(cat.REDUCE, cat.R_STATE, 0, self.reduction)
        self.reduction = action
        return self._reply(cat.REDUCE | cat.REPLY_BIT, action, 150_000 if action == cat.REDUCE_FALLBACK else 0, self.time_s + 86_400)

    def _on_identity(self):
        return self._reply(cat.IDENTITY | cat.REPLY_BIT, self.serial, 0x0102, b"fake")

    def _on_alarms(self):
        status = self.status()
        return self._reply(cat.ALARMS | cat.REPLY_BIT, status["alarms"], status["latched"], 0)

    def _on_status(self):
        status = self.status()
        return self._reply(cat.STATUS | cat.REPLY_BIT, *(status[row[0]] for row in cat.message(cat.STATUS | cat.REPLY_BIT)[5]))

    def _on_file_info(self, number):
        first, data = self._file(number)
        return self._reply(cat.FILE_INFO | cat.REPLY_BIT, number, first, first + len(data))

    def _on_file_read(self, number, offset, length):
        first, data = self._file(number)
        if not first <= offset <= first + len(data):
            return self._refused(cat.FILE_READ, cat.R_NO_FILE, 1, offset)
        return self._reply(cat.FILE_READ | cat.REPLY_BIT, number, offset, data[offset - first: offset - first + length])

    def _on_stage(self, kind, total, offset, data):
        if offset == 0:
            self.kind, self.stage = kind, bytearray()
        if offset != len(self.stage):
            return self._refused(cat.STAGE, cat.R_BAD_LENGTH, 2, offset)
        self.stage += data
        return self._reply(cat.STAGE | cat.REPLY_BIT, len(self.stage))

    def _on_check(self):
        if not self.kind:
            return self._refused(cat.CHECK, cat.R_NOT_STAGED)
        self.checked = self.readback(bytes(self.stage))
        digest = hashlib.sha256(bytes((self.kind,)) + bytes(self.stage)).digest()[:8]
        self._digest = self.digest_of_staged(digest)
        return self._reply(cat.CHECK | cat.REPLY_BIT, self.kind, len(self.checked), self._digest, 300)

    def _on_commit(self, digest):
        again = digest == self.last_digest
        if not again:
            if not self.checked:
                return self._refused(cat.COMMIT, cat.R_NOT_STAGED)
            assert digest == self._digest
            self._execute(self.kind, self.checked, digest)
        return self._reply(cat.COMMIT | cat.REPLY_BIT, digest, int(again), self.running_digest, self.time_s)

    def _execute(self, kind, block, digest):
        self.orders.append((kind, block))
        self.last_digest = digest
        said = unpack(kind, block)
        if kind == cat.PROGRAM:
            self.program, self.running_digest = block, digest
            made = read_program(block)
            self._log(cat.E_PROGRAM, cat.SIMPLE, int(made.daily_nl(0)), made.patterns[0][0].rate_nl_day)
        elif kind == cat.PRIME:
            self._log(cat.E_PRIME, 0, said["volume_nl"], said["rate_nl_day"])
        elif kind == cat.COMMISSION:
            self.implant, self.serial = block, said["serial"]
        elif kind == cat.REFILL:
            self.files[cat.FILE_FILL] = block
            self._log(cat.E_REFILL, 0, said["volume_ul"], said["withdrawn_ul"])
        elif kind == cat.SET_CLOCK:
            self.time_offset_s += said["time_s"] - self.time_s
        elif kind in (cat.STOP, cat.RESUME):
            self.mode = 3 if kind == cat.STOP else 2
        elif kind in (cat.IMPLANT_RECORD, cat.TRIAL_RECORD):
            self.files[cat.FILE_IMPLANT if kind == cat.IMPLANT_RECORD else cat.FILE_TRIAL] = block
        elif kind == cat.CATHETER:
            self.status_fields["catheter"] = said["state"]
        elif kind == cat.CALIBRATION:
            self.status_fields.update(calibration=said["on"], trim=self.status_fields.get("trim", 0) * said["on"])
        elif kind == cat.VISIT:
            self._log(cat.E_VISIT, said["alarm_heard"], *(int.from_bytes(said["report"][at:at + 4], "little") & (1 << 30) - 1 for at in (0, 4)))

    def _log(self, code, cause=0, a=0, b=0):
        self.events.append(event(self.first_event + len(self.events), self.time_s, code, cause, a, b))

    def _on_discard(self):
        self.boot_stage()
        return self._reply(cat.DISCARD | cat.REPLY_BIT)

    def boot_stage(self):
        self.stage, self.checked, self.kind = bytearray(), b"", 0

    def _on_implant(self):
        return self._reply(cat.IMPLANT | cat.REPLY_BIT, self.implant)

    def _on_live(self, interval_s):
        self.live_s, self._live_due = interval_s, self.time_s + interval_s
        return self._reply(cat.LIVE | cat.REPLY_BIT, interval_s)

    def _push_due(self):
        if (self.clock.now_s() - self._heard_s) * self.clock.pace >= IDLE_S and self._responder.session is not None:
            self.end_session()
        while self.live_s and self.time_s >= self._live_due:
            end = fields.pack(cat.message(cat.LIVE_FRAME)[5], (self._live_due, self.mode, 300000, self.pushed, 18_000_000, 18_010, 0), self._responder.payload)
            self._responder.push(cat.LIVE_FRAME, end)
            self._live_due += self.live_s
            self.pushed += 1
