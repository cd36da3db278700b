"""The keys of the roles, in the store: two slots, version, CRC-16. A role that was never paired answers to its public shelf key."""

from ..protocol.session import CLINICIAN, KEY_BYTES, PATIENT, shelf_key
from .limits import SMALL
from .slots import VERSION, Slots

KEYS_AT, KEYS_SLOT = 0x0C00, 0x0100
_SIZE = 5 + 1 + 3 * KEY_BYTES
assert _SIZE + 2 <= KEYS_SLOT


class Keys:
    """`paired` has bit (role - 1) set for each role with a key of its own."""

    def __init__(self, store):
        self.slots = Slots(store, KEYS_AT, KEYS_SLOT, _SIZE)
        self.paired = 0

    def load(self):
        """Read the newest whole record; False when there was one and neither slot is whole."""
        found = self.slots.load()
        self.paired = self.slots.buffer[5] if found else 0
        return found or self.slots.damaged == 0

    def key(self, role, serial):
        """The 32 bytes of `role` (1..3)."""
        if self.paired >> (role - 1) & 1:
            at = 6 + (role - CLINICIAN) * KEY_BYTES
            return bytes(memoryview(self.slots.buffer)[at:at + KEY_BYTES])
        return shelf_key(serial, role)

    def pair(self, role, key):
        """Store a new key for `role`. Raises OSError when the store cannot; the old key then stays."""
        assert CLINICIAN <= role <= PATIENT and len(key) == KEY_BYTES
        slots = self.slots
        before = bytes(slots.buffer)
        at = 6 + (role - CLINICIAN) * KEY_BYTES
        slots.buffer[0] = VERSION
        slots.seq = (slots.seq + 1) % SMALL
        slots.buffer[1:5] = slots.seq.to_bytes(4, "little")
        slots.buffer[5] = self.paired | 1 << (role - 1)
        slots.buffer[at:at + KEY_BYTES] = key
        try:
            slots.save()
        except OSError:
            slots.buffer[:] = before
            raise
        self.paired = slots.buffer[5]
