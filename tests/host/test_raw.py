"""The line, decoded for people: names, fields with units, reasons for damage, and sealed frames opened with the key and not without."""

import json

import pytest

from thecal.host import raw
from thecal.host.errors import RequestInvalid
from thecal.protocol import catalogue as cat
from thecal.protocol import fields, frame, session
from thecal.protocol.handshake import HostHandshake

SCHEMA = cat.schema_crc()
KEY = bytes(range(32))
SERIAL, BOOTS = 1001, 7


def framed(message_id, values=(), request=1, seq=0, channel=None, message_class=None):
    """A whole frame of a message, as either side would send it."""
    row = cat.message(message_id)
    payload, out = bytearray(255), bytearray(frame.MAX_FRAME)
    end = fields.pack(row[5], values, payload)
    assert end >= 0, (row[1], end)
    size = frame.encode(out, row[3] if message_class is None else message_class, message_id, seq, request, payload, end, SCHEMA, channel=channel)
    assert size
    return bytes(out[:size])


def handshake(key=KEY):
    """The frames of a handshake, and the pump's end of the session."""
    host = HostHandshake(SCHEMA, session.CLINICIAN, key, bytes(range(16)))
    pump = session.PumpHandshake(SCHEMA, session.CLINICIAN, key, SERIAL, BOOTS, bytes(range(16)), bytes(16))
    frames = [("host", framed(cat.SESSION_OPEN, host.open_values())),
              ("pump", framed(cat.SESSION_OPEN | cat.REPLY_BIT, (bytes(16), BOOTS, SERIAL, pump.proof)))]
    assert host.answer(bytes(16), BOOTS, SERIAL, pump.proof)
    return [*frames, ("host", framed(cat.SESSION_CONFIRM, (host.confirm,), request=2))], host.session, pump.confirm(host.confirm)


def heard(frames, keys=None):
    listener = raw.Listener(keys)
    return [seen for number, (sender, data) in enumerate(frames) for seen in listener.hear(number * 1000, sender, data)]


def key_of(serial, role):
    return KEY if (serial, role) == (SERIAL, session.CLINICIAN) else None


def one(sender, data, keys=None):
    found = heard([(sender, data)], keys)
    assert len(found) == 1
    return found[0]


def test_an_open_frame_by_name_and_fields_with_units():
    seen = one("pump", framed(cat.IDENTITY | cat.REPLY_BIT, (1001, 1, b"micropython"), request=9, seq=3))
    assert (seen.name, seen.message_class, seen.seq, seen.request, seen.trouble) == ("identity_reply", "open", 3, 9, "")
    assert seen.text() == "    0.000000 s  <- pump  identity_reply        open    seq   3  req   9  serial 1001; firmware_version 1 major*256+minor; runtime 'micropython'"
    assert seen.to_dict()["fields"] == {"serial": 1001, "firmware_version": 1, "runtime": b"micropython".hex()}
    json.dumps(seen.to_dict())


@pytest.mark.parametrize(("row", "value", "text"), [
    (("mode", fields.U8, "", 0, 4), 2, "2 (running)"), (("rate_nl_day", fields.U32, "nL/day", 0, 9), 8, "8 nL/day"), (("x", fields.U8, "", 0, 9), 8, "8"),
    (("alarms", fields.U32, "bits", 0, 99), 18, "0x12"), (("reason", fields.U8, "", 0, 255), 13, "13 (needs a session)"), (("message", fields.U8, "", 0, 255), cat.COMMIT, "21 (commit)"),
    (("message", fields.U8, "", 0, 255), 0x5F, "95"), (("kind", fields.U8, "", 1, 7), 2, "2 (program)"), (("file", fields.U8, "", 0, 3), 0, "0 (events)"),
    (("role", fields.U8, "", 1, 3), 1, "1 (clinician)"), (("schema_crc", fields.U32, "", 0, 9), 0xAB, "0x000000ab"), (("time_s", fields.U32, "s", 0, 9), 0, "0 s (2024-01-01 00:00:00)"),
    (("d", fields.TAIL, "", 0, 99), b"", "0 bytes"), (("d", fields.TAIL, "", 0, 99), bytes(30), "30 bytes " + "00" * 24 + "..."),
    (("drug_1", fields.BYTES, "ascii, zero-padded", 8, 8), b"baclofen", "'baclofen'")])
def test_values_as_a_person_reads_them(row, value, text):
    assert raw.value_text(row, value, cat.STAGE) == text


GOOD = framed(cat.IDENTITY)


def changed(body):
    """A frame around these body bytes, whatever they are."""
    out = bytearray()
    for part in bytes(body).split(b"\0"):
        out += bytes((len(part) + 1,)) + part
    return bytes(out) + b"\0"


