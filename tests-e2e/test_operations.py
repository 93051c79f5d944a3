"""docs/operations.md: every alarm and finding is explained, and its commands work on a run that goes on."""

from __future__ import annotations

import json
import re

import pytest
from documents.blocks import ROOT, blocks
from documents.session import Session, empty_environment

from iac_ci_common.limits import WORKER_WAIT_SECONDS
from iac_ci_common.states import RUN_TERMINAL
from iac_ci_local.testing import wait_until

PATH = ROOT / "docs" / "operations.md"
PAGE = PATH.read_text("utf-8")
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
def test_the_commands_work_in_the_order_of_the_page(tmp_path):
    gate = tmp_path / "gate"
    orders = [
        {"order_name": "slow", "cmds": [f"until test -e {gate}; do sleep 0.05; done"], "timeout": 500},
        {"order_name": "after", "cmds": ["true"], "timeout": 60, "dependencies": ["slow"]},
    ]
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"username": "tests", "orders": orders}))
    marked = [block for block in blocks(PATH) if block.argument == "tests-e2e/test_operations.py"]
    commands = [command for block in marked for command in block.commands]
    assert {command.split()[1] for command in commands} == {
        "doctor", "status", "events", "logs", "runs", "nudge", "cancel",
    }  # fmt: skip
    with Session(empty_environment(tmp_path / "home", with_iac_ci=True), ROOT) as session:
        session.start("iac-ci local up")
        session.run_id = json.loads(session.run(f"iac-ci submit {job} --local --json"))["run_id"]
        wait_until(lambda: "running" in session.run("iac-ci doctor RUN --local --json"), subject="the first command")
        for command in commands:
            assert session.run(f"{command} --local").strip(), command
        gate.touch()

        def rows():
            return json.loads(session.run("iac-ci status RUN --local --json"))

        wait_until(lambda: rows()["run"]["status"] in RUN_TERMINAL, subject="the end of the run")
        assert {order["order_name"]: order["status"] for order in rows()["orders"]} == {
            "slow": "succeeded",
            "after": "cancelled",
        }
