"""ESP32 development board (ESP32, S2, S3; MicroPython 1.26 or newer) as the pump's board.

    pin      signal                                 wiring
    IO17/16  telemetry TX/RX, 115200 8N1 (UART 1)   to the host's RX/TX; UART 0 stays the console
    IO25     STEP                                   motor driver, one microstep at each rising edge
    IO26     DIR                                    motor driver, low: forward
    IO27     ENABLE, high: motor supply on          gate of the load switch in the driver's supply, 10k pull-down
    IO21/22  I2C SDA/SCL                            AS5600 angle sensor at the rotor, 4k7 pull-ups, counting up when running forward
    IO4      reed switch                            to ground while a magnet is near
    IO14     buzzer                                 passive, through a transistor
    IO18/19/23/5  SPI SCK, MISO, MOSI, CS           MB85RS2MT FRAM; without one the store lives in the flash file system
    IO13     bench jumper                           to ground at boot: the encoder is simulated
    IO32     reservoir level                        0..3.1 V, 4096 raw counts
    IO33     inlet pressure                         0..3.1 V, 4096 raw counts
    IO34     temperature                            analogue sensor, 4096 raw counts
    IO35     battery                                through a divider by 2, full scale 6200 mV

Bare boards and the bench jumper: as boards/pico.py says. A first working version: its types are checked against the port's stubs,
its logic is the Pico's; no ESP32 has run it, and the emulator has none.

Two RMT channels take the place of PIO. ENABLE is one pulse of at most five symbols, which lie in the channel's memory before it
starts: it ends by itself. A train of more than 48 steps is refilled by the driver's interrupt; if that died, ENABLE would end the motion.
"""

import esp32
import machine
from machine import ADC, I2C, PWM, RTC, SPI, UART, WDT, Pin

from ..app import App
from ..ports import MAX_HOLD_MS, STEP_HZ
from . import dev_board, fram
from .dev_inputs import Analog, As5600, BenchEncoder, Magnet, Polls
from .dev_outputs import StepMotor, Tone, Uart
from .flash_store import FlashStore
from .heap import settled

RMT_HZ = 320_000                    # near the slowest that the 80 MHz clock divides to
HALF_STEP = RMT_HZ // STEP_HZ // 2
PART_MS = 100                       # longest part of a hold: a symbol lasts at most 32767 ticks
MOST_STEPS = MAX_HOLD_MS * STEP_HZ // 1000
assert PART_MS * RMT_HZ // 1000 <= 32767
assert RMT_HZ % (2 * STEP_HZ) == 0


class RmtMotor(StepMotor):
    """STEP and ENABLE from two RMT channels."""

    def __init__(self):
        super().__init__()
        self._enable = Pin(27, Pin.OUT, value=0)
        self._step = Pin(25, Pin.OUT, value=0)
        Pin(26, Pin.OUT, value=0)
        self._channels = []         # of ENABLE and STEP while the pins are theirs

    def _arm(self):
        for pin in (self._enable, self._step):
            self._channels.append(esp32.RMT(pin=pin, resolution_hz=RMT_HZ, idle_level=False))

    def _fire(self, steps, hold_ms):
        if not self._channels:
            self._arm()
        hold, train = self._channels
        parts = [PART_MS * RMT_HZ // 1000] * (hold_ms // PART_MS)
        if hold_ms % PART_MS:
            parts.append(hold_ms % PART_MS * RMT_HZ // 1000)
        if parts:
            hold.write_pulses(parts, [True] * len(parts))
        # Steps beyond the longest lease would be lost in the driver; here they need not be made.
        train.write_pulses([HALF_STEP] * (2 * min(steps, MOST_STEPS)), False)

    def _cut(self):
        # The pins go back to the processor first: that ends ENABLE whatever the channels do.
        self._enable.init(Pin.OUT, value=0)
        self._step.init(Pin.OUT, value=0)
        while self._channels:
            self._channels.pop().deinit()


class RtcMemory:
    """The therapy second in the RTC's memory, which a power-up clears: mark, second in big-endian hex, mark."""

    MARKS = (b"kept", b"soft")

    def __init__(self, rtc):
        self._rtc = rtc
        kept = rtc.memory()
        self.software = kept[:4] == b"soft"
        whole = len(kept) == 16 and kept[:4] in self.MARKS and kept[12:] == b"kept"
        self._kept_s = int(kept[4:12], 16) if whole else 0

    def time_s(self):
        """The second that was kept, 0 if none was: the pump then begins at its epoch and learns better from its records."""
        return self._kept_s

    def save(self, time_s):
        """Keep this second."""
        self._rtc.memory(b"kept%08xkept" % time_s)

    def asked_for(self, time_s):
        """The reset that follows is ours."""
        self._rtc.memory(b"soft%08xkept" % time_s)


def _reset_cause(kept):
    cause = machine.reset_cause()
    if cause == machine.WDT_RESET:
        return dev_board.WATCHDOG
    if cause == machine.PWRON_RESET:
        return dev_board.POWER_ON
    return dev_board.SOFTWARE if kept.software else dev_board.UNKNOWN


def _store():
    select = Pin(5, Pin.OUT, value=1)
    spi = SPI(2, baudrate=10_000_000, sck=Pin(18), mosi=Pin(23), miso=Pin(19, Pin.IN, Pin.PULL_UP))
    return fram.find(spi, select) or FlashStore("store")


class Board(dev_board.DevBoard):
    """The ESP32. `bench` simulates the encoder; None: the jumper says. The watchdog runs from here on and cannot be stopped."""

    def __init__(self, bench=None):
        polls = Polls()
        rtc = RTC()
        self._kept = RtcMemory(rtc)
        cause = _reset_cause(self._kept)
        if bench is None:
            bench = Pin(13, Pin.IN, Pin.PULL_UP).value() == 0
        motor = RmtMotor()
        bus = I2C(0, sda=Pin(21), scl=Pin(22), freq=400_000, timeout=1000)
        encoder = BenchEncoder(polls, motor) if bench else As5600(polls, bus)
        analogs = [Analog(polls, ADC(Pin(pin), atten=ADC.ATTN_11DB), factor) for pin, factor in ((32, 4096), (33, 4096), (34, 4096), (35, 6200))]
        line = UART(1, 115200, tx=Pin(17), rx=Pin(16), rxbuf=1024, txbuf=1024, timeout=0)
        runtime = dev_board.runtime(bench)
        super().__init__(polls, dev_board.Ports(
            clock=dev_board.Clock(polls, rtc, self._kept), motor=motor, encoder=encoder, analogs=analogs,
            uart=Uart(polls, line), store=_store(), tone=Tone(PWM(Pin(14), freq=2000, duty_u16=0)),
            magnet=Magnet(polls, Pin(4, Pin.IN, Pin.PULL_UP)), system=dev_board.System(cause), runtime=runtime))
        print("thecal on " + runtime)
        self._watchdog = WDT(timeout=dev_board.WATCHDOG_MS)

    def feed(self):
        """See DevBoard."""
        self._watchdog.feed()

    def restart(self):
        """See DevBoard."""
        self._kept.asked_for(self.ports.clock.now_s())
        machine.reset()

    def release(self):
        """See DevBoard. This watchdog cannot be stopped: a timer feeds it until the next reset."""
        self.ports.motor.drop_enable()
        machine.Timer(0, period=dev_board.SLICE_MS, callback=lambda _: self._watchdog.feed())


def run():
    """Be a pump for ever."""
    board = Board()
    app = App(board.ports)
    settled()
    dev_board.serve(board, app.step)
