"""The mode table: rectangular, every cell visited, and on the real pump the derived mode is the table's target after every event."""

import pytest
from bare_pump import COMMISSION, DRUG, Bench, simple_program
from thecal.firmware import modes, orders
from thecal.protocol import catalogue as cat

MODES = range(len(cat.MODES))
KIND_OF_EVENT = {event: kind for kind, event in orders.EVENT_OF_KIND.items()}


def in_mode(mode, program=True):
    """A real pump brought into `mode`."""
    bench = Bench(ready=mode != modes.SHELF)
    if mode in (modes.RUNNING, modes.STOPPED, modes.PRIMING) and program:
        bench.program(500000)
    if mode == modes.PRIMING or (mode == modes.STOPPED and not program):
        bench.prime(100000, 24000000)
    if mode == modes.STOPPED:
        bench.stop()
    assert bench.app.mode == mode == bench.status()["mode"]
    return bench


def order_for(event, bench):
    """An order that is good in itself, so that only the mode may refuse it."""
    values = {
        modes.EV_COMMISSION: COMMISSION, modes.EV_PROGRAM: simple_program(600000), modes.EV_REFILL: dict(DRUG, withdrawn_ul=0, volume_ul=10000),
        modes.EV_STOP: {"reason": 1}, modes.EV_RESUME: {}, modes.EV_PRIME: {"volume_nl": 50000, "rate_nl_day": 24000000},
        modes.EV_SET_CLOCK: {"time_s": bench.rtc_s + 60}}[event]
    return KIND_OF_EVENT[event], values


def test_the_table_is_rectangular_and_leads_to_modes():
    assert len(modes.TABLE) == len(cat.MODES)
    assert all(len(row) == len(modes.EVENT_NAMES) for row in modes.TABLE)
    assert all(cell in MODES or cell == modes.REFUSE for row in modes.TABLE for cell in row)
    assert [modes.leads_to(mode, event) for mode in MODES for event in range(len(modes.EVENT_NAMES))] == [cell for row in modes.TABLE for cell in row]


def test_every_mode_can_be_reached_and_survives_a_reset_or_ends_in_a_defined_one():
    reached, queue = set(), [modes.SHELF]
    while queue:
        mode = queue.pop()
        if mode not in reached:
            reached.add(mode)
            queue += [cell for cell in modes.TABLE[mode] if cell != modes.REFUSE]
    assert reached == set(MODES)
    assert all(row[modes.EV_RESET] != modes.REFUSE for row in modes.TABLE), "a reset cannot be refused"


@pytest.mark.parametrize("commissioned", [0, 1])
@pytest.mark.parametrize("program", [False, True])
@pytest.mark.parametrize("stopped", [0, 1])
@pytest.mark.parametrize("priming", [False, True])
def test_derive_is_total_and_orders_its_truths(commissioned, program, stopped, priming):
    expected = modes.SHELF if not commissioned else modes.STOPPED if stopped else modes.PRIMING if priming else \
        modes.RUNNING if program else modes.IDLE
    assert modes.derive(commissioned, program, stopped, priming) == expected


@pytest.mark.parametrize("event", sorted(KIND_OF_EVENT), ids=lambda event: modes.EVENT_NAMES[event])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: cat.MODES[mode])
def test_every_cell_on_the_real_pump(mode, event):
    bench = in_mode(mode)
    before = bench.status()
    reply = bench.order(*order_for(event, bench))
    target = modes.leads_to(mode, event)
    if target == modes.REFUSE:
        assert reply["reason"] in (cat.R_STATE, cat.R_NOT_COMMISSIONED)
        assert bench.app.mode == mode
        after = bench.status()
        for name in ("running_digest", "rate_nl_day", "prime_left_nl", "reservoir_computed_nl", "pulses"):
            assert after[name] == before[name], name
    else:
        assert "reason" not in reply, reply
        assert bench.app.mode == target
    if mode == modes.SHELF and target == modes.REFUSE:
        assert reply["reason"] == cat.R_NOT_COMMISSIONED


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: cat.MODES[mode])
def test_a_reset_leads_where_the_table_says(mode):
    bench = in_mode(mode)
    bench.reboot(5)
    assert bench.app.mode == modes.leads_to(mode, modes.EV_RESET)


def test_a_prime_ends_by_itself():
    bench = in_mode(modes.PRIMING)
    bench.run_s(3600)
    assert bench.app.mode == modes.leads_to(modes.PRIMING, modes.EV_PRIME_END) == modes.RUNNING


def test_without_a_program_running_means_idle():
    bench = in_mode(modes.PRIMING, program=False)
    bench.run_s(3600)
    assert bench.app.mode == modes.IDLE
    bench = in_mode(modes.STOPPED, program=False)
    bench.resume()
    assert bench.app.mode == modes.IDLE and bench.app.effective_rate() == 0
    bench = in_mode(modes.IDLE)
    assert bench.order(cat.STOP, {"reason": 1})["reason"] == cat.R_STATE
