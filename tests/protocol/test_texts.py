"""The words: as many as there are numbers, in their order, and a unit or a note for every field that needs one."""

import pytest
from thecal.protocol import catalogue as cat
from thecal.protocol import texts
from thecal.protocol.fields import NAME, UNIT

OWNED = [(row[1], row[5]) for row in cat.MESSAGES] + [(name, rows) for _, name, rows in cat.BLOCKS] + [
    ("event", cat.EVENT_FIELDS), ("day", cat.DAY_FIELDS), ("history", cat.HISTORY_FIELDS)]


@pytest.mark.parametrize(("table", "prefix"), [(texts.REASONS, "R_"), (texts.EVENTS, "E_")])
def test_the_words_stand_in_the_order_of_the_names(table, prefix):
    names = {getattr(cat, name): name for name in vars(cat) if name.startswith(prefix)}
    assert [row[0] for row in table] == sorted(names) == list(range(1, len(names) + 1))
    assert len({row[1] for row in table}) == len(table)


def test_some_words_read_by_eye():
    reasons = dict(texts.REASONS)
    assert (reasons[cat.R_UNKNOWN_MESSAGE], reasons[cat.R_MAGNET], reasons[cat.R_CAP], reasons[cat.R_RESERVE]) == (
        "unknown message", "needs the magnet at the pump", "above a hard cap of a drug in 1 h or 24 h",
        "the reservoir does not hold it, or its last 48 h are kept for the basal rate")
    events = {code: name for code, name, _ in texts.EVENTS}
    assert (events[cat.E_BOOT], events[cat.E_TARE], events[cat.E_REDUCE], events[cat.E_BOLUS], events[cat.E_FIELD]) == (
        "boot", "level compared", "emergency reduction", "bolus started", "strong field")
    assert texts.MODES[2] == "running" and texts.EXTRAS[4] == "patient bolus" and texts.MISSED_CAUSES[0] == "stop"


def test_every_note_is_about_a_field_that_there_is():
    names = {field[NAME] for _, rows in OWNED for field in rows} | {f"{owner}.{field[NAME]}" for owner, rows in OWNED for field in rows}
    assert set(texts.NOTES) <= names


def test_a_unit_comes_from_the_note_of_the_owner_then_of_the_field_then_from_the_name():
    assert texts.unit_of("refill", "expires_s").startswith("s, pump time") and texts.unit_of("check_reply", "expires_s") == "s"
    assert texts.unit_of("file_info_reply", "first") == "byte" and texts.unit_of("alarms_reply", "first") == ""
    assert texts.unit_of("program", "fallback_nl_day") == "nL/day" and texts.unit_of("program", "concentration_2_ng_ml") == "ng/mL"
    assert texts.unit_of("commission", "nl_per_rev") == "nL/rev" and texts.unit_of("program", "mode") == ""


def test_every_quantity_has_its_unit():
    for owner, rows in OWNED:
        for field in rows:
            last = field[NAME].split("_")[-1]
            if last in ("nl", "ul", "ng", "ml", "mv", "mm", "s", "h", "min", "day", "days", "hz", "pct", "rev", "revs", "dc"):
                assert field[UNIT], (owner, field[NAME])
