"""requirements.lock and pyproject.toml agree, and the lock holds pins and nothing else."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+(; .*)?")


def lock_lines() -> list[str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, Requirement]:
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lock_lines())}


def wanted(extra: str = "dev") -> list[Requirement]:
    """The dependencies of the project and of one of its extras, `thecal[...]` written out."""
    found = [Requirement(text) for text in PROJECT["dependencies"]]
    queue = [Requirement(text) for text in PROJECT["optional-dependencies"][extra]]
    while queue:
        requirement = queue.pop()
        if requirement.name == "thecal":
            queue += [Requirement(text) for name in requirement.extras for text in PROJECT["optional-dependencies"][name]]
        else:
            found.append(requirement)
    return found


def closure() -> set[str]:
    """Names of everything the dev set needs on this machine, by the metadata of what is installed."""
    seen: set[tuple[str, str]] = set()
    queue = [(requirement, "") for requirement in wanted()]
    while queue:
        requirement, extra = queue.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted_extra in ("", *requirement.extras):
            if (name, wanted_extra) not in seen:
                seen.add((name, wanted_extra))
                needs = importlib.metadata.requires(name) or []
                queue += [(Requirement(text), wanted_extra) for text in needs]
    return {name for name, _ in seen}


def test_every_line_is_one_pin_without_an_address():
    for line in lock_lines():
        assert PIN.fullmatch(line), f"requirements.lock: {line!r} is not name==version"
    assert len(pins()) == len(lock_lines()), "requirements.lock names a package twice"


def test_every_requirement_is_pinned_within_its_bounds():
    for requirement in wanted():
        pin = pins().get(canonicalize_name(requirement.name))
        assert pin, f"{requirement.name} stands in pyproject.toml and not in requirements.lock: run 'make lock'"
        version = next(iter(pin.specifier)).version
        assert requirement.specifier.contains(version, prereleases=True), f"the lock has {pin}, pyproject.toml asks {requirement}"
        assert str(requirement.marker) == str(pin.marker), f"{requirement.name} has other markers in the lock"


def test_the_lock_holds_the_whole_dev_set_and_no_more():
    applies = {name for name, pin in pins().items() if pin.marker is None or pin.marker.evaluate()}
    assert applies == closure(), "run 'make lock'"
