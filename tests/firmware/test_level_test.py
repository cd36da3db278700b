"""The level test on the default sensor of DESIGN 8 (sigma 50 uL, quantum 10 uL, drift 50 uL per root day): what it finds, how fast, how wrongly.

The slow test prints the figures. Two of them are no matter of the detector: below, `least_delay_days` is what no test of this sensor can beat on
average at that false-alarm rate (Lorden's bound for a change of drift in a random walk).
"""

import math
import random

import pytest
from thecal.firmware import level_test as lt
from thecal.firmware.level_test import ENCODER, FREE, HOUR_S, OVER, QUIET, SENSOR, LevelTest
from thecal.hw_sim.detection import STEADIER, quiet_years

SIGMA_UL, QUANTUM_UL, DRIFT_UL = 50.0, 10.0, 50.0       # DESIGN 8; drift per root day
DAY_S, YEAR_H = 86_400, 8766
FALSE_ALARMS_A_YEAR = 0.1


class Sensor:
    """Readings of the default sensor, and what it sees emptied."""

    def __init__(self, seed, level_ul=18_000.0, drift_ul=DRIFT_UL, sigma_ul=SIGMA_UL):
        self.chance = random.Random(seed)
        self.level_ul, self.walk_ul = level_ul, 0.0
        self.drift_ul, self.sigma_ul = drift_ul, sigma_ul

    def read(self, taken_ul, seconds):
        self.level_ul -= taken_ul
        self.walk_ul += self.chance.gauss(0, self.drift_ul * math.sqrt(seconds / DAY_S))
        seen_ul = self.level_ul + self.walk_ul + self.chance.gauss(0, self.sigma_ul)
        return max(0, round(seen_ul / QUANTUM_UL) * int(QUANTUM_UL))


def hours_to(sensor, rate_ul_day, gain=1.0, leak_ul_h=0.0, lost=False, step_s=173, start_h=0.0, most_h=24 * 60, test=None):
    """(hours from `start_h` to the first finding, what it was); (most_h, QUIET) for none. A reservoir runs full again: only falls count."""
    test = test or LevelTest()
    t_s, rem_nl = 0, 0.0
    while t_s < (start_h + most_h) * HOUR_S:
        t_s += step_s
        wrong = t_s > start_h * HOUR_S
        rem_nl += rate_ul_day * 1000 / DAY_S * step_s
        ordered_nl, rem_nl = int(rem_nl), rem_nl - int(rem_nl)
        taken_ul = ordered_nl / 1000 * (gain if wrong else 1.0) + (leak_ul_h * step_s / HOUR_S if wrong else 0.0)
        if sensor.level_ul < 3000:
            sensor.level_ul += 15_000
            test.restart()
        found = test.look(sensor.read(taken_ul, step_s), ordered_nl, ordered_nl if lost and wrong else 0, step_s)
        if found and not wrong:
            test.restart()
        elif found:
            return t_s / HOUR_S - start_h, found
    return most_h, QUIET


