"""The clinician's programmer: one object over one port, the same on a board, a live simulator and virtual time (R1).

Everything that may change what is delivered goes STAGE -> CHECK -> read-back compared byte for byte -> COMMIT(digest); the digest is
recomputed here, so pump and host agree on the bytes by two roads. Nothing is kept between calls but the line.
"""

from __future__ import annotations

import binascii
from dataclasses import replace
from fractions import Fraction
from typing import Any, Callable, Generator

from ..protocol import catalogue
from . import blocks, drug_library, emergency, keystore, ordering, review, units, waiting
from .drug_library import Drug
from .emergency import Card, Reduction
from .errors import PumpRefused, RequestInvalid, Timeout, UsageProblem
from .exchange import Exchange, roles_in
from .fill import Bridge, Fill
from .implant import Implant
from .keystore import Keystore
from .limits import Baseline, check, has_ceiling
from .outcome import OrderResult, ProgramResult, Review
from .pairing import Pairing, pair
from .prescription import SIMPLE, Prescription
from .records import AlarmState, Day, Event, Identity, Live, Status, read_days, read_events
from .review import PrimeReview, RefillReview
from .alarms import Alarm
from .transport import Clock, Line, open_port
from .wire import LineCounts

EVENT_TAIL = 200  # events searched for the last program change: 4 KB, 0.4 s at 115200
PRIME_RATE = "24 mL/day"  # near 1 mL/h, the head's fastest (clinical.md 1.2)
MAX_ORDER = 2**30 - 1
BEAT_S, SHORTEST_BEAT_S = 5.0, 0.25  # between two words to a pump that only pushes: it closes an idle session, and its time may run fast
UNCONFIRMED = "not confirmed; nothing was sent"
Progress = Callable[[int, int], None]


def _same_program(one: Prescription, other: Prescription) -> bool:
    """Whether the pump does the same on both; who wrote them does not matter."""
    return blocks.program_block(replace(one, editor=""), 1) == blocks.program_block(replace(other, editor=""), 1)


def _prime_values(volume: str, rate: str) -> tuple[int, int]:
    return units.volume_nl(volume, "volume"), round(units.flow_nl_day(rate, "rate"))


