"""Therapy blocks: what the host stages is unpacked, checked against the pump's limits and packed anew.

`Block.take` gives 0 or a refusal reason with the field and value at fault. The canonical bytes, not the staged ones, are
read back, digested and executed.
"""

import hashlib

from ..protocol import catalogue as cat
from ..protocol.fields import get, pack, put, unpack
from .limits import DAY_S, EDGE_COUNTS, FLOOR_RATE_NL_DAY, HOLD_MARGIN_MS, LEAST_BOLUS_NL, LEAST_BOLUS_S, MAX_RATE_NL_DAY, SMALL
from .ports import MAX_HOLD_MS, STEP_HZ

DRUGS = ("1", "2", "3")
TRIAL_DOSE_BYTES = 10       # kind, dose ng u32, hours, response, effect h, adverse, score


def digest_of(kind, canonical, length):
    """The first 8 bytes of SHA-256 over the kind byte and the canonical block."""
    return hashlib.sha256(bytes((kind,)) + bytes(memoryview(canonical)[:length])).digest()[:cat.DIGEST_BYTES]


def values_of(kind, canonical):
    """{field: value} of canonical bytes that were checked before."""
    rows = cat.block(kind)
    found = [0] * len(rows)
    unpack(rows, canonical, 0, len(canonical), found)
    return {rows[index][0]: found[index] for index in range(len(rows))}


def drugs_of(values):
    """Name and concentration of the three drugs of a program's or a refill's values, in one order whatever order they were named in."""
    pairs = []
    for index in DRUGS:
        pairs.append((values["drug_" + index], values["concentration_%s_ng_ml" % index]))
    pairs.sort()
    return pairs[2] + pairs[1] + pairs[0]


def bolus_rate_nl_day(volume_nl, seconds):
    """nL/day that delivers `volume_nl` in at most `seconds`: rounded up, so that the bolus is over in time."""
    return (volume_nl * DAY_S + seconds - 1) // seconds


