"""Sessions: who may speak, proved by a key per device and role; what they say, sealed per direction. Sans I/O, both ends.

    host  -> pump   session_open      role, host nonce
    pump  -> host   session_open      device nonce, boot counter, serial, proof of the pump
    host  -> pump   session_confirm   proof of the host
    pump  -> host   session_confirm   sealed by its class: from here on tagged frames only

Both proofs are HMACs under the role's key over one transcript (version, schema, role, serial, boot counter, both nonces), with a
label for each side, so neither can be reflected. Four session keys follow from the same transcript: authentication and
encryption for each direction. Counters rise strictly from 1; nothing but the boot counter has to survive a reset, and no clock is
asked. A frame's class fixes its tag (8 bytes routine, 16 therapy): nothing about it is negotiated, so nothing can be downgraded.
"""

import hashlib

from .frame import COUNTER_BYTES, HEADER, TAG_BYTES, VERSION
from .mac import Mac, crypt, same

CLINICIAN, SERVICE, PATIENT = 1, 2, 3
ROLES = ("", "clinician", "service", "patient")
KEY_BYTES = 32
NONCE_BYTES = 16
PROOF_BYTES = 16
MAX_COUNTER = (1 << 30) - 1         # the shortest frames at 115200 baud use this up in 24 days; then a new session is needed

OPENED, REPEATED, REPLAYED, FORGED = range(4)


def shelf_key(serial, role):
    """The key of a role that was never paired. Public: it proves nothing but that the pump is still on the shelf."""
    return hashlib.sha256(b"thecal shelf key" + serial.to_bytes(4, "little") + bytes((role,))).digest()


def transcript(schema_crc, role, serial, boot_count, host_nonce, device_nonce):
    """The bytes that both proofs and all session keys are made from."""
    return (bytes((VERSION, role)) + schema_crc.to_bytes(4, "little") + serial.to_bytes(4, "little")
            + boot_count.to_bytes(4, "little") + host_nonce + device_nonce)


def proof(role_key, side, said):
    """16 bytes by which `side` (b"host" or b"pump") shows that it knows the key."""
    return Mac(role_key).tag(b"thecal proof of the " + side, said)[:PROOF_BYTES]


class Channel:
    """One direction of a session: seals frames at one end and opens them at the other."""

    def __init__(self, role_key, direction, said):
        self._mac = Mac(Mac(role_key).tag(b"thecal tag " + direction, said))
        self._key = Mac(role_key).tag(b"thecal cipher " + direction, said)
        self.counter = 0                # of the last frame sealed, or opened

    def seal(self, buffer, at, length, message_class):
        """Encrypt the payload of the frame body at buffer[at:] and write counter and tag behind it; False when counters are used up."""
        if self.counter >= MAX_COUNTER:
            return False
        self.counter += 1
        payload = at + HEADER
        crypt(self._key, self.counter, buffer, payload, length)
        counter_at = payload + length
        for shift in range(COUNTER_BYTES):
            buffer[counter_at + shift] = self.counter >> (8 * shift) & 0xFF
        tag_at = counter_at + COUNTER_BYTES
        tag = self._mac.tag(memoryview(buffer)[at:tag_at])
        for index in range(TAG_BYTES[message_class]):
            buffer[tag_at + index] = tag[index]
        return True

    def open(self, buffer, length, message_class):
        """Check a frame body at buffer[0:] and decrypt its payload in place. OPENED, or:

        REPEATED: the very frame opened last (a retry; payload left as it is), REPLAYED: an older counter, FORGED: a wrong tag.
        """
        counter_at = HEADER + length
        counter = 0
        for shift in range(COUNTER_BYTES - 1, -1, -1):
            counter = counter << 8 | buffer[counter_at + shift]
        tag_at = counter_at + COUNTER_BYTES
        tag = self._mac.tag(memoryview(buffer)[:tag_at])
        if not same(tag, buffer, tag_at, TAG_BYTES[message_class]):
            return FORGED
        if counter == self.counter:
            return REPEATED
        if counter < self.counter:
            return REPLAYED
        self.counter = counter
        crypt(self._key, counter, buffer, HEADER, length)
        return OPENED


class Session:
    """Both channels of an open session, as one end sees them."""

    def __init__(self, role, role_key, said, host):
        self.role = role
        to_pump, to_host = Channel(role_key, b"to pump", said), Channel(role_key, b"to host", said)
        self.sending, self.receiving = (to_pump, to_host) if host else (to_host, to_pump)


class PumpHandshake:
    """The pump's half: what `session_open` asked for, kept until `session_confirm` proves the host."""

    def __init__(self, schema_crc, role, role_key, serial, boot_count, host_nonce, device_nonce):
        self._said = transcript(schema_crc, role, serial, boot_count, host_nonce, device_nonce)
        self._role = role
        self._role_key = role_key
        self.proof = proof(role_key, b"pump", self._said)

    def confirm(self, host_proof):
        """The open session, or None for a host that does not know the key."""
        if not same(proof(self._role_key, b"host", self._said), host_proof, 0, PROOF_BYTES):
            return None
        return Session(self._role, self._role_key, self._said, False)
