"""Each quantity against a hand-made run whose value is known."""

from types import SimpleNamespace

import pytest

from thecal.hw_sim.scenario_expect import COLUMNS, DAY_S, QUANTITIES, TOLD_BY_PUMP, Observed, bound_text, instants, rows
from thecal.hw_sim.scenario_file import Expectation

HOUR_S = 3600


def measure(name, run, **options):
    return QUANTITIES[name].measure(run, options)


def sampled(**columns):
    """A run with these columns, others zero."""
    run = Observed()
    length = len(columns["t_s"])
    for name in COLUMNS:
        run.columns[name].extend(columns.get(name, [0.0] * length))
    return run


def told(**books):
    return SimpleNamespace(**{"demanded_nl": 1_000_000, "missed_nl": {"stall": 0, "stop": 0}, "reservoir_computed_nl": 5_000_000, **books})


def test_steps_of_the_daily_dose():
    run = Observed(days=[0, 50e3, 150e3, 250e3, 380e3], prescribed=[(HOUR_S, 100e3)])     # 50, 100, 100, 130 ug; the first day is cut
    assert measure("daily_dose_step_pct", run) == pytest.approx(30)
    assert measure("daily_dose_step_ug", run) == pytest.approx(30)
    assert measure("daily_dose_step_pct", run, after=3 * DAY_S) is None
    assert measure("daily_dose_step_pct", Observed(days=[0, 1, 2])) is None       # nothing was prescribed
    assert measure("daily_dose_step_pct", Observed(days=[0, 0, 5e3, 5e3], prescribed=[(0, 1.0)])) == pytest.approx(100)


def test_the_dose_of_a_day():
    run = Observed(days=[0, 50e3, 150e3])
    assert measure("daily_dose_ug", run) == 100
    assert measure("daily_dose_ug", run, day=0) == 50
    assert measure("daily_dose_ug", run, day=7) is None


def test_withdrawal_is_the_longest_time_at_or_below_the_share():
    hours = [i * HOUR_S for i in range(11)]
    rates = [24, 24, 7, 7, 24, 7, 7, 7, 24, 24]                # ng an hour; prescribed are 24 * 24 a day: 7 is 29 %
    run = sampled(t_s=hours, tip_ng=[sum(rates[:i]) for i in range(11)])
    run.prescribed = [(0, 24.0 * 24)]
    assert measure("withdrawal_h", run) == 3
    assert measure("withdrawal_h", run, share_pct=20) == 0
    run.prescribed = []
    assert measure("withdrawal_h", run) is None                # no prescription, nothing to withdraw from


def test_delivered_against_demanded_leaves_out_what_a_stall_lost():
    run = Observed(truth={"delivered_ul": 891.0}, status=told(missed_nl={"stall": 100_000}))
    assert measure("delivered_error_pct", run) == pytest.approx(1)
    assert measure("delivered_error_pct", Observed(truth={"delivered_ul": 1.0})) is None


def test_volumes():
    run = Observed(marks={10: {"delivered_ul": 1.5}, 20: {"delivered_ul": 4.0}}, truth={"reservoir_ul": 5003.0},
                   status=told(missed_nl={"stall": 2000, "stop": 500}))
    assert measure("delivered_ul", run, **{"from": 10, "to": 20}) == 2.5
    assert measure("delivered_ul", run, **{"from": 10, "to": 30}) is None
    assert measure("missed_ul", run) == 2.5 and measure("missed_ul", run, cause="stop") == 0.5
    assert measure("computed_error_ul", run) == 3
    assert instants([Expectation("x", "delivered_ul", None, 1.0, {"from": 10, "to": 20}), Expectation("y", "alarms", None, 0, {})]) == {10, 20}


def test_alarms():
    run = Observed(status=told(), alarms=[{"code": 7, "priority": 2, "raised_s": 1200, "cleared_s": 4800}, {"code": 19, "priority": 3, "raised_s": 9000, "cleared_s": None}])
    assert measure("alarms", run) == 2 and measure("alarms", run, priority_max=2) == 1 and measure("alarms", run, code=19) == 1
    assert measure("alarm_after_min", run, **{"code": 7, "from": 600}) == 10
    assert measure("alarm_after_min", run, **{"code": 7, "from": 600, "edge": "cleared"}) == 70
    assert measure("alarm_after_min", run, **{"code": 7, "from": 1201}) is None
    assert measure("alarms", Observed()) is None


