"""Boluses on top of a program: what a patient may ask for, what a clinician gives once, and scheduled ones as steps of a day."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from . import units
from .errors import RequestInvalid

if TYPE_CHECKING:
    from .prescription import Ingredient

LEAST_NL, MOST_NL = 200, 1_000_000      # of a patient bolus, protocol/catalogue.py
USUAL_SHARE = Fraction(1, 5)            # of the daily dose: boluses of 5-20 % are common (regimens.md M3, M-L)
NL_PER_ML = 10**6


@dataclass(frozen=True)
class PatientBolus:
    """What the patient may ask for: a volume (nL) over `seconds`, a lockout from the end of the last, counts in an interval and in 24 h."""

    volume_nl: int
    seconds: int
    lockout_min: int
    per_day: int
    interval_h: int = 0
    per_interval: int = 0
    released: bool = False

    @classmethod
    def of(cls, items: tuple[Ingredient, ...], dose: str, over: str, lockout: str, per_day: int, interval: str | None = None,
           per_interval: int | None = None, released: bool = False) -> PatientBolus:
        """`of((morphine,), '0.2 mg', '10 min', '3 h', 4)`: the first drug's dose as whole nL.

        Raises RequestInvalid where the library grants no patient bolus of a drug of the fill, for a volume outside 0.2 uL .. 1 mL, a duration outside
        30 s .. 18 h or longer than the lockout, a lockout that is no whole number of minutes up to a week, a count outside 1 .. 48 (24 h) or an
        interval above 24 h or without its count.
        """
        no_bolus(items)
        for item in items:
            if item.drug is not None and (item.drug.ptm_allowed == "no" or (item.drug.ptm_allowed == "mixed" and len(items) == 1)):
                raise RequestInvalid("the library grants no patient bolus of %s%s" % (
                    item.name, " alone" if item.drug.ptm_allowed == "mixed" else ""), "bolus")
        made = cls(volume_of(items[0], dose, "bolus", LEAST_NL, MOST_NL), _seconds(over), _minutes(lockout), per_day,
                   _hours(interval), per_interval or 0, released)
        if made.seconds > made.lockout_min * 60:
            raise RequestInvalid("bolus over %s is longer than its lockout of %s" % (over, lockout), "lockout")
        if not 1 <= per_day <= 48:
            raise RequestInvalid("%d boluses in 24 h; allowed are 1 .. 48" % per_day, "per_day")
        if (made.interval_h > 0) != (made.per_interval > 0) or made.per_interval > 255:
            raise RequestInvalid("an interval (%s) and the boluses in it (%s, 1 .. 255) are given together" % (interval, per_interval), "interval")
        return made

    @property
    def rate_nl_day(self) -> int:
        """What it adds to the basal rate, rounded up as the pump does."""
        return -(-self.volume_nl * units.DAY_S // self.seconds)

    @property
    def most_a_day(self) -> int:
        """Boluses that one day can hold: by count, by interval and by lockout."""
        most = min(self.per_day, units.DAY_S // (self.seconds + self.lockout_min * 60) + 1)
        return min(most, -(-24 // self.interval_h) * self.per_interval) if self.interval_h else most

    def text(self, item: Ingredient) -> str:
        """'morphine 0.2 mg over 10 min, lockout 3 h, 4 in 24 h'."""
        interval = ", %d in %d h" % (self.per_interval, self.interval_h) if self.interval_h else ""
        return "%s %s over %s, lockout %s%s, %d in 24 h%s" % (
            item.name, item.show_amount(item.dose_ng(self.volume_nl)), units.duration_text(self.seconds), units.duration_text(self.lockout_min * 60), interval, self.per_day,
            ", from the first day on" if self.released else "")

    def describe(self) -> dict[str, Any]:
        """Plain data."""
        return {**self.__dict__, "rate_nl_day": self.rate_nl_day, "most_a_day": self.most_a_day}


def no_bolus(items: tuple[Ingredient, ...]) -> None:
    """Raises RequestInvalid where the library allows no bolus at all of a drug of the fill: the patient's, a clinician's or a scheduled one."""
    for item in items:
        if item.drug is not None and not item.drug.bolus_allowed:
            raise RequestInvalid("the library allows no bolus of %s: it is given as a continuous infusion only" % item.name, "bolus")


def volume_of(item: Ingredient, dose: str, field: str, least_nl: int, most_nl: int) -> int:
    """The whole nL nearest to a dose of one drug. Raises RequestInvalid outside the bounds."""
    volume = round(units.dose_ng(dose, field) * NL_PER_ML / item.concentration_ng_ml)
    if not least_nl <= volume <= most_nl:
        raise RequestInvalid("%s of %s is %s at %s; the pump gives %s .. %s" % (
            field, dose, units.show(volume, units.VOLUME, "uL", places=3), item.show_concentration(), units.show(least_nl, units.VOLUME, "uL"),
            units.show(most_nl, units.VOLUME, "uL")), field)
    return volume


def _seconds(over: str) -> int:
    seconds = units.duration_s(over, "over")
    if not 30 <= seconds <= 65_535:
        raise RequestInvalid("bolus over %r is outside 30 s .. 18 h 12 min" % over, "over")
    return seconds


def _minutes(lockout: str) -> int:
    seconds = units.duration_s(lockout, "lockout")
    if seconds % 60 or not 60 <= seconds <= 10_080 * 60:
        raise RequestInvalid("lockout %r must be whole minutes, 1 min .. 7 d" % lockout, "lockout")
    return seconds // 60


def _hours(interval: str | None) -> int:
    seconds = units.duration_s(interval, "interval") if interval else 0
    if seconds % 3600 or seconds > 24 * 3600:
        raise RequestInvalid("interval %r must be whole hours up to 24" % interval, "interval")
    return seconds // 3600
