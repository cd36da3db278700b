"""Makes the golden vectors beside it and the worked examples of protocol/PROTOCOL.md. Deterministic: fixed nonces, a fixed seed.

    python tests/golden/make.py            write all of them again
    python tests/golden/make.py --check    say which are stale, exit 1

Bytes come from plainwire.py, which shares no code with the protocol room; only numbers and field rows come from its catalogue.
"""

import argparse
import hashlib
import json
import random
import re
import struct
import sys
from pathlib import Path
from typing import Any, Iterator

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from plainwire import OPEN, PLAIN, ROUTINE, THERAPY, Handshake, closed, cobs, frame, header, shelf_key, uncobs  # noqa: E402

from thecal.protocol import catalogue as cat  # noqa: E402

PAGE = HERE.parent.parent / "protocol" / "PROTOCOL.md"
EXAMPLE = re.compile(r"(<!-- example: (?P<name>\S+) -->\n).*?(<!-- /example -->)", re.DOTALL)
SCHEMA = cat.schema_crc()
SERIAL, BOOT_COUNT = 1001, 7
HOST_NONCE, DEVICE_NONCE = bytes(range(16)), bytes(range(0xF0, 0x100))
INT_BYTES = {1: (1, False), 2: (2, False), 4: (4, False), -4: (4, True)}


def pack(rows: Any, values: dict[str, Any]) -> bytes:
    """Fields to bytes, by the catalogue's kinds."""
    out = b""
    for name, kind, *_ in rows:
        value = values[name]
        out += value if isinstance(value, bytes) else value.to_bytes(INT_BYTES[kind][0], "little", signed=INT_BYTES[kind][1])
    return out


def payload(message_id: int, **values: Any) -> bytes:
    return pack(cat.message(message_id)[5], values)


def named(text: bytes, width: int = 16) -> bytes:
    return text.ljust(width, b"\0")


# ---------------------------------------------------------------------------------------------------- blocks
_DRUGS = {"drug_1": named(b"baclofen"), "concentration_1_ng_ml": 500_000, "drug_2": named(b""), "concentration_2_ng_ml": 0,
          "drug_3": named(b""), "concentration_3_ng_ml": 0}


def _steps(*patterns: list[tuple[int, int]]) -> bytes:
    return b"".join(bytes([len(pattern)]) + b"".join(struct.pack("<HI", *step) for step in pattern) for pattern in patterns)


def _program(mode: int, *patterns: list[tuple[int, int]], **changes: Any) -> tuple[int, dict[str, Any]]:
    """A program of `_DRUGS` under caps of 50 ug an hour and 500 ug a day, without patient boluses, bridge or step limit, but for `changes`."""
    values = dict.fromkeys((row[0] for row in cat.block(cat.PROGRAM) or ()), 0)
    values.update(_DRUGS, mode=mode, safe_state=cat.SAFE_MINIMUM, editor=named(b"dr example"), setting=named(b"maintenance"),
                  library_crc=0x0BADCAFE, cap_hour_1_ng=50_000, cap_day_1_ng=500_000, weekdays=bytes(7), patterns=len(patterns),
                  steps=_steps(*patterns))
    values.update(changes)
    return cat.PROGRAM, values


_PERIODIC = [step for hour in range(0, 24, 6) for step in ((hour * 60, 480_000), (hour * 60 + 30, 48_000))]

