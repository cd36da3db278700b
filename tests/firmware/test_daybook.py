"""Days and the moved clock. The rows of whole weeks: tests/firmware/test_app.py."""

import pytest
from bare_pump import Bench
from thecal.firmware import daybook
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import unpack


@pytest.mark.req("TH-LIFE-10")
@pytest.mark.parametrize("by_s", [-100_000, 100_000])
def test_how_long_things_still_last_does_not_hang_on_the_clock(by_s):
    app = Bench().app
    app.settings.paused_until_s = app.settings.reduction_until_s = 500_000
    app.settings.reduction = 1
    daybook.shift(app, by_s)
    assert app.settings.paused_until_s == app.settings.reduction_until_s == 500_000 + by_s


def test_nothing_goes_below_the_epoch_and_what_is_not_stays_so():
    app = Bench().app
    settings = app.settings
    settings.reduction_until_s = 0
    daybook.shift(app, -1000)
    assert settings.paused_until_s == settings.reduction_until_s == 0
    settings.paused_until_s = 10
    daybook.shift(app, -1000)
    assert settings.paused_until_s == 1, "a pause that is over still has to be ended"


@pytest.mark.req("TH-RATE-02")
@pytest.mark.parametrize("reset", [False, True])
def test_a_pulse_that_does_not_turn_is_missed_and_no_demand_of_its_day(reset):
    """Eight hours of a stall: demanded and missed of the day are its dose, once. The day behind it owes nothing of them."""
    bench = Bench()
    bench.program(480_000)
    bench.run_s(6 * 3600)
    bench.stalled = True
    bench.run_s(8 * 3600)
    bench.stalled = False
    if reset:
        bench.reboot(1)
    bench.run_s(36 * 3600)
    found, rows = {}, cat.record("day")
    log = bench.app.days
    for at in range(log.first_byte(bench.app.settings.last_day), bench.app.settings.last_day * cat.DAY_BYTES, cat.DAY_BYTES):
        values = [0] * len(rows)
        if unpack(rows, log.read(at, cat.DAY_BYTES), 0, cat.DAY_BYTES, values) > 0 and values[0]:
            found[values[0]] = values[1:4]
    (pulses, demanded_nl, missed_nl), second = [found[day] for day in sorted(found)]
    assert abs(pulses - 480) <= 1 and abs(missed_nl - 160_000) <= 1000 and abs(demanded_nl + missed_nl - 480_000) <= 1000
    assert second == [480, 480_000, 0]


def test_a_day_begins_with_what_was_ordered_until_then():
    bench = Bench()
    bench.program(480_000)
    bench.run_s(86_400 + 3600)
    settings, ledger = bench.app.settings, bench.app.ledger
    assert settings.last_day == bench.rtc_s // 86_400 and 479 <= settings.day_pulses <= 480 < ledger.pulses
