"""Pairing as a user does it by hand: `thecal-sim serve --magnet` in one process, `thecal pair`, `keys`, `status` in others, over TCP and over a pty.

Each refusal is one sentence and its exit status; no key is ever shown.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow       # every command is a process of its own

SIM = [sys.executable, "-c", "from thecal.hw_sim.cli import main; main()"]
HOST = [sys.executable, "-m", "thecal"]
OTHER_KEY = "ab" * 32


class Bedside:
    """A served pump that keeps its memory, and a programmer with a keys file; both are restarted at will."""

    def __init__(self, folder, way):
        self.folder, self.way = folder, way
        self.keys = folder / "keys.json"
        self.child = None
        self.port = ""

    def serve(self, *words):
        """The pump, with its TCP door always and its pty where that is the way in."""
        self.end()
        pty = ["--pty", str(self.folder / "pump0")] if self.way == "pty" else []
        self.child = subprocess.Popen([*SIM, "serve", "--tcp", "0", *pty, "--runtime", "inprocess", "--scenario", "baclofen",
                                       "--store", str(self.folder / "fram.bin"), *words], stderr=subprocess.PIPE, text=True)
        greeting = self.child.stderr.readline()
        assert "Ctrl-C ends" in greeting, greeting + self.child.stderr.read()
        self.tcp = int(greeting.partition("127.0.0.1:")[2].split()[0].rstrip(";"))
        self.port = str(self.folder / "pump0") if self.way == "pty" else "socket://127.0.0.1:%d" % self.tcp

    def end(self):
        if self.child is not None:
            self.child.send_signal(signal.SIGTERM)
            _, said = self.child.communicate(timeout=30)
            assert self.child.returncode == 130 and said.startswith("line: to the pump "), said
            self.child = None

    def started(self, *words, port=None, key=None):
        env = {**os.environ, "THECAL_KEYS": str(self.keys)}
        env.pop("THECAL_KEY", None)
        if key:
            env["THECAL_KEY"] = key
        return subprocess.Popen([*HOST, "--port", port or self.port, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def thecal(self, *words, **ways):
        """(exit status, stdout, stderr) of a command; whatever it says, it shows no key and no traceback."""
        child = self.started(*words, **ways)
        said, complained = child.communicate(timeout=60)
        assert "Traceback" not in complained and OTHER_KEY[:8] not in said + complained
        for row in self.kept():
            assert row[:12] not in said + complained
        return child.returncode, said, complained

    def kept(self):
        """The secrets of the keys file, however they are laid out there: all long runs of hexadecimal digits."""
        text = self.keys.read_text() if self.keys.exists() else ""
        return [word for word in text.replace('"', " ").split() if len(word) == 64 and not set(word) - set("0123456789abcdef")]

    def access(self, *role):
        code, said, complained = self.thecal(*role, "status", "--json")
        assert code == 0, complained
        return json.loads(said)["access"]


@pytest.fixture(params=["tcp", "pty"])
def bedside(request, tmp_path):
    bedside = Bedside(tmp_path, request.param)
    yield bedside
    bedside.end()


def refused(found, code, *words):
    """One sentence on stderr, nothing on stdout."""
    status, said, complained = found
    assert (status, said) == (code, "") and complained.startswith("thecal: ") and complained.count("\n") == 1, found
    for word in words:
        assert word in complained, complained


def test_pairing_a_lost_key_and_the_way_back(bedside):
    bedside.serve("--magnet", "36000", "--speed", "1")
    found = bedside.access()
    assert (found["role"], found["on_shelf_key"], found["paired"], found["forgeries"]) == ("clinician", True, [], 0)
    assert "no key in" in bedside.thecal("keys", "list")[1]
    code, said, _ = bedside.thecal("pair")
    assert code == 0 and "is paired: new clinician key in" in said and len(bedside.kept()) == 1
    assert bedside.keys.stat().st_mode & 0o777 == 0o600
    code, said, _ = bedside.thecal("pair", "--role", "patient", "--json")
    assert code == 0 and json.loads(said)["paired"] == ["clinician", "patient"]
    rows = json.loads(bedside.thecal("keys", "list", "--json")[1])["keys"]
    assert [(row["role"], row["unproved"]) for row in rows] == [("clinician", False), ("patient", False)]
    found = bedside.access()
    assert not found["on_shelf_key"] and found["paired"] == ["clinician", "patient"]

    # wrong role: a patient may look and do no more
    assert bedside.access("--role", "patient")["role"] == "patient"
    refused(bedside.thecal("--role", "patient", "log"), 1, "this role may not", "clinician, service")
    refused(bedside.thecal("--role", "patient", "stop", "--yes"), 1, "a patient's session sees the pump's status and alarms")

    # wrong key: said before anything is asked for, and no forgery in the pump's books
    refused(bedside.thecal("status", key=OTHER_KEY), 1, "does not have our clinician key", "THECAL_KEY")
    assert bedside.access()["forgeries"] == 0

    # lost key: nothing but the magnet leads back, and the key that was lost is dead from then on
    lost = bedside.folder / "lost.json"
    shutil.copy(bedside.keys, lost)
    serial = rows[0]["serial"]
    assert bedside.thecal("keys", "forget", str(serial))[0] == 0
    refused(bedside.thecal("status"), 1, "there is no clinician key for it", "pair with the magnet")
    assert bedside.thecal("pair")[0] == 0 and bedside.access()["paired"] == ["clinician", "patient"]
    shutil.copy(lost, bedside.keys)
    refused(bedside.thecal("status"), 1, "does not have our clinician key", "pair this programmer with the magnet")


def test_without_the_magnet_nobody_pairs_and_the_key_outlives_a_restart(bedside):
    bedside.serve("--magnet", "36000")
    assert bedside.thecal("pair")[0] == 0
    secret = bedside.kept()
    bedside.serve()
    assert bedside.access()["paired"] == ["clinician"]
    refused(bedside.thecal("pair"), 1, "the pump refused pair: needs the magnet at the pump")
    refused(bedside.thecal("pair", "--role", "service", "--json"), 1, "needs the magnet at the pump")
    assert bedside.kept() == secret and not bedside.access()["on_shelf_key"], "a pairing that was refused costs no key"
    bedside.keys.unlink()
    refused(bedside.thecal("pair"), 1, "needs the magnet at the pump")
    refused(bedside.thecal("emergency", "card"), 1, "needs the magnet at the pump")
    refused(bedside.thecal("status"), 1, "there is no clinician key for it")
    assert bedside.thecal("alarms")[0] == 0, "alarms are for anyone"


def test_two_hosts_at_once(bedside):
    bedside.serve("--magnet", "36000")
    assert bedside.thecal("pair")[0] == 0
    tcp = "socket://127.0.0.1:%d" % bedside.tcp
    with socket.create_connection(("127.0.0.1", bedside.tcp), timeout=10):
        code, said, complained = bedside.thecal("status", port=tcp)
        assert (code, said) == (3, "") and "another programmer has the pump" in complained and complained.count("\n") == 1
        if bedside.way == "pty":
            assert bedside.thecal("status")[0] == 0, "who only holds the other door does not disturb"
    both = [bedside.started("status", port=port) for port in (tcp, bedside.port)]
    ends = [(child.communicate(timeout=60), child.returncode) for child in both]
    for (said, complained), code in ends:     # one is turned away, or both have their turn: the session changes hands
        assert bool(said) == (code == 0) and complained.count("\n") <= (2 if code == 1 else 1), ends      # who is robbed twice told of the first
        assert code in (0, 3) or code == 1 and "another programmer is talking to it; close one of the two" in complained, ends
    assert any(code == 0 for _, code in ends), "who gives up leaves the session to the other"
    assert bedside.access()["paired"] == ["clinician"]
