"""The one table of messages and therapy blocks: codec, CLI help, PROTOCOL.md tables, fuzzer and page derive from it.

A message row is (id, name, direction, class, flags, fields). A reply carries its request's id with the top bit set. Ids
0x60..0x6F are kept for others' extensions. A block row is (kind, name, fields): what STAGE carries and COMMIT executes.
The CRC-32 of the whole table seeds every frame but the open ones, and travels in the hello: two builds that disagree about
a dose field refuse each other by name instead of misreading it.
"""

from .crc import crc32
from .fields import BYTES, I32, MAX_SMALL, TAIL, U8, U16, U32
from .frame import CLASS_OPEN, CLASS_ROUTINE, CLASS_THERAPY
from .session import KEY_BYTES, NONCE_BYTES, PROOF_BYTES

PROTOCOL_VERSION = 2

REQUEST, REPLY, PUSH = 0, 1, 2

F_NONE = 0
F_THERAPY = 1       # may change what is delivered: stage -> check -> commit only
F_CLINICIAN, F_SERVICE, F_PATIENT = 0x10, 0x20, 0x40    # the roles that may send it in a session
F_STAFF = F_CLINICIAN | F_SERVICE
F_ALL = F_STAFF | F_PATIENT
F_MAGNET = 0x02     # only with the magnet at the pump

REPLY_BIT = 0x80
EXTENSION_FIRST, EXTENSION_LAST = 0x60, 0x6F

HELLO, IDENTITY, ALARMS, SESSION_OPEN, SESSION_CONFIRM, PAIR, CARD, REDUCE = range(0x01, 0x09)
STATUS, FILE_INFO, FILE_READ, STAGE, CHECK, COMMIT, DISCARD, LIVE, IMPLANT, SESSION_CLOSE = range(0x10, 0x1A)
LIVE_FRAME = 0x40
REFUSED_SEALED, REFUSED = 0xFE, 0xFF     # inside a session, and outside: only the first can be believed

FILE_EVENTS, FILE_DAYS, FILE_PROGRAM, FILE_STAGED = 0, 1, 2, 3
DIGEST_BYTES = 8
REDUCE_FALLBACK, REDUCE_STOP = 1, 2
DRUG_NAME_BYTES = 16
CONTACT_BYTES = 32
MAX_DRUGS = 3
MAX_STEPS_A_DAY = 13        # Medtronic UK spasticity page, clinical.md 1.1
MAX_BLOCK = 700
EVENT_BYTES = 20
DAY_BYTES = 24

_U30 = MAX_SMALL

# ---------------------------------------------------------------------------------------------------- refusals
R_UNKNOWN_MESSAGE, R_BAD_FIELD, R_NOT_STAGED, R_WRONG_DIGEST, R_BAD_LENGTH, R_LIMIT, R_STATE, R_NO_FILE, R_EXPIRED, \
    R_NOT_COMMISSIONED, R_BAD_BLOCK, R_STORE, R_SESSION, R_ROLE, R_LOCKED, R_MAGNET = range(1, 17)
REASONS = (
    (R_UNKNOWN_MESSAGE, "unknown message"),
    (R_BAD_FIELD, "field out of range"),
    (R_NOT_STAGED, "nothing staged"),
    (R_WRONG_DIGEST, "digest is not that of the staged block"),
    (R_BAD_LENGTH, "wrong length"),
    (R_LIMIT, "outside the pump's limits"),
    (R_STATE, "not in this mode"),
    (R_NO_FILE, "no such file or offset"),
    (R_EXPIRED, "the stage has expired"),
    (R_NOT_COMMISSIONED, "the pump is not commissioned"),
    (R_BAD_BLOCK, "the block contradicts itself"),
    (R_STORE, "the store could not be written"),
    (R_SESSION, "needs a session"),
    (R_ROLE, "this role may not"),
    (R_LOCKED, "locked after wrong keys"),
    (R_MAGNET, "needs the magnet at the pump"),
)

# ---------------------------------------------------------------------------------------------------- modes
MODES = ("shelf", "idle", "running", "stopped", "priming")      # wire value = index; see firmware/modes.py
MISSED_CAUSES = ("stop", "reset", "stall", "fault", "clock", "late")    # wire order of the missed pairs

