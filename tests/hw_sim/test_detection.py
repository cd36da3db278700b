"""The sensor's exact law, the optimum, and the firmware's level test beside it. The slow ones are a slice of `thecal-sim bench detection`."""

import itertools
import math
import random
from statistics import fmean, median, pvariance, stdev

import pytest

from thecal.firmware.level_test import FREE, OVER, LevelTest
from thecal.hw_sim import detection
from thecal.hw_sim.detection import (
    DEFAULT, FALSE_A_YEAR, STEADIER, Ideal, Orders, by_readings, covariances_ul2, delays, differences, late_h, least_delay_h, mean_h, means_at,
    quiet_years, refill_h, within)
from thecal.hw_sim.faults import load
from thecal.hw_sim.params import PlantParams
from thecal.hw_sim.scenario import units


def moments(xs):
    return pvariance(xs), fmean(a * b for a, b in itertools.pairwise(xs)), fmean(a * b for a, b in zip(xs, xs[2:], strict=False))


def test_the_sensor_is_that_of_the_plant():
    sensors = PlantParams.load("reference").sensors
    assert DEFAULT == (sensors.level_sigma_ul, sensors.level_quantum_ul, sensors.level_drift_ul_sqrt_day)


@pytest.mark.parametrize("rate_nl_day", [50_000, 500_000])
def test_hourly_means_have_the_law_of_the_readings(rate_nl_day):
    means = means_at(rate_nl_day)
    variance, covariance = covariances_ul2(DEFAULT, means)
    drawn = differences(DEFAULT, means, random.Random(1))
    by_hour = moments([next(drawn) for _ in range(40_000)])
    readings = by_readings(DEFAULT, means, random.Random(2))
    levels = [fmean(next(readings)[0] for _ in range(means.readings)) for _ in range(6000)]
    for found, near in ((by_hour, 0.03), (moments([a - b for a, b in itertools.pairwise(levels)]), 0.08)):
        assert found[0] == pytest.approx(variance, rel=near)
        assert found[1] == pytest.approx(covariance, abs=near * variance)
        assert found[2] == pytest.approx(0, abs=near * variance)


def test_the_firmware_sees_a_mean_an_hour_or_sixteen_readings():
    assert means_at(500_000) == (pytest.approx(172.8), 21, 3629)
    assert means_at(50_000) == (pytest.approx(288.0), 16, 4608)
    assert means_at(24_000_000) == (pytest.approx(151.2), 24, 3629)
    assert means_at(0) == (300.0, 16, 4800)


def test_lorden():
    """As by hand for 1.3x at 0.5 mL/day: 150 uL a day in a walk of 50, a nat in 2/9 of a day."""
    assert least_delay_h(150, DEFAULT) == pytest.approx(24 * 2 / 9 * (math.log(3652.5 * 9 / 2) - 1))
    assert least_delay_h(30, DEFAULT) > 24 * 29 and least_delay_h(30, STEADIER) < 24 * 5        # the contradiction in alarms.md 4, and its end
    assert least_delay_h(0, DEFAULT) == least_delay_h(0.5, DEFAULT) == math.inf
    assert least_delay_h(100_000, DEFAULT) >= 0


def test_the_ideal_sum_whitens_and_drifts_by_half_the_squared_signal():
    """Its innovations are independent, and in the long run a shift gives d^2 / 2 s^2 nats, s^2 the walk alone: readings' noise costs a delay, no rate."""
    means = means_at(500_000)
    ideal, stream = Ideal(DEFAULT, means, 6.25), differences(DEFAULT, means, random.Random(3))
    innovations, sums = [], []
    for _ in range(20_000):
        ideal.look(next(stream) + 6.25)
        innovations.append(ideal._e - fmean([6.25]) / (1 + ideal.theta))
        sums.append(ideal.sum)
    variance, one, two = moments(innovations)
    assert variance == pytest.approx(ideal.variance, rel=0.05) and abs(one) < 0.03 * variance and abs(two) < 0.03 * variance
    walk = DEFAULT.drift_ul_sqrt_day ** 2 * means.seconds / 86_400
    assert sums[-1] / len(sums) == pytest.approx(6.25 ** 2 / 2 / walk, rel=0.1)


def test_orders_are_whole_pulses_and_lose_nothing():
    orders = Orders(62_500, means_at(62_500))
    given = [orders.next() for _ in range(1000)]
    assert {one % 1000 for one in given} == {0}
    assert 0 <= 62_500 * 1000 * means_at(62_500).seconds / 86_400 - sum(given) < 1000
    assert refill_h(100_000) == 180 * 24 and refill_h(24_000_000) == pytest.approx(18.6) and refill_h(0) == 180 * 24


