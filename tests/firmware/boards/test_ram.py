"""A bit of a pump's memory turned over by the simulator: which it is, that it is one, and that nobody else knows."""

import pytest

from thecal.firmware.boards import latched as la
from thecal.firmware.boards.ram import RECORDS, turn_over
from thecal.firmware.schedule import Schedule


class Buffer:
    def __init__(self, size):
        self.buffer = bytearray(size)


class Pump:
    """The records of a pump of ours."""

    def __init__(self):
        self.commission_block = bytes(range(40))
        self.program_block = bytes(range(100, 180))
        self.supervisor = type("Supervisor", (), {})()
        self.supervisor._block, self.supervisor._copy = self.program_block, bytearray(11)
        self.settings = type("Settings", (), {})()
        self.settings._state, self.settings.bolus_state = Buffer(500), bytearray(200)
        self.schedule = Schedule()
        self.schedule.load(bytes(7), 2, bytes((2, 0, 0, 1, 0, 0, 0, 60, 0, 2, 0, 0, 0, 1, 0, 0, 3, 0, 0, 0)))

    def bits(self, name):
        """The record as a number."""
        if name == "schedule":
            return sum(rate << 32 * at for at, rate in enumerate(rate for day in self.schedule._rates for rate in day))
        assert self.supervisor._block is self.program_block
        found = {"commissioning": self.commission_block, "program": self.program_block, "copy": self.supervisor._copy,
                 "state": self.settings._state.buffer, "boluses": self.settings.bolus_state}[name]
        return int.from_bytes(found, "little")


SIZES = {"commissioning": 320, "program": 640, "copy": 88, "schedule": 96, "state": 4000, "boluses": 1600}


def asked(pump, record, bit):
    request = bytearray(la.REQUEST_BYTES)
    request[16:18], request[18:21] = record.to_bytes(2, "little"), bit.to_bytes(3, "little")
    return turn_over(pump, request)


@pytest.mark.req("TH-RULE-13", "TH-SUP-07")
@pytest.mark.parametrize("name", RECORDS)
def test_one_bit_of_one_record_and_nothing_else(name):
    assert set(SIZES) == set(RECORDS)
    for bit in (0, 1, SIZES[name] // 2 + 3, SIZES[name] - 1):
        pump, sound = Pump(), Pump()
        assert asked(pump, RECORDS.index(name), bit) == la.FLIPPED
        assert {other: pump.bits(other) ^ sound.bits(other) for other in RECORDS} == {other: (1 << bit) * (other == name) for other in RECORDS}
        assert asked(pump, RECORDS.index(name), bit) == la.FLIPPED and pump.bits(name) == sound.bits(name)


@pytest.mark.parametrize("name", RECORDS)
def test_a_bit_that_is_not_there_is_said(name):
    pump = Pump()
    assert asked(pump, RECORDS.index(name), SIZES[name]) == la.NO_RECORD
    assert [pump.bits(other) for other in RECORDS] == [Pump().bits(other) for other in RECORDS]


class Foreign:
    def __init__(self):
        self.records = [bytearray(4), bytearray(2)]

    def ram_records(self):
        return self.records


def test_a_foreign_firmware_hands_its_own_over_or_has_none():
    pump = Foreign()
    assert asked(pump, 1, 9) == la.FLIPPED and pump.records == [bytearray(4), bytearray(b"\0\2")]
    assert [asked(pump, record, bit) for record, bit in ((1, 16), (2, 0), (len(RECORDS), 0))] == [la.NO_RECORD] * 3
    assert asked(object(), 0, 0) == asked(None, 0, 0) == asked(Pump(), len(RECORDS), 0) == la.NO_RECORD
