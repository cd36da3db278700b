"""Units: exact both ways, and nothing is ever guessed."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thecal.host import units
from thecal.host.errors import RequestInvalid

KINDS = st.sampled_from(units.ALL_KINDS)
NUMBERS = st.decimals(min_value=0, max_value=10**9, places=6, allow_nan=False, allow_infinity=False)


@pytest.mark.req("TH-PROG-08")
@pytest.mark.parametrize("text, parser, value", [
    ("500 ug/mL", units.concentration_ng_ml, 500_000),
    ("1 mg/mL", units.concentration_ng_ml, 10**6),
    ("2 ng/uL", units.concentration_ng_ml, 2000),
    ("150 ug/day", units.dose_rate_ng_day, 150_000),
    ("25 ug/h", units.dose_rate_ng_day, 600_000),
    ("0.1 mg/day", units.dose_rate_ng_day, 100_000),
    ("50 ug", units.dose_ng, 50_000),
    ("50 mcg", units.dose_ng, 50_000),
    ("50 µg", units.dose_ng, 50_000),
    ("50μg", units.dose_ng, 50_000),
    ("0.375 mL", units.volume_nl, 375_000),
    ("0.375 ml", units.volume_nl, 375_000),
    ("0.3 mL/day", units.flow_nl_day, 300_000),
    ("1 mL/h", units.flow_nl_day, 24_000_000),
    ("80 cm", units.length_mm, 800),
    ("30 %", units.percent, 30),
    ("3 d", units.duration_s, 259_200),
    ("3 d 01:00", units.duration_s, 262_800),
    ("0 d 00:05", units.duration_s, 300),
    ("11.25 h", units.duration_s, 40_500),
    ("1 h 30 min", units.duration_s, 5400),
    ("22:00", units.time_of_day_s, 79_200),
    ("2024-01-01 00:00", units.pump_time_s, 0),
    ("2026-01-05 09:00", units.pump_time_s, 735 * 86_400 + 32_400),
])
def test_what_a_clinician_writes(text, parser, value):
    assert parser(text) == value


@pytest.mark.req("TH-PROG-08", "TH-BAD-03")
@pytest.mark.parametrize("parser, text, words", [
    (units.dose_rate_ng_day, "150", ["150", "no unit", "ug/day"]),
    (units.dose_rate_ng_day, 150, ["150", "no unit", "ug/h"]),
    (units.dose_rate_ng_day, "150 ug/mL", ["ug/mL is a unit of concentration", "ug/day"]),
    (units.dose_rate_ng_day, "2.4 ug", ["ug is a unit of dose", "ug/day"]),
    (units.concentration_ng_ml, "500 IU/mL", ["'IU/mL'", "mg/mL"]),
    (units.concentration_ng_ml, "1,5 mg/mL", ["1,5", "no comma"]),
    (units.concentration_ng_ml, ".5 mg/mL", ["no bare point"]),
    (units.concentration_ng_ml, "5. mg/mL", ["plain decimal"]),
    (units.concentration_ng_ml, "1e3 ug/mL", ["1e3"]),
    (units.dose_rate_ng_day, "-3 ug/day", ["negative"]),
    (units.volume_nl, "0.0000001 mL", ["whole number of nL"]),
    (units.volume_nl, "20 ML", ["'ML'"]),
    (units.duration_s, "3", ["'3'", "not a duration"]),
    (units.duration_s, "-3 d", ["negative"]),
    (units.duration_s, "3 h 01:00", ["not a duration"]),
    (units.duration_s, "1 min 2 h", ["not a duration"]),
    (units.duration_s, "0.0001 s", ["whole number of seconds"]),
    (units.duration_s, 5, ["not a duration"]),
    (units.time_of_day_s, "24:00", ["24:00", "00:00 .. 23:59"]),
    (units.time_of_day_s, None, ["None"]),
    (units.pump_time_s, "05.01.2026", ["YYYY-MM-DD"]),
    (units.pump_time_s, "2023-12-31", ["calendar", "2024-01-01"]),
])
def test_bad_input_is_refused_naming_value_and_bound(parser, text, words):
    with pytest.raises(RequestInvalid) as caught:
        parser(text, "the field")
    message = str(caught.value)
    assert all(word in message for word in ["the field", *words]), message
    assert "\n" not in message


def test_trial_times_may_be_negative_when_asked_for():
    assert units.duration_s("-3 d", negative=True) == -259_200
    assert units.duration_s("-2 d 06:00", negative=True) == -(2 * 86_400 + 21_600)


@given(KINDS, NUMBERS, st.data())
def test_every_unit_of_every_kind_reads_exactly(kind, number, data):
    unit = data.draw(st.sampled_from(sorted(kind.units)))
    assert units.parse("%s %s" % (format(number, "f"), unit), kind) == Fraction(number) * kind.units[unit]


@given(KINDS, NUMBERS, st.data())
def test_what_is_shown_reads_back(kind, number, data):
    unit = data.draw(st.sampled_from(sorted(kind.units)))
    value = Fraction(number) * kind.units[unit]
    assert units.parse(units.show(value, kind, unit, places=6), kind) == value


@given(st.text(max_size=20), KINDS)
def test_any_text_is_either_read_or_refused(text, kind):
    try:
        value = units.parse(text, kind)
    except RequestInvalid:
        return
    assert value >= 0


@given(st.text(alphabet="0123456789 dhmins:.-+", max_size=16))
def test_any_duration_text_is_either_read_or_refused(text):
    try:
        seconds = units.duration_s(text, negative=True)
    except RequestInvalid:
        return
    assert isinstance(seconds, int)


@pytest.mark.req("TH-PROG-08")
@given(KINDS, KINDS, st.integers(0, 1000))
def test_a_unit_of_another_kind_is_never_taken(kind, other, number):
    for unit in set(other.units) - set(kind.units):
        with pytest.raises(RequestInvalid):
            units.parse("%d %s" % (number, unit), kind)


def test_showing():
    assert units.show(150_000, units.DOSE_RATE) == "150 ug/day"
    assert units.show(Fraction(1, 3), units.VOLUME, "nL") == "0.3333 nL"
    assert units.show(96_000, units.FLOW, "mL/day") == "0.096 mL/day"
    assert units.decimal_text(Fraction(-1, 8), 2) == "-0.12"
    assert units.decimal_text(7, 0) == "7"
    assert [units.duration_text(s) for s in (93 * 86_400, 40_500, 216_000, 90, 5)] == ["93 d", "11.25 h", "2 d 12:00", "1.5 min", "5 s"]
    assert units.pump_time_text(735 * 86_400 + 32_400) == "2026-01-05 09:00:00"
    assert units.host_pump_time_s() > 0
