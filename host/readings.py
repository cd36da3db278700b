"""What can be asked of a pump: one method for each thing it tells. Changes nothing; `Programmer` (host/programmer.py) builds on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from ..protocol import catalogue
from ..protocol.session import PATIENT
from . import blocks
from .alarms import Alarm
from .drug_library import Drug
from .errors import RequestInvalid
from .exchange import Exchange, roles_in
from .implant import Implant
from .life import Contents, ImplantRecord, TrialRecord
from .prescription import Ingredient, Prescription, same_drugs
from .records import AlarmState, Day, Event, Identity, Span, Status, read_days, read_events, read_history

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Seen:
    """One look at where a pump stands: what an order is judged by. `running` and `implant` are None where the pump has none on record."""

    status: Status
    running: Prescription | None
    implant: Implant | None


class Readings:
    """Reads over one exchange. All methods may raise NoConnection, Timeout, ProtocolProblem, PumpRefused, KeyProblem, SessionLost and WrongPump."""

    def __init__(self, exchange: Exchange, library: dict[str, Drug]) -> None:
        self._exchange = exchange
        self._library = library

    def identity(self) -> Identity:
        """Who answers; readable by anyone, sealed by nobody."""
        said = self._exchange.ask(catalogue.IDENTITY)
        greeting = self._exchange.hello()
        version = "%d.%d" % divmod(said["firmware_version"], 256)
        return Identity(said["serial"], version, bytes(said["runtime"]).decode("utf-8", "replace"), greeting["boot_count"], roles_in(greeting["paired"]))

    def status(self) -> Status:
        """One look at the pump."""
        return Status.of(self._exchange.ask(catalogue.STATUS))

    def look(self) -> Seen:
        """Status, program and implant, each read once: to hand to several examinations of one order.

        Raises RequestInvalid for a patient's session: the pump shows it no program.
        """
        if self._exchange.role == PATIENT:
            raise RequestInvalid("a patient's session sees the pump's status and alarms and asks for a bolus; for any other order --role clinician")
        return Seen(self.status(), self.program_running(), self.implant())

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
        return blocks.read_program(self._file(catalogue.FILE_PROGRAM), self._library)

    def drugs_at_head(self, seen: Seen | None = None) -> tuple[Ingredient, ...] | None:
        """What the pump's head delivers now: the program's drugs, or while a bridge is open those of the program before it; None where nobody knows.

        `seen`: a look that was had already.
        """
        seen = seen or self.look()
        running = seen.running
        if running is None or seen.status.bridge_left_nl == 0:
            return running.ingredients if running else None
        others = [past for _, past in self.prescriptions() if not same_drugs(past.ingredients, running.ingredients)]
        return others[-1].ingredients if others else None

    def records_kept(self) -> dict[str, str]:
        """The pump's records as the bytes that it keeps, in hexadecimal, empty where there is none: to carry to the pump that replaces it."""
        files = {"program": catalogue.FILE_PROGRAM, "fill": catalogue.FILE_FILL, "implant": catalogue.FILE_IMPLANT, "trial": catalogue.FILE_TRIAL}
        commission = bytes(self._exchange.ask(catalogue.IMPLANT)["record"])
        return {"commission": commission.hex(), **{name: self._file(number).hex() for name, number in files.items()}}

    def contents(self) -> Contents | None:
        """What was filled in last: drugs, volume, lot and life; None before the first fill."""
        return Contents.read(self._file(catalogue.FILE_FILL), self._library)

    def implant_record(self) -> ImplantRecord | None:
        """Whose pump this is and how it lies; None until it was written."""
        return ImplantRecord.read(self._file(catalogue.FILE_IMPLANT))

    def trial_record(self) -> TrialRecord | None:
        """The screening trial behind this implant; None until it was written."""
        return TrialRecord.read(self._file(catalogue.FILE_TRIAL), self._library)

    def prescriptions(self) -> list[tuple[int, Prescription]]:
        """(pump time of the commit, program) of the last 16 programs, oldest first."""
        return blocks.read_prescriptions(self._file(catalogue.FILE_PRESCRIPTIONS), self._library)

    def _file(self, number: int, progress: Progress | None = None) -> bytes:
        return self._exchange.pull(number, *self._exchange.file_span(number), progress)

    def log(self, since: int = 0, progress: Progress | None = None) -> list[Event]:
        """Events from sequence number `since` on, as far back as the pump's ring goes; what was overwritten is not there."""
        first, end = self._exchange.file_span(catalogue.FILE_EVENTS)
        start = min(max(first, since * catalogue.EVENT_BYTES), end)
        return read_events(self._exchange.pull(catalogue.FILE_EVENTS, start, end, progress), start // catalogue.EVENT_BYTES)

    def faults(self, progress: Progress | None = None) -> list[Event]:
        """The ring of serious alarms and errors, which a long event log does not wash away."""
        first, end = self._exchange.file_span(catalogue.FILE_FAULTS)
        return read_events(self._exchange.pull(catalogue.FILE_FAULTS, first, end, progress), first // catalogue.EVENT_BYTES)

    def delivery(self, progress: Progress | None = None) -> list[Span]:
        """What was delivered in each five minutes of the last 15 days, and at each change of mode."""
        return read_history(self._file(catalogue.FILE_HISTORY, progress))

    def history(self, progress: Progress | None = None) -> list[Day]:
        """Daily totals of closed days, oldest first (the pump keeps 400)."""
        first, end = self._exchange.file_span(catalogue.FILE_DAYS)
        return read_days(self._exchange.pull(catalogue.FILE_DAYS, first, max(first, end), progress), first // catalogue.DAY_BYTES)
