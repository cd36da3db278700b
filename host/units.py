"""Text with units to exact numbers and back: the only way a clinician's figure enters the host.

Inside, everything is exact: ng, nL, nL/day, ng/day, ng/mL, mm, seconds, as `Fraction` or `int`, never float. A number without a
unit, or with one of another kind, is refused by name: 0.1 ug/h typed as ug/day is a 24-fold error (regimens.md, Z4), so nothing
is guessed. A naked decimal point (".5 mg") is refused because it is misread as 5 mg.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from .errors import RequestInvalid

DAY_S = 86_400
EPOCH = datetime(2024, 1, 1)  # pump epoch: Monday 2024-01-01 00:00 local (the working contract's zero of pump time)
PUMP_TIME_END_S = 2**30  # pump time is whole seconds below 2^30 (DESIGN 3), about 34 years

_NUMBER = r"[+-]?\d{1,15}(?:\.\d{1,15})?"
_QUANTITY = re.compile(rf"^({_NUMBER})\s*(.*)$")
_DURATION_PART = re.compile(rf"({_NUMBER})\s*([a-z]+)")
_CLOCK = re.compile(r"^(\d{1,2}):(\d{2})(?::(\d{2}))?$")

_MASS = {"ng": Fraction(1), "ug": Fraction(1000), "mg": Fraction(10**6)}
_VOLUME = {"nL": Fraction(1), "uL": Fraction(1000), "mL": Fraction(10**6)}
_PER_DAY = {"day": 1, "h": 24}
_SECONDS = {"d": DAY_S, "h": 3600, "min": 60, "s": 1}


@dataclass(frozen=True)
class Kind:
    """A kind of quantity: what it is called, its accepted units as multiples of the base unit, and an example to show."""

    name: str
    units: dict[str, Fraction]
    example: str

    def accepted(self) -> str:
        return ", ".join(self.units) + " (for example '%s')" % self.example


DOSE = Kind("dose", dict(_MASS), "50 ug")
DOSE_RATE = Kind(
    "dose rate", {f"{m}/{t}": f * n for t, n in _PER_DAY.items() for m, f in _MASS.items()}, "150 ug/day"
)
CONCENTRATION = Kind(
    "concentration",
    {f"{m}/{v}": f * 10**6 / g for v, g in (("mL", _VOLUME["mL"]), ("uL", _VOLUME["uL"])) for m, f in _MASS.items()},
    "500 ug/mL",
)
VOLUME = Kind("volume", dict(_VOLUME), "0.375 mL")
FLOW = Kind("flow", {f"{v}/{t}": f * n for t, n in _PER_DAY.items() for v, f in _VOLUME.items()}, "0.3 mL/day")
LENGTH = Kind("length", {"mm": Fraction(1), "cm": Fraction(10), "m": Fraction(1000)}, "80 cm")
PERCENT = Kind("share", {"%": Fraction(1)}, "30 %")
TIME = Kind("duration", {unit: Fraction(n) for unit, n in _SECONDS.items()}, "3 d 01:00")
ALL_KINDS = (DOSE, DOSE_RATE, CONCENTRATION, VOLUME, FLOW, LENGTH, PERCENT, TIME)


def _plain(unit: str) -> str:
    """The one spelling of a unit: the micro signs and mcg become u, ml becomes mL, /d, /24h and /hr become /day and /h."""
    unit = unit.strip().replace("µ", "u").replace("μ", "u").replace(" ", "")
    unit = re.sub(r"\bmcg\b", "ug", unit)
    unit = re.sub(r"\b([num])l\b", r"\1L", unit)
    unit = re.sub(r"/(?:d|24h)$", "/day", unit)
    return re.sub(r"/hr?$", "/h", unit)


def parse(text: object, kind: Kind, field: str | None = None) -> Fraction:
    """The exact value of `text` in the base unit of `kind`; `field` names it in the refusal.

    Raises RequestInvalid when `text` is no string, no plain decimal number, negative, or carries no unit or a unit of another kind.
    """
    label = field or kind.name
    if not isinstance(text, str):
        raise RequestInvalid("%s %r has no unit; accepted units: %s" % (label, text, kind.accepted()), field)
    match = _QUANTITY.match(text.strip())
    if not match or match.group(2).startswith((".", ",")):
        raise RequestInvalid(
            "%s %r is not a number with a unit; write a plain decimal like 0.5 (no comma, no bare point, no exponent) and one of: %s"
            % (label, text, kind.accepted()), field
        )
    number, unit = Fraction(match.group(1)), _plain(match.group(2))
    if not unit:
        raise RequestInvalid("%s %r has no unit; accepted units: %s" % (label, text, kind.accepted()), field)
    if unit not in kind.units:
        raise RequestInvalid(
            "%s %r: %s; accepted units: %s" % (label, text, _unit_complaint(unit), kind.accepted()), field
        )
    if number < 0:
        raise RequestInvalid("%s %r is negative; it must be 0 or more" % (label, text), field)
    return number * kind.units[unit]


def _unit_complaint(unit: str) -> str:
    for other in ALL_KINDS:
        if unit in other.units:
            return "%s is a unit of %s" % (unit, other.name)
    return "%r is not a unit known here" % unit


def dose_ng(text: object, field: str | None = None) -> Fraction:
    """'50 ug' -> 50000 ng, exact. Raises RequestInvalid."""
    return parse(text, DOSE, field)


def dose_rate_ng_day(text: object, field: str | None = None) -> Fraction:
    """'25 ug/h' -> 600000 ng/day, exact. Raises RequestInvalid."""
    return parse(text, DOSE_RATE, field)


def concentration_ng_ml(text: object, field: str | None = None) -> Fraction:
    """'500 ug/mL' -> 500000 ng/mL, exact. Raises RequestInvalid."""
    return parse(text, CONCENTRATION, field)


def volume_nl(text: object, field: str | None = None) -> int:
    """'0.375 mL' -> 375000 nL. Raises RequestInvalid, also for a part of a nanolitre."""
    return _whole(parse(text, VOLUME, field), text, "nL", field or "volume")


def whole_ul(text: object, field: str, most_ml: int = 60) -> int:
    """'18.6 mL' -> 18600 uL. Raises RequestInvalid for a part of a microlitre and above `most_ml`, the largest reservoir known (Archimedes 60 mL, clinical.md 1.1)."""
    volume = volume_nl(text, field)
    if volume % 1000 or volume > most_ml * 10**6:
        raise RequestInvalid("%s %r must be a whole number of uL, 0 .. %d mL" % (field, text, most_ml), field)
    return volume // 1000


def flow_nl_day(text: object, field: str | None = None) -> Fraction:
    """'0.3 mL/day' -> 300000 nL/day, exact. Raises RequestInvalid."""
    return parse(text, FLOW, field)


def length_mm(text: object, field: str | None = None) -> int:
    """'80 cm' -> 800 mm. Raises RequestInvalid, also for a part of a millimetre."""
    return _whole(parse(text, LENGTH, field), text, "mm", field or "length")


def percent(text: object, field: str | None = None) -> Fraction:
    """'30 %' -> 30, exact. Raises RequestInvalid."""
    return parse(text, PERCENT, field)


def _whole(value: Fraction, text: object, unit: str, label: str) -> int:
    if value.denominator != 1:
        raise RequestInvalid("%s %r is not a whole number of %s" % (label, text, unit), label)
    return int(value)


def duration_s(text: object, field: str | None = None, *, negative: bool = False) -> int:
    """'3 d', '11.25 h', '1 h 30 min', '3 d 01:00' -> whole seconds; with `negative` a leading minus ('-3 d') is allowed.

    Raises RequestInvalid for a bare number, an unknown unit, units out of order or a part of a second.
    """
    label = field or "duration"
    complaint = RequestInvalid(
        "%s %r is not a duration; write units d, h, min, s in this order (for example '3 d', '11.25 h', '3 d 01:00')" % (label, text),
        field,
    )
    if not isinstance(text, str) or not text.strip():
        raise complaint
    body, sign = text.strip(), 1
    if body[0] in "+-":
        sign, body = (-1 if body[0] == "-" else 1), body[1:].strip()
    if sign < 0 and not negative:
        raise RequestInvalid("%s %r is negative; it must be 0 or more" % (label, text), field)
    total, order = Fraction(0), list(_SECONDS)
    while body:
        clock = _CLOCK.match(body)
        part = None if clock else _DURATION_PART.match(body)
        if clock and order == list(_SECONDS)[1:]:
            total += time_of_day_s(body, field)
            body = ""
        elif part and part.group(2) in order and part.group(1)[0] not in "+-":
            total += Fraction(part.group(1)) * _SECONDS[part.group(2)]
            order = order[order.index(part.group(2)) + 1:]
            body = body[part.end():].strip()
        else:
            raise complaint
    return sign * _whole(total, text, "seconds", label)


def time_of_day_s(text: object, field: str | None = None) -> int:
    """'22:00' or '22:00:30' -> seconds since midnight, 0..86399. Raises RequestInvalid."""
    match = _CLOCK.match(text.strip()) if isinstance(text, str) else None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (24, 0, 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        raise RequestInvalid("%s %r is not a time of day 00:00 .. 23:59" % (field or "time", text), field)
    return hours * 3600 + minutes * 60 + seconds


def pump_time_s(text: object, field: str | None = None) -> int:
    """'2026-01-05 09:00' (local wall time) -> seconds since the pump epoch, Monday 2024-01-01 00:00. Raises RequestInvalid."""
    label = field or "date"
    for layout in ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"):
        try:
            moment = datetime.strptime(text.strip() if isinstance(text, str) else "", layout)
        except ValueError:
            continue
        seconds = int((moment - EPOCH).total_seconds())
        if not 0 <= seconds < PUMP_TIME_END_S:
            raise RequestInvalid("%s %r is outside the pump's calendar %s .. %s" % (
                label, text, pump_time_text(0), pump_time_text(PUMP_TIME_END_S - 1)), field)
        return seconds
    raise RequestInvalid("%s %r is not a date; write 'YYYY-MM-DD HH:MM'" % (label, text), field)


def pump_time_text(pump_s: int) -> str:
    """Seconds since the pump epoch -> '2026-01-05 09:00:00' in the pump's local wall time."""
    return (EPOCH + timedelta(seconds=pump_s)).strftime("%Y-%m-%d %H:%M:%S")


