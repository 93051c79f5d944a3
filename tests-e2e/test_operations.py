"""docs/operations.md: every alarm and finding is explained, and its commands work on a run that goes on."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iac_ci_cli import jobs
from iac_ci_cli.connection import connect
from iac_ci_cli.main import app
from iac_ci_common.limits import WORKER_WAIT_SECONDS
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.testing import wait_until

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
CLI = ROOT / "packages" / "iac-ci-cli" / "src" / "iac_ci_cli"


def column(heading: str) -> set[str]:
    """The first cells of the table below a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def alarms() -> set[str]:
    """The alarms that Terraform makes, without the stack's name."""
    text = (ROOT / "terraform" / "deploy" / "alarms.tf").read_text("utf-8")
    of_functions = text.split("alarms_by_function = {", 1)[1].split("\n  }\n", 1)[0]
    kinds = re.findall(r"^    ([a-z-]+) = \{", of_functions, re.MULTILINE)
    functions = json.loads((ROOT / "terraform" / "deploy" / "stack" / "functions.json").read_text("utf-8"))["functions"]
    others = re.findall(r"^      ([a-z-]+) = \{", text.split("  alarms = merge(", 1)[1], re.MULTILINE)
    assert kinds
    assert others
    return {f"{function}-{kind}" for function in functions for kind in kinds} | set(others)


def test_every_alarm_is_explained_and_no_other():
    assert column("Alarms") == alarms()


def test_every_finding_of_the_doctor_is_explained_and_no_other():
    text = "".join((CLI / name).read_text("utf-8") for name in ("diagnosis.py", "diagnosis_orders.py"))
    kinds = set(re.findall(r'(?:Finding|_undone)\(\s*"([a-z-]+)"', text))
    explained = PAGE.split("| kind | means |", 1)[1].split("\n\n", 1)[0]
    named = re.findall(r"^\| (`[^|]*) \|", explained, re.MULTILINE)
    assert {name for cell in named for name in re.findall(r"`([^`]+)`", cell)} == kinds


def test_an_order_may_wait_for_its_worker_as_long_as_both_queues_keep_it():
    stack = ROOT / "terraform" / "deploy" / "stack"
    worker = json.loads((stack / "functions.json").read_text("utf-8"))["functions"]["worker"]
    project = json.loads((stack / "builds.json").read_text("utf-8"))["projects"]["worker"]
    assert worker["asynchronous"]["maximum_event_age_seconds"] == WORKER_WAIT_SECONDS
    assert project["queued_timeout_minutes"] * 60 == WORKER_WAIT_SECONDS


@pytest.mark.local_cloud
def test_the_commands_work_in_the_order_of_the_page(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    gate = tmp_path / "gate"
    orders = [
        {"order_name": "slow", "cmds": [f"until test -e {gate}; do sleep 0.05; done"], "timeout": 60},
        {"order_name": "after", "cmds": ["true"], "timeout": 60, "dependencies": ["slow"]},
    ]
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("iac-ci ")]
    assert {command.split()[1] for command in commands} == {"doctor", "status", "events", "logs", "nudge", "cancel"}
    with LocalCloud(announced=True):
        connection = connect("iac-ci", local=True)
        run = jobs.submit(connection, json.dumps({"username": "tests", "orders": orders}).encode()).run_id
        wait_until(lambda: connection.internal.list(f"tmp/callbacks/runs/{run}/0001/"), subject="the first command")
        for command in commands:
            arguments = [run if word == "RUN" else word for word in shlex.split(command)[1:]]
            done = CliRunner().invoke(app, [*arguments, "--local"])
            assert done.exit_code == 0, f"{command}: {done.output} {done.exception!r}"
            assert done.output.strip()
        gate.touch()
        wait_until(lambda: connection.done.exists(f"{run}/done"), subject="the end of the run")
        assert {row.order_name: row.status.value for row in connection.runs.read(run).orders} == {
            "slow": "succeeded",
            "after": "cancelled",
        }
