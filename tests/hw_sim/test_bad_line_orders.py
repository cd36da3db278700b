"""Commands of every kind over a line that loses 30 % and replays 50 % of the frames, both ways: executed once, or the host does not claim it.

An order carries its digest and is executed at most once. What changes something without a block may come twice and must then change nothing:
a session is opened once by each proof; a pairing stores the same key again; a reduction sets what is in force already, and never raises a
rate; telemetry, discard and close set what they set. Beside the counts stands a second witness: the motor's steps are what the orders,
each executed once, ask for. A slice runs in CI; the whole: tests/README.md.
"""

import contextlib
import hashlib
import os
import random
import time
from collections import Counter
from dataclasses import astuple, dataclass, fields
from fractions import Fraction

import pytest

from thecal.firmware import emergency, keys, orders
from thecal.firmware.ledger import MISSED_LATE
from thecal.host import blocks, ordering
from thecal.host.errors import PumpRefused, RequestInvalid, ThecalError
from thecal.host.fill import Fill
from thecal.host.limits import Baseline
from thecal.host.prescription import Prescription
from thecal.host.programmer import Programmer
from thecal.hw_sim.impairment import SENDERS, Impairment
from thecal.hw_sim.scenario import load_scenario, world_for
from thecal.protocol import catalogue as cat
from thecal.protocol import link
from thecal.protocol.session import CLINICIAN, PATIENT, ROLES, SERVICE

ORDERS = int(os.environ.get("THECAL_ORDERS", "400"))
SEED = int(os.environ.get("THECAL_SEED", "1"))
LINE = "loss=0.3,replay=0.5"
DAY_S, QUARTER_S = 86_400, 21_600
PAUSES_S = (1, 30, 200, 650)    # between two commands; an idle session lives 600 s
TAKEN_OVER = 0.2                # of the orders lose their session
PRIME_NL, PRIME_NL_S = 2000, 2  # 0.1728 mL/day: whole nL a second, so that also a prime that a stop cuts is known exactly
SERIAL = 1001
SCENARIO = load_scenario("baclofen")

ORDER_KINDS = ("commission", "program", "flex program", "refill", "stop", "resume", "prime", "set clock")
WRITES = ("session", "pair", "reduce", "live", "discard", "close")     # no block: what they set is absolute, or no therapy at all
READS = ("status", "log", "alarms", "identity", "implant", "card")
AT_THE_PUMP = ("pair", "reduce", "card")        # with the magnet
# A visit in which each fits the mode that the one before it leads to; every third is shuffled, for the refusals.
VISIT = ("status", "session", "live", "implant", "log", "stop", "commission", "refill", "set clock", "resume", "program", "prime", "discard",
         "identity", "alarms", "pair", "reduce", "card", "flex program", "close")

DRUG = {"drug": "baclofen", "concentration": "2000 ug/mL"}
SIMPLE = Prescription.simple(**DRUG, dose="400 ug/day")
FLEX = Prescription.flex(**DRUG, steps=[{"from": "06:00", "dose": "17.5 ug/h"}, {"from": "18:00", "dose": "15 ug/h"}])
REASON = dict(cat.REASONS)
FILL = Fill("18 mL", **DRUG)
RUNNING = Baseline({"baclofen": Fraction(400_000)}, None, 30)


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


