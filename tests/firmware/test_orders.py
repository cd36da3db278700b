"""Orders: at most once even across a reset, power lost at every store write of every order, a store that refuses, what each changes."""

import pytest
from bare_pump import A_BOLUS, COMMISSION, DRUG, Bench, block_bytes, events, flex_program, named, simple_program
from thecal.firmware import alarms as al
from thecal.firmware import limits as li
from thecal.firmware import modes
from thecal.firmware.ports import PowerCut
from thecal.protocol import catalogue as cat
from thecal.protocol.session import CLINICIAN, PATIENT

REFILL = {**DRUG, "withdrawn_ul": 1000, "volume_ul": 10_000, "expires_s": 0, "lot": named(b"lot 2"), "next_s": 0, "rinse": 0}
DOUBLE = {**DRUG, "concentration_1_ng_ml": 1_000_000}
PRIME = {"what": cat.PRIME_BOTH, "volume_nl": 50_000, "rate_nl_day": 24_000_000}
BRIDGE = {**simple_program(250_000), **DOUBLE, "bridge_nl": 375_000, "bridge_rate_nl_day": 500_000}
ORDERS = {
    "commission": (cat.COMMISSION, {**COMMISSION, "catheter_mm": 555}), "program": (cat.PROGRAM, simple_program(700_000, 48_000)),
    "flex": (cat.PROGRAM, flex_program([[(0, 96_000), (600, 150_000)]], bytes(7))), "bridge": (cat.PROGRAM, BRIDGE),
    "refill": (cat.REFILL, REFILL), "stop": (cat.STOP, {"reason": 9}), "resume": (cat.RESUME, {}),
    "prime": (cat.PRIME, PRIME), "set clock": (cat.SET_CLOCK, {"time_s": 63_600_000}),
    "bolus": (cat.BOLUS, {"volume_nl": 20_000, "seconds": 600}), "patient bolus": (cat.PATIENT_BOLUS, {}), "pause": (cat.PAUSE, {"minutes": 60}),
    "end of pause": (cat.RESUME, {}), "catheter": (cat.CATHETER, {"state": cat.CATHETER_FILLED}),
    "implant": (cat.IMPLANT_RECORD, {"implanted_s": 7, "patient": b"AB" + bytes(6), "indication": named(b"spasticity"), "tip_level": b"T10" + bytes(5),
                                     "access_port": 1, "mri": named(b"conditional")}),
    "trial": (cat.TRIAL_RECORD, {"drug": named(b"baclofen"), "concentration_ng_ml": 50_000, "indicated": 1, "doses": b"\1\x50\xc3\0\0\0\1" + bytes(3)}),
    "silence": (cat.SILENCE, {"row": 0, "hours": 2}), "acknowledge": (cat.ACKNOWLEDGE, {"row": 0}), "alarm test": (cat.ALARM_TEST, {"tone": 2}),
    "visit": (cat.VISIT, {"alarm_heard": 1, "report": bytes(8)}), "calibration": (cat.CALIBRATION, {"on": 1}),
}
assert {kind for kind, _ in ORDERS.values()} == set(range(1, cat.LAST_KIND + 1))


def ready(name):
    """A running pump in a mode that takes this order, its order staged and checked; and the digest."""
    bench = Bench()
    if name != "commission":
        bench.must(cat.PROGRAM, {**simple_program(500_000), **A_BOLUS})
        bench.run_s(1000)
    if name == "resume":
        bench.stop()
    if name == "end of pause":
        bench.pause(60)
    if name == "bridge":
        bench.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
        bench.refill(17_000, DOUBLE)
    bench.run_s(200)
    kind, values = ORDERS[name]
    if kind == cat.PATIENT_BOLUS:
        bench.session, bench.role = None, PATIENT
    assert bench.stage(kind, block_bytes(kind, {"order_id": 4000, **values})) is None
    return bench, bench.ask(cat.CHECK)[1]["digest"]


