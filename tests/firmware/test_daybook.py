"""Days and the moved clock. The rows of whole weeks: tests/firmware/test_app.py."""

import pytest
from bare_pump import Bench
from thecal.firmware import daybook


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


def test_a_day_begins_with_what_was_ordered_until_then():
    bench = Bench()
    bench.program(480_000)
    bench.run_s(86_400 + 3600)
    settings, ledger = bench.app.settings, bench.app.ledger
    assert settings.last_day == bench.rtc_s // 86_400 and 479 <= settings.day_pulses <= 480 < ledger.pulses
