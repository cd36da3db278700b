"""Orders: at most once even across a reset, power lost at every store write of every order, a store that refuses, what each changes."""

import pytest
from bare_pump import COMMISSION, DRUG, Bench, block_bytes, flex_program, simple_program
from thecal.firmware import alarms as al
from thecal.firmware import limits as li
from thecal.firmware import modes
from thecal.firmware.ports import PowerCut
from thecal.protocol import catalogue as cat

ORDERS = {
    "commission": (cat.COMMISSION, {**COMMISSION, "catheter_mm": 555}), "program": (cat.PROGRAM, simple_program(700_000, 48_000)),
    "flex": (cat.PROGRAM, flex_program([[(0, 96_000), (600, 150_000)]], bytes(7))),
    "refill": (cat.REFILL, {**DRUG, "withdrawn_ul": 1000, "volume_ul": 10_000}), "stop": (cat.STOP, {"reason": 9}), "resume": (cat.RESUME, {}),
    "prime": (cat.PRIME, {"volume_nl": 50_000, "rate_nl_day": 24_000_000}), "set clock": (cat.SET_CLOCK, {"time_s": 63_600_000}),
}


def ready(name):
    """A running pump in a mode that takes this order, its order staged and checked; and the digest."""
    bench = Bench()
    if name != "commission":
        bench.program(500_000)
        bench.run_s(1000)
    if name == "resume":
        bench.stop()
    bench.run_s(200)
    kind, values = ORDERS[name]
    assert bench.stage(kind, block_bytes(kind, {"order_id": 4000, **values})) is None
    return bench, bench.ask(cat.CHECK)[1]["digest"]


def effect(bench):
    """What an order may change, as a boot finds it (a prime never outlives a reset)."""
    app = bench.app
    return (app.settings.stopped, app.settings.program_digest, app.program_block, app.commission_block, app.ledger.base_nl,
            app.settings.fallback_nl_day, app.schedule.rate_at(app.now_s) if app.program_block else 0, app.settings.order_digest)


def writes_of(name):
    bench, digest = ready(name)
    before = bench.store.writes
    assert bench.ask(cat.COMMIT, (digest,))[1]["again"] == 0
    return bench.store.writes - before


@pytest.mark.parametrize("torn", [False, True], ids=["before", "inside"])
@pytest.mark.parametrize("name", ORDERS)
def test_power_lost_at_every_write_leaves_the_old_or_the_new_and_a_retry_executes_at_most_once(name, torn):
    bench, digest = ready(name)
    old = effect(bench)
    bench.ask(cat.COMMIT, (digest,))
    new = effect(bench)
    assert new != old
    outcomes = set()
    for write in range(writes_of(name)):
        bench, digest = ready(name)
        bench.cut_after, bench.torn = write, torn
        with pytest.raises(PowerCut):
            bench.ask(cat.COMMIT, (digest,))
        bench.cut_after = 0xFFFF
        bench.reboot(30)
        found = effect(bench)
        assert found in (old, new), f"write {write}"
        outcomes.add(found)
        reply = bench.ask(cat.COMMIT, (digest,))[1]
        if found == new:
            assert reply["again"] == 1, "executed before the power went: answered from the store"
        else:
            assert reply["reason"] == cat.R_NOT_STAGED, "not executed, and the stage is gone"
        assert effect(bench) == found
        assert not bench.app.alarms.is_active(al.RECORDS)
        kind, values = ORDERS[name]
        if found == old:
            reply = bench.order(kind, values, order_id=4000)
            assert reply["again"] == 0 and reply["digest"] == digest
        if name != "set clock":
            assert effect(bench) == new
    assert outcomes == {old, new} or writes_of(name) == 1


