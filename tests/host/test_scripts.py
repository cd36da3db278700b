"""The guided scripts on the real firmware: what is stopped, recorded and waited for; what ends well and what does not."""

import pytest
from real_pump import RealPump

from thecal.host import ImplantRecord, Prescription, scripts
from thecal.host.errors import RequestInvalid
from thecal.host.programmer import Programmer
from thecal.protocol import catalogue as cat

PROGRAM = Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day")


@pytest.fixture
def treated(bedside):
    bedside.record_implant(ImplantRecord("AB", "spasticity", bedside.status().time_s, "T10", True, "conditional"))
    bedside.program(PROGRAM)
    bedside.wait(days=2)
    return bedside


def through(script, first=1, until=99):
    told = {}
    done = script.run(lambda number, step: number <= until, lambda number, said: told.update({number: said}), first)
    return done, told


def test_an_overdose_is_stopped_emptied_and_watched(treated, real):
    out = real.withdraw()
    done, told = through(scripts.overdose(treated, out, catheter_aspirated=True))
    assert done["ok"] and told[3].startswith("stopped at") and told[4].startswith("%s aspirated, %s were computed to come out" % (out, out))
    status = treated.status()
    assert (status.mode, status.reservoir_computed_nl, status.catheter_filled) == ("stopped", 1_400_000, False)
    assert told[5].startswith("the catheter is on record as empty") and told[6] == "nothing moved in 20 min"
    assert done["missed"] == "baclofen 2.083 ug (0.004 mL) missed since the script began; it is not made up"
    stops = [event.text for event in treated.log() if event.code == cat.E_STOP]
    assert stops == ["emergency"] and "physostigmine is not recommended" in done["steps"][1]["words"]


def test_what_an_injection_without_aspirating_would_push(treated):
    words = scripts.overdose(treated).steps[4].words
    assert "the catheter's 0.176 mL" in words and "it would push baclofen 88 ug into the patient" in words, "0.176 mL x 500 ug/mL; 352 ug of 2000"
    treated.record_implant(ImplantRecord("AB", "", 0, access_port=False))
    assert scripts.overdose(treated).steps[4].words == "This pump has no access port: the catheter keeps its content."


def test_an_overdose_without_numbers_records_nothing(treated):
    done, told = through(scripts.overdose(treated))
    assert done["ok"] and told[4].startswith("nothing recorded") and told[5].startswith("nothing recorded") and treated.status().catheter_filled
    again, told = through(scripts.overdose(treated, missed_before_nl=done["missed_before_nl"]), first=3)
    assert told[3] == "it is stopped already" and abs(again["missed_nl"] - 2 * done["missed_nl"]) <= 1, "taken up again it counts from where it began"


def test_an_overdose_that_cannot_be_stopped_does_not_end_well(treated, real):
    script = scripts.overdose(treated)
    script.steps[2] = scripts.Step("Nobody stops it.")
    done, told = through(script)
    assert not done["ok"] and done["why"] == "the pump is not stopped: it is running"
    treated.stop()
    alarming = scripts.overdose(treated)
    alarming.wait = lambda seconds: (real.bench.__setattr__("angle", 2000), treated.wait(seconds=seconds))[1]
    done, told = through(alarming)
    assert not done["ok"] and "the pump still gives drug (motion without an order)" in done["why"]


def test_a_withdrawal_is_restored_and_looked_into(treated):
    treated.stop()
    treated.wait(hours=7)
    done, told = through(scripts.withdrawal(treated, bolus=None))
    assert done["ok"] and told[3] == "resumed: the program is given again" and told[4].startswith("none ordered") and told[5] == "the rotor turns"
    assert treated.status().mode == "running" and "mL computed" in told[6] and done["missed_nl"] <= 1000


def test_a_rescue_bolus_is_given(treated):
    done, told = through(scripts.withdrawal(treated, bolus=("50 ug", "10 min")))
    assert done["ok"] and told[3] == "delivery was not stopped by order: the pump is running" and told[4] == "50 ug over 10 min"
    assert [event.text for event in treated.log() if event.code == cat.E_BOLUS] == ["bolus: 0.1 mL in 10 min"]


