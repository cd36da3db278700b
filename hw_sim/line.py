"""The serial line: every byte costs ten bits of virtual time in either direction (R10), with the board's ring and overrun.

The pump is woken when the line has been idle for 3.5 characters (the RX-idle interrupt of the RP2040 and ESP32 UARTs) or when
its ring is three quarters full, whichever comes first; bytes that find the ring full are lost and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

RING_BYTES = 512            # rxbuf of the boards, firmware/boards/*.py
WAKE_BYTES = RING_BYTES * 3 // 4


class SerialLine:
    """Both directions of one line at `baud` (8N1)."""

    def __init__(self, baud: int = 115200, tap: Callable[[int, str, bytes], None] | None = None) -> None:
        if not 300 <= baud <= 4_000_000:
            raise ValueError(f"baud is {baud}: a line has 300..4,000,000")
        self.baud = baud
        self._tap = tap
        self._to_pump: deque[tuple[int, bytes]] = deque()       # (start of the first byte in 1/baud... us, bytes)
        self._to_pump_free_us = 0
        self._to_host: deque[tuple[int, bytes]] = deque()
        self._to_host_free_us = 0
        self.overruns = 0
        self.bytes_to_pump = 0
        self.bytes_to_host = 0

    def _after_us(self, count: int) -> int:
        """Virtual time of `count` bytes, in whole microseconds, rounded up."""
        return -(-count * 10 * 1_000_000 // self.baud)

    @property
    def idle_us(self) -> int:
        """3.5 characters without a byte end a burst."""
        return self._after_us(7) // 2

    def host_write(self, data: bytes, now_us: int) -> None:
        """The host puts `data` on the line; it follows what is still being sent."""
        if not data:
            return
        start = max(now_us, self._to_pump_free_us)
        self._to_pump.append((start, bytes(data)))
        self._to_pump_free_us = start + self._after_us(len(data))
        self.bytes_to_pump += len(data)
        if self._tap:
            self._tap(now_us, "host", bytes(data))

    def wake_us(self) -> int | None:
        """When the pump's UART wakes it for what is on the line now; None when there is nothing."""
        if not self._to_pump:
            return None
        count = 0
        for start, data in self._to_pump:
            if count + len(data) >= WAKE_BYTES:
                return start + self._after_us(WAKE_BYTES - count)
            count += len(data)
        return self._to_pump_free_us + self.idle_us

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

    def pump_write(self, data: bytes, now_us: int) -> None:
        """The pump puts `data` on the line."""
        start = max(now_us, self._to_host_free_us)
        self._to_host.append((start, data))
        self._to_host_free_us = start + self._after_us(len(data))
        self.bytes_to_host += len(data)
        if self._tap:
            self._tap(now_us, "pump", data)

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
        return self._to_host_free_us

    def cut(self) -> None:
        """The pump lost power: what was on the line is gone."""
        self._to_pump.clear()
        self._to_host.clear()