ORDERS: dict[str, tuple[int, dict[str, Any]]] = {
    "program": _program(cat.SIMPLE, [(0, 300_000)], order_id=0x01020304, fallback_nl_day=150_000),
    "program flex": _program(
        cat.FLEX, [(0, 96_000), (360, 400_000), (1320, 48_000)], [(0, 200_000)], order_id=2, fallback_nl_day=48_000,
        safe_state=cat.SAFE_STOP, weekdays=bytes([0, 0, 0, 0, 0, 1, 1]), patterns=2),
    "program periodic": _program(cat.PERIODIC, _PERIODIC, order_id=9, fallback_nl_day=48_000, abrupt_stop=1),
    "program minimum": _program(cat.MINIMUM, [(0, 6_000)], order_id=10),
    "program with patient boluses, a bridge and overrides": _program(
        cat.SIMPLE, [(0, 300_000)], order_id=11, fallback_nl_day=150_000, overrides=0x0003, override_why=2, step_pct=20, step_interval_h=24,
        bolus_nl=20_000, bolus_s=300, lockout_min=120, interval_h=6, per_interval=2, per_day=4, released=1, bridge_nl=230_000,
        bridge_rate_nl_day=250_000, drug_2=named(b"clonidine"), concentration_2_ng_ml=100_000, cap_hour_2_ng=20_000, cap_day_2_ng=200_000),
    "refill": (cat.REFILL, {"order_id": 3, "withdrawn_ul": 1_400, "volume_ul": 18_000, **_DRUGS, "expires_s": 79_056_000, "lot": named(b"L-2026-117"), "next_s": 0, "rinse": 0}),
    "stop": (cat.STOP, {"order_id": 4, "reason": 1}),
    "resume": (cat.RESUME, {"order_id": 5}),
    "prime": (cat.PRIME, {"order_id": 6, "what": cat.PRIME_BOTH, "volume_nl": 375_000, "rate_nl_day": 24_000_000}),
    "set clock": (cat.SET_CLOCK, {"order_id": 7, "time_s": 63_504_000}),
    "commission": (cat.COMMISSION, {
        "order_id": 8, "serial": SERIAL, "nl_per_rev": 35_000, "steps_per_rev": 4096, "counts_per_rev": 4096, "step_hz": 1000,
        "pulse_nl": 1000, "level_nl_per_count": 10_000, "level_drift_ul": 50, "capacity_ul": 20_000, "residual_ul": 1_400, "tubing_nl": 145_000,
        "dead_volume_nl": 375_000, "minimum_rate_nl_day": 6_000, "battery_empty_mv": 2_500, "battery_eri_mv": 2_600,
        "temperature_zero_counts": 27_300, "temperature_counts_per_c": 100, "catheter_mm": 800,
        "contact": b"clinic +00 000 0000".ljust(cat.CONTACT_BYTES, b"\0")}),
    "bolus": (cat.BOLUS, {"order_id": 12, "volume_nl": 50_000, "seconds": 600}),
    "patient bolus": (cat.PATIENT_BOLUS, {"order_id": 13}),
    "pause": (cat.PAUSE, {"order_id": 14, "minutes": 30}),
    "catheter": (cat.CATHETER, {"order_id": 15, "state": cat.CATHETER_EMPTY}),
    "implant record": (cat.IMPLANT_RECORD, {
        "order_id": 16, "implanted_s": 63_417_600, "patient": named(b"A.B.", 8), "indication": named(b"spasticity"),
        "tip_level": named(b"T10", 8), "access_port": 1, "mri": named(b"conditional")}),
    "trial record": (cat.TRIAL_RECORD, {
        "order_id": 17, "drug": named(b"baclofen"), "concentration_ng_ml": 50_000, "indicated": 1,
        "doses": struct.pack("<BIBBBBB", 1, 50_000, 24, 1, 6, 0, 3)}),
    "silence": (cat.SILENCE, {"order_id": 18, "row": 19, "hours": 24}),
    "acknowledge": (cat.ACKNOWLEDGE, {"order_id": 19, "row": 0}),
    "alarm test": (cat.ALARM_TEST, {"order_id": 20, "tone": 2}),
    "visit": (cat.VISIT, {"order_id": 21, "alarm_heard": 1, "report": bytes(range(8))}),
    "calibration": (cat.CALIBRATION, {"order_id": 22, "on": 1}),
}


def block_of(name: str) -> tuple[bytes, bytes]:
    """Canonical bytes and digest."""
    kind, values = ORDERS[name]
    canonical = pack(cat.block(kind), values)
    return canonical, hashlib.sha256(bytes([kind]) + canonical).digest()[:8]


def blocks() -> list[dict[str, Any]]:
    def shown(value: Any) -> Any:
        return value.hex() if isinstance(value, bytes) else value
    return [{"name": name, "kind": kind, "values": [shown(values[row[0]]) for row in cat.block(kind)],
             "canonical": block_of(name)[0].hex(), "digest": block_of(name)[1].hex()} for name, (kind, values) in ORDERS.items()]


