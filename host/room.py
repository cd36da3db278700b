"""Whether a fill has room in the reservoir, by the pump's book and by its level sensor, and how a fill that was typed wrongly is put right.

The pump takes every fill for one onto the residual; a syringe that took nothing out before it, or less than was there, is seen here or nowhere.
"""

from __future__ import annotations

from fractions import Fraction

from . import units
from .errors import RequestInvalid
from .fill import DISCREPANCY_NL, DISCREPANCY_SHARE, NL_PER_UL, Fill
from .implant import Implant
from .records import Event, Status

SENSOR_ROW = 21         # alarms.md: the level sensor says nothing
HARDLY_NL = 20_000      # delivered since a fill: that was this visit's (a day at the lowest rate is 48 uL)


def check_room(fill: Fill, status: Status, implant: Implant, delivered_nl: int | None, last: Event | None) -> list[str]:
    """Warnings about the room for a fill that is not the first; `delivered_nl` since the `last` record of one (None: not known).

    What is computed to be there, less what was withdrawn, must leave room: within max(1 mL, 15 % of what was delivered), which is the pump's own accuracy
    (alarms.md 4). The sensor excuses a reservoir that it shows emptier than the book (theft, over-infusion), and a fill that it shows to be in already.
    Raises RequestInvalid where neither does; with a sensor that is at fault the book alone only warns.
    """
    put_right = correction(fill, status, implant, delivered_nl, last)
    spare_nl = max(Fraction(DISCREPANCY_NL), DISCREPANCY_SHARE * (delivered_nl or 0))
    most_nl = implant.capacity_ul * NL_PER_UL + spare_nl
    added_nl = (fill.volume_ul - fill.withdrawn_ul) * NL_PER_UL
    blind = any(alarm.row == SENSOR_ROW for alarm in status.alarms)
    computed_nl, sensed_nl = status.reservoir_computed_nl, status.reservoir_sensed_nl
    if computed_nl + added_nl <= most_nl or (not blind and (sensed_nl + added_nl <= most_nl or _in_already(fill, status, most_nl))):
        return put_right
    sentence = "a fill of %s does not fit by the book: %s were computed to be in the reservoir of %s and %s withdrawn" % (
        _ml(fill.volume_ul * NL_PER_UL), _ml(computed_nl), _ml(implant.capacity_ul * NL_PER_UL), _ml(fill.withdrawn_ul * NL_PER_UL) if fill.withdrawn_ul else "nothing was")
    if blind:
        return ["%s; the level sensor is at fault, nothing tells whether the book is right" % sentence, *put_right]
    raise RequestInvalid("; ".join([sentence + "; empty it first, and record what comes out", *put_right]), "volume")


def correction(fill: Fill, status: Status, implant: Implant, delivered_nl: int | None, last: Event | None) -> list[str]:
    """How a fill that was recorded a moment ago is put right: by another record that takes out all that the book holds above the residual, onto which the
    pump will count it. A pump's very first fill found no residual, so that its correction is by so much less."""
    out_nl = status.reservoir_computed_nl - implant.residual_ul * NL_PER_UL
    if last is None or delivered_nl is None or delivered_nl > HARDLY_NL or abs(fill.withdrawn_ul * NL_PER_UL - out_nl) <= HARDLY_NL:
        return []
    first = status.reservoir_computed_nl <= last.a * NL_PER_UL
    return ["a fill of %s was recorded just before: if this one corrects that record, give as withdrawn %s%s" % (
        _ml(last.a * NL_PER_UL), _ml(out_nl), " and as volume what really went in less the residual of %s" % _ml(implant.residual_ul * NL_PER_UL) if first else "")]


def _in_already(fill: Fill, status: Status, most_nl: Fraction) -> bool:
    """The sensor shows far more than the book, and at least this fill, and no more than there is room for: it was injected before it is recorded."""
    sensed_nl = status.reservoir_sensed_nl
    return sensed_nl > status.reservoir_computed_nl + DISCREPANCY_NL and fill.volume_ul * NL_PER_UL <= sensed_nl <= most_nl


def _ml(volume_nl: int) -> str:
    return units.show(volume_nl, units.VOLUME, "mL", places=3)
