"""Alarms: the rows of alarms.md that this firmware detects, each with its priority, tone, one delivery action and end.

The most restrictive action of all active alarms wins. *The alarm latches, the delivery does not* where the row ends by
itself ("auto"): a latched stop after a passing cause is a withdrawal. The first cause is kept.
"""

from .limits import TONE_CRITICAL_S, TONE_NOTICE_S

CONT, NOBOLUS, FLAT, FALLBACK, MIN, STOP = range(6)
AUTO, SESSION, REFILLED = range(3)
SILENT, NOTICE, CRITICAL = range(3)

MOTION, RECORDS, STALL, EMPTY_SENSED, EMPTY_COMPUTED, CLOCK_LOST, STORE, BATTERY, STOPPED_LONG, EMERGENCY, LOW, BOLUS_CUT = \
    1, 3, 7, 8, 9, 12, 14, 15, 16, 17, 19, 23

# row of alarms.md, name, priority, tone, action, ends
TABLE = (
    (MOTION, "motion without an order", 1, CRITICAL, STOP, SESSION),
    (RECORDS, "program records invalid", 1, CRITICAL, MIN, SESSION),
    (STALL, "motor stall", 2, CRITICAL, NOBOLUS, AUTO),
    (EMPTY_SENSED, "reservoir empty", 2, CRITICAL, STOP, REFILLED),
    (EMPTY_COMPUTED, "reservoir empty by computation", 2, CRITICAL, NOBOLUS, REFILLED),
    (CLOCK_LOST, "clock lost or jumped", 2, CRITICAL, FLAT, SESSION),
    (STORE, "store cannot be written", 2, CRITICAL, FLAT, SESSION),
    (BATTERY, "battery end of service", 2, CRITICAL, CONT, SESSION),
    (STOPPED_LONG, "stopped for long", 2, CRITICAL, CONT, AUTO),
    (EMERGENCY, "emergency suspend", 2, CRITICAL, FALLBACK, SESSION),
    (LOW, "low reservoir", 3, NOTICE, CONT, REFILLED),
    # No lockout to wait for until there are patient boluses: it ends with the clinician's next order, who must restate the bridge.
    (BOLUS_CUT, "bolus cut short", 3, NOTICE, CONT, SESSION),
)


class Alarms:
    """Bit (row - 1) of `active` and `latched`. `action` is the most restrictive of what is active."""

    def __init__(self):
        self.active = 0
        self.latched = 0
        self.first = 0
        self.action = CONT
        self.tone = SILENT

    def is_active(self, row):
        """True while the cause of `row` stands."""
        return self.active >> (row - 1) & 1 == 1

    def set(self, row, on):
        """Raise or end a row; returns True when that changed something. Latches on raising; keeps the first cause."""
        bit = 1 << (row - 1)
        if on == (self.active & bit != 0):
            return False
        if on:
            self.active |= bit
            self.latched |= bit
            if self.first == 0:
                self.first = row
        else:
            self.active &= ~bit
        self._derive()
        return True

    def _derive(self):
        action, tone = CONT, SILENT
        for row in TABLE:
            if self.active >> (row[0] - 1) & 1:
                if row[4] > action:
                    action = row[4]
                if row[3] > tone:
                    tone = row[3]
        self.action = action
        self.tone = tone

    def restore(self, active, latched, first):
        """After a reset: what was latched stays on record; a cause that only a session or a refill ends still stands."""
        for row in TABLE:
            if row[5] == AUTO or row[0] == STORE:
                active &= ~(1 << (row[0] - 1))      # found anew, or not
        self.active = active
        self.latched = latched
        self.first = first
        self._derive()

    def tone_period_s(self):
        """Seconds between two sounds of the present tone; 0 for silence."""
        if self.tone == CRITICAL:
            return TONE_CRITICAL_S
        return TONE_NOTICE_S if self.tone == NOTICE else 0

