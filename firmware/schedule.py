"""The committed program as a schedule: the rate due at a time of the week, and when it next changes.

A program is a set of day patterns (1..13 steps each, the first from minute 0) and a map weekday -> pattern. Simple
continuous and the minimum rate are one pattern of one step; periodic boluses are steps of their own above the basal, so that a
day of them has up to 25. Times are pump seconds; the epoch is a Monday at midnight.
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

    def _index(self, pattern, second):
        starts = self._starts[pattern]
        index = len(starts) - 1
        while starts[index] > second:
            index -= 1
        return index

    def rate_at(self, now_s):
        """nL/day due at pump time `now_s`."""
        pattern = self._weekdays[now_s // DAY_S % 7]
        return self._rates[pattern][self._index(pattern, now_s % DAY_S)]

    def next_change_s(self, now_s):
        """Pump time of the next step boundary or midnight, whichever comes first; always later than `now_s`."""
        day_start = now_s - now_s % DAY_S
        starts = self._starts[self._weekdays[now_s // DAY_S % 7]]
        index = self._index(self._weekdays[now_s // DAY_S % 7], now_s % DAY_S) + 1
        return day_start + (starts[index] if index < len(starts) else DAY_S)

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