def test_alarms_of_a_span_and_one_that_rings_already():
    run = Observed(status=told(), alarms=[{"code": 7, "priority": 2, "raised_s": 1200, "cleared_s": 4800}, {"code": 7, "priority": 2, "raised_s": 9000, "cleared_s": None}])
    assert measure("alarms", run, **{"from": 1200, "to": 9000}) == 1 and measure("alarms", run, **{"from": 1201}) == 1 and measure("alarms", run, to=1200) == 0
    assert measure("alarm_after_min", run, **{"code": 7, "from": 3000, "edge": "standing"}) == 0
    assert measure("alarm_after_min", run, **{"code": 7, "from": 4800, "edge": "standing"}) == 70
    assert measure("alarm_after_min", run, **{"code": 7, "from": 99_000, "edge": "standing"}) == 0
    assert measure("alarm_after_min", run, **{"code": 8, "from": 0, "edge": "standing"}) is None


def test_every_time_that_a_fault_came_is_said_or_none_is():
    alarms = [{"code": 7, "priority": 2, "raised_s": 1200, "cleared_s": 4800}, {"code": 7, "priority": 2, "raised_s": 9000, "cleared_s": 9100}]
    run = Observed(status=told(), alarms=alarms, faults=[{"name": "rotor_stall", "set_s": 600.0}, {"name": "rotor_stall", "set_s": 8940.0}, {"name": "kink", "set_s": 9500.0}])
    asked = {"code": 7, "fault": "rotor_stall"}
    assert measure("faults", run, fault="rotor_stall") == 2 and measure("alarm_after_fault_min", run, **asked) == 10
    assert measure("alarm_after_fault_min", run, code=7, fault="kink") is None
    assert measure("faults", run, fault="free_flow") == 0 and measure("alarm_after_fault_min", run, code=7, fault="free_flow") == 0


def test_the_book_against_the_truth_and_the_voltage_at_an_instant():
    run = Observed(marks={60: {"reservoir_ul": 4700.0}}, told={60: told(battery_mv=3590), 90: None})
    assert measure("computed_above_true_ul", run, at=60) == 300 and measure("battery_mv", run, at=60) == 3590
    assert measure("computed_above_true_ul", run, at=90) is None and measure("battery_mv", run, at=90) is None


def test_levels():
    times = [i * DAY_S / 4 for i in range(17)]
    run = sampled(t_s=times, lumbar=[400.0] * 8 + [500.0, 600.0] * 4 + [500.0], cisternal=[100.0] * 17,
                  oral_csf=[10.0, 20.0] * 8 + [10.0], oral_ng=[80e6 * t / DAY_S for t in times], tip_ng=[400e3 * t / DAY_S for t in times])
    assert measure("lumbar_ng_per_ml", run, day=0) == pytest.approx(400)
    assert measure("lumbar_ng_per_ml", run) == pytest.approx(540)
    assert measure("lumbar_lowest_ng_per_ml", run) == 500 and measure("lumbar_highest_ng_per_ml", run) == 600
    assert measure("lumbar_to_cisternal", run, day=0) == pytest.approx(4)
    assert measure("peak_to_trough_pump", run, days=2) == pytest.approx(1.2)
    assert measure("peak_to_trough_oral", run) == pytest.approx(2)
    assert measure("oral_to_pump_dose", run) == pytest.approx(200)
    for name in ("lumbar_ng_per_ml", "lumbar_to_cisternal", "peak_to_trough_pump", "oral_to_pump_dose"):
        assert measure(name, Observed()) is None


def test_what_was_added_for_therapy():
    run = Observed(days=[0, 50e3], days_of={"morphine": [0, 50e3], "bupivacaine": [0, 100e3, 260e3]}, status=told(), denied=2, boluses_nl=[20_000, 7_000],
                   logged={"pause ended": 2, "patient bolus started": 3, "patient bolus refused": 1}, notes=["event 3 (refill): 2 mL less withdrawn than expected"],
                   marks={10: {"tip_ng": {"morphine": 1000.0}}, 20: {"tip_ng": {"morphine": 4000.0, "bupivacaine": 5000.0}}},
                   told={5: SimpleNamespace(rate_nl_day=2_334_000, low_reservoir_days=37, lockout_s=7800), 6: None})
    assert measure("daily_dose_ug", run, drug="bupivacaine") == 160 and measure("daily_dose_ug", run, drug="x") is None
    assert measure("dose_ug", run, **{"from": 10, "to": 20}) == 3 and measure("dose_ug", run, drug="bupivacaine", **{"from": 10, "to": 20}) == 5
    assert measure("dose_ug", run, **{"from": 10, "to": 30}) is None and measure("dose_ug", Observed(marks=run.marks), **{"from": 10, "to": 20}) is None
    assert (measure("rate_ul_day", run, at=5), measure("low_reservoir_days", run, at=5), measure("lockout_min", run, at=5)) == (2334, 37, 130)
    assert measure("rate_ul_day", run, at=6) is None and measure("rate_ul_day", run, at=7) is None
    assert measure("patient_boluses", run, outcome="granted") == 3 and measure("patient_boluses", run, outcome="refused") == 1
    assert measure("patient_bolus_ul", run) == 27 and measure("logged", run, event="pause ended") == 2 and measure("logged", run, event="boot") == 0
    assert measure("said", run, text="less withdrawn") == 1 and measure("refused_orders", run) == 2
    assert instants([Expectation("x", "rate_ul_day", None, 1.0, {"at": 5})]) == {5}


