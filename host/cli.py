"""`thecal`: the command line of the programmer. stdout is data, stderr is talk; `--json` prints one object with `schema`.

Exit status: 0 ok, 1 refused or failed check, 2 usage, 3 no connection, 4 timeout, 5 protocol or version error, 130 interrupted. Commands
of other rooms come in by the entry point group `thecal.commands`. Here are the group and the reading commands; what changes therapy is in
cli_therapy.py.
"""

from __future__ import annotations

import json
import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, Sequence

import click

from . import cli_access, cli_life, cli_scripts, cli_therapy, cli_verify, cli_visit, present, raw, report, screen, transport, units
from . import doctor as doctor_room
from .errors import KeyProblem, PumpRefused, RequestInvalid, SessionLost, ThecalError, UsageProblem
from .keystore import ROLE_NAMES, Keystore
from .programmer import Programmer
from .records import AlarmState, Event
from .terminal import Session, bar, emit_json, host_time_s, json_option, notice, show_table

INTERRUPTED = 130
NOT_KNOWN = "not known: nothing is programmed"


class Rooms(click.Group):
    """The group: our own commands and those that other rooms announce, loaded only when they are asked for."""

    def _announced(self, ctx: click.Context) -> dict[str, Any]:
        session = ctx.obj if isinstance(ctx.obj, Session) else Session()
        return session.plugins()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(set(super().list_commands(ctx)) | set(self._announced(ctx)))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        own = super().get_command(ctx, name)
        entry = self._announced(ctx).get(name)
        if own is not None or entry is None:
            return own
        try:
            return entry.load()
        except (ImportError, AttributeError) as error:
            return _missing_command(name, error)


def _missing_command(name: str, error: Exception) -> click.Command:
    """Stands in for a command whose room cannot be loaded: it is listed, and says why it does not run."""
    reason = "command %r cannot be loaded: %s" % (name, error)

    def refuse() -> None:
        raise UsageProblem(reason)

    return click.Command(name, callback=refuse, help="(not available: %s)" % error)


@click.group(cls=Rooms, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", metavar="URL", help="Port of the pump: /dev/ttyACM0, socket://host:port, sim://...  [default: $%s]" % transport.ENVIRONMENT)
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), default=5.0, show_default=True, help="Seconds to wait for each answer.")
@click.option("--role", type=click.Choice(ROLE_NAMES), default=ROLE_NAMES[0], show_default=True, help="Whose key to use.")
@click.version_option(package_name="thecal", prog_name="thecal")
@click.pass_context
def cli(ctx: click.Context, port: str | None, timeout_s: float, role: str) -> None:
    """thecal: the clinician's programmer of an open intrathecal pump. Not a medical device.

    Keys are in $THECAL_KEYS (default ~/.config/thecal/keys.json, for your eyes only), or one key in $THECAL_KEY, in hexadecimal; see
    `thecal pair` and `thecal keys`. A pump that was never paired answers to a public key, and is said to.
    """
    ctx.obj = ctx.obj if isinstance(ctx.obj, Session) else Session()
    ctx.obj.url = port or ctx.obj.url
    ctx.obj.timeout_s = timeout_s
    ctx.obj.role = role


@cli.command()
@json_option
@click.pass_obj
def status(session: Session, as_json: bool) -> None:
    """What the pump does now."""
    with session.pump() as pump:
        identity, now = pump.identity(), pump.status()
        seen = report.collect(pump, host_time_s(pump), recent=True) if pump.role != "patient" else None     # files are for clinician and service
        shelf, line = pump.on_shelf_key, pump.line_counts()
    state = seen["state"] if seen else present.state_text(now, None)
    if as_json:
        return emit_json("thecal.status/1", {
            **{name: value for name, value in (seen or {}).items() if name not in ("schema", "events", "delivered")},
            "identity": identity.to_dict(), "state": state, "status": now.to_dict(), "program": seen["program"] if seen else None,
            "access": {"role": pump.role, "on_shelf_key": shelf, "paired": identity.paired, "forgeries": now.forgeries, "locked_s": now.locked_s,
                       "wasted_mj": now.wasted_mj},
            "line": line.to_dict()})
    rows = screen.rows(seen) if seen else [
        ("alarms", "; ".join("%d %s (%s)" % (a.row, a.name, a.action) for a in now.alarms) or "none active"), ("state", state),
        ("reservoir", present.reservoir_text(now)), ("battery", "%d mV" % now.battery_mv), ("pump clock", units.pump_time_text(now.time_s))]
    rows += [
        ("lasts", NOT_KNOWN if now.low_reservoir_days is None else "%d d above the residual" % now.low_reservoir_days),
        ("ordered", "%s mL in %d pulses" % (units.decimal_text(now.ordered_nl / 10**6, 6), now.pulses)),
        ("missed", "%s mL" % units.decimal_text(Fraction(now.missed_total_nl, 10**6), 6)),
        *([("calibration", present.calibration_text(now))] if now.calibration else []),
        ("access", present.access_text(pump.role, shelf, identity, now)),
        ("pump", "serial %d, firmware %s on %s" % (identity.serial, identity.firmware_version, identity.runtime)),
        *([("line", line.text())] if line.text() else []),
    ]
    return show_table(("", ""), rows)


