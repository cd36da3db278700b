"""The simulated board: the one border between the plant's floats and the firmware's integers.

Packs the input snapshot of a wake into a tether request and applies the reply to plant and line. Holds what a real board
holds beside the pump: the RTC (kept through a power cut by its own cell), the tick (starts anew at every boot) and the reset cause.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..firmware.boards.latched import (
    DONE, FAILED, FLAG_MAGNET, FLAG_TORN, FLIP, FLIPPED, MAGIC, NEVER_CUT, NO_CLOCK, POWER_LOST, REPLY, REQUEST, RESET_WANTED, STEP, TICK_PERIOD,
)
from .line import SerialLine
from .plant import Plant

POWER_ON, BROWN_OUT, WATCHDOG, SOFTWARE = 1, 2, 3, 4      # reset causes, firmware/port_shapes.py
# What the store write that loses power leaves: nothing, half, the first byte, all but the last, all of it. TETHER.md, flags.
WHOLE_OLD, TORN_MIDDLE, TORN_FIRST, TORN_LAST, WHOLE_NEW = range(5)
STORE_DEAD = 5          # no write loses power, every write fails

_pack_request = struct.Struct(REQUEST).pack
_unpack_reply = struct.Struct(REPLY).unpack_from

__all__ = ["Board", "Reply", "DONE", "FAILED", "POWER_LOST", "RESET_WANTED", "POWER_ON", "BROWN_OUT", "WATCHDOG", "SOFTWARE"]


@dataclass(slots=True)
class Reply:
    """What a wake asked for; see hw_sim/TETHER.md. `tx` is what the line took of it."""

    kind: int
    delay_ms: int
    steps: int
    hold_ms: int
    drop_enable: bool
    tone: int
    writes: int
    polls: int
    tx: bytes


class Board:
    """`epoch_s`: pump seconds that the RTC shows at t_us = 0. `tick0_ms`: the tick's value at every boot (0..2**29 - 1)."""

    def __init__(self, plant: Plant, line: SerialLine, epoch_s: int, tick0_ms: int = 0) -> None:
        self.plant = plant
        self.line = line
        self.rtc_offset_s = epoch_s
        self._tick0_ms = tick0_ms
        self._boot_us = 0
        self._counter = 0
        self._tick_ms = tick0_ms        # of the last request
        self.reset_cause = POWER_ON
        self.magnet = False
        self.reed_held = False          # by something that is no magnet of a clinician
        self.cut_after = NEVER_CUT      # store writes that still succeed before power is lost; NEVER_CUT: all
        self.torn = WHOLE_OLD           # what of that write is stored

    def boot(self, now_us: int, cause: int) -> None:
        """The next request is the first of a boot."""
        self._boot_us = now_us
        self._counter = 0
        self._tick_ms = self._tick0_ms
        self.reset_cause = cause

    def rtc_s(self, now_us: int) -> int:
        """What the RTC shows."""
        return now_us // 1_000_000 + self.rtc_offset_s

    def set_rtc(self, time_s: int, now_us: int) -> None:
        """Set the RTC; also how a clock fault moves it."""
        self.rtc_offset_s = time_s - now_us // 1_000_000

    def request(self, now_us: int) -> bytes:
        """One input snapshot: 32 bytes of header and the received bytes. The plant has been advanced to `now_us`."""
        self._counter += 1
        sensed = self.plant.sense()
        rx = self.line.take_for_pump(now_us)
        flags = FLAG_TORN * self.torn
        if self.magnet or self.reed_held or self.plant.reed_closed:
            flags |= FLAG_MAGNET
            if self.reed_held and not self.magnet:
                self.plant.faults.fire("reed_held", now_us)
            elif self.plant.reed_closed and not self.magnet:
                self.plant.reed_seen()
        tick_ms = self._tick_ms = (self._tick0_ms + (now_us - self._boot_us) // 1000) & (TICK_PERIOD - 1)
        head = _pack_request(
            MAGIC, STEP, flags, self._counter, now_us // 1_000_000 + self.rtc_offset_s, tick_ms, sensed.encoder_angle,
            sensed.level_raw, sensed.inlet_raw, sensed.temperature_raw, sensed.battery_mv, self.reset_cause, 0,
            self.cut_after, len(rx))
        return head + rx if rx else head

    def flip_request(self, record: int, bit: int, now_us: int) -> bytes:
        """What turns a bit of the pump's memory over between two steps; no time passes for the pump."""
        self._counter += 1
        return _pack_request(MAGIC, FLIP, 0, self._counter, self.rtc_s(now_us), self._tick_ms, record, bit & 0xFFFF, bit >> 16, 0, 0,
                             self.reset_cause, 0, NEVER_CUT, 0)

    def flipped(self, reply: bytes) -> bool:
        """Whether the pump had such a bit. Raises ValueError for a reply out of step."""
        (magic, kind, _, counter, *_) = _unpack_reply(reply)
        self._check(magic, counter)
        return bool(kind == FLIPPED)

    def _check(self, magic: int, counter: int) -> None:
        if magic != MAGIC or counter != self._counter:
            raise ValueError(f"tether: reply with magic 0x{magic:04x} to step {counter}; expected 0x{MAGIC:04x}, step {self._counter}")

    def apply(self, reply: bytes, now_us: int) -> Reply:
        """Do what the reply says: orders to the plant, bytes to the line, the RTC. Raises ValueError for a reply out of step."""
        (magic, kind, flags, counter, delay_ms, steps, hold_ms, tone, _, clock_s, writes, polls, length) = _unpack_reply(reply)
        self._check(magic, counter)
        if self.cut_after != NEVER_CUT:
            self.cut_after = max(0, self.cut_after - writes)
        tx = reply[-length:] if length else b""
        if self.torn == STORE_DEAD and writes:
            self.plant.faults.fire("store_dead", now_us)
        if kind == DONE or kind == RESET_WANTED:
            if flags:
                self.plant.drop_enable()
            if steps:
                self.plant.order(steps, hold_ms * 1000)
            if tx:
                tx = tx[:self.line.pump_write(tx, now_us)]
            if clock_s != NO_CLOCK:
                self.set_rtc(clock_s, now_us)
        return Reply(kind, delay_ms, steps, hold_ms, bool(flags), tone, writes, polls, tx)
