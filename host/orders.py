"""What a clinician (or the patient) orders: each goes STAGE -> CHECK -> read-back compared byte for byte -> COMMIT(digest), see host/ordering.py."""

from __future__ import annotations

import binascii
from dataclasses import replace
from typing import Callable

from ..protocol import catalogue
from . import blocks, ordering, review, steady, units
from .alarms import TABLE as ALARM_ROWS
from .errors import PumpRefused, RequestInvalid
from .fill import DISCREPANCY_NL, NL_PER_UL, Fill
from .implant import Implant
from .life import ImplantRecord, TrialRecord, trial_findings
from .limits import NO_BRIDGE, OVERRIDE_REASONS, Baseline, Finding, check, has_ceiling, overridden
from .outcome import OrderResult, ProgramResult, Review
from .prescription import Bridge, Prescription, same_drugs
from .readings import Readings, Seen
from .records import Event, Status
from .review import BolusReview, PrimeReview, RefillReview
from .room import check_room

EVENT_TAIL = 200  # events searched for the last program change: 4 KB, 0.4 s at 115200
PRIME_RATE = "24 mL/day"  # near 1 mL/h, the head's fastest (clinical.md 1.2)
MAX_ORDER = 2**30 - 1
CAP_ROW, CLOCK_LOST_ROW = 4, 12
UNCONFIRMED = "not confirmed; nothing was sent"
NO_BRIDGE_DUE = "no bridge is due: the line holds no other drug by now, or the program's drugs and concentrations are those that run"


Override = str | Callable[[list[Finding]], str | None] | None


