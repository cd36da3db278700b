"""The alarm rows of alarms.md section 2 in words: what the bits on the wire mean and what the pump does about each.

Until a firmware detects row 6 (encoder dead), an encoder that stopped counting looks like a stalled rotor (row 7): every pulse is booked as
missed though its drug was delivered. Ledger and report then show less than the patient got; the level sensor and the withdrawn volume do not.

Bit (row - 1) of the wire's `alarms` and `latched` is row 1..28. A firmware may detect fewer rows; it cannot send others.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Alarm:
    """One row: priority 1 (highest) .. 4, `action` what the pump delivers meanwhile, `ends` what ends the alarm."""

    row: int
    name: str
    priority: int
    action: str
    ends: str

    def to_dict(self) -> dict[str, object]:
        return {"code": self.row, "name": self.name, "priority": self.priority, "action": self.action, "ends": self.ends}


_CONT, _NOBOLUS, _RETRY = "program unchanged", "program without boluses", "program without boluses, each pulse retried, nothing caught up"
_FLAT, _FALLBACK, _STOP = "flat 24 h rate", "fallback rate", "stopped"
_ROWS = (
    (1, "motion without an order", 1, _STOP, "session"),
    (2, "free flow", 1, "stopped, which does not help: empty the reservoir now", "session"),
    (3, "program records invalid", 1, "safe state: minimum rate or stopped", "session"),
    (4, "hard cap would be exceeded", 1, "program without boluses, or fallback rate", "session"),
    (5, "over-infusion", 1, _FALLBACK, "session"),
    (6, "encoder dead", 1, "fallback rate, open loop", "session"),
    (7, "motor stall", 2, _RETRY, "by itself"),
    (8, "reservoir empty", 2, _STOP, "refill"),
    (9, "reservoir empty by computation", 2, _NOBOLUS, "refill"),
    (10, "under-infusion", 2, _RETRY, "session"),
    (11, "occlusion", 2, "held, one pulse an hour", "by itself"),
    (12, "clock lost or jumped", 2, _FLAT, "clock set"),
    (13, "watchdog resets", 2, _FALLBACK, "session"),
    (14, "store cannot be written", 2, _FLAT, "session"),
    (15, "battery end of service", 2, _CONT, "replacement"),
    (16, "stopped for long", 2, _STOP, "resume"),
    (17, "emergency suspend", 2, "fallback rate or stopped", "session or 24 h"),
    (18, "reservoir over-full", 2, "held, then fallback rate", "corrected"),
    (19, "low reservoir", 3, _CONT, "refill"),
    (20, "elective replacement", 3, _CONT, "replacement"),
    (21, "level sensor fault", 3, "program unchanged; the over-infusion test is off", "session"),
    (22, "pressure or temperature sensor", 4, _CONT, "by itself"),
    (23, "bolus cut short", 3, "no bolus until the old lockout ends", "by itself"),
    (24, "pause over its limit", 3, "back to the committed program", "by itself"),
    (25, "drug past its in-pump life", 3, _CONT, "refill"),
    (26, "refused patient requests", 4, _CONT, "visit"),
    (27, "strong magnetic field", 4, _RETRY, "by itself"),
    (28, "session stuck or locked out", 4, _CONT, "by itself"),
)
TABLE = {row[0]: Alarm(*row) for row in _ROWS}


def of_bits(bits: int) -> list[Alarm]:
    """The alarms whose bit is set, most urgent first (priority, then row). A bit beyond row 28 is shown as unknown, never dropped."""
    rows = [row for row in range(1, bits.bit_length() + 1) if bits >> (row - 1) & 1]
    found = [TABLE.get(row) or Alarm(row, "unknown alarm %d" % row, 1, "not known here", "not known here") for row in rows]
    return sorted(found, key=lambda alarm: (alarm.priority, alarm.row))