# ---------------------------------------------------------------------------------------------------- messages
_STATUS_FIELDS = (
    ("time_s", U32, "s", 0, _U30),
    ("mode", U8, "", 0, len(MODES) - 1),
    ("program_mode", U8, "", 0, 2),
    ("rate_nl_day", U32, "nL/day", 0, 24000000),
    ("daily_nl", U32, "nL", 0, 24000000),
    ("running_digest", BYTES, "", DIGEST_BYTES, DIGEST_BYTES),
    ("pulses", U32, "", 0, _U30),
    ("pulse_nl", U16, "nL", 0, 65535),
    ("demanded_ul", U32, "uL", 0, _U30),
    ("demanded_nl", U16, "nL", 0, 999),
    ("ordered_revs", U32, "rev", 0, _U30),
    ("ordered_steps", U16, "step", 0, 65535),
    ("nl_per_rev", U16, "nL/rev", 0, 65535),
    ("steps_per_rev", U16, "step/rev", 0, 65535),
) + tuple(
    field for cause in MISSED_CAUSES for field in (
        ("missed_%s_ul" % cause, U32, "uL", 0, _U30), ("missed_%s_nl" % cause, U16, "nL", 0, 999))
) + (
    ("reservoir_computed_nl", I32, "nL", -_U30, _U30),
    ("reservoir_sensed_ul", U32, "uL", 0, _U30),
    ("low_reservoir_days", U16, "d", 0, 65535),
    ("prime_left_nl", U32, "nL", 0, 1000000),
    ("battery_mv", U16, "mV", 0, 65535),
    ("alarms", U32, "bits", 0, _U30),
    ("latched", U32, "bits", 0, _U30),
    ("first_alarm", U8, "", 0, 28),
    ("boot_count", U32, "", 0, _U30),
    ("reset_cause", U8, "", 0, 255),
    ("next_event", U32, "", 0, _U30),
    ("uptime_s", U32, "s", 0, _U30),
    ("frames_bad", U32, "", 0, _U30),
    ("forgeries", U32, "", 0, _U30),
    ("locked_s", U16, "s", 0, 65535),
    ("wasted_mj", U32, "mJ", 0, _U30),
)

_FILE = ("file", U8, "", 0, 3)
_REFUSAL = (("message", U8, "", 0, 255), ("reason", U8, "", 0, 255), ("field", U8, "", 0, 255), ("value", I32, "", -_U30, _U30))

_CONTACT = ("contact", BYTES, "ascii, zero-padded", CONTACT_BYTES, CONTACT_BYTES)
_DRUGS = tuple(field for n in ("1", "2", "3") for field in (
    ("drug_%s" % n, BYTES, "ascii, zero-padded", DRUG_NAME_BYTES, DRUG_NAME_BYTES),
    ("concentration_%s_ng_ml" % n, U32, "ng/mL", 0, 100000000)))

