"""Blood level: published figures, an independent integration, mass, and a drug that leaves the spinal fluid."""
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.hw_sim import csf
from thecal.hw_sim.params import PlantParams
from thecal.hw_sim.plasma import Plasma, modes, spread, stepped

DRUGS = PlantParams.load().drugs
HOUR_US = 3_600_000_000
NOTHING = (0.0, 0.0, 0.0, 0.0)


def solved(drug, **kinds):
    return modes(replace(DRUGS[drug].plasma, **kinds), csf.modes(DRUGS[drug].csf))


STILL = ((0.0, 0.0), (0.0, 0.0))       # a spinal fluid without drug


def followed(drug):
    fluid, rule = csf.Csf(DRUGS[drug].csf), solved(drug)
    fluid.follow(rule.own_rates, rule.jumps)
    return fluid


def runge_kutta(drug, hours, lumbar=0.0, tissue=0.0, inflow=0.0, steps=20000):
    """Tissue, plasma and periphery by a plain integration of spinal fluid and blood as printed; ng and ng/mL."""
    p, b = DRUGS[drug].csf, DRUGS[drug].plasma
    ka, cl, v1, v2, q = b.tissue_rate_1_h, b.clearance_l_h * 1e3, b.central_l * 1e3, b.peripheral_l * 1e3, b.exchange_l_h * 1e3

    def slope(x):
        cl_, cc, depot, c1, c2 = x
        cleared = p.lumbar_clearance_ml_h * cl_ + p.cisternal_clearance_ml_h * cc
        return ((-p.lumbar_clearance_ml_h * cl_ - p.exchange_ml_h * (cl_ - cc)) / p.lumbar_ml,
                (p.exchange_ml_h * (cl_ - cc) - p.cisternal_clearance_ml_h * cc) / p.cisternal_ml,
                inflow - ka * depot, (ka * depot + cleared - cl * c1 - q * (c1 - c2)) / v1, q * (c1 - c2) / v2)

    state, h = [lumbar, 0.0, tissue, 0.0, 0.0], hours / steps
    for _ in range(steps):
        k1 = slope(state)
        k2 = slope([x + h / 2 * k for x, k in zip(state, k1)])
        k3 = slope([x + h / 2 * k for x, k in zip(state, k2)])
        k4 = slope([x + h * k for x, k in zip(state, k3)])
        state = [x + h / 6 * (a + 2 * b_ + 2 * c + d) for x, a, b_, c, d in zip(state, k1, k2, k3, k4)]
    return state[2:]


@pytest.mark.slow
@pytest.mark.parametrize("drug", ["baclofen", "clonidine", "ziconotide"])
def test_levels_agree_with_a_plain_integration(drug):
    body, fluid = Plasma(solved(drug)), followed(drug)
    fluid.dose(0, 5e4)
    body.leak(0, 0, 3e4)
    _, level, _ = runge_kutta(drug, 3, lumbar=5e4 / DRUGS[drug].csf.lumbar_ml, tissue=3e4)
    assert body.level(3 * HOUR_US, fluid.amplitudes(3 * HOUR_US)) == pytest.approx(level, rel=1e-7)
    drip = Plasma(solved(drug))
    drip.leak(0, 3 * HOUR_US, 3 * 700.0)
    tissue, level, periphery = runge_kutta(drug, 3, inflow=700.0)
    assert drip.level(3 * HOUR_US, STILL) == pytest.approx(level, rel=1e-7)
    held = tissue + level * DRUGS[drug].plasma.central_l * 1e3 + periphery * DRUGS[drug].plasma.peripheral_l * 1e3
    assert drip.mass_ng(3 * HOUR_US)[0] == pytest.approx(held, rel=1e-7)


