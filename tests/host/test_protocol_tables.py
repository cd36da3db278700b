"""PROTOCOL.md shows the catalogue that runs, and says so when a table is unknown or forgotten."""

import pytest
from click.testing import CliRunner

from thecal.host import protocol_tables
from thecal.protocol import catalogue as cat


def page_with(*names):
    return "# Title\n" + "".join(f"<!-- table: {name} -->\nstale words\n<!-- /table -->\nkept words\n" for name in names)


def test_the_page_of_the_repository_is_up_to_date():
    text = protocol_tables.PAGE.read_text(encoding="utf-8")
    assert protocol_tables.rewrite(text) == text, "run 'make docs'"


def test_every_message_field_and_bound_is_shown():
    made = protocol_tables.tables()
    assert f"0x{cat.schema_crc():08X}" in made["schema"]
    for number, name, *_, rows in cat.MESSAGES:
        assert f"| 0x{number:02X} | {name} |" in made["messages"]
        assert f"**{name}** (0x{number:02X})" in made["fields"]
        for field in rows:
            assert f"| {field[0]} |" in made["fields"]
    assert "| volume_nl | u32 | nL | 1,000 | 2,000,000 |" in made["blocks"]
    assert "| digest | bytes[8] |" in made["fields"] and "| data | rest, 1..200 bytes |" in made["fields"]
    assert "| reservoir_computed_nl | i32 | nL | -(2^30 - 1) | 2^30 - 1 |" in made["fields"]


def test_a_table_is_replaced_between_its_marks_and_the_text_stays():
    page = protocol_tables.rewrite(page_with(*protocol_tables.tables()))
    assert "stale words" not in page and page.startswith("# Title\n") and page.count("kept words") == len(protocol_tables.tables())
    assert protocol_tables.rewrite(page) == page


def test_an_unknown_table_is_named():
    with pytest.raises(protocol_tables.PageError, match="asks for a table 'wishes' that is not made"):
        protocol_tables.rewrite(page_with(*protocol_tables.tables(), "wishes"))


def test_a_forgotten_table_is_named():
    with pytest.raises(protocol_tables.PageError, match="does not show the table 'blocks'"):
        protocol_tables.rewrite(page_with(*(name for name in protocol_tables.tables() if name != "blocks")))


def test_the_command_writes_once_and_refuses_a_page_that_lacks_a_table(tmp_path):
    page = tmp_path / "PAGE.md"
    page.write_text(page_with(*protocol_tables.tables()))
    first, second = (CliRunner().invoke(protocol_tables.main, ["--page", str(page)]) for _ in range(2))
    assert "PAGE.md: tables written" in first.stderr and "up to date" in second.stderr
    page.write_text("nothing")
    refused = CliRunner().invoke(protocol_tables.main, ["--page", str(page)])
    assert refused.exit_code == 1 and "does not show the table" in refused.stderr
