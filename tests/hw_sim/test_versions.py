"""What evidence says it was made with: versions, packages, and a commit with its state, or why there is none."""

import re
import subprocess

import pytest

from thecal.hw_sim import versions
from thecal.protocol import catalogue as cat


def test_all_of_it_is_there():
    found = versions.versions()
    assert found["schema"] == "thecal.versions/1" and found["schema_crc"] == "0x%08x" % cat.schema_crc() and found["python"].startswith("3.")
    assert found["packages"]["pyserial"] and found["packages"]["thecal"] == found["thecal"] and "/" not in "".join(found["packages"])


@pytest.mark.micropython
def test_micropython_says_its_own():
    told, why = versions.micropython()
    assert re.match(r"1\.\d+\.\d+, \w+", told) and why == ""


def test_a_micropython_that_is_missing_or_fails_is_said(monkeypatch):
    monkeypatch.setenv("MICROPYTHON", "no-such-program")
    assert versions.micropython() == (None, "MICROPYTHON=no-such-program is not a program; unset it or point it at a MicroPython unix binary")
    monkeypatch.setattr(versions, "micropython_command", lambda: ["no-such-program"])
    assert versions.micropython() == (None, "no-such-program does not run: No such file or directory")
    monkeypatch.setattr(versions, "micropython_command", lambda: ["false"])
    assert versions.micropython() == (None, "status 1")


def test_the_digest_is_of_the_sources_and_of_nothing_that_is_built(tmp_path):
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware" / "a.py").write_text("1")
    (tmp_path / "Makefile").write_text("x")
    first = versions.digest(tmp_path)
    (tmp_path / "firmware" / "__pycache__").mkdir()
    (tmp_path / "firmware" / "__pycache__" / "a.pyc").write_text("1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b").write_text("1")
    assert versions.digest(tmp_path) == first and len(first) == 64
    (tmp_path / "firmware" / "a.py").write_text("2")
    second = versions.digest(tmp_path)
    (tmp_path / "firmware" / "a.py").rename(tmp_path / "firmware" / "b.py")
    assert len({first, second, versions.digest(tmp_path)}) == 3
    assert versions.sources()["sha256"] == versions.digest()


def test_commit_clean_and_changed(tmp_path):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)
    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "one")
    found = versions.sources(tmp_path)
    assert len(found["commit"]) == 40 and found["clean"] is True and found["changed"] == [] and found["committed_s"] > 1.7e9
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("3")
    found = versions.sources(tmp_path)
    assert found["clean"] is False and found["changed"] == ["a", "b"]


def test_without_a_git_tree_the_reason_stands_there(tmp_path):
    found = versions.sources(tmp_path)
    assert found["commit"] is None and found["clean"] is None and "not a git repository" in found["why"]
