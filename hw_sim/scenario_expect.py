"""What a scenario may expect: named quantities measured on a run, each with its unit, its options and its measure.

A quantity is measured from truth (the plant) or from what the pump says over its line; one the pump would have to tell is
None where it tells nothing (a foreign firmware), and its row then reads n/a. Bounds are in the quantity's own unit.
"""
from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DAY_S = 86_400
NG_PER_UG = 1000.0
NG_PER_MG = 1e6
NL_PER_UL = 1000
PATIENT_BOLUS = "patient bolus started"     # how `logged` names it: the log's "bolus started" of the patient's kind
COLUMNS = ("t_s", "tip_ng", "delivered_ul", "lumbar", "cisternal", "oral_csf", "oral_ng", "plasma")
OUTCOMES = ("granted", "refused")       # of a patient's request
EDGES = ("raised", "cleared", "standing")   # of an alarm; standing: raised, or it rings already
MEAN, LOWEST, HIGHEST = range(3)


@dataclass
class Observed:
    """What the player saw: sampled columns of the first drug, daily and asked-for marks, alarms, bridges, fronts, the last status.

    Times are virtual seconds from the implant. `days[k]` is the dose (ng) of the first drug that had left the tip k whole days after
    the implant, `days_of` the same for every drug. `marks` holds truth, `told` the pump's status, at instants asked for. `status` is None
    without telemetry; `prescribed` holds (from s, ng/day) of the first drug. `lags_ul` are the volumes that the head pushed between a
    fill of another concentration and its arrival at the tip; `bridges_h` hours, `boluses_nl` volumes of finished patient boluses and
    `logged` events by name are of the pump's own log. `denied`: events refused as they were meant to be. `notes`: the host's sentences.
    `faults`: every fault of the run as World.faults tells it.
    """

    columns: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in COLUMNS})
    days: list[float] = field(default_factory=list)
    days_of: dict[str, list[float]] = field(default_factory=dict)
    told: dict[int, Any] = field(default_factory=dict)
    boluses_nl: list[int] = field(default_factory=list)
    logged: dict[str, int] = field(default_factory=dict)
    denied: int = 0
    notes: list[str] = field(default_factory=list)
    marks: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    bridges_h: list[float] = field(default_factory=list)
    lags_ul: list[float] = field(default_factory=list)
    prescribed: list[tuple[int, float]] = field(default_factory=list)
    status: Any = None
    truth: Mapping[str, Any] = field(default_factory=dict)
    mass_error: float = 0.0
    gap_nl: float | None = None
    faults: list[dict[str, Any]] = field(default_factory=list)

    def window(self, first_s: float, last_s: float) -> range:
        """Indices of the samples from `first_s` to `last_s`, both included."""
        times = self.columns["t_s"]
        return range(bisect_left(times, first_s), bisect_right(times, last_s))


class Quantity(NamedTuple):
    """`options`: keys an expectation may add, as the loader's kinds. `measure(observed, options)` gives the value or None."""

    unit: str
    options: dict[str, str]
    measure: Callable[[Observed, Mapping[str, Any]], float | None]


# ------------------------------------------------------------------------------------------------ dose

def _daily(run: Observed, drug: str | None = None) -> list[float]:
    days = run.days if drug is None else run.days_of.get(drug, [])
    return [after - before for before, after in zip(days, days[1:])]


