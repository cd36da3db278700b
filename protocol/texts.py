"""What the catalogue's numbers and fields mean in words: for people, hosts and simulators. A pump never loads this module.

Reasons and events stand in the order of the catalogue's R_ and E_ names, numbered from 1 (a test compares). The unit of a field
stands last in its name; NOTES says what a name cannot.
"""

MODES = ("shelf", "idle", "running", "stopped", "priming", "bridging", "bolus", "paused")      # wire value = index; see firmware/modes.py
MISSED_CAUSES = ("stop", "reset", "stall", "fault", "clock", "late")    # wire order of the missed pairs
EXTRAS = ("none", "prime", "bridge", "bolus", "patient bolus")     # what runs on top of the program, or in its place

REASONS = tuple(enumerate((
    "unknown message",
    "field out of range",
    "nothing staged",
    "digest is not that of the staged block",
    "wrong length",
    "outside the pump's limits",
    "not in this mode",
    "no such file or offset",
    "the stage has expired",
    "the pump is not commissioned",
    "the block contradicts itself",
    "the store could not be written",
    "needs a session",
    "this role may not",
    "locked after wrong keys",
    "needs the magnet at the pump",
    "above a hard cap of a drug in 1 h or 24 h",
    "a larger or earlier rise than the program's step limit",
    "not the drugs that the pump was filled with",
    "a bridge is under way and is not restated, or there is nothing to bridge",
    "the catheter is on record as drug-filled",
    "a bolus, prime or bridge is running",
    "the lockout since the last bolus is not over",
    "the number of boluses in this interval is used up",
    "an alarm forbids a bolus",
    "the program grants no patient bolus",
    "the first 24 h after a fill or a dose change",
    "the reservoir's last 48 h are kept for the basal rate",
), 1))

_EVENTS = (      # event; what cause, a and b are
    ("boot", "cause: reset cause; a: boot count; b: pulses"),
    ("store repaired", "cause: record; a: address"),
    ("commissioned", "a: serial; b: nl_per_rev"),
    ("program committed", "cause: mode; a: daily nL; b: first rate nL/day"),
    ("refill", "a: volume uL; b: withdrawn uL"),
    ("stopped", "cause: reason"),
    ("resumed", ""),
    ("prime started", "a: volume nL; b: rate nL/day"),
    ("prime ended", "a: volume left nL"),
    ("clock set", "a: new time s; b: old time s"),
    ("delivery gap", "cause: see MISSED_CAUSES; a: seconds; b: missed nL"),
    ("pulse lost", "at most twelve a day; a: pulses lost since this was told last; b: counts seen of the last of them"),
    ("alarm", "cause: row of alarms.md; a, b: what was seen"),
    ("alarm ended", "cause: row; of row 7, a: pulses lost since `pulse lost` was told last"),
    ("clock jumped", "a: seconds"),
    ("order refused", "cause: reason; a: block kind"),
    ("bolus cut short", "a: volume left nL"),
    ("level compared", "a: sensed minus computed uL; b: offset from now on uL"),
    ("orders from", "cause: role; once a session, before its first order"),
    ("locked after wrong keys", "a: forgeries; b: seconds"),
    ("paired", "cause: role"),
    ("emergency reduction", "cause: 1 fallback, 2 stop, 0 ended; a: until s"),
    ("bolus started", "cause: 3 clinician, 4 patient; a: volume nL; b: seconds"),
    ("bolus ended", "cause: 3 clinician, 4 patient; a: delivered nL"),
    ("patient bolus refused", "cause: reason; a: refused in 24 h"),
    ("paused", "a: until s"),
    ("pause ended", "cause: 0 by order, 1 over its limit"),
    ("bridge started", "a: volume nL; b: rate nL/day"),
    ("bridge ended", "the new concentration is at the tip"),
    ("catheter recorded", "cause: 0 empty, 1 drug-filled"),
    ("record written", "cause: block kind"),
    ("alarm silenced", "cause: row; a: hours"),
    ("alarm acknowledged", "cause: row, 0: all; a: bits cleared"),
    ("alarm test", "cause: tone"),
    ("visit signed", "cause: alarm heard 0 no, 1 yes, 2 not tested; a, b: the report's digest, 30 bits each"),
    ("soft limits overridden", "cause: why; a: bits"),
    ("self-test", "cause: 0 passed, else which failed; a, b: what was seen"),
    ("level test", "cause: 1 over, 2 under, 3 sensor, 4 free flow, 5 dead encoder; a: sum uL; b: hours"),
    ("strong field", "cause: 1 entered, 0 left"),
    ("calibration", "cause: 0 off, 1 on, 2 learned at a refill, 3 back to the factory's; a: trim, b: trim before, in thousandths"),
)
EVENTS = tuple((code, name, said) for code, (name, said) in enumerate(_EVENTS, 1))

