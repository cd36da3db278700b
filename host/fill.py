"""What a refill does: the fill itself, mixing with what is left, the bridge over old drug in the dead volume, the low-reservoir date.

Volumes are exact nL. A fill is refused when the lowest programmable rate already gives more than this patient may have.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Collection, Mapping

from ..protocol import catalogue
from . import units
from .drug_library import Drug
from .errors import RequestInvalid
from .prescription import CEILING_NL_DAY, FLOOR_NL_DAY, Bridge, Ingredient, Prescription, ingredients_of, show_flow
from .texts import wire_text

RESIDUAL_NL = 1_400_000  # unusable residual of the reference reservoir, 1.4 mL (clinical.md 1.1)
LOW_DAYS = 7  # alarms.md row 19: usable volume below 7 days ...
LOW_NL = 2_000_000  # ... or below 2 mL
DISCREPANCY_NL = 1_000_000  # alarms.md 4: |expected - withdrawn| above 1 mL ...
DISCREPANCY_SHARE = Fraction(15, 100)  # ... or 15 % of what was delivered, the larger
NL_PER_UL = 1000
MAX_RINSES = 10  # three are the rule (regimens.md 2)


@dataclass(frozen=True)
class Fill:
    """One refill: what went in (whole uL), what a syringe took out before (whole uL), and the drugs it holds."""

    ingredients: tuple[Ingredient, ...]
    volume_ul: int
    withdrawn_ul: int = 0
    setting: str | None = None
    lot: str = ""
    expiry_s: int | None = None  # pump time of the label's expiry date
    rinses: int = 0  # times that the reservoir was rinsed with the new drug before
    rinse_ul: int = 0
    rinse: bool = False  # this is itself a rinse, recorded apart: the fill is still to come
    next_refill_s: int | None = None  # pump time of the next appointment

    def __init__(
        self, volume: str, drug: str, concentration: str, *, withdrawn: str = "0 mL", also: Mapping[str, str] | None = None,
        setting: str | None = None, lot: str = "", expiry: str | None = None, rinses: int = 0, rinse_volume: str = "0 mL",
        rinse: bool = False, next_refill: str | None = None, library: dict[str, Drug] | None = None,
    ):
        """`Fill('20 mL', 'baclofen', '500 ug/mL', withdrawn='1.4 mL')`; rinsed before: `rinses=3, rinse_volume='2 mL'`.

        Raises RequestInvalid for a volume that is zero, above 60 mL or no whole number of uL, for rinses outside 0 .. 10 or without their volume,
        for a lot of more than 16 characters, and as `ingredients_of` does.
        """
        object.__setattr__(self, "ingredients", ingredients_of(drug, concentration, also, library))
        object.__setattr__(self, "volume_ul", units.whole_ul(volume, "volume"))
        object.__setattr__(self, "withdrawn_ul", units.whole_ul(withdrawn, "withdrawn"))
        object.__setattr__(self, "setting", setting)
        wire_text(lot, "lot", catalogue.DRUG_NAME_BYTES)
        object.__setattr__(self, "lot", lot)
        object.__setattr__(self, "expiry_s", units.pump_time_s(expiry, "expiry") if expiry else None)
        object.__setattr__(self, "rinses", rinses)
        object.__setattr__(self, "rinse_ul", units.whole_ul(rinse_volume, "rinse volume"))
        object.__setattr__(self, "rinse", rinse)
        object.__setattr__(self, "next_refill_s", units.pump_time_s(next_refill, "next refill") if next_refill else None)
        if self.volume_ul == 0:
            raise RequestInvalid("volume %r: a fill holds more than 0 mL" % volume, "volume")
        if not 0 <= rinses <= MAX_RINSES or (rinses > 0) != (self.rinse_ul > 0):
            raise RequestInvalid("%d rinses (allowed are 0 .. %d) of %s: a rinse needs its volume, and a volume its rinses" % (
                rinses, MAX_RINSES, rinse_volume), "rinses")

    def mixed_ng_ml(self, item: Ingredient, old_ng_ml: int, residual_nl: int) -> Fraction:
        """What the residual of the old drug makes of this fill's concentration of one, rinses included."""
        return mixed_ng_ml(self.volume_ul * NL_PER_UL, item.concentration_ng_ml, old_ng_ml, residual_nl=residual_nl, rinses=self.rinses,
                           rinse_nl=self.rinse_ul * NL_PER_UL)

    def rinsed_text(self) -> str:
        """'unrinsed' or 'rinsed 3 times with 2 mL'."""
        return "rinsed %d times with %s" % (self.rinses, units.show(self.rinse_ul * NL_PER_UL, units.VOLUME, "mL", places=3)) if self.rinses else "unrinsed"

    def lives_s(self, before: Collection[str]) -> list[int]:
        """Seconds that each drug lasts in the pump: at its concentration, and for a first fill where it is none of those that were in it `before`."""
        if self.rinse:
            return []
        return [item.drug.life_s(item.concentration_ng_ml, first=item.name not in before) for item in self.ingredients if item.drug]

    def use_before_s(self, filled_s: int, before: Collection[str] = ()) -> int:
        """Pump time at which the drug is past its life in the pump or its label's date, whichever is earlier; 0: not known. `before`: see `lives_s`."""
        label = [] if self.expiry_s is None else [self.expiry_s]
        return min([*(filled_s + life for life in self.lives_s(before)), *label], default=0)

    def next_due_s(self, filled_s: int, before: Collection[str] = ()) -> int:
        """Seconds behind the fill by which the next is due: the drug's life or the next appointment, whichever is earlier; 0: neither is known.

        The pump counts them by its steady tick, so that setting its clock makes no drug younger.
        """
        date = [] if self.next_refill_s is None else [max(1, self.next_refill_s - filled_s)]
        return min([*self.lives_s(before), *date], default=0)

    def check(self, running_ng_day: Mapping[str, Fraction] | None = None) -> list[str]:
        """Warnings about this fill for a patient on `running_ng_day` (ng/day per drug; empty: therapy starts now).

        Raises RequestInvalid when a concentration is above its hard limit, drugs must not be mixed, or the floor rate of 0.048 mL/day
        exceeds both the usual largest starting dose of the setting and the dose the patient has now (regimens.md 6: morphine 20 mg/mL, 0.96 mg against
        0.1-0.5). A setting is what makes the difference: morphine 25 mg/mL may start a tolerant or a cancer patient (5 mg), hydromorphone 10 a cancer
        patient (0.5 mg).
        """
        warnings: list[str] = []
        for item in self.ingredients:
            if item.drug is not None:
                warnings += _check_concentration(item, item.drug)
                warnings += _check_floor(item, item.drug, (running_ng_day or {}).get(item.name), self.setting)
                warnings += _check_mixture(item.drug, self.ingredients)
        return warnings