class Programmer:
    """`with Programmer.open(url) as pump:` or `Programmer(port)` around an open pyserial-like port.

    `role` is that of the session, which is opened when a command needs one; `keys` defaults to host/keystore.py's environment and file, and
    for a simulated port (one that brings its own chance) to keys that end with this process. `notice` is called with sentences that
    a user should see and nothing fails of. `clock` is the port's clock.
    All methods may raise NoConnection, Timeout, ProtocolProblem, PumpRefused, KeyProblem, SessionLost and WrongPump (host/errors.py).
    """

    def __init__(self, port: Any, clock: Clock | None = None, *, timeout_s: float = 5.0, name: str | None = None,
                 library: dict[str, Drug] | None = None, role: str = "clinician", keys: Keystore | None = None,
                 notice: Callable[[str], None] | None = None):
        """`timeout_s` (> 0) bounds each command on the port's clock. Raises UsageProblem for one that is not positive and an unknown role."""
        if timeout_s <= 0:
            raise UsageProblem("timeout of %g s: it must be above 0" % timeout_s)
        number = keystore.role_number(role)
        if keys is None:
            keys = Keystore.memory() if hasattr(port, "chance") else Keystore.from_environment()
        self._line = Line(port, clock, name)
        self._exchange = Exchange(self._line, timeout_s, role=number, keys=keys, notice=notice)
        self.role = role
        self.keys = keys
        self._library = drug_library.load() if library is None else library
        self._orders = 0
        self._beat_s = BEAT_S
        self.port = port
        self.clock = self._line.clock

    @classmethod
    def open(cls, url: str, timeout_s: float = 5.0, role: str = "clinician", keys: Keystore | None = None,
             notice: Callable[[str], None] | None = None) -> Programmer:
        """Open a port URL and greet the pump behind it. A simulated pump uses the environment's keys too, where it names some."""
        keystore.role_number(role)
        if keys is None and keystore.environment_has_keys():
            keys = Keystore.from_environment()
        pump = cls(open_port(url), timeout_s=timeout_s, name=url, role=role, keys=keys, notice=notice)
        try:
            pump._exchange.greet()
        except BaseException:
            pump.close()
            raise
        return pump

    def __enter__(self) -> Programmer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session, if one is open and the line still stands, and close the port. Therapy goes on; what was staged is dropped."""
        try:
            self._exchange.close_session()
        finally:
            self._line.close()

    # ---------------------------------------------------------------------------------------------- keys and emergency
    def pair(self, role: str | None = None) -> Pairing:
        """Give the pump a new key for a role (default: our own), with the magnet at it, and keep it. See host/pairing.py."""
        return pair(self._exchange, keystore.role_number(role or self.role))

    @property
    def on_shelf_key(self) -> bool:
        """True when the session is open to anybody: this role of the pump was never paired."""
        return self._exchange.on_shelf_key

    def card(self) -> Card:
        """The emergency card. Needs the magnet at the pump, and neither key nor session."""
        return Card.of(self._exchange.ask(catalogue.CARD), self._library)

    def reduce(self, action: str) -> Reduction:
        """'fallback' or 'stop' for 24 h, loud and logged; a clinician's resume or program ends it. Needs the magnet, and neither key nor session."""
        return Reduction.of(self._exchange.ask(catalogue.REDUCE, emergency.action_number(action)))

    # ---------------------------------------------------------------------------------------------- reading
    def identity(self) -> Identity:
        """Who answers; readable by anyone, sealed by nobody."""
        said = self._exchange.ask(catalogue.IDENTITY)
        greeting = self._exchange.hello()
        version = "%d.%d" % divmod(said["firmware_version"], 256)
        return Identity(said["serial"], version, bytes(said["runtime"]).decode("utf-8", "replace"), greeting["boot_count"], roles_in(greeting["paired"]))

    def status(self) -> Status:
        """One look at the pump."""
        return Status.of(self._exchange.ask(catalogue.STATUS))

    def alarms(self) -> list[Alarm]:
        """The active alarms, most urgent first; readable by anyone, sealed by nobody (`status` has them sealed)."""
        return self.alarm_state().active

    def alarm_state(self) -> AlarmState:
        """Active, latched and first alarm, read like `alarms`."""
        return AlarmState.of(self._exchange.ask(catalogue.ALARMS))

    def implant(self) -> Implant | None:
        """The commissioning record, None on the shelf."""
        return blocks.read_implant(bytes(self._exchange.ask(catalogue.IMPLANT)["record"]))

    def program_running(self) -> Prescription | None:
        """The committed program, None before the first."""
        return blocks.read_program(self._exchange.pull(catalogue.FILE_PROGRAM, *self._exchange.file_span(catalogue.FILE_PROGRAM)), self._library)

    def log(self, since: int = 0, progress: Progress | None = None) -> list[Event]:
        """Events from sequence number `since` on, as far back as the pump's ring goes; what was overwritten is not there."""
        first, end = self._exchange.file_span(catalogue.FILE_EVENTS)
        start = min(max(first, since * catalogue.EVENT_BYTES), end)
        return read_events(self._exchange.pull(catalogue.FILE_EVENTS, start, end, progress), start // catalogue.EVENT_BYTES)

    def history(self, progress: Progress | None = None) -> list[Day]:
        """Daily totals of closed days, oldest first (the pump keeps 400)."""
        first, end = self._exchange.file_span(catalogue.FILE_DAYS)
        return read_days(self._exchange.pull(catalogue.FILE_DAYS, first, max(first, end), progress), first // catalogue.DAY_BYTES)

    # ---------------------------------------------------------------------------------------------- orders
    def commission(self, implant: Implant) -> OrderResult:
        """Write the implant record: head, sensors, reservoir, catheter, and the serial, under which the pump's keys are kept from then on."""
        self._exchange.serial()
        self._exchange.expect_serial(implant.serial)
        done = self._order(catalogue.COMMISSION, lambda order: blocks.commission_block(implant, order))
        self._exchange.serial_became(implant.serial)
        return done

    def set_clock(self, pump_s: int) -> OrderResult:
        """Set the pump's clock to seconds since its epoch, 0 .. 2^30 - 1."""
        return self._order(catalogue.SET_CLOCK, lambda order: blocks.pack(catalogue.SET_CLOCK, {"order_id": order, "time_s": pump_s}))

    def program(
        self, prescription: Prescription, confirm: bool | Callable[[Review], bool] = True, baseline: Baseline | None = None
    ) -> ProgramResult:
        """Replace the program after checking it against the library and the dose that runs.

        `confirm` is asked with a Review between read-back and COMMIT; the pump keeps its program when it says no. Without `baseline` the pump's
        own program and log tell where the patient stands. Raises RequestInvalid at a hard limit, before anything is sent, or without confirmation.
        """
        current, warnings = self.examine(prescription, baseline)

        def agreed(digest: bytes) -> bool:
            return confirm(Review(current, prescription, warnings, digest.hex())) if callable(confirm) else confirm

        done = self._order(catalogue.PROGRAM, lambda order: blocks.program_block(prescription, order), agreed)
        return ProgramResult(done.kind, done.digest, done.again, done.running_digest, done.time_s, warnings, prescription)

    def examine(self, prescription: Prescription, baseline: Baseline | None = None) -> tuple[Prescription | None, list[str]]:
        """The program that runs and the soft limits that this one would meet; nothing is sent. Refuses as `program` does."""
        current = self.program_running()
        if baseline is None:
            baseline = self._baseline(current, needs_day=has_ceiling(prescription))
        return current, check(prescription, baseline, pulse_nl=self._pulse_nl())

    def bridge_due(self, prescription: Prescription) -> Bridge | None:
        """The bridge that `prescription` needs before its own rate may reach the patient; None where the catheter holds its drug already.

        Also the rest of a bridge whose program was committed before the line was lost, as the pump's log tells.
        """
        current, implant = self.program_running(), self.implant() or Implant()
        if current is not None and _same_program(current, prescription):
            return review.bridge_owed(self._tail(), prescription, implant.dead_volume_nl, self.status().time_s)
        span = review.bridge_for(current, prescription.ingredients, implant.dead_volume_nl)
        if span is None or current is None or current.mode == SIMPLE:
            return span
        rate = min(span.rate_nl_day, self.status().rate_nl_day) or span.rate_nl_day     # the pump bridges no faster than it ran
        return Bridge(span.volume_nl, rate, Fraction(span.volume_nl * units.DAY_S, rate))

    def bridge(
        self, span: Bridge, prescription: Prescription, baseline: Baseline | None = None, told: Callable[[OrderResult], None] | None = None
    ) -> OrderResult:
        """Give the old drug in tubing and catheter at its old rate, and behind it the new program; two orders, `told` of each as it is done.

        A line lost between the two must not leave an overdose, so the slower of the two rates is on record first. A stronger fill (500 to
        2000 ug/mL): program, then bridge; lost in between, the old drug creeps at the new rate, a quarter of the dose for at most 45 h, then
        the dose is right. The other way round its old rate would give 4 times the dose once the bridge has ended. A weaker fill: bridge, then
        program; lost in between, the old rate gives a quarter of the dose from the bridge's end until somebody comes back. Neither is
        harmless: say the same thing again as soon as the line is back. What is done already is not done twice; of a bridge that is late the
        pump gets what is left of it (`bridge_due`). Raises as `program` does.
        """
        running, events = self.program_running(), self._tail()
        done: OrderResult | None = None

        def give() -> OrderResult:
            return self._order(catalogue.PRIME, lambda order: blocks.pack(
                catalogue.PRIME, {"order_id": order, "volume_nl": span.volume_nl, "rate_nl_day": span.rate_nl_day}))

        steps: list[Callable[[], OrderResult]] = []
        if running is None or not _same_program(running, prescription):
            steps.append(lambda: self.program(prescription, baseline=baseline))
        if not review.bridge_given(events, span):
            steps.append(give)
        if prescription.mean_daily_nl() > span.rate_nl_day:
            steps.reverse()
        for step in steps:
            try:
                done = step()
            except PumpRefused as refused:
                if done is None:
                    raise
                raise PumpRefused("%s; the %s before it is committed: too little is given until both are" % (refused, done.kind),
                                  refused.code, refused.field) from refused
            if told is not None:
                told(done)
        if done is None:
            raise RequestInvalid("nothing is left to do: the pump has this program and this bridge on record")
        return done

    def examine_refill(self, fill: Fill) -> RefillReview:
        """What this fill would do beside the program that runs; nothing is sent. Refuses as `refill` does."""
        status, running, implant = self.status(), self.program_running(), self.implant() or Implant()
        events = self.log() if fill.withdrawn_ul else []
        return RefillReview(status, running, implant, review.refill_warnings(status, running, fill, implant, events))

    def refill(self, fill: Fill, confirm: bool | Callable[[RefillReview], bool] = True) -> OrderResult:
        """Record a refill. Warnings tell of another drug or concentration than the program's, of mixing, of a bridge due, of an odd volume.

        Raises RequestInvalid when the fill, or what the running rate gives of it, breaks a hard limit (host/review.py), or without confirmation.
        """
        seen = self.examine_refill(fill)
        if not (confirm(seen) if callable(confirm) else confirm):
            raise RequestInvalid(UNCONFIRMED)
        done = self._order(catalogue.REFILL, lambda order: blocks.refill_block(fill, order))
        return replace(done, warnings=seen.warnings)

    def examine_prime(self, volume: str, rate: str = PRIME_RATE) -> PrimeReview:
        """What this prime would give a patient whose catheter is drug-filled; nothing is sent. Refuses as `prime` does."""
        return review.prime_review(self.status(), self.program_running(), self.implant() or Implant(), *_prime_values(volume, rate))

    def prime(self, volume: str, rate: str = PRIME_RATE) -> OrderResult:
        """Fill tubing and catheter once, at the implant: push a volume ('0.375 mL') at `rate`, 0.048 .. 24 mL/day.

        The pump refuses more than its dead volume, and once that was ordered (the catheter is on record as filled) everything but a bridge.
        Raises RequestInvalid for a prime into a filled catheter that is above the drug's bolus or daily limit.
        """
        seen, (volume_nl, rate_nl_day) = self.examine_prime(volume, rate), _prime_values(volume, rate)
        done = self._order(catalogue.PRIME, lambda order: blocks.pack(
            catalogue.PRIME, {"order_id": order, "volume_nl": volume_nl, "rate_nl_day": rate_nl_day}))
        return replace(done, warnings=seen.warnings)

    def stop(self, reason: str = "not given") -> OrderResult:
        """Stop delivery; `reason` is one of blocks.STOP_REASONS. What is not delivered meanwhile is missed, never made up."""
        number = blocks.stop_reason(reason)
        return self._order(catalogue.STOP, lambda order: blocks.pack(catalogue.STOP, {"order_id": order, "reason": number}))

    def resume(self) -> OrderResult:
        """Take the committed program up again."""
        return self._order(catalogue.RESUME, lambda order: blocks.pack(catalogue.RESUME, {"order_id": order}))

    def _order(self, kind: int, build: Callable[[int], bytes], agreed: Callable[[bytes], bool] | None = None) -> OrderResult:
        return ordering.give(self._exchange, kind, build(self._order_id()), agreed)

    def _order_id(self) -> int:
        """1 .. 2^30 - 1, another for each order: the pump's event counter moves with every order, so two equal orders in a row differ.

        The pump compares with its last order only; orders far apart may draw the same number.

        Made from the pump's own state and not drawn at random: a scenario's clinician must do the same bytes twice (R9).
        """
        status = self.status()
        self._orders += 1
        seed = "%d.%d.%d.%d" % (status.next_event, status.time_s, status.boot_count, self._orders)
        return binascii.crc32(seed.encode()) % MAX_ORDER + 1

    def _pulse_nl(self) -> int:
        implant = self.implant()
        return implant.pulse_nl if implant else Implant.pulse_nl

    def _tail(self, status: Status | None = None) -> list[Event]:
        return self.log(max(0, (status or self.status()).next_event - EVENT_TAIL))

    def _baseline(self, current: Prescription | None, needs_day: bool) -> Baseline:
        """Where the patient stands, from the running program, the end of the log and (where a limit asks for it) the first day on record."""
        if current is None:
            return Baseline()
        status = self.status()
        changes = [event for event in self._tail(status) if event.code == catalogue.E_PROGRAM]
        since = status.time_s - changes[-1].time_s if changes else None
        days = [day for day in self.history() if day.pulses] if needs_day else []
        return Baseline.of(current, since, status.time_s // units.DAY_S - days[0].day if days else 0)

    # ---------------------------------------------------------------------------------------------- time
    def wait(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0, progress: Progress | None = None) -> Status:
        """Wait on the *pump's* clock, whatever its pace, and return the status then. See host/waiting.py."""
        span_s = round(days * units.DAY_S + hours * 3600 + minutes * 60 + seconds)
        return waiting.wait(self.status, self.clock, span_s, self._exchange.timeout_s, progress)

    def watch(self, interval_s: int = 60) -> Generator[Live, None, None]:
        """Pushed telemetry, one frame every `interval_s` (1 .. 3600) pump seconds, until the iterator is closed.

        Raises Timeout when three intervals and the command timeout pass without a frame.
        """
        self._exchange.ask(catalogue.LIVE, interval_s)
        try:
            while True:
                yield self._next_live(interval_s)
        except (GeneratorExit, KeyboardInterrupt):  # the line still stands: leave no pump talking to nobody
            self._exchange.ask(catalogue.LIVE, 0)
            raise

    def _next_live(self, interval_s: int) -> Live:
        """The next pushed frame. A word now and then keeps the session open; one that was lost meanwhile is opened and asked for frames anew."""
        patience_s = 3 * interval_s + self._exchange.timeout_s
        deadline = self.clock.now_s() + patience_s
        while (left_s := deadline - self.clock.now_s()) > 0:
            beat_s = self._exchange.idle_s / 3 if self.clock.virtual else self._beat_s
            due_s = self._exchange.sent_s + beat_s - self.clock.now_s()
            raw = self._exchange.listen(min(due_s, left_s)) if due_s > 0 else None
            if raw is not None:
                return Live.of(raw)
            if due_s > 0:
                continue
            before = self._exchange.sessions
            self.status()
            if self._exchange.sessions != before:
                self._beat_s = max(SHORTEST_BEAT_S, self._beat_s / 2)   # perhaps its time runs faster than we spoke
                self._exchange.ask(catalogue.LIVE, interval_s)
        raise Timeout("the pump on %s sent no telemetry for %g s" % (self._line.name, patience_s))

    def line_counts(self) -> LineCounts:
        """What the line has done to this conversation so far: repeats, damage, strays, gaps."""
        return self._exchange.line_counts()

    def tap(self, wrap: Callable[[Any], Any]) -> None:
        """From now on speak through `wrap(port)`, a port itself: for listeners such as raw.TapPort."""
        self._line.tap(wrap)

    @property
    def telemetry_gaps(self) -> int:
        """Pushed frames that never arrived."""
        return self._exchange.push_gaps
