"""What a pump should have done: computed from the prescription alone, in exact fractions.

The oracle shares no code with the firmware, the protocol or the plant. It is told the timeline in a clinician's words
(programs, primes, stops, outages, fills) and answers how much should have been demanded at any instant, how much was
missed and through which cause, and, by plug flow, what should have left the catheter tip. judge.py sets a run against it.

Units: volumes nL, rates nL/day, concentrations ng/uL (the same number as ug/mL), masses ng, times virtual us. Numbers may
be int, Fraction or text ("0.1", "1/3"); a float stands for the decimal it prints as.

Rules it prescribes (DESIGN R6): demand accrues only while delivery is permitted; what a stop or an outage keeps back is
missed, under the cause that began first, and never made up. What runs on top of the program is in oracle_extras.py. What an
alarm makes of the rate it is told in the rate that the alarm's declared rule gives (`held`, declared.py), never as the pump has it.
"""
from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Iterable, Mapping

from . import oracle_extras
from .oracle_extras import BOLUS, BRIDGE, PRIME, Extra
from .oracle_program import DAY_S, WEEK_S, Number, Program, exact, steps_of, week

__all__ = ["DAY_S", "DAY_US", "SECOND_US", "Number", "Oracle", "Program", "Tip", "exact", "week"]
Instant = int | Fraction

SECOND_US = 1_000_000
DAY_US = DAY_S * SECOND_US
WEEK_US = WEEK_S * SECOND_US
ORDER = "stop"          # the cause of one that a clinician orders
ALARM = "fault"         # the cause of a stop that an alarm makes
UNROLL_AHEAD_US = 30 * DAY_US   # how far past the asked instant the timeline is unrolled at first: rising queries stay cheap


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