def test_a_withdrawal_by_a_stall_or_an_empty_reservoir_does_not_end_well(treated, real):
    real.bench.stalled = True
    treated.wait(hours=2)
    done, told = through(scripts.withdrawal(treated))
    assert not done["ok"] and done["why"] == "the rotor has not turned in 20 min (motor stall): the patient depends on the rescue; plan the replacement"
    real.bench.stalled = False
    treated.wait(hours=1)
    treated.empty(real.withdraw())
    treated.wait(hours=2)
    done, told = through(scripts.withdrawal(treated), first=6)
    assert not done["ok"] and done["why"].startswith(("reservoir empty: refill it; 1.4 mL computed", "reservoir empty: refill it; 1.399 mL computed"))


def test_a_withdrawal_from_an_empty_catheter_does_not_end_well(treated):
    treated.record_catheter(filled=False)
    done, told = through(scripts.withdrawal(treated))
    assert told[5] == "the rotor turns" and not done["ok"]
    assert done["why"] == "the catheter is on record as empty: no drug reaches the patient before it is primed (`thecal prime`)"


def test_an_mri_stall_that_passes_ends_well_and_says_what_was_missed(treated, real):
    real.bench.stalled = True
    script = scripts.mri(treated, "45 min")
    marked = script.mark
    script.mark = lambda: (marked(), setattr(real.bench, "stalled", False))[0]
    done, told = through(script)
    assert done["ok"] and told[2] == "45 min on the pump's clock" and told[4] == "the rotor turns" and told[5] == told[6] == "not needed: the rotor turns"
    assert done["missed_nl"] == 9000 and told[7] == "baclofen 4.5 ug (0.009 mL) missed since the script began; it is not made up"
    before = treated.status().demanded_nl
    assert abs(treated.wait(days=1).demanded_nl - before - 300_000) <= 1000, "nothing is caught up"


def test_a_stall_that_stands_after_24_h_does_not(treated, real):
    real.bench.stalled = True
    start_s = treated.status().time_s
    done, told = through(scripts.mri(treated, "45 min"))
    assert not done["ok"] and done["why"].startswith("the rotor has not turned for 24 h after the scan: treat withdrawal, plan the replacement; baclofen 15")
    assert told[3] == told[4].replace(" (motor stall stands)", "") or "motor stall stands" in told[4]
    assert treated.status().time_s - start_s == 45 * 60 + 86_400, "20 min, 2 h and 24 h after the scan, on the pump's clock"


def test_a_stopped_pump_proves_nothing_and_an_unsafe_one_is_not_scanned(treated):
    treated.stop("mri")
    done, told = through(scripts.mri(treated))
    assert not done["ok"] and "the pump is stopped at 0 mL/day: nothing proves that its rotor turns" in done["why"]
    assert told[2].startswith("no time was waited")
    treated.record_implant(ImplantRecord("AB", "", 0, mri="unsafe"))
    done, told = through(scripts.mri(treated), until=1)
    assert told[1].startswith("DO NOT SCAN: this pump is on record as MRI unsafe") and not done["ok"]


def test_a_script_that_is_left_says_how_to_take_it_up(treated):
    done, told = through(scripts.mri(treated), until=2)
    assert not done["ok"] and done["why"] == "ended before step 3 of 7: take it up with --from 3 --missed-before '0 nL'" and list(told) == [1, 2]
    done, told = through(scripts.mri(treated, missed_before_nl=0), first=3)
    assert done["ok"] and told[3] == "the rotor has not turned yet" and told[4] == "the rotor turns"
    for number in (0, 8):
        with pytest.raises(RequestInvalid, match="step %d: the script mri has 1 .. 7" % number):
            through(scripts.mri(treated), first=number)


def test_a_pump_that_was_never_programmed(real):
    done, told = through(scripts.overdose(Programmer(RealPump(ready=True))), until=1)
    assert "idle: no program committed yet" in told[1] and done["missed"].startswith("an unknown dose")
