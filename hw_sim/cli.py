"""`thecal-sim`: run a scenario, serve a live pump, replay a recorded session, measure. stdout is data, stderr is talk.

Exit status: 0 ok, 1 a check failed or the firmware did, 2 usage, a bad file or a runtime that is missing, 3 a port that cannot
be opened, 130 interrupted, by Ctrl-C or by SIGTERM alike: links and temporary folders go, what was recorded stays. The group `cli` is also `thecal sim` (entry point group thecal.commands).
"""
from __future__ import annotations

import functools
import json
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from . import bench as bench_room
from . import cli_bench, cli_control, cli_evidence, cli_faults, cli_field, cli_link, cli_physics, cli_requirements, report
from . import endpoints
from . import session as sessions
from .capture import CaptureError
from .cli_options import exec_words, firmware_options, source_option
from .impairment import SENDERS, LineError
from .player import play
from .recorder import Recorder
from .runner import FirmwareError, RuntimeMissing, StoreInvalid, check_store
from .scenario import Scenario, ScenarioError, ThecalError, load_scenario, new_world, world_for
from .staging import StagingError
from .world import RUNTIMES, World

FAILED, USAGE, NO_CONNECTION, INTERRUPTED = 1, 2, 3, 130
LIVE_SCENARIO = "baclofen-b1"       # what serve serves unless told otherwise: the pump of README's script
SHELF = "none"
DAY_S = 86_400
NOT_A_DEVICE = "Simulated; not a medical device."


def declared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Every declared failure becomes one sentence on stderr and its exit status."""
    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (ScenarioError, RuntimeMissing, StagingError, StoreInvalid, LineError, CaptureError) as error:
            _leave(str(error), USAGE)
        except FirmwareError as error:
            _leave(str(error), FAILED)
        except ThecalError as error:
            _leave(str(error), error.exit_status)
        except OSError as error:
            _leave(str(error), USAGE)
    return guarded


def _leave(sentence: str, status: int) -> None:
    click.echo("thecal-sim: " + sentence, err=True)
    click.get_current_context().exit(status)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="thecal", prog_name="thecal-sim")
def cli() -> None:
    """An implanted pump and its patient in virtual time. Not a medical device."""
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)     # ended by a supervisor: as clean as by hand
        click.get_current_context().call_on_close(lambda: signal.signal(signal.SIGTERM, before))


def runtime_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose whose firmware runs, on what, with which seed and line."""
    for option in (
        click.option("--line", metavar="SPEC", help="A bad serial line, e.g. loss=0.3,replay=0.5,ber=1e-6,delay=20ms (hw_sim/impairment.py)."),
        click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Of noise and patient; the scenario's own unless given."),
    ):
        command = option(command)
    return firmware_options(command)


# ------------------------------------------------------------------------------------------------ run

