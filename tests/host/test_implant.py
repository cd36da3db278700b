"""The implant record: reference values and derived dead volume."""

import pytest

from thecal.host.errors import RequestInvalid
from thecal.host.implant import Implant


def test_the_reference_dead_volume():
    assert Implant().dead_volume_nl == 375_000
    assert Implant.reference(7, catheter="40 cm").dead_volume_nl == 287_000


def test_units_and_bounds():
    made = Implant.reference(7, "60 cm", "40 mL", "2 mL", "clinic +00 000 0000")
    assert made.contact == "clinic +00 000 0000" and Implant().contact == ""
    assert (made.serial, made.catheter_mm, made.capacity_ul, made.residual_ul) == (7, 600, 40_000, 2000)
    for kwargs in ({"reservoir": "1 mL", "residual": "1 mL"}, {"reservoir": "20"}, {"catheter": "80 mL"}, {"residual": "1 nL"}):
        with pytest.raises(RequestInvalid):
            Implant.reference(7, **kwargs)