@pytest.mark.parametrize("name", ORDERS)
def test_a_store_that_refuses_refuses_the_order_and_nothing_changes(name):
    bench, digest = ready(name)
    app = bench.app
    old, mode, rtc_s = effect(bench), app.mode, bench.rtc_s
    missed, contents = bench.missed_nl(), app.ledger.reservoir_nl()
    bench.store.fail = True
    assert bench.ask(cat.COMMIT, (digest,))[1]["reason"] == cat.R_STORE
    assert (effect(bench), app.mode, bench.missed_nl(), app.ledger.reservoir_nl()) == (old, mode, missed, contents)
    assert app.infusion.prime_left_nl == 0 and app.alarms.is_active(al.STORE)
    assert bench.rtc_s == rtc_s and app.now_s == rtc_s
    bench.store.fail = False
    bench.run_s(1)
    kind, values = ORDERS[name]
    if name == "prime":
        bench.program(500_000)          # boluses wait for a session that has seen the store work
    assert bench.order(kind, values)["again"] == 0
    if name not in ("stop", "commission"):
        bench.run_s(7200)
        assert bench.app.mode in (modes.RUNNING, modes.PRIMING)


def test_a_new_program_runs_from_its_commit_on_and_the_old_one_until_then():
    bench, digest = ready("program")
    before = bench.orders
    bench.run_s(250)
    assert bench.status()["rate_nl_day"] == 500_000 and bench.orders > before
    bench.ask(cat.COMMIT, (digest,))
    assert bench.status()["rate_nl_day"] == 700_000 and bench.status()["running_digest"] == digest
    assert bench.app.settings.fallback_nl_day == 48_000


