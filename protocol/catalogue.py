"""The one table of messages and therapy blocks: codec, CLI help, PROTOCOL.md tables, fuzzer and page derive from it.

It is kept as text, a line a message or block, and a pump reads a line only when a frame asks for it: as rows of tuples the table
would fill a third of a pump's memory. `message(id)` gives (id, name, direction, class, flags, fields), `block(kind)` and
`record(name)` give fields; a field is the row (name, kind, unit, low, high) of protocol/fields.py. On CPython every row is made
once; a pump makes it anew and forgets it, and its rows have no units. What numbers mean in words stands in protocol/texts.py.

    line      id name who request-fields > reply-fields        a reply has its request's id with the top bit set
    who       o open, r routine, t therapy (frame.py: classes), then who may send it:
              c clinician, s service, p patient in a session, m anyone with the magnet at the pump. Behind ">" a reply's own class
    field     name:type, then the bounds of the value (or of the length): nothing for all that fits, one number for 0..number, two for least:most
    type      u8 u16 u32 i32 little-endian (u32 and i32 stay within 2^30 - 1 unless bounds say more), b16 exactly 16 bytes, rest what is left
    +name     stands for the fields of that line of the blocks

The CRC-32 of the text seeds every frame but the open ones, and travels in the hello: two builds that disagree about a dose field
refuse each other by name instead of misreading it. Ids 0x40..0x4F are pushed unasked; 0x60..0x6F are kept for others' extensions.
"""

import sys

from .crc import crc32
from .fields import BYTES, MAX_SMALL, TAIL
from .frame import CLASS_OPEN, CLASS_ROUTINE, CLASS_THERAPY

PROTOCOL_VERSION = 3

REQUEST, REPLY, PUSH = 0, 1, 2

F_NONE = 0
F_THERAPY = 1       # may change what is delivered: stage -> check -> commit only
F_CLINICIAN, F_SERVICE, F_PATIENT = 0x10, 0x20, 0x40    # the roles that may send it in a session
F_STAFF = F_CLINICIAN | F_SERVICE
F_ALL = F_STAFF | F_PATIENT
F_MAGNET = 0x02     # only with the magnet at the pump

REPLY_BIT = 0x80
EXTENSION_FIRST, EXTENSION_LAST = 0x60, 0x6F

# ---------------------------------------------------------------------------------------------------- messages
HELLO, IDENTITY, ALARMS, SESSION_OPEN, SESSION_CONFIRM, PAIR, CARD, REDUCE = range(0x01, 0x09)
STATUS, FILE_INFO, FILE_READ, STAGE, CHECK, COMMIT, DISCARD, LIVE, IMPLANT, SESSION_CLOSE = range(0x10, 0x1A)
LIVE_FRAME = 0x40
REFUSED_SEALED, REFUSED = 0xFE, 0xFF     # inside a session, and outside: only the first can be believed

