"""Who may speak: handshake, roles, idle close, and a growing lockout behind wrong keys. Therapy never waits for any of it.

A new session replaces the old only when the new host has proved its key, so nobody can end a session by asking for one. While
locked, nobody opens a session and no therapy message is served; reads of an open session go on, and so does delivery.
"""

import hashlib

from ..protocol import catalogue as cat
from ..protocol.frame import TAG_BYTES
from ..protocol.session import NONCE_BYTES, PumpHandshake
from .limits import SMALL

IDLE_S = 600            # a session without a frame for this long is closed, and what it staged is dropped
FREE_FORGERIES = 8      # wrong tags or proofs before the first lockout
FIRST_LOCK_S = 60
LONGEST_LOCK_S = 3600
OPENS = 32              # handshakes that may begin in a row; another one each second, all of them behind a right proof
# Constructed, with the powers of hw_sim/params/battery-reference.toml: no source tells the power of an implant's link.
BYTE_NJ = 990           # a 10 mW link for the 87 us of a byte at 115200 baud, and a 3 mW controller for 40 us
TAG_NJ = 3000           # a 3 mW controller for the 1 ms below which simulation.md 4.4 expects a tag


class Access:
    """One line's door. `responder` seals and opens; `ended` is called when a session ends."""

    def __init__(self, app, responder, schema_crc, ended):
        self._app = app
        self._responder = responder
        self._schema_crc = schema_crc
        self._ended = ended
        # The last two, as (what was asked, the answer, handshake): a repeat gets the same answer, and somebody else who asks
        # in between makes no forger of a host that knows its key.
        self._handshakes: tuple = ()
        self._opens = OPENS
        self._opens_s = 0
        self.role = 0                   # of the open session, 0 for none
        self._proved = None             # the host's proof that opened the session: a repeat gets the same answer
        self._named = False             # the log has this session's role
        self._nonces = 0
        self._heard_s = 0
        self._lock_until_s = 0
        self._lock_s = FIRST_LOCK_S
        self.forgeries = 0
        self._free = FREE_FORGERIES
        self._spent_nj = 0              # below 1 mJ; the rest is in the state record

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

    def spend(self, count, tags):
        """Book the energy of bytes and tags that went to somebody who had proved nothing, honest or not."""
        spent_nj = self._spent_nj + count * BYTE_NJ + tags * TAG_NJ
        settings = self._app.settings
        settings.wasted_mj = min(SMALL - 1, settings.wasted_mj + spent_nj // 1000000)
        self._spent_nj = spent_nj % 1000000

    def open(self, role, host_nonce):
        """session_open: values of its reply, or None while locked, and while handshakes are asked for too fast: a flood buys no work."""
        if self.locked_s():
            return None
        app = self._app
        asked = (role, host_nonce)
        for known in self._handshakes:
            if known[0] == asked:
                return known[1]
        self._opens = min(OPENS, self._opens + app.uptime_s - self._opens_s)
        self._opens_s = app.uptime_s
        if self._opens == 0:
            return None
        self._opens -= 1
        self.spend(0, 2)
        boots, serial, nonce = app.settings.boot_count, app.serial, self._fresh_nonce()
        handshake = PumpHandshake(self._schema_crc, role, app.keys.key(role, serial), serial, boots, host_nonce, nonce)
        answer = nonce, boots, serial, handshake.proof
        self._handshakes = self._handshakes[-1:] + ((asked, answer, handshake),)
        return answer

    def _fresh_nonce(self):
        """16 bytes that never repeat, even from a poor source of chance: boot counter and a count are in it."""
        drawn = bytearray(32)
        self._app.ports.entropy.fill(drawn)
        self._nonces += 1
        made = drawn + self._app.settings.boot_count.to_bytes(4, "little") + self._nonces.to_bytes(4, "little")
        return hashlib.sha256(made + self._app.serial.to_bytes(4, "little")).digest()[:NONCE_BYTES]

    def confirm(self, host_proof):
        """session_confirm: the role that is open now, or 0 for a wrong proof, no handshake or a lockout."""
        if self._proved is not None and host_proof == self._proved and self.role:
            return self.role            # the reply was lost
        if not self._handshakes or self.locked_s():
            return 0
        self.spend(0, len(self._handshakes))
        session = None
        for known in self._handshakes:
            session = known[2].confirm(host_proof) or session
        if session is None:
            self.forged()
            return 0
        self.close()
        self._handshakes = ()
        self._proved = host_proof
        self._named = False
        self._forgive()
        self._heard_s = self._app.uptime_s
        self._responder.open(session)
        self.role = session.role
        return self.role

    def _forgive(self):
        self._free, self._lock_s, self._opens = FREE_FORGERIES, FIRST_LOCK_S, OPENS

    def name(self):
        """Called before an order takes effect: the log says whose session it is, once. Reading writes nothing (flash takes 57 ms a write)."""
        if self.role and not self._named:
            self._named = True
            self._app.log(cat.E_SESSION, self.role)

    def close(self):
        """End the session; what it staged and the telemetry it asked for are gone."""
        self._proved = None
        self.role = 0
        self._responder.open(None)
        self._ended()

    def watch(self):
        """Called in each step: close a session that nobody uses."""
        if self.role and self._app.uptime_s - self._heard_s >= IDLE_S:
            self.close()

    def pair(self, role, key):
        """Store a role's key (the magnet is there); 0 or R_STORE. Sessions of the old key end."""
        try:
            self._app.keys.pair(role, key)
        except OSError:
            return cat.R_STORE
        if self.role == role:
            self.close()
        self._handshakes = ()
        self._lock_until_s = 0          # who stands at the pump is not guessing from afar
        self._forgive()
        self._app.log(cat.E_PAIR, role)
        return 0
