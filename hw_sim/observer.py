"""What can be seen of a pump from outside: its pins, its tones, its line, and what the host says of it. The ledger judges by nothing else.

A `Witness` is a recorder that keeps these signs with their instants, and beside them what the patient really got, for the dose error.
What a sign means an observer says: a function `(t_us, kind, value) -> str | None` that is told every sign and answers with the name of what
it has noticed, or None. Kinds and values:

    "enable dropped"   ""           the pump opened its enable switch by itself
    "tone"             1 or 2       a tone began: single, two-tone
    "alarm"            row number   the pump says on its line that this alarm stands (asked at every sample; dated by its log in between)
    "log"              a name       an event of the pump's log, as the host names it
    "said"             a sentence   the host says something of the pump or of its visit
    "delivery resumed" ""           the first order of the motor since the power was away
    "bytes"            bytes        what the pump put on the line, whatever protocol it speaks

`from_outside` is the one for this project's pumps. A user's own is a factory without arguments that makes one for each run, named
`module:function` (`thecal-sim faults --observer`); a firmware that shows a fault by bytes of its own is judged by it.
"""
from __future__ import annotations

import importlib
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..protocol import catalogue
from .recorder import Recorder
from .runner import FirmwareError
from .tones import BEGINS, DARK, ENDS, SINGLE, STANDS, TWO_TONE, Mark

Observer = Callable[[int, str, Any], str | None]
MOST_WAKES = 50_000         # between two samples, at most an hour: 24 mL/day takes a thousand, with every look of a host
WITHOUT_END = "the pump was woken %d times between two samples: its rotor runs, or it never sleeps"
PULSE_US = 500_000          # the hardware one-shot: a pulse is over by then
ALARM_LOGGED, ALARM_ENDED = (next(row[1] for row in catalogue.EVENTS if row[0] == code) for code in (catalogue.E_ALARM, catalogue.E_ALARM_END))
DARKENS = ("power cut", "brown-out", "power on")       # what the world tells: alarms stand anew behind it
ENABLE, TONE, ALARM, LOG, SAID, BYTES, RESUMED = "enable dropped", "tone", "alarm", "log", "said", "bytes", "delivery resumed"


class ObserverError(ValueError):
    """An observer of the user's own cannot be used; the message names it."""

    exit_status = 2


@dataclass(frozen=True)
class Sign:
    """`name` is what the observer called it."""

    t_us: int
    name: str


@dataclass
class Course:
    """What was ordered and what reached the patient, at every order of the motor and at every sample: virtual us, steps, and nL of the
    prescribed solution (the mass of the first drug through the tip, over its concentration)."""

    t_us: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    dose_nl: list[float] = field(default_factory=list)

    def dose_at(self, t_us: int) -> float:
        """What had reached the patient at `t_us`: known before each order, so it is taken before the next one when a pulse has passed."""
        index = bisect_right(self.t_us, t_us)
        if index < len(self.t_us) and (index == 0 or t_us - self.t_us[index - 1] >= PULSE_US):
            return self.dose_nl[index]
        return self.dose_nl[index - 1]

    def steps_at(self, t_us: int) -> int:
        """Steps ordered up to `t_us`, an order at that instant not yet."""
        return self.steps[bisect_right(self.t_us, t_us) - 1] if self.t_us and self.t_us[0] <= t_us else 0