@pytest.mark.parametrize("drug", DRUGS)
def test_settled_level_is_rate_over_clearance_from_either_side(drug):
    long_us = 2000 * HOUR_US
    leaking, following, fluid = Plasma(solved(drug)), Plasma(solved(drug)), followed(drug)
    leaking.leak(0, long_us, 2000 * 1000.0)
    fluid.infuse(0, long_us, 2000 * 1000.0)
    settled = 1000.0 / (DRUGS[drug].plasma.clearance_l_h * 1e3)
    assert leaking.level(long_us, STILL) == pytest.approx(settled, rel=1e-6)
    assert following.level(long_us, fluid.amplitudes(long_us)) == pytest.approx(settled, rel=1e-6)
    assert following.mass_ng(long_us) == (0.0, 0.0)     # its mass is booked as cleared from the fluid


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.sampled_from(sorted(DRUGS)))
def test_one_jump_equals_many_and_mass_closes(parts, drug):
    rule = solved(drug)
    start = stepped(rule, spread(rule, NOTHING, 7200.0, 3e4), 0.0, 1e4)
    many = start
    for part in parts:
        many = stepped(rule, many, part)
    assert many == pytest.approx(stepped(rule, start, sum(parts)), rel=1e-9, abs=1e-12)
    body = Plasma(rule)
    body.leak(0, 7200_000_000, 3e4)
    body.leak(7200_000_000, 7200_000_000, 1e4)
    assert sum(body.mass_ng(round(sum(parts) * 1e6) + 7200_000_000)) == pytest.approx(4e4, rel=1e-11)


def test_looking_changes_nothing_and_doses_make_a_drip():
    looked, waited, drip = followed("morphine"), followed("morphine"), followed("morphine")
    drip.infuse(0, 2000 * 60_000_000, 2000 * 10.0)
    body = Plasma(solved("morphine"))
    for i in range(2000):
        for fluid in (looked, waited):
            fluid.dose(i * 60_000_000 + 30_000_000, 10.0)
        body.level(i * 60_000_000 + 40_000_000, looked.amplitudes(i * 60_000_000 + 40_000_000))
    at_us = 2010 * 60_000_000
    assert body.level(at_us, looked.amplitudes(at_us)) == body.level(at_us, waited.amplitudes(at_us))
    assert body.level(at_us, looked.amplitudes(at_us)) == pytest.approx(body.level(at_us, drip.amplitudes(at_us)), rel=1e-6)


def test_equal_rates_are_moved_apart_not_divided_by_zero():
    plasma, fluid = DRUGS["baclofen"].plasma, csf.modes(DRUGS["baclofen"].csf)
    slow = solved("baclofen").rates[2] * 3600
    levels = [stepped(rule, stepped(rule, NOTHING, 0.0, 1e6), 4 * 3600) for rule in (solved("baclofen", tissue_rate_1_h=slow * f) for f in (1, 1.001))]
    assert levels[0][3] == pytest.approx(levels[1][3], rel=2e-3)
    same = fluid._replace(rates=(fluid.rates[0], solved("baclofen").rates[2], fluid.rates[2]))
    near = fluid._replace(rates=(fluid.rates[0], solved("baclofen").rates[2] * 1.001, fluid.rates[2]))
    found = []
    for system in (same, near):
        rule, at_s = modes(plasma, system), 4 * 3600.0
        lumbar = tuple(1e6 * w * math.exp(-r * at_s) for w, r in zip(system.weights[:2], system.rates[:2]))
        own = tuple(1e6 * jump * math.exp(-r * at_s) for jump, r in zip(rule.jumps, rule.own_rates))
        found.append(Plasma(rule).level(4 * HOUR_US, (lumbar, own)))
    assert found[0] == pytest.approx(found[1], rel=2e-3) and found[0] > 0


def test_a_light_body_has_the_higher_level():
    light, adult = (modes(DRUGS["morphine"].plasma, csf.modes(DRUGS["morphine"].csf), kg) for kg in (25.0, 70.0))
    assert adult.clearance_ml_s / light.clearance_ml_s == pytest.approx((70 / 25) ** 0.75)
    assert adult.volumes[0] / light.volumes[0] == pytest.approx(70 / 25)
