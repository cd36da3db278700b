"""What commands share: JSON and tables to stdout, bars to stderr and only on a terminal."""

import json

from thecal.host import terminal


def test_json_is_one_object_with_its_schema(capsys):
    terminal.emit_json("thecal.x/1", {"a": 1})
    assert json.loads(capsys.readouterr().out) == {"schema": "thecal.x/1", "a": 1}


def test_tables_keep_brackets_and_do_not_fold(capsys):
    terminal.show_table(("a", "b"), [("x [y]", "w" * 100)], title="title")
    out = capsys.readouterr().out
    assert "x [y]" in out and "w" * 100 in out and "title" in out
    terminal.show_table(("a",), [("talk",)], stderr=True)
    assert "talk" in capsys.readouterr().err


def test_no_bar_without_a_terminal(capsys):
    with terminal.bar("working") as progress:
        progress(1, 2)
    said = capsys.readouterr()
    assert said.out == "" and "working" not in said.err


def test_a_session_opens_its_port(capsys):
    session = terminal.Session("toy://", 2.0, lambda url, timeout_s, role, notice: (url, timeout_s, role, notice), role="service")
    assert session.pump() == ("toy://", 2.0, "service", terminal.notice)
    terminal.notice("to know")
    assert capsys.readouterr().err == "thecal: to know\n"
    assert "sim" in terminal.announced_commands()
