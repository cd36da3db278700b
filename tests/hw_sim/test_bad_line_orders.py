"""Commands of every kind over a line that loses 30 % and replays 50 % of the frames, both ways: executed once, or the host does not claim it.

An order carries its digest and is executed at most once. What changes something without a block may come twice and must then change nothing:
a session is opened once by each proof; a pairing stores the same key again; a reduction sets what is in force already, and never raises a
rate; telemetry, discard and close set what they set. Beside the counts stands a second witness: the motor's steps are what the orders,
each executed once, ask for (command_book.py). A slice runs in CI; the whole: tests/README.md.
"""

import contextlib
import hashlib
import os
import random
import time
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from command_book import DAY_S, Book, Executed, Row, table

from thecal.firmware import alarms as al
from thecal.firmware.ledger import MISSED_LATE
from thecal.host import blocks, ordering
from thecal.host.alarms import of_bits
from thecal.host.errors import PumpRefused, RequestInvalid, ThecalError
from thecal.host.fill import Fill
from thecal.host.life import ImplantRecord, TrialRecord
from thecal.host.limits import Baseline
from thecal.host.prescription import Prescription
from thecal.host.programmer import Programmer
from thecal.host.texts import wire_text
from thecal.hw_sim.impairment import SENDERS, Impairment
from thecal.hw_sim.scenario import implant_record, load_scenario, new_world, world_for
from thecal.protocol import catalogue as cat
from thecal.protocol.session import CLINICIAN, PATIENT, ROLES, SERVICE

ORDERS = int(os.environ.get("THECAL_ORDERS", "320"))
SEED = int(os.environ.get("THECAL_SEED", "1"))
LINE = "loss=0.3,replay=0.5"
PAUSES_S = (1, 30, 200, 650)    # between two commands; an idle session lives 600 s
TAKEN_OVER = 0.2                # of the orders lose their session
SCENARIO = load_scenario("morphine-m3")
SERIAL = SCENARIO.implant["serial"]

PROGRAMS = ("program", "flex program", "granting program", "bridged program")
ORDER_KINDS = ("commission", *PROGRAMS, "refill", "stop", "resume", "prime", "set clock", "bolus", "patient bolus", "pause", "catheter",
               "implant record", "trial record", "silence", "acknowledge", "alarm test", "visit", "calibration")
WRITES = ("session", "pair", "reduce", "live", "discard", "close")     # no block: what they set is absolute, or no therapy at all
READS = ("status", "log", "alarms", "identity", "implant", "card")
AT_THE_PUMP = ("pair", "reduce", "card")        # with the magnet
# A visit in which each fits the mode that the one before it leads to; every third is shuffled, for the refusals.
VISIT = ("status", "session", "live", "implant", "log", "stop", "commission", "implant record", "trial record", "set clock", "resume",
         "catheter", "prime", "identity", "alarm test", "alarms", "refill", "bridged program", "discard", "flex program", "silence", "card", "pair",
         "visit", "granting program", "bolus", "acknowledge", "patient bolus", "pause", "reduce", "calibration", "program",
         "close")
REFUSALS = (cat.R_STATE, cat.R_LOCKED, cat.R_NOT_STAGED, cat.R_BUSY, cat.R_BRIDGE, cat.R_CATHETER, cat.R_DRUG, cat.R_ALARM, cat.R_NOT_ALLOWED,
            cat.R_LOCKOUT, cat.R_LIMIT)
REASON = dict(cat.REASONS)

LINE_NL = {"tubing_nl": 1_000, "catheter_mm": 5}        # 2.1 uL in all: a bridge of 14 to 18 minutes
STRENGTHS = ("10 mg/mL", "20 mg/mL")
RUNNING = Baseline({"morphine": Fraction(2_000_000)}, None, 30)
TRIAL = TrialRecord.of("morphine", "0.5 mg/mL", [{"dose": "0.1 mg", "response": "yes"}], True)
IMPLANTED = ImplantRecord("T-1", "pain", SCENARIO.start_pump_s, "T10", True, "conditional")


