"""Hard caps of a program: mass of each drug in any hour and in any 24 h, from the library, and the CRC that says which library that was.

The pump enforces the caps by itself (firmware/caps.py); `check` says first, and in doses, what it would refuse of a program as such: what was
delivered before only the pump knows. It counts in pulses and five-minute buckets, so a program that runs exactly at the
hard limit needs a little room above it: EXECUTION_SHARE and one pulse [judgement of this project].
"""

from __future__ import annotations

import binascii
import json
from bisect import bisect_right
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

from . import units
from .drug_library import Drug
from .errors import RequestInvalid

if TYPE_CHECKING:
    from .bolus import PatientBolus
    from .prescription import Ingredient, Prescription

EXECUTION_SHARE = Fraction(101, 100)    # of the library's limit: three five-minute buckets of a day are 1.04 %
BUCKET_S, PULSES = 300, 2               # with patient boluses about, the pump's window is a bucket longer and two pulses fuller
HOUR_S, WEEK_S = 3600, 7 * units.DAY_S
NOT_CAPPED = (1 << 30) - 1              # the wire's top: a drug that this library does not know keeps what the pump said


@dataclass(frozen=True)
class Cap:
    """ng of one drug in any 1 h and in any 24 h."""

    hour_ng: int
    day_ng: int


def caps_of(items: tuple[Ingredient, ...], setting: str | None, pulse_nl: int) -> tuple[Cap, ...]:
    """One cap for each drug of a fill, from its hard daily limit and the share of it that one hour may hold. Raises RequestInvalid for a setting it lacks."""
    return tuple(_cap(item, item.drug, setting, pulse_nl) if item.drug else Cap(NOT_CAPPED, NOT_CAPPED) for item in items)


def _cap(item: Ingredient, drug: Drug, setting: str | None, pulse_nl: int) -> Cap:
    day_ng = drug.setting(setting).dose_hard
    pulse_ng = item.dose_ng(pulse_nl)
    return Cap(ceil(day_ng * drug.hour_share * EXECUTION_SHARE + pulse_ng), ceil(day_ng * EXECUTION_SHARE + pulse_ng))


def library_crc(items: tuple[Ingredient, ...], setting: str | None) -> int:
    """CRC-32 over the library entries behind a program: drug + concentration + setting, with every limit and the file's version."""
    entries = [_entry(item, item.drug, setting) for item in items if item.drug]
    return binascii.crc32(json.dumps(entries, sort_keys=True, default=str).encode())


def _entry(item: Ingredient, drug: Drug, setting: str | None) -> dict[str, Any]:
    rules = {name: value for name, value in asdict(drug).items() if name not in ("settings", "sources")}
    return {**rules, "concentration_ng_ml": item.concentration_ng_ml, "setting": asdict(drug.setting(setting))}


# ---------------------------------------------------------------------------------------------------- windows
def worst_nl(program: Prescription, seconds: int) -> Fraction:
    """The most nL that any `seconds` (1 .. a week) of the program's week hold, midnights and weekdays crossed, all patient boluses apart."""
    starts = [(day * units.DAY_S + step.from_s, step.rate_nl_day) for day in range(14) for step in program.pattern_of(day % 7)]
    due = [Fraction(0)]                     # behind each start, since the first Monday
    for (at, rate), (until, _) in zip(starts, starts[1:]):
        due.append(due[-1] + Fraction(rate * (until - at), units.DAY_S))
    times = [at for at, _ in starts]

    def since_monday(at: int) -> Fraction:
        index = bisect_right(times, at) - 1
        return due[index] + Fraction(starts[index][1] * (at - times[index]), units.DAY_S)

    edges = {edge for at in times for edge in (at, at - seconds) if 0 <= edge <= WEEK_S}       # the most begins or ends at a step
    return max(since_monday(edge + seconds) - since_monday(edge) for edge in edges)


def boluses_nl(bolus: PatientBolus, seconds: int) -> Fraction:
    """The most nL of patient boluses in `seconds` (up to a day and a bucket), the first of them at its first second."""
    total, at, taken = Fraction(0), 0, []
    while at < seconds:
        total += min(Fraction(bolus.volume_nl), Fraction(bolus.rate_nl_day * (seconds - at), units.DAY_S))
        taken.append(at)
        at += ceil(Fraction(bolus.volume_nl * units.DAY_S, bolus.rate_nl_day)) + bolus.lockout_min * 60
        if len(taken) >= bolus.per_day:
            at = max(at, taken[-bolus.per_day] + units.DAY_S)
        if 0 < bolus.per_interval <= len(taken):
            at = max(at, taken[-bolus.per_interval] + bolus.interval_h * HOUR_S)
    return total


def check(program: Prescription, pulse_nl: int) -> None:
    """Raises RequestInvalid where any hour or any 24 h of the week, all patient boluses granted, hold more of a drug than its cap; names both."""
    bolus = program.patient_bolus
    for item, cap in zip(program.ingredients, program.guard.caps):
        for seconds, span, cap_ng in ((HOUR_S, "hour", cap.hour_ng), (units.DAY_S, "24 h", cap.day_ng)):
            volume = worst_nl(program, seconds + BUCKET_S) + boluses_nl(bolus, seconds + BUCKET_S) + PULSES * pulse_nl if bolus \
                else worst_nl(program, seconds)
            if item.dose_ng(volume) > cap_ng:
                raise RequestInvalid("the fullest %s of this program%s hold%s %s of %s; the cap is %s" % (
                    span, ", all patient boluses granted," if bolus else "", "" if span == "24 h" else "s", item.show_amount(item.dose_ng(volume)), item.name,
                    item.show_amount(cap_ng)), "dose")


def check_fallback(fallback: str, rate_nl_day: int, items: tuple[Ingredient, ...], dose_nl_day: int, least: str) -> None:
    """What the pump would say contradicts itself, named: a fallback of nothing behind a dangerous stop, or `dose_nl_day`, the rate that is still a dose.

    `least`: the lowest that it takes, in words. Raises RequestInvalid.
    """
    for item in items:
        if rate_nl_day == 0 and item.drug and item.drug.abrupt_stop_dangerous:
            raise RequestInvalid("fallback %r would stop %s abruptly, which is dangerous; it needs at least %s" % (fallback, item.name, least), "fallback")
    if rate_nl_day and rate_nl_day == dose_nl_day:
        raise RequestInvalid("fallback %r is the minimum rate, still a dose of this fill (its safe state is a stop); give at least %s" % (fallback, least), "fallback")
