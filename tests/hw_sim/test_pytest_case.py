"""Which pump a test gets: command line, markers, what each refuses; what a failed test is told. The plugin around it: test_pytest_plugin.py."""

from pathlib import Path

import pytest

from thecal.hw_sim.pytest_case import Case, Choice, ChoiceError, MissingHere, Recent, hazards, marked, opened

STEADY = Path(__file__).parent / "foreign" / "steady"


def marks(*kwargs):
    """Markers, the closest first."""
    return [((), row) for row in kwargs]


def test_without_options_it_is_a_pump_that_delivers():
    assert Choice().options([]) == {"scenario": "baclofen"} and Choice().words() == []


def test_markers_are_stronger_than_options_and_the_closest_is_strongest():
    choice = Choice("sim://?scenario=stall&seed=4", STEADY, "inprocess")
    assert choice.options(marks({"seed": 7}, {"seed": 8, "line": "loss=0.1"})) == {
        "scenario": "stall", "seed": "7", "line": "loss=0.1", "runtime": "inprocess", "firmware": str(STEADY)}
    assert choice.options(marks({"scenario": None, "runtime": "micropython"})) == {"seed": "4", "runtime": "micropython", "firmware": str(STEADY)}
    assert choice.words() == ["--thecal-url=sim://?scenario=stall&seed=4", "--thecal-firmware=%s" % STEADY, "--thecal-runtime=inprocess"]


@pytest.mark.parametrize(("given", "words"), [
    ({"url": "sim://?scenari=x"}, "--thecal-url sim://?scenari=x: unknown option 'scenari'"), ({"url": "sim://?scenario=nonesuch"}, "nonesuch"),
    ({"url": "sim://?store=x.bin"}, "a store file would tie one test to the next"), ({"url": "sim://?seed=-1"}, "seed is '-1': it must be a whole number"),
    ({"url": "sim://?line=loss=2"}, "loss"), ({"runtime": "cpython"}, "the runtime is 'cpython': choose one of micropython, inprocess"),
    ({"url": "sim://?runtime=inprocess", "runtime": "inprocess"}, "both name the runtime"),
    ({"firmware": STEADY.parent}, "there is no pump.py, which defines build(ports)"), ({"firmware": STEADY, "url": "sim://?firmware=x"}, "both name the firmware"),
    ({"firmware": STEADY, "url": "socket://127.0.0.1:1"}, "only a simulated pump takes it, and --thecal-url is socket://127.0.0.1:1"),
    ({"runtime": "inprocess", "url": "/dev/ttyACM0"}, "--thecal-runtime inprocess: only a simulated pump takes it"),
])
def test_an_option_that_cannot_be_is_one_sentence(given, words):
    with pytest.raises(ChoiceError) as caught:
        Choice(**given).check()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_options_that_can_be_pass_and_open_nothing():
    for choice in (Choice("socket://127.0.0.1:1"), Choice("/dev/none"), Choice("sim://?scenario=stall&seed=3", runtime="inprocess"),
                   Choice(firmware=STEADY, runtime="inprocess")):
        choice.check()


@pytest.mark.parametrize(("marks", "words"), [
    ([((), {"scenari": "x"})], "does not take scenari: it takes scenario=..., seed=..., line=..., runtime=..."), ([(("baclofen",), {})], "does not take 'baclofen'")])
def test_a_marker_that_says_something_else_is_refused(marks, words):
    with pytest.raises(ChoiceError, match=words.replace(".", r"\.")):
        marked(marks)


def test_a_world_that_cannot_be_made_is_refused_in_the_ports_words():
    with pytest.raises(ChoiceError, match="seed is 'x': it must be a whole number"):
        opened(Choice(runtime="inprocess"), marks({"seed": "x"}))


def test_a_pump_that_is_there_cannot_be_what_a_marker_wants():
    with pytest.raises(MissingHere, match="the test asks for seed=3, which a simulated pump can be and /dev/ttyACM0 cannot"):
        opened(Choice("/dev/ttyACM0"), marks({"seed": 3}))
    case = opened(Choice("socket://127.0.0.1:1"), [])
    assert case.world is None and case.told("t.py::a") == "pump: socket://127.0.0.1:1, which is really there: its time is its own\nagain: pytest t.py::a --thecal-url=socket://127.0.0.1:1"
    with pytest.raises(ChoiceError, match="--thecal-url: port socket://127.0.0.1:1: nobody listens there"):
        case.pump()
    case.close()        # nothing was opened


def test_a_case_closes_its_world_and_tells_what_happened():
    case = opened(Choice(firmware=STEADY, runtime="inprocess"), marks({"seed": 5}))
    world = case.world
    world.run_until(3600_000_000)
    world.fault("rotor_stall")
    told = case.told("t.py::a")
    assert case.pump() is case.pump()
    case.close()
    assert world.closed
    lines = told.splitlines()
    assert lines[0].startswith("pump: sim://?scenario=baclofen&firmware=") and lines[1] == "runtime inprocess, seed 5"
    assert lines[2].startswith("virtual time 3600.000000 s (day 0.0417), ") and lines[2].endswith("trace " + world.recorder.trace_hash)
    assert lines[-2].split() == ["3600.000000", "s", "fault", "rotor_stall:", "set"] and lines[-1] == "repeat: pytest t.py::a --thecal-firmware=%s --thecal-runtime=inprocess" % STEADY


def test_the_scenarios_own_seed_is_told_where_none_is_given():
    with opened(Choice(runtime="inprocess"), []).world as world:
        assert "seed 1" in Case(Choice(), "sim://?scenario=baclofen", world).told("t")
        assert "seed 1" in Case(Choice(), "sim://", world).told("t")


@pytest.mark.parametrize(("choice", "marks", "patterns", "failure", "words"), [
    (Choice(), [], ["nonesuch"], ChoiceError, "no hazard is called so"), (Choice(), marks({"line": "loss=1"}), [], ChoiceError, "each hazard brings its own therapy"),
    (Choice("/dev/ttyACM0"), [], [], MissingHere, "the ledger plays simulated pumps, and --thecal-url is /dev/ttyACM0"),
    (Choice(), marks({"seed": "x"}), ["rotor-stall@c05"], ChoiceError, "seed is 'x'")])
def test_hazards_that_cannot_be_played_are_one_sentence(choice, marks, patterns, failure, words):
    with pytest.raises(failure, match=words):
        hazards(choice, marks, patterns)


def test_only_the_last_events_are_kept():
    recent = Recent()
    for number in range(30):
        recent.event(number, "pump", "tone", number)
    assert [row[0] for row in recent.last] == list(range(18, 30)) and recent.last[-1] == (29, "pump", "tone", "29")
