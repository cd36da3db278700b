"""The mode table: rectangular, every cell visited on the real pump, and the derived mode is the table's target after every event."""

import pytest
from bare_pump import A_BOLUS, COMMISSION, DRUG, Bench, named, simple_program
from thecal.firmware import infusion, modes
from thecal.protocol import catalogue as cat
from thecal.protocol.session import PATIENT

MODES = range(len(cat.MODES))
KINDS = range(1, cat.LAST_KIND + 1)
NAMES = {kind: cat.BLOCKS[kind - 1][1] for kind in KINDS}
ENDS = {modes.EV_PRIME_END: 3600, modes.EV_BRIDGE_END: 86_400, modes.EV_BOLUS_END: 3600, modes.EV_PAUSE_END: 1800}
AT_HOME = {modes.PRIMING: modes.EV_PRIME_END, modes.BRIDGING: modes.EV_BRIDGE_END, modes.BOLUS: modes.EV_BOLUS_END, modes.PAUSED: modes.EV_PAUSE_END}
DOUBLE = dict(DRUG, concentration_1_ng_ml=2 * DRUG["concentration_1_ng_ml"])


def a_program(rate_nl_day=500_000, **changes):
    return {**simple_program(rate_nl_day), **A_BOLUS, **changes}


def in_mode(mode, program=True):
    """A real pump brought into `mode`."""
    bench = Bench(ready=mode != modes.SHELF)
    if mode == modes.PRIMING:
        if program:
            bench.must(cat.PROGRAM, a_program())
        bench.prime(100_000, 24_000_000)
    elif mode == modes.BRIDGING:
        bench.must(cat.PROGRAM, a_program())
        bench.must(cat.CATHETER, {"state": cat.CATHETER_FILLED})
        bench.bridge(250_000, 375_000, 500_000, more=A_BOLUS)
    elif mode not in (modes.SHELF, modes.IDLE):
        if program:
            bench.must(cat.PROGRAM, a_program())
        if mode == modes.BOLUS:
            bench.bolus(20_000, 1200)
        if mode == modes.PAUSED:
            bench.pause(30)
        if mode == modes.STOPPED:
            if not program:
                bench.prime(100_000, 24_000_000)
            bench.stop()
    assert bench.app.mode == mode == bench.status()["mode"]
    return bench


def order_for(kind, bench):
    """An order that is good in itself, so that only the mode may refuse it."""
    left_nl = bench.app.infusion.bridge_left_nl()
    record = {"patient": b"AB" + bytes(6), "indication": named(b"spasticity"), "tip_level": b"T10" + bytes(5), "mri": named(b"conditional")}
    return {
        cat.COMMISSION: COMMISSION, cat.REFILL: dict(DOUBLE if left_nl else DRUG, withdrawn_ul=0, volume_ul=10000, expires_s=0, lot=named(b"1"), next_s=0, rinse=0),
        cat.PROGRAM: a_program(300_000, bridge_nl=left_nl, bridge_rate_nl_day=400_000 if left_nl else 0, **(DOUBLE if left_nl else DRUG)),
        cat.STOP: {"reason": 1}, cat.RESUME: {}, cat.PRIME: {"what": cat.PRIME_BOTH, "volume_nl": 50000, "rate_nl_day": 24000000},
        cat.SET_CLOCK: {"time_s": bench.rtc_s + 60}, cat.BOLUS: {"volume_nl": 10_000, "seconds": 600}, cat.PATIENT_BOLUS: {}, cat.PAUSE: {"minutes": 10},
        cat.CATHETER: {"state": cat.CATHETER_FILLED}, cat.IMPLANT_RECORD: {"implanted_s": 0, "access_port": 1, **record},
        cat.TRIAL_RECORD: {"drug": named(b"baclofen"), "concentration_ng_ml": 50_000, "indicated": 0, "doses": b"\1\x50\xc3\0\0" + bytes(5)},
        cat.SILENCE: {"row": 0, "hours": 1}, cat.ACKNOWLEDGE: {"row": 0}, cat.ALARM_TEST: {"tone": 1},
        cat.VISIT: {"alarm_heard": 1, "report": bytes(8)}, cat.CALIBRATION: {"on": 1}}[kind]


def settled(target, bench):
    """Where the table says running, a bridge that is open runs first, and without a program the pump idles."""
    if target == modes.RUNNING and bench.app.infusion.bridge_left_nl():
        return modes.BRIDGING
    return modes.IDLE if target == modes.RUNNING and not bench.app.program_block else target


@pytest.mark.req("TH-MODE-03")
def test_the_table_is_rectangular_and_leads_to_modes():
    assert len(modes.TABLE) == len(cat.MODES) == len(modes.LETTERS)
    assert all(len(row) == modes.EVENTS for row in modes.TABLE)
    assert all(cell in modes.LETTERS + "." for row in modes.TABLE for cell in row)
    assert len(cat.EXTRAS) == infusion.PATIENT_BOLUS + 1


