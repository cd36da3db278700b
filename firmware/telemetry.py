"""The telemetry server: one handler per message id, each reading the request's fields and writing the reply's.

Only this module allocates in a step, and only while a frame is served (DESIGN R8). It reads the app and asks it to execute
committed blocks; it holds the staging area and nothing else of the therapy.
"""

from ..protocol import catalogue as cat
from ..protocol.fields import pack, unpack
from ..protocol.frame import HEADER, MAX_FRAME, TAG_BYTES
from ..protocol.responder import Responder
from ..protocol.session import CLINICIAN, FORGED
from . import emergency
from .access import IDLE_S, Access
from .blocks import Stage
from .limits import SMALL, STAGE_LIFE_S
from .self_test import tidy

FIRMWARE_VERSION = 0x0001


class Telemetry:
    """Serves one line. `app` is the composition (firmware/app.py); see its `execute` for what a commit does."""

    def __init__(self, app, uart):
        self._app = app
        self._uart = uart
        self.schema_crc = cat.schema_crc()
        self._responder = Responder(self.schema_crc, self._serve, uart.write)
        self.stage = Stage()
        self.access = Access(app, self._responder, self.schema_crc, self._session_ended)
        self._sealed = False            # the request being served came sealed, so its refusal goes sealed
        self._closing = False
        self.live_s = 0
        self.live_due_s = 0
        self._handlers: dict = {
            cat.HELLO: self._hello, cat.IDENTITY: self._identity, cat.ALARMS: self._alarms, cat.STATUS: self._status,
            cat.FILE_INFO: self._file_info, cat.FILE_READ: self._file_read, cat.STAGE: self._stage, cat.CHECK: self._check,
            cat.COMMIT: self._commit, cat.DISCARD: self._discard, cat.LIVE: self._live, cat.IMPLANT: self._implant,
            cat.SESSION_OPEN: self._session_open, cat.SESSION_CONFIRM: self._session_confirm, cat.PAIR: self._pair,
            cat.SESSION_CLOSE: self._session_close, cat.CARD: self._card, cat.REDUCE: self._reduce,
        }

    def frames_bad(self):
        """Damaged frames since boot."""
        decoder = self._responder.decoder
        return decoder.bad_cobs + decoder.bad_length + decoder.bad_version + decoder.bad_class + decoder.bad_crc

    def receive(self, byte):
        """Take one byte off the line."""
        link = self._responder
        link.feed(byte)
        if byte == 0 or link.unproved > MAX_FRAME:
            self.access.spend(link.unproved, link.tags_wasted)
            link.unproved = link.tags_wasted = 0
        if self._closing:               # its reply went out under the session that it ends
            self._closing = False
            self.access.close()

    def _serve(self, decoder, outcome):
        message_id = decoder.message_id
        self._sealed = outcome != FORGED and TAG_BYTES[decoder.message_class] > 0
        if outcome == FORGED:
            if self.access.role:
                self.access.forged()
            locked_s = self.access.locked_s()
            return self._refuse(message_id, cat.R_LOCKED if locked_s else cat.R_SESSION, 0, locked_s)
        row = cat.message(message_id)
        handler = self._handlers.get(message_id)
        if handler is None or row is None:
            return self._refuse(message_id, cat.R_UNKNOWN_MESSAGE, 0, message_id)
        if decoder.message_class != row[3]:
            return self._refuse(message_id, cat.R_SESSION, 0, decoder.message_class)
        reason = self.access.refusal(row)
        if reason:
            return self._refuse(message_id, reason, 0, self.access.locked_s() if reason == cat.R_LOCKED else self.access.role)
        values = [0] * len(row[5])
        end = unpack(row[5], decoder.body, HEADER, HEADER + decoder.length, values)
        if end < 0:
            return self._refuse(message_id, cat.R_BAD_FIELD, -end - 1, decoder.length)
        return handler(*values)

    def _refuse(self, message_id, reason, field, value):
        return self._reply(cat.REFUSED_SEALED if self._sealed else cat.REFUSED, (message_id, reason, field, max(-SMALL + 1, min(SMALL - 1, value))))

    def _reply(self, message_id, values):
        end = pack(cat.fields_of(message_id), values, self._responder.payload)
        assert end >= 0, (message_id, -end - 1, values)
        return message_id, end

    def _hello(self, version, schema_crc):
        app = self._app
        return self._reply(cat.HELLO | cat.REPLY_BIT, (
            cat.PROTOCOL_VERSION, self.schema_crc, app.serial, app.settings.boot_count, 220, app.keys.paired))

    def _session_ended(self):
        self.stage.drop()
        self.live_s = 0

    def _session_open(self, role, host_nonce):
        values = self.access.open(role, host_nonce)
        if values is None:
            return self._refuse(cat.SESSION_OPEN, cat.R_LOCKED, 0, max(1, self.access.locked_s()))
        return self._reply(cat.SESSION_OPEN | cat.REPLY_BIT, values)

    def _session_confirm(self, host_proof):
        role = self.access.confirm(host_proof)
        if role == 0:
            locked_s = self.access.locked_s()
            return self._refuse(cat.SESSION_CONFIRM, cat.R_LOCKED if locked_s else cat.R_SESSION, 0, locked_s)
        return self._reply(cat.SESSION_CONFIRM | cat.REPLY_BIT, (role, IDLE_S))

    def _session_close(self):
        self._closing = True
        return self._reply(cat.SESSION_CLOSE | cat.REPLY_BIT, ())

    def _pair(self, role, key):
        reason = self.access.pair(role, key)
        if reason:
            return self._refuse(cat.PAIR, reason, 0, role)
        return self._reply(cat.PAIR | cat.REPLY_BIT, (role, self._app.keys.paired))

    def _card(self):
        return self._reply(cat.CARD | cat.REPLY_BIT, emergency.card(self._app))

    def _reduce(self, action):
        reason = emergency.reduce(self._app, action)
        if reason:
            return self._refuse(cat.REDUCE, reason, 0, self._app.settings.reduction)
        app = self._app
        return self._reply(cat.REDUCE | cat.REPLY_BIT, (action, app.effective_rate(), app.settings.reduction_until_s))

    def _identity(self):
        runtime = self._app.ports.runtime.encode()[:40]
        return self._reply(cat.IDENTITY | cat.REPLY_BIT, (self._app.serial, FIRMWARE_VERSION, runtime))

    def _alarms(self):
        alarms = self._app.alarms
        return self._reply(cat.ALARMS | cat.REPLY_BIT, (alarms.active, alarms.latched, alarms.first))

    def _status(self):
        app = self._app
        ledger, settings, alarms = app.ledger, app.settings, app.alarms
        demanded_nl = ledger.pulsed_nl + app.infusion.acc_nl
        values = [
            app.now_s, app.mode, app.program_mode, app.effective_rate(), app.schedule.daily_nl(app.now_s // 86400 % 7),
            settings.program_digest, ledger.pulses, ledger.pulse_nl, ledger.pulsed_ul + demanded_nl // 1000,
            demanded_nl % 1000, ledger.revs, ledger.steps, app.nl_per_rev, app.steps_per_rev]
        for cause in range(len(ledger.missed_ul)):
            values.append(ledger.missed_ul[cause])
            values.append(ledger.missed_nl[cause])
        infusion, bolus = app.infusion, app.bolus
        values += [
            ledger.reservoir_nl(), app.contents.sensed_ul, app.low_reservoir_days(), infusion.extra, infusion.extra_left_nl,
            infusion.bridge_left_nl(), settings.paused_until_s, min(2000000, app.caps.delivered_hour_nl), min(48000000, app.caps.delivered_day_nl), app.caps.hour_nl,
            app.caps.day_nl, bolus.granted_day(), bolus.refused_day(), bolus.lockout_s(), 1 if app.catheter_filled() else 0,
            app.sensing.temperature_dc, app.sensing.battery_mv,
            alarms.active, alarms.latched, alarms.first, settings.boot_count, app.reset_cause, app.events.head,
            app.uptime_s, self.frames_bad(), self.access.forgeries, self.access.locked_s(), settings.wasted_mj, settings.calibration,
            app.trim.part, app.schedule.given_s]
        return self._reply(cat.STATUS | cat.REPLY_BIT, values)

    def _ring(self, file):
        """The ring behind a file, or None."""
        app = self._app
        return app.events if file == cat.FILE_EVENTS else app.faults if file == cat.FILE_FAULTS else app.history if file == cat.FILE_HISTORY else None

    def _bytes(self, file):
        """A file that is one canonical block; empty when there is none."""
        if file == cat.FILE_PROGRAM:
            return self._app.program_block
        if file == cat.FILE_STAGED:
            return self.stage.block.canonical if self.stage.checked else b""
        kind = cat.REFILL if file == cat.FILE_FILL else cat.IMPLANT_RECORD if file == cat.FILE_IMPLANT else cat.TRIAL_RECORD
        return self._app.settings.load_record(kind) or b""

    def _span(self, file):
        """First and end offset of a file."""
        app, ring = self._app, self._ring(file)
        if ring is not None:
            return ring.first_byte(), ring.end_byte()
        if file == cat.FILE_DAYS:
            last_day = app.settings.last_day
            return app.days.first_byte(last_day), last_day * cat.DAY_BYTES
        if file == cat.FILE_PRESCRIPTIONS:
            return app.settings.first_prescription(), app.settings.prescriptions * cat.PRESCRIPTION_BYTES
        return 0, len(self._bytes(file))

    def _file_info(self, file):
        first, end = self._span(file)
        return self._reply(cat.FILE_INFO | cat.REPLY_BIT, (file, first, end))

    def _file_read(self, file, offset, length):
        first, end = self._span(file)
        if offset < first or offset > end:
            return self._refuse(cat.FILE_READ, cat.R_NO_FILE, 1, offset)
        length = min(length, end - offset)
        ring = self._ring(file)
        if ring is not None:
            data = ring.read(offset, length)
        elif file == cat.FILE_DAYS:
            data = self._app.days.read(offset, length)
        elif file == cat.FILE_PRESCRIPTIONS:
            data = self._app.settings.past_program(offset, length)
        else:
            data = self._bytes(file)[offset:offset + length]
        return self._reply(cat.FILE_READ | cat.REPLY_BIT, (file, offset, data))

    def _stage(self, kind, total, offset, data):
        if offset == 0:
            tidy()
        reason = self.stage.put(kind, total, offset, data, self._app.uptime_s)
        if reason:
            return self._refuse(cat.STAGE, reason, 2, offset)
        return self._reply(cat.STAGE | cat.REPLY_BIT, (self.stage.received,))

    def _check(self):
        tidy()
        stage = self.stage
        reason = self._stage_problem()
        if reason == 0 and stage.received != stage.total:
            reason = cat.R_BAD_LENGTH
        if reason:
            return self._no_order(cat.CHECK, reason, stage.kind, 0, stage.received)
        block = stage.block
        if block.take(stage.kind, stage.buffer, stage.total, self._app.minimum_rate_nl_day):
            return self._no_order(cat.CHECK, block.reason, stage.kind, block.field, block.value)
        reason = self._app.may_execute(block)
        if reason:
            return self._unfit(cat.CHECK, reason)
        stage.checked = True
        left = STAGE_LIFE_S - (self._app.uptime_s - stage.opened_s)
        return self._reply(cat.CHECK | cat.REPLY_BIT, (block.kind, len(block.canonical), block.digest, left))

    def _no_order(self, message_id, reason, kind, field, value):
        """What was staged is no order, or none any more: on record where a clinician gave it. Others could fill the log with such."""
        if self.access.role == CLINICIAN:
            self.access.name()
            self._app.log(cat.E_REFUSED, reason, kind)
        return self._refuse(message_id, reason, field, value)

    def _unfit(self, message_id, reason):
        """A whole block that may not be executed: which of its fields is at fault, or in which mode."""
        block = self.stage.block
        return self._refuse(message_id, reason, block.field, block.value if block.field else self._app.mode)

    def _stage_problem(self):
        stage = self.stage
        if stage.kind == 0:
            return cat.R_NOT_STAGED
        if self._app.uptime_s - stage.opened_s >= STAGE_LIFE_S:
            stage.drop()
            return cat.R_EXPIRED
        return 0

    def _commit(self, digest):
        app = self._app
        if app.settings.last_kind and digest == app.settings.order_digest:
            return self._committed(digest, 1)       # a retry, perhaps across a reset: answered from the store
        kind, reason = self.stage.kind, self._stage_problem()
        if reason == 0 and not self.stage.checked:
            reason = cat.R_NOT_STAGED
        if reason == 0 and digest != self.stage.block.digest:
            reason = cat.R_WRONG_DIGEST
        if reason:
            return self._no_order(cat.COMMIT, reason, kind, 0, app.mode)
        tidy()
        reason = app.execute(self.stage.block)
        if reason:
            return self._unfit(cat.COMMIT, reason)
        self.stage.drop()
        return self._committed(digest, 0)

    def _committed(self, digest, again):
        settings = self._app.settings
        return self._reply(cat.COMMIT | cat.REPLY_BIT, (digest, again, settings.program_digest, self._app.now_s))

    def _discard(self):
        self.stage.drop()
        return self._reply(cat.DISCARD | cat.REPLY_BIT, ())

    def _live(self, interval_s):
        self.live_s = interval_s
        self.live_due_s = self._app.uptime_s + interval_s
        return self._reply(cat.LIVE | cat.REPLY_BIT, (interval_s,))

    def _implant(self):
        return self._reply(cat.IMPLANT | cat.REPLY_BIT, (self._app.commission_block,))

    def watch(self):
        """Called in each step: push the live frame that is due. Without a session there is none."""
        if self.live_s and self._app.uptime_s >= self.live_due_s:
            self._push_live()

    def _push_live(self):
        app = self._app
        self.live_due_s = app.uptime_s + self.live_s
        end = pack(cat.fields_of(cat.LIVE_FRAME), (
            app.now_s, app.mode, app.effective_rate(), app.ledger.pulses, app.ledger.reservoir_nl(), app.contents.sensed_ul,
            app.alarms.active), self._responder.payload)
        self._responder.push(cat.LIVE_FRAME, end)
