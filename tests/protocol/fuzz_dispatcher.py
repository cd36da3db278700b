"""Coverage-guided fuzzing of decoder and dispatcher: any bytes on the line of a real firmware, and sealed requests with any payload.

    pip install atheris
    .venv/bin/python tests/protocol/fuzz_dispatcher.py -max_total_time=300

Two invariants: nothing but declared outcomes (any exception is a find), and no store record that the boot cannot read. Not run by pytest.
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "dual"))
with atheris.instrument_imports(include=["thecal.protocol", "thecal.firmware"]):
    from bare_pump import SCHEMA, Bench
    from thecal.protocol import catalogue as cat
    from thecal.protocol.crc import crc32
    from thecal.protocol.frame import MAX_FRAME, TAG_BYTES, encode

REQUESTS = [row for row in cat.MESSAGES if row[2] == cat.REQUEST]
bench = Bench()
bench.program(500_000)
bench.status()
OUT = bytearray(MAX_FRAME)
runs = 0


def one(data):
    """First byte: raw line bytes, or which request to seal around the rest."""
    global bench, runs
    runs += 1
    if runs % 20_000 == 0:      # a pump that has been stopped, primed and locked for long enough
        bench = Bench()
        bench.program(500_000)
        bench.status()
    fed = atheris.FuzzedDataProvider(data)
    for _ in range(fed.ConsumeIntInRange(1, 4)):
        kind = fed.ConsumeIntInRange(0, len(REQUESTS))
        payload = fed.ConsumeBytes(fed.ConsumeIntInRange(0, 220))
        if kind == len(REQUESTS):
            bench.send_raw(payload + b"\0")      # the next frame starts clean, as behind a wake-up preamble
            continue
        row = REQUESTS[kind]
        if TAG_BYTES[row[3]] and bench.session is None:
            bench.app.telemetry.access._lock_until_s = 0
            bench.open_session(1)
        bench.magnet = fed.ConsumeBool()
        size = encode(OUT, row[3], row[0], 0, fed.ConsumeIntInRange(0, 255), payload, len(payload), SCHEMA, crc32,
                      bench.session.sending if bench.session else None)
        bench.send_raw(bytes(OUT[:size]))
        if bench.app.telemetry.access.role == 0:
            bench.session = None
    bench.run_s(fed.ConsumeIntInRange(0, 700))
    if runs % 500 == 0:
        bench.reboot()
        bench.session = None


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
