"""What surrounds pump and patient: body temperature, ambient pressure (cabin, dive) and magnetic field, over virtual time.

A table of rows, each a value that a quantity takes at an instant: by a step, or at the end of a ramp that began at the row before of the
same quantity. Between rows a quantity stands or runs straight, so any instant is looked up exactly whatever came before: nothing is
integrated here, and a jump of a month costs one search. A quantity without rows is None here: the patient's, or none at all, holds then.

Units: temperature C, ambient pressure kPa absolute, field T, time in virtual microseconds from the implant.
"""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

STANDARD_KPA = 101.3        # sea level (reference notes, clinical.md 4)


class Kind(NamedTuple):
    """A quantity of the environment: its unit and the range that a table, or a fault of the same input, may give."""

    unit: str
    low: float
    high: float


# A body is not colder or warmer than this and lives; 30 m of water are 400 kPa, 20 kPa the top of Everest less a third; scanners reach 7 T.
KINDS: dict[str, Kind] = {
    "temperature_c": Kind("C", 20.0, 45.0),
    "ambient_kpa": Kind("kPa", 20.0, 400.0),
    "field_t": Kind("T", 0.0, 10.0),
}


class Row(NamedTuple):
    """`quantity` (of KINDS) is `value` at `at_us`; with `ramp` it ran there straight from the row before."""

    at_us: int
    quantity: str
    value: float
    ramp: bool = False


class Course:
    """One quantity over time: knots (us), values there, and whether the way to each is a ramp."""

    __slots__ = ("times_us", "values", "_ramps")

    def __init__(self) -> None:
        self.times_us: list[int] = []
        self.values: list[float] = []
        self._ramps: list[bool] = []

    def add(self, row: Row) -> None:
        """One more row. Raises ValueError for a gap, disorder or a value out of range."""
        kind = KINDS[row.quantity]
        if not kind.low <= row.value <= kind.high:
            raise ValueError("environment: %s of %g %s: it must lie between %g and %g" % (row.quantity, row.value, kind.unit, kind.low, kind.high))
        if row.at_us < 0:
            raise ValueError("environment: %s at %g s: it must not lie before the implant" % (row.quantity, row.at_us / 1e6))
        if self.times_us and row.at_us <= self.times_us[-1]:
            raise ValueError("environment: %s at %g s: its rows stand in the order of time, the one before is at %g s" % (
                row.quantity, row.at_us / 1e6, self.times_us[-1] / 1e6))
        if row.ramp and not self.times_us:
            raise ValueError("environment: %s at %g s: a ramp needs a row of %s before it to begin at" % (row.quantity, row.at_us / 1e6, row.quantity))
        self.times_us.append(row.at_us)
        self.values.append(row.value)
        self._ramps.append(row.ramp)

    def at(self, t_us: int) -> float | None:
        """The value at `t_us`; None before the first row."""
        after = bisect_right(self.times_us, t_us)
        if not after:
            return None
        value = self.values[after - 1]
        if after == len(self.times_us) or not self._ramps[after]:
            return value
        begin_us = self.times_us[after - 1]
        return value + (self.values[after] - value) * (t_us - begin_us) / (self.times_us[after] - begin_us)

    def crossings_us(self, level: float) -> list[int]:
        """Instants within ramps from which on the value lies on the other side of `level`."""
        found = []
        for i in range(1, len(self.times_us)):
            below, above = self.values[i - 1], self.values[i]
            if self._ramps[i] and (below < level) != (above < level):
                begin_us = self.times_us[i - 1]
                found.append(begin_us + 1 + int((self.times_us[i] - begin_us) * (level - below) / (above - below)))
        return found


class Environment:
    """The table of a run. Raises ValueError, one sentence, for a quantity that is not known, a gap, disorder, or a value out of range."""

    __slots__ = ("_courses",)

    def __init__(self, rows: Iterable[Row] = ()):
        self._courses: dict[str, Course] = {}
        for row in rows:
            if row.quantity not in KINDS:
                raise ValueError("environment: '%s' is not known (known: %s)" % (row.quantity, ", ".join(KINDS)))
            self._courses.setdefault(row.quantity, Course()).add(row)

    def __bool__(self) -> bool:
        return bool(self._courses)

    def has(self, quantity: str) -> bool:
        """Whether the table has rows of this quantity."""
        return quantity in self._courses

    def at(self, quantity: str, t_us: int) -> float | None:
        """Its value at `t_us`; None where the table does not say (no rows, or before the first)."""
        course = self._courses.get(quantity)
        return course.at(t_us) if course else None

    def stops_us(self, field_levels_t: Iterable[float]) -> list[int]:
        """Every instant at which a quantity bends, steps, or the field passes one of these levels: in order, each once."""
        stops = {t_us for course in self._courses.values() for t_us in course.times_us}
        field = self._courses.get("field_t")
        if field:
            stops.update(t_us for level in field_levels_t for t_us in field.crossings_us(level))
        return sorted(stops)
