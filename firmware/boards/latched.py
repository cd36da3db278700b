"""Ports over one exchange of bytes: inputs latched before a step, outputs collected behind it.

Both simulator runtimes use them: boards/tether.py carries the two messages over pipes, hw_sim's in-process runner hands them
over directly. So a firmware sees the same inputs, to the byte, on real MicroPython and in-process. Format: hw_sim/TETHER.md.
"""

import struct

from ..ports import MAX_DELAY_MS, MAX_HOLD_MS, MAX_POLLS, Ports, PowerCut, TooManyPolls

MAGIC = 0x4354
VERSION = 1
REQUEST = "<HBBIIIHHHHHBBHH"
REQUEST_BYTES = 32
REPLY = "<HBBIIHHBBIHHH"
REPLY_BYTES = 28
assert struct.calcsize(REQUEST) == REQUEST_BYTES
assert struct.calcsize(REPLY) == REPLY_BYTES

STEP, QUIT = 1, 2                                   # kinds of request
DONE, RESET_WANTED, FAILED, POWER_LOST = 1, 2, 3, 4  # kinds of reply
FLAG_MAGNET, FLAG_TORN = 1, 2                       # request flags; the second times 0..4, see torn_length
FLAG_DROP_ENABLE = 1                                # reply flag

TICK_PERIOD = 1 << 29       # a simulated tick wraps inside small integers (style.md, 2 (2))
NEVER_CUT = 0xFFFF
NO_CLOCK = 0xFFFFFFFF
TX_BYTES = 1280         # five whole frames: the replies that a host has outstanding, and a push


class Latch:
    """The snapshot of one step and what the step asked for. Ports read and write it; `begin` and `end` frame it."""

    def __init__(self):
        self.counter = 0
        self.now_s = 0
        self.tick_ms = -1
        self.elapsed_ms = 0
        self.angle = 0
        self.level = 0
        self.inlet = 0
        self.temperature = 0
        self.battery_mv = 0
        self.reset_cause = 0
        self.magnet = 0
        self.polls = 0
        self.rx = b""
        self.rx_at = 0
        self.writes = 0
        self.cut_after = NEVER_CUT
        self.torn = 0
        self.steps = 0
        self.hold_ms = 0
        self.drop = 0
        self.tone = 0
        self.clock_set_s = -1
        self.reset_wanted = 0
        self.tx = bytearray(TX_BYTES)
        self.tx_length = 0
        self.tx_dropped = 0

    def begin(self, request, rx):
        """Latch a request header (REQUEST_BYTES) and its received bytes; returns its kind.

        Raises ValueError when the magic is wrong or the step counter does not follow on: a lost or doubled exchange.
        """
        (magic, kind, flags, counter, self.now_s, tick_ms, self.angle, self.level, self.inlet, self.temperature,
         self.battery_mv, self.reset_cause, _, self.cut_after, _) = struct.unpack_from(REQUEST, request, 0)
        if magic != MAGIC:
            raise ValueError("tether: bad magic 0x%04x" % magic)
        if counter != self.counter + 1:
            raise ValueError("tether: step %d follows step %d" % (counter, self.counter))
        self.counter = counter
        self.elapsed_ms = (tick_ms - self.tick_ms) & (TICK_PERIOD - 1) if self.tick_ms >= 0 else 0
        self.tick_ms = tick_ms
        self.magnet = flags & FLAG_MAGNET
        self.torn = flags // FLAG_TORN & 7
        self.rx = rx
        self.rx_at = 0
        self.polls = 0
        self.writes = 0
        self.steps = 0
        self.hold_ms = 0
        self.drop = 0
        self.tone = 0
        self.clock_set_s = -1
        self.tx_length = 0
        return kind

    def end(self, reply, kind, delay_ms):
        """Fill a reply header (REPLY_BYTES) behind a step that is due again in `delay_ms`."""
        if self.reset_wanted and kind == DONE:
            kind = RESET_WANTED
        if not 0 < delay_ms <= MAX_DELAY_MS:
            raise ValueError("step() returned %r; a delay is 1..%d ms" % (delay_ms, MAX_DELAY_MS))
        struct.pack_into(
            REPLY, reply, 0, MAGIC, kind, FLAG_DROP_ENABLE if self.drop else 0, self.counter, delay_ms, self.steps,
            self.hold_ms, self.tone, 0, NO_CLOCK if self.clock_set_s < 0 else self.clock_set_s, self.writes,
            min(self.polls, 0xFFFF), self.tx_length)

    def count_write(self):
        """Called by a store before each write: True when this is the one that loses power. Raises OSError of a dead store."""
        cut = self.writes == self.cut_after
        self.writes += 1
        if self.torn == 5:      # the store is dead
            raise OSError
        return cut

    def too_many(self):
        """Name the busy-wait."""
        raise TooManyPolls("over %d reads of inputs in one step: time stands still inside a step" % MAX_POLLS)


