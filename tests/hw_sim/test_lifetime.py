"""Lives of pumps by refills: the bound of the trim, what learning is worth, and that one witness alone moves nothing far."""

import pytest

from thecal.firmware.trim import MOST
from thecal.hw_sim.lifetime import LESS_LEFT, MORE_LEFT, YEARS, Head, Life, bands, head_of, life, moved, quantile
from thecal.hw_sim.params import PlantParams


def test_the_heads_are_those_of_the_plant():
    head = PlantParams.load("reference").head
    from thecal.hw_sim import lifetime
    assert (lifetime.UL_PER_REV, lifetime.WEAR_REV) == (head.volume_per_rev_ul, head.wear_rev)


def test_a_head_wears_as_it_turns():
    head = Head(1.02, 0.1, 500.0)
    assert head.gain(0) == 1.02 and head.gain(35.0 * 20_000) == pytest.approx(1.02 * (1 - 0.1 * 0.6321), rel=1e-4) and head.gain(1e12) == pytest.approx(1.02 * 0.9)


def test_without_learning_the_error_is_the_heads():
    lived = life(Head(1.03, 0.0, 500.0), 1, False)
    assert lived.errors == pytest.approx([0.03] * len(lived.errors)) and lived.mean == pytest.approx(0.03) and set(lived.trims) == {0}
    assert len(lived.errors) == int(YEARS * 365.25 / 33)


@pytest.mark.req("TH-CAL-01")
@pytest.mark.parametrize("factory", [0.96, 1.04])
def test_a_head_that_is_off_is_learned(factory):
    lived = life(Head(factory, 0.0, 500.0), 1, True)
    assert abs(lived.errors[0]) == pytest.approx(0.04) and max(abs(error) for error in lived.errors[6:]) < 0.015


@pytest.mark.req("TH-CAL-02", "TH-CAL-03")
@pytest.mark.parametrize("failed", ["sensor", "syringe", MORE_LEFT, LESS_LEFT])
def test_no_failure_moves_delivery_beyond_the_bound(failed):
    """Against the same head without learning: the trim's 5 % in force, either way, and not a nanolitre more (what turned more wore more, and gives less)."""
    heads = [head_of(seed) for seed in range(1, 60)]
    bare, lied = ([life(head, seed, learns, failed=failed) for seed, head in enumerate(heads, 1)] for learns in (False, True))
    assert max(abs(trim) for one in lied for trim in one.trims) <= MOST
    least, most = moved(bare, lied)
    assert -MOST / (1000 + MOST) - 1e-4 <= least and most <= MOST / (1000 - MOST)
    if failed == MORE_LEFT:
        assert {one.trims[-1] for one in lied} == {MOST} and least == pytest.approx(-0.04762, abs=1e-4)
    if failed == LESS_LEFT:
        assert {one.trims[-1] for one in lied} == {-MOST} and most == pytest.approx(0.05263, abs=1e-4)


def test_what_a_way_moved_is_the_least_and_the_most_of_any_fill():
    bare, other = [Life([0.5, 1.5], [0.0, 0.1], [0, 0]), Life([0.5], [-0.1], [0])], [Life([0.5, 1.5], [0.02, 0.1], [0, 0]), Life([0.5], [-0.145], [0])]
    assert moved(bare, other) == (pytest.approx(-0.05), pytest.approx(0.02))


@pytest.mark.req("TH-CAL-01")
def test_learning_halves_the_error_of_a_lot():
    errors = [[abs(error) for seed in range(1, 41) for error in life(head_of(seed), seed, learns).errors] for learns in (False, True)]
    assert sum(errors[1]) < 0.5 * sum(errors[0])


def test_quantiles_and_bands():
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0 and quantile([1.0], 0.95) == 1.0 and quantile(range(1, 101), 0.95) == 95
    found = bands([life(Head(1.03, 0.0, 500.0), 1, False)])
    assert len(found) == 14 and all(band[1:] == pytest.approx((3.0, 3.0, 3.0)) for band in found)
