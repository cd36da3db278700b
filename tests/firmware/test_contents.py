"""The reservoir by sensor and by book: filter, tare after a refill, the two kinds of empty, the low-reservoir rule. Exact in integers."""

from fractions import Fraction

import pytest
from bare_pump import BenchStore
from hypothesis import given
from hypothesis import strategies as st
from thecal.firmware import alarms as al
from thecal.firmware import limits as li
from thecal.firmware.contents import DIFFERS, FILL_ROUNDS, KEPT, NOT_YET, TARED, Contents
from thecal.firmware.infusion import Infusion
from thecal.firmware.ledger import Ledger
from thecal.firmware.settings import Settings


def new(book_ul=20_000, nl_per_count=10_000):
    ledger = Ledger()
    ledger.commission(1000, 35000, 4096)
    if book_ul:
        ledger.refill(book_ul * 1000)
    settings = Settings(BenchStore(bytearray(1024)), ledger, Infusion(ledger))
    contents = Contents(ledger, settings)
    contents.commission(nl_per_count, 20_000, 1400)
    return contents, ledger, settings


@given(st.integers(0, 65535), st.integers(100, 60_000))
def test_the_first_reading_counts_whole_at_any_scale(raw, nl_per_count):
    contents, _, _ = new(nl_per_count=nl_per_count)
    assert contents.fresh
    contents.look(raw)
    assert not contents.fresh and contents.sensed_ul == raw * nl_per_count // 1000


@given(st.lists(st.integers(-390, 390), min_size=1, max_size=80), st.integers(0, 400))
def test_the_filter_is_a_mean_of_what_came_first_and_then_follows_by_a_sixteenth(noise_ul, pulses_a_look):
    """Of sensor minus book: pumping, at whatever rate, is no matter of it."""
    contents, ledger, _ = new(nl_per_count=1000)
    smooth, taken_ul = Fraction(0), 0
    for count, off_ul in enumerate(noise_ul, 1):
        ledger.pulses += pulses_a_look if taken_ul + pulses_a_look <= 17_000 else 0
        taken_ul = ledger.pulses
        if abs(off_ul - smooth) > 395:
            return              # on the verge of being far
        smooth += (off_ul - smooth) / min(count, 16)
        contents.look(20_000 - taken_ul + off_ul)
        assert abs(contents.sensed_ul - (20_000 - taken_ul) - smooth) <= 2


def test_an_outlier_is_nothing_and_the_third_reading_elsewhere_is_believed():
    contents, _, _ = new()
    looks(contents, 2000, 20)
    for raw in (0, 65_535, 2000, 1900, 2400):
        contents.look(raw)
        assert abs(contents.sensed_ul - 20_000) <= 100
    looks(contents, 2000, 40)
    for count in range(1, 4):
        contents.look(500)
        assert (contents.sensed_ul, contents.fell) == ((5000, True) if count == 3 else (20_000, False))
    looks(contents, 1900, 3)
    assert contents.sensed_ul == 19_000 and not contents.fell


def looks(contents, raw, count):
    return [contents.look(raw) for _ in range(count)]


