"""The one table: consistent in itself, with the firmware's own constants, and a seed that changes with every letter of it."""

import struct

import pytest
from thecal.firmware import alarms, event_log, history, ledger, modes
from thecal.protocol import catalogue as cat
from thecal.protocol.crc import crc32
from thecal.protocol.fields import BYTES, HIGH, I32, KIND, LOW, NAME, TAIL, U8, U16, U32, size, width
from thecal.protocol.frame import CLASS_OPEN, CLASS_ROUTINE, CLASS_THERAPY, MAX_PAYLOAD
from thecal.protocol.session import KEY_BYTES, NONCE_BYTES, PROOF_BYTES

ROWS = [pytest.param(row, id=row[1]) for row in cat.MESSAGES]
BLOCKS = [pytest.param(row, id=row[1]) for row in cat.BLOCKS]
RECORDS = {"event": cat.EVENT_FIELDS, "day": cat.DAY_FIELDS, "history": cat.HISTORY_FIELDS}
LAYOUTS = {"event": event_log._EVENT, "day": event_log._DAY, "history": history._RECORD}
BYTES_OF = {"event": cat.EVENT_BYTES, "day": cat.DAY_BYTES, "history": cat.HISTORY_BYTES}


def most(rows):
    """Most bytes a payload of these rows has."""
    return sum(field[HIGH] if field[KIND] in (BYTES, TAIL) else width(field) for field in rows)


def test_ids_and_names_are_unique_and_extensions_stay_free():
    ids, names = [row[0] for row in cat.MESSAGES], [row[1] for row in cat.MESSAGES]
    assert len(set(ids)) == len(ids) and len(set(names)) == len(names)
    assert all(not cat.EXTENSION_FIRST <= number & ~cat.REPLY_BIT <= cat.EXTENSION_LAST for number in ids)
    assert [row[0] for row in cat.BLOCKS] == list(range(1, len(cat.BLOCKS) + 1))


@pytest.mark.parametrize("row", ROWS)
def test_a_request_has_its_reply_and_a_reply_its_request(row):
    message_id, name, direction, message_class, flags, _ = row
    assert cat.message(message_id) is row and cat.fields_of(message_id) is row[5]
    if direction == cat.REQUEST:
        reply = cat.message(message_id | cat.REPLY_BIT)
        # Only the first sealed frame of a session answers a request that could not be sealed yet.
        sealed_first = message_id == cat.SESSION_CONFIRM
        assert reply[1] == name + "_reply" and reply[2] == cat.REPLY
        assert reply[3] == (CLASS_ROUTINE if sealed_first else message_class)
    elif direction == cat.REPLY and message_id not in (cat.REFUSED, cat.REFUSED_SEALED):
        assert cat.message(message_id & ~cat.REPLY_BIT)[2] == cat.REQUEST
    assert bool(message_id & cat.REPLY_BIT) == (direction == cat.REPLY)
    assert direction == cat.REQUEST or flags == cat.F_NONE


OPEN_REQUESTS = {cat.HELLO, cat.IDENTITY, cat.ALARMS, cat.SESSION_OPEN, cat.SESSION_CONFIRM}
MAGNET_REQUESTS = {cat.PAIR, cat.CARD, cat.REDUCE}


@pytest.mark.req("TH-LINK-04")
def test_without_a_session_nothing_is_said_but_who_it_is_and_its_alarms_and_the_rest_needs_the_magnet():
    requests = {row[0]: row for row in cat.MESSAGES if row[2] == cat.REQUEST}
    assert {number for number, row in requests.items() if row[3] == CLASS_OPEN} == OPEN_REQUESTS | MAGNET_REQUESTS
    assert {number for number, row in requests.items() if row[4] & cat.F_MAGNET} == MAGNET_REQUESTS
    said = {name for number in OPEN_REQUESTS for name, *_ in cat.message(number | cat.REPLY_BIT)[5]}
    assert said == {"version", "schema_crc", "serial", "boot_count", "max_payload", "paired", "firmware_version", "runtime",
                    "active", "latched", "first", "device_nonce", "proof", "role", "idle_s"}


