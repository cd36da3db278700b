"""What a clinician orders, as exact numbers: drugs at concentrations, a weekly pattern of rates, a fallback rate and a safe state.

A dose becomes a whole number of nL/day once, here; the daily dose shown is computed back from that integer, so the rounding is
seen and signed and never hidden. The first drug named carries the dose; others in the same fill follow at their concentration,
because one knob moves them all (regimens.md X1).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Iterable, Mapping

from ..protocol import catalogue
from . import drug_library, units
from .bolus import PatientBolus, no_bolus
from .caps import Cap, caps_of, check_fallback, library_crc
from .drug_library import Drug
from .errors import RequestInvalid
from .texts import wire_text

FLOOR_NL_DAY = 48_000  # 0.048 mL/day, lowest programmable therapy rate (clinical.md 1.1)
CEILING_NL_DAY = 24_000_000  # 24 mL/day, highest rate of the head (clinical.md 1.1)
MINIMUM_NL_DAY = 6_000  # 0.006 mL/day, minimum rate mode (clinical.md 1.1)
MAX_STEPS_A_DAY = 13  # flex steps (clinical.md 1.1)
MAX_DRUGS = 3  # what a program block can name (protocol/catalogue.py)
NL_PER_ML = 10**6
FALLBACK_SHARE = Fraction(1, 2)  # of the flat rate where an abrupt stop is dangerous (alarms.md 1)
MIN_DOSE_SHARE = Fraction(1, 4)  # of the starting dose: above it the safe state is STOP (alarms.md 1)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # pump epoch is a Monday
PULSE_NL = 1000  # the reference pulse of 1 uL (DESIGN 3)
MAX_BOLUSES_A_DAY = 12  # of a periodic program (protocol/catalogue.py)
GRACE_H = 1  # visits are not kept to the minute: the pump's step interval is an hour shorter than the library's [judgement of this project]

SIMPLE, FLEX, PERIODIC, MINIMUM = "simple", "flex", "periodic", "minimum"
SAFE_MINIMUM, SAFE_STOP = "minimum", "stop"


@dataclass(frozen=True)
class Ingredient:
    """One drug in the fill: its name, whole ng/mL as on the wire, and its library entry (None: the pump names a drug we do not know)."""

    name: str
    concentration_ng_ml: int
    drug: Drug | None = field(repr=False)

    def dose_ng(self, volume_nl: Fraction | int) -> Fraction:
        """Mass in a volume, or ng/day in nL/day."""
        return Fraction(volume_nl) * self.concentration_ng_ml / NL_PER_ML

    def show_dose(self, ng_day: Fraction | int) -> str:
        return self.drug.show_dose(ng_day) if self.drug else units.show(ng_day, units.DOSE_RATE)

    def show_amount(self, ng: Fraction | int) -> str:
        return self.drug.show_amount(ng) if self.drug else units.show(ng, units.DOSE)

    def show_concentration(self) -> str:
        return (self.drug.show_concentration(self.concentration_ng_ml) if self.drug
                else units.show(self.concentration_ng_ml, units.CONCENTRATION))


@dataclass(frozen=True)
class Step:
    """From this second of the day on (whole minutes) at this rate."""

    from_s: int
    rate_nl_day: int


Pattern = tuple[Step, ...]


def ingredients_of(
    drug: str, concentration: str, also: Mapping[str, str] | None = None, library: dict[str, Drug] | None = None
) -> tuple[Ingredient, ...]:
    """The drugs of a fill: the first with its concentration, then `also` {drug: concentration}.

    Raises RequestInvalid for an unknown drug, a missing unit, a concentration of zero or finer than 1 ng/mL, a drug named twice,
    or more drugs than a program can name.
    """
    library = drug_library.load() if library is None else library
    named = [(drug, concentration), *(also or {}).items()]
    if len(named) > MAX_DRUGS:
        raise RequestInvalid("%d drugs in one fill; a program can name at most %d" % (len(named), MAX_DRUGS), "drug")
    found: list[Ingredient] = []
    for name, text in named:
        entry = drug_library.find(name, library)
        strength = units.concentration_ng_ml(text, "concentration of %s" % name)
        if strength.denominator != 1 or strength <= 0:
            raise RequestInvalid("concentration of %s %r must be a whole number of ng/mL above 0" % (name, text), "concentration")
        if any(other.name == entry.name for other in found):
            raise RequestInvalid("drug %r is named twice in one fill" % name, "drug")
        found.append(Ingredient(entry.name, int(strength), entry))
    return tuple(found)


def same_drugs(some: Iterable[Ingredient], others: Iterable[Ingredient]) -> bool:
    """Whether both hold the same drugs at the same concentrations, in any order."""
    held, wanted = ({(item.name, item.concentration_ng_ml) for item in items} for items in (some, others))
    return held == wanted


def rate_for(dose_ng_day: Fraction, ingredient: Ingredient) -> int:
    """The whole nL/day nearest to a dose of one drug (half to even). Raises RequestInvalid outside 0.048 .. 24 mL/day."""
    rate = round(dose_ng_day * NL_PER_ML / ingredient.concentration_ng_ml)
    if not FLOOR_NL_DAY <= rate <= CEILING_NL_DAY:
        raise RequestInvalid(
            "%s of %s at %s is %s; the pump delivers %s .. %s" % (
                ingredient.show_dose(dose_ng_day), ingredient.name, ingredient.show_concentration(), show_flow(rate),
                show_flow(FLOOR_NL_DAY), show_flow(CEILING_NL_DAY)),
            "dose",
        )
    return rate


def show_flow(rate_nl_day: Fraction | int) -> str:
    """'0.3 mL/day', six decimals at most: every nanolitre is seen."""
    return units.show(rate_nl_day, units.FLOW, "mL/day", places=6)


def default_safety(ingredients: Iterable[Ingredient], flat_nl_day: Fraction, setting: str | None = None) -> tuple[int, str]:
    """Fallback rate (nL/day) and safe state by the rules of alarms.md 1, for the flat 24 h rate of a program.

    Safe state is STOP when the minimum rate still gives more than 25 % of a starting dose of any drug, or of a drug unknown here.
    Fallback is half the flat rate when an abrupt stop of any drug is dangerous, else the safe state's rate; always a rate the head delivers.
    """
    dangerous, stop = False, False
    for item in ingredients:
        dangerous = dangerous or (item.drug is not None and item.drug.abrupt_stop_dangerous)
        start = _start_dose(item.drug, setting)
        stop = stop or start is None or item.dose_ng(MINIMUM_NL_DAY) > start * MIN_DOSE_SHARE
    safe = SAFE_STOP if stop else SAFE_MINIMUM
    if dangerous:
        # Below the floor only the minimum rate exists: half of a small dose is rounded up to the floor, the lesser withdrawal.
        lowest = FLOOR_NL_DAY if flat_nl_day >= FLOOR_NL_DAY else MINIMUM_NL_DAY
        return max(lowest, round(flat_nl_day * FALLBACK_SHARE)), safe
    return (0 if stop else MINIMUM_NL_DAY), safe


def _start_dose(drug: Drug | None, setting: str | None) -> Fraction | None:
    """The least usual starting dose (ng/day): of this setting, else (trial) of the drug's default one."""
    if drug is None:
        return None
    return drug.setting(setting).start_min or drug.setting().start_min


