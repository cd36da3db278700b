"""What a row of the ledger must keep beside its own detection: the healthy twin is healthy, nothing rings that should not, what rings is heard.

Each check answers with sentences, none where all is well. They judge by what ledger.Played kept, which is seen from outside.
"""
from __future__ import annotations

from typing import Any

from . import tones
from .faults import SURVIVED, Row
from .observer import ALARM, ENABLE, TONE

SOUND, LINE = "tone", "telemetry"      # what a firmware may declare that it lacks


def alarms_of(run: Any, until_us: int | None = None) -> list[str]:
    """The names of all alarms that a run's signs show (up to `until_us`), each once, by row number."""
    found = {sign.name for sign in run.signs if sign.name.startswith(ALARM + " ") and (until_us is None or sign.t_us <= until_us)}
    return sorted(found, key=lambda name: int(name.split()[1]))


def twin_faults(row: Row, run: Any, twin: Any) -> list[str]:
    """What is wrong with the run without the fault: it must end, take every order, keep its books, and ring nothing but the therapy's own.

    A twin may be played for longer than this row: what rings later is another row's.
    """
    strange = [name for name in alarms_of(twin, run.end_us) if name not in row.therapy.alarms]
    return [text for text, wrong in (
        ("the healthy twin failed: %s" % twin.failure.splitlines()[0] if twin.failure else "", bool(twin.failure)),
        ("the healthy twin: %s" % "; ".join(twin.refused), bool(twin.refused)),
        ("the healthy twin's books: %s" % ", ".join(line["name"] for line in twin.books if line["ok"] is False),
         any(line["ok"] is False for line in twin.books)),
        ("false alarms: the healthy twin raises %s" % ", ".join(strange), bool(strange)),
        ("false alarms: the healthy twin sounds a tone", twin.deaf and any(sign.name == TONE and sign.t_us <= run.end_us for sign in twin.signs))) if wrong]


def false_alarms(row: Row, run: Any) -> list[str]:
    """Alarms that neither notice this fault, nor follow from it (`row.also`), nor are the therapy's own."""
    allowed = {*row.by, *row.also, *row.therapy.alarms}
    strange = [name for name in alarms_of(run) if name not in allowed]
    return ["false alarms: %s" % ", ".join(strange)] if strange else []


def unheard(row: Row, run: Any, table: Any, lacks: tuple[str, ...]) -> list[str]:
    """Alarms that stood without their tone; nothing for a firmware that declares it has none, and where a session has silenced it."""
    if SOUND in lacks or any(event["kind"] == "silence" for _, event in (*row.events, *row.both)):
        return []
    return tones.silences(tones.spans(run.standing, run.end_us), run.tones, table)


def unseen(row: Row, table: Any, lacks: tuple[str, ...]) -> list[str]:
    """What a firmware declares it lacks and would need to show this row in any of the ways of `by`; empty where one way is left.

    An alarm is seen on the line, a loud one by its tone too; what the log or the host says needs the line. Without the line a row that is
    survived is seen by its delivery.
    """
    if row.undetectable or LINE not in lacks or (row.outcome == SURVIVED):
        return []

    def closed(name: str) -> bool:
        if name in (ENABLE, TONE):
            return name in lacks
        loud = name.startswith(ALARM + " ") and tones.CADENCE.get(table[int(name.split()[1])].tone) is not None
        return not loud or SOUND in lacks

    return [name for name in (LINE, SOUND) if name in lacks] if all(closed(name) for name in row.by) else []
