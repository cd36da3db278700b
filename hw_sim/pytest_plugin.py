"""pytest with a pump in it: the fixtures `pump`, `world` and `ledger`, for tests of anybody's firmware or scripts against plant, patient and hazards.

    @pytest.mark.thecal(scenario="baclofen", seed=3)
    def test_a_stall_is_seen(pump, world):
        world.fault("rotor_stall")
        assert pump.wait(hours=6).alarms

`pytest --thecal-firmware DIR` runs the same test on another firmware, `--thecal-url socket://127.0.0.1:7777` or `/dev/ttyACM0` on a pump that is there.
Every simulated test has a world of its own, which ends with it (R4). pytest loads this module wherever thecal is installed, so it imports
nothing of thecal until a test or an option asks for it. It stands in hw_sim and not in host because its subject is the world; host's Programmer
comes, as everywhere here, from scenario.py (R2).
"""
from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .pytest_case import Case, Choice
    from .scenario import Programmer
    from .world import World

MARKER = ("thecal(scenario=..., seed=..., line=..., runtime=...): the simulated pump of this test, as the options of a sim:// URL; "
          "stronger than --thecal-url and --thecal-runtime, None leaves one out")
CASE: pytest.StashKey[Case] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The three options."""
    group = parser.getgroup("thecal", "thecal: an intrathecal pump to test against")
    group.addoption("--thecal-url", metavar="URL", help="Pump of the fixtures `pump` and `world`: sim://?scenario=..., socket://host:port, /dev/tty... "
                    "(default: sim://?scenario=baclofen).")
    group.addoption("--thecal-firmware", metavar="DIR", help="Run the pump.py of DIR, which defines build(ports), in the simulated pump.")
    group.addoption("--thecal-runtime", metavar="RUNTIME", help="What the simulated pump's firmware runs on: micropython (default) or inprocess.")


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker. An option that cannot be is a usage error before any test runs."""
    config.addinivalue_line("markers", MARKER)
    if any(config.getoption(name) is not None for name in ("thecal_url", "thecal_firmware", "thecal_runtime")):
        from .pytest_case import ChoiceError
        try:
            _choice(config).check()
        except ChoiceError as error:
            raise pytest.UsageError(str(error)) from error


def _choice(config: pytest.Config) -> Choice:
    from .pytest_case import Choice
    folder = config.getoption("thecal_firmware")
    return Choice(config.getoption("thecal_url"), Path(folder) if folder is not None else None, config.getoption("thecal_runtime"))


@pytest.fixture
def _thecal_case(request: pytest.FixtureRequest) -> Iterator[Case]:
    """What `pump` and `world` share; closed whatever the test does."""
    from .pytest_case import ChoiceError, MissingHere, opened
    marks = [(mark.args, mark.kwargs) for mark in request.node.iter_markers("thecal")]
    try:
        case = opened(_choice(request.config), marks)
    except MissingHere as error:
        pytest.skip(str(error))
    except ChoiceError as error:
        pytest.fail(str(error), pytrace=False)
    request.node.stash[CASE] = case
    try:
        yield case
    finally:
        case.close()


@pytest.fixture
def pump(_thecal_case: Case) -> Programmer:
    """A clinician's programmer (thecal.host.Programmer) on the test's pump: --thecal-url, or a simulated pump of its own."""
    from .pytest_case import ChoiceError
    try:
        return _thecal_case.pump()
    except ChoiceError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def world(_thecal_case: Case) -> World:
    """The world behind the test's pump: truth, faults, time (thecal.hw_sim.world.World). Skips on a pump that is really there."""
    if _thecal_case.world is None:
        pytest.skip("%s has no world to look into: truth and faults are a simulated pump's (sim://)" % _thecal_case.url)
    return _thecal_case.world


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Callable[..., list[dict[str, Any]]]:
    """`ledger("rotor-stall@c05", "mri*")`: rows of the fault ledger (`thecal-sim faults`) on the test's firmware; each has ok and why.

    What a firmware lacks its pump.py declares (LACKS), and such rows have ok None. `jobs=N` processes, all cores unless told.
    """
    def play(*patterns: str, jobs: int | None = None) -> list[dict[str, Any]]:
        from .pytest_case import ChoiceError, MissingHere, hazards
        marks = [(mark.args, mark.kwargs) for mark in request.node.iter_markers("thecal")]
        try:
            return hazards(_choice(request.config), marks, patterns, jobs)
        except MissingHere as error:
            pytest.skip(str(error))
        except ChoiceError as error:
            pytest.fail(str(error), pytrace=False)
    return play


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """A test that failed on a pump says when, on which, what had happened, and how to have it again."""
    outcome = yield
    report = outcome.get_result()
    case = item.stash.get(CASE, None)
    if case is not None and report.failed:
        report.sections.append(("thecal", case.told(item.nodeid)))
