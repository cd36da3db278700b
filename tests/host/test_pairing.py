"""Pairing: only with the magnet, kept only when proved, and neither a lost nor a forged word loses the old key or the new."""

import pytest

from thecal.host.errors import KeyProblem, NoConnection, PumpRefused, Timeout
from thecal.host.exchange import Exchange
from thecal.host.keystore import Key, Keystore
from thecal.host.pairing import pair
from thecal.host.programmer import Programmer
from thecal.host.transport import Line
from thecal.protocol import catalogue as cat
from thecal.protocol.session import CLINICIAN, PATIENT

OLD = Key(b"o" * 32)


@pytest.fixture
def keys():
    return Keystore.memory()


@pytest.fixture
def talk(fake, keys):
    fake.magnet = True
    return Exchange(Line(fake, fake.clock), 5.0, keys=keys)


@pytest.mark.req("TH-LINK-05")
def test_a_pump_is_paired_and_the_next_session_uses_the_key(fake, keys, talk):
    talk.ask(cat.STATUS)
    assert talk.on_shelf_key
    done = pair(talk, CLINICIAN)
    assert done.to_dict() == {"serial": 1001, "role": "clinician", "paired": ["clinician"], "kept_in": "the memory of this process"}
    assert keys.candidates(1001, CLINICIAN) == [fake.keys[CLINICIAN]] and len(fake.keys[CLINICIAN]) == 32
    talk.ask(cat.STATUS)
    assert not talk.on_shelf_key and fake.role == CLINICIAN
    pair(talk, PATIENT)
    assert fake.role == CLINICIAN, "the key of another role leaves our session alone"
    assert talk.ask(cat.STATUS) and fake.forgeries == 0


def test_two_pairings_have_two_keys_and_the_old_one_is_worth_nothing(fake, keys, talk):
    pair(talk, CLINICIAN)
    first = keys.candidates(1001, CLINICIAN)[0]
    pair(talk, CLINICIAN)
    assert keys.candidates(1001, CLINICIAN) != [first] and not talk.proves(CLINICIAN, first)


@pytest.mark.req("TH-LINK-05")
def test_without_the_magnet_nothing_changes(fake, keys, talk):
    fake.magnet = False
    with pytest.raises(PumpRefused, match="needs the magnet at the pump: hold it there and try again") as caught:
        pair(talk, CLINICIAN)
    assert caught.value.code == cat.R_MAGNET and keys.listing() == [] and fake.keys == {}
    fake.keys[CLINICIAN] = bytes(OLD)
    keys.settle(1001, CLINICIAN, OLD)
    with pytest.raises(PumpRefused):
        pair(talk, CLINICIAN)
    assert keys.candidates(1001, CLINICIAN) == [OLD] and talk.ask(cat.STATUS)


def test_a_lost_acknowledgement_is_found_out(fake, keys, talk):
    write = fake._write
    fake._write = lambda buffer, length: None if fake.served[-1] == cat.PAIR else write(buffer, length)
    done = pair(talk, CLINICIAN)
    assert done.paired == ["clinician"] and keys.candidates(1001, CLINICIAN) == [fake.keys[CLINICIAN]]


def test_a_forged_refusal_is_found_out(fake, keys, talk):
    fake.forge[cat.PAIR] = cat.R_MAGNET
    assert pair(talk, CLINICIAN).paired == ["clinician"]
    assert keys.candidates(1001, CLINICIAN) == [fake.keys[CLINICIAN]]


def test_a_forged_acknowledgement_does_not_cost_the_old_key(fake, keys, talk):
    fake.keys[CLINICIAN] = bytes(OLD)
    keys.settle(1001, CLINICIAN, OLD)
    fake._on_pair = lambda role, key: fake._reply(cat.PAIR | cat.REPLY_BIT, role, 1)
    with pytest.raises(KeyProblem, match="pump 1001 acknowledged a new clinician key and does not know it: pair again"):
        pair(talk, CLINICIAN)
    assert keys.candidates(1001, CLINICIAN) == [OLD]


