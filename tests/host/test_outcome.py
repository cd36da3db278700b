"""What the Programmer hands back, as data: nothing of it is lost, and units stand in the text."""

from thecal.host import Prescription
from thecal.host.outcome import OrderResult, ProgramResult, describe


def test_a_program_as_plain_data_tells_rates_and_doses_with_units():
    made = Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day")
    row = describe(made)
    assert row["mode"] == "simple" and row["daily_nl"] == [300_000.0] * 7
    assert row["drugs"] == [{"name": "baclofen", "concentration": "500 ug/mL", "concentration_ng_ml": 500_000, "daily_dose": "150 ug/day",
                             "daily_dose_ng": [150_000.0] * 7}]
    assert row["patterns"] == [[{"from": "00:00", "rate_nl_day": 300_000}]]
    assert describe(None) is None


def test_a_result_carries_its_time_as_text_and_its_program_as_data():
    order = OrderResult("stop", "ab", False, "cd", 63_536_400)
    assert order.to_dict() == {"kind": "stop", "digest": "ab", "again": False, "running_digest": "cd", "time_s": 63_536_400, "warnings": [],
                               "time": "2026-01-05 09:00:00"}
    made = Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day")
    row = ProgramResult("program", "ab", True, "cd", 0, ["soft"], made).to_dict()
    assert row["program"] == describe(made) and row["warnings"] == ["soft"] and row["again"]
