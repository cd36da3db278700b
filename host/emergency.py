"""Emergency without a key (alarms.md section 6): with the magnet at the pump anyone may see the card, and reduce, for 24 h. Never raise.

What comes back is not sealed: whoever holds the line could have written it. It is for somebody who stands beside the pump.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..protocol import catalogue
from . import units
from .alarms import Alarm, of_bits
from .blocks import read_drugs
from .drug_library import Drug
from .errors import RequestInvalid
from .prescription import Ingredient, show_flow
from .records import NEVER_DAYS
from .texts import read_text

ACTIONS = {"fallback": catalogue.REDUCE_FALLBACK, "stop": catalogue.REDUCE_STOP}
UNKNOWN = "not known"


def action_number(action: str) -> int:
    """The wire's number of 'fallback' or 'stop'. Raises RequestInvalid for another word."""
    if action not in ACTIONS:
        raise RequestInvalid("emergency action %r is none of: %s" % (action, ", ".join(ACTIONS)), "action")
    return ACTIONS[action]


@dataclass(frozen=True)
class Card:
    """What somebody who has never seen this patient must know. Rates in nL/day, volumes in nL, times in pump seconds.

    `drugs`: of the last fill, without one on record of the program; `other`: the program is written for another fill.
    """

    drugs: tuple[Ingredient, ...]
    daily_nl: int
    rate_nl_day: int
    mode: str
    reservoir_computed_nl: int
    filled_s: int | None
    low_reservoir_days: int | None
    time_s: int
    alarms: list[Alarm]
    contact: str | None
    other: bool = False

    @classmethod
    def of(cls, raw: Mapping[str, Any], library: dict[str, Drug]) -> Card:
        """From the fields of a card reply."""
        return cls(
            read_drugs(raw, library), raw["daily_nl"], raw["rate_nl_day"], catalogue.MODES[raw["mode"]], raw["reservoir_computed_nl"],
            raw["filled_s"] or None, None if raw["low_reservoir_days"] == NEVER_DAYS else raw["low_reservoir_days"], raw["time_s"],
            of_bits(raw["alarms"]), read_text(raw["contact"]) or None, bool(raw["other"]))

    @property
    def refill_due_s(self) -> int | None:
        """Pump time at which the reservoir is low, to the day; None when nothing is programmed."""
        return None if self.low_reservoir_days is None else self.time_s + self.low_reservoir_days * units.DAY_S

    def rows(self) -> list[tuple[str, str]]:
        """The card in words."""
        rows = [("drug", "%s %s, %s" % (item.name, item.show_concentration(), item.show_dose(item.dose_ng(self.daily_nl)))) for item in self.drugs]
        rows = rows or [("drug", UNKNOWN)]
        if self.other:
            rows.append(("ATTENTION", "this is what the reservoir holds; the PROGRAM IS WRITTEN FOR ANOTHER FILL, and its dose is not meant"))
        rows.append(("clinic", self.contact or UNKNOWN))
        rows.append(("now", "%s, %s" % (self.mode, show_flow(self.rate_nl_day))))
        rows += [("", "%s %s" % (item.name, item.show_dose(item.dose_ng(self.rate_nl_day)))) for item in self.drugs]
        rows.append(("volume a day", units.show(self.daily_nl, units.VOLUME, "mL", places=6)))
        rows.append(("reservoir", units.show(self.reservoir_computed_nl, units.VOLUME, "mL", places=3) + " computed"))
        rows.append(("last fill", units.pump_time_text(self.filled_s) if self.filled_s else UNKNOWN))
        rows.append(("next fill", "before " + units.pump_time_text(self.refill_due_s)[:10] if self.refill_due_s is not None else UNKNOWN))
        rows.append(("alarms", "; ".join("%d %s (%s)" % (a.row, a.name, a.action) for a in self.alarms) or "none"))
        rows.append(("pump clock", units.pump_time_text(self.time_s)))
        return rows

    def to_dict(self) -> dict[str, Any]:
        return {
            "drugs": [{
                "name": item.name, "concentration": item.show_concentration(), "concentration_ng_ml": item.concentration_ng_ml,
                "daily_dose": item.show_dose(item.dose_ng(self.daily_nl)), "daily_dose_ng": float(item.dose_ng(self.daily_nl))} for item in self.drugs],
            "daily_nl": self.daily_nl, "rate_nl_day": self.rate_nl_day, "mode": self.mode, "reservoir_computed_nl": self.reservoir_computed_nl,
            "filled_s": self.filled_s, "filled": units.pump_time_text(self.filled_s) if self.filled_s else None,
            "low_reservoir_days": self.low_reservoir_days, "time_s": self.time_s, "time": units.pump_time_text(self.time_s),
            "alarms": [alarm.to_dict() for alarm in self.alarms], "contact": self.contact, "other": self.other}


@dataclass(frozen=True)
class Reduction:
    """A reduction in force: the rate now in nL/day, and the pump time at which the program comes back by itself."""

    action: str
    rate_nl_day: int
    until_s: int

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Reduction:
        """From the fields of a reduce reply."""
        return cls(next(name for name, number in ACTIONS.items() if number == raw["action"]), raw["rate_nl_day"], raw["until_s"])

    def to_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "until": units.pump_time_text(self.until_s)}
