"""Keys: for their owner's eyes only, whole or refused, and never shown."""

import json
import os
import stat

import pytest

from thecal.host.errors import KeyProblem, RequestInvalid, UsageProblem
from thecal.host.keystore import Key, Keystore, environment_has_keys, role_number
from thecal.protocol.session import CLINICIAN, PATIENT, SERVICE, shelf_key

OLD, NEW, OTHER = Key(bytes(range(32))), Key(bytes(range(1, 33))), Key(b"\xa5" * 32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "thecal" / "keys.json"


@pytest.fixture(params=["file", "memory"])
def store(request, path):
    return Keystore(path) if request.param == "file" else Keystore.memory()


def test_a_key_is_kept_until_another_is_proved(store):
    assert store.candidates(1001, CLINICIAN) == []
    store.expect(1001, CLINICIAN, OLD)
    assert store.candidates(1001, CLINICIAN) == [OLD] and store.listing() == [(1001, "clinician", True)]
    assert not store.ever_proved(1001, CLINICIAN)
    store.settle(1001, CLINICIAN, OLD)
    store.expect(1001, CLINICIAN, NEW)
    assert store.candidates(1001, CLINICIAN) == [OLD, NEW], "a lost acknowledgement locks nobody out"
    store.expect(1001, CLINICIAN, OTHER)
    assert store.candidates(1001, CLINICIAN) == [OLD, NEW, OTHER], "nor does a second pairing behind it"
    store.drop_pending(1001, CLINICIAN, OTHER)
    assert store.ever_proved(1001, CLINICIAN)
    store.drop_pending(1001, CLINICIAN, NEW)
    assert store.candidates(1001, CLINICIAN) == [OLD] and store.listing() == [(1001, "clinician", False)]
    store.expect(1001, CLINICIAN, NEW)
    store.settle(1001, CLINICIAN, NEW)
    assert store.candidates(1001, CLINICIAN) == [NEW]
    store.expect(7, PATIENT, OTHER)
    store.drop_pending(7, PATIENT, OTHER)
    assert store.listing() == [(1001, "clinician", False)]


def test_pumps_and_roles_are_apart_renamed_and_forgotten(store):
    for serial, role, key in ((1001, CLINICIAN, OLD), (1001, SERVICE, NEW), (0, CLINICIAN, OTHER)):
        store.settle(serial, role, key)
    assert store.listing() == [(0, "clinician", False), (1001, "clinician", False), (1001, "service", False)]
    store.rename(0, 77)
    store.rename(5, 6)
    assert store.listening_key(77, CLINICIAN) == OTHER and store.listening_key(8, PATIENT) == shelf_key(8, PATIENT)
    assert store.candidates(77, CLINICIAN) == [OTHER] and store.candidates(0, CLINICIAN) == []
    assert store.forget(1001) == ["clinician", "service"]
    with pytest.raises(RequestInvalid, match="no key for pump 1001 in "):
        store.forget(1001)
    assert store.listing() == [(77, "clinician", False)]


def test_the_file_is_private_and_another_process_reads_it(path):
    store = Keystore(path)
    store.settle(1001, CLINICIAN, OLD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert Keystore(path).candidates(1001, CLINICIAN) == [OLD]
    assert os.listdir(path.parent) == ["keys.json"], "nothing half-written stays behind"
    assert store.lasting and store.where == str(path)


def test_a_proof_of_what_is_known_writes_nothing(path):
    store = Keystore(path)
    store.settle(1001, CLINICIAN, OLD)
    before = path.stat().st_ino
    store.settle(1001, CLINICIAN, OLD)
    assert path.stat().st_ino == before


def test_a_link_stays_a_link(path, tmp_path):
    Keystore(path).settle(1001, CLINICIAN, OLD)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    Keystore(link).settle(1001, SERVICE, NEW)
    assert link.is_symlink() and len(Keystore(path).listing()) == 2


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644, 0o777])
def test_a_file_open_to_others_is_refused(path, mode):
    store = Keystore(path)
    store.settle(1001, CLINICIAN, OLD)
    path.chmod(mode)
    for use in (lambda: store.candidates(1001, CLINICIAN), lambda: store.settle(1001, SERVICE, NEW), store.listing):
        with pytest.raises(KeyProblem, match=r"keys\.json is open to others \(mode %03o\): chmod 600 it" % mode):
            use()


def test_a_folder_where_others_may_put_another_file_is_refused(path):
    store = Keystore(path)
    store.settle(1001, CLINICIAN, OLD)
    path.parent.chmod(0o777)
    with pytest.raises(KeyProblem, match="others can replace the keys file: folder .* has mode 777; chmod 700 it"):
        store.listing()
    path.parent.chmod(0o1777)
    assert store.listing(), "a sticky folder lets nobody replace what is not his"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(path):
    store = Keystore(path)
    store.settle(1001, CLINICIAN, OLD)
    os.chown(path, 4321, 0)
    with pytest.raises(KeyProblem, match=r"belongs to another user \(uid 4321\)"):
        store.listing()