def body_of(message_class=0, version=frame.VERSION, length=0, payload=b""):
    return bytes((version << 5 | message_class, cat.IDENTITY, length, 0, 1)) + payload + b"\1\2\3\4"


@pytest.mark.parametrize(("data", "why"), [
    (b"\x09\x01\0", "COBS: byte 0 promises 8 bytes, 1 are left"), (b"\x02\x01\0", "a frame has 9..249 bytes, here are 1"), (changed(bytes(range(1, 250)) + b"ab"), "here are 251"),
    (changed(body_of(version=2)), "frame version 2, not 1"), (changed(body_of(message_class=9)), "class 9 is not known"),
    (changed(body_of(length=5)), "the length byte says 5, 0 payload bytes are there"), (changed(body_of(payload=b"abc")), "the length byte says 0, 3 payload bytes"),
    (changed(body_of(message_class=2)), "the length byte says 0, 0 payload bytes"),
    (changed(body_of()), "CRC is 04030201, ")])
def test_why_a_frame_is_bad(data, why):
    seen = one("host", data)
    assert why in seen.trouble and seen.name == "?" and "!! %d bytes: " % len(data) in seen.text()


def test_damage_then_a_good_frame_then_one_that_never_ends():
    listener = raw.Listener()
    found = list(listener.hear(0, "host", b"\x05ab\0\0" + GOOD + b"\x03a"))
    assert [seen.name for seen in found] == ["?", "identity"] and (listener.good, listener.bad) == (1, 1)
    assert [seen.trouble for seen in listener.rest(5)] == ["2 bytes without an end"]


PAIR = framed(cat.PAIR, (session.CLINICIAN, KEY))


