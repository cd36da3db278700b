"""`thecal-sim requirements`: the matrix of requirements, code and tests, and what of the published lists does not apply. See cli.py for exit status."""
from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from . import report_page
from .requirements import PASSED, RequirementsError, check_code, load, matrix, read_outcomes

FAILED, USAGE = 1, 2
OUTCOMES = Path("build") / "requirements.json"      # where a run of the whole test suite leaves them: tests/traceability.py


@click.command()
@click.option("--results", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Outcomes of a test run  [default: %s, if it is there]." % OUTCOMES)
@click.option("--out", "out_dir", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write requirements.json and requirements.html here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def requirements(results: Path | None, out_dir: Path | None, as_json: bool) -> None:
    """Each requirement with its published ids, its code, its tests and whether they pass; 1 when one is not proved."""
    context = click.get_current_context()
    source = results or (OUTCOMES if OUTCOMES.is_file() else None)
    try:
        wanted = load()
        check_code(wanted)
        found = matrix(wanted, read_outcomes(source) if source else None)
        if out_dir:
            out_dir.mkdir(parents=True, exist_ok=True)
            (out_dir / "requirements.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            (out_dir / "requirements.html").write_text(page(found), encoding="utf-8")
    except (RequirementsError, OSError) as error:
        click.echo("thecal-sim: %s" % error, err=True)
        context.exit(USAGE)
    if source is None:
        click.echo("no outcomes at %s: `make test` leaves them there" % OUTCOMES, err=True)
    elif not found["whole"]:
        click.echo("%s is of a part of the tests" % source, err=True)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _show(found)
    if not found["ok"]:
        context.exit(FAILED)


def summary(found: dict[str, Any]) -> str:
    """The matrix in one sentence."""
    covered = sum(bool(row["requirements"]) for row in found["published"])
    return "%d of %d requirements are proved by a passing test; of %d published ids %d are covered and %d do not apply to this pump" % (
        found["proved"], found["requirements"], len(found["published"]), covered, len(found["published"]) - covered)


def _show(found: dict[str, Any]) -> None:
    console = Console(width=160, highlight=False, markup=False)
    table = Table("state", "id", "tests", "requirement", "published", "code", box=None, pad_edge=False)
    for row in found["rows"]:
        table.add_row(row["state"], row["id"], _count(row), _told(row), ", ".join(row["published"]), "\n".join(row["code"]))
    console.print(table)
    console.print("\ndoes not apply")
    table = Table("published", "why", box=None, pad_edge=False)
    for entry in found["not_applicable"]:
        table.add_row(", ".join(entry["published"]), entry["reason"])
    console.print(table)
    console.print("\n%s" % summary(found))


def _count(row: dict[str, Any]) -> str:
    return "%d/%d" % (row["passed"], len(row["tests"]))


def _told(row: dict[str, Any]) -> str:
    return row["text"] + (" (%s)" % row["note"] if row["note"] else "")


def page(found: dict[str, Any]) -> str:
    """The matrix as one HTML page: what is not proved first, then all rows, the published ids the other way round, and their documents."""
    open_rows = [row for row in found["rows"] if row["state"] != PASSED]
    parts = ['<header><div class="kind">thecal: an intrathecal pump you can flash, simulate and program</div><h1>Requirements</h1></header>',
             '<div class="card verdict%s"><span class="word">%s</span><p>%s.</p></div>' % (
                 "" if found["ok"] else " fail", "PROVED" if found["ok"] else "OPEN", escape(summary(found)))]
    head = ("state", "id", "tests", "requirement", "hazard", "published", "code")
    if open_rows:
        parts.append(_card("Not proved", head, [_line(row) for row in open_rows]))
    parts.append(_card("All requirements", head, [_line(row) for row in found["rows"]]))
    parts.append(_card("Published ids", ("published", "here", "does not apply because"), [
        "<tr>%s</tr>" % _cells(row["id"], ", ".join(row["requirements"]), row["not_applicable"]) for row in found["published"]]))
    parts.append(_card("Their documents", ("begins with", "document"), [
        "<tr>%s</tr>" % _cells(word, name) for word, name in found["documents"].items()]))
    return report_page.page("thecal: requirements", "\n".join(parts), [], "")


def _line(row: dict[str, Any]) -> str:
    """A requirement as cells; its tests, cases of one test together, fold out of their count."""
    tests = dict.fromkeys(name.partition("[")[0] for name in row["tests"])
    count = "<details><summary>%s</summary>%s</details>" % (_count(row), "<br>".join(map(escape, tests))) if tests else _count(row)
    return '<tr class="%s"><td class="t mark">%s</td><td class="t">%s</td><td>%s</td>%s</tr>' % (
        "ok" if row["state"] == PASSED else "no", row["state"], row["id"], count,
        _cells(_told(row), row["hazard"], ", ".join(row["published"]), ", ".join(row["code"])))


def _cells(*texts: str) -> str:
    return "".join("<td>%s</td>" % escape(text) for text in texts)


def _card(title: str, head: tuple[str, ...], lines: list[str]) -> str:
    return '<section class="card"><h2>%s</h2><div class="scroll"><table><tr>%s</tr>\n%s\n</table></div></section>' % (
        escape(title), "".join("<th>%s</th>" % escape(name) for name in head), "\n".join(lines))


def add_to(cli: click.Group) -> None:
    """Hang the command into its group."""
    cli.add_command(requirements)
