"""The attacker at work, with the pump as his victim: what he can do to a line, and that nothing he does is done twice or by him.

A doctor's orders to push a volume (single boluses) go through him: each is executed once, or reported as not executed. For floods see
test_flood.py.
"""

import pytest

from thecal.hw_sim import capture
from thecal.hw_sim.attacker import Attacker
from thecal.hw_sim.attacker_frames import made, unstuff
from thecal.hw_sim.scenario import Programmer, ThecalError, load_scenario, world_for
from thecal.protocol import catalogue as cat

BOLUS, BOLUS_S = ("2 ug", "7 min"), 450      # 1 uL on top of the program, and until it has ended
pytestmark = pytest.mark.thecal(scenario="baclofen", runtime="inprocess")


# ------------------------------------------------------------------------------------------------ what he hears, what he holds

ASK, ANSWER = made(cat.STATUS, request_id=5), made(cat.STAGE | cat.REPLY_BIT, b"\x05\x00", request_id=5)


def test_half_a_frame_is_held_and_text_passes_at_last():
    attacker = Attacker()
    assert attacker.hear("host", ASK[:4], 0) == [] and attacker.hear("host", ASK[4:] + b"\0ab", 1) == [("host", ASK), ("host", b"\0")]
    assert attacker.release("host") == b"ab" and attacker.release("host") == b""
    assert attacker.hear("pump", b"x" * 600, 2) == [("pump", b"x" * 256)] * 2
    assert attacker.counts["heard"] == 4 and attacker.counts["not_frames"] == 2


class Desk:
    """A line that keeps what is put on it."""

    def __init__(self):
        self.rows = []

    def put(self, sender, data, now_us):
        self.rows.append((now_us, sender, data))


def numbered(*numbers, sender="host"):
    return [(sender, made(cat.STATUS, request_id=number)) for number in numbers]


def order(out):
    """Request ids of what goes on, in order."""
    return [unstuff(raw)[4] for _, raw in out]


def all_of(attacker, frames, t_us=0):
    out = []
    for sender, raw in frames:
        out += attacker.hear(sender, raw, t_us)
    return out


def test_a_held_frame_goes_behind_later_ones_of_its_sender():
    def first(heard, out, attacker):
        if heard.sender == "host" and heard.body[4:5] == b"\x01":
            attacker.hold(*out[0], heard.t_us, behind=2)
            return out[1:]
        return out

    attacker = Attacker([first])
    assert order(all_of(attacker, numbered(1, 2))) == [2] and [late.data for late in attacker.late] == [numbered(1)[0][1]]
    assert order(all_of(attacker, numbered(7, sender="pump"))) == [7] and attacker.hear("host", b"\0", 0) == [("host", b"\0")]     # not his, or no frame: it goes on waiting
    assert order(all_of(attacker, numbered(3, 4))) == [3, 1, 4] and not attacker.late and attacker.counts["let_go"] == 1


def test_a_held_frame_goes_when_its_time_has_come_and_only_once():
    desk, attacker = Desk(), Attacker(["reorder,behind=3,for=200ms,from=host"])
    attacker.join(desk)
    assert order(all_of(attacker, numbered(1, 2))) == [] and order(all_of(attacker, numbered(9, sender="pump"))) == [9]
    attacker.let_go(199_999)
    assert not desk.rows
    attacker.let_go(200_000)
    assert [(t_us, sender, unstuff(raw)[4]) for t_us, sender, raw in desk.rows] == [(200_000, "host", 1), (200_000, "host", 2)]
    assert order(all_of(attacker, numbered(3, 4, 5, 6), 300_000)) == [3]      # behind 4, 5 and 6, before its time
    attacker.let_go(500_000)
    assert order(row[1:] for row in desk.rows) == [1, 2, 4, 5, 6] and attacker.counts["reorder"] == attacker.counts["let_go"] == 6


def test_on_the_clock_of_a_world_it_goes_by_itself_unless_he_was_sent_home(world):
    attacker = Attacker(["reorder,of=status,for=300ms"]).attach(world)
    seen, start_us = [], world.now_us
    world.line.put = lambda sender, data, now_us: seen.append((now_us - start_us, data))
    world.inject(ASK)
    world.run_until(start_us + 299_999)
    assert not seen
    world.run_until(start_us + 400_000)
    assert seen == [(300_000, ASK)]
    world.inject(ASK)
    world.line.middle = None
    world.run_until(start_us + 1_000_000)
    assert seen == [(300_000, ASK)] and len(attacker.late) == 1


