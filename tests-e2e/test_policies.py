"""``examples/policies``: rules and costs judge the saved plan, and a named person overrides a refusal.

``.ci/test -n 0 -s tests-e2e/test_policies.py`` prints one line that sums it up.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from iac_ci_common import keys
from iac_ci_common.clock import SystemClock
from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, PERSON
from iac_ci_local.fake_hosts.project import Person
from iac_ci_local.pull_request import opened_pull_request
from iac_ci_local.testing import done_marker, log_of, runs, wait_for_end, wait_for_text, wait_until
from iac_ci_triggers.dynamo_ledgers import DynamoLedgers

pytestmark = [pytest.mark.local_cloud, pytest.mark.timeout(1800)]

EXAMPLE = Path(__file__).parents[1] / "examples" / "policies"
DOCUMENT = Path(__file__).parents[1] / "docs" / "policies.md"
CONFIGURATION = EXAMPLE / "base" / ".iac-ci.yml"
BOB, CARL = Person(3, "bob"), Person(4, "carl")
ESCAPE = re.compile(r"\\([^\w\s])\u200b?")
IN_A_TEAM = ("by: [you]\n          self_approval: true", "by: [bob, you]")
"""The example's own approval lets its reader play both parts."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    example = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("example") / "policies")
    text = CONFIGURATION.read_text()
    assert text.count(IN_A_TEAM[0]) == 1
    (example / "base" / ".iac-ci.yml").write_text(text.replace(*IN_A_TEAM))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("announced")))
        folder = tmp_path_factory.mktemp("code-host")
        with opened_pull_request(example, folder, stack="iac-ci", log_level="INFO") as opened:
            project = opened.demo.project
            project.tokens = {**project.tokens, "bob's": BOB, "carl's": CARL}
            project.rights = {**project.rights, BOB.login: "write", CARL.login: "write"}
            yield opened


def comments(opened):
    written = opened.demo.project.comments(NUMBER)
    return [ESCAPE.sub(r"\1", one.body) for one in written if one.author == ENGINE]


def order(opened, run_id, name):
    return next((row for row in runs(opened.cloud).read(run_id).orders if row.order_name == name), None)


def states(opened, run_id):
    return {row.order_name: row.status.value for row in runs(opened.cloud).read(run_id).orders}


def log(opened, run_id, name):
    return log_of(opened.cloud, run_id, order(opened, run_id, name).order_num)


def newest_run(opened, job):
    """Return the newest run of a job at the pull request's head, None if there is none."""
    cloud, project = opened.cloud, opened.demo.project
    locks = cloud.stack.names.resource("locks")
    ledgers = DynamoLedgers(cloud.aws.client("dynamodb"), locks, SystemClock())
    ledger = ledgers.read(keys.pull_request_ledger(f"{opened.demo.host.address}/{project.full_name}".lower(), NUMBER))
    head = project.repository.head("change")
    known = ledger.runs if ledger is not None else ()
    found = [run.run_id for run in known if run.job == job and run.sha == head]
    return found[-1] if found else None


def started(opened, job):
    wait_until(lambda: newest_run(opened, job) is not None, subject=f"the run of {job}")
    return newest_run(opened, job)


def says(opened, person, text, answer):
    opened.demo.activity.comment(NUMBER, person, text)()
    wait_for_text(answer, lambda: comments(opened))


def job_state(opened, job):
    head = opened.demo.project.repository.head("change")
    return {status.context: status.state for status in opened.demo.project.statuses(head)}.get(f"iac-ci/{job}")


def test_a_refusal_is_overridden_by_a_named_person_alone(opened):
    check = started(opened, "check")
    wait_for_end(opened.cloud, check)
    assert states(opened, check) == {"plan": "succeeded", "policy": "failed", "cost": "succeeded"}
    assert "terraform_data.web" in log(opened, check, "policy")
    assert re.search(r"dollars a month +0\.00 -> +140\.00, limit 150\.00", log(opened, check, "cost"))
    wait_until(lambda: job_state(opened, "check") == "failure", subject="the status of the refusal")

    opened.demo.activity.comment(NUMBER, PERSON, "/iac-ci deploy")()
    run_id = started(opened, "deploy")
    wait_until(lambda: (row := order(opened, run_id, "override")) and row.awaits_answer, subject="the question")
    waiting = order(opened, run_id, "override").waiting_for
    assert waiting.startswith("approval of bob or you to override policy until")
    says(opened, CARL, "/iac-ci approve override", "carl is not among those it names")
    says(opened, PERSON, "/iac-ci approve override", "you is the author of the pull request")
    assert states(opened, run_id)["apply"] == "queued"

    opened.demo.activity.comment(NUMBER, BOB, "/iac-ci approve override")()
    rows = wait_for_end(opened.cloud, run_id)
    assert states(opened, run_id) == {
        "plan": "succeeded",
        "policy": "failed",
        "cost": "succeeded",
        "override": "succeeded",
        "apply": "succeeded",
    }
    assert "Apply complete! Resources: 2 added" in log(opened, run_id, "apply")
    assert rows.run.status == "succeeded"
    assert rows.run.reason.startswith("policy failed; override was approved by bob at ")
    marker = done_marker(opened.cloud, run_id)
    assert {one.order_name: (one.status, one.by) for one in marker.orders}["policy"] == ("failed", None)
    assert {one.order_name: (one.status, one.by) for one in marker.orders}["override"] == ("succeeded", "bob")
    wait_until(lambda: job_state(opened, "deploy") == "success", subject="the status of the override")
    wait_for_text("policy failed; override was approved by bob", lambda: comments(opened))
    print(f"\nthe plan was applied: carl and the author were refused; {rows.run.reason}")


