"""Random clinicians, patients, faults and resets against the real firmware on a bench, beside a second account of therapy (therapy_model.py).

After each step mode, ledger, caps, lockout, counts and alarms agree, and every refusal has the reason that the rules give. A slice in CI; the whole:

    THECAL_THERAPY=20000 .venv/bin/pytest -s --timeout 0 tests/hw_sim/test_stateful_therapy.py

runs as many sequences of up to 40 steps, and prints the seeds and the number of steps. A failure prints its seed, what agreed before it and hypothesis'
shortest sequence; THECAL_SEED=142 begins at that seed.
"""

import os
from fractions import Fraction

import bare_pump
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from therapy_model import (ALARM, BUSY, CAP, COUNT, DAY_S, DRUG, FALLBACK, FRESH, HOUR_S, LOCKOUT, NOBOLUS, NOT_ALLOWED, PULSE_NL, RESERVE, STATE, STOP, Model,
                           Program)
from thecal.protocol import catalogue as cat

REASONS = {cat.R_NOT_ALLOWED: NOT_ALLOWED, cat.R_BUSY: BUSY, cat.R_ALARM: ALARM, cat.R_RESERVE: RESERVE, cat.R_FRESH: FRESH, cat.R_LOCKOUT: LOCKOUT,
           cat.R_COUNT: COUNT, cat.R_DAY: COUNT, cat.R_CAP: CAP, cat.R_STATE: STATE, cat.R_BRIDGE: "bridge", cat.R_DRUG: "drug", cat.R_LIMIT: "limit"}
STEPS = 40
SLICE = 120             # sequences of the CI slice: a number, so that no machine's speed decides what is tried
CAMPAIGN = int(os.environ.get("THECAL_THERAPY", "0"))
FIRST = int(os.environ.get("THECAL_SEED", "1"))