def show(value: Fraction | int, kind: Kind, unit: str | None = None, places: int = 4) -> str:
    """`value` (base unit of `kind`) for a human: '150 ug/day'. Without `unit` the largest unit that leaves at least 1.

    At most `places` decimals, trailing zeros dropped, rounded half to even; `unit` must be one of the kind's.
    """
    if unit is None:
        family = [u for u in kind.units if not u.endswith(("/h", "/uL"))]
        fitting = [u for u in family if abs(Fraction(value)) >= kind.units[u]]
        unit = max(fitting, key=lambda u: kind.units[u]) if fitting else family[0]
    return "%s %s" % (decimal_text(Fraction(value) / kind.units[unit], places), unit)


def decimal_text(value: Fraction | int, places: int = 4) -> str:
    """An exact number as plain decimal text with at most `places` decimals, rounded half to even."""
    scaled = round(Fraction(value) * 10**places)
    whole, part = divmod(abs(scaled), 10**places)
    tail = ("%0*d" % (places, part)).rstrip("0") if places else ""
    return ("-" if scaled < 0 else "") + str(whole) + ("." + tail if tail else "")


def duration_text(seconds: Fraction | int) -> str:
    """Seconds for a human: '93 d', '11.25 h', '2 d 12:00', '45 min', '30 s'."""
    seconds = round(seconds)
    days, rest = divmod(seconds, DAY_S)
    if days and rest:
        return "%d d %02d:%02d" % (days, rest // 3600, rest % 3600 // 60)
    if days:
        return "%d d" % days
    for unit in ("h", "min"):
        if seconds >= _SECONDS[unit]:
            return "%s %s" % (decimal_text(Fraction(seconds, _SECONDS[unit]), 2), unit)
    return "%d s" % seconds


def host_pump_time_s() -> int:
    """This computer's local wall time as seconds since the pump epoch."""
    return int((datetime.now() - EPOCH).total_seconds())
