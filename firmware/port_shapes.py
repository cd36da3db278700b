"""The ports in prose: all that the firmware knows of hardware (DESIGN 4). Boards build objects of these shapes; no pump loads this module.

A board may inherit from these classes or merely look like them; nothing checks the type. All values are integers. Inputs
are *frozen within a step*: a board takes one snapshot before `app.step()`, so two reads in a step agree. Every read counts
as a poll; more than MAX_POLLS of them in one step raise TooManyPolls, which turns a busy-wait into a named error (R7).
A method that reads must not allocate (R8). Raw sensor values go through scales of the commissioning record, not code.
Bounds, errors and the bundle that holds one object a port: firmware/ports.py.
"""


class Clock:
    """Two sources of time. They are compared by the supervisor; neither is trusted alone."""

    def now_s(self):
        """Therapy time from the RTC: whole seconds since the pump's epoch (Monday 2024-01-01 00:00 local), 0 <= t < 2**30."""
        raise NotImplementedError

    def elapsed_ms(self):
        """Milliseconds of the steady tick since the previous step, 0..MAX_DELAY_MS * 2. The board owns the tick's wrap."""
        raise NotImplementedError

    def set_s(self, time_s):
        """Set the RTC (an order of the clinician)."""
        raise NotImplementedError


class Motor:
    """The stepper behind the separate enable switch."""

    def order(self, steps, hold_ms):
        """Turn `steps` (1..65535) at STEP_HZ, enable held by the hardware one-shot for `hold_ms` (0..MAX_HOLD_MS).

        The train is finite in hardware and enable falls by itself: an order is a lease, whatever becomes of the code.
        With a hold of 0 the switch stays open under the train: nothing may turn, which is how the switch is tested.
        """
        raise NotImplementedError

    def drop_enable(self):
        """Cut the motor now: the supervisor's alone (R11)."""
        raise NotImplementedError


class Encoder:
    """12-bit absolute angle of the rotor."""

    def angle(self):
        """0..counts_per_rev - 1."""
        raise NotImplementedError


class Analog:
    """One analogue input: level, inlet pressure, temperature, battery."""

    def read(self):
        """Raw counts, 0..65535 (battery: mV)."""
        raise NotImplementedError


class Uart:
    """The telemetry line. Received bytes wait in a ring of the board."""

    def any(self):
        """Bytes waiting."""
        raise NotImplementedError

    def read_byte(self):
        """The next waiting byte, or -1."""
        raise NotImplementedError

    def write(self, buffer, length):
        """Queue buffer[:length]; never blocks (a full queue drops and counts)."""
        raise NotImplementedError


class Store:
    """Byte-addressed memory that survives power loss: 256 KB FRAM, or its flash-file twin."""

    def read(self, address, buffer, length):
        """Fill buffer[:length] from `address`."""
        raise NotImplementedError

    def write(self, address, buffer, length):
        """Write buffer[:length] at `address`. Power may fail before, inside or behind any write. Raises OSError when it cannot."""
        raise NotImplementedError


class Tone:
    """The buzzer."""

    def sound(self, kind):
        """0: silent, 1: single tone (non-critical), 2: two-tone (critical); plays once, a board gives it its length."""
        raise NotImplementedError


class System:
    """Reset cause and reset."""

    def reset_cause(self):
        """0 unknown, 1 power-on, 2 brown-out, 3 watchdog, 4 software."""
        raise NotImplementedError

    def reset(self):
        """Ask for a reset behind this step."""
        raise NotImplementedError


class Magnet:
    """The reed switch."""

    def present(self):
        """1 while a magnet is at the pump, else 0."""
        raise NotImplementedError


class Entropy:
    """Random bytes for nonces."""

    def fill(self, buffer):
        """Fill the whole buffer."""
        raise NotImplementedError
