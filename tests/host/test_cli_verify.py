"""`thecal verify` as a user meets it: what `thecal visit --json` printed, alone and against the pump; status 0, 1 and 2."""

import json
import re

import pytest

from thecal.host import cli
from thecal.host.programmer import Programmer
from thecal.host.terminal import Session


def run(port, *args):
    return cli.run([str(arg) for arg in args], Session(None, open_pump=lambda url, timeout_s, **who: Programmer(port, timeout_s=timeout_s, **who)))


@pytest.fixture
def filed(real, capsys, tmp_path):
    """The report of a first visit, redirected into a file."""
    assert run(real, "--port", "bench://", "commission", "--serial", "1001", "--yes") == 0
    real.inject(18_600)
    capsys.readouterr()
    assert run(real, "--port", "bench://", "visit", "--volume", "18.6 mL", "--drug", "baclofen", "--concentration", "500 ug/mL", "--dose", "150 ug/day",
               "--prime", "both", "--sign", "Dr X", "--yes", "--json") == 0
    path = tmp_path / "visit.json"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path


@pytest.mark.req("TH-LIFE-20")
def test_alone_and_against_the_pump(real, filed, capsys):
    assert run(real, "verify", filed) == 0
    said = capsys.readouterr()
    assert re.search("^ok +contents", said.out, re.M) and "this says that the file is whole, not that somebody signed it" in said.err
    for words in (["--port", "bench://", "verify", filed], ["verify", filed, "--port", "bench://"]):
        assert run(real, *words) == 0
        said = capsys.readouterr()
        assert re.search("^ok +on record", said.out, re.M) and re.search("^ok +running program", said.out, re.M) and "no pump was asked" not in said.err
    assert run(real, "verify", filed, "--port", "bench://", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "thecal.verify/1" and found["ok"] and found["pump_asked"] and found["serial"] == 1001
    assert [check["name"] for check in found["checks"]] == ["contents", "program named", "pump", "on record", "running program"]


@pytest.mark.req("TH-LIFE-20")
def test_a_changed_report_and_a_pump_programmed_since_are_status_1(real, filed, capsys):
    whole = filed.read_text(encoding="utf-8")
    filed.write_text(whole.replace("150 ug/day", "105 ug/day"), encoding="utf-8")
    assert run(real, "verify", filed) == 1
    assert re.search("^NO +contents +CHANGED: they give the digest", capsys.readouterr().out, re.M)
    filed.write_text(whole, encoding="utf-8")
    assert run(real, "--port", "bench://", "wait", "2 d") == 0
    assert run(real, "--port", "bench://", "program", "--drug", "baclofen", "--concentration", "500 ug/mL", "--dose", "165 ug/day", "--yes") == 0
    capsys.readouterr()
    assert run(real, "verify", filed, "--port", "bench://") == 1
    assert re.search("^NO +running program +CHANGED: the pump runs ", capsys.readouterr().out, re.M)


def test_a_report_without_a_signature(real, filed, capsys):
    assert run(real, "--port", "bench://", "report", "--json") == 0
    filed.write_text(capsys.readouterr().out, encoding="utf-8")
    assert run(real, "verify", filed) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err == "thecal: the report carries no signature of its own (`thecal visit` signs): give --port URL to hold its program against the pump's\n"
    assert run(real, "verify", filed, "--port", "bench://") == 0


def test_a_file_that_is_none_is_refused(real, tmp_path, capsys):
    assert run(real, "verify", tmp_path / "none.json") == 2
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    capsys.readouterr()
    assert run(real, "verify", tmp_path / "x.json") == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "is no report: its schema is None" in said.err
