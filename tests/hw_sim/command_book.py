"""Witnesses of test_bad_line_orders.py: what the firmware really executed, counted below all that could be fooled, and a book of what that asks of the motor."""

from collections import Counter
from dataclasses import astuple, dataclass, fields
from fractions import Fraction

from thecal.firmware import emergency, keys, orders
from thecal.protocol import catalogue as cat
from thecal.protocol.responder import Responder

DAY_S, QUARTER_S = 86_400, 21_600       # steps of the test's programs are at quarters of the day
PRIME, BRIDGE, BOLUS = "prime", "bridge", "bolus"


@dataclass
class Row:
    """Of one kind: commands issued = told done + refused + failed (nothing was committed, or read) + open; times executed, and again."""

    issued: int = 0
    done: int = 0
    refused: int = 0
    failed: int = 0
    open: int = 0
    executed: int = 0
    again: int = 0


def table(rows):
    """The rows as text, and their sum."""
    names = [field.name for field in fields(Row)]
    total = [sum(column) for column in zip(*map(astuple, rows.values()), strict=True)]
    lines = [("", names), *((kind, astuple(row)) for kind, row in rows.items()), ("all", total)]
    return "\n".join("%-16s" % kind + "".join("%10s" % value for value in values) for kind, values in lines)


class Book:
    """The volume that the executed orders, each once, ask of the motor: by the test's own prescriptions, in 1/86400 nL.

    A prime and a bridge take the program's place, a bolus is added to it; each is asked for in whole nL, to its exact volume. A stop or a pause
    ends a prime and a bolus for good, an emergency reduction too; a bridge waits.
    """

    def __init__(self, world, program):
        self._world, self._app = world, world.runner.app
        self._steps_before, self._at_s = world.ordered_steps, self._app.uptime_s
        self._due = self._app.infusion.acc_nl * DAY_S + self._app.infusion.demand.rem
        self.program, self.stopped, self.paused_s, self.reduction = program, False, 0, 0
        self.extra, self._volume_nl, self._rate_nl_day, self._asked = "", 0, 0, 0

    def settle(self):
        """Bring it to the pump's last step."""
        seconds, self._at_s = self._app.uptime_s - self._at_s, self._app.uptime_s
        at_s = self._app.now_s - seconds
        while seconds:
            part_s = min(seconds, QUARTER_S - at_s % QUARTER_S)
            if self.paused_s:
                part_s = min(part_s, self.paused_s)
                self.paused_s -= part_s
            elif not self.stopped and self.reduction != cat.REDUCE_STOP:
                part_s = self._deliver(part_s, self.program.rate_at(at_s))
            at_s += part_s
            seconds -= part_s

    def _deliver(self, seconds, rate):
        """Up to `seconds` at one rate, to the end of what runs beside it or in its place; the seconds."""
        fallback_nl_day = self.program.fallback_nl_day
        if self.reduction:
            rate = min(rate, fallback_nl_day)
        if self.extra:
            extra_rate = self._rate_nl_day
            if self.reduction:      # only a bridge is left: it is slowed as the program is (PROTOCOL.md), in parts of a thousand
                extra_rate = extra_rate // 1000 * min(1000, fallback_nl_day // 1000 * 1000 // (int(self.program.daily_nl(0)) // 1000 + 1))
            if extra_rate:
                seconds = min(seconds, -(-(self._volume_nl * DAY_S - self._asked) // extra_rate))
            before_nl = self._asked // DAY_S
            self._asked += extra_rate * seconds
            self._due += (min(self._volume_nl, self._asked // DAY_S) - before_nl) * DAY_S
            basal = self.extra == BOLUS
            if self._asked >= self._volume_nl * DAY_S:
                self.extra = ""
            if not basal:
                return seconds
        self._due += rate * seconds
        return seconds

    def executed(self, kind, values, program):
        """An order took effect just now: `values` are its block's, `program` what it prescribes, if it does."""
        if kind in (cat.RESUME, cat.PROGRAM):
            self.reduction = 0
        if kind in (cat.STOP, cat.RESUME):
            self.stopped, self.paused_s = kind == cat.STOP, 0
        if kind == cat.PAUSE:
            self.paused_s = values["minutes"] * 60
        if kind in (cat.STOP, cat.PAUSE):
            self._cut()
        self.program = program or self.program
        if kind == cat.PROGRAM and values["bridge_nl"]:
            self._start(BRIDGE, values["bridge_nl"], values["bridge_rate_nl_day"])
        elif kind == cat.PRIME:
            self._start(PRIME, values["volume_nl"], values["rate_nl_day"])
        elif kind == cat.BOLUS:
            self._start(BOLUS, values["volume_nl"], -(-values["volume_nl"] * DAY_S // values["seconds"]))
        elif kind == cat.PATIENT_BOLUS:
            granted = self.program.patient_bolus
            self._start(BOLUS, granted.volume_nl, -(-granted.volume_nl * DAY_S // granted.seconds))
        elif kind == cat.CATHETER and values["state"] == cat.CATHETER_EMPTY and self.extra == BRIDGE:
            self.extra = ""

    def _start(self, kind, volume_nl, rate_nl_day):
        self.extra, self._volume_nl, self._rate_nl_day, self._asked = kind, volume_nl, rate_nl_day, 0

    def _cut(self):
        if self.extra != BRIDGE:
            self.extra = ""

    def reduced(self, action):
        """An emergency reduction took effect just now."""
        self.reduction = action
        self._cut()

    def check(self):
        """The motor's steps are what is asked for, less what does not make a pulse yet (nL, returned), to a step."""
        self.settle()
        step_nl = Fraction(self._app.nl_per_rev, self._app.steps_per_rev)
        rest_nl = float(Fraction(self._due, DAY_S) - (self._world.ordered_steps - self._steps_before) * step_nl)
        assert -step_nl - 1 <= rest_nl <= self._app.ledger.pulse_nl + step_nl, "the orders, each once, leave %.0f nL to be ordered" % rest_nl
        return rest_nl


class Executed:
    """Counts what the firmware really executes, below everything that could be fooled: by kind, and by what makes one command of a kind one.

    `ordered` has (values, program) of each order given, by digest.
    """

    def __init__(self, monkeypatch, world, book, ordered):
        self.count = Counter()
        self.command = 0            # number of the one that the host is at
        self.book, self._ordered = book, ordered
        for owner, name, counting in ((orders, "execute", self._order), (emergency, "reduce", self._reduce),
                                      (keys.Keys, "pair", self._pair), (Responder, "open", self._open)):
            monkeypatch.setattr(owner, name, lambda *given, inner=getattr(owner, name), counting=counting: counting(inner, *given))
        handlers = world.runner.app.telemetry._handlers
        for kind, message in (("live", cat.LIVE), ("discard", cat.DISCARD), ("close", cat.SESSION_CLOSE)):
            monkeypatch.setitem(handlers, message, lambda *given, kind=kind, inner=handlers[message]: self._served(kind, inner, given))

    def _order(self, inner, app, block):
        self.book.settle()
        reason = inner(app, block)
        if reason == 0:
            digest = bytes(block.digest).hex()
            self.count["order", digest] += 1
            if self.count["order", digest] == 1:        # the book knows of no second time: the motor would tell
                self.book.executed(block.kind, *self._ordered[digest])
        return reason

    def _reduce(self, inner, app, action):
        self.book.settle()
        before = app.effective_rate()
        reason = inner(app, action)
        if reason == 0:
            self.count["reduce", self.command] += 1
            self.book.reduced(action)
        assert app.effective_rate() <= before, "without a key nobody raises anything"
        return reason

    def _pair(self, inner, store, role, key):
        inner(store, role, key)
        self.count["pair", bytes(key)] += 1

    def _open(self, inner, responder, session):
        inner(responder, session)
        if session is not None:
            self.count["session", session.receiving._key] += 1

    def _served(self, kind, inner, given):
        self.count[kind, self.command] += 1
        return inner(*given)

    def of(self, kind):
        """Times that each command of a kind was executed."""
        return [times for (what, _), times in self.count.items() if what == kind]
