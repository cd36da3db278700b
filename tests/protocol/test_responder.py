"""The pump's end: at most once over a bad line, repeats from the kept reply, replays, forgeries, and what nobody proved is counted."""

import pytest
from ends import decoded, forged, framed, opened
from talk import Talk, digest, sent
from thecal.protocol import catalogue as cat
from thecal.protocol import requester
from thecal.protocol.session import OPENED


@pytest.mark.req("TH-LINK-01")
@pytest.mark.parametrize("seed", range(4))
def test_at_most_once_over_a_line_that_loses_a_third_and_doubles_a_third(seed):
    talk = Talk(seed, loss=0.3, double=0.3, damage=0.1)
    kinds = [talk.ask(cat.COMMIT, digest(number))[0] for number in range(300)]
    assert max(talk.pump.executed.values()) == 1
    for number, kind in enumerate(kinds):
        if kind == requester.OUT_REPLY:
            assert talk.pump.executed[cat.COMMIT, digest(number)] == 1
    assert kinds.count(requester.OUT_REPLY) > 250 and kinds.count(requester.OUT_TIMEOUT) == talk.host.timeouts
    assert talk.host.retries > 50 and talk.pump.responder.repeats > 20 and talk.host.outstanding == 0


def test_a_new_session_starts_the_request_ids_anew_and_a_hello_does_not():
    talk = Talk()
    assert talk.ask(cat.COMMIT, digest(1))[0] == requester.OUT_REPLY
    talk.ask(cat.HELLO, bytes(5))
    talk.host._next_id = 1              # a host that uses an id again without a new session gets the old answer, and no execution
    assert talk.ask(cat.COMMIT, digest(2))[3][:8] == digest(1)
    assert (cat.COMMIT, digest(2)) not in talk.pump.executed
    talk.connect(device_nonce=b"D" * 16)        # another programmer: its first request id is 1 again
    assert talk.ask(cat.COMMIT, digest(3))[3][:8] == digest(3)


def test_the_pump_takes_no_reply_and_no_echo_for_a_request():
    talk = Talk()
    for message_id in (cat.COMMIT | cat.REPLY_BIT, cat.REFUSED, cat.REFUSED_SEALED, cat.HELLO | cat.REPLY_BIT):
        for byte in framed(talk.host.session.sending, message_id, bytes(8)):
            talk.pump.responder.feed(byte)
    assert not talk.pump.executed and not talk.back.sent and not talk.pump.forged


@pytest.mark.req("TH-LINK-01")
@pytest.mark.parametrize("message_id", [cat.COMMIT, cat.STATUS])
def test_a_repeat_gets_the_kept_reply_sealed_anew_and_executes_nothing(message_id):
    talk = Talk()
    request = talk.host.submit(message_id, digest(1), 0)
    line = sent(talk.host)[0]
    if message_id == cat.STATUS:
        again = framed(talk.host.session.sending, message_id, digest(1), request_id=request)
        assert again != line
    else:
        again = line
    replies = []
    for data in (line, again, again):
        for byte in data:
            talk.pump.responder.feed(byte)
        replies.append(talk.back.queue.pop()[1])
    assert len(set(replies)) == 3 and talk.pump.responder.repeats == 2 and max(talk.pump.executed.values()) == 1
    clear = [opened(talk.host.session.receiving, reply) for reply in replies]
    assert clear[0] == clear[1] == clear[2] and clear[0][0] == OPENED


@pytest.mark.req("TH-LINK-02")
def test_an_older_frame_is_a_replay_counted_and_not_answered():
    talk = Talk()
    lines = []
    for number in range(3):
        talk.host.submit(cat.COMMIT, digest(number), 0)
        lines += sent(talk.host)
        for byte in lines[-1]:
            talk.pump.responder.feed(byte)
        talk.host.feed(talk.back.queue.pop()[1], 0)
    for line in lines[:2] * 5:
        for byte in line:
            talk.pump.responder.feed(byte)
    assert talk.pump.responder.replays == 10 and not talk.back.queue and max(talk.pump.executed.values()) == 1


def test_a_frame_under_no_session_or_a_wrong_tag_is_handed_over_as_forged_and_answered_in_clear():
    talk = Talk()
    line = framed(talk.host.session.sending, cat.COMMIT, digest(1), request_id=4)

    def wrong(body):
        body[-1] ^= 1

    for data, session in ((forged(line, wrong), talk.pump.responder.session), (line, None)):
        talk.pump.responder.session = session
        for byte in data:
            talk.pump.responder.feed(byte)
        answer = decoded(talk.back.queue.pop()[1])
        assert (answer.message_class, answer.message_id, answer.request_id) == (0, cat.REFUSED, 4)
    assert talk.pump.forged == 2 and not talk.pump.executed


def fed(responder, data):
    """(bytes, tags) that nobody proved a right to, of `data` alone."""
    responder.unproved = responder.tags_wasted = 0
    for byte in data:
        responder.feed(byte)
    return responder.unproved, responder.tags_wasted


def test_bytes_and_tags_without_a_proof_are_counted_with_their_answers():
    talk = Talk()
    responder, queue = talk.pump.responder, talk.back.queue
    talk.host.submit(cat.COMMIT, digest(1), 0)
    order = sent(talk.host)[0]
    assert fed(responder, order) == (0, 0), "a new sealed request, and its answer"
    answer = len(queue.pop()[1])
    assert fed(responder, order) == (len(order) + answer, 1), "the same to the byte: a replay looks no other"
    assert fed(responder, b"noise" * 20 + b"\0") == (101, 0)
    hello = framed(None, cat.HELLO, bytes(5))
    queue.clear()
    assert fed(responder, hello) == (len(hello) + len(queue[0][1]), 0), "what anyone may say"

    def wrong(body):
        body[-1] ^= 1

    talk.host.forget()
    talk.host.submit(cat.STATUS, b"", 0)
    bad = forged(sent(talk.host)[0], wrong)
    queue.clear()
    assert fed(responder, bad) == (len(bad) + len(queue[0][1]), 1)
    responder.session = None
    assert fed(responder, bad)[1] == 0, "without a session no tag is computed"
