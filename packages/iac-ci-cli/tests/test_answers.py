"""What commands print with --json fits the schema of their answers, and nothing else does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from iac_ci_cli import control, process, stack_options
from iac_ci_cli.answers import ANSWERS, document, schema
from iac_ci_cli.command_group import COMMANDS
from iac_ci_cli.main import app
from iac_ci_common import keys
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START

sys.path.insert(0, str(Path(__file__).parent))
from test_run_commands import MemoryStack


@pytest.fixture
def stack(monkeypatch):
    made = MemoryStack()
    monkeypatch.setattr(stack_options, "connect", lambda name, **_: made)
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


def test_every_command_has_a_schema():
    assert set(ANSWERS) == set(COMMANDS) | {"error"}


def test_the_one_document_has_the_schema_of_each_command():
    whole = json.loads(document())
    assert set(whole["properties"]) == set(ANSWERS)
    answer = {"schema_version": 1, "run_id": RUN_ID, "logs": {"a": None}, "attempts": {}}
    jsonschema.validate({"logs": answer}, whole)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"runs": answer}, whole)


FILES = {
    "job.json": b'{"username": "me", "orders": [{"order_name": "a", "cmds": []}]}',
    "base/.iac-ci.yml": b'version: 1\nprojects: [{find: "**/main.tf"}]\n',
    "broken/.iac-ci.yml": b"version: 1\nprojects: [{nope: 1}]\n",
    "base/app/main.tf": b'terraform {\n  backend "local" {}\n}\n',
    "new/app/main.tf": b'terraform {\n  backend "local" {}\n}\n',
    "atlantis.yaml": b"version: 3\nprojects:\n- dir: app\n  nope: 1\n",
}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["validate", "job.json"], 2),
        (["validate", "base", "--json"], 0),
        (["validate", "none"], 2),
        (["expand", "base"], 0),
        (["scaffold", "new"], 0),
        (["scaffold", "new", "--to", "-"], 0),
        (["scaffold", "new", "--to", "converted.yml", "--from", "atlantis.yaml"], 0),
    ],
)
def test_what_a_command_about_files_prints_fits_its_schema(tmp_path, monkeypatch, capsys, words, code):
    with_files(tmp_path, monkeypatch)
    assert process.run([*words, "--json"]) == code
    printed = capsys.readouterr()
    payload = json.loads(printed.out)
    jsonschema.validate(payload, schema(words[0]))
    assert (payload["schema_version"], printed.err) == (1, "")
    if payload.get("written"):
        assert (tmp_path / payload["written"]).read_text() == payload["text"]


@pytest.mark.parametrize("words", [["expand", "broken"], ["expand", "none"], ["scaffold", "base"]])
def test_an_error_about_files_is_json_too(tmp_path, monkeypatch, capsys, words):
    with_files(tmp_path, monkeypatch)
    assert process.run([*words, "--json"]) == 2
    printed = capsys.readouterr()
    jsonschema.validate(json.loads(printed.out), schema("error"))
    assert printed.err == ""


def test_each_problem_of_a_configuration_is_an_entry(tmp_path, monkeypatch, capsys):
    with_files(tmp_path, monkeypatch)
    process.run(["expand", "broken", "--json"])
    payload = json.loads(capsys.readouterr().out)
    assert payload["error"] == f"the configuration broken/.iac-ci.yml has {len(payload['problems'])} problems"
    process.run(["expand", "broken"])
    assert capsys.readouterr().err.startswith("The configuration broken/.iac-ci.yml has ")


def with_files(folder, monkeypatch):
    """Write the files, and go to their folder."""
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("command", ["runs", "doctor", "cancel", "nudge", "logs", "error"])
def test_a_schema_refuses_another_answer(command):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema_version": 1, "unknown": True}, schema(command))