@pytest.mark.req("TH-LINK-04")
def test_everything_else_is_tagged_and_names_the_roles_that_may():
    assert {row[3] for row in cat.MESSAGES} == {CLASS_OPEN, CLASS_ROUTINE, CLASS_THERAPY}
    for row in cat.MESSAGES:
        if row[2] == cat.REQUEST:
            assert bool(row[4] & cat.F_ALL) == (row[3] != CLASS_OPEN), row[1]
            assert row[3] == CLASS_OPEN or row[4] & cat.F_CLINICIAN
    # The patient may look, and stage a bolus (what else they stage is refused: firmware/orders.py), but reads no files.
    patient = {cat.STATUS, cat.SESSION_CLOSE, cat.STAGE, cat.CHECK, cat.COMMIT}
    assert {row[0] for row in cat.MESSAGES if row[4] & cat.F_PATIENT} == patient


@pytest.mark.req("TH-PROG-01")
def test_what_may_change_therapy_is_flagged_and_has_the_long_tag():
    therapy = {row[0] for row in cat.MESSAGES if row[4] & cat.F_THERAPY}
    assert therapy == {cat.STAGE, cat.CHECK, cat.COMMIT}
    assert {row[0] & ~cat.REPLY_BIT for row in cat.MESSAGES if row[3] == CLASS_THERAPY} == therapy
    assert not any(cat.message(number)[4] & cat.F_MAGNET for number in therapy)


def test_both_refusals_say_the_same_and_only_one_is_sealed():
    outside, inside = cat.message(cat.REFUSED), cat.message(cat.REFUSED_SEALED)
    assert outside[5] == inside[5] and (outside[3], inside[3]) == (CLASS_OPEN, CLASS_ROUTINE)


@pytest.mark.parametrize("row", ROWS)
def test_a_payload_always_fits_a_frame(row):
    assert most(row[5]) <= MAX_PAYLOAD


@pytest.mark.parametrize("rows", [pytest.param(row.values[0][5], id=row.id) for row in ROWS]
                         + [pytest.param(row.values[0][2], id="block " + row.id) for row in BLOCKS]
                         + [pytest.param(rows, id=name) for name, rows in RECORDS.items()])
def test_fields_are_named_once_fit_their_width_and_end_with_the_tail(rows):
    names = [field[NAME] for field in rows]
    assert len(set(names)) == len(names)
    for index, (name, kind, _, low, high) in enumerate(rows):
        assert low <= high, name
        assert kind != TAIL or index == len(rows) - 1
        assert kind != BYTES or low == high
        if kind in (U8, U16, U32):
            assert 0 <= low and high < 1 << 8 * kind, name
        elif kind == I32:
            assert -(1 << 31) <= low and high < 1 << 31, name


@pytest.mark.parametrize("row", BLOCKS)
def test_a_block_fits_the_stage_and_opens_with_its_order_id(row):
    assert most(row[2]) <= cat.MAX_BLOCK
    assert row[2][0][NAME] == "order_id" and row[2][0][LOW] == 1
    assert cat.block(row[0]) is row[2]


def test_lookups_of_nothing():
    assert cat.message(0) is None and cat.message(0x60) is None and cat.block(0) is None and cat.block(cat.LAST_KIND + 1) is None and cat.head(0) is None


def test_the_stage_takes_every_kind_and_the_longest_block():
    fields = {field[NAME]: field for field in cat.message(cat.STAGE)[5]}
    assert (fields["kind"][LOW], fields["kind"][HIGH]) == (cat.BLOCKS[0][0], cat.BLOCKS[-1][0]) == (1, cat.LAST_KIND)
    assert fields["total"][HIGH] == cat.MAX_BLOCK


def test_records_have_their_length_and_the_firmware_writes_them_so():
    for name, rows in RECORDS.items():
        assert size(rows) == BYTES_OF[name] == struct.calcsize(LAYOUTS[name]) + 2
        assert rows[-1][NAME] == "crc" and rows == cat.record(name)


