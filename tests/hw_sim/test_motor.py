"""Trains, the enable one-shot, and the two faults that together are motion without an order."""
import pytest
from thecal.hw_sim.motor import MAX_HOLD_US, Motor
from thecal.hw_sim.params import PlantParams

MS = 1000


@pytest.fixture
def motor():
    return Motor(PlantParams.load().motor)


def test_a_field_takes_the_torque_in_proportion_until_nothing_is_left(motor):
    assert [motor.torque_left(field_t) for field_t in (0.0, 0.005, 0.01, 1.5)] == [1.0, 0.5, 0.0, 0.0]


def test_what_was_not_ordered_is_owed_to_the_fault_that_made_it(motor):
    motor.set_faults(0, driver_stuck_on=True, enable_stuck=False)
    motor.order(MS, 50, 200 * MS)
    assert list(motor.unordered(motor.turn(41 * MS))) == []                     # still as ordered
    assert list(motor.unordered(motor.turn(1000 * MS))) == ["driver_stuck_on"]  # 200 steps until the hold ended
    motor.set_faults(1000 * MS, driver_stuck_on=False, enable_stuck=True)
    motor.order(1000 * MS, 50, 20 * MS)
    assert list(motor.unordered(motor.turn(1010 * MS))) == []
    assert list(motor.unordered(motor.turn(2000 * MS))) == ["enable_stuck"]     # the train went on behind its hold


def test_a_train_takes_a_millisecond_a_step_and_ends_by_itself(motor):
    motor.order(5 * MS, 117, 200 * MS)
    assert motor.turn(5 * MS + 999) == 0
    assert motor.turn(6 * MS) == 1
    assert motor.turn(55 * MS + 500) == 49
    assert motor.span_us(49) == (6 * MS, 55 * MS)
    assert motor.turn(10_000 * MS) == 67
    assert motor.turn(20_000 * MS) == 0
    assert motor.commanded == 117 and motor.pulses == 1


def test_steps_beyond_the_hold_are_lost(motor):
    motor.order(0, 117, 100 * MS)
    assert motor.turn(1_000_000 * MS) == 100
    motor.order(1_000_000 * MS, 10, 100 * MS)
    assert motor.turn(2_000_000 * MS) == 10


def test_drop_enable_stops_now_and_a_new_order_replaces_the_old(motor):
    motor.order(0, 100, 200 * MS)
    assert motor.turn(30 * MS) == 30
    motor.drop_enable(30 * MS)
    assert motor.turn(500 * MS) == 0
    motor.order(500 * MS, 100, 200 * MS)
    motor.turn(510 * MS)
    motor.order(510 * MS, 7, 200 * MS)
    assert motor.turn(5000 * MS) == 7


@pytest.mark.parametrize("steps, hold_us, sentence", [
    (0, 1000, "order of 0 steps"), (65536, 1000, "between 1 and 65535"), (10, -1, "hold of -1 us"),
    (10, MAX_HOLD_US + 1, "between 0 and 500000")])
def test_orders_out_of_range_are_refused(motor, steps, hold_us, sentence):
    with pytest.raises(ValueError, match=sentence):
        motor.order(0, steps, hold_us)
    assert motor.pulses == 0


def test_a_train_against_the_open_switch_turns_nothing_unless_the_switch_is_stuck(motor):
    motor.order(0, 13, 0)
    assert motor.turn(1000 * MS) == 0 and motor.next_edge_us(0) is None and motor.pulses == 0
    motor.set_faults(1000 * MS, driver_stuck_on=False, enable_stuck=True)
    assert motor.turn(2000 * MS) == 0
    motor.order(2000 * MS, 13, 0)
    assert motor.next_edge_us(2000 * MS) == 2001 * MS and motor.turn(3000 * MS) == 13


def test_driver_stuck_on_moves_only_while_enable_is_held(motor):
    motor.set_faults(0, driver_stuck_on=True, enable_stuck=False)
    assert motor.turn(1000 * MS) == 0
    assert motor.next_edge_us(1000 * MS) is None
    motor.order(1000 * MS, 117, 200 * MS)
    assert motor.turn(9000 * MS) == 200      # not 117: the train does not end, the one-shot cuts it
    motor.order(9000 * MS, 117, 500 * MS)
    assert motor.turn(9050 * MS) == 50
    motor.drop_enable(9050 * MS)
    assert motor.turn(99000 * MS) == 0


def test_enable_stuck_alone_turns_nothing_more_than_the_train(motor):
    motor.set_faults(0, driver_stuck_on=False, enable_stuck=True)
    motor.order(0, 117, 50 * MS)
    motor.drop_enable(20 * MS)
    assert motor.next_edge_us(20 * MS) == 21 * MS
    assert motor.turn(117 * MS) == 117
    assert motor.next_edge_us(117 * MS) is None


def test_both_stuck_run_until_one_heals(motor):
    motor.set_faults(3 * MS, driver_stuck_on=True, enable_stuck=True)
    assert motor.next_edge_us(3 * MS) == 4 * MS
    assert motor.next_edge_us(4 * MS) == 5 * MS
    assert motor.next_edge_us(4 * MS + 1) == 5 * MS
    motor.drop_enable(4 * MS)
    assert motor.turn(3_600_003 * MS) == 3_600_000
    motor.order(3_600_003 * MS, 10, 100 * MS)            # an order changes nothing in a runaway ...
    assert motor.turn(3_600_013 * MS) == 10
    assert motor.next_edge_us(3_600_013 * MS) == 3_600_104 * MS     # ... but its lease makes the motion legal until it ends
    motor.set_faults(3_600_013 * MS, driver_stuck_on=True, enable_stuck=False)
    assert motor.turn(4_000_000 * MS) == 90              # the rest of the lease
    motor.set_faults(4_000_000 * MS, driver_stuck_on=False, enable_stuck=False)
    assert motor.turn(5_000_000 * MS) == 0


def test_a_cut_train_does_not_resume_when_the_switch_sticks_later(motor):
    motor.order(0, 117, 50 * MS)
    assert motor.turn(60 * MS) == 50
    motor.set_faults(60 * MS, driver_stuck_on=False, enable_stuck=True)
    assert motor.turn(1000 * MS) == 0 and motor.next_edge_us(1000 * MS) is None


def test_many_small_looks_see_the_same_steps_as_one(motor):
    other = Motor(PlantParams.load().motor)
    motor.order(137, 300, 250_500)
    other.order(137, 300, 250_500)
    assert sum(motor.turn(t) for t in range(137, 400_000, 777)) == other.turn(400_000) == 250