_MESSAGES = (
    b"\n01 hello o version:u8 schema_crc:u32:4294967295"
    b" > version:u8 schema_crc:u32:4294967295 serial:u32 boot_count:u32 max_payload:u8:220 paired:u8:7"
    b"\n02 identity o > serial:u32 firmware_version:u16 runtime:rest:40"
    b"\n03 alarms o > active:u32 latched:u32 first:u8:29"
    b"\n04 session_open o role:u8:1:3 host_nonce:b16 > device_nonce:b16 boot_count:u32 serial:u32 proof:b16"
    b"\n05 session_confirm o proof:b16 >r role:u8:1:3 idle_s:u16"
    b"\n06 pair om role:u8:1:3 key:b32 > role:u8:1:3 paired:u8:7"
    b"\n07 card om > +drugs daily_nl:u32:24000000 rate_nl_day:u32:24000000 mode:u8:7 reservoir_computed_nl:i32 filled_s:u32"
    b" low_reservoir_days:u16 time_s:u32 alarms:u32 other:u8:1 contact:b32"
    b"\n08 reduce om action:u8:1:2 > action:u8:1:2 rate_nl_day:u32:24000000 until_s:u32"
    b"\n10 status rcsp > time_s:u32 mode:u8:7 program_mode:u8:4 rate_nl_day:u32:24000000 daily_nl:u32:24000000 running_digest:b8"
    b" pulses:u32 pulse_nl:u16 demanded_ul:u32 demanded_nl:u16:999 ordered_revs:u32 ordered_steps:u16 nl_per_rev:u16 steps_per_rev:u16"
    b" missed_stop_ul:u32 missed_stop_nl:u16:999 missed_reset_ul:u32 missed_reset_nl:u16:999"
    b" missed_stall_ul:u32 missed_stall_nl:u16:999 missed_fault_ul:u32 missed_fault_nl:u16:999"
    b" missed_clock_ul:u32 missed_clock_nl:u16:999 missed_late_ul:u32 missed_late_nl:u16:999"
    b" reservoir_computed_nl:i32 reservoir_sensed_ul:u32 low_reservoir_days:u16"
    b" extra:u8:4 extra_left_nl:u32:60000000 bridge_left_nl:u32:2000000 paused_until_s:u32"
    b" delivered_hour_nl:u32:2000000 delivered_day_nl:u32:48000000 cap_hour_nl:u32 cap_day_nl:u32"
    b" boluses_granted:u8 boluses_refused:u8 lockout_s:u32 catheter:u8:1"
    b" temperature_dc:i32:-1000:1000 battery_mv:u16 alarms:u32 latched:u32 first_alarm:u8:29 boot_count:u32 reset_cause:u8"
    b" next_event:u32 uptime_s:u32 frames_bad:u32 forgeries:u32 locked_s:u16 wasted_mj:u32 calibration:u8:1 trim:i32:-50:50"
    b" given_until_s:u32"
    b"\n11 file_info rcs file:u8:9 > file:u8:9 first:u32 end:u32"
    b"\n12 file_read rcs file:u8:9 offset:u32 length:u8:1:200 > file:u8:9 offset:u32 data:rest:200"
    b"\n13 stage tcsp kind:u8:1:18 total:u16:1:768 offset:u16:768 data:rest:1:200 > received:u16:768"
    b"\n14 check tcsp > kind:u8:1:18 total:u16:1:768 digest:b8 expires_s:u16"
    b"\n15 commit tcsp digest:b8 > digest:b8 again:u8:1 running_digest:b8 time_s:u32"
    b"\n16 discard rcs >"
    b"\n17 live rcs interval_s:u16:3600 > interval_s:u16:3600"
    b"\n18 implant rcs > record:rest:200"
    b"\n19 session_close rcsp >"
    b"\n40 live_frame r time_s:u32 mode:u8:7 rate_nl_day:u32:24000000 pulses:u32 reservoir_computed_nl:i32 reservoir_sensed_ul:u32 alarms:u32"
    b"\nfe refused_sealed r message:u8 reason:u8 field:u8 value:i32"
    b"\nff refused o message:u8 reason:u8 field:u8 value:i32\n")

R_UNKNOWN_MESSAGE, R_BAD_FIELD, R_NOT_STAGED, R_WRONG_DIGEST, R_BAD_LENGTH, R_LIMIT, R_STATE, R_NO_FILE, R_EXPIRED, \
    R_NOT_COMMISSIONED, R_BAD_BLOCK, R_STORE, R_SESSION, R_ROLE, R_LOCKED, R_MAGNET, \
    R_CAP, R_STEP, R_DRUG, R_BRIDGE, R_CATHETER, R_BUSY, R_LOCKOUT, R_COUNT, R_ALARM, R_NOT_ALLOWED, R_FRESH, R_RESERVE, R_DAY = range(1, 30)

REDUCE_FALLBACK, REDUCE_STOP = 1, 2