def test_every_mode_can_be_reached_and_survives_a_reset_or_ends_in_a_defined_one():
    reached, queue = {modes.BRIDGING}, [modes.SHELF]        # bridging: by a program that has something to bridge
    while queue:
        mode = queue.pop()
        if mode not in reached or mode == modes.BRIDGING:
            queue += [target for event in range(1, modes.EVENTS + 1) if (target := modes.leads_to(mode, event)) not in reached | {modes.REFUSE}]
            reached.add(mode)
    assert reached == set(MODES)
    assert all(modes.leads_to(mode, modes.EV_RESET) != modes.REFUSE for mode in MODES), "a reset cannot be refused"


@pytest.mark.req("TH-MODE-01")
@pytest.mark.parametrize("commissioned", [0, 1])
@pytest.mark.parametrize("program", [False, True])
@pytest.mark.parametrize("stopped", [0, 1])
@pytest.mark.parametrize("paused", [0, 77])
@pytest.mark.parametrize("extra", range(5))
def test_derive_is_total_and_orders_its_truths(commissioned, program, stopped, paused, extra):
    expected = modes.SHELF if not commissioned else modes.STOPPED if stopped else modes.PAUSED if paused else \
        [None, modes.PRIMING, modes.BRIDGING, modes.BOLUS, modes.BOLUS][extra] if extra else modes.RUNNING if program else modes.IDLE
    assert modes.derive(commissioned, program, stopped, paused, extra) == expected


@pytest.mark.req("TH-MODE-03", "TH-BAD-01")
@pytest.mark.parametrize("kind", KINDS, ids=NAMES.get)
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: cat.MODES[mode])
def test_every_cell_on_the_real_pump(mode, kind):
    bench = in_mode(mode)
    values = order_for(kind, bench)
    if kind == cat.PATIENT_BOLUS:
        bench.open_session(PATIENT)
    before = bench.status()
    reply = bench.order(kind, values)
    target = modes.leads_to(mode, kind)
    if target == modes.REFUSE:
        busy = mode in (modes.PRIMING, modes.BRIDGING, modes.BOLUS)
        assert reply["reason"] == (cat.R_NOT_COMMISSIONED if mode == modes.SHELF else cat.R_BUSY if busy else cat.R_STATE)
        assert bench.app.mode == mode
        after = bench.status()
        for name in ("running_digest", "rate_nl_day", "extra_left_nl", "reservoir_computed_nl", "pulses", "lockout_s", "catheter"):
            assert after[name] == before[name], name
    else:
        assert "reason" not in reply, reply
        assert bench.app.mode == settled(target, bench)


@pytest.mark.req("TH-MODE-04")
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: cat.MODES[mode])
def test_a_reset_leads_where_the_table_says(mode):
    bench = in_mode(mode)
    bench.reboot(5)
    assert bench.app.mode == settled(modes.leads_to(mode, modes.EV_RESET), bench)


@pytest.mark.req("TH-MODE-03", "TH-MODE-06")
@pytest.mark.parametrize("event", ENDS, ids=["prime", "bridge", "bolus", "pause"])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: cat.MODES[mode])
def test_each_extra_and_a_pause_end_by_themselves_and_only_their_own_mode(mode, event):
    """The refusals of these columns: what is not under way cannot end."""
    target = modes.leads_to(mode, event)
    assert (target != modes.REFUSE) == (AT_HOME.get(mode) == event)
    if target != modes.REFUSE:
        bench = in_mode(mode)
        bench.run_s(ENDS[event] - 1 if event == modes.EV_PAUSE_END else 1)
        assert bench.app.mode == mode
        bench.run_s(ENDS[event])
        assert bench.app.mode == settled(target, bench) == modes.RUNNING
    elif mode not in AT_HOME:
        bench = in_mode(mode)
        bench.run_s(3600)
        assert bench.app.mode == mode


@pytest.mark.req("TH-MODE-02")
def test_without_a_program_running_means_idle():
    bench = in_mode(modes.PRIMING, program=False)
    bench.run_s(3600)
    assert bench.app.mode == modes.IDLE
    bench = in_mode(modes.STOPPED, program=False)
    bench.resume()
    assert bench.app.mode == modes.IDLE and bench.app.effective_rate() == 0
    bench = in_mode(modes.IDLE)
    assert bench.order(cat.STOP, {"reason": 1})["reason"] == cat.R_STATE


@pytest.mark.req("TH-LIFE-03")
@pytest.mark.parametrize("halt", [cat.STOP, cat.PAUSE], ids=["stop", "pause"])
def test_a_bridge_waits_through_a_stop_or_a_pause_and_goes_on(halt):
    bench = in_mode(modes.BRIDGING)
    bench.run_s(3600)
    bench.must(halt, {"reason": 1} if halt == cat.STOP else {"minutes": 10})
    left_nl = bench.app.infusion.bridge_left_nl()
    bench.run_s(300)
    assert bench.app.infusion.bridge_left_nl() == left_nl > 300_000
    bench.resume()
    assert bench.app.mode == modes.BRIDGING and bench.status()["rate_nl_day"] == 500_000
