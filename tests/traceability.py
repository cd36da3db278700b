"""Which test proves which requirement: collects `@pytest.mark.req(...)` and the outcomes, for `thecal-sim requirements`.

A run of the whole suite leaves build/requirements.json, a part of it build/requirements-part.json: one run, one file. An id that is no
requirement is an error at collection. Its JUnit file lies beside it (junit.xml, junit-part.xml), and both name the sources by their digest: what
`thecal-sim evidence` takes of a run that was made before is of the very same sources. In CI a whole run fails when a requirement has no passing test; skipped is not passing.
"""

import json
import os
from pathlib import Path

import pytest

from thecal.hw_sim import requirements, versions

WHOLE, PART = "requirements.json", "requirements-part.json"
JUNIT_WHOLE, JUNIT_PART = "junit.xml", "junit-part.xml"


class Traceability:
    """The plugin. `folder`: where the tests are; `out`: where the outcomes go; `wanted`: the requirements."""

    def __init__(self, folder: Path, out: Path, wanted: requirements.Requirements) -> None:
        self.folder, self.out, self.wanted = folder, out, wanted
        self.carried: dict[str, list[str]] = {}
        self.outcomes: dict[str, str] = {}
        self.files: set[Path] = set()
        self.deselected = 0
        self.found: dict = {}       # the matrix of a whole run
        self.whole = False
        self.began = versions.digest()
        self.draft: Path | None = None      # JUnit of this run, where no other place was named for it

    @classmethod
    def of(cls, root: Path) -> "Traceability":
        """For the tests and the build folder of the repository at `root`. A list that is wrong is a usage error of pytest."""
        try:
            return cls(root / "tests", root / "build", requirements.load())
        except requirements.RequirementsError as error:
            raise pytest.UsageError(str(error)) from error

    def keep_junit(self, config: pytest.Config) -> None:
        """Have pytest write a JUnit file, unless the user has named one; call it before pytest looks at its option."""
        if config.option.xmlpath is None:
            self.draft = self.out / ("junit.%d.xml" % os.getpid())
            config.option.xmlpath = str(self.draft)

    @property
    def sources(self) -> str | None:
        """The digest of the sources, None if they have changed since this run began."""
        return self.began if versions.digest() == self.began else None

    @pytest.hookimpl(tryfirst=True)     # before any is deselected
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        wrong = []
        for item in items:
            self.files.add(item.path)
            marks = list(item.iter_markers("req"))
            names = [name for mark in marks for name in mark.args]
            wrong += ["%s carries %r" % (item.nodeid, name) for name in names if name not in self.wanted.ids]
            wrong += ["%s carries a req without an id" % item.nodeid for mark in marks if not mark.args or mark.kwargs]
            self.carried[item.nodeid] = sorted({str(name) for name in names})
        if wrong:
            raise pytest.UsageError("not in hw_sim/requirements.toml: " + "; ".join(wrong))

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.deselected += len(items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = self.outcomes.get(report.nodeid)
        if report.failed or before == "failed":
            self.outcomes[report.nodeid] = "failed"
        elif report.skipped or before == "skipped":
            self.outcomes[report.nodeid] = "skipped"
        elif report.when == "call":
            self.outcomes[report.nodeid] = "passed"

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.config.option.collectonly or not self.outcomes:
            return
        every = set(self.folder.rglob("test_*.py"))
        whole = not self.deselected and every <= self.files and self.outcomes.keys() == self.carried.keys()
        tests = [{"id": name, "requirements": self.carried[name], "outcome": outcome} for name, outcome in self.outcomes.items() if self.carried[name]]
        self.whole = whole
        found = {"schema": requirements.RESULTS_SCHEMA, "whole": whole, "ran": len(self.outcomes), "sources": self.sources, "tests": tests}
        self._write(self.out / (WHOLE if whole else PART), json.dumps(found, indent=1) + "\n")
        if whole:
            self.found = requirements.matrix(self.wanted, found)
            if os.environ.get("CI") and not self.found["ok"] and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_unconfigure(self) -> None:
        """The JUnit file is written by now: it gets its name."""
        if self.draft is not None and self.draft.is_file():
            if self.outcomes:
                self.draft.replace(self.out / (JUNIT_WHOLE if self.whole else JUNIT_PART))
            else:
                self.draft.unlink()     # tests were only listed

    @staticmethod
    def _write(path: Path, text: str) -> None:
        """The old file or the new one, never half of it: another run may be reading."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name("%s.%d" % (path.name, os.getpid()))
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.found:
            missing = ["%s (%s)" % (row["id"], row["state"]) for row in self.found["rows"] if row["state"] != requirements.PASSED]
            terminalreporter.write_line("requirements: %d of %d proved by a passing test%s" % (
                self.found["proved"], self.found["requirements"], "; not proved: " + ", ".join(missing) if missing else ""), red=bool(missing))
