"""Boot beside what test_app.py sweeps: lost records, a cut bridge, a lost clock; therapy never ends or changes in silence."""

import pytest
from bare_pump import A_BOLUS, MONDAY_S, NEVER_CUT, STORE_BYTES, Bench, events, simple_program
from older_store import VERSION, older_store
from thecal.firmware import alarms as al
from thecal.firmware import modes
from thecal.firmware.ports import PowerCut
from thecal.firmware.settings import COPY_AT, COPY_SLOT, PROGRAM_AT, PROGRAM_SLOT, STATE_AT, STATE_SLOT
from thecal.protocol import catalogue as cat


@pytest.fixture
def bench():
    made = Bench()
    made.program(480_000, fallback_nl_day=240_000)
    made.run_s(86_400)
    return made


def blank_state(bench):
    bench.store.data[STATE_AT:STATE_AT + 2 * STATE_SLOT] = bytes(2 * STATE_SLOT)


@pytest.mark.req("TH-STORE-08")
def test_a_blank_state_beside_other_records_is_a_loss_and_no_new_pump(bench):
    blank_state(bench)
    bench.reboot()
    assert bench.app.alarms.is_active(al.RECORDS)
    assert bench.app.mode == modes.RUNNING and bench.app.effective_rate() == 6000
    pulses = bench.orders
    bench.run_s(5 * 3600)
    assert bench.orders > pulses and bench.tones


@pytest.mark.req("TH-STORE-08")
def test_a_blank_store_is_a_new_pump():
    bench = Bench(ready=False)
    assert bench.app.mode == modes.SHELF and not bench.app.alarms.active


def spoil(bench, copy_too):
    """The program's slot, and perhaps the supervisor's copy of it."""
    slot = bench.app.settings.program_slot
    bench.store.data[PROGRAM_AT + slot * PROGRAM_SLOT + 40] ^= 1
    if copy_too:
        bench.store.data[COPY_AT + slot * COPY_SLOT + 9] ^= 1


@pytest.mark.req("TH-PROG-09", "TH-ALM-03", "TH-PROG-15", "TH-SUP-05")
@pytest.mark.parametrize("copy_too, rate", [(False, 240_000), (True, 0)])
def test_a_lost_program_falls_to_what_was_signed(bench, copy_too, rate):
    """The supervisor's copy knows the fallback rate; without it the safe state of the state record holds, here a stop."""
    bench.must(cat.PROGRAM, {**simple_program(480_000, 240_000), "safe_state": cat.SAFE_STOP})
    spoil(bench, copy_too)
    bench.reboot()
    assert bench.app.alarms.is_active(al.RECORDS) and bench.app.effective_rate() == rate


@pytest.mark.req("TH-BOL-08", "TH-MODE-04")
@pytest.mark.parametrize("run_s", [0, 1, 400, 700])
def test_a_prime_that_a_reset_cuts_is_said_aloud_and_never_resumed(run_s):
    bench = Bench()
    bench.prime(375_000, 24_000_000)
    bench.run_s(run_s)
    bench.reboot()
    assert bench.app.alarms.is_active(al.BOLUS_CUT) and bench.app.alarms.latched
    assert bench.app.infusion.extra == 0 and bench.app.mode == modes.IDLE
    bench.reboot()
    assert bench.app.alarms.is_active(al.BOLUS_CUT), "nor forgotten by a second reset"
    bench.run_s(7200)
    assert bench.app.alarms.is_active(al.BOLUS_CUT)
    bench.must(cat.ACKNOWLEDGE, {"row": al.BOLUS_CUT})
    bench.reboot()
    assert not bench.app.alarms.is_active(al.BOLUS_CUT)


