"""What a refill, a prime or a bridge would do to this patient, judged from what the pump has on record; nothing is sent here.

The pump compares the drugs of its program with those of the fill by itself (row 29); what that means in doses only the host can say, and does
before the syringe is touched. Scripts and the command line get the same sentences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Collection, Sequence

from ..protocol import catalogue
from . import caps, steady, units
from .bolus import LEAST_NL, no_bolus, volume_of
from .errors import PumpRefused, RequestInvalid
from .fill import Fill, discrepancy
from .implant import Implant
from .life import Contents
from .limits import Finding, check_daily, check_single, check_start
from .prescription import CEILING_NL_DAY, PULSE_NL, Bridge, Ingredient, Prescription, same_drugs, show_flow
from .records import Event, Status

NL_PER_UL = 1000
SINGLE_MOST_NL = 5_000_000  # of a clinician's bolus, protocol/catalogue.py
WINDOW_S = 300          # the pump closes its 24 h by so much (firmware/caps.py): their basal may be as much longer
DELIVERING = ("running", "priming", "bridging", "bolus", "paused")  # modes in which a fill is given at once, or when a pause has ended by itself


@dataclass(frozen=True)
class RefillReview:
    """What a clinician signs at a refill: the pump as it is, and every sentence about what the fill does to the running program.

    `before`: names of the drugs that were in the pump.
    """

    status: Status
    running: Prescription | None
    implant: Implant
    warnings: list[str]
    before: Collection[str]


@dataclass(frozen=True)
class PrimeReview:
    """What a prime of `volume_nl` gives: `doses_ng` per drug if the catheter is drug-filled, `filled` whether the pump has it on record as filled."""

    volume_nl: int
    doses_ng: dict[str, Fraction]
    filled: bool
    warnings: list[str]

    def text(self, program: Prescription | None) -> str:
        """'baclofen 187.5 ug' for each drug, or that nobody knows."""
        items = {item.name: item for item in program.ingredients} if program else {}
        return " + ".join("%s %s" % (name, items[name].show_amount(dose)) for name, dose in self.doses_ng.items()) or "not known: no program names the drug"


@dataclass(frozen=True)
class BolusReview:
    """What a clinician signs at a single bolus: nL over seconds on top of the program, the day with it and the boluses before it (each drug's dose), soft limits met.
    """

    volume_nl: int
    seconds: int
    day: str
    warnings: list[Finding]


def named(items: Sequence[Ingredient]) -> str:
    """'morphine 10 mg/mL + bupivacaine 20 mg/mL'."""
    return " + ".join("%s %s" % (item.name, item.show_concentration()) for item in items)


def standing(status: Status) -> list[Finding]:
    """The alarms that stand, most urgent first, with what the pump does about each; behind them those that have passed and that nobody has acknowledged."""
    active = {alarm.row for alarm in status.alarms}
    return [Finding("ALARM %d %s (priority %d): %s" % (alarm.row, alarm.name, alarm.priority, alarm.action)) for alarm in status.alarms] + [
        Finding("alarm %d %s has passed and is not acknowledged" % (alarm.row, alarm.name)) for alarm in status.latched if alarm.row not in active]


def cap_named(refusal: PumpRefused, status: Status, program: Prescription, volume_nl: Fraction | int, running: Prescription | None) -> PumpRefused:
    """A refusal for a hard cap with the drug, the window and the figures: the cap of `program` that `volume_nl` more in 24 h comes nearest to.

    Any other refusal is handed back as it is. What was delivered counts at the concentration of the program that ran.
    """
    if refusal.code != catalogue.R_CAP:
        return refusal
    old = {item.name: item for item in running.ingredients} if running else {}
    found = []
    for item, cap in zip(program.ingredients, program.guard.caps):
        for span, given_nl, cap_ng, more_nl in (("1 h", status.delivered_hour_nl, cap.hour_ng, Fraction(volume_nl, 24)),
                                                ("24 h", status.delivered_day_nl, cap.day_ng, Fraction(volume_nl))):
            given = old[item.name].dose_ng(given_nl) if item.name in old else Fraction(0)
            found.append(((given + item.dose_ng(more_nl)) / cap_ng, "%s: %s of %s were delivered in the last %s, the cap is %s in %s" % (
                refusal, item.show_amount(given), item.name, span, item.show_amount(cap_ng), span)))
    return PumpRefused(max(found)[1], refusal.code, refusal.field) if found else refusal


# ---------------------------------------------------------------------------------------------------- refills
def check_fits(fill: Fill, implant: Implant, now_s: int, first: bool) -> None:
    """Raises RequestInvalid for a fill above what the reservoir takes (a pump's very first finds no residual in it), and for a label that has expired."""
    most_ul = implant.capacity_ul - (0 if first else implant.residual_ul)
    if fill.volume_ul > most_ul:
        raise RequestInvalid("a fill of %s is more than the reservoir takes: %s over its residual" % (
            units.show(fill.volume_ul * NL_PER_UL, units.VOLUME, "mL", places=3), units.show(most_ul * NL_PER_UL, units.VOLUME, "mL", places=3)), "volume")
    if fill.expiry_s is not None and fill.expiry_s <= now_s:
        raise RequestInvalid("the drug expired on %s by its label; the pump's clock says %s" % (
            units.pump_time_text(fill.expiry_s)[:10], units.pump_time_text(now_s)), "expiry")
    if fill.next_refill_s is not None and fill.next_refill_s <= now_s:
        raise RequestInvalid("the next refill on %s is not ahead; the pump's clock says %s" % (
            units.pump_time_text(fill.next_refill_s), units.pump_time_text(now_s)), "next refill")


def refill_warnings(status: Status, program: Prescription | None, fill: Fill, implant: Implant, events: Sequence[Event]) -> list[str]:
    """Everything about a fill beside the running program: the fill itself, drug and dose, mixing, the bridge due, an odd withdrawn volume.

    Raises RequestInvalid at a hard limit: of the fill (fill.py), or of what the running rate would give of it from the catheter's end on.
    """
    warnings = fill.check(program.daily_dose_ng() if program else None)
    if program is not None:
        warnings += against_program(program, fill, status.mode in DELIVERING)
        if status.mode == "stopped" and not same_drugs(program.ingredients, fill.ingredients):
            warnings.append("the pump stays stopped until a program for this fill is committed: it refuses to resume the one that it has")
        warnings += _mixing(program, fill, implant)
        needed = bridge_for(program, fill.ingredients, old_drug_nl(status, implant, 0))
        if needed is not None:
            warnings.append(bridge_sentence(needed))
    expected_nl = max(0, status.reservoir_computed_nl - implant.residual_ul * NL_PER_UL)    # a syringe leaves the residual behind
    odd = discrepancy(expected_nl, fill.withdrawn_ul * NL_PER_UL, delivered_since_refill_nl(status, events, implant))
    if odd:
        nothing = "nothing was withdrawn where %s were expected: " % units.show(expected_nl, units.VOLUME, "mL", places=2)
        warnings.append(odd if fill.withdrawn_ul else nothing + odd.partition(": ")[2])
    return warnings


def against_program(program: Prescription, fill: Fill, delivering: bool = True) -> list[str]:
    """The dose of each drug at the running rate, before and after. A pump that is stopped by order is warned about, never refused: it will not
    resume before a program for this fill is committed. One that is paused goes on by itself.

    Raises RequestInvalid naming drugs, concentrations and doses, old and new, above a daily or (a new drug) a starting hard limit, or a cap of the program.
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
            caps.check(replace(program, ingredients=tuple(new.get(each.name, each) for each in program.ingredients)), PULSE_NL)
        except RequestInvalid as refused:
            if delivering:
                raise RequestInvalid("%s: %s; program this fill first, or stop the pump" % (sentence, refused), "concentration") from refused
            found = [Finding(refused)]
        warnings += [sentence, *found]
    return warnings


def _at(item: Ingredient, rate_nl: Fraction) -> str:
    return "%s %s of %s" % (item.show_dose(item.dose_ng(rate_nl)), item.name, item.show_concentration())


def _limits_of(item: Ingredient, rate_nl: Fraction, before: Ingredient | None, setting: str | None) -> list[Finding]:
    if item.drug is None:
        return []
    dose = item.dose_ng(rate_nl)
    return check_daily(item.drug, dose, setting) + (check_start(item.drug, dose, setting) if before is None else [])


def _mixing(program: Prescription, fill: Fill, implant: Implant) -> list[str]:
    old = {item.name: item.concentration_ng_ml for item in program.ingredients}
    notes = []
    for item in fill.ingredients:
        if old.get(item.name, 0) != item.concentration_ng_ml:
            mixed = fill.mixed_ng_ml(item, old.get(item.name, 0), implant.residual_ul * NL_PER_UL)
            unit = item.drug.concentration_unit if item.drug else None
            notes.append("%s, the residual makes it %s of %s" % (fill.rinsed_text(), units.show(mixed, units.CONCENTRATION, unit, places=2), item.name))
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


ABRUPT_S = 6 * 3600     # without delivery by order until alarm 16, where an abrupt stop is dangerous (alarms.md 2)


# ---------------------------------------------------------------------------------------------------- primes
PARTS = ("tubing", "catheter", "both")      # wire value = index + 1


def part_nl(implant: Implant, what: str) -> int:
    """The volume of a part to prime. Raises RequestInvalid for an unknown part."""
    if what not in PARTS:
        raise RequestInvalid("part %r is none of: %s" % (what, ", ".join(PARTS)), "what")
    return {"tubing": implant.tubing_nl, "catheter": implant.dead_volume_nl - implant.tubing_nl, "both": implant.dead_volume_nl}[what]


def empty_nl(status: Status, implant: Implant, what: str) -> int:
    """What is still empty of a part, as far as the pump's pulses tell: all that it ever ordered went into the line until that was full.

    A catheter that is on record as empty behind more pulses than the line holds was emptied, and the tubing before it was not. Raises RequestInvalid where
    nothing of the part is empty.
    """
    pushed_nl, part = status.pulses * status.pulse_nl, part_nl(implant, what)
    if status.catheter_filled and what != "tubing":
        return part     # refused by name: see prime_review
    line_nl = pushed_nl if pushed_nl < implant.dead_volume_nl else implant.tubing_nl
    left_nl = min(part, max(0, implant.dead_volume_nl - line_nl)) if what != "tubing" else max(0, implant.tubing_nl - line_nl)
    if left_nl == 0:
        raise RequestInvalid("the %s holds drug already: nothing of it is to be primed" % what, "what")
    return left_nl


def prime_due(status: Status, implant: Implant) -> str | None:
    """The part that must be primed before drug can reach the patient, None where the catheter holds drug."""
    if status.catheter_filled:
        return None
    return "both" if status.pulses * status.pulse_nl < implant.tubing_nl else "catheter"


def dry_line(status: Status, program: Prescription | None, implant: Implant | None) -> list[Finding]:
    """That the catheter is on record as empty, and how long `program` would take to fill it; nothing while a prime runs."""
    part = prime_due(status, implant) if implant is not None else None
    if part is None or implant is None or status.extra == "prime":
        return []
    left_nl, rate_nl = empty_nl(status, implant, part), program.mean_daily_nl() if program else 0
    takes = " (%s at the program's rate)" % units.duration_text(round(left_nl * units.DAY_S / rate_nl / 60) * 60) if rate_nl else ""
    return [Finding("the catheter is on record as EMPTY: no drug reaches the patient before %s have filled it%s; prime it (%s) first" % (
        units.show(left_nl, units.VOLUME, "mL", places=3), takes, part))]


def prime_review(status: Status, program: Prescription | None, implant: Implant, what: str, volume_nl: int) -> PrimeReview:
    """What a prime would give the patient if the catheter held drug and not air or saline.

    Raises RequestInvalid where the pump has the catheter on record as drug-filled and more than the tubing is to be primed (alarms.md 3), and for
    more than the part holds.
    """
    filled = status.catheter_filled
    doses = {item.name: item.dose_ng(volume_nl) for item in program.ingredients} if program else {}
    if volume_nl > part_nl(implant, what) + NL_PER_UL:
        raise RequestInvalid("prime of %s is more than %s holds: %s" % (
            units.show(volume_nl, units.VOLUME, "mL", places=6), "tubing and catheter" if what == "both" else "the " + what,
            units.show(part_nl(implant, what), units.VOLUME, "mL", places=6)), "volume")
    review = PrimeReview(volume_nl, doses, filled, [])
    if filled and what != "tubing":
        raise RequestInvalid("the catheter is on record as drug-filled: priming it would give the patient %s at once; record an aspiration or a "
                             "catheter revision first, or bridge" % review.text(program), "what")
    return review


# ---------------------------------------------------------------------------------------------------- bridges
def old_drug_nl(status: Status, implant: Implant, pushed_nl: int) -> int:
    """What the line needs to give before a fill's drug is at the tip, `pushed_nl` behind that fill: what it still holds of the old one.

    The same where the catheter was emptied and the tubing was not: it takes as much before anything reaches the tip. 0 for a line that never held any.
    """
    if not status.catheter_filled and status.pulses == 0:
        return 0
    return max(0, implant.dead_volume_nl - pushed_nl)


def pushed_since_fill_nl(status: Status, contents: Contents | None, implant: Implant) -> int:
    """Ordered since the fill on record, which was none of the pump's first; nothing where no fill is on record."""
    if contents is None:
        return 0
    return max(0, (contents.volume_ul + implant.residual_ul) * NL_PER_UL - status.reservoir_computed_nl)


def bridge_for(program: Prescription | None, ingredients: tuple[Ingredient, ...], volume_nl: int) -> Bridge | None:
    """The bridge that a new fill makes necessary: `volume_nl` of old drug in the line at the running flat rate, or None without a change or a volume."""
    if program is None or not volume_nl or same_drugs(ingredients, program.ingredients):
        return None
    rate = round(program.mean_daily_nl())
    return Bridge(volume_nl, rate) if rate else None


BRIDGE_SAID = "a bridge is due, "


def bridge_sentence(needed: Bridge) -> str:
    """What a refill says of the bridge that must follow it."""
    return BRIDGE_SAID + "%s: program the new concentration with --bridge (Programmer.bridge)" % needed.text()


def beyond_basal_nl(program: Prescription, status: Status) -> int:
    """What the last 24 h hold beyond the program's largest day and the patient's own boluses, which that program counts: boluses of clinicians, and of a program before.
    """
    patient_nl = status.boluses_granted * program.patient_bolus.volume_nl if program.patient_bolus else 0
    basal_nl = program.max_daily_nl() * Fraction(units.DAY_S + WINDOW_S, units.DAY_S) + status.pulse_nl
    return max(0, int(status.delivered_day_nl - patient_nl - basal_nl))


def boluses_nl(events: Sequence[Event], now_s: int) -> int:
    """What clinicians' boluses of the last 24 h gave, by the log: the rest of one that was cut is not counted."""
    given_nl, ours = 0, False
    for event in events:
        if event.code == catalogue.E_BOLUS:
            ours = catalogue.EXTRAS[event.cause] == "bolus" and steady.age_s(events, event, now_s) < units.DAY_S
            given_nl += event.a if ours else 0
        elif event.code == catalogue.E_BOLUS_CUT and ours:
            given_nl, ours = given_nl - event.a, False
    return given_nl


def single_bolus(program: Prescription, dose: str, over: str, given_nl: int = 0) -> BolusReview:
    """A clinician's single bolus of the program's first drug; `given_nl`: what the last 24 h hold of such boluses before it.

    It is a soft limit above what is usual (limits.check_single), and where the day with it is above a usual day. Raises RequestInvalid for a duration
    outside 30 s .. 24 h, a volume outside 0.2 uL .. 5 mL, a day with it that breaks a hard limit of any drug, a drug that the library gives no bolus of,
    and basal and bolus together above the head's rate.
    """
    seconds, first = units.duration_s(over, "over"), program.ingredients[0]
    no_bolus(program.ingredients)
    if not 30 <= seconds <= units.DAY_S:
        raise RequestInvalid("bolus over %r is outside 30 s .. 24 h" % over, "over")
    volume_nl = volume_of(first, dose, "bolus", LEAST_NL, SINGLE_MOST_NL)
    day_nl = program.worst_daily_nl() + given_nl + volume_nl
    found: list[Finding] = []
    for item in program.ingredients:
        if item.drug is not None:
            found += check_single(item.drug, item.dose_ng(volume_nl), item.dose_ng(given_nl), item.dose_ng(program.max_daily_nl()))
            found += check_daily(item.drug, item.dose_ng(day_nl), program.setting)
    rate = max(step.rate_nl_day for pattern in program.patterns for step in pattern) + -(-volume_nl * units.DAY_S // seconds)
    if rate > CEILING_NL_DAY:
        raise RequestInvalid("basal and bolus together run at %s; the head gives %s" % (show_flow(rate), show_flow(CEILING_NL_DAY)), "over")
    return BolusReview(volume_nl, seconds, " + ".join("%s %s" % (item.name, item.show_dose(item.dose_ng(day_nl))) for item in program.ingredients), found)


# ---------------------------------------------------------------------------------------------------- the clock
def clock_warnings(program: Prescription | None, old_s: int, new_s: int, lost: bool = False) -> list[str]:
    """What a clock that goes from `old_s` to `new_s` does to steps and doses; nothing for one rate all week.

    The clock is wrong, not the dose (regimens.md B2): back, the pump gives no step twice (firmware/schedule.py); ahead, what it leaps over is not
    given, and what comes next is nearer to what was given last. `lost`: row 12 stands, so that an even rate was given and no step.
    """
    if program is None or old_s == new_s or len({step.rate_nl_day for pattern in program.patterns for step in pattern}) == 1:
        return []
    even_until_s = min(old_s, new_s + units.DAY_S) if new_s < old_s and not lost else new_s
    way = "later" if new_s < old_s else "earlier"
    before, after = program.next_step_s(old_s), program.next_step_s(even_until_s)
    told = ["the program's steps move: they come %s %s than by the old clock" % (units.duration_text(abs(new_s - old_s)), way),
            "the next step (%s) comes in %s; by the old clock the next one was %s in %s" % (
                units.pump_time_text(after)[11:16], units.duration_text(after - new_s), units.pump_time_text(before)[11:16], units.duration_text(before - old_s))]
    rates = program.rate_at(old_s), program.rate_at(new_s)
    if even_until_s > new_s:
        rates = rates[0], int(program.daily_nl(new_s // units.DAY_S % 7))
        told.append("no step is given twice: until the pump's clock shows %s the day's dose runs evenly" % units.pump_time_text(even_until_s))
    elif new_s > old_s:
        skipped = min(old_s + units.DAY_S, new_s)
        told.append("what lies between is leapt over: %s is not given%s, and what comes next is so much nearer to what was given last" % (
            units.show(_due_nl(program, old_s, skipped), units.VOLUME, "mL", places=3), "" if skipped == new_s else " of the first day"))
    if rates[0] != rates[1]:
        told.append("the rate changes at once, from %s to %s" % (show_flow(rates[0]), show_flow(rates[1])))
    return told


def _due_nl(program: Prescription, at_s: int, until_s: int) -> Fraction:
    """What the steps between two pump times give."""
    total = Fraction(0)
    while at_s < until_s:
        end_s = min(until_s, program.next_step_s(at_s))
        total += Fraction(program.rate_at(at_s) * (end_s - at_s), units.DAY_S)
        at_s = end_s
    return total


def stop_warnings(program: Prescription | None) -> list[str]:
    """What a stop or a pause does to this patient."""
    return ["stopping %s abruptly is dangerous: withdrawal" % item.name for item in (program.ingredients if program else ())
            if item.drug and item.drug.abrupt_stop_dangerous]
