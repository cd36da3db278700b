"""Outputs of the development boards: the motor's order, the line, the tone. They wait within a step and leave behind it."""

import time

from ..ports import MAX_HOLD_MS, STEP_HZ

SETTLE_MS = 20          # what the rotor may still turn after its lease is not a fault
WHOLE_TURNS = 1 << 24   # the step count starts anew here: 4096 turns
OUT_BYTES = 2048        # room for replies that the line has not taken yet
NAP_MS = 4              # between two looks at the line: the tone's edges and the drain before a reset
assert STEP_HZ * MAX_HOLD_MS < 1 << 30

# (frequency in Hz, milliseconds) in turn; the last one gives way to silence.
TUNES = [[], [(2000, 1000)], [(2000, 300), (1200, 300), (2000, 300), (1200, 300)]]


class StepMotor:
    """A pulse is ordered within the step and let out behind it. The chip's part gives `_fire`, `_cut` and `_steps_given`."""

    def __init__(self):
        self._steps = 0                 # the order that waits for the end of the step; 0: none
        self._hold_ms = 0
        self._since = time.ticks_ms()   # the last pulse let out: its start, steps and lease
        self._given_steps = 0
        self._lease_ms = 0
        self.turned = 0                 # steps of all pulses before it, modulo WHOLE_TURNS

    def order(self, steps, hold_ms):
        """See port_shapes.Motor. Raises ValueError outside the bounds given there."""
        if not 1 <= steps <= 65535:
            raise ValueError("motor order of %d steps is outside 1..65535" % steps)
        if not 0 <= hold_ms <= MAX_HOLD_MS:
            raise ValueError("enable hold of %d ms is outside 0..%d" % (hold_ms, MAX_HOLD_MS))
        self._steps = steps
        self._hold_ms = hold_ms

    def drop_enable(self):
        """See port_shapes.Motor. At once, not behind the step; an order that waits is forgotten."""
        self._steps = 0
        self._cut()
        self._close(time.ticks_ms())

    def apply(self):
        """Let the order of this step out; True if there was one.

        What still runs is cut, so neither leases nor trains queue up behind each other.
        """
        ordered = self._steps > 0
        if ordered:
            now = time.ticks_ms()
            train_ms = self._given_steps * 1000 // STEP_HZ      # may outlast its lease
            if self._given_steps and (not self.at_rest(now) or time.ticks_diff(now, self._since) <= train_ms):
                self._cut()
            self._close(now)
            self._since, self._given_steps, self._lease_ms = now, self._steps, self._hold_ms
            self._steps = 0
            self._fire(self._given_steps, self._lease_ms)
        return ordered

    def at_rest(self, now):
        """False while a lease runs or the rotor may still settle."""
        return self._lease_ms == 0 or time.ticks_diff(now, self._since) > self._lease_ms + SETTLE_MS

    def progress(self, now):
        """Steps of the last pulse that fell within its lease and are over by `now`."""
        shared_ms = min(max(time.ticks_diff(now, self._since), 0), self._lease_ms)
        return min(self._given_steps, shared_ms * STEP_HZ // 1000)

    def _close(self, now):
        self.turned = (self.turned + self.progress(now)) % WHOLE_TURNS 
        self._given_steps = self._lease_ms = 0

    def _fire(self, steps, hold_ms):
        raise NotImplementedError

    def _cut(self):
        raise NotImplementedError


class Uart:
    """The telemetry line over machine.UART, whose own ring (rxbuf) receives; what a step writes leaves behind the step."""

    def __init__(self, polls, device):
        self._polls = polls
        self._device = device
        self._one = bytearray(1)
        self._waiting = 0
        self._out = bytearray(OUT_BYTES)
        self._head = 0
        self._tail = 0
        self.dropped = 0        # bytes that found no room

    def sample(self):
        """Freeze what the next step may read."""
        self._waiting = self._device.any()

    def any(self):
        """See port_shapes.Uart."""
        self._polls.tick()
        return self._waiting

    def read_byte(self):
        """See port_shapes.Uart."""
        self._polls.tick()
        if self._waiting == 0 or not self._device.readinto(self._one):
            return -1
        self._waiting -= 1
        return self._one[0]

    def write(self, buffer, length):
        """See port_shapes.Uart."""
        tail = self._tail
        if length > OUT_BYTES - tail:
            self.dropped += length
            return
        out = self._out
        for index in range(length):
            out[tail + index] = buffer[index]
        self._tail = tail + length

    def pump(self):
        """Give the device what it takes without waiting; True when nothing is left."""
        if self._head < self._tail:
            self._head += self._device.write(memoryview(self._out)[self._head:self._tail]) or 0
            if self._head == self._tail:
                self._head = self._tail = 0
        return self._tail == 0

    def waiting(self):
        """Bytes on the line now, outside a step."""
        return self._device.any()

    def drain(self, wait_ms):
        """Before a reset: let the line finish, for `wait_ms` at most."""
        while wait_ms > 0 and not (self.pump() and self._device.txdone()):
            time.sleep_ms(NAP_MS)
            wait_ms -= NAP_MS


class Tone:
    """A passive buzzer on a PWM pin."""

    def __init__(self, pwm):
        self._pwm = pwm
        self._tune = TUNES[0]
        self._next = 0          # which note comes next
        self._until = time.ticks_ms()
        self._sounding = False

    def sound(self, kind):
        """See port_shapes.Tone."""
        self._tune = TUNES[kind]
        self._next = 0
        self._until = time.ticks_ms()
        self._sounding = True

    def play(self, now):
        """Go on to the next note when the last one is over."""
        if not self._sounding or time.ticks_diff(self._until, now) > 0:
            return
        if self._next == len(self._tune):
            self._pwm.duty_u16(0)
            self._sounding = False
            return
        hertz, length_ms = self._tune[self._next]
        self._next += 1
        self._until = time.ticks_add(now, length_ms)
        self._pwm.freq(hertz)
        self._pwm.duty_u16(32768)