def effect(bench):
    """What an order may change, as a boot finds it (a prime or bolus never outlives a reset)."""
    app = bench.app
    return (app.settings.stopped, app.settings.program_digest, app.program_block, app.commission_block, app.ledger.base_nl, app.fill_drugs,
            app.settings.fallback_nl_day, app.schedule.rate_at(app.now_s) if app.program_block else 0, app.settings.order_digest,
            app.settings.paused_until_s > 0, app.settings.catheter, app.infusion.bridge_left_nl() > 0, app.settings.old_cap_day_nl,
            *(app.settings.load_record(kind) for kind in (cat.REFILL, cat.IMPLANT_RECORD, cat.TRIAL_RECORD)))


def writes_of(name):
    bench, digest = ready(name)
    before = bench.store.writes
    assert bench.ask(cat.COMMIT, (digest,))[1]["again"] == 0
    return bench.store.writes - before


@pytest.mark.slow
@pytest.mark.req("TH-STORE-01", "TH-LINK-01")
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
            assert reply["again"] == 0 and reply["digest"] == digest, reply
        elif kind in (cat.PRIME, cat.BOLUS, cat.PATIENT_BOLUS):
            assert bench.app.infusion.extra == 0 and bench.app.alarms.is_active(al.BOLUS_CUT), "on record, so never given again"
        if name != "set clock":
            assert effect(bench) == new
    assert outcomes == {old, new} or writes_of(name) == 1


@pytest.mark.req("TH-STORE-09", "TH-BAD-01")
@pytest.mark.parametrize("name", ORDERS)
def test_a_store_that_refuses_refuses_the_order_and_nothing_changes(name):
    bench, digest = ready(name)
    app = bench.app
    old, mode, rtc_s = effect(bench), app.mode, bench.rtc_s
    missed, contents = bench.missed_nl(), app.ledger.reservoir_nl()
    bench.store.fail = True
    assert bench.ask(cat.COMMIT, (digest,))[1]["reason"] == cat.R_STORE
    assert (effect(bench), app.mode, bench.missed_nl(), app.ledger.reservoir_nl()) == (old, mode, missed, contents)
    assert app.infusion.extra == app.infusion.extra_left_nl == 0 and app.alarms.is_active(al.STORE) and not app.alarms.is_active(al.BOLUS_CUT)
    assert bench.rtc_s == rtc_s and app.now_s == rtc_s
    bench.store.fail = False
    bench.run_s(1)
    kind, values = ORDERS[name]
    if name in ("prime", "bolus", "patient bolus"):
        bench.session, bench.role, role = None, CLINICIAN, bench.role
        bench.must(cat.ACKNOWLEDGE, {"row": 0})         # boluses wait for a session that has seen the store work
        bench.session, bench.role = None, role
    assert bench.order(kind, values)["again"] == 0
    if name not in ("stop", "commission"):
        bench.run_s(7200)
        assert bench.app.mode == (modes.BRIDGING if name == "bridge" else modes.RUNNING)


@pytest.mark.req("TH-PROG-03")
def test_a_new_program_runs_from_its_commit_on_and_the_old_one_until_then():
    bench, digest = ready("program")
    before = bench.orders
    bench.run_s(250)
    assert bench.status()["rate_nl_day"] == 500_000 and bench.orders > before
    bench.ask(cat.COMMIT, (digest,))
    assert bench.status()["rate_nl_day"] == 700_000 and bench.status()["running_digest"] == digest
    assert bench.app.settings.fallback_nl_day == 48_000


@pytest.mark.req("TH-MODE-05", "TH-MODE-02", "TH-RATE-02")
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


@pytest.mark.req("TH-BOL-08")
def test_a_stop_cuts_a_prime_for_good():
    bench, digest = ready("prime")
    bench.ask(cat.COMMIT, (digest,))
    bench.run_s(20)
    assert 0 < bench.app.infusion.extra_left_nl < 50_000
    bench.stop()
    bench.resume()
    assert bench.app.infusion.extra == 0 and bench.status()["rate_nl_day"] == 500_000


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
    assert bench.ask(cat.COMMIT, (digest,))[1]["reason"] == cat.R_ALARM
    bench, digest = ready("prime")
    bench.ask(cat.COMMIT, (digest,))
    bench.app.alarm(row, True)
    assert bench.app.infusion.extra == 0 and bench.app.mode != modes.PRIMING


