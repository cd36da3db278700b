"""The tree that `make flash` copies, on an emulated Pico with an unmodified MicroPython: the issue's Shows 7."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from thecal.host.fill import Fill
from thecal.host.implant import Implant
from thecal.host.programmer import Programmer
from thecal.hw_sim.staging import fold_script
from thecal.protocol import catalogue

pytestmark = pytest.mark.board

STEP, ENABLE, BENCH = 2, 6, 22
# The chip's own sensor, of the RP2040 data sheet 4.9.5: 0.706 V at 27 C, 1.721 mV less a degree.
IMPLANT = replace(Implant.reference(serial=77), temperature_zero_counts=3161, temperature_counts_per_c=2)
WARM_COUNTS, INLET_COUNTS = 876, 2000
START_S = 63_000_000
PROBE_STEPS = 13        # firmware/supervisor.py: what the encoder could not miss if the switch did not cut


def boot(emulate, **options):
    board = emulate(**options)
    board.wait_console("thecal on")
    for channel, counts in ((0, 1800), (1, INLET_COUNTS), (4, WARM_COUNTS)):
        board.cmd("adc", ch=channel, value=counts)
    board.cmd("watch", pins=[STEP, ENABLE], events=True)
    return board, Programmer.open(board.uart0, timeout_s=15)


def prepare(pump, volume="0.004 mL"):
    pump.commission(IMPLANT)
    pump.set_clock(START_S)
    pump.refill(Fill("18.6 mL", "baclofen", "500 ug/mL"))
    pump.prime("both", volume)


def edges(board, pin):
    """(microsecond, level) of each change while the pin is driven; levels above 1 are inputs, and what follows one is no edge."""
    found, before = [], 0
    for event in board.events:
        if event["ev"] == "pin" and event["pin"] == pin and event["v"] < 2 and event["v"] != before:
            before = event["v"]
            found.append((event["t_us"], before))
    return found


def holds_us(board):
    found = edges(board, ENABLE)
    assert [level for _, level in found] == [1, 0] * (len(found) // 2)
    return [fall - rise for (rise, _), (fall, _) in zip(found[::2], found[1::2])]


def wait_pulses(pump, pulses, wall_s=90):
    end = time.monotonic() + wall_s
    while (status := pump.status()).pulses < pulses:
        assert time.monotonic() < end, status
        time.sleep(0.5)
    time.sleep(1.5)         # the pulse is out of the pin: 118 ms of emulated time, at 0.3 of real time or better
    return pump.status()


@pytest.mark.parametrize("fram", [True, False], ids=["fram", "flash"])
def test_status_over_the_line_and_pulses_at_the_step_pin(emulate, fram):
    """On flash a page erase shuts interrupts for 45 ms: a frame that comes then is damaged, counted and repeated by the link."""
    board, pump = boot(emulate, fram={"present": fram})
    with pump:
        assert pump.identity().runtime == "micropython 1.24.1 rp2"
        status = pump.status()
        assert (status.mode, status.reset_cause, status.boot_count) == ("shelf", "power on", 1)
        prepare(pump)
        status = wait_pulses(pump, 3)
        steps, left = divmod(status.ordered_nl * IMPLANT.steps_per_rev, IMPLANT.nl_per_rev)
        assert left == 0 and steps == 3 * 117 + 1      # 117.03 steps a uL: the fourth pulse's share has not come up to one yet
        assert board.cmd("counts")["rises"][str(STEP)] == steps + PROBE_STEPS      # the power-on self-test's, against the open switch
        assert board.cmd("rotor") | {"id": 0} == {"steps": steps, "lost": PROBE_STEPS, "enable": False, "id": 0}
        assert status.missed_nl["stall"] == 0
        assert status.frames_bad == 0 or not fram, "a FRAM shuts nothing: every frame arrives whole"
        assert START_S <= status.time_s < START_S + 60
    rises = [at for at, level in edges(board, STEP) if level]
    assert sum(gap != 1000 for gap in (b - a for a, b in zip(rises, rises[1:]))) == 3       # 1000 steps a second within each pulse and the probe
    assert [hold for hold in holds_us(board) if hold not in (147_000, 148_000)] == []       # a pulse's time and 30 ms


def test_the_command_line_asks_a_board_like_any_other(emulate):
    board = emulate()
    board.wait_console("thecal on")
    done = subprocess.run([sys.executable, "-m", "thecal", "--port", board.uart0, "--timeout", "15", "status", "--json"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert '"power on"' in done.stdout and json.loads(done.stdout), done.stdout


def test_a_rotor_that_turns_without_an_order_wakes_the_pump(emulate):
    board, pump = boot(emulate)
    with pump:
        pump.commission(IMPLANT)
        asked = pump.status()
        board.cmd("rotor", offset=300)
        until = board.cmd("stat")["sim_s"] + 5
        while board.cmd("stat")["sim_s"] < until:
            time.sleep(0.2)
        raised = [event for event in pump.log() if event.code == catalogue.E_ALARM]
        assert [event.cause for event in raised] == [1]         # alarms.md row 1, and nobody had asked the pump anything
        assert raised[0].time_s <= asked.time_s + 1
        assert pump.status().time_s >= raised[0].time_s + 3


@pytest.mark.slow
def test_a_bare_board_answers_and_reports_that_nothing_turns(emulate):
    board, pump = boot(emulate, rotor={"present": False})
    with pump:
        prepare(pump, "0.006 mL")
        status = wait_pulses(pump, 3)
        end = time.monotonic() + 60
        while not status.alarms:
            assert time.monotonic() < end, status
            time.sleep(1)
            status = pump.status()
        assert [alarm.row for alarm in status.alarms] == [7, 23]    # motor stall, and the prime that it cut short
        assert status.missed_nl["stall"] >= 3000 - 1000 and status.mode != "shelf"


def test_the_bench_jumper_simulates_the_encoder_and_says_so(emulate):
    board, pump = boot(emulate, rotor={"present": False}, drive={BENCH: 0})
    with pump:
        assert pump.identity().runtime == "micropython 1.24.1 rp2, bench encoder"
        assert "bench encoder" in board.console
        prepare(pump)
        status = wait_pulses(pump, 2)
        assert status.missed_nl["stall"] == 0 and status.alarms == []


@pytest.mark.req("TH-STORE-01")
@pytest.mark.parametrize("fram", [False, True], ids=["flash", "fram"])
def test_records_survive_the_loss_of_power(emulate, tmp_path, fram):
    board, pump = boot(emulate, fram={"present": fram})
    with pump:
        pump.commission(IMPLANT)
        assert pump.status().mode != "shelf"
    board.cmd("reset")
    board.wait(lambda event: event["ev"] == "reset")
    with Programmer.open(board.uart0, timeout_s=15) as pump:
        assert pump.implant() == IMPLANT
        status = pump.status()
        assert (status.boot_count, status.reset_cause) == (2, "power on")
    assert (board.cmd("stat")["flash"]["erases"] == 0) == fram
    assert (board.cmd("fram")["writes"] > 0) == fram


HANGS = """
import time
from thecal.firmware.boards import dev_board, pico

