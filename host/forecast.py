"""How long the pump lasts: drug to its low-reservoir date with and without the patient's boluses, battery to its elective replacement.

A lithium cell's voltage says little until it is nearly empty, so the forecast counts energy: what the pump draws standing still, and each pulse
that it has ordered since the implant. Constructed figures of the reference pump, as in hw_sim/params/battery-reference.toml and motor-reference.toml.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Sequence

from ..protocol import catalogue
from . import steady, units
from .fill import empty_date, low_reservoir_date
from .implant import Implant
from .life import Contents, ImplantRecord
from .prescription import Prescription
from .records import Event, Status

CAPACITY_MJ = 2.2e7     # 100 uW for 7 years (clinical.md 1.1)
STANDING_UW = 50.0      # sleeping controller, RTC, sensors: half of the 100 uW budget
PULSE_MJ = 0.5 + 117 * 0.074   # waking the driver for a train, and its steps: 1 uL is 117 steps at 35 uL a revolution
ERI_DAYS = 90           # from the replacement indicator to the end of service (clinical.md 1.1, Medtronic UK patient page)
HARD_STOP_DAYS = 7 * 365    # the battery's certified life whatever is left (same page)
SPREAD = 0.2            # of the time left: cells and their loads differ [judgement of this project]
DAYS_A_MONTH = 365.25 / 12
EOS_ROW, ERI_ROW = 15, 20   # alarms.md 2


@dataclass(frozen=True)
class Battery:
    """Months to the replacement indicator: expected, and the range that a fifth either way makes. Behind it `service_days`: what is left of its 90 days at most,
    0 at the end of service; None before."""

    months: float
    least: float
    most: float
    service_days: int | None = None

    def text(self) -> str:
        if self.service_days is not None:
            return "REPLACEMENT IS DUE: %s" % ("at most %d d of service left, of %d from the indicator" % (self.service_days, ERI_DAYS) if self.service_days else (
                "at the end of service, the %d d from the indicator are over or the battery starts no pulse" % ERI_DAYS))
        return "%.0f months to replacement (%.0f .. %.0f)" % (self.months, self.least, self.most)

    def to_dict(self) -> dict[str, Any]:
        return {name: round(value, 1) for name, value in self.__dict__.items() if value is not None}


@dataclass(frozen=True)
class Reservoir:
    """Pump times (s) at which the reservoir is low (alarms.md row 19) and empty, with every patient bolus granted and with none; and of the drug's end."""

    low_s: int
    low_without_boluses_s: int
    empty_s: int
    expires_s: int | None

    @property
    def refill_by_s(self) -> int:
        """The latest time of the next refill: before the reservoir is low in the worst case, and before the drug is past its life."""
        return min(self.low_s, self.expires_s) if self.expires_s else self.low_s

    def to_dict(self) -> dict[str, Any]:
        return {"low": units.pump_time_text(self.low_s), "low_without_boluses": units.pump_time_text(self.low_without_boluses_s),
                "empty": units.pump_time_text(self.empty_s), "expires": units.pump_time_text(self.expires_s)[:10] if self.expires_s else None,
                "refill_by": units.pump_time_text(self.refill_by_s)}


def indicated_s(status: Status, events: Sequence[Event]) -> int | None:
    """Seconds that the replacement indicator (row 20) has stood, on a clock that nobody sets; None where it does not stand or `events` do not reach back to it."""
    if all(alarm.row != ERI_ROW for alarm in status.alarms):
        return None
    ended = max((event.seq for event in events if event.code == catalogue.E_ALARM_END and event.cause == ERI_ROW), default=-1)
    raised = [event for event in events if event.code == catalogue.E_ALARM and event.cause == ERI_ROW and event.seq > ended]
    return steady.age_s(events, raised[0], status.time_s) if raised else None


def battery(status: Status, record: ImplantRecord | None, program: Prescription | None, events: Sequence[Event] = ()) -> Battery | None:
    """The forecast at the running program, None before the implant is on record. 84 months from the implant are the most there are.

    Where the pump itself says that its battery is near its end (rows 15 and 20), that counts and no energy: 90 days from when row 20 stood, by the log's `events`.
    """
    rows = {alarm.row for alarm in status.alarms}
    if rows & {EOS_ROW, ERI_ROW}:
        return Battery(0, 0, 0, 0 if EOS_ROW in rows else max(0, ERI_DAYS - (indicated_s(status, events) or 0) // units.DAY_S))
    if record is None or status.pulse_nl == 0:
        return None
    age_days = max(0, status.time_s - record.implanted_s) / units.DAY_S
    daily_nl = program.worst_daily_nl() if program else Fraction(0)
    a_day_mj = STANDING_UW * 1e-3 * units.DAY_S + float(daily_nl / status.pulse_nl) * PULSE_MJ
    used_mj = STANDING_UW * 1e-3 * units.DAY_S * age_days + status.pulses * PULSE_MJ
    left_days = max(0.0, (CAPACITY_MJ - used_mj) / a_day_mj - ERI_DAYS)
    most_days = max(0.0, HARD_STOP_DAYS - ERI_DAYS - age_days)
    expected, least, most = (min(left_days * factor, most_days) / DAYS_A_MONTH for factor in (1.0, 1 - SPREAD, 1 + SPREAD))
    return Battery(expected, least, most)


def reservoir(status: Status, implant: Implant, program: Prescription | None, contents: Contents | None) -> Reservoir | None:
    """The dates of what the pump holds at the running program, None where nothing is delivered."""
    return reservoir_of(program, status.reservoir_computed_nl, status.time_s, implant, contents)


def reservoir_of(program: Prescription | None, volume_nl: int, now_s: int, implant: Implant, contents: Contents | None) -> Reservoir | None:
    """The dates of `volume_nl` in the reservoir at pump time `now_s` under a program, None where it delivers nothing."""
    if program is None or program.weekly_nl() == 0:
        return None
    residual = implant.residual_ul * 1000
    low = low_reservoir_date(program, volume_nl, now_s, residual_nl=residual, boluses=True)
    plain = low_reservoir_date(program, volume_nl, now_s, residual_nl=residual)
    empty = empty_date(program, volume_nl, now_s, residual_nl=residual, boluses=True)
    return Reservoir(low, plain, empty, contents.expires_s or None if contents else None)
