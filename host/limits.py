"""A program against the drug library: hard limits refuse with one sentence, soft limits warn.

What a limit means depends on where the patient stands: `Baseline` says which dose runs now and since when. Without one the
program is a first one and the starting limits bind; with one the step limits do. Intervals have an hour's grace, because visits
are not kept to the minute [judgement of this project].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from . import caps, units
from .bolus import USUAL_SHARE
from .drug_library import Drug, Setting
from .errors import RequestInvalid
from .prescription import PULSE_NL, Prescription, show_flow

GRACE_S = 3600
PULSE_SHARE = Fraction(1, 100)  # of a day's dose: a coarser pulse is worth a warning (regimens.md 6)
SOFT_LIMITS = ("no bridge", "step", "daily dose", "starting dose", "patient bolus")     # bit 0, 1 ...: the program's `overrides` (PROTOCOL.md)
NO_BRIDGE, STEP, DAILY, START, BOLUS = (1 << number for number in range(len(SOFT_LIMITS)))
OVERRIDE_REASONS = ("none", "clinical judgement", "dose reached before", "palliative care", "trial result", "emergency")


class Finding(str):
    """A sentence about a program. `bit` names the soft limit it breaks (SOFT_LIMITS): it must be overridden, with a reason; 0: to be read only."""

    bit: int = 0

    @classmethod
    def soft(cls, bit: int, text: str) -> Finding:
        found = cls(text)
        found.bit = bit
        return found


def overridden(found: list[Finding]) -> int:
    """The bits of all soft limits in a list of findings."""
    bits = 0
    for finding in found:
        bits |= finding.bit
    return bits


@dataclass(frozen=True)
class Baseline:
    """Where the patient stands: ng/day per drug now (empty: no therapy yet), seconds since the last change, whole days of therapy.

    `granted_ng_day` is the day with every patient bolus granted, `lockout_min` theirs. None means not known; a rule that needs an unknown figure is skipped and says so
    in a warning.
    """

    doses_ng_day: dict[str, Fraction] = field(default_factory=dict)
    since_change_s: int | None = None
    therapy_day: int | None = None
    granted_ng_day: dict[str, Fraction] = field(default_factory=dict)
    lockout_min: int | None = None

    @classmethod
    def of(cls, running: Prescription | None, since_change_s: int | None = None, therapy_day: int | None = None) -> Baseline:
        """The baseline that a running program makes (largest weekday)."""
        if running is None:
            return cls({}, since_change_s, therapy_day)
        return cls(running.daily_dose_ng(), since_change_s, therapy_day, _granted_ng(running), running.patient_bolus.lockout_min if running.patient_bolus else None)


def check(program: Prescription, baseline: Baseline | None = None, *, pulse_nl: int = PULSE_NL) -> list[Finding]:
    """Findings about a program, soft limits among them; raises RequestInvalid at the first hard limit it breaks, naming the drug, the dose and the bound.

    The bounds are those of each drug of the fill in the program's setting; the largest weekday counts.
    """
    baseline = baseline or Baseline()
    warnings: list[Finding] = []
    for item in program.ingredients:
        if item.drug is None:
            warnings.append(Finding("%s is not in the library: its doses are not checked" % item.name))
            continue
        dose = program.daily_dose_ng()[item.name]
        limits = item.drug.setting(program.setting)
        warnings += _against(item.drug, "daily dose", dose, limits.dose_soft, limits.dose_hard, limits, DAILY)
        warnings += _check_granted(program, item.dose_ng(1), dose, item.drug, limits)
        warnings += _check_ceiling(item.drug, dose, limits, baseline)
        running = baseline.doses_ng_day.get(item.name)
        if running:
            found = _check_step("step", item.drug, dose, running, limits, baseline)
            day, before = _granted_ng(program)[item.name], baseline.granted_ng_day.get(item.name, running)
            if program.patient_bolus and day > before and not overridden(found) & STEP:
                found += _check_step("step of the day with all patient boluses,", item.drug, day, before, limits, baseline)
            warnings += found
        else:
            warnings += _against(item.drug, "starting dose", dose, limits.start_soft, limits.start_hard, limits, START)
    if program.patient_bolus and program.patient_bolus.lockout_min < (baseline.lockout_min or 0):
        warnings.append(Finding.soft(BOLUS, "lockout of %s is shorter than the %s that the patient has now" % (
            units.duration_text(program.patient_bolus.lockout_min * 60), units.duration_text((baseline.lockout_min or 0) * 60))))
    caps.check(program, pulse_nl)
    if program.max_daily_nl() * PULSE_SHARE < pulse_nl:
        warnings.append(Finding("one pulse of %s is more than 1 %% of the day's volume of %s" % (
            units.show(pulse_nl, units.VOLUME, "uL"), units.show(program.max_daily_nl(), units.VOLUME, "mL"))))
    if program.rounding_ng_day():
        first = program.ingredients[0]
        warnings.append(Finding("%s is rounded to whole nL/day (%s): %s is delivered" % (
            first.show_dose(program.asked_ng_day or 0), show_flow(program.patterns[0][0].rate_nl_day), program.dose_text())))
    return warnings


def _check_granted(program: Prescription, ng_nl: Fraction, basal_ng: Fraction, drug: Drug, limits: Setting) -> list[Finding]:
    """The day with every patient bolus granted, against the hard limit; a bolus above a fifth of the daily dose is unusual."""
    bolus = program.patient_bolus
    if bolus is None:
        return []
    each = bolus.volume_nl * ng_nl
    found = _against(drug, "day with all patient boluses", basal_ng + bolus.most_a_day * each, limits.dose_soft, limits.dose_hard, limits, DAILY)
    if each > basal_ng * USUAL_SHARE:
        found.append(Finding.soft(BOLUS, "patient bolus of %s %s is %s %% of the daily dose, above the usual %s %%" % (
            drug.name, drug.show_amount(each), units.decimal_text(each * 100 / basal_ng, 1), units.decimal_text(USUAL_SHARE * 100))))
    return found


def check_bolus(drug: Drug, dose_ng: Fraction, setting: str | None = None) -> list[str]:
    """Warnings about a single bolus, trial punctures included; raises RequestInvalid above the hard limit or where none is published."""
    limits = drug.setting(setting)
    if limits.bolus_hard is None:
        raise RequestInvalid("the library has no bolus of %s in the setting %r" % (drug.name, limits.name), "dose")
    if dose_ng > limits.bolus_hard:
        raise RequestInvalid("bolus of %s %s is above the hard limit of %s (setting %s)" % (
            drug.name, drug.show_amount(dose_ng), drug.show_amount(limits.bolus_hard), limits.name), "dose")
    if limits.bolus_soft is not None and dose_ng > limits.bolus_soft:
        return ["bolus of %s %s is above the usual limit of %s" % (
            drug.name, drug.show_amount(dose_ng), drug.show_amount(limits.bolus_soft))]
    return []


def check_single(drug: Drug, dose_ng: Fraction, given_ng: Fraction, basal_ng_day: Fraction) -> list[Finding]:
    """A clinician's bolus on top of a therapy: with the `given_ng` that the last 24 h hold beyond the basal it is held to a fifth of the daily dose,
    or to the usual single dose of a trial where that is more (the library's punctures stand 24 h apart as well)."""
    trial = drug.settings["trial"].bolus_soft if "trial" in drug.settings else None
    share = basal_ng_day * USUAL_SHARE
    usual, named = (trial, "single dose of a trial") if trial is not None and trial > share else (
        share, "%s %% of the daily dose" % units.decimal_text(USUAL_SHARE * 100))
    if dose_ng + given_ng <= usual:
        return []
    with_it = " makes %s with the %s given beyond the basal in the last 24 h:" % (drug.show_amount(dose_ng + given_ng), drug.show_amount(given_ng)) if given_ng else " is"
    return [Finding.soft(BOLUS, "single bolus of %s %s%s above the usual %s, %s" % (
        drug.name, drug.show_amount(dose_ng), with_it, named, drug.show_amount(usual)))]


def check_daily(drug: Drug, dose_ng_day: Fraction, setting: str | None = None) -> list[Finding]:
    """Warnings about a dose of 24 h; raises RequestInvalid above the hard limit."""
    limits = drug.setting(setting)
    return _against(drug, "daily dose", dose_ng_day, limits.dose_soft, limits.dose_hard, limits, DAILY)


def check_start(drug: Drug, dose_ng_day: Fraction, setting: str | None = None) -> list[Finding]:
    """Warnings about a first dose of a drug; raises RequestInvalid above the hard limit."""
    limits = drug.setting(setting)
    return _against(drug, "starting dose", dose_ng_day, limits.start_soft, limits.start_hard, limits, START)


def _against(drug: Drug, what: str, dose: Fraction, soft: Fraction | None, hard: Fraction | None, limits: Setting, bit: int) -> list[Finding]:
    if hard is not None and dose > hard:
        raise RequestInvalid("%s of %s %s is above the hard limit of %s (setting %s)" % (
            what, drug.name, drug.show_dose(dose), drug.show_dose(hard), limits.name), "dose")
    if soft is not None and dose > soft:
        return [Finding.soft(bit, "%s of %s %s is above the usual limit of %s (setting %s)" % (
            what, drug.name, drug.show_dose(dose), drug.show_dose(soft), limits.name))]
    return []


def has_ceiling(program: Prescription) -> bool:
    """Whether any drug of the program has a dose that may not be reached before a day of therapy."""
    return any(item.drug is not None and item.drug.setting(program.setting).ceiling_not_before is not None for item in program.ingredients)


def _check_ceiling(drug: Drug, dose: Fraction, limits: Setting, baseline: Baseline) -> list[Finding]:
    """Doses above the last whole step below a ceiling are not for before a day of therapy (ziconotide: 19.2 ug/day not before day 21, so 16.8 till then)."""
    if limits.ceiling_not_before is None or dose <= limits.dose_hard - (limits.step_hard or 0):
        return []       # up to the last step below it: one more, of any size, is the way to the ceiling
    first_day = limits.ceiling_not_before // units.DAY_S
    if baseline.therapy_day is None:
        return [Finding("%s %s is above %s, which must not be passed before day %d; the day of therapy is not known" % (
            drug.name, drug.show_dose(dose), drug.show_dose(limits.dose_hard - (limits.step_hard or 0)), first_day))]
    if baseline.therapy_day < first_day:
        raise RequestInvalid("%s %s is above %s, which must not be passed before day %d of therapy; this is day %d" % (
            drug.name, drug.show_dose(dose), drug.show_dose(limits.dose_hard - (limits.step_hard or 0)), first_day, baseline.therapy_day), "dose")
    return []


def _granted_ng(program: Prescription) -> dict[str, Fraction]:
    return {item.name: item.dose_ng(program.worst_daily_nl()) for item in program.ingredients}


def _check_step(what: str, drug: Drug, dose: Fraction, running: Fraction, limits: Setting, baseline: Baseline) -> list[Finding]:
    """Rises are bound in size and in frequency; falls only warn, and only where an abrupt fall is dangerous."""
    change = dose - running
    warnings: list[Finding] = []
    share = abs(change) * 100 / running
    if change > 0 and limits.step_hard is not None and change > limits.step_hard:
        raise RequestInvalid("%s of %s from %s to %s is above the hard limit of %s a step" % (
            what, drug.name, drug.show_dose(running), drug.show_dose(dose), drug.show_dose(limits.step_hard)), "dose")
    if limits.step_soft is not None and share > limits.step_soft and (change > 0 or drug.abrupt_stop_dangerous):
        warnings.append(Finding.soft(STEP, "%s of %s from %s to %s is %s %%, above the usual %s %%" % (
            what, drug.name, drug.show_dose(running), drug.show_dose(dose), units.decimal_text(change * 100 / running, 1),
            units.decimal_text(limits.step_soft, 1))))
    if change > 0 and baseline.since_change_s is not None:
        since = baseline.since_change_s
        sentence = "last change of %s was %s ago" % (drug.name, units.duration_text(since))
        if limits.step_interval_hard is not None and since + GRACE_S < limits.step_interval_hard:
            raise RequestInvalid("%s; a rise needs %s" % (sentence, units.duration_text(limits.step_interval_hard)), "dose")
        if limits.step_interval_soft is not None and since + GRACE_S < limits.step_interval_soft:
            warnings.append(Finding.soft(STEP, "%s; usual is %s between rises" % (sentence, units.duration_text(limits.step_interval_soft))))
    return warnings
