"""Two rings in the store: events (time, code, cause, two arguments) and daily totals, each record with its CRC-16.

The event ring's head is found at boot by the sequence numbers, so nothing else has to be written for it. Appending
allocates nothing. What is older than the ring is overwritten: the host pulls by absolute offset and sees what is gone.
"""

import struct

from ..protocol.catalogue import DAY_BYTES, EVENT_BYTES
from ..protocol.crc import crc16
from ..protocol.fields import MAX_SMALL

EVENTS_AT, EVENTS = 0x4000, 2048
DAYS_AT, DAYS = 0xE000, 400
_EVENT = "<IIBBii"
_DAY = "<HIIIII"
assert EVENTS_AT + EVENTS * EVENT_BYTES <= DAYS_AT
assert struct.calcsize(_EVENT) + 2 == EVENT_BYTES
assert struct.calcsize(_DAY) + 2 == DAY_BYTES


class EventLog:
    """The ring of events. `head` is the sequence number that the next event gets."""

    def __init__(self, store):
        self._store = store
        self._buffer = bytearray(EVENT_BYTES)
        self.head = 0

    def load(self):
        """Find the head: the records of one pass through the ring have consecutive sequence numbers."""
        first = self._seq_at(0)
        if first < 0:
            last = self._seq_at(EVENTS - 1)
            self.head = last + 1 if last >= 0 else 0
            return
        low, high = 0, EVENTS       # slot `low` belongs to this pass, slot `high` does not
        while high - low > 1:
            middle = (low + high) // 2
            if self._seq_at(middle) == first + middle:
                low = middle
            else:
                high = middle
        self.head = first + high

    def _seq_at(self, slot):
        buffer = self._buffer
        self._store.read(EVENTS_AT + slot * EVENT_BYTES, buffer, EVENT_BYTES)
        crc = crc16(buffer, 0, EVENT_BYTES - 2)
        if buffer[EVENT_BYTES - 2] != crc & 0xFF or buffer[EVENT_BYTES - 1] != crc >> 8:
            return -1
        return struct.unpack_from("<I", buffer, 0)[0]

    def append(self, time_s, code, cause=0, a=0, b=0):
        """Write one event; the arguments are clipped to +-2**30."""
        buffer = self._buffer
        struct.pack_into(_EVENT, buffer, 0, self.head, time_s, code, cause & 0xFF, _clip(a), _clip(b))
        _seal(buffer, EVENT_BYTES)
        self._store.write(EVENTS_AT + self.head % EVENTS * EVENT_BYTES, buffer, EVENT_BYTES)
        self.head = (self.head + 1) & MAX_SMALL        # not % 2**30: that number is no small integer on 32 bits

    def first_byte(self):
        """Absolute offset of the oldest record still there."""
        return max(0, self.head - EVENTS) * EVENT_BYTES

    def end_byte(self):
        """Absolute offset behind the newest record."""
        return self.head * EVENT_BYTES

    def read(self, offset, length):
        """Bytes from absolute `offset` (allocates: telemetry only). The caller has checked the range; stops at the wrap."""
        return _ring_read(self._store, EVENTS_AT, EVENTS * EVENT_BYTES, offset, length)


class DayLog:
    """The ring of daily totals: day d stands in slot d % 400."""

    def __init__(self, store):
        self._store = store
        self._buffer = bytearray(DAY_BYTES)

    def write(self, day, pulses, demanded_nl, missed_nl, sensed_ul, alarms):
        """Close `day` (days since the epoch)."""
        buffer = self._buffer
        struct.pack_into(_DAY, buffer, 0, day, pulses, demanded_nl, missed_nl, sensed_ul, alarms)
        _seal(buffer, DAY_BYTES)
        self._store.write(DAYS_AT + day % DAYS * DAY_BYTES, buffer, DAY_BYTES)

    def first_byte(self, last_day):
        """Absolute offset of the oldest day the ring can hold."""
        return max(0, last_day - DAYS) * DAY_BYTES

    def read(self, offset, length):
        """Bytes from absolute `offset`, day * 24."""
        return _ring_read(self._store, DAYS_AT, DAYS * DAY_BYTES, offset, length)


def _clip(value):
    return -MAX_SMALL if value < -MAX_SMALL else MAX_SMALL if value > MAX_SMALL else value


def _seal(buffer, size):
    crc = crc16(buffer, 0, size - 2)
    buffer[size - 2] = crc & 0xFF
    buffer[size - 1] = crc >> 8


def _ring_read(store, address, ring_bytes, offset, length):
    at = offset % ring_bytes
    if length > ring_bytes - at:
        length = ring_bytes - at
    data = bytearray(length)
    store.read(address + at, data, length)
    return data
