"""The world of one simulated pump: plant, board, line, runtime and dated events on one virtual clock (R10).

The firmware is woken when it asked to be (its last `step()` said when), by an edge of the rotor while enable is off, and by
bytes on the line. Time jumps from one wake to the next: nothing runs on a fixed step. Truth and faults are reached here,
never through the pump (R1); nothing in this module is shared between two worlds (R4).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..firmware.boards.latched import REQUEST_BYTES
from .board import POWER_LOST, POWER_ON, RESET_WANTED, Board
from .clock import VirtualClock
from .environment import Environment
from .fram import LINE_BYTES
from .impairment import Impairment
from .line import SerialLine
from .params import PatientParams, PlantParams
from .plant import Plant
from .power import BOOT_US, Power
from .recorder import Recorder
from .runner import FirmwareError, InProcess, Runner, Tether, check_store

EPOCH_2026_01_05_09 = 735 * 86400 + 9 * 3600    # pump seconds of Monday 2026-01-05 09:00: 735 days after Monday 2024-01-01
RUNTIMES = ("micropython", "inprocess")
TONE_US = 400_000       # how long a tone sounds


class WorldClosed(Exception):
    """The world was closed, or its firmware failed before."""


class World(Power):
    """One pump in one patient. `build` is the usual way to make one.

    Attributes: plant (at this instant), board, line, runner, recorder, clock; counters wakes, pulses, virtual_us; `log(source, name, detail)`.
    """

    def __init__(self, plant: Plant, runner: Runner, recorder: Recorder, *, seed: int = 1, epoch_s: int = EPOCH_2026_01_05_09,
                 baud: int = 115200, tick0_ms: int = 0) -> None:
        self._plant = plant
        self.runner = runner
        self.recorder = recorder
        self.seed = seed
        self.clock = VirtualClock()
        self.line = SerialLine(baud, self._tap)
        self.board = Board(plant, self.line, epoch_s, tick0_ms)
        self.wakes = 0
        self.pulses = 0
        self.ordered_steps = 0
        self._chance = random.Random("host %d" % seed)
        self._delayed = False       # the line brings everything later
        self.closed = False
        self.failed = False
        self.writes = 0             # store writes of the run, for power-cut sweeps
        self._unpowered()
        self._tone = (0, 0)         # kind of the tone that sounds, and when it ends
        self._power_on(POWER_ON)

    @classmethod
    def build(cls, *, runtime: str = "micropython", seed: int = 1, params: PlantParams | None = None,
              patient: PatientParams | None = None, recorder: Recorder | None = None, firmware_dir: Path | None = None,
              exec_cmd: list[str] | None = None, store_path: Path | None = None, epoch_s: int = EPOCH_2026_01_05_09,
              line: str | None = None, environment: Environment | None = None, source_dir: Path | None = None, **options: Any) -> World:
        """A world with the reference plant unless told otherwise; `line` as of `--line` (impairment.py), drawn from the seed.

        `source_dir`: run a changed copy of our own firmware/ and protocol/ instead.

        Raises RuntimeMissing, StoreInvalid, LineError, ValueError for an unknown runtime.
        """
        if runtime not in RUNTIMES:
            raise ValueError(f"runtime is {runtime!r}: choose one of {', '.join(RUNTIMES)}")
        impairment = Impairment.parse(line, seed) if line is not None else None
        plant = Plant(params or PlantParams.load("reference"), patient or PatientParams.load(), seed=seed, environment=environment)
        recorder = recorder or Recorder(None)
        store = check_store(store_path)
        runner: Runner
        if exec_cmd is not None:
            runner = Tether(store_path, command=exec_cmd)
        elif runtime == "micropython":
            runner = Tether(store_path, firmware_dir, source_dir=source_dir)
        else:
            runner = InProcess(store, firmware_dir, keep=store_path, flush=recorder.close, source_dir=source_dir)
        try:
            world = cls(plant, runner, recorder, seed=seed, epoch_s=epoch_s, **options)
        except BaseException:
            runner.close()          # a child that cannot be started leaves no folder and no thread behind
            raise
        world.impair(impairment)
        return world

    def impair(self, impairment: Impairment | None) -> None:
        """The line is as bad as this from now on; None: good. It fires with the first byte that does not arrive as it was sent, and when."""
        self.log_of_faults.end("line", self.clock.now_us)
        self._delayed = impairment is not None and impairment.late
        self.line.impair(impairment)
        if impairment is not None:
            self.happens("line", impairment.text, impairment.text, at_once=False)

    # ------------------------------------------------------------------------------------------------ time
    @property
    def now_us(self) -> int:
        """Virtual time since the start, in microseconds."""
        return self.clock.now_us

    def at(self, t_us: int, callback: Callable[[], None]) -> None:
        """Run `callback()` at `t_us`; before the firmware when both are due at one instant."""
        self.clock.at(t_us, callback)

    def run_until(self, t_us: int) -> None:
        """Advance virtual time to `t_us`. Raises FirmwareError when the firmware fails; ValueError for a time that has passed."""
        if t_us < self.clock.now_us:
            raise ValueError(f"cannot run until {t_us} us: it is {self.clock.now_us} us")
        while True:
            due = self.next_us()
            if due > t_us:
                break
            self._step_to(due)
        self.clock.now_us = t_us        # the plant stays at its last event: where it is cut must not depend on the pacing

    def truth(self) -> dict[str, Any]:
        """What really is, now: see Plant.truth."""
        return self.plant.truth()

    def run_until_host_bytes(self, deadline_us: int, size: int = 1) -> None:
        """Advance until `size` bytes have reached the host, or to the deadline."""
        line, clock = self.line, self.clock
        while clock.now_us < deadline_us:
            ready = line.next_for_host_us(size)
            due = self.next_us()
            if ready is not None and ready <= min(due, deadline_us):
                self.run_until(max(ready, clock.now_us))
                if line.waiting_for_host(clock.now_us) >= size:
                    return
            if due > deadline_us:
                break
            self._step_to(due)
        if clock.now_us < deadline_us:
            self.run_until(deadline_us)

    def next_us(self) -> int:
        """The next instant at which anything happens."""
        due = self._due_us if self.powered else 1 << 62
        if self.powered:
            wake = self.line.wake_us()
            if wake is not None and wake < due:
                due = wake
            edge = self._plant.next_edge_us()
            if edge is not None and edge < due:
                due = edge
        dated = self.clock.next_us()
        if dated is not None and dated < due:
            due = dated
        return due if due > self.clock.now_us else self.clock.now_us

    def _step_to(self, t_us: int) -> None:
        clock = self.clock
        clock.now_us = t_us
        dated = clock.next_us()
        if dated is not None and dated <= t_us:
            clock.run_due()
            return
        self._wake(t_us)

    def _wake(self, now_us: int) -> None:
        if self.closed or self.failed:
            raise WorldClosed("the world is closed" if self.closed else "the firmware of this world has failed before")
        self._plant.advance(now_us)
        if self._on[0] and self._on[1] <= now_us:
            self._drop(self._on[1])
        if self._plant.flat:
            self._brown_out()
            return
        request = self.board.request(now_us)
        try:
            answer = self.runner.exchange(request)
        except FirmwareError:
            self.failed = True
            raise
        self.recorder.exchange(request, answer)
        reply = self.board.apply(answer, now_us)
        self.wakes += 1
        self.writes += reply.writes
        if reply.steps and reply.hold_ms:       # without a hold: the self-test of the open switch, no pulse
            self.pulses += 1
            self.ordered_steps += reply.steps
            hold_us = reply.hold_ms * 1000
            self.recorder.pulse(now_us, reply.steps, hold_us)
            self._on = (reply.steps, now_us + hold_us)      # its end is told when it has come: a later order holds on
            self._pins(now_us)
            self._expect_a_sag()
        if reply.drop_enable:
            self.recorder.event(now_us, "pump", "enable dropped", "")
            self._drop(now_us)
        if reply.tone:
            self._sound(now_us, reply.tone)
        self._plant.woken(len(request) - REQUEST_BYTES, len(reply.tx))
        self._due_us = now_us + reply.delay_ms * 1000
        if reply.kind == POWER_LOST:
            self.log_of_faults.fire("torn_write", now_us)
            self.recorder.event(now_us, "fault", "power cut", "1 s, at a store write")
            self._lose_power(1.0)
        elif reply.kind == RESET_WANTED:
            self.powered = False
            self._booting = True
            self.clock.at(now_us + BOOT_US, self._booted)

    def _sound(self, now_us: int, kind: int) -> None:
        self.recorder.event(now_us, "pump", "tone", "two-tone" if kind == 2 else "single")
        self._tone = (kind, now_us + TONE_US)
        self._pins(now_us)
        self.clock.at(now_us + TONE_US, self._tone_ends)

    def _tone_ends(self) -> None:
        now_us = self.clock.now_us
        if self._on[0] and self._on[1] <= now_us:
            self._drop(self._on[1])
        if self._tone[1] <= now_us:     # no other began meanwhile
            self._tone = (0, 0)
            self._pins(now_us)

    def _pins(self, t_us: int) -> None:
        steps = self._on[0]
        self.recorder.pins(t_us, int(steps > 0), steps, self._tone[0])

    # ------------------------------------------------------------------------------------------------ the rest
    def clock_jump(self, seconds: int) -> None:
        """Move the RTC by `seconds`, as a bad crystal or a bit flip would; the steady tick goes on."""
        self.happens("clock_jump", seconds, f"{seconds:+d} s")
        self.board.set_rtc(self.board.rtc_s(self.clock.now_us) + seconds, self.clock.now_us)

    def chance(self, count: int) -> bytes:
        """Bytes that follow from the seed: what stands for a host's random numbers in a simulated run."""
        return self._chance.randbytes(count)

    def _tap(self, t_us: int, sender: str, data: bytes, sent: bytes) -> None:
        if data != sent or self._delayed:
            self.log_of_faults.fire("line", t_us)
        self.recorder.uart(t_us, sender, data, sent)

    def inject(self, data: bytes) -> None:
        """Host bytes put on the line now: what a port writes, and what a replay writes at its recorded instant."""
        self.line.host_write(data, self.clock.now_us)

    def port(self, timeout_s: float | None = 5.0) -> Any:
        """A pyserial-like port on this world's line, for `Programmer(world.port())`."""
        from .endpoints import VirtualPort
        return VirtualPort(world=self, timeout=timeout_s)

    def store_use(self) -> dict[str, int | None]:
        """Store writes of the run, their bytes, and the 64-byte line that was written most; None where the runtime does not count (TETHER.md).

        Of a tethered pump the counts are there when the world is closed.
        """
        wear = self.runner.wear()
        if wear is None:
            return {"writes": self.writes, "bytes": None, "worst_line_at": None, "worst_line_writes": None}
        worst = max(range(len(wear) - 1), key=wear.__getitem__)
        return {"writes": self.writes, "bytes": wear[-1], "worst_line_at": worst * LINE_BYTES, "worst_line_writes": wear[worst]}

    def close(self) -> None:
        """End the runtime and flush the recorder; may be called twice."""
        if not self.closed:
            self.closed = True
            if self._on[0]:
                self._drop(self._on[1])
            try:
                self.runner.close()
            finally:
                self.recorder.close()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Pacer:
    """Runs a world at `speed` virtual seconds a wall second; None for as fast as it goes. The trace does not depend on it."""

    def __init__(self, world: World, speed: float | None, now: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        if speed is not None and speed <= 0:
            raise ValueError(f"speed is {speed}: it must be above 0")
        self._world = world
        self._speed = speed
        self._now = now
        self._sleep = sleep
        self._wall0 = now()
        self._virtual0_us = world.now_us

    @property
    def speed(self) -> float | None:
        """Virtual seconds a wall second."""
        return self._speed

    def change(self, speed: float | None) -> None:
        """Go on from here at another speed."""
        self._speed = speed
        self._wall0 = self._now()
        self._virtual0_us = self._world.now_us

    def target_us(self) -> int:
        """Where virtual time should be now."""
        assert self._speed is not None
        return self._virtual0_us + round((self._now() - self._wall0) * self._speed * 1e6)

    def run_until(self, t_us: int) -> None:
        """Advance to `t_us` at this speed, event by event."""
        world = self._world
        if self._speed is None:
            world.run_until(t_us)
            return
        while world.now_us < t_us:
            step = min(t_us, max(world.next_us(), world.now_us + 1))
            ahead = (step - self._virtual0_us) / 1e6 / self._speed - (self._now() - self._wall0)
            if ahead > 0.002:       # a shorter wait costs more than it paces
                self._sleep(min(ahead, 0.2))
                if ahead > 0.2:
                    continue
            world.run_until(step)

