"""README is true: its first screen, its commands, its script, its links, and the output it shows."""

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from thecal.host.cli import cli as thecal_cli
from thecal.hw_sim.cli import cli as sim_cli

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FIRST_SCREEN_LINES = 60


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(README) if name == language]


def commands() -> list[list[str]]:
    """The shell lines of README as words, without their comments."""
    lines = [shlex.split(line, comments=True) for text in blocks("sh") for line in text.splitlines()]
    return [words for words in lines if words]


def of_program(*names: str) -> list[list[str]]:
    return [words for words in commands() if Path(words[0]).name in names]


def joined(words: list[str]) -> str:
    return " ".join(words)


def test_the_first_screen():
    lines = README.splitlines()
    assert lines[0] == "# thecal: an intrathecal pump you can flash, simulate and program"
    first = "\n".join(lines[:FIRST_SCREEN_LINES])
    assert "**Not a medical device.**" in first
    assert [joined(words) for words in commands()[:2]] == ["make run", "make test"]
    assert "## The rooms" in first


@pytest.mark.slow
def test_the_test_that_is_shown_passes(tmp_path):
    """With the plugin that an installed thecal gives pytest."""
    (tmp_path / "test_mine.py").write_text(blocks("python")[1], encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--thecal-runtime", "inprocess", str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_only_known_programs_are_shown():
    known = {"make", "python", "thecal", "thecal-sim"}
    assert {Path(words[0]).name for words in commands()} <= known


@pytest.mark.parametrize("words", of_program("make"), ids=joined)
def test_a_make_target_exists(words):
    done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^{words[1]}:.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), "make help does not list it"


@functools.cache        # most lines of README share one
def help_of(program: str, *asked: str) -> str:
    """What the program prints when it is asked for help."""
    name = Path(program).name
    done = CliRunner().invoke({"thecal": thecal_cli, "thecal-sim": sim_cli}[name], list(asked), prog_name=name)
    assert done.exit_code == 0, f"{joined(list(asked))}: {done.output}"
    return done.output


@pytest.mark.parametrize("words", of_program("thecal", "thecal-sim"), ids=joined)
def test_a_command_is_known_with_its_options(words):
    """The program's own help, asked for the sub-command, lists every option that README uses; named files exist."""
    group = words[1:3] if words[1] == "--port" else []
    name = words[1 + len(group)]
    used = [word for word in words if word.startswith("--")]
    helps = [help_of(words[0], "--help"), help_of(words[0], *group, name, "--help")]
    assert name in helps[0]
    for option in used:
        assert option in helps[0] + helps[1], f"{option} is not in the help"
    for word in words:
        assert not word.endswith(".toml") or (ROOT / word).is_file(), f"{word} is not there"


def test_the_script_has_ten_lines_and_runs_in_virtual_time(tmp_path):
    script = blocks("python")[0]
    assert len([line for line in script.splitlines() if line.strip()]) <= 10
    path = tmp_path / "script.py"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run([sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "running, 0.240 mL/day, alarms: 0"


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert "://" in target or (ROOT / target).exists(), f"README links to {target}"


def test_the_exit_codes_are_those_of_the_design():
    listed = {int(code): meaning for code, meaning in re.findall(r"(\d+) (ok|refused|usage|no connection|timeout|protocol|interrupted)", README)}
    assert listed == {0: "ok", 1: "refused", 2: "usage", 3: "no connection", 4: "timeout", 5: "protocol", 130: "interrupted"}


def told(text: str) -> list[str]:
    """The lines of a run's output without what a machine or a last digit decides: wall time, trace hash, rounding noise."""
    lines = []
    for line in text.splitlines():
        line = re.sub(r"in [\d.]+ s,", "in ... s,", re.sub(r"trace [0-9a-f]+", "trace ...", line))
        if "e-" not in line:        # a mass balance of 1e-13 is noise
            lines.append(" ".join(line.split()))
    return [line for line in lines if line]


@pytest.mark.slow
@pytest.mark.micropython
def test_the_output_shown_is_what_make_run_prints(tmp_path):
    shown = README.split("<!-- run-output -->")[1].split("<!-- /run-output -->")[0].replace("```text", "").replace("```", "")
    line = next(line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if "thecal-sim run" in line)
    words = line.replace("$(SCENARIO)", "hw_sim/scenarios/baclofen-b1.toml").split()[1:]
    out = words[words.index("--out") + 1]
    code = "import sys; sys.argv[0] = 'thecal-sim'; from thecal.hw_sim.cli import main; main()"
    run = [tmp_path / out if word == out else word for word in words]
    done = subprocess.run([sys.executable, "-c", code, *run], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / out / "report.html").is_file()
    assert told(shown) == told(done.stdout.replace(str(tmp_path / out), out))
    assert "PASS on micropython" in shown


@pytest.mark.req("TH-RULE-01")
@pytest.mark.slow
@pytest.mark.micropython
def test_the_same_script_gives_the_same_answers_over_tcp_and_a_pty(tmp_path):
    """One script, three ways in (R1); the pump is served as `make live` does, only faster so that half an hour takes seconds."""
    script = blocks("python")[0]
    path = tmp_path / "script.py"
    path.write_text(script, encoding="utf-8")
    link = tmp_path / "pump0"
    code = "import sys; sys.argv[0] = 'thecal-sim'; from thecal.hw_sim.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, "serve", "--speed", "600", "--tcp", "0", "--pty", str(link)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            hello = server.stdout.readline()
            url = re.search(r"socket://127\.0\.0\.1:\d+", hello)
            assert url, hello
            answers = []
            for port in ("sim://?scenario=baclofen-b1", url.group(), str(link)):
                done = subprocess.run([sys.executable, str(path), port], cwd=tmp_path, capture_output=True, text=True, timeout=240)
                assert done.returncode == 0, f"{port}: {done.stderr}"
                answers.append(done.stdout)
            assert answers[1] == answers[0]
            assert answers[2] == answers[0]
        finally:
            server.terminate()
