"""The pump's power in a world: boots, cuts, and brown-outs of a cell that no longer carries what is on it.

A cell may be flat with the controller alone on it: the pump is dark until the fault is healed. Or it gives way under the motor, behind a film:
the controller resets within the train, the load is gone with it, the voltage is back and the pump boots. Nobody scripts that reset; the plant
says when its terminal voltage passes the limit (Plant.sag_us).
"""
from __future__ import annotations

from collections.abc import Callable

from .board import BROWN_OUT, SOFTWARE, STORE_DEAD
from .line import SerialLine
from .motor import ENDLESS
from .world_faults import Mishaps

BOOT_US = 300_000       # from power-on to the first step on a Pico: ROM, flash, imports (measured on the emulated board: see PROTOCOL)


class Power(Mishaps):
    """Whether the pump of one world runs: `powered`. `dark_us`: since when the cell is flat. `reset_for(from_us, to_us)` is told of resets under load."""

    line: SerialLine

    def _unpowered(self) -> None:
        """Nothing has booted yet."""
        self.powered = False
        self.dark_us: int | None = None
        self.reset_for: Callable[[int, int], None] = lambda from_us, to_us: None
        self._back_us = 0           # when the power of the last cut comes back
        self._booting = False       # a software reset is under way
        self._due_us = 0
        self._on = (0, 0)           # steps of the order under way, and when its hold ends

    def _pins(self, t_us: int) -> None:
        """A pin has changed: the world records it."""
        raise NotImplementedError

    def _drop(self, t_us: int) -> None:
        """Enable is off from `t_us` on."""
        self._on = (0, 0)
        self._pins(t_us)

    # ---- boots

    def _booted(self) -> None:
        if self._booting:           # no power cut came in between
            self._booting = False
            self._power_on(SOFTWARE)

    def _power_back(self) -> None:
        if not self.powered and self.dark_us is None and self.clock.now_us >= self._back_us:     # of cuts that overlap the longest counts
            for name in ("power_cut", "torn_write"):
                self.log_of_faults.end(name, self.clock.now_us)
            self._power_on(BROWN_OUT)

    def _power_on(self, cause: int) -> None:
        self.powered = True
        self.line.take_for_pump(self.clock.now_us)      # bytes for a pump without power went nowhere
        self.runner.boot()
        self.board.boot(self.clock.now_us, cause)
        self._due_us = self.clock.now_us
        self.recorder.event(self.clock.now_us, "plant", "power on", f"reset cause {cause}")

    # ---- cuts

    def power_cut(self, seconds: float) -> None:
        """Take the pump's power away now, and give it back after `seconds` (> 0). The motor stops, RAM and line are lost."""
        if seconds <= 0:
            raise ValueError(f"a power cut of {seconds} s: it must last more than 0 s")
        self.happens("power_cut", seconds, f"{seconds:g} s")
        self._lose_power(seconds)

    def _lose_power(self, seconds: float) -> None:
        self._dies()
        back_us = self.clock.now_us + round(seconds * 1e6)
        self._back_us = max(self._back_us, back_us)
        self.clock.at(back_us, self._power_back)

    def _dies(self) -> None:
        """RAM, line and motion are lost."""
        self.powered = self._booting = False
        self.plant.drop_enable()
        if self._on[0]:
            self._drop(min(self._on[1], self.clock.now_us))
        self.line.cut()
        if self.board.torn != STORE_DEAD:       # a dead store is dead with power, too
            self._plain_store()

    # ---- brown-outs

    def _brown_out(self) -> None:
        """The cell no longer carries the controller: dark until the plant's fault is healed."""
        self.dark_us = self.clock.now_us
        self.recorder.event(self.dark_us, "plant", "brown-out", "the cell is flat")
        self._dies()

    def _expect_a_sag(self) -> None:
        """A train is under way: look again when it will have pulled the cell too low."""
        if self._plant.sag_us != ENDLESS:
            self.clock.at(self._plant.sag_us, self._sagged)

    def _sagged(self) -> None:
        now_us, plant = self.clock.now_us, self.plant
        if not self.powered or plant.sag_us != now_us:      # the train was cut, or the fault is gone
            return
        plant.faults.fire("battery_film_ohm", now_us)
        self.recorder.event(now_us, "plant", "brown-out", "under the motor's load")
        self._lose_power(BOOT_US / 1e6)
        if plant.sag_us != ENDLESS:     # a switch that no longer opens keeps the load on
            self.dark_us = now_us
        else:
            self.reset_for(now_us, now_us + BOOT_US)

    def fault(self, name: str, value: float | bool | None = None) -> None:
        """As of Mishaps; a train that is under way may be too much for what is left of the cell."""
        super().fault(name, value)
        self._expect_a_sag()

    def heal(self, name: str) -> None:
        """As of Mishaps; a pump that the fault had left without power starts again."""
        super().heal(name)
        if self.dark_us is not None and not self._plant.flat and self._plant.sag_us == ENDLESS:
            self.dark_us = None
            self._power_on(BROWN_OUT)
