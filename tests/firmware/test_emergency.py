"""Emergency without a key: the magnet shows the card and reduces; nothing raises; a day later the program is back."""

import pytest
from bare_pump import Bench, flex_program
from thecal.firmware import alarms as al
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import size
from thecal.protocol.frame import MAX_PAYLOAD

DAY_S = 86_400


@pytest.fixture
def bench():
    made = Bench()
    made.program(480_000, fallback_nl_day=240_000)
    made.run_s(3600)
    made.magnet = True
    return made


@pytest.mark.req("TH-LIFE-09")
def test_without_the_magnet_there_is_no_card_and_no_reduction(bench):
    bench.magnet = False
    for message, values in ((cat.CARD, ()), (cat.REDUCE, (cat.REDUCE_STOP,))):
        assert bench.ask(message, values)[1]["reason"] == cat.R_MAGNET
    assert bench.status()["rate_nl_day"] == 480_000


@pytest.mark.req("TH-LIFE-09")
def test_the_card_says_what_an_emergency_room_must_know(bench):
    reply, card = bench.ask(cat.CARD)
    assert reply == cat.CARD | cat.REPLY_BIT
    assert card["drug_1"].rstrip(b"\0") == b"baclofen" and card["concentration_1_ng_ml"] == 500_000
    assert (card["daily_nl"], card["rate_nl_day"], card["mode"]) == (480_000, 480_000, 2)
    assert card["reservoir_computed_nl"] == bench.app.ledger.reservoir_nl()
    assert card["time_s"] - card["filled_s"] >= 3600
    assert card["contact"].rstrip(b"\0") == b"clinic +00 000 0000"


def test_the_contact_survives_a_reset_and_a_pump_on_the_shelf_has_none(bench):
    bench.reboot()
    assert bench.ask(cat.CARD)[1]["contact"].rstrip(b"\0") == b"clinic +00 000 0000"
    shelf = Bench(ready=False)
    shelf.magnet = True
    assert shelf.ask(cat.CARD)[1]["contact"] == bytes(cat.CONTACT_BYTES)


def test_the_longest_card_fits_a_frame():
    assert size(cat.message(cat.CARD | cat.REPLY_BIT)[5]) <= MAX_PAYLOAD


def test_a_pump_without_a_program_shows_an_empty_card_and_reduces_nothing():
    bench = Bench()
    bench.magnet = True
    assert bench.ask(cat.CARD)[1]["daily_nl"] == 0
    assert bench.ask(cat.REDUCE, (cat.REDUCE_STOP,))[1]["reason"] == cat.R_STATE


@pytest.mark.req("TH-LIFE-09", "TH-ALM-17")
@pytest.mark.parametrize("action, rate", [(cat.REDUCE_FALLBACK, 240_000), (cat.REDUCE_STOP, 0)])
def test_a_reduction_is_loud_stands_through_a_reset_and_ends_after_a_day(bench, action, rate):
    tones = bench.tones
    reply, said = bench.ask(cat.REDUCE, (action,))
    assert (reply, said["rate_nl_day"]) == (cat.REDUCE | cat.REPLY_BIT, rate)
    bench.magnet = False
    bench.run_s(3600)
    assert bench.tones - tones >= 6 and bench.app.alarms.is_active(al.EMERGENCY)
    bench.reboot(60)
    assert bench.app.alarms.is_active(al.EMERGENCY) and bench.app.effective_rate() == rate
    missed = bench.missed_nl()
    bench.run_s(DAY_S)
    assert not bench.app.alarms.is_active(al.EMERGENCY) and bench.app.effective_rate() == 480_000
    if action == cat.REDUCE_STOP:
        assert bench.missed_nl() - missed == pytest.approx(480_000 * (DAY_S - 3660) / 86_400, rel=0.01), "what a stop keeps back is booked as missed"


@pytest.mark.req("TH-LIFE-09")
def test_fallback_behind_a_stop_would_raise_and_is_refused(bench):
    bench.ask(cat.REDUCE, (cat.REDUCE_STOP,))
    assert bench.ask(cat.REDUCE, (cat.REDUCE_FALLBACK,))[1]["reason"] == cat.R_STATE
    assert bench.app.effective_rate() == 0
    assert bench.ask(cat.REDUCE, (cat.REDUCE_STOP,))[0] == cat.REDUCE | cat.REPLY_BIT


@pytest.mark.req("TH-LIFE-09")
def test_a_fallback_above_the_program_raises_nothing():
    bench = Bench()
    bench.must(cat.PROGRAM, flex_program([[(0, 48_000), (720, 960_000)]], bytes(7), 240_000))
    bench.magnet = True
    assert bench.ask(cat.REDUCE, (cat.REDUCE_FALLBACK,))[1]["rate_nl_day"] == 48_000
    bench.run_s(13 * 3600)
    assert bench.app.effective_rate() == 240_000, "and at noon the fallback holds"


def test_a_clinicians_order_ends_it(bench):
    for end in (lambda: bench.program(400_000, fallback_nl_day=200_000), bench.resume, lambda: (bench.stop(), bench.resume())):
        bench.ask(cat.REDUCE, (cat.REDUCE_STOP,))
        assert bench.app.effective_rate() == 0
        end()
        assert bench.app.effective_rate() == bench.app.program_rate > 0
        assert not bench.app.alarms.is_active(al.EMERGENCY)


@pytest.mark.parametrize("action", [cat.REDUCE_FALLBACK, cat.REDUCE_STOP])
def test_a_bolus_under_way_ends_at_once_and_for_good(bench, action):
    bench.bolus(20_000, 1200)
    bench.run_s(60)
    bench.ask(cat.REDUCE, (action,))
    assert bench.app.infusion.extra == 0 and bench.app.alarms.is_active(al.BOLUS_CUT)
    assert bench.order(cat.BOLUS, {"volume_nl": 1000, "seconds": 60})["reason"] == cat.R_ALARM
    bench.resume()
    assert bench.app.infusion.extra == 0 and bench.app.effective_rate() == 480_000


def test_a_pause_that_is_reduced_ends_and_leaves_the_reduction(bench):
    bench.pause(10)
    bench.ask(cat.REDUCE, (cat.REDUCE_FALLBACK,))
    assert bench.app.effective_rate() == 0
    bench.run_s(660)
    assert bench.app.effective_rate() == 240_000
