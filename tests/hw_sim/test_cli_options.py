"""The options that every command which runs a firmware shares."""

import click
import pytest
from click.testing import CliRunner

from thecal.hw_sim import cli, cli_faults
from thecal.hw_sim.cli_options import exec_words, firmware_options, source_option
from thecal.hw_sim.scenario import ScenarioError

SHARED = {"runtime", "firmware_dir", "exec_cmd"}


@click.command()
@firmware_options
@source_option
def told(**given):
    click.echo(sorted((name, str(value)) for name, value in given.items()))


def test_what_is_given_comes_through(tmp_path):
    found = CliRunner().invoke(told, ["--runtime", "inprocess", "--firmware", str(tmp_path), "--exec", "a b", "--thecal-firmware", str(tmp_path)])
    assert found.output.strip() == str([("exec_cmd", "a b"), ("firmware_dir", str(tmp_path)), ("runtime", "inprocess"), ("source_dir", str(tmp_path))])
    assert CliRunner().invoke(told, ["--firmware", "nowhere"]).exit_code == CliRunner().invoke(told, ["--runtime", "abacus"]).exit_code == 2


@pytest.mark.parametrize("command", [cli.run, cli.serve, cli_faults.faults, cli_faults.minimise_command], ids=lambda command: command.name)
def test_each_command_that_runs_one_has_the_same(command):
    of = {param.name: param for param in command.params}
    shared = {param.name: param for param in told.params}
    assert {name: (of[name].opts, of[name].help, of[name].default) for name in SHARED} == {
        name: (shared[name].opts, shared[name].help, shared[name].default) for name in SHARED}


def test_the_words_of_a_command():
    assert exec_words(None) is None and exec_words("run 'my pump' -x") == ["run", "my pump", "-x"]
    for given, said in (("'open", "cannot be split into words"), ("", "--exec is empty")):
        with pytest.raises(ScenarioError, match=said):
            exec_words(given)