def _check_concentration(item: Ingredient, drug: Drug) -> list[str]:
    if item.concentration_ng_ml > drug.concentration_hard_ng_ml:
        raise RequestInvalid(
            "%s at %s is above the hard limit of %s" % (
                item.name, item.show_concentration(), drug.show_concentration(drug.concentration_hard_ng_ml)), "concentration"
        )
    if item.concentration_ng_ml > drug.concentration_soft_ng_ml:
        return ["%s at %s is above the usual limit of %s" % (
            item.name, item.show_concentration(), drug.show_concentration(drug.concentration_soft_ng_ml))]
    if item.concentration_ng_ml not in drug.listed_ng_ml:
        return ["%s at %s is not a listed concentration (%s)" % (
            item.name, item.show_concentration(), ", ".join(drug.show_concentration(c) for c in drug.listed_ng_ml))]
    return []


def _check_floor(item: Ingredient, drug: Drug, running: Fraction | None, setting: str | None) -> list[str]:
    limits = drug.setting(setting)
    start = limits.start_soft or limits.start_hard or limits.dose_soft
    floor = item.dose_ng(FLOOR_NL_DAY)
    if floor <= start:
        return []
    sentence = "%s at %s gives %s at the lowest rate of 0.048 mL/day" % (item.name, item.show_concentration(), drug.show_dose(floor))
    if running is None or floor > running:
        have = "" if running is None else " and the patient's %s" % drug.show_dose(running)
        raise RequestInvalid("%s, above the starting dose of %s%s: refused" % (sentence, drug.show_dose(start), have), "concentration")
    return [sentence + ", above the starting dose of %s: fit only for the dose reached" % drug.show_dose(start)]


def _check_mixture(drug: Drug, ingredients: tuple[Ingredient, ...]) -> list[str]:
    others = [item.name for item in ingredients if item.name != drug.name]
    for other in others:
        if other not in drug.mixes_with:
            raise RequestInvalid("%s must not be mixed with %s; it mixes with: %s" % (
                drug.name, other, ", ".join(drug.mixes_with) or "nothing"), "drug")
    return [drug.mix_warning] if others and drug.mix_warning else []


def mixed_ng_ml(
    fill_nl: int, fill_ng_ml: Fraction | int, residual_ng_ml: Fraction | int, *, residual_nl: int = RESIDUAL_NL, rinses: int = 0,
    rinse_nl: int = 0,
) -> Fraction:
    """Concentration in the reservoir after a fill onto a residual: (V_fill C_new + V_res C_old) / (V_fill + V_res), alarms.md 3.

    `fill_nl` is what fills the reservoir above the residual: a 20 mL reservoir full of 500 -> 2000 ug/mL over 1.4 mL gives 1895.
    Rinsed n times with `rinse_nl` of the *new* drug, the old drug left is its residual times (V_res / (V_res + V_rinse))^n.
    """
    old_share = Fraction(residual_nl, residual_nl + rinse_nl) ** rinses if rinses else Fraction(1)
    left = old_share * residual_ng_ml + (1 - old_share) * fill_ng_ml
    return (Fraction(fill_nl) * fill_ng_ml + residual_nl * left) / (fill_nl + residual_nl)