@pytest.mark.req("TH-BOL-08", "TH-BOL-12", "TH-ALM-23")
@pytest.mark.parametrize("run_s", [0, 1, 299, 500])
@pytest.mark.parametrize("patient", [False, True])
def test_a_bolus_that_a_reset_cuts_counts_in_full_and_its_lockout_runs_from_there(bench, patient, run_s):
    bench.must(cat.PROGRAM, {**simple_program(480_000, 240_000), **A_BOLUS})
    if patient:
        assert "again" in bench.request()
    else:
        bench.bolus(20_000, 600)
    bench.run_s(run_s)
    bench.reboot()
    status = bench.status()
    assert status["mode"] == modes.RUNNING and status["extra"] == 0 and bench.app.alarms.is_active(al.BOLUS_CUT)
    assert 180 * 60 - 1 <= status["lockout_s"] <= 180 * 60 and status["boluses_granted"] == patient
    assert bench.request()["reason"] == cat.R_LOCKOUT
    bench.reboot(3600)
    assert bench.app.alarms.is_active(al.BOLUS_CUT) and bench.status()["lockout_s"] <= 120 * 60
    bench.run_s(120 * 60 + 300)
    assert not bench.app.alarms.is_active(al.BOLUS_CUT) and "again" in bench.request()


@pytest.mark.req("TH-LIFE-03")
@pytest.mark.parametrize("run_s", [0, 1, 400, 4000, 30_000])
@pytest.mark.parametrize("halt", ["", "stop", "pause"])
def test_a_bridge_goes_on_by_the_volume_it_has_left(bench, run_s, halt):
    bench.bridge(240_000, 375_000, 480_000)
    bench.run_s(run_s)
    if halt == "stop":
        bench.stop()
    if halt == "pause":
        bench.pause(600)
    bench.wake()
    left_nl = bench.app.infusion.bridge_left_nl()
    before = bench.demanded()[0] + bench.missed_nl()
    bench.reboot(7200)
    app = bench.app
    assert 0 <= app.infusion.bridge_left_nl() - left_nl < 1000, "what ran since the last pulse is rolled back"
    assert abs(bench.demanded()[0] + bench.missed_nl() - before - 40_000) <= 12, "and the outage is missed at the bridge's rate"
    assert not app.alarms.active
    if halt:
        bench.resume()
    assert app.effective_rate() == 480_000
    moved, left_nl = bench.moved_steps, app.infusion.bridge_left_nl()
    bench.run_s(-(-left_nl * 86_400 // 480_000) - 2)
    assert bench.app.mode == modes.BRIDGING
    bench.run_s(4)
    assert bench.app.mode == modes.RUNNING and bench.app.effective_rate() == 240_000
    assert abs((bench.moved_steps - moved) * 35_000 // 4096 - left_nl) <= 2000
    assert bench.app.settings.old_cap_day_nl == 0


def test_a_bridge_whose_program_is_lost_waits_at_the_safe_rate(bench):
    bench.bridge(240_000, 375_000, 480_000)
    bench.run_s(3600)
    spoil(bench, copy_too=True)
    bench.reboot()
    assert bench.app.mode == modes.BRIDGING and bench.app.effective_rate() == 6000
    left_nl = bench.app.infusion.bridge_left_nl()
    bench.run_s(86_400)
    assert 5000 <= left_nl - bench.app.infusion.bridge_left_nl() <= 6000


@pytest.mark.req("TH-ALM-12")
def test_a_clock_that_lost_its_power_is_seen_though_records_are_lost_too(bench):
    slot = bench.app.settings.program_slot
    last_s = bench.app.settings.time_s
    bench.store.data[PROGRAM_AT + slot * PROGRAM_SLOT + 40] ^= 1
    bench.rtc_s = 0
    bench.reboot()
    assert bench.app.alarms.is_active(al.CLOCK_LOST) and bench.app.alarms.is_active(al.RECORDS)
    assert bench.app.now_s >= last_s


@pytest.mark.req("TH-RATE-07")
@pytest.mark.parametrize("action, outage_s, reset_ul, fault_ul", [
    (0, 28_800, 160, 0), (cat.REDUCE_FALLBACK, 28_800, 80, 0), (cat.REDUCE_STOP, 28_800, 0, 170), (cat.REDUCE_FALLBACK, 172_800, 235 + 490, 0)])
def test_an_outage_misses_what_would_have_been_demanded_and_no_more(bench, action, outage_s, reset_ul, fault_ul):
    """480 uL a day, fallback 240. Half an hour of the reduction has run, 23.5 h are left: behind its end the program is due again."""
    if action:
        bench.magnet = True
        bench.ask(cat.REDUCE, (action,))
    bench.run_s(1800)
    bench.reboot(outage_s)
    said = bench.status()
    assert abs(said["missed_reset_ul"] - reset_ul) <= 6 and abs(said["missed_fault_ul"] - fault_ul) <= 6, said


@pytest.mark.req("TH-RATE-07")
def test_what_runs_at_a_low_fallback_until_the_power_goes_is_not_missed_at_the_programs_rate():
    """The last record may be a pulse of the fallback old, here four hours."""
    bench = Bench()
    bench.program(1_000_000, fallback_nl_day=6000)
    bench.run_s(600)
    bench.magnet = True
    bench.ask(cat.REDUCE, (cat.REDUCE_FALLBACK,))
    bench.run_s(14_000)
    bench.reboot(1)
    assert bench.status()["missed_reset_ul"] <= 1


@pytest.mark.req("TH-BOL-08")
def test_the_lockout_of_a_slow_bolus_is_not_shorter_for_a_reset(bench):
    """A pulse in 24 minutes, so that the last record is older than a check: the lockout still runs from when the power went, or later."""
    bench.must(cat.PROGRAM, {**simple_program(48_000), **A_BOLUS})
    bench.run_s(3600)
    bench.must(cat.BOLUS, {"volume_nl": 1000, "seconds": 7200})
    bench.run_s(1400)
    bench.reboot(30)
    assert 180 * 60 - 30 <= bench.status()["lockout_s"] <= 180 * 60


@pytest.mark.req("TH-STORE-11")
def test_a_store_of_older_firmware_is_said_and_nothing_of_it_runs():
    """Neither new nor damaged: the alarm carries the version of the records, the pump is on the shelf, and an hour's wait moves nothing."""
    bench = Bench(ready=False, store=older_store(STORE_BYTES, MONDAY_S))
    assert bench.app.mode == modes.SHELF and bench.app.alarms.is_active(al.RECORDS) and bench.app.effective_rate() == 0
    assert events(bench, cat.E_ALARM) == [(al.RECORDS, 5, VERSION)]
    bench.run_s(86_400)
    assert (bench.orders, bench.steps) == (0, 0) and bench.tones
    bench.reboot()
    assert bench.app.alarms.is_active(al.RECORDS) and bench.app.mode == modes.SHELF


def test_a_damaged_state_is_of_no_older_firmware(bench):
    for slot in (0, 1):
        bench.store.data[STATE_AT + slot * STATE_SLOT + 9] ^= 1
    bench.reboot()
    assert [b for cause, _, b in events(bench, cat.E_ALARM) if cause == al.RECORDS] == [0]


@pytest.mark.req("TH-ALM-10", "TH-SUP-04", "TH-STORE-01")
@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("write", range(5))
def test_what_was_lost_before_a_reset_counts_behind_it(bench, write, torn):
    """Four hours of a stall, power lost at any write of a lost pulse, an hour more: a fifth of a day's pulses. Behind a day without power it is not."""
    bench.stalled = True
    bench.run_s(4 * 3600)
    assert not bench.app.alarms.is_active(al.UNDER)
    held_nl = sum(bench.app.supervisor._missing)
    bench.cut_after, bench.torn = write, torn
    with pytest.raises(PowerCut):
        bench.run_s(600)
    bench.cut_after = NEVER_CUT
    whole = bytes(bench.store.data)
    bench.reboot(60)
    assert abs(sum(bench.app.supervisor._missing) - held_nl) <= 1000 + 3 * (bench.app.supervisor._most_missing_nl() // 127 + 1)
    bench.run_s(3000)
    assert not bench.app.alarms.is_active(al.UNDER)
    bench.run_s(1500)
    assert bench.app.alarms.is_active(al.UNDER)
    bench.store.data[:] = whole
    bench.reboot(25 * 3600)
    bench.run_s(4 * 3600)
    assert not bench.app.alarms.is_active(al.UNDER)


def test_a_clock_that_was_lost_ages_nothing(bench):
    bench.stalled = True
    bench.run_s(4 * 3600)
    held_nl = sum(bench.app.supervisor._missing)
    bench.rtc_s = 0
    bench.reboot(1)
    assert bench.app.alarms.is_active(al.CLOCK_LOST) and abs(sum(bench.app.supervisor._missing) - held_nl) <= 4000
