"""The line as a vessel: what a kink stores, how it oozes, and the pressure that a motion makes for itself, exact for any step."""
import math

import pytest
from thecal.hw_sim.params import PlantParams
from thecal.hw_sim.swelling import Swelling

PARAMS = PlantParams.load().catheter


def test_a_partial_kink_oozes_exactly_whatever_the_step():
    def stored(parts):
        line = Swelling(PARAMS)
        line.set_faults(kink_ul_kpa_s=0.001)
        out = sum(line.outflow_ul(20.0 / parts, 1000.0 / parts) for _ in range(parts))
        out += sum(line.outflow_ul(0.0, 500.0 / parts) for _ in range(parts))
        assert out + line.stored_ul == pytest.approx(20.0)
        return line.stored_ul

    decay = 0.001 / 0.5
    expected = 0.02 / decay * -math.expm1(-1000 * decay) * math.exp(-500 * decay)
    assert stored(1) == pytest.approx(expected)
    assert stored(97) == pytest.approx(expected)


@pytest.mark.parametrize(("outlet", "slip", "in_ul"), [(0.0, 0.001, 1.0), (0.001, 0.001, 1.0), (0.05, 0.01, -0.4), (0.2, 0.0, 3.0), (0.0, 0.0, 1.0),
                                                       (1e-9, 1e-9, 1.0)])
def test_a_motion_against_its_own_pressure_is_the_same_however_it_is_cut(outlet, slip, in_ul):
    """Against ten thousand small steps of stored' = n (1 - slip stored / C) - G stored / C."""
    line = Swelling(PARAMS)
    line.set_faults(kink_ul_kpa_s=outlet)
    line.stored_ul = 20.0
    mean_kpa = line.mean_kpa(in_ul, 2.0, slip)
    stored, total, count = 20.0, 0.0, 10_000
    for _ in range(count):
        def slope(at_ul):
            return in_ul / 2.0 * (1 - slip * at_ul / line.compliance_ul_kpa) - outlet * at_ul / line.compliance_ul_kpa
        middle = stored + slope(stored) / count
        total += middle / line.compliance_ul_kpa / count
        stored += slope(middle) * 2.0 / count
    assert mean_kpa == pytest.approx(total, rel=1e-8)


def test_what_oozes_has_its_mean_instant():
    line = Swelling(PARAMS)
    line.set_faults(kink_ul_kpa_s=0.001)
    tau_us = 500 * 10**6
    for span_us in (10**6, 120 * 10**6, 5000 * 10**6, 10**6 * 10**6):
        share = span_us / tau_us
        mean_us = tau_us * (1 - share * math.exp(-share) / -math.expm1(-share))
        assert (line.oozing_us(7, 7 + span_us) + 7) / 2 == pytest.approx(7 + mean_us, abs=1)
    line.set_faults(kink_ul_kpa_s=0.0)
    assert line.oozing_us(7, 10**9) == 10**9