def test_codes_are_those_of_the_firmware():
    assert [getattr(modes, name.upper()) for name in cat.MODES] == list(range(len(cat.MODES)))
    assert len(cat.MISSED_CAUSES) == ledger.CAUSES
    for name in cat.MISSED_CAUSES:
        assert cat.MISSED_CAUSES[getattr(ledger, "MISSED_" + name.upper())] == name
    assert {field[NAME]: field for field in cat.message(cat.STATUS | cat.REPLY_BIT)[5]}["first_alarm"][HIGH] == alarms.ROWS
    codes = [row[0] for row in cat.EVENTS]
    assert sorted(codes) == sorted({getattr(cat, name) for name in vars(cat) if name.startswith("E_")})
    reasons = [row[0] for row in cat.REASONS]
    assert sorted(reasons) == sorted({getattr(cat, name) for name in vars(cat) if name.startswith("R_")})


def bounds(rows):
    return {field[NAME]: (field[LOW], field[HIGH]) for field in rows}


def test_the_bounds_in_the_text_are_those_of_the_names_and_constants():
    """The text holds plain numbers; what each of them means has a name somewhere."""
    modes_of = (0, len(cat.MODES) - 1)
    for message_id in (cat.CARD | cat.REPLY_BIT, cat.STATUS | cat.REPLY_BIT, cat.LIVE_FRAME):
        assert bounds(cat.message(message_id)[5])["mode"] == modes_of
    status = bounds(cat.message(cat.STATUS | cat.REPLY_BIT)[5])
    assert status["program_mode"] == (0, cat.MINIMUM) and status["extra"] == (0, len(cat.EXTRAS) - 1)
    assert status["catheter"] == bounds(cat.block(cat.CATHETER))["state"] == (cat.CATHETER_EMPTY, cat.CATHETER_FILLED)
    assert {name for name in status if name.startswith("missed_")} == {f"missed_{cause}_{unit}" for cause in cat.MISSED_CAUSES for unit in ("ul", "nl")}
    for message_id in (cat.FILE_INFO, cat.FILE_READ):
        for row in (cat.message(message_id), cat.message(message_id | cat.REPLY_BIT)):
            assert bounds(row[5])["file"] == (0, cat.FILE_PRESCRIPTIONS)
    digests = [field for row in cat.MESSAGES for field in row[5] if field[NAME].endswith("digest")]
    assert len(digests) == 5 and {field[HIGH] for field in digests} == {cat.DIGEST_BYTES}
    assert bounds(cat.message(cat.PAIR)[5])["key"] == (KEY_BYTES, KEY_BYTES)
    opening = cat.message(cat.SESSION_OPEN)[5] + cat.message(cat.SESSION_OPEN | cat.REPLY_BIT)[5] + cat.message(cat.SESSION_CONFIRM)[5]
    assert {field[NAME]: field[HIGH] for field in opening if field[KIND] == BYTES} == {
        "host_nonce": NONCE_BYTES, "device_nonce": NONCE_BYTES, "proof": PROOF_BYTES}
    assert bounds(cat.message(cat.REDUCE)[5])["action"] == (cat.REDUCE_FALLBACK, cat.REDUCE_STOP)
    program = bounds(cat.block(cat.PROGRAM))
    assert program["mode"] == (cat.SIMPLE, cat.MINIMUM) and program["safe_state"] == (cat.SAFE_MINIMUM, cat.SAFE_STOP)
    assert program["editor"] == program["drug_1"] == program["drug_3"] == (cat.DRUG_NAME_BYTES, cat.DRUG_NAME_BYTES)
    assert f"concentration_{cat.MAX_DRUGS}_ng_ml" in program and f"concentration_{cat.MAX_DRUGS + 1}_ng_ml" not in program
    # 7 patterns of one count and up to 13 steps of 6 bytes; a periodic day of 12 boluses is one pattern of 25 steps.
    assert program["steps"] == (1 + 6, 7 * (1 + 6 * cat.MAX_STEPS_A_DAY))
    assert 1 + 6 * (2 * cat.MAX_BOLUSES_A_DAY + 1) <= program["steps"][1]
    assert bounds(cat.block(cat.PRIME))["what"] == (cat.PRIME_TUBING, cat.PRIME_BOTH)
    assert bounds(cat.message(cat.STAGE | cat.REPLY_BIT)[5])["received"] == (0, cat.MAX_BLOCK)


