"""A bad line hurts as often as it says, the same way for the same seed, and says no in one sentence."""

import pytest

from thecal.hw_sim.impairment import FRAME_BYTES, KEYS, Impairment, LineError

FRAME = bytes((3, 1, 2, 1, 0))


def carried(spec, frames=4000, sender="host", seed=1, frame=FRAME):
    line = Impairment.parse(spec, seed)
    return [line.by_sender[sender].carry(frame, False) for _ in range(frames)], line.counts()[sender]


def share(count, chance, draws):
    """Within five sigma of a binomial."""
    return abs(count - chance * draws) <= 5 * (chance * (1 - chance) * draws) ** 0.5


def test_a_line_of_zeros_changes_nothing():
    came, counts = carried("loss=0,ber=0,drop=0", 100)
    assert came == [FRAME] * 100 and counts["frames"] == 100 and sum(counts.values()) == 100


@pytest.mark.parametrize(("spec", "counter", "chance", "draws"), [
    ("loss=0.3", "lost", 0.3, 4000), ("dup=0.5", "doubled", 0.5, 4000), ("replay=0.5", "replayed", 0.5, 4000), ("burst=0.1", "bursts", 0.1, 4000),
    ("drop=0.01", "dropped_bytes", 0.01, 4000 * len(FRAME)), ("ber=1e-3", "flipped_bits", 1e-3, 4000 * 8 * len(FRAME))])
def test_rates_are_what_was_asked_for(spec, counter, chance, draws):
    came, counts = carried(spec)
    assert share(counts[counter], chance, draws)
    assert carried(spec) == (came, counts)
    assert carried(spec, seed=2)[0] != came


def test_lost_frames_arrive_as_nothing_and_doubled_ones_twice():
    assert set(carried("loss=0.5")[0]) == {FRAME, b""}
    assert set(carried("dup=0.5")[0]) == {FRAME, FRAME * 2}
    assert set(carried("loss=1")[0]) == {b""} and set(carried("drop=1")[0]) == {b""}


def test_a_replay_brings_an_older_frame_of_this_direction_even_a_lost_one():
    line = Impairment.parse("host.replay=1,host.loss=1")
    came = [line.by_sender["host"].carry(bytes((2, number, 0)), False) for number in range(1, 60)]
    ages = {number - data[1] for number, data in enumerate(came, 1)}
    assert all(len(data) == 3 for data in came) and min(ages) == 0 and 8 < max(ages) < 16
    assert line.by_sender["pump"].carry(FRAME, False) == FRAME


def test_a_flipped_bit_is_one_bit():
    came, counts = carried("ber=1e-3")
    wrong = [bytes(a ^ b for a, b in zip(FRAME, data)) for data in came]
    assert sum(byte.bit_count() for data in wrong for byte in data) == counts["flipped_bits"]


def test_the_fate_of_a_frame_does_not_depend_on_how_it_is_cut_into_writes():
    whole, bytewise = Impairment.parse("loss=0.4,dup=0.3,replay=0.3,burst=0.2"), Impairment.parse("loss=0.4,dup=0.3,replay=0.3,burst=0.2")
    for _ in range(300):
        one = whole.by_sender["host"].carry(FRAME, False)
        assert b"".join(bytewise.by_sender["host"].carry(FRAME[at:at + 1], False) for at in range(len(FRAME))) == one


def test_a_burst_goes_on_beyond_the_end_of_a_short_frame():
    came, _ = carried("burst=1", 200)
    assert any(len(data) > len(FRAME) for data in came) and any(data[:len(FRAME)] != FRAME for data in came)
    assert all(len(data) <= len(FRAME) + 16 for data in came)


def test_text_without_delimiters_is_cut_and_quiet_ends_a_frame():
    line = Impairment.parse("loss=0.5")
    injurer = line.by_sender["host"]
    for _ in range(100):
        assert len(injurer.carry(b"x" * (4 * FRAME_BYTES), False)) % FRAME_BYTES == 0
    before = injurer.counts["frames"]
    injurer.carry(b"ab", True)
    injurer.carry(b"cd", True)
    assert injurer.counts["frames"] == before + 2


def test_delay_and_jitter():
    line = Impairment.parse("host.delay=20ms,jitter=500us")
    late = [line.by_sender["host"].delay_us() for _ in range(200)]
    assert 20_000 <= min(late) < 20_050 and 20_450 < max(late) <= 20_500
    assert max(line.by_sender["pump"].delay_us() for _ in range(200)) <= 500
    assert line.counts()["host"]["delayed"] == 200


@pytest.mark.parametrize(("spec", "sentence"), [
    ("", "line: key is '', known are loss, dup, replay"), ("lossy=0.1", "line: key is 'lossy', known are"), ("me.loss=0.1", "line: key is 'me.loss'"),
    ("loss", "line: loss has no value: write loss=0.1"), ("delay", "line: delay has no value: write delay=20ms"),
    ("loss=1.5", "line: loss is 1.5, it must lie between 0 and 1"), ("ber=0.6", "line: ber is 0.6, it must lie between 0 and 0.5"),
    ("loss=-1", "must lie between"), ("loss=nan", "must lie between"), ("loss=much", "line: loss is 'much', it must be a number between 0 and 1"),
    ("delay=20", "line: delay is '20', it must be a time with its unit, us, ms or s: delay=20ms"), ("delay=11s", "line: delay is 11s, it must lie between 0 s and 10 s"),
    ("delay=infs", "must lie between 0 s"), ("delay=ms", "must be a time with its unit"), ("jitter=-1ms", "must lie between 0 s"),
    ("loss=0.1,loss=0.2", "line: loss is given twice for what the host sends"), ("loss=0.1,pump.loss=0.2", "twice for what the pump sends")])
def test_what_cannot_be_is_one_sentence(spec, sentence):
    with pytest.raises(LineError) as refused:
        Impairment.parse(spec)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_every_key_is_in_the_docs_of_the_module():
    from thecal.hw_sim import impairment
    for key in KEYS:
        assert "    %s=" % key in impairment.__doc__
