"""What the pump tells, as plain records: identity, status, events, daily totals, live frames. Made from the catalogue's rows.

Volumes are nL (whole, or exact fractions where motor steps make them), times are pump seconds; `to_dict()` is what `--json` prints.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Mapping

from ..protocol import catalogue, fields
from ..protocol.crc import crc16
from ..protocol.session import ROLES
from . import units
from .alarms import TABLE as ALARM_ROWS
from .alarms import Alarm, of_bits
from .blocks import STOP_REASONS
from .errors import ProtocolProblem
from .limits import OVERRIDE_REASONS, SOFT_LIMITS

RESET_CAUSES = ("unknown cause", "power on", "brown-out", "watchdog", "software")  # the system port's 0..4 (PROTOCOL.md, status)
PROGRAM_MODES = ("none", "simple continuous", "flex", "periodic bolus", "minimum rate")
LEVEL_FINDINGS = ("", "over-infusion", "under-infusion", "sensor", "free flow", "dead encoder")      # cause of the event (firmware/level_test.py)
CALIBRATIONS = ("off", "on", "learned at a refill", "back to the factory's")
DAMAGED = 0  # no event of the catalogue has this code
NEVER_DAYS = 65_535  # the status field's top: no date within its range
RECORDS_LOST = 3  # row of alarms.md


def decode(message_id: int, payload: bytes) -> dict[str, Any]:
    """A payload by the catalogue's row. Raises ProtocolProblem when it breaks a field's range."""
    row = catalogue.message(message_id)
    values: list[Any] = [None] * len(row[5])
    end = fields.unpack(row[5], payload, 0, len(payload), values)
    if end < 0:
        index = -end - 1
        name = row[5][index][fields.NAME] if index < len(row[5]) else "its length"
        raise ProtocolProblem("the pump's %s cannot be read: %s is out of range" % (row[1], name))
    return {field[fields.NAME]: value for field, value in zip(row[5], values)}


def _plain(value: Any) -> Any:
    """JSON for a value: bytes as hex, exact fractions as a number."""
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else round(float(value), 3)
    if isinstance(value, Alarm):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value


@dataclass(frozen=True)
class Identity:
    """Who answers: device serial, firmware version 'major.minor', runtime as the firmware names it, boots so far, roles with a key of their own."""

    serial: int
    firmware_version: str
    runtime: str
    boot_count: int
    paired: list[str]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Status:
    """One look at the pump. Totals count since the pump was made; `missed_nl` is per cause and is never made up.

    `delivered_hour_nl` and `_day_nl` are what the caps count against, `cap_*_nl` the caps at the concentration at the head; `boluses_*` count the last
    24 h; `lockout_s` is left of a patient bolus's lockout. `forgeries`: wrong keys and tags since boot; `locked_s`: seconds for which nobody may change therapy because of them.
    `given_until_s`: until then the day's dose runs evenly, since the clock went back over steps that were given; 0: they run.
    `calibration`: it may learn at refills; `trim`: thousandths by which a revolution moves more than the factory's figure, as far as it learned.
    `wasted_mj`: energy that traffic without a proof has cost since the pump was made, by the pump's own estimate (PROTOCOL.md).
    """

    time_s: int
    mode: str
    program_mode: str
    rate_nl_day: int
    daily_nl: int
    running_digest: str
    pulses: int
    pulse_nl: int
    demanded_nl: int
    ordered_nl: Fraction
    missed_nl: dict[str, int]
    reservoir_computed_nl: int
    reservoir_sensed_nl: int
    low_reservoir_days: int | None
    extra: str
    extra_left_nl: int
    bridge_left_nl: int
    paused_until_s: int
    delivered_hour_nl: int
    delivered_day_nl: int
    cap_hour_nl: int
    cap_day_nl: int
    boluses_granted: int
    boluses_refused: int
    lockout_s: int
    catheter_filled: bool
    temperature_c: float
    battery_mv: int
    alarms: list[Alarm]
    latched: list[Alarm]
    first_alarm: int
    boot_count: int
    reset_cause: str
    next_event: int
    uptime_s: int
    frames_bad: int
    forgeries: int
    locked_s: int
    wasted_mj: int
    calibration: bool
    trim: int
    given_until_s: int

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Status:
        """From the fields of a status reply."""
        steps = raw["ordered_revs"] * raw["steps_per_rev"] + raw["ordered_steps"]
        ordered = Fraction(steps * raw["nl_per_rev"], raw["steps_per_rev"]) if raw["steps_per_rev"] else Fraction(0)
        cause = raw["reset_cause"]
        same = {name: raw[name] for name in (
            "time_s", "rate_nl_day", "daily_nl", "pulses", "pulse_nl", "reservoir_computed_nl", "extra_left_nl", "bridge_left_nl",
            "paused_until_s", "delivered_hour_nl", "delivered_day_nl", "cap_hour_nl", "cap_day_nl", "boluses_granted", "boluses_refused", "lockout_s",
            "battery_mv", "first_alarm",
            "boot_count", "next_event", "uptime_s", "frames_bad", "forgeries", "locked_s",
            "wasted_mj", "trim")}
        return cls(
            mode=catalogue.MODES[raw["mode"]],
            program_mode=PROGRAM_MODES[raw["program_mode"]],
            running_digest=bytes(raw["running_digest"]).hex(),
            demanded_nl=raw["demanded_ul"] * 1000 + raw["demanded_nl"],
            ordered_nl=ordered,
            missed_nl={name: raw["missed_%s_ul" % name] * 1000 + raw["missed_%s_nl" % name] for name in catalogue.MISSED_CAUSES},
            reservoir_sensed_nl=raw["reservoir_sensed_ul"] * 1000,
            low_reservoir_days=None if raw["low_reservoir_days"] == NEVER_DAYS else raw["low_reservoir_days"],
            extra=catalogue.EXTRAS[raw["extra"]],
            calibration=bool(raw["calibration"]),
            catheter_filled=raw["catheter"] == catalogue.CATHETER_FILLED,
            temperature_c=raw["temperature_dc"] / 10,
            given_until_s=raw["given_until_s"] if raw["given_until_s"] > raw["time_s"] else 0,
            alarms=of_bits(raw["alarms"]),
            latched=of_bits(raw["latched"]),
            reset_cause=RESET_CAUSES[cause] if cause < len(RESET_CAUSES) else "cause %d" % cause,
            **same,
        )

    @property
    def missed_total_nl(self) -> int:
        """All causes together."""
        return sum(self.missed_nl.values())

    def to_dict(self) -> dict[str, Any]:
        row = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}
        return {**row, "time": units.pump_time_text(self.time_s), "missed_total_nl": self.missed_total_nl}


@dataclass(frozen=True)
class AlarmState:
    """Active and latched alarms, most urgent first; `first` is the row of the first cause, 0 for none. `sealed`: a key proves whose they are."""

    active: list[Alarm]
    latched: list[Alarm]
    first: int
    sealed: bool

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> AlarmState:
        """From the fields of an alarms reply, which no session seals."""
        return cls(of_bits(raw["active"]), of_bits(raw["latched"]), raw["first"], False)


@dataclass(frozen=True)
class Live:
    """One pushed telemetry frame."""

    time_s: int
    mode: str
    rate_nl_day: int
    pulses: int
    reservoir_computed_nl: int
    reservoir_sensed_nl: int
    alarms: list[Alarm]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Live:
        """From the fields of a live frame."""
        return cls(
            raw["time_s"], catalogue.MODES[raw["mode"]], raw["rate_nl_day"], raw["pulses"], raw["reservoir_computed_nl"],
            raw["reservoir_sensed_ul"] * 1000, of_bits(raw["alarms"]))

    def to_dict(self) -> dict[str, Any]:
        return {**{name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}, "time": units.pump_time_text(self.time_s)}


@dataclass(frozen=True)
class Event:
    """One event of the pump's ring; `name` and `text` are for people, the rest is as stored."""

    seq: int
    time_s: int
    code: int
    cause: int
    a: int
    b: int

    @property
    def name(self) -> str:
        if self.code == DAMAGED:
            return "damaged record"
        return next((row[1] for row in catalogue.EVENTS if row[0] == self.code), "event %d" % self.code)

    @property
    def text(self) -> str:
        """The arguments in words."""
        write = _EVENT_TEXTS.get(self.code)
        return write(self) if write else ", ".join(
            "%s %d" % (name, value) for name, value in (("cause", self.cause), ("a", self.a), ("b", self.b)) if value)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "time": units.pump_time_text(self.time_s), "name": self.name, "text": self.text}


