"""Message authentication and encryption from SHA-256 alone: the only hash that every MicroPython has.

HMAC (RFC 2104) with the pads made once a key; a keystream of SHA-256 blocks in counter mode under a key of its own
(encrypt, then MAC); a comparison whose time does not tell where two tags part.
"""

import hashlib

BLOCK = 64      # SHA-256's, in bytes
DIGEST = 32


class Mac:
    """HMAC-SHA256 under one key of 1..64 bytes."""

    def __init__(self, key):
        assert 0 < len(key) <= BLOCK
        inner, outer = bytearray(BLOCK), bytearray(BLOCK)
        for index in range(BLOCK):
            byte = key[index] if index < len(key) else 0
            inner[index] = byte ^ 0x36
            outer[index] = byte ^ 0x5C
        self._inner = bytes(inner)
        self._outer = bytes(outer)

    def tag(self, data, more=b""):
        """The 32 bytes over `data` followed by `more` (bytes-like)."""
        inner = hashlib.sha256(self._inner)
        inner.update(data)
        inner.update(more)
        outer = hashlib.sha256(self._outer)
        outer.update(inner.digest())
        return outer.digest()


def same(tag, buffer, at, length):
    """True when buffer[at:at + length] is the first `length` bytes of `tag`; looks at every byte whatever it finds."""
    difference = 0
    for index in range(length):
        difference |= tag[index] ^ buffer[at + index]
    return difference == 0


def crypt(key, counter, buffer, at, length):
    """Encrypt or decrypt buffer[at:at + length] in place: XOR with SHA-256(key, counter, block number) (4-byte little-endian each).

    A (key, counter) pair must never serve two messages.
    """
    prefix = key + counter.to_bytes(4, "little")
    for start in range(0, length, DIGEST):
        block = hashlib.sha256(prefix + (start // DIGEST).to_bytes(4, "little")).digest()
        for index in range(start, min(start + DIGEST, length)):
            buffer[at + index] ^= block[index - start]
