"""Frames and checksums: every payload length and class, whole, byte by byte, in garbage, and with every bit flipped."""

from thecal.protocol.crc import crc16, crc32
from thecal.protocol.frame import BAD, FRAME, MAX_FRAME, NEED, Decoder, encode
from thecal.protocol.session import FORGED, OPENED, REPEATED, REPLAYED, Channel

SEED = 0x5EED1234
out = bytearray(MAX_FRAME)
lcg = 1


def noise(length, spread=256):
    """Bytes that are the same everywhere; `spread` 2 makes many zeros."""
    global lcg
    data = bytearray(length)
    for index in range(length):
        lcg = (lcg * 75 + 74) % 65537
        data[index] = lcg % spread
    return data


for text in (b"", b"123456789", bytes(32), bytes(range(256))):
    print("crc", len(text), crc16(text, 0, len(text)), crc32(text), crc32(text, SEED))
print("crc16 continued", crc16(b"123456789", 4, 9, crc16(b"123456789", 0, 4)))

for message_class in range(4):
    sealing, opening = Channel(bytes(range(32)), b"to pump", b"said"), Channel(bytes(range(32)), b"to pump", b"said")
    for spread in (256, 2, 1):
        total, sizes = 0, 0
        for length in range(221):
            payload = noise(length, spread)
            size = encode(out, message_class, 0x40 + message_class, length, 255 - length, payload, length, SEED) if message_class < 2 else \
                encode(out, message_class, 0x40 + message_class, length, 255 - length, payload, length, SEED, crc32, sealing)
            total = crc32(memoryview(out)[:size], total)
            decoder = Decoder(SEED)
            results = [decoder.feed(byte) for byte in memoryview(out)[:size]]
            assert results == [NEED] * (size - 1) + [FRAME], (length, results)
            if message_class >= 2:
                assert opening.open(decoder.body, length, message_class) == OPENED
            assert decoder.payload() == bytes(payload) and decoder.message_class == message_class
            assert (decoder.message_id, decoder.seq, decoder.request_id) == (0x40 + message_class, length, 255 - length)
            sizes += size
        print("class", message_class, "spread", spread, "bytes", sizes, "crc", total)
sealing, opening = Channel(b"k" * 32, b"to host", b"x"), Channel(b"k" * 32, b"to host", b"x")
body = bytearray(60)
print("sealed", sealing.seal(body, 0, 30, 3), crc32(body), body)
print("outcomes", [opening.open(bytearray(body), 30, 3), opening.open(bytearray(body), 30, 3)] == [OPENED, REPEATED])
older = bytearray(body)
body = bytearray(60)
print("next", sealing.seal(body, 0, 30, 3), opening.open(body, 30, 3) == OPENED, opening.open(older, 30, 3) == REPLAYED)
print("forged", [opening.open(bytearray(older[:at]) + bytearray((older[at] ^ 1,)) + older[at + 1:], 30, 3) == FORGED for at in range(0, 55, 9)])
print("refused", encode(out, 4, 1, 0, 0, b"", 0, SEED), encode(out, 0, 1, 0, 0, bytes(221), 221, SEED), encode(out, -1, 1, 0, 0, b"", 0, SEED))


def outcome(stream):
    """(frames, bad) and the decoder's own counters."""
    decoder = Decoder(SEED)
    frames = bad = 0
    for byte in stream:
        result = decoder.feed(byte)
        frames += result == FRAME
        bad += result == BAD
    return (frames, bad, decoder.bad_cobs, decoder.bad_length, decoder.bad_version, decoder.bad_class, decoder.bad_crc)


for length in (0, 1, 32):
    size = encode(out, 1, 0x10, 3, 7, noise(length, 3), length, SEED)
    frame = bytes(out[:size])
    print("garbage", length, outcome(bytes(noise(300)) + b"\0" + frame + bytes(noise(40)) + b"\0" + frame))
    tally = [0] * 7
    for bit in range(8 * size):
        hurt = bytearray(frame)
        hurt[bit // 8] ^= 1 << bit % 8
        for index, count in enumerate(outcome(hurt)):
            tally[index] += count
    assert tally[0] == 0
    print("flips", length, 8 * size, tally)
print("long", outcome(bytes([255]) * 600 + b"\0"), outcome(b"\0" * 50), outcome(b"\1\0"), outcome(b"\xff" * 255 + b"\0"))
