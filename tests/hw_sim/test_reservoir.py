"""Mixing at a fill, what a syringe leaves, overfilling, and the propellant."""
import pytest
from thecal.hw_sim.params import PlantParams
from thecal.hw_sim.reservoir import Reservoir, mixed


@pytest.fixture
def reservoir():
    vessel = Reservoir(PlantParams.load().reservoir)
    vessel.add_drug()
    return vessel


@pytest.mark.req("TH-LIFE-07")
@pytest.mark.parametrize("old, new, expected", [(500.0, 2000.0, 1895.0), (2000.0, 500.0, 605.0), (20000.0, 2000.0, 3260.0)])
def test_residual_mixing_of_the_published_examples(reservoir, old, new, expected):
    reservoir.fill(20000.0, (old,))
    assert reservoir.withdraw() == pytest.approx(18600.0)
    reservoir.fill(18600.0, (new,))
    assert reservoir.conc[0] == pytest.approx(expected)
    assert reservoir.volume_ul == pytest.approx(20000.0)


def test_rinsing_dilutes_the_residual_by_its_share(reservoir):
    reservoir.fill(20000.0, (1000.0,))
    reservoir.withdraw()
    for _ in range(3):
        reservoir.fill(2000.0, (0.0,))
        reservoir.withdraw()
    assert reservoir.conc[0] == pytest.approx(1000.0 * (1.4 / 3.4) ** 3)
    assert reservoir.withdraw() == 0


def test_mixture_keeps_each_drugs_mass():
    assert mixed(3.0, (10.0, 0.0), 1.0, (2.0, 8.0)) == (8.0, 2.0)


def test_overfill_is_refused_or_raises_the_pressure(reservoir):
    calm = reservoir.pressure_kpa(37.0)
    with pytest.raises(ValueError, match="would make 20001 uL, the reservoir holds 20000 uL"):
        reservoir.fill(20001.0, (500.0,))
    with pytest.raises(ValueError, match="bursts above 22000 uL"):
        reservoir.fill(22001.0, (500.0,), overfill=True)
    with pytest.raises(ValueError, match="must be above 0"):
        reservoir.fill(0.0, (500.0,))
    assert reservoir.volume_ul == 0
    reservoir.fill(19000.0, (500.0,))
    normal = reservoir.pressure_kpa(37.0)
    reservoir.fill(2000.0, (500.0,), overfill=True)
    assert reservoir.pressure_kpa(37.0) == pytest.approx(normal + 30.0)
    assert calm < 101.3 < normal        # an empty bellows on its stop starves the head


@pytest.mark.parametrize("temperature_c, kpa", [(37, 132), (38, 136), (39, 141)])
def test_propellant_pressure_of_the_published_table(reservoir, temperature_c, kpa):
    reservoir.fill(10000.0, (0.0,))
    assert reservoir.pressure_kpa(temperature_c) == pytest.approx(kpa, abs=0.6)


def test_put_back_mixes_and_keeps_identity_when_alike(reservoir):
    reservoir.fill(10000.0, (500.0,))
    before = reservoir.conc
    reservoir.put_back(1.0, (500.0,))
    assert reservoir.conc is before and reservoir.volume_ul == 10001.0
    reservoir.put_back(10001.0, (100.0,))
    assert reservoir.conc[0] == pytest.approx(300.0)


def test_a_syringe_takes_what_it_is_told_and_no_more_than_there_is(reservoir):
    reservoir.fill(10_000.0, (500.0,))
    assert reservoir.withdraw(3_000.0) == 3_000.0 and reservoir.volume_ul == 7_000.0
    assert reservoir.withdraw(30_000.0) == 5_600.0 and reservoir.volume_ul == 1_400.0