# ---------------------------------------------------------------------------------------------------- blocks: what STAGE carries and COMMIT executes
COMMISSION, PROGRAM, REFILL, STOP, RESUME, PRIME, SET_CLOCK, BOLUS, PATIENT_BOLUS, PAUSE, CATHETER, IMPLANT_RECORD, TRIAL_RECORD, \
    SILENCE, ACKNOWLEDGE, ALARM_TEST, VISIT, CALIBRATION = range(1, 19)
LAST_KIND = CALIBRATION

_BLOCKS = (     # kind name fields; the order id in front is drawn by the host: two equal orders are still two orders
    b"\n+order order_id:u32:1:1073741823"
    b"\n+drugs drug_1:b16 concentration_1_ng_ml:u32:100000000 drug_2:b16 concentration_2_ng_ml:u32:100000000"
    b" drug_3:b16 concentration_3_ng_ml:u32:100000000"
    b"\n1 commission serial:u32:1:1073741823 nl_per_rev:u16:5000:60000 steps_per_rev:u16:200:4096 counts_per_rev:u16:200:4096"
    b" step_hz:u16:200:2000 pulse_nl:u16:200:4000 level_nl_per_count:u16:100:60000 level_drift_ul:u8:1:50 capacity_ul:u32:1000:60000"
    b" residual_ul:u16:5000 tubing_nl:u32:1000000 dead_volume_nl:u32:2000000 minimum_rate_nl_day:u32:1000:48000 battery_empty_mv:u16:5000"
    b" battery_eri_mv:u16:5000 temperature_zero_counts:u16 temperature_counts_per_c:u16:1:65535 catheter_mm:u16:2000 contact:b32"
    b"\n2 program mode:u8:1:4 fallback_nl_day:u32:24000000 safe_state:u8:1 abrupt_stop:u8:1 editor:b16 setting:b16"
    b" library_crc:u32:4294967295 overrides:u16 override_why:u8 +drugs"
    b" cap_hour_1_ng:u32 cap_day_1_ng:u32 cap_hour_2_ng:u32 cap_day_2_ng:u32 cap_hour_3_ng:u32 cap_day_3_ng:u32"
    b" step_pct:u16:1000 step_interval_h:u16:2400 bolus_nl:u32:1000000 bolus_s:u16 lockout_min:u16:10080 interval_h:u8:24"
    b" per_interval:u8 per_day:u8:48 released:u8:1 bridge_nl:u32:2000000 bridge_rate_nl_day:u32:24000000"
    b" weekdays:b7 patterns:u8:1:7 steps:rest:7:553"
    b"\n3 refill withdrawn_ul:u32:60000 volume_ul:u32:60000 +drugs expires_s:u32 lot:b16 next_s:u32 rinse:u8:2"
    b"\n4 stop reason:u8"
    b"\n5 resume"
    b"\n6 prime what:u8:1:3 volume_nl:u32:1000:2000000 rate_nl_day:u32:48000:24000000"
    b"\n7 set_clock time_s:u32"
    b"\n8 bolus volume_nl:u32:200:5000000 seconds:u32:30:86400"
    b"\n9 patient_bolus"
    b"\n10 pause minutes:u16:1:1440"
    b"\n11 catheter state:u8:1"
    b"\n12 implant_record implanted_s:u32 patient:b8 indication:b16 tip_level:b8 access_port:u8:1 mri:b16"
    b"\n13 trial_record drug:b16 concentration_ng_ml:u32:1:100000000 indicated:u8:1 doses:rest:10:100"
    b"\n14 silence row:u8:29 hours:u8:1:24"
    b"\n15 acknowledge row:u8:29"
    b"\n16 alarm_test tone:u8:1:2"
    b"\n17 visit alarm_heard:u8:2 report:b8"
    b"\n18 calibration on:u8:1"
    # Records of files (events are those of the faults too). Each ends with the CRC-16 of what stands before it.
    b"\n+event seq:u32 time_s:u32 code:u8 cause:u8 a:i32 b:i32 crc:u16"
    b"\n+day day:u16 pulses:u32 demanded_nl:u32 missed_nl:u32 sensed_ul:u32 alarms:u32 crc:u16"
    b"\n+history time_s:u32 delivered_nl:u32 sensed_ul:u16 mode:u8 action:u8 rate_ul_day:u16 crc:u16\n")

