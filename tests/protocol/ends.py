"""Two ends of a session, and frames between them, for the tests of this room."""

from plainwire import closed, uncobs
from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc32
from thecal.protocol.frame import FRAME, MAX_FRAME, Decoder, encode
from thecal.protocol.handshake import HostHandshake
from thecal.protocol.session import CLINICIAN, PumpHandshake

SCHEMA = cat.schema_crc()
KEY = bytes(range(100, 132))
HOST_NONCE, DEVICE_NONCE = b"h" * 16, b"d" * 16
SERIAL, BOOT_COUNT = 1001, 3


def handshakes(role=CLINICIAN, host_key=KEY, pump_key=KEY, host_nonce=HOST_NONCE, device_nonce=DEVICE_NONCE, serial=SERIAL,
               boot_count=BOOT_COUNT, schema=SCHEMA):
    """Both halves of one handshake, nothing said yet but the nonces."""
    return (HostHandshake(schema, role, host_key, host_nonce),
            PumpHandshake(schema, role, pump_key, serial, boot_count, host_nonce, device_nonce))


def sessions(role=CLINICIAN, key=KEY, **said):
    """(the host's session, the pump's) of a handshake that went well."""
    host, pump = handshakes(role, key, key, **said)
    assert host.answer(said.get("device_nonce", DEVICE_NONCE), said.get("boot_count", BOOT_COUNT), said.get("serial", SERIAL), pump.proof)
    return host.session, pump.confirm(host.confirm)


def framed(channel, message_id, payload=b"", seq=0, request_id=1, message_class=None, schema=SCHEMA, crc=crc32):
    """The line bytes of one frame; sealed by `channel` where its class asks for it."""
    out = bytearray(b"\xAA" * MAX_FRAME)
    if message_class is None:
        message_class = cat.message(message_id)[3]
    size = encode(out, message_class, message_id, seq, request_id, payload, len(payload), schema, crc, channel)
    assert size > 0 and out[size:] == b"\xAA" * (MAX_FRAME - size), "no frame, or written behind it"
    return bytes(out[:size])


def decoded(line, schema=SCHEMA):
    """The decoder that has just completed the frame `line`."""
    decoder = Decoder(schema)
    assert [decoder.feed(byte) for byte in line][-1] == FRAME
    return decoder


def opened(channel, line):
    """What `channel` says of a frame, and its payload (in clear only if OPENED)."""
    decoder = decoded(line)
    outcome = channel.open(decoder.body, decoder.length, decoder.message_class)
    return outcome, decoder.payload()


def forged(line, change, schema=SCHEMA):
    """The frame with its body (without CRC) changed by `change(bytearray)` and the CRC made right again: no key is needed for that."""
    body = bytearray(uncobs(line)[:-4])
    change(body)
    return closed(bytes(body), body[0] & 0x1F, schema)
