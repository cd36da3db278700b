"""The conversation: retry, refusal, silence, another schema, noise; bulk reads under loss."""

import binascii

import pytest
from fake_pump import FakeClock, FakePump, event
from hypothesis import given
from hypothesis import strategies as st

from thecal.host.errors import ProtocolProblem, PumpRefused, RequestInvalid, Timeout
from thecal.host.exchange import Exchange, host_crc
from thecal.host.transport import Line
from thecal.protocol import catalogue as cat


def talk(fake, timeout_s=5.0):
    return Exchange(Line(fake, fake.clock), timeout_s)


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_crcmod_and_binascii_are_each_others_oracle(data, seed):
    assert host_crc(memoryview(data), seed) == binascii.crc32(data, seed)


def test_the_first_request_greets(fake):
    link = talk(fake)
    assert link.ask(cat.IDENTITY)["serial"] == 1001
    assert link.retries == 0


def test_another_schema_is_said(fake):
    other = FakePump(schema_crc=0x12345678)
    with pytest.raises(ProtocolProblem, match="speaks protocol 1 schema 12345678, this programmer protocol 1 schema"):
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
        retries += link.retries
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
    with pytest.raises(Timeout, match="sent no telemetry for 5 s"):
        link.listen(5)
    assert link.push_gaps == 0


def test_a_fresh_exchange_greets_before_it_reads_or_listens(fake):
    fill_log(fake, 1)
    assert len(talk(fake).pull(cat.FILE_EVENTS, 0, 20)) == 20
    with pytest.raises(Timeout):
        talk(fake).listen(1)
