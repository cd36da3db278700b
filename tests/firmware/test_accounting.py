"""Shows 3: any sequence of programs, boluses, bridges, pauses, waits, stops, resumes, primes and resets. The oracle shares no code with the firmware.

At every step |demanded - ordered| < one pulse, ordered being what the motor port was told; prescribed = demanded + missed at
the end, by cause; and nothing that was missed is made up.
"""

from fractions import Fraction

import pytest
from bare_pump import A_BOLUS, DRUG, MONDAY_S, Bench, flex_program, simple_program
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thecal.firmware import modes
from thecal.hw_sim.oracle import Oracle, week
from thecal.protocol import catalogue as cat

DAY_S = 86400
RATES = st.one_of(st.sampled_from([6000, 48000, 86400, 500000, 999999, 24000000]), st.integers(48000, 24000000))
DAYS = st.lists(st.tuples(st.integers(1, 1439), st.one_of(RATES, st.integers(48000, 900000))), max_size=4, unique_by=lambda step: step[0])
PATTERN = st.tuples(RATES, DAYS).map(lambda drawn: [(0, drawn[0]), *sorted(drawn[1])])
OPERATION = st.one_of(
    st.tuples(st.just("program"), RATES),
    st.tuples(st.just("flex"), st.lists(PATTERN, min_size=1, max_size=3), st.lists(st.integers(0, 2), min_size=7, max_size=7)),
    st.tuples(st.just("wait"), st.integers(1, 100_000_000)),
    st.tuples(st.just("wait"), st.integers(1, 20_000)),
    st.tuples(st.just("stop")),
    st.tuples(st.just("resume")),
    st.tuples(st.just("prime"), st.integers(1000, 60000), st.integers(48000, 24000000)),
    st.tuples(st.just("bridge"), st.integers(1000, 375_000), st.integers(48000, 24000000), RATES),
    st.tuples(st.just("bolus"), st.integers(200, 100_000), st.integers(30, 7200)),
    st.tuples(st.just("bolus"), st.integers(200, 2000), st.integers(30, 86_400)),
    st.tuples(st.just("request")),
    st.tuples(st.just("pause"), st.integers(1, 120)),
    st.tuples(st.just("reset"), st.integers(1, 200_000)),
)


class Checked(Bench):
    """A bench that holds |demanded - ordered| < one pulse against the motor port at every step, and remembers the instant."""

    t_ms = 0

    def _pass(self, ms):
        super()._pass(ms)
        self.t_ms += ms

    def end(self, delay_ms):
        super().end(delay_ms)
        ledger = self.app.ledger
        demanded_nl, rem = self.demanded()
        off = Fraction(demanded_nl) + Fraction(rem, DAY_S) - Fraction(self.steps * self.app.nl_per_rev, self.app.steps_per_rev or 1)
        assert abs(off) < ledger.pulse_nl, f"at {self.t_ms} ms: demanded - ordered is {float(off)} nL"
        assert 0 <= self.app.infusion.acc_nl < 2 * ledger.pulse_nl and 0 <= rem < DAY_S


