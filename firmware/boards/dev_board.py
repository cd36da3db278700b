"""What the development boards share: inputs frozen within a step, the poll budget, therapy time, the sleep between two steps.

A board file (pico, esp32) builds the parts that its chip has and hands them to DevBoard. Between `begin()` and `end()` time
stands still: inputs are sampled once, orders wait. `end()` lets them out in this order: store writes are through already,
then the motor, then the line; so what a step wrote down is on record before anything moves (DESIGN R6).

The sleep is one loop of short naps on the tick. It ends when the step is due, when a burst has come in on the line, or when
the rotor turns while no lease runs; but not while a pulse runs, half a second at most. The watchdog is fed in it at least every SLICE_MS, never beyond the instant that the last
step promised: a step that hangs is a reset (R7). Slices are not steps.
"""

import os
import sys
import time

from ..limits import EDGE_COUNTS
from ..ports import MAX_DELAY_MS
from .dev_inputs import COUNTS
from .dev_outputs import NAP_MS

SLICE_MS = 4000         # DESIGN R7: the watchdog is fed at least this often while the step is not yet due
WATCHDOG_MS = 8000      # RP2040's can count 8388 ms at most
BURST_BYTES = 200       # wake before the line is quiet once this much waits
WATCH_MS = 50           # the rotor at rest is looked at this often: 0.43 uL at 1000 steps/s
DRAIN_MS = 100          # what the line may take before a reset
assert 2 * SLICE_MS <= WATCHDOG_MS

UNKNOWN, POWER_ON, BROWN_OUT, WATCHDOG, SOFTWARE = range(5)     # port_shapes.System.reset_cause


class Clock:
    """Therapy seconds from the RTC, elapsed milliseconds from the tick; `keep` carries the second through a reset."""

    def __init__(self, polls, rtc, keep):
        self._polls = polls
        self._rtc = rtc
        self._keep = keep
        self._epoch = time.mktime((2024, 1, 1, 0, 0, 0, 0, 1))
        self._now_s = 0
        self._elapsed_ms = 0
        self.tick = time.ticks_ms()
        kept_s = keep.time_s()
        if self._rtc_s() < kept_s:      # the RTC begins in 2000 or 2021 after a power-up, and on an RP2040 after any reset
            self._write(kept_s)
        self._now_s = self._rtc_s()

    def _rtc_s(self):
        now = self._rtc.datetime()
        return time.mktime((now[0], now[1], now[2], now[4], now[5], now[6], 0, 1)) - self._epoch

    def _write(self, time_s):
        day = time.gmtime(self._epoch + time_s)
        self._rtc.datetime((day[0], day[1], day[2], day[6], day[3], day[4], day[5], 0))

    def sample(self):
        """Freeze both sources for the next step."""
        tick = time.ticks_ms()
        self._elapsed_ms = time.ticks_diff(tick, self.tick)
        self.tick = tick
        self._now_s = self._rtc_s()

    def keep(self):
        """Lay the present second down where a reset does not reach it."""
        self._keep.save(self._rtc_s())

    def now_s(self):
        """See port_shapes.Clock."""
        self._polls.tick()
        return self._now_s

    def elapsed_ms(self):
        """See port_shapes.Clock."""
        self._polls.tick()
        return self._elapsed_ms

    def set_s(self, time_s):
        """See port_shapes.Clock. Raises ValueError for a time before the epoch or beyond 2**30."""
        if not 0 <= time_s < 1 << 30:
            raise ValueError("therapy time %d s is outside 0..2**30 - 1" % time_s)
        self._write(time_s)
        self._now_s = time_s
        self._keep.save(time_s)


class Entropy:
    """The chip's random source."""

    def fill(self, buffer):
        """See port_shapes.Entropy."""
        buffer[:] = os.urandom(len(buffer))


class System:
    """Reset cause, and the wish for a reset."""

    def __init__(self, cause):
        self._cause = cause
        self.wanted = False

    def reset_cause(self):
        """See port_shapes.System."""
        return self._cause

    def reset(self):
        """See port_shapes.System."""
        self.wanted = True


