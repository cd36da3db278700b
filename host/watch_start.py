"""The watch behind the first start of therapy, as a guided script: at least as long as the library asks for the drugs of the program.

Baclofen 8 h after the implant (Boster 2016, regimens.md 1), opioids 24 h (label: monitored at least 24 h, regimens.md 3).
"""

from __future__ import annotations

from . import present, screen, units
from .alarms import TABLE
from .programmer import Programmer
from .scripts import Script, Step

LOOK_S = 3600               # between two looks
WATCH_S = 24 * 3600         # for a drug of which the library has no figure: as for an opioid [J]
URGENT = 2                  # priorities up to this end the watch


def watch_s(pump: Programmer) -> int:
    """How long the drugs of the running program are watched: the longest of them; WATCH_S where the library has no figure or nothing runs."""
    program = pump.program_running()
    return max((item.drug.watch_s if item.drug and item.drug.watch_s else WATCH_S for item in program.ingredients), default=WATCH_S) if program else WATCH_S


def start(pump: Programmer, missed_before_nl: int | None = None) -> Script:
    """Look whether drug can reach the patient, sound the alarm, watch by the hour, hold delivered against prescribed, say when a rise may come."""
    script = Script("start", pump, pump.status().missed_total_nl if missed_before_nl is None else missed_before_nl)
    length_s = watch_s(pump)
    script.steps = [
        Step("Look at the pump: drug must be able to reach the patient.", lambda: _ready(script)),
        Step("Sound the alarm, so that patient and ward know it.", lambda: _sounded(script)),
        Step("Keep the means of resuscitation at the bedside; write down breathing, sedation, blood pressure and tone every hour."),
        Step("Watch for %s; the pump is looked at every hour." % units.duration_text(length_s), lambda: _watched(script, length_s)),
        Step("What was given beside what is prescribed.", lambda: _given(script)),
        Step("No dose is raised in the first 24 h.", lambda: _no_rise(script)),
    ]
    return script


def _ready(script: Script) -> str:
    status, wrong = script.pump.status(), []
    if script.pump.program_running() is None:
        wrong.append("no program runs")
    elif status.mode != "running" or status.rate_nl_day == 0:
        wrong.append("the pump is %s at %s" % (status.mode, present.show_flow(status.rate_nl_day)))
    if not status.catheter_filled:
        wrong.append("the catheter is on record as empty: prime it first")
    wrong += ["ALARM %d %s" % (alarm.row, alarm.name) for alarm in status.alarms if TABLE[alarm.row].priority <= URGENT]
    script.mark()
    return script.fail("therapy has not started: %s" % "; ".join(wrong)) if wrong else script.look()


def _sounded(script: Script) -> str:
    script.pump.alarm_test()
    return "it sounded: ask who heard it, and note it at the visit (`thecal visit --alarm-test heard`)"


def _watched(script: Script, length_s: int) -> str:
    if not script.ok:
        return "not watched: %s" % script.why
    script.watch()
    left_s = length_s
    while left_s > 0:
        status = script.wait(min(LOOK_S, left_s))
        left_s -= LOOK_S
        seen = ["ALARM %d %s" % (alarm.row, alarm.name) for alarm in status.alarms if TABLE[alarm.row].priority <= URGENT]
        if status.mode in ("stopped", "paused"):
            seen.append("the pump is %s" % status.mode)
        if seen:
            return script.fail("%s after %s: look at the patient first" % ("; ".join(seen), units.duration_text(length_s - max(0, left_s))))
    if not script.rotor_turns():
        return script.fail("the rotor has not turned in %s" % units.duration_text(length_s))
    return "%s without an urgent alarm; the rotor turns" % units.duration_text(length_s)


def _given(script: Script) -> str:
    status, held = script.pump.status(), script.pump.drugs_at_head() or ()
    doses = " + ".join("%s %s" % (item.name, item.show_dose(item.dose_ng(status.rate_nl_day))) for item in held)
    return "%s now, %s ordered since the pump was made, primes with it; %s" % (doses or "nothing", screen.ml(round(status.ordered_nl)), script.missed_text())


def _no_rise(script: Script) -> str:
    program = script.pump.program_running()
    waits = [(item.drug.setting(program.setting).step_interval_hard or item.drug.setting(program.setting).step_interval_soft, item.name)
             for item in program.ingredients if item.drug] if program else []
    told = ["%s: a rise after %s" % (name, units.duration_text(wait)) for wait, name in waits if wait]
    return "; ".join(told) or "the library has no interval for these drugs: 24 h"
