"""A refill or follow-up visit as one workflow: interrogate, compare what came out, plan fill and program, carry it out, sign one report.

Nothing is sent before `carry_out`; each part can be used alone or left out. The order of the parts is that of alarms.md section 5.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Callable, Sequence

from . import forecast, present, report, review, screen, units, wean
from .errors import PumpRefused, RequestInvalid
from .fill import Fill, discrepancy
from .forecast import Battery, Reservoir
from .implant import Implant
from .limits import SOFT_LIMITS, Finding, overridden
from .life import Contents
from .outcome import OrderResult, ProgramResult, Review
from .orders import PRIME_RATE
from .prescription import Bridge, Prescription, same_drugs
from .programmer import Programmer
from .records import Event, Status
from .review import NL_PER_UL, RefillReview, named
from .wean import OralDose

SCHEMA = "thecal.visit/1"
SIGNED_BYTES = 8
SETTLE_S = 60           # behind the reckoned end of a prime: its last pulse
PRIMABLE = ("idle", "running")      # modes in which a pump takes a prime (firmware/modes.py)
SIGNATURE = ("digest", "program_digest")    # stand beside what they sign


@dataclass(frozen=True)
class Plan:
    """What a visit is going to do: fill, prime and program asked for, the bridge between them, and every sentence that the clinician must read first.

    `prime_due`: the part that a new line needs, None where the catheter holds drug already; `prime`: what was asked for.
    """

    fill: Fill | None
    prime: str | None
    prime_due: str | None
    program: Prescription | None
    bridge: Bridge | None
    mixed_ng_ml: dict[str, Fraction]
    found: list[Finding]
    warnings: list[str]
    dates: Reservoir | None
    battery: Battery | None
    time_s: int
    prime_nl: int

    def rows(self) -> list[tuple[str, str]]:
        """The plan in words."""
        rows = [("refill", self._fill_text())] if self.fill else []
        if self.prime or self.prime_due:
            took = units.duration_text(Fraction(self.prime_nl * units.DAY_S, round(units.flow_nl_day(PRIME_RATE))))
            asked = self.prime or "NOT PLANNED, and the catheter is on record as empty: %s" % self.prime_due
            rows.append(("prime", "%s, %s at %s: %s" % (asked, screen.ml(self.prime_nl), PRIME_RATE, took)))
        if self.bridge:
            rows.append(("bridge", "%s, until %s" % (self.bridge.text(), units.pump_time_text(self.time_s + round(self.bridge.duration_s)))))
        rows.append(("program", self.program.dose_text() if self.program else "unchanged"))
        if self.dates:
            dates = self.dates.to_dict()
            rows += [("low reservoir", "%s with all boluses, %s without; used up %s" % (dates["low"], dates["low_without_boluses"], dates["empty"])),
                     ("drug expires", dates["expires"] or "not known"), ("next refill by", dates["refill_by"])]
        return [*rows, ("battery", self.battery.text() if self.battery else "no forecast: the implant is not on record")]

    def _fill_text(self) -> str:
        assert self.fill is not None
        strengths = ", ".join("%s at the pump %s" % (item.name, units.show(
            self.mixed_ng_ml[item.name], units.CONCENTRATION, item.drug.concentration_unit if item.drug else None, places=2)) for item in self.fill.ingredients)
        return "%s of %s, lot %s, label expires %s; %s: %s" % (
            screen.ml(self.fill.volume_ul * NL_PER_UL), named(self.fill.ingredients), self.fill.lot or "not given",
            units.pump_time_text(self.fill.expiry_s)[:10] if self.fill.expiry_s is not None else "not given", self.fill.rinsed_text(), strengths)


@dataclass
class FollowUp:
    """One visit at one pump. `editor` is who signs; `scores` are the clinician's own (pain 0-10, Ashworth, spasms, side effects); `oral` the drugs by
    mouth and how they are weaned."""

    pump: Programmer
    editor: str
    scores: dict[str, str] = field(default_factory=dict)
    done: list[OrderResult] = field(default_factory=list)
    before: dict[str, Any] | None = None
    difference: str = "nothing was withdrawn"
    heard: bool | None = None
    plan_made: Plan | None = None
    next_visit_s: int | None = None
    oral: Sequence[OralDose] = ()

    def interrogate(self, host_s: int | None = None, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        """Everything on record before anything is changed; see report.collect."""
        self.before = report.collect(self.pump, host_s, progress=progress)
        return self.before

    def withdrawn(self, volume: str) -> str:
        """What the syringe took out against what the book expects, in words (alarms.md 4). Raises RequestInvalid for a volume that is none."""
        taken_nl, status, implant = units.volume_nl(volume, "withdrawn"), self.pump.status(), _commissioned(self.pump.implant())
        expected_nl = max(0, status.reservoir_computed_nl - implant.residual_ul * NL_PER_UL)
        given_nl = review.delivered_since_refill_nl(status, self.pump.log(), implant)
        odd = discrepancy(expected_nl, taken_nl, given_nl)
        self.difference = "%s withdrawn, %s expected: %s" % (
            screen.ml(taken_nl), screen.ml(expected_nl), odd or "within the pump's accuracy of 1 mL or 15 % of what was delivered")
        return self.difference

    def plan(self, fill: Fill | None = None, program: Prescription | None = None, prime: str | None = None) -> Plan:
        """What this fill, prime ('tubing', 'catheter', 'both') and program will do together; nothing is sent.

        Raises RequestInvalid at any hard limit of the fill, the program or their drugs, and where the prime would be refused.
        """
        seen, contents = self.pump.look(), self.pump.contents()
        implant, status, running = _commissioned(seen.implant), seen.status, seen.running
        warnings = wean.check(self.oral)
        found: list[Finding] = []
        bridge = None
        if fill is not None:
            warnings += self.pump.examine_refill(fill, seen).warnings
            if program is None and running is not None and not same_drugs(fill.ingredients, running.ingredients):
                warnings.append("the fill is not what the running program is written for: a program for it must follow in this visit")
        if prime is not None:
            if status.mode not in PRIMABLE:
                raise RequestInvalid("the pump is %s and takes no prime: carry the rest of this visit out without it, then %s and prime the %s at once" % (
                    status.mode, "resume" if status.mode in ("stopped", "paused") else "wait until that has ended", prime), "prime")
            warnings += self.pump.examine_prime(prime, seen=seen).warnings
        if program is not None:
            held = fill.ingredients if fill else contents.ingredients if contents else program.ingredients
            if not same_drugs(held, program.ingredients):
                raise RequestInvalid("the program is written for %s, the pump holds %s" % (named(program.ingredients), named(held)), "program")
            pushed_nl = 0 if fill else review.pushed_since_fill_nl(status, contents, implant)
            if prime is not None:
                pushed_nl += review.empty_nl(status, implant, prime)        # a prime pushes old drug on
            bridge = self.pump.bridge_due(program, seen, pushed_nl)
            found = self.pump.examine(program.with_bridge(bridge), seen=seen, pushed_nl=pushed_nl)[1]
            if prime in ("catheter", "both"):
                found = [line for line in found if line not in review.dry_line(status, program, implant)]   # it is planned
            if bridge is not None:
                warnings = [line for line in warnings if not line.startswith(review.BRIDGE_SAID)]   # it is planned
        before = contents.drugs_before() if contents else ()
        expires_s = fill.use_before_s(status.time_s, before) if fill else contents.expires_s if contents else 0
        held_nl = (fill.volume_ul + (implant.residual_ul if contents else 0)) * NL_PER_UL if fill else status.reservoir_computed_nl
        part = prime or review.prime_due(status, implant)
        prime_nl = review.empty_nl(status, implant, part) if part else 0
        held_nl -= prime_nl
        after = Contents(fill.ingredients, fill.volume_ul, fill.withdrawn_ul, expires_s, fill.lot) if fill else contents
        self.plan_made = Plan(
            fill, prime, review.prime_due(status, implant), program, bridge, _mixed(fill, contents, implant), found, [*warnings, *found],
            forecast.reservoir_of(program or running, held_nl, status.time_s, implant, after),
            forecast.battery(status, self.pump.implant_record(), program or running, self._since_indicated(status)), status.time_s, prime_nl)
        return self.plan_made

    def _since_indicated(self, status: Status) -> list[Event]:
        """The log, where the battery's forecast hangs on when row 20 came."""
        return self.pump.log() if any(alarm.row == forecast.ERI_ROW for alarm in status.alarms) else []

    def carry_out(self, confirm_refill: bool | Callable[[RefillReview], bool] = True, confirm_program: bool | Callable[[Review], bool] = True,
                  override: str | None = None) -> list[OrderResult]:
        """Do what was planned: the refill, the prime, then the program behind its bridge. Raises RequestInvalid without a plan, and as those orders do.

        Where the refill is done and its prime or program is not (not confirmed, refused), the sentence says so, and what the pump gives now.
        """
        plan = self.plan_made
        if plan is None:
            raise RequestInvalid("nothing is planned in this visit")
        if plan.fill is not None:
            self.done.append(self.pump.refill(plan.fill, confirm_refill))
        if plan.prime is not None:
            try:
                self.done.append(self.pump.prime(plan.prime))
            except (RequestInvalid, PumpRefused) as error:
                left = [name for name, part in (("THE PRIME", plan.prime), ("THE PROGRAM", plan.program)) if part is not None]
                done = "ATTENTION: THE REFILL IS DONE, " if plan.fill is not None else ""
                raise RequestInvalid("%s; %s%s NOT" % (error, done, " AND ".join(left) + (" ARE" if len(left) > 1 else " IS")), error.field) from error
        if plan.program is not None:
            try:
                self.done.append(self._programmed(plan, plan.program, confirm_program, override))
            except (RequestInvalid, PumpRefused) as error:
                raise RequestInvalid("%s%s" % (error, self._left_behind(plan)), error.field) from error
        return self.done

    def _programmed(self, plan: Plan, program: Prescription, confirm: bool | Callable[[Review], bool], override: str | None) -> OrderResult:
        """The program behind its bridge: behind the prime, where there is one of both, for the pump does one at a time; as long as it is due by then."""
        if plan.bridge is None:
            return self.pump.program(program, confirm, override=override)
        if plan.prime is not None:
            self.pump.wait(seconds=round(Fraction(plan.prime_nl * units.DAY_S, round(units.flow_nl_day(PRIME_RATE, "rate")))) + SETTLE_S)
        seen = self.pump.look()
        return self.pump.program(program.with_bridge(self.pump.bridge_due(program, seen)), confirm, override=override, seen=seen)

    def _left_behind(self, plan: Plan) -> str:
        """What a visit leaves that ends between a fill and its program: nothing to say where the old program is right for the fill."""
        running = self.pump.program_running()
        if plan.fill is None or running is None or same_drugs(plan.fill.ingredients, running.ingredients):
            return ""
        rate_nl = running.max_daily_nl()
        doses = " + ".join("%s %s" % (item.name, item.show_dose(item.dose_ng(rate_nl))) for item in plan.fill.ingredients)
        if self.pump.status().mode == "stopped":
            return "; ATTENTION: THE REFILL IS DONE AND THE PROGRAM IS NOT: the pump is stopped and will not resume before a program for %s is committed" % (
                named(plan.fill.ingredients))
        return ("; ATTENTION: THE REFILL IS DONE AND THE PROGRAM IS NOT: the pump runs the old program (%s) on the new drug, which gives %s from the catheter's "
                "end on; program this fill or stop the pump now" % (running.dose_text(), doses))

    def alarm_check(self, heard: Callable[[], bool]) -> bool:
        """Sound the two-tone alarm and ask `heard`."""
        self.pump.alarm_test()
        self.heard = heard()
        return self.heard

    def sign(self, host_s: int | None = None) -> dict[str, Any]:
        """The report to file: before and after, what was done and found, the digest that goes on the pump's record with the visit.

        It is plain data, so that a saved file is what was signed: see host/verify.py.
        """
        before = self.before or self.interrogate(host_s)
        after, plan = report.collect(self.pump, host_s), self.plan_made
        refill_by = after["reservoir"]["refill_by"] if after["reservoir"] else None
        made: dict[str, Any] = {
            "schema": SCHEMA, "notice": report.NOTICE, "editor": self.editor, "serial": after["identity"]["serial"], "patient": after["implant_record"],
            "time": after["status"]["time"], "withdrawn": self.difference, "plan": dict(plan.rows()) if plan else {}, "scores": self.scores,
            "oral": [dose.text for dose in self.oral], "weaning": wean.check(self.oral),
            "before": before, "after": after, "changes": _changes(before["program"], after["program"]), "done": [order.to_dict() for order in self.done],
            "overridden": self._overridden(), "delivered": report.delivered_text(before["delivered"]), "refill_by": refill_by,
            "next_visit": units.pump_time_text(self.next_visit_s) if self.next_visit_s is not None else None, "alarm_heard": self.heard}
        made = json.loads(json.dumps(made, default=str))
        digest = digest_of(made)
        self.pump.sign_visit(digest, self.heard)
        return {**made, "digest": digest.hex(), "program_digest": after["status"]["running_digest"]}

    def _overridden(self) -> list[str]:
        """Each soft limit that this visit overrode, with who and why."""
        told: list[str] = []
        for order in self.done:
            program = order.program if isinstance(order, ProgramResult) else None
            if program is not None and self.plan_made is not None and program.guard.overrides:
                bits = overridden(self.plan_made.found)
                names = ", ".join(name for number, name in enumerate(SOFT_LIMITS) if bits >> number & 1)
                told.append("%s: by %s, %s" % (names, self.editor, program.guard.why))
        return told


