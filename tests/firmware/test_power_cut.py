"""Power lost at every store write of every operation (issue 4, show 1): old or new in 100 %, no bolus twice, the books within a pulse of the rotor.

Each test prints its cuts. THECAL_POWER_CUTS=whole cuts the boot behind every cut too, at each of its writes: tests/README.md.
"""

import os
import time

import power_cut as pc
import pytest
from thecal.firmware import boot as boot_module
from thecal.firmware.settings import Settings
from thecal.firmware.slots import Slots

WHOLE = os.environ.get("THECAL_POWER_CUTS") == "whole"
# In CI the boot behind a cut is cut for these alone, with half of the write stored.
TWICE = ("program that starts a bridge", "stop of a patient bolus", "set clock back", "refill", "boot in a patient bolus", "first boot")


@pytest.fixture(scope="module")
def total():
    """[cuts, found new], printed when the module is done."""
    counted, started = [0, 0], time.monotonic()
    yield counted
    print("\npower cuts: %d of %d operations, %d found the old state, %d the new, neither 0; %.1f s" % (
        counted[0], len(pc.OPERATIONS), counted[0] - counted[1], counted[1], time.monotonic() - started))


def told(wrong):
    return "\n".join("write %d, %s of it stored%s: %s" % (write, pc.LEFT[torn], "" if boot < 0 else ", boot write %d" % boot, said) for write, torn, boot, said in wrong[:12])


@pytest.mark.slow
@pytest.mark.req("TH-STORE-01", "TH-STORE-02", "TH-STORE-04", "TH-BOL-12")
@pytest.mark.timeout(1800 if WHOLE else 120)
@pytest.mark.parametrize("name", pc.OPERATIONS)
def test_power_lost_at_every_write_leaves_the_old_state_or_the_new(name, total):
    cuts, news, wrong = pc.sweep(pc.OPERATIONS[name], boots=WHOLE)
    assert not wrong, "%d of %d cuts of %s went wrong\n%s" % (len({row[:3] for row in wrong}), cuts, name, told(wrong))
    assert cuts >= 5
    total[0] += cuts
    total[1] += news


@pytest.mark.slow
@pytest.mark.req("TH-STORE-01")
@pytest.mark.skipif(WHOLE, reason="every operation is swept so")
@pytest.mark.parametrize("name", TWICE)
def test_power_lost_again_in_the_boot_behind_it(name, total):
    cuts, news, wrong = pc.sweep(pc.OPERATIONS[name], classes=(1,), boots=True)
    assert not wrong, told(wrong)
    total[0] += cuts
    total[1] += news


@pytest.mark.slow
def test_without_fork_the_same_cuts_are_tried():
    operation = pc.OPERATIONS["refill"]
    assert pc.sweep(operation, fork=False) == pc.sweep(operation)


class TestTheSweepSees:
    """A sweep that passes everything is worth nothing: firmware that is broken on purpose."""

    def wrong(self, name):
        return told(pc.sweep(pc.OPERATIONS[name])[2])

    @pytest.mark.slow
    def test_a_record_that_is_written_over_itself(self, monkeypatch):
        save = Slots.save

        def in_place(slots):
            slots.slot = 1
            save(slots)

        monkeypatch.setattr(Slots, "save", in_place)
        assert "alarm 3 stands" in self.wrong("stop")

    def test_a_pulse_that_is_not_on_record(self, monkeypatch):
        save_intent = Settings.save_intent
        monkeypatch.setattr(Settings, "save_intent", lambda settings, time_s: settings._ledger.pulses % 2 and save_intent(settings, time_s))
        assert "the rotor turned" in self.wrong("pulses")

    @pytest.mark.slow
    def test_a_bolus_that_goes_on_behind_a_reset(self, monkeypatch):
        def resumed(app):
            boot(app)
            if app.settings.cut_kind:
                app.infusion.start_extra(3, 50_000, 7_200_000)

        boot = boot_module.boot
        monkeypatch.setattr("thecal.firmware.boot.boot", resumed)
        assert "a bolus goes on" in self.wrong("boot in a bolus")

    @pytest.mark.slow
    def test_an_order_that_takes_effect_before_its_record(self, monkeypatch):
        save_program = Settings.save_program

        def at_once(settings, block, length, time_s):
            settings.program_slot = save_program(settings, block, length, time_s)
            settings.save_state(time_s)
            return settings.program_slot

        monkeypatch.setattr(Settings, "save_program", at_once)
        assert "neither the old state nor the new" in self.wrong("program")

    @pytest.mark.slow
    def test_a_head_that_goes_back(self, monkeypatch):
        monkeypatch.setattr("thecal.firmware.event_log.EventLog.load", lambda log, floor: setattr(log, "head", 0))
        assert "events went back" in self.wrong("stop")

    @pytest.mark.slow
    def test_a_retry_that_is_executed_again(self, monkeypatch):
        save_state = Settings.save_state

        def forgetful(settings, time_s):
            settings.order_digest = bytes(8)
            save_state(settings, time_s)

        monkeypatch.setattr(Settings, "save_state", forgetful)
        assert "prescriptions is not as ordered" in self.wrong("program")
