"""Plays the golden vectors against protocol/ and firmware/, in the common dialect of both Pythons. A line a vector, none may fail.

`VECTORS` (file name -> rows) stands in front of this text when it runs: see test_golden.py.
"""

from thecal.firmware.blocks import Block
from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc32
from thecal.protocol.fields import pack, unpack
from thecal.protocol.frame import BAD, FRAME, MAX_FRAME, Decoder, encode
from thecal.protocol.mac import Mac, crypt
from thecal.protocol.handshake import HostHandshake
from thecal.protocol.session import OPENED, PumpHandshake

SCHEMA = cat.schema_crc()


def of_hex(text):
    return bytes([int(text[at:at + 2], 16) for at in range(0, len(text), 2)])


def play_frame(row, crc):
    decoder = Decoder(SCHEMA, crc)
    line = of_hex(row["line"])
    results = [decoder.feed(byte) for byte in line]
    counts = {"bad_cobs": decoder.bad_cobs, "bad_length": decoder.bad_length, "bad_version": decoder.bad_version, "bad_class": decoder.bad_class,
              "bad_crc": decoder.bad_crc}       # written out: a staged pump has other names
    seen = [name for name in counts if counts[name]]
    if "nothing" in row:
        assert not seen and FRAME not in results and BAD not in results
        return "nothing"
    if "bad" in row:
        assert results[-1] == BAD and FRAME not in results and seen == [row["bad"]] and counts[row["bad"]] == 1, (results[-1], seen)
        return row["bad"]
    assert results[-1] == FRAME and FRAME not in results[:-1] and BAD not in results and not seen
    assert (decoder.message_class, decoder.message_id, decoder.seq, decoder.request_id) == (row["class"], row["id"], row["seq"], row["request"])
    payload = of_hex(row["payload"])
    assert decoder.payload() == payload
    if row["class"] < 2:
        out = bytearray(MAX_FRAME)
        size = encode(out, row["class"], row["id"], row["seq"], row["request"], payload, len(payload), SCHEMA, crc)
        assert bytes(out[:size]) == line
    return "frame"


def halves(row):
    """(host, pump) of a handshake row, both proofs checked."""
    key, nonces = of_hex(row["key"]), (of_hex(row["host_nonce"]), of_hex(row["device_nonce"]))
    host = HostHandshake(row["schema_crc"], row["role"], key, nonces[0])
    pump = PumpHandshake(row["schema_crc"], row["role"], key, row["serial"], row["boot_count"], nonces[0], nonces[1])
    assert pump.proof == of_hex(row["pump_proof"])
    assert host.answer(nonces[1], row["boot_count"], row["serial"], pump.proof)
    assert host.confirm == of_hex(row["host_proof"])
    return host.session, pump.confirm(host.confirm)


def same_keys(channel, tag_key, cipher_key):
    """Keys cannot be asked for; what they make can be compared."""
    mine, theirs = bytearray(40), bytearray(40)
    assert channel.seal(mine, 0, 10, 3)
    crypt(cipher_key, 1, theirs, 5, 10)
    theirs[15] = 1
    theirs[19:35] = Mac(tag_key).tag(theirs[:19])[:16]
    return mine == theirs


def play_handshake(row, crc):
    host, pump = halves(row)
    assert host.role == pump.role == row["role"]
    for end, way in ((host, "to_pump"), (pump, "to_host")):
        assert same_keys(end.sending, of_hex(row["tag_" + way]), of_hex(row["cipher_" + way]))
    return "role %d" % row["role"]


def play_sealed(row, crc):
    sender, receiver = ENDS if row["direction"] == "to pump" else (ENDS[1], ENDS[0])
    head, payload, line = of_hex(row["header"]), of_hex(row["payload"]), of_hex(row["line"])
    out = bytearray(MAX_FRAME)
    size = encode(out, head[0] & 31, head[1], head[3], head[4], payload, len(payload), SCHEMA, crc, sender.sending)
    assert bytes(out[:size]) == line
    decoder = Decoder(SCHEMA, crc)
    assert [decoder.feed(byte) for byte in line][-1] == FRAME
    assert decoder.payload() == of_hex(row["ciphertext"])
    assert receiver.receiving.open(decoder.body, decoder.length, decoder.message_class) == OPENED
    assert decoder.payload() == payload
    message = cat.message(head[1])
    values = [0] * len(message[5])
    assert message[3] == head[0] & 31 and unpack(message[5], payload, 0, len(payload), values) == len(payload)
    return message[1] + " counter %d" % receiver.receiving.counter


def play_block(row, crc):
    rows = cat.block(row["kind"])
    values = [of_hex(value) if isinstance(value, str) else value for value in row["values"]]
    out = bytearray(cat.MAX_BLOCK)
    size = pack(rows, values, out)
    assert bytes(out[:size]) == of_hex(row["canonical"])
    block = Block()
    assert block.take(row["kind"], out, size, 6000) == 0
    assert block.canonical == of_hex(row["canonical"]) and block.digest == of_hex(row["digest"])
    return "%d bytes" % size


def play(vectors, crc):
    """Lines that say what came of each vector; stops with an assertion at the first that is wrong."""
    global ENDS
    ENDS = halves(vectors["handshakes.json"][0])
    players = (("frames.json", play_frame), ("handshakes.json", play_handshake), ("sealed.json", play_sealed), ("blocks.json", play_block))
    lines = []
    for name, player in players:
        for row in vectors[name]:
            lines.append("%s: %s: %s" % (name, row["name"], player(row, crc)))
    return lines


if __name__ == "__main__":
    for line in play(VECTORS, crc32):   # noqa: F821 - put in front of this text
        print(line)
