"""What can befall a world: faults of its plant, power cuts at any store write, clock jumps, reed, bits of memory that turn, a store that dies.

`Mishaps` is the part of a World that hurts it. Every act is logged with its virtual instant (plant_faults.FaultLog) and again when it has
changed the plant or the wire; `fired` and `faults()` tell. The pump is told nothing: it finds out by its inputs and its memory (R13).
"""
from __future__ import annotations

from typing import Any

from ..firmware.boards.latched import NEVER_CUT
from ..firmware.boards.ram import RECORDS as RAM_RECORDS
from .board import STORE_DEAD, WHOLE_OLD, Board
from .clock import VirtualClock
from .fram import STORE_BYTES
from .plant import Plant
from .plant_faults import FAULTS, FaultLog, Occurrence
from .recorder import Recorder
from .runner import Runner

TORN = ("nothing", "half", "first byte", "all but last byte", "all")      # of the write at which power is lost: what it leaves, see TETHER.md
WORLD_FAULTS = ("power_cut", "clock_jump", "reed_held", "store_flip", "store_dead", "torn_write", "ram_flip", "line", "attack", "host_dies",
                "host_stalls")
MOST_BITS = 1 << 24         # a request of the tether has no more


class Mishaps:
    """Faults of one world, at its present instant. A subclass is the world itself; `plant` brings the plant to that instant."""

    clock: VirtualClock
    board: Board
    runner: Runner
    recorder: Recorder
    powered: bool
    _plant: Plant

    @property
    def plant(self) -> Plant:
        """The plant, brought to this instant. Looking cuts its motion here: look at instants of virtual time, not of the wall's."""
        self._plant.advance(self.clock.now_us)
        return self._plant

    @property
    def log_of_faults(self) -> FaultLog:
        """Every fault that was set, in order."""
        return self._plant.faults.log

    @property
    def fired(self) -> dict[str, int]:
        """Every fault that has changed the plant or the wire, and the first virtual microsecond at which it did."""
        return self.log_of_faults.fired

    def faults(self) -> list[dict[str, Any]]:
        """Every fault that was set so far, in order: name, value, set_s, fired_s and cleared_s (None: not yet)."""
        return [{"name": seen.name, "value": seen.value,
                 **{key: None if t_us is None else t_us / 1e6 for key, t_us in (
                     ("set_s", seen.set_us), ("fired_s", seen.fired_us), ("cleared_s", seen.cleared_us))}}
                for seen in self.log_of_faults.occurrences]

    def fault(self, name: str, value: float | bool | None = None) -> None:
        """Set a fault of the plant (R13: a parameter or an input, never a status)."""
        self.plant.faults.set(name, value)
        self.recorder.event(self.clock.now_us, "fault", name, "set" if value is None else f"set to {value}")

    def heal(self, name: str) -> None:
        """End a fault of the plant, of the reed or of the store; what is not broken stays so. Raises ValueError for one that cannot be healed."""
        if name == "reed_held":
            self.board.reed_held = False
        elif name == "store_dead":
            self._plain_store()
        elif name in FAULTS:
            self.plant.faults.clear(name)
        else:
            raise ValueError(f"fault {name} cannot be healed (can: reed_held, store_dead, {', '.join(FAULTS)})")
        self.log_of_faults.end(name, self.clock.now_us)
        self.recorder.event(self.clock.now_us, "fault", name, "healed")

    def happens(self, name: str, value: float | bool | str, told: str, at_once: bool = True) -> Occurrence:
        """Something befalls the world now: it is logged, and with `at_once` has changed something already. `told` is for the events' file."""
        now_us, log = self.clock.now_us, self.log_of_faults
        log.begin(name, value, now_us)
        if at_once:
            log.fire(name, now_us)
        self.recorder.event(now_us, "fault", name.replace("_", " "), told)
        return log.occurrences[-1]

    # ---- reed and clock

    def magnet(self, present: bool) -> None:
        """Hold a magnet to the pump, or take it away; the pump sees it at its next step."""
        self.board.magnet = present
        self.recorder.event(self.clock.now_us, "clinician", "magnet", "at the pump" if present else "away")

    def reed_held(self) -> None:
        """A phone, a loudspeaker holds the reed switch closed from now on; it fires when the pump has looked at it."""
        self.happens("reed_held", True, "held", at_once=False)
        self.board.reed_held = True

    # ---- memory

    def store_flip(self, address: int, bit: int) -> None:
        """One bit (0..7) of the byte at `address` of the store is the other one from now on. Raises ValueError out of range."""
        if not (0 <= address < STORE_BYTES and 0 <= bit < 8):
            raise ValueError(f"store flip at {address}, bit {bit}: the address must lie between 0 and {STORE_BYTES - 1}, the bit between 0 and 7")
        self.runner.flip(address, bit)
        self.happens("store_flip", f"{address}.{bit}", f"byte {address}, bit {bit}")

    def ram_flip(self, record: str, bit: int) -> None:
        """Bit `bit` of a record of RAM_RECORDS in the pump's memory is the other one from now on; it has fired when the pump had such a bit.

        A pump without power has none. Raises ValueError for a record that is not known and a bit out of range.
        """
        if record not in RAM_RECORDS or not 0 <= bit < MOST_BITS:
            raise ValueError(f"RAM flip in {record!r}, bit {bit}: the record must be one of {', '.join(RAM_RECORDS)}, "
                             f"the bit lie between 0 and {MOST_BITS - 1}")
        self.happens("ram_flip", f"{record}.{bit}", f"{record}, bit {bit}", at_once=False)
        if self.powered:
            request = self.board.flip_request(RAM_RECORDS.index(record), bit, self.clock.now_us)
            answer = self.runner.exchange(request)
            self.recorder.exchange(request, answer)
            if self.board.flipped(answer):
                self.log_of_faults.fire("ram_flip", self.clock.now_us)

    def store_dead(self) -> None:
        """Every write of the store fails from now on, with an error that the firmware sees; what is stored can still be read."""
        self.happens("store_dead", True, "writes fail", at_once=False)
        self.board.cut_after, self.board.torn = NEVER_CUT, STORE_DEAD

    def cut_at_write(self, write: int, left: str = TORN[0]) -> None:
        """Power is lost at the `write`-th store write from now on (1..65,534), which leaves `left` of TORN. Raises ValueError out of range."""
        if not 1 <= write < NEVER_CUT or left not in TORN:
            raise ValueError(f"power cut at write {write}, which leaves {left!r}: write must lie between 1 and {NEVER_CUT - 1}, "
                             f"what is left be one of {', '.join(TORN)}")
        self.happens("torn_write", write, f"at write {write}, leaves {left}", at_once=False)
        self.board.cut_after, self.board.torn = write - 1, TORN.index(left)

    def _plain_store(self) -> None:
        """Writes succeed and none of them loses power."""
        self.board.cut_after, self.board.torn = NEVER_CUT, WHOLE_OLD
