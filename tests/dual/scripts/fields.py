"""Every field of every message, block and record: least and greatest pass, one beyond is refused with the same index."""

from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc32
from thecal.protocol.fields import BYTES, I32, TAIL, get, pack, put, size, unpack, width


def least(field):
    return bytes(field[3]) if field[1] in (BYTES, TAIL) else field[3]


def beyond(field):
    """(name, value) pairs around a field's range."""
    low, high = field[3], field[4]
    if field[1] in (BYTES, TAIL):
        pairs = [("low", bytes(low)), ("high", b"\xff" * high), ("high+1", b"\xff" * (high + 1))]
        return pairs + ([("low-1", bytes(low - 1))] if low else [])
    return [("low", low), ("high", high), ("low-1", low - 1), ("high+1", high + 1)]


def raw(rows, values):
    """The bytes of values that pack() would refuse, as far as they fit their width at all."""
    out = bytearray()
    for field, value in zip(rows, values):
        if field[1] in (BYTES, TAIL):
            out += value
        else:
            bits = 8 * width(field)
            if value < 0 and field[1] == I32:
                value += 1 << bits
            if value < 0 or value >> bits:
                return None
            for _ in range(width(field)):
                out.append(value & 0xFF)
                value >>= 8
    return out


def sweep(title, rows):
    crc, refused = 0, 0
    for index in range(len(rows)):
        for name, value in beyond(rows[index]):
            values = [least(field) for field in rows]
            values[index] = value
            out = bytearray(1000)
            packed = pack(rows, values, out)
            good = name in ("low", "high")
            assert (packed >= 0) == good, (title, rows[index][0], name, packed)
            if good:
                back = [0] * len(rows)
                assert unpack(rows, out, 0, packed, back) == packed and list(back) == values, (title, rows[index][0], name)
                crc = crc32(memoryview(out)[:packed], crc)
            else:
                assert packed == -1 - index, (title, rows[index][0], name, packed)
                refused += 1
                data = raw(rows, values)
                # A missing byte of BYTES shifts what follows, so there the wire only has to refuse, at this field or behind it;
                # where a tail ends the payload, it may take the byte that is left over for one of its own.
                if data is not None:
                    found = unpack(rows, data, 0, len(data), [0] * len(rows))
                    assert found < 0 or (rows[index][1] == BYTES and rows[-1][1] == TAIL), (title, rows[index][0], name)
                    if rows[index][1] != BYTES:
                        assert found == -1 - index, (title, rows[index][0], name, found)
                    crc = crc32(str(found).encode(), crc)
    print(title, "fields", len(rows), "least", size(rows), "refused", refused, "crc", crc)


for row in [cat.message(number) for number in range(256) if cat.message(number)]:
    sweep(row[1], row[5])
for kind in range(1, cat.LAST_KIND + 1):
    sweep("block %d" % kind, cat.block(kind))
for name in ("event", "day", "history"):
    sweep(name, cat.record(name))

# Integers at the ends of their widths, and the sign.
buffer = bytearray(8)
for kind, value in ((1, 255), (2, 65535), (4, 0xFFFFFFFF), (4, 1 << 30), (I32, -1), (I32, -(1 << 31)), (I32, (1 << 31) - 1)):
    end = put(buffer, 2, kind, value)
    print("put", kind, value, end, list(buffer), get(buffer, 2, kind))

# Buffers that are too short or too long: refused at the field that lacks its bytes, or behind the last one.
rows = cat.message(cat.FILE_READ)[5]
out = bytearray(7)
print("room", pack(rows, (0, 5, 200), out), pack(rows, (0, 5, 200), bytearray(6)), pack(rows, (0, 5, 200), bytearray(0)))
whole = bytearray(6)
pack(rows, (0, 5, 200), whole)
print("cut", [unpack(rows, whole, 0, end, [0, 0, 0]) for end in range(7)], unpack(rows, whole + b"x", 0, 7, [0, 0, 0]))