def _ml(volume_nl: int) -> str:
    return units.show(volume_nl, units.VOLUME, "mL", places=6)


def _flow(rate_nl_day: int) -> str:
    return units.show(rate_nl_day, units.FLOW, "mL/day", places=6)


def _missed_cause(event: Event) -> str:
    causes = catalogue.MISSED_CAUSES
    return causes[event.cause] if event.cause < len(causes) else "cause %d" % event.cause


def _alarm_name(event: Event) -> str:
    alarm = ALARM_ROWS.get(event.cause)
    return "%d %s" % (event.cause, alarm.name if alarm else "unknown alarm")


def _alarm_text(event: Event) -> str:
    """The alarm, and of lost records whose they are: a pump that was flashed over another firmware's store is neither new nor damaged."""
    if event.cause != RECORDS_LOST or event.b == 0:
        return _alarm_name(event)
    return "%s: the store was written by firmware with records of version %d, which this one does not read; nothing of it runs: commission, fill and program anew" % (
        _alarm_name(event), event.b)


def _row_name(row: int) -> str:
    alarm = ALARM_ROWS.get(row)
    return "all" if row == 0 else "%d %s" % (row, alarm.name if alarm else "unknown alarm")


def _extra_name(extra: int) -> str:
    return catalogue.EXTRAS[extra] if extra < len(catalogue.EXTRAS) else "extra %d" % extra


