"""Raspberry Pi Pico (RP2040) as the pump's board.

    pin     signal                                  wiring
    GP0     telemetry TX, 115200 8N1                to the host's RX
    GP1     telemetry RX                            to the host's TX
    GP2     STEP                                    motor driver, one microstep at each rising edge
    GP3     DIR                                     motor driver, low: forward
    GP4/5   I2C0 SDA/SCL                            AS5600 angle sensor at the rotor, 4k7 pull-ups, counting up when running forward
    GP6     ENABLE, high: motor supply on           gate of the load switch in the driver's supply, 10k pull-down
    GP14    reed switch                             to ground while a magnet is near
    GP15    buzzer                                  passive, through a transistor
    GP16-19 SPI0 RX, CS, SCK, TX                    MB85RS2MT FRAM; without one the store lives in the flash file system
    GP22    bench jumper                            to ground at boot: the encoder is simulated, see below
    GP26    reservoir level                         0..3.3 V, 4096 raw counts
    GP27    inlet pressure                          0..3.3 V, 4096 raw counts
    GP29    battery: VSYS / 3, on the board         mV
    -       temperature: the chip's own sensor      4096 minus raw counts of 3.3 V: 3161 at 0 C and 2 a degree (RP2040 data sheet 4.9.5)

A bare board boots: without an AS5600 the rotor stands still for the supervisor, which says so by the motor stall alarm. With the
bench jumper the angle is computed from the ordered steps instead; the identity then ends in "bench encoder" and the console
says so at boot. Nothing else is simulated.

Two state machines of PIO 0 run at 32 clocks a step. One emits exactly the ordered number of steps and stops; the other holds
ENABLE for the lease and lets it fall. Both work on whatever becomes of the code; a chip reset turns ENABLE into an input, and
the pull-down does the rest.
"""

import machine
import rp2
from machine import ADC, I2C, PWM, RTC, SPI, UART, WDT, Pin

from ..app import App
from ..ports import STEP_HZ
from . import dev_board, fram
from .dev_inputs import Analog, As5600, BenchEncoder, Magnet, Polls
from .dev_outputs import StepMotor, Tone, Uart
from .flash_store import FlashStore
from .heap import settled

# The PIO assembler's words exist only while rp2.asm_pio runs a program; this line shows them to the type checker alone.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from rp2.asm_pio import *

STEP_PIN, DIR_PIN, ENABLE_PIN = 2, 3, 6
CLOCKS = 32             # of a state machine in one step; both programs below count on it
PIO_HZ = CLOCKS * STEP_HZ

WATCHDOG_CTRL, WATCHDOG_ENABLE = 0x40058000, 1 << 30        # RP2040 data sheet 4.7.6
SCRATCH = 0x4005800C    # eight words that outlive every reset but a power-up; the first four are free for us
KEPT, KEPT_SOFTWARE = 0x2C7A5E10, 0x2C7A5E11                # marks in the first word: a second is kept; and the reset was asked for
KEPT_CHECK = 0x15A5A5A5                                     # the third word is the second with these bits turned over


def _step_program():
    @rp2.asm_pio(sideset_init=rp2.PIO.OUT_LOW)
    def train():
        wrap_target()
        pull(block)             .side(0)        # steps - 1
        mov(x, osr)             .side(0)
        label("step")
        nop()                   .side(0)    [15]
        jmp(x_dec, "step")      .side(1)    [15]
        wrap()

    return train


def _hold_program():
    @rp2.asm_pio(sideset_init=rp2.PIO.OUT_LOW)
    def hold():
        wrap_target()
        pull(block)             .side(0)        # step times - 1
        mov(x, osr)             .side(0)
        label("held")
        nop()                   .side(1)    [15]
        jmp(x_dec, "held")      .side(1)    [15]
        wrap()

    return hold