class Case:
    """A bench and its oracle, told the same story."""

    def __init__(self, phase_ms):
        self.bench = Checked()
        self.bench.run(phase_ms)
        self.oracle = Oracle(MONDAY_S)
        self.drug = DRUG            # what the pump was filled with
        self.pulse_slack_nl = 0     # a prime, bridge or bolus over a reset: what ran since the last record is demanded or not
        self.slack_nl = Fraction(0)
        self.resets = 0

    def tell(self, name, arguments):
        """Do it to both. Demand runs in whole seconds of the tick: each change of rate may shift one second of it."""
        self.bench.run(1)           # the oracle tells a stop from the prime behind it by their instants
        self.slack_nl += self._second()
        getattr(self, name)(*arguments)
        self.slack_nl += self._second()

    @property
    def t_us(self):
        return self.bench.t_ms * 1000

    def mode(self):
        return self.bench.app.mode

    def commit(self, values, most_rate):
        """A program with the patient's boluses where the head can give them, and with the bridge that is open."""
        if most_rate <= 21_000_000:
            values.update(A_BOLUS)
        infusion = self.bench.app.infusion
        left_nl, rate_nl_day = infusion.bridge_left_nl(), infusion.extra_rate_nl_day
        values.update(self.drug)
        if left_nl:
            values.update(bridge_nl=left_nl, bridge_rate_nl_day=rate_nl_day)
        reply = self.bench.order(cat.PROGRAM, values)
        if self.mode() == modes.BOLUS:
            assert reply["reason"] == cat.R_BUSY
            return False
        assert "reason" not in reply, reply
        if left_nl:
            self.oracle.bridge(self.t_us, left_nl, rate_nl_day)
        return True

    def program(self, rate_nl_day):
        if self.commit(simple_program(rate_nl_day), rate_nl_day):
            self.oracle.program(self.t_us, rate_nl_day)

    def flex(self, patterns, weekdays):
        weekdays = [day % len(patterns) for day in weekdays]
        if self.commit(flex_program(patterns, weekdays), max(rate for pattern in patterns for _, rate in pattern)):
            days = [[(minute * 60, rate) for minute, rate in pattern] for pattern in patterns]
            self.oracle.program(self.t_us, week(days[0], {day: days[pattern] for day, pattern in enumerate(weekdays)}))

    def bridge(self, volume_nl, bridge_rate_nl_day, rate_nl_day):
        """Another concentration over a catheter that is on record as filled."""
        if self.mode() in (modes.RUNNING, modes.STOPPED, modes.PAUSED) and not self.bench.app.infusion.bridge_left_nl():
            self.bench.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
            self.drug = {**DRUG, "concentration_1_ng_ml": 1_500_000 - self.drug["concentration_1_ng_ml"]}
            self.bench.bridge(rate_nl_day, volume_nl, bridge_rate_nl_day, self.drug)
            self.oracle.program(self.t_us, rate_nl_day)
            self.oracle.bridge(self.t_us, volume_nl, bridge_rate_nl_day)

    def bolus(self, volume_nl, seconds):
        rate_nl_day = -(-volume_nl * DAY_S // seconds)
        app = self.bench.app
        reply = self.bench.order(cat.BOLUS, {"volume_nl": volume_nl, "seconds": seconds})
        if "reason" in reply:
            standing = (modes.IDLE, modes.STOPPED, modes.PAUSED)
            assert reply["reason"] in ((cat.R_LIMIT, cat.R_ALARM, cat.R_RESERVE) if self.mode() == modes.RUNNING else
                                       (cat.R_LIMIT, cat.R_STATE if self.mode() in standing else cat.R_BUSY))
            assert reply["reason"] != cat.R_LIMIT or rate_nl_day + app.schedule.most_rate_nl_day > 24_000_000
            assert reply["reason"] != cat.R_ALARM or app.alarms.action
        else:
            self.oracle.bolus(self.t_us, volume_nl, Fraction(volume_nl * DAY_S, rate_nl_day))

    def request(self):
        if "reason" not in self.bench.request():
            rate_nl_day = -(-A_BOLUS["bolus_nl"] * DAY_S // A_BOLUS["bolus_s"])
            self.oracle.bolus(self.t_us, A_BOLUS["bolus_nl"], Fraction(A_BOLUS["bolus_nl"] * DAY_S, rate_nl_day))

    def pause(self, minutes):
        reply = self.bench.order(cat.PAUSE, {"minutes": minutes})
        if "reason" in reply:
            assert self.mode() in (modes.IDLE, modes.STOPPED, modes.PAUSED, modes.PRIMING)
        else:
            self.oracle.paused(self.t_us, minutes * 60)

    def wait(self, ms):
        """At most some 150 pulses, so that a case stays quick; through whole days where the rate lets it."""
        end_ms, orders = self.bench.t_ms + ms, self.bench.orders
        while self.bench.t_ms < end_ms and self.bench.orders - orders < 150:
            self.bench.run(min(end_ms - self.bench.t_ms, max(1, self.bench.due_ms - self.bench.since_ms)))

    def stop(self):
        if self.mode() not in (modes.IDLE, modes.STOPPED):
            self.bench.stop()
            self.oracle.stopped(self.t_us)
        else:
            assert self.bench.order(cat.STOP, {"reason": 1})["reason"] == cat.R_STATE

    def resume(self):
        if self.mode() in (modes.STOPPED, modes.PAUSED):
            self.bench.resume()
            if self.oracle.stands(self.t_us):       # a pause that is over this very second is so for one of the two
                self.oracle.resumed(self.t_us)
        else:
            assert self.bench.order(cat.RESUME, {})["reason"] in (cat.R_STATE, cat.R_BUSY)

    def prime(self, volume_nl, rate_nl_day):
        if self.mode() in (modes.RUNNING, modes.IDLE):
            reply = self.bench.order(cat.PRIME, {"what": cat.PRIME_BOTH, "volume_nl": volume_nl, "rate_nl_day": rate_nl_day})
            if "reason" in reply:
                app = self.bench.app
                line_nl = app.ledger.pulses * app.ledger.pulse_nl
                assert reply["reason"] in (cat.R_CATHETER, cat.R_LIMIT, cat.R_ALARM)
                assert app.settings.catheter or app.alarms.action or line_nl + volume_nl > app.dead_volume_nl
            else:
                self.oracle.prime(self.t_us, volume_nl, rate_nl_day)

    def reset(self, outage_s):
        app = self.bench.app
        since_s = self.bench.rtc_s - app.settings.time_s + 1
        if self.mode() in (modes.PRIMING, modes.BOLUS):
            # The boot cannot tell how much of the time since the last record ran before the cut: it books all of it at the program's rate.
            self.pulse_slack_nl += app.ledger.pulse_nl + Fraction(since_s * (app.program_rate + app.infusion.extra_rate_nl_day), DAY_S)
        if app.infusion.bridge_left_nl():
            # Less than a pulse of it is rolled back, so it lasts that much longer, and the program comes that much later.
            self.pulse_slack_nl += app.ledger.pulse_nl * (1 + Fraction(app.schedule.most_rate_nl_day, app.bridge_rate_nl_day))
        start_us = self.t_us
        self.bench.reboot(outage_s)
        self.oracle.outage(start_us, self.t_us, "reset")
        self.resets += 1

    def check(self):
        self.bench.wake()           # a tickless pump counts what ran when it next wakes
        demanded_nl, rem = self.bench.demanded()
        demanded = demanded_nl + Fraction(rem, DAY_S)
        due, missed = self.oracle.demanded_nl(self.t_us), self.oracle.missed_nl(self.t_us)
        slack = self.slack_nl + self.pulse_slack_nl + 2 * (1 + self.resets) + self._second()
        ledger = self.bench.app.ledger
        booked = {name: ledger.missed_ul[cause] * 1000 + ledger.missed_nl[cause] for cause, name in enumerate(cat.MISSED_CAUSES)}
        assert booked["late"] == booked["stall"] == booked["fault"] == booked["clock"] == 0, booked
        assert abs(demanded + sum(booked.values()) - due - sum(missed.values())) <= slack, "prescribed = demanded + missed"
        # What ran since the last record is booked as missed instead of demanded: less than a pulse for each reset.
        moved = slack + self.resets * ledger.pulse_nl
        assert -moved <= demanded - due <= slack, "nothing that was missed is made up"
        for name in ("stop", "reset"):
            assert abs(booked[name] - missed.get(name, 0)) <= moved, name

    def _second(self):
        """What is due or missed in one second, by program or prime."""
        app = self.bench.app
        return Fraction(app.effective_rate() + app.schedule.most_rate_nl_day + app.due_rate(), DAY_S)


@pytest.mark.slow
@pytest.mark.req("TH-RATE-01")
@given(st.integers(0, 999), st.lists(OPERATION, min_size=1, max_size=12))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_sequence_is_accounted_for(phase_ms, operations):
    case = Case(phase_ms)
    case.program(500000)
    for name, *arguments in operations:
        case.tell(name, arguments)
        case.check()
    case.wait(3_600_000)
    case.check()


@pytest.mark.req("TH-RATE-01", "TH-RATE-02")
@pytest.mark.slow
@given(st.integers(0, 999), st.lists(OPERATION, min_size=10, max_size=60))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_long_sequences_are_accounted_for(phase_ms, operations):
    case = Case(phase_ms)
    for name, *arguments in operations:
        case.tell(name, arguments)
        case.check()


@pytest.mark.req("TH-RATE-02")
def test_an_outage_is_never_made_up():
    case = Case(0)
    case.program(24000000)
    case.wait(400_000)
    before = case.bench.steps
    case.reset(3600)                # 1000 pulses are missed
    case.bench.run(0)
    assert (case.bench.steps - before) // 117 <= 1
    case.wait(36_000)
    assert (case.bench.steps - before) // 117 <= 11
    case.check()
    assert case.bench.missed_nl() >= 999_000


@pytest.mark.req("TH-RATE-01")
def test_a_reset_between_pulses_loses_no_volume_from_the_books():
    """An order and a midnight write the state between two pulses: what ran before them must be in the books after a reset."""
    case = Case(0)
    case.program(6000)              # a pulse every four hours
    case.bench.run_s(3 * 3600)
    case.program(6000)              # writes a record: 750 nL are under way
    case.bench.run(1000)
    case.reset(10)
    demanded_nl, rem = case.bench.demanded()
    assert demanded_nl + case.bench.missed_nl() >= 749
    case.check()


@pytest.mark.slow
@pytest.mark.req("TH-RULE-06")
@pytest.mark.parametrize("rate_nl_day", [6000, pytest.param(999999, marks=pytest.mark.slow)])
def test_a_year_comes_out_exact(rate_nl_day):
    """The whole app, not the integrator alone: every nanolitre and every step, with a refill whenever the bellows asks for it."""
    bench = Bench()
    bench.program(rate_nl_day)
    start_ms, days = bench.since_ms, 0
    for day in range(365):
        bench.run_s(DAY_S)
        days += 1
        if bench.app.ledger.reservoir_nl() < 6_000_000:
            bench.refill(18600)
        demanded_nl, rem = bench.demanded()
        assert demanded_nl * DAY_S + rem == rate_nl_day * days * DAY_S and start_ms == 0
        ordered = Fraction(bench.steps * 35000, 4096)
        assert abs(demanded_nl - ordered) < 1000
    assert bench.missed_nl() == 0
    assert bench.orders == rate_nl_day * 365 // 1000
    assert bench.app.ledger.revs * 4096 + bench.app.ledger.steps == bench.steps
    status = bench.status()
    assert status["demanded_ul"] * 1000 + status["demanded_nl"] == rate_nl_day * 365