@cli.command("alarms")
@json_option
@click.pass_obj
def alarms_command(session: Session, as_json: bool) -> None:
    """Active and latched alarms; readable by anyone (without a key nothing proves that they are the pump's)."""
    with session.pump() as pump:
        seen = _alarms(pump)
    if as_json:
        return emit_json("thecal.alarms/1", {
            "active": [a.to_dict() for a in seen.active], "latched": [a.to_dict() for a in seen.latched], "first": seen.first, "sealed": seen.sealed})
    if not seen.active and not seen.latched:
        click.echo("no alarm")
        return None
    active = {alarm.row for alarm in seen.active}
    rows = [(str(a.row), a.name, str(a.priority), "active" if a.row in active else "latched", a.action, a.ends) for a in seen.latched]
    show_table(("row", "alarm", "priority", "", "delivery", "ends"), rows)
    return None


def _alarms(pump: Programmer) -> AlarmState:
    """In a session where we may have one, else as anyone may read them."""
    try:
        now = pump.status()
        return AlarmState(now.alarms, now.latched, now.first_alarm, True)
    except (KeyProblem, PumpRefused, SessionLost) as error:
        notice("alarms read without a session, so nothing proves that they are the pump's: %s" % error)
        return pump.alarm_state()


@cli.command()
@click.option("--since", type=click.IntRange(min=0), default=0, help="First event number.")
@json_option
@click.pass_obj
def log(session: Session, since: int, as_json: bool) -> None:
    """The pump's event log."""
    with session.pump() as pump, bar("reading the log") as progress:
        events = pump.log(since, progress)
    if as_json:
        return emit_json("thecal.log/1", {"since": since, "events": [event.to_dict() for event in events]})
    return show_table(("event", "time", "", ""), [_event_row(event) for event in events])


def _event_row(event: Event) -> tuple[str, str, str, str]:
    return str(event.seq), units.pump_time_text(event.time_s), event.name, event.text


@cli.command()
@json_option
@click.pass_obj
def history(session: Session, as_json: bool) -> None:
    """Daily totals of closed days."""
    with session.pump() as pump, bar("reading the history") as progress:
        days = [day.to_dict() for day in pump.history(progress)]
    if as_json:
        return emit_json("thecal.history/1", {"days": days})
    return show_table(("date", "pulses", "ordered nL", "missed nL", "sensed mL", "alarms"), [
        (day["date"], day["pulses"], day["ordered_nl"], day["missed_nl"], units.decimal_text(Fraction(day["sensed_nl"], 10**6), 3),
         ", ".join(str(alarm["code"]) for alarm in day["alarms"]) or "-") for day in days])


@cli.command(context_settings={"ignore_unknown_options": True})     # '-5 min' is a bad duration, not an option
@click.argument("duration")
@json_option
@click.pass_obj
def wait(session: Session, duration: str, as_json: bool) -> None:
    """Wait on the pump's own clock, e.g. '6 h' or '3 d 01:00'."""
    seconds = units.duration_s(duration, "duration")
    with session.pump() as pump, bar("waiting %s of pump time" % duration) as progress:
        now = pump.wait(seconds=seconds, progress=progress)
    if as_json:
        return emit_json("thecal.wait/1", {"waited_s": seconds, "status": now.to_dict()})
    return click.echo("pump clock %s, %s" % (units.pump_time_text(now.time_s), now.mode))


