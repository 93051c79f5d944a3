"""A drift run on the local cloud with real Terraform: a resource was changed behind its back, and then was not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from offline.provider.changes import CHANGES
from typer.testing import CliRunner

from iac_ci_cli.main import app
from iac_ci_common import keys
from iac_ci_common.clock import SystemClock
from iac_ci_common.locations import parse_location
from iac_ci_common.models.event import DRIFT, NO_DRIFT
from iac_ci_common.states import RunState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.fake_hosts.demo import ENGINE, Demo
from iac_ci_local.seed_secrets import SeedSecret, seed
from iac_ci_local.terraform_tool import terraform_on_path, write_terraform
from iac_ci_local.testing import folder_of_commands, runs, wait_for_end, wait_until
from iac_ci_triggers.dynamo_ledgers import DynamoLedgers
from iac_ci_triggers.ledger import Ledger

pytestmark = [pytest.mark.local_cloud, pytest.mark.timeout(1800)]

TOKEN, WEBHOOK = "ssm:/iac-ci/jobs/tokens/demo", "ssm:/iac-ci/iac-ci/webhook-secret-demo"
CONFIGURATION = """
version: 1
defaults:
  timeout: 300
  env_vars: {{TF_CLI_CONFIG_FILE: "{provider}", {changes}: "{folder}/changes.json"}}
projects:
  - folder: live