def spread(cases):
    hours = sorted(hours for hours, _ in cases)
    return sum(hours) / len(hours), hours[len(hours) // 2], hours[int(len(hours) * 0.95)]


def least_delay_days(excess_ul_day, drift_ul=DRIFT_UL, a_year=FALSE_ALARMS_A_YEAR):
    """Lorden's bound: mean worst-case delay of the best test of `excess_ul_day` in a walk, at one false alarm in 365 / a_year days."""
    variance = drift_ul ** 2
    return 2 * variance / excess_ul_day ** 2 * (math.log(365 / a_year * excess_ul_day ** 2 / (2 * variance)) - 1)


# ---------------------------------------------------------------------------------------------------- exact, without chance
def feed(test, levels, ordered_nl=0, lost_nl=0, seconds=150):
    return [test.look(level, ordered_nl, lost_nl, seconds) for level in levels]


@pytest.mark.req("TH-SUP-06")
def test_a_sound_head_is_quiet_at_any_rate_to_the_nanolitre():
    for rate_nl_h in (0, 250, 4_000, 20_833, 1_000_000):
        test, taken_nl = LevelTest(), 0
        for reading in range(24 * 24 * 3):
            ordered_nl = rate_nl_h * (reading + 1) // 24 - rate_nl_h * reading // 24
            taken_nl += ordered_nl
            if taken_nl > 15_000_000:
                test.restart()
                taken_nl = 0
            assert test.look(18_000 - taken_nl // 1000, ordered_nl, 0, 150) == QUIET


@pytest.mark.parametrize("jump_ul", [401, 1000, 10_000, -401, -1000, -10_000])
@pytest.mark.parametrize("at", range(20, 30))
def test_a_jump_is_the_sensors_fault_wherever_it_falls(jump_ul, at):
    said = feed(LevelTest(), [12_000] * at + [12_000 + jump_ul] * 100)
    assert [found for found in said if found] == [SENSOR]


@pytest.mark.req("TH-ALM-02")
@pytest.mark.parametrize(("fall_ul_h", "most_h"), [(60_000, 0.1), (10_000, 0.2), (2000, 2.2), (600, 2.2), (300, 4.2), (130, 4.2), (30, 20)])
def test_free_flow_with_the_rotor_still_is_found_the_faster_the_worse(fall_ul_h, most_h):
    test, level_ul = LevelTest(), 18_000.0
    feed(test, [18_000] * 48)
    for reading in range(24 * 40):
        level_ul = max(0, level_ul - fall_ul_h * 150 / HOUR_S)
        found = test.look(round(level_ul), 0, 0, 150)
        if found:
            assert found == FREE and (reading + 1) * 150 / HOUR_S <= most_h
            return
    raise AssertionError("not found")


def test_one_outlier_of_an_hour_is_no_alarm_and_two_are():
    test = LevelTest()
    assert [test.hour(390, 20_833, 0, HOUR_S)] + [test.hour(0, 20_833, 0, HOUR_S) for _ in range(200)] == [QUIET] * 201
    assert [test.hour(200, 20_833, 0, HOUR_S), test.hour(200, 20_833, 0, HOUR_S)] == [QUIET, FREE]


def test_an_excess_is_a_head_or_a_leak_by_its_size():
    for excess_ul, found in ((40, OVER), (82, OVER), (100, FREE)):
        test, said = LevelTest(), []
        while not said or said[-1] == QUIET:
            said.append(test.hour(excess_ul, 20_833, 0, HOUR_S))
        assert said[-1] == found


@pytest.mark.req("TH-ALM-06")
def test_a_dead_encoder_is_told_from_a_stall_by_the_level():
    for rate_nl_h, most_h in ((250_000, 2), (20_833, 6), (4166, 90)):
        dead, stall = LevelTest(), LevelTest()
        said = [dead.hour(0, rate_nl_h, rate_nl_h, HOUR_S) for _ in range(most_h)]      # it emptied as ordered
        assert [found for found in said if found][:1] == [ENCODER]
        assert not any(stall.hour(-rate_nl_h // 1000, rate_nl_h, rate_nl_h, HOUR_S) for _ in range(300))


@pytest.mark.req("TH-ALM-06", "TH-ALM-10")
@pytest.mark.parametrize(("share", "most"), [(0.1, 0), (0.3, 0), (0.5, 0), (0.8, 3)])
def test_pulses_lost_now_and_then_are_no_dead_encoder(share, most):
    """A corroded gear: an encoder that sees one pulse turn is alive, however many it does not. 100 pumps at 0.3 mL a day, ten days each;
    at 80 % a run of 30 lost pulses comes by chance, and of these some are misjudged."""
    chance, misjudged = random.Random(int(100 * share)), 0
    for seed in range(100):
        test, sensor = LevelTest(), Sensor(seed)
        for _ in range(300 * 10):
            lost = chance.random() < share
            if test.look(sensor.read(0 if lost else 1, 288), 1000, 1000 * lost, 288) == ENCODER:
                misjudged += 1
                break
    assert misjudged <= most


def test_one_pulse_that_is_seen_begins_the_dead_sum_anew_and_an_hour_without_a_pulse_does_not():
    test = LevelTest()
    test.hour(0, 4000, 4000, HOUR_S)
    stood = test._dead
    assert stood > 0
    test.hour(0, 0, 0, HOUR_S)
    assert test._dead == stood
    test.hour(0, 4000, 0, HOUR_S)
    assert test._dead == 0
    feed(test, [12_000] * 12, 1000, 1000)
    feed(test, [12_000], 1000)
    assert feed(test, [12_000] * 11, 1000, 1000)[-1] == QUIET and test._dead == 0, "the first mean has none to be held against"
    feed(test, [12_000 - 23] * 12, 1000, 1000)
    feed(test, [12_000 - 24], 1000)
    feed(test, [12_000 - 24] * 11, 1000, 1000)
    assert 0 < test._dead < 110 * (20 * 24 + 110) // 20, "of what was lost behind the pulse that was seen"


@pytest.mark.req("TH-RULE-12")
def test_at_the_declared_limit_a_head_is_not_judged_by_its_share_and_above_it_is():
    for rate_nl_day, judged in ((lt.BLIND_NL_DAY, False), (lt.BLIND_NL_DAY * 11 // 10, True)):
        test = LevelTest()
        for _ in range(24 * 200):
            test.hour(1, rate_nl_day // 24, 0, HOUR_S)
        assert (test._over > 0) == judged


@pytest.mark.parametrize("rate_ul_day, step_s, found_h", [(2_000, 150, 30), (24_000, 150, 6)])
def test_fast_programs_judge_a_head_by_its_share(rate_ul_day, step_s, found_h):
    """At 24 mL a day 1 % is 10 uL an hour, more than the 150 uL a day that the sums look for: a sound head's make, or 3000 m of height."""
    for seed in range(5):
        for gain in (0.98, 1.02):
            assert hours_to(Sensor(seed), rate_ul_day, gain, step_s=step_s, most_h=240) == (240, QUIET)
        hours, found = hours_to(Sensor(seed), rate_ul_day, 1.3, step_s=step_s, most_h=48)
        assert found in (OVER, FREE) and hours < found_h


def test_a_refill_begins_anew():
    test = LevelTest()
    feed(test, [12_000] * 60)
    test.hour(100, 20_833, 0, HOUR_S)
    test.restart()
    assert (test._over, test._leak, test.excess_ul) == (0, 0, 0)
    assert not any(feed(test, [19_000] * 60))


def test_extremes_stay_small_integers():
    """Products of the hot path below 2**30, also for senseless input."""
    for drift_ul in (1, 15, 16, 50):
        test = LevelTest()
        test.commission(drift_ul)
        for level_ul, ordered_nl, seconds in ((65_535 * 60, 0, 3600), (0, 5_000_000, 3600), (0, 1_000_000, 1), (40_000, 1_000_000, 3600)):
            for _ in range(50):
                test.look(level_ul, ordered_nl, ordered_nl, seconds)
                assert max(abs(value) for value in (*vars(test).values(), *test._class) if not isinstance(value, tuple)) < 1 << 30
    for x_ul in (-(1 << 20), -2000, 0, 400):
        assert 10_000 * (20 * 2000 + 10_000) < 1 << 30
        test.hour(x_ul, 1_000_000, 1_000_000, HOUR_S)


# ---------------------------------------------------------------------------------------------------- on the default sensor
@pytest.mark.req("TH-SUP-06", "TH-ALM-05")
def test_three_times_too_much_is_found_within_eight_hours():
    cases = [hours_to(Sensor(seed), 500, 3.0, start_h=30) for seed in range(40)]
    assert spread(cases)[2] <= 8 and {found for _, found in cases} == {OVER}


def false_alarms(rate_ul_day, years, seed, readings=24):
    """Findings on a sound pump: hourly means with the walk's and the readings' noise, refilled when empty."""
    test, chance, found = LevelTest(), random.Random(seed), 0
    walk_ul, noise_ul = DRIFT_UL / math.sqrt(24), math.sqrt((SIGMA_UL ** 2 + QUANTUM_UL ** 2 / 12) / readings)
    due_nl, gauss, before = 0.0, chance.gauss, 0.0
    refill_h = int(17_000 / rate_ul_day * 24) if rate_ul_day else 24 * 180
    for hour in range(int(years * YEAR_H)):
        now = gauss(0, noise_ul)
        due_nl += rate_ul_day * 1000 / 24
        ordered_nl = int(due_nl) // 1000 * 1000         # whole pulses: two or three an hour at 60 uL a day
        due_nl -= ordered_nl
        found += test.hour(round(gauss(0, walk_ul) + before - now), ordered_nl, 0, HOUR_S) != QUIET
        before = now
        if hour % refill_h == 0:
            test.restart()
    return found


@pytest.mark.slow
@pytest.mark.req("TH-RULE-12")
@pytest.mark.parametrize("rate_ul_day", [50, 62.5, 100])
def test_a_slow_program_of_whole_pulses_is_not_judged_by_the_readings_noise(rate_ul_day):
    """Two or three pulses an hour: were each hour judged or not by its own count, the noise of its two ends would no longer cancel."""
    years = 100
    assert false_alarms(rate_ul_day, years, 3, 16) < FALSE_ALARMS_A_YEAR * years


@pytest.mark.req("TH-ALM-06")
@pytest.mark.parametrize("rate_ul_day", [100, 300, 500, 1000])
def test_a_stall_of_five_days_is_no_dead_encoder_and_a_dead_one_is_found(rate_ul_day):
    """Behind a kink nothing leaves the reservoir: at most one stall in 50 may be taken for a dead encoder, whatever the level's noise."""
    chance, taken = random.Random(int(rate_ul_day)), {0.0: 0, 1.0: 0}
    ordered_nl, noise_ul = round(rate_ul_day * 1000 / 24), math.sqrt((SIGMA_UL ** 2 + QUANTUM_UL ** 2 / 12) / 16)
    for empties in taken:
        for _ in range(100):
            test, before = LevelTest(), chance.gauss(0, noise_ul)
            for _ in range(24 * (10 if empties else 5)):
                now = chance.gauss(0, noise_ul)
                x_ul = chance.gauss(0, DRIFT_UL / math.sqrt(24)) + before - now - (1 - empties) * ordered_nl / 1000
                before = now
                if test.hour(round(x_ul), ordered_nl, ordered_nl, HOUR_S) == ENCODER:
                    taken[empties] += 1
                    break
    assert taken[0.0] <= 2 and taken[1.0] >= 98, taken


@pytest.mark.req("TH-SUP-06", "TH-SUP-12", "TH-ALM-05")
@pytest.mark.parametrize(("rate_ul_day", "gain", "mean_h", "worst_h"), [(100, 1.3, 120, 400), (500, 1.3, 48, 48), (500, 3.0, 8, 8)])
def test_a_sensor_commissioned_as_steady_has_a_class_of_its_own(rate_ul_day, gain, mean_h, worst_h):
    """alarms.md 4 with a walk of 15 uL per root day: 5 days, 48 h, 8 h, in the mean of 40; at the higher rate all of them.
    The firmware reads every 288 s at 0.1 mL a day."""
    cases = []
    for seed in range(40):
        test = LevelTest()
        test.commission(lt.STEADY_UL)
        cases.append(hours_to(Sensor(seed, drift_ul=15.0), rate_ul_day, gain, start_h=30, test=test,
                              step_s=288 if rate_ul_day == 100 else 173))
    assert {found for _, found in cases} == {OVER}
    assert spread(cases)[0] <= mean_h and max(hours for hours, _ in cases) <= worst_h


@pytest.mark.slow
@pytest.mark.req("TH-SUP-12", "TH-RULE-12")
@pytest.mark.parametrize("rate_nl_day", [50_000, 52_000])
def test_a_steady_sensor_at_the_declared_limit_is_not_judged_by_its_readings_noise(rate_nl_day):
    """Two pulses or three a mean, and a rate that hovers about the limit: it had 22 false alarms a year, found by `bench detection`. More than 18 in
    100 years come of 0.1 a year in 7 of 1,000 cases, of 0.2 in 619, of 0.3 in 987."""
    assert sum(quiet_years(rate_nl_day, 100, STEADIER).findings.values()) <= 18


@pytest.mark.parametrize(("drift_ul", "number"), [(1, 1), (15, 1), (16, 0), (50, 0)])
def test_the_class_is_the_steady_one_up_to_its_walk(drift_ul, number):
    test = LevelTest()
    assert test._class is lt.CLASSES[0]
    test.commission(drift_ul)
    assert test._class is lt.CLASSES[number]


@pytest.mark.req("TH-SUP-06", "TH-RULE-12")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_figures_of_the_level_test():
    """Prints what README and alarms.md claim. 360 pump-years for the false alarms, 100 onsets for each delay."""
    total, years = 0, 0
    found = false_alarms(500, 250, 15, 21)
    print(f"false alarms at 0.5 mL/day, 21 readings an hour: {found} in 250 pump-years")
    assert found < FALSE_ALARMS_A_YEAR * 250
    for rate_ul_day, readings in ((0, 16), (50, 16), (62.5, 16), (100, 21), (250, 21), (500, 21), (1000, 24), (2000, 24), (24_000, 24)):
        found = false_alarms(rate_ul_day, 40, rate_ul_day + 1, readings)
        total, years = total + found, years + 40
        print(f"false alarms at {rate_ul_day / 1000:g} mL/day: {found} in 40 pump-years")
    print(f"false alarms, all rates: {total} in {years} pump-years = {total / years:.3f} a year (bar {FALSE_ALARMS_A_YEAR})")
    assert total / years < FALSE_ALARMS_A_YEAR
    found = {}
    for rate_ul_day, gain in ((500, 1.1), (500, 1.2), (500, 1.3), (500, 1.5), (500, 2.0), (500, 3.0), (100, 1.3), (100, 2.0), (100, 3.0), (1000, 1.3),
                              (500, 0.7), (500, 0.0)):
        runs = 200 if (rate_ul_day, gain) == (500, 1.3) else 100 if gain > 1.25 and rate_ul_day >= 500 else 25
        cases = [hours_to(Sensor(seed + 1000), rate_ul_day, gain, start_h=24 + seed % 48, most_h=24 * 90) for seed in range(runs)]
        mean, median, late = found[rate_ul_day, gain] = spread(cases)
        print(f"{gain:g}x at {rate_ul_day / 1000:g} mL/day: mean {mean:.1f} h, median {median:.1f} h, 95 % within {late:.1f} h; "
              f"{mean / 24 * rate_ul_day * (gain - 1):+.0f} uL until found on average")
    for rate_ul_day in (500, 100):
        print(f"no test of this sensor finds 1.3x at {rate_ul_day / 1000:g} mL/day in less than {least_delay_days(0.3 * rate_ul_day):.1f} days on average "
              f"(of a sensor with a walk of 15 uL per root day: {least_delay_days(0.3 * rate_ul_day, 15.0):.1f} days)")
    assert found[500, 1.3][0] <= 48 and found[500, 1.3][1] <= 48 and found[500, 3.0][2] <= 8
    assert found[500, 1.3][0] <= least_delay_days(150) * 24 * 1.15, "as good as a test of this sensor can be, within 15 %"
    assert least_delay_days(30) > 5, "with the default sensor the 5 days of alarms.md 4 for 0.1 mL/day are out of any test's reach"
    assert found[500, 0.7][1] <= 72 and found[500, 0.0][2] <= 24
