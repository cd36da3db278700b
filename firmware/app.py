"""The composition: ports in, `step()` out. Sans wait (R7): one snapshot, act, return when it is next due.

Order within a step: time, the supervisor's look at the rotor, demand, the pulse that is due, sensors, the line. Demand runs
in whole seconds of the steady tick; the RTC only says which step of the week's schedule is due.
"""

from ..protocol import catalogue as cat
from ..protocol.fields import unpack
from . import alarms as al
from . import emergency, modes, orders
from .alarms import Alarms
from .boot import boot
from .contents import NOT_YET, Contents
from .event_log import DayLog, EventLog
from .infusion import Infusion
from .keys import Keys
from .ledger import MISSED_FAULT, MISSED_STOP, Ledger
from .limits import CHECK_S, DAY_S, IDLE_CHECK_S, MAX_RATE_NL_DAY, STOPPED_LONG_S
from .schedule import Schedule
from .settings import Settings
from .supervisor import LOST, MOVED, Supervisor
from .telemetry import Telemetry


class App:
    """One pump. `ports` is the bundle of firmware/ports.py; building it boots the pump from its store."""

    def __init__(self, ports):
        self.ports = ports
        self._clock = ports.clock
        self._uart = ports.uart
        self._encoder = ports.encoder
        self._motor = ports.motor
        self.ledger = Ledger()
        self.infusion = Infusion(self.ledger)
        self.settings = Settings(ports.store, self.ledger, self.infusion)
        self.keys = Keys(ports.store)
        self.contents = Contents(self.ledger, self.settings)
        self.events = EventLog(ports.store)
        self.days = DayLog(ports.store)
        self.alarms = Alarms()
        self.schedule = Schedule()
        self.supervisor = Supervisor(ports.motor)
        self.telemetry = Telemetry(self, ports.uart)
        self.uptime_s = 0
        self._ms = 0                    # of the second under way
        self.now_s = 0
        self.delivering = False         # demand runs: the mode and the alarms permit it
        self.rate = 0                   # nL/day that demand runs at: the program's, or what an alarm made of it
        self.program_rate = 0
        self._change_s = 0              # pump time of the schedule's next change
        self.program_mode = 0
        self.program_block = b""
        self.commission_block = b""
        self.serial = 0
        self.nl_per_rev = 0
        self.steps_per_rev = 0
        self.minimum_rate_nl_day = 0
        self._battery_empty_mv = 0
        self.battery_mv = 0
        self._round_s = 0
        self._tone_due_s = 0
        self.rate_before = 0            # what ran before the last program: a bridge may go on at it
        self.dead_volume_nl = 0
        self.reset_cause = ports.system.reset_cause()
        boot(self)

    # ------------------------------------------------------------------------------------------------ records
    def commission(self, block):
        """Take the constants of a canonical commissioning block (also at boot)."""
        rows = cat.block(cat.COMMISSION)
        found = [0] * len(rows)
        unpack(rows, block, 0, len(block), found)
        (_, self.serial, self.nl_per_rev, self.steps_per_rev, counts_per_rev, step_hz, pulse_nl, level_nl_per_count,
         capacity_ul, residual_ul, self.dead_volume_nl, self.minimum_rate_nl_day, self._battery_empty_mv, _, _) = found
        self.contents.commission(level_nl_per_count, capacity_ul, residual_ul)
        self.commission_block = block
        remainder = self.ledger.steps_rem
        self.ledger.commission(pulse_nl, self.nl_per_rev, self.steps_per_rev)
        if self.ledger.pulses:
            self.ledger.steps_rem = remainder % self.nl_per_rev
        self.infusion.commission(step_hz)
        self.supervisor.commission(counts_per_rev, self.steps_per_rev, self.ledger.longest_pulse_steps())

    def load_program(self, block):
        """Run a canonical program block from now on (also at boot)."""
        rows = cat.block(cat.PROGRAM)
        found = [0] * len(rows)
        unpack(rows, block, 0, len(block), found)
        self.program_block = block
        self.program_mode = found[1]
        self.schedule.load(found[-3], found[-2], found[-1])

    # ------------------------------------------------------------------------------------------------ state
    @property
    def mode(self):
        """See firmware/modes.py."""
        settings = self.settings
        program = len(self.program_block) > 0 or self.alarms.is_active(al.RECORDS)
        return modes.derive(settings.commissioned, program, settings.stopped, self.infusion.prime_left_nl > 0)

    def effective_rate(self):
        """nL/day that is being delivered now; 0 while nothing is."""
        if not self.delivering:
            return 0
        return self.infusion.prime_rate_nl_day if self.infusion.prime_left_nl > 0 else self.rate

    def follow(self, at_s):
        """Derive `rate` and `delivering` anew for pump time `at_s`: behind every change of mode, program, alarm or day step."""
        if self.program_block:
            self.program_rate = self.schedule.rate_at(at_s)
            self._change_s = self.schedule.next_change_s(at_s)
        else:
            self.program_rate = 0
            self._change_s = at_s + DAY_S
        action, mode = self.alarms.action, self.mode
        stop = (action == al.STOP or (action == al.MIN and self.settings.safe_state == cat.SAFE_STOP)
                or self.settings.reduction == cat.REDUCE_STOP)
        self.delivering = (mode == modes.RUNNING or mode == modes.PRIMING) and not stop
        if action == al.MIN:
            self.rate = self.minimum_rate_nl_day
        elif action == al.FALLBACK:
            self.rate = self.settings.fallback_nl_day
            if self.settings.reduction and self.program_rate < self.rate:
                self.rate = self.program_rate       # without a key nobody raises anything
        elif action == al.FLAT:
            self.rate = min(MAX_RATE_NL_DAY, self.schedule.daily_nl(at_s // DAY_S % 7))
        else:
            self.rate = self.program_rate

    def low_reservoir_days(self):
        """Whole days of the heaviest weekday that the computed contents above the residual last; 65535 with no program."""
        return self.contents.days_left(self.schedule.most_daily_nl)

    def save_state(self):
        """Write the state record; a store that refuses raises alarm 14 and nothing else. Returns True when it stands."""
        settings, alarms = self.settings, self.alarms
        settings.active, settings.latched, settings.first_alarm = alarms.active, alarms.latched, alarms.first
        try:
            settings.save_state(self.now_s)
        except OSError:
            self.alarm(al.STORE, True)
            return False
        if alarms.is_active(al.STORE):
            self.alarm(al.STORE, False)
        return True

    def log(self, code, cause=0, a=0, b=0):
        """Append an event; a store that refuses raises alarm 14."""
        try:
            self.events.append(self.now_s, code, cause, a, b)
        except OSError:
            if self.alarms.set(al.STORE, True):
                self.follow(self.now_s)

    def alarm(self, row, on, a=0, b=0):
        """Raise or end an alarm: logged, latched, and the rate follows its action."""
        if self.alarms.set(row, on):
            self.log(cat.E_ALARM if on else cat.E_ALARM_END, row, a, b)
            if self.alarms.action >= al.NOBOLUS and self.infusion.prime_left_nl > 0:
                self.bolus_cut(self.infusion.cut_prime())
            self.follow(self.now_s)
            self._tone_due_s = self.uptime_s
            self.save_state()           # a cause that outlasts a reset must be on record before the reset

    # ------------------------------------------------------------------------------------------------ orders
    def may_execute(self, block):
        """0, or the reason why this checked block cannot be executed now."""
        return orders.refusal(self, block)

    def execute(self, block):
        """Execute a checked block; 0 or a reason. The order's digest and its effect go to the store in one record."""
        reason = orders.refusal(self, block)
        if reason == 0:
            self.telemetry.access.name()        # who, before what
            reason = orders.execute(self, block)
            self.follow(self.now_s)
        if reason:
            self.log(cat.E_REFUSED, reason, block.kind, 0)
        return reason

    def bolus_cut(self, left_nl):
        """A prime or bridge ended early: never resumed, and said aloud, because the catheter now holds what nobody planned."""
        self.log(cat.E_BOLUS_CUT, 0, left_nl)
        self.alarm(al.BOLUS_CUT, True, left_nl)

    def refilled(self):
        """The contents changed under the level filter: start it anew; the causes of a low reservoir are gone."""
        self.contents.refilled()
        for row in (al.EMPTY_SENSED, al.EMPTY_COMPUTED, al.LOW):
            self.alarm(row, False)

    def drugs(self):
        """Name and concentration of the three drugs of the running program, as the wire carries them."""
        rows = cat.block(cat.PROGRAM)
        found = [0] * len(rows)
        if not self.program_block:
            return (bytes(cat.DRUG_NAME_BYTES), 0) * cat.MAX_DRUGS
        unpack(rows, self.program_block, 0, len(self.program_block), found)
        return tuple(found[5:5 + 2 * cat.MAX_DRUGS])

    # ------------------------------------------------------------------------------------------------ step
    def step(self):
        """Act on one snapshot of the inputs; returns milliseconds until the next step is due, 1..3,600,000."""
        elapsed_ms = self._clock.elapsed_ms()
        total_ms = self._ms + elapsed_ms
        seconds = total_ms // 1000
        self._ms = total_ms % 1000
        self.uptime_s += seconds
        self.now_s = self._clock.now_s()
        outcome = self.supervisor.look(self._encoder.angle(), elapsed_ms)
        if outcome:
            self._motion(outcome)
        if seconds:
            self._demand(seconds)
        if self.infusion.pulse_due() and not self.supervisor.busy and self.delivering:
            self._pulse()
        if self.uptime_s - self._round_s >= CHECK_S // 2 or self.contents.fresh:
            self._round()
        uart = self._uart
        self.telemetry.access.watch()       # a request that ends too long a silence finds its session closed
        while uart.any():
            self.telemetry.receive(uart.read_byte())
        self.telemetry.watch()
        if self.alarms.tone and self.uptime_s >= self._tone_due_s:
            self.ports.tone.sound(self.alarms.tone)
            self._tone_due_s = self.uptime_s + self.alarms.tone_period_s()
        return self._delay_ms()

    def _motion(self, outcome):
        supervisor = self.supervisor
        if outcome == MOVED:
            if self.alarms.is_active(al.STALL):
                self.alarm(al.STALL, False)
        elif outcome == LOST:
            self.ledger.lose_pulse()
            self.log(cat.E_PULSE_LOST, 0, supervisor.seen, supervisor.expected)
            self.save_state()
            if supervisor.stalled:
                self.alarm(al.STALL, True, supervisor.lost_in_a_row, supervisor.seen)
        else:
            self.alarm(al.MOTION, True, supervisor.seen)

    def _demand(self, seconds):
        """Integrate the seconds since the last step over the schedule: demanded while permitted, else missed."""
        jump_s = self.supervisor.clock_jump_s(self.now_s, self.uptime_s)
        if jump_s:
            self.log(cat.E_CLOCK_JUMP, 0, jump_s)
            self.alarm(al.CLOCK_LOST, True, jump_s)
            self.follow(self.now_s - seconds)
        at = self.now_s - seconds
        cause = MISSED_STOP if self.settings.stopped else MISSED_FAULT
        while seconds > 0:
            if at >= self._change_s:
                self.follow(at)
            part = self._change_s - at
            if part > seconds:
                part = seconds
            if self.delivering:
                self._run(part, at + part)
            elif self.program_rate:
                self.infusion.miss(cause, self.program_rate, part)
            at += part
            seconds -= part
        if at >= self._change_s:
            self.follow(at)
        if self.now_s // DAY_S != self.settings.last_day:
            self._close_day()

    def _run(self, seconds, until_s):
        priming = self.infusion.prime_left_nl > 0
        self.infusion.run(self.rate, seconds)
        if priming and self.infusion.prime_left_nl == 0:
            self.log(cat.E_PRIME_END, 0, 0)
            self.save_state()               # the record owes no bolus any more
            self.follow(until_s)

    def _pulse(self):
        """Intent first, then the lease, then the order: a reset in between counts the pulse as delivered."""
        steps = self.infusion.take_pulse()
        hold_ms = self.infusion.hold_ms(steps)
        try:
            self.settings.save_intent(self.now_s)
        except OSError:
            self.alarm(al.STORE, True, 1)
        self.supervisor.lease(steps, hold_ms)
        self._motor.order(steps, hold_ms)

    def _round(self):
        """Sensors, and the alarms that hang on them."""
        self._round_s = self.uptime_s
        self.battery_mv = self.ports.battery.read()
        if self.contents.look(self.ports.level.read()) != NOT_YET:
            self.log(cat.E_TARE, 0, self.contents.off_ul, self.settings.level_offset_ul)
            self.save_state()
        if self.settings.commissioned:
            self._watch_contents()
            if self.battery_mv < self._battery_empty_mv:
                self.alarm(al.BATTERY, True, self.battery_mv)
        if self.settings.reduction and self.now_s >= self.settings.reduction_until_s:
            emergency.end(self)
        if self.settings.stopped:
            self.alarm(al.STOPPED_LONG, self.now_s - self.settings.stopped_at_s >= STOPPED_LONG_S)
            if self.now_s - self.settings.time_s >= IDLE_CHECK_S:
                self.save_state()

    def _watch_contents(self):
        contents = self.contents
        daily_nl = self.schedule.most_daily_nl
        row = contents.alarm(daily_nl)
        if row:
            self.alarm(row, True, contents.sensed_ul, contents.usable_nl())
        if contents.low(daily_nl):
            self.alarm(al.LOW, True, contents.sensed_ul, contents.usable_nl())

    def open_day(self):
        """The day's beginning is kept in the state record: a reset loses nothing from its row."""
        settings = self.settings
        settings.last_day = self.now_s // DAY_S
        settings.day_pulses = self.ledger.pulses
        settings.day_missed_nl = self._missed_nl()

    def _missed_nl(self):
        total = 0
        for cause in range(len(self.ledger.missed_ul)):
            total += self.ledger.missed_ul[cause] % 500000 * 1000 + self.ledger.missed_nl[cause]
        return total

    def _close_day(self):
        """Write the day that ended into the ring. After a clock jump the partial day stands under its old number."""
        settings = self.settings
        pulses = self.ledger.pulses - settings.day_pulses
        missed_nl = max(0, self._missed_nl() - settings.day_missed_nl)
        try:
            self.days.write(settings.last_day, pulses, pulses * self.ledger.pulse_nl, missed_nl, self.contents.sensed_ul,
                            self.alarms.active)
        except OSError:
            self.alarm(al.STORE, True, 2)
        self.open_day()
        self.save_state()

    def _delay_ms(self):
        if self.supervisor.busy and self.infusion.pulse_due():
            return 50                   # the next pulse waits for the lease of the last: only a very late step gets here
        due_s = CHECK_S
        if self.delivering:
            pulse_s = self.infusion.due_s(self.rate)
            if 0 <= pulse_s < due_s:
                due_s = pulse_s
            if self.infusion.prime_left_nl > 0:
                due_s = min(due_s, self.infusion.prime_due_s())
        elif self.alarms.tone == al.SILENT and not self.supervisor.busy:
            due_s = IDLE_CHECK_S
        if self.program_block:
            due_s = min(due_s, max(1, self._change_s - self.now_s))     # the RTC's second may tick before ours
        if self.telemetry.live_s:
            due_s = min(due_s, self.telemetry.live_due_s - self.uptime_s)
        if self.alarms.tone:
            due_s = min(due_s, self._tone_due_s - self.uptime_s)
        delay_ms = due_s * 1000 - self._ms
        return delay_ms if delay_ms > 0 else 1