MESSAGES = (
    (HELLO, "hello", REQUEST, CLASS_OPEN, F_NONE, (("version", U8, "", 0, 255), ("schema_crc", U32, "", 0, 0xFFFFFFFF))),
    (HELLO | REPLY_BIT, "hello_reply", REPLY, CLASS_OPEN, F_NONE, (
        ("version", U8, "", 0, 255), ("schema_crc", U32, "", 0, 0xFFFFFFFF), ("serial", U32, "", 0, _U30),
        ("boot_count", U32, "", 0, _U30), ("max_payload", U8, "byte", 0, 220), ("paired", U8, "bit of each role", 0, 7))),
    (IDENTITY, "identity", REQUEST, CLASS_OPEN, F_NONE, ()),
    (IDENTITY | REPLY_BIT, "identity_reply", REPLY, CLASS_OPEN, F_NONE, (
        ("serial", U32, "", 0, _U30), ("firmware_version", U16, "major*256+minor", 0, 65535),
        ("runtime", TAIL, "utf-8", 0, 40))),
    (ALARMS, "alarms", REQUEST, CLASS_OPEN, F_NONE, ()),
    (ALARMS | REPLY_BIT, "alarms_reply", REPLY, CLASS_OPEN, F_NONE, (
        ("active", U32, "bits", 0, _U30), ("latched", U32, "bits", 0, _U30), ("first", U8, "", 0, 28))),
    (SESSION_OPEN, "session_open", REQUEST, CLASS_OPEN, F_NONE, (
        ("role", U8, "", 1, 3), ("host_nonce", BYTES, "", NONCE_BYTES, NONCE_BYTES))),
    (SESSION_OPEN | REPLY_BIT, "session_open_reply", REPLY, CLASS_OPEN, F_NONE, (
        ("device_nonce", BYTES, "", NONCE_BYTES, NONCE_BYTES), ("boot_count", U32, "", 0, _U30), ("serial", U32, "", 0, _U30),
        ("proof", BYTES, "", PROOF_BYTES, PROOF_BYTES))),
    (SESSION_CONFIRM, "session_confirm", REQUEST, CLASS_OPEN, F_NONE, (("proof", BYTES, "", PROOF_BYTES, PROOF_BYTES),)),
    (SESSION_CONFIRM | REPLY_BIT, "session_confirm_reply", REPLY, CLASS_ROUTINE, F_NONE, (
        ("role", U8, "", 1, 3), ("idle_s", U16, "s", 0, 65535))),
    (SESSION_CLOSE, "session_close", REQUEST, CLASS_ROUTINE, F_ALL, ()),
    (SESSION_CLOSE | REPLY_BIT, "session_close_reply", REPLY, CLASS_ROUTINE, F_NONE, ()),
    (PAIR, "pair", REQUEST, CLASS_OPEN, F_MAGNET, (("role", U8, "", 1, 3), ("key", BYTES, "", KEY_BYTES, KEY_BYTES))),
    (PAIR | REPLY_BIT, "pair_reply", REPLY, CLASS_OPEN, F_NONE, (("role", U8, "", 1, 3), ("paired", U8, "bit of each role", 0, 7))),
    (CARD, "card", REQUEST, CLASS_OPEN, F_MAGNET, ()),
    (CARD | REPLY_BIT, "card_reply", REPLY, CLASS_OPEN, F_NONE, _DRUGS + (
        ("daily_nl", U32, "nL", 0, 24000000), ("rate_nl_day", U32, "nL/day", 0, 24000000), ("mode", U8, "", 0, len(MODES) - 1),
        ("reservoir_computed_nl", I32, "nL", -_U30, _U30), ("filled_s", U32, "s", 0, _U30), ("low_reservoir_days", U16, "d", 0, 65535),
        ("time_s", U32, "s", 0, _U30), ("alarms", U32, "bits", 0, _U30), _CONTACT)),
    (REDUCE, "reduce", REQUEST, CLASS_OPEN, F_MAGNET, (("action", U8, "", REDUCE_FALLBACK, REDUCE_STOP),)),
    (REDUCE | REPLY_BIT, "reduce_reply", REPLY, CLASS_OPEN, F_NONE, (
        ("action", U8, "", REDUCE_FALLBACK, REDUCE_STOP), ("rate_nl_day", U32, "nL/day", 0, 24000000), ("until_s", U32, "s", 0, _U30))),
    (STATUS, "status", REQUEST, CLASS_ROUTINE, F_ALL, ()),
    (STATUS | REPLY_BIT, "status_reply", REPLY, CLASS_ROUTINE, F_NONE, _STATUS_FIELDS),
    (FILE_INFO, "file_info", REQUEST, CLASS_ROUTINE, F_STAFF, (_FILE,)),
    (FILE_INFO | REPLY_BIT, "file_info_reply", REPLY, CLASS_ROUTINE, F_NONE, (
        _FILE, ("first", U32, "byte", 0, _U30), ("end", U32, "byte", 0, _U30))),
    (FILE_READ, "file_read", REQUEST, CLASS_ROUTINE, F_STAFF, (
        _FILE, ("offset", U32, "byte", 0, _U30), ("length", U8, "byte", 1, 200))),
    (FILE_READ | REPLY_BIT, "file_read_reply", REPLY, CLASS_ROUTINE, F_NONE, (
        _FILE, ("offset", U32, "byte", 0, _U30), ("data", TAIL, "", 0, 200))),
    (STAGE, "stage", REQUEST, CLASS_THERAPY, F_THERAPY | F_STAFF, (
        ("kind", U8, "", 1, 7), ("total", U16, "byte", 1, MAX_BLOCK), ("offset", U16, "byte", 0, MAX_BLOCK),
        ("data", TAIL, "", 1, 200))),
    (STAGE | REPLY_BIT, "stage_reply", REPLY, CLASS_THERAPY, F_NONE, (("received", U16, "byte", 0, MAX_BLOCK),)),
    (CHECK, "check", REQUEST, CLASS_THERAPY, F_THERAPY | F_STAFF, ()),
    (CHECK | REPLY_BIT, "check_reply", REPLY, CLASS_THERAPY, F_NONE, (
        ("kind", U8, "", 1, 7), ("total", U16, "byte", 1, MAX_BLOCK), ("digest", BYTES, "", DIGEST_BYTES, DIGEST_BYTES),
        ("expires_s", U16, "s", 0, 65535))),
    (COMMIT, "commit", REQUEST, CLASS_THERAPY, F_THERAPY | F_STAFF, (("digest", BYTES, "", DIGEST_BYTES, DIGEST_BYTES),)),
    (COMMIT | REPLY_BIT, "commit_reply", REPLY, CLASS_THERAPY, F_NONE, (
        ("digest", BYTES, "", DIGEST_BYTES, DIGEST_BYTES), ("again", U8, "", 0, 1),
        ("running_digest", BYTES, "", DIGEST_BYTES, DIGEST_BYTES), ("time_s", U32, "s", 0, _U30))),
    (DISCARD, "discard", REQUEST, CLASS_ROUTINE, F_STAFF, ()),
    (DISCARD | REPLY_BIT, "discard_reply", REPLY, CLASS_ROUTINE, F_NONE, ()),
    (LIVE, "live", REQUEST, CLASS_ROUTINE, F_STAFF, (("interval_s", U16, "s", 0, 3600),)),
    (LIVE | REPLY_BIT, "live_reply", REPLY, CLASS_ROUTINE, F_NONE, (("interval_s", U16, "s", 0, 3600),)),
    (IMPLANT, "implant", REQUEST, CLASS_ROUTINE, F_STAFF, ()),
    (IMPLANT | REPLY_BIT, "implant_reply", REPLY, CLASS_ROUTINE, F_NONE, (("record", TAIL, "", 0, 200),)),
    (LIVE_FRAME, "live_frame", PUSH, CLASS_ROUTINE, F_NONE, (
        ("time_s", U32, "s", 0, _U30), ("mode", U8, "", 0, len(MODES) - 1), ("rate_nl_day", U32, "nL/day", 0, 24000000),
        ("pulses", U32, "", 0, _U30), ("reservoir_computed_nl", I32, "nL", -_U30, _U30),
        ("reservoir_sensed_ul", U32, "uL", 0, _U30), ("alarms", U32, "bits", 0, _U30))),
    (REFUSED, "refused", REPLY, CLASS_OPEN, F_NONE, _REFUSAL),
    (REFUSED_SEALED, "refused_sealed", REPLY, CLASS_ROUTINE, F_NONE, _REFUSAL),
)