SIMPLE, FLEX, PERIODIC, MINIMUM = 1, 2, 3, 4
SAFE_MINIMUM, SAFE_STOP = 0, 1
PRIME_TUBING, PRIME_CATHETER, PRIME_BOTH = 1, 2, 3
CATHETER_EMPTY, CATHETER_FILLED = 0, 1
DIGEST_BYTES = 8
DRUG_NAME_BYTES = 16
CONTACT_BYTES = 32
MAX_DRUGS = 3
MAX_STEPS_A_DAY = 13        # Medtronic UK spasticity page, clinical.md 1.1
MAX_BOLUSES_A_DAY = 12      # of a periodic program: each is two steps of its day
MAX_BLOCK = 768

# ---------------------------------------------------------------------------------------------------- files
FILE_EVENTS, FILE_DAYS, FILE_PROGRAM, FILE_STAGED, FILE_HISTORY, FILE_FAULTS, FILE_FILL, FILE_IMPLANT, FILE_TRIAL, FILE_PRESCRIPTIONS = range(10)
EVENT_BYTES = 20
DAY_BYTES = 24
HISTORY_BYTES = 16
PRESCRIPTION_BYTES = 1024   # one slot of the ring of past programs: time u32, length u16, canonical bytes, CRC-16

E_BOOT, E_REPAIRED, E_COMMISSION, E_PROGRAM, E_REFILL, E_STOP, E_RESUME, E_PRIME, E_PRIME_END, E_SET_CLOCK, E_GAP, \
    E_PULSE_LOST, E_ALARM, E_ALARM_END, E_CLOCK_JUMP, E_REFUSED, E_BOLUS_CUT, E_TARE, E_SESSION, E_LOCKED, E_PAIR, E_REDUCE, \
    E_BOLUS, E_BOLUS_END, E_DENIED, E_PAUSE, E_PAUSE_END, E_BRIDGE, E_BRIDGE_END, E_CATHETER, E_RECORD, E_SILENCE, E_ACKNOWLEDGE, \
    E_ALARM_TEST, E_VISIT, E_OVERRIDE, E_SELF_TEST, E_LEVEL_TEST, E_FIELD, E_CALIBRATION = range(1, 41)


def _line(text, key):
    """Where the words behind `key` begin and end in its line of `text`; (-1, -1) when no line begins with it."""
    start = text.find(b"\n%s " % key)
    return (-1, -1) if start < 0 else (start + len(key) + 2, text.find(b"\n", start + 1))


def _word(text, start, end):
    """Where the word at `start` ends."""
    stop = text.find(b" ", start, end)
    return end if stop < 0 else stop


def _rows(text, start, end, owner):
    """Give the field rows of text[start:end], one by one: no more than one is in memory."""
    while start < end:
        stop = _word(text, start, end)
        word = text[start:stop]
        start = stop + 1
        if word[:1] == b"+":
            first, last = _line(_BLOCKS, word)
            for row in _rows(_BLOCKS, first, last, owner):
                yield row
        elif word:
            yield _row(word.split(b":"), owner)


def _row(parts, owner):
    """The row of a field, given as the parts of its word."""
    name, kind = parts[0].decode(), parts[1]
    unit = unit_of(owner, name) if HOST else ""
    if kind[:1] == b"b":
        length = int(kind[1:])
        return name, BYTES, unit, length, length
    code = TAIL
    low, high = 0, MAX_SMALL
    if kind != b"rest":
        code = int(kind[1:]) // 8
        if code < 4:
            high = (1 << 8 * code) - 1
        elif kind[:1] == b"i":
            code = -code
            low = -high
    if len(parts) > 2:
        low, high = int(parts[2]) if len(parts) > 3 else 0, int(parts[-1])
    return name, code, unit, low, high