class Ward(bare_pump.Bench):
    """The bench, with everything that happens told to the model: time, motor orders, and the alarms behind each wake."""

    model = None

    def watch(self):
        self.passed_ms, self.began_ms = 0, 0
        self.model, self.running = Model(self.rtc_s), None
        self.model.volume_nl = 18_600_000
        return self.model

    def _pass(self, ms):
        super()._pass(ms)
        if self.model:
            self.passed_ms += ms

    def catch_up(self):
        self.model.run(self.passed_ms // 1000 - self.model.t)

    def wake(self, rx=None):
        self.running = None
        if self.model and self.app is not None:
            self.running = self.model.extra
            self.catch_up()
        super().wake(rx)
        if self.model:
            self.look()

    def look(self):
        """The alarms that stand now: what they forbid ends, what they change is slack until the next wake."""
        model, bits = self.model, self.app.alarms.active
        before, rate = model.action(), model.basal(model.rtc_s)
        if 7 in model.active and not bits >> 6 & 1:
            model.stall_ended_t = model.t
        model.active, model.basal_over = {row for row in range(1, 30) if bits >> (row - 1) & 1}, self.app.alarms.is_shifted(4)
        after = model.action()
        if before != after:
            model.slack += 3 + abs(rate - model.basal(model.rtc_s)) * 300 // DAY_S
        if after >= NOBOLUS and self.running and self.running[0] != "bridge":
            whole = model.extra is None     # it would have ended since the last wake: it was cut then, or is whole
            model.extra = model.extra or self.running
            model.cut_bolus(model.t)        # at the last wake or at this one: less than a pulse lies between
            nl, rem = self.demanded()
            off = Fraction(nl * DAY_S + rem, DAY_S) - model.demanded
            assert -PULSE_NL - model.slack <= off <= model.slack, ("a bolus was cut", float(off))
            model.demanded += off
            if whole:
                model.cut = 23 in model.active

    def end(self, delay_ms):
        steps = self.latch.steps if self.latch.hold_ms else 0       # a train without a hold is the self-test of the open switch
        super().end(delay_ms)
        if self.model and steps:
            self.model.pulse(PULSE_NL, not self.stalled)


def blocks_of(program, bridge, drug, **more):
    """Values of a PROGRAM block."""
    values = bare_pump.flex_program([[(start // 60, rate) for start, rate in program.steps]], bytes(7), program.fallback)
    values.update(drug)
    values["abrupt_stop"] = int(program.abrupt)
    if program.hour_nl is not None:
        strength = drug["concentration_1_ng_ml"]
        values["cap_hour_1_ng"], values["cap_day_1_ng"] = program.hour_nl * strength // 10**6, program.day_nl * strength // 10**6
    if program.bolus:
        nl, over_s, lockout_s, per_day, interval_h, per_interval, released = program.bolus
        values.update({"bolus_nl": nl, "bolus_s": over_s, "lockout_min": lockout_s // 60, "per_day": per_day, "interval_h": interval_h,
                       "per_interval": per_interval, "released": int(released)})
    if bridge:
        values["bridge_nl"], values["bridge_rate_nl_day"] = bridge
    return {**values, **more}


RATES = st.sampled_from((48_000, 96_000, 200_000, 345_600, 600_000, 1_000_001))
BOLUSES = st.one_of(st.none(), st.builds(
    lambda size, lockout_s, per_day, released: (*size, lockout_s, per_day, 0, 0, released), st.sampled_from(((1_000, 60), (5_000, 600), (20_000, 600), (20_000, 1800))),
    st.sampled_from((1800, 3600, 10_800)), st.integers(1, 6), st.booleans()), st.tuples(
    st.just(2_000), st.just(300), st.just(600), st.integers(3, 12), st.sampled_from((2, 6)), st.integers(1, 3), st.just(True)))
STEPS_OF_DAY = st.one_of(RATES.map(lambda rate: [(0, rate)]),
                         st.tuples(RATES, RATES, st.sampled_from((21_600, 43_200, 79_200))).map(lambda drawn: [(0, drawn[0]), (drawn[2], drawn[1])]))
PROGRAMS = st.builds(Program, STEPS_OF_DAY, st.sampled_from((6_000, 48_000)), BOLUSES, abrupt=st.booleans())
SPANS = st.one_of(st.integers(1, 120), st.integers(121, 3600), st.integers(3601, 30_000), st.sampled_from((600, 1800, 3600, 10_800, 86_400)))


class Therapy(RuleBasedStateMachine):
    """Each rule is somebody's act. `ordered` gives an order to the pump and judges its answer against what the rules allow."""

    counted = [0, 0]            # steps and sequences of a campaign, for its report

    @initialize(program=PROGRAMS)
    def implanted(self, program):
        self.counted[1] += 1
        self.ward = Ward()
        self.ward.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
        self.strength = 500_000
        self.model = self.ward.watch()
        program.drug = self.strength
        self.ward.must(cat.PROGRAM, blocks_of(program, None, self.drug()))
        self.model.commit(program)

    def drug(self):
        return dict(bare_pump.DRUG, concentration_1_ng_ml=self.strength)

    def ordered(self, reply, expected, done):
        """`expected`: None, or the set of reasons that the rules allow; None in a set where acceptance is allowed too."""
        said = REASONS.get(reply["reason"], reply["reason"]) if "reason" in reply else None
        allowed = expected if isinstance(expected, set) else {expected}
        assert said in allowed, (said, allowed, self.model.mode(), self.model.__dict__)
        if said is None:
            done()
        self.ward.look()

    # ---- time and fate
    @rule(seconds=SPANS)
    def wait(self, seconds):
        self.ward.run_s(seconds)
        self.ward.catch_up()

    @rule(on=st.booleans())
    def stall(self, on):
        self.ward.stalled = on

    # A clock that reads less than the last stored second was lost: boot says so and sets it
    # (tests/firmware/test_boot.py).
    @rule(outage_s=st.sampled_from((1, 30, 600, 28_800)))
    def power_cut(self, outage_s):
        ward, model = self.ward, self.model
        if model.drifted_s + outage_s < 0:
            return
        ward.catch_up()
        before = model.demanded + sum(model.missed.values())
        unseen = abs(model.drifted_s) * model.program.highest() // DAY_S      # a gap is as long as the clock says, and a small jump looks like one
        ward.app, ward.session = None, None
        model.outage(outage_s)
        ward.reboot(outage_s)
        model.active, model.basal_over = {row for row in range(1, 30) if ward.app.alarms.active >> (row - 1) & 1}, ward.app.alarms.is_shifted(4)
        nl, rem = ward.demanded()
        books = Fraction(nl * DAY_S + rem, DAY_S)
        missed = self.missed()
        due = model.demanded + sum(model.missed.values())
        assert abs(books - model.demanded) <= PULSE_NL + model.slack, ("a reset moved the books", float(books - model.demanded))
        assert books <= model.demanded + model.slack
        booked = sum(missed[cause] for cause in model.missed)
        assert abs(books + booked - due) <= 2 * PULSE_NL + model.slack + unseen, (float(due - before), missed, model.missed)
        if model.extra:                 # a bridge: as far as the store knows
            left = ward.status()["bridge_left_nl"]
            assert 0 <= left - model.extra[1] <= PULSE_NL + 3, (left, float(model.extra[1]))
            model.extra[1] = Fraction(left)
        model.demanded, model.missed = books, {cause: Fraction(missed[cause]) for cause in model.missed}

    # Small jumps add up to a large one with what came before it: one at a time, so that it is known how far the pump's own times have moved.
    @precondition(lambda self: self.model.drifted_s == 0)
    @rule(jump_s=st.sampled_from((-7200, -290, 200, 299, 3600, 7200)))
    def clock_jump(self, jump_s):
        ward, model = self.ward, self.model
        ward.wake()                     # at a wake, so that the books know the old time up to here
        before = model.basal(model.rtc_s)
        model.clock_moves(jump_s)
        ward.rtc_s += jump_s
        model.rtc_s += jump_s
        if model.program:
            model.slack += 3 + abs(before - model.basal(model.rtc_s)) * 300 // DAY_S
        if abs(jump_s) > 300:
            model.jumped = True
        else:
            model.drift(jump_s)
        ward.run(1000)                  # within the same second a clock has not moved
        ward.wake()

    # ---- the clinician
    @rule(program=PROGRAMS, restated=st.booleans(), roomy=st.sampled_from((None, 2, 1)))
    def new_program(self, program, restated, roomy):
        ward, model = self.ward, self.model
        ward.wake()
        left = model.extra[1] if model.extra and model.extra[0] == "bridge" else Fraction(ward.app.infusion.bridge_left_nl())
        bridge = None
        if left > 0 and restated:
            bridge = (min(375_000, int(left) + 1), model.extra[2])
        program.drug = self.strength
        if roomy and not left:          # caps with some room, or none
            day = program.daily_nl() + (program.most_boluses(DAY_S) * program.bolus[0] if program.bolus else 0)
            hour = program.highest() / 24 + (program.most_boluses(HOUR_S) * program.bolus[0] if program.bolus else 0)
            program.day_nl, program.hour_nl = int(day * roomy) + 1000, int(hour * roomy) + 1000
        mode = model.mode()
        if mode == "bolus":
            expected = BUSY
        elif model.misfit():
            expected = DRUG
        elif left > 2 and not bridge:
            expected = "bridge" if left > PULSE_NL + 2 else {"bridge", None}
        else:
            expected = {None, CAP} if roomy and not left else None
        reply = ward.order(cat.PROGRAM, blocks_of(program, bridge, self.drug()))
        if roomy and not left and mode != "bolus" and not model.misfit() and "reason" in reply:
            self.cap_is_near(program, reply)
        self.ordered(reply, expected, lambda: model.commit(program, bridge))

    def cap_is_near(self, program, reply):
        """A program may be refused for a cap only when some window of it, behind what was delivered, comes near."""
        assert reply["reason"] == cat.R_CAP, reply
        near = False
        for seconds, cap in ((HOUR_S, program.hour_nl), (DAY_S, program.day_nl)):
            new = Fraction(program.highest() * seconds, DAY_S) + program.most_boluses(seconds) * (program.bolus[0] if program.bolus else 0)
            near = near or self.model.delivered(seconds) + new + 3 * PULSE_NL + self.model.blurred_nl() + program.highest() * 600 // DAY_S > cap
        assert near, "refused for a cap that nothing comes near"

    @rule(nl=st.sampled_from((1_000, 10_000, 40_000)), seconds=st.sampled_from((60, 1200, 7200)))
    def clinicians_bolus(self, nl, seconds):
        ward, model = self.ward, self.model
        ward.wake()
        mode = model.mode()
        if mode in ("stopped", "paused", "idle"):
            expected = STATE
        elif mode in ("bolus", "bridging"):
            expected = BUSY
        elif model.action() >= NOBOLUS:
            expected = ALARM
        elif model.misfit():
            expected = DRUG
        else:
            surely, possibly = model.rises_above(nl, nl * DAY_S // seconds)
            expected = CAP if surely else {None, CAP} if possibly else None
        if nl * DAY_S // seconds > 24_000_000:          # more than the head gives, in any mode
            expected = {"limit"} | ({expected} if isinstance(expected, str) else set())
        self.ordered(ward.order(cat.BOLUS, {"volume_nl": nl, "seconds": seconds}), expected, lambda: model.bolus("bolus", nl, seconds))

    # Caps of the old program hold the bridge too: without them, so that its rate is free.
    @precondition(lambda self: self.model.program.hour_nl is None and self.model.mode() != "bolus" and not (self.model.extra or self.ward.app.infusion.bridge_left_nl()))
    @rule(program=PROGRAMS, nl=st.sampled_from((2_000, 20_000, 100_000)), rate=st.sampled_from((96_000, 400_000)))
    def drug_change(self, program, nl, rate):
        """Another concentration is filled; without its whole bridge its program is refused, by an override it runs."""
        ward, model = self.ward, self.model
        self.strength = 2_000_000 if self.strength == 500_000 else 500_000
        ward.refill(18_600, self.drug())
        model.filled(self.strength)
        program.drug = self.strength
        reply = ward.order(cat.PROGRAM, blocks_of(program, None, self.drug()))
        assert reply.get("reason") == cat.R_BRIDGE, reply
        reply = ward.order(cat.PROGRAM, blocks_of(program, (nl, rate), self.drug()))
        assert reply.get("reason") == cat.R_BRIDGE, reply
        blocks = blocks_of(program, (nl, rate), self.drug(), overrides=1, override_why=1)
        self.ordered(ward.order(cat.PROGRAM, blocks), None, lambda: model.commit(program, (nl, rate)))

    @precondition(lambda self: self.model.misfit() and self.model.program.hour_nl is None and not (self.model.extra or self.ward.app.infusion.bridge_left_nl()))
    @rule(program=PROGRAMS, off=st.sampled_from(("longer", "shorter", "none", "as due")))
    def late_change(self, program, off):
        """The fill's drug is programmed some time behind it: what the line still holds of the old one is bridged, no more and no less."""
        ward, model = self.ward, self.model
        ward.wake()
        due, look = model.bridge_due_nl(), PULSE_NL + model.program.highest() // 144
        nl = {"longer": due + look + 3 * PULSE_NL, "shorter": max(0, due - 3 * PULSE_NL), "none": 0, "as due": due}[off]
        drug, program.drug = dict(self.drug(), concentration_1_ng_ml=model.fill), model.fill
        bridge = (nl, 400_000) if nl else None
        expected = None if off == "as due" or (nl == 0 and due == 0) else "bridge"
        if nl < due <= 4 * PULSE_NL:        # a pulse is let pass
            expected = {None, "bridge"}
        reply = ward.order(cat.PROGRAM, blocks_of(program, bridge, drug))
        if "reason" not in reply:
            self.strength = model.fill
        self.ordered(reply, expected, lambda: model.commit(program, bridge))

    @rule()
    def refill(self):
        ward, model = self.ward, self.model
        ward.wake()
        if model.mode() == "bolus":
            values = {"withdrawn_ul": 0, "volume_ul": 18_600, "expires_s": 0, "lot": bare_pump.named(b"x"), "next_s": 0, "rinse": 0, **self.drug()}
            assert ward.order(cat.REFILL, values).get("reason") == cat.R_BUSY
            return
        ward.refill(18_600, self.drug())
        model.filled(self.strength)

    # A program without caps, so that none of them refuses the fill: tests/firmware/test_misfit.py has those.
    @precondition(lambda self: self.model.program.hour_nl is None and self.model.mode() != "bolus" and not (self.model.extra or self.ward.app.infusion.bridge_left_nl()))
    @rule()
    def odd_fill(self):
        """Another concentration is filled, and nobody programs it: until the program's own is filled again."""
        other = 2_000_000 if self.strength == 500_000 else 500_000
        self.ward.refill(18_600, dict(self.drug(), concentration_1_ng_ml=other))
        self.model.filled(other)

    @rule()
    def stop(self):
        expected = STATE if self.model.mode() == "stopped" else None
        self.ward.wake()
        self.ordered(self.ward.order(cat.STOP, {"reason": 1}), expected, self.model.stop)

    @rule(minutes=st.sampled_from((1, 60, 600)))
    def pause(self, minutes):
        self.ward.wake()
        expected = STATE if self.model.mode() in ("stopped", "paused") else None
        self.ordered(self.ward.order(cat.PAUSE, {"minutes": minutes}), expected, lambda: self.model.pause(60 * minutes))

    @rule()
    def resume(self):
        self.ward.wake()
        busy = {"bolus": BUSY, "bridging": BUSY}.get(self.model.mode(), STATE)
        expected = None if self.model.mode() in ("stopped", "paused") or self.model.reduced else busy
        if self.model.mode() == "stopped" and self.model.misfit():
            expected = DRUG
        self.ordered(self.ward.order(cat.RESUME, {}), expected, self.model.resume)

    @rule(by_s=st.sampled_from((0, 0, -7200, -1800, -290, 290, 3600, 40_000, -100_000)))
    def set_clock(self, by_s):
        """To the true time, or to one that is off it by so much."""
        ward, model = self.ward, self.model
        ward.wake()
        real_s = bare_pump.MONDAY_S + model.t + by_s

        def done():
            before = model.basal(model.rtc_s)
            model.clock_moves(real_s - model.rtc_s)
            model.slack += 3 + abs(before - model.basal(real_s)) // DAY_S
            model.rtc_s, model.jumped, model.drifted_s = real_s, False, 0
        self.ordered(ward.order(cat.SET_CLOCK, {"time_s": real_s}), None, done)

    @rule()
    def visit(self):
        model = self.model
        model.cut = False               # row 23 is answered by an acknowledgement too
        self.ward.must(cat.ACKNOWLEDGE, {"row": 0})
        self.ward.must(cat.VISIT, {"alarm_heard": 2, "report": bytes(8)})
        model.visited_t = model.t + 1
        self.ward.look()

    @precondition(lambda self: not (self.model.extra and self.model.extra[0] == "bridge"))
    @rule(action=st.sampled_from((cat.REDUCE_FALLBACK, cat.REDUCE_STOP)))
    def emergency(self, action):
        ward, model = self.ward, self.model
        ward.magnet = True
        reply, said = ward.ask(cat.REDUCE, (action,))
        ward.magnet = False
        if reply == cat.REFUSED:
            assert model.reduced == "stop" and action == cat.REDUCE_FALLBACK, said
            return
        model.reduced = "stop" if action == cat.REDUCE_STOP else "fallback"
        model.reduced_until = model.t + DAY_S
        ward.look()

    # ---- the patient
    @rule()
    def request(self):
        ward, model = self.ward, self.model
        ward.wake()
        reason, doubt = model.denial()
        expected = {reason}
        if reason is None:
            nl, over_s = model.program.bolus[:2]
            surely, possibly = model.rises_above(nl, -(-nl * DAY_S // over_s))
            expected = {CAP} if surely else {None, CAP} if possibly else {None}
        if doubt:
            expected |= {None, RESERVE, FRESH, LOCKOUT, COUNT, CAP}
        reply = ward.request()
        said = REASONS.get(reply["reason"], reply["reason"]) if "reason" in reply else None
        if said is not None:
            model.denied.append([model.t, model.t])
        self.ordered(reply, expected, lambda: model.bolus("patient", *model.program.bolus[:2]))

    # ---- what must hold behind each step
    def missed(self):
        said = self.ward.status()
        return {name: said["missed_%s_ul" % name] * 1000 + said["missed_%s_nl" % name] for name in cat.MISSED_CAUSES}

    @invariant()
    def agrees(self):
        self.counted[0] += 1
        ward, model = self.ward, self.model
        ward.wake()
        said = ward.status()
        if model.reduced and model.t >= model.reduced_until + 700:
            model.reduced = None
        if model.reduced and model.t >= model.reduced_until and 17 not in model.active:
            model.reduced = None
        assert cat.MODES[said["mode"]] == model.mode(), (cat.MODES[said["mode"]], model.mode())
        nl, rem = ward.demanded()
        off = Fraction(nl * DAY_S + rem, DAY_S) - model.demanded
        assert abs(off) <= model.slack, ("demanded", float(off), model.slack)
        missed = self.missed()
        for cause, volume in model.missed.items():
            assert abs(missed[cause] - volume) <= model.slack + 2, ("missed", cause, missed[cause], float(volume))
        assert missed["late"] == 0 and missed["clock"] == 0, missed
        if model.extra:
            most = 3 + 2 * model.extra[2] // DAY_S      # whole seconds at each end
            assert abs(said["extra_left_nl"] - model.extra[1]) <= most, (said["extra_left_nl"], float(model.extra[1]))
        assert abs(nl - ward.steps * 35_000 // 4096) <= 2 * PULSE_NL, "demanded and ordered drift apart"
        if model.program.bolus and not model.extra:
            self.lockout(said["lockout_s"])
        self.counts(said)
        self.caps()
        must, never = model.alarms_due()
        assert must <= model.active and not never & model.active, (must, never, model.active)

    def lockout(self, said):
        """What a reset left open is known once a lockout has been seen."""
        model = self.model
        least, most = model.lockout_left()
        assert least - 3 <= said <= most + 3, ("lockout", said, least, most)
        if said and model.bolus_end:
            end = model.t - model.program.bolus[2] + said
            model.bolus_end = [max(model.bolus_end[0], min(model.bolus_end[1], end + by)) for by in (-3, 3)]

    def counts(self, said):
        for field, times in (("boluses_granted", self.model.granted), ("boluses_refused", self.model.denied)):
            low, high = self.model.recent(times, DAY_S)
            assert min(low, 15) <= said[field] <= high, (field, said[field], low, high)

    def caps(self):
        program = self.model.program
        for seconds, cap in ((HOUR_S, program.hour_nl), (DAY_S, program.day_nl)):
            if cap is not None and 4 not in self.model.active:
                held, most = self.model.delivered(seconds), self.model.most_in(seconds, cap)
                assert held <= most + PULSE_NL, ("a cap is exceeded", seconds, held, cap, float(most))


def campaign(sequences, first=1):
    """Play sequences, a seed for every ten from `first` on; returns (seeds, sequences, steps)."""
    seeds = []
    Therapy.counted[:] = [0, 0]
    while Therapy.counted[1] < sequences:
        number, agreed = first + len(seeds), tuple(Therapy.counted)
        seeds.append(number)
        machine = seed(number)(type("Therapy", (Therapy,), {}))
        try:
            run_state_machine_as_test(machine, settings=settings(
                max_examples=10, stateful_step_count=STEPS, deadline=None, database=None, print_blob=True, suppress_health_check=list(HealthCheck)))
        except BaseException as error:
            error.add_note("stateful therapy: seed %d, behind %d sequences and %d steps that agreed from seed %d on" % (number, agreed[1], agreed[0], first))
            raise
    return seeds, Therapy.counted[1], Therapy.counted[0]


@pytest.mark.req("TH-RATE-07", "TH-RATE-01", "TH-CAP-03", "TH-BOL-02", "TH-MODE-03")
@pytest.mark.slow
@pytest.mark.timeout(0 if CAMPAIGN else 300)
def test_pump_and_model_agree_behind_every_step(capsys):
    seeds, sequences, steps = campaign(CAMPAIGN or SLICE, FIRST)
    assert steps > 200
    with capsys.disabled():
        print("\nstateful therapy: seeds %d..%d, %d sequences, %d steps" % (seeds[0], seeds[-1], sequences, steps))
