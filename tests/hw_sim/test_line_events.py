"""What befalls the line of a scenario: an attacker for hours, a host that dies or stalls; each fires with its first deed and changes no therapy."""

from types import SimpleNamespace

import pytest

from thecal.hw_sim.attacker_rules import RuleError
from thecal.hw_sim.line_events import PHASES, attack, failing_host
from thecal.hw_sim.scenario import Programmer, ThecalError, Timeout, load_scenario, world_for

S = 1_000_000


@pytest.fixture
def world():
    with world_for(load_scenario("baclofen"), runtime="inprocess") as made:
        yield made


def seen(world, name):
    return [row for row in world.faults() if row["name"] == name][-1]


@pytest.mark.req("TH-RULE-13")
def test_an_attack_fires_with_its_first_deed_and_ends_when_it_said(world):
    attack(world, ["drop,of=stage"], 600)
    Programmer(world.port()).status()
    assert seen(world, "attack")["fired_s"] is None, "he has only listened"
    with pytest.raises(ThecalError):
        Programmer(world.port()).pause(10)
    fired_s = seen(world, "attack")["fired_s"]
    assert fired_s is not None and seen(world, "attack")["cleared_s"] is None
    world.run_until(world.now_us + 601 * S)
    assert seen(world, "attack")["cleared_s"] == seen(world, "attack")["set_s"] + 600 and world.line.middle is None
    Programmer(world.port()).pause(10)


@pytest.mark.req("TH-LINK-08")
def test_who_listens_first_floods_when_he_has_listened(world):
    attack(world, ["flood=2/s,with=past"], 300, listens_s=120)
    before = Programmer(world.port()).status()
    world.run_until(world.now_us + 100 * S)
    assert seen(world, "attack")["fired_s"] is None
    world.run_until(world.now_us + 100 * S)
    assert seen(world, "attack")["fired_s"] == seen(world, "attack")["set_s"] + 120
    world.run_until(world.now_us + 1800 * S)
    assert Programmer(world.port()).status().running_digest == before.running_digest


def test_a_rule_that_cannot_be_is_refused(world):
    with pytest.raises(RuleError, match="steal"):
        attack(world, ["steal"], 60)


@pytest.mark.req("TH-LINK-09", "TH-RULE-13")
@pytest.mark.parametrize("phase", PHASES)
def test_a_host_that_dies_leaves_the_program_as_it_was(world, phase):
    pump = Programmer(world.port())
    before = pump.status().running_digest
    with failing_host(world, {"dies": phase}, {}):
        with pytest.raises(Timeout):
            Programmer(world.port()).stop("clinician order")
    row = seen(world, "host_dies")
    assert row["value"] == phase and row["set_s"] < row["fired_s"] <= row["cleared_s"] == world.now_us / S
    status = pump.status()
    assert status.running_digest == before and status.rate_nl_day > 0


@pytest.mark.req("TH-LINK-09", "TH-RULE-13")
def test_a_commit_that_comes_late_is_not_executed_and_the_line_is_free_again(world):
    pump = Programmer(world.port())
    with failing_host(world, {"stalls": "310 s"}, {"stalls": 310}):
        with pytest.raises(Timeout):
            pump.stop("clinician order")
    fired_s = seen(world, "host_stalls")["fired_s"]
    world.run_until(world.now_us + 640 * S)
    assert seen(world, "host_stalls")["set_s"] < fired_s and world.line.middle is None and seen(world, "host_stalls")["cleared_s"] is not None
    assert Programmer(world.port()).status().rate_nl_day > 0


def test_a_host_that_does_not_fail_is_left_alone():
    world = SimpleNamespace()
    with failing_host(world, {"dose": "5 ug"}, {}):
        assert vars(world) == {}
