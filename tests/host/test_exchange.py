"""The conversation: retry, refusal, silence, another schema, noise; bulk reads under loss."""

import pytest
from fake_pump import FakeClock, FakePump, event

from thecal.host.errors import KeyProblem, ProtocolProblem, PumpRefused, RequestInvalid, SessionLost, Timeout, WrongPump
from thecal.host.exchange import HANDSHAKES, RENEW_AT, Exchange, roles_in
from thecal.host.keystore import Key, Keystore
from thecal.host.transport import Line
from thecal.protocol import catalogue as cat
from thecal.protocol import fields
from thecal.protocol.frame import CLASS_OPEN, MAX_FRAME, encode
from thecal.protocol.session import CLINICIAN, PATIENT


def talk(fake, timeout_s=5.0):
    return Exchange(Line(fake, fake.clock), timeout_s)


def test_the_first_request_greets(fake):
    link = talk(fake)
    assert link.ask(cat.IDENTITY)["serial"] == 1001
    assert link.line_counts().retries == 0


@pytest.mark.req("TH-LINK-10")
def test_another_schema_is_said(fake):
    other = FakePump(schema_crc=0x12345678)
    with pytest.raises(ProtocolProblem, match="speaks protocol 3 schema 12345678, this programmer protocol 3 schema"):
        talk(other).ask(cat.STATUS)


def test_silence_is_a_timeout_in_time(fake):
    fake.mute = True
    before = fake.clock.now_s()
    with pytest.raises(Timeout, match="the pump on fake did not answer within 2 s$"):
        talk(fake, 2.0).ask(cat.STATUS)
    assert fake.clock.now_s() - before < 2.5


def test_after_a_silence_the_next_request_greets_anew(fake):
    link = talk(fake, 2.0)
    link.ask(cat.STATUS)
    fake.mute = True
    with pytest.raises(Timeout):
        link.ask(cat.STATUS)
    fake.mute = False
    assert link.ask(cat.STATUS)["mode"] == 2


def test_noise_and_echoes_are_told(fake):
    fake.write = lambda data: fake._out.extend(data)
    with pytest.raises(Timeout, match="frames came that answer nothing"):
        talk(fake).ask(cat.STATUS)
    fake.write = lambda data: fake._out.extend(b"not a frame at all\0")
    with pytest.raises(Timeout, match="damaged frames came"):
        talk(fake).ask(cat.STATUS)


def test_another_frame_version_is_a_protocol_problem(fake):
    def answer(data):
        body = bytearray(b"\x40\x81\x01\x01\x01\x01\x01\x01\x01\x01")
        fake._out.extend(bytes([len(body) + 1]) + body + b"\0")
    fake.write = answer
    with pytest.raises(ProtocolProblem, match="another frame version than 1"):
        talk(fake).ask(cat.STATUS)


def test_a_refusal_names_reason_field_and_value(fake):
    fake.refuse[cat.STATUS] = (cat.R_STATE, 0, 3)
    with pytest.raises(PumpRefused, match="the pump refused status: not in this mode: it is stopped") as caught:
        talk(fake).ask(cat.STATUS)
    assert caught.value.code == cat.R_STATE
    fake.refuse[cat.FILE_READ] = (cat.R_BAD_FIELD, 1, 77)
    with pytest.raises(PumpRefused, match=r"field out of range \(offset, value 77\)") as caught:
        talk(fake).ask(cat.FILE_READ, 0, 0, 1)
    assert caught.value.field == "offset"


@pytest.mark.req("TH-BAD-02")
def test_a_request_out_of_range_is_never_sent(fake):
    with pytest.raises(RequestInvalid, match="file_read: length is 0 byte; allowed are 1 .. 200"):
        talk(fake).ask(cat.FILE_READ, 0, 0, 0)


def fill_log(fake, count, first=0):
    fake.first_event = first
    fake.events = [event(first + n, n, cat.E_BOOT, 1, n) for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 10, 11, 95])
def test_a_bulk_read_is_whole(fake, count):
    fill_log(fake, count, 1000)
    link, steps = talk(fake), []
    first, end = link.file_span(cat.FILE_EVENTS)
    assert link.pull(cat.FILE_EVENTS, first, end, lambda done, total: steps.append((done, total))) == b"".join(fake.events)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert not count or steps[-1] == (count * 20, count * 20)


def test_a_bulk_read_survives_loss():
    retries = 0
    for seed in range(10):
        fake = FakePump(FakeClock())
        fill_log(fake, 60)
        link = talk(fake, 60.0)
        link.greet()
        fake._dice.seed(seed)
        fake.loss = 0.15
        assert link.pull(cat.FILE_EVENTS, 0, 1200) == b"".join(fake.events)
        retries += link.line_counts().retries
    assert retries > 10


