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

STEP, QUIT, FLIP = 1, 2, 3                          # kinds of request
DONE, RESET_WANTED, FAILED, POWER_LOST, FLIPPED, NO_RECORD = range(1, 7)     # kinds of reply
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
        self.request = bytes(REQUEST_BYTES)     # what nobody may ask for in a step is not taken out of it
        self.now_s = 0
        self.tick_ms = -1
        self.elapsed_ms = 0
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
        magic = request[0] | request[1] << 8
        if magic != MAGIC:
            raise ValueError("tether: bad magic 0x%04x" % magic)
        counter = request[4] | request[5] << 8 | request[6] << 16 | request[7] << 24
        if counter != self.counter + 1:
            raise ValueError("tether: step %d follows step %d" % (counter, self.counter))
        tick_ms = request[12] | request[13] << 8 | request[14] << 16 | request[15] << 24
        self.elapsed_ms = (tick_ms - self.tick_ms) & (TICK_PERIOD - 1) if self.tick_ms >= 0 else 0
        self.tick_ms = tick_ms
        self.counter = counter
        self.now_s = request[8] | request[9] << 8 | request[10] << 16 | request[11] << 24
        self.request = request
        self.rx = rx
        self.polls = self.writes = 0
        self.cut_after = request[28] | request[29] << 8
        if self.torn or request[3] >= FLAG_TORN:        # to store into an attribute costs five times as much as to read it
            self.torn = request[3] // FLAG_TORN & 7
        if self.rx_at:
            self.rx_at = 0
        if self.steps or self.drop or self.tone or self.tx_length or self.clock_set_s >= 0:
            self.steps = self.hold_ms = self.drop = self.tone = self.tx_length = 0
            self.clock_set_s = -1
        return request[2]

    def end(self, reply, kind, delay_ms):
        """Fill a reply header (REPLY_BYTES) behind a step that is due again in `delay_ms`."""
        if self.reset_wanted and kind == DONE:
            kind = RESET_WANTED
        if not 0 < delay_ms <= MAX_DELAY_MS:
            raise ValueError("step() returned %r; a delay is 1..%d ms" % (delay_ms, MAX_DELAY_MS))
        # Byte by byte: struct would need a frame of 23 words, for which MicroPython searches its heap (a frame of 11 stands on its stack).
        request, clock_s = self.request, self.clock_set_s
        if clock_s < 0:
            clock_s = NO_CLOCK
        if self.polls > 0xFFFF:
            self.polls = 0xFFFF
        reply[0] = MAGIC & 0xFF
        reply[1] = MAGIC >> 8
        reply[2] = kind
        reply[3] = FLAG_DROP_ENABLE if self.drop else 0
        for at in range(4, 8):
            reply[at] = request[at]     # the step counter
        reply[8] = delay_ms & 0xFF
        reply[9] = delay_ms >> 8 & 0xFF
        reply[10] = delay_ms >> 16
        reply[12] = self.steps & 0xFF
        reply[13] = self.steps >> 8
        reply[14] = self.hold_ms & 0xFF
        reply[15] = self.hold_ms >> 8
        reply[16] = self.tone
        for at in range(18, 22):
            reply[at] = clock_s & 0xFF
            clock_s >>= 8
        reply[22] = self.writes & 0xFF
        reply[23] = self.writes >> 8
        reply[24] = self.polls & 0xFF
        reply[25] = self.polls >> 8
        reply[26] = self.tx_length & 0xFF
        reply[27] = self.tx_length >> 8

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
    """One analogue input: the two bytes of the request at `at`."""

    def __init__(self, latch, at):
        self._latch = latch
        self._at = at

    def read(self):
        latch, at = self._latch, self._at
        latch.polls += 1
        if latch.polls > MAX_POLLS:
            latch.too_many()
        return latch.request[at] | latch.request[at + 1] << 8


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
        return latch.request[16] | latch.request[17] << 8

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
        return self._latch.request[26]

    def reset(self):
        self._latch.reset_wanted = 1

    def present(self):
        latch = self._latch
        latch.polls += 1
        if latch.polls > MAX_POLLS:
            latch.too_many()
        return latch.request[3] & FLAG_MAGNET

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
        ports, ports, ports, _Analog(latch, 18), _Analog(latch, 20), _Analog(latch, 22), _Analog(latch, 24),
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
