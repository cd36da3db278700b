"""Blocks into the running pump: a boot from the store finds what the orders had loaded."""

import pytest
from bare_pump import A_BOLUS, COMMISSION, DRUG, Bench, simple_program
from thecal.firmware import level_test, loading
from thecal.protocol import catalogue as cat

LOADED = ("serial", "minimum_rate_nl_day", "nl_per_rev", "steps_per_rev", "tubing_nl", "dead_volume_nl", "commission_block", "program_block", "program_mode",
          "program_drugs", "bridge_rate_nl_day", "fill_drugs", "expires_s")


def test_what_an_order_loads_a_boot_loads_too():
    bench = Bench(tubing_nl=111_000)
    bench.must(cat.PROGRAM, {**simple_program(480_000, 240_000), **A_BOLUS})
    before = [getattr(bench.app, name) for name in LOADED]
    caps, bolus = (bench.app.caps.hour_nl, bench.app.caps.day_nl), (bench.app.bolus.volume_nl, bench.app.bolus.seconds)
    bench.reboot()
    assert [getattr(bench.app, name) for name in LOADED] == before
    assert (bench.app.caps.hour_nl, bench.app.caps.day_nl) == caps and (bench.app.bolus.volume_nl, bench.app.bolus.seconds) == bolus == (20_000, 600)
    assert bench.app.tubing_nl == 111_000 and bench.app.schedule.most_daily_nl == 480_000


@pytest.mark.req("TH-SUP-12")
def test_the_level_test_has_the_class_of_the_sensor_on_record_behind_a_boot_too():
    bench = Bench(level_drift_ul=level_test.STEADY_UL)
    assert bench.app.sensing.level_test._class is level_test.CLASSES[1] and Bench().app.sensing.level_test._class is level_test.CLASSES[0]
    bench.reboot()
    assert bench.app.sensing.level_test._class is level_test.CLASSES[1]


def test_an_emptied_reservoir_has_no_drug():
    bench = Bench()
    assert bench.app.fill_drugs[1] == DRUG["concentration_1_ng_ml"]
    bench.must(cat.REFILL, {**{name: bytes(16) if name.startswith("drug") else 0 for name in DRUG}, "withdrawn_ul": 1000, "volume_ul": 0, "expires_s": 0, "lot": bytes(16), "next_s": 0, "rinse": 0})
    assert bench.app.fill_drugs == ()


def test_a_head_keeps_its_step_remainder_through_a_boot():
    bench = Bench()
    bench.program(480_000)
    bench.run_s(3600)
    remainder = bench.app.ledger.steps_rem
    loading.commission(bench.app, bench.app.commission_block)
    assert bench.app.ledger.steps_rem == remainder and COMMISSION["nl_per_rev"] == bench.app.nl_per_rev
