"""Primes, bridges and boluses of the oracle: where each ends, and what it adds to or takes from the program."""

import ast
from fractions import Fraction
from pathlib import Path

import pytest
from thecal.hw_sim import oracle_extras
from thecal.hw_sim.oracle import DAY_US, SECOND_US, Oracle

HOUR_US = 3600 * SECOND_US


def oracle(rate=240_000):
    made = Oracle()
    made.program(0, rate)
    return made


def test_it_knows_nobody():
    tree = ast.parse(Path(oracle_extras.__file__).read_text())
    assert {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} <= {"__future__", "collections.abc", "dataclasses", "fractions"}


def test_a_bolus_is_added_to_the_program_and_ends_at_its_volume():
    told = oracle()
    told.bolus(HOUR_US, 20_000, 600)
    assert told.rate_nl_day(HOUR_US) == 240_000 + 20_000 * 144
    assert told.rate_nl_day(HOUR_US + 600 * SECOND_US) == 240_000
    assert told.demanded_nl(DAY_US) == 260_000


@pytest.mark.parametrize("end", [lambda o: o.stopped(HOUR_US + 300 * SECOND_US), lambda o: o.cut(HOUR_US + 300 * SECOND_US),
                                 lambda o: o.outage(HOUR_US + 300 * SECOND_US, 2 * HOUR_US, "reset"), lambda o: o.paused(HOUR_US + 300 * SECOND_US, 60)])
def test_a_bolus_that_is_cut_is_never_resumed(end):
    told, plain = oracle(), oracle()
    told.bolus(HOUR_US, 20_000, 600)
    end(told)
    end(plain)
    assert told.demanded_nl(DAY_US) - plain.demanded_nl(DAY_US) == 10_000



def test_a_bridge_goes_on_by_the_volume_that_is_left():
    told = oracle(96_000)
    told.bridge(0, 96_000, 384_000)              # six hours
    told.paused(HOUR_US, 3600)
    told.outage(3 * HOUR_US, 4 * HOUR_US, "reset")
    assert told.rate_nl_day(8 * HOUR_US - 1) == 384_000 and told.rate_nl_day(8 * HOUR_US) == 96_000
    assert told.demanded_nl(8 * HOUR_US) == 96_000


def test_a_bridge_behind_a_stop_that_nobody_ends_waits_for_ever():
    told = oracle(96_000)
    told.bridge(0, 96_000, 384_000)
    told.stopped(HOUR_US)
    assert told.demanded_nl(30 * DAY_US) == 16_000


def test_a_bridge_restated_gives_what_is_restated():
    told = oracle(96_000)
    told.bridge(0, 96_000, 384_000)
    told.program(HOUR_US, 48_000)
    told.bridge(HOUR_US, 80_000, 384_000)
    assert told.demanded_nl(6 * HOUR_US) == 96_000 and told.rate_nl_day(6 * HOUR_US) == 48_000


def test_a_bolus_on_a_bridge_is_added_to_it():
    told = oracle(96_000)
    told.bridge(0, 96_000, 384_000)
    told.bolus(HOUR_US, 1000, 3600)
    assert told.demanded_nl(2 * HOUR_US) == 2 * 16_000 + 1000
    assert told.rate_nl_day(6 * HOUR_US) == Fraction(96_000)


def test_the_next_prime_ends_the_one_before():
    told = oracle(0)
    told.prime(0, 100_000, 2_400_000)
    told.prime(HOUR_US // 2, 50_000, 2_400_000)
    assert told.demanded_nl(DAY_US) == 50_000 + 50_000


@pytest.mark.parametrize("tell, sentence", [
    (lambda o: o.bolus(0, 1000, 0), "seconds is 0"), (lambda o: o.bridge(0, 1000, 0), "never ends"), (lambda o: o.bolus(0, -1, 60), "volume_nl is -1")])
def test_what_cannot_be_is_refused(tell, sentence):
    with pytest.raises(ValueError, match=sentence):
        tell(Oracle())
