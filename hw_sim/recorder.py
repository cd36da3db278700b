"""Streams what happened in a run to files: samples, events, pulses, pins, wire bytes, and one hash over every exchange.

Nothing is held for longer than a buffer, so a run of any length costs the same memory, and an interrupted run leaves
readable files. The three methods on the pulse path (`pulse`, `exchange`, `pins`) only append to buffers.

    samples.csv   truth and firmware figures at the sampling cadence; columns are fixed by the first row
    events.csv    t_s, source, name, detail
    pulses.csv    t_us, steps, hold_us: every motor order
    pins.vcd      enable, pulse (steps ordered), tone, alarm, for any wave viewer (timescale 1 us)
    wire.jsonl    one JSON object for each burst on the serial line, a capture (see capture.py): t_us, dir, hex, sent
"""
from __future__ import annotations

import csv
import hashlib
import json
import struct
from bisect import bisect_right
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from vcd import VCDWriter
from vcd.writer import VarType

from . import capture

FLUSH_BYTES = 65536
FLUSH_ROWS = 4096
# A pin may be announced ahead of time by at most the hardware one-shot that holds enable (DESIGN 4: 500 ms).
PIN_LOOKAHEAD_US = 500_000
# Fixed, so that equal runs give equal files; VCD would otherwise carry the wall clock.
VCD_DATE = "virtual time, 0 us is the start of the run"
EVENT_SOURCES = ("pump", "plant", "clinician", "fault")

_lengths = struct.Struct("<II").pack
_by_time = itemgetter(0)


def _seconds(t_us: int) -> str:
    """`t_us` as exact decimal seconds: no float, so that no digit is lost after years of virtual time."""
    sign = "-" if t_us < 0 else ""
    whole, part = divmod(abs(t_us), 1_000_000)
    return f"{sign}{whole}.{part:06d}".rstrip("0") if part else f"{sign}{whole}"


def _cell(value: Any) -> str:
    """One CSV cell: floats at ten significant digits (0.1 nL in a litre), nothing for None."""
    if value is None:
        return ""
    return format(value, ".10g") if isinstance(value, float) else str(value)


