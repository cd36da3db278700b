"""What a pump should have done: computed from the prescription alone, in exact fractions.

The oracle shares no code with the firmware, the protocol or the plant. It is told the timeline in a clinician's words
(programs, primes, stops, outages, fills) and answers how much should have been demanded at any instant, how much was
missed and through which cause, and, by plug flow, what should have left the catheter tip. `judge` sets a run's ledger
and truth against that, each figure with its bound.

Units: volumes nL, rates nL/day, concentrations ng/uL (the same number as ug/mL), masses ng, times virtual us. Numbers may
be int, Fraction or text ("0.1", "1/3"); a float stands for the decimal it prints as.

Rules it prescribes (DESIGN R6): demand accrues only while delivery is permitted; what a stop or an outage keeps back is
missed, under the cause that began first, and never made up. A prime runs at its own rate in place of the program until
its volume; an outage takes its share out of it, a stop or another prime ends it.
"""
from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Iterable, Mapping, Sequence

Number = int | float | str | Fraction
Instant = int | Fraction

SECOND_US = 1_000_000
DAY_S = 86_400
DAY_US = DAY_S * SECOND_US
WEEK_S = 7 * DAY_S
WEEK_US = WEEK_S * SECOND_US
FAULTY_REL = "0.03"
UNROLL_AHEAD_US = 30 * DAY_US   # how far past the asked instant the timeline is unrolled at first: rising queries stay cheap


def _exact(value: Number, name: str) -> Fraction:
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
        steps += [(day * DAY_S + second, _exact(rate, "rate_nl_day")) for second, rate in chosen]
    return steps


@dataclass(frozen=True)
class Program:
    """Rates over a week: `starts_s` (second of the week, first 0, rising) and `rates_nl_day` beside it."""

    starts_s: tuple[int, ...]
    rates_nl_day: tuple[Fraction, ...]


@dataclass(frozen=True)
class Tip:
    """What plug flow puts at the catheter tip at an instant, and what is left in the reservoir. Exact fractions."""

    volume_nl: Fraction
    conc_ng_ul: dict[str, Fraction]
    dose_ng: dict[str, Fraction]
    reservoir_nl: Fraction
    reservoir_conc_ng_ul: dict[str, Fraction]


@dataclass(frozen=True)
class _Span:
    """A stretch of one rate; `cause` None where delivery is permitted. Totals are those at its start."""

    start_us: Instant
    end_us: Instant
    rate_nl_day: Fraction
    cause: str | None
    demanded_nl: Fraction


@dataclass(frozen=True)
class Bounds:
    """How far a run may stand from the oracle.

    `pulse_nl`: one motor order, largest. `pitch_nl`: the head's volume between two rollers (8.75 uL), within which delivery lags and leads.
    `delivered_rel`: through the tip against ordered, `dose_rel`: drug mass likewise; 0.1 % for a healthy head, whose turns are exact but for
    slip; FAULTY_REL for a declared fault (delivered over programmed 97.1 % in implanted pumps, clinical.md 1). `front_rel`: share of the dead
    volume that a front is smeared over (7.7 cm of 80 at priming speed, clinical.md 4). `mass_rel`: DESIGN 9. `missed_nl`: None for two pulses a gap.
    """

    pulse_nl: Number
    pitch_nl: Number = 0
    delivered_rel: Number = "0.001"
    dose_rel: Number = "0.001"
    front_rel: Number = "0.1"
    mass_rel: float = 1e-9
    missed_nl: Number | None = None


