"""Sensor rounds: battery, level, pressure, temperature, contents, level test, self-tests, and the alarm rows that hang on them.

A strong field (row 27) has no sensor of its own here: the reed switch closed *and* the rotor not following is taken for one. A
magnet alone is a magnet, a stall alone is row 7. What no round can see is said in the level test and in the rows' words.
"""

from ..protocol import catalogue as cat
from . import alarms as al
from . import emergency, level_test, loading, self_test
from .contents import DIFFERS, NOT_YET, REST_UL, TARED
from .limits import CHECK_S, DAY_S, IDLE_CHECK_S, STOPPED_LONG_S
from .loading import FACTORY, LEARNED
from .slots import COPY
from .supervisor import LOST, MOVED

STEADY_ROUNDS = 3           # a battery or a level has to be out of bounds in as many rounds
STUCK_ROUNDS, STUCK_COUNTS = 24, 10     # the same reading to the bit, while ten counts were ordered
BEYOND_UL, OVERFULL_UL = 3000, 500      # above capacity: no bellows; an overfill
BELOW_UL = 1000             # below the residual: no bellows either; twice what the sensor walks in the 100 days between fills
LEVEL_PART_K = 5000         # the level sensor reads 0.2 %/K more: 1/5000 in 0.1 K (DESIGN 8)
BODY_DC, HOT_DC, COOL_DC, COLDEST_DC, HOTTEST_DC = 370, 395, 393, 200, 450
ADC_MOST = 65535
ERI_LOUD_DAYS, ERI_DAYS = 76, 90        # alarms.md row 20
PROOF_S = 600               # row 1: between two proofs that the switch cuts
HOLD_S = 1800               # rows 18, 21, 29 and the refill: at most 30 min of a session, or to wait for its order
STUCK_SESSION_S = 4 * 3600
FLOOD_FRAMES, FLOOD_FORGED = 104, 13    # bad ones in a round; a forged one weighs as many: eight of them lock
AGREES = 10                 # pulses that a healed encoder must see turn
UNTRIMMED = 1 << al.OVER - 1 | 1 << al.UNDER - 1 | 1 << al.LEVEL_SENSOR - 1     # under these rows the calibration is the factory's


