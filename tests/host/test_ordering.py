"""One order from block to commit: compared by bytes and by digest, asked before it is sent, never taken for what it was not."""

import pytest
from fake_pump import FakePump

from thecal.host import ordering
from thecal.host.blocks import pack
from thecal.host.errors import ProtocolProblem, PumpRefused, RequestInvalid
from thecal.host.exchange import Exchange
from thecal.host.transport import Line
from thecal.protocol import catalogue as cat
from thecal.protocol.session import PATIENT

STOP = pack(cat.STOP, {"order_id": 77, "reason": 1})


@pytest.fixture
def pump():
    return FakePump()


@pytest.fixture
def exchange(pump):
    return Exchange(Line(pump))


@pytest.mark.req("TH-PROG-01")
def test_an_order_is_committed_with_the_digest_of_its_own_bytes(pump, exchange):
    done = ordering.give(exchange, cat.STOP, STOP)
    assert done.kind == "stop" and not done.again and pump.served.count(cat.COMMIT) == 1
    again = ordering.give(exchange, cat.STOP, STOP)
    assert again.digest == done.digest and again.again, "the same bytes are the same order"


@pytest.mark.req("TH-PROG-01")
def test_who_says_no_sends_no_commit(pump, exchange):
    asked = []
    with pytest.raises(RequestInvalid, match="not confirmed"):
        ordering.give(exchange, cat.STOP, STOP, lambda digest: asked.append(digest) or False)
    assert len(asked) == 1 and cat.COMMIT not in pump.served and cat.DISCARD in pump.served


@pytest.mark.req("TH-PROG-01")
def test_a_readback_or_digest_that_is_not_ours_commits_nothing(pump, exchange):
    pump.readback = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(ProtocolProblem, match="read-back of the stop block is not what was staged"):
        ordering.give(exchange, cat.STOP, STOP)
    pump.readback = lambda data: data
    pump.digest_of_staged = lambda data: bytes(8)
    with pytest.raises(ProtocolProblem, match="digest of the stop block is not ours"):
        ordering.give(exchange, cat.STOP, STOP)
    assert cat.COMMIT not in pump.served


def test_a_patient_reads_no_file_and_the_digest_has_to_do(pump):
    """Files and discard are for the staff; the digest is over the very bytes, so nothing is taken on trust."""
    asks, request = Exchange(Line(pump), role=PATIENT), pack(cat.PATIENT_BOLUS, {"order_id": 78})
    done = ordering.give(asks, cat.PATIENT_BOLUS, request)
    assert done.kind == "patient_bolus" and pump.served.count(cat.COMMIT) == 1
    pump.digest_of_staged = lambda data: bytes(8)
    with pytest.raises(ProtocolProblem, match="digest of the patient_bolus block is not ours"):
        ordering.give(asks, cat.PATIENT_BOLUS, pack(cat.PATIENT_BOLUS, {"order_id": 79}))
    assert pump.served.count(cat.COMMIT) == 1 and not {cat.FILE_INFO, cat.FILE_READ, cat.DISCARD} & set(pump.served)


def test_a_refusal_is_the_pumps_own(pump, exchange):
    pump.refuse = {cat.CHECK: (cat.R_STATE, 0, 3)}
    with pytest.raises(PumpRefused) as refused:
        ordering.give(exchange, cat.STOP, STOP)
    assert refused.value.code == cat.R_STATE
