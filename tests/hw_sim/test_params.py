"""The loader's promises: every shipped number has unit, source and mark; every kind of bad file is one clear sentence."""
import shutil
import tomllib
from dataclasses import replace

import pytest
from thecal.hw_sim.params import MARKS, PARAMS_DIR, ParamError, PatientParams, PlantParams
from thecal.hw_sim.propellant import vapour_kpa


def numbers(table, where):
    """Every {value, ...} table below `table`, with its place."""
    for key, entry in table.items():
        if isinstance(entry, dict) and "value" in entry:
            yield "%s %s" % (where, key), entry
        elif isinstance(entry, dict):
            yield from numbers(entry, "%s %s" % (where, key))


def test_every_shipped_number_has_unit_source_and_mark():
    seen = 0
    for path in PARAMS_DIR.glob("*.toml"):
        for where, entry in numbers(tomllib.loads(path.read_text(encoding="utf-8")), path.name):
            assert entry["unit"] and len(entry["source"]) > 5 and entry["confidence"] in MARKS, where
            seen += 1
    assert seen > 90


def test_reference_pump_has_the_published_dead_volume_and_sizes():
    params = PlantParams.load("reference")
    assert params.catheter.dead_ul == pytest.approx(375)
    assert (params.reservoir.capacity_ul, params.reservoir.residual_ul) == (20000, 1400)
    assert params.motor.steps_per_rev / params.head.volume_per_rev_ul == pytest.approx(117.03, abs=0.01)
    assert {"baclofen", "morphine", "ziconotide"} <= set(params.drugs)
    assert params.drugs["ziconotide"].oral is None
    assert params.catheter.resistance_kpa_s_ul * 1e12 == pytest.approx(2.9e11, rel=0.01)


def test_every_drug_of_the_library_has_a_body():
    library = {path.stem for path in (PARAMS_DIR.parent.parent / "host" / "drugs").glob("*.toml")}
    assert set(PlantParams.load().drugs) == library and len(library) == 8


def test_parts_are_chosen_by_name_and_the_catheter_by_length():
    params = PlantParams.load("reference", reservoir="reference-40ml", catheter_cm=50)
    assert params.reservoir.capacity_ul == 40000
    assert params.catheter.dead_ul == pytest.approx(199 + 110)


def test_patient_takes_sigma_and_seed():
    patient = PatientParams.load("adult", sigma=0.6, seed=4)
    assert (patient.sigma, patient.seed) == (0.6, 4)
    assert PatientParams.load().sigma == 0


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(PARAMS_DIR, tmp_path / "params")
    return tmp_path / "params"


@pytest.mark.parametrize("old, new, sentence", [
    ('unit = "uL/rev", ', "", "head-reference.toml: volume_per_rev_ul has no unit"),
    ('value = 35.0, ', "", "volume_per_rev_ul has no value"),
    ('unit = "uL/rev"', 'unit = "mL/rev"', "has unit 'mL/rev', it must be in 'uL/rev'"),
    ("value = 35.0", "value = -35.0", "is -35 uL/rev, it must be above 0"),
    ("value = 35.0", 'value = "35"', "it must be a finite number"),
    ("value = 35.0", "value = nan", "it must be a finite number"),
    ("value = 4,", "value = 4.5,", "rollers is 4.5, it must be a whole number"),
    ('unit = "uL/rev"', 'colour = "red", unit = "uL/rev"', "unknown key 'colour'"),
    ("volume_per_rev_ul =", "volume =", "key 'volume' is not known"),
    ('confidence = "D"}', 'confidence = "sure"}', "has confidence 'sure'"),
    ('body = "head"', 'body = "tail"', "body must be 'head'"),
    ('schema = "thecal.params/1"', "", "schema must be 'thecal.params/1'"),
    ("volume_per_rev_ul = {", "volume_per_rev_ul = {{", "is not TOML"),
    ("volume_per_rev_ul = {value = 35.0", "volume_per_rev_ul = 35.0 #", "must be a table {value, unit, source}, not 35.0"),
])
def test_bad_file_is_refused_in_one_sentence(folder, old, new, sentence):
    path = folder / "head-reference.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ParamError) as refused:
        PlantParams.load(folder=folder)
    assert sentence in str(refused.value) and "\n" not in str(refused.value).split(": is not TOML")[0]


