"""Guided scripts of alarms.md section 6: overdose, withdrawal, MRI, and the replacement of a pump. Each step is said in words; the pump's part of it is done.

A script is a list of steps and can be taken up at any of them by hand: what it must know of the time before is on the pump's record or given again.
It ends well or not (`ok`), and says why in its last step. Waits are on the pump's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

from . import present, screen, units
from .alarms import TABLE
from .errors import RequestInvalid
from .implant import Implant
from .life import ImplantRecord
from .programmer import Programmer
from .records import Status

SCHEMA = "thecal.script/1"
FREE_FLOW, MOTION, STALL, EMPTY, EMPTY_COMPUTED, REDUCED = 2, 1, 7, 8, 9, 17    # rows of alarms.md 2
LOOKS_S = (20 * 60, 2 * 3600, 24 * 3600)    # after a scan, alarms.md 6
SETTLE_S = LOOKS_S[0]


@dataclass(frozen=True)
class Step:
    """One step: what people do or know, and the pump's part, which tells what came of it."""

    words: str
    act: Callable[[], str] | None = None


@dataclass
class Script:
    """A script at one pump. `missed_before_nl`: what the pump had booked as missed when it began; a script that is taken up again is given it."""

    name: str
    pump: Programmer
    missed_before_nl: int
    steps: list[Step] = field(default_factory=list)
    ok: bool = True
    why: str = ""
    progress: Callable[[int, int], None] | None = None
    _rotor: Status | None = None

    def run(self, go: Callable[[int, Step], bool], told: Callable[[int, str], None], first: int = 1) -> dict[str, Any]:
        """Take the steps from number `first` (1 ..) on; `go` is asked before each, and a no ends the script there. `told` hears what came of each.

        Raises RequestInvalid for a number that no step has, and what the pump's orders raise.
        """
        if not 1 <= first <= len(self.steps):
            raise RequestInvalid("step %d: the script %s has 1 .. %d" % (first, self.name, len(self.steps)), "from")
        done: list[dict[str, Any]] = []
        for number, step in enumerate(self.steps[first - 1:], first):
            if not go(number, step):
                self.fail("ended before step %d of %d: take it up with --from %d --missed-before '%d nL'" % (
                    number, len(self.steps), number, self.missed_before_nl))
                break
            said = step.act() if step.act else ""
            done.append({"step": number, "words": step.words, "said": said})
            told(number, said)
        return {"schema": SCHEMA, "script": self.name, "ok": self.ok, "why": self.why, "steps": done, "missed_nl": self.missed_nl(),
                "missed_before_nl": self.missed_before_nl, "missed": self.missed_text(), "status": self.pump.status().to_dict()}

    def fail(self, why: str) -> str:
        """The script does not end well; the sentence says why."""
        self.ok, self.why = False, why
        return why

    # ---------------------------------------------------------------------------------------------- what steps are made of
    def look(self) -> str:
        """The pump now: alarms, state, reservoir."""
        status = self.pump.status()
        alarms = "; ".join("ALARM %d %s: %s" % (alarm.row, alarm.name, alarm.action) for alarm in status.alarms) or "no alarm"
        return "%s. %s. Reservoir %s. %d pulses so far" % (
            alarms, present.state_text(status, self.pump.program_running()), present.reservoir_text(status), status.pulses)

    def wait(self, seconds: int) -> Status:
        """Wait on the pump's clock."""
        return self.pump.wait(seconds=seconds, progress=self.progress)

    def missed_nl(self) -> int:
        """Missed since the script began."""
        return self.pump.status().missed_total_nl - self.missed_before_nl

    def missed_text(self) -> str:
        """'baclofen 12.5 ug (0.025 mL) missed since the script began; it is not made up'."""
        missed, held = self.missed_nl(), self.pump.drugs_at_head() or ()
        doses = " + ".join("%s %s" % (item.name, item.show_amount(item.dose_ng(missed))) for item in held) or "an unknown dose"
        return "%s (%s) missed since the script began; it is not made up" % (doses, screen.ml(missed))

    def mark(self) -> None:
        """From now on the rotor is watched."""
        self._rotor = self.pump.status()

    def watch(self) -> None:
        """`mark`, unless a step before did: a script may be taken up behind it."""
        if self._rotor is None:
            self.mark()

    def rotor_turns(self) -> bool:
        """Whether a pulse has turned the rotor since `mark`, and no stall stands."""
        before, now = self._rotor or self.pump.status(), self.pump.status()
        lost = (now.missed_nl["stall"] - before.missed_nl["stall"]) // max(1, now.pulse_nl)
        return now.pulses - before.pulses - lost >= 1 and not _active(now, STALL)


def _active(status: Status, row: int) -> bool:
    return any(alarm.row == row for alarm in status.alarms)


