"""The two-compartment model: published figures, exactness for any step, mass, effect site, patients."""
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thecal.hw_sim.csf import EMPTY, Csf, for_patient, infused, levels, modes, stepped
from thecal.hw_sim.params import PatientParams, PlantParams

DRUGS = PlantParams.load().drugs
HOUR_US = 3_600_000_000

# net lumbar clearance (mL/h), lumbar to cisternal ratio, mode half-lives (h): clinical.md, minimal model
TABLE = {"baclofen": (30, 4.0, 1.3, 2.3), "morphine": (13.1, 4.4, 1.4, 3.0), "hydromorphone": (15, 4.1, 1.4, 2.7),
         "ziconotide": (22.9, 1.2, 0.3, 4.1), "bupivacaine": (23, 6.0, 1.6, 2.7), "fentanyl": (83, 6.0, 0.5, 2.5),
         "sufentanil": (103.3, 6.0, 0.4, 2.5), "clonidine": (31, 5.0, 1.25, 2.5)}     # these two: this project's, on the same pattern


@pytest.mark.parametrize("drug", TABLE)
def test_each_row_of_the_model_table(drug):
    clearance, ratio, fast_h, slow_h = TABLE[drug]
    solved = modes(DRUGS[drug].csf)
    settled = levels(solved, infused(solved, EMPTY, 3.6e6, 1000 * 1000.0))      # 1000 ng/h for 1000 h
    assert 1000 / settled.lumbar == pytest.approx(clearance, rel=0.02)
    assert settled.lumbar / settled.cisternal == pytest.approx(ratio, abs=0.06)
    assert settled.effect == pytest.approx(settled.lumbar)
    half_lives = [math.log(2) / rate / 3600 for rate in solved.rates[:2]]
    assert half_lives == [pytest.approx(fast_h, abs=0.06), pytest.approx(slow_h, abs=0.06)]


def runge_kutta(p, state, hours, inflow=0.0, steps=4000):
    """An independent integration of the equations as printed, to hold the modes against."""
    def slope(x):
        lumbar, cisternal, effect = x
        return ((inflow - p.lumbar_clearance_ml_h * lumbar - p.exchange_ml_h * (lumbar - cisternal)) / p.lumbar_ml,
                (p.exchange_ml_h * (lumbar - cisternal) - p.cisternal_clearance_ml_h * cisternal) / p.cisternal_ml,
                p.effect_rate_1_h * (lumbar - effect))

    h = hours / steps
    for _ in range(steps):
        k1 = slope(state)
        k2 = slope([x + h / 2 * k for x, k in zip(state, k1)])
        k3 = slope([x + h / 2 * k for x, k in zip(state, k2)])
        k4 = slope([x + h * k for x, k in zip(state, k3)])
        state = [x + h / 6 * (a + 2 * b + 2 * c + d) for x, a, b, c, d in zip(state, k1, k2, k3, k4)]
    return state


@pytest.mark.parametrize("drug", ["baclofen", "ziconotide", "fentanyl"])
def test_modes_agree_with_a_plain_integration(drug):
    p = DRUGS[drug].csf
    solved = modes(p)
    bolus = levels(solved, stepped(solved, stepped(solved, EMPTY, 0.0, 5e4), 3 * 3600))
    assert bolus == pytest.approx(runge_kutta(p, [5e4 / p.lumbar_ml, 0.0, 0.0], 3), rel=1e-8)
    drip = levels(solved, infused(solved, EMPTY, 3 * 3600, 3 * 700.0))
    assert drip == pytest.approx(runge_kutta(p, [0.0, 0.0, 0.0], 3, inflow=700.0), rel=1e-8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.sampled_from(sorted(DRUGS)))
def test_one_jump_equals_many_and_mass_closes(parts, drug):
    solved = modes(DRUGS[drug].csf)
    start = stepped(solved, infused(solved, EMPTY, 7200.0, 3e4), 0.0, 1e4)
    many = start
    for part in parts:
        many = stepped(solved, many, part)
    one = stepped(solved, start, sum(parts))
    assert many == pytest.approx(one, rel=1e-9, abs=1e-12)
    now = levels(solved, many)
    held = solved.volumes[0] * now.lumbar + solved.volumes[1] * now.cisternal
    assert held + many[3] == pytest.approx(4e4, rel=1e-11)


def test_an_impulse_leaves_the_effect_site_and_the_cistern_where_they_were():
    csf = Csf(DRUGS["morphine"].csf)
    csf.dose(0, 1000.0)
    before = csf.levels(HOUR_US)
    csf.dose(HOUR_US, 5000.0)
    after = csf.levels(HOUR_US)
    assert after.lumbar - before.lumbar == pytest.approx(5000.0 / 50)
    assert (after.cisternal, after.effect) == pytest.approx((before.cisternal, before.effect))