def test_short_answers_are_asked_on(fake):
    fill_log(fake, 30)
    whole = fake._file
    fake._on_file_read = lambda number, offset, length: fake._reply(
        cat.FILE_READ | cat.REPLY_BIT, number, offset, whole(number)[1][offset: offset + min(length, 70)])
    assert talk(fake).pull(cat.FILE_EVENTS, 0, 600) == b"".join(fake.events)


def test_an_answer_to_another_question_is_a_protocol_problem(fake):
    fill_log(fake, 3)
    fake._on_file_read = lambda number, offset, length: fake._reply(cat.FILE_READ | cat.REPLY_BIT, number, offset + 1, b"x")
    link = talk(fake)
    with pytest.raises(ProtocolProblem, match="asked for 60 bytes of file 0 at 0, the pump sent 1 of 1"):
        link.pull(cat.FILE_EVENTS, 0, 60)
    assert link.ask(cat.STATUS)["mode"] == 2, "the conversation goes on"


def test_pushed_frames_are_kept_while_asking(fake):
    link = talk(fake)
    link.ask(cat.LIVE, 60)
    fake.clock.sleep(60)
    fake._push_due()
    link.ask(cat.STATUS)
    assert link.listen(1)["pulses"] == 0
    assert link.listen(61)["pulses"] == 1
    assert link.listen(5) is None
    assert link.push_gaps == 0


def test_a_fresh_exchange_greets_before_it_reads_or_listens(fake):
    fill_log(fake, 1)
    assert len(talk(fake).pull(cat.FILE_EVENTS, 0, 20)) == 20
    assert talk(fake).listen(1) is None


# ---------------------------------------------------------------------------------------------------- sessions
MINE, THEIRS = Key(b"m" * 32), Key(b"t" * 32)


def keyed(fake, key=MINE, role=CLINICIAN, **more):
    """An exchange whose keystore has `key` for the fake's serial."""
    keys = Keystore.memory()
    keys.settle(fake.serial, role, key)
    return Exchange(Line(fake, fake.clock), 5.0, role=role, keys=keys, **more)


def test_what_anybody_may_read_needs_no_session(fake):
    link = talk(fake)
    assert link.ask(cat.ALARMS) and link.sessions == 0
    assert link.ask(cat.STATUS) and link.ask(cat.STATUS) and (link.sessions, link.idle_s, fake.role) == (1, 600, CLINICIAN)


def test_a_pump_reset_in_mid_command_is_met_with_a_new_session(fake):
    told = []
    link = keyed(fake, notice=told.append)
    fake.keys[CLINICIAN], fake.clock.virtual = bytes(MINE), False
    link.ask(cat.STATUS)
    for _ in range(2):
        fake.reset_before_reply = cat.STATUS
        assert link.ask(cat.STATUS)["boot_count"] == fake.boot_count
    assert link.sessions == 3 and told == ["pump 1001 was reset meanwhile; its session was opened anew"], "told once"


def test_a_closed_session_is_opened_anew_and_told_of_on_the_walls_clock(fake):
    told = []
    link = Exchange(Line(fake, fake.clock), 5.0, notice=told.append)
    link.ask(cat.STATUS)
    fake.clock.sleep(700)
    assert link.ask(cat.STATUS) and told == []
    fake.clock.virtual = False
    fake.end_session()
    assert link.ask(cat.STATUS) and told == ["pump 1001 had ended the session (idle, or another programmer took over); it was opened anew"]


def test_two_hosts_take_the_session_from_each_other_once_per_command(fake):
    first, second = talk(fake), talk(fake)
    for _ in range(3):
        assert first.ask(cat.STATUS) and second.ask(cat.STATUS)
    assert (first.sessions, second.sessions) == (3, 3)


def test_the_loser_is_told_and_does_not_fight(fake):
    loser = talk(fake)
    loser.ask(cat.STATUS)
    write = fake.write

    def then_the_other(data):
        """Behind each session of the loser, the other host opens one."""
        before = len(fake.served)
        write(data)
        if cat.SESSION_CONFIRM in fake.served[before:]:
            fights.append(True)
            fake.end_session()
    fights, fake.write = [], then_the_other
    fake.end_session()
    with pytest.raises(SessionLost, match=r"ended this programmer's session twice within one command \(status\): another programmer is talking to it"):
        loser.ask(cat.STATUS)
    assert len(fights) == 1, "one re-open"
    with pytest.raises(SessionLost, match=r"twice within one command \(file_read\)"):
        loser.pull(cat.FILE_PROGRAM, 0, 5)
    fake.write = write
    assert loser.ask(cat.STATUS)