# ---------------------------------------------------------------------------------------------------- frames
def frames() -> list[dict[str, Any]]:
    """Line bytes -> the decoder's outcomes: good frames by their fields, bad ones by the counter they add to."""
    chance = random.Random(2026)
    rows: list[dict[str, Any]] = []

    def good(name: str, message_class: int, body: bytes, message_id: int = cat.STATUS, seq: int = 3, request_id: int = 9) -> bytes:
        # A decoder judges a tagged frame by size and CRC only: any counter and tag will do here.
        trailer = b"" if message_class < ROUTINE else chance.randbytes(12 if message_class == ROUTINE else 20)
        line = closed(header(message_class, message_id, len(body), seq, request_id) + body + trailer, message_class, SCHEMA)
        rows.append({"name": name, "line": line.hex(), "class": message_class, "id": message_id, "seq": seq, "request": request_id,
                     "payload": body.hex()})
        return line

    def bad(name: str, counter: str, line: bytes) -> None:
        rows.append({"name": name, "line": line.hex(), "bad": counter})

    for message_class in (OPEN, PLAIN, ROUTINE, THERAPY):
        for length in (0, 1, 28, 220):
            for kind, body in (("noise", chance.randbytes(length)), ("zeros", bytes(length))):
                good(f"class {message_class}, {length} bytes of {kind}", message_class, body, seq=length, request_id=255 - length)
    whole = good("hello", OPEN, payload(cat.HELLO, version=cat.PROTOCOL_VERSION, schema_crc=SCHEMA), cat.HELLO, 0, 1)
    sealed = good("a frame to hurt", THERAPY, bytes(range(8)), cat.COMMIT)
    plain = header(PLAIN, 0x60, 0, 0, 0)
    bad("one bit of the CRC", "bad_crc", sealed[:-3] + bytes([sealed[-3] ^ 1]) + sealed[-2:])
    bad("one bit of the payload", "bad_crc", sealed[:8] + bytes([sealed[8] ^ 0x40]) + sealed[9:])
    bad("plain frame under another schema", "bad_crc", closed(plain, PLAIN, SCHEMA ^ 1))
    bad("plain frame with the seed of open ones", "bad_crc", closed(plain, OPEN, SCHEMA))
    bad("open frame with the seed of the others", "bad_crc", closed(header(OPEN, 1, 0, 0, 1), PLAIN, SCHEMA))
    bad("CRC most significant byte first", "bad_crc", cobs(uncobs(whole)[:-4] + uncobs(whole)[:-5:-1]))
    bad("frame version 2", "bad_version", closed(bytes([2 << 5]) + plain[1:], PLAIN, SCHEMA))
    bad("class 4", "bad_class", closed(bytes([1 << 5 | 4]) + plain[1:], PLAIN, SCHEMA))
    bad("class 31", "bad_class", closed(bytes([1 << 5 | 31]) + plain[1:], PLAIN, SCHEMA))
    bad("length says one more", "bad_length", closed(plain[:2] + b"\1" + plain[3:], PLAIN, SCHEMA))
    bad("one byte more than length says", "bad_length", closed(plain + b"x", PLAIN, SCHEMA))
    bad("length 221", "bad_length", closed(plain[:2] + b"\xdd" + plain[3:] + bytes(221), PLAIN, SCHEMA))
    bad("routine class without counter and tag", "bad_length", closed(header(ROUTINE, cat.STATUS, 0, 0, 1), ROUTINE, SCHEMA))
    bad("therapy class with a tag of 8 bytes", "bad_length", closed(header(THERAPY, cat.CHECK, 0, 0, 1) + bytes(12), THERAPY, SCHEMA))
    bad("8 bytes", "bad_length", cobs(bytes(8)))
    bad("cut short", "bad_cobs", whole[:-5] + b"\0")
    bad("a run of 0xFF", "bad_length", b"\xff" * 600 + b"\0")
    rows.append({"name": "zeros alone are a wake-up", "line": bytes(20).hex(), "nothing": True})
    rows.append({"name": "an unfinished frame", "line": whole[:-1].hex(), "nothing": True})
    return rows


# ---------------------------------------------------------------------------------------------------- sessions
KEYS = {1: shelf_key(SERIAL, 1), 2: bytes(range(32)), 3: hashlib.sha256(b"a patient's key").digest()}
ROLE_NAMES = {1: "clinician, never paired", 2: "service", 3: "patient"}


def handshake_of(role: int) -> Handshake:
    return Handshake(SCHEMA, role, KEYS[role], SERIAL, BOOT_COUNT, HOST_NONCE[role - 1:] + HOST_NONCE[:role - 1], DEVICE_NONCE)