class PioMotor(StepMotor):
    """STEP and ENABLE from two state machines: a finite train and a one-shot."""

    def __init__(self):
        super().__init__()
        self._enable = Pin(ENABLE_PIN, Pin.OUT, value=0)
        self._step = Pin(STEP_PIN, Pin.OUT, value=0)
        Pin(DIR_PIN, Pin.OUT, value=0)
        rp2.PIO(0).remove_program()     # what a soft reset left behind
        self._programs = (_step_program(), _hold_program())
        self._train = rp2.StateMachine(0)
        self._hold = rp2.StateMachine(1)
        self._armed = False

    def _arm(self):
        self._train.init(self._programs[0], freq=PIO_HZ, sideset_base=self._step)
        self._hold.init(self._programs[1], freq=PIO_HZ, sideset_base=self._enable)
        self._train.active(1)
        self._hold.active(1)
        self._armed = True

    def _fire(self, steps, hold_ms):
        if not self._armed:
            self._arm()
        if hold_ms:
            self._hold.put(hold_ms * STEP_HZ // 1000 - 1)
        self._train.put(steps - 1)

    def _cut(self):
        # The pins go back to the processor first: that ends ENABLE whatever the state machines do.
        self._enable.init(Pin.OUT, value=0)
        self._step.init(Pin.OUT, value=0)
        self._hold.active(0)
        self._train.active(0)
        self._armed = False


class Scratch:
    """The therapy second in the watchdog's scratch words: kept through every reset except a power-up."""

    def __init__(self):
        mark = machine.mem32[SCRATCH]
        self.software = mark == KEPT_SOFTWARE
        self._kept_s = -1
        if mark in (KEPT, KEPT_SOFTWARE) and machine.mem32[SCRATCH + 8] == machine.mem32[SCRATCH + 4] ^ KEPT_CHECK:
            self._kept_s = machine.mem32[SCRATCH + 4]

    def time_s(self):
        """The second that was kept, 0 if none was: the pump then begins at its epoch and learns better from its records."""
        return max(self._kept_s, 0)

    def save(self, time_s):
        """Keep this second."""
        machine.mem32[SCRATCH] = KEPT
        machine.mem32[SCRATCH + 4] = time_s
        machine.mem32[SCRATCH + 8] = time_s ^ KEPT_CHECK

    def asked_for(self):
        """The reset that follows is ours."""
        machine.mem32[SCRATCH] = KEPT_SOFTWARE


def _reset_cause(scratch):
    cause = machine.reset_cause()
    if cause == machine.WDT_RESET:      # machine.reset() goes through the watchdog too
        return dev_board.SOFTWARE if scratch.software else dev_board.WATCHDOG
    return dev_board.POWER_ON if cause == machine.PWRON_RESET else dev_board.UNKNOWN


def _store():
    select = Pin(17, Pin.OUT, value=1)
    spi = SPI(0, baudrate=10_000_000, sck=Pin(18), mosi=Pin(19), miso=Pin(16, Pin.IN, Pin.PULL_UP))
    return fram.find(spi, select) or FlashStore("store")


class Board(dev_board.DevBoard):
    """The Pico. `bench` simulates the encoder; None: the jumper says. The watchdog runs from here on."""

    def __init__(self, bench=None):
        polls = Polls()
        self._scratch = Scratch()
        cause = _reset_cause(self._scratch)
        if bench is None:
            bench = Pin(22, Pin.IN, Pin.PULL_UP).value() == 0
        motor = PioMotor()
        # The I2C time-out is what an absent or stuck chip may cost a step.
        bus = I2C(0, sda=Pin(4), scl=Pin(5), freq=400_000, timeout=1000)
        encoder = BenchEncoder(polls, motor) if bench else As5600(polls, bus)
        analogs = (Analog(polls, ADC(26), 4096), Analog(polls, ADC(27), 4096),
                   Analog(polls, ADC(ADC.CORE_TEMP), -4096, 4096), Analog(polls, ADC(29), 9900))
        line = UART(0, 115200, tx=Pin(0), rx=Pin(1), rxbuf=1024, txbuf=1024, timeout=0)
        runtime = dev_board.runtime(bench)
        super().__init__(polls, dev_board.Ports(
            clock=dev_board.Clock(polls, RTC(), self._scratch), motor=motor, encoder=encoder, analogs=analogs,
            uart=Uart(polls, line), store=_store(), tone=Tone(PWM(Pin(15), freq=2000, duty_u16=0)),
            magnet=Magnet(polls, Pin(14, Pin.IN, Pin.PULL_UP)), system=dev_board.System(cause), runtime=runtime))
        print("thecal on " + runtime)
        self._watchdog = WDT(timeout=dev_board.WATCHDOG_MS)

    def feed(self):
        """See DevBoard."""
        self._watchdog.feed()

    def restart(self):
        """See DevBoard."""
        self._scratch.asked_for()
        machine.reset()

    def release(self):
        """Somebody took the console (Ctrl-C, mpremote): cut the motor and stop the watchdog, so that files can be copied in peace."""
        self.ports.motor.drop_enable()
        machine.mem32[WATCHDOG_CTRL] = machine.mem32[WATCHDOG_CTRL] & ~WATCHDOG_ENABLE


def run():
    """Be a pump for ever."""
    board = Board()
    app = App(board.ports)
    settled()
    dev_board.serve(board, app.step)
