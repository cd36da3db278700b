"""Self-tests at power-on and daily: records in RAM, store, heap; and by the supervisor's probe that the enable switch really cuts.

The stack needs no test of its own: MicroPython checks it at every call, and an overflow ends as a watchdog reset (row 13).
"""

import gc

from ..protocol.crc import crc16
from .settings import SCRATCH_AT

PASSED, RECORDS, STORE, HEAP, SWITCH = range(5)     # the cause of E_SELF_TEST
SCRATCH_BYTES = 16
LEAST_FREE_BYTES = 4096     # a telemetry reply and an order need half of it


def records_crc(app):
    """CRC-16 over the commissioning and program blocks in RAM."""
    crc = crc16(app.commission_block, 0, len(app.commission_block))
    return crc16(app.program_block, 0, len(app.program_block), crc)


def store_works(store, scratch, pattern):
    """Write and read back 16 bytes of the store's scratch."""
    for index in range(SCRATCH_BYTES):
        scratch[index] = pattern + index & 0xFF
    try:
        store.write(SCRATCH_AT, scratch, SCRATCH_BYTES)
        scratch[0] = scratch[SCRATCH_BYTES - 1] = ~pattern & 0xFF
        store.read(SCRATCH_AT, scratch, SCRATCH_BYTES)
    except OSError:
        return False
    for index in range(SCRATCH_BYTES):
        if scratch[index] != pattern + index & 0xFF:
            return False
    return True


def tidy():
    """Collect before something large is asked for: what a session leaves behind lies all over the heap, and in a full one no 700 bytes for a
    program are found in one piece."""
    if hasattr(gc, "mem_free"):
        gc.collect()


def heap_suffices():
    """True where there is no such thing (CPython), else while enough is free behind a collection."""
    if not hasattr(gc, "mem_free") or gc.mem_free() >= LEAST_FREE_BYTES:
        return True
    gc.collect()
    return gc.mem_free() >= LEAST_FREE_BYTES
