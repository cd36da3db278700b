"""The ports in prose: all that the firmware knows of hardware (DESIGN 4). Boards build objects of these shapes.

A board may inherit from these classes or merely look like them; nothing checks the type. All values are integers. Inputs
are *frozen within a step*: a board takes one snapshot before `app.step()`, so two reads in a step agree. Every read counts
as a poll; more than MAX_POLLS of them in one step raise TooManyPolls, which turns a busy-wait into a named error (R7).
A method that reads must not allocate (R8). Raw sensor values go through scales of the commissioning record, not code.
"""

MAX_POLLS = 10000       # DESIGN R7: a spinning step is a named error, not a hang
MAX_HOLD_MS = 500       # the enable one-shot can never be armed for longer than this, in hardware
STEP_HZ = 1000          # every board turns its motor at this rate; commissioning a head for another is refused
MAX_DELAY_MS = 3600000  # a step is always due again within an hour


class TooManyPolls(Exception):
    """A step read its inputs more than MAX_POLLS times: it waits for something inside a step, where time stands still."""


class PowerCut(Exception):
    """Raised by a store that was told to lose power at its k-th write; nothing but the board's main loop may catch it."""


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
        """Turn `steps` (1..65535) at STEP_HZ, enable held by the hardware one-shot for `hold_ms` (1..MAX_HOLD_MS).

        The train is finite in hardware and enable falls by itself: an order is a lease, whatever becomes of the code.
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


class Ports:
    """The bundle a board hands to `App(ports)` or to a foreign `build(ports)`: one attribute per port.

    clock, motor, encoder, level, inlet_pressure, temperature, battery, uart, store, tone, magnet, entropy, system;
    `runtime` is a short text for the identity message.
    """

    def __init__(self, clock, motor, encoder, level, inlet_pressure, temperature, battery, uart, store, tone, magnet, entropy,
                 system, runtime):
        self.clock = clock
        self.motor = motor
        self.encoder = encoder
        self.level = level
        self.inlet_pressure = inlet_pressure
        self.temperature = temperature
        self.battery = battery
        self.uart = uart
        self.store = store
        self.tone = tone
        self.magnet = magnet
        self.entropy = entropy
        self.system = system
        self.runtime = runtime