# ---------------------------------------------------------------------------------------------------- blocks
COMMISSION, PROGRAM, REFILL, STOP, RESUME, PRIME, SET_CLOCK = 1, 2, 3, 4, 5, 6, 7

SIMPLE, FLEX = 1, 2
SAFE_MINIMUM, SAFE_STOP = 0, 1

_ORDER = ("order_id", U32, "", 1, _U30)     # drawn by the host: two equal orders are still two orders

BLOCKS = (
    (COMMISSION, "commission", (
        _ORDER,
        ("serial", U32, "", 1, _U30),
        ("nl_per_rev", U16, "nL/rev", 5000, 60000),
        ("steps_per_rev", U16, "step/rev", 200, 4096),
        ("counts_per_rev", U16, "count/rev", 200, 4096),
        ("step_hz", U16, "1/s", 200, 2000),
        ("pulse_nl", U16, "nL", 200, 4000),
        ("level_nl_per_count", U16, "nL", 100, 60000),
        ("capacity_ul", U32, "uL", 1000, 60000),
        ("residual_ul", U16, "uL", 0, 5000),
        ("dead_volume_nl", U32, "nL", 0, 2000000),
        ("minimum_rate_nl_day", U32, "nL/day", 1000, 48000),
        ("battery_empty_mv", U16, "mV", 0, 5000),
        ("catheter_mm", U16, "mm", 0, 2000),
        _CONTACT)),
    (PROGRAM, "program", (
        _ORDER,
        ("mode", U8, "", SIMPLE, FLEX),
        ("fallback_nl_day", U32, "nL/day", 0, 24000000),
        ("safe_state", U8, "", SAFE_MINIMUM, SAFE_STOP),
        ("editor", BYTES, "ascii, zero-padded", DRUG_NAME_BYTES, DRUG_NAME_BYTES)) + _DRUGS + (
        ("weekdays", BYTES, "pattern of Monday..Sunday", 7, 7),
        ("patterns", U8, "", 1, 7),
        ("steps", TAIL, "per pattern: count u8, then count x (from_minute u16, rate_nl_day u32)", 7, 553))),
    (REFILL, "refill", (
        _ORDER,
        ("withdrawn_ul", U32, "uL", 0, 60000),
        ("volume_ul", U32, "uL", 0, 60000)) + _DRUGS),
    (STOP, "stop", (_ORDER, ("reason", U8, "", 0, 255))),
    (RESUME, "resume", (_ORDER,)),
    (PRIME, "prime", (
        _ORDER, ("volume_nl", U32, "nL", 1000, 1000000), ("rate_nl_day", U32, "nL/day", 48000, 24000000))),
    (SET_CLOCK, "set_clock", (_ORDER, ("time_s", U32, "s", 0, _U30))),
)

