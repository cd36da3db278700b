"""The faults of the plant: what each is called, what it may be set to, which are present, and which have proved to act.

A fault is a knob: it changes a parameter or an input of a body (plant.py, `_faults_changed`), never an equation and never a status flag
(R13). That it is set does not mean that it acts: a stall meets no pulse while none is due. So a body that does something else because of a
fault tells `fire`, and the log keeps the first instant. Faults of the world around the plant (power, clock, reed, store) use the same log.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .environment import KINDS


class FaultKind(NamedTuple):
    """A knob of the plant. `default` is what a bare set() gives; a switch has no range."""

    default: float | bool
    unit: str = ""
    low: float = 0.0
    high: float = 0.0


FAULTS: dict[str, FaultKind] = {
    # motor and driver
    "rotor_stall": FaultKind(True),                             # commanded steps are spent, the rotor stands (jam)
    "intermittent_stall": FaultKind(0.5, "", 0.0, 1.0),         # chance that a pulse is lost (corroded gear)
    "lost_steps": FaultKind(0.2, "", 0.0, 1.0),                 # share of every train's steps that the rotor does not make
    "driver_stuck_on": FaultKind(True),                         # trains do not end by themselves
    "enable_stuck": FaultKind(True),                            # the switch no longer opens
    "field_t": FaultKind(1.5, *KINDS["field_t"]),               # static magnetic field: the rotor stands in it, the reed closes
    "gear_bind": FaultKind(0.0, "h", 0.0, 48.0),                # after a field the rotor stays bound so long; 0: drawn, 2 .. 24 h
    # head
    "head_gain": FaultKind(1.3, "", 0.0, 5.0),                  # volume per turn against nominal: over-infusing head, thinned tube
    "head_wear": FaultKind(0.1, "", 0.0, 0.5),                  # share of the volume lost in the end, approached over revolutions
    "tube_fatigue": FaultKind(50.0, "rev", 1.0, 100_000.0),     # wear of 0.3 (or head_wear's) in so many revolutions instead of years
    "tube_set": FaultKind(0.5, "uL", -2.0, 2.0),                # error lobe at each roller pass from now on, and after any long stop
    "roller_gap": FaultKind(0.002, "1/kPa", 0.0, 0.01),         # slip with the pressure across the head, either way
    "free_flow": FaultKind(1e-4, "uL/(kPa s)", 0.0, 10.0),      # conductance past open rollers, turning or not
    # reservoir
    "propellant_lost": FaultKind(True),                         # nothing pushes but ambient pressure against the bellows' spring
    "septum_leak": FaultKind(500.0, "uL/day", 0.0, 50_000.0),   # out of the reservoir into the pocket
    "adsorption": FaultKind(0.0075, "1/day", 0.0, 1.0),         # share of the drug in the bellows that its walls take up: a tenth in 14 days
    # line
    "kink": FaultKind(0.0, "uL/(kPa s)", 0.0, 10.0),            # conductance left in the catheter, 0 is closed
    "catheter_leak": FaultKind(0.5, "", 0.0, 1.0),              # share of the flow that leaves before the tip, into tissue and blood
    "disconnect": FaultKind(True),                              # the catheter is off the pump: all of it goes into tissue
    "migration": FaultKind(0.0, "", 0.0, 1.0),                  # share of what leaves at the tip that still reaches the spinal fluid
    "bubble_ul": FaultKind(50.0, "uL", 0.0, 1000.0),            # gas in the line (at 101.3 kPa): it yields where a line swells
    "tip_kpa": FaultKind(-13.3, "kPa", -30.0, 30.0),            # around the tip, above (below) the patient's CSF pressure at rest: the head slips by it
    # sensors
    "level_stuck": FaultKind(True),
    "level_offset_ul": FaultKind(1000.0, "uL", -50_000.0, 50_000.0),
    "level_drift_ul_day": FaultKind(50.0, "uL/day", -10_000.0, 10_000.0),
    "level_noise_ul": FaultKind(500.0, "uL", 0.0, 10_000.0),    # sigma on top of the sensor's own
    "encoder_stuck": FaultKind(True),
    "encoder_noise": FaultKind(10.0, "counts", 0.0, 2048.0),    # sigma on top of the sensor's own
    "encoder_dead": FaultKind(True),                            # reads 0
    "inlet_stuck": FaultKind(True),
    "inlet_offset_kpa": FaultKind(20.0, "kPa", -200.0, 500.0),
    "temperature_stuck": FaultKind(True),
    "temperature_offset_c": FaultKind(3.0, "C", -40.0, 40.0),
    # battery
    "battery_drop_mv": FaultKind(500.0, "mV", 0.0, 5000.0),     # sudden drop: a constant part of the terminal voltage is gone
    "battery_film_ohm": FaultKind(100.0, "ohm", 0.0, 10_000.0), # film: in series with every load, the motor's the heaviest
    "battery_leak_uw": FaultKind(200.0, "uW", 0.0, 1e6),        # a load that nobody ordered: feedthrough leak
    # surroundings, the same inputs as the environment's table and stronger than it
    "temperature_c": FaultKind(40.0, *KINDS["temperature_c"]),  # of the body around pump and sensor
    "ambient_kpa": FaultKind(75.6, *KINDS["ambient_kpa"]),      # cabin, dive
}


@dataclass(slots=True)
class Occurrence:
    """One time that a fault was set. `fired_us`: when it first changed the plant or the wire; None while it has not."""

    name: str
    value: float | bool | str
    set_us: int
    fired_us: int | None = None
    cleared_us: int | None = None


class FaultLog:
    """Every fault of a run in the order it was set."""

    def __init__(self) -> None:
        self.occurrences: list[Occurrence] = []
        self._open: dict[str, Occurrence] = {}

    def begin(self, name: str, value: float | bool | str, t_us: int) -> None:
        """A fault is set (again: the one before ends here)."""
        self.end(name, t_us)
        self._open[name] = Occurrence(name, value, t_us)
        self.occurrences.append(self._open[name])

    def fire(self, name: str, t_us: int) -> None:
        """It changed something at `t_us`; only the first time of each setting counts, and nothing of a fault that is not set."""
        occurrence = self._open.get(name)
        if occurrence is not None and occurrence.fired_us is None:
            occurrence.fired_us = max(t_us, occurrence.set_us)

    def end(self, name: str, t_us: int) -> None:
        """It is healed."""
        occurrence = self._open.pop(name, None)
        if occurrence is not None:
            occurrence.cleared_us = t_us

    @property
    def fired(self) -> dict[str, int]:
        """First instant (us) at which each fault changed something, by name; faults that did not are not in it."""
        found: dict[str, int] = {}
        for occurrence in self.occurrences:
            if occurrence.fired_us is not None:
                found[occurrence.name] = min(occurrence.fired_us, found.get(occurrence.name, occurrence.fired_us))
        return found


class PlantFaults(Mapping[str, Any]):
    """The faults now present, name to value. `set` and `clear` act at the plant's present instant, which `now_us` tells."""

    def __init__(self, changed: Callable[[], None], now_us: Callable[[], int]):
        self._active: dict[str, float | bool] = {}
        self._changed = changed
        self._now_us = now_us
        self.log = FaultLog()

    def set(self, name: str, value: float | bool | None = None) -> None:
        """Bring a fault about, or change its value; None takes the kind's default. Raises ValueError for what is not in FAULTS."""
        kind = kind_of(name)
        if value is None:
            value = kind.default
        if isinstance(kind.default, bool) != isinstance(value, bool):
            raise ValueError("fault %s takes %s, not %r" % (name, "no value" if kind.default is True else "a number", value))
        if not isinstance(value, bool) and not kind.low <= value <= kind.high:
            raise ValueError("fault %s of %s: it must lie between %g and %g" % (name, ("%g %s" % (value, kind.unit)).strip(), kind.low, kind.high))
        if value is False:
            self.clear(name)
            return
        self._active[name] = value
        self.log.begin(name, value, self._now_us())
        self._changed()

    def clear(self, name: str) -> None:
        """Heal a fault; healing what is not broken does nothing."""
        kind_of(name)
        if self._active.pop(name, None) is not None:
            self.log.end(name, self._now_us())
            self._changed()

    def fire(self, name: str, t_us: int) -> None:
        """A body did something else at `t_us` because of this fault."""
        self.log.fire(name, t_us)

    def __getitem__(self, name: str) -> float | bool:
        return self._active[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._active)

    def __len__(self) -> int:
        return len(self._active)


def kind_of(name: str) -> FaultKind:
    """The knob of that name. Raises ValueError listing what is known."""
    if name not in FAULTS:
        raise ValueError("no fault of the plant is called '%s' (known: %s)" % (name, ", ".join(FAULTS)))
    return FAULTS[name]