def test_nothing_is_sent_from_nowhere():
    with pytest.raises(RuntimeError, match="on no line yet"):
        Attacker().send("host", b"\0", 0)


# ------------------------------------------------------------------------------------------------ against the pump

def pushes(world):
    """How often the pump began to push, by its own log."""
    return sum(event.code == cat.E_BOLUS for event in Programmer(world.port()).log())


def order_often(world, attacker, times=12):
    """`times` orders through the attacker; (told that it is done, told that it is not, really done)."""
    before = pushes(world)
    attacker.attach(world)
    pump, done, failed = Programmer(world.port(), timeout_s=5.0), 0, 0
    for _ in range(times):
        try:
            pump.bolus(*BOLUS)
            done += 1
        except ThecalError:
            failed += 1
        world.run_until(world.now_us + BOLUS_S * 1_000_000)
    world.line.middle = None
    world.run_until(world.now_us + 7200 * 1_000_000)        # locks and sessions are over
    return done, failed, pushes(world) - before


@pytest.mark.slow
@pytest.mark.req("TH-LINK-01")
@pytest.mark.parametrize("rules", [
    ["duplicate"], ["replay=0.5"], ["replay,of=commit", "duplicate,of=commit"], ["reflect"], ["drop=0.2"], ["truncate=0.1"], ["corrupt=0.1"],
    ["corrupt=0.1,mend=no"], ["splice=0.1"], ["drop=0.1", "replay=0.5", "reflect=0.3"], ["drop=0.3,from=pump", "replay=0.5,from=host"],
    ["reorder=0.3"], ["reorder=0.3,behind=3,for=2s"], ["reorder=0.5,for=3s"], ["reorder=0.3,from=pump,for=1500ms"], ["reorder,of=commit,for=30s"],
    ["duplicate", "reorder=0.5,for=20s"]], ids="+".join)
def test_an_order_is_executed_once_or_reported_as_not_executed(world, rules):
    attacker = Attacker(rules, seed=3)
    done, failed, really = order_often(world, attacker)
    assert done + failed == 12 and attacker.counts["heard"] > 50
    assert done <= really <= done + failed, (done, failed, really, attacker.counts)     # what timed out may have been done, once
    if not any(rule.startswith(("corrupt", "splice", "truncate", "drop", "reorder")) for rule in rules):
        assert (done, really) == (12, 12), (failed, attacker.counts)


@pytest.mark.req("TH-LINK-02")
def test_frames_of_another_session_and_another_boot_do_nothing(world):
    attacker = Attacker().attach(world)
    Programmer(world.port()).bolus(*BOLUS)
    world.run_until(world.now_us + BOLUS_S * 1_000_000)
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


@pytest.mark.req("TH-LINK-02")
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


def test_what_he_did_is_in_the_capture(world, tmp_path):
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


def test_what_he_holds_and_lets_go_is_in_the_capture(tmp_path):
    writer, desk = capture.Writer(tmp_path / "c.jsonl"), Desk()
    attacker = Attacker(["reorder,of=status"], capture=writer)
    attacker.join(desk)
    attacker.rules.insert(0, lambda heard, out, attacker: attacker.hold(*out[0], heard.t_us, for_us=50) or [] if heard.message == cat.ALARMS else out)
    attacker.hear("host", ASK + made(cat.HELLO, bytes(5)) + made(cat.ALARMS), 10)
    attacker.let_go(60)
    writer.close()
    hello, alarms = made(cat.HELLO, bytes(5)), made(cat.ALARMS)
    assert [(row.t_us, row.data, row.sent) for row in capture.read(tmp_path / "c.jsonl")] == [
        (10, b"", ASK), (10, hello, hello), (10, ASK, b""), (10, b"", alarms), (60, alarms, b"")]


def test_without_rules_he_changes_nothing():
    hashes = set()
    for attacked in (False, True):
        with world_for(load_scenario("baclofen"), runtime="inprocess") as world:
            if attacked:
                Attacker().attach(world)
            Programmer(world.port()).set_clock(world.board.rtc_s(world.now_us))
            world.run_until(world.now_us + 3600 * 1_000_000)
            hashes.add(world.recorder.trace_hash)
    assert len(hashes) == 1
