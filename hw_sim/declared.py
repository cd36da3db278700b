"""What the alarms that a pump raises must make of the rate, by the declared rule of each row (alarms.md 2), told to the oracle.

How far this judges: *when* an alarm stood is read from the pump's own log (whether it should have, and how soon, is for a scenario's
expectations); *what* it then must deliver is reckoned here from the prescription. Several alarms: the most restrictive action.
Of a row whose action changes by itself while it stands (SHIFTS) the pump's own rate says which of the two declared ones it has come to: no
other rate is believed. It is followed at the looks, so that up to the look before is slack. Row 11, of a sensor that no pump here has, tries a
pulse an hour (UNJUDGED): from then on `judging` is false. A bridge or a prime under FALLBACK is told at its own rate.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from .oracle import Oracle
from .oracle_program import DAY_S, WEEK_S, Number, Program

CONT, NOBOLUS, FLAT, FALLBACK, MIN, STOP = range(6)     # in the order of alarms.md 1: later is more restrictive
ACTIONS = {2: STOP, 5: FALLBACK, 6: FALLBACK, 7: NOBOLUS, 8: STOP, 9: NOBOLUS, 10: NOBOLUS, 12: FLAT, 13: FALLBACK, 14: FLAT, 17: FALLBACK,
           23: NOBOLUS, 27: NOBOLUS}
SHIFTS = {1: (STOP, FALLBACK), 3: (MIN, FALLBACK), 4: (NOBOLUS, FALLBACK), 15: (CONT, STOP), 18: (STOP, FALLBACK)}
UNJUDGED = (11,)
EMERGENCY = 17
SECOND_US = 1_000_000
NOTICED_S = 300         # a jump of the clock is seen at the next wake, a reduction ends with a round of the sensors: 300 s at most (DESIGN R7)


@dataclass
class Declared:
    """Keeps the standing alarms and the program that runs, and tells `oracle`. `stop_only`: what an emergency chose (STOP or the fallback rate)."""

    oracle: Oracle
    minimum_nl_day: int
    judging: bool = True
    stop_only: bool = False
    _standing: set[int] = field(default_factory=set)
    _shifted: set[int] = field(default_factory=set)
    _steps: Program | None = None
    _fallback_nl_day: int = 0
    _safe_stop: bool = False
    _held: bool = False

    def programmed(self, t_us: int, steps: Program, fallback_nl_day: int, safe_stop: bool) -> None:
        """This program runs from `t_us` on."""
        self._steps, self._fallback_nl_day, self._safe_stop = steps, fallback_nl_day, safe_stop
        if self._held:
            self._tell(t_us)

    def alarm(self, row: int, on: bool, t_us: int) -> None:
        """The pump said that an alarm began or ended at `t_us`."""
        if row in UNJUDGED:
            self.judging = False
        if row not in ACTIONS and row not in SHIFTS:
            return
        (self._standing.add if on else self._standing.discard)(row)
        self._shifted.discard(row)
        if on and self.action() != CONT:
            self.oracle.cut(t_us)
        self._tell(t_us)

    def told(self, t_us: int, rate_nl_day: int, since_us: int) -> None:
        """The pump said at `t_us` that it delivers at this rate; it was looked at before at `since_us`."""
        before = set(self._shifted)
        for row in self._standing & set(SHIFTS):
            first, second = (self._rate_of(action) for action in SHIFTS[row])
            if rate_nl_day == second:
                self._shifted.add(row)
            elif rate_nl_day == first:
                self._shifted.discard(row)
        if self._shifted != before:
            self._tell(t_us, max(NOTICED_S, -((since_us - t_us) // SECOND_US)))

    def _rate_of(self, action: int) -> int | None:
        """nL/day under an action that says it by itself; None where the program does."""
        action = STOP if action == MIN and self._safe_stop else action
        return {STOP: 0, MIN: self.minimum_nl_day, FALLBACK: self._fallback_nl_day}.get(action)

    def _action_of(self, row: int) -> int:
        if row in SHIFTS:
            return SHIFTS[row][row in self._shifted]
        return STOP if row == EMERGENCY and self.stop_only else ACTIONS[row]

    def action(self) -> int:
        """The most restrictive action of the alarms that stand."""
        worst = max((self._action_of(row) for row in self._standing), default=CONT)
        return STOP if worst == MIN and self._safe_stop else worst

    def _tell(self, t_us: int, within_s: int = NOTICED_S) -> None:
        action = self.action()
        if action == STOP:
            self.oracle.stopped(t_us, "fault")
        elif self.oracle.stands(t_us, "fault"):
            self.oracle.resumed(t_us, "fault")
        steps = self._rates(action) if self._steps is not None else None
        self._held = steps is not None
        self.oracle.held(t_us, steps, within_s)

    def _rates(self, action: int) -> list[tuple[int, Number]] | None:
        """The week that an action puts in the program's place; None: the program itself."""
        assert self._steps is not None
        if action == FLAT:
            return _flat(self._steps)
        if action == MIN:
            return [(0, self.minimum_nl_day)]
        if action == FALLBACK and EMERGENCY in self._standing:     # without a key nobody raises anything
            lowest = (min(rate, Fraction(self._fallback_nl_day)) for rate in self._steps.rates_nl_day)
            return list(zip(self._steps.starts_s, lowest))
        return [(0, self._fallback_nl_day)] if action == FALLBACK else None


def _flat(steps: Program) -> list[tuple[int, Number]]:
    """Each weekday's volume spread evenly over it."""
    ends_s = [*steps.starts_s[1:], WEEK_S]
    days: list[tuple[int, Number]] = []
    for first_s in range(0, WEEK_S, DAY_S):
        spans = ((max(start, first_s), min(end, first_s + DAY_S), rate) for start, end, rate in zip(steps.starts_s, ends_s, steps.rates_nl_day))
        days.append((first_s, sum(rate * (end - start) for start, end, rate in spans if end > start) / DAY_S))
    return days