# One line of each kind, read by eye.
READ = {
    cat.HELLO: (0x01, "hello", cat.REQUEST, CLASS_OPEN, cat.F_NONE, (("version", U8, "", 0, 255), ("schema_crc", U32, "", 0, 0xFFFFFFFF))),
    cat.SESSION_CONFIRM | cat.REPLY_BIT: (0x85, "session_confirm_reply", cat.REPLY, CLASS_ROUTINE, cat.F_NONE, (
        ("role", U8, "", 1, 3), ("idle_s", U16, "s", 0, 65535))),
    cat.REDUCE: (0x08, "reduce", cat.REQUEST, CLASS_OPEN, cat.F_MAGNET, (("action", U8, "", 1, 2),)),
    cat.FILE_READ: (0x12, "file_read", cat.REQUEST, CLASS_ROUTINE, cat.F_STAFF, (
        ("file", U8, "", 0, 9), ("offset", U32, "byte", 0, (1 << 30) - 1), ("length", U8, "byte", 1, 200))),
    cat.STAGE: (0x13, "stage", cat.REQUEST, CLASS_THERAPY, cat.F_THERAPY | cat.F_ALL, (
        ("kind", U8, "", 1, 18), ("total", U16, "byte", 1, 768), ("offset", U16, "byte", 0, 768), ("data", TAIL, "", 1, 200))),
    cat.SESSION_CLOSE | cat.REPLY_BIT: (0x99, "session_close_reply", cat.REPLY, CLASS_ROUTINE, cat.F_NONE, ()),
    cat.LIVE_FRAME: (0x40, "live_frame", cat.PUSH, CLASS_ROUTINE, cat.F_NONE, (
        ("time_s", U32, "s", 0, (1 << 30) - 1), ("mode", U8, "", 0, 7), ("rate_nl_day", U32, "nL/day", 0, 24_000_000),
        ("pulses", U32, "", 0, (1 << 30) - 1), ("reservoir_computed_nl", I32, "nL", -(1 << 30) + 1, (1 << 30) - 1),
        ("reservoir_sensed_ul", U32, "uL", 0, (1 << 30) - 1), ("alarms", U32, "bits", 0, (1 << 30) - 1))),
    cat.REFUSED_SEALED: (0xFE, "refused_sealed", cat.REPLY, CLASS_ROUTINE, cat.F_NONE, (
        ("message", U8, "", 0, 255), ("reason", U8, "", 0, 255), ("field", U8, "", 0, 255), ("value", I32, "", -(1 << 30) + 1, (1 << 30) - 1))),
}


@pytest.mark.parametrize("message_id", READ)
def test_a_line_is_read_as_written(message_id):
    assert cat.message(message_id) == READ[message_id]


def test_a_pump_reads_the_same_rows_anew_and_keeps_none(monkeypatch):
    """As on MicroPython: nothing kept, no units."""
    kept, blocks = cat.MESSAGES, cat.BLOCKS
    monkeypatch.setattr(cat, "_KEPT", {})
    monkeypatch.setattr(cat, "HOST", False)
    for row in kept:
        bare = tuple((name, kind, "", low, high) for name, kind, _, low, high in row[5])
        assert cat.message(row[0]) == (*row[:5], bare) and cat.message(row[0]) is not cat.message(row[0])
        assert cat.head(row[0])[:5] == row[:5] and tuple(cat.fields_of(row[0])) == bare
    for kind, _, rows in blocks:
        assert cat.block(kind) == tuple((name, code, "", low, high) for name, code, _, low, high in rows)
    known = {row[0] for row in kept}
    assert all((cat.head(number) is None) == (cat.message(number) is None) == (number not in known) for number in range(256))
    assert all(cat.block(kind) is None for kind in range(256) if not 1 <= kind <= cat.LAST_KIND)


@pytest.mark.req("TH-LINK-10")
def test_the_seed_changes_with_every_letter_of_the_text(monkeypatch):
    messages, blocks = cat._MESSAGES, cat._BLOCKS
    assert cat.schema_crc() == crc32(b"thecal/%d|" % cat.PROTOCOL_VERSION + messages + blocks)
    seen = {cat.schema_crc()}
    for name, text in (("_MESSAGES", messages), ("_BLOCKS", blocks)):
        for at in range(0, len(text), 3):
            with monkeypatch.context() as patch:
                patch.setattr(cat, name, text[:at] + bytes([text[at] ^ 1]) + text[at + 1:])
                assert cat.schema_crc() not in seen, (name, at)
                seen.add(cat.schema_crc())
