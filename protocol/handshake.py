"""The host's half of opening a session; the pump's is PumpHandshake of protocol/session.py."""

from .mac import same
from .session import PROOF_BYTES, Session, proof, transcript


class HostHandshake:
    """The host's half. `open_payload()` goes out; `answer(...)` checks the pump; then `confirm` is what goes out and `session` is open."""

    def __init__(self, schema_crc, role, role_key, host_nonce):
        self._schema_crc = schema_crc
        self._role = role
        self._role_key = role_key
        self._host_nonce = host_nonce
        self.confirm = b""
        self.session = None

    def open_values(self):
        """Values of session_open."""
        return self._role, self._host_nonce

    def answer(self, device_nonce, boot_count, serial, pump_proof):
        """True when the pump proved that it knows the key; then `confirm` and `session` are there."""
        said = transcript(self._schema_crc, self._role, serial, boot_count, self._host_nonce, device_nonce)
        if not same(proof(self._role_key, b"pump", said), pump_proof, 0, PROOF_BYTES):
            return False
        self.confirm = proof(self._role_key, b"host", said)
        self.session = Session(self._role, self._role_key, said, True)
        return True
