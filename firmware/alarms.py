"""Alarms: the 28 rows of alarms.md and row 29, ours, each with its priority, tone, one delivery action and end. Their words: host/alarms.py.

The most restrictive action of all active rows wins. *The alarm latches, the delivery does not* where the row ends by itself: a
latched stop after a passing cause is a withdrawal. What ends by a session stays active until a session acknowledges it, and that
only when its cause is gone. The first cause is kept.
"""

from .limits import TONE_CRITICAL_S, TONE_NOTICE_S

CONT, NOBOLUS, FLAT, FALLBACK, MIN, STOP = range(6)
AUTO, SESSION, REFILLED, CLOCK_SET, REPLACED, RESUMED, CORRECTED, VISITED, SESSION_OR_DAY = range(9)
SILENT, NOTICE, CRITICAL, ONCE = range(4)

MOTION, FREE_FLOW, RECORDS, CAP, OVER, ENCODER, STALL, EMPTY_SENSED, EMPTY_COMPUTED, UNDER = range(1, 11)
CLOCK_LOST, WATCHDOG, STORE, BATTERY, STOPPED_LONG, EMERGENCY, OVERFULL, LOW, ERI, LEVEL_SENSOR, AMBIENT, BOLUS_CUT, \
    PAUSE_LONG, EXPIRED, REFUSED, FIELD, LINK, DRUGS = range(12, 30)      # row 11 (catheter pressure) is an extension that this hardware lacks

# A byte a row, row 1 first: action in octal's last digit, the action it shifts to in the digit before; tone, priority and end likewise.
_ACTIONS = bytes((0o35, 0o55, 0o34, 0o31, 0o33, 0o33, 0o11, 0o55, 0o11, 0o11, 0o55, 0o22, 0o33, 0o22,
                  0o50, 0o55, 0o53, 0o35, 0o00, 0o00, 0o00, 0o00, 0o11, 0o00, 0o00, 0o00, 0o11, 0o00, 0o11))
# tone * 64 + (priority - 1) * 16 + end
_KINDS = bytes((0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x90, 0x92, 0x92, 0x91, 0x90, 0x93, 0x91, 0x91,
                0x94, 0x95, 0x98, 0x96, 0x62, 0x64, 0x61, 0x30, 0xE0, 0x60, 0x62, 0x37, 0x30, 0x30, 0x92))
ROWS = 29


def action_of(row, shifted=False):
    """What the pump delivers under this row alone; `shifted`: its second action, see Alarms.shift."""
    return _ACTIONS[row - 1] >> 3 if shifted else _ACTIONS[row - 1] & 7


def tone_of(row):
    """SILENT, NOTICE (hourly), CRITICAL (every 10 min) or ONCE."""
    return _KINDS[row - 1] >> 6


def priority(row):
    """1 (highest) .. 4."""
    return (_KINDS[row - 1] >> 4 & 3) + 1


def ends(row):
    """What ends the row: AUTO .. SESSION_OR_DAY."""
    return _KINDS[row - 1] & 15