@pytest.mark.parametrize(("off_ul", "outcome"), [(0, TARED), (500, TARED), (-990, TARED), (1000, TARED), (1010, KEPT), (-1010, KEPT)])
def test_after_a_refill_the_sensor_is_tared_once_unless_it_is_too_far_off(off_ul, outcome):
    contents, _, settings = new()
    contents.refilled(0, 0, 0)
    outcomes = looks(contents, 2000 + off_ul // 10, 40)
    first = [NOT_YET] * (FILL_ROUNDS - 1) + [DIFFERS if outcome == KEPT else NOT_YET]
    assert outcomes == first + [NOT_YET] * (li.TARE_ROUNDS - FILL_ROUNDS - 1) + [outcome] + [NOT_YET] * (40 - li.TARE_ROUNDS)
    assert contents.off_ul == off_ul
    assert settings.level_offset_ul == (off_ul if outcome == TARED else 0)
    assert contents.sensed_ul == (20_000 if outcome == TARED else 20_000 + off_ul)


@pytest.mark.req("TH-ALM-18")
@pytest.mark.parametrize(("capacity_ul", "off_ul", "outcome"), [(20_000, 1000, NOT_YET), (20_000, 1010, DIFFERS), (20_000, -1010, DIFFERS),
                                                                (40_000, 2000, NOT_YET), (40_000, -2000, NOT_YET), (40_000, 2010, DIFFERS), (40_000, -2010, DIFFERS)])
def test_a_fill_that_is_not_in_the_reservoir_is_seen_at_the_fourth_reading(capacity_ul, off_ul, outcome):
    contents, _, _ = new()
    contents.commission(10_000, capacity_ul, 1400)
    contents.refilled(0, 0, 0)
    assert contents.settling
    assert looks(contents, 2000 + off_ul // 10, FILL_ROUNDS) == [NOT_YET] * (FILL_ROUNDS - 1) + [outcome]
    assert contents.off_ul == off_ul and contents.reading_ul == 20_000 + off_ul
    looks(contents, 2000, li.TARE_ROUNDS)
    assert not contents.settling


@pytest.mark.req("TH-ALM-08", "TH-ALM-18")
@pytest.mark.parametrize(("seen_ul", "row"), [(1350, al.EMPTY_SENSED), (1450, al.EMPTY_SENSED), (2500, 0)])
def test_a_reservoir_at_its_stop_is_empty_when_the_fill_is_not_in_it(seen_ul, row):
    """Whatever side of the residual the sensor's drift puts it on; well above the stop there is something, fill or not."""
    contents, ledger, _ = new(1500)
    looks(contents, 140, 20)
    before_nl = ledger.reservoir_nl()
    ledger.refill(18_000_000)
    contents.refilled(100, before_nl, 18_000_000)
    assert DIFFERS in [contents.look(seen_ul // 10) for _ in range(8)]
    assert contents.alarm(500_000) == row


def test_many_tares_together_are_bounded_too():
    contents, _, settings = new()
    outcomes = []
    for number in range(1, 9):
        contents.refilled(0, 0, 0)
        outcomes.append(looks(contents, 2000 + 90 * number, 40)[li.TARE_ROUNDS - 1])
    assert outcomes == [TARED] * 6 + [KEPT] * 2 and settings.level_offset_ul == 5400 <= li.OFFSET_MOST_UL


def test_another_sensor_while_a_fill_is_compared_makes_the_rise_unknown():
    """A commissioning in the midst of it: the level before was of another scale, and the sensor is held against the book."""
    contents, ledger, _ = new(book_ul=3_000)
    for _ in range(40):
        contents.look(300)
    contents.refilled(1_600, 3_000_000, ledger.reservoir_nl())
    ledger.refill(20_000_000)
    contents.look(2000)
    contents.commission(10_000, 20_000, 1400)
    assert [contents.look(2000) for _ in range(li.TARE_ROUNDS + 1)].count(TARED) == 1


def test_a_sensor_never_reads_below_nothing():
    contents, _, settings = new()
    settings.level_offset_ul = 700
    contents.look(10)
    assert contents.sensed_ul == 0


@pytest.mark.req("TH-ALM-08", "TH-ALM-09")
@pytest.mark.parametrize(("book_ul", "raw", "row"), [
    (20_000, 2000, 0), (20_000, 141, 0), (20_000, 140, al.EMPTY_SENSED), (1400, 160, al.EMPTY_SENSED), (1400, 161, al.EMPTY_COMPUTED), (1401, 160, 0),
    (1401, 141, 0),
    (1000, 140, al.EMPTY_SENSED), (0, 0, 0)])
def test_empty_by_the_sensor_stops_and_empty_by_the_book_alone_does_not(book_ul, raw, row):
    contents, _, settings = new(book_ul)
    settings.steady_s = settings.filled_s + 4 * 86_400        # two sigma of the drift since the fill: 200 uL
    contents.look(raw)
    assert contents.alarm(500_000) == row
    assert contents.alarm(0) == 0, "a pump without a program calls for nothing"
    assert contents.alarm(500_000, True) == (al.EMPTY_COMPUTED if 0 < book_ul <= 1400 else 0), "a faulty sensor stops nothing"


@pytest.mark.req("TH-ALM-19")
def test_low_is_seven_days_of_the_heaviest_day_or_two_millilitres():
    for book_ul, daily_nl, low in ((20_000, 500_000, False), (1400 + 3500, 500_000, False), (1400 + 3499, 500_000, True),
                                   (1400 + 2000, 6000, False), (1400 + 1999, 6000, True), (1000, 6000, True)):
        contents, _, _ = new(book_ul)
        assert contents.low(daily_nl) == low, (book_ul, daily_nl)
    assert not new(0)[0].low(500_000)


def test_days_left_are_whole_and_bounded():
    contents, ledger, _ = new()
    assert contents.days_left(500_000) == 18600 * 1000 // 500_000
    assert contents.days_left(0) == 65535 and contents.days_left(1) == 65535
    ledger.refill(1_400_000)
    assert contents.days_left(6000) == 0 and contents.usable_nl() == 0
    ledger.refill(1_000_000)
    assert contents.days_left(6000) == 0 and contents.usable_nl() == -400_000
