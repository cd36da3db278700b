"""Integer fields to and from buffers, each checked against its own range (MicroPython packs 300 into a byte in silence).

A field is a row (name, kind, unit, low, high). Kinds: U8 U16 U32 I32 (little-endian integers), BYTES(n) (exactly n bytes,
low = high = n) and TAIL (whatever is left; last field only; low..high bounds its length).
"""

U8, U16, U32, I32, BYTES, TAIL = 1, 2, 4, -4, 10, 11

NAME, KIND, UNIT, LOW, HIGH = 0, 1, 2, 3, 4

MAX_SMALL = (1 << 30) - 1       # the largest integer that costs a 32-bit MicroPython no heap


def width(field):
    """Bytes a field takes; a TAIL counts its least length."""
    kind = field[KIND]
    if kind == BYTES or kind == TAIL:
        return field[LOW]
    return 4 if kind == I32 else kind


def size(rows):
    """Least bytes that a payload of these fields has."""
    total = 0
    for field in rows:
        total += width(field)
    return total


def pack(rows, values, out, at=0):
    """Write `values` (one per row) into `out` from `at`; return the end, or -(1 + index) of the first refused field. Rows are gone through once."""
    index = 0
    for field in rows:
        value = values[index]
        kind = field[KIND]
        if kind == BYTES or kind == TAIL:
            if len(value) < field[LOW] or len(value) > field[HIGH] or at + len(value) > len(out):
                return -1 - index
            for byte in value:
                out[at] = byte
                at += 1
        else:
            if value < field[LOW] or value > field[HIGH] or at + width(field) > len(out):
                return -1 - index
            at = put(out, at, kind, value)
        index += 1
    return at


def put(out, at, kind, value):
    """Store one integer little-endian at out[at:] and return the end. The caller has checked its range."""
    for _ in range(4 if kind == I32 else kind):
        out[at] = value & 0xFF
        value >>= 8
        at += 1
    return at


def get(buffer, at, kind):
    """Load one little-endian integer from buffer[at:]."""
    count = 4 if kind == I32 else kind
    value = 0
    for index in range(count - 1, -1, -1):
        value = (value << 8) | buffer[at + index]
    if kind == I32 and value >= 1 << 31:
        value -= 1 << 32
    return value


def unpack(rows, buffer, at, end, values):
    """Fill the list `values` from buffer[at:end]; return the end reached, or -(1 + index) of the first refused field.

    A payload that is longer than its rows is refused at the index behind the last row.
    """
    index = 0
    for field in rows:
        kind = field[KIND]
        if kind == TAIL:
            if end - at < field[LOW] or end - at > field[HIGH]:
                return -1 - index
            values[index] = bytes(memoryview(buffer)[at:end])
            at = end
        elif kind == BYTES:
            if end - at < field[LOW]:
                return -1 - index
            values[index] = bytes(memoryview(buffer)[at:at + field[LOW]])
            at += field[LOW]
        else:
            if end - at < width(field):
                return -1 - index
            value = get(buffer, at, kind)
            if value < field[LOW] or value > field[HIGH]:
                return -1 - index
            values[index] = value
            at += width(field)
        index += 1
    if at != end:
        return -1 - index
    return at
