"""A whole pump for three weeks: commissioning, flex, boluses, pause, bridge, stop, resume, prime, resets, a stall, an empty sensor. Status and store at each stage."""

from bare_pump import A_BOLUS, DRUG, Bench, named, read
from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc32


def show(title):
    status = pump.status()
    print(title, [status[key] for key in sorted(status)])
    print("  books", pump.demanded(), pump.missed_nl(), pump.steps, pump.orders, pump.drops, pump.tones, pump.wakes, crc32(pump.store.data))


pump = Bench(tick0_ms=(1 << 29) - 5000, ready=False)
show("shelf")
print("refused", sorted(pump.order(cat.STOP, {"reason": 1}).items()))
pump = Bench(tick0_ms=(1 << 29) - 5000)
show("ready")
pump.prime(375000, 24000000)
pump.run_s(700)
show("priming")
pump.run_s(900)
show("primed")
pump.program(500000, 48000)
pump.run_s(3 * 86400 + 12345)
show("simple")
pump.flex([[(0, 96000), (360, 999999), (1320, 48000)], [(0, 6000)]], bytes([0, 0, 0, 0, 0, 1, 1]))
pump.ask(cat.LIVE, (600,))
pump.run_s(1)
for _ in range(7 * 288):
    pump.run_s(300)
    pump.status()
print("live", len(pump.pushed), sorted(read(cat.LIVE_FRAME, pump.pushed[0][3]).items()))
show("flex")
pump.stop()
pump.run_s(8 * 3600)
show("stopped")
pump.resume()
print("refused", sorted(pump.order(cat.PRIME, {"what": 3, "volume_nl": 10000, "rate_nl_day": 480000}).items()))
pump.bridge(250000, 375000, 480000, more=A_BOLUS)
pump.run_s(7000)
show("bridging")
pump.pause(30)
pump.run_s(3600)
show("behind a pause")
pump.reboot(7200)
pump.run_s(3600)
show("after an outage")
pump.run_s(86400)
show("bridged")
pump.bolus(30000, 1800)
pump.run_s(1000)
show("bolus")
pump.run_s(4 * 3600)
print("request", sorted(pump.request().items()), sorted(pump.request().items()))
pump.run_s(300)
pump.reboot(60)
show("a bolus cut short")
pump.run_s(4 * 3600)
print("request", sorted(pump.request().items()))
pump.run_s(3600)
for kind, values in ((cat.CATHETER, {"state": 1}), (cat.ALARM_TEST, {"tone": 1}), (cat.SILENCE, {"row": 0, "hours": 1}), (cat.ACKNOWLEDGE, {"row": 0}),
                     (cat.VISIT, {"alarm_heard": 1, "report": bytes(8)}), (cat.CALIBRATION, {"on": 1}),
                     (cat.TRIAL_RECORD, {"drug": named(b"baclofen"), "concentration_ng_ml": 50000, "indicated": 0, "doses": b"\1\x50\xc3\0\0\0\0\0\0\0"})):
    print("order", kind, sorted(pump.must(kind, values).items()))
show("visit")
pump.stalled = True
pump.run_s(6 * 3600)
show("stalled")
pump.stalled = False
pump.run_s(6 * 3600)
show("turning again")
pump.level_counts = 140
pump.run_s(86400)
show("sensed empty")
pump.refill(17000, dict(DRUG, concentration_1_ng_ml=1000000))
pump.level_counts = -1
pump.must(cat.SET_CLOCK, {"time_s": pump.rtc_s + 3600})
pump.run_s(2 * 86400)
show("refilled")
for file in range(10):
    first, end = pump.ask(cat.FILE_INFO, (file,))[1]["first"], pump.ask(cat.FILE_INFO, (file,))[1]["end"]
    crc, at = 0, first
    while at < end:
        data = pump.ask(cat.FILE_READ, (file, at, 200))[1]["data"]
        crc = crc32(data, crc)
        at += len(data)
    print("file", file, first, end, crc)
print("identity", sorted(pump.ask(cat.IDENTITY)[1].items()), sorted(pump.ask(cat.HELLO, (1, 0))[1].items()))
