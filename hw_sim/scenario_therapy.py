"""What the host thinks of each event of a scenario, before anything is played: drugs, limits, volumes, what must come before what.

An event may be meant to be refused (`refused = "text"`): a refusal by the host's rules here, or by the pump at play. Whichever it is, the
sentence must hold the text, and the therapy stands as it stood before.
"""
from __future__ import annotations

from fractions import Fraction
from typing import Any

from .bedside import FATE
from .params import PlantParams
from .scenario import (
    DAY_S, NL_PER_UL, NO_BRIDGE, Baseline, Bridge, Event, Fill, Finding, ImplantRecord, Prescription, Scenario, ScenarioError, ThecalError, TrialRecord,
    against_program, bridge_for, check, check_bolus, find_drug, implant_record, label, overriding, part_nl, reason_for, single_bolus, units)

_STATE = ("fill", "running", "filled", "stopped", "changed_s", "begun_s")


class Therapy:
    """Walks the events as the patient would. `refusals`: by event number, what the host says of one that was meant to be refused."""

    def __init__(self, scenario: Scenario, params: PlantParams) -> None:
        self.scenario = scenario
        self.params = params
        self.implant = implant_record(scenario, params)
        self.fill: Fill | None = None
        self.running: Prescription | None = None
        self.filled = False                 # the catheter, as far as events say so
        self.stopped = False
        self.changed_s = self.begun_s = 0
        self.trials: list[Event] = []
        self.refusals: dict[int, str] = {}
        self.here = ""

    def orders(self) -> dict[int, Any]:
        """What each event becomes, by its number. Raises ScenarioError."""
        implants = [event for event in self.scenario.events if event.kind == "implant"]
        if len(implants) != 1 or implants[0].at_s != 0:
            raise ScenarioError("%s: there are %d events of kind 'implant', there must be one, at '0 d'" % (self.scenario.file, len(implants)))
        made: dict[int, Any] = {}
        for event in self.scenario.events:
            self.here = label(self.scenario.file, event)
            if event.number < implants[0].number and event.kind not in ("trial", *FATE):
                raise ScenarioError("%s: it stands before the implant, event %d" % (self.here, implants[0].number))
            made[event.number] = self._asked(event)
        self._check_expectations(made)
        return made

    def _asked(self, event: Event) -> Any:
        wanted, before = event.values.get("refused"), {name: getattr(self, name) for name in _STATE}
        handler = getattr(self, "_" + event.kind, None)
        made = None
        try:
            self._known(event.read.get("drug"))
            made = handler(event) if handler else None
        except ThecalError as error:
            if wanted is None or wanted not in str(error):
                raise ScenarioError("%s: %s" % (self.here, error)) from error
            self.refusals[event.number] = str(error)
        if wanted is not None:
            for name, value in before.items():
                setattr(self, name, value)
        return made

    def _known(self, drug: str | None) -> None:
        if drug is not None:
            find_drug(drug)
            if drug not in self.params.drugs:
                raise ScenarioError("%s: drug is %r, its kinetics are not in params (known: %s)" % (self.here, drug, ", ".join(self.params.drugs)))

    # ---- before and at the implant
    def _trial(self, event: Event) -> None:
        if "dose" in event.read:
            check_bolus(find_drug(event.read["drug"]), event.read["dose"], "trial")
        given, first = ((one.values["drug"], one.values["concentration"]) for one in (event, self.trials[0] if self.trials else event))
        if given != first:
            raise ScenarioError("%s: it is of %s %s and the trial before it of %s %s: a trial has one drug" % (self.here, *given, *first))
        self.trials.append(event)
        self._record(indicated=False)       # an infusion's limits are the record's matter

    def _record(self, indicated: bool) -> TrialRecord | None:
        """The trial as the pump keeps it. Raises RequestInvalid where no dose of it worked and a pump is implanted all the same."""
        if not self.trials:
            return None
        first = self.trials[0].values
        return TrialRecord.of(first["drug"], first["concentration"], [
            _trial_dose(event, before) for event, before in zip(self.trials, [None, *self.trials[:-1]])], indicated)

    def _implant(self, event: Event) -> tuple[ImplantRecord, TrialRecord | None]:
        values = event.values
        record = ImplantRecord(values.get("patient", "sim"), values.get("indication", "not given"), self.scenario.start_pump_s,
                               values.get("tip_level", ""), mri=values.get("mri", "unknown"))
        record.values()
        return record, self._record(indicated=True)

    def _catheter(self, event: Event) -> None:
        if event.values["state"] == "empty" and "drug" in event.values:
            raise ScenarioError("%s: drug is %r, an empty catheter holds none" % (self.here, event.values["drug"]))
        self.filled = event.values["state"] == "filled"

    def _oral(self, event: Event) -> None:
        if self.params.drugs[event.read["drug"]].oral is None:
            raise ScenarioError("%s: drug is %r, it has no oral route in params" % (self.here, event.read["drug"]))
        if "until" in event.read and not event.at_s < event.read["until"] <= self.scenario.duration_s:
            raise ScenarioError("%s: until is %r, it must lie after 'at' and not after the end (%s)" % (
                self.here, event.values["until"], units.duration_text(self.scenario.duration_s)))

    def _stop(self, event: Event) -> None:
        self.stopped = True

    def _resume(self, event: Event) -> None:
        self.stopped = False

    # ---- fills
    def _fill(self, event: Event) -> Fill:
        if self.fill is not None:
            raise ScenarioError("%s: the pump has been filled before: this is a refill" % self.here)
        return self._filled(event, self.implant.residual_ul if event.read.get("rinses") else round(self.params.reservoir.initial_ul))

    def _refill(self, event: Event) -> Fill:
        if self.fill is None:
            raise ScenarioError("%s: nothing was filled before: the first is a fill" % self.here)
        return self._filled(event, self.implant.residual_ul)

    def _filled(self, event: Event, left_ul: int) -> Fill:
        values = event.values
        fill = fill_of(values)
        for item in fill.ingredients:
            self._known(item.name)
        fill.check(self._doses())
        if self.running:
            against_program(self.running, fill, delivering=not self.stopped)
        for key, volume_ul in (("volume", fill.volume_ul), ("rinse_volume", event.read.get("rinse_volume", 0) / NL_PER_UL)):
            most_ul = self.params.reservoir.overfill_limit_ul if values.get("overfill") and key == "volume" else self.implant.capacity_ul
            if left_ul + volume_ul > most_ul:
                raise ScenarioError("%s: %s is %r, onto %g mL left in the reservoir it must not exceed %g mL" % (
                    self.here, key, values[key], left_ul / 1000, (most_ul - left_ul) / 1000))
        self.fill = fill
        return fill

    def _doses(self) -> dict[str, Fraction]:
        """ng/day that the patient has now: of the program, or reached before this implant."""
        return self.running.daily_dose_ng() if self.running else reached(self.scenario)

    def _needs_fill(self) -> Fill:
        if self.fill is None:
            raise ScenarioError("%s: there is no drug in the pump: a fill must come before" % self.here)
        return self.fill

    def _prime(self, event: Event) -> int:
        what = event.values.get("what", "both")
        self.filled = self.filled or what != "tubing"
        return round(event.read["volume"]) if "volume" in event.read else part_nl(self.implant, what)

    # ---- programs
    def _program(self, event: Event) -> Prescription:
        return self._prescribed(event, prescription(event.values, self._needs_fill()), None)

    def _bridge(self, event: Event) -> Prescription:
        """The new program behind what is left of the old drug: at play the host says how much that is."""
        fill, old = self._needs_fill(), self.running
        if old is None:
            raise ScenarioError("%s: a bridge carries on the program that runs: there must be one" % self.here)
        span = bridge_for(old, fill.ingredients, self.implant.dead_volume_nl) or old.bridge
        if span is None:
            raise ScenarioError("%s: the fill has the drugs and concentrations of the program that runs: nothing to bridge" % self.here)
        return self._prescribed(event, prescription({"mode": "simple", **event.values}, fill), span)

    def _prescribed(self, event: Event, program: Prescription, span: Bridge | None) -> Prescription:
        since_s = event.at_s - self.changed_s if self.running else None
        found = check(program, Baseline(self._doses(), since_s, (event.at_s - self.begun_s) // DAY_S if self.running else 0))
        due = bridge_for(self.running, program.ingredients, self.implant.dead_volume_nl) if self.filled else None
        if due is not None and span is None:
            found.append(Finding.soft(NO_BRIDGE, "a bridge is due, %s" % due.text()))
        program = overriding(program.with_bridge(span), found, event.values.get("override"))
        if self.running is None:
            self.begun_s = event.at_s
        self.running, self.changed_s = program, event.at_s
        return program

    def _bolus(self, event: Event) -> tuple[int, int]:
        if self.running is None:
            raise ScenarioError("%s: no program runs: there is no drug to give a bolus of" % self.here)
        seen = single_bolus(self.running, event.values["dose"], event.values["over"])
        reason_for(seen.warnings, event.values.get("override"))     # what was given before it, only the pump knows
        return seen.volume_nl, seen.seconds

    # ---- what is expected
    def _check_expectations(self, made: dict[int, Any]) -> None:
        drugs = drugs_of(self.scenario, made)
        for number, wanted in enumerate(self.scenario.expectations, 1):
            here, options = "%s: expectation %d (%s)" % (self.scenario.file, number, wanted.name), wanted.options
            if "drug" in options and options["drug"] not in drugs:
                raise ScenarioError("%s: drug is %r, the scenario's are: %s" % (here, options["drug"], ", ".join(drugs)))
            for key in ("from", "to", "at"):
                if key in options and options[key] > self.scenario.duration_s:
                    raise ScenarioError("%s: %s is %s, after the end (%s)" % (
                        here, key, units.duration_text(options[key]), units.duration_text(self.scenario.duration_s)))


def reached(scenario: Scenario) -> dict[str, Fraction]:
    """ng/day per drug that the patient had reached before this implant."""
    patient = scenario.patient
    return {patient["drug"]: patient["dose"], **patient.get("also", {})} if "drug" in patient else {}


def drugs_of(scenario: Scenario, orders: dict[int, Any]) -> list[str]:
    """Every drug of the scenario, the pump's first one first."""
    named = [item.name for event in scenario.events if event.kind in ("fill", "refill") and orders.get(event.number)
             for item in orders[event.number].ingredients]
    named += [event.values["drug"] for event in scenario.events if event.kind in ("trial", "oral", "catheter") and "drug" in event.values]
    return list(dict.fromkeys(named))


def fill_of(values: dict[str, Any], volume: str | None = None, withdrawn_ul: int = 0) -> Fill:
    """The fill of an event's values, or the rinse before it where another volume is given. Raises RequestInvalid."""
    return Fill(volume or values["volume"], values["drug"], values["concentration"], also=values.get("also"), withdrawn="%d uL" % withdrawn_ul,
                setting=values.get("setting"), lot=values.get("lot", ""), rinse=volume is not None)


def prescription(values: dict[str, Any], fill: Fill) -> Prescription:
    """The program of an event's values for what is in the pump, without a bridge. Raises RequestInvalid."""
    first, *others = fill.ingredients
    options = {"also": {item.name: item.show_concentration() for item in others}, "setting": values.get("setting"), "fallback": values.get("fallback")}
    strength = first.show_concentration()
    mode = values["mode"]
    if mode == "simple":
        made = Prescription.simple(first.name, concentration=strength, dose=values["dose"], **options)
    elif mode == "flex":
        made = Prescription.flex(first.name, concentration=strength, steps=values["steps"], weekdays=values.get("weekdays"), **options)
    elif mode == "periodic":
        made = Prescription.periodic(first.name, concentration=strength, dose=values["dose"], times=values["times"], over=values["over"],
                                     basal=values.get("basal", "minimum"), **options)
    else:
        made = Prescription.minimum_rate(first.name, concentration=strength, **options)
    return made.with_bolus(**values["bolus"]) if "bolus" in values else made


def _trial_dose(event: Event, before: Event | None) -> dict[str, Any]:
    """A trial event, and the one before it, as TrialRecord.of takes it."""
    values = event.values
    given = {"dose": values.get("dose", values.get("rate")), "kind": "bolus" if "dose" in values else "infusion", "response": values["response"]}
    given |= {key: values[key] for key in ("effect", "adverse", "score") if key in values}
    if before is not None and "dose" in values:
        given["after"] = "%d s" % (event.at_s - before.at_s)
    return given | ({"watched": values["for"]} if "for" in values else {})
