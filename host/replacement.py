"""The replacement of a pump as two guided scripts: the old one gives its records away and is stopped, the new one takes them over.

The old catheter stays in place and stays drug-filled: the new pump has only its own tubing to prime, and the dose goes on where it was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import blocks, units
from .drug_library import Drug, load
from .errors import RequestInvalid
from .fill import Fill
from .implant import Implant
from .life import Contents, ImplantRecord, TrialRecord
from .limits import Baseline
from .prescription import Prescription, same_drugs
from .programmer import Programmer
from .review import named
from .scripts import SETTLE_S, Script, Step, emptied, stopped

SCHEMA = "thecal.replacement/1"


@dataclass(frozen=True)
class Carried:
    """The records of the old pump."""

    implant: Implant
    program: Prescription
    record: ImplantRecord | None
    trial: TrialRecord | None
    contents: Contents | None

    @classmethod
    def read(cls, kept: dict[str, Any], library: dict[str, Drug]) -> Carried:
        """From what `Programmer.records_kept` gave. Raises RequestInvalid where it is not such a record or the old pump had no program."""
        if kept.get("schema") != SCHEMA:
            raise RequestInvalid("this is no record of a pump to be replaced (schema %r, not %r)" % (kept.get("schema"), SCHEMA), "old")
        raw = {name: bytes.fromhex(kept[name]) for name in ("commission", "program", "implant", "trial", "fill")}
        implant, program = blocks.read_implant(raw["commission"]), blocks.read_program(raw["program"], library)
        if implant is None or program is None:
            raise RequestInvalid("the old pump had no program: implant the new one as a first pump", "old")
        return cls(implant, replace(program, bridge=None), ImplantRecord.read(raw["implant"]), TrialRecord.read(raw["trial"], library),
                   Contents.read(raw["fill"], library))


def take_out(pump: Programmer, keep: Path, aspirated: str | None = None, missed_before_nl: int | None = None) -> Script:
    """At the old pump: its records go to the file `keep`, it is stopped and emptied, the catheter stays as it is.

    Raises RequestInvalid while a bridge runs: the catheter then holds two drugs, and the new pump could not know how much of each.
    """
    if pump.status().bridge_left_nl:
        raise RequestInvalid("a bridge is under way: replace the pump when it has ended")
    script = Script("replacement", pump, pump.status().missed_total_nl if missed_before_nl is None else missed_before_nl)
    script.steps = [
        Step("Look at the old pump.", script.look),
        Step("Keep its records for the new pump.", lambda: _keep(pump, keep)),
        Step("Stop the old pump.", lambda: stopped(script, "replacement")),
        Step("Empty its reservoir and measure what comes out: over- or under-delivery shows now for the last time.", lambda: emptied(script, aspirated)),
        Step("Disconnect the catheter and leave it in place, drug-filled. Do not flush it. Then, before the new pump is connected to it: "
             "`thecal --port NEW script replacement --old %s --serial N --volume V`." % keep, script.missed_text),
    ]
    return script


def _keep(pump: Programmer, keep: Path) -> str:
    try:
        keep.write_text(json.dumps({"schema": SCHEMA, **pump.records_kept()}, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise RequestInvalid("%s cannot be written: %s" % (keep, error.strerror), "save") from error
    return "kept in %s" % keep


def read_old(path: Path, library: dict[str, Drug] | None = None) -> Carried:
    """The records that `take_out` kept. Raises RequestInvalid where the file cannot be read or is something else."""
    try:
        return Carried.read(json.loads(path.read_text(encoding="utf-8")), load() if library is None else library)
    except OSError as error:
        raise RequestInvalid("%s cannot be read: %s" % (path, error.strerror), "old") from error
    except (ValueError, KeyError, AttributeError) as error:
        raise RequestInvalid("%s is no record of a pump to be replaced: %s" % (path, error), "old") from error


def put_in(pump: Programmer, old: Carried, serial: int, fill: Fill) -> Script:
    """At the new pump: its own constants, the old records, the fill, a prime of the tubing only, the program as it was.

    Raises RequestInvalid for a fill of another drug or concentration than the old program's: the catheter is full of that one.
    """
    if not same_drugs(fill.ingredients, old.program.ingredients):
        raise RequestInvalid("the old catheter holds %s, the fill is %s: fill the same now, change it with a bridge at a later visit" % (
            named(old.program.ingredients), named(fill.ingredients)), "concentration")
    script = Script("replacement", pump, 0)
    script.steps = [
        Step("Commission the new pump with the old catheter's length.", lambda: "serial %d at %s" % (
            serial, units.pump_time_text(pump.commission(replace(old.implant, serial=serial)).time_s))),
        Step("Write whose pump it is, and the trial.", lambda: _records(pump, old)),
        Step("The catheter is drug-filled: on record, so that nobody primes it.", lambda: _filled(pump)),
        Step("Fill the new reservoir.", lambda: "; ".join(["%d uL" % fill.volume_ul, *pump.refill(fill).warnings])),
        Step("Prime the tubing only, before the catheter is connected.", lambda: _primed(script)),
        Step("Connect the catheter, then the program as it was.", lambda: _programmed(pump, old)),
        Step("Wait 20 min and see that the rotor turns. Check the pump's clock (`thecal clock`).", lambda: _runs(script)),
    ]
    return script


def _records(pump: Programmer, old: Carried) -> str:
    if old.record is not None:
        pump.record_implant(replace(old.record, implanted_s=pump.status().time_s))
    if old.trial is not None:
        pump.record_trial(old.trial)
    return "implant record %s, trial %s" % ("written" if old.record else "not on the old pump's record", "written" if old.trial else "not on the old pump's record")


def _filled(pump: Programmer) -> str:
    pump.record_catheter(filled=True)
    return "on record as drug-filled"


def _primed(script: Script) -> str:
    script.pump.prime("tubing")
    left = script.wait(SETTLE_S)
    if left.mode == "priming":
        return script.fail("the tubing is not primed yet: %d nL left" % left.extra_left_nl)
    return "the tubing holds drug"


def _programmed(pump: Programmer, old: Carried) -> str:
    done = pump.program(old.program, baseline=Baseline.of(old.program), override=old.program.guard.why if old.program.guard.overrides else None)
    return "; ".join([old.program.dose_text(), *done.warnings])


def _runs(script: Script) -> str:
    script.mark()
    status = script.wait(SETTLE_S)
    if status.mode != "running":
        return script.fail("the new pump is %s" % status.mode)
    return "%s; %s" % (script.look(), "the rotor turns" if script.rotor_turns() else "no pulse was due yet: look again")