@pytest.mark.parametrize("taken", [True, False])
def test_a_line_that_dies_in_between_leaves_both_keys_to_try(fake, keys, talk, taken):
    fake.keys[CLINICIAN] = bytes(OLD)
    keys.settle(1001, CLINICIAN, OLD)
    talk.greet()
    on_pair = fake._on_pair

    def dies(role, key):
        fake.gone = OSError("unplugged")
        return on_pair(role, key) if taken else fake._refused(cat.PAIR, cat.R_MAGNET)
    fake._on_pair = dies
    with pytest.raises(NoConnection, match="unplugged"):
        pair(talk, CLINICIAN)
    assert len(keys.candidates(1001, CLINICIAN)) == 2
    fake.gone = None
    later = Programmer(fake, keys=keys)
    assert later.status() and keys.candidates(1001, CLINICIAN) == [fake.keys[CLINICIAN]], "the one that was proved stays"
    assert (keys.candidates(1001, CLINICIAN) == [OLD]) is not taken and fake.forgeries == 0, "trying both costs no wrong proof"


def test_silence_behind_the_pairing_says_that_both_are_kept(fake, keys, talk):
    def mutes(role, key):
        fake.mute, fake.keys[role] = True, bytes(key)
        return fake._reply(cat.PAIR | cat.REPLY_BIT, role, 1)
    fake._on_pair, write = mutes, fake._write
    fake._write = lambda buffer, length: None if fake.mute else write(buffer, length)
    with pytest.raises(Timeout, match="whether pump 1001 took the new clinician key is not known, both are kept and tried at the next session"):
        pair(talk, CLINICIAN)
    assert keys.listing() == [(1001, "clinician", True)]


def test_a_locked_pump_is_paired_all_the_same(fake, keys, talk):
    fake.locked_s = 60
    assert pair(talk, CLINICIAN).paired == ["clinician"] and talk.ask(cat.STATUS)


def test_keys_that_cannot_be_kept_are_never_sent(fake, tmp_path):
    fake.magnet = True
    (tmp_path / "keys.json").write_text("damaged")
    (tmp_path / "keys.json").chmod(0o600)
    with pytest.raises(KeyProblem, match="is damaged"):
        Programmer(fake, keys=Keystore(tmp_path / "keys.json")).pair()
    assert cat.PAIR not in fake.served


def test_no_key_is_in_what_is_said(fake, keys, talk):
    done = pair(talk, CLINICIAN)
    assert fake.keys[CLINICIAN].hex()[:8] not in repr(done) + repr(keys) + repr(done.to_dict())


def test_a_pairing_that_nobody_heard_may_still_arrive(fake, keys, talk):
    fake.keys[CLINICIAN] = bytes(OLD)
    keys.settle(1001, CLINICIAN, OLD)
    on_pair, write, sent = fake._on_pair, fake._write, []
    fake._on_pair = lambda role, key: sent.append((role, bytes(key))) or fake._reply(cat.PAIR | cat.REPLY_BIT, role, 1)
    fake._write = lambda buffer, length: None if fake.served[-1] == cat.PAIR else write(buffer, length)
    with pytest.raises(Timeout, match="whether pump 1001 took the new clinician key is not known, both are kept and tried at the next session"):
        pair(talk, CLINICIAN)
    fake._on_pair, fake._write = on_pair, write
    fake.keys[CLINICIAN] = sent[0][1]       # a copy that the line kept back
    assert Programmer(fake, keys=keys).status() and keys.candidates(1001, CLINICIAN) == [fake.keys[CLINICIAN]]


def test_a_second_pairing_does_not_forget_the_key_of_one_whose_outcome_is_open(fake, keys, talk):
    fake.keys[CLINICIAN] = bytes(OLD)
    keys.settle(1001, CLINICIAN, OLD)
    talk.greet()
    on_pair = fake._on_pair

    def dies(role, key):
        fake.gone = OSError("unplugged")
        return on_pair(role, key)
    fake._on_pair = dies
    with pytest.raises(NoConnection):
        pair(talk, CLINICIAN)
    fake.gone, fake._on_pair, fake.magnet = None, on_pair, False
    with pytest.raises(PumpRefused):
        pair(Exchange(Line(fake, fake.clock), 5.0, keys=keys), CLINICIAN)
    assert Programmer(fake, keys=keys).status() and keys.candidates(1001, CLINICIAN) == [fake.keys[CLINICIAN]]


def test_behind_a_first_pairing_that_nobody_heard_the_shelf_key_is_tried_last(fake, keys):
    keys.expect(1001, CLINICIAN, OLD)
    assert Programmer(fake, keys=keys).status() and keys.candidates(1001, CLINICIAN) == [OLD]
