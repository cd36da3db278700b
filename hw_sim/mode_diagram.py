"""The diagram of the pump's modes in protocol/PROTOCOL.md, drawn from the table in firmware/modes.py (one truth).

`python -m thecal.hw_sim.mode_diagram` writes it (`make docs` does), a test compares. Events that leave the mode as it is are not drawn: which block is executed
in which mode stands in the table beside it.
"""
from __future__ import annotations

from pathlib import Path

import click

from ..firmware import modes
from ..protocol import catalogue as cat

PAGE = Path(__file__).resolve().parent.parent / "protocol" / "PROTOCOL.md"
BEGIN, END = "<!-- modes-diagram -->\n", "<!-- /modes-diagram -->"
ENDS = {modes.EV_PRIME_END: "prime ends", modes.EV_BRIDGE_END: "bridge ends", modes.EV_BOLUS_END: "bolus ends", modes.EV_PAUSE_END: "pause ends",
        modes.EV_RESET: "reset"}


def event_name(event: int) -> str:
    """A block's name as on the wire, or what ends."""
    return ENDS[event] if event in ENDS else str(cat.BLOCKS[event - 1][1])


def edges() -> dict[tuple[int, int], list[str]]:
    """{(from, to): names of the events} of every cell that changes the mode; a program with a bridge is drawn as its own event."""
    found: dict[tuple[int, int], list[str]] = {}
    for mode in range(len(cat.MODES)):
        for event in range(1, modes.EVENTS + 1):
            target = modes.leads_to(mode, event)
            if target not in (modes.REFUSE, mode):
                found.setdefault((mode, target), []).append(event_name(event))
    found.setdefault((modes.RUNNING, modes.BRIDGING), []).append("program with a bridge")
    return dict(sorted(found.items()))


def mermaid() -> str:
    """The diagram as a fenced block of Mermaid."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {cat.MODES[modes.SHELF]}"]
    lines += [f"    {cat.MODES[start]} --> {cat.MODES[end]}: {', '.join(names)}" for (start, end), names in edges().items()]
    return "\n".join([*lines, "```", ""])


def rewrite(text: str) -> str:
    """The page with the diagram between its marks made anew. Raises ValueError when a mark is missing."""
    if BEGIN not in text or END not in text:
        raise ValueError(f"PROTOCOL.md has no {BEGIN.strip()} ... {END}: the diagram has no place")
    head, rest = text.split(BEGIN, 1)
    return head + BEGIN + mermaid() + END + rest.split(END, 1)[1]


@click.command()
def main() -> None:
    """Draw the modes of PROTOCOL.md again from the firmware's table."""
    try:
        PAGE.write_text(rewrite(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{PAGE.name}: modes drawn", err=True)


if __name__ == "__main__":
    main()