def _role_name(role: int) -> str:
    return ROLES[role] if 0 < role < len(ROLES) else "role %d" % role


STALL_ROW = 7


def _block_name(kind: int) -> str:
    return next((row[1] for row in catalogue.BLOCKS if row[0] == kind), "order %d" % kind)


_EVENT_TEXTS = {
    catalogue.E_BOOT: lambda e: "boot %d after %s" % (e.a, RESET_CAUSES[e.cause] if e.cause < len(RESET_CAUSES) else "cause %d" % e.cause),
    catalogue.E_COMMISSION: lambda e: "serial %d, %d nL a revolution" % (e.a, e.b),
    catalogue.E_PROGRAM: lambda e: "%s, %s a day, %s first" % (
        PROGRAM_MODES[e.cause] if e.cause < len(PROGRAM_MODES) else "mode %d" % e.cause, _ml(e.a), _flow(e.b)),
    catalogue.E_REFILL: lambda e: "%s in, %s out" % (_ml(e.a * 1000), _ml(e.b * 1000)),
    catalogue.E_PRIME: lambda e: "%s at %s" % (_ml(e.a), _flow(e.b)),
    catalogue.E_PRIME_END: lambda e: "%s left" % _ml(e.a),
    catalogue.E_SET_CLOCK: lambda e: "from %s to %s" % (units.pump_time_text(max(0, e.b)), units.pump_time_text(max(0, e.a))),
    catalogue.E_GAP: lambda e: "%s for %s, %s missed" % (_missed_cause(e), units.duration_text(e.a), _ml(e.b)),
    catalogue.E_PULSE_LOST: lambda e: "%d since this was told last; of the last one %d counts seen" % (e.a, e.b),
    catalogue.E_ALARM: _alarm_text,
    catalogue.E_ALARM_END: lambda e: _alarm_name(e) + (", %d more pulses lost" % e.a if e.cause == STALL_ROW and e.a else ""),
    catalogue.E_CLOCK_JUMP: lambda e: "%d s" % e.a,
    catalogue.E_REFUSED: lambda e: "%s: %s" % (_block_name(e.a) if e.a else "order", reason_text(e.cause)),
    catalogue.E_STOP: lambda e: STOP_REASONS[e.cause] if e.cause < len(STOP_REASONS) else "reason %d" % e.cause,
    catalogue.E_TARE: lambda e: "sensed %+d uL against computed, offset %+d uL from now on" % (e.a, e.b),
    catalogue.E_BOLUS_CUT: lambda e: "%s left" % _ml(e.a),
    catalogue.E_BOLUS: lambda e: "%s: %s in %s" % (_extra_name(e.cause), _ml(e.a), units.duration_text(e.b)),
    catalogue.E_BOLUS_END: lambda e: "%s: %s given" % (_extra_name(e.cause), _ml(e.a)),
    catalogue.E_DENIED: lambda e: "%s; %d refused in 24 h" % (reason_text(e.cause), e.a),
    catalogue.E_PAUSE: lambda e: "until %s" % units.pump_time_text(max(0, e.a)),
    catalogue.E_PAUSE_END: lambda e: "over its limit" if e.cause else "by order",
    catalogue.E_BRIDGE: lambda e: "%s of the old drug at %s" % (_ml(e.a), _flow(e.b)),
    catalogue.E_CATHETER: lambda e: "drug-filled" if e.cause else "empty",
    catalogue.E_RECORD: lambda e: _block_name(e.cause),
    catalogue.E_SILENCE: lambda e: "%s for %d h" % (_row_name(e.cause), e.a),
    catalogue.E_ACKNOWLEDGE: lambda e: _row_name(e.cause) if e.cause else ", ".join(_row_name(alarm.row) for alarm in of_bits(e.a)) or "nothing was to be cleared",
    catalogue.E_ALARM_TEST: lambda e: "two-tone" if e.cause == 2 else "single tone",
    catalogue.E_VISIT: lambda e: "alarm test %s" % (("not heard", "heard", "not done")[e.cause] if e.cause < 3 else "result %d" % e.cause),
    catalogue.E_OVERRIDE: lambda e: "%s: %s" % (
        ", ".join(name for bit, name in enumerate(SOFT_LIMITS) if e.a >> bit & 1) or "bits %d" % e.a,
        OVERRIDE_REASONS[e.cause] if e.cause < len(OVERRIDE_REASONS) else "reason %d" % e.cause),
    catalogue.E_SELF_TEST: lambda e: "passed" if e.cause == 0 else "test %d failed (%d, %d)" % (e.cause, e.a, e.b),
    catalogue.E_LEVEL_TEST: lambda e: "%s: %d uL in %d h" % (LEVEL_FINDINGS[e.cause] if e.cause < len(LEVEL_FINDINGS) else "finding %d" % e.cause, e.a, e.b),
    catalogue.E_CALIBRATION: lambda e: "%s: %+d in a thousand, %+d before" % (
        CALIBRATIONS[e.cause] if e.cause < len(CALIBRATIONS) else "cause %d" % e.cause, e.a, e.b),
    catalogue.E_FIELD: lambda e: "entered" if e.cause else "left",
    catalogue.E_SESSION: lambda e: _role_name(e.cause),
    catalogue.E_LOCKED: lambda e: "%d wrong keys so far, locked for %s" % (e.a, units.duration_text(e.b)),
    catalogue.E_PAIR: lambda e: _role_name(e.cause),
    catalogue.E_REDUCE: lambda e: "ended" if e.cause == 0 else "%s until %s" % (
        {catalogue.REDUCE_FALLBACK: "fallback rate", catalogue.REDUCE_STOP: "stop"}.get(e.cause, "action %d" % e.cause),
        units.pump_time_text(max(0, e.a))),
}