# ---------------------------------------------------------------------------------------------------- records of files
EVENT_FIELDS = (
    ("seq", U32, "", 0, _U30), ("time_s", U32, "s", 0, _U30), ("code", U8, "", 0, 255), ("cause", U8, "", 0, 255),
    ("a", I32, "", -_U30, _U30), ("b", I32, "", -_U30, _U30), ("crc", U16, "", 0, 65535))

E_BOOT, E_REPAIRED, E_COMMISSION, E_PROGRAM, E_REFILL, E_STOP, E_RESUME, E_PRIME, E_PRIME_END, E_SET_CLOCK, E_GAP, \
    E_PULSE_LOST, E_ALARM, E_ALARM_END, E_CLOCK_JUMP, E_REFUSED, E_BOLUS_CUT, E_TARE, E_SESSION, E_LOCKED, E_PAIR, E_REDUCE = range(1, 23)
EVENTS = (
    (E_BOOT, "boot", "cause: reset cause; a: boot count; b: pulses"),
    (E_REPAIRED, "store repaired", "cause: record; a: address"),
    (E_COMMISSION, "commissioned", "a: serial; b: nl_per_rev"),
    (E_PROGRAM, "program committed", "cause: mode; a: daily nL; b: first rate nL/day"),
    (E_REFILL, "refill", "a: volume uL; b: withdrawn uL"),
    (E_STOP, "stopped", "cause: reason"),
    (E_RESUME, "resumed", ""),
    (E_PRIME, "prime started", "a: volume nL; b: rate nL/day"),
    (E_PRIME_END, "prime ended", "a: volume left nL"),
    (E_SET_CLOCK, "clock set", "a: new time s; b: old time s"),
    (E_GAP, "delivery gap", "cause: see MISSED_CAUSES; a: seconds; b: missed nL"),
    (E_PULSE_LOST, "pulse lost", "a: counts seen; b: counts expected"),
    (E_ALARM, "alarm", "cause: row of alarms.md; a, b: what was seen"),
    (E_ALARM_END, "alarm ended", "cause: row"),
    (E_CLOCK_JUMP, "clock jumped", "a: seconds"),
    (E_REFUSED, "order refused", "cause: reason; a: block kind"),
    (E_BOLUS_CUT, "bolus cut short", "a: volume left nL"),
    (E_SESSION, "orders from", "cause: role; once a session, before its first order"),
    (E_LOCKED, "locked after wrong keys", "a: forgeries; b: seconds"),
    (E_PAIR, "paired", "cause: role"),
    (E_REDUCE, "emergency reduction", "cause: 1 fallback, 2 stop, 0 ended; a: until s"),
    (E_TARE, "level compared", "a: sensed minus computed uL; b: offset from now on uL"),
)

DAY_FIELDS = (
    ("day", U16, "d since epoch", 0, 65535), ("pulses", U32, "", 0, _U30), ("demanded_nl", U32, "nL", 0, _U30),
    ("missed_nl", U32, "nL", 0, _U30), ("sensed_ul", U32, "uL", 0, _U30), ("alarms", U32, "bits", 0, _U30),
    ("crc", U16, "", 0, 65535))


def message(message_id):
    """The row of a message id, or None."""
    for row in MESSAGES:
        if row[0] == message_id:
            return row
    return None


def block(kind):
    """The field rows of a block kind, or None."""
    for row in BLOCKS:
        if row[0] == kind:
            return row[2]
    return None


def _crc_of(item, crc):
    if isinstance(item, tuple):
        for part in item:
            crc = _crc_of(part, crc)
        return crc
    return crc32((item if isinstance(item, str) else str(item)).encode() + b"|", crc)


def schema_crc():
    """CRC-32 over every message, block and record row, in order: the seed of all frames but the open ones.

    Each leaf (integer in decimal, string as it stands) is followed by "|"; nesting is flattened. Computed at boot, once.
    """
    crc = crc32(b"thecal/%d|" % PROTOCOL_VERSION)
    return _crc_of((MESSAGES, BLOCKS, EVENT_FIELDS, DAY_FIELDS), crc)