class Block:
    """One checked block: kind, values by field name, canonical bytes, digest; or a refusal."""

    def __init__(self):
        self.kind = 0
        self.values = {}
        self.canonical = b""
        self.digest = b""
        self.reason = 0
        self.field = 0
        self.value = 0
        self._most_rate = 0

    def take(self, kind, buffer, length, minimum_rate_nl_day):
        """Check buffer[:length] as a block of `kind`; returns 0 or a R_* reason (then `field` and `value` say where)."""
        self.reason = self.field = self.value = 0
        rows = cat.block(kind)
        if rows is None:
            return self._refuse(cat.R_BAD_FIELD, 0, kind)
        found = [0] * len(rows)
        end = unpack(rows, buffer, 0, length, found)
        if end < 0:
            index = -end - 1
            return self._refuse(cat.R_BAD_FIELD if index < len(rows) else cat.R_BAD_LENGTH, index, length)
        self.kind = kind
        self.values = {}
        for index in range(len(rows)):
            self.values[rows[index][0]] = found[index]
        if kind == cat.PROGRAM:
            self._check_program(rows, minimum_rate_nl_day)
        elif kind == cat.COMMISSION:
            self._check_commission(rows)
        elif kind == cat.REFILL:
            if found[2] or self.values["drug_1"][0]:       # a reservoir that is emptied holds no drug
                self._check_drugs(rows)
        elif kind == cat.BOLUS:
            if bolus_rate_nl_day(self.values["volume_nl"], self.values["seconds"]) > MAX_RATE_NL_DAY:
                self._refuse_named(rows, cat.R_LIMIT, "volume_nl", self.values["volume_nl"])
        elif kind == cat.TRIAL_RECORD:
            self._check_trial(rows)
        if self.reason:
            return self.reason
        out = bytearray(cat.MAX_BLOCK)
        size = pack(rows, found, out)
        self.canonical = bytes(memoryview(out)[:size])
        self.digest = digest_of(kind, self.canonical, size)
        return 0

    def _refuse(self, reason, field, value):
        if self.reason == 0:
            self.reason, self.field, self.value = reason, field, value
        return self.reason

    def _refuse_named(self, rows, reason, name, value):
        for index in range(len(rows)):
            if rows[index][0] == name:
                return self._refuse(reason, index, value)
        raise KeyError(name)

    def _check_commission(self, rows):
        values = self.values
        steps = values["steps_per_rev"] * values["pulse_nl"] // values["nl_per_rev"] + 1
        if values["step_hz"] != STEP_HZ:
            self._refuse_named(rows, cat.R_LIMIT, "step_hz", values["step_hz"])
        if steps * 1000 // values["step_hz"] + 1 + HOLD_MARGIN_MS > MAX_HOLD_MS:
            self._refuse_named(rows, cat.R_LIMIT, "pulse_nl", values["pulse_nl"])   # longer than the enable one-shot
        if steps * 2 >= values["steps_per_rev"]:
            self._refuse_named(rows, cat.R_LIMIT, "pulse_nl", values["pulse_nl"])   # the encoder counts modulo a turn
        counts = values["counts_per_rev"] * values["pulse_nl"] // values["nl_per_rev"]
        if counts < 2 * EDGE_COUNTS:    # else the encoder cannot tell a pulse from its own noise
            self._refuse_named(rows, cat.R_LIMIT, "counts_per_rev", values["counts_per_rev"])
        if values["residual_ul"] >= values["capacity_ul"]:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "residual_ul", values["residual_ul"])
        if values["tubing_nl"] > values["dead_volume_nl"]:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "tubing_nl", values["tubing_nl"])
        if values["battery_eri_mv"] < values["battery_empty_mv"]:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "battery_eri_mv", values["battery_eri_mv"])

    def _check_trial(self, rows):
        """Whole doses of a known kind; a trial that succeeded has a dose with a response (regimens.md 1)."""
        doses, answered = self.values["doses"], 0
        if len(doses) % TRIAL_DOSE_BYTES:
            self._refuse_named(rows, cat.R_BAD_LENGTH, "doses", len(doses))
            return
        for at in range(0, len(doses), TRIAL_DOSE_BYTES):
            if doses[at] not in (1, 2) or get(doses, at + 1, 4) == 0:
                self._refuse_named(rows, cat.R_BAD_BLOCK, "doses", at // TRIAL_DOSE_BYTES)
            answered |= doses[at + 6]
        if self.values["indicated"] and not answered:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "indicated", 1)
        if self.values["drug"][0] == 0:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "drug", 0)

    def _check_program(self, rows, minimum_rate_nl_day):
        values = self.values
        patterns, steps, mode = values["patterns"], values["steps"], values["mode"]
        for pattern in values["weekdays"]:
            if pattern >= patterns:
                self._refuse_named(rows, cat.R_BAD_BLOCK, "weekdays", pattern)
        at, self._most_rate = 0, 0
        for _ in range(patterns):
            at = self._check_pattern(rows, steps, at, minimum_rate_nl_day)
            if self.reason:
                return
        if at != len(steps):
            self._refuse_named(rows, cat.R_BAD_LENGTH, "steps", len(steps))
        one_step = len(steps) == 7
        if mode != cat.FLEX and one_step != (mode != cat.PERIODIC):
            self._refuse_named(rows, cat.R_BAD_BLOCK, "mode", mode)
        if mode == cat.MINIMUM and self._most_rate != minimum_rate_nl_day:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "mode", mode)
        self._check_safety(rows, minimum_rate_nl_day)
        self._check_drugs(rows)
        self._check_caps(rows)
        self._check_bolus(rows)

    def _check_pattern(self, rows, steps, at, minimum_rate_nl_day):
        """One day pattern: 1..13 steps (25 of a periodic program), the first from minute 0, each later than the one before; returns the end."""
        count = steps[at] if at < len(steps) else 0
        most = 2 * cat.MAX_BOLUSES_A_DAY + 1 if self.values["mode"] == cat.PERIODIC else cat.MAX_STEPS_A_DAY
        if count < 1 or count > most or at + 1 + 6 * count > len(steps):
            self._refuse_named(rows, cat.R_BAD_LENGTH, "steps", count)
            return at
        at += 1
        last = -1
        for index in range(count):
            minute, rate = get(steps, at, 2), get(steps, at + 2, 4)
            if minute <= last or minute >= 1440 or (index == 0 and minute != 0):
                self._refuse_named(rows, cat.R_BAD_BLOCK, "steps", minute)
            if not self._deliverable(rate, minimum_rate_nl_day):
                self._refuse_named(rows, cat.R_LIMIT, "steps", min(rate, SMALL - 1))
            self._most_rate = max(self._most_rate, rate)
            last = minute
            at += 6
        return at

    @staticmethod
    def _deliverable(rate_nl_day, minimum_rate_nl_day):
        """The head's range, or exactly the minimum rate."""
        return rate_nl_day == minimum_rate_nl_day or FLOOR_RATE_NL_DAY <= rate_nl_day <= MAX_RATE_NL_DAY

    def _check_safety(self, rows, minimum_rate_nl_day):
        """What the pump falls back to must be less than the therapy, and agree with what is said of the drug (alarms.md 1)."""
        values = self.values
        fallback_nl_day, bridge_nl, bridge_nl_day = values["fallback_nl_day"], values["bridge_nl"], values["bridge_rate_nl_day"]
        if fallback_nl_day and not self._deliverable(fallback_nl_day, minimum_rate_nl_day):
            self._refuse_named(rows, cat.R_LIMIT, "fallback_nl_day", fallback_nl_day)
        if fallback_nl_day > self._most_rate or (values["abrupt_stop"] and fallback_nl_day == 0):
            self._refuse_named(rows, cat.R_BAD_BLOCK, "fallback_nl_day", fallback_nl_day)
        if values["safe_state"] == cat.SAFE_STOP and fallback_nl_day == minimum_rate_nl_day:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "safe_state", cat.SAFE_STOP)      # the minimum rate is still a dose of this drug
        if (values["overrides"] == 0) != (values["override_why"] == 0):
            self._refuse_named(rows, cat.R_BAD_BLOCK, "override_why", values["override_why"])
        if (bridge_nl == 0) != (bridge_nl_day == 0):
            self._refuse_named(rows, cat.R_BAD_BLOCK, "bridge_rate_nl_day", bridge_nl_day)
        if bridge_nl and not self._deliverable(bridge_nl_day, minimum_rate_nl_day):
            self._refuse_named(rows, cat.R_LIMIT, "bridge_rate_nl_day", bridge_nl_day)

    def _check_drugs(self, rows):
        """At least one drug; no name without a concentration, no concentration without a name, no drug twice."""
        values = self.values
        if values["concentration_1_ng_ml"] == 0:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "concentration_1_ng_ml", 0)
        for index in DRUGS:
            drug = values["drug_" + index]
            named = drug[0] != 0
            if named != (values["concentration_%s_ng_ml" % index] > 0):
                self._refuse_named(rows, cat.R_BAD_BLOCK, "drug_" + index, 0)
            for other in DRUGS:
                if named and other < index and values["drug_" + other] == drug:
                    self._refuse_named(rows, cat.R_BAD_BLOCK, "drug_" + index, 0)

    def _check_caps(self, rows):
        """Each drug has both its caps, the hour's at most the day's; no cap without a drug."""
        for index in DRUGS:
            hour_ng, day_ng = self.values["cap_hour_%s_ng" % index], self.values["cap_day_%s_ng" % index]
            drug = self.values["drug_" + index][0] != 0
            if drug != (hour_ng > 0) or hour_ng > day_ng:
                self._refuse_named(rows, cat.R_BAD_BLOCK, "cap_hour_%s_ng" % index, hour_ng)
            if drug != (day_ng > 0):
                self._refuse_named(rows, cat.R_BAD_BLOCK, "cap_day_%s_ng" % index, day_ng)

    def _check_bolus(self, rows):
        """The patient's bolus: all of it or nothing; over before its lockout is; with the basal below the head's most."""
        values = self.values
        volume_nl, seconds = values["bolus_nl"], values["bolus_s"]
        if volume_nl == 0:
            for name in ("bolus_s", "lockout_min", "interval_h", "per_interval", "per_day"):
                if values[name]:
                    self._refuse_named(rows, cat.R_BAD_BLOCK, name, values[name])
            return
        if volume_nl < LEAST_BOLUS_NL:
            self._refuse_named(rows, cat.R_LIMIT, "bolus_nl", volume_nl)
        if seconds < LEAST_BOLUS_S:
            self._refuse_named(rows, cat.R_LIMIT, "bolus_s", seconds)
        elif self._most_rate + bolus_rate_nl_day(volume_nl, seconds) > MAX_RATE_NL_DAY:
            self._refuse_named(rows, cat.R_LIMIT, "bolus_nl", volume_nl)
        if seconds > values["lockout_min"] * 60:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "lockout_min", values["lockout_min"])
        if (values["interval_h"] == 0) != (values["per_interval"] == 0):
            self._refuse_named(rows, cat.R_BAD_BLOCK, "per_interval", values["per_interval"])
        if values["per_day"] == 0 or values["per_interval"] > values["per_day"]:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "per_day", values["per_day"])


class Stage:
    """The staging area: bytes arrive by offset, in any order but without holes at the end; dropped after STAGE_LIFE_S."""

    def __init__(self):
        self.block = Block()
        self.drop()

    def drop(self):
        """Forget what was staged, and give its memory back."""
        self.buffer: bytes | bytearray = b""       # `total` bytes while something is staged
        self.kind = 0
        self.total = 0
        self.received = 0
        self.checked = False
        self.opened_s = 0

    def put(self, kind, total, offset, data, uptime_s):
        """Take a chunk; 0 or a reason. A chunk must start where the last ended (or at 0, which starts anew)."""
        if offset == 0:
            self.drop()
            self.kind, self.total, self.opened_s = kind, total, uptime_s
            self.buffer = bytearray(total)
        if kind != self.kind or total != self.total or offset > self.received or offset + len(data) > total:
            return cat.R_BAD_LENGTH
        for index in range(len(data)):
            put(self.buffer, offset + index, 1, data[index])
        if offset + len(data) > self.received:
            self.received = offset + len(data)
        self.checked = False
        return 0
