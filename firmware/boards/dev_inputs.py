"""Inputs of the development boards: sampled once before a step, read from memory within it, every read counted (R7).

`sample()` asks the hardware; the port's own method answers what it saw. See firmware/ports.py for the methods themselves.
"""

import time

from ..ports import MAX_POLLS, TooManyPolls

COUNTS = 4096           # of the encoder: 12 bit, one turn; and microsteps of one turn, which the bench encoder relies on


class Polls:
    """How often the running step read an input."""

    def __init__(self):
        self.count = 0

    def tick(self):
        """Count one read. Raises TooManyPolls beyond MAX_POLLS in one step."""
        self.count += 1
        if self.count > MAX_POLLS:
            raise TooManyPolls


class As5600:
    """The AS5600 magnetic angle sensor on I2C, address 0x36: status at 0x0B, raw angle at 0x0C and 0x0D (its data sheet).

    No chip, or a chip that sees no magnet, reads ABSENT and is counted in `missing`: a rotor that never turns, which the
    supervisor finds as lost pulses. The board does not fail over it.
    """

    ABSENT = 0
    _ADDRESS, _STATUS, _MAGNET = 0x36, 0x0B, 0x20

    def __init__(self, polls, i2c):
        self._polls = polls
        self._i2c = i2c
        self._bytes = bytearray(3)
        self._angle = 0
        self.missing = 0
        self.present = False
        self.sample()

    def sample(self):
        """Read the chip and return the angle."""
        data = self._bytes
        try:
            self._i2c.readfrom_mem_into(self._ADDRESS, self._STATUS, data)
            self.present = data[0] & self._MAGNET != 0
        except OSError:
            self.present = False
        if self.present:
            self._angle = (data[1] & 0x0F) << 8 | data[2]
        else:
            self.missing += 1
            self._angle = self.ABSENT
        return self._angle

    def angle(self):
        """See port_shapes.Encoder."""
        self._polls.tick()
        return self._angle


class BenchEncoder:
    """The bench jumper's encoder: the angle that the ordered steps would give. It proves nothing, and says so in the identity."""

    present = True
    missing = 0

    def __init__(self, polls, motor):
        self._polls = polls
        self._motor = motor
        self._angle = 0

    def sample(self):
        """Compute the angle from the motor's orders."""
        self._angle = (self._motor.turned + self._motor.progress(time.ticks_ms())) % COUNTS
        return self._angle

    def angle(self):
        """See port_shapes.Encoder."""
        self._polls.tick()
        return self._angle


class Analog:
    """One ADC pin. `read()` is its 16-bit reading times `factor`, divided by 2**16: 4096 for raw 12-bit counts, full scale in mV else.

    A sensor whose voltage falls with what it measures has a negative factor and a `base` as large: its counts rise.
    """

    def __init__(self, polls, adc, factor, base=0):
        assert -(1 << 30) < factor * 65535 < 1 << 30
        self._polls = polls
        self._adc = adc
        self._factor = factor
        self._base = base
        self._value = 0

    def sample(self):
        """Read the pin."""
        self._value = self._base + (self._adc.read_u16() * self._factor >> 16)

    def read(self):
        """See port_shapes.Analog."""
        self._polls.tick()
        return self._value


class Magnet:
    """The reed switch between a pulled-up pin and ground."""

    def __init__(self, polls, pin):
        self._polls = polls
        self._pin = pin
        self._present = 0

    def sample(self):
        """Read the pin."""
        self._present = 1 - self._pin.value()

    def present(self):
        """See port_shapes.Magnet."""
        self._polls.tick()
        return self._present
