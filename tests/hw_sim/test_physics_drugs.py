"""The drugs' rows: their measures find what is known, and every drug of the library is held against something."""
import math

import pytest
from thecal.hw_sim.params import PlantParams
from thecal.hw_sim.physics_drugs import TABLE, drugs, half_life_h, in_blood, in_fluid, levels

HOUR_US = 3_600_000_000


def test_the_half_life_of_one_exponential_is_found():
    assert half_life_h(lambda t_us: 7 * math.exp(-t_us / HOUR_US), (2, 5)) == pytest.approx(math.log(2))


@pytest.mark.req("TH-PLANT-01")
@pytest.mark.parametrize("name", sorted(PlantParams.load().drugs))
def test_each_drug_of_the_library_in_fluid_and_blood(name):
    drug = PlantParams.load().drugs[name]
    rows = [*in_fluid(drug, TABLE[name]), *in_blood(drug, TABLE[name])]
    assert [row for row in rows if not row.ok] == [] and len(rows) == 4
    assert all(0 < row.tolerance < row.reference for row in rows)


@pytest.mark.req("TH-PLANT-01")
def test_levels_through_the_whole_plant():
    assert [row for row in levels() if not row.ok] == []
    assert len(list(drugs())) == 4 * len(TABLE) + 4
