"""Stepper motor behind a separate enable switch: which steps the driver has put out by a given instant.

An order starts a train of n steps at the motor's rate; a one-shot holds enable for a stated time and cuts what is left.
Step k of a train started at t0 is complete at t0 + k/rate; a step in progress when enable falls is lost. Whether the
rotor follows is the plant's question (stall); the energy of a commanded step is spent either way.

How much torque is left says how far the rotor can push: all of it `stall_kpa` in the head's parameters, less in a magnetic field
(`torque_left`). Two faults change inputs, never the rule: `driver_stuck_on` makes every train endless, `enable_stuck` makes the switch
ignore its one-shot. Only both together turn the rotor while enable is off.
"""
from __future__ import annotations

from collections.abc import Iterator

from .params import MotorParams

MAX_HOLD_US = 500_000       # the hardware one-shot cannot hold longer (DESIGN 4)
MAX_STEPS = 65535           # one order's counter is 16 bits wide
ENDLESS = 1 << 62           # more steps, and a later microsecond, than any run has


class Motor:
    """Trains of steps on the virtual clock. All times are integer microseconds and never go back."""

    __slots__ = ("step_us", "driver_stuck_on", "enable_stuck", "pulses", "commanded", "_field_stall_t",
                 "_start_us", "_limit", "_done", "_hold_until_us", "_gate_us", "_ordered")

    def __init__(self, params: MotorParams):
        if 1_000_000 % params.steps_per_s:
            raise ValueError("motor steps_per_s is %d, it must divide 1,000,000 us" % params.steps_per_s)
        self.step_us = 1_000_000 // params.steps_per_s
        self.driver_stuck_on = False
        self.enable_stuck = False
        self.pulses = 0             # orders taken
        self.commanded = 0          # steps put out by the driver, turned or not
        self._start_us = 0
        self._limit = 0             # steps of the running train
        self._done = 0              # of these, already handed out by turn()
        self._hold_until_us = 0     # end of the one-shot as commanded
        self._gate_us = 0           # end of enable as it really is
        self._ordered = 0           # steps of the last order, whatever the driver makes of it
        self._field_stall_t = params.field_stall_t

    def order(self, t_us: int, steps: int, hold_us: int) -> None:
        """Start a train of `steps` (1..65535) with enable held for `hold_us` (0..500,000) from `t_us`.

        A new order replaces what is left of the running train. Raises ValueError out of range.
        """
        if not 1 <= steps <= MAX_STEPS:
            raise ValueError("motor order of %d steps: it must lie between 1 and %d" % (steps, MAX_STEPS))
        if not 0 <= hold_us <= MAX_HOLD_US:
            raise ValueError("motor hold of %d us: it must lie between 0 and %d" % (hold_us, MAX_HOLD_US))
        self.pulses += hold_us > 0      # against the open switch the driver has no supply
        running_wild = self.driver_stuck_on and self.enable_stuck
        self._hold_until_us = t_us + hold_us
        self._gate_us = ENDLESS if self.enable_stuck else self._hold_until_us
        self._ordered = steps
        if not running_wild:        # an endless train behind a stuck switch keeps its own beat
            self._start_us = t_us
            self._done = 0
            self._limit = ENDLESS if self.driver_stuck_on else steps

    def drop_enable(self, t_us: int) -> None:
        """Open the switch at `t_us`: nothing moves from here on unless the switch itself is stuck."""
        self._hold_until_us = min(self._hold_until_us, t_us)
        if not self.enable_stuck:
            self._gate_us = self._hold_until_us

    def turn(self, t_us: int) -> int:
        """Steps put out since the last call, up to `t_us`."""
        if self._done >= self._limit:
            return 0
        gate = self._gate_us
        by_now = ((t_us if t_us < gate else gate) - self._start_us) // self.step_us
        if by_now > self._limit:
            by_now = self._limit
        new = by_now - self._done
        if new <= 0:
            return 0
        self._done = by_now
        self.commanded += new
        return new

    def span_us(self, new: int) -> tuple[int, int]:
        """Start and end of the last `new` steps that turn() gave."""
        end = self._start_us + self._done * self.step_us
        return end - new * self.step_us, end

    def driven_us(self, t_us: int) -> tuple[int, int]:
        """Since when the coils have drawn current at `t_us`, and until when they will as things stand; an empty span if they do not."""
        end_us = self._gate_us if self._limit == ENDLESS else min(self._gate_us, self._start_us + self._limit * self.step_us)
        return (self._start_us, end_us) if self._start_us <= t_us < end_us else (t_us, t_us)

    def torque_left(self, field_t: float) -> float:
        """Share (0..1) of the torque that a static field of `field_t` leaves: it falls straight to nothing at `field_stall_t`."""
        return max(0.0, 1.0 - field_t / self._field_stall_t)

    def unordered(self, new: int) -> Iterator[str]:
        """Which of both faults the last `new` steps that turn() gave are owed to."""
        if self.driver_stuck_on and self._done > self._ordered:
            yield "driver_stuck_on"
        if self.enable_stuck and self._start_us + self._done * self.step_us > self._hold_until_us and new:
            yield "enable_stuck"

    def set_faults(self, t_us: int, driver_stuck_on: bool, enable_stuck: bool) -> None:
        """Set both switches' faults at `t_us`, up to which turn() has run. A train that had ended stays ended."""
        moving = self._done < self._limit and t_us < self._gate_us
        was_endless = self.driver_stuck_on
        self.driver_stuck_on = driver_stuck_on
        self.enable_stuck = enable_stuck
        self._gate_us = ENDLESS if enable_stuck else self._hold_until_us
        if driver_stuck_on:
            if not moving:
                self._start_us, self._done, self._ordered = t_us, 0, 0
            self._limit = ENDLESS
        elif was_endless or not moving:
            self._limit = self._done

    def next_edge_us(self, t_us: int) -> int | None:
        """When the next step behind `t_us` completes with enable commanded off; None if none will."""
        if self._done >= self._limit:
            return None
        base = max(t_us, self._hold_until_us)
        if base >= self._gate_us:
            return None
        step = (base - self._start_us) // self.step_us + 1
        return self._start_us + step * self.step_us if step <= self._limit else None