@pytest.mark.req("TH-LIFE-05")
def test_a_refill_beyond_the_capacity_is_refused_and_the_first_one_has_no_residual():
    bench = Bench(ready=False)
    bench.must(cat.COMMISSION, COMMISSION)
    values = {**REFILL, "withdrawn_ul": 0}
    assert bench.order(cat.REFILL, {**values, "volume_ul": 20_001})["reason"] == cat.R_LIMIT
    bench.must(cat.REFILL, {**values, "volume_ul": 20_000})
    assert bench.app.ledger.reservoir_nl() == 20_000_000
    for change, name in (({"volume_ul": 18_601, "expires_s": bench.rtc_s}, "volume_ul"), ({"volume_ul": 18_600, "expires_s": bench.rtc_s}, "expires_s")):
        refused = bench.order(cat.REFILL, {**values, **change})
        assert (refused["reason"], cat.block(cat.REFILL)[refused["field"]][0], refused["value"]) == (cat.R_LIMIT, name, change[name])
    bench.must(cat.REFILL, {**values, "volume_ul": 18_600})
    assert bench.app.ledger.reservoir_nl() == 20_000_000


@pytest.mark.req("TH-LIFE-10")
def test_the_clock_is_set_beside_the_rtc_and_the_schedule_follows_it():
    bench = Bench()
    bench.flex([[(0, 96_000), (720, 480_000)]], bytes(7))       # midnight, noon; the bench begins at Monday 00:00
    assert bench.status()["rate_nl_day"] == 96_000
    bench.must(cat.SET_CLOCK, {"time_s": bench.rtc_s + 12 * 3600})
    assert bench.status()["rate_nl_day"] == 480_000 and bench.app.now_s == bench.rtc_s + 12 * 3600
    bench.run_s(3600)
    assert not bench.app.alarms.active and bench.missed_nl() == 0
    bench.reboot(60)
    assert bench.status()["rate_nl_day"] == 480_000 and bench.app.now_s == bench.rtc_s + 12 * 3600


def test_a_clock_set_back_and_a_reset_before_the_next_pulse_are_no_clock_fault():
    bench = Bench()
    bench.program(6000)
    bench.run_s(5 * 3600)
    bench.must(cat.SET_CLOCK, {"time_s": bench.rtc_s - 10 * 3600})
    bench.run(10_000)
    bench.reboot(60)
    assert not bench.app.alarms.is_active(al.CLOCK_LOST)
    assert bench.missed_nl() <= 6


@pytest.mark.req("TH-ALM-34")
def test_an_order_acknowledges_what_it_answers_and_nothing_else():
    bench = Bench()
    bench.program(500_000)
    bench.stalled = True
    bench.run_s(600)
    bench.stalled = False
    bench.run_s(600)
    bench.app.alarm(al.OVER, True)
    bench.app.alarm(al.OVER, False)
    bench.pause(1)
    bench.run_s(120)
    seen = 1 << al.STALL - 1 | 1 << al.OVER - 1
    assert bench.status()["latched"] == seen | 1 << al.PAUSE_LONG - 1
    bench.pause(5)
    bench.resume()
    bench.program(400_000)
    bench.stop()
    bench.run_s(49 * 3600)
    assert bench.app.alarms.is_active(al.STOPPED_LONG)
    bench.resume()
    said = bench.status()
    assert said["alarms"] == 1 << al.OVER - 1, "over-infusion is nobody's to forget: fallback until a session has seen it"
    assert said["latched"] & seen == seen and not said["latched"] >> al.STOPPED_LONG - 1 & 1
    bench.must(cat.ACKNOWLEDGE, {"row": 0})
    assert not bench.status()["alarms"]


