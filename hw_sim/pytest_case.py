"""The pump of one test: chosen by the command line and the test's markers, opened, told about when the test fails, closed (pytest_plugin.py)."""
from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import serial

from .endpoints import seed_of, sim_options, world_of_url
from .impairment import Impairment, LineError
from .recorder import Recorder
from .runner import FirmwareError, RuntimeMissing, StoreInvalid, micropython_command
from .scenario import Programmer, ScenarioError, ThecalError, load_scenario
from .world import RUNTIMES, World

SIM = "sim://"
DEFAULT_SCENARIO = "baclofen"       # commissioned, filled and programmed: a pump that delivers
MARKS = ("scenario", "seed", "line", "runtime")
LAST_EVENTS = 12
Marks = Sequence[tuple[tuple[Any, ...], Mapping[str, Any]]]     # of the markers on a test, the closest first


class ChoiceError(ValueError):
    """An option, a marker or a pump that cannot be had; one sentence."""


class MissingHere(Exception):
    """The test asks for what this pump cannot be; the sentence says so."""


@dataclass(frozen=True)
class Choice:
    """The command line's: --thecal-url, --thecal-firmware, --thecal-runtime; None where not given."""

    url: str | None = None
    firmware: Path | None = None
    runtime: str | None = None

    @property
    def simulated(self) -> bool:
        """Whether every test gets a simulated pump of its own."""
        return self.url is None or self.url.startswith(SIM)

    def words(self) -> list[str]:
        """The options again."""
        given = (("--thecal-url", self.url), ("--thecal-firmware", self.firmware), ("--thecal-runtime", self.runtime))
        return ["%s=%s" % (name, value) for name, value in given if value is not None]

    def check(self) -> None:
        """Raises ChoiceError for an option that is wrong whatever the tests are; no pump is opened."""
        if not self.simulated:
            for name, value in (("--thecal-firmware", self.firmware), ("--thecal-runtime", self.runtime)):
                if value is not None:
                    raise ChoiceError("%s %s: only a simulated pump takes it, and --thecal-url is %s" % (name, value, self.url))
            return
        if self.firmware is not None and not (self.firmware / "pump.py").is_file():
            raise ChoiceError("--thecal-firmware %s: there is no pump.py, which defines build(ports)" % self.firmware)
        options = self.options([])
        if options.get("runtime", RUNTIMES[0]) not in RUNTIMES:
            raise ChoiceError("the runtime is %r: choose one of %s" % (options["runtime"], ", ".join(RUNTIMES)))
        try:
            if "scenario" in options:
                load_scenario(options["scenario"])
            seed = seed_of(options["seed"]) if "seed" in options else 1
            if "line" in options:
                Impairment.parse(options["line"], seed)
            if options.get("runtime", RUNTIMES[0]) == RUNTIMES[0]:
                micropython_command()
        except (ScenarioError, RuntimeMissing, LineError, ValueError) as error:
            raise ChoiceError(str(error)) from error

    def options(self, marks: Marks) -> dict[str, str]:
        """The sim:// options of a test with these markers. Raises ChoiceError for a marker or a URL that names others."""
        try:
            found: dict[str, Any] = sim_options(self.url) if self.url is not None else {"scenario": DEFAULT_SCENARIO}
        except serial.SerialException as error:
            raise ChoiceError("--thecal-url %s" % error) from error
        if "store" in found:
            raise ChoiceError("--thecal-url %s: a store file would tie one test to the next; each has a world of its own" % self.url)
        for name, value in (("firmware", self.firmware), ("runtime", self.runtime)):
            if value is not None and name in found:
                raise ChoiceError("--thecal-%s %s and --thecal-url %s both name the %s" % (name, value, self.url, name))
            if value is not None:
                found[name] = value
        found.update(marked(marks))
        return {name: str(value) for name, value in found.items() if value is not None}


def marked(marks: Marks) -> dict[str, Any]:
    """What the markers ask for, a test's own before its class's and module's. Raises ChoiceError for what a marker does not take."""
    found: dict[str, Any] = {}
    for args, kwargs in marks:
        strange = [repr(value) for value in args] + [name for name in kwargs if name not in MARKS]
        if strange:
            raise ChoiceError("@pytest.mark.thecal does not take %s: it takes %s" % (strange[0], ", ".join(name + "=..." for name in MARKS)))
        found = {**kwargs, **found}
    return found


class Recent(Recorder):
    """Counts and hashes as any recorder, writes nothing, and remembers the last events."""

    def __init__(self) -> None:
        super().__init__(None)
        self.last: deque[tuple[int, str, str, str]] = deque(maxlen=LAST_EVENTS)

    def event(self, t_us: int, source: str, name: str, detail: Any = "") -> None:
        """As Recorder.event."""
        super().event(t_us, source, name, detail)
        self.last.append((t_us, source, name, str(detail)))