def head(message_id):
    """The row of a message id, or None; its fields may still be a place in the text: enough to know its class and who may ask, and cheap."""
    if message_id in _KEPT:
        return _KEPT[message_id]
    reply = REPLY_BIT <= message_id < REFUSED_SEALED
    start, end = _line(_MESSAGES, b"%02x" % (message_id ^ REPLY_BIT if reply else message_id))
    if start < 0:
        return None
    at = _word(_MESSAGES, start, end)
    name = _MESSAGES[start:at].decode()
    start, at = at + 1, _word(_MESSAGES, at + 1, end)
    who = _MESSAGES[start:at]
    arrow = _MESSAGES.find(b">", at, end)
    if arrow < 0:               # pushed, or a refusal: no request has it, and it has no reply
        return None if reply else (message_id, name, REPLY if message_id & REPLY_BIT else PUSH, _class_of(who), F_NONE, (at, end))
    if not reply:
        return message_id, name, REQUEST, _class_of(who), _flags_of(who), (at, arrow)
    at = _word(_MESSAGES, arrow, end)
    return message_id, name + "_reply", REPLY, _class_of(_MESSAGES[arrow + 1:at] or who), F_NONE, (at, end)


def _class_of(who):
    return CLASS_OPEN if who[:1] == b"o" else CLASS_ROUTINE if who[:1] == b"r" else CLASS_THERAPY


def _flags_of(who):
    return ((F_THERAPY if who[:1] == b"t" else F_NONE) | (F_CLINICIAN if b"c" in who else F_NONE) | (F_SERVICE if b"s" in who else F_NONE)
            | (F_PATIENT if b"p" in who else F_NONE) | (F_MAGNET if b"m" in who else F_NONE))


def message(message_id):
    """The row of a message id with its field rows, or None."""
    row = head(message_id)
    if row is None or message_id in _KEPT:
        return row
    return row[:5] + (tuple(fields_of(message_id)),)


def fields_of(message_id):
    """The field rows of a message that there is, to go through once: the long replies need no more memory than one row on a pump."""
    row = head(message_id)
    return row[5] if message_id in _KEPT else _rows(_MESSAGES, row[5][0], row[5][1], row[1])


def block(kind):
    """The field rows of a block kind (1..18), or None."""
    if -kind in _KEPT:
        return _KEPT[-kind][2]
    start, end = _line(_BLOCKS, b"%d" % kind)
    if start < 0:
        return None
    at = _word(_BLOCKS, start, end)
    return record("order") + tuple(_rows(_BLOCKS, at, end, _BLOCKS[start:at].decode()))


def record(name):
    """The field rows of a file's record: "event", "day" or "history"."""
    start, end = _line(_BLOCKS, b"+" + name.encode())
    return tuple(_rows(_BLOCKS, start, end, name))


def schema_crc():
    """CRC-32 over "thecal/version|" and the text of all messages, blocks and records: the seed of all frames but the open ones."""
    return crc32(_BLOCKS, crc32(_MESSAGES, crc32(b"thecal/%d|" % PROTOCOL_VERSION)))


HOST = sys.implementation.name == "cpython"
_KEPT: dict = {}          # rows made already: message id -> row, -kind -> (kind, name, fields). A pump keeps none
if HOST:
    from .texts import EVENTS, EXTRAS, MISSED_CAUSES, MODES, REASONS, unit_of

    MESSAGES = tuple(row for number in range(REPLY_BIT) for row in (message(number), message(number | REPLY_BIT)) if row)
    BLOCKS = tuple((kind, _BLOCKS[_line(_BLOCKS, b"%d" % kind)[0]:].split(None, 1)[0].decode(), block(kind)) for kind in range(1, LAST_KIND + 1))
    EVENT_FIELDS, DAY_FIELDS, HISTORY_FIELDS = record("event"), record("day"), record("history")
    _KEPT = {row[0]: row for row in MESSAGES} | {-row[0]: row for row in BLOCKS}
