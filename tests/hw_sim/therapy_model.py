"""A pump's therapy as alarms.md and DESIGN 7 describe it, written a second time for test_stateful_therapy.py. Shares no code with the firmware.

Exact fractions, whole seconds of the time that the pump has lived through (`t`, outages included). It is told of each order, of what was
ordered of the motor, and of the alarms that stood behind each wake (which rows *should* stand is judged here too: `alarms_due`); what a
standing alarm makes of delivery is reckoned from the table of alarms.md below.
"""

from collections import deque
from fractions import Fraction

DAY_S, HOUR_S = 86_400, 3600
PULSE_NL = 1000
CONT, NOBOLUS, FLAT, FALLBACK, MIN, STOP = range(6)
ACTIONS = {4: NOBOLUS, 5: FALLBACK, 6: FALLBACK, 7: NOBOLUS, 8: STOP, 9: NOBOLUS, 10: NOBOLUS, 12: FLAT, 13: FALLBACK, 14: FLAT, 17: FALLBACK,
           23: NOBOLUS, 27: NOBOLUS, 29: NOBOLUS}        # alarms.md 2; rows that the machine's faults cannot bring are left out
PRIORITY_2 = (*range(1, 19), 29)            # rows of priority 1 or 2; 29 is ours: the fill is not what the program says
DEFECTS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 13, 14, 15, 18, 20, 21, 22, 25, 27)     # nothing that is done to this pump may bring one of these
NOT_ALLOWED, BUSY, ALARM, RESERVE, FRESH, LOCKOUT, COUNT, CAP, STATE, DRUG = (
    "not allowed", "busy", "alarm", "reserve", "fresh", "lockout", "count", "cap", "state", "drug")


