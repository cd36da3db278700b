"""What a refill, a prime or a bridge would do to this patient, judged from what the pump has on record; nothing is sent here.

The pump keeps the drug of its *program* and not that of a fill: the moment of the refill is the only one at which both are known,
so it is here that they are compared. Scripts and the command line get the same sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Sequence

from ..protocol import catalogue
from . import units
from .drug_library import Drug
from .errors import RequestInvalid
from .fill import Bridge, Fill, discrepancy, mixed_ng_ml
from .implant import Implant
from .limits import check_bolus, check_daily, check_start
from .prescription import Ingredient, Prescription, show_flow
from .records import Event, Status

NL_PER_UL = 1000
DELIVERING = ("running", "priming")  # modes in which a fill is given at once


@dataclass(frozen=True)
class RefillReview:
    """What a clinician signs at a refill: the pump as it is, and every sentence about what the fill does to the running program."""

    status: Status
    running: Prescription | None
    implant: Implant
    warnings: list[str]


@dataclass(frozen=True)
class PrimeReview:
    """What a prime gives: `doses_ng` per drug if the catheter is drug-filled, `filled` whether the pump has it on record as filled."""

    doses_ng: dict[str, Fraction]
    filled: bool
    warnings: list[str]

    def text(self, program: Prescription | None) -> str:
        """'baclofen 187.5 ug' for each drug, or that nobody knows."""
        items = {item.name: item for item in program.ingredients} if program else {}
        return " + ".join("%s %s" % (name, _amount(items[name].drug, dose)) for name, dose in self.doses_ng.items()) or "not known: no program names the drug"


def _amount(drug: Drug | None, ng: Fraction) -> str:
    return drug.show_amount(ng) if drug else units.show(ng, units.DOSE)


# ---------------------------------------------------------------------------------------------------- refills
def refill_warnings(status: Status, program: Prescription | None, fill: Fill, implant: Implant, events: Sequence[Event]) -> list[str]:
    """Everything about a fill beside the running program: the fill itself, drug and dose, mixing, the bridge due, an odd withdrawn volume.

    Raises RequestInvalid at a hard limit: of the fill (fill.py), or of what the running rate would give of it from the catheter's end on.
    """
    warnings = fill.check(program.daily_dose_ng() if program else None)
    if program is not None:
        warnings += against_program(program, fill, status.mode in DELIVERING)
        warnings += _mixing(program, fill, implant)
        needed = bridge_for(program, fill.ingredients, implant.dead_volume_nl)
        if needed is not None:
            warnings.append("a bridge is due, %s: program the new concentration with --bridge (Programmer.bridge)" % needed.text())
    if fill.withdrawn_ul:
        expected_nl = max(0, status.reservoir_computed_nl - implant.residual_ul * NL_PER_UL)    # a syringe leaves the residual behind
        odd = discrepancy(expected_nl, fill.withdrawn_ul * NL_PER_UL, delivered_since_refill_nl(status, events, implant) or 0)
        if odd:
            warnings.append(odd)
    return warnings


def against_program(program: Prescription, fill: Fill, delivering: bool = True) -> list[str]:
    """The dose of each drug at the running rate, before and after. A pump that delivers nothing is warned about, never refused.

    Raises RequestInvalid naming drugs, concentrations and doses, old and new, above a daily or (a new drug) a starting hard limit.
    """
    old, rate_nl = {item.name: item for item in program.ingredients}, program.max_daily_nl()
    new = {item.name: item for item in fill.ingredients}
    warnings = ["ANOTHER DRUG: the running program gives %s, this fill holds none of it%s" % (
        _at(item, rate_nl), "; stopping it abruptly is dangerous: withdrawal" if item.drug and item.drug.abrupt_stop_dangerous else "")
        for name, item in old.items() if name not in new]
    for name, item in new.items():
        before = old.get(name)
        if before is not None and before.concentration_ng_ml == item.concentration_ng_ml:
            continue
        had = _at(before, rate_nl) if before else " + ".join(_at(each, rate_nl) for each in program.ingredients)
        sentence = "%s the running program gives %s; with this fill the same rate gives %s" % (
            "ANOTHER CONCENTRATION:" if before else "ANOTHER DRUG:", had, _at(item, rate_nl))
        try:
            found = _limits_of(item, rate_nl, before, fill.setting)
        except RequestInvalid as refused:
            if delivering:
                raise RequestInvalid("%s: %s; program this fill first, or stop the pump" % (sentence, refused), "concentration") from refused
            found = [str(refused)]
        warnings += [sentence, *found]
    return warnings


def _at(item: Ingredient, rate_nl: Fraction) -> str:
    return "%s %s of %s" % (item.show_dose(item.dose_ng(rate_nl)), item.name, item.show_concentration())


def _limits_of(item: Ingredient, rate_nl: Fraction, before: Ingredient | None, setting: str | None) -> list[str]:
    if item.drug is None:
        return []
    dose = item.dose_ng(rate_nl)
    return check_daily(item.drug, dose, setting) + (check_start(item.drug, dose, setting) if before is None else [])


def _mixing(program: Prescription, fill: Fill, implant: Implant) -> list[str]:
    old = {item.name: item.concentration_ng_ml for item in program.ingredients}
    notes = []
    for item in fill.ingredients:
        if old.get(item.name, 0) != item.concentration_ng_ml:
            mixed = mixed_ng_ml(fill.volume_ul * NL_PER_UL, item.concentration_ng_ml, old.get(item.name, 0), residual_nl=implant.residual_ul * NL_PER_UL)
            unit = item.drug.concentration_unit if item.drug else None
            notes.append("unrinsed, the residual makes it %s of %s" % (units.show(mixed, units.CONCENTRATION, unit, places=2), item.name))
    return notes


def delivered_since_refill_nl(status: Status, events: Sequence[Event], implant: Implant) -> int | None:
    """Ordered volume since the last refill in the log: what went in, over the residual, less what is computed to be left; never negative.

    The pump's very first fill finds no residual. None when the log holds no refill.
    """
    refills = [event for event in events if event.code == catalogue.E_REFILL]
    if not refills:
        return None
    first_ever = len(refills) == 1 and events[0].seq == 0
    held_nl = refills[-1].a * NL_PER_UL + (0 if first_ever else implant.residual_ul * NL_PER_UL)
    return max(0, held_nl - status.reservoir_computed_nl)


# ---------------------------------------------------------------------------------------------------- primes
def prime_review(status: Status, program: Prescription | None, implant: Implant, volume_nl: int, rate_nl_day: int) -> PrimeReview:
    """What a prime would give the patient if tubing and catheter hold drug and not air or saline.

    Raises RequestInvalid where the pump has the catheter on record as filled (it has ordered the dead volume) and the prime is no bridge but
    a bolus above the drug's single-bolus or daily limit. While it is not on record as filled the same limits only warn.
    """
    filled = status.ordered_nl >= implant.dead_volume_nl
    doses = {item.name: item.dose_ng(volume_nl) for item in program.ingredients} if program else {}
    fastest = max([status.rate_nl_day] + [step.rate_nl_day for pattern in program.patterns for step in pattern]) if program else 0
    if program is None or (volume_nl <= implant.dead_volume_nl and rate_nl_day <= fastest):
        return PrimeReview(doses, filled, [])
    warnings = []
    if filled:
        warnings.append("the catheter is on record as filled: the pump refuses a prime above its dead volume of %s or above the running rate of %s" % (
            units.show(implant.dead_volume_nl, units.VOLUME, "mL", places=6), show_flow(fastest)))
    for item in program.ingredients:
        if item.drug is None:
            continue
        try:
            warnings += check_bolus(item.drug, doses[item.name], program.setting)
            warnings += check_daily(item.drug, doses[item.name] + item.dose_ng(program.max_daily_nl()), program.setting)
        except RequestInvalid as refused:
            sentence = "a prime of %s into a drug-filled catheter gives the patient %s of %s in %s: %s" % (
                units.show(volume_nl, units.VOLUME, "mL", places=6), _amount(item.drug, doses[item.name]), item.name,
                units.duration_text(Fraction(volume_nl * units.DAY_S, rate_nl_day)), refused)
            if filled:
                raise RequestInvalid("the catheter is on record as filled; " + sentence, "volume") from refused
            warnings.append(sentence)
    return PrimeReview(doses, filled, warnings)


# ---------------------------------------------------------------------------------------------------- bridges
def bridge_for(program: Prescription | None, ingredients: tuple[Ingredient, ...], dead_volume_nl: int) -> Bridge | None:
    """The bridge that a new fill makes necessary: old drug in the dead volume at the running flat rate, or None without a change."""
    if program is None or {(i.name, i.concentration_ng_ml) for i in ingredients} == {(i.name, i.concentration_ng_ml) for i in program.ingredients}:
        return None
    rate = round(program.mean_daily_nl())
    return Bridge(dead_volume_nl, rate, Fraction(dead_volume_nl * units.DAY_S, rate)) if rate else None


def bridge_owed(events: Sequence[Event], program: Prescription, dead_volume_nl: int, now_s: int) -> Bridge | None:
    """The bridge of a program that was committed first while the line was lost before its bridge; None when none is owed.

    The log tells: a refill, then two programs of which the last is the running one and slower, and no prime since. What the new rate has
    pushed already is old drug too and is taken off.
    """
    told = [event for event in events if event.code in (catalogue.E_PROGRAM, catalogue.E_REFILL, catalogue.E_PRIME)]
    programs = [event for event in told if event.code == catalogue.E_PROGRAM]
    if len(programs) < 2 or told[-1] is not programs[-1] or told[-2].code != catalogue.E_REFILL:
        return None
    last, before = programs[-1], programs[-2]
    left_nl = dead_volume_nl - round(program.mean_daily_nl() * max(0, now_s - last.time_s) / units.DAY_S)
    rate = min(before.a, before.b)      # a day's volume is its flat rate; the pump bridges no faster than it ran
    if left_nl < NL_PER_UL or rate <= program.mean_daily_nl():
        return None
    return Bridge(left_nl, rate, Fraction(left_nl * units.DAY_S, rate))


def bridge_given(events: Sequence[Event], span: Bridge) -> bool:
    """Whether the log holds this very bridge since the last refill, not cut short: a lost line must not give it twice."""
    since = max((event.seq for event in events if event.code == catalogue.E_REFILL), default=-1)
    given = False
    for event in events:
        if event.code == catalogue.E_PRIME and event.seq > since:
            given = (event.a, event.b) == (span.volume_nl, span.rate_nl_day)
        elif event.code == catalogue.E_BOLUS_CUT:
            given = False
    return given


def contents_note(refills: Sequence[Event], programs: Sequence[Event]) -> str | None:
    """That the doses shown are the program's while the fill is younger than it: the pump keeps no drug of a fill. None when it is not."""
    if not refills or not programs or programs[-1].seq > refills[-1].seq:
        return None
    return "filled at %s, after the program was committed: doses hold only if that fill is what the program names (the pump keeps no drug of a fill)" % (
        units.pump_time_text(refills[-1].time_s))
