"""The list of all commands, which imports none of this package's."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from iac_ci_cli import command_group
from iac_ci_cli.application import app
from iac_ci_cli.command_group import COMMANDS

GROUP = typer.main.get_command(app)
LISTS = """
import sys
from iac_ci_cli.process import run
code = run(["--help"])
print(code, *sorted(name for name in sys.modules if name.startswith("iac_ci_cli.") and name.endswith("_commands")))
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_its_help_begins_with(name):
    command = GROUP.get_command(GROUP.make_context("iac-ci", [name], resilient_parsing=True), name)
    assert " ".join(command.help.split("\n\n")[0].split()) == COMMANDS[name].summary


def test_a_command_of_this_package_is_found_without_looking_for_other_packages(monkeypatch):
    monkeypatch.setattr(command_group, "entry_points", None)
    assert GROUP.get_command(GROUP.make_context("iac-ci", ["status"], resilient_parsing=True), "status") is not None


def test_the_list_imports_no_command():
    done = subprocess.run([sys.executable, "-c", LISTS], capture_output=True, text=True, check=True)
    *printed, last = done.stdout.splitlines()
    assert last.split()[0] == "0"
    assert not set(last.split()[1:]) & {entry.module for entry in COMMANDS.values()}
    assert all(any(f" {name} " in line for line in printed) for name in COMMANDS)