class Book:
    """The volume that the executed orders, each once, ask of the motor: by the test's own prescriptions, in 1/86400 nL."""

    def __init__(self, world):
        self._world, self._app = world, world.runner.app
        self._steps_before, self._at_s = world.ordered_steps, self._app.uptime_s
        self._due = self._app.infusion.acc_nl * DAY_S + self._app.infusion.demand.rem
        self.program, self.stopped, self.reduction, self.prime_nl = SIMPLE, False, 0, 0

    def settle(self):
        """Bring it to the pump's last step."""
        seconds, self._at_s = self._app.uptime_s - self._at_s, self._app.uptime_s
        if self.stopped or self.reduction == cat.REDUCE_STOP:
            return
        end_s = self._app.now_s
        at_s = end_s - seconds
        if self.prime_nl:
            primed_nl = min(self.prime_nl, seconds * PRIME_NL_S)
            self.prime_nl -= primed_nl
            self._due += primed_nl * DAY_S
            at_s += primed_nl // PRIME_NL_S
        while at_s < end_s:
            change_s = at_s - at_s % QUARTER_S + QUARTER_S
            rate = self.program.rate_at(at_s)
            if self.reduction:
                rate = min(rate, self.program.fallback_nl_day)
            self._due += rate * (min(change_s, end_s) - at_s)
            at_s = change_s

    def executed(self, kind, program):
        """An order took effect just now."""
        if kind in (cat.RESUME, cat.PROGRAM):
            self.reduction = 0
        if kind in (cat.STOP, cat.RESUME):
            self.stopped = kind == cat.STOP
        if kind in (cat.STOP, cat.PRIME):
            self.prime_nl = PRIME_NL if kind == cat.PRIME else 0
        self.program = program or self.program

    def reduced(self, action):
        """An emergency reduction took effect just now; it cuts a prime."""
        self.reduction, self.prime_nl = action, 0

    def check(self):
        """The motor's steps are what is asked for, less what does not make a pulse yet (nL, returned), to a step."""
        self.settle()
        step_nl = Fraction(self._app.nl_per_rev, self._app.steps_per_rev)
        rest_nl = float(Fraction(self._due, DAY_S) - (self._world.ordered_steps - self._steps_before) * step_nl)
        assert -step_nl - 1 <= rest_nl <= self._app.ledger.pulse_nl + step_nl, "the orders, each once, leave %.0f nL to be ordered" % rest_nl
        return rest_nl


class Executed:
    """Counts what the firmware really executes, below everything that could be fooled: by kind, and by what makes one command of a kind one."""

    def __init__(self, monkeypatch, world, programs):
        self.count = Counter()
        self.command = 0            # number of the one that the host is at
        self.book, self.programs = Book(world), programs
        for owner, name, counting in ((orders, "execute", self._order), (emergency, "reduce", self._reduce),
                                      (keys.Keys, "pair", self._pair), (link.Responder, "open", self._open)):
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
                self.book.executed(block.kind, self.programs.get(digest))
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


