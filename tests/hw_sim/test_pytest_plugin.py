"""The pytest plugin as its users have it: a folder with a test file, pytest in a process of its own, and the plugin found by its entry point."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
STEADY = Path(__file__).resolve().parent / "foreign" / "steady"
pytestmark = pytest.mark.req("TH-EVID-01")
slow = pytest.mark.slow         # each is a pytest of its own; the daily run has one of a kind

BOTH = """
def test_the_pump_and_its_world(pump, world):
    before = world.truth()["delivered_ul"]
    status = pump.wait(hours=6)
    assert status.mode == "running" and status.rate_nl_day > 0
    assert world.truth()["delivered_ul"] > before and world is pump.port.world
"""
WORLD = """
def test_a_day_of_pulses(world):
    before = world.truth()["delivered_ul"]
    world.run_until(world.now_us + 86_400_000_000)
    assert abs(world.truth()["delivered_ul"] - before - 200) < 3, world.truth()["delivered_ul"]
"""


def run(pytester, text, *options):
    """A user's folder with this one test file; (pytest's result, its whole stdout)."""
    pytester.makepyfile(test_mine=text)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *map(str, options), timeout=120)


@pytest.mark.slow
def test_on_a_simulated_pump_in_process(pytester):
    run(pytester, BOTH, "--thecal-runtime", "inprocess").assert_outcomes(passed=1)


@slow
@pytest.mark.micropython
def test_on_real_micropython_unless_told_otherwise(pytester):
    run(pytester, BOTH + "    assert world.runner.name == 'micropython'\n").assert_outcomes(passed=1)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [pytest.param("inprocess", marks=slow), pytest.param("micropython", marks=pytest.mark.micropython)])
def test_on_somebody_elses_firmware(pytester, runtime):
    """It speaks no protocol: the test that uses `world` alone judges it from outside."""
    run(pytester, WORLD, "--thecal-firmware", STEADY, "--thecal-runtime", runtime).assert_outcomes(passed=1)


@slow
def test_each_test_has_a_world_of_its_own_that_ends_with_it(pytester):
    result = run(pytester, """
        import pytest
        kept = []
        @pytest.mark.parametrize("number", range(3))
        def test_first(world, number):
            assert all(other.closed for other in kept) and world not in kept and world.now_us < 3_600_000_000
            kept.append(world)
            world.run_until(world.now_us + 3_600_000_000)
            world.fault("rotor_stall")
            assert number != 1, "this one fails"
        def test_last(world):
            assert len(kept) == 3 and all(other.closed for other in kept)
        """, "--thecal-runtime=inprocess")
    result.assert_outcomes(passed=3, failed=1)


@slow
def test_the_closest_marker_chooses_scenario_seed_line_and_runtime(pytester):
    run(pytester, """
        import pytest
        pytestmark = pytest.mark.thecal(runtime="inprocess", seed=11)
        class TestIt:
            pytestmark = pytest.mark.thecal(scenario="morphine-m1")
            def test_morphine(self, pump):
                assert [drug["name"] for drug in pump.contents().to_dict()["drugs"]] == ["morphine"]
                assert pump.port.world.runner.name == "inprocess"
            @pytest.mark.thecal(scenario=None)
            def test_the_shelf(self, pump):
                assert pump.status().mode == "shelf"
        @pytest.mark.thecal(line="loss=0.3")
        def test_a_bad_line(pump, world):
            for _ in range(20):
                pump.status()
            assert world.line.counters()["spec"] is not None and pump.line_counts().text()
        """).assert_outcomes(passed=3)


@pytest.mark.slow
def test_a_failure_tells_time_seed_events_and_how_to_repeat_it(pytester):
    result = run(pytester, """
        import pytest
        @pytest.mark.thecal(seed=5)
        def test_it(pump, world):
            pump.wait(hours=2)
            world.power_cut(3)
            assert False
        """, "--thecal-runtime", "inprocess")
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert re.search(r"-+ thecal -+\npump: sim://\?scenario=baclofen&runtime=inprocess&seed=5\nruntime inprocess, seed 5\nvirtual time \d+\.\d{6} s \(day ", text)
    assert re.search(r"last events:\n(.*\n)*.* fault +power cut: 3 s\n", text)
    line = re.search(r"^repeat: (pytest test_mine\.py::test_it --thecal-runtime=inprocess)$", text, re.M)
    again = pytester.runpytest_subprocess("-p", "no:cacheprovider", *line[1].split()[1:])
    traces = [re.search(r"trace (\w{32})", found)[1] for found in (text, again.stdout.str())]
    assert traces[0] == traces[1]


@slow
def test_the_ledger_judges_the_chosen_firmware(pytester):
    """Ours notices a stall; the firmware that never looks does not, and the row says why."""
    text = """
        def test_a_stall(ledger):
            row, = ledger("rotor-stall@c05", jobs=1)
            assert row["fired"] and row["ok"], row["why"]
        """
    run(pytester, text, "--thecal-runtime=inprocess").assert_outcomes(passed=1)
    result = run(pytester, text, "--thecal-runtime=inprocess", "--thecal-firmware", STEADY)
    result.assert_outcomes(failed=1)
    assert "nothing noticed it" in result.stdout.str()


@pytest.mark.slow
@pytest.mark.parametrize(("options", "words"), [
    (["--thecal-url=sim://?scenari=x"], "unknown option 'scenari'"), pytest.param(["--thecal-runtime=fast"], "the runtime is 'fast'", marks=slow),
    pytest.param(["--thecal-firmware=."], "there is no pump.py", marks=slow),
    pytest.param(["--thecal-url=/dev/ttyACM0", "--thecal-firmware=" + str(STEADY)], "only a simulated pump takes it", marks=slow),
    pytest.param(["--thecal-url=sim://?scenario=nonesuch"], "nonesuch", marks=slow),
])
def test_a_bad_option_is_a_usage_error_in_one_sentence(pytester, options, words):
    result = run(pytester, "def test_it(): pass", *options)
    said = [line for line in result.stderr.str().splitlines() if line]
    assert result.ret == pytest.ExitCode.USAGE_ERROR and len(said) == 1 and said[0].startswith("ERROR: ") and words in said[0], said


@slow
def test_a_bad_marker_fails_its_test_in_one_sentence(pytester):
    result = run(pytester, """
        import pytest
        @pytest.mark.thecal("baclofen")
        def test_it(world): pass
        """)
    result.assert_outcomes(errors=1)
    assert "@pytest.mark.thecal does not take 'baclofen': it takes scenario=..." in result.stdout.str() and "Traceback" not in result.stdout.str()


@slow
def test_on_a_live_pump_there_is_no_world_and_what_needs_one_is_skipped(pytester):
    served = subprocess.Popen([sys.executable, "-c", "from thecal.hw_sim.cli import main; main()", "serve", "--tcp", "0", "--speed", "60", "--runtime", "inprocess"],
                              stderr=subprocess.PIPE, text=True)
    try:
        url = re.search(r"socket://[\d.:]+", served.stderr.readline())[0].rstrip(";")
        result = run(pytester, """
            import pytest
            def test_status(pump): assert pump.wait(minutes=2).mode == "running"
            def test_world(pump, world): raise AssertionError("there is none")
            @pytest.mark.thecal(seed=3)
            def test_marked(pump): raise AssertionError("no seed")
            def test_again(pump): assert pump.identity().serial == 1001
            def test_fails(pump): assert pump.status().mode == "stopped"
            """, "--thecal-url", url, "-rs")
        result.assert_outcomes(passed=2, skipped=2, failed=1)
        text = result.stdout.str()
        assert "%s has no world to look into" % url in text and "the test asks for seed=3" in text and "which is really there: its time is its own" in text
    finally:
        served.send_signal(signal.SIGTERM)
        served.communicate(timeout=30)


@pytest.mark.slow
def test_whoever_does_not_use_it_pays_nothing(pytester):
    """Neither host nor simulator nor pyserial is loaded, fixtures of the same name win, and the plugin is there all the same."""
    run(pytester, """
        import sys
        import pytest
        @pytest.fixture
        def pump(): return "mine"
        @pytest.fixture
        def world(): return "mine too"
        def test_it(request, pump, world):
            assert (pump, world) == ("mine", "mine too") and request.config.pluginmanager.hasplugin("thecal")
            loaded = {name for name in sys.modules if name.split(".")[0] in ("thecal", "serial", "crcmod", "plotly", "click", "rich")}
            assert loaded == {"thecal", "thecal.hw_sim", "thecal.hw_sim.pytest_plugin"}
        """).assert_outcomes(passed=1)