_ASCII = "ascii, zero-padded"
NOTES = {       # of a field, or of OWNER.FIELD where a name means several things
    "max_payload": "byte",
    "paired": "bit of each role",
    "firmware_version": "major*256+minor",
    "runtime": "utf-8",
    "active": "bits",
    "latched": "bits",
    "file_info_reply.first": "byte",
    "drug_1": _ASCII,
    "drug_2": _ASCII,
    "drug_3": _ASCII,
    "alarms": "bits",
    "history.action": "delivery action of alarms.md",
    "ordered_revs": "rev",
    "ordered_steps": "step",
    "nl_per_rev": "nL/rev",
    "steps_per_rev": "step/rev",
    "boluses_granted": "in 24 h",
    "boluses_refused": "in 24 h",
    "catheter": "0 empty, 1 drug-filled",
    "temperature_dc": "0.1 C",
    "end": "byte",
    "offset": "byte",
    "length": "byte",
    "total": "byte",
    "received": "byte",
    "refill.expires_s": "s, pump time at which the drug is past its life; 0: not limited",
    "counts_per_rev": "count/rev",
    "level_nl_per_count": "nL",
    "temperature_zero_counts": "count at 0 C",
    "temperature_counts_per_c": "count/C",
    "abrupt_stop": "1: an abrupt stop is dangerous",
    "editor": _ASCII,
    "setting": _ASCII,
    "library_crc": "CRC-32 of the library entries",
    "overrides": "bit of each soft limit overridden",
    "cap_hour_1_ng": "ng in 1 h",
    "cap_day_1_ng": "ng in 24 h",
    "cap_hour_2_ng": "ng in 1 h",
    "cap_day_2_ng": "ng in 24 h",
    "cap_hour_3_ng": "ng in 1 h",
    "cap_day_3_ng": "ng in 24 h",
    "step_pct": "% a rise, 0: no limit",
    "step_interval_h": "h between rises, 0: no limit",
    "bolus_nl": "nL of a patient bolus, 0: none",
    "lockout_min": "min from the end of the last",
    "interval_h": "h, 0: no interval",
    "per_interval": "boluses",
    "per_day": "boluses in 24 h",
    "released": "1: also in the first 24 h",
    "bridge_nl": "nL of the old drug, 0: no bridge",
    "weekdays": "pattern of Monday..Sunday",
    "steps": "per pattern: count u8, then count x (from_minute u16, rate_nl_day u32)",
    "lot": _ASCII,
    "what": "1 tubing, 2 catheter, 3 both",
    "seconds": "s",
    "minutes": "min",
    "state": "0 empty: revised or aspirated, 1 drug-filled",
    "patient": "ascii initials, zero-padded",
    "indication": _ASCII,
    "tip_level": _ASCII,
    "access_port": "1: there is one",
    "mri": _ASCII,
    "drug": _ASCII,
    "indicated": "1: the trial succeeded",
    "doses": "each: kind u8 (1 bolus, 2 infusion), dose_ng u32, hours u8, response u8, effect_h u8, adverse u8, score u8",
    "row": "of alarms.md, 0: all",
    "hours": "h",
    "tone": "1 notice, 2 critical",
    "alarm_heard": "0 no, 1 yes, 2 not tested",
    "report": "digest of the signed report",
    "on": "1: the calibration may learn at refills, 0: it is the factory's",
    "calibration": "1: it may learn at refills",
    "trim": "thousandths that a revolution is taken for above nl_per_rev",
    "day": "d since epoch",
    "delivered_nl": "nL since the record before",
}
_UNITS = (
    ("_nl_day", "nL/day"), ("_ul_day", "uL/day"), ("_ng_ml", "ng/mL"), ("_nl", "nL"), ("_ul", "uL"), ("_ng", "ng"), ("_mv", "mV"), ("_mm", "mm"),
    ("_s", "s"), ("_h", "h"), ("_min", "min"), ("_pct", "%"), ("_hz", "1/s"), ("_days", "d"))


def unit_of(owner, name):
    """Unit or note of the field `name` of the message, block or record `owner`; "" when there is nothing to say."""
    for key in (owner + "." + name, name):
        if key in NOTES:
            return NOTES[key]
    return unit_in(name)


def unit_in(name):
    """The unit that a name ends in, or ""."""
    return next((unit for ending, unit in _UNITS if name.endswith(ending)), "")
