"""The alarm rows of alarms.md section 2, and row 29, ours, in words: what the bits on the wire mean, what the pump does about each, and what senses it.

This is the one table of names; the pump holds numbers only (firmware/alarms.py), and tests hold the two, the table in
protocol/PROTOCOL.md and the reference against each other. Bit (row - 1) of the wire's `alarms` and `latched` is row 1..29. A
firmware may detect fewer rows; it cannot send others.

Until row 6 (encoder dead) is decided by the level test, an encoder that stopped counting looks like a stalled rotor (row 7): what it
booked as missed in that time is given back when row 6 comes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Alarm:
    """One row: priority 1 (highest) .. 4, `action` what the pump delivers meanwhile, `ends` what ends the alarm.

    `tone`: two-tone (every 10 min), single (hourly), once or none. `delivery` and `then`: the action by its name in alarms.md, and the one
    it gives way to ("" where there is none). `sensed`: by what the pump knows.
    """

    row: int
    name: str
    priority: int
    action: str
    ends: str
    tone: str = ""
    delivery: str = ""
    then: str = ""
    sensed: str = ""

    def to_dict(self) -> dict[str, object]:
        return {"code": self.row, "name": self.name, "priority": self.priority, "action": self.action, "ends": self.ends}


TWO, ONE, ONCE, NONE = "two-tone", "single", "once", "none"
_CONT, _NOBOLUS, _RETRY = "program unchanged", "program without boluses", "program without boluses, each pulse retried, nothing caught up"
_FLAT, _FALLBACK, _STOP = "flat 24 h rate", "fallback rate", "stopped"
# row, name, priority, tone, delivery, then, what that means, ends, sensed by
_ROWS = (
    (1, "motion without an order", 1, TWO, "STOP", "FALLBACK", "stopped; fallback rate once the rotor stood for 10 min and the switch cuts",
     "session", "encoder counts without or beyond a lease; a lease that is none"),
    (2, "free flow", 1, TWO, "STOP", "", "stopped, which does not help: empty the reservoir now", "session",
     "level falls by more than any head could make of the orders"),
    (3, "program records invalid", 1, TWO, "MIN", "FALLBACK",
     "safe state: minimum rate or stopped; fallback rate while the supervisor's copy is whole", "session",
     "CRC of the records at boot; of those in RAM daily"),
    (4, "hard cap would be exceeded", 1, TWO, "NOBOLUS", "FALLBACK", "program without boluses; fallback rate when the basal alone exceeds it",
     "session", "delivered volume in 1 h and 24 h; turns beyond the committed program"),
    (5, "over-infusion", 1, TWO, "FALLBACK", "", _FALLBACK, "session", "level test, with the encoder normal"),
    (6, "encoder dead", 1, TWO, "FALLBACK", "", "fallback rate, open loop", "session", "no counts, yet the level falls as ordered"),
    (7, "motor stall", 2, TWO, "NOBOLUS", "", _RETRY, "by itself", "three leases without counts, or one for 30 min"),
    (8, "reservoir empty", 2, TWO, "STOP", "", _STOP, "refill", "level at or below the residual"),
    (9, "reservoir empty by computation", 2, TWO, "NOBOLUS", "", _NOBOLUS, "refill", "ordered volume since the fill"),
    (10, "under-infusion", 2, TWO, "NOBOLUS", "", _RETRY, "session", "level test; a fifth of a day's volume not turned in 24 h"),
    (11, "occlusion", 2, TWO, "STOP", "", "held, one pulse an hour", "by itself", "catheter pressure: no pump here has it"),
    (12, "clock lost or jumped", 2, TWO, "FLAT", "", _FLAT, "clock set", "RTC against the tick and the last stored second"),
    (13, "watchdog resets", 2, TWO, "FALLBACK", "", _FALLBACK, "session", "three watchdog resets in 24 h; too little memory left"),
    (14, "store cannot be written", 2, TWO, "FLAT", "", _FLAT, "session", "a refused write; scratch read back wrong"),
    (15, "battery end of service", 2, TWO, "CONT", "STOP", "program unchanged; stopped once a pulse fails", "replacement",
     "voltage; 90 days since row 20"),
    (16, "stopped for long", 2, TWO, "STOP", "", _STOP, "resume", "time since the stop or pause: 6 h or 24 h, again at 48 h"),
    (17, "emergency suspend", 2, TWO, "FALLBACK", "STOP", "fallback rate or stopped", "session or 24 h", "an order at the magnet"),
    (18, "reservoir over-full", 2, TWO, "STOP", "FALLBACK", "held while the session is open, then fallback rate", "corrected",
     "level 10 min after a fill is not what was injected (pocket fill, overfill), or above capacity"),
    (19, "low reservoir", 3, ONE, "CONT", "", _CONT, "refill", "ordered volume since the fill: below 7 days or 2 mL"),
    (20, "elective replacement", 3, ONE, "CONT", "", "program unchanged; two-tone from day 76 of 90", "replacement", "voltage"),
    (21, "level sensor fault", 3, ONE, "CONT", "", "program unchanged; the over-infusion test is off", "session",
     "level jumps, stands still while drug flows, or no bellows could be there"),
    (22, "pressure or temperature sensor", 4, NONE, "CONT", "", _CONT, "by itself", "reading out of range; above 39.5 C"),
    (23, "bolus cut short", 3, ONCE, "NOBOLUS", "", "no bolus until the old lockout ends", "by itself", "what was left at a reset, stop or alarm"),
    (24, "pause over its limit", 3, ONE, "CONT", "", "back to the committed program", "by itself", "time"),
    (25, "drug past its in-pump life", 3, ONE, "CONT", "", _CONT, "refill", "expiry date of the fill"),
    (26, "refused patient requests", 4, NONE, "CONT", "", _CONT, "visit", "three refusals in 24 h"),
    (27, "strong magnetic field", 4, NONE, "NOBOLUS", "", _RETRY, "by itself", "reed switch closed and the rotor not following: no field sensor"),
    (28, "session stuck or locked out", 4, NONE, "CONT", "", _CONT, "by itself", "lockout; a session for 4 h; 104 bad or 8 forged frames in a round"),
    (29, "fill does not match the program", 2, TWO, "NOBOLUS", "", "program without boluses, its caps at the stronger of the two; a program for this fill ends it too",
     "refill", "drugs and concentrations of the program against those of the last fill, from 30 min behind it on"),
)
TABLE = {row: Alarm(row, name, priority, action, ends, tone, delivery, then, sensed)
         for row, name, priority, tone, delivery, then, action, ends, sensed in _ROWS}


def of_bits(bits: int) -> list[Alarm]:
    """The alarms whose bit is set, most urgent first (priority, then row). A bit beyond row 29 is shown as unknown, never dropped."""
    rows = [row for row in range(1, bits.bit_length() + 1) if bits >> (row - 1) & 1]
    found = [TABLE.get(row) or Alarm(row, "unknown alarm %d" % row, 1, "not known here", "not known here") for row in rows]
    return sorted(found, key=lambda alarm: (alarm.priority, alarm.row))
