"""A bench pump that can fail, for the tests of sensor rounds and of the calibration: its faults act on volumes, counts and readings, never on a flag."""

from bare_pump import Bench, simple_program
from thecal.protocol import catalogue as cat

RATE, FALLBACK = 500_000, 250_000
HOUR, DAY = 3600, 86_400


class Sick(Bench):
    """A bench whose head, bellows, encoder and switch can fail. All faults act on volumes, counts and readings."""

    def __init__(self, **options):
        self.gain_percent = 100         # of the nominal stroke volume
        self.leak_ul_h = 0
        self.lost_ul = 0.0              # leaked, and beyond nominal, so far
        self.frozen = None              # the encoder's angle, once it is dead
        self.switch_stuck = False
        self.driver_stuck = False
        self.sounds = []
        super().__init__(**options)

    def level(self):
        if self.level_counts >= 0:
            return self.level_counts
        return max(0, round(self.level_ul - self.moved_steps * 35 / 4096 - self.lost_ul) // 10)

    def _pass(self, ms):
        self.lost_ul += self.leak_ul_h * ms / 3_600_000
        super()._pass(ms)

    def end(self, delay_ms):
        before, probing = self.moved_steps, self.latch.steps and not self.latch.hold_ms
        if self.latch.tone:
            self.sounds.append((self.rtc_s, self.latch.tone))
        super().end(delay_ms)
        if self.driver_stuck and self.latch.hold_ms:
            self.moved_steps += self.latch.hold_ms - self.latch.steps
        if probing and self.switch_stuck:
            self.moved_steps += self.latch.steps
        self.lost_ul += (self.moved_steps - before) * 35 / 4096 * (self.gain_percent - 100) / 100
        self.angle = self.moved_steps % 4096 if self.frozen is None else self.frozen


def active(bench):
    return [row for row in range(1, 29) if bench.app.alarms.is_active(row)]


def running(rate=RATE, fallback=FALLBACK, more=None, **options):
    """A pump of a day's quiet life, so that the level test has its means."""
    bench = Sick(**options)
    values = simple_program(rate, fallback)
    values.update(more or {})
    bench.must(cat.PROGRAM, values)
    bench.run_s(5 * HOUR)
    assert active(bench) == [], "healthy"
    return bench
