"""The diagram of modes: every cell that changes the mode is an edge, and PROTOCOL.md shows what runs."""

import pytest
from click.testing import CliRunner
from thecal.firmware import modes
from thecal.hw_sim import mode_diagram
from thecal.protocol import catalogue as cat


@pytest.mark.req("TH-MODE-03")
def test_the_page_shows_the_table_that_runs():
    text = mode_diagram.PAGE.read_text(encoding="utf-8")
    assert mode_diagram.rewrite(text) == text, "run 'make docs'"


def test_every_cell_that_changes_the_mode_is_an_edge():
    drawn = mode_diagram.mermaid()
    for mode in range(len(cat.MODES)):
        for event in range(1, modes.EVENTS + 1):
            target = modes.leads_to(mode, event)
            lines = [line for line in drawn.splitlines() if line.startswith(f"    {cat.MODES[mode]} --> ")]
            labels = [line.split(": ")[1].split(", ") for line in lines if target not in (modes.REFUSE, mode) and f"--> {cat.MODES[target]}:" in line]
            assert (target in (modes.REFUSE, mode)) or mode_diagram.event_name(event) in labels[0], (mode, event)


def test_each_mode_is_drawn_and_the_bridge_has_its_way_in():
    drawn = mode_diagram.mermaid()
    assert all(f" {name}" in drawn for name in cat.MODES)
    assert "running --> bridging: program with a bridge" in drawn


def test_a_page_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="modes-diagram"):
        mode_diagram.rewrite("no marks")


def test_the_command_leaves_a_page_that_is_up_to_date_as_it_is(tmp_path, monkeypatch):
    page = tmp_path / "PROTOCOL.md"
    page.write_text("a\n" + mode_diagram.BEGIN + mode_diagram.END + "\nb\n", encoding="utf-8")
    monkeypatch.setattr(mode_diagram, "PAGE", page)
    assert CliRunner().invoke(mode_diagram.main).exit_code == 0
    written = page.read_text(encoding="utf-8")
    assert written.startswith("a\n") and written.endswith("\nb\n") and "stateDiagram" in written
    page.write_text("nothing", encoding="utf-8")
    assert CliRunner().invoke(mode_diagram.main).exit_code == 1
