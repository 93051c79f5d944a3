"""What commands print with --json fits the schema of their answers, and nothing else does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from iac_ci_cli import control, log_commands, process, run_commands, view_commands
from iac_ci_cli.answers import ANSWERS, schema
from iac_ci_cli.command_group import MODULES
from iac_ci_cli.main import app
from iac_ci_common import keys
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START

sys.path.insert(0, str(Path(__file__).parent))
from test_run_commands import MemoryStack


@pytest.fixture
def stack(monkeypatch):
    made = MemoryStack()
    for module in (run_commands, view_commands, log_commands):
        monkeypatch.setattr(module, "connect", lambda name, **_: made)
    monkeypatch.setattr(control, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(control, "_READS", 1)
    made.prepared({}, {"dependencies": ["order-0001"]})
    made.order("0001", OrderState.RUNNING, dispatched_at=START)
    made.internal.put(keys.log(RUN_ID, "0001"), b"printed\n")
    return made


@pytest.mark.parametrize("command", ["status", "logs", "events", "doctor", "nudge", "cancel"])
def test_what_a_command_prints_fits_its_schema(stack, command):
    done = CliRunner().invoke(app, [command, RUN_ID, "--json"])
    payload = json.loads(done.stdout)
    jsonschema.validate(payload, schema(command))
    if isinstance(payload, dict):
        assert payload["schema_version"] == 1


def test_an_error_fits_its_schema(capsys):
    for words in (["status", "x", "--json"], ["validate", "/nowhere/x.json", "--bogus", "--json"]):
        assert process.run(words) == 2
        jsonschema.validate(json.loads(capsys.readouterr().out), schema("error"))


def test_every_command_about_runs_has_a_schema():
    about_files = {"validate", "expand", "scaffold"}
    assert set(ANSWERS) == set(MODULES) - about_files | {"error"}


@pytest.mark.parametrize("command", ["runs", "doctor", "cancel", "nudge", "logs", "error"])
def test_a_schema_refuses_another_answer(command):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema_version": 1, "unknown": True}, schema(command))
