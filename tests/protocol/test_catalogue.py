"""The one table: consistent in itself, with the firmware's own constants, and a seed that changes with every leaf."""

import struct

import pytest
from thecal.firmware import alarms, event_log, ledger, modes
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import BYTES, HIGH, I32, KIND, LOW, NAME, TAIL, U8, U16, U32, size, width
from thecal.protocol.frame import CLASS_OPEN, CLASS_ROUTINE, CLASS_THERAPY, MAX_PAYLOAD

ROWS = [pytest.param(row, id=row[1]) for row in cat.MESSAGES]
BLOCKS = [pytest.param(row, id=row[1]) for row in cat.BLOCKS]


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
    assert cat.message(message_id) is row
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


def test_without_a_session_nothing_is_said_but_who_it_is_and_its_alarms_and_the_rest_needs_the_magnet():
    requests = {row[0]: row for row in cat.MESSAGES if row[2] == cat.REQUEST}
    assert {number for number, row in requests.items() if row[3] == CLASS_OPEN} == OPEN_REQUESTS | MAGNET_REQUESTS
    assert {number for number, row in requests.items() if row[4] & cat.F_MAGNET} == MAGNET_REQUESTS
    said = {name for number in OPEN_REQUESTS for name, *_ in cat.message(number | cat.REPLY_BIT)[5]}
    assert said == {"version", "schema_crc", "serial", "boot_count", "max_payload", "paired", "firmware_version", "runtime",
                    "active", "latched", "first", "device_nonce", "proof", "role", "idle_s"}


def test_everything_else_is_tagged_and_names_the_roles_that_may():
    assert {row[3] for row in cat.MESSAGES} == {CLASS_OPEN, CLASS_ROUTINE, CLASS_THERAPY}
    for row in cat.MESSAGES:
        if row[2] == cat.REQUEST:
            assert bool(row[4] & cat.F_ALL) == (row[3] != CLASS_OPEN), row[1]
            assert row[3] == CLASS_OPEN or row[4] & cat.F_CLINICIAN
    assert {row[0] for row in cat.MESSAGES if row[4] & cat.F_PATIENT} == {cat.STATUS, cat.SESSION_CLOSE}


def test_what_may_change_therapy_is_flagged_and_has_the_long_tag():
    therapy = {row[0] for row in cat.MESSAGES if row[4] & cat.F_THERAPY}
    assert therapy == {cat.STAGE, cat.CHECK, cat.COMMIT}
    assert {row[0] & ~cat.REPLY_BIT for row in cat.MESSAGES if row[3] == CLASS_THERAPY} == therapy
    assert not any(cat.message(number)[4] & (cat.F_PATIENT | cat.F_MAGNET) for number in therapy)


def test_both_refusals_say_the_same_and_only_one_is_sealed():
    outside, inside = cat.message(cat.REFUSED), cat.message(cat.REFUSED_SEALED)
    assert outside[5] == inside[5] and (outside[3], inside[3]) == (CLASS_OPEN, CLASS_ROUTINE)


@pytest.mark.parametrize("row", ROWS)
def test_a_payload_always_fits_a_frame(row):
    assert most(row[5]) <= MAX_PAYLOAD


@pytest.mark.parametrize("rows", [pytest.param(row.values[0][5], id=row.id) for row in ROWS]
                         + [pytest.param(row.values[0][2], id="block " + row.id) for row in BLOCKS]
                         + [pytest.param(cat.EVENT_FIELDS, id="event"), pytest.param(cat.DAY_FIELDS, id="day")])
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
    assert cat.message(0) is None and cat.message(0x60) is None and cat.block(0) is None and cat.block(8) is None


def test_the_stage_takes_every_kind_and_the_longest_block():
    fields = {field[NAME]: field for field in cat.message(cat.STAGE)[5]}
    assert (fields["kind"][LOW], fields["kind"][HIGH]) == (cat.BLOCKS[0][0], cat.BLOCKS[-1][0])
    assert fields["total"][HIGH] == cat.MAX_BLOCK


def test_records_have_their_length_and_the_firmware_writes_them_so():
    assert size(cat.EVENT_FIELDS) == cat.EVENT_BYTES == struct.calcsize(event_log._EVENT) + 2
    assert size(cat.DAY_FIELDS) == cat.DAY_BYTES == struct.calcsize(event_log._DAY) + 2


def test_codes_are_those_of_the_firmware():
    assert tuple(name.upper() for name in cat.MODES) == tuple(
        name for value in range(len(cat.MODES)) for name in vars(modes) if name in ("SHELF", "IDLE", "RUNNING", "STOPPED", "PRIMING")
        and getattr(modes, name) == value)
    assert len(cat.MISSED_CAUSES) == ledger.CAUSES
    for name in cat.MISSED_CAUSES:
        assert cat.MISSED_CAUSES[getattr(ledger, "MISSED_" + name.upper())] == name
    highest = max(row[0] for row in alarms.TABLE)
    assert {field[NAME]: field for field in cat.message(cat.STATUS | cat.REPLY_BIT)[5]}["first_alarm"][HIGH] >= highest
    codes = [row[0] for row in cat.EVENTS]
    assert sorted(codes) == sorted({getattr(cat, name) for name in vars(cat) if name.startswith("E_")})
    reasons = [row[0] for row in cat.REASONS]
    assert sorted(reasons) == sorted({getattr(cat, name) for name in vars(cat) if name.startswith("R_")})


def leaves(item, path=()):
    if isinstance(item, tuple):
        for index, part in enumerate(item):
            yield from leaves(part, (*path, index))
    else:
        yield path, item


def changed(item, path, value):
    if not path:
        return value
    return item[:path[0]] + (changed(item[path[0]], path[1:], value),) + item[path[0] + 1:]


def test_the_seed_changes_with_every_leaf_of_the_table():
    table = (cat.MESSAGES, cat.BLOCKS, cat.EVENT_FIELDS, cat.DAY_FIELDS)
    start = cat.crc32(b"thecal/%d|" % cat.PROTOCOL_VERSION)
    assert cat._crc_of(table, start) == cat.schema_crc()
    seen = {cat.schema_crc()}
    every = list(leaves(table))
    assert len(every) > 500
    for path, value in every[::3]:
        other = value + 1 if isinstance(value, int) else value + "x"
        seed = cat._crc_of(changed(table, path, other), start)
        assert seed not in seen, (path, value)
        seen.add(seed)