def bridge(dead_volume: str, old_concentration: str, dose: str | None = None, *, old_rate: str | None = None) -> Bridge:
    """The bridge for a change of concentration: `bridge('0.375 mL', '500 ug/mL', '400 ug/day')` lasts 11.25 h (regimens.md B1).

    The old drug goes on at the rate that gives the dose at its own concentration, or at `old_rate` ('0.8 mL/day') as it runs now.
    Raises RequestInvalid when neither or both are given or the rate is outside 0.048 .. 24 mL/day.
    """
    volume = units.volume_nl(dead_volume, "dead volume")
    strength = units.concentration_ng_ml(old_concentration, "old concentration")
    if (dose is None) == (old_rate is None):
        raise RequestInvalid("a bridge needs either the dose or the old rate", "dose")
    if strength <= 0:
        raise RequestInvalid("old concentration %r must be above 0" % old_concentration, "old concentration")
    if old_rate is not None:
        rate = round(units.flow_nl_day(old_rate, "old rate"))
    else:
        rate = round(units.dose_rate_ng_day(dose, "dose") * 10**6 / strength)
    if not FLOOR_NL_DAY <= rate <= CEILING_NL_DAY:
        raise RequestInvalid("a bridge at %s is outside %s .. %s" % (show_flow(rate), show_flow(FLOOR_NL_DAY), show_flow(CEILING_NL_DAY)))
    return Bridge(volume, rate)


def seconds_until_used(prescription: Prescription, volume_nl: Fraction | int, from_pump_s: int, more_nl_day: int = 0) -> int:
    """Whole seconds after `from_pump_s` at which the program will have delivered `volume_nl` (rounded up), flex steps included.

    `more_nl_day` comes on top of it, evenly: the patient's boluses.

    Raises RequestInvalid for a program that delivers nothing at all.
    """
    left = Fraction(volume_nl)
    if left <= 0:
        return 0
    weekly_nl = prescription.weekly_nl() + 7 * more_nl_day
    if weekly_nl == 0:
        raise RequestInvalid("a program that delivers nothing never uses a reservoir up")
    now = from_pump_s
    weeks = max(0, int(left / weekly_nl) - 1)
    left -= weeks * weekly_nl
    now += weeks * 7 * units.DAY_S
    while True:
        day, second = divmod(now, units.DAY_S)
        later = [s.from_s for s in prescription.pattern_of(day % 7) if s.from_s > second] + [units.DAY_S]
        rate = prescription.rate_at(now) + more_nl_day
        span = later[0] - second
        if left * units.DAY_S <= Fraction(rate) * span:
            return now - from_pump_s + -(-left * units.DAY_S // rate)
        left -= Fraction(rate * span, units.DAY_S)
        now += span


def low_reservoir_date(prescription: Prescription, volume_nl: int, from_pump_s: int, *, residual_nl: int = RESIDUAL_NL, boluses: bool = False) -> int:
    """Pump time (s) at which usable drug falls below 7 days of this program or 2 mL, whichever is earlier (alarms.md row 19).

    With `boluses` every patient bolus is granted, the worst case.
    """
    more = _granted_nl(prescription) if boluses else 0
    reserve = max((prescription.weekly_nl() + 7 * more) * LOW_DAYS / 7, Fraction(LOW_NL))
    return from_pump_s + seconds_until_used(prescription, volume_nl - residual_nl - reserve, from_pump_s, more)


def empty_date(prescription: Prescription, volume_nl: int, from_pump_s: int, *, residual_nl: int = RESIDUAL_NL, boluses: bool = False) -> int:
    """Pump time (s) at which the usable drug is used up: 18.6 mL at 0.2 mL/day last 93 days (regimens.md B1)."""
    return from_pump_s + seconds_until_used(prescription, volume_nl - residual_nl, from_pump_s, _granted_nl(prescription) if boluses else 0)


def _granted_nl(prescription: Prescription) -> int:
    bolus = prescription.patient_bolus
    return bolus.most_a_day * bolus.volume_nl if bolus else 0


def discrepancy(expected_nl: int, withdrawn_nl: int, delivered_nl: int | None) -> str | None:
    """What a refill's withdrawn volume says against the expected one (alarms.md 4), or None while inside max(1 mL, 15 % of delivered).

    `delivered_nl` is None where nobody knows it: then a gap above 1 mL is told and nothing is concluded from it.
    """
    gap = expected_nl - withdrawn_nl
    if abs(gap) <= max(Fraction(DISCREPANCY_NL), DISCREPANCY_SHARE * (delivered_nl or 0)):
        return None
    size = units.show(abs(gap), units.VOLUME, "mL", places=2)
    if delivered_nl is None:
        return "%s %s withdrawn than expected: the log no longer reaches back to the last refill, so it is not known whether that is above 15 %% of what was delivered" % (
            size, "less" if gap > 0 else "more")
    if gap > 0:
        return "%s less withdrawn than expected: over-infusion, leak, pocket fill last time or theft" % size
    return "%s more withdrawn than expected: under-delivery, occlusion or stall" % size
