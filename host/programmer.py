"""The clinician's programmer: one object over one port, the same on a board, a live simulator and virtual time (R1).

Nothing is kept between calls but the line. What it reads is in host/readings.py, what it orders in host/orders.py.
"""

from __future__ import annotations

from typing import Any, Callable, Generator

from ..protocol import catalogue
from . import drug_library, emergency, keystore, units, waiting
from .drug_library import Drug
from .emergency import Card, Reduction
from .errors import Timeout, UsageProblem
from .exchange import Exchange
from .keystore import Keystore
from .orders import PRIME_RATE, UNCONFIRMED, Orders
from .pairing import Pairing, pair
from .readings import Progress
from .records import Live, Status
from .transport import Clock, Line, open_port
from .wire import LineCounts

BEAT_S, SHORTEST_BEAT_S = 5.0, 0.25  # between two words to a pump that only pushes: it closes an idle session, and its time may run fast
__all__ = ["PRIME_RATE", "UNCONFIRMED", "Programmer", "Progress"]


class Programmer(Orders):
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
        super().__init__(Exchange(self._line, timeout_s, role=number, keys=keys, notice=notice), drug_library.load() if library is None else library)
        self.role = role
        self.keys = keys
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
