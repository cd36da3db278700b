"""The schema: one CRC on every runtime, unique ids, a reply for every request."""

from thecal.protocol import catalogue as cat

print("schema", cat.schema_crc(), cat.PROTOCOL_VERSION)
for row in [cat.message(number) for number in range(256) if cat.message(number)]:
    print("%02x %s %d %d %d" % (row[0], row[1], row[2], row[3], row[4]), [field[0] for field in row[5]])
for kind in range(1, cat.LAST_KIND + 1):
    print(kind, [(field[0], field[1], field[3], field[4]) for field in cat.block(kind)])
for wanted in (0, 1, 0x0F, 0x60, 0xFF):
    row = cat.message(wanted)
    print("message", wanted, row[1] if row else None)
print("block", cat.block(0), cat.block(cat.LAST_KIND + 1), cat.block(5))
