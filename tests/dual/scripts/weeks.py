"""Weeks of schedules: the rate at every minute that matters, the next change, the day's volume."""

import struct

from thecal.firmware.schedule import Schedule

DAY_S = 86400
MONDAY_S = 735 * DAY_S


def steps_of(patterns):
    data = b""
    for pattern in patterns:
        data += bytes([len(pattern)])
        for minute, rate_nl_day in pattern:
            data += struct.pack("<HI", minute, rate_nl_day)
    return data


NIGHT = [(0, 96000), (360, 150000), (1320, 96000)]
HOURLY = [(110 * n, 48000 + 1000003 * n % 900000) for n in range(13)]
EDGES = [(0, 24000000), (1, 48000), (1439, 6000)]
PLANS = (
    ("simple", [[(0, 400000)]], bytes(7)),
    ("night", [NIGHT], bytes(7)),
    ("weekend", [NIGHT, [(0, 77777)]], bytes([0, 0, 0, 0, 0, 1, 1])),
    ("seven", [[(0, 50000 + 1111 * n), (600 + n, 99999 - n)] for n in range(7)], bytes(range(7))),
    ("thirteen", [HOURLY, EDGES], bytes([0, 1, 0, 1, 0, 1, 0])),
)
for name, patterns, weekdays in PLANS:
    schedule = Schedule()
    schedule.load(weekdays, len(patterns), steps_of(patterns))
    print(name, [schedule.daily_nl(day) for day in range(7)], schedule.most_daily_nl)
    at, changes, weighted = MONDAY_S, 0, 0
    while at < MONDAY_S + 21 * DAY_S:
        until = schedule.next_change_s(at)
        rate_nl_day = schedule.rate_at(at)
        assert at < until <= at - at % DAY_S + DAY_S
        assert rate_nl_day == schedule.rate_at(until - 1)
        assert schedule.next_change_s(until - 1) == until
        if changes < 60:
            print(" ", at - MONDAY_S, rate_nl_day)
        weighted += rate_nl_day * (until - at)
        at = until
        changes += 1
    print(" ", changes, weighted)
    for at in (0, 1, DAY_S - 1, DAY_S, 6 * DAY_S + 86399, (1 << 30) - 1):
        print("  at", at, schedule.rate_at(at), schedule.next_change_s(at))
