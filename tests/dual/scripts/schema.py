"""The schema: one CRC on every runtime, unique ids, a reply for every request."""

from thecal.protocol import catalogue as cat

print("schema", cat.schema_crc(), cat.PROTOCOL_VERSION)
for row in cat.MESSAGES:
    print("%02x %s %d %d %d" % (row[0], row[1], row[2], row[3], row[4]), [field[0] for field in row[5]])
for kind, name, rows in cat.BLOCKS:
    print(kind, name, [(field[0], field[1], field[3], field[4]) for field in rows])
for wanted in (0, 1, 0x0F, 0x60, 0xFF):
    row = cat.message(wanted)
    print("message", wanted, row[1] if row else None)
print("block", cat.block(0), cat.block(8), cat.block(5))