def test_looking_changes_nothing_and_an_infusion_is_the_sum_of_its_halves():
    one, two = Csf(DRUGS["baclofen"].csf), Csf(DRUGS["baclofen"].csf)
    one.infuse(0, 2 * HOUR_US, 600.0)
    two.infuse(0, HOUR_US, 300.0)
    two.levels(9 * HOUR_US)
    two.infuse(HOUR_US, 2 * HOUR_US, 300.0)
    assert two.levels(5 * HOUR_US) == pytest.approx(one.levels(5 * HOUR_US), rel=1e-12)
    assert sum(one.mass_ng(5 * HOUR_US)) == pytest.approx(600.0)


def test_equal_rates_are_moved_apart_not_divided_by_zero():
    p = DRUGS["baclofen"].csf
    slow = modes(p).rates[1] * 3600
    near, at = modes(replace(p, effect_rate_1_h=slow * 1.001)), modes(replace(p, effect_rate_1_h=slow))
    level = [levels(m, stepped(m, stepped(m, EMPTY, 0.0, 1e4), 4 * 3600)).effect for m in (near, at)]
    assert level[1] == pytest.approx(level[0], rel=1e-3)


DRAWN = ("lumbar_ml", "cisternal_ml", "lumbar_clearance_ml_h", "exchange_ml_h")


def test_patients_are_reproducible_and_never_below_bulk_absorption():
    drug = DRUGS["baclofen"]
    assert for_patient(drug, PatientParams.load()) is drug.csf
    assert for_patient(drug, PatientParams.load(sigma=0.5, seed=3)) == for_patient(drug, PatientParams.load(sigma=0.5, seed=3))
    group = [for_patient(drug, PatientParams.load(sigma=0.5, seed=seed)) for seed in range(400)]
    assert min(p.cisternal_clearance_ml_h for p in group) == 20.0
    assert {p.effect_rate_1_h for p in group} == {0.12}


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.5, 0.8])
def test_each_parameter_is_log_normal_with_the_published_sigma_and_of_its_own(sigma):
    """Kolmogorov-Smirnov against the normal distribution of the logarithms, and no correlation between any two; 1,000 patients."""
    count, typical = 1000, DRUGS["morphine"].csf
    group = [for_patient(DRUGS["morphine"], PatientParams.load(sigma=sigma, seed=seed)) for seed in range(count)]
    logs = {name: [math.log(getattr(p, name) / getattr(typical, name)) for p in group] for name in DRAWN}
    for name, column in logs.items():
        ranked = sorted(column)
        farthest = max(abs((i + 0.5) / count - (1 + math.erf(x / sigma / math.sqrt(2))) / 2) for i, x in enumerate(ranked))
        assert farthest < 1.63 / math.sqrt(count), name         # 1 in 100 of true samples would be farther off
        assert abs(sum(column) / count) < 3 * sigma / math.sqrt(count), name
        assert math.sqrt(sum(x * x for x in column) / count) == pytest.approx(sigma, rel=0.07), name
    pairs = [(a, b) for i, a in enumerate(DRAWN) for b in DRAWN[i + 1:]]
    for a, b in pairs:
        assert abs(sum(x * y for x, y in zip(logs[a], logs[b])) / count / sigma ** 2) < 4 / math.sqrt(count), (a, b)
    # what that means for a patient: the net clearance varies by a factor of exp(sigma) either way, mean above median
    net = sorted(p.lumbar_clearance_ml_h for p in group)
    assert net[count // 2] == pytest.approx(8.3, rel=0.1) and sum(net) / count == pytest.approx(8.3 * math.exp(sigma ** 2 / 2), rel=0.12)


def test_the_child_and_the_old_keep_other_levels_and_times():
    """The old with 350 mL settle at the adult's level, more slowly; the child's level is 1.8 times it."""
    found = {}
    for model in ("child", "adult", "elderly"):
        patient = PatientParams.load(model)
        solved = modes(for_patient(DRUGS["baclofen"], patient))
        settled = levels(solved, infused(solved, EMPTY, 3.6e6, 1000 * 1000.0)).lumbar
        early = levels(solved, infused(solved, EMPTY, 2 * 3600.0, 2 * 1000.0)).lumbar
        found[model] = settled, early / settled
    assert found["elderly"][0] == pytest.approx(found["adult"][0], rel=0.05)
    assert found["elderly"][1] < 0.6 * found["adult"][1]
    assert found["child"][0] == pytest.approx(1.8 * found["adult"][0], rel=0.05)


def test_one_body_has_the_same_volume_factor_for_every_drug():
    patient = PatientParams.load(sigma=0.6, seed=11)
    ratios = [for_patient(DRUGS[name], patient).lumbar_ml / DRUGS[name].csf.lumbar_ml for name in ("baclofen", "morphine")]
    clearances = [for_patient(DRUGS[name], patient).lumbar_clearance_ml_h / DRUGS[name].csf.lumbar_clearance_ml_h
                  for name in ("baclofen", "morphine")]
    assert ratios[0] == pytest.approx(ratios[1]) and clearances[0] != pytest.approx(clearances[1])
