"""`thecal-sim bench trumpet | latency | detection | calibration`: accuracy and detection on the simulated pump. See cli.py for exit status."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import click
from rich.console import Console
from rich.table import Table

from . import bench_calibration, bench_detection, bench_latency, bench_trumpet
from .cli_link import FAILED, keep_or_print
from .world import RUNTIMES

OUT = click.option("--out", "out_dir", metavar="DIR", type=click.Path(file_okay=False, path_type=Path),
                   help="Write the object and a page with its figures here.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
RUNTIME = click.option("--runtime", type=click.Choice(RUNTIMES), default="inprocess", show_default=True, help="What the firmware runs on.")


class Page(Protocol):
    """Writes a bench's page into a folder."""

    def __call__(self, found: dict[str, Any], out_dir: Path) -> Path: ...


def _say(text: str) -> None:
    click.echo(text + " ...", err=True)


def _told(found: dict[str, Any], as_json: bool, out_dir: Path | None, page: Page) -> None:
    """Keep, print or show a bench object; status 1 where a bar is missed."""
    written = page(found, out_dir) if out_dir else None
    if not keep_or_print(found, as_json, out_dir):
        shown = Table("", "bar", "found", "bar", "unit", "", box=None, pad_edge=False)
        marks = {True: "ok", False: "MISSED", None: "-"}
        for row in found["bars"]:
            value = row["value"]
            shown.add_row(marks[row["ok"]], row["name"], "" if value is None else "%.4g" % value, "%g" % row["bar"], row["unit"], row.get("note", ""))
        Console(width=190, highlight=False).print(shown)
        click.echo("; ".join("%s: %.1f s" % took for took in found["wall_s"].items()))
        if written:
            click.echo("page: %s" % written)
    if not all(row["ok"] for row in found["bars"] if row["ok"] is not None):
        click.get_current_context().exit(FAILED)


@click.command("trumpet")
@JSON
@OUT
@RUNTIME
def trumpet_command(as_json: bool, out_dir: Path | None, runtime: str) -> None:
    """Start-up and trumpet curves at four rates, in seven surroundings, and 25 boluses in a row."""
    _told(bench_trumpet.trumpet(_say, runtime=runtime), as_json, out_dir, bench_trumpet.write)


@click.command("latency")
@JSON
@OUT
@RUNTIME
@click.option("--seeds", type=click.IntRange(1, 1000), default=bench_latency.SEEDS, show_default=True,
              help="Runs of each fault at each rate (20 where a drawn delay has a bound).")
def latency_command(as_json: bool, out_dir: Path | None, runtime: str, seeds: int) -> None:
    """How long the whole system takes to notice each fault, against the rate."""
    _told(bench_latency.latency(_say, runtime=runtime, seeds=seeds), as_json, out_dir, bench_latency.write)


@click.command("detection")
@JSON
@OUT
@RUNTIME
@click.option("--pumps", type=click.IntRange(1, 100_000), default=bench_detection.PUMP_YEARS, show_default=True,
              help="Sound pumps at each rate, a year each.")
@click.option("--onsets", type=click.IntRange(1, 100_000), default=bench_detection.ONSETS, show_default=True,
              help="Faulty heads of each gain at each rate.")
@click.option("--seeds", type=click.IntRange(0, 1000), default=bench_detection.SYSTEM_SEEDS, show_default=True,
              help="Years of the whole system at each of four rates; 0 leaves it out.")
def detection_command(as_json: bool, out_dir: Path | None, runtime: str, pumps: int, onsets: int, seeds: int) -> None:
    """The level test against the best conceivable one, and false alarms over pump-years."""
    _told(bench_detection.detection(_say, pumps=pumps, onsets=onsets, seeds=seeds, runtime=runtime), as_json, out_dir, bench_detection.write)


@click.command("calibration")
@JSON
@OUT
@RUNTIME
@click.option("--pumps", type=click.IntRange(1, 100_000), default=bench_calibration.PUMPS, show_default=True,
              help="Heads of the lot, seven years each.")
def calibration_command(as_json: bool, out_dir: Path | None, runtime: str, pumps: int) -> None:
    """Lifetime error with and without the learning calibration, and with a failed witness."""
    _told(bench_calibration.calibration(_say, pumps=pumps, runtime=runtime), as_json, out_dir, bench_calibration.write)


def add_to(bench: click.Group) -> None:
    """Hang the commands into the group `bench`."""
    for command in (trumpet_command, latency_command, detection_command, calibration_command):
        bench.add_command(command)