drift: {{cron: "*/15 * * * *", timezone: Europe/Berlin}}
"""
MAIN = """
terraform {{
  required_providers {{
    aws = {{ source = "hashicorp/aws" }}
  }}
  backend "local" {{ path = "{folder}/terraform.tfstate" }}
}}
provider "aws" {{ region = "us-east-1" }}
resource "aws_sns_topic" "alerts" {{
  name         = "alerts"
  display_name = "Alerts"
}}
resource "terraform_data" "inputs" {{ input = "one" }}
"""


class Drifting:
    """A repository with one applied project, and the engine that plans it on a schedule."""

    def __init__(self, cloud: LocalCloud, demo: Demo, folder: Path) -> None:
        self.cloud, self.demo, self._changes = cloud, demo, folder / "changes.json"
        names = cloud.stack.names
        self._ledgers = DynamoLedgers(cloud.aws.client("dynamodb"), names.resource("locks"), SystemClock())
        self._key = keys.schedule_ledger(f"{demo.host.address}/{demo.project.full_name}".lower())

    @property
    def ledger(self) -> Ledger | None:
        return self._ledgers.read(self._key)

    def change_outside(self, changes: object) -> None:
        self._changes.write_text(json.dumps(changes), "utf-8")
        self._changes.chmod(0o644)

    def tick(self) -> None:
        names = self.cloud.stack.names
        event = {
            "source": "aws.events",
            "detail-type": "Scheduled Event",
            "resources": [names.arn("events", f"rule/{names.resource('tick')}")],
        }
        function = names.resource("init-job")
        answer = self.cloud.aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
        assert json.loads(answer["Payload"].read())["accepted"] is True

    def run(self) -> str:
        """Let a day pass, as far as the engine remembers the schedule, and a tick come; return the run that ended."""
        ledger = self.ledger
        assert ledger is not None
        schedules = tuple(
            known.model_copy(update={"decided": known.decided - timedelta(days=1)}) for known in ledger.schedules
        )
        self._ledgers.write(ledger.model_copy(update={"schedules": schedules, "runs": ()}))
        self._forget_minutes()
        self.tick()
        wait_until(lambda: bool(self.ledger and self.ledger.runs), subject="the start of the schedule's run")
        ledger = self.ledger
        assert ledger is not None
        run_id = ledger.runs[-1].run_id
        rows = wait_for_end(self.cloud, run_id)
        assert rows.run is not None
        assert rows.run.status is RunState.SUCCEEDED, [order.reason for order in rows.orders]
        assert rows.run.planned_for is not None
        return run_id

    def found(self, run_id: str) -> str:
        """Return what the run found of the project."""
        run = runs(self.cloud).find_run(run_id)
        assert run is not None
        wait_until(lambda: self._drift_events(run.trace_id), subject="the event about the project")
        (event,) = self._drift_events(run.trace_id)
        return str(event.kind)

    def _drift_events(self, trace_id: str) -> list:  # type: ignore[type-arg]
        return [event for event in runs(self.cloud).events(trace_id) if event.order_name == "_drift"]

    def _forget_minutes(self) -> None:
        client, table = self.cloud.aws.client("dynamodb"), self.cloud.stack.names.resource("locks")
        for row in client.scan(TableName=table)["Items"]:
            if row["lock_key"]["S"].startswith("delivery:schedule:"):
                client.delete_item(TableName=table, Key={"lock_key": row["lock_key"]})


@pytest.fixture
def drifting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in_provider: str) -> Iterator[Drifting]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    terraform = terraform_on_path() or str(write_terraform(tmp_path))
    with folder_of_commands() as folder:
        base, change = tmp_path / "base", tmp_path / "change"
        for path, text in (
            (base / ".iac-ci.yml", CONFIGURATION.format(provider=stand_in_provider, changes=CHANGES, folder=folder)),
            (base / "live" / "main.tf", MAIN.format(folder=folder)),
            (change / "README.md", "A pull request that nothing here needs."),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        applied = tmp_path / "applied"
        applied.mkdir()
        (applied / "main.tf").write_text(MAIN.format(folder=folder), "utf-8")
        monkeypatch.setenv("TF_CLI_CONFIG_FILE", stand_in_provider)
        for command in ("init -input=false", "apply -input=false -auto-approve"):
            done = subprocess.run(
                [terraform, *command.split()], cwd=applied, capture_output=True, text=True, timeout=900
            )
            assert done.returncode == 0, done.stderr
        (folder / "terraform.tfstate").chmod(0o666)
        with (
            Demo(tmp_path / "host", base=base, change=change) as demo,
            LocalCloud(stack_name="iac-ci", announced=True, log_level="INFO", code_hosts=demo.code_hosts) as cloud,
        ):
            seed(
                cloud,
                [
                    SeedSecret(parse_location(TOKEN), False, demo.token),
                    SeedSecret(parse_location(WEBHOOK), False, demo.webhook_secret),
                ],
            )
            connection = {
                "repositories": [f"https://{demo.host.address}/{demo.project.full_name}"],
                "webhook_secrets": [WEBHOOK],
                "token_location": TOKEN,
                "schedule_branch": "main",
            }
            cloud.connect(json.dumps([connection]))
            made = Drifting(cloud, demo, folder)
            made.tick()
            wait_until(lambda: bool(made.ledger and made.ledger.schedules), subject="the reading of the schedule")
            yield made


def test_a_resource_that_was_changed_behind_terraforms_back_is_found_told_and_gone(drifting: Drifting) -> None:
    project = drifting.demo.project
    first = drifting.run()
    assert (drifting.found(first), project.issues()) == (NO_DRIFT, [])

    drifting.change_outside({"aws_sns_topic": {"display_name": "Changed by hand"}})
    second = drifting.run()
    assert drifting.found(second) == DRIFT
    (issue,) = project.issues()
    assert (issue.author, issue.is_open, issue.title) == (ENGINE, True, "Drift: live")
    assert "`+0 ~1 -0; all of it was changed outside of Terraform`" in issue.body
    assert "aws_sns_topic.alerts" in issue.body
    assert "Changed by hand" in issue.body
    assert second in issue.body
    listed = CliRunner().invoke(app, ["drift", "--local"])
    assert listed.exit_code == 0, listed.output
    assert f"run {second}  issue {issue.number}" in listed.stdout
    as_json = json.loads(CliRunner().invoke(app, ["drift", "--local", "--json"]).stdout)
    assert [one["changes"]["outside"] for one in as_json["drift"]] == [1]

    drifting.change_outside({})
    third = drifting.run()
    assert drifting.found(third) == NO_DRIFT
    (issue,) = project.issues()
    assert not issue.is_open
    assert "is gone" in issue.body
    shown = CliRunner().invoke(app, ["drift", "--local"]).stdout
    assert shown == "0 of 1 project with drift, by the runs of the last 35 days.\n"
    print(
        "Terraform found +0 ~1 -0, changed outside: an issue; the change was taken back: the issue is closed (3 runs)"
    )