def test_delays_in_figures():
    assert mean_h([1.0, 3.0]) == 2.0 and mean_h([1.0, None]) is None and mean_h([1.0] * 9 + [None]) == 1.0 and mean_h([]) is None
    assert within([1.0, 3.0, None, 2.0], 2.0) == 0.5
    assert late_h([1.0] * 95 + [None] * 5) == 1.0 and late_h([1.0] * 94 + [None] * 6) is None


def test_the_ideal_threshold_gives_as_many_false_alarms_as_the_firmware_did():
    quiet = detection.Quiet(10.0, {OVER: 2, FREE: 1}, {1.3: [9.0, 8.0, 7.0, 6.0], 1.1: [3.0]})
    assert quiet.threshold(1.3) == 7.0 and quiet.threshold(1.1) == detection.LEAST_NATS and quiet.false_a_year == 0.3
    assert detection.Quiet(10.0, {}, {1.3: [9.0]}).threshold(1.3) == 9.0


def test_the_delay_by_the_hour_is_what_look_makes_of_readings():
    """An over-infusing head found by `look`, reading by reading, takes as long as by hourly means."""
    means, found = means_at(500_000), []
    for seed in range(60):
        test, readings, chance = LevelTest(), by_readings(DEFAULT, means, random.Random(seed)), random.Random(seed)
        t_s, onset_s, orders_nl, ordered_nl, said = 0.0, chance.uniform(30, 50) * 3600, 0.0, 0, 0
        while not said:
            level_ul, step_s = next(readings)
            t_s += step_s
            orders_nl += 500_000 * step_s / 86_400
            new, orders_nl = int(orders_nl), orders_nl - int(orders_nl)
            ordered_nl += new
            beyond_ul = 1000.0 * max(0.0, t_s - onset_s) / 86_400
            said = test.look(round((level_ul - ordered_nl / 1000 - beyond_ul) / 10) * 10, new, 0, round(step_s))
            if said and t_s < onset_s:
                test.restart()
                said = 0
        found.append((t_s - onset_s) / 3600)
    by_hour = mean_h(delays(500_000, 3.0, 120, 9.0).firmware_h)
    assert by_hour is not None and fmean(found) == pytest.approx(by_hour, abs=0.6)


# ------------------------------------------------------------------------------------------------ against the claims, with their significance

YEARS, DOUBT = 300, 0.01            # pump-years a rate; a detector that just keeps FALSE_A_YEAR fails with this chance at most
ONSETS, SIGMAS = 1000, 2.326        # a mean that just keeps its bar is beyond so many of its standard deviations in one case of 100


def beyond(count, mean):
    """The chance that a Poisson variable of this mean is more than `count`; exact."""
    term = left = math.exp(-mean)
    for k in range(1, count + 1):
        term *= mean / k
        left += term
    return 1 - left


def most_of(mean, doubt=DOUBT):
    """The least count that is exceeded with a chance of `doubt` at most."""
    return next(count for count in itertools.count() if beyond(count, mean) <= doubt)


def test_what_the_count_allows_and_what_it_would_miss():
    """43 where 30 are the bar. A detector with twice the bar fails in 98 of 100 cases, one with half again as many in more than half."""
    assert beyond(0, 1.0) == pytest.approx(1 - math.exp(-1)) and beyond(2, 3.0) == pytest.approx(0.57681, abs=1e-5)
    assert most_of(FALSE_A_YEAR * YEARS) == 43 and beyond(43, FALSE_A_YEAR * YEARS) == pytest.approx(0.0097, abs=1e-4)
    assert beyond(43, 2 * FALSE_A_YEAR * YEARS) > 0.98 and beyond(43, 1.5 * FALSE_A_YEAR * YEARS) > 0.5


@pytest.mark.slow
@pytest.mark.req("TH-SUP-06", "TH-SUP-11")
@pytest.mark.parametrize(("rate_nl_day", "sensor"), [(500_000, DEFAULT), (100_000, DEFAULT), (62_500, STEADIER)])
def test_false_alarms_of_three_hundred_pump_years(rate_nl_day, sensor):
    """At most 43, where 30 are the bar: a level test with 0.2 a year fails here in 98 of 100 cases. The rates are the bench's worst, and the slowest judged."""
    quiet = quiet_years(rate_nl_day, YEARS, sensor, first=10_001)
    assert quiet.years == pytest.approx(YEARS) and sum(quiet.findings.values()) <= most_of(FALSE_A_YEAR * YEARS), quiet.findings


@pytest.mark.slow
@pytest.mark.req("TH-SUP-06", "TH-SUP-11", "TH-SUP-12")
@pytest.mark.parametrize(("rate_nl_day", "gain", "sensor", "most_h"), [
    (500_000, 1.3, DEFAULT, 48.0), (500_000, 3.0, DEFAULT, 8.0), (100_000, 1.3, STEADIER, 120.0), (500_000, 1.3, STEADIER, 48.0)])
