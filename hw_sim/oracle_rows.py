"""The rows of a run's verdict that nobody wrote down as an expectation: the pump's books and the plant's truth against the oracle.

Behind an alarm whose action the oracle cannot follow (declared.py) the rows that need the prescription are unjudged: the row AGREES names them,
and fails unless the scenario says in `[oracle] unjudged` why that may be. The rows that need none are judged on: what was ordered against
what was demanded by the pump's own account, what went through the tip against what was ordered, the mass. So they are of a pump that
cannot be asked, by the orders that its motor had.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from .judge import FAULTY_REL, Bounds, judge

AGREES, UNJUDGED = "the oracle agrees", "unjudged: "
DEMANDED, ORDERED = "demanded as the oracle at every sample", "ordered within one pulse of demanded at every sample"
PRESCRIBED = ("demanded as prescribed", "missed", "reservoir", "dose through the tip")   # of judge.py: those that need the prescription ...
HEADS = ("delivered through the tip as ordered", "drug mass closes")                     # ... and those that need none
PULSE_NL = 1000             # the longest pulse of a pump that does not say its own (DESIGN 4)
SEPTUM = "septum_leak"      # the fault through which drug leaves that nobody ordered
PREFIX = "oracle: "         # of the rows that judge.py makes


def expectation(name: str, ok: bool | None, value: Any, bound: str, unit: str = "") -> dict[str, Any]:
    """One row of a verdict."""
    return {"name": name, "ok": ok, "value": value, "bound": bound, "unit": unit}


def unjudged(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the oracle did not judge in these rows, by name; empty where it judged all."""
    for row in rows:
        if row["name"] == AGREES:
            bound: str = row["bound"]
            return bound.removeprefix(UNJUDGED).split(", ") if bound.startswith(UNJUDGED) else [DEMANDED, ORDERED, *PRESCRIBED]
    return []


class OracleRows:
    """One run's distance from its oracle, kept at every look. What is `Any` is the player's own: Scenario, World, PlantParams, Observed."""

    def __init__(self, scenario: Any, world: Any, oracle: Any, params: Any, observed: Any) -> None:
        self._scenario, self._world, self._oracle, self._params, self._observed = scenario, world, oracle, params, observed
        self._drift = (Fraction(0), Fraction(1))      # worst distance of demanded from the oracle, and its bound

    def compare(self, status: Any, now_us: int, bedside: Any) -> None:
        """|demanded - ordered|, and demanded against the oracle, as it stood at `now_us`: at every sample, not only at the end."""
        gap = abs(status.demanded_nl - status.ordered_nl)
        self._observed.gap_nl = max(self._observed.gap_nl or 0.0, float(gap))
        if bedside.stalled:
            return      # the oracle learns of a stall when it is over
        # One pulse at each gap, whole nL, and whole seconds at every change of rate, as the oracle's own judgement has it.
        bound = 1 + self._oracle.slack_nl(now_us) + status.pulse_nl * self._oracle.gaps(now_us)
        off = abs(status.demanded_nl - self._stalled_nl(status, now_us, bedside) - self._oracle.demanded_nl(now_us))
        if off / bound > self._drift[0] / self._drift[1]:
            self._drift = (off, bound)

    def _stalled_nl(self, status: Any, now_us: int, bedside: Any) -> Any:
        """Pulses lost to a stalled rotor, which the oracle calls missed. Those lost now and then it does not know of: they are demanded."""
        return self._oracle.missed_nl(now_us).get("stall", 0) if bedside.losing else status.missed_nl["stall"]

    def motor_nl(self) -> float:
        """What the motor was ordered, by the world's own count."""
        ordered: float = self._world.ordered_steps * self._params.head.volume_per_rev_ul * 1000 / self._params.motor.steps_per_rev
        return ordered

    def rows(self, clinician: Any, status: Any, *, deaf: bool, ended: bool) -> list[dict[str, Any]]:
        """The verdict's rows: what is judged, and in AGREES what is not. `ended`: the run came to its end, its totals count."""
        if clinician is None or status is None or deaf:
            rows = [expectation(AGREES, None if deaf and ended else False, None, "telemetry")]
            orders = {"demanded_nl": self.motor_nl(), "ordered_nl": self.motor_nl(), "missed_nl": {}}
            # Which of its orders a held rotor lost such a pump does not say: then only the mass is judged.
            hurt = self._world.faults() or self._oracle.gaps(self._world.now_us)
            return rows + (self._judged(clinician.bedside, orders, PULSE_NL, HEADS[1:] if hurt else HEADS) if ended and clinician is not None else [])
        stalled_nl, gap = self._stalled_nl(status, self._world.now_us, clinician.bedside), self._observed.gap_nl or 0.0
        books = {"demanded_nl": status.demanded_nl - stalled_nl, "ordered_nl": status.ordered_nl - stalled_nl,
                 "missed_nl": {cause: volume for cause, volume in status.missed_nl.items() if volume}}
        ordered = expectation(ORDERED, gap < status.pulse_nl, gap, "< %d" % status.pulse_nl, "nL")
        if not clinician.declared.judging:
            allowed = None if "unjudged" in self._scenario.oracle else False
            rows = [expectation(AGREES, allowed, None, UNJUDGED + ", ".join((DEMANDED, *PRESCRIBED))), ordered]
            return rows + (self._judged(clinician.bedside, books, status.pulse_nl, HEADS) if ended else [])
        rows = [expectation(DEMANDED, self._drift[0] <= self._drift[1], float(self._drift[0]), "<= %.6g" % self._drift[1], "nL"), ordered]
        return rows + (self._judged(clinician.bedside, books, status.pulse_nl) if ended else [])

    def _judged(self, bedside: Any, books: Mapping[str, Any], pulse_nl: int, only: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """The oracle's own rows at the end, or `only` those. Pulses that a stalled rotor lost count as not ordered: the books call them missed."""
        options, head = self._scenario.oracle, self._params.head
        faulty = {"delivered_rel": FAULTY_REL, "dose_rel": FAULTY_REL} if any(event.kind == "fault" for event in self._scenario.events) else {}
        shares = faulty | {name: options[key] / 100 for name, key in (
            ("delivered_rel", "delivered_pct"), ("dose_rel", "dose_pct"), ("front_rel", "front_pct")) if key in options}
        # What a kinked line lets through is for expectations, not for plug flow.
        truth = {"mass_error": self._observed.truth["mass_error"]} if bedside.occluded else dict(self._observed.truth)
        if any(event.kind == "fault" and event.values["name"] == SEPTUM for event in self._scenario.events):
            truth.pop("reservoir_ul", None)     # what leaves past a septum nobody ordered: likewise
        bounds = Bounds(pulse_nl=pulse_nl, pitch_nl=head.volume_per_rev_ul * 1000 / head.rollers, **shares)
        return [{**row, "name": PREFIX + row["name"], "bound": "<= %.6g" % row["bound"]}
                for row in judge(self._oracle, books, truth, self._world.now_us, bounds)
                if not (bedside.losing and row["name"] == "missed through stall") and (not only or row["name"] in only)]
