"""The whole pump on a bench: boot, pulses, gaps, alarms and what delivery does under each, days, wakes. No plant: see tests/hw_sim/test_world.py."""

import random

import pytest
from bare_pump import MONDAY_S, Bench, events, simple_program
from thecal.firmware import alarms as al
from thecal.firmware import limits as li
from thecal.firmware import modes
from thecal.firmware import settings as se
from thecal.firmware.ports import MAX_DELAY_MS, PowerCut
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import unpack

DAY_S = 86_400


def running(rate_nl_day=500_000, **options):
    bench = Bench(**options)
    bench.program(rate_nl_day)
    return bench


def active(bench):
    return [row for row in range(1, 29) if bench.app.alarms.is_active(row)]


def days(bench):
    """{day: (pulses, demanded nL, missed nL)} on record."""
    found = {}
    info = bench.ask(cat.FILE_INFO, (cat.FILE_DAYS,))[1]
    for at in range(info["first"], info["end"], cat.DAY_BYTES):
        data = bench.ask(cat.FILE_READ, (cat.FILE_DAYS, at, cat.DAY_BYTES))[1]["data"]
        values = [0] * len(cat.DAY_FIELDS)
        if any(data) and unpack(cat.DAY_FIELDS, data, 0, len(data), values) > 0:
            found[values[0]] = tuple(values[1:4])
    return found


# ---------------------------------------------------------------------------------------------------- boot and pulses
@pytest.mark.req("TH-MODE-02")
def test_a_new_pump_is_on_the_shelf_and_moves_nothing_for_a_week():
    bench = Bench(ready=False)
    bench.run_s(7 * DAY_S)
    assert bench.app.mode == modes.SHELF and bench.orders == bench.drops == bench.tones == 0
    assert bench.wakes <= 7 * 24 + 10, "a pump on the shelf sleeps"


@pytest.mark.req("TH-STORE-02")
def test_a_pulse_is_on_record_before_it_moves():
    """Power lost at the intent's write: not moved, not counted. Lost behind it: counted as delivered."""
    for torn in (False, True):
        bench = running()
        bench.run_s(1000)
        pulses, steps = bench.app.ledger.pulses, bench.steps
        bench.cut_after, bench.torn = 0, torn
        with pytest.raises(PowerCut):
            bench.run_s(100)
        bench.cut_after = 0xFFFF
        bench.reboot(10)
        assert (bench.app.ledger.pulses, bench.steps) == (pulses, steps)
    bench = running()
    bench.run_s(1000)
    pulses = bench.app.ledger.pulses

    def cut(steps, hold_ms):
        raise PowerCut("between the record and the motor")

    bench.app.ports.motor.order = cut
    with pytest.raises(PowerCut):
        bench.run_s(100)
    bench.reboot(10)
    assert bench.app.ledger.pulses == pulses + 1
    assert bench.app.ledger.reservoir_nl() == 18_600_000 - 1000 * (pulses + 1)


