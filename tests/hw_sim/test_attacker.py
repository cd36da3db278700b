"""The attacker at work, with the pump as his victim: what he can do to a line, and that nothing he does is done twice or by him.

A doctor's orders to push a volume (a bridge) go through him: each is executed once, or reported as not executed. Therapy keeps its
timing to the tick while he floods; what that costs the battery is counted.
"""

import random

import pytest

from thecal.hw_sim import attacker as module
from thecal.hw_sim.attacker import Attacker, RuleError, made, mended, stuff, unstuff
from thecal.hw_sim.recorder import Recorder
from thecal.hw_sim.scenario import Programmer, ThecalError, load_scenario, world_for
from thecal.protocol import catalogue as cat
from thecal.protocol.frame import FRAME, MIN_BODY, Decoder

BYTE_MJ = 0.00087       # battery-reference.toml
PRIME, PRIME_S = ("0.001 mL", "0.2 mL/day"), 450      # 1 uL through a drug-filled catheter, no faster than the program: 432 s


class Pulses(Recorder):
    """Keeps the instant and steps of every motor order."""

    def __init__(self):
        super().__init__(None)
        self.rows = []

    def pulse(self, t_us, steps, hold_us):
        self.rows.append((t_us, steps, hold_us))
        super().pulse(t_us, steps, hold_us)


def pump_world(scenario="baclofen", recorder=None):
    return world_for(load_scenario(scenario), runtime="inprocess", recorder=recorder)


@pytest.fixture
def world():
    with pump_world() as world:
        yield world


def decoded(raw):
    decoder = Decoder(cat.schema_crc())
    return [decoder.feed(byte) for byte in raw][-1] == FRAME, decoder


# ------------------------------------------------------------------------------------------------ frames, made from outside

def test_cobs_there_and_back():
    draw = random.Random(1)
    for _ in range(500):
        body = bytes(draw.choice((0, 0, 1, 255, draw.randrange(256))) for _ in range(draw.randrange(MIN_BODY, 250)))
        assert unstuff(stuff(body)) == body and 0 not in stuff(body)[:-1]


@pytest.mark.parametrize("raw", [b"\0", b"\x05\x01\0", b"\x02\x01\x00", b""])
def test_what_is_no_frame_has_no_body(raw):
    assert unstuff(raw) == b""


def test_made_and_mended_frames_pass_the_decoder_of_the_pump():
    for message_id in (cat.HELLO, cat.STATUS, cat.COMMIT):
        good, decoder = decoded(made(message_id, bytes(8), request_id=9, seq=3))
        assert good and (decoder.message_id, decoder.request_id, decoder.seq, decoder.length) == (message_id, 9, 3, 8)
    body = bytearray(unstuff(made(cat.COMMIT, bytes(8))))
    body[7] ^= 1
    assert not decoded(stuff(bytes(body)))[0] and decoded(mended(bytes(body[:-4]), cat.schema_crc()))[0]
    with pytest.raises(ValueError, match="0x5f is not in the catalogue"):
        made(0x5F)


# ------------------------------------------------------------------------------------------------ rules

def heard(rules, frames, seed=1):
    attacker = Attacker(rules, seed=seed)
    out = []
    for sender, raw in frames:
        out += attacker.hear(sender, raw, 0)
    return out, attacker


ASK, ANSWER = ("host", made(cat.STATUS, request_id=5)), ("pump", made(cat.STAGE | cat.REPLY_BIT, b"\x05\x00", request_id=5))


@pytest.mark.parametrize(("rule", "found"), [
    ("drop", []), ("drop,from=pump", [ASK]), ("drop,of=status", [ANSWER]), ("drop=0", [ASK, ANSWER]),
    ("duplicate,from=host", [ASK, ASK, ANSWER]), ("reflect,of=status", [ASK, ("pump", ASK[1]), ANSWER]), ("replay,from=host", [ASK, ANSWER])])
def test_simple_rules(rule, found):
    assert heard([rule], [ASK, ANSWER])[0] == found