def _steps(run: Observed, options: Mapping[str, Any]) -> list[tuple[float, float]]:
    """(dose of a day, dose of the next) from the first whole day on the program, or from `after`."""
    if not run.prescribed:
        return []
    first = -(-options.get("after", run.prescribed[0][0]) // DAY_S)
    doses = _daily(run)[first:]
    return list(zip(doses, doses[1:]))


def _step_pct(run: Observed, options: Mapping[str, Any]) -> float | None:
    return max((100 * abs(after / before - 1) if before else 100.0 for before, after in _steps(run, options)), default=None)


def _step_ug(run: Observed, options: Mapping[str, Any]) -> float | None:
    return max((abs(after - before) / NG_PER_UG for before, after in _steps(run, options)), default=None)


def _dose_ug(run: Observed, options: Mapping[str, Any]) -> float | None:
    doses = _daily(run, options.get("drug"))
    day = options.get("day", len(doses) - 1)
    return doses[day] / NG_PER_UG if 0 <= day < len(doses) else None


def _window_ug(run: Observed, options: Mapping[str, Any]) -> float | None:
    """Of one drug (the first), through the tip between two instants."""
    first, last = run.marks.get(options["from"]), run.marks.get(options["to"])
    if first is None or last is None or not run.days_of:
        return None
    drug = options.get("drug", next(iter(run.days_of)))
    return float(last["tip_ng"].get(drug, 0.0) - first["tip_ng"].get(drug, 0.0)) / NG_PER_UG


def _withdrawal_h(run: Observed, options: Mapping[str, Any]) -> float | None:
    """The longest time without a sampled interval whose dose at the tip was above `share_pct` of the one prescribed."""
    if not run.prescribed:
        return None
    times, doses = run.columns["t_s"], run.columns["tip_ng"]
    longest = since = 0.0
    for i in range(len(times) - 1):
        prescribed = [dose for from_s, dose in run.prescribed if from_s <= times[i]]
        span_s = times[i + 1] - times[i]
        if prescribed and (doses[i + 1] - doses[i]) * DAY_S <= options.get("share_pct", 30) / 100 * prescribed[-1] * span_s:
            since += span_s
            longest = max(longest, since)
        else:
            since = 0.0
    return longest / 3600


# ------------------------------------------------------------------------------------------------ volume

def _delivered_error_pct(run: Observed, _: Mapping[str, Any]) -> float | None:
    """Delivered at the tip against demanded, without the pulses that a stalled rotor lost."""
    if run.status is None or run.status.demanded_nl <= run.status.missed_nl["stall"]:
        return None
    demanded = run.status.demanded_nl - run.status.missed_nl["stall"]
    return float(100 * abs(run.truth["delivered_ul"] * 1000 / demanded - 1))


def _delivered_ul(run: Observed, options: Mapping[str, Any]) -> float | None:
    first, last = run.marks.get(options["from"]), run.marks.get(options["to"])
    return float(last["delivered_ul"] - first["delivered_ul"]) if first and last else None


def _missed_ul(run: Observed, options: Mapping[str, Any]) -> float | None:
    if run.status is None:
        return None
    missed = run.status.missed_nl
    return float(missed[options["cause"]] if "cause" in options else sum(missed.values())) / 1000


def _told(name: str, share: int = 1) -> Callable[[Observed, Mapping[str, Any]], float | None]:
    def measure(run: Observed, options: Mapping[str, Any]) -> float | None:
        """A number of the pump's status at `at`, in units of `share`."""
        status = run.told.get(options["at"])
        value = None if status is None else getattr(status, name)
        return None if value is None else float(value) / share
    return measure


def _computed_error_ul(run: Observed, _: Mapping[str, Any]) -> float | None:
    """The pump's computed contents against the true ones at the end."""
    return None if run.status is None else abs(run.status.reservoir_computed_nl / 1000 - run.truth["reservoir_ul"])


def _computed_above_true_ul(run: Observed, options: Mapping[str, Any]) -> float | None:
    """How much more the pump's book says the reservoir holds than it does hold at `at`: what a refill's arithmetic would find."""
    status, truth = run.told.get(options["at"]), run.marks.get(options["at"])
    return None if status is None or truth is None else float(status.reservoir_computed_nl / NL_PER_UL - truth["reservoir_ul"])


# ------------------------------------------------------------------------------------------------ alarms

def _chosen(run: Observed, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [alarm for alarm in run.alarms if options.get("code", alarm["code"]) == alarm["code"]
            and alarm["priority"] <= options.get("priority_max", 4)]


def _raised_within(run: Observed, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of these those raised from `from` (the implant) to before `to` (the end)."""
    return [alarm for alarm in _chosen(run, options) if options.get("from", 0) <= alarm["raised_s"] < options.get("to", math.inf)]


def _alarms(run: Observed, options: Mapping[str, Any]) -> float | None:
    return None if run.status is None else float(len(_raised_within(run, options)))


def _standing(run: Observed, options: Mapping[str, Any]) -> float | None:
    """Alarms whose cause stands at the end."""
    return None if run.status is None else float(sum(1 for alarm in _chosen(run, options) if alarm["cleared_s"] is None))


def _patient_boluses(run: Observed, options: Mapping[str, Any]) -> float:
    return float(run.logged.get("patient bolus refused" if options["outcome"] == "refused" else PATIENT_BOLUS, 0))


def _alarm_after_min(run: Observed, options: Mapping[str, Any]) -> float | None:
    """From `from` to the first time that alarm `code` was `edge` after it: raised or cleared; "standing": 0 where it rang already."""
    return _after_min(run, options, options["from"], options.get("edge", EDGES[0]))


def _came(run: Observed, options: Mapping[str, Any]) -> list[float]:
    """When `fault` was set, by date or by chance."""
    return [fault["set_s"] for fault in run.faults if fault["name"] == options["fault"]]


def _alarm_after_fault_min(run: Observed, options: Mapping[str, Any]) -> float | None:
    """The longest time from a `fault` to alarm `code`, 0 where it rang already or no such fault came; None where one was never said."""
    waits = [_after_min(run, options, set_s, EDGES[2]) for set_s in _came(run, options)]
    return None if None in waits else max((wait for wait in waits if wait is not None), default=0.0)


def _after_min(run: Observed, options: Mapping[str, Any], from_s: float, edge: str) -> float | None:
    chosen = _chosen(run, options)
    if edge == EDGES[2]:
        if any(alarm["raised_s"] <= from_s and (alarm["cleared_s"] is None or alarm["cleared_s"] > from_s) for alarm in chosen):
            return 0.0
        edge = EDGES[0]
    times = [alarm[edge + "_s"] for alarm in chosen if alarm[edge + "_s"] is not None and alarm[edge + "_s"] >= from_s]
    return (min(times) - from_s) / 60 if times else None


# ------------------------------------------------------------------------------------------------ levels

def _last_day(run: Observed, options: Mapping[str, Any]) -> range:
    """The samples of day `day`, or of the last 24 h."""
    if "day" in options:
        return run.window(options["day"] * DAY_S, (options["day"] + 1) * DAY_S)
    times = run.columns["t_s"]
    return run.window(times[-1] - DAY_S, times[-1]) if times else range(0)


def _lumbar(which: int) -> Callable[[Observed, Mapping[str, Any]], float | None]:
    def measure(run: Observed, options: Mapping[str, Any]) -> float | None:
        """Mean, lowest or highest sampled level of day `day`, or of the last 24 h."""
        levels = [run.columns["lumbar"][i] for i in _last_day(run, options)]
        return (sum(levels) / len(levels), min(levels), max(levels))[which] if levels else None
    return measure


def _gradient(run: Observed, options: Mapping[str, Any]) -> float | None:
    window = _last_day(run, options)
    below, above = (sum(run.columns[place][i] for i in window) for place in ("lumbar", "cisternal"))
    return below / above if above else None


def _peak_to_trough(column: str) -> Callable[[Observed, Mapping[str, Any]], float | None]:
    def measure(run: Observed, options: Mapping[str, Any]) -> float | None:
        """Highest over lowest level of the last `days` (3)."""
        times = run.columns["t_s"]
        levels = [run.columns[column][i] for i in (run.window(times[-1] - options.get("days", 3) * DAY_S, times[-1]) if times else ())]
        return max(levels) / min(levels) if levels and min(levels) > 0 else None
    return measure


def _oral_ratio(run: Observed, options: Mapping[str, Any]) -> float | None:
    """Drug swallowed over drug pumped in the `days` (4) before the last sample."""
    times = run.columns["t_s"]
    window = run.window(times[-1] - options.get("days", 4) * DAY_S, times[-1]) if times else range(0)
    if len(window) < 2:
        return None
    swallowed, pumped = (run.columns[name][window[-1]] - run.columns[name][window[0]] for name in ("oral_ng", "tip_ng"))
    return swallowed / pumped if pumped else None


def _swallowed_by_day(run: Observed) -> list[float]:
    """Drug swallowed in each whole day of the run, ng."""
    times, taken = run.columns["t_s"], run.columns["oral_ng"]
    ends = [taken[run.window(0, day * DAY_S)[-1]] for day in range(1, int(times[-1] // DAY_S) + 1)] if times else []
    return [after - before for before, after in zip([0.0, *ends], ends)]


def _oral_dose_mg(run: Observed, options: Mapping[str, Any]) -> float | None:
    """Swallowed on one `day` of the run (1 ..; the last whole one)."""
    days = _swallowed_by_day(run)
    number = options.get("day", len(days))
    return days[number - 1] / NG_PER_MG if 1 <= number <= len(days) else None


def _oral_step_pct(run: Observed, _: Mapping[str, Any]) -> float | None:
    """Largest fall from one day by mouth to the next that still has tablets: how fast they are weaned."""
    days = _swallowed_by_day(run)
    return max(((before - after) * 100 / before for before, after in zip(days, days[1:]) if before > 0 and after > 0), default=None)


def _plasma_peak(run: Observed, options: Mapping[str, Any]) -> float | None:
    """Highest sampled blood level from `from` (the implant) to `to` (the end)."""
    window = run.window(options.get("from", 0), options.get("to", math.inf))
    return max((run.columns["plasma"][i] for i in window), default=None)


# ------------------------------------------------------------------------------------------------ astray

def _span(run: Observed, options: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """What was true at `from` (the implant) and at `to` (the end)."""
    first = run.marks.get(options.get("from", 0))
    last = run.marks.get(options["to"]) if "to" in options else run.truth
    return (first, last) if first and last else None


def _astray_ul(run: Observed, options: Mapping[str, Any]) -> float | None:
    """Solution that went elsewhere than into the spinal fluid: into the pocket, out at a leak, a disconnected catheter, a migrated tip."""
    span = _span(run, options)
    return float(sum(span[1][place] - span[0][place] for place in ("pocket_ul", "strayed_ul"))) if span else None


def _astray_ug(run: Observed, options: Mapping[str, Any]) -> float | None:
    """Of one drug (the first) in it, 0 before its first fill."""
    span = _span(run, options)
    drugs = (options["drug"],) if "drug" in options else tuple(run.days_of)[:1]
    if span is None or not drugs:
        return None
    return float(sum(span[1][place].get(drugs[0], 0.0) - span[0][place].get(drugs[0], 0.0) for place in ("pocket_ng", "strayed_ng"))) / NG_PER_UG


def _last(values: Iterable[float]) -> float | None:
    return next(reversed(list(values)), None)


QUANTITIES: dict[str, Quantity] = {
    "daily_dose_step_pct": Quantity("%", {"after": "duration"}, _step_pct),
    "daily_dose_step_ug": Quantity("ug/day", {"after": "duration"}, _step_ug),
    "daily_dose_ug": Quantity("ug/day", {"day": "day", "drug": "text"}, _dose_ug),
    "dose_ug": Quantity("ug", {"from": "duration!", "to": "duration!", "drug": "text"}, _window_ug),
    "withdrawal_h": Quantity("h", {"share_pct": "number"}, _withdrawal_h),
    "delivered_error_pct": Quantity("%", {}, _delivered_error_pct),
    "delivered_ul": Quantity("uL", {"from": "duration!", "to": "duration!"}, _delivered_ul),
    "rate_ul_day": Quantity("uL/day", {"at": "duration!"}, _told("rate_nl_day", NL_PER_UL)),
    "low_reservoir_days": Quantity("d", {"at": "duration!"}, _told("low_reservoir_days")),
    "lockout_min": Quantity("min", {"at": "duration!"}, _told("lockout_s", 60)),
    "missed_ul": Quantity("uL", {"cause": "cause"}, _missed_ul),
    "computed_error_ul": Quantity("uL", {}, _computed_error_ul),
    "computed_above_true_ul": Quantity("uL", {"at": "duration!"}, _computed_above_true_ul),
    "battery_mv": Quantity("mV", {"at": "duration!"}, _told("battery_mv")),
    "demanded_ordered_gap_nl": Quantity("nL", {}, lambda run, _: run.gap_nl),
    "alarms": Quantity("", {"code": "count", "priority_max": "count", "from": "duration", "to": "duration"}, _alarms),
    "alarms_standing": Quantity("", {"code": "count", "priority_max": "count"}, _standing),
    "patient_boluses": Quantity("", {"outcome": "outcome!"}, _patient_boluses),
    "patient_bolus_ul": Quantity("uL", {}, lambda run, _: sum(run.boluses_nl) / NL_PER_UL),
    "logged": Quantity("", {"event": "text!"}, lambda run, options: float(run.logged.get(options["event"], 0))),
    "said": Quantity("", {"text": "text!"}, lambda run, options: float(sum(1 for note in run.notes if options["text"] in note))),
    "refused_orders": Quantity("", {}, lambda run, _: float(run.denied)),
    "alarm_after_min": Quantity("min", {"code": "count!", "from": "duration!", "edge": "edge"}, _alarm_after_min),
    "faults": Quantity("", {"fault": "fault!"}, lambda run, options: float(len(_came(run, options)))),
    "alarm_after_fault_min": Quantity("min", {"code": "count!", "fault": "fault!"}, _alarm_after_fault_min),
    "bridge_h": Quantity("h", {}, lambda run, _: _last(run.bridges_h)),
    "concentration_lag_ul": Quantity("uL", {}, lambda run, _: _last(run.lags_ul)),
    "mass_error": Quantity("", {}, lambda run, _: run.mass_error),
    "lumbar_ng_per_ml": Quantity("ng/mL", {"day": "day"}, _lumbar(MEAN)),
    "lumbar_lowest_ng_per_ml": Quantity("ng/mL", {"day": "day"}, _lumbar(LOWEST)),
    "lumbar_highest_ng_per_ml": Quantity("ng/mL", {"day": "day"}, _lumbar(HIGHEST)),
    "lumbar_to_cisternal": Quantity("", {"day": "day"}, _gradient),
    "plasma_peak_ng_per_ml": Quantity("ng/mL", {"from": "duration", "to": "duration"}, _plasma_peak),
    "astray_ul": Quantity("uL", {"from": "duration", "to": "duration"}, _astray_ul),
    "astray_ug": Quantity("ug", {"from": "duration", "to": "duration", "drug": "text"}, _astray_ug),
    "peak_to_trough_pump": Quantity("", {"days": "count"}, _peak_to_trough("lumbar")),
    "peak_to_trough_oral": Quantity("", {"days": "count"}, _peak_to_trough("oral_csf")),
    "oral_dose_mg": Quantity("mg", {"day": "count"}, _oral_dose_mg),
    "oral_step_pct": Quantity("%", {}, _oral_step_pct),
    "oral_to_pump_dose": Quantity("", {"days": "count"}, _oral_ratio),
}
# What only the pump can tell: n/a without telemetry, as is what hangs on a prescription that could not be given.
TOLD_BY_PUMP = frozenset(("delivered_error_pct", "missed_ul", "computed_error_ul", "computed_above_true_ul", "battery_mv", "demanded_ordered_gap_nl", "alarms",
                          "alarms_standing", "alarm_after_min", "alarm_after_fault_min", "bridge_h", "rate_ul_day", "low_reservoir_days", "lockout_min", "patient_boluses", "patient_bolus_ul",
                          "logged", "said", "refused_orders"))


def instants(expectations: Iterable[Any]) -> set[int]:
    """Seconds from the implant at which the player must look because an expectation asks for that instant."""
    return {expectation.options[key] for expectation in expectations for key in ("from", "to", "at") if key in expectation.options}


def rows(expectations: Iterable[Any], run: Observed, *, ended: bool = True, deaf: bool = False) -> list[dict[str, Any]]:
    """Result rows {name, ok, value, bound, unit}: `ok` is None for what does not apply, `bound` text such as '11.2 .. 11.3'.

    A quantity that could not be measured although it applies is not met; in a run that was cut short (`ended` False) neither.
    """
    found = []
    for wanted in expectations:
        quantity = QUANTITIES[wanted.quantity]
        value = quantity.measure(run, wanted.options)
        low, high = wanted.low, wanted.high
        applies = not (deaf and (wanted.quantity in TOLD_BY_PUMP or ended and value is None))
        met = ended and value is not None and (low is None or value >= low) and (high is None or value <= high)
        found.append({"name": wanted.name, "ok": met if applies else None, "value": value if applies else None,
                      "bound": bound_text(low, high), "unit": quantity.unit})
    return found


def bound_text(low: float | None, high: float | None) -> str:
    """'<= 30', '>= 44', '11.2 .. 11.3'."""
    if low is None:
        return "<= %.10g" % high if high is not None else ""
    return ">= %.10g" % low if high is None else "%.10g .. %.10g" % (low, high)
