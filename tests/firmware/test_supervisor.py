"""The second hand: judged from encoder counts and time alone, across the wrap of the angle; enable dropped at once, first cause kept."""

import pytest
from thecal.firmware import limits as li
from thecal.firmware.supervisor import LOST, MOVED, QUIET, UNORDERED, Supervisor

HEADS = [(4096, 4096), (4096, 200), (200, 4096), (1024, 3200)]


class Motor:
    def __init__(self):
        self.drops = 0

    def drop_enable(self):
        self.drops += 1


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


@pytest.mark.parametrize("head", HEADS)
def test_a_pulse_that_turns_is_seen_from_every_angle(head):
    for start in range(0, head[0], max(1, head[0] // 64)):
        rotor = Rotor(*head, start=start)
        for _ in range(200):
            assert rotor.order() == MOVED and not rotor.supervisor.busy
            assert rotor.look(1000) == QUIET
        assert rotor.motor.drops == 0


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


def test_a_stall_is_three_lost_pulses_in_a_row():
    rotor = Rotor()
    for lost in (1, 2):
        assert rotor.order(0) == LOST and rotor.supervisor.lost_in_a_row == lost and not rotor.supervisor.stalled
    assert rotor.order() == MOVED and rotor.supervisor.lost_in_a_row == 0
    for stalled in (False, False, True, True):
        rotor.order(0)
        assert rotor.supervisor.stalled == stalled
    assert rotor.order() == MOVED and not rotor.supervisor.stalled


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
