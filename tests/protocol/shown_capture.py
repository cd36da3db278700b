"""The capture that protocol/PROTOCOL.md shows, recorded anew from the real firmware on a line with an attacker: the same bytes every time.

    python tests/protocol/shown_capture.py      write it into the page again
"""

import re
import sys
import tempfile
from pathlib import Path

from thecal.host import raw
from thecal.host.keystore import Keystore
from thecal.host.programmer import Programmer
from thecal.hw_sim import capture
from thecal.hw_sim.attacker import Attacker
from thecal.hw_sim.scenario import load_scenario, world_for
from thecal.protocol import catalogue as cat

PAGE = Path(__file__).resolve().parents[2] / "protocol" / "PROTOCOL.md"
SHOWN = re.compile(r"(<!-- capture -->\n```text\n).*?(```\n<!-- /capture -->)", re.DOTALL)


def first(message, act):
    """A rule for the first frame of a message: `act(heard, out, attacker)` says what goes on instead."""
    seen = []

    def rule(heard, out, attacker):
        if heard.message != message or seen:
            return out
        seen.append(heard)
        return act(heard, out, attacker)

    return rule


def damaged(heard, out, attacker):
    return [(sender, data[:8] + bytes((data[8] ^ 0x40,)) + data[9:]) for sender, data in out]


def record(path):
    """An order to stop: its first reply is damaged, a request lost, the commit sent twice, and replayed when the session is over."""
    with world_for(load_scenario("baclofen"), runtime="inprocess") as world:
        writer, start_us = capture.Writer(path), world.now_us

        class FromHere:
            """Times count from the first byte."""

            def add(self, t_us, sender, data, sent=None):
                writer.add(t_us - start_us, sender, data, sent)

        attacker = Attacker([first(cat.STAGE | cat.REPLY_BIT, damaged), first(cat.CHECK, lambda heard, out, attacker: []),
                             first(cat.COMMIT, lambda heard, out, attacker: out * 2)], capture=FromHere()).attach(world)
        pump = Programmer(world.port())
        pump.stop("clinician order")
        pump.close()
        attacker.send("host", next(heard.raw for heard in attacker.frames if heard.message == cat.COMMIT), world.now_us)
        world.run_until(world.now_us + 100_000)
        writer.close()


def lines():
    """What `thecal decode` shows of it; the status that an order asks for first is left out, it has more fields than a page has room."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture.jsonl"
        record(path)
        return [seen.text() for seen in raw.decode(path, Keystore.memory().listening_key) if not seen.name.startswith("status")]


def rewrite(page):
    """The page with the capture as it is now."""
    return SHOWN.sub(lambda match: match[1] + "\n".join(lines()) + "\n" + match[2], page)


if __name__ == "__main__":
    PAGE.write_text(rewrite(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
