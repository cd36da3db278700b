"""The host's half of a handshake: what it says first, and that it proves nothing to a pump that has not proved itself. More: test_session.py."""

import pytest
from ends import BOOT_COUNT, DEVICE_NONCE, HOST_NONCE, KEY, SCHEMA, SERIAL, handshakes
from thecal.protocol import session as ss

ROLES = [ss.CLINICIAN, ss.SERVICE, ss.PATIENT]


@pytest.mark.parametrize("role", ROLES)
def test_it_opens_with_role_and_nonce_and_confirms_with_the_hosts_proof(role):
    host, pump = handshakes(role)
    assert host.open_values() == (role, HOST_NONCE) and (host.confirm, host.session) == (b"", None)
    assert host.answer(DEVICE_NONCE, BOOT_COUNT, SERIAL, pump.proof)
    said = ss.transcript(SCHEMA, role, SERIAL, BOOT_COUNT, HOST_NONCE, DEVICE_NONCE)
    assert host.confirm == ss.proof(KEY, b"host", said) and host.session.role == role


@pytest.mark.parametrize("role", ROLES)
def test_a_pump_with_another_key_is_found_out_before_the_host_proves_anything(role):
    host, pump = handshakes(role, pump_key=b"x" * 32)
    assert not host.answer(DEVICE_NONCE, BOOT_COUNT, SERIAL, pump.proof)
    assert host.confirm == b"" and host.session is None
