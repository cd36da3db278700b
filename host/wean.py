"""Tablets beside the pump and how they are weaned: one drug at a time, in steps of 25-50 % (regimens.md 1, CMSC 2015 abstract CC13)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Sequence

from . import units
from .errors import RequestInvalid

STEP_LEAST_PCT, STEP_MOST_PCT = 25, 50
_SPELLED = re.compile(r"(?P<drug>[A-Za-z][\w -]*?)\s+(?P<before>[\d.]+\s*\S+/day)(?:\s*->\s*(?P<after>[\d.]+\s*\S+/day))?")


@dataclass(frozen=True)
class OralDose:
    """One drug by mouth: ng/day before the visit and from now on."""

    drug: str
    before_ng_day: Fraction
    after_ng_day: Fraction
    text: str

    @classmethod
    def of(cls, text: str) -> OralDose:
        """`of('baclofen 80 mg/day -> 60 mg/day')`; without an arrow the dose stays. Raises RequestInvalid for anything else, and for a dose of 0 before."""
        found = _SPELLED.fullmatch(text.strip())
        if found is None:
            raise RequestInvalid("oral drug %r is not spelled as 'baclofen 80 mg/day -> 60 mg/day' (or 'baclofen 80 mg/day' where it stays)" % text, "oral")
        before = units.dose_rate_ng_day(found["before"], "oral")
        if before <= 0:
            raise RequestInvalid("oral drug %r: a dose of 0 before the visit has no step; leave it out" % text, "oral")
        return cls(found["drug"], before, units.dose_rate_ng_day(found["after"], "oral") if found["after"] else before, text.strip())

    @property
    def fall_pct(self) -> Fraction:
        """How much of the dose is taken away; negative for a rise."""
        return (self.before_ng_day - self.after_ng_day) * 100 / self.before_ng_day


def check(doses: Sequence[OralDose]) -> list[str]:
    """What is unusual in how these are weaned. The pump cannot see it: nothing is refused. Raises RequestInvalid for a drug that is named twice."""
    names = [dose.drug for dose in doses]
    for name in names:
        if names.count(name) > 1:
            raise RequestInvalid("oral drug %s is given twice" % name, "oral")
    lowered = [dose for dose in doses if dose.fall_pct > 0]
    told = []
    if len(lowered) > 1:
        told.append("%s are weaned at the same time: one drug at a time, or nobody knows which of them is missed" % " and ".join(dose.drug for dose in lowered))
    for dose in lowered:
        share = units.decimal_text(dose.fall_pct, 1)
        if dose.fall_pct > STEP_MOST_PCT:
            told.append("oral %s falls by %s %%, above the usual %d-%d %% a step: withdrawal" % (dose.drug, share, STEP_LEAST_PCT, STEP_MOST_PCT))
        elif dose.fall_pct < STEP_LEAST_PCT:
            told.append("oral %s falls by %s %%, below the usual %d-%d %% a step" % (dose.drug, share, STEP_LEAST_PCT, STEP_MOST_PCT))
    told += ["oral %s rises beside the pump" % dose.drug for dose in doses if dose.fall_pct < 0]
    return told
