"""The table of the surroundings: steps, ramps, stops, and every kind of bad row in one sentence."""
import pytest
from thecal.hw_sim.environment import Environment, Row

H = 3_600_000_000


def test_steps_stand_and_ramps_run_straight_from_the_row_before():
    table = Environment([Row(0, "temperature_c", 37.0), Row(10 * H, "temperature_c", 37.0), Row(14 * H, "temperature_c", 39.0, ramp=True),
                         Row(20 * H, "temperature_c", 36.5), Row(5 * H, "ambient_kpa", 75.6)])
    assert [table.at("temperature_c", h * H) for h in (0, 10, 12, 14, 19, 20, 1000)] == [37.0, 37.0, 38.0, 39.0, 39.0, 36.5, 36.5]
    assert table.at("ambient_kpa", 5 * H - 1) is None and table.at("ambient_kpa", 5 * H) == 75.6
    assert table.at("field_t", 0) is None and not table.has("field_t") and table.has("ambient_kpa")
    assert table.stops_us(()) == [h * H for h in (0, 5, 10, 14, 20)]


def test_a_field_that_runs_past_a_level_stops_there():
    table = Environment([Row(0, "field_t", 0.0), Row(H, "field_t", 1.0, ramp=True), Row(2 * H, "field_t", 0.0, ramp=True)])
    stops = table.stops_us((0.01,))
    assert len(stops) == 5
    rising, falling = stops[1], stops[3]
    assert table.at("field_t", rising - 2) < 0.01 <= table.at("field_t", rising)
    assert table.at("field_t", falling - 2) >= 0.01 > table.at("field_t", falling)


def test_no_table_is_nothing():
    assert not Environment() and Environment().stops_us((0.01,)) == [] and Environment().at("field_t", 5) is None


@pytest.mark.req("TH-PLANT-05")
@pytest.mark.parametrize("rows, sentence", [
    ([Row(0, "humidity", 1.0)], "'humidity' is not known .*temperature_c, ambient_kpa, field_t"),
    ([Row(0, "temperature_c", 60.0)], "temperature_c of 60 C: it must lie between 20 and 45"),
    ([Row(0, "ambient_kpa", float("nan"))], "ambient_kpa of nan kPa"),
    ([Row(-1, "field_t", 1.0)], "must not lie before the implant"),
    ([Row(5, "field_t", 1.0), Row(5, "field_t", 2.0)], "rows stand in the order of time"),
    ([Row(5, "field_t", 1.0), Row(4, "field_t", 2.0)], "rows stand in the order of time"),
    ([Row(5, "field_t", 1.0, ramp=True)], "a ramp needs a row of field_t before it"),
])
def test_bad_tables_are_refused_in_one_sentence(rows, sentence):
    with pytest.raises(ValueError, match=sentence) as refused:
        Environment(rows)
    assert str(refused.value).startswith("environment: ") and "\n" not in str(refused.value)
