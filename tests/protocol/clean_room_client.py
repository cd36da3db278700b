"""A second, independent host for thecal telemetry, written from PROTOCOL.md alone.

It shares no code with the project: that page was its only source. That it runs green against a pump shows that the page suffices.

    python clean_room_client.py socket://localhost:7811 [--json]

opens a clinician's session, reads status and event log, stages, checks, reads back and commits a simple program (baclofen
500 ug/mL at 120 ug/day), shows the new rate and closes the session. Needs nothing but the standard library and pyserial.
"""

from __future__ import annotations

import argparse
import binascii
import contextlib
import functools
import hashlib
import hmac
import json
import os
import random
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import serial

SCHEMA_CRC, PROTOCOL_VERSION, FRAME_VERSION = 0x909234B9, 3, 1
TAG_BYTES = {0: 0, 1: 0, 2: 8, 3: 16}  # of each class: open, plain, routine, therapy
MAX_PAYLOAD, MAX_BODY, MAX_CHUNK, EVENT_BYTES = 220, 249, 200, 20
FIRST_WAIT, LEAST_WAIT, MOST_WAIT, MOST_DOUBLED, TRIES, LIMIT = 1.0, 0.096, 5.0, 1.0, 8, 2**30 - 1
FILE_EVENTS, FILE_DAYS, FILE_PROGRAM, FILE_STAGE = range(4)
MODES = ("shelf", "idle", "running", "stopped", "priming", "bridging", "bolus", "paused")
CLINICIAN, NEEDS_SESSION, LOCKED = 1, 13, 15
EVENTS = (
    "?, boot, store repaired, commissioned, program committed, refill, stopped, resumed, prime started, prime ended, clock "
    "set, delivery gap, pulse lost, alarm, alarm ended, clock jumped, order refused, bolus cut short, level compared, "
    "orders from, locked after wrong keys, paired, emergency reduction, bolus started, bolus ended, patient bolus "
    "refused, paused, pause ended, bridge started, bridge ended, catheter recorded, record written, alarm silenced, alarm "
    "acknowledged, alarm test, visit signed, soft limits overridden, self-test, level test, strong field"
).split(", ")