def test_replay_brings_an_older_one_of_the_same_kind():
    frames = [("host", made(cat.COMMIT, bytes(8), request_id=number)) for number in range(1, 30)]
    out, attacker = heard(["replay,of=commit"], frames)
    assert len(out) == 57 and attacker.counts["replay"] == 28 and {raw for _, raw in out} == {raw for _, raw in frames}


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


def test_half_a_frame_is_held_and_text_passes_at_last():
    attacker = Attacker()
    assert attacker.hear("host", ASK[1][:4], 0) == [] and attacker.hear("host", ASK[1][4:] + b"\0ab", 1) == [ASK, ("host", b"\0")]
    assert attacker.release("host") == b"ab" and attacker.release("host") == b""
    assert attacker.hear("pump", b"x" * 600, 2) == [("pump", b"x" * 256)] * 2
    assert attacker.counts["heard"] == 4 and attacker.counts["not_frames"] == 2


@pytest.mark.parametrize(("rule", "sentence"), [
    ("dance", "action is 'dance', known are drop"), ("drop=2", "2 must lie between 0 and 1"), ("drop=often", "'often' must be a number"), ("", "action is ''"),
    ("drop,of=stats", "of is 'stats', no message of the catalogue"), ("drop,from=me", "from is 'me', it must be host or pump"), ("drop,by=me", "'by' is no option of drop"),
    ("splice,mend=maybe", "mend is 'maybe'"), ("flood", "a flood needs its rate"), ("flood=9000/s", "must lie between 0 and 5000"), ("flood=0/s", "must be above 0"),
    ("flood=9/s,with=love", "a flood with 'love': known are status")])
def test_rules_that_cannot_be(rule, sentence):
    with pytest.raises(RuleError) as refused:
        Attacker([rule])
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_nothing_is_sent_from_nowhere():
    with pytest.raises(RuntimeError, match="on no line yet"):
        Attacker().send("host", b"\0", 0)


# ------------------------------------------------------------------------------------------------ against the pump

def pushes(world):
    """How often the pump began to push, by its own log."""
    return sum(event.code == cat.E_PRIME for event in Programmer(world.port()).log())


def order_often(world, attacker, times=12):
    """`times` orders through the attacker; (told that it is done, told that it is not, really done)."""
    before = pushes(world)
    attacker.attach(world)
    pump, done, failed = Programmer(world.port(), timeout_s=5.0), 0, 0
    for _ in range(times):
        try:
            pump.prime(*PRIME)
            done += 1
        except ThecalError:
            failed += 1
        world.run_until(world.now_us + PRIME_S * 1_000_000)
    world.line.middle = None
    world.run_until(world.now_us + 7200 * 1_000_000)        # locks and sessions are over
    return done, failed, pushes(world) - before


@pytest.mark.parametrize("rules", [
    ["duplicate"], ["replay=0.5"], ["replay,of=commit", "duplicate,of=commit"], ["reflect"], ["drop=0.2"], ["truncate=0.1"], ["corrupt=0.1"],
    ["corrupt=0.1,mend=no"], ["splice=0.1"], ["drop=0.1", "replay=0.5", "reflect=0.3"], ["drop=0.3,from=pump", "replay=0.5,from=host"]], ids="+".join)
def test_an_order_is_executed_once_or_reported_as_not_executed(world, rules):
    attacker = Attacker(rules, seed=3)
    done, failed, really = order_often(world, attacker)
    assert done + failed == 12 and attacker.counts["heard"] > 50
    assert done <= really <= done + failed, (done, failed, really, attacker.counts)     # what timed out may have been done, once
    if not any(rule.startswith(("corrupt", "splice", "truncate", "drop")) for rule in rules):
        assert (done, really) == (12, 12), (failed, attacker.counts)