def kept(**roles):
    return {"schema": "thecal.keys/1", "pumps": {"1001": roles}}


@pytest.mark.parametrize("text, words", [
    ("", "it is not JSON"),
    ('{"schema": "thecal.keys/1", "pumps": {"1001": {"clinician": {"key": "' + bytes(OLD).hex(), "it is not JSON"),
    ("[]", "it is not of schema thecal.keys/1"),
    ('{"schema": "thecal.keys/2", "pumps": {}}', "it is not of schema thecal.keys/1"),
    ('{"schema": "thecal.keys/1", "pumps": {"x": {}}}', "a pump's entry is not one"),
    ('{"schema": "thecal.keys/1", "pumps": {"1001": 3}}', "a pump's entry is not one"),
    (json.dumps(kept(nurse={"key": bytes(OLD).hex()})), "the odd entry of pump 1001 is not one"),
    (json.dumps(kept(clinician={})), "the clinician entry of pump 1001 is not one"),
    (json.dumps(kept(clinician={"key": bytes(OLD).hex(), "more": ""})), "the clinician entry of pump 1001 is not one"),
    (json.dumps(kept(clinician={"key": bytes(OLD).hex()[:-1]})), "the clinician entry of pump 1001: a key is 64 hexadecimal digits"),
    (json.dumps(kept(service={"key": "g" * 64})), "the service entry of pump 1001: a key is 64 hexadecimal digits"),
    (json.dumps(kept(service={"pending": 5})), "a key is 64 hexadecimal digits"),
    ("\x00\xff", "it is not JSON"),
])
def test_a_damaged_file_is_refused_in_one_sentence_without_a_secret(path, text, words):
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    for use in (Keystore(path).listing, lambda: Keystore(path).expect(1001, CLINICIAN, NEW)):
        with pytest.raises(KeyProblem) as caught:
            use()
        said = str(caught.value)
        assert words in said and str(path) in said and "restore it, or remove it and pair again" in said
        assert bytes(OLD).hex()[:8] not in said and "\n" not in said and caught.value.exit_status == 1
    assert path.read_bytes() == text.encode("latin-1"), "a damaged file is not overwritten"


def test_what_is_no_file_or_in_no_folder(tmp_path):
    with pytest.raises(KeyProblem, match="is not a file"):
        Keystore(tmp_path).listing()
    blocker = tmp_path / "blocker"
    blocker.write_text("")
    with pytest.raises(KeyProblem, match="cannot be read: Not a directory"):
        Keystore(blocker / "keys.json").listing()
    with pytest.raises(KeyProblem, match="cannot be written: "):
        Keystore(blocker / "keys.json").expect(1, CLINICIAN, OLD)


def test_the_environment_names_a_file_or_holds_one_key(monkeypatch, path):
    monkeypatch.delenv("THECAL_KEY", raising=False)
    monkeypatch.delenv("THECAL_KEYS", raising=False)
    assert not environment_has_keys() and Keystore.from_environment().where.endswith("/.config/thecal/keys.json")
    monkeypatch.setenv("THECAL_KEYS", str(path))
    assert environment_has_keys() and Keystore.from_environment().where == str(path)
    monkeypatch.setenv("THECAL_KEY", bytes(OLD).hex().upper() + "\n")
    store = Keystore.from_environment()
    assert store.candidates(1, CLINICIAN) == store.candidates(2, PATIENT) == [OLD]
    store.settle(1, CLINICIAN, OLD)
    store.rename(1, 2)
    with pytest.raises(UsageProblem, match="THECAL_KEY is set and would hide the new key"):
        store.expect(1, CLINICIAN, NEW)
    with pytest.raises(UsageProblem, match="THECAL_KEY is set: unset it"):
        store.forget(1)
    assert not path.exists() and store.listing() == []


def test_a_wrong_key_in_the_environment_is_not_shown(monkeypatch):
    monkeypatch.setenv("THECAL_KEY", "5ec2e7" * 9)
    with pytest.raises(KeyProblem, match="environment variable THECAL_KEY: a key is 64 hexadecimal digits, this is not one") as caught:
        Keystore.from_environment()
    assert "5ec2e7" not in str(caught.value)


def test_nothing_that_is_printed_shows_a_key(path, monkeypatch):
    store = Keystore(path)
    store.settle(1001, CLINICIAN, OLD)
    monkeypatch.setenv("THECAL_KEY", bytes(OLD).hex())
    for shown in (repr(store), repr(Keystore.from_environment()), str(OLD), repr(OLD), "%s %r" % (OLD, OLD), f"{OLD}", repr(store._read()), repr(store.listing())):
        assert bytes(OLD).hex()[:8] not in shown and "\\x00\\x01" not in shown
    assert repr(OLD) == "<key>"


def test_roles_by_name():
    assert [role_number(name) for name in ("clinician", "service", "patient")] == [1, 2, 3]
    for wrong in ("", "nurse", "Clinician"):
        with pytest.raises(UsageProblem, match="is none of: clinician, service, patient"):
            role_number(wrong)