class Recorder:
    """Writes the files of one run into `out_dir` (made if absent); with `out_dir` None it only counts and hashes.

    `sample_s` is the cadence of `samples.csv` in virtual seconds (> 0); `vcd` False leaves `pins.vcd` out.
    Raises ValueError for a cadence that is not positive, OSError where the folder cannot be written.
    """

    def __init__(self, out_dir: Path | str | None, *, sample_s: float = 3600.0, vcd: bool = True) -> None:
        self._sample_us = round(sample_s * 1e6)
        if self._sample_us <= 0:
            raise ValueError(f"sample_s is {sample_s}: the sampling cadence must be at least 0.000001 s")
        self.out_dir = Path(out_dir) if out_dir is not None else None
        self.next_sample_us = 0
        self.pulses = 0
        self.steps = 0
        self.samples = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._exchanges = bytearray()
        self._pulse_rows: list[tuple[int, int, int]] = []
        self._pin_rows: list[tuple[int, int | None, int, int]] = []
        self._pin_levels: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._vcd_now_us = 0
        self._columns: list[str] | None = None
        self._files: dict[str, IO[str]] = {}
        self._vcd: VCDWriter | None = None
        self._closed = False
        if self.out_dir is not None:
            self._open(self.out_dir, vcd)

    def _open(self, out_dir: Path, vcd: bool) -> None:
        out_dir.mkdir(parents=True, exist_ok=True)
        for name in ("samples.csv", "events.csv", "pulses.csv", "wire.jsonl"):
            self._files[name] = open(out_dir / name, "w", encoding="utf-8", newline="")
        self._sample_writer = csv.writer(self._files["samples.csv"], lineterminator="\n")
        self._event_writer = csv.writer(self._files["events.csv"], lineterminator="\n")
        self._event_writer.writerow(("t_s", "source", "name", "detail"))
        self._files["pulses.csv"].write("t_us,steps,hold_us\n")
        if vcd:
            pins = self._files["pins.vcd"] = open(out_dir / "pins.vcd", "w", encoding="ascii", newline="\n")
            self._vcd = VCDWriter(pins, timescale="1 us", date=VCD_DATE, check_values=False)
            pin_vars = [
                self._vcd.register_var("pump", name, kind, size=size, init=0)
                for name, kind, size in (("enable", VarType.wire, 1), ("pulse", VarType.integer, 32),
                                         ("tone", VarType.wire, 1), ("alarm", VarType.integer, 32))]
            # pyvcd writes declarations and first values; the changes are written here, by its identifiers, because
            # its change() costs 1.2 us a value where a whole pulse may cost 3 us (measured, CPython 3.11).
            self._pin_idents = [str(var.ident) for var in pin_vars]
            self._vcd.flush()

    # --- the pulse path -------------------------------------------------------------------------------------------

    def pulse(self, t_us: int, steps: int, hold_us: int) -> None:
        """One motor order: `steps` (4096 to a turn) at `t_us`, enable held for at most `hold_us`."""
        self.pulses += 1
        self.steps += steps
        rows = self._pulse_rows
        rows.append((t_us, steps, hold_us))
        if len(rows) >= FLUSH_ROWS:
            self._flush_pulses()

    def exchange(self, inputs: bytes, reply: bytes) -> None:
        """One wake of the firmware, as bytes in and bytes out. Lengths are hashed too: no two traces run together."""
        buffer = self._exchanges
        buffer += _lengths(len(inputs), len(reply))
        buffer += inputs
        buffer += reply
        if len(buffer) >= FLUSH_BYTES:
            self._flush_hash()

    def pins(self, t_us: int, enable: int, step_count: int, tone: int) -> None:
        """Pin levels from `t_us` on; `step_count` is the steps of the order running (0: none).

        A drop of enable may be told together with its order, up to 500 ms ahead. Levels that reach further back
        than that raise ValueError when the buffer is written.
        """
        if self._vcd is None:
            return
        rows = self._pin_rows
        rows.append((t_us, enable, step_count, tone))
        if len(rows) >= FLUSH_ROWS:
            self._flush_pins(t_us - PIN_LOOKAHEAD_US)

    # --- the rest -------------------------------------------------------------------------------------------------

    def alarm(self, t_us: int, code: int) -> None:
        """The alarm showing from `t_us` on, by its code (0: none): the fourth line of `pins.vcd`."""
        if self._vcd is not None:
            self._pin_rows.append((t_us, None, code, 0))

    def sample(self, t_us: int, row: dict[str, Any]) -> None:
        """One line of samples.csv; moves `next_sample_us` to the next multiple of the cadence after `t_us`.

        The first row fixes the columns; a later row may leave some out. Raises ValueError for one it adds.
        """
        self.next_sample_us = (t_us // self._sample_us + 1) * self._sample_us
        self.samples += 1
        if self.out_dir is None:
            return
        if self._columns is None:
            self._columns = [name for name in row if name != "t_s"]
            self._sample_writer.writerow(["t_s", *self._columns])
        strange = [name for name in row if name != "t_s" and name not in self._columns]
        if strange:
            raise ValueError(f"sample at {_seconds(t_us)} s brings column {strange[0]!r}: columns are fixed by the first row")
        self._sample_writer.writerow([_seconds(t_us), *(_cell(row.get(name)) for name in self._columns)])

    def event(self, t_us: int, source: str, name: str, detail: Any = "") -> None:
        """One line of events.csv. `source` is one of EVENT_SOURCES (else ValueError); a dict becomes JSON text."""
        if source not in EVENT_SOURCES:
            raise ValueError(f"event source is {source!r}: it must be one of {', '.join(EVENT_SOURCES)}")
        if self.out_dir is not None:
            text = json.dumps(detail, sort_keys=True) if isinstance(detail, (dict, list)) else _cell(detail)
            self._event_writer.writerow((_seconds(t_us), source, name, text))

    def told(self, t_us: int, status: Any) -> None:
        """What the pump answered when it was asked for its status at a sample; kept by who looks on (observer.py), in no file."""

    def uart(self, t_us: int, sender: str, data: bytes, sent: bytes | None = None) -> None:
        """Bytes on the serial line; `sender` is "host" or "pump", `sent` what it sent where a bad line made `data` of it."""
        if self.out_dir is not None:
            self._files["wire.jsonl"].write(capture.line(t_us, sender, data, sent))

    @property
    def trace_hash(self) -> str:
        """BLAKE2b-128 over every exchange so far, in hex. Reading it does not end it."""
        self._flush_hash()
        return self._hash.hexdigest()

    def flush(self) -> None:
        """Write what is buffered (pins younger than the look-ahead stay) so that other programs can read along."""
        self._flush_pulses()
        if self._pin_rows:
            self._flush_pins(max(map(_by_time, self._pin_rows)) - PIN_LOOKAHEAD_US)
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Write everything and close the files, also after Ctrl-C or a failed write; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self._flush_pulses()
            self._flush_pins(None)
            if self._vcd is not None:
                self._vcd.close()
        finally:
            for file in self._files.values():
                file.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # --- buffers to files -----------------------------------------------------------------------------------------

    def _flush_hash(self) -> None:
        self._hash.update(self._exchanges)
        self._exchanges.clear()

    def _flush_pulses(self) -> None:
        rows, self._pulse_rows = self._pulse_rows, []
        if rows and self.out_dir is not None:
            self._files["pulses.csv"].write("".join(["%d,%d,%d\n" % row for row in rows]))

    def _flush_pins(self, until_us: int | None) -> None:
        """Write pin rows up to `until_us` (None: all) in the order of time; equal times keep their order."""
        if self._vcd is None:
            return
        rows = sorted(self._pin_rows, key=_by_time)
        split = len(rows) if until_us is None else bisect_right(rows, until_us, key=_by_time)
        done, self._pin_rows = rows[:split], rows[split:]
        if not done:
            return
        if done[0][0] < self._vcd_now_us:
            raise ValueError(f"pins at {_seconds(done[0][0])} s were told after pins at {_seconds(self._vcd_now_us)} s were written")
        self._vcd_now_us = done[-1][0]
        last, lines = self._pin_levels, []
        for t_us, enable, steps, tone in done:
            # An alarm row has None for enable and its code in the place of the steps.
            levels = (last[0], last[1], last[2], steps) if enable is None else (enable, steps, tone, last[3])
            if levels == last:
                continue
            lines.append(f"#{t_us}")
            if levels[0] != last[0]:
                lines.append(f"{levels[0] != 0:d}{self._pin_idents[0]}")
            if levels[1] != last[1]:
                lines.append(f"b{levels[1]:b} {self._pin_idents[1]}")
            if levels[2] != last[2]:
                lines.append(f"{levels[2] != 0:d}{self._pin_idents[2]}")
            if levels[3] != last[3]:
                lines.append(f"b{levels[3]:b} {self._pin_idents[3]}")
            last = levels
        self._pin_levels = last
        if lines:
            self._files["pins.vcd"].write("\n".join(lines) + "\n")
