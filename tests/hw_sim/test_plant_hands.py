"""The syringes at both ports: what misses the reservoir, what goes straight into the catheter, and that every nanogram is found again."""
import pytest
from thecal.hw_sim.params import PatientParams, PlantParams
from thecal.hw_sim.plant import Plant

PARAMS, ADULT = PlantParams.load("reference"), PatientParams.load("adult")


@pytest.fixture
def plant():
    return Plant(PARAMS, ADULT)


def test_a_pocket_fill_leaves_the_reservoir_as_it_was(plant):
    plant.fill(2000.0, {"baclofen": 500.0})
    plant.fill(18_000.0, {"baclofen": 2000.0}, into="pocket")
    truth = plant.truth()
    assert (truth["reservoir_ul"], truth["pocket_ul"]) == (2000.0, 18_000.0)
    assert truth["pocket_ng"]["baclofen"] == 36e6 and truth["reservoir_ng_per_ul"]["baclofen"] == 500.0
    assert truth["mass_error"] < 1e-12
    with pytest.raises(ValueError, match="the volume must be above 0"):
        plant.fill(0.0, {}, into="pocket")


def test_an_injection_at_the_access_port_pushes_the_catheters_content_first(plant):
    """0.176 mL at 2000 ug/mL: 352 ug at once (alarms.md 6); what is injected follows, and stays in the catheter."""
    plant.catheter({"baclofen": 2000.0})
    plant.port_injection(176.0, {})
    truth = plant.truth()
    assert truth["tip_ng"]["baclofen"] == pytest.approx(352_000.0, rel=1e-6)
    assert truth["tip_ng_per_ul"]["baclofen"] == pytest.approx(0.0, abs=1e-6) and truth["mass_error"] < 1e-12
    assert truth["port_ul"] == truth["delivered_ul"] == pytest.approx(176.0)


@pytest.mark.parametrize("volume_ul", [0.3, 50.0, 175.9, 1000.0, 20_000.0])
def test_a_port_injection_of_any_volume_delivers_it_and_closes_mass(plant, volume_ul):
    plant.fill(20_000.0, {"baclofen": 500.0})
    plant.catheter({"baclofen": 2000.0})
    plant.port_injection(volume_ul, {"morphine": 1000.0})
    truth = plant.truth()
    old_ul = min(volume_ul, 176.0)
    assert truth["tip_ng"]["baclofen"] == pytest.approx(old_ul * 2000.0, rel=1e-6)
    assert truth["tip_ng"]["morphine"] == pytest.approx((volume_ul - old_ul) * 1000.0, rel=1e-6, abs=1e-3)
    assert truth["reservoir_ul"] == 20_000.0 and truth["mass_error"] < 1e-12
    plant.order(4096, 500_000)
    plant.advance(1_000_000)        # and the line goes on
    assert plant.mass_error() < 1e-12
    with pytest.raises(ValueError, match="port injection of 0 uL"):
        plant.port_injection(0.0, {})