@pytest.mark.req("TH-SUP-02", "TH-MODE-07")
@pytest.mark.parametrize("rate_nl_day", [6000, 48_000, 500_000, 24_000_000])
def test_every_order_is_a_short_lease_of_one_pulse(rate_nl_day):
    bench = running(rate_nl_day)
    bench.run_s(max(3600, 5 * DAY_S * 1000 // rate_nl_day))
    assert bench.orders >= 5
    assert 117 * bench.orders <= bench.steps <= 118 * bench.orders
    assert 118 < bench.longest_hold_ms <= 118 + li.HOLD_MARGIN_MS


@pytest.mark.req("TH-RULE-07")
@pytest.mark.parametrize("phase_ms", [0, 1, 499, 999])
@pytest.mark.parametrize("rate_nl_day", [6000, 500_000])
def test_it_wakes_for_a_pulse_or_a_round_and_does_not_spin(rate_nl_day, phase_ms):
    """Two clocks of any phase, and a line that wakes the pump at any instant: still a handful of wakes an hour."""
    bench = Bench()
    bench.run(phase_ms)
    bench.reboot(1)
    bench.flex([[(0, rate_nl_day), (721, rate_nl_day), (1439, 2 * rate_nl_day if rate_nl_day > 6000 else 6000)]], bytes(7))
    chance = random.Random(phase_ms)
    asked, wakes = 0, bench.wakes
    for _ in range(2 * 24 * 60):
        bench.run(chance.randrange(1, 60_000))
        bench.wake(b"\0")
        asked += 1
    orders = bench.orders
    assert bench.wakes - wakes - asked <= orders + 2 * DAY_S // 150 + 50


@pytest.mark.req("TH-RULE-07")
def test_a_delay_is_always_in_bounds_also_with_the_line_and_the_clocks_out_of_phase():
    bench = running(999_999)
    chance = random.Random(3)
    for _ in range(3000):
        bench.run(chance.choice((0, 1, 7, 86_399, 100_000)))
        bench.wake()
        assert 0 < bench.due_ms <= MAX_DELAY_MS


@pytest.mark.req("TH-SUP-02")
def test_nothing_is_ordered_while_a_lease_runs():
    bench = running(24_000_000)
    last, orders = -10_000, 0
    t_ms = 0
    for _ in range(20_000):
        bench.run(37)
        t_ms += 37
        bench.wake(b"\0")
        if bench.orders != orders:
            assert bench.orders == orders + 1 and t_ms - last > 117
            orders, last = bench.orders, t_ms
    assert orders >= 190


# ---------------------------------------------------------------------------------------------------- gaps
@pytest.mark.req("TH-RATE-02")
@pytest.mark.parametrize(("outage_s", "cause"), [(1, "reset"), (7200, "reset"), (29 * DAY_S, "reset")])
def test_an_outage_is_missed_with_its_cause(outage_s, cause):
    bench = running()
    bench.run_s(DAY_S)
    bench.reboot(outage_s)
    status = bench.status()
    missed = {name: status[f"missed_{name}_ul"] * 1000 + status[f"missed_{name}_nl"] for name in cat.MISSED_CAUSES}
    assert abs(missed[cause] - 500_000 * outage_s // DAY_S) <= 1000 + 6 and sum(missed.values()) == missed[cause]
    gaps = [event for event in events(bench) if event[0] == cat.E_GAP]
    assert len(gaps) == 1 and outage_s <= gaps[0][2] <= outage_s + 173 and gaps[0][3] == missed[cause]


@pytest.mark.req("TH-RATE-02")
def test_an_outage_follows_the_schedule_it_slept_through():
    bench = Bench()
    bench.flex([[(0, 96_000), (720, 960_000)], [(0, 48_000)]], [0, 1, 0, 0, 0, 0, 0])
    bench.run_s(6 * 3600)           # Monday 06:00
    before = bench.missed_nl()
    bench.reboot(2 * DAY_S)         # until Wednesday 06:00
    due = 96_000 // 4 + 960_000 // 2 + 48_000 + 96_000 // 4
    assert abs(bench.missed_nl() - before - due) <= 1000


@pytest.mark.req("TH-ALM-12")
def test_a_clock_that_lost_its_power_goes_on_from_the_last_record_and_says_so():
    bench = running()
    bench.run_s(DAY_S)
    bench.rtc_s = 0
    bench.reboot(10)
    assert active(bench) == [al.CLOCK_LOST] and MONDAY_S <= bench.app.now_s <= MONDAY_S + 2 * DAY_S
    assert bench.missed_nl() <= 1000
    bench.must(cat.SET_CLOCK, {"time_s": MONDAY_S + DAY_S})
    assert not active(bench)


def test_a_gap_of_months_is_a_clock_fault_and_books_no_year_of_drug():
    bench = running()
    bench.run_s(DAY_S)
    bench.reboot(400 * DAY_S)
    assert al.CLOCK_LOST in active(bench) and bench.missed_nl() <= 1000


# ---------------------------------------------------------------------------------------------------- alarms
@pytest.mark.req("TH-ALM-07", "TH-RATE-02")
def test_a_stall_is_retried_never_caught_up_and_ends_by_itself():
    bench = running()
    bench.run_s(3600)
    bench.stalled, lost = True, bench.orders
    bench.run_s(4 * 173)            # the third is judged at the wake behind it
    assert active(bench) == [al.STALL] and bench.tones >= 1
    bench.run_s(12 * 3600)
    lost = bench.orders - lost
    assert abs(lost - (12 * 3600 + 4 * 173) / 172.8) <= 2, "each pulse is ordered when it is due"
    status = bench.status()
    assert abs(status["missed_stall_ul"] - lost) <= 1 and status["reservoir_computed_nl"] == 18_600_000 - 1000 * (bench.orders - status["missed_stall_ul"])
    bench.stalled, orders = False, bench.orders
    bench.run_s(3600)
    assert active(bench) == [al.UNDER], "half a day's drug is missing: that a session must see"
    assert bench.status()["latched"] == 1 << al.STALL - 1 | 1 << al.UNDER - 1
    assert bench.orders - orders <= 3600 / 172.8 + 1, "nothing is made up"


@pytest.mark.req("TH-STORE-12", "TH-ALM-07")
@pytest.mark.parametrize(("rate_nl_day", "lost_of_5"), [(800_000, 5), (800_000, 3), (800_000, 1), (6_000_000, 4)])
def test_the_logs_last_through_a_stall_for_good_or_by_fits(rate_nl_day, lost_of_5):
    """Operations 15 days and faults 30 (DESIGN 7), and the count of what was lost stays whole."""
    bench = running(rate_nl_day)
    bench.run_s(3600)
    bench.wake()
    entries, faults, lost, orders = bench.app.events.head, bench.app.faults.head, 0, bench.orders
    span_s = 2 * DAY_S if rate_nl_day < 1_000_000 else DAY_S // 2
    end_s = bench.rtc_s + span_s
    while bench.rtc_s < end_s:
        bench.stalled = bench.orders % 5 < lost_of_5
        bench.run(max(1, bench.due_ms - bench.since_ms))
    bench.stalled = False
    bench.run_s(3 * 3600)
    lost = bench.status()["missed_stall_ul"]
    assert abs(lost - (bench.orders - orders - 3 * rate_nl_day // 24_000) * lost_of_5 // 5) <= 10
    told = sum(a for _, a, _ in events(bench, cat.E_PULSE_LOST)) + sum(a for row, a, _ in events(bench, cat.E_ALARM_END) if row == al.STALL)
    assert lost - 100 * rate_nl_day // 800_000 <= told <= lost, "the rest is told with the next one that is lost"
    assert lost_of_5 < 3 or al.STALL not in active(bench)
    days = span_s / DAY_S
    assert (bench.app.events.head - entries) / days * 15 <= 2450 - 500, "room for what else there is to tell"
    assert (bench.app.faults.head - faults - 5) / days * 30 <= 1200 - 5, "the under-infusion that comes of it is said besides"


@pytest.mark.req("TH-STORE-12")
def test_a_day_tells_what_turned_the_rotor():
    bench = running(800_000)
    bench.run_s(DAY_S)
    bench.stalled = True
    bench.run_s(DAY_S)
    bench.stalled = False
    bench.run_s(DAY_S)
    whole, stalled, healed = [days(bench)[day][1] for day in sorted(days(bench))[-3:]]
    assert abs(whole - 800_000) <= 2000 and stalled <= 2000 and abs(healed - 800_000) <= 2000


@pytest.mark.req("TH-ALM-01", "TH-MODE-08", "TH-SUP-03")
@pytest.mark.parametrize("turn", [100, 1000, -300])
def test_motion_without_an_order_drops_enable_stops_and_stays_stopped_across_a_reset(turn):
    bench = running()
    bench.run_s(1000)
    bench.wake()                    # the last lease is judged
    bench.angle = (bench.angle + turn) % 4096
    bench.wake()
    assert bench.drops == 1 and active(bench) == [al.MOTION] and bench.status()["rate_nl_day"] == 0
    orders = bench.orders
    bench.run_s(7200)
    assert bench.orders == orders
    bench.moved_steps = bench.angle
    bench.reboot(60)
    bench.run_s(7200)
    assert bench.orders == orders and al.MOTION in active(bench), "a reset is no all-clear"
    assert bench.status()["first_alarm"] == al.MOTION
    bench.stop()
    bench.resume()
    bench.run_s(3600)
    assert active(bench) == [al.MOTION] and bench.orders == orders, "nor is a resume: it is seen in a session, by an acknowledgement"
    bench.must(cat.ACKNOWLEDGE, {"row": al.MOTION})
    bench.run_s(3600)
    assert not active(bench) and bench.orders > orders


@pytest.mark.req("TH-ALM-01", "TH-SUP-03")
def test_a_rotor_that_turns_twice_what_was_ordered_is_cut_at_the_next_look():
    bench = running()
    bench.run_s(1000)
    end = bench.end

    def double(delay_ms):
        steps = bench.latch.steps
        end(delay_ms)
        bench.angle = (bench.angle + (steps if steps else 0)) % 4096

    bench.end = double
    orders = bench.orders
    bench.run_s(400)
    assert al.MOTION in active(bench) and bench.orders == orders + 1 and bench.drops >= 1


@pytest.mark.slow
@pytest.mark.req("TH-ALM-08")
def test_a_sensor_at_the_residual_stops_delivery_until_the_refill():
    bench = running(24_000_000)
    bench.run_s(18 * 3600)          # 17.2 mL are usable
    assert al.EMPTY_SENSED in active(bench) and bench.status()["rate_nl_day"] == 0
    orders, missed = bench.orders, bench.status()["missed_fault_ul"]
    bench.run_s(3600)
    bench.wake()
    assert bench.orders == orders and abs(bench.status()["missed_fault_ul"] - missed - 1000) <= 1
    bench.refill(18_600)
    bench.run_s(3600)
    assert active(bench) == [al.LOW] and 999 <= bench.orders - orders <= 1002


@pytest.mark.slow
@pytest.mark.req("TH-ALM-09")
def test_empty_by_the_book_alone_goes_on_delivering():
    bench = running(24_000_000)
    bench.run_s(3600)               # the fill has been compared
    bench.level_counts = 1500
    bench.run_s(int(17_400 / 24_000 * DAY_S) - 3600)
    assert {al.LOW, al.EMPTY_COMPUTED} <= set(active(bench))
    orders = bench.orders
    bench.run_s(360)
    assert bench.orders - orders == 100
    assert bench.order(cat.PRIME, {"what": cat.PRIME_TUBING, "volume_nl": 1000, "rate_nl_day": 48_000})["reason"] == cat.R_CATHETER
    assert bench.order(cat.BOLUS, {"volume_nl": 1000, "seconds": 60})["reason"] == cat.R_ALARM


@pytest.mark.slow
@pytest.mark.req("TH-ALM-19")
def test_low_reservoir_is_announced_a_week_before():
    bench = running()
    while not active(bench):
        bench.run_s(DAY_S)
    assert active(bench) == [al.LOW]
    assert 6 <= bench.status()["low_reservoir_days"] < 7
    tones, orders = bench.tones, bench.orders
    bench.run_s(DAY_S)
    assert bench.tones - tones == 24 and bench.orders - orders == 500


@pytest.mark.req("TH-ALM-14")
def test_a_store_that_refuses_is_an_alarm_and_delivery_goes_on_flat():
    bench = Bench()
    bench.flex([[(0, 96_000), (720, 480_000)]], bytes(7))
    bench.run_s(3600)
    bench.store.fail, orders = True, bench.orders
    bench.run_s(4 * 3600)
    assert al.STORE in active(bench) and bench.status()["rate_nl_day"] == 288_000
    assert bench.orders - orders >= 40
    bench.store.fail = False
    bench.program(500_000)
    assert al.STORE in active(bench), "a program does not answer it"
    bench.must(cat.ACKNOWLEDGE, {"row": 0})
    bench.run_s(3600)
    assert al.STORE not in active(bench)


def test_a_store_that_refuses_from_the_start_is_no_crash():
    store = bytearray(256 * 1024)
    bench = Bench(store=store)
    bench.program(500_000)
    bench.store.fail = True
    bench.reboot(10)
    assert al.STORE in active(bench) and bench.app.mode == modes.RUNNING
    bench.run_s(3600)
    assert bench.orders >= 10


@pytest.mark.req("TH-ALM-12")
@pytest.mark.parametrize(("jump_s", "alarm"), [(300, False), (-300, False), (301, True), (-301, True), (86_400, True), (-40 * DAY_S, True)])
def test_a_clock_jump_over_five_minutes_makes_the_day_flat_until_the_clock_is_set(jump_s, alarm):
    bench = Bench()
    bench.flex([[(0, 96_000), (720, 480_000)]], bytes(7))
    bench.run_s(3600)
    demanded = bench.demanded()[0]
    bench.rtc_s += jump_s
    bench.run_s(3600)
    bench.wake()
    assert (active(bench) == [al.CLOCK_LOST]) == alarm
    rate = 288_000 if alarm else 96_000
    assert bench.status()["rate_nl_day"] == rate
    again_s = 300 if jump_s == -300 else 0      # these seconds come twice: at the flat rate, see tests/firmware/test_schedule.py
    due = rate // 24 + again_s * (288_000 - rate) // DAY_S
    assert abs(bench.demanded()[0] - demanded - due) <= 96_000 * 400 // DAY_S, "a jump is neither drug nor missed drug"
    assert bench.missed_nl() == 0
    if alarm:
        bench.reboot(5)
        assert active(bench) == [al.CLOCK_LOST], "the phase is still unknown behind a reset"
        bench.must(cat.SET_CLOCK, {"time_s": MONDAY_S + 7200})
        assert not active(bench) and bench.status()["rate_nl_day"] == 96_000


@pytest.mark.req("TH-ALM-15")
def test_a_battery_at_its_end_is_said_and_delivery_goes_on():
    bench = running()
    bench.battery_mv, orders = 2399, bench.orders
    bench.run_s(3600)
    assert active(bench) == [al.BATTERY, al.ERI] and bench.orders - orders == 20


@pytest.mark.req("TH-ALM-03", "TH-PROG-15", "TH-SUP-05")
@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("hurt", ["bit", "length", "version"])
def test_a_damaged_program_is_the_fallback_that_the_supervisor_holds_else_the_minimum_rate(hurt, copy):
    bench = Bench()
    bench.program(500_000, fallback_nl_day=240_000)
    bench.run_s(3600)
    slot = bench.app.settings.program_slot
    bench.store.data[se.PROGRAM_AT + slot * se.PROGRAM_SLOT + {"bit": 50, "length": 6, "version": 0}[hurt]] ^= 0xFF
    if not copy:
        bench.store.data[se.COPY_AT + slot * se.COPY_SLOT + 9] ^= 1
    bench.reboot(10)
    assert active(bench) == [al.RECORDS] and bench.status()["rate_nl_day"] == (240_000 if copy else 6000) and bench.app.mode == modes.RUNNING
    orders = bench.orders
    bench.run_s(DAY_S)
    assert bench.orders - orders == (240 if copy else 6)
    bench.program(500_000)
    assert not active(bench) and bench.status()["rate_nl_day"] == 500_000
    bench.reboot(10)
    assert not active(bench) and bench.status()["rate_nl_day"] == 500_000


@pytest.mark.req("TH-ALM-03", "TH-STORE-08")
def test_a_pump_whose_state_record_is_lost_keeps_its_head_and_raises_the_alarm():
    bench = running()
    for slot in (0, 1):
        bench.store.data[se.STATE_AT + slot * se.STATE_SLOT + 20] ^= 1
    bench.reboot(10)
    assert al.RECORDS in active(bench) and bench.app.nl_per_rev == 35_000
    assert bench.status()["rate_nl_day"] == 6000


@pytest.mark.req("TH-ALM-16")
def test_stopped_for_long_sounds_every_ten_minutes_and_ends_with_the_resume():
    bench = Bench()
    bench.must(cat.PROGRAM, {**simple_program(500_000, 250_000), "abrupt_stop": 1})
    bench.stop()
    bench.run_s(li.STOPPED_LONG_S - 3601)
    assert not active(bench) and bench.tones == 0
    bench.run_s(3602 + 3600)
    assert active(bench) == [al.STOPPED_LONG]
    tones = bench.tones
    bench.run_s(6 * 600)
    assert bench.tones - tones == 6
    bench.resume()
    assert not active(bench)


# ---------------------------------------------------------------------------------------------------- schedule and days
@pytest.mark.req("TH-RATE-03")
def test_flex_delivers_each_step_from_its_minute_on():
    bench = Bench()
    bench.flex([[(0, 96_000), (360, 960_000), (1320, 48_000)], [(0, 480_000)]], [0, 0, 0, 0, 0, 1, 1])
    due = {0: 96_000 // 4 + 960_000 * 2 // 3 + 48_000 // 12, 5: 480_000}
    demanded = 0
    for day in range(14):
        bench.run_s(DAY_S)
        now = bench.demanded()[0]
        assert abs(now - demanded - (due[5] if day % 7 >= 5 else due[0])) <= 1, day
        demanded = now


@pytest.mark.req("TH-RATE-03")
def test_a_step_of_the_day_changes_the_rate_to_the_second():
    bench = Bench()
    bench.flex([[(0, 96_000), (360, 24_000_000)]], bytes(7))
    bench.run_s(6 * 3600 - 1)
    bench.wake()
    assert bench.demanded()[0] == 96_000 // 4 - 2
    bench.run_s(1)
    assert bench.demanded()[0] == 96_000 // 4
    bench.run_s(36)
    bench.wake()
    assert bench.demanded()[0] == 96_000 // 4 + 10_000


@pytest.mark.req("TH-LIFE-14")
def test_every_day_has_its_row():
    bench = running()
    bench.run_s(3 * DAY_S)
    first = MONDAY_S // DAY_S
    # The pulse that is due at the stroke of midnight belongs to the new day.
    assert days(bench) == {first: (499, 499_000, 0), first + 1: (500, 500_000, 0), first + 2: (500, 500_000, 0)}


@pytest.mark.req("TH-LIFE-14")
@pytest.mark.parametrize(("off_h", "on_h"), [(12, 13), (23, 25), (20, 53)])
def test_a_reset_or_an_outage_over_midnight_loses_no_day_from_the_history(off_h, on_h):
    bench = running()
    bench.run_s(off_h * 3600)
    bench.reboot((on_h - off_h) * 3600)
    bench.run_s(4 * DAY_S - on_h * 3600)
    bench.wake()
    first = MONDAY_S // DAY_S
    rows = days(bench)
    assert set(rows) >= {first, first + 3} and len(rows) >= 4 - (on_h - off_h) // 24
    assert abs(sum(row[0] for row in rows.values()) - bench.app.ledger.pulses) <= 1
    assert abs(sum(row[2] for row in rows.values()) - bench.missed_nl()) <= 1
    assert abs(rows[first][0] - off_h * 500 // 24 - (24 - on_h) * 500 // 24 * (on_h < 24)) <= 2


@pytest.mark.slow
def test_the_tick_may_wrap_and_nobody_notices():
    """12.4 days of real ticks; the simulated period is 2**29 ms = 6.2 days."""
    for start_ms in (0, (1 << 29) - 1, (1 << 29) - 500_000, (1 << 28)):
        bench = running(tick0_ms=start_ms)
        bench.run_s(7 * DAY_S)
        assert bench.orders == 3500 and bench.missed_nl() == 0 and not active(bench)


@pytest.mark.req("TH-STORE-01")
@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("priming", [False, True])
def test_power_lost_again_at_every_write_of_a_boot_loses_nothing_from_the_books(priming, torn):
    """An hour without power, then a boot that is cut at its k-th write, then a whole one: the hour is missed once, not twice and not never."""
    for write in range(12):
        bench = running(dead_volume_nl=2_000_000)
        bench.run_s(3600)
        if priming:
            bench.prime(100_000, 24_000_000)
            bench.run_s(60)
        bench.wake()
        before = bench.demanded()[0] + bench.missed_nl()
        bench.cut_after, bench.torn = write, torn
        try:
            bench.reboot(3600)
            done = True
        except PowerCut:
            done = False
        bench.cut_after = 0xFFFF
        bench.reboot(60)
        prescribed = before + 500_000 * 3660 // DAY_S
        # The part of a pulse that ran since the last record is rolled back and booked as missed at the program's rate.
        assert abs(bench.demanded()[0] + bench.missed_nl() - prescribed) <= (1000 if priming else 0) + 10, f"write {write}"
        assert [row for row in active(bench) if row not in (23,)] == [] and bench.app.mode == modes.RUNNING
        if done:
            break
    assert done and write >= 3
