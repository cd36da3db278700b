"""The delivery history: what was ordered in every five minutes, fifteen days of it, in a ring of the store.

A record is written at the first wake behind each five-minute boundary while drug is delivered, and at each change of mode or of
the alarms' action. It carries no sequence number: its CRC-16 is stored XORed with the number of the ring's pass, which tells a
boot where the head is; on the wire the CRC is plain. Appending allocates nothing.
"""

import struct

from ..protocol.catalogue import HISTORY_BYTES
from ..protocol.crc import crc16_whole
from . import alarms as al
from .event_log import Ring
from .modes import PRIMING

HISTORY_AT, RECORDS = 0x1E000, 4320
HISTORY_S = 300
CLOCK_MOVED = 0x80          # in `mode`: the clock was set or jumped here, so the times before and behind do not compare
_RECORD = "<IIHBBH"
assert struct.calcsize(_RECORD) + 2 == HISTORY_BYTES
assert HISTORY_AT + RECORDS * HISTORY_BYTES <= 0x30000


class History(Ring):
    """`tick(app)` in each step. `pulses` is the ledger's count at the newest record."""

    def __init__(self, store):
        super().__init__(store, HISTORY_AT, RECORDS, HISTORY_BYTES)
        self.pulses = 0
        self.whole = True           # the last walk through recent() met every record
        self._period = -1
        self._state = -1
        self._floor_pass = -1             # of the floor, while the head is sought

    def restore(self, floor, pulses, pulse_nl):
        """Find the head. `floor` and `pulses`: head and pulse count in it when the state record was written; the records since say the rest."""
        self._floor_pass = floor // RECORDS
        super().load(floor)
        volume_nl = 0
        for number in range(floor, self.head):
            if self._pass_at(number % RECORDS) == number // RECORDS:
                volume_nl += struct.unpack_from("<I", self._buffer, 4)[0]
        self.pulses = pulses + volume_nl // pulse_nl

    def _pass_at(self, slot):
        """See Ring. Any damage makes a random pass: only those near the floor's can be true (a pass takes days, the floor is hours old)."""
        buffer = self._buffer
        self._store.read(self._address + slot * HISTORY_BYTES, buffer, HISTORY_BYTES)
        number = crc16_whole(self._body) ^ (buffer[HISTORY_BYTES - 2] | buffer[HISTORY_BYTES - 1] << 8)
        return number if self._floor_pass - 1 <= number <= self._floor_pass + 1 else -1

    def tick(self, app):
        """Write a record when one is due."""
        period, state = app.now_s // HISTORY_S, app.mode << 3 | app.alarms.action
        if state == self._state and (period == self._period or not app.delivering):
            return
        self._period, self._state = period, state
        self._write(app, state >> 3)

    def clock_moves(self, app):
        """Mark where the clock is about to be set, or has jumped: before anything is stored under the new time."""
        self._write(app, app.mode | CLOCK_MOVED)

    def _write(self, app, mode):
        ledger, sensed_ul = app.ledger, app.contents.sensed_ul
        struct.pack_into(
            _RECORD, self._buffer, 0, app.now_s, (ledger.pulses - self.pulses) * ledger.pulse_nl,
            sensed_ul if sensed_ul < 65535 else 65535, mode, app.alarms.action, app.effective_rate() // 1000)
        try:
            self._append(self.head // RECORDS)
        except OSError:
            app.alarm(al.STORE, True, 3)
            return
        self.pulses = ledger.pulses
        self._floor_pass = self.head // RECORDS

    def recent(self, now_s, ledger, window_s):
        """Yield (age_s, nl) of all that was ordered in the last `window_s`, newest first: never older than it is. Allocates (boot only).

        A prime is left out: it fills the line and reaches no patient, so that no cap counts it (firmware/caps.py). Behind it `whole` is
        False when a record was damaged or is gone. Times on both sides of a moved clock count as one instant.
        """
        self.whole = False
        age_s, later_s, moved = 0, now_s, 0
        due_nl = (ledger.pulses - self.pulses) * ledger.pulse_nl        # ordered in the mode of the next record looked at
        for number in range(self.head - 1, max(-1, self.head - RECORDS - 1), -1):
            if self._pass_at(number % RECORDS) != number // RECORDS:
                return
            time_s, volume_nl, _, mode = struct.unpack_from("<IIHB", self._buffer, 0)
            if mode & ~CLOCK_MOVED != PRIMING:
                yield age_s, due_nl
            moved |= mode & CLOCK_MOVED
            if later_s > time_s and not moved:
                age_s += later_s - time_s
            if age_s >= window_s:
                self.whole = True
                return
            due_nl, later_s, moved = volume_nl, time_s, mode & CLOCK_MOVED
        yield age_s, due_nl
        self.whole = self.head <= RECORDS

    def read(self, offset, length):
        """See Ring; the CRC of each record is the plain one."""
        data = super().read(offset, length)
        for index in range(len(data)):
            at = (offset + index) % HISTORY_BYTES
            if at >= HISTORY_BYTES - 2:
                number = (offset + index) // HISTORY_BYTES // RECORDS
                data[index] ^= number & 0xFF if at == HISTORY_BYTES - 2 else number >> 8 & 0xFF
        return data