def runtime(bench):
    """The identity's word on what runs here, at most 40 characters: port, version, and what of this board is not real."""
    version = ".".join([str(part) for part in sys.implementation.version[:3]])
    return "micropython %s %s%s" % (version, sys.platform, ", bench encoder" if bench else "")


class Ports:
    """The bundle for App: see ports.Ports. `analogs`: level, inlet pressure, temperature, battery."""

    def __init__(self, clock, motor, encoder, analogs, uart, store, tone, magnet, system, runtime):
        self.clock = clock
        self.motor = motor
        self.encoder = encoder
        self.level, self.inlet_pressure, self.temperature, self.battery = analogs
        self.uart = uart
        self.store = store
        self.tone = tone
        self.magnet = magnet
        self.entropy = Entropy()
        self.system = system
        self.runtime = runtime


class DevBoard:
    """The loop's other half: `begin()` before every step, `end(delay_ms)` behind it. The chip's part gives `feed` and `restart`."""

    def __init__(self, polls, ports):
        self._polls = polls
        self.ports = ports
        self._fed = time.ticks_ms()
        self._looked = self._fed
        self._rest = 0              # where the rotor rests
        self._rested = False        # and whether that is known
        self._heard = 0

    def begin(self):
        """Freeze the inputs for one step."""
        ports = self.ports
        self._polls.count = 0
        ports.clock.sample()
        self._rest = ports.encoder.sample()
        self._rested = ports.motor.at_rest(ports.clock.tick)
        ports.level.sample()
        ports.inlet_pressure.sample()
        ports.temperature.sample()
        ports.battery.sample()
        ports.magnet.sample()
        ports.uart.sample()

    def end(self, delay_ms):
        """Let the step's orders out and sleep until `delay_ms` after its instant, or until something calls for a step."""
        ports = self.ports
        if ports.motor.apply():
            self._rested = False
        ports.uart.pump()
        due = time.ticks_add(ports.clock.tick, min(max(delay_ms, 0), MAX_DELAY_MS))
        self._heard = 0
        self._slice(time.ticks_ms())
        while True:
            now = time.ticks_ms()
            left_ms = time.ticks_diff(due, now)
            ports.tone.play(now)
            ports.uart.pump()
            # A pulse is seen through: its lease began behind the step's store writes, later than the step's own clock says.
            if ports.motor.at_rest(now):
                if ports.system.wanted:
                    ports.uart.drain(DRAIN_MS)
                    self.restart()
                if left_ms <= 0 or self._called(now):
                    return
            if left_ms > 0 and time.ticks_diff(now, self._fed) >= SLICE_MS - NAP_MS:
                self._slice(now)
            time.sleep_ms(min(left_ms, NAP_MS) if left_ms > 0 else NAP_MS)

    def _slice(self, now):
        self.feed()
        self._fed = now
        self.ports.clock.keep()

    def _called(self, now):
        """True when a burst is in, or the rotor turned without a lease."""
        waiting = self.ports.uart.waiting()
        if waiting:
            if waiting >= BURST_BYTES or waiting == self._heard:
                return True
            self._heard = waiting
        if time.ticks_diff(now, self._looked) < WATCH_MS:
            return False
        self._looked = now
        encoder = self.ports.encoder
        if not encoder.present:
            self._rested = False
            return False
        angle = encoder.sample()
        if not self._rested:
            self._rest, self._rested = angle, True
        off = abs(angle - self._rest)
        return min(off, COUNTS - off) > EDGE_COUNTS

    def feed(self):
        """Feed the watchdog."""
        raise NotImplementedError

    def restart(self):
        """Reset the chip. Does not return."""
        raise NotImplementedError

    def release(self):
        """Somebody took the console: nothing moves, and nothing bites while files are copied."""
        raise NotImplementedError


def serve(board, step):
    """Step for ever. Ctrl-C on the console releases the board; any other exception ends here and the watchdog resets the chip."""
    try:
        while True:
            board.begin()
            board.end(step())
    except KeyboardInterrupt:
        board.release()
        print("released: the motor is off and the watchdog is stopped until the next reset")