class _Analog:
    """One analogue input: the attribute of the latch that its name says."""

    def __init__(self, latch, name):
        self._latch = latch
        self._name = name

    def read(self):
        latch = self._latch
        latch.polls += 1
        if latch.polls > MAX_POLLS:
            latch.too_many()
        return getattr(latch, self._name)


class _Ports:
    """All other ports in one object, since none of their methods share a name: ten classes would cost a pump 2 KB."""

    def __init__(self, latch):
        self._latch = latch

    def now_s(self):
        latch = self._latch
        latch.polls += 1
        if latch.polls > MAX_POLLS:
            latch.too_many()
        return latch.now_s

    def elapsed_ms(self):
        latch = self._latch
        latch.polls += 1
        if latch.polls > MAX_POLLS:
            latch.too_many()
        return latch.elapsed_ms

    def set_s(self, time_s):
        self._latch.clock_set_s = time_s
        self._latch.now_s = time_s

    def order(self, steps, hold_ms):
        latch = self._latch
        if latch.steps or not 0 < steps < 65536 or not 0 <= hold_ms <= MAX_HOLD_MS:
            raise ValueError("motor.order(%r, %r): one order a step, 1..65535 steps, hold 0..%d ms"
                             % (steps, hold_ms, MAX_HOLD_MS))
        latch.steps = steps
        latch.hold_ms = hold_ms

    def drop_enable(self):
        self._latch.drop = 1

    def angle(self):
        latch = self._latch
        latch.polls += 1
        if latch.polls > MAX_POLLS:
            latch.too_many()
        return latch.angle

    def any(self):
        latch = self._latch
        latch.polls += 1
        if latch.polls > MAX_POLLS:
            latch.too_many()
        return len(latch.rx) - latch.rx_at

    def read_byte(self):
        latch = self._latch
        if latch.rx_at >= len(latch.rx):
            latch.polls += 1
            if latch.polls > MAX_POLLS:
                latch.too_many()
            return -1
        byte = latch.rx[latch.rx_at]
        latch.rx_at += 1
        return byte

    def write(self, buffer, length):
        latch = self._latch
        end = latch.tx_length + length
        if end > TX_BYTES:
            latch.tx_dropped += length
            return
        latch.tx[latch.tx_length:end] = memoryview(buffer)[:length]
        latch.tx_length = end

    def sound(self, kind):
        self._latch.tone = kind

    def reset_cause(self):
        return self._latch.reset_cause

    def reset(self):
        self._latch.reset_wanted = 1

    def present(self):
        latch = self._latch
        latch.polls += 1
        if latch.polls > MAX_POLLS:
            latch.too_many()
        return latch.magnet

    def fill(self, buffer):
        """Deterministic by design (R9): bytes follow from the step counter; a simulated pump's nonces are not secrets."""
        value = self._latch.counter * 2654435761 & 0xFFFFFFFF
        for index in range(len(buffer)):
            value = (value * 1103515245 + 12345) & 0x7FFFFFFF
            buffer[index] = value >> 16 & 0xFF


def bundle(latch, store, runtime):
    """The Ports that an App or a foreign `build(ports)` gets."""
    ports = _Ports(latch)
    return Ports(
        ports, ports, ports, _Analog(latch, "level"), _Analog(latch, "inlet"), _Analog(latch, "temperature"), _Analog(latch, "battery_mv"),
        ports, store, ports, ports, ports, ports, runtime)


def torn_length(latch, length):
    """How many bytes of the write that loses power are stored: none (torn 0), half (1), the first (2), all but the last (3), all (4)."""
    torn = latch.torn
    if torn < 2:
        return length // 2 * torn
    return 1 if torn == 2 else length - 4 + torn


def lose_power():
    """The write that was cut ends everything."""
    raise PowerCut("power lost at a store write")
