"""Figures keep every extreme, say what they were given, and do without what is missing."""
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thecal.hw_sim import report_figures as module
from thecal.hw_sim.report_figures import DAY_S, Samples, build, close_up_window, thin, trailing_rate

HOURS = [3600.0 * i for i in range(24 * 10 + 1)]


def samples(**columns):
    return Samples({"t_s": HOURS, **{name: [f(t) for t in HOURS] for name, f in columns.items()}})


def figures_of(given_samples, events=(), alarms=(), days=(), end_s=10 * DAY_S):
    return {figure["id"]: figure for figure in build(given_samples, list(events), list(alarms), list(days), end_s)}


def trace(figure, name):
    return next(t for t in figure["traces"] if t["name"] == name)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(4, 60))
def test_thinning_keeps_ends_extremes_order_and_limit(values, limit):
    x, y = thin(range(len(values)), values, limit)
    assert len(x) <= max(limit, 4) and x == sorted(set(x)) and len(x) == len(y)
    rounded = [float(format(v, ".6g")) for v in values]
    assert (x[0], y[0], x[-1], y[-1]) == (0, rounded[0], len(values) - 1, rounded[-1])
    assert max(y) == max(rounded) and min(y) == min(rounded)


def test_one_spike_among_ninety_thousand_survives():
    values = [0.0] * 90_000
    values[54_321] = 7.5
    x, y = thin(range(90_000), values, 2000)
    assert len(x) <= 2000 and y[x.index(54_321)] == 7.5


def test_empty_cells_become_gaps():
    x, y = thin(range(100), [math.nan] * 50 + [1.0] * 50, 20)
    assert None in y and 1.0 in y and not any(isinstance(v, float) and math.isnan(v) for v in y)


def test_trailing_rate_is_the_growth_over_the_window():
    total = [100.0 * t / DAY_S if t < 5 * DAY_S else 500 + 300.0 * (t - 5 * DAY_S) / DAY_S for t in HOURS]
    rates = trailing_rate(HOURS, total, DAY_S)
    assert math.isnan(rates[0]) and rates[1] == pytest.approx(100) and rates[24 * 5] == pytest.approx(100)
    assert rates[24 * 5 + 12] == pytest.approx(200) and rates[24 * 6] == pytest.approx(300) == rates[-1]


def test_volumes_and_their_differences_in_ml_and_ul():
    figure = figures_of(samples(demanded_nl=lambda t: t, ordered_nl=lambda t: t - 500, delivered_ul=lambda t: 0.9e-3 * t,
                                missed_nl=lambda t: 25_000))["volume"]
    assert trace(figure, "demanded")["y"][-1] == pytest.approx(0.864)
    assert trace(figure, "demanded − ordered")["y"][-1] == pytest.approx(0.5)
    assert trace(figure, "ordered − delivered")["y"][-1] == pytest.approx(85.9)
    assert trace(figure, "missed")["y"][-1] == 25
    assert len([key for key in figure["layout"] if key.startswith("yaxis")]) == 4


def test_dose_per_drug_beside_the_oracle():
    days = [{"day": d, "tip_ng": {"baclofen": 150_000.0}} for d in range(10)]
    figure = figures_of(samples(rate_nl_day=lambda t: 300_000, tip_ng_baclofen=lambda t: 148_000 * t / DAY_S), days=days)["dose"]
    assert trace(figure, "last 24 h")["y"][-1] == pytest.approx(148)
    assert trace(figure, "expected of the day")["y"] == [150.0] * 9
    assert trace(figure, "rate")["y"][0] == 0.3
    assert any("baclofen, µg/day" in note["text"] for note in figure["layout"]["annotations"])


def test_large_doses_are_shown_in_mg_and_a_lone_dose_column_will_do():
    figure = figures_of(samples(tip_ng_morphine=lambda t: 6e6 * t / DAY_S))["dose"]
    assert trace(figure, "last 24 h")["y"][-1] == pytest.approx(6)
    figure = figures_of(samples(dose_ng_day=lambda t: 120_000))["dose"]
    assert trace(figure, "dose at the tip")["y"][-1] == 120


def test_two_drugs_share_one_legend_and_keep_a_panel_each():
    columns = {f"{place}_{drug}": (lambda t: 1.0) for place in ("lumbar", "effect") for drug in ("morphine", "bupivacaine")}
    figure = figures_of(samples(**columns))["concentration"]
    assert [t["showlegend"] for t in figure["traces"]] == [True, True, False, False]
    assert {t["yaxis"] for t in figure["traces"]} == {"y", "y2"}


def test_what_went_astray_has_a_panel_where_there_is_any():
    columns = {"lumbar_x": lambda t: 1.0, "plasma_x": lambda t: 2.0, "astray_ng_x": lambda t: 5.0}
    lost = figures_of(samples(astray_ul=lambda t: max(0.0, t - DAY_S) / DAY_S, **columns))
    assert trace(lost["concentration"], "astray")["y"][-1] == pytest.approx(9) and "others" not in lost
    sound = figures_of(samples(astray_ul=lambda t: 0.0, **columns))
    assert "astray" not in [each["name"] for each in sound["concentration"]["traces"]] and "others" not in sound


def test_unknown_columns_get_a_figure_of_their_own():
    figure = figures_of(samples(rate_nl_day=lambda t: 1, inlet_kpa=lambda t: 101.3, gyro=lambda t: t))["others"]
    assert [t["name"] for t in figure["traces"]] == ["inlet_kpa", "gyro"]
    assert [t.get("visible") for t in figure["traces"]] == [None, "legendonly"]