class Witness(Recorder):
    """Keeps signs and course of a run. `watch(plant, drug, nl_per_ng)` tells it whose dose to weigh; before that it keeps signs only."""

    def __init__(self, observer: Observer, sample_s: float) -> None:
        super().__init__(None, sample_s=sample_s)
        self.signs: list[Sign] = []
        self.course = Course()
        self.ordered_steps = self.longest_steps = 0
        self.prints: list[tuple[int, int]] = []
        self._print = self._wakes = 0
        self._dark = False                      # the power was away, and the motor was not ordered since
        self._observer = observer
        self._plant: Any = None
        self._drug = ""
        self._nl_per_ng = 0.0
        self.tones: list[tuple[int, int]] = []              # (when it began, 1 single or 2 two-tone)
        self.standing: list[Mark] = []          # which alarms stood when: tones.spans
        self._raised: dict[int, int] = {}       # alarms of the log, not yet told
        self._standing: set[int] = set()
        self._asked_us = self._before_us = 0    # the last samples with an answer: what stood between them was not seen

    def watch(self, plant: Any, drug: str, nl_per_ng: float) -> None:
        """Weigh the dose of `drug` in this plant from now on."""
        self._plant, self._drug, self._nl_per_ng = plant, drug, nl_per_ng

    def see(self, t_us: int, kind: str, value: Any) -> None:
        """One sign, shown to the observer."""
        name = self._observer(t_us, kind, value)
        if name is not None:
            self.signs.append(Sign(t_us, name))

    # ---- as a recorder
    def pulse(self, t_us: int, steps: int, hold_us: int) -> None:
        """An order: what it moves is not yet moved."""
        if self._dark:
            self._dark = False
            self.see(t_us, RESUMED, "")
        self._weigh(t_us)
        self.ordered_steps += steps
        self.longest_steps = max(self.longest_steps, steps)

    def exchange(self, inputs: bytes, reply: bytes) -> None:
        """A wake of the pump: all that it was told and said goes into one checksum.

        Raises FirmwareError for a pump that is woken without end: a rotor that runs away wakes it at every edge.
        """
        self._wakes += 1
        if self._wakes > MOST_WAKES:
            raise FirmwareError(WITHOUT_END % MOST_WAKES)
        self._print = zlib.crc32(reply, zlib.crc32(inputs, self._print))

    def sample(self, t_us: int, row: dict[str, Any]) -> None:
        """A look of the clinician's; one that the pump did not answer has seen nothing."""
        if t_us >= 0:
            if row.get("demanded_nl", 0) is not None:
                self._before_us, self._asked_us = self._asked_us, t_us
            self._wakes = 0
            self._weigh(t_us)
            self.prints.append((t_us, self._print))

    def told(self, t_us: int, status: Any) -> None:
        """The alarms that stand: one that the pump could not log is seen here."""
        standing = {alarm.row for alarm in status.alarms}
        self.standing.append((t_us, STANDS, frozenset(standing)))
        for row in sorted(standing - self._standing):
            self.see(t_us, ALARM, row)
        self._standing = standing

    def event(self, t_us: int, source: str, name: str, detail: Any = "") -> None:
        """What the world and the pump's own log tell."""
        if source == "pump" and name == ENABLE:
            self.see(t_us, ENABLE, "")
        elif source == "pump" and name == TONE:
            self.tones.append((t_us, TWO_TONE if detail == "two-tone" else SINGLE))
            self.see(t_us, TONE, self.tones[-1][1])
        elif source == "pump" and name == ALARM_LOGGED:
            row = int(str(detail).split()[0])
            self._raised[row] = t_us
            self.standing.append((self._within(t_us), BEGINS, frozenset((row,))))
        elif source == "pump" and name == ALARM_ENDED:
            self.standing.append((self._within(t_us), ENDS, frozenset((int(str(detail).split()[0]),))))
        elif source == "pump":
            self.see(t_us, LOG, name)
        elif name in DARKENS:
            self._dark = t_us > 0
            self.standing.append((t_us, DARK, frozenset()))

    def uart(self, t_us: int, sender: str, data: bytes, sent: bytes | None = None) -> None:
        """Bytes on the line."""
        if sender == "pump":
            self.see(t_us, BYTES, data)

    def _within(self, t_us: int) -> int:
        """What the pump's log dates lies between its last two looks: its clock may have jumped."""
        return max(self._before_us, min(t_us, self._asked_us)) if t_us <= self._asked_us else t_us

    def _weigh(self, t_us: int) -> None:
        course = self.course
        if self._plant is not None and (not course.t_us or t_us > course.t_us[-1]):
            course.t_us.append(t_us)
            course.steps.append(self.ordered_steps)
            course.dose_nl.append(self._plant.tip_dose_ng(self._drug) * self._nl_per_ng)

    def alarm(self, t_us: int, code: int) -> None:
        """The pump has told of an alarm at `t_us` (0: of an end): it rang when its log says, but not before the look before this one."""
        raised_us = self._raised.pop(code, None)
        if raised_us is not None:
            self.see(min(max(raised_us, self._before_us), t_us), ALARM, code)


def from_outside(t_us: int, kind: str, value: Any) -> str | None:
    """What this project's pumps show: a dropped enable, a tone, an alarm by its row, a sentence of the host."""
    if kind == ALARM:
        return "alarm %d" % value
    if kind in (LOG, SAID):
        return "%s %s" % (kind, value)
    return None if kind == BYTES else kind


def named(given: str | None) -> Callable[[], Observer]:
    """The factory behind `module:function`, ours for None. Raises ObserverError."""
    if given is None:
        return lambda: from_outside
    module, _, function = given.partition(":")
    if not module or not function:
        raise ObserverError("--observer %r must be module:function, such as mybench:observer" % given)
    try:
        factory: Callable[[], Observer] = getattr(importlib.import_module(module), function)
        made = factory()
    except (ImportError, AttributeError, TypeError) as error:
        raise ObserverError("--observer %s cannot be used: %s" % (given, error)) from error
    if not callable(made):
        raise ObserverError("--observer %s made %r, it must make a function (t_us, kind, value) -> name or None" % (given, made))
    return factory


def signs_of_visits(notes: list[str], instants_us: dict[int, int]) -> Iterator[tuple[int, str]]:
    """(instant, sentence) of what the host said at an event, from a run's notes ('event 6 (refill): ...'); `instants_us` by event number."""
    for note in notes:
        head, _, sentence = note.partition(": ")
        words = head.split()
        if len(words) >= 2 and words[0] == "event" and words[1].isdigit() and int(words[1]) in instants_us:
            yield instants_us[int(words[1])], sentence