class Orders(Readings):
    """Orders over one exchange. What a method's docstring does not name it may still raise as Readings does.

    `seen` is a look at the pump that the caller has had (`look`); without one, each order takes its own, once.
    """

    _orders = 0

    # ---------------------------------------------------------------------------------------------- making and implanting
    def commission(self, implant: Implant) -> OrderResult:
        """Write the pump's constants: head, sensors, reservoir, catheter, and the serial, under which its keys are kept from then on."""
        self._exchange.serial()
        self._exchange.expect_serial(implant.serial)
        done = self._order(catalogue.COMMISSION, lambda order: blocks.commission_block(implant, order))
        self._exchange.serial_became(implant.serial)
        return done

    def examine_clock(self, pump_s: int, seen: Seen | None = None) -> list[str]:
        """What setting the clock to `pump_s` does to the running program's steps and doses; nothing is sent."""
        seen = seen or self.look()
        return review.clock_warnings(seen.running, seen.status.time_s, pump_s, any(alarm.row == CLOCK_LOST_ROW for alarm in seen.status.alarms))

    def set_clock(self, pump_s: int, seen: Seen | None = None) -> OrderResult:
        """Set the pump's clock to seconds since its epoch, 0 .. 2^30 - 1. Warnings tell which steps of the day move, and what is not given or given evenly."""
        warnings = self.examine_clock(pump_s, seen)
        return replace(self._simple(catalogue.SET_CLOCK, time_s=pump_s), warnings=warnings)

    def record_implant(self, record: ImplantRecord) -> OrderResult:
        """Write whose pump this is and how it lies."""
        return self._simple(catalogue.IMPLANT_RECORD, **record.values())

    def record_trial(self, record: TrialRecord) -> OrderResult:
        """Write the screening trial, to be shown at the first programming."""
        return self._simple(catalogue.TRIAL_RECORD, **record.values())

    def record_catheter(self, filled: bool) -> OrderResult:
        """Put on record that the catheter is drug-filled (left in place at a replacement) or empty (revised, aspirated)."""
        return self._simple(catalogue.CATHETER, state=catalogue.CATHETER_FILLED if filled else catalogue.CATHETER_EMPTY)

    # ---------------------------------------------------------------------------------------------- programs
    def program(
        self, prescription: Prescription, confirm: bool | Callable[[Review], bool] = True, baseline: Baseline | None = None, override: Override = None,
        seen: Seen | None = None,
    ) -> ProgramResult:
        """Replace the program after checking it against the library and the dose that runs.

        Soft limits that it meets must be overridden with a reason (limits.OVERRIDE_REASONS; or what gives one, told the findings), which the pump logs with
        the editor. `confirm` is asked
        with a Review between read-back and COMMIT; the pump keeps its program when it says no. Without `baseline` the pump's own program and log
        tell where the patient stands. Raises RequestInvalid at a hard limit, at a soft one without `override`, before anything is sent, or without
        confirmation.
        """
        seen = seen or self.look()
        self._needs_fill("a program")
        current, found = self.examine(prescription, baseline, seen)
        pending = overriding(prescription, found, override(found) if callable(override) else override)

        def agreed(digest: bytes) -> bool:
            return confirm(Review(current, pending, list(found), digest.hex())) if callable(confirm) else confirm

        try:
            done = self._order(catalogue.PROGRAM, lambda order: blocks.program_block(pending, order), agreed, seen.status)
        except PumpRefused as refusal:
            raise review.cap_named(refusal, self.status(), pending, pending.worst_daily_nl(), current) from refusal
        return ProgramResult(done.kind, done.digest, done.again, done.running_digest, done.time_s, list(found), pending)

    def examine(self, prescription: Prescription, baseline: Baseline | None = None, seen: Seen | None = None,
                pushed_nl: int | None = None) -> tuple[Prescription | None, list[Finding]]:
        """The program that runs and what is to be said of this one, alarms first; nothing is sent. Refuses at hard limits as `program` does.

        `pushed_nl`: see bridge_due.
        """
        seen = seen or self.look()
        if baseline is None:
            baseline = self._baseline(seen, needs_day=has_ceiling(prescription))
        found = review.standing(seen.status) + review.dry_line(seen.status, prescription, seen.implant) + check(prescription, baseline, pulse_nl=(seen.implant or Implant()).pulse_nl)
        if not baseline.doses_ng_day:
            found += trial_findings(self.trial_record(), prescription)
        return seen.running, found + self._bridge_findings(prescription, seen, self.bridge_due(prescription, seen, pushed_nl))

    def _bridge_findings(self, prescription: Prescription, seen: Seen, due: Bridge | None) -> list[Finding]:
        """A bridge that is missing is a soft limit. Raises RequestInvalid where the pump would refuse: one that is not due, or not restated while it runs."""
        given, left_nl, current = prescription.bridge, seen.status.bridge_left_nl, seen.running
        if due is None and given is not None:
            raise RequestInvalid(NO_BRIDGE_DUE, "bridge")
        if left_nl and current is not None and not same_drugs(current.ingredients, prescription.ingredients):
            raise RequestInvalid("a bridge is under way: until it ends only a program of %s may follow" % review.named(current.ingredients), "drug")
        if left_nl and due is not None and given is None:
            raise RequestInvalid("a bridge is under way, %s: a program must restate it" % due.text(), "bridge")
        if due is not None and given is None:
            return [Finding.soft(NO_BRIDGE, "a bridge is due, %s: without it the old drug in tubing and catheter comes at the new rate" % due.text())]
        return []

    def bridge_due(self, prescription: Prescription, seen: Seen | None = None, pushed_nl: int | None = None) -> Bridge | None:
        """The bridge that `prescription` needs before its own rate may reach the patient; None where the line holds its drug already.

        It is as long as the line still holds of the old drug, `pushed_nl` behind the fill (None: by the pump's book, as it stands). A bridge that is
        under way is what is left of it, at the rate that it runs at (alarms.md 3: a program change must restate it).
        """
        seen = seen or self.look()
        status, running = seen.status, seen.running
        if status.bridge_left_nl and running is not None and running.bridge is not None:
            return Bridge(status.bridge_left_nl, running.bridge.rate_nl_day)
        if running is None or same_drugs(prescription.ingredients, running.ingredients):
            return None
        implant = seen.implant or Implant()
        if pushed_nl is None:
            pushed_nl = review.pushed_since_fill_nl(status, self.contents(), implant)
        return review.bridge_for(running, prescription.ingredients, review.old_drug_nl(status, implant, pushed_nl))

    def bridge(self, prescription: Prescription, confirm: bool | Callable[[Review], bool] = True, baseline: Baseline | None = None,
               override: Override = None, seen: Seen | None = None) -> ProgramResult:
        """`program` behind the bridge that is due: the pump gives the old drug at its old rate until it has left, then switches by itself.

        Raises RequestInvalid when no bridge is due.
        """
        seen = seen or self.look()
        span = self.bridge_due(prescription, seen)
        if span is None:
            raise RequestInvalid(NO_BRIDGE_DUE, "bridge")
        return self.program(prescription.with_bridge(span), confirm, baseline, override, seen)

    # ---------------------------------------------------------------------------------------------- fills and primes
    def examine_refill(self, fill: Fill, seen: Seen | None = None) -> RefillReview:
        """What this fill would do beside the program that runs; nothing is sent. Refuses as `refill` does."""
        seen = seen or self.look()
        status, running, implant, contents = seen.status, seen.running, seen.implant or Implant(), self.contents()
        review.check_fits(fill, implant, status.time_s, first=contents is None)
        events = self.log() if fill.withdrawn_ul or status.reservoir_computed_nl > implant.residual_ul * NL_PER_UL + DISCREPANCY_NL else []
        delivered_nl, refills = review.delivered_since_refill_nl(status, events, implant), [event for event in events if event.code == catalogue.E_REFILL]
        warnings = [*review.standing(status), *review.refill_warnings(status, running, fill, implant, events)]
        if contents is not None:
            warnings += check_room(fill, status, implant, delivered_nl, refills[-1] if refills else None)
        return RefillReview(status, running, implant, warnings,
                            contents.drugs_before() if contents else ())

    def refill(self, fill: Fill, confirm: bool | Callable[[RefillReview], bool] = True) -> OrderResult:
        """Record a refill. Warnings tell of another drug or concentration than the program's, of mixing, of a bridge due, of an odd volume.

        Raises RequestInvalid when the fill, or what the running rate gives of it, breaks a hard limit (host/review.py), or without confirmation.
        """
        seen = self.examine_refill(fill)
        if not (confirm(seen) if callable(confirm) else confirm):
            raise RequestInvalid(UNCONFIRMED)
        done = self._order(catalogue.REFILL, lambda order: blocks.refill_block(fill, order, seen.status.time_s, seen.before), seen=seen.status)
        return replace(done, warnings=seen.warnings)

    def empty(self, withdrawn: str) -> OrderResult:
        """Record that the reservoir was emptied to its residual and `withdrawn` ('12.3 mL') came out: an overdose's first aid, or an explant.

        Raises RequestInvalid where no fill is on record, and for a volume that is no whole number of uL up to 60 mL.
        """
        contents = self.contents()
        if contents is None:
            raise RequestInvalid("no fill is on record: there is nothing to empty")
        taken_ul = units.whole_ul(withdrawn, "withdrawn")
        return self._order(catalogue.REFILL, lambda order: blocks.emptied_block(contents.ingredients, taken_ul, order))

    def examine_prime(self, what: str = "both", volume: str | None = None, seen: Seen | None = None) -> PrimeReview:
        """What this prime would give a patient whose catheter is drug-filled; nothing is sent. Refuses as `prime` does."""
        seen = seen or self.look()
        status, implant = seen.status, seen.implant
        if implant is None:
            raise RequestInvalid("the pump is on the shelf: commission it first")
        return review.prime_review(status, seen.running, implant, what, _prime_nl(status, implant, what, volume))

    def prime(self, what: str = "both", volume: str | None = None, rate: str = PRIME_RATE, seen: Seen | None = None) -> OrderResult:
        """Fill 'tubing', 'catheter' or 'both' with drug, by what is empty of them or by `volume` ('0.375 mL'), at `rate`, 0.048 .. 24 mL/day.

        Raises RequestInvalid for more than the part holds, and where the catheter is on record as drug-filled for anything but the tubing.
        """
        self._needs_fill("a prime")
        found = self.examine_prime(what, volume, seen)
        done = self._simple(catalogue.PRIME, what=review.PARTS.index(what) + 1, volume_nl=found.volume_nl, rate_nl_day=round(units.flow_nl_day(rate, "rate")))
        return replace(done, warnings=found.warnings)

    # ---------------------------------------------------------------------------------------------- delivery
    def stop(self, reason: str = "not given") -> OrderResult:
        """Stop delivery; `reason` is one of blocks.STOP_REASONS. What is not delivered meanwhile is missed, never made up."""
        return self._simple(catalogue.STOP, reason=blocks.stop_reason(reason))

    def resume(self, seen: Seen | None = None) -> OrderResult:
        """Take the committed program up again: ends a stop, a pause and an emergency reduction. A warning tells of a catheter that is on record as empty."""
        seen = seen or self.look()
        return replace(self._simple(catalogue.RESUME), warnings=list(review.dry_line(seen.status, seen.running, seen.implant)))

    def examine_pause(self, minutes: int, seen: Seen | None = None) -> list[str]:
        """What a pause of so many minutes does to the patient; nothing is sent. Refuses as `pause` does."""
        running = (seen or self.look()).running
        warnings = review.stop_warnings(running)
        if running is not None and running.guard.abrupt_stop and minutes * 60 > review.ABRUPT_S:
            raise RequestInvalid("a pause of %s is longer than the %s after which no delivery is an alarm: %s; stop the pump instead, and watch the patient" % (
                units.duration_text(minutes * 60), units.duration_text(review.ABRUPT_S), "; ".join(warnings) or "an abrupt stop is dangerous"), "minutes")
        return warnings

    def pause(self, minutes: int = 60, seen: Seen | None = None) -> OrderResult:
        """Deliver nothing for 1 .. 1440 minutes (default 60, alarms.md row 24), then the program again by itself.

        Raises RequestInvalid for one longer than the 6 h of alarm 16 where the library calls an abrupt stop dangerous.
        """
        warnings = self.examine_pause(minutes, seen)
        return replace(self._simple(catalogue.PAUSE, minutes=minutes), warnings=warnings)

    def examine_bolus(self, dose: str, over: str, seen: Seen | None = None) -> BolusReview:
        """What this single bolus makes of the day; nothing is sent. Refuses as `bolus` does."""
        running = seen.running if seen else self.program_running()
        if running is None:
            raise RequestInvalid("no program runs: there is no drug to give a bolus of")
        status = seen.status if seen else self.status()
        given_nl = max(review.beyond_basal_nl(running, status), review.boluses_nl(self._tail(status), status.time_s))
        return review.single_bolus(running, dose, over, given_nl)

    def bolus(self, dose: str, over: str, confirm: bool | Callable[[BolusReview], bool] = True, seen: Seen | None = None,
              override: Override = None) -> OrderResult:
        """A single bolus of the running program's first drug on top of it: `bolus('0.2 mg', '10 min')`.

        Soft limits that it meets, with the boluses of the last 24 h, are overridden with a reason as a program's are; the pump has no field for it, the result's
        warnings name it. Raises RequestInvalid where the day with it breaks a hard limit, at a soft one without `override`, or without confirmation; the
        pump holds it to the caps.
        """
        found = self.examine_bolus(dose, over, seen)
        why = reason_for(found.warnings, override(found.warnings) if callable(override) else override)
        if not (confirm(found) if callable(confirm) else confirm):
            raise RequestInvalid(UNCONFIRMED)
        try:
            done = self._order(catalogue.BOLUS, lambda order: blocks.pack(catalogue.BOLUS, {
                "order_id": order, "volume_nl": found.volume_nl, "seconds": found.seconds}), seen=seen.status if seen else None)
        except PumpRefused as refusal:
            running = seen.running if seen else self.program_running()
            raise review.cap_named(refusal, self.status(), running, found.volume_nl, running) if running else refusal from refusal
        return replace(done, warnings=[*found.warnings, *(["soft limits overridden: %s" % why] if why else [])])

    def request_bolus(self) -> OrderResult:
        """The patient asks for a bolus, as the program grants it. Raises PumpRefused with the reason of a denial. For the role 'patient'."""
        return self._simple(catalogue.PATIENT_BOLUS)

    # ---------------------------------------------------------------------------------------------- alarms and visits
    def silence(self, alarm: int | str = 0, hours: int = 24) -> OrderResult:
        """Silence one alarm (row or name of alarms.md) or all (0) for 1 .. 24 h; it comes back when the cause recurs."""
        return self._simple(catalogue.SILENCE, row=row_number(alarm), hours=hours)

    def acknowledge(self, alarm: int | str = 0) -> OrderResult:
        """Acknowledge one latched alarm or all (0); one whose cause stands stays, and of row 4 a warning says why."""
        row = row_number(alarm)
        done, warnings = self._simple(catalogue.ACKNOWLEDGE, row=row), []
        if row in (0, CAP_ROW):
            status = self.status()
            if any(each.row == CAP_ROW for each in status.alarms):
                held = [units.show(nl, units.VOLUME, "mL", places=3) for nl in (
                    status.delivered_hour_nl, status.cap_hour_nl, status.delivered_day_nl, status.cap_day_nl)]
                warnings.append("row 4 stays: the last hour holds %s of its cap of %s, the last 24 h hold %s of %s; acknowledge again when they are below" % tuple(held))
        return replace(done, warnings=warnings)

    def alarm_test(self, critical: bool = True) -> OrderResult:
        """Sound the two-tone (or the single) alarm once, for the patient to say whether it was heard."""
        return self._simple(catalogue.ALARM_TEST, tone=2 if critical else 1)

    def calibration(self, on: bool) -> OrderResult:
        """Let the pump learn at refills what a revolution moves, within 5 % of the factory's figure, or (False) return it to that at once.

        It learns by what the syringe drew (`Fill(withdrawn=...)`) and the level's rise, half of it and at most 2 % at a refill; `status().trim`
        shows it. Rows 5, 10 and 21 return it to the factory's.
        """
        return self._simple(catalogue.CALIBRATION, on=int(on))

    def sign_visit(self, report_digest: bytes, alarm_heard: bool | None = None) -> OrderResult:
        """End a visit: the digest (8 bytes) of the signed report goes on record, and whether the alarm test was heard (None: not tested)."""
        return self._simple(catalogue.VISIT, alarm_heard=2 if alarm_heard is None else int(alarm_heard), report=report_digest)

    # ---------------------------------------------------------------------------------------------- within
    def _needs_fill(self, what: str) -> None:
        if self.contents() is None:
            raise RequestInvalid("no fill is on record: the reservoir holds nothing by the pump's book; record the refill before %s" % what)

    def _simple(self, kind: int, **values: int | bytes) -> OrderResult:
        return self._order(kind, lambda order: blocks.pack(kind, {"order_id": order, **values}))

    def _order(self, kind: int, build: Callable[[int], bytes], agreed: Callable[[bytes], bool] | None = None, seen: Status | None = None) -> OrderResult:
        """`seen`: the status of the look that the order was judged by. Raises RequestInvalid where another program runs since."""
        before = self.status()
        if seen is not None and seen.running_digest != before.running_digest:
            raise RequestInvalid(ordering.CHANGED)
        return ordering.give(self._exchange, kind, build(self._order_id(before)), agreed, before)

    def _order_id(self, status: Status) -> int:
        """1 .. 2^30 - 1, another for each order: the pump's event counter moves with every order, so two equal orders in a row differ.

        The pump compares with its last order only; orders far apart may draw the same number.

        Made from the pump's own state and not drawn at random: a scenario's clinician must do the same bytes twice (R9).
        """
        self._orders += 1
        seed = "%d.%d.%d.%d" % (status.next_event, status.time_s, status.boot_count, self._orders)
        return binascii.crc32(seed.encode()) % MAX_ORDER + 1

    def _tail(self, status: Status) -> list[Event]:
        return self.log(max(0, status.next_event - EVENT_TAIL))

    def _baseline(self, seen: Seen, needs_day: bool) -> Baseline:
        """Where the patient stands, from the running program, the end of the log and (where a limit asks for it) the first day on record."""
        if seen.running is None:
            return Baseline()
        status = seen.status
        tail = self._tail(status)
        changes = [event for event in tail if event.code == catalogue.E_PROGRAM]
        since = steady.age_s(tail, changes[-1], status.time_s) if changes else None
        return Baseline.of(seen.running, since, self._therapy_day(status) if needs_day else 0)

    def _therapy_day(self, status: Status) -> int:
        """Whole days since the first on record on which anything was given; travel and a clock set anew make no day of them."""
        days, events = [day for day in self.history() if day.pulses], self.log()
        first = next((event.seq for event in events if event.code == catalogue.E_PROGRAM), events[0].seq if events else 0)
        return max(0, (status.time_s - steady.moved_s(events, first)) // units.DAY_S - days[0].day) if days else 0


def _prime_nl(status: Status, implant: Implant, what: str, volume: str | None) -> int:
    return review.empty_nl(status, implant, what) if volume is None else units.volume_nl(volume, "volume")


def overriding(prescription: Prescription, found: list[Finding], why: str | None) -> Prescription:
    """The program with the bits of the soft limits it meets. Raises RequestInvalid when there are some and no reason is given, or one that is not listed."""
    return replace(prescription, guard=replace(prescription.guard, overrides=overridden(found), why=reason_for(found, why) or "none"))


def reason_for(found: list[Finding], why: str | None) -> str | None:
    """The reason to override the soft limits met, None where none is. Raises RequestInvalid when there are some and no reason is given, or one that is not listed."""
    if not overridden(found):
        return None
    if why is None:
        raise RequestInvalid("%s; to do it all the same give a reason to override" % "; ".join(str(finding) for finding in found if finding.bit), "override")
    return override_reason(why)


def row_number(alarm: int | str) -> int:
    """The row of alarms.md behind a number or a name; 0 stands for all. Raises RequestInvalid."""
    if alarm == 0 or alarm in ALARM_ROWS:
        return int(alarm)
    found = [row for row, known in ALARM_ROWS.items() if known.name == alarm]
    if not found:
        raise RequestInvalid("alarm %r is neither 0 (all), a row (1 .. %d) nor a name of the table" % (alarm, max(ALARM_ROWS)), "alarm")
    return found[0]


def override_reason(why: str) -> str:
    """A reason of the list, 'none' excepted. Raises RequestInvalid."""
    if why not in OVERRIDE_REASONS[1:]:
        raise RequestInvalid("reason %r is none of: %s" % (why, ", ".join(OVERRIDE_REASONS[1:])), "override")
    return why
