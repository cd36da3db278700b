"""What is seen from outside: signs with their instants, the course of the dose, and an observer of the user's own."""

import sys
import types
from types import SimpleNamespace

import pytest

from thecal.hw_sim import observer
from thecal.hw_sim.observer import ObserverError, Witness, from_outside, named, signs_of_visits
from thecal.hw_sim.runner import FirmwareError

S = 1_000_000


class Patient:
    dose_ng = 0.0

    def tip_dose_ng(self, drug):
        return self.dose_ng if drug == "x" else 0.0


def names(witness):
    return [(sign.t_us, sign.name) for sign in witness.signs]


def test_enable_tone_log_and_alarm():
    witness = Witness(from_outside, 3600)
    witness.event(1 * S, "pump", "enable dropped", "")
    witness.event(2 * S, "pump", "tone", "two-tone")
    witness.event(3 * S, "plant", "tone", "nobody's")
    witness.event(4 * S, "pump", "boot", "cause 2")
    witness.event(5 * S, "pump", observer.ALARM_LOGGED, "7 motor stall")
    witness.alarm(9 * S, 7)
    witness.alarm(10 * S, 0)
    assert names(witness) == [(1 * S, "enable dropped"), (2 * S, "tone"), (4 * S, "log boot"), (5 * S, "alarm 7")]


def test_an_alarm_is_no_older_than_the_look_before_and_no_younger_than_the_one_that_told():
    witness = Witness(from_outside, 3600)
    for t_s in (3600, 7200):
        witness.sample(t_s * S, {})
    for logged_s in (10, 5000, 9999):
        witness.event(logged_s * S, "pump", observer.ALARM_LOGGED, "7 motor stall")
        witness.alarm(7200 * S, 7)
    assert [t_us // S for t_us, _ in names(witness)] == [3600, 5000, 7200]


def test_a_look_that_was_refused_has_seen_nothing():
    """Found by two seeds of the ledger's replayed-commands: row 28 stands while its lockout refuses every look, and the log dates it at the next."""
    witness = Witness(from_outside, 3600)
    witness.sample(3600 * S, {"demanded_nl": 0})
    for t_s in (7200, 10_800):
        witness.sample(t_s * S, {"demanded_nl": None})
    witness.sample(14_400 * S, {"demanded_nl": 5})
    witness.event(5000 * S, "pump", observer.ALARM_LOGGED, "28 session stuck or locked out")
    witness.alarm(14_400 * S, 28)
    assert names(witness) == [(5000 * S, "alarm 28")]


def test_an_alarm_that_could_not_be_logged_is_seen_by_asking():
    witness = Witness(from_outside, 3600)
    for t_s in (1, 2):
        witness.told(t_s * S, SimpleNamespace(alarms=[SimpleNamespace(row=14)]))
    assert names(witness) == [(1 * S, "alarm 14")]


def test_the_course_knows_what_was_given_before_each_order():
    witness, patient = Witness(from_outside, 3600), Patient()
    witness.pulse(0, 100, 150_000)          # nobody is watched yet
    witness.watch(patient, "x", 2.0)
    for t_s, dose_ng in ((10, 0.0), (20, 5.0), (30, 10.0)):
        patient.dose_ng = dose_ng
        witness.pulse(t_s * S, 117, 150_000)
    course = witness.course
    assert [course.dose_at(t * S) for t in (10, 11, 20, 25, 30, 99)] == [0.0, 10.0, 10.0, 20.0, 20.0, 20.0]
    assert [course.steps_at(t * S) for t in (5, 10, 20, 30)] == [0, 100, 217, 334]
    assert witness.longest_steps == 117


def test_a_pump_that_is_woken_without_end_is_a_failure(monkeypatch):
    monkeypatch.setattr(observer, "MOST_WAKES", 3)
    witness = Witness(from_outside, 3600)
    with pytest.raises(FirmwareError, match="woken 3 times between two samples"):
        for _ in range(4):
            witness.exchange(b"a", b"b")


def test_what_the_host_says_at_a_visit():
    notes = ["event 6 (refill): less withdrawn than expected: 1 mL", "at 2 d: no answer", "event x"]
    assert list(signs_of_visits(notes, {6: 5 * S})) == [(5 * S, "less withdrawn than expected: 1 mL")]


def test_an_observer_of_ones_own(monkeypatch):
    mine = types.ModuleType("mybench")
    mine.observer = lambda: lambda t_us, kind, value: "shouts" if kind == "bytes" and b"!" in value else None
    mine.wrong = lambda: 3
    monkeypatch.setitem(sys.modules, "mybench", mine)
    witness = Witness(named("mybench:observer")(), 3600)
    witness.uart(4 * S, "pump", b"help!")
    witness.uart(5 * S, "host", b"what!")
    witness.event(6 * S, "pump", "tone", "single")
    assert names(witness) == [(4 * S, "shouts")]
    for given, said in (("mybench", "must be module:function"), ("nomodule:x", "cannot be used"), ("mybench:none", "cannot be used"),
                        ("mybench:wrong", "it must make a function")):
        with pytest.raises(ObserverError, match=said):
            named(given)


def test_delivery_that_resumes_behind_a_dark_time_is_a_sign_and_the_marks_are_kept():
    witness = Witness(from_outside, 3600)
    witness.event(0, "plant", "power on", "reset cause 0")
    witness.pulse(1 * S, 100, 150_000)
    witness.event(2 * S, "fault", "power cut", "10 s")
    witness.event(12 * S, "plant", "power on", "reset cause 1")
    witness.pulse(20 * S, 100, 150_000)
    witness.pulse(30 * S, 100, 150_000)
    assert names(witness) == [(20 * S, "delivery resumed")]
    witness.event(40 * S, "pump", "tone", "two-tone")
    witness.event(41 * S, "pump", "alarm ended", "7 motor stall")
    assert witness.tones == [(40 * S, 2)] and witness.standing[-1] == (41 * S, "ends", frozenset((7,)))
    assert [kind for _, kind, _ in witness.standing] == ["dark", "dark", "dark", "ends"]
