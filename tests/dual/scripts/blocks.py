"""Therapy blocks: canonical bytes, digests, and the same refusal for the same fault everywhere."""

from bare_pump import COMMISSION, DRUG, block_bytes, flex_program, named, simple_program
from thecal.firmware.blocks import Block
from thecal.protocol import catalogue as cat

good = [
    (cat.COMMISSION, COMMISSION), (cat.PROGRAM, simple_program(500000)), (cat.PROGRAM, simple_program(6000, 6000, 1)),
    (cat.PROGRAM, flex_program([[(110 * n, 48000 + n) for n in range(13)]] * 7, bytes(range(7)), 48000)),
    (cat.REFILL, dict(DRUG, withdrawn_ul=1500, volume_ul=18600)), (cat.STOP, {"reason": 3}), (cat.RESUME, {}),
    (cat.PRIME, {"volume_nl": 375000, "rate_nl_day": 24000000}), (cat.SET_CLOCK, {"time_s": (1 << 30) - 1}),
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
print(Block().take(0, b"", 0, 6000), Block().take(8, b"", 0, 6000))