class Program:
    """`steps`: [(second of the day, nL/day)]; `bolus` is None or (nL, s, lockout s, per day, interval h, per interval, released)."""

    def __init__(self, steps, fallback, bolus=None, hour_nl=None, day_nl=None, abrupt=False, drug=500_000):
        self.steps, self.fallback, self.bolus, self.abrupt, self.drug = steps, fallback, bolus, abrupt, drug
        self.hour_nl, self.day_nl = hour_nl, day_nl

    def rate(self, rtc_s):
        return [rate for start, rate in self.steps if start <= rtc_s % DAY_S][-1]

    def next_change(self, rtc_s):
        """Seconds until a step of the day begins."""
        return min((start - rtc_s) % DAY_S or DAY_S for start, _ in self.steps)

    def due(self, rtc_s, seconds):
        """nL in `seconds` from a time of the clock on."""
        total, end = Fraction(0), rtc_s + seconds
        while rtc_s < end:
            part = min(self.next_change(rtc_s), end - rtc_s)
            total += Fraction(self.rate(rtc_s) * part, DAY_S)
            rtc_s += part
        return total

    def daily_nl(self):
        ends = [start for start, _ in self.steps[1:]] + [DAY_S]
        return sum(Fraction(rate * (end - start), DAY_S) for (start, rate), end in zip(self.steps, ends))

    def highest(self):
        return max(rate for _, rate in self.steps)

    def most_boluses(self, seconds):
        """How many a patient can get in a span, one starting at its first second."""
        if self.bolus is None:
            return 0
        _, over_s, lockout_s, per_day, _, _, _ = self.bolus
        return min(per_day, 1 + seconds // (over_s + lockout_s)) if seconds < DAY_S else per_day


class Model:
    """Advance with `run`; orders are told by the methods named after them, each checks nothing: `refusal_*` say what must come of it."""

    def __init__(self, rtc_s):
        self.t, self.rtc_s = 0, rtc_s
        self.program = None
        self.stopped_at = None
        self.pause_end = None
        self.extra = None                   # [kind, nL left, nL/day], kind "bolus" (clinician), "patient" or "bridge"
        self.bridge_left = Fraction(0)
        self.active = set()                 # rows that the pump says are active
        self.demanded = Fraction(0)
        self.missed = {"stop": Fraction(0), "fault": Fraction(0), "reset": Fraction(0)}
        self.slack = 2
        self.granted, self.denied = [], []  # [earliest, latest] second, see `reset`
        self.bolus_end = None               # likewise, of the last patient's or clinician's bolus
        self.head = None                    # concentration at the pump head: a bridge's is the old one, until it has left
        self.changed_t = -2 * DAY_S         # when that became another ...
        self.changed_before_t = -4 * DAY_S  # ... and the time before
        self.fresh_t = self.commit_t = 0
        self.fill, self.filled_t = None, 0  # concentration of the last fill, and when that was
        self.pulses = deque()               # (t, nL times concentration) of a day and a bit, as ordered of the motor
        self.lost = deque()                 # ... and which of them did not turn
        self.drifted_s = 0
        self.repeated = deque()             # (t, s, nL) of a day: what the schedule plays twice since the clock went back by up to 5 min
        self.displaced_t = -2 * DAY_S       # when it last played anything but the days that were committed: a flat rate, or hours again
        self.basal_over = False             # row 4 is told for the basal alone
        self.given_rtc = 0                  # what the clock had shown when it went back: until then the day's dose runs evenly
        self.idle_at = None                 # since when a stop or a pause keeps the pump from delivering
        self.stall_ended_t = -DAY_S
        self.unsure_s = 0                   # by which resets behind a small jump have moved how long ago things were
        self.jumped = False                 # the clock jumped by over 5 min and was not set since
        self.cut = False                    # a bolus was cut by a reset or an alarm, and its lockout runs
        self.visited_t = -DAY_S
        self.reduced = None                 # (action, until)
        self.volume_nl = None               # of the reservoir above the residual
        self.pushed_nl = 0                  # into the line since the last fill

    # ---- what alarms make of the rate
    def action(self):
        rows = [STOP if row == 17 and self.reduced == "stop" else FALLBACK if row == 4 and self.basal_over else ACTIONS[row]
                for row in self.active if row in ACTIONS]
        return max(rows, default=CONT)

    def basal(self, rtc_s):
        if self.program is None:
            return 0
        action, rate = self.action(), self.due(rtc_s)
        if action == FLAT:
            return self.program.daily_nl()
        if action == FALLBACK:
            return min(self.program.fallback, rate) if 17 in self.active else self.program.fallback
        return rate

    def due(self, rtc_s):
        """What the program gives: its steps, each once. What the clock had shown before it went back was given."""
        return self.program.daily_nl() if rtc_s < self.given_rtc else self.program.rate(rtc_s)

    def next_change(self, rtc_s):
        part = self.program.next_change(rtc_s)
        return min(part, self.given_rtc - rtc_s) if rtc_s < self.given_rtc else part

    def clock_moves(self, seconds):
        """The clock is about to move by so much, by order or by itself. Under row 12 no step was given since it jumped."""
        if not 0 <= -seconds <= 1:
            if not self.jumped:
                self.given_rtc = max(self.given_rtc, self.rtc_s)
            self.given_rtc = min(self.given_rtc, self.rtc_s + seconds + DAY_S)
            self.plays_nearer(abs(seconds))

    def mode(self):
        if self.stopped_at is not None:
            return "stopped"
        if self.pause_end is not None:
            return "paused"
        if self.extra:
            return "bridging" if self.extra[0] == "bridge" else "bolus"
        return "running" if self.program else "idle"

    # ---- time
    def run(self, seconds):
        """Let time pass with power."""
        while seconds > 0:
            part = seconds
            if self.pause_end is not None:
                part = min(part, self.pause_end - self.t)
            if self.program:
                part = min(part, self.next_change(self.rtc_s))
            if part == 0:                   # the pause is over
                self.pause_end = None
                continue
            self._flow(part)
            self.t += part
            self.rtc_s += part
            seconds -= part
            if self.pause_end is not None and self.t >= self.pause_end:
                self.pause_end = None

    def drift(self, seconds):
        """The clock moved by less than a jump: what ends at a time of the clock ends earlier or later."""
        self.drifted_s += seconds
        if self.reduced:
            self.reduced_until -= seconds
        if self.pause_end is not None:
            self.pause_end = max(self.t, self.pause_end - seconds)

    def plays_nearer(self, seconds):
        """The clock moved by so much: steps ahead come nearer to those behind, or an even rate comes between them.

        Row 12 tolerates 5 min, and neither a tolerated step nor a clinician who corrects as little is a defect or a dose: what comes of it is
        not held against a cap in execution (row 4), up to 10 min a day. More than that is the physician's dose no longer, nor is a flat
        rate (row 12) with the schedule behind it within a day: there row 4 may come, and must when a window is over.
        """
        if seconds > 300:
            self.displaced_t = self.t + seconds
        elif self.program:
            self.repeated.append((self.t, seconds, Fraction(seconds * self.program.highest(), DAY_S)))
            while self.repeated[0][0] <= self.t - DAY_S:
                self.repeated.popleft()
            if sum(part for _, part, _ in self.repeated) > 600:
                self.displaced_t = self.t

    def displaced(self):
        return self.t - self.displaced_t < DAY_S + HOUR_S

    def _flow(self, seconds):
        rate, extra = self.basal(self.rtc_s), self.extra
        if self.action() == FLAT:
            self.displaced_t = self.t + seconds
        due = extra[2] if extra and extra[0] == "bridge" else (self.due(self.rtc_s) if self.program else 0)
        if self.stopped_at is not None or self.pause_end is not None:
            self.missed["stop"] += Fraction(due * seconds, DAY_S)
            return
        if self.action() == STOP:
            self.missed["fault"] += Fraction(due * seconds, DAY_S)
            return
        if extra:
            needed = -(-extra[1] * DAY_S // extra[2])       # whole seconds that it still takes
            part = min(seconds, needed)
            given = min(extra[1], Fraction(extra[2] * part, DAY_S))
            self.demanded += given + (0 if extra[0] == "bridge" else Fraction(rate * part, DAY_S))
            extra[1] -= given
            seconds -= part
            if extra[1] == 0 or part == needed:
                self.extra = None
                self.slack += 2
                if extra[0] == "bridge":
                    self.drug_follows(self.t + part)
                else:
                    self.bolus_end = [self.t + part] * 2
        self.demanded += Fraction(rate * seconds, DAY_S)

    def drug_follows(self, at):
        """The old drug has left the head, if there was one."""
        if self.head != self.program.drug:
            if self.head is not None:
                self.changed_before_t = self.changed_t
            self.head, self.changed_t = self.program.drug, at

    def outage(self, seconds):
        """Time without power: missed, a bolus ended, a bridge waiting. Books of RAM may be short by a pulse.

        It moves to `missed` what would have been demanded, and nothing else: under a fallback that is the fallback, and
        where an alarm or an order had stopped the pump, the alarm or the order stays the cause (alarms.md 2 a).

        A pump without power has nothing but its clock, and a clock that moved by up to 5 min is no fault (row 12): unless it was
        stored meanwhile, what lies before the reset is so much older or younger for it since.
        """
        start, end = self.t, self.t + seconds
        while self.t < end:
            part = min(end - self.t, self.next_change(self.rtc_s) if self.program else end - self.t)
            for until in (self.pause_end, self.reduced_until if self.reduced else None):
                if until is not None and until > self.t:
                    part = min(part, until - self.t)
            if self.reduced and self.t >= self.reduced_until:
                self.active.discard(17)
            idle = self.stopped_at is not None or (self.pause_end is not None and self.t < self.pause_end)
            held = idle or self.action() == STOP
            rate = self.due(self.rtc_s) if held and self.program else self.basal(self.rtc_s)
            if self.extra and self.extra[0] == "bridge":
                rate = self.extra[2]
            self.missed["stop" if idle else "fault" if held else "reset"] += Fraction(rate * part, DAY_S)
            self.t += part
            self.rtc_s += part
        if self.cut_bolus(start):
            self.bolus_end[1] = self.t      # a pump that wakes up may only be sure that it is over
        for times in self.granted + self.denied + ([self.bolus_end] if self.bolus_end else []):
            times[0] -= max(0, self.drifted_s)
            times[1] -= min(0, self.drifted_s)
        self.unsure_s += abs(self.drifted_s)
        self.drifted_s = 0
        self.lost.clear()                   # the supervisor's memory of lost pulses is RAM
        if self.pause_end is not None and self.t >= self.pause_end:
            self.pause_end = None

    def cut_bolus(self, at, alarm=True):
        """What was running ends for good; its lockout runs from there. Returns True when there was something."""
        if not self.extra or self.extra[0] == "bridge":
            return False
        self.extra, self.bolus_end = None, [at, at]
        self.cut = self.cut or alarm
        return True

    def pulse(self, nl, turned):
        self.pushed_nl += nl if turned else 0
        self.pulses.append((self.t, nl * self.head))
        self.lost.append((self.t, not turned))
        for ring in (self.pulses, self.lost):
            while ring and ring[0][0] < self.t - 2 * DAY_S:
                ring.popleft()

    def delivered(self, seconds):
        """nL of what is in the head now that hold what the motor was ordered in the last `seconds`: a cap is a mass."""
        return Fraction(sum(mass for t, mass in self.pulses if t > self.t - seconds), self.head)

    def blurred_nl(self):
        """What a pump may count too much behind a change of drug: five minutes either way, at four times the concentration.

        Changed twice within a day, all of the day may count so: behind a reset the history does not say which of the drugs it was, and a
        cap is never widened by that. Too little is never counted: what a window holds, and what must be refused, is judged as ever.
        """
        if self.t - self.changed_t >= DAY_S + HOUR_S:
            return 0
        if self.changed_t - self.changed_before_t < DAY_S + HOUR_S:
            return 4 * PULSE_NL * len(self.pulses)
        return 5 * PULSE_NL + 600 * 400_000 * 4 // DAY_S

    def most_in(self, seconds, cap):
        """nL that the window of `seconds` up to now may hold under a cap of the program.

        A window that reaches behind the commit may hold more than the cap when it would have held no less without that commit: a fall of
        the dose, or a cap lowered beside a dose that stays, is never refused for what was delivered before it. To keep the
        patient at the higher rate for a day, or to stop a baclofen pump, so that a window may empty, no physician would sign.

        A window may hold more by what the schedule repeats, see `plays_again`. Displaced by more, it is stopped by row 4, which counts in
        fives of minutes, and behind a reset is blind for three of them.
        """
        cap += sum(nl for t, _, nl in self.repeated if self.t - t < seconds)
        if self.displaced():
            cap += PULSE_NL + Fraction(self.program.highest() * (600 + 1200), DAY_S)
        since_s = self.t - self.commit_t
        if self.before is None or since_s >= seconds:
            return cap
        past = sum(mass for t, mass in self.pulses if self.t - seconds < t <= self.commit_t)
        return max(cap, Fraction(past, self.head) + self.before.due(self.commit_rtc_s, since_s))

    # ---- orders
    def commit(self, program, bridge=None):
        if self.program is None or (program.steps, program.drug, program.bolus) != (self.program.steps, self.program.drug, self.program.bolus) or bridge:
            self.fresh_t = self.t
        falls = program.bolus is None and not bridge and self.mode() not in ("stopped", "paused") and self.action() != STOP
        self.before = self.program if falls else None
        self.given_rtc = 0
        self.program, self.reduced, self.commit_t, self.commit_rtc_s = program, None, self.t, self.rtc_s
        if bridge:
            self.extra = ["bridge", Fraction(bridge[0]), bridge[1]]
            self.slack += 2
        elif self.extra and self.extra[0] == "bridge":      # restated as nothing: less than a pulse of it was left
            self.extra = None
        if not self.extra:
            self.drug_follows(self.t)

    def bolus(self, kind, nl, seconds):
        self.extra = [kind, Fraction(nl), -(-nl * DAY_S // seconds)]
        self.cut = False
        if kind == "patient":
            self.granted.append([self.t, self.t])

    def stop(self):
        self.cut_bolus(self.t, alarm=False)
        self.idle_at = self.t if self.pause_end is None else self.idle_at
        self.stopped_at, self.pause_end = self.t, None

    def pause(self, seconds):
        self.cut_bolus(self.t, alarm=False)
        self.pause_end, self.idle_at = self.t + seconds, self.t

    def filled(self, concentration):
        self.fill, self.filled_t, self.fresh_t, self.volume_nl, self.pushed_nl = concentration, self.t, self.t, 18_600_000, 0

    def bridge_due_nl(self):
        """What of the line's 375 uL is still the drug from before the last fill: what a change to the fill's drug must bridge."""
        return max(0, 375_000 - self.pushed_nl)

    def misfit(self):
        """The program is written for another concentration than that of the last fill."""
        return self.program is not None and self.fill is not None and self.fill != self.program.drug

    def resume(self):
        self.stopped_at = self.pause_end = self.reduced = None

    # ---- what must come of a request
    def lockout_left(self):
        """(at least, at most) seconds."""
        if self.bolus_end is None or self.program is None or self.program.bolus is None:
            return 0, 0
        return [max(0, end + self.program.bolus[2] - self.t) for end in self.bolus_end]

    def recent(self, times, seconds):
        """(at least, at most) so many lie less than `seconds` back; a second more or less at each end is nobody's fault."""
        return sum(1 for early, _ in times if self.t - early < seconds - 2), sum(1 for _, late in times if self.t - late < seconds + 2)

    def denial(self):
        """The first reason of alarms.md 3 against a request now (CAP apart), None when there is none; and whether a second more or less decides."""
        mode = self.mode()
        if mode in ("stopped", "paused", "idle"):
            return STATE, False
        bolus = self.program.bolus
        if bolus is None:
            return NOT_ALLOWED, False
        if self.extra:
            return BUSY, False
        if any(row in PRIORITY_2 for row in self.active) or 27 in self.active:
            return ALARM, False
        if self.misfit():
            return DRUG, False
        if self.volume_nl is not None and self.volume_nl < 2 * self.program.daily_nl() * Fraction(8 if self.displaced() else 9, 10):
            return RESERVE, False
        doubt = self.volume_nl is not None and self.volume_nl < 2 * self.program.highest() * Fraction(11, 10)
        if not bolus[6] and self.t - self.fresh_t < DAY_S:
            return FRESH, doubt or DAY_S - (self.t - self.fresh_t) <= 2 + self.unsure_s
        doubt = doubt or (not bolus[6] and self.t - self.fresh_t < DAY_S + 2 + self.unsure_s)
        least, most = self.lockout_left()
        if most:
            return LOCKOUT, doubt or least <= 3
        counts = [self.recent(self.granted, DAY_S)[at] >= bolus[3] or (bolus[4] > 0 and self.recent(self.granted, bolus[4] * HOUR_S)[at] >= bolus[5])
                  for at in (0, 1)]
        return (COUNT if counts[0] else None), doubt or counts[0] != counts[1]

    def rises_above(self, nl, rate):
        """Whether a bolus of `nl` may break a cap of the program: (surely, possibly), by the coarse sum of a whole window.

        Surely: what the window that ends with the bolus holds, or of a longer bolus an hour in its midst. A pulse may be booked before it is due.
        """
        surely = possibly = False
        for seconds, cap in ((HOUR_S, self.program.hour_nl), (DAY_S, self.program.day_nl)):
            if cap is None:
                continue
            held = self.delivered(seconds)
            ahead = Fraction(self.program.highest() * min(seconds, DAY_S), DAY_S)
            possibly = possibly or held + nl + ahead + 3 * PULSE_NL + self.blurred_nl() + Fraction(600 * (self.program.highest() + rate), DAY_S) > cap
            over_s = min(seconds, -(-nl * DAY_S // rate))
            least = min(nl, Fraction(rate * over_s, DAY_S)) + Fraction(min(at for _, at in self.program.steps) * over_s, DAY_S)
            before = self.delivered(seconds - over_s) if over_s < seconds else 0
            surely = surely or before + least > cap + PULSE_NL
        return surely, possibly

    # ---- which alarms must stand, which must not
    def alarms_due(self):
        """({rows that must be active}, {rows that must not}) of those that this model judges; what is a matter of seconds is in neither."""
        must, never = set(), set()

        def judge(row, on, doubtful=False):
            if not doubtful:
                (must if on else never).add(row)

        judge(12, self.jumped)
        judge(17, self.reduced is not None)
        if self.stopped_at is None and self.pause_end is None:
            never.add(16)
        else:
            limit_s, since_s = (6 if self.program and self.program.abrupt else 24) * HOUR_S, self.t - self.idle_at
            # An idle pump looks once an hour; what rang by the rule of the program before rings until a resume.
            judge(16, since_s >= limit_s, self.t - self.commit_t <= HOUR_S or abs(since_s - limit_s) <= HOUR_S or (since_s < limit_s and since_s >= 6 * HOUR_S))
        since_s = self.t - self.filled_t
        judge(29, self.misfit() and since_s >= 1800, self.misfit() and 1500 <= since_s <= 1800 + 700)
        never.update(DEFECTS)
        if self.displaced():
            never.discard(4)
        in_a_row = 0
        for _, lost in reversed(self.lost):
            if not lost:
                break
            in_a_row += 1
        first_lost = self.lost[-in_a_row][0] if in_a_row else self.t
        # One that comes back within two hours stands for them, and until a pulse behind them turns: at the slowest rate that is four hours more.
        back = in_a_row < 3 and self.t - self.stall_ended_t < 7 * HOUR_S
        judge(7, in_a_row >= 3, back or (in_a_row in (1, 2) and self.t - first_lost > 1000) or (in_a_row and self.t - self.lost[-1][0] < 2))
        judge(23, self.cut and self.lockout_left()[0] > 0, self.cut or self.lockout_left()[1] > 0 or 23 in self.active)
        many = self.recent(self.denied, DAY_S)[0] >= 3 and self.denied[-1][0] >= self.visited_t
        judge(26, many, not many and (self.recent(self.denied, DAY_S + 700)[1] >= 3 or 26 in self.active))
        return must, never
