"""The loop between two steps, under a clock that only the board's own sleep moves; it wraps five seconds into every test."""

import pytest

from thecal.firmware import ports as bounds
from thecal.firmware.boards import dev_board, dev_inputs, dev_outputs
from thecal.firmware.boards.dev_board import SLICE_MS, DevBoard, Ports, System

LIMIT_MS = dev_board.SLICE_MS


class Rtc:
    def __init__(self, fake_time, year=2021):
        self.time = fake_time
        self.set_at = fake_time.ms
        self.base = fake_time.mktime((year, 1, 1, 0, 0, 0))

    def datetime(self, fields=None):
        if fields is None:
            day = self.time.gmtime(self.base + (self.time.ms - self.set_at) // 1000)
            return day[:3] + (day[6],) + day[3:6] + (0,)
        self.base = self.time.mktime(fields[:3] + fields[4:7])
        self.set_at = self.time.ms
        return None


class Keep:
    def __init__(self, kept_s=0):
        self.kept_s = kept_s

    def time_s(self):
        return self.kept_s

    def save(self, time_s):
        self.kept_s = time_s


class Motor(dev_outputs.StepMotor):
    def __init__(self, log):
        super().__init__()
        self.log = log

    def _fire(self, steps, hold_ms):
        self.log.append(("fire", steps, hold_ms))

    def _cut(self):
        self.log.append(("cut",))


class Line:
    """machine.UART: takes `room` bytes at a time."""

    def __init__(self, log):
        self.log = log
        self.inbox = bytearray()
        self.room = 100
        self.sent = bytearray()

    def any(self):
        return len(self.inbox)

    def readinto(self, buffer):
        if not self.inbox:
            return None
        buffer[0] = self.inbox.pop(0)
        return 1

    def write(self, data):
        if self.room == 0:
            return None
        taken = bytes(data)[:self.room]
        self.sent += taken
        self.log.append(("line", len(taken)))
        return len(taken)

    def txdone(self):
        return True


class Chip:
    """AS5600, or nothing at its address."""

    def __init__(self):
        self.angle = 0
        self.present = True

    def readfrom_mem_into(self, address, register, buffer):
        assert (address, register, len(buffer)) == (0x36, 0x0B, 3)
        if not self.present:
            raise OSError(5)
        buffer[0], buffer[1], buffer[2] = 0x20, self.angle >> 8, self.angle & 0xFF


class Adc:
    raw = 0

    def read_u16(self):
        return self.raw


class Pin:
    level = 1

    def value(self):
        return self.level


class Pwm:
    def __init__(self, log):
        self.log = log

    def freq(self, hertz):
        self.log.append(("freq", hertz))

    def duty_u16(self, duty):
        self.log.append(("duty", duty))


class Board(DevBoard):
    """Everything above, and a log of what left the board, with its millisecond."""

    def __init__(self, fake_time, keep=None, bench=False):
        self.time = fake_time
        self.log = []
        self.polls = dev_inputs.Polls()
        self.chip, self.line, self.pin, self.keep = Chip(), Line(self.log), Pin(), keep or Keep()
        self.adc = [Adc() for _ in range(4)]
        motor = Motor(self.log)
        encoder = dev_inputs.BenchEncoder(self.polls, motor) if bench else dev_inputs.As5600(self.polls, self.chip)
        self.fed = []
        super().__init__(self.polls, Ports(
            clock=dev_board.Clock(self.polls, Rtc(fake_time), self.keep), motor=motor, encoder=encoder,
            analogs=[dev_inputs.Analog(self.polls, adc, 4096) for adc in self.adc[:3]] + [dev_inputs.Analog(self.polls, self.adc[3], 9900)],
            uart=dev_outputs.Uart(self.polls, self.line), store=None, tone=dev_outputs.Tone(Pwm(self.log)),
            magnet=dev_inputs.Magnet(self.polls, self.pin), system=System(dev_board.POWER_ON), runtime=dev_board.runtime(bench)))

    def feed(self):
        self.fed.append(self.time.ms)

    def restart(self):
        self.log.append(("restart",))
        raise SystemExit

    def release(self):
        self.log.append(("release",))


@pytest.fixture
def board(fake_time):
    made = Board(fake_time)
    made.begin()
    return made


@pytest.mark.slow
@pytest.mark.req("TH-SUP-09")
def test_sleeps_until_due_and_feeds_the_watchdog_in_slices(board, fake_time):
    start = fake_time.ms
    board.end(3_600_000)
    assert fake_time.ms == start + 3_600_000
    gaps = [b - a for a, b in zip(board.fed, board.fed[1:])]
    assert board.fed[0] == start and max(gaps) <= SLICE_MS and fake_time.ms - board.fed[-1] <= SLICE_MS
    board.begin()
    assert board.ports.clock.elapsed_ms() == 3_600_000          # over the wrap of the tick


@pytest.mark.req("TH-SUP-09")
def test_the_steps_own_time_counts_against_its_delay(board, fake_time):
    start = fake_time.ms
    fake_time.ms += 700
    board.end(1000)
    assert fake_time.ms == start + 1000
    board.begin()
    fake_time.ms += 1500        # a step that ends when it was to be due again
    board.end(1000)
    assert fake_time.ms == start + 2500


def test_inputs_are_frozen_and_counted(board, fake_time):
    ports = board.ports
    board.chip.angle, board.adc[0].raw, board.adc[3].raw, board.pin.level = 4095, 65535, 65535, 0
    board.line.inbox += b"ab"
    fake_time.ms += 2500
    assert (ports.encoder.angle(), ports.level.read(), ports.magnet.present(), ports.uart.any(), ports.clock.elapsed_ms()) == (0, 0, 0, 0, 0)
    assert ports.uart.read_byte() == -1         # it came in after the snapshot
    board.begin()
    assert (ports.encoder.angle(), ports.level.read(), ports.battery.read(), ports.magnet.present()) == (4095, 4095, 9899, 1)
    assert ports.clock.elapsed_ms() == 2500 and ports.clock.now_s() == 2
    assert [ports.uart.any(), ports.uart.read_byte(), ports.uart.read_byte(), ports.uart.read_byte()] == [2, 97, 98, -1]
    with pytest.raises(bounds.TooManyPolls):
        while True:
            ports.uart.any()
    assert board.polls.count == bounds.MAX_POLLS + 1
    board.begin()
    assert ports.inlet_pressure.read() == 0


def test_a_burst_on_the_line_ends_the_sleep_once_it_is_over(board, fake_time):
    start = fake_time.ms
    for after in range(0, 12, 4):       # three chunks in twelve milliseconds, then silence
        fake_time.at.append((start + 1000 + after, lambda: board.line.inbox.extend(b"x" * 40)))
    board.end(60_000)
    assert fake_time.ms - start <= 1000 + 12 + 2 * dev_outputs.NAP_MS
    board.begin()
    assert board.ports.uart.any() == 120


def test_a_long_burst_ends_the_sleep_before_it_is_over(board, fake_time):
    start = fake_time.ms
    for after in range(0, 400, 4):
        fake_time.at.append((start + after, lambda: board.line.inbox.extend(b"x" * 46)))
    board.end(60_000)
    assert len(board.line.inbox) < 300


def test_motor_goes_before_the_line_and_both_wait_for_the_end_of_the_step(board):
    board.ports.uart.write(bytearray(b"reply"), 5)
    board.ports.motor.order(117, 147)
    assert board.log == []
    board.end(1)
    assert board.log == [("fire", 117, 147), ("line", 5)]
    assert bytes(board.line.sent) == b"reply"


def test_a_slow_line_takes_the_rest_later_and_a_full_one_drops(board):
    uart = board.ports.uart
    board.line.room = 0
    uart.write(bytearray(2000), 2000)
    uart.write(bytearray(60), 60)
    assert uart.dropped == 60
    board.end(1)
    board.line.room = 30
    board.begin()
    board.end(400)
    assert len(board.line.sent) == 2000
    uart.write(bytearray(2048), 2048)
    assert uart.dropped == 60


@pytest.mark.req("TH-SUP-02")
@pytest.mark.parametrize("steps, hold_ms", [(0, 1), (65536, 1), (1, -1), (1, 501)])
def test_an_order_out_of_bounds_is_refused(board, steps, hold_ms):
    with pytest.raises(ValueError, match="outside"):
        board.ports.motor.order(steps, hold_ms)
    board.end(1)
    assert board.log == []


@pytest.mark.req("TH-SUP-02")
def test_leases_and_trains_never_queue_up(board, fake_time):
    motor = board.ports.motor
    for steps, hold_ms, pause_ms, cut in ((117, 147, 1, False), (117, 147, 100, False), (900, 100, 500, False), (1, 1, 500, True)):
        board.log.clear()
        board.begin()
        motor.order(steps, hold_ms)
        board.end(pause_ms)
        assert (("cut",) in board.log) == cut


def test_a_pulse_is_seen_through_whoever_calls(board, fake_time):
    board.begin()
    fake_time.ms += 120         # two writes to the flash
    start = fake_time.ms
    board.ports.motor.order(117, 147)
    board.line.inbox += b"hurry"
    board.end(10)
    assert 147 < fake_time.ms - start <= 147 + dev_outputs.SETTLE_MS + 2 * dev_outputs.NAP_MS
    board.begin()
    assert board.ports.uart.any() == 5 and board.ports.clock.elapsed_ms() >= 120 + 147


@pytest.mark.req("TH-SUP-03")
def test_drop_enable_acts_at_once_and_forgets_the_order(board):
    board.ports.motor.order(117, 147)
    board.ports.motor.drop_enable()
    assert board.log == [("cut",)]
    board.end(1)
    assert board.log == [("cut",)]


@pytest.mark.req("TH-SUP-03")
def test_motion_without_a_lease_ends_the_sleep(board, fake_time):
    start = fake_time.ms

    def turn():
        board.chip.angle = 4096 - 9     # backwards over the zero, one count more than noise

    fake_time.at.append((start + 10_000, turn))
    board.end(60_000)
    assert 10_000 <= fake_time.ms - start <= 10_000 + dev_board.WATCH_MS + dev_outputs.NAP_MS
    board.begin()
    board.end(5000)
    assert fake_time.ms - start >= 15_000       # where it rests now is no news


def test_motion_within_the_lease_and_noise_do_not(board, fake_time):
    start = fake_time.ms
    board.ports.motor.order(117, 147)
    fake_time.at += [(start + 60, lambda: setattr(board.chip, "angle", 60)), (start + 140, lambda: setattr(board.chip, "angle", 117)),
                     (start + 2000, lambda: setattr(board.chip, "angle", 120)), (start + 3000, lambda: setattr(board.chip, "angle", 114))]
    board.end(10_000)
    assert fake_time.ms == start + 10_000


def test_a_missing_encoder_is_counted_and_stands_still(board, fake_time):
    board.chip.angle = 900
    board.begin()
    board.chip.present = False
    board.begin()
    assert board.ports.encoder.angle() == dev_inputs.As5600.ABSENT and board.ports.encoder.missing == 1
    start = fake_time.ms
    board.end(10_000)
    assert fake_time.ms == start + 10_000 and board.ports.encoder.missing == 1      # not asked over and over
    board.chip.present = True
    board.begin()
    assert board.ports.encoder.angle() == 900


def test_the_bench_encoder_follows_orders_and_is_declared(fake_time):
    board = Board(fake_time, bench=True)
    assert board.ports.runtime.endswith(", bench encoder") and len(board.ports.runtime) <= 40
    assert not dev_board.runtime(False).endswith("bench encoder")
    seen = []
    for steps, hold_ms, pause_ms in ((117, 147, 50), (4000, 400, 1000), (200, 230, 1000)):
        board.begin()
        board.ports.motor.order(steps, hold_ms)
        board.end(pause_ms)
        board.begin()
        seen.append(board.ports.encoder.angle())
    assert seen == [117, 117 + 400, 117 + 400 + 200]       # whole; lost beyond the lease; whole


def test_therapy_time_outlives_a_reset(fake_time):
    keep = Keep()
    board = Board(fake_time, keep)
    assert board.ports.clock.now_s() == 0       # the RTC stands before the epoch and nothing was kept
    board.begin()
    board.ports.clock.set_s(63_000_000)
    assert board.ports.clock.now_s() == 63_000_000
    board.end(100_000)
    again = Board(fake_time, keep)
    assert 63_000_000 + 100 - SLICE_MS // 1000 - 1 <= again.ports.clock.now_s() <= 63_000_100
    for bad in (-1, 1 << 30):
        with pytest.raises(ValueError, match="outside"):
            board.ports.clock.set_s(bad)


def test_the_tone_plays_once(board, fake_time):
    board.ports.tone.sound(2)
    board.end(3000)
    assert [value for name, value in board.log if name == "freq"] == [2000, 1200, 2000, 1200]
    assert board.log[-1] == ("duty", 0)
    board.log.clear()
    board.begin()
    board.end(3000)
    assert board.log == []


def test_a_wanted_reset_lets_the_reply_out_first(board):
    board.ports.uart.write(bytearray(250), 250)
    board.ports.system.reset()
    with pytest.raises(SystemExit):
        board.end(1000)
    assert len(board.line.sent) == 250 and board.log[-1] == ("restart",)


def test_ctrl_c_releases_the_board_and_an_error_does_not(board, capsys):
    def interrupted():
        raise KeyboardInterrupt

    dev_board.serve(board, interrupted)
    assert board.log == [("release",)] and "released" in capsys.readouterr().out

    def broken():
        raise OSError(28)

    with pytest.raises(OSError):
        dev_board.serve(board, broken)
    assert board.log == [("release",)]


@pytest.mark.parametrize(("raw", "rising", "falling"), [(0, 0, 4096), (876 << 4, 876, 3220), (65535, 4095, 0)])
def test_a_sensor_that_falls_with_what_it_measures_is_turned_round(raw, rising, falling):
    class Adc:
        def read_u16(self):
            return raw

    for analog, value in ((dev_inputs.Analog(dev_inputs.Polls(), Adc(), 4096), rising), (dev_inputs.Analog(dev_inputs.Polls(), Adc(), -4096, 4096), falling)):
        analog.sample()
        assert analog.read() == value