def handshakes() -> list[dict[str, Any]]:
    rows = []
    for role, key in KEYS.items():
        shake = handshake_of(role)
        rows.append({
            "name": ROLE_NAMES[role], "role": role, "key": key.hex(), "schema_crc": SCHEMA, "serial": SERIAL, "boot_count": BOOT_COUNT,
            "host_nonce": shake.said[14:30].hex(), "device_nonce": shake.said[30:].hex(), "transcript": shake.said.hex(),
            "pump_proof": shake.pump_proof.hex(), "host_proof": shake.host_proof.hex(),
            "tag_to_pump": shake.to_pump.tag_key.hex(), "cipher_to_pump": shake.to_pump.cipher_key.hex(),
            "tag_to_host": shake.to_host.tag_key.hex(), "cipher_to_host": shake.to_host.cipher_key.hex()})
    return rows


def conversation() -> Iterator[tuple[str, str, int, int, int, int, bytes]]:
    """Sealed frames of the clinician's session: (name, direction, class, id, seq, request id, payload)."""
    canonical, digest = block_of("program")
    kind = ORDERS["program"][0]
    status = dict.fromkeys((row[0] for row in cat.message(cat.STATUS | cat.REPLY_BIT)[5]), 0)
    status.update(time_s=63_504_000, mode=1, running_digest=bytes(8), pulse_nl=1000, nl_per_rev=35_000, steps_per_rev=4096,
                  reservoir_computed_nl=18_600_000, reservoir_sensed_ul=18_590, low_reservoir_days=65_535, battery_mv=3_000,
                  boot_count=BOOT_COUNT, reset_cause=1, next_event=9, uptime_s=120, temperature_dc=370)
    event = pack(cat.EVENT_FIELDS[:-1], {"seq": 0, "time_s": 63_503_880, "code": cat.E_BOOT, "cause": 1, "a": 1, "b": 0})
    event += crc16(event).to_bytes(2, "little")
    said = (
        (cat.STATUS, {}, status),
        (cat.FILE_READ, {"file": 0, "offset": 0, "length": 20}, {"file": 0, "offset": 0, "data": event}),
        (cat.STAGE, {"kind": kind, "total": len(canonical), "offset": 0, "data": canonical}, {"received": len(canonical)}),
        (cat.CHECK, {}, {"kind": kind, "total": len(canonical), "digest": digest, "expires_s": 300}),
        (cat.COMMIT, {"digest": digest}, {"digest": digest, "again": 0, "running_digest": digest, "time_s": 63_504_001}),
        (cat.SESSION_CLOSE, {}, {}))
    yield "session_confirm_reply", "to host", ROUTINE, cat.SESSION_CONFIRM | cat.REPLY_BIT, 2, 3, payload(
        cat.SESSION_CONFIRM | cat.REPLY_BIT, role=1, idle_s=600)
    for index, (message_id, asked, answered) in enumerate(said):
        row = cat.message(message_id)
        yield row[1], "to pump", row[3], message_id, 3 + index, 4 + index, payload(message_id, **asked)
        reply = cat.message(message_id | cat.REPLY_BIT)
        yield reply[1], "to host", reply[3], reply[0], 3 + index, 4 + index, payload(reply[0], **answered)
    yield "live_frame", "to host", ROUTINE, cat.LIVE_FRAME, 0, 0, payload(
        cat.LIVE_FRAME, time_s=63_504_002, mode=2, rate_nl_day=300_000, pulses=1, reservoir_computed_nl=18_599_000,
        reservoir_sensed_ul=18_590, alarms=0)
    yield "refused_sealed", "to host", ROUTINE, cat.REFUSED_SEALED, 9, 10, payload(
        cat.REFUSED_SEALED, message=cat.COMMIT, reason=cat.R_NOT_STAGED, field=0, value=2)


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE, a bit at a time."""
    crc = 0xFFFF
    for bit in (byte >> shift & 1 for byte in data for shift in range(7, -1, -1)):
        crc = (crc << 1 ^ (0x1021 if (crc >> 15) ^ bit else 0)) & 0xFFFF
    return crc


def sealed_frames() -> list[tuple[str, str, dict[str, bytes]]]:
    """(name, direction, steps of sealing it), in the order they are sent."""
    shake = handshake_of(1)
    rows = []
    for name, direction, message_class, message_id, seq, request_id, clear in conversation():
        channel = shake.to_pump if direction == "to pump" else shake.to_host
        channel.seal(message_class, message_id, seq, request_id, clear)
        rows.append((name, direction, channel.steps))
    return rows


def sealed() -> list[dict[str, Any]]:
    return [{"name": name, "direction": direction, **{key: value.hex() for key, value in steps.items()}}
            for name, direction, steps in sealed_frames()]


# ---------------------------------------------------------------------------------------------------- files and examples
FILES = {"frames.json": frames, "handshakes.json": handshakes, "sealed.json": sealed, "blocks.json": blocks}


def contents(name: str) -> str:
    rows = ",\n".join(json.dumps(row) for row in FILES[name]())
    return '{"schema": "thecal.golden/1", "schema_crc": %d, "rows": [\n%s\n]}\n' % (SCHEMA, rows)


def _hex(label: str, data: bytes) -> str:
    text = data.hex(" ")
    lines = [text[at:at + 96].rstrip() for at in range(0, len(text), 96)] or ["(none)"]
    return "".join("%-22s%s\n" % (label if index == 0 else "", line) for index, line in enumerate(lines))


def _open_line(label: str, message_id: int, seq: int, request_id: int, **values: Any) -> str:
    body = payload(message_id, **values)
    line = frame(OPEN, message_id, seq, request_id, body, SCHEMA)
    return _hex(label, uncobs(line)[:-4]) + _hex("  CRC, seed 0", uncobs(line)[-4:]) + _hex("  on the line", line)


def _sealed_lines(name: str) -> str:
    found = {row[0]: row for row in sealed_frames()}[name]
    steps = found[2]
    text = _hex(found[0], steps["header"]) + "%-22s%s\n" % ("  direction", found[1])
    if steps["payload"]:
        text += "".join(_hex("  " + key, steps[key]) for key in ("payload", "keystream", "ciphertext"))
    return text + "".join(_hex("  " + key, steps[key]) for key in ("counter", "tag")) + _hex("  CRC, seed schema", steps["crc"]) \
        + _hex("  on the line", steps["line"])


def examples() -> dict[str, str]:
    """Name -> text of every worked example of the page."""
    shake = handshake_of(1)
    hello = {"version": cat.PROTOCOL_VERSION, "schema_crc": SCHEMA}
    canonical, digest = block_of("program")
    made = {
        "hello": _open_line("hello", cat.HELLO, 0, 1, **hello)
        + _open_line("hello_reply", cat.HELLO | cat.REPLY_BIT, 0, 1, **hello, serial=SERIAL, boot_count=BOOT_COUNT, max_payload=220, paired=0),
        "open": _hex("shelf key", KEYS[1])
        + _open_line("session_open", cat.SESSION_OPEN, 1, 2, role=1, host_nonce=HOST_NONCE)
        + _hex("transcript", shake.said) + _hex("proof of the pump", shake.pump_proof)
        + _open_line("session_open_reply", cat.SESSION_OPEN | cat.REPLY_BIT, 1, 2, device_nonce=DEVICE_NONCE, boot_count=BOOT_COUNT,
                     serial=SERIAL, proof=shake.pump_proof)
        + _hex("proof of the host", shake.host_proof)
        + _open_line("session_confirm", cat.SESSION_CONFIRM, 2, 3, proof=shake.host_proof),
        "keys": _hex("tag to pump", shake.to_pump.tag_key) + _hex("cipher to pump", shake.to_pump.cipher_key)
        + _hex("tag to host", shake.to_host.tag_key) + _hex("cipher to host", shake.to_host.cipher_key),
        "confirm": _sealed_lines("session_confirm_reply"),
        "status": _sealed_lines("status") + _sealed_lines("status_reply"),
        "file_read": _sealed_lines("file_read") + _sealed_lines("file_read_reply"),
        "block": _hex("canonical", canonical) + _hex("digest", digest),
        "order": "".join(_sealed_lines(name) for name in ("stage", "stage_reply", "check", "check_reply", "commit", "commit_reply")),
    }
    return {name: "```\n" + text + "```\n" for name, text in made.items()}


def rewrite(page: str) -> str:
    """The page with every example made again. Raises ValueError when it lacks one or asks for one that is not made."""
    made = examples()
    shown = [match["name"] for match in EXAMPLE.finditer(page)]
    if sorted(shown) != sorted(made):
        raise ValueError("the page shows the examples %s; made are %s" % (sorted(shown), sorted(made)))
    return EXAMPLE.sub(lambda match: match[1] + made[match["name"]] + match[3], page)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when something is stale")
    check = parser.parse_args().check
    made = {HERE / name: contents(name) for name in FILES}
    made[PAGE] = rewrite(PAGE.read_text(encoding="utf-8"))
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(("stale: " if check else "written: ") + path.name)
        if not check:
            path.write_text(made[path], encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