def test_a_handshake_that_somebody_else_overtakes_each_time_is_given_up(fake):
    fake.refuse[cat.SESSION_CONFIRM] = (cat.R_SESSION, 0, 0)
    with pytest.raises(SessionLost, match="pump 1001 knows our clinician key, but its session goes to somebody else each time"):
        talk(fake).ask(cat.STATUS)
    assert fake.served.count(cat.SESSION_CONFIRM) == HANDSHAKES


def test_a_replayed_old_proof_is_no_wrong_key(fake):
    on_open, old = fake._on_session_open, []

    def replayed(role, nonce):
        answer = on_open(role, nonce)
        if len(old) < 2:
            old.append(nonce)
            fake._responder.payload[36] ^= 1        # in the proof
        return answer
    fake._on_session_open = replayed
    assert talk(fake).ask(cat.STATUS) and len(old) == 2 and fake.forgeries == 0


@pytest.mark.req("TH-LINK-03")
def test_a_wrong_key_is_said_and_costs_the_pump_no_forgery(fake):
    fake.keys[CLINICIAN] = bytes(THEIRS)
    with pytest.raises(KeyProblem, match="pump 1001 on fake does not have our clinician key .* pair this programmer with the magnet"):
        keyed(fake).ask(cat.STATUS)
    assert fake.forgeries == 0 and cat.SESSION_CONFIRM not in fake.served


def test_no_key_for_a_paired_pump_is_said_before_a_handshake(fake):
    fake.keys[CLINICIAN] = bytes(THEIRS)
    with pytest.raises(KeyProblem, match="pump 1001 is paired and there is no clinician key for it in the memory of this process"):
        talk(fake).ask(cat.STATUS)
    assert cat.SESSION_OPEN not in fake.served
    assert Exchange(Line(fake, fake.clock), role=PATIENT).ask(cat.STATUS), "another role was never paired"


def test_a_hello_that_denies_the_pairing_talks_nobody_into_the_public_key(fake):
    fake.claims_paired = 0
    with pytest.raises(KeyProblem, match="says that it was never paired, and there is a clinician key .* 'thecal keys forget 1001'"):
        keyed(fake).ask(cat.STATUS)
    fake.keys[CLINICIAN] = bytes(MINE)
    link = keyed(fake)
    assert link.ask(cat.STATUS) and not link.on_shelf_key, "the right key is believed more than the hello"


def test_the_public_key_is_told_of_once_where_pairing_lasts(fake, tmp_path):
    told = []
    link = Exchange(Line(fake, fake.clock), keys=Keystore(tmp_path / "keys.json"), notice=told.append)
    link.ask(cat.STATUS)
    fake.end_session()
    link.ask(cat.STATUS)
    assert told == ["pump 1001 is still on its public shelf key: thecal pair"] and link.on_shelf_key


@pytest.mark.req("TH-LINK-04")
@pytest.mark.parametrize("ask, able", [
    (lambda link: link.ask(cat.LIVE, 60), "clinician, service"), (lambda link: link.ask(cat.FILE_INFO, 0), "clinician, service")])
def test_a_role_that_may_not_is_told_who_may(fake, ask, able):
    link = Exchange(Line(fake, fake.clock), role=PATIENT)
    with pytest.raises(PumpRefused, match="this role may not: this is a patient session, it takes one of: %s" % able) as caught:
        ask(link)
    assert caught.value.code == cat.R_ROLE and link.ask(cat.STATUS), "the session stands"


def test_a_lockout_is_told_with_its_seconds(fake):
    fake.locked_s = 58
    with pytest.raises(PumpRefused, match="the pump refused session_open: locked after wrong keys, for another 58 s; therapy goes on meanwhile"):
        talk(fake).ask(cat.STATUS)
    fake.locked_s = 0
    link = talk(fake)
    link.ask(cat.STATUS)
    fake.locked_s = 7
    assert link.ask(cat.STATUS), "an open session goes on reading"
    with pytest.raises(PumpRefused, match="the pump refused check: locked after wrong keys, for another 7 s"):
        link.ask(cat.CHECK)
    fake.end_session()
    with pytest.raises(SessionLost, match="the session ended in the middle of a command and cannot be opened anew: .* another 7 s"):
        link.ask(cat.STATUS)


@pytest.mark.req("TH-LINK-11")
def test_another_pump_at_the_same_port_is_refused(fake):
    link = talk(fake)
    link.ask(cat.STATUS)
    fake.serial = 2002
    fake.boot()
    with pytest.raises(WrongPump, match="pump 2002 answers on fake, where pump 1001 was before: nothing was sent to it"):
        link.ask(cat.STAGE, 4, 5, 0, b"12345")
    assert not fake.stage
    with pytest.raises(WrongPump):
        link.hello()
    fake.serial = 1001
    assert link.ask(cat.STATUS)
    on_open = fake._on_session_open

    def swapped(role, nonce):
        fake.serial = 2002
        return on_open(role, nonce)
    fake._on_session_open = swapped
    fake.end_session()
    with pytest.raises((WrongPump, KeyProblem)):
        link.ask(cat.STATUS)


