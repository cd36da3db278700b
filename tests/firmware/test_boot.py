"""Boot beside what test_app.py sweeps: lost records, a cut bridge, a lost clock; therapy never ends or changes in silence."""

import pytest
from bare_pump import Bench
from thecal.firmware import alarms as al
from thecal.firmware import modes
from thecal.firmware.settings import STATE_AT, STATE_SLOT
from thecal.protocol import catalogue as cat


@pytest.fixture
def bench():
    made = Bench()
    made.program(480_000, fallback_nl_day=240_000)
    made.run_s(86_400)
    return made


def blank_state(bench):
    bench.store.data[STATE_AT:STATE_AT + 2 * STATE_SLOT] = bytes(2 * STATE_SLOT)


def test_a_blank_state_beside_other_records_is_a_loss_and_no_new_pump(bench):
    blank_state(bench)
    bench.reboot()
    assert bench.app.alarms.is_active(al.RECORDS)
    assert bench.app.mode == modes.RUNNING and bench.app.effective_rate() == 6000
    pulses = bench.orders
    bench.run_s(5 * 3600)
    assert bench.orders > pulses and bench.tones


def test_a_blank_store_is_a_new_pump():
    bench = Bench(ready=False)
    assert bench.app.mode == modes.SHELF and not bench.app.alarms.active


@pytest.mark.parametrize("safe_state, rate", [(cat.SAFE_MINIMUM, 6000), (cat.SAFE_STOP, 0)])
def test_a_lost_program_falls_to_the_safe_state_that_was_signed(bench, safe_state, rate):
    from bare_pump import simple_program
    bench.must(cat.PROGRAM, {**simple_program(480_000), "safe_state": safe_state})
    slot = bench.app.settings.program_slot
    bench.store.data[0x1000 + slot * 0x400 + 40] ^= 1
    bench.reboot()
    assert bench.app.alarms.is_active(al.RECORDS) and bench.app.effective_rate() == rate


@pytest.mark.parametrize("run_s", [0, 1, 400, 4000])
def test_a_bridge_that_a_reset_cuts_is_said_aloud_until_the_clinician_restates_it(bench, run_s):
    bench.prime(300_000, 480_000)
    bench.run_s(run_s)
    left = bench.app.infusion.prime_left_nl
    bench.reboot()
    assert bench.app.alarms.is_active(al.BOLUS_CUT) and bench.app.alarms.tone == al.NOTICE
    assert 0 <= bench.app.settings.prime_cut_nl - left < 1000
    assert bench.app.infusion.prime_left_nl == 0, "never resumed"
    bench.reboot()
    assert bench.app.alarms.is_active(al.BOLUS_CUT), "nor forgotten by a second reset"
    bench.prime(200_000, 480_000)
    assert not bench.app.alarms.is_active(al.BOLUS_CUT)


def test_a_bridge_that_ended_is_not_cut_by_a_later_reset(bench):
    bench.prime(20_000, 480_000)
    bench.run_s(3601)
    assert bench.app.infusion.prime_left_nl == 0
    bench.reboot()
    assert not bench.app.alarms.is_active(al.BOLUS_CUT)


def test_a_clock_that_lost_its_power_is_seen_though_records_are_lost_too(bench):
    slot = bench.app.settings.program_slot
    last_s = bench.app.settings.time_s
    bench.store.data[0x1000 + slot * 0x400 + 40] ^= 1
    bench.rtc_s = 0
    bench.reboot()
    assert bench.app.alarms.is_active(al.CLOCK_LOST) and bench.app.alarms.is_active(al.RECORDS)
    assert bench.app.now_s >= last_s
