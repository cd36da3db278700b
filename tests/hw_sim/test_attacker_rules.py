"""Rules as text: what each does to a frame, that its draws follow from the seed, and one sentence for what cannot be."""

import random

import pytest

from thecal.hw_sim.attacker import Attacker
from thecal.hw_sim.attacker_frames import made, unstuff
from thecal.hw_sim.attacker_rules import RuleError
from thecal.protocol import catalogue as cat
from thecal.protocol.frame import FRAME, Decoder


def decoded(raw):
    decoder = Decoder(cat.schema_crc())
    return [decoder.feed(byte) for byte in raw][-1] == FRAME, decoder


def heard(rules, frames, seed=1):
    attacker = Attacker(rules, seed=seed)
    out = []
    for sender, raw in frames:
        out += attacker.hear(sender, raw, 0)
    return out, attacker


ASK, ANSWER = ("host", made(cat.STATUS, request_id=5)), ("pump", made(cat.STAGE | cat.REPLY_BIT, b"\x05\x00", request_id=5))


@pytest.mark.parametrize(("rule", "found"), [
    ("drop", []), ("drop,from=pump", [ASK]), ("drop,of=status", [ANSWER]), ("drop=0", [ASK, ANSWER]),
    ("duplicate,from=host", [ASK, ASK, ANSWER]), ("reflect,of=status", [ASK, ("pump", ASK[1]), ANSWER]), ("replay,from=host", [ASK, ANSWER]),
    ("reorder,from=host", [ANSWER]), ("reorder", []), ("reorder=0", [ASK, ANSWER])])
def test_simple_rules(rule, found):
    assert heard([rule], [ASK, ANSWER])[0] == found


def test_replay_brings_an_older_one_of_the_same_kind():
    frames = [("host", made(cat.COMMIT, bytes(8), request_id=number)) for number in range(1, 30)]
    out, attacker = heard(["replay,of=commit"], frames)
    assert len(out) == 57 and attacker.counts["replay"] == 28 and {raw for _, raw in out} == {raw for _, raw in frames}


@pytest.mark.parametrize(("rules", "found"), [
    (["reorder"], [1, 2, 3]), (["reorder,behind=2"], [1, 2]), (["reorder,of=check"], [1, 3, 2, 4]), (["reorder,of=check,behind=2"], [1, 3, 4, 2]), (["duplicate", "reorder"], [1, 2, 1, 3, 2, 4, 3]),
    (["duplicate", "reorder,behind=2,for=1s"], [1, 2, 3, 1, 4, 2]), (["reorder,for=1s"], []), (["reorder,of=commit"], [1, 2, 3, 4])])
def test_reorder_puts_a_frame_behind_later_ones(rules, found):
    """Of four in a row, the second a check; what waits for its time, or for frames that never come, is still held."""
    frames = [("host", made(cat.CHECK if number == 2 else cat.STATUS, request_id=number)) for number in range(1, 5)]
    out, attacker = heard(rules, frames)
    assert [unstuff(raw)[4] for _, raw in out] == found
    assert attacker.counts.get("reorder", 0) == attacker.counts.get("let_go", 0) + len(attacker.late)


@pytest.mark.parametrize("rule", ["splice", "truncate", "corrupt"])
def test_changed_frames_are_mended_unless_told_not_to_be(rule):
    draw = random.Random(5)
    frames = [("host", made(cat.STAGE, draw.randbytes(12), request_id=number, trailer=draw.randbytes(20))) for number in range(1, 200)]
    out, attacker = heard([rule], frames)
    assert len(out) == len(frames) and attacker.counts[rule] > 150
    passed = sum(decoded(raw)[0] for _, raw in out)
    assert passed > 100                                 # not all: a changed class or version is no frame even with its CRC right
    raw_out, _ = heard([rule + ",mend=no"], frames)
    # without mending only frames that were not changed pass: an older one's head and tail may fit
    assert sum(decoded(raw)[0] and ("host", raw) not in frames for _, raw in raw_out) == 0
    assert heard([rule], frames)[0] == out and heard([rule], frames, seed=2)[0] != out


def test_a_rule_may_be_a_function_and_rules_follow_each_other():
    seen = []

    def mine(frame, out, attacker):
        seen.append((frame.sender, frame.message))
        return [*out, ("host", b"\x01\x00")]

    assert heard(["duplicate", mine], [ASK])[0] == [ASK, ASK, ("host", b"\x01\x00")] and seen == [("host", cat.STATUS)]


@pytest.mark.parametrize(("rule", "sentence"), [
    ("dance", "action is 'dance', known are drop"), ("drop=2", "2 must lie between 0 and 1"), ("drop=often", "'often' must be a number"), ("", "action is ''"),
    ("drop,of=stats", "of is 'stats', no message of the catalogue"), ("drop,from=me", "from is 'me', it must be host or pump"), ("drop,by=me", "'by' is no option of drop"),
    ("splice,mend=maybe", "mend is 'maybe'"), ("flood", "a flood needs its rate"), ("flood=9000/s", "must lie between 0 and 5000"), ("flood=0/s", "must be above 0"),
    ("flood=9/s,with=love", "a flood with 'love': known are status"),
    ("reorder,behind=0", "behind is '0', it must be a whole number of frames, 1 to 1000"), ("reorder,behind=-1", "behind is '-1'"), ("reorder,behind=1001", "behind is"),
    ("reorder,for=3", "for is '3', it must be a time with its unit"), ("reorder,for=2h", "for is '2h'"), ("reorder,for=0ms", "for is 0ms, it must lie between 1 us and 3600 s"),
    ("reorder,for=infs", "for is infs, it must lie"), ("reorder,mend=no", "'mend' is no option of reorder"), ("drop,behind=2", "'behind' is no option of drop")])
def test_rules_that_cannot_be(rule, sentence):
    with pytest.raises(RuleError) as refused:
        Attacker([rule])
    assert sentence in str(refused.value) and "\n" not in str(refused.value)
