"""Keys and emergencies on the command line: no secret is printed, the magnet is asked for, each has its JSON."""

import json

import pytest
from fake_pump import FakePump

from thecal.host import cli
from thecal.host.keystore import Key, Keystore
from thecal.host.programmer import Programmer
from thecal.host.terminal import Session
from thecal.protocol import catalogue as cat
from thecal.protocol.session import CLINICIAN, PATIENT


@pytest.fixture(autouse=True)
def keys(tmp_path, monkeypatch):
    """The keys file that the environment names."""
    monkeypatch.delenv("THECAL_KEY", raising=False)
    monkeypatch.setenv("THECAL_KEYS", str(tmp_path / "mine" / "keys.json"))
    return Keystore(tmp_path / "mine" / "keys.json")


def run(fake, *args, keys=None):
    def opened(url, timeout_s, **who):
        return Programmer(fake, timeout_s=timeout_s, keys=keys or Keystore.from_environment(), **who)
    return cli.run(args, Session("toy://", open_pump=opened))


def test_pairing_keeps_the_key_and_shows_none(fake, keys, capsys):
    fake.magnet = True
    assert run(fake, "pair") == 0
    said = capsys.readouterr()
    assert said.out == "pump 1001 is paired: new clinician key in %s; roles with a key of their own: clinician\n" % keys.where and said.err == ""
    assert run(fake, "pair", "--role", "patient", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row == {"schema": "thecal.pair/1", "ok": True, "serial": 1001, "role": "patient", "paired": ["clinician", "patient"], "kept_in": keys.where}
    assert keys.candidates(1001, PATIENT) == [fake.keys[PATIENT]]
    assert run(fake, "--role", "service", "pair") == 0 and sorted(fake.keys) == [1, 2, 3]
    assert all(key.hex()[:8] not in said.out + json.dumps(row) for key in fake.keys.values())


def test_pairing_without_the_magnet(fake, keys, capsys):
    assert run(fake, "pair", "--json") == 1
    said = capsys.readouterr()
    assert said.err == "thecal: the pump refused pair: needs the magnet at the pump: hold it there and try again\n" and said.out == ""
    assert keys.listing() == []


def test_a_simulated_pumps_key_ends_with_it(fake, capsys):
    fake.magnet = True
    assert run(fake, "pair", keys=Keystore.memory()) == 0
    assert "this simulated pump ends here and its key with it; set THECAL_KEYS" in capsys.readouterr().err


def test_keys_are_listed_and_forgotten_without_a_secret(keys, capsys):
    assert cli.run(["keys", "list"]) == 0
    assert capsys.readouterr().out == "no key in %s\n" % keys.where
    keys.settle(1001, CLINICIAN, Key(b"\x5e" * 32))
    keys.expect(1001, PATIENT, Key(b"\x5e" * 32))
    assert cli.run(["keys", "list"]) == 0
    out = capsys.readouterr().out
    assert "1001" in out and "clinician" in out and "new key not proved yet" in out and "5e5e" not in out
    assert cli.run(["keys", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "thecal.keys/1", "kept_in": keys.where, "keys": [
        {"serial": 1001, "role": "clinician", "unproved": False}, {"serial": 1001, "role": "patient", "unproved": True}]}
    assert cli.run(["keys", "forget", "1001", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["roles"] == ["clinician", "patient"]
    assert cli.run(["keys", "forget", "1001"]) == 1
    assert "no key for pump 1001" in capsys.readouterr().err
    keys.settle(7, CLINICIAN, Key(b"k" * 32))
    assert cli.run(["keys", "forget", "7"]) == 0
    assert capsys.readouterr().out == "forgot the keys of pump 7: clinician\n"
    assert cli.run(["keys", "forget", "seven"]) == 2


def test_a_keys_file_open_to_others_is_one_sentence(fake, keys, capsys):
    keys.settle(1001, CLINICIAN, Key(b"k" * 32))
    keys._path.chmod(0o644)
    for args in (["keys", "list"], ["keys", "forget", "1001"]):
        assert cli.run(args) == 1
        assert "is open to others (mode 644): chmod 600 it" in capsys.readouterr().err
    assert run(fake, "status") == 1
    assert capsys.readouterr().err.count("\n") == 1
    fake.magnet = True
    assert run(fake, "emergency", "card") == 0, "what needs no key works with a broken file"


def test_a_wrong_key_in_the_environment_is_one_sentence(fake, capsys, monkeypatch):
    monkeypatch.setenv("THECAL_KEY", "abc")
    assert run(fake, "status") == 1
    assert capsys.readouterr().err == "thecal: environment variable THECAL_KEY: a key is 64 hexadecimal digits, this is not one\n"
    monkeypatch.setenv("THECAL_KEY", "ab" * 32)
    assert run(fake, "pair") == 2
    assert "THECAL_KEY is set and would hide the new key" in capsys.readouterr().err
    assert run(fake, "status") == 1
    assert "if you know why, unset THECAL_KEY" in capsys.readouterr().err
    fake.keys[CLINICIAN] = b"\xab" * 32
    assert run(fake, "status", "--json") == 0
    access = json.loads(capsys.readouterr().out)["access"]
    assert access == {"role": "clinician", "on_shelf_key": False, "paired": ["clinician"], "forgeries": 0, "locked_s": 0, "wasted_mj": 0}


def test_the_public_key_is_warned_of_once_on_stderr(fake, capsys):
    assert run(fake, "status") == 0
    said = capsys.readouterr()
    assert said.err == "thecal: pump 1001 is still on its public shelf key: thecal pair\n"
    assert "clinician, on the public shelf key: anybody may do the same; paired: none" in said.out


@pytest.fixture
def treated(fake):
    fake.program, fake.keys = b"some", {CLINICIAN: b"k" * 32}
    return fake


def test_the_card_in_words_and_as_json(treated, capsys):
    treated.magnet = True
    assert run(treated, "emergency", "card") == 0
    out = capsys.readouterr().out
    for words in ("baclofen 500 ug/mL, 150 ug/day", "17.5 mL computed", "before 2026-02-24", "none"):
        assert words in out, words
    assert run(treated, "emergency", "card", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["schema"] == "thecal.card/1" and row["drugs"][0]["name"] == "baclofen" and row["mode"] == "running"


def test_falling_back_and_stopping(treated, capsys):
    treated.magnet = True
    assert run(treated, "emergency", "fallback") == 0
    assert "fallback: the pump delivers 0.15 mL/day and sounds its alarm; it takes its program up again by itself at 2026-01-06 09:00" in \
        capsys.readouterr().out
    assert run(treated, "emergency", "stop", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["schema"], row["ok"], row["action"], row["rate_nl_day"]) == ("thecal.reduce/1", True, "stop", 0)
    assert run(treated, "emergency", "fallback") == 1
    assert "falling back would raise the rate" in capsys.readouterr().err
    assert cat.SESSION_OPEN not in treated.served


@pytest.mark.parametrize("action", ["card", "fallback", "stop"])
def test_an_emergency_without_the_magnet_asks_for_it(treated, capsys, action):
    assert run(treated, "emergency", action) == 1
    assert "needs the magnet at the pump: hold it there and try again" in capsys.readouterr().err and treated.reduction == 0


def test_a_patient_sees_the_status_and_may_no_more(treated, capsys):
    treated.keys = {}
    assert run(treated, "--role", "patient", "status") == 0
    assert "patient, on the public shelf key" in capsys.readouterr().out
    assert run(treated, "--role", "patient", "log") == 1
    assert "this is a patient session, it takes one of: clinician, service" in capsys.readouterr().err
    assert run(treated, "--role", "patient", "stop", "--yes") == 1
    assert run(treated, "--role", "nurse", "status") == 2


def test_alarms_without_a_key_say_that_nothing_proves_them(treated, capsys):
    treated.status_fields = {"alarms": 1 << 16, "latched": 1 << 16}
    assert run(treated, "alarms") == 0
    said = capsys.readouterr()
    assert "emergency suspend" in said.out and "alarms read without a session, so nothing proves that they are the pump's" in said.err
    assert run(treated, "alarms", "--json") == 0
    assert json.loads(capsys.readouterr().out)["sealed"] is False


def test_status_shows_forgeries_and_lockout(treated, keys, capsys):
    keys.settle(1001, CLINICIAN, Key(b"k" * 32))
    treated.program, treated.forgeries = b"", 9
    treated.status_fields = {"locked_s": 61, "wasted_mj": 87_000}
    assert run(treated, "status", "--json") == 0
    access = json.loads(capsys.readouterr().out)["access"]
    assert (access["forgeries"], access["locked_s"], access["wasted_mj"]) == (9, 61, 87_000)
    assert run(treated, "status") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "clinician, own key; paired: clinician; 9 wrong keys or tags since boot; THERAPY LOCKED for 61 s; traffic without a key has cost 87 J" in out


def test_a_locked_pump_tells_its_seconds(fake, capsys):
    fake.locked_s = 42
    assert run(FakePump(fake.clock), "alarms") == 0 and capsys.readouterr()
    assert run(fake, "status") == 1
    assert "locked after wrong keys, for another 42 s" in capsys.readouterr().err