def test_what_keeps_the_rules_is_applied_without_a_question(opened):
    kept = (EXAMPLE / "change" / "network" / "main.tf").read_bytes().replace(b"public = true", b"public = false")
    opened.demo.activity.push(NUMBER, {"network/main.tf": kept}, message="Make the server private")()
    check = started(opened, "check")
    wait_for_end(opened.cloud, check)
    opened.demo.activity.comment(NUMBER, PERSON, "/iac-ci deploy")()
    run_id = started(opened, "deploy")
    rows = wait_for_end(opened.cloud, run_id)
    assert set(states(opened, run_id).values()) == {"succeeded"}
    override = order(opened, run_id, "override")
    assert (override.reason, override.approval_answer) == ("nothing to override: policy, cost succeeded", None)
    assert rows.run.reason is None


TOPIC = """
terraform {{
  required_providers {{
    aws = {{ source = "hashicorp/aws" }}
  }}
}}
provider "aws" {{ region = "us-east-1" }}
resource "aws_sns_topic" "alerts" {{
  name = "alerts"
  {setting}
}}
"""


@pytest.fixture(scope="session")
def checkov():
    """Return checkov's program: it is too large for the development environment."""
    program = os.environ.get("IAC_CI_CHECKOV") or shutil.which("checkov")
    if program is None:
        pytest.skip("checkov is not installed: pipx install checkov, or name its program in IAC_CI_CHECKOV")
    return program


@pytest.mark.parametrize(("setting", "code"), [("", 1), ('kms_master_key_id = "alias/aws/sns"', 0)])
def test_checkov_judges_a_plan_as_documented(checkov, stand_in_provider, setting, code, tmp_path):
    (tmp_path / "main.tf").write_text(TOPIC.format(setting=setting))
    environment = os.environ | {"TF_CLI_CONFIG_FILE": stand_in_provider, "AWS_EC2_METADATA_DISABLED": "true"}
    for command in ("terraform init", "terraform plan -out=p", "terraform show -json p >network.json"):
        subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, check=True, capture_output=True)
    (tmp_path / ".checkov.yaml").write_text("skip-check: [CKV_AWS_26]\n")
    text = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]
    orders = yaml.safe_load(text)["jobs"]["deploy"]["orders"]
    (command,) = next(one["cmds"] for one in orders if one["name"] == "policy")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "checkov").symlink_to(checkov)
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=tmp_path, env=os.environ | path, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert ('CKV_AWS_26: "Ensure all data stored in the SNS topic is encrypted"' in done.stdout) == (code == 1)
    print(f"\n{checkov} judged the plan: exit code {done.returncode}")


def plan_json(**servers):
    """Return what the rules read of a plan with these servers, by name: before and after, each a size or None."""

    def values(size):
        return None if size is None else {"input": {"size": size, "public": size == "public"}}

    changes = [
        {"address": f"terraform_data.{name}", "change": {"before": values(before), "after": values(after)}}
        for name, (before, after) in servers.items()
    ]
    return json.dumps({"resource_changes": changes})


@pytest.mark.parametrize(
    ("servers", "code", "printed"),
    [
        ({"a": (None, "small"), "b": (None, "large")}, 0, "0.00 ->    80.00"),
        ({"a": ("small", "large"), "b": ("large", "large"), "c": (None, "small")}, 0, "80.00 ->   150.00"),
        ({"a": ("small", "large"), "b": ("large", "large"), "c": (None, "large")}, 1, "80.00 ->   210.00"),
        ({"a": ("large", None), "b": ("large", "large")}, 0, "140.00 ->    70.00"),
    ],
)
def test_the_estimate_sums_prices_before_and_after(servers, code, printed, tmp_path):
    (tmp_path / "network.json").write_text(plan_json(**servers))
    orders = yaml.safe_load(CONFIGURATION.read_text())["jobs"]["check"]["orders"]
    (command,) = next(one["cmds"] for one in orders if one["name"] == "cost")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert (done.returncode, printed in done.stdout) == (code, True), done.stdout + done.stderr