def test_empty_source_missing_key_and_unknown_names_are_refused(folder):
    path = folder / "motor-reference.toml"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("steps_per_s ")), encoding="utf-8")
    with pytest.raises(ParamError, match="motor-reference.toml: steps_per_s is missing"):
        PlantParams.load(folder=folder)
    with pytest.raises(ParamError, match=r"no head is called 'gear' \(known: reference, worn\)"):
        PlantParams.load(head="gear")
    with pytest.raises(ParamError, match="catheter length is 0 cm, it must lie between 1 and 200"):
        PlantParams.load(catheter_cm=0)
    with pytest.raises(ParamError, match="patient sigma is 3"):
        PatientParams.load(sigma=3)


@pytest.mark.req("TH-PLANT-06")
@pytest.mark.parametrize("file, old, new, sentence", [
    ("head-reference", "value = 8.0", "value = 91.0", "head reference: recoil_angle_deg is 91, it must not exceed the pitch of 4 rollers, 90 deg"),
    ("head-reference", "no_fill_kpa = {value = 20.0", "no_fill_kpa = {value = 60.0", "no_fill_kpa is 60, it must be below full_fill_kpa, 60"),
    ("motor-reference", "value = 1000,", "value = 999,", "steps_per_s is 999, a step must take whole microseconds"),
    ("reservoir-reference-20ml", "initial_ul = {value = 0.0", "initial_ul = {value = 30000.0", "initial_ul is 30000, it must not exceed capacity_ul, 20000"),
    ("reservoir-reference-20ml", "value = 1400.0", "value = -1400.0", "residual_ul is -1400 uL, it must be 0 or more"),
    ("catheter-reference", "value = 2.2", "value = 0.0", "bore_ul_cm is 0 uL/cm, it must lie between 0.1 and 100"),
    ("sensors-reference", 'unit = "T", ', "", "reed_t has no unit"),
])
def test_parts_that_cannot_be_built_are_refused(folder, file, old, new, sentence):
    path = folder / (file + ".toml")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ParamError) as refused:
        PlantParams.load(folder=folder)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_a_users_folder_is_looked_in_first_and_holds_nothing_else(tmp_path):
    source = (PARAMS_DIR / "head-reference.toml").read_text(encoding="utf-8")
    (tmp_path / "head-reference.toml").write_text(source.replace("value = 35.0", "value = 28.0"), encoding="utf-8")
    drug = (PARAMS_DIR / "drug-fentanyl.toml").read_text(encoding="utf-8")
    (tmp_path / "drug-newdrug.toml").write_text(drug.replace('name = "fentanyl"', 'name = "newdrug"'), encoding="utf-8")
    params = PlantParams.load("reference", beside=tmp_path)
    assert params.head.volume_per_rev_ul == 28.0 and {"newdrug", "baclofen"} <= set(params.drugs)
    assert PatientParams.load("adult", beside=tmp_path) == PatientParams.load("adult")
    (tmp_path / "haed-mine.toml").write_text(source, encoding="utf-8")
    with pytest.raises(ParamError, match="haed-mine.toml is a parameter file of no body: .* one of motor, head, reservoir"):
        PlantParams.load("reference", beside=tmp_path)


def test_our_other_reservoirs_and_heads_load():
    negative = PlantParams.load("reference", reservoir="r113-20ml").reservoir
    assert vapour_kpa(negative.boiling_point_k, negative.vaporisation_kj_mol, 37.0) == pytest.approx(71.5, abs=0.5)
    worn = PlantParams.load("reference", head="worn").head
    assert replace(worn, wear_share=0.0) == PlantParams.load().head and worn.wear_share == 0.1


def test_drug_file_needs_its_csf_table_and_nothing_else(folder):
    path = folder / "drug-baclofen.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[oral]", "[nasal]"), encoding="utf-8")
    with pytest.raises(ParamError, match="drug-baclofen.toml: key 'nasal' is not known"):
        PlantParams.load(folder=folder)
    path.write_text(text[:text.index("[csf]")], encoding="utf-8")
    with pytest.raises(ParamError, match=r"table \[csf\] is missing"):
        PlantParams.load(folder=folder)
    path.write_text(text[:text.index("[plasma]")], encoding="utf-8")
    with pytest.raises(ParamError, match=r"table \[plasma\] is missing"):
        PlantParams.load(folder=folder)


def test_reservoir_sizes_must_rise(folder):
    path = folder / "reservoir-reference-20ml.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("value = 1400.0", "value = 21000.0"), encoding="utf-8")
    with pytest.raises(ParamError, match="must rise in this order"):
        PlantParams.load(folder=folder)