class Oracle:
    """The prescription's bookkeeper.

    `start_pump_s`: the pump's local time at t_us = 0, in seconds since Monday 2024-01-01 00:00. `dead_nl`: volume from
    head to tip, drug-free at first. `residual_nl`: what a syringe cannot withdraw. `reservoir_nl`: drug-free content
    before the first fill.
    """

    def __init__(self, start_pump_s: int = 0, *, dead_nl: Number = 0, residual_nl: Number = 0, reservoir_nl: Number = 0) -> None:
        self.dead_nl = _exact(dead_nl, "dead_nl")
        self._residual_nl = _exact(residual_nl, "residual_nl")
        self._reservoir_nl = _exact(reservoir_nl, "reservoir_nl")
        self._programs: list[tuple[int, Program]] = []
        self._offsets_us: list[tuple[int, int]] = [(0, start_pump_s * SECOND_US)]
        self._stops: list[tuple[int, int | None, str]] = []
        self._outages: list[tuple[int, int, str]] = []
        self._primes: list[tuple[int, Fraction, Fraction]] = []
        self._fills: list[tuple[int, Fraction, dict[str, Fraction], Fraction | None]] = []
        self._spans: list[_Span] = []
        self._starts_us: list[Instant] = []
        self._unrolled_us: Instant = 0

    def program(self, t_us: int, segments: Number | Iterable[tuple[int, Number]]) -> None:
        """From `t_us` on: one rate in nL/day, or [(second of the week, rate nL/day), ...] starting at second 0."""
        if isinstance(segments, (int, float, str, Fraction)):
            segments = [(0, segments)]
        steps = list(segments)
        starts = tuple(second for second, _ in steps)
        if not starts or starts[0] != 0 or any(a >= b for a, b in zip(starts, starts[1:])) or starts[-1] >= WEEK_S:
            raise ValueError(f"steps start at seconds {list(starts)}: they must rise from 0 and stay below {WEEK_S}")
        rates = tuple(_exact(rate, "rate_nl_day") for _, rate in steps)
        self._told(self._programs, (t_us, Program(starts, rates)))

    def clock_set(self, t_us: int, pump_s: int) -> None:
        """At `t_us` the pump's clock is set to `pump_s`. Weekly steps move with it; no time is gained or lost."""
        self._told(self._offsets_us, (t_us, pump_s * SECOND_US - t_us))

    def stopped(self, t_us: int, cause: str = "stop") -> None:
        """Delivery stops at `t_us`, until `resumed`. A second stop while stopped changes nothing."""
        if not self._stops or self._stops[-1][1] is not None:
            self._told(self._stops, (t_us, None, cause))

    def resumed(self, t_us: int) -> None:
        """Delivery goes on at `t_us`. Raises ValueError where nothing was stopped."""
        if not self._stops or self._stops[-1][1] is not None or t_us < self._stops[-1][0]:
            raise ValueError(f"resumed at {t_us} us: nothing was stopped before")
        start_us, _, cause = self._stops.pop()
        self._told(self._stops, (start_us, t_us, cause))

    def outage(self, start_us: int, end_us: int, cause: str) -> None:
        """Nothing can be delivered from `start_us` to `end_us` (power cut, stall, empty reservoir)."""
        if end_us < start_us:
            raise ValueError(f"outage {cause!r} ends at {end_us} us: it starts later, at {start_us} us")
        self._told(self._outages, (start_us, end_us, cause))

    def prime(self, t_us: int, volume_nl: Number, rate_nl_day: Number) -> None:
        """From `t_us` deliver `volume_nl` at `rate_nl_day` (> 0) in place of the program. A bridge is told likewise."""
        volume, rate = _exact(volume_nl, "volume_nl"), _exact(rate_nl_day, "rate_nl_day")
        if not rate:
            raise ValueError("rate_nl_day is 0: a prime at that rate never ends")
        self._told(self._primes, (t_us, volume, rate))

    def fill(self, t_us: int, volume_nl: Number, concentrations_ng_ul: Mapping[str, Number],
             withdrawn_nl: Number | None = None) -> None:
        """Withdraw (None: all but the residual), then add `volume_nl`. A rinse is one more fill at the same instant."""
        content = {drug: _exact(conc, f"concentration of {drug}") for drug, conc in concentrations_ng_ul.items()}
        withdrawn = None if withdrawn_nl is None else _exact(withdrawn_nl, "withdrawn_nl")
        self._told(self._fills, (t_us, _exact(volume_nl, "volume_nl"), content, withdrawn))

    def _told(self, entries: list[Any], entry: tuple[Any, ...]) -> None:
        """Add in the order of time, equal instants in the order told; what was unrolled is void."""
        entries.insert(bisect_right(entries, entry[0], key=lambda known: known[0]), entry)
        self._spans, self._starts_us, self._unrolled_us = [], [], 0

    def demanded_nl(self, t_us: Instant) -> Fraction:
        """Volume demanded from t = 0 to `t_us`, exact."""
        return self._totals(t_us)[0]

    def missed_nl(self, t_us: Instant) -> dict[str, Fraction]:
        """Volume kept back up to `t_us`, by cause; causes that kept nothing back are left out."""
        self._unroll(t_us)
        missed: dict[str, Fraction] = {}
        for span in self._spans[:bisect_right(self._starts_us, t_us)]:
            if span.cause is not None and span.rate_nl_day:
                volume = span.rate_nl_day * (min(span.end_us, t_us) - span.start_us) / DAY_US
                missed[span.cause] = missed.get(span.cause, Fraction(0)) + volume
        return {cause: volume for cause, volume in missed.items() if volume}

    def gaps(self, t_us: Instant) -> int:
        """How many stops and outages began up to `t_us`."""
        return sum(1 for start, _, _ in [*self._stops, *self._outages] if start <= t_us)

    def rate_nl_day(self, t_us: Instant) -> Fraction:
        """Rate from `t_us` on: 0 while stopped, out, or without a program."""
        return self._totals(t_us)[1]

    def slack_nl(self, t_us: Instant) -> Fraction:
        """What whole-second timekeeping may shift: one second of every change of rate that was told up to `t_us`.

        Steps of a weekly program fall on the pump's own seconds and shift nothing.
        """
        told: set[Instant] = {mark for mark in self._marks() if 0 <= mark <= t_us}
        slack = Fraction(0)
        for mark in told:
            after = self._totals(mark)[1]
            before = self._totals(mark - 1)[1] if mark > 0 else Fraction(0)
            slack += abs(after - before) / DAY_S
        return slack

    def _totals(self, t_us: Instant) -> tuple[Fraction, Fraction]:
        """Demanded volume up to `t_us` and the rate in force there."""
        if t_us < 0:
            return Fraction(0), Fraction(0)
        self._unroll(t_us)
        span = self._spans[bisect_right(self._starts_us, t_us) - 1]
        rate = span.rate_nl_day if span.cause is None else Fraction(0)
        return span.demanded_nl + rate * (t_us - span.start_us) / DAY_US, rate

    def _prime_ends(self) -> list[tuple[int, Instant, Fraction]]:
        """(start, end, rate) of each prime: at its volume, or earlier at a stop or at the next prime."""
        ends = []
        for start_us, volume_nl, rate in self._primes:
            cuts: list[Instant] = [start_us + volume_nl * DAY_US / rate]
            cuts += [stop for stop, _, _ in self._stops if stop >= start_us]
            cuts += [other for other, _, _ in self._primes if other > start_us]
            ends.append((start_us, min(cuts), rate))
        return ends

    def _marks(self) -> set[Instant]:
        """Every instant at which something told changes."""
        marks: set[Instant] = {0}
        marks.update(t_us for t_us, _ in self._programs)
        marks.update(t_us for t_us, _ in self._offsets_us)
        for start_us, end_us, _ in [*self._stops, *self._outages]:
            marks.add(start_us)
            if end_us is not None:
                marks.add(end_us)
        for start, end, _ in self._prime_ends():
            marks.update((start, end))
        return marks

    def _unroll(self, t_us: Instant) -> None:
        """Make the spans from 0 to beyond `t_us`."""
        if self._spans and t_us < self._unrolled_us:
            return
        until = max(t_us + SECOND_US, min(2 * t_us, t_us + UNROLL_AHEAD_US))
        edges = sorted(mark for mark in self._marks() if 0 <= mark < until)
        primes = self._prime_ends()
        spans: list[_Span] = []
        demanded = Fraction(0)
        for start, end in zip(edges, [*edges[1:], until]):
            cause = self._cause(start)
            priming = [rate for first, last, rate in primes if first <= start < last]
            pieces = [(start, end, priming[-1])] if priming else self._scheduled(start, end)
            for first, last, rate in pieces:
                spans.append(_Span(first, last, rate, cause, demanded))
                if cause is None:
                    demanded += rate * (last - first) / DAY_US
        self._spans, self._starts_us, self._unrolled_us = spans, [span.start_us for span in spans], until

    def _cause(self, t_us: Instant) -> str | None:
        """Why nothing may be delivered at `t_us`: of several reasons, the one that began first."""
        reasons = [(start, cause) for start, end, cause in [*self._stops, *self._outages]
                   if start <= t_us and (end is None or t_us < end)]
        return min(reasons, key=lambda reason: reason[0])[1] if reasons else None

    def _scheduled(self, start: Instant, end: Instant) -> list[tuple[Instant, Instant, Fraction]]:
        """The program's rates from `start` to `end`, in which neither program nor clock changes."""
        index = bisect_right(self._programs, start, key=lambda known: known[0])
        if not index:
            return [(start, end, Fraction(0))]
        program = self._programs[index - 1][1]
        if len(program.rates_nl_day) == 1:
            return [(start, end, program.rates_nl_day[0])]
        offset = self._offsets_us[max(1, bisect_right(self._offsets_us, start, key=lambda known: known[0])) - 1][1]
        ends_s = [*program.starts_s[1:], WEEK_S]
        pieces = []
        while start < end:
            in_week = (start + offset) % WEEK_US
            step = bisect_right(program.starts_s, in_week // SECOND_US) - 1
            last = min(end, start + ends_s[step] * SECOND_US - in_week)
            pieces.append((start, last, program.rates_nl_day[step]))
            start = last
        return pieces

    def expected_tip(self, t_us: Instant) -> Tip:
        """Plug flow: the fluid at the tip is what left the reservoir one dead volume ago. Mixing in a fill is ideal."""
        pumped = self.demanded_nl(t_us)
        outlet, volume, conc = self._outlet(t_us)
        at_tip = pumped - self.dead_nl
        now = [content for start, content in outlet if start <= at_tip] if at_tip >= 0 else []
        return Tip(pumped, dict(now[-1]) if now else {}, self._mass(outlet, at_tip), volume, conc)

    def peak_conc_ng_ul(self, t_us: Instant) -> dict[str, Fraction]:
        """The highest concentration of each drug that left the reservoir up to `t_us`."""
        contents = [content for _, content in self._outlet(t_us)[0]]
        return {drug: max(content.get(drug, Fraction(0)) for content in contents) for content in contents for drug in content}

    def head_dose_ng(self, t_us: Instant) -> dict[str, Fraction]:
        """Drug mass that left the reservoir up to `t_us`: the dose as prescribed, before the catheter delays it."""
        return self._mass(self._outlet(t_us)[0], self.demanded_nl(t_us))

    def _outlet(self, t_us: Instant) -> tuple[list[tuple[Fraction, dict[str, Fraction]]], Fraction, dict[str, Fraction]]:
        """[(pumped volume from which, content)], then the reservoir's volume and content at `t_us`."""
        volume, pumped = self._reservoir_nl, Fraction(0)
        conc: dict[str, Fraction] = {}
        outlet = [(pumped, conc)]
        for fill_us, added, content, withdrawn in self._fills:
            if fill_us > t_us:
                break
            before = self.demanded_nl(fill_us)
            volume = max(Fraction(0), volume - (before - pumped))
            pumped = before
            left = min(volume, self._residual_nl) if withdrawn is None else max(Fraction(0), volume - withdrawn)
            volume = left + added
            if volume:
                conc = {drug: (conc.get(drug, 0) * left + content.get(drug, 0) * added) / volume for drug in {**conc, **content}}
            outlet.append((pumped, conc))
        return outlet, max(Fraction(0), volume - (self.demanded_nl(t_us) - pumped)), dict(conc)

    @staticmethod
    def _mass(outlet: list[tuple[Fraction, dict[str, Fraction]]], until_nl: Fraction) -> dict[str, Fraction]:
        """Mass of each drug in the first `until_nl` that left the reservoir."""
        mass: dict[str, Fraction] = {drug: Fraction(0) for _, content in outlet for drug in content}
        ends = [start for start, _ in outlet[1:]] + [max(until_nl, outlet[-1][0])]
        for (start, content), end in zip(outlet, ends):
            passed = max(Fraction(0), min(end, until_nl) - start)
            for drug, conc in content.items():
                mass[drug] += conc * passed / 1000  # ng/uL times nL
        return mass

    def day_table(self, until_us: int) -> list[dict[str, Any]]:
        """One row for each 24 h from t = 0: {day, demanded_nl, missed_nl, head_ng, tip_ng}, as floats to read."""
        rows: list[dict[str, Any]] = []
        drugs = sorted({drug for _, _, content, _ in self._fills for drug in content})
        last_us = 0
        while last_us < until_us:
            now_us = min(last_us + DAY_US, until_us)
            missed = {cause: float(volume - self.missed_nl(last_us).get(cause, 0)) for cause, volume in self.missed_nl(now_us).items()}
            head, head_then = self.head_dose_ng(now_us), self.head_dose_ng(last_us)
            tip, tip_then = self.expected_tip(now_us).dose_ng, self.expected_tip(last_us).dose_ng
            rows.append({
                "day": last_us // DAY_US,
                "demanded_nl": float(self.demanded_nl(now_us) - self.demanded_nl(last_us)),
                "missed_nl": {cause: volume for cause, volume in missed.items() if volume},
                "head_ng": {drug: float(head.get(drug, 0) - head_then.get(drug, 0)) for drug in drugs},
                "tip_ng": {drug: float(tip.get(drug, 0) - tip_then.get(drug, 0)) for drug in drugs}})
            last_us = now_us
        return rows


def judge(oracle: Oracle, run: Mapping[str, Any], truth: Mapping[str, Any], t_us: int, bounds: Bounds) -> list[dict[str, Any]]:
    """Expectation rows {name, ok, value, bound, unit} of a run at `t_us`: values are distances from the prescription.

    `run` is the firmware's ledger: demanded_nl, ordered_nl, missed_nl (a number, or a dict by cause). `truth` is the plant's:
    delivered_ul, tip_ng {drug: ng}, reservoir_ul, mass_error; what it lacks is not judged.
    """
    pulse, slack, gaps = _exact(bounds.pulse_nl, "pulse_nl"), oracle.slack_nl(t_us), oracle.gaps(t_us)
    rows: list[dict[str, Any]] = []

    def row(name: str, distance: Number, bound: Number, unit: str, below: bool = False) -> None:
        value, limit = abs(Fraction(distance)), Fraction(bound)
        rows.append({"name": name, "ok": value < limit if below else value <= limit, "value": float(value), "bound": float(limit), "unit": unit})

    demanded, ordered = Fraction(run["demanded_nl"]), Fraction(run["ordered_nl"])
    # Integer nL on the wire, whole-second timekeeping, and at each gap the part of a pulse that was under way.
    row("demanded as prescribed", demanded - oracle.demanded_nl(t_us), 1 + slack + pulse * gaps, "nL")
    row("ordered within one pulse of demanded", demanded - ordered, pulse, "nL", below=True)
    missed, booked = oracle.missed_nl(t_us), run["missed_nl"]
    missed_bound = 1 + slack + 2 * pulse * gaps if bounds.missed_nl is None else _exact(bounds.missed_nl, "missed_nl")
    if isinstance(booked, Mapping):
        for cause in sorted({*missed, *booked}):
            row(f"missed through {cause}", Fraction(booked.get(cause, 0)) - missed.get(cause, 0), missed_bound, "nL")
    else:
        row("missed as prescribed", Fraction(booked) - sum(missed.values()), missed_bound, "nL")
    lump = pulse + _exact(bounds.pitch_nl, "pitch_nl")
    volume_bound = _exact(bounds.delivered_rel, "delivered_rel") * ordered + lump
    if "delivered_ul" in truth:
        row("delivered through the tip as ordered", Fraction(truth["delivered_ul"]) * 1000 - ordered, volume_bound, "nL")
    expected = oracle.expected_tip(t_us)
    if "reservoir_ul" in truth:
        row("reservoir holds what it should", Fraction(truth["reservoir_ul"]) * 1000 - expected.reservoir_nl, volume_bound, "nL")
    peak = oracle.peak_conc_ng_ul(t_us)
    for drug, dose in sorted(expected.dose_ng.items() if "tip_ng" in truth else ()):
        bound = _exact(bounds.dose_rel, "dose_rel") * dose + _exact(bounds.front_rel, "front_rel") * oracle.dead_nl * peak[drug] / 1000
        row(f"{drug} through the tip", Fraction(truth["tip_ng"].get(drug, 0)) - dose, bound + lump * peak[drug] / 1000, "ng")
    if "mass_error" in truth:
        row("drug mass closes", Fraction(truth["mass_error"]), Fraction(bounds.mass_rel), "relative")
    return rows