def prescribed(kind, strength):
    """The program of a kind with a fill of this strength: 0.17 .. 0.26 mL/day of either, without limits of a step."""
    made = {"drug": "morphine", "concentration": strength, "setting": "cancer", "fallback": "0.09 mL/day"}
    times = 2 if strength == STRENGTHS[1] else 1
    if kind == "flex program":
        steps = [{"from": "06:00", "dose": "%d ug/h" % (70 * times)}, {"from": "18:00", "dose": "%d ug/h" % (110 * times)}]
        program = Prescription.flex(steps=steps, **made)
    else:
        program = Prescription.simple(dose="%d ug/day" % (1731 * times), **made)
    if kind == "granting program":
        program = program.with_bolus("%d ug" % (17 * times), "90 s", "3 min", 40, released=True)
    return replace(program, guard=replace(program.guard, step_pct=0, step_interval_h=0))


class Commands:
    """A host that says all it can say. Each `do_` gives one command of its kind and, told that it is done, checks the pump for it."""

    def __init__(self, world, monkeypatch):
        world.run_until(0)          # it boots
        self.world, self.app, self.draw = world, world.runner.app, random.Random("commands %d" % SEED)
        self.notices, self.kind, self.digest, self.latched, self.kinds = [], "", "", 0, set()
        self.refusals, self.outcome, self.ordered = Counter(), {}, {}   # by digest of each order given: (kind, what the host was told); (values, program)
        self.pump = Programmer(world.port(), timeout_s=60.0, notice=self.notices.append)
        self.exchange = self.pump._exchange
        self.implant = replace(implant_record(SCENARIO, world.plant.params), **LINE_NL)
        self.program = prescribed("program", STRENGTHS[0])
        self._fill(STRENGTHS[0])
        for order in (lambda: self.pump.commission(self.implant), lambda: self.pump.set_clock(self._time_s()),
                      lambda: self.pump.refill(self.fill), lambda: self.pump.record_catheter(True), lambda: self.pump.program(self.program, True, RUNNING)):
            order()
        self.patient = Programmer(world.port(), timeout_s=60.0, role=ROLES[PATIENT], keys=self.pump.keys)
        self.executed = Executed(monkeypatch, world, Book(world, self.program), self.ordered)
        self._give = ordering.give
        monkeypatch.setattr(ordering, "give", self._giving)

    def _giving(self, exchange, kind, block, agreed=None, before=None):
        """What the host gives is noted before a byte of it is sent."""
        self.digest = hashlib.sha256(bytes((kind,)) + block).digest()[:cat.DIGEST_BYTES].hex()
        assert bytes.fromhex(self.digest) != self.app.settings.order_digest, "a new order is not taken for a repeat of the last"
        if self.digest in self.outcome:     # two of 10^5 that lie far apart may have drawn the same of 2^30 numbers: that is no repeat
            self.outcome[self.digest + "'"] = self.outcome.pop(self.digest)
            self.executed.count["order", self.digest + "'"] = self.executed.count.pop(("order", self.digest), 0)
        self.outcome[self.digest] = (self.kind, "open")
        self.kinds.add(kind)
        self.ordered[self.digest] = (blocks.unpack(kind, block), self.program if kind == cat.PROGRAM else None)
        return self._give(exchange, kind, block, agreed, before)

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

    # ------------------------------------------------------------------------------------------------ orders
    def do_commission(self):
        self._done(self.pump.commission(self.implant))

    def _program(self, kind, confirm=True):
        """Of what is in the reservoir; a bridge that is under way is restated. Without the bridge that is due only with a reason."""
        strength = STRENGTHS[self.app.fill_drugs[1] == 20_000_000]
        self.program = prescribed(kind, strength)
        bridged = kind == "bridged program" or self.app.infusion.bridge_left_nl()
        return (self.pump.bridge if bridged else self.pump.program)(self.program, confirm, RUNNING, "clinical judgement")

    def do_program(self):
        self._done(self._program("program"))

    def do_flex_program(self):
        self._done(self._program("flex program"))

    def do_granting_program(self):
        self._done(self._program("granting program"))

    def do_bridged_program(self):
        self._done(self._program("bridged program"))

    def _fill(self, strength):
        self.fill = Fill("18 mL", "morphine", strength, setting="cancer")
        self.world.plant.withdraw()
        self.world.plant.fill(18_000.0, {"morphine": self.fill.ingredients[0].concentration_ng_ml / 1000})

    def do_refill(self):
        """Of the other strength than the program's, unless a bridge is under way. The host wants to know what was drawn (room.py), and a pump that knows it
        learns: it is asked behind the host's back."""
        double = self.app.program_drugs[1] == 20_000_000
        self._fill(STRENGTHS[double if self.app.infusion.bridge_left_nl() else not double])
        self._done(self.pump._order(cat.REFILL, lambda order: blocks.refill_block(self.fill, order, self._time_s(), ("morphine",))))

    def do_stop(self):
        self._done(self.pump.stop("clinician order"))

    def do_resume(self):
        self._done(self.pump.resume())

    def do_prime(self):
        """The host gives none where the catheter holds drug: there the pump is asked behind its back."""
        rate_nl_day = self.draw.choice((1_000_000, 2_345_678))
        if self.app.catheter_filled():
            self._done(self.pump._simple(cat.PRIME, what=self.draw.choice((cat.PRIME_CATHETER, cat.PRIME_BOTH)), volume_nl=1_000, rate_nl_day=rate_nl_day))
        else:
            self._done(self.pump.prime("catheter", "0.001 mL", "%d nL/day" % rate_nl_day))

    def _time_s(self):
        return SCENARIO.start_pump_s + self.world.now_us // 1_000_000

    def do_set_clock(self):
        self._done(self.pump.set_clock(self._time_s() + self.draw.randrange(-30, 31)))

    def do_bolus(self):
        self._done(self.pump.bolus("%d ug" % self.draw.randrange(10, 40), "%d s" % self.draw.randrange(45, 180)))

    def do_patient_bolus(self):
        self._done(self.patient.request_bolus())

    def do_pause(self):
        self._done(self.pump.pause(self.draw.randrange(1, 6)))

    def do_catheter(self):
        """Emptied, or found to be full."""
        self._done(self.pump.record_catheter(not self.app.catheter_filled()))

    def do_implant_record(self):
        self._done(self.pump.record_implant(IMPLANTED))

    def do_trial_record(self):
        self._done(self.pump.record_trial(TRIAL))

    def do_silence(self):
        self._done(self.pump.silence(0, self.draw.randrange(1, 25)))

    def do_acknowledge(self):
        self._done(self.pump.acknowledge(self.draw.choice((0, 17, 23))))

    def do_alarm_test(self):
        self._done(self.pump.alarm_test(self.draw.random() < 0.5))

    def do_visit(self):
        self._done(self.pump.sign_visit(self.draw.randbytes(8), self.draw.choice((None, True, False))))

    def do_calibration(self):
        """Off again now and then; no refill of this test says what was drawn, so nothing is learned."""
        on = self.draw.random() < 0.5
        self._done(self.pump.calibration(on))
        assert (self.app.settings.calibration, self.app.trim.part) == (on, 0)

    # ------------------------------------------------------------------------------------------------ what has no block
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
        assert self.app.settings.reduction and self.app.effective_rate() <= self.app.due_rate()

    def do_live(self):
        interval_s = self.draw.choice((0, 60, 300))
        self.exchange.ask(cat.LIVE, interval_s)
        assert self.app.telemetry.live_s == interval_s

    def do_discard(self):
        with pytest.raises(RequestInvalid, match="not confirmed|bridge"):       # or it ended just now, and need not be restated
            self._program("flex program", lambda review: False)
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
        since = self.app.events.head - 8
        assert [event.seq for event in self.pump.log(since)][:8] == list(range(since, since + 8))

    def do_alarms(self):
        assert self.pump.alarm_state().first == self.app.alarms.first

    def do_identity(self):
        assert self.pump.identity().serial == SERIAL

    def do_implant(self):
        assert self.pump.implant() == self.implant

    def do_card(self):
        assert wire_text(self.pump.card().drugs[0].name, "drug", cat.DRUG_NAME_BYTES) == self.app.program_drugs[0]
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
        commands.latched |= commands.app.alarms.latched
    for digest, (kind, _) in commands.outcome.items():
        if kind in ORDER_KINDS:
            rows[kind].executed += commands.executed.count["order", digest]
            rows[kind].again += max(0, commands.executed.count["order", digest] - 1)
    for kind in WRITES:
        rows[kind].executed = sum(commands.executed.of(kind))
        rows[kind].again = sum(times - 1 for times in commands.executed.of(kind))
    return rows


