"""The command line: data on stdout, talk on stderr, exit statuses of DESIGN 13."""

import json

import pytest
from fake_pump import FakeClock, FakePump, day, event

from thecal.host import Implant, Prescription, cli
from thecal.host.errors import NoConnection, ProtocolProblem, Timeout
from thecal.host.programmer import Programmer
from thecal.host.terminal import Session
from thecal.protocol import catalogue as cat


@pytest.fixture
def therapy(fake):
    pump = Programmer(fake)
    pump.commission(Implant())
    pump.program(Prescription.simple("baclofen", concentration="500 ug/mL", dose="150 ug/day"))
    fake.status_fields = {"rate_nl_day": 300_000}
    return fake


def session_on(fake, **more):
    return Session("toy://", open_pump=lambda url, timeout_s, **who: Programmer(fake, timeout_s=timeout_s, name=url, **who), **more)


def run(fake, *args):
    return cli.run(args, session_on(fake))


@pytest.mark.parametrize("command, schema", [
    (["status"], "thecal.status/1"), (["alarms"], "thecal.alarms/1"), (["log"], "thecal.log/1"), (["history"], "thecal.history/1"),
    (["wait", "2 h"], "thecal.wait/1"), (["report"], "thecal.report/1"), (["watch", "--count", "1"], "thecal.watch/1"),
])
def test_each_reading_command_prints_one_json_object(therapy, capsys, command, schema):
    therapy.days = [day(0, 5)]
    assert run(therapy, *command, "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["schema"] == schema and said.err == ""
    assert therapy.closed


def test_status_in_words(therapy, capsys):
    assert run(therapy, "status") == 0
    out = capsys.readouterr().out
    assert "delivering 150 ug/day baclofen (0.3 mL/day now), simple continuous" in out and "baclofen 500 ug/mL" in out
    assert "none" in out and "2026-01-05 09:00" in out and "serial 1001" in out


def test_log_and_history_in_words(therapy, capsys):
    therapy.first_event, therapy.events = 10, [event(10, 0, cat.E_GAP, 0, 60, 1000)]
    therapy.first_day, therapy.days = 735, [day(735, 5, 5000, 1, 18_000, 1 << 18)]
    assert run(therapy, "log", "--since", "5") == 0
    assert "stop for 1 min, 0.001 mL missed" in capsys.readouterr().out
    assert run(therapy, "history") == 0
    assert "2026-01-05" in capsys.readouterr().out


def test_alarms_in_words(therapy, capsys):
    assert run(therapy, "alarms") == 0
    assert capsys.readouterr().out == "no alarm\n"
    therapy.status_fields = {"alarms": 1 << 6, "latched": 1 << 6 | 1 << 18}
    assert run(therapy, "alarms") == 0
    out = capsys.readouterr().out
    assert "motor stall" in out and "active" in out and "low reservoir" in out and "latched" in out


def test_waiting_in_words(therapy, capsys):
    assert run(therapy, "wait", "1 d") == 0
    assert capsys.readouterr().out == "pump clock 2026-01-06 09:00:00, running\n"


def test_watching_in_words(therapy, capsys):
    assert run(therapy, "watch", "--every", "30 s", "--count", "2") == 0
    assert capsys.readouterr().out.count("reservoir 18 mL  alarms none") == 2 and therapy.live_s == 0


def test_watching_the_line_frame_by_frame(therapy, capsys, tmp_path):
    assert run(therapy, "watch", "--raw", "--every", "30 s", "--count", "1", "--save", str(tmp_path / "c.jsonl")) == 0
    shown = capsys.readouterr().out
    assert "live_frame " in shown and "interval_s 30 s" in shown and "mode 2 (running)" in shown and "!!" not in shown
    assert run(therapy, "decode", str(tmp_path / "c.jsonl")) == 0
    again = capsys.readouterr()
    assert again.out == shown and again.err.endswith(" frames, 0 of them in trouble\n")
    assert run(therapy, "watch", "--raw", "--count", "1", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["schema"] for row in rows} == {"thecal.frame/1"} and "live_frame" in {row["message"] for row in rows}


@pytest.mark.req("TH-BAD-03")
@pytest.mark.parametrize("args, status, words", [
    (["watch", "--save", "x"], 2, "--save x is for --raw"),
    (["decode", "no-such-file"], 2, "'no-such-file' does not exist"),
    (["wait", "6"], 1, "duration '6' is not a duration"), (["wait", "-5 min"], 1, "duration '-5 min' is negative"),
    (["--role", "patient", "stop", "--yes"], 1, "a patient's session sees the pump's status and alarms and asks for a bolus"),
    (["watch", "--every", "2 h"], 1, "must be 1 s .. 1 h"),
    (["log", "--since", "-1"], 2, "--since"),
    (["nonsense"], 2, "No such command"),
    (["--timeout", "0", "status"], 2, "--timeout"),
])
def test_bad_input_is_one_sentence(therapy, capsys, args, status, words):
    assert run(therapy, *args) == status
    said = capsys.readouterr()
    assert words in said.err and said.out == ""


@pytest.mark.parametrize("error, status", [(NoConnection("gone"), 3), (Timeout("late"), 4), (ProtocolProblem("odd"), 5)])
def test_failures_have_their_exit_status(capsys, error, status):
    def fail(url, timeout_s, **who):
        raise error
    assert cli.run(["status"], Session("toy://", open_pump=fail)) == status
    assert capsys.readouterr().err == "thecal: %s\n" % error


def test_ctrl_c_is_130_and_other_rooms_failures_keep_theirs(capsys):
    class StagingError(RuntimeError):
        exit_status = 1

    for error, status in ((KeyboardInterrupt(), 130), (StagingError("no mpy-cross"), 1)):
        def fail(url, timeout_s, error=error, **who):
            raise error
        assert cli.run(["status"], Session("toy://", open_pump=fail)) == status
    assert capsys.readouterr().err.split("\n")[-3:] == ["interrupted", "thecal: no mpy-cross", ""]
    with pytest.raises(ZeroDivisionError):
        cli.run(["status"], Session("toy://", open_pump=lambda url, timeout_s, **who: 1 // 0))


def test_no_port_is_a_usage_problem(capsys, monkeypatch):
    monkeypatch.delenv("THECAL_PORT", raising=False)
    assert cli.run(["status"]) == 2
    assert "no port given" in capsys.readouterr().err


def test_the_port_option_wins(monkeypatch):
    seen = []

    def opened(url, timeout_s, **who):
        seen.append((url, timeout_s))
        return Programmer(FakePump(FakeClock()), timeout_s=timeout_s)
    assert cli.run(["--port", "a://", "--timeout", "2", "status"], Session(open_pump=opened)) == 0
    monkeypatch.setenv("THECAL_PORT", "b://")
    assert cli.run(["status"], Session(open_pump=opened)) == 0
    assert seen == [("a://", 2.0), ("b://", 5.0)]


class Entry:
    def __init__(self, loaded):
        self.loaded = loaded

    def load(self):
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


def test_commands_of_other_rooms(therapy, capsys):
    import click

    toy = click.Command("toy", callback=lambda: click.get_current_context().exit(7))
    session = session_on(therapy, plugins=lambda: {"toy": Entry(toy), "broken": Entry(ImportError("no room"))})
    assert cli.run(["toy"], session) == 7
    assert cli.run(["--help"], session) == 0
    assert "(not available: no room)" in capsys.readouterr().out
    assert cli.run(["broken"], session) == 2
    assert "command 'broken' cannot be loaded: no room" in capsys.readouterr().err


def test_doctor(capsys, monkeypatch):
    from thecal.host import doctor

    found = [doctor.Finding("Python", True, "3", True), doctor.Finding("node", False, "not found", False, "tests")]
    monkeypatch.setattr(doctor, "examine", lambda: found)
    assert cli.run(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"][1] == {
        "name": "node", "ok": False, "found": "not found", "needed": False, "advice": "tests"}
    found[0] = doctor.Finding("Python", False, "3.9", True, "3.11 or later")
    assert cli.run(["doctor"]) == 1
    assert "MISSING" in capsys.readouterr().out


def test_a_reader_that_leaves_early(therapy, monkeypatch):
    def broken(*_, **__):
        raise BrokenPipeError

    closed = []
    monkeypatch.setattr(cli.click, "echo", broken)
    monkeypatch.setattr(cli, "silence_stdout", lambda: closed.append(True))
    assert run(therapy, "wait", "1 h") == 0 and closed == [True]


def test_main_exits(monkeypatch):
    monkeypatch.setattr(cli.sys, "argv", ["thecal", "--version"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