@pytest.mark.req("TH-ALM-16", "TH-MODE-05")
def test_a_stop_is_remembered_for_its_alarm_across_a_reset():
    bench = Bench()
    bench.must(cat.PROGRAM, {**simple_program(480_000, 240_000), "abrupt_stop": 1})
    bench.stop()
    bench.run_s(3 * 3600)
    bench.reboot(60)
    assert bench.app.mode == modes.STOPPED
    bench.run_s(li.STOPPED_LONG_S - 3 * 3600 - 400)
    assert not bench.app.alarms.is_active(al.STOPPED_LONG)
    bench.run_s(4000)
    assert bench.app.alarms.is_active(al.STOPPED_LONG)
    bench.resume()
    assert not bench.app.alarms.active


class TestPrimes:
    """alarms.md 3: what lies in a drug-filled catheter is never pushed out; an empty line takes its volume once, part by part."""

    def prime(self, bench, what, volume_nl):
        return bench.order(cat.PRIME, {"what": what, "volume_nl": volume_nl, "rate_nl_day": 24_000_000}).get("reason", 0)

    @pytest.mark.req("TH-LIFE-02")
    @pytest.mark.parametrize("what, most_nl", [(cat.PRIME_TUBING, 199_000), (cat.PRIME_CATHETER, 176_000), (cat.PRIME_BOTH, 375_000)])
    def test_a_prime_is_bounded_by_its_part_of_the_line(self, what, most_nl):
        refused = Bench().order(cat.PRIME, {"what": what, "volume_nl": most_nl + 1001, "rate_nl_day": 24_000_000})
        assert (refused["reason"], cat.block(cat.PRIME)[refused["field"]][0], refused["value"]) == (cat.R_LIMIT, "volume_nl", most_nl + 1001)
        assert self.prime(Bench(), what, most_nl + 1000) == 0

    @pytest.mark.req("TH-LIFE-02")
    def test_part_by_part_and_then_never_again(self):
        bench = Bench()
        assert self.prime(bench, cat.PRIME_TUBING, 199_000) == 0
        bench.run_s(800)
        assert bench.status()["catheter"] == 0
        assert self.prime(bench, cat.PRIME_TUBING, 2000) == cat.R_LIMIT, "the tubing is full"
        assert self.prime(bench, cat.PRIME_BOTH, 178_000) == cat.R_LIMIT
        assert self.prime(bench, cat.PRIME_CATHETER, 176_000) == 0
        bench.run_s(800)
        assert bench.status()["catheter"] == 1
        for what in (cat.PRIME_TUBING, cat.PRIME_CATHETER, cat.PRIME_BOTH):
            assert self.prime(bench, what, 1000) == cat.R_CATHETER

    def test_a_prime_that_was_cut_is_finished_and_not_begun_anew(self):
        bench = Bench()
        assert self.prime(bench, cat.PRIME_BOTH, 375_000) == 0
        bench.run_s(720)                # 200 uL
        bench.reboot(60)
        bench.must(cat.ACKNOWLEDGE, {"row": 0})
        assert bench.status()["catheter"] == 0 and not bench.app.alarms.active
        assert self.prime(bench, cat.PRIME_BOTH, 178_000) == cat.R_LIMIT
        assert self.prime(bench, cat.PRIME_BOTH, 175_000) == 0

    @pytest.mark.req("TH-LIFE-02")
    def test_a_line_that_the_program_filled_is_filled(self):
        bench = Bench()
        bench.program(480_000)
        bench.run_s(86_400)
        assert bench.status()["catheter"] == 1 and self.prime(bench, cat.PRIME_CATHETER, 1000) == cat.R_CATHETER

    @pytest.mark.req("TH-LIFE-16")
    def test_a_replacement_primes_its_tubing_alone(self):
        bench = Bench()
        bench.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
        assert self.prime(bench, cat.PRIME_BOTH, 1000) == self.prime(bench, cat.PRIME_CATHETER, 1000) == cat.R_CATHETER
        assert self.prime(bench, cat.PRIME_TUBING, 199_000) == 0
        bench.run_s(800)
        assert self.prime(bench, cat.PRIME_TUBING, 1000) == cat.R_CATHETER

    @pytest.mark.req("TH-LIFE-02")
    def test_a_catheter_that_was_aspirated_may_be_primed_again_and_no_more_than_that(self):
        bench = Bench()
        bench.prime(375_000, 24_000_000)
        bench.run_s(1400)
        bench.must(cat.CATHETER, {"state": cat.CATHETER_EMPTY})
        assert self.prime(bench, cat.PRIME_TUBING, 2000) == cat.R_LIMIT
        assert self.prime(bench, cat.PRIME_BOTH, 178_000) == cat.R_LIMIT
        assert self.prime(bench, cat.PRIME_CATHETER, 176_000) == 0


