"""sim:// through pyserial itself, without the host: what `serial.serial_for_url` finds when our handlers are announced."""

import pytest
import serial

from thecal.protocol import catalogue, frame


@pytest.fixture
def announced(monkeypatch):
    monkeypatch.setattr(serial, "protocol_handler_packages", [*serial.protocol_handler_packages, "thecal.hw_sim.handlers"])


def hello():
    out = bytearray(frame.MAX_FRAME)
    payload = bytes((1,)) + catalogue.schema_crc().to_bytes(4, "little")
    size = frame.encode(out, frame.CLASS_OPEN, catalogue.HELLO, 0, 1, payload, len(payload), 0)
    return bytes(out[:size])


def test_pyserial_opens_a_pump_of_its_own_for_each_url(announced):
    with serial.serial_for_url("sim://?runtime=inprocess", timeout=1) as port, \
            serial.serial_for_url("sim://?runtime=inprocess", timeout=1) as other:
        port.write(hello())
        decoder = frame.Decoder(catalogue.schema_crc())
        outcomes = [decoder.feed(byte) for byte in port.read_until(b"\0")]
        assert outcomes[-1] == frame.FRAME
        assert decoder.message_id == catalogue.HELLO | catalogue.REPLY_BIT
        assert port.world is not other.world
        assert other.world.now_us == 0


def test_a_line_in_the_url_is_as_bad_as_it_says(announced):
    with serial.serial_for_url("sim://?runtime=inprocess&line=host.loss=1", timeout=1) as port:
        port.write(hello())
        assert port.read_until(b"\0") == b"" and port.world.line.counters()["host"]["lost"] == 1
    with serial.serial_for_url("sim://?runtime=inprocess&line=pump.dup=1", timeout=1) as port:
        port.write(hello())
        assert port.read_until(b"\0") == port.read_until(b"\0") != b""


@pytest.mark.parametrize("url, words", [
    ("sim://?speed=3", ["speed", "runtime"]),
    ("sim://somewhere", ["somewhere"]),
    ("sim://?runtime=jython", ["jython", "micropython"]),
    ("sim://?scenario=nowhere", ["nowhere"]),
    ("sim://?runtime=inprocess&seed=many", ["many"]),
    ("sim://?runtime=inprocess&line=loss=2", ["line: loss is 2", "between 0 and 1"]),
])
def test_a_url_that_means_nothing_is_one_sentence(announced, url, words):
    with pytest.raises(serial.SerialException) as refused:
        serial.serial_for_url(url, timeout=1)
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)