class Alarms:
    """Bit (row - 1) of `active` and `latched`. `action` is the most restrictive of what is active."""

    def __init__(self):
        self.active = 0
        self.latched = 0
        self.first = 0
        self.action = CONT
        self.tone = SILENT          # what may sound now: NOTICE or CRITICAL
        self.urgent = False         # a row of priority 1 or 2 is active
        self._causes = 0            # of the active: seen now, not yet gone
        self._shifted = 0
        self._quiet = 0             # silenced, or sounded once
        self._until = bytearray(ROWS)       # of each row's silence, in 10 min of uptime, the last byte of it

    def is_active(self, row):
        """True while `row` acts."""
        return self.active >> (row - 1) & 1 == 1

    def is_shifted(self, row):
        """True while its second action holds."""
        return self._shifted >> (row - 1) & 1 == 1

    def set(self, row, on):
        """The cause of `row` is there, or gone; returns True when that is news. Latches; keeps the first cause.

        A cause that recurs ends the row's silence. A row that a session ends stays active without its cause.
        """
        bit = 1 << (row - 1)
        if on == (self._causes & bit != 0) and (on or ends(row) == SESSION or not self.active & bit):
            return False
        if on:
            self._causes |= bit
            self.active |= bit
            self.latched |= bit
            self._quiet &= ~bit
            if row == MOTION:
                self._shifted &= ~bit       # a stop again, until the rotor is proved still again
            if self.first == 0:
                self.first = row
        else:
            self._causes &= ~bit
            if ends(row) == SESSION:
                return False
            self.active &= ~bit
            self._shifted &= ~bit
        self._derive()
        return True

    def shift(self, row, on):
        """Let a row's second action hold, or its first; returns True when that is news.

        1: STOP, then FALLBACK once the rotor is proved still and the switch cuts. 3: MIN, FALLBACK from the supervisor's copy.
        4: NOBOLUS, FALLBACK when the basal alone exceeds it. 15: CONT until a pulse fails, then STOP. 17: FALLBACK, STOP if chosen.
        18: held (STOP) while the session is open, then FALLBACK. 20: CONT, loud from day 76 on.
        """
        bit = 1 << (row - 1)
        if on == (self._shifted & bit != 0):
            return False
        self._shifted ^= bit
        self._derive()
        return True

    def acknowledge(self, row):
        """A session has seen `row` (0: all): it ends if its cause is gone. Returns the bits that were cleared."""
        seen = ((1 << ROWS) - 1 if row == 0 else 1 << (row - 1)) & self.latched
        for each in range(1, ROWS + 1):
            if ends(each) != SESSION and self.is_active(each):
                seen &= ~(1 << (each - 1))      # its own end ends it
        seen &= ~self._causes
        self.active &= ~seen
        self.latched &= ~seen
        self._shifted &= self.active
        if self.first and not self.latched >> (self.first - 1) & 1:
            self.first = 0
            for each in range(ROWS, 0, -1):
                if self.latched >> (each - 1) & 1:
                    self.first = each           # of what stands, the most severe
        self._derive()
        return seen

    def silence(self, row, uptime_s, hours):
        """No tone for `row` (0: all that are active) for 1 to 24 hours from now, up to 10 min less: a session's order. The last one for a row holds."""
        for each in range(ROWS):
            if each == row - 1 or (row == 0 and self.active >> each & 1):
                self._until[each] = uptime_s // TONE_CRITICAL_S + hours * 6 & 255
                self._quiet |= 1 << each
        self._derive()

    def watch(self, uptime_s):
        """Each round: a silence that is over ends."""
        for each in range(ROWS):
            # 144 of them are the longest silence: what is less than 112 behind is over.
            if self._quiet >> each & 1 and each != BOLUS_CUT - 1 and uptime_s // TONE_CRITICAL_S - self._until[each] & 255 < 112:
                self._quiet ^= 1 << each
                self._derive()

    def sounded(self):
        """The tone was played: what sounds once has."""
        self._quiet |= self.active & 1 << (BOLUS_CUT - 1)
        self._derive()

    def _derive(self):
        action, tone, urgent = CONT, SILENT, False
        for row in range(1, ROWS + 1):
            if self.active >> (row - 1) & 1:
                shifted = self.is_shifted(row)
                acts = action_of(row, shifted)
                if acts > action:
                    action = acts
                if priority(row) <= 2:
                    urgent = True
                sound = tone_of(row)
                if sound == ONCE:
                    sound = NOTICE
                elif sound and shifted:
                    sound = CRITICAL
                if sound > tone and not self._quiet >> (row - 1) & 1:
                    tone = sound
        self.action, self.urgent, self.tone = action, urgent, tone

    def restore(self, active, latched, first):
        """After a reset: what was latched stays on record. What ends by itself is found anew, or not; so is a store that cannot be written.

        The bit above the rows': row 4 was the basal's, and stays at the fallback.
        """
        if active >> ROWS:
            active ^= 1 << ROWS
            self._shifted = 1 << (CAP - 1)
        causes = active
        for row in range(1, ROWS + 1):
            if ends(row) == AUTO or row == STORE:
                active &= ~(1 << (row - 1))
            if ends(row) == SESSION:
                causes &= ~(1 << (row - 1))
        self.active = active
        self.latched = latched
        self.first = first
        self._causes = causes & active
        self._derive()

    def tone_period_s(self):
        """Seconds between two sounds of the present tone; 0 for silence."""
        if self.tone == CRITICAL:
            return TONE_CRITICAL_S
        return TONE_NOTICE_S if self.tone == NOTICE else 0