def test_a_bulk_read_begins_anew_once_when_the_session_is_lost(fake):
    fill_log(fake, 60)
    fake.keys[CLINICIAN] = bytes(MINE)
    link = keyed(fake)
    link.ask(cat.STATUS)
    reads = []

    def lose(message):
        reads.append(message)
        if message == cat.FILE_READ and reads.count(message) == 3:
            fake.reset_after = cat.FILE_READ
    fake.on_served = lose
    assert link.pull(cat.FILE_EVENTS, 0, 1200) == b"".join(fake.events) and link.sessions == 2


def test_a_staged_block_is_gone_with_its_session(fake):
    link = talk(fake)
    link.ask(cat.STAGE, 4, 5, 0, b"12345")
    link.ask(cat.CHECK)
    fake.end_session()
    with pytest.raises(PumpRefused, match="the session ended, and what was staged with it") as caught:
        link.pull(cat.FILE_STAGED, 0, 5)
    assert caught.value.code == cat.R_NOT_STAGED


@pytest.mark.req("TH-LINK-02")
@pytest.mark.parametrize("reason", [cat.R_SESSION, cat.R_LOCKED])
def test_an_unsealed_refusal_is_not_believed(fake, reason):
    """It was executed, and a forged refusal came: asked again in a new session, and answered."""
    link = talk(fake)
    link.ask(cat.STAGE, 4, 5, 0, b"12345")
    fake.forge[cat.STATUS] = reason
    assert link.ask(cat.STATUS)["mode"] == 2 and link.sessions == 2


@pytest.mark.parametrize("reason, sessions", [(cat.R_STATE, 1), (cat.R_ROLE, 1), (cat.R_LIMIT, 1), (cat.R_SESSION, 2), (cat.R_LOCKED, 2)])
def test_a_forged_refusal_in_front_of_the_reply_changes_nothing(fake, reason, sessions):
    link = talk(fake)
    link.ask(cat.STATUS)
    write, forged, out = fake.write, [cat.STATUS], bytearray(MAX_FRAME)

    def injected(data):
        if forged:
            end = fields.pack(cat.message(cat.REFUSED)[5], (forged.pop(), reason, 0, 0), payload := bytearray(20))
            size = encode(out, CLASS_OPEN, cat.REFUSED, 0, link._wire._link._next_id - 1, payload, end, 0)
            fake._out.extend(out[:size])
        write(data)
    fake.write = injected
    assert link.ask(cat.STATUS)["mode"] == 2 and link.sessions == sessions and not forged


def test_hello_leaves_the_session_unless_the_pump_was_reset(fake):
    link = talk(fake)
    link.ask(cat.STATUS)
    assert link.hello()["boot_count"] == 3 and link.ask(cat.STATUS) and link.sessions == 1
    fake.boot()
    assert link.hello()["boot_count"] == 4 and link.ask(cat.STATUS) and link.sessions == 2
    assert cat.STATUS in fake.served and fake.forgeries == 0


def test_a_goodbye_ends_the_session_and_is_short_about_it(fake):
    told = []
    link = Exchange(Line(fake, fake.clock), 5.0, notice=told.append)
    link.close_session()
    assert fake.served == []
    link.ask(cat.STATUS)
    link.close_session()
    assert fake.role == 0 and told == []
    link.ask(cat.STATUS)
    fake.mute, before = True, fake.clock.now_s()
    link.close_session()
    assert fake.clock.now_s() - before < 1.5 and "did not hear that the session is over" in told[0]


def test_sessions_survive_a_bad_line():
    for seed in range(10):
        fake = FakePump(FakeClock())
        fake.keys[CLINICIAN] = bytes(MINE)
        link = keyed(fake)
        link.timeout_s = 120.0
        fake._dice.seed(seed)
        fake.loss = 0.15
        for _ in range(5):
            assert link.ask(cat.STATUS)["mode"] == 2
            fake.end_session()
        assert fake.forgeries == 0


def test_a_session_is_renewed_long_before_its_counters_are_used_up(fake):
    link = talk(fake)
    link.ask(cat.STATUS)
    link._wire.session.sending.counter = RENEW_AT - 1
    assert link.ask(cat.STATUS) and link.sessions == 1 and link.ask(cat.STATUS) and link.sessions == 2


def test_roles_by_their_bits():
    assert [roles_in(bits) for bits in (0, 1, 4, 7)] == [[], ["clinician"], ["patient"], ["clinician", "service", "patient"]]