# A line each: name, id (of blocks: kind), class, fields as name:type[:min:max]; behind "=" class and fields of the reply. b16 is bytes[16].
_LAYOUTS = """
hello 0x01 0 version:u8 schema_crc:u32:0:4294967295
    = 0 version:u8 schema_crc:u32:0:4294967295 serial:u32 boot_count:u32 max_payload:u8:0:220 paired:u8:0:7
session_open 0x04 0 role:u8:1:3 host_nonce:b16 = 0 device_nonce:b16 boot_count:u32 serial:u32 proof:b16
session_confirm 0x05 0 proof:b16 = 2 role:u8:1:3 idle_s:u16
session_close 0x19 2 = 2
status 0x10 2 = 2 time_s:u32 mode:u8:0:7 program_mode:u8:0:4 rate_nl_day:u32:0:24000000 daily_nl:u32:0:24000000 running_digest:b8
    pulses:u32 pulse_nl:u16 demanded_ul:u32 demanded_nl:u16:0:999 ordered_revs:u32 ordered_steps:u16 nl_per_rev:u16 steps_per_rev:u16
    missed_stop_ul:u32 missed_stop_nl:u16:0:999 missed_reset_ul:u32 missed_reset_nl:u16:0:999 missed_stall_ul:u32
    missed_stall_nl:u16:0:999 missed_fault_ul:u32 missed_fault_nl:u16:0:999 missed_clock_ul:u32 missed_clock_nl:u16:0:999
    missed_late_ul:u32 missed_late_nl:u16:0:999 reservoir_computed_nl:i32 reservoir_sensed_ul:u32 low_reservoir_days:u16
    extra:u8:0:4 extra_left_nl:u32:0:60000000 bridge_left_nl:u32:0:2000000 paused_until_s:u32 delivered_hour_nl:u32:0:2000000
    delivered_day_nl:u32:0:48000000 cap_hour_nl:u32 cap_day_nl:u32 boluses_granted:u8 boluses_refused:u8 lockout_s:u32
    catheter:u8:0:1 temperature_dc:i32:-1000:1000 battery_mv:u16 alarms:u32 latched:u32 first_alarm:u8:0:29 boot_count:u32 reset_cause:u8
    next_event:u32 uptime_s:u32 frames_bad:u32 forgeries:u32 locked_s:u16 wasted_mj:u32 calibration:u8:0:1 trim:i32:-50:50
    given_until_s:u32
file_info 0x11 2 file:u8:0:9 = 2 file:u8:0:9 first:u32 end:u32
file_read 0x12 2 file:u8:0:9 offset:u32 length:u8:1:200 = 2 file:u8:0:9 offset:u32 data:rest:0:200
stage 0x13 3 kind:u8:1:18 total:u16:1:768 offset:u16:0:768 data:rest:1:200 = 3 received:u16:0:768
check 0x14 3 = 3 kind:u8:1:18 total:u16:1:768 digest:b8 expires_s:u16
commit 0x15 3 digest:b8 = 3 digest:b8 again:u8:0:1 running_digest:b8 time_s:u32
refused 0xFF 0 message:u8 reason:u8 field:u8 value:i32
refused_sealed 0xFE 2 message:u8 reason:u8 field:u8 value:i32
block_program 2 0 order_id:u32:1:1073741823 mode:u8:1:4 fallback_nl_day:u32:0:24000000 safe_state:u8:0:1 abrupt_stop:u8:0:1
    editor:b16 setting:b16 library_crc:u32:0:4294967295 overrides:u16 override_why:u8
    drug_1:b16 concentration_1_ng_ml:u32:0:100000000 drug_2:b16 concentration_2_ng_ml:u32:0:100000000
    drug_3:b16 concentration_3_ng_ml:u32:0:100000000 cap_hour_1_ng:u32 cap_day_1_ng:u32 cap_hour_2_ng:u32 cap_day_2_ng:u32
    cap_hour_3_ng:u32 cap_day_3_ng:u32 step_pct:u16:0:1000 step_interval_h:u16:0:2400 bolus_nl:u32:0:1000000 bolus_s:u16
    lockout_min:u16:0:10080 interval_h:u8:0:24 per_interval:u8 per_day:u8:0:48 released:u8:0:1 bridge_nl:u32:0:2000000
    bridge_rate_nl_day:u32:0:24000000 weekdays:b7 patterns:u8:1:7 steps:rest:7:553
block_stop 4 0 order_id:u32:1:1073741823 reason:u8
block_resume 5 0 order_id:u32:1:1073741823
event_record 0 0 seq:u32 time_s:u32 code:u8 cause:u8 a:i32 b:i32 crc:u16
"""
_NUMBERS = {"u8": (1, 0, 255), "u16": (2, 0, 65535), "u32": (4, 0, LIMIT), "i32": (4, -LIMIT, LIMIT)}  # bytes, least, most
Values = dict[str, Any]
_hmac = functools.partial(hmac.digest, digest="sha256")


class ProtocolError(Exception):
    """What came from the pump is not what the page promises."""


class Refused(Exception):
    """The pump refused a request."""

    def __init__(self, message: int, reason: int, field: int, value: int) -> None:
        self.reason, self.field, self.value = reason, field, value
        super().__init__(f"message 0x{message:02X} refused: reason {reason}, field {field}, value {value}")


class SessionLost(Refused):
    """An unsealed refusal (13 or 15) of a sealed request: it may or may not have been executed."""


