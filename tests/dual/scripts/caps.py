"""Caps and patient boluses over days: what is granted when, what the windows hold, and that the steady path allocates nothing."""

import gc

from bolus_bench import BRIDGE, DAY_S, M3, MONDAY_S, Bare, Bench, drugs_of, program
from thecal.firmware import caps as cp

HOUR_S = 3600
mem_alloc = gc.mem_alloc if hasattr(gc, "mem_alloc") else int
NIGHT = [[(0, 300000), (360, 150000), (1320, 450000)], [(0, 100000), (545, 700000), (560, 100000)]]
WEEKDAYS = bytes([0, 0, 1, 0, 0, 1, 1])

# M3 of regimens.md, and every quarter of an hour for three days
pump = Bench()
print("M3", pump.commit(program(hour_nl=60000, day_nl=600000, **M3)))
for at_s in (0, HOUR_S, 3 * HOUR_S, 317 * HOUR_S // 100):
    pump.run(at_s - pump.uptime_s)
    print(" ", at_s, pump.request(), pump.bolus.lockout_s(), pump.caps.delivered_hour_nl, pump.caps.delivered_day_nl)
for _ in range(3 * 96):
    pump.run(900)
    if pump.request() == 0:
        print("  granted", pump.uptime_s, pump.bolus.granted_day(), pump.bolus.refused_day(), pump.caps.delivered_day_nl)
print("  exceeded", pump.exceeded)

# the lowest caps of a week, and of the same behind two days of something else
rules = dict(M3, interval_h=8, per_interval=2)
for pulse_nl, uptime_s in ((1000, 0), (4000, 7213), (200, (1 << 29) + 11)):
    pump = Bench(pulse_nl, now_s=MONDAY_S + 10 * HOUR_S, uptime_s=uptime_s)
    pump.load(program([[(0, 900000), (600, 48000)]]))
    pump.run(30 * HOUR_S, 300)
    for name in ("hour_nl", "day_nl"):
        low, high = 0, 107000000
        while high - low > 100:
            middle = (low + high) // 2
            hour_nl, day_nl = (middle, 0) if name == "hour_nl" else (0, middle)      # a name in a text is not what the built tree calls it
            if pump.refusal(program(NIGHT, WEEKDAYS, hour_nl=hour_nl, day_nl=day_nl, **rules)):
                low = middle
            else:
                high = middle
        print(name, pulse_nl, low // 1000)
    for window_s in (HOUR_S, DAY_S):
        print("  worst", cp.worst(pump.schedule_of(program(NIGHT, WEEKDAYS)), window_s) // DAY_S)
    for volume_nl in (1000, 100000, 400000):
        pump.caps.day_nl = 700000
        print("  grant", volume_nl, pump.caps.grant_refusal(pump, volume_nl, 1800), pump.caps.grant_refusal(pump, volume_nl, 50000))

# another concentration over a bridge
old = program([[(0, 200000)]], concentration_ng_ml=2000000, hour_nl=100000, day_nl=203000)
new = program([[(0, 800000)]], concentration_ng_ml=1000000, hour_nl=400000, day_nl=812000, bridge_nl=100000, bridge_rate_nl_day=200000)
pump = Bench()
print("old", pump.commit(old))
pump.run(DAY_S, 300)
print("new", pump.refusal(new))
share = cp.share_of(drugs_of(old), drugs_of(new))
hour_nl, day_nl = pump.caps.hour_nl, pump.caps.day_nl
pump.load(new)
pump.caps.hold_old(hour_nl, day_nl, share)
pump.start(BRIDGE, 100000, 200000)
pump.run(11 * HOUR_S, 300)
print("share", share, "in force", pump.caps.day_nl, "delivered", pump.caps.delivered_day_nl)
pump.run(2 * HOUR_S, 300)
print("in force", pump.caps.day_nl, "delivered", pump.caps.delivered_day_nl)

# a boot behind it
pump.history = Bare(whole=True, recent=lambda now_s, ledger, window_s: iter([(200 * n, 1000) for n in range(400)]))
pump.settings.old_share, pump.settings.switched_s = share, pump.settings.steady_s - HOUR_S
pump.caps = cp.Caps()
pump.caps.load(new)
pump.caps.restore(pump)
print("restored", pump.caps.delivered_hour_nl, pump.caps.delivered_day_nl)

# the steady path, up to uptimes near 2**29, and through jumps
caps, bolus = cp.Caps(), pump.bolus
caps.load(new)
tick, note, exceeded, release_old = caps.tick, caps.note, caps.exceeded, caps.release_old
caps.tick((1 << 29) - 90000)
caps.hold_old(300000, 9000000, share)
gc.collect()
grown = found = 0
for at_s in range((1 << 29) - 90000, (1 << 29) + 90000, 450):
    before = mem_alloc()
    tick(at_s)
    note(4000, 0)
    note(4000, 3)
    found |= exceeded(4000, 24000000)
    bolus.lockout_s()
    if at_s % 90000 < 450:
        release_old()
        tick(at_s + 40000)
    after = mem_alloc()
    grown += after - before
print("allocated", grown, "found", found, caps.delivered_day_nl)