@dataclass(frozen=True)
class Bridge:
    """Old drug in tubing and catheter, to be given at the old rate before the new rate starts."""

    volume_nl: int
    rate_nl_day: int

    @property
    def duration_s(self) -> Fraction:
        """Seconds that the volume takes at the rate."""
        return Fraction(self.volume_nl * units.DAY_S, self.rate_nl_day)

    def text(self) -> str:
        return "%s of old drug at %s: %s" % (
            units.show(self.volume_nl, units.VOLUME, "mL", places=6), show_flow(self.rate_nl_day), units.duration_text(self.duration_s))


@dataclass(frozen=True)
class Guard:
    """What the pump holds a program to by itself: caps per drug, the largest rise (% of the running dose) and the hours between rises; 0: none.

    `abrupt_stop`: an abrupt stop of a drug is dangerous. `overrides`: bits of the soft limits that were met and overridden
    (limits.SOFT_LIMITS), `why`: one of limits.OVERRIDE_REASONS.
    """

    caps: tuple[Cap, ...] = ()
    library_crc: int = 0
    step_pct: int = 0
    step_interval_h: int = 0
    abrupt_stop: bool = False
    overrides: int = 0
    why: str = "none"


@dataclass(frozen=True)
class Prescription:
    """One therapy program, ready to be checked, shown and sent; made by `simple`, `flex`, `periodic` or `minimum_rate`.

    `patient_bolus` and `bridge` are added by `with_bolus` and `with_bridge`.
    """

    mode: str
    ingredients: tuple[Ingredient, ...]
    patterns: tuple[Pattern, ...]
    weekdays: tuple[int, ...]  # pattern number of Monday .. Sunday
    fallback_nl_day: int
    safe_state: str
    setting: str | None = None
    editor: str = ""
    asked_ng_day: Fraction | None = None  # simple: the dose as typed, before rounding to whole nL/day
    patient_bolus: PatientBolus | None = None
    bridge: Bridge | None = None
    guard: Guard = Guard()

    @classmethod
    def simple(cls, drug: str, *, concentration: str, dose: str, also: Mapping[str, str] | None = None, **options: Any) -> Prescription:
        """One rate all day: `simple('baclofen', concentration='500 ug/mL', dose='150 ug/day')`.

        Options: setting, fallback ('0.15 mL/day'), editor, library. Raises RequestInvalid (see `ingredients_of`, `rate_for`).
        """
        items = ingredients_of(drug, concentration, also, options.get("library"))
        asked = units.dose_rate_ng_day(dose, "dose")
        return cls._build(SIMPLE, items, ((Step(0, rate_for(asked, items[0])),),), (0,) * 7, asked_ng_day=asked, **options)

    @classmethod
    def minimum_rate(cls, drug: str, *, concentration: str, also: Mapping[str, str] | None = None, **options: Any) -> Prescription:
        """The minimum rate of 0.006 mL/day all day, which is a starting dose for some fills and a withdrawal for others."""
        items = ingredients_of(drug, concentration, also, options.get("library"))
        return cls._build(MINIMUM, items, ((Step(0, MINIMUM_NL_DAY),),), (0,) * 7, **options)

    @classmethod
    def periodic(
        cls, drug: str, *, concentration: str, dose: str, times: Iterable[str], over: str, basal: str = "minimum",
        also: Mapping[str, str] | None = None, **options: Any,
    ) -> Prescription:
        """A daily dose as equal boluses on a basal rate: `periodic('baclofen', concentration='2000 ug/mL', dose='400 ug/day',
        times=['00:00', '06:00', '12:00', '18:00'], over='30 min')`.

        What the basal rate gives is taken off first: (400 - 12) / 4 = 97 ug a bolus (regimens.md B3). `basal` is 'minimum' or a dose a day. Raises
        RequestInvalid for no or more than 12 times, boluses that meet or pass midnight, a dose below the basal's, and as `simple` does.
        """
        items = ingredients_of(drug, concentration, also, options.get("library"))
        no_bolus(items)
        basal_nl = MINIMUM_NL_DAY if basal == "minimum" else rate_for(units.dose_rate_ng_day(basal, "basal"), items[0])
        asked = units.dose_rate_ng_day(dose, "dose")
        pattern = _boluses(asked, items[0], [units.time_of_day_s(text, "times") for text in times], units.duration_s(over, "over"), basal_nl)
        return cls._build(PERIODIC, items, (pattern,), (0,) * 7, **options)

    def with_bolus(self, dose: str, over: str, lockout: str, per_day: int, **options: Any) -> Prescription:
        """This program with a patient bolus of the first drug; see PatientBolus.of for options and refusals."""
        bolus = PatientBolus.of(self.ingredients, dose, over, lockout, per_day, **options)
        fastest = max(step.rate_nl_day for pattern in self.patterns for step in pattern) + bolus.rate_nl_day
        if fastest > CEILING_NL_DAY:
            raise RequestInvalid("basal and bolus together run at %s; the head gives %s" % (show_flow(fastest), show_flow(CEILING_NL_DAY)), "over")
        return replace(self, patient_bolus=bolus)

    def with_bridge(self, bridge: Bridge | None) -> Prescription:
        """This program behind a bridge of the old drug."""
        return replace(self, bridge=bridge)

    @classmethod
    def flex(
        cls, drug: str, *, concentration: str, steps: Iterable[Mapping[str, str]],
        weekdays: Mapping[str, Iterable[Mapping[str, str]]] | None = None, also: Mapping[str, str] | None = None, **options: Any,
    ) -> Prescription:
        """Up to 13 steps a day: `steps=[{'from': '06:00', 'dose': '13.75 ug/h'}, {'from': '22:00', 'dose': '25 ug/h'}]`.

        A list stands for one whole day: before its first step the last one holds. `weekdays` gives days of their own
        ({'mon': [...]}). A step's dose may be 'minimum' for the minimum rate. Options and refusals as for `simple`.
        """
        items = ingredients_of(drug, concentration, also, options.get("library"))
        patterns = [_pattern(steps, items[0], "steps")]
        days = [0] * 7
        for name, own in (weekdays or {}).items():
            if name not in WEEKDAYS:
                raise RequestInvalid("weekday %r is none of: %s" % (name, ", ".join(WEEKDAYS)), "weekdays")
            pattern = _pattern(own, items[0], "steps of %s" % name)
            if pattern not in patterns:
                patterns.append(pattern)
            days[WEEKDAYS.index(name)] = patterns.index(pattern)
        return cls._build(FLEX, items, tuple(patterns), tuple(days), **options)

    @classmethod
    def _build(
        cls, mode: str, items: tuple[Ingredient, ...], patterns: tuple[Pattern, ...], days: tuple[int, ...], *, setting: str | None = None,
        fallback: str | None = None, editor: str = "", library: dict[str, Drug] | None = None, asked_ng_day: Fraction | None = None,
    ) -> Prescription:
        wire_text(editor, "editor", catalogue.DRUG_NAME_BYTES)      # refused here, before a visit has done half of what it was for
        draft = cls(mode, items, patterns, days, 0, SAFE_STOP, setting, editor, asked_ng_day, guard=_guard(items, setting))
        rate, safe = default_safety(items, draft.mean_daily_nl(), setting)
        if fallback is not None:
            rate = round(units.flow_nl_day(fallback, "fallback"))
            if rate not in (0, MINIMUM_NL_DAY) and rate < FLOOR_NL_DAY:
                raise RequestInvalid("fallback %r is none of 0, 0.006 or at least 0.048 mL/day" % fallback, "fallback")
            check_fallback(fallback, rate, items, MINIMUM_NL_DAY if safe == SAFE_STOP else 0, show_flow(FLOOR_NL_DAY if safe == SAFE_STOP else MINIMUM_NL_DAY))
            if rate > max(step.rate_nl_day for pattern in patterns for step in pattern):
                raise RequestInvalid("fallback %r is above the program's own highest rate" % fallback, "fallback")
        return replace(draft, fallback_nl_day=rate, safe_state=safe)

    def pattern_of(self, weekday: int) -> Pattern:
        """The steps of a weekday, 0 = Monday .. 6."""
        return self.patterns[self.weekdays[weekday]]

    def rate_at(self, pump_s: int) -> int:
        """nL/day in force at a pump time."""
        day, second = divmod(pump_s, units.DAY_S)
        return [step for step in self.pattern_of(day % 7) if step.from_s <= second][-1].rate_nl_day

    def next_step_s(self, pump_s: int) -> int:
        """The pump time of the next step after `pump_s`; midnight counts as one where its rate is another. Within a week, else a week later."""
        day, second = divmod(pump_s, units.DAY_S)
        for later in range(8):
            for step in self.pattern_of((day + later) % 7):
                at = (day + later) * units.DAY_S + step.from_s
                if at > pump_s and self.rate_at(at) != self.rate_at(at - 1):
                    return at
        return pump_s + 7 * units.DAY_S

    def daily_nl(self, weekday: int) -> Fraction:
        """Exact volume of one weekday."""
        pattern = self.pattern_of(weekday)
        ends = [*(step.from_s for step in pattern[1:]), units.DAY_S]
        return sum((Fraction(s.rate_nl_day * (end - s.from_s), units.DAY_S) for s, end in zip(pattern, ends)), Fraction(0))

    def weekly_nl(self) -> Fraction:
        """Exact volume of any seven days in a row."""
        return sum((self.daily_nl(day) for day in range(7)), Fraction(0))

    def mean_daily_nl(self) -> Fraction:
        """A seventh of the week: the flat 24 h rate."""
        return self.weekly_nl() / 7

    def max_daily_nl(self) -> Fraction:
        """The volume of the largest weekday."""
        return max(self.daily_nl(day) for day in range(7))

    def worst_daily_nl(self) -> Fraction:
        """The largest weekday with every patient bolus granted: what caps and the low-reservoir date are reckoned with."""
        return self.max_daily_nl() + (self.patient_bolus.most_a_day * self.patient_bolus.volume_nl if self.patient_bolus else 0)

    def daily_dose_ng(self, weekday: int | None = None) -> dict[str, Fraction]:
        """ng per drug in 24 h, computed back from the whole nL/day: of one weekday, or of the largest one."""
        volume = self.max_daily_nl() if weekday is None else self.daily_nl(weekday)
        return {item.name: item.dose_ng(volume) for item in self.ingredients}

    def dose_text(self) -> str:
        """'baclofen 150 ug/day' for each drug, largest weekday, joined by ' + '."""
        doses = self.daily_dose_ng()
        return " + ".join("%s %s" % (item.name, item.show_dose(doses[item.name])) for item in self.ingredients)

    def rounding_ng_day(self) -> Fraction:
        """What the whole nL/day gives more than the dose typed (ng/day of the first drug); 0 where no single dose was typed."""
        if self.asked_ng_day is None:
            return Fraction(0)
        return self.ingredients[0].dose_ng(self.patterns[0][0].rate_nl_day) - self.asked_ng_day