def damaged_pairings():
    """A pairing with any one bit wrong, merged with what stood before it, cut behind its head, or claimed by the pump."""
    for bit in range(8 * (len(PAIR) - 1)):
        hurt = bytearray(PAIR)
        hurt[bit // 8] ^= 1 << bit % 8
        if 0 not in hurt[:-1]:
            yield "host", bytes(hurt)
    yield from (("host", b"\7half" + PAIR), ("host", PAIR[:30] + b"\0"), ("pump", PAIR))


def test_no_key_is_ever_shown_not_even_of_a_damaged_pairing():
    seen = one("host", PAIR)
    assert seen.text().endswith("role 1 (clinician); key 32 bytes, hidden") and seen.hides_key
    assert seen.to_dict()["fields"] == {"role": 1, "key": "32 bytes, hidden"} and seen.to_dict()["hex"] is None
    for sender, data in [("host", PAIR), *damaged_pairings()]:
        for found in heard([(sender, data)]):
            said = found.text() + json.dumps(found.to_dict())
            assert not any(KEY[at:at + 3].hex() in said for at in range(1, len(KEY) - 2)), (data.hex(), said)
    assert heard([("host", b"\5noise\0")])[0].to_dict()["hex"], "other damage is shown"


def test_a_lost_pairing_in_a_capture_shows_no_key_either(tmp_path):
    path = written(tmp_path / "c.jsonl", {"t_us": 1, "dir": "host", "hex": "", "sent": PAIR.hex()})
    shown = json.dumps([seen.to_dict() for seen in raw.decode(path)])
    assert "were sent and lost" in shown and KEY[4:8].hex() not in shown


def test_good_frames_in_the_wrong_place():
    assert one("pump", GOOD).trouble == "the pump never sends this"
    assert one("host", framed(cat.IDENTITY, message_class=1)).trouble == "this message has class open"
    out = bytearray(frame.MAX_FRAME)
    size = frame.encode(out, 1, 0x61, 0, 1, b"ab", 2, SCHEMA)
    strange = one("host", bytes(out[:size]))
    assert strange.name == "0x61" and "no message of the catalogue" in strange.trouble and strange.fields[0][2] == "2 bytes 6162"
    size = frame.encode(out, 0, cat.SESSION_OPEN, 0, 1, bytes((9,)) + bytes(16), 17, SCHEMA)
    assert one("host", bytes(out[:size])).trouble == "role is out of range or missing"
    size = frame.encode(out, 0, cat.IDENTITY, 0, 1, b"more", 4, SCHEMA)
    assert one("host", bytes(out[:size])).trouble == "there is more than its fields"


def test_sealed_frames_need_the_key():
    frames, host, pump = handshake()
    frames += [("host", framed(cat.FILE_INFO, (1,), 3, channel=host.sending)),
               ("pump", framed(cat.FILE_INFO | cat.REPLY_BIT, (1, 0, 9600), 3, channel=pump.sending))]
    for keys in (None, lambda serial, role: None):
        sealed = heard(frames, keys)[3:]
        assert [(seen.name, seen.message_class, seen.counter, len(seen.sealed), seen.fields, seen.trouble) for seen in sealed] == [
            ("file_info", "routine", 1, 1, [], ""), ("file_info_reply", "routine", 1, 9, [], "")]
        assert "9 bytes sealed" in sealed[1].text()
    opened = heard(frames, key_of)
    assert [seen.trouble for seen in opened] == [""] * 5
    assert [text for _, _, text in opened[4].fields] == ["1 (days)", "0 byte", "9600 byte"] and opened[4].sealed == b""


def test_forged_replayed_and_repeated_frames_of_a_session():
    frames, host, _ = handshake()
    first, second = (framed(cat.FILE_INFO, (file,), 3, channel=host.sending) for file in (0, 1))
    _, other, _ = handshake(bytes(32))
    forged = framed(cat.FILE_INFO, (0,), 3, channel=other.sending)
    found = heard([*frames, ("host", first), ("host", second), ("host", second), ("host", first), ("host", forged)], key_of)[3:]
    assert [seen.trouble for seen in found] == ["", "", "", "its counter is old: replayed", "its tag does not fit: forged, or of another session"]
    assert found[1].fields == found[2].fields != []
    assert found[3].fields == [] and len(found[3].sealed) == 1


def test_a_handshake_that_the_host_does_not_prove_opens_nothing():
    frames, host, _ = handshake()
    bad = ("host", framed(cat.SESSION_CONFIRM, (bytes(16),), request=2))
    found = heard([*frames[:2], bad, ("host", framed(cat.FILE_INFO, (0,), 3, channel=host.sending))], key_of)
    assert found[3].fields == [] and found[3].trouble == ""


# ------------------------------------------------------------------------------------------------ captures and taps

def written(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_capture_as_it_arrived_and_as_it_was_sent(tmp_path):
    path = written(tmp_path / "c", {"schema": "thecal.capture/1"}, {"t_us": 5, "dir": "host", "hex": GOOD[:3].hex()}, {"t_us": 6, "dir": "host", "hex": GOOD[3:].hex()},
                   {"t_us": 7, "dir": "host", "hex": "", "sent": GOOD.hex()}, {"t_us": 8, "dir": "pump", "hex": "05"})
    assert [(seen.t_us, seen.name, seen.trouble) for seen in raw.decode(path)] == [
        (6, "identity", ""), (7, "-", "11 bytes were sent and lost"), (8, "?", "1 bytes without an end")]
    assert [seen.name for seen in raw.decode(path, as_sent=True)] == ["identity", "identity", "?"]


def test_a_recorded_session_is_the_hosts_half(tmp_path):
    path = written(tmp_path / "s", {"schema": "thecal.session/1"}, {"t_us": 5, "hex": GOOD.hex()}, {"end_us": 9, "trace_hash": "x"})
    assert [seen.name for seen in raw.decode(path)] == ["identity"]


@pytest.mark.parametrize(("text", "what"), [
    ("x", "line 1 cannot be read"), ('{"t_us": 1, "dir": "tx", "hex": ""}', "line 1 has dir 'tx', it must be host or pump"), ("{}", "line 1 cannot be read"), ("7", "line 1 cannot")])
def test_what_is_no_capture_is_one_sentence(tmp_path, text, what):
    (tmp_path / "c").write_text(text)
    with pytest.raises(RequestInvalid, match=what):
        list(raw.decode(tmp_path / "c"))
    with pytest.raises(RequestInvalid, match="gone cannot be read"):
        list(raw.decode(tmp_path / "gone"))


class Port:
    timeout = 1.0

    def __init__(self):
        self.wrote = b""

    def read(self, size=1):
        return b"ab"[:size]

    def write(self, data):
        self.wrote += data
        return len(data)


def test_a_tap_tells_what_passes_and_is_a_port_otherwise():
    port, told, times = Port(), [], iter((1.0, 1.5, 2.0))
    tap = raw.TapPort(port, lambda *row: told.append(row), lambda: next(times))
    assert tap.write(b"x") == 1 and tap.read(2) == b"ab" and port.wrote == b"x"
    tap.timeout = 3.0
    assert port.timeout == 3.0 and tap.read(0) == b""
    assert told == [(500_000, "host", b"x"), (1_000_000, "pump", b"ab")]


def test_what_a_tap_hears_can_be_saved(tmp_path):
    with raw.Saver(tmp_path / "c") as saver:
        saver.add(5, "host", GOOD)
    assert [seen.name for seen in raw.decode(tmp_path / "c")] == ["identity"]
    with raw.Saver(None) as nothing:
        nothing.add(5, "host", GOOD)
    with pytest.raises(RequestInvalid, match="cannot be written"):
        raw.Saver(tmp_path / "no" / "c")