def test_alarms_that_stand():
    run = Observed(status=told(), alarms=[{"code": 7, "priority": 2, "raised_s": 1, "cleared_s": 5}, {"code": 19, "priority": 3, "raised_s": 9, "cleared_s": None}])
    assert measure("alarms_standing", run) == 1 and measure("alarms_standing", run, code=7) == 0 and measure("alarms_standing", Observed()) is None


def test_the_rest_comes_from_the_player():
    run = Observed(bridges_h=[60.0, 11.25], lags_ul=[375.0], mass_error=1e-12, gap_nl=999.0)
    assert [measure(name, run) for name in ("bridge_h", "concentration_lag_ul", "mass_error", "demanded_ordered_gap_nl")] == [11.25, 375, 1e-12, 999]
    assert measure("bridge_h", Observed()) is None


def test_rows():
    run = Observed(days=[0, 100e3], mass_error=1e-12)
    wanted = [Expectation("dose", "daily_dose_ug", 98.0, 102.0, {}), Expectation("low", "daily_dose_ug", 101.0, None, {}),
              Expectation("mass", "mass_error", None, 1e-9, {}), Expectation("bridge", "bridge_h", 1.0, None, {})]
    found = rows(wanted, run)
    assert [row["ok"] for row in found] == [True, False, True, False]
    assert [row["bound"] for row in found] == ["98 .. 102", ">= 101", "<= 1e-09", ">= 1"]
    assert found[0] == {"name": "dose", "ok": True, "value": 100.0, "bound": "98 .. 102", "unit": "ug/day"}
    assert [row["ok"] for row in rows(wanted, run, deaf=True)] == [True, False, True, None]
    assert not any(row["ok"] for row in rows(wanted, run, ended=False))
    assert bound_text(None, None) == ""


def test_what_the_pump_tells_is_named():
    assert TOLD_BY_PUMP <= set(QUANTITIES)


def test_the_highest_blood_level_of_a_span():
    run = sampled(t_s=[0, 3600, 7200, 10800], plasma=[1.0, 9.0, 4.0, 2.0])
    assert measure("plasma_peak_ng_per_ml", run) == 9.0
    assert measure("plasma_peak_ng_per_ml", run, **{"from": 7200}) == 4.0 and measure("plasma_peak_ng_per_ml", run, to=0) == 1.0
    assert measure("plasma_peak_ng_per_ml", run, **{"from": 20000}) is None


def test_what_went_astray_is_pocket_and_leaks_together():
    def truth(pocket_ul, strayed_ul, **strayed_ng):
        return {"pocket_ul": pocket_ul, "strayed_ul": strayed_ul, "pocket_ng": {"morphine": pocket_ul * 10.0}, "strayed_ng": strayed_ng}
    run = Observed(marks={0: {"pocket_ul": 0.0, "strayed_ul": 0.0, "pocket_ng": {}, "strayed_ng": {}}, 60: truth(100.0, 0.0)},
                   truth=truth(100.0, 50.0, morphine=500.0, clonidine=2000.0), days_of={"morphine": [0.0]})
    assert measure("astray_ul", run) == 150.0 and measure("astray_ul", run, to=60) == 100.0 and measure("astray_ul", run, **{"from": 60}) == 50.0
    assert measure("astray_ug", run) == 1.5 and measure("astray_ug", run, drug="clonidine") == 2.0 and measure("astray_ug", run, **{"from": 60}) == 0.5
    assert measure("astray_ul", run, to=61) is None and measure("astray_ug", Observed()) is None
