"""The doctor: what is missing is said with what it costs; nothing is guessed about tools that do not run."""

import subprocess

from thecal.host import doctor


def examine(missing=(), broken=()):
    def version_of(command):
        if command[0] in broken:
            raise subprocess.CalledProcessError(1, command)
        return "version of " + command[0]
    return {f.name: f for f in doctor.examine(lambda name: None if name in missing else name, version_of)}


def test_all_there(monkeypatch):
    monkeypatch.delenv("MICROPYTHON", raising=False)
    found = examine()
    assert list(found)[:2] == ["Python", "pyserial"] and all(found[name].needed for name in ("Python", "pyserial"))
    assert {"crcmod C extension", "micropython", "mpy-cross", "mpremote", "node", "simulator transport", "serial ports"} <= set(found)
    assert found["node"].ok and "version of node" in found["node"].found
    assert found["simulator transport"].ok
    assert found["node"].to_dict()["name"] == "node"


def test_missing_and_broken(monkeypatch):
    monkeypatch.setenv("MICROPYTHON", "/own/micropython")
    monkeypatch.setenv("THECAL_PORT", "sim://")
    found = examine(missing=("/own/micropython", "node"), broken=("mpremote",))
    assert not found["micropython"].ok and "/own/micropython not found" in found["micropython"].found and found["micropython"].advice
    assert not found["node"].ok
    assert not found["mpremote"].ok and "does not run" in found["mpremote"].found
    assert "THECAL_PORT=sim://" in found["serial ports"].found


def test_crcmod_says_which_half_runs():
    assert doctor.crcmod_flavour().split(", ")[1].startswith(("C", "pure Python"))


def test_finding_and_asking_a_real_tool():
    python = doctor.find_tool("python3") or doctor.find_tool("python")
    assert python is not None and doctor.ask_version([python, "--version"]).startswith("Python 3")
    assert doctor.find_tool("no-such-tool-anywhere") is None
    assert doctor.ask_version([python, "-c", "pass"]) == "(says nothing)"
