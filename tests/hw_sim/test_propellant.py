"""Vapour pressure against the published table (clinical.md 4)."""
import pytest
from thecal.hw_sim.propellant import vapour_kpa


@pytest.mark.parametrize("boiling_k, heat, warm_c, kpa", [
    (302.4, 26.5, 37, 132), (302.4, 26.5, 38, 136), (302.4, 26.5, 39, 141), (320.7, 27.3, 37, 71.5), (320.7, 27.3, 39, 76.5), (296.9, 25.0, 37, 156)])
def test_propellants_of_the_table(boiling_k, heat, warm_c, kpa):
    assert vapour_kpa(boiling_k, heat, warm_c) == pytest.approx(kpa, abs=0.6)


def test_at_its_boiling_point_it_is_the_atmosphere():
    assert vapour_kpa(302.4, 26.5, 302.4 - 273.15) == pytest.approx(101.3)