class TestBoluses:
    @pytest.mark.req("TH-BOL-01")
    def test_a_bolus_is_added_to_the_program_and_ends_by_itself(self):
        bench, digest = ready("bolus")
        bench.ask(cat.COMMIT, (digest,))
        assert bench.app.mode == modes.BOLUS
        status, orders = bench.status(), bench.orders
        assert (status["rate_nl_day"], status["extra"], status["extra_left_nl"]) == (500_000 + 2_880_000, 3, 20_000)
        bench.run_s(599)
        assert bench.app.mode == modes.BOLUS
        bench.run_s(2)
        assert bench.app.mode == modes.RUNNING and bench.status()["lockout_s"] >= 3 * 3600 - 2, "the lockout runs from its end"
        bench.run_s(86_400 - 601)
        assert 519 <= bench.orders - orders <= 521 and bench.missed_nl() == 0

    @pytest.mark.req("TH-RATE-05", "TH-BOL-11")
    @pytest.mark.parametrize("volume_nl, seconds, reason", [
        (162_000, 600, cat.R_LIMIT), (163_000, 600, cat.R_LIMIT), (160_000, 600, 0), (5_000_000, 30, cat.R_LIMIT), (200, 86_400, 0)])
    def test_basal_and_bolus_stay_below_what_the_head_can_do(self, volume_nl, seconds, reason):
        bench = Bench()
        bench.program(800_000)
        said = bench.order(cat.BOLUS, {"volume_nl": volume_nl, "seconds": seconds})
        assert said.get("reason", 0) == reason
        assert not reason or (cat.block(cat.BOLUS)[said["field"]][0], said["value"]) == ("volume_nl", volume_nl)

    @pytest.mark.req("TH-BOL-11")
    def test_the_reservoir_must_hold_it(self):
        bench = Bench()
        bench.refill(0)
        bench.program(48_000)
        assert bench.order(cat.BOLUS, {"volume_nl": 1000, "seconds": 600})["reason"] == cat.R_RESERVE

    def test_a_bolus_of_a_drug_that_the_program_does_not_know_is_refused(self):
        bench = Bench()
        bench.program(480_000)
        bench.refill(1000, DOUBLE)
        assert bench.order(cat.BOLUS, {"volume_nl": 1000, "seconds": 600})["reason"] == cat.R_DRUG

    @pytest.mark.req("TH-BOL-11", "TH-BOL-08")
    @pytest.mark.parametrize("row", [al.STALL, al.EMPTY_COMPUTED, al.CLOCK_LOST])
    def test_an_alarm_refuses_and_cuts_it_for_good(self, row):
        bench, digest = ready("bolus")
        bench.app.alarm(row, True)
        assert bench.ask(cat.COMMIT, (digest,))[1]["reason"] == cat.R_ALARM
        bench, digest = ready("bolus")
        bench.ask(cat.COMMIT, (digest,))
        bench.run_s(100)
        bench.app.alarm(row, True)
        assert bench.app.mode == modes.RUNNING and bench.app.alarms.is_active(al.BOLUS_CUT) and bench.status()["lockout_s"] > 10_000

    @pytest.mark.req("TH-BOL-05")
    def test_the_patient_is_told_why_not_and_every_refusal_is_on_record(self):
        bench = Bench()
        bench.must(cat.PROGRAM, {**simple_program(400_000), **A_BOLUS})
        assert "again" in bench.request()
        assert bench.request()["reason"] == cat.R_BUSY
        bench.run_s(3600)
        assert bench.request()["reason"] == cat.R_LOCKOUT
        found = [event[1:3] for event in events(bench) if event[0] == cat.E_DENIED]
        assert [cause for cause, _ in found] == [cat.R_BUSY, cat.R_LOCKOUT] and bench.status()["boluses_granted"] == 1

    @pytest.mark.req("TH-LINK-01")
    def test_asking_twice_by_one_order_is_one_request(self):
        bench = Bench()
        bench.program(400_000)
        for _ in range(3):
            assert bench.request(order_id=77)["reason"] == cat.R_NOT_ALLOWED
        assert len([event for event in events(bench) if event[0] == cat.E_DENIED]) == 1


