"""The composition: ports in, `step()` out. Sans wait (R7): one snapshot, act, return when it is next due.

Order within a step: time, the supervisor's look at the rotor, demand, the pulse that is due, sensors, the line. Demand runs
in whole seconds of the steady tick; the RTC only says which step of the week's schedule is due.
"""

from ..protocol import catalogue as cat
from . import alarms as al
from . import daybook, loading, modes, orders
from .alarms import Alarms
from .bolus import REFUSED_MANY, PatientBolus
from .caps import Caps, behind
from .contents import Contents
from .event_log import FAULTS, FAULTS_AT, DayLog, EventLog
from .history import History
from .infusion import BOLUS, BRIDGE, NONE, PRIME, Infusion
from .keys import Keys
from .ledger import MISSED_FAULT, MISSED_STOP, Ledger
from .limits import DAY_S, MAX_PULSE_NL, MAX_RATE_NL_DAY, STALL_PULSES
from .schedule import Schedule
from .sensing import Sensing
from .settings import Settings
from .supervisor import MOVED, Supervisor
from .telemetry import Telemetry
from .trim import Trim


class App:
    """One pump. `ports` is the bundle of firmware/ports.py; building it boots the pump from its store."""

    def __init__(self, ports):
        self.ports = ports
        self._uart = ports.uart
        self._encoder = ports.encoder
        self.ledger = Ledger()
        self.infusion = Infusion(self.ledger)
        self.settings = Settings(ports.store, self.ledger, self.infusion)
        self.keys = Keys(ports.store)
        self.contents = Contents(self.ledger, self.settings)
        self.events = EventLog(ports.store)
        self.faults = EventLog(ports.store, FAULTS_AT, FAULTS)
        self.history = History(ports.store)
        self.days = DayLog(ports.store)
        self.alarms = Alarms()
        self.schedule = Schedule()
        self.caps = Caps()
        self.bolus = PatientBolus(self.settings)
        self.supervisor = Supervisor(ports.motor)
        self.trim = Trim()
        self.telemetry = Telemetry(self, ports.uart)
        self.uptime_s = 0
        self._ms = 0                    # of the second under way
        self.now_s = 0
        self.delivering = False         # demand runs: the mode and the alarms permit it
        self.rate = 0                   # nL/day that demand runs at: the program's, or what an alarm made of it
        self.program_rate = 0
        self.bridge_rate_nl_day = 0     # of the old drug, by the program that bridges to the new
        self._change_s = 0              # pump time at which the rate may change next
        self.program_mode = 0
        self.program_block = b""
        self.program_drugs = ()         # see blocks.drugs_of
        self.fill_drugs = ()            # of the last fill; () when it is not on record
        self.expires_s = 0              # ... and when its drug is past its life; 0: never
        self.next_s = 0                 # ... and how long behind it the next one is due; 0: not given
        self.commission_block = b""
        self.serial = self.nl_per_rev = self.steps_per_rev = self.minimum_rate_nl_day = self.tubing_nl = self.dead_volume_nl = 0
        self.extra_nl = 0               # volume of the extra under way when it began
        self.prime_fills = False        # the prime under way fills the catheter, not the tubing alone
        self._ordering = False          # a block is being executed: what an alarm would cut is cut behind it
        self._denied = b""              # digest of the patient's request that was refused last
        self._tone_due_s = 0
        self.reset_cause = ports.system.reset_cause()
        self.sensing = Sensing(self)
        self.settings.rings = (self.events, self.faults, self.history)
        from .boot import boot      # not above: it is forgotten behind it
        boot(self)
        loading.forget("boot")
        orders.rare(cat.PROGRAM)
        orders.rare(cat.REFILL)

    # ------------------------------------------------------------------------------------------------ state
    @property
    def mode(self):
        """See firmware/modes.py."""
        settings = self.settings
        program = len(self.program_block) > 0 or self.alarms.is_active(al.RECORDS)
        return modes.derive(settings.commissioned, program, settings.stopped, settings.paused_until_s, self.infusion.extra)

    def effective_rate(self):
        """nL/day that is being delivered now; 0 while nothing is."""
        if not self.delivering:
            return 0
        infusion = self.infusion
        if infusion.extra:
            return infusion.extra_rate_nl_day + (self.rate if infusion.extra >= BOLUS else 0)
        return self.rate

    def due_rate(self):
        """nL/day that the patient is due now, delivered or not."""
        return self.bridge_rate_nl_day if self.infusion.extra == BRIDGE else self.program_rate

    def follow(self, at_s):
        """Derive the rates and `delivering` anew for pump time `at_s`: behind every change of mode, program, alarm or day step."""
        settings = self.settings
        if self.program_block:
            self.program_rate = self.schedule.rate_at(at_s)
            self._change_s = self.schedule.next_change_s(at_s)
        else:
            self.program_rate = 0
            self._change_s = at_s + DAY_S
        if 0 < settings.paused_until_s < self._change_s:
            self._change_s = settings.paused_until_s
        action, mode, held = self.alarms.action, self.mode, self.supervisor
        stop = (action == al.STOP or (action == al.MIN and held.safe_state == cat.SAFE_STOP)
                or settings.reduction == cat.REDUCE_STOP)
        self.delivering = mode != modes.STOPPED and mode != modes.PAUSED and mode > modes.IDLE and not stop
        daily_nl = self.schedule.daily_nl(at_s // DAY_S % 7)
        bridge_rate = self.bridge_rate_nl_day
        if action == al.MIN:
            self.rate = bridge_rate = held.minimum_nl_day
        elif action == al.FALLBACK:
            self.rate = held.fallback_nl_day
            if settings.reduction and self.program_rate < self.rate:
                self.rate = self.program_rate       # without a key nobody raises anything
            # The old drug is slowed in the proportion that was signed for the new one.
            bridge_rate = bridge_rate // 1000 * min(1000, held.fallback_nl_day // 1000 * 1000 // (daily_nl // 1000 + 1))
        elif action == al.FLAT:
            self.rate = min(MAX_RATE_NL_DAY, daily_nl)
        else:
            self.rate = self.program_rate
        if self.infusion.extra == BRIDGE:
            self.infusion.extra_rate_nl_day = bridge_rate

    def line_nl(self):
        """What was pushed into the line since it was last empty: tubing first, then the catheter."""
        return (self.ledger.pulses - self.settings.line_pulses) * self.ledger.pulse_nl

    def misfit(self):
        """True when the program is written for other drugs than the last fill holds, or for other concentrations."""
        return self.program_drugs != self.fill_drugs and len(self.program_drugs) == len(self.fill_drugs)

    def catheter_filled(self):
        """True when there is drug in the catheter: by record, or because the line has taken its whole volume."""
        return self.settings.catheter == cat.CATHETER_FILLED or self.line_nl() >= self.dead_volume_nl

    def worst_daily_nl(self):
        """The heaviest day of the week with every bolus the patient may take."""
        return self.schedule.most_daily_nl + self.bolus.most_daily_nl

    def low_reservoir_days(self):
        """Whole days of the worst day that the computed contents above the residual last; 65535 with no program."""
        return self.contents.days_left(self.worst_daily_nl())

    def save_state(self):
        """Write the state record; a store that refuses raises alarm 14 and nothing else. Returns True when it stands."""
        settings, alarms = self.settings, self.alarms
        settings.active, settings.latched, settings.first_alarm = alarms.active | alarms.is_shifted(al.CAP) << al.ROWS, alarms.latched, alarms.first
        self.supervisor.save(settings.missing)
        try:
            settings.save_state(self.now_s)
        except OSError:
            self.alarm(al.STORE, True)
            return False
        if alarms.is_active(al.STORE):
            self.alarm(al.STORE, False)
        return True

    def log(self, code, cause=0, a=0, b=0, fault=False):
        """Append an event, and a fault to the ring of faults too; a store that refuses raises alarm 14."""
        try:
            self.events.append(self.now_s, code, cause, a, b)
            if fault:
                self.faults.append(self.now_s, code, cause, a, b)
        except OSError:
            if self.alarms.set(al.STORE, True):
                self.follow(self.now_s)

    def alarm(self, row, on, a=0, b=0):
        """Raise or end an alarm: logged, latched, and the rate follows its action."""
        if self.alarms.set(row, on):
            if row == al.BOLUS_CUT and not on:
                self.settings.cut_kind = NONE
            self.log(cat.E_ALARM if on else cat.E_ALARM_END, row, a, b, al.priority(row) <= 2)
            self._cut_by_alarm()
            self.follow(self.now_s)
            self._tone_due_s = self.uptime_s
            self.save_state()           # a cause that outlasts a reset must be on record before the reset

    def _cut_by_alarm(self):
        """Under an alarm that forbids boluses a running prime or bolus ends for good; a bridge is basal and goes on."""
        extra = self.infusion.extra
        if self.alarms.action >= al.NOBOLUS and extra != NONE and extra != BRIDGE and not self._ordering:
            self.bolus_cut(extra, self.infusion.cut_extra(), self.settings.steady_s)

    # ------------------------------------------------------------------------------------------------ orders
    def may_execute(self, block):
        """0, or the reason why this checked block cannot be executed now."""
        return self._told(block, orders.refusal(self, block))

    def execute(self, block):
        """Execute a checked block; 0 or a reason. The order's digest and its effect go to the store in one record."""
        reason = orders.refusal(self, block)
        if reason == 0:
            self.telemetry.access.name()        # who, before what
            self._ordering = True
            reason = orders.execute(self, block)
            self._ordering = False
            self._cut_by_alarm()
            self.follow(self.now_s)
        return self._told(block, reason)

    def _told(self, block, reason):
        """A refused order is logged, once however often it is asked, and a patient's request is counted."""
        if not reason or reason == cat.R_ROLE or block.digest == self._denied:
            return reason
        self._denied = block.digest
        if block.kind != cat.PATIENT_BOLUS:
            self.telemetry.access.name()
            self.log(cat.E_REFUSED, reason, block.kind)
        else:
            refused = self.bolus.denied()
            self.log(cat.E_DENIED, reason, refused)
            if refused >= REFUSED_MANY:
                self.alarm(al.REFUSED, True, refused)
            self.save_state()
        return reason

    def bolus_cut(self, kind, left_nl, at_s):
        """A prime or bolus ended early, at steady second `at_s`: never resumed, and said aloud (row 23), also behind a reset."""
        self.settings.cut_kind = kind
        self.supervisor.allow(0)
        if kind >= BOLUS:
            self.bolus.ended(at_s)
        self.log(cat.E_BOLUS_CUT, kind, left_nl, 0, True)
        self.alarm(al.BOLUS_CUT, True, left_nl)

    # ------------------------------------------------------------------------------------------------ step
    def step(self):
        """Act on one snapshot of the inputs; returns milliseconds until the next step is due, 1..3,600,000."""
        elapsed_ms = self.ports.clock.elapsed_ms()
        seconds = self._ms + elapsed_ms
        self._ms = seconds % 1000
        seconds //= 1000
        uptime_s, supervisor = self.uptime_s + seconds, self.supervisor
        self.uptime_s = uptime_s
        self.settings.steady_s += seconds
        self.caps.tick(uptime_s)
        self.now_s = self.ports.clock.now_s() + self.settings.clock_offset_s
        outcome = supervisor.look(self._encoder.angle(), elapsed_ms)
        if outcome and (outcome != MOVED or self.alarms.active):
            self.sensing.look(outcome)
        if seconds:
            self._demand(seconds)
        if not supervisor.busy and self.infusion.pulse_due():
            # The last pulse of a prime may be due when the pump idles already.
            if self.delivering or (self.mode == modes.IDLE and self.alarms.action < al.STOP):
                self._pulse()
        if self.sensing.due(uptime_s):
            self.sensing.round()
        telemetry = self.telemetry
        if telemetry.access.role:
            telemetry.access.watch()        # a request that ends too long a silence finds its session closed
        while self._uart.any():
            telemetry.receive(self._uart.read_byte())
        if telemetry.live_s:
            telemetry.watch()
        if self.alarms.tone and uptime_s >= self._tone_due_s:
            self.ports.tone.sound(self.alarms.tone)
            self._tone_due_s = uptime_s + self.alarms.tone_period_s()
            self.alarms.sounded()
        self.history.tick(self)
        return self._delay_ms()

    def _demand(self, seconds):
        """Integrate the seconds since the last step over the schedule: demanded while permitted, else missed."""
        at = self.now_s - seconds
        back_s = self.schedule.clock_moves(at, self.uptime_s - seconds, self.alarms.is_active(al.CLOCK_LOST))
        jump_s = self.supervisor.clock_jump_s(self.now_s, self.uptime_s)
        if jump_s:
            daybook.clock_jumped(self, jump_s)
        if back_s:
            self.caps.clock(back_s, self.schedule.most_rate_nl_day)
            self.settings.given_s = self.schedule.given_s
        if jump_s or back_s > 0:
            self.follow(at)
            self.save_state()
        while seconds > 0:
            if at >= self._change_s:
                self.turn(at)
            part = self._change_s - at
            if part > seconds:
                part = seconds
            if self.delivering:
                self._run(part, at + part)
            else:
                self._miss(part)
            at += part
            seconds -= part
        if at >= self._change_s:
            self.turn(at)
        if self.now_s // DAY_S != self.settings.last_day:
            daybook.close_day(self)

    def _miss(self, seconds):
        settings = self.settings
        self.infusion.miss(MISSED_STOP if settings.stopped or settings.paused_until_s else MISSED_FAULT, self.due_rate(), seconds)

    def turn(self, at):
        """A step of the day, or the end of a pause: nobody has to end it (row 24)."""
        settings = self.settings
        if 0 < settings.paused_until_s <= at:
            settings.paused_until_s = 0
            self.log(cat.E_PAUSE_END, 1)
            self.alarm(al.STOPPED_LONG, False)
            self.alarm(al.PAUSE_LONG, True)
            self.save_state()
        self.follow(at)

    def _run(self, seconds, until_s):
        kind, action = self.infusion.extra, self.alarms.action
        if kind != PRIME and kind != BRIDGE:
            if action < al.FLAT and until_s <= self.schedule.given_s:
                action = al.FLAT
            self.supervisor.permit(seconds, until_s - seconds, action)
        self.infusion.run(self.rate, seconds)
        if kind and self.infusion.extra == NONE:
            self._extra_ended(kind)
            self.follow(until_s)

    def _extra_ended(self, kind):
        """A prime, bridge or bolus has delivered its volume: on record, so that the store owes nothing any more."""
        settings = self.settings
        self.supervisor.allow(0)
        if kind == PRIME:
            if self.prime_fills:
                settings.catheter = cat.CATHETER_FILLED
            self.log(cat.E_PRIME_END)
        elif kind == BRIDGE:
            if settings.old_cap_day_nl:
                settings.old_share, settings.switched_s = behind(settings, settings.bridge_share), settings.steady_s
            settings.old_cap_hour_nl = settings.old_cap_day_nl = 0
            self.caps.release_old()
            self.log(cat.E_BRIDGE_END)
        else:
            self.bolus.ended(settings.steady_s)
            self.log(cat.E_BOLUS_END, kind, self.extra_nl)
        self.save_state()

    def _pulse(self):
        """Intent first, then the lease, then the order: a reset in between counts the pulse as delivered."""
        caps = self.caps
        caps.watch(self)
        steps = self.trim.steps(self.infusion.take_pulse())
        hold_ms = self.infusion.hold_ms(steps)
        self._intend()
        if self.supervisor.lease(steps, hold_ms):
            self.ports.motor.order(steps, hold_ms)
        else:
            self.alarm(al.MOTION, True, steps)
        caps.note(self.ledger.pulse_nl, self.infusion.extra)

    def _intend(self):
        try:
            self.settings.save_intent(self.now_s)
            return
        except OSError:
            failed = 1
        self.alarm(al.STORE, True, failed)      # not above: a try and this call make a frame that is sought in the heap

    def _delay_ms(self):
        supervisor = self.supervisor
        if supervisor.busy and (supervisor.lost_in_a_row == STALL_PULSES - 1 or self.infusion.pulse_due()):
            return 50       # the pulse that makes a stall is judged at its end; the next one waits for that, but only behind a very late step
        due_s = self.sensing.delay_s()
        if self.delivering:
            pulse_s = self.infusion.due_s(self.rate)
            if 0 <= pulse_s < due_s:
                due_s = pulse_s
            if self.infusion.extra and self.infusion.extra_left_nl <= MAX_PULSE_NL:     # before that a pulse comes first
                due_s = min(due_s, self.infusion.extra_due_s())
        if self.program_block and self._change_s - self.now_s < due_s:
            due_s = max(1, self._change_s - self.now_s)     # the RTC's second may tick before ours
        if self.telemetry.live_s:
            due_s = min(due_s, self.telemetry.live_due_s - self.uptime_s)
        if self.alarms.tone:
            due_s = min(due_s, self._tone_due_s - self.uptime_s)
        delay_ms = due_s * 1000 - self._ms
        return delay_ms if delay_ms > 0 else 1