def report(world, commands, rows, virtual_s, wall_s):
    """What is printed, and kept beside a campaign."""
    line = world.line.counters()
    hurt = "; ".join(f"{of}: {line[of]['frames']} frames, {line[of]['lost']} lost, {line[of]['replayed']} replayed" for of in SENDERS)
    return (f"{ORDERS} commands at {LINE}, seed {SEED}: {wall_s:.0f} s, {virtual_s / DAY_S:.1f} virtual days\n{table(rows)}\n"
            f"refused: {dict(commands.refusals)}; forgeries counted by the pump: {world.runner.app.telemetry.access.forgeries}; "
            f"alarms: {', '.join(alarm.name for alarm in of_bits(commands.latched))}\n{hurt}\n"
            f"the motor turned what the orders ask for, each executed once, less {commands.executed.book.check():.0f} nL that make no pulse yet")


@pytest.mark.slow
@pytest.mark.req("TH-LINK-01")
def test_every_command_is_executed_once_or_its_outcome_is_said_to_be_open(monkeypatch, capsys):
    with new_world(SCENARIO, runtime="inprocess", seed=SEED) as world:
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
    assert commands.kinds == set(range(1, cat.LAST_KIND + 1)), "every kind of block"
    executed = {digest: times for (what, digest), times in commands.executed.count.items() if what == "order"}
    assert set(executed) <= set(commands.outcome) and set(executed.values()) <= {0, 1}, "nothing but what the host gave, and nothing twice"
    for digest, (kind, said) in commands.outcome.items():
        allowed = {"done": (1,), "open": (0, 1)}.get(said, (0,)) if kind in ORDER_KINDS else (0,)
        assert executed.get(digest, 0) in allowed, f"{kind}: the host was told {said}, it was executed {executed.get(digest, 0)} times"
    assert (ledger.missed_ul[MISSED_LATE], ledger.missed_nl[MISSED_LATE]) == (0, 0)
    assert set(commands.executed.of("session")) == {1}, "a proof opens one session"
    assert set(commands.refusals) <= {REASON[reason] for reason in REFUSALS}
    # DRUGS: refills are of the other strength than the program's, and no program need have followed the last one.
    assert {alarm.row for alarm in of_bits(commands.latched)} <= {al.EMERGENCY, al.ERI, al.BOLUS_CUT, al.PAUSE_LONG, al.REFUSED, al.LINK, al.DRUGS}
    for kind, row in rows.items():
        # A request fails when all eight tries do: (1 - 0.7 * 0.7)**8 = 0.5 %; one order in five loses its session on purpose.
        # Of a close every third acknowledgement is lost, and then nobody is there to repeat it.
        # Where an order before it failed there may be no bridge to give. A slice has few of a kind: two standard deviations are granted.
        tried = row.issued - row.refused
        assert row.issued == row.done + row.refused + row.failed + row.open and row.done > 0 and row.done > 0.5 * tried - tried**0.5, kind


@pytest.mark.slow
@pytest.mark.req("TH-LINK-08")
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
