"""A therapy change whose sealed frames arrive in any other order: strict counters decide, and nothing else can happen than they allow.

All orders of six frames. A frame is executed when its counter is above all that came before, else dropped without an answer; so what is
executed is always a part of what was meant, in the order in which it was meant, and a commit has its effect only behind its own
stage and check.
"""

import itertools

import pytest
from bare_pump import Bench, block_bytes, simple_program
from ends import framed
from plainwire import uncobs
from thecal.protocol import catalogue as cat
from thecal.protocol.fields import pack
from thecal.protocol.session import CLINICIAN

MEANT = (cat.STAGE, cat.CHECK, cat.COMMIT, cat.DISCARD, cat.FILE_INFO, cat.STATUS)


class Patient:
    """One bench, a session for each order of frames; `programs` counts what the firmware executes, below everything that could be fooled."""

    def __init__(self):
        self.bench = Bench()
        self.bench.program(500_000)
        self.app = self.bench.app
        self.responder = self.app.telemetry._responder
        self.line = self.responder._write
        self.programs = []
        self.written = []
        execute = self.app.execute

        def executed(block):
            reason = execute(block)
            if reason == 0:
                self.programs.append(bytes(block.digest))
            return reason

        self.app.execute = executed
        self.order_id = 1000

    def begin(self):
        """A new session; the six frames that its host would send, and the digest of the block they are about."""
        self.responder._write = self.line
        self.bench.open_session(CLINICIAN)
        self.responder._write = lambda buffer, length: self.written.append(bytes(buffer[:length]))
        self.order_id += 1
        block = block_bytes(cat.PROGRAM, {**simple_program(400_000 + self.order_id), "order_id": self.order_id})
        digest = self.digest(block)
        payload = bytearray(256)
        frames = []
        for request_id, message_id in enumerate(MEANT, 1):
            values = {cat.STAGE: (cat.PROGRAM, len(block), 0, block), cat.COMMIT: (digest,), cat.FILE_INFO: (0,)}.get(message_id, ())
            end = pack(cat.message(message_id)[5], values, payload)
            frames.append(framed(self.bench.session.sending, message_id, bytes(payload[:end]), request_id=request_id))
        return frames, digest

    def digest(self, block):
        """What a check would say of this block; nothing stays staged."""
        stage = self.app.telemetry.stage
        assert stage.put(cat.PROGRAM, len(block), 0, block, self.app.uptime_s) == 0
        assert stage.block.take(cat.PROGRAM, stage.buffer, stage.total, self.app.minimum_rate_nl_day) == 0
        digest = bytes(stage.block.digest)
        stage.drop()
        return digest

    def feed(self, line):
        """(request id, message id) of the answers to one frame."""
        self.written.clear()
        self.bench.latch.writes = 0     # the bench counts a step's store writes up to a power cut, and this is one long step
        for byte in line:
            self.app.telemetry.receive(byte)
        return [(body[4], body[1]) for body in map(uncobs, self.written)]


@pytest.mark.slow
@pytest.mark.req("TH-LINK-01")
def test_every_order_of_a_therapy_changes_frames():
    patient = Patient()
    changed = served = 0
    for order in itertools.permutations(range(len(MEANT))):
        frames, digest = patient.begin()
        patient.programs.clear()
        replays = patient.responder.replays
        latest, executed = -1, []
        for index in order:
            answers = patient.feed(frames[index])
            if index > latest:
                latest = index
                executed.append(index)
                assert [request_id for request_id, _ in answers] == [index + 1], "the one that asked is answered, once"
            else:
                assert answers == [], "an older counter is dropped without a word"
        assert executed == sorted(executed) and patient.responder.replays - replays == len(MEANT) - len(executed)
        whole = executed[:3] == [0, 1, 2]
        assert patient.programs == ([digest] if whole else []), order
        assert (bytes(patient.app.settings.order_digest) == digest) == whole
        for line in frames:         # and all of it again, in the order in which it was meant: nothing is executed twice
            patient.feed(line)
        assert patient.programs == ([digest] if whole else [])
        changed, served = changed + whole, served + len(executed)
    # A frame is served where nothing later came before it: for the k-th of six in 1 order of 7 - k, so 720 x (1 + 1/2 + ... + 1/6) of them;
    # and the program changes only where stage, check and commit came before everything else, in their order: 3! ways to go on.
    print("720 orders: %d changed the program, %d frames of %d executed" % (changed, served, 720 * len(MEANT)))
    assert (changed, served) == (6, 1764)
