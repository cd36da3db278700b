"""The committed program as a schedule: the rate due at a time of the week, and when it next changes.

A program is a set of day patterns (1..13 steps each, the first from minute 0) and a map weekday -> pattern. Simple
continuous and the minimum rate are one pattern of one step; periodic boluses are steps of their own above the basal, so that a
day of them has up to 25. Times are pump seconds; the epoch is a Monday at midnight.

A clock that goes back must not let a step be given twice. Up to the pump time that it had reached (`given_s`) the rate is flat, the
day's dose over 24 h: at most for a day, since behind a whole day at that rate nothing of what was given before is near.
"""

from ..protocol.fields import get
from .limits import DAY_S


class Schedule:
    """Rates by weekday and minute. Loading allocates; looking up does not."""

    def __init__(self):
        self._weekdays: tuple = (0, 0, 0, 0, 0, 0, 0)
        self._starts: tuple = ((0,),)
        self._rates: tuple = ((0,),)
        self.most_daily_nl = 0      # the largest day of the week: the worst case for the low-reservoir date
        self.most_rate_nl_day = 0   # the fastest step of the week
        self.given_s = 0            # pump time until which the steps were given already
        self._ahead_s = 0           # of the pump time before the uptime

    def load(self, weekdays, patterns, steps):
        """Take the three fields of a program block (firmware/blocks.py has checked them)."""
        starts, rates, at = [], [], 0
        self.most_rate_nl_day = 0
        for _ in range(patterns):
            count = steps[at]
            at += 1
            start, rate = [], []
            for _ in range(count):
                start.append(get(steps, at, 2) * 60)
                rate.append(get(steps, at + 2, 4))
                at += 6
            self.most_rate_nl_day = max(self.most_rate_nl_day, max(rate))
            starts.append(tuple(start))
            rates.append(tuple(rate))
        self._weekdays = tuple(weekdays)
        self._starts = tuple(starts)
        self._rates = tuple(rates)
        self.most_daily_nl = 0
        for weekday in range(7):
            daily_nl = self.daily_nl(weekday)
            if daily_nl > self.most_daily_nl:
                self.most_daily_nl = daily_nl

    def clock_moves(self, now_s, uptime_s, flat):
        """Take the pump time of a step, or the one that is set: by how many seconds it went back, or (below 0) leapt ahead.

        The two clocks' seconds tick apart: one second back is none. `flat`: row 12 stood, so that none of the steps were given since.
        """
        back_s = self._ahead_s + uptime_s - now_s
        if 0 <= back_s <= 1:
            return 0
        self._ahead_s -= back_s
        self.given_s = min(max(self.given_s, 0 if flat else now_s + back_s), now_s + DAY_S)
        return back_s

    def _index(self, pattern, second):
        starts = self._starts[pattern]
        index = len(starts) - 1
        while starts[index] > second:
            index -= 1
        return index

    def rate_at(self, now_s):
        """nL/day due at pump time `now_s`."""
        if now_s < self.given_s:
            return self.daily_nl(now_s // DAY_S % 7)
        pattern = self._weekdays[now_s // DAY_S % 7]
        return self._rates[pattern][self._index(pattern, now_s % DAY_S)]

    def next_change_s(self, now_s):
        """Pump time of the next step boundary, midnight or end of the flat rate, whichever comes first; always later than `now_s`."""
        day_start = now_s - now_s % DAY_S
        starts = self._starts[self._weekdays[now_s // DAY_S % 7]]
        index = self._index(self._weekdays[now_s // DAY_S % 7], now_s % DAY_S) + 1
        day_start += starts[index] if index < len(starts) else DAY_S
        return self.given_s if now_s < self.given_s < day_start else day_start

    def daily_nl(self, weekday):
        """Volume of that weekday in nL, rounded down: sum of rate x seconds / 86400, in minutes to stay small."""
        pattern = self._weekdays[weekday]
        starts, rates = self._starts[pattern], self._rates[pattern]
        whole = rest = 0
        for index in range(len(starts)):
            end = starts[index + 1] if index + 1 < len(starts) else DAY_S
            minutes = (end - starts[index]) // 60
            whole += rates[index] // 1440 * minutes
            rest += rates[index] % 1440 * minutes
        return whole + rest // 1440
