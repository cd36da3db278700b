"""The serial line: every byte costs ten bits of virtual time in either direction (R10), with the board's ring and overrun.

The pump is woken when the line has been idle for 3.5 characters (the RX-idle interrupt of the RP2040 and ESP32 UARTs) or when
its ring is three quarters full, whichever comes first; bytes that find the ring full are lost and counted. So are frames of the pump's that
find no room behind those which still wait to be sent (a flood of short questions with long answers).

Between the two ends, in this order, may stand somebody who hears and changes everything (`middle`, see attacker.py) and a bad line
(`impair`, see impairment.py). Without them a byte arrives as it was sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from .impairment import Impairment

RING_BYTES = 512            # rxbuf of the boards, firmware/boards/*.py
QUEUE_BYTES = 1280          # their transmit queue, firmware/boards/latched.py
WAKE_BYTES = RING_BYTES * 3 // 4


class SerialLine:
    """Both directions of one line at `baud` (8N1).

    `tap(t_us, sender, arriving, sent)` hears every write. `middle(sender, data, t_us)`, where set, gets every write instead of the line and
    returns what goes on, as (sender, bytes).
    """

    def __init__(self, baud: int = 115200, tap: Callable[[int, str, bytes, bytes], None] | None = None) -> None:
        if not 300 <= baud <= 4_000_000:
            raise ValueError(f"baud is {baud}: a line has 300..4,000,000")
        self.baud = baud
        self._tap = tap
        self.middle: Callable[[str, bytes, int], Iterable[tuple[str, bytes]]] | None = None
        self._impairment: Impairment | None = None
        self._to_pump: deque[tuple[int, bytes]] = deque()       # (start of the first byte in 1/baud... us, bytes)
        self._to_pump_free_us = 0       # when the line can take the next byte, and when the last byte that is on it arrives:
        self._to_pump_last_us = 0       # the same, unless what took the time is lost on the way
        self._to_host: deque[tuple[int, bytes]] = deque()
        self._to_host_free_us = 0
        self._to_host_last_us = 0
        self._sent_us = 0               # when the pump's UART has sent all it was given, whatever the line does to it
        self.overruns = 0
        self.unsent = 0
        self.bytes_to_pump = 0
        self.bytes_to_host = 0

    def _after_us(self, count: int) -> int:
        """Virtual time of `count` bytes, in whole microseconds, rounded up."""
        return -(-count * 10 * 1_000_000 // self.baud)

    @property
    def idle_us(self) -> int:
        """3.5 characters without a byte end a burst."""
        return self._after_us(7) // 2

    def impair(self, impairment: Impairment | None) -> None:
        """From now on the line is bad in this way; None: good again."""
        self._impairment = impairment

    def host_write(self, data: bytes, now_us: int) -> None:
        """The host puts `data` on the line; it follows what is still being sent."""
        self._write("host", bytes(data), now_us)

    def pump_write(self, data: bytes, now_us: int) -> int:
        """The pump puts `data` on the line; returns how many bytes. Frames (up to a 0x00) that its queue has no room for are not sent."""
        waiting = max(0, self._sent_us - now_us) * self.baud // 10_000_000
        taken = bytes(data) if len(data) <= QUEUE_BYTES - waiting else bytes(data[:data.rfind(0, 0, QUEUE_BYTES - waiting) + 1])
        self.unsent += len(data) - len(taken)
        self._sent_us = max(self._sent_us, now_us) + self._after_us(len(taken))
        self._write("pump", taken, now_us)
        return len(taken)

    def _write(self, sender: str, data: bytes, now_us: int) -> None:
        if not data:
            return
        if self.middle is None:
            self.put(sender, data, now_us)
            return
        for as_sender, piece in self.middle(sender, data, now_us):
            self.put(as_sender, piece, now_us)

    def put(self, sender: str, data: bytes, now_us: int) -> None:
        """Bytes on the line as if `sender` ("host" or "pump") had sent them, past whoever is in the middle; a bad line hurts them."""
        free_us = self._to_pump_free_us if sender == "host" else self._to_host_free_us
        arriving, start_us = data, max(now_us, free_us)
        if self._impairment is not None:
            injurer = self._impairment.by_sender[sender]
            arriving = injurer.carry(data, now_us > free_us + self.idle_us)
            start_us = max(now_us + injurer.delay_us(), free_us)
        last_us = start_us + self._after_us(len(arriving))
        free_us = max(last_us, start_us + self._after_us(len(data)))
        if sender == "host":
            self._to_pump_free_us = free_us
            self.bytes_to_pump += len(arriving)
        else:
            self._to_host_free_us = free_us
            self.bytes_to_host += len(arriving)
        if arriving and sender == "host":
            self._to_pump.append((start_us, arriving))
            self._to_pump_last_us = last_us
        elif arriving:
            self._to_host.append((start_us, arriving))
            self._to_host_last_us = last_us
        if self._tap:
            self._tap(now_us, sender, arriving, data)

    def wake_us(self) -> int | None:
        """When the pump's UART wakes it for what is on the line now; None when there is nothing."""
        if not self._to_pump:
            return None
        count = 0
        end_us = self._to_pump[0][0]
        for start, data in self._to_pump:
            if start > end_us + self.idle_us:
                return end_us + self.idle_us        # a late write follows (delay): the line is idle before it
            if count + len(data) >= WAKE_BYTES:
                return start + self._after_us(WAKE_BYTES - count)
            count += len(data)
            end_us = start + self._after_us(len(data))
        return self._to_pump_last_us + self.idle_us

    def take_for_pump(self, now_us: int) -> bytes:
        """The bytes that have arrived in the pump's ring by `now_us`; what did not fit is lost."""
        if not self._to_pump:
            return b""
        taken = bytearray()
        while self._to_pump:
            start, data = self._to_pump[0]
            arrived = self._arrived(start, len(data), now_us)
            taken += data[:arrived]
            if arrived < len(data):
                if arrived:
                    self._to_pump[0] = (start + self._after_us(arrived), data[arrived:])
                break
            self._to_pump.popleft()
        if len(taken) > RING_BYTES:
            self.overruns += len(taken) - RING_BYTES
            del taken[RING_BYTES:]
        return bytes(taken)

    def _arrived(self, start_us: int, length: int, now_us: int) -> int:
        return max(0, min(length, (now_us - start_us) * self.baud // 10_000_000))

    def take_for_host(self, now_us: int, size: int) -> bytes:
        """At most `size` bytes that have reached the host by `now_us`."""
        taken = bytearray()
        while self._to_host and len(taken) < size:
            start, data = self._to_host[0]
            count = min(self._arrived(start, len(data), now_us), size - len(taken))
            taken += data[:count]
            if count < len(data):
                if count:
                    self._to_host[0] = (start + self._after_us(count), data[count:])
                break
            self._to_host.popleft()
        return bytes(taken)

    def waiting_for_host(self, now_us: int) -> int:
        """Bytes that have reached the host and were not taken."""
        return sum(self._arrived(start, len(data), now_us) for start, data in self._to_host)

    def next_for_host_us(self, size: int) -> int | None:
        """When `size` more bytes (or all there are) will have reached the host; None when nothing is on its way."""
        if not self._to_host:
            return None
        count = 0
        for start, data in self._to_host:
            if count + len(data) >= size:
                return start + self._after_us(size - count)
            count += len(data)
        return self._to_host_last_us

    def cut(self) -> None:
        """The pump lost power: what was on the line is gone."""
        self._to_pump.clear()
        self._to_host.clear()
        self._sent_us = 0

    def counters(self) -> dict[str, Any]:
        """What went over the line and what was hurt: bytes, ring overruns, bytes the pump could not send, and for a bad line its text and counts by sender."""
        impairment = self._impairment
        return {"spec": impairment.text if impairment else None, "bytes_to_pump": self.bytes_to_pump, "bytes_to_host": self.bytes_to_host,
                "overruns": self.overruns, "unsent": self.unsent, **(impairment.counts() if impairment else {})}
