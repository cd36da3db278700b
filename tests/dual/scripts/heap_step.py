"""R8: what app.step() allocates. Each stage runs under heap_lock, with gc.mem_alloc read on both sides of every step.

MicroPython only. Cells are split for the WebAssembly build, which collects garbage between cells alone.
"""

import gc
import sys

import micropython

lock, unlock, mem_alloc, collect = micropython.heap_lock, micropython.heap_unlock, gc.mem_alloc, gc.collect
#%%
gc.collect()
#%%
start_bytes = gc.mem_alloc()

from bare_pump import A_BOLUS, STORE_BYTES, Bench, flex_program
from thecal.protocol import catalogue as cat

# The tick wraps 20 minutes after boot: inside the first measured stage.
bench = Bench(tick0_ms=(1 << 29) - 1200000, dead_volume_nl=2000000)    # a long line: the fast prime below still fills it
#%%
gc.collect()
#%%
print("booted", gc.mem_alloc() - start_bytes - STORE_BYTES)


def measure(title, steps):
    """Run `steps` wakes and print what they allocated; a step that the lock stops prints its traceback."""
    app, grown, wakes, orders = bench.app, 0, 0, bench.orders
    step = app.step
    wrapped = 0
    for wakes in range(1, steps + 1):
        if wakes % 50 == 0:
            collect()
        bench._pass(bench.due_ms - bench.since_ms)
        tick_ms = bench.latch.tick_ms
        bench.begin(b"")
        wrapped += bench.latch.tick_ms < tick_ms
        before = after = delay_ms = 0
        error = None
        lock()
        try:
            before = mem_alloc()
            delay_ms = step()
            after = mem_alloc()
        except MemoryError as caught:
            error = caught
        unlock()
        if error:
            sys.print_exception(error, sys.stdout)
            print(title, "allocates at wake", wakes)
            return
        if after > before:      # the daily self-test collects garbage
            print(title, "grew by", after - before, "at wake", wakes, "pump time", app.now_s)
        grown += max(0, after - before)
        bench.end(delay_ms)
    print(title, "wakes", wakes, "orders", bench.orders - orders, "wrapped", wrapped, "allocated", grown)


def alarms():
    return [row for row in range(1, 29) if bench.app.alarms.active >> (row - 1) & 1]


bench.run_s(86400 - 3600 - bench.rtc_s % 86400 - 1200)      # an hour and a bit before midnight
bench.reboot(60)                                            # the tick starts anew
bench.flex([[(0, 999999), (600, 48000), (1200, 500000), (1439, 6000)], [(0, 24000000), (1, 450000)]], bytes([0, 1, 0, 1, 0, 1, 0]))
bench.run(5000)
#%%
measure("flex", 1000)
#%%
measure("second day", 1000)
print("alarms", alarms())
#%%
bench.stop()
#%%
measure("stopped", 40)
print("alarms", alarms())
#%%
bench.resume()
bench.prime(100000, 24000000)
#%%
measure("prime", 200)
#%%
values = flex_program([[(0, 600000), (600, 48000)], [(0, 900000)]], bytes([0, 1, 0, 1, 0, 1, 0]))
values.update(A_BOLUS)
bench.must(cat.PROGRAM, values)
bench.bolus(100000, 3600)
#%%
measure("bolus", 200)
#%%
print("request", "again" in bench.request(), bench.run_s(4 * 3600), "again" in bench.request())
#%%
measure("patient bolus", 100)
#%%
bench.pause(60)
#%%
measure("pause", 40)
print("alarms", alarms())
#%%
bench.run_s(7200)
bench.must(cat.CATHETER, {"state": 1})
bench.bridge(250000, 100000, 900000)
#%%
measure("bridge", 200)
print("mode", bench.app.mode)
#%%
bench.run_s(3 * 3600)
bench.refill(17000)
values = flex_program([[(0, 24000000)]], bytes(7), mode=cat.SIMPLE)     # back to the first concentration, without a bridge
values.update({"overrides": 1, "override_why": 1})
bench.must(cat.PROGRAM, values)
#%%
bench.program(24000000)
#%%
measure("fastest", 400)
#%%
bench.program(6000)
#%%
measure("slowest", 200)
#%%
bench.program(500000)
bench.stalled = True
#%%
measure("stall", 100)
bench.stalled = False
print("alarms", alarms())
#%%
measure("healed", 100)
print("alarms", alarms())
#%%
bench.refill(10000)
#%%
measure("refilled", 200)
bench.level_counts = 100
#%%
measure("sensor stuck", 200)
print("alarms", alarms())
#%%
bench.level_counts = 65535      # a sensor stuck at full scale
bench.refill(18000)
#%%
measure("sensor at full scale", 60)
#%%
bench.level_counts = -1
bench.rtc_s += 4000             # a jump of the RTC alone
#%%
measure("clock jump", 100)
print("alarms", alarms())
#%%
bench.angle = (bench.angle + 500) % 4096       # the rotor is turned by a hand
#%%
measure("motion", 30)
print("alarms", alarms(), "drops", bench.drops)
#%%
gc.collect()
#%%
print("at the end", gc.mem_alloc() - start_bytes - STORE_BYTES)