def test_delays_of_a_thousand_onsets(rate_nl_day, gain, sensor, most_h):
    """Mean and median within what alarms.md 4 asks, the mean by no more than chance gives; and nowhere below what can be."""
    ours = [hour for hour in delays(rate_nl_day, gain, ONSETS, 9.0, sensor).firmware_h if hour is not None]
    assert len(ours) == ONSETS and median(ours) <= most_h
    assert fmean(ours) <= most_h + SIGMAS * stdev(ours) / math.sqrt(ONSETS)
    assert fmean(ours) >= 0.8 * least_delay_h(rate_nl_day * (gain - 1) / 1000, sensor), "Lorden's is of the worst onset"


@pytest.mark.slow
@pytest.mark.req("TH-SUP-11")
def test_the_firmware_is_about_as_fast_as_the_ideal_test_with_as_many_false_alarms():
    """Which is told the size of the fault. Its threshold is from 60 pump-years, so from some seven false alarms: a fifth either way is left."""
    quiet = quiet_years(500_000, 60, gains=(1.3,))
    ours, best = (mean_h(hours) for hours in delays(500_000, 1.3, ONSETS, quiet.threshold(1.3)))
    assert ours is not None and best is not None and ours <= 1.2 * best


# ------------------------------------------------------------------------------------------------ bounds of the ledger that are reckoned from this test

RECKONED = {       # rate (nL/day), volume that leaves over volume ordered, sensor
    "over-infusion-1.3@c01-steady": (100_000, 1.3, STEADIER), "over-infusion-1.3@c2": (2_000_000, 1.3, DEFAULT),
    "over-infusion-3@c005": (50_000, 3.0, DEFAULT), "over-infusion-3@c01": (100_000, 3.0, DEFAULT), "over-infusion-3@c2": (2_000_000, 3.0, DEFAULT),
    "free-flow@c005": (50_000, 52.0, DEFAULT), "free-flow@c01": (100_000, 26.5, DEFAULT), "free-flow@c05": (500_000, 6.1, DEFAULT),
    "free-flow-slow@c01": (100_000, 3.55, DEFAULT), "free-flow-slow@c05": (500_000, 1.51, DEFAULT), "level-drift@c05": (500_000, 1.6, DEFAULT),
    "septum-leak@c005": (50_000, 11.0, DEFAULT), "septum-leak@c01": (100_000, 6.0, DEFAULT), "septum-leak@c05": (500_000, 2.0, DEFAULT)}
FLEX_NL_DAY = [204_000] * 6 + [600_000] * 14 + [594_000] * 4        # by the hour of the ledger's therapy "flex"


def flex_delays(gain, onsets):
    """Hours until a head of `gain` is found under the flex program, an onset each anywhere in its second day."""
    means = means_at(500_000)
    each, found = means.seconds / 3600, []
    for seed in range(onsets):
        chance = random.Random("flex %g %d" % (gain, seed))
        stream, test, at_h, due_nl, onset_h = differences(DEFAULT, means, chance), LevelTest(), 0.0, 0.0, chance.uniform(24, 48)
        while True:
            rate_nl_day = FLEX_NL_DAY[int(at_h) % 24]
            due_nl += rate_nl_day * each / 24
            ordered_nl = int(due_nl) // 1000 * 1000
            due_nl -= ordered_nl
            beyond_ul = rate_nl_day * (gain - 1) / 1000 * max(0.0, min(each, at_h + each - onset_h)) / 24
            said = test.hour(round(next(stream) + beyond_ul), ordered_nl, 0, means.seconds)
            at_h += each
            if said in (OVER, FREE) and at_h > onset_h:
                found.append(at_h - onset_h)
                break
            if said in (OVER, FREE):
                test.restart()
    return found


@pytest.mark.slow
@pytest.mark.req("TH-RULE-12")
@pytest.mark.parametrize("name", [*RECKONED, "over-infusion-1.3@flex", "over-infusion-3@flex"])
def test_a_bound_of_the_ledger_is_the_95_percent_quantile_and_a_mean(name):
    """Not less, and not much more: to the hour. A steady sensor's mean at 0.1 mL/day, as all slow ones, is 77 min."""
    if name.endswith("@flex"):
        late = late_h(flex_delays(1.3 if "1.3" in name else 3.0, 2 * ONSETS))
    else:
        rate_nl_day, gain, sensor = RECKONED[name]
        late = late_h(delays(rate_nl_day, gain, 2 * ONSETS, 9.0, sensor).firmware_h)
    bound_h = next(row.within_s for row in load(units) if row.id == name) / 3600
    assert late is not None and late + means_at(500_000).seconds / 3600 - 0.1 <= bound_h <= 1.02 * late + 77 / 60 + 1