class Oracle:
    """The prescription's bookkeeper.

    `start_pump_s`: the pump's local time at t_us = 0, in seconds since Monday 2024-01-01 00:00. `dead_nl`: volume from
    head to tip, drug-free at first, the first `tubing_nl` of it in the pump. `residual_nl`: what a syringe cannot withdraw.
    `reservoir_nl`: drug-free content before the first fill.
    """

    def __init__(self, start_pump_s: int = 0, *, dead_nl: Number = 0, residual_nl: Number = 0, reservoir_nl: Number = 0,
                 tubing_nl: Number = 0) -> None:
        self.dead_nl = exact(dead_nl, "dead_nl")
        self._tubing_nl = exact(tubing_nl, "tubing_nl")
        self._residual_nl = exact(residual_nl, "residual_nl")
        self._reservoir_nl = exact(reservoir_nl, "reservoir_nl")
        self._programs: list[tuple[int, Program]] = []
        self._offsets_us: list[tuple[int, int]] = [(0, start_pump_s * SECOND_US)]
        self._stops: list[tuple[int, int | None, str]] = []
        self._outages: list[tuple[int, int, str]] = []
        self._extras: list[Extra] = []
        self._held: list[tuple[int, Program | None, int]] = []
        self._fills: list[tuple[int, Fraction, dict[str, Fraction], Fraction | None]] = []
        self._lines: list[tuple[int, dict[str, Fraction]]] = []
        self._spans: list[_Span] = []
        self._starts_us: list[Instant] = []
        self._unrolled_us: Instant = 0

    def program(self, t_us: int, segments: Number | Iterable[tuple[int, Number]]) -> None:
        """From `t_us` on: one rate in nL/day, or [(second of the week, rate nL/day), ...] starting at second 0."""
        self._told(self._programs, (t_us, steps_of(segments)))

    def held(self, t_us: int, segments: Number | Iterable[tuple[int, Number]] | None, within_s: int = 1) -> None:
        """From `t_us` on an alarm puts this rate (as for `program`) in the program's place; None: the program again.

        The pump may notice up to `within_s` later: so much is slack. Primes, bridges and boluses keep their own rates.
        """
        self._told(self._held, (t_us, None if segments is None else steps_of(segments), within_s))

    def clock_set(self, t_us: int, pump_s: int) -> None:
        """At `t_us` the pump's clock is set to `pump_s`. Weekly steps move with it; no time is gained or lost."""
        self._told(self._offsets_us, (t_us, pump_s * SECOND_US - t_us))

    def stopped(self, t_us: int, cause: str = "stop") -> None:
        """Delivery stops at `t_us` through `cause` (an order, an alarm), until `resumed`. A second such stop changes nothing."""
        if not any(end is None and known == cause for _, end, known in self._stops):
            self._told(self._stops, (t_us, None, cause))

    def resumed(self, t_us: int, cause: str = "stop") -> None:
        """What stopped through `cause`, or was paused, goes on at `t_us`. Raises ValueError where nothing was."""
        ended = [gap for gap in self._stops if gap[2] == cause and gap[0] <= t_us and (gap[1] is None or t_us < gap[1])]
        if not ended:
            raise ValueError(f"resumed at {t_us} us: nothing was stopped before")
        self._stops = [(gap[0], t_us, cause) if gap in ended else gap for gap in self._stops]
        self._forget()

    def stands(self, t_us: int, cause: str = "stop") -> bool:
        """Whether a stop (or a pause) through `cause` is in force at `t_us`."""
        return any(start <= t_us and (end is None or t_us < end) for start, end, known in self._stops if known == cause)

    def outage(self, start_us: int, end_us: int, cause: str) -> None:
        """Nothing can be delivered from `start_us` to `end_us` (power cut, stall, empty reservoir)."""
        if end_us < start_us:
            raise ValueError(f"outage {cause!r} ends at {end_us} us: it starts later, at {start_us} us")
        self._told(self._outages, (start_us, end_us, cause))

    def paused(self, t_us: int, seconds: int) -> None:
        """Nothing is delivered for `seconds`, then the program again by itself: a stop whose end is known."""
        self._told(self._stops, (t_us, t_us + seconds * SECOND_US, "stop"))

    def prime(self, t_us: int, volume_nl: Number, rate_nl_day: Number) -> None:
        """From `t_us` deliver `volume_nl` at `rate_nl_day` (> 0) in place of the program."""
        self._extra(PRIME, t_us, volume_nl, rate_nl_day)

    def bridge(self, t_us: int, volume_nl: Number, rate_nl_day: Number) -> None:
        """The same, but through stops and power cuts by the volume that is left; one told later restates it."""
        self._extra(BRIDGE, t_us, volume_nl, rate_nl_day)

    def bolus(self, t_us: int, volume_nl: Number, seconds: Number) -> None:
        """From `t_us` deliver `volume_nl` evenly over `seconds` (> 0) on top of the program, a clinician's or a patient's."""
        span = exact(seconds, "seconds")
        if not span:
            raise ValueError("seconds is 0: a bolus takes time")
        self._extra(BOLUS, t_us, volume_nl, exact(volume_nl, "volume_nl") * DAY_S / span)

    def cut(self, t_us: int) -> None:
        """What runs on top of the program ends at `t_us`, for a reason that the oracle cannot know: an alarm that forbids boluses."""
        running = [extra for extra, end in self._extra_ends() if extra.start_us <= t_us < end and extra.kind != BRIDGE]
        self._extras = [replace(extra, cut_us=t_us) if extra in running else extra for extra in self._extras]
        self._forget()

    def _extra(self, kind: str, t_us: int, volume_nl: Number, rate_nl_day: Number) -> None:
        volume, rate = exact(volume_nl, "volume_nl"), exact(rate_nl_day, "rate_nl_day")
        if not rate:
            raise ValueError(f"rate_nl_day is 0: a {kind} at that rate never ends")
        self._extras.insert(bisect_right(self._extras, t_us, key=lambda known: known.start_us), Extra(kind, t_us, volume, rate))
        self._forget()

    def fill(self, t_us: int, volume_nl: Number, concentrations_ng_ul: Mapping[str, Number],
             withdrawn_nl: Number | None = None) -> None:
        """Withdraw (None: all but the residual), then add `volume_nl`. A rinse is one more fill at the same instant."""
        content = {drug: exact(conc, f"concentration of {drug}") for drug, conc in concentrations_ng_ul.items()}
        withdrawn = None if withdrawn_nl is None else exact(withdrawn_nl, "withdrawn_nl")
        self._told(self._fills, (t_us, exact(volume_nl, "volume_nl"), content, withdrawn))

    def catheter(self, t_us: int, content_ng_ul: Mapping[str, Number]) -> None:
        """At `t_us` the catheter (not the tubing before it) holds this: an old one is connected, or it was aspirated ({})."""
        self._told(self._lines, (t_us, {drug: exact(conc, f"concentration of {drug}") for drug, conc in content_ng_ul.items()}))

    def _told(self, entries: list[Any], entry: tuple[Any, ...]) -> None:
        """Add in the order of time, equal instants in the order told."""
        entries.insert(bisect_right(entries, entry[0], key=lambda known: known[0]), entry)
        self._forget()

    def _forget(self) -> None:
        """What was unrolled is void."""
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
        """What whole-second timekeeping may shift: one second of every change of rate that was told up to `t_us`, more where `held` says so.

        Steps of a weekly program fall on the pump's own seconds and shift nothing.
        """
        told: set[Instant] = {mark for mark in self._marks() if 0 <= mark <= t_us}
        late = {mark: within_s for mark, _, within_s in self._held}
        slack = Fraction(0)
        for mark in told:
            after = self._totals(mark)[1]
            before = self._totals(mark - 1)[1] if mark > 0 else Fraction(0)
            slack += abs(after - before) * late.get(int(mark), 1) / DAY_S
        return slack

    def _totals(self, t_us: Instant) -> tuple[Fraction, Fraction]:
        """Demanded volume up to `t_us` and the rate in force there."""
        if t_us < 0:
            return Fraction(0), Fraction(0)
        self._unroll(t_us)
        span = self._spans[bisect_right(self._starts_us, t_us) - 1]
        rate = span.rate_nl_day if span.cause is None else Fraction(0)
        return span.demanded_nl + rate * (t_us - span.start_us) / DAY_US, rate

    def _extra_ends(self) -> list[tuple[Extra, Instant]]:
        return oracle_extras.ends(self._extras, self._stops, self._outages)

    def _marks(self) -> set[Instant]:
        """Every instant at which something told changes."""
        marks: set[Instant] = {0}
        marks.update(t_us for t_us, _ in self._programs)
        marks.update(t_us for t_us, _, _ in self._held)
        marks.update(t_us for t_us, _ in self._offsets_us)
        for start_us, end_us, _ in [*self._stops, *self._outages]:
            marks.add(start_us)
            if end_us is not None:
                marks.add(end_us)
        for extra, end in self._extra_ends():
            marks.update((extra.start_us, end))
        return marks

    def _unroll(self, t_us: Instant) -> None:
        """Make the spans from 0 to beyond `t_us`."""
        if self._spans and t_us < self._unrolled_us:
            return
        until = max(t_us + SECOND_US, min(2 * t_us, t_us + UNROLL_AHEAD_US))
        edges = sorted(mark for mark in self._marks() if 0 <= mark < until)
        extras = self._extra_ends()
        spans: list[_Span] = []
        demanded = Fraction(0)
        for start, end in zip(edges, [*edges[1:], until]):
            cause = self._cause(start)
            running = [extra for extra, last in extras if extra.start_us <= start < last]
            instead = [extra.rate_nl_day for extra in running if not extra.added]
            on_top = sum((extra.rate_nl_day for extra in running if extra.added), Fraction(0))
            pieces = [(start, end, instead[-1])] if instead else self._scheduled(start, end)
            pieces = [(first, last, rate + on_top) for first, last, rate in pieces]
            for first, last, rate in pieces:
                spans.append(_Span(first, last, rate, cause, demanded))
                if cause is None:
                    demanded += rate * (last - first) / DAY_US
        self._spans, self._starts_us, self._unrolled_us = spans, [span.start_us for span in spans], until

    def _cause(self, t_us: Instant) -> str | None:
        """Why nothing may be delivered at `t_us`: of several reasons the one that began first, but an order to stop before an alarm."""
        reasons = [(start, cause) for start, end, cause in [*self._stops, *self._outages]
                   if start <= t_us and (end is None or t_us < end)]
        ordered = any(cause == ORDER for _, cause in reasons)
        return min(reasons, key=lambda reason: (ordered and reason[1] == ALARM, reason[0]))[1] if reasons else None

    def _scheduled(self, start: Instant, end: Instant) -> list[tuple[Instant, Instant, Fraction]]:
        """The program's rates from `start` to `end`, in which neither program nor clock changes."""
        index = bisect_right(self._programs, start, key=lambda known: known[0])
        if not index:
            return [(start, end, Fraction(0))]
        over = bisect_right(self._held, start, key=lambda known: known[0])
        program = (self._held[over - 1][1] if over else None) or self._programs[index - 1][1]
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
        head, volume, conc = self._outlet(t_us)
        outlet, at_tip = self._through(head, t_us), pumped - self.dead_nl
        now = [content for start, content in outlet if start <= at_tip]
        return Tip(pumped, dict(now[-1]) if now else {}, self._mass(outlet, at_tip), volume, conc)

    def peak_conc_ng_ul(self, t_us: Instant) -> dict[str, Fraction]:
        """The highest concentration of each drug that left the reservoir, or lay in the catheter, up to `t_us`."""
        contents = [content for _, content in self._through(self._outlet(t_us)[0], t_us)]
        return {drug: max(content.get(drug, Fraction(0)) for content in contents) for content in contents for drug in content}

    def head_dose_ng(self, t_us: Instant) -> dict[str, Fraction]:
        """Drug mass that left the reservoir up to `t_us`: the dose as prescribed, before the catheter delays it."""
        return self._mass(self._outlet(t_us)[0], self.demanded_nl(t_us))

    def _through(self, outlet: list[tuple[Fraction, dict[str, Fraction]]], t_us: Instant) -> list[tuple[Fraction, dict[str, Fraction]]]:
        """What goes through the tip, by the pumped volume that it left the reservoir at: the outlet, and what hands put into the catheter."""
        for line_us, content in self._lines:
            if line_us <= t_us:
                pumped = self.demanded_nl(line_us)
                first, last = pumped - self.dead_nl, pumped - self._tubing_nl
                behind = [known for start, known in outlet if start <= last]
                outlet = [*((start, known) for start, known in outlet if start < first), (first, content), (last, behind[-1] if behind else {}),
                          *((start, known) for start, known in outlet if start > last)]
        return outlet

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
        drugs = sorted({drug for content in [*(fill[2] for fill in self._fills), *(line[1] for line in self._lines)] for drug in content})
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