@cli.command()
@click.argument("scenario", metavar="SCENARIO.toml|NAME")
@runtime_options
@source_option
@click.option("--out", "out_dir", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write samples, events, pins and report.html here.")
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Virtual seconds a second  [default: as fast as it goes].")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@declared
def run(scenario: str, runtime: str, firmware_dir: Path | None, exec_cmd: str | None, seed: int | None, line: str | None, source_dir: Path | None,
        out_dir: Path | None, speed: float | None, as_json: bool, quiet: bool) -> None:
    """Play a scenario to its end and judge it: verdict, expectations, report."""
    loaded = load_scenario(scenario)
    if seed is not None:
        loaded = replace(loaded, seed=seed)
    words = ["thecal-sim", "run", scenario, "--runtime", runtime, "--seed", str(loaded.seed)]
    words += (["--firmware", str(firmware_dir)] if firmware_dir else []) + (["--exec", exec_cmd] if exec_cmd else [])
    words += ["--line", line] if line is not None else []
    words += ["--thecal-firmware", str(source_dir)] if source_dir else []
    try:
        recorder = Recorder(out_dir, sample_s=loaded.sample_s)
    except OSError as error:
        raise ScenarioError("--out %s cannot be written: %s" % (out_dir, error.strerror)) from error
    world = _opened(lambda: new_world(
        loaded, runtime=runtime, recorder=recorder, firmware_dir=firmware_dir, exec_cmd=exec_words(exec_cmd), line=line,
        source_dir=source_dir), recorder)
    with _bar(loaded.title, quiet) as progress:
        result = play(loaded, world, speed=speed, progress=progress, repeat=shlex.join(words), out=out_dir)
    interrupted, failure = result.pop("interrupted"), result.pop("failure")
    page = report.write(result, out_dir) if out_dir else None
    del result["days"]
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        _show(result, page)
    for sentence in filter(None, (interrupted, failure)):
        click.echo("thecal-sim: " + sentence, err=True)
    if result["verdict"] != "pass":
        click.get_current_context().exit(INTERRUPTED if interrupted else FAILED)


def _opened(build: Callable[[], World], recorder: Recorder | None = None) -> World:
    try:
        return build()
    except BaseException:
        if recorder:
            recorder.close()
        raise


def _show(result: dict[str, Any], page: Path | None) -> None:
    """The result for people, on stdout."""
    version = result["firmware"]["version"]
    click.echo("%s on %s%s: %s" % (result["verdict"].upper(), result["runtime"], ", firmware " + version if version else "", result["title"]))
    table = Table("", "expectation", "found", "bound", "", box=None, pad_edge=False)
    marks = {True: "ok", False: "NOT MET", None: "n/a"}
    for row in result["expectations"]:
        value = row["value"]
        shown = "" if value is None else "%.6g" % value if isinstance(value, (int, float)) else str(value)
        table.add_row(*(str(cell).replace("[", "\\[") for cell in (marks[row["ok"]], row["name"], shown, row["bound"], row["unit"])))
    _console(sys.stdout).print(table)
    if result["story"]:
        click.echo("\nfield action, %(when)s\n  the real device: %(real)s\n  here: %(ours)s\n" % result["story"])
    told = [("demanded", "demanded_nl"), ("ordered", "ordered_nl"), ("delivered", "delivered_nl"), ("missed", "missed_nl")]
    click.echo(", ".join("%s %.6f mL" % (name, result[key] / 1e6) for name, key in told if result[key] is not None))
    for alarm in result["alarms"]:
        ended = "standing" if alarm["cleared_s"] is None else "to day %.3f" % (alarm["cleared_s"] / DAY_S)
        click.echo("alarm %d %s from day %.3f %s" % (alarm["code"], alarm["name"], alarm["raised_s"] / DAY_S, ended))
    for fault in result["faults"]:
        ends = ["not fired" if fault["fired_s"] is None else "fired day %.3f" % (fault["fired_s"] / DAY_S)]
        ends += [] if fault["cleared_s"] is None else ["over day %.3f" % (fault["cleared_s"] / DAY_S)]
        value = "" if fault["value"] is True else " %s" % fault["value"]
        click.echo("fault %s%s from day %.3f: %s" % (fault["name"], value, fault["set_s"] / DAY_S, ", ".join(ends)))
    if result["line"]["spec"] is not None:
        click.echo("line: " + line_text(result["line"]))
    for note in result["notes"]:
        click.echo("note: " + note)
    click.echo("%.4g days in %.1f s, %d wakes, %d pulses, trace %s" % (
        result["virtual_s"] / DAY_S, result["wall_s"], result["wakes"], result["pulses"], result["trace_hash"]))
    click.echo("repeat: " + result["repeat"])
    if page:
        click.echo("report: %s" % page)
    click.echo(NOT_A_DEVICE)


def line_text(counters: dict[str, Any]) -> str:
    """What a bad line did, in one line."""
    told = ["%s %d bytes" % (way, counters["bytes_to_" + way]) for way in ("pump", "host")]
    for sender in SENDERS:
        hurt = ["%d %s" % (count, name.replace("_", " ")) for name, count in counters.get(sender, {}).items() if count]
        told += ["from the %s %s" % (sender, ", ".join(hurt))] if hurt else []
    lost = ["%d bytes overran the ring" % counters["overruns"]] + (["%d found no room to be sent" % counters["unsent"]] if counters["unsent"] else [])
    return "; ".join(["to the " + told[0], "to the " + told[1], *told[2:], *lost])


def _console(stream: Any) -> Console:
    return Console(file=stream, width=None if stream.isatty() else 160, highlight=False)


@contextmanager
def _bar(title: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr, drawn on a terminal only."""
    terminal = _console(sys.stderr)
    if quiet or not terminal.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("day {task.fields[day]:.0f} of {task.fields[days]:.0f}"), TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True) as progress:
        task = progress.add_task(title, total=None, day=0.0, days=0.0)
        yield lambda done, total: progress.update(task, completed=done, total=total, day=done / DAY_S, days=total / DAY_S)


# ------------------------------------------------------------------------------------------------ serve, replay

@cli.command()
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True, help="Virtual seconds a second.")
@click.option("--tcp", metavar="PORT", type=click.IntRange(0, 65535), help="Listen on 127.0.0.1:PORT (0: any that is free).")
@click.option("--pty", metavar="LINK", type=click.Path(path_type=Path), help="Make a pseudo-terminal and a link to it.")
@runtime_options
@click.option("--scenario", default=LIVE_SCENARIO, show_default=True, metavar="FILE|NAME",
              help="Its pump, set up as on the day of the implant; '%s' is a pump on the shelf." % SHELF)
@click.option("--store", "store_path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Keep the pump's memory in FILE.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="End after so many virtual seconds  [default: at Ctrl-C].")
@click.option("--magnet", "magnet_s", metavar="SECONDS", type=click.FloatRange(min=0), default=0.0,
              help="Hold a magnet to the pump for the first SECONDS (virtual): pairing and the emergency card need it.")
@click.option("--control", metavar="PORT", type=click.IntRange(0, 65535), help="Take commands at 127.0.0.1:PORT (0: any that is free), for "
              "`thecal-sim fault`; a terminal takes them typed without.")
@click.option("--record", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Record the session for `thecal-sim replay`.")
@declared
def serve(speed: float, tcp: int | None, pty: Path | None, runtime: str, firmware_dir: Path | None, exec_cmd: str | None, seed: int | None,
          line: str | None, scenario: str, store_path: Path | None, seconds: float | None, magnet_s: float, control: int | None, record: Path | None) -> None:
    """A live pump on TCP or a pseudo-terminal, paced against the wall clock."""
    if tcp is None and pty is None:
        raise click.UsageError("nothing to serve on: give --tcp PORT, --pty LINK or both")
    loaded = _scenario_or_shelf(scenario)
    header = {"scenario": scenario, "runtime": runtime, "seed": seed, "firmware": str(firmware_dir) if firmware_dir else None, "exec": exec_cmd,
              "line": line, "magnet_s": magnet_s,
              "store": sessions.packed_store(check_store(store_path))}
    world = world_for(loaded, runtime=runtime, seed=seed, firmware_dir=firmware_dir, exec_cmd=exec_words(exec_cmd), store_path=store_path, line=line)
    with world:
        _hold_magnet(world, magnet_s)
        try:
            server = endpoints.Server(world, speed=speed, tcp=tcp, pty=pty, record=record, header=header, control=control,
                                      terminal=sys.stdin if sys.stdin is not None and sys.stdin.isatty() else None)
        except OSError as error:
            return _leave(error.strerror or str(error), NO_CONNECTION)
        try:
            ways = (["socket://127.0.0.1:%s" % server.tcp_port] if tcp is not None else []) + ([str(pty)] if pty else [])
            ways += ["commands on port %s" % server.control_port] if control is not None else []
            click.echo("%s at %gx on %s; Ctrl-C ends" % (loaded.title if loaded else "a pump on the shelf", speed, " and ".join(ways)), err=True)
            server.run(seconds)
        except KeyboardInterrupt:
            click.get_current_context().exit(INTERRUPTED)
        finally:
            server.close()
            told, cost_mj = line_text(world.line.counters()), world.truth()["listening_mj"]
            click.echo("line: %s; with every wake it cost the battery %.3g mJ" % (told, cost_mj), err=True)
    return None


def _hold_magnet(world: World, seconds: float) -> None:
    if seconds:
        world.magnet(True)
        world.at(world.now_us + round(seconds * 1e6), lambda: world.magnet(False))


def _scenario_or_shelf(name: str) -> Scenario | None:
    return None if name == SHELF else load_scenario(name)


@cli.command()
@click.argument("session", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@declared
def replay(session: Path, as_json: bool) -> None:
    """Run a recorded session again: its trace hash must come out the same."""
    with tempfile.TemporaryDirectory(prefix="thecal-") as folder:
        try:
            header = sessions.read_header(session)
            memory, firmware = sessions.unpacked_store(header.get("store")), header.get("firmware")
            store_path = Path(folder) / "fram.bin" if memory is not None else None
            if store_path is not None and memory is not None:
                store_path.write_bytes(memory)
            with world_for(_scenario_or_shelf(header.get("scenario", SHELF)), runtime=header.get("runtime", RUNTIMES[0]), seed=header.get("seed"),
                           firmware_dir=Path(firmware) if firmware else None, exec_cmd=exec_words(header.get("exec")), store_path=store_path,
                           line=header.get("line")) as world:
                _hold_magnet(world, float(header.get("magnet_s", 0.0)))
                recorded, found = sessions.replay(world, session)
                virtual_s = world.now_us / 1e6
        except (ValueError, AttributeError) as error:
            raise ScenarioError("%s cannot be replayed: %s" % (session, error)) from error
    same = recorded == found
    if as_json:
        click.echo(json.dumps({"schema": "thecal.replay/1", "ok": same, "recorded": recorded, "trace_hash": found, "virtual_s": virtual_s}, indent=2))
    else:
        click.echo("%s: recorded %s, replayed %s over %.6g virtual seconds" % ("same" if same else "DIFFERENT", recorded, found, virtual_s))
    if not same:
        click.get_current_context().exit(FAILED)


# ------------------------------------------------------------------------------------------------ bench

@cli.group()
def bench() -> None:
    """Measure against the bars of DESIGN 11."""


@bench.command("speed")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--out", "out_dir", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write bench-speed.json here.")
@declared
def bench_speed(as_json: bool, out_dir: Path | None) -> None:
    """Wall time of simulated therapy: 180 days, 24 mL/day, a 100 Hz loop."""
    found = bench_room.speed(lambda text: click.echo(text + " ...", err=True))
    if not cli_link.keep_or_print(found, as_json, out_dir):
        table = Table("", "bar", "found", "bar", "unit", "wakes", "us a wake", "peak KiB", box=None, pad_edge=False)
        for row in found["bars"]:
            table.add_row("ok" if row["ok"] else "MISSED", row["name"], "%.6g" % row["value"], "%g" % row["bar"], row["unit"],
                          str(row.get("wakes", "")), str(row.get("us_per_wake", "")), str(row.get("child_peak_kib") or ""))
        _console(sys.stdout).print(table)
        click.echo("bare exchange %(bare_exchange_us)s us, pinned to one core: %(pinned)s, this process at most %(host_peak_kib)s KiB, "
                   "Python %(python)s" % found)
    if not all(row["ok"] for row in found["bars"]):
        click.get_current_context().exit(FAILED)


cli_link.add_to(cli, bench)
cli_physics.add_to(cli)
cli_bench.add_to(bench)
cli_requirements.add_to(cli)
cli_control.add_to(cli)
cli_faults.add_to(cli)
cli_field.add_to(cli)
cli_evidence.add_to(cli)


def main() -> None:
    """Entry point of `thecal-sim`."""
    try:
        status = cli.main(prog_name="thecal-sim", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        status = INTERRUPTED
    sys.exit(status if isinstance(status, int) else 0)
