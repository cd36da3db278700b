"""Keys of the roles: the public shelf key until paired, one's own afterwards, old or new after a torn write."""

import pytest
from bare_pump import Bench
from thecal.firmware.keys import KEYS_AT, Keys
from thecal.firmware.ports import PowerCut
from thecal.protocol.session import CLINICIAN, PATIENT, SERVICE, shelf_key

ROLES = (CLINICIAN, SERVICE, PATIENT)


@pytest.fixture
def store():
    return Bench(ready=False).store


def loaded(store):
    keys = Keys(store)
    assert keys.load()
    return keys


def test_a_pump_on_the_shelf_has_only_public_keys(store):
    keys = loaded(store)
    assert keys.paired == 0
    assert [keys.key(role, 1001) for role in ROLES] == [shelf_key(1001, role) for role in ROLES]
    assert len({keys.key(role, serial) for role in ROLES for serial in (1001, 1002)}) == 6


def test_each_role_is_paired_for_itself_and_again(store):
    for number, role in enumerate(ROLES):
        keys = loaded(store)
        keys.pair(role, bytes((number + 1,)) * 32)
    keys.pair(SERVICE, b"s" * 32)
    keys = loaded(store)
    assert keys.paired == 0b111
    assert [keys.key(role, 1001) for role in ROLES] == [b"\1" * 32, b"s" * 32, b"\3" * 32]


@pytest.mark.req("TH-STORE-01")
@pytest.mark.parametrize("torn", [False, True])
def test_a_power_cut_leaves_the_old_key_or_the_new(store, torn):
    loaded(store).pair(CLINICIAN, b"a" * 32)
    store.latch.writes, store.latch.cut_after, store.latch.torn = 0, 0, torn
    with pytest.raises(PowerCut):
        loaded(store).pair(CLINICIAN, b"b" * 32)
    store.latch.cut_after = 0xFFFF
    assert loaded(store).key(CLINICIAN, 1001) == b"a" * 32


def test_a_store_that_refuses_changes_nothing(store, monkeypatch):
    keys = loaded(store)
    keys.pair(CLINICIAN, b"a" * 32)

    def refuse(address, buffer, length):
        raise OSError(5)

    monkeypatch.setattr(store, "write", refuse)
    with pytest.raises(OSError):
        keys.pair(PATIENT, b"p" * 32)
    assert keys.paired == 1
    assert keys.key(PATIENT, 7) == shelf_key(7, PATIENT)
    assert keys.key(CLINICIAN, 7) == b"a" * 32


def test_two_torn_slots_are_said(store):
    loaded(store).pair(CLINICIAN, b"a" * 32)
    loaded(store).pair(CLINICIAN, b"b" * 32)
    for slot in (0, 1):
        store.data[KEYS_AT + slot * 0x100 + 20] ^= 1
    assert not Keys(store).load()