class Layout(NamedTuple):
    """The fields of a message, block or record in order: name, type, bounds of the value or of the length."""

    name: str
    id: int
    frame_class: int
    fields: list[tuple[str, str, int, int]]

    def pack(self, values: Values) -> bytes:
        """Encode exactly these fields."""
        out = b""
        for name, kind, low, high in self.fields:
            value = values[name]
            if not low <= (value if kind in _NUMBERS else len(value)) <= high:
                raise ValueError(f"{self.name}: {name} {value!r} is outside {low}..{high}")
            out += value.to_bytes(_NUMBERS[kind][0], "little", signed=kind == "i32") if kind in _NUMBERS else value
        return out

    def unpack(self, data: bytes) -> Values:
        """Decode exactly these fields, refusing what is impossible."""
        values = {}
        for name, kind, low, high in self.fields:
            size = _NUMBERS[kind][0] if kind in _NUMBERS else len(data) if kind == "rest" else high
            piece, data = data[:size], data[size:]
            value: Any = int.from_bytes(piece, "little", signed=kind == "i32") if kind in _NUMBERS else piece
            if len(piece) < size or not low <= (value if kind in _NUMBERS else size) <= high:
                raise ProtocolError(f"{self.name}: {name} {value!r} is short, or outside {low}..{high}")
            values[name] = value
        if data:
            raise ProtocolError(f"{self.name}: {len(data)} bytes too many")
        return values

    def digest(self, block: bytes) -> bytes:
        """Of a canonical block, what `check` returns and `commit` takes."""
        return hashlib.sha256(bytes([self.id]) + block).digest()[:8]


def _layouts(text: str) -> Iterator[tuple[str, Layout]]:
    """Parse the table above."""
    for line in text.strip().replace("\n    ", " ").splitlines():
        name, number, rest = line.split(maxsplit=2)
        for reply, part in enumerate(rest.split("=")):
            frame_class, *cells = part.split()
            fields = []
            for label, kind, *bounds in (cell.split(":") for cell in cells):
                low, high = bounds or (_NUMBERS[kind][1:] if kind in _NUMBERS else (kind[1:], kind[1:]))
                fields.append((label, kind, int(low), int(high)))
            full = name + "_reply" * reply
            yield full, Layout(full, int(number, 0) | 0x80 * reply, int(frame_class), fields)


LAYOUTS = dict(_layouts(_LAYOUTS))


def cobs_decode(line: bytes) -> bytes:
    """The body of what stood before a zero; empty if it is not COBS."""
    out = b""
    while line:
        if line[0] == 0xFF or line[0] > len(line):
            return b""
        out, line = out + line[1 : line[0]] + b"\0", line[line[0] :]
    return out[:-1]