# ---------------------------------------------------------------------------------------------------- overdose
def overdose(pump: Programmer, aspirated: str | None = None, catheter_aspirated: bool = False, missed_before_nl: int | None = None) -> Script:
    """Stop, empty the reservoir (`aspirated` is what came out), empty the catheter through the access port, watch that nothing moves."""
    script = _script("overdose", pump, missed_before_nl)
    script.steps = [
        Step("Look at the pump before anything is changed.", script.look),
        Step("Airway, breathing, circulation: intensive care. Published: stop delivery, remove cerebrospinal fluid, intensive care; physostigmine is not recommended."),
        Step("Stop the pump.", lambda: stopped(script, "emergency")),
        Step("Empty the reservoir through its septum and measure what comes out.", lambda: emptied(script, aspirated)),
        Step(_port_words(pump), lambda: _port(script, catheter_aspirated)),
        Step("Wait 20 min; nothing may move.", lambda: _still(script)),
        Step("Watch for withdrawal from now on: the pump reminds after 6 h where an abrupt stop is dangerous, else after 24 h. Afterwards: refill and "
             "program in a visit, then `thecal resume` and at once, where the catheter was emptied, `thecal prime catheter`: a stopped pump takes no prime.", script.missed_text),
    ]
    return script


def stopped(script: Script, reason: str) -> str:
    """Stop the pump for a reason of blocks.STOP_REASONS, unless it is."""
    if script.pump.status().mode == "stopped":
        return "it is stopped already"
    done = script.pump.stop(reason)
    return "stopped at %s" % units.pump_time_text(done.time_s)


def emptied(script: Script, aspirated: str | None) -> str:
    """Record what came out; the book then holds the residual only."""
    if aspirated is None:
        return "nothing recorded: say what came out with --aspirated"
    expected = script.pump.status().reservoir_computed_nl
    script.pump.empty(aspirated)
    left = script.pump.status().reservoir_computed_nl
    return "%s aspirated, %s were computed to come out; the residual of %s stays" % (aspirated, screen.ml(max(0, expected - left)), screen.ml(left))


def _port_words(pump: Programmer) -> str:
    """The access port, and what an injection without aspirating first would push (alarms.md 6)."""
    record, implant, held = pump.implant_record(), pump.implant() or Implant(), pump.drugs_at_head() or ()
    if record is not None and not record.access_port:
        return "This pump has no access port: the catheter keeps its content."
    volume_nl = implant.dead_volume_nl - implant.tubing_nl
    doses = ["%s %s" % (item.name, item.show_amount(item.dose_ng(volume_nl))) for item in held]
    return "Aspirate the access port: the catheter's %s and cerebrospinal fluid come out. Never inject there first: it would push %s into the patient." % (
        screen.ml(volume_nl), " + ".join(doses) or "what the catheter holds")


def _port(script: Script, aspirated: bool) -> str:
    if not aspirated:
        return "nothing recorded: if it was aspirated, say so with --catheter-aspirated"
    script.pump.record_catheter(filled=False)
    return "the catheter is on record as empty: it must be primed before the therapy goes on"


def _still(script: Script) -> str:
    before = script.pump.status()
    after = script.wait(SETTLE_S)
    if after.mode != "stopped":
        return script.fail("the pump is not stopped: it is %s" % after.mode)
    seen = [TABLE[row].name for row in (MOTION, FREE_FLOW) if _active(after, row)]
    if after.pulses != before.pulses:
        seen.append("the rotor moved")
    return script.fail("the pump still gives drug (%s): keep the reservoir empty" % ", ".join(seen)) if seen else "nothing moved in 20 min"


# ---------------------------------------------------------------------------------------------------- withdrawal
def withdrawal(pump: Programmer, bolus: tuple[str, str] | None = None, missed_before_nl: int | None = None, override: str | None = None) -> Script:
    """Restore delivery, rescue by mouth, tube or `bolus` (dose, over; `override`: why above what is usual), then look at pump, reservoir and catheter."""
    script = _script("withdrawal", pump, missed_before_nl)
    script.steps = [
        Step("Look at the pump before anything is changed.", script.look),
        Step("Give the drug by mouth or tube now; do not wait for the pump to be found at fault."),
        Step("Restore delivery.", lambda: _restored(script)),
        Step("Rescue bolus, if one is ordered.", lambda: _rescue(script, bolus, override)),
        Step("The pump: wait 20 min and see whether the rotor turns.", lambda: _rotor(script)),
        Step("The reservoir: computed and sensed; withdraw and compare at the next step of care (`thecal visit --withdrawn`).", lambda: _holds(script)),
        Step("The catheter: X-ray, and aspirate the access port. A kink, a leak or a disconnection is silent: the pump cannot see it.",
             lambda: _line(script)),
        Step("What was missed.", script.missed_text),
    ]
    return script