class Case:
    """One test's pump. `world` is None for a pump that is really there; `pump()` opens the programmer, once."""

    def __init__(self, choice: Choice, url: str, world: World | None = None, recorder: Recent | None = None) -> None:
        self.url = url
        self.world = world
        self._choice = choice
        self._recorder = recorder or Recent()
        self._pump: Programmer | None = None

    def pump(self) -> Programmer:
        """On the world's line, with keys that end with the test; else on the URL, as a script opens it. Raises ChoiceError where nobody answers."""
        if self._pump is None:
            try:
                self._pump = Programmer(self.world.port(), name=self.url) if self.world is not None else Programmer.open(self.url)
            except ThecalError as error:
                raise ChoiceError("--thecal-url: %s" % error) from error
        return self._pump

    def close(self) -> None:
        """End the world; of a pump that is really there the session and the port."""
        if self.world is not None:
            self.world.close()
        elif self._pump is not None:
            self._pump.close()

    def told(self, node: str) -> str:
        """When a test fails: where virtual time stands, on which pump, what happened last, and the line that repeats it."""
        words = ["pytest", node, *self._choice.words()]
        if self.world is None:
            return "pump: %s, which is really there: its time is its own\nagain: %s" % (self.url, shlex.join(words))
        options, world = sim_options(self.url), self.world
        seed = options.get("seed") or str(load_scenario(options["scenario"]).seed if "scenario" in options else 1)
        lines = ["pump: %s" % self.url, "runtime %s, seed %s" % (options.get("runtime", RUNTIMES[0]), seed),
                 "virtual time %.6f s (day %.4f), %d wakes, %d pulses, trace %s" % (
                     world.now_us / 1e6, world.now_us / 86_400e6, world.wakes, world.pulses, self._recorder.trace_hash)]
        fired = ["%s at %.6f s" % (name, t_us / 1e6) for name, t_us in world.fired.items()]
        lines += ["faults that fired: " + ", ".join(fired)] if fired else []
        lines += ["last events:"] + ["  %14.6f s  %-9s  %s%s" % (t_us / 1e6, source, name, ": " + detail if detail else "")
                                     for t_us, source, name, detail in self._recorder.last]
        return "\n".join([*lines, "repeat: " + shlex.join(words)])


def hazards(choice: Choice, marks: Marks, patterns: Sequence[str], jobs: int | None = None) -> list[dict[str, Any]]:
    """Rows of the fault ledger on the chosen firmware, those whose id a pattern means (cli_faults.chosen), played beside their healthy twins.

    Raises ChoiceError where nothing is meant, for a marker that hazards bring themselves, and where it cannot be played; MissingHere on a real pump.
    """
    from . import cli_faults, faults, ledger
    from .scenario import units
    if not choice.simulated:
        raise MissingHere("the ledger plays simulated pumps, and --thecal-url is %s" % choice.url)
    own = [name for name in ("scenario", "line") if name in marked(marks)]
    if own:
        raise ChoiceError("@pytest.mark.thecal(%s=...) with `ledger`: each hazard brings its own therapy and line" % own[0])
    options = choice.options(marks)
    folder = Path(options["firmware"]) if "firmware" in options else None
    try:
        rows = [row for row in faults.load(units) if cli_faults.chosen(row.id, tuple(patterns))]
        if not rows:
            raise ChoiceError("ledger(%s): no hazard is called so; `thecal-sim faults` lists them" % ", ".join(map(repr, patterns)))
        lacks = cli_faults.declared_lacks(folder) if folder else ()
        bench = ledger.Bench(options.get("runtime", RUNTIMES[0]), folder, seed=seed_of(options.get("seed", "1")), lacks=lacks)
        return ledger.run_rows(rows, bench, jobs=jobs)
    except ChoiceError:
        raise
    except (ScenarioError, RuntimeMissing, FirmwareError, ValueError) as error:
        raise ChoiceError(str(error)) from error


def opened(choice: Choice, marks: Marks) -> Case:
    """The pump of a test with these markers. Raises ChoiceError where it cannot be had, MissingHere where a real pump cannot be what the test asks for."""
    if not choice.simulated:
        wanted = marked(marks)
        if wanted:
            raise MissingHere("the test asks for %s, which a simulated pump can be and %s cannot" % (
                ", ".join("%s=%r" % item for item in wanted.items()), choice.url))
        return Case(choice, str(choice.url))
    url = SIM + "?" + urlencode(choice.options(marks))
    recorder = Recent()
    try:
        return Case(choice, url, world_of_url(url, recorder), recorder)
    except (serial.SerialException, StoreInvalid, FirmwareError) as error:
        raise ChoiceError(str(error)) from error
