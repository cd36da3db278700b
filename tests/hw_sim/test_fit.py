"""Parts that each number allows and all of them together do not: one sentence with thing, value and bound, and no run."""
from dataclasses import replace

import pytest
from thecal.hw_sim.fit import Parts, flaws
from thecal.hw_sim.params import PARAMS_DIR, ParamError, PlantParams

SHIPPED = [PlantParams.load(head=head, reservoir=vessel, catheter_cm=cm)
           for head in ("reference", "worn") for vessel in ("reference-20ml", "reference-40ml", "r113-20ml") for cm in (1, 80, 200)]


def parts(params, **changed):
    """Of these parameters; `changed`: {field: value} by part."""
    known = {"motor": params.motor, "head": params.head, "vessel": params.reservoir, "catheter": params.catheter, "battery": params.battery,
             "sensors": params.sensors}
    return Parts(**{name: replace(part, **changed.get(name, {})) for name, part in known.items()}, head_name="mine", vessel_name="mine",
                 sensors_name="mine")


@pytest.mark.parametrize("params", SHIPPED)
def test_our_own_parts_fit(params):
    assert list(flaws(parts(params))) == []


@pytest.mark.req("TH-PLANT-06")
@pytest.mark.parametrize("changed, sentence", [
    ({"motor": {"steps_per_s": 999}}, "motor: steps_per_s is 999, a step must take whole microseconds: it must divide 1,000,000"),
    ({"motor": {"driver_min_mv": 3600.0}}, "motor: driver_min_mv is 3600, it must be below the battery's full_mv, 3600"),
    ({"head": {"recoil_angle_deg": 91.0}}, "head mine: recoil_angle_deg is 91, it must not exceed the pitch of 4 rollers, 90 deg"),
    ({"head": {"recoil_ul": 9.0}}, "head mine: recoil_ul is 9, it must be below what a pitch of the rollers moves, 8.75 uL"),
    ({"head": {"recoil_ul": 8.75}}, "recoil_ul is 8.75, it must be below"),
    ({"head": {"volume_per_rev_ul": 5.0, "tube_set_ul": -1.5}}, "tube_set_ul is -1.5, it must be smaller than what a pitch of the rollers moves, 1.25 uL"),
    ({"head": {"no_fill_kpa": 60.0}}, "no_fill_kpa is 60, it must be below full_fill_kpa, 60"),
    ({"head": {"slip_per_kpa": 0.01}}, "slip_per_kpa is 0.01, it must be below 1 over stall_kpa, 0.006667"),
    ({"head": {"volume_per_rev_ul": 18_601.0}}, "volume_per_rev_ul is 18601, it must not exceed what the reservoir holds above its residual, 18600 uL"),
    ({"head": {"full_fill_kpa": 140.0}}, "reservoir mine: its propellant gives 131.8 kPa at 37 C, it must reach the head's full_fill_kpa, 140"),
    ({"vessel": {"residual_ul": 20_000.0}}, "reservoir mine: residual_ul 20000, capacity_ul 20000 and overfill_limit_ul 22000 must rise in this order"),
    ({"vessel": {"overfill_limit_ul": 19_000.0}}, "must rise in this order"),
    ({"vessel": {"initial_ul": 20_001.0}}, "initial_ul is 20001, it must not exceed capacity_ul, 20000"),
    ({"vessel": {"bellows_kpa_ml": 6.0}}, "bellows_kpa_ml is 6, over the whole stroke that makes 111.6 kPa: it must not exceed the 101.3"),
    ({"vessel": {"starved_kpa": 200.0}}, "reservoir mine: starved_kpa is 200, it must be below the head's full_fill_kpa, 60"),
    ({"vessel": {"boiling_point_k": 150.0}}, "kPa above the atmosphere at 37 C, it must stay below the head's stall_kpa, 150"),
    ({"vessel": {"boiling_point_k": 400.0}}, "kPa at 37 C, it must reach the head's full_fill_kpa, 60"),
    ({"battery": {"brown_out_mv": 4000.0}}, "battery: brown_out_mv is 4000, it must be below full_mv, 3600: no controller would ever run"),
    ({"battery": {"knee_mv": 3501.0}}, "plateau_slope_mv 100 and knee_mv 3501 are together 3601, they must not exceed full_mv, 3600"),
    ({"sensors": {"encoder_counts": 16, "encoder_jitter": 8}}, "sensors mine: encoder_jitter is 8, either way it must stay within a turn of encoder_counts, 16"),
    ({"sensors": {"temperature_quantum_c": 0.3}}, "temperature_quantum_c is 0.3, a degree must be whole counts"),
    ({"sensors": {"temperature_quantum_c": 4.0}}, "temperature_quantum_c is 4, a degree must be whole counts"),
    ({"sensors": {"temperature_quantum_c": 0.0005}}, "temperature_quantum_c is 0.0005, 16 bits of it must reach 45 C"),
    ({"sensors": {"level_quantum_ul": 0.1}}, "level_quantum_ul is 0.1, 16 bits of it must reach the 22000 uL of an overfilled reservoir"),
    ({"sensors": {"inlet_quantum_kpa": 0.001}}, "inlet_quantum_kpa is 0.001, 16 bits of it must reach the"),
    ({"catheter": {"bore_ul_cm": 100.0, "length_cm": 200.0}}, "catheter: from head to tip it holds 20199 uL, it must be less than the reservoir does above"),
    ({"catheter": {"bore_ul_cm": 0.4}}, "catheter: bore_ul_cm is 0.4, with its length, viscosity and compliance an open line empties in"),
])
def test_what_cannot_be_is_one_sentence(changed, sentence):
    said = list(flaws(parts(PlantParams.load(), **changed)))
    assert len(said) >= 1 and sentence in said[0] and "\n" not in said[0], said


@pytest.mark.req("TH-PLANT-06")
def test_the_loader_refuses_them(tmp_path):
    source = (PARAMS_DIR / "battery-reference.toml").read_text(encoding="utf-8")
    (tmp_path / "battery-reference.toml").write_text(source.replace("value = 1800.0", "value = 4000.0"), encoding="utf-8")
    with pytest.raises(ParamError, match="^battery: brown_out_mv is 4000, it must be below full_mv, 3600"):
        PlantParams.load(beside=tmp_path)
