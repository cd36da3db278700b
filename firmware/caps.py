"""Hard caps: the nL that no hour and no 24 h may hold, counting what was delivered, what runs and what is committed ahead (alarms.md 3).

A cap is a mass of each drug; at the concentration in the head it is a volume, and the drug that is met first counts. What reached
the patient is kept in closed buckets of five minutes of uptime, 24 h of them, and a running one: no time of day comes near it.

A check looks at windows that begin where a bucket begins. With patient boluses about, each is one bucket longer than 1 h or 24 h,
so that it holds every exact window beginning in that bucket. Therefore, with P a pulse and B what one bucket of any window holds:
- `grant_refusal` passes nothing that an exact rolling window refuses, and refuses nothing that stays more than B + P below the cap;
- `commit_refusal` of a program with patient boluses is stricter by the same bucket and 2 P: no bolus that it proved is refused later;
- without them it is exact for what the program itself can do, so that a program may run at its cap; a window that straddles the
  commit is exact where a bucket begins, between two of these it may be over by what five minutes rise, and by P of rounding.

A clock that goes back by up to 5 min, which row 12 tolerates, lets the schedule repeat as much: by so much, and no more than 10 min of
its fastest step a day, a window may be over its cap without row 4. What a grant or a commit may add is never the more for it. Behind a
reset what was delivered before the clock went back seems so much younger: a window that this can take above a cap is above it at boot.
"""

from array import array

from ..protocol.catalogue import PROGRAM, R_CAP
from .alarms import CAP
from .blocks import DRUGS, bolus_rate_nl_day, drugs_of, values_of
from .infusion import BOLUS, PRIME
from .limits import CLOCK_JUMP_S, DAY_S, SMALL, WEEK_S

BUCKET_S = 300
BUCKETS = DAY_S // BUCKET_S
HOUR_S, HOUR_BUCKETS = 3600, 3600 // BUCKET_S
MOST_NL = 3000000           # of one bucket, also at another concentration: the day's sum stays small
ONE = 1 << 12 | 1           # a share of 1 : 1, see share_of
BOLUSES, BASAL = 1, 2       # what exceeds a cap in execution
assert (BUCKETS + 1) * MOST_NL < SMALL
assert BUCKETS * BUCKET_S == DAY_S


