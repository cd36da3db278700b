"""The wire format once more, from PROTOCOL.md and the standard library alone: what the golden vectors are made with.

Imports nothing of thecal, so that a vector checks the protocol room instead of repeating it. CPython only, and in no hurry.
"""

import binascii
import hashlib
import hmac

VERSION = 1
OPEN, PLAIN, ROUTINE, THERAPY = range(4)
TAG_BYTES = {OPEN: 0, PLAIN: 0, ROUTINE: 8, THERAPY: 16}


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def cobs(body: bytes) -> bytes:
    """COBS of a body below 254 bytes, with the closing zero."""
    return b"".join(bytes([len(part) + 1]) + part for part in body.split(b"\0")) + b"\0"


def uncobs(line: bytes) -> bytes:
    """The body of one whole frame."""
    body, at = b"", 0
    while line[at]:
        body += line[at + 1:at + line[at]] + b"\0"
        at += line[at]
    assert at == len(line) - 1
    return body[:-1]


def closed(body: bytes, message_class: int, schema_crc: int) -> bytes:
    """Body, CRC-32 and COBS: what goes on the line."""
    return cobs(body + u32(binascii.crc32(body, 0 if message_class == OPEN else schema_crc)))


def header(message_class: int, message_id: int, length: int, seq: int, request_id: int) -> bytes:
    return bytes([VERSION << 5 | message_class, message_id, length, seq, request_id])


def frame(message_class: int, message_id: int, seq: int, request_id: int, payload: bytes, schema_crc: int) -> bytes:
    """A frame of the classes without a tag."""
    return closed(header(message_class, message_id, len(payload), seq, request_id) + payload, message_class, schema_crc)


def prf(key: bytes, label: bytes, said: bytes) -> bytes:
    return hmac.new(key, label + said, "sha256").digest()


def shelf_key(serial: int, role: int) -> bytes:
    return hashlib.sha256(b"thecal shelf key" + u32(serial) + bytes([role])).digest()


def transcript(schema_crc: int, role: int, serial: int, boot_count: int, host_nonce: bytes, device_nonce: bytes) -> bytes:
    return bytes([VERSION, role]) + u32(schema_crc) + u32(serial) + u32(boot_count) + host_nonce + device_nonce


class Handshake:
    """Everything that follows from a role's key and the two nonces."""

    def __init__(self, schema_crc: int, role: int, key: bytes, serial: int, boot_count: int, host_nonce: bytes, device_nonce: bytes):
        self.said = transcript(schema_crc, role, serial, boot_count, host_nonce, device_nonce)
        self.pump_proof = prf(key, b"thecal proof of the pump", self.said)[:16]
        self.host_proof = prf(key, b"thecal proof of the host", self.said)[:16]
        self.to_pump = Direction(prf(key, b"thecal tag to pump", self.said), prf(key, b"thecal cipher to pump", self.said), schema_crc)
        self.to_host = Direction(prf(key, b"thecal tag to host", self.said), prf(key, b"thecal cipher to host", self.said), schema_crc)


class Direction:
    """Seals the frames of one direction; keeps the steps of the last one for the worked example."""

    def __init__(self, tag_key: bytes, cipher_key: bytes, schema_crc: int):
        self.tag_key, self.cipher_key, self.schema_crc = tag_key, cipher_key, schema_crc
        self.counter = 0
        self.steps: dict[str, bytes] = {}

    def keystream(self, counter: int, length: int) -> bytes:
        blocks = (hashlib.sha256(self.cipher_key + u32(counter) + u32(block)).digest() for block in range(-(-length // 32)))
        return b"".join(blocks)[:length]

    def seal(self, message_class: int, message_id: int, seq: int, request_id: int, payload: bytes) -> bytes:
        self.counter += 1
        stream = self.keystream(self.counter, len(payload))
        secret = bytes(one ^ other for one, other in zip(payload, stream))
        tagged = header(message_class, message_id, len(payload), seq, request_id) + secret + u32(self.counter)
        tag = hmac.new(self.tag_key, tagged, "sha256").digest()[:TAG_BYTES[message_class]]
        line = closed(tagged + tag, message_class, self.schema_crc)
        self.steps = {"header": tagged[:5], "payload": payload, "keystream": stream, "ciphertext": secret, "counter": u32(self.counter),
                      "tag": tag, "crc": uncobs(line)[-4:], "line": line}
        return line
