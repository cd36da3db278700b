"""The power cuts of test_power_cut.py for a handful of operations on real MicroPython: the same bytes in the store and on the line as in-process."""

import struct

import pytest
from bare_pump import COMMISSION, DRUG, MONDAY_S, STORE_BYTES, Bench, block_bytes, named, simple_program
from thecal.firmware.boards.latched import DONE, NO_CLOCK, POWER_LOST, REPLY, REPLY_BYTES, REQUEST_BYTES
from thecal.firmware.ports import PowerCut
from thecal.hw_sim.runner import InProcess, Tether
from thecal.protocol import catalogue as cat

ORDERS = {
    "program": (cat.PROGRAM, simple_program(700_000, 48_000)), "refill": (cat.REFILL, {**DRUG, "withdrawn_ul": 0, "volume_ul": 9000, "expires_s": 0, "lot": named(b"2"), "next_s": 0, "rinse": 0}),
    "bolus": (cat.BOLUS, {"volume_nl": 50_000, "seconds": 600}), "stop": (cat.STOP, {"reason": 1}), "set clock": (cat.SET_CLOCK, {"time_s": 63_600_000})}
CLASSES = (0, 1, 4)


class RunnerBench(Bench):
    """A bench on the two runtimes of the simulator: an exchange of bytes a wake, on a store of which every cut gets a copy."""

    def __init__(self, runner, image):
        self.runner = runner
        put_store(runner, image)
        super().__init__(MONDAY_S + 9100, ready=False)

    def _boot(self):
        self.runner.boot()
        super()._boot()

    def wake(self, rx=None):
        rx = self._no_rx if rx is None else rx
        self.begin(rx)
        reply = self.runner.exchange(bytes(self._request[:REQUEST_BYTES]) + rx)
        _, kind, flags, _, delay_ms, steps, hold_ms, tone, _, clock_s, self.step_writes, _, length = struct.unpack_from(REPLY, reply)
        if kind == POWER_LOST:
            raise PowerCut("power lost at a store write")
        assert kind == DONE
        latch = self.latch
        latch.steps, latch.hold_ms, latch.drop, latch.tone = steps, hold_ms, flags & 1, tone
        latch.clock_set_s = -1 if clock_s == NO_CLOCK else clock_s
        latch.tx[:length] = reply[REPLY_BYTES:]
        latch.tx_length = length
        self.end(delay_ms)

    def level(self):
        return 1860     # the fill of the image

    def stage_order(self, name):
        kind, values = ORDERS[name]
        refused = self.stage(kind, block_bytes(kind, {"order_id": 4000, **values}))
        assert refused is None, refused
        return self.ask(cat.CHECK)[1]["digest"]


def put_store(runner, image):
    if isinstance(runner, Tether):
        runner._store_path.write_bytes(image)
    else:
        runner._store.data[:] = image


@pytest.fixture(scope="module")
def image():
    """The store of a pump that has run for some hours: every cut begins there."""
    bench = Bench()
    bench.must(cat.COMMISSION, COMMISSION)
    bench.program(500_000)
    bench.run_s(9000)
    assert len(bench.store.data) == STORE_BYTES
    return bytes(bench.store.data)


def cut(runner, image, name, write, torn):
    """One cut: (store, status and answer to the retry, store at the end), or None when the order writes no more."""
    bench = RunnerBench(runner, image)
    digest = bench.stage_order(name)
    bench.cut_after, bench.torn = write, torn
    try:
        bench.ask(cat.COMMIT, (digest,))
        return None
    except PowerCut:
        bench.cut_after, bench.torn = 0xFFFF, 0
    left = runner.store()
    bench.reboot(30)
    said = bench.status(), bench.ask(cat.COMMIT, (digest,))
    bench.run_s(700)
    return left, said, bench.status(), bench.moved_steps, runner.store()


@pytest.mark.slow
@pytest.mark.req("TH-STORE-01")
@pytest.mark.micropython
@pytest.mark.parametrize("name", ORDERS)
def test_both_runtimes_leave_and_find_the_same_behind_every_cut(name, image):
    runners, cuts, write, kept = (InProcess(), Tether(heap="512K")), 0, 0, True
    try:
        while kept:
            for torn in CLASSES:
                one, two = (cut(runner, image, name, write, torn) for runner in runners)
                assert one == two, (write, torn)
                kept = one is not None
                if kept:
                    cuts += 1
                    reply, said = one[1][1]
                    assert said.get("again") == 1 or said["reason"] == cat.R_NOT_STAGED
            write += 1
    finally:
        for runner in runners:
            runner.close()
    print("\npower cuts of %s on both runtimes: %d" % (name, cuts))
    assert cuts >= 3 * 3 - 3
