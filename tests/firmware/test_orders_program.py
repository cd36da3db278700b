"""The program order beside drug, catheter, bridge, step limits and caps: what is refused, what overrides it, and what a commit leaves behind."""

import pytest
from bare_pump import A_BOLUS, COMMISSION, DRUG, Bench, block_bytes, events, flex_program, named, simple_program
from thecal.firmware import modes, orders_program
from thecal.firmware.blocks import values_of
from thecal.protocol import catalogue as cat

DAY_S = 86_400
DOUBLE = {**DRUG, "concentration_1_ng_ml": 1_000_000}
MORPHINE = {**DRUG, "drug_1": named(b"morphine")}


def program(bench, values, **changes):
    """The reason why not, or 0."""
    return bench.order(cat.PROGRAM, {**values, **changes}).get("reason", 0)


@pytest.fixture
def filled():
    """Running 480 uL a day of baclofen 500 with a catheter on record as filled."""
    bench = Bench()
    bench.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
    bench.program(480_000)
    bench.run_s(600)
    return bench


class TestDrugs:
    @pytest.mark.req("TH-PROG-07")
    @pytest.mark.parametrize("drug", [DOUBLE, MORPHINE])
    def test_a_program_is_of_what_the_pump_was_filled_with(self, drug):
        bench = Bench()
        assert program(bench, {**simple_program(480_000), **drug}) == cat.R_DRUG
        bench.refill(10_000, drug)
        assert program(bench, {**simple_program(480_000), **drug}) == 0
        bench.reboot()
        assert program(bench, simple_program(480_000)) == cat.R_DRUG, "also behind a reset"

    @pytest.mark.req("TH-PROG-23")
    def test_a_pump_that_was_never_filled_has_nothing_to_program(self):
        bench = Bench(ready=False)
        bench.must(cat.COMMISSION, COMMISSION)
        assert program(bench, simple_program(480_000)) == cat.R_RESERVE and bench.app.mode == modes.IDLE
        bench.refill(10_000)
        assert program(bench, simple_program(480_000)) == 0

    @pytest.mark.req("TH-PROG-07")
    def test_a_mixture_is_the_same_in_whatever_order_it_is_named(self):
        bench = Bench()
        bench.refill(10_000, {**DRUG, "drug_2": named(b"clonidine"), "concentration_2_ng_ml": 1_000_000})
        other = {"drug_1": named(b"clonidine"), "concentration_1_ng_ml": 1_000_000, "drug_2": named(b"baclofen"), "concentration_2_ng_ml": 500_000,
                 "cap_hour_2_ng": 10**9, "cap_day_2_ng": 10**9}
        assert program(bench, {**simple_program(480_000), **other}) == 0 and not bench.app.misfit()
        assert program(bench, {**simple_program(480_000), **other, "concentration_2_ng_ml": 500_001}) == cat.R_DRUG