class Sensing:
    """`round()` whenever it is `due()`; `delay_s()` is the longest sleep until then."""

    def __init__(self, app):
        self._app = app
        self._round_s = 0
        self._per_c = 0                 # of the commissioning record; 0: there is none
        self.battery_mv = 0
        self.temperature_dc = BODY_DC
        self.level_test = level_test.LevelTest()
        self._scratch = bytearray(self_test.SCRATCH_BYTES)
        self._crc = -1                  # of the records in RAM
        self._test_s = 0                # uptime at which the next self-test is due
        self._probe = 0                 # of the switch: 1 due, 2 under way
        self._probe_s = 0               # uptime of the last
        self._trusted = False           # row 1 has given way to the fallback once
        self._failed = self._weak = self._worn = self._bad = self._same = self._same_nl = 0
        self._raw = -1
        self._late_nl = self._late_lost_nl = 0      # ordered, and not seen to turn, while nothing was judged
        self._session_s = self._held_s = 0      # seconds of an open session, and that row 18 has held
        self._jumped_s = 0              # since the level jumped, but for a young session's; 0: it did not
        self._paused_s = 0
        self._frames_bad = 0
        self._lost = 0                  # pulses lost since the log told of one,
        self._lost_s = 0                # ... the uptime from which it may tell of the next ...
        self._stall_s = 0               # ... and from which a stall may end: see `look`

    def commission(self, values):
        """Take the sensors' constants: the values of a commissioning block."""
        self._empty_mv, self._eri_mv = values["battery_empty_mv"], values["battery_eri_mv"]
        self._zero, self._per_c = values["temperature_zero_counts"], values["temperature_counts_per_c"]
        self._stuck_nl = STUCK_COUNTS * values["level_nl_per_count"]
        self.level_test.commission(values["level_drift_ul"])

    def note(self):
        """The records in RAM were loaded anew: take their CRC."""
        self._crc = self_test.records_crc(self._app)

    def booted(self):
        """Row 10: pulses that resets cut. Row 13: a boot behind a watchdog reset; the third in 24 h is the code's fault. The caller stores the state."""
        app, settings = self._app, self._app.settings
        self._motion()                  # no round comes where each pulse ends in a reset
        if app.reset_cause != 3:        # ports.System: watchdog
            return
        first_s, settings.watchdog_2_s, settings.watchdog_1_s = settings.watchdog_2_s, settings.watchdog_1_s, settings.steady_s + 1
        if first_s and settings.watchdog_1_s - first_s < DAY_S:
            self._event(al.WATCHDOG, settings.watchdog_1_s - first_s)

    def refilled(self, withdrawn_ul, base_nl, left_nl):
        """The contents changed (see Contents): what hung on them is over, and what was found about them begins anew."""
        self._app.contents.refilled(withdrawn_ul, base_nl, left_nl)
        self.level_test.restart()
        self._held_s = self._late_nl = self._late_lost_nl = self._jumped_s = 0
        for row in (al.EMPTY_SENSED, al.EMPTY_COMPUTED, al.LOW, al.OVERFULL, al.EXPIRED, al.DRUGS):
            self._app.alarm(row, False)

    def due(self, uptime_s):
        """True when the next round, or a step of the self-test of the switch, is due."""
        app = self._app
        if self._probe and not app.supervisor.busy:
            return True
        return uptime_s - self._round_s >= CHECK_S // 2 or (app.contents.fresh and self._per_c > 0)

    def delay_s(self):
        """Longest sleep until the next round: hourly only on a pump that holds nothing."""
        app = self._app
        if self._probe or (app.contents.fresh and self._per_c):
            return 1
        wait_s = CHECK_S // 2 if app.contents.settling else CHECK_S if app.ledger.base_nl else IDLE_CHECK_S
        return max(1, wait_s - app.uptime_s + self._round_s)

    def round(self):
        """Read the sensors and judge. Allocates nothing."""
        app, alarms, supervisor = self._app, self._app.alarms, self._app.supervisor
        if self._probe and not supervisor.busy:
            self._switch()
        seconds = app.uptime_s - self._round_s
        if seconds < CHECK_S // 2 and not (app.contents.fresh and self._per_c):
            return
        self._round_s = app.uptime_s
        self.battery_mv = app.ports.battery.read()
        alarms.watch(app.uptime_s)
        if app.telemetry.access.role or self._session_s:        # storing costs five times what reading does
            self._session_s = self._session_s + seconds if app.telemetry.access.role else 0
        if alarms.active or supervisor.open_loop:
            supervisor.open_loop = alarms.is_active(al.ENCODER)
        if self._per_c:
            self._ambient()
            self._level(seconds)
            self._battery()
            self._motion()
        self._orders(seconds)
        self._link()
        if app.uptime_s >= self._test_s:
            self._self_test()

    def look(self, outcome):
        """A pulse was judged, or the rotor turned unasked (supervisor.py): rows 1 and 7.

        The rings must last: lost pulses are told by their count, twelve times a day, and a stall that comes back within two hours stands for them.
        """
        app, uptime_s = self._app, self._app.uptime_s
        supervisor = app.supervisor
        if outcome == MOVED:
            if uptime_s >= self._stall_s and app.alarms.is_active(al.STALL):
                self._stall_s = uptime_s + DAY_S // 12
                app.alarm(al.STALL, False, self._lost)
                self._lost = 0
        elif outcome == LOST:
            app.ledger.lose_pulse()
            self._lost += 1
            if uptime_s >= self._lost_s:
                self._lost_s = uptime_s + DAY_S // 12
                app.log(cat.E_PULSE_LOST, 0, self._lost, supervisor.seen, True)
                self._lost = 0
            app.save_state()
            if supervisor.stalled:
                app.alarm(al.STALL, True, supervisor.lost_in_a_row, supervisor.seen)
        else:
            app.alarm(al.MOTION, True, supervisor.seen)

    # ------------------------------------------------------------------------------------------------ tools
    def _event(self, row, a=0, b=0):
        """A cause that is over when it is seen: the row stands until a session has seen it. Row 10 is said once: it re-arms by the hour."""
        if row == al.UNDER and self._app.alarms.is_active(row):
            return
        self._app.alarm(row, True, a, b)
        self._app.alarm(row, False)

    def _shift(self, row, on):
        if self._app.alarms.is_active(row) and self._app.alarms.shift(row, on):
            self._app.follow(self._app.now_s)

    # ------------------------------------------------------------------------------------------------ rows
    def _ambient(self):
        """Row 22, and the temperature by which the level is corrected."""
        inlet = self._app.ports.inlet_pressure.read()
        warm_dc = (self._app.ports.temperature.read() - self._zero) * 10 // self._per_c
        self.temperature_dc = -1000 if warm_dc < -1000 else 1000 if warm_dc > 1000 else warm_dc
        active = self._app.alarms.active >> al.AMBIENT - 1 & 1 == 1
        wrong = inlet <= 0 or inlet >= ADC_MOST or not COLDEST_DC <= warm_dc <= (COOL_DC if active else HOT_DC)
        if wrong != active:
            self._app.alarm(al.AMBIENT, wrong, self.temperature_dc, inlet)

    def _level(self, seconds):
        """Rows 2, 5, 6, 8, 9, 10, 18, 19, 21."""
        app, contents, settings = self._app, self._app.contents, self._app.settings
        raw = app.ports.level.read()
        supervisor = app.supervisor
        ordered_nl, lost_nl = supervisor.volume_nl(supervisor.ordered_counts), 0
        if supervisor.lost_counts:
            lost_nl = supervisor.volume_nl(supervisor.lost_counts)
        supervisor.ordered_counts = supervisor.lost_counts = 0
        if raw == self._raw:
            self._same += 1
            self._same_nl += ordered_nl - lost_nl
        else:
            self._raw, self._same, self._same_nl = raw, 0, 0
        if COLDEST_DC <= self.temperature_dc <= HOTTEST_DC:
            raw -= raw * (self.temperature_dc - BODY_DC) // LEVEL_PART_K
        outcome = contents.look(raw)
        faulty = self._faulty()
        if faulty and outcome == DIFFERS:
            outcome = NOT_YET
        if outcome != NOT_YET:
            app.log(cat.E_TARE, 0, contents.off_ul, settings.level_offset_ul)
            if outcome != DIFFERS:
                if outcome == TARED and settings.calibration and not app.alarms.active & UNTRIMMED:
                    loading.trim(app, app.trim.learn(contents.seen_ul, contents.told_ul, contents.drawn_ul), LEARNED)
                app.save_state()
        over = contents.sensed_ul > contents.capacity_ul + OVERFULL_UL and not (contents.settling or contents.held or faulty)
        if outcome == DIFFERS or (over and app.ledger.base_nl):
            app.alarm(al.OVERFULL, True, contents.sensed_ul, app.ledger.reservoir_nl() // 1000)
        self._late_nl += ordered_nl
        self._late_lost_nl += lost_nl
        # Hands are at the septum while a session is young: nothing is judged, and what was ordered waits.
        if self._session_s == 0 or self._session_s > HOLD_S:
            if app.ledger.base_nl and not faulty:
                self._judge(self._late_nl, self._late_lost_nl, seconds)
            self._late_nl = self._late_lost_nl = 0
        if settings.trim and app.alarms.active & UNTRIMMED:
            loading.trim(app, 0, FACTORY)
            app.save_state()
        daily_nl = app.worst_daily_nl()
        if contents.low(daily_nl) or contents.sensed_ul <= contents.residual_ul + REST_UL:
            self._scarce(daily_nl, faulty)

    def _scarce(self, daily_nl, faulty):
        """Rows 8, 9 and 19: the reservoir is low by the book, or empty by the sensor."""
        app, contents = self._app, self._app.contents
        if contents.fell:       # what doubted the sensor was this very fall: a live one that rests where an empty bellows does is believed
            faulty = self._bad > 0 or self._same > 1
        row = contents.alarm(app.schedule.most_daily_nl, faulty)
        if row:
            app.alarm(row, True, contents.sensed_ul, contents.usable_nl())
        if contents.low(daily_nl):
            app.alarm(al.LOW, True, contents.sensed_ul, contents.usable_nl())

    def _faulty(self):
        """Row 21: beyond any bellows, or frozen. The test is off until a session has seen it and the sensor is well."""
        app, contents = self._app, self._app.contents
        beyond = contents.reading_ul > contents.capacity_ul + BEYOND_UL
        if app.ledger.base_nl and not contents.first and contents.reading_ul < contents.residual_ul - BELOW_UL:
            beyond = True
        self._bad = self._bad + 1 if beyond else 0
        if self._bad >= STEADY_ROUNDS or (self._same >= STUCK_ROUNDS and self._same_nl >= self._stuck_nl):
            self._sensor_fault()
        elif not beyond and self._same == 0 and app.alarms.active:
            app.alarm(al.LEVEL_SENSOR, False)
        return beyond or app.alarms.is_active(al.LEVEL_SENSOR)

    def _sensor_fault(self):
        app = self._app
        app.settings.level_offset_ul = self._jumped_s = 0       # the trim is back at the factory's
        self.level_test.restart()
        app.alarm(al.LEVEL_SENSOR, True, app.contents.reading_ul, self._same)

    def _judge(self, ordered_nl, lost_nl, seconds):
        app, supervisor, test = self._app, self._app.supervisor, self.level_test
        found = test.look(app.contents.reading_ul, ordered_nl, lost_nl, seconds)
        if found == level_test.SENSOR or self._jumped_s:
            self._jumped_s += seconds       # a refill by hand may be told later
            if found == level_test.QUIET or found == level_test.SENSOR:
                found = level_test.SENSOR if self._jumped_s > HOLD_S else level_test.QUIET
        if found == level_test.QUIET:
            return
        app.log(cat.E_LEVEL_TEST, found, test.excess_ul, test.since_s // 3600)
        if found == level_test.SENSOR:
            self._sensor_fault()
        elif found == level_test.ENCODER:
            app.ledger.find_pulses(supervisor.lost_in_a_row)
            supervisor.lost_in_a_row = 0
            supervisor.open_loop = True
            app.alarm(al.ENCODER, True, test.excess_ul)
            app.alarm(al.STALL, False)
        elif found == level_test.UNDER:
            self._event(al.UNDER, test.excess_ul)
        else:
            self._event(al.FREE_FLOW if found == level_test.FREE else al.OVER, test.excess_ul, test.since_s)

    def _battery(self):
        """Rows 15 and 20."""
        app, settings = self._app, self._app.settings
        if self.battery_mv < self._eri_mv or self.battery_mv < self._empty_mv or self._weak or self._worn:
            self._weak = self._weak + 1 if self.battery_mv < self._empty_mv else 0
            self._worn = self._worn + 1 if self.battery_mv < self._eri_mv else 0
        if self._worn == STEADY_ROUNDS and settings.eri_s == 0:
            settings.eri_s = settings.steady_s + 1
        days = (settings.steady_s + 1 - settings.eri_s) // DAY_S if settings.eri_s else -1
        if days >= 0:
            app.alarm(al.ERI, True, self.battery_mv)
            self._shift(al.ERI, days >= ERI_LOUD_DAYS)
        if self._weak >= STEADY_ROUNDS or days >= ERI_DAYS:
            app.alarm(al.BATTERY, True, self.battery_mv, days)
        if app.alarms.active >> al.STALL - 1 & 1:
            self._shift(al.BATTERY, True)       # the cell no longer starts a pulse

    def _motion(self):
        """Rows 1, 4, 6, 10 and 27: what the supervisor found."""
        app, supervisor = self._app, self._app.supervisor
        if supervisor.agrees >= AGREES:
            app.alarm(al.ENCODER, False)
        volume_nl = supervisor.over()
        if volume_nl:
            self._event(al.CAP, volume_nl)
            self._shift(al.CAP, app.infusion.extra == 0)
        volume_nl = supervisor.short()
        if volume_nl:
            self._event(al.UNDER, volume_nl)
        active = app.alarms.active >> al.FIELD - 1 & 1 == 1
        field = app.ports.magnet.present() == 1 and (supervisor.lost_in_a_row > 0 or active)
        if field != active:
            app.log(cat.E_FIELD, 1 if field else 0)
            app.alarm(al.FIELD, field)
        if not app.alarms.active >> al.MOTION - 1 & 1:
            if self._trusted:
                self._trusted = False
        elif supervisor.still and not app.alarms.is_shifted(al.MOTION) and app.uptime_s - self._probe_s >= PROOF_S and self._probe == 0:
            self._probe = 1

    def _orders(self, seconds):
        """Rows 16, 17, 18, 23 to 26 and 29: what hangs on time."""
        app, alarms, settings = self._app, self._app.alarms, self._app.settings
        if settings.reduction and app.now_s >= settings.reduction_until_s:
            emergency.end(app)
        if settings.stopped or settings.paused_until_s or alarms.active:
            self._standing(app, alarms, settings, seconds)
        filled_s = settings.steady_s - settings.filled_s + 1
        if 0 < app.expires_s <= app.now_s or 0 < app.next_s <= filled_s:
            app.alarm(al.EXPIRED, True)
        if filled_s >= HOLD_S and app.misfit():
            app.alarm(al.DRUGS, True)

    def _link(self):
        """Row 28."""
        app = self._app
        frames_bad = app.telemetry.frames_bad() + app.telemetry.access.forgeries * FLOOD_FORGED
        locked_s = app.telemetry.access.locked_s()
        wrong = locked_s > 0 or self._session_s >= STUCK_SESSION_S or frames_bad - self._frames_bad >= FLOOD_FRAMES
        if wrong != (app.alarms.active >> al.LINK - 1 & 1 == 1):
            app.alarm(al.LINK, wrong, locked_s, self._session_s)
        if frames_bad != self._frames_bad:
            self._frames_bad = frames_bad

    def _standing(self, app, alarms, settings, seconds):
        """What only a stopped or paused pump or one with an alarm needs: rows 16, 18, 23 and 24."""
        stopped = settings.stopped or settings.paused_until_s
        stopped_s = settings.steady_s - settings.stopped_at_s if stopped else 0
        again = stopped_s >= 2 * DAY_S and stopped_s - seconds < 2 * DAY_S
        if again or not stopped:
            app.alarm(al.STOPPED_LONG, False)
        if stopped:
            if stopped_s >= (STOPPED_LONG_S if settings.abrupt_stop else DAY_S):
                app.alarm(al.STOPPED_LONG, True, stopped_s)
            if app.now_s - settings.time_s >= IDLE_CHECK_S:
                app.save_state()
        if alarms.is_active(al.OVERFULL):
            self._held_s += seconds
            self._shift(al.OVERFULL, self._held_s >= HOLD_S or self._session_s == 0)
        if settings.cut_kind >= 3 and app.bolus.lockout_s() == 0:       # cat.EXTRAS: a bolus
            app.alarm(al.BOLUS_CUT, False)
        if alarms.is_active(al.PAUSE_LONG):
            self._paused_s += seconds
            if self._paused_s > IDLE_CHECK_S:
                self._paused_s = 0
                app.alarm(al.PAUSE_LONG, False)

    # ------------------------------------------------------------------------------------------------ self-test
    def _self_test(self):
        """Records, store, heap; then the switch, when no pulse runs. The result is logged when all is done."""
        app = self._app
        self._test_s = app.uptime_s + DAY_S
        self._failed = self_test.PASSED
        if self._per_c and self._crc != self_test.records_crc(app):
            self._failed = self_test.RECORDS
            app.alarm(al.RECORDS, True, self._crc)
            self._shift(al.RECORDS, app.supervisor.copy_whole())
        elif not app.supervisor.copy_whole():
            self._failed = self_test.RECORDS        # its twin in the store has a CRC of its own; without one the safe state is a stop
            app.supervisor.take(app.settings.load_copy())
            app.log(cat.E_REPAIRED, COPY, 0, 0, True)
        elif not self_test.store_works(app.ports.store, self._scratch, app.uptime_s & 0xFF):
            self._failed = self_test.STORE
            app.alarm(al.STORE, True, 5)
        elif not self_test.heap_suffices():
            self._failed = self_test.HEAP
            self._event(al.WATCHDOG, 0, 1)
        if self._per_c:
            self._probe = 1
        else:
            app.log(cat.E_SELF_TEST, self._failed)

    def _switch(self):
        """Start or judge the supervisor's probe of the enable switch."""
        app, supervisor = self._app, self._app.supervisor
        if self._probe == 1:
            self._probe = 2
            self._probe_s = app.uptime_s
            supervisor.probe()
            return
        self._probe = 0
        if not supervisor.proved:
            self._failed = self_test.SWITCH     # row 1 stands: something turned while the switch was open
        elif app.alarms.is_active(al.MOTION):
            if not self._trusted:
                self._trusted = True        # once: motion that comes back under the fallback stays a stop
                self._shift(al.MOTION, True)
            app.alarm(al.MOTION, False)
        app.log(cat.E_SELF_TEST, self._failed, supervisor.seen)
