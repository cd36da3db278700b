"""A store as firmware of protocol 2 left it: records of version 1, before therapy had its modes (firmware/settings.py of that time, commit 2e60eb0).

    0x0000  state, slots of 256 bytes   "<BIIIBBBB8s8sIIIIIBHIIIIIIHHHHHH": version, sequence, time, boots, program slot, stopped, commissioned, ...
    0x0400  commissioning block         "<BIH": version, sequence, length; 64 bytes
    0x0800  intent                      "<BIIIIHHIIHII": version, sequence, time, pulses, ...
    0x1000  program block               "<BH": version, length; the canonical bytes of then

Each ends in its CRC-16. A pump that ran 480 uL a day for ten days.
"""

import struct

from thecal.protocol.crc import crc16

VERSION = 1
PULSES = 4800


def sealed(data):
    return data + struct.pack("<H", crc16(data, 0, len(data)))


def older_store(store_bytes, time_s):
    """The bytes of the whole store, last written at pump time `time_s`."""
    data = bytearray(store_bytes)
    for slot in (0, 1):
        state = struct.pack("<BIIIBBBB8s8sIIIIIBHIIIIIIHHHHHH", VERSION, 40 + slot, time_s - 60 + slot, 3, 0, 0, 1, 1, b"d" * 8, b"d" * 8,
                            PULSES * 1000, PULSES, 0, 0, 240_000, 0, time_s // 86_400 & 0xFFFF, *[0] * 12)
        intent = struct.pack("<BIIIIHHIIHII", VERSION, PULSES - 1 + slot, time_s - 180, PULSES - 1 + slot, PULSES, 0, 0, 0, 0, 0, 0, 0)
        commission = struct.pack("<BIH64s", VERSION, 1 + slot, 41, bytes(range(41)))
        for at, record in ((slot * 0x100, state), (0x400 + slot * 0x100, commission), (0x800 + slot * 0x40, intent)):
            data[at:at + len(record) + 2] = sealed(record)
    program = sealed(struct.pack("<BH", VERSION, 60) + bytes(range(60)))
    data[0x1000:0x1000 + len(program)] = program
    return data
