"""How long drug and battery last: regimens.md in dates, the reference battery in months."""

import pytest
from fake_pump import FakePump, event

from thecal.host import forecast, units
from thecal.host.implant import Implant
from thecal.host.life import Contents, ImplantRecord
from thecal.host.prescription import Prescription, Step
from thecal.host.records import Status, read_events
from thecal.protocol import catalogue as cat

B1 = Prescription.simple("baclofen", concentration="2000 ug/mL", dose="400 ug/day")
M3 = Prescription.simple("morphine", concentration="10 mg/mL", dose="4 mg/day", setting="tolerant").with_bolus("0.2 mg", "10 min", "3 h", 4)
DAY = 86_400
NOW_S = 63_536_400


def status(**fields):
    return Status.of({**FakePump().status(), "reservoir_computed_nl": 20_000_000, **fields})


def held(expires_s):
    return Contents(B1.ingredients, 18_600, 0, expires_s, "")


@pytest.mark.req("TH-LIFE-08")
def test_b1_lasts_93_days_and_is_low_ten_before():
    dates = forecast.reservoir(status(), Implant(), B1, None)
    assert dates.empty_s - NOW_S == 93 * DAY and dates.low_s - NOW_S == 83 * DAY, "2 mL usable are more than 7 days of 0.2 mL"
    assert dates.low_without_boluses_s == dates.low_s and dates.expires_s is None and dates.refill_by_s == dates.low_s


@pytest.mark.req("TH-LIFE-08")
def test_the_worst_case_counts_every_bolus():
    dates = forecast.reservoir(status(), Implant(), M3, None)
    left_nl = 18_600_000
    assert dates.low_s - NOW_S == (left_nl - 7 * 480_000) / 480_000 * DAY and dates.low_without_boluses_s - NOW_S == (left_nl - 7 * 400_000) / 400_000 * DAY
    assert dates.empty_s - NOW_S == left_nl / 480_000 * DAY


def test_the_next_refill_is_before_the_drug_is_past_its_life():
    dates = forecast.reservoir(status(), Implant(), B1, held(NOW_S + 14 * DAY))
    assert dates.refill_by_s == NOW_S + 14 * DAY and dates.to_dict()["expires"] == units.pump_time_text(NOW_S + 14 * DAY)[:10]
    assert forecast.reservoir(status(), Implant(), B1, held(0)).expires_s is None


def test_no_date_where_nothing_is_given():
    assert forecast.reservoir(status(), Implant(), None, None) is None
    nothing = Prescription("simple", B1.ingredients, ((Step(0, 0),),), (0,) * 7, 0, "stop")
    assert forecast.reservoir(status(), Implant(), nothing, None) is None


RECORD = ImplantRecord("AB", "", NOW_S)


@pytest.mark.req("TH-LIFE-17")
def test_the_battery_of_a_new_pump_lasts_its_certified_life_less_the_warning():
    new = forecast.battery(status(), RECORD, B1)
    assert new.text() == "81 months to replacement (81 .. 81)", "7 years less 90 days: the energy would last longer"
    assert forecast.battery(status(), RECORD, None).months == pytest.approx((7 * 365 - 90) / 30.4375)


@pytest.mark.req("TH-LIFE-17")
def test_pulses_and_years_use_it_up():
    fast = Prescription.simple("baclofen", concentration="50 ug/mL", dose="100 ug/day")         # 2 mL/day: 2,000 pulses
    new = forecast.battery(status(), RECORD, fast)
    a_day_mj = 50e-3 * DAY + 2000 * (0.5 + 117 * 0.074)
    assert new.months == pytest.approx((2.2e7 / a_day_mj - 90) / 30.4375) and new.least == pytest.approx(0.8 * new.months)
    used = forecast.battery(status(time_s=NOW_S + 365 * DAY, pulses=730_000), RECORD, fast)
    assert new.months - used.months == pytest.approx(365 / 30.4375)
    spent = forecast.battery(status(time_s=NOW_S + 8 * 365 * DAY), RECORD, fast)
    assert (spent.months, spent.most) == (0.0, 0.0) and spent.to_dict() == {"months": 0.0, "least": 0.0, "most": 0.0}


def test_no_forecast_before_the_implant_is_on_record():
    assert forecast.battery(status(), None, B1) is None and forecast.battery(status(pulse_nl=0), RECORD, B1) is None


@pytest.mark.req("TH-LIFE-17")
def test_behind_the_replacement_indicator_its_90_days_count_and_no_energy():
    rows = [(NOW_S - 300 * DAY, cat.E_ALARM, 20), (NOW_S - 299 * DAY, cat.E_ALARM_END, 20), (NOW_S - 33 * DAY, cat.E_ALARM, 20), (NOW_S - 20 * DAY, cat.E_ALARM, 20),
            (NOW_S - 10 * DAY, cat.E_SET_CLOCK, 0, NOW_S - 10 * DAY, NOW_S - 7 * DAY)]
    events = read_events(b"".join(event(seq, *row) for seq, row in enumerate(rows)), 0)
    due = forecast.battery(status(alarms=1 << 19), RECORD, B1, events)
    assert due.service_days == 90 - 36 and due.months == 0, "33 d by a clock that went back 3 d since"
    assert due.text() == "REPLACEMENT IS DUE: at most 54 d of service left, of 90 from the indicator" and due.to_dict()["service_days"] == 54
    assert forecast.battery(status(alarms=1 << 19), None, B1).service_days == 90, "since when is not known"
    over = forecast.battery(status(alarms=1 << 19, time_s=NOW_S + 60 * DAY), RECORD, B1, events)
    assert over.service_days == 0 == forecast.battery(status(alarms=1 << 14), RECORD, B1).service_days and "at the end of service" in over.text()
    assert forecast.indicated_s(status(), events) is None