board = pico.Board()
ports = board.ports
print("cause", ports.system.reset_cause(), "time", ports.clock.now_s())
if ports.system.reset_cause() != dev_board.WATCHDOG:
    ports.clock.set_s(63000000)
    def step():
        ports.motor.order(65535, 500)
        return 5000
    board.begin()
    board.end(step())
    print("slept")
    board.begin()
    ports.motor.order(200, 400)
    board.end(1)
    while True:
        pass
"""


@pytest.mark.req("TH-SUP-09")
@pytest.mark.slow
def test_enable_falls_and_the_watchdog_bites_when_the_code_hangs(emulate, pico_tree, tmp_path):
    tree = shutil.copytree(pico_tree, tmp_path / "tree")
    (tree / "main.py").write_text(fold_script(HANGS, "pico"))
    board = emulate(tree)
    board.cmd("watch", pins=[STEP, ENABLE], events=True)
    board.wait_console("slept")         # 5 s: over one slice, so the watchdog was fed
    reset = board.wait(lambda event: event["ev"] == "reset", 90)
    board.wait_console("cause 3 time 630000")
    first, second = [at for at, level in edges(board, ENABLE) if level]
    assert 4_900_000 < second - first < 5_200_000
    assert holds_us(board) == [500_000, 400_000]
    assert board.cmd("rotor")["steps"] == 500 + 200         # the rest of the long train went nowhere, not into the second lease
    assert 7_900_000 < reset["at_us"] - second < 8_200_000
    assert START_S + 5 <= int(board.console.split("cause 3 time ")[1].split()[0]) <= START_S + 14


def test_ctrl_c_cuts_the_motor_and_stops_the_watchdog(emulate):
    board, pump = boot(emulate)
    with pump:
        pump.commission(IMPLANT)
        assert board.exec("print(6 * 7)").strip() == "42"
        assert board.exec("import time; time.sleep(10); print('alive')").strip() == "alive"
    assert not [event for event in board.events if event["ev"] == "reset"]
    assert board.cmd("read", pin=ENABLE)["level"] == 0
    assert board.cmd("counts")["rises"][str(STEP)] == 0
