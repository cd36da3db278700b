"""The second hand: judged from encoder counts and time alone, across the wrap of the angle; enable dropped at once, first cause kept."""

import pytest
from thecal.firmware import limits as li
from thecal.firmware.supervisor import LOST, MOVED, QUIET, UNORDERED, Supervisor

DAY_S = 86_400
HEADS = [(4096, 4096), (4096, 200), (200, 4096), (1024, 3200)]


class Motor:
    def __init__(self):
        self.drops = 0

    def drop_enable(self):
        self.drops += 1

    def order(self, steps, hold_ms):
        self.ordered = steps, hold_ms


class Rotor:
    """A supervisor and the angle it looks at."""

    def __init__(self, counts=4096, steps=4096, start=0):
        self.motor = Motor()
        self.supervisor = Supervisor(self.motor)
        self.counts, self.steps, self.turned = counts, steps, start
        self.pulse = max(2, 117 * steps // 4096)
        self.supervisor.commission(counts, steps, self.pulse + 1)
        assert self.look(0) == QUIET

    def look(self, elapsed_ms, turn=0):
        self.turned += turn
        return self.supervisor.look(self.turned % self.counts, elapsed_ms)

    def order(self, share=1.0):
        """One lease in which the rotor turns by `share` of what was ordered."""
        self.supervisor.lease(self.pulse, 150)
        expected = self.pulse * self.counts // self.steps
        assert self.look(100, round(expected * share)) == QUIET and self.supervisor.busy
        return self.look(50)


@pytest.mark.req("TH-SUP-01")
@pytest.mark.parametrize("head", HEADS)
def test_a_pulse_that_turns_is_seen_from_every_angle(head):
    for start in range(0, head[0], max(1, head[0] // 64)):
        rotor = Rotor(*head, start=start)
        for _ in range(200):
            assert rotor.order() == MOVED and not rotor.supervisor.busy
            assert rotor.look(1000) == QUIET
        assert rotor.motor.drops == 0


@pytest.mark.req("TH-SUP-01", "TH-ALM-01")
@pytest.mark.parametrize(("share", "outcome"), [(0.0, LOST), (0.3, LOST), (0.6, MOVED), (1.0, MOVED), (1.05, MOVED), (2.0, UNORDERED), (-1.0, LOST)])
def test_what_a_lease_turned_is_judged(share, outcome):
    rotor = Rotor()
    assert rotor.order(share) == outcome
    assert rotor.motor.drops == (outcome == UNORDERED)
    assert rotor.supervisor.seen == round(rotor.pulse * share) and rotor.supervisor.expected == rotor.pulse


def test_a_lease_is_judged_when_it_is_over_and_not_before():
    rotor = Rotor()
    rotor.supervisor.lease(117, 147)
    assert rotor.look(146) == QUIET and rotor.supervisor.busy
    assert rotor.look(1, 117) == MOVED and not rotor.supervisor.busy


@pytest.mark.req("TH-ALM-01", "TH-MODE-08", "TH-RULE-11")
@pytest.mark.parametrize("turn", [li.EDGE_COUNTS + 1, -li.EDGE_COUNTS - 1, 117, 1000, 2047, -2000])
def test_motion_without_a_lease_drops_enable_at_the_first_look(turn):
    rotor = Rotor(start=5)
    assert rotor.look(1, turn) == UNORDERED
    assert rotor.motor.drops == 1 and rotor.supervisor.seen == turn
    assert rotor.look(1) == QUIET
    assert rotor.look(1, turn) == UNORDERED and rotor.motor.drops == 2


def test_noise_is_no_motion_but_a_creeping_rotor_is():
    rotor = Rotor()
    for turn in (3, -5, 4, -2, 8, -8) * 20:
        assert rotor.look(1000, turn) == QUIET
    rotor = Rotor()
    outcomes = [rotor.look(1000, 1) for _ in range(li.EDGE_COUNTS + 1)]
    assert outcomes == [QUIET] * li.EDGE_COUNTS + [UNORDERED]


@pytest.mark.req("TH-ALM-07")
def test_a_stall_is_three_lost_pulses_in_a_row():
    rotor = Rotor()
    for lost in (1, 2):
        assert rotor.order(0) == LOST and rotor.supervisor.lost_in_a_row == lost and not rotor.supervisor.stalled
    assert rotor.order() == MOVED and rotor.supervisor.lost_in_a_row == 0
    for stalled in (False, False, True, True):
        rotor.order(0)
        assert rotor.supervisor.stalled == stalled
    assert rotor.order() == MOVED and not rotor.supervisor.stalled


@pytest.mark.req("TH-ALM-07")
def test_a_stall_is_also_one_lost_pulse_that_is_half_an_hour_old():
    rotor = Rotor()
    rotor.order(0)
    for _ in range(5):
        rotor.look(300_000)
    assert not rotor.supervisor.stalled
    rotor.look(300_000)
    assert rotor.supervisor.stalled
    rotor.order()
    assert not rotor.supervisor.stalled


@pytest.mark.req("TH-SUP-10")
def test_the_second_time_source_follows_drift_and_names_a_jump():
    supervisor = Supervisor(Motor())
    supervisor.clock_set(1000, 0)
    for ticked_s in range(600, 86400 * 30, 600):            # a crystal that gains 0.1 % is followed for ever
        assert supervisor.clock_jump_s(1000 + ticked_s + ticked_s // 1000, ticked_s) == 0
    ticked_s += 600
    supervisor.clock_set(0, ticked_s)
    assert supervisor.clock_jump_s(li.CLOCK_JUMP_S, ticked_s) == 0
    assert supervisor.clock_jump_s(li.CLOCK_JUMP_S + 1, ticked_s) == li.CLOCK_JUMP_S + 1
    assert supervisor.clock_jump_s(li.CLOCK_JUMP_S + 2, ticked_s + 1) == 0, "a jump is said once"
    assert supervisor.clock_jump_s(2, ticked_s + 2) == -li.CLOCK_JUMP_S - 1
    supervisor.clock_set(5, 300)
    assert supervisor.clock_jump_s(6, 301) == 0


@pytest.mark.req("TH-SUP-10")
@pytest.mark.parametrize("step_s", [2, 91, 100, 299])
def test_many_small_jumps_are_a_large_one(step_s):
    """A clock at twice its speed: no single look shows more than a small jump."""
    supervisor = Supervisor(Motor())
    supervisor.clock_set(0, 0)
    said = [supervisor.clock_jump_s(2 * ticked_s, ticked_s) for ticked_s in range(step_s, 20 * 300, step_s)]
    assert li.CLOCK_JUMP_S < next(jump for jump in said if jump) <= li.CLOCK_JUMP_S + step_s


def test_new_constants_take_the_rotor_as_it_stands():
    rotor = Rotor()
    rotor.turned += 1500
    rotor.supervisor.commission(4096, 4096, 118)
    assert rotor.look(1) == QUIET and rotor.motor.drops == 0


def test_a_pulse_of_half_a_turn_cannot_be_judged_and_is_refused():
    with pytest.raises(AssertionError):
        Supervisor(Motor()).commission(4096, 4096, 2048)


# ---------------------------------------------------------------------------------------------------- leases, the probe, the dead encoder
def test_what_is_no_lease_is_refused_and_drops_enable():
    rotor = Rotor()
    assert not rotor.supervisor.lease(rotor.pulse + 2, 150) and rotor.motor.drops == 1 and not rotor.supervisor.busy
    assert rotor.supervisor.lease(rotor.pulse, 150)
    assert not rotor.supervisor.lease(rotor.pulse, 150) and rotor.motor.drops == 2, "one runs already"


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("cuts", [True, False])
def test_the_probe_orders_a_short_train_against_the_open_switch(head, cuts):
    rotor = Rotor(*head)
    rotor.supervisor.probe()
    steps, hold_ms = rotor.motor.ordered
    counts = steps * head[0] // head[1]
    assert hold_ms == 0 and li.EDGE_COUNTS < counts and rotor.supervisor.busy and not rotor.supervisor.proved
    assert not rotor.supervisor.lease(rotor.pulse, 150), "no pulse meanwhile"
    assert rotor.look(steps, 0 if cuts else counts) == QUIET
    assert rotor.look(60) == (QUIET if cuts else UNORDERED)
    assert rotor.supervisor.proved == cuts and not rotor.supervisor.busy
    assert rotor.order() == MOVED, "and life goes on"


def test_still_is_ten_minutes_without_lease_or_motion():
    rotor = Rotor()
    rotor.look(599_000)
    assert not rotor.supervisor.still
    rotor.look(1000)
    assert rotor.supervisor.still
    rotor.look(1, 50)
    assert not rotor.supervisor.still
    for _ in range(3):
        rotor.order()
        rotor.look(599_000)
        assert not rotor.supervisor.still


def test_with_a_dead_encoder_every_pulse_counts_as_turned_and_a_healed_one_is_noticed():
    rotor = Rotor()
    rotor.supervisor.open_loop = True
    for _ in range(5):
        assert rotor.order(0) == MOVED
    assert rotor.supervisor.lost_counts == 0 and rotor.supervisor.ordered_counts == 5 * rotor.pulse and rotor.supervisor.agrees == 0
    for _ in range(3):
        assert rotor.order() == MOVED
    assert rotor.supervisor.agrees == 3
    assert rotor.order(2) == UNORDERED, "too much is too much"


def test_ordered_and_lost_counts_are_those_of_the_leases_and_of_motion_without_one():
    rotor = Rotor()
    rotor.order()
    rotor.order(0)
    rotor.look(1, 500)
    rotor.look(1, -500)
    assert (rotor.supervisor.ordered_counts, rotor.supervisor.lost_counts) == (2 * rotor.pulse + 500, rotor.pulse)
    assert rotor.supervisor.volume_nl(4096) == 35_000 and rotor.supervisor.volume_nl(117) == 117 * 35_000 // 4096
    assert rotor.supervisor.volume_nl(4096 * 3 + 1) == 105_008


# ---------------------------------------------------------------------------------------------------- the committed program
def program(patterns, weekdays=bytes(7)):
    """A block as this hand reads it: something, the weekdays, the number of patterns, the patterns."""
    block = b"editor and drugs" + bytes(weekdays) + bytes([len(patterns)])
    for pattern in patterns:
        block += bytes([len(pattern)])
        for minute, rate in pattern:
            block += minute.to_bytes(2, "little") + rate.to_bytes(4, "little")
    return block, 16


def life(rotor, seconds, rate_nl_day, at_s=0, action=0, share=1.0, told=None):
    """Deliver `rate` in pulses for `seconds`; the program says what it says. Returns the first (over, short) that is not (0, 0)."""
    due_nl = 0.0
    for second in range(0, seconds, 60):
        rotor.supervisor.permit(60, at_s + second, action)
        due_nl += rate_nl_day * 60 / DAY_S
        while due_nl >= 1000:
            due_nl -= 1000
            rotor.order(share)
        found = rotor.supervisor.over(), rotor.supervisor.short()
        if found != (0, 0):
            return found
    return 0, 0


@pytest.mark.parametrize("rate_nl_day", [6000, 500_000, 999_999])
def test_what_the_committed_program_says_is_neither_over_nor_short_for_a_month(rate_nl_day):
    rotor = Rotor()
    rotor.supervisor.load(*program([[(0, rate_nl_day)]]))
    assert life(rotor, (30 if rate_nl_day < 10_000 else 5) * DAY_S, rate_nl_day) == (0, 0)


def test_it_reads_every_step_of_every_weekday_itself():
    days = [[(0, 100_000), (721, 300_000), (1439, 50_000)], [(0, 6000)]]
    supervisor = Rotor().supervisor
    supervisor.load(*program(days, [0, 1, 0, 1, 1, 1, 0]))
    for weekday in range(14):
        for minute in (0, 1, 720, 721, 1438, 1439):
            pattern = days[[0, 1, 0, 1, 1, 1, 0][weekday % 7]]
            expected = [rate for start, rate in pattern if start <= minute][-1]
            assert supervisor._rate_at(weekday * DAY_S + minute * 60 + 59) == expected
    assert supervisor._most_daily_nl == (721 * 100_000 + 718 * 300_000 + 50_000) // 1440 + 1


@pytest.mark.parametrize(("rate_nl_day", "within_s"), [(1_000_000, 1200), (600_000, 7200), (520_000, 5 * 7200)])
def test_more_than_the_committed_program_is_found_within_pulses_in_whatever_window(rate_nl_day, within_s):
    rotor = Rotor()
    rotor.supervisor.load(*program([[(0, 500_000)]]))
    assert life(rotor, DAY_S, 500_000) == (0, 0)
    over_nl, _ = life(rotor, within_s, rate_nl_day)
    assert 3000 < over_nl <= 4100


def test_extras_are_allowed_to_their_volume_beside_the_program_or_instead_of_it():
    for instead, rate in ((False, 24_500_000), (True, 24_000_000)):
        rotor = Rotor()
        rotor.supervisor.load(*program([[(0, 500_000)]]))
        rotor.supervisor.allow(100_000, instead)
        assert life(rotor, 360, rate) == (0, 0)
        rotor.supervisor.allow(0)
        assert life(rotor, 2 * DAY_S, 500_000) == (0, 0)
        rotor.supervisor.allow(100_000, instead)
        assert life(rotor, 600, rate)[0] > 3000, "and not a pulse more than the margin"
    rotor = Rotor()
    rotor.supervisor.load(*program([[(0, 500_000)]]))
    rotor.supervisor.allow(375_000, True)
    assert life(rotor, 2 * DAY_S, 150_000) == (0, 0), "a slow bridge is not short of the new program"


def test_each_action_allows_what_it_is():
    rotor = Rotor()
    rotor.supervisor.load(*program([[(0, 100_000), (720, 900_000)]]))
    assert rotor.supervisor.take(rotor.supervisor.keep(250_000, 6000, 0))
    for action, rate in ((2, 500_000), (3, 250_000), (4, 6000)):
        assert life(rotor, 2 * DAY_S, rate, action=action) == (0, 0)
        assert life(rotor, DAY_S, rate + 300_000, action=action)[0] > 3000


@pytest.mark.parametrize(("share", "stalled_h", "found"), [(0.0, 4, False), (0.0, 6, True)])
def test_a_fifth_of_a_day_that_did_not_turn_is_short(share, stalled_h, found):
    rotor = Rotor()
    rotor.supervisor.load(*program([[(0, 500_000)]]))
    assert life(rotor, DAY_S, 500_000) == (0, 0)
    _, short_nl = life(rotor, stalled_h * 3600, 500_000, share=share)
    assert (short_nl > 100_000) == found
    if not found:
        assert life(rotor, 3 * DAY_S, 500_000) == (0, 0), "and it is forgotten a day later"


def test_a_controller_that_orders_nothing_is_short_too():
    rotor = Rotor()
    rotor.supervisor.load(*program([[(0, 500_000)]]))
    assert life(rotor, DAY_S, 0)[1] > 100_000


def test_every_second_pulse_lost_is_short_within_half_a_day():
    rotor = Rotor()
    rotor.supervisor.load(*program([[(0, 500_000)]]))
    for half in range(24):
        if life(rotor, 1800, 500_000, share=half % 2)[1]:
            break
    assert 6 <= half < 24


# ---------------------------------------------------------------------------------------------------- the copy
def test_the_copy_is_checked_against_its_crc_and_what_this_hand_goes_by():
    supervisor = Rotor().supervisor
    assert not supervisor.copy_whole() and supervisor.safe_state == 1, "without one the safe state is a stop"
    data = supervisor.keep(24_000_000, 48_000, 0)
    assert supervisor.take(data) and supervisor.copy_whole()
    assert (supervisor.fallback_nl_day, supervisor.minimum_nl_day, supervisor.safe_state) == (24_000_000, 48_000, 0)
    for bit in range(8 * len(data)):
        supervisor.take(data)
        supervisor._copy[bit // 8] ^= 1 << bit % 8
        assert not supervisor.copy_whole()
    for name in ("fallback_nl_day", "minimum_nl_day", "safe_state"):
        supervisor.take(data)
        setattr(supervisor, name, getattr(supervisor, name) ^ 1)
        assert not supervisor.copy_whole()
    for lost in (None, b"", data[:-1]):
        assert not supervisor.take(lost) and not supervisor.copy_whole() and supervisor.fallback_nl_day == 0


# ---------------------------------------------------------------------------------------------------- the 24 h through a reset
def reset(rotor, rate_nl_day, outage_s=0, cut=False):
    """Another supervisor, on the same program and what the store kept; `cut`: the reset came in a pulse."""
    kept, again = bytearray(li.MISSING_BYTES), Rotor()
    rotor.supervisor.save(kept)
    again.supervisor.load(*program([[(0, rate_nl_day)]]))
    again.supervisor.restore(kept, outage_s, cut)
    return again


def lossy(rotor, rate_nl_day, hours, one_in, resets=False, from_s=0):
    """Lose one pulse in `one_in` for as long; (hours, nL) of the first `short`. A reset every hour if so."""
    due_nl = count = 0
    for minute in range(hours * 60):
        rotor.supervisor.permit(60, from_s + minute * 60, 0)
        due_nl += rate_nl_day / 1440
        while due_nl >= 1000:
            due_nl -= 1000
            count += 1
            rotor.order(0.0 if count % one_in == 0 else 1.0)
        short_nl = rotor.supervisor.short()
        if short_nl:
            return minute / 60, short_nl
        if resets and minute % 60 == 59:
            rotor = reset(rotor, rate_nl_day)
    return None


@pytest.mark.req("TH-SUP-04", "TH-ALM-10")
@pytest.mark.parametrize("rate_nl_day", [48_000, 500_000, 24_000_000])
def test_what_was_lost_in_24_h_is_found_reset_or_not(rate_nl_day):
    """A third is lost, the bound is a fifth of a day's. Each of the resets rounds by half a 127th of that: less than an hour in fifteen."""
    found = []
    for resets in (False, True):
        for one_in in (3, 7):
            rotor = Rotor()
            rotor.supervisor.load(*program([[(0, rate_nl_day)]]))
            found.append(lossy(rotor, rate_nl_day, 26, one_in, resets))
    assert found[1] is found[3] is None, "a seventh is less than a fifth"
    assert 14 < found[0][0] < 19 and abs(found[0][0] - found[2][0]) < 1 and abs(found[0][1] - found[2][1]) < rate_nl_day // 1000 + 1000


def test_what_is_kept_is_as_old_as_it_is():
    """Six parts of four hours: behind 23 h without power the last hour's losses still count, behind 25 h they do not."""
    rotor = Rotor()
    rotor.supervisor.load(*program([[(0, 1_000_000)]]))
    assert lossy(rotor, 1_000_000, 4, 1) is None                # 4 h of 24 without a pulse
    held_nl = sum(rotor.supervisor._missing)
    for outage_s, left in ((0, 1), (8 * 3600, 1), (19 * 3600, 1), (25 * 3600, 0), (li.MAX_GAP_S, 0)):
        again = reset(rotor, 1_000_000, outage_s)
        assert abs(sum(again.supervisor._missing) - left * held_nl) <= 2 * (203_000 // 127 + 1)
    again = reset(rotor, 1_000_000, 8 * 3600)
    said = lossy(again, 1_000_000, 4, 1, from_s=12 * 3600)
    assert said and 0.7 < said[0] < 0.95, "a fifth of a day's and three pulses are 4.9 h of nothing"
    assert lossy(reset(rotor, 1_000_000, 25 * 3600), 1_000_000, 4, 1) is None


@pytest.mark.req("TH-SUP-13")
@pytest.mark.parametrize("rate_nl_day", [48_000, 100_000, 500_000, 750_000, 2_000_000, 24_000_000])
def test_resets_in_every_pulse_are_found_within_a_fifth_of_a_day(rate_nl_day):
    """Nothing turns, and no round of the sensors ever comes: each boot counts the pulse that it found under way, or what the store tells apart."""
    rotor, pulses = Rotor(), 0
    rotor.supervisor.load(*program([[(0, rate_nl_day)]]))
    while not rotor.supervisor.short():
        rotor = reset(rotor, rate_nl_day, 0, True)
        pulses += 1
    assert pulses * 1000 <= 1.5 * (rate_nl_day // 5 + 4000) and pulses > 3


@pytest.mark.req("TH-SUP-13")
def test_a_reset_in_a_pulse_now_and_then_is_no_loss():
    """Every hour, at 480 uL a day: one pulse in twenty, and the pulses between them turn."""
    rotor = Rotor()
    rotor.supervisor.load(*program([[(0, 480_000)]]))
    for hour in range(48):
        rotor.supervisor.permit(3600, hour * 3600, 0)
        for _ in range(19):
            rotor.order(1.0)
        rotor = reset(rotor, 480_000, 0, True)
        assert rotor.supervisor.short() == 0


def test_the_worst_that_can_be_missing_or_over_fits_a_byte():
    kept = bytearray(li.MISSING_BYTES)
    for rate_nl_day in (0, 6000, 24_000_000):
        supervisor = Rotor().supervisor
        if rate_nl_day:
            supervisor.load(*program([[(0, rate_nl_day)]]))
        for nl in (24_000_000, -24_000_000, 0):
            supervisor._missing[0] = nl
            supervisor.save(kept)
            supervisor.restore(kept, 0, False)
            assert (supervisor.short() > 0) == (nl > 0 and rate_nl_day > 0)
