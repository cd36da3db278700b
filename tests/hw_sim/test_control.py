"""Commands to a live world: each acts, wrong ones get a sentence, and what was carried out is told to the record."""
import json

import pytest
from thecal.host import Fill, Implant, Prescription, Programmer
from thecal.hw_sim.control import Control

S = 1_000_000


@pytest.fixture
def control(new_world):
    heard = []
    made = Control(new_world(), heard.append)
    made.told = heard
    return made


def test_a_fault_is_set_looked_at_and_healed(control, new_world):
    assert control.answer("fault head_gain 1.4\n").startswith("ok head_gain 1.4 at 0.")
    assert json.loads(control.answer("faults")[3:])[0]["name"] == "head_gain"
    assert control.answer("heal head_gain") == "ok"
    assert control.answer("fault rotor_stall").startswith("ok ") and json.loads(control.answer("truth stalled")[3:]) is True
    assert control.told == ["fault head_gain 1.4", "faults", "heal head_gain", "fault rotor_stall", "truth stalled"]


def test_surroundings_power_clock_reed_and_store(control):
    assert [control.answer(text) for text in (
        "env temperature 39", "env field 0.005", "power_cut 5", "clock_jump -3600", "reed_held", "heal reed_held", "magnet on", "magnet off",
        "store_flip 4096 3", "store_dead", "heal store_dead", "torn_write 3 half", "ram_flip copy 3", "env temperature off")] == ["ok"] * 14
    assert json.loads(control.answer("truth temperature_c")[3:]) == 37.0 and json.loads(control.answer("truth field_t")[3:]) == 0.005
    assert json.loads(control.answer("truth")[3:])["reservoir_ul"] == 0.0
    assert "store_flip" in control.answer("help")
    names = [fault["name"] for fault in json.loads(control.answer("faults")[3:])]
    assert names == ["temperature_c", "field_t", "power_cut", "clock_jump", "reed_held", "store_flip", "store_dead", "torn_write", "ram_flip"]


def test_a_syringe_takes_and_gives(control):
    """A first fill, a refill of two drugs, and an aspirated catheter: what a live pump's visit needs beside its records."""
    assert control.answer("fill 18600 baclofen 500") == "ok"
    truth = json.loads(control.answer("truth")[3:])
    assert truth["reservoir_ul"] == 18_600 and truth["reservoir_ng_per_ul"] == {"baclofen": 500}
    assert control.answer("withdraw 5000") == "ok 5000.0 uL" and control.answer("withdraw") == "ok 12200.0 uL"
    assert control.answer("fill 10000 morphine 10000 bupivacaine 7500") == "ok" and control.answer("catheter baclofen 500") == "ok"
    truth = json.loads(control.answer("truth")[3:])
    assert truth["reservoir_ul"] == 11_400 and truth["tip_ng_per_ul"]["baclofen"] == 500 and truth["mass_error"] < 1e-12
    assert control.answer("catheter") == "ok" and json.loads(control.answer("truth")[3:])["tip_ng_per_ul"]["baclofen"] == 0
    assert "fill 18600 baclofen 500" in control.told


@pytest.mark.slow
def test_from_the_shelf_to_the_first_dose(new_world):
    """README's first implant on a live pump: the syringe by the control port, the records by the programmer; then a refill."""
    world = new_world()
    hands = Control(world)
    with Programmer(world.port()) as pump:
        pump.commission(Implant(serial=5))
        hands.answer("fill 18600 baclofen 500")
        pump.refill(Fill("18.6 mL", "baclofen", "500 ug/mL"))
        pump.prime("both")
        pump.wait(minutes=24)
        pump.program(Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day"))
        pump.wait(days=10)
        assert json.loads(hands.answer("truth tip_ng")[3:])["baclofen"] == pytest.approx(1_500_000, rel=0.02)
        out_ul = float(hands.answer("withdraw")[3:].split()[0])
        hands.answer("fill 18600 baclofen 500")
        pump.refill(Fill("18.6 mL", "baclofen", "500 ug/mL", withdrawn="%.3f mL" % (out_ul / 1000)))
        assert pump.wait(hours=2).alarms == []


@pytest.mark.parametrize("text, sentence", [
    ("withdraw 0", "it must be more than 0"), ("withdraw some", "'some' is not a number"), ("fill", "fill takes 1 to 7 words"), ("fill inf", "and finite"),
    ("fill 100 baclofen", "baclofen stands without its ug/mL"), ("fill 100 aspirin 5", "aspirin"), ("fill 30000 baclofen 500", "the reservoir holds"),
    ("fill 100 baclofen -5", "baclofen"), ("catheter baclofen", "baclofen stands without its ug/mL"),
    ("", "no command"), ("explode", "no command is called 'explode'"), ("fault", "fault takes 1 to 2 words"), ("fault gremlin", "no fault of the plant"),
    ("fault head_gain lots", "'lots' is not a number"), ("fault head_gain 9", "must lie between 0 and 5"), ("fault rotor_stall 1", "takes no value"),
    ("fault head_gain nan", "must lie between"), ("heal power_cut", "cannot be healed"), ("env humidity 3", "none of temperature, ambient, field"),
    ("env temperature 99", "must lie between 20 and 45"), ("power_cut 0", "more than 0 s"), ("clock_jump soon", "not a whole number"),
    ("magnet near", "neither on nor off"), ("store_flip 999999999 0", "must lie between 0 and"), ("store_flip 0 9", "the bit between 0 and 7"),
    ("torn_write 0", "must lie between 1"), ("ram_flip stack 0", "the record must be one of"), ("ram_flip copy one", "not a whole number"), ("torn_write 3 most", "be one of nothing"), ("truth beauty", "'beauty' is none of"), ("power_cut inf", "")])
def test_what_makes_no_sense_is_refused_in_one_line(control, text, sentence):
    answer = control.answer(text)
    assert answer.startswith("refused: ") and sentence in answer and "\n" not in answer
    assert control.told == []
