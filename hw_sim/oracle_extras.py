"""What runs on top of a prescribed program, or in its place, for the oracle: primes, bridges, boluses, each with the instants at which it ends.

A prime and a bridge take the program's place, a bolus is added to it. A stop or a power cut ends a prime and a bolus for good (alarms.md row 23:
never resumed), but a bridge goes on by the volume that is left (alarms.md 3). What a stall or an empty reservoir keeps back is missed out of
whatever runs. Exact fractions; instants in virtual us.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

Instant = int | Fraction
DAY_US = 86_400 * 1_000_000
PRIME, BRIDGE, BOLUS = "prime", "bridge", "bolus"
ENDED_BY = "reset"      # the cause of outages that end a prime and a bolus


@dataclass(frozen=True)
class Extra:
    """From `start_us`: `volume_nl` at `rate_nl_day` (> 0); `cut_us` when something told ended it early."""

    kind: str
    start_us: int
    volume_nl: Fraction
    rate_nl_day: Fraction
    cut_us: int | None = None

    @property
    def added(self) -> bool:
        """Whether the program runs on beneath it."""
        return self.kind == BOLUS

    def full_us(self) -> Fraction:
        """How long it takes undisturbed."""
        return self.volume_nl * DAY_US / self.rate_nl_day


def ends(extras: list[Extra], stops: Iterable[tuple[int, int | None, str]], outages: Iterable[tuple[int, int, str]]) -> list[tuple[Extra, Instant]]:
    """Each extra with its end: at its volume, or earlier at what ends it; the next one told ends the one before, except that a bolus rides on a bridge."""
    stops, outages = list(stops), list(outages)
    pauses = sorted((start, end) for start, end, _ in [*stops, *(gap for gap in outages if gap[2] == ENDED_BY)])
    found: list[tuple[Extra, Instant]] = []
    for number, extra in enumerate(extras):
        limits: list[Instant] = [extra.cut_us] if extra.cut_us is not None else []
        limits += [other.start_us for other in extras[number + 1:] if other.start_us > extra.start_us and not (extra.kind == BRIDGE and other.kind == BOLUS)]
        if extra.kind == BRIDGE:
            limits.append(_by_volume(extra, pauses))
        else:
            limits.append(extra.start_us + extra.full_us())
            limits += [start for start, _ in pauses if start >= extra.start_us]
        found.append((extra, min(limits)))
    return found


def _by_volume(bridge: Extra, pauses: list[tuple[int, int | None]]) -> Instant:
    """When a bridge has given its volume: time in `pauses` (they may overlap) does not count."""
    now: Instant = bridge.start_us
    left = bridge.full_us()
    for start, end in pauses:
        if end is not None and end <= now:
            continue
        if start > now + left:
            break
        left -= max(Fraction(0), Fraction(start - now))
        if end is None:
            return now + left + 10 ** 18      # for ever: nobody has resumed
        now = max(now, Fraction(end))
    return now + left
