"""Emergency without a key: the card in words, and what can only reduce."""

import pytest

from thecal.host import drug_library, emergency
from thecal.host.errors import PumpRefused, RequestInvalid
from thecal.host.keystore import Keystore
from thecal.host.programmer import Programmer
from thecal.protocol import catalogue as cat


@pytest.mark.req("TH-LIFE-09")
def test_neither_key_nor_session_is_needed(fake, tmp_path):
    fake.magnet, fake.program, fake.keys = True, b"some", {1: b"k" * 32}
    (tmp_path / "keys.json").write_text("damaged")
    pump = Programmer(fake, keys=Keystore(tmp_path / "keys.json"))
    card = pump.card()
    assert [(item.name, item.show_concentration()) for item in card.drugs] == [("baclofen", "500 ug/mL")]
    rows = card.rows()
    assert ("drug", "baclofen 500 ug/mL, 150 ug/day") in rows and ("now", "running, 0.3 mL/day") in rows
    assert dict(rows)["clinic"] == card.to_dict()["contact"] == "clinic +00 000 0000"
    assert dict(rows)["next fill"] == "before 2026-02-24" and dict(rows)["last fill"].startswith("2026-01-05")
    plain = card.to_dict()
    assert (plain["drugs"][0]["daily_dose_ng"], plain["daily_nl"], plain["low_reservoir_days"]) == (150_000.0, 300_000, 50)
    reduced = pump.reduce("fallback")
    assert (reduced.action, reduced.rate_nl_day, reduced.until_s - fake.time_s) == ("fallback", 150_000, 86_400)
    assert pump.reduce("stop").to_dict()["rate_nl_day"] == 0
    with pytest.raises(PumpRefused, match="it is stopped already, and falling back would raise the rate"):
        pump.reduce("fallback")
    assert fake.role == 0 and cat.SESSION_OPEN not in fake.served


def test_without_the_magnet_it_is_said(fake):
    pump = Programmer(fake)
    for use in (pump.card, lambda: pump.reduce("stop")):
        with pytest.raises(PumpRefused, match="needs the magnet at the pump: hold it there and try again") as caught:
            use()
        assert caught.value.code == cat.R_MAGNET
    assert fake.reduction == 0


def test_a_pump_without_a_program(fake):
    fake.magnet = True
    pump = Programmer(fake)
    rows = dict(pump.card().rows())
    assert (rows["drug"], rows["last fill"], rows["next fill"], rows["alarms"]) == ("not known", "not known", "not known", "none")
    assert pump.card().to_dict()["filled"] is None
    with pytest.raises(PumpRefused, match="there is no program to reduce"):
        pump.reduce("stop")


def test_a_card_without_a_contact_says_so_and_no_card_speaks_to_the_terminal(fake):
    fake.magnet = True
    for raw, shown in ((bytes(32), "not known"), (b"call \x1b[2J\x07 us".ljust(32, b"\0"), "call ?[2J? us")):
        fake.contact = raw
        assert dict(Programmer(fake).card().rows())["clinic"] == shown


def test_another_action_is_refused_before_anything_is_sent(fake):
    with pytest.raises(RequestInvalid, match="emergency action 'raise' is none of: fallback, stop"):
        Programmer(fake).reduce("raise")
    assert cat.REDUCE not in fake.served


def test_a_drug_this_library_does_not_know_keeps_its_name(fake):
    fake.magnet, fake.program = True, b"some"
    card = Programmer(fake, library={}).card()
    assert card.drugs[0].name == "baclofen" and card.drugs[0].drug is None and card.rows()
    assert emergency.action_number("stop") == cat.REDUCE_STOP and drug_library.load()
