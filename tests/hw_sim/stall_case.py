"""The committed stall scenario as a text to change, and a loader for what becomes of it: for the tests of clinician and scenario_therapy."""

from thecal.hw_sim.scenario import load_scenario
from thecal.hw_sim.scenario_file import FOLDER

STALL = (FOLDER / "stall.toml").read_text(encoding="utf-8").replace('name = "stall"', 'name = "case"', 1)
REFILL = '[[event]]\nat = "%s"\nkind = "refill"\ndrug = "%s"\nvolume = "10 mL"\nconcentration = "%s"\n'


def loaded(tmp_path, text):
    path = tmp_path / "case.toml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path)


def with_events(text):
    return STALL.replace("[[expect]]", text + "\n[[expect]]", 1)
