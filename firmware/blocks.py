"""Therapy blocks: what the host stages is unpacked, checked against the pump's limits and packed anew.

`Block.take` gives 0 or a refusal reason with the field and value at fault. The canonical bytes, not the staged ones, are
read back, digested and executed.
"""

import hashlib

from ..protocol import catalogue as cat
from ..protocol.fields import get, pack, put, unpack
from .limits import EDGE_COUNTS, FLOOR_RATE_NL_DAY, HOLD_MARGIN_MS, MAX_RATE_NL_DAY
from .ports import MAX_HOLD_MS, STEP_HZ


def digest_of(kind, canonical, length):
    """The first 8 bytes of SHA-256 over the kind byte and the canonical block."""
    return hashlib.sha256(bytes((kind,)) + bytes(memoryview(canonical)[:length])).digest()[:cat.DIGEST_BYTES]


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

    def _check_program(self, rows, minimum_rate_nl_day):
        values = self.values
        patterns, steps = values["patterns"], values["steps"]
        for pattern in values["weekdays"]:
            if pattern >= patterns:
                self._refuse_named(rows, cat.R_BAD_BLOCK, "weekdays", pattern)
        at = 0
        for _ in range(patterns):
            at = self._check_pattern(rows, steps, at, minimum_rate_nl_day)
            if self.reason:
                return
        if at != len(steps):
            self._refuse_named(rows, cat.R_BAD_LENGTH, "steps", len(steps))
        if values["mode"] == cat.SIMPLE and len(steps) != 7:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "mode", cat.SIMPLE)
        if values["fallback_nl_day"] and not self._deliverable(values["fallback_nl_day"], minimum_rate_nl_day):
            self._refuse_named(rows, cat.R_LIMIT, "fallback_nl_day", values["fallback_nl_day"])
        self._check_drugs(rows)

    def _check_pattern(self, rows, steps, at, minimum_rate_nl_day):
        """One day pattern: 1..13 steps, the first from minute 0, each later than the one before; returns the end."""
        count = steps[at] if at < len(steps) else 0
        if count < 1 or count > cat.MAX_STEPS_A_DAY or at + 1 + 6 * count > len(steps):
            self._refuse_named(rows, cat.R_BAD_LENGTH, "steps", count)
            return at
        at += 1
        last = -1
        for index in range(count):
            minute, rate = get(steps, at, 2), get(steps, at + 2, 4)
            if minute <= last or minute >= 1440 or (index == 0 and minute != 0):
                self._refuse_named(rows, cat.R_BAD_BLOCK, "steps", minute)
            if not self._deliverable(rate, minimum_rate_nl_day):
                self._refuse_named(rows, cat.R_LIMIT, "steps", rate if rate < 1 << 30 else (1 << 30) - 1)
            last = minute
            at += 6
        return at

    @staticmethod
    def _deliverable(rate_nl_day, minimum_rate_nl_day):
        """The head's range, or exactly the minimum rate."""
        return rate_nl_day == minimum_rate_nl_day or FLOOR_RATE_NL_DAY <= rate_nl_day <= MAX_RATE_NL_DAY

    def _check_drugs(self, rows):
        """At least one drug; no name without a concentration, no concentration without a name."""
        if self.values["concentration_1_ng_ml"] == 0:
            self._refuse_named(rows, cat.R_BAD_BLOCK, "concentration_1_ng_ml", 0)
        for index in ("1", "2", "3"):
            named = self.values["drug_" + index][0] != 0
            if named != (self.values["concentration_%s_ng_ml" % index] > 0):
                self._refuse_named(rows, cat.R_BAD_BLOCK, "drug_" + index, 0)


class Stage:
    """The staging area: bytes arrive by offset, in any order but without holes at the end; dropped after STAGE_LIFE_S."""

    def __init__(self):
        self.buffer = bytearray(cat.MAX_BLOCK)
        self.kind = 0
        self.total = 0
        self.received = 0
        self.block = Block()
        self.checked = False
        self.opened_s = 0

    def drop(self):
        """Forget what was staged."""
        self.kind = 0
        self.total = 0
        self.received = 0
        self.checked = False

    def put(self, kind, total, offset, data, uptime_s):
        """Take a chunk; 0 or a reason. A chunk must start where the last ended (or at 0, which starts anew)."""
        if offset == 0:
            self.drop()
            self.kind, self.total, self.opened_s = kind, total, uptime_s
        if kind != self.kind or total != self.total or offset > self.received or offset + len(data) > total:
            return cat.R_BAD_LENGTH
        for index in range(len(data)):
            put(self.buffer, offset + index, 1, data[index])
        if offset + len(data) > self.received:
            self.received = offset + len(data)
        self.checked = False
        return 0