def test_frames_of_another_session_and_another_boot_do_nothing(world):
    attacker = Attacker().attach(world)
    Programmer(world.port()).prime(*PRIME)
    world.run_until(world.now_us + PRIME_S * 1_000_000)
    world.power_cut(1.0)
    world.run_until(world.now_us + 10_000_000)
    before, stock = pushes(world), [heard for heard in attacker.frames if heard.sender == "host"]
    for _ in range(3):
        for heard in stock:
            attacker.send("host", heard.raw, world.now_us)
            world.run_until(world.now_us + 100_000)
    world.line.middle = None
    world.run_until(world.now_us + 7200 * 1_000_000)
    assert len(stock) > 8 and pushes(world) == before


def test_forged_commits_are_never_accepted(world):
    before = pushes(world)
    attacker = Attacker().attach(world)
    pump = Programmer(world.port())
    pump.status()
    attacker.flood(world, 50, what="forged", seconds=20)
    world.run_until(world.now_us + 21_000_000)
    world.line.middle = None
    world.run_until(world.now_us + 7200 * 1_000_000)
    assert attacker.counts["flood_frames"] == 1000 and pushes(world) == before


@pytest.mark.parametrize("what", module.FLOODS)
def test_therapy_keeps_its_timing_in_a_flood_and_the_battery_pays_for_the_bytes(what, record_property):
    found = {}
    for flood in (False, True):
        recorder = Pulses()
        with pump_world("bench-24ml", recorder) as world:
            attacker = Attacker(seed=2).attach(world)
            Programmer(world.port()).status()
            world.run_until(60_000_000 + world.now_us)
            start_us, used, to_pump, to_host = world.now_us, world.truth()["battery_mj"], world.line.bytes_to_pump, world.line.bytes_to_host
            if flood:
                attacker.flood(world, 100, what=what, seconds=20)
            world.run_until(start_us + 40_000_000)
            rows = [row for row in recorder.rows if row[0] >= start_us]
            found[flood] = rows, world.truth()["battery_mj"] - used, world.line.bytes_to_pump - to_pump, world.line.bytes_to_host - to_host
            assert not world.line.overruns
    (quiet, quiet_mj, *_), (flooded, flooded_mj, received, answered) = found[False], found[True]
    # The pump's tick is a millisecond: a wake by a byte moves where in it the second is seen to end, and nothing else.
    assert len(quiet) >= 10 and [row[1:] for row in flooded] == [row[1:] for row in quiet]
    assert all(abs(before[0] - now[0]) < 1000 for before, now in zip(quiet, flooded))
    cost_mj = flooded_mj - quiet_mj
    record_property("flood_mj_per_frame", cost_mj / 2000)
    assert cost_mj == pytest.approx(BYTE_MJ * (received + answered), rel=1e-6) and received > 2000 * 7


def test_what_he_did_is_in_the_capture(world, tmp_path):
    from thecal.hw_sim import capture
    writer = capture.Writer(tmp_path / "c.jsonl")
    attacker = Attacker(["drop,of=session_open", "reflect,of=hello"], capture=writer).attach(world)
    with pytest.raises(ThecalError):
        Programmer(world.port(), timeout_s=1.0).status()
    attacker.send("host", b"\x02\x01\x00", world.now_us)
    writer.close()
    rows = list(capture.read(tmp_path / "c.jsonl"))
    assert any(row.sent and not row.data for row in rows)                               # dropped
    assert any(row.sender == "pump" and row.data and not row.sent for row in rows)      # reflected: nobody sent it
    assert rows[-1] == capture.Row(world.now_us, "host", b"\x02\x01\x00", b"")
    again = Attacker()
    again.load(rows)
    assert {heard.message for heard in again.frames} >= {cat.HELLO, cat.SESSION_OPEN}


def test_without_rules_he_changes_nothing():
    hashes = set()
    for attacked in (False, True):
        with pump_world() as world:
            if attacked:
                Attacker().attach(world)
            Programmer(world.port()).set_clock(world.board.rtc_s(world.now_us))
            world.run_until(world.now_us + 3600 * 1_000_000)
            hashes.add(world.recorder.trace_hash)
    assert len(hashes) == 1