def test_stop_and_resume_book_what_was_missed_and_make_nothing_up():
    bench, digest = ready("stop")
    bench.ask(cat.COMMIT, (digest,))
    orders = bench.orders
    bench.run_s(7200)
    bench.wake()
    assert bench.orders == orders and bench.status()["rate_nl_day"] == 0
    assert abs(bench.missed_nl() - 500_000 * 7200 // 86_400) <= 6
    missed = bench.missed_nl()
    bench.resume()
    bench.run_s(173)                # two pulse intervals
    assert 1 <= bench.orders - orders <= 3 and bench.missed_nl() == missed


def test_a_stop_cuts_a_prime_for_good():
    bench, digest = ready("prime")
    bench.ask(cat.COMMIT, (digest,))
    bench.run_s(20)
    assert 0 < bench.app.infusion.prime_left_nl < 50_000
    bench.stop()
    bench.resume()
    assert bench.app.infusion.prime_left_nl == 0 and bench.status()["rate_nl_day"] == 500_000


def test_a_prime_delivers_its_volume_beside_nothing_and_then_the_program_again():
    bench, digest = ready("prime")
    orders = bench.orders
    bench.ask(cat.COMMIT, (digest,))
    bench.run_s(180)                # 50 uL at 24 mL/day are 180 s
    assert 49 <= bench.orders - orders <= 51
    bench.run_s(20)
    assert bench.app.mode == modes.RUNNING
    bench.run_s(86_400)
    assert 549 <= bench.orders - orders <= 552


@pytest.mark.parametrize("row", [al.STALL, al.EMPTY_COMPUTED, al.CLOCK_LOST, al.RECORDS, al.EMPTY_SENSED])
def test_a_prime_is_refused_under_an_alarm_that_forbids_boluses_and_cut_by_one(row):
    bench, digest = ready("prime")
    bench.app.alarm(row, True)
    assert bench.ask(cat.COMMIT, (digest,))[1]["reason"] == cat.R_STATE
    bench, digest = ready("prime")
    bench.ask(cat.COMMIT, (digest,))
    bench.app.alarm(row, True)
    assert bench.app.infusion.prime_left_nl == 0 and bench.app.mode != modes.PRIMING


def test_a_refill_beyond_the_capacity_is_refused_and_the_first_one_has_no_residual():
    bench = Bench(ready=False)
    bench.must(cat.COMMISSION, COMMISSION)
    values = {**DRUG, "withdrawn_ul": 0}
    assert bench.order(cat.REFILL, {**values, "volume_ul": 20_001})["reason"] == cat.R_LIMIT
    bench.must(cat.REFILL, {**values, "volume_ul": 20_000})
    assert bench.app.ledger.reservoir_nl() == 20_000_000
    assert bench.order(cat.REFILL, {**values, "volume_ul": 18_601})["reason"] == cat.R_LIMIT
    bench.must(cat.REFILL, {**values, "volume_ul": 18_600})
    assert bench.app.ledger.reservoir_nl() == 20_000_000


def test_the_clock_goes_to_the_rtc_and_the_schedule_follows_it():
    bench = Bench()
    bench.flex([[(0, 96_000), (720, 480_000)]], bytes(7))       # midnight, noon; the bench begins at Monday 00:00
    assert bench.status()["rate_nl_day"] == 96_000
    bench.must(cat.SET_CLOCK, {"time_s": bench.rtc_s + 12 * 3600})
    assert bench.status()["rate_nl_day"] == 480_000 and bench.app.now_s == bench.rtc_s
    bench.run_s(3600)
    assert not bench.app.alarms.active and bench.missed_nl() == 0


def test_a_clock_set_back_and_a_reset_before_the_next_pulse_are_no_clock_fault():
    bench = Bench()
    bench.program(6000)
    bench.run_s(5 * 3600)
    bench.must(cat.SET_CLOCK, {"time_s": bench.rtc_s - 10 * 3600})
    bench.run(10_000)
    bench.reboot(60)
    assert not bench.app.alarms.is_active(al.CLOCK_LOST)
    assert bench.missed_nl() <= 6


def test_an_order_acknowledges_what_has_passed_and_keeps_what_stands():
    bench = Bench()
    bench.program(500_000)
    bench.stalled = True
    bench.run_s(600)
    bench.stalled = False
    bench.run_s(600)
    bench.app.alarm(al.LOW, True)
    assert bench.status()["latched"] == 1 << al.STALL - 1 | 1 << al.LOW - 1
    bench.program(400_000)
    assert bench.status()["latched"] == bench.status()["alarms"] == 1 << al.LOW - 1


def test_a_stop_is_remembered_for_its_alarm_across_a_reset():
    bench, digest = ready("stop")
    bench.ask(cat.COMMIT, (digest,))
    bench.run_s(3 * 3600)
    bench.reboot(60)
    assert bench.app.mode == modes.STOPPED
    bench.run_s(li.STOPPED_LONG_S - 3 * 3600 - 400)
    assert not bench.app.alarms.is_active(al.STOPPED_LONG)
    bench.run_s(4000)
    assert bench.app.alarms.is_active(al.STOPPED_LONG)
    bench.resume()
    assert not bench.app.alarms.active


class TestPrimeOfAFilledCatheter:
    """alarms.md 3: what lies in a drug-filled catheter is never pushed out faster than it was ordered."""

    @pytest.fixture
    def filled(self):
        bench = Bench()
        bench.prime(375_000, 24_000_000)
        bench.run_s(1500)
        bench.program(480_000)
        return bench

    def prime(self, bench, volume_nl, rate_nl_day):
        return bench.order(cat.PRIME, {"volume_nl": volume_nl, "rate_nl_day": rate_nl_day}).get("reason", 0)

    def test_an_empty_line_takes_its_dead_volume_once(self):
        bench = Bench()
        assert self.prime(bench, 377_000, 24_000_000) == cat.R_LIMIT
        assert self.prime(bench, 375_000, 24_000_000) == 0

    def test_a_filled_one_takes_a_bridge_and_nothing_more(self, filled):
        assert self.prime(filled, 100_000, 24_000_000) == cat.R_LIMIT
        assert self.prime(filled, 376_000, 480_000) == cat.R_LIMIT
        assert self.prime(filled, 375_000, 480_001) == cat.R_LIMIT
        assert self.prime(filled, 375_000, 480_000) == 0

    def test_a_bridge_may_go_on_at_the_rate_before_the_new_program(self, filled):
        filled.program(120_000)
        assert self.prime(filled, 375_000, 480_001) == cat.R_LIMIT
        assert self.prime(filled, 375_000, 480_000) == 0


def test_how_long_the_pump_is_stopped_is_no_matter_of_the_clock():
    bench = Bench()
    bench.program(480_000)
    bench.stop()
    bench.run_s(3600)
    for shift_s in (2 * 86_400, -3 * 86_400):
        bench.must(cat.SET_CLOCK, {"time_s": bench.app.now_s + shift_s})
        bench.run_s(600)
        assert not bench.app.alarms.is_active(al.STOPPED_LONG)
    bench.run_s(6 * 3600)
    assert bench.app.alarms.is_active(al.STOPPED_LONG)