class Sealer:
    """Tag, cipher and counter of one direction of a session."""

    def __init__(self, key: bytes, direction: bytes, transcript: bytes) -> None:
        self.tag_key = _hmac(key, b"thecal tag " + direction + transcript)
        self.cipher_key = _hmac(key, b"thecal cipher " + direction + transcript)
        self.counter = 0

    def _cipher(self, counter: int, text: bytes) -> bytes:
        heads = (self.cipher_key + struct.pack("<II", counter, i) for i in range(-(-len(text) // 32)))
        return bytes(a ^ b for a, b in zip(text, b"".join(hashlib.sha256(head).digest() for head in heads), strict=False))

    def seal(self, header: bytes, payload: bytes, tag_bytes: int) -> bytes:
        """The body of a sealed frame without its CRC."""
        self.counter += 1
        tagged = header + self._cipher(self.counter, payload) + struct.pack("<I", self.counter)
        return tagged + _hmac(self.tag_key, tagged)[:tag_bytes]

    def open(self, sealed: bytes, tag_bytes: int) -> bytes | None:
        """The payload of such a body; None for a wrong tag or an old counter."""
        tagged, tag = sealed[:-tag_bytes], sealed[-tag_bytes:]
        (counter,) = struct.unpack("<I", tagged[-4:])
        if not (hmac.compare_digest(tag, _hmac(self.tag_key, tagged)[:tag_bytes]) and self.counter < counter <= LIMIT):
            return None
        self.counter = counter
        return self._cipher(counter, tagged[5:-4])


class Client:
    """A host with one request outstanding at any time, over a URL or any open port with read(n), write(b), timeout."""

    def __init__(self, port: Any, key: bytes | None = None, role: int = CLINICIAN) -> None:
        self.port = serial.serial_for_url(port, baudrate=115200) if isinstance(port, str) else port
        self.key, self.role = key, role
        self.seq, self.request_id = 0, random.randrange(255)  # by chance: old replies in the line then find nobody
        self.to_pump = self.to_host = Sealer(os.urandom(32), b"nobody", b"")  # until a session is open
        self.srtt, self.rttvar, self._line = 0.0, 0.0, bytearray()
        self.port.timeout = 0.02
        self.port.write(b"\0")  # ends whatever noise the pump has heard

    def _encode(self, message: Layout, payload: bytes) -> bytes:
        """One frame as it goes on the line; takes a seq and, if sealed, a counter."""
        tag_bytes = TAG_BYTES[message.frame_class]
        body = bytes([FRAME_VERSION << 5 | message.frame_class, message.id, len(payload), self.seq, self.request_id])
        self.seq = (self.seq + 1) % 256
        body = self.to_pump.seal(body, payload, tag_bytes) if tag_bytes else body + payload
        body += struct.pack("<I", zlib.crc32(body, SCHEMA_CRC if message.frame_class else 0))
        return b"".join(bytes([len(piece) + 1]) + piece for piece in body.split(b"\0")) + b"\0"  # COBS

    def _decode(self, line: bytes) -> tuple[int, int, int, bytes] | None:
        """Class, message id, request id and payload of a good frame; None for what a receiver drops."""
        body = cobs_decode(line)
        if not 9 <= len(body) <= MAX_BODY or body[0] >> 5 != FRAME_VERSION or body[0] & 31 not in TAG_BYTES:
            return None
        frame_class, tag_bytes = body[0] & 31, TAG_BYTES[body[0] & 31]
        fits = body[2] <= MAX_PAYLOAD and len(body) == 9 + body[2] + (4 + tag_bytes if tag_bytes else 0)
        if not fits or struct.pack("<I", zlib.crc32(body[:-4], SCHEMA_CRC if frame_class else 0)) != body[-4:]:
            return None
        payload = self.to_host.open(body[:-4], tag_bytes) if tag_bytes else body[5:-4]
        return None if payload is None else (frame_class, body[1], body[4], payload)

    def _reply(self, message: Layout, deadline: float) -> tuple[str, Values] | None:
        """The reply or refusal of the request that is out; all else (pushed, stray, noise) is dropped."""
        expected = {(m.frame_class, m.id): m for m in (LAYOUTS[n] for n in (message.name + "_reply", "refused", "refused_sealed"))}
        while time.monotonic() < deadline:
            byte = self.port.read(1)
            if byte != b"\0":
                self._line += byte if len(self._line) <= MAX_BODY + 1 else b""  # too long anyway: drop it at its zero
                continue
            frame, self._line = self._decode(bytes(self._line)), bytearray()
            layout = expected.get(frame[:2]) if frame else None
            if frame and layout and frame[2] == self.request_id:
                with contextlib.suppress(ProtocolError):  # impossible values: dropped
                    values = layout.unpack(frame[3])
                    if values.get("message", message.id) == message.id:
                        return layout.name, values
        return None

    def ask(self, name: str, **values: Any) -> Values:
        """One request and its reply; repeated to the byte, as a host may that has only one outstanding."""
        message = LAYOUTS[name]
        self.request_id = self.request_id % 255 + 1
        line = self._encode(message, message.pack(values))
        wait = min(max(self.srtt + 4 * self.rttvar, LEAST_WAIT), MOST_WAIT) if self.srtt else FIRST_WAIT
        for attempt in range(TRIES):
            sent = time.monotonic()
            self.port.write(line)
            while (reply := self._reply(message, sent + wait)) is not None:
                kind, fields = reply
                if kind == "refused" and message.frame_class:  # anyone may have said that
                    if fields["reason"] in (NEEDS_SESSION, LOCKED):
                        raise SessionLost(**fields)
                    continue
                if attempt == 0:  # RFC 6298: only what was not repeated is measured
                    rtt = time.monotonic() - sent
                    self.rttvar = (3 * self.rttvar + abs(self.srtt - rtt)) / 4 if self.srtt else rtt / 2
                    self.srtt = (7 * self.srtt + rtt) / 8 if self.srtt else rtt
                if kind.startswith("refused"):
                    raise Refused(**fields)
                return fields
            wait = max(wait, min(2 * wait, MOST_DOUBLED))
        raise TimeoutError(f"no reply to {name} in {TRIES} tries")

    def hello(self) -> Values:
        """Compare version and schema; learn serial and boot."""
        reply = self.ask("hello", version=PROTOCOL_VERSION, schema_crc=SCHEMA_CRC)
        if (reply["version"], reply["schema_crc"]) != (PROTOCOL_VERSION, SCHEMA_CRC):
            raise ProtocolError(f"pump speaks version {reply['version']}, schema 0x{reply['schema_crc']:08X}")
        return reply

    def open_session(self) -> Values:
        """Prove to each other that both know the key of the role; without a key of one's own, the shelf key."""
        nonce = os.urandom(16)
        reply = self.ask("session_open", role=self.role, host_nonce=nonce)
        key = self.key or hashlib.sha256(b"thecal shelf key" + struct.pack("<IB", reply["serial"], self.role)).digest()
        head = struct.pack("<BBIII", FRAME_VERSION, self.role, SCHEMA_CRC, reply["serial"], reply["boot_count"])
        transcript = head + nonce + reply["device_nonce"]
        if not hmac.compare_digest(_hmac(key, b"thecal proof of the pump" + transcript)[:16], reply["proof"]):
            raise ProtocolError("the pump has another key, or is no pump")
        self.to_pump, self.to_host = (Sealer(key, direction, transcript) for direction in (b"to pump", b"to host"))
        return self.ask("session_confirm", proof=_hmac(key, b"thecal proof of the host" + transcript)[:16])

    def close_session(self) -> None:
        """End the session. A pump that says it has none has closed it: the answer was lost."""
        with contextlib.suppress(SessionLost):
            self.ask("session_close")

    def read(self, name: str, **values: Any) -> Values:
        """Ask for what changes nothing; once more in a new session if the pump has lost this one."""
        try:
            return self.ask(name, **values)
        except SessionLost:
            self.open_session()
            return self.ask(name, **values)

    def status(self) -> Values:
        """The pump's status, by name."""
        return self.read("status")

    def read_file(self, file: int, start: int = 0) -> tuple[int, bytes]:
        """Offset and bytes of all that exists of a file from `start` on."""
        info = self.read("file_info", file=file)
        first, data = max(start, info["first"]), b""
        while first + len(data) < info["end"]:
            at = first + len(data)
            reply = self.read("file_read", file=file, offset=at, length=min(MAX_CHUNK, info["end"] - at))
            if (reply["file"], reply["offset"]) != (file, at) or not reply["data"]:
                raise ProtocolError(f"file {file}: asked for {at}, got {reply}")
            data += reply["data"]
        return first, data

    def events(self) -> list[Values]:
        """The event log, decoded; records that were torn or never written are left out."""
        (first, data), found = self.read_file(FILE_EVENTS), []
        for at in range(-first % EVENT_BYTES, len(data) - EVENT_BYTES + 1, EVENT_BYTES):
            raw = data[at : at + EVENT_BYTES]
            if raw[:4] + raw[-2:] == struct.pack("<IH", (first + at) // EVENT_BYTES, binascii.crc_hqx(raw[:-2], 0xFFFF)):
                name = EVENTS[raw[8]] if raw[8] < len(EVENTS) else f"event {raw[8]}"
                found.append(LAYOUTS["event_record"].unpack(raw) | {"event": name})
        return found

    def order(self, name: str, **fields: Any) -> Values:
        """Stage, check, read back and commit one block; the reply of `commit`."""
        layout = LAYOUTS["block_" + name]
        block = layout.pack({"order_id": random.SystemRandom().randint(1, LIMIT), **fields})
        for at in range(0, len(block), MAX_CHUNK):
            self.ask("stage", kind=layout.id, total=len(block), offset=at, data=block[at : at + MAX_CHUNK])
        checked, (_, canonical) = self.ask("check"), self.read_file(FILE_STAGE)
        digest = layout.digest(canonical)
        if (checked["kind"], checked["total"], checked["digest"]) != (layout.id, len(block), digest) or canonical != block:
            raise ProtocolError(f"{name}: the pump understood {canonical.hex()}")
        return self.commit(digest)

    def commit(self, digest: bytes) -> Values:
        """Commit; without an answer ask again in a new session, where refusal 3 or 4 means: not executed."""
        try:
            return self.ask("commit", digest=digest)
        except (SessionLost, TimeoutError):
            self.open_session()
            return self.ask("commit", digest=digest)

    def program(self, drug: str, ng_per_ml: int, nl_day: int, fallback_nl_day: int, cap_ng_day: int) -> Values:
        """Order simple continuous delivery of one drug under a daily cap, a tenth of it in any hour; safe state minimum rate."""
        fields: Values = {name: 0 for name, *_ in LAYOUTS["block_program"].fields[1:]}
        fields |= {"mode": 1, "fallback_nl_day": fallback_nl_day, "editor": b"clean room".ljust(16, b"\0"), "setting": bytes(16)}
        for i, (name, concentration) in enumerate([(drug, ng_per_ml), ("", 0), ("", 0)], 1):
            fields |= {f"drug_{i}": name.encode("ascii").ljust(16, b"\0"), f"concentration_{i}_ng_ml": concentration}
        fields |= {"cap_hour_1_ng": cap_ng_day // 10, "cap_day_1_ng": cap_ng_day}
        fields |= {"weekdays": bytes(7), "patterns": 1, "steps": struct.pack("<BHI", 1, 0, nl_day)}
        return self.order("program", **fields)

    def stop(self, reason: int = 1) -> Values:
        """Order the pump to stop (1: clinician order)."""
        return self.order("stop", reason=reason)

    def resume(self) -> Values:
        """Let the program go on."""
        return self.order("resume")


def run(client: Client) -> Values:
    """The whole visit; what was seen, by name."""
    ng_per_ml, nl_day = 500_000, 120 * 1_000_000 // 500  # baclofen 500 ug/mL at 120 ug/day
    seen: Values = {"hello": client.hello(), "session": client.open_session(), "before": client.status(), "events": client.events()}
    seen["commit"] = client.program("baclofen", ng_per_ml, nl_day, nl_day // 2, 1_000_000)
    after = seen["after"] = client.status()
    running = LAYOUTS["block_program"].digest(client.read_file(FILE_PROGRAM)[1])
    if not running == after["running_digest"] == seen["commit"]["running_digest"] == seen["commit"]["digest"]:
        raise ProtocolError("the running program is not the committed one")
    if running == seen["before"]["running_digest"] or after["daily_nl"] != nl_day or after["rate_nl_day"] != nl_day:
        raise ProtocolError(f"the rate is {after['rate_nl_day']} nL/day, not {nl_day} (pump {MODES[after['mode']]})")
    client.close_session()
    return seen


def report(seen: Values) -> str:
    """The visit for a reader."""
    before, after, commit = seen["before"], seen["after"], seen["commit"]
    lines = [f"hello {seen['hello']}", f"session {seen['session']}", "status:"]
    lines += [f"  {name:22} {value.hex() if isinstance(value, bytes) else value}" for name, value in before.items()]
    lines += [f"events: {len(seen['events'])}, the last:"]
    lines += ["  {seq:6} {time_s:10} s  {event}: cause {cause}, a {a}, b {b}".format(**event) for event in seen["events"][-5:]]
    lines += [f"committed {commit['digest'].hex()} at {commit['time_s']} s, was {before['running_digest'].hex()}"]
    lines += [f"rate {before['rate_nl_day']} -> {after['rate_nl_day']} nL/day, pump {MODES[after['mode']]}", "session closed"]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 when all went well."""
    parser = argparse.ArgumentParser(description="clean-room host for thecal telemetry")
    parser.add_argument("url", help="socket://host:port, or a serial device")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    options = parser.parse_args(arguments)
    try:
        client = Client(options.url)
        with client.port:
            seen = run(client)
    except (ProtocolError, Refused, OSError) as fault:
        print(f"failed: {fault}", file=sys.stderr)
        return 1
    print(json.dumps(seen, indent=1, default=bytes.hex) if options.json else report(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