class Commands:
    """A host that says all it can say. Each `do_` gives one command of its kind and, told that it is done, checks the pump for it."""

    def __init__(self, world, monkeypatch):
        self.world, self.app, self.draw = world, world.runner.app, random.Random("commands %d" % SEED)
        self.notices, self.kind, self.digest = [], "", ""
        self.refusals, self.outcome, self.programs = Counter(), {}, {}  # by digest of each order given: (kind, what the host was told); its program
        self.pump = Programmer(world.port(), timeout_s=60.0, notice=self.notices.append)
        self.exchange = self.pump._exchange
        self.implant = blocks.read_implant(self.app.commission_block)
        self.executed = Executed(monkeypatch, world, self.programs)
        self._give = ordering.give
        monkeypatch.setattr(ordering, "give", self._giving)

    def _giving(self, exchange, kind, block, agreed=None):
        """What the host gives is noted before a byte of it is sent."""
        self.digest = hashlib.sha256(bytes((kind,)) + block).digest()[:cat.DIGEST_BYTES].hex()
        assert bytes.fromhex(self.digest) != self.app.settings.order_digest, "a new order is not taken for a repeat of the last"
        if self.digest in self.outcome:     # two of 10^5 that lie far apart may have drawn the same of 2^30 numbers: that is no repeat
            self.outcome[self.digest + "'"] = self.outcome.pop(self.digest)
            self.executed.count["order", self.digest + "'"] = self.executed.count.pop(("order", self.digest), 0)
        self.outcome[self.digest] = (self.kind, "open")
        self.programs[self.digest] = {"program": SIMPLE, "flex program": FLEX}.get(self.kind)
        return self._give(exchange, kind, block, agreed)

    def issue(self, kind):
        """One command of a kind; what the host was told of it: a field of Row."""
        self.kind, self.digest = kind, ""
        self.world.magnet(kind in AT_THE_PUMP)      # and nowhere else
        if kind in ORDER_KINDS and self.draw.random() < TAKEN_OVER:
            self.world.at(self.world.now_us + self.draw.randrange(5_000_000), self._take_over)
        try:
            getattr(self, "do_" + kind.replace(" ", "_"))()
            said = "done"
        except ThecalError as error:
            if "not known" in str(error) or kind in WRITES and not isinstance(error, PumpRefused):
                said = "open"
            else:
                said = "refused" if isinstance(error, PumpRefused) else "failed"
            self.refusals.update([REASON[error.code]] if said == "refused" else [])
        self.world.magnet(False)
        if self.digest:
            self.outcome[self.digest] = (kind, said)
        return said

    def _take_over(self):
        """The session is gone in the middle of an order, as when another programmer opens one."""
        if self.kind in ORDER_KINDS:
            self.app.telemetry.access.close()

    def _done(self, result):
        assert result.digest == self.digest and self.executed.count["order", self.digest] == 1, "told done, and executed once"

    def do_commission(self):
        self._done(self.pump.commission(self.implant))

    def do_program(self):
        self._done(self.pump.program(SIMPLE, baseline=RUNNING))

    def do_flex_program(self):
        self._done(self.pump.program(FLEX, baseline=RUNNING))

    def do_refill(self):
        self.world.plant.withdraw()
        self.world.plant.fill(18_000.0, {"baclofen": 2000.0})
        self._done(self.pump.refill(FILL))

    def do_stop(self):
        self._done(self.pump.stop("clinician order"))

    def do_resume(self):
        self._done(self.pump.resume())

    def do_prime(self):
        self._done(self.pump.prime("0.002 mL", "0.1728 mL/day"))

    def do_set_clock(self):
        self._done(self.pump.set_clock(SCENARIO.start_pump_s + self.world.now_us // 1_000_000 + self.draw.randrange(-30, 31)))

    def do_session(self):
        before = self.exchange.sessions
        self.exchange.drop_session()
        self.pump.status()
        assert self.exchange.sessions > before and self.app.telemetry.access.role == CLINICIAN

    def do_pair(self):
        role = self.draw.choice((CLINICIAN, SERVICE, PATIENT))
        before = self._keys()
        try:
            self.pump.pair(ROLES[role])
            assert before[role] != self._keys()[role] == self.pump.keys.candidates(SERIAL, role)[0]
        finally:
            assert {**self._keys(), role: 0} == {**before, role: 0}, "the keys of the other roles stay"
            assert self._keys()[role] in self.pump.keys.candidates(SERIAL, role), "the host has the key that the pump has"

    def _keys(self):
        return {role: self.app.keys.key(role, SERIAL) for role in (CLINICIAN, SERVICE, PATIENT)}

    def do_reduce(self):
        action = self.draw.choice(("fallback", "stop"))
        assert self.pump.reduce(action).action == action
        assert self.app.settings.reduction and self.app.effective_rate() <= self.app.program_rate

    def do_live(self):
        interval_s = self.draw.choice((0, 60, 300))
        self.exchange.ask(cat.LIVE, interval_s)
        assert self.app.telemetry.live_s == interval_s

    def do_discard(self):
        with pytest.raises(RequestInvalid, match="not confirmed"):
            self.pump.program(FLEX, confirm=lambda review: False, baseline=RUNNING)
        assert self.app.telemetry.stage.kind == 0, "nothing is left that could be committed"

    def do_close(self):
        self.pump.status()
        self.notices.clear()
        self.exchange._noticed.clear()      # it tells each sentence once
        self.exchange.close_session()
        if self.notices:
            raise ThecalError(self.notices[0])
        assert self.app.telemetry.access.role == 0

    def do_status(self):
        assert self.pump.status().running_digest == self.app.settings.program_digest.hex()

    def do_log(self):
        since = self.app.events.head - 12
        assert [event.seq for event in self.pump.log(since)][:12] == list(range(since, since + 12))

    def do_alarms(self):
        assert self.pump.alarm_state().first == self.app.alarms.first

    def do_identity(self):
        assert self.pump.identity().serial == SERIAL

    def do_implant(self):
        assert self.pump.implant() == self.implant

    def do_card(self):
        assert self.pump.card().drugs == SIMPLE.ingredients


def play(world, commands, count):
    """Issue `count` commands, visit by visit; a Row for each kind."""
    rows, visit, visits = {kind: Row() for kind in VISIT}, [], 0
    for number in range(count):
        if not visit:
            visit, visits = list(VISIT), visits + 1
            if visits % 3 == 0:
                commands.draw.shuffle(visit)
        kind = visit.pop(0)
        commands.executed.command = number
        said = commands.issue(kind)
        rows[kind].issued += 1
        setattr(rows[kind], said, getattr(rows[kind], said) + 1)
        world.run_until(world.now_us + commands.draw.choice(PAUSES_S) * 1_000_000)
        commands.executed.book.check()
    for digest, (kind, _) in commands.outcome.items():
        if kind in ORDER_KINDS:
            rows[kind].executed += commands.executed.count["order", digest]
            rows[kind].again += max(0, commands.executed.count["order", digest] - 1)
    for kind in WRITES:
        rows[kind].executed = sum(commands.executed.of(kind))
        rows[kind].again = sum(times - 1 for times in commands.executed.of(kind))
    return rows


def table(rows):
    """The rows as text, and their sum."""
    names = [field.name for field in fields(Row)]
    total = [sum(column) for column in zip(*map(astuple, rows.values()), strict=True)]
    lines = [("", names), *((kind, astuple(rows[kind])) for kind in ORDER_KINDS + WRITES + READS), ("all", total)]
    return "\n".join("%-14s" % kind + "".join("%10s" % value for value in values) for kind, values in lines)


def report(world, commands, rows, virtual_s, wall_s):
    """What is printed, and kept beside a campaign."""
    line = world.line.counters()
    hurt = "; ".join(f"{of}: {line[of]['frames']} frames, {line[of]['lost']} lost, {line[of]['replayed']} replayed" for of in SENDERS)
    return (f"{ORDERS} commands at {LINE}, seed {SEED}: {wall_s:.0f} s, {virtual_s / DAY_S:.1f} virtual days\n{table(rows)}\n"
            f"refused: {dict(commands.refusals)}; forgeries counted by the pump: {world.runner.app.telemetry.access.forgeries}\n{hurt}\n"
            f"the motor turned what the orders ask for, each executed once, less {commands.executed.book.check():.0f} nL that make no pulse yet")


def test_every_command_is_executed_once_or_its_outcome_is_said_to_be_open(monkeypatch, capsys):
    with world_for(SCENARIO, runtime="inprocess", seed=SEED) as world:
        commands = Commands(world, monkeypatch)
        world.magnet(True)
        for role in (CLINICIAN, SERVICE, PATIENT):
            commands.pump.pair(ROLES[role])         # at the bench; from now on the line is bad
        world.line.impair(Impairment.parse(LINE, SEED))
        commands.executed.count.clear()
        began_us, started_s = world.now_us, time.monotonic()
        rows = play(world, commands, ORDERS)
        with capsys.disabled():
            print("\n" + report(world, commands, rows, (world.now_us - began_us) / 1e6, time.monotonic() - started_s))
        ledger = world.runner.app.ledger
    executed = {digest: times for (what, digest), times in commands.executed.count.items() if what == "order"}
    assert set(executed) <= set(commands.outcome) and set(executed.values()) <= {0, 1}, "nothing but what the host gave, and nothing twice"
    for digest, (kind, said) in commands.outcome.items():
        allowed = {"done": (1,), "open": (0, 1)}.get(said, (0,)) if kind in ORDER_KINDS else (0,)
        assert executed.get(digest, 0) in allowed, f"{kind}: the host was told {said}, it was executed {executed.get(digest, 0)} times"
    assert (ledger.missed_ul[MISSED_LATE], ledger.missed_nl[MISSED_LATE]) == (0, 0)
    assert set(commands.executed.of("session")) == {1}, "a proof opens one session"
    assert set(commands.refusals) <= {REASON[reason] for reason in (cat.R_STATE, cat.R_LOCKED, cat.R_NOT_STAGED)}
    for kind, row in rows.items():
        # A request fails when all eight tries do: (1 - 0.7 * 0.7)**8 = 0.5 %; one order in five loses its session on purpose.
        # Of a close every third acknowledgement is lost, and then nobody is there to repeat it.
        assert row.issued == row.done + row.refused + row.failed + row.open and row.done > 0.5 * (row.issued - row.refused), kind


@pytest.mark.parametrize("line", ["loss=0.3", "replay=0.5", "ber=1e-4", "host.loss=0.5", "pump.loss=0.5"])
def test_therapy_keeps_its_timing_whatever_the_line_does(line):
    def pulses(bad):
        with world_for(load_scenario("baclofen"), runtime="inprocess", line=bad) as world:
            start, pump, seen = world.now_us, Programmer(world.port(), timeout_s=30.0), []
            world.recorder.pulse = lambda t_us, steps, hold_us: seen.append((t_us, steps))
            for _ in range(6):
                with contextlib.suppress(ThecalError):      # the line may be too bad to read; the therapy may not care
                    pump.status()
                world.run_until(world.now_us + 1_800_000_000)
            return [(round(t_us / 1e6), steps) for t_us, steps in seen if t_us < start + 10_000_000_000]

    assert pulses(line) == pulses(None)