class TestBridges:
    def change(self, bench, bridge_nl=375_000, rate_nl_day=480_000, **changes):
        return program(bench, {**simple_program(240_000), **DOUBLE, "bridge_nl": bridge_nl, "bridge_rate_nl_day": rate_nl_day, **changes})

    @pytest.mark.req("TH-LIFE-04", "TH-PROG-16")
    def test_a_change_over_a_filled_catheter_needs_one_or_an_override_that_is_logged(self, filled):
        filled.refill(17_000, DOUBLE)
        assert self.change(filled, 0, 0) == cat.R_BRIDGE
        assert self.change(filled, 0, 0, overrides=orders_program.STEP, override_why=3) == cat.R_BRIDGE, "another soft limit's bit"
        assert self.change(filled, 0, 0, overrides=orders_program.NO_BRIDGE, override_why=3) == 0
        assert filled.app.mode == modes.RUNNING and events(filled, cat.E_OVERRIDE) == [(3, 1, 0)]

    def test_over_an_empty_one_there_is_nothing_to_bridge(self):
        bench = Bench()
        bench.program(480_000)
        bench.refill(17_000, DOUBLE)
        assert self.change(bench) == cat.R_BRIDGE
        assert self.change(bench, 0, 0) == 0

    def test_nor_without_a_change(self, filled):
        assert program(filled, simple_program(480_000), bridge_nl=100_000, bridge_rate_nl_day=480_000) == cat.R_BRIDGE

    @pytest.mark.req("TH-LIFE-04")
    def test_it_holds_at_most_the_line(self, filled):
        filled.refill(17_000, DOUBLE)
        assert self.change(filled, 375_001) == cat.R_BRIDGE
        assert self.change(filled, 375_000) == 0

    def test_a_catheter_left_in_place_at_a_replacement_may_be_bridged(self):
        bench = Bench()
        bench.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
        assert program(bench, simple_program(240_000), bridge_nl=176_000, bridge_rate_nl_day=480_000) == 0
        assert bench.app.mode == modes.BRIDGING
        assert program(bench, simple_program(240_000)) == cat.R_BRIDGE

    @pytest.mark.req("TH-LIFE-03")
    def test_the_old_drug_at_the_old_rate_and_then_the_new_by_itself(self, filled):
        filled.refill(17_000, DOUBLE)
        assert self.change(filled) == 0
        orders = filled.orders
        filled.run_s(375 * 180 - 2)
        assert filled.app.mode == modes.BRIDGING and filled.status()["rate_nl_day"] == 480_000
        filled.run_s(4)
        assert filled.app.mode == modes.RUNNING and filled.status()["rate_nl_day"] == 240_000
        assert abs(filled.orders - orders - 375) <= 1 and len(events(filled, cat.E_BRIDGE_END)) == 1

    @pytest.mark.req("TH-LIFE-04")
    def test_a_bridge_with_less_than_a_pulse_left_ends_with_a_program_that_does_not_restate_it(self, filled):
        filled.refill(17_000, DOUBLE)
        assert self.change(filled, 2_000) == cat.R_BRIDGE, "it is not the whole that is due"
        assert self.change(filled, 2_000, overrides=orders_program.NO_BRIDGE, override_why=1) == 0
        while filled.app.infusion.bridge_left_nl() > 1000:
            filled.run_s(30)
        assert filled.app.infusion.bridge_left_nl() > 0
        assert program(filled, {**simple_program(250_000), **DOUBLE}) == 0
        status = filled.status()
        assert (status["mode"], status["rate_nl_day"], status["bridge_left_nl"]) == (modes.RUNNING, 250_000, 0)
        assert filled.app.settings.old_cap_day_nl == 0 and filled.app.caps.day_nl == filled.app.caps._day_nl
        assert len(events(filled, cat.E_BRIDGE_END)) == 1
        before = filled.app.ledger.pulses
        filled.reboot()
        filled.run_s(3600)
        assert filled.app.ledger.pulses - before in (10, 11) and filled.status()["bridge_left_nl"] == 0

    @pytest.mark.req("TH-LIFE-04")
    def test_a_new_program_under_a_bridge_restates_what_is_left_of_it(self, filled):
        filled.refill(17_000, DOUBLE)
        assert self.change(filled) == 0
        filled.run_s(7200)
        left_nl = filled.status()["bridge_left_nl"]
        assert self.change(filled, 0, 0) == self.change(filled, left_nl - 1001) == self.change(filled, 376_000) == cat.R_BRIDGE
        assert self.change(filled, left_nl - 1000) == 0 and filled.status()["bridge_left_nl"] == left_nl - 1000
        assert self.change(filled, 375_000, 240_000) == 0 and filled.status()["rate_nl_day"] == 240_000
        assert program(filled, simple_program(480_000)) == cat.R_DRUG

    @pytest.mark.req("TH-LIFE-34")
    @pytest.mark.parametrize("hours", [0, 1, 6, 9, 10, 18])
    def test_due_is_what_the_line_still_holds_of_the_old_drug(self, filled, hours):
        """480 uL a day from the fill on: behind 18 h nothing of 375 uL is left. Longer gives the new drug at the old rate, shorter the other way round."""
        filled.refill(17_000, DOUBLE)
        orders = filled.orders
        filled.run_s(hours * 3600)
        due_nl = 375_000 - (filled.orders - orders) * 1000
        look_nl = 1000 + 480_000 // 144         # a pulse, and what runs in ten minutes
        assert self.change(filled, min(375_000, due_nl + look_nl) + 1 if due_nl > 0 else 1) == cat.R_BRIDGE
        if due_nl > 0:
            assert self.change(filled, due_nl - 1001) == self.change(filled, 0, 0) == cat.R_BRIDGE
            assert self.change(filled, due_nl) == 0 and filled.app.mode == modes.BRIDGING
        else:
            assert self.change(filled, 0, 0) == 0 and filled.app.mode == modes.RUNNING

    @pytest.mark.req("TH-LIFE-34")
    @pytest.mark.parametrize("before", ["fill", "aspiration"])
    def test_the_tubing_behind_an_emptied_catheter_holds_old_drug_still(self, before):
        """What fills the catheter again is the tubing's: it is bridged behind the prime, or with it."""
        filled = Bench()
        filled.prime(375_000, 24_000_000)
        filled.run_s(1400)
        filled.program(480_000)
        for what in ("fill", "aspiration") if before == "fill" else ("aspiration", "fill"):
            if what == "fill":
                filled.refill(17_000, DOUBLE)
            else:
                filled.must(cat.CATHETER, {"state": cat.CATHETER_EMPTY})
        assert self.change(filled, 0, 0) == cat.R_BRIDGE
        filled.prime(176_000, 24_000_000, cat.PRIME_CATHETER)
        assert self.change(filled) == cat.R_BUSY, "it would end the prime"
        filled.run_s(700)
        due_nl = filled.app.dead_volume_nl - (filled.app.ledger.base_nl - filled.app.ledger.reservoir_nl())
        assert 190_000 < due_nl <= 199_000 and filled.app.mode == modes.RUNNING
        assert self.change(filled, 0, 0) == self.change(filled) == cat.R_BRIDGE
        assert self.change(filled, due_nl) == 0

    @pytest.mark.req("TH-LIFE-34")
    @pytest.mark.parametrize("hours, ends", [(0, False), (9, False), (10, True)])
    def test_stopped_it_waits_and_a_catheter_that_is_emptied_ends_it_where_the_tubing_holds_the_new_drug(self, filled, hours, ends):
        filled.refill(17_000, DOUBLE)
        assert self.change(filled) == 0
        filled.run_s(hours * 3600)
        filled.stop()
        left_nl = filled.status()["bridge_left_nl"]
        filled.must(cat.CATHETER, {"state": cat.CATHETER_EMPTY})
        if not ends:
            assert filled.status()["bridge_left_nl"] == left_nl and filled.app.settings.old_cap_day_nl
            filled.resume()
            assert filled.app.mode == modes.BRIDGING and filled.status()["rate_nl_day"] == 480_000
            return
        assert filled.status()["bridge_left_nl"] == 0 and filled.app.settings.old_cap_day_nl == 0
        filled.resume()
        assert filled.app.mode == modes.RUNNING and filled.status()["rate_nl_day"] == 240_000

    def test_under_a_fallback_the_old_drug_is_slowed_in_proportion(self, filled):
        filled.refill(17_000, DOUBLE)
        assert self.change(filled, fallback_nl_day=120_000) == 0
        filled.magnet = True
        assert abs(filled.ask(cat.REDUCE, (cat.REDUCE_FALLBACK,))[1]["rate_nl_day"] - 240_000) <= 2000
        left_nl = filled.status()["bridge_left_nl"]
        filled.run_s(DAY_S // 2)
        assert abs(left_nl - filled.app.infusion.bridge_left_nl() - 120_000) <= 2500

    @pytest.mark.req("TH-CAP-06")
    def test_the_old_caps_count_while_it_runs(self, filled):
        old_nl = filled.status()["cap_day_nl"]
        filled.refill(17_000, DOUBLE)
        assert self.change(filled, cap_day_1_ng=500_000_000, cap_hour_1_ng=500_000_000) == 0
        assert filled.status()["cap_day_nl"] == old_nl
        filled.reboot(60)
        assert filled.status()["cap_day_nl"] == old_nl
        filled.run_s(DAY_S)
        assert filled.status()["cap_day_nl"] == 500_000_000


class TestSteps:
    LIMITS = {"step_pct": 30, "step_interval_h": 24}

    @pytest.fixture
    def bench(self):
        made = Bench()
        assert program(made, simple_program(400_000), **self.LIMITS) == 0
        made.run_s(DAY_S + 60)
        return made

    @pytest.mark.req("TH-RATE-04")
    def test_a_rise_is_bounded_and_comes_no_sooner_than_its_interval(self, bench):
        assert program(bench, simple_program(520_001), **self.LIMITS) == cat.R_STEP
        assert program(bench, simple_program(520_000), **self.LIMITS) == 0
        assert program(bench, simple_program(530_000), **self.LIMITS) == cat.R_STEP, "too soon"
        bench.run_s(DAY_S - 120)
        assert program(bench, simple_program(530_000), **self.LIMITS) == cat.R_STEP
        bench.run_s(240)
        assert program(bench, simple_program(530_000), **self.LIMITS) == 0

    def test_a_fall_is_free_and_an_equal_dose_too(self, bench):
        assert program(bench, simple_program(48_000), **self.LIMITS) == 0
        assert program(bench, simple_program(48_000), **self.LIMITS) == 0

    def test_the_start_counts_as_a_rise(self):
        bench = Bench()
        assert program(bench, simple_program(400_000), **self.LIMITS) == 0
        assert program(bench, simple_program(401_000), **self.LIMITS) == cat.R_STEP

    @pytest.mark.req("TH-RATE-04", "TH-PROG-16")
    def test_a_limit_that_was_overridden_is_logged_with_why(self, bench):
        assert program(bench, simple_program(800_000), **self.LIMITS, overrides=orders_program.STEP, override_why=7) == 0
        assert events(bench, cat.E_OVERRIDE) == [(7, orders_program.STEP, 0)]

    @pytest.mark.req("TH-RATE-04")
    def test_the_dose_counts_and_not_the_volume(self, bench):
        bench.refill(17_000, DOUBLE)
        doubled = {**simple_program(200_000), **DOUBLE, "overrides": orders_program.NO_BRIDGE, "override_why": 1, **self.LIMITS}
        assert program(bench, doubled) == 0, "half the volume of twice the concentration is the same dose"
        assert bench.app.settings.changed_s == bench.app.settings.steady_s + 1
        assert program(bench, {**doubled, **simple_program(300_000), **DOUBLE, **self.LIMITS}) == cat.R_STEP

    def test_the_heaviest_day_counts(self, bench):
        week = flex_program([[(0, 400_000)], [(0, 600_000)]], [0, 0, 0, 0, 0, 0, 1])
        assert program(bench, week, **self.LIMITS) == cat.R_STEP

    @pytest.mark.req("TH-RATE-04")
    def test_of_a_mixture_any_drug(self):
        both = {"drug_2": named(b"bupivacaine"), "concentration_2_ng_ml": 20_000, "cap_hour_2_ng": 1 << 29, "cap_day_2_ng": 1 << 29}
        bench = Bench()
        bench.refill(10_000, {**DRUG, **{key: both[key] for key in ("drug_2", "concentration_2_ng_ml")}})
        assert program(bench, {**simple_program(400_000), **both}, **self.LIMITS) == 0
        bench.run_s(DAY_S + 60)
        stronger = {**both, "concentration_2_ng_ml": 40_000}
        bench.refill(10_000, {**DRUG, **{key: stronger[key] for key in ("drug_2", "concentration_2_ng_ml")}})
        assert program(bench, {**simple_program(400_000), **stronger}, **self.LIMITS, overrides=1, override_why=1) == cat.R_STEP

    @pytest.mark.req("TH-RATE-04", "TH-BOL-10")
    def test_more_by_patient_boluses_is_a_rise(self):
        bench, few = Bench(), {**simple_program(400_000), **A_BOLUS, "per_day": 2, "released": 0, **self.LIMITS}
        assert program(bench, few) == 0
        bench.run_s(DAY_S + 60)
        assert program(bench, {**few, "bolus_nl": 5 * A_BOLUS["bolus_nl"]}) == cat.R_STEP, "the day with all boluses rises by more than 30 %"
        assert bench.app.settings.changed_s < bench.app.settings.steady_s
        assert program(bench, {**few, "per_day": 3}) == 0
        assert bench.app.settings.rise_s == bench.app.settings.changed_s == bench.app.settings.steady_s + 1, "from here the first 24 h count"
        assert bench.request()["reason"] == cat.R_FRESH

    def test_a_larger_bolus_or_a_shorter_lockout_is_a_change_even_where_the_day_holds_no_more(self):
        bench, rules = Bench(), {**simple_program(400_000), **A_BOLUS, "per_day": 2, "lockout_min": 120}
        assert program(bench, rules) == 0
        for change in ({"bolus_nl": 2 * A_BOLUS["bolus_nl"], "per_day": 1}, {"lockout_min": 60}):
            bench.run_s(600)
            rules = {**rules, **change}
            assert program(bench, rules) == 0
            assert bench.app.settings.changed_s == bench.app.settings.steady_s + 1
        bench.run_s(600)
        assert program(bench, {**rules, "lockout_min": 90}) == 0
        assert bench.app.settings.changed_s < bench.app.settings.steady_s, "a longer lockout alone is none"

    def test_without_an_interval_a_clock_that_slipped_back_delays_no_rise(self, filled):
        filled.app.settings.rise_s = filled.app.settings.steady_s + 290
        assert program(filled, simple_program(490_000)) == 0

    def test_a_bridge_is_no_faster_than_the_old_day_and_its_step(self):
        bench = Bench()
        bench.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
        bench.program(400_000)
        bench.refill(17_000, DOUBLE)
        values = {**simple_program(200_000), **DOUBLE, "bridge_nl": 375_000, "step_pct": 30}
        assert program(bench, values, bridge_rate_nl_day=520_001) == cat.R_STEP
        assert program(bench, values, bridge_rate_nl_day=520_000) == 0


@pytest.mark.req("TH-CAP-02")
def test_a_program_above_a_cap_is_refused():
    bench = Bench()
    capped = {"cap_hour_1_ng": 20_000, "cap_day_1_ng": 240_000}     # 40 uL an hour, 480 uL a day
    assert program(bench, simple_program(490_000), **capped) == cat.R_CAP
    assert program(bench, simple_program(480_000), **capped) == 0
    assert program(bench, flex_program([[(0, 48_000), (600, 1_000_000), (700, 48_000)]], bytes(7)), **capped) == cat.R_CAP, "an hour of it"


def test_a_commit_leaves_the_program_its_copy_and_its_prescription():
    bench = Bench()
    values = {**simple_program(480_000, 240_000), **A_BOLUS}
    for order_id in (7001, 7002):
        bench.order(cat.PROGRAM, values, order_id=order_id)
    app = bench.app
    assert app.settings.prescriptions == 2 and app.supervisor.fallback_nl_day == 240_000
    data = bench.ask(cat.FILE_READ, (cat.FILE_PRESCRIPTIONS, cat.PRESCRIPTION_BYTES, 200))[1]["data"]
    assert block_bytes(cat.PROGRAM, {**values, "order_id": 7002})[:150] in data
    assert values_of(cat.PROGRAM, app.program_block)["order_id"] == 7002
    bench.reboot()
    assert bench.app.settings.prescriptions == 2 and bench.app.bolus.volume_nl == 20_000
