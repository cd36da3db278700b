"""Checksums: a small-int table CRC-16 for store records, and the pump's CRC-32 for frames.

CRC-16/CCITT-FALSE (poly 0x1021, init 0xFFFF, check value 0x29B1) stays in small integers, so a control step may use it
without touching the heap. CRC-32 (IEEE, check value 0xCBF43926) is `binascii.crc32`: it allocates on 32-bit builds, so it
belongs to frames and commits, never to a step (DESIGN R8). The host uses crcmod instead: two independent implementations.
"""

import binascii
import sys
from array import array

HOST = sys.implementation.name == "cpython"


def _table():
    table = array("H", [0] * 256)
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ (0x1021 if crc & 0x8000 else 0)
            crc &= 0xFFFF
        table[byte] = crc
    return table


_TABLE = _table()
del _table      # its code goes with it


def crc16(buffer, start, end, crc=0xFFFF):
    """CRC-16/CCITT-FALSE of buffer[start:end]; `crc` continues an earlier run. Allocates nothing."""
    if start == 0 and end == len(buffer):
        return crc16_whole(buffer, crc)
    for index in range(start, end):
        crc = _TABLE[crc >> 8 ^ buffer[index]] ^ (crc & 0xFF) << 8
    return crc


def crc16_whole(buffer, crc=0xFFFF):
    """The same of a whole buffer: a quarter faster, and every pulse waits for it."""
    if HOST:        # the same sum in C, which MicroPython has not; a pump in-process spends a tenth of its time in it
        return getattr(binascii, "crc_hqx")(buffer, crc)
    table = _TABLE
    for byte in buffer:
        crc = table[crc >> 8 ^ byte] ^ (crc & 0xFF) << 8
    return crc


def crc32(data, seed=0):
    """CRC-32 (IEEE) of `data`, continued from `seed`; 0 <= result < 2**32."""
    return binascii.crc32(data, seed) & 0xFFFFFFFF
