"""Therapy blocks: canonical bytes, digests, and the same refusal for the same fault everywhere."""

from bare_pump import A_BOLUS, COMMISSION, DRUG, block_bytes, flex_program, named, simple_program
from thecal.firmware.blocks import Block
from thecal.protocol import catalogue as cat

boluses = simple_program(500000)
boluses.update(A_BOLUS)
trial = {"drug": named(b"baclofen"), "concentration_ng_ml": 50000, "indicated": 1, "doses": b"\1\x50\xc3\0\0\0\0\0\0\0\2\1\0\0\0\0\1\0\0\0"}
good = [
    (cat.COMMISSION, COMMISSION), (cat.PROGRAM, simple_program(500000)), (cat.PROGRAM, simple_program(6000, 6000, 1)),
    (cat.PROGRAM, flex_program([[(110 * n, 48000 + n) for n in range(13)]] * 7, bytes(range(7)), 48000)),
    (cat.REFILL, dict(DRUG, withdrawn_ul=1500, volume_ul=18600, expires_s=(1 << 30) - 1, lot=named(b"lot"), next_s=0, rinse=0)), (cat.STOP, {"reason": 3}), (cat.RESUME, {}),
    (cat.PRIME, {"what": 3, "volume_nl": 375000, "rate_nl_day": 24000000}), (cat.SET_CLOCK, {"time_s": (1 << 30) - 1}),
    (cat.PROGRAM, boluses), (cat.PROGRAM, flex_program([[(60 * n, 48000 + n % 2) for n in range(24)]], bytes(7), mode=cat.PERIODIC)),
    (cat.PROGRAM, dict(simple_program(6000), mode=cat.MINIMUM)), (cat.BOLUS, {"volume_nl": 5000000, "seconds": 86400}), (cat.PATIENT_BOLUS, {}),
    (cat.PAUSE, {"minutes": 60}), (cat.CATHETER, {"state": 1}), (cat.TRIAL_RECORD, trial), (cat.SILENCE, {"row": 0, "hours": 24}),
    (cat.IMPLANT_RECORD, {"implanted_s": 5, "patient": b"AB" + bytes(6), "indication": named(b"pain"), "tip_level": b"T10" + bytes(5), "access_port": 1, "mri": named(b"no")}),
    (cat.ACKNOWLEDGE, {"row": 29}), (cat.ALARM_TEST, {"tone": 1}), (cat.VISIT, {"alarm_heard": 2, "report": bytes(8)}), (cat.CALIBRATION, {"on": 1}),
]
for kind, values in good:
    data = block_bytes(kind, dict(values, order_id=77))
    block = Block()
    print(kind, block.take(kind, data, len(data), 6000), len(block.canonical), [hex(byte) for byte in block.digest], block.canonical == data)
    for cut in range(len(data)):
        assert Block().take(kind, data, cut, 6000) != 0, (kind, cut)


def refusal(kind, values, **changes):
    values = dict(values, order_id=1)
    values.update(changes)
    data = block_bytes(kind, values)
    block = Block()
    reason = block.take(kind, data, len(data), 6000)
    rows = cat.block(kind)
    print(kind, sorted(changes), reason, rows[block.field][0] if reason else "", block.value)


simple = simple_program(500000)
for rate_nl_day in (5999, 6000, 6001, 47999, 48000, 24000000, 24000001, 0, 1 << 30, 0xFFFFFFFF):
    refusal(cat.PROGRAM, simple_program(rate_nl_day))
    refusal(cat.PROGRAM, simple, fallback_nl_day=rate_nl_day if rate_nl_day <= 24000000 else 24000000)
for steps in (b"\0" + bytes(6), b"\2" + bytes(6), b"\1" + bytes(6) + b"x", bytes(7), b"\x0e" + bytes(84), b"\1\1\0" + b"\xc0\xbb\0\0"):
    refusal(cat.PROGRAM, simple, steps=steps)
    refusal(cat.PROGRAM, simple, steps=steps, mode=cat.FLEX)
for minutes in ((0, 0), (0, 5, 5), (0, 5, 4), (1,), (0, 1439), (0, 1440), (0, 65535)):
    refusal(cat.PROGRAM, flex_program([[(minute, 100000) for minute in minutes]], bytes(7)))
refusal(cat.PROGRAM, simple, weekdays=b"\0\0\0\0\0\0\1")
refusal(cat.PROGRAM, simple, patterns=2)
refusal(cat.PROGRAM, flex_program([[(0, 50000)], [(0, 60000)]], bytes(7)), mode=cat.SIMPLE)
refusal(cat.PROGRAM, simple, concentration_1_ng_ml=0)
refusal(cat.PROGRAM, simple, drug_1=named(b""))
refusal(cat.PROGRAM, simple, drug_2=named(b"morphine"))
refusal(cat.PROGRAM, simple, concentration_3_ng_ml=5)
for pulse_nl in (200, 1000, 3700, 3990, 4000):
    refusal(cat.COMMISSION, COMMISSION, pulse_nl=pulse_nl)
    refusal(cat.COMMISSION, COMMISSION, pulse_nl=pulse_nl, step_hz=200)
    refusal(cat.COMMISSION, COMMISSION, pulse_nl=pulse_nl, nl_per_rev=5000)
refusal(cat.COMMISSION, COMMISSION, residual_ul=5000, capacity_ul=5000)
refusal(cat.COMMISSION, COMMISSION, tubing_nl=375001)
refusal(cat.COMMISSION, COMMISSION, battery_eri_mv=2399)
for name, value in (("cap_hour_1_ng", 0), ("cap_day_1_ng", 999999999), ("cap_hour_2_ng", 5), ("cap_day_3_ng", 5), ("bolus_nl", 0), ("bolus_nl", 199), ("bolus_nl", 1000000),
                    ("bolus_s", 29), ("bolus_s", 10801), ("lockout_min", 9), ("interval_h", 4), ("per_interval", 5), ("per_day", 0), ("overrides", 1), ("override_why", 3),
                    ("bridge_nl", 1), ("bridge_rate_nl_day", 48000), ("fallback_nl_day", 500001), ("abrupt_stop", 1), ("mode", cat.MINIMUM), ("mode", cat.PERIODIC)):
    refusal(cat.PROGRAM, boluses, **{name: value})
refusal(cat.PROGRAM, boluses, safe_state=1, fallback_nl_day=6000)
refusal(cat.PROGRAM, boluses, bridge_nl=1000, bridge_rate_nl_day=47999)
refusal(cat.REFILL, dict(DRUG, withdrawn_ul=0, volume_ul=1, expires_s=0, lot=named(b""), next_s=0, rinse=0), concentration_1_ng_ml=0)
refusal(cat.BOLUS, {"volume_nl": 8334, "seconds": 30})
refusal(cat.TRIAL_RECORD, trial, doses=trial["doses"][:11])
refusal(cat.TRIAL_RECORD, trial, doses=trial["doses"][:10])
refusal(cat.TRIAL_RECORD, trial, drug=named(b""))
print(Block().take(0, b"", 0, 6000), Block().take(cat.LAST_KIND + 1, b"", 0, 6000))
