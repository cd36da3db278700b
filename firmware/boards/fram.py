"""The store on a 256 KB FRAM on SPI (MB85RS2MT; commands and identifier from its data sheet): writes at bus speed, no wear.

Nothing here allocates: a span that is the whole buffer goes in one transfer, a part of a buffer byte by byte.
"""

STORE_BYTES = 262144
_WREN, _WRITE, _READ, _RDID = 0x06, 0x02, 0x03, 0x9F
_MAKER = b"\x04\x7f"        # Fujitsu, with its continuation code
_DENSITY = 0x08             # 2 Mbit, low five bits of the third byte


def find(spi, select):
    """The Fram on this bus, or None when no such chip answers. `select` is its chip select pin, high at rest."""
    answer = bytearray(4)
    select(0)
    spi.write(bytes((_RDID,)))
    spi.readinto(answer)
    select(1)
    return Fram(spi, select) if answer[:2] == _MAKER and answer[2] & 0x1F == _DENSITY else None


class Fram:
    """Byte-addressed memory behind `spi`."""

    def __init__(self, spi, select):
        self._spi = spi
        self._select = select
        self._enable = bytes((_WREN,))
        self._command = bytearray(4)
        self._one = bytearray(1)

    def read(self, address, buffer, length):
        """See port_shapes.Store. Raises ValueError outside the store."""
        self._begin(_READ, address, length)
        if length == len(buffer):
            self._spi.readinto(buffer)
        else:
            one = self._one
            for index in range(length):
                self._spi.readinto(one)
                buffer[index] = one[0]
        self._select(1)

    def write(self, address, buffer, length):
        """See port_shapes.Store. Raises ValueError outside the store."""
        self._select(0)
        self._spi.write(self._enable)
        self._select(1)
        self._begin(_WRITE, address, length)
        if length == len(buffer):
            self._spi.write(buffer)
        else:
            one = self._one
            for index in range(length):
                one[0] = buffer[index]
                self._spi.write(one)
        self._select(1)

    def _begin(self, command, address, length):
        if length < 0 or not 0 <= address <= STORE_BYTES - length:
            raise ValueError("store range %d + %d is outside 0..%d" % (address, length, STORE_BYTES))
        head = self._command
        head[0] = command
        head[1] = address >> 16
        head[2] = address >> 8 & 0xFF
        head[3] = address & 0xFF
        self._select(0)
        self._spi.write(head)
