"""What boards and the firmware share of the ports: bounds, errors and the bundle. The ports themselves, in prose: firmware/port_shapes.py."""

MAX_POLLS = 10000       # DESIGN R7: a spinning step is a named error, not a hang
MAX_HOLD_MS = 500       # the enable one-shot can never be armed for longer than this, in hardware
STEP_HZ = 1000          # every board turns its motor at this rate; commissioning a head for another is refused
MAX_DELAY_MS = 3600000  # a step is always due again within an hour


class TooManyPolls(Exception):
    """A step read its inputs more than MAX_POLLS times: it waits for something inside a step, where time stands still."""


class PowerCut(Exception):
    """Raised by a store that was told to lose power at its k-th write; nothing but the board's main loop may catch it."""


class Ports:
    """The bundle a board hands to `App(ports)` or to a foreign `build(ports)`: one attribute per port (firmware/port_shapes.py).

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