def caps_of(values, fill=()):
    """(nL an hour, nL a day) of a program block's values: of the drug that is met first; SMALL - 1 where no cap is given.

    `fill`: blocks.drugs_of what is in the reservoir. Where a drug is stronger there than in the program, that is what the head gives.
    """
    caps = [SMALL - 1, SMALL - 1]
    for index in DRUGS:
        drug, strength = values["drug_" + index], values["concentration_%s_ng_ml" % index]
        if drug in fill:
            strength = max(strength, fill[fill.index(drug) + 1])
        for at in (0, 1):
            cap_ng = values[("cap_hour_%s_ng", "cap_day_%s_ng")[at] % index]
            if cap_ng:
                caps[at] = min(caps[at], cap_ng * 1000000 // strength)
    return caps


def share_of(old, new):
    """nL of a new mixture that hold no less of any drug than one nL of the old, as numerator << 12 | denominator (1..4095).

    Both as blocks.drugs_of gives them. Rounded up where it cannot be exact; 0 : 1 when they share no drug, 1 : 1 without an old one.
    """
    most, least = (0, 1) if old else (1, 1)
    for at in range(0, len(old), 2):
        for other in range(0, len(new), 2):
            if old[at][0] and old[at] == new[other] and old[at + 1] * least > new[other + 1] * most:
                most, least = old[at + 1], new[other + 1]
    return _ratio(most, least)


def behind(settings, share):
    """What a nanolitre of before counts behind a change of the drug by `share`: of two changes within a day, what counts more.

    The history does not tell which volumes lie between the two; those of before the first count by both.
    """
    old = settings.old_share
    if not old or settings.steady_s - settings.switched_s > DAY_S + BUCKET_S:
        return share
    both = _ratio((old >> 12) * (share >> 12), (old & 4095) * (share & 4095))
    return both if (both >> 12) * (share & 4095) > (share >> 12) * (both & 4095) else share


def bridged(settings, changes):
    """Add to `changes` ({attribute of Settings: value}) what the end of a bridge by order is for the caps. Its own end: App._extra_ended."""
    if settings.old_cap_day_nl:
        changes["old_share"], changes["switched_s"] = behind(settings, settings.bridge_share), settings.steady_s
    changes["old_cap_hour_nl"] = changes["old_cap_day_nl"] = 0


def _ratio(most, least):
    rest, common = most, least
    while rest:
        rest, common = common % rest, rest
    most, least = most // common, least // common
    while least > 4095 or (most > 65535 and least > 1):
        most, least = (most + 1) >> 1, least >> 1
    return min(65535, most) << 12 | least


def _shared(volume_nl, share):
    """`volume_nl` (< 2**30) of the old mixture in nL of the new, rounded up; in small steps, and never above SMALL - 1."""
    most, least = share >> 12, share & 4095
    if volume_nl // least > (SMALL - 1) // (most + 1) - 1:
        return SMALL - 1
    return volume_nl // least * most + (volume_nl % least * most + least - 1) // least


def basal(schedule, at_s, until_s):
    """What a schedule is due between two pump times, in nL / 86400."""
    total = 0
    while at_s < until_s:
        end = min(schedule.next_change_s(at_s), until_s)
        total += schedule.rate_at(at_s) * (end - at_s)
        at_s = end
    return total


def worst(schedule, seconds):
    """The most that a schedule is due in any `seconds` of its week, in nL / 86400: both ends move from change to change."""
    tail, front = 0, seconds
    most = inside = basal(schedule, tail, front)
    while tail < WEEK_S:
        part = min(schedule.next_change_s(tail) - tail, schedule.next_change_s(front) - front)
        inside += (schedule.rate_at(front) - schedule.rate_at(tail)) * part
        tail += part
        front += part
        most = max(most, inside)
    return most


def _part(whole, rate, at, until):
    """What of `whole` (nL / 86400), running at `rate` from 0 on, falls between two seconds."""
    return (min(whole, rate * until) if until > 0 else 0) - (min(whole, rate * at) if at > 0 else 0)


def _ahead(flow, at, until):
    """What is due between two seconds from now, in nL / 86400: a stretch that runs, behind `hold_s` the schedule, and boluses."""
    schedule, now_s, hold_s, left, left_rate, starts, whole, rate = flow
    total = _part(left, left_rate, at, until)
    if until > hold_s:
        total += basal(schedule, now_s + max(at, hold_s), now_s + until)
    for start in starts:
        total += _part(whole, rate, at - start, until - start)
    return total


class Caps:
    """`tick` in each step, `note` behind each pulse; both allocate nothing. `hour_nl` and `day_nl` are the caps in force.

    `delivered_hour_nl` and `delivered_day_nl` hold the running bucket and 12 or 288 closed ones: never less than the exact window.
    """

    def __init__(self):
        self.hour_nl = self.day_nl = SMALL - 1
        self.delivered_hour_nl = self.delivered_day_nl = 0
        self._hour_nl = self._day_nl = SMALL - 1    # the program's own: in force but while a bridge runs
        self._share = 0                             # nL of the program's drug for one of a bridge's; 0: no bridge
        self._buckets = array("I", bytes(4 * BUCKETS))
        self._at = 0                # the oldest closed bucket: the running one will take its place
        self._running_nl = 0
        self._until_s = BUCKET_S    # uptime at which the running bucket closes
        self._now_s = 0
        self._bolus_s = -DAY_S      # uptime of the last pulse beside a bolus
        self._known_s = -2 * DAY_S  # uptime from which on this window was seen, not restored ...
        self._full_s = -2 * DAY_S   # ... or assumed to be full ...
        self._blind_s = -2 * DAY_S  # ... or above the caps already, for a reason that has been answered
        self._again_nl = 0          # what the schedule may have repeated behind a clock that went back ...
        self._again_s = -2 * DAY_S  # ... up to this uptime
        self._eased = False         # the program checked last is let into windows that are over its caps: see `falls`

    def load(self, values, share=ONE):
        """The caps of a program block, in force from now on. `share`: share_of(old, new) when the head changes its drug at once."""
        self._hour_nl, self._day_nl = caps_of(values)
        self._share = share
        if self._eased:
            self._blind_s = self._now_s
        self.release_old()

    def refilled(self, values, fill):
        """Another fill under the program of `values`: its caps hold as masses, see caps_of. While a bridge runs they wait for its end."""
        self._hour_nl, self._day_nl = caps_of(values, fill)
        if not self._share:
            self.release_old()

    def hold_old(self, hour_nl, day_nl, share):
        """While a bridge runs, also behind a reset: the old drug is in the head, so the old caps count. `share`: share_of(old, new)."""
        self.hour_nl, self.day_nl, self._share = hour_nl, day_nl, share

    def release_old(self):
        """The bridge has ended: the program's own caps, and what was delivered counts as so much of its drug. Allocates nothing."""
        self.hour_nl, self.day_nl = self._hour_nl, self._day_nl
        if self._share and self._share != ONE:
            self._switch(self._share)
        self._share = 0
        self._excuse()

    def _excuse(self):
        """A window above the caps is no defect of today: the caps were lowered, or the excess was said, in a session or before a reset."""
        if self.delivered_hour_nl > self.hour_nl or self.delivered_day_nl > self.day_nl:
            self._blind_s = self._now_s

    def _switch(self, share):
        buckets = self._buckets
        self._running_nl = self.delivered_hour_nl = self.delivered_day_nl = min(MOST_NL, _shared(self._running_nl, share))
        for back in range(1, BUCKETS + 1):
            volume_nl = min(MOST_NL, _shared(buckets[self._at - back], share))
            buckets[self._at - back] = volume_nl
            self.delivered_day_nl += volume_nl
            if back <= HOUR_BUCKETS:
                self.delivered_hour_nl += volume_nl

    # ------------------------------------------------------------------------------------------------ steady path
    def tick(self, uptime_s):
        """Move the window; a jump of hours closes as many buckets. Uptime never goes back."""
        self._now_s = uptime_s
        if uptime_s < self._until_s:
            return
        closed = (uptime_s - self._until_s) // BUCKET_S + 1
        self._until_s += closed * BUCKET_S
        closed = min(closed, BUCKETS + 1)
        while closed:
            self._close()
            closed -= 1

    def _close(self):
        buckets, at = self._buckets, self._at
        self.delivered_day_nl -= buckets[at]
        self.delivered_hour_nl -= buckets[at - HOUR_BUCKETS]
        buckets[at] = self._running_nl
        self._running_nl = 0
        self._at = at + 1 if at + 1 < BUCKETS else 0

    def clock(self, back_s, most_rate_nl_day):
        """The clock went back, or (below 0) leapt ahead, and the schedule's fastest rate: what it brings nearer by up to 5 min is no defect."""
        if not -CLOCK_JUMP_S <= back_s <= CLOCK_JUMP_S:
            return
        second_nl = most_rate_nl_day // DAY_S + 1
        again_nl = abs(back_s) * second_nl
        if self._now_s - self._again_s < DAY_S + BUCKET_S:
            again_nl = min(self._again_nl + again_nl, 2 * CLOCK_JUMP_S * second_nl)
        self._again_nl, self._again_s = again_nl, self._now_s

    def note(self, volume_nl, extra):
        """A pulse was ordered while `extra` ran (firmware/infusion.py). A prime fills the line: it reaches no patient."""
        if extra == PRIME:
            return
        self._running_nl += volume_nl
        self.delivered_hour_nl += volume_nl
        self.delivered_day_nl += volume_nl
        if extra >= BOLUS:
            self._bolus_s = self._now_s

    def watch(self, app):
        """Row 4, before a pulse. Once the basal alone has exceeded a cap it is the fallback's, until a session: at that rate it does no more."""
        over = self.exceeded(app.ledger.pulse_nl, app.rate)
        if over:
            news = over == BASAL and app.alarms.shift(CAP, True)
            app.alarm(CAP, True, self.delivered_hour_nl, self.delivered_day_nl)
            if news:
                app.follow(app.now_s)
                app.save_state()

    def exceeded(self, pulse_nl, rate_nl_day):
        """0, or BOLUSES when the next pulse exceeds a cap, or BASAL when that is the doing of the basal rate alone.

        What the window certainly holds counts: no exact window at its cap is over it. `rate_nl_day`: of the program, boluses apart.
        """
        if self.delivered_hour_nl <= self.hour_nl and self.delivered_day_nl <= self.day_nl:
            return 0
        return (self._exceeded(HOUR_S, self.hour_nl, self.delivered_hour_nl, pulse_nl, rate_nl_day // 24)
                or self._exceeded(DAY_S, self.day_nl, self.delivered_day_nl, pulse_nl, rate_nl_day))

    def _exceeded(self, seconds, cap_nl, held_nl, pulse_nl, basal_nl):
        now_s, back = self._now_s, seconds // BUCKET_S
        if held_nl <= cap_nl or now_s - self._blind_s < seconds + BUCKET_S:
            return 0
        held_nl -= self._buckets[self._at - back]
        if now_s - self._known_s < seconds + BUCKET_S:      # a restored volume may stand two buckets late
            held_nl -= self._buckets[self._at - back + 1] + self._buckets[self._at - back + 2]
        if now_s - self._again_s < seconds + BUCKET_S:
            held_nl -= self._again_nl
        # One pulse of what is due was demanded before the window, and this one may be the last of it.
        if held_nl <= cap_nl + pulse_nl:
            return 0
        return BASAL if basal_nl > cap_nl or now_s - self._bolus_s >= seconds else BOLUSES

    # ------------------------------------------------------------------------------------------------ boot
    def restore(self, app):
        """Boot: the window from the delivery history; all of it assumed used when a record of it is gone."""
        settings, history = app.settings, app.history
        past_s = BUCKET_S - self._until_s + self._now_s
        switched_s = settings.steady_s - settings.switched_s if settings.old_share else 2 * DAY_S
        self._known_s = self._bolus_s = self._now_s
        for age_s, volume_nl in history.recent(app.now_s, app.ledger, DAY_S + BUCKET_S):
            back = max(0, (age_s - past_s + BUCKET_S - 1) // BUCKET_S)
            if age_s >= switched_s:
                volume_nl = min(MOST_NL, _shared(volume_nl, settings.old_share))
            if back > BUCKETS:
                continue
            if back:
                self._buckets[self._at - back] += volume_nl
            else:
                self._running_nl += volume_nl
            self.delivered_day_nl += volume_nl
            if back <= HOUR_BUCKETS:
                self.delivered_hour_nl += volume_nl
        if settings.steady_s - settings.changed_s < DAY_S + BUCKET_S:
            self._blind_s = self._now_s     # a fall may still be in the windows that it was let into
        self._excuse()
        if not history.whole:
            self.assume_full()

    def assume_full(self):
        """What was delivered in the last 24 h is not known: as much as the caps allow, evenly. No bolus for 24 h."""
        each_nl = min(self.day_nl // BUCKETS, self.hour_nl // HOUR_BUCKETS, MOST_NL)
        for back in range(BUCKETS):
            self._buckets[back] = each_nl
        self._running_nl = 0
        self.delivered_hour_nl, self.delivered_day_nl = HOUR_BUCKETS * each_nl, BUCKETS * each_nl
        self._full_s = self._blind_s = self._now_s

    # ------------------------------------------------------------------------------------------------ orders
    def commit_refusal(self, app, values, schedule):
        """0 or R_CAP for a program (values of its block, its schedule): whatever it can do in any window, and behind what was delivered.

        Every patient bolus counts as taken as early as its rules allow: for windows that straddle the commit from what was granted
        before, for all others anew. A bridge counts as what it is, the old drug, under both programs' caps. A program without
        patient boluses that adds no more than the running one would is not refused for what lies behind it: a lower rate is the
        way out of a full window. Allocates.
        """
        volume_nl, pulses_nl = values["bolus_nl"], 2 * app.ledger.pulse_nl
        share = self._share or share_of(app.program_drugs, drugs_of(values))
        falls = not volume_nl and app.delivering and not self._share
        self._eased = False
        bridge, bridge_rate = values["bridge_nl"] * DAY_S, values["bridge_rate_nl_day"]
        hold_s = -(-bridge // bridge_rate) if bridge else 0
        rate = bolus_rate_nl_day(volume_nl, values["bolus_s"]) if volume_nl else 0
        pad_s = BUCKET_S if volume_nl else 0
        own_nl = caps_of(values)
        line_nl = self.hour_nl, self.day_nl
        if app.program_block and not self._share:
            line_nl = caps_of(values_of(PROGRAM, app.program_block))    # the line holds what the program says, whatever was filled since
        for seconds, cap_nl, old_nl in ((HOUR_S, own_nl[0], line_nl[0]), (DAY_S, own_nl[1], line_nl[1])):
            window_s = seconds + pad_s
            most = worst(schedule, window_s) + (pulses_nl * DAY_S if volume_nl else 0)
            for start in app.bolus.starts(values, window_s, 0, False):
                most += _part(volume_nl * DAY_S, rate, 0, window_s - start)
            if max(most, values["fallback_nl_day"] * seconds) > cap_nl * DAY_S:
                return R_CAP
            flow = (schedule, app.now_s, hold_s, -(-bridge * (share >> 12) // (share & 4095)), -(-bridge_rate * (share >> 12) // (share & 4095)),
                    app.bolus.starts(values, hold_s + window_s + BUCKET_S, hold_s, True), volume_nl * DAY_S, rate)
            # Two remainders of less than a nL each will have become whole when a bolus that fitted here is asked for.
            if self._over(app, flow, window_s, cap_nl - 2 if volume_nl else cap_nl + app.ledger.pulse_nl, share, hold_s, falls):
                return R_CAP
            if bridge and self._over(app, (schedule, 0, SMALL, bridge, bridge_rate, (), 0, 0), seconds, old_nl + pulses_nl, ONE, hold_s, falls):
                return R_CAP
        return 0

    def grant_refusal(self, app, volume_nl, seconds):
        """0 or R_CAP for a bolus over `seconds` on top of what runs: in every window that holds a part of it. Allocates."""
        if self._now_s - self._full_s < DAY_S + BUCKET_S:
            return R_CAP
        infusion, rate = app.infusion, bolus_rate_nl_day(volume_nl, seconds)
        left, left_rate, last_s = 0, 0, seconds
        if infusion.extra >= BOLUS:
            left, left_rate = infusion.extra_left_nl * DAY_S, infusion.extra_rate_nl_day
            last_s = max(last_s, left // left_rate)
        flow = (app.schedule, app.now_s, 0, left, left_rate, (0,), volume_nl * DAY_S, rate)
        if self._over(app, flow, HOUR_S + BUCKET_S, self.hour_nl, ONE, last_s, False) \
                or self._over(app, flow, DAY_S + BUCKET_S, self.day_nl, ONE, last_s, False):
            return R_CAP
        return 0

    def _over(self, app, flow, window_s, room_nl, share, last_s, falls):
        """True when a window that begins with a bucket of the past, or ahead before `last_s`, holds more than `room_nl`.

        `share`: of what was delivered; `falls`: no window is over while less is due in it than from the running program.
        """
        back = BUCKETS if window_s >= DAY_S else HOUR_BUCKETS
        held_nl = (self.delivered_day_nl if back == BUCKETS else self.delivered_hour_nl) + app.infusion.acc_nl
        past_s = BUCKET_S - self._until_s + self._now_s
        room, ahead, front = room_nl * DAY_S, 0, 0
        while back >= 0:
            reach_s = window_s - past_s - back * BUCKET_S
            if reach_s > 0:
                ahead += _ahead(flow, front, reach_s)
                front = reach_s
                if _shared(held_nl, share) * DAY_S + ahead > room:
                    if not falls or ahead * (share & 4095) > basal(app.schedule, app.now_s, app.now_s + reach_s) * (share >> 12):
                        return True
                    self._eased = True
            held_nl -= self._buckets[self._at - back] if back else 0
            back -= 1
        at, tail = BUCKET_S - past_s, 0
        if flow[2]:
            at = max(at, last_s - window_s)     # a bridge is even: of the windows within it the last stands for all
        while at < last_s:
            ahead += _ahead(flow, front, at + window_s) - _ahead(flow, tail, at)
            front, tail = at + window_s, at
            if app.infusion.acc_nl * DAY_S + ahead > room:
                return True
            at += BUCKET_S
        return False
