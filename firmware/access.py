"""Who may speak: handshake, roles, idle close, and a growing lockout behind wrong keys. Therapy never waits for any of it.

A new session replaces the old only when the new host has proved its key, so nobody can end a session by asking for one. While
locked, nobody opens a session and no therapy message is served; reads of an open session go on, and so does delivery.
"""

import hashlib

from ..protocol import catalogue as cat
from ..protocol.frame import TAG_BYTES
from ..protocol.session import NONCE_BYTES, PumpHandshake

IDLE_S = 600            # a session without a frame for this long is closed, and what it staged is dropped
FREE_FORGERIES = 8      # wrong tags or proofs before the first lockout
FIRST_LOCK_S = 60
LONGEST_LOCK_S = 3600


class Access:
    """One line's door. `responder` seals and opens; `ended` is called when a session ends."""

    def __init__(self, app, responder, schema_crc, ended):
        self._app = app
        self._responder = responder
        self._schema_crc = schema_crc
        self._ended = ended
        self._handshake = None
        self._asked = None              # (role, host nonce) of the handshake, so that a repeat gets the same answer
        self._proved = None             # the host's proof that opened the session, likewise
        self._nonces = 0
        self._heard_s = 0
        self._lock_until_s = 0
        self._lock_s = FIRST_LOCK_S
        self.forgeries = 0
        self._free = FREE_FORGERIES

    @property
    def role(self):
        """The role of the open session, 0 for none."""
        session = self._responder.session
        return session.role if session is not None else 0

    def locked_s(self):
        """Seconds until the lockout ends; 0 when there is none."""
        left = self._lock_until_s - self._app.uptime_s
        return left if left > 0 else 0

    def refusal(self, row):
        """0, or why a request of this row may not be served now: R_LOCKED, R_ROLE or R_MAGNET."""
        flags = row[4]
        if TAG_BYTES[row[3]]:
            self._heard_s = self._app.uptime_s      # what anyone may say keeps nobody's session open
        if flags & cat.F_MAGNET and not self._app.ports.magnet.present():
            return cat.R_MAGNET
        if flags & cat.F_ALL and not flags & cat.F_CLINICIAN << (self.role - 1):
            return cat.R_ROLE
        if flags & cat.F_THERAPY and self.locked_s():
            return cat.R_LOCKED
        return 0

    def forged(self):
        """A wrong tag or proof: count it, and lock behind too many, each time for longer. A flood fills no log: locked is locked."""
        self.forgeries += 1
        if self.locked_s():
            return
        self._free -= 1
        if self._free > 0:
            return
        self._free = FREE_FORGERIES
        self._lock_until_s = self._app.uptime_s + self._lock_s
        self._app.log(cat.E_LOCKED, 0, self.forgeries, self._lock_s)
        self._lock_s = min(LONGEST_LOCK_S, self._lock_s * 2)

    def open(self, role, host_nonce):
        """session_open: values of its reply, or None while locked."""
        if self.locked_s():
            return None
        app = self._app
        if self._asked != (role, host_nonce):
            self._asked = (role, host_nonce)
            self._nonce = self._fresh_nonce()
            self._handshake = PumpHandshake(self._schema_crc, role, app.keys.key(role, app.serial), app.serial,
                                            app.settings.boot_count, host_nonce, self._nonce)
        return self._nonce, app.settings.boot_count, app.serial, self._handshake.proof

    def _fresh_nonce(self):
        """16 bytes that never repeat, even from a poor source of chance: boot counter and a count are in it."""
        drawn = bytearray(32)
        self._app.ports.entropy.fill(drawn)
        self._nonces += 1
        made = drawn + self._app.settings.boot_count.to_bytes(4, "little") + self._nonces.to_bytes(4, "little")
        return hashlib.sha256(made + self._app.serial.to_bytes(4, "little")).digest()[:NONCE_BYTES]

    def confirm(self, host_proof):
        """session_confirm: the role that is open now, or 0 for a wrong proof, no handshake or a lockout."""
        if self._proved is not None and host_proof == self._proved and self._responder.session is not None:
            return self.role            # the reply was lost
        if self._handshake is None or self.locked_s():
            return 0
        session = self._handshake.confirm(host_proof)
        if session is None:
            self.forged()
            return 0
        self.close()
        self._handshake = self._asked = None
        self._proved = host_proof
        self._free, self._lock_s = FREE_FORGERIES, FIRST_LOCK_S
        self._heard_s = self._app.uptime_s
        self._responder.open(session)
        self._app.log(cat.E_SESSION, session.role)
        return session.role

    def close(self):
        """End the session; what it staged and the telemetry it asked for are gone."""
        self._proved = None
        self._responder.open(None)
        self._ended()

    def watch(self):
        """Called in each step: close a session that nobody uses."""
        if self._responder.session is not None and self._app.uptime_s - self._heard_s >= IDLE_S:
            self.close()

    def pair(self, role, key):
        """Store a role's key (the magnet is there); 0 or R_STORE. Sessions of the old key end."""
        try:
            self._app.keys.pair(role, key)
        except OSError:
            return cat.R_STORE
        if self.role == role:
            self.close()
        self._handshake = self._asked = None
        self._lock_until_s = 0          # who stands at the pump is not guessing from afar
        self._free, self._lock_s = FREE_FORGERIES, FIRST_LOCK_S
        self._app.log(cat.E_PAIR, role)
        return 0
