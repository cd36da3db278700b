"""The drug library: every shipped figure, and every way a file can be wrong."""

import copy
import tomllib

import pytest

from thecal.host import drug_library, units
from thecal.host.errors import RequestInvalid

LIBRARY = drug_library.load()
GOOD = tomllib.loads((drug_library.FOLDER / "baclofen.toml").read_text())


def test_the_drugs_of_the_reference_are_there():
    assert sorted(LIBRARY) == ["baclofen", "bupivacaine", "clonidine", "fentanyl", "hydromorphone", "morphine", "sufentanil", "ziconotide"]


@pytest.mark.req("TH-PROG-12")
def test_every_entry_names_its_source_and_setting():
    for drug in LIBRARY.values():
        assert all(source.strip() for source in drug.sources.values())
        assert {"non-cancer", "trial"} <= set(drug.settings)
        assert drug.setting().start_min is not None
        for other in drug.mixes_with:
            assert drug.name in LIBRARY[other].mixes_with, "mixing is mutual"


@pytest.mark.req("TH-PROG-12")
@pytest.mark.parametrize("drug, setting, limit, value", [
    ("baclofen", "non-cancer", "dose_soft", "1000 ug/day"),
    ("baclofen", "non-cancer", "dose_hard", "2000 ug/day"),
    ("morphine", "non-cancer", "dose_soft", "15 mg/day"),
    ("morphine", "non-cancer", "dose_hard", "20 mg/day"),
    ("morphine", "non-cancer", "start_hard", "1 mg/day"),
    ("ziconotide", "non-cancer", "dose_hard", "19.2 ug/day"),
    ("ziconotide", "non-cancer", "step_hard", "2.4 ug/day"),
    ("bupivacaine", "non-cancer", "dose_hard", "20 mg/day"),
    ("bupivacaine", "cancer", "dose_hard", "60 mg/day"),
    ("clonidine", "non-cancer", "dose_soft", "600 ug/day"),
    ("clonidine", "non-cancer", "dose_hard", "1000 ug/day"),
])
def test_limits_of_regimens_section_6(drug, setting, limit, value):
    assert getattr(LIBRARY[drug].setting(setting), limit) == units.dose_rate_ng_day(value)


def test_rules_of_regimens_section_6():
    assert LIBRARY["baclofen"].setting("trial").bolus_hard == units.dose_ng("100 ug")
    assert LIBRARY["baclofen"].ptm_allowed == "no" and not LIBRARY["baclofen"].mixes_with
    assert {name for name, drug in LIBRARY.items() if drug.abrupt_stop_dangerous} == {"baclofen", "clonidine"}
    assert LIBRARY["morphine"].concentration_hard_ng_ml == units.concentration_ng_ml("25 mg/mL")
    assert LIBRARY["ziconotide"].first_fill_life_s == units.duration_s("14 d")
    assert {name for name, drug in LIBRARY.items() if drug.ptm_allowed == "no"} == {"baclofen", "ziconotide"}
    assert LIBRARY["clonidine"].ptm_allowed == "mixed", "alone it has none (alarms.md 3)"
    assert (LIBRARY["baclofen"].trial_start, LIBRARY["baclofen"].trial_long_effect_s) == (2, 8 * 3600) and LIBRARY["morphine"].trial_start == 0


def broken(path, value):
    table = copy.deepcopy(GOOD)
    place = table
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return table


@pytest.mark.req("TH-PROG-12")
@pytest.mark.parametrize("path, value, words", [
    (["rules", "colour"], {"value": "red", "source": "x"}, "unknown key 'colour'"),
    (["rules", "in_pump_life"], None, "lacks 'in_pump_life'"),
    (["rules", "abrupt_stop", "value"], "maybe", "'maybe'"),
    (["rules", "ptm_allowed", "value"], False, "wrong type"),
    (["rules", "ptm_allowed", "value"], "perhaps", "none of: yes, mixed, no"),
    (["rules", "hour_share", "value"], "4 %", "outside 4.17 .. 100 %"),
    (["rules", "hour_share", "value"], "101 %", "outside 4.17 .. 100 %"),
    (["rules", "trial_start", "value"], "2", "wrong type"),
    (["version"], 0, "version 0 must be a whole number from 1"),
    (["version"], True, "version True"),
    (["setting", "trial", "dose_hard", "value"], 100, "no unit"),
    (["setting", "trial", "dose_hard", "value"], "100 ug", "unit of dose"),
    (["setting", "trial", "dose_hard", "source"], " ", "has no source"),
    (["setting", "trial", "dose_hard", "source"], None, "lacks 'source'"),
    (["setting", "trial", "dose_hard"], "100 ug/day", "no table"),
    (["setting", "trial", "dose_soft", "value"], "101 ug/day", "dose_soft is above"),
    (["setting", "trial", "dose_max"], {"value": "1 ug/day", "source": "x"}, "unknown key 'dose_max'"),
    (["concentration", "soft", "value"], "3000 ug/mL", "above the hard limit"),
    (["schema"], "thecal.drug/2", "schema"),
    (["dose_unit"], "ug", "is no unit"),
    (["default_setting"], "elsewhere", "elsewhere"),
])
def test_a_wrong_file_is_refused_by_name(path, value, words):
    with pytest.raises(RequestInvalid) as caught:
        drug_library.parse_drug(broken(path, value), "drug file baclofen.toml")
    assert words in str(caught.value)


def test_a_folder_is_loaded_whole_or_refused(tmp_path):
    (tmp_path / "x.toml").write_text("name = ")
    with pytest.raises(RequestInvalid, match="x.toml is not TOML"):
        drug_library.load(tmp_path)
    (tmp_path / "x.toml").write_text((drug_library.FOLDER / "baclofen.toml").read_text())
    with pytest.raises(RequestInvalid, match="x.toml is about 'baclofen'"):
        drug_library.load(tmp_path)


def test_finding_lists_what_there_is():
    assert drug_library.find("baclofen", LIBRARY).name == "baclofen"
    with pytest.raises(RequestInvalid, match="'aspirin' is not in the library; it has: baclofen"):
        drug_library.find("aspirin", LIBRARY)
    with pytest.raises(RequestInvalid, match="setting 'dog'"):
        LIBRARY["baclofen"].setting("dog")


def test_customary_units():
    morphine = LIBRARY["morphine"]
    assert morphine.show_dose(150_000) == "0.15 mg/day"
    assert morphine.show_amount(150_000) == "0.15 mg"
    assert morphine.show_concentration(10**7) == "10 mg/mL"
