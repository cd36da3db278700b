"""The FRAM's commands, against a chip that knows nothing but its data sheet."""

import pytest

from thecal.firmware.boards import fram


class Chip:
    """SPI bus, select pin and MB85RS2MT in one."""

    def __init__(self, answer=b"\x04\x7f\x48\x03"):
        self.answer = answer
        self.data = bytearray(fram.STORE_BYTES)
        self.bytes = bytearray()
        self.selected = self.enabled = False

    def __call__(self, level):
        if self.selected and level:
            self.enabled = self.bytes[0] == 0x06
        self.selected = level == 0
        self.bytes = bytearray()

    def _byte(self, value):
        assert self.selected
        self.bytes.append(value)
        at = len(self.bytes) - 1
        if self.bytes[0] == 0x9F:
            return (b"\0" + self.answer)[at] if at <= 4 else 0
        address = (int.from_bytes(self.bytes[1:4], "big") + at - 4) % fram.STORE_BYTES
        if at > 3 and self.bytes[0] == 0x02 and self.enabled:
            self.data[address] = value
        return self.data[address] if at > 3 and self.bytes[0] == 0x03 else 0

    def write(self, data):
        for value in data:
            self._byte(value)

    def readinto(self, buffer):
        for index in range(len(buffer)):
            buffer[index] = self._byte(0)


def test_is_found_by_its_identifier_only():
    for answer in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x04\x7f\x27\x03"):      # nothing, nothing, the smaller sister
        chip = Chip(answer)
        assert fram.find(chip, chip) is None and not chip.selected
    chip = Chip()
    assert fram.find(chip, chip) is not None and not chip.selected


def test_whole_buffers_and_parts_of_them():
    chip = Chip()
    store = fram.find(chip, chip)
    for address, buffer, length in ((0, b"whole", 5), (300, b"partly", 3), (fram.STORE_BYTES - 1, b"last", 1), (0x12345, b"", 0)):
        store.write(address, bytearray(buffer), length)
        assert chip.data[address:address + length] == buffer[:length] and not chip.selected
        for size in (length, length + 2):
            found = bytearray(b"\xee" * size)
            store.read(address, found, length)
            assert found[:length] == buffer[:length] and found[length:] == b"\xee" * (size - length)
    assert sum(chip.data) == sum(b"whole") + sum(b"par") + ord("l")


@pytest.mark.parametrize("address, length", [(-1, 1), (fram.STORE_BYTES, 1), (0, fram.STORE_BYTES + 1), (5, -1)])
def test_a_range_outside_is_refused(address, length):
    chip = Chip()
    store = fram.find(chip, chip)
    for method in (store.read, store.write):
        with pytest.raises(ValueError, match="outside 0..262144"):
            method(address, bytearray(4), length)
    assert not chip.selected
