"""A prescribed week for the oracle: steps of a rate, exact, from one day's or from several.

Numbers may be int, Fraction or text ("0.1", "1/3"); a float stands for the decimal it prints as. Rates nL/day.
"""
from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Iterable, Mapping, Sequence

Number = int | float | str | Fraction

DAY_S = 86_400
WEEK_S = 7 * DAY_S


def exact(value: Number, name: str) -> Fraction:
    """The number as it is written, 0 or more. Raises ValueError naming it."""
    number = Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    if number < 0:
        raise ValueError(f"{name} is {value}: it must be 0 or more")
    return number


def week(day_steps: Sequence[tuple[int, Number]],
         by_weekday: Mapping[int, Sequence[tuple[int, Number]]] | None = None) -> list[tuple[int, Fraction]]:
    """A week of steps from one day's: [(second of day from 0, rate nL/day), ...], with other days (Monday 0) by name.

    Raises ValueError where a day does not start at second 0, its steps do not rise, or a weekday is not 0..6.
    """
    others = by_weekday or {}
    strange = [day for day in others if not 0 <= day <= 6]
    if strange:
        raise ValueError(f"weekday is {strange[0]}: it must be 0 (Monday) to 6")
    steps = []
    for day in range(7):
        chosen = others.get(day, day_steps)
        if not chosen or chosen[0][0] != 0:
            raise ValueError(f"weekday {day} begins at {chosen[0][0] if chosen else 'nothing'}: a day's first step must be at second 0")
        if chosen[-1][0] >= DAY_S:
            raise ValueError(f"weekday {day} has a step at second {chosen[-1][0]}: a day ends at second {DAY_S}")
        steps += [(day * DAY_S + second, exact(rate, "rate_nl_day")) for second, rate in chosen]
    return steps


@dataclass(frozen=True)
class Program:
    """Rates over a week: `starts_s` (second of the week, first 0, rising) and `rates_nl_day` beside it."""

    starts_s: tuple[int, ...]
    rates_nl_day: tuple[Fraction, ...]


def steps_of(segments: Number | Iterable[tuple[int, Number]]) -> Program:
    """One rate for ever, or [(second of the week, rate), ...] from second 0 on. Raises ValueError where they do not rise from there."""
    if isinstance(segments, (int, float, str, Fraction)):
        segments = [(0, segments)]
    steps = list(segments)
    starts = tuple(second for second, _ in steps)
    if not starts or starts[0] != 0 or any(a >= b for a, b in zip(starts, starts[1:])) or starts[-1] >= WEEK_S:
        raise ValueError(f"steps start at seconds {list(starts)}: they must rise from 0 and stay below {WEEK_S}")
    return Program(starts, tuple(exact(rate, "rate_nl_day") for _, rate in steps))