class TestPauses:
    @pytest.mark.req("TH-MODE-06", "TH-ALM-24")
    def test_a_pause_ends_at_its_limit_and_says_so(self):
        bench, digest = ready("pause")
        bench.ask(cat.COMMIT, (digest,))
        missed, orders = bench.status()["missed_stop_ul"], bench.orders
        bench.run_s(3599)
        assert bench.app.mode == modes.PAUSED and bench.orders == orders
        bench.run_s(2)
        assert bench.app.mode == modes.RUNNING and bench.status()["latched"] & 1 << al.PAUSE_LONG - 1
        assert abs(bench.status()["missed_stop_ul"] - missed - 20) <= 1
        bench.run_s(3600)
        assert 20 <= bench.orders - orders <= 22

    @pytest.mark.req("TH-MODE-06")
    def test_a_pause_survives_a_reset_and_ends_on_time(self):
        bench, digest = ready("pause")
        bench.ask(cat.COMMIT, (digest,))
        bench.run_s(1000)
        bench.reboot(600)
        assert bench.app.mode == modes.PAUSED
        bench.run_s(1990)
        assert bench.app.mode == modes.PAUSED
        bench.run_s(20)
        assert bench.app.mode == modes.RUNNING

    @pytest.mark.req("TH-MODE-06")
    def test_a_pause_that_ended_without_power_is_over(self):
        bench, digest = ready("pause")
        bench.ask(cat.COMMIT, (digest,))
        bench.reboot(7200)
        bench.run_s(2)
        status = bench.status()
        assert status["mode"] == modes.RUNNING and status["paused_until_s"] == 0
        assert abs(status["missed_stop_ul"] - 20) <= 1 and abs(status["missed_reset_ul"] - 20) <= 1

    @pytest.mark.req("TH-MODE-06", "TH-LIFE-10")
    @pytest.mark.parametrize("by_s", [-40_000, 40_000])
    def test_setting_the_clock_makes_a_pause_no_longer_and_no_shorter(self, by_s):
        bench, digest = ready("pause")
        bench.ask(cat.COMMIT, (digest,))
        bench.must(cat.SET_CLOCK, {"time_s": bench.rtc_s + by_s})
        bench.run_s(3590)
        assert bench.app.mode == modes.PAUSED
        bench.run_s(20)
        assert bench.app.mode == modes.RUNNING

    def test_a_clock_that_jumps_back_does_not_prolong_it(self):
        bench, digest = ready("pause")
        bench.ask(cat.COMMIT, (digest,))
        bench.run_s(100)
        bench.rtc_s -= 86_400
        bench.run_s(7200)
        assert bench.app.mode == modes.RUNNING


@pytest.mark.req("TH-ALM-36")
def test_an_alarm_test_is_heard():
    bench, digest = ready("alarm test")
    tones = bench.tones
    bench.ask(cat.COMMIT, (digest,))
    assert bench.tones == tones + 1


@pytest.mark.req("TH-ALM-16")
def test_how_long_the_pump_is_stopped_is_no_matter_of_the_clock():
    bench = Bench()
    bench.must(cat.PROGRAM, {**simple_program(480_000, 240_000), "abrupt_stop": 1})
    bench.stop()
    bench.run_s(3600)
    for shift_s in (2 * 86_400, -3 * 86_400):
        bench.must(cat.SET_CLOCK, {"time_s": bench.app.now_s + shift_s})
        bench.run_s(600)
        assert not bench.app.alarms.is_active(al.STOPPED_LONG)
    bench.run_s(6 * 3600)
    assert bench.app.alarms.is_active(al.STOPPED_LONG)