@dataclass(frozen=True)
class Span:
    """One record of the 15-day delivery history: what was delivered up to `time_s` since the record before, and the state then."""

    time_s: int
    delivered_nl: int
    sensed_nl: int
    mode: str
    action: int
    rate_nl_day: int

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "time": units.pump_time_text(self.time_s)}


def read_history(data: bytes) -> list[Span]:
    """The delivery history; blank and damaged records are left out."""
    return [Span(raw["time_s"], raw["delivered_nl"], raw["sensed_ul"] * 1000, catalogue.MODES[raw["mode"]], raw["action"], raw["rate_ul_day"] * 1000)
            for raw in _whole_records(data, catalogue.HISTORY_FIELDS) if raw is not None and raw["mode"] < len(catalogue.MODES)]


def reason_text(reason: int) -> str:
    """A refusal reason in words."""
    return next((text for number, text in catalogue.REASONS if number == reason), "reason %d" % reason)


@dataclass(frozen=True)
class Day:
    """Totals of one day, closed at midnight: `day` counts from the epoch.

    `ordered_nl` is pulses times pulse size without those that did not turn, which are missed; the wire's row calls it demanded_nl
    (protocol/catalogue.py). So `ordered_nl` and `missed_nl` are what was due.
    """

    day: int
    pulses: int
    ordered_nl: int
    missed_nl: int
    sensed_nl: int
    alarms: list[Alarm]

    def to_dict(self) -> dict[str, Any]:
        row = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}
        return {**row, "date": units.pump_time_text(self.day * units.DAY_S)[:10]}


def _whole_records(data: bytes, rows: tuple[Any, ...]) -> list[dict[str, Any] | None]:
    """Fixed records with their CRC-16 checked; None for a blank or damaged one."""
    size = fields.size(rows)
    found: list[dict[str, Any] | None] = []
    for at in range(0, len(data) - size + 1, size):
        values: list[Any] = [None] * len(rows)
        good = fields.unpack(rows, data, at, at + size, values) >= 0 and crc16(data, at, at + size - 2) == values[-1]
        found.append({row[fields.NAME]: value for row, value in zip(rows, values)} if good else None)
    return found


def read_events(data: bytes, first_seq: int) -> list[Event]:
    """Events from bytes of the event file that start at `first_seq`.

    A record that fails its CRC (or is not the one that belongs there) is told as an event of code DAMAGED, so that a hole is seen.
    """
    events = []
    for seq, raw in enumerate(_whole_records(data, catalogue.EVENT_FIELDS), first_seq):
        if raw is None or raw["seq"] != seq:
            events.append(Event(seq, 0, DAMAGED, 0, 0, 0))
        else:
            events.append(Event(seq, raw["time_s"], raw["code"], raw["cause"], raw["a"], raw["b"]))
    return events


def read_days(data: bytes, first_day: int) -> list[Day]:
    """Daily totals from bytes of the day file that start at `first_day`; days the pump never closed are left out."""
    days = []
    for day, raw in enumerate(_whole_records(data, catalogue.DAY_FIELDS), first_day):
        if raw is not None and raw["day"] == day:
            days.append(Day(day, raw["pulses"], raw["demanded_nl"], raw["missed_nl"], raw["sensed_ul"] * 1000, of_bits(raw["alarms"])))
    return days
