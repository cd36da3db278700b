"""The simulated FRAM: the bytes of an in-process pump, and the wear of any pump's by 64-byte lines.

Both runtimes leave a trail of their writes (address * 4096 + length, four bytes each); it is counted when somebody asks.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ..firmware.boards.latched import Latch, lose_power, torn_length

LINE_BYTES, LINES = 64, 4096
STORE_BYTES = LINE_BYTES * LINES        # the FRAM of DESIGN 4
TRAIL = 1 << 16                         # writes remembered before they are counted


def count_wear(wear: array[int], trail: array[int]) -> None:
    """Count the writes of a trail (address * 4096 + length, as boards/tether.py leaves them) and empty it."""
    for row in trail:
        address, length = row >> 12, row & 4095
        wear[LINES] += length
        for line in range(address >> 6, address + length + 63 >> 6 if length else 0):
            wear[line] += 1
    del trail[:]


class MemoryStore:
    """The FRAM of an in-process pump; `data` outlives reboots."""

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self.latch: Latch | None = None
        self._wear = array("I", bytes(4 * (LINES + 1)))
        self._trail = array("I")        # counted by the heap: a write costs a twentieth of a microsecond more

    def read(self, address: int, buffer: bytearray, length: int) -> None:
        """Fill buffer[:length] from `address`."""
        buffer[:length] = self.data[address:address + length]

    def write(self, address: int, buffer: bytearray, length: int) -> None:
        """Write buffer[:length]; raises PowerCut at the write the simulator chose."""
        assert self.latch is not None
        cut = self.latch.count_write()
        if cut:
            length = torn_length(self.latch, length)
        self.data[address:address + length] = buffer[:length]
        self._trail.append(address << 12 | length)
        if len(self._trail) == TRAIL:
            count_wear(self._wear, self._trail)
        if cut:
            lose_power()

    def wear(self) -> Sequence[int]:
        """Writes to each line, and behind them all bytes written."""
        count_wear(self._wear, self._trail)
        return self._wear