def _guard(items: tuple[Ingredient, ...], setting: str | None) -> Guard:
    """Caps and step limits as the library has them; the strictest of a mixture, because one knob moves all its drugs."""
    limits = [item.drug.setting(setting) for item in items if item.drug]
    steps = [int(found.step_soft) for found in limits if found.step_soft is not None]
    waits = [wait for found in limits for wait in (found.step_interval_hard, found.step_interval_soft) if wait is not None]
    return Guard(caps_of(items, setting, PULSE_NL), library_crc(items, setting), min(steps, default=0),
                 max(0, max(waits, default=0) // 3600 - GRACE_H), any(item.drug.abrupt_stop_dangerous for item in items if item.drug))


def _boluses(dose_ng_day: Fraction, item: Ingredient, starts_s: list[int], over_s: int, basal_nl_day: int) -> Pattern:
    """The day of a periodic program: each bolus as a step above the basal rate, and the basal rate behind it."""
    if not 1 <= len(starts_s) <= MAX_BOLUSES_A_DAY or over_s % 60 or over_s <= 0 or any(start % 60 for start in starts_s):
        raise RequestInvalid("%d boluses a day over %s; allowed are 1 .. %d, at and over whole minutes" % (
            len(starts_s), units.duration_text(over_s), MAX_BOLUSES_A_DAY), "times")
    ends = [*starts_s[1:], units.DAY_S]
    if any(start + over_s > end for start, end in zip(starts_s, ends)):
        raise RequestInvalid("boluses over %s meet each other or pass midnight" % units.duration_text(over_s), "times")
    volume_nl = (dose_ng_day * NL_PER_ML / item.concentration_ng_ml - basal_nl_day) / len(starts_s)
    if volume_nl <= 0:
        raise RequestInvalid("dose %s is below what the basal rate of %s gives" % (item.show_dose(dose_ng_day), show_flow(basal_nl_day)), "dose")
    rate = basal_nl_day + round(volume_nl * units.DAY_S / over_s)
    if rate > CEILING_NL_DAY:
        raise RequestInvalid("a bolus over %s runs at %s; the head gives %s" % (
            units.duration_text(over_s), show_flow(rate), show_flow(CEILING_NL_DAY)), "over")
    steps = [] if starts_s[0] == 0 else [Step(0, basal_nl_day)]
    for start, end in zip(starts_s, ends):
        steps.append(Step(start, rate))
        if start + over_s < end:
            steps.append(Step(start + over_s, basal_nl_day))
    return tuple(steps)


def _pattern(steps: Iterable[Mapping[str, str]], ingredient: Ingredient, field: str) -> Pattern:
    pattern: list[Step] = []
    for given in steps:
        if not isinstance(given, Mapping) or set(given) != {"from", "dose"}:
            raise RequestInvalid("%s: %r is not a step; write {from = \"22:00\", dose = \"25 ug/h\"}" % (field, given), field)
        start = units.time_of_day_s(given["from"], "from of " + field)
        if start % 60:
            raise RequestInvalid("%s: 'from' %r must be a whole minute" % (field, given["from"]), field)
        if pattern and start <= pattern[-1].from_s:
            raise RequestInvalid("%s: 'from' %r does not come after the step before it" % (field, given["from"]), field)
        rate = MINIMUM_NL_DAY if given["dose"] == "minimum" else rate_for(units.dose_rate_ng_day(given["dose"], "dose"), ingredient)
        pattern.append(Step(start, rate))
    if not pattern:
        raise RequestInvalid("%s: a flex day needs at least one step" % field, field)
    if pattern[0].from_s:
        pattern.insert(0, Step(0, pattern[-1].rate_nl_day))
    if len(pattern) > MAX_STEPS_A_DAY:
        raise RequestInvalid(
            "%s: %d steps a day (the one from 00:00 included); the pump keeps at most %d" % (field, len(pattern), MAX_STEPS_A_DAY), field
        )
    return tuple(pattern)