def _restored(script: Script) -> str:
    status = script.pump.status()
    if status.mode not in ("stopped", "paused") and not _active(status, REDUCED):
        return "delivery was not stopped by order: the pump is %s" % status.mode
    return "; ".join(["resumed: the program is given again", *script.pump.resume().warnings])


def _rescue(script: Script, bolus: tuple[str, str] | None, override: str | None) -> str:
    if bolus is None:
        return "none ordered (--bolus DOSE OVER)"
    done = script.pump.bolus(*bolus, override=override)
    return "%s over %s%s" % (*bolus, "; ".join(["", *done.warnings]))


def _rotor(script: Script) -> str:
    script.mark()
    due_s = SETTLE_S
    rate = script.pump.status().rate_nl_day
    if rate:
        due_s = max(due_s, 2 * script.pump.status().pulse_nl * units.DAY_S // rate)     # a slow program's pulses are further apart
    script.wait(due_s)
    if script.rotor_turns():
        return "the rotor turns"
    return script.fail("the rotor has not turned in %s%s: the patient depends on the rescue; plan the replacement" % (
        units.duration_text(due_s), " (motor stall)" if _active(script.pump.status(), STALL) else ""))


def _holds(script: Script) -> str:
    status = script.pump.status()
    for row in (EMPTY, EMPTY_COMPUTED):
        if _active(status, row):
            return script.fail("%s: refill it; %s" % (TABLE[row].name, present.reservoir_text(status)))
    return present.reservoir_text(status)


def _line(script: Script) -> str:
    if script.pump.status().catheter_filled:
        return "on record as drug-filled"
    return script.fail("the catheter is on record as empty: no drug reaches the patient before it is primed (`thecal prime`)")


# ---------------------------------------------------------------------------------------------------- MRI
def mri(pump: Programmer, scan: str | None = None, missed_before_nl: int | None = None) -> Script:
    """Interrogate, scan (`scan` long on the pump's clock), interrogate; while the rotor does not turn again after 20 min, 2 h and 24 h."""
    script = _script("mri", pump, missed_before_nl)
    record = pump.implant_record()
    scan_s = units.duration_s(scan, "scan") if scan else 0
    looks = [_look_again(script, start_s, end_s) for start_s, end_s in zip((0, *LOOKS_S), LOOKS_S)]
    script.steps = [
        Step("Look at the pump before the scan. MRI class on record: %s." % (record.mri if record else "not on record"), lambda: _before_scan(script, record)),
        Step("Scan. The field holds the rotor; it starts again by itself, sometimes hours later. Nothing is made up.", lambda: _scanned(script, scan_s)),
        Step("Look at the pump after the scan.", lambda: _after_scan(script, 0)),
        *looks,
        Step("What was missed.", lambda: _end_of_scan(script)),
    ]
    return script


def _look_again(script: Script, start_s: int, end_s: int) -> Step:
    return Step("Again %s after the scan, unless the rotor turned." % units.duration_text(end_s), lambda: _after_scan(script, end_s - start_s))


def _before_scan(script: Script, record: ImplantRecord | None) -> str:
    if record is not None and record.mri == "unsafe":
        script.fail("this pump is on record as MRI unsafe")
        return "DO NOT SCAN: %s. %s" % (script.why, script.look())
    return script.look()


def _scanned(script: Script, scan_s: int) -> str:
    if scan_s:
        script.wait(scan_s)
    script.mark()
    return "%s on the pump's clock" % units.duration_text(scan_s) if scan_s else "no time was waited: go on when the patient is out of the scanner"


def _after_scan(script: Script, wait_s: int) -> str:
    script.watch()
    if wait_s and script.rotor_turns():
        return "not needed: the rotor turns"
    if wait_s:
        script.wait(wait_s)
    if script.rotor_turns():
        return "the rotor turns"
    return "the rotor has not turned yet%s" % (" (motor stall stands)" if _active(script.pump.status(), STALL) else "")


def _end_of_scan(script: Script) -> str:
    status = script.pump.status()
    if status.mode == "stopped" or status.rate_nl_day == 0:
        return script.fail("the pump is %s at %s: nothing proves that its rotor turns; %s" % (
            status.mode, present.show_flow(status.rate_nl_day), script.missed_text()))
    if not script.rotor_turns():
        return script.fail("the rotor has not turned for 24 h after the scan: treat withdrawal, plan the replacement; %s" % script.missed_text())
    return script.missed_text()


def _script(name: str, pump: Programmer, missed_before_nl: int | None) -> Script:
    return Script(name, pump, pump.status().missed_total_nl if missed_before_nl is None else missed_before_nl)
