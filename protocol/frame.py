"""Frames: COBS around a header, a payload, room for a counter and a tag, and a CRC-32. Sans I/O, nothing is raised.

    byte 0     version (3 bits) and class (5 bits)
    byte 1     message id
    byte 2     payload length, 0..220
    byte 3     sequence number of this direction, wraps at 256
    byte 4     request id: a reply repeats its request's
    ...        payload
    0 / 12 / 20  counter (4) and tag (8 or 16): tagged classes only
    4          CRC-32 (IEEE), little-endian, over all before it; seed 0 for the open class, else the schema CRC

A frame is at most 249 bytes, below the 254 of one COBS block: encoding costs exactly one byte and the closing 0x00,
and can be done in place. Damaged input is counted by the decoder, never raised: the line is hostile by assumption.
"""

from .crc import crc32

VERSION = 1

CLASS_OPEN = 0      # hello, identity, alarms: readable by anyone, CRC seed 0
CLASS_PLAIN = 1     # no secret and no order, CRC seeded with the schema: for extensions
CLASS_ROUTINE = 2   # session messages with an 8-byte tag
CLASS_THERAPY = 3   # therapy-changing messages with a 16-byte tag
TAG_BYTES = (0, 0, 8, 16)
COUNTER_BYTES = 4

HEADER = 5
MAX_PAYLOAD = 220
CRC_BYTES = 4
MIN_BODY = HEADER + CRC_BYTES
MAX_BODY = HEADER + MAX_PAYLOAD + COUNTER_BYTES + 16 + CRC_BYTES
MAX_FRAME = MAX_BODY + 2            # COBS code byte in front, 0x00 behind
assert MAX_BODY < 254               # one COBS block: the in-place encoder and the fixed overhead rely on it

NEED, FRAME, BAD = 0, 1, 2


def trailer_bytes(message_class):
    """Bytes of counter and tag that a class carries behind its payload: 0, 12 or 20."""
    tag = TAG_BYTES[message_class]
    return tag + COUNTER_BYTES if tag else 0


def encode(out, message_class, message_id, seq, request_id, payload, length, schema_crc, crc=crc32, channel=None):
    """Write one whole frame into `out` (>= MAX_FRAME bytes) and return its length, COBS and the final 0x00 included.

    `payload` is any buffer of at least `length` bytes (0..220). A tagged class needs the sending `channel` of a session
    (protocol/session.py), which encrypts the payload and writes counter and tag. Returns 0 if the length or the class is out of
    range, or a tagged frame has no channel or no counter left.
    """
    if length < 0 or length > MAX_PAYLOAD or message_class < 0 or message_class >= len(TAG_BYTES):
        return 0
    if TAG_BYTES[message_class] and channel is None:
        return 0
    out[1] = (VERSION << 5) | message_class
    out[2] = message_id
    out[3] = length
    out[4] = seq & 0xFF
    out[5] = request_id & 0xFF
    end = 1 + HEADER
    for index in range(length):
        out[end + index] = payload[index]
    end += length
    if channel is not None and TAG_BYTES[message_class] and not channel.seal(out, 1, length, message_class):
        return 0
    end += trailer_bytes(message_class)
    check = crc(memoryview(out)[1:end], 0 if message_class == CLASS_OPEN else schema_crc)
    for shift in (0, 8, 16, 24):
        out[end] = (check >> shift) & 0xFF
        end += 1
    return _cobs_in_place(out, end)


def _cobs_in_place(out, end):
    """COBS-encode out[1:end] where it stands: each zero becomes the distance to the next. Returns the frame's length."""
    code_at = 0
    for index in range(1, end):
        if out[index] == 0:
            out[code_at] = index - code_at
            code_at = index
    out[code_at] = end - code_at
    out[end] = 0
    return end + 1


class Decoder:
    """Incremental decoder: `feed(byte)` gives NEED, FRAME or BAD. After FRAME the attributes below describe it.

    message_class, message_id, seq, request_id: header fields; `body[HEADER:HEADER + length]` is the payload (valid until
    the next feed). Counters, never reset: frames, bad_cobs, bad_length, bad_version, bad_class, bad_crc.
    """

    def __init__(self, schema_crc, crc=crc32):
        self.schema_crc = schema_crc
        self._crc = crc
        self.body = bytearray(MAX_BODY)
        self._view = memoryview(self.body)
        self._fill = 0
        self._left = 0          # data bytes until the next code byte; 0: the next byte is a code
        self._zero = False      # a zero is owed in front of the next code's data
        self._lost = False      # this frame is damaged: wait for its end
        self.message_class = 0
        self.message_id = 0
        self.length = 0
        self.seq = 0
        self.request_id = 0
        self.frames = 0
        self.bad_cobs = 0
        self.bad_length = 0
        self.bad_version = 0
        self.bad_class = 0
        self.bad_crc = 0

    def feed(self, byte):
        """Take one byte off the line; see the class."""
        if byte == 0:
            return self._end()
        if self._lost:
            return NEED
        if self._left == 0:
            if self._zero:
                self._put(0)
            self._left = byte
            self._zero = byte < 255
        else:
            self._put(byte)
        self._left -= 1
        return NEED

    def _put(self, byte):
        if self._fill >= MAX_BODY:
            self._lost = True
        else:
            self.body[self._fill] = byte
            self._fill += 1

    def _end(self):
        size, left, lost = self._fill, self._left, self._lost
        idle = size == 0 and left == 0 and not self._zero and not lost
        self._fill = 0
        self._left = 0
        self._zero = False
        self._lost = False
        if idle:
            return NEED         # a bare 0x00 between frames is a wake-up preamble, not an error
        if lost or size < MIN_BODY:
            self.bad_length += 1
            return BAD
        if left:
            self.bad_cobs += 1
            return BAD
        return self._check(size)

    def _check(self, size):
        body = self.body
        if body[0] >> 5 != VERSION:
            self.bad_version += 1
            return BAD
        message_class = body[0] & 0x1F
        if message_class >= len(TAG_BYTES):
            self.bad_class += 1
            return BAD
        length = body[2]
        if length > MAX_PAYLOAD or size != MIN_BODY + length + trailer_bytes(message_class):
            self.bad_length += 1
            return BAD
        end = size - CRC_BYTES
        check = self._crc(self._view[:end], 0 if message_class == CLASS_OPEN else self.schema_crc)
        for shift in (0, 8, 16, 24):
            if body[end] != (check >> shift) & 0xFF:
                self.bad_crc += 1
                return BAD
            end += 1
        self.message_class = message_class
        self.message_id = body[1]
        self.length = length
        self.seq = body[3]
        self.request_id = body[4]
        self.frames += 1
        return FRAME

    def payload(self):
        """A copy of the last frame's payload (allocates: telemetry only)."""
        return bytes(self._view[HEADER:HEADER + self.length])