@cli.command()
@click.option("--every", default="1 min", show_default=True, help="Pump time between two lines.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many lines  [default: until Ctrl-C].")
@click.option("--raw", "as_frames", is_flag=True, help="Show every frame of the line, both ways, field by field.")
@click.option("--save", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="With --raw: write a capture for `thecal decode` too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def watch(session: Session, every: str, count: int | None, as_frames: bool, save: Path | None, as_json: bool) -> None:
    """Follow the pump's pushed telemetry."""
    interval_s = units.duration_s(every, "--every")
    if not 1 <= interval_s <= 3600:
        raise RequestInvalid("--every %r must be 1 s .. 1 h" % every, "every")
    if save and not as_frames:
        raise UsageProblem("--save %s is for --raw: there is nothing else to capture" % save)
    with raw.Saver(save) as saver, session.pump() as pump:
        if as_frames:
            _tap(pump, saver, as_json)
        frames = pump.watch(interval_s)
        try:
            for number, frame in enumerate(frames, 1):
                if as_json and not as_frames:
                    click.echo(json.dumps({"schema": "thecal.watch/1", **frame.to_dict()}))
                elif not as_frames:
                    click.echo("%s  %-8s %s  pulses %d  reservoir %s mL  alarms %s" % (
                        units.pump_time_text(frame.time_s), frame.mode, present.show_flow(frame.rate_nl_day), frame.pulses,
                        units.decimal_text(Fraction(frame.reservoir_computed_nl, 10**6), 3), ",".join(str(a.row) for a in frame.alarms) or "none"))
                if number == count:
                    break
        finally:
            frames.close()
        if pump.telemetry_gaps:
            click.echo("%d frames were lost on the line" % pump.telemetry_gaps, err=True)


def _tap(pump: Programmer, saver: raw.Saver, as_json: bool) -> None:
    """From now on every frame of the line on stdout, and in the capture."""
    listener = raw.Listener(pump.keys.listening_key)

    def heard(t_us: int, sender: str, data: bytes) -> None:
        saver.add(t_us, sender, data)
        for seen in listener.hear(t_us, sender, data):
            _show_frame(seen, as_json)

    pump.tap(lambda port: raw.TapPort(port, heard, pump.clock.now_s))


def _show_frame(seen: raw.Seen, as_json: bool) -> None:
    click.echo(json.dumps({"schema": raw.FRAME_SCHEMA, **seen.to_dict()}) if as_json else seen.text())


@cli.command("decode")
@click.argument("capture", metavar="CAPTURE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--sent", "as_sent", is_flag=True, help="As the frames were sent, not as a bad line delivered them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def decode_command(capture: Path, as_sent: bool, as_json: bool) -> None:
    """Read a capture of the line: every frame by name, its fields with units, damage with its reason."""
    good = bad = 0
    for seen in raw.decode(capture, Keystore.from_environment().listening_key, as_sent):
        _show_frame(seen, as_json)
        good, bad = good + (not seen.trouble), bad + bool(seen.trouble)
    click.echo("%d frames, %d of them in trouble" % (good + bad, bad), err=True)


@cli.command("report")
@click.option("--since", type=click.IntRange(min=0), help="First event number to list  [default: the last committed program].")
@json_option
@click.pass_obj
def report_command(session: Session, since: int | None, as_json: bool) -> None:
    """The visit report, to file and sign."""
    with session.pump() as pump, bar("reading the pump") as progress:
        visit = report.collect(pump, host_time_s(pump), since, progress)
    click.echo(json.dumps(visit, indent=2) if as_json else report.as_text(visit))


@cli.command("doctor")
@json_option
def doctor_command(as_json: bool) -> None:
    """What is there on this computer and what is missing."""
    findings = doctor_room.examine()
    if as_json:
        emit_json(doctor_room.SCHEMA, {"findings": [finding.to_dict() for finding in findings]})
    else:
        show_table(("", "", "", ""), [
            ("ok" if f.ok else ("MISSING" if f.needed else "missing"), f.name, f.found, "" if f.ok else f.advice) for f in findings])
    if any(finding.needed and not finding.ok for finding in findings):
        click.get_current_context().exit(1)


def run(args: Sequence[str] | None = None, session: Session | None = None) -> int:
    """Run one command line and return its exit status; declared failures are told in one sentence on stderr."""
    try:
        result = cli.main(args=list(args) if args is not None else None, prog_name="thecal", standalone_mode=False, obj=session)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return 0
    except Exception as error:
        status_of = getattr(error, "exit_status", None)     # other rooms' declared failures carry one too
        if not isinstance(error, ThecalError) and not isinstance(status_of, int):
            raise
        click.echo("thecal: %s" % error, err=True)
        return int(status_of or 1)


def silence_stdout() -> None:
    """The reader (head, less) has gone: nothing is left to say, and the interpreter must not try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Entry point of `thecal` and `python -m thecal`."""
    sys.exit(run())


cli_therapy.add_to(cli)
cli_life.add_to(cli)
cli_visit.add_to(cli)
cli_verify.add_to(cli)
cli_scripts.add_to(cli)
cli_access.add_to(cli)