def _commissioned(implant: Implant | None) -> Implant:
    if implant is None:
        raise RequestInvalid("the pump is on the shelf: commission it first")
    return implant


def digest_of(visit: dict[str, Any]) -> bytes:
    """The first 8 bytes of SHA-256 over the report without its signature: keys sorted, so that a file may be laid out anew."""
    unsigned = {name: value for name, value in visit.items() if name not in SIGNATURE}
    return hashlib.sha256(json.dumps(unsigned, sort_keys=True).encode()).digest()[:SIGNED_BYTES]


def _mixed(fill: Fill | None, contents: Contents | None, implant: Implant) -> dict[str, Fraction]:
    """What the residual of the last fill makes of this one's concentrations, ng/mL per drug; nothing is left of it before the first."""
    if fill is None:
        return {}
    if contents is None:
        return {item.name: Fraction(item.concentration_ng_ml) for item in fill.ingredients}
    old = {item.name: item.concentration_ng_ml for item in contents.ingredients}
    return {item.name: fill.mixed_ng_ml(item, old.get(item.name, 0), implant.residual_ul * NL_PER_UL) for item in fill.ingredients}


def _changes(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Each drug's daily dose before and after, and its change in percent."""
    old = {drug["name"]: drug for drug in before["drugs"]} if before else {}
    new = {drug["name"]: drug for drug in after["drugs"]} if after else {}
    rows = []
    for name in {**old, **new}:
        had, has = (max(side[name]["daily_dose_ng"]) if name in side else None for side in (old, new))
        rows.append({"drug": name, "before": old[name]["daily_dose"] if name in old else None, "after": new[name]["daily_dose"] if name in new else None,
                     "change_pct": round((has - had) * 100 / had, 1) if had and has is not None else None})
    return rows


def as_text(visit: dict[str, Any]) -> str:
    """The signed report as text: what was found, what was changed, the pump as it is now, the signature."""
    patient = visit["patient"]
    rows = [("patient", "%s, %s" % (patient["patient"], patient["indication"] or "indication not given") if patient else "not on record"),
            ("withdrawn", visit["withdrawn"])]
    for row in visit["changes"]:
        change = "" if row["change_pct"] is None else " (%+g %%)" % row["change_pct"]
        rows.append(("dose", "%s: %s -> %s%s" % (row["drug"], row["before"] or present.NONE, row["after"] or present.NONE, change)))
    rows += [(name, text) for name, text in visit["plan"].items() if name in ("refill", "prime", "bridge")]
    rows += [("delivered", visit["delivered"]), ("next refill by", visit["refill_by"] or "no date: nothing is programmed"),
             ("next visit", visit["next_visit"] or "not given"),
             ("alarm test", {None: "not done", True: "heard", False: "NOT HEARD"}[visit["alarm_heard"]])]
    rows += [("overridden", line) for line in visit["overridden"]] + list(visit["scores"].items())
    rows += [("by mouth", line) for line in visit["oral"]] + [("weaning", line) for line in visit["weaning"]]
    lines = ["VISIT of pump %d at %s" % (visit["serial"], visit["time"]), visit["notice"], "", *("%-16s %s" % row for row in rows)]
    lines += ["", report.as_text(visit["after"]), "", "report %s, program %s, by %s: ______________________" % (
        visit["digest"], visit["program_digest"], visit["editor"])]
    return "\n".join(lines)