def test_tablets_beside_the_pump_end_with_the_last_dose():
    swing = samples(oral_csf_baclofen=lambda t: max(0.0, 30 - 3 * ((t / 3600) % 6)) if t < 6 * DAY_S else 30 * 0.5 ** (t / 3600 - 144),
                    lumbar_baclofen=lambda t: 1000.0, oral_ng_baclofen=lambda t: t)
    figures = figures_of(swing)
    assert {"oral-baclofen", "oral-baclofen-close"} <= set(figures) and "others" not in figures
    close = figures["oral-baclofen-close"]
    assert not close["sync"] and max(trace(close, "tablets")["x"]) <= 6.01 and min(trace(close, "tablets")["x"]) >= 1.9
    assert set(trace(close, "pump (lumbar)")["y"]) == {100.0}
    first, last = close_up_window(swing, swing.get("oral_csf_baclofen"))
    assert HOURS[last - 1] - HOURS[first] == 4 * DAY_S
    assert "oral-baclofen" not in figures_of(samples(oral_csf_baclofen=lambda t: 0.0, lumbar_baclofen=lambda t: 1.0))


def test_events_and_alarms_share_the_axis_of_all_figures():
    events = [{"t_s": "-259200", "source": "clinician", "name": "trial", "detail": "50 ug"},
              {"t_s": "86400", "source": "clinician", "name": "refill", "detail": "18.6 mL"}]
    alarms = [{"code": 12, "name": "stall", "raised_s": 2 * DAY_S, "cleared_s": None}]
    figures = figures_of(samples(rate_nl_day=lambda t: 1), events, alarms, end_s=10 * DAY_S)
    line = figures["timeline"]
    lanes = {t["y"][0]: t["x"] for t in line["traces"]}
    assert lanes == {"alarm · stall": [2, 10], "clinician · refill": [1], "clinician · trial": [-3]}
    assert line["layout"]["yaxis"]["categoryarray"][-1] == "alarm · stall", "alarms stand on top"
    assert line["layout"]["xaxis"]["range"] == figures["dose"]["layout"]["xaxis"]["range"] == pytest.approx([-0.1, 10.1]), \
        "a trial three days before a ten-day run would squeeze it"
    assert [s["x0"] for s in figures["dose"]["layout"]["shapes"]] == [1, 2]
    assert figures_of(samples(rate_nl_day=lambda t: 1), events, end_s=40 * DAY_S)["dose"]["layout"]["xaxis"]["range"][0] < -3


def test_alarms_that_stand_together_are_one_shade():
    alarms = [{"code": 2, "name": "free flow", "priority": 1, "raised_s": day * DAY_S, "cleared_s": end} for day, end in (
        (1, None), (2, None), (0.1, 0.2 * DAY_S), (1.5, 2.5 * DAY_S))]
    shapes = [each for each in figures_of(samples(delivered_ul=lambda t: t), alarms=alarms)["volume"]["layout"]["shapes"] if each["type"] == "rect"]
    assert [(each["x0"], each["x1"]) for each in shapes] == [pytest.approx((0.1, 0.2)), pytest.approx((1, 10))]


def test_too_many_kinds_of_events_fall_into_one_lane_a_source():
    events = [{"t_s": str(i), "source": "pump", "name": f"kind {i}", "detail": ""} for i in range(module.MAX_EVENT_LANES + 1)]
    figure = figures_of(samples(), events)["timeline"]
    assert [t["name"] for t in figure["traces"]] == ["pump"] and len(figure["traces"][0]["x"]) == len(events)


def test_short_runs_are_in_hours():
    short = Samples({"t_s": [0.0, 3600.0], "rate_nl_day": [1.0, 2.0]})
    assert figures_of(short, end_s=3600)["dose"]["traces"][0]["x"] == [0, 1]


@pytest.mark.parametrize("columns", [{}, {"t_s": []}, {"t_s": [0.0]}, {"t_s": [0.0], "rate_nl_day": [math.nan]},
                                     {"t_s": [0.0], "oral_csf_x": [1.0], "tip_ng_x": [0.0]}])
def test_next_to_nothing_is_no_crash(columns):
    build(Samples(columns), [], [], [], 1.0)


@pytest.mark.slow
def test_points_stay_within_the_budget():
    many = Samples({"t_s": list(range(5000)), **{f"lumbar_{i}": [float(j % 97) for j in range(5000)] for i in range(60)}})
    figures = build(many, [], [], [], 5000.0)
    assert sum(len(t["x"]) for figure in figures for t in figure["traces"]) <= module.POINT_BUDGET


def test_a_flood_of_events_is_thinned_to_its_end_and_spares_the_rare():
    flood = [{"t_s": str(i), "source": "pump", "name": "check", "detail": ""} for i in range(50_000)]
    rare = [{"t_s": "7", "source": "fault", "name": "kink", "detail": ""}]
    lanes = {t["y"][0]: t["x"] for t in figures_of(samples(), flood + rare)["timeline"]["traces"]}
    assert len(lanes["pump · check"]) <= module.EVENT_BUDGET and max(lanes["pump · check"]) > 0.99 * 50_000 / DAY_S
    assert len(lanes["fault · kink"]) == 1
