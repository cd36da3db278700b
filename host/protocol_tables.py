"""The tables of protocol/PROTOCOL.md, made from the catalogue: `make docs` writes them, a test compares them (one truth).

In the page a table stands between `<!-- table: NAME -->` and `<!-- /table -->`; the names are those of `tables()`.
"""

import re
from pathlib import Path
from typing import Iterable, Sequence

import click

from ..protocol import catalogue as cat
from ..protocol.fields import BYTES, I32, TAIL, U8, U16, U32, size
from ..protocol.frame import CLASS_OPEN, CLASS_PLAIN, CLASS_ROUTINE, CLASS_THERAPY
from ..protocol.session import CLINICIAN, PATIENT, ROLES
from .alarms import TABLE as ALARMS

PAGE = Path(__file__).resolve().parent.parent / "protocol" / "PROTOCOL.md"
MARK = re.compile(r"(<!-- table: (?P<name>\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)
DIRECTIONS = {cat.REQUEST: "host to pump", cat.REPLY: "pump to host", cat.PUSH: "pump to host, unasked"}
CLASSES = {CLASS_OPEN: "open", CLASS_PLAIN: "plain", CLASS_ROUTINE: "routine", CLASS_THERAPY: "therapy"}
KINDS = {U8: "u8", U16: "u16", U32: "u32", I32: "i32", BYTES: "bytes", TAIL: "rest"}


class PageError(ValueError):
    """The page names a table that does not exist, or lacks one; the text is one sentence."""


def tables() -> dict[str, str]:
    """Name -> Markdown of every table the page must show."""
    messages: list[Sequence[object]] = []
    fields: list[str] = []
    for number, name, direction, kind, flags, rows in cat.MESSAGES:
        asks = _who(flags) if direction == cat.REQUEST else ""
        messages.append((f"0x{number:02X}", name, DIRECTIONS[direction], CLASSES[kind], asks, size(rows)))
        fields.append(f"**{name}** (0x{number:02X})\n\n{_fields(rows)}")
    return {
        "schema": f"Schema CRC-32 of this table: `0x{cat.schema_crc():08X}` (protocol version {cat.PROTOCOL_VERSION}).\n",
        "messages": _table(("id", "message", "direction", "class", "who may ask", "least bytes"), messages),
        "fields": "\n".join(fields),
        "blocks": "\n".join(f"**{name}** (kind {kind})\n\n{_fields(rows)}" for kind, name, rows in cat.BLOCKS),
        "reasons": _table(("reason", "meaning"), cat.REASONS),
        "event_record": _fields(cat.EVENT_FIELDS),
        "events": _table(("code", "event", "cause, a, b"), cat.EVENTS),
        "day_record": _fields(cat.DAY_FIELDS),
        "history_record": _fields(cat.HISTORY_FIELDS),
        "modes": _table(("mode", "name"), enumerate(cat.MODES)),
        "missed_causes": _table(("cause", "name"), enumerate(cat.MISSED_CAUSES)),
        "alarms": _table(("row", "alarm", "priority", "tone", "delivery", "meanwhile", "ends", "sensed by"), (
            (alarm.row, alarm.name, alarm.priority, alarm.tone, " -> ".join(filter(None, (alarm.delivery, alarm.then))), alarm.action, alarm.ends,
             alarm.sensed) for alarm in ALARMS.values())),
        "extras": _table(("extra", "name"), enumerate(cat.EXTRAS)),
    }


def rewrite(page: str) -> str:
    """The page with every table made again. Raises PageError for an unknown or a missing table."""
    made = tables()
    shown = [match["name"] for match in MARK.finditer(page)]
    unknown, absent = sorted(set(shown) - set(made)), sorted(set(made) - set(shown))
    if unknown:
        raise PageError(f"the page asks for a table {unknown[0]!r} that is not made; there are {', '.join(sorted(made))}")
    if absent:
        raise PageError(f"the page does not show the table {absent[0]!r}: put '<!-- table: {absent[0]} -->' and '<!-- /table -->' into it")
    return MARK.sub(lambda match: f"{match[1]}{made[match['name']]}{match[3]}", page)


def _who(flags: int) -> str:
    """Who may send a request with these flags."""
    roles = [ROLES[role] for role in range(CLINICIAN, PATIENT + 1) if flags & cat.F_CLINICIAN << (role - 1)]
    return "with the magnet" if flags & cat.F_MAGNET else ", ".join(roles) if roles else "anyone"


def _fields(rows: Iterable[tuple]) -> str:
    cells = [(name, _kind(kind, low, high), unit, _number(low), _number(high)) for name, kind, unit, low, high in rows]
    return _table(("field", "type", "unit", "min", "max"), cells) if cells else "No fields.\n"


def _kind(kind: int, low: int, high: int) -> str:
    return f"bytes[{low}]" if kind == BYTES else f"rest, {low}..{high} bytes" if kind == TAIL else KINDS[kind]


def _number(value: int) -> str:
    names = {cat.MAX_SMALL: "2^30 - 1", -cat.MAX_SMALL: "-(2^30 - 1)", 0xFFFFFFFF: "2^32 - 1"}
    return names.get(value, f"{value:,}")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--page", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=PAGE, help="The page (default: protocol/PROTOCOL.md).")
def main(page: Path) -> None:
    """Write the tables of PROTOCOL.md again from the catalogue."""
    text = page.read_text(encoding="utf-8")
    try:
        made = rewrite(text)
    except PageError as error:
        raise click.ClickException(f"{page.name}: {error}") from error
    if made != text:
        page.write_text(made, encoding="utf-8")
    click.echo(f"{page.name}: {'tables written' if made != text else 'tables are up to date'}", err=True)


if __name__ == "__main__":
    main()
